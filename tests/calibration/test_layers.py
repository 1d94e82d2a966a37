"""Layers, solved one after the other."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.layers import solve_layers
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.loss import network_scores, softmax_in_place
from explicit_softmax.solution.smoothing import smooth_counts
from explicit_softmax.solution.theorem import solve
from tests import oracles

LAYOUTS = [np.asarray, sp.csr_array]


def topics(n_rows=90, n_features=6, n_parts=5, n_classes=3, seed=0):
    """Counts of features, the part that each row comes from, and its class."""
    rng = np.random.default_rng(seed)
    parts = np.arange(n_rows) % n_parts
    rows = rng.poisson(rng.gamma(1.0, 2.0, (n_parts, n_features))[parts]).astype(float)
    rows[:, 0] += 1
    return rows, parts, np.minimum(parts, n_classes - 1)


def probabilities(scores):
    return np.exp(oracles.log_probabilities(scores))


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


def test_float32_stays_float32():
    rows, parts, codes = topics()
    layers = solve_layers(rows.astype(np.float32), [parts, codes], [5, 3])
    assert all(layer.decoder.weights.dtype == np.float32 for layer in layers)
