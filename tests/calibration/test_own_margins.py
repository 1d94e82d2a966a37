"""Leave-one-out margins of rows, and refinement beside them."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from sklearn.exceptions import ConvergenceWarning

from explicit_softmax import ExplicitSoftmaxClassifier, Refinement
from explicit_softmax._refinement import _stratified_part
from explicit_softmax.calibration.feature_temperature import own_margins
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.solution.counts import scaled_rows
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.training.problem import backpropagate
from explicit_softmax.training.refine import refine
from tests.training.problems import ONE, noisy_topics, problem_of, random_start

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FIXED = {"smoothing_strength": 0.3, "norm_exponent": 0.5}


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"smoothing": "uniform", "n_blocks": [2, 3]},
        {"smoothing": "noise"},
        {"translation": "column", "smoothing": "uniform"},
    ],
)
def test_margins_are_leave_one_out_less_ordinary_scores(layout, weighted, how):
    X, y = noisy_topics(n_rows=40)
    X[3] = 0
    weight = np.random.default_rng(0).uniform(0.2, 3, 40) if weighted else np.ones(40)
    rows = layout(X)
    clf = ExplicitSoftmaxClassifier(**FIXED | how).fit(rows, y, weight)
    model, filled = clf._model, np.flatnonzero(X.sum(axis=1))
    smoothed = model._smoothed(model.chosen.smoothing_strength)
    held_out = leave_one_out(smoothed, rows, y, sample_weight=weight, norm_exponent=0.5)
    left, scores = held_out.scores(model.chosen.calibration), clf._scores(rows)[filled]
    # Scores are known up to a constant of the row, which another class shows.
    own, other = y[filled], (y[filled] + 1) % 3
    at = np.arange(filled.size)
    expected = left[at, own] - left[at, other] - scores[at, own] + scores[at, other]
    margins = model.own_margins(rows, y, weight)
    assert_allclose(margins[filled], expected, atol=1e-9)
    assert margins[3] == 0
    assert abs(expected).max() > 0.01


@pytest.mark.parametrize("temperature", ["frequency", "feature"])
def test_dense_margins_equal_sparse_with_temperatures_of_features(temperature):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 60)
    X = (rng.random((60, 80)) < 0.1 * rng.random((3, 80))[y]) * 1.0
    clf = ExplicitSoftmaxClassifier(inverse_temperature=temperature, **FIXED)
    model = clf.fit(sp.csr_array(X), y)._model
    assert np.size(model.chosen.calibration.beta) == 80
    margins = model.own_margins(X, y, None)
    assert_allclose(model.own_margins(sp.csr_array(X), y, None), margins, atol=1e-12)
    # Each feature has its share of the margin, in proportion to its temperature.
    choice = replace(model.chosen.calibration, beta=np.zeros(80))
    args = model._smoothed(0.3), X, y, None, 0.5
    parts = np.zeros(60)
    base = own_margins(args[0], choice, *args[1:])
    for d, beta in enumerate(model.chosen.calibration.beta):
        alone = replace(choice, beta=beta * (np.arange(80) == d))
        parts += own_margins(args[0], alone, *args[1:]) - base
    assert_allclose(parts + base, margins, atol=1e-9)


def test_gradient_with_margins():
    X, y = noisy_topics(n_rows=30)
    weights, intercepts = random_start(ONE)
    margins = np.random.default_rng(0).normal(size=30)
    problem = replace(problem_of(X, y, (weights, intercepts)), margins=margins)

    def loss(point):
        moved = (point.reshape(weights[0].shape),)
        return backpropagate(problem, moved, tuple(intercepts), slice(None))[0].sum()

    _, inputs, residuals = backpropagate(
        problem, tuple(weights), tuple(intercepts), slice(None)
    )
    slopes = approx_fprime(weights[0].ravel(), loss, 1e-7)
    assert_allclose((inputs[0].T @ residuals[0]).ravel(), slopes, atol=1e-4)
    decoder = Decoder.from_dense(weights[0], intercepts[0])
    mean = log_loss([decoder], X, y, None, margins)
    assert_allclose(loss(weights[0].ravel()) / 30, mean)


@pytest.mark.parametrize("solver", ["adagrad", "sgd", "lbfgs"])
@pytest.mark.parametrize("rate", [0.01, 30.0])
@pytest.mark.parametrize("alpha", ["auto", 0.0])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_never_worse_than_the_start_on_the_leave_one_out_loss(
    solver, rate, layout, alpha
):
    X, y = noisy_topics(n_rows=40)
    rows = layout(X)
    weight = np.arange(40.0) % 3
    start = ExplicitSoftmaxClassifier(**FIXED).fit(rows, y, weight)
    how = {"solver": solver, "learning_rate_init": rate, "random_state": 0}
    refinement = Refinement(max_iter=3, alpha=alpha, **how)
    end = ExplicitSoftmaxClassifier(
        **FIXED, warm_start=True, refinement=refinement
    ).fit(rows, y, weight)
    margins = start._model.own_margins(rows, y, weight)
    losses = [
        log_loss(clf._model.decoders, rows, y, weight, margins) for clf in (start, end)
    ]
    assert losses[1] <= losses[0] + 1e-12
    if solver == "lbfgs" and alpha == 0.0:
        assert losses[1] < losses[0]


def few_documents(n_rows, n_features=60, seed=0):
    """Some features many times, and few rows: training helps, and over-fits."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % 3
    rates = rng.gamma(0.3, 0.3, (3, n_features))
    X = (rng.poisson(rates[y]) > 0).astype(float)
    y[::4] = rng.integers(0, 3, len(y[::4]))
    return np.hstack([X] + [X[:, :9]] * 5), y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n_rows", "seed"), [(90, 3), (300, 6)])
