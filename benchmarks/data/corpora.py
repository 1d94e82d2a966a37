"""Running text for language models, its token ids, and samples of them.

A folder in the data root (see `files`) has the folders ``train`` and ``dev`` with files
``*.txt.gz``; a document is a block of lines between blank lines. Without one, the help
texts of Python's `pydoc_data.topics` serve, a document for each topic.
"""

import platform
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.files import find, read_text
from explicit_softmax.text.tokens import TokenIds
from explicit_softmax.text.windows import OneHotWindows, TokenStream

HELP = (
    "topics (of pydoc), or a folder with train/ and dev/ of *.txt.gz in the folder "
    "that EXPLICIT_SOFTMAX_DATA names; by default babylm_like where it is available, "
    "otherwise topics"
)
# 2 ** 12 byte-pair tokens, padding, and out-of-vocabulary, as in the paper.
VOCABULARY_SIZE = 4098
# Tokens of the pieces that samples consist of.
PIECE_TOKENS = 1000
# Where only some tokens are wanted, bytes of text for each that byte-pair encoding is
# learned from; a token has about four.
_BYTES_PER_TOKEN = 8
# Documents that are encoded at a time, and topics for each that is for testing.
_BATCH, _DEV_SHARE = 256, 5

Documents = list[NDArray[np.int32]]


class Corpus(NamedTuple):
    """Documents as strings, and their description."""

    train: list[str]
    dev: list[str]
    name: str


@dataclass(frozen=True)
class TokenCorpus:
    """Documents as token ids, and their description.

    Ids run from 0 to ``vocabulary_size - 3``; the last two are out-of-vocabulary and
    padding. Training documents are in a random order, always the same. `dev_bytes` are
    the UTF-8 bytes of the documents of `dev`, and `seconds` those of the encoding.
    """

    train: Documents
    dev: Documents
    vocabulary_size: int
    dev_bytes: int
    name: str
    seconds: float = 0.0

    @property
    def note(self) -> str:
        return (
            f"{self.name}, {n_tokens(self.train):,} + {n_tokens(self.dev):,} tokens "
            f"in {len(self.train):,} + {len(self.dev):,} documents, vocabulary of "
            f"{self.vocabulary_size:,} ids (encoded in {self.seconds:.0f} s)"
        )


def n_tokens(documents: Documents) -> int:
    return sum(ids.size for ids in documents)


def load_corpus(name: str | None = None) -> Corpus:
    """Load a corpus by name (see `HELP`)."""
    return find(name, "babylm_like", _from_folder, "topics", _topics)


@lru_cache(maxsize=1)
def encoded(name: str | None, vocabulary_size: int, limit: int | None) -> TokenCorpus:
    """A corpus by name as `encode` gives it, kept for whoever asks next."""
    return encode(load_corpus(name), vocabulary_size, limit)


def encode(
    corpus: Corpus,
    vocabulary_size: int = VOCABULARY_SIZE,
    limit: int | None = None,
) -> TokenCorpus:
    """Learn byte-pair encoding from the training documents, and encode all.

    With a `limit`, training documents are taken in random order until there are as many
    tokens, the last one cut, and byte-pair encoding is learned from the first ones
    only, with 8 bytes for each token.
    """
    start = time.perf_counter()
    order = np.random.default_rng(0).permutation(len(corpus.train))
    texts = [corpus.train[i] for i in order]
    if limit is not None:
        ends = np.cumsum([len(text.encode()) for text in texts])
        texts = texts[: int(np.searchsorted(ends, _BYTES_PER_TOKEN * limit)) + 1]
    ids = TokenIds.trained(texts, vocabulary_size)
    train: Documents = []
    found = 0
    for first in range(0, len(texts), _BATCH):
        train += ids.encode(texts[first : first + _BATCH])
        found += n_tokens(train[first:])
        if limit is not None and found >= limit:
            break
    train, dev = first_tokens(train, limit), ids.encode(corpus.dev)
    n_bytes = sum(len(text.encode()) for text in corpus.dev)
    seconds = time.perf_counter() - start
    return TokenCorpus(train, dev, ids.size, n_bytes, corpus.name, seconds)


def windows(
    documents: Documents,
    context_size: int,
    vocabulary_size: int,
    aggregation: str = "cat",
) -> OneHotWindows:
    """One-hot windows of all tokens of documents of ids."""
    stream = TokenStream.from_documents(documents, context_size, vocabulary_size - 1)
    return OneHotWindows(stream, vocabulary_size, aggregation)


def sample(documents: Documents, least: int) -> Documents:
    """Pieces of documents of at least so many tokens, at random, always the same.

    Documents differ so much in length and kind that a sample of whole ones says little
    about the others. No piece is cut; all are taken where there are fewer tokens.
    """
    cut = [
        ids[first : first + PIECE_TOKENS]
        for ids in documents
        for first in range(0, ids.size, PIECE_TOKENS)
    ]
    order = np.random.default_rng(0).permutation(len(cut))
    ends = np.cumsum([cut[i].size for i in order])
    return [cut[i] for i in order[: int(np.searchsorted(ends, least)) + 1]]


def first_tokens(documents: Documents, limit: int | None) -> Documents:
    """Documents up to so many tokens, the last one cut."""
    if limit is None or n_tokens(documents) <= limit:
        return documents
    ends = np.cumsum([ids.size for ids in documents])
    whole = int(np.searchsorted(ends, limit))
    rest = limit - (int(ends[whole - 1]) if whole else 0)
    return [*documents[:whole], documents[whole][:rest]]


def blocks(text: str) -> list[str]:
    """Blocks of lines between blank lines."""
    return [block for block in re.split(r"\n\s*\n", text.strip()) if block]


def _from_folder(folder: Path) -> Corpus:
    parts = []
    for part in ("train", "dev"):
        paths = sorted((folder / part).glob("*.txt.gz"))
        if not paths:
            raise FileNotFoundError(f"{folder / part} has no files *.txt.gz")
        parts.append([block for path in paths for block in blocks(read_text(path))])
        if not parts[-1]:
            raise ValueError(f"the files of {folder / part} hold no text")
    return Corpus(*parts, folder.name)


def _topics(remark: str) -> Corpus:
    """Help texts by topic; paragraphs of testing topics are taken out of the others."""
    from pydoc_data.topics import topics

    paragraphs = {name: blocks(text) for name, text in sorted(topics.items())}
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
