"""PrimingNumberDisplay: scores by priming number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from explicit_softmax._displays import (
    axes_for,
    checked_length,
    checked_vector,
    fitted_step,
    options,
    plain_log_ticks,
)
from explicit_softmax._sklearn import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Priming numbers that span more than this factor stand on a log axis.
_LOG_SPAN = 5.0


class PrimingNumberDisplay:
    """Score by priming number K, with the mean norm of the rows marked.

    As the right side of Fig. 2 in [1]_. The paper proposes the mean norm for rows that
    differ in norm; this shows what it loses against the best number. Make one with
    `from_estimator`.

    Parameters
    ----------
    priming_numbers : array-like of shape (n_candidates,)
        Values of K, in any order.
    scores : array-like of shape (n_candidates,)
        Score of each.
    mean_norm : float, default=None
        Mean norm of the rows, which is marked; None marks nothing.
    score_name : str, default="Score"
        Label of the vertical axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.
    figure_ : matplotlib Figure
        Figure of the axes.
    line_ : matplotlib Line2D
        Curve of the scores.
    mean_norm_line_ : matplotlib Line2D or None
        Mark of the mean norm.

    See Also
    --------
    ExplicitSoftmaxClassifierCV : Chooses the priming number by leave-one-out.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifierCV, PrimingNumberDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifierCV(
    ...     priming_numbers=["mean_norm", 10, 100, 1000],
    ...     norm_exponents=[0.0],
    ...     translation="column",
    ... ).fit(X, y)
    >>> display = PrimingNumberDisplay.from_estimator(clf)
    >>> display.priming_numbers.round(1)
    array([  10. ,  100. ,  312.6, 1000. ])
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        priming_numbers: ArrayLike,
        scores: ArrayLike,
        mean_norm: float | None = None,
        score_name: str = "Score",
    ) -> None:
        numbers = checked_vector(priming_numbers, "priming_numbers", positive=True)
        values = checked_vector(scores, "scores")
        checked_length(values, "scores", numbers, "priming_numbers")
        if mean_norm is not None and not (mean_norm > 0 and np.isfinite(mean_norm)):
            raise ValueError(f"mean_norm must be positive and finite, not {mean_norm}")
        order = np.argsort(numbers, kind="stable")
        self.priming_numbers = numbers[order]
        self.scores = values[order]
        self.mean_norm = mean_norm
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Axes | None = None,
        negate_score: bool = False,
        score_name: str | None = None,
        line_kw: Mapping[str, Any] | None = None,
        mean_norm_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the scores of a search over priming numbers.

        Parameters
        ----------
        estimator : ExplicitSoftmaxClassifierCV, GridSearchCV, or Pipeline
            A fitted search over priming numbers, or a pipeline that ends in one. In
            scikit-learn's searches the parameter may have any name that ends in
            ``priming_number``. All other parameters, such as smoothing strength and
            norm exponent, are those of the best candidate.
        ax : matplotlib Axes, default=None
            Axes to draw on; those of a new figure by default.
        negate_score : bool, default=False
            Whether to draw the negated scores, such as the log-loss of "neg_log_loss".
        score_name : str, default=None
            Label of the vertical axis; after the scoring of the search by default.
        line_kw : dict, default=None
            Keywords of the curve, for `matplotlib.axes.Axes.plot`.
        mean_norm_kw : dict, default=None
            Keywords of the mark, for `matplotlib.axes.Axes.axvline`.

        Returns
        -------
        display : PrimingNumberDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If `estimator` is not fitted.
        ValueError
            If it has not searched over priming numbers, or "mean_norm" is among them
            and the search kept no model to tell it (``refit=False``).
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        search = fitted_step(estimator)
        numbers, scores, mean_norm = _searched_priming_numbers(search)
        if score_name is None:
            score_name = _score_name(_metric(search), negate_score)
        display = cls(
            priming_numbers=numbers,
            scores=scores,
            mean_norm=mean_norm,
            score_name=score_name,
        )
        return display.plot(
            ax, negate_score=negate_score, line_kw=line_kw, mean_norm_kw=mean_norm_kw
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        negate_score: bool = False,
        score_name: str | None = None,
        line_kw: Mapping[str, Any] | None = None,
        mean_norm_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the curve and the mark.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; those of a new figure by default.
        negate_score : bool, default=False
            Whether to draw the negated scores.
        score_name : str, default=None
            Label of the vertical axis; that of the display by default.
        line_kw : dict, default=None
            Keywords of the curve, for `matplotlib.axes.Axes.plot`.
        mean_norm_kw : dict, default=None
            Keywords of the mark, for `matplotlib.axes.Axes.axvline`.

        Returns
        -------
        display : PrimingNumberDisplay
        """
        ax = axes_for(self, ax)
        from matplotlib.lines import Line2D

        numbers = self.priming_numbers
        line_kw = options(Line2D, {"marker": "o", "markersize": 5}, line_kw)
        scores = -self.scores if negate_score else self.scores
        (self.line_,) = ax.plot(numbers, scores, **line_kw)
        self.mean_norm_line_ = None
        if self.mean_norm is not None:
            defaults = {
                "color": "0.4",
                "linestyle": "--",
                "zorder": 1,
                "label": f"mean norm, K = {self.mean_norm:.4g}",
            }
            mean_norm_kw = options(Line2D, defaults, mean_norm_kw)
            self.mean_norm_line_ = ax.axvline(self.mean_norm, **mean_norm_kw)
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
        if numbers[-1] > _LOG_SPAN * numbers[0]:
            ax.set_xscale("log")
            plain_log_ticks(ax.xaxis)
        ax.set_xlabel("Priming number K")
        ax.set_ylabel(self.score_name if score_name is None else score_name)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _searched_priming_numbers(
    search: Any,
) -> tuple[list[Any], list[float], float | None]:
    """Candidates that differ from the best in K only, their scores, and the mean norm.

    "mean_norm" is replaced by its number.
    """
    kind = type(search).__name__
    if not hasattr(search, "cv_results_"):
        raise ValueError(
            "estimator must have searched over priming numbers, as "
            "ExplicitSoftmaxClassifierCV(priming_numbers=[...]) or GridSearchCV do, "
            f"and {kind} has no cv_results_"
        )
    results, metric = search.cv_results_, _metric(search)
    params = results["params"]
    names = sorted({n for p in params for n in p if n.endswith("priming_number")})
    if len(names) != 1:
        raise ValueError(
            "estimator must have searched over one parameter whose name ends in "
            f"priming_number, and {kind} searched over {names or 'none'}"
        )
    (name,) = names
    several = getattr(search, "multimetric_", False)
    suffix = metric if several else "score"
    if hasattr(search, "best_index_"):
        best = params[search.best_index_]
    else:
        best = params[int(np.argmin(results[f"rank_test_{suffix}"]))]
    chosen = [
        i for i, p in enumerate(params) if name in p and _agree_but_for(name, p, best)
    ]
    if len(chosen) < 2:
        raise ValueError(
            f"estimator has tried {len(chosen)} priming numbers beside the best other "
            "parameters: search over two or more to draw a curve"
        )
    mean_norm = _mean_norm(search, name)
    given = [params[i][name] for i in chosen]
    numbers = [mean_norm if isinstance(k, str) else float(k) for k in given]
    if None in numbers:
        raise ValueError(
            f"estimator has the candidate {name}='mean_norm', whose number only a "
            "fitted classifier can tell: fit the search with refit=True"
        )
    scores = [float(results[f"mean_test_{suffix}"][i]) for i in chosen]
    return numbers, scores, mean_norm


def _agree_but_for(name: str, params: dict[str, Any], best: dict[str, Any]) -> bool:
    return params.keys() | {name} == best.keys() | {name} and all(
        value is best[key] or np.array_equal(value, best[key])
        for key, value in params.items()
        if key != name
    )


def _mean_norm(search: Any, name: str) -> float | None:
    """Mean norm of the rows that the chosen classifier counted, if there is one."""
    classifier = search
    if not hasattr(search, "feature_count_"):
        classifier = getattr(search, "best_estimator_", None)
        path = name.rpartition("__")[0]
        if classifier is not None and path:
            classifier = classifier.get_params()[path]
    if not hasattr(classifier, "feature_count_"):
        return None
    total = float(classifier.class_count_.sum())
    # Rows without any feature leave 1, as in the classifier.
    return float(classifier.feature_count_.sum()) / total or 1.0


def _metric(search: Any) -> Any:
    """Scoring that the best candidate was chosen by."""
    if not getattr(search, "multimetric_", False):
        return getattr(search, "scoring", None)
    if not isinstance(search.refit, str):
        raise ValueError(
            "estimator has several metrics: fit it with refit='name of a metric' to "
            "say which one is drawn"
        )
    return search.refit


def _score_name(metric: Any, negated: bool) -> str:
    if not isinstance(metric, str):
        return "Negative score" if negated else "Score"
    is_loss = metric.startswith("neg_")
    words = metric.removeprefix("neg_").replace("_", " ")
    return words.capitalize() if is_loss == negated else f"Negative {words}"
