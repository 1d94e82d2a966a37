"""The numbers, figures, and claims of arXiv:2311.07498 beside ours, in one report.

    python benchmarks/reproduce.py [--fast] [--output FOLDER] [--images NAME]
                                   [--text NAME] [--refine N] [--threads N]

Runs the benchmarks of images, priming numbers, layers, and language models, and writes
``report.rst`` and figures to a folder. ``--fast`` takes few rows of data that come with
scikit-learn and Python, and shows that all of it works; its numbers say little.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import language_model
import mnist
import numpy as np
import scipy
import sklearn
from claims import approach, long_fits
from datasets import Images, load_images
from findings import (
    Finding,
    claim_findings,
    image_findings,
    language_findings,
    priming_finding,
    scaling_finding,
)
from joblib import cpu_count
from layer_curves import compare_layers
from layers import layers_table
from priming import scan
from priming_figure import draw as draw_priming
from report import Steps
from reproduction_figures import draw_approach, draw_scaling
from threadpoolctl import threadpool_limits

import explicit_softmax

_CLAIM_EPOCHS, _LONG_ITERATIONS = 20, 300
_LAYER_CLUSTERS, _LAYER_EPOCHS = (1, 20, 50), 10


class Report:
    """Findings, figures, and printed tables, collected for one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.findings: list[Finding] = []
        self.sections: list[str] = []

    def figure(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def add(self, title: str, text: str, figure: str, alt: str) -> None:
        """A section: a figure, and what a benchmark printed."""
        lines = [title, "-" * len(title), ""]
        if self.figure(figure).exists():
            lines += [f".. image:: {figure}.png", f"   :alt: {alt}", ""]
        lines += ["::", "", *(f"    {line}".rstrip() for line in text.splitlines()), ""]
        self.sections.append("\n".join(lines))

    def write(self, heading: str) -> Path:
        path = self.folder / "report.rst"
        counts = [
            f"{sum(f.verdict == verdict for f in self.findings)} {verdict}"
            for verdict in ("agree", "differ", "not comparable")
        ]
        parts = [heading, f"In all: {', '.join(counts)}.\n", self._table()]
        path.write_text("\n".join([*parts, *self.sections]))
        return path

    def _table(self) -> str:
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "   :widths: 24 14 26 10 26",
            "",
            "   * - what",
            "     - paper",
            "     - here",
            "     - verdict",
            "     - why",
        ]
        for finding in self.findings:
            cells = [finding.paper, finding.ours, f"**{finding.verdict}**", finding.why]
            lines.append(f"   * - {finding.what}")
            lines += [f"     - {cell}" for cell in cells]
        return "\n".join([*lines, ""])


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    report = Report(arguments.output)
    started = time.perf_counter()
    images = load_images(arguments.images)
    is_mnist = images.note.startswith("mnist ")
    if arguments.fast:
        images = images._replace(
            X_train=images.X_train[:400], y_train=images.y_train[:400]
        )
    with threadpool_limits(arguments.threads), Steps(9) as announce:
        one_layer = _one_layer(report, arguments, announce)
        two_layers = _layers(report, images, arguments.fast, is_mnist, announce)
        report.findings += image_findings(one_layer, two_layers, is_mnist)
        _priming(report, images, is_mnist, announce)
        announce("scaling")
        slope = draw_scaling(report.figure("scaling"), images)
        report.findings.append(scaling_finding(slope, images.note.partition(",")[0]))
        _claims(report, images, arguments.fast, announce)
        _language(report, arguments, announce)
    minutes = (time.perf_counter() - started) / 60
    path = report.write(_heading(arguments, images, minutes))
    print(f"{path}: {len(report.findings)} findings in {minutes:.1f} minutes")
    for finding in report.findings:
        print(f"{finding.verdict:>14}  {finding.what}: {finding.ours}")


def _one_layer(
    report: Report, arguments: argparse.Namespace, announce: Callable[[str], None]
) -> list[dict[str, Any]]:
    announce("one layer")
    options = ["--repeats", "1"]
    if arguments.fast:
        options.append("--fast")
    if arguments.images:
        options += ["--dataset", arguments.images]
    options += _threads(arguments)
    text, records = _run(mnist.main, report, "one_layer", options)
    report.add(
        "One layer on images",
        text,
        "one_layer",
        "Test log-loss and accuracy by epoch and by seconds, cold and warm starts.",
    )
    return records


def _layers(
    report: Report,
    images: Images,
    fast: bool,
    is_mnist: bool,
    announce: Callable[[str], None],
) -> list[dict[str, Any]]:
    announce("two layers")
    records = compare_layers(
        images,
        (1, 2) if fast else _LAYER_CLUSTERS,
        (1, 2) if fast else _LAYER_CLUSTERS,
        epochs=2 if fast else _LAYER_EPOCHS,
        mlp_epochs=2 if fast else 5,
        repeats=1,
    )
    text = layers_table(records, is_mnist=is_mnist)
    report.add("Two layers on images", text, "none", "")
    return records


