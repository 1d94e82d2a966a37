"""Language models of a window of tokens: the paper's Table 1, on another corpus.

For Sum and Cat and each number K of tokens before the target: the theorem with the
noise model ("-p" in the paper), the same with betas and smoothing strength by
leave-one-out, a refinement from small random weights ("-c"), and from both explicit
solutions ("-w"). At K = 1 Sum and Cat are the same. Every model has the same tokens,
and all refinements visit the same number of them in the same order: 500,000 by default,
where the paper has 32 epochs of 10 million, so that its columns -c and -w cannot be
compared. Each refinement gives the mean of its weights after its last iteration.

Byte-pair encoding is learned from the training documents, and documents are encoded
once for all models. Perplexities are per token, on samples that are the same for all
models; bits per byte, with the bytes a token has in all dev documents, do not depend on
the tokens. The numbers of the paper are about BabyLM: trends compare, numbers do not.
To have BabyLM, put its files as train/*.txt.gz and dev/*.txt.gz into the data folder.
"""

import math
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.corpora import (
    HELP,
    VOCABULARY_SIZE,
    Documents,
    Samples,
    TokenCorpus,
    encode,
    load_corpus,
    n_tokens,
    windows,
)
from benchmarks.harness import figures
from benchmarks.harness.curves import Curve, Start, follow
from benchmarks.harness.options import FIGURE, Name, Number, Switch
from benchmarks.harness.records import Record, named, of_kind, ratio, show, table
from benchmarks.harness.timing import timed
from benchmarks.peers.language import PEERS
from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.text.language import token_log_likelihood
from explicit_softmax.text.windows import OneHotWindows

OPTIONS = {
    "dataset": Name(HELP, fast="topics"),
    "context": Number([1, 2, 4], "numbers K", [1, 2], several=True),
    "tokens": Number(None, "training tokens, at most", fast=6000),
    "vocabulary": Number(VOCABULARY_SIZE, "token ids; bytes are 256", 300, least=300),
    "refine": Number(500_000, "tokens of a refinement", fast=500, least=0),
    "no_peers": Switch("leave peers out"),
    **FIGURE,
}
# Tokens of the samples that are scored: training, dev, and dev for curves.
SCORED = (50_000, 150_000, 20_000)
# A refinement is scored after each of so many iterations of as many tokens.
ITERATIONS = 10
# The default of ExplicitLanguageModel for windows.
BATCH_SIZE = 1024
SEED = 0

COLD, THEOREM, LEAVE_ONE_OUT = "cold start", "theorem", "leave-one-out"
EXPLICIT: dict[str, dict[str, Any]] = {
    THEOREM: {"smoothing": "noise", "inverse_temperature": 1.0},
    LEAVE_ONE_OUT: {},
}
# Training and dev perplexities of the paper's Table 1, by its names of models.
PAPER_NAMES = {COLD: "-c", THEOREM: "-p", f"refined from {THEOREM}": "-w"}
PAPER = {
    ("cat", 1): {"-c": (51.4, 56.4), "-p": (85.4, 91.8), "-w": (40.1, 45.7)},
    ("sum", 2): {"-c": (47.6, 56.3), "-p": (104.0, 121.5), "-w": (41.0, 51.3)},
    ("sum", 4): {"-c": (60.7, 75.0), "-p": (144.0, 176.9), "-w": (53.8, 72.2)},
    ("cat", 2): {"-c": (30.0, 35.6), "-p": (52.0, 61.8), "-w": (25.8, 33.0)},
    ("cat", 4): {"-c": (24.6, 31.6), "-p": (40.3, 55.4), "-w": (20.7, 31.2)},
}


def measure(options: Namespace) -> list[Record]:
    """Records of kind "model" and "peer"."""
    corpus = encode(load_corpus(options.dataset), options.vocabulary, options.tokens)
    samples = Samples.draw(corpus, *SCORED)
    contexts = sorted(set(options.context))
    records: list[Record] = []
    for size in contexts:
        for aggregation in ("cat",) if size == 1 else ("sum", "cat"):
            options.announce(f"{aggregation}, K = {size}")
            records += _models(corpus, samples, aggregation, size, options.refine)
    if not options.no_peers:
        options.announce("peers")
        records += run_peers(corpus, samples, max(contexts))
    for record in records:
        record.values |= {"data": corpus.note, "samples": samples.note}
    return records


