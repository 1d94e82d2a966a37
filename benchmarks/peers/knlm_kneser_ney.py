"""knlm: interpolated modified Kneser-Ney in C++, with three discounts for each order.

Of the packages that were tried it is the only one that trains on millions of tokens in
memory and in seconds, but its last release is of 2019. The others: `nltk` (see
`nltk_kneser_ney`) is maintained and slow; `kenlm` only answers queries when installed
by pip, its trainer has to be built apart; `kaldingram` and `arpabo` train in pure
Python, with back-off in place of interpolation. knlm is compiled when it is installed
(``pip install knlm``), and no extra of this package asks for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from knlm import KneserNey
from numpy.typing import NDArray

NAME = "modified Kneser-Ney (knlm)"
_BYTES_PER_ID = 4


class KnlmKneserNey:
    """Documents of token ids."""

    most_tokens = most_scored = None
    note = ""

    def __init__(self, context_size: int, vocabulary_size: int) -> None:
        self.context_size = context_size

    def fit(self, documents: list[NDArray[np.int32]]) -> KnlmKneserNey:
        self.model = KneserNey(self.context_size + 1, _BYTES_PER_ID)
        for ids in documents:
            self.model.train(list(map(str, ids.tolist())))
        self.model.optimize()
        return self

    def log_proba(self, documents: list[NDArray[np.int32]]) -> NDArray[Any]:
        parts = [
            self.model.evaluateEachWord(list(map(str, ids.tolist())))[: ids.size]
            for ids in documents
            if ids.size
        ]
        return np.concatenate(parts)


def make(context_size: int, vocabulary_size: int) -> KnlmKneserNey:
    return KnlmKneserNey(context_size, vocabulary_size)
