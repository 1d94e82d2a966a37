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

from explicit_softmax.core.cooccurrence import FloatArray, IntArray, Rows

MOST_ROWS = 4096
LEAST_ROWS = 256
# Stored features of these rows (8 MiB in float64), and scores of them (8 MiB).
MOST_VALUES = 2**20
MOST_SCORES = 2**20


def row_limit(
    rows: Rows,
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
    rows : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Rows like those to be kept.
    n_classes, n_blocks : int
        Scores of a row.
    most_rows, most_values, most_scores : int
        Limits of rows, of stored features, and of scores, classes times blocks of each
        row.
    """
    width = rows.nnz / max(rows.shape[0], 1) if sp.issparse(rows) else rows.shape[1]
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
    rows : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
    codes : ndarray of int, shape (n_rows,)
    weights : ndarray of shape (n_rows,)
        Positive.
    """

    rows: Rows
    codes: IntArray
    weights: NDArray[np.float64]

    @classmethod
    def draw(
        cls, rows: Rows, codes: IntArray, sample_weight: FloatArray | None, limit: int
    ) -> RetainedRows:
        """At most `limit` rows of positive weight, always the same ones."""
        weights = np.ones(len(codes)) if sample_weight is None else sample_weight
        members = np.flatnonzero(weights > 0)
        if members.size > limit:
            rng = np.random.default_rng(0)
            members = np.sort(rng.choice(members, size=limit, replace=False))
        return cls(rows[members], codes[members], weights[members])

    def followed_by(self, later: RetainedRows, limit: int) -> RetainedRows:
        """The last `limit` rows of both."""
        first = max(0, len(self.codes) + len(later.codes) - limit)
        kept = self._part(slice(min(first, len(self.codes)), None))
        later = later._part(slice(max(0, first - len(self.codes)), None))
        if sp.issparse(kept.rows) or sp.issparse(later.rows):
            parts = [sp.csr_array(kept.rows), sp.csr_array(later.rows)]
            rows: Any = sp.csr_array(sp.vstack(parts, format="csr"))
        else:
            rows = np.concatenate((kept.rows, later.rows))
        return RetainedRows(
            rows,
            np.concatenate((kept.codes, later.codes)),
            np.concatenate((kept.weights, later.weights)),
        )

    def without(
        self, rows: Rows, codes: IntArray, sample_weight: FloatArray | None
    ) -> RetainedRows:
        """Take equal rows of equal class out again, weight by weight."""
        weights = np.ones(len(codes)) if sample_weight is None else sample_weight
        places = defaultdict(list)
        for place, key in enumerate(_keys(self.rows, self.codes)):
            places[key].append(place)
        left = self.weights.copy()
        for key, weight in zip(_keys(rows, codes), weights, strict=True):
            for place in places.get(key, ()):
                taken = min(weight, left[place])
                left[place] -= taken
                weight -= taken
        members = np.flatnonzero(left > 1e-9 * self.weights)
        return RetainedRows(self.rows[members], self.codes[members], left[members])

    def _part(self, members: slice) -> RetainedRows:
        return RetainedRows(
            self.rows[members], self.codes[members], self.weights[members]
        )


def _keys(rows: Rows, codes: IntArray) -> list[tuple[int, bytes, bytes]]:
    """Hashable rows: places and values of their non-zero features."""
    sparse = sp.csr_array(rows, copy=True)
    sparse.sum_duplicates()
    sparse.eliminate_zeros()
    places = sparse.indices.astype(np.int64)
    # In the lower precision, so that a row is found again in another type.
    values = sparse.data.astype(np.float32)
    return [
        (int(code), places[start:stop].tobytes(), values[start:stop].tobytes())
        for code, start, stop in zip(
            codes, sparse.indptr[:-1], sparse.indptr[1:], strict=True
        )
    ]
