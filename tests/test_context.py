"""ContextWindowTransformer: vocabularies, features, and the literal noise model."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from explicit_softmax import (
    ContextWindowTransformer,
    ExplicitSoftmaxClassifier,
    context_windows,
)
from explicit_softmax.solution.smoothing import feature_blocks
from explicit_softmax.text.windows import TokenStream, count_windows
from tests import oracles
from tests.strategies import properties

AGGREGATIONS = ["sum", "cat"]
WORDS = np.array(["", "a", "b", "rose", "\u03c0", "\u03c1", "\u03c2", "z"])
ROSE = [["a", "rose", "is", "a", "rose"], ["is", "rose", "a"]]


KINDS = {
    "ids": np.asarray,
    "huge ids": lambda X: np.where(X < 0, X, X * 2**59 + 1),
    "strings": lambda X: WORDS[X + 1],
}
each_kind = pytest.mark.parametrize("as_tokens", KINDS.values(), ids=KINDS)


def id_windows(largest=4):
    shapes = st.tuples(st.integers(1, 8), st.integers(1, 3))
    return arrays(np.int64, shapes, elements=st.integers(-1, largest))


def expected_features(windows, kept, aggregation):
    """Dense features of windows of ids by the definition."""
    code_of = {token: code for code, token in enumerate([*kept, -1])}
    codes = [[code_of.get(i, len(code_of)) for i in row] for row in windows.tolist()]
    return oracles.window_features(codes, len(kept) + 2, aggregation)


def corpus(n_tokens=4, size=400, seed=0):
    """Ids in which each follows each, and depends on both of the two before."""
    rng = np.random.default_rng(seed)
    tokens = [0, 1]
    for _ in range(size):
        choices = [tokens[-2], (tokens[-1] + 1) % n_tokens, rng.integers(n_tokens)]
        tokens.append(int(rng.choice(choices, p=[0.5, 0.3, 0.2])))
    return np.split(np.array(tokens), [50, 51, 53, 200])


@each_kind
@properties
@given(id_windows(), id_windows(largest=6), st.sampled_from(AGGREGATIONS))
def test_features_are_those_of_the_definition(as_tokens, windows, other, aggregation):
    other = np.resize(other, (len(other), windows.shape[1]))
    kept = sorted(set(windows.ravel()) - {-1})
    context = ContextWindowTransformer(aggregation=aggregation, dtype=np.float32)
    context.fit(as_tokens(windows))
    assert_array_equal(context.categories_, as_tokens(np.array(kept, dtype=int)))
    assert context.categories_.dtype in (np.int64, object)
    features = context.transform(as_tokens(other))
    assert isinstance(features, sp.csr_array)
    assert features.dtype == np.float32
    assert features.has_canonical_format
    expected = expected_features(other, kept, aggregation)
    assert_array_equal(features.toarray(), expected)
    assert expected.shape[1] == context.n_blocks_ * (len(kept) + 2)
    context.set_params(sparse_output=False)
    assert_array_equal(context.transform(as_tokens(other)), expected)


LIMITS = st.one_of(st.none(), st.integers(1, 5), st.floats(0.05, 0.6))


@each_kind
@properties
@given(id_windows(), st.one_of(st.none(), st.integers(1, 4)), LIMITS)
def test_frequent_tokens_are_kept(as_tokens, windows, most, least):
    counts = Counter(windows.ravel().tolist())
    del counts[-1]
    bound = (least or 0) * (counts.total() if isinstance(least, float) else 1)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    kept = sorted([token for token in ranked if counts[token] >= bound][:most])
    context = ContextWindowTransformer(max_categories=most, min_frequency=least)
    features = context.fit_transform(as_tokens(windows))
    assert_array_equal(context.categories_, as_tokens(np.array(kept, dtype=int)))
    assert_array_equal(features.toarray(), expected_features(windows, kept, "cat"))


@properties
@given(id_windows(), st.data())
def test_context_size_is_as_if_there_were_no_other_columns(windows, data):
    size = data.draw(st.integers(1, windows.shape[1]))
    fewer = ContextWindowTransformer(context_size=size).fit(windows)
    alone = ContextWindowTransformer().fit(windows[:, :size])
    assert fewer.context_size_ == alone.context_size_ == fewer.n_blocks_ == size
    assert_array_equal(fewer.categories_, alone.categories_)
    difference = fewer.transform(windows) - alone.transform(windows[:, :size])
    assert difference.nnz == 0
    assert_array_equal(fewer.get_feature_names_out(), alone.get_feature_names_out())


@pytest.mark.parametrize(
    ("documents", "frames"),
    [
        (ROSE, ["object", "string", "category"]),
        (corpus(), ["object", "int8", "float32", "Int64", "category"]),
    ],
)
def test_tokens_in_any_container(documents, frames):
    X, _ = context_windows(documents, 2)
    context = ContextWindowTransformer().fit(X)
    arrays = X.tolist(), X.astype(object), np.asfortranarray(X)
    for container in (*arrays, *(pd.DataFrame(X).astype(kind) for kind in frames)):
        other = ContextWindowTransformer().fit(container)
        assert_array_equal(other.categories_, context.categories_)
        assert (other.transform(container) != context.transform(X)).nnz == 0


def test_a_long_token_takes_no_room_from_the_others():
    X = np.array([["x" * 1000, "a"], ["a", "b\0"]], dtype=object)
    context = ContextWindowTransformer().fit(X)
    assert context.categories_.tolist() == ["a", "b\0", "x" * 1000]
    assert context.transform([["b", "b\0"]]).indices.tolist() == [4, 6]
    # Nor do unsigned ids wrap.
    context.fit(np.array([[1], [200]], dtype=np.uint8))
    assert context.categories_.tolist() == [1, 200]


@pytest.mark.parametrize("categories", [["b", "z", "a"], np.array(["b", "z", "a"])])
def test_given_categories_keep_their_order(categories):
    context = ContextWindowTransformer(categories=categories, aggregation="sum")
    features = context.fit_transform([["a", "b"], ["c", ""]]).toarray()
    assert context.categories_.tolist() == ["b", "z", "a"]
    assert_array_equal(features, [[1, 0, 1, 0, 0], [0, 0, 0, 1, 1]])
    context.set_params(max_categories=2).fit([["a", "b"], ["a", "c"]])
    assert context.categories_.tolist() == ["b", "a"]
    # No token was seen: the first ones are kept.
    context.fit([["", "c"]])
    assert context.categories_.tolist() == ["b", "z"]
    # The share is of all tokens, whether they are in `categories` or not.
    context.set_params(min_frequency=0.5).fit([["a", "b"], ["a", "c"]])
    assert context.categories_.tolist() == ["a"]


def test_given_ids_in_any_order():
    context = ContextWindowTransformer(categories=[7, 3], sparse_output=False)
    assert_array_equal(context.fit_transform([[3], [7]])[:, :2], [[0, 1], [1, 0]])
    by_range = ContextWindowTransformer(categories=range(3)).fit([[0]])
    assert by_range.transform([[2], [3]]).indices.tolist() == [2, 4]


@pytest.mark.parametrize("pad", [-1, ""])
def test_padding_only_leaves_an_empty_vocabulary(pad):
    context = ContextWindowTransformer().fit([[pad, pad]])
    assert context.categories_.size == 0
    token = 3 if pad == -1 else "a"
    assert context.transform([[pad, token]]).indices.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("tokens", "aggregation", "names"),
    [
        ([["a", ""]], "sum", "a <pad> <oov>"),
        ([["a", ""]], "cat", "a@-1 <pad>@-1 <oov>@-1 a@-2 <pad>@-2 <oov>@-2"),
        ([[17, -1]], "sum", "17 <pad> <oov>"),
        ([["<pad>", "<<pad>>"]], "sum", "<<pad>> <pad> <<<pad>>> <oov>"),
        ([["<oov>", "x@-1"]], "sum", "<oov> x@-1 <pad> <<oov>>"),
        ([["<pad>"], ["<pad>@-1"]], "cat", "<pad>@-1 <pad>@-1@-1 <<pad>>@-1 <oov>@-1"),
    ],
)
def test_feature_names(tokens, aggregation, names):
    context = ContextWindowTransformer(aggregation=aggregation).fit(tokens)
    found = context.get_feature_names_out()
    assert found.tolist() == names.split()
    assert found.dtype == object
    assert context.transform(tokens).shape[1] == len(found)


def test_set_output_and_names_of_columns():
    frame = pd.DataFrame({"near": ["a", "b"], "far": ["", "a"]})
    context = ContextWindowTransformer().fit(frame)
    context.get_feature_names_out(["near", "far"])
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        context.get_feature_names_out(["far", "near"])
    X, _ = context_windows(ROSE, 2)
    context = ContextWindowTransformer(sparse_output=False)
    array = context.fit_transform(X)
    context.set_output(transform="pandas")
    frame = context.fit_transform(pd.DataFrame(X, index=np.arange(len(X)) + 5))
    assert frame.columns.tolist() == context.get_feature_names_out().tolist()
    assert_array_equal(frame, array)
    assert frame.index[0] == 5
    context.set_params(sparse_output=True)
    with pytest.raises(ValueError, match="outputs a scipy sparse matrix"):
        context.transform(X)


MIXED = "X argument must be all strings or all numbers"
BAD_TOKENS = [
    ([[1, 2], [0, -5]], ValueError, "Negative values in data: row 1 of X holds -5"),
    ([[1, 2], [0, 0.5]], ValueError, r"row 1 of X holds 0.5. Ids are whole numbers"),
    ([[1, 2], [0, 2.0**63]], ValueError, r"row 1 of X holds 9.22\d*e\+18"),
    (np.array([[1, 2], [0, 2**64 - 1]], dtype=np.uint64), ValueError, "row 1 of X"),
    ([[1, 2], [0, np.nan]], ValueError, "NaN"),
    (np.array([["a", 1]], dtype=object), TypeError, f"{MIXED}.*; row 0 holds a int"),
    ([["a", "b"], ["a", 1]], TypeError, f"{MIXED}.*; row 1 holds a int"),
    ([[1, 2], [1, "a"]], TypeError, f"{MIXED}.*; row 1 holds a str"),
    ([["a", "b"], ["a", None]], TypeError, f"{MIXED}.*; row 1 holds a NoneType"),
    ([["a", "b"], ["c", {}]], TypeError, f"{MIXED}.*; row 1 holds a dict"),
    ([[b"a", b"b"]], TypeError, f"{MIXED}.*, not values of type"),
    ([[True, False]], TypeError, f"{MIXED}.*, not values of type bool"),
    (np.array([[True, 1]], dtype=object), TypeError, f"{MIXED}.*; row 0 holds a bool"),
    ([1, 2], ValueError, "Reshape your data"),
    (sp.csr_array([[1, 2]]), TypeError, "Sparse data was passed"),
]


@pytest.mark.parametrize("method", ["fit", "transform"])
@pytest.mark.parametrize(("tokens", "error", "message"), BAD_TOKENS)
def test_bad_tokens_leave_a_fit_as_it_was(tokens, error, message, method):
    context = ContextWindowTransformer().fit(np.array([[0, 1], [1, 2]]))
    before = dict(vars(context))
    with pytest.raises(error, match=message):
        getattr(context, method)(tokens)
    assert vars(context) == before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"context_size": 3}, "context_size=3 is more than the columns of X, 2"),
        ({"context_size": 0}, "'context_size' parameter"),
        ({"aggregation": "mean"}, "'aggregation' parameter"),
        ({"min_frequency": 1.5}, "'min_frequency' parameter"),
        ({"min_frequency": 0}, "'min_frequency' parameter"),
        ({"categories": []}, "minimum of 1 is required"),
        ({"categories": [["a"], ["b"]]}, "must be a list of distinct tokens for all"),
        ({"categories": ["a", "b", "a"]}, "must be a list of distinct tokens"),
        ({"categories": ["a", ""]}, "distinct tokens .*, without padding .''"),
        ({"categories": ["a", 1]}, "the categories argument must be .*; row 1 holds"),
        ({"categories": [1, 2.5]}, "row 1 of categories holds 2.5"),
        ({"categories": [1, np.nan]}, "NaN"),
        ({"categories": [3, 4]}, "tokens as strings, and categories had ids"),
    ],
)
def test_bad_parameters_leave_a_fit_as_it_was(parameters, message):
    X = np.array([["a", ""], ["b", "a"]])
    context = ContextWindowTransformer().fit(X)
    context.set_params(**parameters)
    before = dict(vars(context))
    with pytest.raises((ValueError, TypeError), match=message):
        context.fit(X)
    assert vars(context) == before


def test_windows_unlike_those_of_fit():
    context = ContextWindowTransformer().fit([["a", "b"]])
    with pytest.raises(TypeError, match="tokens as ids, and fit had strings"):
        context.transform([[1, 2]])
    with pytest.raises(ValueError, match=r"X has 1 features, but .* is expecting 2"):
        context.transform([["a"]])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_counts_of_the_pipeline_are_those_of_count_windows(aggregation):
    documents, n_tokens, size = corpus(), 4, 3
    stream = TokenStream.from_documents(documents, size, pad=n_tokens)
    counts = count_windows(stream, n_tokens + 1, aggregation)
    X, y = context_windows(documents, size)
    context = ContextWindowTransformer(aggregation=aggregation).fit(X)
    clf = ExplicitSoftmaxClassifier(n_blocks=context.n_blocks_, norm_exponent=0.0)
    clf.fit(context.transform(X), y)
    found = clf.feature_count_.toarray().reshape(n_tokens, context.n_blocks_, -1)
    expected = counts.dense().T.reshape(n_tokens, context.n_blocks_, -1)
    assert_array_equal(found[:, :, : n_tokens + 1], expected)
    assert not found[:, :, n_tokens + 1].any()
    assert_array_equal(clf.class_count_, counts.class_count)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_folded_noise_is_the_theorem_on_dense_noisy_rows(aggregation):
    """Eq. 3 on rows times E (Eq. 4), which the classifier never forms."""
    # 9 is too rare for the vocabulary.
    X, y = context_windows([*corpus(), np.array([0, 9, 1, 9, 2])], 2)
    context = ContextWindowTransformer(aggregation=aggregation, min_frequency=5).fit(X)
    assert 9 not in context.categories_
    clf = ExplicitSoftmaxClassifier(
        smoothing="noise", inverse_temperature=1.0, norm_exponent=0.0
    ).set_params(n_blocks=context.n_blocks_, translation="column")
    clf.fit(context.transform(X), y)
    rows = context.transform(X).toarray()
    blocks = feature_blocks(rows.shape[1], context.n_blocks_)
    labels, codes = np.unique(y, return_inverse=True)
    fixed = oracles.fix(rows, codes, len(labels), blocks)
    embedding = oracles.noise_matrix(fixed, blocks)
    noisy = rows @ embedding
    # The embedding keeps the norm of each block.
    assert_allclose(noisy.sum(axis=1), X.shape[1], rtol=1e-11)
    counts = oracles.cooccurrence(noisy, codes, len(labels))
    weights = oracles.theorem(counts, priming_number=X.shape[1])
    unseen = np.array([[3, 8], [8, 8], [-1, -1], [1, -1]])
    for windows in (X, unseen):
        features = context.transform(windows)
        scores = features.toarray() @ embedding @ weights
        expected = np.exp(oracles.log_probabilities(scores))
        found = clf.predict_proba(features)
        assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_grid_search_over_windows():
    X, y = context_windows(corpus(size=600), 3)
    steps = [("context", ContextWindowTransformer())]
    steps.append(("clf", ExplicitSoftmaxClassifier(inverse_temperature=0.9)))
    grid = [{"context__context_size": [k], "clf__n_blocks": [k]} for k in (1, 2, 3)]
    grid.append({"context__context_size": [1, 2, 3], "context__aggregation": ["sum"]})
    search = GridSearchCV(Pipeline(steps), grid, scoring="neg_log_loss", cv=2)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    # Tokens depend on the two before, and on which of them stands where.
    assert search.best_params_["context__context_size"] >= 2
    assert search.best_params_.get("context__aggregation", "cat") == "cat"
    assert_allclose(search.predict_proba(X[:5]).sum(axis=1), 1.0)


def test_blocks_of_another_window_are_an_error_that_names_them():
    X, y = context_windows(corpus(n_tokens=5), 3)
    clf = ExplicitSoftmaxClassifier(n_blocks=3)
    pipeline = make_pipeline(ContextWindowTransformer(context_size=2), clf)
    with pytest.raises(ValueError, match="n_blocks=3 does not divide the 14 features"):
        pipeline.fit(X, y)
