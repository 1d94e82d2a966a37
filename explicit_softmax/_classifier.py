"""ExplicitSoftmaxClassifier: softmax classification written down from counts."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.extmath import softmax
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from explicit_softmax._explicit_model import (
    Setting,
    Solution,
    count_and_keep,
    keep_limit,
    needs_rows,
    solve_counts,
)
from explicit_softmax._sklearn import (
    CallbackSupportMixin,
    FitReport,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    restored_on_error,
)
from explicit_softmax._warm_start import refine_solution, split_validation
from explicit_softmax.core.cooccurrence import raise_bad_value, row_blocks
from explicit_softmax.core.retained import RetainedRows

# Scores that `predict` holds at a time.
_CHUNK_VALUES = 2**20


class ExplicitSoftmaxClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
    """Softmax classifier whose weights are written down from co-occurrence counts.

    One pass over non-negative features (counts, frequencies, pixels) gives the
    co-occurrences F of features and classes and, without iteration, the weights
    U = log F - (K - 1)/K log S of [1]_, where S are the column sums of F and K is the
    norm of a row. The theorem as printed is ``inverse_temperature=1.0,
    smoothing=None``; by default the co-occurrences are smoothed, and one number, the
    inverse temperature, repairs the over-confidence of the theorem. It minimises the
    exact leave-one-out log-loss.

    The counts are additive: `partial_fit` streams them, `merge` adds those of other
    models, and `forget` takes rows out again. All of these give the same model as one
    `fit`, to the last bit where features and weights are integers and the inverse
    temperature is given. With ``warm_start=True`` the solution is the start of a
    log-loss refinement.

    Parameters
    ----------
    priming_number : "mean_norm" or float, default="mean_norm"
        K, the norm of a row (after `norm_exponent`); the mean over rows by default. It
        matters through the weight of the class prior, |h|/K for a row h.
    inverse_temperature : "auto", float, or array-like of shape (n_blocks,), \
