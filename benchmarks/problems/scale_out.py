"""Fits to blocks of rows on processes of Dask, beside a loop of partial_fit and Spark.

Blocks are made from a seed by the worker that counts them: bags of words in which ranks
follow Zipf's law, words hashed to features. The seconds of making them are taken off,
of the clock their mean over the processes; whatever Dask adds stays. Every run has
processes of its own, which count a few rows before the clock starts; peak memory is
that of a worker. Spark's NaiveBayes, if --spark names a Python that has pyspark, fits
to cached rows; it needs several times 8 bytes for each feature and class. A language
model of n-grams, if --language is not 0, is counted by two processes from a Bag of
files of token ids.
"""

import json
import subprocess
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.data.blocks import make_words
from benchmarks.data.synthetic import repetitive_tokens
from benchmarks.harness.models import evaluate
from benchmarks.harness.options import Name, Number
from benchmarks.harness.records import Record, of_kind, table
from benchmarks.harness.timing import in_own_process, peak_memory
from explicit_softmax import ExplicitLanguageModel, ExplicitSoftmaxClassifier

OPTIONS = {
    "rows": Number(
        [1_000_000, 5_000_000, 20_000_000], "training rows", [600], several=True
    ),
    "block": Number(50_000, "rows of a block", fast=100),
    "features": Number(2**20, "hashed features", fast=64),
    "classes": Number(1000, "classes", fast=4),
    "tokens": Number(50, "tokens of a row", fast=10),
    "words": Number(5000, "different words of a class", fast=20),
    "language": Number(0, "tokens of the language model", fast=6000, least=0),
    "spark": Name("Python interpreter that has pyspark"),
    "spark_memory": Name("memory of Spark's process (default: 8g)"),
}
# Of no fit.
_TEST = {"number": 2**31, "n_rows": 1000}
# By default the allocator of a worker returns memory at once and asks for it again, and
# a worker is given a task ahead, which another may wait for at the end.
_LONG_TASKS = {
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    "distributed.scheduler.worker-saturation": 1.0,
}
# Of the files of the language model, and of a line in them.
_FILE_TOKENS, _DOCUMENT_TOKENS = 2_000_000, 3000
# Seconds of the clock and of the processor that this process has spent in `make_block`.
_MAKING = np.zeros(2)
_SPARK = Path(__file__).resolve().parent.parent / "peers" / "spark.py"


