"""Calibration: the least of the stated objective, within its bounds."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration import calibrate as module
from explicit_softmax.calibration.calibrate import WarmStart, best_strength, calibrate
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import Calibration
from tests import oracles

K = 3.0
TOL = 1e-13  # of tests that compare optima
INTERCEPTS = ["none", "columns", "exponent"]
WARM = {"norm_weight": 0.0, "intercepts": "columns", "translation": "intercept"}


def held_out_of(
    X, y, n_classes, *, weight=None, n_blocks=1, smoothing="prior", strength=0.1
):
    counts = CooccurrenceCounts.from_rows(X, y, n_classes, sample_weight=weight)
    blocks = feature_blocks(X.shape[1], n_blocks)
    smoothed = smooth_counts(counts, smoothing, strength, blocks)
    return leave_one_out(smoothed, X, y, sample_weight=weight)


def topics(n_rows=120, n_classes=4, n_features=8, seed=10):
    """Rows whose features tell of their class, classes of unequal number and norm."""
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, n_rows, p=[0.5, 0.3, 0.15, 0.05])
    means = rng.gamma(0.7, 1.5, (n_classes, n_features))
    means[0] *= 1.5
    X = rng.poisson(means[y]).astype(float)
    # Every feature twice in effect: the evidence is counted too often.
    return np.hstack((X, X)), y, n_classes


def stated_objective(held_out, translation, intercepts, point):
    """Weighted mean loss plus the priors, and the loss alone."""
    n_blocks, _, n_classes = held_out.log_likelihoods.shape
    beta, gamma, rest = point[:n_blocks], point[n_blocks], point[n_blocks + 1 :]
    shift = column_shift = 0.0
    if intercepts == "columns":
        intercept, slope = rest.reshape(2, n_classes)
        shift, column_shift = intercept - slope, slope / held_out.mean_norm
    elif intercepts == "exponent":
        shift = rest[0] * held_out.log_count
    scores = held_out.scores(
        Calibration(beta, K, translation, gamma, shift, column_shift)
    )
    loss = oracles.mean_loss(scores, held_out.y, held_out.weights)
    # Shifts count as one row, and the spread of the scores of a block as a tenth.
    spreads = np.average(
        held_out.log_likelihoods.std(axis=2), axis=1, weights=held_out.weights
    )
    prior = 0.5 * float(rest @ rest) + 0.05 * float(((beta * spreads) ** 2).sum())
    return loss + prior / held_out.weights.sum(), loss


def found_point(calibration, held_out, intercepts):
    rest = np.zeros(0)
    if intercepts == "columns":
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
@pytest.mark.parametrize("intercepts", INTERCEPTS)
def test_the_answer_has_the_least_loss(
    monkeypatch, intercepts, translation, n_blocks, weighted
):
    X, y, n_classes = topics()
    weight = None
    if weighted:
        weight = np.random.default_rng(1).uniform(0.2, 3, len(X))
        monkeypatch.setattr(module, "_CHUNK_VALUES", 50)
    held_out = held_out_of(X, y, n_classes, weight=weight, n_blocks=n_blocks)
    how = {"translation": translation, "intercepts": intercepts}
    calibration, log_loss = calibrate(held_out, K, tol=TOL, **how)
    assert calibration.priming_number == K
    assert calibration.translation == translation
    point = found_point(calibration, held_out, intercepts)

    def objective(values):
        return stated_objective(held_out, translation, intercepts, values)[0]

    n_bounded = n_blocks + 1
    low = np.where(np.arange(len(point)) < n_bounded, 0.0, -np.inf)
    high = np.where(np.arange(len(point)) == n_blocks, 1.0, np.inf)
    assert ((low <= point) & (point <= high)).all()
    assert (point[:n_blocks] > 0).all()
    gradient = scipy.optimize.approx_fprime(point, objective, 1e-7)
    free = (low < point) & (point < high)
    assert_allclose(gradient[free], 0.0, atol=2e-6)
    assert (gradient[point == low] > -2e-6).all()
    assert (gradient[point == high] < 2e-6).all()
    brute = scipy.optimize.minimize(
        objective,
        np.full(len(point), 0.2),
        method="L-BFGS-B",
        bounds=list(zip(low, high, strict=True)),
    )
    assert objective(point) <= brute.fun + 1e-9
    loss = stated_objective(held_out, translation, intercepts, point)[1]
    assert_allclose(log_loss, loss, rtol=1e-12)
    # The default tolerance, from any start, ends close by.
    start = np.full(n_blocks, 0.01)
    near, near_loss = calibrate(held_out, K, start=start, **how)
    assert_allclose(near.beta, calibration.beta, rtol=0.01)
    assert_allclose(near_loss, log_loss, rtol=3e-4)


def test_beta_is_finite_where_all_rows_are_told_apart():
    y = np.repeat([0, 1, 2], 20)
    X = np.random.default_rng(0).poisson(20.0 * np.eye(3)[y]).astype(float)
    held_out = held_out_of(X, y, 3)
    calibration, log_loss = calibrate(held_out, K)
    assert log_loss < 1e-2
    # Scores spread by some ten nats, not by hundreds.
    spread = held_out.log_likelihoods[0].std(axis=1).mean()
    assert 1 < calibration.beta[0] * spread < 30


def test_numbers_that_are_given_stay_and_the_others_are_chosen():
    X, y, n_classes = topics()
    held_out = held_out_of(X, y, n_classes, n_blocks=2)
    free, least = calibrate(held_out, K, tol=TOL)
    given, _ = calibrate(held_out, K, beta=free.beta, tol=TOL)
    assert_array_equal(given.beta, free.beta)
    assert_allclose(given.norm_weight, free.norm_weight, atol=1e-4)
    gamma, loss = calibrate(held_out, K, norm_weight=0.25)
    assert gamma.norm_weight == 0.25
    # The least with the prior, which gives away a little of the loss alone.
    assert loss >= least - 0.01
    numbers = {"beta": np.array([0.3, 0.1]), "norm_weight": 1.0}
    both, loss = calibrate(held_out, K, **numbers)
    scores = held_out.scores(Calibration(np.array([0.3, 0.1]), K))
    assert_allclose(loss, oracles.mean_loss(scores, held_out.y), rtol=1e-12)
    assert_array_equal(both.beta, [0.3, 0.1])
    assert_array_equal(both.intercept_shift, 0.0)
    for intercepts in ("columns", "exponent"):
        shifted, less = calibrate(held_out, K, **numbers, intercepts=intercepts)
        assert less < loss
        assert np.abs(shifted.intercept_shift).max() > 0.01


@pytest.mark.parametrize(
    ("beta", "priming_number", "bound"), [(np.zeros(1), 1e4, 1.0), (None, K, 0.0)]
)
def test_the_weight_of_the_norms_keeps_its_bounds(beta, priming_number, bound):
    # The rows of the most frequent class are the longest. With a prior of next to no
    # weight their norms may say more than gamma = 1, else even less than nothing.
    X, y, n_classes = topics(seed=0)
    held_out = held_out_of(X, y, n_classes)
    found, _ = calibrate(held_out, priming_number, beta=beta, tol=TOL)
    assert found.norm_weight == bound

    def loss_at(gamma):
        scores = held_out.scores(replace(found, norm_weight=gamma))
        return oracles.mean_loss(scores, y)

    assert loss_at(1.01 if bound else -0.01) < loss_at(bound)


def test_log_likelihoods_that_are_counted_twice_halve_beta():
    X, y, n_classes = topics()
    once, _ = calibrate(held_out_of(X[:, :8], y, n_classes), K, norm_weight=0.0)
    twice, _ = calibrate(held_out_of(X, y, n_classes), 2 * K, norm_weight=0.0)
    assert 0.45 < twice.beta[0] / once.beta[0] < 0.55


@pytest.mark.parametrize("n_blocks", [1, 4])
@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_random_labels_give_a_beta_near_zero(layout, n_blocks):
    rng = np.random.default_rng(0)
    X, y = rng.poisson(1.0, (300, 400)).astype(float), rng.integers(0, 3, 300)
    held_out = held_out_of(layout(X), y, 3, n_blocks=n_blocks)
    calibration, log_loss = calibrate(held_out, X.sum() / 300)
    assert (calibration.beta >= 0).all()
    # The theorem would have 1; noise falls with the number of features of a block.
    assert (calibration.beta < 0.1).all()
    assert log_loss < np.log(3) + 0.02


def test_features_against_the_truth_give_a_beta_of_exactly_zero():
    # Without a row, only the other class has its feature.
    X, y = np.tile(np.eye(6), (2, 1)), np.repeat([0, 1], 6)
    calibration, _ = calibrate(held_out_of(X, y, 2), 1.0)
    assert_array_equal(calibration.beta, 0.0)


def test_without_rows_beta_is_one_over_k():
    counts = CooccurrenceCounts.from_rows(np.ones((2, 4)), np.array([0, 1]), 2)
    smoothed = smooth_counts(counts, blocks=feature_blocks(4, 2))
    held_out = leave_one_out(smoothed, np.zeros((1, 4)), np.array([0]))
    calibration, log_loss = calibrate(held_out, 4.0, intercepts="columns")
    assert_array_equal(calibration.beta, [0.25, 0.25])
    assert_array_equal(calibration.intercept_shift, 0.0)
    assert np.isnan(log_loss)
    given, _ = calibrate(held_out, 4.0, beta=np.array([1.0, 2.0]), norm_weight=0.5)
    assert_array_equal(given.beta, [1.0, 2.0])
    assert given.norm_weight == 0.5
    assert best_strength(lambda _: held_out, partial(calibrate, priming_number=4.0)) > 0


@pytest.mark.parametrize(("beta", "gamma"), [(1.0, 1.0), (0.05, 0.3)])
@pytest.mark.parametrize("number", [0.5, 7.0, 1e6])
def test_where_all_is_given_the_loss_is_that_of_the_scores(number, beta, gamma):
    X, y, n_classes = topics()
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    held_out = held_out_of(X, y, n_classes, weight=weight)
    given = Calibration(np.array([beta]), number, "column", gamma)
    found, loss = calibrate(held_out, number, beta=given.beta, norm_weight=gamma)
    assert vars(found) == vars(given)
    expected = oracles.mean_loss(held_out.scores(given), held_out.y, held_out.weights)
    assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize("translation", ["column", "intercept"])
@pytest.mark.parametrize("seed", range(3))
def test_best_strength_comes_close_to_the_least_loss(seed, translation):
    X, y, n_classes = topics(60, n_features=30, seed=seed)
    how = {"priming_number": K, "translation": translation}

    def held_out_at(strength):
        return held_out_of(X, y, n_classes, strength=strength)

    def loss_at(strength):
        return calibrate(held_out_at(strength), tol=1e-10, **how)[1]

    found = best_strength(held_out_at, partial(calibrate, **how))
    least = min(loss_at(strength) for strength in np.geomspace(1e-4, 1e2, 25))
    # Steps end where they gain less than 0.1 %, and a parabola is not the loss.
    assert loss_at(found) < 1.005 * least


@pytest.mark.parametrize(
    ("minimum", "width"), [(0.1, 2.0), (3.0, 1.0), (0.004, 3.0), (1e9, 2.0)]
)
def test_best_strength_finds_the_vertex_of_a_parabola(minimum, width):
    asked = []

    def parabola(strength, **_):
        asked.append(strength)
        away = np.log(strength / minimum) / width
        return Calibration(np.ones(1), K), 1.0 + away**2

    found = best_strength(lambda strength: strength, parabola)
    assert len(asked) == len(set(asked)) <= 10
    # No further than eight steps.
    assert_allclose(found, min(minimum, 0.1 * 4.0**8), rtol=1e-10)


@pytest.mark.parametrize("n_blocks", [1, 2])
def test_warm_fits_end_where_others_end_in_fewer_steps(monkeypatch, n_blocks):
    X, y, n_classes = topics()
    steps = []
    minimize = scipy.optimize.minimize

    def counted(*args, **kwargs):
        result = minimize(*args, **kwargs)
        steps.append(result.nfev)
        return result

    monkeypatch.setattr(scipy.optimize, "minimize", counted)
    warm = WarmStart()
    for strength in (0.05, 0.1, 0.2, 0.1):
        held_out = held_out_of(X, y, n_classes, n_blocks=n_blocks, strength=strength)
        found, loss = calibrate(held_out, K, warm=warm, **WARM)
        expected, least = calibrate(held_out, K, tol=TOL, **WARM)
        assert_allclose(loss, least, rtol=1e-3 if strength == 0.05 else 1e-6)
        assert_allclose(found.beta, expected.beta, rtol=1e-2)
    assert max(steps[2::2]) < 0.5 * min(steps[1::2])
    # From the end of a fit there is nowhere to go.
    again, _ = calibrate(held_out, K, warm=warm, **WARM)
    assert steps[-1] <= 3
    assert_allclose(again.intercept_shift, found.intercept_shift, atol=1e-4)


@pytest.mark.parametrize("unit", [2.0**-700, 2.0**700])
def test_warm_fits_of_features_in_any_unit(unit):
    X, y, n_classes = topics()
    betas = []
    for rows in (X, X * unit):
        warm = WarmStart()
        for strength in (0.05, 0.1):
            held_out = held_out_of(rows, y, n_classes, strength=strength)
            found, _ = calibrate(held_out, K, warm=warm, **WARM)
        betas.append(found.beta)
    assert_allclose(betas[1] * unit, betas[0], rtol=1e-4)


def test_a_beta_of_zero_is_no_start():
    X, y = np.tile(np.eye(6), (2, 1)), np.repeat([0, 1], 6)
    warm = WarmStart()
    for _ in range(2):
        found, _ = calibrate(held_out_of(X, y, 2), 1.0, intercepts="columns", warm=warm)
        assert_array_equal(found.beta, 0.0)
        assert warm.values is None


def test_curvature_is_the_derivative_of_the_slopes(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_VALUES", 200)
    X, y, n_classes = topics()
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.2, 3, len(X))
    held_out = held_out_of(X, y, n_classes, weight=weight, n_blocks=2)
    given = Calibration(np.zeros(2), K)
    form = module._linear_form(held_out, given, True, True, "columns", None)
    chunks = module._Chunk.all_of(form, held_out)
    assert len(chunks) > 2
    work = np.empty((2, max(chunk.fixed.size for chunk in chunks)))
    values = rng.normal(size=len(form.units))

    def slopes(values):
        return np.sum([chunk.loss(values, work)[1] for chunk in chunks], axis=0)

    second = np.sum([chunk.curvature(values, work) for chunk in chunks], axis=0)
    expected = scipy.optimize.approx_fprime(values, slopes, 1e-7)
    assert_allclose(second, expected, rtol=1e-4, atol=1e-4 * np.abs(second).max())
    np.fill_diagonal(second, second.diagonal() + 1.0)
    steps = module._independent_steps(second, 3)
    assert_array_equal(steps[:3, 3:], 0.0)
    assert_array_equal(steps[:3, :3], np.diag(steps.diagonal()[:3]))
    curved = steps.T @ second @ steps
    assert_allclose(curved.diagonal(), 1.0, rtol=1e-6)
    assert_allclose(curved[3:], np.eye(len(values))[3:], atol=1e-6)
