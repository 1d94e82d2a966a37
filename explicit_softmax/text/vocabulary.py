"""Windows of tokens to counts of tokens by position, and to codes of a vocabulary."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import IntArray, row_blocks
from explicit_softmax.text.documents import PAD_ID, PAD_STRING

# Ids below this are looked up in a table of all ids; by bisection otherwise.
_TABLE_IDS = 2**24

# Ids up to this many for each token of the windows are counted in an array of all ids.
_IDS_PER_TOKEN = 4

# Tokens looked up at a time.
_CHUNK_TOKENS = 2**18


def as_tokens(values: NDArray[Any]) -> NDArray[Any]:
    """Values of any type as ids in int64 or narrower, or as strings.

    Parameters
    ----------
    values : ndarray
        Whole numbers from -1 (padding) up, or strings, as themselves or as objects.

    Returns
    -------
    tokens : ndarray of the same shape
        Of a signed integer type, or of strings ("U") or objects that all are strings.

    Raises
    ------
    TypeError
        If the values are neither numbers nor strings, or some are numbers and some
        strings.
    ValueError
        If a number is not whole, less than -1, or too large for int64.
    """
    if values.dtype.kind == "O":
        kinds = {_kind(kind) for kind in set(map(type, values.ravel()))}
        if kinds == {"string"}:
            return values
        if kinds != {"number"}:
            _raise_wrong_kind(values)
        values = np.asarray(values.tolist()).reshape(values.shape)
    if values.dtype.kind == "U":
        return values
    if values.dtype.kind not in "iuf":
        raise TypeError(
            "tokens must be whole numbers (ids) or strings, not values of type "
            f"{values.dtype}"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = _first_row(~np.isfinite(values))
        raise ValueError(f"row {row} holds NaN or infinity, which is no token")
    lowest, largest = values.min(initial=0), values.max(initial=0)
    if lowest < PAD_ID:
        row = _first_row(values < PAD_ID)
        raise ValueError(
            f"Negative values in data: row {row} holds the token id {lowest:g}. Ids "
            f"are 0 or more, and {PAD_ID} stands for padding."
        )
    if largest >= 2**63:
        row = _first_row(values == largest)
        raise ValueError(f"row {row} holds the token id {largest:g}, beyond int64")
    if values.dtype.kind == "i":
        return values
    ids = values.astype(np.int64)
    if values.dtype.kind == "f" and (ids != values).any():
        row = _first_row(ids != values)
        raise ValueError(
            f"row {row} holds a number that is not whole: token ids are integers"
        )
    return ids


def as_vocabulary(categories: Any) -> NDArray[Any]:
    """A vocabulary that a user gives, as int64 or as objects, in its order.

    Raises
    ------
    TypeError
        As `as_tokens`.
    ValueError
        As `as_tokens`, and if it is not 1-d, empty, not distinct, or holds padding.
    """
    if not hasattr(categories, "dtype"):
        # NumPy makes strings of numbers that stand among strings.
        categories = np.array(categories, dtype=object)
    values = np.asarray(categories)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            "categories must be a list of one token or more, shared by all columns, "
            f"not an array of shape {values.shape}"
        )
    try:
        tokens = as_tokens(values)
    except (TypeError, ValueError) as error:
        raise type(error)(f"categories cannot be read: {error}") from None
    tokens = tokens.astype(np.int64 if tokens.dtype.kind == "i" else object)
    distinct, number = np.unique(tokens, return_counts=True)
    first = distinct.tolist()[0]  # padding comes before all tokens
    if first in (PAD_ID, PAD_STRING):
        raise ValueError(
            f"categories must not hold {first!r}, which stands for padding and has a "
            "feature of its own"
        )
    if (number > 1).any():
        twice = distinct[number > 1].tolist()[0]
        raise ValueError(f"categories hold {twice!r} twice or more")
    return tokens


def check_kind(tokens: NDArray[Any], known: NDArray[Any], origin: str) -> None:
    """Raise TypeError where one of them holds ids and the other strings."""
    kinds = [
        "ids" if values.dtype.kind == "i" else "strings" for values in (tokens, known)
    ]
    if kinds[0] != kinds[1]:
        raise TypeError(
            f"X holds tokens as {kinds[0]}, and {origin} had {kinds[1]}: tokens must "
            "be of one kind"
        )


def frequent(
    counts: NDArray[np.int64],
    total: int,
    min_frequency: Any,
    max_tokens: int | None,
) -> NDArray[np.bool_]:
    """Which tokens to keep, by how often they occur; the first of equal ones.

    Parameters
    ----------
    counts : ndarray of int, shape (n_tokens,)
        Occurrences of each token.
    total : int
        Occurrences of all tokens, others included.
    min_frequency : int or float or None
        Least number of occurrences, or share of `total`.
    max_tokens : int or None
        Largest number of tokens to keep.

    Returns
    -------
    kept : ndarray of bool, shape (n_tokens,)
    """
    kept: NDArray[np.bool_] = np.ones(len(counts), dtype=bool)
    if isinstance(min_frequency, Integral):
        kept = np.asarray(counts >= min_frequency)
    elif min_frequency is not None:
        kept = np.asarray(counts >= min_frequency * total)
    if max_tokens is not None and kept.sum() > max_tokens:
        order = np.argsort(np.where(kept, -counts, 1), kind="stable")
        kept[order[max_tokens:]] = False
    return kept


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """How often each token stands at each position of windows; additive over windows.

    Parameters
    ----------
    tokens : ndarray of shape (n_tokens,)
        Distinct tokens in order, without padding: int64 or objects.
    counts : ndarray of int64, shape (n_tokens, context_size)
        Windows that have the token at the position.
    n_pads : ndarray of int64, shape (context_size,)
        Windows that have padding at the position.
    n_windows : int
        Number of windows.
    """

    tokens: NDArray[Any]
    counts: NDArray[np.int64]
    n_pads: NDArray[np.int64]
    n_windows: int

    @classmethod
    def from_windows(cls, windows: NDArray[Any]) -> TokenCounts:
        """Count windows (n_windows, context_size) of tokens as `as_tokens` gives."""
        distinct = _distinct_ids if windows.dtype.kind == "i" else _distinct_strings
        tokens, codes = distinct(windows)
        # One more than the code, so that -1, the padding, is counted also.
        counts = np.stack(
            [np.bincount(column + 1, minlength=len(tokens) + 1) for column in codes.T],
            axis=1,
        ).astype(np.int64, copy=False)
        n_pads, counts = counts[0], counts[1:]
        seen = counts.any(axis=1)
        return cls(tokens[seen], counts[seen], n_pads, len(windows))

    def __add__(self, other: TokenCounts) -> TokenCounts:
        tokens = np.unique(np.concatenate([self.tokens, other.tokens]))
        counts = np.zeros((len(tokens), len(self.n_pads)), dtype=np.int64)
        for part in (self, other):
            counts[np.searchsorted(tokens, part.tokens)] += part.counts
        n_windows = self.n_windows + other.n_windows
        return TokenCounts(tokens, counts, self.n_pads + other.n_pads, n_windows)

    def of(self, vocabulary: Vocabulary) -> NDArray[np.int64]:
        """Counts of the codes of a vocabulary (n_codes, context_size)."""
        codes = vocabulary.encode(self.tokens)
        by_code = np.zeros((vocabulary.n_codes, len(self.n_pads)), dtype=np.int64)
        np.add.at(by_code, codes, self.counts)
        by_code[vocabulary.pad] = self.n_pads
        return by_code


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Codes of tokens: their places, then one for padding, then one for all others.

    Parameters
    ----------
    tokens : ndarray of shape (n_tokens,)
        Distinct tokens, in any order, without padding: int64 or objects.
    """

    tokens: NDArray[Any]

    @property
    def pad(self) -> int:
        """Code of padding."""
        return len(self.tokens)

    @property
    def oov(self) -> int:
        """Code of tokens out of the vocabulary."""
        return len(self.tokens) + 1

    @property
    def n_codes(self) -> int:
        """Number of codes."""
        return len(self.tokens) + 2

    def encode(self, tokens: NDArray[Any]) -> NDArray[np.int32]:
        """Codes of tokens, of the same shape."""
        codes = np.empty(tokens.shape, dtype=np.int32)
        width = tokens.shape[1] if tokens.ndim > 1 else 1
        for chunk in row_blocks(len(tokens), width, _CHUNK_TOKENS):
            codes[chunk] = self._lookup(tokens[chunk])
        return codes

    @cached_property
    def _lookup(self) -> Callable[[NDArray[Any]], NDArray[Any]]:
        if self.tokens.dtype.kind == "i":
            if self.tokens.max(initial=0) < _TABLE_IDS:
                return _IdTable(self)
            return _SortedIds(self)
        return _StringTable(self)


