"""Candidates of hyper-parameters by exact leave-one-out, or by folds.

Candidates share what they have in common: the counts of a norm exponent serve all
smoothing strengths, and the logarithms and the product H log F of a strength serve all
priming numbers. A priming number costs one pass over n_rows x n_classes scores where
everything else is given, and a convex fit in a few numbers where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product, repeat
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.typing import NDArray

from explicit_softmax.calibration.calibrate import COMPARISON_TOL, WarmStart, calibrate
from explicit_softmax.calibration.leave_one_out import LeaveOneOut, leave_one_out_each
from explicit_softmax.calibration.model import ExplicitModel, Settings
from explicit_softmax.calibration.sample import BUDGETS, RowSample
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    FloatArray,
    IntArray,
    Rows,
    counted_rows,
    row_blocks,
    row_norms,
    without_empty_columns,
)
from explicit_softmax.solution.decoder import best_ordered
from explicit_softmax.solution.loss import cross_entropy_residual, log_loss
from explicit_softmax.solution.smoothing import restricted_blocks, smooth_counts
from explicit_softmax.solution.theorem import Calibration, is_sparse_layout

# Scores of a chunk of test rows stay in cache.
_CHUNK_VALUES = 2**16

# From this number of norm exponents on, it pays to look places of counts up.
_FEW_EXPONENTS = 3


@dataclass(frozen=True)
class Grid:
    """Candidates, and the settings that they share."""

    settings: Settings
    priming_numbers: list[Any]
    smoothing_strengths: list[float]
    norm_exponents: list[float]

    @classmethod
    def checked(
        cls, settings: Settings, priming: Any, strengths: Any, exponents: Any
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
            may_be_zero = name == "norm_exponents"
            for value in listed:
                if name == "priming_numbers" and value == "mean_norm":
                    continue
                good = isinstance(value, Real) and np.isfinite(float(value))
                if not good or value < 0 or (value == 0 and not may_be_zero):
                    raise ValueError(
                        f"{name} must be {'>= 0' if may_be_zero else 'positive'} and "
                        f"finite, and it has {value!r}"
                    )
        return cls(settings, *values.values())

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
class Scored:
    """What was chosen for a candidate, its leave-one-out log-loss, and the scores."""

    calibration: Calibration
    log_loss: float
    held_out: LeaveOneOut

    @property
    def scores(self) -> NDArray[np.float64]:
        """Leave-one-out scores (n_rows, n_classes), up to a constant per row."""
        return self.held_out.scores(self.calibration)


def score_by_leave_one_out(
    grid: Grid,
    count: Callable[[float], CooccurrenceCounts],
    sample: RowSample,
    score: Callable[[Scored], Any],
    n_jobs: int | None = None,
) -> list[Any]:
    """What `score` says of each candidate, in the order of `Grid.candidates`.

    `count` gives the counts of all rows for a norm exponent, see `counting`. Candidates
    are compared on the rows of `sample`, each left out in turn. Intercepts of single
    classes are left to the final choice.
    """
    settings = grid.settings
    n_blocks = len(settings.blocks(sample.X.shape[1]))
    beta, norm_weight = settings.given_numbers(n_blocks)

    def score_exponent(exponent: float) -> list[Any]:
        counts = count(exponent)
        mean_norm = counts.mean_norm or 1.0
        numbers = [
            mean_norm if number == "mean_norm" else float(number)
            for number in grid.priming_numbers
        ]
        results = []
        for held_out in _held_out_each(grid, counts, sample, exponent):
            for number in numbers:
                choice = calibrate(
                    held_out,
                    number,
                    translation=settings.calibrated_translation,
                    beta=beta,
                    norm_weight=norm_weight,
                    tol=COMPARISON_TOL,
                )
                results.append(score(Scored(*choice, held_out)))
        return results

    columns = Parallel(n_jobs=n_jobs, prefer="threads")(
        delayed(score_exponent)(exponent) for exponent in grid.norm_exponents
    )
    return [result for column in columns for result in column]


@dataclass(frozen=True, eq=False)
class Fold:
    """Test rows of a fold, and what the models of some counts share of them.

    Parameters
    ----------
    members : ndarray of int, shape (n_rows,)
        Their numbers.
    X : ndarray or csr_array of shape (n_rows, n_features)
        The rows; those of `features` only.
    features : ndarray of int, shape (n_features,)
        Numbers of the features that any of them has; None: all features.
    cooccurrence : csr_array of shape (n_features, n_classes), default=None
        Counts of `features` in the other rows.
    parts : sequence of tuple
        Which rows, their norms, and their features of each block, as they are best
        multiplied; some rows at a time.
    """

    members: IntArray
    X: Rows
    features: IntArray | None
    cooccurrence: Any = None
    parts: Sequence[tuple[slice, FloatArray, list[Rows]]] = ()

    @classmethod
    def of(cls, X: Rows, members: IntArray, keeps_all: bool) -> Fold:
        """Some of the rows; `keeps_all`: with all features."""
        rows = X[members]
        if keeps_all or not sp.issparse(rows):
            return cls(members, rows, None)
        return cls(members, *without_empty_columns(sp.csr_array(rows)))

    def scored_by(self, counts: CooccurrenceCounts, settings: Settings) -> Fold:
        """The fold for models of these counts."""
        if self.features is None:
            return self
        cooccurrence = counts.cooccurrence[self.features]
        restricted = replace(counts, cooccurrence=cooccurrence)
        is_sparse = is_sparse_layout(restricted, "auto")
        blocks = restricted_blocks(settings.blocks(counts.n_features), self.features)
        parts = []
        for rows in row_blocks(len(self.members), counts.n_classes, _CHUNK_VALUES):
            X = self.X[rows]
            each = [X] if len(blocks) == 1 else [X[:, block] for block in blocks]
            ordered = [
                best_ordered(part, cooccurrence[block])
                if is_sparse
                else sp.csc_array(part)
                for part, block in zip(each, blocks, strict=True)
            ]
            parts.append((rows, row_norms(X), ordered))
        return replace(self, cooccurrence=cooccurrence, parts=parts)

    def log_loss(
        self, model: ExplicitModel, y: IntArray, sample_weight: FloatArray | None = None
    ) -> float:
        """Weighted mean log-loss of these rows in nats."""
        if self.features is None:
            return log_loss(model.decoders, self.X, y, sample_weight)
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        parts = ((norms, blocks) for _, norms, blocks in self.parts)
        each = model.scores_of(parts, self.features, self.cooccurrence)
        total = 0.0
        for (rows, *_), scores in zip(self.parts, each, strict=True):
            losses, _ = cross_entropy_residual(scores, y[rows])
            total += float(losses @ weight[rows])
        return total / float(weight.sum())


def score_by_folds(
    grid: Grid,
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None,
    n_classes: int,
    folds: Sequence[tuple[IntArray, IntArray]],
    score: Callable[[ExplicitModel, Fold], float],
    n_jobs: int | None = None,
) -> NDArray[np.float64]:
    """Scores of each fold and candidate, with the counts of all less those of the fold.

    `score` takes a model and the test rows of positive weight. The result has shape
    (n_folds, n_candidates), with NaN for folds without such rows.
    """

    def part(members: IntArray) -> tuple[Any, Any, Any]:
        weight = None if sample_weight is None else sample_weight[members]
        return X[members], y[members], weight

    def count(members: IntArray, exponent: float) -> CooccurrenceCounts:
        rows, labels, weight = part(members)
        return CooccurrenceCounts.from_rows(
            rows, labels, n_classes, sample_weight=weight, norm_exponent=exponent
        )

    def score_fold(
        train: IntArray, test: IntArray, totals: list[CooccurrenceCounts]
    ) -> list[float]:
        scored = test if sample_weight is None else test[sample_weight[test] > 0]
        if not len(scored):
            return [np.nan] * len(list(grid.candidates()))
        fold = Fold.of(X, scored, grid.settings.smoothing == "noise")
        rows, labels, weight = part(train)
        sample = RowSample.from_rows(rows, labels, weight, limit)
        # A splitter may leave rows out of both sides, or repeat them.
        both = np.sort(np.concatenate((train, test)))
        is_partition = np.array_equal(both, np.arange(len(y)))
        scores = []
        for exponent, total in zip(grid.norm_exponents, totals, strict=True):
            counts = (
                total - count(test, exponent)
                if is_partition
                else count(train, exponent)
            )
            counted, warm = fold.scored_by(counts, grid.settings), WarmStart()
            for model, held_out in _models(grid, counts, sample, exponent, X.dtype):
                solved = replace(model, choice=model.choose(held_out, warm))
                scores.append(score(solved, counted))
        return scores

    # All candidates need samples of the same size: strengths are given in each.
    first = replace(grid.settings, **next(grid.candidates()))
    limit = first.sample_limit(X.shape[1], n_classes)
    if limit.n_rows:
        n_blocks = len(first.blocks(X.shape[1]))
        limit = BUDGETS["candidates"].limit(n_classes * n_blocks)
    total = counting(grid, X, y, n_classes, sample_weight)
    totals = [total(exponent) for exponent in grid.norm_exponents]
    return np.array(
        Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(score_fold)(np.asarray(train), np.asarray(test), totals)
            for train, test in folds
        )
    )


def counting(
    grid: Grid,
    X: Rows,
    y: IntArray,
    n_classes: int,
    sample_weight: FloatArray | None,
) -> Callable[[float], CooccurrenceCounts]:
    """Counts of all rows as a function of the norm exponent."""
    if sp.issparse(X) and len(grid.norm_exponents) >= _FEW_EXPONENTS:
        return counted_rows(X, y, n_classes, sample_weight, grid.norm_exponents[0])

    def counted(exponent: float) -> CooccurrenceCounts:
        return CooccurrenceCounts.from_rows(
            X, y, n_classes, sample_weight=sample_weight, norm_exponent=exponent
        )

    return counted


def _held_out_each(
    grid: Grid, counts: CooccurrenceCounts, sample: RowSample, exponent: float
) -> Iterator[LeaveOneOut]:
    """Leave-one-out scores of the sample by each of the smoothing strengths."""
    blocks = grid.settings.blocks(counts.n_features)
    return leave_one_out_each(
        (
            smooth_counts(counts, grid.settings.smoothing, strength, blocks)
            for strength in grid.smoothing_strengths
        ),
        sample.X,
        sample.y,
        sample_weight=sample.weights,
        norm_exponent=exponent,
    )


def _models(
    grid: Grid,
    counts: CooccurrenceCounts,
    sample: RowSample,
    exponent: float,
    dtype: Any,
) -> Iterator[tuple[ExplicitModel, LeaveOneOut | None]]:
    """Model of each candidate of a norm exponent, and its leave-one-out scores.

    None in place of these where there are no rows, because everything is given.
    """
    each: Iterator[LeaveOneOut | None] = repeat(None)
    if sample.limit.n_rows:
        each = _held_out_each(grid, counts, sample, exponent)
    for strength, held_out in zip(grid.smoothing_strengths, each, strict=False):
        part = replace(grid, norm_exponents=[exponent], smoothing_strengths=[strength])
        for candidate in part.candidates():
            settings = replace(grid.settings, **candidate)
            yield ExplicitModel(counts, sample, settings, dtype), held_out


def _listed(values: Any) -> list[Any]:
    if isinstance(values, str):
        return [values]
    if sp.issparse(values) or np.ndim(np.asarray(values, dtype=object)) != 1:
        raise ValueError(f"grids must be one-dimensional, not {values!r}")
    return [v.item() if isinstance(v, np.generic) else v for v in values]
