"""Windows and their counts against loops, in any grouping of documents."""

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax import context_windows
from explicit_softmax.calibration.sample import mixed_bits
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
by_aggregation = pytest.mark.parametrize("aggregation", AGGREGATIONS)
properties = settings(properties, max_examples=25)
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


def assert_counts(documents, context_size, n_tokens, aggregation):
    pad = n_tokens - 1
    stream = TokenStream.from_documents(documents, context_size, pad=pad)
    counts = count_windows(stream, n_tokens, aggregation)
    lists = [np.asarray(document).tolist() for document in documents]
    contexts, targets = oracles.windows(lists, context_size, pad)
    rows = oracles.window_features(contexts, n_tokens, aggregation)
    assert counts.is_sparse
    assert counts.cooccurrence.has_canonical_format
    assert counts.cooccurrence.data.all()
    assert counts.cooccurrence.dtype == counts.class_count.dtype == np.float64
    assert_array_equal(counts.dense(), oracles.cooccurrence(rows, targets, pad))
    assert_array_equal(counts.class_count, oracles.class_counts(targets, pad))
    assert counts.n_nonzero == oracles.number_of_nonzeros(rows)


@pytest.mark.parametrize(("documents", "pad"), [(ids, -1), (words, "")])
@properties
@given(data=st.data(), context_size=context_sizes)
def test_windows_of_ids_and_of_strings(documents, pad, data, context_size):
    documents = data.draw(documents)
    found = context_windows(documents, context_size)
    assert_windows(found, documents, context_size, pad)
    assert found[0].dtype.kind == found[1].dtype.kind == ("i" if pad else "U")


@pytest.mark.parametrize("document", [[5, 3, 3, 8, 1], ["a", "rose", "is", "a"]])
def test_windows_of_one_document_are_a_view_of_it(document):
    X, y = context_windows([[], document, []], 3)
    assert np.shares_memory(X, y)
    assert np.shares_memory(X[:, 0], X[:, 2])
    assert not X.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        X[0, 0] = X[1, 0]
    assert_windows((X, y), [document], 3, "" if isinstance(document[0], str) else -1)


@pytest.mark.parametrize("dtype", [*np.typecodes["AllInteger"]])
@pytest.mark.parametrize("cells_per_token", [0, 10**9])
def test_pairs_of_ids_do_not_overflow_their_type(cells_per_token, dtype, monkeypatch):
    monkeypatch.setattr(module, "_CELLS_PER_TOKEN", cells_per_token)
    largest = min(int(np.iinfo(dtype).max), 250)
    documents = [[0, largest, 2], [largest, 1]]
    arrays = [np.array(document, dtype=dtype) for document in documents]
    X, y = context_windows(arrays, 2)
    assert X.dtype.kind == y.dtype.kind == "i"
    assert_windows((X, y), documents, 2, -1)
    for aggregation in AGGREGATIONS:
        assert_counts(arrays, 2, largest + 2, aggregation)


def test_documents_of_mixed_integer_types_and_a_pad_beyond_them():
    documents = [np.array([1], np.uint8), np.array([5], np.uint64), [2**40]]
    X, y = context_windows(documents, 1)
    assert X.dtype == y.dtype == np.int64
    assert_array_equal(y, [1, 5, 2**40])
    stream = TokenStream.from_documents(documents[:1], 2, pad=70_000)
    assert_array_equal(stream.tokens, [70_000, 70_000, 1])


@pytest.mark.parametrize("dtype", [None, object])
def test_any_form_of_documents(dtype):
    documents = [["a", "rose"], ["is"], ["a", "rose", "is", "a"]]
    arrays = (np.array(document, dtype=dtype) for document in documents)
    assert_windows(context_windows(arrays, 2), documents, 2, "")


def any_members(n_targets):
    places = st.integers(0, n_targets - 1)
    lists = st.lists(places, max_size=6).map(lambda x: np.array(x, dtype=np.intp))
    return st.one_of(lists, st.builds(slice, places, places))


@properties
@given(ids, context_sizes, st.data())
def test_any_members_of_the_windows(documents, context_size, data):
    stream = TokenStream.from_documents(documents, context_size)
    X, y = context_windows(documents, context_size)
    assert stream.n_targets == len(y)
    members = data.draw(any_members(len(y)))
    assert_array_equal(stream.windows(members), X[members])
    assert_array_equal(stream.targets[members], y[members])


@by_aggregation
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
    # The format is as declared: a copy finds it out for itself.
    copied = type(rows)((rows.data, rows.indices, rows.indptr), shape=rows.shape)
    assert copied.has_canonical_format
    assert rows.shape == features.shape == expected.shape
    assert_array_equal(rows.toarray(), expected)
    assert rows.nnz == np.count_nonzero(expected)
    members = data.draw(any_members(len(expected)))
    assert_array_equal(features[members].toarray(), expected[members])


@by_aggregation
@pytest.mark.parametrize(
    ("chunk", "cells_per_token", "most_cells"),
    [
        (2**22, 10**6, 2**26),  # all pairs have a cell
        (3, 10**6, 2**26),
        (1, 0, 2**26),  # sorted
        (3, 0, 2**26),
        (2**22, 0, 2**26),
        (3, 10**6, 0),  # sorted for lack of memory
    ],
)
def test_counts_without_features(
    chunk, cells_per_token, most_cells, aggregation, monkeypatch
):
    monkeypatch.setattr(module, "_CHUNK_TOKENS", chunk)
    monkeypatch.setattr(module, "_CELLS_PER_TOKEN", cells_per_token)
    monkeypatch.setattr(module, "_MOST_CELLS", most_cells)

    @properties
    @given(ids, context_sizes, st.integers(5, 7))
    @example([[0, 1, 2, 3, 3] * 8, [1], [2] * 25], 3, 5)  # chunks of cells add up
    def check(documents, context_size, n_tokens):
        assert_counts(documents, context_size, n_tokens, aggregation)

    check()


def prefix_keys(documents):
    """Keys of all windows, one token at a time."""
    values = []
    for document in documents:
        value = 0
        for place, token in enumerate(document):
            value += (token + 1) * module._BASE**place
            values.append(value % 2**64)
    return mixed_bits(np.array(values, dtype=np.uint64))


@pytest.mark.parametrize("chunk", [1, 3, 2**16])
def test_keys_are_the_smallest_hashes_of_prefixes(chunk, monkeypatch):
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


def test_only_equal_prefixes_share_a_key():
    documents = [ids for n in range(1, 6) for ids in product((0, 1), repeat=n)]
    stream = TokenStream.from_documents(documents, 2, pad=2)
    _, keys = window_keys(stream, 10**6)
    assert len(keys) == stream.n_targets
    assert len(np.unique(keys)) == len(documents)


@pytest.mark.parametrize("context_size", [0, -1, 2.0, "2", None])
def test_context_size_must_be_a_positive_integer(context_size):
    with pytest.raises(ValueError, match=f"at least 1, not {context_size!r}"):
        context_windows([[1, 2]], context_size)
