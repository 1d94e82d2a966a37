"""Solvers of joint training: mini-batch Adagrad, and L-BFGS on all rows."""

from __future__ import annotations

import numpy as np
import scipy.optimize
import scipy.sparse as sp

from explicit_softmax.solution.counts import FloatArray, row_blocks
from explicit_softmax.training.backpropagation import backpropagate
from explicit_softmax.training.joint_state import JointMonitor, JointProblem
from explicit_softmax.training.minibatch import Steps, inverse_touch_probability

_CHUNK_VALUES = 2**21


def _own_features(batch: sp.csr_array) -> tuple[sp.csr_array, FloatArray]:
    """A batch over the features that it has, and which these are."""
    present, column = np.unique(batch.indices, return_inverse=True)
    shape = (batch.shape[0], present.size)
    narrow = sp.csr_array((batch.data, column.ravel(), batch.indptr), shape=shape)
    return narrow, present


def descend_jointly(
    problem: JointProblem,
    monitor: JointMonitor,
    step: float,
    batch_size: int,
    max_iter: int,
    shuffle: bool,
    average: bool,
) -> None:
    """Epochs of Adagrad.

    Sparse rows take steps on the weights of their own features only. As in `minibatch`,
    the penalty falls due there, over the probability of the feature in a batch, and
    sums of squares start at that of a row that is wrong, so that features first seen
    late do not lose their evidence at once.
    """
    X, y, centre = problem.X, problem.y, problem.centre
    n_rows = X.shape[0]
    sparse = sp.issparse(X)
    first_square = (problem.units[0] / batch_size) ** 2 if sparse else 0.0
    weights = [
        Steps(
            start.copy(),
            step / unit,
            True,
            average,
            1e-10 * unit,
            0.0 if depth else first_square,
        )
        for depth, (start, unit) in enumerate(
            zip(problem.weights, problem.units, strict=True)
        )
    ]
    shifts = [intercept.copy() for intercept in problem.intercepts]
    if centre is not None:
        shifts[0] += centre @ problem.weights[0]
    offsets = [Steps(shift, step, True, average, 1e-10) for shift in shifts]
    due: FloatArray | None = None
    if problem.alpha and sparse:
        due = inverse_touch_probability(X, batch_size)
    order = np.arange(n_rows)
    everywhere = slice(None)
    for _ in range(max_iter):
        if shuffle:
            order = problem.rng.permutation(n_rows)
        total = 0.0
        for first in range(0, n_rows, batch_size):
            members = order[first : first + batch_size]
            at: FloatArray | slice = everywhere
            batch = X[members]
            if sparse:
                batch, at = _own_features(batch)
            current = [steps.values for steps in weights]
            current[0] = current[0][at]
            share: FloatArray | float = 1.0 / len(members)
            if problem.weight is not None:
                share = problem.weight[members, None] / len(members)
            losses, gradients, sums = backpropagate(
                current,
                [steps.values for steps in offsets],
                batch,
                y[members],
                share,
                centre,
            )
            if problem.weight is not None:
                losses *= problem.weight[members]
            total += float(losses.sum())
            for depth, gradient in enumerate(gradients):
                place = everywhere if depth else at
                if problem.alpha:
                    start = problem.weights[depth][place]
                    pull = problem.alpha * (current[depth] - start)
                    gradient += pull if due is None or depth else pull * due[at, None]
                weights[depth].take(gradient, place)
                offsets[depth].take(sums[depth], everywhere)
            for steps in (*weights, *offsets):
                steps.n_steps += 1
        means = [steps.epoch_mean() for steps in weights]
        loss = total / n_rows + problem.penalty(means)
        layers = problem.plain(means, [steps.epoch_mean() for steps in offsets])
        if monitor.update(loss, *layers):
            return


def minimise_jointly(
    problem: JointProblem, monitor: JointMonitor, max_iter: int, gradient_tol: float
) -> None:
    """L-BFGS over the departures of all layers from their starts, in their units."""
    centre, dtype = problem.centre, problem.weights[0].dtype
    shapes = [start.shape for start in problem.weights]
    sizes = [(n_inputs + 1) * n_outputs for n_inputs, n_outputs in shapes]
    cuts = np.cumsum(sizes)[:-1]
    shifts = list(problem.intercepts)
    if centre is not None:
        shifts[0] = shifts[0] + centre @ problem.weights[0]

    def unpack(point: FloatArray) -> tuple[list[FloatArray], list[FloatArray]]:
        """Weights, and intercepts of centred features."""
        weights, offsets = [], []
        for depth, part in enumerate(np.split(point, cuts)):
            moved = part.reshape(-1, shapes[depth][1]).astype(dtype)
            moved[:-1] /= problem.units[depth]
            weights.append(problem.weights[depth] + moved[:-1])
            offsets.append(shifts[depth] + moved[-1])
        return weights, offsets

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        weights, offsets = unpack(point)
        loss, gradients, sums = _all_rows(problem, weights, offsets)
        parts = []
        for depth, gradient in enumerate(gradients):
            if problem.alpha:
                away = weights[depth] - problem.weights[depth]
                gradient += problem.alpha * away
            gradient /= problem.units[depth]
            parts += [gradient.ravel(), sums[depth]]
        return loss + problem.penalty(weights), np.concatenate(parts)

    def after_iteration(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        layers = problem.plain(*unpack(intermediate_result.x))
        loss = float(intermediate_result.fun)
        if monitor.update(loss, *layers, watch_objective=False):
            raise StopIteration

    found = scipy.optimize.minimize(
        objective,
        np.zeros(sum(sizes)),
        jac=True,
        method="L-BFGS-B",
        callback=after_iteration,
        options={
            "maxiter": max_iter,
            "maxfun": 10 * max_iter + 50,
            "gtol": gradient_tol,
            "ftol": 64 * float(np.finfo(dtype).eps),
        },
    )
    if found.status == 0:
        monitor.result.converged = True


def _all_rows(
    problem: JointProblem, weights: list[FloatArray], offsets: list[FloatArray]
) -> tuple[float, list[FloatArray], list[FloatArray]]:
    """Mean loss, and float64 gradients by weights and by intercepts."""
    n_rows, n_features = problem.X.shape
    gradients = [np.zeros(weight.shape) for weight in weights]
    sums = [np.zeros(offset.shape) for offset in offsets]
    widths = [weight.shape[1] for weight in weights]
    if not sp.issparse(problem.X):
        widths.append(n_features)
    loss = 0.0
    for block in row_blocks(n_rows, max(widths), _CHUNK_VALUES):
        share = None if problem.weight is None else problem.weight[block]
        losses, more, sums_more = backpropagate(
            weights,
            offsets,
            problem.X[block],
            problem.y[block],
            1.0 if share is None else share[:, None],
            problem.centre,
        )
        loss += float(losses.sum() if share is None else losses @ share)
        for depth in range(len(weights)):
            gradients[depth] += more[depth]
            sums[depth] += sums_more[depth]
    for depth in range(len(weights)):
        gradients[depth] /= n_rows
        sums[depth] /= n_rows
    return loss / n_rows, gradients, sums
