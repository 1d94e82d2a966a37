"""Steps of the fit of a network: checks, explicit layers, and joint training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from explicit_softmax._hidden_targets import check_hidden_targets
from explicit_softmax._refinement import (
    record_refinement,
    scaled,
    solver_settings,
    warn_if_cut_short,
)
from explicit_softmax._sklearn import FitReport
from explicit_softmax.calibration.layers import Layer, solve_layers
from explicit_softmax.calibration.model import given_temperatures
from explicit_softmax.solution.counts import raise_bad_value
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.training.joint import random_layers, train_jointly

# Attributes that not every fit sets.
_OPTIONAL = (
    "inverse_temperature_",
    "priming_number_",
    "loss_curve_",
    "validation_scores_",
)


def check_parameters(estimator: Any) -> list[float | None]:
    """Parameters that depend on each other; the inverse temperatures of the layers."""
    check_hidden_targets(estimator.hidden_targets)
    if estimator.init == "random" and not estimator.warm_start:
        raise ValueError(
            "init='random' without warm_start=True would leave the weights random: set "
            "warm_start=True to train them"
        )
    return layer_betas(estimator.inverse_temperature, estimator.n_layers)


def forget_optional_attributes(estimator: Any) -> None:
    """Leave nothing of an earlier fit that the next one may not set."""
    for name in _OPTIONAL:
        vars(estimator).pop(name, None)


def check_features(rows: Any) -> None:
    """ValueError that names the first row with a feature that cannot be counted.

    Clusterers see the features before they are counted, and would say it otherwise.
    """
    values = rows.data if sp.issparse(rows) else rows
    if not (values.min(initial=0.0) >= 0 and np.isfinite(values.max(initial=0.0))):
        raise_bad_value(rows, 0)


def layer_betas(inverse_temperature: Any, n_layers: int) -> list[float | None]:
    """Inverse temperature of each layer, None where it is to be chosen."""
    given = given_temperatures(inverse_temperature, n_layers, "layers")
    return [None] * n_layers if given is None else given.tolist()


def solve_network(
    estimator: Any,
    rows: Any,
    targets: Sequence[Any],
    sizes: Sequence[int],
    weights: Any,
    betas: Sequence[float | None],
) -> tuple[Layer, ...]:
    """Explicit layers at the parameters of a network."""
    return solve_layers(
        rows,
        targets,
        sizes,
        sample_weight=weights,
        betas=betas,
        smoothing=estimator.smoothing,
        strength=estimator.smoothing_strength,
        norm_exponent=estimator.norm_exponent,
    )


def train_network(
    estimator: Any,
    rows: Any,
    codes: Any,
    weights: Any,
    validation: Any,
    sizes: list[int],
    rng: Any,
    report: FitReport,
) -> None:
    """Train the layers of a network jointly, from its decoders or from random ones.

    Parameters
    ----------
    estimator : ExplicitSoftmaxNetworkClassifier
        Its fitted attributes are replaced.
    rows, codes, weights : array-like
        Rows of positive weight, their classes, and their weights or None.
    validation : tuple of (rows, codes, weights) or None
        Rows to stop by.
    sizes : list of int
        Number of outputs of each layer.
    rng : numpy.random.RandomState
        Random weights and the order of rows.
    report : FitReport
        Hears of each iteration.
    """
    exponent = estimator.norm_exponent
    rows = scaled(rows, exponent)
    if validation is not None:
        validation = (scaled(validation[0], exponent), *validation[1:])
    if estimator.init == "random":
        start = random_layers(rows, sizes, sample_weight=weights, rng=rng)
    else:
        decoders = estimator._decoders
        start = (
            tuple(decoder.dense_weights() for decoder in decoders),
            tuple(decoder.intercept for decoder in decoders),
        )

    def fitted_attributes(coefs: Any, intercepts: Any) -> dict[str, Any]:
        exponents = [exponent] + [0.0] * (len(coefs) - 1)
        return {
            "_decoders": tuple(
                Decoder.from_dense(coef, intercept, norm_exponent=power)
                for coef, intercept, power in zip(
                    coefs, intercepts, exponents, strict=True
                )
            )
        }

    result = train_jointly(
        *start,
        rows,
        codes,
        sample_weight=weights,
        validation=validation,
        rng=rng,
        **solver_settings(estimator, report, fitted_attributes),
    )
    warn_if_cut_short(estimator, result, "Joint training", stacklevel=6)
    vars(estimator).update(fitted_attributes(result.weights, result.intercepts))
    record_refinement(estimator, result, validation)
