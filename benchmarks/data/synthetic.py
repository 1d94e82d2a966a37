"""Random tokens and bags of words whose ranks follow Zipf's law."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

# Share of the tokens that are drawn from the topic of the class, and words of a topic.
TOPIC_SHARE = 0.1
TOPIC_WORDS = 50


class Bags(NamedTuple):
    """Token counts (CSR, float64) and classes."""

    X_train: sp.csr_array
    y_train: NDArray[np.int64]
    X_test: sp.csr_array
    y_test: NDArray[np.int64]


def zipf(rng: np.random.Generator, n_ranks: int, size: int) -> NDArray[np.int64]:
    """Random ranks; rank i has a probability in proportion to 1 / (i + 1)."""
    edges = np.cumsum(1.0 / np.arange(1, n_ranks + 1))
    return np.searchsorted(edges, rng.random(size) * edges[-1], side="right").clip(
        max=n_ranks - 1
    )


def make_tokens(
    n_rows: int, n_words: int, n_classes: int, n_tokens: int, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Words (n_rows, n_tokens) and classes of rows, which both follow Zipf's law.

    A word comes with probability TOPIC_SHARE from the topic of its class, TOPIC_WORDS
    successive words from a random place on, again by Zipf's law, and otherwise from all
    words.
    """
    rng = np.random.default_rng(seed)
    y = zipf(rng, n_classes, n_rows)
    words = zipf(rng, n_words, n_rows * n_tokens)
    topical = np.flatnonzero(rng.random(words.size) < TOPIC_SHARE)
    places = rng.integers(n_words, size=n_classes)
    ranks = zipf(rng, min(TOPIC_WORDS, n_words), topical.size)
    words[topical] = (places[y[topical // n_tokens]] + ranks) % n_words
    return words.reshape(n_rows, n_tokens), y


def make_bags(
    n_rows: int,
    n_features: int,
    n_classes: int,
    n_tokens: int,
    n_test: int,
    seed: int = 0,
) -> Bags:
    """Bags of the words of `make_tokens`."""
    total = n_rows + n_test
    words, y = make_tokens(total, n_features, n_classes, n_tokens, seed)
    X = sp.csr_array(
        (
            np.ones(words.size),
            words.ravel().astype(np.int32),
            np.arange(0, words.size + 1, n_tokens, dtype=np.int32),
        ),
        shape=(total, n_features),
    )
    X.sum_duplicates()
    return Bags(X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:])


def make_texts(
    n_rows: int, n_words: int, n_classes: int, n_tokens: int, seed: int = 0
) -> tuple[list[str], NDArray[np.str_]]:
    """The words of `make_tokens` as texts, with labels."""
    words, y = make_tokens(n_rows, n_words, n_classes, n_tokens, seed)
    names = [f"w{word}" for word in range(n_words)]
    texts = [" ".join([names[word] for word in row]) for row in words.tolist()]
    return texts, np.array([f"c{code}" for code in range(n_classes)])[y]
