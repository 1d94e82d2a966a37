"""Exact leave-one-out scores of the explicit solution.

Notes
-----
Taking row m of class y out of the counts changes only column y of F: F_y - r h_m, and
S_y - r |h_m|, where r = min(w_m, 1) is one unit of its weight w_m. With "prior" the
mass of the class that is added changes with it, v_y = c (S_y - r |h_m|). All other
columns, and so the scores of all other classes, stay as they are. The leave-one-out
scores of all rows are therefore the ordinary ones except for one entry per row, the own
class, which is the sum over the features of the row of h_d times its evidence

    l_d = log(a_d (C_yd - r h_d) + u_d v_y) - log S~_y,

everything without the row: a logarithm for each non-zero feature, and the count n_y - r
in the prior. A feature that no other row has is no evidence at all under "prior". The
loss of the row counts w_m times, so that a weight of 2 equals the row twice.

With the noise model the row passes through E, hE = q h + t p with t = h.(1 - q), which
is dense, and the noise mass v_y = (1 - q)'C_y becomes v_y - r t. The evidence of a
feature is q_d log F~_yd + (1 - q_d) sum_e p_e log F~_ye - log S~_y; for a row with
sparse features the sum over all features is taken over the non-zero counts of the
class, the rest being constant.

Held fixed while a row is out: c, the mass that "prior" adds per unit of the mass of a
class, which depends on the number of all non-zero features; the unit of smoothing; the
priming number; the sum of the class counts, and the count that stands in for none. Each
moves by one part in the number of rows. q and p of "noise" are held fixed as well,
since they concern all classes: p moves by one part in the number of rows, but
q = f/(f + 1) of a feature with frequency f by 1/(f (f + 1)), which is one half where no
other row has the feature.

A class whose only row is out is a class that was never seen: its counts vanish, and
what `smoothing` gives to such a class remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import (
    FloatArray,
    IntArray,
    Rows,
    entry_blocks,
    look_up_table,
    remainder,
    row_blocks,
    row_norms,
    row_scale,
    values_at,
    without_empty_columns,
)
from explicit_softmax.solution.decoder import best_ordered
from explicit_softmax.solution.smoothing import SmoothedCounts, log_class_frequency
from explicit_softmax.solution.theorem import (
    Calibration,
    Layout,
    block_log_likelihood,
    is_sparse_layout,
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
    return next(
        leave_one_out_each(
            [smoothed],
            X,
            y,
            sample_weight=sample_weight,
            norm_exponent=norm_exponent,
            layout=layout,
        )
    )


def leave_one_out_each(
    smoothings: Iterable[SmoothedCounts],
    X: Rows,
    y: IntArray,
    *,
    sample_weight: FloatArray | None = None,
    norm_exponent: float = 0.0,
    layout: Layout = "auto",
) -> Iterator[LeaveOneOut]:
    """`leave_one_out` with the same counts smoothed by each of some strengths.

    What does not depend on the strength, such as the counts of the features of a row in
    its own class, is looked up once.
    """
    parts: list[Rows] = []
    entries: list[list[OwnEntries]] = []
    ordered: list[Rows] = []
    features: IntArray | None = None
    known: Any = None
    for smoothed in smoothings:
        left = without_each(smoothed, X, y, sample_weight, norm_exponent)
        rows, counts = left.X, smoothed.counts
        if sp.issparse(rows) and counts.is_sparse and not smoothed.is_noise:
            # Logarithms of the counts of features that no row has would not be used.
            if features is None:
                rows, features = without_empty_columns(rows)
            smoothed = smoothed.restricted(features, known)
            known = smoothed.counts.cooccurrence
        if not parts:
            blocks = smoothed.blocks
            parts = [rows] if len(blocks) == 1 else [rows[:, part] for part in blocks]
            entries = [
                list(own_entries(smoothed, b, part, left)) if sp.issparse(part) else []
                for b, part in enumerate(parts)
            ]
            ordered = parts
            if sp.issparse(rows) and is_sparse_layout(smoothed.counts, layout):
                ordered = [
                    best_ordered(
                        part, sp.csr_array(smoothed.counts.cooccurrence[block])
                    )
                    for part, block in zip(parts, blocks, strict=True)
                ]
        yield _left_out(smoothed, left, parts, ordered, entries, layout)


def _left_out(
    smoothed: SmoothedCounts,
    left: WithoutEach,
    parts: list[Rows],
    ordered: list[Rows],
    entries: list[list[OwnEntries]],
    layout: Layout,
) -> LeaveOneOut:
    """Leave-one-out scores of rows, given by block, with their entries if sparse.

    `ordered` are the same parts as they are best multiplied with the weights.
    """
    y, n_rows = left.y, len(left.y)
    at = np.arange(n_rows)
    out = np.empty((len(parts), n_rows, smoothed.counts.n_classes))
    for b, part in enumerate(parts):
        out[b] = block_log_likelihood(smoothed, b, layout).scores(ordered[b])
        out[b] *= left.scale[:, None]
        out[b][at, y] = _own_class(smoothed, b, part, left, entries[b])
    log_count = np.tile(smoothed.log_count, (n_rows, 1))
    log_count[at, y] = left.log_count
    log_norm = np.tile(left.log_norm_of_all, (n_rows, 1))
    log_norm[at, y] = left.log_norm
    norms = left.norms.sum(axis=1)
    return LeaveOneOut(
        out, log_count, log_norm, smoothed.log_count, norms, y, left.weights
    )


@dataclass(frozen=True, eq=False)
class WithoutEach:
    """Rows that were counted, and what is left of their own classes without them.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_rows, n_features)
        Rows that have features.
    y, weights, scale : ndarray of shape (n_rows,)
        Their classes, the weights of their losses, and the factors of their features.
    unit : ndarray of shape (n_rows,)
        r, the weight that is taken out.
    norms, offset, mass, noise_mass : ndarray of shape (n_rows, n_blocks)
        Scaled norms |h|; v and S~ of the own class without the row; and t, what the
        noise model spreads of the row.
    log_count, log_norm : ndarray of shape (n_rows,)
        Log frequency and log mean norm of the own class without the row.
    log_norm_of_all : ndarray of shape (n_classes,)
        Log mean norm of each class, no row taken out.
    """

    X: Rows
    y: IntArray
    weights: NDArray[np.float64]
    scale: NDArray[np.float64]
    unit: NDArray[np.float64]
    norms: NDArray[np.float64]
    offset: NDArray[np.float64]
    mass: NDArray[np.float64]
    noise_mass: NDArray[np.float64]
    log_count: NDArray[np.float64]
    log_norm: NDArray[np.float64]
    log_norm_of_all: NDArray[np.float64]

    def part(self, rows: slice) -> WithoutEach:
        """Some of the rows."""
        of_rows = {k: v[rows] for k, v in vars(self).items() if k != "log_norm_of_all"}
        return replace(self, **of_rows)


def without_each(
    smoothed: SmoothedCounts,
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None,
    norm_exponent: float,
) -> WithoutEach:
    """What is left of the class of each row without it; arguments as those above."""
    norms = row_norms(X)
    filled = np.flatnonzero(norms > 0)
    weights = np.ones(norms.size) if sample_weight is None else sample_weight
    if filled.size < norms.size:
        X, y, weights, norms = X[filled], y[filled], weights[filled], norms[filled]
    scale = np.asarray(row_scale(norms, norm_exponent), dtype=float)
    unit = np.minimum(weights, 1.0)
    blocks, counts = smoothed.blocks, smoothed.counts
    parts = [X] if len(blocks) == 1 else [X[:, block] for block in blocks]
    block_norms = norms[:, None] if len(parts) == 1 else _columns(map(row_norms, parts))
    block_norms = block_norms * scale[:, None]
    taken = unit[:, None] * block_norms
    counted = _columns(counts.block_mass(block)[y] for block in blocks)
    mass = _rest(counted, taken, counts.largest_mass)
    offset = smoothed.class_offset[y]
    noise_mass = np.zeros_like(offset)
    if smoothed.is_noise:
        spread = 1.0 - smoothed.scale
        noise_mass = scale[:, None] * _columns(
            part @ spread[block] for part, block in zip(parts, blocks, strict=True)
        )
        # Classes that have nothing left in a block.
        unseen = mass == 0
        offset = np.where(unseen, smoothed.unit, offset - unit[:, None] * noise_mass)
        mass = np.where(unseen, smoothed.unit, mass)
    else:
        sizes = np.array([block.stop - block.start for block in blocks])
        if smoothed.marginal_share:
            rest = np.maximum(counts.class_mass[y] - taken.sum(axis=1), smoothed.unit)
            offset = np.zeros_like(offset) + smoothed.marginal_share * rest[:, None]
        mass += offset * sizes
    own_count = _rest(counts.class_count[y], unit, counts.largest_count)
    log_count = log_class_frequency(own_count, like=counts.class_count)
    with np.errstate(divide="ignore"):  # a class of one row without smoothing
        log_norm = np.log(mass.sum(axis=1)) - log_count
    return WithoutEach(
        X,
        y,
        np.asarray(weights, dtype=float),
        scale,
        unit,
        block_norms,
        offset,
        mass,
        noise_mass,
        log_count,
        log_norm,
        smoothed.log_norm,
    )


def _rest(
    counted: NDArray[np.float64], taken: NDArray[np.float64], largest: float
) -> NDArray[np.float64]:
    rest = remainder(counted, taken, largest)
    return np.maximum(rest, 0.0, out=rest)


def _columns(columns: Iterable[FloatArray]) -> NDArray[np.float64]:
    return np.stack([np.asarray(column) for column in columns], axis=1)


def _own_class(
    smoothed: SmoothedCounts,
    b: int,
    X: Rows,
    left: WithoutEach,
    entries: list[OwnEntries],
) -> NDArray[np.float64]:
    """Evidence of block b for the own class without the row."""
    if sp.issparse(X):
        own = np.zeros(X.shape[0])
        for some in entries:
            logs = sparse_own_logs(smoothed, b, some, left.offset[:, b], some.rest)
            terms = np.bincount(some.row, some.values * logs, len(some.y))
            own[some.rows] = terms
    else:
        own = _dense_own_class(smoothed, b, X, left)
    check_own_class(own)
    return np.asarray(own - left.norms[:, b] * np.log(left.mass[:, b]))


def check_own_class(evidence: FloatArray) -> None:
    """ValueError if some evidence of the own class of a row is not finite."""
    if not np.isfinite(evidence).all():
        raise ValueError(
            "leave-one-out scores need smoothing: without some row a co-occurrence of "
            "its class vanishes. Choose smoothing='prior', 'uniform', or 'noise', or "
            "give inverse_temperature a number."
        )


def _dense_own_class(
    smoothed: SmoothedCounts, b: int, X: FloatArray, left: WithoutEach
) -> NDArray[np.float64]:
    """Sum of (hE)_d log(F~_yd / u_d) over the features of a block, rows dense."""
    counts = _by_class(smoothed, smoothed.blocks[b])
    own = np.empty(X.shape[0])
    for rows in row_blocks(X.shape[0], X.shape[1], _CHUNK_VALUES):
        scaled, logs = _dense_own_logs(smoothed, b, counts, X[rows], left.part(rows))
        own[rows] = np.einsum("ij,ij->i", scaled, logs)
    return own


def dense_own_gains(
    smoothed: SmoothedCounts, left: WithoutEach
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Value times the evidence for the own class without the row, less that with it.

    Some rows at a time, for dense rows, (n_rows, n_features); not for "noise".
    """
    of_blocks = []
    for b, block in enumerate(smoothed.blocks):
        counts = _by_class(smoothed, block)
        within = np.log(
            counts * smoothed.ratio(block) + smoothed.class_offset[:, b, None]
        )
        of_blocks.append((block, counts, within))
    for rows in row_blocks(len(left.y), left.X.shape[1], _CHUNK_VALUES):
        part = left.part(rows)
        gains = np.empty(part.X.shape)
        for b, (block, counts, within) in enumerate(of_blocks):
            X = part.X[:, block]
            scaled, logs = _dense_own_logs(smoothed, b, counts, X, part)
            logs -= within[part.y]
            logs += np.log(smoothed.block_mass[part.y, b] / part.mass[:, b])[:, None]
            np.multiply(scaled, logs, out=gains[:, block])
        check_own_class(gains)
        yield rows, gains


