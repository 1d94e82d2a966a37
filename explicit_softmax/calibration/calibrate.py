"""Inverse temperatures and intercepts of least leave-one-out log-loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from explicit_softmax.calibration.leave_one_out import LeaveOneOut
from explicit_softmax.solution.counts import FloatArray, row_blocks
from explicit_softmax.solution.loss import cross_entropy_residual
from explicit_softmax.solution.theorem import Translation

# Weight of the prior of betas, in rows. Where rows are told apart without error the
# loss alone would let beta grow without bound; elsewhere this is next to nothing.
_BETA_PRIOR = 0.1

# Evidence that spreads less, in nats per unit of norm, is alike for all classes but for
# rounding.
_ROUNDING = 1e-12

# Scores of a chunk of rows, and what they are made of, stay in cache.
_CHUNK_VALUES = 2**16

Intercepts: TypeAlias = Literal["none", "each", "columns", "exponent"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What has the least leave-one-out log-loss.

    Parameters
    ----------
    beta : ndarray of shape (n_blocks,)
        Inverse temperatures.
    norm_weight : float
        gamma, the weight of the mean norms of the classes.
    intercept_shift : ndarray of shape (n_classes,)
        What to add to the intercepts.
    column_shift : ndarray of shape (n_classes,)
        What to add to all weights of a class: the translation of its column.
    log_loss : float
        Leave-one-out log-loss in nats per unit of weight; NaN without rows.
    """

    beta: NDArray[np.float64]
    norm_weight: float
    intercept_shift: NDArray[np.float64]
    column_shift: NDArray[np.float64]
    log_loss: float


