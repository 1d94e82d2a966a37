"""ExplicitTextClassifier: raw strings in, calibrated probabilities out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.metrics import accuracy_score
from sklearn.pipeline import FeatureUnion
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._base import checked_labels
from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV
from explicit_softmax._dask import (
    is_collection,
    refuse_collection,
    transformed_blocks,
)
from explicit_softmax._model_file import complaint_about, read_file, write_file
from explicit_softmax._sklearn import (
    CallbackSupportMixin,
    DocumentationLinkMixin,
    FitReport,
    Interval,
    _check_sample_weight,
    _fit_context,
    long_task,
    restored_on_error,
)
from explicit_softmax.solution.progress import listener
from explicit_softmax.text.features import (
    TextFeatures,
    checked_texts,
    fit_features,
    joined_vocabulary,
    make_vectorizers,
    set_vocabulary,
)

# What features="auto" compares, each the beginning of the next, and for a stream takes.
_CANDIDATES = ("words", "words+bigrams", "words+bigrams+chars")
# It compares them on so many texts and characters at most.
_MOST_TEXTS = 2**11
_MOST_CHARACTERS = 2**20
# Time and memory grow with the features that a text has, from ten in a short one to
# thousands in a long one with characters. Each of them must lower the leave-one-out
# log-loss by so many nats to be worth it.
_LEAST_GAIN = 5e-5

_HASHED = 2**20

# Texts whose features are made at a time for a prediction.
_PREDICTED_TEXTS = 2**13


def _streams(estimator: ExplicitTextClassifier) -> bool:
    """Whether counts of other texts can be added; AttributeError says how."""
    if not estimator.hashing:
        raise AttributeError(
            "a vocabulary cannot grow: make ExplicitTextClassifier(hashing=True) for "
            "partial_fit, merge, and forget"
        )
    return True


class ExplicitTextClassifier(
    CallbackSupportMixin, DocumentationLinkMixin, ClassifierMixin, BaseEstimator
):
    """Text classifier: strings in, calibrated probabilities out, nothing to tune.

    Words, word bigrams, and character n-grams are counted by vectorisers of
    scikit-learn, each kind as a block with an inverse temperature of its own, and
    classified by the explicit solution. What kinds help, and everything that is to be
    chosen besides, is chosen by exact leave-one-out: there is no validation set.

    Parameters
    ----------
    features : "auto", str, or list of (name, vectorizer), default="auto"
        What is counted: "words", "bigrams" (the first and the last word of a text have
        an empty word beside them, as in " what"), and "chars" (character n-grams within
        words, of 2 to 5 characters) joined by "+", such as "words+chars"; or
        vectorizers, such as :class:`~sklearn.feature_extraction.text.CountVectorizer`,
        that clones are made of, with a name for each. "auto" is the best of "words",
        "words+bigrams", and "words+bigrams+chars" by the leave-one-out log-loss on at
        most 2,048 of the texts with 2**20 characters, where 200 more features in a mean
        text must lower it by 0.01 nats: in long texts characters cost more than they
        gain. `partial_fit`, which cannot look ahead, takes "words+bigrams+chars".
    min_df : int or float, default=1
        N-grams in fewer texts, or in a smaller share of the texts, are left out; as in
        CountVectorizer. Where some of the texts choose the features, in the same share
        of these. Without effect on hashed features and given vectorizers.
    log_counts : bool, default=True
        Whether an n-gram that a text has n times counts log(1 + n) in place of n.
    hashing : bool or int, default=False
        Whether each kind is hashed into so many columns (True: 2**20) in place of a
        vocabulary. Then `partial_fit`, `merge`, and `forget` are there.
    classifier : ExplicitSoftmaxClassifierCV or ExplicitSoftmaxClassifier, default=None
        What a clone classifies the features with, its `n_blocks` aside. By default
        ``ExplicitSoftmaxClassifierCV()``, and with `hashing`
        ``ExplicitSoftmaxClassifier(inverse_temperature="frequency")``, which can read
        streams.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    features_ : str
        What is counted, such as "words+chars". A kind of which no text had anything, or
        nothing that `min_df` texts share, is left out.
    vectorizer_ : FeatureUnion
        Fitted vectorisers.
    classifier_ : ExplicitSoftmaxClassifierCV or ExplicitSoftmaxClassifier
        Fitted classifier of the features.

    See Also
    --------
    read_labeled_text : Reads files in fastText's format.
    ExplicitSoftmaxClassifierCV : Classifies the features.

    Notes
    -----
    A text without any known feature has the class frequencies as probabilities.

    With `hashing`, all methods but `forget` take collections of Dask as well: Bags of
    strings with Bags of labels, or lists of delayed blocks. Predictions are lazy. Of a
    collection, `fit` takes the features that `partial_fit` takes.

    Examples
    --------
    >>> from explicit_softmax import ExplicitTextClassifier
    >>> texts = ["wet and cold", "rain again", "dry and warm", "sun again"] * 3
    >>> labels = ["bad", "bad", "good", "good"] * 3
    >>> clf = ExplicitTextClassifier().fit(texts, labels)
    >>> clf.predict(["cold rain", "warm sun"]).tolist()
    ['bad', 'good']
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "features": [str, list],
        "min_df": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "log_counts": ["boolean"],
        "hashing": ["boolean", Interval(Integral, 2, None, closed="left")],
        "classifier": [ExplicitSoftmaxClassifierCV, ExplicitSoftmaxClassifier, None],
    }

    classes_: NDArray[Any]
    classifier_: ExplicitSoftmaxClassifierCV | ExplicitSoftmaxClassifier
    _features: TextFeatures
    _given: Any

    def __init__(
        self,
        *,
        features: Any = "auto",
        min_df: float = 1,
        log_counts: bool = True,
        hashing: bool | int = False,
        classifier: Any = None,
    ) -> None:
        self.features = features
        self.min_df = min_df
        self.log_counts = log_counts
        self.hashing = hashing
        self.classifier = classifier

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose and count features, and classify by them.

        Parameters
        ----------
        X : iterable of str
            Texts: a list, array, Series, or iterator.
        y : iterable of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : ExplicitTextClassifier

        Raises
        ------
        ValueError
            If `X` is one string, if a text is none (its row is named), or if no text
            has any feature. An estimator that was fitted before stays as it was.
        """
        if is_collection(X):
            return self._count_blocks("fit", X, y, sample_weight=sample_weight)
        texts, labels, weights = _checked_rows(X, y, sample_weight)
        classifier = self._new_classifier()
        report = FitReport(self, texts, y, sample_weight, 3)
        features = self.features
        if isinstance(features, str) and features == "auto":
            n_read = min(len(texts), _MOST_TEXTS) * len(_CANDIDATES)
            with report.stage("choose-features", 3 * n_read):
                features = self._chosen_features(texts, labels, weights)
        vectorizers = self._vectorizers(features)
        with report.stage("count-features", 2 * len(texts) * len(vectorizers)):
            found, rows = fit_features(texts, vectorizers, self.log_counts)
        classifier.set_params(n_blocks=list(found.sizes))
        with report.stage_of("classify", classifier):
            classifier.fit(rows, labels, weights)
        with restored_on_error(self):
            self._keep(found, classifier)
            report.end()
        return self

    @available_if(_streams)
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Add texts to the counts, in place; needs `hashing`.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Texts to add, as in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur. Required in the first call.

        Returns
        -------
        self : ExplicitTextClassifier

        Raises
        ------
        ValueError
            As in `fit`, and if what is counted was changed since the first call.
        """
        if is_collection(X):
            keywords = {"classes": classes, "sample_weight": sample_weight}
            return self._count_blocks("partial_fit", X, y, **keywords)
        texts, labels, weights = _checked_rows(X, y, sample_weight)
        report = FitReport(self, texts, y, sample_weight, 2, "partial_fit")
        if hasattr(self, "classifier_"):
            self._check_unchanged()
            n_read = len(texts) * len(self._features.sizes)
            with report.stage("count-features", n_read):
                rows = self._features.transform(texts)
            with report.stage_of("classify", self.classifier_):
                self.classifier_.partial_fit(rows, labels, classes, weights)
            report.end()
            return self
        classifier = self._new_classifier("partial_fit")
        vectorizers = self._vectorizers(self._stream_features)
        with report.stage("count-features", 2 * len(texts) * len(vectorizers)):
            found, rows = fit_features(texts, vectorizers, self.log_counts)
        classifier.set_params(n_blocks=list(found.sizes))
        with report.stage_of("classify", classifier):
            classifier.partial_fit(rows, labels, classes, weights)
        with restored_on_error(self):
            self._keep(found, classifier)
            report.end()
        return self

    @available_if(_streams)
    def merge(self, *others: Self) -> Self:
        """Add the counts of other fitted models, in place; needs `hashing`.

        Parameters
        ----------
        *others : ExplicitTextClassifier
            Models of the same features, classes, and parameters. They are not changed.

        Returns
        -------
        self : ExplicitTextClassifier

        Raises
        ------
        ValueError
            If features, classes, or parameters differ.
        """
        check_is_fitted(self)
        for other in others:
            if not isinstance(other, type(self)):
                raise TypeError(
                    f"merge takes fitted {type(self).__name__} models, not "
                    f"{type(other).__name__}"
                )
            check_is_fitted(other)
            if other._description() != self._description():
                raise ValueError(
                    "models with different features cannot be merged: "
                    f"{self.features_} and {other.features_}, or their vectorizers "
                    "differ in parameters. Give features explicitly."
                )
        self.classifier_.merge(*(other.classifier_ for other in others))
        return self

    @available_if(_streams)
    def forget(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take texts out of the counts again, in place; needs `hashing`.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Texts that were counted, as in `fit`.

        Returns
        -------
        self : ExplicitTextClassifier
        """
        check_is_fitted(self)
        texts, labels, weights = _checked_rows(X, y, sample_weight)
        self.classifier_.forget(self._features.transform(texts), labels, weights)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable class labels of texts.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            From `classes_`.
        """
        return self._predicted("predict", X)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Probabilities of the classes of texts.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._predicted("predict_proba", X)

    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Log-probabilities of the classes of texts, in nats.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._predicted("predict_log_proba", X)

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Log-probabilities of the classes, or log-odds of the second of two.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes) or (n_samples,)
            In nats, as of `classifier_`.
        """
        return self._predicted("decision_function", X)

    def score(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean accuracy on texts.

        Parameters
        ----------
        X, y, sample_weight : array-like
            Texts, their labels, and weights, as in `fit`.

        Returns
        -------
        accuracy : float
        """
        check_is_fitted(self)
        if is_collection(X):
            rows = transformed_blocks(self._features, X)
            return float(self.classifier_.score(rows, y, sample_weight))
        return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))

    def get_feature_names_out(self) -> NDArray[Any]:
        """Names of the features, such as "words__rain"; hashed ones have none.

        Returns
        -------
        names : ndarray of shape (n_features,)
            The kind of n-gram and the n-gram, in the order of the columns.
        """
        check_is_fitted(self)
        return np.asarray(self.vectorizer_.get_feature_names_out())

    def explain(
        self, text: str, *, top: int = 10, classes: ArrayLike | None = None
    ) -> dict[str, list[Any]]:
        """Which n-grams of a text speak for which class.

        Parameters
        ----------
        text : str
            One text.
        top : int, default=10
            Number of n-grams of each class, those of the largest absolute evidence.
        classes : array-like, default=None
            Labels of classes; by default the two most probable.

        Returns
        -------
        table : dict of list
            Columns of a table, as ``pandas.DataFrame(clf.explain(text))`` takes them:
            "class", "probability" of the class, "kind" and "feature" (the n-gram), and
            "evidence" in nats: what the n-gram adds to the score of the class, less its
            mean over all classes. Negative evidence speaks against the class.

        Raises
        ------
        ValueError
            If a class is unknown.
        """
        check_scalar(top, "top", Integral, min_val=1)
        if not isinstance(text, str):
            raise TypeError(f"explain takes one string, not {type(text).__name__}")
        check_is_fitted(self)
        rows = self._features.transform([text])
        (decoder,) = self.classifier_._decoders(rows.dtype)
        columns, evidence = decoder.evidence(rows)
        names = self._features.names_of(text, columns)
        log_proba = self.classifier_.predict_log_proba(rows)[0]
        if classes is None:
            chosen = np.argsort(-log_proba, kind="stable")[:2]
        else:
            asked = column_or_1d(np.atleast_1d(classes))
            unknown = np.setdiff1d(asked, self.classes_)
            if unknown.size:
                raise ValueError(f"classes has labels that are unknown: {unknown[:9]}")
            chosen = np.searchsorted(self.classes_, asked)
        table: dict[str, list[Any]] = {
            name: [] for name in ("class", "probability", "kind", "feature", "evidence")
        }
        labels = self.classes_.tolist()  # plain strings and numbers
        for code in chosen.tolist():
            of_class = evidence[:, code]
            largest = np.argsort(-np.abs(of_class), kind="stable")[:top]
            for i in largest[np.argsort(-of_class[largest], kind="stable")].tolist():
                values = (
                    labels[code],
                    float(np.exp(log_proba[code])),
                    *names[i],
                )
                for column, value in zip(
                    table.values(), (*values, float(of_class[i])), strict=True
                ):
                    column.append(value)
        return table

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        compress: bool = False,
        keep_rows: bool = True,
    ) -> None:
        """Write the fitted model to a file, without pickle.

        Parameters
        ----------
        path, compress, keep_rows
            As in `ExplicitSoftmaxClassifier.save`. The file holds the n-grams.

        Raises
        ------
        ValueError
            If vectorizers were given as `features`: files hold the named kinds only.
        """
        check_is_fitted(self)
        if not isinstance(self.features, str):
            raise ValueError(
                "vectorizers given as features cannot be saved without pickle: choose "
                "features among the named kinds, or save classifier_ alone"
            )
        arrays: dict[str, NDArray[Any]] = {}
        lost: list[str] = []
        classifier = self.classifier_._as_record(arrays, lost, keep_rows)
        for name, vectorizer in self.vectorizer_.transformer_list:
            if not self.hashing:
                arrays[f"{name}_vocabulary"] = joined_vocabulary(vectorizer)
        params = self.get_params(deep=False) | {"classifier": None}
        if lost or self.classifier is not None:
            warnings.warn(
                "files of text classifiers hold the fitted classifier, but not the "
                f"parameters {['classifier', *lost]}",
                stacklevel=2,
            )
        record = {
            "class": type(self).__name__,
            "params": params,
            "features": self.features_,
            "sizes": list(self._features.sizes),
            "classifier_class": type(self.classifier_).__name__,
            "classifier": classifier,
        }
        write_file(path, record, arrays, compress=compress)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path, mmap
            As in `ExplicitSoftmaxClassifier.load`.

        Returns
        -------
        model : ExplicitTextClassifier
            With the same n-grams and probabilities.

        Raises
        ------
        ValueError
            If the file is truncated or damaged, or holds no such model.
        """
        record, arrays = read_file(path, mmap=mmap)
        with complaint_about(path):
            if record["class"] != cls.__name__:
                raise ValueError(f"it holds another class: {record['class']!s:.50}")
            model = cls(**record["params"])
            model._validate_params()
            kinds = {
                kind.__name__: kind
                for kind in (ExplicitSoftmaxClassifierCV, ExplicitSoftmaxClassifier)
            }
            kind = kinds[record["classifier_class"]]
            classifier = kind._from_record(record["classifier"], arrays)
            vectorizers = list(model._vectorizers(record["features"]))
            for name, vectorizer in vectorizers:
                if not model.hashing:
                    set_vocabulary(vectorizer, arrays[f"{name}_vocabulary"])
            features = TextFeatures(
                FeatureUnion(vectorizers), tuple(record["sizes"]), model.log_counts
            )
            if not (
                features.sizes == features.found_sizes
                and sum(features.sizes) == classifier.n_features_in_
                and list(features.sizes) == list(classifier.n_blocks)
            ):
                raise ValueError("its n-grams are not those of its counts")
            model._keep(features, classifier)
            return model

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classifier_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def _predicted(self, method: str, X: Any) -> NDArray[Any]:
        """What a method of the classifier returns for texts."""
        check_is_fitted(self)
        predict = getattr(self.classifier_, method)
        if is_collection(X):
            lazy: NDArray[Any] = predict(transformed_blocks(self._features, X))
            return lazy
        texts = _some_texts(X)
        n_read = len(texts) * len(self._features.sizes)
        parts = []
        with long_task(self, method, lambda: n_read):
            # Features of some texts at a time take less memory.
            for start in range(0, max(len(texts), 1), _PREDICTED_TEXTS):
                some = texts[start : start + _PREDICTED_TEXTS]
                parts.append(predict(self._features.transform(some)))
        return np.concatenate(parts)

    @property
    def _stream_features(self) -> Any:
        return _CANDIDATES[-1] if self.features == "auto" else self.features

    def _count_blocks(self, method: str, X: Any, y: Any, **keywords: Any) -> Self:
        """What `method`, of the classifier, makes of a collection of Dask."""
        if method == "partial_fit" and hasattr(self, "classifier_"):
            self._check_unchanged()
            features, classifier = self._features, self.classifier_
        else:
            features = self._hashed_features()
            classifier = self._new_classifier(method)
            classifier.set_params(n_blocks=list(features.sizes))
        getattr(classifier, method)(transformed_blocks(features, X), y, **keywords)
        self._keep(features, classifier)
        return self

    def _hashed_features(self) -> TextFeatures:
        """Features that no text is needed for; ValueError if there are others."""
        vectorizers = self._vectorizers(self._stream_features)
        if not all(isinstance(v, HashingVectorizer) for _, v in vectorizers):
            raise ValueError(
                "a vocabulary needs all texts in memory, and these are a collection of "
                "Dask: make ExplicitTextClassifier(hashing=True), and give only "
                "vectorizers that hash"
            )
        sizes = tuple(int(v.n_features) for _, v in vectorizers)
        return TextFeatures(FeatureUnion(vectorizers), sizes, self.log_counts)

    def _new_classifier(self, method: str = "fit") -> Any:
        if self.classifier is not None:
            if not hasattr(self.classifier, method):
                raise ValueError(
                    f"{type(self.classifier).__name__} cannot read streams: give "
                    "classifier=ExplicitSoftmaxClassifier()"
                )
            return clone(self.classifier)
        if self.hashing:
            return ExplicitSoftmaxClassifier(inverse_temperature="frequency")
        return ExplicitSoftmaxClassifierCV()

    def _vectorizers(self, features: Any) -> Sequence[tuple[str, Any]]:
        if not isinstance(features, str):
            if not _are_vectorizers(features):
                raise ValueError(
                    "features must be a string, or a list of pairs (name, vectorizer) "
                    f"with different names, not {features!r}"
                )
            return [(name, clone(vectorizer)) for name, vectorizer in features]
        hashing = self.hashing
        n_hashed = None if not hashing else _HASHED if hashing is True else int(hashing)
        return make_vectorizers(features, self.min_df, n_hashed)

    def _chosen_features(
        self, texts: list[str], labels: NDArray[Any], weights: Any
    ) -> str:
        """The candidate of the least leave-one-out log-loss and price on a sample."""
        sample = _sample(texts)
        few = [texts[i] for i in sample]
        vectorizers = self._vectorizers(_CANDIDATES[-1])
        min_df: Any = self.min_df
        if not self.hashing and isinstance(min_df, Integral):
            # As large a share of the sample as of all texts.
            min_df = max(int(min_df) * len(few) // len(texts), 1)
            for _, vectorizer in vectorizers:
                vectorizer.set_params(min_df=min_df)
        found, rows = fit_features(few, vectorizers, self.log_counts)
        kinds = [name for name, _ in found.union.transformer_list]
        best, least = _CANDIDATES[0], np.inf
        tell = listener()
        for candidate in _CANDIDATES:
            tell(len(few))
            sizes = [
                size
                for kind, size in zip(kinds, found.sizes, strict=True)
                if kind in candidate.split("+")
            ]
            if not sizes:
                continue
            part = rows[:, : sum(sizes)]
            # Temperatures of features would flatter large sets: those of the blocks are
            # few numbers, whose leave-one-out log-loss is that of unseen texts.
            clf = ExplicitSoftmaxClassifier(inverse_temperature="auto", n_blocks=sizes)
            some = None if weights is None else weights[sample]
            with warnings.catch_warnings():
                # A kind that says nothing is not chosen, which is no cause to warn.
                warnings.simplefilter("ignore", UserWarning)
                clf.fit(part, labels[sample], some)
            loss = clf._model.solution.choice.log_loss
            loss += _LEAST_GAIN * part.nnz / len(few)
            if loss < least:
                best, least = candidate, loss
        return best

    def _keep(self, features: TextFeatures, classifier: Any) -> None:
        self._features, self.vectorizer_ = features, features.union
        self.features_ = "+".join(name for name, _ in features.union.transformer_list)
        self.classifier_, self.classes_ = classifier, classifier.classes_
        self._given = self.features

    def _description(self) -> list[Any]:
        """What makes columns of features the same."""
        made = self.vectorizer_.transformer_list
        return [_described(made), self._features.log_counts]

    def _check_unchanged(self) -> None:
        """ValueError if texts would now be counted with other features."""
        named = isinstance(self.features, str) and self.features != "auto"
        wanted = self.vectorizer_.transformer_list
        # The same list is not compared: clones of a tokenizer can differ from it.
        if isinstance(self.features, str) or self.features is not self._given:
            kept = {name for name, _ in wanted}
            wanted = self._vectorizers(self._stream_features)
            wanted = [each for each in wanted if each[0] in kept]
        if [_described(wanted), self.log_counts] != self._description() or (
            named and self.features != self.features_
        ):
            raise ValueError(
                "features, hashing, or log_counts are not those with which this model "
                "was counted: call fit to start again"
            )


def _described(vectorizers: Sequence[tuple[str, Any]]) -> list[Any]:
    return [(name, type(each), each.get_params()) for name, each in vectorizers]


def _are_vectorizers(features: Sequence[Any]) -> bool:
    """Whether these are some names, all different, with what vectorizes."""
    are_pairs = all(
        isinstance(pair, tuple | list)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and hasattr(pair[1], "fit_transform")
        for pair in features
    )
    return are_pairs and 0 < len(features) == len({name for name, _ in features})


def _checked_rows(
    X: Any, y: Any, sample_weight: Any
) -> tuple[list[str], NDArray[Any], NDArray[np.float64] | None]:
    refuse_collection(X)
    texts = _some_texts(X)
    if y is None:
        raise ValueError("ExplicitTextClassifier needs y, the labels of the texts")
    labels = column_or_1d(y if hasattr(y, "__len__") else list(y), warn=True)
    check_consistent_length(texts, labels)
    labels = checked_labels(labels)
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, labels, dtype=np.float64)
    return texts, labels, weights


def _some_texts(X: Any) -> list[str]:
    texts = checked_texts(X)
    if not texts:
        raise ValueError(
            "X holds no text: if it is an iterator, it may have been read to its end "
            "before"
        )
    return texts


def _sample(texts: list[str]) -> NDArray[np.intp]:
    """Texts with the smallest hashes, whatever their order, as far as is needed."""
    order = np.argsort(
        [crc32(text.encode(errors="surrogatepass")) for text in texts], kind="stable"
    )
    order = order[:_MOST_TEXTS]
    characters = np.cumsum([len(texts[i]) for i in order])
    return np.sort(order[: max(1, np.searchsorted(characters, _MOST_CHARACTERS))])
