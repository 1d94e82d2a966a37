"""Counts of n-grams in parts by the token before the target, and as one again.

Windows are sorted by this token first, and so are contexts of any length. Those of a
range of tokens are slices of all arrays of `NgramCounts`, therefore, and what is
counted of the range can be added up without the rest: parts are counts of their own,
in which contexts are numbered from 0. Behind one another they are the counts of all,
but for these numbers, which go on where those of the part before end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.text.ngrams import Keys, NgramCounts

# Above all tokens.
_NO_TOKEN = np.iinfo(np.int64).max


def part_edges(counts: NgramCounts | None, n_parts: int) -> NDArray[np.int64]:
    """Tokens (n_parts + 1,) from which parts go to the next, of about as many windows.

    Without counts, everything is in the first part.
    """
    edges = np.full(n_parts + 1, _NO_TOKEN)
    edges[0] = 0
    if counts is not None:
        tokens = counts.contexts[0]
        before = _places(counts, tokens)[-1]
        wanted = np.arange(1, n_parts) * (counts.keys.size / n_parts)
        found = np.searchsorted(before, wanted)
        edges[1:-1] = np.append(tokens, _NO_TOKEN)[found]
    return edges


def part_of(counts: NgramCounts, first: int, stop: int) -> NgramCounts:
    """Counts of the windows whose last token before the target is in a range."""
    edges = _places(counts, np.array([first, stop]))
    levels, n_before = [], 0
    for keys, (start, end) in zip(_levels(counts), edges.tolist(), strict=True):
        levels.append(keys[start:end] - n_before * counts.n_ids)
        n_before = start
    *contexts, keys = levels
    return NgramCounts(
        counts.n_ids,
        counts.has_ends,
        tuple(contexts),
        keys,
        counts.counts[start:end].copy(),
    )


def level_sizes(counts: NgramCounts) -> NDArray[np.int64]:
    """Numbers of contexts of 1 to K tokens and of windows (K + 1,)."""
    return np.array([keys.size for keys in _levels(counts)])


def joined_parts(
    parts: Iterator[NgramCounts],
    part_sizes: NDArray[np.int64],
    count_type: np.dtype[Any],
    n_ids: int,
    has_ends: bool,
) -> NgramCounts:
    """Counts of parts, which are in order; room for all of them is made at first.

    No part is kept when the next one is taken. `part_sizes` (n_parts, K + 1) are their
    `level_sizes`, and `count_type` holds all counts.
    """
    *n_contexts, n_windows = part_sizes.sum(axis=0).tolist()
    contexts = tuple(np.empty(n, dtype=np.int64) for n in n_contexts)
    keys = np.empty(n_windows, dtype=np.int64)
    counts = np.empty(n_windows, dtype=count_type)
    whole = NgramCounts(n_ids, has_ends, contexts, keys, counts)
    for places in (np.cumsum(part_sizes, axis=0) - part_sizes).tolist():
        _write(next(parts), whole, places)
    return whole


def _levels(counts: NgramCounts) -> list[Keys]:
    return [*counts.contexts, counts.keys]


def _places(counts: NgramCounts, tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the contexts and windows of tokens start (K + 1, n_tokens)."""
    first, *others = _levels(counts)
    found = [np.searchsorted(first, tokens)]
    for keys in others:
        found.append(np.searchsorted(keys, found[-1] * counts.n_ids))
    return np.array(found)


def _write(part: NgramCounts, whole: NgramCounts, places: list[int]) -> None:
    n_before = 0
    for keys, level, start in zip(_levels(part), _levels(whole), places, strict=True):
        stop = start + keys.size
        np.add(keys, n_before * part.n_ids, out=level[start:stop])
        n_before = start
    whole.counts[start:stop] = part.counts
