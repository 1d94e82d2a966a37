"""What arXiv:2311.07498 says of optimisation, measured on one softmax layer.

Three claims: iterative optimisation only marginally improves the explicit solution;
random starts move towards it; better optima are found only after explicit solutions.
The log-loss of one layer is convex, so that all starts have the same infimum: the last
claim can hold for fits that are stopped early, and only the losses of long fits tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from curves import LABELS, STARTS, make_start
from datasets import Images
from numpy.typing import NDArray

from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.training.refine import refine


@dataclass(frozen=True, eq=False)
class Approach:
    """How like the explicit solution a refinement from a random start is, by epoch.

    `weights` are cosines between weights, `scores` correlations between scores of the
    test rows; both after the mean over classes was taken off, which no probability
    depends on. Entry 0 is the start.
    """

    weights: list[float]
    scores: list[float]
    train_log_loss: list[float]


@dataclass(frozen=True)
class LongFit:
    """Where a long fit by L-BFGS ends."""

    start: str
    n_iter: int
    first_log_loss: float
    train_log_loss: float
    test_log_loss: float


def approach(images: Images, n_epochs: int, start: str = "random") -> Approach:
    """Follow mini-batch Adagrad from a cold start."""
    X, y = images.X_train, images.y_train
    codes = np.unique(y, return_inverse=True)[1]
    (explicit, offset), _ = make_start("explicit", X, y)
    target = _centred(explicit)
    target_scores = _centred(images.X_test @ explicit + offset)
    found = Approach([], [], [])

    def record(weights: NDArray[Any], intercept: NDArray[Any]) -> None:
        found.weights.append(_cosine(_centred(weights), target))
        scores = _centred(images.X_test @ weights + intercept)
        found.scores.append(_cosine(scores, target_scores))
        decoder = Decoder.from_dense(weights, intercept)
        found.train_log_loss.append(log_loss(decoder, X, codes))

    def after_epoch(epoch: int, weights: NDArray[Any], intercept: NDArray[Any]) -> bool:
        record(weights, intercept)
        return False

    weights, intercept = make_start(start, X, y)[0]
    record(weights, intercept)
    refine(
        weights,
        intercept,
        X,
        codes,
        max_iter=n_epochs,
        tol=0,
        n_iter_no_change=n_epochs + 1,
        callback=after_epoch,
    )
    return found


def long_fits(
    images: Images, n_iter: int, announce: Callable[[str], None]
) -> list[LongFit]:
    """Minimise the training log-loss from every start, by L-BFGS."""
    X, y = images.X_train, images.y_train
    classes, codes = np.unique(y, return_inverse=True)
    test_codes = np.searchsorted(classes, images.y_test)
    fits = []
    for kind in STARTS:
        announce(f"{LABELS[kind]}, to the end")
        try:
            start, _ = make_start(kind, X, y)
        except ValueError:  # the theorem needs positive co-occurrences
            continue
        result = refine(*start, X, codes, solver="lbfgs", max_iter=n_iter, tol=1e-6)
        decoder = Decoder.from_dense(result.weights, result.intercept)
        fits.append(
            LongFit(
                LABELS[kind],
                result.n_iter,
                log_loss(Decoder.from_dense(*start), X, codes),
                log_loss(decoder, X, codes),
                log_loss(decoder, images.X_test, test_codes),
            )
        )
    return fits


def _centred(values: NDArray[Any]) -> NDArray[np.float64]:
    values = values.astype(np.float64)
    return values - values.mean(axis=1, keepdims=True)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float((one * other).sum() / norms) if norms else 0.0
