"""The figure of the language models: scaling, curves of refinements, and betas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from corpora import TokenCorpus
from language_curves import COLD, LEAVE_ONE_OUT, THEOREM, Curve
from numpy.typing import NDArray

from explicit_softmax import CooccurrenceScalingDisplay
from explicit_softmax._displays_scaling import _power_means

# Okabe and Ito's colours, told apart also by the colour-blind.
_COLOURS = {COLD: "#000000", THEOREM: "#D55E00", LEAVE_ONE_OUT: "#0072B2"}
_STYLES = {"cat": "-", "sum": "--"}
# Windows that the means of the scaling are taken over.
_SCALING_WINDOWS = 500_000


def draw(
    path: Path,
    corpus: TokenCorpus,
    curves: list[Curve],
    explicit: dict[tuple[str, int], Any],
) -> None:
    """Draw three panels, or two without curves.

    Parameters
    ----------
    path : Path
        File to write.
    corpus : TokenCorpus
        What the models were fitted on.
    curves : list of Curve
        Refinements; those of the largest K are drawn.
    explicit : dict
        Explicit models by aggregation and K.
    """
    from matplotlib.figure import Figure

    n_panels = 3 if curves else 2
    figure = Figure(figsize=(4.7 * n_panels, 4.6), layout="constrained")
    panels = figure.subplots(1, n_panels)
    scaling, betas = panels[0], panels[-1]
    kind = max(explicit, key=lambda kind: (kind[1], kind[0] == "sum"))
    means, mass = scaling_points(explicit[kind], corpus)
    display = CooccurrenceScalingDisplay(power_means=means, class_mass=mass)
    display.plot(scaling)
    title = "Scaling" if kind[1] == 1 else f"Scaling, {kind[0].title()}"
    scaling.set_title(f"{title}, K = {kind[1]}: a point is a token")
    if curves:
        _draw_curves(panels[1], curves)
    _draw_betas(betas, explicit)
    for panel in panels[1:]:
        panel.grid(True, which="major", alpha=0.3)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(corpus.name)
    figure.savefig(path, dpi=150)


def scaling_points(
    model: Any, corpus: TokenCorpus
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Power means and class masses of all tokens that some windows have as a target.

    As `CooccurrenceScalingDisplay` has them; the means are over the first windows.
    """
    rows = model._windows(corpus.train)
    part = slice(0, min(_SCALING_WINDOWS, rows.shape[0]))
    counts = model._counts
    means = _power_means(
        counts,
        rows[part],
        rows.stream.targets[part],
        np.arange(counts.n_classes),
        float(model.context_size),
    )
    seen = means > 0
    return means[seen], counts.class_mass[seen]


def _draw_curves(panel: Any, curves: list[Curve]) -> None:
    """Dev perplexity by tokens of the refinements of the largest K."""
    largest = max(curve.context_size for curve in curves)
    for curve in curves:
        if curve.context_size == largest:
            name = "" if largest == 1 else f"{curve.aggregation.title()}, "
            panel.plot(
                np.array(curve.tokens) / 1e6,
                curve.perplexity,
                _STYLES[curve.aggregation],
                color=_COLOURS[curve.start],
                marker="o",
                markersize=3,
                label=name + ("" if curve.start == COLD else "from ") + curve.start,
            )
    panel.set_xlabel("million tokens of refinement")
    panel.set_ylabel("dev perplexity")
    panel.set_title(f"Refinement, K = {largest}")
    _log_scale(panel)
    panel.legend(fontsize="small")


def _log_scale(panel: Any) -> None:
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    ticks = [t * 10**e for e in range(6) for t in (1, 2, 3, 5)]
    ticks = [t for t in ticks if low <= t <= high]
    panel.set_yticks(ticks, [f"{t:,}" for t in ticks])
    panel.minorticks_off()


def _draw_betas(panel: Any, explicit: dict[tuple[str, int], Any]) -> None:
    """Fitted inverse temperatures by position: one for each of Cat, one of Sum."""
    shades = {2: "#56B4E9", 4: "#0072B2"}
    longest = max(size for _, size in explicit)
    for (aggregation, size), model in explicit.items():
        found = model.inverse_temperature_
        values = np.broadcast_to(found, (size,)) if aggregation == "sum" else found
        name = "K = 1" if size == 1 else f"{aggregation.title()}, K = {size}"
        panel.plot(
            np.arange(1, size + 1),
            values,
            _STYLES[aggregation],
            color="#000000" if size == 1 else shades.get(size, "#009E73"),
            marker="s" if aggregation == "sum" else "o",
            # K = 1 and the nearest of Cat nearly coincide.
            markersize=11 if size == 1 else 6,
            markerfacecolor="none" if size == 1 else None,
            zorder=3 if size == 1 else 2,
            label=name,
        )
    panel.axhline(1.0, color="0.5", linewidth=1, linestyle=":", label="theorem")
    positions = range(1, longest + 1)
    panel.set_xticks(positions, [f"-{k}" for k in positions])
    panel.set_xlim(0.8, longest + 0.2)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("position of the context token")
    panel.set_ylabel("inverse temperature β")
    panel.set_title("Betas by leave-one-out")
    panel.legend(fontsize="small")
