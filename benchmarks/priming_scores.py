"""Log-loss and accuracy of the theorem at many priming numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from timing import timed_fit

from explicit_softmax.calibration.leave_one_out import LeaveOneOut, leave_one_out
from explicit_softmax.calibration.search import priming_log_losses
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import Smoothing, smooth_counts
from explicit_softmax.solution.theorem import Evidence, solve

BETA = 1.0
# In use only where a co-occurrence may vanish.
STRENGTH = 0.1
_CHUNK_ROWS = 2000


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of rows at any priming number: ``constant + slope / K``."""

    constant: NDArray[np.float64]
    slope: NDArray[np.float64]
    codes: NDArray[np.intp]

    @classmethod
    def held_out(cls, found: LeaveOneOut) -> Scores:
        """Of training rows, each by the model without it."""
        slope = (found.log_count + found.log_norm) * found.norms[:, None]
        return cls(BETA * found.evidence[0], slope, found.codes)

    @classmethod
    def of_rows(
        cls, evidence: Evidence, X: NDArray[Any], codes: NDArray[np.intp]
    ) -> Scores:
        """Of rows that were not counted."""
        rows = X.astype(np.float64)
        prior = evidence.smoothed.log_count + evidence.smoothed.log_norm
        constant = BETA * evidence.decoders[0].scores(rows)
        return cls(constant, rows.sum(axis=1)[:, None] * prior, codes)

    def curves(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-loss and accuracy at each K."""
        losses, hits = np.zeros(len(numbers)), np.zeros(len(numbers))
        for start in range(0, len(self.codes), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            codes = self.codes[chunk]
            at = np.arange(len(codes))
            # Sums over classes are sums of whole vectors.
            constant = np.ascontiguousarray(self.constant[chunk].T)
            slope = np.ascontiguousarray(self.slope[chunk].T)
            for j, value in enumerate(numbers):
                scores = constant + slope / value
                highest = scores.max(axis=0)
                own = scores[codes, at]
                # Of equal scores np.argmax takes the first.
                hits[j] += np.count_nonzero(scores.argmax(axis=0) == codes)
                spread = np.log(np.exp(scores - highest).sum(axis=0))
                losses[j] += (highest + spread - own).sum()
        return losses / len(self.codes), hits / len(self.codes)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What leave-one-out found, and the seconds before the first candidate."""

    evidence: Evidence
    held_out: LeaveOneOut
    losses: NDArray[np.float64]
    setup_seconds: float


def leave_out(
    X: NDArray[Any],
    codes: NDArray[np.intp],
    numbers: NDArray[np.int64],
    smoothing: Smoothing,
) -> LeftOut:
    """Leave-one-out log-loss of all training rows at each K."""

    def prepare() -> tuple[Evidence, LeaveOneOut]:
        counts = CooccurrenceCounts.from_rows(X, codes, int(codes.max()) + 1)
        evidence = solve(smooth_counts(counts, smoothing, STRENGTH))
        return evidence, leave_one_out(evidence, X, codes)

    seconds, (evidence, held_out), _ = timed_fit(prepare)
    losses = priming_log_losses(held_out, numbers.tolist(), BETA)
    return LeftOut(evidence, held_out, losses, seconds)
