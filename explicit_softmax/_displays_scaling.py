"""CooccurrenceScalingDisplay: class mass against means of co-occurrences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length, column_or_1d

from explicit_softmax._displays import (
    axes_for,
    checked_length,
    checked_vector,
    fitted_step,
    options,
    plain_log_ticks,
)
from explicit_softmax._sklearn import check_matplotlib_support
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    row_norms,
    values_at,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More labels than this cover one another.
_MOST_LABELS = 30


class CooccurrenceScalingDisplay:
    """Class mass against the K-power mean of geometric means of co-occurrences.

    The left side of Fig. 1 in [1]_, in this package's reading of it; see the Notes.
    Make one with `from_estimator`.

    Parameters
    ----------
    power_means : array-like of shape (n_classes,)
        K-power mean, over the rows of each class, of the geometric mean of the
        co-occurrences of the features of a row.
    class_mass : array-like of shape (n_classes,)
        Sum of the co-occurrences of each class.
    classes : array-like of shape (n_classes,), default=None
        Labels of the classes, written beside the points.

    Attributes
    ----------
    slope_ : float
        Slope of the least-squares line of log class mass on log power mean; NaN where
        all power means are the same.
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
    With F_di the co-occurrence of feature d and class i, unsmoothed, a row h of class i
    has the geometric mean ``g_h = exp(h.log F_i / |h|)`` of the co-occurrences of its
    features, each weighted as often as the row has it. The point of class i is

    - x_i = (mean over the rows of class i of g_h ** K) ** (1/K), and
    - y_i = S_i = sum_d F_di.

    The least-squares slope through the logarithms is 1 where the class mass is
    proportional to that mean.

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
    >>> display = CooccurrenceScalingDisplay.from_estimator(clf, X, y)
    >>> round(display.slope_, 1)
    1.0
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        power_means: ArrayLike,
        class_mass: ArrayLike,
        classes: ArrayLike | None = None,
    ) -> None:
        self.power_means = checked_vector(power_means, "power_means", positive=True)
        self.class_mass = checked_vector(class_mass, "class_mass", positive=True)
        checked_length(self.class_mass, "class_mass", self.power_means, "power_means")
        self.classes = None if classes is None else np.asarray(classes)
        if self.classes is not None:
            checked_length(self.classes, "classes", self.power_means, "power_means")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: ArrayLike,
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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that were counted, all or some.
        y : array-like of shape (n_samples,)
            Their class labels.
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
            If it has no co-occurrences, or if no row has a class with any.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        classifier = fitted_step(estimator)
        if not hasattr(classifier, "_counts") or not hasattr(classifier, "_check_rows"):
            raise ValueError(
                "estimator must be a fitted ExplicitSoftmaxClassifier or "
                f"ExplicitSoftmaxClassifierCV, not {type(classifier).__name__}, which "
                "has no co-occurrences"
            )
        if isinstance(estimator, Pipeline) and len(estimator.steps) > 1:
            X = estimator[:-1].transform(X)
        rows = sp.csr_array(classifier._check_rows(X))
        labels = column_or_1d(y)
        check_consistent_length(rows, labels)
        counts = classifier._counts
        means = _power_means(
            counts, rows, labels, classifier.classes_, classifier.priming_number_
        )
        seen = np.flatnonzero(means > 0)
        if not seen.size:
            raise ValueError(
                "no row has a class with co-occurrences: estimator was fitted on rows "
                "without any feature, or X and y are not its rows"
            )
        display = cls(
            power_means=means[seen],
            class_mass=counts.class_mass[seen],
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

        means, mass = self.power_means, self.class_mass
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
        ax.set_xlabel("K-power mean of geometric means of co-occurrences")
        ax.set_ylabel("Class mass")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _power_means(
    counts: CooccurrenceCounts,
    rows: sp.csr_array,
    labels: NDArray[Any],
    classes: NDArray[Any],
    priming_number: float,
) -> NDArray[np.float64]:
    """X of the Notes for each class; 0 where no row has the class and a feature."""
    norms = row_norms(rows)
    known = np.flatnonzero(np.isin(labels, classes) & (norms > 0))
    rows, norms = rows[known], norms[known]
    codes = np.searchsorted(classes, labels[known])
    row = np.repeat(np.arange(len(codes)), np.diff(rows.indptr))
    counted = values_at(counts.cooccurrence, rows.indices, codes[row])
    logs = np.full_like(counted, -np.inf)
    np.log(counted, out=logs, where=counted > 0)
    sums = np.bincount(row, weights=rows.data * logs, minlength=len(codes))
    powers = priming_number * sums / norms
    means = np.zeros(len(classes))
    for code in np.unique(codes):
        own = powers[codes == code]
        means[code] = np.exp((logsumexp(own) - np.log(len(own))) / priming_number)
    return means


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
