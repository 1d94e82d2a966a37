"""Raw strings in: ExplicitTextClassifier beside the classifiers users would pick.

Each model is fitted in a process of its own, on one thread, and vectorising is part of
its time. fit s and predict s are CPU seconds, peak MiB the largest memory of the
process. Nothing is chosen on test rows.
"""

import time
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from benchmarks.data.texts import HELP, load_texts
from benchmarks.harness import figures
from benchmarks.harness.models import log_probabilities
from benchmarks.harness.options import FIGURE, Name, Number, Switch
from benchmarks.harness.records import Record, named, ratio, show, table
from benchmarks.harness.timing import in_own_process, peak_memory
from benchmarks.peers.text import TEXT_PEERS
from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitTextClassifier,
    expected_calibration_error,
)

OPTIONS = {
    "dataset": Name(HELP, fast="topics"),
    "classes": Number(None, "classes, at most; with it 30 + 10 rows of each", fast=3),
    "ours": Switch("the package alone, without peers"),
    "peers": Name("only peers that have this in their names, such as calibrated"),
    **FIGURE,
}
_PAIRS = "words+bigrams"
_BATCH_ROWS = 1000


class Streamed:
    """Words and bigrams, hashed and counted batch by batch."""

    def fit(self, texts: list[str], y: NDArray[Any]) -> Self:
        self.model = ExplicitTextClassifier(features=_PAIRS, hashing=True)
        self.classes_ = np.unique(y)
        for start in range(0, len(y), _BATCH_ROWS):
            rows = slice(start, start + _BATCH_ROWS)
            self.model.partial_fit(texts[rows], y[rows], classes=self.classes_)
        self.predict_log_proba(texts[:1])  # counts are solved when they are needed
        return self

    def predict_log_proba(self, texts: list[str]) -> NDArray[np.float64]:
        return self.model.predict_log_proba(texts)

    @property
    def features_(self) -> str:
        return self.model.features_


OURS = {
    "explicit": lambda: ExplicitTextClassifier(),
    "explicit, by frequency": lambda: ExplicitTextClassifier(
        features=_PAIRS,
        classifier=ExplicitSoftmaxClassifier(inverse_temperature="frequency"),
    ),
    "explicit, streamed, hashed": Streamed,
}
REFERENCE = "LinearSVC, calibrated, words+bigrams+chars"


def measure(options: Namespace) -> list[Record]:
    asked = [name for name in TEXT_PEERS if (options.peers or "") in name]
    names = [*OURS] if options.ours else [*OURS, *asked]
    records = []
    for name in names:
        options.announce(name)
        found = in_own_process(
            run, name=name, dataset=options.dataset, classes=options.classes
        )
        records.append(Record(name, found["values"], found["note"]))
    for record in records:
        record.values["x_reference"] = ratio(
            record, named(records, REFERENCE), "fit_seconds"
        )
    return records


def run(name: str, dataset: str | None, classes: int | None) -> dict[str, Any]:
    """Fit and score one model; the job of its process."""
    texts = load_texts(dataset)
    if classes is not None:
        texts = texts.first(classes, 30, 10)
    try:
        model = (OURS | TEXT_PEERS)[name]()
    except ImportError as error:
        return {"values": {}, "note": f"n/a: {error}"}
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a table says what came of it
        model.fit(texts.train, texts.y_train)
    values: dict[str, Any] = {"fit_seconds": time.process_time() - start}
    start = time.process_time()
    log_proba = log_probabilities(model, texts.test)
    if log_proba is None:
        predicted = model.predict(texts.test)
    else:
        predicted = model.classes_[log_proba.argmax(axis=1)]
    values["predict_seconds"] = time.process_time() - start
    y = texts.y_test
    values["test_accuracy"] = float((predicted == y).mean())
    values["test_f1"] = float(f1_score(y, predicted, average="macro"))
    if log_proba is not None:
        codes = np.searchsorted(model.classes_, y)
        values["test_log_loss"] = float(-log_proba[np.arange(len(y)), codes].mean())
        values["test_calibration_error"] = expected_calibration_error(
            y, np.exp(log_proba).clip(0, 1), labels=model.classes_
        )
    values["peak_memory"] = peak_memory()
    values["data"] = texts.note
    return {"values": values, "note": getattr(model, "features_", "")}


def report(records: list[Record], options: Namespace) -> str:
    columns = [
        ("fit CPU s", "fit_seconds", "sig"),
        ("x calibrated", "x_reference", "sig"),
        ("predict s", "predict_seconds", "sig"),
        ("peak MiB", "peak_memory", "sig"),
        ("test acc", "test_accuracy", ".2%"),
        ("macro F1", "test_f1", ".2%"),
        ("test loss", "test_log_loss", ".4f"),
        ("ECE", "test_calibration_error", ".2%"),
    ]
    return "\n".join([f"data: {records[0]['data']}", table(records, columns)])


def draw(path: Path, records: list[Record]) -> None:
    """Log-losses of all models with probabilities, with accuracies and fit times."""
    scored = [record for record in records if record["test_log_loss"] is not None]
    scored.sort(key=lambda record: record["test_log_loss"], reverse=True)
    figure, axes = figures.new_figure(1, 1, (7.0, 0.7 + 0.28 * len(scored)))
    panel = axes[0, 0]
    losses = [record["test_log_loss"] for record in scored]
    colors = [figures.BLUE if r.model in OURS else figures.GREY for r in scored]
    bars = panel.barh([record.model for record in scored], losses, color=colors)
    labels = [f"{r['test_accuracy']:.1%}, {show(r['fit_seconds'])} s" for r in scored]
    panel.bar_label(bars, labels, padding=4, fontsize=9)
    panel.margins(x=0.3)
    panel.set_xlabel("test log-loss (nats); accuracy, fit CPU seconds")
    figures.save(figure, path)
