"""The only importer of scikit-learn's private and version-dependent names."""

from __future__ import annotations

import copy
import inspect
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing
from sklearn.utils._metadata_requests import _routing_enabled as routing_enabled
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.parallel import _get_threadpool_controller
from sklearn.utils.validation import _check_feature_names_in, _check_sample_weight

from explicit_softmax.solution.progress import listening

try:
    from sklearn.callback import CallbackSupportMixin
    from sklearn.callback._callback_support import callback_management_context
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks; offers no `set_callbacks`."""


# Steps of a stage that callbacks are told of.
_MOST_STEPS = 100

# Seconds that a prediction takes before callbacks are told of it.
_PATIENCE = 1.0

# The same as `Documentation` under [project.urls] in pyproject.toml.
DOCUMENTATION = "https://explicit-softmax.readthedocs.io/en/stable/"

__all__ = [
    "CallbackSupportMixin",
    "DocumentationLinkMixin",
    "FitReport",
    "Interval",
    "MetadataRouter",
    "MethodMapping",
    "StrOptions",
    "_check_feature_names_in",
    "_check_sample_weight",
    "_fit_context",
    "_safe_indexing",
    "accepts_weights",
    "after_each",
    "check_matplotlib_support",
    "long_task",
    "process_routing",
    "restored_on_error",
    "routing_enabled",
    "single_thread",
    "warn_caller",
]


class DocumentationLinkMixin:
    """Makes scikit-learn link an estimator and its parameters to our API pages.

    To be inherited from before BaseEstimator, whose links lead to scikit-learn's pages.
    Classes that others derive from these estimators get no link.
    """

    _doc_link_module = "explicit_softmax"
    _doc_link_template = (
        DOCUMENTATION + "generated/{estimator_module}.{estimator_name}.html"
    )


class FitReport:
    """Tells scikit-learn's callbacks, where there are any, how a fit goes on.

    Parameters
    ----------
    estimator : object
        The estimator being fitted.
    X, y : array-like
        Training data as given by the user, for callbacks that compute scores.
    sample_weight : array-like or None
        Weights as given by the user.
    max_subtasks : int
        Largest number of stages and iterations together.
    name : str, default="fit"
        What is reported.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        max_subtasks: int,
        name: str = "fit",
    ) -> None:
        self.estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"X": X, "y": y, "metadata": metadata}
        self.context: Any = None
        self.iteration: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(
                task_name=name, max_subtasks=max_subtasks
            )
            self.context.call_on_fit_task_begin(estimator=estimator, **self.data)

    @property
    def is_heard(self) -> bool:
        """Whether there are callbacks."""
        return bool(getattr(self.estimator, "_skl_callbacks", ()))

    @contextmanager
    def stage(
        self, name: str, n_steps: int | None = 0
    ) -> Iterator[Callable[[int], None]]:
        """A part of `n_steps` steps at most, of which a hundredth each is told.

        None is an unknown number. What is called in this part finds `step` as the
        `listener` of `solution.progress`.

        Yields
        ------
        step : callable
            To be called with the number of steps that are done since the last call.
        """
        if self.context is None:
            with listening(None):
                yield lambda n_done: None
            return
        n_told = min(n_steps or 0, _MOST_STEPS)
        stage = self.context.subcontext(
            task_name=name, max_subtasks=None if n_steps is None else n_told
        )
        stage.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        lock, done, told, is_over = threading.Lock(), 0, 0, False

        def step(n_done: int) -> None:
            nonlocal done, told
            if is_over:  # an interrupt may have left it as the listener
                return
            with lock:
                done += n_done
                while told < min(n_told, done * n_told // (n_steps or 1)):
                    told += 1
                    task = stage.subcontext(task_name="step")
                    task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
                    task.call_on_fit_task_end(estimator=self.estimator, **self.data)

        try:
            with listening(step):
                yield step
        finally:
            is_over = True
        stage.call_on_fit_task_end(estimator=self.estimator, **self.data)

    @contextmanager
    def stage_of(self, name: str, other: Any) -> Iterator[None]:
        """A part that is the fit of another estimator, which tells how it goes on."""
        if self.context is None:
            yield
            return
        stage = self.context.subcontext(task_name=name)
        with stage.propagate_callback_context(other):
            stage.call_on_fit_task_begin(estimator=self.estimator, **self.data)
            yield
            stage.call_on_fit_task_end(estimator=self.estimator, **self.data)

    def begin_iteration(self, name: str) -> None:
        """Announce an iteration."""
        if self.context is not None:
            self.iteration = self.context.subcontext(task_name=name)
            self.iteration.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def end_iteration(self, fitted_attributes: Any) -> bool:
        """Close an iteration; true if a callback asks to stop.

        `fitted_attributes` is a callable that returns what an estimator needs to
        predict as if the fit had ended here.
        """
        if self.iteration is None:
            return False
        iteration, self.iteration = self.iteration, None
        return bool(
            iteration.call_on_fit_task_end(
                estimator=self.estimator,
                **self.data,
                reconstruction_attributes=fitted_attributes,
            )
        )

    def follow(
        self,
        name: str,
        max_iterations: int,
        fitted_attributes: Callable[..., dict[str, Any]],
    ) -> Callable[..., bool]:
        """Announce the first iteration; what to call after each announces the next.

        It takes the number of the iteration and what `fitted_attributes` takes.
        """

        def after_iteration(iteration: int, *parameters: Any) -> bool:
            stop = self.end_iteration(lambda: fitted_attributes(*parameters))
            if iteration < max_iterations and not stop:
                self.begin_iteration(name)
            return stop

        self.begin_iteration(name)
        return after_iteration

    def end(self) -> None:
        """Close the fit."""
        if self.iteration is not None:
            # An iteration that was announced and did not take place.
            self.iteration.call_on_fit_task_end(estimator=self.estimator)
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, **self.data, reconstruction_attributes={}
            )


