"""Refinement: where it ends, when it stops, and what does not matter to it."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.training import lbfgs
from explicit_softmax.training.problem import Monitor, RefinementResult
from explicit_softmax.training.refine import refine
from tests.layouts import unsorted_with_zeros
from tests.training.problems import (
    CASES,
    ONE,
    SOLVERS,
    STORED,
    THREE,
    TWO,
    Windows,
    each_case,
    mean_loss,
    noisy_topics,
    probabilities,
    problem_of,
    random_start,
    random_weight,
    slopes,
    zeros,
)


@pytest.mark.parametrize(
    ("weighted", "chunk_values"), [(False, 2**21), (True, 1), (True, 2**21)]
)
@pytest.mark.parametrize("layout", [*STORED, "centred"])
@pytest.mark.parametrize("sizes", [ONE, THREE])
def test_gradients_equal_finite_differences(
    monkeypatch, sizes, layout, weighted, chunk_values
):
    monkeypatch.setattr(lbfgs, "_CHUNK_VALUES", chunk_values)
    X, y = noisy_topics(n_rows=12)
    weight = random_weight(y) if weighted else None
    start = random_start(sizes)
    loss_by_hand, slopes_by_hand = mean_loss(*start, X, y, weight), None
    mean = None
    if layout == "centred":
        # As if the features were centred and the intercept that of centred features.
        mean, layout = X.mean(axis=0), np.asarray
        intercepts = [start[1][0] + mean @ start[0][0], *start[1][1:]]
        slopes_by_hand = slopes((start[0], intercepts), X - mean, y, weight)
    slopes_by_hand = slopes_by_hand or slopes(start, X, y, weight)
    scale = 1.0 if weight is None else weight.mean()  # `refine` makes it one
    problem = problem_of(layout(X), y, start, weight=weight, mean=mean)
    loss, *gradients = lbfgs._loss_and_gradients(problem, *start)
    assert_allclose(loss, scale * loss_by_hand, rtol=1e-12)
    for found, expected in zip(gradients, slopes_by_hand, strict=True):
        for gradient, slope in zip(found, expected, strict=True):
            assert_allclose(gradient, scale * slope, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("standardize", [True, False])
@each_case
def test_the_loss_falls_and_the_start_is_left_alone(solver, layout, sizes, standardize):
    X, y = noisy_topics()
    sizes = THREE if sizes == TWO else ONE
    start, before = random_start(sizes), random_start(sizes)
    rate = 0.1 if solver == "adagrad" or not standardize else None
    how = {"solver": solver, "learning_rate": rate, "standardize": standardize}
    result = refine(*start, layout(X), y, batch_size=8, max_iter=15, **how)
    for arrays, copies in zip(start, before, strict=True):
        list(map(assert_array_equal, arrays, copies))
    assert result.n_iter == len(result.loss_curve) <= 15
    end = mean_loss(result.weights, result.intercepts, X, y)
    assert end < 0.7 * mean_loss(*start, X, y)
    if solver == "lbfgs":
        assert_allclose(result.loss_curve[-1], end, rtol=1e-10)
        assert (np.diff(result.loss_curve) <= 1e-12).all()


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    ("sizes", "layout", "weighted"),
    [(ONE, np.asarray, True), (ONE, sp.csr_array, False), (TWO, np.asarray, False)],
)
def test_lbfgs_ends_where_the_gradient_vanishes(sizes, layout, weighted, standardize):
    X, y = noisy_topics()
    weight = random_weight(y) if weighted else None
    alpha = 0.0 if sizes == ONE else 0.1
    start = random_start(sizes)
    how = {"sample_weight": weight, "solver": "lbfgs", "max_iter": 2000, "tol": 1e-7}
    how["standardize"] = standardize
    result = refine(*start, layout(X), y, alpha=alpha, **how)
    assert result.converged
    ends = result.weights, result.intercepts
    by_weights, by_intercepts = slopes(ends, X, y, weight)
    for slope, end, begin in zip(by_weights, result.weights, start[0], strict=True):
        assert_allclose(slope + alpha * (end - begin), 0, atol=1e-5)
    for slope in by_intercepts:
        assert_allclose(slope, 0, atol=1e-5)
    if sizes == ONE:  # convex: the start does not matter
        other = refine(*zeros(), layout(X), y, **how)
        assert_allclose(probabilities(other, X), probabilities(result, X), atol=1e-4)


@pytest.mark.parametrize("most", [2048, 1])
@pytest.mark.parametrize("layout", STORED)
def test_lbfgs_with_a_penalty_equals_logistic_regression(monkeypatch, layout, most):
    monkeypatch.setattr(lbfgs, "_MOST_FEATURES", most)
    X, y = noisy_topics()
    peer = LogisticRegression(C=0.1, tol=1e-9, max_iter=5000).fit(X, y)
    settings = {"solver": "lbfgs", "alpha": 1 / (0.1 * len(y)), "max_iter": 2000}
    result = refine(*zeros(), layout(X), y, tol=1e-9, **settings)
    assert_allclose(probabilities(result, X), peer.predict_proba(X), atol=1e-5)
    assert_allclose(result.weights[0].T, peer.coef_, atol=1e-4)


@each_case
def test_the_penalty_pulls_to_the_start(solver, layout, sizes):
    X, y = noisy_topics()
    start = random_start(sizes)
    moved = []
    for alpha in (0.0, 0.1, 3.0):
        how = {"solver": solver, "alpha": alpha, "learning_rate": 0.1}
        result = refine(*start, layout(X), y, max_iter=40, **how)
        pairs = zip(result.weights, start[0], strict=True)
        moved.append(sum(((end - begin) ** 2).sum() for end, begin in pairs))
    assert moved[0] > moved[1] > moved[2]


@each_case
def test_the_unit_of_the_features_does_not_matter(solver, layout, sizes):
    (X, y), unit = noisy_topics(), 255.0
    weights, intercepts = random_start(sizes)
    scaled_start = [weights[0] / unit, *weights[1:]], intercepts
    plain = refine(weights, intercepts, layout(X), y, solver=solver, max_iter=6)
    scaled = refine(*scaled_start, layout(unit * X), y, solver=solver, max_iter=6)
    expected = probabilities(plain, X)
    tolerance = 1e-5 if sizes == ONE or solver != "lbfgs" else 1e-3
    assert_allclose(probabilities(scaled, unit * X), expected, rtol=tolerance)
    before = probabilities(RefinementResult(weights, intercepts), X)
    assert np.abs(expected - before).max() > 0.01  # it has moved at all


@each_case
def test_the_unit_of_the_sample_weights_does_not_matter(solver, layout, sizes):
    X, y = noisy_topics()
    weight = random_weight(y)
    how = {"solver": solver, "max_iter": 4, "batch_size": 16, "alpha": 0.01}
    plain, scaled, none, ones = (
        refine(*random_start(sizes), layout(X), y, sample_weight=w, **how)
        for w in (weight, 64 * weight, None, np.full(len(y), 3.0))
    )
    assert_allclose(scaled.weights[0], plain.weights[0], rtol=1e-6)
    assert_allclose(ones.weights[0], none.weights[0], rtol=1e-6)
    assert_allclose(scaled.loss_curve, plain.loss_curve, rtol=1e-6)
    assert np.abs(plain.weights[0] - none.weights[0]).max() > 1e-4


@pytest.mark.parametrize("solver", SOLVERS)
def test_stored_zeros_do_not_change_the_steps(solver):
    X, y = noisy_topics()
    how = {"solver": solver, "max_iter": 2, "batch_size": 16}
    plain, stored = (
        refine(*random_start(), layout(X), y, **how)
        for layout in (sp.csr_array, unsorted_with_zeros)
    )
    assert_allclose(stored.weights[0], plain.weights[0], rtol=1e-9, atol=1e-12)


@each_case
def test_the_type_of_the_rows_is_that_of_the_result(solver, layout, sizes):
    X, y = noisy_topics()
    for dtype in (np.float32, np.float64, np.int64):
        rows = layout(X.astype(dtype))
        how = {"solver": solver, "max_iter": 2, "tol": 1e-12}
        result = refine(*random_start(sizes), rows, y, **how)
        assert result.n_iter == len(result.loss_curve) == 2
        assert result.validation_curve == []
        assert not result.converged  # the limit of iterations is none
        expected = np.float32 if dtype == np.float32 else np.float64
        arrays = (*result.weights, *result.intercepts)
        assert all(array.dtype == expected for array in arrays)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "X",
    [np.zeros((40, 3)), np.full((40, 3), 0.1, np.float32), sp.csr_array((40, 3))],
    ids=["zeros", "tenths", "sparse-zeros"],
)
def test_constant_rows_end_at_the_entropy_of_the_classes(X, solver):
    # Centred, they vanish, and with them the unit of a step.
    y = np.array([0] * 30 + [1] * 10)
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    how = {"solver": solver, "learning_rate": 1.0, "max_iter": 100, "tol": 1e-9}
    result = refine(*zeros((3, 2)), X, y, **how)
    assert_allclose(result.loss_curve[-1], entropy, rtol=1e-5)


@pytest.mark.parametrize(
    ("losses", "tol", "patience", "n_iter"),
    [
        ([3, 2, 1, 0.5], 0.1, 1, None),
        ([3, 2, 1.95, 1.5], 0.1, 1, 3),
        ([3, 2, 1.95, 1.93, 1.5], 0.1, 2, 4),
        ([3, 2, 1.95, 1.5, 1.45, 1.3], 0.1, 2, None),
        ([3, 2, 2, 2, 2.01, 1], 0.0, 1, 5),
        ([3, 4, 2, 1], 0.0, 1, 2),
    ],
)
@pytest.mark.parametrize("watched", [True, False])
def test_iterations_stop_without_improvement(losses, tol, patience, n_iter, watched):
    result = RefinementResult((), ())
    rules = {"watches": watched, "remedy": "do better"}
    monitor = Monitor(result, None, tol, patience, None, **rules)
    stops = [monitor.update(loss, (), ()) for loss in losses]
    first = stops.index(True) + 1 if True in stops else None
    assert first == (n_iter if watched else None)
    for loss in (np.nan, np.inf):
        with pytest.raises(FloatingPointError, match=r"iteration \d: do better"):
            monitor.update(loss, (), ())


@pytest.mark.parametrize(
    ("solver", "layout"), [("adagrad", np.asarray), ("sgd", Windows)]
)
def test_losses_of_different_rows_do_not_stop_it(solver, layout):
    X, y = noisy_topics()
    how = {"solver": solver, "tol": 10.0, "n_iter_no_change": 1, "max_iter": 8}
    for size, n_iter in ((None, 2), (90, 2), (1000, 2), (89, 8), (10, 8)):
        result = refine(*zeros(), layout(X), y, samples_per_iter=size, **how)
        assert result.n_iter == n_iter
        assert result.converged
    validation = (layout(X), y, None)  # its losses can be compared
    how |= {"samples_per_iter": 10, "validation": validation}
    assert refine(*zeros(), layout(X), y, **how).n_iter == 2
    how |= {"tol": 0.0, "n_iter_no_change": 99}
    assert not refine(*zeros(), layout(X), y, **how).converged


@each_case
def test_validation_rows_stop_it_and_choose_the_best_weights(solver, layout, sizes):
    X, y = noisy_topics(n_rows=30, n_features=20)
    X_val, y_val = noisy_topics(n_rows=40, n_features=20, seed=5)
    weight = random_weight(y_val)
    sizes = (20, *sizes[1:])
    visited = []

    def remember(iteration, weights, intercepts):
        layers = zip(weights, intercepts, strict=True)
        decoders = [Decoder.from_dense(*layer) for layer in layers]
        copies = [array.copy() for array in (*weights, *intercepts)]
        visited.append((log_loss(decoders, X_val, y_val, weight), copies))

    how = {"solver": solver, "learning_rate": 0.5 if solver == "adagrad" else 3.0}
    how |= {"max_iter": 300, "n_iter_no_change": 3, "callback": remember}
    how["validation"] = layout(X_val), y_val, weight
    result = refine(*random_start(sizes), layout(X), y, **how)
    losses = [loss for loss, _ in visited]
    best = int(np.argmin(losses))
    assert result.converged
    assert best < len(losses) - 1 < 299
    assert len(losses) == len(result.loss_curve) == result.n_iter
    assert_allclose(result.validation_curve, losses, rtol=1e-12)
    kept = (*result.weights, *result.intercepts)
    list(map(assert_array_equal, kept, visited[best][1]))


@pytest.mark.parametrize(
    ("solver", "sizes"), [("adagrad", TWO), ("sgd", ONE), ("lbfgs", TWO)]
)
def test_a_callback_stops(solver, sizes):
    X, y = noisy_topics()
    seen = []

    def stop_at_three(iteration, weights, intercepts):
        assert type(weights) is type(intercepts) is tuple
        arrays = weights + intercepts
        seen.append((iteration, arrays, [array.copy() for array in arrays]))
        return iteration == 3

    how = {"solver": solver, "max_iter": 50, "tol": 1e-12, "callback": stop_at_three}
    result = refine(*random_start(sizes), X, y, **how)
    assert [iteration for iteration, _, _ in seen] == [1, 2, 3]
    assert result.n_iter == 3
    assert not result.converged
    assert result.weights[0] is seen[-1][1][0]
    # Arrays of earlier iterations stay as they were.
    for _, arrays, copies in seen:
        list(map(assert_array_equal, arrays, copies))


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize(("solver", "layout", "sizes"), CASES[:6])
def test_a_step_that_is_too_large_raises(solver, layout, sizes, validated):
    X, y = noisy_topics()
    message = r"iteration \d.*choose a smaller learning_rate_init than 1e\+308"
    validation = (layout(X), y, None) if validated else None
    how = {"solver": solver, "batch_size": 8, "max_iter": 5, "validation": validation}
    with pytest.raises(FloatingPointError, match=message):
        refine(*random_start(sizes), layout(X), y, learning_rate=1e308, **how)


def test_windows_and_infinite_weights_for_lbfgs():
    X, y = noisy_topics()
    with pytest.raises(ValueError, match=r"solver='lbfgs' .* solver='adagrad'"):
        refine(*zeros(), Windows(X), y, solver="lbfgs")
    infinite = [np.full((5, 3), np.inf)], [np.zeros(3)]
    with (
        pytest.raises(FloatingPointError, match="iteration 0: scale the features"),
        np.errstate(invalid="ignore"),
    ):
        refine(*infinite, X, y, solver="lbfgs", max_iter=2)


@pytest.mark.parametrize(
    ("solver", "sizes", "step"),
    [("adagrad", ONE, 0.05), ("adagrad", TWO, 0.01), ("sgd", ONE, 3), ("sgd", TWO, 1)],
)
def test_default_steps(solver, sizes, step):
    X, y = noisy_topics()
    default, given = (
        refine(*random_start(sizes), X, y, solver=solver, learning_rate=rate)
        for rate in (None, step)
    )
    assert_array_equal(default.weights[0], given.weights[0])
    # They suit: most of the way to the minimum from zero in twenty epochs.
    if sizes == ONE:
        end = refine(*zeros(), X, y, solver="lbfgs", max_iter=500).loss_curve[-1]
        curve = refine(*zeros(), X, y, solver=solver, batch_size=8).loss_curve
        assert curve[-1] - end < 0.2 * (np.log(3) - end)
