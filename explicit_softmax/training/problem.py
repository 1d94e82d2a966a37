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

Outputs that are nearly certain pass almost nothing down, and steps that suit a single
layer drive hidden layers into corners that they do not leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Result of `refine`.

    Parameters
    ----------
    weights : tuple of ndarray
        Weights of each layer, (n_inputs, n_outputs).
    intercepts : tuple of ndarray
        Intercepts of each layer, (n_outputs,).
    loss_curve : list of float
        Objective by iteration: over the mini-batches of an epoch as they came, or over
        all rows for ``solver="lbfgs"``.
    validation_curve : list of float
        Log-loss of the validation rows by iteration; empty without such rows.
    n_iter : int
        Number of epochs or L-BFGS iterations.
    converged : bool
        False if a callback or the limit of iterations cut the refinement short. True
        if a stopping rule ended it, or if it ran to its limit and no rule applied.
    """

    weights: Arrays
    intercepts: Arrays
    loss_curve: list[float] = field(default_factory=list)
    validation_curve: list[float] = field(default_factory=list)
    n_iter: int = 0
    converged: bool = False


@dataclass(frozen=True, eq=False)
class Refined:
    """What a model keeps of a refinement.

    Parameters
    ----------
    decoders : tuple of Decoder
        Refined layers, dense.
    loss_curve : list of float
        Objective in nats by iteration.
    validation_scores : list of float or None
        Mean log-likelihood of the validation rows by iteration; None without such rows.
    n_iter : int
        Number of iterations, at least 1.
    """

    decoders: tuple[Decoder, ...]
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] | None = None
    n_iter: int = 1


@dataclass(frozen=True, eq=False)
class InputScale:
    """Location and scale of the inputs of a layer, the units of its steps.

    Parameters
    ----------
    mean : ndarray of shape (n_inputs,) or None
        What inputs are centred by; None if they are not.
    rms : float
        Root mean square of a (centred) input, of a non-zero one where rows are sparse.
    squared_norm : float
        Mean squared norm of a row of (centred) inputs.
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
    mean one; `rng` has a method `permutation`.
    """

    X: Rows
    y: IntArray
    sample_weight: FloatArray | None
    alpha: float
    weights: Arrays
    intercepts: Arrays
    scales: tuple[InputScale, ...]
    rng: Any

    def penalty(self, weights: Sequence[FloatArray]) -> float:
        """Part of the objective that is not log-loss."""
        if not self.alpha:
            return 0.0
        away = (w - start for w, start in zip(weights, self.weights, strict=True))
        return 0.5 * self.alpha * sum(float(np.vdot(d, d)) for d in away)


def backpropagate(
    weights: Sequence[FloatArray],
    intercepts: Sequence[FloatArray],
    X: Rows,
    y: IntArray,
    row_weight: FloatArray | None = None,
    divisor: float = 1.0,
) -> tuple[NDArray[np.float64], list[Rows], list[FloatArray]]:
    """Losses of rows, inputs of all layers, and slopes of the loss by their scores.

    Parameters
    ----------
    weights, intercepts : sequence of ndarray
        Of each layer, (n_inputs, n_outputs) and (n_outputs,).
    X, y : ndarray or CSR of shape (n_rows, n_features), ndarray of shape (n_rows,)
        Inputs of the first layer, and classes.
    row_weight : ndarray of shape (n_rows,), default=None
        Factors of the losses.
    divisor : float, default=1.0
        Residuals are those of the sum of the losses over this.

    Returns
    -------
    losses : ndarray of float64, shape (n_rows,)
        In nats, multiplied by `row_weight`.
    inputs, residuals : list of ndarray, (n_rows, n_inputs) and (n_rows, n_outputs)
        Of each layer: ``inputs[l].T @ residuals[l]`` is the gradient by its weights,
        the sum of the residuals over rows that by its intercepts.
    """
    inputs = [X]
    for weight, intercept in zip(weights[:-1], intercepts[:-1], strict=True):
        scores = inputs[-1] @ weight
        scores += intercept
        inputs.append(softmax_in_place(scores))
    scores = inputs[-1] @ weights[-1]
    scores += intercepts[-1]
    losses, residual = cross_entropy_residual(scores, y)
    if row_weight is not None:
        losses *= row_weight
        residual *= row_weight[:, None]
    if divisor != 1.0:
        residual /= divisor
    residuals = [residual]
    for depth in range(len(weights) - 1, 0, -1):
        outputs = inputs[depth]
        residual = residual @ weights[depth].T
        residual -= np.einsum("ij,ij->i", residual, outputs)[:, None]
        residual *= outputs
        residuals.append(residual)
    return losses, inputs, residuals[::-1]


class Monitor:
    """Curves, stopping rules, and choice of the weights, the same for all solvers.

    An iteration improves if the watched loss, that of the validation rows or else the
    objective, falls by at least `tol`. Where `watch_objective` is false, only the
    former is watched. Validation rows also choose the weights. `remedy` completes the
    error about a loss that is not finite.
    """

    def __init__(
        self,
        result: RefinementResult,
        validation: LabelledRows | None,
        tol: float,
        n_iter_no_change: int,
        callback: IterationCallback | None,
        *,
        watch_objective: bool,
        remedy: str,
    ) -> None:
        self.result = result
        self.validation = validation
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.callback = callback
        self.watches = watch_objective or validation is not None
        self.remedy = remedy
        self._best_loss = np.inf
        self._n_without_change = 0
        self._best: tuple[Arrays, Arrays] | None = None

    def update(self, loss: float, weights: Arrays, intercepts: Arrays) -> bool:
        """Record an iteration; true if it should be the last.

        The arrays are kept: solvers must not write to them again.
        """
        result = self.result
        result.n_iter += 1
        result.loss_curve.append(float(loss))
        result.weights, result.intercepts = weights, intercepts
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
        if watched < self._best_loss:
            self._best_loss = watched
            if self.validation is not None:
                self._best = weights, intercepts
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

    def finish(self) -> RefinementResult:
        """The result, with the best weights where validation rows chose them."""
        if self._best is not None:
            self.result.weights, self.result.intercepts = self._best
        return self.result


def sample_rows(
    X: Rows, sample_weight: FloatArray | None
) -> tuple[Rows, NDArray[np.float64]]:
    """Some thousand rows, always the same ones, and weights that sum to one.

    Drawn, not taken at regular steps: rows often have a period (the scans of MNIST do).
    """
    n_rows = X.shape[0]
    members = np.arange(min(n_rows, _SAMPLE_ROWS))
    if n_rows > _SAMPLE_ROWS:
        rng = np.random.default_rng(0)
        members = np.sort(rng.choice(n_rows, size=_SAMPLE_ROWS, replace=False))
    share = np.ones(members.size)
    if sample_weight is not None:
        share = sample_weight[members].astype(float)
    return X[members], share / share.sum()


def feature_scale(sample: Rows, share: NDArray[np.float64]) -> InputScale:
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
    X: Rows,
    sample_weight: FloatArray | None,
    weights: Sequence[FloatArray],
    intercepts: Sequence[FloatArray],
) -> tuple[InputScale, ...]:
    """Scales of the inputs of all layers at the start; hidden ones are not centred."""
    outputs, share = sample_rows(X, sample_weight)
    scales = [feature_scale(outputs, share)]
    for weight, intercept in zip(weights[:-1], intercepts[:-1], strict=True):
        outputs = softmax_in_place(outputs @ weight + intercept)
        squared_norm = float(np.einsum("ij,ij->i", outputs, outputs) @ share)
        rms = float(np.sqrt(squared_norm / outputs.shape[1]))
        scales.append(InputScale(None, rms, squared_norm))
    return tuple(scales)
