"""A few counted rows, kept so that leave-one-out choices can be made again.

Counts alone give the decoder but not the inverse temperature, which takes rows that
were counted. Streaming, merging, and forgetting change the counts; the rows kept here
follow them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows

MOST_ROWS = 4096
LEAST_ROWS = 256
# Stored features of these rows (8 MiB in float64), and scores of them (8 MiB).
MOST_VALUES = 2**20
MOST_SCORES = 2**20


def row_limit(
    X: Rows,
    n_classes: int,
    n_blocks: int,
    *,
    most_rows: int | None = None,
    most_values: int = MOST_VALUES,
    most_scores: int = MOST_SCORES,
) -> int:
    """How many rows to keep.

    Parameters
    ----------
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Rows like those to be kept.
    n_classes, n_blocks : int
        Scores of a row.
    most_rows, most_values, most_scores : int
        Limits of rows, of stored features, and of scores, classes times blocks of each
        row.
    """
    width = X.nnz / max(X.shape[0], 1) if sp.issparse(X) else X.shape[1]
    limit = min(
        MOST_ROWS if most_rows is None else most_rows,
        int(most_values / max(width, 1)),
        most_scores // (n_classes * n_blocks),
    )
    return max(limit, LEAST_ROWS)


@dataclass(frozen=True, eq=False)
class RetainedRows:
    """Rows, the classes they were counted with, and their weights.

    Parameters
    ----------
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
    y : ndarray of int, shape (n_rows,)
    weights : ndarray of shape (n_rows,)
        Positive.
    """

    X: Rows
    y: IntArray
    weights: NDArray[np.float64]

    @classmethod
    def draw(
        cls, X: Rows, y: IntArray, sample_weight: FloatArray | None, limit: int
    ) -> RetainedRows:
        """At most `limit` rows of positive weight, always the same ones."""
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        members = np.flatnonzero(weights > 0)
        if members.size > limit:
            rng = np.random.default_rng(0)
            members = np.sort(rng.choice(members, size=limit, replace=False))
        return cls(X[members], y[members], weights[members])

    def followed_by(self, later: RetainedRows, limit: int) -> RetainedRows:
        """The last `limit` rows of both."""
        first = max(0, len(self.y) + len(later.y) - limit)
        kept = self._part(slice(min(first, len(self.y)), None))
        later = later._part(slice(max(0, first - len(self.y)), None))
        if sp.issparse(kept.X) or sp.issparse(later.X):
            parts = [sp.csr_array(kept.X), sp.csr_array(later.X)]
            X: Any = sp.csr_array(sp.vstack(parts, format="csr"))
        else:
            X = np.concatenate((kept.X, later.X))
        return RetainedRows(
            X,
            np.concatenate((kept.y, later.y)),
            np.concatenate((kept.weights, later.weights)),
        )

    def without(
        self, X: Rows, y: IntArray, sample_weight: FloatArray | None
    ) -> RetainedRows:
        """Take equal rows of equal class out again, weight by weight."""
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        places = defaultdict(list)
        for place, key in enumerate(_keys(self.X, self.y)):
            places[key].append(place)
        left = self.weights.copy()
        for key, weight in zip(_keys(X, y), weights, strict=True):
            for place in places.get(key, ()):
                taken = min(weight, left[place])
                left[place] -= taken
                weight -= taken
        members = np.flatnonzero(left > 1e-9 * self.weights)
        return RetainedRows(self.X[members], self.y[members], left[members])

    def _part(self, members: slice) -> RetainedRows:
        return RetainedRows(self.X[members], self.y[members], self.weights[members])


def _keys(X: Rows, y: IntArray) -> list[tuple[int, bytes, bytes]]:
    """Hashable rows: places and values of their non-zero features."""
    sparse = sp.csr_array(X, copy=True)
    sparse.sum_duplicates()
    sparse.eliminate_zeros()
    places = sparse.indices.astype(np.int64)
    # In the lower precision, so that a row is found again in another type.
    values = sparse.data.astype(np.float32)
    return [
        (int(code), places[start:stop].tobytes(), values[start:stop].tobytes())
        for code, start, stop in zip(
            y, sparse.indptr[:-1], sparse.indptr[1:], strict=True
        )
    ]
