"""L-BFGS on the log-loss of all rows, preconditioned for one layer of few features.

The Hessian of the log-loss of one layer is at most 1/2 (I - 11'/N) (x) H'H/M (Boehning,
1992). With the Cholesky factor R of the centred Gram matrix, 1/2 H'H/M = R R', the
objective is minimised over V = R'W, where that bound is the identity: a few iterations
then do what takes hundreds on raw pixels. The Gram matrix of some thousand rows serves
as well as that of all; a tenth of its mean diagonal is added, which keeps the step
along directions of little variance small.

Sparse or many features, and all inputs of several layers, are divided by their root
mean square only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse as sp

from explicit_softmax.solution.counts import FloatArray, row_blocks
from explicit_softmax.training.problem import (
    Arrays,
    Monitor,
    Problem,
    backpropagate,
    sample_rows,
)

# Above this many features the Gram matrix and its factor cost more than they save.
_MOST_FEATURES = 2048
_DAMPING = 0.1
_CHUNK_VALUES = 2**21


def minimise(
    problem: Problem, monitor: Monitor, max_iter: int, gradient_tol: float
) -> None:
    """Run L-BFGS until `monitor`, the gradient, or the limit ends it.

    It runs over the departures of all layers from their starts, in preconditioned
    coordinates, with intercepts of centred features.
    """
    dtype = problem.weights[0].dtype
    to_weights = _preconditioners(problem)
    # A row of coordinates for each input, and one for the intercept.
    sizes = [start.size + start.shape[1] for start in problem.weights]
    stops = np.cumsum(sizes)

    def unpack(point: FloatArray) -> tuple[Arrays, Arrays]:
        """Weights and intercepts of all layers."""
        weights, intercepts = [], []
        for depth, part in enumerate(np.split(point, stops[:-1])):
            start, scale = problem.weights[depth], problem.scales[depth]
            moved = part.reshape(-1, start.shape[1])
            weight = start + (to_weights[depth] @ moved[:-1]).astype(dtype)
            shift = moved[-1] - scale.mean_scores(weight - start)
            weights.append(weight)
            intercepts.append((problem.intercepts[depth] + shift).astype(dtype))
        return tuple(weights), tuple(intercepts)

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        weights, intercepts = unpack(point)
        loss, gradients, sums = _loss_and_gradients(problem, weights, intercepts)
        parts = []
        for depth, gradient in enumerate(gradients):
            if problem.alpha:
                gradient += problem.alpha * (weights[depth] - problem.weights[depth])
            parts += [(to_weights[depth].T @ gradient).ravel(), sums[depth]]
        return loss + problem.penalty(weights), np.concatenate(parts)

    def after_iteration(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        loss = float(intermediate_result.fun)
        if monitor.update(loss, *unpack(intermediate_result.x)):
            raise StopIteration

    found = scipy.optimize.minimize(
        objective,
        np.zeros(stops[-1]),
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
    monitor.check_finite(found.fun)
    if found.status == 0:
        monitor.result.converged = True


def _loss_and_gradients(
    problem: Problem, weights: Arrays, intercepts: Arrays
) -> tuple[float, list[FloatArray], list[FloatArray]]:
    """Mean loss, and float64 gradients by weights and by intercepts of each layer.

    Gradients are those of centred features: they hold the scores of the mean inputs
    fixed, not the intercept.
    """
    n_rows, n_features = problem.X.shape
    gradients = [np.zeros(weight.shape) for weight in weights]
    sums = [np.zeros(intercept.shape) for intercept in intercepts]
    width = max(weight.shape[1] for weight in weights)
    if not sp.issparse(problem.X):
        width = max(width, n_features)
    loss = 0.0
    for block in row_blocks(n_rows, width, _CHUNK_VALUES):
        losses, inputs, residuals = backpropagate(problem, weights, intercepts, block)
        loss += float(losses.sum())
        for depth, residual in enumerate(residuals):
            gradients[depth] += inputs[depth].T @ residual
            sums[depth] += residual.sum(axis=0)
    for depth, scale in enumerate(problem.scales):
        gradients[depth] /= n_rows
        sums[depth] /= n_rows
        if scale.mean is not None:
            gradients[depth] -= np.multiply.outer(scale.mean, sums[depth])
    return loss / n_rows, gradients, sums


def _preconditioners(problem: Problem) -> list[Any]:
    """Matrix of each layer that takes coordinates to weights: R'^-1, or diagonal."""
    mean = problem.scales[0].mean
    n_features = problem.X.shape[1]
    if len(problem.scales) > 1 or mean is None or n_features > _MOST_FEATURES:
        return [
            sp.diags_array(np.full(start.shape[0], 1.0 / scale.rms))
            for start, scale in zip(problem.weights, problem.scales, strict=True)
        ]
    sample, share = sample_rows(problem.X, problem.sample_weight)
    sample = (sample - mean) * np.sqrt(share, dtype=sample.dtype)[:, None]
    gram = 0.5 * (sample.T @ sample).astype(np.float64)
    ridge = 0.5 * _DAMPING * problem.scales[0].rms ** 2
    gram.flat[:: n_features + 1] += problem.alpha + ridge
    factor = scipy.linalg.cholesky(gram, lower=True)
    inverse = scipy.linalg.solve_triangular(factor, np.eye(n_features), lower=True)
    return [np.asarray(inverse).T]
