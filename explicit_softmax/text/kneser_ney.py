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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import IntArray
from explicit_softmax.text.ngrams import (
    Keys,
    NgramCounts,
    find,
    first_places,
    ragged,
    split_keys,
)

# Where counts of counts have no closed form; those of lmplz --discount_fallback.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)

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
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Probabilities of targets after windows, and the tokens of known contexts.

        Columns of contexts are the nearest token first, as many as K or fewer.
        """
        proba = self.proba[0][targets].astype(np.float64)
        known = np.zeros(targets.size, dtype=np.int8)
        places = np.arange(targets.size)  # of windows whose context is known
        context = np.zeros(targets.size, dtype=np.int64)
        is_found = np.ones(targets.size, dtype=bool)  # n-grams of the shorter context
        for column, (contexts, keys, values, backoff) in zip(
            columns, self._levels, strict=False
        ):
            context = find(contexts, context * self.n_ids + column[places])
            here = context >= 0
            places, context, is_found = places[here], context[here], is_found[here]
            known[places] += 1
            proba[places] *= backoff[context]
            # An n-gram is known only if the shorter one is.
            candidates = np.flatnonzero(is_found)
            wanted = context[candidates] * self.n_ids + targets[places[candidates]]
            found = find(keys, wanted)
            is_found[candidates] = found >= 0
            proba[places[candidates[found >= 0]]] = values[found[found >= 0]]
        return proba, known

    def distributions(self, columns: Sequence[IntArray]) -> NDArray[np.float64]:
        """Probabilities (n_windows, n_classes) of all targets after windows."""
        n_windows = len(columns[0])
        proba = np.tile(self.proba[0].astype(np.float64), (n_windows, 1))
        places = np.arange(n_windows)
        context = np.zeros(n_windows, dtype=np.int64)
        for column, (contexts, keys, values, backoff) in zip(
            columns, self._levels, strict=False
        ):
            context = find(contexts, context * self.n_ids + column[places])
            places, context = places[context >= 0], context[context >= 0]
            proba[places] *= backoff[context, None]
            starts = np.searchsorted(keys, context * self.n_ids)
            sizes = np.searchsorted(keys, (context + 1) * self.n_ids) - starts
            members = ragged(starts, sizes)
            targets = keys[members] - np.repeat(context * self.n_ids, sizes)
            proba[np.repeat(places, sizes), targets] = values[members]
        return proba


def kneser_ney(counts: NgramCounts) -> KneserNey:
    """Smooth counts."""
    n_ids, n_classes = counts.n_ids, counts.n_ids - 1 + counts.has_ends
    levels = list(_adjusted_counts(counts))[::-1]
    targets, adjusted = levels[0]
    found = _discounts(adjusted)
    taken = found[np.minimum(adjusted, 3)]
    alone = np.full(n_classes, taken.sum() / n_classes)
    alone[targets] += adjusted - taken
    alone /= adjusted.sum()
    discounts, proba, backoff = [found], [alone.astype(np.float32)], []
    shorter = np.arange(n_classes, dtype=np.int64)
    for size, (keys, adjusted) in enumerate(levels[1:], 1):
        context, target = split_keys(keys, n_ids)
        redundant = beyond_the_beginning(counts.contexts, size, n_ids)
        found = _discounts(adjusted[~redundant[context]])
        taken = found[np.minimum(adjusted, 3)]
        taken[redundant[context]] = adjusted[redundant[context]]
        starts = first_places(context)
        total = np.add.reduceat(adjusted, starts, dtype=np.float64)
        gamma = np.add.reduceat(taken, starts) / total
        values = (adjusted - taken) / total[context]
        target += (counts.contexts[size - 1] // n_ids)[context] * n_ids
        values += gamma[context] * proba[-1][np.searchsorted(shorter, target)]
        discounts.append(found)
        proba.append(values.astype(np.float32))
        backoff.append(gamma.astype(np.float32))
        shorter = keys
    return KneserNey(
        n_ids,
        n_classes,
        counts.contexts,
        tuple(keys for keys, _ in levels[1:]),
        tuple(proba),
        tuple(backoff),
        np.array(discounts)[:, 1:],
    )


def beyond_the_beginning(
    contexts: Sequence[Keys], size: int, n_ids: int
) -> NDArray[np.bool_]:
    """Which contexts of `size` tokens have another boundary behind the first."""
    if size == 1:
        return np.zeros(contexts[0].size, dtype=bool)
    begins: NDArray[np.bool_] = contexts[size - 2] % n_ids == n_ids - 1
    return begins[contexts[size - 1] // n_ids]


def _adjusted_counts(counts: NgramCounts) -> Iterator[tuple[Keys, IntArray]]:
    """Keys and adjusted counts of n-grams with contexts of K to 0 tokens."""
    n_ids, keys, adjusted = counts.n_ids, counts.keys, counts.counts
    yield keys, adjusted
    for size in range(counts.context_size, 1, -1):
        context, target = split_keys(keys, n_ids)
        # Nothing but the boundary comes before what begins a document.
        begins = beyond_the_beginning(counts.contexts, size, n_ids)[context]
        context = (counts.contexts[size - 1] // n_ids)[context]
        context *= n_ids
        context += target
        others = context[~begins]
        others.sort()
        starts = first_places(others)
        order = np.argsort(context[begins])
        raw = context[begins][order]
        keys = others[starts]
        places = np.searchsorted(keys, raw)
        n_before = np.diff(starts, append=others.size)
        keys = np.insert(keys, places, raw)
        adjusted = np.insert(n_before, places, adjusted[begins][order])
        yield keys, adjusted
    sums = np.bincount(keys % n_ids)
    targets = np.flatnonzero(sums)
    yield targets, sums[targets]


def _discounts(adjusted: IntArray) -> NDArray[np.float64]:
    """0, D(1), D(2), D(3)."""
    n = np.bincount(np.minimum(adjusted, 5), minlength=6).astype(float)
    if n[1:5].all():
        first = n[1] / (n[1] + 2 * n[2])
        k = np.arange(1, 4)
        found = k - (k + 1) * first * n[2:5] / n[1:4]
        if ((found >= 0) & (found <= k)).all():
            return np.append(0.0, found)
    return np.array([0.0, *FALLBACK_DISCOUNTS])
