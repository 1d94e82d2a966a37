"""Softmax cross-entropy: values by hand, extremes, and slopes."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.special
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics

from explicit_softmax.solution import loss as module
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import (
    cross_entropy_residual,
    log_loss,
    network_scores,
    softmax_in_place,
)
from tests import oracles


def random_scores(n_rows=20, n_classes=5, seed=0):
    rng = np.random.default_rng(seed)
    scores = 4 * rng.standard_normal((n_rows, n_classes))
    return scores, rng.integers(0, n_classes, n_rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_by_hand(dtype):
    scores = np.array([[0, np.log(3)], [2, 2], [5 + np.log(9), 5]], dtype=dtype)
    losses, residual = cross_entropy_residual(scores.copy(), np.array([0, 1, 0]))
    rtol = 1e-6 if dtype == np.float32 else 1e-14
    assert_allclose(losses, [np.log(4), np.log(2), np.log(10 / 9)], rtol=rtol)
    assert_allclose(residual, [[-0.75, 0.75], [0.5, -0.5], [-0.1, 0.1]], rtol=10 * rtol)
    assert losses.dtype == np.float64
    assert residual.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_stay_finite(dtype):
    scores = np.array([[1e4, 0, -1e4], [1e4, 0, -1e4], [-1e4] * 3, [1e4] * 3], dtype)
    losses, residual = cross_entropy_residual(scores, np.array([0, 2, 1, 1]))
    assert residual is scores  # overwritten
    assert_allclose(losses, [0, 2e4, np.log(3), np.log(3)], rtol=1e-6)
    assert_allclose(residual[:2], [[0, 0, 0], [1, 0, -1]])
    assert_allclose(residual[2:].sum(axis=1), 0, atol=1e-6)


def test_losses_equal_those_of_scipy_and_scikit_learn():
    scores, codes = random_scores()
    losses, _ = cross_entropy_residual(scores.copy(), codes)
    logs = scipy.special.log_softmax(scores, axis=1)
    assert_allclose(losses, -logs[np.arange(20), codes], rtol=1e-12)
    identity = Decoder.from_dense(np.eye(5), np.zeros(5))
    for weight in (None, np.random.default_rng(1).uniform(0, 2, 20)):
        how = {"sample_weight": weight, "labels": range(5)}
        expected = metrics.log_loss(codes, np.exp(logs), **how)
        assert_allclose(log_loss([identity], scores, codes, weight), expected)


def test_the_residual_is_the_slope_of_the_losses():
    scores, codes = random_scores(n_rows=6)
    _, residual = cross_entropy_residual(scores.copy(), codes)
    step = 1e-6
    for label in range(5):
        away = step * np.eye(5)[label]
        above, _ = cross_entropy_residual(scores + away, codes)
        below, _ = cross_entropy_residual(scores - away, codes)
        slope = (above - below) / (2 * step)
        assert_allclose(residual[:, label], slope, atol=1e-8)


def test_one_class_has_no_loss():
    scores = np.array([[3.0], [-2.0]])
    losses, residual = cross_entropy_residual(scores, np.zeros(2, int))
    assert_array_equal(losses, 0.0)
    assert_array_equal(residual, 0.0)


def test_softmax_is_written_over_its_scores():
    scores = np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]])
    outputs = softmax_in_place(scores)
    assert outputs is scores
    assert_allclose(outputs, [[0.5, 0.5], [0.25, 0.75]])


@pytest.mark.parametrize("chunk_values", [1, 17, 2**20])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_scores_and_losses_of_layers_are_those_of_the_definition(
    monkeypatch, layout, n_layers, chunk_values
):
    monkeypatch.setattr(module, "_CHUNK_VALUES", chunk_values)
    rng = np.random.default_rng(2)
    X, codes = np.abs(random_scores(30)[0]), rng.integers(0, 3, 30)
    shapes = [(5, 4), (4, 6), (6, 3)][-n_layers:]
    X = X[:, : shapes[0][0]] if shapes[0][0] < 6 else np.hstack((X, X[:, :1]))
    decoders = [
        Decoder.from_dense(rng.normal(size=shape), rng.normal(size=shape[1]))
        for shape in shapes
    ]
    logs = np.log(X)  # of outputs of a layer before, as it were
    for decoder in decoders:
        scores = np.exp(logs) @ decoder.weights + decoder.intercept
        logs = oracles.log_probabilities(scores)
    found = network_scores(decoders, layout(X))
    assert_allclose(found, scores, rtol=1e-12)
    for weight in (None, rng.uniform(0.5, 2, 30)):
        expected = oracles.mean_loss(scores, codes, weight)
        assert_allclose(log_loss(decoders, layout(X), codes, weight), expected)
    single = [decoder.astype(np.float32) for decoder in decoders]
    rows = layout(X.astype(np.float32))
    assert network_scores(single, rows).dtype == np.float32
