"""Log-loss refinement of one softmax layer or several, and its cold start.

Standardisation. Gradients are taken with respect to centred features (dense rows only,
since centring fills sparse ones), and steps are measured in units of one over the root
mean square of the inputs of a layer. Neither changes the model; both make one default
step serve features of any offset and unit. Centring is a rank-one correction of the
gradient, and no copy of the rows is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows
from explicit_softmax.training.lbfgs import minimise
from explicit_softmax.training.minibatch import descend
from explicit_softmax.training.problem import (
    Arrays,
    InputScale,
    IterationCallback,
    LabelledRows,
    Monitor,
    Problem,
    RefinementResult,
    feature_scale,
    input_scales,
    sample_rows,
)

Solver: TypeAlias = Literal["adagrad", "sgd", "lbfgs"]

# Default step sizes for one layer, and for several. Gradient descent on one layer is
# sure to converge with steps below 4 over the mean squared norm of a row.
_LEARNING_RATES = {"adagrad": (0.05, 0.01), "sgd": (3.0, 1.0), "lbfgs": (1.0, 1.0)}


def refine(
    weights: Sequence[FloatArray],
    intercepts: Sequence[FloatArray],
    X: Rows,
    y: IntArray,
    *,
    sample_weight: FloatArray | None = None,
    solver: Solver = "adagrad",
    learning_rate: float | None = None,
    batch_size: int = 256,
    max_iter: int = 20,
    alpha: float = 0.0,
    tol: float = 1e-4,
    n_iter_no_change: int = 5,
    validation: LabelledRows | None = None,
    shuffle: bool = True,
    standardize: bool = True,
    average: bool = True,
    samples_per_iter: int | None = None,
    rng: Any = None,
    callback: IterationCallback | None = None,
) -> RefinementResult:
    """Minimise the log-loss from given weights, over all layers jointly.

    Parameters
    ----------
    weights : sequence of ndarray of shape (n_inputs, n_outputs)
        Start of each layer: dense weights of its decoder, or those of `random_layers`.
        Not changed.
    intercepts : sequence of ndarray of shape (n_outputs,)
        Start of each layer. Not changed.
    X : ndarray, scipy.sparse CSR, or OneHotWindows of shape (n_rows, n_features)
        Features. Their dtype is that of all products. Windows become features batch by
        batch, and need a mini-batch solver.
    y : ndarray of int, shape (n_rows,)
        Class of each row.
    sample_weight : ndarray of shape (n_rows,), default=None
        Weights of the losses.
    solver, batch_size, max_iter, alpha, tol, n_iter_no_change, shuffle
        As in `explicit_softmax.Refinement`. ``tol=0`` and ``n_iter_no_change=1`` stop
        at the first increase of the loss, as the paper does.
    learning_rate : float, default=None
        As its `learning_rate_init`, None being "auto"; in units of the weights if not
        `standardize`.
    validation : tuple of (X, y, sample_weight or None), default=None
        Rows whose log-loss stops the iterations and chooses the weights.
    standardize : bool, default=True
        Centre and scale as described at the top of this module.
    average : bool, default=True
        Give the mean of the weights over each epoch in place of the last ones.
    samples_per_iter : int, default=None
        Rows of an epoch of the mini-batch solvers; all rows by default. With fewer,
        `tol` and `n_iter_no_change` apply to `validation` rows only.
    rng : numpy.random.RandomState or Generator, default=None
        Order of the rows; a generator of seed 0 by default.
    callback : callable, default=None
        Called after each iteration with its number, weights, and intercepts, a tuple of
        arrays each; a true answer stops.

    Returns
    -------
    result : RefinementResult

    Raises
    ------
    FloatingPointError
        If the loss is not finite: the steps are too large.
    ValueError
        If the solver is unknown, or is "lbfgs" with windows for `X`.
    """
    if solver not in _LEARNING_RATES:
        raise ValueError(f"solver must be 'adagrad', 'sgd', or 'lbfgs', not {solver!r}")
    if solver == "lbfgs" and not (isinstance(X, np.ndarray) or sp.issparse(X)):
        raise ValueError(
            "solver='lbfgs' needs the features of all rows at once, and those of "
            "windows are made batch by batch: choose solver='adagrad' or solver='sgd'"
        )
    dtype: Any = np.float32 if X.dtype == np.float32 else np.float64
    X = X if X.dtype == dtype else X.astype(dtype)
    if sp.issparse(X) and not X.data.all():
        X = sp.csr_array(X, copy=True)
        X.eliminate_zeros()  # a stored zero is no feature of its batch
    if sample_weight is not None:
        # Losses are per unit of weight, whatever the unit of the weights.
        sample_weight = (sample_weight / np.mean(sample_weight)).astype(dtype)
    starts = tuple(np.ascontiguousarray(weight, dtype=dtype) for weight in weights)
    offsets = tuple(np.asarray(intercept, dtype=dtype) for intercept in intercepts)
    scales = (InputScale(),) * len(starts)
    if standardize:
        scales = input_scales(X, sample_weight, starts, offsets)
    rng = np.random.default_rng(0) if rng is None else rng
    problem = Problem(X, y, sample_weight, alpha, starts, offsets, scales, rng)
    if learning_rate is None:
        learning_rate = _LEARNING_RATES[solver][len(starts) > 1]
    n_rows = X.shape[0]
    if samples_per_iter is None:
        samples_per_iter = n_rows
    remedy = f"choose a smaller learning_rate_init than {learning_rate:g}"
    if solver == "lbfgs":
        remedy = "scale the features down, or start from smaller weights"
    monitor = Monitor(
        RefinementResult(starts, offsets),
        validation,
        tol,
        n_iter_no_change,
        callback,
        # L-BFGS has its own rule, the size of the gradient.
        watch_objective=solver != "lbfgs" and samples_per_iter >= n_rows,
        remedy=remedy,
    )
    with np.errstate(over="ignore", invalid="ignore"):  # the monitor reports it
        if solver == "lbfgs":
            minimise(problem, monitor, max_iter, gradient_tol=tol)
        else:
            descend(
                problem,
                monitor,
                adaptive=solver == "adagrad",
                learning_rate=learning_rate,
                batch_size=batch_size,
                max_iter=max_iter,
                shuffle=shuffle,
                average=average,
                samples_per_iter=samples_per_iter,
            )
    return monitor.finish()


def random_layers(
    X: Rows,
    sizes: Sequence[int],
    *,
    sample_weight: FloatArray | None = None,
    rng: Any = None,
) -> tuple[Arrays, Arrays]:
    """Weights of all layers that know nothing of the classes: the cold start.

    Normal weights, scaled for scores of about unit variance over dense (centred) rows;
    intercepts of zero.

    Parameters
    ----------
    X : ndarray, scipy.sparse CSR, or OneHotWindows of shape (n_rows, n_features)
        Features; only their scale matters.
    sizes : sequence of int
        Number of outputs of each layer.
    sample_weight : ndarray of shape (n_rows,), default=None
        Weights of the rows.
    rng : numpy.random.RandomState or Generator, default=None
        A generator of seed 0 by default.

    Returns
    -------
    weights, intercepts : tuple of ndarray
        Of each layer, in the type of the rows.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    dtype: Any = np.float32 if X.dtype == np.float32 else np.float64
    rms = feature_scale(*sample_rows(X, sample_weight)).rms
    weights: Arrays = ()
    intercepts: Arrays = ()
    n_inputs = X.shape[1]
    for size in sizes:
        normal = rng.standard_normal((n_inputs, size))
        weights += ((normal / (np.sqrt(n_inputs) * rms)).astype(dtype),)
        intercepts += (np.zeros(size, dtype=dtype),)
        n_inputs, rms = size, 1.0 / size  # of outputs that are all alike
    return weights, intercepts
