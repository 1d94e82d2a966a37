"""ExplicitSoftmaxClassifier: softmax classification written down from counts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._base import (
    ONE_LAYER,
    ExplicitSoftmaxBase,
    OneLayerMixin,
    checked_prior,
    class_weighted,
)
from explicit_softmax._dask import fit_blocks, is_collection, partial_fit_blocks
from explicit_softmax._refinement import Refinement
from explicit_softmax._sklearn import (
    FitReport,
    Interval,
    StrOptions,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.calibration.model import ExplicitModel, Settings
from explicit_softmax.calibration.sample import Limit


def _is_countable(clf: Any) -> bool:
    """Whether there is `partial_fit`: AttributeError for a refined model."""
    model: ExplicitModel | None = vars(clf).get("_model")
    if model is not None and model.refined is not None:
        raise AttributeError(
            "partial_fit changes counts, and this model was refined: it no longer "
            "follows from its counts. Fit again with warm_start=False."
        )
    return True


class ExplicitSoftmaxClassifier(OneLayerMixin, ExplicitSoftmaxBase):
    """Softmax classifier whose weights are written down from co-occurrence counts.

    One pass over non-negative features (counts, frequencies, pixels) gives the
    co-occurrences F of features and classes and, without iteration, the weights
    U = log F - (K - 1)/K log S of [1]_, where S are the column sums of F and K is the
    norm of a row. The theorem as printed is ``inverse_temperature=1.0, smoothing=None,
    norm_exponent=0.0, translation="column"``. By default the co-occurrences are
    smoothed, rows are scaled by the square root of their norm, and an inverse
    temperature and intercepts correct the over-confidence of the theorem. All of these
    numbers minimise the exact leave-one-out log-loss of a sample of the rows.

    The counts are additive: `partial_fit` streams them, `merge` adds those of other
    models, and `forget` takes rows out again, each in place. `partial_fit` and `merge`
    give the same model as one `fit`, to the last bit where features and weights are
    integers. With ``warm_start=True`` a log-loss refinement starts from the solution.

    Parameters
    ----------
    priming_number : "mean_norm" or float, default="mean_norm"
        K, the norm of a row (after `norm_exponent`); the mean over rows by default. It
        sets the weight of the class prior under ``translation="column"``, ``|h|/K`` for
        a row h, and has no effect otherwise.
    inverse_temperature : "frequency", "auto", "feature", float, or array-like of \
