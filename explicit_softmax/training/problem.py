"""The problem of a refinement: objective, back-propagation, stopping rules, results.

The objective is the mean negative log-likelihood, in nats, of a chain of softmax layers
plus ``alpha / 2`` times the squared distance of all weights from where they started;
intercepts are not penalised. With one layer it is convex.

Notes
-----
Layer l turns its inputs a_l into scores a_l W_l + b_l; every layer but the last takes
their softmax, a_(l+1). The residual of the last layer is r = softmax - one-hot. The
gradients are a_l' r_l for the weights and the sums of r_l for the intercepts, and a
residual passes to the layer below through the Jacobian of the softmax, diag(a) - a a':

    g = r_l W_l',        r_(l-1) = a_l * (g - a_l.g).

Outputs that are nearly certain pass almost nothing down: large steps would drive hidden
layers into corners for good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import (
    cross_entropy_residual,
    log_loss,
    softmax_in_place,
)

Arrays: TypeAlias = tuple[FloatArray, ...]  # one entry per layer
LabelledRows: TypeAlias = tuple[Rows, IntArray, FloatArray | None]

# (iteration, weights, intercepts) -> true to stop
IterationCallback: TypeAlias = Callable[[int, Arrays, Arrays], bool | None]

# Number of rows that means, scales, and Gram matrices are estimated from.
_SAMPLE_ROWS = 8192


@dataclass(eq=False)
class RefinementResult:
    """Layers that a refinement ends with, and how it went by iteration.

    `loss_curve` is the objective, over the mini-batches of an epoch as they came or,
    for L-BFGS, over all rows. `converged` is false if a callback or the limit of
    iterations cut the refinement short.
    """

    weights: Arrays
    intercepts: Arrays
    loss_curve: list[float] = field(default_factory=list)
    validation_curve: list[float] = field(default_factory=list)
    n_iter: int = 0
    converged: bool = False


@dataclass(frozen=True, eq=False)
class InputScale:
    """Location and scale of the inputs of a layer, the units of its steps.

    `mean` is what inputs are centred by, if they are. `rms` is the root mean square of
    an input, of a non-zero one where rows are sparse, and `squared_norm` the mean
    squared norm of a row, both after centring.
    """

    mean: FloatArray | None = None
    rms: float = 1.0
    squared_norm: float = 1.0

    def mean_scores(self, weights: FloatArray) -> FloatArray | float:
        """Scores of the mean inputs: what centring adds to the intercept."""
        return 0.0 if self.mean is None else self.mean @ weights


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows, targets, and the start of a refinement: what every solver reads.

    `weights`, `intercepts`, and `scales` have one entry per layer; sample weights have
    mean one; `rng` has a method `permutation`. `margins`, if any, are added to the
    score of the own class of each row.
    """

    X: Rows
    y: IntArray
    sample_weight: FloatArray | None
    alpha: float
    weights: Arrays
    intercepts: Arrays
    scales: tuple[InputScale, ...]
    rng: Any
    margins: FloatArray | None = None

    def penalty(self, weights: Arrays) -> float:
        """Part of the objective that is not log-loss."""
        if not self.alpha:
            return 0.0
        moves = (w - start for w, start in zip(weights, self.weights, strict=True))
        squares = (np.square(move, dtype=np.float64).sum() for move in moves)
        return 0.5 * self.alpha * float(sum(squares))


def backpropagate(
    problem: Problem, weights: Arrays, intercepts: Arrays, members: IntArray | slice
) -> tuple[NDArray[np.float64], list[Rows], list[FloatArray]]:
    """Losses of some rows, inputs of all layers, and slopes of the losses by scores.

    Both include the weights of the rows. ``inputs[l].T @ residuals[l]`` is the gradient
    by the weights of a layer, the sum of the residuals that by its intercepts.
    """
    inputs: list[Rows] = []
    scores: Any = None
    for weight, intercept in zip(weights, intercepts, strict=True):
        inputs.append(softmax_in_place(scores) if inputs else problem.X[members])
        scores = inputs[-1] @ weight
        scores += intercept
    y = problem.y[members]
    if problem.margins is not None:
        scores[np.arange(len(y)), y] += problem.margins[members]
    losses, residual = cross_entropy_residual(scores, y)
    if problem.sample_weight is not None:
        row_weight = problem.sample_weight[members]
        losses *= row_weight
        residual *= row_weight[:, None]
    residuals = [residual]
    for depth in range(len(weights) - 1, 0, -1):
        outputs = inputs[depth]
        residual = residual @ weights[depth].T
        residual -= np.einsum("ij,ij->i", residual, outputs)[:, None]
        residual *= outputs
        residuals.append(residual)
    return losses, inputs, residuals[::-1]


