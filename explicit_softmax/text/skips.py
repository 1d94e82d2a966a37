"""Contexts that leave a token out: what is known where the whole context is not.

Their windows are those of the n-grams without some of the tokens before the target, and
their counts are sums of those of n-grams: so they are as additive, and nothing else is
kept to make them from. They are smoothed as n-grams are. N-grams of three and more
tokens that were counted once are pruned, which takes a sixth of the memory, and makes
likelihoods of documents that are left out higher, not lower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import IntArray
from explicit_softmax.solution.progress import listener, listening
from explicit_softmax.text.kneser_ney import KneserNey, chunks, kneser_ney
from explicit_softmax.text.ngrams import (
    NgramCounts,
    first_places,
    from_sorted,
    pack,
    smallest,
    split_keys,
    unpack,
)

# Distances of the tokens of contexts from the target, where windows reach that far.
_DISTANCES = ((1, 2, 4), (1, 3, 4))

# How often n-grams of three and more tokens must be counted to be kept.
_LEAST = 2


def skip_distances(context_size: int) -> list[tuple[int, ...]]:
    """Distances of the tokens of each skip context: some for K of three and more."""
    reached = [
        tuple(distance for distance in distances if distance <= context_size)
        for distances in _DISTANCES
    ]
    return [
        distances
        for distances in reached
        if distances != tuple(range(1, len(distances) + 1))
    ]


def skip_models(
    counts: NgramCounts, min_counts: Sequence[int] | None = None
) -> tuple[KneserNey, ...]:
    """Smoothed n-grams of each skip context; `min_counts` are those of `kneser_ney`."""
    given = min_counts or (1,) * (counts.context_size + 1)
    models, tell = [], listener()
    for distances in skip_distances(counts.context_size):
        least = [max(_LEAST, count) for count in given[2 : len(distances) + 1]]
        with listening(None):  # which would hear of each window
            own = skip_counts(counts, distances)
        tell(1)
        models.append(kneser_ney(own, [*given[:2], *least]))
    return tuple(models)


def skip_counts(counts: NgramCounts, distances: Sequence[int]) -> NgramCounts:
    """Counts of windows with the tokens at some distances from the target.

    The first is 1.
    """
    n_ids = counts.n_ids
    parts = [
        _summed(columns, own, n_ids)
        for columns, own in _parts_of_windows(counts, distances)
    ]
    *columns, sums = (np.concatenate(part) for part in zip(*parts, strict=True))
    return from_sorted(n_ids, counts.has_ends, columns, smallest(sums))


def _parts_of_windows(
    counts: NgramCounts, distances: Sequence[int]
) -> Iterator[tuple[list[IntArray], NDArray[Any]]]:
    """Columns of windows, and counts, with all those of a nearest token."""
    for chunk in chunks(counts.keys, counts.n_ids, counts.contexts[1:]):
        context, target = split_keys(counts.keys[chunk], counts.n_ids)
        columns = [target]
        for size in range(counts.context_size, 0, -1):
            keys = counts.contexts[size - 1][context]
            context, token = split_keys(keys, counts.n_ids)
            if size in distances:
                columns.insert(0, token)
        yield columns, counts.counts[chunk]


def _summed(
    columns: list[IntArray], counts: NDArray[Any], n_ids: int
) -> list[NDArray[Any]]:
    """Columns of distinct windows in their order, and sums of their counts."""
    packed, parts = pack(columns, n_ids)
    order = np.argsort(packed)
    packed = packed[order]
    starts = first_places(packed)
    sums = np.add.reduceat(counts[order], starts, dtype=np.int64)
    return [*unpack(packed[starts], parts, n_ids), smallest(sums)]
