"""Documents of a language model as counted windows, and their likelihoods.

All windows have K tokens, pads included: rows of norm K exactly, in equal parts in the
blocks of Cat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import softmax

from explicit_softmax.calibration.model import ExplicitModel, Settings
from explicit_softmax.calibration.sample import Limit, RowSample
from explicit_softmax.solution.counts import IntArray, row_blocks
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.text.tokens import NO_TOKEN, TokenIds
from explicit_softmax.text.windows import (
    Aggregation,
    OneHotWindows,
    TokenStream,
    count_windows,
    next_windows,
    one_hot_windows,
    window_keys,
)

# Tokens that are scored while the next documents wait to be read.
_CHUNK_TOKENS = 2**18

# Scores of a chunk of this many values stay in cache.
_CHUNK_VALUES = 2**20

# To score more windows than this, a decoder of at most so many values (512 MiB in
# float32) is made dense: products are then twice as fast.
_MANY_WINDOWS = 2**14
_MOST_DENSE_VALUES = 2**27


def scores_and_perplexities(scores: Mapping[str, float]) -> dict[str, float]:
    """Mean log-likelihoods by suffix, under their names, and perplexities beside."""
    report = {}
    for suffix, score in scores.items():
        report[f"score{suffix}"] = score
        with np.errstate(over="ignore"):  # a likelihood may be too small
            report[f"perplexity{suffix}"] = float(np.exp(-score))
    return report


@dataclass(frozen=True, eq=False)
class WindowEncoder:
    """Turns documents of ids or strings into one-hot windows.

    Parameters
    ----------
    ids : TokenIds
        Vocabulary.
    context_size : int
        K, the number of tokens in a window.
    aggregation : {"ngram", "cat", "sum"}
        One feature for each distinct window, or those of `OneHotWindows`.
    has_ends : bool, default=False
        Whether the end of each document is a target, with the id of the padding.
    """

    ids: TokenIds
    context_size: int
    aggregation: Literal["ngram"] | Aggregation
    has_ends: bool = False

    @property
    def n_blocks(self) -> int:
        """Number of blocks of features."""
        return self.context_size if self.aggregation == "cat" else 1

    def stream(self, documents: Iterable[Any]) -> TokenStream:
        """Ids of documents; ValueError if there is none."""
        arrays = self.ids.encoded(documents)
        stream = TokenStream.from_ids(arrays, self.context_size, self.ids.pad)
        if not stream.stops.size:
            raise ValueError(NO_TOKEN)
        return stream

    def chunks(
        self, documents: Iterable[Any]
    ) -> Iterator[tuple[TokenStream, NDArray[np.intp]]]:
        """Documents in parts of about as many tokens, and lengths of all of each."""
        arrays: list[NDArray[np.int32]] = []
        n_tokens = 0
        for array in self.ids.encoded(documents):
            arrays.append(array)
            # Each document has a start, too, so that empty ones do not pile up.
            n_tokens += array.size + 1
            if n_tokens >= _CHUNK_TOKENS:
                yield self._chunk(arrays)
                arrays, n_tokens = [], 0
        if arrays:
            yield self._chunk(arrays)

    def _chunk(
        self, arrays: list[NDArray[np.int32]]
    ) -> tuple[TokenStream, NDArray[np.intp]]:
        stream = TokenStream.from_ids(arrays, self.context_size, self.ids.pad)
        return stream, np.array([array.size for array in arrays])

    def targets(self, stream: TokenStream) -> IntArray:
        """What is predicted: all tokens, and where asked the end of each document."""
        return stream.targets_with_ends if self.has_ends else stream.targets

    def windows(self, documents: Iterable[Any]) -> OneHotWindows:
        """One-hot windows of all tokens of documents; ValueError if there is none."""
        return self.rows(self.stream(documents))

    def rows(self, stream: TokenStream) -> OneHotWindows:
        """One-hot windows of a stream."""
        assert self.aggregation != "ngram"
        return OneHotWindows(stream, self.ids.size, self.aggregation)

    def next_rows(self, prefixes: Sequence[NDArray[np.int32]]) -> sp.csr_array:
        """Features of the windows at the ends of prefixes of ids."""
        assert self.aggregation != "ngram"
        windows = next_windows(prefixes, self.context_size, self.ids.pad)
        return one_hot_windows(windows, self.ids.size, self.aggregation, np.float32)

    def check_equal(self, other: WindowEncoder, message: str) -> None:
        """ValueError if others differ; `message` has {name} and two values."""
        for name, of in (
            ("context_size", "context_size"),
            ("aggregation", "aggregation"),
            ("predict_end", "has_ends"),
        ):
            mine, theirs = getattr(self, of), getattr(other, of)
            if mine != theirs:
                raise ValueError(message.format(repr(mine), repr(theirs), name=name))
        if not self.ids.equals(other.ids):
            raise ValueError(
                "models with different vocabularies cannot be merged: they have "
                f"{self.ids} and {other.ids}. Give all of them the same tokenizer, or "
                "the same vocabulary_size for documents of token ids."
            )


@dataclass(frozen=True, eq=False)
class WindowPredictor:
    """Probabilities of the tokens of documents by a decoder of one-hot windows."""

    encoder: WindowEncoder
    decoder: Decoder

    def log_likelihood(self, stream: TokenStream) -> Iterator[NDArray[np.float64]]:
        """Log-probabilities in nats of the targets of documents, by chunks."""
        assert self.encoder.aggregation != "ngram"
        rows = OneHotWindows(stream, self.encoder.ids.size, self.encoder.aggregation)
        return token_log_likelihood(self.decoder, rows, stream.targets)

    def next_proba(self, prefixes: Sequence[NDArray[np.int32]]) -> NDArray[Any]:
        """Probabilities (n_prefixes, n_classes) of the targets after prefixes."""
        scores = self.decoder.scores(self.encoder.next_rows(prefixes))
        return np.asarray(softmax(scores.astype(np.float64), axis=1))


def count_documents(
    rows: OneHotWindows,
    settings: Settings,
    dtype: Any = np.float32,
    *,
    sample_all: bool = False,
) -> ExplicitModel:
    """Count windows, and sample some of them; `dtype` is that of the decoder."""
    limit = settings.sample_limit(rows.shape[1], rows.n_tokens - 1)
    if sample_all and limit.n_rows:
        limit = Limit(rows.shape[0])
    counts = count_windows(rows.stream, rows.n_tokens, rows.aggregation)
    # One key more than the sample holds tells it that it does not hold all windows.
    members, keys = window_keys(rows.stream, limit.n_rows + 1)
    sample = RowSample.from_rows(
        replace(rows, dtype=np.float64)[members],
        rows.stream.targets[members],
        None,
        limit,
        keys,
    )
    return ExplicitModel(counts, sample, settings, dtype)


def token_log_likelihood(
    decoder: Decoder, rows: OneHotWindows, targets: IntArray
) -> Iterator[NDArray[np.float64]]:
    """Log-probabilities in nats of the targets (n_windows,) of windows, by chunks."""
    values = decoder.weights.shape[0] * decoder.n_classes
    if rows.shape[0] > _MANY_WINDOWS and values <= _MOST_DENSE_VALUES:
        decoder = decoder.densify()
    for chunk in row_blocks(rows.shape[0], decoder.n_classes, _CHUNK_VALUES):
        scores = decoder.scores(rows[chunk])
        # In place: new arrays of this size would cost more than the exponentials.
        own = scores[np.arange(len(scores)), targets[chunk]].astype(np.float64)
        highest = scores.max(axis=1, keepdims=True)
        scores -= highest
        np.exp(scores, out=scores)
        total = np.log(scores.sum(axis=1), dtype=np.float64)
        yield own - highest.ravel() - total
