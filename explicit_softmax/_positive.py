"""Non-negative features from any finite ones: signed parts and soft bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import row_blocks

# Features that are put into bins at a time.
_CHUNK_VALUES = 2**20
# Quantiles that differ by less, relatively, differ by rounding.
_ROUNDING = 16 * np.finfo(np.float64).eps


def feature_limits(rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest value of each feature (n_features,), in its units.

    Parameters
    ----------
    rows : ndarray or sparse matrix of shape (n_samples, n_features)

    Raises
    ------
    ValueError
        If their difference is not finite.
    """
    low, high = (
        np.asarray(end.toarray() if sp.issparse(end) else end, dtype=np.float64).ravel()
        for end in (rows.min(axis=0), rows.max(axis=0))
    )
    with np.errstate(over="ignore"):
        wide = np.flatnonzero(~np.isfinite(high - low))
    if wide.size:
        feature = int(wide[0])
        raise ValueError(
            f"feature {feature} spans more than float64 can hold, from "
            f"{low[feature]:g} to {high[feature]:g}: divide it by a constant"
        )
    return low, high


def signed_parts(rows: Any, scale: NDArray[np.float64]) -> Any:
    """Features x / scale as [max(x, 0), max(-x, 0)], (n_samples, 2 n_features).

    CSR where `rows` is, with non-zero values only.
    """
    if not sp.issparse(rows):
        scaled = rows / scale
        return np.hstack([np.maximum(scaled, 0.0), np.maximum(-scaled, 0.0)])
    scaled = sp.csr_array(
        (rows.data / scale[rows.indices], rows.indices, rows.indptr), shape=rows.shape
    )
    positive = sp.hstack([scaled.maximum(0.0), (-scaled).maximum(0.0)], format="csr")
    positive.eliminate_zeros()  # which older releases of SciPy store
    return positive


def quantile_knots(column: NDArray[Any], n_knots: int) -> NDArray[np.float64]:
    """Quantiles that differ by more than rounding, in increasing order."""
    knots = np.quantile(column.astype(np.float64), np.linspace(0.0, 1.0, n_knots))
    least = np.maximum(_ROUNDING * np.abs(knots[1:]), np.finfo(np.float64).tiny)
    return np.asarray(knots[np.append(True, np.diff(knots) > least)])


def soft_bins(
    rows: NDArray[Any], knots: Sequence[NDArray[np.float64]], *, sparse: bool
) -> Any:
    """Hat functions of the knots, the B-splines of degree one.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_features)
    knots : sequence of n_features ndarrays
        Increasing knots of each feature.
    sparse : bool
        Whether to return CSR.

    Returns
    -------
    bins : {ndarray, csr_array} of shape (n_samples, total number of knots)
        Of the type of `rows`. Those of a feature sum to one.
    """
    n_rows, n_features = rows.shape
    chunks = row_blocks(n_rows, n_features, _CHUNK_VALUES)
    if sparse:
        return sp.vstack([_hats(rows[c], knots) for c in chunks], format="csr")
    bins = np.empty((n_rows, sum(map(len, knots))), dtype=rows.dtype)
    for chunk in chunks:
        _hats(rows[chunk], knots).toarray(out=bins[chunk])
    return bins


def _hats(rows: NDArray[Any], knots: Sequence[NDArray[np.float64]]) -> sp.csr_array:
    n_rows, n_features = rows.shape
    n_bins = np.array([len(positions) for positions in knots])
    last = n_bins - 1
    positions = np.column_stack(
        [
            np.interp(column, at, np.arange(len(at)))
            for column, at in zip(rows.T, knots, strict=True)
        ]
    )
    np.minimum(positions, last, out=positions)  # of which rounding may leave more
    lower = np.minimum(positions.astype(np.int32), np.maximum(last - 1, 0))
    share = positions - lower
    first_bin = np.cumsum(n_bins) - n_bins
    bins = np.stack([lower, lower + (last > 0)], axis=2) + first_bin[:, None]
    weights = np.stack([1.0 - share, share], axis=2).astype(rows.dtype, copy=False)
    indptr = np.arange(n_rows + 1) * (2 * n_features)
    hats = sp.csr_array(
        (weights.ravel(), bins.ravel().astype(np.int32), indptr.astype(np.int32)),
        shape=(n_rows, n_bins.sum()),
    )
    hats.eliminate_zeros()
    return hats
