"""Options of a benchmark: a table in each problem, and one parser for all."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Number:
    """An option that is a number, or several; `fast` is the default under --fast."""

    default: Any
    help: str
    fast: Any = None
    least: int = 1
    several: bool = False


@dataclass(frozen=True)
class Name:
    """An option that is a string, or of another `kind`."""

    help: str
    fast: Any = None
    kind: Callable[[str], Any] = str
    default = None


@dataclass(frozen=True)
class Switch:
    """An option that is given or not."""

    help: str


Options = Mapping[str, Number | Name | Switch]

COMMON: Options = {
    "threads": Number(None, "limit of the threads of BLAS and OpenMP, for all alike"),
    "json": Name("file for the records", kind=Path),
    "fast": Switch("a toy run of seconds, whose figures mean nothing"),
}
FIGURE: Options = {"figure": Name("file for the figure", kind=Path)}


def parse(
    problem: str, summary: str | None, options: Options, argv: list[str]
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"run.py {problem}",
        description=summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    table = {**options, **COMMON}
    for name, option in table.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(option, Switch):
            parser.add_argument(flag, action="store_true", help=option.help)
        elif isinstance(option, Name):
            parser.add_argument(flag, type=option.kind, help=option.help)
        else:
            shown = "" if option.default is None else f" (default: {option.default})"
            parser.add_argument(
                flag,
                type=_at_least(option.least),
                nargs="*" if option.several else None,
                help=option.help + shown,
            )
    arguments = parser.parse_args(argv)
    for name, option in table.items():
        if getattr(arguments, name) is None:
            fast = arguments.fast and option.fast is not None
            setattr(arguments, name, option.fast if fast else option.default)
    return arguments


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number