@dataclass(eq=False)
class Monitor:
    """Curves, stopping rules, and choice of the weights, the same for all solvers.

    An iteration improves if the watched loss, that of the validation rows or else the
    objective, falls by at least `tol`; `watches` is whether this matters. Validation
    rows also choose the weights. `remedy` ends the error of `check_finite`.
    """

    result: RefinementResult
    validation: tuple[Any, ...] | None
    tol: float
    n_iter_no_change: int
    callback: IterationCallback | None
    watches: bool
    remedy: str
    _best_loss: float = np.inf
    _n_without_change: int = 0

    def update(self, loss: float, weights: Arrays, intercepts: Arrays) -> bool:
        """Record an iteration; true if it should be the last.

        The arrays are kept: solvers must not write to them again.
        """
        result = self.result
        result.n_iter += 1
        result.loss_curve.append(float(loss))
        watched = loss
        if self.validation is not None:
            layers = zip(weights, intercepts, strict=True)
            decoders = [Decoder.from_dense(*layer) for layer in layers]
            watched = log_loss(decoders, *self.validation)
            result.validation_curve.append(watched)
        self.check_finite(watched)
        stop = False
        if self.watches:
            improved = watched <= self._best_loss - self.tol
            self._n_without_change = 0 if improved else self._n_without_change + 1
            stop = result.converged = self._n_without_change >= self.n_iter_no_change
        if watched < self._best_loss or self.validation is None:
            result.weights, result.intercepts = weights, intercepts
        self._best_loss = min(watched, self._best_loss)
        if self.callback is not None:
            stop = bool(self.callback(result.n_iter, weights, intercepts)) or stop
        return stop

    def check_finite(self, loss: float) -> None:
        """FloatingPointError if a loss is not finite."""
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the log-loss is not finite after iteration {self.result.n_iter}: "
                f"{self.remedy}"
            )


def sample_rows(
    X: Rows, sample_weight: FloatArray | None
) -> tuple[Rows, NDArray[np.float64]]:
    """Some thousand rows, always the same ones, and weights that sum to one."""
    n_rows = X.shape[0]
    rng = np.random.default_rng(0)  # rows often have a period (the scans of MNIST do)
    size = min(n_rows, _SAMPLE_ROWS)
    members = np.sort(rng.choice(n_rows, size, replace=False))
    weights = np.ones(n_rows) if sample_weight is None else sample_weight
    share = weights[members].astype(float)
    return X[members], share / share.sum()


def _feature_scale(sample: Rows, share: NDArray[np.float64]) -> InputScale:
    """Scale of features; only dense ones are centred, since that fills sparse ones."""
    if sp.issparse(sample):
        squares = np.asarray(sample.power(2).sum(axis=1), dtype=np.float64).ravel()
        squared_norm = float(squares @ share)
        n_nonzero = float(np.diff(sample.indptr) @ share)
        rms = float(np.sqrt(squared_norm / (n_nonzero or 1.0))) or 1.0
        return InputScale(None, rms, squared_norm or 1.0)
    mean = share @ sample
    squared_norm = float(share @ ((sample - mean) ** 2).sum(axis=1))
    uncentred = float(share @ (sample.astype(np.float64) ** 2).sum(axis=1))
    if squared_norm <= (16 * np.finfo(sample.dtype).eps) ** 2 * uncentred:
        squared_norm = 0.0  # constant rows: only rounding is left
    rms = float(np.sqrt(squared_norm / sample.shape[1])) or 1.0
    return InputScale(mean.astype(sample.dtype), rms, squared_norm or 1.0)


def input_scales(
    X: Rows, sample_weight: FloatArray | None, weights: Arrays, intercepts: Arrays
) -> tuple[InputScale, ...]:
    """Scales of the inputs of all layers at the start; hidden ones are not centred."""
    outputs, share = sample_rows(X, sample_weight)
    scales = [_feature_scale(outputs, share)]
    for weight, intercept in zip(weights[:-1], intercepts[:-1], strict=True):
        outputs = softmax_in_place(outputs @ weight + intercept)
        squared_norm = float(np.einsum("ij,ij->i", outputs, outputs) @ share)
        rms = float(np.sqrt(squared_norm / outputs.shape[1]))
        scales.append(InputScale(None, rms, squared_norm))
    return tuple(scales)
