"""Time and memory of counting windows, solving, and streaming.

Fits of ExplicitLanguageModel on random token ids that follow Zipf's law, from ids to
decoder, with betas and strength given, and with all chosen by leave-one-out. Streams
are counted by `partial_fit`, and solved in the end. Every run has a process of its own;
times are medians, and peak memory is that of the whole process, imports and ids
included. Growth is that of n-grams: tokens that repeat as text does, counted and
smoothed, and the memory of what the model keeps by distinct n-gram.
"""

import math
from argparse import Namespace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.synthetic import repetitive_tokens, zipf
from benchmarks.harness.options import Number
from benchmarks.harness.records import Record, of_kind, table
from benchmarks.harness.timing import (
    in_own_process,
    medians_of_processes,
    peak_memory,
    timed,
)
from explicit_softmax import ExplicitLanguageModel

OPTIONS = {
    "tokens": Number(
        [1_000_000, 4_000_000, 16_000_000], "sizes of corpora", [2000], several=True
    ),
    "stream": Number(
        [10_000_000, 100_000_000], "sizes of streams", [3000], several=True
    ),
    "growth": Number(
        [1_000_000, 10_000_000, 100_000_000], "sizes of n-grams", [1000], several=True
    ),
    "batch": Number(2_000_000, "tokens of a call of partial_fit", fast=1000),
    "context": Number(4, "K", fast=2),
    "vocabulary": Number(4098, "token ids", fast=20, least=3),
    "repeats": Number(3, "runs of each fit, in turn", fast=1),
}
MODELS: dict[str, dict[str, Any]] = {
    "Cat, all given": {
        "aggregation": "cat",
        "inverse_temperature": 0.5,
        "smoothing_strength": 0.1,
    },
    "Cat": {"aggregation": "cat"},
    "n-grams": {"aggregation": "ngram"},
}
_DOCUMENT_TOKENS = 3000


def measure(options: Namespace) -> list[Record]:
    """Records of kind "fit", "stream", and "growth"."""
    shape = {"context_size": options.context, "vocabulary_size": options.vocabulary}
    records = []
    for size in sorted(set(options.tokens)):
        jobs = {
            name: partial(in_own_process, fit, name=name, size=size, **shape)
            for name in MODELS
        }
        found = medians_of_processes(jobs, options.repeats, options.announce)
        for name, values in found.items():
            seconds = values["fit_seconds"]
            values |= {"n_tokens": size, "speed": size / seconds}
            records.append(Record(name, values, kind="fit"))
    for size in options.stream:
        options.announce(f"stream, {size:,} tokens")
        values = in_own_process(stream, size=size, batch=options.batch, **shape)
        records.append(Record("Cat", values, kind="stream"))
    for size in options.growth:
        options.announce(f"growth, {size:,} tokens")
        values = in_own_process(grow, size=size, **shape)
        records.append(Record("n-grams", values, kind="growth"))
    return records


def fit(name: str, size: int, **shape: int) -> dict[str, Any]:
    """Seconds and memory of a fit."""
    documents = _documents(np.random.default_rng(0), size, shape["vocabulary_size"])
    model = ExplicitLanguageModel(**shape, **MODELS[name])
    timing = timed(lambda: model.fit(documents))
    return {"fit_seconds": timing.median, "peak_mib": peak_memory()}


def stream(size: int, batch: int, **shape: int) -> dict[str, Any]:
    """Seconds and memory of counting a stream, and of solving it in the end."""
    rng = np.random.default_rng(0)
    model = ExplicitLanguageModel(**shape, **MODELS["Cat"])
    seconds = 0.0
    for first in range(0, size, batch):
        n_tokens = min(batch, size - first)
        documents = _documents(rng, n_tokens, shape["vocabulary_size"])
        run = timed(lambda documents=documents: model.partial_fit(documents))
        seconds += run.median
    peak = peak_memory()
    return {
        "n_tokens": size,
        "n_pairs": int(model._model.counts.cooccurrence.nnz),
        "fit_seconds": seconds,
        "speed": size / seconds,
        "count_peak_mib": peak,
        "solve_seconds": timed(lambda: model.inverse_temperature_).median,
        "peak_mib": peak_memory(),
    }


def grow(size: int, **shape: int) -> dict[str, Any]:
    """Seconds and memory of n-grams of tokens that repeat."""
    rng, n_ids = np.random.default_rng(0), shape["vocabulary_size"] - 2
    tokens = repetitive_tokens(rng, n_ids, size, _DOCUMENT_TOKENS)
    documents = np.split(tokens, range(_DOCUMENT_TOKENS, size, _DOCUMENT_TOKENS))
    before = peak_memory() or 0.0
    model = ExplicitLanguageModel(**shape, predict_end=True)
    seconds = timed(lambda: model.fit(documents)).median
    counts, smoothed = model._model.counts, model._model.kneser_ney
    kept = [*counts.contexts, counts.counts, *smoothed.keys, *smoothed.proba]
    n_bytes = sum(array.nbytes for array in [*kept, *smoothed.backoff])
    peak = peak_memory() or math.nan
    return {
        "n_tokens": size,
        "fit_seconds": seconds,
        "microseconds": 1e6 * seconds / size,
        "n_ngrams": counts.keys.size,
        "kept_bytes": n_bytes / counts.keys.size,
        "fit_bytes": 2**20 * (peak - before) / counts.keys.size,
        "peak_mib": peak,
    }


def _documents(
    rng: np.random.Generator, size: int, vocabulary_size: int
) -> list[NDArray[np.int32]]:
    ids = zipf(rng, vocabulary_size - 2, size).astype(np.int32)
    return np.split(ids, range(_DOCUMENT_TOKENS, ids.size, _DOCUMENT_TOKENS))


def report(records: list[Record], options: Namespace) -> str:
    """Tables of fits, of streams, and of growth."""
    common = [
        ("tokens", "n_tokens", ",d"),
        ("s", "fit_seconds", "sig"),
        ("tokens/s", "speed", ",.0f"),
    ]
    peak = ("peak MiB", "peak_mib", ".0f")
    counted = ("peak MiB", "count_peak_mib", ".0f"), ("pairs", "n_pairs", ",d")
    streams = [*common, *counted, ("solve s", "solve_seconds", "sig"), peak]
    grown = [
        *common[:2],
        ("us/token", "microseconds", ".2f"),
        ("distinct", "n_ngrams", ",d"),
        ("bytes of each, kept", "kept_bytes", ".0f"),
        ("while fitting", "fit_bytes", ".0f"),
        peak,
    ]
    return "\n\n".join(
        f"{kind}:\n{table(rows, columns)}"
        for kind, columns in (
            ("fit", [*common, peak]),
            ("stream", streams),
            ("growth", grown),
        )
        if (rows := of_kind(records, kind))
    )
