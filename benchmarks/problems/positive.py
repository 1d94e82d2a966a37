"""Explicit softmax on features with negative values, made positive in several ways.

Data sets of scikit-learn, and one made by make_classification with as many features and
classes as covtype and about its class frequencies (covtype itself has to be fetched).
All models have the same StandardScaler before them. Only the last set has negative
features without it; pixels of digits, for example, are better left as they are.

Figures are means over stratified folds, drawn with a fixed seed, the same for all
models; "sd" is the standard deviation over the folds. Log-losses are in nats, from
predict_proba, where scikit-learn clips a probability of zero to the resolution of
float64. Explicit models choose by leave-one-out on their training rows; the peers have
their defaults, with 1,000 iterations for LogisticRegression (see `peers.classifiers`
for its objective; GaussianNB maximises the joint likelihood of independent normal
features). The default of n_bins was chosen on these sets, which flatters it slightly.
"""

from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness.options import Number
from benchmarks.harness.records import Record, table
from benchmarks.harness.timing import timed
from explicit_softmax import ExplicitSoftmaxClassifierCV, PositiveFeatures, Refinement

OPTIONS = {
    "folds": Number(5, "stratified folds", fast=2, least=2),
    "rows": Number(None, "rows of each set, at most", fast=100),
    "bins": Number([2, 4, 8, 16, 32], "numbers of bins", [4], several=True),
}
SEED = 0
# Of covtype, in 1/1000.
_COVTYPE_CLASSES = (365, 488, 61, 5, 16, 30, 35)


def _explicit(**parameters: Any) -> Callable[[], list[Any]]:
    return lambda: [PositiveFeatures(**parameters), ExplicitSoftmaxClassifierCV()]


MODELS: dict[str, Callable[[], list[Any]]] = {
    "GaussianNB": lambda: [GaussianNB()],
    "LogisticRegression": lambda: [LogisticRegression(max_iter=1000)],
    "split": _explicit(method="split"),
    "bins": _explicit(),
    "bins, warm start": lambda: [
        PositiveFeatures(),
        ExplicitSoftmaxClassifierCV(
            warm_start=True, refinement=Refinement(random_state=SEED)
        ),
    ],
}


Data = tuple[str, NDArray[np.float64], NDArray[np.int64]]


def measure(options: Namespace) -> list[Record]:
    """A record for each data set and model."""
    folds = StratifiedKFold(options.folds, shuffle=True, random_state=SEED)
    models = {f"bins, n_bins={n}": _explicit(n_bins=n) for n in options.bins}
    records = []
    for data in load(options.rows, options.folds):
        for name, steps in (MODELS | models).items():
            options.announce(f"{data[0]}: {name}")
            records.append(_evaluate(data, name, steps(), folds))
    return records


def load(most_rows: int | None, n_folds: int = 5) -> Iterator[Data]:
    """The data sets; of fewer rows, without classes that have too few for the folds."""
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
        if most_rows is not None:
            kept = np.random.default_rng(SEED).permutation(len(y))[:most_rows]
            enough = np.bincount(y[kept]) >= n_folds
            kept = kept[enough[y[kept]]]
            X, y = X[kept], y[kept]
        yield name, X, y


def _evaluate(
    data: Data, name: str, steps: list[Any], folds: StratifiedKFold
) -> Record:
    title, X, y = data
    model = make_pipeline(StandardScaler(), *steps)
    scoring = ["neg_log_loss", "accuracy"]
    timing = timed(lambda: cross_validate(model, X, y, cv=folds, scoring=scoring))
    losses = -timing.result["test_neg_log_loss"]
    accuracies = timing.result["test_accuracy"]
    values = {
        "data": title,
        "rows": len(y),
        "features": X.shape[1],
        "fit_seconds": float(np.median(timing.result["fit_time"])),
        "test_log_loss": float(losses.mean()),
        "log_loss_sd": float(losses.std(ddof=1)),
        "test_accuracy": float(accuracies.mean()),
        "accuracy_sd": float(accuracies.std(ddof=1)),
    }
    return Record(name, values, "" if timing.converged else "not converged")


def report(records: list[Record], options: Namespace) -> str:
    """A table for each data set."""
    columns = [
        ("fit s", "fit_seconds", "sig"),
        ("log-loss", "test_log_loss", ".4f"),
        ("sd", "log_loss_sd", ".4f"),
        ("acc", "test_accuracy", ".2%"),
        ("sd", "accuracy_sd", ".2%"),
    ]
    lines = [f"{options.folds} stratified folds; fit s: median of the folds"]
    for name in dict.fromkeys(record["data"] for record in records):
        rows = [record for record in records if record["data"] == name]
        size = f"{rows[0]['rows']} rows, {rows[0]['features']} features"
        lines += ["", f"data: {name}, {size}", table(rows, columns)]
    return "\n".join(lines)
