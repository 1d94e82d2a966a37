"""The numbers, figures, and claims of arXiv:2311.07498 beside ours, in one report.

Runs the benchmarks of images, priming numbers, layers, and language models, and writes
report.rst, figures, and records to a folder. --fast takes few rows of data that come
with scikit-learn and Python, and shows that all of it works; its numbers say little.
"""

from __future__ import annotations

import os
import platform
import time
from argparse import Namespace
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn

import explicit_softmax
from benchmarks.data import corpora
from benchmarks.data.images import HELP, load_images
from benchmarks.harness.options import Name, Number, parse
from benchmarks.harness.records import Record, table, write_json
from benchmarks.harness.timing import threads_line
from benchmarks.paper import findings
from benchmarks.paper.claims import approach, draw_approach, long_fits
from benchmarks.paper.scaling import draw_scaling, image_scaling, text_scaling
from benchmarks.problems import images, language, layers, priming

OPTIONS = {
    "output": Name("folder to write to (default: reproduction)", Path),
    "images": Name(HELP),
    "text": Name(corpora.HELP),
    "refine": Number(500_000, "tokens of a refinement of language models", fast=20_000),
}
_CLAIM_EPOCHS, _LONG_ITERATIONS = 20, 300


def measure(options: Namespace) -> list[Record]:
    """Run everything and write the report; a record for each finding."""
    started, folder = time.perf_counter(), options.output or Path("reproduction")
    folder.mkdir(parents=True, exist_ok=True)
    fast = ["--fast"] if options.fast else []
    if options.fast:
        options.images = options.images or "digits"
        options.text = options.text or "topics"
    data = load_images(options.images)
    found: list[findings.Finding] = []
    sections: list[str] = []

    def run(
        problem: Any, title: str, argv: list[str], data: Any = None
    ) -> list[Record]:
        """Measure a problem, and add what it reports to the sections."""
        name = problem.__name__.rpartition(".")[2]
        options.announce(f"{title} ...")
        own = parse(name, "", problem.OPTIONS, [*fast, *argv])
        own.announce, own.threads = options.announce, options.threads
        records = problem.measure_on(data, own) if data else problem.measure(own)
        write_json(folder / f"{name}.json", records)
        if hasattr(problem, "draw"):
            problem.draw(folder / f"{name}.png", records)
        sections.append(_section(title, problem.report(records, own), folder, name))
        return records

    of_images = ["--dataset", options.images] if options.images else []
    argv = [*of_images, "--repeats", "1"]
    one_layer = run(images, "One layer", argv)
    argv += [] if options.fast else ["--clusters", "1", "20", "50"]
    two_layers = run(layers, "Two layers", argv)
    found += findings.image_findings(one_layer, two_layers, data.is_mnist)
    few = data.first(400 if options.fast else None)
    scanned = priming.scan(few, np.arange(1, few.X_train.shape[1] + 1))
    priming.draw(folder / "priming.png", [scanned])
    found.append(findings.priming_finding(scanned, data.is_mnist))
    text = "\n".join(priming.scan_lines(scanned))
    sections.append(_section("Priming numbers", text, folder, "priming"))
    curve = approach(few, 3 if options.fast else _CLAIM_EPOCHS)
    fits = long_fits(few, 30 if options.fast else _LONG_ITERATIONS, options.announce)
    found += findings.claim_findings(curve, fits)
    draw_approach(folder / "approach.png", curve)
    columns = [
        ("iterations", "iterations", ""),
        ("first train loss", "first_log_loss", ".4f"),
        ("last", "train_log_loss", ".4f"),
        ("test loss", "test_log_loss", ".4f"),
    ]
    text = table(fits, columns)
    sections.append(_section("Where optimisation leads", text, folder, "approach"))
    limits = (500, 30_000) if options.fast else (corpora.VOCABULARY_SIZE, None)
    corpus = corpora.encode(corpora.load_corpus(options.text), *limits)
    scalings = [text_scaling(corpus), image_scaling(few)]
    draw_scaling(folder / "scaling.png", scalings)
    found += [findings.scaling_finding(record) for record in scalings]
    text = table(scalings, [("slope", "slope", ".2f")])
    sections.append(_section("Scaling", text, folder, "scaling"))
    argv = ["--no-peers", "--refine", str(options.refine), "--context", "1", "2", "4"]
    of_text = run(language, "Language models", argv, corpus)
    found += findings.language_findings(of_text)
    minutes = (time.perf_counter() - started) / 60
    counts = Counter(finding.verdict for finding in found)
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    parts = [
        _heading(options, data.note, minutes),
        f"In all: {told}. {findings.RULES}\n",
        findings.table_of(found),
        *sections,
    ]
    (folder / "report.rst").write_text("\n".join(parts))
    return [
        Record(f.what, {"paper": f.paper, "ours": f.ours, "verdict": f.verdict}, f.why)
        for f in found
    ]


def report(records: list[Record], options: Namespace) -> str:
    columns = [("verdict", "verdict", ""), ("paper", "paper", ""), ("here", "ours", "")]
    return table([Record(r.model, r.values) for r in records], columns)


def _section(title: str, text: str, folder: Path, figure: str) -> str:
    """A figure, if there is one, and what a benchmark reports."""
    lines = [title, "-" * len(title), ""]
    if (folder / f"{figure}.png").exists():
        lines += [f".. image:: {figure}.png", f"   :alt: {title}, as below.", ""]
    return "\n".join([*lines, "::", "", *(f"    {x}" for x in text.splitlines()), ""])


def _heading(options: Namespace, note: str, minutes: float) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(
        f"{module.__name__} {module.__version__}"
        for module in (explicit_softmax, sklearn, np, scipy)
    )
    argv = " --fast" if options.fast else ""
    for name in ("images", "text", "refine", "threads"):
        value = getattr(options, name)
        argv += f" --{name} {value}" if value else ""
    title = "Report of the reproduction"
    return (
        f"{title}\n{'=' * len(title)}\n\n"
        f"``python benchmarks/run.py paper{argv}`` on {date.today().isoformat()}, "
        f"{memory:.0f} GiB, {threads_line(options.threads)}: {minutes:.1f} minutes. "
        f"Python {platform.python_version()}, {versions}. Images: {note}. The paper is "
        "`arXiv:2311.07498 <https://arxiv.org/abs/2311.07498>`_.\n"
    )
