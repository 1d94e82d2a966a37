"""L-BFGS on the log-loss of all rows, preconditioned where features are dense and few.

The Hessian of the log-loss is at most 1/2 (I - 11'/N) (x) H'H/M (Boehning, 1992). With
the Cholesky factor R of the centred Gram matrix, 1/2 H'H/M = R R', the objective is
minimised over V = R'W, where that bound is the identity: a few iterations then do what
takes hundreds on raw pixels. The Gram matrix of some thousand rows serves as well as
that of all; a tenth of its mean diagonal is added, which keeps the step along
directions of little variance small.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse as sp

from explicit_softmax.solution.counts import FloatArray, row_blocks
from explicit_softmax.solution.loss import cross_entropy_residual
from explicit_softmax.training.problem import Monitor, Problem, sample_rows

# Above this many features the Gram matrix and its factor cost more than they save.
_MOST_FEATURES = 2048
_DAMPING = 0.1
_CHUNK_VALUES = 2**21


def minimise(
    problem: Problem,
    monitor: Monitor,
    intercept: FloatArray,
    max_iter: int,
    gradient_tol: float,
) -> None:
    """Run L-BFGS until `monitor`, the gradient, or the limit ends it."""
    n_features, n_classes = problem.start.shape
    centre = problem.centre
    dtype = problem.start.dtype
    to_weights = _preconditioner(problem)

    def unpack(point: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weights and intercept, from the departure in preconditioned coordinates."""
        moved = point.reshape(n_features + 1, n_classes)
        weights = problem.start + (to_weights @ moved[:-1]).astype(dtype)
        offset = intercept + moved[-1]
        if centre is not None:
            offset = offset - (weights - problem.start).T @ centre
        return weights, offset.astype(dtype)

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        weights, offset = unpack(point)
        loss, gradient, sums = _loss_and_gradient(problem, weights, offset)
        if centre is not None:
            gradient -= np.multiply.outer(centre, sums)
        if problem.alpha:
            away = weights.astype(np.float64) - problem.start
            loss += 0.5 * problem.alpha * float((away * away).sum())
            gradient += problem.alpha * away
        return loss, np.vstack((to_weights.T @ gradient, sums)).ravel()

    def after_iteration(intermediate_result: scipy.optimize.OptimizeResult) -> None:
        weights, offset = unpack(intermediate_result.x)
        if monitor.update(
            float(intermediate_result.fun), weights, offset, watch_objective=False
        ):
            raise StopIteration

    found = scipy.optimize.minimize(
        objective,
        np.zeros((n_features + 1) * n_classes),
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


def _loss_and_gradient(
    problem: Problem, weights: FloatArray, offset: FloatArray
) -> tuple[float, FloatArray, FloatArray]:
    """Mean loss, and float64 gradients by weights and by intercepts."""
    X, y = problem.X, problem.y
    n_rows, (n_features, n_classes) = X.shape[0], weights.shape
    gradient = np.zeros((n_features, n_classes))
    sums = np.zeros(n_classes)
    loss = 0.0
    width = n_classes if sp.issparse(X) else max(n_features, n_classes)
    for block in row_blocks(n_rows, width, _CHUNK_VALUES):
        part = X[block]
        scores = part @ weights
        scores += offset
        losses, residual = cross_entropy_residual(scores, y[block])
        if problem.weight is not None:
            residual *= problem.weight[block, None]
            losses *= problem.weight[block]
        loss += float(losses.sum())
        gradient += part.T @ residual
        sums += residual.sum(axis=0)
    return loss / n_rows, gradient / n_rows, sums / n_rows


def _preconditioner(problem: Problem) -> FloatArray | sp.dia_array:
    """The matrix that takes preconditioned coordinates to weights, R'^-1."""
    X, centre = problem.X, problem.centre
    n_features = X.shape[1]
    if centre is None or n_features > _MOST_FEATURES:
        scale = np.full(n_features, 1.0 / problem.unit)
        return sp.dia_array((scale[None, :], [0]), shape=(n_features, n_features))
    sample, share = sample_rows(X, problem.weight)
    sample = (sample - centre) * np.sqrt(share, dtype=sample.dtype)[:, None]
    gram = 0.5 * (sample.T @ sample).astype(np.float64)
    gram.flat[:: n_features + 1] += problem.alpha + 0.5 * _DAMPING * problem.unit**2
    factor = scipy.linalg.cholesky(gram, lower=True)
    return np.asarray(
        scipy.linalg.solve_triangular(factor, np.eye(n_features), lower=True)
    ).T
