"""What a user of ExplicitSoftmaxNetworkClassifier relies on."""

import copy
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.metrics import log_loss

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxNetworkClassifier,
    Refinement,
)
from explicit_softmax import _network as module
from tests.layouts import wide_indices
from tests.test_warm_start import warm

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
TRAINED = {"warm_start": True, "refinement": Refinement(max_iter=2, random_state=0)}


@pytest.fixture(scope="module")
def digits(digits):
    """Fewer rows: clusters are costly."""
    X, y, *tested = digits
    return X[:500], y[:500], *tested


def make(**parameters):
    return ExplicitSoftmaxNetworkClassifier(**{"random_state": 0, **parameters})


def assert_same_model(one, other, X):
    for first, second in zip(one.coefs_, other.coefs_, strict=True):
        assert_array_equal(first, second)
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    "shared",
    [
        {},
        {"smoothing": "noise", "norm_exponent": 0.0},
        {"smoothing": "uniform", "smoothing_strength": 2.0, "inverse_temperature": 0.3},
    ],
)
def test_one_layer_is_the_classifier(digits, shared):
    X, y, X_test, _ = digits
    one = make(n_layers=1, hidden_targets=5, **shared).fit(X, y)
    other = ExplicitSoftmaxClassifier(translation="column", **shared).fit(X, y)
    assert_allclose(one.coefs_[0], other.coef_.T, atol=1e-14)
    assert_array_equal(one.predict_proba(X_test), other.predict_proba(X_test))
    assert one.inverse_temperature_.tolist() == [other.inverse_temperature_]
    assert one.smoothing_strength_.tolist() == [other.smoothing_strength_]
    assert one.priming_number_ == other.priming_number_
    assert_array_equal(one.hidden_classes_, one.classes_)
    with pytest.raises(ValueError, match="n_layers=2 or more"):
        one.hidden_outputs(X)


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
def test_one_layer_is_refined_as_the_classifier(digits, as_rows):
    X, y, X_test, _ = digits
    estimators = make(n_layers=1), ExplicitSoftmaxClassifier(translation="column")
    one, other = (
        warm(model, max_iter=3, margins=False).fit(as_rows(X), y)
        for model in estimators
    )
    assert_allclose(one.predict_proba(X_test), other.predict_proba(X_test), atol=1e-9)
    assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-9)


def test_one_cluster_in_each_class_is_the_class(digits):
    X, y, X_test, _ = digits
    one = make(n_layers=3, hidden_targets=1).fit(X, y)
    other = make(n_layers=3, random_state=5).fit(X, y)
    assert_same_model(one, other, X_test)
    assert_array_equal(one.hidden_classes_, np.arange(10))


def test_clusters_gain_accuracy_and_probability(digits):
    X, y, X_test, y_test = digits
    losses, accuracies = [], []
    for targets in ("classes", 2, 5):
        clf = make(hidden_targets=targets).fit(X, y)
        losses.append(log_loss(y_test, clf.predict_proba(X_test)))
        accuracies.append(clf.score(X_test, y_test))
    assert losses[0] > losses[1] > losses[2]
    assert accuracies[0] + 0.03 < accuracies[1] < accuracies[2]