def calibrate(
    held_out: LeaveOneOut,
    priming_number: float,
    *,
    translation: Translation = "column",
    beta: FloatArray | None = None,
    norm_weight: float | None = None,
    intercepts: Intercepts = "none",
    start: FloatArray | None = None,
    tol: float = 1e-13,
) -> Calibration:
    """Minimise the leave-one-out log-loss, a convex problem in few numbers.

    Parameters
    ----------
    held_out : LeaveOneOut
        Scores of rows by models that did not see them.
    priming_number : float
        K.
    translation : {"column", "intercept"}, default="column"
        Where the class prior stands.
    beta : ndarray of shape (n_blocks,), default=None
        Inverse temperatures to keep; chosen, non-negative, by default.
    norm_weight : float, default=None
        gamma to keep; chosen, between 0 and 1, by default.
    intercepts : {"none", "each", "columns", "exponent"}, default="none"
        What to fit besides: nothing; one intercept per class; the translations of the
        columns too (the translating weights of Eq. 12, which matter where norms of
        rows differ); or the exponent of the class frequency, ``shift = x log n``, where
        the classes are too many for the rows.
    start : ndarray of shape (n_blocks,), default=None
        Inverse temperatures to start from where they are chosen.
    tol : float, default=1e-13
        Relative decrease of the loss at which to stop.

    Returns
    -------
    calibration : Calibration

    Notes
    -----
    Shifts have a normal prior of unit variance around zero, the weight of one row each;
    it decides only where a class has next to no rows. Inverse temperatures have one of
    a tenth of that weight, in the unit that spreads the scores of a block by one nat:
    it keeps them finite where all rows are told apart without error. Translations of
    columns are fitted as multiples of the norm of a row over the mean norm, less one,
    so that they are of no effect at the mean norm.
    """
    n_blocks, n_rows, n_classes = held_out.evidence.shape
    no_shift = np.zeros(n_classes)
    if n_rows == 0:
        betas = np.full(n_blocks, 1.0 / priming_number) if beta is None else beta
        gamma = 1.0 if norm_weight is None else norm_weight
        nan = float("nan")
        return Calibration(np.asarray(betas, float), gamma, no_shift, no_shift, nan)
    # Scores are fixed + sum_j point_j * directions_j (+ a shift for each class).
    fixed = np.zeros((n_rows, n_classes))
    factor = held_out.prior_factor(priming_number, translation)
    fixed += factor * held_out.log_count
    directions: list[FloatArray] = []
    first: list[float] = []
    bounds: list[tuple[float | None, float | None]] = []
    if beta is None:
        directions.extend(held_out.evidence)
        even = np.full(n_blocks, 1.0 / held_out.mean_norm)
        first.extend(even if start is None else start)
        bounds.extend([(0.0, None)] * n_blocks)
    else:
        fixed += np.tensordot(np.asarray(beta, float), held_out.evidence, axes=1)
    if norm_weight is None:
        directions.append(factor * held_out.log_norm)
        first.append(1.0)
        bounds.append((0.0, 1.0))
    else:
        fixed += norm_weight * factor * held_out.log_norm
    if intercepts == "exponent":
        directions.append(held_out.log_count)
        first.append(0.0)
        bounds.append((None, None))
    n_directions = len(directions)
    # What the numbers of each class are multiplied by in each row.
    norms = (held_out.norms / held_out.mean_norm - 1.0)[:, None]
    class_factors = {
        "each": [np.ones_like(norms)],
        "columns": [np.ones_like(norms), norms],
    }.get(intercepts, [])
    first.extend([0.0] * (n_classes * len(class_factors)))
    bounds.extend([(None, None)] * (n_classes * len(class_factors)))
    n_betas = n_blocks if beta is None else 0
    units = np.ones(len(first))
    if beta is None:
        units[:n_blocks] = _curvature_units(held_out)
    # Which numbers are shifts or stand for them, and so have a prior.
    shifted = np.arange(len(first)) >= n_directions - (intercepts == "exponent")
    weights, total_weight = held_out.weights, float(held_out.weights.sum())

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        values = point * units
        shifts = values[n_directions:].reshape(-1, n_classes)
        loss = 0.0
        slopes = np.zeros(n_directions)
        sums = np.zeros_like(shifts)
        # Chunks of rows stay in cache from the scores to the last product with them.
        for chunk in row_blocks(n_rows, n_classes, _CHUNK_VALUES):
            scores = fixed[chunk].copy()
            for value, direction in zip(values, directions, strict=False):
                scores += float(value) * direction[chunk]
            for shift, factor in zip(shifts, class_factors, strict=True):
                scores += shift * factor[chunk]
            losses, residual = cross_entropy_residual(scores, held_out.y[chunk])
            residual *= weights[chunk, None]
            # A BLAS dot product would wake its threads for a few thousand numbers.
            slopes += [np.einsum("ij,ij", residual, d[chunk]) for d in directions]
            for total, factor in zip(sums, class_factors, strict=True):
                total += (residual * factor[chunk]).sum(axis=0)
            loss += float((losses * weights[chunk]).sum())
        gradient = np.concatenate([slopes, sums.ravel()]) * units
        gradient[shifted] += values[shifted]
        gradient[:n_betas] += _BETA_PRIOR * point[:n_betas]
        return (loss + prior(values)) / total_weight, gradient / total_weight

    def prior(values: FloatArray) -> float:
        spread = float(((values / units)[:n_betas] ** 2).sum())
        return 0.5 * (float((values[shifted] ** 2).sum()) + _BETA_PRIOR * spread)

    values = np.array(first)
    if values.size:
        bounds = [
            (low, None if high is None else high / unit)
            for (low, high), unit in zip(bounds, units, strict=True)
        ]
        values = units * np.asarray(
            scipy.optimize.minimize(
                objective,
                values / units,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 500, "ftol": tol, "gtol": 1e-8},
            ).x
        )
    loss = objective(values / units)[0] - prior(values) / total_weight
    shift = column_shift = no_shift
    if class_factors:
        shift = values[n_directions : n_directions + n_classes]
    if intercepts == "columns":
        slope = values[n_directions + n_classes :]
        shift, column_shift = shift - slope, slope / held_out.mean_norm
    elif intercepts == "exponent":
        shift = values[-1] * held_out.class_log_count
    return Calibration(
        values[:n_blocks] if beta is None else np.asarray(beta, float),
        float(values[n_betas]) if norm_weight is None else norm_weight,
        shift,
        column_shift,
        loss,
    )


def _curvature_units(held_out: LeaveOneOut) -> NDArray[np.float64]:
    """Steps of beta that change scores by about one: L-BFGS starts well scaled."""
    units = np.full(len(held_out.evidence), 1.0 / held_out.mean_norm)
    for b, block in enumerate(held_out.evidence):
        typical = float(np.average(block.std(axis=1), weights=held_out.weights))
        if typical > _ROUNDING * held_out.mean_norm:
            units[b] = 1.0 / typical
    return units
