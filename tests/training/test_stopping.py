"""When a refinement stops, and what it then gives."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.training.problem import Monitor, Refinement
from explicit_softmax.training.refine import cold_start, refine
from tests.training.test_refine import LAYOUTS, SOLVERS, noisy_topics, random_start


def monitor_of(tol, patience, validation=None):
    empty = Refinement(np.zeros((1, 2)), np.zeros(2))
    return Monitor(empty, validation, tol, patience, None)


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
def test_iterations_stop_without_improvement(losses, tol, patience, n_iter):
    monitor = monitor_of(tol, patience)
    stops = [monitor.update(loss, np.zeros((1, 2)), np.zeros(2)) for loss in losses]
    first = stops.index(True) + 1 if True in stops else None
    assert first == n_iter


def test_the_first_loss_that_rises_ends_it_as_in_the_paper():
    rows, codes = noisy_topics()
    result = refine(
        *random_start(),
        rows,
        codes,
        learning_rate=0.5,
        tol=0.0,
        n_iter_no_change=1,
        max_iter=500,
    )
    steps = np.diff(result.loss_curve)
    assert result.converged
    assert result.n_iter == len(result.loss_curve) < 500
    assert steps[-1] > 0
    assert (steps[:-1] <= 0).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_limit_of_iterations_is_no_convergence(solver):
    rows, codes = noisy_topics()
    result = refine(*random_start(), rows, codes, solver=solver, max_iter=2, tol=1e-12)
    assert result.n_iter == 2
    assert len(result.loss_curve) == 2
    assert result.validation_curve == []
    assert not result.converged


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_validation_rows_stop_it_and_choose_the_weights(solver, layout):
    rows, codes = noisy_topics(n_rows=30, n_features=20)
    held_out, answers = noisy_topics(n_rows=40, n_features=20, seed=5)
    weight = np.random.default_rng(0).uniform(0.5, 2, 40)
    visited = []

    def remember(iteration, weights, intercept):
        visited.append((weights.copy(), intercept.copy()))

    result = refine(
        *cold_start(20, 3),
        layout(rows),
        codes,
        solver=solver,
        learning_rate=0.5,
        max_iter=100,
        n_iter_no_change=3,
        validation=(layout(held_out), answers, weight),
        callback=remember,
    )
    curve = result.validation_curve
    best = int(np.argmin(curve))
    assert result.converged
    assert best < len(curve) - 1 < 99
    assert len(curve) == len(result.loss_curve) == result.n_iter == len(visited)
    assert_array_equal(result.weights, visited[best][0])
    assert_array_equal(result.intercept, visited[best][1])
    decoder = Decoder.from_dense(result.weights, result.intercept)
    assert_allclose(log_loss(decoder, held_out, answers, weight), min(curve))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_stops(solver):
    rows, codes = noisy_topics()
    seen = []

    def stop_at_three(iteration, weights, intercept):
        seen.append((iteration, weights.copy(), intercept.copy()))
        return iteration == 3

    result = refine(
        *random_start(),
        rows,
        codes,
        solver=solver,
        max_iter=50,
        tol=1e-12,
        callback=stop_at_three,
    )
    assert [iteration for iteration, _, _ in seen] == [1, 2, 3]
    assert result.n_iter == 3
    assert not result.converged
    assert_array_equal(result.weights, seen[-1][1])
    assert_array_equal(result.intercept, seen[-1][2])


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", ["adagrad", "sgd"])
def test_a_step_that_is_too_large_raises(solver, layout, validated):
    rows, codes = noisy_topics()
    rows = layout(rows)
    with pytest.raises(FloatingPointError, match="choose a smaller learning_rate"):
        refine(
            *random_start(),
            rows,
            codes,
            solver=solver,
            learning_rate=1e308,
            batch_size=8,
            max_iter=5,
            validation=(rows, codes, None) if validated else None,
        )


def test_a_loss_that_is_not_a_number_raises():
    for loss in (np.nan, np.inf):
        with pytest.raises(FloatingPointError):
            monitor_of(0.0, 1).update(loss, np.zeros((1, 2)), np.zeros(2))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((40, 3)),
        np.ones((40, 3)),
        np.full((40, 3), 0.1),
        np.full((40, 3), 0.1, dtype=np.float32),
        sp.csr_array((40, 3)),
    ],
    ids=["zeros", "ones", "tenths", "tenths-float32", "sparse-zeros"],
)
def test_constant_rows_end_at_the_entropy_of_the_classes(rows, solver):
    # Centred, they vanish, and with them the unit of a step.
    codes = np.array([0] * 30 + [1] * 10)
    entropy = -0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    result = refine(
        *cold_start(3, 2),
        rows,
        codes,
        solver=solver,
        learning_rate=1.0,
        max_iter=100,
        tol=1e-9,
    )
    assert_allclose(result.loss_curve[-1], entropy, rtol=1e-5)
