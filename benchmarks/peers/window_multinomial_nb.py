"""MultinomialNB on one-hot windows, the features of Cat, by partial_fit.

See `multinomial_nb` for what it maximises. Its counts, their logarithms, and one-hot
targets are dense: several arrays of classes x features, and classes for each row of a
batch, so that few tokens are fitted in a fair time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.naive_bayes import MultinomialNB

from explicit_softmax.text.windows import OneHotWindows, TokenStream

NAME = "MultinomialNB on windows"
# A product with the transposed log-probabilities copies them: not too many batches.
_BATCH = 25_000
_SCORED_BATCH = 5000


class WindowMultinomialNB:
    """Documents of token ids; ids run up to `vocabulary_size` - 2."""

    most_tokens, most_scored = 100_000, 20_000
    note = "alpha 1"

    def __init__(self, context_size: int, vocabulary_size: int) -> None:
        self.context_size, self.size = context_size, vocabulary_size

    def fit(self, documents: list[NDArray[np.int32]]) -> WindowMultinomialNB:
        rows, targets = self._windows(documents)
        self.model = MultinomialNB()
        for first in range(0, targets.size, _BATCH):
            part = slice(first, first + _BATCH)
            classes = np.arange(self.size - 1) if first == 0 else None
            self.model.partial_fit(rows[part], targets[part], classes=classes)
        return self

    def log_proba(self, documents: list[NDArray[np.int32]]) -> NDArray[Any]:
        rows, targets = self._windows(documents)
        found = []
        for first in range(0, targets.size, _SCORED_BATCH):
            part = slice(first, first + _SCORED_BATCH)
            scores = self.model.predict_joint_log_proba(rows[part])
            own = scores[np.arange(len(scores)), targets[part]]
            found.append(own - logsumexp(scores, axis=1))
        return np.concatenate(found)

    def _windows(
        self, documents: list[NDArray[np.int32]]
    ) -> tuple[OneHotWindows, NDArray[Any]]:
        stream = TokenStream.from_documents(documents, self.context_size, self.size - 1)
        return OneHotWindows(stream, self.size, "cat"), stream.targets


def make(context_size: int, vocabulary_size: int) -> WindowMultinomialNB:
    return WindowMultinomialNB(context_size, vocabulary_size)
