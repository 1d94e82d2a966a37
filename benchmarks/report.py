"""Tables, JSON records, and progress of the benchmarks."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

try:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
except ImportError:
    Progress = None


class Steps:
    """Progress on stderr: a bar where rich is installed, otherwise a line per step."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self._bar = None
        if Progress is not None:
            self._bar = Progress(
                TextColumn("{task.description:<34}"),
                BarColumn(),
                MofNCompleteColumn(),
                console=Console(stderr=True),
                transient=True,
                # A bar that redraws itself would take time from what is measured.
                auto_refresh=False,
            )

    def __enter__(self) -> Steps:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, text: str) -> None:
        """Say what begins now."""
        self.done += 1
        if self._bar is None:
            print(f"[{self.done}/{self.total}] {text}", file=sys.stderr)
            return
        self._bar.update(self._task, description=text, completed=self.done)
        self._bar.refresh()


def table(header: list[str], rows: list[list[str]]) -> str:
    """Text in columns, the first and the last aligned to the left."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    last = len(header) - 1
    lines = []
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float | None, digits: int) -> str:
    """A number with so many decimals, or a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits and no exponent, or a dash."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def write_json(path: Path, records: list[dict[str, Any]]) -> None:
    """Write records; numbers that are not finite, which JSON has not, become null."""
    cleaned = [
        {
            key: None
            if isinstance(value, float) and not math.isfinite(value)
            else value
            for key, value in record.items()
        }
        for record in records
    ]
    path.write_text(json.dumps(cleaned, indent=1, allow_nan=False) + "\n")
