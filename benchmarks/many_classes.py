"""Time and memory of fits with many classes and many sparse features.

    python benchmarks/many_classes.py [--rows 100000] [--features 50000]
                                      [--classes 1000] [--tokens 50] [--repeats 3]
                                      [--json FILE] [--no-peer]

Every fit has a process of its own, which loads rows that were made before (see `zipf`),
fits a few of them as a warm-up, and then all. Models take turns. Peak memory is that of
the whole process up to the end of the fit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None

FIELDS = [
    "fit_seconds",
    "peak_mib",
    "fit_mib",
    "predict_seconds",
    "test_log_loss",
    "test_accuracy",
]
DEFAULT = "explicit, default"
FIXED = "explicit, beta=0.5"
PEER = "MultinomialNB"
TEST_ROWS = 1000
_WARM_UP_ROWS = 200
_MIB = 2**20


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    if arguments.fit:
        print(json.dumps(_measure(arguments.fit, arguments.corpus)))
        return
    names = [DEFAULT, FIXED]
    reason = _reason_without_peer(arguments)
    if reason:
        print(f"{PEER} is left out: {reason}")
    else:
        names.append(PEER)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        corpus = str(Path(folder) / "corpus.npz")
        # Made in another process too: peak memory is inherited by child processes.
        sizes = ["rows", "features", "classes", "tokens"]
        options = [f"--{size}={getattr(arguments, size)}" for size in sizes]
        _run(here / "zipf.py", corpus, *options, f"--test-rows={TEST_ROWS}")
        for turn in range(arguments.repeats):
            for name in names:
                print(f"[{turn + 1}/{arguments.repeats}] {name}", file=sys.stderr)
                out = _run(Path(__file__), "--fit", name, "--corpus", corpus)
                runs[name].append(json.loads(out.splitlines()[-1]))
    records = [
        {"model": name}
        | {field: _median([run[field] for run in found]) for field in FIELDS}
        for name, found in runs.items()
    ]
    _report(arguments, records, runs[DEFAULT][0]["n_classes_seen"])
    if arguments.json:
        from report import write_json

        write_json(arguments.json, records)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time and memory of fits with many classes and features."
    )
    for name, default in [
        ("rows", 100_000),
        ("features", 50_000),
        ("classes", 1000),
        ("tokens", 50),
        ("repeats", 3),
    ]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--no-peer", action="store_true", help=f"leave {PEER} out")
    # How this script calls itself: one fit of rows in a file.
    parser.add_argument("--fit", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    for name in ("rows", "features", "classes", "tokens", "repeats"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return arguments


def _run(script: Path, *options: str) -> str:
    command = [sys.executable, str(script), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        # A negative code is the signal that ended it: 9 where memory gave out.
        raise SystemExit(
            f"{script.name} {' '.join(options)} ended with code {done.returncode}"
        )
    return done.stdout


def _measure(name: str, path: str | None) -> dict[str, Any]:
    """Fit one model in this process; seconds and memory."""
    # Imported here, so that the process that starts the others stays small.
    import numpy as np
    from peers import multinomial_nb
    from timing import evaluate, timed_fit
    from zipf import load

    from explicit_softmax import ExplicitSoftmaxClassifier

    makers = {
        DEFAULT: ExplicitSoftmaxClassifier,
        FIXED: lambda: ExplicitSoftmaxClassifier(inverse_temperature=0.5),
        PEER: multinomial_nb.make,
    }
    corpus = load(str(path))
    X, y = corpus.X_train, corpus.y_train
    few = slice(min(_WARM_UP_ROWS, len(y)))
    # Few classes, since scikit-learn warns where most rows have one of their own.
    makers[name]().fit(X[few], y[few] % 10).predict(corpus.X_test[few])
    before = peak_memory()
    seconds, model, _ = timed_fit(lambda: makers[name]().fit(X, y))
    after = peak_memory()
    start = time.perf_counter()
    model.predict(corpus.X_test)
    predict_seconds = time.perf_counter() - start
    # A class that no training row has cannot be predicted by either kind of model.
    seen = np.flatnonzero(np.isin(corpus.y_test, model.classes_))
    loss, accuracy = evaluate(model, corpus.X_test[seen], corpus.y_test[seen])
    return {
        "fit_seconds": seconds,
        "peak_mib": after,
        "fit_mib": None if after is None or before is None else after - before,
        "predict_seconds": predict_seconds,
        "test_log_loss": loss,
        "test_accuracy": accuracy,
        "n_classes_seen": len(model.classes_),
    }


def peak_memory() -> float | None:
    """Largest resident memory of this process so far in MiB; None on Windows."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    return peak / (_MIB if sys.platform == "darwin" else 1024)


def _reason_without_peer(arguments: argparse.Namespace) -> str:
    """Why the peer is not run; empty if it is."""
    if arguments.no_peer:
        return "--no-peer"
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return ""
    # Counts, smoothed counts, their logarithms, and log-probabilities; and one-hot
    # targets as integers and as floats.
    cells = 4 * arguments.features + 2 * arguments.rows
    needed = 8 * arguments.classes * cells
    if needed <= available:
        return ""
    return (
        f"its dense counts and targets would take about {needed / 2**30:.1f} GiB, and "
        f"{available / 2**30:.1f} GiB are free"
    )


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _report(
    arguments: argparse.Namespace, records: list[dict[str, Any]], n_seen: int
) -> None:
    from report import number, significant, table

    print(
        f"{arguments.rows} rows of {arguments.tokens} tokens, {arguments.features} "
        f"features, {arguments.classes} classes ({n_seen} in the training rows); "
        f"{TEST_ROWS} test rows, those of other classes left out; medians of "
        f"{arguments.repeats} processes"
    )
    peer = next((record for record in records if record["model"] == PEER), None)
    header = ["model", "fit s", "peak MiB", "of it by fit", "predict s"]
    header += ["test loss", "test acc %", f"fit and peak / {PEER}"]
    rows = []
    for record in records:
        ratios = "-"
        if peer is not None:
            time_ratio = record["fit_seconds"] / peer["fit_seconds"]
            ratios = f"{significant(time_ratio)}, "
            ratios += (
                significant(record["peak_mib"] / peer["peak_mib"])
                if record["peak_mib"] and peer["peak_mib"]
                else "-"
            )
        rows.append(
            [
                record["model"],
                significant(record["fit_seconds"]),
                number(record["peak_mib"], 0),
                number(record["fit_mib"], 0),
                significant(record["predict_seconds"]),
                number(record["test_log_loss"], 3),
                number(100 * record["test_accuracy"], 1),
                ratios,
            ]
        )
    print(table(header, rows))


if __name__ == "__main__":
    main()
