"""What the solvers of joint training share: problem, stopping rules, and result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from explicit_softmax.core.backpropagation import network_log_loss
from explicit_softmax.core.cooccurrence import FloatArray, IntArray, Rows

Arrays: TypeAlias = tuple[FloatArray, ...]

# (iteration, weights, intercepts) -> true to stop
JointCallback: TypeAlias = Callable[[int, Arrays, Arrays], bool | None]


@dataclass(eq=False)
class JointRefinement:
    """Result of joint training.

    Parameters
    ----------
    weights : tuple of ndarray
        Of each layer, (n_inputs, n_outputs).
    intercepts : tuple of ndarray
        Of each layer, (n_outputs,).
    loss_curve : list of float
        Objective by iteration: over the mini-batches of an epoch as they came, or of
        all rows for L-BFGS.
    validation_curve : list of float
        Log-loss of the validation rows by iteration; empty without such rows.
    n_iter : int
        Epochs or L-BFGS iterations.
    converged : bool
        Whether a stopping rule ended the iterations, not their limit.
    """

    weights: Arrays
    intercepts: Arrays
    loss_curve: list[float] = field(default_factory=list)
    validation_curve: list[float] = field(default_factory=list)
    n_iter: int = 0
    converged: bool = False


@dataclass(eq=False)
class JointProblem:
    """What both solvers read; `units` are root mean squares of the inputs of layers."""

    rows: Rows
    codes: IntArray
    weight: FloatArray | None
    alpha: float
    weights: Arrays
    intercepts: Arrays
    centre: FloatArray | None
    units: list[float]
    rng: Any

    def plain(
        self, weights: Sequence[FloatArray], offsets: Sequence[FloatArray]
    ) -> tuple[Arrays, Arrays]:
        """Layers whose first intercept is that of features as they are."""
        intercepts = list(offsets)
        if self.centre is not None:
            intercepts[0] = offsets[0] - self.centre @ weights[0]
        return tuple(weights), tuple(intercepts)

    def penalty(self, weights: Sequence[FloatArray]) -> float:
        """The part of the objective that is not log-loss."""
        if not self.alpha:
            return 0.0
        return (
            0.5
            * self.alpha
            * sum(
                float(np.vdot(weight - start, weight - start))
                for weight, start in zip(weights, self.weights, strict=True)
            )
        )


class JointMonitor:
    """Stopping rules and curves, as those of `refinement_state.Monitor`."""

    def __init__(
        self,
        result: JointRefinement,
        validation: tuple[Rows, IntArray, FloatArray | None] | None,
        tol: float,
        patience: int,
        callback: JointCallback | None,
    ) -> None:
        self.result = result
        self.validation = validation
        self.tol = tol
        self.patience = patience
        self.callback = callback
        self._best = np.inf
        self._stale = 0
        self._best_layers: tuple[Arrays, Arrays] | None = None

    def update(
        self,
        loss: float,
        weights: Arrays,
        intercepts: Arrays,
        *,
        watch_objective: bool = True,
    ) -> bool:
        """Record an iteration, whose arrays are not written to again; true to stop."""
        result = self.result
        result.n_iter += 1
        result.loss_curve.append(float(loss))
        result.weights, result.intercepts = weights, intercepts
        watched = loss
        if self.validation is not None:
            watched = network_log_loss(weights, intercepts, *self.validation)
            result.validation_curve.append(watched)
        if not np.isfinite(watched):
            raise FloatingPointError(
                "the log-loss is not finite: choose a smaller learning_rate_init"
            )
        stop = False
        if self.validation is not None or watch_objective:
            self._stale = 0 if watched <= self._best - self.tol else self._stale + 1
            stop = result.converged = self._stale >= self.patience
        if watched < self._best:
            self._best = watched
            if self.validation is not None:
                self._best_layers = weights, intercepts
        if self.callback is not None:
            stop = bool(self.callback(result.n_iter, weights, intercepts)) or stop
        return stop

    def finish(self) -> JointRefinement:
        """The result, with the best layers where validation rows chose them."""
        if self._best_layers is not None:
            self.result.weights, self.result.intercepts = self._best_layers
        return self.result
