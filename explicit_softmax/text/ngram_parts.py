"""Counts of n-grams in parts by the two tokens before the target, and as one again.

Windows are sorted by these tokens first, the nearest before the other, and so are
contexts of any length. Those of a range of pairs of tokens are slices of all arrays of
`NgramCounts`, therefore, and what is counted of the range can be added up without the
rest: parts are counts of their own, in which contexts are numbered from 0. Behind one
another they are the counts of all, but for these numbers, which go on where those of
the part before end, and for a nearest token that two parts have in common.

A pair has the number ``nearest * V + second``. Where contexts have one token, the
target is the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.text.ngrams import Keys, NgramCounts, split_keys

# Above all pairs.
_NO_PAIR = np.iinfo(np.int64).max


def part_edges(counts: NgramCounts | None, n_parts: int) -> NDArray[np.int64]:
    """Pairs (n_parts + 1,) from which parts go to the next, of about as many windows.

    Without counts, everything is in the first part.
    """
    edges = np.full(n_parts + 1, _NO_PAIR)
    edges[0] = 0
    if counts is not None:
        nearest, pairs, *others = _levels(counts)
        before = np.arange(pairs.size)
        for keys in others:
            before = np.searchsorted(keys, before * counts.n_ids)
        wanted = np.arange(1, n_parts) * (counts.keys.size / n_parts)
        found = np.searchsorted(before, wanted)
        found = found[found < pairs.size]
        context, second = split_keys(pairs[found], counts.n_ids)
        edges[1 : found.size + 1] = nearest[context] * counts.n_ids + second
    return edges


def part_of(counts: NgramCounts, first: int, stop: int) -> NgramCounts:
    """Counts of the windows whose two tokens before the target are in a range."""
    n_ids = counts.n_ids
    nearest, pairs, *others = _levels(counts)
    tokens, seconds = split_keys(np.array([first, stop]), n_ids)
    wanted = np.searchsorted(nearest, tokens) * n_ids
    wanted += np.where(np.isin(tokens, nearest), seconds, 0)
    start, end = np.searchsorted(pairs, wanted).tolist()
    context, second = split_keys(pairs[start:end], n_ids)
    n_before = int(context[0]) if context.size else 0
    levels = [
        nearest[n_before : context[-1] + 1] if context.size else nearest[:0],
        (context - n_before) * n_ids + second,
    ]
    for keys in others:
        n_before, edges = start, np.array([start, end])
        start, end = np.searchsorted(keys, edges * n_ids).tolist()
        levels.append(keys[start:end] - n_before * n_ids)
    own = counts.counts[start:end].copy()
    return NgramCounts(
        n_ids, counts.has_ends, (levels[0].copy(), *levels[1:-1]), levels[-1], own
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
    nearest, *levels = (np.empty(n, np.int64) for n in part_sizes.sum(axis=0).tolist())
    counts = np.empty(levels[-1].size, dtype=count_type)
    n_tokens = 0
    for places in (np.cumsum(part_sizes, axis=0) - part_sizes).tolist():
        places[0] = n_tokens
        n_tokens = _write(next(parts), [nearest, *levels], counts, places)
    contexts = (nearest[:n_tokens].copy(), *levels[:-1])
    return NgramCounts(n_ids, has_ends, contexts, levels[-1], counts)


def _levels(counts: NgramCounts) -> list[Keys]:
    return [*counts.contexts, counts.keys]


def _write(
    part: NgramCounts, levels: list[Keys], counts: NDArray[Any], places: list[int]
) -> int:
    """Write a part behind those before; gives how many nearest tokens there are."""
    nearest, end = part.contexts[0], places[0]
    if nearest.size and end and levels[0][end - 1] == nearest[0]:
        places[0] -= 1
    n_before = 0
    for keys, level, start in zip(_levels(part), levels, places, strict=True):
        stop = start + keys.size
        np.add(keys, n_before * part.n_ids, out=level[start:stop])
        n_before = start
    counts[start:stop] = part.counts
    return places[0] + nearest.size
