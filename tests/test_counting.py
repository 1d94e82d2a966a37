"""Streaming, merging, and forgetting give the model of one fit, to the last bit."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from explicit_softmax import ExplicitSoftmaxClassifier
from explicit_softmax.calibration.sample import BUDGETS, Budget

N_CLASSES = 3
EXACT = settings(deadline=None, derandomize=True, max_examples=25)


@st.composite
def labelled_counts(draw):
    """Small counts, labels that may miss classes, and how to cut the rows."""
    n_rows = draw(st.integers(2, 25))
    n_features = draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, size=(n_rows, n_features)).astype(float)
    y = rng.integers(0, draw(st.integers(1, N_CLASSES)), size=n_rows)
    cuts = sorted(draw(st.lists(st.integers(1, n_rows - 1), max_size=4, unique=True)))
    as_sparse = draw(st.booleans())
    return sp.csr_array(X) if as_sparse else X, y, cuts


def make(**parameters):
    return ExplicitSoftmaxClassifier(**parameters)


def count(clf, X, y):
    return clf.partial_fit(X, y, classes=range(N_CLASSES))


def parts(X, y, cuts):
    bounds = [0, *cuts, len(y)]
    for i in range(len(bounds) - 1):
        chunk = slice(bounds[i], bounds[i + 1])
        yield X[chunk], y[chunk]


def dense(values):
    return values.toarray() if sp.issparse(values) else values


def assert_identical(first, second):
    np.testing.assert_array_equal(
        dense(first.feature_count_), dense(second.feature_count_)
    )
    np.testing.assert_array_equal(first.class_count_, second.class_count_)
    np.testing.assert_array_equal(first.coef_, second.coef_)
    np.testing.assert_array_equal(first.intercept_, second.intercept_)
    assert first.priming_number_ == second.priming_number_
    assert first.inverse_temperature_ == second.inverse_temperature_
    assert first.smoothing_strength_ == second.smoothing_strength_


@EXACT
@given(
    labelled_counts(),
    st.sampled_from(["uniform", "prior", "noise"]),
    st.sampled_from(["column", "exact"]),
)
def test_chained_partial_fit_is_one_fit(data, smoothing, translation):
    X, y, cuts = data
    parameters = {"smoothing": smoothing, "translation": translation}
    whole = count(make(**parameters), X, y)
    streamed = make(**parameters)
    for batch in parts(X, y, cuts):
        count(streamed, *batch)
    assert_identical(streamed, whole)
    if len(np.unique(y)) == N_CLASSES:
        assert_identical(make(**parameters).fit(X, y), whole)


@EXACT
@given(labelled_counts(), st.randoms(use_true_random=False))
def test_any_tree_of_merges_is_one_fit(data, random):
    X, y, cuts = data
    shards = [count(make(), *shard) for shard in parts(X, y, cuts)]
    while len(shards) > 1:
        taken = shards.pop(random.randrange(len(shards)))
        at = random.randrange(len(shards))
        shards[at] = taken.merge(shards[at])
    assert_identical(shards[0], count(make(), X, y))


@EXACT
@given(labelled_counts())
def test_merge_of_all_at_once_leaves_the_others_alone(data):
    X, y, cuts = data
    first, *others = (count(make(), *shard) for shard in parts(X, y, cuts))
    before = [pickle.dumps(other) for other in others]
    assert_identical(first.merge(*others), count(make(), X, y))
    assert [pickle.dumps(other) for other in others] == before


@EXACT
@given(labelled_counts())
def test_forget_undoes(data):
    X, y, cuts = data
    last = cuts[0] if cuts else 1
    clf = count(make(), X, y).forget(X[last:], y[last:])
    assert_identical(clf, count(make(), X[:last], y[:last]))


@EXACT
@given(labelled_counts())
def test_order_of_rows_does_not_matter(data):
    X, y, _ = data
    order = np.random.default_rng(0).permutation(len(y))
    assert_identical(count(make(), X[order], y[order]), count(make(), X, y))


@pytest.fixture
def documents():
    rng = np.random.default_rng(3)
    y = rng.integers(N_CLASSES, size=400)
    return rng.poisson(rng.gamma(0.5, size=(N_CLASSES, 20))[y]).astype(float), y


@pytest.mark.parametrize("translation", ["column", "intercept", "exact"])
@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
def test_chosen_numbers_follow_the_counts(documents, translation, as_rows):
    X, y = documents
    X = as_rows(X)
    fitted = ExplicitSoftmaxClassifier(translation=translation)
    whole = fitted.fit(X, y)
    streamed = ExplicitSoftmaxClassifier(translation=translation)
    for batch in parts(X, y, [100, 150, 390]):
        count(streamed, *batch)
    merged = ExplicitSoftmaxClassifier(translation=translation).fit(X[:200], y[:200])
    other = ExplicitSoftmaxClassifier(translation=translation).fit(X[200:], y[200:])
    merged.merge(other)
    extra = np.random.default_rng(4).poisson(1.0, size=(30, 20)).astype(float)
    grown = sp.vstack([X, extra], format="csr") if sp.issparse(X) else np.r_[X, extra]
    labels = np.r_[y, np.arange(30) % N_CLASSES]
    forgotten = ExplicitSoftmaxClassifier(translation=translation).fit(grown, labels)
    forgotten.forget(as_rows(extra), labels[len(y) :])
    for clf in (streamed, merged, forgotten):
        assert clf.inverse_temperature_ == whole.inverse_temperature_
        np.testing.assert_array_equal(clf.predict_proba(X), whole.predict_proba(X))


def test_order_of_a_long_stream_does_not_matter(monkeypatch):
    # Sorted by label, with far more rows than the sample holds.
    small = Budget(100, 2**20, 2**20, least_rows=50)
    monkeypatch.setitem(BUDGETS, "intercepts", small)
    monkeypatch.setitem(BUDGETS, "strength", small)
    rng = np.random.default_rng(0)
    y = np.sort(rng.integers(N_CLASSES, size=1000))
    X = rng.poisson(rng.gamma(0.5, size=(N_CLASSES, 20))[y]).astype(float)
    shuffled = rng.permutation(1000)
    streams = []
    for order in (np.arange(1000), shuffled):
        clf = ExplicitSoftmaxClassifier()
        for batch in np.array_split(order, 7):
            count(clf, X[batch], y[batch])
        streams.append(clf)
    assert_identical(*streams)
    sample = streams[0]._model.sample
    assert len(sample.y) == 100
    assert set(sample.y) == set(range(N_CLASSES))


def test_parameters_are_those_of_the_first_batch(documents):
    X, y = documents
    clf = count(ExplicitSoftmaxClassifier(), X[:200], y[:200])
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
    clf = count(ExplicitSoftmaxClassifier(), X[:100], y[:100])
    clf.partial_fit(sp.csr_array(X[100:]), y[100:])
    fresh = ExplicitSoftmaxClassifier().fit(X, y)
    np.testing.assert_array_equal(clf.feature_count_, fresh.feature_count_)
    np.testing.assert_allclose(clf.predict_proba(X), fresh.predict_proba(X), atol=1e-6)


def test_streaming_without_smoothing_may_start_with_zeros():
    clf = make(smoothing=None, inverse_temperature=0.7, translation="column")
    count(clf, np.array([[1.0, 0.0]]), [0])
    with pytest.raises(ValueError, match="smoothing=None"):
        clf.predict([[1.0, 0.0]])
    clf.partial_fit(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]), [0, 1, 2])
    assert np.isfinite(clf.predict_log_proba([[1.0, 0.0]])).all()
