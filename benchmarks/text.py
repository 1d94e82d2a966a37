"""Explicit softmax on bags of words, beside peers.

    python benchmarks/text.py [--dataset NAME] [--json FILE] [--fast] [--threads N]

Features are those of CountVectorizer(binary=True) on the raw text, as float64, the same
for all models; to make them is not part of any time. Nothing is chosen on test rows.

Log-losses are means over the test rows, in nats, from predict_log_proba where there is
one. The expected calibration error (ECE) puts test rows into 15 bins of equal width by
their highest probability: the mean, weighted by rows, of the absolute differences
between the mean highest probability of a bin and its accuracy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from peers import collect
from report import Steps, number, significant, table, write_json
from sklearn.feature_extraction.text import CountVectorizer
from texts import Texts, load_texts
from threadpoolctl import threadpool_limits
from timing import QUICK_SECONDS, Timing, time_in_turn

from explicit_softmax import ExplicitSoftmaxClassifier, ExplicitSoftmaxClassifierCV

OURS: dict[str, Callable[[], Any]] = {
    "explicit, beta=1": lambda: ExplicitSoftmaxClassifier(inverse_temperature=1.0),
    "explicit, default": lambda: ExplicitSoftmaxClassifier(),
    "explicit CV": lambda: ExplicitSoftmaxClassifierCV(),
    "explicit CV, refined": lambda: ExplicitSoftmaxClassifierCV(
        warm_start=True, random_state=0
    ),
}
PEERS = (
    "multinomial_nb_alpha_001",
    "multinomial_nb_alpha_01",
    "multinomial_nb",
    "complement_nb",
    "calibrated_multinomial_nb",
    "sgd_classifier",
    "logistic_regression",
)
REFERENCE = "LogisticRegression"
REPEATS = 5
BINS = 15
HEADER = ["model", "fit s", "x LogReg", "test loss", "test acc %", "ECE %", "notes"]
# Of --fast: classes, and training and test rows of each.
_FAST_CLASSES, _FAST_ROWS, _FAST_TEST_ROWS = 8, 30, 10


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    texts = load_texts(arguments.dataset)
    if arguments.fast:
        texts = _subset(texts)
    vectorizer = CountVectorizer(binary=True, dtype=np.float64)
    X_train = vectorizer.fit_transform(texts.train)
    X_test = vectorizer.transform(texts.test)
    repeats = 1 if arguments.fast else REPEATS
    peers = collect(PEERS)
    runs: dict[str, Callable[[], Any]] = {
        name: lambda make=make: make().fit(X_train, texts.y_train)
        for name, make in OURS.items()
    }
    for peer in peers:
        if peer.make is not None:
            runs[peer.name] = lambda make=peer.make: _fit(make, X_train, texts.y_train)
    with threadpool_limits(arguments.threads), Steps(len(runs)) as announce:
        timings = time_in_turn(runs, repeats, announce)
        records, notes = _evaluate(timings, X_test, texts.y_test)
    notes |= {peer.name: peer.reason for peer in peers if peer.make is None}
    print(f"data: {texts.note}, {X_train.shape[1]} features (binary counts of words)")
    if arguments.fast:
        print("--fast: few classes and rows, so that the figures mean nothing")
    print(
        f"fit s: {'one run' if repeats == 1 else f'median of {repeats} runs'} "
        f"({3 * repeats} where the first takes less than {QUICK_SECONDS / 100:g} s) "
        f"in turn after a warm-up; one run of what takes {QUICK_SECONDS:g} s or more"
    )
    limit = arguments.threads or "not limited"
    print(f"threads of BLAS and OpenMP: {limit} ({cpu_count()} processors)")
    print(f"ECE: {BINS} equal bins of the highest probability of a row")
    print(_table(records, notes))
    if arguments.json:
        write_json(arguments.json, records)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Explicit softmax on bags of words, beside peers."
    )
    parser.add_argument(
        "--dataset",
        help="newsgroups20, topics (of pydoc), or a folder with train and test as "
        ".jsonl or .tsv in the folder that EXPLICIT_SOFTMAX_DATA names, such as "
        "clinc150; by default newsgroups20 if it is to be had, otherwise topics",
    )
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--fast", action="store_true", help="few classes and rows")
    parser.add_argument(
        "--threads",
        type=int,
        help="limit of the threads of BLAS and OpenMP, for all models alike",
    )
    arguments = parser.parse_args(argv)
    if arguments.threads is not None and arguments.threads < 1:
        parser.error("--threads must be at least 1")
    return arguments


def _subset(texts: Texts) -> Texts:
    parts: list[Any] = []
    classes = np.unique(texts.y_train)[:_FAST_CLASSES]
    for rows, labels, n_rows in (
        (texts.train, texts.y_train, _FAST_ROWS),
        (texts.test, texts.y_test, _FAST_TEST_ROWS),
    ):
        each = [np.flatnonzero(labels == label)[:n_rows] for label in classes]
        kept = np.concatenate(each)
        parts += [[rows[i] for i in kept], labels[kept]]
    return Texts(*parts, texts.note)


def _fit(make: Callable[[], Any], X: Any, y: NDArray[Any]) -> Any:
    """Fitted peer, or the error of one that refuses the rows."""
    try:
        return make().fit(X, y)
    except ValueError as error:
        return error


def log_probabilities(model: Any, X: Any) -> NDArray[np.float64]:
    """Log-probabilities, -inf where a probability is zero."""
    with np.errstate(divide="ignore"):
        if hasattr(model, "predict_log_proba"):
            return np.asarray(model.predict_log_proba(X), dtype=np.float64)
        return np.log(np.asarray(model.predict_proba(X), dtype=np.float64))


def expected_calibration_error(
    log_proba: NDArray[np.float64], codes: NDArray[np.intp], n_bins: int = BINS
) -> float:
    """Mean absolute difference of confidence and accuracy, in bins of equal width.

    Bin i holds the rows whose highest probability is in (i/n_bins, (i + 1)/n_bins].
    """
    highest = np.exp(log_proba.max(axis=1))
    right = log_proba.argmax(axis=1) == codes
    bins = np.clip(np.ceil(highest * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=highest - right, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(codes))


def _evaluate(
    timings: dict[str, Timing], X: Any, y: NDArray[Any]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Records of the JSON file, and a note for each model."""
    records, notes = [], {}
    for name, timing in timings.items():
        model = timing.result
        if isinstance(model, Exception):
            notes[name] = str(model)
            continue
        log_proba = log_probabilities(model, X)
        codes = np.searchsorted(model.classes_, y)
        records.append(
            {
                "model": name,
                "fit_seconds": timing.median,
                "test_log_loss": -float(log_proba[np.arange(len(y)), codes].mean()),
                "test_accuracy": float((model.predict(X) == y).mean()),
                "expected_calibration_error": expected_calibration_error(
                    log_proba, codes
                ),
            }
        )
        remarks = [] if name not in OURS else [_chosen(model)]
        if not timing.converged:
            n_iter = int(np.max(getattr(model, "n_iter_", 0)))
            remarks.append(f"not converged in {n_iter} iterations")
        if not hasattr(model, "predict_log_proba"):
            remarks.append("log of predict_proba")
        notes[name] = ", ".join(remarks)
    return records, notes