@pytest.mark.parametrize(
    ("parameters", "dtype", "as_rows"),
    [
        ({}, np.float32, sp.csc_array),
        ({}, np.float64, np.asarray),
        (TRAINED, np.float32, np.asarray),
    ],
)
def test_shapes_and_types(digits, parameters, dtype, as_rows):
    X, y, X_test, _ = digits
    clf = make(n_layers=3, hidden_targets=4, **parameters)
    clf.fit(as_rows(X.astype(dtype)), y)
    assert [coef.shape for coef in clf.coefs_] == [(64, 40), (40, 40), (40, 10)]
    assert [len(intercept) for intercept in clf.intercepts_] == [40, 40, 10]
    assert_array_equal(clf.hidden_classes_, np.repeat(np.arange(10), 4))
    assert clf.inverse_temperature_.shape == (3,)
    rows = as_rows(X_test.astype(dtype))
    proba, outputs = clf.predict_proba(rows), clf.hidden_outputs(rows)
    for array in (proba, outputs, *clf.coefs_, *clf.intercepts_):
        assert array.dtype == dtype
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)
    assert_allclose(outputs.sum(axis=1), 1.0, rtol=1e-5)
    assert_allclose(np.log(proba), clf.predict_log_proba(rows), rtol=1e-3)
    assert_array_equal(clf.predict(rows), proba.argmax(axis=1))
    assert clf.predict_proba(X_test).dtype == np.float64
    # The attributes predict what the estimator does.
    outputs = X_test / X_test.sum(axis=1, keepdims=True) ** 0.5
    for coef, intercept in zip(clf.coefs_, clf.intercepts_, strict=True):
        outputs = np.exp(outputs @ coef + intercept)
        outputs /= outputs.sum(axis=1, keepdims=True)
    # Row scales of the model are rounded to 16 bits.
    assert_allclose(clf.predict_proba(X_test), outputs, rtol=1e-3)


def test_the_layout_of_the_rows_does_not_matter(digits):
    X, y, X_test, _ = digits
    layouts = X, sp.csr_array(X)
    dense, sparse = (make().fit(rows, y).predict_proba(X_test) for rows in layouts)
    assert_allclose(dense, sparse, rtol=1e-5)
    layouts = sp.csr_array(X), wide_indices(X)
    narrow, wide = (make(hidden_targets=3).fit(rows, y) for rows in layouts)
    assert_same_model(wide, narrow, X_test)


def test_the_seed_decides_about_clusters(digits):
    X, y, X_test, _ = (part[:200] for part in digits)
    one, same, other = (
        make(hidden_targets=4, random_state=seed).fit(X, y) for seed in (0, 0, 1)
    )
    assert_same_model(one, same, X_test)
    assert np.abs(one.coefs_[0] - other.coefs_[0]).max() > 0


def test_weights_reach_the_clusters():
    # Three groups of rows for two clusters; the last with weight, or next to none.
    centres = np.array([[20.0, 1.0, 1.0], [1.0, 20.0, 1.0], [1.0, 1.0, 20.0]])
    X = np.repeat(centres, 50, axis=0) + np.random.default_rng(0).random((150, 3))
    shared = {}
    for last in (1.0, 1e-9):
        weight = np.repeat([1.0, 1.0, last], 50)
        found = [
            module._clusters(X, 2, weight, np.random.RandomState(seed))
            for seed in range(12)
        ]
        shared[last] = [clusters[0] == clusters[50] for clusters in found]
    assert any(shared[1.0])
    assert not any(shared[1e-9])


