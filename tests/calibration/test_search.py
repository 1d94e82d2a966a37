"""The search of hyper-parameters against brute force."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.model import ExplicitModel, Settings
from explicit_softmax.calibration.sample import Limit, RowSample
from explicit_softmax.calibration.search import (
    Grid,
    counting,
    score_by_folds,
    score_by_leave_one_out,
)
from explicit_softmax.solution.loss import log_loss
from tests import oracles

LAYOUTS = [np.asarray, sp.csr_array]
SETTINGS = Settings(None, 0.6, "prior", None, None, "column", 1)
GRID = Grid(SETTINGS, [2.0, "mean_norm", 50.0], [0.1, 0.7], [0.0, 0.5])


def topics(n_rows=40, n_features=5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows) % 3
    X = rng.poisson(rng.gamma(1.0, 1.5, (3, n_features))[y]).astype(float)
    X[:, 0] += 1
    return X, y


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("temperature", [0.6, "auto"])
def test_leave_one_out_candidates_equal_refits(temperature, layout, weighted):
    X, y = topics()
    weight = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    grid = replace(GRID, settings=replace(SETTINGS, inverse_temperature=temperature))
    sample = RowSample.from_rows(layout(X), y, weight, Limit(25))
    assert len(sample.y) == 25
    scored = score_by_leave_one_out(
        grid,
        counting(grid, layout(X), y, 3, weight),
        sample,
        lambda candidate: candidate,
        n_jobs=2,
    )
    how = {"blocks": [slice(0, 5)], "smoothing": "prior", "sample_weight": weight}
    single = np.array([(row == X).all(axis=1).sum() == 1 for row in X])
    single = single[sample.members]
    assert single.sum() > 15
    for found, candidate in zip(scored, grid.candidates(), strict=True):
        exponent, strength, number = candidate.values()
        if number == "mean_norm":
            weights = np.ones(len(y)) if weight is None else weight
            norms = oracles.scaled_rows(X, exponent).sum(axis=1)
            number = np.average(norms, weights=weights)
        calibration = found.calibration
        assert_allclose(calibration.priming_number, number)
        assert temperature == "auto" or calibration.beta == temperature
        # All rows as they were counted; equal rows of the sample as one of them each.
        expected = oracles.leave_one_out_scores(
            X,
            y,
            3,
            **how,
            **vars(calibration),
            norm_exponent=exponent,
            strength=strength,
        )
        oracles.assert_same_probabilities(
            found.scores[single], expected[sample.members][single], 1e-9
        )
        loss = oracles.mean_loss(found.scores, sample.y, sample.weights)
        # Exponentials of float32 where priming numbers alone differ.
        assert_allclose(found.log_loss, loss, rtol=1e-6)
        if temperature == "auto":
            least = calibrate(found.held_out, number, tol=1e-13)[1]
            assert_allclose(found.log_loss, least, rtol=1e-3)


def folds_of(y, kind):
    order = np.random.default_rng(0).permutation(len(y))
    parts = np.array_split(order, 3)
    folds = [(np.setdiff1d(order, part), part) for part in parts]
    if kind == "gaps":  # rows on neither side
        folds = [(train[2:], test) for train, test in folds]
    elif kind == "repeats":
        folds = [(np.concatenate((train, train[:2])), test) for train, test in folds]
    return folds


@pytest.mark.parametrize(
    ("layout", "weighted"), [(np.asarray, True), (sp.csr_array, False)]
)
@pytest.mark.parametrize("kind", ["partition", "gaps", "repeats"])
@pytest.mark.parametrize("temperature", [0.6, "auto"])
def test_folds_equal_models_of_the_other_rows(temperature, kind, layout, weighted):
    X, y = topics()
    rows = layout(X)
    weight = np.random.default_rng(1).integers(1, 4, len(y)) * 1.0 if weighted else None
    grid = replace(GRID, settings=replace(SETTINGS, inverse_temperature=temperature))
    folds = folds_of(y, kind)

    def score(model, fold):
        test = fold.members
        part = None if weight is None else weight[test]
        found = fold.log_loss(model, y[test], part)
        whole = log_loss(model.decoders, rows[test], y[test], part)
        assert_allclose(found, whole, rtol=1e-12)
        return whole

    scores = score_by_folds(grid, rows, y, weight, 3, folds, score, n_jobs=2)
    assert scores.shape == (3, 12)
    for (train, test), found in zip(folds, scores, strict=True):
        for loss, candidate in zip(found, grid.candidates(), strict=True):
            part, other = (None if weight is None else weight[n] for n in (train, test))
            settings = replace(grid.settings, **candidate)
            model = ExplicitModel.from_rows(rows[train], y[train], 3, settings, part)
            assert loss == log_loss(model.decoders, rows[test], y[test], other)


def test_folds_without_weight_have_no_score():
    X, y = topics()
    folds = folds_of(y, "partition")
    weight = np.ones(len(y))
    weight[folds[1][1]] = 0.0
    scores = score_by_folds(GRID, X, y, weight, 3, folds, lambda *_: 1.0)
    assert_array_equal(scores, np.tile([[1.0], [np.nan], [1.0]], (1, 12)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"priming": []}, "priming_numbers is empty"),
        ({"priming": [1.0, 0.0]}, "priming_numbers must be positive .* has 0.0"),
        ({"priming": ["mean"]}, "priming_numbers must be positive .* has 'mean'"),
        ({"strengths": [0.1, np.inf]}, "smoothing_strengths must be positive .* inf"),
        ({"strengths": [None]}, "smoothing_strengths must be positive .* has None"),
        ({"exponents": [-0.5]}, "norm_exponents must be >= 0 .* has -0.5"),
        ({"exponents": 0.5}, "one-dimensional, not 0.5"),
        ({"strengths": [[0.1], [0.2]]}, "one-dimensional"),
        ({"exponents": sp.csr_array(np.ones((1, 2)))}, "one-dimensional"),
    ],
)
def test_grids_name_what_is_wrong(changed, message):
    given = {"priming": "mean_norm", "strengths": [0.1], "exponents": np.array([0, 1])}
    grid = Grid.checked(SETTINGS, *given.values())
    assert grid == Grid(SETTINGS, ["mean_norm"], [0.1], [0, 1])
    assert all(type(value) is int for value in grid.norm_exponents)
    # Norm exponents outermost, then strengths.
    order = [tuple(candidate.values()) for candidate in GRID.candidates()]
    assert order[:4] == [
        (0, 0.1, 2.0),
        (0, 0.1, "mean_norm"),
        (0, 0.1, 50),
        (0, 0.7, 2),
    ]
    assert order[6] == (0.5, 0.1, 2.0)
    assert len(order) == 12
    with pytest.raises(ValueError, match=message):
        Grid.checked(SETTINGS, *(given | changed).values())
