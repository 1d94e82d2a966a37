"""Synthetic bags of words in which both words and classes follow Zipf's law."""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

# Share of the tokens that are drawn from the topic of the class, and words of a topic.
TOPIC_SHARE = 0.1
TOPIC_WORDS = 50


class Corpus(NamedTuple):
    """Token counts (CSR, float64) and classes."""

    X_train: sp.csr_array
    y_train: NDArray[np.int64]
    X_test: sp.csr_array
    y_test: NDArray[np.int64]


def make_corpus(
    n_rows: int,
    n_features: int,
    n_classes: int,
    n_tokens: int,
    n_test: int,
    seed: int = 0,
) -> Corpus:
    """Rows of `n_tokens` words each.

    Ranks of words and classes have probabilities in proportion to one over the rank. A
    word comes with probability TOPIC_SHARE from the topic of its class, TOPIC_WORDS
    successive words from a random place on, again by Zipf's law, and otherwise from all
    words.
    """
    rng = np.random.default_rng(seed)
    total = n_rows + n_test
    y = _zipf(rng, n_classes, total)
    words = _zipf(rng, n_features, total * n_tokens)
    topical = np.flatnonzero(rng.random(words.size) < TOPIC_SHARE)
    places = rng.integers(n_features, size=n_classes)
    ranks = _zipf(rng, min(TOPIC_WORDS, n_features), topical.size)
    words[topical] = (places[y[topical // n_tokens]] + ranks) % n_features
    X = sp.csr_array(
        (
            np.ones(words.size),
            words.astype(np.int32),
            np.arange(0, words.size + 1, n_tokens, dtype=np.int32),
        ),
        shape=(total, n_features),
    )
    X.sum_duplicates()
    return Corpus(X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:])


def _zipf(rng: np.random.Generator, n_ranks: int, size: int) -> NDArray[np.int64]:
    edges = np.cumsum(1.0 / np.arange(1, n_ranks + 1))
    return np.searchsorted(edges, rng.random(size) * edges[-1], side="right").clip(
        max=n_ranks - 1
    )


def save(corpus: Corpus, path: str) -> None:
    parts = {}
    for part in ("train", "test"):
        X = getattr(corpus, f"X_{part}")
        parts |= {
            f"{part}_data": X.data,
            f"{part}_indices": X.indices,
            f"{part}_indptr": X.indptr,
            f"{part}_y": getattr(corpus, f"y_{part}"),
        }
    np.savez(path, n_features=corpus.X_train.shape[1], **parts)


def load(path: str) -> Corpus:
    with np.load(path) as stored:
        n_features = int(stored["n_features"])
        parts = []
        for part in ("train", "test"):
            y = stored[f"{part}_y"]
            X = sp.csr_array(
                tuple(stored[f"{part}_{key}"] for key in ("data", "indices", "indptr")),
                shape=(len(y), n_features),
            )
            parts += [X, y]
    return Corpus(*parts)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a corpus to a file.")
    parser.add_argument("path")
    for name in ("rows", "features", "classes", "tokens", "test-rows"):
        parser.add_argument(f"--{name}", type=int, required=True)
    arguments = parser.parse_args(argv)
    corpus = make_corpus(
        arguments.rows,
        arguments.features,
        arguments.classes,
        arguments.tokens,
        arguments.test_rows,
    )
    save(corpus, arguments.path)


if __name__ == "__main__":
    main()
