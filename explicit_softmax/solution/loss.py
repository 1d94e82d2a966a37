"""Softmax cross-entropy: value and gradient with respect to scores, in row chunks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import FloatArray, IntArray, Rows, row_blocks
from explicit_softmax.solution.decoder import Decoder

# Scores held at a time when a loss is summed over many rows.
_CHUNK_VALUES = 2**20


def cross_entropy_residual(
    scores: FloatArray, y: IntArray
) -> tuple[NDArray[np.float64], FloatArray]:
    """Negative log-likelihood of each row and its gradient, softmax minus one-hot.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Overwritten.
    y : ndarray of int, shape (n_rows,)
        Class of each row.

    Returns
    -------
    losses : ndarray of float64, shape (n_rows,)
        In nats.
    residual : ndarray of shape (n_rows, n_classes)
        The array `scores`, holding ``softmax(scores) - one_hot(codes)``.

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
    scores /= total[:, None]
    scores[at, y] -= 1
    return losses, scores


def log_loss(
    decoder: Decoder,
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None = None,
) -> float:
    """Weighted mean negative log-likelihood in nats, without storing all scores.

    Examples
    --------
    >>> import numpy as np
    >>> from explicit_softmax.solution.decoder import Decoder
    >>> from explicit_softmax.solution.loss import log_loss
    >>> even = Decoder.from_dense(np.zeros((3, 4)), np.zeros(4))
    >>> round(log_loss(even, np.ones((2, 3)), np.array([0, 3])), 4)
    1.3863
    """
    n_rows = X.shape[0]
    weight = np.ones(n_rows) if sample_weight is None else sample_weight
    total = 0.0
    for block in row_blocks(n_rows, decoder.n_classes, _CHUNK_VALUES):
        losses, _ = cross_entropy_residual(decoder.scores(X[block]), y[block])
        total += float(losses @ weight[block])
    return total / float(weight.sum())
