"""The explicit solution: smoothed co-occurrences to a decoder, without iteration.

Notes
-----
Rows of norm K and F = H'Y solve softmax regression (Eq. 3, 5) by

    U = log F - (K - 1)/K log S,      S_i = sum_d F_di,

which gives a row the scores h.U_i = h.(log F_i - log S_i) + (|h|/K) log S_i. (The
theorem in the paper prints the second term of U with a plus sign; its Eq. 3, Eq. 5, and
proof give minus.) Where every row has norm K this is multinomial naive Bayes with the
class prior, and log F_i - log S_i are its log-probabilities of the features.

Naive Bayes counts the evidence of correlated features too often. One inverse
temperature beta_b for each block b of features corrects that. In general S_i = n_i K_i,
the number of rows of a class times their mean norm: n_i is the class prior, and K_i is
a property of the rows that a weight gamma may leave out,

    score_i(h) = sum_b beta_b h_b.(log F_bi - log S_bi)
                 + (|h|/K) (log n_i + gamma log K_i).

beta = gamma = 1 is the theorem. gamma = 1, or rows of equal norm, give U = beta log F -
(beta - 1/K) log S for one block. As intercepts (the second implementation in the paper)
log n_i and log K_i stand without |h|/K. Shifts of the columns and of the intercepts,
c_i |h| + d_i, are the fitted translations of Eq. 12. Features in another unit give the
same scores, with beta in the inverse of that unit.

The score is linear in the numbers of `Calibration` and in the row, so that the same
expression gives scores of rows and, for rows with one feature of norm 1, the weights.

Sparse form: with F = a C + u v (see `smoothing`),

    log F = log u + log v + log1p(a C / (u v)).

log u is common to all classes and is left out of every decoder, dense ones included;
log v multiplies |h|; the last term is as sparse as C.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.solution.counts import CooccurrenceCounts, FloatArray
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.smoothing import SmoothedCounts

Layout: TypeAlias = Literal["auto", "dense", "sparse"]
Translation: TypeAlias = Literal["column", "intercept"]

# Up to this many weights are stored densely even where the counts are sparse: dense
# products are faster, and 32 MiB is little.
_ALWAYS_DENSE = 2**22

# Above this share of non-zero counts the sparse form takes as much memory as the dense.
_DENSE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Calibration:
    """The numbers of the solution besides the counts.

    Parameters
    ----------
    beta : ndarray of shape (n_blocks,) or (n_features,)
        Inverse temperature of each block of features or, in `explicit_decoder`, of each
        feature.
    priming_number : float
        K.
    translation : {"column", "intercept"}, default="column"
        Whether the class prior is multiplied by ``|h|/K`` or stands as an intercept.
    norm_weight : float, default=1.0
        gamma, the weight of the mean norms of the classes.
    intercept_shift, column_shift : float or ndarray of shape (n_classes,), default=0.0
        Added to the intercepts, and to all weights of a class.
    """

    beta: NDArray[np.float64]
    priming_number: float
    translation: Translation = "column"
    norm_weight: float = 1.0
    intercept_shift: Any = 0.0
    column_shift: Any = 0.0

    def class_terms(
        self, log_count: FloatArray, log_norm: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Score of each class per unit of norm, and per row: the class prior.

        `log_count` and `log_norm` are log n_i and log K_i, one row for all rows of
        features or one for each.
        """
        prior = log_count
        if self.norm_weight:
            prior = log_count + self.norm_weight * log_norm
        if self.translation == "column":
            intercept = np.broadcast_to(self.intercept_shift, prior.shape)
            return prior / self.priming_number + self.column_shift, intercept
        shift = np.broadcast_to(self.column_shift, prior.shape)
        return shift, prior + self.intercept_shift

    def scores(
        self,
        log_likelihoods: Iterable[FloatArray],
        norms: FloatArray | float,
        log_count: FloatArray,
        log_norm: FloatArray,
    ) -> FloatArray:
        """The formula at the top of this module.

        Parameters
        ----------
        log_likelihoods : iterable of n_blocks ndarray of shape (n_rows, n_classes)
            h_b.(log F_bi - log S_bi) of each block.
        norms : ndarray of shape (n_rows, 1)
            |h| of each row.
        log_count, log_norm : ndarray of shape (n_classes,) or (n_rows, n_classes)
            As in `class_terms`.

        Returns
        -------
        scores : ndarray of shape (n_rows, n_classes)
            Up to a constant per row.
        """
        per_norm, intercept = self.class_terms(log_count, log_norm)
        if self.translation == "column" or np.any(self.column_shift):
            scores = norms * per_norm + intercept
        else:  # a pass and its memory less
            scores = intercept
        for beta, part in zip(self.beta, log_likelihoods, strict=True):
            scores = scores + beta * part
        return scores


