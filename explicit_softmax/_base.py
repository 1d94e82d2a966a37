"""The base class of the classifiers: checked input, scores, probabilities, labels."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from explicit_softmax._dask import (
    is_collection,
    lazy_on_blocks,
    refuse_collection,
    score_blocks,
)
from explicit_softmax._persistence import Persistent
from explicit_softmax._refinement import (
    checked_refinement,
    refine_model,
    split_validation,
)
from explicit_softmax._sklearn import (
    CallbackSupportMixin,
    DocumentationLinkMixin,
    FitReport,
    Interval,
    StrOptions,
    _check_sample_weight,
    long_task,
    restored_on_error,
    warn_caller,
)
from explicit_softmax.calibration.model import ExplicitModel
from explicit_softmax.solution.counts import raise_bad_value, row_blocks
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import network_scores, softmax_in_place
from explicit_softmax.solution.progress import listener

# Scores that `predict` holds at a time.
_CHUNK_VALUES = 2**20

# Rows as `validate_data` takes them; their values are checked where they are used.
_ACCEPTED: dict[str, Any] = {
    "accept_sparse": "csr",
    "dtype": [np.float64, np.float32],
    "ensure_all_finite": False,
}

# Constraints of the parameters that several estimators have.
CONSTRAINTS: dict[str, list[Any]] = {
    "inverse_temperature": [
        StrOptions({"auto"}),
        Interval(Real, 0, None, closed="left"),
        "array-like",
    ],
    "smoothing": [StrOptions({"uniform", "prior", "noise"}), None],
    "smoothing_strength": [
        StrOptions({"auto"}),
        Interval(Real, 0, None, closed="neither"),
    ],
    "norm_exponent": [Interval(Real, 0, None, closed="left")],
    "translation": [StrOptions({"column", "intercept", "exact"})],
    "n_blocks": [Interval(Integral, 1, None, closed="left"), "array-like"],
    "class_weight": [dict, StrOptions({"balanced"}), None],
    "clip": ["boolean"],
    "warm_start": ["boolean"],
    "refinement": "no_validation",  # type: ignore[dict-item]
}

# Those of the classifiers of one layer, whose features can have temperatures too.
ONE_LAYER = CONSTRAINTS | {
    "inverse_temperature": [
        StrOptions({"auto", "frequency", "feature"}),
        *CONSTRAINTS["inverse_temperature"][1:],
    ],
    "class_prior": ["array-like", None],
    "fit_prior": ["boolean"],
}

# Attributes for which a model is solved that was not, as after `partial_fit`.
_OF_SOLUTION = {
    "coef_",
    "intercept_",
    "inverse_temperature_",
    "norm_weight_",
    "priming_number_",
    "smoothing_strength_",
}


class FromModel:
    """A fitted attribute, read from the model by a path of attributes or a function.

    If the path starts with "refined", there is a value only after a refinement.
    """

    def __init__(self, read: str | Callable[[Any], Any]) -> None:
        self.only_refined = isinstance(read, str) and read.startswith("refined.")
        self.read = attrgetter(read) if isinstance(read, str) else read

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, estimator: Any, owner: type | None = None) -> Any:
        if estimator is None:
            return self
        # AttributeError in all cases, which makes hasattr answer no.
        model = vars(estimator).get("_model")
        if model is None:
            raise AttributeError(
                f"{type(estimator).__name__} has no {self.name} before it is fitted"
            )
        if self.only_refined and model.refined is None:
            raise AttributeError(
                f"{type(estimator).__name__} has {self.name} only after a refinement: "
                "fit with warm_start=True"
            )
        return self.read(model)


class ExplicitSoftmaxBase(
    Persistent,
    DocumentationLinkMixin,
    CallbackSupportMixin,
    ClassifierMixin,
    BaseEstimator,
):
    """Predictions of a classifier that has `classes_` and a `_model` with decoders."""

    classes_: NDArray[Any]
    class_weight: Any
    clip: bool
    warm_start: bool
    refinement: Any
    inverse_temperature_: Any
    _model: Any

    @lazy_on_blocks
    def decision_function(self, X: Any) -> NDArray[Any]:
        """Log-probabilities of the classes, or log-odds of two classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            Log-probabilities in nats; for two classes, the log-odds of
            ``classes_[1]``.
        """
        scores = self._scores(self._check_features(X))
        if len(self.classes_) == 2:
            return np.asarray(scores[:, 1] - scores[:, 0])
        return np.asarray(log_softmax(scores, axis=1))

    @lazy_on_blocks
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Log-probabilities of the classes, in nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. They are finite where `predict_proba` rounds
            to zero.
        """
        return np.asarray(log_softmax(self._scores(self._check_features(X)), axis=1))

    @lazy_on_blocks
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
        return softmax_in_place(self._scores(self._check_features(X)))

    @lazy_on_blocks
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
        rows = self._check_features(X)
        y = np.empty(rows.shape[0], dtype=np.intp)
        decoders = self._decoders(rows.dtype)
        with long_task(self, "predict", lambda: len(y)):
            tell = listener()
            for chunk in row_blocks(len(y), len(self.classes_), _CHUNK_VALUES):
                scores = checked_scores(decoders, rows[chunk], chunk.start)
                y[chunk] = scores.argmax(axis=1)
                tell(len(scores))
        return np.asarray(self.classes_[y])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean accuracy.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
        """
        if is_collection(X):
            return score_blocks(self, X, y, sample_weight)
        return float(super().score(X, y, sample_weight))

    def __dir__(self) -> list[str]:
        """Names of attributes, of which those that would solve a stream are left out.

        Notebooks show an estimator with all attributes of this list.
        """
        model = vars(self).get("_model")
        if model is None or getattr(model, "is_solved", True):
            return list(super().__dir__())
        # scikit-learn's own list is made by reading all of them.
        names = set(object.__dir__(self)) - _OF_SOLUTION
        return [name for name in names if hasattr(self, name)]

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = not self.clip
        # Non-negative features of one sign and scale are the domain of the model;
        # shifted Gaussian blobs are not.
        tags.classifier_tags.poor_score = True
        return tags

    def _check_consistent(self) -> None:
        shape = (self.n_features_in_, len(self.classes_))
        names = getattr(self, "feature_names_in_", np.empty(shape[0]))
        if not (
            np.ndim(self.classes_) == 1
            and (self.classes_[1:] > self.classes_[:-1]).all()
            and self._model.shape == shape
            and np.shape(names) == shape[:1]
        ):
            raise ValueError("its classes and features are not those of its counts")

    def _decoders(self, dtype: Any) -> tuple[Decoder, ...]:
        """Decoders of all layers in the type of the rows."""
        return tuple(
            decoder
            if decoder.intercept.dtype == dtype and decoder.weights.dtype == dtype
            else decoder.astype(dtype)
            for decoder in self._model.decoders
        )

    def _scores(self, rows: Any) -> NDArray[Any]:
        return checked_scores(self._decoders(rows.dtype), rows)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        solve: Callable[[Any, NDArray[np.intp], Any, FitReport], Any],
        prior: Callable[[int], NDArray[np.float64] | None] = lambda n_classes: None,
    ) -> Self:
        """Keep what `solve` makes of rows, classes, and weights, refined if asked.

        `prior` gives the class probabilities that predictions are for, None for those
        of the rows.
        """
        refinement = checked_refinement(self.refinement)
        if refinement.alpha not in ("auto", 0) and not self.warm_start:
            warn_caller(
                f"alpha={refinement.alpha} of the refinement has no effect without "
                "warm_start=True; the alpha of naive Bayes is smoothing_strength"
            )
        report = FitReport(
            self, X, y, sample_weight, 2 + (1 + refinement.max_iter) * self.warm_start
        )
        with restored_on_error(self):
            rows, labels, weights = self._check_training_data(
                X, y, sample_weight, reset=True
            )
            self.classes_, codes = np.unique(labels, return_inverse=True)
            weights = class_weighted(self.class_weight, self.classes_, codes, weights)
            class_prior = prior(len(self.classes_))
            train, validation = (rows, codes, weights), None
            if self.warm_start:
                train, validation = split_validation(refinement, *train)
            model = solve(*train, report)
            if self.warm_start:
                margins = model.own_margins(*train) if refinement.margins else None
                model = refine_model(
                    refinement, model, *train, validation, report, margins
                )
            if class_prior is not None:
                model = model.with_prior(class_prior)
            self._model = model
            chosen = (
                isinstance(self.inverse_temperature, str) and len(self.classes_) > 1
            )
            if chosen and not np.any(self.inverse_temperature_):
                warn_caller(
                    f"leave-one-out finds no evidence in the features of {len(codes)} "
                    "rows: inverse_temperature_ is 0, and all rows get the class "
                    "frequencies"
                )
            report.end()
        return self

    def _check_features(self, X: Any) -> Any:
        """Features to predict from; ValueError names the first bad row."""
        check_is_fitted(self)
        rows = self._clipped(validate_data(self, X, reset=False, **_ACCEPTED))
        values = rows.data if sp.issparse(rows) else rows
        if not values.min(initial=0.0) >= 0:  # NaN is not >= 0
            raise_bad_value(rows, 0)
        return rows

    def _clipped(self, rows: Any) -> Any:
        """The rows, with zeros for negative features if `clip`."""
        values = rows.data if sp.issparse(rows) else rows
        if not self.clip or not (values < 0).any():
            return rows
        if not sp.issparse(rows):
            return np.maximum(rows, 0)
        rows = rows.copy()
        np.maximum(rows.data, 0, out=rows.data)
        return rows

    def _check_training_data(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
        """Features, labels, weights; features are checked where they are counted."""
        refuse_collection(X)
        rows, labels = validate_data(self, X, y, reset=reset, **_ACCEPTED)
        rows = self._clipped(rows)
        labels = checked_labels(labels)
        if sp.issparse(rows) and not (rows.has_canonical_format and rows.data.all()):
            rows = rows.copy()
            rows.sum_duplicates()
            rows.eliminate_zeros()
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, rows, dtype=np.float64, ensure_non_negative=True
            )
            if not weights.any():  # checked by scikit-learn >= 1.9
                raise ValueError("sample_weight is zero for all rows: nothing to count")
        return rows, labels, weights


def checked_labels(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels; ValueError unless they are of classes, TypeError if they mix kinds."""
    if labels.dtype.kind == "T":  # NumPy's own strings, which scikit-learn has not
        labels = labels.astype(object)
    try:
        check_classification_targets(labels)
    except TypeError:
        kind = type(labels[0])
        others = [n for n, label in enumerate(labels) if type(label) is not kind]
        if not others:
            raise
        raise TypeError(
            f"y mixes labels of different kinds: row 0 has {labels[0]!r}, "
            f"row {others[0]} has {labels[others[0]]!r}"
        ) from None
    return labels


