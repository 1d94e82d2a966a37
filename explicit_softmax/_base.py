"""What explicit classifiers share once they are solved: predictions and attributes."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._predictions import ScoringClassifier
from explicit_softmax._sklearn import Interval, StrOptions, restored_on_error
from explicit_softmax.calibration.model import Setting, Solution, solve_counts
from explicit_softmax.calibration.sample import RetainedRows
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.theorem import Layout

# Parameters that all explicit classifiers have.
SHARED_CONSTRAINTS: dict[str, list[Any]] = {
    "inverse_temperature": [
        StrOptions({"auto"}),
        Interval(Real, 0, None, closed="left"),
        "array-like",
    ],
    "smoothing": [StrOptions({"uniform", "prior", "noise"}), None],
    "norm_weight": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
    "translation": [StrOptions({"column", "intercept", "exact"})],
    "n_blocks": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "warm_start": ["boolean"],
    "solver": [StrOptions({"adagrad", "sgd", "lbfgs"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "batch_size": [Interval(Integral, 1, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
}


class BaseExplicitClassifier(ScoringClassifier):
    """Predictions from a decoder that is solved when it is first read.

    A subclass sets `classes_` and the private attributes below, and has `_setting`.
    """

    _counts: CooccurrenceCounts
    _retained: RetainedRows
    _solution: Solution | None
    _layout: Layout
    _refined: bool
    _dtype: Any

    def _setting(self) -> Setting:
        raise NotImplementedError

    def sparsify(self) -> Self:
        """Store the weights of non-zero co-occurrences only, and the rest as low rank.

        Probabilities stay the same. Many classes times many features then take memory
        in proportion to the co-occurrences; with sparse rows this is chosen without
        being asked where it saves much.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        ValueError
            If the model was refined: refined weights are dense.
        """
        check_is_fitted(self)
        if self._refined:
            raise ValueError(
                "sparsify cannot help: this model was refined, and all its weights may "
                "differ from zero. Fit with warm_start=False to keep a sparse one."
            )
        return self._lay_out("sparse")

    def densify(self) -> Self:
        """Store all weights in one dense array, the fastest to predict with.

        Returns
        -------
        self : ExplicitSoftmaxClassifier
        """
        check_is_fitted(self)
        if not self._refined:
            self._lay_out("dense")
        return self

    def to_logistic_regression(self) -> LogisticRegression:
        """The same model as a fitted LogisticRegression, for tools that expect one.

        Returns
        -------
        model : sklearn.linear_model.LogisticRegression
            With the same probabilities, but for rows without any feature, which get
            those of its intercepts.

        Raises
        ------
        ValueError
            If ``norm_exponent`` is not zero, which makes the scores non-linear in the
            features, or if there is one class only.
        """
        check_is_fitted(self)
        exponent = self._solved().decoder.norm_exponent
        if exponent != 0:
            raise ValueError(
                "to_logistic_regression needs norm_exponent=0: with norm_exponent="
                f"{exponent} the scores are not linear in the features"
            )
        if len(self.classes_) < 2:
            raise ValueError(
                "to_logistic_regression needs two or more classes, and this model has "
                "seen one"
            )
        model = LogisticRegression()
        coef, intercept = self.coef_, self.intercept_
        if len(self.classes_) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        model.classes_ = self.classes_.copy()
        model.coef_, model.intercept_ = coef, intercept.copy()
        model.n_iter_ = np.array([self.n_iter_])
        model.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_.copy()
        return model

    @property
    def coef_(self) -> NDArray[Any]:
        return np.ascontiguousarray(self._solved().decoder.dense_weights().T)

    @property
    def intercept_(self) -> NDArray[Any]:
        return np.asarray(self._solved().decoder.intercept)

    @property
    def priming_number_(self) -> float:
        return self._solved().priming_number

    @property
    def inverse_temperature_(self) -> float | NDArray[np.float64]:
        beta = self._solved().calibration.beta
        return float(beta[0]) if len(beta) == 1 else beta

    @property
    def norm_weight_(self) -> float:
        return self._solved().calibration.norm_weight

    @property
    def class_count_(self) -> NDArray[np.float64]:
        self._require("class_count_")
        return self._counts.class_count

    @property
    def feature_count_(self) -> Any:
        self._require("feature_count_")
        counts = self._counts.cooccurrence
        return counts.T.tocsr() if sp.issparse(counts) else counts.T

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_counts")

    def _forget_refinement(self) -> None:
        """Leave nothing of the refinement of an earlier fit."""
        self._refined = False
        for name in ("loss_curve_", "validation_scores_"):
            self.__dict__.pop(name, None)

    def _require(self, name: str) -> None:
        # An AttributeError, so that hasattr works on an unfitted estimator.
        if not hasattr(self, "_counts"):
            raise AttributeError(
                f"{type(self).__name__} has no {name} before it is fitted"
            )

    def _solve(self, chosen: Solution | None = None) -> Solution:
        solution = solve_counts(
            self._setting(), self._counts, self._retained, self._layout, chosen
        )
        return replace(solution, decoder=solution.decoder.astype(self._dtype))

    def _solved(self) -> Solution:
        self._require("solution")
        solution: Solution | None = self._solution
        if solution is None:
            solution = self._solution = self._solve()
        return solution

    def _lay_out(self, layout: Layout) -> Self:
        chosen = self._solved()
        with restored_on_error(self):
            self._layout = layout
            self._solution = self._solve(chosen)
        return self

    def _raw_scores(self, rows: Any) -> NDArray[Any]:
        decoder = self._solved().decoder
        if decoder.intercept.dtype != rows.dtype:
            decoder = decoder.astype(rows.dtype)
        return decoder.scores(rows)
