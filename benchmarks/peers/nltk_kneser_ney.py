"""KneserNeyInterpolated of nltk: interpolated Kneser-Ney, one discount.

Discounts the counts of (K + 1)-grams, and those of shorter ones by the number of
different tokens before them, and interpolates all orders. The discount is its usual
value of 0.75; the default of nltk, 0.1, does worse.

Every probability goes through all contexts that were counted, in Python: 20 to 50 ms a
token at 50,000 training tokens, so that few tokens can be fitted and scored.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from nltk.lm import KneserNeyInterpolated
from nltk.util import everygrams, ngrams
from numpy.typing import NDArray

NAME = "KneserNeyInterpolated (nltk)"
_DISCOUNT = 0.75


class NltkKneserNey:
    """Documents of token ids."""

    most_tokens, most_scored = 50_000, 400
    note = f"discount {_DISCOUNT}"

    def __init__(self, context_size: int, vocabulary_size: int) -> None:
        self.context_size = context_size
        self.pads = ["<s>"] * context_size

    def fit(self, documents: list[NDArray[np.int32]]) -> NltkKneserNey:
        order = self.context_size + 1
        texts = [self.pads + list(map(str, ids.tolist())) for ids in documents]
        self.model = KneserNeyInterpolated(order, discount=_DISCOUNT)
        grams = (list(everygrams(text, max_len=order)) for text in texts)
        self.model.fit(grams, (token for text in texts for token in text))
        return self

    def log_proba(self, documents: list[NDArray[np.int32]]) -> NDArray[Any]:
        found = []
        for ids in documents:
            text = self.pads + list(map(str, ids.tolist()))
            for gram in ngrams(text, self.context_size + 1):
                found.append(self.model.logscore(gram[-1], gram[:-1]) * math.log(2))
        return np.array(found)


def make(context_size: int, vocabulary_size: int) -> NltkKneserNey:
    return NltkKneserNey(context_size, vocabulary_size)
