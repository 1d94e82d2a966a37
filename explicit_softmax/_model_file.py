"""Files of models: named arrays and a record in JSON, without pickle.

A file is one of safetensors: the length of the header in 8 bytes, the header in JSON,
which lists names, types, shapes, and places of all arrays, and the arrays, one after
the other. The record is part of its metadata, with a checksum of each array. An array
that is compressed stands there as bytes. Everything is little-endian.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_FORMAT = "explicit_softmax model"
_VERSION = 4

# Types of arrays by their names in the header.
_TYPES = {
    "BOOL": "?",
    **{f"{kind}{8 * n}": f"<{kind.lower()}{n}" for kind in "UI" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
}
_NAMES = {np.dtype(dtype): name for name, dtype in _TYPES.items()}

# An array may be this many times as long as its compressed form, so that no small file
# takes much memory. Arrays that would be longer are stored as they are.
_MOST_EXPANSION = 64

# Where Linux gives a name to files that have none.
_DESCRIPTORS = Path("/proc/self/fd")

# The first array begins at a multiple of this.
_ALIGNMENT = 64


def write_file(
    path: str | os.PathLike[str],
    record: Any,
    arrays: Mapping[str, NDArray[Any]],
    *,
    compress: bool = False,
) -> None:
    """Write a record and arrays; a file at `path` is replaced when all is written.

    Parameters
    ----------
    path : str or path-like
        Where to write; no suffix is added. A link is followed, a device or a pipe is
        written into, and the permissions of an existing file are kept.
    record : object
        What JSON can hold.
    arrays : mapping of str to ndarray
        C-contiguous arrays of numbers by name.
    compress : bool, default=False
        Whether to compress arrays where that makes them smaller.
    """
    stored = []
    for name, given in arrays.items():
        array = given.astype(given.dtype.newbyteorder("<"), copy=False)
        data: Any = array.reshape(-1).view(np.uint8)
        if compress:
            packed = zlib.compress(data, 1)
            if len(packed) < data.size <= _MOST_EXPANSION * len(packed):
                data = packed
        entry = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "n_bytes": len(data),
            "crc32": zlib.crc32(data),
        }
        stored.append((name, entry, data, array.itemsize))
    # The widest numbers first: each array then begins at a multiple of its own.
    stored.sort(key=lambda part: (isinstance(part[2], bytes), -part[3]))
    entries = {name: entry for name, entry, *_ in stored}
    header = _header(json.dumps({"arrays": entries, "record": record}), entries)

    def write(file: BinaryIO) -> None:
        for part in (len(header).to_bytes(8, "little"), header):
            file.write(part)
        for _, _, data, _ in stored:
            file.write(data)

    replace_file(path, write)


def read_file(
    path: str | os.PathLike[str], *, mmap: bool = False
) -> tuple[Any, dict[str, NDArray[Any]]]:
    """Record and arrays of a file; nothing in it is executed.

    Parameters
    ----------
    path : str or path-like
        File to read.
    mmap : bool, default=False
        Whether arrays that are not compressed stay in the file, and are read when they
        are used. Their checksums are not looked at.

    Returns
    -------
    record : object
    arrays : dict of str to ndarray
        Read-only if they stay in the file.

    Raises
    ------
    ValueError
        If the file is not one that `write_file` wrote completely, or was written by
        another release.
    """
    with complaint_about(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            raise ValueError("it holds something else, or is cut off")
        header = file.read(length)
        metadata = json.loads(header)["__metadata__"]
        if metadata["format"] != _FORMAT:
            raise ValueError("it holds something else")
        if metadata["version"] != str(_VERSION):
            raise ValueError(
                "it was written by another release (version "
                f"{metadata['version']:.9} of the format, not {_VERSION})"
            )
        content = json.loads(metadata["content"])
        entries = content["arrays"]
        if header != _header(metadata["content"], entries):
            raise ValueError("its header is damaged")
        if size - 8 - length != sum(entry["n_bytes"] for entry in entries.values()):
            raise ValueError("it is cut off, or has more than its header lists")
        place = 8 + length
        whole = np.asarray(np.memmap(file, np.uint8, "r")) if mmap else None
        arrays = {}
        for name, entry in entries.items():
            n_bytes = entry["n_bytes"]
            if whole is None:
                data: Any = np.empty(n_bytes, dtype=np.uint8)
                if file.readinto(data) != n_bytes:
                    raise ValueError("it is cut off")
            else:
                data = whole[place : place + n_bytes]
            arrays[name] = _array(name, entry, data, checked=whole is None)
            place += n_bytes
    return content["record"], arrays


@contextmanager
def complaint_about(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any error of reading a damaged file into a ValueError that names it."""
    try:
        yield
    except (FileNotFoundError, ImportError, MemoryError, PermissionError):
        raise
    except BaseException as error:
        # JSON and tokenizers can be damaged in more ways than have a type; panics of
        # the latter are no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        raise ValueError(
            f"{os.fsdecode(path)!r} is not a complete model of explicit_softmax: "
            f"{str(error) or type(error).__name__}"
        ) from error


