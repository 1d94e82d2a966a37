"""Decoder: a matrix of weights, dense or sparse plus low rank, and its scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import (
    FloatArray,
    Rows,
    row_blocks,
    row_norms,
    row_scale,
    without_empty_columns,
)

# Working memory of a product of sparse rows with sparse weights, in values.
_WORK_VALUES = 2**22

# Weights that are made dense at a time to be multiplied with rows by column: they
# stay in cache.
_CACHED_VALUES = 2**19

# One step of a sparse-sparse product costs about as much as this many of a
# sparse-dense one (insertion into an accumulator against a running sum).
_SPARSE_STEP = 6


@dataclass(frozen=True, eq=False)
class Decoder:
    """Scores of rows: ``scale * (rows @ (weights + left @ right.T)) + intercept``.

    Parameters
    ----------
    weights : ndarray or csr_array of shape (n_features, n_classes)
        U, or its sparse part.
    left : ndarray or csr_array of shape (n_features, rank)
        Low-rank part, over features; no columns where `weights` is dense.
    right : ndarray of shape (n_classes, rank)
        Low-rank part, over classes.
    intercept : ndarray of shape (n_classes,)
        Added to every row.
    zero_row_scores : ndarray of shape (n_classes,), default=None
        Scores of rows without any feature; the intercept by default.
    norm_exponent : float, default=0.0
        Rows are divided by ``norm ** norm_exponent``: the `scale` above.
    """

    weights: Any
    left: Any
    right: FloatArray
    intercept: FloatArray
    zero_row_scores: FloatArray | None = None
    norm_exponent: float = 0.0

    @classmethod
    def from_dense(
        cls,
        weights: FloatArray,
        intercept: FloatArray,
        *,
        zero_row_scores: FloatArray | None = None,
        norm_exponent: float = 0.0,
    ) -> Decoder:
        """Decoder of plain weights (n_features, n_classes), without low-rank part."""
        left = np.zeros((weights.shape[0], 0), dtype=weights.dtype)
        right = np.zeros((weights.shape[1], 0), dtype=weights.dtype)
        return cls(weights, left, right, intercept, zero_row_scores, norm_exponent)

    @property
    def is_sparse(self) -> bool:
        """Whether the weights are sparse plus low rank."""
        return bool(sp.issparse(self.weights))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.weights.shape[1])

    def astype(self, dtype: Any) -> Decoder:
        """The same decoder in another floating-point type."""
        zero = self.zero_row_scores
        return replace(
            self,
            weights=self.weights.astype(dtype, copy=False),
            left=self.left.astype(dtype, copy=False),
            right=self.right.astype(dtype, copy=False),
            intercept=self.intercept.astype(dtype, copy=False),
            zero_row_scores=None if zero is None else zero.astype(dtype, copy=False),
        )

    def shifted(self, shift: FloatArray) -> Decoder:
        """The same decoder with `shift` (n_classes,) added to all scores."""
        zero = self.zero_row_scores
        return replace(
            self,
            intercept=self.intercept + shift,
            zero_row_scores=None if zero is None else zero + shift,
        )

    def dense_weights(self) -> FloatArray:
        """All weights as one ndarray (n_features, n_classes)."""
        if not self.is_sparse:
            return np.ascontiguousarray(self.weights)
        weights: FloatArray = self.weights.toarray()
        if self.left.shape[1]:
            # Block by block: the low-rank part would take as much memory again.
            for block in row_blocks(len(weights), self.n_classes, _WORK_VALUES):
                weights[block] += self.left[block] @ self.right.T
        return weights

    def weights_of(self, features: Any) -> FloatArray:
        """Weights (n, n_classes) of some features, an index or a slice of them."""
        weights = self.weights[features]
        if not self.is_sparse:
            return np.asarray(weights)
        return np.asarray(weights.toarray() + self.left[features] @ self.right.T)

    def largest_weights(self, n: int) -> tuple[NDArray[np.intp], FloatArray]:
        """Features whose weights, centred over the classes, are largest in size.

        Returns
        -------
        features : ndarray of int, shape (n_classes, min(n, n_features))
            Those of each class, the largest absolute weight first.
        weights : ndarray of the same shape
            Their centred weights for the class.
        """
        features = np.zeros((self.n_classes, 0), dtype=np.intp)
        best = np.zeros(features.shape, dtype=self.weights.dtype)
        # Never all weights at once: what a block has competes with the best so far.
        for block in row_blocks(self.weights.shape[0], self.n_classes, _WORK_VALUES):
            part = self.weights_of(block)
            part = (part - part.mean(axis=1, keepdims=True)).T
            here = np.broadcast_to(np.arange(block.start, block.stop), part.shape)
            best = np.hstack([best, part])
            features = np.hstack([features, here])
            if best.shape[1] > n:
                kept = np.argpartition(-np.abs(best), n - 1, axis=1)[:, :n]
                best = np.take_along_axis(best, kept, axis=1)
                features = np.take_along_axis(features, kept, axis=1)
        order = np.lexsort((features, -np.abs(best)), axis=1)
        take = np.take_along_axis
        return take(features, order, axis=1), take(best, order, axis=1)

    def densify(self) -> Decoder:
        """The same scores from dense weights."""
        weights = self.dense_weights()
        left = np.zeros((weights.shape[0], 0), dtype=weights.dtype)
        right = np.zeros((weights.shape[1], 0), dtype=weights.dtype)
        return replace(self, weights=weights, left=left, right=right)

    def scores(self, X: Rows) -> FloatArray:
        """Log-odds of rows (n_rows, n_classes), up to a constant per row.

        In the wider type of rows, dense or CSR, and decoder.
        """
        scores = self._product(X)
        if self.norm_exponent != 0.0:
            scale = row_scale(row_norms(X), self.norm_exponent)
            scores *= scale.astype(scores.dtype)[:, None]
        if self.zero_row_scores is None:
            scores += self.intercept
            return scores
        empty = _zero_rows(X, scores)
        scores += self.intercept
        scores[empty] = self.zero_row_scores
        return scores

    def evidence(self, row: sp.csr_array) -> tuple[NDArray[np.intp], FloatArray]:
        """What each feature of one sparse row adds to the scores.

        Returns
        -------
        features : ndarray of int, shape (n_stored,)
            Features of the row.
        evidence : ndarray of shape (n_stored, n_classes)
            With mean zero over the classes. Its sum over the features and the intercept
            are the scores of the row, up to a constant.
        """
        features = row.indices
        weights = self.weights_of(features)
        values = row.data * row_scale(row_norms(row), self.norm_exponent)
        weights = weights - weights.mean(axis=1, keepdims=True)
        return features.astype(np.intp), values[:, None] * weights

    def _product(self, X: Rows) -> FloatArray:
        if not self.is_sparse:
            scores = X @ self.weights
        elif sp.issparse(X):
            scores = _sparse_product(X, self.weights)
        else:
            scores = np.ascontiguousarray((self.weights.T @ X.T).T)
        if self.left.shape[1]:
            low_rank = X @ self.left
            if sp.issparse(low_rank):
                low_rank = low_rank.toarray()
            scores += low_rank @ self.right.T
        return np.asarray(scores)


def _zero_rows(X: Rows, scores: FloatArray) -> NDArray[np.intp]:
    """Rows without any feature, found among those whose scores vanish.

    Norms of dense rows would cost another pass over them.
    """
    candidates = np.flatnonzero(scores[:, 0] == 0)
    if not candidates.size:
        return candidates
    if sp.issparse(X):
        # Column 0 may be out of reach of many sparse rows: look at the norms at once.
        return np.flatnonzero(row_norms(X) == 0)
    return np.asarray(candidates[row_norms(X[candidates]) == 0])


def best_ordered(X: sp.csr_array, weights: sp.csr_array) -> Rows:
    """Rows by column where that is best for the product with such weights.

    No column of the rows should be without an entry. Where their features are few,
    weights are made dense, which turns the insertions of a sparse-sparse product into
    running sums; by column, they are read in order while the scores stay in cache.
    """
    n_features, n_classes = weights.shape
    dense_steps = (n_features + X.nnz) * n_classes
    sparse_steps = _SPARSE_STEP * int(np.diff(weights.indptr)[X.indices].sum())
    is_small = n_features * n_classes <= 4 * _WORK_VALUES
    return sp.csc_array(X) if is_small and dense_steps < sparse_steps else X


def _sparse_product(X: Rows, weights: sp.csr_array) -> FloatArray:
    """Dense product of sparse rows and CSR weights, in bounded working memory."""
    if X.format == "csc":
        return _product_by_column(X, weights)
    n_rows, n_classes = X.shape[0], weights.shape[1]
    out = np.empty((n_rows, n_classes), np.result_type(X.dtype, weights.dtype))
    for block in row_blocks(n_rows, n_classes, _WORK_VALUES):
        part = sp.csr_array(X[block])
        narrow, touched = without_empty_columns(part)
        few = weights if touched.size == weights.shape[0] else weights[touched]
        narrow = best_ordered(narrow, few)
        if narrow.format == "csc":
            out[block] = _product_by_column(narrow, few)
        else:
            out[block] = (narrow @ few).toarray()
    return out


def _product_by_column(X: sp.csc_array, weights: sp.csr_array) -> FloatArray:
    n_features, n_classes = weights.shape
    out = np.zeros((X.shape[0], n_classes), np.result_type(X.dtype, weights.dtype))
    for block in row_blocks(n_features, n_classes, max(_CACHED_VALUES, out.size)):
        ends = X.indptr[block.start : block.stop + 1]
        stored = slice(ends[0], ends[-1])
        # Not X[:, block], which would be a copy.
        parts = X.data[stored], X.indices[stored], ends - ends[0]
        some = sp.csc_array(parts, shape=(X.shape[0], len(ends) - 1))
        out += some @ weights[block].toarray()
    return out