def _chosen(model: Any) -> str:
    """What leave-one-out chose."""
    found = []
    if isinstance(model, ExplicitSoftmaxClassifierCV):
        found += [
            f"strength={model.smoothing_strength_:g}",
            f"norm_exponent={model.norm_exponent_:g}",
        ]
    if not isinstance(model.inverse_temperature, float):
        found.append(f"beta={model.inverse_temperature_:.3f}")
        if model.translation != "exact":
            found.append(f"norm_weight={model.norm_weight_:.3f}")
    if model.warm_start:
        found.append(f"{model.n_iter_} epochs")
    return ", ".join(found)


def _table(records: list[dict[str, Any]], notes: dict[str, str]) -> str:
    of = {record["model"]: record for record in records}
    reference = of.get(REFERENCE, {}).get("fit_seconds")
    rows = []
    for name, note in notes.items():
        record = of.get(name)
        if record is None:
            rows.append([name, *["-"] * (len(HEADER) - 2), f"n/a: {note}"])
            continue
        seconds = record["fit_seconds"]
        rows.append(
            [
                name,
                significant(seconds),
                significant(seconds / reference if reference else None),
                number(record["test_log_loss"], 4),
                number(100 * record["test_accuracy"], 2),
                number(100 * record["expected_calibration_error"], 2),
                note,
            ]
        )
    return table(HEADER, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
