"""Refinement: where it ends, by which steps, and when it stops."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.training import lbfgs, minibatch
from explicit_softmax.training.problem import Problem
from explicit_softmax.training.refine import cold_start, refine
from tests import oracles
from tests.layouts import unsorted_with_zeros

LAYOUTS = [np.asarray, sp.csr_array]
SOLVERS = ["adagrad", "sgd", "lbfgs"]
LITERAL = {"standardize": False, "shuffle": False}


def noisy_topics(n_rows=90, n_features=5, n_classes=3, seed=0):
    """Rows that no decoder separates, so that the least log-loss is attained."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, n_rows)
    means = rng.gamma(1.0, 1.0, (n_classes, n_features))
    rows = rng.poisson(means[codes]).astype(float)
    codes[::5] = rng.integers(0, n_classes, len(codes[::5]))
    return rows, codes


def random_start(n_features=5, n_classes=3, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_features, n_classes)), rng.normal(size=n_classes)


def probabilities(result, rows):
    scores = rows @ result.weights + result.intercept
    return np.exp(oracles.log_probabilities(scores))


def gradient_by_hand(result, rows, codes, weight=None):
    weight = np.ones(len(codes)) if weight is None else weight
    wrong = probabilities(result, rows) - oracles.one_hot(codes, len(result.intercept))
    wrong *= (weight / weight.sum())[:, None]
    return rows.T @ wrong, wrong.sum(axis=0)


@pytest.mark.parametrize("kind", ["zeros", "random"])
def test_cold_starts(kind):
    weights, intercept = cold_start(200, 3, kind, scale=0.1, dtype=np.float32)
    assert weights.shape == (200, 3)
    assert weights.dtype == intercept.dtype == np.float32
    assert_array_equal(intercept, np.zeros(3))
    if kind == "zeros":
        assert_array_equal(weights, 0)
        return
    assert 0.09 < weights.std() < 0.11
    assert_array_equal(weights, cold_start(200, 3, kind, scale=0.1, dtype="f4")[0])
    legacy = cold_start(200, 3, kind, rng=np.random.RandomState(1))[0]
    assert 0.009 < legacy.std() < 0.011


def test_unknown_kinds_and_solvers():
    with pytest.raises(ValueError, match="not 'ones'"):
        cold_start(2, 2, "ones")
    rows, codes = noisy_topics()
    with pytest.raises(ValueError, match="not 'newton'"):
        refine(*cold_start(5, 3), rows, codes, solver="newton")


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("standardize", [True, False])
def test_lbfgs_ends_in_the_same_place_from_warm_and_cold(standardize, layout, weighted):
    rows, codes = noisy_topics()
    weight = np.random.default_rng(2).uniform(0.1, 3, len(rows)) if weighted else None
    ends = []
    for start in (cold_start(5, 3), random_start()):
        result = refine(
            *start,
            layout(rows),
            codes,
            sample_weight=weight,
            solver="lbfgs",
            max_iter=2000,
            tol=1e-9,
            standardize=standardize,
        )
        assert result.converged
        for slope in gradient_by_hand(result, rows, codes, weight):
            assert_allclose(slope, 0, atol=2e-6)
        assert (np.diff(result.loss_curve) <= 1e-12).all()
        assert len(result.loss_curve) == result.n_iter
        loss = log_loss(
            Decoder.from_dense(result.weights, result.intercept), rows, codes, weight
        )
        assert_allclose(result.loss_curve[-1], loss, rtol=1e-12)
        ends.append(probabilities(result, rows))
    assert_allclose(ends[0], ends[1], atol=1e-4)