def explicit_decoder(
    smoothed: SmoothedCounts,
    calibration: Calibration,
    *,
    layout: Layout = "auto",
    norm_exponent: float = 0.0,
    row_norm: float | None = None,
    dtype: Any = np.float64,
) -> Decoder:
    """The explicit solution, Eq. 3: the path that every estimator takes.

    Parameters
    ----------
    smoothed : SmoothedCounts
        F~ in the form of `smoothing`.
    calibration : Calibration
        With beta = 1 and the other defaults, the theorem as printed.
    layout : {"auto", "dense", "sparse"}, default="auto"
        Whether all weights are stored or those of non-zero counts only. "auto" is
        sparse where the counts are sparse and neither few nor mostly non-zero.
    norm_exponent : float, default=0.0
        As the rows were counted.
    row_norm : float, default=None
        Norm of all rows where they have the same norm, in equal parts in all blocks. In
        the sparse form, terms of the norm then become intercepts.
    dtype : dtype, default=float64
        Type of the weights.

    Returns
    -------
    decoder : Decoder
        Centred over classes: dense weights, low-rank terms, and intercepts have mean
        zero over the classes, which no probability depends on and float32 needs.

    Examples
    --------
    >>> import numpy as np
    >>> from explicit_softmax.solution.counts import CooccurrenceCounts
    >>> from explicit_softmax.solution.smoothing import smooth_counts
    >>> from explicit_softmax.solution.theorem import Calibration, explicit_decoder
    >>> X = np.array([[2.0, 1.0], [1.0, 2.0], [1.0, 2.0]])
    >>> counts = CooccurrenceCounts.from_rows(X, np.array([0, 1, 1]), 2)
    >>> theorem = Calibration(np.ones(1), counts.mean_norm)
    >>> explicit_decoder(smooth_counts(counts, None), theorem).weights.round(3)
    array([[ 0.231, -0.231],
           [-0.462,  0.462]])
    """
    prior = calibration.class_terms(smoothed.log_count, smoothed.log_norm)
    if is_sparse_layout(smoothed.counts, layout):
        weights, left, right = _sparse_weights(smoothed, calibration, prior[0], dtype)
        intercept = prior[1]
        if row_norm is not None:
            n_blocks = len(smoothed.blocks)
            intercept = intercept + row_norm / n_blocks * right[:, :n_blocks].sum(
                axis=1
            )
            left, right = left[:, n_blocks:], right[:, n_blocks:]
    else:
        weights, intercept = _dense_weights(smoothed, calibration, *prior)
        left, right = np.zeros((len(weights), 0)), np.zeros((weights.shape[1], 0))
    return Decoder(
        weights,
        left,
        _centred(right),
        _centred(intercept),
        zero_row_scores=smoothed.log_count,
        norm_exponent=norm_exponent,
    ).astype(dtype)


def evidence_decoder(
    smoothed: SmoothedCounts,
    beta: NDArray[np.float64] | None = None,
    layout: Layout = "auto",
) -> Decoder:
    """Evidence beta (log F~ - log S~) of all features, the noise model folded in.

    Inverse temperatures are those of blocks or features, and one by default.
    """
    beta = np.ones(len(smoothed.blocks)) if beta is None else beta
    # An infinite priming number leaves out the class prior.
    return explicit_decoder(smoothed, Calibration(beta, np.inf), layout=layout)


def is_sparse_layout(counts: CooccurrenceCounts, layout: Layout) -> bool:
    """Whether only weights of non-zero counts are stored."""
    if layout != "auto" or not counts.is_sparse:
        return layout == "sparse"
    cells = counts.n_features * counts.n_classes
    return cells > _ALWAYS_DENSE and counts.cooccurrence.nnz < _DENSE_SHARE * cells


def block_log_likelihood(
    smoothed: SmoothedCounts, b: int, layout: Layout = "auto"
) -> Decoder:
    """Log F~ - log S~ of the features of block b, the noise model folded in.

    Its scores are the log-likelihoods h_b.(log F_b - log S_b) of rows of the block, up
    to a constant per row.
    """
    block = smoothed.blocks[b]
    no_intercept = np.zeros(smoothed.counts.n_classes)
    if not is_sparse_layout(smoothed.counts, layout):
        return Decoder.from_dense(_dense_log_prob(smoothed, b), no_intercept)
    counts = sp.csr_array(smoothed.counts.cooccurrence)
    part = counts if len(smoothed.blocks) == 1 else counts[block]
    data, right, left = _sparse_log_prob(smoothed, b, part)
    weights = sp.csr_array((data, part.indices, part.indptr), shape=part.shape)
    left = np.hstack([np.ones((part.shape[0], 1)), left])
    return Decoder(weights, left, right, no_intercept)


