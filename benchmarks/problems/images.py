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
from benchmarks.harness.curves import ColdStart, Softmax, Start, follow
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
# Fig. 2, left: epochs of a cold start until it has the accuracy of the theorem.
PAPER_ACCURACY, PAPER_CATCH_UP = 0.82, 5
# Mean norm of the rows, pixels as (x + 1)/256.
PAPER_NORM = 105.99
_PEERS = some(
    MULTINOMIAL_NB,
    "ComplementNB",
    "RidgeClassifier",
    "SGDClassifier",
    LOGISTIC_REGRESSION,
)
_EPOCHS = (1, 4, 20)


def _explicit(**parameters: Any) -> Callable[[], Any]:
    return lambda: ExplicitSoftmaxClassifier(**parameters)


def _refined(**parameters: Any) -> Callable[[], Any]:
    # The training of the paper, which a start from zeros can have as well.
    refinement = Refinement(margins=False, random_state=0, **parameters)
    return _explicit(warm_start=True, refinement=refinement)


MODELS: dict[str, Callable[[], Any]] = {
    **{name: _explicit(**parameters) for name, parameters in PARAMETERS.items()},
    "explicit, CV": ExplicitSoftmaxClassifierCV,
    # The same optimiser from both, 20 epochs being the default.
    **{f"{COLD}, max_iter={n}": partial(ColdStart, n) for n in _EPOCHS},
    **{f"{WARM}, max_iter={n}": _refined(max_iter=n) for n in _EPOCHS},
    f"{WARM}, lbfgs": _refined(solver="lbfgs"),
}


def measure(options: Namespace) -> list[Record]:
    """Records of kind "model", and of refinements that were followed, "curve"."""
    images = load_images(options.dataset).first(options.rows)
    train, test = images[:2], images[2:4]
    runs = runs_of(MODELS | makers(_PEERS), *train)
    timings = time_in_turn(runs, options.repeats, options.announce)
    records = fitted_records(timings, test, train, _PEERS)
    records += _curves(images, options)
    records += _to_the_reference(records, images, options)
    reference = named(records, LOGISTIC_REGRESSION)
    for record in records:
        record.values["data"] = images.note
        record.values["x_reference"] = ratio(record, reference, "fit_seconds")
        if images.is_mnist:
            record.values["paper_accuracy"] = PAPER.get(record.model)
    return records


def _curves(images: Images, options: Namespace) -> Iterator[Record]:
    """Refinements by both protocols.

    Those from the default go through the same weights as ``warm_start=True``.
    """
    X, X_held, y, y_held = train_test_split(
        *images[:2], test_size=0.1, random_state=0, stratify=images.y_train
    )
    classes, held_codes = np.unique(y_held, return_inverse=True)
    by_the_paper = {
        "validation": (X_held, held_codes, None),
        "learning_rate": 0.01,
        "standardize": False,
        "average": False,
        "tol": 0,
        "n_iter_no_change": 1,
        "max_iter": options.epochs,
    }
    plans = [(label, kind, "paper") for label, kind in BY_THE_PAPER.items()]
    plans += [
        (f"from {kind}, {solver}", kind, solver)
        for kind, solver in (
            ("zeros, default", "adagrad"),
            (THEOREM, "adagrad"),
            (DEFAULT, "adagrad"),
            (DEFAULT, "lbfgs"),
        )
    ]
    for label, kind, protocol in plans:
        options.announce(f"{label} ({protocol})")
        rows, settings = (X, y), by_the_paper
        if protocol != "paper":
            rows, settings = images[:2], {"max_iter": min(options.epochs, 20)}
            settings |= {"solver": protocol, "rng": np.random.RandomState(0)}

        def score(decoders: Any, own: bool = protocol != "paper") -> dict[str, Any]:
            model = Softmax(decoders, classes)
            test = evaluate(model, *images[2:4])
            values = {f"test_{key}": test[key] for key in ("log_loss", "accuracy")}
            if own:
                values["train_log_loss"] = evaluate(model, *images[:2])["log_loss"]
            return values

        try:
            start = make_start(kind, *rows)
        except ValueError:  # a co-occurrence is zero: the row of the theorem says so
            continue
        codes = np.searchsorted(classes, rows[1])
        curve = follow(start, rows[0], codes, score, **settings)
        record = curve.record(label, "curve", start=kind, protocol=protocol)
        end = "stopped" if curve.stopped else "limit reached"
        record.note = f"{curve.n_iter} epochs, {end}, best {curve.best_iter}"
        yield record


def make_start(kind: str, X: Any, y: Any) -> Start:
    """Weights to start from; the theorem raises where a co-occurrence is zero."""
    if kind in PARAMETERS:
        return Start.fitted(kind, _explicit(**PARAMETERS[kind])(), X, y)
    sizes = [X.shape[1], len(np.unique(y))]
    spread = 0.01 if kind == "random" else 0.0
    exponent = 0.5 if kind == "zeros, default" else 0.0
    return Start.cold(kind, sizes, lambda n_inputs: spread, exponent)


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
    runs = runs_of(runs, *images[:2])
    timings = time_in_turn(runs, options.repeats, options.announce)
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
        right.set_xlim(left=-0.05)
        figures.plain_ticks(left.xaxis)
        figures.plain_ticks(right.xaxis, decades=(0, 1, 2))
        figures.plain_ticks(left.yaxis, (1, 1.5, 2, 3, 4, 5, 7))
    axes[0, 0].set_ylabel("test log-loss (nats)")
    axes[1, 0].set(ylabel="test error (%)", xlabel="seconds of fitting")
    axes[1, 1].set_xlabel("epoch or L-BFGS iteration (0: the start)")
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    title = records[0]["data"].partition(",")[0]
    figures.save(figure, path, f"One-layer softmax on {title}")
