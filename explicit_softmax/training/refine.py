"""Log-loss refinement of a decoder: the warm start, and the cold start beside it.

The objective is the mean negative log-likelihood of softmax(rows @ W + b) in nats,
plus ``alpha / 2`` times the squared distance of W from where it started; the intercept
is not penalised. It is convex, so that the start decides how soon it is solved, not
where.

Standardisation. Gradients are taken with respect to centred features (dense rows only,
since centring fills sparse ones) and steps are measured in units of one over the root
mean square of a feature. Neither changes the model; both make the default step serve
features of any offset and unit. Centring is a rank-one correction of the gradient, and
no copy of the rows is made.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows
from explicit_softmax.training.lbfgs import minimise
from explicit_softmax.training.minibatch import descend
from explicit_softmax.training.problem import (
    IterationCallback,
    Monitor,
    Problem,
    Refinement,
    sample_rows,
)

Solver: TypeAlias = Literal["adagrad", "sgd", "lbfgs"]


def cold_start(
    n_features: int,
    n_classes: int,
    kind: Literal["zeros", "random"] = "zeros",
    *,
    scale: float = 0.01,
    rng: Any = None,
    dtype: Any = np.float64,
) -> tuple[FloatArray, FloatArray]:
    """Weights and intercepts that know nothing of the data.

    Parameters
    ----------
    n_features, n_classes : int
        Shape of the weights.
    kind : {"zeros", "random"}, default="zeros"
        All zeros, or normal weights with standard deviation `scale`.
    scale : float, default=0.01
        For ``kind="random"``.
    rng : numpy.random.RandomState or Generator, default=None
        Source of random weights; a generator of seed 0 by default.
    dtype : dtype, default=float64

    Returns
    -------
    weights : ndarray of shape (n_features, n_classes)
    intercept : ndarray of shape (n_classes,)
    """
    intercept = np.zeros(n_classes, dtype=dtype)
    if kind == "zeros":
        return np.zeros((n_features, n_classes), dtype=dtype), intercept
    if kind != "random":
        raise ValueError(f"kind must be 'zeros' or 'random', not {kind!r}")
    rng = np.random.default_rng(0) if rng is None else rng
    weights = rng.standard_normal((n_features, n_classes)) * scale
    return weights.astype(dtype), intercept


def refine(
    weights: FloatArray,
    intercept: FloatArray,
    X: Rows,
    y: IntArray,
    *,
    sample_weight: FloatArray | None = None,
    solver: Solver = "adagrad",
    learning_rate: float = 0.05,
    batch_size: int = 256,
    max_iter: int = 20,
    alpha: float = 0.0,
    tol: float = 1e-4,
    n_iter_no_change: int = 5,
    validation: tuple[Rows, IntArray, FloatArray | None] | None = None,
    shuffle: bool = True,
    standardize: bool = True,
    average: bool = True,
    epoch_size: int | None = None,
    rng: Any = None,
    callback: IterationCallback | None = None,
) -> Refinement:
    """Minimise the log-loss from given weights.

    Parameters
    ----------
    weights : ndarray of shape (n_features, n_classes)
        Start: a decoder's dense weights, or those of `cold_start`. Not changed.
    intercept : ndarray of shape (n_classes,)
        Start. Not changed.
    X : ndarray, scipy.sparse CSR, or OneHotWindows of shape (n_rows, n_features)
        Features. Their dtype is that of all products. Windows are made into features
        batch by batch, and need a mini-batch solver.
    y : ndarray of int, shape (n_rows,)
        Class of each row.
    sample_weight : ndarray of shape (n_rows,), default=None
        Weights of the losses.
    solver : {"adagrad", "sgd", "lbfgs"}, default="adagrad"
        Mini-batch Adagrad (the paper's), mini-batch gradient descent, or L-BFGS on all
        X, preconditioned by the Gram matrix where features are dense and few.
    learning_rate : float, default=0.05
        Step of the mini-batch solvers. For Adagrad in units of one over the root mean
        square of a (centred or, where rows are sparse, non-zero) feature, for SGD of
        one over the mean square norm of a row; in units of the weights if not
        `standardize`.
    batch_size : int, default=256
        Rows per mini-batch.
    max_iter : int, default=20
        Epochs or L-BFGS iterations.
    alpha : float, default=0.0
        Strength of the penalty on the distance from the start.
    tol : float, default=1e-4
        Least improvement, in nats, that counts; for L-BFGS without validation rows, the
        largest entry of the (preconditioned) gradient at which it stops.
    n_iter_no_change : int, default=5
        Iterations without improvement after which to stop. ``tol=0`` and
        ``n_iter_no_change=1`` stop at the first increase, as the paper does.
    validation : tuple of (rows, codes, sample_weight or None), default=None
        Rows whose log-loss stops the iterations and chooses the weights.
    shuffle : bool, default=True
        Draw a new order of rows each epoch.
    standardize : bool, default=True
        Centre and scale as described at the top of this module.
    average : bool, default=True
        Give the mean of the weights over each epoch in place of the last ones.
    epoch_size : int, default=None
        Rows of an epoch of the mini-batch solvers; all rows by default. Epochs of fewer
        rows take turns until all rows were seen once.
    rng : numpy.random.RandomState or Generator, default=None
        Order of the rows; a generator of seed 0 by default.
    callback : callable, default=None
        Called after each iteration with its number, weights, and intercept; a true
        answer stops.

    Returns
    -------
    result : Refinement

    Raises
    ------
    FloatingPointError
        If the loss is not finite: the step is too large.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    dtype: Any = np.float32 if X.dtype == np.float32 else np.float64
    X = X if X.dtype == dtype else X.astype(dtype)
    if sp.issparse(X) and not X.data.all():
        X = sp.csr_array(X, copy=True)
        X.eliminate_zeros()  # a stored zero is no feature of its batch
    if sample_weight is not None:
        # Losses are per unit of weight, whatever the unit of the weights.
        sample_weight = (sample_weight / np.mean(sample_weight)).astype(dtype)
    start = np.array(weights, dtype=dtype, order="C")
    offset = np.array(intercept, dtype=dtype)
    centre, unit, row_square = (
        standard(X, sample_weight) if standardize else (None, 1.0, 1.0)
    )
    problem = Problem(X, y, sample_weight, alpha, start, centre, unit, row_square, rng)
    monitor = Monitor(
        Refinement(start.copy(), offset.copy()),
        validation,
        tol,
        n_iter_no_change,
        callback,
    )
    with np.errstate(over="ignore", invalid="ignore"):  # the monitor tells of it
        if solver == "lbfgs":
            minimise(problem, monitor, offset, max_iter, gradient_tol=tol)
        elif solver in ("adagrad", "sgd"):
            adaptive = solver == "adagrad"
            descend(
                problem,
                monitor,
                offset,
                adaptive=adaptive,
                step=learning_rate / (unit if adaptive else row_square),
                batch_size=batch_size,
                max_iter=max_iter,
                shuffle=shuffle,
                average=average,
                epoch_size=epoch_size,
            )
        else:
            raise ValueError(
                f"solver must be 'adagrad', 'sgd', or 'lbfgs', not {solver!r}"
            )
    found: Refinement = monitor.finish()
    return found


def standard(
    X: Rows, weight: FloatArray | None
) -> tuple[FloatArray | None, float, float]:
    """Centre, unit, and row_square of `Problem`."""
    sample, share = sample_rows(X, weight)
    if sp.issparse(sample):
        squares = np.asarray(sample.power(2).sum(axis=1), dtype=np.float64).ravel()
        row_square = float(squares @ share)
        n_nonzero = float(np.diff(sample.indptr) @ share)
        unit = float(np.sqrt(row_square / (n_nonzero or 1.0))) or 1.0
        return None, unit, row_square or 1.0
    centre = share @ sample
    row_square = float(share @ ((sample - centre) ** 2).sum(axis=1))
    raw_square = float(share @ (sample.astype(np.float64) ** 2).sum(axis=1))
    if row_square <= (16 * np.finfo(X.dtype).eps) ** 2 * raw_square:
        row_square = 0.0  # constant rows: only rounding is left
    unit = float(np.sqrt(row_square / X.shape[1])) or 1.0
    return centre.astype(X.dtype), unit, row_square or 1.0
