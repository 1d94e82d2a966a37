"""Accuracy by seconds of softmax layers, explicit and trained, and of an MLP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
from datasets import Images
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.neural_network import MLPClassifier
from timing import Stopwatch, evaluate, timed_fit

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxNetworkClassifier,
)
from explicit_softmax.calibration.layers import network_scores
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.training.joint import random_layers, train_jointly

CLUSTERS = (1, 5, 20, 50, 100, 200)
JOINT = (1, 5, 20, 50)
EPOCHS = 10
ONE_LAYER = "one layer"

# Adagrad on the weights themselves: no centring, scaling, or averaging. The step is the
# largest round one at which warm starts are stable.
PLAIN: dict[str, Any] = {"standardize": False, "average": False, "learning_rate": 0.03}


class Layers:
    """Weights and intercepts of layers, with the methods that `evaluate` calls."""

    def __init__(self, weights: Any, intercepts: Any, classes: NDArray[Any]) -> None:
        self.decoders = [
            Decoder.from_dense(*layer)
            for layer in zip(weights, intercepts, strict=True)
        ]
        self.classes_ = classes

    def predict_log_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(log_softmax(network_scores(self.decoders, X), axis=1))

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        return self.classes_[network_scores(self.decoders, X).argmax(axis=1)]


class Curve:
    """Seconds, test log-losses, and test accuracies by epoch."""

    def __init__(self, images: Images, setup_seconds: float = 0.0) -> None:
        self.images = images
        self.setup_seconds = setup_seconds
        self.seconds: list[float] = []
        self.log_losses: list[float] = []
        self.accuracies: list[float] = []

    def add(self, seconds: float, model: Any, scale: float = 0.0) -> None:
        X_test = _scaled(self.images.X_test, scale)
        loss, accuracy = evaluate(model, X_test, self.images.y_test)
        self.seconds.append(self.setup_seconds + seconds)
        self.log_losses.append(float(loss))
        self.accuracies.append(accuracy)

    def record(self, model: str, n_hidden: int) -> dict[str, Any]:
        """What is written for a model, the values at its last epoch first."""
        return {
            "model": model,
            "n_hidden": n_hidden,
            "fit_seconds": self.seconds[-1],
            "test_log_loss": self.log_losses[-1],
            "test_accuracy": self.accuracies[-1],
            "seconds": self.seconds,
            "test_log_losses": self.log_losses,
            "test_accuracies": self.accuracies,
        }


def compare_layers(
    images: Images,
    clusters: Sequence[int] = CLUSTERS,
    joint: Sequence[int] = JOINT,
    *,
    epochs: int = EPOCHS,
    mlp_epochs: int = 5,
    repeats: int = 3,
    announce: Callable[[str], None] = lambda name: None,
) -> list[dict[str, Any]]:
    """Fit everything; a record for each model.

    Parameters
    ----------
    images : Images
        As of `load_images`.
    clusters : sequence of int
        Numbers of clusters in each class to solve hidden layers for, 1 for the classes.
    joint : sequence of int
        Those of them from which to train jointly.
    epochs, mlp_epochs : int
        Epochs of joint training, and of MLPClassifier.
    repeats : int
        Timed explicit fits, of which the median counts.
    announce : callable
        Told what begins.

    Returns
    -------
    records : list of dict
        Of "model", "n_hidden" (0 for one layer), "fit_seconds", "test_log_loss",
        "test_accuracy", and the lists "seconds", "test_log_losses", "test_accuracies"
        by epoch, of one entry for explicit fits. Models are named as `ONE_LAYER`,
        "explicit, K=5", "warm, K=5", "cold, K=1", "warm, K=1, plain", "cold, K=1,
        plain", and "MLPClassifier, 50 units".
    """
    records = []
    n_classes = len(np.unique(images.y_train))

    def fit(name: str, model: Any) -> tuple[Any, Curve]:
        announce(name)
        runs = [
            timed_fit(lambda: model.fit(images.X_train, images.y_train))
            for _ in range(repeats)
        ]
        curve = Curve(images)
        curve.add(median(seconds for seconds, _, _ in runs), model)
        n_hidden = 0 if name == ONE_LAYER else len(model.hidden_classes_)
        records.append(curve.record(name, n_hidden))
        return model, curve

    fit(ONE_LAYER, ExplicitSoftmaxClassifier(norm_exponent=0.5))
    for k in clusters:
        network = ExplicitSoftmaxNetworkClassifier(hidden_targets=k, random_state=0)
        network, curve = fit(f"explicit, K={k}", network)
        if k in joint:
            announce(f"warm, K={k}")
            warm = _follow(network, images, epochs, curve.seconds[0])
            records.append(warm.record(f"warm, K={k}", len(network.hidden_classes_)))
    if 1 in joint:
        records += _both_starts(images, n_classes, epochs, announce)
    for k in clusters:
        width = k * n_classes
        announce(f"MLPClassifier, {width} units")
        curve = _follow_mlp(images, width, mlp_epochs)
        records.append(curve.record(f"MLPClassifier, {width} units", width))
    return records


def _both_starts(
    images: Images, n_classes: int, epochs: int, announce: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A hidden layer of the classes: cold at our protocol, both at the plain one."""
    X = images.X_train
    sizes = [n_classes, n_classes]
    records = []
    announce("cold, K=1")
    explicit = ExplicitSoftmaxNetworkClassifier(random_state=0)
    explicit.fit(X, images.y_train)
    cold = random_layers(_scaled(X, explicit.norm_exponent), sizes)
    curve = _follow(explicit, images, epochs, start=cold)
    records.append(curve.record("cold, K=1", n_classes))
    explicit.set_params(norm_exponent=0.0)
    seconds, _, _ = timed_fit(lambda: explicit.fit(X, images.y_train))
    # The spread of the usual uniform weights, up to one over the root of the inputs.
    rng = np.random.default_rng(0)
    shapes = [(X.shape[1], n_classes), (n_classes, n_classes)]
    cold = (
        [rng.standard_normal(shape) / np.sqrt(3 * shape[0]) for shape in shapes],
        [np.zeros(n_classes)] * 2,
    )
    for name, start, setup in (("warm", None, seconds), ("cold", cold, 0.0)):
        announce(f"{name}, K=1, plain")
        curve = _follow(explicit, images, epochs, setup, start, **PLAIN)
        records.append(curve.record(f"{name}, K=1, plain", n_classes))
    return records


