"""ExplicitSoftmaxClassifierCV: every hyper-parameter by exact leave-one-out."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch

from explicit_softmax._base import (
    ONE_LAYER,
    ExplicitSoftmaxBase,
    FromModel,
    OneLayerMixin,
    checked_prior,
)
from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._dask import fit_blocks, is_collection, take_over
from explicit_softmax._refinement import Refinement
from explicit_softmax._sklearn import (
    FitReport,
    MetadataRouter,
    MethodMapping,
    _fit_context,
    _safe_indexing,
    accepts_weights,
    after_each,
    process_routing,
    routing_enabled,
    warn_caller,
)
from explicit_softmax.calibration.model import ExplicitModel, Settings
from explicit_softmax.calibration.sample import BUDGETS, RowSample
from explicit_softmax.calibration.search import (
    Fold,
    Grid,
    Scored,
    counting,
    score_by_folds,
    score_by_leave_one_out,
)
from explicit_softmax.solution.counts import CooccurrenceCounts, row_norms

# Candidates that differ by rounding alone, as all norm exponents do where rows have one
# norm, have scores that differ by some units in the last of sixteen digits, times the
# steps by which a loss was minimised; no choice should hang on them.
_ROUNDING = 1e-9


class ExplicitSoftmaxClassifierCV(OneLayerMixin, ExplicitSoftmaxBase):
    """Explicit softmax classifier that chooses its hyper-parameters by leave-one-out.

    Needs no arguments. Priming number, smoothing strength, norm exponent, inverse
    temperatures, and intercepts minimise the exact leave-one-out log-loss, for which no
    model is fitted again and no rows are set aside.

    Parameters
    ----------
    priming_numbers : array-like of float or "mean_norm", default=("mean_norm",)
        Candidates of K. They matter under ``translation="column"``, and a warning says
        so elsewhere.
    smoothing_strengths : array-like of float, default=(0.03, 0.1, 0.3, 1.0)
        Candidates of the smoothing strength.
    norm_exponents : array-like of float, default=(0.0, 0.25, 0.5, 0.75, 1.0)
        Candidates of the norm exponent. Each takes a pass over the data.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `ExplicitSoftmaxClassifier`. `smoothing_strengths` have no effect for
        "noise" and None.
    translation : {"column", "intercept", "exact"}, default="exact"
        As in `ExplicitSoftmaxClassifier`. By leave-one-out, candidates are compared
        before "exact" fits intercepts and translations; these are fitted for the best.
    inverse_temperature : "feature", "frequency", "auto", float, or array-like of \
