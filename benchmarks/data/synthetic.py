"""Random tokens and bags of words: Zipf's law, and n-grams that repeat."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.calibration.sample import mixed_bits

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


def repetitive_tokens(
    rng: np.random.Generator, n_ids: int, size: int, length: int
) -> NDArray[np.int32]:
    """Documents of `length` tokens, one after the other, whose n-grams repeat.

    Each token is one of those that follow the last token, or the last two, by a rank
    that follows a power law. So tokens follow Zipf's law, and the numbers of distinct
    n-grams grow as in text: 16 million of 4,096 ids have 1.1, 4.1, 8.4, and 12.2
    million n-grams of 2 to 5 tokens, those of the corpus babylm_like have 1.1, 5.5,
    9.9, and 12.3.
    """
    n_documents = -(-size // length)
    tokens = np.empty((length, n_documents), dtype=np.int32)
    last = second = np.zeros(n_documents, dtype=np.uint64)
    for row in tokens:
        rank = np.minimum(rng.random(n_documents) ** (-1 / 0.65), 2.0**31)
        key = rank.astype(np.uint64) * np.uint64(n_ids) + last
        key *= np.uint64(n_ids + 1)
        key += np.where(rng.random(n_documents) < 0.5, second + np.uint64(1), 0)
        uniform = (mixed_bits(key) >> np.uint64(11)) * 2.0**-53
        row[:] = n_ids**uniform - 1
        last, second = row.astype(np.uint64), last
    return tokens.T.ravel()[:size]


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
