"""Explicit, cold-started, and warm-started softmax on images, beside peers.

Every model is fitted on the same float32 rows in the same run. Log-losses are means
over all training or test rows, in nats. Refinements are followed by two protocols:
"paper", Adagrad with step 0.01 on the weights themselves, until the cross-entropy of
rows held out of the training set increases for the first time; and the refinement with
the defaults of the package, on all training rows, which the cold start gets too.
"""

from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from benchmarks.data.images import HELP, Images, load_images
from benchmarks.harness import figures
from benchmarks.harness.curves import ColdStart, Curve, Softmax, Start, follow
from benchmarks.harness.models import AS_PRINTED, evaluate, fitted_records, runs_of
from benchmarks.harness.options import FIGURE, Name, Number
from benchmarks.harness.records import Record, named, of_kind, ratio, show, table
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
    "dataset": Name(HELP, fast="digits"),
    "repeats": Number(5, "timed runs of a fit", fast=1),
    "epochs": Number(100, "epochs of a refinement, at most", fast=4),
    "rows": Number(None, "training rows and test rows, at most", fast=400),
    **FIGURE,
}
THEOREM, TEMPERED, DEFAULT = "theorem as printed", "theorem, tempered", "default"
WARM, COLD = "warm start", "cold start"
PARAMETERS: dict[str, dict[str, Any]] = {
    THEOREM: AS_PRINTED,
    TEMPERED: AS_PRINTED | {"inverse_temperature": "auto"},
    DEFAULT: {},
}
# Starts by the protocol of the paper.
BY_THE_PAPER = {
    "cold start, zeros": "zeros",
    "cold start, small random": "random",
    "warm start, theorem": THEOREM,
    "warm start, tempered": TEMPERED,
}
# Test accuracy on MNIST in arXiv:2311.07498, by row, and epochs until early stopping.
PAPER = {
    THEOREM: 0.8286,
    "cold start, zeros": 0.9168,
    "cold start, small random": 0.9168,
    "warm start, theorem": 0.9257,
}
PAPER_EPOCHS = {"cold": 93, "warm": 23}
_PEERS = some(
    MULTINOMIAL_NB,
    "ComplementNB",
    "RidgeClassifier",
    "SGDClassifier",
    LOGISTIC_REGRESSION,
)
_EPOCHS = (1, 4, 20)
_HELD_OUT = 0.1


def _explicit(**parameters: Any) -> Callable[[], Any]:
    return lambda: ExplicitSoftmaxClassifier(**parameters)


def _refined(**parameters: Any) -> Callable[[], Any]:
    refinement = Refinement(random_state=0, **parameters)
    return _explicit(warm_start=True, refinement=refinement)


MODELS: dict[str, Callable[[], Any]] = {
    **{name: _explicit(**parameters) for name, parameters in PARAMETERS.items()},
    "explicit, CV": ExplicitSoftmaxClassifierCV,
    # The same optimiser from both, 20 epochs being the default.
    **{f"{COLD}, {n} epochs": partial(ColdStart, n) for n in _EPOCHS},
    **{f"{WARM}, {n} epochs": _refined(max_iter=n) for n in _EPOCHS},
    f"{WARM}, lbfgs": _refined(solver="lbfgs"),
}


def measure(options: Namespace) -> list[Record]:
    """Records of kind "model", and of refinements that were followed, "curve"."""
    images = load_images(options.dataset).first(options.rows)
    train, test = images[:2], images[2:4]
    runs = runs_of(MODELS | makers(_PEERS), *train)
    timings = time_in_turn(runs, options.repeats, options.announce, LOGISTIC_REGRESSION)
    records = fitted_records(timings, test, train, _PEERS)
    records += [*_by_the_paper(images, options), *_by_defaults(images, options)]
    records += _to_the_reference(records, images, options)
    reference = named(records, LOGISTIC_REGRESSION)
    for record in records:
        record.values["data"] = images.note
        record.values["x_reference"] = ratio(record, reference, "fit_seconds")
        if images.is_mnist:
            record.values["paper_accuracy"] = PAPER.get(record.model)
    return records


