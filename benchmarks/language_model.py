"""Language models of a window of tokens: the paper's Table 1, on another corpus.

    python benchmarks/language_model.py [--dataset NAME] [--context 1 2 4] [--tokens N]
                                        [--refine N | --epochs E] [--json FILE]
                                        [--figure FILE] [--no-peers] [--threads N]

For Sum and Cat and each number K of tokens before the target: the theorem with the
noise model ("-p" in the paper), the same solution with betas and smoothing strength by
leave-one-out, a refinement from small random weights ("-c"), and from both explicit
solutions ("-w"). At K = 1 Sum and Cat are the same. Every model has the same tokens,
and all refinements visit the same number of them in the same order.

Byte-pair encoding is learned from the training documents and documents are encoded once
for all models. Perplexities are per token, on samples that are the same for all models;
bits per byte, with the bytes a token has in all dev documents, do not depend on tokens.

The numbers in the paper's table are of another corpus and vocabulary, and could not be
had when this was written: trends are told, numbers are not.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from corpora import VOCABULARY_SIZE, TokenCorpus, encode, load_corpus, n_tokens
from figure import matplotlib_is_there
from language_curves import (
    COLD,
    EXPLICIT,
    ITERATIONS,
    LEAVE_ONE_OUT,
    THEOREM,
    Curve,
    Samples,
    fit_explicit,
    follow,
    perplexity,
)
from language_peers import PeerRecord, peer_lines, run_peers
from report import Steps, number, significant, table, write_json
from threadpoolctl import threadpool_limits

CONTEXTS = (1, 2, 4)
REFINED_TOKENS = 500_000
# Tokens of the samples that are scored: training, dev, and dev for curves.
SCORED = (50_000, 150_000, 20_000)

# Kinds of models, and what the paper calls them.
PAPER_NAMES = {
    THEOREM: "-p",
    LEAVE_ONE_OUT: "",
    COLD: "-c",
    f"refined from {THEOREM}": "-w",
    f"refined from {LEAVE_ONE_OUT}": "",
}
TRENDS = (
    "Trends of the paper's table: Sum gets worse with K, and Cat is better than Sum. "
    "Its numbers are of another corpus and vocabulary, and were not to be had."
)
HEADER = ["model", "paper", "K", "train ppl", "dev ppl", "bits/byte", "seconds", ""]


@dataclass
class Record:
    """A row of the table. `seconds` include those of the start of a refinement."""

    model: str
    aggregation: str
    context_size: int
    train_perplexity: float
    dev_perplexity: float
    dev_bits_per_byte: float
    seconds: float
    inverse_temperature: list[float] | None = None
    smoothing_strength: float | None = None

    def row(self) -> list[str]:
        note = ""
        if self.inverse_temperature is not None and self.model == LEAVE_ONE_OUT:
            betas = ", ".join(f"{beta:.2f}" for beta in self.inverse_temperature)
            note = f"beta {betas}; strength {self.smoothing_strength:.3g}"
        return [
            f"{self.aggregation}, {self.model}",
            PAPER_NAMES[self.model],
            str(self.context_size),
            number(self.train_perplexity, 1),
            number(self.dev_perplexity, 1),
            number(self.dev_bits_per_byte, 3),
            significant(self.seconds),
            note,
        ]


@dataclass
class Results:
    """Records, curves of refinements, and the models of leave-one-out by their kind."""

    records: list[Record] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    explicit: dict[tuple[str, int], Any] = field(default_factory=dict)

    def dev(self, model: str, aggregation: str, context_size: int) -> float | None:
        """Dev perplexity of a model, None if it was not fitted."""
        for record in self.records:
            # One token before the target is both.
            alike = context_size == 1 or record.aggregation == aggregation
            if (record.model, record.context_size) == (model, context_size) and alike:
                return record.dev_perplexity
        return None


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    corpus = encode(
        load_corpus(arguments.dataset), arguments.vocabulary, arguments.tokens
    )
    samples = Samples.draw(corpus, *SCORED)
    n_refined = arguments.refine
    if arguments.epochs is not None:
        n_refined = math.ceil(arguments.epochs * n_tokens(corpus.train))
    contexts = sorted(set(arguments.context))
    with (
        threadpool_limits(arguments.threads),
        Steps(n_steps(contexts) + 1) as announce,
    ):
        results = measure(corpus, samples, contexts, n_refined, announce)
        announce("peers")
        peers: list[PeerRecord] = []
        if not arguments.no_peers:
            peers = run_peers(corpus, samples, max(contexts))
    print(f"corpus: {corpus.note}")
    print(
        "byte-pair encoding: "
        + ", ".join(f"{name} {s:.1f} s" for name, s in corpus.seconds.items())
    )
    print(samples.note)
    if results.curves:
        print(
            f"refinements: Adagrad, {results.curves[0].tokens[-1]:,} tokens in "
            f"{ITERATIONS} iterations; each gives the mean of its weights, and the "
            "last one is scored"
        )
    print(table(HEADER, [record.row() for record in results.records]))
    print("\n".join(["", TRENDS, *summary(results, contexts), *peer_lines(peers)]))
    if arguments.json:
        records: list[dict[str, Any]] = [asdict(one) for one in results.records]
        records += [asdict(curve) for curve in results.curves]
        records += [asdict(peer) for peer in peers]
        write_json(arguments.json, records)
    if arguments.figure and not matplotlib_is_there():
        print("matplotlib is not installed: no figure is drawn")
    elif arguments.figure:
        from language_figure import draw

        draw(arguments.figure, corpus, results.curves, results.explicit)


def n_steps(contexts: list[int]) -> int:
    """Models that `measure` announces."""
    return sum(5 * (1 if size == 1 else 2) for size in contexts)


def measure(
    corpus: TokenCorpus,
    samples: Samples,
    contexts: list[int],
    n_refined: int,
    announce: Callable[[str], None] = lambda text: None,
) -> Results:
    """Fit all models.

    Parameters
    ----------
    corpus : TokenCorpus
    samples : Samples
        What they are scored on.
    contexts : list of int
        Numbers K of tokens before the target.
    n_refined : int
        Tokens of each refinement; no refinements if 0.
    announce : callable
        Told of each model before it is fitted.
    """
    results = Results()
    bytes_per_token = corpus.dev_bytes / n_tokens(corpus.dev)

    def add(name: str, model: Any, decoder: Any, seconds: float) -> None:
        dev = perplexity(model, decoder, samples.dev)
        explicit = name in EXPLICIT
        results.records.append(
            Record(
                name,
                model.aggregation,
                model.context_size,
                perplexity(model, decoder, samples.train),
                dev,
                math.log2(dev) / bytes_per_token,
                seconds,
                model.inverse_temperature_.tolist() if explicit else None,
                model.smoothing_strength_ if explicit else None,
            )
        )

    for size in contexts:
        for aggregation in ("cat",) if size == 1 else ("sum", "cat"):
            starts = {}
            for start in EXPLICIT:
                announce(f"{aggregation}, K = {size}, {start}")
                starts[start] = fit_explicit(corpus, aggregation, size, start)
                model, seconds = starts[start]
                add(start, model, model._decoder, seconds)
            results.explicit[aggregation, size] = starts[LEAVE_ONE_OUT][0]
            if not n_refined:
                continue
            for start in (COLD, *EXPLICIT):
                announce(f"{aggregation}, K = {size}, from {start}")
                model, seconds = starts.get(start, (starts[LEAVE_ONE_OUT][0], 0.0))
                decoder, curve = follow(model, start, corpus, samples, n_refined)
                results.curves.append(curve)
                name = COLD if start == COLD else f"refined from {start}"
                add(name, model, decoder, seconds + curve.seconds)
    return results


def summary(results: Results, contexts: list[int]) -> list[str]:
    """Ratios of dev perplexities, and which start was ahead all the way."""
    lines = []
    by_size = [results.dev(LEAVE_ONE_OUT, "cat", size) for size in contexts]
    sizes = ", ".join(map(str, contexts))
    for aggregation in ("sum", "cat"):
        for name in EXPLICIT:
            found = [results.dev(name, aggregation, size) for size in contexts]
            told = ", ".join(number(value, 1) for value in found)
            lines.append(f"dev perplexity, {aggregation}, {name}, K = {sizes}: {told}")
    last, first = contexts[-1], contexts[0]
    theorem = results.dev(THEOREM, "cat", last)
    assert theorem is not None
    assert by_size[-1] is not None
    assert by_size[0] is not None
    lines.append(
        f"Cat, K = {last}: theorem / leave-one-out {significant(theorem / by_size[-1])}"
    )
    lines.append(
        f"Cat, leave-one-out: K = {last} / K = {first} "
        f"{significant(by_size[-1] / by_size[0])}"
    )
    for curve in results.curves:
        if curve.start != LEAVE_ONE_OUT:
            continue
        others = [
            other
            for other in results.curves
            if other is not curve
            and (other.aggregation, other.context_size)
            == (curve.aggregation, curve.context_size)
        ]
        ahead = all(
            mine < theirs
            for other in others
            for mine, theirs in zip(curve.perplexity, other.perplexity, strict=True)
        )
        ends = [
            f"{curve.start} {curve.perplexity[0]:.1f} to {curve.perplexity[-1]:.1f}"
        ]
        ends += [
            f"{other.start} {other.perplexity[0]:.1f} to {other.perplexity[-1]:.1f}"
            for other in others
        ]
        lines.append(
            f"curves, {curve.aggregation}, K = {curve.context_size}: "
            f"{'; '.join(ends)}; leave-one-out is "
            f"{'below the others at every point' if ahead else 'NOT always below'}"
        )
    return lines


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Explicit, cold-started, and warm-started language models."
    )
    parser.add_argument(
        "--dataset",
        help="topics, or a folder with train/ and dev/ of *.txt.gz in the folder that "
        "EXPLICIT_SOFTMAX_DATA names; by default babylm_like if it is to be had, "
        "otherwise topics",
    )
    parser.add_argument(
        "--context", type=int, nargs="+", default=CONTEXTS, help="numbers K"
    )
    parser.add_argument("--tokens", type=int, help="training tokens, at most")
    parser.add_argument(
        "--vocabulary", type=int, default=VOCABULARY_SIZE, help="number of token ids"
    )
    passes = parser.add_mutually_exclusive_group()
    passes.add_argument(
        "--refine", type=int, default=REFINED_TOKENS, help="tokens of a refinement"
    )
    passes.add_argument(
        "--epochs", type=float, help="the same in passes over the training tokens"
    )
    parser.add_argument("--json", type=Path, help="file for the records")
    parser.add_argument("--figure", type=Path, help="file for the figure")
    parser.add_argument("--no-peers", action="store_true", help="leave peers out")
    parser.add_argument("--threads", type=int, help="limit of the threads of BLAS")
    arguments = parser.parse_args(argv)
    positive = [*arguments.context, arguments.tokens, arguments.threads]
    if any(value is not None and value < 1 for value in positive):
        parser.error("--context, --tokens, and --threads must be at least 1")
    if arguments.refine < 0 or (arguments.epochs is not None and arguments.epochs < 0):
        parser.error("--refine and --epochs must not be negative")
    if arguments.vocabulary < 300:
        parser.error("--vocabulary must be at least 300: bytes alone are 256")
    return arguments


if __name__ == "__main__":
    main(sys.argv[1:])
