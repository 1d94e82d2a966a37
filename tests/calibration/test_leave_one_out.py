"""Leave-one-out scores against refits without each row."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from explicit_softmax.calibration import leave_one_out as module
from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.leave_one_out import (
    LeaveOneOut,
    leave_one_out,
    leave_one_out_each,
)
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import Calibration, block_log_likelihood
from tests import layouts, oracles, strategies

LAYOUTS = [np.asarray, sp.csr_array]
SMOOTHINGS = ["uniform", "prior", "noise", None]
PLAIN = Calibration(np.full(2, 0.5), 2.0)


def random_rows(n_rows=25, n_features=6, n_classes=3, *, positive=False, seed=0):
    """Rows of which one is all zeros and one is the only one of its class."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.8, (n_rows, n_features)).astype(float)
    X *= rng.uniform(0.5, 2.0, (n_rows, 1))
    y = rng.integers(0, n_classes, n_rows)
    if positive:
        return X + 0.5, y, n_classes
    X[4] = 0
    X[9, :] = [0, 0, 1.5, 0, 2, 1]
    y[9] = n_classes
    return X, y, n_classes + 2  # one class alone, one never seen


def held_out_of(
    X,
    y,
    n_classes,
    smoothing,
    blocks=(slice(0, 3), slice(3, 6)),
    *,
    weight=None,
    norm_exponent=0.0,
    layout="auto",
    of=slice(None),
):
    counts = CooccurrenceCounts.from_rows(
        X, y, n_classes, sample_weight=weight, norm_exponent=norm_exponent
    )
    return leave_one_out(
        smooth_counts(counts, smoothing, 0.2, blocks),
        X[of],
        y[of],
        sample_weight=None if weight is None else weight[of],
        norm_exponent=norm_exponent,
        layout=layout,
    )


def refits(X, y, n_classes, smoothing, blocks, calibration, **how):
    """Scores by models that never saw the row."""
    how |= {"blocks": blocks, "smoothing": smoothing, "strength": 0.2}
    how |= vars(calibration)
    return oracles.leave_one_out_scores(X, y, n_classes, **how)


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("weights", ["none", "integer", "any"])
@pytest.mark.parametrize("sizes", [[6], [2, 3, 1]])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_scores_equal_those_of_refits(smoothing, sizes, weights, norm_exponent):
    X, y, n_classes = random_rows(positive=smoothing is None)
    rng = np.random.default_rng(1)
    weight = {
        "none": None,
        "integer": rng.integers(1, 4, len(X)).astype(float),
        "any": rng.uniform(0.1, 2.5, len(X)),
    }[weights]
    model = n_classes, smoothing, feature_blocks(6, sizes)
    beta = np.linspace(0.4, 1.1, len(sizes))
    how = {"weight": weight, "norm_exponent": norm_exponent}
    held_out = [
        held_out_of(make(X), y, *model, layout=layout, **how)
        for make in LAYOUTS
        for layout in ("dense", "sparse")
    ]
    how["sample_weight"] = how.pop("weight")
    for translation in ("column", "intercept"):
        calibration = Calibration(
            beta, 2.5, translation, 0.3, 0.1 * np.arange(n_classes)
        )
        expected = refits(X, y, *model, calibration, **how)
        for found in held_out:
            oracles.assert_same_probabilities(found.scores(calibration), expected)


