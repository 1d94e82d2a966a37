"""The figure of the image benchmark: losses and accuracies by seconds and by epoch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from curves import Curve

# Okabe and Ito's colours, told apart also by the colour-blind.
_COLOURS = {"zeros": "#000000", "theorem": "#D55E00", "explicit": "#0072B2"}
_NAMES = {
    "zeros": "cold start (zeros)",
    "theorem": "warm start: theorem",
    "explicit": "warm start: best β",
}
_STYLES = {
    ("paper", "-"): "Adagrad, step 0.01, early stopping (paper)",
    ("adagrad", "--"): "Adagrad, defaults of the package",
    ("lbfgs", ":"): "L-BFGS, defaults of the package",
}
_MARKERS = "osD^vP*X"
_PEER = "#8A8A8A"


def matplotlib_is_there() -> bool:
    return find_spec("matplotlib") is not None


def draw(
    path: Path, title: str, curves: list[Curve], points: list[dict[str, Any]]
) -> None:
    """Draw curves, and peers as points (records as in the JSON file)."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(11, 8.6), layout="constrained")
    axes = figure.subplots(2, 2, sharey="row")
    styles = dict(_STYLES.keys())
    shown = [curve for curve in curves if curve.start in _COLOURS]
    for curve in shown:
        look = {
            "color": _COLOURS[curve.start],
            "linestyle": styles[curve.protocol],
            "linewidth": 1.6,
        }
        # A log axis has no place for the seconds of a cold start at epoch 0.
        first = 1 if curve.start == "zeros" else 0
        for row, values in enumerate((curve.test_log_loss, curve.test_accuracy)):
            scaled = [100 * v for v in values] if row else values
            axes[row, 0].plot(curve.seconds[first:], scaled[first:], **look)
            axes[row, 1].plot(range(len(scaled)), scaled, **look)
            ends = (curve.seconds[-1], len(scaled) - 1)
            for panel, end in zip(axes[row], ends, strict=True):
                panel.plot(end, scaled[-1], "o", color=look["color"], ms=4)
    peers = []
    for marker, point in zip(_MARKERS, points, strict=False):
        own = point["model"].startswith("explicit")
        look = {"marker": marker, "linestyle": "none", "ms": 8, "zorder": 5}
        look |= {"color": _COLOURS["explicit"] if own else _PEER}
        look |= {"markeredgecolor": "black", "markeredgewidth": 0.7}
        peers.append(Line2D([], [], label=point["model"], **look))
        for row, key in enumerate(("test_log_loss", "test_accuracy")):
            if point[key] is not None:
                value = 100 * point[key] if row else point[key]
                axes[row, 0].plot(point["fit_seconds"], value, **look)
    for panel in axes[:, 0]:
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
    longest = max((len(curve.seconds) - 1 for curve in shown), default=1)
    for panel in axes[:, 1]:
        panel.set_xscale("symlog", linthresh=1, linscale=0.4)
        panel.set_xlim(-0.05, 1.1 * longest)
        ticks = [t for t in (0, 1, 2, 3, 5, 10, 20, 50, 100) if t <= longest]
        panel.set_xticks(ticks, [str(t) for t in ticks])
        panel.minorticks_off()
    _scale_losses(axes[0, 0])
    _scale_accuracies(axes[1, 0], shown, points)
    axes[0, 0].set_ylabel("test log-loss (nats)")
    axes[1, 0].set_ylabel("test accuracy (%), spaced by the log of the error")
    axes[1, 0].set_xlabel("seconds of fitting")
    axes[1, 1].set_xlabel("epoch or L-BFGS iteration (0: the start)")
    for panel in axes.flat:
        panel.grid(True, which="major", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    used = {curve.protocol for curve in shown}
    handles = [
        Line2D([], [], color=_COLOURS[start], label=_NAMES[start], linewidth=2)
        for start in _COLOURS
    ]
    handles += [
        Line2D([], [], color="black", linestyle=style, label=label)
        for (protocol, style), label in _STYLES.items()
        if protocol in used
    ]
    figure.legend(handles=handles + peers, loc="outside lower center", ncols=4)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def _scale_losses(panel: Any) -> None:
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    ticks = [t * 10**e for e in (-2, -1, 0, 1) for t in (1, 1.5, 2, 3, 4, 5, 7)]
    ticks = [t for t in ticks if low <= t <= high]
    panel.set_yticks(ticks, [f"{t:g}" for t in ticks])
    panel.minorticks_off()


def _scale_accuracies(
    panel: Any, curves: list[Curve], points: list[dict[str, Any]]
) -> None:
    """Space accuracies by the logarithm of the error, and leave out those of chance."""
    shown = [100 * point["test_accuracy"] for point in points]
    for curve in curves:
        first = 1 if curve.start == "zeros" else 0
        shown += [100 * accuracy for accuracy in curve.test_accuracy[first:]]
    # Not an error of zero, whose logarithm is not finite.
    low, high = max(min(shown) - 2, 0.0), min(max(shown) + 0.4, 99.9)

    def forward(accuracy: Any) -> Any:
        return -np.log10(np.maximum(100.0 - accuracy, 1e-3))

    def backward(value: Any) -> Any:
        return 100.0 - 10.0**-value

    panel.set_yscale("function", functions=(forward, backward))
    panel.set_ylim(low, high)
    every = [*range(0, 80, 10), 75, 80, 85, *range(90, 100)]
    ticks = [t for t in sorted(every) if low <= t <= high]
    panel.set_yticks(ticks, [str(t) for t in ticks])
