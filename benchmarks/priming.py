"""Time to choose a priming number K among 1, 2, ..., and what is found, on images.

    python benchmarks/priming.py [--dataset NAME] [--numbers N] [--json FILE]
                                 [--figure FILE] [--fast] [--threads N]

The model is the theorem: inverse temperature 1, no smoothing where no co-occurrence
vanishes. Three methods score every K by log-loss, one process and no n_jobs:

- exact leave-one-out over all training rows, with functions of `explicit_softmax.core`;
- 5 folds by ExplicitSoftmaxClassifierCV, which subtracts the counts of a fold;
- the same 5 folds by GridSearchCV, which fits every candidate five times.

Folds are timed on one and on eight candidates spread over all. The line through the two
gives the time of all; if that is more than 30 s, they are not run on all, and the table
says "scaled". They fit the best candidate to all rows in the end, which counts once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from datasets import Images, load_images
from figure import matplotlib_is_there
from joblib import cpu_count
from numpy.typing import NDArray
from priming_figure import Curves, draw
from priming_scores import BETA, STRENGTH, LeftOut, Scores, leave_out
from report import Steps, number, significant, table, write_json
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits
from timing import timed_fit

from explicit_softmax import ExplicitSoftmaxClassifier, ExplicitSoftmaxClassifierCV
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import Smoothing
from explicit_softmax.solution.theorem import Evidence

FOLDS = 5
# Candidates on which a method is timed, and seconds above which it is scaled.
SAMPLE = 8
WHOLE_SECONDS = 30.0
ROUNDS = 3

LEAVE_ONE_OUT = "exact leave-one-out"
BY_SUBTRACTION = "5 folds by subtraction"
REFERENCE = "GridSearchCV, 5 folds"
HEADER = [
    "method",
    "candidates",
    "s",
    "s/candidate",
    "GridSearchCV is x slower",
    "products/candidate",
    "best K",
    "log-loss",
    "notes",
]


class Folds(NamedTuple):
    """Mean log-losses of the folds at each K."""

    losses: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Timed:
    """Seconds for all candidates; scaled from a few where `timed` is less than all."""

    method: str
    candidates: int
    seconds: float
    timed: int
    losses: NDArray[np.float64]
    best: int | None

    @property
    def scaled(self) -> bool:
        return self.timed < self.candidates

    def record(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "candidates": self.candidates,
            "seconds": self.seconds,
            "seconds_per_candidate": self.seconds / self.candidates,
            "scaled": self.scaled,
            "best_priming_number": self.best,
        }


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    images = load_images(arguments.dataset)
    if arguments.fast:
        images = _subset(images, 400)
    X, y = images.X_train, images.y_train
    numbers = np.arange(1, (arguments.numbers or X.shape[1]) + 1)
    if arguments.fast:
        numbers = numbers[:10]
    codes = np.unique(y, return_inverse=True)[1]
    smoothing = _smoothing(X, codes)
    fits: dict[str, Callable[[NDArray[np.int64]], Any]] = {
        LEAVE_ONE_OUT: lambda tried: leave_out(X, codes, tried, smoothing),
        BY_SUBTRACTION: lambda tried: _folds_by_subtraction(X, y, tried, smoothing),
        REFERENCE: lambda tried: _grid_search(X, y, tried, smoothing),
    }
    rounds = 1 if arguments.fast else ROUNDS
    with threadpool_limits(arguments.threads), Steps(7) as announce:
        rows, found = time_methods(fits, numbers, rounds, announce)
        announce("product of rows and weights")
        product = _product_seconds(X, found.evidence)
        announce("accuracies")
        curves = scan(images, numbers, found)
    print(f"data: {images.note}{'; first rows only' if arguments.fast else ''}")
    limit = arguments.threads or "not limited"
    print(f"threads of BLAS and OpenMP: {limit} ({cpu_count()} processors)")
    runs = "1 run each" if rounds == 1 else f"medians of {rounds} rounds"
    print(
        f"K = 1..{len(numbers)} at beta={BETA:g}, smoothing={smoothing!r}; {runs}, but "
        "1 run of folds on all candidates"
    )
    print(_table(rows, product))
    print("\n".join(_lines(rows, found, product, curves)))
    if arguments.json:
        write_json(arguments.json, [row.record() for row in rows])
    if arguments.figure and matplotlib_is_there():
        draw(arguments.figure, images.note.partition(",")[0], curves)
    elif arguments.figure:
        print("matplotlib is not installed: no figure is drawn")


def scan(
    images: Images, numbers: NDArray[np.int64], found: LeftOut | None = None
) -> Curves:
    """Log-losses and accuracies at every K, by leave-one-out and on test rows."""
    classes, codes = np.unique(images.y_train, return_inverse=True)
    if found is None:
        smoothing = _smoothing(images.X_train, codes)
        found = leave_out(images.X_train, codes, numbers, smoothing)
    test_codes = np.searchsorted(classes, images.y_test)
    test = Scores.of_rows(found.evidence, images.X_test, test_codes)
    test_loss, test_accuracy = test.curves(numbers)
    return Curves(
        numbers,
        float(found.held_out.norms.mean()),
        found.losses,
        Scores.held_out(found.held_out).curves(numbers)[1],
        test_loss,
        test_accuracy,
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time to choose a priming number, and what is found, on images."
    )
    parser.add_argument(
        "--dataset",
        help="digits, mnist, or a folder of IDX files in the folder that "
        "EXPLICIT_SOFTMAX_DATA names; by default mnist if it is to be had, "
        "otherwise digits",
    )
    parser.add_argument(
        "--numbers", type=int, help="largest K: by default the number of features"
    )
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--figure", type=Path, help="file for the figure")
    parser.add_argument("--fast", action="store_true", help="few rows and numbers")
    parser.add_argument(
        "--threads",
        type=int,
        help="limit of the threads of BLAS and OpenMP, for all methods alike",
    )
    arguments = parser.parse_args(argv)
    for name in ("threads", "numbers"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1")
    return arguments


def _subset(images: Images, n_rows: int) -> Images:
    return images._replace(
        X_train=images.X_train[:n_rows],
        y_train=images.y_train[:n_rows],
        X_test=images.X_test[:n_rows],
        y_test=images.y_test[:n_rows],
    )


def _smoothing(X: NDArray[Any], codes: NDArray[np.intp]) -> Smoothing:
    """None, the theorem, unless a co-occurrence vanishes with a row or a fold."""
    counts = CooccurrenceCounts.from_rows(X, codes, int(codes.max()) + 1)
    several = counts.class_count.min() > FOLDS
    return None if several and (X > 0).all() else "prior"


def _folds_by_subtraction(
    X: NDArray[Any],
    y: NDArray[Any],
    numbers: NDArray[np.int64],
    smoothing: Smoothing,
) -> Folds:
    search = ExplicitSoftmaxClassifierCV(
        priming_numbers=numbers.tolist(),
        smoothing=smoothing,
        smoothing_strengths=[STRENGTH],
        norm_exponents=[0.0],
        translation="column",
        inverse_temperature=BETA,
        cv=FOLDS,
    ).fit(X, y)
    return Folds(-search.cv_results_["mean_test_score"])


def _grid_search(
    X: NDArray[Any],
    y: NDArray[Any],
    numbers: NDArray[np.int64],
    smoothing: Smoothing,
) -> Folds:
    search = GridSearchCV(
        ExplicitSoftmaxClassifier(
            inverse_temperature=BETA, smoothing=smoothing, smoothing_strength=STRENGTH
        ),
        {"priming_number": numbers.tolist()},
        cv=FOLDS,
        scoring="neg_log_loss",
    ).fit(X, y)
    return Folds(-search.cv_results_["mean_test_score"])


def time_methods(
    fits: dict[str, Callable[[NDArray[np.int64]], Any]],
    numbers: NDArray[np.int64],
    rounds: int,
    announce: Callable[[str], None] = lambda text: None,
    whole_seconds: float = WHOLE_SECONDS,
) -> tuple[list[Timed], LeftOut]:
    """Time leave-one-out in whole, and folds on one and on a few candidates, in turn.

    The line through one and a few gives the seconds of all.
    """
    few = numbers[sample(len(numbers))]
    runs = {(LEAVE_ONE_OUT, len(numbers)): numbers}
    for method in (BY_SUBTRACTION, REFERENCE):
        runs |= {(method, 1): few[:1], (method, len(few)): few}
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    results: dict[tuple[str, int], Any] = {}
    for turn in range(rounds):
        for key, tried in runs.items():
            if turn == 0:
                announce(f"{key[0]}, K of {key[1]}")
            fit = fits[key[0]]
            spent, results[key], _ = timed_fit(lambda fit=fit, tried=tried: fit(tried))
            seconds[key].append(spent)
    medians = {key: median(values) for key, values in seconds.items()}
    key = LEAVE_ONE_OUT, len(numbers)
    rows, found = [_whole(*key, medians[key], numbers, results[key])], results[key]
    for method in (BY_SUBTRACTION, REFERENCE):
        key = method, len(few)
        total, scored = medians[key], results[key]
        if len(few) < len(numbers):
            each = max((total - medians[method, 1]) / (len(few) - 1), 0.0)
            total += (len(numbers) - len(few)) * each
            if total > whole_seconds:
                losses = scored.losses
                row = Timed(method, len(numbers), total, len(few), losses, None)
                rows.append(row)
                continue
            fit = fits[method]
            total, scored, _ = timed_fit(lambda fit=fit: fit(numbers))
        rows.append(_whole(method, len(numbers), total, numbers, scored))
    return rows, found


def _whole(
    method: str, size: int, seconds: float, numbers: NDArray[np.int64], found: Any
) -> Timed:
    best = int(numbers[found.losses.argmin()])
    return Timed(method, size, seconds, size, found.losses, best)


def sample(n_numbers: int) -> NDArray[np.intp]:
    """Places of the candidates that are timed."""
    places = np.linspace(0, n_numbers - 1, min(SAMPLE, n_numbers))
    return np.unique(places.round().astype(np.intp))


def _product_seconds(X: NDArray[Any], evidence: Evidence) -> float:
    """Least seconds of X @ weights for all training rows, in the type of X."""
    weights = evidence.decoders[0].weights.astype(X.dtype)
    return min(timed_fit(lambda: X @ weights)[0] for _ in range(7))


def _table(rows: list[Timed], product: float) -> str:
    reference = next(row for row in rows if row.method == REFERENCE)
    lines = []
    for row in rows:
        each = row.seconds / row.candidates
        note = "whole"
        if row.scaled:
            note = f"scaled from {row.timed} candidates"
        lines.append(
            [
                row.method,
                str(row.candidates),
                significant(row.seconds),
                significant(each),
                significant(reference.seconds / row.seconds),
                significant(each / product),
                "-" if row.best is None else str(row.best),
                number(None if row.scaled else float(row.losses.min()), 5),
                note,
            ]
        )
    return table(HEADER, lines)


def _lines(
    rows: list[Timed], found: LeftOut, product: float, curves: Curves
) -> list[str]:
    numbers, first = curves.numbers, rows[0]
    further = (first.seconds - found.setup_seconds) / first.candidates
    lines = [
        f"one product of all rows and weights (least of 7): {significant(product)} s",
        f"leave-one-out: {significant(found.setup_seconds)} s before the first K "
        f"({significant(found.setup_seconds / product)} products), then "
        f"{significant(further)} s for each "
        f"({significant(further / product)} products)",
        f"mean norm: {curves.mean_norm:.4f}",
    ]
    near = int(np.abs(numbers - curves.mean_norm).argmin())
    for what, values, sign, digits in (
        ("leave-one-out log-loss", curves.loss, 1, 5),
        ("test log-loss", curves.test_loss, 1, 5),
        ("leave-one-out accuracy", curves.accuracy, -1, 5),
        ("test accuracy", curves.test_accuracy, -1, 5),
    ):
        at = int((sign * values).argmin())
        ties = numbers[values == values[at]]
        tied = "" if len(ties) == 1 else f" (and {len(ties) - 1} more up to {ties[-1]})"
        lines.append(
            f"best K by {what}: {numbers[at]}{tied}, {values[at]:.{digits}f}; "
            f"{values[near]:.{digits}f} at K={numbers[near]}, the nearest to the mean "
            "norm"
        )
    lines.append(_difference_line(rows[1], rows[2], numbers))
    return lines


def _difference_line(one: Timed, other: Timed, numbers: NDArray[np.int64]) -> str:
    """Whether the two kinds of folds give the same losses where both were scored."""
    places = sample(len(numbers))
    a, b = (
        timed.losses if timed.scaled else timed.losses[places] for timed in (one, other)
    )
    return (
        "largest difference of log-losses between the two kinds of folds at K = "
        f"{', '.join(map(str, numbers[places]))}: {np.abs(a - b).max():.2g} "
        f"({', '.join(f'{x:.4f}/{y:.4f}' for x, y in zip(a, b, strict=True))}); the "
        "scorer of GridSearchCV takes no probability of float32 below 1.2e-7"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