class _IdTable:
    """Codes by id, the padding first and ids above the largest last."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.above = int(vocabulary.tokens.max(initial=PAD_ID)) + 1
        self.codes = np.full(self.above + 2, vocabulary.oov, dtype=np.int32)
        self.codes[vocabulary.tokens + 1] = np.arange(len(vocabulary.tokens))
        self.codes[PAD_ID + 1] = vocabulary.pad

    def __call__(self, ids: IntArray) -> NDArray[np.int32]:
        places = ids.astype(np.int64)
        np.minimum(places, self.above, out=places)
        places += 1
        return self.codes[places]


class _SortedIds:
    """Codes by bisection, for ids so large that a table of all would not fit."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.oov = vocabulary.oov
        ids = np.append(vocabulary.tokens, PAD_ID)
        order = np.argsort(ids)
        self.ids, self.codes = ids[order], order.astype(np.int32)

    def __call__(self, ids: IntArray) -> NDArray[np.int32]:
        places = np.searchsorted(self.ids, ids)
        np.minimum(places, len(self.ids) - 1, out=places)
        return np.where(self.ids[places] == ids, self.codes[places], self.oov)


class _StringTable(dict[str, int]):
    """Codes by hash: many times faster than to sort or to bisect strings."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(
            zip(vocabulary.tokens.tolist(), range(vocabulary.pad), strict=True)
        )
        self[PAD_STRING] = vocabulary.pad
        self.oov = vocabulary.oov

    def __missing__(self, token: str) -> int:
        return self.oov

    def __call__(self, strings: NDArray[Any]) -> NDArray[np.int32]:
        found = map(self.__getitem__, strings.ravel().tolist())
        codes = np.fromiter(found, np.int32, strings.size)
        return codes.reshape(strings.shape)


def _distinct_ids(windows: IntArray) -> tuple[NDArray[np.int64], IntArray]:
    """Ids in order, some of which may not occur, and places of tokens in them."""
    n_ids = int(windows.max(initial=PAD_ID)) + 1
    if n_ids <= _IDS_PER_TOKEN * windows.size:
        return np.arange(n_ids), windows.astype(np.int64, copy=False)
    ids, codes = np.unique(windows, return_inverse=True)
    n_pads = int(ids[0] == PAD_ID)
    # Its shape differs between releases of NumPy.
    codes = codes.reshape(windows.shape) - n_pads
    return ids[n_pads:].astype(np.int64), codes


def _distinct_strings(windows: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    """Strings in order, and places of tokens in them; -1 for padding."""
    first_seen: defaultdict[str, int] = defaultdict(count().__next__)
    first_seen[PAD_STRING]
    codes = np.empty(windows.shape, dtype=np.int64)
    for chunk in row_blocks(len(windows), windows.shape[1], _CHUNK_TOKENS):
        part = windows[chunk]
        found = map(first_seen.__getitem__, part.ravel().tolist())
        codes[chunk] = np.fromiter(found, np.int64, part.size).reshape(part.shape)
    strings = np.array(list(first_seen), dtype=object)
    order = np.argsort(strings)  # the empty string is the least
    place = np.empty(len(strings), dtype=np.int64)
    place[order] = np.arange(len(strings)) - 1
    return strings[order[1:]], place[codes]


def _kind(kind: type) -> str:
    if issubclass(kind, str):
        return "string"
    is_number = issubclass(kind, int | float | np.integer | np.floating)
    return "number" if is_number and not issubclass(kind, bool) else kind.__name__


def _raise_wrong_kind(values: NDArray[Any]) -> None:
    kinds = np.array([_kind(type(value)) for value in values.ravel()])
    kinds = kinds.reshape(values.shape)
    known = "string" if kinds.flat[0] == "string" else "number"
    row = _first_row(kinds != known)
    kind = kinds[kinds != known][0]
    raise TypeError(
        f"row {row} holds a {kind} and not a {known}: tokens in one argument must be "
        "all of them string or all of them number (ids)"
    )


def _first_row(wrong: NDArray[np.bool_]) -> int:
    return int(np.argwhere(wrong)[0][0])