shape (n_blocks,), default="frequency"
        beta, the factor of the evidence of the features: one for all blocks, or one for
        each. "auto" is the non-negative minimiser of the exact leave-one-out log-loss
        over at most 4,096 rows: fewer if these would store more than 2**21 features
        (2**20 without ``translation="exact"``) or 2**20 scores (classes times blocks),
        but at least 256. They are the rows with the smallest hash of their content,
        whatever the order, and are stored in the model. "frequency" goes on to one for
        each group of features that occur in a like number of rows (1, 2, 3, 4 to 7, 8
        to 15, ..., 4,096 or more) of each block, except where more than a tenth of all
        features are non-zero. "feature" has one for every feature, with a prior around
        that of its block, and takes all rows, up to 2**26 stored features and 2**30
        scores, with a warning where there are more: `fit` only, not `partial_fit`,
        `merge`, and `forget`.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        What is added to the co-occurrences. "prior" adds `smoothing_strength` times the
        number of classes times the marginal of the class, "uniform" adds
        `smoothing_strength` (Lidstone), "noise" is the noise model of Eq. 4 in [1]_ for
        one-hot features, and None adds nothing and raises where a co-occurrence is
        zero.
    smoothing_strength : "auto" or float, default="auto"
        Strength of "prior" and "uniform" in units of the mean non-zero feature: the
        unit of the features does not matter. "auto" has the least leave-one-out
        log-loss on at most 1,024 rows.
    norm_exponent : float, default=0.5
        Rows are divided by ``norm ** norm_exponent`` before they are counted and
        scored: 0 is the paper, and 1 gives all rows the same norm.
    translation : {"column", "intercept", "exact"}, default="exact"
        Where the class prior stands: in the weights (Eq. 3); in intercepts (the paper's
        second implementation); or in intercepts and translations of the columns of
        weights that minimise the leave-one-out log-loss together with the inverse
        temperature (Eq. 12), which matters where classes are unbalanced. With more than
        1,000 classes, or less than two sampled rows for each, "exact" fits the exponent
        of the class frequencies only.
    n_blocks : int or array-like of int, default=1
        Number of contiguous blocks of features of equal size, such as the positions of
        a window, or their sizes, such as those of the parts of a FeatureUnion. Each
        block has its own column sums and inverse temperature.
    class_weight : dict, "balanced", or None, default=None
        Factors of the weights of rows by class, as in
        :class:`~sklearn.linear_model.LogisticRegression`: classes that a dict leaves
        out have 1, and "balanced" gives all classes the same sum, which needs all rows
        at once (`fit`).
    class_prior : array-like of shape (n_classes,), default=None
        Class probabilities where the model is used, in place of the class frequencies
        of the rows, by which it is fitted and refined. They are normalised.
    fit_prior : bool, default=True
        With False, and no `class_prior`, all classes have the same prior probability,
        as in :class:`~sklearn.naive_bayes.MultinomialNB`.
    clip : bool, default=False
        Whether negative features count as zero, such as those of test rows below the
        range that a :class:`~sklearn.preprocessing.MinMaxScaler` was fitted on. They
        are an error otherwise.
    warm_start : bool, default=False
        Whether `fit` hands the explicit solution to a log-loss refinement as its start.
        Elsewhere in scikit-learn the name means to start from the previous call to
        `fit`; here nothing is carried over from earlier calls.
    refinement : Refinement, default=None
        Solver, steps, and stopping rules of the refinement; ``Refinement()`` by
        default. Without effect if `warm_start` is False.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    coef_ : ndarray of shape (n_classes, n_features)
        U', the decoder, centred over classes, with two rows for two classes. A model
        that stores the weights of non-zero counts only, as many classes times many
        sparse features do, has none before `densify`. With ``smoothing="noise"`` it
        includes the embedding.
    intercept_ : ndarray of shape (n_classes,)
        Centred over classes. Zeros under ``translation="column"`` unless refined.
    class_count_ : ndarray of shape (n_classes,)
        Summed weights of the rows of each class.
    feature_count_ : ndarray or csr_array of shape (n_classes, n_features)
        F', the co-occurrences, as dense or sparse as the rows that were counted.
    priming_number_ : float
        The priming number K.
    inverse_temperature_ : float or ndarray of shape (n_blocks,) or (n_features,)
        Inverse temperature of blocks, a float for one block; or of each feature.
    smoothing_strength_ : float
        Strength of the smoothing.
    norm_weight_ : float
        gamma, the weight of the mean norms of the classes in the class prior: 1 in the
        theorem, chosen with the inverse temperature if that is "auto", and 0 under
        ``translation="exact"``, where the fitted intercepts take its place.
    loss_curve_ : list of float
        Objective in nats by epoch or iteration; only after a refinement.
    n_iter_ : int
        Epochs or iterations of the refinement; 1 without it.
    validation_scores_ : list of float or None
        Mean log-likelihood of the validation rows by epoch or iteration; None without
        early stopping; only after a refinement.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, where all are strings.

    See Also
    --------
    ExplicitSoftmaxClassifierCV : Searches norm exponent and strength as well.
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

    `predict` and `score` hold scores of some rows at a time.

    `fit`, `partial_fit`, `score`, and predictions take collections of Dask as well:
    arrays and data frames divided by rows, and lists of delayed blocks. Blocks are
    counted where they lie, a fitted model is an ordinary one, and predictions are lazy.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifier().fit(X[:1000], y[:1000])
    >>> round(clf.score(X[1000:], y[1000:]), 2)
    0.88
    >>> streamed = ExplicitSoftmaxClassifier()
    >>> for start in range(0, 1000, 100):
    ...     batch = slice(start, start + 100)
    ...     streamed = streamed.partial_fit(X[batch], y[batch], classes=range(10))
    >>> bool((streamed.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "priming_number": [
            StrOptions({"mean_norm"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        **ONE_LAYER,
    }

    def __init__(
        self,
        *,
        priming_number: float | str = "mean_norm",
        inverse_temperature: float | ArrayLike | str = "frequency",
        smoothing: str | None = "prior",
        smoothing_strength: float | str = "auto",
        norm_exponent: float = 0.5,
        translation: str = "exact",
        n_blocks: Any = 1,
        class_weight: Any = None,
        class_prior: ArrayLike | None = None,
        fit_prior: bool = True,
        clip: bool = False,
        warm_start: bool = False,
        refinement: Refinement | None = None,
    ) -> None:
        self.priming_number = priming_number
        self.inverse_temperature = inverse_temperature
        self.smoothing = smoothing
        self.smoothing_strength = smoothing_strength
        self.norm_exponent = norm_exponent
        self.translation = translation
        self.n_blocks = n_blocks
        self.class_weight = class_weight
        self.class_prior = class_prior
        self.fit_prior = fit_prior
        self.clip = clip
        self.warm_start = warm_start
        self.refinement = refinement

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
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
        if is_collection(X):
            return fit_blocks(self, X, y, sample_weight)

        def solve(
            rows: Any, codes: Any, weights: Any, report: FitReport
        ) -> ExplicitModel:
            with report.stage("count"):
                model = ExplicitModel.from_rows(
                    rows, codes, len(self.classes_), self._settings(), weights
                )
            with report.stage("leave-one-out", self._settings().n_steps):
                _ = model.solution
            return model.without_sample() if model.settings.is_by_feature else model

        prior = partial(checked_prior, self.class_prior, self.fit_prior)
        return self._fit(X, y, sample_weight, solve, prior)

    @available_if(_is_countable)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Add rows to the counts, in place.

        The solution is written down anew when it is next read, and many small batches
        cost no more than their counts. There is no refinement here, whatever
        `warm_start` says.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Rows to add, as in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur. Required in the first call.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        ValueError
            As `fit`, and if a label is not among `classes`, if `classes` differs from
            that of an earlier call, if a parameter was changed since then, or if the
            model was refined.
        """
        if is_collection(X):
            declared = self._declared_classes(classes)
            return partial_fit_blocks(self, X, y, sample_weight, classes=declared)
        earlier: ExplicitModel | None = vars(self).get("_model")
        settings = self._settings()
        if earlier is not None:
            earlier.check_additive("partial_fit")
            earlier.check_settings(
                settings,
                "{name}={1} differs from {0}, with which this model was counted: call "
                "fit to start again",
            )
        report = FitReport(self, X, y, sample_weight, 0, "partial_fit")
        with restored_on_error(self):
            rows, labels, weights = self._check_training_data(
                X, y, sample_weight, reset=earlier is None
            )
            declared = self._declared_classes(classes)
            codes = _encode(labels, declared)
            weights = class_weighted(self.class_weight, declared, codes, weights)
            if earlier is None:
                model = ExplicitModel.from_rows(
                    rows, codes, len(declared), settings, weights
                )
                model.check_additive("partial_fit")
            else:
                model = earlier + earlier.counted(rows, codes, weights)
            prior = checked_prior(self.class_prior, self.fit_prior, len(declared))
            self.classes_ = declared
            self._model = replace(model, prior=prior)
            report.end()
        return self

    def merge(self, *others: Self) -> Self:
        """Add the counts of other fitted models, in place.

        Parameters
        ----------
        *others : estimators of the same class
            Models of the same classes, features, and parameters, such as those of the
            shards of a data set. They are not changed. Shards that lack classes are
            made with ``partial_fit(..., classes=...)``.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        TypeError
            If one of them is another kind of estimator.
        ValueError
            If classes, features, or parameters differ, or if a model was refined.
        """
        check_is_fitted(self)
        model = self._model
        model.check_additive("merge")
        for other in others:
            self._check_mergeable(other)
            model = model + other._model
        self._model = model
        return self

    def forget(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take rows out of the counts again, in place.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Rows that were counted, as in `fit`. Weights are those they were counted
            with, or parts of these.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        ValueError
            If more is taken out than was counted, if a label is unknown, or if the
            model was refined.

        Notes
        -----
        Counts are those of the remaining rows. The sample that chooses the inverse
        temperature loses these rows and is not filled up again.
        """
        check_is_fitted(self)
        self._model.check_additive("forget")
        rows, labels, weights = self._check_training_data(
            X, y, sample_weight, reset=False
        )
        codes = _encode(labels, self.classes_)
        class_weight = self._model.settings.class_weight
        weights = class_weighted(class_weight, self.classes_, codes, weights)
        everything = Limit(len(codes) if self._model.sample.limit.n_rows else 0)
        self._model -= self._model.counted(rows, codes, weights, everything)
        return self

    def _settings(self) -> Settings:
        return Settings(
            self.priming_number,
            self.inverse_temperature,
            self.smoothing,
            self.smoothing_strength,
            self.norm_exponent,
            self.translation,
            self.n_blocks,
            class_weight=self.class_weight,
        )

    def _declared_classes(self, classes: Any) -> NDArray[Any]:
        known: NDArray[Any] | None = self.classes_ if "_model" in vars(self) else None
        if classes is None:
            if known is None:
                raise ValueError(
                    "classes must be passed on the first call to partial_fit"
                )
            return known
        declared = np.asarray(unique_labels(classes))
        if known is not None and not np.array_equal(declared, known):
            raise ValueError(
                f"classes={classes!r} is not the same as on the last call to "
                f"partial_fit or fit: {known!r}"
            )
        return declared

    def _check_mergeable(self, other: Any) -> None:
        if not isinstance(other, type(self)):
            raise TypeError(
                f"merge takes fitted {type(self).__name__} models, not "
                f"{type(other).__name__}"
            )
        check_is_fitted(other)
        for name, advice in [
            ("classes_", ". Declare all classes by partial_fit(..., classes=...)."),
            ("n_features_in_", ""),
            ("feature_names_in_", ""),
        ]:
            mine, theirs = getattr(self, name, None), getattr(other, name, None)
            if not np.array_equal(mine, theirs):  # type: ignore[arg-type]
                raise ValueError(
                    f"models with different {name} cannot be merged: {mine!r} and "
                    f"{theirs!r}{advice}"
                )


def _encode(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Positions of labels in classes; ValueError names labels not in there."""
    # Not by NumPy's searches: these promote both to a common type, and integers as
    # text, or as floats, are in another order or equal to their neighbours.
    place_of = {label: place for place, label in enumerate(classes.tolist())}
    present, inverse = np.unique(labels, return_inverse=True)
    unknown = [label for label in present.tolist() if label not in place_of]
    if unknown:
        raise ValueError(
            f"y contains labels that are not in classes: {unknown[:10]}. "
            f"Known are {classes[:10].tolist()}{' ...' if len(classes) > 10 else ''}"
        )
    places = np.array([place_of[label] for label in present.tolist()], dtype=np.intp)
    return np.asarray(places[inverse])
