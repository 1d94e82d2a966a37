"""Explicit softmax on bags of words, beside peers.

Features are those of CountVectorizer(binary=True) on the raw text, as float64, the same
for all models; making them is not part of any time. Nothing is chosen on test rows.

Log-losses are means over the test rows, in nats, from predict_log_proba, or from the
logarithm of predict_proba where there is none. The expected calibration error (ECE)
puts test rows into 15 bins of equal width by their highest probability: the mean,
weighted by rows, of the absolute differences between the mean highest probability of a
bin and its accuracy.

"plain" refinements are without margins, so that a start from zeros ("cold") can have
the same one: what the explicit start is worth after one epoch, and after 20.
"""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks.data.texts import HELP, load_texts
from benchmarks.harness.curves import ColdStart
from benchmarks.harness.models import AS_PRINTED, fitted_records, runs_of
from benchmarks.harness.options import Name, Number
from benchmarks.harness.records import Record, named, ratio, table
from benchmarks.harness.timing import RULE, time_in_turn
from benchmarks.peers.classifiers import (
    LOGISTIC_REGRESSION,
    MULTINOMIAL_NB,
    makers,
    some,
)
from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    Refinement,
)

OPTIONS = {
    "dataset": Name(HELP, fast="topics"),
    "repeats": Number(5, "timed runs of a fit", fast=1),
    "classes": Number(None, "classes, at most; with it 30 + 10 rows of each", fast=8),
}
_REFINEMENT = Refinement(random_state=0)
_EPOCHS = (1, 20)


def _plain(n_epochs: int) -> Any:
    refinement = Refinement(margins=False, max_iter=n_epochs, random_state=0)
    return ExplicitSoftmaxClassifier(warm_start=True, refinement=refinement)


MODELS: dict[str, Callable[[], Any]] = {
    "theorem, smoothed": lambda: ExplicitSoftmaxClassifier(
        **AS_PRINTED | {"smoothing": "prior"}
    ),
    "explicit, default": lambda: ExplicitSoftmaxClassifier(),
    "explicit, warm start": lambda: ExplicitSoftmaxClassifier(
        warm_start=True, refinement=_REFINEMENT
    ),
    "explicit, CV": lambda: ExplicitSoftmaxClassifierCV(),
    "explicit, CV, warm start": lambda: ExplicitSoftmaxClassifierCV(
        warm_start=True, refinement=_REFINEMENT
    ),
    **{f"warm start, plain, max_iter={n}": partial(_plain, n) for n in _EPOCHS},
    **{f"cold start, plain, max_iter={n}": partial(ColdStart, n) for n in _EPOCHS},
}
PEERS = some(
    "MultinomialNB, alpha=0.01",
    "MultinomialNB, alpha=0.1",
    MULTINOMIAL_NB,
    "ComplementNB",
    "MultinomialNB, alpha=0.1, temperature",
    "SGDClassifier",
    LOGISTIC_REGRESSION,
)


def measure(options: Namespace) -> list[Record]:
    texts = load_texts(options.dataset)
    if options.classes is not None:
        texts = texts.first(options.classes, 30, 10)
    vectorizer = CountVectorizer(binary=True, dtype=np.float64)
    X_train = vectorizer.fit_transform(texts.train)
    X_test = vectorizer.transform(texts.test)
    runs = runs_of(MODELS | makers(PEERS), X_train, texts.y_train)
    timings = time_in_turn(runs, options.repeats, options.announce)
    records = fitted_records(timings, (X_test, texts.y_test), peers=PEERS)
    reference = named(records, LOGISTIC_REGRESSION)
    for record in records:
        record.values["x_reference"] = ratio(record, reference, "fit_seconds")
        record.values["data"] = f"{texts.note}, {X_train.shape[1]} features"
    return records


def report(records: list[Record], options: Namespace) -> str:
    columns = [
        ("fit s", "fit_seconds", "sig"),
        ("x LogReg", "x_reference", "sig"),
        ("test loss", "test_log_loss", ".4f"),
        ("test acc", "test_accuracy", ".2%"),
        ("ECE", "test_calibration_error", ".2%"),
    ]
    data = f"data: {records[0]['data']} (binary counts of words)"
    return "\n".join([data, RULE.format(options.repeats), table(records, columns)])
