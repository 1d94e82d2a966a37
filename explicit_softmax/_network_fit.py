"""Steps of the fit of a network: checks, explicit layers, and joint training."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from explicit_softmax._hidden_targets import check_hidden_targets
from explicit_softmax._sklearn import FitReport
from explicit_softmax._warm_start import _scaled
from explicit_softmax.core.cooccurrence import raise_bad_value
from explicit_softmax.core.decoder import Decoder
from explicit_softmax.core.joint import random_layers, train_jointly
from explicit_softmax.core.layers import Layer, solve_layers

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
    if isinstance(inverse_temperature, str):
        return [None] * n_layers
    given = np.asarray(inverse_temperature, dtype=float)
    if given.ndim and given.shape != (n_layers,):
        raise ValueError(
            "inverse_temperature must be a number or one number for each of the "
            f"{n_layers} layers, not an array of shape {given.shape}"
        )
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise ValueError(
            "inverse_temperature must be non-negative and finite, not "
            f"{inverse_temperature!r}"
        )
    return [float(beta) for beta in np.broadcast_to(given, n_layers)]


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
    rows = _scaled(rows, exponent)
    if validation is not None:
        validation = (_scaled(validation[0], exponent), *validation[1:])
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

    name = "lbfgs-iteration" if estimator.solver == "lbfgs" else "epoch"

    def after_iteration(iteration: int, coefs: Any, intercepts: Any) -> bool:
        stop = report.end_iteration(lambda: fitted_attributes(coefs, intercepts))
        if iteration < estimator.max_iter and not stop:
            report.begin_iteration(name)
        return stop

    report.begin_iteration(name)
    result = train_jointly(
        *start,
        rows,
        codes,
        sample_weight=weights,
        solver=estimator.solver,
        learning_rate=estimator.learning_rate_init,
        batch_size=estimator.batch_size,
        max_iter=estimator.max_iter,
        alpha=estimator.alpha,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        validation=validation,
        shuffle=estimator.shuffle,
        rng=rng,
        callback=after_iteration,
    )
    if not result.converged and result.n_iter >= estimator.max_iter:
        warnings.warn(
            f"Joint training reached max_iter={estimator.max_iter} while the loss was "
            "still falling. This is harmless if the model is good enough; otherwise "
            "increase max_iter, or set early_stopping=True to stop when rows set aside "
            "no longer gain.",
            ConvergenceWarning,
            stacklevel=5,
        )
    vars(estimator).update(fitted_attributes(result.weights, result.intercepts))
    estimator.loss_curve_ = result.loss_curve
    # None is needed where the start is a minimum already.
    estimator.n_iter_ = max(result.n_iter, 1)
    estimator.validation_scores_ = (
        None if validation is None else [-loss for loss in result.validation_curve]
    )
