"""The explicit part of a fitted classifier: counts, kept rows, and their solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.calibration.calibrate import Calibration, Intercepts, calibrate
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.calibration.sample import MOST_VALUES, RetainedRows, row_limit
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import Evidence, Layout, Translation, solve

# With more classes than this, rows do not suffice for an intercept each.
_MOST_INTERCEPTS = 1000


@dataclass(frozen=True, eq=False)
class Setting:
    """Parameters of a classifier that its explicit solution depends on."""

    priming_number: float | str
    inverse_temperature: Any
    smoothing: Any
    smoothing_strength: float
    norm_exponent: float
    norm_weight: float | str
    translation: str
    n_blocks: Any


@dataclass(frozen=True, eq=False)
class Solution:
    """A decoder and the numbers that were chosen for it."""

    decoder: Decoder
    priming_number: float
    calibration: Calibration


def count_and_keep(
    setting: Setting,
    X: Any,
    y: Any,
    n_classes: int,
    sample_weight: Any,
    limit: int | None = None,
) -> tuple[CooccurrenceCounts, RetainedRows]:
    """Count rows, and keep some where leave-one-out needs them, at most `limit`."""
    feature_blocks(X.shape[1], setting.n_blocks)  # raises before anything is done
    counts = CooccurrenceCounts.from_rows(
        X,
        y,
        n_classes,
        sample_weight=sample_weight,
        norm_exponent=setting.norm_exponent,
    )
    if not needs_rows(setting):
        limit = 0
    elif limit is None:
        limit = keep_limit(setting, X, n_classes)
    return counts, RetainedRows.draw(X, y, sample_weight, limit)


def needs_rows(setting: Setting) -> bool:
    """Whether anything is chosen by leave-one-out."""
    return _is_auto(setting) or setting.translation == "exact"


def keep_limit(setting: Setting, X: Any, n_classes: int) -> int:
    """How many rows such choices use; intercepts take more than one temperature."""
    n_blocks = len(feature_blocks(X.shape[1], setting.n_blocks))
    factor = 4 if setting.translation == "exact" else 1
    return row_limit(X, n_classes, n_blocks, most_values=factor * MOST_VALUES)


def solve_counts(
    setting: Setting,
    counts: CooccurrenceCounts,
    retained: RetainedRows,
    layout: Layout = "auto",
    chosen: Solution | None = None,
) -> Solution:
    """Solution of counts; with `chosen`, at its temperatures and intercepts again."""
    blocks = feature_blocks(counts.n_features, setting.n_blocks)
    smoothed = smooth_counts(
        counts, setting.smoothing, setting.smoothing_strength, blocks
    )
    priming_number: Any = setting.priming_number
    if priming_number == "mean_norm":
        # Rows without any feature leave no norm to divide by.
        priming_number = counts.mean_norm or 1.0
    evidence = solve(smoothed, layout)
    translation: Translation = (
        "column" if setting.translation == "column" else "intercept"
    )
    if chosen is None:
        found = _choose(setting, evidence, retained, priming_number, translation)
    else:
        found = chosen.calibration
    decoder = evidence.decoder(
        found.beta,
        priming_number,
        translation=translation,
        norm_weight=found.norm_weight,
        intercept_shift=found.intercept_shift,
        column_shift=found.column_shift,
        norm_exponent=setting.norm_exponent,
    )
    return Solution(decoder, float(priming_number), found)


def _choose(
    setting: Setting,
    evidence: Evidence,
    retained: RetainedRows,
    priming_number: float,
    translation: Translation,
) -> Calibration:
    n_blocks, n_classes = len(evidence.decoders), evidence.smoothed.counts.n_classes
    beta, gamma = given_numbers(setting, n_blocks)
    exact = setting.translation == "exact"
    if beta is not None and gamma is not None and not exact:
        no_shift = np.zeros(n_classes)
        return Calibration(beta, gamma, no_shift, no_shift, float("nan"))
    held_out = leave_one_out(
        evidence,
        retained.X,
        retained.y,
        sample_weight=retained.weights,
        norm_exponent=setting.norm_exponent,
    )
    each: Intercepts = "columns" if n_classes <= _MOST_INTERCEPTS else "exponent"
    return calibrate(
        held_out,
        priming_number,
        translation=translation,
        beta=beta,
        norm_weight=gamma,
        intercepts=each if exact else "none",
    )


def given_numbers(
    setting: Setting, n_blocks: int
) -> tuple[NDArray[np.float64] | None, float | None]:
    """Inverse temperatures and norm weight; None for what is to be chosen."""
    beta = _given_beta(setting, n_blocks)
    if not isinstance(setting.norm_weight, str):
        return beta, float(setting.norm_weight)
    if setting.translation == "exact":
        return beta, 0.0  # the fitted intercepts take its place
    return beta, None if beta is None else 1.0


def _given_beta(setting: Setting, n_blocks: int) -> NDArray[np.float64] | None:
    return given_temperatures(
        setting.inverse_temperature, n_blocks, "blocks of features"
    )


def given_temperatures(
    inverse_temperature: Any, n_parts: int, parts: str
) -> NDArray[np.float64] | None:
    """Inverse temperatures of the parts of a model, None if they are to be chosen."""
    if isinstance(inverse_temperature, str):
        return None
    given = np.asarray(inverse_temperature, dtype=float)
    if given.ndim and given.shape != (n_parts,):
        raise ValueError(
            "inverse_temperature must be a number or one number for each of the "
            f"{n_parts} {parts}, not an array of shape {given.shape}"
        )
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise ValueError(
            "inverse_temperature must be non-negative and finite, not "
            f"{inverse_temperature!r}"
        )
    return np.broadcast_to(given, (n_parts,)).copy()


def _is_auto(setting: Setting) -> bool:
    auto = setting.inverse_temperature
    return isinstance(auto, str) and auto == "auto"
