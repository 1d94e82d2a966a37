"""On real data, what is held fixed while a row is out does not matter."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits

from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.leave_one_out import LeaveOneOut, leave_one_out
from explicit_softmax.calibration.search import priming_log_losses
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import smooth_counts
from explicit_softmax.solution.theorem import solve

N_CLASSES = 10


def refit_without_each(rows, codes, smoothing, norm_exponent):
    """Leave-one-out scores from models that recompute everything without the row."""
    evidence = np.empty((1, len(codes), N_CLASSES))
    log_count = np.empty((len(codes), N_CLASSES))
    log_norm = np.empty_like(log_count)
    scale = rows.sum(axis=1) ** -norm_exponent
    for m in range(len(codes)):
        rest = np.arange(len(codes)) != m
        counts = CooccurrenceCounts.from_rows(
            rows[rest], codes[rest], N_CLASSES, norm_exponent=norm_exponent
        )
        smoothed = smooth_counts(counts, smoothing)
        decoder = solve(smoothed).decoders[0]
        evidence[0, m] = decoder.scores(rows[m : m + 1])[0] * scale[m]
        log_count[m], log_norm[m] = smoothed.log_count, smoothed.log_norm
    norms = rows.sum(axis=1) * scale
    return LeaveOneOut(
        evidence,
        log_count,
        log_norm,
        np.log(np.bincount(codes) / len(codes)),
        norms,
        codes,
        np.ones(len(codes)),
    )


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
def test_chosen_temperature_is_that_of_full_refits(smoothing, norm_exponent, as_rows):
    rows, codes = load_digits(return_X_y=True)
    rows, codes = rows[:500], codes[:500]
    counts = CooccurrenceCounts.from_rows(
        as_rows(rows), codes, N_CLASSES, norm_exponent=norm_exponent
    )
    shortcut = leave_one_out(
        solve(smooth_counts(counts, smoothing)),
        as_rows(rows),
        codes,
        norm_exponent=norm_exponent,
    )
    refits = refit_without_each(rows, codes, smoothing, norm_exponent)
    chosen = calibrate(shortcut, counts.mean_norm)
    expected = calibrate(refits, counts.mean_norm)
    np.testing.assert_allclose(chosen.beta, expected.beta, rtol=2e-3)
    assert chosen.log_loss == pytest.approx(expected.log_loss, rel=2e-3)


def test_priming_numbers_are_scored_as_one_by_one():
    rows, codes = load_digits(return_X_y=True)
    rows, codes = rows[:400] + 1, codes[:400]
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(codes))
    counts = CooccurrenceCounts.from_rows(rows, codes, 10, sample_weight=weight)
    held_out = leave_one_out(
        solve(smooth_counts(counts, "prior")), rows, codes, sample_weight=weight
    )
    numbers = [0.5, 7.0, counts.mean_norm, 1e6]
    for beta, gamma in ((1.0, 1.0), (0.05, 0.3)):  # with and without large scores
        losses = priming_log_losses(held_out, numbers, beta, gamma)
        expected = [
            calibrate(
                held_out, number, beta=np.array([beta]), norm_weight=gamma
            ).log_loss
            for number in numbers
        ]
        np.testing.assert_allclose(losses, expected, rtol=1e-6)
