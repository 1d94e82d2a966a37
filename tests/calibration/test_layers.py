"""Layers: solved one after the other, and trained jointly."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.layers import (
    network_scores,
    softmax_in_place,
    solve_layers,
)
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.smoothing import smooth_counts
from explicit_softmax.solution.theorem import solve
from explicit_softmax.training.backpropagation import backpropagate, network_log_loss
from explicit_softmax.training.joint import random_layers, train_jointly
from explicit_softmax.training.refine import refine
from tests import oracles
from tests.layouts import unsorted_with_zeros

LAYOUTS = [np.asarray, sp.csr_array]


def topics(n_rows=90, n_features=6, n_parts=5, n_classes=3, seed=0):
    """Counts of features, the part that each row comes from, and its class."""
    rng = np.random.default_rng(seed)
    parts = np.arange(n_rows) % n_parts
    rows = rng.poisson(rng.gamma(1.0, 2.0, (n_parts, n_features))[parts]).astype(float)
    rows[:, 0] += 1
    return rows, parts, np.minimum(parts, n_classes - 1)


def random_network(sizes=(6, 5, 4, 3), seed=1):
    rng = np.random.default_rng(seed)
    shapes = list(itertools.pairwise(sizes))
    weights = [rng.normal(size=shape) for shape in shapes]
    return weights, [rng.normal(size=size) for size in sizes[1:]]


def probabilities(scores):
    return np.exp(oracles.log_probabilities(scores))


def forward_by_hand(weights, intercepts, rows):
    outputs = np.asarray(rows)
    for weight, intercept in zip(weights, intercepts, strict=True):
        outputs = probabilities(outputs @ weight + intercept)
    return outputs


def loss_by_hand(weights, intercepts, rows, codes, row_weight):
    chosen = forward_by_hand(weights, intercepts, rows)[np.arange(len(codes)), codes]
    return float(-(np.log(chosen) * row_weight).sum())


def test_softmax_is_written_over_its_scores():
    scores = np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]])
    outputs = softmax_in_place(scores)
    assert outputs is scores
    assert_allclose(outputs, [[0.5, 0.5], [0.25, 0.75]])


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_network_scores_are_those_of_the_definition(monkeypatch, layout, n_layers):
    monkeypatch.setattr("explicit_softmax.calibration.layers._CHUNK_VALUES", 40)
    rows, _, _ = topics()
    weights, intercepts = random_network((6, 5, 4, 3)[: n_layers + 1])
    decoders = [
        Decoder.from_dense(*layer) for layer in zip(weights, intercepts, strict=True)
    ]
    outputs = softmax_in_place(network_scores(decoders, layout(rows)))
    assert_allclose(outputs, forward_by_hand(weights, intercepts, rows), rtol=1e-12)
    single = network_scores(
        [decoder.astype(np.float32) for decoder in decoders],
        layout(rows.astype(np.float32)),
    )
    assert single.dtype == np.float32


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_second_layer_is_the_theorem_at_k_of_one(monkeypatch, layout, weighted):
    monkeypatch.setattr("explicit_softmax.calibration.layers._CHUNK_VALUES", 40)
    rows, parts, codes = topics()
    weight = np.random.default_rng(2).uniform(0.1, 3, len(rows)) if weighted else None
    first, second = solve_layers(
        layout(rows),
        [parts, codes],
        [5, 3],
        sample_weight=weight,
        betas=[0.03, 1.0],
        strength=1e-12,
    )
    outputs = probabilities(rows @ first.decoder.dense_weights())
    assert_allclose(outputs.sum(axis=1), 1.0)
    assert second.priming_number == 1.0
    counts = oracles.cooccurrence(outputs, codes, 3, weight, 0.0)
    # U = log F - (K - 1)/K log S, and K = 1; up to a constant for all classes.
    off = second.decoder.dense_weights() - np.log(counts)
    assert_allclose(off, np.full_like(off, off[0, 0]), atol=1e-8)


def test_one_layer_is_the_calibrated_solution():
    rows, _, codes = topics()
    (layer,) = solve_layers(rows, [codes], [3])
    counts = CooccurrenceCounts.from_rows(rows, codes, 3)
    evidence = solve(smooth_counts(counts))
    found = calibrate(leave_one_out(evidence, rows, codes), counts.mean_norm)
    assert_array_equal(layer.calibration.beta, found.beta)
    expected = evidence.decoder(
        found.beta, counts.mean_norm, norm_weight=found.norm_weight
    )
    assert_array_equal(layer.decoder.weights, expected.weights)


def test_temperature_of_a_layer_is_chosen_on_rows_that_it_did_not_see():
    # Features that are noise: a row is recognised only by a layer that has seen it.
    rng = np.random.default_rng(0)
    rows = rng.poisson(0.5, (60, 200)).astype(float)
    rows[:, 0] += 1
    parts = np.arange(60) // 2
    codes = rng.integers(0, 2, 30)[parts]
    first, second = solve_layers(rows, [parts, codes], [30, 2], betas=[1.0, None])
    outputs = softmax_in_place(first.decoder.scores(rows))
    seen = solve(smooth_counts(CooccurrenceCounts.from_rows(outputs, codes, 2)))
    in_sample = calibrate(leave_one_out(seen, outputs, codes), 1.0, norm_weight=1.0)
    assert second.calibration.beta[0] < 0.5 * in_sample.beta[0]


def test_later_layers_have_smoothing_in_their_own_unit():
    rows, parts, codes = topics()
    layers = [
        solve_layers(rows * unit, [parts, codes], [5, 3], smoothing=smoothing)
        for unit in (1.0, 256.0)
        for smoothing in ("prior", "uniform", "noise")
    ]
    for one, other in zip(layers[:3], layers[3:], strict=True):
        scores = [
            network_scores([layer.decoder for layer in found], rows * unit)
            for found, unit in ((one, 1.0), (other, 256.0))
        ]
        assert_allclose(scores[0], scores[1], atol=1e-4)


def test_rows_without_features_pass():
    rows, parts, codes = topics()
    rows[::7] = 0
    layers = solve_layers(rows, [parts, parts, codes], [5, 5, 3], norm_exponent=0.5)
    scores = network_scores([layer.decoder for layer in layers], rows)
    assert np.isfinite(scores).all()
    nothing = solve_layers(np.zeros_like(rows), [parts, codes], [5, 3])
    scores = network_scores([layer.decoder for layer in nothing], rows)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", [(6, 3), (6, 5, 3), (6, 5, 4, 3)])
def test_gradients_equal_finite_differences(sizes, layout, centred):
    if centred and layout is not np.asarray:
        pytest.skip("sparse rows are not centred")
    rows, _, codes = topics(n_rows=7)
    weights, intercepts = random_network(sizes)
    row_weight = np.random.default_rng(3).uniform(0.5, 2, len(rows))
    centre = rows.mean(axis=0) if centred else None
    shifted = rows - centre if centred else rows
    losses, by_weight, by_intercept = backpropagate(
        weights, intercepts, layout(rows), codes, row_weight[:, None], centre
    )
    total = loss_by_hand(weights, intercepts, shifted, codes, row_weight)
    assert_allclose(losses @ row_weight, total, rtol=1e-12)
    step = 1e-6
    arrays = [*weights, *intercepts]
    for array, gradient in zip(arrays, [*by_weight, *by_intercept], strict=True):
        slopes = np.empty_like(array)
        for place in np.ndindex(array.shape):
            value = array[place]
            ends = []
            for sign in (1, -1):
                array[place] = value + sign * step
                ends.append(
                    loss_by_hand(weights, intercepts, shifted, codes, row_weight)
                )
            array[place] = value
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        assert_allclose(gradient, slopes, rtol=1e-5, atol=1e-7)


def test_log_loss_of_a_network(monkeypatch):
    monkeypatch.setattr("explicit_softmax.training.backpropagation._CHUNK_VALUES", 30)
    rows, _, codes = topics()
    network = random_network()
    weight = np.random.default_rng(3).uniform(0.5, 2, len(rows))
    expected = loss_by_hand(*network, rows, codes, weight) / weight.sum()
    assert_allclose(network_log_loss(*network, rows, codes, weight), expected)


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_layer_takes_the_steps_of_its_refinement(layout, weighted, alpha):
    rows, _, codes = topics()
    weights, intercepts = random_network((6, 3))
    weight = np.random.default_rng(2).uniform(0.1, 3, len(rows)) if weighted else None
    settings = {"sample_weight": weight, "learning_rate": 0.05, "batch_size": 16}
    settings |= {"max_iter": 3, "alpha": alpha}
    one = train_jointly(weights, intercepts, layout(rows), codes, **settings)
    other = refine(weights[0], intercepts[0], layout(rows), codes, **settings)
    assert_allclose(one.weights[0], other.weights, rtol=1e-9)
    assert_allclose(one.intercepts[0], other.intercept, rtol=1e-9, atol=1e-12)
    assert_allclose(one.loss_curve, other.loss_curve, rtol=1e-9)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("layout", [*LAYOUTS, unsorted_with_zeros])
@pytest.mark.parametrize("solver", ["adagrad", "lbfgs"])
def test_joint_training_lowers_the_loss(solver, layout, standardize):
    rows, _, codes = topics()
    weights, intercepts = random_network((6, 5, 3))
    before = [array.copy() for array in (*weights, *intercepts)]
    result = train_jointly(
        weights,
        intercepts,
        layout(rows),
        codes,
        solver=solver,
        learning_rate=0.1,
        batch_size=16,
        max_iter=15,
        standardize=standardize,
    )
    for array, copy in zip((*weights, *intercepts), before, strict=True):
        assert_array_equal(array, copy)
    assert result.n_iter == len(result.loss_curve) <= 15
    start = network_log_loss(weights, intercepts, rows, codes)
    end = network_log_loss(result.weights, result.intercepts, rows, codes)
    assert end < 0.7 * start
    if solver == "lbfgs":
        assert_allclose(result.loss_curve[-1], end, rtol=1e-10)
        assert (np.diff(result.loss_curve) <= 1e-12).all()


def test_lbfgs_ends_where_the_gradient_vanishes():
    rows, _, codes = topics()
    codes[::5] = (codes[::5] + 1) % 3
    network = random_network((6, 4, 3))
    weight = np.random.default_rng(2).uniform(0.1, 3, len(rows))
    result = train_jointly(
        *network,
        rows,
        codes,
        sample_weight=weight,
        solver="lbfgs",
        alpha=0.01,
        max_iter=2000,
        tol=1e-7,
    )
    assert result.converged
    share = (weight / weight.sum())[:, None]
    _, slopes, intercept_slopes = backpropagate(
        result.weights, result.intercepts, rows, codes, share
    )
    starts = network[0]
    for slope, end, start in zip(slopes, result.weights, starts, strict=True):
        assert_allclose(slope + 0.01 * (end - start), 0, atol=1e-5)
    for slope in intercept_slopes:
        assert_allclose(slope, 0, atol=1e-5)


@pytest.mark.parametrize("solver", ["adagrad", "lbfgs"])
def test_validation_rows_choose_the_weights(solver):
    rows, _, codes = topics(n_rows=200)
    codes[::3] = (codes[::3] + 1) % 3
    held_out = slice(0, 60)
    result = train_jointly(
        *random_network((6, 5, 3)),
        rows[60:],
        codes[60:],
        solver=solver,
        learning_rate=0.3,
        max_iter=200,
        n_iter_no_change=3,
        validation=(rows[held_out], codes[held_out], None),
    )
    best = min(result.validation_curve)
    found = network_log_loss(
        result.weights, result.intercepts, rows[held_out], codes[held_out]
    )
    assert_allclose(found, best, rtol=1e-12)
    assert result.validation_curve.index(best) < result.n_iter < 200


def test_training_stops_when_it_is_told_to():
    rows, _, codes = topics()
    told = []

    def callback(iteration, weights, intercepts):
        told.append((iteration, weights, intercepts))
        return iteration == 2

    result = train_jointly(*random_network(), rows, codes, callback=callback)
    assert [iteration for iteration, _, _ in told] == [1, 2]
    assert result.weights is told[-1][1]
    assert not result.converged
    # Earlier iterations keep their own arrays.
    assert np.abs(told[0][1][0] - told[1][1][0]).max() > 0


def test_float32_stays_float32():
    rows, parts, codes = topics()
    rows = rows.astype(np.float32)
    for solver in ("adagrad", "lbfgs"):
        result = train_jointly(
            *random_network(), rows, codes, solver=solver, max_iter=2
        )
        arrays = (*result.weights, *result.intercepts)
        assert all(array.dtype == np.float32 for array in arrays)
    layers = solve_layers(rows, [parts, codes], [5, 3])
    assert all(layer.decoder.weights.dtype == np.float32 for layer in layers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_layers_score_with_unit_variance(dtype):
    rows = 5 + np.random.default_rng(0).normal(size=(500, 400)) * 0.1
    weights, intercepts = random_layers(rows.astype(dtype), [300, 200])
    assert [weight.shape for weight in weights] == [(400, 300), (300, 200)]
    assert all(array.dtype == dtype for array in (*weights, *intercepts))
    assert all(not intercept.any() for intercept in intercepts)
    centred = rows - rows.mean(axis=0)
    assert 0.9 < (centred @ weights[0]).std() < 1.1
    alike = np.full((1, 300), 1 / 300)
    assert 0.8 < (alike @ weights[1]).std() < 1.2
    again = random_layers(rows.astype(dtype), [300, 200])[0]
    assert_array_equal(weights[0], again[0])
    other = random_layers(rows.astype(dtype), [300], rng=np.random.RandomState(1))[0]
    assert np.abs(other[0] - weights[0]).max() > 0


def test_too_large_a_step_and_unknown_solvers():
    rows, _, codes = topics()
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        train_jointly(*random_network(), rows, codes, learning_rate=1e308)
    with pytest.raises(ValueError, match="not 'newton'"):
        train_jointly(*random_network(), rows, codes, solver="newton")
