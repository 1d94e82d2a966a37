"""Parts of counts, added up on their own, against the counts of all documents."""

import weakref
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from explicit_softmax.text.ngram_parts import (
    joined_parts,
    level_sizes,
    part_edges,
    part_of,
)
from tests.strategies import properties
from tests.text.test_ngrams import (
    N_IDS,
    assert_equal,
    assert_sound,
    counted,
    documents_of_ids,
)


def joined(parts):
    sizes = np.array([level_sizes(part) for part in parts])
    count_type = np.result_type(*(part.counts.dtype for part in parts))
    return joined_parts(iter(parts), sizes, count_type, N_IDS, parts[0].has_ends)


@settings(properties, max_examples=15)
@given(
    st.lists(documents_of_ids, min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(1, 9),
    st.booleans(),
)
# Counts that do not fit a byte are in one part only.
@example([[[0, 1]], [[2, 2, 2]] * 300], 2, 4, True)
def test_sums_of_parts_are_the_sum(blocks, size, n_parts, ends):
    counts = [counted(documents, size, ends=ends) for documents in blocks]
    whole = counted([d for documents in blocks for d in documents], size, ends=ends)
    for edges in (part_edges(counts[0], n_parts), part_edges(None, n_parts)):
        sums = []
        for first, stop in pairwise(edges):
            parts = [part_of(block, first, stop) for block in counts]
            for part in parts:
                assert_sound(part)
            sums.append(reduce(add, parts))
        assert_equal(joined(sums), whole)


def test_parts_are_about_equal():
    # Half of the tokens are one.
    tokens = np.random.default_rng(0).integers(200, size=30_000) % 101
    tokens[::2] = 7
    counts = counted([tokens.tolist()], 2, n_ids=102)
    edges = part_edges(counts, 8)
    sizes = [part_of(counts, *edges[i : i + 2]).keys.size for i in range(8)]
    assert sum(sizes) == counts.keys.size
    assert max(sizes) < 1.2 * min(sizes)


def test_one_part_is_held_at_a_time():
    counts = counted([[0, 1, 2, 3, 4, 3, 2, 1, 0]])
    edges = part_edges(counts, N_IDS)
    parts = [part_of(counts, *edges[i : i + 2]) for i in range(N_IDS)]
    sizes = np.array([level_sizes(part) for part in parts])
    held = [weakref.ref(part) for part in parts]

    def one_by_one():
        while parts:
            assert sum(part() is not None for part in held) == len(parts)
            yield parts.pop(0)

    found = joined_parts(one_by_one(), sizes, counts.counts.dtype, N_IDS, True)
    assert_equal(found, counts)
