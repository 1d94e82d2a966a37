"""Language models of a window of tokens: the paper's Table 1, on another corpus.

For Sum and Cat and each number K of tokens before the target: the theorem with the
noise model ("-p" in the paper), the same with betas and smoothing strength by
leave-one-out, a refinement from small random weights ("-c"), and from both explicit
solutions ("-w"). At K = 1 Sum and Cat are the same. All refinements visit the same
tokens in the same order, 500,000 by default, where the paper has 32 epochs of 10
million: its columns -c and -w cannot be compared. ``--epoch 1 2`` refines Cat for a
whole epoch at K = 1 and 2, from the cold start and from the theorem. Each refinement
gives the mean of its weights after its last iteration.

Byte-pair encoding is learned from the training documents, and documents are encoded
once for all models. Perplexities are per token, on samples that are the same for all
models; bits per byte, with the bytes a token has in all dev documents, do not depend on
the tokens. The numbers of the paper are about BabyLM: trends compare, numbers do not.
To have BabyLM, put its files as train/*.txt.gz and dev/*.txt.gz into the data folder.
"""

import math
import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.corpora import (
    HELP,
    PIECE_TOKENS,
    VOCABULARY_SIZE,
    Documents,
    TokenCorpus,
    encoded,
    first_tokens,
    n_tokens,
    sample,
    windows,
)
from benchmarks.harness import figures
from benchmarks.harness.curves import Curve, Start, follow
from benchmarks.harness.options import FIGURE, Name, Number, Switch
from benchmarks.harness.records import Record, of_kind, table
from benchmarks.harness.timing import timed
from benchmarks.peers.language import KENLM, peers
from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.text.language import token_log_likelihood
from explicit_softmax.text.windows import OneHotWindows

OPTIONS = {
    "dataset": Name(HELP, fast="topics"),
    "context": Number([1, 2, 4], "numbers K", [1, 2], several=True),
    "tokens": Number(None, "training tokens, at most", fast=3000),
    "vocabulary": Number(VOCABULARY_SIZE, "token ids; bytes are 256", 300, least=300),
    "refine": Number(500_000, "tokens of a refinement", fast=500, least=0),
    "epoch": Number([], "numbers K at which Cat has a whole epoch too", several=True),
    "dev": Number(150_000, "dev tokens to score, at least", fast=2000),
    "no_peers": Switch("leave peers out"),
    **FIGURE,
}
# Tokens that are scored of training, at least, and of dev for curves, at most.
TRAIN, CURVE = 50_000, 20_000
# A refinement is scored after each of so many iterations of as many tokens.
ITERATIONS = 10
# The default of ExplicitLanguageModel for windows.
BATCH_SIZE = 1024
SEED = 0

NGRAMS = "explicit, n-grams"
COLD, THEOREM, LEAVE_ONE_OUT = "cold start", "theorem", "leave-one-out"
EXPLICIT: dict[str, dict[str, Any]] = {
    THEOREM: {"smoothing": "noise", "inverse_temperature": 1.0},
    LEAVE_ONE_OUT: {},
}
# Training and dev perplexities of the paper's Table 1, by its names of models.
PAPER_NAMES = {COLD: "-c", THEOREM: "-p", f"refined from {THEOREM}": "-w"}
WHOLE_EPOCH = ", one epoch"
PAPER = {
    ("cat", 1): {"-c": (51.4, 56.4), "-p": (85.4, 91.8), "-w": (40.1, 45.7)},
    ("sum", 2): {"-c": (47.6, 56.3), "-p": (104.0, 121.5), "-w": (41.0, 51.3)},
    ("sum", 4): {"-c": (60.7, 75.0), "-p": (144.0, 176.9), "-w": (53.8, 72.2)},
    ("cat", 2): {"-c": (30.0, 35.6), "-p": (52.0, 61.8), "-w": (25.8, 33.0)},
    ("cat", 4): {"-c": (24.6, 31.6), "-p": (40.3, 55.4), "-w": (20.7, 31.2)},
}


def measure(options: Namespace) -> list[Record]:
    """Records of kind "model" and "peer"."""
    corpus = encoded(options.dataset, options.vocabulary, options.tokens)
    scored = sample(corpus.train, TRAIN), sample(corpus.dev, options.dev)
    contexts = sorted(set(options.context))
    records: list[Record] = []
    for size in contexts:
        for aggregation in ("cat",) if size == 1 else ("sum", "cat"):
            options.announce(f"{aggregation}, K = {size}")
            refined = {"": options.refine}
            if aggregation == "cat" and size in options.epoch:
                refined[WHOLE_EPOCH] = n_tokens(corpus.train)
            records += _models(corpus, scored, aggregation, size, refined)
    if not options.no_peers:
        options.announce("peers")
        records += run_peers(corpus, scored[1], max(contexts))
    told = dict(zip(("n_train", "n_dev"), map(n_tokens, scored), strict=True))
    for record in records:
        record.values |= {"data": corpus.note, **told}
    return records


