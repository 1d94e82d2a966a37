"""Inverse temperatures, intercepts, and smoothing strength of least leave-one-out loss.

The scores are linear in all numbers of a `Calibration` but the priming number, and the
log-loss is convex in the scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from explicit_softmax.calibration.leave_one_out import LeaveOneOut
from explicit_softmax.solution.counts import FloatArray, row_blocks
from explicit_softmax.solution.loss import cross_entropy_residual
from explicit_softmax.solution.theorem import Calibration, Translation

# Weight of the prior of betas, in rows. Where rows are told apart without error the
# loss alone would let beta grow without bound; elsewhere this is next to nothing.
_BETA_PRIOR = 0.1

# Log-likelihoods that spread less, in nats per unit of norm, are alike for all classes
# up to rounding.
_ROUNDING = 1e-12

# Share of the variance of scores that is left where a row has been told from most
# classes: it scales what is fitted for L-BFGS.
_LEFT_VARIANCE = 0.05

# Scores of a chunk of rows, and what they are made of, stay in cache.
_CHUNK_VALUES = 2**17

# The search of a smoothing strength: where it starts, its factor, and how far it goes.
FIRST_STRENGTH = 0.1
_STRENGTH_FACTOR = 4.0
_MOST_STEPS = 8
# It goes on as long as the loss falls by this share.
_LEAST_GAIN = 1e-3

# Relative precision of a loss that is only compared with those of other candidates.
COMPARISON_TOL = 1e-6

Intercepts: TypeAlias = Literal["none", "columns", "exponent"]


def calibrate(
    held_out: LeaveOneOut,
    priming_number: float,
    *,
    translation: Translation = "column",
    beta: FloatArray | None = None,
    norm_weight: float | None = None,
    intercepts: Intercepts = "none",
    start: FloatArray | None = None,
    prior_weight: float = 1.0,
    tol: float = 1e-8,
) -> tuple[Calibration, float]:
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
    intercepts : {"none", "columns", "exponent"}, default="none"
        What to fit besides: nothing; an intercept and a translation of the column of
        each class (the translating weights of Eq. 12, of which those of columns matter
        where norms of rows differ); or the exponent of the class frequency, ``shift = x
        log n``, where the classes are too many for the rows.
    start : ndarray of shape (n_blocks,), default=None
        Inverse temperatures to start from where they are chosen.
    prior_weight : float, default=1.0
        Weight of the priors below, in units of the weights of the rows.
    tol : float, default=1e-8
        Relative decrease of the loss at which to stop.

    Returns
    -------
    calibration : Calibration
    log_loss : float
        Leave-one-out log-loss in nats per unit of weight; NaN without rows.

    Notes
    -----
    Shifts have a normal prior of unit variance around zero, the weight of one row each;
    it decides only where a class has next to no rows. Inverse temperatures have one of
    a tenth of that weight, in the unit that spreads the scores of a block by one nat.
    Translations of columns are fitted as multiples of the norm of a row over the mean
    norm, less one, and have no effect at the mean norm.
    """
    n_blocks, n_rows, _ = held_out.log_likelihoods.shape
    if n_rows == 0:
        betas = np.full(n_blocks, 1.0 / priming_number) if beta is None else beta
        gamma = 1.0 if norm_weight is None else norm_weight
        return Calibration(betas, priming_number, translation, gamma), float("nan")
    given = Calibration(
        np.zeros(n_blocks) if beta is None else np.asarray(beta, dtype=float),
        priming_number,
        translation,
        0.0 if norm_weight is None else norm_weight,
    )
    form = _linear_form(
        held_out, given, beta is None, norm_weight is None, intercepts, start
    )
    values, loss = _minimised(form, held_out, prior_weight, tol)
    if beta is None:
        given = replace(given, beta=values[:n_blocks])
    if norm_weight is None:
        given = replace(given, norm_weight=float(values[form.n_betas]))
    if intercepts == "columns":
        shift, slope = values[form.n_directions :].reshape(2, -1)
        given = replace(
            given,
            intercept_shift=shift - slope,
            column_shift=slope / held_out.mean_norm,
        )
    elif intercepts == "exponent":
        exponent = values[form.n_directions - 1]
        given = replace(given, intercept_shift=exponent * held_out.class_log_count)
    return given, loss


