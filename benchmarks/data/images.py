"""Images: MNIST or another folder of IDX files, or the digits of scikit-learn."""

import struct
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split

from benchmarks.data.files import find, first_of, read_bytes

HELP = (
    "digits, mnist, or a folder of IDX files in the folder that EXPLICIT_SOFTMAX_DATA "
    "names; by default mnist where it is available, otherwise digits"
)
_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 0x08


class Images(NamedTuple):
    """Images as rows of float32 in (0, 1], integer labels, and a description."""

    X_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    note: str

    @property
    def title(self) -> str:
        return self.note.partition(",")[0]

    @property
    def is_mnist(self) -> bool:
        return self.note.startswith("mnist ")

    def first(self, n_rows: int | None) -> Self:
        """At most so many training rows and test rows; all if None."""
        if n_rows is None:
            return self
        rows = (part[:n_rows] for part in self[:4])
        return self._make([*rows, f"{self.note}; first {n_rows} rows only"])


def load_images(name: str | None = None) -> Images:
    """Load a data set by name (see `HELP`)."""
    return find(name, "mnist", _from_folder, "digits", _digits, _openml_mnist)


def read_idx(path: Path, n_dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, compressed if its name ends in .gz."""
    content = read_bytes(path)
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


def _from_folder(folder: Path) -> Images:
    parts = []
    for part, names in _FILES.items():
        images, labels = (first_of(folder, [name, f"{name}.gz"]) for name in names)
        pixels, targets = read_idx(images, 3), read_idx(labels, 1)
        if len(pixels) != len(targets):
            raise ValueError(
                f"{folder.name}: {len(pixels)} {part} images, {len(targets)} labels"
            )
        parts += [pixels, targets]
    return _images(f"{folder.name} (IDX files)", parts, 256)


def _openml_mnist() -> Images:
    # The other parser needs no pandas, but more time and memory.
    parser = "pandas" if find_spec("pandas") else "liac-arff"
    pixels, labels = fetch_openml(
        "mnist_784", version=1, as_frame=False, return_X_y=True, parser=parser
    )
    train, test = slice(60_000), slice(60_000, None)
    parts = [pixels[train], labels[train], pixels[test], labels[test]]
    return _images("mnist (OpenML)", parts, 256)


def _digits(remark: str) -> Images:
    pixels, labels = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        pixels, labels, test_size=0.25, random_state=0, stratify=labels
    )
    parts = [X_train, y_train, X_test, y_test]
    return _images("digits (scikit-learn)", parts, 17, remark)


def _images(name: str, parts: list[NDArray], levels: int, remark: str = "") -> Images:
    """Features (x + 1)/levels, so that none is zero, as in the paper for 256 levels."""
    X_train, X_test = (
        (pixels.reshape(len(pixels), -1).astype(np.float32) + np.float32(1))
        / np.float32(levels)
        for pixels in (parts[0], parts[2])
    )
    y_train, y_test = (labels.astype(np.int64) for labels in (parts[1], parts[3]))
    note = (
        f"{name}, {len(X_train)} + {len(X_test)} rows, {X_train.shape[1]} features "
        f"(x + 1)/{levels}{remark}"
    )
    return Images(X_train, y_train, X_test, y_test, note)
