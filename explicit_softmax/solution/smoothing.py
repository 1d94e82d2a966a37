"""Smoothed co-occurrences: a diagonal plus rank one, never formed where sparse.

Every smoothing keeps the form F~ = diag(a) C + u v' of the raw counts C, with one v
for each block of features:

==========  ====  ====  ==========================================  ===============
smoothing   a     u     v                                           source
==========  ====  ====  ==========================================  ===============
None        1     0     0                                           Eq. 3
"uniform"   1     1     alpha                                       Lidstone
"prior"     1     1     alpha n_classes S / sum(S)                  class marginal
"noise"     q     p     (1 - q)'C                                   Eq. 4, folded
==========  ====  ====  ==========================================  ===============

The noise model replaces H by HE with E = diag(q) + (1 - q)p'. Then (HE)'Y is
diag(q)C + p((1 - q)'C), which is the last row of the table, and the scores of a row are
(h q)U + (h (1 - q))(p'U): E folds into the counts and into the decoder, and neither E
nor HE is formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    FloatArray,
    IntArray,
)

Smoothing: TypeAlias = Literal["uniform", "prior", "noise"] | None

# No co-occurrence may vanish, and a feature that holds all mass of its block has p = 0.
_LEAST_NOISE = 1e-12


def feature_blocks(n_features: int, n_blocks: int | Sequence[int]) -> tuple[slice, ...]:
    """Contiguous blocks of features.

    Parameters
    ----------
    n_features : int
        Number of features.
    n_blocks : int or sequence of int
        Number of blocks of equal size, or the size of each.

    Raises
    ------
    ValueError
        If the blocks do not make up the features.
    """
    given = np.asarray(n_blocks)
    is_whole = given.dtype.kind in "iu" or not given.size
    if not is_whole or given.ndim > 1 or (not given.ndim and given < 1):
        raise ValueError(
            "n_blocks must be a positive integer, or the sizes of the blocks as such, "
            f"not {n_blocks!r}"
        )
    if given.ndim:
        sizes = given.tolist()
        if min(sizes, default=0) < 1 or sum(sizes) != n_features:
            raise ValueError(
                f"n_blocks={sizes} must be positive sizes that sum to the features, "
                f"{n_features}"
            )
    elif n_features % int(given):
        raise ValueError(
            f"n_blocks={n_blocks} does not divide the {n_features} features into "
            "blocks of equal size; give the sizes of the blocks instead"
        )
    else:
        sizes = [n_features // int(given)] * int(given)
    stops = np.cumsum(sizes)
    return tuple(
        slice(int(stop) - size, int(stop))
        for size, stop in zip(sizes, stops, strict=True)
    )


def restricted_blocks(
    blocks: tuple[slice, ...], features: IntArray
) -> tuple[slice, ...]:
    """Blocks of some of the features, whose numbers increase."""
    stops = np.searchsorted(features, [block.stop for block in blocks]).tolist()
    return tuple(map(slice, [0, *stops[:-1]], stops))


@dataclass(frozen=True, eq=False)
class SmoothedCounts:
    """F~ = diag(scale) C + offset x class_offset, block by block.

    Parameters
    ----------
    counts : CooccurrenceCounts
        The raw counts C.
    blocks : tuple of slice
        Contiguous blocks of features.
    scale, offset : ndarray of shape (n_features,)
        a and u of the table above.
    class_offset : ndarray of shape (n_classes, n_blocks)
        v of the table above; finite and, but for ``smoothing=None``, positive.
    block_mass : ndarray of shape (n_classes, n_blocks)
        Column sums of F~ over each block; positive.
    unit : float
        Mean non-zero feature: the mass of a class that has none.
    is_noise : bool
        Whether rows pass through E: then `scale` is q and `offset` is p.
    marginal_share : float
        v of "prior" per unit of the mass of a class; 0 for other smoothings.
    """

    counts: CooccurrenceCounts
    blocks: tuple[slice, ...]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    class_offset: NDArray[np.float64]
    block_mass: NDArray[np.float64]
    unit: float
    is_noise: bool = False
    marginal_share: float = 0.0

    @property
    def class_mass(self) -> NDArray[np.float64]:
        """Column sums S~ of F~, shape (n_classes,)."""
        return np.asarray(self.block_mass.sum(axis=1))

    def restricted(
        self, features: IntArray, cooccurrence: Any = None
    ) -> SmoothedCounts:
        """Some of the features, in order, with the column sums of all of them.

        `cooccurrence` has their raw counts where they are known.
        """
        if cooccurrence is None:
            cooccurrence = self.counts.cooccurrence[features]
        counts = replace(self.counts, cooccurrence=cooccurrence)
        return replace(
            self,
            counts=counts,
            blocks=restricted_blocks(self.blocks, features),
            scale=self.scale[features],
            offset=self.offset[features],
        )

    def ratio(self, block: slice) -> NDArray[np.float64]:
        """Quotient a / u over a block, so that F~ / u = ratio C + v; 1 where u is 0."""
        offset = self.offset[block]
        ones = np.ones_like(offset)
        return np.divide(self.scale[block], offset, out=ones, where=offset > 0)

    @property
    def log_count(self) -> NDArray[np.float64]:
        """Log class frequencies, shape (n_classes,): log n up to a constant."""
        return log_class_frequency(self.counts.class_count)

    @property
    def log_norm(self) -> NDArray[np.float64]:
        """Log mean norm of the rows of a class, log S~ - log n, shape (n_classes,)."""
        return np.asarray(np.log(self.class_mass) - self.log_count)


def log_class_frequency(
    class_count: FloatArray, like: FloatArray | None = None
) -> NDArray[np.float64]:
    """Log of counts over the sum of counts, half of the smallest standing in for zero.

    Parameters
    ----------
    class_count : ndarray
        Summed weights.
    like : ndarray, default=None
        Counts that give the sum and the stand-in for zero; `class_count` by default.
    """
    reference = class_count if like is None else like
    seen = reference > 0
    least = reference[seen].min() if seen.any() else 1.0
    total = np.where(seen, reference, 0.5 * least).sum()
    return np.asarray(
        np.log(np.where(class_count > 0, class_count, 0.5 * least) / total)
    )


def smooth_counts(
    counts: CooccurrenceCounts,
    smoothing: Smoothing = "prior",
    strength: float = 0.1,
    blocks: tuple[slice, ...] | None = None,
) -> SmoothedCounts:
    """Smooth co-occurrences.

    Parameters
    ----------
    counts : CooccurrenceCounts
        Raw counts.
    smoothing : {"uniform", "prior", "noise"} or None, default="prior"
        See the table at the top of this module.
    strength : float, default=0.1
        alpha of "uniform" and "prior", in units of the mean non-zero feature, so that
        the unit of the features does not matter.
    blocks : tuple of slice, default=None
        Contiguous blocks of features; one block by default.

    Returns
    -------
    smoothed : SmoothedCounts

    Raises
    ------
    ValueError
        If ``smoothing=None`` and a co-occurrence is zero, since its logarithm is not
        finite.

    Notes
    -----
    A class without mass keeps a finite score: "prior" gives it the marginal, and
    "noise" the noise mass, of one mean non-zero feature.

    f of Eq. 4 is the mass of a feature over the mean norm of its block, the number of
    times that a token was seen where rows are one-hot windows.
    """
    blocks = (slice(0, counts.n_features),) if blocks is None else blocks
    n_features, n_classes, n_blocks = counts.n_features, counts.n_classes, len(blocks)
    unit = counts.mean_nonzero
    mass = np.stack([counts.block_mass(block) for block in blocks], axis=1)
    sizes = np.array([block.stop - block.start for block in blocks])
    ones = np.ones(n_features)
    if smoothing == "noise":
        return _noise(counts, blocks, mass, unit)
    if smoothing is None:
        _check_positive(counts)
        zeros = np.zeros((n_classes, n_blocks))
        return SmoothedCounts(counts, blocks, ones, 0.0 * ones, zeros, mass, unit)
    if strength <= 0:
        raise ValueError(
            f"the smoothing strength must be positive, not {strength}; take "
            "smoothing=None to add nothing"
        )
    share = 0.0
    if smoothing == "uniform":
        per_class = np.full(n_classes, strength * unit)
    elif smoothing == "prior":
        marginal = np.maximum(mass.sum(axis=1), unit)
        share = float(strength * unit * (n_classes / marginal.sum()))
        per_class = strength * unit * n_classes * (marginal / marginal.sum())
    else:
        raise ValueError(
            f"smoothing must be 'uniform', 'prior', 'noise', or None, not {smoothing!r}"
        )
    class_offset = np.repeat(per_class[:, None], n_blocks, axis=1)
    if not np.isfinite(class_offset * n_features).all():
        raise ValueError(
            f"smoothing_strength={strength:g} times the mean non-zero feature, "
            f"{unit:g}, is too large for floating-point numbers"
        )
    return SmoothedCounts(
        counts,
        blocks,
        ones,
        ones,
        class_offset,
        mass + class_offset * sizes,
        unit,
        marginal_share=share,
    )


def _noise(
    counts: CooccurrenceCounts,
    blocks: tuple[slice, ...],
    mass: NDArray[np.float64],
    unit: float,
) -> SmoothedCounts:
    n_features, n_classes = counts.n_features, counts.n_classes
    total_weight = counts.class_count.sum()
    kept = np.zeros(n_features)
    noise = np.zeros(n_features)
    class_offset = np.zeros((n_classes, len(blocks)))
    feature_mass = np.asarray(counts.cooccurrence.sum(axis=1)).ravel()
    for b, block in enumerate(blocks):
        part, size = feature_mass[block], block.stop - block.start
        block_total = part.sum()
        share = part / block_total if block_total > 0 else np.full(size, 1.0 / size)
        # The frequencies of a block sum to the number of rows.
        frequency = share * total_weight
        kept[block] = np.where(part > 0, frequency / (frequency + 1.0), 0.0)
        spread = (1.0 - share) / (size - 1) if size > 1 else np.ones(1)
        noise[block] = np.maximum(spread, _LEAST_NOISE / size)
        class_offset[:, b] = (1.0 - kept[block]) @ counts.cooccurrence[block]
    seen = mass > 0
    return SmoothedCounts(
        counts,
        blocks,
        kept,
        noise,
        np.where(seen, class_offset, unit),
        np.where(seen, mass, unit),
        unit,
        is_noise=True,
    )


def _check_positive(counts: CooccurrenceCounts) -> None:
    cooccurrence = counts.cooccurrence
    if counts.is_sparse:
        n_zero = int(np.prod(cooccurrence.shape)) - np.count_nonzero(cooccurrence.data)
    else:
        n_zero = cooccurrence.size - np.count_nonzero(cooccurrence)
    if n_zero:
        raise ValueError(
            f"smoothing=None needs every co-occurrence to be positive, and {n_zero} of "
            f"{int(np.prod(cooccurrence.shape))} are zero. Choose smoothing='prior', "
            "'uniform', or 'noise', or add a constant to the features."
        )