def best_strength(
    held_out_at: Callable[[float], LeaveOneOut],
    calibrated: Callable[..., tuple[Calibration, float]],
) -> float:
    """Smoothing strength of least leave-one-out log-loss.

    `held_out_at` gives the `LeaveOneOut` of a strength, and `calibrated` is `calibrate`
    with what is the same for all strengths. The search goes from 0.1 up or down by
    factors of 4 as long as the loss falls noticeably, then to the vertex of the
    parabola through the last three losses, over the log of the strength, and returns
    the best of all of these.
    """
    start: FloatArray | None = None

    def loss(n_steps: float) -> float:
        nonlocal start
        held_out = held_out_at(FIRST_STRENGTH * _STRENGTH_FACTOR**n_steps)
        found, value = calibrated(held_out, start=start, tol=COMPARISON_TOL)
        # From zero, where a gradient may vanish, no beta would ever rise again.
        start = found.beta if (found.beta > 0).all() else None
        return value

    losses = {0.0: loss(0.0), 1.0: loss(1.0)}
    direction, at = (1.0, 1.0) if losses[1.0] < losses[0.0] else (-1.0, 0.0)
    while abs(at) < _MOST_STEPS:
        if at + direction not in losses:
            losses[at + direction] = loss(at + direction)
        if not losses[at + direction] < (1.0 - _LEAST_GAIN) * losses[at]:
            before, here, after = (losses[at + offset] for offset in (-1, 0, 1))
            curvature = before - 2 * here + after
            if curvature > 0:
                vertex = at + float(np.clip(0.5 * (before - after) / curvature, -1, 1))
                if vertex not in losses:
                    losses[vertex] = loss(vertex)
            break
        at += direction
    best = min(losses, key=lambda n_steps: losses[n_steps])
    return float(FIRST_STRENGTH * _STRENGTH_FACTOR**best)


@dataclass(frozen=True, eq=False)
class _LinearForm:
    """Scores as ``fixed + sum_j values_j directions_j`` plus shifts of the classes.

    Shifts, two values for each class, are ``shift + relative * slope``; there are none
    where `relative` is None. The first `n_betas` directions belong to inverse
    temperatures; `units` are changes of values that change scores by about one. Values
    after those of `first`, the start, begin at zero, have no bounds, and have a prior
    of unit variance. Arrays have the scores of a class side by side in memory, which
    makes sums and maxima over the classes fast.
    """

    fixed: FloatArray
    directions: list[FloatArray]
    relative: FloatArray | None
    n_betas: int
    first: list[float]
    bounds: list[tuple[float, float | None]]
    units: NDArray[np.float64]

    @property
    def n_directions(self) -> int:
        """Number of values that are not shifts of single classes."""
        return len(self.directions)


def _linear_form(
    held_out: LeaveOneOut,
    given: Calibration,
    choose_beta: bool,
    choose_norm_weight: bool,
    intercepts: Intercepts,
    start: FloatArray | None,
) -> _LinearForm:
    """Scores at `given`, where what is chosen is zero, and their derivatives."""
    n_blocks, _, n_classes = held_out.log_likelihoods.shape
    directions: list[FloatArray] = []
    first: list[float] = []
    bounds: list[tuple[float, float | None]] = []
    if choose_beta:
        directions.extend(held_out.log_likelihoods)
        even = np.full(n_blocks, 1.0 / held_out.mean_norm)
        first.extend(even if start is None else start)
        bounds.extend([(0.0, None)] * n_blocks)
        fixed = _prior_scores(held_out, given, held_out.log_count)
    else:
        fixed = held_out.scores(given)
    if choose_norm_weight:
        no_count = np.zeros_like(held_out.log_count)
        gamma = replace(given, norm_weight=1.0)
        directions.append(_prior_scores(held_out, gamma, no_count))
        first.append(1.0)
        bounds.append((0.0, 1.0))
    n_shifts = 0
    relative: FloatArray | None = None
    if intercepts == "exponent":
        directions.append(held_out.log_count)
        n_shifts = 1
    elif intercepts == "columns":
        relative = held_out.norms / held_out.mean_norm - 1.0
        n_shifts = 2 * n_classes
    units = np.ones(len(first) + n_shifts)
    if choose_beta:
        for b, block in enumerate(held_out.log_likelihoods):
            # Squares of features of extreme units would overflow, or vanish.
            power = np.frexp(np.abs(block).max())[1]
            spread = np.ldexp(np.ldexp(block, -power).std(axis=1), power)
            typical = float(np.average(spread, weights=held_out.weights))
            is_flat = typical <= _ROUNDING * held_out.mean_norm
            units[b] = 1.0 / (held_out.mean_norm if is_flat else typical)
    n_betas = n_blocks if choose_beta else 0
    fixed, *directions = map(np.asfortranarray, [fixed, *directions])
    return _LinearForm(fixed, directions, relative, n_betas, first, bounds, units)


