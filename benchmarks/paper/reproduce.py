"""The numbers, figures, and claims of arXiv:2311.07498 beside ours, in one report.

Runs the benchmarks of images, layers, priming numbers, and language models, and writes
report.rst, figures, and records to a folder. --fast takes few rows of data that come
with scikit-learn and Python, and shows that all of it works; its numbers say little.
"""

import platform
import re
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn

import explicit_softmax
from benchmarks.data import corpora
from benchmarks.data.images import HELP, Images, load_images
from benchmarks.harness.options import Name, Number, parse
from benchmarks.harness.records import Record, table, write_json
from benchmarks.harness.timing import threads_line
from benchmarks.paper import findings
from benchmarks.paper.claims import approach, draw_approach, long_fits
from benchmarks.paper.scaling import draw_scaling, text_scaling
from benchmarks.problems import images, language, layers, priming

OPTIONS = {
    "output": Name("folder to write to (default: reproduction)", kind=Path),
    "images": Name(HELP, fast="digits"),
    "text": Name(corpora.HELP, fast="topics"),
    "refine": Number(500_000, "tokens of a refinement of language models", fast=2000),
    "epoch": language.OPTIONS["epoch"],
    "rows": Number(None, "training rows and test rows of images, at most", fast=400),
    "tokens": Number(None, "training tokens, at most", fast=20_000),
}
_CLAIM_EPOCHS, _LONG_ITERATIONS = 20, 300


