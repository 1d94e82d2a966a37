"""Temperatures of features: against refits of rows, differences, and each other."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration import feature_temperature as module
from explicit_softmax.calibration.feature_temperature import (
    N_GROUPS,
    FeatureEvidence,
    FeatureLoss,
    frequency_parts,
    minimised,
)
from explicit_softmax.calibration.model import ExplicitModel, Settings
from explicit_softmax.calibration.sample import BUDGETS
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import Calibration
from tests import oracles

N_CLASSES = 4
BLOCKS = feature_blocks(12, [7, 5])
FREQUENCY = Settings("mean_norm", "frequency", "prior", "auto", 0.5, "exact", 1)
WEIGHTS = {
    "none": None,
    "integer": np.random.default_rng(1).integers(1, 4, 30) * 1.0,
    "any": np.random.default_rng(2).uniform(0.1, 2.5, 30),
}


@pytest.fixture(autouse=True)
def groups_everywhere(monkeypatch):
    """Groups by frequency although small examples are dense."""
    monkeypatch.setattr(module, "_DENSE_SHARE", 1.0)


def documents(n_rows=30, n_features=12, seed=0):
    """Sparse counts; one class has one row, one feature one row, one row nothing."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % (N_CLASSES - 1)
    rates = rng.gamma(0.3, 1.0, (N_CLASSES, n_features))
    X = rng.poisson(rates[y]).astype(float)
    X[:, 1], X[3, 1], X[5], y[9] = 0.0, 2.0, 0.0, N_CLASSES - 1
    X[9, :2] = 1.0, 2.0
    return X, y


def smoothed_counts(X, y, smoothing="prior", weight=None, blocks=BLOCKS, exponent=0.5):
    counts = CooccurrenceCounts.from_rows(
        X, y, N_CLASSES, sample_weight=weight, norm_exponent=exponent
    )
    return smooth_counts(counts, smoothing, 0.3, blocks)


