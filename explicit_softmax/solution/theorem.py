"""The explicit solution: smoothed co-occurrences to a decoder, without iteration.

Notes
-----
Rows of norm K and F = H'Y solve softmax regression (Eq. 3, 5) by

    U = log F - (K - 1)/K log S,      S_i = sum_d F_di,

so that a row scores h.U_i = h.(log F_i - log S_i) + (|h|/K) log S_i. (The theorem in
the paper prints the second term of U with a plus sign; its Eq. 3, Eq. 5, and proof give
minus.) Where every row has norm K this is multinomial naive Bayes with the class prior.

Evidence is counted too often where features are correlated. One inverse temperature
beta_b for each block b of features repairs it. In general S_i = n_i K_i, the number of
rows of a class times their mean norm: n_i is the class prior, and K_i is a property of
the rows that a weight gamma may leave out,

    score_i = sum_b beta_b h_b.(log F_bi - log S_bi) + (|h|/K) (log n_i + gamma log
    K_i).

beta = gamma = 1 is the theorem. gamma = 1, or rows of equal norm, give U = beta log F -
(beta - 1/K) log S for one block. As intercepts (the second implementation in the paper)
log n_i and log K_i stand without |h|/K. Features in another unit give the same scores,
with beta in the inverse of that unit.

Sparse form: with F = a C + u v (see `smoothing`),

    log F = log u + log v + log1p(a C / (u v)).

log u is common to all classes and is left out of every decoder here, dense ones
included; log v multiplies |h|; the last term is as sparse as C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import CooccurrenceCounts, FloatArray
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.smoothing import SmoothedCounts, Smoothing, smooth_counts

Layout: TypeAlias = Literal["auto", "dense", "sparse"]
Translation: TypeAlias = Literal["column", "intercept"]

# Weights of this many values are dense also where the counts are sparse: dense products
# are faster, and 32 MiB is little.
_SMALL = 2**22

# Above this share of non-zero counts the sparse form takes as much memory as the dense.
_DENSE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Evidence:
    """Class-conditional log frequencies log F~ - log S~, block by block.

    Parameters
    ----------
    smoothed : SmoothedCounts
        What they were made of.
    decoders : tuple of Decoder
        For each block of features, the decoder of its evidence at beta = 1, without
        intercept; its features are those of the block.
    """

    smoothed: SmoothedCounts
    decoders: tuple[Decoder, ...]

    def decoder(
        self,
        beta: FloatArray | float,
        priming_number: float,
        *,
        translation: Translation = "column",
        norm_weight: float = 1.0,
        intercept_shift: FloatArray | None = None,
        column_shift: FloatArray | None = None,
        norm_exponent: float = 0.0,
    ) -> Decoder:
        """Decoder at given inverse temperatures.

        Parameters
        ----------
        beta : float or ndarray of shape (n_blocks,)
            Inverse temperature of each block.
        priming_number : float
            K; it weighs the class prior under ``translation="column"``.
        translation : {"column", "intercept"}, default="column"
            Whether the class prior and mean norms are multiplied by ``|h|/K``.
        norm_weight : float, default=1.0
            gamma, the weight of the mean norms of the classes.
        intercept_shift : ndarray of shape (n_classes,), default=None
            Added to the intercepts.
        column_shift : ndarray of shape (n_classes,), default=None
            Added to all weights of a class.
        norm_exponent : float, default=0.0
            As the rows were counted.
        """
        smoothed = self.smoothed
        betas = np.broadcast_to(np.asarray(beta, float), (len(self.decoders),))
        prior = smoothed.log_count + norm_weight * smoothed.log_norm
        if translation == "column":
            per_norm, intercept = prior / priming_number, np.zeros_like(prior)
        else:
            per_norm, intercept = np.zeros_like(prior), prior - prior.max()
        if intercept_shift is not None:
            intercept = intercept + intercept_shift
        if column_shift is not None:
            per_norm = per_norm + column_shift
        parts = [
            _scaled(decoder, value, per_norm)
            for decoder, value in zip(self.decoders, betas, strict=True)
        ]
        return Decoder(
            *_stack(parts),
            intercept,
            zero_row_scores=smoothed.log_count,
            norm_exponent=norm_exponent,
        )


def solve(smoothed: SmoothedCounts, layout: Layout = "auto") -> Evidence:
    """Logarithms of smoothed co-occurrences, once for all inverse temperatures.

    Parameters
    ----------
    smoothed : SmoothedCounts
        F~ in the form of `smoothing`.
    layout : {"auto", "dense", "sparse"}, default="auto"
        Whether all weights are stored or those of non-zero counts only. "auto" is
        sparse where the counts are sparse and neither few nor mostly non-zero.

    Returns
    -------
    evidence : Evidence
    """
    sparse = layout == "sparse"
    if layout == "auto" and smoothed.counts.is_sparse:
        cells = smoothed.counts.n_features * smoothed.counts.n_classes
        share = smoothed.counts.cooccurrence.nnz / max(cells, 1)
        sparse = cells > _SMALL and share < _DENSE_SHARE
    make = sparse_evidence if sparse else _dense_evidence
    return Evidence(
        smoothed, tuple(make(smoothed, b) for b in range(len(smoothed.blocks)))
    )


def explicit_decoder(
    counts: CooccurrenceCounts,
    *,
    priming_number: float | None = None,
    beta: FloatArray | float = 1.0,
    smoothing: Smoothing = None,
    strength: float = 0.1,
    blocks: tuple[slice, ...] | None = None,
    translation: Translation = "column",
    layout: Layout = "auto",
) -> Decoder:
    """The explicit solution of Eq. 3; with the defaults, the theorem as printed.

    Parameters
    ----------
    counts : CooccurrenceCounts
        F = H'Y.
    priming_number : float, default=None
        K; the mean norm of the rows by default.
    beta : float or ndarray of shape (n_blocks,), default=1.0
        Inverse temperatures.
    smoothing : {"uniform", "prior", "noise"} or None, default=None
        As in `smooth_counts`.
    strength : float, default=0.1
        As in `smooth_counts`.
    blocks : tuple of slice, default=None
        As in `smooth_counts`.
    translation : {"column", "intercept"}, default="column"
        As in `Evidence.decoder`.
    layout : {"auto", "dense", "sparse"}, default="auto"
        As in `solve`.

    Returns
    -------
    decoder : Decoder

    Examples
    --------
    >>> import numpy as np
    >>> from explicit_softmax.solution.counts import CooccurrenceCounts
    >>> from explicit_softmax.solution.theorem import explicit_decoder
    >>> rows = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    >>> counts = CooccurrenceCounts.from_rows(rows, np.array([0, 1, 1]), 2)
    >>> explicit_decoder(counts).weights.round(3)
    array([[-0.039, -0.501],
           [-0.732,  0.192]])
    """
    evidence = solve(smooth_counts(counts, smoothing, strength, blocks), layout)
    norm = (counts.mean_norm or 1.0) if priming_number is None else priming_number
    return evidence.decoder(beta, norm, translation=translation)


def _dense_evidence(smoothed: SmoothedCounts, b: int) -> Decoder:
    block = smoothed.blocks[b]
    part = smoothed.counts.cooccurrence[block]
    weights = part.toarray() if sp.issparse(part) else part.copy()
    # log(F~/u) = log(a C / u + v): u is 1 or p, or 0 where nothing is added.
    offset, class_offset = smoothed.offset[block], smoothed.class_offset[:, b]
    ratio = smoothed.ratio(block)
    weights *= ratio[:, None]
    weights += class_offset
    np.log(weights, out=weights)
    weights -= np.log(smoothed.block_mass[:, b])
    if smoothed.is_noise:
        kept, noise = smoothed.scale[block], offset
        through_noise = noise @ weights
        weights *= kept[:, None]
        weights += (1.0 - kept)[:, None] * through_noise
    return Decoder.from_dense(weights, np.zeros(weights.shape[1]))


def sparse_evidence(smoothed: SmoothedCounts, b: int) -> Decoder:
    """Evidence of block b at beta = 1, weights stored as the counts are.

    The first column of `left` is all ones.
    """
    block = smoothed.blocks[b]
    counts = sp.csr_array(smoothed.counts.cooccurrence)
    counts = counts if block == slice(0, counts.shape[0]) else counts[block]
    n_features, n_classes = counts.shape
    offset, class_offset = smoothed.offset[block], smoothed.class_offset[:, b]
    log_mass = np.log(smoothed.block_mass[:, b])
    ones = np.ones((n_features, 1))
    if not offset.any():
        # Without smoothing every count is positive: log C itself, all of it stored.
        data, right = np.log(counts.data), -log_mass[:, None]
    else:
        ratio = np.repeat(smoothed.scale[block] / offset, np.diff(counts.indptr))
        data = np.log1p(counts.data * ratio / class_offset[counts.indices])
        right = (np.log(class_offset) - log_mass)[:, None]
    left = ones
    weights = sp.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
    if smoothed.is_noise:
        kept, noise = smoothed.scale[block], offset
        through_noise = np.asarray(weights.T @ noise)
        weights.data *= np.repeat(kept, np.diff(weights.indptr))
        left = np.hstack([ones, (1.0 - kept)[:, None]])
        right = np.hstack([right, through_noise[:, None]])
    return Decoder(weights, left, right, np.zeros(n_classes))


def _scaled(
    decoder: Decoder, beta: float, per_norm: NDArray[np.float64]
) -> tuple[FloatArray | sp.csr_array, FloatArray, FloatArray]:
    """Weights, left, and right of ``beta * evidence + |h| per_norm`` for one block."""
    if not decoder.is_sparse:
        weights = decoder.weights * beta
        weights += per_norm
        return weights, decoder.left, decoder.right
    right = decoder.right * beta
    right[:, 0] += per_norm  # the first column of `left` is all ones
    return decoder.weights * beta, decoder.left, right


def _stack(
    parts: list[tuple[FloatArray | sp.csr_array, FloatArray, FloatArray]],
) -> tuple[FloatArray | sp.csr_array, FloatArray, FloatArray]:
    """Blocks of features one below the other; each keeps its own low-rank columns."""
    if len(parts) == 1:
        return parts[0]
    right = np.hstack([part[2] for part in parts])
    left = np.zeros((sum(part[1].shape[0] for part in parts), right.shape[1]))
    row = column = 0
    for _, block_left, _ in parts:
        X, columns = block_left.shape
        left[row : row + X, column : column + columns] = block_left
        row, column = row + X, column + columns
    weights = [part[0] for part in parts]
    if sp.issparse(weights[0]):
        return sp.csr_array(sp.vstack(weights, format="csr")), left, right
    return np.vstack(weights), left, right
