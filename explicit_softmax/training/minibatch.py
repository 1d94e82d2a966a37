"""Mini-batch Adagrad and gradient descent on the log-loss, rows dense or sparse.

Rows are read in batches, so that windows may be made into features batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import scipy.sparse as sp

from explicit_softmax.solution.counts import (
    FloatArray,
    IntArray,
    Rows,
    row_blocks,
)
from explicit_softmax.solution.loss import cross_entropy_residual
from explicit_softmax.training.problem import Monitor, Problem

# Weights of a batch of sparse rows that take their steps at a time: they stay in cache.
_WEIGHTS_AT_A_TIME = 2**18

# Rows whose features are counted at a time.
_COUNTED_ROWS = 2**18


class Steps:
    """Steps on one array of parameters, all of it or some of its rows at a time.

    `n_steps`, which the solver advances, counts batches and not calls of `take`.

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
        first_square: float = 0.0,
    ) -> None:
        self.values = values
        self.step = step
        self.least = least
        self.squares = np.full_like(values, first_square) if adaptive else None
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
    epoch_size: int | None = None,
) -> None:
    """Run epochs, of all rows or of `epoch_size`, until `monitor` stops them.

    With sparse rows a batch reads and writes the weights of its own features only, some
    at a time, so that what is computed for them stays in cache. The penalty then falls
    due at those features, multiplied by one over the probability that a batch has them,
    so that its expectation is that of the objective.

    Adagrad divides by the root of the summed squares of the gradients so far, which at
    first makes a full step of the smallest gradient: a feature that is seen for the
    first time would lose evidence for all classes but one. With sparse rows the sums
    therefore start at the square of the gradient of one row that is wrong about a
    class.
    """
    X, y, centre = problem.X, problem.y, problem.centre
    sparse = not isinstance(X, np.ndarray)
    # Gradients scale with the features, the guard against division by zero with them.
    least = 1e-10 * problem.unit
    first_square = (problem.unit / batch_size) ** 2 if sparse else 0.0
    weights = Steps(problem.start.copy(), step, adaptive, average, least, first_square)
    # The intercept of centred features, with a step in its own unit.
    shift = intercept if centre is None else intercept + centre @ problem.start
    offset_step = step * (problem.unit if adaptive else problem.row_square)
    offset = Steps(shift, offset_step, adaptive, average, 1e-10)
    due: FloatArray | None = None
    if problem.alpha and sparse:
        due = inverse_touch_probability(X, batch_size)
    everywhere = slice(None)
    for order in islice(_epochs(problem, epoch_size, shuffle), max_iter):
        total = 0.0
        for first in range(0, order.size, batch_size):
            members = order[first : first + batch_size]
            batch = X[members]
            scores = batch @ weights.values
            scores += offset.values
            if centre is not None:
                scores -= centre @ weights.values
            losses, residual = cross_entropy_residual(scores, y[members])
            if problem.weight is not None:
                residual *= problem.weight[members, None]
                losses *= problem.weight[members]
            residual /= len(members)
            total += float(losses.sum())
            sums = residual.sum(axis=0)
            for part, at in (
                _by_feature(batch, intercept.size)
                if sparse
                else [(batch.T, everywhere)]
            ):
                gradient = part @ residual
                if centre is not None:
                    gradient -= centre[:, None] * sums
                if problem.alpha:
                    pull = problem.alpha * (weights.values[at] - problem.start[at])
                    gradient += pull if due is None else pull * due[at, None]
                weights.take(gradient, at)
            offset.take(sums, everywhere)
            weights.n_steps += 1
            offset.n_steps += 1
        weight_mean, offset_mean = weights.epoch_mean(), offset.epoch_mean()
        loss = total / order.size
        if problem.alpha:
            away = weight_mean - problem.start
            loss += 0.5 * problem.alpha * float(np.vdot(away, away))
        if centre is not None:
            offset_mean = offset_mean - centre @ weight_mean
        if monitor.update(loss, weight_mean, offset_mean):
            return


def _by_feature(
    batch: sp.csr_array, n_classes: int
) -> Iterator[tuple[sp.csr_array, IntArray]]:
    """Parts of the transposed batch: some of its own features, and which these are."""
    touched, column = np.unique(batch.indices, return_inverse=True)
    narrow = sp.csr_array(
        (batch.data, column.ravel(), batch.indptr),
        shape=(batch.shape[0], touched.size),
    )
    by_feature = narrow.T.tocsr()
    for part in row_blocks(touched.size, n_classes, _WEIGHTS_AT_A_TIME):
        yield by_feature[part], touched[part]


def _epochs(
    problem: Problem, epoch_size: int | None, shuffle: bool
) -> Iterator[IntArray]:
    """Rows of each epoch; short epochs go on where the last one ended.

    An epoch in which all rows have had their turn is filled up with the next turn.
    """
    n_rows = problem.X.shape[0]
    size = n_rows if epoch_size is None else min(epoch_size, n_rows)
    left = np.zeros(0, dtype=np.int64)
    while True:
        order = problem.rng.permutation(n_rows) if shuffle else np.arange(n_rows)
        if left.size:
            order = np.concatenate((left, order))
        stop = order.size - order.size % size
        for first in range(0, stop, size):
            yield order[first : first + size]
        left = order[stop:]


def inverse_touch_probability(X: Rows, batch_size: int) -> FloatArray:
    """One over the probability that a batch holds a non-zero of each feature."""
    n_rows, n_features = X.shape
    counts = np.zeros(n_features, dtype=np.int64)
    for chunk in row_blocks(n_rows, 1, _COUNTED_ROWS):
        counts += np.bincount(X[chunk].indices, minlength=n_features)
    share = counts / n_rows
    touched = -np.expm1(batch_size * np.log1p(-np.minimum(share, 1 - 1e-12)))
    inverse = np.divide(1.0, touched, out=np.ones_like(touched), where=touched > 0)
    return np.asarray(inverse, dtype=X.dtype)
