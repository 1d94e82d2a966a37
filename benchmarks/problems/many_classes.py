"""Time and memory of fits with many classes and many sparse features.

Rows are synthetic bags of words in which words and classes follow Zipf's law. Every fit
has a process of its own, which loads rows that were made before, fits a few of them as
a warm-up, and then all. Models take turns. Peak memory is that of the whole process up
to the end of the fit. Test rows of classes that no training row has are left out.
"""

import os
import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from benchmarks.data.synthetic import make_bags
from benchmarks.harness.models import AS_PRINTED, evaluate
from benchmarks.harness.options import Number, Switch
from benchmarks.harness.records import Record, named, ratio, table
from benchmarks.harness.timing import (
    in_own_process,
    medians_of_processes,
    peak_memory,
    timed,
)
from benchmarks.peers.classifiers import MULTINOMIAL_NB, PEERS
from explicit_softmax import ExplicitSoftmaxClassifier

OPTIONS = {
    "rows": Number(100_000, "training rows", fast=300),
    "features": Number(50_000, "words", fast=80),
    "classes": Number(1000, "classes", fast=6),
    "tokens": Number(50, "tokens of a row", fast=12),
    "repeats": Number(3, "processes for each model", fast=1),
    "no_peer": Switch(f"leave {MULTINOMIAL_NB} out"),
}
MODELS = {
    "explicit, default": ExplicitSoftmaxClassifier,
    "explicit, all given": lambda: ExplicitSoftmaxClassifier(
        **AS_PRINTED
        | {"inverse_temperature": 0.5, "smoothing": "prior", "smoothing_strength": 0.1}
    ),
    MULTINOMIAL_NB: PEERS[MULTINOMIAL_NB].make,
}
_TEST_ROWS = 1000
_WARM_UP_ROWS = 200


def measure(options: Namespace) -> list[Record]:
    names, reason = list(MODELS), reason_without_peer(options)
    if reason:
        names.remove(MULTINOMIAL_NB)
    sizes = [options.rows, options.features, options.classes, options.tokens]
    with tempfile.TemporaryDirectory() as folder:
        # Made in another process too: peak memory is inherited by child processes.
        in_own_process(make, folder=folder, sizes=sizes)
        jobs = {
            name: partial(in_own_process, fit, name=name, folder=folder)
            for name in names
        }
        found = medians_of_processes(jobs, options.repeats, options.announce)
    records = [Record(name, values) for name, values in found.items()]
    if reason:
        records.append(Record(MULTINOMIAL_NB, note=f"n/a: {reason}"))
    peer = named(records, MULTINOMIAL_NB)
    for record in records:
        for key in ("fit_seconds", "peak_mib"):
            record.values[f"x_{key}"] = ratio(record, peer, key)
    return records


def make(folder: str, sizes: list[int]) -> dict[str, Any]:
    joblib.dump(make_bags(*sizes, n_test=_TEST_ROWS), Path(folder) / "bags")
    return {}


def fit(name: str, folder: str) -> dict[str, Any]:
    """Fit one model in this process."""
    bags = joblib.load(Path(folder) / "bags")
    X, y = bags.X_train, bags.y_train
    few = slice(min(_WARM_UP_ROWS, len(y)))
    # Few classes, since scikit-learn warns where most rows have one of their own.
    MODELS[name]().fit(X[few], y[few] % 10).predict(bags.X_test[few])
    timing = timed(lambda: MODELS[name]().fit(X, y))
    peak, model = peak_memory(), timing.result
    seen = np.flatnonzero(np.isin(bags.y_test, model.classes_))
    scores = evaluate(model, bags.X_test[seen], bags.y_test[seen])
    return {
        "fit_seconds": timing.median,
        "peak_mib": peak,
        "test_log_loss": scores["log_loss"],
        "test_accuracy": scores["accuracy"],
        "n_classes_seen": len(model.classes_),
    }


def reason_without_peer(options: Namespace) -> str:
    """Why the peer is not run; empty if it is."""
    if options.no_peer:
        return "--no-peer"
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return ""
    # Counts, smoothed counts, their logarithms, and log-probabilities; and one-hot
    # targets as integers and as floats.
    needed = 8 * options.classes * (4 * options.features + 2 * options.rows)
    if needed <= available:
        return ""
    return (
        f"its dense counts and targets would take about {needed / 2**30:.1f} GiB, and "
        f"{available / 2**30:.1f} GiB are free"
    )


def report(records: list[Record], options: Namespace) -> str:
    columns = [
        ("fit s", "fit_seconds", "sig"),
        ("peak MiB", "peak_mib", ".0f"),
        ("test loss", "test_log_loss", ".3f"),
        ("test acc", "test_accuracy", ".2%"),
        ("x fit s", "x_fit_seconds", "sig"),
        ("x peak", "x_peak_mib", "sig"),
    ]
    return (
        f"data: {options.rows} rows of {options.tokens} tokens, {options.features} "
        f"features, {options.classes} classes ({records[0]['n_classes_seen']} in the "
        f"training rows); medians of {options.repeats} processes; x: ratio to "
        f"{MULTINOMIAL_NB}\n{table(records, columns)}"
    )