def _header(content: str, entries: Mapping[str, Any]) -> bytes:
    """Header of a file with this content, the same to the byte whenever it is made."""
    table: dict[str, Any] = {
        "__metadata__": {
            "format": _FORMAT,
            "version": str(_VERSION),
            "content": content,
            "crc32": str(zlib.crc32(content.encode())),
        }
    }
    place = 0
    for name, entry in entries.items():
        dtype, shape, n_bytes = entry["dtype"], entry["shape"], entry["n_bytes"]
        if n_bytes != _n_bytes(entry):
            dtype, shape = "U8", [n_bytes]
        offsets = [place, place + n_bytes]
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        place += n_bytes
    header = json.dumps(table).encode()
    return header + b" " * (-(len(header) + 8) % _ALIGNMENT)


def _n_bytes(entry: Mapping[str, Any]) -> int:
    """Bytes of an array as its entry says; ValueError if that is no array."""
    shape, n_bytes = entry["shape"], entry["n_bytes"]
    if not all(type(n) is int and 0 <= n < 2**62 for n in [*shape, n_bytes]):
        raise ValueError("its header lists arrays that cannot be")
    return int(math.prod(shape) * np.dtype(_TYPES[entry["dtype"]]).itemsize)


def _array(
    name: str, entry: Mapping[str, Any], data: Any, *, checked: bool
) -> NDArray[Any]:
    """The array that these bytes are."""
    n_bytes = _n_bytes(entry)
    compressed = data.size != n_bytes
    if (checked or compressed) and zlib.crc32(data) != entry["crc32"]:
        raise ValueError(f"its array {name} is damaged")
    if compressed:
        if not data.size < n_bytes <= _MOST_EXPANSION * data.size:
            raise ValueError(f"its array {name} has another size than its header says")
        stream = zlib.decompressobj()
        data = np.frombuffer(stream.decompress(data, n_bytes + 1), dtype=np.uint8)
        if data.size != n_bytes or not stream.eof:
            raise ValueError(f"its array {name} has another size than its header says")
    # `write_file` aligns what stays in the file, but not all files are from there.
    array = np.require(data.view(_TYPES[entry["dtype"]]), requirements="A")
    return np.asarray(array.reshape(entry["shape"]))


def replace_file(
    path: str | os.PathLike[str], write: Callable[[BinaryIO], None]
) -> None:
    """Let `write` fill the file at `path`, which changes when all is written."""
    path = os.fsdecode(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is not None and not stat.S_ISREG(mode):  # a device or a pipe
        with open(path, "wb") as file:
            write(file)
        return
    target = Path(os.path.realpath(path))  # a link is to stay one
    if not (path and target.parent.is_dir()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with _new_file(part, 0o666 if mode is None else stat.S_IMODE(mode)) as file:
            write(file)
            file.flush()
            if not part.exists():
                # Any folder as src_dir_fd makes Python follow the link.
                number = file.fileno()
                os.link(_DESCRIPTORS / str(number), part, src_dir_fd=number)
        if mode is not None:
            os.chmod(part, stat.S_IMODE(mode))
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _new_file(part: Path, mode: int) -> BinaryIO:
    """A file to write, without a name where the system allows: none is left behind.

    Not made by tempfile, whose files nobody else may read.
    """
    if _DESCRIPTORS.is_dir() and hasattr(os, "O_TMPFILE"):
        with suppress(OSError):  # not on all file systems
            unnamed = os.open(part.parent, os.O_TMPFILE | os.O_WRONLY, mode)
            return open(unnamed, "wb")
    return open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode))