def _models(
    corpus: TokenCorpus, samples: Samples, aggregation: str, size: int, n_refined: int
) -> list[Record]:
    """The two explicit solutions, and refinements from them and from a cold start."""
    shape = (size, corpus.vocabulary_size, aggregation)
    scored = {
        "train_perplexity": windows(samples.train, *shape),
        "dev_perplexity": windows(samples.dev, *shape),
    }
    bytes_per_token = corpus.dev_bytes / n_tokens(corpus.dev)
    records = []

    def add(model: str, decoder: Any, curve: Curve, **values: Any) -> None:
        for name, rows in scored.items():
            values[name] = perplexity(decoder, rows)
        bits = math.log2(values["dev_perplexity"]) / bytes_per_token
        values |= {"dev_bits_per_byte": bits, "aggregation": aggregation}
        values |= {"context_size": size, "paper": PAPER_NAMES.get(model)}
        found = PAPER.get((aggregation, size), {}).get(values["paper"], (None, None))
        values |= {"paper_train": found[0], "paper_dev": found[1]}
        records.append(curve.record(model, **values))

    starts = [
        Start.cold(
            COLD,
            [(size if aggregation == "cat" else 1) * shape[1], shape[1] - 1],
            lambda n: 0.01,
        )
    ]
    for name, parameters in EXPLICIT.items():
        model = ExplicitLanguageModel(
            context_size=size,
            aggregation=aggregation,
            vocabulary_size=corpus.vocabulary_size,
            **parameters,
        )
        start = Start.fitted(name, model, corpus.train)
        beta = np.ravel(model.inverse_temperature_).tolist()
        strength = model.smoothing_strength_
        curve = Curve(name, [start.seconds])
        add(name, model._model.decoders[0], curve, beta=beta, strength=strength)
        if name == LEAVE_ONE_OUT:
            shown = ", ".join(f"{value:.2f}" for value in beta)
            records[-1].note = f"beta {shown}; strength {strength:.3g}"
        starts.append(start)
    for start in starts if n_refined else ():
        curve = follow_windows(start, corpus.train, shape, samples.curve, n_refined)
        name = COLD if start.label == COLD else f"refined from {start.label}"
        add(name, curve.decoders[0], curve, start=start.label)
    return records


def perplexity(decoder: Decoder, rows: OneHotWindows) -> float:
    """Perplexity per token of the targets of windows."""
    targets = rows.stream.targets
    parts = token_log_likelihood(decoder, rows, targets)
    return math.exp(-sum(float(part.sum()) for part in parts) / targets.size)


