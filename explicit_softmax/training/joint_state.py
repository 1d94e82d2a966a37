"""What the solvers of joint training share: problem, stopping rules, and result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows
from explicit_softmax.training.backpropagation import network_log_loss
from explicit_softmax.training.problem import Monitor

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

    X: Rows
    y: IntArray
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


class JointMonitor(Monitor):
    """The same stopping rules and curves for layers; their arrays stay as they are."""

    def _give(self, weights: Arrays, intercept: Arrays) -> None:
        self.result.weights, self.result.intercepts = weights, intercept

    def _validation_loss(self, weights: Arrays, intercept: Arrays) -> float:
        assert self.validation is not None
        return network_log_loss(weights, intercept, *self.validation)

    def _frozen(self, weights: Arrays, intercept: Arrays) -> tuple[Arrays, Arrays]:
        return weights, intercept
