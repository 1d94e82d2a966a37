"""CooccurrenceScalingDisplay: class mass against typical co-occurrences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from explicit_softmax._displays import (
    axes_for,
    checked_length,
    checked_vector,
    fitted_step,
    options,
    plain_log_ticks,
)
from explicit_softmax._sklearn import check_matplotlib_support
from explicit_softmax.core.smoothing import (
    SmoothedCounts,
    feature_blocks,
    smooth_counts,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More labels than this cover one another.
_MOST_LABELS = 30


class CooccurrenceScalingDisplay:
    """Class mass against the geometric mean of the co-occurrences of the class.

    In the spirit of the left side of Fig. 1 in [1]_. What is drawn is this package's
    reading of that figure, not a definition that the paper gives; see the Notes. Make
    one with `from_estimator`.

    Parameters
    ----------
    geometric_means : array-like of shape (n_classes,)
        Weighted geometric mean of the co-occurrences of each class.
    class_mass : array-like of shape (n_classes,)
        Sum of the co-occurrences of each class.
    classes : array-like of shape (n_classes,), default=None
        Labels of the classes, written beside the points.

    Attributes
    ----------
    slope_ : float
        Slope of the least-squares line of log class mass on log geometric mean; NaN
        where all geometric means are the same.
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    scatter_ : matplotlib PathCollection
        Points of the classes.
    line_ : matplotlib Line2D or None
        Least-squares line; None where the slope is NaN.
    texts_ : list of matplotlib Annotation
        Labels of the classes.

    See Also
    --------
    ExplicitSoftmaxClassifier : Its weights are differences of the logarithms of both.

    Notes
    -----
    With F_di the smoothed co-occurrence of feature d and class i, as the classifier
    uses it, and the class mass S_i = sum_d F_di, the point of class i is

    - x_i = prod_d F_di ** (F_di / S_i), the geometric mean of its co-occurrences, each
      weighted by its share of the class, and
    - y_i = S_i.

    So log x_i = log S_i - H_i, where H_i is the entropy (in nats) of the features of
    class i, and S_i / x_i is the perplexity of the class, its effective number of
    features. The slope is 1 where this number does not depend on the size of the class,
    and above 1 where larger classes have more varied features. No priming number
    enters.

    Classes that no row was counted for are left out.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from explicit_softmax import (
    ...     CooccurrenceScalingDisplay,
    ...     ExplicitSoftmaxClassifier,
    ... )
    >>> rng = np.random.default_rng(0)
    >>> y = rng.choice(5, size=1000, p=[0.5, 0.25, 0.15, 0.07, 0.03])
    >>> X = rng.poisson(rng.gamma(1.0, size=(5, 50))[y])
    >>> clf = ExplicitSoftmaxClassifier().fit(X, y)
    >>> display = CooccurrenceScalingDisplay.from_estimator(clf)
    >>> round(display.slope_, 1)
    1.0
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        geometric_means: ArrayLike,
        class_mass: ArrayLike,
        classes: ArrayLike | None = None,
    ) -> None:
        self.geometric_means = checked_vector(
            geometric_means, "geometric_means", positive=True
        )
        self.class_mass = checked_vector(class_mass, "class_mass", positive=True)
        checked_length(
            self.class_mass, "class_mass", self.geometric_means, "geometric_means"
        )
        self.classes = None if classes is None else np.asarray(classes)
        if self.classes is not None:
            checked_length(
                self.classes, "classes", self.geometric_means, "geometric_means"
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | None = None,
        label_classes: bool | None = None,
        scatter_kw: Mapping[str, Any] | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the classes of a fitted classifier.

        Parameters
        ----------
        estimator : ExplicitSoftmaxClassifier, ExplicitSoftmaxClassifierCV, or Pipeline
            Fitted classifier, or a pipeline that ends in one. A refinement changes
            nothing here: the counts are those of the explicit solution.
        ax : matplotlib Axes, default=None
            Axes to draw on; those of a new figure by default.
        label_classes : bool, default=None
            Whether to write labels beside the points; None does for up to 30 classes.
        scatter_kw : dict, default=None
            Keywords of the points, for `matplotlib.axes.Axes.scatter`.
        line_kw : dict, default=None
            Keywords of the line, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : CooccurrenceScalingDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `estimator` is not fitted.
        ValueError
            If it has no co-occurrences.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        classifier = fitted_step(estimator)
        if not hasattr(classifier, "_counts") or not hasattr(classifier, "_setting"):
            raise ValueError(
                "estimator must be a fitted ExplicitSoftmaxClassifier or "
                f"ExplicitSoftmaxClassifierCV, not {type(classifier).__name__}, which "
                "has no co-occurrences"
            )
        counts, setting = classifier._counts, classifier._setting()
        smoothed = smooth_counts(
            counts,
            setting.smoothing,
            setting.smoothing_strength,
            feature_blocks(counts.n_features, setting.n_blocks),
        )
        seen = np.flatnonzero(counts.class_mass > 0)
        if not seen.size:
            raise ValueError("estimator was fitted on rows without any feature")
        display = cls(
            geometric_means=_geometric_means(smoothed)[seen],
            class_mass=smoothed.class_mass[seen],
            classes=classifier.classes_[seen],
        )
        return display.plot(
            ax, label_classes=label_classes, scatter_kw=scatter_kw, line_kw=line_kw
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        label_classes: bool | None = None,
        scatter_kw: Mapping[str, Any] | None = None,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw points, labels, and line.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; those of a new figure by default.
        label_classes : bool, default=None
            Whether to write labels beside the points; None does for up to 30 classes.
        scatter_kw : dict, default=None
            Keywords of the points, for `matplotlib.axes.Axes.scatter`.
        line_kw : dict, default=None
            Keywords of the line, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : CooccurrenceScalingDisplay
        """
        ax = axes_for(self, ax)
        from matplotlib.lines import Line2D

        means, mass = self.geometric_means, self.class_mass
        few = len(means) <= _MOST_LABELS
        defaults = {"s": 24 if few else 10, "alpha": 1.0 if few else 0.5}
        self.scatter_ = ax.scatter(means, mass, **{**defaults, **(scatter_kw or {})})
        self.texts_ = []
        labelled = few if label_classes is None else label_classes
        if self.classes is not None and labelled:
            self.texts_ = [
                ax.annotate(
                    str(label),
                    point,
                    xytext=(5, -9),
                    textcoords="offset points",
                    fontsize="small",
                )
                for label, point in zip(
                    self.classes, zip(means, mass, strict=True), strict=True
                )
            ]
        self.slope_, middle = _least_squares(np.log(means), np.log(mass))
        self.line_ = None
        ax.set_xscale("log")
        ax.set_yscale("log")
        if np.isfinite(self.slope_):
            ends = np.array([means.min(), means.max()])
            fitted = np.exp(middle + self.slope_ * np.log(ends))
            line_kw = options(
                Line2D,
                {
                    "color": "0.4",
                    "linestyle": "--",
                    "zorder": 1,
                    "label": f"least squares, slope {self.slope_:.2f}",
                },
                line_kw,
            )
            (self.line_,) = ax.plot(ends, fitted, **line_kw)
            ax.legend()
        for axis in (ax.xaxis, ax.yaxis):
            plain_log_ticks(axis)
        ax.set_xlabel("Geometric mean of the co-occurrences")
        ax.set_ylabel("Class mass")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _geometric_means(smoothed: SmoothedCounts) -> NDArray[np.float64]:
    """exp(sum_d F~ log F~ / S~) of each class, in time of the non-zero counts."""
    counts = sp.coo_array(smoothed.counts.cooccurrence)
    n_classes = smoothed.counts.n_classes
    block_of = np.zeros(smoothed.counts.n_features, dtype=np.intp)
    total = np.zeros(n_classes)
    # u v' everywhere first: sum_d u v log(u v) = v sum(u log u) + v log(v) sum(u).
    for b, block in enumerate(smoothed.blocks):
        block_of[block] = b
        u, v = smoothed.offset[block], smoothed.class_offset[:, b]
        total += v * xlogy(u, u).sum() + xlogy(v, v) * u.sum()
    # Then what a C adds to it where it is not zero.
    features, labels = counts.coords
    flat = smoothed.class_offset[labels, block_of[features]]
    flat = flat * smoothed.offset[features]
    full = flat + smoothed.scale[features] * counts.data
    gain = xlogy(full, full) - xlogy(flat, flat)
    total += np.bincount(labels, weights=gain, minlength=n_classes)
    return np.asarray(np.exp(total / smoothed.class_mass))


def _least_squares(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[float, float]:
    """Slope and value at zero of the line of y on x; NaN without spread of x."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    if spread <= (1e-10 * max(1.0, float(np.abs(x).max()))) ** 2:
        return float("nan"), float("nan")
    slope = float(centred @ y) / spread
    return slope, float(y.mean() - slope * x.mean())
