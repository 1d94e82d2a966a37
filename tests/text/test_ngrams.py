"""Counts of distinct windows against counts in a dictionary."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax.text import ngrams
from explicit_softmax.text.ngrams import NgramCounts, count_ngrams, find
from explicit_softmax.text.windows import TokenStream
from tests import oracles
from tests.strategies import merged, partitions, properties

N_IDS = 6
documents_of_ids = st.lists(
    st.lists(st.integers(0, N_IDS - 2), min_size=1, max_size=7), min_size=1, max_size=6
)


def counted(documents, size=3, *, n_ids=N_IDS, ends=True):
    arrays = [np.array(document, dtype=np.int32) for document in documents]
    stream = TokenStream.from_arrays(arrays, size, n_ids - 1)
    return count_ngrams(stream, n_ids, ends)


def as_counter(counts):
    *context, target = (column.tolist() for column in counts.columns())
    windows = zip(*context[::-1], target, strict=True)
    return Counter(dict(zip(windows, counts.counts.tolist(), strict=True)))


def assert_equal(first, second):
    """Equal in all arrays, and in their types."""
    assert (first.n_ids, first.has_ends) == (second.n_ids, second.has_ends)
    pairs = zip(
        [*first.contexts, first.keys, first.counts],
        [*second.contexts, second.keys, second.counts],
        strict=True,
    )
    for one, other in pairs:
        assert one.dtype == other.dtype
        assert_array_equal(one, other)


def assert_sound(counts):
    """All arrays are sorted, and each context is that of a window."""
    used = counts.keys // counts.n_ids
    for keys in [counts.keys, *counts.contexts[::-1]]:
        assert (np.diff(keys) > 0).all()
    for keys in counts.contexts[::-1]:
        assert_array_equal(np.unique(used), np.arange(keys.size))
        used = keys // counts.n_ids
    assert not used.any()


@pytest.mark.parametrize("ends", [True, False])
@settings(properties, max_examples=15)
@given(documents_of_ids, st.integers(1, 8))
def test_counts_are_those_of_a_dictionary(ends, documents, size):
    counts = counted(documents, size, ends=ends)
    assert_sound(counts)
    expected = oracles.ngram_windows(documents, size, N_IDS - 1, ends=ends)
    assert as_counter(counts) == expected
    targets = Counter()
    for window, count in expected.items():
        targets[window[-1]] += count
    assert_array_equal(counts.target_counts(), [targets[i] for i in range(N_IDS)])


@pytest.mark.parametrize("chunk", [3, 2**25])
@settings(properties, max_examples=15)
@given(st.data())
def test_any_chunks_and_merges_are_one_count(chunk, data):
    documents = data.draw(documents_of_ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_CHUNK_WINDOWS", chunk)
        patch.setattr(ngrams, "_CHUNK_ROWS", chunk)
        whole = counted(documents)
        of_targets = whole.target_counts()
    assert_array_equal(of_targets, whole.target_counts())
    parts = data.draw(partitions(len(documents)))
    shards = [counted([documents[i] for i in part]) for part in parts if part.size]
    assert_equal(merged(data, shards), whole)


@settings(properties, max_examples=15)
@given(documents_of_ids, documents_of_ids)
def test_what_is_forgotten_was_never_counted(documents, others):
    both = counted([*documents, *others])
    left = both - counted(others)
    assert_sound(left)
    assert_equal(left, counted(documents))
    with pytest.raises(ValueError, match="leave no document"):
        left - counted(documents)
    with pytest.raises(ValueError, match="counted before"):
        left - both


def test_a_million_words_and_nine_tokens(monkeypatch):
    monkeypatch.setattr(ngrams, "_CHUNK_ROWS", 7)
    """Products of ids would need 180 bits."""
    n_ids = 1_000_002
    rng = np.random.default_rng(0)
    documents = [rng.integers(n_ids - 1, size=30) for _ in range(20)] * 2
    counts = counted(documents, 8, n_ids=n_ids)
    assert_sound(counts)
    expected = oracles.ngram_windows(
        [document.tolist() for document in documents], 8, n_ids - 1, ends=True
    )
    assert as_counter(counts) == expected
    first, second = documents[:20], documents[20:30]
    halves = counted(first, 8, n_ids=n_ids) + counted(second, 8, n_ids=n_ids)
    assert_equal(halves + counted(documents[30:], 8, n_ids=n_ids), counts)


def test_counts_take_the_smallest_type():
    one = counted([[0]], 1)
    assert one.counts.dtype == np.uint8
    many = NgramCounts(N_IDS, True, one.contexts, one.keys, one.counts * 200)
    assert (many + many).counts.dtype == np.uint16
    assert_equal(many + many - many, many)


@settings(properties, max_examples=20)
@given(st.sets(st.integers(0, 300)), st.lists(st.integers(-5, 310), max_size=200))
def test_keys_are_found(keys, wanted):
    ordered = np.array(sorted(keys), dtype=np.int64)
    places = find(ordered, np.array(wanted, dtype=np.int64))
    for key, place in zip(wanted, places, strict=True):
        assert ordered[place] == key if key in keys else place == -1
