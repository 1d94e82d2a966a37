"""Explicit softmax on features with negative values, made positive in several ways.

    python benchmarks/positive_features.py [--json FILE] [--fast] [--threads N]

Data sets of scikit-learn, and one made by make_classification with as many features and
classes as covtype and about its class frequencies (covtype itself has to be fetched).
All models have the same StandardScaler before them. Only the last set has negative
features without it; pixels of digits, for example, would be better left as they are.

Figures are means over five stratified folds, drawn with a fixed seed, the same for all
models; the standard deviations are those of the folds. Log-losses are in nats, from
predict_proba, where scikit-learn clips a probability of zero to the resolution of
float64. Explicit models choose by leave-one-out on their training rows, and the peers
have their default parameters (but LogisticRegression, which may take 1,000 iterations).
The default of n_bins was chosen on these sets, so that its row is slightly flattered.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from report import Steps, number, significant, table, write_json
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from timing import timed_fit

from explicit_softmax import ExplicitSoftmaxClassifierCV, PositiveFeatures


class TemperaturePerFeature(ClassifierMixin, BaseEstimator):
    """Soft bins, and an inverse temperature for those of each feature."""

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> TemperaturePerFeature:
        self.bins_ = PositiveFeatures().fit(X)
        self.model_ = ExplicitSoftmaxClassifierCV(n_blocks=self.bins_.n_bins_)
        self.model_.fit(self.bins_.transform(X), y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        return self.model_.predict(self.bins_.transform(X))

    def predict_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        return self.model_.predict_proba(self.bins_.transform(X))


REFERENCE = "LogisticRegression"
MODELS: dict[str, Callable[[], list[Any]]] = {
    "GaussianNB": lambda: [GaussianNB()],
    REFERENCE: lambda: [LogisticRegression(max_iter=1000)],
    "shift, scale=False": lambda: _explicit(method="shift", scale=False),
    "shift": lambda: _explicit(method="shift"),
    "split, scale=False": lambda: _explicit(method="split", scale=False),
    "split": lambda: _explicit(method="split"),
    "bins, n_bins=2": lambda: _explicit(n_bins=2),
    "bins, n_bins=4": lambda: _explicit(n_bins=4),
    "bins, n_bins=8": lambda: _explicit(n_bins=8),
    "bins": lambda: _explicit(),
    "bins, n_bins=16": lambda: _explicit(n_bins=16),
    "bins, n_bins=32": lambda: _explicit(n_bins=32),
    "bins, beta per feature": lambda: [TemperaturePerFeature()],
    "bins, refined": lambda: [
        PositiveFeatures(),
        ExplicitSoftmaxClassifierCV(warm_start=True, random_state=0),
    ],
}
# Of --fast: models, folds, and rows of each data set at most.
FAST_MODELS = ("GaussianNB", REFERENCE, "shift", "split", "bins")
_FAST_FOLDS, _FAST_ROWS = 2, 200
HEADER = ["model", "fit s", "log-loss", "sd", "acc %", "sd", "notes"]
SEED = 0
# Of covtype, in 1/1000.
_COVTYPE_CLASSES = (365, 488, 61, 5, 16, 30, 35)
_FOLDS = 5


class Data(NamedTuple):
    """A data set, and what it is."""

    name: str
    X: NDArray[np.float64]
    y: NDArray[np.int64]

    @property
    def note(self) -> str:
        rows, features = self.X.shape
        return f"{rows} rows, {features} features, {len(np.unique(self.y))} classes"


def main(argv: list[str] | None = None) -> list[dict[str, Any]]:
    """Print the tables; the records of the JSON file, one a data set and model."""
    arguments = _parse(argv)
    data = list(_load(_FAST_ROWS if arguments.fast else None))
    models = FAST_MODELS if arguments.fast else tuple(MODELS)
    folds = StratifiedKFold(
        _FAST_FOLDS if arguments.fast else _FOLDS, shuffle=True, random_state=SEED
    )
    records = []
    with (
        threadpool_limits(arguments.threads),
        Steps(len(data) * len(models)) as announce,
    ):
        for rows in data:
            for name in models:
                announce(f"{rows.name}: {name}")
                records.append(_evaluate(rows, name, folds))
    if arguments.fast:
        print("--fast: few models, rows, and folds, so that the figures mean nothing")
    print(f"{folds.n_splits} stratified folds, seed {SEED}; fit s: median of the folds")
    print(f"threads of BLAS and OpenMP: {arguments.threads} ({cpu_count()} processors)")
    for rows in data:
        print(f"\n{rows.name}: {rows.note}")
        print(_table([record for record in records if record["data"] == rows.name]))
    print(f"\nall: geometric mean over the sets of log-loss / that of {REFERENCE}")
    print(_summary(records))
    if arguments.json:
        write_json(arguments.json, records)
    return records


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Explicit softmax on features with negative values, beside peers."
    )
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--fast", action="store_true", help="few models, rows, folds")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="limit of the threads of BLAS and OpenMP, for all models alike; 1 by "
        "default, for more do not help with rows so few",
    )
    arguments = parser.parse_args(argv)
    if arguments.threads < 1:
        parser.error("--threads must be at least 1")
    return arguments


def _explicit(**parameters: Any) -> list[Any]:
    return [PositiveFeatures(**parameters), ExplicitSoftmaxClassifierCV()]


def _load(most_rows: int | None) -> Iterator[Data]:
    sets = {
        "iris": load_iris(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "breast cancer": load_breast_cancer(return_X_y=True),
        "digits": load_digits(return_X_y=True),
        "covtype-like": make_classification(
            n_samples=5000,
            n_features=54,
            n_informative=12,
            n_redundant=10,
            n_classes=len(_COVTYPE_CLASSES),
            weights=[part / 1000 for part in _COVTYPE_CLASSES],
            class_sep=1.5,
            random_state=SEED,
        ),
    }
    for name, (X, y) in sets.items():
        if most_rows is not None and len(y) > most_rows:
            X, _, y, _ = train_test_split(
                X, y, train_size=most_rows, stratify=y, random_state=SEED
            )
            kept = np.isin(y, np.flatnonzero(np.bincount(y) >= _FAST_FOLDS))
            X, y = X[kept], y[kept]
        yield Data(name, X, y)


def _evaluate(data: Data, name: str, folds: StratifiedKFold) -> dict[str, Any]:
    model = make_pipeline(StandardScaler(), *MODELS[name]())
    _, scores, converged = timed_fit(
        lambda: cross_validate(
            model, data.X, data.y, cv=folds, scoring=["neg_log_loss", "accuracy"]
        )
    )
    losses, accuracies = -scores["test_neg_log_loss"], scores["test_accuracy"]
    return {
        "data": data.name,
        "model": name,
        "fit_seconds": float(np.median(scores["fit_time"])),
        "log_loss": float(losses.mean()),
        "log_loss_sd": float(losses.std(ddof=1)),
        "accuracy": float(accuracies.mean()),
        "accuracy_sd": float(accuracies.std(ddof=1)),
        "converged": converged,
    }


def _table(records: list[dict[str, Any]]) -> str:
    rows = [
        [
            record["model"],
            significant(record["fit_seconds"]),
            number(record["log_loss"], 4),
            number(record["log_loss_sd"], 4),
            number(100 * record["accuracy"], 2),
            number(100 * record["accuracy_sd"], 2),
            "" if record["converged"] else "not converged",
        ]
        for record in records
    ]
    return table(HEADER, rows)


def _summary(records: list[dict[str, Any]]) -> str:
    losses = {
        name: np.array([r["log_loss"] for r in records if r["model"] == name])
        for name in dict.fromkeys(record["model"] for record in records)
    }
    ratios = {
        name: float(np.exp(np.log(loss / losses[REFERENCE]).mean()))
        for name, loss in losses.items()
    }
    rows = [[name, number(ratio, 3)] for name, ratio in ratios.items()]
    return table(["model", "x LogReg"], rows)


if __name__ == "__main__":
    main(sys.argv[1:])