class Report:
    """Findings, figures, and tables, collected for one file."""

    def __init__(self, options: Namespace) -> None:
        self.options, self.folder = options, options.output or Path("reproduction")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.findings: list[findings.Finding] = []
        self.sections: list[str] = []

    def figure(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def run(self, problem: Any, title: str, name: str, *argv: str) -> list[Record]:
        """What a problem measures; its table, figure, and JSON file are added."""
        self.options.announce(title)
        fast = ["--fast"] if self.options.fast else []
        own = parse(name, "", problem.OPTIONS, [*fast, *argv])
        own.threads, own.announce = self.options.threads, self.options.announce
        records = problem.measure(own)
        write_json(self.folder / f"{name}.json", records)
        if hasattr(problem, "draw"):
            problem.draw(self.figure(name), records)
        self.add(title, problem.report(records, own), name)
        return records

    def add(self, title: str, text: str, name: str) -> None:
        """A section: a figure, if there is one, and what a benchmark reports."""
        lines = [title, "-" * len(title), ""]
        if self.figure(name).exists():
            lines += [f".. image:: {name}.png", f"   :alt: {title}, as below.", ""]
        self.sections.append("\n".join([*lines, as_rst(text), ""]))

    def write(self, heading: str) -> None:
        told = []
        for ours in (False, True):
            found = [f for f in self.findings if f.what.endswith(findings.OURS) == ours]
            counts = Counter(finding.verdict for finding in found).most_common()
            told.append(", ".join(f"{n} {verdict}" for verdict, n in counts))
        summary = f"Claims of the paper: {told[0]}. Of our own models: {told[1]}."
        parts = [heading, f"{summary} {findings.RULES}\n"]
        parts += [findings.table_of(self.findings), *self.sections]
        (self.folder / "report.rst").write_text("\n".join(parts))


def as_rst(text: str) -> str:
    """What a benchmark prints, with its tables as those of reStructuredText."""
    lines, parts = text.splitlines(), []
    rule = re.compile("-+(  -+)+")
    while lines:
        if len(lines) > 1 and rule.fullmatch(lines[1]):
            end = next((i for i, line in enumerate(lines) if not line), len(lines))
            widths = [len(part) for part in lines[1].split("  ")]
            n_rows = next(
                (i for i in range(2, end) if not _fits(lines[i], widths)), end
            )
            border = lines[1].replace("-", "=")
            # A dash alone would be the mark of a list.
            rows = [
                re.sub(r"(?<= )-(?=  |$)", "\N{EN DASH}", row)
                for row in lines[2:n_rows]
            ]
            parts += ["", border, lines[0], border, *rows, border, ""]
            lines = lines[n_rows:]
        else:
            parts.append(f"| {lines.pop(0)}".rstrip() if lines[0] else lines.pop(0))
    return "\n".join(parts)


def _fits(line: str, widths: Sequence[int]) -> bool:
    """Whether the columns of a table are apart in a line below it."""
    ends = np.cumsum(np.array(widths) + 2)[:-1]
    return all(line[end - 2 : end].strip() == "" for end in ends)


def measure(options: Namespace) -> list[Record]:
    """Run everything and write the report; a record for each finding."""
    started, report = time.perf_counter(), Report(options)
    data = load_images(options.images)
    argv = ["--dataset", options.images] if options.images else []
    one_layer = report.run(images, "One layer", "one_layer", *argv, "--repeats", "1")
    argv += [
        "--repeats",
        "1",
        "--clusters",
        "1",
        *([] if options.fast else ["20", "50"]),
    ]
    two_layers = report.run(layers, "Two layers", "two_layers", *argv)
    report.findings += findings.image_findings(one_layer, two_layers, data.is_mnist)
    report.findings += findings.epoch_findings(one_layer, data.is_mnist)
    _theory(report, data.first(options.rows))
    _language(report)
    minutes = (time.perf_counter() - started) / 60
    report.write(_heading(options, data.note, minutes))
    return [
        Record(f.what, {"paper": f.paper, "ours": f.ours, "verdict": f.verdict}, f.why)
        for f in report.findings
    ]


def _theory(report: Report, data: Images) -> None:
    """Priming numbers, and where optimisation leads."""
    options = report.options
    scanned = priming.scan(data, np.arange(1, data.X_train.shape[1] + 1))
    report.findings.append(findings.norm_finding(scanned, data.is_mnist))
    report.findings.append(findings.priming_finding(scanned, data.is_mnist))
    priming.draw(report.figure("priming"), [scanned])
    report.add("Priming numbers", "\n".join(priming.scan_lines(scanned)), "priming")
    curve = approach(data, 3 if options.fast else _CLAIM_EPOCHS)
    fits = long_fits(data, 30 if options.fast else _LONG_ITERATIONS, options.announce)
    report.findings += findings.claim_findings(curve, fits)
    draw_approach(report.figure("approach"), curve)
    columns = [
        ("iterations", "iterations", ""),
        ("first train loss", "first_log_loss", ".4f"),
        ("last", "train_log_loss", ".4f"),
        ("test loss", "test_log_loss", ".4f"),
    ]
    report.add("Where optimisation leads", table(fits, columns), "approach")


def _language(report: Report) -> None:
    """Fig. 1, and Table 1 without peers, which are no part of the paper."""
    options = report.options
    argv = ["--no-peers", "--refine", str(options.refine), "--context", "1", "2"]
    argv += [] if options.fast else ["4"]
    argv += ["--dataset", options.text] if options.text else []
    argv += ["--tokens", str(options.tokens)] if options.tokens else []
    argv += ["--epoch", *map(str, options.epoch)]
    rows = report.run(language, "Language models", "language", *argv)
    size = 300 if options.fast else corpora.VOCABULARY_SIZE
    corpus = corpora.encoded(options.text, size, options.tokens)
    scaled = text_scaling(corpus)
    draw_scaling(report.figure("scaling"), scaled)
    found = findings.language_findings(rows, corpora.n_tokens(corpus.train))
    bound = findings.bound_finding(scaled, rows)
    report.findings += [findings.scaling_finding(scaled), *found, bound]
    columns = [("slope", "slope", ".2f"), ("bigram bound", "bound", ".1f")]
    report.add("Scaling", table([scaled], columns), "scaling")


def _heading(options: Namespace, note: str, minutes: float) -> str:
    versions = ", ".join(
        f"{module.__name__} {module.__version__}"
        for module in (explicit_softmax, sklearn, np, scipy)
    )
    return (
        f"Report of the reproduction\n{'=' * 26}\n\n"
        f"``python benchmarks/run.py {options.command}`` on {date.today()}, "
        f"{threads_line(options.threads)}: {minutes:.1f} minutes. Python "
        f"{platform.python_version()}, {versions}. Images: {note}. The paper is "
        "`arXiv:2311.07498 <https://arxiv.org/abs/2311.07498>`_.\n"
    )


def report(records: list[Record], options: Namespace) -> str:
    columns = [("verdict", "verdict", ""), ("paper", "paper", ""), ("here", "ours", "")]
    return table([Record(r.model, r.values) for r in records], columns)
