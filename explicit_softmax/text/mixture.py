"""Smoothed n-grams mixed with what the document has said so far.

There may be several models of n-grams, the first that of whole contexts and others of
contexts that leave tokens out. The document is three more models: the frequencies of
its tokens so far, of those that followed the last token, and of those that followed the
last two, where the token that is j tokens back counts ``DECAY ** j``. A model that has
seen nothing yet gives its weight to the n-grams of whole contexts. How much a model is
worth depends on how much it has seen: there are weights for 25 classes of windows, by
the sums of decayed counts after the last token and after the last two, and for each
number of tokens of the longest context that the n-grams know.

Weights maximise the likelihood of documents that are left out of the counts, by
expectation maximisation. These are a sample of the documents: those with the smallest
hashes of their own contents, whatever their order, so that counts and sample together
stay additive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.calibration.sample import mixed_bits
from explicit_softmax.solution.counts import IntArray
from explicit_softmax.text.ngrams import first_places, ragged
from explicit_softmax.text.windows import TokenStream

DECAY = 0.995

# Sums of decayed counts that divide windows: nothing seen, and once, and more often.
_EDGES = (1e-9, 0.5, 1.5, 4.0)
_N_CLASSES = (len(_EDGES) + 1) ** 2

# Weights without any document to choose them by: n-grams, then the document's models;
# and those of contexts that leave tokens out, each, which n-grams have less.
_START = (0.7, 0.05, 0.12, 0.13)
_START_OF_SKIPS = 0.1
_STEPS = 30
# Windows that the weights of a class are drawn to the start by.
_PRIOR = 10.0

# Tokens of the left-out documents, at most an eighth of all, and of those kept, so that
# some may be forgotten.
_SAMPLE_TOKENS = 2**17
_KEPT_TOKENS = 2**18
_LARGEST_SHARE = 8

# Base of the polynomial of a document: odd, and so invertible modulo 2**64.
_BASE = 0x9E3779B97F4A7C15

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DocumentSample:
    """Documents with the smallest hashes of their contents.

    Parameters
    ----------
    tokens : ndarray of int64
        Ids of the documents, one after the other.
    stops : ndarray of int64, shape (n_documents,)
        Cumulated lengths.
    keys : ndarray of uint64, shape (n_documents,)
        Hashes, in order.
    threshold : int
        All counted documents with hashes below this are there.
    """

    tokens: NDArray[np.int64]
    stops: NDArray[np.int64]
    keys: NDArray[np.uint64]
    threshold: int = 2**64

    @classmethod
    def from_stream(
        cls, stream: TokenStream, *, complete: bool = False
    ) -> DocumentSample:
        """Sample of documents, or all of them."""
        tokens = stream.tokens[stream.tokens != stream.pad].astype(np.int64)
        sample = cls(tokens, stream.stops, _document_keys(tokens, stream.stops))
        sample = sample._members(np.argsort(sample.keys, kind="stable"))
        return sample if complete else sample._head()

    def __add__(self, other: DocumentSample) -> DocumentSample:
        """Sample of the documents of both."""
        threshold = min(self.threshold, other.threshold)
        pool = DocumentSample(
            np.concatenate([self.tokens, other.tokens]),
            np.concatenate([self.stops, other.stops + self.tokens.size]),
            np.concatenate([self.keys, other.keys]),
            threshold,
        )
        order = np.argsort(pool.keys, kind="stable")
        below = int(
            np.searchsorted(pool.keys[order], np.uint64(threshold - 1), "right")
        )
        return pool._members(order[:below])._head()

    def __sub__(self, other: DocumentSample) -> DocumentSample:
        """Sample without the documents of `other`, which must be complete."""
        mine, n_mine = np.unique(self.keys, return_counts=True)
        n_gone = np.searchsorted(other.keys, mine, "right")
        n_gone -= np.searchsorted(other.keys, mine, "left")
        rank = np.arange(self.keys.size) - np.searchsorted(self.keys, self.keys)
        kept = rank < np.repeat(n_mine - n_gone, n_mine)
        return self._members(np.flatnonzero(kept))

    def left_out(self, n_tokens: int) -> list[NDArray[np.int64]]:
        """Documents to choose weights by, of so many tokens counted; maybe none."""
        limit = min(_SAMPLE_TOKENS, n_tokens // _LARGEST_SHARE)
        part = self._head(limit) if self.stops.size else self
        if part.tokens.size >= n_tokens:
            return []
        return [array for array in np.split(part.tokens, part.stops) if array.size]

    def _head(self, limit: int = _KEPT_TOKENS) -> DocumentSample:
        """The first documents, up to the one that has more tokens with those before."""
        n_documents = int(np.searchsorted(self.stops, limit)) + 1
        if n_documents >= self.stops.size:
            return self
        # Equal documents stay together, so that the threshold tells them all.
        key = self.keys[n_documents - 1]
        n_documents = int(np.searchsorted(self.keys, key, "right"))
        head = self._members(np.arange(n_documents))
        return replace(head, threshold=min(self.threshold, int(key) + 1))

    def _members(self, numbers: IntArray) -> DocumentSample:
        sizes = np.diff(self.stops, prepend=0)
        starts, sizes = (self.stops - sizes)[numbers], sizes[numbers]
        tokens, stops = self.tokens[ragged(starts, sizes)], np.cumsum(sizes)
        return DocumentSample(tokens, stops, self.keys[numbers], self.threshold)


@dataclass(frozen=True, eq=False)
class DocumentModels:
    """What the models of documents say of windows.

    Parameters
    ----------
    proba : ndarray of shape (n_windows, 3)
        Probabilities of the targets; NaN for models that have seen nothing.
    classes : ndarray of int64, shape (n_windows,)
        By which weights they are mixed.
    """

    proba: Floats
    classes: NDArray[np.int64]

    def mixed(self, of_ngrams: Floats, known: IntArray, weights: Floats) -> Floats:
        """Probabilities of the targets, by those of n-grams, and their contexts."""
        parts = self.with_ngrams(of_ngrams)
        mixed: Floats = (parts * weights[known, self.classes]).sum(axis=1)
        return mixed

    def with_ngrams(self, of_ngrams: Floats) -> Floats:
        """Probabilities of n-grams (n_windows, n_models), and of the three models."""
        parts = np.column_stack([of_ngrams, self.proba])
        return np.where(np.isnan(parts), of_ngrams[:, :1], parts)

    def best_weights(
        self, of_ngrams: Floats, known: IntArray, context_size: int
    ) -> Floats:
        """Weights, as of `start_weights`, of the largest likelihood of the targets."""
        parts = self.with_ngrams(of_ngrams)
        weights = start_weights(context_size, of_ngrams.shape[1] - 1)
        start, shape = weights[0, 0], weights.shape
        weights = weights.reshape(-1, start.size)
        rows = known * np.int64(_N_CLASSES) + self.classes
        for _ in range(_STEPS):
            shares = weights[rows] * parts
            shares /= shares.sum(axis=1, keepdims=True)
            weights = np.column_stack(
                [np.bincount(rows, share, len(weights)) for share in shares.T]
            )
            weights += _PRIOR * start
            weights /= weights.sum(axis=1, keepdims=True)
        return weights.reshape(shape)


def start_weights(context_size: int, n_skips: int = 0) -> Floats:
    """Weights (K + 1, 25, 4 + n_skips) without any document to choose them by."""
    first, *of_document = _START
    of_skips = [_START_OF_SKIPS] * n_skips
    start = [first - sum(of_skips), *of_skips, *of_document]
    return np.tile(start, (context_size + 1, _N_CLASSES, 1))


def document_models(targets: IntArray, sizes: IntArray, n_ids: int) -> DocumentModels:
    """Models of documents, at all their targets.

    `sizes` are the numbers of `targets` of the documents, ends included, which no
    document says anything of.
    """
    document = np.repeat(np.arange(sizes.size), sizes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    targets = targets.astype(np.int64)
    places = np.arange(targets.size) - starts
    before = np.where(places > 0, np.roll(targets, 1), n_ids - 1)
    second = np.where(places > 1, np.roll(targets, 2), n_ids - 1)
    after_one = _numbers(document * n_ids + before)
    after_two = _numbers(after_one * n_ids + second)
    seen = [
        (1.0 - DECAY**places) / (1.0 - DECAY),
        decayed_counts(after_one, places),
        decayed_counts(after_two, places),
    ]
    proba = np.full((targets.size, 3), np.nan)
    for column, (group, mass) in enumerate(
        zip((document, after_one, after_two), seen, strict=True)
    ):
        counts = decayed_counts(_numbers(group * n_ids + targets), places)
        np.divide(counts, mass, out=proba[:, column], where=mass > 0)
    return DocumentModels(proba, _classes(seen[1], seen[2]))


def next_models(history: IntArray, n_classes: int) -> tuple[Floats, int]:
    """Probabilities (3, n_classes) of what follows, and the number of weights.

    They are NaN for models that have seen nothing, as in `DocumentModels`.
    """
    age = np.arange(history.size - 1, -1, -1)
    decayed = DECAY**age
    follows = np.zeros((3, history.size), dtype=bool)
    follows[0] = True
    follows[1, 1:] = history[:-1] == history[-1:]
    if history.size > 1:
        follows[2, 2:] = follows[1, 2:] & (history[:-2] == history[-2])
    proba = np.full((3, n_classes), np.nan)
    masses = follows @ decayed
    for row, places, mass in zip(proba, follows, masses, strict=True):
        if mass > 0:
            row[:] = np.bincount(history[places], decayed[places], n_classes) / mass
    return proba, int(_classes(masses[1:2], masses[2:])[0])


def mixed_distribution(of_ngrams: Floats, history: IntArray, weights: Floats) -> Floats:
    """Probabilities of what follows (n_classes,), by those of n-grams.

    These are (n_models, n_classes), and `weights` (25, n_models + 3) those for contexts
    of which as many tokens are known.
    """
    n_models, n_classes = of_ngrams.shape
    proba, number = next_models(history, n_classes)
    proba = np.where(np.isnan(proba), of_ngrams[0], proba)
    own = weights[number]
    mixed: Floats = own[:n_models] @ of_ngrams + own[n_models:] @ proba
    return mixed


def decayed_counts(groups: IntArray, places: IntArray) -> Floats:
    """How often each group was met before, less for what is far away.

    The sum over earlier members j of the group of i of ``DECAY ** (i - 1 - j)``, where
    i and j are their `places`, which are ascending within each group.
    """
    order = np.argsort(groups, kind="stable")
    places = places[order]
    starts = first_places(groups[order])
    sizes = np.diff(starts, append=groups.size)
    largest_first = np.argsort(-sizes, kind="stable")
    starts, sizes = starts[largest_first], sizes[largest_first]
    counts = np.zeros(groups.size)
    # All groups of more than k members at a time.
    for k in range(1, int(sizes.max(initial=0))):
        at = starts[: int(np.searchsorted(-sizes, -k))] + k
        gap = places[at] - places[at - 1]
        counts[at] = DECAY ** (gap - 1.0) * (DECAY * counts[at - 1] + 1.0)
    found = np.empty(groups.size)
    found[order] = counts
    return found


def _classes(after_one: Floats, after_two: Floats) -> NDArray[np.int64]:
    return np.digitize(after_one, _EDGES) * (len(_EDGES) + 1) + np.digitize(
        after_two, _EDGES
    )


def _numbers(values: IntArray) -> NDArray[np.int64]:
    """Ranks of values, so that their products fit 64 bits."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _document_keys(
    tokens: NDArray[np.int64], stops: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Hashes of documents: polynomials modulo 2**64, with their bits mixed."""
    sizes = np.diff(stops, prepend=0)
    powers = np.full(int(sizes.max()), _BASE, dtype=np.uint64)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    exponents = np.arange(tokens.size) - np.repeat(stops - sizes, sizes)
    terms = (tokens + 1).astype(np.uint64) * powers[exponents]
    return mixed_bits(np.add.reduceat(terms, stops - sizes))
