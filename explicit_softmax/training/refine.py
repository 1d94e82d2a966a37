"""Log-loss refinement of one softmax layer or several.

Standardisation. Gradients are taken with respect to centred features (dense rows only,
since centring fills sparse ones), and steps are measured in units of one over the root
mean square of the inputs of a layer. Neither changes the model; both make one default
step serve features of any offset and unit. No copy of the rows is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows
from explicit_softmax.training.lbfgs import minimise
from explicit_softmax.training.minibatch import Steps, descend
from explicit_softmax.training.problem import (
    InputScale,
    IterationCallback,
    Monitor,
    Problem,
    RefinementResult,
    input_scales,
)

Solver: TypeAlias = Literal["adagrad", "sgd", "lbfgs"]

# Octaves between the largest feature and one that float32 is used for.
_MOST_OCTAVES = 30

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
    margins: FloatArray | None = None,
    solver: Solver = "adagrad",
    learning_rate: float | None = None,
    batch_size: int = 256,
    max_iter: int = 20,
    alpha: float = 0.0,
    tol: float = 1e-4,
    n_iter_no_change: int = 5,
    validation: tuple[Any, ...] | None = None,
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
    weights, intercepts : sequence of ndarray
        Start of each layer, (n_inputs, n_outputs) and (n_outputs,). Not changed.
    X : ndarray, scipy.sparse CSR, or OneHotWindows of shape (n_rows, n_features)
        Features. Windows become features batch by batch, by a mini-batch solver.
    y, sample_weight : ndarray of shape (n_rows,)
        Class of each row, and weight of its loss.
    margins : ndarray of shape (n_rows,), default=None
        What is added to the score of the own class of each row in training.
    solver, batch_size, max_iter, alpha, tol, n_iter_no_change, shuffle
        As in `explicit_softmax.Refinement`. ``tol=0`` and ``n_iter_no_change=1`` stop
        at the first increase of the loss, as the paper does.
    learning_rate : float, default=None
        As its `learning_rate_init`, None being "auto"; in units of the weights if not
        `standardize`.
    validation : tuple of (X, y, sample_weight or None, [margins]), default=None
        Rows whose log-loss stops the iterations and chooses the weights.
    standardize : bool, default=True
        Centre and scale as described at the top of this module.
    average : bool, default=True
        Give the mean of the weights over each epoch in place of the last ones.
    samples_per_iter : int, default=None
        Rows of an epoch; all by default. With fewer, only `validation` rows stop it.
    rng : numpy.random.RandomState or Generator, default=None
        Order of the rows; a generator of seed 0 by default.
    callback : callable, default=None
        Called after each iteration with its number, weights, intercepts; true stops.

    Raises
    ------
    FloatingPointError
        If the loss is not finite: the steps are too large.
    ValueError
        If the solver is "lbfgs" with windows for `X`.
    """
    if solver == "lbfgs" and not (isinstance(X, np.ndarray) or sp.issparse(X)):
        raise ValueError(
            "solver='lbfgs' needs the features of all rows at once, and those of "
            "windows are made batch by batch: choose solver='adagrad' or solver='sgd'"
        )
    dtype: Any = np.float32 if X.dtype == np.float32 else np.float64
    if dtype == np.float32 and (isinstance(X, np.ndarray) or sp.issparse(X)):
        largest = float(X.max(initial=0.0) if isinstance(X, np.ndarray) else X.max())
        if largest and abs(np.log2(largest)) > _MOST_OCTAVES:
            dtype = np.float64  # squares of gradients would overflow, or vanish
    X = X if X.dtype == dtype else X.astype(dtype)
    if sp.issparse(X) and not X.data.all():
        X = sp.csr_array(X, copy=True)
        X.eliminate_zeros()  # a stored zero is no feature of its batch
    if sample_weight is not None:
        # Losses are per unit of weight, whatever the unit of the weights.
        sample_weight = (sample_weight / np.mean(sample_weight)).astype(dtype)
    if margins is not None:
        margins = margins.astype(dtype)
    starts = tuple(np.ascontiguousarray(weight, dtype=dtype) for weight in weights)
    offsets = tuple(np.asarray(intercept, dtype=dtype) for intercept in intercepts)
    scales = (InputScale(),) * len(starts)
    if standardize:
        scales = input_scales(X, sample_weight, starts, offsets)
    rng = np.random.default_rng(0) if rng is None else rng
    problem = Problem(X, y, sample_weight, alpha, starts, offsets, scales, rng, margins)
    rate = learning_rate or _LEARNING_RATES[solver][len(starts) > 1]
    size = samples_per_iter or X.shape[0]
    remedy = f"choose a smaller learning_rate_init than {rate:g}"
    if solver == "lbfgs":
        remedy = "scale the features down, or start from smaller weights"
    # L-BFGS has its own rule, the size of the gradient.
    comparable = solver != "lbfgs" and size >= X.shape[0]
    result = RefinementResult(starts, offsets)
    watches = comparable or validation is not None
    monitor = Monitor(
        result, validation, tol, n_iter_no_change, callback, watches, remedy
    )
    with np.errstate(over="ignore", invalid="ignore"):  # the monitor reports it
        if solver == "lbfgs":
            minimise(problem, monitor, max_iter, gradient_tol=tol)
        else:
            adaptive = solver == "adagrad"
            steps = Steps(adaptive, rate, batch_size, shuffle, average, size)
            descend(problem, monitor, max_iter, steps)
    return result