def _models(
    corpus: TokenCorpus,
    samples: Any,
    aggregation: str,
    size: int,
    n_refined: dict[str, int],
) -> list[Record]:
    """The two explicit solutions, and refinements from them and from a cold start.

    `n_refined` are numbers of tokens by what they add to the names of models.
    """
    shape = (size, corpus.vocabulary_size, aggregation)
    names = ("train_perplexity", "dev_perplexity")
    scored = {n: windows(ids, *shape) for n, ids in zip(names, samples, strict=True)}
    of_curve = windows(first_tokens(samples[1], CURVE), *shape)
    bytes_per_token = corpus.dev_bytes / n_tokens(corpus.dev)
    records = []

    def add(model: str, decoder: Any, curve: Curve, **values: Any) -> None:
        for name, rows in scored.items():
            values[name] = perplexity(decoder, rows)
        bits = math.log2(values["dev_perplexity"]) / bytes_per_token
        values |= {"dev_bits_per_byte": bits, "aggregation": aggregation}
        values |= {"context_size": size}
        values["paper"] = PAPER_NAMES.get(model.removesuffix(WHOLE_EPOCH))
        found = PAPER.get((aggregation, size), {}).get(values["paper"], (None, None))
        values |= {"paper_train": found[0], "paper_dev": found[1]}
        records.append(curve.record(model, **values))

    sizes = [scored["dev_perplexity"].shape[1], corpus.vocabulary_size - 1]
    starts = [Start.cold(COLD, sizes, lambda n_inputs: 0.01)]
    for name, parameters in EXPLICIT.items():
        model = ExplicitLanguageModel(
            context_size=size,
            aggregation=aggregation,
            vocabulary_size=corpus.vocabulary_size,
            **parameters,
        )
        start = Start.fitted(name, model, corpus.train)
        starts.append(start)
        beta = np.ravel(model.inverse_temperature_).tolist()
        curve = Curve(name, [start.seconds])
        add(name, model._model.decoders[0], curve, beta=beta)
        if name == LEAVE_ONE_OUT:
            shown = ", ".join(f"{value:.2f}" for value in beta)
            records[-1].note = f"beta {shown}; strength {model.smoothing_strength_:.3g}"
    rows = windows(corpus.train, *shape)
    for added, n in n_refined.items():
        # What the paper has is enough where a run is long.
        for start in starts[: 2 if added else None] if n else ():
            curve = follow_windows(start, rows, of_curve, n)
            name = COLD if start.label == COLD else f"refined from {start.label}"
            epochs = curve.values["tokens"][-1] / len(rows.stream.targets)
            values = {"start": start.label, "epochs": epochs}
            add(name + added, curve.decoders[0], curve, **values)
    return records


def perplexity(decoder: Decoder, rows: OneHotWindows) -> float:
    """Perplexity per token of the targets of windows."""
    targets = rows.stream.targets
    parts = token_log_likelihood(decoder, rows, targets)
    return math.exp(-sum(float(part.sum()) for part in parts) / targets.size)