def measure(options: Namespace) -> list[Record]:
    shape = {
        "n_rows": options.block,
        "n_features": options.features,
        "n_classes": options.classes,
        "n_tokens": options.tokens,
        "n_words": options.words,
    }
    records = []
    for size in sorted(set(options.rows)):
        n_blocks = -(-size // options.block)
        data = {"n_blocks": n_blocks, "shape": shape}
        runs = {"loop of partial_fit": (loop, {})}
        for n in (1, 2):
            runs[f"Dask, {n} process{'es'[: 2 * n - 2]}"] = cluster, {"n_workers": n}
        for name, (job, arguments) in runs.items():
            options.announce(f"{name}, {size:,} rows")
            values = in_own_process(job, **data, **arguments)
            records.append(_record(name, values, n_blocks * options.block))
        if options.spark:
            options.announce(f"Spark, {size:,} rows")
            records.append(_spark(options, data, n_blocks * options.block))
    if options.language:
        options.announce(f"language model, {options.language:,} tokens")
        values = in_own_process(language, n_tokens=options.language)
        records.append(Record("n-grams, 2 processes", values, kind="language"))
    return records


def make_block(number: int, shape: dict[str, int]) -> tuple[sp.csr_array, Any]:
    start = np.array([time.perf_counter(), time.thread_time()])
    words, y = make_words(number, **shape)
    starts = np.arange(0, words.size + 1, words.shape[1], dtype=np.int32)
    values = np.ones(words.size), words.ravel().astype(np.int32), starts
    X = sp.csr_array(values, shape=(len(y), shape["n_features"]))
    X.sum_duplicates()
    _MAKING[:] += [time.perf_counter(), time.thread_time()] - start
    return X, y


def loop(n_blocks: int, shape: dict[str, int]) -> dict[str, Any]:
    """Seconds of `partial_fit` of one block after the other."""
    model, first = ExplicitSoftmaxClassifier(), time.perf_counter()
    seconds, cpu = 0.0, 0.0
    for number in range(n_blocks):
        X, y = make_block(number, shape)
        start, cpu_start = time.perf_counter(), time.process_time()
        model.partial_fit(X, y, classes=range(shape["n_classes"]))
        seconds += time.perf_counter() - start
        cpu += time.process_time() - cpu_start
    times = {"fit_seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak_memory()}
    whole = time.perf_counter() - first
    return {**times, "whole_seconds": whole, **_quality(model, shape)}


def cluster(n_blocks: int, shape: dict[str, int], n_workers: int) -> dict[str, Any]:
    """Seconds of a fit on processes, less those of making the blocks."""
    with _processes(n_workers) as client:
        _fit_blocks(8 * n_workers, {**shape, "n_rows": 10})  # imports
        before = _clocks(client)
        model = _fit_blocks(n_blocks, shape)
        whole, seconds, cpu = np.subtract(_clocks(client), before).tolist()
        peak = max(client.run(peak_memory).values())
    times = {"fit_seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak}
    return {**times, "whole_seconds": whole, **_quality(model, shape)}


def _fit_blocks(n_blocks: int, shape: dict[str, int]) -> ExplicitSoftmaxClassifier:
    import dask

    make = dask.delayed(make_block, nout=2)
    parts = [make(number, shape) for number in range(n_blocks)]
    X, y = ([part[column] for part in parts] for column in (0, 1))
    classes = range(shape["n_classes"])
    return ExplicitSoftmaxClassifier().partial_fit(X, y, classes=classes)


@contextmanager
def _processes(n_workers: int, config: dict[str, Any] = _LONG_TASKS) -> Iterator[Any]:
    import dask
    from distributed import Client

    with (
        dask.config.set(config),
        Client(
            n_workers=n_workers,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=0,
        ) as client,
    ):
        yield client


def language(n_tokens: int, n_ids: int = 4096) -> dict[str, Any]:
    """Peak memory of two workers that count n-grams of files, and of the client.

    The scheduler is in the client's process. What processes had before is taken off.
    """
    from dask.bag import read_text

    # Memory is returned at once here, as Dask has it by default.
    with TemporaryDirectory() as folder, _processes(2, {}) as client:
        data = {"folder": folder, "n_tokens": n_tokens, "n_ids": n_ids}
        n_tokens = in_own_process(write_files, **data)["n_tokens"]
        model = ExplicitLanguageModel(vocabulary_size=n_ids + 2)
        client.run(model.partial_fit, [[0]])  # imports
        before = _peaks(client)
        start = time.perf_counter()
        bag = read_text(f"{folder}/*.txt").map(np.fromstring, dtype=np.int32, sep=" ")
        model.partial_fit(bag)
        seconds = time.perf_counter() - start
        growth = _peaks(client) - before
    counts = model._model.counts
    arrays = [*counts.contexts, counts.keys, counts.counts]
    mib = sum(array.nbytes for array in arrays) / 2**20
    return {
        "n_tokens": n_tokens,
        "n_ngrams": counts.keys.size,
        "fit_seconds": seconds,
        "counts_mib": mib,
        "worker_growth": growth[1:].max() / mib,
        "client_growth": growth[0] / mib,
        "growth": growth.sum() / mib,
    }


def write_files(folder: str, n_tokens: int, n_ids: int) -> dict[str, Any]:
    """Write token ids in decimals, a document in each line."""
    n_files = -(-n_tokens // _FILE_TOKENS)
    size = min(_FILE_TOKENS, n_tokens)
    for number in range(n_files):
        rng = np.random.default_rng([number, 1])
        tokens = repetitive_tokens(rng, n_ids, size, _DOCUMENT_TOKENS)
        documents = np.split(tokens, range(_DOCUMENT_TOKENS, size, _DOCUMENT_TOKENS))
        lines = (" ".join(map(str, document.tolist())) for document in documents)
        Path(folder, f"{number}.txt").write_text("\n".join(lines))
    return {"n_tokens": n_files * size}


def _peaks(client: Any) -> NDArray[np.float64]:
    """Peak memory in MiB of this process, and of each worker."""
    return np.array([peak_memory(), *client.run(peak_memory).values()], dtype=float)


def _clocks(client: Any) -> tuple[float, float, float]:
    """Time of the clock, the same without making, processor time without making."""
    cpu, making, making_cpu = np.array([*client.run(_worker_clocks).values()]).T
    now = time.perf_counter()
    return now, now - making.mean(), (cpu - making_cpu).sum()


def _worker_clocks() -> tuple[float, float, float]:
    return time.process_time(), *_MAKING


def _quality(model: ExplicitSoftmaxClassifier, shape: dict[str, int]) -> dict[str, Any]:
    X, y = make_block(_TEST["number"], {**shape, "n_rows": _TEST["n_rows"]})
    return {
        "n_counts": int(model.feature_count_.nnz),
        "test_log_loss": evaluate(model, X, y)["log_loss"],
    }


def _spark(options: Namespace, data: dict[str, Any], n_rows: int) -> Record:
    memory = options.spark_memory or "8g"
    arguments = json.dumps({**data, "test": _TEST, "memory": memory})
    command = [options.spark, str(_SPARK), arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    name = "Spark NaiveBayes, local[2]"
    if done.returncode:
        return Record(name, {"n_rows": n_rows}, f"ended with code {done.returncode}")
    return _record(name, json.loads(done.stdout.splitlines()[-1]), n_rows)


def _record(name: str, values: dict[str, Any], n_rows: int) -> Record:
    speed = n_rows / values["fit_seconds"]
    return Record(name, {**values, "n_rows": n_rows, "speed": speed})


def report(records: list[Record], options: Namespace) -> str:
    fits, models = of_kind(records, "model"), of_kind(records, "language")
    columns = [
        ("rows", "n_rows", ",d"),
        ("s", "fit_seconds", "sig"),
        ("rows/s", "speed", ",.0f"),
        ("cpu s", "cpu_seconds", "sig"),
        ("with making, s", "whole_seconds", "sig"),
        ("worker peak MiB", "peak_mib", ".0f"),
        ("counts", "n_counts", ",d"),
        ("test loss", "test_log_loss", ".3f"),
    ]
    text = (
        f"data: {options.tokens} tokens a row, {options.features} features, "
        f"{options.classes} classes of {options.words} words, blocks of "
        f"{options.block} rows\n{table(fits, columns)}"
    )
    if not models:
        return text
    columns = [
        ("tokens", "n_tokens", ",d"),
        ("s", "fit_seconds", "sig"),
        ("n-grams", "n_ngrams", ",d"),
        ("counts MiB", "counts_mib", ".0f"),
        ("a worker, x counts", "worker_growth", ".2f"),
        ("client, x counts", "client_growth", ".2f"),
        ("all, x counts", "growth", ".2f"),
    ]
    return f"{text}\n\n{table(models, columns)}"