@contextmanager
def long_task(
    estimator: Any, name: str, n_steps: Callable[[], int | None]
) -> Iterator[None]:
    """Tell callbacks how far a method that is no fit is, if it takes over a second.

    What is called in this part finds the `listener` of `solution.progress`; `n_steps`
    gives the number of its steps, None for an unknown one. Predictions that are made
    while the estimator is fitted, as by a callback that scores, are part of the fit:
    nobody is told of them.
    """
    state = vars(estimator)
    is_fitted_now = {"_callback_fit_ctx", "_parent_callback_ctx"} & set(state)
    if not state.get("_skl_callbacks") or is_fitted_now:
        with listening(None):
            yield
        return
    # Contexts are attributes, and other threads may predict with the estimator.
    stand_in = object.__new__(type(estimator))
    vars(stand_in).update(state)
    start, n_before = time.monotonic(), 0
    report: FitReport | None = None
    tell: Callable[[int], None] | None = None
    stages = ExitStack()

    def step(n_done: int) -> None:
        nonlocal n_before, report, tell
        if tell is not None:
            tell(n_done)
            return
        n_before += n_done
        if time.monotonic() - start >= _PATIENCE:
            report = FitReport(stand_in, None, None, None, 1, name)
            tell = stages.enter_context(report.stage(name, n_steps()))
            tell(n_before)

    with callback_management_context(stand_in), listening(step):
        with stages:
            yield
        if report is not None:  # no step of a fit, which callbacks could score
            report.context.call_on_fit_task_end(estimator=stand_in)


@contextmanager
def restored_on_error(estimator: Any) -> Iterator[None]:
    """Leave the attributes of an estimator as they were if the body raises.

    Sound because the estimators replace their fitted attributes and never change one
    in place.
    """
    before = copy.copy(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@contextmanager
def single_thread() -> Iterator[None]:
    """Keep OpenMP and BLAS to one thread, for work too small to be shared out."""
    with _get_threadpool_controller().limit(limits=1):
        yield


def accepts_weights(scorer: Any) -> bool:
    """Whether a scorer takes `sample_weight`."""
    if hasattr(scorer, "_accept_sample_weight"):
        return bool(scorer._accept_sample_weight())
    return "sample_weight" in inspect.signature(scorer).parameters


def after_each(
    function: Callable[..., Any], step: Callable[[int], None]
) -> Callable[..., Any]:
    """The function, after each call of which a step is told, and none within."""

    def both(*args: Any) -> Any:
        with listening(None):
            result = function(*args)
        step(1)
        return result

    return both


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside this package and scikit-learn that led here.

    The number of frames between depends on the estimator, its decorators, and on what
    fits it: a pipeline or a search.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in ("explicit_softmax", "sklearn"):
            break
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