def _by_the_paper(images: Images, options: Namespace) -> Iterator[Record]:
    X, X_held, y, y_held = train_test_split(
        images.X_train,
        images.y_train,
        test_size=_HELD_OUT,
        random_state=0,
        stratify=images.y_train,
    )
    held_codes = np.searchsorted(np.unique(y), y_held)
    for label, kind in BY_THE_PAPER.items():
        options.announce(f"{label}, by the paper")
        curve = _follow(
            kind,
            (X, y),
            images,
            validation=(X_held, held_codes, None),
            learning_rate=0.01,
            standardize=False,
            average=False,
            tol=0,
            n_iter_no_change=1,
            max_iter=options.epochs,
        )
        if curve is not None:
            record = curve.record(label, "curve", start=kind, protocol="paper")
            end = "stopped" if curve.stopped else "limit reached"
            record.note = f"{curve.n_iter} epochs, {end}, best {curve.best_iter}"
            yield record


def _by_defaults(images: Images, options: Namespace) -> Iterator[Record]:
    """The warm ones go through the same weights as ``warm_start=True`` in `MODELS`."""
    for kind, solver in (
        ("zeros, default", "adagrad"),
        (THEOREM, "adagrad"),
        (DEFAULT, "adagrad"),
        (DEFAULT, "lbfgs"),
    ):
        options.announce(f"from {kind}, {solver}")
        curve = _follow(
            kind,
            images[:2],
            images,
            solver=solver,
            max_iter=min(options.epochs, 20),
            rng=np.random.RandomState(0),
        )
        if curve is not None:
            name = f"from {kind}, {solver}"
            yield curve.record(name, "curve", start=kind, protocol=solver)


def make_start(kind: str, X: Any, y: Any) -> Start | None:
    """Weights to start from; None where the theorem meets a co-occurrence of zero."""
    if kind in PARAMETERS:
        try:
            return Start.fitted(kind, _explicit(**PARAMETERS[kind])(), X, y)
        except ValueError:
            return None
    sizes = [X.shape[1], len(np.unique(y))]
    spread = 0.01 if kind == "random" else 0.0
    exponent = 0.5 if kind == "zeros, default" else 0.0
    return Start.cold(kind, sizes, lambda n_inputs: spread, exponent)


def _follow(
    kind: str, rows: tuple[Any, Any], images: Images, **settings: Any
) -> Curve | None:
    classes, codes = np.unique(rows[1], return_inverse=True)

    def score(decoders: Any) -> dict[str, Any]:
        model = Softmax(decoders, classes)
        test = evaluate(model, images.X_test, images.y_test)
        train = evaluate(model, images.X_train, images.y_train)
        return {
            "train_log_loss": train["log_loss"],
            "test_log_loss": test["log_loss"],
            "test_accuracy": test["accuracy"],
        }

    start = make_start(kind, *rows)
    return None if start is None else follow(start, rows[0], codes, score, **settings)


def _to_the_reference(
    records: list[Record], images: Images, options: Namespace
) -> list[Record]:
    """Warm starts that end at the first epoch with the reference's training loss.

    The reference is timed again, in turn with them; its record gets that time.
    """
    reference = named(records, LOGISTIC_REGRESSION)
    found, runs = [], {LOGISTIC_REGRESSION: _PEERS[LOGISTIC_REGRESSION].make}
    for solver in ("adagrad", "lbfgs"):
        losses = named(records, f"from {DEFAULT}, {solver}")["train_log_loss_curve"]
        reached = (i for i, x in enumerate(losses) if x <= reference["train_log_loss"])
        epoch = next(reached, None)
        name = f"{WARM}, {solver}, to LogReg loss"
        if epoch:
            runs[name] = _refined(solver=solver, max_iter=epoch)
        else:
            found.append(Record(name, note=f"n/a: {min(losses):.4f} in epoch {epoch}"))
    timings = time_in_turn(
        runs_of(runs, *images[:2]),
        options.repeats,
        options.announce,
        LOGISTIC_REGRESSION,
    )
    reference.values["fit_seconds"] = timings.pop(LOGISTIC_REGRESSION).median
    return found + fitted_records(timings, images[2:4], images[:2])


