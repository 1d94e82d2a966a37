"""Layers that are solved one after the other."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.layers import solve_layers
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.calibration.model import ExplicitModel, Refined, Settings
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.loss import network_scores
from explicit_softmax.solution.smoothing import smooth_counts
from tests import oracles

LAYOUTS = [np.asarray, sp.csr_array]


def topics(n_rows=90, n_features=6, n_parts=5, n_classes=3, seed=0):
    """Counts of features, the part that each row comes from, and its class."""
    rng = np.random.default_rng(seed)
    parts = np.arange(n_rows) % n_parts
    X = rng.poisson(rng.gamma(1.0, 2.0, (n_parts, n_features))[parts]).astype(float)
    X[:, 0] += 1
    return X, parts, np.minimum(parts, n_classes - 1)


def probabilities(scores):
    return np.exp(oracles.log_probabilities(scores))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_second_layer_is_the_theorem_at_k_of_one(monkeypatch, layout, weighted):
    monkeypatch.setattr("explicit_softmax.calibration.layers._CHUNK_VALUES", 40)
    X, parts, y = topics()
    weight = np.random.default_rng(2).uniform(0.1, 3, len(X)) if weighted else None
    network = solve_layers(
        layout(X),
        [parts, y],
        [5, 3],
        sample_weight=weight,
        betas=[0.03, 1.0],
        strength=1e-12,
    )
    first, second = network.decoders
    outputs = probabilities(X @ first.dense_weights())
    counts = oracles.cooccurrence(outputs, y, 3, weight)
    # U = log F - (K - 1)/K log S, and K = 1.
    expected = oracles.theorem(counts, 1.0)
    assert_allclose(second.dense_weights(), expected, atol=1e-8)
    chosen = network.layers[1].solution.choice
    assert_allclose(chosen.calibration.priming_number, 1.0)
    assert chosen.smoothing_strength == 1e-12
    # No row is kept, and the choice is.
    assert all(len(layer.sample.y) == 0 for layer in network.layers)
    refined = Refined((second,))
    assert network.with_refinement(refined).decoders == (second,)


@pytest.mark.parametrize("smoothing", ["prior", "noise"])
@pytest.mark.parametrize("strength", [0.2, "auto"])
def test_one_layer_is_the_model_of_its_rows(strength, smoothing):
    X, _, y = topics()
    settings = Settings("mean_norm", "auto", smoothing, strength, 0.5, "column", 1)
    model = ExplicitModel.from_rows(X, y, 3, settings)
    how = {"smoothing": smoothing, "norm_exponent": 0.5}
    how["strength"] = None if strength == "auto" else strength
    network = solve_layers(X, [y], [3], **how)
    assert_array_equal(network.decoders[0].weights, model.decoders[0].weights)
    assert network.choices[0].log_loss == model.solution.choice.log_loss


def test_temperature_of_a_layer_is_chosen_on_rows_that_it_did_not_see():
    # Features that are noise: a row is recognised only by a layer that has seen it.
    rng = np.random.default_rng(0)
    X = rng.poisson(0.5, (60, 200)).astype(float)
    X[:, 0] += 1
    parts = np.arange(60) // 2
    y = rng.integers(0, 2, 30)[parts]
    network = solve_layers(X, [parts, y], [30, 2], betas=[1.0, None], strength=0.1)
    outputs = probabilities(network.decoders[0].scores(X))
    seen = smooth_counts(CooccurrenceCounts.from_rows(outputs, y, 2))
    in_sample, _ = calibrate(leave_one_out(seen, outputs, y), 1.0, norm_weight=1.0)
    chosen = network.layers[1].solution.choice.calibration
    assert chosen.beta[0] < 0.5 * in_sample.beta[0]


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
def test_later_layers_have_smoothing_in_their_own_unit(smoothing):
    X, parts, y = topics()
    scores = []
    for unit in (1.0, 256.0):
        network = solve_layers(unit * X, [parts, y], [5, 3], smoothing=smoothing)
        scores.append(network_scores(network.decoders, unit * X))
    assert_allclose(scores[0], scores[1], atol=1e-3)
    later = "prior" if smoothing == "noise" else smoothing
    assert [x.settings.smoothing for x in network.layers] == [smoothing, later]


def test_rows_without_features_pass_as_the_frequencies_of_the_targets():
    X, parts, y = topics()
    X[::7] = 0
    network = solve_layers(X, [parts, parts, y], [5, 5, 3], norm_exponent=0.5)
    frequencies = np.bincount(parts)[None, :] / len(parts)
    expected = network_scores(network.decoders[1:], frequencies)
    scores = network_scores(network.decoders, X)
    assert_allclose(scores[::7], np.tile(expected, (13, 1)))
    assert np.isfinite(scores).all()
    nothing = solve_layers(np.zeros_like(X, dtype=np.float32), [parts, y], [5, 3])
    assert all(d.weights.dtype == np.float32 for d in nothing.decoders)
    shares = probabilities(network_scores(nothing.decoders, X[:1]))
    assert_allclose(shares, np.bincount(y)[None, :] / len(y), rtol=0.02)