def loss_of(evidence, calibration, *, fits_shifts=True, seed=3):
    """A loss with one factor for each feature, and a point away from the start."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.2, 1.0, 2 * N_GROUPS)
    loss = FeatureLoss(
        evidence, calibration, base[evidence.part], evidence.feature, 12, fits_shifts
    )
    point = loss.start + rng.uniform(-0.5, 0.5, loss.start.size)
    return loss, point, base


@pytest.mark.parametrize(
    "sizes",
    [{"_HELD_VALUES": 0}, {"_BY_COLUMN": 0, "_SOME_BY_COLUMN": 5 * N_CLASSES}, {}],
)
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
def test_the_loss_is_that_of_refits(monkeypatch, smoothing, weights, layout, sizes):
    for name, size in sizes.items():
        monkeypatch.setattr(module, name, size)
    X, y = documents()
    weight = WEIGHTS[weights]
    smoothed = smoothed_counts(layout(X), y, smoothing, weight)
    evidence = FeatureEvidence.of(smoothed, layout(X), y, weight, 0.5)
    calibration = Calibration(np.ones(2), 2.0, "intercept", 0.3, 0.1, 0.2)
    loss, point, base = loss_of(evidence, calibration)
    fitted = loss.fitted(point)
    weight = np.ones(len(y)) if weight is None else weight
    fixed = oracles.fix(X, y, N_CLASSES, BLOCKS, weight, 0.5)
    losses, total = 0.0, 0.0
    for m in np.flatnonzero(X.sum(axis=1)):
        left = weight.copy()
        unit = min(left[m], 1.0)
        left[m] -= unit
        # Each feature is a block of its own in effect: its group without the row.
        frequency = weight @ (X > 0) - unit
        part = np.searchsorted(module._EDGES, frequency + 1e-9, "right")
        part[7:] += N_GROUPS
        beta = base[part] * point[:12]
        counts = oracles.cooccurrence(X, y, N_CLASSES, left, 0.5)
        smooth = oracles.smoothed(counts, BLOCKS, smoothing, 0.3, fixed)
        row = oracles.scaled_rows(X[m : m + 1], 0.5)[0]
        log_count = oracles.log_frequencies(
            oracles.class_counts(y, N_CLASSES, left), fixed
        )
        scores = log_count + 0.3 * (np.log(smooth.sum(axis=0)) - log_count)
        scores = scores + fitted.intercept_shift + row.sum() * fitted.column_shift
        matrix = np.eye(12)
        if smoothing == "noise":
            matrix = oracles.noise_matrix(fixed, BLOCKS)
        for block in BLOCKS:
            log_prob = np.log(smooth[block]) - np.log(smooth[block].sum(axis=0))
            scores = scores + (beta * row)[block] @ matrix[block, block] @ log_prob
        losses -= weight[m] * oracles.log_probabilities(scores[None])[0, y[m]]
        total += weight[m]
    assert_allclose(loss.log_loss(point, loss(point)[0]), losses / total, rtol=1e-10)


@pytest.mark.parametrize("some_by_column", [2**20, 5 * N_CLASSES])
@pytest.mark.parametrize("fits_shifts", [False, True])
def test_the_gradient_is_that_of_differences(monkeypatch, fits_shifts, some_by_column):
    monkeypatch.setattr(module, "_BY_COLUMN", some_by_column)
    monkeypatch.setattr(module, "_SOME_BY_COLUMN", some_by_column)
    X, y = documents()
    weight = WEIGHTS["any"]
    smoothed = smoothed_counts(X, y, weight=weight)
    evidence = FeatureEvidence.of(smoothed, X, y, weight, 0.5)
    loss, point, _ = loss_of(
        evidence, Calibration(np.ones(2), 2.0), fits_shifts=fits_shifts
    )
    _, gradient = loss(point)
    for j in range(point.size):
        step = np.zeros(point.size)
        step[j] = 1e-5
        slope = (loss(point + step)[0] - loss(point - step)[0]) / 2e-5
        assert_allclose(gradient[j], slope, atol=1e-8)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", ["prior", "uniform"])
def test_dense_rows_have_the_loss_of_sparse_ones(monkeypatch, smoothing, weights):
    monkeypatch.setattr(module, "_DENSE_SHARE", 0.0)
    X, y = documents()
    weight = WEIGHTS[weights]
    smoothed = smoothed_counts(X, y, smoothing, weight)
    points = []
    for rows in (X, sp.csr_array(X), X.astype(np.float32)):
        evidence = FeatureEvidence.of(smoothed, rows, y, weight, 0.5)
        calibration = Calibration(np.ones(2), 2.0, "intercept", 0.3, 0.1, 0.2)
        loss, point, _ = loss_of(evidence, calibration)
        points.append(loss(point))
        assert sp.issparse(evidence.X) == sp.issparse(rows)
    for (value, slopes), rtol in zip(points[1:], [1e-12, 1e-5], strict=True):
        assert_allclose(value, points[0][0], rtol=rtol)
        # Columns that no row has are left out of sparse rows.
        assert_allclose(slopes, points[0][1], rtol=rtol, atol=rtol)


def test_two_starts_have_one_optimum():
    X, y = documents()
    evidence = FeatureEvidence.of(smoothed_counts(X, y), X, y, None, 0.5)
    loss, point, _ = loss_of(evidence, Calibration(np.ones(2), 2.0))
    first, _ = minimised(loss, 1000)
    second, _ = minimised(loss, 1000, start=np.abs(point) * 3)
    assert_allclose(first, second, atol=1e-4)
    assert (first[:12] >= 0).all()
    assert loss(first)[0] < loss(loss.start)[0]


def test_a_feature_of_one_row_is_no_evidence_without_it():
    X, y = documents()
    X[9, 1] = 0.0  # feature 1 is in row 3 alone
    smoothed = smoothed_counts(X, y, blocks=(slice(0, 12),))
    evidence = FeatureEvidence.of(smoothed, X, y, None, 0.5)
    loss, point, _ = loss_of(evidence, Calibration(np.ones(2), 2.0))
    gradient = loss(point)[1][1] - (point[1] - 1.0) / loss.total
    assert_allclose(gradient, 0.0, atol=1e-15)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
def test_features_of_one_row_are_set_apart_without_a_difference(smoothing, weights):
    X, y = documents()
    X[:, 8], X[4, 8] = 0.0, 3.0  # alone in the other block
    weight = WEIGHTS[weights]
    smoothed = smoothed_counts(sp.csr_array(X), y, smoothing, weight)
    base, factors = np.array([0.7, 0.4]), np.random.default_rng(3).uniform(0.5, 2, 12)
    losses = []
    for sets_apart in (False, True):
        rows = sp.csr_array(X), y, weight, 0.5
        evidence = FeatureEvidence.of(smoothed, *rows, sets_apart)
        kept, tie = np.unique(evidence.feature, return_inverse=True)
        lone = np.setdiff1d(np.flatnonzero(X.sum(axis=0)), kept)
        factors[lone] = 1.0
        loss = FeatureLoss(
            evidence,
            Calibration(np.ones(2), 2.0, "intercept", 0.3, 0.1, 0.2),
            base[evidence.part // N_GROUPS],
            tie.ravel(),
            kept.size,
            fits_shifts=True,
            lone_base=base,
        )
        losses.append((loss, kept))
    # A row whose weight is above one leaves the rest of it behind.
    assert (8 in lone) == (smoothing != "noise" and (weight is None or weight[4] <= 1))
    values, slopes = [], []
    for loss, kept in losses:
        value, gradient = loss(np.concatenate((factors[kept], loss.start[-8:])))
        of_features = np.zeros(12)
        of_features[kept] = gradient[: kept.size]
        priors = (factors[kept] - 1.0) @ (factors[kept] - 1.0) / (2 * loss.total)
        values.append(value - priors)
        slopes.append(np.delete(of_features, lone))
    assert_allclose(*values, rtol=1e-12)
    assert_allclose(*slopes, atol=1e-14)


def test_single_precision_has_the_same_loss_whatever_the_unit():
    X, y = documents()
    points = []
    for unit, dtype in ((1.0, np.float64), (1.0, np.float32), (1e60, np.float32)):
        rows = sp.csr_array(X * unit)
        smoothed = smoothed_counts(rows, y)
        evidence = FeatureEvidence.of(smoothed, rows, y, None, 0.5, dtype=dtype)
        loss, point, _ = loss_of(evidence, Calibration(np.ones(2), 2.0, "intercept"))
        loss.base /= unit**0.5
        points.append(loss(point))
        assert evidence.X.dtype == evidence.own.dtype == dtype
    for value, gradient in points[1:]:
        assert_allclose(value, points[0][0], rtol=1e-5)
        assert_allclose(gradient, points[0][1], atol=1e-5)


def test_groups_are_those_of_the_frequencies():
    X, y = documents()
    smoothed = smoothed_counts(X, y)
    smoothed = replace(
        smoothed,
        counts=replace(
            smoothed.counts,
            document_frequency=np.array([0, 1, 2, 3, 4, 7, 8] + [1e4] * 5),
        ),
    )
    parts = frequency_parts(smoothed, np.arange(12))
    assert parts.tolist() == [0, 1, 2, 3, 4, 4, 5] + [N_GROUPS + 14] * 5
    assert frequency_parts(smoothed, np.arange(3), 1.0).tolist() == [0, 0, 1]


def model_of(X, y, settings=FREQUENCY, weight=None):
    return ExplicitModel.from_rows(X, y, N_CLASSES, settings, weight)


def test_frequency_merges_to_the_bit():
    X, y = documents(200, 40, seed=4)
    weight = np.random.default_rng(1).integers(1, 3, len(y)) * 1.0
    order = np.random.default_rng(2).permutation(len(y))
    a, b, c = (
        model_of(sp.csr_array(X[n]), y[n], weight=weight[n])
        for n in np.split(order, [60, 150])
    )
    whole = model_of(sp.csr_array(X), y, weight=weight)
    beta = whole.solution.choice.calibration.beta
    assert beta.shape == (40,)
    assert np.unique(beta).size > 3
    for model in ((a + b) + c, a + (c + b), (a + b + c + a) - a):
        assert_array_equal(model.solution.choice.calibration.beta, beta)
        assert_array_equal(model.decoders[0].weights, whole.decoders[0].weights)


@pytest.mark.parametrize("kind", ["frequency", "feature"])
@pytest.mark.parametrize("n_blocks", [1, [25, 15]])
@pytest.mark.parametrize("smoothing", ["prior", "noise"])
def test_layouts_of_rows_and_weights_agree(smoothing, n_blocks, kind):
    X, y = documents(200, 40, seed=4)
    settings = replace(
        FREQUENCY, inverse_temperature=kind, n_blocks=n_blocks, smoothing=smoothing
    )
    dense = model_of(X, y, settings)
    sparse = model_of(sp.csr_array(X), y, settings)
    beta = dense.solution.choice.calibration.beta
    assert beta.shape == (40,)
    assert_allclose(sparse.solution.choice.calibration.beta, beta, rtol=1e-4)
    stored = sparse.with_layout("sparse")
    assert stored.decoders[0].is_sparse
    scores = (model.decoders[0].scores(X) for model in (stored, sparse))
    assert_allclose(*map(oracles.log_probabilities, scores), atol=1e-10)


def test_more_temperatures_have_a_lower_leave_one_out_loss():
    X, y = documents(300, 40, seed=5)
    losses = [
        model_of(X, y, replace(FREQUENCY, inverse_temperature=kind)).solution.choice
        for kind in ("auto", "frequency", "feature")
    ]
    auto, frequency, feature = (choice.log_loss for choice in losses)
    assert max(feature, frequency) < auto


def test_translations_stay_where_groups_have_far_fewer_rows(monkeypatch):
    X, y = documents(300, 40, seed=5)
    auto, fitted = (
        model_of(X, y, replace(FREQUENCY, inverse_temperature=kind)).solution.choice
        for kind in ("auto", "frequency")
    )
    budget = replace(BUDGETS["groups"], n_values=4000, least_rows=50)
    monkeypatch.setitem(BUDGETS, "groups", budget)
    kept = model_of(X, y).solution.choice
    for name in ("intercept_shift", "column_shift"):
        given, free, same = (
            getattr(found.calibration, name) for found in (auto, fitted, kept)
        )
        assert_array_equal(same, given)
        assert abs(free - given).max() > 0.01
    assert np.unique(kept.calibration.beta).size > 3


def test_dense_features_are_one_group(monkeypatch):
    monkeypatch.undo()
    X, y = documents(200, 40, seed=4)
    choices = [
        model_of(X + 1.0, y, replace(FREQUENCY, inverse_temperature=kind)).solution
        for kind in ("auto", "frequency")
    ]
    first, second = (found.choice.calibration.beta for found in choices)
    assert_array_equal(first, second)


def test_rows_that_do_not_fit_warn(monkeypatch):
    X, y = documents(300, 40, seed=5)
    settings = replace(FREQUENCY, inverse_temperature="feature")
    limit = settings.sample_limit(40, N_CLASSES)
    assert limit.n_rows >= 2**24
    few = ExplicitModel.from_rows(
        X, y, N_CLASSES, settings, None, replace(limit, n_rows=100)
    )
    with pytest.warns(UserWarning, match="100 of them choose it"):
        beta = few.solution.choice.calibration.beta
    assert beta.shape == (40,)


@pytest.mark.parametrize(("n_features", "expected"), [(5, 2), (50, 0.8), (1000, 0.4)])
def test_single_temperatures_are_freer_in_wide_rows(n_features, expected, monkeypatch):
    used = []

    def prior_weight(*args):
        used.append(args[6])
        return FeatureLoss(*args)

    monkeypatch.setattr(module, "FeatureLoss", prior_weight)
    X, y = np.eye(2).repeat(4, axis=0).repeat(n_features, axis=1), np.arange(8) % 3
    settings = replace(FREQUENCY, inverse_temperature="feature")
    assert model_of(sp.csr_array(X), y, settings).solution.choice.log_loss > 0
    monkeypatch.setattr(module, "_DENSE_SHARE", 0.1)
    assert model_of(sp.csr_array(X), y, settings).solution.choice.log_loss > 0
    assert_allclose(used, [expected, 1.0])


def test_features_depart_from_their_block_not_from_groups():
    X, y = documents()
    X[:, 6] = X[:, 11] = 0.0  # in no row: nothing but the prior speaks
    settings = replace(FREQUENCY, inverse_temperature="feature", n_blocks=[7, 5])
    auto = model_of(X, y, replace(settings, inverse_temperature="auto"))
    beta = model_of(X, y, settings).solution.choice.calibration.beta
    assert_allclose(beta[[6, 11]], auto.solution.choice.calibration.beta)
    assert np.unique(beta).size > 4


@pytest.mark.parametrize("method", ["merge", "forget"])
def test_features_take_all_rows_at_once(method):
    X, y = documents()
    model = model_of(X, y, replace(FREQUENCY, inverse_temperature="feature"))
    with pytest.raises(ValueError, match=f'{method} cannot.*"frequency"'):
        model + model if method == "merge" else model - model
