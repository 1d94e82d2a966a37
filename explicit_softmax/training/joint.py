"""Joint training of softmax layers, from their explicit solution or a cold start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp

from explicit_softmax.calibration.layers import softmax_in_place
from explicit_softmax.solution.counts import FloatArray, IntArray, Rows
from explicit_softmax.training.joint_solvers import descend_jointly, minimise_jointly
from explicit_softmax.training.joint_state import (
    Arrays,
    JointCallback,
    JointMonitor,
    JointProblem,
    JointRefinement,
)
from explicit_softmax.training.problem import sample_rows
from explicit_softmax.training.refine import standard

JointSolver: TypeAlias = Literal["adagrad", "lbfgs"]


def train_jointly(
    weights: Sequence[FloatArray],
    intercepts: Sequence[FloatArray],
    X: Rows,
    y: IntArray,
    *,
    sample_weight: FloatArray | None = None,
    solver: JointSolver = "adagrad",
    learning_rate: float = 0.01,
    batch_size: int = 256,
    max_iter: int = 20,
    alpha: float = 0.0,
    tol: float = 1e-4,
    n_iter_no_change: int = 5,
    validation: tuple[Rows, IntArray, FloatArray | None] | None = None,
    shuffle: bool = True,
    standardize: bool = True,
    average: bool = True,
    rng: Any = None,
    callback: JointCallback | None = None,
) -> JointRefinement:
    """Minimise the log-loss over the weights of all layers.

    Parameters
    ----------
    weights : sequence of ndarray of shape (n_inputs, n_outputs)
        Start of each layer. Not changed.
    intercepts : sequence of ndarray of shape (n_outputs,)
        Start of each layer. Not changed.
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Features. Their dtype is that of all products.
    y : ndarray of int, shape (n_rows,)
        Class of each row.
    sample_weight : ndarray of shape (n_rows,), default=None
        Weights of the losses.
    solver : {"adagrad", "lbfgs"}, default="adagrad"
        Mini-batch Adagrad, or L-BFGS on all rows.
    learning_rate : float, default=0.01
        Step of Adagrad, for each layer in units of one over the root mean square of its
        inputs (the first layer: centred or, where rows are sparse, non-zero features);
        in units of the weights if not `standardize`.
    batch_size : int, default=256
        Rows per mini-batch.
    max_iter : int, default=20
        Epochs or L-BFGS iterations.
    alpha : float, default=0.0
        Strength of the penalty on the distance from the start.
    tol : float, default=1e-4
        Least improvement, in nats, that counts; for L-BFGS without validation rows, the
        largest entry of the (standardised) gradient at which it stops.
    n_iter_no_change : int, default=5
        Iterations without improvement after which to stop.
    validation : tuple of (rows, codes, sample_weight or None), default=None
        Rows whose log-loss stops the iterations and chooses the weights.
    shuffle : bool, default=True
        Draw a new order of rows each epoch.
    standardize : bool, default=True
        Centre and scale.
    average : bool, default=True
        Give the mean of the weights over each epoch in place of the last ones.
    rng : numpy.random.RandomState or Generator, default=None
        Order of the rows; a generator of seed 0 by default.
    callback : callable, default=None
        Called after each iteration with its number, weights, and intercepts; a true
        answer stops.

    Returns
    -------
    result : JointRefinement

    Raises
    ------
    FloatingPointError
        If the loss is not finite: the step is too large.
    """
    if solver not in ("adagrad", "lbfgs"):
        raise ValueError(f"solver must be 'adagrad' or 'lbfgs', not {solver!r}")
    rng = np.random.default_rng(0) if rng is None else rng
    dtype: Any = np.float32 if X.dtype == np.float32 else np.float64
    X = X if X.dtype == dtype else X.astype(dtype)
    if sp.issparse(X) and not X.data.all():
        X = sp.csr_array(X, copy=True)
        X.eliminate_zeros()  # a stored zero is no feature of its batch
    if sample_weight is not None:
        # Losses are per unit of weight, whatever the unit of the weights.
        sample_weight = (sample_weight / np.mean(sample_weight)).astype(dtype)
    starts = tuple(np.array(weight, dtype=dtype, order="C") for weight in weights)
    offsets = tuple(np.array(intercept, dtype=dtype) for intercept in intercepts)
    centre, units = None, [1.0] * len(starts)
    if standardize:
        centre, unit, _ = standard(X, sample_weight)
        units = [unit, *_hidden_units(starts, offsets, X, sample_weight)]
    problem = JointProblem(
        X, y, sample_weight, alpha, starts, offsets, centre, units, rng
    )
    monitor = JointMonitor(
        JointRefinement(starts, offsets), validation, tol, n_iter_no_change, callback
    )
    with np.errstate(over="ignore", invalid="ignore"):  # the monitor tells of it
        if solver == "lbfgs":
            minimise_jointly(problem, monitor, max_iter, gradient_tol=tol)
        else:
            descend_jointly(
                problem, monitor, learning_rate, batch_size, max_iter, shuffle, average
            )
    found: JointRefinement = monitor.finish()
    return found


def random_layers(
    X: Rows,
    sizes: Sequence[int],
    *,
    sample_weight: FloatArray | None = None,
    rng: Any = None,
) -> tuple[Arrays, Arrays]:
    """Weights of all layers that know nothing of the classes: the cold start.

    Normal weights, such that the scores of each layer have about unit variance over
    (centred) rows; intercepts of zero.

    Parameters
    ----------
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
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
    _, unit, _ = standard(X, sample_weight)
    weights: Arrays = ()
    intercepts: Arrays = ()
    n_inputs = X.shape[1]
    for size in sizes:
        normal = rng.standard_normal((n_inputs, size))
        weights += ((normal / (np.sqrt(n_inputs) * unit)).astype(dtype),)
        intercepts += (np.zeros(size, dtype=dtype),)
        n_inputs, unit = size, 1.0 / size  # of outputs that are all alike
    return weights, intercepts


def _hidden_units(
    weights: Arrays, intercepts: Arrays, X: Rows, sample_weight: FloatArray | None
) -> list[float]:
    """Root mean squares of the outputs of all layers but the last, at the start."""
    outputs, share = sample_rows(X, sample_weight)
    units = []
    for weight, intercept in zip(weights[:-1], intercepts[:-1], strict=True):
        outputs = softmax_in_place(outputs @ weight + intercept)
        squares = np.einsum("ij,ij->i", outputs, outputs)
        units.append(float(np.sqrt(squares @ share / outputs.shape[1])))
    return units
