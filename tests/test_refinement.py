"""Refinement: its parameters, and what it does to any model with decoders."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from explicit_softmax import _refinement
from explicit_softmax._refinement import (
    Refinement,
    checked_refinement,
    refine_model,
    split_validation,
)
from explicit_softmax.calibration.model import Refined
from explicit_softmax.solution.counts import scaled_rows
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.text.windows import OneHotWindows, TokenStream
from explicit_softmax.training.refine import refine
from tests.training.problems import CASES, ONE, STORED, noisy_topics, random_start

STORED_CASES = [case for case in CASES if case[1] in STORED]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@dataclass(frozen=True)
class Model:
    decoders: tuple
    refinement: Refined | None = None

    @classmethod
    def of(cls, start, norm_exponent=0.0):
        first, *later = zip(*start, strict=True)
        decoders = [Decoder.from_dense(*first, norm_exponent=norm_exponent)]
        return cls((*decoders, *(Decoder.from_dense(*layer) for layer in later)))

    def with_refinement(self, refined):
        return replace(self, decoders=refined.decoders, refinement=refined)


class Progress:
    """In place of a FitReport: remembers what it is asked to follow."""

    def follow(self, name, max_iterations, fitted_attributes):
        self.name, self.max_iterations, self.models = name, max_iterations, []

        def after_iteration(iteration, *parameters):
            self.models.append(fitted_attributes(*parameters)["_model"])
            return False

        return after_iteration


def refined(refinement, model, X, y, weight=None, validation=None, progress=None):
    progress = progress or Progress()
    return refine_model(refinement, model, X, y, weight, validation, progress)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("solver", "newton"),
        ("learning_rate_init", 0.0),
        ("learning_rate_init", "optimal"),
        ("batch_size", 0),
        ("max_iter", 0),
        ("margins", "yes"),
        ("alpha", -1.0),
        ("tol", -1.0),
        ("early_stopping", "yes"),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("samples_per_iter", 0),
        ("shuffle", "yes"),
        ("random_state", "one"),
    ],
)
def test_values_that_a_parameter_cannot_have(name, value):
    with pytest.raises(InvalidParameterError, match=f"'{name}' .* of Refinement"):
        checked_refinement(Refinement(**{name: value}))


def test_what_is_no_refinement():
    assert checked_refinement(None).get_params() == Refinement().get_params()
    refinement = Refinement(samples_per_iter=None, batch_size=3)
    assert checked_refinement(refinement) is refinement
    for other in ("adagrad", {"max_iter": 3}, Refinement):
        with pytest.raises(TypeError, match=r"refinement=Refinement\(\.\.\.\)"):
            checked_refinement(other)


@pytest.mark.parametrize("layout", STORED)
def test_validation_rows_are_set_aside_for_early_stopping_only(layout):
    X, y = noisy_topics(n_rows=50)
    rows, weight = layout(X), np.arange(50.0)
    train, validation = split_validation(Refinement(), rows, y, weight)
    assert train[0] is rows
    assert validation is None
    how = {"validation_fraction": 0.2, "random_state": 0}
    refinement = Refinement(early_stopping=True, **how)
    parts = split_validation(refinement, rows, y, weight)
    assert [part.shape[0] for part, _, _ in parts] == [40, 10]
    members = [weights.astype(int) for _, _, weights in parts]
    assert_array_equal(np.sort(np.concatenate(members)), np.arange(50))
    for (part, labels, _), places in zip(parts, members, strict=True):
        assert_array_equal(part.toarray() if sp.issparse(part) else part, X[places])
        assert_array_equal(labels, y[places])
    assert split_validation(refinement, rows, y, None)[1][2] is None
    with pytest.raises(ValueError, match="only rows of zero weight"):
        split_validation(refinement, rows, y, np.eye(50)[0])


@pytest.mark.parametrize(("solver", "layout", "sizes"), STORED_CASES)
def test_parameters_rows_and_results_are_handed_over(sizes, layout, solver):
    X, y = noisy_topics()
    X_val, y_val = noisy_topics(seed=1)
    X[3] = 0
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    validation = layout(X_val), y_val, None
    start = random_start(sizes)
    model, progress = Model.of(start, norm_exponent=0.5), Progress()
    how = {"solver": solver, "max_iter": 4, "alpha": 0.01}
    refinement = Refinement(random_state=3, **how)
    found = refined(refinement, model, layout(X), y, weight, validation, progress)
    kept = weight > 0
    expected = refine(
        *start,
        scaled_rows(layout(X)[kept], 0.5),
        y[kept],
        sample_weight=weight[kept],
        validation=(scaled_rows(validation[0], 0.5), y_val, None),
        rng=np.random.RandomState(3),
        **how,
    )
    layers = zip(expected.weights, expected.intercepts, strict=True)
    for decoder, (weights, intercept) in zip(found.decoders, layers, strict=True):
        assert_array_equal(decoder.weights, weights)
        assert_array_equal(decoder.intercept, intercept)
    exponents = [decoder.norm_exponent for decoder in found.decoders]
    assert exponents == [0.5] + [0.0] * (len(sizes) - 2)
    assert found.refinement.loss_curve == expected.loss_curve
    assert found.refinement.n_iter == len(progress.models) == 4
    scores = found.refinement.validation_scores
    assert scores == [-loss for loss in expected.validation_curve]
    assert_allclose(log_loss(found.decoders, *validation), -max(scores))
    # Each iteration is a model, the first one too.
    losses = [log_loss(part.decoders, *validation) for part in progress.models]
    assert_allclose(losses, expected.validation_curve)
    assert progress.max_iterations == 4
    assert progress.name == ("lbfgs-iteration" if solver == "lbfgs" else "epoch")
    assert model.decoders[0].weights is start[0][0]


def test_a_start_that_is_a_minimum_counts_as_one_iteration():
    X, y = np.ones((4, 5)), np.array([0, 0, 1, 2])
    start = [np.zeros((5, 3))], [np.log([2.0, 1.0, 1.0])]
    found = refined(Refinement(solver="lbfgs"), Model.of(start), X, y)
    assert found.refinement.loss_curve == []
    assert found.refinement.n_iter == 1
    assert found.refinement.validation_scores is None


@pytest.mark.parametrize(
    ("kind", "batch_size", "samples"), [("rows", 256, None), ("windows", 1024, 2000)]
)
def test_automatic_sizes(monkeypatch, kind, batch_size, samples):
    monkeypatch.setitem(_refinement._SAMPLES_PER_ITER, "windows", 2000)
    tokens = np.random.default_rng(0).integers(0, 4, 3000).astype(np.int32)
    stream = TokenStream.from_arrays([tokens], 2, 5)
    windows = OneHotWindows(stream, 6, "cat", np.float64)
    X = windows if kind == "windows" else windows[np.arange(3000)]
    model = Model.of(random_start((12, 5)))
    given = {"batch_size": batch_size, "samples_per_iter": samples}
    other = {"batch_size": 99, "samples_per_iter": None}
    rules = (Refinement(max_iter=2, random_state=0, **h) for h in ({}, given, other))
    default, given, other = (
        refined(rule, model, X, stream.targets).decoders[0] for rule in rules
    )
    assert_array_equal(default.weights, given.weights)
    assert (default.weights != other.weights).any()


def test_advice_when_iterations_run_out():
    X, y = noisy_topics()
    model = Model.of(random_start(ONE))
    for validation, advised in ((None, True), ((X, y, None), False)):
        with pytest.warns(ConvergenceWarning) as caught:
            refined(Refinement(max_iter=2), model, X, y, validation=validation)
        message = str(caught[0].message)
        assert "The refinement reached max_iter=2" in message
        assert ("early_stopping=True" in message) == advised
        # At the first line outside of the package.
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refined(Refinement(tol=1.0, n_iter_no_change=2), model, X, y)
        refined(Refinement(samples_per_iter=30, max_iter=2), model, X, y)