def _follow(
    network: ExplicitSoftmaxNetworkClassifier,
    images: Images,
    epochs: int,
    setup_seconds: float = 0.0,
    start: Any = None,
    **settings: Any,
) -> Curve:
    """Train jointly as the network does, from its layers or others, and look on."""
    curve = Curve(images, setup_seconds)
    exponent = network.norm_exponent
    codes = np.searchsorted(network.classes_, images.y_train)
    if start is None:
        start = network.coefs_, network.intercepts_

    def after_epoch(epoch: int, weights: Any, intercepts: Any) -> bool:
        model = Layers(weights, intercepts, network.classes_)
        curve.add(watch.pause(), model, exponent)
        watch.resume()
        return False

    watch = Stopwatch()
    train_jointly(
        *start,
        _scaled(images.X_train, exponent),
        codes,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        callback=after_epoch,
        rng=np.random.RandomState(0),
        **settings,
    )
    return curve


def _follow_mlp(images: Images, width: int, epochs: int) -> Curve:
    curve = Curve(images)
    model = MLPClassifier((width,), random_state=0)
    classes = np.unique(images.y_train)
    watch = Stopwatch()
    for _ in range(epochs):
        model.partial_fit(images.X_train, images.y_train, classes=classes)
        curve.add(watch.pause(), model)
        watch.resume()
    return curve


def _scaled(X: NDArray[Any], exponent: float) -> NDArray[Any]:
    """Rows as the network sees them."""
    return X if exponent == 0 else X / X.sum(axis=1, keepdims=True) ** exponent


def seconds_to_accuracy(record: dict[str, Any], accuracy: float) -> float | None:
    """When a curve first has so high an accuracy; None if it never has."""
    for seconds, reached in zip(
        record["seconds"], record["test_accuracies"], strict=True
    ):
        if reached >= accuracy:
            return float(seconds)
    return None
