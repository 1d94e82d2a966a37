"""PositiveFeatures: non-negative features from any finite ones."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from explicit_softmax._persistence import Persistent
from explicit_softmax._sklearn import (
    DocumentationLinkMixin,
    Interval,
    StrOptions,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.solution.counts import raise_bad_value

# Quantiles with a smaller relative difference differ by rounding only.
_ROUNDING = 16 * np.finfo(np.float64).eps


class PositiveFeatures(
    Persistent, DocumentationLinkMixin, TransformerMixin, BaseEstimator
):
    """Map features to non-negative ones.

    The explicit solution takes logarithms of sums of features and is undefined for
    negative ones. Both methods replace each feature by several non-negative ones.

    Parameters
    ----------
    method : {"bins", "split"}, default="bins"
        How a feature x is replaced:

        - "bins": by `n_bins` soft bins with quantiles of the fitted feature as knots.
          A value at a knot has weight 1 in its bin; a value between two knots is shared
          linearly. The bins of a feature sum to one, so every row has the same norm, as
          the theorem assumes. Values beyond the outermost knots are clipped to them.
        - "split": by max(x, 0) and max(-x, 0). Sparse rows stay sparse.
    n_bins : int, default=10
        Number of knots of a feature for "bins", including its smallest and largest
        value. Quantiles that coincide count once; a constant feature has one bin.
    scale : bool, default=True
        Whether "split" divides each feature by its largest absolute fitted value, to
        be independent of units. "bins" always is.

    Attributes
    ----------
    knots_ : list of ndarray of shape (n_bins_[feature],)
        Increasing knots of each feature, in its units ("bins" only).
    n_bins_ : ndarray of shape (n_features_in_,)
        Number of bins of each feature ("bins" only).
    scale_ : ndarray of shape (n_features_in_,)
        Divisor of each feature, in its units; 1 for features of zeros ("split" only).
    n_features_in_ : int
        Number of features of the fitted rows.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if all are strings.

    See Also
    --------
    sklearn.preprocessing.SplineTransformer : With degree 1, the same bins if no
        quantiles coincide.

    Notes
    -----
    "bins" are ordered by feature and "split" by sign: ``n_blocks=transformer.n_bins_``
    or ``n_blocks=2`` give each feature or sign its own inverse temperature. One for
    each feature helps with many rows; with few rows or separable classes it may be much
    worse, so compare.

    ``python benchmarks/run.py positive`` compares both methods to other models on five
    data sets. "bins" has a lower log-loss than GaussianNB on four of them, and than
    LogisticRegression on two.

    Examples
    --------
    >>> from explicit_softmax import PositiveFeatures
    >>> rows = [[-1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]
    >>> split = PositiveFeatures(method="split", scale=False)
    >>> split.fit_transform(rows)
    array([[0., 0., 1., 0.],
           [0., 2., 0., 0.],
           [3., 4., 0., 0.]])
    >>> split.get_feature_names_out()
    array(['x0+', 'x1+', 'x0-', 'x1-'], dtype=object)
    >>> bins = PositiveFeatures(n_bins=3).fit(rows)
    >>> bins.transform([[1.5, 2.0]])
    array([[0. , 0.5, 0.5, 0. , 1. , 0. ]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "method": [StrOptions({"bins", "split"})],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "scale": ["boolean"],
    }

    def __init__(
        self,
        method: Literal["bins", "split"] = "bins",
        *,
        n_bins: int = 10,
        scale: bool = True,
    ) -> None:
        self.method = method
        self.n_bins = n_bins
        self.scale = scale

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the knots or the largest absolute values of the features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Finite features. Sparse rows need ``method="split"``.
        y : None
            Ignored.

        Returns
        -------
        self : PositiveFeatures

        Raises
        ------
        ValueError
            If a feature is not finite, or its range overflows float64 ("bins" only).
        TypeError
            If rows are sparse and the method is "bins".
        """
        with restored_on_error(self):
            rows = self._check_rows(X, bins=self.method == "bins", reset=True)
            for name in ("knots_", "n_bins_", "scale_"):
                self.__dict__.pop(name, None)
            if self.method == "bins":
                self.knots_ = _quantile_knots(rows, self.n_bins)
                self.n_bins_ = np.array([len(knots) for knots in self.knots_])
            else:
                largest = abs(rows).max(axis=0)
                if sp.issparse(largest):
                    largest = largest.toarray().ravel()
                divided = (largest > 0) & self.scale
                self.scale_ = np.where(divided, largest, 1.0).astype(np.float64)
        return self

    def transform(self, X: Any) -> Any:
        """Compute the non-negative features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Finite features.

        Returns
        -------
        rows : {ndarray, csr_array} of shape (n_samples, n_features_out)
            ``n_bins_.sum()`` features for "bins" and 2 n_features for "split"; sparse
            and float32 if `X` is.

        Raises
        ------
        ValueError
            If a feature is not finite, or overflows when it is scaled.
        """
        check_is_fitted(self)
        bins = hasattr(self, "knots_")
        rows = self._check_rows(X, bins=bins, reset=False)
        if bins:
            return _soft_bins(rows, self.knots_)
        return _signed_parts(rows, self.scale_)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Names of the features that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the given features; by default those seen in `fit`, or x0, x1, ...

        Returns
        -------
        names : ndarray of str
            For a feature x0: x0[0], x0[1], ... ("bins"), or x0+ and x0- ("split").
        """
        check_is_fitted(self)
        given = OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        names = [f"{name}{sign}" for sign in "+-" for name in given]
        if hasattr(self, "knots_"):
            counts = zip(given, self.n_bins_, strict=True)
            names = [f"{name}[{i}]" for name, count in counts for i in range(count)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.method == "split"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_consistent(self) -> None:
        fitted = vars(self)
        fits = self._has_columns() and ("knots_" in fitted) != ("scale_" in fitted)
        if fits and "knots_" in fitted:
            fits = len(self.knots_) == self.n_features_in_
            fits = fits and all(_are_knots(knots) for knots in self.knots_)
            fits = fits and np.array_equal(self.n_bins_, list(map(len, self.knots_)))
        elif fits:
            scale = self.scale_
            fits = scale.shape == (self.n_features_in_,) and scale.dtype == np.float64
            fits = fits and bool(((scale > 0) & np.isfinite(scale)).all())
        if not fits:
            raise ValueError("its knots, or scales, are not those of its features")

    def _check_rows(self, X: Any, *, bins: bool, reset: bool) -> Any:
        """Finite rows, dense or CSR; errors name the first bad row, or sparse rows."""
        if bins and sp.issparse(X):
            raise TypeError(
                "Sparse data was passed for X, and bins of zeros are not zero: use "
                'method="split", or pass X.toarray()'
            )
        rows = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
        )
        if not np.isfinite(rows.data if sp.issparse(rows) else rows).all():
            raise_bad_value(abs(rows), 0)
        return rows


def _quantile_knots(rows: NDArray[Any], n_knots: int) -> list[NDArray[np.float64]]:
    """Quantiles of each feature that differ by more than rounding, increasing."""
    shares = np.linspace(0.0, 1.0, n_knots)
    all_knots = []
    for feature in range(rows.shape[1]):
        column = rows[:, feature].astype(np.float64)
        with np.errstate(over="ignore"):
            overflows = np.isinf(np.ptp(column))
        if overflows:
            raise ValueError(
                f"the range of feature {feature} overflows float64: divide the feature "
                "by a constant"
            )
        knots = np.quantile(column, shares)
        least = np.maximum(_ROUNDING * np.abs(knots[1:]), np.finfo(np.float64).tiny)
        all_knots.append(knots[np.append(True, np.diff(knots) > least)])
    return all_knots


def _are_knots(knots: NDArray[Any]) -> bool:
    """Whether these are finite, increasing numbers of one feature."""
    right = knots.ndim == 1 and knots.dtype == np.float64 and knots.size > 0
    return bool(right and np.isfinite(knots).all() and (knots[1:] > knots[:-1]).all())


def _soft_bins(
    rows: NDArray[Any], all_knots: list[NDArray[np.float64]]
) -> NDArray[Any]:
    """Hat functions of the knots (B-splines of degree one)."""
    n_rows = rows.shape[0]
    hats = np.zeros((n_rows, sum(map(len, all_knots))), dtype=rows.dtype)
    at, first = np.arange(n_rows), 0
    for values, knots in zip(rows.T, all_knots, strict=True):
        last = len(knots) - 1
        position = np.interp(values, knots, np.arange(len(knots)))
        lower = np.minimum(position.astype(np.intp), max(last - 1, 0))
        share = np.minimum(position - lower, 1.0)  # rounding may exceed 1
        hats[at, first + lower] = 1.0 - share
        if last:  # a single bin is full
            hats[at, first + lower + 1] = share
        first += len(knots)
    return hats


def _signed_parts(rows: Any, scale: NDArray[np.float64]) -> Any:
    """Features x / scale as [max(x, 0), max(-x, 0)]; CSR without zeros if `rows` is."""
    with np.errstate(over="ignore"):
        if sp.issparse(rows):
            scaled = sp.csr_array(rows, dtype=np.float64, copy=True)
            scaled.data /= scale[scaled.indices]
            parts = sp.hstack([scaled.maximum(0.0), (-scaled).maximum(0.0)], "csr")
            parts.eliminate_zeros()  # older releases of SciPy store them
        else:
            scaled = rows / scale
            parts = np.hstack([np.maximum(scaled, 0.0), np.maximum(-scaled, 0.0)])
        parts = parts.astype(rows.dtype, copy=False)
    if not np.isfinite(parts.data if sp.issparse(parts) else parts).all():
        raise ValueError(
            f"a feature divided by its fitted scale overflows {rows.dtype}: clip the "
            "rows to the range of the fitted ones"
        )
    return parts
