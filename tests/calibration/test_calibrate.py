"""Calibration: the least of the stated objective, within its bounds."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import solve
from tests import oracles

K = 3.0


def held_out_of(rows, codes, n_classes, *, weight=None, n_blocks=1, smoothing="prior"):
    counts = CooccurrenceCounts.from_rows(rows, codes, n_classes, sample_weight=weight)
    blocks = feature_blocks(rows.shape[1], n_blocks)
    evidence = solve(smooth_counts(counts, smoothing, blocks=blocks))
    return leave_one_out(evidence, rows, codes, sample_weight=weight)


def topics(n_rows=120, n_classes=4, n_features=8, seed=10):
    """Rows whose features tell of their class, classes of unequal number and norm."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(n_classes, n_rows, p=[0.5, 0.3, 0.15, 0.05])
    means = rng.gamma(0.7, 1.5, (n_classes, n_features))
    means[0] *= 1.5
    rows = rng.poisson(means[codes]).astype(float)
    # Every feature twice in effect: the evidence is counted too often.
    return np.hstack((rows, rows)), codes, n_classes


def stated_objective(held_out, translation, intercepts, point, n_blocks, n_classes):
    """Weighted mean loss plus the priors, and the loss alone."""
    beta, gamma, rest = point[:n_blocks], point[n_blocks], point[n_blocks + 1 :]
    shift = column_shift = 0.0
    if intercepts == "each":
        assert len(rest) == n_classes
        shift = rest
    elif intercepts == "columns":
        intercept, slope = rest.reshape(2, n_classes)
        shift, column_shift = intercept - slope, slope / held_out.mean_norm
    elif intercepts == "exponent":
        shift = rest[0] * held_out.log_count
    scores = held_out.scores(beta, K, translation, gamma, shift, column_shift)
    loss = oracles.mean_loss(scores, held_out.y, held_out.weights)
    # Shifts count as one row, and the spread of the scores of a block as a tenth.
    spreads = np.average(
        held_out.evidence.std(axis=2), axis=1, weights=held_out.weights
    )
    prior = 0.5 * float(rest @ rest) + 0.05 * float(((beta * spreads) ** 2).sum())
    return loss + prior / held_out.weights.sum(), loss


def found_point(calibration, held_out, intercepts):
    rest = np.zeros(0)
    if intercepts == "each":
        rest = calibration.intercept_shift
    elif intercepts == "columns":
        slope = calibration.column_shift * held_out.mean_norm
        rest = np.concatenate((calibration.intercept_shift + slope, slope))
    elif intercepts == "exponent":
        ratio = calibration.intercept_shift / held_out.class_log_count
        assert_allclose(ratio, ratio[0], rtol=1e-10)
        rest = ratio[:1]
    return np.concatenate((calibration.beta, [calibration.norm_weight], rest))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_blocks", [1, 2])
@pytest.mark.parametrize("translation", ["column", "intercept"])
@pytest.mark.parametrize("intercepts", ["none", "each", "columns", "exponent"])
def test_the_answer_has_the_least_loss(intercepts, translation, n_blocks, weighted):
    rows, codes, n_classes = topics()
    weight = np.random.default_rng(1).uniform(0.2, 3, len(rows)) if weighted else None
    held_out = held_out_of(rows, codes, n_classes, weight=weight, n_blocks=n_blocks)
    calibration = calibrate(held_out, K, translation=translation, intercepts=intercepts)
    point = found_point(calibration, held_out, intercepts)

    def objective(values):
        return stated_objective(
            held_out, translation, intercepts, values, n_blocks, n_classes
        )[0]

    bounds = [(0.0, None)] * n_blocks + [(0.0, 1.0)]
    bounds += [(None, None)] * (len(point) - len(bounds))
    for value, (low, high) in zip(point, bounds, strict=True):
        assert low is None or value >= low
        assert high is None or value <= high
    gradient = scipy.optimize.approx_fprime(point, objective, 1e-7)
    at_low = np.array(
        [low == value for value, (low, _) in zip(point, bounds, strict=True)]
    )
    at_high = np.array(
        [high == value for value, (_, high) in zip(point, bounds, strict=True)]
    )
    free = ~(at_low | at_high)
    assert free[:n_blocks].all()
    assert_allclose(gradient[free], 0.0, atol=2e-6)
    assert (gradient[at_low] > -2e-6).all()
    assert (gradient[at_high] < 2e-6).all()
    brute = scipy.optimize.minimize(
        objective, np.full(len(point), 0.2), method="L-BFGS-B", bounds=bounds
    )
    assert objective(point) <= brute.fun + 1e-9
    loss = stated_objective(
        held_out, translation, intercepts, point, n_blocks, n_classes
    )[1]
    assert_allclose(calibration.log_loss, loss, rtol=1e-12)


def test_beta_is_finite_where_all_rows_are_told_apart():
    codes = np.repeat([0, 1, 2], 20)
    rows = np.random.default_rng(0).poisson(20.0 * np.eye(3)[codes]).astype(float)
    calibration = calibrate(held_out_of(rows, codes, 3), K)
    assert calibration.log_loss < 1e-2
    # Scores spread by some ten nats, not by hundreds.
    spread = held_out_of(rows, codes, 3).evidence[0].std(axis=1).mean()
    assert 1 < calibration.beta[0] * spread < 30