def class_weighted(
    class_weight: Any,
    classes: NDArray[Any],
    codes: NDArray[np.intp],
    weights: NDArray[np.float64] | None,
) -> NDArray[np.float64] | None:
    """Weights of rows times those of their classes, as in LogisticRegression.

    A class that a dict leaves out has the weight 1.
    """
    if class_weight is None:
        return weights
    if weights is None:
        weights = np.ones(len(codes))
    if isinstance(class_weight, str):
        mass = np.bincount(codes, weights, minlength=len(classes))
        factors = mass.sum() / (len(classes) * np.where(mass > 0, mass, 1.0))
    else:
        unknown = class_weight.keys() - set(classes.tolist())
        if unknown:
            raise ValueError(
                f"class_weight has {sorted(map(str, unknown))}, and y no such class"
            )
        factors = np.array([class_weight.get(c, 1.0) for c in classes.tolist()], float)
        if not ((factors >= 0) & np.isfinite(factors)).all() or not factors.any():
            raise ValueError(
                "class_weight must be non-negative, finite, and not zero for all "
                f"classes, not {class_weight!r}"
            )
    return np.asarray(weights * factors[codes])


def checked_prior(
    class_prior: Any, fit_prior: bool, n_classes: int
) -> NDArray[np.float64] | None:
    """Class probabilities as MultinomialNB takes them, None for those of the rows."""
    if class_prior is None:
        return None if fit_prior else np.full(n_classes, 1.0 / n_classes)
    prior = np.asarray(class_prior, dtype=float)
    if prior.shape != (n_classes,):
        raise ValueError(
            f"class_prior must have one number for each of the {n_classes} classes, "
            f"not the shape {prior.shape}"
        )
    if not ((prior > 0) & np.isfinite(prior)).all():
        raise ValueError(f"class_prior must be positive and finite, not {class_prior}")
    return np.asarray(prior / prior.sum())


