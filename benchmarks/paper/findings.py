"""Numbers and claims of arXiv:2311.07498 beside what was measured, and a verdict.

Verdicts follow from the numbers by the rules below, never from what was expected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.harness.records import Record, named
from benchmarks.problems import images, language, layers
from benchmarks.problems.priming import best_places

AGREE, DIFFER, NOT_COMPARABLE = "agree", "differ", "not comparable"
# What is close enough; `RULES` says of what. Accuracies: less than the effects that the
# paper reports. Fig. 1: its slope is "a small amount shallower" than 1.
POINTS, NUMBERS, SLOPES = 0.005, 2.0, (0.75, 1.0)
SAME_LOSS, MARGINAL, PERPLEXITY = 0.01, 0.05, 0.1
# Findings about the model of this package, which the paper does not have.
OURS = "our betas and strength"
# Perplexities compare with a corpus of about the size of the paper's.
CORPUS_TOKENS = 5_000_000
RULES = (
    f"Accuracies agree within {100 * POINTS:g} points, priming numbers and epochs "
    f"within {NUMBERS:g}, the mean norm to its digits, slopes from "
    f"{SLOPES[0]:g} to {SLOPES[1]:g}, training perplexities within "
    f"{PERPLEXITY:.0%}. An improvement of the log-loss below {MARGINAL:.0%} is "
    f"marginal, and losses within {SAME_LOSS:g} are the same optimum."
)
_STOPPING = (
    "Adagrad with step 0.01 until the loss of held-out rows rises; the paper does not "
    "state batches and initial spread"
)
_NOT_RANDOM = (
    "close, but nothing in it is random, and we do not know why it is not equal"
)
_PLAIN = "plain Adagrad, step 0.03, a fixed number of epochs; the paper states neither"


@dataclass(frozen=True)
class Finding:
    """One number or claim of the paper."""

    what: str
    paper: str
    ours: str
    verdict: str
    why: str


def _verdict(holds: bool, comparable: bool = True) -> str:
    if not comparable:
        return NOT_COMPARABLE
    return AGREE if holds else DIFFER


def image_findings(
    one_layer: Sequence[Record], two_layers: Sequence[Record], is_mnist: bool
) -> list[Finding]:
    """Accuracies and epochs of one and of two layers."""
    warm, cold = "warm start, theorem", "cold start, small random"
    findings = []
    for name, paper, records, why in (
        (images.THEOREM, images.PAPER, one_layer, _NOT_RANDOM),
        (warm, images.PAPER, one_layer, _STOPPING),
        (cold, images.PAPER, one_layer, _STOPPING),
        (layers.WARM_PLAIN, layers.PAPER, two_layers, _PLAIN),
        (layers.COLD_PLAIN, layers.PAPER, two_layers, _PLAIN),
    ):
        ours = named(records, name)["test_accuracy"]
        known = ours is not None
        verdict = _verdict(
            known and abs(ours - paper[name]) <= POINTS, known and is_mnist
        )
        told = f"{ours:.2%}" if known else "not measured"
        claim = f"accuracy, {name}"
        findings.append(Finding(claim, f"{paper[name]:.2%}", told, verdict, why))
    return findings


def epoch_findings(one_layer: Sequence[Record], is_mnist: bool) -> list[Finding]:
    """Where one layer ends from both starts, and after how many epochs."""
    warm, cold = "warm start, theorem", "cold start, small random"
    starts = [named(one_layer, name) for name in (warm, cold)]
    accuracies = [start["test_accuracy"] for start in starts]
    epochs = [start["iterations"] for start in starts]
    if None in epochs:
        return []
    told = [f"{s['iterations']}{'' if s['stopped'] else ' (limit)'}" for s in starts]
    tempered = named(one_layer, "warm start, tempered").note
    why = "the theorem is over-confident, which plain Adagrad takes long to undo"
    curve = starts[1]["test_accuracy_curve"]
    caught_up = next(
        (i for i, value in enumerate(curve) if value >= images.PAPER_ACCURACY), None
    )
    return [
        Finding(
            "the warm start ends above the cold one",
            f"{images.PAPER[warm]:.2%} against {images.PAPER[cold]:.2%}",
            f"{accuracies[0]:.2%} against {accuracies[1]:.2%}",
            _verdict(accuracies[0] > accuracies[1], is_mnist),
            why,
        ),
        Finding(
            "epochs until early stopping, warm against cold",
            f"{images.PAPER_EPOCHS['warm']} against {images.PAPER_EPOCHS['cold']}",
            " against ".join(told),
            _verdict(epochs[0] < epochs[1], is_mnist),
            f"{why}; from the tempered theorem: {tempered}",
        ),
        Finding(
            f"Fig. 2: epochs of a cold start until {images.PAPER_ACCURACY:.0%}, which "
            "the theorem has at once",
            f"roughly {images.PAPER_CATCH_UP}",
            "not reached" if caught_up is None else str(caught_up),
            _verdict(
                caught_up is not None
                and abs(caught_up - images.PAPER_CATCH_UP) <= NUMBERS,
                is_mnist,
            ),
            _STOPPING,
        ),
    ]


def norm_finding(found: Record, is_mnist: bool) -> Finding:
    """The mean norm of the rows, which is arithmetic."""
    return Finding(
        "mean norm of the rows",
        f"{images.PAPER_NORM:.2f}",
        f"{found['mean_norm']:.2f}",
        _verdict(abs(found["mean_norm"] - images.PAPER_NORM) < 0.005, is_mnist),
        "784 times the mean of (x + 1)/256 over the training pixels",
    )


def priming_finding(found: Record, is_mnist: bool) -> Finding:
    """Where the scores of the scan of priming numbers are best."""
    numbers = {name: found["numbers"][at] for name, at in best_places(found).items()}
    norm = found["mean_norm"]
    near = [name for name, K in numbers.items() if abs(K - norm) <= NUMBERS]
    told = ", ".join(f"{name} {K}" for name, K in numbers.items())
    return Finding(
        "priming number of the best score",
        "the mean norm",
        f"mean norm {norm:.1f}; best by {told}",
        _verdict(len(near) == len(numbers), is_mnist),
        f"near the mean norm by {', '.join(near) or 'none'}; 1/K is the weight of the "
        "class prior and nothing else, which balanced classes hardly need",
    )


def scaling_finding(found: Record) -> Finding:
    """Fig. 1, left, on text."""
    return Finding(
        f"Fig. 1: slope of log class mass on log power mean, {found.model}",
        "a small amount shallower than 1 (BabyLM, K = 1)",
        f"{found['slope']:.2f}",
        _verdict(SLOPES[0] <= found["slope"] <= SLOPES[1]),
        "power means of geometric means of co-occurrences, as we read the figure",
    )


def bound_finding(found: Record, records: Sequence[Record]) -> Finding:
    """Table 1, K = 1: what is below the explicit solution on its training tokens."""
    theorem = next(
        row
        for row in records
        if row.model == language.THEOREM and row["context_size"] == 1
    )
    paper = language.PAPER["cat", 1]
    below = paper["-w"][0] / paper["-p"][0]
    possible = found["bound"] / theorem["train_perplexity"]
    ours = theorem["train_perplexity"]
    return Finding(
        "Table 1: training perplexity, warm start below explicit solution, K = 1",
        f"{paper['-w'][0]} and {paper['-p'][0]}, a factor of {below:.2f}",
        f"at best {found['bound']:.1f} and {ours:.1f}, a factor of {possible:.2f}",
        _verdict(possible <= below),
        "no model of one token before is below the maximum-likelihood bigram on its "
        "training tokens, so that the paper's columns must differ in more than the "
        "start; ours are of all training tokens and of a sample of them",
    )


def claim_findings(approach: Record, fits: Sequence[Record]) -> list[Finding]:
    """What the paper says of optimisation in general."""
    warm = [fit for fit in fits if fit.model.startswith("warm")]
    gains = [1.0 - fit["train_log_loss"] / fit["first_log_loss"] for fit in warm]
    improved = (
        f"{fit.model}: {fit['first_log_loss']:.3f} to {fit['train_log_loss']:.3f}"
        for fit in warm
    )
    best_warm = min(fit["train_log_loss"] for fit in warm)
    best_cold = min(fit["train_log_loss"] for fit in fits if fit not in warm)
    scores, weights = approach["scores_curve"], approach["weights_curve"]
    turned = weights.index(max(weights))
    nearer = scores[-1] > scores[0] and turned == len(weights) - 1
    return [
        Finding(
            "iteration improves the explicit solution marginally only",
            "claimed",
            f"training log-loss, {'; '.join(improved)}",
            _verdict(max(gains) < MARGINAL),
            "it takes features for independent given the class, and pixels are not",
        ),
        Finding(
            "random starts move towards the explicit solution",
            "claimed",
            f"correlation of scores {scores[0]:.2f} to {scores[-1]:.2f}; cosine of "
            f"weights {weights[0]:.2f}, at most {weights[turned]:.2f} in epoch "
            f"{turned}, at last {weights[-1]:.2f}",
            _verdict(nearer),
            "they move towards it and stay near"
            if nearer
            else "as any discriminating weights would; then they turn away again",
        ),
        Finding(
            "better optima are found only after explicit solutions",
            "claimed",
            f"best long fit from cold starts {best_cold:.4f}, from warm ones "
            f"{best_warm:.4f}",
            _verdict(best_cold - best_warm > SAME_LOSS),
            "one layer is a convex problem with one optimum for all starts",
        ),
    ]


def language_findings(records: Sequence[Record], n_tokens: int) -> list[Finding]:
    """Table 1: training perplexities of the theorem, and trends.

    Trends of our own model are no claim of the paper, and are counted apart.
    """
    findings = []
    for row in records:
        if row.model == language.THEOREM and row["paper_train"]:
            paper, ours = row["paper_train"], row["train_perplexity"]
            near = abs(ours / paper - 1) <= PERPLEXITY
            kind = f"{row['aggregation'].title()}, K = {row['context_size']}"
            findings.append(
                Finding(
                    f"Table 1: training perplexity of the theorem, {kind}",
                    f"{paper:.1f}",
                    f"{ours:.1f}",
                    _verdict(near, n_tokens >= CORPUS_TOKENS),
                    "another corpus",
                )
            )
    for model, name in (
        (language.THEOREM, "theorem with noise"),
        (language.LEAVE_ONE_OUT, OURS),
    ):
        dev: dict[str, dict[int, float]] = {"sum": {}, "cat": {}}
        for row in records:
            if row.model == model:
                # One token before the target is both.
                for kind in dev if row["context_size"] == 1 else (row["aggregation"],):
                    dev[kind][row["context_size"]] = row["dev_perplexity"]
        of_sum, of_cat = (list(found.values()) for found in dev.values())
        told = [
            f"{kind.title()} {', '.join(f'{value:.0f}' for value in found.values())}"
            for kind, found in dev.items()
        ]
        sizes = ", ".join(map(str, dev["cat"]))
        rises = all(one < other for one, other in pairwise(of_sum))
        falls = all(one > other for one, other in pairwise(of_cat))
        better = all(b < a for a, b in zip(of_sum[1:], of_cat[1:], strict=True))
        findings += [
            Finding(
                f"Table 1: {what}, {name}",
                "so",
                f"dev perplexity at K = {sizes}: {'; '.join(told)}",
                _verdict(holds),
                "another corpus, so that trends compare and numbers do not",
            )
            for what, holds in (
                ("Sum gets worse with K", rises),
                ("Cat gets better with K", falls),
                ("Cat is better than Sum", better),
            )
        ]
    return findings


def table_of(findings: Sequence[Finding]) -> str:
    """All findings as a table of reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 24 14 26 10 26", ""]
    header: Any = ("what", "paper", "here", "verdict", "why")
    rows = [(f.what, f.paper, f.ours, f"**{f.verdict}**", f.why) for f in findings]
    for row in (header, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return "\n".join([*lines, ""])