def _by_class(smoothed: SmoothedCounts, block: slice) -> NDArray[np.float64]:
    """Counts of a block as a dense array (n_classes, n_features)."""
    counts = smoothed.counts.cooccurrence[block]
    return np.asarray((counts.toarray() if sp.issparse(counts) else counts).T.copy())


def _dense_own_logs(
    smoothed: SmoothedCounts,
    b: int,
    counts: NDArray[np.float64],
    X: FloatArray,
    left: WithoutEach,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scaled rows hE of a block, and log(F~_yd / u_d) without the row."""
    block = smoothed.blocks[b]
    scaled = X * left.scale[:, None]
    taken = scaled * left.unit[:, None]
    logs = _rest(counts[left.y], taken, smoothed.counts.largest_mass)
    if smoothed.is_noise:
        logs *= smoothed.ratio(block)
        scaled *= smoothed.scale[block]
        scaled += left.noise_mass[:, b, None] * smoothed.offset[block]
    logs += left.offset[:, b, None]
    with np.errstate(divide="ignore"):  # counts of zero without smoothing
        np.log(logs, out=logs)
    return scaled, logs


@dataclass(frozen=True, eq=False)
class OwnEntries:
    """Features that some rows store in a block, and their counts in the own class.

    Parameters
    ----------
    rows, stored : slice
        Which rows, and where their entries are among those of all rows.
    y : ndarray of int, shape (n_rows,)
        Classes of the rows.
    row, feature : ndarray of int, shape (n_stored,)
        Row of each entry, counted from the first, and its feature within the block.
    values : ndarray of shape (n_stored,)
        Scaled features.
    counted, rest : ndarray of shape (n_stored,)
        Count of the feature in the class of the row, and what is left without the row.
    """

    rows: slice
    stored: slice
    y: IntArray
    row: IntArray
    feature: IntArray
    values: NDArray[np.float64]
    counted: NDArray[np.float64]
    rest: NDArray[np.float64]


def own_entries(
    smoothed: SmoothedCounts, b: int, X: Rows, left: WithoutEach
) -> Iterator[OwnEntries]:
    """Entries of sparse rows in block b, in their order.

    As many at a time as stay in cache, of some rows (CSR) or of some features (CSC).
    """
    counts, y = smoothed.counts, left.y
    table = look_up_table(counts.cooccurrence[smoothed.blocks[b]], X.nnz)
    # Each chunk takes a pass over the features where they have noise of their own.
    size = max(_CHUNK_VALUES, X.shape[1] if smoothed.is_noise else 0)
    for rows, stored, major in entry_blocks(X, table, size):
        if X.format == "csc":
            rows, row, feature = slice(0, len(y)), X.indices[stored], major
        else:
            row, feature = major - rows.start, X.indices[stored]
        scale, data = left.scale[rows], X.data[stored]
        counted = values_at(table, feature, y[rows][row])
        taken = data * (scale * left.unit[rows])[row]
        rest = _rest(counted, taken, counts.largest_mass)
        entry = row, feature, data * scale[row]
        yield OwnEntries(rows, stored, y[rows], *entry, counted, rest)


def sparse_own_logs(
    smoothed: SmoothedCounts,
    b: int,
    entries: OwnEntries,
    class_offset: NDArray[np.float64],
    left: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Evidence of each entry of sparse rows for the own class of the row.

    It is that of a block of features, E folded in, but for - log S~_y. `class_offset`
    is v of the own class of each of all rows, and `left` what counts of the entries.
    """
    block, feature, row = smoothed.blocks[b], entries.feature, entries.row
    of_row = class_offset[entries.rows]
    offset = of_row[row]
    ratio = smoothed.ratio(block)[feature] if smoothed.is_noise else 1.0
    lifted = ratio * left
    lifted += offset
    with np.errstate(divide="ignore"):
        has_log = (lifted > 0) | (entries.values > 0)
        logs = np.log(lifted, out=np.zeros_like(lifted), where=has_log)
    if not smoothed.is_noise:
        return np.asarray(logs)
    # The sum of p log F~ over all features: those of the row once more, where the
    # counts without the row differ.
    noise = smoothed.offset[block][feature]
    before = np.log(ratio * entries.counted + offset)
    through = _noise_sums(smoothed, b, entries.y, of_row)
    through += np.bincount(row, noise * (logs - before), len(of_row))
    kept = smoothed.scale[block][feature]
    return np.asarray(kept * logs + (1.0 - kept) * through[row])


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
