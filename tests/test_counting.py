"""Streaming, merging, and forgetting give the model of one fit, to the last bit."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from explicit_softmax import ExplicitSoftmaxClassifier
from explicit_softmax.calibration.sample import BUDGETS, Budget
from tests import strategies

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
    while len(shards) > 1:
        taken = shards.pop(random.randrange(len(shards)))
        at = random.randrange(len(shards))
        shards[at] = taken.merge(shards[at])
    assert_identical(shards[0], count(X, y))


@few_examples
@given(parted_rows())
def test_merge_of_all_at_once_leaves_the_others_alone(data):
    X, y, parts = data
    first, *others = (count(X[part], y[part]) for part in parts)
    before = [pickle.dumps(other) for other in others]
    assert_identical(first.merge(*others), count(X, y))
    assert [pickle.dumps(other) for other in others] == before


@few_examples
@given(parted_rows())
def test_forget_undoes(data):
    X, y, (first, *others) = data
    clf = count(X, y)
    for part in others:
        clf.forget(X[part], y[part])
    assert_identical(clf, count(X[first], y[first]))


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


def test_forget_of_weights(documents):
    X, y = documents
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(y))
    clf = ExplicitSoftmaxClassifier().fit(X, y, sample_weight=weight)
    clf.forget(X[100:], y[100:], sample_weight=weight[100:])
    expected = ExplicitSoftmaxClassifier().fit(X[:100], y[:100], weight[:100])
    np.testing.assert_allclose(clf.feature_count_, expected.feature_count_, atol=1e-9)
    np.testing.assert_allclose(
        clf.predict_proba(X), expected.predict_proba(X), atol=1e-4
    )


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
