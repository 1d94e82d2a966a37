"""What classifiers with scores share: checks of rows, predictions, and tags."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.extmath import softmax
from sklearn.utils.validation import check_is_fitted, validate_data

from explicit_softmax._doc_link import DocumentationLinkMixin
from explicit_softmax._sklearn import CallbackSupportMixin, _check_sample_weight
from explicit_softmax.solution.counts import raise_bad_value, row_blocks

# Scores that `predict` holds at a time.
_CHUNK_VALUES = 2**20


class ScoringClassifier(
    DocumentationLinkMixin, CallbackSupportMixin, ClassifierMixin, BaseEstimator
):
    """Predictions of a subclass that sets `classes_` and has `_raw_scores`."""

    classes_: NDArray[Any]

    def _raw_scores(self, rows: Any) -> NDArray[Any]:
        """Scores in the type of the rows, not finite where these are not."""
        raise NotImplementedError

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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = True
        # Non-negative features of one sign and scale are the domain of the model;
        # shifted Gaussian blobs are not.
        tags.classifier_tags.poor_score = True
        return tags

    def _scores(self, rows: Any) -> NDArray[Any]:
        with np.errstate(invalid="ignore", over="ignore"):
            scores = self._raw_scores(rows)
        # Features that are not finite give scores that are not: no pass of its own.
        if not np.isfinite(scores).all():
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
        if sp.issparse(rows):
            rows = _canonical(rows)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, rows, dtype=np.float64, ensure_non_negative=True
            )
            if not weights.any():  # checked by scikit-learn >= 1.9
                raise ValueError("sample_weight is zero for all rows: nothing to count")
        return rows, labels, weights


def _canonical(rows: Any) -> Any:
    """Rows in which each non-zero feature is stored once; a copy where they are not."""
    if not rows.has_canonical_format or not rows.data.all():
        rows = rows.copy()
        rows.sum_duplicates()
        rows.eliminate_zeros()
    return rows
