"""Streaming, merging, and forgetting: what additive counts make exact."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._base import BaseExplicitClassifier
from explicit_softmax._sklearn import _fit_context, restored_on_error
from explicit_softmax.calibration.model import count_and_keep, keep_limit, needs_rows
from explicit_softmax.calibration.sample import RetainedRows
from explicit_softmax.solution.counts import CooccurrenceCounts


class CountingClassifier(BaseExplicitClassifier):
    """A classifier whose counts can be added to and taken from after `fit`."""

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Add rows to the counts.

        The solution is written down anew when it is next read, so that many small
        batches cost no more than their counts. There is no refinement here, whatever
        `warm_start` says.

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
            that of an earlier call, or if the model was refined.
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

    def merge(self, *others: Self) -> Self:
        """Add the counts of other fitted models.

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
        self._check_counts_only("merge")
        counts, retained = self._counts, self._retained
        limit = 0
        for other in others:
            self._check_mergeable(other)
            counts = counts + other._counts
            total = len(retained.y) + len(other._retained.y)
            retained = retained.followed_by(other._retained, total)
        if others and needs_rows(self._setting()):
            limit = keep_limit(self._setting(), retained.X, len(self.classes_))
        retained = RetainedRows.draw(retained.X, retained.y, retained.weights, limit)
        if others:
            self._replace_counts(counts, retained)
        return self

    def forget(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
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
            model was refined.
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

    def _replace_counts(
        self, counts: CooccurrenceCounts, retained: RetainedRows
    ) -> None:
        self._counts = counts
        self._retained = retained
        self._forget_refinement()
        self._solution = None

    def _declared_classes(self, classes: Any) -> NDArray[Any]:
        declared = None if classes is None else unique_labels(classes)
        if not hasattr(self, "classes_"):
            if declared is None:
                raise ValueError(
                    "classes must be passed on the first call to partial_fit"
                )
            return np.asarray(declared)
        if declared is not None and not np.array_equal(declared, self.classes_):
            raise ValueError(
                f"classes={classes!r} is not the same as on the last call to "
                f"partial_fit or fit: {self.classes_!r}"
            )
        return np.asarray(self.classes_)

    def _check_counts_only(self, method: str) -> None:
        if getattr(self, "_refined", False):
            raise ValueError(
                f"{method} changes counts, and this model was refined: it no longer "
                "follows from its counts. Fit again with warm_start=False."
            )

    def _check_mergeable(self, other: Any) -> None:
        if not isinstance(other, type(self)):
            raise TypeError(
                f"merge takes fitted {type(self).__name__} models, not "
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
        names: Any = getattr(self, "feature_names_in_", None)
        other_names: Any = getattr(other, "feature_names_in_", None)
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
    return np.asarray(np.searchsorted(classes, labels))
