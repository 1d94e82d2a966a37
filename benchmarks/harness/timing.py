"""Timing of fits: warm-up, medians, several models in turn, processes of their own.

Seconds are those of the processor, which other programs hardly change. With several
threads they add up: compare with ``--threads 1``.
"""

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from joblib import cpu_count
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_info

try:
    import resource
except ImportError:  # Windows
    resource = None

# What takes longer is run once, without warm-up.
QUICK_SECONDS = 2.0
RULE = (
    "fit s: CPU seconds, median of {} runs in turn after a warm-up (three times as "
    f"many of what takes less than {QUICK_SECONDS / 100:g} s, one of what takes "
    f"{QUICK_SECONDS:g} s or more)"
)
_RUN = Path(__file__).resolve().parent.parent / "run.py"


@dataclass
class Timing:
    """CPU seconds of runs, what the last one returned, and why data were refused."""

    result: Any = None
    seconds: list[float] = field(default_factory=list)
    converged: bool = True
    refused: str = ""

    @property
    def median(self) -> float:
        return median(self.seconds)


class Stopwatch:
    """CPU seconds since it was made, without those between `pause` and `resume`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._elapsed = seconds
        self._since = time.process_time()

    def pause(self) -> float:
        self._elapsed += time.process_time() - self._since
        return self._elapsed

    def resume(self) -> None:
        self._since = time.process_time()


def timed(run: Callable[[], Any]) -> Timing:
    """One run; a ConvergenceWarning becomes ``converged=False``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.process_time()
        result = run()
        seconds = time.process_time() - start
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return Timing(result, [seconds], converged)


def time_in_turn(
    runs: Mapping[str, Callable[[], Any]],
    repeats: int,
    announce: Callable[[str], None] = lambda name: None,
) -> dict[str, Timing]:
    """Time several runs, each once in every round, so that drift meets all alike.

    The first round is the warm-up of what takes less than QUICK_SECONDS, and the only
    round of everything else (see `RULE`).
    """
    timings, rounds = {}, {}
    for name, run in runs.items():
        announce(name)
        rounds[name] = 0
        try:
            timings[name] = timed(run)
        except ValueError as error:
            timings[name] = Timing(refused=str(error))
            continue
        first = timings[name].seconds[0]
        if first < QUICK_SECONDS:
            timings[name].seconds.clear()
            rounds[name] = repeats * (3 if first < QUICK_SECONDS / 100 else 1)
    for turn in range(max(rounds.values())):
        for name, timing in timings.items():
            if turn < rounds[name]:
                again = timed(runs[name])
                timing.result, timing.converged = again.result, again.converged
                timing.seconds += again.seconds
    return timings


def in_own_process(job: Callable[..., dict[str, Any]], **arguments: Any) -> Any:
    """What a function of this project returns in a new process, through JSON."""
    limit = str(max((pool["num_threads"] for pool in threadpool_info()), default=1))
    limits = {f"{name}_NUM_THREADS": limit for name in ("OMP", "OPENBLAS", "MKL")}
    command = [sys.executable, str(_RUN), "--job", job.__module__, job.__name__]
    command.append(json.dumps(arguments))
    done = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | limits)
    if done.returncode:
        # A negative code is the signal that ended it: 9 where memory gave out.
        raise SystemExit(f"{' '.join(command[2:])} ended with code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def medians_of_processes(
    jobs: Mapping[str, Callable[[], dict[str, Any]]],
    repeats: int,
    announce: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Medians of the numbers that jobs return, which take turns."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
    for turn in range(repeats):
        for name, job in jobs.items():
            announce(f"{name}, {turn + 1}/{repeats}")
            found[name].append(job())
    return {
        name: {
            key: None if value is None else median(run[key] for run in runs)
            for key, value in runs[0].items()
        }
        for name, runs in found.items()
    }


def peak_memory() -> float | None:
    """Largest resident memory of this process so far in MiB; None on Windows."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, KiB elsewhere.
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def threads_line(limit: int | None) -> str:
    told = limit or "not limited"
    return f"threads of BLAS and OpenMP: {told} ({cpu_count()} processors)"
