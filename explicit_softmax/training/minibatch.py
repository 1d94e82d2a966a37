"""Mini-batch Adagrad and gradient descent on the log-loss of rows read in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from explicit_softmax.solution.counts import (
    FloatArray,
    IntArray,
    Rows,
    row_blocks,
    without_empty_columns,
)
from explicit_softmax.training.problem import Monitor, Problem, backpropagate

# Weights of a batch of sparse rows that are updated at a time: they stay in cache.
_WEIGHTS_AT_A_TIME = 2**18

# Rows whose features are counted at a time.
_COUNTED_ROWS = 2**18

_EVERYWHERE = slice(None)


@dataclass(frozen=True)
class Steps:
    """What steps are taken: of Adagrad if `adaptive`, in epochs of some of the rows.

    If `average`, the weights of an epoch are their means over it.
    """

    adaptive: bool
    learning_rate: float
    batch_size: int
    shuffle: bool
    average: bool
    samples_per_iter: int


class Parameter:
    """An array of parameters that takes steps, all of it or some rows at a time.

    The squared sums of Adagrad start at `first_square`, and `epsilon` guards the
    division by their roots.

    The mean over an epoch is kept as a correction: after T steps it is the last value
    less sum_t (t - 1)/T step_t, which for sparse rows costs no more than the steps.
    `n_steps`, which the solver advances, counts batches, not calls of `step`.
    """

    def __init__(
        self,
        start: FloatArray,
        step_size: float,
        steps: Steps,
        epsilon: float = 1e-10,
        first_square: float = 0.0,
    ) -> None:
        self.values = start.copy()
        self.step_size = step_size
        self.epsilon = epsilon
        self.squares = np.full_like(start, first_square) if steps.adaptive else None
        self.correction = np.zeros_like(start) if steps.average else None
        self.n_steps = 0

    def step(self, gradient: FloatArray, at: IntArray | slice = _EVERYWHERE) -> None:
        """Step against the gradient at rows `at`; overwrites the gradient."""
        if self.squares is not None:
            squares = self.squares[at] + gradient * gradient
            self.squares[at] = squares
            gradient /= np.sqrt(squares) + self.epsilon
        gradient *= self.step_size
        self.values[at] -= gradient
        if self.correction is not None:
            gradient *= self.n_steps
            self.correction[at] -= gradient

    def epoch_mean(self) -> FloatArray:
        """Mean of the values over the steps since the last call, or the last values."""
        if self.correction is None:
            return self.values.copy()
        mean: FloatArray = self.correction / max(self.n_steps, 1)
        np.subtract(self.values, mean, out=mean)
        self.correction[...] = 0
        self.n_steps = 0
        return mean


class Layer:
    """A layer in training: its weights, and its intercept for centred inputs.

    With sparse rows a batch reads and writes the weights of its own features only, some
    at a time, which keeps the gradients computed for them in cache. The penalty is then
    applied to those features, multiplied by one over the probability that a batch has
    them: its expectation is that of the objective.

    Adagrad divides by the root of the summed squares of the gradients so far, which at
    first makes a full step of the smallest gradient: a feature that is seen for the
    first time would lose evidence for all classes but one. With sparse rows the sums
    start at the square of the gradient of one row that is wrong about a class.
    """

    def __init__(self, problem: Problem, depth: int, steps: Steps) -> None:
        self.start, self.scale = problem.weights[depth], problem.scales[depth]
        self.alpha = problem.alpha
        sparse = depth == 0 and not isinstance(problem.X, np.ndarray)
        self.penalty_factor = None
        if self.alpha and sparse:
            factor = inverse_touch_probability(problem.X, steps.batch_size)
            self.penalty_factor = factor[:, None]
        rms, rate = self.scale.rms, steps.learning_rate
        self.weights = Parameter(
            self.start,
            rate / (rms if steps.adaptive else self.scale.squared_norm),
            steps,
            # Gradients scale with the inputs, and so does the guard against zero.
            epsilon=1e-10 * rms,
            first_square=(rms / steps.batch_size) ** 2 if sparse else 0.0,
        )
        offset = problem.intercepts[depth] + self.scale.mean_scores(self.start)
        self.offset = Parameter(offset, rate, steps)

    def current(self) -> tuple[FloatArray, FloatArray]:
        """Weights and intercept."""
        weights = self.weights.values
        return weights, self.offset.values - self.scale.mean_scores(weights)

    def epoch_mean(self) -> tuple[FloatArray, FloatArray]:
        """Weights and intercept, as `Parameter.epoch_mean`."""
        weights = self.weights.epoch_mean()
        return weights, self.offset.epoch_mean() - self.scale.mean_scores(weights)

    def step(self, inputs: Rows, residual: FloatArray) -> None:
        """Step against the gradient of a batch."""
        sums = residual.sum(axis=0)
        for part, at in _by_feature(inputs, sums.size):
            gradient = part @ residual
            if self.scale.mean is not None:
                gradient -= self.scale.mean[:, None] * sums
            if self.alpha:
                pull = self.alpha * (self.weights.values[at] - self.start[at])
                if self.penalty_factor is not None:
                    pull *= self.penalty_factor[at]
                gradient += pull
            self.weights.step(gradient, at)
        self.offset.step(sums)
        self.weights.n_steps += 1
        self.offset.n_steps += 1


def descend(problem: Problem, monitor: Monitor, max_iter: int, steps: Steps) -> None:
    """Run epochs until `monitor` stops them."""
    layers = [Layer(problem, depth, steps) for depth in range(len(problem.weights))]
    for epoch in islice(_epochs(problem, steps), max_iter):
        total = 0.0
        for first in range(0, epoch.size, steps.batch_size):
            total += _step(problem, layers, epoch[first : first + steps.batch_size])
        means = (layer.epoch_mean() for layer in layers)
        weights, intercepts = zip(*means, strict=True)
        loss = total / epoch.size + problem.penalty(weights)
        if monitor.update(loss, weights, intercepts):
            return
    if not monitor.watches:
        monitor.result.converged = True


def _step(problem: Problem, layers: list[Layer], members: IntArray) -> float:
    """Step of all layers on a batch of rows; the sum of its losses before the step."""
    # Rows are let go before others are read: one batch stays in cache, two may not.
    weights, intercepts = zip(*(layer.current() for layer in layers), strict=True)
    losses, inputs, residuals = backpropagate(problem, weights, intercepts, members)
    for layer, rows, residual in zip(layers, inputs, residuals, strict=True):
        residual /= len(members)
        layer.step(rows, residual)
    return float(losses.sum())


def _by_feature(
    inputs: Rows, n_outputs: int
) -> Iterable[tuple[Rows, IntArray | slice]]:
    """Parts of the transposed inputs, and the rows of the weights they belong to."""
    if isinstance(inputs, np.ndarray):
        return [(inputs.T, _EVERYWHERE)]
    narrow, touched = without_empty_columns(inputs)
    by_feature = narrow.T.tocsr()
    parts = row_blocks(touched.size, n_outputs, _WEIGHTS_AT_A_TIME)
    return ((by_feature[part], touched[part]) for part in parts)


def _epochs(problem: Problem, steps: Steps) -> Iterator[IntArray]:
    """Row numbers of each epoch, without end: each starts where the last one ended."""
    n_rows = problem.X.shape[0]
    size = min(steps.samples_per_iter, n_rows)
    order = np.zeros(0, dtype=np.int64)
    while True:
        new = problem.rng.permutation(n_rows) if steps.shuffle else np.arange(n_rows)
        order = np.concatenate((order, new))
        while order.size >= size:
            yield order[:size]
            order = order[size:]


def inverse_touch_probability(X: Rows, batch_size: int) -> FloatArray:
    """One over the probability that a batch holds a non-zero of each feature."""
    n_rows, n_features = X.shape
    counts = np.zeros(n_features, dtype=np.int64)
    for chunk in row_blocks(n_rows, 1, _COUNTED_ROWS):
        counts += np.bincount(X[chunk].indices, minlength=n_features)
    share = np.minimum(counts / n_rows, 1 - 1e-12)
    touched = -np.expm1(batch_size * np.log1p(-share))
    inverse = np.divide(1.0, touched, out=np.ones_like(touched), where=touched > 0)
    return np.asarray(inverse, dtype=X.dtype)
