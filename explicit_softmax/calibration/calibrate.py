"""Inverse temperatures, intercepts, and smoothing strength of least leave-one-out loss.

The scores are linear in all numbers of a `Calibration` but the priming number, and the
log-loss is convex in the scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.calibration.leave_one_out import LeaveOneOut
from explicit_softmax.solution.counts import FloatArray, IntArray, row_blocks
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

# Scores of a chunk of rows, and what they are made of, stay in cache. Products of so
# many values with two numbers each do not wake the threads of BLAS.
_CHUNK_VALUES = 2**17

# The search of a smoothing strength: where it starts, its factor, and how far it goes.
FIRST_STRENGTH = 0.1
_STRENGTH_FACTOR = 4.0
_MOST_STEPS = 8
# It goes on as long as the loss falls by this share.
_LEAST_GAIN = 1e-3

# Relative precision of a loss, and of one that is only compared with those of other
# candidates.
_TOL = 1e-8
COMPARISON_TOL = 1e-6
# That of a fit that goes on from another, which takes few steps to get there.
_WARM_TOL = 1e-10

Intercepts: TypeAlias = Literal["none", "columns", "exponent"]


@dataclass(eq=False)
class WarmStart:
    """What a fit leaves to the next one, to scores that are much like its own.

    Parameters
    ----------
    values : ndarray of shape (n_values,), default=None
        What it found, in units of the scores.
    steps : ndarray of shape (n_values, n_values), default=None
        Combinations of values, one in each column, along which the loss curves alike
        and independently of the others: its curvature, which hardly differs, is worked
        out once.
    """

    values: NDArray[np.float64] | None = None
    steps: NDArray[np.float64] | None = None


def calibrate(
    held_out: LeaveOneOut,
    priming_number: float,
    *,
    translation: Translation = "column",
    beta: FloatArray | None = None,
    norm_weight: float | None = None,
    intercepts: Intercepts = "none",
    start: FloatArray | None = None,
    warm: WarmStart | None = None,
    prior_weight: float = 1.0,
    tol: float = _TOL,
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
    warm : WarmStart, default=None
        What the fit before left, with the same arguments to like scores; it is replaced
        by what this one leaves.
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
    values, loss = _minimised(form, held_out, prior_weight, tol, warm)
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
    """Scores, ``fixed + sum_j values_j units_j directions_j`` plus shifts of classes.

    Shifts, two values for each class, are ``shift + relative * slope``; there are none
    where `relative` is None. The first `n_betas` directions belong to inverse
    temperatures; `units`, one for each value, make scores change with a value by about
    one. `first` is where to start. Values after those that have `bounds` have a prior
    of unit variance.
    """

    fixed: FloatArray
    directions: list[FloatArray]
    relative: FloatArray | None
    n_betas: int
    first: NDArray[np.float64]
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
    relative: FloatArray | None = None
    if intercepts == "exponent":
        directions.append(held_out.log_count)
        first.append(0.0)
    elif intercepts == "columns":
        relative = held_out.norms / held_out.mean_norm - 1.0
        first.extend(np.zeros(2 * n_classes))
    units = np.ones(len(first))
    n_betas = n_blocks if choose_beta else 0
    for b, block in enumerate(directions[:n_betas]):
        # Squares of features of extreme units would overflow, or vanish.
        power = np.frexp(max(block.max(), -block.min()))[1]
        spread = np.ldexp(np.ldexp(block, -power).std(axis=1), power)
        typical = float(np.average(spread, weights=held_out.weights))
        is_flat = typical <= _ROUNDING * held_out.mean_norm
        units[b] = 1.0 / (held_out.mean_norm if is_flat else typical)
    return _LinearForm(
        fixed, directions, relative, n_betas, np.array(first) / units, bounds, units
    )


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Some rows of a `_LinearForm`, and how often they count.

    Arrays have the scores of a class side by side in memory, which makes sums and
    maxima over the classes fast. `basis` is what the shifts are multiplied by.
    """

    fixed: FloatArray
    directions: list[FloatArray]
    basis: FloatArray | None
    y: IntArray
    weights: NDArray[np.float64]

    @classmethod
    def all_of(cls, form: _LinearForm, held_out: LeaveOneOut) -> list[_Chunk]:
        """All rows of a form, in chunks of about the same size."""
        n_rows, n_classes = form.fixed.shape
        n_chunks = -(-n_rows // max(1, _CHUNK_VALUES // n_classes))
        basis = None
        if form.relative is not None:
            basis = np.stack([np.ones(n_rows), form.relative])
        return [
            cls(
                form.fixed[rows].copy(order="F"),
                [
                    np.multiply(direction[rows], unit, order="F")
                    for direction, unit in zip(
                        form.directions, form.units, strict=False
                    )
                ],
                None if basis is None else basis[:, rows],
                held_out.y[rows],
                held_out.weights[rows],
            )
            for rows in row_blocks(n_rows, n_chunks, n_rows + n_chunks - 1)
        ]

    def loss(self, values: FloatArray, work: FloatArray) -> tuple[float, FloatArray]:
        """Weighted sum of the losses and its derivatives by the values.

        `work` has two rows of memory for scores.
        """
        n_rows, n_classes = self.fixed.shape
        size, n_directions = self.fixed.size, len(self.directions)
        scores, spare = work[:, :size].reshape(2, n_classes, n_rows).transpose(0, 2, 1)
        np.copyto(scores, self.fixed)
        for value, direction in zip(values, self.directions, strict=False):
            scores += np.multiply(direction, value, out=spare)
        if self.basis is not None:
            shifts = values[n_directions:].reshape(2, n_classes)
            scores += np.matmul(shifts.T, self.basis, out=spare.T).T
        losses, residual = cross_entropy_residual(scores, self.y, self.weights)
        gradient = np.empty(len(values))
        for i, direction in enumerate(self.directions):
            # A BLAS dot product would wake its threads for a few thousand numbers.
            gradient[i] = np.multiply(residual, direction, out=spare).sum()
        if self.basis is not None:
            gradient[n_directions:] = (self.basis @ residual).ravel()
        return float((losses * self.weights).sum()), gradient

    def curvature(self, values: FloatArray, work: FloatArray) -> FloatArray:
        """Second derivatives of `loss`, which takes the same arguments; with shifts.

        With p the softmax of a row and J the derivatives of its scores, they are the
        sum of the weighted J' diag(p) J - (J'p)(J'p)'.
        """
        self.loss(values, work)
        n_rows, n_classes = self.fixed.shape
        size, n = self.fixed.size, len(self.directions)
        p, spare = work[:, :size].reshape(2, n_classes, n_rows).transpose(0, 2, 1)
        p[np.arange(n_rows), self.y] += self.weights  # the residual lacks them
        basis, root = np.asarray(self.basis), np.sqrt(self.weights)
        # J'p, rows side by side.
        means = np.empty((len(values), n_rows))
        second = np.zeros((len(values), len(values)))
        for i, direction in enumerate(self.directions):
            np.multiply(p, direction, out=spare)
            means[i] = spare.sum(axis=1) / root
            second[i, n:] = (basis @ spare).ravel()
            second[i, :n] = [np.sum(spare * other) for other in self.directions]
        second[n:, :n] = second[:n, n:].T
        for scale, part in zip(basis / root, np.split(means[n:], 2), strict=True):
            np.multiply(p.T, scale, out=part)
        second -= means @ means.T
        at = np.arange(n_classes)
        for i, j in np.ndindex(2, 2):
            second[n + i * n_classes + at, n + j * n_classes + at] += (
                basis[i] * basis[j]
            ) @ p
        return second


def _prior_scores(
    held_out: LeaveOneOut, calibration: Calibration, log_count: FloatArray
) -> FloatArray:
    """The formula without any block of features."""
    prior = replace(calibration, beta=np.zeros(0))
    return prior.scores([], held_out.norms[:, None], log_count, held_out.log_norm)


def _independent_steps(second: FloatArray, n_bounded: int) -> NDArray[np.float64]:
    """Combinations of values whose second derivatives are one, by those of the values.

    Each of the first `n_bounded` changes one of the bounded values and what follows it
    of the others, which have a Cholesky factor; these are independent of each other.
    """
    second = second + 1e-10 * second.diagonal().max() * np.eye(len(second))
    bounded, others = slice(n_bounded), slice(n_bounded, None)
    root = np.linalg.cholesky(second[others, others])
    inverse = scipy.linalg.solve_triangular(root, np.eye(len(root)), lower=True)
    follows = -inverse.T @ (inverse @ second[others, bounded])
    rest = second[bounded, bounded] + second[bounded, others] @ follows
    scale = 1.0 / np.sqrt(rest.diagonal())
    steps = np.zeros(second.shape)
    steps[bounded, bounded] = np.diag(scale)
    steps[others, bounded] = follows * scale
    steps[others, others] = inverse.T
    return steps


def _even_steps(
    form: _LinearForm, held_out: LeaveOneOut, prior_weight: float
) -> NDArray[np.float64]:
    """Changes of single values of about the same curvature, to start L-BFGS with."""
    counted = np.full(len(form.units), held_out.weights.sum())
    if form.relative is not None:
        rows_of = np.bincount(held_out.y, held_out.weights, form.fixed.shape[1])
        counted[form.n_directions :] = np.tile(rows_of, 2)
    return np.asarray(1.0 / np.sqrt(prior_weight + _LEFT_VARIANCE * counted))


def _minimised(
    form: _LinearForm,
    held_out: LeaveOneOut,
    prior_weight: float,
    tol: float,
    warm: WarmStart | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Values of least loss with their priors, and the loss alone."""
    total_weight = float(held_out.weights.sum())
    chunks = _Chunk.all_of(form, held_out)
    work = np.empty((2, max(chunk.fixed.size for chunk in chunks)))
    # Roots of the weights of the squares of values.
    priors = np.full(len(form.units), np.sqrt(prior_weight))
    priors[: len(form.bounds)] = 0.0
    priors[: form.n_betas] = np.sqrt(prior_weight * _BETA_PRIOR)

    def loss_at(values: FloatArray) -> tuple[float, FloatArray]:
        # Chunks of rows stay in cache from the scores to the last product with them.
        loss, gradient = 0.0, np.zeros(len(values))
        for chunk in chunks:
            part, slopes = chunk.loss(values, work)
            loss += part
            gradient += slopes
        return loss, gradient

    # Values are `origin` plus the product of `steps` and the point.
    even = _even_steps(form, held_out, prior_weight)
    origin, steps, point = np.zeros(len(even)), sp.diags_array(even), form.first / even
    if warm is not None and warm.values is not None:
        origin, point, tol = warm.values, point * 0.0, _WARM_TOL
        if warm.steps is None:
            second = sum(chunk.curvature(origin, work) for chunk in chunks)
            second += np.diag(priors**2)
            warm.steps = _independent_steps(second / total_weight, len(form.bounds))
        steps = warm.steps

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        values = origin + steps @ point
        loss, gradient = loss_at(values)
        loss += 0.5 * float(((priors * values) ** 2).sum())
        gradient += priors * (priors * values)
        return loss / total_weight, steps.T @ gradient / total_weight

    values = origin + steps @ point
    if values.size:
        bounds: list[Any] = [
            ((low - start) / step, None if high is None else (high - start) / step)
            for (low, high), start, step in zip(
                form.bounds, origin, steps.diagonal(), strict=False
            )
        ]
        point = scipy.optimize.minimize(
            objective,
            point,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds + [(None, None)] * (len(values) - len(bounds)),
            options={"maxiter": 500, "ftol": tol, "gtol": 1e-8},
        ).x
        values = origin + steps @ point
        for i, bound in enumerate(form.bounds):
            values[i] = np.clip(values[i], *bound)  # from rounding
    if warm is not None:
        # From zero, where a gradient may vanish, no beta would ever rise again.
        rises = bool((values[: form.n_betas] > 0).all())
        warm.values = values if rises else None
    return values * form.units, loss_at(values)[0] / total_weight
