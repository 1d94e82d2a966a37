"""NgramModel: counts of windows, and how they are smoothed.

What `fit`, `partial_fit`, `merge`, and `forget` of a language model of n-grams do is
arithmetic of these models. They never change: each operation makes a new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.text.kneser_ney import KneserNey, kneser_ney
from explicit_softmax.text.ngrams import NgramCounts, count_ngrams, target_places
from explicit_softmax.text.windows import TokenStream, next_windows

# Targets that are scored at a time, and prefixes of which all probabilities are.
_CHUNK_TARGETS = 2**20
_CHUNK_VALUES = 2**20


@dataclass(frozen=True, eq=False)
class NgramModel:
    """What a fitted language model of n-grams has.

    Parameters
    ----------
    counts : NgramCounts
    """

    counts: NgramCounts

    # As of models of windows, which can be refined.
    settings = None
    refined = None
    n_iter = 1

    @classmethod
    def from_stream(cls, stream: TokenStream, n_ids: int, has_ends: bool) -> NgramModel:
        """Count the windows of documents."""
        return cls(count_ngrams(stream, n_ids, has_ends))

    def __add__(self, other: NgramModel) -> NgramModel:
        """Model of the documents of both, which have the same V, K, and ends."""
        return NgramModel(self.counts + other.counts)

    def __sub__(self, other: NgramModel) -> NgramModel:
        """Model without the documents of `other`."""
        return NgramModel(self.counts - other.counts)

    @cached_property
    def class_count(self) -> NDArray[np.float64]:
        """How often each token was counted (V - 1,); ends of documents are not."""
        return self.counts.target_counts()[:-1]

    def check_additive(self, method: str) -> None:
        """Counts are kept, and so it is."""

    def check_settings(self, settings: Any, message: str) -> None:
        """Nothing is chosen before counting."""

    @cached_property
    def kneser_ney(self) -> KneserNey:
        """The smoothed n-grams, made when they are first needed."""
        return kneser_ney(self.counts)

    def log_likelihood(self, stream: TokenStream) -> Iterator[NDArray[np.float64]]:
        """Log-probabilities in nats of the targets of documents, by chunks."""
        solution, size = self.kneser_ney, stream.context_size
        for tokens, is_target in target_chunks(stream, self.counts.has_ends):
            n_places = is_target.size
            *contexts, targets = (
                tokens[first : first + n_places][is_target]
                for first in [*range(size - 1, -1, -1), size]
            )
            yield np.log(solution.probabilities(contexts, targets)[0])

    def next_proba(self, prefixes: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
        """Probabilities (n_prefixes, n_classes) of the targets after prefixes."""
        solution, size = self.kneser_ney, self.counts.context_size
        windows = next_windows(prefixes, size, self.counts.n_ids - 1)
        proba = np.empty((len(prefixes), solution.n_classes))
        step = max(1, _CHUNK_VALUES // solution.n_classes)
        for start in range(0, len(prefixes), step):
            rows = slice(start, start + step)
            proba[rows] = solution.distributions([*windows[rows].T])
        return proba


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
