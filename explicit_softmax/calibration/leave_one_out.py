"""Exact leave-one-out scores of the explicit solution.

Notes
-----
Taking row m of class y out of the counts changes only column y of F: F_y - r h_m, and
S_y - r |h_m|, where r = min(w_m, 1) is one unit of its weight w_m. All other columns,
and so the scores of all other classes, stay as they are. The leave-one-out scores of
all rows are therefore the ordinary ones except for one entry per row, the own class,

    sum_d h_d log(a_d (C_yd - r h_d) + u_d v_y) - |h| log(S~_y - r |h|),

which costs a logarithm for each non-zero feature of the row, and the count n_y - r in
the prior. The loss of the row counts w_m times, so that a weight of 2 equals the row
twice.

With the noise model the row passes through E, hE = q h + t p with t = h.(1 - q), which
is dense, and the noise mass v_y = (1 - q)'C_y becomes v_y - r t. For a row with sparse
features the sum over all features of p_d log F~_yd is taken over the non-zero counts of
the class, the rest being constant.

Held fixed while a row is out: the class marginal of "prior", q and p of "noise", the
unit of smoothing, the priming number, the sum of the class counts, and the count that
stands in for none. Each moves by one part in the number of rows.

A class whose only row is out is a class that was never seen: its counts vanish, and
what `smoothing` gives to such a class remains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import (
    FloatArray,
    IntArray,
    Rows,
    remainder,
    row_blocks,
    row_norms,
    row_scale,
    values_at,
)
from explicit_softmax.solution.smoothing import SmoothedCounts, log_class_frequency
from explicit_softmax.solution.theorem import (
    Calibration,
    Layout,
    block_log_likelihood,
)

# Logarithms of a chunk of this many values stay in cache.
_CHUNK_VALUES = 2**17


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """Scores of rows by the model that never saw them, before calibration.

    Parameters
    ----------
    log_likelihoods : ndarray of shape (n_blocks, n_rows, n_classes)
        h.(log F~ - log S~) of each block.
    log_count, log_norm : ndarray of shape (n_rows, n_classes)
        Log frequency and log mean norm of each class, the row taken out of its own.
    class_log_count : ndarray of shape (n_classes,)
        Log frequency of each class, no row taken out.
    norms : ndarray of shape (n_rows,)
        Norm of each row after division by ``norm ** norm_exponent``.
    y : ndarray of int, shape (n_rows,)
        Class of each row.
    weights : ndarray of shape (n_rows,)
        Weight of the loss of each row.
    """

    log_likelihoods: NDArray[np.float64]
    log_count: NDArray[np.float64]
    log_norm: NDArray[np.float64]
    class_log_count: NDArray[np.float64]
    norms: NDArray[np.float64]
    y: IntArray
    weights: NDArray[np.float64]

    @property
    def mean_norm(self) -> float:
        """Weighted mean norm of these rows."""
        return float(np.average(self.norms, weights=self.weights))

    def scores(self, calibration: Calibration) -> NDArray[np.float64]:
        """Scores (n_rows, n_classes), up to a constant, as the decoder gives them."""
        return calibration.scores(
            self.log_likelihoods, self.norms[:, None], self.log_count, self.log_norm
        )


def leave_one_out(
    smoothed: SmoothedCounts,
    X: Rows,
    y: IntArray,
    *,
    sample_weight: FloatArray | None = None,
    norm_exponent: float = 0.0,
    layout: Layout = "auto",
) -> LeaveOneOut:
    """Exact leave-one-out scores of rows that are in the counts.

    Parameters
    ----------
    smoothed : SmoothedCounts
        Counts of all rows.
    X, y, sample_weight
        Rows that were counted, all or some, with their classes and positive weights.
        Rows without any feature have no part in the choice of a temperature and are
        left out of the result.
    norm_exponent : float, default=0.0
        Norm exponent with which they were counted.
    layout : {"auto", "dense", "sparse"}, default="auto"
        As in `explicit_decoder`.

    Raises
    ------
    ValueError
        If a co-occurrence vanishes with a row and there is no smoothing.
    """
    norms = row_norms(X)
    filled = np.flatnonzero(norms > 0)
    weights = np.ones(norms.size) if sample_weight is None else sample_weight
    if filled.size < norms.size:
        X, y, weights, norms = X[filled], y[filled], weights[filled], norms[filled]
    if sp.issparse(X) and smoothed.counts.is_sparse and not smoothed.is_noise:
        # Logarithms of the counts of features that no row has would not be used.
        features = np.unique(X.indices)
        places = np.searchsorted(features, X.indices).astype(X.indices.dtype)
        shape = X.shape[0], features.size
        X = sp.csr_array((X.data, places, X.indptr), shape=shape)
        smoothed = smoothed.restricted(features)
    scale = row_scale(norms, norm_exponent)
    unit = np.minimum(weights, 1.0)
    n_rows, n_classes = X.shape[0], smoothed.counts.n_classes
    at = np.arange(n_rows)
    out = np.empty((len(smoothed.blocks), n_rows, n_classes))
    own_mass = np.zeros(n_rows)
    for b, block in enumerate(smoothed.blocks):
        part = X if len(smoothed.blocks) == 1 else X[:, block]
        out[b] = block_log_likelihood(smoothed, b, layout).scores(part)
        out[b] *= scale[:, None]
        own, mass = _own_class(smoothed, b, part, y, scale, unit)
        out[b][at, y] = own
        own_mass += mass
    class_count = smoothed.counts.class_count
    largest = smoothed.counts.largest_count
    own_count = np.maximum(remainder(class_count[y], unit, largest), 0.0)
    log_count = np.tile(smoothed.log_count, (n_rows, 1))
    log_count[at, y] = log_class_frequency(own_count, like=class_count)
    log_norm = np.tile(smoothed.log_norm, (n_rows, 1))
    log_norm[at, y] = np.log(own_mass) - log_count[at, y]
    weights, norms = np.asarray(weights, dtype=float), norms * scale
    return LeaveOneOut(out, log_count, log_norm, smoothed.log_count, norms, y, weights)


def _own_class(
    smoothed: SmoothedCounts,
    b: int,
    X: Rows,
    y: IntArray,
    scale: FloatArray,
    unit: FloatArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evidence of block b for the own class without the row, and the mass left."""
    block = smoothed.blocks[b]
    norms = row_norms(X) * scale
    counted = smoothed.counts.block_mass(block)[y]
    left = remainder(counted, unit * norms, smoothed.counts.largest_mass)
    np.maximum(left, 0.0, out=left)
    mass = smoothed.block_mass[y, b] - counted + left
    class_offset = smoothed.class_offset[y, b]
    noise_mass = np.zeros_like(mass)
    if smoothed.is_noise:
        noise_mass = np.asarray(X @ (1.0 - smoothed.scale[block])) * scale
        unseen = left == 0  # classes that have nothing left in this block
        class_offset = np.where(unseen, smoothed.unit, class_offset - unit * noise_mass)
        mass = np.where(unseen, smoothed.unit, mass)
    sum_logs = _sparse_own_class if sp.issparse(X) else _dense_own_class
    own = sum_logs(smoothed, b, X, y, scale, unit, class_offset, noise_mass)
    if not np.isfinite(own).all():
        raise ValueError(
            "leave-one-out scores need smoothing: without some row a co-occurrence of "
            "its class vanishes. Choose smoothing='prior', 'uniform', or 'noise', or "
            "give inverse_temperature a number."
        )
    return own - norms * np.log(mass), mass


