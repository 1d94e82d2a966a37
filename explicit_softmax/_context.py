"""ContextWindowTransformer: one-hot features of windows of tokens."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from explicit_softmax._sklearn import (
    DocumentationLinkMixin,
    Interval,
    StrOptions,
    _check_feature_names_in,
    _fit_context,
    _get_output_config,
    restored_on_error,
)
from explicit_softmax.text.vocabulary import (
    TokenCounts,
    Vocabulary,
    as_tokens,
    as_vocabulary,
    check_kind,
)
from explicit_softmax.text.windows import one_hot_windows


class ContextWindowTransformer(DocumentationLinkMixin, TransformerMixin, BaseEstimator):
    """One-hot features of windows of tokens: Sum and Cat of [1]_.

    Each row of `X` is a window made by `context_windows`, so rows can be shuffled,
    split, and sampled. All columns share one vocabulary of tokens, to which padding and
    "oov", any token out of vocabulary, are added: ``n_tokens + 2`` features for all
    positions of the window together ("sum") or for each of them ("cat").

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
        padding, below which a token is not kept. A token of a document is in up to
        `context_size` windows and is counted in each.
    handle_unknown : {"oov", "error"}, default="oov"
        What to do with tokens that are neither in `categories` nor seen in `fit`.
        Tokens excluded by `max_categories` or `min_frequency` are always oov.
    sparse_output : bool, default=True
        Whether features are a CSR array or an ndarray.
    dtype : dtype, default=np.float64
        Data type of the features.

    Attributes
    ----------
    categories_ : ndarray of shape (n_tokens,)
        The vocabulary: int64 ids, or strings as objects.
    infrequent_categories_ : ndarray
        Known tokens that `max_categories` or `min_frequency` excluded.
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
    Padding is -1 among ids and the empty string among strings. Ids may be floating
    point, and are several times faster than strings.

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
    >>> context.set_params(aggregation="sum").fit_transform(X)
    array([[0, 0, 0, 2, 0],
           [1, 0, 0, 1, 0],
           [1, 0, 1, 0, 0],
           [0, 1, 1, 0, 0],
           [1, 1, 0, 0, 0]])
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
        "handle_unknown": [StrOptions({"oov", "error"})],
        "sparse_output": ["boolean"],
        "dtype": "no_validation",  # type: ignore[dict-item]
    }

    context_size_: int
    _counts: TokenCounts
    _vocabulary: Vocabulary

    def __init__(
        self,
        *,
        context_size: int | None = None,
        aggregation: str = "cat",
        categories: ArrayLike | str = "auto",
        max_categories: int | None = None,
        min_frequency: float | None = None,
        handle_unknown: str = "oov",
        sparse_output: bool = True,
        dtype: Any = np.float64,
    ) -> None:
        self.context_size = context_size
        self.aggregation = aggregation
        self.categories = categories
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.handle_unknown = handle_unknown
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
            if `categories` are not distinct or hold padding, or under
            ``handle_unknown="error"`` if a token is not in `categories`. A transformer
            that was fitted before stays as it was.
        """
        with restored_on_error(self):
            return self._learn(X, None)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add windows to those that the vocabulary is learned from.

        Batches in any order give the same features as one `fit` of all. Features change
        their columns as long as the vocabulary grows.

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
        TypeError, ValueError
            As `fit`, and if `X` or `context_size` differs in size or kind from that of
            earlier calls.
        """
        with restored_on_error(self):
            return self._learn(X, getattr(self, "_counts", None))

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
            If a number is no id, if the number of columns differs from that in `fit`,
            or under ``handle_unknown="error"`` if a token is unknown.
        """
        check_is_fitted(self)
        self._check_output()
        codes = self._encode(self._read(X, reset=False)[:, : self.context_size_])
        aggregation: Any = self.aggregation
        rows = one_hot_windows(codes, self._vocabulary.n_codes, aggregation, self.dtype)
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
        # Numbers are ids from 0 up; -1 is padding.
        tags.input_tags.positive_only = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _read(self, X: Any, *, reset: bool) -> NDArray[Any]:
        values = validate_data(self, X, reset=reset, dtype=None)
        if values.dtype.kind == "U" and not hasattr(X, "dtype"):
            # NumPy makes strings of numbers that stand among strings in a list.
            values = np.asarray(X, dtype=object)
        return as_tokens(values)

    def _learn(self, X: Any, earlier: TokenCounts | None) -> Self:
        """Count windows on top of earlier ones, and choose the vocabulary."""
        self._check_output()
        windows = self._read(X, reset=earlier is None)
        n_columns = windows.shape[1]
        size = n_columns if self.context_size is None else int(self.context_size)
        if size > n_columns:
            raise ValueError(
                f"context_size={size} is more than the columns of X, {n_columns}: make "
                "larger windows, or reduce context_size"
            )
        if earlier is not None and size != self.context_size_:
            raise ValueError(
                f"context_size={size} is not the same as on the last call to "
                f"partial_fit or fit: {self.context_size_}"
            )
        self.context_size_ = size
        windows = windows[:, :size]
        if earlier is not None:
            check_kind(windows, earlier.tokens, "the windows before")
        given = None
        if not isinstance(self.categories, str):
            given = as_vocabulary(self.categories)
            check_kind(windows, given, "categories")
        counts = TokenCounts.from_windows(windows)
        self._counts = counts if earlier is None else earlier + counts
        known = self._counts.tokens if given is None else given
        kept = self._counts.frequent(known, self.min_frequency, self.max_categories)
        self.categories_ = known[kept]
        self.infrequent_categories_ = known[~kept]
        self._vocabulary = Vocabulary(self.categories_)
        if given is not None and self.handle_unknown == "error":
            self._encode(windows)
        return self

    def _encode(self, windows: NDArray[Any]) -> NDArray[np.int32]:
        check_kind(windows, self.categories_, "fit")
        codes = self._vocabulary.encode(windows)
        if self.handle_unknown == "error":
            out = np.argwhere(codes == self._vocabulary.oov)
            tokens = windows[tuple(out.T)]
            infrequent = Vocabulary(self.infrequent_categories_)
            for at in np.flatnonzero(infrequent.encode(tokens) == infrequent.oov)[:1]:
                raise ValueError(
                    f"row {out[at][0]} holds the unknown token "
                    f"{tokens.tolist()[at]!r}; handle_unknown='oov' would accept it"
                )
        return codes

    def _check_output(self) -> None:
        container = _get_output_config("transform", estimator=self)["dense"]
        if self.sparse_output and container != "default":
            raise ValueError(
                f"{container} output cannot hold sparse features: set "
                "sparse_output=False, or set_output(transform='default')"
            )
