"""Mini-batch Adagrad and gradient descent on the log-loss, rows dense or sparse."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from explicit_softmax.core.cooccurrence import FloatArray
from explicit_softmax.core.loss import cross_entropy_residual
from explicit_softmax.core.refinement_state import Monitor, Problem


class _Steps:
    """Steps on one array of parameters, all of it or some of its rows at a time.

    The mean over an epoch is kept as a correction: after T steps it is the last value
    less sum_t (t - 1)/T step_t, which for sparse rows costs no more than the steps.
    """

    def __init__(
        self,
        values: FloatArray,
        step: float,
        adaptive: bool,
        average: bool,
        least: float,
    ) -> None:
        self.values = values
        self.step = step
        self.least = least
        self.squares = np.zeros_like(values) if adaptive else None
        self.correction = np.zeros_like(values) if average else None
        self.n_steps = 0

    def take(self, gradient: FloatArray, at: FloatArray | slice) -> None:
        """Step along -gradient at rows `at`; overwrites the gradient."""
        if self.squares is not None:
            squares = self.squares[at] + gradient * gradient
            self.squares[at] = squares
            gradient /= np.sqrt(squares) + self.least
        gradient *= self.step
        self.values[at] -= gradient
        if self.correction is not None:
            gradient *= self.n_steps
            self.correction[at] -= gradient
        self.n_steps += 1

    def epoch_mean(self) -> FloatArray:
        """Mean of the values over the steps since the last call, or the last values."""
        if self.correction is None:
            return self.values.copy()
        mean = self.values - self.correction / max(self.n_steps, 1)
        self.correction[...] = 0
        self.n_steps = 0
        return mean


def descend(
    problem: Problem,
    monitor: Monitor,
    intercept: FloatArray,
    *,
    adaptive: bool,
    step: float,
    batch_size: int,
    max_iter: int,
    shuffle: bool,
    average: bool,
) -> None:
    """Run epochs until `monitor` stops them.

    With sparse rows a batch reads and writes the weights of its own features only. The
    penalty then falls due at those features, multiplied by one over the probability
    that a batch has them, so that its expectation is that of the objective.
    """
    rows, codes, centre = problem.rows, problem.codes, problem.centre
    n_rows = rows.shape[0]
    sparse = sp.issparse(rows)
    # Gradients scale with the features, the guard against division by zero with them.
    least = 1e-10 * problem.unit
    weights = _Steps(problem.start.copy(), step, adaptive, average, least)
    # The intercept of centred features, with a step in its own unit.
    shift = intercept if centre is None else intercept + centre @ problem.start
    offset_step = step * (problem.unit if adaptive else problem.row_square)
    offset = _Steps(shift, offset_step, adaptive, average, 1e-10)
    due = _inverse_touch_probability(rows, batch_size) if sparse else None
    order = np.arange(n_rows)
    everywhere = slice(None)
    for _ in range(max_iter):
        if shuffle:
            order = problem.rng.permutation(n_rows)
        total = 0.0
        for first in range(0, n_rows, batch_size):
            members = order[first : first + batch_size]
            at: FloatArray | slice = everywhere
            batch = rows[members]
            if sparse:
                batch, at = _narrow(batch)
            current = weights.values[at]
            scores = batch @ current
            scores += offset.values
            if centre is not None:
                scores -= centre @ current
            losses, residual = cross_entropy_residual(scores, codes[members])
            if problem.weight is not None:
                residual *= problem.weight[members, None]
                losses *= problem.weight[members]
            residual /= len(members)
            total += float(losses.sum())
            sums = residual.sum(axis=0)
            gradient = batch.T @ residual
            if centre is not None:
                gradient -= centre[:, None] * sums
            if problem.alpha:
                pull = problem.alpha * (current - problem.start[at])
                gradient += pull if due is None else pull * due[at, None]
            weights.take(gradient, at)
            offset.take(sums, everywhere)
        weight_mean, offset_mean = weights.epoch_mean(), offset.epoch_mean()
        loss = total / n_rows
        if problem.alpha:
            away = weight_mean - problem.start
            loss += 0.5 * problem.alpha * float(np.vdot(away, away))
        if centre is not None:
            offset_mean = offset_mean - centre @ weight_mean
        if monitor.update(loss, weight_mean, offset_mean):
            return


def _narrow(batch: sp.csr_array) -> tuple[sp.csr_array, FloatArray]:
    """The batch over its own features only, and which these are."""
    touched, column = np.unique(batch.indices, return_inverse=True)
    shape = (batch.shape[0], touched.size)
    return sp.csr_array(
        (batch.data, column.ravel(), batch.indptr), shape=shape
    ), touched


def _inverse_touch_probability(rows: sp.csr_array, batch_size: int) -> FloatArray:
    """One over the probability that a batch holds a non-zero of each feature."""
    share = np.bincount(rows.indices, minlength=rows.shape[1]) / rows.shape[0]
    touched = -np.expm1(batch_size * np.log1p(-np.minimum(share, 1 - 1e-12)))
    inverse = np.divide(1.0, touched, out=np.ones_like(touched), where=touched > 0)
    return np.asarray(inverse, dtype=rows.dtype)
