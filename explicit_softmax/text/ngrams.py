"""Counts of distinct windows: what n-gram models of any smoothing are made of.

Symbols: K tokens of context, V ids, of which the last, V - 1, is the boundary of a
document: the padding before its first token and, where ends are predicted, the target
after its last one. A window is a target and the K tokens before it.

A context of j tokens has a number, its rank among all contexts of j tokens, sorted by
the nearest token, then by the one before it, and so on. So it is found from the number
of the context without its farthest token: the key ``shorter * V + farthest`` fits 64
bits however large V**K is, keys are in order, and back-off is the quotient. The context
of no token has number 0. A window has the key ``context * V + target``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import IntArray
from explicit_softmax.solution.progress import listener
from explicit_softmax.text.windows import TokenStream

Keys = NDArray[np.int64]

# Windows counted at a time: their keys and those being sorted take 16 bytes each.
_CHUNK_WINDOWS = 2**25

# Keys that are split at a time.
_CHUNK_ROWS = 2**18

# Below this number, queries are looked up as they come.
_FEW_QUERIES = 64


@dataclass(frozen=True, eq=False)
class NgramCounts:
    """How often each distinct window was counted.

    Counts of the same windows are equal in all their arrays, however they were summed.

    Parameters
    ----------
    n_ids : int
        V, the number of ids, that of the boundary included.
    has_ends : bool
        Whether the boundary is a target after each document.
    contexts : tuple of K arrays of int64
        Sorted keys of the contexts of 1 to K tokens; their places are their numbers.
    keys : ndarray of int64, shape (n_windows,)
        Sorted keys of the distinct windows.
    counts : ndarray of unsigned integers, shape (n_windows,)
        All positive, in the smallest type that holds the largest.
    """

    n_ids: int
    has_ends: bool
    contexts: tuple[Keys, ...]
    keys: Keys
    counts: NDArray[Any]

    @property
    def context_size(self) -> int:
        """K."""
        return len(self.contexts)

    def target_counts(self) -> NDArray[np.float64]:
        """How often each id was a target (V,); the last are the ends of documents."""
        found = np.zeros(self.n_ids)
        # What is made of many keys at once costs more in memory than in arithmetic.
        for start in range(0, self.keys.size, _CHUNK_ROWS):
            some = slice(start, start + _CHUNK_ROWS)
            _, targets = split_keys(self.keys[some], self.n_ids)
            found += np.bincount(targets, self.counts[some], self.n_ids)
        return found

    def __add__(self, other: NgramCounts) -> NgramCounts:
        """Counts of the windows of both; they have the same K, V, and ends."""
        return _combined(self, other, 1)

    def __sub__(self, other: NgramCounts) -> NgramCounts:
        """Counts without those of `other`; ValueError if they do not hold them."""
        return _combined(self, other, -1)

    def columns(self) -> list[IntArray]:
        """Tokens of the distinct windows: K of contexts, the nearest first, targets."""
        context, target = split_keys(self.keys, self.n_ids)
        columns = [target]
        for keys in reversed(self.contexts):
            context, token = split_keys(keys[context], self.n_ids)
            columns.insert(0, token)
        return columns


def count_ngrams(stream: TokenStream, n_ids: int, has_ends: bool) -> NgramCounts:
    """Count the windows of documents; the pad is the last id, ``n_ids - 1``."""
    size, tokens = stream.context_size, stream.tokens
    n_places = tokens.size + has_ends - size
    n_chunks = -(-n_places // _CHUNK_WINDOWS)
    bounds = np.linspace(0, n_places, n_chunks + 1).astype(int).tolist()
    total: NgramCounts | None = None
    for start, stop in pairwise(bounds):
        part = _count_places(tokens, start, stop, size, n_ids, has_ends)
        total = part if total is None else total + part
    assert total is not None
    return total


def target_places(
    tokens: IntArray, size: int, pad: int, has_ends: bool
) -> NDArray[Any]:
    """Which of ``tokens[size:]`` are targets: no pads, but ends of documents if asked.

    The first pad after a document is its end.
    """
    is_target: NDArray[np.bool_] = tokens[size:] != pad
    if has_ends:
        is_target |= tokens[size - 1 : -1] != pad
    return is_target


def _count_places(
    tokens: IntArray, start: int, stop: int, size: int, n_ids: int, has_ends: bool
) -> NgramCounts:
    n_places = stop - start
    tokens = tokens[start : stop + size]
    if tokens.size < n_places + size:  # the end of the last document
        tokens = np.append(tokens, tokens.dtype.type(n_ids - 1))
    is_target = target_places(tokens, size, n_ids - 1, has_ends)
    # The nearest token first, and the target last.
    firsts = [*range(size - 1, -1, -1), size]
    packed, parts = pack(
        (tokens[first : first + n_places][is_target] for first in firsts), n_ids
    )
    # What is as large as all counts is gone before others are made, here and below.
    del tokens, is_target
    packed.sort()
    listener()(n_places + size)
    is_first = _is_first(packed)
    counts = _run_lengths(is_first)
    packed = packed[is_first]
    del is_first
    columns = unpack(packed, parts, n_ids)
    del packed
    return from_sorted(n_ids, has_ends, columns, counts)


def pack(
    columns: Iterable[IntArray], n_ids: int
) -> tuple[Keys, list[tuple[int, Keys]]]:
    """One number for each row of columns, in the order of the rows.

    As many columns as fit 64 bits are digits of a number. Where they end, numbers are
    replaced by their ranks: `parts` has the numbers of columns so far and the distinct
    numbers, by which `unpack` gets the columns back.
    """
    remaining = iter(columns)
    packed = next(remaining).astype(np.int64)
    span, parts, number = n_ids, [], 0
    for number, column in enumerate(remaining, 1):
        if span > (2**63 - 1) // n_ids:
            order = np.argsort(packed)
            ordered = packed[order]
            starts = first_places(ordered)
            sizes = np.diff(starts, append=packed.size)
            packed[order] = np.repeat(np.arange(starts.size), sizes)
            parts.append((number, ordered[starts]))
            span = starts.size
        packed *= n_ids
        packed += column
        span *= n_ids
    return packed, [*parts, (number + 1, np.zeros(0, dtype=np.int64))]


def lexical_order(columns: Sequence[IntArray], n_ids: int) -> NDArray[np.intp]:
    """Order of rows by as many columns as fit 64 bits, the first one first."""
    n_columns = max(1, int(63 / math.log2(n_ids)))
    return np.argsort(pack(columns[:n_columns], n_ids)[0], kind="stable")


def unpack(packed: Keys, parts: list[tuple[int, Keys]], n_ids: int) -> list[IntArray]:
    """Columns of the numbers that `pack` made."""
    id_type = np.min_scalar_type(n_ids - 1)
    stops = [stop for stop, _ in parts]
    columns: list[IntArray] = [np.empty(packed.size, id_type) for _ in range(stops[-1])]
    for start in range(0, packed.size, _CHUNK_ROWS):
        some = slice(start, start + _CHUNK_ROWS)
        numbers = packed[some]
        for number in range(stops[-1] - 1, -1, -1):
            if number + 1 in stops[:-1]:
                numbers = parts[stops.index(number + 1)][1][numbers]
            numbers, columns[number][some] = split_keys(numbers, n_ids)
    return columns


def split_keys(keys: Keys, n_ids: int) -> tuple[Keys, Keys]:
    """Numbers of contexts, and tokens; np.divmod takes several times as long."""
    contexts = keys // n_ids
    tokens = contexts * n_ids
    return contexts, np.subtract(keys, tokens, out=tokens)


def first_places(ordered: NDArray[Any]) -> NDArray[np.intp]:
    """Place of the first of each run of equal values."""
    return np.flatnonzero(_is_first(ordered))


def _run_lengths(is_first: NDArray[np.bool_]) -> NDArray[Any]:
    """How long runs are whose first members are marked, in the smallest type."""
    starts = np.flatnonzero(is_first)
    starts[:-1] = np.diff(starts)
    starts[-1:] = is_first.size - starts[-1:]
    return smallest(starts)


def _is_first(ordered: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each value is the first of a run of equal ones."""
    is_first = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return is_first