def test_the_penalty_is_chosen_by_rows_set_aside(n_rows, seed, weighted):
    X, y = few_documents(n_rows, seed=seed)
    fixed = FIXED | {"inverse_temperature": "auto"}
    weight = 1.0 + np.arange(n_rows) % 2 if weighted else None
    plain = ExplicitSoftmaxClassifier(**fixed).fit(sp.csr_array(X), y, weight)
    how = {"solver": "lbfgs", "tol": 0.0, "random_state": 3, "max_iter": 8}
    margins = plain._model.own_margins(sp.csr_array(X), y, weight)
    members = np.sort(_stratified_part(y, 0.2, 3))
    rest = np.setdiff1d(np.arange(n_rows), members)
    rows = scaled_rows(sp.csr_array(X), 0.5)
    decoder = plain._model.decoders[0]
    start = [decoder.dense_weights()], [decoder.intercept]

    def part(members):
        weights = None if weight is None else weight[members]
        return {"sample_weight": weights, "margins": margins[members]}

    def loss(decoder):
        unscaled = sp.csr_array(X)[members]
        return log_loss([decoder], unscaled, y[members], *part(members).values())

    shares = np.ones(len(rest)) if weight is None else weight[rest]
    norm = np.average((rows[rest].toarray() ** 2).sum(axis=1), weights=shares)
    tried = [(loss(decoder), 0, 0.0)]
    for penalty in (0.0, 0.3, 3.0):
        alpha = penalty * norm / n_rows

        def remember(step, weights, intercepts, alpha=alpha):
            found = Decoder.from_dense(weights[0], intercepts[0], norm_exponent=0.5)
            tried.append((loss(found), step, alpha))

        options = how | {"alpha": alpha, "callback": remember, "rng": None}
        del options["random_state"]
        refine(*start, rows[rest], y[rest], **part(rest), **options)
    _, n_iter, alpha = min(tried)
    refined = ExplicitSoftmaxClassifier(
        **fixed, warm_start=True, refinement=Refinement(**how)
    ).fit(sp.csr_array(X), y, weight)
    given = Refinement(**how | {"alpha": alpha, "max_iter": max(n_iter, 1)})
    expected = ExplicitSoftmaxClassifier(
        **fixed, warm_start=True, refinement=given
    ).fit(sp.csr_array(X), y, weight)
    assert alpha > 0
    assert 0 < n_iter < 8
    assert refined.n_iter_ == n_iter
    assert_allclose(refined.coef_, expected.coef_, atol=1e-8)


def test_the_explicit_solution_is_kept_where_nothing_can_be_learned():
    X, _ = few_documents(60)
    y = np.random.default_rng(0).integers(0, 3, 60)
    given = FIXED | {"inverse_temperature": 0.1}
    plain = ExplicitSoftmaxClassifier(**given).fit(X, y)
    refined = ExplicitSoftmaxClassifier(
        **given, warm_start=True, refinement=Refinement(random_state=0)
    )
    with pytest.warns(ConvergenceWarning, match="rows that it does not see"):
        refined.fit(X, y)
    assert_array_equal(refined.coef_, plain.coef_)


def test_rows_that_cannot_be_set_aside():
    X, y = np.eye(3) + 1.0, np.arange(3)
    refined = ExplicitSoftmaxClassifier(**FIXED, warm_start=True).fit(X, y)
    assert refined.n_iter_ >= 1


@pytest.mark.parametrize("how", [{"margins": False}, {"early_stopping": True}])
def test_without_margins_or_with_early_stopping_there_is_no_penalty(how):
    X, y = noisy_topics()
    ends = [
        ExplicitSoftmaxClassifier(
            warm_start=True, refinement=Refinement(alpha=alpha, random_state=0, **how)
        ).fit(X, y)
        for alpha in ("auto", 0.0)
    ]
    assert_array_equal(ends[0].coef_, ends[1].coef_)


def test_without_smoothing_margins_have_no_effect():
    X, y = noisy_topics(n_rows=40)
    ends = [
        ExplicitSoftmaxClassifier(
            smoothing=None,
            inverse_temperature=1.0,
            translation="column",
            warm_start=True,
            refinement=Refinement(margins=margins, max_iter=2, random_state=0),
        ).fit(X + 1, y)
        for margins in (False, True)
    ]
    assert_array_equal(ends[0].coef_, ends[1].coef_)