def report(records: list[Record], options: Namespace) -> str:
    """The table, and the time of explicit fits as a ratio to naive Bayes."""
    models = of_kind(records, "model")
    models += [r for r in records if r["protocol"] == "paper"]
    columns = [
        ("fit s", "fit_seconds", "sig"),
        ("x LogReg", "x_reference", "sig"),
        ("train loss", "train_log_loss", ".4f"),
        ("test loss", "test_log_loss", ".4f"),
        ("test acc", "test_accuracy", ".2%"),
        ("paper", "paper_accuracy", ".2%"),
    ]
    lines = [
        f"data: {records[0]['data']}",
        f"{RULE.format(options.repeats)}; one run by the protocol of the paper",
        table(models, columns),
        f"early stopping in the paper: {PAPER_EPOCHS['cold']} epochs from a cold "
        f"start, {PAPER_EPOCHS['warm']} from a warm start",
    ]
    for name in (THEOREM, DEFAULT):
        found = ratio(named(models, name), named(models, MULTINOMIAL_NB), "fit_seconds")
        lines.append(f"fit time of {name} / {MULTINOMIAL_NB}: {show(found)}")
    return "\n".join(lines)


_COLOURS = {
    "zeros": (figures.BLACK, "cold start (zeros)"),
    THEOREM: (figures.RED, "warm start: theorem"),
    TEMPERED: (figures.BLUE, "warm start: tempered"),
}
_SAME = {"zeros, default": "zeros", DEFAULT: TEMPERED}
_STYLES = {
    "paper": ("-", "Adagrad, step 0.01, early stopping (paper)"),
    "adagrad": ("--", "Adagrad, defaults of the package"),
    "lbfgs": (":", "L-BFGS, defaults of the package"),
}


def draw(path: Path, records: list[Record]) -> None:
    """Losses and errors by seconds and by epoch, with peers as points."""
    from matplotlib.lines import Line2D

    figure, axes = figures.new_figure(2, 2, (11, 8.6), sharey="row")
    handles = [
        Line2D([], [], color=colour, label=label) for colour, label in _COLOURS.values()
    ]
    handles += [
        Line2D([], [], color=figures.BLACK, linestyle=style, label=label)
        for style, label in _STYLES.values()
    ]
    markers = iter("osD^vP*X")
    for record in records:
        if record["start"] == "random":
            continue
        if record["protocol"]:
            start = _SAME.get(record["start"], record["start"])
            look = {"color": _COLOURS[start][0]}
            look["linestyle"] = _STYLES[record["protocol"]][0]
            # Log axes have no place for the seconds and the error of a cold start.
            first = 1 if start == "zeros" else 0
            losses = record["test_log_loss_curve"]
            errors = 100 * (1 - np.array(record["test_accuracy_curve"]))
            for row, values in zip(axes, (losses, errors), strict=True):
                row[0].plot(record["seconds_curve"][first:], values[first:], **look)
                row[1].plot(range(first, len(values)), values[first:], **look)
        elif record["fit_seconds"] and record.model in (*_PEERS, DEFAULT):
            look = {"linestyle": "none", "markersize": 8, "markeredgecolor": "black"}
            own = record.model == DEFAULT
            look |= {"color": figures.BLUE if own else figures.GREY}
            look |= {"marker": next(markers), "label": record.model, "zorder": 5}
            handles.append(Line2D([], [], **look))
            if record["test_log_loss"] is not None:
                axes[0, 0].plot(record["fit_seconds"], record["test_log_loss"], **look)
            error = 100 * (1 - record["test_accuracy"])
            axes[1, 0].plot(record["fit_seconds"], error, **look)
    for left, right in axes:
        left.set(xscale="log", yscale="log")
        right.set_xscale("symlog", linthresh=1, linscale=0.4)
        figures.plain_ticks(left.xaxis)
        figures.plain_ticks(right.xaxis)
        figures.plain_ticks(left.yaxis, (1, 1.5, 2, 3, 4, 5, 7))
    axes[0, 0].set_ylabel("test log-loss (nats)")
    axes[1, 0].set(ylabel="test error (%)", xlabel="seconds of fitting")
    axes[1, 1].set_xlabel("epoch or L-BFGS iteration (0: the start)")
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    title = records[0]["data"].partition(",")[0]
    figures.save(figure, path, f"One-layer softmax on {title}")
