"""What the solvers of a refinement share: problem, stopping rules, and result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss

# (iteration, weights, intercept) -> true to stop
IterationCallback: TypeAlias = Callable[[int, FloatArray, FloatArray], bool | None]

# Rows that estimate means, scales, and Gram matrices.
_SAMPLE_ROWS = 8192


@dataclass(eq=False)
class Refinement:
    """Result of `refine`.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_classes)
        Refined decoder.
    intercept : ndarray of shape (n_classes,)
        Refined intercepts.
    loss_curve : list of float
        Objective by iteration: over the mini-batches of an epoch as they came, or of
        all rows for ``solver="lbfgs"``.
    validation_curve : list of float
        Log-loss of the validation rows by iteration; empty without such rows.
    n_iter : int
        Epochs or L-BFGS iterations.
    converged : bool
        Whether a stopping rule ended the iterations, not their limit.
    """

    weights: FloatArray
    intercept: FloatArray
    loss_curve: list[float] = field(default_factory=list)
    validation_curve: list[float] = field(default_factory=list)
    n_iter: int = 0
    converged: bool = False


@dataclass(eq=False)
class Problem:
    """Rows, targets, and the start of a refinement; what every solver reads.

    `centre` is None where features are not centred; `unit` is the root mean square of a
    (centred) feature, of a non-zero one where rows are sparse; `row_square` is the mean
    square norm of a (centred) row; `rng` has `permutation`.
    """

    X: Rows
    y: IntArray
    weight: FloatArray | None
    alpha: float
    start: FloatArray
    centre: FloatArray | None
    unit: float
    row_square: float
    rng: Any


class Monitor:
    """Stopping rules and curves that the solvers share.

    An iteration improves if the watched loss, that of validation rows or else the
    objective, falls by at least `tol`. With validation rows the best weights are kept.
    """

    def __init__(
        self,
        result: Any,
        validation: tuple[Rows, IntArray, FloatArray | None] | None,
        tol: float,
        patience: int,
        callback: Callable[..., bool | None] | None,
    ) -> None:
        self.result = result
        self.validation = validation
        self.tol = tol
        self.patience = patience
        self.callback = callback
        self._best = np.inf
        self._stale = 0
        self._best_weights: tuple[Any, Any] | None = None

    def update(
        self,
        loss: float,
        weights: Any,
        intercept: Any,
        *,
        watch_objective: bool = True,
    ) -> bool:
        """Record an iteration; true if it should be the last."""
        result = self.result
        result.n_iter += 1
        result.loss_curve.append(float(loss))
        self._give(weights, intercept)
        watched = loss
        if self.validation is not None:
            watched = self._validation_loss(weights, intercept)
            result.validation_curve.append(watched)
        stop = False
        if not np.isfinite(watched):
            raise FloatingPointError(
                "the log-loss is not finite: choose a smaller learning_rate_init"
            )
        if self.validation is not None or watch_objective:
            self._stale = 0 if watched <= self._best - self.tol else self._stale + 1
            stop = self._stale >= self.patience
            result.converged = stop
        if watched < self._best:
            self._best = watched
            if self.validation is not None:
                self._best_weights = self._frozen(weights, intercept)
        if self.callback is not None:
            stop = bool(self.callback(result.n_iter, weights, intercept)) or stop
        return stop

    def finish(self) -> Any:
        """The result, with the best weights where validation rows chose them."""
        if self._best_weights is not None:
            self._give(*self._best_weights)
        return self.result

    def _give(self, weights: Any, intercept: Any) -> None:
        self.result.weights, self.result.intercept = weights, intercept

    def _validation_loss(self, weights: Any, intercept: Any) -> float:
        assert self.validation is not None
        return log_loss(Decoder.from_dense(weights, intercept), *self.validation)

    def _frozen(self, weights: Any, intercept: Any) -> tuple[Any, Any]:
        """What solvers do not write to again."""
        return weights.copy(), intercept.copy()


def sample_rows(X: Rows, weight: FloatArray | None) -> tuple[Rows, NDArray[np.float64]]:
    """Some thousand rows, always the same ones, and weights that sum to one.

    Drawn, not taken at regular steps: rows often have a period (the scans of MNIST do).
    """
    n_rows = X.shape[0]
    members = np.arange(min(n_rows, _SAMPLE_ROWS))
    if n_rows > _SAMPLE_ROWS:
        rng = np.random.default_rng(0)
        members = np.sort(rng.choice(n_rows, size=_SAMPLE_ROWS, replace=False))
    weights = np.ones(members.size) if weight is None else weight[members].astype(float)
    return X[members], weights / weights.sum()
