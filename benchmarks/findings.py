"""Numbers and claims of arXiv:2311.07498 beside what was measured, and a verdict.

Verdicts follow from the numbers by the rules below, never from what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from claims import Approach, LongFit
from curves import LABELS
from mnist import PAPER, PAPER_EPOCHS, THEOREM
from numpy.typing import NDArray
from priming_figure import Curves

AGREE, DIFFER, NOT_COMPARABLE = "agree", "differ", "not comparable"

# Accuracies agree within so many points, the scatter between random starts and splits.
_POINTS = 1.0
# A priming number is at the mean norm if it is this near to it.
_NUMBERS = 2.0
# A slope of 1 within this.
_SLOPE = 0.1
# Losses of long fits that differ by less than this are the same optimum.
_SAME_LOSS = 0.01
# An improvement of the log-loss by less than this share is marginal.
_MARGINAL = 0.05


@dataclass(frozen=True)
class Finding:
    """One number or claim of the paper."""

    what: str
    paper: str
    ours: str
    verdict: str
    why: str


def image_findings(
    records: Sequence[dict[str, Any]],
    layers: Sequence[dict[str, Any]],
    is_mnist: bool,
) -> list[Finding]:
    """Accuracies and epochs of one and of two layers."""
    of = {record["model"]: record for record in records}
    findings = [
        _accuracy(
            "accuracy of the theorem, one layer",
            PAPER[THEOREM],
            of.get(THEOREM),
            is_mnist,
            "the theorem as printed, with the signs of its Eq. 3; no random numbers",
        )
    ]
    for name in ("warm start, theorem", "cold start, small random"):
        findings.append(
            _accuracy(
                f"accuracy after early stopping, {name}",
                PAPER[name],
                of.get(name),
                is_mnist,
                "Adagrad with step 0.01 until the loss of held-out rows rises; batches "
                "and initial spread are not stated in the paper",
            )
        )
    warm, cold = of.get("warm start, theorem"), of.get("cold start, small random")
    if warm and cold:
        ours = f"{_epochs(warm)} against {_epochs(cold)}"
        verdict = NOT_COMPARABLE
        if is_mnist:
            verdict = AGREE if warm["epochs"] < cold["epochs"] else DIFFER
        best = of.get(LABELS["explicit"])
        beside = f"; {_epochs(best)} from the tempered solution" if best else ""
        findings.append(
            Finding(
                "epochs until early stopping, warm against cold",
                f"{PAPER_EPOCHS['warm']} against {PAPER_EPOCHS['cold']}",
                ours,
                verdict,
                "the theorem is over-confident, and plain Adagrad takes long to undo "
                f"that{beside}",
            )
        )
    of_layers = {record["model"]: record for record in layers}
    for name, paper, what in (
        ("warm, K=1, plain", 92.93, "two layers solved locally, then trained jointly"),
        ("cold, K=1, plain", 75.64, "two layers from random weights"),
    ):
        findings.append(
            _accuracy(
                f"accuracy, {what}",
                paper,
                of_layers.get(name),
                is_mnist,
                "plain Adagrad with step 0.03 for a fixed number of epochs; the paper "
                "states neither",
            )
        )
    return findings


def priming_finding(curves: Curves, is_mnist: bool) -> Finding:
    """Where the accuracy of the scan of priming numbers is highest."""
    places = {
        "leave-one-out accuracy": curves.numbers[curves.accuracy.argmax()],
        "test accuracy": curves.numbers[curves.test_accuracy.argmax()],
        "leave-one-out log-loss": curves.numbers[curves.loss.argmin()],
    }
    near = [
        name
        for name, place in places.items()
        if abs(place - curves.mean_norm) <= _NUMBERS
    ]
    verdict = NOT_COMPARABLE
    if is_mnist:
        verdict = AGREE if len(near) == len(places) else DIFFER
    listed = ", ".join(f"{name} {place}" for name, place in places.items())
    only = f"at the mean norm in {' and '.join(near)} only" if near else "nowhere near"
    return Finding(
        "priming number of the best score",
        "the mean norm",
        f"mean norm {curves.mean_norm:.1f}; best by {listed}",
        verdict,
        f"{only}: K weighs nothing but the class prior, which balanced classes hardly "
        "need",
    )


def scaling_finding(slope: float, data: str) -> Finding:
    """Fig. 1."""
    agrees = abs(slope - 1.0) <= _SLOPE
    return Finding(
        f"Fig. 1: slope of log class mass on log power mean, {data}",
        "1 (a straight line)",
        f"{slope:.2f}",
        AGREE if agrees else DIFFER,
        "power means of geometric means of co-occurrences, as we read the figure"
        + ("" if agrees else "; classes are few and of nearly equal mass here"),
    )


def claim_findings(
    approach: Approach, fits: Sequence[LongFit], classes: NDArray[Any]
) -> list[Finding]:
    """What the paper says of optimisation in general."""
    explicit = next(f for f in fits if f.start == LABELS["explicit"])
    starts = [f for f in fits if f.start in (LABELS["theorem"], LABELS["explicit"])]
    gains = [1.0 - f.train_log_loss / f.first_log_loss for f in starts]
    improved = "; ".join(
        f"{f.start}: {f.first_log_loss:.3f} to {f.train_log_loss:.3f}" for f in starts
    )
    cold = [f.train_log_loss for f in fits if f not in starts]
    warm = [f.train_log_loss for f in starts]
    gap = min(cold) - min(warm)
    first, last = approach.scores[0], approach.scores[-1]
    turned = int(np.argmax(approach.weights))
    nearer = last > first and turned == len(approach.weights) - 1
    return [
        Finding(
            "iteration improves the explicit solution marginally only",
            "claimed",
            f"training log-loss, {improved}",
            AGREE if max(gains) < _MARGINAL else DIFFER,
            "the explicit solution treats features as independent given the class, and "
            f"those of {len(classes)} kinds of images are not",
        ),
        Finding(
            "random starts move towards the explicit solution",
            "claimed",
            f"correlation of scores {first:.2f} to {last:.2f}; cosine of weights "
            f"{approach.weights[0]:.2f}, at most {approach.weights[turned]:.2f} (epoch "
            f"{turned}), at last {approach.weights[-1]:.2f}",
            AGREE if nearer else DIFFER,
            "they move towards it and stay near"
            if nearer
            else "at first they do, as any discriminating weights would; then weights "
            "turn away again, towards the optimum",
        ),
        Finding(
            "better optima are found only after explicit solutions",
            "claimed",
            f"long fits by L-BFGS: best from cold starts {min(cold):.4f}, from warm "
            f"starts {min(warm):.4f} (from {explicit.first_log_loss:.3f})",
            AGREE if gap > _SAME_LOSS else DIFFER,
            "one layer is a convex problem, with one optimum for all starts; only fits "
            "that are stopped early can differ",
        ),
    ]


def _accuracy(
    what: str, paper: float, record: Any, is_mnist: bool, why: str
) -> Finding:
    if record is None:
        return Finding(what, f"{paper:.2f} %", "none", NOT_COMPARABLE, "not measured")
    ours = 100 * record["test_accuracy"]
    if not is_mnist:
        why = "another data set"
        verdict = NOT_COMPARABLE
    else:
        verdict = AGREE if abs(ours - paper) <= _POINTS else DIFFER
    return Finding(what, f"{paper:.2f} %", f"{ours:.2f} %", verdict, why)


def _epochs(record: dict[str, Any]) -> str:
    return f"{record['epochs']}{'' if record['stopped'] else ' (limit)'}"


def language_findings(records: Sequence[dict[str, Any]]) -> list[Finding]:
    """Trends of Table 1; its perplexities are those of another corpus."""
    rows = [record for record in records if "dev_perplexity" in record]
    sizes = sorted({row["context_size"] for row in rows})

    def perplexities(model: str, aggregation: str) -> dict[int, float]:
        return {
            row["context_size"]: row["dev_perplexity"]
            for row in rows
            if row["model"] == model
            # One token before the target is both.
            and (row["aggregation"] == aggregation or row["context_size"] == 1)
        }

    findings = []
    for model, kind in (("theorem", "theorem with noise"), ("leave-one-out", "")):
        of_sum, of_cat = perplexities(model, "sum"), perplexities(model, "cat")
        name = kind or "betas and strength by leave-one-out"
        told = ", ".join(f"K = {size}: {of_sum[size]:.0f}" for size in sizes)
        rises = all(of_sum[one] < of_sum[other] for one, other in pairwise(sizes))
        findings.append(
            Finding(
                f"Table 1: Sum gets worse with K, {name}",
                "worse",
                f"dev perplexity, {told}",
                AGREE if rises else DIFFER,
                "Sum does not know which token is the nearest; another corpus, so that "
                "trends compare and numbers do not",
            )
        )
        told = ", ".join(
            f"K = {size}: {of_cat[size]:.0f} against {of_sum[size]:.0f}"
            for size in sizes[1:]
        )
        better = all(of_cat[size] < of_sum[size] for size in sizes[1:])
        worst = max(sizes)
        falls = of_cat[worst] < of_cat[min(sizes)]
        findings.append(
            Finding(
                f"Table 1: Cat is better than Sum, {name}",
                "better",
                f"dev perplexity, {told}",
                AGREE if better else DIFFER,
                "weights know positions; more of them "
                + (
                    "help once each position has its own beta"
                    if falls
                    else "hurt while all count in full, as each counts the same "
                    "evidence again"
                ),
            )
        )
    return findings
