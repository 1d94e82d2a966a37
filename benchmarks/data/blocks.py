"""Blocks of random bags of words, made anew wherever they are needed; NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def make_words(
    number: int,
    n_rows: int,
    n_features: int,
    n_classes: int,
    n_tokens: int,
    n_words: int,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Features of the tokens (n_rows, n_tokens) and classes of block `number`.

    A class has `n_words` words, which are hashed to features; their ranks follow Zipf's
    law.
    """
    rng = np.random.default_rng([number, 0])
    y = rng.integers(n_classes, size=n_rows)
    edges = np.cumsum(1.0 / np.arange(1, n_words + 1))
    draws = rng.random((n_rows, n_tokens)) * edges[-1]
    ranks = np.searchsorted(edges, draws, side="right").clip(max=n_words - 1)
    # All classes share all words but some, of which a row has one or two.
    own = np.where(ranks % 64 == 7, y[:, None] * 40503, 0)
    return (ranks * 2654435761 + own) % n_features, y
