"""Images for the benchmarks: digits of scikit-learn, IDX files, or OpenML.

Folders of data are looked for in the folder that the environment variable
EXPLICIT_SOFTMAX_DATA names.
"""

from __future__ import annotations

import gzip
import os
import struct
import sys
import zlib
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split

VARIABLE = "EXPLICIT_SOFTMAX_DATA"

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 0x08


class Images(NamedTuple):
    """Images as rows of float32 in (0, 1], integer labels, and what they are."""

    X_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    note: str


def load_images(name: str | None = None) -> Images:
    """Load a data set.

    Parameters
    ----------
    name : str, default=None
        "digits" (of scikit-learn), "mnist" (a folder, or OpenML), or a folder of four
        IDX files in the data root. None is "mnist", or "digits" where that is not to be
        had.

    Raises
    ------
    FileNotFoundError
        If a data set that was asked for by name is not there.
    ValueError
        If an IDX file is damaged.
    """
    if name == "digits":
        return _digits("")
    folder = data_folder("mnist" if name is None else name)
    if folder is not None:
        return _idx_images(folder)
    if name not in (None, "mnist"):
        raise FileNotFoundError(f"there is no data set {name!r}: {where_sought(name)}")
    try:
        return _openml_mnist()
    except (OSError, HTTPException) as error:
        reason = f"{where_sought('mnist')}, and OpenML cannot be reached: {error}"
    if name is not None:
        raise FileNotFoundError(f"there is no data set 'mnist': {reason}")
    print(f"MNIST is not to be had ({reason}). Using digits instead.", file=sys.stderr)
    return _digits("; MNIST was not to be had")


def read_idx(path: Path, n_dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, compressed if its name ends in .gz."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from error
    header = 4 + 4 * n_dimensions
    magic = bytes((0, 0, _UNSIGNED_BYTE, n_dimensions))
    if content[:4] != magic:
        raise ValueError(
            f"{path} is not an IDX file of bytes in {n_dimensions} dimensions: it "
            f"begins with {content[:4].hex()}, not {magic.hex()}"
        )
    if len(content) < header:
        raise ValueError(f"{path} is truncated: it ends within its header")
    shape = struct.unpack(f">{n_dimensions}I", content[4:header])
    size = int(np.prod(shape, dtype=np.int64))
    if len(content) - header != size:
        problem = "truncated" if len(content) - header < size else "too long"
        raise ValueError(
            f"{path} is {problem}: {len(content) - header} bytes follow its header, "
            f"whose shape {shape} needs {size}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def data_folder(name: str) -> Path | None:
    """Folder of a data set in the data root, None where there is none."""
    root = os.environ.get(VARIABLE)
    folder = Path(root) / name if root else None
    return folder if folder is not None and folder.is_dir() else None


def where_sought(name: str | None) -> str:
    """Why there is no folder of a data set, for messages."""
    root = os.environ.get(VARIABLE)
    if not root:
        return f"{VARIABLE}, the folder of data, is not set"
    return f"{VARIABLE} has no folder {name!r}"


def _idx_images(folder: Path) -> Images:
    parts = []
    for part, (images, labels) in _FILES.items():
        pixels = read_idx(_plain_or_compressed(folder, images), 3)
        targets = read_idx(_plain_or_compressed(folder, labels), 1)
        if len(pixels) != len(targets):
            raise ValueError(
                f"{folder.name}: {len(pixels)} {part} images, {len(targets)} labels"
            )
        parts += [_grey(pixels), targets.astype(np.int64)]
    return Images(*parts, _note(f"{folder.name} (IDX files)", parts, 256))


def _plain_or_compressed(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz")


def _openml_mnist() -> Images:
    # The other parser needs no pandas, but more time and memory.
    parser = "pandas" if find_spec("pandas") else "liac-arff"
    pixels, labels = fetch_openml(
        "mnist_784", version=1, as_frame=False, return_X_y=True, parser=parser
    )
    X, y = _grey(pixels), labels.astype(np.int64)
    parts = [X[:60_000], y[:60_000], X[60_000:], y[60_000:]]
    return Images(*parts, _note("mnist (OpenML)", parts, 256))


def _digits(remark: str) -> Images:
    pixels, labels = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        pixels, labels, test_size=0.25, random_state=0, stratify=labels
    )
    parts = [_grey(X_train, 17), y_train, _grey(X_test, 17), y_test]
    return Images(*parts, _note("digits (scikit-learn)", parts, 17) + remark)


def _grey(pixels: NDArray, levels: int = 256) -> NDArray[np.float32]:
    """(x + 1)/levels, so that no feature is zero, as in the paper for 256 levels."""
    X = pixels.reshape(len(pixels), -1).astype(np.float32)
    X += 1
    X /= levels
    return X


def _note(name: str, parts: list[NDArray], levels: int) -> str:
    X_train, _, X_test, _ = parts
    return (
        f"{name}, {len(X_train)} + {len(X_test)} rows, {X_train.shape[1]} features "
        f"(x + 1)/{levels}"
    )
