"""Files of language models: arrays in an .npz archive, and a header in JSON."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

_FORMAT = "explicit_softmax language model"
_VERSION = 2

# What a sparse array is stored as, each under the name of the array and this suffix.
_PARTS = ("data", "indices", "indptr", "shape")


def write_arrays(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    arrays: Mapping[str, Any],
) -> None:
    """Write a header and arrays; a file at `path` is replaced when all is written.

    Parameters
    ----------
    path : str or path-like
        Where to write; no suffix is added.
    header : mapping
        What JSON can hold.
    arrays : mapping of str to ndarray or csr_array
        Arrays by name; their names differ from "header".
    """
    stored: dict[str, Any] = {}
    for name, array in arrays.items():
        if sp.issparse(array):
            values = (array.data, array.indices, array.indptr, array.shape)
            names = [f"{name}.{part}" for part in _PARTS]
            stored |= zip(names, values, strict=True)
        else:
            stored[name] = array
    record = {"format": _FORMAT, "version": _VERSION, **header}
    stored["header"] = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
    target = Path(os.path.realpath(os.fsdecode(path)))  # a link is to stay one
    # Not made by tempfile, whose files nobody else may read.
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            np.savez(file, **stored)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_arrays(
    path: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of a file; nothing in it is executed.

    Raises
    ------
    ValueError
        If the file is not one that `write_arrays` wrote completely, or was written by a
        later release.
    """
    with complaint_about(path), open(path, "rb") as file:
        # From an open file: np.load leaves files open that it cannot read.
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray) or "header" not in archive:
            raise ValueError("it holds something else")
        with archive:
            stored = dict(archive)
        header = json.loads(stored.pop("header").tobytes().decode())
        if not isinstance(header, dict) or header.pop("format", None) != _FORMAT:
            raise ValueError("it holds something else")
        version = header.pop("version")
        if version != _VERSION:
            raise ValueError(
                f"it was written by another release (version {version} of the format, "
                f"not {_VERSION})"
            )
        arrays = {name: a for name, a in stored.items() if "." not in name}
        for name in {name.partition(".")[0] for name in stored} - arrays.keys():
            data, indices, indptr, shape = (stored[f"{name}.{part}"] for part in _PARTS)
            matrix = sp.csr_array((data, indices, indptr), shape=tuple(shape.tolist()))
            matrix.check_format(full_check=True)  # bad indices would read any memory
            arrays[name] = matrix
    return header, arrays


@contextmanager
def complaint_about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any error of reading a damaged file into a ValueError that names it."""
    try:
        yield
    except (FileNotFoundError, ImportError, PermissionError):
        raise
    # Archives, JSON, and tokenizers can be damaged in more ways than have a type.
    except Exception as error:
        raise ValueError(
            f"{os.fsdecode(path)!r} is not a complete language model of "
            f"explicit_softmax: {str(error) or type(error).__name__}"
        ) from error
