"""Calibration of probabilities: reliability in bins, and the expected error."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from explicit_softmax._sklearn import _check_sample_weight

N_BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Mean confidence, accuracy, and share of the weight of each bin with rows."""

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    share: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error."""
        return float(self.share @ np.abs(self.confidence - self.accuracy))


def expected_calibration_error(
    y_true: ArrayLike,
    y_prob: ArrayLike,
    *,
    n_bins: int = N_BINS,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Expected calibration error (ECE) of the most probable class.

    Rows are put into bins of equal width by their highest probability, the confidence.
    The error is the mean over bins, weighted by their rows, of the absolute difference
    of mean confidence and accuracy: 0 if what is said with a confidence of 80 % is
    right in 80 % of the cases.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    y_prob : array-like of shape (n_samples, n_classes) or (n_samples,)
        Probabilities of the classes in sorted order, as of `predict_proba`; of the
        second class if one-dimensional.
    n_bins : int, default=15
        Number of bins; bin i holds confidences in (i / n_bins, (i + 1) / n_bins].
    labels : array-like of shape (n_classes,), default=None
        Sorted labels of the columns, such as `classes_`; those of `y_true` by default.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    error : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If `y_prob` has another number of columns than there are labels, or values that
        are no probabilities.

    See Also
    --------
    ReliabilityDisplay : Confidence and accuracy of each bin as a plot.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, and M. Hauskrecht, "Obtaining Well Calibrated
       Probabilities Using Bayesian Binning", AAAI 2015.

    Examples
    --------
    >>> from explicit_softmax import expected_calibration_error
    >>> y_prob = [[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.2, 0.8]]
    >>> round(expected_calibration_error([0, 0, 1, 0], y_prob), 2)
    0.2
    """
    return top_label_reliability(y_true, y_prob, n_bins, labels, sample_weight).error


def top_label_reliability(
    y_true: Any, y_prob: Any, n_bins: Any, labels: Any, sample_weight: Any
) -> Reliability:
    """Reliability of the most probable class; arguments as given by a user."""
    if not isinstance(n_bins, Integral) or n_bins < 1:
        raise ValueError(f"n_bins must be an integer of at least 1, not {n_bins!r}")
    y = column_or_1d(y_true)
    prob = check_array(y_prob, ensure_2d=False, dtype=np.float64, input_name="y_prob")
    check_consistent_length(y, prob)
    if prob.ndim == 1:
        prob = np.column_stack([1 - prob, prob])
    if not ((prob >= 0) & (prob <= 1 + 1e-6)).all():
        raise ValueError("y_prob must be probabilities: some are below 0 or above 1")
    classes = np.unique(y) if labels is None else np.unique(column_or_1d(labels))
    if len(classes) != prob.shape[1]:
        raise ValueError(
            f"y_prob has {prob.shape[1]} columns, and there are {len(classes)} labels: "
            "pass those of all columns as labels"
        )
    weights = _check_sample_weight(sample_weight, prob, dtype=np.float64)
    right = classes[prob.argmax(axis=1)] == y
    return reliability(prob.max(axis=1), right, weights, int(n_bins))


def reliability(
    confidence: NDArray[np.float64],
    right: NDArray[np.bool_],
    weights: NDArray[np.float64],
    n_bins: int = N_BINS,
) -> Reliability:
    """Reliability in bins of equal width, those without rows left out."""
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    mass, sure, hits = (
        np.bincount(bins, weights * values, minlength=n_bins)
        for values in (np.ones(len(bins)), confidence, right)
    )
    filled = mass > 0
    mass = mass[filled]
    return Reliability(sure[filled] / mass, hits[filled] / mass, mass / mass.sum())
