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

from explicit_softmax.calibration.model import (
    Choice,
    ExplicitModel,
    Refined,
    Settings,
)
from explicit_softmax.calibration.sample import BUDGETS, NO_ROWS, RowSample
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
from explicit_softmax.solution.smoothing import Smoothing

# Hidden outputs held at a time.
_CHUNK_VALUES = 2**20


@dataclass(frozen=True, eq=False)
class ExplicitNetwork:
    """Layers, each on the outputs of the one before, refined jointly or not."""

    layers: tuple[ExplicitModel, ...]
    refined: Refined | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n_features, n_classes)."""
        return self.layers[0].shape[0], self.layers[-1].shape[1]

    @property
    def decoders(self) -> tuple[Decoder, ...]:
        """What predicts: the refined decoders, or those of the layers."""
        if self.refined is not None:
            return self.refined.decoders
        return tuple(layer.solution.decoder for layer in self.layers)

    @property
    def choices(self) -> list[Choice]:
        """What was chosen for each layer."""
        return [layer.solution.choice for layer in self.layers]

    @property
    def n_iter(self) -> int:
        """Iterations of the refinement; 1 without it."""
        return 1 if self.refined is None else self.refined.n_iter

    def own_margins(self, *rows: Any) -> None:
        """None: layers are trained jointly without leave-one-out margins."""

    def with_refinement(self, refined: Refined) -> ExplicitNetwork:
        """The network refined; its explicit layers stay as they are."""
        return replace(self, refined=refined)


def solve_layers(
    X: Rows,
    targets: Sequence[IntArray],
    n_targets: Sequence[int],
    *,
    sample_weight: FloatArray | None = None,
    betas: Sequence[float | None] | None = None,
    smoothing: Smoothing = "prior",
    strength: float | None = None,
    norm_exponent: float = 0.0,
) -> ExplicitNetwork:
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
    smoothing, norm_exponent
        For the first layer. The outputs of later ones have norm 1, and "noise", made
        for one-hot features, would distort them: it becomes "prior".
    strength : float, default=None
        In units of the inputs of each layer; by default, chosen for each layer by
        leave-one-out.

    Returns
    -------
    network : ExplicitNetwork
        With decoders in the type of the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from explicit_softmax.calibration.layers import solve_layers
    >>> from explicit_softmax.solution.loss import network_scores
    >>> X = np.array([[4.0, 0.0], [0.0, 4.0], [2.0, 2.0], [2.0, 2.0]])
    >>> parts, classes = np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1])
    >>> network = solve_layers(X, [parts, classes], [3, 2], betas=[1, 1], strength=0.1)
    >>> network_scores(network.decoders, X).argmax(axis=1)
    array([0, 0, 1, 1])
    """
    if betas is None:
        betas = [None] * len(targets)
    chosen = strength is None or None in betas
    limit = BUDGETS["layers"].limit(max(n_targets)) if chosen else NO_ROWS
    sample = RowSample.from_rows(X, targets[-1], sample_weight, limit)
    # Leave-one-out has no use for rows without any feature.
    sample = sample.part(np.flatnonzero(row_norms(sample.X) > 0))
    layers: list[ExplicitModel] = []
    for labels, size, beta in zip(targets, n_targets, betas, strict=True):
        settings = Settings(
            priming_number="mean_norm",
            inverse_temperature="auto" if beta is None else beta,
            smoothing=smoothing,
            smoothing_strength="auto" if strength is None else strength,
            norm_exponent=norm_exponent,
            translation="column",
            n_blocks=1,
        )
        if layers:
            counts = _count_outputs(layers, X, labels, size, sample_weight)
            kind = "prior" if smoothing == "noise" else smoothing
            settings = replace(
                settings, smoothing=kind, norm_exponent=0.0, row_norm=1.0
            )
        else:
            counts = CooccurrenceCounts.from_rows(
                X,
                labels,
                size,
                sample_weight=sample_weight,
                norm_exponent=norm_exponent,
            )
        sample = replace(sample, y=labels[sample.members])
        dtype = np.float32 if X.dtype == np.float32 else np.float64
        layer = ExplicitModel(counts, sample, settings, dtype)
        sample = replace(sample, X=softmax_in_place(layer.held_out_scores()))
        layers.append(layer.without_sample())
    return ExplicitNetwork(tuple(layers))


def _count_outputs(
    layers: Sequence[ExplicitModel],
    X: Rows,
    y: IntArray,
    n_targets: int,
    sample_weight: FloatArray | None,
) -> CooccurrenceCounts:
    """Counts of the outputs of the layers so far, in the unit of these outputs."""
    decoders = [layer.solution.decoder for layer in layers]
    parts: list[CooccurrenceCounts] = []
    squares = 0.0
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
    # The sum of the outputs over their mean, weighted by themselves.
    mass = float(parts[0].class_mass.sum())
    return replace(parts[0], n_nonzero=mass**2 / squares)
