"""Joint training of softmax layers by back-propagation of the log-loss.

Notes
-----
Layer l turns its inputs a_l into scores a_l W_l + b_l, and all but the last follow with
a softmax, a_(l+1). With the residual r = softmax - one-hot of the last layer, the
gradients of the log-loss are a_l' r_l for the weights and the sums of r_l for the
intercepts, and the residual of a row goes one layer down through the Jacobian of the
softmax, diag(a) - a a':

    g = W_l r_l,        r_(l-1) = a_l * (g - a_l.g).

Outputs that are nearly certain pass next to nothing down, so that steps must be small:
what suits a single layer throws hidden layers into corners where they stay.

The objective adds ``alpha / 2`` times the squared distance of all weights from where
they started. Features of the first layer are centred where dense, and the steps of each
layer measured in units of one over the root mean square of its inputs, as in
`refinement`; a single layer takes the very steps that it takes there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.calibration.layers import network_scores, softmax_in_place
from explicit_softmax.solution.counts import FloatArray, IntArray, Rows, row_blocks
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import cross_entropy_residual

# Scores held at a time when a loss is summed over many rows.
_CHUNK_VALUES = 2**20


def backpropagate(
    weights: Sequence[FloatArray],
    intercepts: Sequence[FloatArray],
    X: Rows,
    y: IntArray,
    row_weight: FloatArray | float = 1.0,
    centre: FloatArray | None = None,
) -> tuple[NDArray[np.float64], list[FloatArray], list[FloatArray]]:
    """Losses of rows, and gradients of their weighted sum.

    Parameters
    ----------
    weights : sequence of ndarray of shape (n_inputs, n_outputs)
        Of each layer.
    intercepts : sequence of ndarray of shape (n_outputs,)
        Of each layer.
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Inputs of the first layer.
    y : ndarray of int, shape (n_rows,)
        Class of each row.
    row_weight : float or ndarray of shape (n_rows, 1), default=1.0
        What the gradient of the loss of each row is multiplied by.
    centre : ndarray of shape (n_features,), default=None
        Subtracted from all rows.

    Returns
    -------
    losses : ndarray of float64, shape (n_rows,)
        In nats, unweighted.
    weight_gradients, intercept_gradients : list of ndarray
        In the shapes of `weights` and `intercepts`.
    """
    inputs = [X]
    scores = X @ weights[0]
    scores += intercepts[0]
    if centre is not None:
        scores -= centre @ weights[0]
    for weight, intercept in zip(weights[1:], intercepts[1:], strict=True):
        inputs.append(softmax_in_place(scores))
        scores = inputs[-1] @ weight
        scores += intercept
    losses, residual = cross_entropy_residual(scores, y)
    residual *= row_weight
    weight_gradients: list[FloatArray] = []
    sums: list[FloatArray] = []
    for depth in range(len(weights) - 1, -1, -1):
        sums.append(residual.sum(axis=0))
        weight_gradients.append(inputs[depth].T @ residual)
        if depth:
            outputs = inputs[depth]
            residual = residual @ weights[depth].T
            residual -= np.einsum("ij,ij->i", residual, outputs)[:, None]
            residual *= outputs
    if centre is not None:
        weight_gradients[-1] -= centre[:, None] * sums[-1]
    return losses, weight_gradients[::-1], sums[::-1]


def network_log_loss(
    weights: Sequence[FloatArray],
    intercepts: Sequence[FloatArray],
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None = None,
) -> float:
    """Weighted mean negative log-likelihood in nats, without storing all scores."""
    decoders = [
        Decoder.from_dense(*layer) for layer in zip(weights, intercepts, strict=True)
    ]
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    width = max(decoder.n_classes for decoder in decoders)
    total = 0.0
    for block in row_blocks(X.shape[0], width, _CHUNK_VALUES):
        scores = network_scores(decoders, X[block])
        losses, _ = cross_entropy_residual(scores, y[block])
        total += float(losses @ weight[block])
    return total / float(weight.sum())
