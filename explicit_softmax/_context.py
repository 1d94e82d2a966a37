"""ContextWindowTransformer: one-hot features of windows of tokens."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from explicit_softmax._persistence import Persistent
from explicit_softmax._sklearn import (
    DocumentationLinkMixin,
    Interval,
    StrOptions,
    _check_feature_names_in,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.text.tokens import PAD_ID, PAD_STRING
from explicit_softmax.text.windows import one_hot_windows


class ContextWindowTransformer(
    Persistent, DocumentationLinkMixin, TransformerMixin, BaseEstimator
):
    """One-hot features of windows of tokens, added up or side by side.

    These are Sum and Cat of [1]_. Each row of `X` is a window made by
    `context_windows`, so rows can be shuffled, split, and sampled. All columns share
    one vocabulary of tokens, to which padding and "oov", any token out of vocabulary,
    are added: ``n_tokens + 2`` features for all positions of the window together
    ("sum") or for each of them ("cat").

    Parameters
    ----------
    context_size : int, default=None
        Number of columns of `X` to use, from the first, which is the nearest to the
        target; all by default. The others are ignored.
    aggregation : {"cat", "sum"}, default="cat"
        Whether the one-hot vectors of a window are concatenated, one block for each
        position, or added.
    categories : "auto" or array-like of shape (n_categories,), default="auto"
        The vocabulary, without padding: token ids or strings. "auto" takes the tokens
        seen in `fit`, sorted.
    max_categories : int, default=None
        Largest number of tokens in the vocabulary, not counting padding and oov. The
        most frequent are kept; among equally frequent ones, those that come first.
    min_frequency : int or float, default=None
        Number of occurrences in the columns used, or share of all tokens there except
        padding, below which a token is not kept. Overlapping windows are all counted.
    sparse_output : bool, default=True
        Whether features are a CSR array or an ndarray.
    dtype : dtype, default=np.float64
        Data type of the features.

    Attributes
    ----------
    categories_ : ndarray of shape (n_tokens,)
        The vocabulary: int64 ids, or strings as objects.
    context_size_ : int
        Number of columns used.
    n_blocks_ : int
        Number of equal blocks of features: `context_size_` for "cat", 1 for "sum".
        Pass it to `ExplicitSoftmaxClassifier` as ``n_blocks``.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of columns seen in `fit`, if all are strings.

    See Also
    --------
    context_windows : Makes windows of documents.
    ExplicitSoftmaxClassifier : Learns from the features which token follows.
    sklearn.preprocessing.OneHotEncoder : Has a vocabulary for each column.

    Notes
    -----
    Padding is -1 among ids, which may be floating point, and "" among strings. Ids are
    many times faster than strings.

    The classifier's `n_blocks` must match the window: a grid search over window sizes
    takes one grid for each size::

        Pipeline([("context", ContextWindowTransformer()),
                  ("clf", ExplicitSoftmaxClassifier())])
        [{"context__context_size": [k], "clf__n_blocks": [k]} for k in (1, 2, 4)]
        + [{"context__context_size": [1, 2, 4], "context__aggregation": ["sum"]}]

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    >>> from explicit_softmax import ContextWindowTransformer, context_windows
    >>> X, y = context_windows([["a", "rose", "is", "a", "rose"]], context_size=2)
    >>> context = ContextWindowTransformer(sparse_output=False, dtype=int).fit(X)
    >>> context.get_feature_names_out()
    array(['a@-1', 'is@-1', 'rose@-1', '<pad>@-1', '<oov>@-1', 'a@-2', 'is@-2',
           'rose@-2', '<pad>@-2', '<oov>@-2'], dtype=object)
    >>> context.transform([["rose", "a"], ["tulip", ""]])
    array([[0, 0, 1, 0, 0, 1, 0, 0, 0, 0],
           [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]])
    >>> context.set_params(aggregation="sum").transform([["rose", "a"], ["a", "a"]])
    array([[1, 0, 1, 0, 0],
           [2, 0, 0, 0, 0]])
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "context_size": [Interval(Integral, 1, None, closed="left"), None],
        "aggregation": [StrOptions({"cat", "sum"})],
        "categories": [StrOptions({"auto"}), "array-like"],
        "max_categories": [Interval(Integral, 1, None, closed="left"), None],
        "min_frequency": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "sparse_output": ["boolean"],
        "dtype": "no_validation",  # type: ignore[dict-item]
    }

    def __init__(
        self,
        *,
        context_size: int | None = None,
        aggregation: str = "cat",
        categories: ArrayLike | str = "auto",
        max_categories: int | None = None,
        min_frequency: float | None = None,
        sparse_output: bool = True,
        dtype: Any = np.float64,
    ) -> None:
        self.context_size = context_size
        self.aggregation = aggregation
        self.categories = categories
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.sparse_output = sparse_output
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the vocabulary.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns)
            Windows of token ids or of strings, the nearest token first.
        y : object, default=None
            Ignored.

        Returns
        -------
        self : ContextWindowTransformer

        Raises
        ------
        TypeError
            If tokens are neither whole numbers nor strings, or are of both kinds, or of
            another kind than `categories`.
        ValueError
            If `context_size` is more than the number of columns, if a number is no id,
            or if `categories` are not distinct or hold padding. A transformer that was
            fitted before stays as it was.
        """
        with restored_on_error(self):
            windows = self._read(X, reset=True)
            n_columns = windows.shape[1]
            self.context_size_ = int(self.context_size or n_columns)
            if self.context_size_ > n_columns:
                raise ValueError(
                    f"context_size={self.context_size} is more than the columns of X, "
                    f"{n_columns}: make larger windows, or reduce context_size"
                )
            self._learn(windows[:, : self.context_size_])
        return self

    def transform(self, X: Any) -> Any:
        """Features of windows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns)
            Windows of token ids or of strings, the nearest token first.

        Returns
        -------
        features : csr_array or ndarray of shape (n_samples, n_features)
            ``n_features = n_blocks_ * (n_tokens + 2)``.

        Raises
        ------
        TypeError
            If tokens are of another kind than in `fit`.
        ValueError
            If a number is no id, or if `X` has another number of columns than in `fit`.
        """
        check_is_fitted(self)
        tokens = self._read(X, reset=False)[:, : self.context_size_]
        _check_kind(tokens, self.categories_, "fit")
        distinct, places = _distinct(tokens)
        n_codes = len(self._code_of) + 1
        codes = [self._code_of.get(token, n_codes - 1) for token in distinct.tolist()]
        windows = np.array(codes, dtype=np.int32)[places]
        aggregation: Any = self.aggregation
        rows = one_hot_windows(windows, n_codes, aggregation, self.dtype)
        return rows if self.sparse_output else rows.toarray()

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of `X`; only checked, not used.

        Returns
        -------
        names : ndarray of str objects
            ``token@-1`` for a token at the nearest position ("cat"), or ``token``
            ("sum"). Padding and oov are ``<pad>`` and ``<oov>``, with another pair of
            brackets, ``<<pad>>``, if a token has that name.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features)
        names = [str(token) for token in self.categories_]
        for special in ("<pad>", "<oov>"):
            while special in names:
                special = f"<{special}>"
            names.append(special)
        if self.aggregation == "cat":
            places = range(1, self.context_size_ + 1)
            names = [f"{name}@-{place}" for place in places for name in names]
        return np.array(names, dtype=object)

    @property
    def n_blocks_(self) -> int:
        check_is_fitted(self)
        return self.context_size_ if self.aggregation == "cat" else 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True  # except for -1, which is padding
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _read(self, X: Any, *, reset: bool) -> NDArray[Any]:
        return _as_tokens(validate_data(self, X, reset=reset, dtype=None), X, "X")

    def _learn(self, windows: NDArray[Any]) -> None:
        """Choose the vocabulary."""
        pad = PAD_STRING if windows.dtype == object else PAD_ID
        distinct, places = _distinct(windows)
        number = np.bincount(places.ravel())
        number[distinct == pad] = 0
        if isinstance(self.categories, str):
            known, count = distinct[number > 0], number[number > 0]
        else:
            values = check_array(self.categories, dtype=None, ensure_2d=False)
            known = _as_tokens(values.reshape(-1, 1), self.categories, "categories")
            _check_kind(windows, known, "categories")
            known = known.ravel()
            if values.ndim > 1 or len({pad, *known.tolist()}) <= known.size:
                raise ValueError(
                    "categories must be a list of distinct tokens for all columns, "
                    f"without padding ({pad!r})"
                )
            number_of = dict(zip(distinct.tolist(), number.tolist(), strict=True))
            count = np.array([number_of.get(token, 0) for token in known.tolist()])
        least = self.min_frequency or 0
        if least < 1:  # a share
            least *= number.sum()
        kept = np.argsort(-count, kind="stable")[: self.max_categories]
        self.categories_ = known[np.sort(kept[count[kept] >= least])]
        self._number_tokens()

    def _number_tokens(self) -> None:
        pad = PAD_STRING if self.categories_.dtype == object else PAD_ID
        tokens = [*self.categories_.tolist(), pad]
        self._code_of = {token: number for number, token in enumerate(tokens)}
        if len(self._code_of) != len(tokens):
            raise ValueError("tokens of categories_ are not distinct, or padding")

    def _check_consistent(self) -> None:
        tokens, size = self.categories_, self.context_size_
        right = type(size) is int and size >= 1 and self._has_columns()
        right = right and np.dtype(self.dtype).kind in "biuf"
        right = right and size <= self.n_features_in_ and tokens.ndim == 1
        if right and tokens.dtype == object:
            right = all(type(token) is str for token in tokens)
        else:
            right = right and tokens.dtype == np.int64
            right = right and not (tokens < PAD_ID).any()
        if not right:
            raise ValueError("its vocabulary and context are not those of windows")
        self._number_tokens()


def _distinct(tokens: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Sorted distinct values, and the place of each token among them."""
    if tokens.dtype != object and tokens.max() < tokens.size:
        # Much faster than sorting: all ids up to the largest, whether seen or not.
        return np.arange(PAD_ID, tokens.max() + 1), tokens - PAD_ID
    encoder = LabelEncoder()  # hashes strings, which np.unique would sort
    places = encoder.fit_transform(tokens.ravel())
    return encoder.classes_, places.reshape(tokens.shape)


