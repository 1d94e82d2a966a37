"""What a user of ExplicitSoftmaxClassifier relies on."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.naive_bayes import MultinomialNB

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    Refinement,
)
from explicit_softmax.calibration.model import ExplicitModel
from tests.layouts import LAYOUTS

SMOOTHINGS = ["prior", "uniform", "noise"]
TRANSLATIONS = ["column", "intercept", "exact"]
THEOREM = {
    "inverse_temperature": 1.0,
    "smoothing": None,
    "norm_exponent": 0.0,
    "translation": "column",
}


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=300)
    rates = rng.gamma(0.5, size=(4, 30))
    return rng.poisson(rates[y]).astype(float), y


def test_theorem_weights_are_equation_3(digits):
    X, y, _, _ = digits
    clf = ExplicitSoftmaxClassifier(**THEOREM).fit(X + 1, y)
    co = np.stack([(X + 1)[y == label].sum(axis=0) for label in range(10)])
    norm = (X + 1).sum(axis=1).mean()
    expected = np.log(co) - (norm - 1) / norm * np.log(co.sum(axis=1, keepdims=True))
    expected -= expected.mean(axis=0)  # coef_ is centred over classes
    np.testing.assert_allclose(clf.coef_, expected, atol=1e-13)
    np.testing.assert_array_equal(clf.intercept_, np.zeros(10))
    assert clf.priming_number_ == pytest.approx(norm, rel=1e-14)


def test_default_beats_the_theorem_and_naive_bayes_in_log_loss(digits):
    X, y, X_test, y_test = digits
    theorem = ExplicitSoftmaxClassifier(
        **THEOREM | {"smoothing": "prior", "smoothing_strength": 0.1}
    )
    losses = [
        log_loss(y_test, model.fit(X, y).predict_proba(X_test))
        for model in (ExplicitSoftmaxClassifier(), theorem, MultinomialNB())
    ]
    assert losses[0] < 0.5 * min(losses[1:])


@pytest.mark.parametrize("smoothing", [None, *SMOOTHINGS])
@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_unit_of_the_features_does_not_matter(digits, smoothing, translation):
    X, y, X_test, _ = digits
    clf = ExplicitSoftmaxClassifier(
        smoothing=smoothing, smoothing_strength=0.1, translation=translation
    )
    first = clf.fit(X + 1, y).predict_proba(X_test)
    second = clf.fit(255 * (X + 1), y).predict_proba(255 * X_test)
    # Row scales are rounded to 16 bits.
    np.testing.assert_allclose(first, second, atol=1e-4)


def duplicated(rows):
    """CSR that stores each value in two halves."""
    rows = sp.csr_array(rows)
    arrays = np.repeat(rows.data / 2, 2), np.repeat(rows.indices, 2), 2 * rows.indptr
    return sp.csr_array(arrays, shape=rows.shape)


@pytest.mark.parametrize(
    "layout", [*LAYOUTS.values(), sp.csc_array, duplicated], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("smoothing", ["prior", "noise"])
def test_how_rows_are_stored_does_not_matter(counts, smoothing, layout):
    X, y = counts
    rows = layout(X)
    before = rows.copy()
    clf = ExplicitSoftmaxClassifier(smoothing=smoothing, n_blocks=3)
    expected = clone(clf).fit(X, y).predict_log_proba(X)
    log_proba = clf.fit(rows, y).predict_log_proba(rows)
    np.testing.assert_allclose(log_proba, expected, rtol=1e-5, atol=1e-6)
    assert sp.issparse(clf.feature_count_) == sp.issparse(rows)
    if sp.issparse(rows):  # the rows of the user are left alone
        np.testing.assert_array_equal(rows.data, before.data)


def test_scores_are_log_probabilities_and_weights_are_centred(counts):
    X, y = counts
    # It stops at the first iteration that gains less than half a nat.
    quick = Refinement(tol=0.5, n_iter_no_change=1, alpha=0.0)
    for warm_start in (False, True):
        clf = ExplicitSoftmaxClassifier(warm_start=warm_start, refinement=quick)
        clf.fit(X, y)
        np.testing.assert_allclose(
            clf.decision_function(X), clf.predict_log_proba(X), atol=1e-12
        )
        np.testing.assert_allclose(clf.coef_.mean(axis=0), 0.0, atol=1e-12)
        np.testing.assert_allclose(clf.intercept_.mean(), 0.0, atol=1e-12)
    two = ExplicitSoftmaxClassifier().fit(X, y > 1)
    log_proba = two.predict_log_proba(X)
    odds = two.decision_function(X)
    np.testing.assert_allclose(odds, log_proba[:, 1] - log_proba[:, 0], atol=1e-12)


@pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")  # random rows
def test_many_classes_stay_sparse():
    rng = np.random.default_rng(0)
    n_rows, n_features, n_classes = 3000, 20_000, 400
    X = sp.random_array(
        (n_rows, n_features), density=5e-4, format="csr", random_state=rng
    )
    y = np.arange(n_rows) % n_classes
    clf = ExplicitSoftmaxClassifier().fit(X, y)
    (decoder,) = clf._model.decoders
    assert decoder.is_sparse
    assert decoder.weights.nnz <= X.nnz
    with pytest.raises(AttributeError, match=r"400 classes x 20000 .*densify\(\)"):
        clf.coef_  # noqa: B018
    sparse = clf.predict_proba(X[:50])
    assert clf.densify() is clf
    np.testing.assert_allclose(clf.predict_proba(X[:50]), sparse, atol=1e-10)
    assert clf.coef_.shape == (400, 20_000)


@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_logistic_regression_has_the_same_probabilities(counts, translation):
    X, y = counts
    for labels in (y, (y > 1).astype(int)):
        clf = ExplicitSoftmaxClassifier(translation=translation, norm_exponent=0.0)
        clf.fit(X, labels)
        lr = clf.to_logistic_regression()
        np.testing.assert_allclose(
            lr.predict_proba(X), clf.predict_proba(X), atol=1e-12
        )
        np.testing.assert_array_equal(lr.predict(X), clf.predict(X))


def test_zero_row_gets_class_frequencies(counts):
    X, y = counts
    X = np.vstack([X, np.zeros((5, X.shape[1]))])
    y = np.append(y, [0, 0, 0, 1, 2])
    frequencies = np.bincount(y) / len(y)
    zeros = np.zeros((2, X.shape[1]))
    for translation in TRANSLATIONS:
        for rows, empty in ((X, zeros), (sp.csr_array(X), sp.csr_array(zeros))):
            for exponent in (0.0, 1.0):
                clf = ExplicitSoftmaxClassifier(
                    translation=translation, norm_exponent=exponent
                ).fit(rows, y)
                proba = clf.predict_proba(empty)
                np.testing.assert_allclose(proba, [frequencies] * 2, rtol=1e-12)


@pytest.mark.parametrize(
    "clf", [ExplicitSoftmaxClassifier(), ExplicitSoftmaxClassifierCV()]
)
def test_rows_of_zeros_only(counts, clf):
    _, y = counts
    clf.fit(np.zeros((len(y), 3)), y)
    proba = clf.predict_proba(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0]]))
    np.testing.assert_allclose(proba[0], np.bincount(y) / len(y))
    assert np.isfinite(proba).all()


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_declared_class_without_rows_is_improbable_and_finite(counts, smoothing):
    X, y = counts
    clf = ExplicitSoftmaxClassifier(smoothing=smoothing)
    clf.partial_fit(X, y, classes=range(6))
    log_proba = clf.predict_log_proba(X)
    assert np.isfinite(log_proba).all()
    assert np.exp(log_proba[:, 4:]).mean() < 0.02


def test_outputs_have_the_type_of_the_features_and_agree(digits):
    X, y, X_test, _ = digits
    double = ExplicitSoftmaxClassifier().fit(X, y)
    X, X_test = X.astype(np.float32), X_test.astype(np.float32)
    single = ExplicitSoftmaxClassifier().fit(X, y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        for rows in (X_test, sp.csr_array(X_test)):
            assert getattr(single, method)(rows).dtype == np.float32
            assert getattr(double, method)(rows.astype(float)).dtype == np.float64
    np.testing.assert_allclose(
        single.predict_proba(X_test), double.predict_proba(X_test), atol=1e-4
    )
    assert (single.coef_.dtype, double.coef_.dtype) == (np.float32, np.float64)
    assert single.feature_count_.dtype == np.float64


def test_string_labels_and_data_frames(counts):
    X, y = counts
    names = [f"word{i}" for i in range(X.shape[1])]
    labels = np.array(["ham", "spam", "eggs", "toast"])[y]
    frame = pd.DataFrame(X, columns=names)
    clf = ExplicitSoftmaxClassifier(norm_exponent=0.0).fit(frame, pd.Series(labels))
    assert list(clf.feature_names_in_) == names
    assert list(clf.to_logistic_regression().feature_names_in_) == names
    plain = ExplicitSoftmaxClassifier(norm_exponent=0.0).fit(X, y)
    order = np.searchsorted(clf.classes_, ["ham", "spam", "eggs", "toast"])
    proba = clf.predict_proba(frame)
    np.testing.assert_allclose(proba[:, order], plain.predict_proba(X), atol=1e-9)
    np.testing.assert_array_equal(
        clf.predict(frame), clf.classes_[proba.argmax(axis=1)]
    )
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(frame[names[::-1]])


def test_sample_weight_two_is_the_row_twice(counts):
    X, y = counts
    weight = np.random.default_rng(1).integers(0, 3, size=len(y)).astype(float)
    for translation in TRANSLATIONS:
        clf = ExplicitSoftmaxClassifier(translation=translation)
        weighted = clone(clf).fit(X, y, sample_weight=weight)
        times = np.repeat(np.arange(len(y)), weight.astype(int))
        repeated = clone(clf).fit(X[times], y[times])
        # Equal rows are sampled as one row of their summed weight: to the last bit.
        np.testing.assert_array_equal(weighted.feature_count_, repeated.feature_count_)
        np.testing.assert_array_equal(
            weighted.predict_proba(X), repeated.predict_proba(X)
        )


def test_inverse_temperature_by_block(counts):
    X, y = counts
    clf = ExplicitSoftmaxClassifier(n_blocks=3).fit(X, y)
    assert clf.inverse_temperature_.shape == (3,)
    again = ExplicitSoftmaxClassifier(
        n_blocks=[10, 10, 10],
        inverse_temperature=clf.inverse_temperature_,
        smoothing_strength=clf.smoothing_strength_,
    ).fit(X, y)
    np.testing.assert_allclose(again.coef_, clf.coef_, atol=1e-3)
    # A block of noise is ignored where the others are not.
    rng = np.random.default_rng(0)
    noisy = np.hstack([X, rng.poisson(1.0, size=X.shape)])
    beta = ExplicitSoftmaxClassifier(n_blocks=2).fit(noisy, y).inverse_temperature_
    assert beta[1] < 0.2 * beta[0]


def test_auto_is_the_best_of_the_fixed_ones(digits):
    X, y, X_test, y_test = digits
    auto = ExplicitSoftmaxClassifier().fit(X, y)
    assert auto.norm_weight_ == 0.0
    best = log_loss(y_test, auto.predict_proba(X_test))
    for factor in (0.5, 2.0):
        clf = ExplicitSoftmaxClassifier(
            inverse_temperature=factor * auto.inverse_temperature_,
            smoothing_strength=auto.smoothing_strength_,
        ).fit(X, y)
        assert log_loss(y_test, clf.predict_proba(X_test)) > best


@pytest.mark.parametrize(("number", "weight"), [(1.0, 2.0), (2.0, 1.0), (1e9, 0.0)])
def test_priming_number_weighs_the_prior(number, weight):
    clf = ExplicitSoftmaxClassifier(
        priming_number=number,
        inverse_temperature=0.0,
        norm_exponent=0.0,
        translation="column",
    ).fit(np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 1.0]]), [0, 1, 1])
    # At beta = 0 only (|h|/K) log S is left; smoothing adds to S in proportion to S.
    odds = clf.decision_function(np.array([[1.0, 1.0]]))
    np.testing.assert_allclose(odds, weight * np.log(5 / 3), atol=1e-7)


@pytest.mark.parametrize(
    "estimator",
    [
        ExplicitSoftmaxClassifier,
        ExplicitSoftmaxClassifierCV,
        ExplicitSoftmaxNetworkClassifier,
    ],
)
def test_class_weights_are_sample_weights(counts, estimator):
    X, y = counts
    class_weight = {0: 3.0, 2: 0.5}
    factors = np.array([3.0, 1.0, 0.5, 1.0])
    weighted = estimator(class_weight=class_weight).fit(X, y, np.full(len(y), 2.0))
    expected = estimator().fit(X, y, 2.0 * factors[y])
    np.testing.assert_array_equal(weighted.predict_proba(X), expected.predict_proba(X))
    if hasattr(estimator, "class_count_"):
        balanced = estimator(class_weight="balanced").fit(X, y)
        np.testing.assert_allclose(balanced.class_count_, len(y) / 4)


def test_class_weights_of_a_stream(counts):
    X, y = counts
    clf = ExplicitSoftmaxClassifier(class_weight={1: 4.0})
    fitted = clone(clf).fit(X, y)
    for part in (slice(0, 100), slice(100, 300)):
        clf.partial_fit(X[part], y[part], classes=range(4))
    np.testing.assert_array_equal(clf.predict_proba(X), fitted.predict_proba(X))
    clf.forget(X[100:], y[100:])
    np.testing.assert_array_equal(
        clf.class_count_, clone(clf).fit(X[:100], y[:100]).class_count_
    )


def test_balanced_weights_need_all_rows(counts):
    X, y = counts
    clf = ExplicitSoftmaxClassifier(class_weight="balanced")
    message = "class_weight='balanced' depends on all"
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, y, classes=range(4))
    assert not hasattr(clf, "classes_")
    fitted = clone(clf).fit(X, y)
    for change in (fitted.merge, lambda other: fitted.forget(X[:1], y[:1])):
        with pytest.raises(ValueError, match=message):
            change(fitted)


@pytest.mark.parametrize(
    "clf",
    [
        ExplicitSoftmaxClassifier(),
        ExplicitSoftmaxClassifierCV(),
        ExplicitSoftmaxClassifier(
            warm_start=True,
            refinement=Refinement(solver="lbfgs", alpha=0.1, max_iter=200),
        ),
    ],
    ids=["default", "CV", "refined"],
)
def test_class_prior_replaces_the_class_frequencies(counts, clf):
    X, y = counts
    X, y = np.vstack([X, np.zeros((1, 30))]), np.append(y, 0)  # and an empty row
    fitted = clone(clf).fit(X, y)
    prior = np.array([0.7, 0.1, 0.1, 0.1])
    other = clone(clf).set_params(class_prior=10 * prior).fit(X, y)
    expected = fitted.predict_proba(X) * prior / np.bincount(y)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(other.predict_proba(X), expected, rtol=1e-10)
    log_odds = X @ other.coef_.T / np.sqrt(X.sum(axis=1, keepdims=True).clip(1))
    if not hasattr(clf, "norm_exponents"):
        scores = (log_odds + other.intercept_)[:-1]
        np.testing.assert_array_equal(scores.argmax(axis=1), expected[:-1].argmax(1))


def test_class_prior_of_a_stream(counts):
    X, y = counts
    clf = ExplicitSoftmaxClassifier(fit_prior=False)
    fitted = clone(clf).fit(X, y)
    other = clone(clf).partial_fit(X[100:], y[100:], classes=range(4))
    clf.partial_fit(X[:100], y[:100], classes=range(4)).merge(other)
    np.testing.assert_array_equal(clf.predict_proba(X), fitted.predict_proba(X))


def test_an_inverse_temperature_of_zero_is_said_to_be_so():
    X, y = np.random.default_rng(1).integers(5, size=(6, 100)), [1, 1, 2, 2, 3, 3]
    clf = ExplicitSoftmaxClassifier()
    with pytest.warns(UserWarning, match="no evidence in the features of 6 rows"):
        clf.fit(X, y)
    assert clf.inverse_temperature_ == 0


def test_a_penalty_without_refinement_is_said_to_have_no_effect(counts):
    clf = ExplicitSoftmaxClassifier(refinement=Refinement(alpha=0.1))
    with pytest.warns(UserWarning, match=r"alpha=0\.1 .* no effect without warm_start"):
        clf.fit(*counts)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_clip_counts_negative_features_as_zero(counts, layout):
    X, y = counts
    mixed = X - 1.0
    expected = ExplicitSoftmaxClassifier().fit(np.maximum(mixed, 0), y)
    clf = ExplicitSoftmaxClassifier(clip=True).fit(layout(mixed), y)
    np.testing.assert_allclose(
        clf.predict_proba(layout(mixed)),
        expected.predict_proba(np.maximum(mixed, 0)),
        atol=1e-12,
    )
    with pytest.raises(ValueError, match=r"row 0 contains -1.*clip=True"):
        expected.predict(layout(mixed))
    with pytest.raises(ValueError, match="NaN: row 0"):
        clf.predict(layout(np.full((1, X.shape[1]), np.nan)))


@pytest.mark.parametrize("smoothing", ["prior", "uniform"])
@pytest.mark.parametrize("unit", [2.0**-560, 2.0**-140, 2.0**500, 2.0**900])
def test_the_unit_of_the_features_does_not_matter(digits, unit, smoothing):
    X, y, _, _ = digits
    clf = ExplicitSoftmaxClassifier(norm_exponent=0.0, smoothing=smoothing)
    expected = clf.fit(X[:300], y[:300]).predict_proba(X)
    beta = clf.inverse_temperature_
    found = clf.fit(X[:300] * unit, y[:300]).predict_proba(X * unit)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert clf.inverse_temperature_ * unit == pytest.approx(beta, rel=1e-4)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("unit", [2.0**-700, 2.0**140, 2.0**700])
def test_temperatures_of_features_in_any_unit(digits, unit, layout):
    X, y, _, _ = digits
    rows = layout(X[:300] * (np.arange(64) % 8 < 2))
    clf = ExplicitSoftmaxClassifier(
        inverse_temperature="feature", norm_exponent=0.0, translation="column"
    )
    expected = clf.fit(rows, y[:300]).predict_proba(rows)
    found = clf.fit(rows * unit, y[:300]).predict_proba(rows * unit)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_block_that_hardly_any_row_has_changes_no_other():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 500)
    X = (rng.random((500, 100)) < 0.05) * rng.random((500, 100))
    X[np.arange(500), y] = 0.5
    rare = np.zeros((500, 2))
    rare[[3, 9], [0, 1]] = 1.0
    losses = []
    for rows, n_blocks in ((X, 1), (np.hstack([X, rare]), [100, 2])):
        clf = ExplicitSoftmaxClassifier(
            inverse_temperature="feature", n_blocks=n_blocks
        )
        losses.append(-log_loss(y, clf.fit(rows, y).predict_proba(rows)))
    assert losses[1] == pytest.approx(losses[0], abs=1e-2)


@pytest.mark.parametrize("solver", ["adagrad", "sgd", "lbfgs"])
@pytest.mark.parametrize("unit", [1e-22, 1e-18, 1e18, 1e20])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_refinement_of_float32_features_in_any_unit(digits, unit, solver):
    X, y, _, _ = digits
    rows, labels = (X[:300] * unit).astype(np.float32), y[:300]
    refinement = Refinement(solver=solver, max_iter=3, random_state=0)
    how = {"norm_exponent": 0.0, "warm_start": True, "refinement": refinement}
    clf = ExplicitSoftmaxClassifier(**how)
    expected = clf.fit(X[:300], labels).score(X[:300], labels)
    found = clf.fit(rows, labels).score(rows, labels)
    assert found == pytest.approx(expected, abs=0.01)


def test_showing_a_stream_does_not_solve_it(digits, monkeypatch):
    X, y, _, _ = digits
    clf = ExplicitSoftmaxClassifier().partial_fit(X, y, classes=range(10))
    with monkeypatch.context() as patch:
        patch.setattr(ExplicitModel, "choose", None)
        text = clf._repr_html_()
    assert "ExplicitSoftmaxClassifier" in text
    assert "inverse_temperature_" not in dir(clf)
    assert "inverse_temperature_" in dir(clf.fit(X, y))


def test_showing_a_sparse_model_does_not_make_it_dense():
    n_rows, n_features, n_classes = 600, 20_000, 300
    columns = np.random.RandomState(0).randint(n_features, size=20 * n_rows)
    places = np.repeat(np.arange(n_rows), 20), columns
    X = sp.csr_array((np.ones(columns.size), places), shape=(n_rows, n_features))
    clf = ExplicitSoftmaxClassifier(inverse_temperature=1.0)
    clf.fit(X, np.arange(n_rows) % n_classes)
    assert clf._model.decoders[0].is_sparse
    tracemalloc.start()
    try:
        shown = repr(clf), clf._repr_html_(), clf._repr_mimebundle_()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(shown)
    assert peak < n_features * n_classes  # bytes, of eight to a value
