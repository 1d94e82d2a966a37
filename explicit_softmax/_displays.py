"""What the displays share: fitted estimators, checked numbers, axes, and ticks.

Displays follow scikit-learn's convention: class methods compute, `__init__` stores,
and `plot` draws, sets attributes that end in an underscore, and returns the display.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._sklearn import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


def fitted_step(estimator: Any) -> Any:
    """The estimator, or the last step of a pipeline; NotFittedError if unfitted."""
    check_is_fitted(estimator)
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
        check_is_fitted(estimator)
    return estimator


def checked_vector(
    values: ArrayLike, name: str, *, positive: bool = False
) -> NDArray[np.float64]:
    """A non-empty 1-d array of numbers; ValueError names the parameter if not."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, not {values!r}") from error
    if vector.ndim != 1 or not vector.size:
        raise ValueError(
            f"{name} must be one-dimensional and not empty, and its shape is "
            f"{vector.shape}"
        )
    if positive and not (np.isfinite(vector).all() and (vector > 0).all()):
        raise ValueError(f"{name} must be positive and finite, not {values!r}")
    return vector


def checked_length(values: Any, name: str, reference: Any, reference_name: str) -> None:
    """Raise a ValueError if two parameters differ in length."""
    if len(values) != len(reference):
        raise ValueError(
            f"{name} has {len(values)} entries, and {reference_name} has "
            f"{len(reference)}: give one for each"
        )


def axes_for(display: Any, ax: Axes | None) -> Axes:
    """The axes to draw on, of a new figure if None; ImportError without matplotlib."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    return ax


def options(
    artist: type[Artist], defaults: Mapping[str, Any], given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Keywords of an artist: the defaults, unless given by name or by alias."""
    from matplotlib import cbook

    return {**defaults, **cbook.normalize_kwargs(dict(given or {}), artist)}


def plain_log_ticks(axis: Axis) -> None:
    """Label a log axis by 1, 2, 5 times powers of ten, in plain numbers.

    The labels of matplotlib are powers of ten, of which a curve often crosses none.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    lowest, highest = sorted(axis.get_view_interval())
    subs: tuple[float, ...] = (1.0, 2.0, 5.0)
    if highest < 4 * lowest:
        subs = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0)
    elif highest > 1000 * lowest:
        subs = (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
