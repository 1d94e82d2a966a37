"""Hand an explicit solution to the log-loss refinement."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit
from sklearn.utils import check_random_state

from explicit_softmax._sklearn import FitReport
from explicit_softmax.solution.counts import row_norms, row_scale
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.training.refine import refine


def split_validation(
    estimator: Any, rows: Any, codes: Any, weights: Any
) -> tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]:
    """Rows to count and refine on, and rows to stop by."""
    splitter = ShuffleSplit(
        n_splits=1,
        test_size=estimator.validation_fraction,
        random_state=estimator.random_state,
    )
    train, held_out = next(splitter.split(rows))

    def part(members: Any) -> tuple[Any, Any, Any]:
        weight = None if weights is None else weights[members]
        return rows[members], codes[members], weight

    if weights is not None and not (weights[train].any() and weights[held_out].any()):
        raise ValueError(
            "early_stopping leaves rows of zero weight only, to fit or to validate on"
        )
    return part(train), part(held_out)


def refine_solution(
    estimator: Any,
    rows: Any,
    codes: Any,
    weights: Any,
    validation: Any,
    report: FitReport,
) -> None:
    """Replace the solution of a fitted estimator by its refinement."""
    solution = estimator._solution
    decoder = solution.decoder
    exponent = decoder.norm_exponent
    if validation is not None:
        validation = (scaled(validation[0], exponent), *validation[1:])

    def fitted_attributes(coef: Any, intercept: Any) -> dict[str, Any]:
        refined = Decoder.from_dense(
            coef, intercept, norm_exponent=decoder.norm_exponent
        )
        return {"_solution": replace(solution, decoder=refined), "_refined": True}

    if weights is not None and not weights.all():
        positive = np.flatnonzero(weights)
        rows, codes, weights = rows[positive], codes[positive], weights[positive]
    result = refine(
        decoder.dense_weights(),
        decoder.intercept,
        scaled(rows, exponent),
        codes,
        sample_weight=weights,
        validation=validation,
        rng=check_random_state(estimator.random_state),
        **solver_settings(estimator, report, fitted_attributes),
    )
    warn_if_cut_short(estimator, result, "The refinement")
    vars(estimator).update(fitted_attributes(result.weights, result.intercept))
    record_refinement(estimator, result, validation)


def solver_settings(
    estimator: Any, report: FitReport, fitted_attributes: Callable[..., dict[str, Any]]
) -> dict[str, Any]:
    """Parameters of an estimator as solvers take them, and the callback.

    To be called right before the solver: it announces the first iteration.
    """
    name = "lbfgs-iteration" if estimator.solver == "lbfgs" else "epoch"
    return {
        "solver": estimator.solver,
        "learning_rate": estimator.learning_rate_init,
        "batch_size": estimator.batch_size,
        "max_iter": estimator.max_iter,
        "alpha": estimator.alpha,
        "tol": estimator.tol,
        "n_iter_no_change": estimator.n_iter_no_change,
        "shuffle": estimator.shuffle,
        "callback": report.follow(name, estimator.max_iter, fitted_attributes),
    }


def warn_if_cut_short(
    estimator: Any, result: Any, what: str, stacklevel: int = 5
) -> None:
    """ConvergenceWarning if the limit of iterations ended a refinement."""
    if not result.converged and result.n_iter >= estimator.max_iter:
        warnings.warn(
            f"{what} reached max_iter={estimator.max_iter} while the loss was "
            "still falling. This is harmless if the model is good enough; otherwise "
            "increase max_iter, or set early_stopping=True to stop when rows set aside "
            "no longer gain.",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )


def record_refinement(estimator: Any, result: Any, validation: Any) -> None:
    """Set what a refinement leaves beside the weights."""
    estimator.loss_curve_ = result.loss_curve
    # None is needed where the start is a minimum already.
    estimator.n_iter_ = max(result.n_iter, 1)
    estimator.validation_scores_ = (
        None if validation is None else [-loss for loss in result.validation_curve]
    )


def scaled(rows: Any, norm_exponent: float) -> Any:
    """Rows divided by a power of their norms, as the decoder does when it scores."""
    if norm_exponent == 0.0:
        return sp.csr_array(rows) if sp.issparse(rows) else rows
    scale = row_scale(row_norms(rows), norm_exponent).astype(rows.dtype)
    if sp.issparse(rows):
        return sp.csr_array(sp.diags_array(scale) @ rows)
    return rows * scale[:, None]
