"""ExplicitSoftmaxClassifierCV: every hyper-parameter by exact leave-one-out."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import check_cv
from sklearn.utils.multiclass import check_classification_targets

from explicit_softmax._base import SHARED_CONSTRAINTS, BaseExplicitClassifier
from explicit_softmax._refinement import refine_solution, split_validation
from explicit_softmax._selection import (
    Grid,
    SelectionResult,
    select_by_folds,
    select_by_leave_one_out,
)
from explicit_softmax._sklearn import (
    FitReport,
    MetadataRouter,
    MethodMapping,
    _fit_context,
    process_routing,
    restored_on_error,
    routing_enabled,
)
from explicit_softmax.calibration.model import Setting, count_and_keep
from explicit_softmax.calibration.sample import RetainedRows, row_limit
from explicit_softmax.solution.smoothing import feature_blocks

# Temperatures and intercepts of the best candidate are chosen on more rows than those
# that candidates are compared on.
_FINAL_ROWS = 2**14
_FINAL_VALUES = 2**24
_FINAL_SCORES = 2**19


class ExplicitSoftmaxClassifierCV(BaseExplicitClassifier):
    """Explicit softmax classifier that chooses its hyper-parameters by leave-one-out.

    Needs no arguments. Priming number, smoothing strength, norm exponent, inverse
    temperatures, and intercepts minimise the exact leave-one-out log-loss, for which no
    model is fitted again and no rows are set aside.

    Parameters
    ----------
    priming_numbers : array-like of float or "mean_norm", default=("mean_norm",)
        Candidates of K. They matter under ``translation="column"``.
    smoothing_strengths : array-like of float, default=(0.03, 0.1, 0.3, 1.0)
        Candidates of the smoothing strength.
    norm_exponents : array-like of float, default=(0.0, 0.25, 0.5, 0.75, 1.0)
        Candidates of the norm exponent. Each takes a pass over the data.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `ExplicitSoftmaxClassifier`. ``smoothing_strengths`` are of no effect for
        "noise" and None.
    translation : {"column", "intercept", "exact"}, default="exact"
        As in `ExplicitSoftmaxClassifier`. By leave-one-out, candidates are compared
        before "exact" fits an intercept for each class; these are fitted for the best.
    inverse_temperature : "auto", float, or array-like of shape (n_blocks,), \
default="auto"
        As in `ExplicitSoftmaxClassifier`; "auto" is chosen for each candidate.
    norm_weight : "auto" or float, default="auto"
        As in `ExplicitSoftmaxClassifier`.
    n_blocks : int or array-like of int, default=1
        As in `ExplicitSoftmaxClassifier`.
    cv : None, int, cross-validation generator, or iterable, default=None
        None is exact leave-one-out over at most 2,048 rows drawn with a fixed seed, or
        fewer so that they hold at most 2**20 stored features and 2**18 scores, but no
        fewer than 1,024. Otherwise the folds of scikit-learn's `check_cv`: rows are
        counted once for each norm exponent, and the counts without a fold are those of
        all less those of the fold.
    scoring : str or callable, default="neg_log_loss"
        What is best, by scikit-learn's convention. Inverse temperatures and intercepts
        minimise the log-loss whatever it is.
    n_jobs : int, default=None
        Threads over norm exponents or folds.
    store_cv_results : bool, default=False
        Whether `cv_results_` also has the log-likelihood of each row
        (``cv=None``) or the score of each fold.
    warm_start : bool, default=False
        Whether the chosen solution is refined, as in `ExplicitSoftmaxClassifier`.
        Nothing is taken over from earlier calls to `fit`. Where rows are few for their
        features, the refinement may fit them too closely: compare, or set
        `early_stopping` or `alpha`.
    solver, learning_rate_init, batch_size, max_iter, alpha, tol, early_stopping, \
validation_fraction, n_iter_no_change, shuffle, random_state
        As in `ExplicitSoftmaxClassifier`, for the refinement.

    Attributes
    ----------
    best_score_ : float
        Score of the best candidate.
    cv_results_ : dict of str to ndarray
        ``params``, ``param_priming_number``, ``param_smoothing_strength``,
        ``param_norm_exponent``, ``mean_test_score``, ``rank_test_score``, one entry a
        candidate. With `store_cv_results` also ``row_log_likelihood`` of shape
        (n_candidates, n_rows) and ``row_index`` (n_rows,), or ``split0_test_score`` and
        so on with ``std_test_score``.
    priming_number_, smoothing_strength_, norm_exponent_ : float
        The best candidate.
    inverse_temperature_ : float or ndarray of shape (n_blocks,)
        Chosen for it from at most 16,384 rows, or fewer so that they hold at most
        2**24 stored features and 2**19 scores.
    norm_weight_ : float
        Likewise.
    classes_, coef_, intercept_, class_count_, feature_count_, loss_curve_, n_iter_, \
