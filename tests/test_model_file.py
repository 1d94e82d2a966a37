"""Files of records and arrays."""

import json
import os
import stat
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax import _model_file as module
from explicit_softmax._model_file import complaint_about, read_file, write_file
from tests.strategies import properties

RECORD = {"size": 3, "words": ["a", None], "rate": 0.1}
ARRAYS = {
    "flags": np.array([[True], [False], [True]]),
    "keys": np.array([1, 2**64 - 1], dtype=np.uint64),
    "zeros": np.zeros((30, 20)),
    "regular": np.random.RandomState(0).randint(5, size=900),
    "none": np.zeros((0, 3), dtype=np.float32),
}


def assert_same(found, expected=(RECORD, ARRAYS)):
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        assert type(found[1][name]) is np.ndarray
        assert found[1][name].dtype == array.dtype
        assert_array_equal(found[1][name], array)


@pytest.fixture(params=[False, True], ids=["plain", "compressed"])
def path(tmp_path, request):
    path = tmp_path / "model"
    write_file(path, RECORD, ARRAYS, compress=request.param)
    return path


@pytest.mark.parametrize("as_path", [str, Path, os.fsencode])
@pytest.mark.parametrize("mmap", [True, False])
def test_round_trip(tmp_path, as_path, mmap):
    path = as_path(str(tmp_path / "model.bin"))
    write_file(path, RECORD, ARRAYS)
    assert os.listdir(tmp_path) == ["model.bin"]  # no suffix is added
    assert_same(read_file(path, mmap=mmap))


def test_arrays_stay_in_the_file_and_in_place(path):
    arrays = read_file(path, mmap=True)[1]
    assert_same((RECORD, arrays))
    assert_same(read_file(path))
    assert all(array.flags.aligned for array in arrays.values())
    # The zeros are so regular that they are not compressed.
    assert not arrays["zeros"].flags.writeable


def test_compression_makes_files_smaller_but_never_by_much(tmp_path):
    sizes = {}
    for name, array in ARRAYS.items():
        for compress in (False, True):
            write_file(tmp_path / "it", {}, {name: array}, compress=compress)
            sizes[name, compress] = (tmp_path / "it").stat().st_size
    assert sizes["regular", True] < sizes["regular", False] / 4
    assert sizes["zeros", True] == sizes["zeros", False]


def test_the_file_is_one_of_safetensors(path):
    library = pytest.importorskip("safetensors.numpy")
    found = library.load_file(path)
    assert found.keys() == ARRAYS.keys()
    assert_array_equal(found["zeros"], ARRAYS["zeros"])


def test_a_truncated_file_is_an_error_that_says_so(path):
    content = path.read_bytes()
    lengths = [*range(10), *range(10, len(content), 197), len(content) - 1]
    for damaged in [*(content[:length] for length in lengths), content + b"\0"]:
        path.write_bytes(damaged)
        for mmap in (True, False):
            with pytest.raises(ValueError, match=r"model' is not a complete model of"):
                read_file(path, mmap=mmap)


def test_a_damaged_file_is_an_error(path):
    content = path.read_bytes()

    @properties
    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def check(place, change):
        damaged = bytearray(content)
        damaged[place] ^= change
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is not a complete model"):
            read_file(path)

    check()


def forge(path, data=b"", *, arrays, **metadata):
    """Write a file whose header and checksums are right."""
    content = json.dumps({"arrays": arrays, "record": {}})
    header = json.loads(module._header(content, arrays))
    header["__metadata__"] |= metadata
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def entry(dtype="F64", shape=(1,), data=bytes(8)):
    return {
        "dtype": dtype,
        "shape": shape,
        "n_bytes": len(data),
        "crc32": zlib.crc32(data),
    }


