"""Refinement: how an explicit solution is trained further, and the training itself."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal, Protocol, Self, TypeVar

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from explicit_softmax._sklearn import (
    DocumentationLinkMixin,
    FitReport,
    Interval,
    StrOptions,
    warn_caller,
)
from explicit_softmax.calibration.model import Refined
from explicit_softmax.solution.counts import FloatArray, IntArray, Rows, scaled_rows
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.loss import log_loss
from explicit_softmax.solution.progress import listener
from explicit_softmax.training.problem import (
    Arrays,
    IterationCallback,
    LabelledRows,
    RefinementResult,
    input_scales,
    sample_rows,
)
from explicit_softmax.training.refine import Solver, refine

# "auto" for rows that are stored, and for the windows of a language model.
_BATCH_SIZES = {"rows": 256, "windows": 1024}
_SAMPLES_PER_ITER = {"rows": None, "windows": 100_000}
# Rows by which a refinement is compared with its start, and how well.
_COMPARED_ROWS = 2048
_ROUNDING = 1e-5
# Candidates of alpha="auto", in units of the mean squared norm over the number of rows:
# 1 is a normal prior of unit variance where rows have norm one. And the share of the
# rows that choose.
_PENALTIES = (0.0, 0.3, 3.0)
_CHOICE_SHARE = 0.2
_CHOICE_PATIENCE = 3
_AUTO, _POSITIVE = StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")


class Refinement(DocumentationLinkMixin, BaseEstimator):
    """Parameters of the training that starts from an explicit solution.

    Estimators with ``warm_start=True`` hand the solution that they wrote down to this
    training, which minimises the mean log-loss in nats over the weights of all layers,
    plus ``alpha / 2`` times their squared distance from the explicit solution. They
    take it as their parameter `refinement`, and searches reach it as a nested one, as
    in ``refinement__max_iter``.

    Parameters
    ----------
    solver : {"adagrad", "sgd", "lbfgs"}, default="adagrad"
        Mini-batch Adagrad (as in [1]_), mini-batch gradient descent, or L-BFGS on all
        rows. The result of an epoch of the first two is the mean of the weights over
        it. L-BFGS is preconditioned for one layer of at most 2,048 dense features. It
        cannot be used for language models, whose features are made batch by batch.
    learning_rate_init : "auto" or float, default="auto"
        Step size of the mini-batch solvers. Features of dense rows are centred for it
        (which changes the steps, not the model), and it has units of its own, so that
        one value serves features of any scale: for Adagrad one over the root mean
        square of the inputs of a layer, where sparse of the non-zero ones; for gradient
        descent one over the mean squared norm of a row of inputs. "auto" is 0.05 for
        Adagrad and 3 for gradient descent with one layer, 0.01 and 1 with several.
        L-BFGS finds its steps itself.
    batch_size : "auto" or int, default="auto"
        Number of rows of a mini-batch; "auto" is 256, and 1,024 for language models.
    max_iter : int, default=20
        Largest number of iterations: epochs of the mini-batch solvers, or iterations of
        L-BFGS.
    margins : bool, default=True
        Whether a classifier of one layer trains beside leave-one-out margins: how the
        score of the own class of a row changes when the row is taken out of the counts
        is added to it in training, so that no row profits from having been counted. The
        explicit solution is kept unless its leave-one-out log-loss falls. False is the
        training of [1]_. No effect without smoothing, and for networks and language
        models.
    alpha : "auto" or float, default="auto"
        Strength of the L2 penalty, which shrinks towards the explicit solution. "auto"
        chooses it beside margins, and the number of iterations up to `max_iter`: a
        fifth of the rows, which stay in the counts, is set aside, and their
        leave-one-out scores plus what training on the other rows adds to them are a
        score by a model that never saw the row. The least log-loss of these decides
        between no penalty, 0.3, and 3 times the mean squared norm of a row over the
        number of rows, after which all rows are trained on, and the explicit solution,
        which is kept if no training improves on it. Without margins, and with
        `early_stopping`, "auto" is 0.
    tol : float, default=1e-4
        Training stops when the loss has not fallen by `tol` nats for `n_iter_no_change`
        iterations. The loss is that of rows set aside if there are any. Otherwise
        it is the objective for the mini-batch solvers, and L-BFGS stops when no entry
        of the gradient, in the units of its steps, exceeds `tol`.
    early_stopping : bool, default=False
        Whether to set rows aside, also from the counts, to stop when their loss no
        longer falls, and to keep the weights of the iteration that did best on them.
        Language models take documents for this instead (`documents_val`).
    validation_fraction : float, default=0.1
        Share of the rows that `early_stopping` sets aside.
    n_iter_no_change : int, default=5
        Number of iterations without improvement after which training stops.
    samples_per_iter : "auto", int, or None, default="auto"
        Number of rows of an epoch of the mini-batch solvers; None is all rows. Epochs
        of fewer rows take turns until all rows were seen once. Their losses cannot be
        compared, and without rows set aside such training runs for all of `max_iter`.
        "auto" is all rows, and 100,000 tokens for language models.
    shuffle : bool, default=True
        Whether the rows are put into a new order for each pass over them.
    random_state : int, RandomState instance, or None, default=None
        Determines the order of the rows and which of them are set aside. The explicit
        solution does not depend on it.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "solver": [StrOptions({"adagrad", "sgd", "lbfgs"})],
        "learning_rate_init": [_AUTO, Interval(Real, 0, None, closed="neither")],
        "batch_size": [_AUTO, _POSITIVE],
        "max_iter": [_POSITIVE],
        "margins": ["boolean"],
        "alpha": [_AUTO, Interval(Real, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [_POSITIVE],
        "samples_per_iter": [_AUTO, _POSITIVE, None],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        solver: Solver = "adagrad",
        learning_rate_init: float | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        max_iter: int = 20,
        margins: bool = True,
        alpha: float | Literal["auto"] = "auto",
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        samples_per_iter: int | Literal["auto"] | None = "auto",
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.margins = margins
        self.alpha = alpha
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.samples_per_iter = samples_per_iter
        self.shuffle = shuffle
        self.random_state = random_state


class RefinableModel(Protocol):
    """A model with layers to start from, and a copy of itself with refined ones."""

    @property
    def decoders(self) -> tuple[Decoder, ...]:
        """Decoder of each layer."""

    def with_refinement(self, refined: Refined) -> Self:
        """The model with the decoders of a refinement."""


Model = TypeVar("Model", bound=RefinableModel)


def checked_refinement(refinement: Refinement | None) -> Refinement:
    """The refinement of an estimator with valid parameters, ``Refinement()`` for None.

    Anything else is a TypeError, and a value that it cannot have a ValueError.
    """
    if refinement is None:
        return Refinement()
    if not isinstance(refinement, Refinement):
        raise TypeError(
            "refinement must be an instance of Refinement or None, not "
            f"{refinement!r}: write refinement=Refinement(...)"
        )
    refinement._validate_params()
    return refinement


def split_validation(
    refinement: Refinement, X: Rows, y: IntArray, sample_weight: FloatArray | None
) -> tuple[LabelledRows, LabelledRows | None]:
    """Rows to count and to train on, and those set aside if `early_stopping`."""
    if not refinement.early_stopping:
        return (X, y, sample_weight), None
    held_out = _stratified_part(
        y, refinement.validation_fraction, refinement.random_state
    )
    train = np.setdiff1d(np.arange(len(y)), held_out)
    parts = [_some((X, y, sample_weight), members) for members in (train, held_out)]
    if any(weight is not None and not weight.any() for *_, weight in parts):
        raise ValueError(
            "early_stopping=True leaves only rows of zero weight to fit, or to "
            "validate on"
        )
    return parts[0], parts[1]


def _some(rows: LabelledRows, members: IntArray | slice) -> LabelledRows:
    """Those of the rows that are members."""
    X, y, weight = rows
    return X[members], y[members], None if weight is None else weight[members]


def _stratified_part(y: IntArray, share: float, random_state: Any) -> IntArray:
    """A share of the rows of each class, never all of them."""
    order = check_random_state(random_state).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    spare = order[1:][y[order[1:]] == y[order[:-1]]]
    if not spare.size:
        raise ValueError("early_stopping=True needs a class with two rows or more")
    n_rows = min(int(np.ceil(share * len(y))), spare.size)
    return np.sort(spare[np.arange(n_rows) * spare.size // n_rows])


def of_positive_weight(
    X: Rows, y: IntArray, sample_weight: FloatArray | None
) -> LabelledRows:
    """The rows without those of zero weight."""
    if sample_weight is None or sample_weight.all():
        return X, y, sample_weight
    return _some((X, y, sample_weight), np.flatnonzero(sample_weight))


def refine_model(
    refinement: Refinement,
    model: Model,
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None,
    validation: LabelledRows | None,
    progress: FitReport,
    margins: FloatArray | None = None,
) -> Model:
    """The model with its decoders trained on rows, as `refine` does it.

    Rows, or windows, are as given: they are scaled here by the `norm_exponent` of the
    first decoder. `progress` announces each iteration to callbacks, with the model so
    far. A ConvergenceWarning says if `max_iter` ended the training, or if it diverged:
    then the model is returned as it was.
    """
    exponent = model.decoders[0].norm_exponent
    if validation is not None:
        validation = scaled_rows(validation[0], exponent), *validation[1:]
    if margins is not None and sample_weight is not None:
        margins = margins[sample_weight > 0]
    X, y, sample_weight = rows = of_positive_weight(X, y, sample_weight)
    scaled = scaled_rows(X, exponent), y, sample_weight
    alpha: Any = refinement.alpha
    max_iter = refinement.max_iter
    if alpha == "auto":
        alpha = 0.0
        if margins is not None and validation is None:
            with progress.stage("choose-penalty", len(_PENALTIES) * max_iter):
                alpha, max_iter = _chosen_penalty(
                    refinement, model, rows, scaled, margins
                )
    if not max_iter:
        warn_caller(
            "No refinement lowers the log-loss of rows that it does not see: the "
            "explicit solution is kept. If steps are too large, a smaller "
            "learning_rate_init helps.",
            ConvergenceWarning,
        )
        return model

    def decoders_of(weights: Arrays, intercepts: Arrays) -> tuple[Decoder, ...]:
        first, *later = zip(weights, intercepts, strict=True)
        return (
            Decoder.from_dense(*first, norm_exponent=exponent),
            *(Decoder.from_dense(*layer) for layer in later),
        )

    def fitted_attributes(weights: Arrays, intercepts: Arrays) -> dict[str, Any]:
        refined = Refined(decoders_of(weights, intercepts))
        return {"_model": model.with_refinement(refined)}

    task = "lbfgs-iteration" if refinement.solver == "lbfgs" else "epoch"
    callback = progress.follow(task, refinement.max_iter, fitted_attributes)
    try:
        result = _trained(
            refinement, model, scaled, margins, alpha, max_iter, validation, callback
        )
    except FloatingPointError as error:
        warn_caller(f"{error}. The explicit solution is kept.", ConvergenceWarning)
        return model
    decoders = decoders_of(result.weights, result.intercepts)
    rise = _rise(model.decoders, decoders, *rows, margins, refinement.tol)
    if rise is not None:
        warn_caller(
            f"The refinement diverged: the log-loss of its rows rose {rise}. The "
            "explicit solution is kept; choose a smaller learning_rate_init to refine.",
            ConvergenceWarning,
        )
        return model
    if not result.converged and result.n_iter >= refinement.max_iter:
        _warn_of_limit(refinement.max_iter, validation is None)
    scores = None if validation is None else [-loss for loss in result.validation_curve]
    # L-BFGS takes no iteration where the start is a minimum already.
    how = result.loss_curve, scores, max(result.n_iter, 1)
    return model.with_refinement(Refined(decoders, *how))


def _trained(
    refinement: Refinement,
    model: RefinableModel,
    rows: LabelledRows,
    margins: FloatArray | None,
    alpha: float,
    max_iter: int,
    validation: tuple[Any, ...] | None,
    callback: IterationCallback | None = None,
) -> RefinementResult:
    """Train on rows that are scaled, as those of validation are."""
    X, y, sample_weight = rows
    kind = "rows" if isinstance(X, np.ndarray) or sp.issparse(X) else "windows"
    rate, size = refinement.learning_rate_init, refinement.batch_size
    samples = refinement.samples_per_iter
    return refine(
        [decoder.dense_weights() for decoder in model.decoders],
        [decoder.intercept for decoder in model.decoders],
        X,
        y,
        sample_weight=sample_weight,
        margins=margins,
        solver=refinement.solver,
        learning_rate=None if rate == "auto" else rate,
        batch_size=_BATCH_SIZES[kind] if size == "auto" else size,
        max_iter=max_iter,
        alpha=alpha,
        tol=refinement.tol,
        n_iter_no_change=refinement.n_iter_no_change,
        validation=validation,
        shuffle=refinement.shuffle,
        samples_per_iter=_SAMPLES_PER_ITER[kind] if samples == "auto" else samples,
        rng=check_random_state(refinement.random_state),
        callback=callback,
    )


def _chosen_penalty(
    refinement: Refinement,
    model: RefinableModel,
    rows: LabelledRows,
    scaled: LabelledRows,
    margins: FloatArray,
) -> tuple[float, int]:
    """Penalty and number of iterations that `alpha="auto"` chooses; 0: not to train.

    `scaled` are the rows as they are trained on. Candidates grow until one is no better
    than the last, or was still improving.
    """
    y = rows[1]
    if np.bincount(y).max() < 2:  # no row can be set aside
        return 0.0, refinement.max_iter
    state = refinement.random_state
    # L-BFGS is the same every time, and so is what it starts from.
    held_out = _stratified_part(y, _CHOICE_SHARE, 0 if state is None else state)
    rest = np.setdiff1d(np.arange(len(y)), held_out)
    train, beside, aside = _some(scaled, rest), margins[rest], margins[held_out]
    least = log_loss(model.decoders, *_some(rows, held_out), aside)
    others, chosen = (*_some(scaled, held_out), aside), (0.0, 0)
    # A trial ends when the loss has not fallen at all for some iterations.
    trial = clone(refinement).set_params(tol=0.0)
    trial.n_iter_no_change = min(refinement.n_iter_no_change, _CHOICE_PATIENCE)
    few, share = sample_rows(train[0], train[2])
    scale = input_scales(few.astype(np.float64), share, (), ())[0]
    tell = listener()
    for penalty in _PENALTIES:
        alpha = penalty * scale.squared_norm / len(y)
        try:
            result = _trained(
                trial,
                model,
                train,
                beside,
                alpha,
                refinement.max_iter,
                others,
                lambda *_: tell(1),
            )
        except FloatingPointError:
            continue
        losses = result.validation_curve
        if min(losses, default=np.inf) < least:
            least, chosen = min(losses), (alpha, int(np.argmin(losses)) + 1)
            if chosen[1] == refinement.max_iter:
                break
        elif chosen[1]:
            break
    return chosen


def _warn_of_limit(max_iter: int, can_validate: bool) -> None:
    advice = ", or set early_stopping=True to stop when others no longer gain"
    warn_caller(
        f"The refinement reached max_iter={max_iter} while the loss was still falling. "
        "This is harmless if the model is good enough; otherwise increase max_iter"
        f"{advice if can_validate else ''}.",
        ConvergenceWarning,
    )


def _rise(
    before: tuple[Decoder, ...],
    after: tuple[Decoder, ...],
    X: Rows,
    y: IntArray,
    sample_weight: FloatArray | None,
    margins: FloatArray | None,
    tol: float,
) -> str | None:
    """From what to what the log-loss of some rows rose; None if it did not.

    With margins it is that of all rows, and may not rise at all. Too large steps may
    end in losses that are finite, the last of which is that of the weights before the
    last step.
    """
    order = np.random.default_rng(0).permutation(len(y))
    members: Any = np.sort(order[:_COMPARED_ROWS])
    if margins is not None:
        members, tol = slice(None), 0.0
    rows = _some((X, y, sample_weight), members)
    extra = None if margins is None else margins[members]
    with np.errstate(over="ignore", invalid="ignore"):
        losses = [log_loss(d, *rows, extra) for d in (before, after)]
    rounding = _ROUNDING * losses[0] if margins is None else 0.0
    if losses[1] <= losses[0] + max(tol, rounding):
        return None
    return f"from {losses[0]:.3g} to {losses[1]:.3g} nats"
