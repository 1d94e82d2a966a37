"""Modified Kneser-Ney smoothing of counted windows.

The softmax whose one feature is the whole context has an exact solution, the relative
frequencies of targets; this is how they are smoothed. With a(c, t) the adjusted count
of target t after a context c of j tokens, and c' the context without its farthest one,

    p(t | c) = (a(c, t) - D(a(c, t))) / a(c) + gamma(c) p(t | c')
    gamma(c) = sum_t D(a(c, t)) / a(c)

and the probability below that of the context of no token is uniform. The adjusted count
is the count where c has K tokens or begins a document, and otherwise the number of
distinct tokens before c t. The discounts D(1), D(2), and D(3) of three and more are,
for each length of contexts, with n_k the number of adjusted counts that are k,

    Y = n_1 / (n_1 + 2 n_2),  D(k) = k - (k + 1) Y n_(k+1) / n_k

and 0.5, 1.0, 1.5 where an n_k is zero or a D(k) is not between 0 and k [1]_.

Contexts that reach beyond the beginning of a document say nothing more than shorter
ones: their discounts are all of the counts, and gamma is one.

.. [1] S. F. Chen and J. Goodman, "An Empirical Study of Smoothing Techniques for
   Language Modeling", TR-10-98, Harvard University, 1998.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import IntArray
from explicit_softmax.solution.progress import listener
from explicit_softmax.text.ngrams import (
    Keys,
    NgramCounts,
    find,
    first_places,
    lexical_order,
    members,
    ragged,
    smallest,
    split_keys,
)

# Where counts of counts have no closed form; those of lmplz --discount_fallback.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)

# N-grams that are smoothed at a time: what is computed for them stays in cache.
_CHUNK_NGRAMS = 2**18

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class KneserNey:
    """Smoothed probabilities of all n-grams that were counted.

    Parameters
    ----------
    n_ids : int
        V, as in `NgramCounts`.
    n_classes : int
        Number of targets, the ids from 0; V with ends of documents, else V - 1.
    contexts : tuple of K arrays of int64
        As in `NgramCounts`.
    keys : tuple of K arrays of int64
        Sorted keys ``context * V + target`` of n-grams with contexts of 1 to K tokens.
    proba : tuple of K + 1 arrays of float
        Probabilities of all targets after no token (n_classes,), and of the n-grams of
        `keys`.
    backoff : tuple of K arrays of float
        gamma of the contexts.
    discounts : ndarray of shape (K + 1, 3) or None
        D(1), D(2), and D(3) of contexts of 0 to K tokens; None if they are unknown.
    """

    n_ids: int
    n_classes: int
    contexts: tuple[Keys, ...]
    keys: tuple[Keys, ...]
    proba: tuple[Floats, ...]
    backoff: tuple[Floats, ...]
    discounts: NDArray[np.float64] | None = None

    @property
    def context_size(self) -> int:
        """K."""
        return len(self.contexts)

    @property
    def _levels(self) -> list[tuple[Keys, Keys, Floats, Floats]]:
        """Contexts of 1 to K tokens, their n-grams, and their numbers."""
        numbers = (self.contexts, self.keys, self.proba[1:], self.backoff)
        return list(zip(*numbers, strict=True))

    def probabilities(
        self, columns: Sequence[IntArray], targets: IntArray
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Probabilities of targets after windows, and the tokens of known contexts.

        Columns of contexts are the nearest token first, as many as K or fewer.
        """
        order = lexical_order([*columns, targets], self.n_ids)
        columns = [column[order] for column in columns]
        targets = targets[order]
        proba = self.proba[0][targets].astype(np.float64)
        known = np.zeros(targets.size, dtype=np.intp)
        places = np.arange(targets.size)  # of windows whose context is known
        context = np.zeros(targets.size, dtype=np.int64)
        is_found = np.ones(targets.size, dtype=bool)  # n-grams of the shorter context
        for column, (contexts, keys, values, backoff) in zip(
            columns, self._levels, strict=False
        ):
            wanted = context * self.n_ids + column[places]
            context = find(contexts, wanted, in_order=True)
            here = context >= 0
            places, context, is_found = places[here], context[here], is_found[here]
            known[places] += 1
            proba[places] *= backoff[context]
            # An n-gram is known only if the shorter one is.
            candidates = np.flatnonzero(is_found)
            wanted = context[candidates] * self.n_ids + targets[places[candidates]]
            found = find(keys, wanted, in_order=True)
            is_found[candidates] = found >= 0
            proba[places[candidates[found >= 0]]] = values[found[found >= 0]]
        as_asked = np.empty_like(order)
        as_asked[order] = np.arange(order.size)
        return proba[as_asked], known[as_asked]

    def distributions(
        self, columns: Sequence[IntArray]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Probabilities (n_windows, n_classes) of all targets after windows.

        The second array is as that of `probabilities`.
        """
        n_windows, n_ids = len(columns[0]), self.n_ids
        proba = np.tile(self.proba[0].astype(np.float64), (n_windows, 1))
        known = np.zeros(n_windows, dtype=np.intp)
        places = np.arange(n_windows)
        context = np.zeros(n_windows, dtype=np.int64)
        for column, (contexts, keys, values, backoff) in zip(
            columns, self._levels, strict=False
        ):
            context = find(contexts, context * n_ids + column[places])
            places, context = places[context >= 0], context[context >= 0]
            if not places.size:
                break
            known[places] += 1
            starts, sizes = members(keys, context, n_ids)
            # Rows one by one: those of few prefixes are what takes time.
            for place, number, start, stop in zip(
                places, context, starts, starts + sizes, strict=True
            ):
                row = proba[place]
                row *= backoff[number]
                row[keys[start:stop] - number * n_ids] = values[start:stop]
        return proba, known


def kneser_ney(
    counts: NgramCounts, min_counts: Sequence[int] | None = None
) -> KneserNey:
    """Smooth counts.

    Of n-grams of 1 to K + 1 tokens those are kept that were counted `min_counts` times,
    which must not fall, and whose first is of no effect. Contexts give the shorter ones
    all that was counted of the others; discounts are those of all n-grams.
    """
    n_ids, n_classes = counts.n_ids, counts.n_ids - 1 + counts.has_ends
    tell = listener()
    # Those of contexts of K to 1 tokens; `shorter` are the places of n-grams without
    # their farthest tokens.
    keys, adjusted = [counts.keys], [counts.counts]
    shorter: list[IntArray] = []
    for size in range(counts.context_size, 1, -1):
        level = _without_farthest(counts, size, keys[-1], adjusted[-1])
        for known, new in zip((keys, adjusted, shorter), level, strict=True):
            known.append(new)
        tell(1)
    shorter.append(keys[-1] % n_ids)
    n_before = np.bincount(shorter[-1], minlength=n_classes)
    targets = np.flatnonzero(n_before)
    found = _discounts(n_before[targets])
    taken = found[np.minimum(n_before[targets], 3)]
    alone = np.full(n_classes, taken.sum() / n_classes)
    alone[targets] += n_before[targets] - taken
    alone /= n_before.sum()
    discounts, proba, backoff = [found], [alone.astype(np.float32)], []
    rare: list[NDArray[np.bool_]] = []
    if min_counts is not None:
        rare = _rare(counts, shorter, min_counts)
    for size, of_size in enumerate(reversed(keys), 1):
        found, gamma, values = _interpolated(
            counts,
            size,
            of_size,
            adjusted.pop(),
            proba[-1],
            shorter.pop(),
            rare[-size] if rare else None,
        )
        discounts.append(found)
        proba.append(values)
        backoff.append(gamma)
        tell(1)
    model = KneserNey(
        n_ids,
        n_classes,
        counts.contexts,
        tuple(reversed(keys)),
        tuple(proba),
        tuple(backoff),
        np.array(discounts)[:, 1:],
    )
    return _without(model, rare[::-1]) if rare else model


def _rare(
    counts: NgramCounts, shorter: Sequence[IntArray], min_counts: Sequence[int]
) -> list[NDArray[np.bool_]]:
    """Which n-grams were counted less often, with contexts of K to 1 tokens.

    `shorter` are the places of n-grams without their farthest tokens, which were
    counted as often as all of these.
    """
    own: NDArray[Any] = counts.counts
    found = [own < min_counts[-1]]
    for places, least in zip(shorter[:-1], min_counts[-2:0:-1], strict=True):
        own = np.bincount(places, own)
        found.append(own < least)
    return found


def _without(model: KneserNey, rare: Sequence[NDArray[np.bool_]]) -> KneserNey:
    """The model without n-grams, and without contexts that have no others."""
    n_ids = model.n_ids
    numbers = np.zeros(1, dtype=np.int64)
    contexts, keys, proba, backoff = [], [], [model.proba[0]], []
    for of_size, (own, ngrams, values, gamma) in zip(rare, model._levels, strict=True):
        kept = ~of_size
        context, target = split_keys(ngrams[kept], n_ids)
        is_kept = np.zeros(own.size, dtype=bool)
        is_kept[context] = True
        shorter, farthest = split_keys(own[is_kept], n_ids)
        contexts.append(numbers[shorter] * n_ids + farthest)
        numbers = np.cumsum(is_kept) - 1
        keys.append(numbers[context] * n_ids + target)
        proba.append(values[kept])
        backoff.append(gamma[is_kept])
    return replace(
        model,
        contexts=tuple(contexts),
        keys=tuple(keys),
        proba=tuple(proba),
        backoff=tuple(backoff),
    )


def beyond_the_beginning(
    contexts: Sequence[Keys], size: int, n_ids: int
) -> NDArray[np.bool_]:
    """Which contexts of `size` tokens have another boundary behind the first."""
    if size == 1:
        return np.zeros(contexts[0].size, dtype=bool)
    begins: NDArray[np.bool_] = contexts[size - 2] % n_ids == n_ids - 1
    return begins[contexts[size - 1] // n_ids]


def _without_farthest(
    counts: NgramCounts, size: int, keys: Keys, adjusted: IntArray
) -> tuple[Keys, IntArray, IntArray]:
    """Keys and adjusted counts of n-grams without the farthest of `size` tokens.

    The last array has the place among them of each n-gram with this token.
    """
    n_ids, contexts = counts.n_ids, counts.contexts[size - 1]
    count_type = np.promote_types(adjusted.dtype, np.min_scalar_type(n_ids))
    # As large as may be, and cut then: pages that are never written take no memory.
    all_found = np.empty(keys.size, dtype=np.int64)
    all_sizes = np.empty(keys.size, dtype=count_type)
    places = np.empty(keys.size, dtype=np.min_scalar_type(keys.size))
    n_found = 0
    for chunk in chunks(keys, n_ids, [contexts]):
        context, found = split_keys(keys[chunk], n_ids)
        found += contexts[context] // n_ids * n_ids
        # Merges the targets of contexts that are one without their farthest tokens.
        order = np.argsort(found, kind="stable")
        found = found[order]
        starts = first_places(found)
        sizes = np.diff(starts, append=found.size)
        numbers = np.arange(n_found, n_found + starts.size)
        places[chunk.start + order] = np.repeat(numbers, sizes)
        found = found[starts]
        # Nothing but the boundary comes before what begins a document.
        begins = np.flatnonzero(
            counts.contexts[size - 2][found // n_ids] % n_ids == n_ids - 1
        )
        sizes[begins] = adjusted[chunk][order[starts[begins]]]
        all_found[n_found : n_found + starts.size] = found
        all_sizes[n_found : n_found + starts.size] = sizes
        n_found += starts.size
    all_found.resize(n_found, refcheck=False)
    return all_found, smallest(all_sizes[:n_found]), places


def _interpolated(
    counts: NgramCounts,
    size: int,
    keys: Keys,
    adjusted: IntArray,
    lower: Floats,
    shorter: IntArray,
    rare: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float64], Floats, Floats]:
    """Discounts, gamma of contexts of `size` tokens, and probabilities of n-grams.

    `lower` are the probabilities of n-grams without their farthest tokens, at the
    places `shorter`. `rare` n-grams are to have those of shorter contexts.
    """
    n_ids = counts.n_ids
    redundant = beyond_the_beginning(counts.contexts, size, n_ids)
    starts, sizes = members(keys, np.flatnonzero(redundant), n_ids)
    found = _discounts(adjusted, adjusted[ragged(starts, sizes)])
    gamma = np.empty(redundant.size, dtype=np.float32)
    proba = np.empty(keys.size, dtype=np.float32)
    for chunk in chunks(keys, n_ids):
        context, own = keys[chunk] // n_ids, adjusted[chunk]
        taken = found[np.minimum(own, 3)]
        beyond = redundant[context]
        if rare is not None:
            beyond |= rare[chunk]
        taken[beyond] = own[beyond]
        first = context[0]
        starts = first_places(context)
        total = np.add.reduceat(own, starts, dtype=np.float64)
        share = np.add.reduceat(taken, starts) / total
        gamma[first : first + starts.size] = share
        context -= first
        values = (own - taken) / total[context]
        values += share[context] * lower[shorter[chunk]]
        proba[chunk] = values
    return found, gamma, proba


def chunks(keys: Keys, n_ids: int, contexts: Sequence[Keys] = ()) -> list[slice]:
    """Slices of sorted n-grams, with all those of a context.

    With keys of contexts, up to those of the n-grams, all those of contexts that are
    one without as many of their farthest tokens are together.
    """
    first = keys[::_CHUNK_NGRAMS] // n_ids
    for level in reversed(contexts):
        first = level[first] // n_ids
    for level in contexts:
        first = np.searchsorted(level, first * n_ids)
    bounds = np.unique(np.searchsorted(keys, first * n_ids))
    return [slice(*pair) for pair in pairwise([*bounds.tolist(), keys.size])]


def _discounts(
    adjusted: IntArray, redundant: IntArray | None = None
) -> NDArray[np.float64]:
    """0, D(1), D(2), D(3) by adjusted counts without some of them."""
    n = np.array([np.count_nonzero(adjusted == k) for k in range(5)], dtype=float)
    if redundant is not None:
        n -= [np.count_nonzero(redundant == k) for k in range(5)]
    if n[1:5].all():
        first = n[1] / (n[1] + 2 * n[2])
        k = np.arange(1, 4)
        found = k - (k + 1) * first * n[2:5] / n[1:4]
        if ((found >= 0) & (found <= k)).all():
            return np.append(0.0, found)
    return np.array([0.0, *FALLBACK_DISCOUNTS])
