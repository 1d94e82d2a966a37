"""PositiveFeatures: non-negative features, invertibly, from any finite ones."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from explicit_softmax._sklearn import DocumentationLinkMixin
from explicit_softmax._positive import (
    feature_limits,
    quantile_knots,
    signed_parts,
    soft_bins,
)
from explicit_softmax._sklearn import (
    Interval,
    StrOptions,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.solution.counts import raise_bad_value

_DTYPES = [np.float64, np.float32]


class PositiveFeatures(DocumentationLinkMixin, TransformerMixin, BaseEstimator):
    """Makes features non-negative, as the explicit solution needs them, invertibly.

    The theorem takes logarithms of sums of features, so that it has no meaning for
    negative ones. Each method here writes a feature as one or more non-negative ones,
    from which it can be computed again.

    Parameters
    ----------
    method : {"bins", "split", "shift"}, default="bins"
        What becomes of a feature x:

        - "bins": `n_bins` soft bins. Quantiles of the fitted feature are the knots; a
          value at a knot has weight 1 in the bin of that knot, and one between two
          knots is shared by their bins linearly. The bins of a feature sum to one, so
          that every row has the norm n_features, as the theorem wants. Values beyond
          the outermost knots count as those.
        - "split": [x+, x-] with x+ = max(x, 0) and x- = max(-x, 0). Zeros stay zeros,
          and sparse rows stay sparse.
        - "shift": x - min, with the smallest fitted value. Smaller ones become 0.
    n_bins : int, default=10
        Knots of a feature for "bins", the smallest and the largest value among them. A
        feature has fewer where quantiles coincide, and a constant one has one. With 2
        bins, a feature becomes its distances from both ends, as parts of its range.
    scale : bool, default=True
        Whether "split" divides each feature by its largest absolute fitted value and
        "shift" by its fitted range, so that features count alike whatever their units.
        Of no effect for "bins", which no increasing linear map of a feature changes.
    sparse_output : bool or "auto", default="auto"
        Whether to return rows in CSR. "auto" does where the rows given are sparse. True
        saves memory for "bins", of which at most two a feature are not zero.

    Attributes
    ----------
    knots_ : list of ndarray of shape (n_bins_[feature],)
        Increasing knots of each feature, in its units. For "bins" only.
    n_bins_ : ndarray of shape (n_features_in_,)
        Number of bins of each feature. For "bins" only.
    data_min_ : ndarray of shape (n_features_in_,)
        What is subtracted, in the units of the features. For "shift" only.
    scale_ : ndarray of shape (n_features_in_,)
        What features are divided by, in their units; 1 where that would be 0. For
        "shift" and "split" only.
    n_features_in_ : int
        Number of features of the fitted rows.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where all are strings.

    See Also
    --------
    sklearn.preprocessing.SplineTransformer : With degree 1, the same soft bins where no
        quantiles coincide.
    sklearn.preprocessing.KBinsDiscretizer : Hard bins.

    Notes
    -----
    "split" returns all x+ before all x-, and "bins" all bins of the first feature
    before those of the second, so that ``n_blocks=2`` and
    ``n_blocks=transformer.n_bins_`` give an inverse temperature to each sign or feature
    in `ExplicitSoftmaxClassifierCV`. One for each feature helps where rows are many;
    where they are few, or classes can be separated, it may be much worse: compare.

    The defaults are those measured best on the whole. Mean log-loss and accuracy of
    five folds, of this transformer and `ExplicitSoftmaxClassifierCV` with defaults, all
    after a StandardScaler (``python benchmarks/positive_features.py``):

    ==================  ==========  ==========  =============  ==========  ============
    model               iris        wine        breast cancer  digits      covtype-like
    ==================  ==========  ==========  =============  ==========  ============
    "bins"              0.138 95.3  0.061 97.7  0.136 94.4     0.266 91.7  0.692 76.9
    "split"             0.199 92.0  0.074 97.2  0.125 94.6     0.271 91.4  0.689 76.0
    "shift"             0.238 94.0  0.138 93.8  0.199 92.8     0.324 90.0  0.765 73.2
    GaussianNB          0.128 96.0  0.102 97.2  0.614 93.0     3.817 78.6  0.733 76.6
    LogisticRegression  0.155 96.0  0.063 98.3  0.074 97.9     0.108 96.9  0.685 76.1
    ==================  ==========  ==========  =============  ==========  ============

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from explicit_softmax import ExplicitSoftmaxClassifierCV, PositiveFeatures
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(PositiveFeatures(), ExplicitSoftmaxClassifierCV())
    >>> round(model.fit(X[::2], y[::2]).score(X[1::2], y[1::2]), 2)
    0.95

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
    >>> bins.inverse_transform([[0.0, 0.5, 0.5, 0.0, 1.0, 0.0]])
    array([[1.5, 2. ]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "method": [StrOptions({"bins", "split", "shift"})],
        "n_bins": [Interval(Integral, 2, None, closed="left")],
        "scale": ["boolean"],
        "sparse_output": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        method: Literal["bins", "split", "shift"] = "bins",
        *,
        n_bins: int = 10,
        scale: bool = True,
        sparse_output: bool | Literal["auto"] = "auto",
    ) -> None:
        self.method = method
        self.n_bins = n_bins
        self.scale = scale
        self.sparse_output = sparse_output

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the knots, the largest values, or the ranges of the features.

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
            If a feature is not finite, or spans more than float64 can hold.
        TypeError
            If rows are sparse, and the method would not leave their zeros zero.
        """
        with restored_on_error(self):
            rows = self._check_rows(X, reset=True)
            low, high = feature_limits(rows)
            learnt: dict[str, Any]
            if self.method == "split":
                learnt = {"scale_": self._divisor(np.maximum(high, -low))}
            elif self.method == "shift":
                learnt = {"data_min_": low, "scale_": self._divisor(high - low)}
            else:
                knots = [quantile_knots(column, self.n_bins) for column in rows.T]
                learnt = {"knots_": knots, "n_bins_": np.array([*map(len, knots)])}
            for name in ("data_min_", "scale_", "knots_", "n_bins_"):
                self.__dict__.pop(name, None)
            self.__dict__.update(learnt)
            self._fitted_method = self.method
        return self

    def transform(self, X: Any) -> Any:
        """Non-negative features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Finite features.

        Returns
        -------
        rows : {ndarray, csr_array} of shape (n_samples, n_features_out)
            In float32 where `X` is. There are n_features for "shift", 2 n_features for
            "split", and ``n_bins_.sum()`` for "bins".

        Raises
        ------
        ValueError
            If a feature is not finite, or not after scaling.
        """
        check_is_fitted(self)
        rows = self._check_rows(X, reset=False)
        sparse = self.sparse_output
        if sparse == "auto":
            sparse = sp.issparse(rows)
        if self._fitted_method == "bins":
            return soft_bins(rows, self.knots_, sparse=bool(sparse))
        with np.errstate(over="ignore"):
            if self._fitted_method == "split":
                positive = signed_parts(rows, self.scale_)
            else:
                positive = np.maximum((rows - self.data_min_) / self.scale_, 0.0)
            positive = positive.astype(rows.dtype, copy=False)
        if not np.isfinite(positive.data if sp.issparse(positive) else positive).all():
            raise ValueError(
                "a feature divided by its fitted scale is too large for "
                f"{rows.dtype}: clip the rows to the range of the fitted ones"
            )
        if sparse:
            return sp.csr_array(positive)
        return positive.toarray() if sp.issparse(positive) else positive

    def inverse_transform(self, X: Any) -> Any:
        """Features from non-negative ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features_out)
            What `transform` returned.

        Returns
        -------
        rows : {ndarray, csr_array} of shape (n_samples, n_features)
            What was transformed, but for rounding, and for values below the smallest
            ("shift") or beyond the outermost ("bins") fitted one, which return as that.
            Sparse for "split" where `X` is.

        Raises
        ------
        ValueError
            If `X` has another number of features than `transform` returns.
        """
        check_is_fitted(self)
        rows = check_array(X, accept_sparse="csr", dtype=_DTYPES, input_name="X")
        if self._fitted_method == "bins":
            back = sp.block_diag([knots[:, None] for knots in self.knots_])
        else:
            back = sp.diags_array(self.scale_)
            if self._fitted_method == "split":
                back = sp.vstack([back, -back])
        if rows.shape[1] != back.shape[0]:
            raise ValueError(
                f"X has {rows.shape[1]} features, and transform of this "
                f"PositiveFeatures returns {back.shape[0]}: pass what it returned"
            )
        features = rows @ sp.csr_array(back)
        if sp.issparse(features) and self._fitted_method != "split":
            features = features.toarray()
        if self._fitted_method == "shift":
            features = features + self.data_min_
        return features.astype(rows.dtype, copy=False)

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
        """Names of the features that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features given; by default those seen in `fit`, or x0, x1, ...

        Returns
        -------
        names : ndarray of str
            For a feature x0: x0 ("shift"), x0+ and x0- ("split"), or x0[0], x0[1] and
            so on ("bins"). Different features have different names.
        """
        check_is_fitted(self)
        given = OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        names: list[str] = list(given)
        if self._fitted_method == "split":
            names = [f"{name}{sign}" for sign in "+-" for name in given]
        elif self._fitted_method == "bins":
            names = [
                f"{name}[{i}]"
                for name, n_bins in zip(given, self.n_bins_, strict=True)
                for i in range(n_bins)
            ]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted_method")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.method == "split"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_rows(self, X: Any, *, reset: bool) -> Any:
        method = self.method if reset else self._fitted_method
        if sp.issparse(X) and method != "split":
            raise TypeError(
                f"Sparse data was passed for X, and method={method!r} does not leave "
                'zeros zero: use method="split", or pass X.toarray()'
            )
        rows = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=_DTYPES,
            ensure_all_finite=False,
        )
        if not np.isfinite(rows.data if sp.issparse(rows) else rows).all():
            raise_bad_value(abs(rows), 0)
        return rows

    def _divisor(self, size: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(size > 0, size, 1.0) if self.scale else np.ones_like(size)