def _dense_weights(
    smoothed: SmoothedCounts,
    calibration: Calibration,
    per_norm: FloatArray,
    intercept: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    counts = smoothed.counts
    weights = np.empty((counts.n_features, counts.n_classes))
    for b, block in enumerate(smoothed.blocks):
        part = _dense_log_prob(smoothed, b)
        part *= _block_beta(smoothed, calibration, b)
        part += per_norm
        # `mean` takes seven times as long where the classes are few.
        mean = np.einsum("ij->i", part) / counts.n_classes
        np.subtract(part, mean[:, None], out=weights[block])
    return weights, intercept


def _sparse_weights(
    smoothed: SmoothedCounts,
    calibration: Calibration,
    per_norm: FloatArray,
    dtype: Any,
) -> tuple[sp.csr_array, Any, FloatArray]:
    """Weights that share the indices of the counts, and the low-rank terms.

    The first columns of the latter are those of the norm of each block, the others
    those of the noise model.
    """
    counts = sp.csr_array(smoothed.counts.cooccurrence)
    n_features, n_blocks = counts.shape[0], len(smoothed.blocks)
    data = np.empty(counts.nnz, dtype=dtype)
    right, noise_right, noise = [], [], []
    by_feature = len(calibration.beta) != n_blocks
    factors = np.ones(n_features)
    for b, block in enumerate(smoothed.blocks):
        part = counts if n_blocks == 1 else counts[block]
        log_prob, class_terms, noise_left = _sparse_log_prob(smoothed, b, part)
        stored = slice(counts.indptr[block.start], counts.indptr[block.stop])
        beta = _block_beta(smoothed, calibration, b)
        if by_feature:
            # The factors of features are on the left, and the class prior is apart.
            factors[block] = beta[:, 0]
            data[stored] = np.repeat(factors[block], np.diff(part.indptr)) * log_prob
            noise_left, beta = noise_left * beta, np.ones(1)
        else:
            data[stored] = beta * log_prob
        right.append(beta * class_terms[:, 0] + (0.0 if by_feature else per_norm))
        noise.append(noise_left)
        noise_right.append(beta * class_terms[:, 1:])
    sizes = [block.stop - block.start for block in smoothed.blocks]
    left: Any = factors[:, None]
    if n_blocks > 1:
        column = np.repeat(np.arange(n_blocks), sizes)
        left = sp.csr_array((factors, column, np.arange(n_features + 1)))
    if smoothed.is_noise:
        parts = [left, sp.block_diag(noise)] if n_blocks > 1 else [left, noise[0]]
        left = sp.csr_array(sp.hstack(parts)) if n_blocks > 1 else np.hstack(parts)
    weights = sp.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
    if by_feature:
        ones, noise_right = np.ones((n_features, 1)), [*noise_right, per_norm[:, None]]
        left = (sp if sp.issparse(left) else np).hstack([left, ones])
        left = sp.csr_array(left) if sp.issparse(left) else left
    return weights, left, np.hstack([np.stack(right, axis=1), *noise_right])


def _block_beta(
    smoothed: SmoothedCounts, calibration: Calibration, b: int
) -> NDArray[np.float64]:
    """Inverse temperature of a block (1,), or of its features (n, 1)."""
    beta = calibration.beta
    if len(beta) == len(smoothed.blocks):
        return beta[b : b + 1]
    return beta[smoothed.blocks[b], None]


def _dense_log_prob(smoothed: SmoothedCounts, b: int) -> FloatArray:
    block = smoothed.blocks[b]
    part = smoothed.counts.cooccurrence[block]
    log_prob = part.toarray() if sp.issparse(part) else part.copy()
    # log(F~/u) = log(a C / u + v): a and u are q and p, or 1, or u is 0: then v is.
    if smoothed.is_noise:
        log_prob *= smoothed.ratio(block)[:, None]
    log_prob += smoothed.class_offset[:, b]
    np.log(log_prob, out=log_prob)
    log_prob -= np.log(smoothed.block_mass[:, b])
    if smoothed.is_noise:
        kept, noise = smoothed.scale[block], smoothed.offset[block]
        through_noise = noise @ log_prob
        log_prob *= kept[:, None]
        log_prob += (1.0 - kept)[:, None] * through_noise
    return np.asarray(log_prob)


def _sparse_log_prob(
    smoothed: SmoothedCounts, b: int, counts: sp.csr_array
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Values at the non-zero counts of a block, and the low-rank terms.

    Returns the values, the class terms (n_classes, 1 or 2), the first of which belongs
    to the norm of the block, and what the second is multiplied by, (n_features, 0 or
    1).
    """
    block, class_offset = smoothed.blocks[b], smoothed.class_offset[:, b]
    offset, log_mass = smoothed.offset[block], np.log(smoothed.block_mass[:, b])
    no_noise = np.zeros((counts.shape[0], 0))
    if not offset.any():
        # Without smoothing every count is positive, and all of log C is stored.
        return np.log(counts.data), -log_mass[:, None], no_noise
    stored = np.diff(counts.indptr)
    ratio = np.repeat(smoothed.scale[block] / offset, stored)
    data = np.log1p(counts.data * ratio / class_offset[counts.indices])
    terms = (np.log(class_offset) - log_mass)[:, None]
    if not smoothed.is_noise:
        return data, terms, no_noise
    through_noise = np.bincount(
        counts.indices, data * np.repeat(offset, stored), minlength=counts.shape[1]
    )
    kept = smoothed.scale[block]
    data *= np.repeat(kept, stored)
    return data, np.hstack([terms, through_noise[:, None]]), (1.0 - kept)[:, None]


def _centred(terms: FloatArray) -> FloatArray:
    """Terms (n_classes, ...) less their mean over the classes."""
    return np.asarray(terms - terms.mean(axis=0))
