"""Windows and their counts against loops, in any grouping of documents."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax import context_windows
from explicit_softmax.calibration.sample import mixed_bits
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.text import windows as module
from explicit_softmax.text.windows import (
    OneHotWindows,
    TokenStream,
    count_windows,
    window_keys,
)
from tests import oracles
from tests.strategies import properties

AGGREGATIONS = ["sum", "cat"]
INTEGERS = [*np.typecodes["AllInteger"]]

context_sizes = st.integers(1, 4)


def documents_of(tokens):
    """Documents, empty ones and those shorter than a window among them."""
    lists = st.lists(st.lists(tokens, max_size=6), min_size=1, max_size=4)
    return lists.filter(any)


ids = documents_of(st.integers(0, 3))
words = documents_of(st.sampled_from(["a", "rose", "is", "\N{GREEK SMALL LETTER PI}"]))


def assert_windows(found, documents, context_size, pad):
    contexts, targets = oracles.windows(documents, context_size, pad)
    assert found[0].tolist() == contexts
    assert found[1].tolist() == targets


def assert_same_counts(stream, n_tokens, aggregation):
    """Direct counts equal those of the features, to the last bit."""
    counts = count_windows(stream, n_tokens, aggregation)
    rows = OneHotWindows(stream, n_tokens, aggregation)[:]
    expected = CooccurrenceCounts.from_rows(rows, stream.targets, n_tokens - 1)
    assert counts.is_sparse
    assert counts.cooccurrence.has_canonical_format
    assert counts.cooccurrence.data.all()
    assert counts.cooccurrence.dtype == np.float64
    assert_array_equal(counts.dense(), expected.dense())
    assert_array_equal(counts.class_count, expected.class_count)
    assert counts.class_count.dtype == np.float64
    assert counts.n_nonzero == expected.n_nonzero


@properties
@given(ids, context_sizes)
def test_windows_of_ids(documents, context_size):
    assert_windows(
        context_windows(documents, context_size), documents, context_size, -1
    )


@properties
@given(words, context_sizes)
def test_windows_of_strings(documents, context_size):
    found = context_windows(documents, context_size)
    assert_windows(found, documents, context_size, "")
    assert found[0].dtype.kind == found[1].dtype.kind == "U"


@pytest.mark.parametrize("document", [[5, 3, 3, 8, 1], ["a", "rose", "is", "a"]])
def test_windows_of_one_document_are_a_view_of_it(document):
    X, y = context_windows([[], document, []], 3)
    assert np.shares_memory(X, y)
    assert np.shares_memory(X[:, 0], X[:, 2])
    assert not X.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        X[0, 0] = X[1, 0]
    assert_windows((X, y), [document], 3, "" if isinstance(document[0], str) else -1)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_ids_of_any_integer_type(dtype):
    largest = min(int(np.iinfo(dtype).max), 300)
    documents = [[0, largest, 2], [largest, 1]]
    arrays = [np.array(document, dtype=dtype) for document in documents]
    X, y = context_windows(arrays, 2)
    assert X.dtype.kind == y.dtype.kind == "i"
    assert_windows((X, y), documents, 2, -1)
    n_tokens = largest + 2
    stream = TokenStream.from_documents(arrays, 2, pad=n_tokens - 1)
    for aggregation in AGGREGATIONS:
        assert_same_counts(stream, n_tokens, aggregation)


@pytest.mark.parametrize("cells", [0, 10**9])
def test_keys_of_pairs_do_not_overflow_the_type_of_the_ids(cells, monkeypatch):
    monkeypatch.setattr(module, "_CELLS_PER_TOKEN", cells)
    document = np.array([250, 249, 250], dtype=np.int16)
    stream = TokenStream.from_documents([document], 1, pad=300)
    counts = count_windows(stream, 301, "sum").dense()
    assert counts[300, 250] == counts[250, 249] == counts[249, 250] == 1
    assert counts.sum() == 3


def test_documents_of_mixed_integer_types_and_a_pad_beyond_them():
    documents = [np.array([1], np.uint8), np.array([5], np.uint64), [2**40]]
    X, y = context_windows(documents, 1)
    assert X.dtype == y.dtype == np.int64
    assert_array_equal(y, [1, 5, 2**40])
    stream = TokenStream.from_documents(documents[:1], 2, pad=70_000)
    assert_array_equal(stream.tokens, [70_000, 70_000, 1])


@pytest.mark.parametrize(
    "as_documents",
    [
        iter,
        lambda lists: [np.array(document) for document in lists],
        lambda lists: [np.array(document, dtype=object) for document in lists],
    ],
    ids=["iterator", "arrays", "objects"],
)
def test_any_form_of_documents(as_documents):
    documents = [["a", "rose"], ["is"], ["a", "rose", "is", "a"]]
    assert_windows(context_windows(as_documents(documents), 2), documents, 2, "")


@properties
@given(ids, context_sizes, st.data())
def test_any_members_of_the_windows(documents, context_size, data):
    stream = TokenStream.from_documents(documents, context_size)
    X, y = context_windows(documents, context_size)
    assert stream.n_targets == len(y)
    places = st.integers(0, len(y) - 1)
    members = np.array(data.draw(st.lists(places, max_size=6)), dtype=np.intp)
    assert_array_equal(stream.windows(members), X[members])
    assert_array_equal(stream.targets[members], y[members])
    part = slice(data.draw(places), data.draw(places))
    assert_array_equal(stream.windows(part), X[part])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@properties
@given(documents=ids, context_size=context_sizes, data=st.data())
def test_features_of_windows(aggregation, documents, context_size, data):
    stream = TokenStream.from_documents(documents, context_size, pad=4)
    features = OneHotWindows(stream, 5, aggregation)
    contexts, _ = oracles.windows(documents, context_size, 4)
    expected = oracles.window_features(contexts, 5, aggregation)
    rows = features[:]
    assert rows.dtype == np.float32
    assert rows.has_canonical_format
    assert rows.shape == features.shape == expected.shape
    assert_array_equal(rows.toarray(), expected)
    assert rows.nnz == np.count_nonzero(expected)
    places = st.integers(0, len(expected) - 1)
    members = np.array(data.draw(st.lists(places, max_size=5)), dtype=np.intp)
    assert_array_equal(features[members].toarray(), expected[members])


def test_canonical_format_of_features_is_so():
    stream = TokenStream.from_documents([[0, 2, 1, 1, 0]], 3, pad=3)
    for aggregation in AGGREGATIONS:
        rows = OneHotWindows(stream, 4, aggregation)[:]
        copied = type(rows)((rows.data, rows.indices, rows.indptr), shape=rows.shape)
        assert copied.has_canonical_format


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("chunk", [1, 3, 2**22])
@pytest.mark.parametrize(
    ("most_cells", "cells_per_token"),
    [(2**26, 10**6), (2**26, 0), (0, 10**6)],
    ids=["cells", "sorted", "sorted for memory"],
)
def test_counts_without_features(
    most_cells, cells_per_token, chunk, aggregation, monkeypatch
):
    monkeypatch.setattr(module, "_MOST_CELLS", most_cells)
    monkeypatch.setattr(module, "_CELLS_PER_TOKEN", cells_per_token)
    monkeypatch.setattr(module, "_CHUNK_TOKENS", chunk)

    @properties
    @given(ids, context_sizes, st.integers(5, 7))
    def check(documents, context_size, n_tokens):
        pad = n_tokens - 1
        stream = TokenStream.from_documents(documents, context_size, pad=pad)
        assert_same_counts(stream, n_tokens, aggregation)
        contexts, targets = oracles.windows(documents, context_size, pad)
        rows = oracles.window_features(contexts, n_tokens, aggregation)
        counts = count_windows(stream, n_tokens, aggregation)
        expected = oracles.cooccurrence(rows, targets, pad)
        assert_array_equal(counts.dense(), expected)
        assert_array_equal(counts.class_count, oracles.class_counts(targets, pad))
        assert counts.n_nonzero == oracles.number_of_nonzeros(rows)

    check()


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_chunks_of_cells_add_up(aggregation, monkeypatch):
    # Enough tokens that all cells are counted in more than one chunk.
    monkeypatch.setattr(module, "_CHUNK_TOKENS", 16)
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 3, size) for size in (40, 1, 25)]
    stream = TokenStream.from_documents(documents, 3, pad=3)
    assert_same_counts(stream, 4, aggregation)


def prefix_keys(documents):
    """Keys of all windows, one token at a time."""
    keys = []
    for document in documents:
        value = 0
        for place, token in enumerate(document):
            value += (int(token) + 1) * module._BASE**place
            keys.append(mixed_bits(np.array([value % 2**64], dtype=np.uint64))[0])
    return np.array(keys, dtype=np.uint64)


class TestKeys:
    @pytest.mark.parametrize("chunk", [1, 3, 2**16])
    def test_smallest_hashes_of_prefixes(self, chunk, monkeypatch):
        monkeypatch.setattr(module, "_CHUNK_KEYS", chunk)

        @properties
        @given(ids, context_sizes, st.integers(1, 9))
        def check(documents, context_size, limit):
            stream = TokenStream.from_documents(documents, context_size, pad=4)
            expected = prefix_keys(documents)
            bound = np.unique(expected)[:limit].max()
            members, keys = window_keys(stream, limit)
            assert_array_equal(members, np.flatnonzero(expected <= bound))
            assert_array_equal(keys, expected[members])

        check()

    @properties
    @given(ids, context_sizes, st.data())
    def test_any_order_and_grouping_keep_the_same(self, documents, size, data):
        order = data.draw(st.permutations(documents))
        cut = data.draw(st.integers(0, len(order)))

        def keys(part, limit=5):
            if not any(part):
                return np.zeros(0, dtype=np.uint64)
            stream = TokenStream.from_documents(part, size, pad=4)
            return np.sort(window_keys(stream, limit)[1])

        whole = keys(documents)
        parts = np.concatenate([keys(order[:cut]), keys(order[cut:])])
        assert_array_equal(keys(order), whole)
        assert_array_equal(np.sort(parts[parts <= whole.max()]), whole)
        # Windows of any size are the same rows.
        wider = TokenStream.from_documents(documents, size + 1, pad=4)
        assert_array_equal(np.sort(window_keys(wider, 5)[1]), whole)

    def test_only_equal_prefixes_share_a_key(self):
        documents = [
            list(ids) for n in range(1, 6) for ids in product((0, 1), repeat=n)
        ]
        stream = TokenStream.from_documents(documents, 2, pad=2)
        _, keys = window_keys(stream, 10**6)
        assert len(keys) == stream.n_targets
        assert len(np.unique(keys)) == len(documents)


@pytest.mark.parametrize("context_size", [0, -1, 2.0, "2", None])
def test_context_size_must_be_a_positive_integer(context_size):
    with pytest.raises(ValueError, match=f"at least 1, not {context_size!r}"):
        context_windows([[1, 2]], context_size)
