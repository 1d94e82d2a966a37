"""ExplicitModel: counts, a sample of the counted rows, and how they are solved.

What `fit`, `partial_fit`, `merge`, and `forget` of the estimators do is arithmetic of
these models. They never change: each operation makes a new one, and a solution belongs
to the model from which it was made.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from operator import add, sub
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.calibration.calibrate import (
    FIRST_STRENGTH,
    Intercepts,
    WarmStart,
    best_strength,
    calibrate,
)
from explicit_softmax.calibration.feature_temperature import (
    FEATURE_ITERATIONS,
    GROUP_ITERATIONS,
    FeatureEvidence,
    chosen_temperatures,
    has_groups,
    own_margins,
)
from explicit_softmax.calibration.leave_one_out import LeaveOneOut, leave_one_out
from explicit_softmax.calibration.sample import (
    BUDGETS,
    NO_ROWS,
    Limit,
    RowSample,
    key_numbers,
    row_keys,
)
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    FloatArray,
    IntArray,
    Rows,
    row_products,
    row_scale,
)
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.progress import listener
from explicit_softmax.solution.smoothing import (
    SmoothedCounts,
    feature_blocks,
    log_class_frequency,
    smooth_counts,
)
from explicit_softmax.solution.theorem import (
    Calibration,
    Layout,
    Translation,
    block_log_likelihood,
    evidence_decoder,
    explicit_decoder,
)

# With more classes than this, or less than two sampled rows for each, these do not
# suffice for intercepts of single classes.
_MOST_INTERCEPTS = 1000

# Powers of ten between which a parameter is not blamed for weights that overflow.
_EXTREME = 30


@dataclass(frozen=True, eq=False)
class Settings:
    """Parameters of an estimator on which counts and solution depend.

    They are those of `ExplicitSoftmaxClassifier`. `row_norm` is the norm of all rows
    where they have the same norm, in equal parts in all blocks.
    """

    priming_number: Any
    inverse_temperature: Any
    smoothing: Any
    smoothing_strength: Any
    norm_exponent: float
    translation: str
    n_blocks: Any
    row_norm: float | None = None
    class_weight: Any = None

    @property
    def calibrated_translation(self) -> Translation:
        """Where the class prior stands: fitted translations include an intercept."""
        return "column" if self.translation == "column" else "intercept"

    @property
    def is_by_frequency(self) -> bool:
        """Whether features of like document frequency have a temperature of theirs."""
        given = self.inverse_temperature
        return isinstance(given, str) and given in ("frequency", "feature")

    @property
    def is_by_feature(self) -> bool:
        """Whether every feature has a temperature of its own."""
        return self.is_by_frequency and self.inverse_temperature == "feature"

    @property
    def given_strength(self) -> float | None:
        """Smoothing strength, None if it is to be chosen."""
        if self.smoothing not in ("prior", "uniform"):
            return FIRST_STRENGTH  # has no effect
        strength = self.smoothing_strength
        return None if isinstance(strength, str) else float(strength)

    def blocks(self, n_features: int) -> tuple[slice, ...]:
        """Blocks of all features; ValueError if `n_blocks` does not fit them."""
        return feature_blocks(n_features, self.n_blocks)

    def given_numbers(
        self, n_blocks: int
    ) -> tuple[NDArray[np.float64] | None, float | None]:
        """Inverse temperatures and norm weight, None for what is to be chosen."""
        beta = given_temperatures(
            self.inverse_temperature, n_blocks, "blocks of features"
        )
        if self.translation == "exact":
            return beta, 0.0  # the fitted intercepts take its place
        if beta is not None or self.row_norm is not None:
            return beta, 1.0
        return beta, None

    def extremes(self) -> str:
        """The given numbers that are extreme, or else the features, to be blamed."""
        names = ["priming_number", "inverse_temperature", "smoothing_strength"]
        given = {name: getattr(self, name) for name in names}
        extreme = [
            f"{name}={value!r}"
            for name, value in given.items()
            if not isinstance(value, str)
            and not np.all(np.abs(np.log10(np.maximum(value, 1e-300))) < _EXTREME)
            and np.any(value)
        ]
        if extreme:
            return f"choose {' and '.join(extreme)} less extreme"
        return "bring the features to another unit"

    @property
    def n_steps(self) -> int:
        """Steps of counting and solving that are told: at most, but for searches."""
        if not self.is_by_frequency:
            return 2
        return 3 + (FEATURE_ITERATIONS if self.is_by_feature else GROUP_ITERATIONS)

    def sample_limit(self, n_features: int, n_classes: int) -> Limit:
        """How many rows the choices need."""
        n_blocks = len(self.blocks(n_features))
        fits_intercepts = self.translation == "exact"
        beta, _ = self.given_numbers(n_blocks)
        if not (fits_intercepts or beta is None or self.given_strength is None):
            return NO_ROWS
        if self.is_by_feature:
            return BUDGETS["features"].limit(n_classes)
        return self.common_limit(n_classes * n_blocks)

    def common_limit(self, scores_per_row: int) -> Limit:
        """How many rows choose one temperature for a block, and intercepts."""
        name = "intercepts" if self.translation == "exact" else "temperature"
        budget = BUDGETS[name if self.row_norm is None else "windows"]
        return budget.limit(scores_per_row)


@dataclass(frozen=True, eq=False)
class Choice:
    """What leave-one-out chose, or what was given: then `log_loss` is NaN (in nats).

    The inverse temperatures of `calibration` are those of blocks or of all features.
    """

    calibration: Calibration
    smoothing_strength: float
    log_loss: float


@dataclass(frozen=True, eq=False)
class Solution:
    """The decoder of a model, and what was chosen for it."""

    decoder: Decoder
    choice: Choice


@dataclass(frozen=True, eq=False)
class Refined:
    """What a model keeps of a refinement: dense layers, and how they came about.

    `validation_scores` are mean log-likelihoods of the validation rows in nats by
    iteration, None without such rows. `n_iter` is at least 1.
    """

    decoders: tuple[Decoder, ...]
    loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] | None = None
    n_iter: int = 1


@dataclass(frozen=True, eq=False)
class ExplicitModel:
    """What a fitted estimator has: counts of all rows, and a sample of these rows.

    Parameters
    ----------
    counts : CooccurrenceCounts
    sample : RowSample
    settings : Settings
        How the rows were counted and the model is solved.
    dtype : dtype
        Type of the decoder.
    layout : {"auto", "dense", "sparse"}, default="auto"
        As in `explicit_decoder`.
    choice : Choice, default=None
        Numbers of an earlier solution to keep; by default, they are chosen.
    refined : Refined, default=None
        Decoders that a refinement made of the solution.
    prior : ndarray of shape (n_classes,), default=None
        Class probabilities in place of the class frequencies of the rows, by which
        everything is chosen and refined: they enter the predictions alone.
    """

    counts: CooccurrenceCounts
    sample: RowSample
    settings: Settings
    dtype: Any
    layout: Layout = "auto"
    choice: Choice | None = None
    refined: Refined | None = None
    prior: NDArray[np.float64] | None = None

    @classmethod
    def from_rows(
        cls,
        X: Rows,
        y: IntArray,
        n_classes: int,
        settings: Settings,
        sample_weight: FloatArray | None = None,
        limit: Limit | None = None,
        counts: CooccurrenceCounts | None = None,
    ) -> ExplicitModel:
        """Count rows, and sample as many as `limit` allows; None: as `settings` need.

        `counts` are those of the rows where they are known. Raises ValueError if a
        feature is negative or not finite, or if the blocks or the inverse temperatures
        of `settings` do not fit the features.
        """
        if limit is None:
            limit = settings.sample_limit(X.shape[1], n_classes)
        norms = keys = None
        if limit.n_rows:
            # One pass for the norms and the keys of the rows.
            products = row_products(X, key_numbers(X.shape[1]))
            norms, keys = products[:, 0], row_keys(X, y, products)
        if counts is None:
            counts = CooccurrenceCounts.from_rows(
                X,
                y,
                n_classes,
                sample_weight=sample_weight,
                norm_exponent=settings.norm_exponent,
                norms=norms,
            )
        sample = RowSample.from_rows(X, y, sample_weight, limit, keys)
        listener()(1)
        return cls(counts, sample, settings, X.dtype)

    def counted(
        self,
        X: Rows,
        y: IntArray,
        sample_weight: FloatArray | None = None,
        limit: Limit | None = None,
    ) -> ExplicitModel:
        """Model of other rows, with the settings of this one, as `from_rows` makes it.

        Rows become sparse where the counts are: dense rows would fill these.
        """
        if self.counts.is_sparse and not sp.issparse(X):
            X = sp.csr_array(X)
        n_classes = self.counts.n_classes
        return self.from_rows(X, y, n_classes, self.settings, sample_weight, limit)

    def __add__(self, other: ExplicitModel) -> ExplicitModel:
        """Model of the rows of both; ValueError says what keeps them apart."""
        message = "models with different {name} cannot be merged: {} and {}"
        model = self._combined(other, add, "merge", message)
        return replace(model, dtype=np.result_type(self.dtype, other.dtype))

    def __sub__(self, other: ExplicitModel) -> ExplicitModel:
        """Model without the rows of `other`, whose sample must hold all of them."""
        message = "rows counted with different {name} cannot go: {} and {}"
        return self._combined(other, sub, "forget", message)

    def _combined(
        self,
        other: ExplicitModel,
        operation: Callable[[Any, Any], Any],
        method: str,
        message: str,
    ) -> ExplicitModel:
        self.check_additive(method)
        other.check_additive(method)
        self.check_settings(other.settings, message)
        counts = operation(self.counts, other.counts)
        sample = operation(self.sample, other.sample)
        return replace(self, counts=counts, sample=sample, choice=None)

    def check_additive(self, method: str) -> None:
        """ValueError if the model cannot change with its counts."""
        if self.refined is not None:
            raise ValueError(
                f"{method} changes counts, and this model was refined: it no longer "
                "follows from its counts. Fit again with warm_start=False."
            )
        if self.settings.is_by_feature:
            raise ValueError(
                f'{method} cannot choose inverse_temperature="feature", which takes '
                'all rows at once: use fit, or inverse_temperature="frequency"'
            )
        if isinstance(self.settings.class_weight, str):
            raise ValueError(
                f"{method} needs weights that do not depend on the other rows, and "
                "class_weight='balanced' depends on all: give class_weight as a dict"
            )
        wanted = self.settings.sample_limit(*self.shape)
        if wanted.n_rows and not self.sample.limit.n_rows:
            raise ValueError(
                f"{method} chooses again by sampled rows, and this model was saved "
                "without them: save it with keep_rows=True, or fit again"
            )

    def check_settings(self, settings: Settings, message: str) -> None:
        """ValueError if other settings differ; `message` has {name} and two values."""
        for name, value in vars(self.settings).items():
            other = getattr(settings, name)
            if not np.array_equal(value, other):
                raise ValueError(message.format(repr(value), repr(other), name=name))

    @cached_property
    def solution(self) -> Solution:
        """The explicit solution, made when it is first read."""
        choice = self.choose() if self.choice is None else self.choice
        return Solution(self._decoder(choice), choice)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_features, n_classes)."""
        return self.counts.n_features, self.counts.n_classes

    @property
    def is_solved(self) -> bool:
        """Whether everything is chosen and written down."""
        return "solution" in vars(self) or self.refined is not None

    @property
    def chosen(self) -> Choice:
        """What was chosen or given; where it is known, the model is not solved."""
        return self.solution.choice if self.choice is None else self.choice

    @property
    def decoders(self) -> tuple[Decoder, ...]:
        """What predicts: the refined decoder, or that of the solution."""
        if self.refined is not None:
            *before, last = self.refined.decoders
        else:
            before, last = [], self.solution.decoder
        if self.prior is not None:
            shift = np.log(self.prior) - log_class_frequency(self.counts.class_count)
            last = last.shifted((shift - shift.mean()).astype(last.intercept.dtype))
        return (*before, last)

    def scores_of(
        self,
        parts: Iterable[tuple[FloatArray, Sequence[Rows]]],
        features: IntArray,
        cooccurrence: Any,
    ) -> Iterator[NDArray[np.float64]]:
        """Scores of rows that have these features alone, up to a constant each.

        Those of the decoder, which takes longer to write down than these. For
        temperatures of blocks, and not for "noise", which spreads rows over all
        features.

        Parameters
        ----------
        parts : iterable of tuple
            Norms of some rows, (n_rows,), and the features of each block, CSR or CSC.
        features : ndarray of int, shape (n_features,)
            Numbers of the features, increasing.
        cooccurrence : ndarray or csr_array of shape (n_features, n_classes)
            Their raw counts.
        """
        choice, exponent = self.chosen, self.settings.norm_exponent
        smoothed = self._smoothed(choice.smoothing_strength)
        smoothed = smoothed.restricted(features, cooccurrence)
        n_blocks = len(smoothed.blocks)
        log_probs = [block_log_likelihood(smoothed, b) for b in range(n_blocks)]
        prior = smoothed.log_count, smoothed.log_norm
        for norms, blocks in parts:
            scale = np.asarray(row_scale(norms, exponent))[:, None]
            with np.errstate(over="ignore", invalid="ignore"):  # reported below
                said = [
                    log_prob.scores(X)
                    for log_prob, X in zip(log_probs, blocks, strict=True)
                ]
                for part in said:
                    part *= scale
                scores = choice.calibration.scores(said, norms[:, None] * scale, *prior)
            self._check_range(scores)
            scores[norms == 0] = smoothed.log_count
            yield scores

    @property
    def evidence(self) -> Decoder:
        """Beta times log F~ - log S~ of all features, or the refined weights."""
        if self.refined is not None:
            return self.refined.decoders[-1]
        smoothed = self._smoothed(self.chosen.smoothing_strength)
        return evidence_decoder(smoothed, self.chosen.calibration.beta, self.layout)

    @property
    def class_count(self) -> FloatArray:
        """Weight of the rows of each class."""
        return self.counts.class_count

    @property
    def n_iter(self) -> int:
        """Iterations of the refinement; 1 without it."""
        return 1 if self.refined is None else self.refined.n_iter

    def held_out_scores(self) -> NDArray[np.float64]:
        """Leave-one-out scores (n_rows, n_classes) of the sampled rows."""
        choice = self.chosen
        return self._held_out(choice.smoothing_strength).scores(choice.calibration)

    def own_margins(
        self, X: Rows, y: IntArray, sample_weight: FloatArray | None
    ) -> NDArray[np.float64] | None:
        """What the score of the own class of counted rows loses without the row.

        None without smoothing, where a co-occurrence may vanish with a row.
        """
        if self.settings.smoothing is None:
            return None
        smoothed = self._smoothed(self.chosen.smoothing_strength)
        exponent = self.settings.norm_exponent
        return own_margins(
            smoothed, self.chosen.calibration, X, y, sample_weight, exponent
        )

    def with_layout(self, layout: Layout) -> ExplicitModel:
        """The same solution with its weights stored in another way."""
        return replace(self, layout=layout, choice=self.chosen)

    def with_refinement(self, refined: Refined) -> ExplicitModel:
        """The model refined; its counts and what was chosen stay as they are."""
        return replace(self, choice=self.chosen, refined=refined)

    def with_prior(self, prior: NDArray[np.float64] | None) -> ExplicitModel:
        """The same solution with another `prior`."""
        kept = vars(self).get("solution")
        choice = self.choice if kept is None else kept.choice
        model = replace(self, prior=prior, choice=choice)
        if kept is not None:
            vars(model)["solution"] = kept  # the prior is no part of it
        return model

    def stored(self) -> ExplicitModel:
        """The model as it is saved: with what was chosen, if it was.

        To choose again would take longer than to read all the rest.
        """
        sample = replace(self.sample, members=None)
        choice = vars(self).get("solution", self).choice
        return replace(self, sample=sample, choice=choice)

    def without_sample(self) -> ExplicitModel:
        """The same solution without the rows from which it was chosen."""
        sample = self.sample.head(NO_ROWS)
        return replace(self, sample=sample, choice=self.chosen)

    def _smoothed(self, strength: float) -> SmoothedCounts:
        blocks = self.settings.blocks(self.counts.n_features)
        return smooth_counts(self.counts, self.settings.smoothing, strength, blocks)

    def _decoder(self, choice: Choice) -> Decoder:
        settings = self.settings
        with np.errstate(over="ignore", invalid="ignore"):  # reported below
            smoothed = self._smoothed(choice.smoothing_strength)
            decoder = explicit_decoder(
                smoothed,
                choice.calibration,
                layout=self.layout,
                norm_exponent=settings.norm_exponent,
                row_norm=settings.row_norm,
                dtype=self.dtype,
            )
        values = decoder.weights.data if decoder.is_sparse else decoder.weights
        self._check_range(values, decoder.intercept)
        return decoder

    def _check_range(self, *values: FloatArray) -> None:
        """ValueError if weights, or the scores that they make, are not finite."""
        if not all(np.isfinite(v).all() for v in values):
            raise ValueError(
                "the weights of the solution are beyond the range of "
                f"{np.dtype(self.dtype)}: {self.settings.extremes()}"
            )

    @np.errstate(over="ignore", invalid="ignore")  # reported with the solution
    def choose(
        self, held_out: LeaveOneOut | None = None, warm: WarmStart | None = None
    ) -> Choice:
        """Choose what is not given.

        `held_out` has the leave-one-out scores of the sample where the strength is
        given and somebody has them, and `warm` what the fit of a like model left, as
        in `calibrate`.
        """
        settings, n_classes = self.settings, self.counts.n_classes
        n_blocks = len(settings.blocks(self.counts.n_features))
        beta, norm_weight = settings.given_numbers(n_blocks)
        priming_number = settings.priming_number
        if priming_number == "mean_norm":
            # Rows without any feature leave no norm to divide by.
            priming_number = self.counts.mean_norm or 1.0
        translation = settings.calibrated_translation
        calibrated = partial(
            calibrate,
            priming_number=float(priming_number),
            translation=translation,
            beta=beta,
            norm_weight=norm_weight,
        )
        strength = settings.given_strength
        if strength is None:
            windows = settings.row_norm is not None
            budget = BUDGETS["window_strength" if windows else "strength"]
            few = self.sample.head(budget.limit(n_classes * n_blocks))
            strength = best_strength(lambda s: self._held_out(s, few), calibrated)
        rows = self.sample
        if settings.is_by_feature:
            rows = rows.head(settings.common_limit(n_classes * n_blocks))
        intercepts: Intercepts = "none"
        size = rows.effective_size
        if settings.translation == "exact":
            enough = n_classes <= min(size / 2, _MOST_INTERCEPTS)
            intercepts = "columns" if enough else "exponent"
        elif beta is not None and norm_weight is not None:
            given = Calibration(beta, float(priming_number), translation, norm_weight)
            return Choice(given, strength, float("nan"))
        calibration, log_loss = calibrated(
            self._held_out(strength, rows) if held_out is None else held_out,
            intercepts=intercepts,
            prior_weight=_row_weight(rows),
            # A few numbers are found as fast from afar, and more surely.
            warm=warm if intercepts == "columns" else None,
        )
        listener()(1)
        choice = Choice(calibration, strength, log_loss)
        if settings.is_by_frequency:
            return self._by_frequency(choice, rows, intercepts == "columns")
        return choice

    def _by_frequency(
        self, choice: Choice, rows: RowSample, fits_shifts: bool
    ) -> Choice:
        """Go on from one temperature for each block to groups or single features."""
        smoothed = self._smoothed(choice.smoothing_strength)
        by_feature = self.settings.is_by_feature
        if not (rows.X.sum() and (by_feature or has_groups(smoothed))):
            return choice
        if by_feature:
            rows = self.sample
            if not rows.is_complete:
                warnings.warn(
                    f"the rows are too many for a temperature of every feature: "
                    f"{len(rows.y)} of them choose it",
                    stacklevel=2,
                )
        else:
            budget = BUDGETS["groups"]
            values = budget.n_values // self.counts.n_classes
            few = rows.head(Limit(budget.n_rows, values, budget.least_rows))
            # Translations stay where far fewer rows would only over-fit them.
            fits_shifts = fits_shifts and 2 * len(few.y) >= len(rows.y)
            rows = few
        evidence = FeatureEvidence.of(
            smoothed,
            rows.X,
            rows.y,
            rows.weights,
            self.settings.norm_exponent,
            sets_apart=by_feature,
            dtype=np.float32 if by_feature else np.float64,
        )
        listener()(1)
        calibration, log_loss = chosen_temperatures(
            smoothed,
            evidence,
            choice.calibration,
            by_feature,
            fits_shifts,
            _row_weight(rows),
        )
        return replace(choice, calibration=calibration, log_loss=log_loss)

    def _held_out(
        self, strength: float, sample: RowSample | None = None
    ) -> LeaveOneOut:
        sample = self.sample if sample is None else sample
        return leave_one_out(
            self._smoothed(strength),
            sample.X,
            sample.y,
            sample_weight=sample.weights,
            norm_exponent=self.settings.norm_exponent,
        )


def _row_weight(sample: RowSample) -> float:
    """Weight of a row of a sample, where those that occur often count as fewer."""
    size = sample.effective_size
    return float(sample.weights.sum()) / size if size else 1.0


def given_temperatures(
    inverse_temperature: Any, n_parts: int, parts: str
) -> NDArray[np.float64] | None:
    """Inverse temperatures of the parts of a model, None if they are to be chosen."""
    if isinstance(inverse_temperature, str):
        return None
    given = np.asarray(inverse_temperature)
    if given.dtype.kind not in "biuf":
        raise ValueError(
            f"inverse_temperature must have numbers, not {inverse_temperature!r}"
        )
    given = given.astype(float)
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
