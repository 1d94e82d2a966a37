"""LossCurveDisplay: losses of refinements by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explicit_softmax._displays import (
    axes_for,
    checked_vector,
    fitted_step,
    options,
    plain_log_ticks,
)
from explicit_softmax._sklearn import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LossCurveDisplay:
    """Losses of several refinements by epoch, on logarithmic axes.

    As the right side of Fig. 1 in [1]_, which compares cold and warm starts. Make one
    with `from_estimators`.

    Parameters
    ----------
    curves : dict of str to array-like of shape (n_epochs,)
        Losses of each run by name, from its first epoch or iteration on.
    loss_name : str, default="Log-loss (nats)"
        Label of the vertical axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        Curves, in the order of `curves`.

    See Also
    --------
    ExplicitSoftmaxClassifier : Refines its solution with ``warm_start=True``.

    Notes
    -----
    The training loss of an epoch is the mean over its mini-batches as they came, so
    that the first value is not that of the start but of the epoch that left it. For
    ``solver="lbfgs"`` it is the objective after each iteration.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    A start with ``inverse_temperature=0`` knows the class frequencies only.

    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifier, LossCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> runs = {
    ...     name: ExplicitSoftmaxClassifier(
    ...         inverse_temperature=beta, warm_start=True, tol=0.05, random_state=0
    ...     ).fit(X, y)
    ...     for name, beta in [("cold", 0.0), ("theorem", 1.0), ("best", "auto")]
    ... }
    >>> display = LossCurveDisplay.from_estimators(runs)
    >>> display.curves["best"][0] < display.curves["cold"][0]
    True
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        curves: Mapping[str, ArrayLike],
        loss_name: str = "Log-loss (nats)",
    ) -> None:
        _check_runs(curves, "curves")
        self.curves = {
            name: checked_vector(curve, f"curves[{name!r}]").tolist()
            for name, curve in curves.items()
        }
        self.loss_name = loss_name

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        *,
        validation: bool = False,
        ax: Axes | None = None,
        loss_name: str | None = None,
        xscale: str = "log",
        yscale: str = "log",
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the losses of fitted estimators.

        Parameters
        ----------
        estimators : dict of str to estimator or array-like of shape (n_epochs,)
            Runs by name: estimators fitted with ``warm_start=True``, pipelines that end
            in one, or plain losses.
        validation : bool, default=False
            Whether to draw the log-loss of the validation rows (the negated
            ``validation_scores_`` of estimators fitted with ``early_stopping=True``)
            instead of the training loss. Plain losses are drawn as they are.
        ax : matplotlib Axes, default=None
            Axes to draw on; those of a new figure by default.
        loss_name : str, default=None
            Label of the vertical axis; says by default which log-loss it is.
        xscale, yscale : str, default="log"
            Scales of the axes, as in `matplotlib.axes.Axes.set_xscale`.
        line_kw : dict, default=None
            Keywords of all curves, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If an estimator is not fitted.
        ValueError
            If `estimators` is no dict or is empty, or if an estimator was not refined,
            or not with validation rows where these are asked for.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimators")
        _check_runs(estimators, "estimators")
        curves = {
            name: _losses(name, run, validation) for name, run in estimators.items()
        }
        if loss_name is None:
            part = "Validation" if validation else "Training"
            loss_name = f"{part} log-loss (nats)"
        display = cls(curves=curves, loss_name=loss_name)
        return display.plot(ax, xscale=xscale, yscale=yscale, line_kw=line_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        xscale: str = "log",
        yscale: str = "log",
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; those of a new figure by default.
        xscale, yscale : str, default="log"
            Scales of the axes, as in `matplotlib.axes.Axes.set_xscale`.
        line_kw : dict, default=None
            Keywords of all curves, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : LossCurveDisplay
        """
        ax = axes_for(self, ax)
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        line_kw = options(Line2D, {"marker": "o", "markersize": 5}, line_kw)
        self.lines_ = []
        for name, curve in self.curves.items():
            epochs = np.arange(1, len(curve) + 1)
            # A mark where a run ended, which is all that is seen of one epoch.
            keywords = {"label": name, "markevery": [len(curve) - 1], **line_kw}
            self.lines_ += ax.plot(epochs, curve, **keywords)
        ax.set_xscale(xscale)
        ax.set_yscale(yscale)
        for axis, scale in ((ax.xaxis, xscale), (ax.yaxis, yscale)):
            if scale == "log":
                plain_log_ticks(axis)
        if xscale == "linear":
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("Epoch")
        ax.set_ylabel(self.loss_name)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _check_runs(runs: Any, name: str) -> None:
    if not isinstance(runs, Mapping) or not runs:
        raise ValueError(
            f"{name} must be a dict of one or more runs by name, not {runs!r}"
        )


def _losses(name: str, run: Any, validation: bool) -> ArrayLike:
    if not hasattr(run, "fit"):
        return checked_vector(run, f"estimators[{name!r}]")
    step = fitted_step(run)
    if not hasattr(step, "loss_curve_"):
        raise ValueError(
            f"estimators[{name!r}] has no loss_curve_: fit it with warm_start=True, "
            "which refines the explicit solution"
        )
    curve: Any = step.loss_curve_
    if validation:
        if getattr(step, "validation_scores_", None) is None:
            raise ValueError(
                f"validation=True needs validation rows, and estimators[{name!r}] was "
                "fitted without: fit it with early_stopping=True"
            )
        scores: NDArray[np.float64] = np.asarray(step.validation_scores_)
        if (scores > 0).any():
            raise ValueError(
                f"validation=True needs log-likelihoods, and the validation_scores_ of "
                f"estimators[{name!r}] are positive, such as accuracies are"
            )
        curve = -scores
    if not len(curve):
        raise ValueError(
            f"estimators[{name!r}] has an empty loss_curve_: its start was the optimum "
            "already"
        )
    return checked_vector(curve, f"estimators[{name!r}]")