def follow_windows(
    start: Start, rows: OneHotWindows, scored: OneHotWindows, n_refined: int
) -> Curve:
    """Refine as ``ExplicitLanguageModel(warm_start=True)`` does, and look on.

    No choice is made by the scores: the weights are those of the last iteration.
    """
    targets = rows.stream.targets
    per_iteration = max(1, min(n_refined // ITERATIONS, len(targets)))
    curve = follow(
        start,
        rows,
        targets,
        lambda decoders: {"perplexity": perplexity(decoders[0], scored)},
        batch_size=BATCH_SIZE,
        max_iter=ITERATIONS,
        tol=0.0,
        n_iter_no_change=ITERATIONS + 1,
        samples_per_iter=per_iteration,
        rng=np.random.RandomState(SEED),
    )
    curve.values["tokens"] = [i * per_iteration for i in range(curve.n_iter + 1)]
    return curve


def run_peers(corpus: TokenCorpus, dev: Documents, context_size: int) -> list[Record]:
    """Fit and score peers, and the explicit model on the same tokens.

    The n-grams of the model have all orders up to that of the peers.
    """
    oov = corpus.vocabulary_size - 2
    train, dev = with_oov(corpus.train, dev, oov)
    makers = {
        "explicit, Cat by leave-one-out": partial(
            ExplicitLanguageModel, aggregation="cat"
        ),
        NGRAMS: partial(ExplicitLanguageModel, predict_end=True),
        "explicit, n-grams and document": partial(
            ExplicitLanguageModel, predict_end=True, mixture=True
        ),
        **peers(),
    }
    if context_size > 2:
        makers["explicit, skip contexts too"] = partial(
            ExplicitLanguageModel, predict_end=True, mixture="skip"
        )
    sizes = [(NGRAMS, size) for size in range(1, context_size)]
    records = []
    for name, size in [*sizes, *((name, context_size) for name in makers)]:
        record = Record(name, {"context_size": size}, kind="peer")
        records.append(record)
        model = makers[name](context_size=size, vocabulary_size=corpus.vocabulary_size)
        seconds = timed(lambda model=model: model.fit(train)).median
        record.note = getattr(model, "note", "")
        seconds = getattr(model, "seconds", seconds)  # of a program of its own
        record.values |= {"context_size": model.context_size, "fit_seconds": seconds}
        if name == NGRAMS and size == context_size:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.arpa")
                written = timed(lambda model=model, path=path: model.to_arpa(path))
            record.values["with_arpa_seconds"] = seconds + written.median
        elif name == "KenLM":
            record.values["with_arpa_seconds"] = seconds
        if hasattr(model, "evaluate"):
            found = model.evaluate(dev)
            record.values["dev_perplexity"] = found["perplexity"]
            record.values["with_ends"] = found.get("perplexity_with_ends")
        else:
            logs = np.concatenate([model.log_proba(ids) for ids in dev if ids.size])
            record.values["dev_perplexity"] = math.exp(-float(logs.mean()))
    return records


def with_oov(train: Documents, dev: Documents, oov: int) -> tuple[Documents, Documents]:
    """Documents with one id for all tokens that training has once or not at all."""
    counts = np.bincount(np.concatenate(train), minlength=oov + 1)
    codes = np.where(counts > 1, np.arange(counts.size), oov).astype(np.int32)
    return [codes[ids] for ids in train], [codes[ids] for ids in dev]


def report(records: list[Record], options: Namespace) -> str:
    """A table of models, and one of peers."""
    columns = [
        ("kind", "aggregation", ""),
        ("K", "context_size", ""),
        ("train ppl", "train_perplexity", ".1f"),
        ("paper", "paper_train", ".1f"),
        ("dev ppl", "dev_perplexity", ".1f"),
        ("paper", "paper_dev", ".1f"),
        ("bits/byte", "dev_bits_per_byte", ".3f"),
        ("epochs", "epochs", ".2f"),
        ("fit s", "fit_seconds", "sig"),
    ]
    models, others = of_kind(records, "model"), of_kind(records, "peer")
    lines = [
        f"data: {records[0]['data']}",
        f"train perplexity on {records[0]['n_train']:,} tokens, dev perplexity on "
        f"{records[0]['n_dev']:,}, curves on {CURVE:,} of these; random pieces of at "
        f"most {PIECE_TOKENS:,} tokens",
        "epochs of refinement: the paper trains for 32, so that its numbers beside a "
        "fraction of one epoch do not compare",
        table(models, columns),
    ]
    if others:
        columns = [
            ("K", "context_size", ""),
            ("fit s", "fit_seconds", "sig"),
            ("with ARPA", "with_arpa_seconds", "sig"),
            ("dev ppl", "dev_perplexity", ".2f"),
            ("with ends", "with_ends", ".2f"),
        ]
        lines += [
            "",
            "peers: tokens that occur at most once are out-of-vocabulary for all",
            table(others, columns),
        ]
        if not any(record.model == "KenLM" for record in others):
            lines.append(KENLM)
    return "\n".join(lines)


_COLOURS = {COLD: figures.BLACK, THEOREM: figures.RED, LEAVE_ONE_OUT: figures.BLUE}
_SHADES = {1: figures.BLACK, 2: figures.SKY, 4: figures.BLUE}
_STYLES = {"cat": "o-", "sum": "s--"}


def draw(path: Path, records: list[Record]) -> None:
    """Refinements of the largest K, and betas by position."""
    models = of_kind(records, "model")
    longest = max(record["context_size"] for record in models)
    figure, axes = figures.new_figure(1, 2, (9.4, 4.6))
    left, right = axes[0]
    for record in models:
        size, style = record["context_size"], _STYLES[record["aggregation"]]
        label = f"{record['aggregation'].title()}, "
        short = record["start"] and not record.model.endswith(WHOLE_EPOCH)
        if short and size == longest:
            left.plot(
                np.array(record["tokens_curve"]) / 1e6,
                record["perplexity_curve"],
                style,
                color=_COLOURS[record["start"]],
                markersize=3,
                label=f"{label}from {record['start']}",
            )
        if record.model == LEAVE_ONE_OUT:
            right.plot(
                range(1, size + 1),
                np.broadcast_to(record["beta"], size),
                style,
                color=_SHADES.get(size, figures.GREEN),
                # K = 1 and the nearest of Cat nearly coincide.
                markersize=11 if size == 1 else 6,
                markerfacecolor="none" if size == 1 else None,
                label=f"{label}K = {size}",
            )
    left.set(
        xlabel="million tokens of refinement",
        ylabel=f"perplexity, {CURVE:,} dev tokens",
    )
    left.set(title=f"Refinement, K = {longest}", yscale="log")
    figures.plain_ticks(left.yaxis, (1, 2, 3, 5))
    right.axhline(1.0, color=figures.GREY, linestyle=":", label="theorem")
    right.set(xlabel="tokens back", ylabel="inverse temperature β")
    right.set(title="Betas by leave-one-out", ylim=(0, None))
    positions = range(1, longest + 1)
    right.set_xticks(positions)
    for panel in (left, right):
        if panel.lines:
            panel.legend(fontsize="small")
    title = records[0]["data"].partition(",")[0].partition(" (")[0]
    figures.save(figure, path, title)
