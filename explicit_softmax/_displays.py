"""Displays of losses, priming numbers, calibration, and features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV
from explicit_softmax._metrics import N_BINS, Reliability, top_label_reliability
from explicit_softmax._sklearn import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LossCurveDisplay:
    """Losses of several refinements by epoch, on logarithmic axes.

    It resembles the right side of Fig. 1 of Williams and Zhao (arXiv:2311.07498), which
    compares cold and warm starts. Make one with `from_estimators`.

    Parameters
    ----------
    curves : dict of str to array-like of shape (n_epochs,)
        Losses of each run by name, from its first epoch or iteration on.
    loss_name : str, default="Log-loss (nats)"
        Label of the vertical axis.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes, matplotlib Figure
        Axes drawn on, and their figure.
    lines_ : list of matplotlib Line2D
        Curves, in the order of `curves`.

    Notes
    -----
    The training loss of an epoch is the mean over its mini-batches, each measured
    before its own step: the first value belongs to the first epoch, not to the start.
    For ``solver="lbfgs"`` it is the objective after each iteration of the solver.

    Examples
    --------
    A start with ``inverse_temperature=0.0`` uses the class frequencies only.

    >>> import matplotlib.pyplot as plt
    >>> from sklearn.base import clone
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifier, Refinement
    >>> from explicit_softmax import LossCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> refinement = Refinement(tol=0.05, random_state=0)
    >>> warm = ExplicitSoftmaxClassifier(warm_start=True, refinement=refinement)
    >>> cold = clone(warm).set_params(inverse_temperature=0.0)
    >>> runs = {"cold": cold.fit(X, y), "warm": warm.fit(X, y)}
    >>> display = LossCurveDisplay.from_estimators(runs)
    >>> display.curves["warm"][0] < display.curves["cold"][0]
    True
    >>> plt.close(display.figure_)
    """

    def __init__(
        self, *, curves: Mapping[str, ArrayLike], loss_name: str = "Log-loss (nats)"
    ) -> None:
        _check_runs(curves, "curves")
        self.curves = {
            k: _vector(v, f"curves[{k!r}]").tolist() for k, v in curves.items()
        }
        self.loss_name = loss_name

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        *,
        validation: bool = False,
        loss_name: str | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Draw the losses of fitted estimators.

        Parameters
        ----------
        estimators : dict of str to estimator or array-like of shape (n_epochs,)
            Runs by name: estimators fitted with ``warm_start=True``, pipelines that end
            in one, or plain losses.
        validation : bool, default=False
            Whether to draw the validation log-loss (the negated ``validation_scores_``)
            instead of the training loss. Plain losses are drawn unchanged.
        loss_name : str, default=None
            Label of the vertical axis. By default it names the log-loss drawn.
        **plot_kw : dict
            Other parameters of `plot`, such as `ax`.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        ValueError
            If `estimators` is not a dict or is empty, if an estimator is not fitted or
            not refined, or if ``validation=True`` and it had no validation rows.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimators")
        _check_runs(estimators, "estimators")
        curves = {
            name: _losses(run, f"estimators[{name!r}]", validation)
            for name, run in estimators.items()
        }
        if loss_name is None:
            part = "Validation" if validation else "Training"
            loss_name = f"{part} log-loss (nats)"
        return cls(curves=curves, loss_name=loss_name).plot(**plot_kw)

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
        ax = _set_axes(self, ax)
        self.lines_ = []
        for name, curve in self.curves.items():
            epochs = range(1, len(curve) + 1)
            # A marker at the end of each run: one epoch alone draws no line.
            last = {"label": name, "markevery": [len(curve) - 1]}
            self.lines_ += ax.plot(epochs, curve, **(last | _line_keywords(line_kw)))
        ax.set(xscale=xscale, yscale=yscale, xlabel="Epoch", ylabel=self.loss_name)
        if xscale == "linear":
            ax.locator_params("x", integer=True)
        _plain_log_ticks(ax)
        ax.legend()
        return self


class PrimingNumberDisplay:
    """Score by priming number K, with the mean norm of the rows marked.

    Like the right side of Fig. 2 of Williams and Zhao (arXiv:2311.07498), who propose
    the mean norm as K for rows of different norms. Make one with `from_estimator`.

    Parameters
    ----------
    priming_numbers : array-like of shape (n_candidates,)
        Values of K, in any order.
    scores : array-like of shape (n_candidates,)
        Score of each value.
    mean_norm : float, default=None
        Mean norm of the rows, to be marked. With None there is no mark.
    score_name : str, default="Score"
        Label of the vertical axis.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes, matplotlib Figure
        Axes drawn on, and their figure.
    line_ : matplotlib Line2D
        Curve of the scores.
    mean_norm_line_ : matplotlib Line2D or None
        Mark of the mean norm.

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
        numbers = _vector(priming_numbers, "priming_numbers")
        values = _vector(scores, "scores")
        marked = [] if mean_norm is None else [mean_norm]
        for name, given in ("priming_numbers", numbers), ("mean_norm", marked):
            if not all(0 < number < np.inf for number in given):
                raise ValueError(f"{name} must be positive and finite, not {given}")
        if len(values) != len(numbers):
            raise ValueError(
                f"scores has {len(values)} entries, and priming_numbers {len(numbers)}"
            )
        order = np.argsort(numbers, kind="stable")
        self.priming_numbers, self.scores = numbers[order], values[order]
        self.mean_norm, self.score_name = mean_norm, score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        negate_score: bool = False,
        score_name: str | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Draw the scores of a search over priming numbers.

        Parameters
        ----------
        estimator : ExplicitSoftmaxClassifierCV or Pipeline
            A fitted search over priming numbers, or a pipeline that ends in one. All
            other parameters are those of the best candidate.
        negate_score : bool, default=False
            Whether to draw the negated scores, such as the log-loss of "neg_log_loss".
        score_name : str, default=None
            Label of the vertical axis. By default it names the scoring of the search.
        **plot_kw : dict
            Other parameters of `plot`, such as `ax`.

        Returns
        -------
        display : PrimingNumberDisplay

        Raises
        ------
        ValueError
            If `estimator` is not fitted or has not searched over priming numbers.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        search = _fitted_step(estimator)
        numbers, scores, norm = _scan(search)
        name = score_name or _score_name(search.scoring, negate_score)
        return cls(
            priming_numbers=numbers, scores=scores, mean_norm=norm, score_name=name
        ).plot(negate_score=negate_score, **plot_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        negate_score: bool = False,
        line_kw: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw the curve and the mark.

        Parameters
        ----------
        ax, line_kw
            As in `LossCurveDisplay.plot`.
        negate_score : bool, default=False
            Whether to draw the negated scores.

        Returns
        -------
        display : PrimingNumberDisplay
        """
        ax = _set_axes(self, ax)
        numbers = self.priming_numbers
        scores = -self.scores if negate_score else self.scores
        (self.line_,) = ax.plot(numbers, scores, **_line_keywords(line_kw))
        self.mean_norm_line_ = None
        if self.mean_norm is not None:
            label = f"mean norm, K = {self.mean_norm:.4g}"
            self.mean_norm_line_ = ax.axvline(
                self.mean_norm, color="0.4", linestyle="--", zorder=1, label=label
            )
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
        if numbers[-1] > 5 * numbers[0]:
            ax.set_xscale("log")
            _plain_log_ticks(ax)
        ax.set(xlabel="Priming number K", ylabel=self.score_name)
        return self


class ReliabilityDisplay:
    """Accuracy by confidence, for any number of classes.

    Rows are put into bins by their highest probability. A calibrated model is on the
    diagonal; below it, it is over-confident. Make one with `from_estimator` or
    `from_predictions`.

    Parameters
    ----------
    confidence, accuracy, share : array-like of shape (n_bins,)
        Mean highest probability, accuracy, and share of the rows of each bin that has
        any.
    estimator_name : str, default=None
        Name for the legend.

    Attributes
    ----------
    error : float
        Expected calibration error, as of `expected_calibration_error`.
    ax_, figure_ : matplotlib Axes, matplotlib Figure
        Axes drawn on, and their figure.
    line_, diagonal_ : matplotlib Line2D
        Curve, and the line of perfect calibration.
    bars_ : matplotlib BarContainer
        Shares of the rows.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : The same for two classes only.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifier, ReliabilityDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifier().fit(X[:1000], y[:1000])
    >>> display = ReliabilityDisplay.from_estimator(clf, X[1000:], y[1000:])
    >>> display.error < 0.05
    True
    >>> plt.close(display.figure_)
    """

    def __init__(
        self,
        *,
        confidence: ArrayLike,
        accuracy: ArrayLike,
        share: ArrayLike,
        estimator_name: str | None = None,
    ) -> None:
        self.confidence = _vector(confidence, "confidence")
        self.accuracy = _vector(accuracy, "accuracy")
        self.share = _vector(share, "share")
        self.estimator_name = estimator_name
        self.error = Reliability(self.confidence, self.accuracy, self.share).error

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: ArrayLike, *, name: str | None = None, **kw: Any
    ) -> Self:
        """Draw the reliability of a fitted classifier.

        Parameters
        ----------
        estimator : classifier
            Any that has `predict_proba`.
        X, y : array-like
            Rows and labels that it was not fitted to.
        name : str, default=None
            Name for the legend; by default that of the class.
        **kw : dict
            Other parameters of `from_predictions`.

        Returns
        -------
        display : ReliabilityDisplay
        """
        name = type(_fitted_step(estimator)).__name__ if name is None else name
        prob = estimator.predict_proba(X)
        return cls.from_predictions(y, prob, labels=estimator.classes_, name=name, **kw)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_prob: ArrayLike,
        *,
        n_bins: int = N_BINS,
        labels: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Draw the reliability of probabilities.

        Parameters
        ----------
        y_true, y_prob, n_bins, labels, sample_weight
            As in `expected_calibration_error`.
        name : str, default=None
            Name for the legend.
        **plot_kw : dict
            Other parameters of `plot`, such as `ax`.

        Returns
        -------
        display : ReliabilityDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        found = top_label_reliability(y_true, y_prob, n_bins, labels, sample_weight)
        return cls(**vars(found), estimator_name=name).plot(**plot_kw)

    def plot(
        self, ax: Axes | None = None, *, line_kw: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw the curve, the diagonal, and the shares of the rows.

        Parameters
        ----------
        ax, line_kw
            As in `LossCurveDisplay.plot`. With the axes of another display several
            models share a plot.

        Returns
        -------
        display : ReliabilityDisplay
        """
        ax = _set_axes(self, ax)
        (self.diagonal_,) = ax.plot([0, 1], [0, 1], color="0.6", linestyle="--")
        name = f"{self.estimator_name}, " if self.estimator_name else ""
        keywords = {"label": f"{name}ECE = {self.error:.3f}"}
        (self.line_,) = ax.plot(
            self.confidence, self.accuracy, **(keywords | _line_keywords(line_kw))
        )
        color = self.line_.get_color()
        self.bars_ = ax.bar(
            self.confidence, self.share, width=0.02, color=color, alpha=0.3
        )
        ax.set(
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="Confidence (bars: share of the rows)",
            ylabel="Accuracy",
        )
        ax.legend(loc="upper left")
        return self


class TopFeaturesDisplay:
    """Features that speak most for or against classes, a panel for each class.

    Make one with `from_estimator` for what a model says in general, or with
    `from_explanation` for what it says of one text.

    Parameters
    ----------
    evidence : dict of {label: list of (name, float)}
        Names of features and their evidence in nats for each class, as of
        `ExplicitSoftmaxClassifier.feature_evidence`.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes, shape (n_classes,)
        Panels, in the order of `evidence`.
    figure_ : matplotlib Figure
        Their figure.
    bars_ : list of matplotlib BarContainer
        Bars of each panel, the largest evidence on top.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from explicit_softmax import ExplicitTextClassifier, TopFeaturesDisplay
    >>> texts = ["cats purr", "cats sleep", "dogs bark", "dogs run"]
    >>> clf = ExplicitTextClassifier(features="words", min_df=1)
    >>> clf = clf.fit(texts, ["cat", "cat", "dog", "dog"])
    >>> display = TopFeaturesDisplay.from_explanation(clf.explain("cats bark"))
    >>> sorted(display.evidence)
    ['cat (78%)', 'dog (22%)']
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, evidence: Mapping[Any, Any]) -> None:
        if not (isinstance(evidence, Mapping) and evidence):
            raise ValueError(
                "evidence must be a dict of classes with features and their evidence, "
                f"not {evidence!r}"
            )
        self.evidence = {label: list(pairs) for label, pairs in evidence.items()}

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        classes: ArrayLike | None = None,
        top: int = 10,
        feature_names: ArrayLike | None = None,
        **plot_kw: Any,
    ) -> Self:
        """Draw the features with the largest absolute evidence for some classes.

        Parameters
        ----------
        estimator : classifier
            A fitted one that has `feature_evidence`, or a pipeline that ends in one,
            which names the features.
        classes : array-like, default=None
            Their labels; all by default.
        top : int, default=10
            Number of features of each class.
        feature_names : array-like of shape (n_features,), default=None
            Names of the features; by default those that the estimator knows.
        **plot_kw : dict
            Other parameters of `plot`.

        Returns
        -------
        display : TopFeaturesDisplay

        Raises
        ------
        TypeError
            If the estimator has no `feature_evidence`.
        ValueError
            If a class is unknown.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        last = _fitted_step(estimator)
        if not hasattr(last, "feature_evidence"):
            raise TypeError(f"{type(last).__name__} has no feature_evidence")
        if feature_names is None and isinstance(estimator, Pipeline) and estimator[:-1]:
            feature_names = estimator[:-1].get_feature_names_out()
        found = last.feature_evidence(top, feature_names)
        asked = list(found) if classes is None else np.asarray(classes).tolist()
        unknown = [label for label in asked if label not in found]
        if unknown:
            raise ValueError(f"classes has labels that are unknown: {unknown[:9]}")
        return cls(evidence={label: found[label] for label in asked}).plot(**plot_kw)

    @classmethod
    def from_explanation(cls, table: Mapping[str, Any], **plot_kw: Any) -> Self:
        """Draw what `ExplicitTextClassifier.explain` says of a text.

        Parameters
        ----------
        table : dict of list
            Columns of the table, or a data frame of it. N-grams that are no words have
            their kind behind them.
        **plot_kw : dict
            Parameters of `plot`.

        Returns
        -------
        display : TopFeaturesDisplay

        Raises
        ------
        ValueError
            If it is no such table, or has no rows.
        """
        names = ("class", "probability", "kind", "feature", "evidence")
        missing = [name for name in names if name not in table]
        if missing or not len(table["class"]):
            raise ValueError(
                "table must be that of ExplicitTextClassifier.explain, with rows; it "
                f"lacks {missing or 'rows'}"
            )
        evidence: dict[Any, list[tuple[str, float]]] = {}
        for label, share, kind, name, value in zip(
            *(table[name] for name in names), strict=True
        ):
            shown = f"{label} ({share:.0%})"
            name = name if kind == "words" else f"{name} ({kind})"
            evidence.setdefault(shown, []).append((name, float(value)))
        return cls(evidence=evidence).plot(**plot_kw)

    def plot(
        self, axes: Any = None, *, bar_kw: Mapping[str, Any] | None = None
    ) -> Self:
        """Draw a panel of bars for each class.

        Parameters
        ----------
        axes : matplotlib Axes or array-like of them, default=None
            One for each class; those of a new figure by default.
        bar_kw : dict, default=None
            Keywords of all bars, for `matplotlib.axes.Axes.barh`.

        Returns
        -------
        display : TopFeaturesDisplay

        Raises
        ------
        ValueError
            If there are not as many axes as classes.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        n_panels = len(self.evidence)
        if axes is None:
            height = 1.0 + 0.22 * max(map(len, self.evidence.values()))
            size, layout = (3.2 * n_panels, height), "constrained"
            _, axes = plt.subplots(1, n_panels, figsize=size, layout=layout)
        self.axes_ = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        if self.axes_.size != n_panels:
            raise ValueError(f"axes are {self.axes_.size} for {n_panels} classes")
        self.figure_, self.bars_ = self.axes_[0].figure, []
        for ax, (label, pairs) in zip(self.axes_, self.evidence.items(), strict=True):
            ordered = sorted(pairs, key=lambda pair: -pair[1])[::-1]
            values = [value for _, value in ordered]
            colors = ["C0" if value > 0 else "C3" for value in values]
            keywords = {"color": colors} | dict(bar_kw or {})
            places = range(len(ordered))  # names may occur twice
            self.bars_.append(
                ax.barh(places, values, **(keywords | dict(bar_kw or {})))
            )
            ax.set_yticks(places, [str(name) for name, _ in ordered])
            ax.axvline(0.0, color="0.6", linewidth=0.8)
            ax.set(title=str(label), xlabel="Evidence (nats)")
        return self


def _fitted_step(estimator: Any) -> Any:
    """The estimator, or the last step of a pipeline; NotFittedError if unfitted."""
    check_is_fitted(estimator)
    return _fitted_step(estimator[-1]) if isinstance(estimator, Pipeline) else estimator


def _vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """One-dimensional numbers, one or more; ValueError names the argument."""
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, not {values!r}") from error
    if vector.ndim != 1 or not vector.size:
        raise ValueError(
            f"{name} must be one-dimensional and not empty, not of shape {vector.shape}"
        )
    return vector


def _set_axes(display: Any, ax: Axes | None) -> Axes:
    """Set `ax_` and `figure_` of a display; a new figure is made for None."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    ax = plt.subplots(layout="constrained")[1] if ax is None else ax
    display.ax_, display.figure_ = ax, ax.figure
    return ax


def _line_keywords(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The defaults of a curve, overridden by keywords of Line2D or their aliases."""
    from matplotlib import cbook, lines

    given = cbook.normalize_kwargs(dict(given or {}), lines.Line2D)
    return {"marker": "o", "markersize": 5, **given}


def _plain_log_ticks(ax: Axes) -> None:
    """Label log axes by plain numbers: many curves cross no power of ten."""
    from matplotlib import ticker

    for axis in (ax.xaxis, ax.yaxis):
        if axis.get_scale() == "log":
            low, high = sorted(axis.get_view_interval())
            narrow, wide = ticker.MaxNLocator(6), ticker.LogLocator(subs=[1, 2, 5])
            axis.set_major_locator(narrow if high < 4 * low else wide)
            axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(ticker.NullFormatter())


def _check_runs(runs: Any, name: str) -> None:
    """ValueError unless a dict with one entry or more."""
    if not isinstance(runs, Mapping) or not runs:
        raise ValueError(f"{name} must be a dict of runs by name, not {runs!r}")


def _losses(run: Any, name: str, validation: bool) -> NDArray[np.float64]:
    """Training or validation losses of an estimator, or losses as they are given."""
    if not hasattr(run, "fit"):
        return _vector(run, name)
    step = _fitted_step(run)
    if not hasattr(step, "loss_curve_"):
        raise ValueError(
            f"{name} has no loss_curve_: fit it with warm_start=True, which refines "
            "the explicit solution"
        )
    if not len(step.loss_curve_):
        raise ValueError(f"{name} has an empty loss_curve_: it began at the optimum")
    if not validation:
        return _vector(step.loss_curve_, name)
    scores = getattr(step, "validation_scores_", None)
    if scores is None:
        raise ValueError(
            f"validation=True needs validation rows, and {name} was refined without "
            "any: fit it with refinement=Refinement(early_stopping=True)"
        )
    losses = -_vector(scores, name)
    if (losses < 0).any():
        raise ValueError(
            "validation=True needs log-likelihoods, and the validation_scores_ of "
            f"{name} are positive, as accuracies are"
        )
    return losses


def _score_name(metric: Any, negated: bool) -> str:
    """Label of the axis: "neg_log_loss" is the negative log loss, or negated, it."""
    if not isinstance(metric, str):
        return "Negative score" if negated else "Score"
    is_loss = metric.startswith("neg_")
    words = metric.removeprefix("neg_").replace("_", " ")
    return words.capitalize() if is_loss == negated else f"Negative {words}"


def _scan(search: Any) -> tuple[list[float], NDArray[Any], float]:
    """Values of K with the best other parameters, their scores, and the mean norm."""
    if not isinstance(search, ExplicitSoftmaxClassifierCV):
        raise ValueError(
            "estimator must be an ExplicitSoftmaxClassifierCV, or a pipeline that ends "
            f"in one, not {type(search).__name__}: give the results of other searches "
            "to PrimingNumberDisplay(priming_numbers=..., scores=...)"
        )
    results, any_number = search.cv_results_, {"priming_number": None}
    others = [params | any_number for params in results["params"]]
    best = others[results["rank_test_score"].argmin()]
    chosen = [i for i, params in enumerate(others) if params == best]
    if len(chosen) < 2:
        raise ValueError(
            f"estimator has tried {len(chosen)} priming numbers with the best other "
            "parameters: search over two or more to draw a curve"
        )
    # Rows without any feature have a priming number of 1.
    mean_norm = search._model.counts.mean_norm or 1.0
    numbers = [results["params"][i]["priming_number"] for i in chosen]
    numbers = [mean_norm if number == "mean_norm" else number for number in numbers]
    return numbers, results["mean_test_score"][chosen], mean_norm
