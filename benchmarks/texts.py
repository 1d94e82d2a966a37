"""Texts for the benchmarks: folders of files, 20 Newsgroups, or topics of pydoc.

A folder in the data root (see `datasets`) has a file of training and one of test rows,
both either ``train.jsonl`` and ``test.jsonl``, an object with the fields "text" and
"label" in each line, or ``train.tsv`` and ``test.tsv``, label<TAB>text in each line;
compressed if the name ends in .gz.
"""

from __future__ import annotations

import gzip
import json
import platform
import re
import sys
import zlib
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datasets import data_folder, where_sought
from numpy.typing import NDArray
from sklearn.datasets import fetch_20newsgroups
from sklearn.model_selection import train_test_split

_KINDS = ("jsonl", "jsonl.gz", "tsv", "tsv.gz")
_LEAST_WORDS = 5
_LEAST_PARAGRAPHS = 20


class Texts(NamedTuple):
    """Texts, their labels as strings, and what they are."""

    train: list[str]
    y_train: NDArray[np.str_]
    test: list[str]
    y_test: NDArray[np.str_]
    note: str


def load_texts(name: str | None = None) -> Texts:
    """Load a data set.

    Parameters
    ----------
    name : str, default=None
        "topics" (of pydoc), "newsgroups20" (a folder, or the fetcher of scikit-learn),
        or a folder in the data root. None is "newsgroups20", or "topics" where that is
        not to be had.

    Raises
    ------
    FileNotFoundError
        If a data set that was asked for by name is not there.
    ValueError
        If a file is damaged.
    """
    if name == "topics":
        return _topics("")
    folder = data_folder("newsgroups20" if name is None else name)
    if folder is not None:
        return _from_folder(folder)
    if name not in (None, "newsgroups20"):
        raise FileNotFoundError(f"there is no data set {name!r}: {where_sought(name)}")
    try:
        return _fetched_newsgroups()
    except (OSError, HTTPException) as error:
        reason = f"{where_sought('newsgroups20')}, and it cannot be fetched: {error}"
    if name is not None:
        raise FileNotFoundError(f"there is no data set 'newsgroups20': {reason}")
    print(
        f"20 Newsgroups is not to be had ({reason}). Using topics of pydoc instead.",
        file=sys.stderr,
    )
    return _topics("; 20 Newsgroups was not to be had")


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a .jsonl or .tsv file, compressed if its name ends in .gz."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        lines = content.decode("utf-8").split("\n")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    parse = _parse_json if ".jsonl" in path.suffixes else _parse_tsv
    texts, labels = [], []
    for i, line in enumerate(lines, start=1):
        if line.strip():
            try:
                text, label = parse(line.rstrip("\r"))
            except ValueError as error:
                raise ValueError(f"{path}, line {i}: {error}") from error
            texts.append(text)
            labels.append(label)
    if not texts:
        raise ValueError(f"{path} has no rows")
    return texts, labels


def _parse_json(line: str) -> tuple[str, str]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    for field in ("text", "label"):
        if row.get(field) is None:
            raise ValueError(f"there is no field {field!r}")
    if not isinstance(row["text"], str):
        raise ValueError("the field 'text' is not a string")
    return row["text"], str(row["label"])


def _parse_tsv(line: str) -> tuple[str, str]:
    label, tab, text = line.partition("\t")
    if not tab or not label:
        raise ValueError("there is no label with a tab after it")
    return text, label


def _from_folder(folder: Path) -> Texts:
    parts: list[list[str]] = []
    for part in ("train", "test"):
        paths = [folder / f"{part}.{kind}" for kind in _KINDS]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            names = ", ".join(path.name for path in paths)
            raise FileNotFoundError(f"{folder} has none of {names}")
        parts += read_rows(path)
    unknown = set(parts[3]) - set(parts[1])
    if unknown:
        raise ValueError(
            f"{folder.name}: no training row has the label {min(unknown)!r} of a test "
            "row"
        )
    return _texts(folder.name, *parts)


def _fetched_newsgroups() -> Texts:
    parts: list[list[str]] = []
    for subset in ("train", "test"):
        found = fetch_20newsgroups(subset=subset)
        parts += [found.data, [found.target_names[code] for code in found.target]]
    return _texts("newsgroups20 (fetched by scikit-learn)", *parts)


def _topics(remark: str) -> Texts:
    """Paragraphs of the help on Python, by topic.

    Paragraphs of at least 5 words that stand in one topic only, once, of topics with
    at least 20 of them; a quarter of each topic, drawn with seed 0, is for testing.
    """
    from pydoc_data.topics import topics

    found = {
        topic: [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
        for topic, text in sorted(topics.items())
    }
    times = Counter(text for paragraphs in found.values() for text in paragraphs)
    texts, labels = [], []
    for topic, paragraphs in found.items():
        kept = [
            text
            for text in paragraphs
            if times[text] == 1 and len(text.split()) >= _LEAST_WORDS
        ]
        if len(kept) >= _LEAST_PARAGRAPHS:
            texts += kept
            labels += [topic] * len(kept)
    train, test, y_train, y_test = train_test_split(
        texts, labels, test_size=0.25, random_state=0, stratify=labels
    )
    name = f"topics (pydoc of Python {platform.python_version()}, a small task)"
    data = _texts(name, train, y_train, test, y_test)
    return data._replace(note=data.note + remark)


def _texts(
    name: str, train: list[str], y_train: list[str], test: list[str], y_test: list[str]
) -> Texts:
    note = f"{name}, {len(train)} + {len(test)} rows, {len(set(y_train))} classes"
    return Texts(train, np.array(y_train), test, np.array(y_test), note)