def _dense_own_class(
    smoothed: SmoothedCounts,
    b: int,
    X: FloatArray,
    y: IntArray,
    scale: FloatArray,
    unit: FloatArray,
    class_offset: NDArray[np.float64],
    noise_mass: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum of (hE)_d log(F~_yd / u_d) over the features of a block, rows dense."""
    block = smoothed.blocks[b]
    counts = smoothed.counts.cooccurrence[block]
    counts = (counts.toarray() if sp.issparse(counts) else counts).T.copy()
    offset = smoothed.offset[block]
    ratio = smoothed.ratio(block)
    largest = smoothed.counts.largest_mass
    own = np.empty(X.shape[0])
    for chunk in row_blocks(X.shape[0], X.shape[1], _CHUNK_VALUES):
        scaled = X[chunk] * scale[chunk, None]
        logs = remainder(counts[y[chunk]], scaled * unit[chunk, None], largest)
        np.maximum(logs, 0.0, out=logs)
        if smoothed.is_noise:
            logs *= ratio
            scaled *= smoothed.scale[block]
            scaled += noise_mass[chunk, None] * offset
        logs += class_offset[chunk, None]
        with np.errstate(divide="ignore"):  # counts of zero without smoothing
            np.log(logs, out=logs)
        own[chunk] = np.einsum("ij,ij->i", scaled, logs)
    return own


def _sparse_own_class(
    smoothed: SmoothedCounts,
    b: int,
    X: sp.csr_array,
    y: IntArray,
    scale: FloatArray,
    unit: FloatArray,
    class_offset: NDArray[np.float64],
    noise_mass: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The same sum over the non-zero features of sparse rows."""
    block = smoothed.blocks[b]
    n_rows = X.shape[0]
    row = np.repeat(np.arange(n_rows), np.diff(X.indptr))
    feature = X.indices
    value = X.data * scale[row]
    counted = values_at(smoothed.counts.cooccurrence, feature + block.start, y[row])
    offset = smoothed.offset[block]
    ratio = smoothed.ratio(block)[feature]
    rest = remainder(counted, value * unit[row], smoothed.counts.largest_mass)
    rest = ratio * np.maximum(rest, 0.0) + class_offset[row]
    with np.errstate(divide="ignore"):
        logs = np.log(rest, out=np.zeros_like(rest), where=(rest > 0) | (value > 0))
    terms = value * logs
    if smoothed.is_noise:
        # q h log F~ at the features of the row, and t p log F~ at all features: those
        # of the row once more, where the counts without the row differ.
        terms *= smoothed.scale[block][feature]
        before = np.log(ratio * counted + class_offset[row])
        terms += noise_mass[row] * offset[feature] * (logs - before)
    own: FloatArray = np.bincount(row, weights=terms, minlength=n_rows).astype(float)
    if smoothed.is_noise:
        own += noise_mass * _noise_sums(smoothed, b, y, class_offset)
    return own


def _noise_sums(
    smoothed: SmoothedCounts,
    b: int,
    y: IntArray,
    class_offset: NDArray[np.float64],
) -> NDArray[np.float64]:
    """sum_d p_d log(C_yd q_d / p_d + v) for each row's class y and noise mass v."""
    block = smoothed.blocks[b]
    noise = smoothed.offset[block]
    ratio = smoothed.scale[block] / noise
    counts = sp.csc_array(smoothed.counts.cooccurrence[block])
    sums: FloatArray = np.log(class_offset) * noise.sum()
    if not len(y):
        return sums
    order = np.argsort(y, kind="stable")
    classes, starts = np.unique(y[order], return_index=True)
    for label, members in zip(classes, np.split(order, starts[1:]), strict=True):
        stored = slice(counts.indptr[label], counts.indptr[label + 1])
        feature = counts.indices[stored]
        lifted = counts.data[stored] * ratio[feature]
        values, which = np.unique(class_offset[members], return_inverse=True)
        spread = np.empty(values.size)
        for chunk in row_blocks(values.size, feature.size, _CHUNK_VALUES):
            logs = np.log1p(lifted / values[chunk, None])
            spread[chunk] = logs @ noise[feature]
        sums[members] += spread[which.ravel()]
    return sums
