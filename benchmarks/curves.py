"""Losses by epoch and by seconds, from cold and from warm starts.

Two protocols. "paper": Adagrad with step 0.01 on the weights themselves, until the
cross-entropy of rows held out of the training set increases for the first time.
"adagrad" and "lbfgs": the refinement with the other defaults of the package, on all
training rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Images
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.model_selection import train_test_split
from timing import Stopwatch, evaluate

from explicit_softmax import ExplicitSoftmaxClassifier
from explicit_softmax.training.refine import cold_start, refine

HELD_OUT = 0.1
STARTS = ("zeros", "random", "theorem", "explicit")
LABELS = {
    "zeros": "cold start, zeros",
    "random": "cold start, small random",
    "theorem": "warm start, theorem",
    "explicit": "warm start, best beta",
}


@dataclass
class LinearSoftmax:
    """Weights and intercepts with the methods that `evaluate` calls."""

    weights: NDArray[Any]
    intercept: NDArray[Any]
    classes_: NDArray[Any]

    def predict_log_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        return log_softmax(X @ self.weights + self.intercept, axis=1)

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        return self.classes_[(X @ self.weights + self.intercept).argmax(axis=1)]


@dataclass
class Curve:
    """How a refinement went; entry 0 of the lists is its start.

    `seconds` include the explicit solution where that is the start, and not the
    evaluation of what stands in the other lists. `train_log_loss` is empty unless asked
    for.
    """

    label: str
    start: str
    protocol: str
    seconds: list[float] = field(default_factory=list)
    test_log_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    train_log_loss: list[float] = field(default_factory=list)
    model: LinearSoftmax | None = None
    n_epochs: int = 0
    best_epoch: int = 0
    stopped: bool = False

    def first_at(self, train_log_loss: float) -> int | None:
        """First epoch with such a training log-loss or less, 0 if that is the start."""
        for epoch, loss in enumerate(self.train_log_loss):
            if loss <= train_log_loss:
                return epoch
        return None


def follow(
    curve: Curve,
    start: tuple[NDArray[Any], NDArray[Any]],
    setup_seconds: float,
    rows: tuple[NDArray[Any], NDArray[Any]],
    images: Images,
    *,
    with_train: bool = False,
    **settings: Any,
) -> Curve:
    """Refine from a start, and fill in the curve."""
    X, y = rows
    classes, codes = np.unique(y, return_inverse=True)

    def record(seconds: float, weights: NDArray[Any], intercept: NDArray[Any]) -> None:
        # Copies, since solvers may go on writing to theirs.
        curve.model = LinearSoftmax(weights.copy(), intercept.copy(), classes)
        loss, accuracy = evaluate(curve.model, images.X_test, images.y_test)
        curve.seconds.append(setup_seconds + seconds)
        curve.test_log_loss.append(loss)
        curve.test_accuracy.append(accuracy)
        if with_train:
            train_loss, _ = evaluate(curve.model, images.X_train, images.y_train)
            curve.train_log_loss.append(train_loss)

    def after_epoch(epoch: int, weights: NDArray[Any], intercept: NDArray[Any]) -> bool:
        record(watch.pause(), weights, intercept)
        watch.resume()
        return False

    record(0.0, *start)
    watch = Stopwatch()
    result = refine(*start, X, codes, callback=after_epoch, **settings)
    curve.model = LinearSoftmax(result.weights, result.intercept, classes)
    curve.n_epochs, curve.stopped = result.n_iter, result.converged
    watched = result.validation_curve or result.loss_curve
    # Empty where L-BFGS finds that its start is a minimum.
    curve.best_epoch = int(np.argmin(watched)) + 1 if watched else 0
    return curve


def make_start(
    kind: str, X: NDArray[Any], y: NDArray[Any]
) -> tuple[tuple[NDArray[Any], NDArray[Any]], float]:
    """Weights and intercepts to start from, and the seconds they took."""
    begin = time.perf_counter()
    if kind in ("zeros", "random"):
        n_classes = len(np.unique(y))
        start = cold_start(X.shape[1], n_classes, kind, dtype=X.dtype)
    else:
        clf = ExplicitSoftmaxClassifier(**PARAMETERS[kind]).fit(X, y)
        start = (np.ascontiguousarray(clf.coef_.T), clf.intercept_)
    return start, time.perf_counter() - begin


PARAMETERS: dict[str, dict[str, Any]] = {
    "theorem": {"smoothing": None, "inverse_temperature": 1.0},
    "explicit": {},
}


def paper_protocol(
    images: Images, max_epochs: int, announce: Callable[[str], None]
) -> list[Curve]:
    """Curves by the protocol of the paper, of all starts that exist."""
    X, X_held, y, y_held = train_test_split(
        images.X_train,
        images.y_train,
        test_size=HELD_OUT,
        random_state=0,
        stratify=images.y_train,
    )
    held_codes = np.searchsorted(np.unique(y), y_held)
    curves = []
    for kind in STARTS:
        announce(f"{LABELS[kind]}, step 0.01")
        try:
            start, seconds = make_start(kind, X, y)
        except ValueError:
            # A co-occurrence is zero: the row of the theorem says so.
            continue
        curve = Curve(LABELS[kind], kind, "paper")
        follow(
            curve,
            start,
            seconds,
            (X, y),
            images,
            solver="adagrad",
            learning_rate=0.01,
            standardize=False,
            average=False,
            tol=0,
            n_iter_no_change=1,
            max_iter=max_epochs,
            validation=(X_held, held_codes, None),
        )
        curves.append(curve)
    return curves


def default_protocol(
    images: Images, max_epochs: int, announce: Callable[[str], None]
) -> list[Curve]:
    """Curves by the defaults of the package; the last one by L-BFGS.

    That from "explicit" goes through the same weights as
    ``ExplicitSoftmaxClassifier(warm_start=True, random_state=0)``.
    """
    curves = []
    rows = images.X_train, images.y_train
    for kind, solver in [
        ("zeros", "adagrad"),
        ("theorem", "adagrad"),
        ("explicit", "adagrad"),
        ("explicit", "lbfgs"),
    ]:
        announce(f"{LABELS[kind]}, {solver}")
        try:
            start, seconds = make_start(kind, *rows)
        except ValueError:
            continue
        curve = Curve(f"{LABELS[kind]}, {solver}", kind, solver)
        follow(
            curve,
            start,
            seconds,
            rows,
            images,
            with_train=kind == "explicit",
            solver=solver,
            max_iter=max_epochs,
            rng=np.random.RandomState(0),
        )
        curves.append(curve)
    return curves
