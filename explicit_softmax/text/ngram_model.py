"""NgramModel: counts of windows, and how they are smoothed.

What `fit`, `partial_fit`, `merge`, and `forget` of a language model of n-grams do is
arithmetic of these models. They never change: each operation makes a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.progress import listener, listening
from explicit_softmax.text.kneser_ney import KneserNey, kneser_ney
from explicit_softmax.text.mixture import (
    DocumentModels,
    DocumentSample,
    document_models,
    mixed_distribution,
    start_weights,
)
from explicit_softmax.text.ngrams import NgramCounts, count_ngrams, target_places
from explicit_softmax.text.skips import skip_distances, skip_models
from explicit_softmax.text.windows import TokenStream, next_windows

# Targets that are scored at a time, and prefixes of which all probabilities are.
_CHUNK_TARGETS = 2**20
_CHUNK_VALUES = 2**20


@dataclass(frozen=True, eq=False)
class NgramModel:
    """What a fitted language model of n-grams has.

    Parameters
    ----------
    counts : NgramCounts or None
        None for a model that cannot count, as one that was read from an ARPA file.
    sample : DocumentSample or None
        Some of the documents, by which the weights of a mixture are chosen; None for
        Kneser-Ney alone.
    weights : ndarray of shape (K + 1, 25, 4 + n_skips), default=None
        Weights that were chosen for a mixture before; by default, they are chosen.
    smoothed : KneserNey, default=None
        What was made of the counts before; by default, it is made.
    min_counts : tuple of K + 1 int, default=None
        How often n-grams of 1 to K + 1 tokens were counted that are kept; None for all.
    token_counts : ndarray of shape (V - 1,), default=None
        `class_count` of a model whose n-grams were pruned.
    has_skips : bool, default=False
        Whether the mixture has contexts that leave tokens out.
    skips : tuple of n_skips KneserNey, default=()
        What was made of the counts of these before; by default, it is made.
    """

    counts: NgramCounts | None
    sample: DocumentSample | None = None
    weights: NDArray[np.float64] | None = None
    smoothed: KneserNey | None = None
    min_counts: tuple[int, ...] | None = None
    token_counts: NDArray[np.float64] | None = None
    has_skips: bool = False
    skips: tuple[KneserNey, ...] = ()

    # As of models of windows, which can be refined.
    refined = None
    n_iter = 1

    @classmethod
    def from_stream(
        cls,
        stream: TokenStream,
        n_ids: int,
        has_ends: bool,
        *,
        mixture: bool | str = False,
        sample_all: bool = False,
        min_counts: tuple[int, ...] | None = None,
    ) -> NgramModel:
        """Count the windows of documents, and sample some or all of these."""
        sample = None
        if mixture:
            sample = DocumentSample.from_stream(stream, complete=sample_all)
        counts = count_ngrams(stream, n_ids, has_ends)
        has_skips = mixture == "skip"
        return cls(counts, sample, min_counts=min_counts, has_skips=has_skips)

    def __add__(self, other: NgramModel) -> NgramModel:
        """Model of the documents of both, which have the same V, K, and ends."""
        first, second = self.check_additive("merge"), other.check_additive("merge")
        self.check_settings(
            other.settings, "models with different {name} cannot be merged: {} and {}"
        )
        sample = None
        if self.sample is not None and other.sample is not None:
            sample = self.sample + other.sample
        return NgramModel(first + second, sample, has_skips=self.has_skips)

    def __sub__(self, other: NgramModel) -> NgramModel:
        """Model without the documents of `other`, whose sample must be complete."""
        counts = self._counted("forget") - other._counted("forget")
        sample = None
        if self.sample is not None and other.sample is not None:
            sample = self.sample - other.sample
        return NgramModel(counts, sample, has_skips=self.has_skips)

    @property
    def settings(self) -> bool | str:
        """Whether it is a mixture, and "skip" for one with skip contexts."""
        if self.has_skips:
            return "skip"
        return self.sample is not None or self.weights is not None

    @property
    def n_skips(self) -> int:
        """Number of contexts that leave tokens out."""
        return len(skip_distances(self.shape[1])) if self.has_skips else 0

    @property
    def shape(self) -> tuple[int, int, bool]:
        """V, K, and whether ends of documents are predicted."""
        if self.counts is not None:
            counts = self.counts
            return counts.n_ids, counts.context_size, counts.has_ends
        model = self.kneser_ney
        return model.n_ids, model.context_size, model.n_classes == model.n_ids

    @cached_property
    def class_count(self) -> NDArray[np.float64]:
        """How often each token was counted (V - 1,); ends of documents are not."""
        if self.counts is None:
            if self.token_counts is None:
                raise AttributeError("this model was read from a file, without counts")
            return self.token_counts
        return self.counts.target_counts()[:-1]

    def check_additive(self, method: str) -> NgramCounts:
        """The counts; ValueError unless they and what chooses weights are there."""
        counts = self._counted(method)
        if self.weights is not None and self.sample is None:
            raise ValueError(
                f"{method} chooses weights of the mixture again, and this model was "
                "saved without the documents for this: save it with keep_rows=True"
            )
        return counts

    def _counted(self, method: str) -> NgramCounts:
        if self.counts is None:
            why = "read from an ARPA file" if self.token_counts is None else "pruned"
            why += "" if self.token_counts is None else " by min_count"
            raise ValueError(
                f"{method} needs counts, and this model has probabilities only: it was "
                f"{why}"
            )
        return self.counts

    def stored(self) -> NgramModel:
        """The same model, with its solution if there is one."""
        found = vars(self).get("solution")
        if found is None:
            return self
        return replace(
            self, weights=found.weights, smoothed=found.kneser_ney, skips=found.skips
        )

    def without_sample(self) -> NgramModel:
        """The same solution without the documents from which it was chosen."""
        if self.sample is not None:
            _ = self.solution
        return replace(self.stored(), sample=None)

    def without_counts(self) -> NgramModel:
        """The same solution, which is all that is left."""
        _ = self.solution
        return replace(
            self.without_sample(), counts=None, token_counts=self.class_count
        )

    def check_settings(self, mixture: bool | str, message: str) -> None:
        """ValueError if others differ; `message` has {name} and two values."""
        if mixture != self.settings:
            raise ValueError(message.format(self.settings, mixture, name="mixture"))

    @cached_property
    def solution(self) -> NgramSolution:
        """Smoothed n-grams and weights, made when they are first needed."""
        weights, smoothed, skips = self.weights, self.smoothed, self.skips
        if self.counts is not None:
            if weights is None and self.sample is not None:
                weights = self._chosen_weights(self.counts, self.sample)
            if smoothed is None:
                smoothed = kneser_ney(self.counts, self.min_counts)
            if self.has_skips and not skips:
                skips = skip_models(self.counts, self.min_counts)
        assert smoothed is not None
        has_ends = smoothed.n_classes == smoothed.n_ids
        return NgramSolution(smoothed, has_ends, weights, skips)

    def _chosen_weights(
        self, counts: NgramCounts, sample: DocumentSample
    ) -> NDArray[np.float64]:
        """Weights of a mixture that has not counted some of the documents."""
        arrays = sample.left_out(int(self.class_count.sum()))
        if not arrays:
            return start_weights(counts.context_size, self.n_skips)
        stream = TokenStream.from_arrays(arrays, counts.context_size, counts.n_ids - 1)
        tell = listener()
        with listening(None):  # which would hear of each window
            rest = counts - count_ngrams(stream, counts.n_ids, counts.has_ends)
        left = NgramSolution(
            kneser_ney(rest, self.min_counts),
            counts.has_ends,
            skips=skip_models(rest, self.min_counts) if self.has_skips else (),
        )
        of_ngrams, known = left.of_ngrams(stream)
        tell(1)
        documents = left.document_models(stream)
        weights = documents.best_weights(of_ngrams, known, counts.context_size)
        tell(1)
        return weights

    @property
    def kneser_ney(self) -> KneserNey:
        """The smoothed n-grams."""
        return self.solution.kneser_ney


@dataclass(frozen=True, eq=False)
class NgramSolution:
    """Probabilities of the tokens of documents by smoothed n-grams, or a mixture.

    Parameters
    ----------
    kneser_ney : KneserNey
    has_ends : bool
        Whether ends of documents are predicted.
    weights : ndarray of shape (K + 1, 25, 4 + n_skips), default=None
        Of a mixture with `DocumentModels`, by known tokens of contexts; None is none.
    skips : tuple of n_skips KneserNey, default=()
        N-grams of contexts that leave tokens out, for the mixture.
    """

    kneser_ney: KneserNey
    has_ends: bool
    weights: NDArray[np.float64] | None = None
    skips: tuple[KneserNey, ...] = ()

    def log_likelihood(self, stream: TokenStream) -> Iterator[NDArray[np.float64]]:
        """Log-probabilities in nats of the targets of documents, by chunks."""
        if self.weights is None:
            for proba, _ in self.ngram_probabilities(stream):
                yield np.log(proba[:, 0])
            return
        for part in document_chunks(stream):
            proba, known = self.of_ngrams(part)
            documents = self.document_models(part)
            yield np.log(documents.mixed(proba, known, self.weights))

    def of_ngrams(
        self, stream: TokenStream
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Probabilities of all targets by n-grams, and tokens of known contexts.

        They are (n_targets, 1 + n_skips), those of whole contexts first.
        """
        parts = zip(*self.ngram_probabilities(stream), strict=True)
        proba, known = (np.concatenate(part) for part in parts)
        return proba, known

    def ngram_probabilities(
        self, stream: TokenStream
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.intp]]]:
        """The same by chunks."""
        size = stream.context_size
        for tokens, is_target in target_chunks(stream, self.has_ends):
            n_places = is_target.size
            *contexts, targets = (
                tokens[first : first + n_places][is_target]
                for first in [*range(size - 1, -1, -1), size]
            )
            proba, known = self.kneser_ney.probabilities(contexts, targets)
            of_skips = [
                skip.probabilities(own, targets)[0]
                for skip, own in self._skip_contexts(contexts)
            ]
            yield np.column_stack([proba, *of_skips]), known

    def _skip_contexts(
        self, contexts: Sequence[NDArray[Any]]
    ) -> Iterator[tuple[KneserNey, list[NDArray[Any]]]]:
        """N-grams of contexts that leave tokens out, and the columns of these."""
        distances = skip_distances(len(contexts))
        for skip, of_skip in zip(self.skips, distances, strict=False):
            yield skip, [contexts[distance - 1] for distance in of_skip]

    def document_models(self, stream: TokenStream) -> DocumentModels:
        """What documents say of their own tokens."""
        targets, sizes = stream.targets, np.diff(stream.stops, prepend=0)
        if self.has_ends:
            targets, sizes = stream.targets_with_ends, sizes + 1
        return document_models(targets, sizes, self.kneser_ney.n_ids)

    def next_proba(self, prefixes: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
        """Probabilities (n_prefixes, n_classes) of the targets after prefixes."""
        model = self.kneser_ney
        windows = next_windows(prefixes, model.context_size, model.n_ids - 1)
        proba = np.empty((len(prefixes), model.n_classes))
        step, tell = max(1, _CHUNK_VALUES // model.n_classes), listener()
        for start in range(0, len(prefixes), step):
            rows = slice(start, start + step)
            contexts = [*windows[rows].T]
            proba[rows], known = model.distributions(contexts)
            if self.weights is not None:
                skips = self._skip_contexts(contexts)
                of_skips = [skip.distributions(own)[0] for skip, own in skips]
                parts = np.stack([proba[rows], *of_skips], axis=1)
                proba[rows] = [
                    mixed_distribution(*given)
                    for given in zip(
                        parts, prefixes[rows], self.weights[known], strict=True
                    )
                ]
            tell(len(windows[rows]))
        return proba


def document_chunks(stream: TokenStream) -> Iterator[TokenStream]:
    """Streams of whole documents, of about as many tokens."""
    size, stops = stream.context_size, stream.stops
    first = n_before = 0
    while first < stops.size:
        last = int(np.searchsorted(stops, n_before + _CHUNK_TARGETS)) + 1
        last = min(last, stops.size)
        n_after = int(stops[last - 1])
        tokens = stream.tokens[n_before + first * size : n_after + last * size]
        yield replace(stream, tokens=tokens, stops=stops[first:last] - n_before)
        first, n_before = last, n_after


def target_chunks(
    stream: TokenStream, has_ends: bool
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Tokens of chunks behind K others each, and which of them are targets."""
    size = stream.context_size
    for start in range(0, stream.tokens.size - size + has_ends, _CHUNK_TARGETS):
        tokens = stream.tokens[start : start + size + _CHUNK_TARGETS]
        if has_ends and start + size + _CHUNK_TARGETS > stream.tokens.size:
            tokens = np.append(tokens, stream.pad)
        tokens = tokens.astype(np.int64)
        yield tokens, target_places(tokens, size, stream.pad, has_ends)
