"""Softmax of scores, and its cross-entropy: values and gradients, in row chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows, row_blocks
from explicit_softmax.solution.decoder import Decoder

# Scores of a layer that are held at a time.
_CHUNK_VALUES = 2**20


def cross_entropy_residual(
    scores: FloatArray, y: IntArray, weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], FloatArray]:
    """Negative log-likelihood of each row and its gradient, softmax minus one-hot.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Overwritten.
    y : ndarray of int, shape (n_rows,)
        Class of each row.
    weights : ndarray of shape (n_rows,), default=None
        What the residual of each row is multiplied by; 1 each by default.

    Returns
    -------
    losses : ndarray of float64, shape (n_rows,)
        In nats, without the weights.
    residual : ndarray of shape (n_rows, n_classes)
        The array `scores`, holding ``softmax(scores) - one_hot(y)``, weighted.

    Notes
    -----
    One exponential per score serves value and gradient; `scipy.special.log_softmax`
    followed by an exponential would take two.
    """
    at = np.arange(y.shape[0])
    scores -= scores.max(axis=1, keepdims=True)
    own = scores[at, y].astype(np.float64)
    np.exp(scores, out=scores)
    total = scores.sum(axis=1)
    losses = np.log(total, dtype=np.float64) - own
    if weights is None:
        scores /= total[:, None]
        scores[at, y] -= 1
    else:  # in the same pass
        scores *= (weights / total).astype(scores.dtype, copy=False)[:, None]
        scores[at, y] -= weights
    return losses, scores


def softmax_in_place(scores: FloatArray) -> FloatArray:
    """Softmax of each row, written over the scores."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def network_scores(decoders: Sequence[Decoder], X: Rows) -> FloatArray:
    """Scores of the last decoder, where all earlier ones are followed by a softmax.

    Parameters
    ----------
    decoders : sequence of Decoder
        One per layer, each with as many features as the one before has classes.
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Non-negative features.

    Returns
    -------
    scores : ndarray of shape (n_rows, n_classes)
        In the wider type of rows and decoders. Hidden outputs are held for some rows
        at a time.
    """
    if len(decoders) == 1:
        return decoders[0].scores(X)
    n_rows, n_classes = X.shape[0], decoders[-1].n_classes
    dtype = np.result_type(X.dtype, *(d.intercept.dtype for d in decoders))
    scores = np.empty((n_rows, n_classes), dtype=dtype)
    for block in _score_blocks(decoders, n_rows):
        outputs = X[block]
        for decoder in decoders[:-1]:
            outputs = softmax_in_place(decoder.scores(outputs))
        scores[block] = decoders[-1].scores(outputs)
    return scores


def log_loss(
    decoders: Sequence[Decoder],
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None = None,
    margins: FloatArray | None = None,
) -> float:
    """Weighted mean negative log-likelihood in nats, without storing all scores.

    `decoders` has one entry per layer; X may be anything whose slices are rows;
    `margins`, if any, are added to the score of the own class of each row.

    Examples
    --------
    >>> import numpy as np
    >>> from explicit_softmax.solution.decoder import Decoder
    >>> from explicit_softmax.solution.loss import log_loss
    >>> even = Decoder.from_dense(np.zeros((3, 4)), np.zeros(4))
    >>> round(log_loss([even], np.ones((2, 3)), np.array([0, 3])), 4)
    1.3863
    """
    n_rows = X.shape[0]
    weight = np.ones(n_rows) if sample_weight is None else sample_weight
    total = 0.0
    for block in _score_blocks(decoders, n_rows):
        scores = network_scores(decoders, X[block])
        if margins is not None:
            scores[np.arange(len(scores)), y[block]] += margins[block]
        losses, _ = cross_entropy_residual(scores, y[block])
        total += float(losses @ weight[block])
    return total / float(weight.sum())


def _score_blocks(decoders: Sequence[Decoder], n_rows: int) -> Iterator[slice]:
    """Rows whose scores of any layer are held at a time."""
    width = max(decoder.n_classes for decoder in decoders)
    return row_blocks(n_rows, width, _CHUNK_VALUES)
