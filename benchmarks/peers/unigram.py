"""Unigram: the maximum-likelihood estimate without context, with one more of each.

P(i) = (n_i + 1) / (n + V): the bare estimate n_i / n gives no probability to tokens
that were never seen. In closed form; a row is a token.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAME = "unigram, maximum likelihood"


class Unigram:
    """Documents of token ids; ids run up to `vocabulary_size` - 2."""

    context_size = 0
    most_tokens = most_scored = None
    note = "one more of each token"

    def __init__(self, vocabulary_size: int) -> None:
        self.n_classes = vocabulary_size - 1

    def fit(self, documents: list[NDArray[np.int32]]) -> Unigram:
        counts = np.bincount(np.concatenate(documents), minlength=self.n_classes) + 1.0
        self.probabilities = counts / counts.sum()
        return self

    def log_proba(self, documents: list[NDArray[np.int32]]) -> NDArray[Any]:
        return np.log(self.probabilities)[np.concatenate(documents)]


def make(context_size: int, vocabulary_size: int) -> Unigram:
    return Unigram(vocabulary_size)
