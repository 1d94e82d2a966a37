"""Layers solved one after the other: forward passes only.

Notes
-----
The softmax outputs of a layer are positive and sum to one. They are rows of norm K = 1
for the next layer, so that its solution needs no assumption about norms: at beta = 1
its translation vanishes, U = log F - 0 log S (Eq. 3 at K = 1). Each layer predicts
targets of its own, codes that may be finer than the classes, and its inverse
temperature is chosen before the next layer is solved.

Outputs for rows that were counted are not those for new rows: the layer has seen the
row and, where its targets are clusters, the cluster was drawn around it. The
temperature of the next layer is therefore chosen on leave-one-out outputs: a sample of
rows passes through each layer by the scores of `leave_one_out` at the temperature
found, and by the leave-one-out scores of the next layer in turn. What the row has put
into the counts of the next layer is taken out as if it had been that output. The counts
themselves are those of ordinary outputs.

Outputs resemble one-hot features: most are next to nothing. Their unit, which smoothing
refers to, is the mean output weighted by itself, the sum of squares over the sum; the
mean of all would be one over their number, however certain they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.calibration.calibrate import Calibration, calibrate
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.calibration.sample import MOST_SCORES, RetainedRows, row_limit
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    FloatArray,
    IntArray,
    Rows,
    row_blocks,
    row_norms,
)
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import network_scores, softmax_in_place
from explicit_softmax.solution.smoothing import Smoothing, smooth_counts
from explicit_softmax.solution.theorem import Evidence, solve

# Hidden outputs held at a time.
_CHUNK_VALUES = 2**20

# Leave-one-out scores held (16 MiB in float64) where there are hidden layers, whose
# targets are many.
_MOST_SCORES = 2**21


@dataclass(frozen=True, eq=False)
class Layer:
    """A solved layer.

    Parameters
    ----------
    decoder : Decoder
        Scores of its targets from the outputs of the layer before.
    priming_number : float
        K, the mean norm of its inputs; one for all layers but the first.
    calibration : Calibration
        What was chosen by leave-one-out.
    """

    decoder: Decoder
    priming_number: float
    calibration: Calibration


def solve_layers(
    X: Rows,
    targets: Sequence[IntArray],
    n_targets: Sequence[int],
    *,
    sample_weight: FloatArray | None = None,
    betas: Sequence[float | None] | None = None,
    smoothing: Smoothing = "prior",
    strength: float = 0.1,
    norm_exponent: float = 0.0,
    norm_weight: float | None = None,
) -> tuple[Layer, ...]:
    """Solve layers one after the other, each on the outputs of those before it.

    Parameters
    ----------
    X : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Non-negative finite features.
    targets : sequence of ndarray of int, each of shape (n_rows,)
        What each layer should predict; the classes for the last.
    n_targets : sequence of int
        How many targets each layer has.
    sample_weight : ndarray of shape (n_rows,), default=None
        Non-negative weights.
    betas : sequence of float or None, default=None
        Inverse temperature of each layer; None where it is chosen by leave-one-out.
    smoothing : {"uniform", "prior", "noise"} or None, default="prior"
        As in `smooth_counts`, for the first layer. Later layers have positive inputs
        and counts, which "noise", made for one-hot features, would distort: for them
        it is "prior".
    strength : float, default=0.1
        As in `smooth_counts`.
    norm_exponent : float, default=0.0
        For the first layer; outputs of layers have norm one.
    norm_weight : float, default=None
        gamma of the first layer; chosen together with its beta, or 1 where that is
        given, by default.

    Returns
    -------
    layers : tuple of Layer
        Decoders in the type of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from explicit_softmax.calibration.layers import solve_layers
    >>> from explicit_softmax.solution.loss import network_scores
    >>> rows = np.array([[4.0, 0.0], [0.0, 4.0], [2.0, 2.0], [2.0, 2.0]])
    >>> parts, classes = np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1])
    >>> layers = solve_layers(rows, [parts, classes], [3, 2], betas=[1.0, 1.0])
    >>> network_scores([layer.decoder for layer in layers], rows).argmax(axis=1)
    array([0, 0, 1, 1])
    """
    if betas is None:
        betas = [None] * len(targets)
    dtype: Any = np.float32 if X.dtype == np.float32 else np.float64
    held = _hold(X, sample_weight, max(n_targets), betas)
    members, outputs = held.y, held.X
    layers: list[Layer] = []
    for depth, (y, size, beta) in enumerate(
        zip(targets, n_targets, betas, strict=True)
    ):
        decoders = [layer.decoder for layer in layers]
        exponent, gamma, kind, scale = norm_exponent, norm_weight, smoothing, 1.0
        if depth == 0:
            counts = CooccurrenceCounts.from_rows(
                X,
                y,
                size,
                sample_weight=sample_weight,
                norm_exponent=norm_exponent,
            )
            priming_number = counts.mean_norm or 1.0
        else:
            counts, unit = _count_outputs(decoders, X, y, size, sample_weight)
            priming_number, exponent, gamma = 1.0, 0.0, 1.0
            kind = "prior" if smoothing == "noise" else smoothing
            scale = unit / counts.mean_nonzero
        evidence = solve(smooth_counts(counts, kind, strength * scale))
        layer, outputs = _calibrated(
            evidence,
            priming_number,
            beta,
            gamma,
            exponent,
            outputs,
            y[members],
            held.weights,
        )
        layers.append(replace(layer, decoder=layer.decoder.astype(dtype)))
    return tuple(layers)


def _hold(
    X: Rows,
    sample_weight: FloatArray | None,
    most_targets: int,
    betas: Sequence[float | None],
) -> RetainedRows:
    """Rows that temperatures are chosen on; their numbers stand in place of codes."""
    limit = 0
    if any(beta is None for beta in betas):
        most_scores = MOST_SCORES if len(betas) == 1 else _MOST_SCORES
        limit = row_limit(X, most_targets, 1, most_scores=most_scores)
    held = RetainedRows.draw(X, np.arange(X.shape[0]), sample_weight, limit)
    # Leave-one-out has no use for rows without any feature.
    filled = np.flatnonzero(row_norms(held.X) > 0)
    return RetainedRows(held.X[filled], held.y[filled], held.weights[filled])


def _count_outputs(
    decoders: Sequence[Decoder],
    X: Rows,
    y: IntArray,
    n_targets: int,
    sample_weight: FloatArray | None,
) -> tuple[CooccurrenceCounts, float]:
    """Counts of the outputs of the layers so far, and the unit of these outputs."""
    parts: list[CooccurrenceCounts] = []
    squares = total = 0.0
    width = max(decoder.n_classes for decoder in decoders)
    for block in row_blocks(X.shape[0], width, _CHUNK_VALUES):
        outputs = softmax_in_place(network_scores(decoders, X[block]))
        weight = None if sample_weight is None else sample_weight[block]
        counts = CooccurrenceCounts.from_rows(
            outputs, y[block], n_targets, sample_weight=weight
        )
        parts = [parts[0] + counts] if parts else [counts]
        square = np.einsum("ij,ij->i", outputs, outputs)
        squares += float(square.sum() if weight is None else square @ weight)
        total += float(square.size if weight is None else weight.sum())
    return parts[0], squares / total


def _calibrated(
    evidence: Evidence,
    priming_number: float,
    beta: float | None,
    norm_weight: float | None,
    norm_exponent: float,
    held_rows: Rows,
    y: IntArray,
    weights: NDArray[np.float64],
) -> tuple[Layer, FloatArray]:
    """The layer at its best temperature, and leave-one-out outputs of held rows."""
    held_out = leave_one_out(
        evidence, held_rows, y, sample_weight=weights, norm_exponent=norm_exponent
    )
    if norm_weight is None and beta is not None:
        norm_weight = 1.0
    found = calibrate(
        held_out,
        priming_number,
        beta=None if beta is None else np.array([beta]),
        norm_weight=norm_weight,
    )
    decoder = evidence.decoder(
        found.beta,
        priming_number,
        norm_weight=found.norm_weight,
        norm_exponent=norm_exponent,
    )
    scores = held_out.scores(found.beta, priming_number, norm_weight=found.norm_weight)
    return Layer(decoder, priming_number, found), softmax_in_place(scores)
