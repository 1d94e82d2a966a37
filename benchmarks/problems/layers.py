"""Softmax layers solved one after the other, by what the hidden layer predicts.

Two layers, the hidden one predicting clusters within each class (1: the classes, as in
the paper), explicit and after joint training, beside one layer and beside MLPClassifier
with as many hidden units. Log-losses and accuracies are those of the test rows; seconds
do not include their evaluation, and those of joint training include the explicit fit.
Joint training starts from the explicit solution ("warm") and, for the classes, from
random weights too ("cold"); "plain" is Adagrad on the weights themselves.
"""

from argparse import Namespace
from statistics import median
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.data.images import HELP, Images, load_images
from benchmarks.harness.curves import Curve, Softmax, Start, follow
from benchmarks.harness.models import evaluate
from benchmarks.harness.options import Name, Number
from benchmarks.harness.records import Record, table
from benchmarks.harness.timing import Stopwatch, timed
from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxNetworkClassifier,
)
from explicit_softmax.solution.counts import scaled_rows

OPTIONS = {
    "dataset": Name(HELP, fast="digits"),
    "rows": Number(None, "training rows and test rows, at most", fast=400),
    "clusters": Number(
        [1, 5, 20, 50, 100, 200], "clusters in each class", [1, 4], several=True
    ),
    "joint": Number([1, 5, 20, 50], "numbers to train jointly", [1, 4], several=True),
    "epochs": Number(10, "epochs of joint training", fast=2),
    "mlp_epochs": Number(5, "epochs of MLPClassifier", fast=2),
    "repeats": Number(3, "timed explicit fits", fast=1),
}
ONE_LAYER = "one layer"
WARM_PLAIN, COLD_PLAIN = "warm, classes, plain", "cold, classes, plain"
# Test accuracy on MNIST in arXiv:2311.07498.
PAPER = {WARM_PLAIN: 0.9293, COLD_PLAIN: 0.7564}
# No centring, scaling, or averaging. The step is the largest round one at which warm
# starts are stable.
_PLAIN: dict[str, Any] = {"standardize": False, "average": False, "learning_rate": 0.03}


def measure(options: Namespace) -> list[Record]:
    """A record for each model, with the curve of what is trained."""
    images = load_images(options.dataset).first(options.rows)
    classes, codes = np.unique(images.y_train, return_inverse=True)
    n_classes, announce = len(classes), options.announce
    records, peers = [], []

    def fit(name: str, model: Any) -> Any:
        announce(name)
        runs = [timed(lambda: model.fit(*images[:2])) for _ in range(options.repeats)]
        curve = Curve(name)
        curve.add(median(run.median for run in runs), _scores(model, images))
        records.append(curve.record(hidden=len(getattr(model, "hidden_classes_", ()))))
        return model

    def train(start: Start, hidden: int, **settings: Any) -> None:
        announce(start.label)
        curve = follow(
            start,
            images.X_train,
            codes,
            lambda decoders: _scores(Softmax(decoders, classes), images),
            max_iter=options.epochs,
            n_iter_no_change=options.epochs + 1,
            rng=np.random.RandomState(0),
            **settings,
        )
        records.append(curve.record(hidden=hidden))

    fit(ONE_LAYER, ExplicitSoftmaxClassifier())
    for k in sorted(set(options.clusters)):
        name = "classes" if k == 1 else f"{k} clusters"
        network = ExplicitSoftmaxNetworkClassifier(hidden_targets=k, random_state=0)
        fit(f"explicit, {name}", network)
        if k in options.joint:
            width = len(network.hidden_classes_)
            train(Start.fitted(f"warm, {name}", network, *images[:2]), width)
        announce(f"MLPClassifier, {k * n_classes} units")
        peers.append(_mlp(images, k * n_classes, options.mlp_epochs))
    if {1} & set(options.clusters) & set(options.joint):
        network = ExplicitSoftmaxNetworkClassifier(random_state=0)
        sizes = [images.X_train.shape[1], n_classes, n_classes]
        exponent = network.norm_exponent
        # Scores of unit variance, over centred features and over even hidden outputs.
        unit = np.sqrt(scaled_rows(images.X_train, exponent).var(axis=0).mean())
        spreads = {sizes[0]: sizes[0] ** -0.5 / unit, n_classes: n_classes**0.5}
        cold = Start.cold("cold, classes", sizes, spreads.__getitem__, exponent)
        train(cold, n_classes)
        network.set_params(norm_exponent=0.0)
        train(Start.fitted(WARM_PLAIN, network, *images[:2]), n_classes, **_PLAIN)
        # The spread of the usual uniform weights, up to 1 / sqrt(n).
        cold = Start.cold(COLD_PLAIN, sizes, lambda n: (3 * n) ** -0.5)
        train(cold, n_classes, **_PLAIN)
    for record in records + peers:
        record.values["data"] = images.note
        if images.is_mnist:
            record.values["paper_accuracy"] = PAPER.get(record.model)
    return records + peers


def _scores(model: Any, images: Images) -> dict[str, Any]:
    found = evaluate(model, images.X_test, images.y_test)
    return {f"test_{name}": found[name] for name in ("log_loss", "accuracy")}


def _mlp(images: Images, width: int, epochs: int) -> Record:
    model = MLPClassifier((width,), random_state=0)
    curve = Curve(f"MLPClassifier, {width} units")
    classes = np.unique(images.y_train)
    watch = Stopwatch()
    for _ in range(epochs):
        model.partial_fit(*images[:2], classes=classes)
        curve.add(watch.pause(), _scores(model, images))
        watch.resume()
    return curve.record(kind="peer", hidden=width)


def report(records: list[Record], options: Namespace) -> str:
    """Models, and each MLP followed by its epochs."""
    rows = []
    for record in records:
        rows.append(record)
        if record.kind == "peer":
            names = ("fit_seconds", "test_log_loss", "test_accuracy")
            curves = (record[f"{name}_curve"] for name in names[1:])
            values = zip(record["seconds_curve"], *curves, strict=True)
            rows += [
                Record(f"  after epoch {i}", dict(zip(names, found, strict=True)))
                for i, found in enumerate(values, start=1)
            ]
    columns = [
        ("hidden", "hidden", ""),
        ("fit s", "fit_seconds", "sig"),
        ("test loss", "test_log_loss", ".4f"),
        ("test acc", "test_accuracy", ".2%"),
        ("paper", "paper_accuracy", ".2%"),
    ]
    return (
        f"data: {records[0]['data']}\n"
        f"fit s: CPU seconds, median of {options.repeats} explicit fits; joint "
        f"training for {options.epochs} epochs, the explicit fit included\n"
        f"{table(rows, columns)}"
    )
