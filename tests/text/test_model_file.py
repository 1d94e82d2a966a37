"""Files of headers and arrays."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax.text import model_file as module
from explicit_softmax.text.model_file import complaint_about, read_arrays, write_arrays
from tests.strategies import properties

HEADER = {"size": 3, "words": ["a", None], "rate": 0.1}
ARRAYS = {
    "counts": sp.csr_array(np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])),
    "keys": np.array([1, 2**64 - 1], dtype=np.uint64),
}


def assert_same(found, expected=(HEADER, ARRAYS)):
    assert found[0] == expected[0]
    assert found[1].keys() == expected[1].keys()
    for name, array in expected[1].items():
        assert type(found[1][name]) is type(array)
        assert found[1][name].dtype == array.dtype
        dense = [a.toarray() if sp.issparse(a) else a for a in (found[1][name], array)]
        assert_array_equal(*dense)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model"
    write_arrays(path, HEADER, ARRAYS)
    return path


@pytest.mark.parametrize("as_path", [str, Path, os.fsencode])
def test_round_trip(tmp_path, as_path):
    path = as_path(str(tmp_path / "model.bin"))
    write_arrays(path, HEADER, ARRAYS)
    assert os.listdir(tmp_path) == ["model.bin"]  # no suffix is added
    assert_same(read_arrays(path))


def test_a_truncated_file_is_an_error_that_says_so(path):
    content = path.read_bytes()
    for length in [*range(6), *range(6, len(content), 15), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"model' is not a complete language"):
            read_arrays(path)


def test_a_damaged_file_is_an_error_or_harmless(path):
    content = path.read_bytes()

    @properties
    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def check(place, change):
        damaged = bytearray(content)
        damaged[place] ^= change
        path.write_bytes(damaged)
        try:
            # A time, or an attribute of the archive.
            assert_same(read_arrays(path))
        except ValueError as error:
            assert "is not a complete language model" in str(error)  # noqa: PT017

    check()


def rewrite(path, header=(), arrays=()):
    """Replace some arrays, or some entries of the header."""
    with np.load(path) as archive:
        stored = {**archive, **dict(arrays)}
    record = json.loads(stored["header"].tobytes()) | dict(header)
    stored["header"] = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
    with open(path, "wb") as file:
        np.savez(file, **stored)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"header": {"format": "another"}}, "holds something else"),
        ({"header": {"version": 99}}, r"by another release \(version 99 of the format"),
        ({"header": {"version": 1}}, r"by another release \(version 1 of the format"),
        ({"arrays": {"counts.indices": np.full(3, 99, np.int32)}}, "not a complete"),
        ({"arrays": {"counts.shape": np.array([1, 3])}}, "not a complete"),
        ({"arrays": {"counts.data": np.ones(3, object)}}, "allow_pickle=False"),
        ({"arrays": {"more.data": np.ones(3)}}, "more.indices"),
    ],
)
def test_a_forged_file_is_refused(path, changes, message):
    rewrite(path)
    assert_same(read_arrays(path))
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=message):
        read_arrays(path)


def zipped_text(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header", "no array")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: file.write(b"some text"), "is not a complete language model"),
        (zipped_text, "is not a complete language model"),
        (lambda file: np.savez(file, a=1), "it holds something else"),
        (lambda file: np.save(file, np.arange(3)), "it holds something else"),
        (lambda file: np.savez(file, header=[{}]), "allow_pickle=False"),
    ],
)
def test_foreign_files_are_refused(tmp_path, write, message):
    with open(tmp_path / "file", "wb") as file:
        write(file)
    with pytest.raises(ValueError, match=message):
        read_arrays(tmp_path / "file")


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not a complete language model"):
        read_arrays(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "missing")
    with pytest.raises(TypeError, match="NoneType"):
        read_arrays(None)


def test_errors_of_a_reader_name_the_file():
    for error in (KeyError("size"), TypeError("color"), ZeroDivisionError()):
        message = f"'file' is not a complete.*{str(error) or 'ZeroDivisionError'}"
        with pytest.raises(ValueError, match=message), complaint_about("file"):
            raise error


def test_a_write_that_fails_leaves_the_old_file(path, tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"begun")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(module.np, "savez", full)
        with pytest.raises(OSError, match="no space left"):
            write_arrays(path, {}, {})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_arrays(path, {"a": {1}}, {})
    assert os.listdir(tmp_path) == ["model"]
    assert_same(read_arrays(path))
    write_arrays(path, {}, {})
    assert_same(read_arrays(path), ({}, {}))


def test_files_are_readable_like_others_and_links_stay_links(tmp_path):
    plain, target, link = (tmp_path / name for name in ("plain", "model", "link"))
    plain.write_text("")
    link.symlink_to(target)
    write_arrays(link, HEADER, ARRAYS)
    assert link.is_symlink()
    assert target.stat().st_mode == plain.stat().st_mode
    assert_same(read_arrays(link))