shape (n_blocks,), default="feature"
        As in `ExplicitSoftmaxClassifier`. Candidates are compared by leave-one-out with
        one for each block; those of features or groups are chosen for the best.
    n_blocks : int or array-like of int, default=1
        As in `ExplicitSoftmaxClassifier`.
    class_weight, class_prior, fit_prior
        As in `ExplicitSoftmaxClassifier`. Candidates are compared by rows weighted by
        `class_weight`, and before `class_prior` replaces the frequencies.
    cv : None, int, cross-validation generator, or iterable, default=None
        None is exact leave-one-out over at most 2,048 rows: fewer if these would store
        more than 2**20 features or 2**18 scores, but at least 1,024. Otherwise the
        folds of scikit-learn's `check_cv`: rows are counted once for each norm
        exponent, and the counts without a fold are those of all less those of the fold.
        What is "auto" is chosen in each fold by as many rows as without folds; the
        intercepts of "exact" start from those of the smoothing strength before, so that
        a mean log-loss is that of single fits to about 1e-5.
    scoring : str or callable, default="neg_log_loss"
        What is best, by scikit-learn's convention. Inverse temperatures and intercepts
        minimise the log-loss whatever it is. Scorers get weights if there are any and
        they take them; with metadata routing, if they ask for them.
    n_jobs : int, default=None
        Threads over norm exponents or folds.
    store_cv_results : bool, default=False
        Whether `cv_results_` also has the log-likelihood of each row
        (``cv=None``) or the score of each fold.
    clip : bool, default=False
        As in `ExplicitSoftmaxClassifier`.
    warm_start : bool, default=False
        Whether the chosen solution is refined, as in `ExplicitSoftmaxClassifier`.
    refinement : Refinement, default=None
        As in `ExplicitSoftmaxClassifier`.

    Attributes
    ----------
    best_score_ : float
        Score of the best candidate: the first of those whose scores differ from the
        highest by rounding alone, a relative 1e-9. They share rank 1.
    cv_results_ : dict of str to ndarray
        ``params``, ``param_priming_number``, ``param_smoothing_strength``,
        ``param_norm_exponent``, ``mean_test_score``, ``rank_test_score``, one entry a
        candidate. With `store_cv_results` also ``row_log_likelihood`` of shape
        (n_candidates, n_rows) and ``row_index`` (n_rows,), or ``split0_test_score`` and
        so on with ``std_test_score``.
    priming_number_, smoothing_strength_, norm_exponent_ : float
        Those of the best candidate.
    inverse_temperature_ : float or ndarray of shape (n_features,) or (n_blocks,)
        Inverse temperature of the best candidate; unless "feature", fitted to at most
        16,384 rows, or fewer if these would store more than 2**24 features or 2**19
        scores.
    norm_weight_ : float
        Norm weight of the best candidate.
    classes_, coef_, intercept_, class_count_, feature_count_, loss_curve_, n_iter_, \
