"""The report of the reproduction: verdicts follow from numbers, and a toy run."""

import json

import numpy as np
import pytest


@pytest.fixture
def findings(script):
    return script("findings")


def image_records(**accuracies):
    return [
        {
            "model": name,
            "test_accuracy": accuracy,
            "epochs": 23 if "warm" in name else 93,
            "stopped": True,
        }
        for name, accuracy in accuracies.items()
    ]


PAPER = {
    "theorem (beta=1, unsmoothed)": 0.8286,
    "warm start, theorem": 0.9257,
    "cold start, small random": 0.9168,
}
LAYERS = [
    {"model": "warm, K=1, plain", "test_accuracy": 0.9293},
    {"model": "cold, K=1, plain", "test_accuracy": 0.7564},
]


def test_the_numbers_of_the_paper_agree_with_themselves(findings):
    found = findings.image_findings(image_records(**PAPER), LAYERS, is_mnist=True)
    assert len(found) == 6
    assert {finding.verdict for finding in found} == {"agree"}


def test_other_numbers_differ_and_other_data_do_not_compare(findings):
    worse = {name: accuracy - 0.05 for name, accuracy in PAPER.items()}
    records = image_records(**worse)
    records[1]["epochs"] = 100
    layers = [dict(one, test_accuracy=0.5) for one in LAYERS]
    found = findings.image_findings(records, layers, is_mnist=True)
    assert {finding.verdict for finding in found} == {"differ"}
    found = findings.image_findings(records, layers, is_mnist=False)
    assert {finding.verdict for finding in found} == {"not comparable"}
    missing = findings.image_findings([], [], is_mnist=True)
    assert {finding.verdict for finding in missing} == {"not comparable"}


@pytest.mark.parametrize(("best", "verdict"), [(5, "agree"), (20, "differ")])
def test_priming_numbers(script, findings, best, verdict):
    numbers = np.arange(1, 31)
    score = -np.abs(numbers - best).astype(float)
    curves = script("priming_figure").Curves(numbers, 5.3, -score, score, -score, score)
    assert findings.priming_finding(curves, is_mnist=True).verdict == verdict


@pytest.mark.parametrize(("slope", "verdict"), [(0.95, "agree"), (0.5, "differ")])
def test_slopes(findings, slope, verdict):
    assert findings.scaling_finding(slope, "some data").verdict == verdict


def test_claims_of_optimisation(script, findings):
    claims = script("claims")

    def verdicts(scores, weights, losses):
        approach = claims.Approach(weights, scores, [2.0] * len(scores))
        starts = ["cold start, zeros", "warm start, theorem", "warm start, best beta"]
        fits = [
            claims.LongFit(start, 9, first, last, 0.3)
            for start, (first, last) in zip(starts, losses, strict=True)
        ]
        found = findings.claim_findings(approach, fits, np.arange(10))
        return [finding.verdict for finding in found]

    as_claimed = [(2.3, 0.5), (0.41, 0.4), (0.41, 0.4)]
    assert verdicts([0.0, 0.9], [0.0, 0.9], as_claimed) == ["agree"] * 3
    convex = [(2.3, 0.2), (2.3, 0.2), (0.5, 0.2)]
    assert verdicts([0.0, 0.7, 0.7], [0.0, 0.4, 0.3], convex) == ["differ"] * 3


def language_records(of_sum, of_cat):
    return [
        {
            "model": model,
            "aggregation": aggregation,
            "context_size": size,
            "dev_perplexity": value,
        }
        for model in ("theorem", "leave-one-out")
        for aggregation, values in (("sum", of_sum), ("cat", of_cat))
        for size, value in values.items()
        if not (aggregation == "sum" and size == 1)
    ] + [{"start": "a curve has no dev perplexity"}]


def test_trends_of_language_models(findings):
    found = findings.language_findings(
        language_records({1: 100, 2: 120, 4: 150}, {1: 100, 2: 90, 4: 80})
    )
    assert [finding.verdict for finding in found] == ["agree"] * 4
    found = findings.language_findings(
        language_records({1: 100, 2: 90, 4: 95}, {1: 100, 2: 99, 4: 90})
    )
    assert [finding.verdict for finding in found] == ["differ"] * 4


@pytest.mark.slow
def test_reproduction_at_toy_size(script, tmp_path, capsys):
    folder = tmp_path / "report"
    script("reproduce").main(["--fast", "--threads", "1", "--output", str(folder)])
    text = (folder / "report.rst").read_text()
    printed = capsys.readouterr().out
    assert "15 findings" in printed
    for name in ("one_layer", "priming", "scaling", "approach", "language"):
        assert (folder / f"{name}.png").stat().st_size > 5000
    for name in ("one_layer", "priming", "approach", "language"):
        assert f"image:: {name}.png" in text
    assert json.loads((folder / "language.json").read_text())
    assert text.count("**") == 2 * 15
