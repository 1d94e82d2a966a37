"""Time to choose a priming number K among 1, 2, ..., and what is found, on images.

The model is the theorem: inverse temperature 1, no smoothing where no co-occurrence
vanishes. Every K is scored by log-loss, in one process and without n_jobs, by

- ExplicitSoftmaxClassifierCV with cv=None: exact leave-one-out over its sample of rows;
- the scan of this script: exact leave-one-out over all training rows, with accuracies;
- GridSearchCV with 5 folds, which fits every candidate five times (and is spared the
  refit of the best one).

Folds are timed on eight candidates spread over all, and their time is scaled: it is
proportional to the number of candidates.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV

from benchmarks.data.images import HELP, Images, load_images
from benchmarks.harness import figures
from benchmarks.harness.models import AS_PRINTED
from benchmarks.harness.options import FIGURE, Name, Number
from benchmarks.harness.records import Record, named, ratio, table
from benchmarks.harness.timing import RULE, time_in_turn
from explicit_softmax import ExplicitSoftmaxClassifier, ExplicitSoftmaxClassifierCV
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import smooth_counts
from explicit_softmax.solution.theorem import Calibration

OPTIONS = {
    "dataset": Name(HELP, fast="digits"),
    "numbers": Number(None, "largest K, by default the number of features", fast=10),
    "repeats": Number(3, "timed runs of each method", fast=1),
    "rows": Number(None, "training rows and test rows, at most", fast=400),
    **FIGURE,
}
FOLDS = 5
# In use only where a co-occurrence may vanish.
STRENGTH = 0.1
# Candidates on which folds are timed.
FEW = 8

BY_SAMPLE, BY_SCAN = "ClassifierCV, leave-one-out", "leave-one-out, all rows"
REFERENCE = "GridSearchCV, 5 folds"
_CHUNK_ROWS = 8192


@dataclass(frozen=True, eq=False)
class Linear:
    """Scores of rows at any priming number, up to a constant: constant + slope / K."""

    constant: NDArray[np.float64]
    slope: NDArray[np.float64]
    codes: NDArray[np.intp]

    @classmethod
    def through(
        cls, scores: Callable[[float], NDArray[Any]], codes: NDArray[np.intp]
    ) -> Self:
        """From the scores at two priming numbers."""
        one, two = (np.asarray(scores(K), dtype=np.float64) for K in (1.0, 2.0))
        return cls(2.0 * two - one, 2.0 * (one - two), codes)

    def curves(self, numbers: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Log-loss and accuracy at each K."""
        losses, hits = np.zeros(len(numbers)), np.zeros(len(numbers))
        for start in range(0, len(self.codes), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            own = np.arange(len(self.codes[chunk])), self.codes[chunk]
            # Less the own class, and classes first: sums are sums of whole vectors.
            constant, slope = (
                np.ascontiguousarray((part[chunk] - part[chunk][own][:, None]).T)
                for part in (self.constant, self.slope)
            )
            scores, powers = constant.copy(), constant.astype(np.float32)
            for j, value in enumerate(numbers):
                np.multiply(slope, 1.0 / value, out=scores)
                scores += constant
                highest = scores.max(axis=0)
                hits[j] += np.count_nonzero(highest <= 0)
                np.subtract(scores, highest, out=powers, casting="same_kind")
                np.exp(powers, out=powers)
                losses[j] += (highest + np.log(powers.sum(axis=0))).sum()
        return losses / len(self.codes), hits / len(self.codes)


def measure(options: Namespace) -> list[Record]:
    """A record for each method, and the scan."""
    images = load_images(options.dataset).first(options.rows)
    X, y = images.X_train, images.y_train
    smoothing = smoothing_for(X, y)
    numbers = np.arange(1, (options.numbers or X.shape[1]) + 1)
    few = numbers[np.unique(np.linspace(0, len(numbers) - 1, FEW).round().astype(int))]
    timings = time_in_turn(
        {
            BY_SAMPLE: lambda: _search(X, y, numbers, smoothing),
            BY_SCAN: lambda: left_out(X, y, smoothing).curves(numbers)[0],
            REFERENCE: lambda: _grid_search(X, y, few, smoothing),
        },
        options.repeats,
        options.announce,
    )
    records = []
    for name, timing in timings.items():
        n_tried = len(timing.result)
        each = timing.median / n_tried
        values = {"seconds": each * len(numbers), "seconds_each": each}
        values |= {"n_tried": n_tried, "smoothing": smoothing}
        records.append(Record(name, values))
        if n_tried == len(numbers):
            values["best_priming_number"] = int(numbers[timing.result.argmin()])
            values["best_log_loss"] = float(timing.result.min())
        else:
            records[-1].note = f"scaled from {n_tried} candidates"
    reference = named(records, REFERENCE)
    for record in records:
        record.values["times_faster"] = ratio(reference, record, "seconds")
    options.announce("scan")
    return [*records, scan(images, numbers)]


def scan(images: Images, numbers: NDArray[np.int64]) -> Record:
    """Log-losses and accuracies at every K, by leave-one-out and on test rows."""
    X, y = images.X_train, images.y_train
    smoothing = smoothing_for(X, y)

    def test_scores(priming_number: float) -> NDArray[Any]:
        model = _theorem(smoothing).set_params(priming_number=priming_number)
        return model.fit(X, y).predict_log_proba(images.X_test.astype(np.float64))

    codes = np.searchsorted(np.unique(y), images.y_test)
    values: dict[str, Any] = {
        "data": images.note,
        "numbers": numbers.tolist(),
        "mean_norm": float(X.sum(axis=1, dtype=np.float64).mean()),
    }
    for name, scores in (
        ("leave-one-out", left_out(X, y, smoothing)),
        ("test", Linear.through(test_scores, codes)),
    ):
        losses, accuracies = scores.curves(numbers)
        values[f"{name} log-loss"] = losses.tolist()
        values[f"{name} accuracy"] = accuracies.tolist()
    return Record("theorem at every K", values, kind="scan")


def smoothing_for(X: NDArray[Any], y: NDArray[Any]) -> str | None:
    """None, the theorem, unless a co-occurrence may vanish with a row or a fold."""
    enough = np.unique(y, return_counts=True)[1].min() > FOLDS
    return None if enough and (X > 0).all() else "prior"


def left_out(X: NDArray[Any], y: NDArray[Any], smoothing: str | None) -> Linear:
    """Scores of each row by the model without it."""
    codes = np.unique(y, return_inverse=True)[1]
    counts = CooccurrenceCounts.from_rows(X, codes, int(codes.max()) + 1)
    found = leave_one_out(smooth_counts(counts, smoothing, STRENGTH), X, codes)
    one = np.ones(1)
    return Linear.through(lambda K: found.scores(Calibration(one, K)), codes)


def _theorem(smoothing: str | None) -> ExplicitSoftmaxClassifier:
    parameters = AS_PRINTED | {"smoothing": smoothing, "smoothing_strength": STRENGTH}
    return ExplicitSoftmaxClassifier(**parameters)


def _search(X: Any, y: Any, numbers: Any, smoothing: str | None) -> NDArray[Any]:
    search = ExplicitSoftmaxClassifierCV(
        priming_numbers=numbers.tolist(),
        smoothing=smoothing,
        smoothing_strengths=[STRENGTH],
        norm_exponents=[0.0],
        translation="column",
        inverse_temperature=1.0,
    ).fit(X, y)
    return -np.asarray(search.cv_results_["mean_test_score"])


def _grid_search(X: Any, y: Any, numbers: Any, smoothing: str | None) -> NDArray[Any]:
    search = GridSearchCV(
        _theorem(smoothing),
        {"priming_number": numbers.astype(float).tolist()},
        cv=FOLDS,
        scoring="neg_log_loss",
        refit=False,
    ).fit(X, y)
    return -np.asarray(search.cv_results_["mean_test_score"])


def report(records: list[Record], options: Namespace) -> str:
    *methods, found = records
    columns = [
        ("s", "seconds", "sig"),
        ("s/candidate", "seconds_each", "sig"),
        ("times faster than GridSearchCV", "times_faster", "sig"),
        ("best K", "best_priming_number", ""),
        ("log-loss", "best_log_loss", ".5f"),
    ]
    smoothing = methods[0]["smoothing"]
    return "\n".join(
        [
            f"data: {found['data']}",
            RULE.format(options.repeats),
            f"K = 1..{len(found['numbers'])} at beta = 1, smoothing={smoothing!r}",
            table(methods, columns),
            *scan_lines(found),
        ]
    )


def best_places(found: Record) -> dict[str, int]:
    """Index of the best K by each curve of a scan."""
    return {
        name: int(np.argmin(found[name]) if "loss" in name else np.argmax(found[name]))
        for name in found.values
        if name.endswith(("log-loss", "accuracy"))
    }


def scan_lines(found: Record) -> list[str]:
    """Where each curve is best, and how good it is at the mean norm."""
    numbers, norm = np.array(found["numbers"]), found["mean_norm"]
    near = int(np.abs(numbers - norm).argmin())
    lines = [f"mean norm: {norm:.4f}"]
    for name, at in best_places(found).items():
        values = found[name]
        lines.append(
            f"best K by {name}: {numbers[at]}, {values[at]:.5f}; "
            f"{values[near]:.5f} at K={numbers[near]}, the nearest to the mean norm"
        )
    return lines


def draw(path: Path, records: list[Record]) -> None:
    """How far each K is from the best one, up to four times as far as the mean norm."""
    found, best = records[-1], best_places(records[-1])
    numbers = np.array(found["numbers"])
    near = int(np.abs(numbers - found["mean_norm"]).argmin())
    figure, axes = figures.new_figure(1, 2, (11, 4.2))
    for panel, name in zip(axes[0], ("log-loss", "accuracy"), strict=True):
        margin = 1e-9
        for colour, rows in ((figures.BLUE, "leave-one-out"), (figures.RED, "test")):
            values = np.array(found[f"{rows} {name}"])
            at = best[f"{rows} {name}"]
            gaps = np.abs(values - values[at])
            margin = max(margin, 4 * gaps[near], 0.01 * np.ptp(gaps))
            label = f"{rows}, best at K = {numbers[at]}: {values[at]:.5g}"
            panel.plot(numbers, gaps, color=colour, label=label)
            panel.plot(numbers[at], 0.0, "*", color=colour, markersize=13)
        panel.axvline(found["mean_norm"], color=figures.GREY, linestyle="--")
        panel.set(xscale="log", xlabel="priming number K (dashed: the mean norm)")
        panel.set(ylim=(-margin / 25, margin), ylabel=f"distance from the best {name}")
        panel.legend(fontsize="small")
        figures.plain_ticks(panel.xaxis, decades=range(4))
    title = found["data"].partition(",")[0]
    figures.save(figure, path, f"The theorem (β = 1) at every priming number: {title}")