BOMB = zlib.compress(bytes(2**20), 9)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"format": "another"}, "it holds something else"),
        ({"version": "99"}, r"by another release \(version 99 of the format, not 4"),
        ({"crc32": "1"}, "its header is damaged"),
        ({"arrays": {"a": entry(dtype="object")}}, "object"),
        ({"arrays": {"a": entry(shape=[-1])}}, "lists arrays that cannot be"),
        ({"arrays": {"a": entry(shape=[2.0])}}, "lists arrays that cannot be"),
        (
            {"arrays": {"a": entry(shape=[2**61, 2**61])}},
            "another size",
        ),
        ({"arrays": {"a": entry(shape=[2**17], data=BOMB)}}, "another size"),
        ({"arrays": {"a": entry(shape=[2**13], data=BOMB)}}, "another size"),
        ({"arrays": {"a": entry(shape=[200], data=bytes(40))}}, "unknown compression"),
        ({"arrays": {"a": entry(shape=[4], data=bytes(40))}}, "another size"),
        ({"arrays": {"a": {**entry(), "crc32": 1}}}, "its array a is damaged"),
    ],
)
def test_a_forged_file_is_refused(tmp_path, made, message):
    arrays = {"arrays": {"a": entry()}, **made}["arrays"]
    data = (
        BOMB if any(a["n_bytes"] == len(BOMB) for a in arrays.values()) else bytes(40)
    )
    data = data[: sum(a["n_bytes"] for a in arrays.values())]
    forge(tmp_path / "it", data, arrays={"a": entry()})
    if data == bytes(8):
        read_file(tmp_path / "it")
    try:
        forge(tmp_path / "it", data, **{"arrays": arrays, **made})
    except (KeyError, ValueError):  # arrays for which no header can be made
        content = json.dumps({"arrays": arrays, "record": {}})
        forge(tmp_path / "it", data, **{"arrays": {}, "content": content})
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path / "it")


@pytest.mark.parametrize(
    "content", [b"", b"some text", b"PK\3\4" + bytes(40), b"\x80\4]" + bytes(40)]
)
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="it holds something else, or is cut off"):
        read_file(tmp_path / "file")


def test_deep_headers_are_refused(tmp_path):
    text = b"[" * 10**5
    (tmp_path / "it").write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(ValueError, match="is not a complete model"):
        read_file(tmp_path / "it")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a complete model"):
        read_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "missing")
    with pytest.raises(TypeError, match="NoneType"):
        read_file(None)
    for bad in (tmp_path / "missing" / "it", ""):
        with pytest.raises(FileNotFoundError, match=f"'{bad}'"):
            write_file(bad, {}, {})
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        write_file(tmp_path, {}, {})
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match="symbolic links"):
        write_file(tmp_path / "loop", {}, {})
    assert os.listdir(tmp_path) == ["loop"]


class Panic(BaseException):
    """As the tokenizers library raises it."""


def test_errors_of_a_reader_name_the_file():
    for error in (KeyError("size"), TypeError("color"), ZeroDivisionError(), Panic()):
        message = f"'file' is not a complete.*{str(error) or type(error).__name__}"
        with pytest.raises(ValueError, match=message), complaint_about("file"):
            raise error
    for error in (KeyboardInterrupt, MemoryError, ImportError):
        with pytest.raises(error), complaint_about("file"):
            raise error


@pytest.mark.parametrize("has_unnamed_files", [True, False])
def test_a_write_that_fails_leaves_the_old_file(
    path, tmp_path, monkeypatch, has_unnamed_files
):
    if not has_unnamed_files:
        monkeypatch.setattr(module, "_DESCRIPTORS", tmp_path / "none")

    def full(*args, **kwargs):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", full)
        with pytest.raises(OSError, match="no space left"):
            write_file(path, {}, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_file(path, {"a": {1}}, {})
    assert os.listdir(tmp_path) == ["model"]
    assert_same(read_file(path))
    write_file(path, {}, {})
    assert_same(read_file(path), ({}, {}))
    assert os.listdir(tmp_path) == ["model"]


def test_files_are_readable_like_others_and_keep_their_mode(tmp_path):
    plain, target, link = (tmp_path / name for name in ("plain", "model", "link"))
    plain.write_text("")
    link.symlink_to(target)
    write_file(link, RECORD, ARRAYS)
    assert link.is_symlink()
    assert target.stat().st_mode == plain.stat().st_mode
    target.chmod(0o600)
    write_file(link, RECORD, ARRAYS)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert_same(read_file(link))


def test_pipes_and_devices_are_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = []
    reader = threading.Thread(target=lambda: content.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, RECORD, ARRAYS)
    reader.join(10)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    (tmp_path / "copy").write_bytes(content[0])
    assert_same(read_file(tmp_path / "copy"))
    (tmp_path / "null").symlink_to(os.devnull)
    write_file(tmp_path / "null", RECORD, ARRAYS)
    assert stat.S_ISCHR(os.stat(tmp_path / "null").st_mode)