def follow_windows(
    start: Start,
    documents: Documents,
    shape: tuple[int, int, str],
    scored: Documents,
    n_refined: int,
) -> Curve:
    """Refine as ``ExplicitLanguageModel(warm_start=True)`` does, and look on.

    No choice is made by the scores: the weights are those of the last iteration.
    """
    rows, others = windows(documents, *shape), windows(scored, *shape)
    targets = rows.stream.targets
    per_iteration = max(1, min(n_refined // ITERATIONS, len(targets)))
    curve = follow(
        start,
        rows,
        targets,
        lambda decoders: {"perplexity": perplexity(decoders[0], others)},
        batch_size=BATCH_SIZE,
        max_iter=ITERATIONS,
        tol=0.0,
        n_iter_no_change=ITERATIONS + 1,
        samples_per_iter=per_iteration,
        rng=np.random.RandomState(SEED),
    )
    curve.values["tokens"] = [i * per_iteration for i in range(curve.n_iter + 1)]
    return curve


def run_peers(corpus: TokenCorpus, samples: Samples, context_size: int) -> list[Record]:
    """Fit and score peers, and the explicit model on the same tokens."""
    oov = corpus.vocabulary_size - 2
    train, dev = with_oov(corpus.train, samples.dev, oov)
    makers = {
        "explicit, Cat by leave-one-out": lambda context_size, vocabulary_size: (
            ExplicitLanguageModel(
                context_size=context_size, vocabulary_size=vocabulary_size
            )
        ),
        **PEERS,
    }
    records = []
    for name, make in makers.items():
        record = Record(name, {"context_size": context_size}, kind="peer")
        records.append(record)
        try:
            model = make(context_size, corpus.vocabulary_size)
        except ImportError as error:
            record.note = f"not available: {error}"
            continue
        seconds = timed(lambda model=model: model.fit(train)).median
        parts = [model.log_proba(ids) for ids in dev if ids.size]
        record.note = getattr(model, "note", "")
        record.values |= {
            "context_size": model.context_size,
            "fit_seconds": seconds,
            "dev_perplexity": math.exp(-float(np.concatenate(parts).mean())),
        }
    return records


def with_oov(train: Documents, dev: Documents, oov: int) -> tuple[Documents, Documents]:
    """Documents with one id for all tokens that training has once or not at all.

    Kneser-Ney smoothing gives no probability to what was never seen.
    """
    counts = np.bincount(np.concatenate(train), minlength=oov + 1)
    codes = np.where(counts > 1, np.arange(counts.size), oov).astype(np.int32)
    return [codes[ids] for ids in train], [codes[ids] for ids in dev]


def report(records: list[Record], options: Namespace) -> str:
    """A table of models, ratios, and a table of peers."""
    columns = [
        ("kind", "aggregation", ""),
        ("K", "context_size", ""),
        ("train ppl", "train_perplexity", ".1f"),
        ("paper", "paper_train", ".1f"),
        ("dev ppl", "dev_perplexity", ".1f"),
        ("paper", "paper_dev", ".1f"),
        ("bits/byte", "dev_bits_per_byte", ".3f"),
        ("fit s", "fit_seconds", "sig"),
    ]
    models, peers = of_kind(records, "model"), of_kind(records, "peer")
    sizes = sorted({record["context_size"] for record in models})
    first, last = (
        [r for r in models if r["context_size"] == size and r["aggregation"] == "cat"]
        for size in (sizes[0], sizes[-1])
    )
    best = named(last, LEAVE_ONE_OUT)
    over = ratio(named(last, THEOREM), best, "dev_perplexity")
    gain = ratio(best, named(first, LEAVE_ONE_OUT), "dev_perplexity")
    lines = [
        f"data: {records[0]['data']}",
        records[0]["samples"],
        table(models, columns),
        f"dev perplexity, Cat, K = {sizes[-1]}: theorem / leave-one-out {show(over)}; "
        f"leave-one-out / that of K = {sizes[0]}: {show(gain)}",
    ]
    if peers:
        columns = [
            ("K", "context_size", ""),
            ("fit s", "fit_seconds", "sig"),
            ("dev ppl", "dev_perplexity", ".1f"),
        ]
        lines += [
            "",
            "peers: tokens that occur at most once are out-of-vocabulary for all",
            table(peers, columns),
        ]
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
        if record["start"] and size == longest:
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
    left.set(xlabel="million tokens of refinement", ylabel="perplexity of curves")
    left.set(title=f"Refinement, K = {longest}", yscale="log")
    figures.plain_ticks(left.yaxis, (1, 2, 3, 5))
    right.axhline(1.0, color=figures.GREY, linestyle=":", label="theorem")
    right.set(xlabel="position of the context token", ylabel="inverse temperature β")
    right.set(title="Betas by leave-one-out", ylim=(0, None))
    positions = range(1, longest + 1)
    right.set_xticks(positions, [f"-{k}" for k in positions])
    for panel in (left, right):
        if panel.lines:
            panel.legend(fontsize="small")
    figures.save(figure, path, records[0]["data"].partition(",")[0])
