"""Running text for the benchmarks of language models, and its token ids.

A folder in the data root (see `datasets`) has the folders ``train`` and ``dev`` with
files ``*.txt.gz``; a document is a block of lines between blank lines. Without one, the
help texts of Python's `pydoc_data.topics` serve, a document for each topic.
"""

from __future__ import annotations

import gzip
import platform
import re
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datasets import data_folder, where_sought
from numpy.typing import NDArray

from explicit_softmax.text.tokens import TokenIds

DEFAULT = "babylm_like"
EMBEDDED = "topics"
# 2 ** 12 byte-pair tokens, padding, and out-of-vocabulary, as in the paper.
VOCABULARY_SIZE = 4098

# Where only some tokens are wanted, bytes of text for each that byte-pair encoding is
# learned from; a token has about four.
_BYTES_PER_TOKEN = 8
# Samples are of pieces of so many tokens.
PIECE_TOKENS = 1000
# Documents that are encoded at a time.
_BATCH = 256
# One topic in so many is for testing.
_DEV_SHARE = 5

Documents = list[NDArray[np.int32]]


class Corpus(NamedTuple):
    """Documents as strings, and what they are."""

    train: list[str]
    dev: list[str]
    name: str


@dataclass(frozen=True)
class TokenCorpus:
    """Documents as token ids, and what they are.

    Parameters
    ----------
    train, dev : list of ndarray of int32
        Ids from 0 to ``vocabulary_size - 3``; the last two are out-of-vocabulary and
        padding. Training documents are in a random order, always the same.
    vocabulary_size : int
    dev_bytes : int
        UTF-8 bytes of the documents of `dev`.
    name : str
    seconds : dict
        "byte-pair encoding", that of learning it, and "encoding".
    """

    train: Documents
    dev: Documents
    vocabulary_size: int
    dev_bytes: int
    name: str
    seconds: dict[str, float]

    @property
    def note(self) -> str:
        """What the corpus is, in words."""
        return (
            f"{self.name}, {n_tokens(self.train):,} + {n_tokens(self.dev):,} tokens "
            f"in {len(self.train):,} + {len(self.dev):,} documents, vocabulary of "
            f"{self.vocabulary_size:,} ids"
        )


def n_tokens(documents: Documents) -> int:
    """Tokens of documents."""
    return sum(ids.size for ids in documents)


def load_corpus(name: str | None = None) -> Corpus:
    """Load a corpus.

    Parameters
    ----------
    name : str, default=None
        "topics" (of pydoc), or a folder in the data root. None is "babylm_like", or
        "topics" where that is not to be had.

    Raises
    ------
    FileNotFoundError
        If a corpus that was asked for by name is not there, or has no files.
    ValueError
        If a file is damaged, or a part has no text.
    """
    if name == EMBEDDED:
        return _topics("")
    folder = data_folder(DEFAULT if name is None else name)
    if folder is not None:
        parts = [_read_folder(folder / part) for part in ("train", "dev")]
        return Corpus(parts[0], parts[1], folder.name)
    reason = where_sought(DEFAULT if name is None else name)
    if name is not None:
        raise FileNotFoundError(f"there is no corpus {name!r}: {reason}")
    print(
        f"{DEFAULT} is not to be had ({reason}). Using topics of pydoc instead.",
        file=sys.stderr,
    )
    return _topics(f"; {DEFAULT} was not to be had")


def encode(
    corpus: Corpus,
    vocabulary_size: int = VOCABULARY_SIZE,
    limit: int | None = None,
) -> TokenCorpus:
    """Learn byte-pair encoding from the training documents, and encode all.

    Parameters
    ----------
    corpus : Corpus
    vocabulary_size : int, default=4098
        Number of ids, at most.
    limit : int, default=None
        Training tokens: documents in random order until there are as many, the last one
        cut. Byte-pair encoding is then learned from the first documents only, with 8
        bytes for each token.
    """
    order = np.random.default_rng(0).permutation(len(corpus.train))
    texts = [corpus.train[i] for i in order]
    if limit is not None:
        ends = np.cumsum([len(text.encode()) for text in texts])
        texts = texts[: int(np.searchsorted(ends, _BYTES_PER_TOKEN * limit)) + 1]
    start = time.perf_counter()
    ids = TokenIds.trained(texts, vocabulary_size)
    learned = time.perf_counter()
    train = _encode_up_to(ids, texts, limit)
    dev = ids.encode(corpus.dev)
    seconds = {
        "byte-pair encoding": learned - start,
        "encoding": time.perf_counter() - learned,
    }
    dev_bytes = sum(len(text.encode()) for text in corpus.dev)
    return TokenCorpus(train, dev, ids.size, dev_bytes, corpus.name, seconds)


def pieces(documents: Documents, length: int = PIECE_TOKENS) -> Documents:
    """Documents cut into pieces of at most so many tokens, in a random order.

    Documents differ in length and kind so much that a sample of whole ones says little
    of the others.
    """
    cut = [
        ids[first : first + length]
        for ids in documents
        for first in range(0, ids.size, length)
    ]
    return [cut[i] for i in np.random.default_rng(0).permutation(len(cut))]


def first_tokens(documents: Documents, limit: int | None) -> Documents:
    """Documents up to so many tokens, the last one cut."""
    if limit is None or n_tokens(documents) <= limit:
        return documents
    ends = np.cumsum([ids.size for ids in documents])
    whole = int(np.searchsorted(ends, limit))
    rest = limit - (int(ends[whole - 1]) if whole else 0)
    return [*documents[:whole], documents[whole][:rest]]


def read_documents(path: Path) -> list[str]:
    """Documents of a .txt.gz file: blocks of lines between blank lines."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    return _blocks(text)


def _blocks(text: str) -> list[str]:
    return [block for block in re.split(r"\n\s*\n", text.strip()) if block]


def _read_folder(folder: Path) -> list[str]:
    paths = sorted(folder.glob("*.txt.gz"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no files *.txt.gz")
    documents = [text for path in paths for text in read_documents(path)]
    if not documents:
        raise ValueError(f"the files of {folder} hold no text")
    return documents


def _encode_up_to(ids: TokenIds, texts: list[str], limit: int | None) -> Documents:
    documents: Documents = []
    found = 0
    for first in range(0, len(texts), _BATCH):
        documents += ids.encode(texts[first : first + _BATCH])
        found += n_tokens(documents[first:])
        if limit is not None and found >= limit:
            break
    return first_tokens(documents, limit)


def _topics(remark: str) -> Corpus:
    """Help texts by topic; of training topics, what no testing topic has too."""
    from pydoc_data.topics import topics

    paragraphs = {name: _blocks(text) for name, text in sorted(topics.items())}
    names = np.array(list(paragraphs))
    order = np.random.default_rng(0).permutation(len(names))
    held_out = set(names[order[: len(names) // _DEV_SHARE]])
    known = {part for name in held_out for part in paragraphs[name]}
    dev = ["\n\n".join(paragraphs[name]) for name in names if name in held_out]
    train = [
        "\n\n".join(part for part in paragraphs[name] if part not in known)
        for name in names
        if name not in held_out
    ]
    title = f"topics (pydoc of Python {platform.python_version()}, a small corpus)"
    return Corpus([text for text in train if text], dev, title + remark)
