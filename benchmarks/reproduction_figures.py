"""Figures of the report that no other benchmark draws."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from claims import Approach
from datasets import Images

from explicit_softmax import CooccurrenceScalingDisplay, ExplicitSoftmaxClassifier

# Okabe and Ito's colours, told apart also by the colour-blind.
_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#6A6A6A"


def draw_scaling(path: Path, images: Images) -> float:
    """Fig. 1, left; the slope of its line."""
    clf = ExplicitSoftmaxClassifier(inverse_temperature=1.0)
    clf.fit(images.X_train, images.y_train)
    figure, axes = plt.subplots(figsize=(5.0, 4.0), layout="constrained")
    display = CooccurrenceScalingDisplay.from_estimator(
        clf, images.X_train, images.y_train, ax=axes
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return display.slope_


def draw_approach(path: Path, found: Approach) -> None:
    """How a random start comes near the explicit solution, and turns away."""
    figure, (likeness, loss) = plt.subplots(
        1, 2, figsize=(8.0, 3.4), layout="constrained"
    )
    epochs = range(len(found.weights))
    for values, label, colour, style in (
        (found.scores, "scores of test rows", _BLUE, "-"),
        (found.weights, "weights", _RED, "--"),
    ):
        likeness.plot(epochs, values, style, color=colour)
        likeness.annotate(
            label,
            (epochs[-1], values[-1]),
            xytext=(0, 5),
            textcoords="offset points",
            ha="right",
            color=colour,
        )
    likeness.axhline(0, color=_GREY, linewidth=0.8)
    likeness.set(
        xlabel="epoch of Adagrad from a random start",
        ylabel="correlation with the explicit solution",
    )
    loss.plot(epochs, found.train_log_loss, color=_GREY)
    loss.set(
        xlabel="epoch of Adagrad from a random start",
        ylabel="training log-loss (nats)",
        yscale="log",
    )
    for axes in (likeness, loss):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