def checked_scores(
    decoders: tuple[Decoder, ...], rows: Any, first_row: int = 0
) -> NDArray[Any]:
    """Scores of the last decoder; ValueError names a row that is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        scores = network_scores(decoders, rows)
    # Features that are not finite give scores that are not: no pass of its own.
    if not np.isfinite(scores).all():
        raise_bad_value(rows, first_row)
    return scores


def _coef(model: ExplicitModel) -> NDArray[Any]:
    decoder = model.decoders[0]
    if decoder.is_sparse:
        n_features, n_classes = decoder.weights.shape
        raise AttributeError(
            f"coef_ of this sparse model would be a dense array of {n_classes} classes "
            f"x {n_features} features: call densify() first if it fits into memory, "
            "or read feature_count_"
        )
    return np.ascontiguousarray(_centred(decoder.weights).T)


def _beta(model: ExplicitModel) -> float | NDArray[np.float64]:
    """A number for one block of features, else one for each block or feature."""
    beta = model.chosen.calibration.beta
    return float(beta[0]) if len(beta) == 1 else beta


def _feature_count(model: ExplicitModel) -> Any:
    counts = model.counts.cooccurrence
    return counts.T.tocsr() if sp.issparse(counts) else _read_only(counts.T)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, through which the model cannot be changed."""
    view = array.view()
    view.flags.writeable = False
    return view