def test_numbers_that_are_given_stay_and_the_others_are_chosen():
    rows, codes, n_classes = topics()
    held_out = held_out_of(rows, codes, n_classes, n_blocks=2)
    free = calibrate(held_out, K)
    given = calibrate(held_out, K, beta=free.beta)
    assert_array_equal(given.beta, free.beta)
    assert_allclose(given.norm_weight, free.norm_weight, atol=1e-4)
    gamma = calibrate(held_out, K, norm_weight=0.25)
    assert gamma.norm_weight == 0.25
    # The least with the prior, which gives away a little of the loss alone.
    assert gamma.log_loss >= free.log_loss - 0.01
    both = calibrate(held_out, K, beta=np.array([0.3, 0.1]), norm_weight=1.0)
    scores = held_out.scores([0.3, 0.1], K)
    expected = oracles.mean_loss(scores, held_out.y)
    assert_allclose(both.log_loss, expected, rtol=1e-12)
    assert_array_equal(both.beta, [0.3, 0.1])
    assert_array_equal(both.intercept_shift, 0.0)
    shifted = calibrate(
        held_out, K, beta=np.array([0.3, 0.1]), norm_weight=1.0, intercepts="each"
    )
    assert shifted.log_loss < both.log_loss
    assert np.abs(shifted.intercept_shift).max() > 0.01


@pytest.mark.parametrize(
    ("beta", "priming_number", "bound"), [(np.zeros(1), 1e4, 1.0), (None, K, 0.0)]
)
def test_the_weight_of_the_norms_keeps_its_bounds(beta, priming_number, bound):
    # The rows of the most frequent class are the longest. With a prior of next to no
    # weight their norms may say more than gamma = 1, else even less than nothing.
    rows, codes, n_classes = topics(seed=0)
    held_out = held_out_of(rows, codes, n_classes)
    calibration = calibrate(held_out, priming_number, beta=beta)
    assert calibration.norm_weight == bound
    within, beyond = (
        oracles.mean_loss(
            held_out.scores(calibration.beta, priming_number, norm_weight=bound + away),
            codes,
        )
        for away in (0.0, 0.01 if bound else -0.01)
    )
    assert beyond < within


def test_evidence_that_is_counted_twice_halves_beta():
    rows, codes, n_classes = topics()
    once = calibrate(held_out_of(rows[:, :8], codes, n_classes), K, norm_weight=0.0)
    twice = calibrate(held_out_of(rows, codes, n_classes), 2 * K, norm_weight=0.0)
    assert 0.45 < twice.beta[0] / once.beta[0] < 0.55


@pytest.mark.parametrize("n_blocks", [1, 4])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_random_labels_give_a_beta_near_zero(layout, n_blocks):
    rng = np.random.default_rng(0)
    rows, codes = rng.poisson(1.0, (300, 400)).astype(float), rng.integers(0, 3, 300)
    held_out = held_out_of(layout(rows), codes, 3, n_blocks=n_blocks)
    calibration = calibrate(held_out, rows.sum() / 300)
    assert (calibration.beta >= 0).all()
    # The theorem would have 1; noise falls with the number of features of a block.
    assert (calibration.beta < 0.1).all()
    assert calibration.log_loss < np.log(3) + 0.02


def test_evidence_against_the_truth_gives_a_beta_of_exactly_zero():
    # Without a row, only the other class has its feature.
    rows, codes = np.tile(np.eye(6), (2, 1)), np.repeat([0, 1], 6)
    calibration = calibrate(held_out_of(rows, codes, 2), 1.0)
    assert_array_equal(calibration.beta, 0.0)


@pytest.mark.parametrize("smoothing", ["prior", "noise"])
@pytest.mark.parametrize("intercepts", ["none", "each", "columns", "exponent"])
def test_a_weight_of_two_equals_the_row_twice(intercepts, smoothing):
    rows, codes, n_classes = topics()
    weight = np.random.default_rng(1).integers(1, 4, len(rows))
    again = np.repeat(np.arange(len(rows)), weight)
    weighted = calibrate(
        held_out_of(
            rows, codes, n_classes, weight=weight.astype(float), smoothing=smoothing
        ),
        K,
        intercepts=intercepts,
    )
    repeated = calibrate(
        held_out_of(rows[again], codes[again], n_classes, smoothing=smoothing),
        K,
        intercepts=intercepts,
    )
    assert_allclose(weighted.log_loss, repeated.log_loss, rtol=1e-9)
    assert_allclose(weighted.beta, repeated.beta, rtol=1e-5)
    assert_allclose(weighted.norm_weight, repeated.norm_weight, atol=1e-4)
    assert_allclose(weighted.intercept_shift, repeated.intercept_shift, atol=1e-4)
    assert_allclose(weighted.column_shift, repeated.column_shift, atol=1e-4)


def test_the_unit_of_the_features_is_that_of_one_over_beta():
    rows, codes, n_classes = topics()
    plain = calibrate(held_out_of(rows, codes, n_classes), K)
    scaled = calibrate(held_out_of(255 * rows, codes, n_classes), 255 * K)
    assert_allclose(255 * scaled.beta, plain.beta, rtol=1e-5)
    assert_allclose(scaled.log_loss, plain.log_loss, rtol=1e-10)


def test_without_rows_beta_is_one_over_k():
    counts = CooccurrenceCounts.from_rows(np.ones((2, 4)), np.array([0, 1]), 2)
    evidence = solve(smooth_counts(counts, blocks=feature_blocks(4, 2)))
    held_out = leave_one_out(evidence, np.zeros((1, 4)), np.array([0]))
    calibration = calibrate(held_out, 4.0, intercepts="each")
    assert_array_equal(calibration.beta, [0.25, 0.25])
    assert_array_equal(calibration.intercept_shift, [0.0, 0.0])
    assert np.isnan(calibration.log_loss)
    given = calibrate(held_out, 4.0, beta=np.array([1.0, 2.0]), norm_weight=0.5)
    assert_array_equal(given.beta, [1.0, 2.0])
    assert given.norm_weight == 0.5
