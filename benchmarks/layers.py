"""Softmax layers solved one after the other, by what the hidden layer predicts.

    python benchmarks/layers.py [--dataset NAME] [--features KIND] [--clusters K ...]
                                [--joint K ...] [--epochs N] [--mlp-epochs N]
                                [--repeats N] [--threads N] [--json FILE] [--fast]

Two layers, the hidden one predicting K clusters within each class (1: the classes, as
in the paper), explicit and after joint training, beside one layer and beside
MLPClassifier with as many hidden units. Log-losses and accuracies are those of the test
rows; seconds do not include their evaluation. Joint training starts from the explicit
solution ("warm") and, for the classes, from random weights too ("cold").
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Images, load_images
from joblib import cpu_count
from layer_curves import CLUSTERS, EPOCHS, JOINT, compare_layers, seconds_to_accuracy
from report import Steps, number, significant, table, write_json
from threadpoolctl import threadpool_limits

# Test accuracy on MNIST in arXiv:2311.07498, in per cent, by model.
PAPER = {
    "warm, K=1, plain": 92.93,
    "cold, K=1, plain": 75.64,
}

HEADER = [
    "model",
    "hidden",
    "fit s",
    "test loss",
    "test acc %",
    "paper %",
    "MLP s to this acc",
    "fit s / MLP s",
]


def other_features(images: Images, kind: str) -> Images:
    """The same images as other non-negative features: "inverted", or "edges".

    Edges are the lengths of the gradients of square images, plus the least pixel.
    """
    if kind == "pixels":
        return images
    parts = {}
    for name in ("X_train", "X_test"):
        X = getattr(images, name)
        least, most = images.X_train.min(), images.X_train.max()
        if kind == "inverted":
            parts[name] = least + most - X
            continue
        side = int(np.sqrt(X.shape[1]))
        down, across = np.gradient(X.reshape(-1, side, side), axis=(1, 2))
        parts[name] = np.hypot(down, across).reshape(X.shape) + least
    return images._replace(**parts, note=f"{images.note}, {kind}")


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    images = other_features(load_images(arguments.dataset), arguments.features)
    epochs, repeats = arguments.epochs, arguments.repeats
    if arguments.fast:
        images = images._replace(
            X_train=images.X_train[:400],
            y_train=images.y_train[:400],
            X_test=images.X_test[:400],
            y_test=images.y_test[:400],
        )
        epochs, repeats = min(epochs, 2), 1
    clusters = sorted(set(arguments.clusters))
    joint = sorted(set(clusters) & set(arguments.joint))
    n_steps = 1 + 2 * len(clusters) + len(joint) + 3 * (1 in joint)
    with threadpool_limits(arguments.threads), Steps(n_steps) as announce:
        records = compare_layers(
            images,
            clusters,
            joint,
            epochs=epochs,
            mlp_epochs=2 if arguments.fast else arguments.mlp_epochs,
            repeats=repeats,
            announce=announce,
        )
    print(f"data: {images.note}{'; first rows only' if arguments.fast else ''}")
    print(
        f"fit s of explicit fits: median of {repeats}; of joint training, {epochs} "
        "epochs: the explicit fit included"
    )
    limit = arguments.threads or "not limited"
    print(f"threads of BLAS and OpenMP: {limit} ({cpu_count()} processors)")
    # Edges of MNIST are not what the paper's accuracies are of.
    is_mnist = images.note.startswith("mnist ") and arguments.features == "pixels"
    print(layers_table(records, is_mnist=is_mnist))
    if arguments.json:
        write_json(arguments.json, records)


def layers_table(records: list[dict[str, Any]], *, is_mnist: bool) -> str:
    """Records as text; explicit and warm models beside the MLP of the same width."""
    peers = {r["n_hidden"]: r for r in records if r["model"].startswith("MLP")}
    rows = []
    for record in records:
        peer = peers.get(record["n_hidden"])
        wait = None
        if peer is not None and record["model"].startswith(("explicit", "warm")):
            wait = seconds_to_accuracy(peer, record["test_accuracy"])
        paper = PAPER.get(record["model"]) if is_mnist else None
        rows.append(
            [
                record["model"],
                str(record["n_hidden"]),
                significant(record["fit_seconds"]),
                number(record["test_log_loss"], 4),
                number(100 * record["test_accuracy"], 2),
                number(paper, 2),
                significant(wait),
                significant(None if wait is None else record["fit_seconds"] / wait),
            ]
        )
        if peer is record:
            for epoch, seconds in enumerate(record["seconds"][:-1]):
                loss = record["test_log_losses"][epoch]
                accuracy = 100 * record["test_accuracies"][epoch]
                cells = ["", significant(seconds), number(loss, 4), number(accuracy, 2)]
                rows.insert(-1, [f"  epoch {epoch + 1}", *cells, "-", "-", "-"])
    return table(HEADER, rows)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Softmax layers by what the hidden layer predicts."
    )
    parser.add_argument(
        "--dataset",
        help="digits, mnist, or a folder of IDX files in the folder that "
        "EXPLICIT_SOFTMAX_DATA names; by default mnist if it is to be had, "
        "otherwise digits",
    )
    parser.add_argument(
        "--features",
        choices=["pixels", "inverted", "edges"],
        default="pixels",
        help="what to make of the images, edges of square ones only",
    )
    parser.add_argument(
        "--clusters", type=int, nargs="+", default=CLUSTERS, help="in each class"
    )
    parser.add_argument(
        "--joint",
        type=int,
        nargs="*",
        default=JOINT,
        help="numbers of clusters from which to train jointly",
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of joint training")
    parser.add_argument("--mlp-epochs", type=int, default=5, help="of MLPClassifier")
    parser.add_argument("--repeats", type=int, default=3, help="timed explicit fits")
    parser.add_argument(
        "--threads",
        type=int,
        help="limit of the threads of BLAS and OpenMP, for all models alike",
    )
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--fast", action="store_true", help="few rows and epochs")
    arguments = parser.parse_args(argv)
    for name in ("epochs", "mlp_epochs", "repeats", "threads", "clusters"):
        value = getattr(arguments, name)
        if value is not None and np.min(value) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return arguments


if __name__ == "__main__":
    main()