default="auto"
        beta, what the evidence of the features is multiplied by, for all blocks or one
        by one. "auto" is the non-negative minimiser of the exact leave-one-out log-loss
        over at most 4,096 rows, or fewer so that they hold at most 2**20 stored
        features and 2**22 scores (classes times blocks), but no fewer than 256;
        ``translation="exact"`` uses four times as many rows and features. The rows are
        drawn with a fixed seed and kept with the model, in which they may take up to
        8 MiB (32 MiB); after `partial_fit` they are those of the latest batches.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        What is added to the co-occurrences. "prior" adds `smoothing_strength` times
        the number of classes times the marginal of the class, "uniform" adds
        `smoothing_strength` (Lidstone), "noise" is the noise model of Eq. 4 in [1]_ for
        one-hot features, and None adds nothing and raises where a co-occurrence is zero.
    smoothing_strength : float, default=0.1
        Strength of "prior" and "uniform" in units of the mean non-zero feature, so that
        the unit of the features does not matter.
    norm_exponent : float, default=0.0
        Rows are divided by ``norm ** norm_exponent`` before they are counted and scored:
        0 is the paper, 1 gives all rows the same norm, and 0.5 is often better for
        documents of different lengths.
    norm_weight : "auto" or float, default="auto"
        gamma, between 0 and 1: the weight of the mean norms K_i of the rows of the
        classes, which the class mass S_i = n_i K_i mixes with the class counts n_i. 1
        is the paper; 0 leaves the class counts alone as prior. "auto" is chosen
        together with the inverse temperature if that is "auto", is 1 if a number is
        given for that, and 0 under ``translation="exact"``. Of no effect where all rows
        have the same norm.
    translation : {"column", "intercept", "exact"}, default="column"
        Where the class prior stands: in the weights (Eq. 3), in intercepts, or in
        intercepts that minimise the leave-one-out log-loss together with the inverse
        temperature (Eq. 12). "exact" is better where classes are unbalanced. With more
        than 1,000 classes it fits the exponent of the class frequencies only.
    n_blocks : int or array-like of int, default=1
        Number of contiguous blocks of features of equal size, such as the positions of a
        window, or their sizes, such as those of the parts of a FeatureUnion. Each block
        has its own column sums and inverse temperature.
    warm_start : bool, default=False
        Whether `fit` hands the explicit solution to a log-loss refinement as its start.
        Elsewhere in scikit-learn the name means to start from the previous call to `fit`;
        here nothing is taken over from earlier calls.
    solver : {"adagrad", "sgd", "lbfgs"}, default="adagrad"
        Refinement: mini-batch Adagrad (as in [1]_) or gradient descent, whose result
        after each epoch is the mean of the weights over it, or L-BFGS on all rows,
        preconditioned where the features are dense and at most 2,048.
    learning_rate_init : float, default=0.05
        Step of Adagrad in units of one over the root mean square of a feature (centred
        where dense, non-zero where sparse), and of gradient descent in units of one over
        the mean square norm of a row; steps of 1 to 5 suit the latter.
    batch_size : int, default=256
        Rows of a mini-batch.
    max_iter : int, default=20
        Largest number of epochs, or of iterations of L-BFGS.
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2 * ||W - W_explicit||**2`` on the mean
        log-loss: it shrinks towards the explicit solution.
    tol : float, default=1e-4
        The refinement stops when the loss has not improved by `tol` nats for
        `n_iter_no_change` epochs; for L-BFGS, when no entry of the gradient exceeds it.
    early_stopping : bool, default=False
        Whether to set rows aside, from the counts also, stop when their log-loss no
        longer improves, and keep the weights that did best on them.
    validation_fraction : float, default=0.1
        Share of the rows set aside by `early_stopping`.
    n_iter_no_change : int, default=5
        Epochs or iterations without improvement before the refinement stops.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    random_state : int, RandomState instance, or None, default=None
        Order of rows and choice of the validation rows. The explicit solution does not
        depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    coef_ : ndarray of shape (n_classes, n_features)
        U', the decoder, two rows also for two classes. Made dense when read if the
        model is sparse. With ``smoothing="noise"`` it includes the embedding and is
        given up to a constant per feature, which no probability depends on.
    intercept_ : ndarray of shape (n_classes,)
        Zeros under ``translation="column"`` unless refined.
    class_count_ : ndarray of shape (n_classes,)
        Summed weights of the rows of each class.
    feature_count_ : ndarray or csr_array of shape (n_classes, n_features)
        F', the co-occurrences, as dense or sparse as the rows that were counted.
    priming_number_ : float
        K.
    inverse_temperature_ : float or ndarray of shape (n_blocks,)
        beta; a float for one block.
    norm_weight_ : float
        gamma.
    loss_curve_ : list of float
        Objective in nats by epoch or iteration; only after a refinement.
    n_iter_ : int
        Epochs or iterations of the refinement; 1, the pass that counts, without it.
    validation_scores_ : list of float or None
        Mean log-likelihood of the validation rows by epoch or iteration; None without
        `early_stopping`; only after a refinement.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, where all are strings.

    See Also
    --------
    sklearn.naive_bayes.MultinomialNB : The same solution where all rows have one norm,
        ``priming_number`` is that norm, and ``inverse_temperature=1``.
    sklearn.linear_model.LogisticRegression : The same model trained by iteration.

    Notes
    -----
    The weights are U = beta log F - beta log S + 1/K (log n + gamma log K_i), with
    S_i = n_i K_i. With gamma = 1, or where all rows have the same norm, this is
    U = beta log F - (beta - 1/K) log S, and beta = 1 is the theorem.

    A row without any feature gets the class frequencies as probabilities, unless the
    model is refined: then the intercepts decide. A class that was declared but not seen
    has a small finite probability.

    Predictions that return less than scores (`predict`, `score`) hold them in chunks.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Explicit Foundation Model Optimization with
       Self-Attentive Feed-Forward Neural Units", arXiv:2311.07498, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifier().fit(X[:1000], y[:1000])
    >>> round(clf.score(X[1000:], y[1000:]), 3)
    0.868
    >>> streamed = ExplicitSoftmaxClassifier()
    >>> for start in range(0, 1000, 100):
    ...     batch = slice(start, start + 100)
    ...     streamed = streamed.partial_fit(X[batch], y[batch], classes=range(10))
    >>> bool((streamed.feature_count_ == clf.feature_count_).all())
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "priming_number": [
            StrOptions({"mean_norm"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "inverse_temperature": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
            "array-like",
        ],
        "smoothing": [StrOptions({"uniform", "prior", "noise"}), None],
        "smoothing_strength": [Interval(Real, 0, None, closed="neither")],
        "norm_exponent": [Interval(Real, 0, None, closed="left")],
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

    def __init__(
        self,
        *,
        priming_number: float | str = "mean_norm",
        inverse_temperature: float | ArrayLike | str = "auto",
        smoothing: str | None = "prior",
        smoothing_strength: float = 0.1,
        norm_exponent: float = 0.0,
        norm_weight: float | str = "auto",
        translation: str = "column",
        n_blocks: int | ArrayLike = 1,
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
        self.priming_number = priming_number
        self.inverse_temperature = inverse_temperature
        self.smoothing = smoothing
        self.smoothing_strength = smoothing_strength
        self.norm_exponent = norm_exponent
        self.norm_weight = norm_weight
        self.translation = translation
        self.n_blocks = n_blocks
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
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> ExplicitSoftmaxClassifier:
        """Count the rows and write down the solution; refine it if `warm_start`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. An integer weight equals so many copies of the row.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        ValueError
            If a feature is negative or not finite, if all weights are zero, or if a
            co-occurrence is zero under ``smoothing=None``. An estimator that was
            fitted before stays as it was.
        """
        report = FitReport(
            self, X, y, sample_weight, self.max_iter if self.warm_start else 0
        )
        with restored_on_error(self):
            rows, labels, weights = self._check_rows_and_labels(
                X, y, sample_weight, reset=True
            )
            self.classes_, codes = np.unique(labels, return_inverse=True)
            validation = None
            if self.warm_start and self.early_stopping:
                (rows, codes, weights), validation = split_validation(
                    self, rows, codes, weights
                )
            self._counts, self._retained = count_and_keep(
                self._setting(), rows, codes, len(self.classes_), weights
            )
            self._dtype = rows.dtype
            self._refined = False
            self._layout = "auto"
            self._solution = self._solve()
            self.n_iter_ = 1
            if self.warm_start:
                refine_solution(self, rows, codes, weights, validation, report)
        report.end()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> ExplicitSoftmaxClassifier:
        """Add rows to the counts.

        The solution is written down anew when it is next read, so that many small
        batches cost no more than their counts.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.
        y : array-like of shape (n_samples,)
            Class labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur. Required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        ValueError
            As `fit`, and if a label is not among `classes`, if `classes` differs from
            that of an earlier call, or if the model is or is to be refined.
        """
        self._check_counts_only("partial_fit")
        with restored_on_error(self):
            first = not hasattr(self, "classes_")
            rows, labels, weights = self._check_rows_and_labels(
                X, y, sample_weight, reset=first
            )
            declared = self._declared_classes(classes)
            codes = _encode(labels, declared)
            setting = self._setting()
            counts, retained = count_and_keep(
                setting, rows, codes, len(declared), weights
            )
            if not first:
                counts = self._counts + counts
                limit = keep_limit(setting, rows, len(declared))
                retained = self._retained.followed_by(retained, limit)
            else:
                self._dtype = rows.dtype
                self._layout = "auto"
            self.classes_ = declared
            self.n_iter_ = 1
            self._replace_counts(counts, retained)
        return self

    def merge(self, *others: ExplicitSoftmaxClassifier) -> ExplicitSoftmaxClassifier:
        """Add the counts of other fitted models.

        Parameters
        ----------
        *others : ExplicitSoftmaxClassifier
            Models of the same classes, features, and parameters, such as those of the
            shards of a data set. They are not changed. Shards that lack classes are
            made with ``partial_fit(..., classes=...)``.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        TypeError
            If one of them is not an ExplicitSoftmaxClassifier.
        ValueError
            If classes, features, or parameters differ, or if a model is refined.
        """
        check_is_fitted(self)
        self._check_counts_only("merge")
        counts, retained = self._counts, self._retained
        limit = 0
        for other in others:
            self._check_mergeable(other)
            counts = counts + other._counts
            total = len(retained.codes) + len(other._retained.codes)
            retained = retained.followed_by(other._retained, total)
        if others and needs_rows(self._setting()):
            limit = keep_limit(self._setting(), retained.rows, len(self.classes_))
        retained = RetainedRows.draw(
            retained.rows, retained.codes, retained.weights, limit
        )
        if others:
            self._replace_counts(counts, retained)
        return self

    def forget(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> ExplicitSoftmaxClassifier:
        """Take rows out of the counts again.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that were counted.
        y : array-like of shape (n_samples,)
            The labels they were counted with.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights they were counted with, or parts of these.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        ValueError
            If more is taken out than was counted, if a label is unknown, or if the
            model is refined.
        """
        check_is_fitted(self)
        self._check_counts_only("forget")
        with restored_on_error(self):
            rows, labels, weights = self._check_rows_and_labels(
                X, y, sample_weight, reset=False
            )
            codes = _encode(labels, self.classes_)
            counts, _ = count_and_keep(
                self._setting(), rows, codes, len(self.classes_), weights
            )
            self._replace_counts(
                self._counts - counts, self._retained.without(rows, codes, weights)
            )
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Log-odds: unnormalised log-probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Up to a constant for each row; for two classes, the log-odds of
            ``classes_[1]``.
        """
        scores = self._scores(self._check_rows(X))
        if len(self.classes_) == 2:
            return np.asarray(scores[:, 1] - scores[:, 0])
        return scores

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Log-probabilities (n_samples, n_classes) in nats; see `predict_proba`."""
        return np.asarray(log_softmax(self._scores(self._check_rows(X)), axis=1))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; float32 where `X` is.
        """
        return np.asarray(softmax(self._scores(self._check_rows(X)), copy=False))

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        rows = self._check_rows(X)
        codes = np.empty(rows.shape[0], dtype=np.intp)
        for chunk in row_blocks(rows.shape[0], len(self.classes_), _CHUNK_VALUES):
            codes[chunk] = self._scores(rows[chunk]).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def sparsify(self) -> ExplicitSoftmaxClassifier:
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
            If the model is refined: refined weights are dense.
        """
        check_is_fitted(self)
        if self._refined:
            raise ValueError(
                "sparsify cannot help a refined model: all its weights may differ "
                "from zero. Fit with warm_start=False to keep a sparse one."
            )
        return self._lay_out("sparse")

    def densify(self) -> ExplicitSoftmaxClassifier:
        """Store all weights in one dense array, the fastest to predict with.

        Returns
        -------
        self : ExplicitSoftmaxClassifier
        """
        check_is_fitted(self)
        return self if self._refined else self._lay_out("dense")

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
        if self.norm_exponent != 0:
            raise ValueError(
                "to_logistic_regression needs norm_exponent=0: with norm_exponent="
                f"{self.norm_exponent} the scores are not linear in the features"
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
        beta = self._solved().beta
        return float(beta[0]) if len(beta) == 1 else beta

    @property
    def norm_weight_(self) -> float:
        return self._solved().norm_weight

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        # Non-negative features of one sign and scale are the domain of the model;
        # shifted Gaussian blobs are not.
        tags.classifier_tags.poor_score = True
        return tags

    def _setting(self) -> Setting:
        return Setting(
            self.priming_number,
            self.inverse_temperature,
            self.smoothing,
            self.smoothing_strength,
            self.norm_exponent,
            self.norm_weight,
            self.translation,
            self.n_blocks,
        )

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
        if self._solution is None:
            self._solution = self._solve()
        return self._solution

    def _lay_out(self, layout: str) -> ExplicitSoftmaxClassifier:
        chosen = self._solved()
        with restored_on_error(self):
            self._layout = layout
            self._solution = self._solve(chosen)
        return self

    def _replace_counts(self, counts: Any, retained: RetainedRows) -> None:
        self._counts = counts
        self._retained = retained
        self._refined = False
        self._solution = None

    def _scores(self, rows: Any) -> NDArray[Any]:
        decoder = self._solved().decoder
        if decoder.intercept.dtype != rows.dtype:
            decoder = decoder.astype(rows.dtype)
        scores = decoder.scores(rows)
        # Features that are not finite give scores that are not: no pass of its own.
        if not np.isfinite(scores).all():
            values = rows.data if sp.issparse(rows) else rows
            if not np.isfinite(values).all():
                raise_bad_value(rows, 0)
        return scores

    def _check_rows(self, X: Any) -> Any:
        check_is_fitted(self)
        rows = validate_data(
            self,
            X,
            reset=False,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
        )
        values = rows.data if sp.issparse(rows) else rows
        if not values.min(initial=0.0) >= 0:  # NaN is not >= 0
            raise_bad_value(rows, 0)
        return rows

    def _check_rows_and_labels(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
        # Features are checked while they are counted, in the same pass over memory.
        rows, labels = validate_data(
            self,
            X,
            y,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
        )
        check_classification_targets(labels)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, rows, dtype=np.float64, ensure_non_negative=True
            )
            if not weights.any():
                raise ValueError("sample_weight is zero for all rows: nothing to count")
        return rows, labels, weights

    def _declared_classes(self, classes: Any) -> NDArray[Any]:
        declared = None if classes is None else unique_labels(classes)
        if not hasattr(self, "classes_"):
            if declared is None:
                raise ValueError(
                    "classes must be passed on the first call to partial_fit"
                )
            return declared
        if declared is not None and not np.array_equal(declared, self.classes_):
            raise ValueError(
                f"classes={classes!r} is not the same as on the last call to "
                f"partial_fit or fit: {self.classes_!r}"
            )
        return self.classes_

    def _check_counts_only(self, method: str) -> None:
        if self.warm_start or getattr(self, "_refined", False):
            raise ValueError(
                f"{method} changes counts, and a refined model no longer follows from "
                "its counts. Use warm_start=False, and fit again if it was refined."
            )

    def _check_mergeable(self, other: Any) -> None:
        if not isinstance(other, ExplicitSoftmaxClassifier):
            raise TypeError(
                "merge takes fitted ExplicitSoftmaxClassifier models, not "
                f"{type(other).__name__}"
            )
        check_is_fitted(other)
        other._check_counts_only("merge")
        if not np.array_equal(self.classes_, other.classes_):
            raise ValueError(
                "models with different classes cannot be merged: "
                f"{self.classes_!r} and {other.classes_!r}. Declare all classes by "
                "partial_fit(..., classes=...)."
            )
        if self.n_features_in_ != other.n_features_in_:
            raise ValueError(
                "models with different features cannot be merged: they have "
                f"{self.n_features_in_} and {other.n_features_in_}"
            )
        names = getattr(self, "feature_names_in_", None)
        other_names = getattr(other, "feature_names_in_", None)
        if not np.array_equal(names, other_names):
            raise ValueError(
                "models with different feature names cannot be merged: "
                f"{names!r} and {other_names!r}"
            )
        mine, theirs = vars(self._setting()), vars(other._setting())
        for name, value in mine.items():
            if not np.array_equal(value, theirs[name]):
                raise ValueError(
                    f"models with different {name} cannot be merged: {value!r} and "
                    f"{theirs[name]!r}"
                )


def _encode(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Positions of labels in sorted classes; ValueError names labels not in there."""
    unknown = np.setdiff1d(labels, classes)
    if unknown.size:
        raise ValueError(
            f"y contains labels that are not in classes: {unknown[:10].tolist()}. "
            f"Known are {classes[:10].tolist()}{' ...' if len(classes) > 10 else ''}"
        )
    return np.searchsorted(classes, labels)
