"""Timing of fits: warm-up, medians, repeats of several models in turn."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

# What takes longer is run once, without warm-up.
QUICK_SECONDS = 2.0


@dataclass
class Timing:
    """Seconds of the runs of one model, and what the last run returned."""

    result: Any
    converged: bool
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.seconds)


class Stopwatch:
    """Seconds since it was made, without those between `pause` and `resume`."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._since = time.perf_counter()

    def pause(self) -> float:
        """Stop; seconds so far."""
        self._elapsed += time.perf_counter() - self._since
        return self._elapsed

    def resume(self) -> None:
        self._since = time.perf_counter()


def timed_fit(run: Callable[[], Any]) -> tuple[float, Any, bool]:
    """Seconds of a run, its result, and whether it ended without ConvergenceWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - start
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return seconds, result, converged


def time_in_turn(
    runs: Mapping[str, Callable[[], Any]],
    repeats: int,
    announce: Callable[[str], None] = lambda name: None,
    thrice: str = "",
) -> dict[str, Timing]:
    """Time several runs, each once in every round, so that drift meets all alike.

    The first round is the warm-up of what takes less than QUICK_SECONDS, and the only
    round of all else but of `thrice`, which takes part in two more. Runs of less than a
    hundredth of QUICK_SECONDS are repeated thrice as often.
    """
    timings = {}
    for name, run in runs.items():
        announce(name)
        seconds, result, converged = timed_fit(run)
        timings[name] = Timing(result, converged, [seconds])
    rounds = dict.fromkeys(runs, 0)
    for name, timing in timings.items():
        first = timing.seconds[0]
        if first < QUICK_SECONDS:
            timing.seconds.clear()
            rounds[name] = repeats * (3 if first < QUICK_SECONDS / 100 else 1)
        elif name == thrice:
            rounds[name] = min(2, repeats - 1)
    for turn in range(max(rounds.values())):
        for name, timing in timings.items():
            if turn < rounds[name]:
                seconds, timing.result, timing.converged = timed_fit(runs[name])
                timing.seconds.append(seconds)
    return timings


def evaluate(
    model: Any, X: NDArray[Any], y: NDArray[Any], chunk_rows: int = 10_000
) -> tuple[float | None, float]:
    """Mean log-loss in nats, None without probabilities, and accuracy.

    Rows are scored in float64 whatever the type the model was fitted in, and
    log-probabilities are not clipped: the log-loss is infinite where the model gives a
    label the probability zero.
    """
    total, hits = 0.0, 0
    has_probabilities = hasattr(model, "predict_log_proba")
    for start in range(0, len(y), chunk_rows):
        rows = X[start : start + chunk_rows].astype(np.float64)
        labels = y[start : start + chunk_rows]
        hits += int((model.predict(rows) == labels).sum())
        if has_probabilities:
            with np.errstate(divide="ignore"):
                log_proba = model.predict_log_proba(rows)
            codes = np.searchsorted(model.classes_, labels)
            total -= float(log_proba[np.arange(len(labels)), codes].sum())
    return (total / len(y) if has_probabilities else None), hits / len(y)
