"""How time and memory of text classifiers grow with the number of short texts.

Texts are synthetic: words and classes follow Zipf's law. Words and word bigrams are
counted by all models, vectorising is part of the fit, and each fit has a process of its
own on one thread. fit s is CPU time; KiB a row is what the fit adds to the memory of
the process at its peak.
"""

import time
from argparse import Namespace
from typing import Any

import numpy as np

from benchmarks.data.synthetic import make_texts
from benchmarks.harness.models import log_probabilities
from benchmarks.harness.options import Name, Number
from benchmarks.harness.records import Record, ratio, table
from benchmarks.harness.timing import in_own_process, peak_memory
from benchmarks.peers.text import FastText
from explicit_softmax import ExplicitTextClassifier

OPTIONS = {
    "rows": Number(
        [10_000, 100_000, 1_000_000], "training texts", fast=[100, 200], several=True
    ),
    "words": Number(50_000, "different words", fast=100),
    "classes": Number(100, "classes", fast=4),
    "tokens": Number(10, "words of a text", fast=8),
    "models": Name("only models that have this in their names, such as hashed"),
}
OURS = {
    "explicit": lambda: ExplicitTextClassifier(features="words+bigrams"),
    "explicit, hashed": lambda: ExplicitTextClassifier(
        features="words+bigrams", hashing=True
    ),
}
PEERS = {
    "fastText, 5 epochs": lambda: FastText(epoch=5),
    "fastText, 25 epochs": FastText,
}
_TEST_ROWS = 2000


def measure(options: Namespace) -> list[Record]:
    names = [name for name in OURS | PEERS if (options.models or "") in name]
    sizes = [options.words, options.classes, options.tokens]
    records = []
    for n_rows in options.rows:
        found = {}
        for name in names:
            options.announce(f"{name}, {n_rows} texts")
            done = in_own_process(fit, name=name, n_rows=n_rows, sizes=sizes)
            found[name] = Record(name, done["values"], done["note"])
        for record in found.values():
            for name, peer in found.items():
                if name in PEERS:
                    share = ratio(record, peer, "fit_seconds")
                    record.values[f"x_{name}"] = share
        records += found.values()
    return records


def fit(name: str, n_rows: int, sizes: list[int]) -> dict[str, Any]:
    """Fit and score one model; the job of its process."""
    texts, labels = make_texts(n_rows + _TEST_ROWS, *sizes)
    try:
        model = (OURS | PEERS)[name]()
    except ImportError as error:
        return {"values": {"n_rows": n_rows}, "note": f"n/a: {error}"}
    before, start = peak_memory(), time.process_time()
    model.fit(texts[:n_rows], labels[:n_rows])
    seconds, peak = time.process_time() - start, peak_memory()
    values: dict[str, Any] = {
        "n_rows": n_rows,
        "fit_seconds": seconds,
        "microseconds_per_row": seconds / n_rows * 1e6,
        "peak_memory": peak,
    }
    if peak is not None and before is not None:
        values["kib_per_row"] = (peak - before) * 1024 / n_rows
    y = labels[n_rows:]
    seen = np.flatnonzero(np.isin(y, model.classes_))
    log_proba = log_probabilities(model, [texts[n_rows + i] for i in seen])
    codes = np.searchsorted(model.classes_, y[seen])
    own = log_proba[np.arange(len(codes)), codes]
    values["test_log_loss"] = float(-own.mean())
    values["test_accuracy"] = float((log_proba.argmax(axis=1) == codes).mean())
    return {"values": values, "note": ""}


def report(records: list[Record], options: Namespace) -> str:
    columns = [
        ("texts", "n_rows", ",d"),
        ("fit CPU s", "fit_seconds", "sig"),
        ("us a text", "microseconds_per_row", "sig"),
        *((f"x {name}", f"x_{name}", "sig") for name in PEERS),
        ("peak MiB", "peak_memory", "sig"),
        ("KiB a text", "kib_per_row", "sig"),
        ("test loss", "test_log_loss", ".4f"),
        ("test acc", "test_accuracy", ".2%"),
    ]
    return (
        f"data: texts of {options.tokens} of {options.words} words, {options.classes} "
        f"classes\n{table(records, columns)}"
    )
