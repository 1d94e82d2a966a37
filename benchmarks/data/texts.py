"""Labelled texts: folders of files, 20 Newsgroups, or topics of pydoc.

A folder in the data root (see `files`) has a file of training and one of test rows,
both either ``train.jsonl`` and ``test.jsonl``, an object with the fields "text" and
"label" in each line, or ``train.tsv`` and ``test.tsv``, label<TAB>text in each line;
compressed if the name ends in .gz.
"""

import json
import platform
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import fetch_20newsgroups
from sklearn.model_selection import train_test_split

from benchmarks.data.files import find, first_of, read_text

HELP = (
    "newsgroups20, topics (of pydoc), or a folder with train and test as .jsonl or "
    ".tsv in the folder that EXPLICIT_SOFTMAX_DATA names, such as clinc150; by default "
    "newsgroups20 where it is available, otherwise topics"
)
_KINDS = ("jsonl", "jsonl.gz", "tsv", "tsv.gz")
_MIN_WORDS = 5
_MIN_PARAGRAPHS = 20


class Texts(NamedTuple):
    """Texts, their labels as strings, and a description."""

    train: list[str]
    y_train: NDArray[np.str_]
    test: list[str]
    y_test: NDArray[np.str_]
    note: str

    def first(self, n_classes: int, n_train: int, n_test: int) -> Self:
        """Some classes, and of each some training and test rows."""
        parts: list = []
        classes = np.unique(self.y_train)[:n_classes]
        for texts, labels, n_rows in (
            (self.train, self.y_train, n_train),
            (self.test, self.y_test, n_test),
        ):
            kept = np.concatenate(
                [np.flatnonzero(labels == label)[:n_rows] for label in classes]
            )
            parts += [[texts[i] for i in kept], labels[kept]]
        return self._make([*parts, f"{self.note}; few classes and rows only"])


def load_texts(name: str | None = None) -> Texts:
    """Load a data set by name (see `HELP`)."""
    return find(name, "newsgroups20", _from_folder, "topics", _topics, _newsgroups)


def read_rows(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a .jsonl or .tsv file, compressed if its name ends in .gz."""
    parse = _parse_json if ".jsonl" in path.suffixes else _parse_tsv
    texts, labels = [], []
    for i, line in enumerate(read_text(path).split("\n"), start=1):
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
        parts += read_rows(first_of(folder, [f"{part}.{kind}" for kind in _KINDS]))
    unknown = set(parts[3]) - set(parts[1])
    if unknown:
        raise ValueError(
            f"{folder.name}: no training row has the label {min(unknown)!r} of a test "
            "row"
        )
    return _texts(folder.name, *parts)


def _newsgroups() -> Texts:
    parts: list[list[str]] = []
    for subset in ("train", "test"):
        found = fetch_20newsgroups(subset=subset)
        parts += [found.data, [found.target_names[code] for code in found.target]]
    return _texts("newsgroups20 (fetched by scikit-learn)", *parts)


def _topics(remark: str) -> Texts:
    """Paragraphs of the help on Python: those of one topic only, of the larger topics.

    A quarter of each topic, drawn with seed 0, is for testing.
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
            if times[text] == 1 and len(text.split()) >= _MIN_WORDS
        ]
        if len(kept) >= _MIN_PARAGRAPHS:
            texts += kept
            labels += [topic] * len(kept)
    train, test, y_train, y_test = train_test_split(
        texts, labels, test_size=0.25, random_state=0, stratify=labels
    )
    name = f"topics (pydoc of Python {platform.python_version()}, a small task)"
    return _texts(name, train, y_train, test, y_test, remark)


def _texts(
    name: str,
    train: list[str],
    y_train: list[str],
    test: list[str],
    y_test: list[str],
    remark: str = "",
) -> Texts:
    note = f"{name}, {len(train)} + {len(test)} rows, {len(set(y_train))} classes"
    return Texts(train, np.array(y_train), test, np.array(y_test), note + remark)