def _as_tokens(values: NDArray[Any], given: Any, name: str) -> NDArray[Any]:
    """Ids as int64, or strings as objects, of a checked 2-d array made of `given`."""
    if values.dtype.kind == "U":
        # NumPy makes strings of numbers that stand among strings in a list.
        source = values if hasattr(given, "dtype") else given
        values = np.array(source, dtype=object).reshape(values.shape)
    demand = f"the {name} argument must be all strings or all numbers (ids)"
    if values.dtype.kind == "O":
        is_string = isinstance(values.flat[0], str)
        allowed = str if is_string else int | float | np.integer | np.floating
        kinds = set(map(type, values.flat))
        others = {kind for kind in kinds if not issubclass(kind, allowed)} | {bool}
        if kinds & others:
            at = next(n for n, token in enumerate(values.flat) if type(token) in others)
            kind = type(values.flat[at]).__name__
            raise TypeError(f"{demand}; row {at // values.shape[1]} holds a {kind}")
        if is_string:
            return values
        values = np.array(values.tolist())
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{demand}, not values of type {values.dtype}")
    with np.errstate(invalid="ignore"):  # of numbers beyond int64
        ids = values.astype(np.int64, copy=False)
    wrong = (values < PAD_ID) | (values >= 2**63) | (ids != values)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        negative = "Negative values in data: " if values[row, column] < 0 else ""
        raise ValueError(
            f"{negative}row {row} of {name} holds {values[row, column]}. Ids are whole "
            f"numbers from 0 to 2**63 - 1, and {PAD_ID} stands for padding."
        )
    return ids


def _check_kind(tokens: NDArray[Any], known: NDArray[Any], origin: str) -> None:
    kinds = ["strings" if a.dtype == object else "ids" for a in (tokens, known)]
    if kinds[0] != kinds[1]:
        raise TypeError(f"X holds tokens as {kinds[0]}, and {origin} had {kinds[1]}")
