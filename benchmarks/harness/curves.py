"""Losses by iteration and by seconds of a refinement, from any start, for any layers.

A start is handed to the refinement of the package, and scored after each of its
iterations while the watch stands still.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from benchmarks.harness.records import Record
from benchmarks.harness.timing import Stopwatch, timed
from explicit_softmax.solution.counts import scaled_rows
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import network_scores
from explicit_softmax.training.refine import refine


@dataclass(frozen=True, eq=False)
class Start:
    """Weights and intercepts, one entry for each layer, and the seconds they took.

    They are for rows divided by their norm to the power of `norm_exponent`.
    """

    label: str
    weights: Sequence[NDArray[Any]]
    intercepts: Sequence[NDArray[Any]]
    norm_exponent: float = 0.0
    seconds: float = 0.0

    @classmethod
    def fitted(cls, label: str, model: Any, *data: Any) -> Self:
        """The solution of a model, which is fitted to the data."""
        seconds = timed(lambda: model.fit(*data)).median
        decoders = [decoder.densify() for decoder in model._model.decoders]
        weights = [decoder.weights for decoder in decoders]
        intercepts = [decoder.intercept for decoder in decoders]
        return cls(label, weights, intercepts, decoders[0].norm_exponent, seconds)

    @classmethod
    def cold(
        cls,
        label: str,
        sizes: Sequence[int],
        spread: Callable[[int], float] = lambda n_inputs: 0.0,
        norm_exponent: float = 0.0,
    ) -> Self:
        """Normal weights with a standard deviation that depends on the inputs.

        `sizes` are the numbers of features, of hidden units, and of classes.
        """
        rng = np.random.default_rng(0)
        weights = [
            (rng.standard_normal(shape) * spread(shape[0])).astype(np.float32)
            for shape in pairwise(sizes)
        ]
        intercepts = [np.zeros(size, np.float32) for size in sizes[1:]]
        return cls(label, weights, intercepts, norm_exponent)


@dataclass(eq=False)
class Softmax:
    """Decoders of one or more layers with the methods of a classifier."""

    decoders: Sequence[Decoder]
    classes_: NDArray[Any]

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        return np.asarray(log_softmax(network_scores(self.decoders, X), axis=1))


@dataclass(eq=False)
class Curve:
    """How a refinement went; entry 0 of the lists is its start.

    `seconds` include those of the start, and not those of scoring.
    """

    label: str
    seconds: list[float] = field(default_factory=list)
    values: dict[str, list[Any]] = field(default_factory=dict)
    decoders: Sequence[Decoder] = ()
    n_iter: int = 0
    best_iter: int = 0
    stopped: bool = False

    def add(self, seconds: float, values: dict[str, Any]) -> None:
        self.seconds.append(seconds)
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def record(self, model: str = "", kind: str = "model", **values: Any) -> Record:
        """Its record: all lists, and the last value of each."""
        found = {
            "fit_seconds": self.seconds[-1],
            "seconds_curve": self.seconds,
            "iterations": self.n_iter,
            "stopped": self.stopped,
        }
        for name, curve in self.values.items():
            found |= {name: curve[-1], f"{name}_curve": curve}
        return Record(model or self.label, found | values, kind=kind)


def follow(
    start: Start,
    X: Any,
    y: NDArray[Any],
    score: Callable[[Sequence[Decoder]], dict[str, float]] = lambda decoders: {},
    **settings: Any,
) -> Curve:
    """Refine from a start, and score it and each iteration.

    Rows are given as they are, and `score` gets decoders of such rows; the start says
    how they are scaled. `settings` are those of `refine`.
    """
    curve = Curve(start.label)
    exponent = start.norm_exponent
    watch = Stopwatch(start.seconds)

    def record(iteration: int, weights: Any, intercepts: Any) -> bool:
        seconds = watch.pause()
        curve.add(seconds, score(_decoders(weights, intercepts, exponent)))
        watch.resume()
        return False

    record(0, start.weights, start.intercepts)
    result = refine(
        start.weights,
        start.intercepts,
        scaled_rows(X, exponent) if exponent else X,
        y,
        callback=record,
        **settings,
    )
    # Not those of the last iteration where validation rows choose the weights.
    curve.decoders = _decoders(result.weights, result.intercepts, exponent)
    curve.n_iter, curve.stopped = result.n_iter, bool(result.converged)
    watched = result.validation_curve or result.loss_curve
    # Empty where L-BFGS finds that its start is a minimum.
    curve.best_iter = int(np.argmin(watched)) + 1 if watched else 0
    return curve


def _decoders(weights: Any, intercepts: Any, exponent: float) -> list[Decoder]:
    # Copies, since solvers may go on writing to theirs.
    return [
        Decoder.from_dense(W.copy(), b.copy(), norm_exponent=0.0 if i else exponent)
        for i, (W, b) in enumerate(zip(weights, intercepts, strict=True))
    ]


@dataclass(frozen=True)
class ColdStart:
    """One layer from zeros by the refinement of the package: the warm start's peer."""

    max_iter: int = 20
    norm_exponent: float = 0.5

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Softmax:
        classes, codes = np.unique(y, return_inverse=True)
        sizes = [X.shape[1], len(classes)]
        start = Start.cold("", sizes, norm_exponent=self.norm_exponent)
        rng = np.random.RandomState(0)
        curve = follow(start, X, codes, max_iter=self.max_iter, rng=rng)
        return Softmax(curve.decoders, classes)
