"""Bigram: maximum likelihood given the token before, interpolated with the unigram.

P(i | d) = w n_di / n_d + (1 - w) P(i), P as in `unigram`: the bare estimate n_di / n_d
gives no probability to a pair that was never seen. The weight w maximises the
leave-one-out likelihood of the training pairs, by expectation maximisation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "bigram, maximum likelihood"
_STEPS = 100


class Bigram:
    """Documents of token ids; ids run up to `vocabulary_size` - 2."""

    context_size = 1
    most_tokens = most_scored = None
    note = ""

    def __init__(self, vocabulary_size: int) -> None:
        self.size = vocabulary_size

    def fit(self, documents: list[NDArray[np.int32]]) -> Bigram:
        pairs, counts = np.unique(self._pairs(documents), return_counts=True)
        before, token = np.divmod(pairs, self.size)
        of_context = np.bincount(before, weights=counts, minlength=self.size)
        of_token = np.bincount(token, weights=counts, minlength=self.size - 1)
        self.pairs, self.given = pairs, counts / of_context[before]
        total = of_token.sum() + of_token.size
        self.alone = (of_token + 1) / total
        held_out = (counts - 1) / np.maximum(of_context[before] - 1, 1)
        alone = of_token[token] / (total - 1)
        weight = 0.5
        for _ in range(_STEPS):
            share = weight * held_out / (weight * held_out + (1 - weight) * alone)
            weight = float(np.average(share, weights=counts))
        self.weight = weight
        return self

    def log_proba(self, documents: list[NDArray[np.int32]]) -> NDArray[Any]:
        pairs = self._pairs(documents)
        place = np.searchsorted(self.pairs, pairs).clip(max=self.pairs.size - 1)
        given = np.where(self.pairs[place] == pairs, self.given[place], 0.0)
        self.note = (
            f"{self.weight:.2f} of it and the rest of the unigram; the bare estimate "
            f"is zero for {(given == 0).mean():.1%} of the tokens"
        )
        return np.log(
            self.weight * given + (1 - self.weight) * self.alone[pairs % self.size]
        )

    def _pairs(self, documents: list[NDArray[np.int32]]) -> NDArray[np.int64]:
        """Pairs of tokens as numbers, with the padding before the first."""
        pad = [self.size - 1]
        before = [np.concatenate((pad, ids[:-1]))[: ids.size] for ids in documents]
        return np.concatenate(before) * self.size + np.concatenate(documents)


def make(context_size: int, vocabulary_size: int) -> Bigram:
    return Bigram(vocabulary_size)
