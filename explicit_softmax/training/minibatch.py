"""Mini-batch Adagrad and gradient descent on the log-loss, rows dense or sparse.

Rows are read in batches: windows, for example, become features batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import scipy.sparse as sp

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows, row_blocks
from explicit_softmax.training.problem import Monitor, Problem, backpropagate

# Weights of a batch of sparse rows that are updated at a time: they stay in cache.
_WEIGHTS_AT_A_TIME = 2**18

# Rows whose features are counted at a time.
_COUNTED_ROWS = 2**18

_EVERYWHERE = slice(None)


class Parameter:
    """An array of parameters that takes steps, all of it or some rows at a time.

    Steps are those of Adagrad if `adaptive`, whose squared sums start at `first_square`
    and whose division is guarded by `epsilon`, or else `step_size` times the gradient.

    If `average`, the mean over an epoch is kept as a correction: after T steps it is
    the last value less sum_t (t - 1)/T step_t, which for sparse rows costs no more than
    the steps. `n_steps`, which the solver advances, counts batches, not calls of
    `step`.
    """

    def __init__(
        self,
        start: FloatArray,
        step_size: float,
        adaptive: bool,
        average: bool,
        epsilon: float = 1e-10,
        first_square: float = 0.0,
    ) -> None:
        self.values = start.copy()
        self.step_size = step_size
        self.epsilon = epsilon
        self.squares = np.full_like(start, first_square) if adaptive else None
        self.correction = np.zeros_like(start) if average else None
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
        mean = self.values - self.correction / max(self.n_steps, 1)
        self.correction[...] = 0
        self.n_steps = 0
        return mean


def descend(
    problem: Problem,
    monitor: Monitor,
    *,
    adaptive: bool,
    learning_rate: float,
    batch_size: int,
    max_iter: int,
    shuffle: bool,
    average: bool,
    samples_per_iter: int,
) -> None:
    """Run epochs of `samples_per_iter` rows until `monitor` stops them.

    Intercepts are those of centred features, with steps in their own unit.

    With sparse rows a batch reads and writes the weights of its own features only, some
    at a time, which keeps the gradients computed for them in cache. The penalty is then
    applied to those features, multiplied by one over the probability that a batch has
    them: its expectation is that of the objective.
    """
    X, y, scales = problem.X, problem.y, problem.scales
    weights, offsets = _parameters(
        problem, adaptive, learning_rate, batch_size, average
    )
    penalty_factor = None
    if problem.alpha and not isinstance(X, np.ndarray):
        penalty_factor = inverse_touch_probability(X, batch_size)
    for epoch in islice(_epochs(problem, samples_per_iter, shuffle), max_iter):
        total = 0.0
        for first in range(0, epoch.size, batch_size):
            members = epoch[first : first + batch_size]
            row_weight = problem.sample_weight
            losses, inputs, residuals = backpropagate(
                [weight.values for weight in weights],
                [
                    offset.values - scale.mean_scores(weight.values)
                    for weight, offset, scale in zip(
                        weights, offsets, scales, strict=True
                    )
                ],
                X[members],
                y[members],
                None if row_weight is None else row_weight[members],
                len(members),
            )
            total += float(losses.sum())
            for depth, (weight, offset) in enumerate(
                zip(weights, offsets, strict=True)
            ):
                residual, mean = residuals[depth], scales[depth].mean
                sums = residual.sum(axis=0)
                for part, at in _by_feature(inputs[depth], sums.size):
                    gradient = part @ residual
                    if mean is not None:
                        gradient -= mean[:, None] * sums
                    if problem.alpha:
                        start = problem.weights[depth][at]
                        pull = problem.alpha * (weight.values[at] - start)
                        if penalty_factor is not None and depth == 0:
                            pull *= penalty_factor[at, None]
                        gradient += pull
                    weight.step(gradient, at)
                offset.step(sums)
                weight.n_steps += 1
                offset.n_steps += 1
        means = tuple(weight.epoch_mean() for weight in weights)
        intercepts = tuple(
            offset.epoch_mean() - scale.mean_scores(mean)
            for mean, offset, scale in zip(means, offsets, scales, strict=True)
        )
        loss = total / epoch.size + problem.penalty(means)
        if monitor.update(loss, means, intercepts):
            return
    if not monitor.watches:
        monitor.result.converged = True


def _parameters(
    problem: Problem,
    adaptive: bool,
    learning_rate: float,
    batch_size: int,
    average: bool,
) -> tuple[list[Parameter], list[Parameter]]:
    """Weights of each layer, and its intercept for centred features.

    Adagrad divides by the root of the summed squares of the gradients so far, which at
    first makes a full step of the smallest gradient: a feature that is seen for the
    first time would lose evidence for all classes but one. With sparse rows the sums
    therefore start at the square of the gradient of one row that is wrong about a
    class.
    """
    weights, offsets = [], []
    layers = zip(problem.weights, problem.intercepts, problem.scales, strict=True)
    sparse = not isinstance(problem.X, np.ndarray)
    for start, intercept, scale in layers:
        unit = scale.rms if adaptive else scale.squared_norm
        first_square = (scale.rms / batch_size) ** 2 if sparse else 0.0
        sparse = False  # inputs of later layers are dense
        # Gradients scale with the inputs, and so does the guard against zero.
        epsilon = 1e-10 * scale.rms
        step_size = learning_rate / unit
        weights.append(
            Parameter(start, step_size, adaptive, average, epsilon, first_square)
        )
        offset = intercept + scale.mean_scores(start)
        offsets.append(Parameter(offset, learning_rate, adaptive, average))
    return weights, offsets


def _by_feature(
    inputs: Rows, n_outputs: int
) -> Iterable[tuple[Rows, IntArray | slice]]:
    """Parts of the transposed inputs, and the rows of the weights that they belong to.

    Dense inputs are one part; sparse ones are split into some of their own features.
    """
    if isinstance(inputs, np.ndarray):
        return [(inputs.T, _EVERYWHERE)]
    touched, column = np.unique(inputs.indices, return_inverse=True)
    narrow = sp.csr_array(
        (inputs.data, column.ravel(), inputs.indptr),
        shape=(inputs.shape[0], touched.size),
    )
    by_feature = narrow.T.tocsr()
    parts = row_blocks(touched.size, n_outputs, _WEIGHTS_AT_A_TIME)
    return ((by_feature[part], touched[part]) for part in parts)


def _epochs(problem: Problem, size: int, shuffle: bool) -> Iterator[IntArray]:
    """Row numbers of each epoch, without end.

    Epochs of fewer than all rows take the rows in turns: each starts where the last one
    ended, and one that exhausts the rows goes on with the next order of them.
    """
    n_rows = problem.X.shape[0]
    size = min(size, n_rows)
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
