"""Explicit, cold-started, and warm-started softmax on images, beside peers.

    python benchmarks/mnist.py [--dataset NAME] [--json FILE] [--figure FILE]
                               [--fast] [--repeats N] [--threads N]

Every model is fitted on the same float32 rows in the same run. Log-losses are means
over all training or test rows, in nats.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from curves import Curve, default_protocol, paper_protocol
from datasets import Images, load_images
from figure import draw, matplotlib_is_there
from joblib import cpu_count
from peers import collect
from report import Steps, number, significant, table, write_json
from threadpoolctl import threadpool_limits
from timing import QUICK_SECONDS, Timing, evaluate, time_in_turn

from explicit_softmax import ExplicitSoftmaxClassifier

THEOREM = "theorem (beta=1, unsmoothed)"
DEFAULT = "explicit, default"
EXPLICIT: dict[str, dict[str, Any]] = {
    THEOREM: {"smoothing": None, "inverse_temperature": 1.0},
    DEFAULT: {},
    "explicit, norm_exponent=0.5": {"norm_exponent": 0.5},
    "explicit, exact intercepts": {"translation": "exact"},
}
REFERENCE = "LogisticRegression"
FASTEST_PEER = "MultinomialNB"

# Test accuracy on MNIST in arXiv:2311.07498, in per cent, by row.
PAPER = {
    THEOREM: 82.86,
    "cold start, zeros": 91.68,
    "cold start, small random": 91.68,
    "warm start, theorem": 92.57,
}
# Epochs until early stopping there.
PAPER_EPOCHS = {"cold": 93, "warm": 23}
HEADER = [
    "model",
    "fit s",
    "x fastest",
    "x LogReg",
    "train loss",
    "test loss",
    "test acc %",
    "paper %",
    "notes",
]


class Results:
    """Rows of the table and records of the JSON file, filled in one by one."""

    def __init__(self, images: Images) -> None:
        self.images = images
        self.is_mnist = images.note.startswith("mnist ")
        self.records: list[dict[str, Any]] = []
        self.notes: dict[str, str] = {}

    def add(self, name: str, model: Any, seconds: float, *notes: str) -> None:
        train_loss, _ = evaluate(model, self.images.X_train, self.images.y_train)
        test_loss, accuracy = evaluate(model, self.images.X_test, self.images.y_test)
        self.records.append(
            {
                "model": name,
                "fit_seconds": seconds,
                "train_log_loss": train_loss,
                "test_log_loss": test_loss,
                "test_accuracy": accuracy,
            }
        )
        self.notes[name] = ", ".join(filter(None, notes))

    def leave_out(self, name: str, note: str) -> None:
        self.notes[name] = note

    def time_again(self, name: str, seconds: float, note: str) -> None:
        record = self.of(name)
        assert record is not None
        record["fit_seconds"] = seconds
        kept = [n for n in self.notes[name].split(", ") if n and not n.endswith("run")]
        self.notes[name] = ", ".join(filter(None, [*kept, note]))

    def of(self, name: str) -> dict[str, Any] | None:
        return next((r for r in self.records if r["model"] == name), None)

    def ratio(self, name: str, reference: str) -> float | None:
        one, other = self.of(name), self.of(reference)
        if one is None or other is None:
            return None
        return one["fit_seconds"] / other["fit_seconds"]

    def table(self) -> str:
        fastest = min(self.records, key=lambda record: record["fit_seconds"])["model"]
        rows = []
        for name, note in self.notes.items():
            record = self.of(name)
            if record is None:
                rows.append([name, *["-"] * 7, f"n/a: {note}"])
                continue
            rows.append(
                [
                    name,
                    significant(record["fit_seconds"]),
                    significant(self.ratio(name, fastest)),
                    significant(self.ratio(name, REFERENCE)),
                    number(record["train_log_loss"], 4),
                    number(record["test_log_loss"], 4),
                    number(100 * record["test_accuracy"], 2),
                    number(PAPER.get(name) if self.is_mnist else None, 2),
                    note,
                ]
            )
        return table(HEADER, rows)


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    images = load_images(arguments.dataset)
    if arguments.fast:
        images = _subset(images, 400)
    max_epochs = 4 if arguments.fast else 100
    repeats = arguments.repeats or (2 if arguments.fast else 5)
    results = Results(images)
    steps = Steps(len(EXPLICIT) + len(collect()) + 4 + 4 + 5 + 1)
    with threadpool_limits(arguments.threads), steps as announce:
        fitted = _fit_closed_forms_and_peers(results, repeats, announce)
        paper = paper_protocol(images, max_epochs, announce)
        for curve in paper:
            _add_paper_curve(results, curve)
        default = default_protocol(images, min(max_epochs, 20), announce)
        lines = _refine_to_reference(results, default, repeats, announce)
        announce("predictions")
        lines += _prediction_lines(fitted, images)
        lines.append(_scale_line(images))
    print(f"data: {images.note}{'; first rows only' if arguments.fast else ''}")
    print(
        f"fit s: median of {repeats} runs ({3 * repeats} where the first takes less "
        f"than {QUICK_SECONDS / 100:g} s) in turn after a warm-up; what takes "
        f"{QUICK_SECONDS:g} s or more has as many runs as its notes say, as have the "
        "rows with early stopping"
    )
    limit = arguments.threads or "not limited"
    print(f"threads of BLAS and OpenMP: {limit} ({cpu_count()} processors)")
    print(results.table())
    norm = images.X_train.sum(axis=1, dtype=np.float64).mean()
    print(f"\nmean norm (priming number K): {norm:.4f}")
    print(
        f"early stopping in the paper: {PAPER_EPOCHS['cold']} epochs from a cold "
        f"start, {PAPER_EPOCHS['warm']} from a warm start"
    )
    print("\n".join(lines))
    for name in (THEOREM, DEFAULT):
        ratio = results.ratio(name, FASTEST_PEER)
        print(f"fit time of {name} / {FASTEST_PEER}: {significant(ratio)}")
    if arguments.json:
        write_json(arguments.json, results.records)
    if not matplotlib_is_there():
        print("matplotlib is not installed: no figure is drawn")
    elif arguments.figure:
        points = [results.of(peer.name) for peer in collect()]
        points += [results.of(DEFAULT)]
        draw(
            arguments.figure,
            f"One-layer softmax on {images.note.partition(',')[0]}",
            paper + default,
            [point for point in points if point is not None],
        )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Explicit, cold-started, and warm-started softmax on images."
    )
    parser.add_argument(
        "--dataset",
        help="digits, mnist, or a folder of IDX files in the folder that "
        "EXPLICIT_SOFTMAX_DATA names; by default mnist if it is to be had, "
        "otherwise digits",
    )
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--figure", type=Path, help="file for the figure")
    parser.add_argument("--fast", action="store_true", help="few rows and epochs")
    parser.add_argument(
        "--repeats", type=int, help="timed runs of a fit: 5, or 2 if --fast"
    )
    parser.add_argument(
        "--threads",
        type=int,
        help="limit of the threads of BLAS and OpenMP, for all models alike",
    )
    arguments = parser.parse_args(argv)
    if arguments.threads is not None and arguments.threads < 1:
        parser.error("--threads must be at least 1")
    if arguments.repeats is not None and arguments.repeats < 1:
        parser.error("--repeats must be at least 1")
    return arguments


def _subset(images: Images, n_rows: int) -> Images:
    return images._replace(
        X_train=images.X_train[:n_rows],
        y_train=images.y_train[:n_rows],
        X_test=images.X_test[:n_rows],
        y_test=images.y_test[:n_rows],
    )


def _fit_closed_forms_and_peers(
    results: Results, repeats: int, announce: Callable[[str], None]
) -> dict[str, Any]:
    """Add their rows; the fitted models by name."""
    X, y = results.images.X_train, results.images.y_train
    runs: dict[str, Callable[[], Any]] = {}
    for name, parameters in EXPLICIT.items():
        try:
            ExplicitSoftmaxClassifier(**parameters).fit(X, y)
        except ValueError as error:
            results.leave_out(name, str(error))
            continue
        runs[name] = lambda parameters=parameters: ExplicitSoftmaxClassifier(
            **parameters
        ).fit(X, y)
    for peer in collect():
        if peer.make is None:
            results.leave_out(peer.name, peer.reason)
        else:
            runs[peer.name] = lambda make=peer.make: make().fit(X, y)
    timings = time_in_turn(runs, repeats, announce)
    for name, timing in timings.items():
        model = timing.result
        found = ""
        if name in EXPLICIT and name != THEOREM:
            found = f"beta={model.inverse_temperature_:.4f}"
        iterations = np.max(getattr(model, "n_iter_", 0))
        limit = "" if timing.converged else f"not converged in {iterations} iterations"
        results.add(name, model, timing.median, found, limit, _runs(timing))
    return {name: timing.result for name, timing in timings.items()}


def _runs(timing: Timing) -> str:
    """How many runs of a slow fit there were."""
    if timing.median < QUICK_SECONDS:
        return ""
    return f"{len(timing.seconds)} run{'s' if len(timing.seconds) > 1 else ''}"


def _add_paper_curve(results: Results, curve: Curve) -> None:
    stop = "stopped" if curve.stopped else "cap reached"
    results.add(
        curve.label,
        curve.model,
        curve.seconds[-1],
        f"{curve.n_epochs} epochs, {stop}, best {curve.best_epoch}",
        "1 run",
    )
    results.records[-1] |= {"epochs": curve.n_epochs, "stopped": curve.stopped}


def _refine_to_reference(
    results: Results,
    curves: list[Curve],
    repeats: int,
    announce: Callable[[str], None],
) -> list[str]:
    """Rows of the refined classifier: in full, and until it has the reference's loss.

    The reference is timed again, in turn with them, and its row has that time.
    """
    X, y = results.images.X_train, results.images.y_train
    reference = results.of(REFERENCE)
    runs: dict[str, Callable[[], Any]] = {}
    lines, pairs = [], []
    for solver in ("adagrad", "lbfgs"):
        curve = next(
            c for c in curves if c.start == "explicit" and c.protocol == solver
        )

        def fit(max_iter: int | None = None, solver: str = solver) -> Any:
            limit = {} if max_iter is None else {"max_iter": max_iter}
            return ExplicitSoftmaxClassifier(
                warm_start=True, solver=solver, random_state=0, **limit
            ).fit(X, y)

        runs[f"refined, {solver}"] = fit
        if reference is None:
            continue
        epoch = curve.first_at(reference["train_log_loss"])
        if epoch is None:
            lines.append(
                f"{solver} warm start: {REFERENCE}'s training log-loss "
                f"{reference['train_log_loss']:.4f} is not reached in "
                f"{curve.n_epochs} epochs ({min(curve.train_log_loss):.4f})"
            )
            continue
        if epoch == 0:
            lines.append(
                f"{solver} warm start: the explicit solution itself has {REFERENCE}'s "
                "training log-loss or less"
            )
            continue
        name = f"refined, {solver}, to LogReg loss"
        runs[name] = lambda fit=fit, epoch=epoch: fit(epoch)
        pairs.append((solver, name))
    make = next(peer.make for peer in collect() if peer.name == REFERENCE)
    if reference is not None and make is not None:
        runs[REFERENCE] = lambda: make().fit(X, y)
    for name, timing in time_in_turn(runs, repeats, announce, REFERENCE).items():
        if name == REFERENCE:
            results.time_again(name, timing.median, _runs(timing))
            continue
        model = timing.result
        epochs = f"{model.n_iter_} {'iterations' if 'lbfgs' in name else 'epochs'}"
        limit = "" if timing.converged else "not converged"
        if any(name == limited for _, limited in pairs):
            limit = "stopped there"
        results.add(name, model, timing.median, epochs, limit, _runs(timing))
    for solver, name in pairs:
        record = results.of(name)
        assert record is not None
        assert reference is not None
        lines.append(
            f"time to reach {REFERENCE}'s training log-loss "
            f"({reference['train_log_loss']:.4f}) as a ratio of its fit time, {solver} "
            f"warm start: {significant(results.ratio(name, REFERENCE))} "
            f"({results.notes[name].partition(',')[0]}: training log-loss "
            f"{record['train_log_loss']:.4f}, test accuracy "
            f"{100 * record['test_accuracy']:.2f} % against "
            f"{100 * reference['test_accuracy']:.2f} %)"
        )
    return lines


def _prediction_lines(fitted: dict[str, Any], images: Images) -> list[str]:
    """Ratio of the time of predict_proba to that of the reference."""
    names = [name for name in (DEFAULT, REFERENCE) if name in fitted]
    if len(names) < 2:
        return []
    timings = time_in_turn(
        {
            name: lambda name=name: fitted[name].predict_proba(images.X_test)
            for name in names
        },
        repeats=11,
    )
    ours, reference = (timings[name].median for name in names)
    return [
        f"time of predict_proba, {DEFAULT} / {REFERENCE}: "
        f"{significant(ours / reference)} ({significant(1000 * ours)} ms, "
        f"{len(images.X_test)} rows)"
    ]


def _scale_line(images: Images) -> str:
    """Whether the unit of the features matters."""
    factor = np.float32(255)
    one = ExplicitSoftmaxClassifier().fit(images.X_train, images.y_train)
    other = ExplicitSoftmaxClassifier().fit(factor * images.X_train, images.y_train)
    difference = np.abs(
        one.predict_proba(images.X_test) - other.predict_proba(factor * images.X_test)
    )
    return (
        "largest difference of probabilities between fits on X and on 255 X: "
        f"{difference.max():.2g}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
