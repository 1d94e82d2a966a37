"""Streaming, merging, and forgetting give the model of one fit, to the last bit."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from explicit_softmax import ExplicitSoftmaxClassifier
from explicit_softmax.calibration import model as model_module
from explicit_softmax.calibration.sample import BUDGETS, Budget
from explicit_softmax.solution.theorem import explicit_decoder
from tests import strategies

pytestmark = pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")

N_CLASSES = 3
few_examples = settings(strategies.properties, max_examples=25)


@st.composite
def parted_rows(draw):
    """Dense or sparse counts, labels that may miss classes, rows of each part."""
    X, y, _ = draw(strategies.labelled_counts(max_classes=N_CLASSES))
    layout = draw(st.sampled_from([np.asarray, sp.csr_array]))
    parts = draw(strategies.partitions(len(y)))
    return layout(X), y, [part for part in parts if len(part)]


def count(X, y, clf=None, **parameters):
    clf = clf or ExplicitSoftmaxClassifier(**parameters)
    return clf.partial_fit(X, y, classes=range(N_CLASSES))


def dense(values):
    return values.toarray() if sp.issparse(values) else values


def assert_identical(first, second):
    for name in (
        "feature_count_",
        "class_count_",
        "coef_",
        "intercept_",
        "priming_number_",
        "inverse_temperature_",
        "smoothing_strength_",
    ):
        np.testing.assert_array_equal(
            *(dense(getattr(m, name)) for m in (first, second))
        )


@few_examples
@given(
    parted_rows(),
    st.sampled_from(["uniform", "prior", "noise"]),
    st.sampled_from(["column", "intercept", "exact"]),
)
def test_chained_partial_fit_in_any_order_is_one_fit(data, smoothing, translation):
    X, y, parts = data
    parameters = {"smoothing": smoothing, "translation": translation}
    whole = count(X, y, **parameters)
    streamed = ExplicitSoftmaxClassifier(**parameters)
    for part in parts:
        count(X[part], y[part], streamed)
    assert_identical(streamed, whole)
    if len(np.unique(y)) == N_CLASSES:
        assert_identical(ExplicitSoftmaxClassifier(**parameters).fit(X, y), whole)


@few_examples
@given(parted_rows(), st.randoms(use_true_random=False))
def test_any_tree_of_merges_is_one_fit(data, random):
    X, y, parts = data
    shards = [count(X[part], y[part]) for part in parts]
    before = [pickle.dumps(shard) for shard in shards]
    assert_identical(pickle.loads(before[0]).merge(*shards[1:]), count(X, y))
    assert [pickle.dumps(shard) for shard in shards] == before
    while len(shards) > 1:
        taken = shards.pop(random.randrange(len(shards)))
        at = random.randrange(len(shards))
        shards[at] = taken.merge(shards[at])
    assert_identical(shards[0], count(X, y))


@pytest.fixture
def documents():
    rng = np.random.default_rng(3)
    y = rng.integers(N_CLASSES, size=400)
    return rng.poisson(rng.gamma(0.5, size=(N_CLASSES, 20))[y]).astype(float), y


def test_order_of_a_long_stream_does_not_matter(monkeypatch):
    # Sorted by label, with far more rows than the sample holds.
    small = Budget(100, 2**20, 2**20, least_rows=50)
    monkeypatch.setitem(BUDGETS, "intercepts", small)
    monkeypatch.setitem(BUDGETS, "strength", small)
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(N_CLASSES, size=1000))
    X = rng.poisson(rng.gamma(0.5, size=(N_CLASSES, 20))[y]).astype(float)
    streams = []
    for order in (np.arange(1000), rng.permutation(1000)):
        clf = ExplicitSoftmaxClassifier()
        for batch in np.array_split(order, 7):
            count(X[batch], y[batch], clf)
        streams.append(clf)
    assert_identical(*streams)
    sample = streams[0]._model.sample
    assert len(sample.y) == 100
    assert set(sample.y) == set(range(N_CLASSES))


def test_parameters_are_those_of_the_first_batch(documents):
    X, y = documents
    clf = count(X[:200], y[:200])
    before = clf.predict_proba(X)
    clf.set_params(norm_exponent=0.0)
    with pytest.raises(ValueError, match=r"norm_exponent=0\.0 differs from 0\.5"):
        clf.partial_fit(X[200:], y[200:])
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    # Rows are taken out as they were counted.
    clf.forget(X[100:200], y[100:200])
    expected = ExplicitSoftmaxClassifier().fit(X[:100], y[:100])
    np.testing.assert_array_equal(clf.feature_count_, expected.feature_count_)


def test_forgotten_rows_are_not_kept(documents):
    X, y = documents
    secret = np.full((1, X.shape[1]), 123456789.0)
    clf = ExplicitSoftmaxClassifier().fit(np.vstack([X, secret]), np.append(y, 0))
    assert secret.tobytes() in pickle.dumps(clf)
    clf.forget(secret, [0])
    assert secret[0, :2].tobytes() not in pickle.dumps(clf)


def test_forget_everything_and_start_again(documents):
    X, y = documents
    clf = ExplicitSoftmaxClassifier().fit(X, y).forget(X, y)
    assert clf.class_count_.sum() == 0
    np.testing.assert_allclose(clf.predict_proba(X), 1 / N_CLASSES)
    clf.partial_fit(X, y)
    fresh = ExplicitSoftmaxClassifier().fit(X, y)
    np.testing.assert_allclose(clf.predict_proba(X), fresh.predict_proba(X), atol=1e-6)


def test_batches_may_be_dense_and_sparse(documents):
    X, y = documents
    clf = count(X[:100], y[:100])
    clf.partial_fit(sp.csr_array(X[100:]), y[100:])
    fresh = ExplicitSoftmaxClassifier().fit(X, y)
    np.testing.assert_array_equal(clf.feature_count_, fresh.feature_count_)
    np.testing.assert_allclose(clf.predict_proba(X), fresh.predict_proba(X), atol=1e-6)


def test_streaming_without_smoothing_may_start_with_zeros():
    how = {"smoothing": None, "inverse_temperature": 0.7, "translation": "column"}
    clf = count(np.array([[1.0, 0.0]]), [0], **how)
    with pytest.raises(ValueError, match="smoothing=None"):
        clf.predict([[1.0, 0.0]])
    clf.partial_fit(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]), [0, 1, 2])
    assert np.isfinite(clf.predict_log_proba([[1.0, 0.0]])).all()


MANY_LABELS = {
    "integers as text": (np.arange(30), np.arange(10, 16).astype(str)),
    "text as integers": (np.arange(30).astype(str), np.arange(10, 16)),
    "floats between": (np.arange(30), np.array([9.0, 10.5])),
    "above exact floats": (2**60 + np.arange(30), np.array([2**60 + 40], np.uint64)),
}


@pytest.mark.parametrize("method", ["partial_fit", "forget"])
@pytest.mark.parametrize("kind", MANY_LABELS)
def test_labels_of_another_kind_are_not_taken_for_classes(kind, method):
    classes, labels = MANY_LABELS[kind]
    clf = ExplicitSoftmaxClassifier(inverse_temperature=0.5)
    clf.fit(np.ones((60, 1)), np.tile(classes, 2))
    with pytest.raises(ValueError, match=r"not in classes|Unknown label type"):
        getattr(clf, method)(np.ones((len(labels), 1)), labels)
    np.testing.assert_array_equal(clf.class_count_, 2)


def test_equal_labels_of_another_type_are_their_classes():
    classes = 2**60 + np.arange(20)
    clf = ExplicitSoftmaxClassifier(inverse_temperature=0.5)
    clf.partial_fit(np.ones((20, 1)), classes, classes=classes)
    clf.partial_fit(np.ones((20, 1)), classes.astype(np.uint64))
    np.testing.assert_array_equal(clf.class_count_, 2)


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
# The last weights are below the rounding of the first sums.
@pytest.mark.parametrize("weight", [[0.1, 0.2, 0.3], [1.0, 0.1, 1e-18]])
def test_forget_all_rows_one_by_one_with_weights(weight, layout, smoothing):
    X = layout(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    y, weight = np.array([0, 1, 0]), np.array(weight)
    clf = ExplicitSoftmaxClassifier(smoothing=smoothing).fit(X, y, weight)
    for row in range(3):
        at = slice(row, row + 1)
        clf.forget(X[at], y[at], weight[at])
    assert not dense(clf.feature_count_).any()
    assert not clf.class_count_.any()
    np.testing.assert_allclose(clf.predict_proba(X), 0.5)


def test_forget_all_counts_by_rows_that_were_not_counted():
    clf = ExplicitSoftmaxClassifier().fit([[1, 1], [1, 1], [1, 2]], [0, 0, 1])
    clf.forget([[2, 0], [0, 2], [1, 2]], [0, 0, 1])
    assert np.isfinite(clf.predict_log_proba([[1, 1]])).all()


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_what_is_small_beside_forgotten_rows_stays(layout):
    X = layout(np.array([[1e10], [0.5], [1.0]]))
    how = {"inverse_temperature": 0.1, "norm_exponent": 0.0}
    clf = ExplicitSoftmaxClassifier(**how).fit(X, [0, 0, 1])
    clf.forget(X[:1], [0])
    np.testing.assert_array_equal(dense(clf.feature_count_), [[0.5], [1.0]])
    clf.forget(X[1:2], [0])
    np.testing.assert_array_equal(dense(clf.feature_count_), [[0.0], [1.0]])


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fractions_are_forgotten_in_another_grouping(dtype, norm_exponent):
    rng = np.random.default_rng(0)
    X, y = rng.random((3000, 5)).astype(dtype), rng.integers(3, size=3000)
    clf = count(X, y, inverse_temperature=1.0, norm_exponent=norm_exponent)
    for part in np.array_split(rng.permutation(3000), 70):
        clf.forget(X[part], y[part])
    assert not clf.feature_count_.any()
    assert not clf.class_count_.any()


@pytest.mark.parametrize("method", ["partial_fit", "forget"])
def test_dense_rows_leave_counts_sparse(documents, method):
    X, y = documents
    clf, expected = (count(sp.csr_array(X), y) for _ in range(2))
    getattr(clf, method)(X[:1], y[:1])
    assert sp.issparse(clf.feature_count_)
    getattr(expected, method)(sp.csr_array(X[:1]), y[:1])
    assert_identical(clf, expected)


def test_a_prediction_beside_partial_fit_leaves_no_stale_solution(
    documents, monkeypatch
):
    X, y = documents
    clf = count(X[:200], y[:200])

    def counting_meanwhile(*args, **how):
        monkeypatch.undo()
        count(X[200:], y[200:], clf)
        return explicit_decoder(*args, **how)

    monkeypatch.setattr(model_module, "explicit_decoder", counting_meanwhile)
    clf.predict(X)
    assert_identical(clf, count(X, y))


@pytest.mark.parametrize("name", ["class_count_", "feature_count_"])
def test_attributes_cannot_change_the_counts(documents, name):
    clf = count(*documents)
    with pytest.raises(ValueError, match="read-only"):
        getattr(clf, name)[...] = 0


def test_type_of_a_merged_model_does_not_depend_on_the_order(documents):
    X, y = documents
    shards = count(X[:200].astype(np.float32), y[:200]), count(X[200:], y[200:])
    for first, second in (shards, shards[::-1]):
        assert pickle.loads(pickle.dumps(first)).merge(second).coef_.dtype == np.float64