def _priming(
    report: Report, images: Images, is_mnist: bool, announce: Callable[[str], None]
) -> None:
    announce("priming numbers")
    curves = scan(images, np.arange(1, images.X_train.shape[1] + 1))
    draw_priming(report.figure("priming"), images.note.partition(",")[0], curves)
    finding = priming_finding(curves, is_mnist)
    report.findings.append(finding)
    report.add(
        "Priming numbers",
        finding.ours,
        "priming",
        "Log-loss and accuracy by priming number, by leave-one-out and on test rows.",
    )


def _claims(
    report: Report, images: Images, fast: bool, announce: Callable[[str], None]
) -> None:
    announce("way of a random start")
    found = approach(images, 3 if fast else _CLAIM_EPOCHS)
    fits = long_fits(images, 30 if fast else _LONG_ITERATIONS, announce)
    report.findings += claim_findings(found, fits, np.unique(images.y_train))
    draw_approach(report.figure("approach"), found)
    lines = [
        f"{fit.start:<26} {fit.n_iter:>4} iterations, training log-loss "
        f"{fit.first_log_loss:.4f} -> {fit.train_log_loss:.4f}, test "
        f"{fit.test_log_loss:.4f}"
        for fit in fits
    ]
    report.add(
        "Where optimisation leads",
        "\n".join(lines),
        "approach",
        "Likeness to the explicit solution and training log-loss by epoch, from a "
        "random start.",
    )


def _language(
    report: Report, arguments: argparse.Namespace, announce: Callable[[str], None]
) -> None:
    announce("language models")
    # Peers are no part of the paper.
    options = ["--no-peers"]
    if arguments.fast:
        options += ["--dataset", "topics", "--tokens", "30000", "--vocabulary", "500"]
    elif arguments.text:
        options += ["--dataset", arguments.text]
    refined = arguments.refine or (20_000 if arguments.fast else None)
    if refined:
        options += ["--refine", str(refined)]
    options += _threads(arguments)
    text, records = _run(language_model.main, report, "language", options)
    report.findings += language_findings(records)
    report.add(
        "Language models",
        text,
        "language",
        "Scaling, perplexity by refinement tokens, and betas by position.",
    )


def _threads(arguments: argparse.Namespace) -> list[str]:
    return ["--threads", str(arguments.threads)] if arguments.threads else []


def _run(
    benchmark: Callable[[list[str]], Any],
    report: Report,
    name: str,
    options: list[str],
) -> tuple[str, list[dict[str, Any]]]:
    """What a benchmark prints, and its records."""
    records = report.folder / f"{name}.json"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        benchmark(
            [*options, "--json", str(records), "--figure", str(report.figure(name))]
        )
    return printed.getvalue(), json.loads(records.read_text())


def _heading(arguments: argparse.Namespace, images: Images, minutes: float) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(
        f"{name} {version}"
        for name, version in (
            ("explicit_softmax", explicit_softmax.__version__),
            ("Python", platform.python_version()),
            ("scikit-learn", sklearn.__version__),
            ("NumPy", np.__version__),
            ("SciPy", scipy.__version__),
        )
    )
    options = " --fast" if arguments.fast else ""
    for name in ("images", "text", "refine", "threads"):
        value = getattr(arguments, name)
        options += f" --{name} {value}" if value else ""
    title = "Report of the reproduction"
    return (
        f"{title}\n{'=' * len(title)}\n\n"
        f"``python benchmarks/reproduce.py{options}`` on {date.today().isoformat()}, "
        f"{cpu_count()} processors, {memory:.0f} GiB: {minutes:.1f} minutes. "
        f"{versions}. Images: {images.note}"
        f"{'; first rows only' if arguments.fast else ''}. The paper is "
        "`arXiv:2311.07498 <https://arxiv.org/abs/2311.07498>`_.\n"
    )


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="The numbers, figures, and claims of arXiv:2311.07498 beside ours."
    )
    parser.add_argument("--fast", action="store_true", help="embedded data, few rows")
    parser.add_argument(
        "--output", type=Path, default=Path("reproduction"), help="folder to write to"
    )
    parser.add_argument("--images", help="as --dataset of mnist.py")
    parser.add_argument("--text", help="as --dataset of language_model.py")
    parser.add_argument(
        "--refine", type=int, help="tokens of a refinement, as of language_model.py"
    )
    parser.add_argument(
        "--threads", type=int, help="limit of the threads of BLAS and OpenMP"
    )
    arguments = parser.parse_args(argv)
    if arguments.threads is not None and arguments.threads < 1:
        parser.error("--threads must be at least 1")
    if arguments.fast:
        arguments.images = arguments.images or "digits"
    return arguments


if __name__ == "__main__":
    main()
