"""Models add, subtract, and are solved; the solution belongs to the model."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration import model as module
from explicit_softmax.calibration.calibrate import best_strength, calibrate
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.calibration.model import (
    ExplicitModel,
    Refined,
    Settings,
    given_temperatures,
)
from explicit_softmax.calibration.sample import NO_ROWS, Limit
from explicit_softmax.solution.smoothing import smooth_counts
from tests import oracles

LAYOUTS = [np.asarray, sp.csr_array]
AUTO = Settings("mean_norm", "auto", "prior", "auto", 0.5, "exact", 1)
GIVEN = Settings("mean_norm", 0.5, "prior", 0.1, 0.0, "column", 1)
CHANGES = {
    "priming_number": 3.0,
    "inverse_temperature": [0.3],
    "smoothing": None,
    "smoothing_strength": 0.2,
    "norm_exponent": 1.0,
    "translation": "intercept",
    "n_blocks": [2, 4],
    "row_norm": 4.0,
}


def topics(n_rows=90, n_features=6, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice(n_classes, n_rows, p=[0.6, 0.3, 0.1])
    means = rng.gamma(1.0, 1.5, (n_classes, n_features))
    return rng.poisson(means[y]).astype(float), y


def model_of(X, y, settings, weight=None, limit=None):
    return ExplicitModel.from_rows(X, y, 3, settings, weight, limit)


def assert_same_bits(first, second):
    assert_array_equal(first.counts.dense(), second.counts.dense())
    assert_array_equal(first.counts.class_count, second.counts.class_count)
    assert_array_equal(first.sample.keys, second.sample.keys)
    assert_array_equal(first.sample.weights, second.sample.weights)
    chosen, other = first.solution.choice, second.solution.choice
    assert chosen.smoothing_strength == other.smoothing_strength
    assert_array_equal(chosen.log_loss, other.log_loss)
    for name, value in vars(chosen.calibration).items():
        assert_array_equal(value, getattr(other.calibration, name))
    for name in ("weights", "right", "intercept"):
        parts = (getattr(m.decoders[0], name) for m in (first, second))
        assert_array_equal(*(p.toarray() if sp.issparse(p) else p for p in parts))


def probabilities(model, X):
    return oracles.log_probabilities(model.decoders[0].scores(X))


@pytest.mark.parametrize("limit", [None, Limit(20)])
@pytest.mark.parametrize(
    "settings",
    [GIVEN, *(replace(AUTO, translation=t) for t in ("column", "intercept", "exact"))],
    ids=["given", "column", "intercept", "exact"],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_models_add_and_subtract_to_the_bit(layout, settings, limit):
    X, y = topics()
    weight = np.random.default_rng(1).integers(1, 3, len(y)) * 1.0

    def model(rows, limit=limit):
        return model_of(layout(X[rows]), y[rows], settings, weight[rows], limit)

    order = np.random.default_rng(2).permutation(len(y))
    a, b, c = map(model, np.split(order, [20, 50]))
    whole = model(slice(None))
    assert (len(whole.sample.y) == 0) == (settings is GIVEN and limit is None)
    assert_same_bits(a + b, b + a)
    assert_same_bits((a + b) + c, whole)
    assert_same_bits(a + (c + b), whole)
    everything = model(order[20:50], limit and Limit(1000))
    rest = (a + b) - everything
    assert_array_equal(rest.counts.dense(), a.counts.dense())
    assert_array_equal(rest.counts.class_count, a.counts.class_count)
    assert rest.counts.n_nonzero == a.counts.n_nonzero
    if limit is None:
        assert_same_bits(rest, a)


@pytest.mark.parametrize("name", CHANGES)
def test_settings_that_differ_are_named(name):
    X, y = topics()
    model = model_of(X, y, GIVEN)
    other = replace(model, settings=replace(GIVEN, **{name: CHANGES[name]}))
    for combine in (model.__add__, model.__sub__, other.__add__):
        with pytest.raises(ValueError, match=f"different {name} cannot .* and "):
            combine(other if combine != other.__add__ else model)
    model + replace(model, settings=replace(GIVEN))


def test_refined_models_predict_and_refuse_to_change():
    X, y = topics()
    model = model_of(X, y, AUTO)
    decoder = model.decoders[0].astype(np.float32)
    refined = model.with_refinement(Refined((decoder,)))
    assert refined.decoders == (decoder,)
    assert refined.solution.choice is model.solution.choice
    for first, second in ((refined, model), (model, refined)):
        with pytest.raises(ValueError, match=r"merge changes counts.*refined"):
            first + second
        with pytest.raises(ValueError, match=r"forget changes counts.*refined"):
            first - second


def test_a_solution_is_made_once_and_belongs_to_its_model(monkeypatch):
    made = []
    original = module.calibrate

    def counted(*args, **kwargs):
        made.append(kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, "calibrate", counted)
    X, y = topics()
    model = model_of(X, y, replace(AUTO, smoothing_strength=0.1))
    assert not made
    solution = model.solution
    assert model.solution is solution
    assert model.decoders[0] is solution.decoder
    # The same numbers, without another choice.
    for same in (model.without_sample(), model.with_layout("sparse")):
        assert same.solution.choice is solution.choice
    assert len(model.without_sample().sample.y) == 0
    assert len(made) == 1
    twice = model + model
    assert twice.solution.choice is not solution.choice
    assert len(made) == 2
    # Counts that are doubled have next to the same solution, by other numbers.
    assert twice.solution.choice.log_loss != solution.choice.log_loss


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("translation", ["column", "intercept", "exact"])
@pytest.mark.parametrize("n_blocks", [1, 2])
def test_sparse_and_dense_layouts_give_the_same_probabilities(
    n_blocks, translation, smoothing
):
    X, y = topics()
    settings = replace(
        AUTO, translation=translation, smoothing=smoothing, n_blocks=n_blocks
    )
    model = model_of(sp.csr_array(X), y, settings)
    sparse, dense = model.with_layout("sparse"), model.with_layout("dense")
    assert sparse.decoders[0].is_sparse > dense.decoders[0].is_sparse
    expected = probabilities(dense, X)
    for other in (sparse, model, model_of(X, y, settings)):
        tol = 1e-4 if other.choice is None and other is not model else 1e-10
        assert_allclose(probabilities(other, X), expected, atol=tol)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("smoothing", ["prior", "noise"])
@pytest.mark.parametrize("temperature", ["auto", [0.4, 0.7]])
def test_a_row_norm_gives_the_same_probabilities(temperature, smoothing, layout):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 80)
    # One token in each block of four features.
    X = np.hstack([np.eye(4)[(y + rng.integers(0, 3, 80)) % 4] for _ in range(2)])
    settings = Settings(
        "mean_norm", temperature, smoothing, 0.1, 0.0, "column", 2, row_norm=2.0
    )
    model = model_of(sp.csr_array(X), y, settings).with_layout(layout)
    assert model.solution.choice.calibration.norm_weight == 1.0
    beta = model.solution.choice.calibration.beta
    plain = replace(settings, inverse_temperature=beta, row_norm=None)
    expected = probabilities(model_of(X, y, plain), X)
    assert_allclose(probabilities(model, X), expected, atol=1e-12)


@pytest.mark.parametrize("translation", ["column", "intercept", "exact"])
@pytest.mark.parametrize("given", ["nothing", "temperature", "strength"])
def test_choices_are_those_of_the_steps_one_by_one(monkeypatch, given, translation):
    monkeypatch.setattr(module, "_MOST_INTERCEPTS", 2)  # then one exponent is fitted
    X, y = topics()
    settings = replace(AUTO, translation=translation)
    if given == "temperature":
        settings = replace(settings, inverse_temperature=0.3)
    elif given == "strength":
        settings = replace(settings, smoothing_strength=0.2)
    model = model_of(X, y, settings)
    chosen, sample = model.solution.choice, model.sample

    def held_out_at(strength):
        smoothed = smooth_counts(model.counts, "prior", strength)
        rows = sample.X, sample.y
        how = {"sample_weight": sample.weights, "norm_exponent": 0.5}
        return leave_one_out(smoothed, *rows, **how)

    beta, norm_weight = settings.given_numbers(1)
    assert (beta is None) == (given != "temperature")
    fits = translation == "exact"
    assert norm_weight == (0.0 if fits else None if beta is None else 1.0)
    calibrated = partial(
        calibrate,
        priming_number=model.counts.mean_norm,
        translation="column" if translation == "column" else "intercept",
        beta=beta,
        norm_weight=norm_weight,
    )
    strength = 0.2
    if given != "strength":
        strength = best_strength(held_out_at, calibrated)
    assert chosen.smoothing_strength == strength
    intercepts = "exponent" if fits else "none"
    expected, loss = calibrated(held_out_at(strength), intercepts=intercepts)
    if beta is not None and not fits:
        assert np.isnan(chosen.log_loss)  # nothing was left to choose
    else:
        assert chosen.log_loss == loss
    for name, value in vars(expected).items():
        assert_array_equal(getattr(chosen.calibration, name), value)
    assert np.any(expected.intercept_shift != 0) == fits
    scores = held_out_at(strength).scores(expected)
    assert_array_equal(model.held_out_scores(), scores)


def test_the_sample_is_as_large_as_the_choices_need():
    assert GIVEN.sample_limit(6, 3) == NO_ROWS
    for name in ("inverse_temperature", "smoothing_strength"):
        assert replace(GIVEN, **{name: "auto"}).sample_limit(6, 3).n_rows == 2**12
    assert replace(GIVEN, translation="exact").sample_limit(6, 3).n_values == 2**21
    few = replace(GIVEN, inverse_temperature="auto", n_blocks=2).sample_limit(6, 2**10)
    assert few.n_rows == 2**9
    windows = replace(AUTO, translation="column", row_norm=2.0).sample_limit(6, 3)
    assert windows.n_rows == 2**11
    # "noise" has no strength to choose.
    assert replace(AUTO, smoothing="noise").given_strength is not None


def test_given_temperatures_are_checked():
    assert given_temperatures("auto", 2, "blocks") is None
    assert_array_equal(given_temperatures(0.5, 2, "blocks"), [0.5, 0.5])
    assert_array_equal(given_temperatures((1, 2), 2, "blocks"), [1.0, 2.0])
    with pytest.raises(ValueError, match=r"each of the 2 blocks, not .* shape \(3,\)"):
        given_temperatures([1, 2, 3], 2, "blocks")
    for bad in (-1.0, np.nan, [1.0, np.inf]):
        with pytest.raises(ValueError, match="non-negative and finite"):
            given_temperatures(bad, 2, "blocks")
    with pytest.raises(ValueError, match="does not divide the 6 features"):
        model_of(*topics(), replace(AUTO, n_blocks=4))
