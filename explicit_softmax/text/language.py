"""The explicit solution of windows: strength and betas chosen, likelihoods.

All windows have as many tokens, pads included: rows of norm K exactly, and of norm one
in each block of Cat. What is constant over rows of one norm is an intercept here, so
that a decoder of windows is sparse and, but for the noise model, has no low-rank part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.calibration.calibrate import Calibration, calibrate
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.calibration.sample import LEAST_ROWS, RetainedRows
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    FloatArray,
    IntArray,
    row_blocks,
)
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.smoothing import (
    SmoothedCounts,
    Smoothing,
    feature_blocks,
    smooth_counts,
)
from explicit_softmax.solution.theorem import solve, sparse_evidence
from explicit_softmax.text.windows import OneHotWindows

# Windows that choose betas: their scores, of all blocks, take at most 64 MiB.
_MOST_SCORES = 2**24
_MOST_WINDOWS = 2**11

# The search of a strength: where it starts, its factor, and how often at most.
_FIRST_STRENGTH = 0.1
_STRENGTH_STEP = 4.0
_MOST_STEPS = 8

# Windows that strengths are compared on, at most.
_SEARCH_SCORES = 2**22

# Relative precision of a loss, which is known from a sample of windows only.
_TOL = 1e-6

# Scores of a chunk of this many values stay in cache.
_CHUNK_VALUES = 2**20

# A decoder of at most this many values (512 MiB in float32) is made dense to score
# more windows than this: products are then twice as fast.
_MOST_DENSE_VALUES = 2**27
_MANY_WINDOWS = 2**14


@dataclass(frozen=True, eq=False)
class WindowSolution:
    """Decoder of one-hot windows, and the numbers that were chosen for it.

    Parameters
    ----------
    decoder : Decoder
        Scores of `OneHotWindows`.
    strength : float
        Smoothing strength.
    calibration : Calibration
        Inverse temperatures, and their leave-one-out log-loss; NaN if given.
    smoothing : {"prior", "uniform", "noise"} or None
        What the strength is of.
    """

    decoder: Decoder
    strength: float
    calibration: Calibration
    smoothing: Smoothing


def window_limit(n_classes: int, n_blocks: int) -> int:
    """How many windows to keep for leave-one-out choices."""
    limit = _MOST_SCORES // (n_classes * n_blocks)
    return int(np.clip(limit, LEAST_ROWS, _MOST_WINDOWS))


def draw_windows(rows: OneHotWindows, limit: int) -> RetainedRows:
    """At most `limit` windows and their targets, always the same ones."""
    n_rows = rows.shape[0]
    members = np.arange(min(n_rows, limit))
    if n_rows > limit:
        rng = np.random.default_rng(0)
        members = np.sort(rng.choice(n_rows, size=limit, replace=False))
    codes = rows.stream.tokens[rows.stream.positions(members)]
    drawn = replace(rows, dtype=np.float64)[members]
    return RetainedRows(drawn, codes, np.ones(members.size))


def solve_windows(
    counts: CooccurrenceCounts,
    retained: RetainedRows,
    context_size: int,
    n_blocks: int,
    *,
    smoothing: Smoothing = "prior",
    strength: float | None = None,
    beta: FloatArray | float | None = None,
    dtype: Any = np.float64,
) -> WindowSolution:
    """Solve counted windows; what is not given is chosen by leave-one-out log-loss.

    Parameters
    ----------
    counts : CooccurrenceCounts
        As `count_windows` gives them.
    retained : RetainedRows
        Some of the windows that were counted.
    context_size : int
        K, the norm of a row.
    n_blocks : int
        1 for Sum, `context_size` for Cat.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `smooth_counts`.
    strength : float, default=None
        As in `smooth_counts`; chosen by default. Of no effect for the noise model.
    beta : float or ndarray of shape (n_blocks,), default=None
        Inverse temperatures; chosen by default.
    dtype : dtype, default=float64
        Type of the decoder.

    Returns
    -------
    solution : WindowSolution

    Notes
    -----
    Strengths are compared on counts of the tokens of the retained windows alone, with
    the column sums of all; logarithms of all counts are taken once, for the best. The
    search goes up or down from 0.1 in steps of a factor 4 while the loss falls, and
    ends in the vertex of the parabola through the last three, over log strength.
    """
    blocks = feature_blocks(counts.n_features, n_blocks)
    norm = float(context_size)
    if beta is not None:
        beta = np.broadcast_to(np.asarray(beta, dtype=float), (n_blocks,))
    if strength is None and smoothing in ("prior", "uniform"):
        strength = _best_strength(counts, retained, blocks, smoothing, norm, beta)
    strength = _FIRST_STRENGTH if strength is None else strength
    smoothed = smooth_counts(counts, smoothing, strength, blocks)
    if beta is None:
        found = _calibrated(smoothed, retained, norm)
    else:
        no_shift = np.zeros(counts.n_classes)
        found = Calibration(beta, 1.0, no_shift, no_shift, float("nan"))
    decoder = _decoder(smoothed, found.beta, norm, dtype)
    return WindowSolution(decoder, strength, found, smoothing)


def token_log_likelihood(
    decoder: Decoder, rows: OneHotWindows, targets: IntArray
) -> Iterator[NDArray[np.float64]]:
    """Log-probabilities of targets in nats, chunk after chunk.

    Parameters
    ----------
    decoder : Decoder
        Of windows.
    rows : OneHotWindows
        Windows.
    targets : ndarray of int, shape (n_windows,)
        The token after each.
    """
    values = decoder.weights.shape[0] * decoder.n_classes
    if rows.shape[0] > _MANY_WINDOWS and values <= _MOST_DENSE_VALUES:
        decoder = decoder.densify()
    for chunk in row_blocks(rows.shape[0], decoder.n_classes, _CHUNK_VALUES):
        scores = decoder.scores(rows[chunk])
        # In place: new arrays of this size would cost more than the exponentials.
        own = scores[np.arange(len(scores)), targets[chunk]].astype(np.float64)
        highest = scores.max(axis=1, keepdims=True)
        scores -= highest
        np.exp(scores, out=scores)
        total = np.log(scores.sum(axis=1), dtype=np.float64)
        yield own - highest.ravel() - total


def _best_strength(
    counts: CooccurrenceCounts,
    retained: RetainedRows,
    blocks: tuple[slice, ...],
    smoothing: Smoothing,
    norm: float,
    beta: FloatArray | None,
) -> float:
    n_scores = len(retained.y) * counts.n_classes * len(blocks)
    every = slice(None, None, max(1, n_scores // _SEARCH_SCORES))
    search = RetainedRows(
        sp.csr_array(retained.X[every]),
        retained.y[every],
        retained.weights[every],
    )
    start = None if beta is None else np.asarray(beta)

    def loss(log_strength: float) -> float:
        nonlocal start
        smoothed = smooth_counts(counts, smoothing, float(np.exp(log_strength)), blocks)
        found = _calibrated(smoothed, search, norm, beta, start)
        start = found.beta
        return found.log_loss

    first, step = np.log(_FIRST_STRENGTH), np.log(_STRENGTH_STEP)
    losses = {0: loss(first), 1: loss(first + step)}
    direction, at = (1, 1) if losses[1] < losses[0] else (-1, 0)
    shift = 0.0
    while abs(at) < _MOST_STEPS:
        following = at + direction
        if following not in losses:
            losses[following] = loss(first + following * step)
        if losses[following] >= losses[at]:
            before, here, after = (losses[at + offset] for offset in (-1, 0, 1))
            curvature = before - 2 * here + after
            shift = 0.5 * (before - after) / curvature if curvature > 0 else 0.0
            break
        at = following
    return float(np.exp(first + (at + shift) * step))


def _calibrated(
    smoothed: SmoothedCounts,
    retained: RetainedRows,
    norm: float,
    beta: FloatArray | None = None,
    start: FloatArray | None = None,
) -> Calibration:
    """Leave-one-out betas, or the loss at given ones."""
    rows = retained.X
    if not smoothed.is_noise:  # which needs all counts of a class
        touched = np.unique(rows.indices)
        smoothed, rows = _restricted(smoothed, touched), _columns(rows, touched)
    held_out = leave_one_out(
        solve(smoothed, "sparse"),
        rows,
        retained.y,
        sample_weight=retained.weights,
    )
    return calibrate(held_out, norm, beta=beta, norm_weight=1.0, start=start, tol=_TOL)


def _restricted(smoothed: SmoothedCounts, features: IntArray) -> SmoothedCounts:
    """Smoothed counts of some features, with the column sums of all of them."""
    stops = np.searchsorted(features, [block.stop for block in smoothed.blocks])
    starts = np.concatenate(([0], stops[:-1]))
    counts = smoothed.counts
    return replace(
        smoothed,
        counts=replace(counts, cooccurrence=counts.cooccurrence[features]),
        blocks=tuple(map(slice, starts.tolist(), stops.tolist())),
        scale=smoothed.scale[features],
        offset=smoothed.offset[features],
    )


def _columns(rows: sp.csr_array, features: IntArray) -> sp.csr_array:
    """Rows over some features, all of those that they have."""
    places = np.searchsorted(features, rows.indices).astype(rows.indices.dtype)
    return sp.csr_array(
        (rows.data, places, rows.indptr), shape=(rows.shape[0], features.size)
    )


def _decoder(
    smoothed: SmoothedCounts, beta: FloatArray, norm: float, dtype: Any
) -> Decoder:
    """Decoder of windows, with the indices of the counts, of which there is one copy.

    What is added for the norm of each block of a window, always the same, goes to the
    intercept. What is the same for all classes is left out: large betas make it so
    large that the rest would be lost in float32.
    """
    counts = sp.csr_array(smoothed.counts.cooccurrence)
    data = np.empty(counts.nnz, dtype=dtype)
    intercept = smoothed.log_count + smoothed.log_norm
    left: list[FloatArray] = [np.zeros((counts.shape[0], 0))]
    right: list[FloatArray] = [np.zeros((counts.shape[1], 0))]
    for b, block in enumerate(smoothed.blocks):
        part = sparse_evidence(smoothed, b)
        stored = slice(counts.indptr[block.start], counts.indptr[block.stop])
        data[stored] = beta[b] * part.weights.data
        intercept += norm / len(smoothed.blocks) * beta[b] * part.right[:, 0]
        left.append(np.zeros((counts.shape[0], part.left.shape[1] - 1)))
        left[-1][block] = part.left[:, 1:]
        right.append(beta[b] * (part.right[:, 1:] - part.right[:, 1:].mean(axis=0)))
    return Decoder(
        sp.csr_array((data, counts.indices, counts.indptr), shape=counts.shape),
        np.hstack(left).astype(dtype),
        np.hstack(right).astype(dtype),
        (intercept - intercept.mean()).astype(dtype),
    )
