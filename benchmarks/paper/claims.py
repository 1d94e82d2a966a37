"""Where the optimisation of one layer leads, from random and from explicit weights.

The paper claims: iteration improves the explicit solution only marginally; random
starts move towards it; better optima are found only after explicit solutions. The
log-loss of one layer is convex, so that all starts have the same infimum: the last
claim can hold for fits that are stopped early, and only the losses of long fits tell.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.images import Images
from benchmarks.harness import figures
from benchmarks.harness.curves import follow
from benchmarks.harness.records import Record
from benchmarks.problems.images import BY_THE_PAPER, TEMPERED, make_start
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss, network_scores


def approach(images: Images, n_epochs: int) -> Record:
    """Follow mini-batch Adagrad from small random weights.

    By epoch: the cosine between weights and those of the tempered theorem, and the
    correlation between scores of test rows; both after the mean over classes was taken
    off, which no probability depends on.
    """
    X, y = images.X_train, images.y_train
    codes = np.unique(y, return_inverse=True)[1]
    explicit, random = make_start(TEMPERED, X, y), make_start("random", X, y)
    target = explicit.weights[0]
    target_scores = images.X_test @ target + explicit.intercepts[0]

    def score(decoders: Sequence[Decoder]) -> dict[str, float]:
        scores = network_scores(decoders, images.X_test)
        return {
            "weights": _cosine(decoders[0].weights, target),
            "scores": _cosine(scores, target_scores),
            "train_log_loss": log_loss(decoders, X, codes),
        }

    curve = follow(
        random, X, codes, score, max_iter=n_epochs, tol=0, n_iter_no_change=n_epochs + 1
    )
    return curve.record("random start", "approach")


def long_fits(images: Images, n_iter: int, announce: Any) -> list[Record]:
    """Minimise the training log-loss by L-BFGS from every start of the paper."""
    X, y = images.X_train, images.y_train
    classes, codes = np.unique(y, return_inverse=True)
    test_codes = np.searchsorted(classes, images.y_test)

    def score(decoders: Sequence[Decoder]) -> dict[str, float]:
        return {"train_log_loss": log_loss(decoders, X, codes)}

    records = []
    for label, kind in BY_THE_PAPER.items():
        announce(f"{label}, to the end")
        try:
            start = make_start(kind, X, y)
        except ValueError:  # the theorem needs positive co-occurrences
            continue
        limits = {"max_iter": n_iter, "tol": 1e-6}
        curve = follow(start, X, codes, score, solver="lbfgs", **limits)
        test = log_loss(curve.decoders, images.X_test, test_codes)
        record = curve.record(label, "long fit", test_log_loss=test)
        record.values["first_log_loss"] = curve.values["train_log_loss"][0]
        records.append(record)
    return records


def _cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    one, other = (
        values.astype(np.float64) - values.mean(axis=1, keepdims=True)
        for values in (one, other)
    )
    norms = np.linalg.norm(one) * np.linalg.norm(other)
    return float((one * other).sum() / norms) if norms else 0.0


def draw_approach(path: Path, found: Record) -> None:
    """How a random start comes near the explicit solution, and turns away."""
    figure, axes = figures.new_figure(1, 2, (8.0, 3.4))
    likeness, loss = axes[0]
    likeness.plot(found["scores_curve"], color=figures.BLUE, label="scores, test rows")
    likeness.plot(found["weights_curve"], "--", color=figures.RED, label="weights")
    likeness.set_ylabel("correlation with the explicit solution")
    likeness.legend()
    loss.plot(found["train_log_loss_curve"], color=figures.GREY)
    loss.set(ylabel="training log-loss (nats)", yscale="log")
    figures.plain_ticks(loss.yaxis, (1, 2, 3, 5))
    for panel in (likeness, loss):
        panel.set_xlabel("epoch of Adagrad from a random start")
    figures.save(figure, path)
