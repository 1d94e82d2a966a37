"""A sample of the counted rows, from which leave-one-out chooses everything else.

Counts alone give the decoder but not the inverse temperature, which takes rows that
were counted. The sample kept here follows the counts when rows are added, merged, or
taken out again.

Notes
-----
Every row has a key, a hash of its class and its features, and the sample is the rows
with the smallest keys, as many as the budget allows (bottom-k sampling). This is a
function of the set of rows alone: one pass, any stream, and any tree of merges keep the
same rows. Equal rows have equal keys and are stored once, with their summed weight,
which leave-one-out treats as so many copies.

A key is a hash of the class, the norm, and a projection of the features on fixed
pseudo-random numbers, both rounded to float32: they are the same for dense and sparse
rows, and do not depend on the rows beside them. A second projection tells different
rows apart that have the same key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows, row_products

# What remains of a weight after subtraction is rounding below this share of it.
_ROUNDING = 1e-9

_LARGEST_KEY = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Limit:
    """Largest number of rows of a sample, and of stored features in these rows.

    `least_rows` rows are kept however many features they store.
    """

    n_rows: int
    n_values: int = 2**62
    least_rows: int = 0

    def n_rows_in(self, n_stored: IntArray) -> int:
        """How many of the first rows, with these numbers of features, may be kept."""
        n_rows = int(np.searchsorted(np.cumsum(n_stored), self.n_values, "right"))
        return min(self.n_rows, max(n_rows, self.least_rows))

    def n_rows_of_width(self, n_stored: float) -> int:
        """How many rows that store this many features may be kept, and one more."""
        n_rows = int(self.n_values / max(n_stored, 1.0))
        return min(self.n_rows, max(n_rows, self.least_rows) + 1)


@dataclass(frozen=True)
class Budget:
    """How many distinct rows decide a choice.

    Their stored features are `n_values` at most, and their scores (rows times classes
    times blocks of features) `n_scores`, but `least_rows` are used however wide they
    are and however many the classes.
    """

    n_rows: int
    n_values: int
    n_scores: int
    least_rows: int = 256

    def limit(self, scores_per_row: int) -> Limit:
        """The limit for rows with so many scores, classes times blocks."""
        n_rows = max(min(self.n_rows, self.n_scores // scores_per_row), self.least_rows)
        return Limit(n_rows, self.n_values, self.least_rows)


# Every number of rows that leave-one-out uses anywhere.
BUDGETS = {
    # Inverse temperature and weight of the class norms.
    "temperature": Budget(2**12, 2**20, 2**20),
    # Intercepts and translations of columns besides (translation="exact").
    "intercepts": Budget(2**12, 2**21, 2**20),
    # Smoothing strengths, which are only compared with each other.
    "strength": Budget(2**10, 2**18, 2**18),
    # Candidates of ExplicitSoftmaxClassifierCV, likewise.
    "candidates": Budget(2**11, 2**20, 2**18, least_rows=2**10),
    # Temperatures and intercepts of the best of these candidates.
    "best_candidate": Budget(2**14, 2**24, 2**19),
    # Inverse temperatures of groups of features: so many features times classes.
    "groups": Budget(2**12, 2**23, 2**62),
    # Inverse temperatures of single features: all rows where they fit.
    "features": Budget(2**24, 2**26, 2**30),
    # Layers of a network, whose hidden targets are many.
    "layers": Budget(2**12, 2**20, 2**21),
    # Windows of a language model, and those on which strengths are compared.
    "windows": Budget(2**11, 2**62, 2**24),
    "window_strength": Budget(2**11, 2**62, 2**22),
}

NO_ROWS = Limit(0)


@dataclass(frozen=True, eq=False)
class RowSample:
    """Distinct counted rows in the order of their keys.

    Parameters
    ----------
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Features, not yet scaled by ``norm ** norm_exponent``.
    y : ndarray of int, shape (n_rows,)
        Classes with which they were counted.
    weights : ndarray of shape (n_rows,)
        Positive; summed over equal rows.
    keys : ndarray of uint64, shape (n_rows,)
        Increasing.
    threshold : int
        All counted rows with a key up to this one are in the sample.
    limit : Limit
        What it may hold.
    members : ndarray of int, shape (n_rows,), default=None
        Places among the rows from which `from_rows` made the sample.
    """

    X: Rows
    y: IntArray
    weights: NDArray[np.float64]
    keys: NDArray[np.uint64]
    threshold: Any
    limit: Limit
    members: IntArray | None = None

    @classmethod
    def from_rows(
        cls,
        X: Rows,
        y: IntArray,
        sample_weight: FloatArray | None,
        limit: Limit,
        keys: NDArray[np.uint64] | None = None,
    ) -> RowSample:
        """Sample of rows; their keys are made from their content by default."""
        if limit.n_rows == 0:
            keys, none = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.intp)
            return cls(X[:0], y[:0], np.zeros(0), keys, np.uint64(0), limit, none)
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        keys = row_keys(X, y) if keys is None else keys
        counted = np.flatnonzero(weights > 0)
        n_wanted = limit.n_rows_of_width(_n_stored(X).sum() / max(len(y), 1))
        while True:
            members, threshold = counted, _LARGEST_KEY
            if n_wanted < counted.size:
                threshold = np.partition(keys[counted], n_wanted)[n_wanted]
                members = counted[keys[counted] <= threshold]
            if members.size == counted.size:
                threshold = _LARGEST_KEY
            distinct, summed = _distinct(X, keys, weights, members)
            rows = X[distinct], y[distinct], summed, keys[distinct]
            sample = cls(*rows, threshold, limit, distinct)
            filled = len(sample.y) >= limit.n_rows_in(_n_stored(sample.X)) + 1
            if members.size == counted.size or filled:
                return sample.head(limit)
            n_wanted *= 2  # these rows are narrow, or many of them are equal

    @property
    def is_complete(self) -> bool:
        """Whether all counted rows are in it."""
        return bool(self.threshold == _LARGEST_KEY)

    @property
    def effective_size(self) -> float:
        """Summed weight of all rows, or how many rows a sample is worth.

        A few rows that occur very often, and are in the sample or are not, make that
        much smaller than the number of sampled rows.
        """
        total = float(self.weights.sum())
        if self.is_complete or not total:
            return total
        return total**2 / float(self.weights @ self.weights)

    def __add__(self, other: RowSample) -> RowSample:
        """Sample of the rows of both."""
        return self._pooled(other, 1.0, other.threshold)

    def __sub__(self, other: RowSample) -> RowSample:
        """Take the rows of `other`, which must be complete, out weight by weight."""
        return self._pooled(other, -1.0, self.threshold)

    def head(self, limit: Limit) -> RowSample:
        """The rows with the smallest keys, as many as `limit` allows."""
        n_rows = limit.n_rows_in(_n_stored(self.X))
        if n_rows >= len(self.y):
            return replace(self, limit=limit)
        # Rows that share a key stay together.
        n_rows = int(np.searchsorted(self.keys, self.keys[n_rows], "left"))
        threshold = self.keys[n_rows] - np.uint64(1)
        part = self.part(slice(n_rows))
        return replace(part, threshold=min(threshold, self.threshold), limit=limit)

    def _pooled(self, other: RowSample, sign: float, threshold: Any) -> RowSample:
        X, keys = other.X, other.keys
        if sp.issparse(X) != sp.issparse(self.X):
            X = sp.csr_array(X) if sp.issparse(self.X) else X.toarray()
            keys = row_keys(X, other.y)
        threshold = min(self.threshold, threshold)
        mine, theirs = self.keys <= threshold, keys <= threshold
        parts = self.X[mine], X[theirs]
        pool = RowSample(
            sp.csr_array(sp.vstack(parts)) if sp.issparse(X) else np.concatenate(parts),
            np.concatenate((self.y[mine], other.y[theirs])),
            np.concatenate((self.weights[mine], sign * other.weights[theirs])),
            np.concatenate((self.keys[mine], keys[theirs])),
            threshold,
            self.limit,
        )
        return pool._grouped().head(self.limit)

    def _grouped(self) -> RowSample:
        """In the order of keys, equal rows once; without those of no weight left."""
        everything = np.arange(len(self.keys))
        members, weights = _distinct(self.X, self.keys, self.weights, everything)
        rows = self if np.array_equal(members, everything) else self.part(members)
        return replace(rows, weights=weights)

    def part(self, rows: Any) -> RowSample:
        """Some of the rows, in their order."""
        return replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            weights=self.weights[rows],
            keys=self.keys[rows],
            members=None if self.members is None else self.members[rows],
        )


def _distinct(
    X: Rows, keys: NDArray[np.uint64], weights: FloatArray, members: IntArray
) -> tuple[IntArray, NDArray[np.float64]]:
    """Some of the rows in the order of keys, equal ones once, and summed weights.

    Without those of no weight left.
    """
    if not len(members):
        return members, np.zeros(0)
    order = members[np.argsort(keys[members], kind="stable")]
    same = np.concatenate(([False], np.diff(keys[order]) == 0))
    tied = same | np.concatenate((same[1:], [False]))
    if tied.any():
        second = np.zeros(len(order))
        numbers = key_numbers(X.shape[1], seed=1)
        products, _ = _rounded(row_products(X[order[tied]], numbers))
        second[tied] = products[:, 1]
        again = np.lexsort((second, keys[order]))
        order, second = order[again], second[again]
        same[1:] &= second[1:] == second[:-1]
    group = np.cumsum(~same) - 1
    part = weights[order]
    summed = np.bincount(group, part).astype(np.float64)
    kept = summed > _ROUNDING * np.bincount(group, np.abs(part))
    return order[~same][kept], summed[kept]


def row_keys(
    X: Rows, y: IntArray, products: NDArray[np.float64] | None = None
) -> NDArray[np.uint64]:
    """Hash of class and features; `products` are those of `key_numbers`, if known."""
    if products is None:
        products = row_products(X, key_numbers(X.shape[1]))
    rounded, power = _rounded(products)
    bits = rounded.view(np.uint64)[:, 0]
    classes = y.astype(np.uint64) + (power << 32).view(np.uint64)
    return mixed_bits(bits ^ mixed_bits(classes))


def _rounded(
    products: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Products in float32, and the power of two they were divided by to be in range."""
    power = np.frexp(products[:, 0])[1].astype(np.int64)
    power[np.abs(power) < 100] = 0
    with np.errstate(over="ignore"):
        scaled = np.ldexp(products, -power[:, None])
        return scaled.astype(np.float32, order="C"), power


@lru_cache(maxsize=8)
def key_numbers(n_features: int, seed: int = 0) -> NDArray[np.float64]:
    """Ones, and pseudo-random numbers between 1 and 2: (n_features, 2)."""
    places = np.arange(n_features, dtype=np.uint64) + np.uint64(seed << 40)
    random = (mixed_bits(places) >> np.uint64(32)).astype(np.float64) / 2.0**32
    return np.stack([np.ones(n_features), 1.0 + random], axis=1)


def mixed_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each integer hashed by the finaliser of SplitMix64, a bijection."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _n_stored(X: Rows) -> IntArray:
    """Number of stored features of each row."""
    if sp.issparse(X):
        return np.diff(X.indptr)
    return np.full(X.shape[0], X.shape[1])
