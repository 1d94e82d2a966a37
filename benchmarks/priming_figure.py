"""The figure of the benchmark of priming numbers: log-loss and accuracy by K."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Okabe and Ito's colours, told apart also by the colour-blind.
_COLOURS, _MEAN = ("#0072B2", "#D55E00"), "#6A6A6A"


class Curves(NamedTuple):
    """Log-losses and accuracies at each K, by leave-one-out and on test rows."""

    numbers: NDArray[np.int64]
    mean_norm: float
    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    test_loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]


def draw(path: Path, data: str, curves: Curves) -> None:
    """Draw the curves: the whole range above, distances from the best below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.4), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True)
    at_norm = int(np.abs(curves.numbers - curves.mean_norm).argmin())
    for column, (name, gap_name, pair, sign) in enumerate(
        (
            (
                "log-loss (nats)",
                "log-loss above that of the best K (nats)",
                (curves.loss, curves.test_loss),
                1,
            ),
            (
                "accuracy (%)",
                "accuracy below that of the best K (points)",
                (100 * curves.accuracy, 100 * curves.test_accuracy),
                -1,
            ),
        )
    ):
        whole, close = axes[:, column]
        gaps = [sign * values - (sign * values).min() for values in pair]
        _draw_curves(whole, curves, pair, gaps)
        _draw_curves(close, curves, gaps, gaps)
        whole.set_title(_best(curves, pair, gaps), fontsize=10)
        whole.set_ylabel(name)
        close.set_ylabel(gap_name)
        # In view: four times the distance of the mean norm.
        margin = max(4 * max(gap[at_norm] for gap in gaps), 0.01 * np.ptp(pair), 1e-9)
        close.set_ylim((-margin / 25, margin) if sign > 0 else (margin, -margin / 25))
    for panel in axes.flat:
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        ticks = [t * 10**e for e in range(4) for t in (1, 2, 5)]
        panel.set_xticks([t for t in ticks if t <= curves.numbers[-1]])
        panel.minorticks_off()
        panel.grid(True, which="major", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.yaxis.get_major_formatter().set_useOffset(False)
    for panel in axes[1]:
        panel.set_xlabel("priming number K")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle(f"The theorem (β = 1) at every priming number: {data}")
    figure.savefig(path, dpi=150)


def _draw_curves(
    panel: Any,
    curves: Curves,
    pair: Sequence[NDArray[np.float64]],
    gaps: Sequence[NDArray[np.float64]],
) -> None:
    panel.axvline(
        curves.mean_norm,
        color=_MEAN,
        linestyle="--",
        linewidth=1.2,
        label=f"mean norm, {curves.mean_norm:.1f}",
    )
    names = ("leave-one-out, training rows", "test rows")
    for values, colour, name in zip(pair, _COLOURS, names, strict=True):
        panel.plot(curves.numbers, values, color=colour, linewidth=1.6, label=name)
    for values, gap, colour in zip(pair, gaps, _COLOURS, strict=True):
        at = int(gap.argmin())
        panel.plot(
            curves.numbers[at],
            values[at],
            "*",
            color=colour,
            markeredgecolor="black",
            markeredgewidth=0.6,
            markersize=13,
            zorder=5,
            clip_on=False,
            label="best K" if colour == _COLOURS[0] else None,
        )


def _best(
    curves: Curves,
    pair: Sequence[NDArray[np.float64]],
    gaps: Sequence[NDArray[np.float64]],
) -> str:
    """The best K of both curves in words."""
    found = [
        f"{curves.numbers[gap.argmin()]} {what} ({values[gap.argmin()]:.5g})"
        for what, values, gap in zip(
            ("by leave-one-out", "on test rows"), pair, gaps, strict=True
        )
    ]
    return "best K: " + ", ".join(found)
