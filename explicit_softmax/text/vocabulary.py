"""Windows of tokens: how often each token occurs, and codes of a vocabulary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import row_blocks
from explicit_softmax.text.tokens import PAD_ID, PAD_STRING

# Ids below this are looked up in a table of all ids; by hash otherwise.
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
            _raise_mixed_kinds(values)
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
    lowest, highest = values.min(initial=0), values.max(initial=0)
    if lowest < PAD_ID:
        row = _first_row(values < PAD_ID)
        raise ValueError(
            f"Negative values in data: row {row} holds the token id {lowest:g}. Ids "
            f"are 0 or more, and {PAD_ID} stands for padding."
        )
    if highest >= 2**63:
        row = _first_row(values == highest)
        raise ValueError(f"row {row} holds the token id {highest:g}, beyond int64")
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
    """A vocabulary given by the user, as int64 or as objects, in its order.

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
    """Raise TypeError if one of them holds ids and the other strings."""
    kinds = [
        "ids" if values.dtype.kind == "i" else "strings" for values in (tokens, known)
    ]
    if kinds[0] != kinds[1]:
        raise TypeError(
            f"X holds tokens as {kinds[0]}, and {origin} had {kinds[1]}: tokens must "
            "be of one kind"
        )


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """How often each token occurs in windows; additive over windows.

    Parameters
    ----------
    tokens : ndarray of shape (n_tokens,)
        Distinct tokens in order, without padding: int64 or objects.
    counts : ndarray of int64, shape (n_tokens,)
        Occurrences of each, at any position.
    """

    tokens: NDArray[Any]
    counts: NDArray[np.int64]

    @classmethod
    def from_windows(cls, windows: NDArray[Any]) -> TokenCounts:
        """Count windows (n_windows, context_size) of tokens from `as_tokens`."""
        if windows.dtype.kind != "i":
            counter = Counter[str]()
            for chunk in row_blocks(len(windows), windows.shape[1], _CHUNK_TOKENS):
                counter.update(windows[chunk].ravel().tolist())
            counter.pop(PAD_STRING, None)
            strings = sorted(counter)
            counts = np.array([counter[token] for token in strings], dtype=np.int64)
            return cls(np.array(strings, dtype=object), counts)
        ids = windows.ravel()
        ids = ids[ids != PAD_ID]
        if int(ids.max(initial=0)) <= _IDS_PER_TOKEN * ids.size:
            counts = np.bincount(ids)
            seen = np.flatnonzero(counts)
            return cls(seen, counts[seen])
        distinct, counts = np.unique(ids, return_counts=True)
        return cls(distinct.astype(np.int64), counts)

    def __add__(self, other: TokenCounts) -> TokenCounts:
        tokens = np.unique(np.concatenate([self.tokens, other.tokens]))
        counts = np.zeros(len(tokens), dtype=np.int64)
        for part in (self, other):
            counts[np.searchsorted(tokens, part.tokens)] += part.counts
        return TokenCounts(tokens, counts)

    def frequent(
        self, known: NDArray[Any], min_frequency: Any, max_tokens: int | None
    ) -> NDArray[np.bool_]:
        """Which of some known tokens to keep, by how often they occur.

        Parameters
        ----------
        known : ndarray of shape (n_known,)
            Distinct tokens, in any order.
        min_frequency : int or float or None
            Smallest number of occurrences, or share of those of all tokens.
        max_tokens : int or None
            Largest number of tokens to keep: the most frequent, and of equally frequent
            ones those that come first in `known`.

        Returns
        -------
        kept : ndarray of bool, shape (n_known,)
        """
        vocabulary = Vocabulary(known)
        codes = vocabulary.encode(self.tokens)
        counts = np.bincount(codes, self.counts, vocabulary.n_codes)[: len(known)]
        kept = np.ones(len(known), dtype=bool)
        if isinstance(min_frequency, Integral):
            kept = counts >= int(min_frequency)
        elif min_frequency is not None:
            kept = counts >= min_frequency * self.counts.sum()
        if max_tokens is not None and kept.sum() > max_tokens:
            order = np.argsort(np.where(kept, -counts, 1), kind="stable")
            kept[order[max_tokens:]] = False
        return kept


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
        by_id = self.tokens.dtype.kind == "i" and self._largest_id < _TABLE_IDS
        codes = np.empty(tokens.shape, dtype=np.int32)
        width = tokens.shape[1] if tokens.ndim > 1 else 1
        for chunk in row_blocks(len(tokens), width, _CHUNK_TOKENS):
            part = tokens[chunk]
            if by_id:
                places = np.minimum(part, self._largest_id + 1, dtype=np.int64)
                codes[chunk] = self._code_of_id[places + 1]
            else:  # hashing is many times faster than to sort or to bisect strings
                found = map(self._code_of.get, part.ravel().tolist(), repeat(self.oov))
                found_codes = np.fromiter(found, np.int32, part.size)
                codes[chunk] = found_codes.reshape(part.shape)
        return codes

    @cached_property
    def _largest_id(self) -> int:
        return int(self.tokens.max(initial=PAD_ID))

    @cached_property
    def _code_of_id(self) -> NDArray[np.int32]:
        """Codes by id: that of padding first, that of ids above the largest last."""
        codes = np.full(self._largest_id + 3, self.oov, dtype=np.int32)
        codes[self.tokens + 1] = np.arange(self.pad)
        codes[PAD_ID + 1] = self.pad
        return codes

    @cached_property
    def _code_of(self) -> dict[Any, int]:
        pad = PAD_ID if self.tokens.dtype.kind == "i" else PAD_STRING
        codes = dict(zip(self.tokens.tolist(), range(self.pad), strict=True))
        return {**codes, pad: self.pad}


def _kind(kind: type) -> str:
    if issubclass(kind, str):
        return "string"
    is_number = issubclass(kind, int | float | np.integer | np.floating)
    return "number" if is_number and not issubclass(kind, bool) else kind.__name__


def _raise_mixed_kinds(values: NDArray[Any]) -> None:
    kinds = np.array([_kind(type(value)) for value in values.ravel()])
    kinds = kinds.reshape(values.shape)
    known = "string" if kinds.flat[0] == "string" else "number"
    row = _first_row(kinds != known)
    raise TypeError(
        f"row {row} holds a {kinds[kinds != known][0]} and not a {known}: tokens must "
        "be all strings, or all numbers (ids)"
    )


def _first_row(wrong: NDArray[np.bool_]) -> int:
    return int(np.argwhere(wrong)[0][0])