@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
@strategies.properties
@given(data=st.data(), sparse=st.booleans())
def test_scores_equal_those_of_refits_for_any_counts(smoothing, data, sparse):
    X, y, n_classes = data.draw(strategies.labelled_counts(max_rows=7))
    sizes = data.draw(strategies.block_sizes(X.shape[1]))
    model = n_classes, smoothing, feature_blocks(X.shape[1], sizes)
    weight = data.draw(strategies.weights(len(X)))
    rows = sp.csr_array(X) if sparse else X
    held_out = held_out_of(rows, y, *model, weight=weight)
    filled = X.sum(axis=1) > 0
    assert held_out.log_likelihoods.shape == (len(sizes), filled.sum(), n_classes)
    if filled.any():
        calibration = Calibration(np.full(len(sizes), 0.7), 2.0)
        expected = refits(X, y, *model, calibration, sample_weight=weight)
        oracles.assert_same_probabilities(held_out.scores(calibration), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
def test_few_rows(smoothing, layout):
    # Row 1 has no feature in the second block, of which no row is asked for below.
    X = np.array([[1.0, 2.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 3.0, 1.0]])
    model = 2, smoothing, feature_blocks(4, 2)
    y = np.array([0, 1, 1])
    expected = refits(X, y, *model, PLAIN)
    for of in (slice(None), slice(0, 2)):
        part = held_out_of(layout(X), y, *model, of=of)
        oracles.assert_same_probabilities(part.scores(PLAIN), expected[of])
    # One row for each class: half of the smallest count stands in for its class.
    X, model = np.diag([3.0, 1.0, 2.0]), (3, smoothing, (slice(0, 3),))
    held_out = held_out_of(layout(X), np.arange(3), *model)
    calibration = Calibration(np.array([0.5]), 2.0)
    expected = refits(X, np.arange(3), *model, calibration)
    oracles.assert_same_probabilities(held_out.scores(calibration), expected)
    assert_allclose(np.diag(held_out.log_count), np.log(0.5 / 3))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
def test_rows_of_zeros_are_left_out_and_some_rows_are_as_all(smoothing, layout):
    X, y, n_classes = random_rows()
    weight = np.arange(1.0, len(X) + 1)
    held_out = held_out_of(layout(X), y, n_classes, smoothing, weight=weight)
    kept = np.arange(len(X)) != 4
    assert_array_equal(held_out.y, y[kept])
    assert_array_equal(held_out.weights, weight[kept])
    assert_allclose(held_out.norms, X[kept].sum(axis=1))
    mean_norm = (X.sum(axis=1) * weight).sum() / weight[kept].sum()
    assert_allclose(held_out.mean_norm, mean_norm)
    some, places = np.array([20, 3, 9, 4]), [19, 3, 8]
    part = held_out_of(layout(X), y, n_classes, smoothing, weight=weight, of=some)
    expected = held_out.log_likelihoods[:, places]
    assert_allclose(part.log_likelihoods, expected, rtol=1e-12)
    assert_allclose(part.log_count, held_out.log_count[places], rtol=1e-12)


@pytest.mark.parametrize("chunk_values", [7, 2**17])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_every_layout_type_and_chunk_gives_the_same_scores(
    monkeypatch, layout, smoothing, chunk_values
):
    X, y, n_classes = random_rows(positive=smoothing is None)
    expected = held_out_of(X, y, n_classes, smoothing)
    monkeypatch.setattr(module, "_CHUNK_VALUES", chunk_values)
    actual = held_out_of(layouts.LAYOUTS[layout](X), y, n_classes, smoothing)
    for name in ("log_likelihoods", "log_count", "log_norm", "norms", "weights"):
        first, second = getattr(actual, name), getattr(expected, name)
        assert_allclose(first, second, rtol=1e-11, atol=1e-11)
    integers = np.rint(X) + (smoothing is None)
    expected = held_out_of(integers, y, n_classes, smoothing).scores(PLAIN)
    for dtype in (np.uint8, np.int64, np.float32):
        rows = layouts.LAYOUTS[layout](integers.astype(dtype))
        scores = held_out_of(rows, y, n_classes, smoothing).scores(PLAIN)
        assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_smoothing_a_vanishing_cooccurrence_raises(layout):
    X, blocks = np.array([[1.0, 2.0], [1.0, 1.0], [2.0, 1.0]]), (slice(0, 2),)
    y = np.array([0, 1, 1])
    with pytest.raises(ValueError, match="need smoothing"):
        held_out_of(layout(X), y, 2, None, blocks)
    again = np.array([0, 1, 2, 0])
    held_out_of(layout(X[again]), y[again], 2, None, blocks)
    # Scale and weight multiply in another order while counting: a remainder of 1e-17
    # instead of zero would have a finite logarithm.
    rng = np.random.default_rng(0)
    for _ in range(20):
        X, weight = rng.uniform(0.1, 1.0, (3, 2)), rng.uniform(0.1, 1.0, 3)
        how = {"weight": weight, "norm_exponent": 0.5}
        with pytest.raises(ValueError, match="need smoothing"):
            held_out_of(layout(X), y, 2, None, blocks, **how)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_last_row_left_of_a_class_is_all_of_it(layout):
    # 0.1 + 0.2 - 0.1 is not 0.2, and yet the class vanishes with its row.
    X, y = layout(np.ones((3, 2))), np.array([0, 0, 1])
    weight = np.array([0.1, 0.2, 1.0])
    whole, first = (
        CooccurrenceCounts.from_rows(X[n], y[n], 2, sample_weight=weight[n])
        for n in (slice(0, 3), slice(0, 1))
    )
    counts = whole - first
    assert counts.class_count[0] != 0.2
    held_out = leave_one_out(
        smooth_counts(counts), X[1:], y[1:], sample_weight=weight[1:]
    )
    assert_allclose(np.diag(held_out.log_count), np.log(0.1 / 1.2))


def digits_without_each(X, y, smoothing, norm_exponent):
    """Leave-one-out scores from models that recompute everything without the row."""
    log_likelihoods = np.empty((1, len(y), 10))
    log_count, log_norm = np.empty((2, len(y), 10))
    scale = X.sum(axis=1) ** -norm_exponent
    for m in range(len(y)):
        rest = np.arange(len(y)) != m
        smoothed = smooth_counts(
            CooccurrenceCounts.from_rows(
                X[rest], y[rest], 10, norm_exponent=norm_exponent
            ),
            smoothing,
        )
        scores = block_log_likelihood(smoothed, 0).scores(X[m : m + 1])[0]
        log_likelihoods[0, m] = scores * scale[m]
        log_count[m], log_norm[m] = smoothed.log_count, smoothed.log_norm
    return LeaveOneOut(
        log_likelihoods,
        log_count,
        log_norm,
        np.log(np.bincount(y) / len(y)),
        X.sum(axis=1) * scale,
        y,
        np.ones(len(y)),
    )


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
def test_what_is_held_fixed_while_a_row_is_out_does_not_matter(
    smoothing, norm_exponent
):
    X, y = (array[:500] for array in load_digits(return_X_y=True))
    K = (X.sum(axis=1) ** (1 - norm_exponent)).mean()
    expected, least = calibrate(digits_without_each(X, y, smoothing, norm_exponent), K)
    for layout in LAYOUTS:
        counts = CooccurrenceCounts.from_rows(
            layout(X), y, 10, norm_exponent=norm_exponent
        )
        smoothed = smooth_counts(counts, smoothing)
        shortcut = leave_one_out(smoothed, layout(X), y, norm_exponent=norm_exponent)
        chosen, loss = calibrate(shortcut, K)
        assert_allclose(chosen.beta, expected.beta, rtol=2e-3)
        assert_allclose(loss, least, rtol=2e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("small", [1.0, 0.5])
def test_small_features_beside_large_ones_are_left(layout, small):
    # Without the first row, its class has 8 of the first feature, not none.
    X = np.array([[1e11, 1, 2], [3, 5, 1], [5, 4, 4], [1, 7, 2], [2, 2, 2]])
    X[1:] *= small
    y, blocks = np.array([0, 0, 0, 1, 1]), (slice(0, 3),)
    calibration = Calibration(np.ones(1), 2.0)
    expected = refits(X, y, 2, None, blocks, calibration)
    found = held_out_of(layout(X), y, 2, None, blocks).scores(calibration)
    own = np.arange(5), y
    assert_allclose(
        (found - found[:, ::-1])[own], (expected - expected[:, ::-1])[own], rtol=1e-4
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sizes", [[6], [2, 3, 1]])
@pytest.mark.parametrize("smoothing", SMOOTHINGS[:3])
def test_strengths_in_one_go_have_the_scores_of_each(smoothing, sizes, layout):
    X, y, n_classes = random_rows()
    X = layout(np.c_[X, X][:, [0, 1, 2, 9, 10, 11]])
    counts = CooccurrenceCounts.from_rows(X, y, n_classes, norm_exponent=0.5)
    smoothed = [
        smooth_counts(counts, smoothing, strength, feature_blocks(6, sizes))
        for strength in (0.03, 0.3, 2.0)
    ]
    rows = X[3:20], y[3:20]
    together = leave_one_out_each(iter(smoothed), *rows, norm_exponent=0.5)
    for each, held_out in zip(smoothed, together, strict=True):
        alone = leave_one_out(each, *rows, norm_exponent=0.5)
        assert_array_equal(held_out.log_likelihoods, alone.log_likelihoods)
        assert_array_equal(held_out.log_norm, alone.log_norm)