def test_class_with_fewer_rows_than_clusters(digits):
    X, y, _, _ = digits
    few = np.concatenate([np.flatnonzero(y > 0), np.flatnonzero(y == 0)[:3]])
    clf = make(hidden_targets=8).fit(X[few], y[few])
    counts = np.bincount(clf.hidden_classes_)
    assert counts.tolist() == [3] + [8] * 9
    assert np.isfinite(clf.predict_log_proba(X)).all()


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
def test_equal_rows_make_fewer_clusters(as_rows):
    X = np.repeat([[3.0, 0.0, 1.0], [0.0, 2.0, 1.0], [1.0, 1.0, 1.0]], 20, axis=0)
    y = np.repeat([0, 1, 1], 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = make(hidden_targets=6).fit(as_rows(X), y)
    counts = np.bincount(clf.hidden_classes_)
    assert counts[0] == 1
    assert 1 <= counts[1] <= 2
    assert clf.coefs_[0].shape == (3, counts.sum())
    assert clf.score(X, y) == 1.0


def test_large_classes_are_clustered_by_a_sample(digits, monkeypatch):
    X, y, X_test, y_test = digits
    sizes = []

    class Spy(module.MiniBatchKMeans):
        def fit(self, X, y=None, sample_weight=None):
            sizes.append(X.shape[0])
            return super().fit(X, y, sample_weight)

    monkeypatch.setattr(module, "MiniBatchKMeans", Spy)
    monkeypatch.setattr(module, "_CLUSTERED_ROWS", 30)
    clf = make(hidden_targets=2).fit(X, y)
    assert sizes == [30] * 10
    assert clf.score(X_test, y_test) > 0.85
    make(hidden_targets=4).fit(X, y, sample_weight=np.ones(len(y)))
    assert sizes[10:] == [40] * 10


@pytest.mark.parametrize(
    "clusterer",
    [KMeans(3, random_state=0), AgglomerativeClustering(3), DBSCAN(eps=20.0)],
)
def test_any_clusterer_will_do(digits, clusterer):
    X, y, X_test, y_test = digits
    clf = make(hidden_targets=clusterer).fit(X, y)
    assert clf.score(X_test, y_test) > 0.85
    assert clf.hidden_targets is clusterer
    assert not hasattr(clusterer, "labels_")  # clones were fitted
    found = [np.unique(clone(clusterer).fit_predict(X[y == c])) for c in range(10)]
    expected = np.repeat(np.arange(10), [len(clusters) for clusters in found])
    assert_array_equal(clf.hidden_classes_, expected)


def test_labels_are_strings_of_two_classes_or_one():
    X = np.random.default_rng(0).poisson(3.0, (40, 3)) + 1.0
    clf = make(hidden_targets=2).fit(X, ["no", "yes"] * 20)
    assert_array_equal(clf.hidden_classes_, ["no", "no", "yes", "yes"])
    single = make(hidden_targets=2).fit(X, ["all"] * 40)
    assert_array_equal(single.predict_proba(X), 1.0)


@pytest.fixture(scope="module")
def trained(digits):
    X, y = digits[0][:100], digits[1][:100]
    return make(hidden_targets=2, **TRAINED).fit(X, y), X, y


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("value", [-1, np.nan])
@pytest.mark.parametrize("method", ["fit", "hidden_outputs"])
def test_bad_features_name_the_row(trained, method, value, as_rows):
    clf, X, y = trained
    before, bad = clf.predict_proba(X), X.copy()
    bad[7, 1] = value
    arguments = (as_rows(bad), y) if method == "fit" else (as_rows(bad),)
    with pytest.raises(ValueError, match=r"row 7 contains -1|NaN: row 7"):
        getattr(clf, method)(*arguments)
    assert_array_equal(clf.predict_proba(X), before)


class BadClusterer(KMeans):
    def fit_predict(self, X, y=None):
        return np.zeros(2)


PARAMETERS = [
    ({"n_layers": 0}, "n_layers"),
    *(
        ({"hidden_targets": bad}, "hidden_targets must be 'classes'")
        for bad in ("clusters", 0, True, 2.5, None, KMeans)
    ),
    ({"hidden_targets": BadClusterer()}, "one label for each of .* rows"),
    ({"inverse_temperature": [1.0]}, "each of the 2 layers"),
    ({"inverse_temperature": [1.0, np.nan]}, "inverse_temperature"),
    ({"smoothing": None}, "smoothing=None needs every co-occurrence to be positive"),
]


@pytest.mark.parametrize(("parameters", "message"), PARAMETERS)
def test_bad_parameters_are_named_and_the_model_stays(trained, parameters, message):
    clf, X, y = copy.copy(trained[0]), *trained[1:]
    state, curve = copy.copy(vars(clf)), clf.loss_curve_
    before = clf.predict_proba(X)
    clf.set_params(**{"warm_start": False, **parameters})
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert vars(clf).keys() == state.keys()
    assert_array_equal(clf.predict_proba(X), before)
    assert clf.loss_curve_ is curve
