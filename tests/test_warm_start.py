"""The hand-over of explicit solutions to a log-loss refinement."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    Refinement,
)
from explicit_softmax._refinement import split_validation
from explicit_softmax._sklearn import CallbackSupportMixin

HAS_CALLBACKS = hasattr(CallbackSupportMixin, "set_callbacks")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

each_estimator = pytest.mark.parametrize(
    "estimator", [ExplicitSoftmaxClassifier(), ExplicitSoftmaxNetworkClassifier()]
)


def warm(estimator=None, **parameters):
    """An estimator that refines, with parameters of its refinement."""
    refinement = Refinement(**{"random_state": 0, **parameters})
    clf = clone(estimator or ExplicitSoftmaxClassifier())
    return clf.set_params(warm_start=True, refinement=refinement)


def test_refinement_lowers_the_loss(digits):
    X, y, X_test, y_test = digits
    explicit = ExplicitSoftmaxClassifier().fit(X, y)
    refined = warm().fit(sp.csr_array(X), y)
    before = log_loss(y, explicit.predict_proba(X))
    assert log_loss(y, refined.predict_proba(X)) < 0.5 * before
    assert refined.loss_curve_[-1] < refined.loss_curve_[0]
    assert refined.n_iter_ == len(refined.loss_curve_) <= 20
    assert refined.validation_scores_ is None
    assert refined.score(X_test, y_test) > explicit.score(X_test, y_test)


def test_lbfgs_reaches_the_optimum_of_logistic_regression():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=200)
    X = rng.poisson(rng.gamma(1.0, size=(3, 5))[y]).astype(float)
    # The same penalty, 1/(C n), and the same centre of it: no explicit weights.
    alpha = 0.01
    how = {"norm_exponent": 0.0, "translation": "intercept"}
    start = ExplicitSoftmaxClassifier(inverse_temperature=0.0, **how)
    how = {"alpha": alpha, "max_iter": 200, "tol": 1e-8}
    cold = warm(start, solver="lbfgs", margins=False, **how)
    proba = cold.fit(X, y).predict_proba(X)
    peer = LogisticRegression(C=1 / (alpha * len(y)), tol=1e-9, max_iter=500)
    assert_allclose(proba, peer.fit(X, y).predict_proba(X), atol=1e-5)
    same = cold.to_logistic_regression().predict_proba(X)
    assert_allclose(same, proba, atol=1e-10)


def test_early_stopping_keeps_the_best(digits):
    X, y, _, _ = digits
    clf = warm(early_stopping=True, max_iter=60, n_iter_no_change=2).fit(X, y)
    scores = clf.validation_scores_
    assert len(scores) == clf.n_iter_ == len(clf.loss_curve_)
    assert clf.class_count_.sum() == 1080  # a tenth is set aside from counts too
    _, (held_out, *_) = split_validation(clf.refinement, np.arange(1200), y, None)
    loss = log_loss(y[held_out], clf.predict_proba(X[held_out]), labels=range(10))
    assert -loss == pytest.approx(max(scores), abs=1e-9)


def test_rows_set_aside_are_of_all_classes_and_never_all_of_one():
    y = np.repeat([0, 1, 2, 3], [100, 10, 2, 1])
    for seed in range(5):
        refinement = Refinement(early_stopping=True, random_state=seed)
        train, held_out = split_validation(refinement, np.arange(113), y, None)
        assert_array_equal(np.sort(np.append(train[0], held_out[0])), np.arange(113))
        assert set(train[1]) == {0, 1, 2, 3}
        assert np.bincount(held_out[1], minlength=4)[0] in (10, 11, 12)
        assert np.bincount(held_out[1], minlength=4)[3] == 0
    with pytest.raises(ValueError, match="a class with two rows or more"):
        split_validation(refinement, np.arange(4), np.arange(4), None)


@pytest.mark.parametrize("method", ["merge", "forget"])
def test_counts_of_a_refined_model_are_left_alone(digits, method):
    X, y, X_test, _ = digits
    clf = warm(max_iter=1).fit(X, y)
    before = clf.predict_proba(X_test)
    assert not hasattr(clf, "partial_fit")
    with pytest.raises(ValueError, match="was refined"):
        getattr(clf, method)(*((clf,) if method == "merge" else (X, y)))
    assert_array_equal(clf.densify().predict_proba(X_test), before)
    # A fit without refinement leaves no curve of an earlier one.
    assert hasattr(clf, "loss_curve_")
    clf.set_params(warm_start=False).fit(X, y)
    assert not hasattr(clf, "loss_curve_")
    assert not hasattr(clf, "validation_scores_")
    assert clf.n_iter_ == 1


def test_grid_search_over_parameters_of_the_refinement(digits):
    X, y, _, _ = digits
    model = make_pipeline(warm(max_iter=1))
    grid = {"explicitsoftmaxclassifier__refinement__max_iter": [1, 4]}
    search = GridSearchCV(model, grid, cv=2).fit(X[:300], y[:300])
    (best,) = search.best_params_.values()
    assert search.best_estimator_[-1].n_iter_ == best
    assert model[-1].refinement.max_iter == 1


def test_partial_fit_streams_whatever_warm_start_says(digits):
    X, y, _, _ = digits
    streamed = warm().partial_fit(X, y, classes=range(10))
    expected = ExplicitSoftmaxClassifier().fit(X, y)
    assert_array_equal(streamed.coef_, expected.coef_)


@each_estimator
@pytest.mark.parametrize(
    ("rate", "max_iter", "dtype"),
    [(1e308, 20, np.float64), (1e6, 3, np.float64), (1e200, 1, np.float32)],
)
def test_a_refinement_that_diverges_leaves_the_explicit_solution(
    digits, estimator, rate, max_iter, dtype
):
    X, y, _, _ = digits
    explicit = clone(estimator).fit(X, y)
    clf = warm(explicit, learning_rate_init=rate, max_iter=max_iter)
    with pytest.warns(ConvergenceWarning, match="explicit solution is kept") as caught:
        clf.fit(X.astype(dtype), y)
    assert "learning_rate_init" in str(caught[0].message)
    assert not hasattr(clf, "loss_curve_")
    expected = explicit.fit(X.astype(dtype), y).predict_proba(X)
    assert_allclose(clf.predict_proba(X), expected, rtol=1e-5, atol=1e-7)


class Recorder:
    """A callback of scikit-learn that remembers and may stop."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.begun, self.ended, self.scores = [], [], []

    def setup(self, estimator, context):
        self.is_set_up = True

    def teardown(self, estimator, context):
        self.is_set_up = False

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.ended.append(context.task_name)
        if context.task_name != "fit" and fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X, y))
        return self.stop_at is not None and len(self.scores) >= self.stop_at


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
class TestCallbacks:
    @each_estimator
    @pytest.mark.parametrize("solver", ["adagrad", "lbfgs"])
    def test_every_iteration_begins_and_ends(self, digits, solver, estimator):
        X, y, _, _ = digits
        recorder = Recorder()
        clf = warm(estimator, solver=solver, max_iter=3).set_callbacks(recorder)
        clf.fit(X, y)
        name = "lbfgs-iteration" if solver == "lbfgs" else "epoch"
        assert recorder.begun[0] == recorder.ended[-1] == "fit"
        assert recorder.begun[-3:] == recorder.ended[-4:-1] == [name] * 3
        assert recorder.scores[-1] == clf.score(X, y)
        assert not recorder.is_set_up

        stopper = Recorder(stop_at=2)
        assert clone(clf).set_callbacks(stopper).fit(X, y).n_iter_ == 2
        assert len(stopper.begun) == len(stopper.ended)

    @each_estimator
    @pytest.mark.parametrize("warm_start", [False, True])
    def test_failed_fit_tears_down(self, digits, estimator, warm_start):
        X, y, _, _ = digits
        recorder = Recorder()
        clf = clone(estimator).set_callbacks(recorder).fit(X, y)
        assert sorted(recorder.begun) == sorted(recorder.ended)
        with pytest.raises(ValueError, match="Negative"):
            clf.set_params(warm_start=warm_start).fit(-X, y)
        assert not recorder.is_set_up

    @pytest.mark.parametrize(("cv", "n_steps"), [(None, 20), (2, 40)])
    def test_a_search_tells_each_candidate(self, digits, cv, n_steps):
        X, y, _, _ = digits
        recorder = Recorder()
        clf = ExplicitSoftmaxClassifierCV(cv=cv, n_jobs=2, translation="column")
        clf.set_callbacks(recorder).fit(X[:200], y[:200])
        steps = ["step"] * n_steps
        assert recorder.begun[: n_steps + 3] == ["fit", "search", *steps, "solve"]
        assert recorder.ended[: n_steps + 1] == [*steps, "search"]
        assert recorder.ended[-2:] == ["solve", "fit"]

    def test_a_callback_that_raises_at_the_end_leaves_the_model(self, digits):
        X, y, _, _ = digits

        class Raises(Recorder):
            def on_fit_task_end(self, estimator, context):
                raise RuntimeError("at the end")

        clf = ExplicitSoftmaxClassifier().fit(X, y)
        before = clf.predict_proba(X)
        with pytest.raises(RuntimeError, match="at the end"):
            clf.set_callbacks(Raises()).fit(X[:100], y[:100])
        assert_array_equal(clf.predict_proba(X), before)

    def test_progress_bar_shows_and_scoring_monitor_logs(self, digits, capsys):
        from sklearn.callback import ProgressBar, ScoringMonitor

        X, y, _, _ = digits
        monitor = ScoringMonitor(scoring="neg_log_loss")
        clf = warm(max_iter=3).set_callbacks(ProgressBar(), monitor).fit(X, y)
        assert "ExplicitSoftmaxClassifier" in capsys.readouterr().out
        log = monitor.get_logs().data_as_pandas
        scores = log[log["task_name"] == "epoch"]["neg_log_loss"].tolist()
        assert len(scores) == 3
        assert scores == sorted(scores)
        assert scores[-1] == pytest.approx(-log_loss(y, clf.predict_proba(X)))
