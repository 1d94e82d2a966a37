"""Search of hyper-parameters by leave-one-out, or by folds of subtracted counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import get_scorer

from explicit_softmax.calibration.leave_one_out import LeaveOneOut
from explicit_softmax.calibration.model import (
    Setting,
    given_numbers,
    keep_limit,
    needs_rows,
    solve_counts,
)
from explicit_softmax.calibration.sample import RetainedRows, row_limit
from explicit_softmax.calibration.search import Fixed, Scored, score_candidates
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.solution.smoothing import feature_blocks
from explicit_softmax.solution.theorem import Translation

# Candidates are compared on the same rows, so that fewer serve than for a final choice.
_SEARCH_SCORES = 2**18
_MOST_SEARCH_ROWS = 2048
_LEAST_SEARCH_ROWS = 1024


@dataclass(frozen=True)
class Grid:
    """Candidates, and the setting that they all share."""

    setting: Setting
    priming_numbers: list[Any]
    smoothing_strengths: list[float]
    norm_exponents: list[float]

    @classmethod
    def checked(
        cls, setting: Setting, priming: Any, strengths: Any, exponents: Any
    ) -> Grid:
        """Grid of parameters as the user gave them; ValueError names what is wrong."""
        values = {
            "priming_numbers": _listed(priming),
            "smoothing_strengths": _listed(strengths),
            "norm_exponents": _listed(exponents),
        }
        for name, listed in values.items():
            if not listed:
                raise ValueError(f"{name} is empty: give at least one candidate")
            for value in listed:
                if name == "priming_numbers" and value == "mean_norm":
                    continue
                lowest_is_open = name != "norm_exponents"
                good = isinstance(value, Real) and np.isfinite(float(value))
                if not good or value < 0 or (value == 0 and lowest_is_open):
                    raise ValueError(
                        f"{name} must be {'positive' if lowest_is_open else '>= 0'} "
                        f"and finite, and it has {value!r}"
                    )
        return cls(
            setting,
            values["priming_numbers"],
            values["smoothing_strengths"],
            values["norm_exponents"],
        )

    def candidates(self) -> Iterator[dict[str, Any]]:
        """Parameters of each candidate, norm exponents outermost."""
        for exponent, strength, number in product(
            self.norm_exponents, self.smoothing_strengths, self.priming_numbers
        ):
            yield {
                "norm_exponent": exponent,
                "smoothing_strength": strength,
                "priming_number": number,
            }


@dataclass(frozen=True, eq=False)
class SelectionResult:
    """Outcome of a search."""

    best: dict[str, Any]
    best_score: float
    results: dict[str, Any]
    details: dict[str, Any]


def select_by_leave_one_out(
    grid: Grid,
    rows: Any,
    codes: NDArray[np.intp],
    classes: NDArray[Any],
    weights: NDArray[np.float64] | None,
    scoring: str | Callable[..., float],
    n_jobs: int | None,
) -> SelectionResult:
    """Score all candidates on rows that each leave themselves out."""
    setting = grid.setting
    blocks = feature_blocks(rows.shape[1], setting.n_blocks)
    limit = max(
        row_limit(
            rows,
            len(classes),
            len(blocks),
            most_rows=_MOST_SEARCH_ROWS,
            most_scores=_SEARCH_SCORES,
        ),
        _LEAST_SEARCH_ROWS,
    )
    index = np.arange(len(codes))[:, None]
    drawn = RetainedRows.draw(index, codes, weights, limit)
    kept = drawn.X.ravel()
    search = RetainedRows(rows[kept], drawn.y, drawn.weights)
    translation: Translation = (
        "column" if setting.translation == "column" else "intercept"
    )
    # What "exact" translates and shifts is fitted for the best candidate alone.
    beta, gamma = given_numbers(setting, len(blocks))
    fixed = Fixed(setting.smoothing, blocks, translation, beta, gamma, "none")
    metric = None if scoring == "neg_log_loss" else get_scorer(scoring)

    def score_exponent(exponent: float) -> list[tuple[float, NDArray[np.float64]]]:
        counts = CooccurrenceCounts.from_rows(
            rows, codes, len(classes), sample_weight=weights, norm_exponent=exponent
        )
        scored = score_candidates(
            counts,
            search,
            grid.smoothing_strengths,
            grid.priming_numbers,
            fixed,
            exponent,
        )
        return [_score(one, translation, classes, metric) for one in scored]

    columns = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(score_exponent)(exponent) for exponent in grid.norm_exponents
    )
    flat = [pair for column in columns for pair in column]
    scores = np.array([score for score, _ in flat])
    filled = _filled(search.X)
    details = {
        "row_log_likelihood": np.array([row for _, row in flat]),
        "row_index": kept[filled],
    }
    return _result(grid, scores, details)


def select_by_folds(
    grid: Grid,
    rows: Any,
    codes: NDArray[np.intp],
    classes: NDArray[Any],
    weights: NDArray[np.float64] | None,
    folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]],
    scoring: str | Callable[..., float],
    n_jobs: int | None,
) -> SelectionResult:
    """Score all candidates on folds, with the counts of all less those of the fold."""
    n_classes = len(classes)
    metric = None if scoring == "neg_log_loss" else get_scorer(scoring)

    def part(members: NDArray[np.intp]) -> tuple[Any, Any, Any]:
        weight = None if weights is None else weights[members]
        return rows[members], codes[members], weight

    def count(members: NDArray[np.intp], exponent: float) -> CooccurrenceCounts:
        held, labels, weight = part(members)
        return CooccurrenceCounts.from_rows(
            held, labels, n_classes, sample_weight=weight, norm_exponent=exponent
        )

    def score_fold(
        train: NDArray[np.intp],
        test: NDArray[np.intp],
        totals: list[CooccurrenceCounts],
    ) -> list[float]:
        test_rows, test_codes, test_weight = part(test)
        scores = []
        retained: RetainedRows | None = None
        candidates = list(grid.candidates())
        size = len(candidates) // len(grid.norm_exponents)
        # A splitter may leave rows out of both sides, or repeat them.
        is_partition = len(train) + len(test) == len(codes) and np.array_equal(
            np.sort(np.concatenate((train, test))), np.arange(len(codes))
        )
        for e, exponent in enumerate(grid.norm_exponents):
            counts = (
                totals[e] - count(test, exponent)
                if is_partition
                else count(train, exponent)
            )
            for candidate in candidates[e * size : (e + 1) * size]:
                setting = replace(grid.setting, **candidate)
                if retained is None:
                    limit = 0
                    if needs_rows(setting):
                        limit = keep_limit(setting, rows[train], n_classes)
                    retained = RetainedRows.draw(*part(train), limit)
                solution = solve_counts(setting, counts, retained)
                decoder = solution.decoder.astype(rows.dtype)
                if test_weight is not None and not test_weight.any():
                    score = np.nan
                elif metric is None:
                    score = -log_loss(decoder, test_rows, test_codes, test_weight)
                else:
                    keywords = (
                        {} if test_weight is None else {"sample_weight": test_weight}
                    )
                    score = metric(
                        _Scores(classes, decoder),
                        test_rows,
                        classes[test_codes],
                        **keywords,
                    )
                scores.append(float(score))
        return scores

    everything = np.arange(len(codes))
    totals = [count(everything, exponent) for exponent in grid.norm_exponents]
    by_fold = np.array(
        Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(score_fold)(train, test, totals) for train, test in folds
        )
    )
    details = {f"split{i}_test_score": row for i, row in enumerate(by_fold)}
    details["std_test_score"] = np.nanstd(by_fold, axis=0)
    return _result(grid, np.nanmean(by_fold, axis=0), details)


def _score(
    scored: Scored, translation: Any, classes: NDArray[Any], metric: Any
) -> tuple[float, NDArray[np.float64]]:
    """Score of a candidate, and the leave-one-out log-likelihood of each row."""
    held_out: LeaveOneOut = scored.held_out
    found = scored.calibration
    scores = held_out.scores(
        found.beta, scored.priming_number, translation, found.norm_weight
    )
    at = np.arange(len(held_out.y))
    highest = scores.max(axis=1)
    spread = np.exp(scores - highest[:, None]).sum(axis=1)
    rows = scores[at, held_out.y] - highest - np.log(spread)
    if metric is None:
        return -found.log_loss, rows
    fake = _Scores(classes, None)
    return (
        float(
            metric(
                fake,
                scores,
                classes[held_out.y],
                sample_weight=held_out.weights,
            )
        ),
        rows,
    )


class _Scores(ClassifierMixin, BaseEstimator):
    """A fitted classifier for scorers: a decoder, or scores passed as features."""

    def __init__(self, classes: Any, decoder: Decoder | None) -> None:
        self.classes = classes
        self.decoder = decoder
        self.classes_ = classes

    def decision_function(self, X: Any) -> Any:
        scores = X if self.decoder is None else self.decoder.scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> Any:
        scores = X if self.decoder is None else self.decoder.scores(X)
        return softmax(scores, axis=1)

    def predict(self, X: Any) -> Any:
        scores = X if self.decoder is None else self.decoder.scores(X)
        return self.classes_[scores.argmax(axis=1)]


def _result(
    grid: Grid, scores: NDArray[np.float64], details: dict[str, Any]
) -> SelectionResult:
    params = list(grid.candidates())
    # Rows without any feature leave nothing to compare by.
    best = 0 if np.isnan(scores).all() else int(np.nanargmax(scores))
    ranks = rankdata(-np.nan_to_num(scores, nan=-np.inf), method="min")
    results: dict[str, Any] = {"params": params}
    for name in params[0]:
        results[f"param_{name}"] = np.array([p[name] for p in params], dtype=object)
    results["mean_test_score"] = scores
    results["rank_test_score"] = ranks.astype(np.int32)
    return SelectionResult(params[best], float(scores[best]), results, details)


def _filled(rows: Any) -> NDArray[np.intp]:
    sums = np.asarray(rows.sum(axis=1)).ravel()
    return np.flatnonzero(sums > 0)


def _listed(values: Any) -> list[Any]:
    if isinstance(values, str):
        return [values]
    if sp.issparse(values) or np.ndim(np.asarray(values, dtype=object)) != 1:
        raise ValueError(f"grids must be one-dimensional, not {values!r}")
    return [v.item() if isinstance(v, np.generic) else v for v in values]
