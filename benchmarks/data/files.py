"""Where data are looked for, and how files of them are read.

Folders of data are looked for in the folder that the environment variable
EXPLICIT_SOFTMAX_DATA names.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

VARIABLE = "EXPLICIT_SOFTMAX_DATA"


def find(
    name: str | None,
    preferred: str,
    read_folder: Callable[[Path], Any],
    stand_in: str,
    make_stand_in: Callable[[str], Any],
    fetch: Callable[[], Any] | None = None,
) -> Any:
    """Load a data set by name; None is the preferred one.

    That is a folder, or else what `fetch` downloads; where neither is available, it is
    replaced by the stand-in, which is given a remark to add to its description. A set
    that was asked for by name is never replaced: FileNotFoundError.
    """
    if name == stand_in:
        return make_stand_in("")
    wanted = preferred if name is None else name
    root = os.environ.get(VARIABLE)
    folder = Path(root) / wanted if root else None
    if folder is not None and folder.is_dir():
        return read_folder(folder)
    reason = f"{VARIABLE}, the folder of data, is not set"
    if root:
        reason = f"{VARIABLE} has no folder {wanted!r}"
    if wanted == preferred and fetch is not None:
        try:
            return fetch()
        except (OSError, HTTPException) as error:
            reason += f", and the download failed: {error}"
    if name is not None:
        raise FileNotFoundError(f"there is no data set {name!r}: {reason}")
    print(
        f"{preferred} is not available ({reason}). Using {stand_in} instead.",
        file=sys.stderr,
    )
    return make_stand_in(f"; {preferred} was not available")


def read_bytes(path: Path) -> bytes:
    """Content of a file, decompressed if its name ends in .gz."""
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from error


def read_text(path: Path) -> str:
    """Text of a UTF-8 file, decompressed if its name ends in .gz."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error


def first_of(folder: Path, names: list[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has none of {', '.join(names)}")