def _centred(weights: NDArray[Any]) -> NDArray[Any]:
    """Weights with mean zero over the classes."""
    return np.asarray(weights - weights.mean(axis=-1, keepdims=True))


class OneLayerMixin:
    """Fitted attributes and conversions of the classifiers of one layer."""

    classes_: NDArray[Any]
    n_features_in_: int
    _model: ExplicitModel

    coef_ = FromModel(_coef)
    intercept_ = FromModel(lambda model: _centred(model.decoders[0].intercept))
    class_count_ = FromModel(lambda model: _read_only(model.counts.class_count))
    feature_count_ = FromModel(_feature_count)
    priming_number_ = FromModel("chosen.calibration.priming_number")
    inverse_temperature_ = FromModel(_beta)
    smoothing_strength_ = FromModel("chosen.smoothing_strength")
    norm_weight_ = FromModel("chosen.calibration.norm_weight")
    n_iter_ = FromModel("n_iter")
    loss_curve_ = FromModel("refined.loss_curve")
    validation_scores_ = FromModel("refined.validation_scores")

    def densify(self) -> Self:
        """Store all weights in one dense array, in place.

        A model of many classes and sparse features stores the weights of non-zero
        co-occurrences only. Dense weights take ``n_classes * n_features`` numbers and
        are the fastest to predict with. Probabilities stay the same.

        Returns
        -------
        self : estimator
        """
        check_is_fitted(self)
        if self._model.refined is None:
            self._model = self._model.with_layout("dense")
        return self

    def feature_evidence(
        self, top: Any = 10, feature_names: Any = None
    ) -> dict[Any, list[tuple[Any, float]]]:
        """Features that speak most for or against each class.

        Parameters
        ----------
        top : int, default=10
            Number of features of each class.
        feature_names : array-like of shape (n_features,), default=None
            Names, such as ``vectorizer.get_feature_names_out()``. By default
            `feature_names_in_`, or column numbers where there are none.

        Returns
        -------
        evidence : dict of {label: list of (name, float)}
            Features of the largest absolute evidence for each class, the largest first.
            It is beta_d (log F_di - log S_i) with mean zero over the classes, in nats
            per unit of the feature: negative evidence speaks against the class. After a
            refinement it is the refined weight. All weights are never held at once.

        Raises
        ------
        ValueError
            If `top` is no positive integer, or the names are not one for each feature.

        Examples
        --------
        >>> from explicit_softmax import ExplicitSoftmaxClassifier
        >>> X, y = [[3, 1, 0], [0, 1, 3], [2, 1, 0]], ["sea", "land", "sea"]
        >>> clf = ExplicitSoftmaxClassifier(inverse_temperature=1.0).fit(X, y)
        >>> strongest = clf.feature_evidence(1, ["fish", "sky", "tree"])
        >>> [(label, name) for label, [(name, _)] in strongest.items()]
        [('land', 'tree'), ('sea', 'tree')]
        """
        check_is_fitted(self)
        if not isinstance(top, Integral) or top < 1:
            raise ValueError(f"top must be a positive integer, not {top!r}")
        if feature_names is None:
            default = np.arange(self.n_features_in_)
            feature_names = getattr(self, "feature_names_in_", default)
        names = np.asarray(feature_names)
        if names.shape != (self.n_features_in_,):
            raise ValueError(
                f"feature_names must have one name for each of the "
                f"{self.n_features_in_} features, not the shape {names.shape}"
            )
        features, evidence = self._model.evidence.largest_weights(int(top))
        return {
            label: list(zip(names[which].tolist(), values.tolist(), strict=True))
            for label, which, values in zip(
                self.classes_.tolist(), features, evidence, strict=True
            )
        }

    def to_logistic_regression(self) -> LogisticRegression:
        """The same model as a fitted LogisticRegression, for tools that expect one.

        Returns
        -------
        model : sklearn.linear_model.LogisticRegression
            With the same probabilities, except for rows without any feature, which get
            those of its intercepts.

        Raises
        ------
        ValueError
            If the norm exponent is not zero, which makes the scores non-linear in the
            features, or if there is one class only.
        """
        check_is_fitted(self)
        exponent = self._model.settings.norm_exponent
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
        coef, intercept = self.coef_, self.intercept_
        if len(self.classes_) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        linear = LogisticRegression()
        linear.classes_ = self.classes_.copy()
        linear.coef_, linear.intercept_ = coef, intercept
        linear.n_iter_ = np.array([self.n_iter_])
        linear.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            linear.feature_names_in_ = self.feature_names_in_.copy()
        return linear
