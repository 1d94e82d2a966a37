"""Mini-batch solvers: the steps that they take, against steps written out."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.training import minibatch
from explicit_softmax.training.refine import refine
from tests import oracles
from tests.training.problems import (
    CASES,
    LAYOUTS,
    ONE,
    STOCHASTIC,
    THREE,
    TWO,
    Windows,
    forward,
    noisy_topics,
    problem_of,
    random_start,
    random_weight,
    slopes,
)

LITERAL = {"standardize": False, "shuffle": False}


@pytest.fixture(params=[1, 2**18])
def any_part(request, monkeypatch):
    """Weights of a batch of sparse rows one by one, and all at a time."""
    monkeypatch.setattr(minibatch, "_WEIGHTS_AT_A_TIME", request.param)


def first_square(layout, batch_size):
    """Sparse rows: the squared gradient of one wrong row, features in units of one."""
    return 0.0 if layout is np.asarray else batch_size**-2.0


@pytest.mark.usefixtures("any_part")
@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize(
    ("layout", "alpha"),
    # Sparse rows meet the penalty in expectation only.
    [(np.asarray, 0.0), (np.asarray, 0.3), (sp.csr_array, 0.0), (Windows, 0.0)],
)
def test_an_epoch_takes_the_literal_steps(layout, alpha, adaptive):
    X, y = noisy_topics()
    X[:, 2] *= y == 0  # batches that do not touch every feature
    weights, intercepts = random_start()
    how = {"batch_size": 7, "alpha": alpha}
    start = weights[0], intercepts[0]
    square = first_square(layout, 7)
    steps = oracles.descent(
        *start, X, y, step=0.2, adaptive=adaptive, first_square=square, **how
    )
    how |= {"solver": "adagrad" if adaptive else "sgd", "learning_rate": 0.2} | LITERAL
    for average in (False, True):
        result = refine(
            weights, intercepts, layout(X), y, max_iter=1, average=average, **how
        )
        found = result.weights[0], result.intercepts[0]
        for part, values in enumerate(found):
            parts = [step[part] for step in steps]
            expected = np.mean(parts, axis=0) if average else parts[-1]
            assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_epoch_goes_on_from_the_last_weights_and_has_its_own_mean(layout):
    X, y = noisy_topics(n_rows=84)
    weights, intercepts = random_start()
    thrice = np.tile(X, (3, 1)), np.tile(y, 3)
    how = {"step": 0.2, "batch_size": 7, "first_square": first_square(layout, 7)}
    steps = oracles.descent(weights[0], intercepts[0], *thrice, **how)
    how = {"learning_rate": 0.2, "batch_size": 7} | LITERAL
    whole = refine(weights, intercepts, layout(X), y, max_iter=3, **how)
    assert_allclose(whole.weights[0], np.mean([w for w, _ in steps[24:]], axis=0))
    assert_allclose(whole.intercepts[0], np.mean([b for _, b in steps[24:]], axis=0))
    before = [(weights[0], intercepts[0]), *steps]
    losses = [
        oracles.mean_loss(X[i : i + 7] @ w + b, y[i : i + 7])
        for i, (w, b) in zip(range(0, 84, 7), before, strict=False)
    ]
    assert_allclose(whole.loss_curve[0], np.mean(losses))
    # Epochs of fewer rows are parts of it.
    parts = refine(
        weights, intercepts, layout(X), y, max_iter=9, samples_per_iter=28, **how
    )
    assert_allclose(np.mean(parts.loss_curve[:3]), whole.loss_curve[0])
    assert_allclose(parts.weights[0], np.mean([w for w, _ in steps[32:]], axis=0))


@pytest.mark.usefixtures("any_part")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("solver", "layout", "sizes"), CASES[:6])
def test_a_step_of_all_layers_goes_along_the_gradient(sizes, layout, solver, weighted):
    X, y = noisy_topics(n_rows=30)
    sizes = THREE if sizes == TWO else ONE
    weight = random_weight(y) if weighted else None
    start = random_start(sizes)
    how = {"solver": solver, "sample_weight": weight, "max_iter": 1, "batch_size": 30}
    result = refine(*start, layout(X), y, learning_rate=0.1, **how, **LITERAL)
    ends = result.weights, result.intercepts
    for part, (end, begin, slope) in enumerate(
        zip(ends, start, slopes(start, X, y, weight), strict=True)
    ):
        for depth in range(len(sizes) - 1):
            expected = slope[depth]
            if solver == "adagrad":
                sparse = layout is not np.asarray and part == depth == 0
                square = first_square(sp.csr_array, 30) if sparse else 0.0
                expected = expected / np.sqrt(expected**2 + square)
            moved = begin[depth] - end[depth]
            assert_allclose(moved, 0.1 * expected, rtol=1e-4, atol=1e-9)


def test_standardised_steps_are_literal_steps_on_standardised_features():
    X, y = noisy_topics()
    X += 3.0
    (weights,), (intercept,) = start = random_start()
    mean = X.mean(axis=0)
    rms = np.sqrt(((X - mean) ** 2).mean())
    at = weights * rms, intercept + mean @ weights
    how = {"batch_size": 8}
    moved, shifted = oracles.descent(*at, (X - mean) / rms, y, step=0.1, **how)[-1]
    how |= {"max_iter": 1, "shuffle": False, "average": False}
    result = refine(*start, X, y, learning_rate=0.1, **how)
    assert_allclose(result.weights[0], moved / rms, rtol=1e-9)
    expected = shifted - mean @ (moved / rms)
    assert_allclose(result.intercepts[0], expected, rtol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("solver", STOCHASTIC)
def test_steps_of_hidden_layers_are_in_units_of_their_inputs(solver, weighted):
    X, y = noisy_topics(n_rows=30)
    weight = random_weight(y) if weighted else None
    start = random_start(TWO)
    how = {"solver": solver, "sample_weight": weight, "max_iter": 1, "batch_size": 30}
    result = refine(*start, X, y, learning_rate=0.1, **how)
    squares = forward(start[0][:1], start[1][:1], X) ** 2
    square = np.average(squares, axis=0, weights=weight).sum()
    slope = slopes(start, X, y, weight)[0][1]
    expected = slope / square
    if solver == "adagrad":
        expected = np.sign(slope) / np.sqrt(square / 4)
    moved = start[0][1] - result.weights[1]
    assert_allclose(moved, 0.1 * expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("layout", [sp.csr_array, Windows])
def test_penalties_of_sparse_rows_are_divided_by_the_chance_of_a_touch(layout):
    X, y = noisy_topics(n_rows=10)
    X[:, :3] = 0
    X[:2, 0] = X[6, 0] = X[:, 1] = 1
    inverse = minibatch.inverse_touch_probability(layout(X), 5)
    assert_allclose(inverse[:2], [1 / (1 - 0.7**5), 1.0], rtol=1e-9)
    assert np.isfinite(inverse[2])  # of a feature that no batch touches
    start = random_start()
    how = {"solver": "sgd", "learning_rate": 0.1, "batch_size": 5, "max_iter": 1}
    how |= {"average": False, "alpha": 0.3} | LITERAL
    first = refine(*start, layout(X[:5]), y[:5], **how)
    result = refine(*start, layout(X), y, **how)
    slope = slopes((first.weights, first.intercepts), X[5:], y[5:])[0][0]
    pull = 0.3 * (first.weights[0] - start[0][0]) * inverse[:, None]
    pull[(X[5:] == 0).all(axis=0)] = 0
    moved = first.weights[0] - result.weights[0]
    assert_allclose(moved, 0.1 * (slope + pull), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("sizes", [ONE, TWO])
@pytest.mark.parametrize("how", [{"alpha": 0.1}, {"samples_per_iter": 40}])
def test_windows_are_refined_like_a_matrix(sizes, how):
    X, y = noisy_topics()
    how = {"batch_size": 8, "max_iter": 5, **how}
    windows, stored = (
        refine(*random_start(sizes), rows, y, validation=(rows, y, None), **how)
        for rows in (Windows(X), sp.csr_array(X))
    )
    assert_allclose(windows.weights[0], stored.weights[0], rtol=1e-12)
    assert_allclose(windows.intercepts[0], stored.intercepts[0], rtol=1e-12)
    assert_allclose(windows.loss_curve, stored.loss_curve, rtol=1e-12)
    assert_allclose(windows.validation_curve, stored.validation_curve, rtol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_shuffled_order_is_that_of_the_generator(layout):
    X, y = noisy_topics()
    rngs = None, *map(np.random.default_rng, (0, 1)), np.random.RandomState(0)
    how = {"max_iter": 2, "batch_size": 8}
    first, same, other, legacy = (
        refine(*random_start(), layout(X), y, rng=rng, **how).weights[0] for rng in rngs
    )
    assert_array_equal(first, same)
    for different in (other, legacy):
        assert np.abs(first - different).max() > 1e-6


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("size", [1, 3, 4, 7, 10, 11])
def test_epochs_take_turns_until_all_rows_were_seen(size, shuffle):
    n_rows = 10
    problem = problem_of(np.zeros((n_rows, 0)), None, ((), ()))
    steps = minibatch.Steps(True, 0.1, 1, shuffle, True, samples_per_iter=size)
    epochs = list(itertools.islice(minibatch._epochs(problem, steps), 30))
    assert {len(epoch) for epoch in epochs} == {min(size, n_rows)}
    visited = np.concatenate(epochs)
    visited = visited[: visited.size - visited.size % n_rows].reshape(-1, n_rows)
    assert_array_equal(np.sort(visited, axis=1), [np.arange(n_rows)] * len(visited))
    assert shuffle == (visited != np.arange(n_rows)).any()