validation_scores_, n_features_in_, feature_names_in_
        As in `ExplicitSoftmaxClassifier`.

    See Also
    --------
    ExplicitSoftmaxClassifier : Chooses all but priming number and norm exponent, in a
        fraction of the time, and streams.
    sklearn.linear_model.RidgeCV : Leave-one-out for ridge regression.

    Notes
    -----
    A collection of Dask has "frequency" in place of "feature" as its temperatures. Of
    a collection of Dask, at most 4,096 rows are searched, those that
    `ExplicitSoftmaxClassifier` samples, as if there were no others; then all rows are
    counted once with what was found.

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
        **{
            name: constraint
            for name, constraint in ONE_LAYER.items()
            if name not in ("smoothing_strength", "norm_exponent")
        },
        "priming_numbers": ["array-like"],
        "smoothing_strengths": ["array-like"],
        "norm_exponents": ["array-like"],
        "cv": ["cv_object"],
        "scoring": [str, callable],
        "n_jobs": [Integral, None],
        "store_cv_results": ["boolean"],
    }

    cv_results_: dict[str, Any]
    norm_exponent_ = FromModel("settings.norm_exponent")

    def __init__(
        self,
        *,
        priming_numbers: ArrayLike = ("mean_norm",),
        smoothing_strengths: ArrayLike = (0.03, 0.1, 0.3, 1.0),
        norm_exponents: ArrayLike = (0.0, 0.25, 0.5, 0.75, 1.0),
        smoothing: str | None = "prior",
        translation: str = "exact",
        inverse_temperature: float | ArrayLike | str = "feature",
        n_blocks: Any = 1,
        class_weight: Any = None,
        class_prior: ArrayLike | None = None,
        fit_prior: bool = True,
        cv: Any = None,
        scoring: Any = "neg_log_loss",
        n_jobs: int | None = None,
        store_cv_results: bool = False,
        clip: bool = False,
        warm_start: bool = False,
        refinement: Refinement | None = None,
    ) -> None:
        self.priming_numbers = priming_numbers
        self.smoothing_strengths = smoothing_strengths
        self.norm_exponents = norm_exponents
        self.smoothing = smoothing
        self.translation = translation
        self.inverse_temperature = inverse_temperature
        self.n_blocks = n_blocks
        self.class_weight = class_weight
        self.class_prior = class_prior
        self.fit_prior = fit_prior
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.store_cv_results = store_cv_results
        self.clip = clip
        self.warm_start = warm_start
        self.refinement = refinement

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
        X, y, sample_weight : array-like
            As in `ExplicitSoftmaxClassifier.fit`. Weights apply to losses as well.
        **params : dict
            Passed on by metadata routing to the splitter and the scorer. Without
            metadata routing, ``groups`` for the splitter.

        Returns
        -------
        self : ExplicitSoftmaxClassifierCV

        Raises
        ------
        ValueError
            If a grid is empty or has values out of range, and as
            `ExplicitSoftmaxClassifier.fit`.
        """
        if is_collection(X):
            return self._fit_blocks(X, y, sample_weight, params)
        shared = Settings(
            priming_number="mean_norm",
            inverse_temperature=self.inverse_temperature,
            smoothing=self.smoothing,
            smoothing_strength="auto",
            norm_exponent=0.0,
            translation=self.translation,
            n_blocks=self.n_blocks,
        )
        # Candidates are compared with one temperature for each block.
        compared = shared
        if shared.is_by_frequency:
            compared = replace(shared, inverse_temperature="auto")
        grid = Grid.checked(
            compared,
            self.priming_numbers,
            self.smoothing_strengths,
            self.norm_exponents,
        )
        if self.translation != "column" and grid.priming_numbers != ["mean_norm"]:
            warn_caller(
                "priming_numbers have no effect under "
                f"translation={self.translation!r}, only under translation='column'"
            )
        routed = self._routed(sample_weight, params)

        def solve(
            rows: Any, codes: Any, weights: Any, report: FitReport
        ) -> ExplicitModel:
            train = rows, codes, weights
            n_classes = len(self.classes_)
            n_scores = n_classes * len(shared.blocks(rows.shape[1]))
            counts = None
            if self.cv is None:
                limit = BUDGETS["candidates"].limit(n_scores)
                sample = RowSample.from_rows(*train, limit)
                count = counting(grid, rows, codes, n_classes, weights)
                best = self._search_by_leave_one_out(
                    grid, count, weights, sample, routed, report
                )
                if sp.issparse(rows):  # whose entries are looked up by now
                    counts = count(best["norm_exponent"])
                del count  # and what it looked up
            else:
                best = self._search_by_folds(grid, train, routed, report)
            settings = replace(shared, **best)
            limit = BUDGETS["best_candidate"].limit(n_scores)
            if settings.is_by_feature:
                limit = settings.sample_limit(rows.shape[1], n_classes)
            with report.stage("solve", settings.n_steps):
                model = ExplicitModel.from_rows(
                    rows, codes, n_classes, settings, weights, limit, counts
                )
                # No counts are added later: the sampled rows are not needed again.
                return model.without_sample()

        prior = partial(checked_prior, self.class_prior, self.fit_prior)
        return self._fit(X, y, sample_weight, solve, prior)

    def _fit_blocks(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any]
    ) -> Self:
        """Search on a sample of a collection of Dask, then one pass over all rows."""
        if params:
            raise ValueError(f"fit to a collection of Dask does not take {set(params)}")
        shared = {"n_blocks": self.n_blocks, "clip": self.clip}
        whole = ExplicitSoftmaxClassifier(warm_start=self.warm_start, **shared)
        sample = fit_blocks(whole, X, y, sample_weight)._model.sample
        # The sample may lack classes.
        search = clone(self).set_params(class_prior=None, fit_prior=True)
        search.fit(sample.X, whole.classes_[sample.y], sample.weights)
        names = ["priming_number", "smoothing_strength", "norm_exponent"]
        shared |= {name: getattr(search._model.settings, name) for name in names}
        names = ["smoothing", "translation", "inverse_temperature"]
        names += ["class_weight", "class_prior", "fit_prior"]
        shared |= {name: getattr(self, name) for name in names}
        if search._model.settings.is_by_feature:
            shared["inverse_temperature"] = "frequency"  # which counts suffice for
        found = fit_blocks(ExplicitSoftmaxClassifier(**shared), X, y, sample_weight)
        found._model = found._model.without_sample()
        take_over(self, found)
        self.cv_results_, self.best_score_ = search.cv_results_, search.best_score_
        return self

    def get_metadata_routing(self) -> Any:
        """Metadata routing: to the splitter of `cv`, and to the scorer."""
        router = MetadataRouter(owner=self).add_self_request(self)
        if self.cv is not None:
            router.add(
                splitter=check_cv(self.cv, classifier=True),
                method_mapping=MethodMapping().add(caller="fit", callee="split"),
            )
        if self._scorer is not None:
            router.add(
                scorer=self._scorer,
                method_mapping=MethodMapping().add(caller="fit", callee="score"),
            )
        return router

    @property
    def _scorer(self) -> Any:
        """What scores; None for the log-loss, which needs no scorer."""
        return None if self.scoring == "neg_log_loss" else get_scorer(self.scoring)

    def _score_params(
        self, routed: Any, members: Any, weights: NDArray[np.float64] | None
    ) -> dict[str, Any]:
        """What the scorer is passed for some rows; weights if it takes them."""
        params = dict(routed.scorer.score)
        asked = "sample_weight" in params
        if not routing_enabled():
            asked = weights is not None and accepts_weights(self._scorer)
        params = {
            name: _safe_indexing(values, members)
            for name, values in params.items()
            if name != "sample_weight"
        }
        return params | ({"sample_weight": weights} if asked else {})

    def _search_by_leave_one_out(
        self,
        grid: Grid,
        count: Callable[[float], CooccurrenceCounts],
        weights: NDArray[np.float64] | None,
        sample: RowSample,
        routed: Any,
        report: FitReport,
    ) -> dict[str, Any]:
        scorer = self._scorer
        filled = sample.part(np.flatnonzero(row_norms(sample.X) > 0))
        places: Any = filled.members
        members = np.arange(len(filled.y))
        if weights is None:  # scorers see equal rows, which are kept once, as often
            members = np.repeat(members, filled.weights.astype(np.intp))
        rows, labels = filled.X[members], self.classes_[filled.y[members]]

        def score(candidate: Scored) -> tuple[float, NDArray[np.float64]]:
            held_out, scores = candidate.held_out, candidate.scores
            own = np.arange(len(held_out.y)), held_out.y
            row_log_likelihood = log_softmax(scores, axis=1)[own]
            if scorer is None:
                return -candidate.log_loss, row_log_likelihood
            some = None if weights is None else filled.weights
            params = self._score_params(routed, places[members], some)
            classifier = _LeftOut(self.classes_, scores[members])
            return float(scorer(classifier, rows, labels, **params)), row_log_likelihood

        with report.stage("search", len(list(grid.candidates()))) as step:
            scored = score_by_leave_one_out(
                grid,
                count,
                sample,
                after_each(score, step),
                self.n_jobs,
            )
        best = self._record(grid, np.array([value for value, _ in scored]))
        if self.store_cv_results:
            self.cv_results_ |= {
                "row_log_likelihood": np.array([row for _, row in scored]),
                "row_index": places,
            }
        return best

    def _search_by_folds(
        self, grid: Grid, train: tuple[Any, Any, Any], routed: Any, report: FitReport
    ) -> dict[str, Any]:
        rows, codes, weights = train
        splitter = check_cv(self.cv, codes, classifier=True)
        folds = list(splitter.split(rows, codes, **routed.splitter.split))
        _check_folds(folds)
        scorer = self._scorer

        def score(model: ExplicitModel, fold: Fold) -> float:
            test = fold.members
            part = None if weights is None else weights[test]
            if scorer is None:
                return -fold.log_loss(model, codes[test], part)
            classifier = copy(self)
            classifier._model = model
            # Rows have no names here.
            classifier.__dict__.pop("feature_names_in_", None)
            params = self._score_params(routed, test, part)
            labels = self.classes_[codes[test]]
            return float(scorer(classifier, rows[test], labels, **params))

        n_steps = len(folds) * len(list(grid.candidates()))
        with report.stage("search", n_steps) as step:
            by_fold = score_by_folds(
                grid,
                *train,
                len(self.classes_),
                folds,
                after_each(score, step),
                self.n_jobs,
            )
        best = self._record(grid, np.nanmean(by_fold, axis=0))
        if self.store_cv_results:
            for i, row in enumerate(by_fold):
                self.cv_results_[f"split{i}_test_score"] = row
            self.cv_results_["std_test_score"] = np.nanstd(by_fold, axis=0)
        return best

    def _record(self, grid: Grid, scores: NDArray[np.float64]) -> dict[str, Any]:
        """Set `cv_results_` and `best_score_`; the best candidate."""
        params = list(grid.candidates())
        ranks = _ranks(scores)
        best = int(ranks.argmin())
        self.cv_results_ = {"params": params}
        for name in params[0]:
            values = np.array([candidate[name] for candidate in params], dtype=object)
            self.cv_results_[f"param_{name}"] = values
        self.cv_results_["mean_test_score"] = scores
        self.cv_results_["rank_test_score"] = ranks
        self.best_score_ = float(scores[best])
        return params[best]

    def _routed(self, sample_weight: Any, params: dict[str, Any]) -> Any:
        """Metadata of the splitter and the scorer."""
        if routing_enabled():
            weights = {} if sample_weight is None else {"sample_weight": sample_weight}
            if self._scorer is not None:
                params = params | weights
            routed = process_routing(self, "fit", **params) if params else {}
            nothing = {"splitter": Bunch(split={}), "scorer": Bunch(score={})}
            return Bunch(**(nothing | routed))
        if set(params) - {"groups"} or (params and self.cv is None):
            raise ValueError(
                f"fit got {sorted(params)}: without metadata routing, only groups can "
                "be passed, and only for a splitter given as cv, not for leave-one-out "
                "(cv=None)"
            )
        return Bunch(splitter=Bunch(split=params), scorer=Bunch(score={}))


class _LeftOut(ClassifierMixin, BaseEstimator):
    """A classifier for scorers whose scores of the rows are known: without each row."""

    def __init__(self, classes: Any, scores: Any) -> None:
        self.classes = classes
        self.scores = scores
        self.classes_ = classes

    def decision_function(self, X: Any) -> Any:
        if len(self.classes_) == 2:
            return self.scores[:, 1] - self.scores[:, 0]
        return log_softmax(self.scores, axis=1)

    def predict_proba(self, X: Any) -> Any:
        return softmax(self.scores, axis=1)

    def predict(self, X: Any) -> Any:
        return self.classes_[self.scores.argmax(axis=1)]


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.int32]:
    """Ranks from 1, the best; candidates that differ by rounding alone have the same.

    NaN, where rows without any feature leave nothing to compare by, is worst.
    """
    known = np.nan_to_num(scores, nan=-np.inf)
    order = np.argsort(-known)
    ordered = known[order]
    for i in range(1, len(ordered)):
        if np.isclose(ordered[i], ordered[i - 1], rtol=_ROUNDING, atol=0.0):
            ordered[i] = ordered[i - 1]
    ranks = np.empty(len(scores), dtype=np.int32)
    ranks[order] = rankdata(-ordered, method="min")
    return ranks


def _check_folds(folds: list[Any]) -> None:
    if not folds:
        raise ValueError("cv has no folds")
    for number, fold in enumerate(folds):
        for members, purpose in zip(fold, ("fit", "score"), strict=True):
            if not len(members):
                raise ValueError(f"fold {number} of cv has no rows to {purpose}")
