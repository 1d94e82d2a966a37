"""The additive statistic of the explicit solution: co-occurrences F = H'Y (Eq. 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[Any]  # float32 or float64
IntArray: TypeAlias = NDArray[Any]  # any integer type
Rows: TypeAlias = Any  # ndarray or scipy.sparse CSR; SciPy ships no common type

# A block of this many float64 values stays in the cache of current
# processors while it is checked, converted, and multiplied: one pass over memory.
_BLOCK_VALUES = 2**18

# Sums of integers below 2**24 are exact in float32. Sums of fractions are seen by their
# last four bits at least below this, in units of one or, for pixels, of 1/256.
_FLOAT32_EXACT = 2.0**20
_PIXELS = 256

# With more classes, rows are gathered by class, so that a block has few of them: the
# product with one-hot targets of all would cost more than the gathering.
_MANY_CLASSES = 32

# Sorting an entry costs about as much as marking or numbering so many columns.
_SORT_STEP = 16

# So many look-ups for each cell or more, or in a table of so few cells, are faster
# where all cells are stored, if these are no more than half a GiB.
_LOOK_UPS = 0.1
_FEW_CELLS = 2**20
_MOST_CELLS = 2**26

# Significant bits of the factors that rows are scaled by.
SCALE_BITS = 16

# Sums in another order differ by rounding of at most this share of the largest sum.
_ROUNDING = 2.0**-43

# What remains of a count is rounding only if it is below this share of the count, too:
# the largest sum may be that of a feature in another unit.
_RESIDUE = 2.0**-20


def row_blocks(n_rows: int, width: int, values: int) -> Iterator[slice]:
    """Slices over rows that hold at most `values` numbers of `width` each."""
    step = max(1, values // max(1, width))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def row_products(X: Rows, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products of rows with numbers (n_features, n_products), in float64."""
    # Counting refuses NaN and infinite features, with a message of its own.
    with np.errstate(invalid="ignore", over="ignore"):
        if sp.issparse(X):
            return np.asarray(X @ numbers)
        n_rows, n_features = X.shape
        products = np.empty((n_rows, numbers.shape[1]))
        step = min(n_rows, max(1, _BLOCK_VALUES // max(1, n_features)))
        buffer = np.empty((step, n_features))
        for block in row_blocks(n_rows, n_features, _BLOCK_VALUES):
            np.dot(_double(X[block], buffer), numbers, out=products[block])
        return products


def _double(rows: FloatArray, buffer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows in float64: themselves, or a copy in the buffer."""
    if rows.dtype == np.float64:
        return rows
    copy = buffer[: len(rows)]
    np.copyto(copy, rows)
    return copy


def row_norms(X: Rows) -> NDArray[np.float64]:
    """Sums of the (non-negative) features of each row, in float64."""
    return row_products(X, np.ones((X.shape[1], 1)))[:, 0]


def row_scale(norms: NDArray[np.float64], norm_exponent: float) -> FloatArray:
    """Factor ``norm ** -norm_exponent`` of each row; 1 for rows of zeros.

    Rounded to 16 significant bits, a relative error of at most 2**-17. Products of such
    factors and small integers add up without rounding in float64, so that the counts of
    integer features do not depend on the order of the rows, whatever the exponent.
    """
    scale = np.ones_like(norms)
    np.power(norms, -norm_exponent, out=scale, where=norms > 0)
    mantissa, exponent = np.frexp(scale)
    rounded = np.rint(mantissa * 2.0**SCALE_BITS)
    return np.asarray(np.ldexp(rounded, exponent - SCALE_BITS))


def scaled_rows(X: Rows, norm_exponent: float) -> Rows:
    """Rows times `row_scale`, CSR where they are sparse."""
    if norm_exponent == 0.0:
        return sp.csr_array(X) if sp.issparse(X) else X
    scale = row_scale(row_norms(X), norm_exponent).astype(X.dtype)
    if sp.issparse(X):
        return sp.csr_array(sp.diags_array(scale) @ X)
    return X * scale[:, None]


def index_type(largest: int) -> type[np.int32 | np.int64]:
    """Type of indices up to a number: the wider one of NumPy would double memory."""
    return np.int32 if largest < 2**31 else np.int64


def without_empty_columns(rows: sp.csr_array) -> tuple[sp.csr_array, IntArray]:
    """Rows with those columns only that hold an entry, and the numbers of these."""
    if rows.nnz < rows.shape[1] // _SORT_STEP:
        kept, column = np.unique(rows.indices, return_inverse=True)
    else:  # marking columns is faster than sorting entries
        is_kept = np.zeros(rows.shape[1], dtype=bool)
        is_kept[rows.indices] = True
        kept = np.flatnonzero(is_kept)
        if kept.size == rows.shape[1]:
            return rows, kept
        column = (np.cumsum(is_kept, dtype=rows.indices.dtype) - 1)[rows.indices]
    parts = rows.data, column.ravel(), rows.indptr
    return sp.csr_array(parts, shape=(rows.shape[0], kept.size)), kept


def entry_rows(rows: sp.csr_array) -> IntArray:
    """The row of each entry."""
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))


def entry_blocks(
    X: Rows, table: Any, values: int
) -> Iterator[tuple[slice, slice, IntArray]]:
    """Rows of CSR, or columns of CSC, where their entries are, and that of each entry.

    About so many entries at a time, or all of them where `table`, in which they will be
    looked up, is sparse: SciPy goes over all of it each time.
    """
    n_major = len(X.indptr) - 1
    if sp.issparse(table):
        values = max(X.nnz, n_major)
    for some in row_blocks(n_major, X.nnz // max(n_major, 1), values):
        indptr = X.indptr[some.start : some.stop + 1]
        major = np.repeat(np.arange(some.start, some.stop), np.diff(indptr))
        yield some, slice(int(indptr[0]), int(indptr[-1])), major


@dataclass(frozen=True, eq=False)
class CooccurrenceCounts:
    """Co-occurrences of features and classes, and what else is additive over rows.

    Two records of the same shape add and subtract. On integer features and weights
    every number in it is exact, and neither the order nor the grouping of rows matters
    to the last bit.

    Parameters
    ----------
    cooccurrence : ndarray or scipy.sparse.csr_array of shape (n_features, n_classes)
        F = H'Y in float64 (Eq. 2): dense from dense rows, sparse from sparse rows.
    class_count : ndarray of shape (n_classes,)
        Sum of the sample weights of each class.
    n_nonzero : float
        Number of non-zero features, rows counted by their weights.
    past_mass, past_count : float, default=0.0
        Largest class mass and class count before any subtraction, which tell how much
        rounding the sums may have; as powers of two, which tell little else.
    document_frequency : ndarray of shape (n_features,), default=None
        Summed weights of the rows that have a feature; None where nobody counted them.

    Examples
    --------
    >>> import numpy as np
    >>> from explicit_softmax.solution.counts import CooccurrenceCounts
    >>> rows = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    >>> counts = CooccurrenceCounts.from_rows(rows, np.array([0, 1, 0]), 2)
    >>> counts.cooccurrence
    array([[3., 0.],
           [1., 3.]])
    >>> float(counts.mean_norm)
    2.3333333333333335
    """

    cooccurrence: Any
    class_count: NDArray[np.float64]
    n_nonzero: float
    past_mass: float = 0.0
    past_count: float = 0.0
    document_frequency: NDArray[np.float64] | None = None

    @classmethod
    def from_rows(
        cls,
        X: Rows,
        y: IntArray,
        n_classes: int,
        *,
        sample_weight: FloatArray | None = None,
        norm_exponent: float = 0.0,
        norms: NDArray[np.float64] | None = None,
    ) -> CooccurrenceCounts:
        """Count rows in one pass.

        Parameters
        ----------
        X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
            Non-negative finite features of any real dtype.
        y : ndarray of int, shape (n_rows,)
            Class of each row, from 0 to ``n_classes - 1``.
        n_classes : int
            Number of classes, those without a row included.
        sample_weight : ndarray of shape (n_rows,), default=None
            Non-negative weights; 1 each by default.
        norm_exponent : float, default=0.0
            Rows are divided by ``norm ** norm_exponent`` before they are counted.
        norms : ndarray of shape (n_rows,), default=None
            Norms of the rows where they are known.

        Returns
        -------
        counts : CooccurrenceCounts

        Raises
        ------
        ValueError
            If a feature is negative, NaN, or infinite (the row is named), or if
            `X` and `y` differ in length.

        Notes
        -----
        Sums are float64. Unweighted float32 rows are summed in float32 within blocks
        of a few hundred rows, and in float64 across the blocks, as long as that is
        exact: up to the first block with fractions or sums of 2**20, or, for features
        that are multiples of 1/256, sums of 2**12.
        """
        y = np.asarray(y)
        if X.shape[0] != y.shape[0]:
            raise ValueError(f"X and y differ in length: {X.shape[0]} and {y.shape[0]}")
        weight = None if sample_weight is None else np.asarray(sample_weight, float)
        scale = _checked_scale(X, norm_exponent, norms)
        count = _count_sparse if sp.issparse(X) else _count_dense
        cooccurrence, frequency = count(X, y, n_classes, weight, scale)
        class_count = np.bincount(y, weights=weight, minlength=n_classes)
        with np.errstate(over="ignore"):
            n_nonzero = float(frequency.sum())
            total = cooccurrence.sum() + class_count.sum() + n_nonzero
        if not np.isfinite(total):
            cause = "features" if weight is None else "features or their sample_weight"
            raise ValueError(f"the {cause} are so large that their sums overflow")
        return cls(
            cooccurrence,
            class_count.astype(np.float64),
            n_nonzero,
            document_frequency=frequency,
        )

    def __add__(self, other: CooccurrenceCounts) -> CooccurrenceCounts:
        self._check_shape(other)
        total = self.cooccurrence + other.cooccurrence
        return CooccurrenceCounts(
            # Sparse + dense is an np.matrix in older SciPy.
            total if sp.issparse(total) else np.asarray(total),
            self.class_count + other.class_count,
            self.n_nonzero + other.n_nonzero,
            max(self.past_mass, other.past_mass),
            max(self.past_count, other.past_count),
            self._frequency(other, 1.0),
        )

    def __sub__(self, other: CooccurrenceCounts) -> CooccurrenceCounts:
        """Take rows out again; ValueError where more is taken than was counted."""
        self._check_shape(other)
        rest = remainder(self.class_count, other.class_count, self.largest_count)
        short = np.flatnonzero(rest < 0)
        if short.size:
            raise ValueError(
                f"more rows are taken out of class {short[0]} than were counted: "
                f"{other.class_count[short[0]]:g} of {self.class_count[short[0]]:g}"
            )
        if sp.issparse(other.cooccurrence):
            part = sp.coo_array(other.cooccurrence)
            at: Any = part.row, part.col
            taken = part.data
            counted = values_at(self.cooccurrence, *at)
        else:
            at = np.indices(other.cooccurrence.shape, sparse=True)
            taken, counted = other.cooccurrence, self.dense()
        left = remainder(counted, taken, self.largest_mass)
        if (left < 0).any():
            bad = tuple(index[0] for index in np.nonzero(left < 0))
            feature, label = bad if len(bad) == 2 else (at[0][bad], at[1][bad])
            raise ValueError(
                f"more of feature {feature} is taken out of class {label} than was "
                "counted: these rows were never counted, or not with this class"
            )
        taken = np.where(left == 0, counted, taken)
        if sp.issparse(other.cooccurrence):
            taken = sp.csr_array((taken, at), shape=part.shape)
        total = self.cooccurrence - taken
        if sp.issparse(total):
            total.eliminate_zeros()
        n_nonzero = max(self.n_nonzero - other.n_nonzero, 0.0)
        return CooccurrenceCounts(
            total if sp.issparse(total) else np.asarray(total),
            rest,
            n_nonzero if total.sum() > 0 else 0.0,
            _power_of_two(self.largest_mass),
            _power_of_two(self.largest_count),
            self._frequency(other, -1.0),
        )

    def _frequency(
        self, other: CooccurrenceCounts, sign: float
    ) -> NDArray[np.float64] | None:
        mine, theirs = self.document_frequency, other.document_frequency
        if mine is None or theirs is None:
            return None
        if sign > 0:
            return mine + theirs
        return np.maximum(remainder(mine, theirs, self.largest_count), 0.0)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.cooccurrence.shape[0])

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.cooccurrence.shape[1])

    @property
    def is_sparse(self) -> bool:
        """Whether only non-zero co-occurrences are stored."""
        return bool(sp.issparse(self.cooccurrence))

    @cached_property
    def class_mass(self) -> NDArray[np.float64]:
        """Column sums S of the co-occurrences, shape (n_classes,)."""
        return self._column_sums(self.cooccurrence)

    @cached_property
    def largest_mass(self) -> float:
        """Largest class mass that there is or ever was."""
        return max(self.past_mass, float(self.class_mass.max(initial=0.0)))

    @cached_property
    def largest_count(self) -> float:
        """Largest class count that there is or ever was."""
        return max(self.past_count, float(self.class_count.max(initial=0.0)))

    def block_mass(self, block: slice) -> NDArray[np.float64]:
        """Column sums over a block of features, shape (n_classes,)."""
        if block == slice(0, self.n_features):
            return self.class_mass
        return self._column_sums(self.cooccurrence[block])

    def _column_sums(self, part: Any) -> NDArray[np.float64]:
        if not sp.issparse(part):
            return np.asarray(part.sum(axis=0))
        mass = np.bincount(part.indices, weights=part.data, minlength=self.n_classes)
        return mass.astype(np.float64, copy=False)

    @property
    def mean_norm(self) -> float:
        """Weighted mean of the row norms: the priming number K-hat; 0 if no mass."""
        total = float(self.class_count.sum())
        return float(self.class_mass.sum()) / total if total > 0 else 0.0

    @property
    def mean_nonzero(self) -> float:
        """Weighted mean of the non-zero features: the unit of smoothing."""
        mass = float(self.class_mass.sum())
        return mass / self.n_nonzero if self.n_nonzero > 0 and mass > 0 else 1.0

    def dense(self) -> NDArray[np.float64]:
        """Co-occurrences as an ndarray (n_features, n_classes)."""
        F = self.cooccurrence
        return np.asarray(F.toarray() if sp.issparse(F) else F)

    def _check_shape(self, other: CooccurrenceCounts) -> None:
        if self.cooccurrence.shape != other.cooccurrence.shape:
            raise ValueError(
                "counts of different shape cannot be combined: "
                f"(n_features, n_classes) is {self.cooccurrence.shape} and "
                f"{other.cooccurrence.shape}"
            )


def counted_rows(
    X: Rows,
    y: IntArray,
    n_classes: int,
    sample_weight: FloatArray | None = None,
    first_exponent: float = 0.0,
) -> Callable[[float], CooccurrenceCounts]:
    """`CooccurrenceCounts.from_rows` of sparse rows as a function of the norm exponent.

    The co-occurrence in which an entry counts is looked up once, in about the time of
    one count, by `first_exponent`: other counts are one pass over the entries each, to
    the same bits. All of them share their indices.
    """
    norms = row_norms(X)
    first = CooccurrenceCounts.from_rows(
        X,
        y,
        n_classes,
        sample_weight=sample_weight,
        norm_exponent=first_exponent,
        norms=norms,
    )
    F, weight = first.cooccurrence, np.ones(len(y))
    if sample_weight is not None:
        weight = np.asarray(sample_weight, float)
    # Place 0 is that of entries that are zero, or have no weight.
    numbers = np.arange(1, F.nnz + 1, dtype=F.indices.dtype)
    places = sp.csr_array((numbers, F.indices, F.indptr), shape=F.shape)
    by_row = (X.data, values_of_entries(places, X, y), X.indptr)
    sums = sp.csr_array(by_row, shape=(len(y), F.nnz + 1)).T

    def counted(norm_exponent: float) -> CooccurrenceCounts:
        if norm_exponent == first_exponent:
            return first
        scale = _checked_scale(X, norm_exponent, norms)
        data = (sums @ (weight if scale is None else weight * scale))[1:]
        if not np.isfinite(data.sum()):
            raise_bad_value(X, 0)  # sums that overflow
        counts = sp.csr_array((data, F.indices, F.indptr), shape=F.shape)
        return replace(first, cooccurrence=counts)

    return counted


def _checked_scale(
    X: Rows, norm_exponent: float, norms: NDArray[np.float64] | None
) -> FloatArray | None:
    """Factors of rows, None for one; ValueError if they are out of range."""
    if norm_exponent == 0.0:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        norms = row_norms(X) if norms is None else norms
        scale = row_scale(norms, norm_exponent)
    if not (scale.all() and np.isfinite(scale).all()):
        if np.isfinite(norms).all() and (norms >= 0).all():
            raise ValueError(
                f"norm_exponent={norm_exponent:g} takes the rows out of the "
                "range of floating-point numbers: choose one of 1 or less"
            )
        raise_bad_value(X, 0)  # norms that overflow
    return scale


def _count_dense(
    X: FloatArray,
    y: IntArray,
    n_classes: int,
    weight: NDArray[np.float64] | None,
    scale: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n_rows, n_features = X.shape
    total = np.zeros((n_classes, n_features))
    frequency = np.zeros(n_features)
    # The one-hot targets of a block must stay as small as the block itself.
    order, width = None, max(n_features, n_classes)
    if n_classes > _MANY_CLASSES:
        order = np.argsort(y, kind="stable")
        # Of rows in this order a block has no more classes than rows.
        width = max(n_features, min(n_classes, math.isqrt(_BLOCK_VALUES)))
    single = X.dtype == np.float32 and weight is None and scale is None
    step = min(n_rows, max(1, _BLOCK_VALUES // max(1, width)))
    buffer = np.empty((step, n_features))
    with np.errstate(invalid="ignore", over="ignore"):
        for block in row_blocks(n_rows, width, _BLOCK_VALUES):
            members: IntArray | slice = block if order is None else order[block]
            part, labels = X[members], y[members]
            present: IntArray | slice = slice(None)
            n_present = n_classes
            if order is not None:
                present, labels = np.unique(labels, return_inverse=True)
                n_present = present.size
            lowest = part.min() if part.size else 0
            if not lowest >= 0:
                raise_bad_value(X, 0)
            factor: FloatArray | None = None if weight is None else weight[members]
            frequency += _document_frequency(part, lowest, factor)
            if single:
                sums = _one_hot(labels, n_present, None, np.float32) @ part
                single = _is_exact(sums)
            if not single:
                if scale is not None:
                    part_scale = scale[members]
                    factor = part_scale if factor is None else factor * part_scale
                targets = _one_hot(labels, n_present, factor, np.float64)
                sums = targets @ _double(part, buffer)
            total[present] += sums
    if not np.isfinite(total).all():
        raise_bad_value(X, 0)
    return np.ascontiguousarray(total.T), frequency


def _is_exact(sums: NDArray[np.float32]) -> bool:
    """Whether sums in float32 are those of integers, or integers / 256, unrounded."""
    largest = float(sums.max(initial=0.0))
    if largest < _FLOAT32_EXACT / _PIXELS:
        sums = sums * np.float32(_PIXELS)
    return bool(largest < _FLOAT32_EXACT and (sums == np.rint(sums)).all())


def _one_hot(
    y: IntArray,
    n_classes: int,
    factor: FloatArray | None,
    dtype: type[np.floating[Any]],
) -> FloatArray:
    """Y' times the factors of the rows, (n_classes, n_rows): BLAS is faster on Y'H."""
    targets = np.zeros((n_classes, y.shape[0]), dtype=dtype)
    targets[y, np.arange(y.shape[0])] = 1.0 if factor is None else factor
    return targets


def _document_frequency(
    part: FloatArray, lowest: float, factor: NDArray[np.float64] | None
) -> FloatArray | float:
    if factor is not None:
        return np.asarray(factor @ (part != 0))
    if lowest > 0:
        return float(len(part))
    present = (part != 0).view(np.uint8)
    # Sums of so many bytes stay bytes, which is the fastest way to count.
    sums = [
        np.add.reduce(present[block], axis=0, dtype=np.uint8)
        for block in row_blocks(len(part), 1, 255)
    ]
    return np.sum(sums, axis=0, dtype=np.float64)


def _count_sparse(
    X: Rows,
    y: IntArray,
    n_classes: int,
    weight: NDArray[np.float64] | None,
    scale: NDArray[np.float64] | None,
) -> tuple[sp.csr_array, NDArray[np.float64]]:
    n_rows, n_features = X.shape
    if X.nnz and not (X.data.min() >= 0 and np.isfinite(X.data.max())):
        raise_bad_value(X, 0)
    ones = np.ones(n_rows) if weight is None else weight
    present: Any = None if weight is None else np.repeat(weight, np.diff(X.indptr))
    if X.nnz and not X.data.all():
        present = (X.data != 0) * (1.0 if present is None else present)
    frequency = np.zeros(n_features)
    # Some at a time: each of these counts makes a wide copy of its indices.
    for part in row_blocks(X.nnz, 1, max(_BLOCK_VALUES, n_features)):
        weights = None if present is None else present[part]
        frequency += np.bincount(X.indices[part], weights, n_features)
    factor = ones if scale is None else ones * scale
    # Y' in CSR, built without a sort by value; Y'H costs one visit of each non-zero,
    # and its transposition to features x classes leaves sorted indices.
    # Its indices are as narrow as those of rows mostly are: the wider ones of NumPy
    # would make counts a third larger, and slower to add up.
    narrow = index_type(max(n_rows, X.nnz))
    order = np.argsort(y, kind="stable").astype(narrow)
    indptr = np.zeros(n_classes + 1, dtype=narrow)
    np.cumsum(np.bincount(y, minlength=n_classes), out=indptr[1:])
    one_hot = sp.csr_array((factor[order], order, indptr), shape=(n_classes, n_rows))
    counts = sp.csr_array(one_hot @ sp.csr_array(X)).T.tocsr()
    if not counts.data.all():
        counts.eliminate_zeros()
    if not np.isfinite(counts.data).all():
        raise ValueError("the sums of the features of a class overflow float64")
    return counts, frequency


def raise_bad_value(X: Rows, first_row: int) -> None:
    """Name the first row with a negative, NaN, or infinite feature."""
    values = X.data if sp.issparse(X) else X
    bad = np.argwhere(~((values >= 0) & np.isfinite(values)))
    if not len(bad):
        raise ValueError("the features are so large that their sums overflow")
    at = tuple(int(index) for index in bad[0])
    row = at[0]
    if sp.issparse(X):
        row = int(np.searchsorted(X.indptr, row, side="right")) - 1
    name, value = f"row {first_row + row}", values[at]
    if np.isnan(value):
        raise ValueError(f"features contain NaN: {name}. Impute or drop such rows.")
    if np.isinf(value):
        raise ValueError(f"features contain infinity: {name}. Features must be finite.")
    raise ValueError(
        f"Negative values in data: {name} contains {value:g}. The explicit solution "
        "needs non-negative features, such as counts, frequencies, or pixels: "
        "transform them with PositiveFeatures, or set clip=True to count negative ones "
        "as zero."
    )


def values_at(table: Any, features: IntArray, labels: IntArray) -> NDArray[Any]:
    """Values at pairs of a feature and a class, 1-d, of an ndarray or CSR."""
    if not len(features):
        return np.zeros(0, table.dtype)  # for which SciPy would give a sparse answer
    if sp.issparse(table):
        # csr_matrix and not csr_array: the shape of this answer differs between
        # releases of SciPy for arrays only.
        return np.asarray(sp.csr_matrix(table)[features, labels]).ravel()
    places = features * np.intp(table.shape[1])
    places += labels
    return np.asarray(table.ravel().take(places))


def look_up_table(table: Any, n_times: int) -> Any:
    """A table (n_features, n_classes) in the form that is best for so many look-ups."""
    n_cells = table.shape[0] * table.shape[1]
    most = min(max(n_times / _LOOK_UPS, _FEW_CELLS), _MOST_CELLS)
    if sp.issparse(table) and n_cells <= most:
        return table.toarray()
    return table


def values_of_entries(table: Any, rows: sp.csr_array, y: IntArray) -> NDArray[Any]:
    """Value of a table (n_features, n_classes) for each entry of rows.

    It is that of the feature of the entry and of the class of its row.
    """
    table = look_up_table(table, rows.nnz)
    values = np.empty(rows.nnz, table.dtype)
    for _, stored, row in entry_blocks(rows, table, _BLOCK_VALUES):
        values[stored] = values_at(table, rows.indices[stored], y[row])
    return values


def remainder(
    counted: NDArray[np.float64], taken: NDArray[np.float64], largest: float
) -> NDArray[np.float64]:
    """Sums less what is taken out of them, with zero for what is rounding.

    `largest` is the largest sum with which they were ever added up. Differences of
    integers are what they are. Negative where more is taken than was counted.
    """
    rest = np.asarray(counted - taken)
    # Nothing is near zero in counts of pixels and the like: no further passes.
    if rest.min(initial=np.inf) > _ROUNDING * largest:
        return rest
    near = np.abs(rest) <= _ROUNDING * largest
    near &= rest <= _RESIDUE * counted
    near &= rest != 0
    if near.any():
        whole = (counted == np.rint(counted)) & (taken == np.rint(taken))
        rest[near & ~whole] = 0.0
    return rest


def _power_of_two(value: float) -> float:
    return 2.0 ** int(np.frexp(value)[1] - 1) if value else 0.0