def _prior_scores(
    held_out: LeaveOneOut, calibration: Calibration, log_count: FloatArray
) -> FloatArray:
    """The formula without any block of features."""
    prior = replace(calibration, beta=np.zeros(0))
    return prior.scores([], held_out.norms[:, None], log_count, held_out.log_norm)


def _minimised(
    form: _LinearForm, held_out: LeaveOneOut, prior_weight: float, tol: float
) -> tuple[NDArray[np.float64], float]:
    """Values of least loss with their priors, and the loss alone."""
    (n_rows, n_classes), n_directions = form.fixed.shape, form.n_directions
    weights, total_weight = held_out.weights, float(held_out.weights.sum())
    n_betas, n_free = form.n_betas, len(form.first)
    n_shifts = len(form.units) - n_free
    beta_units, relative = form.units[:n_betas], form.relative
    # Numbers of about the same curvature: L-BFGS starts well scaled.
    counted = np.full(len(form.units), total_weight)
    if relative is not None:
        rows_of = np.bincount(held_out.y, weights, n_classes)
        counted[n_directions:] = np.tile(rows_of, 2)
    units = form.units / np.sqrt(prior_weight + _LEFT_VARIANCE * counted)

    def prior(values: FloatArray) -> float:
        spread = float(((values[:n_betas] / beta_units) ** 2).sum())
        shifts = float((values[n_free:] ** 2).sum())
        return 0.5 * prior_weight * (shifts + _BETA_PRIOR * spread)

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        values = point * units
        shifts = values[n_directions:].reshape(-1, n_classes)
        loss = 0.0
        slopes = np.zeros(n_directions)
        sums = np.zeros_like(shifts)
        # Chunks of rows stay in cache from the scores to the last product with them.
        for chunk in row_blocks(n_rows, n_classes, _CHUNK_VALUES):
            scores = form.fixed[chunk].copy(order="K")
            for value, direction in zip(values, form.directions, strict=False):
                scores += float(value) * direction[chunk]
            if relative is not None:
                by_class = np.multiply.outer(shifts[1], relative[chunk])
                by_class += shifts[0][:, None]
                scores += by_class.T
            part = weights[chunk]
            losses, residual = cross_entropy_residual(scores, held_out.y[chunk], part)
            # A BLAS dot product would wake its threads for a few thousand numbers.
            slopes += [np.einsum("ij,ij", residual, d[chunk]) for d in form.directions]
            if relative is not None:
                sums[0] += residual.sum(axis=0)
                sums[1] += np.einsum("i,ij->j", relative[chunk], residual)
            loss += float((losses * part).sum())
        gradient = np.concatenate([slopes, sums.ravel()])
        gradient[n_free:] += prior_weight * values[n_free:]
        spread = values[:n_betas] / beta_units
        gradient[:n_betas] += prior_weight * _BETA_PRIOR * (spread / beta_units)
        gradient *= units
        return (loss + prior(values)) / total_weight, gradient / total_weight

    values = np.concatenate([form.first, np.zeros(n_shifts)])
    if values.size:
        bounds: list[Any] = [
            (low, None if high is None else high / unit)
            for (low, high), unit in zip(form.bounds, units, strict=False)
        ]
        values = units * np.asarray(
            scipy.optimize.minimize(
                objective,
                values / units,
                jac=True,
                method="L-BFGS-B",
                bounds=bounds + [(None, None)] * n_shifts,
                options={"maxiter": 500, "ftol": tol, "gtol": 1e-8},
            ).x
        )
    return values, objective(values / units)[0] - prior(values) / total_weight
