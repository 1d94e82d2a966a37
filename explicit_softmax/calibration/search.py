"""Hyper-parameters of the explicit solution by exact leave-one-out, without refits.

What candidates have in common is computed once: the counts of a norm exponent serve all
smoothing strengths; the logarithms and the product H log F of a strength serve all
priming numbers; and scores are evidence + (1/K) prior, so that a priming number costs
one pass over n_rows x n_classes numbers where the inverse temperature is given, and a
convex fit in a few numbers where it is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.calibration.calibrate import Calibration, Intercepts, calibrate
from explicit_softmax.calibration.leave_one_out import LeaveOneOut, leave_one_out
from explicit_softmax.calibration.sample import RetainedRows
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    FloatArray,
    row_blocks,
)
from explicit_softmax.solution.smoothing import Smoothing, smooth_counts
from explicit_softmax.solution.theorem import Translation, solve

# Scores of a chunk of rows stay in cache while all priming numbers pass over them.
_CHUNK_VALUES = 2**15

# Relative precision of a loss that is only compared with those of other candidates.
_COMPARISON_TOL = 1e-6

# exp of this, summed over any number of classes, is finite in float32.
_SAFE_EXPONENT = 60.0


@dataclass(frozen=True)
class Fixed:
    """What all candidates share.

    Parameters
    ----------
    smoothing : {"prior", "uniform", "noise"} or None
    blocks : tuple of slice
    translation : {"column", "intercept"}
    beta : ndarray of shape (n_blocks,) or None
        Inverse temperatures; chosen for each candidate if None.
    norm_weight : float or None
        gamma; chosen for each candidate if None.
    intercepts : {"none", "each", "columns", "exponent"}
        As in `calibrate`.
    """

    smoothing: Smoothing
    blocks: tuple[slice, ...]
    translation: Translation
    beta: NDArray[np.float64] | None
    norm_weight: float | None
    intercepts: Intercepts


@dataclass(frozen=True, eq=False)
class Scored:
    """A priming number of one strength, with its leave-one-out choice and loss.

    Parameters
    ----------
    strength, priming_number : float
    calibration : Calibration
        What was chosen for this candidate, and the log-loss in nats.
    held_out : LeaveOneOut
        Leave-one-out scores, shared by all priming numbers.
    """

    strength: float
    priming_number: float
    calibration: Calibration
    held_out: LeaveOneOut


def score_candidates(
    counts: CooccurrenceCounts,
    X: RetainedRows,
    strengths: Sequence[float],
    priming_numbers: Sequence[float | str],
    fixed: Fixed,
    norm_exponent: float = 0.0,
) -> Iterator[Scored]:
    """Leave-one-out log-loss of all strengths and priming numbers of one exponent.

    Parameters
    ----------
    counts : CooccurrenceCounts
        Counts of all rows at `norm_exponent`.
    X : RetainedRows
        Counted rows, all or some, on which candidates are compared.
    strengths : sequence of float
        Smoothing strengths.
    priming_numbers : sequence of float or "mean_norm"
        K.
    fixed : Fixed
        What all candidates share.
    norm_exponent : float, default=0.0

    Yields
    ------
    scored : Scored
        Strength by strength, priming numbers within.
    """
    numbers = [
        (counts.mean_norm or 1.0) if number == "mean_norm" else float(number)
        for number in priming_numbers
    ]
    for strength in strengths:
        smoothed = smooth_counts(counts, fixed.smoothing, strength, fixed.blocks)
        held_out = leave_one_out(
            solve(smoothed),
            X.X,
            X.y,
            sample_weight=X.weights,
            norm_exponent=norm_exponent,
        )
        settled = (
            fixed.translation == "column"
            and fixed.beta is not None
            and fixed.norm_weight is not None
            and fixed.intercepts == "none"
        )
        if settled and len(held_out.y):
            assert fixed.beta is not None
            assert fixed.norm_weight is not None
            losses = priming_log_losses(
                held_out, numbers, fixed.beta, fixed.norm_weight
            )
            no_shift = np.zeros(counts.n_classes)
            for number, loss in zip(numbers, losses, strict=True):
                found = Calibration(
                    fixed.beta, fixed.norm_weight, no_shift, no_shift, float(loss)
                )
                yield Scored(strength, number, found, held_out)
            continue
        for number in numbers:
            found = calibrate(
                held_out,
                number,
                translation=fixed.translation,
                beta=fixed.beta,
                norm_weight=fixed.norm_weight,
                intercepts=fixed.intercepts,
                tol=_COMPARISON_TOL,
            )
            yield Scored(strength, number, found, held_out)


def priming_log_losses(
    held_out: LeaveOneOut,
    priming_numbers: Sequence[float],
    beta: FloatArray | float,
    norm_weight: float = 1.0,
) -> NDArray[np.float64]:
    """Leave-one-out log-loss at many priming numbers, all else given.

    Parameters
    ----------
    held_out : LeaveOneOut
        Leave-one-out scores.
    priming_numbers : sequence of float
        K, positive.
    beta : float or ndarray of shape (n_blocks,)
        Inverse temperatures.
    norm_weight : float, default=1.0
        gamma.

    Returns
    -------
    losses : ndarray of shape (n_priming_numbers,)
        In nats per unit of weight.

    Notes
    -----
    The scores are A + B/K under ``translation="column"``. With the own class taken off
    both, the loss of a row is log sum_i exp(A_i + B_i/K). Classes lie along the first
    axis, so that sums over them are sums of whole vectors. Exponentials are float32,
    which is several times faster: the loss of a row is right to about 1e-6 of the
    largest score that counts in it, and the mean over many rows to much less.
    """
    inverse = 1.0 / np.asarray(priming_numbers, dtype=float)
    n_rows, n_classes = held_out.log_count.shape
    betas = np.broadcast_to(np.asarray(beta, float), (len(held_out.evidence),))
    losses = np.zeros(len(inverse))
    for block in row_blocks(n_rows, n_classes, _CHUNK_VALUES):
        at, own = np.arange(block.stop - block.start), held_out.y[block]
        constant = np.tensordot(betas, held_out.evidence[:, block], axes=1)
        slope = held_out.log_count[block] + norm_weight * held_out.log_norm[block]
        slope *= held_out.norms[block, None]
        constant = (constant - constant[at, own][:, None]).T.astype(np.float32, "C")
        slope = (slope - slope[at, own][:, None]).T.astype(np.float32, "C")
        weights = held_out.weights[block]
        scores = np.empty_like(constant)
        # The own class has 0: below this bound no exponential overflows, and the
        # passes that find and take off the largest score can be saved.
        bound = float(constant.max()) + inverse.max() * max(float(slope.max()), 0.0)
        for j, value in enumerate(inverse):
            np.multiply(slope, np.float32(value), out=scores)
            scores += constant
            highest: FloatArray | float = 0.0
            if bound > _SAFE_EXPONENT:
                highest = scores.max(axis=0)
                scores -= highest
            np.exp(scores, out=scores)
            logs = np.log(scores.sum(axis=0)) + highest
            losses[j] += float((logs * weights).sum())
    return losses / float(held_out.weights.sum())