def ragged(starts: IntArray, sizes: IntArray) -> NDArray[np.intp]:
    """Numbers of all members of slices, one slice after the other."""
    shift = np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
    return shift + np.arange(shift.size)


def members(
    keys: Keys, contexts: IntArray, n_ids: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where the sorted n-grams of contexts start, and how many there are of each."""
    starts = np.searchsorted(keys, contexts * n_ids)
    return starts, np.searchsorted(keys, (contexts + 1) * n_ids) - starts


def smallest(counts: IntArray) -> NDArray[Any]:
    """Counts in the smallest type that holds the largest."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def find(keys: Keys, wanted: Keys, *, in_order: bool = False) -> NDArray[np.intp]:
    """Places of wanted keys among sorted ones, -1 for those that are not there.

    Neighbours in order are looked up in the same part of memory, which is several times
    as fast: many are sorted first, unless they are in order, or nearly, already.
    """
    if not keys.size:
        return np.full(wanted.size, -1)
    if wanted.size < _FEW_QUERIES or in_order:
        places = np.searchsorted(keys, wanted)
    else:
        order = np.argsort(wanted)
        places = np.empty(wanted.size, dtype=np.intp)
        places[order] = np.searchsorted(keys, wanted[order])
    np.minimum(places, keys.size - 1, out=places)
    places[keys[places] != wanted] = -1
    return places


def from_sorted(
    n_ids: int, has_ends: bool, columns: list[IntArray], counts: IntArray
) -> NgramCounts:
    """Counts of distinct windows that are in the order of their columns."""
    numbers = np.zeros(counts.size, dtype=np.int64)
    is_new = np.zeros(counts.size, dtype=bool)
    is_new[:1] = True
    contexts = []
    tell = listener()
    for column in columns[:-1]:
        tell(counts.size)
        is_new[1:] |= column[1:] != column[:-1]
        firsts = np.flatnonzero(is_new)
        keys = numbers[firsts]
        keys *= n_ids
        keys += column[firsts]
        contexts.append(keys)
        np.cumsum(is_new[1:], out=numbers[1:])
    keys = numbers
    keys *= n_ids
    keys += columns[-1]
    return NgramCounts(n_ids, has_ends, tuple(contexts), keys, counts)


def _combined(first: NgramCounts, second: NgramCounts, sign: int) -> NgramCounts:
    """Counts of the first and `sign` times those of the second."""
    n_ids, both = first.n_ids, (first, second)
    # Numbers of contexts of each part as numbers among all.
    numbers = [np.zeros(1, dtype=np.int64)] * 2
    contexts = []

    def renumbered(keys: Keys, new: Keys) -> Keys:
        context, token = split_keys(keys, n_ids)
        return new[context] * n_ids + token

    for level in range(first.context_size):
        parts = [
            renumbered(part.contexts[level], new)
            for part, new in zip(both, numbers, strict=True)
        ]
        keys, numbers = _union(parts)
        contexts.append(keys)
    parts = [
        renumbered(part.keys, new) for part, new in zip(both, numbers, strict=True)
    ]
    keys, numbers = _union(parts)
    counts = np.zeros(keys.size, dtype=np.int64)
    for part, places, weight in zip(both, numbers, (1, sign), strict=True):
        counts[places] += weight * part.counts.astype(np.int64)
    if sign > 0:
        return NgramCounts(
            n_ids, first.has_ends, tuple(contexts), keys, smallest(counts)
        )
    if counts.min() < 0:
        raise ValueError(
            "forget takes documents that were counted before, and some windows of "
            "these were counted less often than that"
        )
    if not counts.any():
        raise ValueError("forget would leave no document")
    kept = counts > 0
    contexts, keys = kept_contexts(contexts, keys[kept], n_ids)
    return NgramCounts(
        n_ids, first.has_ends, tuple(contexts), keys, smallest(counts[kept])
    )


def kept_contexts(
    contexts: Sequence[Keys], keys: Keys, n_ids: int
) -> tuple[list[Keys], Keys]:
    """Contexts that sorted keys of windows still need, and the keys in their terms."""
    levels: list[Keys] = []
    for level in [*reversed(contexts)]:
        context, token = split_keys(keys, n_ids)
        starts = first_places(context)
        sizes = np.diff(starts, append=context.size)
        levels.insert(0, np.repeat(np.arange(starts.size), sizes) * n_ids + token)
        keys = level[context[starts]]
    return [keys, *levels[:-1]], levels[-1]


def _union(parts: list[Keys]) -> tuple[Keys, list[IntArray]]:
    """Sorted keys of two parts, and the places of the keys of each; empties `parts`."""
    n_first = parts[0].size
    keys = np.concatenate(parts)
    parts.clear()
    order = np.argsort(keys, kind="stable")  # sorted runs are merged
    keys = keys[order]
    is_first = _is_first(keys)
    keys = keys[is_first]
    places = np.empty_like(order)
    places[order] = np.cumsum(is_first) - 1
    return keys, np.split(places, [n_first])
