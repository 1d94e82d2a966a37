"""The result of a benchmark: records, their tables, and their JSON file."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Record:
    """One model, or one way to do something: a row of a table.

    `values` are numbers, strings, or lists of them by name; what is missing was not
    measured. `kind` says which table of the problem the record belongs to.
    """

    model: str
    values: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    kind: str = "model"

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)

    def as_dict(self) -> dict[str, Any]:
        """As the JSON file has it; numbers that JSON lacks become None."""
        own = {"model": self.model, "kind": self.kind, "note": self.note}
        return own | {name: _finite(value) for name, value in self.values.items()}


def write_json(path: Path, records: Sequence[Record]) -> None:
    found = [record.as_dict() for record in records]
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")


def of_kind(records: Sequence[Record], kind: str) -> list[Record]:
    return [record for record in records if record.kind == kind]


def named(records: Sequence[Record], model: str) -> Record:
    """The record of a model, an empty one where there is none."""
    return next((r for r in records if r.model == model), Record(model))


def ratio(one: Record, other: Record, name: str) -> float | None:
    """Of a value to that of another record, None where one was not measured."""
    if one[name] is None or not other[name]:
        return None
    return float(one[name] / other[name])


# Header, name of the value, and its format: as of `format`, or "sig" (see `show`).
Column = tuple[str, str, str]


def table(records: Sequence[Record], columns: Sequence[Column]) -> str:
    """Text in columns: the model on the left, and its note on the right."""
    rows = [["model", *(header for header, _, _ in columns), ""]]
    for record in records:
        cells = (show(record[name], form) for _, name, form in columns)
        rows.append([record.model, *cells, record.note])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    lines = []
    for row in rows:
        cells = (
            cell.ljust(width) if i in (0, len(row) - 1) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def show(value: Any, form: str = "sig") -> str:
    """A value as text, a dash for None; "sig" is three significant digits."""
    if value is None:
        return "-"
    if form != "sig":
        return format(value, form)
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