@pytest.mark.parametrize("most_features", [2048, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_lbfgs_with_a_penalty_equals_logistic_regression(
    monkeypatch, layout, most_features
):
    monkeypatch.setattr(lbfgs, "_MOST_FEATURES", most_features)
    rows, codes = noisy_topics()
    peer = LogisticRegression(C=0.1, tol=1e-9, max_iter=5000).fit(rows, codes)
    result = refine(
        *cold_start(5, 3),
        layout(rows),
        codes,
        solver="lbfgs",
        alpha=1 / (0.1 * len(rows)),
        max_iter=2000,
        tol=1e-9,
    )
    assert_allclose(probabilities(result, rows), peer.predict_proba(rows), atol=1e-5)
    assert_allclose(result.weights.T, peer.coef_, atol=1e-4)


def test_the_penalty_pulls_to_the_start():
    rows, codes = noisy_topics()
    start, intercept = random_start()
    for solver in SOLVERS:
        moved = [
            np.linalg.norm(
                refine(
                    start,
                    intercept,
                    rows,
                    codes,
                    solver=solver,
                    alpha=alpha,
                    max_iter=200,
                ).weights
                - start
            )
            for alpha in (0.0, 0.1, 10.0)
        ]
        assert moved[0] > moved[1] > moved[2]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("chunk_values", [1, 2**21])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradient_is_the_slope_of_the_loss(
    monkeypatch, layout, chunk_values, weighted
):
    monkeypatch.setattr(lbfgs, "_CHUNK_VALUES", chunk_values)
    rows, codes = noisy_topics(n_rows=20)
    weight = np.random.default_rng(3).uniform(0.1, 2, 20) if weighted else None
    start, offset = random_start()
    problem = Problem(
        layout(rows),
        codes,
        weight,
        0.0,
        start,
        None,
        1.0,
        1.0,
        np.random.default_rng(0),
    )

    def loss(point):
        point = point.reshape(6, 3)
        return lbfgs._loss_and_gradient(problem, point[:-1], point[-1])[0]

    value, gradient, sums = lbfgs._loss_and_gradient(problem, start, offset)
    point = np.vstack((start, offset)).ravel()
    slope = scipy.optimize.approx_fprime(point, loss, 1e-6).reshape(6, 3)
    assert_allclose(gradient, slope[:-1], atol=1e-5)
    assert_allclose(sums, slope[-1], atol=1e-5)
    # A sum over rows: `refine` gives weights of mean one.
    mean = 1.0 if weight is None else weight.mean()
    expected = mean * oracles.mean_loss(rows @ start + offset, codes, weight)
    assert_allclose(value, expected, rtol=1e-12)


def first_square(layout, batch_size):
    """Sparse rows: the squared gradient of one wrong row, features in units of one."""
    return 0.0 if layout is np.asarray else batch_size**-2.0


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize(
    ("layout", "alpha"),
    # Sparse rows meet the penalty in expectation only.
    [(np.asarray, 0.0), (np.asarray, 0.3), (sp.csr_array, 0.0)],
)
def test_an_epoch_takes_the_literal_steps(layout, alpha, adaptive):
    rows, codes = noisy_topics()
    rows[:, 2] *= codes == 0  # batches that do not touch every feature
    start = random_start()
    how = {"batch_size": 7, "alpha": alpha}
    steps = oracles.descent(
        *start,
        rows,
        codes,
        step=0.2,
        adaptive=adaptive,
        first_square=first_square(layout, 7),
        **how,
    )
    how |= {"solver": "adagrad" if adaptive else "sgd", "learning_rate": 0.2} | LITERAL
    last = refine(*start, layout(rows), codes, max_iter=1, average=False, **how)
    assert_allclose(last.weights, steps[-1][0], rtol=1e-9, atol=1e-12)
    assert_allclose(last.intercept, steps[-1][1], rtol=1e-9, atol=1e-12)
    mean = refine(*start, layout(rows), codes, max_iter=1, average=True, **how)
    for part, values in enumerate((mean.weights, mean.intercept)):
        expected = np.mean([step[part] for step in steps], axis=0)
        assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_epoch_goes_on_from_the_last_weights_and_has_its_own_mean(layout):
    rows, codes = noisy_topics(n_rows=84)
    start = random_start()
    steps = oracles.descent(
        *start,
        np.tile(rows, (3, 1)),
        np.tile(codes, 3),
        step=0.2,
        batch_size=7,
        first_square=first_square(layout, 7),
    )
    results = refine(
        *start,
        layout(rows),
        codes,
        learning_rate=0.2,
        batch_size=7,
        max_iter=3,
        **LITERAL,
    )
    assert_allclose(results.weights, np.mean([w for w, _ in steps[24:]], axis=0))
    assert_allclose(results.intercept, np.mean([b for _, b in steps[24:]], axis=0))
    before = [start, *steps]
    losses = [
        oracles.mean_loss(rows[i : i + 7] @ w + b, codes[i : i + 7])
        for i, (w, b) in zip(range(0, 84, 7), before, strict=False)
    ]
    assert_allclose(results.loss_curve[0], np.mean(losses))


def test_standardised_steps_are_literal_steps_on_standardised_features():
    rows, codes = noisy_topics()
    rows += 3.0
    weights, intercept = random_start()
    centre = rows.mean(axis=0)
    unit = np.sqrt(((rows - centre) ** 2).mean())
    standard = (rows - centre) / unit, codes
    at = weights * unit, intercept + centre @ weights
    moved, shifted = oracles.descent(*at, *standard, step=0.1, batch_size=8)[-1]
    result = refine(
        weights,
        intercept,
        rows,
        codes,
        learning_rate=0.1,
        batch_size=8,
        max_iter=1,
        shuffle=False,
        average=False,
    )
    assert_allclose(result.weights, moved / unit, rtol=1e-9)
    assert_allclose(result.intercept, shifted - centre @ (moved / unit), rtol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_stored_zeros_do_not_change_the_steps(solver):
    rows, codes = noisy_topics()
    how = {"solver": solver, "max_iter": 2, "batch_size": 16}
    plain, stored = (
        refine(*random_start(), layout(rows), codes, **how)
        for layout in (sp.csr_array, unsorted_with_zeros)
    )
    assert_allclose(stored.weights, plain.weights, rtol=1e-9, atol=1e-12)


def test_penalties_of_sparse_rows_fall_due_by_the_chance_of_a_touch():
    rows = np.zeros((10, 3))
    rows[:2, 0] = rows[:, 1] = 1
    inverse = minibatch.inverse_touch_probability(sp.csr_array(rows), 4)
    assert_allclose(inverse[:2], [1 / (1 - 0.8**4), 1.0], rtol=1e-9)
    assert np.isfinite(inverse[2])  # of a feature that no batch touches


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("unit", [255.0, 1e-3])
def test_the_unit_of_the_features_does_not_matter(unit, solver, layout):
    rows, codes = noisy_topics()
    plain, scaled = (
        refine(*cold_start(5, 3), layout(x), codes, solver=solver, max_iter=6)
        for x in (rows, unit * rows)
    )
    assert_allclose(
        probabilities(scaled, unit * rows), probabilities(plain, rows), rtol=1e-5
    )
    # It has moved at all.
    assert np.ptp(probabilities(plain, rows)) > 0.05


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_unit_of_the_sample_weights_does_not_matter(solver, layout):
    rows, codes = noisy_topics()
    weight = np.random.default_rng(0).uniform(0.1, 2, len(rows))
    how = {"solver": solver, "max_iter": 4, "batch_size": 16, "alpha": 0.01}
    plain, scaled, none, ones = (
        refine(*random_start(), layout(rows), codes, sample_weight=w, **how)
        for w in (weight, 64 * weight, None, np.full(len(rows), 3.0))
    )
    assert_allclose(scaled.weights, plain.weights, rtol=1e-6)
    assert_allclose(ones.weights, none.weights, rtol=1e-6)
    assert_allclose(scaled.loss_curve, plain.loss_curve, rtol=1e-6)
    assert np.abs(plain.weights - none.weights).max() > 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_integer_weights_equal_repeated_rows(layout):
    rows, codes = noisy_topics()
    weight = np.random.default_rng(0).integers(0, 4, len(rows))
    again = np.repeat(np.arange(len(rows)), weight)
    how = {"solver": "lbfgs", "max_iter": 2000, "tol": 1e-9}
    weighted = refine(
        *cold_start(5, 3),
        layout(rows),
        codes,
        sample_weight=weight.astype(float),
        **how,
    )
    repeated = refine(*cold_start(5, 3), layout(rows[again]), codes[again], **how)
    assert_allclose(
        probabilities(weighted, rows), probabilities(repeated, rows), atol=1e-4
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_type_of_the_rows_is_that_of_the_result(dtype, solver, layout):
    rows, codes = noisy_topics()
    weights, intercept = random_start()
    start = weights.copy(), intercept.copy()
    result = refine(
        weights, intercept, layout(rows.astype(dtype)), codes, solver=solver, max_iter=2
    )
    expected = np.float32 if dtype == np.float32 else np.float64
    assert result.weights.dtype == result.intercept.dtype == expected
    assert_array_equal(weights, start[0])
    assert_array_equal(intercept, start[1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("solver", ["adagrad", "sgd"])
def test_a_shuffled_order_is_that_of_the_generator(solver, layout):
    rows, codes = noisy_topics()
    seeds = (None, 0, 1)
    first, same, other = (
        refine(
            *random_start(),
            layout(rows),
            codes,
            solver=solver,
            max_iter=2,
            batch_size=8,
            rng=None if seed is None else np.random.default_rng(seed),
        )
        for seed in seeds
    )
    assert_array_equal(first.weights, same.weights)
    assert np.abs(first.weights - other.weights).max() > 1e-6
    result = refine(
        *random_start(), layout(rows), codes, rng=np.random.RandomState(0), max_iter=1
    )
    assert np.isfinite(result.weights).all()
