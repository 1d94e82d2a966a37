"""Inverse temperatures of groups of features, and of every feature, by leave-one-out.

Notes
-----
With e_di the evidence log F~_di - log S~_i of a feature and beta_d its own inverse
temperature, the score of class i is sum_d beta_d h_d e_di plus terms of the class.
Without the row, the evidence for its own class y is l_md in place of e_dy (see
`leave_one_out`). The scores are linear in beta and in the translations, so that the
leave-one-out log-loss is convex in them, and its gradient

    sum_m h_md (sum_i R_mi e_di + R_my (l_md - e_dy)),    R = softmax - one-hot,

takes two products with the rows. A row is scored as if it had not been counted: D
numbers instead of D x N, chosen without a validation set.

Every beta has a prior around that of its block,

    1/2 (beta_d / beta_block - 1)^2,

of the weight of one row for groups. The more features a row has, the smaller is the
beta of their block, and the less a row can say of one of them: for single features the
weight falls with their number. (What predicts rows best that were not counted is 2 to 4
for texts of ten words, 1 for 35, and 0.2 to 0.5 for 100 or more words and n-grams;
leave-one-out cannot tell, because rows that share rare features speak for the betas of
each other.) Rare features are over-confident in another way than frequent ones: where
there are too many rows, or a stream of them, groups of features with like
document frequency have a common beta in place of one for each feature. (Betas of
features around those of such groups are no better in hold-out rows than around that of
the block.) Leave-one-out sees a feature of k documents as one of k - 1: groups are
those of the frequency without the row there, and of all rows in prediction. A feature
of one document is then judged by what those of two are worth to a row that is out.
(Groups by the frequency with the row would let leave-one-out recognise rows.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.calibration.leave_one_out import (
    WithoutEach,
    check_own_class,
    dense_own_gains,
    own_entries,
    sparse_own_logs,
    without_each,
)
from explicit_softmax.solution.counts import (
    FloatArray,
    IntArray,
    Rows,
    entry_rows,
    row_blocks,
    row_norms,
    without_empty_columns,
)
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import cross_entropy_residual
from explicit_softmax.solution.progress import listener
from explicit_softmax.solution.smoothing import SmoothedCounts
from explicit_softmax.solution.theorem import Calibration, evidence_decoder

# Lower edges of the groups: frequencies 0, 1, 2, 3, 4 to 7, 8 to 15, ..., 4096 and up.
_EDGES = np.array([1.0, 2.0, 3.0, *2.0 ** np.arange(2, 13)])
N_GROUPS = len(_EDGES) + 1

# With more than this share of non-zero features, such as pixels, the frequency of a
# feature says little, and each block is one group.
_DENSE_SHARE = 0.1

# A group whose beta is next to zero still is one that a feature can depart from.
_LEAST_SHARE = 0.05

# It is a share of the largest beta of a block but of no more than this over the mean
# norm of rows: the beta of a block that next to no row has may be of any size.
_LARGEST_BETA = 10.0

# L-BFGS iterations for groups, and for single features: real texts take 10 to 16 of
# these, and 300,000 synthetic ones more, for 0.0015 nats of left-out ones.
GROUP_ITERATIONS = 30
FEATURE_ITERATIONS = 16

# An iteration for single features that lowers the loss by less than this share of a
# nat, over the root of the number of rows, is the last: a small part of the standard
# error of the loss.
_PRECISION = 0.02

# Share of the variance of evidence over all classes that is left where a row has been
# told from most of them: it scales factors and translations for L-BFGS.
_LEFT_VARIANCE = 0.03

# The weight of the prior of a single beta is this over the number of features that a
# row has, from 0.4 to 2 rows.
_PRIOR_FEATURES = 40.0
_PRIOR_WEIGHTS = 0.4, 2.0

# Evidence of up to this many features times classes is held dense for all rows; beyond,
# it is made for some rows at a time.
_HELD_VALUES = 2**27

# Features of rows read at a time.
_CHUNK_VALUES = 2**22

# Scores of so many rows and classes stay in cache.
_SCORES = 2**17

# Products with up to this many scores go column by column, all rows at once; of more,
# so many at a time. They stay near the cache.
_BY_COLUMN = 2**22
_SOME_BY_COLUMN = 2**20

# What remains of a frequency after subtraction is right to this share.
_ROUNDING = 1e-9


def has_groups(smoothed: SmoothedCounts) -> bool:
    """Whether document frequencies are known and tell features apart."""
    counts = smoothed.counts
    cells = float(counts.class_count.sum()) * counts.n_features
    return counts.document_frequency is not None and (
        counts.n_nonzero <= _DENSE_SHARE * cells
    )


def frequency_parts(
    smoothed: SmoothedCounts, features: IntArray, taken: FloatArray | float = 0.0
) -> IntArray:
    """Number of block and group, block * N_GROUPS + group, of each of some features.

    `taken` is the weight that is taken out of their document frequencies.
    """
    stops = [block.stop for block in smoothed.blocks]
    parts = np.searchsorted(stops, features, "right") * N_GROUPS
    if has_groups(smoothed):
        frequency = smoothed.counts.document_frequency[features]  # type: ignore[index]
        rest = (frequency - taken) * (1.0 + _ROUNDING)
        parts += np.searchsorted(_EDGES, rest, "right")
    return parts


@dataclass(frozen=True, eq=False)
class LoneFeatures:
    """Features that no row but one has: without it they are like any never seen.

    Nothing but the prior tells their temperatures. What they say is the same for all of
    a block, and nothing at all under "prior" in a single block.

    Parameters
    ----------
    norms, gains : ndarray of shape (n_rows, n_blocks)
        What the rows have of them, and the evidence of that for their own class without
        the row, less that of features never seen with it.
    evidence : ndarray of shape (n_blocks, n_classes)
        That of a feature never seen, up to a constant for each block.
    """

    norms: NDArray[np.float64]
    gains: NDArray[np.float64]
    evidence: NDArray[np.float64]

    @classmethod
    def none(cls, smoothed: SmoothedCounts, left: WithoutEach) -> LoneFeatures:
        """Where they are treated as others."""
        nothing = np.zeros_like(left.norms)
        return cls(nothing, nothing, np.zeros_like(smoothed.class_offset.T))

    @classmethod
    def apart(
        cls, smoothed: SmoothedCounts, left: WithoutEach
    ) -> tuple[WithoutEach, LoneFeatures]:
        """Rows without them, and they."""
        frequency, rows = smoothed.counts.document_frequency, sp.csr_array(left.X)
        if frequency is None:
            return left, cls.none(smoothed, left)
        others = frequency * (1.0 - _ROUNDING)
        may_be_lone = others <= left.unit.max(initial=0.0)
        at = np.flatnonzero(may_be_lone[rows.indices])
        row = np.searchsorted(rows.indptr, at, "right") - 1
        is_lone = others[rows.indices[at]] <= left.unit[row]
        at, row = at[is_lone], row[is_lone]
        if not at.size:
            return left, cls.none(smoothed, left)
        feature = rows.indices[at]
        block = np.searchsorted(
            [block.stop for block in smoothed.blocks], feature, "right"
        )
        norms = np.zeros(left.norms.shape)
        np.add.at(norms, (row, block), rows.data[at] * left.scale[row])
        evidence = np.log(smoothed.class_offset / smoothed.block_mass)
        gains = norms * (np.log(left.offset / left.mass) - evidence[left.y])
        kept = np.ones(rows.nnz, dtype=bool)
        kept[at] = False
        lengths = np.diff(rows.indptr) - np.bincount(row, minlength=len(left.y))
        indptr = np.concatenate(([0], np.cumsum(lengths)), dtype=rows.indptr.dtype)
        parts = rows.data[kept], rows.indices[kept], indptr
        rest = replace(left, X=sp.csr_array(parts, shape=rows.shape))
        evidence = evidence - evidence.mean(axis=0)
        return rest, cls(norms, gains, evidence.T)


@dataclass(frozen=True, eq=False)
class FeatureEvidence:
    """What the features of rows say, by models that never saw the row.

    Parameters
    ----------
    X : ndarray, csr_array, or csc_array of shape (n_rows, n_columns)
        Scaled features over `unit`. A column is a feature or, where rows of unequal
        weight see a feature in two groups, a feature in one of them.
    own : ndarray, csr_array, or csc_array of shape (n_rows, n_columns)
        Value times the evidence for the own class without the row, less that with it.
    unit : float
        A power of two about the norm of rows, which brings values into the range of
        float32.
    feature, part : ndarray of int, shape (n_columns,)
        Feature of each column, and its part: see `frequency_parts`.
    weights : Decoder
        Evidence for all classes.
    place : ndarray of int, shape (n_columns,)
        Where the feature of a column is among those of `weights`.
    left : WithoutEach
        The rows, and what is left of their own classes.
    log_count, log_norm : ndarray of shape (n_classes,)
        Log frequency and log mean norm of each class, no row taken out.
    lone : LoneFeatures
        Those of the features of the rows that are no columns.
    """

    X: Rows
    own: Rows
    unit: float
    feature: IntArray
    part: IntArray
    weights: Decoder
    place: IntArray
    left: WithoutEach
    log_count: NDArray[np.float64]
    log_norm: NDArray[np.float64]
    lone: LoneFeatures

    @classmethod
    def of(
        cls,
        smoothed: SmoothedCounts,
        X: Rows,
        y: IntArray,
        sample_weight: FloatArray | None,
        norm_exponent: float,
        sets_apart: bool = False,
        dtype: Any = np.float64,
    ) -> FeatureEvidence:
        """Evidence of rows that are in the counts; arguments as `leave_one_out`.

        With `sets_apart`, features that no other row has are no columns where that is
        exact for factors of one. `dtype` is that of sparse rows.
        """
        left = without_each(smoothed, X, y, sample_weight, norm_exponent)
        unit = float(2.0 ** np.frexp(left.norms.sum(axis=1).mean() or 1.0)[1])
        if _stays_dense(smoothed, left.X):
            return cls._of_dense(smoothed, left, unit)
        lone = LoneFeatures.none(smoothed, left)
        if sets_apart and not smoothed.is_noise and smoothed.class_offset.all():
            left, lone = LoneFeatures.apart(smoothed, left)
        rows = sp.csr_array(left.X)
        n_rows, n_features = rows.shape
        n_classes = smoothed.counts.n_classes
        is_even = left.unit.size and (left.unit == left.unit[0]).all()
        is_small = n_features * n_classes <= _HELD_VALUES
        is_small &= n_rows * n_classes <= _BY_COLUMN
        if is_even and is_small and not smoothed.is_noise:
            # As the loss will read them.
            rows = sp.csc_array(rows)
            feature = np.flatnonzero(np.diff(rows.indptr))
            ends = np.append(rows.indptr[feature], rows.indptr[-1:])
            columns: tuple[IntArray, IntArray] = rows.indices, ends
        else:
            narrow, feature = without_empty_columns(rows)
            columns = narrow.indices, rows.indptr
        place = np.arange(feature.size)
        if is_even:
            part = frequency_parts(smoothed, feature, left.unit[0])
        else:
            parts = frequency_parts(smoothed, rows.indices, left.unit[entry_rows(rows)])
            n_parts = len(smoothed.blocks) * N_GROUPS
            pairs = columns[0].astype(np.int64) * n_parts + parts
            pairs, column = np.unique(pairs, return_inverse=True)
            place, part = pairs // n_parts, pairs % n_parts
            columns = column.ravel().astype(rows.indices.dtype), rows.indptr
        values, own = _own_gains(smoothed, rows, left, unit, dtype)
        weights = smoothed
        if smoothed.is_noise:  # which spreads a row over all features
            place = feature[place]
        else:
            weights = smoothed.restricted(feature)
        shape = n_rows, place.size
        return cls(
            type(rows)((values, *columns), shape=shape),
            type(rows)((own, *columns), shape=shape),
            unit,
            place if smoothed.is_noise else feature[place],
            part,
            evidence_decoder(weights),
            place,
            left,
            smoothed.log_count,
            smoothed.log_norm,
            lone,
        )

    @classmethod
    def _of_dense(
        cls, smoothed: SmoothedCounts, left: WithoutEach, unit: float
    ) -> FeatureEvidence:
        """Evidence of dense rows in their own type, a column for each feature."""
        own = np.empty_like(left.X)
        for rows, gains in dense_own_gains(smoothed, left):
            own[rows] = gains / unit
        feature = np.arange(own.shape[1])
        return cls(
            left.X * (left.scale / unit)[:, None].astype(own.dtype),
            own,
            unit,
            feature,
            frequency_parts(smoothed, feature),
            evidence_decoder(smoothed),
            feature,
            left,
            smoothed.log_count,
            smoothed.log_norm,
            LoneFeatures.none(smoothed, left),
        )


def _stays_dense(smoothed: SmoothedCounts, X: Rows) -> bool:
    """Whether dense rows are best read as they are, as pixels are."""
    is_dense = isinstance(X, np.ndarray) and not smoothed.is_noise
    return is_dense and not has_groups(smoothed)


def _own_gains(
    smoothed: SmoothedCounts,
    rows: Rows,
    left: WithoutEach,
    unit: float = 1.0,
    dtype: Any = np.float64,
) -> FloatArray:
    """Scaled features, and they times what they say less of the own class.

    That is the evidence for the own class without the row, less that with it. Two
    values for each entry of sparse rows, CSR or CSC, (2, n_stored), in the given unit.
    """
    found = np.empty((2, rows.nnz), dtype)
    one_block = len(smoothed.blocks) == 1
    for b, block in enumerate(smoothed.blocks):
        part = rows if one_block else rows[:, block]
        offset, mass = smoothed.class_offset[left.y, b], smoothed.block_mass[left.y, b]
        with np.errstate(divide="ignore"):  # reported with the logarithms
            masses = np.log(left.mass[:, b]) - np.log(mass)
        of_block = found if one_block else np.empty((2, part.nnz), dtype)
        for some in own_entries(smoothed, b, part, left):
            gained = sparse_own_logs(smoothed, b, some, left.offset[:, b], some.rest)
            gained -= sparse_own_logs(smoothed, b, some, offset, some.counted)
            gained -= masses[some.rows][some.row]
            gained *= some.values
            check_own_class(gained)
            of_block[:, some.stored] = some.values / unit, gained / unit
        if not one_block:
            inside: Any = (block.start <= rows.indices) & (rows.indices < block.stop)
            if rows.format == "csc":
                inside = slice(*rows.indptr[[block.start, block.stop]])
            found[:, inside] = of_block
    return found


def own_margins(
    smoothed: SmoothedCounts,
    calibration: Calibration,
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None,
    norm_exponent: float,
) -> NDArray[np.float64]:
    """Leave-one-out less ordinary score of the own class of each row.

    Zero for rows without any feature. Arguments as `leave_one_out`.
    """
    beta = calibration.beta
    if beta.size == len(smoothed.blocks):
        sizes = [block.stop - block.start for block in smoothed.blocks]
        beta = np.repeat(beta, sizes)
    plain = replace(calibration, intercept_shift=0.0, column_shift=0.0)
    margins = np.zeros(len(y))
    left = without_each(smoothed, X, y, sample_weight, norm_exponent)
    gained = _prior_gained(plain, smoothed.log_count, smoothed.log_norm, left)
    if _stays_dense(smoothed, left.X):
        for some, gains in dense_own_gains(smoothed, left):
            gained[some] += gains @ beta
    else:
        rows = sp.csr_array(left.X)
        _, gains = _own_gains(smoothed, rows, left)
        gained += sp.csr_array((gains, rows.indices, rows.indptr), rows.shape) @ beta
    margins[row_norms(X) > 0] = gained
    return margins


def _prior_gained(
    calibration: Calibration,
    log_count: FloatArray,
    log_norm: FloatArray,
    left: WithoutEach,
) -> NDArray[np.float64]:
    """Prior of the own class of each row without the row, less that with it."""
    own = calibration.class_terms(left.log_count, left.log_norm)
    same = calibration.class_terms(log_count[left.y], log_norm[left.y])
    norms = left.norms.sum(axis=1)
    return np.asarray((own[0] - same[0]) * norms + own[1] - same[1])


class FeatureLoss:
    """Leave-one-out log-loss by factors of features and by translations of classes.

    The inverse temperature of column c is ``base[c] * factors[tie[c]]``. Called with a
    point, the factors and then the translations, it gives the objective, mean loss plus
    priors, and its gradient.

    Parameters
    ----------
    evidence : FeatureEvidence
        Of the rows.
    calibration : Calibration
        Priming number, place of the prior, and translations: where to start from if
        they are fitted.
    base, tie : ndarray of shape (n_columns,)
        As above.
    n_factors : int
        Number of factors.
    fits_shifts : bool
        Whether an intercept and a translation of the column of each class are fitted.
    prior_weight : float, default=1.0
        Weight of the priors: ``1/2 (factor - 1)**2``, and that of `calibrate`.
    lone_base : float or ndarray of shape (n_blocks,), default=1.0
        Inverse temperatures of features that are no columns.
    """

    def __init__(
        self,
        evidence: FeatureEvidence,
        calibration: Calibration,
        base: NDArray[np.float64],
        tie: IntArray,
        n_factors: int,
        fits_shifts: bool,
        prior_weight: float = 1.0,
        lone_base: FloatArray | float = 1.0,
    ) -> None:
        self.evidence, self.calibration = evidence, calibration
        unit = evidence.unit
        self.base = base * unit
        self.tie, self.n_factors = tie, n_factors
        self.prior_weight = prior_weight
        left, norms = evidence.left, evidence.left.norms.sum(axis=1)
        self.total = float(left.weights.sum())
        self.mean_norm = float(np.average(norms, weights=left.weights))
        n_classes = evidence.weights.n_classes
        fixed = calibration
        self.first_shifts = np.zeros((0, n_classes))
        if fits_shifts:
            slope = np.zeros(n_classes) + calibration.column_shift * self.mean_norm
            shift = slope + calibration.intercept_shift
            self.first_shifts = np.stack([shift, slope])
            fixed = replace(calibration, intercept_shift=0.0, column_shift=0.0)
        # Terms of the classes are products of these factors of rows.
        per_norm, intercept = fixed.class_terms(evidence.log_count, evidence.log_norm)
        lone = evidence.lone
        said = np.broadcast_to(lone_base, len(lone.evidence))[:, None] * lone.evidence
        # In the unit of the features, within the range of float32.
        self.class_terms = np.vstack([intercept, np.vstack([per_norm, said]) * unit])
        self.fixed_factors = np.column_stack(
            [np.ones_like(norms), norms / unit, lone.norms / unit]
        )
        self.shift_factors = np.stack(
            [np.ones_like(norms), norms / self.mean_norm - 1.0], axis=1
        )
        plain = replace(fixed, intercept_shift=0.0, column_shift=0.0)
        priors = evidence.log_count, evidence.log_norm
        self.own_prior = _prior_gained(plain, *priors, left)
        self.own_prior += (lone.gains * lone_base).sum(axis=1)
        self.held: list[tuple[slice, Any, Any, Any]] | None = None
        is_dense = isinstance(evidence.X, np.ndarray)
        if is_dense or len(tie) * n_classes <= _HELD_VALUES:
            held = np.empty((len(tie), n_classes), dtype=evidence.X.dtype)
            for part in row_blocks(len(tie), n_classes, _CHUNK_VALUES):
                held[part] = evidence.weights.weights_of(evidence.place[part])
            self.weights, self.held = held, list(self._held_chunks(n_classes))

    @property
    def start(self) -> NDArray[np.float64]:
        """Factors of one, and the translations of the calibration."""
        return np.concatenate((np.ones(self.n_factors), self.first_shifts.ravel()))

    def fitted(self, point: NDArray[np.float64]) -> Calibration:
        """The calibration with the translations of a point."""
        if not self.first_shifts.size:
            return self.calibration
        shift, slope = point[self.n_factors :].reshape(2, -1)
        return replace(
            self.calibration,
            intercept_shift=shift - slope,
            column_shift=slope / self.mean_norm,
        )

    def log_loss(self, point: NDArray[np.float64], objective: float) -> float:
        """Mean loss in nats, without the priors, of a point and its objective."""
        return float(objective - self._prior(point) / self.total)

    def __call__(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Objective and gradient, per unit of weight."""
        beta = self.base * point[: self.n_factors][self.tie]
        left = self.evidence.left
        loss, by_column = 0.0, np.zeros(len(beta))
        shifts = point[self.n_factors :].reshape(self.first_shifts.shape)
        sums = np.zeros_like(shifts)
        for rows, columns, X, own, weights in self._chunks():
            tempered = beta[columns].astype(X.dtype)
            scores = _tempered_product(X, tempered, weights)
            gained = own @ tempered + self.own_prior[rows]
            # A few rows at a time stay in cache.
            for part in row_blocks(len(scores), scores.shape[1], _SCORES):
                some = slice(rows.start + part.start, rows.start + part.stop)
                y, residual = left.y[some], scores[part]
                at = np.arange(len(y))
                residual += self._of_classes(some, shifts, residual.dtype)
                residual[at, y] += gained[part]
                losses, _ = cross_entropy_residual(residual, y)
                residual *= left.weights[some, None]
                loss += float(losses @ left.weights[some])
                if shifts.size:
                    sums += self.shift_factors[some].T @ residual
            residual = scores.astype(X.dtype, copy=False)
            by_column[columns] += np.einsum("ij,ij->i", X.T @ residual, weights)
            by_column[columns] += own.T @ residual[np.arange(len(scores)), left.y[rows]]
        slopes = np.bincount(self.tie, by_column * self.base, self.n_factors)
        slopes = np.concatenate((slopes, sums.ravel()))
        gradient = slopes + self.prior_weight * self._away(point)
        value = (loss + self._prior(point)) / self.total
        return value, np.asarray(gradient / self.total)

    def _of_classes(
        self, rows: slice, shifts: NDArray[np.float64], dtype: Any
    ) -> FloatArray:
        """Terms of the classes, (n_rows, n_classes)."""
        factors, terms = self.fixed_factors[rows], self.class_terms
        if shifts.size:
            factors = np.hstack([factors, self.shift_factors[rows]])
            terms = np.vstack([terms, shifts])
        return np.asarray(factors.astype(dtype) @ terms.astype(dtype))

    def _away(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        away = point.copy()
        away[: self.n_factors] -= 1.0
        return away

    def _prior(self, point: NDArray[np.float64]) -> float:
        away = self._away(point)
        return 0.5 * self.prior_weight * float(away @ away)

    def _chunks(self) -> Iterator[tuple[slice, Any, Any, Any, FloatArray]]:
        """Some rows at a time, their columns, features, and evidence."""
        if self.held is not None:
            # New memory for each chunk would cost as much as the copy.
            buffer = np.empty_like(self.weights)
            for rows, columns, *parts in self.held:
                weights = self.weights
                if not isinstance(columns, slice):
                    out = buffer[: len(columns)]
                    weights = weights.take(columns, axis=0, out=out, mode="clip")
                yield rows, columns, *parts, weights
            return
        found, n_classes = self.evidence, self.evidence.weights.n_classes
        n_rows = found.X.shape[0]
        width = n_classes * max(1, found.X.nnz // max(1, n_rows))
        for rows in row_blocks(n_rows, width, _HELD_VALUES // 2):
            X, own = found.X[rows], found.own[rows]
            (X, columns), (own, _) = map(without_empty_columns, (X, own))
            weights = found.weights.weights_of(found.place[columns])
            yield rows, columns, X, own, weights.astype(X.dtype, copy=False)

    def _held_chunks(self, n_classes: int) -> Iterator[tuple[slice, Any, Any, Any]]:
        """Some rows at a time, their columns, features, and evidence.

        Sparse ones are by column: their products read the evidence in order, once,
        while the scores stay in cache.
        """
        found = self.evidence
        n_rows = found.X.shape[0]
        if isinstance(found.X, np.ndarray):
            values = max(_SCORES, found.X.shape[1] * n_classes)
            for rows in row_blocks(n_rows, n_classes, values):
                yield rows, slice(None), found.X[rows], found.own[rows]
        elif n_rows * n_classes <= _BY_COLUMN:
            parts = sp.csc_array(found.X), sp.csc_array(found.own)
            yield slice(0, n_rows), slice(None), *parts
        else:
            for rows in row_blocks(n_rows, n_classes, _SOME_BY_COLUMN):
                X, columns = without_empty_columns(found.X[rows])
                own, _ = without_empty_columns(found.own[rows])
                yield rows, columns, sp.csc_array(X), sp.csc_array(own)

    @property
    def units(self) -> NDArray[np.float64]:
        """Changes of the roots of factors and of translations that weigh about alike.

        One over the root of the curvature, the variance of what a number adds to the
        scores of all rows and that of its prior.
        """
        found, left = self.evidence, self.evidence.left
        squares = np.zeros(len(self.tie))
        for _, columns, X, _, weights in self._chunks():
            spread = np.empty(len(weights))
            for part in row_blocks(len(weights), weights.shape[1], _SCORES):
                spread[part] = weights[part].var(axis=1, dtype=float)
            if sp.issparse(X):
                sums = X.power(2).T @ np.ones(X.shape[0], X.dtype)
            else:
                sums = np.einsum("ij,ij->j", X, X, dtype=float)
            squares[columns] += sums * spread * self.base[columns] ** 2
        curvature = np.bincount(self.tie, squares, self.n_factors)
        rows_of = np.bincount(left.y, left.weights, found.weights.n_classes)
        rows_of = np.tile(rows_of, len(self.first_shifts))
        curvature = np.concatenate((curvature, rows_of))
        return np.asarray(1.0 / np.sqrt(self.prior_weight + _LEFT_VARIANCE * curvature))


def _tempered_product(X: Any, beta: FloatArray, weights: FloatArray) -> FloatArray:
    """Scores (n_rows, n_classes): in the type of sparse rows, in float64 of dense."""
    if not sp.issparse(X):
        return np.asarray(X @ (weights * beta[:, None]), dtype=float)
    # The smaller of both is multiplied by beta.
    if weights.size <= X.nnz:
        return np.asarray(X @ (weights * beta[:, None]))
    by_column = X.format == "csc"
    beta = np.repeat(beta, np.diff(X.indptr)) if by_column else beta[X.indices]
    tempered = type(X)((X.data * beta, X.indices, X.indptr), shape=X.shape)
    return np.asarray(tempered @ weights)


def minimised(
    loss: FeatureLoss,
    max_iter: int,
    tol: float = 1e-12,
    start: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Point of least objective, factors not negative, and its objective.

    L-BFGS goes over the roots of the factors: bounds of a million numbers would cost
    more time than the loss. A root of zero is no minimum where the loss, convex in the
    factors, falls with the factor, so that there is no other minimum than that.
    """
    start = loss.start if start is None else start
    tell, units, n_factors = listener(), loss.units, loss.n_factors

    def by_roots(scaled: FloatArray) -> tuple[float, FloatArray]:
        point = scaled * units
        slopes = 2.0 * point[:n_factors]
        point[:n_factors] **= 2
        value, gradient = loss(point)
        tell(1)
        gradient[:n_factors] *= slopes
        return value, gradient * units

    first = start.copy()
    np.sqrt(first[:n_factors], out=first[:n_factors])
    found = scipy.optimize.minimize(
        by_roots,
        first / units,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": max_iter, "ftol": tol, "gtol": 1e-8},
    )
    point = found.x * units
    point[:n_factors] **= 2
    return np.asarray(point), float(found.fun)


def chosen_temperatures(
    smoothed: SmoothedCounts,
    evidence: FeatureEvidence,
    calibration: Calibration,
    by_feature: bool,
    fits_shifts: bool,
    prior_weight: float = 1.0,
) -> tuple[Calibration, float]:
    """Inverse temperatures of groups or, `by_feature`, of every feature.

    `calibration` has those of the blocks, around which they have a prior. Returns it
    with those of all features (n_features,) and its translations, and the leave-one-out
    log-loss.
    """
    left = evidence.left
    mean_norm = np.average(left.norms.sum(axis=1), weights=left.weights)
    blocks = np.repeat(_not_zero(calibration.beta, float(mean_norm)), N_GROUPS)
    parts = frequency_parts(smoothed, np.arange(smoothed.counts.n_features))
    chosen: IntArray = np.arange(blocks.size)
    tie, how = evidence.part, (GROUP_ITERATIONS, 1e-7)
    if by_feature:
        chosen, tie = np.unique(evidence.feature, return_inverse=True)
        how = (
            FEATURE_ITERATIONS,
            _PRECISION / max(left.weights.sum(), 1.0) ** 0.5,
        )
        prior_weight *= _single_weight(smoothed)
    loss = FeatureLoss(
        evidence,
        calibration,
        blocks[evidence.part],
        tie.ravel(),
        chosen.size,
        fits_shifts,
        prior_weight,
        blocks[::N_GROUPS],
    )
    point, objective = minimised(loss, *how)
    factors = np.ones(parts.size if by_feature else blocks.size)
    factors[chosen] = point[: chosen.size]
    factors = factors if by_feature else factors[parts]
    fitted = replace(loss.fitted(point), beta=blocks[parts] * factors)
    return fitted, loss.log_loss(point, objective)


def _single_weight(smoothed: SmoothedCounts) -> float:
    """Weight of the prior of the beta of a single feature, in rows."""
    if not has_groups(smoothed):
        return 1.0
    counts = smoothed.counts
    n_features = counts.n_nonzero / float(counts.class_count.sum())
    return float(np.clip(_PRIOR_FEATURES / max(n_features, 1.0), *_PRIOR_WEIGHTS))


def _not_zero(beta: NDArray[np.float64], mean_norm: float) -> NDArray[np.float64]:
    """Numbers around which others can vary by factors."""
    largest = min(beta.max(initial=0.0), _LARGEST_BETA / mean_norm)
    return np.asarray(np.maximum(beta, _LEAST_SHARE * largest))
