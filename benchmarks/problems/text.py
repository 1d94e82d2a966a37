"""Explicit softmax on bags of words, beside peers.

Features are those of CountVectorizer(binary=True) on the raw text, as float64, the same
for all models; making them is not part of any time. Nothing is chosen on test rows.
With --features they are others: words and bigrams, or character n-grams within words.

Log-losses are means over the test rows, in nats, from predict_log_proba, or from the
logarithm of predict_proba where there is none. The expected calibration error (ECE)
puts test rows into 15 bins of equal width by their highest probability: the mean,
weighted by rows, of the absolute differences between the mean highest probability of a
bin and its accuracy.

"plain" refinements are without margins, so that a start from zeros ("cold") can have
the same one: what the explicit start is worth after one epoch, and after 20.
"""

import re
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

FEATURES: dict[str, dict[str, Any]] = {
    "words": {},
    "words+bigrams": {"ngram_range": (1, 2)},
    "chars": {"analyzer": "char_wb", "ngram_range": (2, 5), "min_df": 2},
}


def _known_features(name: str) -> str:
    if name not in FEATURES:
        raise ValueError(name)
    return name


OPTIONS = {
    "dataset": Name(HELP, fast="topics"),
    "repeats": Number(5, "timed runs of a fit", fast=1),
    "classes": Number(None, "classes, at most; with it 30 + 10 rows of each", fast=8),
    "features": Name(f"what is counted: {', '.join(FEATURES)}", kind=_known_features),
    "models": Name("only models whose names match this, such as 'CV$|folds'"),
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
    "explicit, CV by 5 folds": lambda: ExplicitSoftmaxClassifierCV(cv=5),
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
    kind = options.features or "words"
    vectorizer = CountVectorizer(binary=True, dtype=np.float64, **FEATURES[kind])
    X_train = vectorizer.fit_transform(texts.train)
    X_test = vectorizer.transform(texts.test)
    asked = re.compile(options.models or "").search
    peers = {name: peer for name, peer in PEERS.items() if asked(name)}
    ours = {name: make for name, make in MODELS.items() if asked(name)}
    runs = runs_of(ours | makers(peers), X_train, texts.y_train)
    timings = time_in_turn(runs, options.repeats, options.announce)
    records = fitted_records(timings, (X_test, texts.y_test), peers=peers)
    reference = named(records, LOGISTIC_REGRESSION)
    for record in records:
        record.values["x_reference"] = ratio(record, reference, "fit_seconds")
        features = f"{X_train.shape[1]} features (binary counts of {kind})"
        record.values["data"] = f"{texts.note}, {features}"
    return records


def report(records: list[Record], options: Namespace) -> str:
    columns = [
        ("fit s", "fit_seconds", "sig"),
        ("x LogReg", "x_reference", "sig"),
        ("test loss", "test_log_loss", ".4f"),
        ("test acc", "test_accuracy", ".2%"),
        ("ECE", "test_calibration_error", ".2%"),
    ]
    data = f"data: {records[0]['data']}"
    return "\n".join([data, RULE.format(options.repeats), table(records, columns)])
