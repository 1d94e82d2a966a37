"""Classifiers: what a table says about a fitted one, and how good it is."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.records import Record
from benchmarks.harness.timing import Timing
from benchmarks.peers.classifiers import Peer
from explicit_softmax._metrics import reliability

# The solution of the paper as printed; it needs positive co-occurrences.
AS_PRINTED: dict[str, Any] = {
    "inverse_temperature": 1.0,
    "smoothing": None,
    "norm_exponent": 0.0,
    "translation": "column",
}
Makers = Mapping[str, Callable[[], Any]]


# Inverse temperatures that a note lists one by one.
MOST_SHOWN = 8


def runs_of(makers: Makers, X: Any, y: NDArray[Any]) -> Makers:
    """A fit for each maker of a model."""
    return {name: lambda make=make: make().fit(X, y) for name, make in makers.items()}


def fitted_records(
    timings: Mapping[str, Timing],
    test: tuple[Any, NDArray[Any]],
    train: tuple[Any, NDArray[Any]] | None = None,
    peers: Mapping[str, Peer] | None = None,
) -> list[Record]:
    """A record for each timed fit, and for each peer that is not available."""
    records = []
    for name, timing in timings.items():
        if timing.refused:
            records.append(Record(name, note=f"n/a: {timing.refused}"))
            continue
        values: dict[str, Any] = {"fit_seconds": timing.median}
        if train is not None:
            values["train_log_loss"] = evaluate(timing.result, *train)["log_loss"]
        scores = evaluate(timing.result, *test)
        values |= {f"test_{what}": value for what, value in scores.items()}
        if peers and name in peers:
            values["minimises"] = peers[name].minimises
        records.append(Record(name, values, describe(timing)))
    records += [
        Record(name, note=f"n/a: {peer.reason}")
        for name, peer in (peers or {}).items()
        if peer.make is None
    ]
    return records


def describe(timing: Timing) -> str:
    """What was chosen, iterations, and how often the fit was timed, if it is slow."""
    model, notes = timing.result, []
    if isinstance(getattr(model, "inverse_temperature", None), str):
        beta = np.ravel(model.inverse_temperature_)
        if beta.size > MOST_SHOWN:
            notes.append(f"beta={np.median(beta):.3g} in the median of {beta.size}")
        else:
            notes.append(f"beta={', '.join(f'{value:.3g}' for value in beta)}")
        notes.append(f"strength={model.smoothing_strength_:.3g}")
        if hasattr(model, "norm_exponents"):
            notes.append(f"norm_exponent={model.norm_exponent_:g}")
    n_iter = int(np.max(getattr(model, "n_iter_", None) or 0))
    if getattr(model, "warm_start", False) or n_iter > 1:
        notes.append(f"{n_iter} iterations")
    if not timing.converged:
        notes.append("not converged")
    if timing.seconds == timing.seconds[:1] and timing.median >= 1:
        notes.append("1 run")
    return ", ".join(notes)


def evaluate(
    model: Any, X: Any, y: NDArray[Any], chunk_rows: int = 10_000
) -> dict[str, float | None]:
    """Mean log-loss in nats, accuracy, and expected calibration error of rows.

    Rows are scored in float64 whatever the type the model was fitted in, and
    log-probabilities are not clipped: the log-loss is infinite where the model gives a
    label the probability zero, and None where it has no probabilities.
    """
    hits, losses, highest = [], [], []
    for start in range(0, len(y), chunk_rows):
        rows = X[start : start + chunk_rows].astype(np.float64)
        labels = y[start : start + chunk_rows]
        log_proba = log_probabilities(model, rows)
        if log_proba is None:
            hits.append(model.predict(rows) == labels)
            continue
        codes = np.searchsorted(model.classes_, labels)
        hits.append(log_proba.argmax(axis=1) == codes)
        losses.append(-log_proba[np.arange(len(labels)), codes])
        highest.append(np.exp(log_proba.max(axis=1)))
    right = np.concatenate(hits)
    error = None
    if highest:
        confidence = np.concatenate(highest)
        error = reliability(confidence, right, np.ones(len(y))).error
    return {
        "log_loss": float(np.concatenate(losses).mean()) if losses else None,
        "accuracy": float(right.mean()),
        "calibration_error": error,
    }


def log_probabilities(model: Any, X: Any) -> NDArray[np.float64] | None:
    """Log-probabilities, -inf where a probability is zero; None if there are none."""
    with np.errstate(divide="ignore"):
        if hasattr(model, "predict_log_proba"):
            return np.asarray(model.predict_log_proba(X), dtype=np.float64)
        if hasattr(model, "predict_proba"):
            return np.log(np.asarray(model.predict_proba(X), dtype=np.float64))
    return None
