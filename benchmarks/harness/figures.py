"""Figures: one palette, one look, and axes with plain numbers."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Okabe and Ito's colours, told apart also by the colour-blind.
BLACK, SKY, GREEN, BLUE, RED = "#000000", "#56B4E9", "#009E73", "#0072B2", "#D55E00"
GREY = "#6A6A6A"


def matplotlib_is_there() -> bool:
    return find_spec("matplotlib") is not None


def new_figure(
    rows: int, columns: int, size: tuple[float, float], **shared: Any
) -> Any:
    """A figure, and its panels as an array of two dimensions."""
    # Without pyplot no window is opened, and nothing has to be closed.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def save(figure: Any, path: Path, title: str = "") -> None:
    """Write a figure, with a grid and without upper and right spines."""
    for panel in figure.axes:
        panel.grid(True, which="major", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def plain_ticks(axis: Any, steps: Any = (1, 2, 5), decades: Any = range(-3, 7)) -> None:
    """Zero and steps times powers of ten in plain numbers, where they are in view."""
    low, high = sorted(axis.get_view_interval())
    every = [0.0, *(step * 10.0**decade for decade in decades for step in steps)]
    ticks = [tick for tick in every if low <= tick <= high]
    axis.set_ticks(ticks, [f"{tick:,g}" for tick in ticks])
    axis.set_ticks([], minor=True)