validation_scores_, n_features_in_, feature_names_in_
        As in `ExplicitSoftmaxClassifier`.

    See Also
    --------
    ExplicitSoftmaxClassifier : The same model with given hyper-parameters; it streams.
    sklearn.linear_model.RidgeCV : Leave-one-out for ridge regression.

    Notes
    -----
    A class that a training fold lacks is declared and unseen in it, and has a small
    finite probability. Rows of zero weight are split as others are, but neither counted
    nor scored, and a fold of nothing else is left out of the mean.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifierCV
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifierCV().fit(X[:1000], y[:1000])
    >>> round(clf.score(X[1000:], y[1000:]), 2)
    0.88
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **SHARED_CONSTRAINTS,
        "priming_numbers": ["array-like"],
        "smoothing_strengths": ["array-like"],
        "norm_exponents": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [str, callable],
        "n_jobs": [Integral, None],
        "store_cv_results": ["boolean"],
    }

    def __init__(
        self,
        *,
        priming_numbers: ArrayLike = ("mean_norm",),
        smoothing_strengths: ArrayLike = (0.03, 0.1, 0.3, 1.0),
        norm_exponents: ArrayLike = (0.0, 0.25, 0.5, 0.75, 1.0),
        smoothing: str | None = "prior",
        translation: str = "exact",
        inverse_temperature: float | ArrayLike | str = "auto",
        norm_weight: float | str = "auto",
        n_blocks: Any = 1,
        cv: Any = None,
        scoring: Any = "neg_log_loss",
        n_jobs: int | None = None,
        store_cv_results: bool = False,
        warm_start: bool = False,
        solver: str = "adagrad",
        learning_rate_init: float = 0.05,
        batch_size: int = 256,
        max_iter: int = 20,
        alpha: float = 0.0,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        shuffle: bool = True,
        random_state: Any = None,
    ) -> None:
        self.priming_numbers = priming_numbers
        self.smoothing_strengths = smoothing_strengths
        self.norm_exponents = norm_exponents
        self.smoothing = smoothing
        self.translation = translation
        self.inverse_temperature = inverse_temperature
        self.norm_weight = norm_weight
        self.n_blocks = n_blocks
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.store_cv_results = store_cv_results
        self.warm_start = warm_start
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.alpha = alpha
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Choose hyper-parameters, write the solution down, and refine if `warm_start`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, of counts and of losses.
        **params : dict
            Passed on by metadata routing to the splitter, such as ``groups``.

        Returns
        -------
        self : ExplicitSoftmaxClassifierCV

        Raises
        ------
        ValueError
            If a grid is empty or has values out of range, and as
            `ExplicitSoftmaxClassifier.fit`.
        """
        grid = self._grid()
        report = FitReport(
            self, X, y, sample_weight, self.max_iter if self.warm_start else 0
        )
        with restored_on_error(self):
            rows, labels, weights = self._check_rows_and_labels(
                X, y, sample_weight, reset=True
            )
            check_classification_targets(labels)
            split_params = self._split_params(params)
            self.classes_, codes = np.unique(labels, return_inverse=True)
            validation = None
            if self.warm_start and self.early_stopping:
                (rows, codes, weights), validation = split_validation(
                    self, rows, codes, weights
                )
            if self.cv is None:
                found = select_by_leave_one_out(
                    grid, rows, codes, self.classes_, weights, self.scoring, self.n_jobs
                )
            else:
                splitter = check_cv(self.cv, codes, classifier=True)
                folds = list(splitter.split(rows, codes, **split_params))
                found = select_by_folds(
                    grid,
                    rows,
                    codes,
                    self.classes_,
                    weights,
                    folds,
                    self.scoring,
                    self.n_jobs,
                )
            self._store(found)
            n_classes = len(self.classes_)
            limit = row_limit(
                rows,
                n_classes,
                len(feature_blocks(rows.shape[1], self.n_blocks)),
                most_rows=_FINAL_ROWS,
                most_values=_FINAL_VALUES,
                most_scores=_FINAL_SCORES,
            )
            self._counts, self._retained = count_and_keep(
                self._setting(), rows, codes, n_classes, weights, limit
            )
            self._dtype = rows.dtype
            self._forget_refinement()
            self._layout = "auto"
            self._solution = None
            self._solved()
            # No counts are added later, so that no rows are needed again.
            self._retained = RetainedRows.draw(rows, codes, weights, 0)
            self.n_iter_ = 1
            if self.warm_start:
                refine_solution(self, rows, codes, weights, validation, report)
        report.end()
        return self

    def get_metadata_routing(self) -> Any:
        """Metadata routing: to the splitter of `cv`.

        Returns
        -------
        routing : MetadataRouter
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        if self.cv is not None:
            router.add(
                splitter=check_cv(self.cv, classifier=True),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        return router

    @property
    def smoothing_strength_(self) -> float:
        """Chosen smoothing strength."""
        return self._chosen("smoothing_strength")

    @property
    def norm_exponent_(self) -> float:
        """Chosen norm exponent."""
        return self._chosen("norm_exponent")

    def _chosen(self, name: str) -> float:
        self._require(name + "_")
        return float(self._best[name])

    def _setting(self) -> Setting:
        best: dict[str, Any] = self._best
        return replace(self._grid().setting, **best)

    def _grid(self) -> Grid:
        setting = Setting(
            "mean_norm",
            self.inverse_temperature,
            self.smoothing,
            0.1,
            0.0,
            self.norm_weight,
            self.translation,
            self.n_blocks,
        )
        return Grid.checked(
            setting,
            self.priming_numbers,
            self.smoothing_strengths,
            self.norm_exponents,
        )

    def _split_params(self, params: dict[str, Any]) -> dict[str, Any]:
        if not params:
            return {}
        if routing_enabled():
            routed = process_routing(self, "fit", **params)
            return dict(routed.splitter.split) if self.cv is not None else {}
        unknown = set(params) - {"groups"}
        if unknown or self.cv is None:
            raise ValueError(
                f"fit got {sorted(params)}: only groups can be passed, for the "
                "splitter given as cv; enable metadata routing for others"
            )
        return params

    def _store(self, found: SelectionResult) -> None:
        self._best = found.best
        self.best_score_ = found.best_score
        self.cv_results_ = dict(found.results)
        if self.store_cv_results:
            self.cv_results_.update(found.details)
