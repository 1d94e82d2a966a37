"""Documents as arrays of tokens, and the token ids of a language model."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.progress import Listener, listener

# Padding before the first token of a document, for ids and for strings.
PAD_ID = -1
PAD_STRING = ""

NO_TOKEN = (
    "documents hold no token. If they came from a generator, it may have been read to "
    "its end before: make a new one, or pass a list."
)

_OOV = "<oov>"

# Documents, and their characters, encoded per call: encodings take far more memory
# than ids.
_BATCH_DOCUMENTS = 1024
_BATCH_CHARACTERS = 2**20

# Documents checked together: a check of each would take longer than to count it.
_CHECKED_DOCUMENTS = 1024


def as_documents(documents: Any) -> Iterable[Any]:
    """`documents` itself, or a list of one path; TypeError if it holds no documents."""
    kind, hint = type(documents).__name__, ""
    if isinstance(documents, os.PathLike):
        return [documents]
    if isinstance(documents, str | bytes):
        kind, hint = "a single string", ": put it in a list"
    elif isinstance(documents, Mapping) or hasattr(documents, "columns"):
        # Iteration would give the keys, or the names of the columns.
        hint = ": give its values, or one of its columns"
    elif isinstance(documents, Iterable):
        return documents
    raise TypeError(f"documents must be an iterable of documents, not {kind}{hint}")


def document_list(documents: Any) -> list[Any]:
    """Documents as a list; ValueError if there are none."""
    found = list(as_documents(documents))
    if not found:
        raise ValueError(NO_TOKEN)
    return found


@dataclass(frozen=True, eq=False)
class Documents:
    """Documents read one after the other, so that they need not be in memory.

    Parameters
    ----------
    source : iterable
        Documents, or paths of files in UTF-8, compressed if their names end in
        ``.gz``, each line of which is a document.
    split : callable or None
        What makes tokens of documents that are strings; None leaves them as they are.
    """

    source: Iterable[Any]
    split: Callable[[str], Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        for number, document in enumerate(self._with_lines()):
            if self.split is None or not isinstance(document, str):
                yield document
                continue
            tokens = self.split(document)
            if isinstance(tokens, str) or not isinstance(tokens, Sequence | np.ndarray):
                raise TypeError(
                    "tokenizer must return a list of str or of int, and for document "
                    f"{number} it returned {type(tokens).__name__}"
                )
            yield tokens

    def _with_lines(self) -> Iterator[Any]:
        for document in self.source:
            if isinstance(document, os.PathLike):
                yield from text_lines(document)
            else:
                yield document


def text_lines(path: os.PathLike[str]) -> Iterator[str]:
    """Lines of a file without their ends; ValueError if they are not in UTF-8."""
    is_gzip = os.fspath(path).endswith(".gz")
    with (gzip.open if is_gzip else open)(path, "rt", encoding="utf-8") as file:
        try:
            for line in file:
                yield line.rstrip("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not a text in UTF-8: {error}") from None


class KeptDocuments:
    """Documents of an iterator, put into a file to be read again and again."""

    def __init__(self, documents: Iterable[Any], file: IO[bytes]) -> None:
        self._file, self._size = file, 0
        for document in documents:
            if not isinstance(document, str | os.PathLike):
                document = token_array(document, self._size)
            pickle.dump(document, self._file)
            self._size += 1

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        self._file.seek(0)
        for _ in range(self._size):
            yield pickle.load(self._file)


@contextmanager
def repeatable(documents: Iterable[Any]) -> Iterator[Iterable[Any]]:
    """Documents that can be read more than once: those of an iterator are kept."""
    if iter(documents) is not documents:
        yield documents
        return
    with tempfile.TemporaryFile() as file:
        yield KeptDocuments(documents, file)


def n_documents(documents: Iterable[Any]) -> int | None:
    """How many documents there are, lines of files among them; None if unknown."""
    if not isinstance(documents, Sized):
        return None
    return sum(1 for _ in Documents(documents))


def text_splitter(tokenizer: Any) -> Callable[[str], Any] | None:
    """The tokenizer if it is a function of a string, and not one of a library."""
    of_library = hasattr(tokenizer, "backend_tokenizer")
    return tokenizer if callable(tokenizer) and not of_library else None


def token_arrays(documents: Iterable[Any]) -> list[NDArray[Any]]:
    """Documents of ids or of strings as arrays of one kind; empty ones are left out."""
    documents = as_documents(documents)
    arrays = [token_array(document, n) for n, document in enumerate(documents)]
    filled = [number for number, array in enumerate(arrays) if array.size]
    strings = [number for number in filled if arrays[number].dtype.kind == "U"]
    ids = [number for number in filled if arrays[number].dtype.kind != "U"]
    if not filled:
        raise ValueError(NO_TOKEN)
    if strings and ids:
        raise TypeError(
            f"documents mix token ids (document {ids[0]}) and strings (document "
            f"{strings[0]}): all tokens must be of one kind"
        )
    if ids:
        check_ids(arrays, np.iinfo(np.int64).max, "ids run from 0 to 2**63 - 1")
    return [arrays[number] for number in filled]


def token_array(document: Any, number: int, *, strings: bool = True) -> NDArray[Any]:
    """One document as a 1-d array of ids or, if `strings`, of strings.

    TypeError if it is no such sequence, ValueError for an empty string, or for one that
    ends with a null character.
    """
    wanted = "token ids or strings" if strings else "token ids"
    if isinstance(document, str | bytes):
        hint = "documents are all strings, or all sequences of token ids"
        if strings:
            hint = "split it into tokens first, or give their ids"
        raise TypeError(f"document {number} is a string: {hint}")
    try:
        array = np.asarray(document)
    except ValueError:
        raise TypeError(
            f"document {number} must be a sequence of {wanted}, and some of its tokens "
            "are sequences themselves"
        ) from None
    if array.ndim != 1:
        raise TypeError(
            f"document {number} must be a sequence of {wanted}, not "
            f"{type(document).__name__} of {array.ndim} dimensions; documents are a "
            "list of such sequences"
        )
    if not array.size:
        return np.zeros(0, dtype=np.int32)
    if array.dtype.kind in "iu":
        return array
    are_strings = {isinstance(token, str) for token in document}
    if not strings or array.dtype.kind not in "OU" or True not in are_strings:
        hint = "; join tokens that are strings to a text" * (True in are_strings)
        raise TypeError(
            f"document {number} must hold {wanted}, not {array.dtype}{hint}"
        )
    if False in are_strings:  # NumPy makes strings of numbers among strings
        raise TypeError(f"document {number} mixes token ids and strings")
    if "\0" in "".join(document) and any(token.endswith("\0") for token in document):
        raise ValueError(
            f"document {number} has a token that ends with a null character, which "
            "arrays of strings cannot hold: give ids, or strip it"
        )
    array = array.astype(str, copy=False)
    if (array == PAD_STRING).any():
        raise ValueError(
            f"document {number} has an empty token; the empty string stands for padding"
        )
    return array


def check_ids(
    arrays: list[NDArray[Any]], highest: int, explanation: str, first: int = 0
) -> None:
    """ValueError that names a document with an id below 0 or beyond `highest`.

    `first` is the number of the first document.
    """
    for start in range(0, len(arrays), _CHECKED_DOCUMENTS):
        part = arrays[start : start + _CHECKED_DOCUMENTS]
        ids = np.concatenate(part)
        if not ids.size or (ids.min() >= 0 and ids.max() <= highest):
            continue
        for number, array in enumerate(part, first + start):
            for out in array[(array < 0) | (array > highest)][:1]:
                raise ValueError(
                    f"document {number} has the token id {out}, which is out of range: "
                    f"{explanation}"
                )


@dataclass(frozen=True, eq=False)
class TokenIds:
    """Vocabulary of a language model.

    Ids run from 0 to ``size - 1``: tokens first, then out-of-vocabulary, and last the
    padding. A tokenizer's own id of unknown tokens becomes that of out-of-vocabulary.

    Parameters
    ----------
    size : int
        Number of ids.
    tokenizer : tokenizers.Tokenizer or None
        Turns strings into ids; None if documents are ids. One that knows words and does
        not split strings (WordLevel, no pre-tokenizer) is for sequences of words.
    unknown : int or None
        The tokenizer's id of unknown tokens, if it has one.
    """

    size: int
    tokenizer: Any = None
    unknown: int | None = None

    @property
    def oov(self) -> int:
        """Id of out-of-vocabulary tokens."""
        return self.size - 2

    @property
    def pad(self) -> int:
        """Id of the padding; never a target."""
        return self.size - 1

    @classmethod
    def of(cls, tokenizer: Any) -> TokenIds:
        """Vocabulary of a trained tokenizer, or of the one that a fast one wraps."""
        tokenizer = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if not hasattr(tokenizer, "encode_batch"):
            raise TypeError(
                "tokenizer must be a tokenizers.Tokenizer, a fast one of transformers, "
                f"a function, or 'whitespace', not {tokenizer!r:.60}"
            )
        for name in ("padding", "truncation"):
            if getattr(tokenizer, name) is not None:
                raise ValueError(
                    f"the tokenizer has {name} switched on, which changes documents: "
                    f"call its no_{name}() first"
                )
        # Ids may have gaps: their number would be too small.
        n_tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
        unknown: int | None = None
        token = getattr(tokenizer.model, "unk_token", None)
        if token is not None:
            unknown = tokenizer.token_to_id(token)
        elif type(tokenizer.model).__name__ == "Unigram":  # tells its id in JSON only
            unknown = json.loads(tokenizer.to_str())["model"]["unk_id"]
        return cls(n_tokens - (unknown is not None) + 2, tokenizer, unknown)

    @classmethod
    def from_text(cls, text: str) -> TokenIds:
        """Vocabulary of a tokenizer in JSON, as its ``to_str`` returns it."""
        return cls.of(tokenizers_library().Tokenizer.from_str(text))

    @classmethod
    def trained(
        cls, documents: Iterable[str], size: int, min_frequency: int = 1
    ) -> TokenIds:
        """Byte-pair encoding of at most `size` ids, learned from strings."""
        library = tokenizers_library()
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=_OOV))
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(
            add_prefix_space=False
        )
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=size - 1,
            min_frequency=min_frequency,
            # Bytes alone may be more than a small vocabulary holds.
            limit_alphabet=size - 2,
            special_tokens=[_OOV],
            show_progress=False,
        )
        # Threads of the library read the documents: they would find no listener.
        tokenizer.train_from_iterator(_checked_strings(documents, listener()), trainer)
        return cls.of(tokenizer)

    @classmethod
    def of_words(
        cls,
        documents: Iterable[Any],
        size: int | None,
        min_frequency: int,
        *,
        are_split: bool,
    ) -> TokenIds:
        """Vocabulary of the most frequent words, the first of equal ones by name.

        Documents are sequences of words if `are_split`, else strings.
        """
        tokenizers_library()  # missing, it is an error before all is read
        counts: Counter[str] = Counter()
        tell = listener()
        for number, document in enumerate(documents):
            tell(1)
            if are_split:
                words = _word_list(document, number)
                check_strings(["".join(words)], number)
                counts.update(words)
            else:
                check_strings([document], number)
                counts.update(document.split())
        del counts[_OOV]
        ranked = [word for word in counts if counts[word] >= min_frequency]
        ranked.sort(key=lambda word: (-counts[word], word))
        ranked = ranked[: None if size is None else size - 2]
        return cls.of(word_tokenizer(ranked, _OOV, are_split=are_split))

    @classmethod
    def for_documents(
        cls,
        documents: Iterable[Any],
        tokenizer: Any,
        size: int | None,
        min_frequency: int = 1,
    ) -> TokenIds:
        """Vocabulary of at most `size` ids; for None, of all words or ids.

        Documents are read twice or more; functions have split those that are strings.
        """
        first = next((each for each in documents if not is_empty(each)), "")
        if is_empty(first):
            raise ValueError(NO_TOKEN)
        are_split = not isinstance(first, str)
        if are_split and not has_words(first):
            if size is not None:
                return cls(size)
            arrays = cls(np.iinfo(np.int32).max).encoded(documents)
            return cls(max(int(ids.max(initial=0)) for ids in arrays) + 3)
        is_function = text_splitter(tokenizer) is not None
        if tokenizer is None and not are_split:
            if size is None:
                raise ValueError(
                    "vocabulary_size=None is for documents of token ids or of words: "
                    "give the number of ids that byte-pair encoding may learn, or a "
                    "tokenizer"
                )
            return cls.trained(documents, size, min_frequency)
        if tokenizer is None or is_function or tokenizer == "whitespace":
            return cls.of_words(documents, size, min_frequency, are_split=are_split)
        return cls.of(tokenizer)

    def encoded(self, documents: Iterable[Any]) -> Iterator[NDArray[np.int32]]:
        """Ids of documents, empty ones included, read as they are needed.

        TypeError if a document is not of the kind of the vocabulary, ValueError if an
        id is out of range.
        """
        number, tell = 0, listener()
        for batch in _batches(documents):
            if self._word_ids is not None:
                words = [self._split(each, n) for n, each in enumerate(batch, number)]
                get, oov = self._word_ids.get, self.oov
                for each in words:
                    yield np.array([get(word, oov) for word in each], dtype=np.int32)
            elif self.tokenizer is not None:
                check_strings(batch, number)
                yield from self._tokenized(batch)
            else:
                yield from self._checked(batch, number)
            number += len(batch)
            tell(len(batch))

    def encode(self, documents: Iterable[Any]) -> list[NDArray[np.int32]]:
        """What `encoded` yields, as a list."""
        return list(self.encoded(documents))

    def decode(self, ids: NDArray[np.integer[Any]]) -> str:
        """Text of ids; padding and tokens out of vocabulary are left out."""
        ids = ids[ids < self.oov]
        if self.unknown is not None:
            ids = ids + (ids >= self.unknown)
        return str(self.tokenizer.decode(ids.tolist()))

    def words(self) -> list[str]:
        """Tokens of the ids below `oov`, all different; ids where there are none.

        Empty tokens, and ids that have none, are as ``%3``, or ``%%3`` if that is a
        token.
        """
        if self.tokenizer is None:
            return [str(number) for number in range(self.oov)]
        ids = [n for n in range(self.oov + 1) if n != self.unknown][: self.oov]
        tokens = [self.tokenizer.id_to_token(n) for n in ids]
        known = {*tokens}
        for place, token in enumerate(tokens):
            name = token or f"%{ids[place]}"
            while not token and name in known:
                name = f"%{name}"
            tokens[place] = name
        return tokens

    def equals(self, other: TokenIds) -> bool:
        """Whether the same strings or ids have the same meaning."""
        if self.tokenizer is None or other.tokenizer is None:
            return self.size == other.size and self.tokenizer is other.tokenizer
        return bool(self.tokenizer.to_str() == other.tokenizer.to_str())

    def __str__(self) -> str:
        of = "token ids" if self.tokenizer is None else "tokens of strings"
        return f"{self.size} {of}"

    @property
    def takes_words(self) -> bool:
        """Whether documents are sequences of words."""
        return self._word_ids is not None and self.tokenizer.pre_tokenizer is None

    @cached_property
    def _word_ids(self) -> dict[str, int] | None:
        """Ids of words where strings are split at white space or before; else None.

        To look words up is faster than what the library does for any tokenizer.
        """
        tokenizer = self.tokenizer
        if type(getattr(tokenizer, "model", None)).__name__ != "WordLevel":
            return None
        splits = type(tokenizer.pre_tokenizer).__name__
        if splits not in ("NoneType", "WhitespaceSplit") or tokenizer.normalizer:
            return None
        if tokenizer.get_added_tokens_decoder() or self.unknown is None:
            return None
        return {
            word: self.oov if n == self.unknown else n - (n > self.unknown)
            for word, n in tokenizer.get_vocab().items()
        }

    def _split(self, document: Any, number: int) -> Iterable[str]:
        if not self.takes_words and not _is_word_list(document):
            check_strings([document], number)
            words: list[str] = document.split()
            return words
        if isinstance(document, str) and document:
            raise TypeError(
                f"document {number} is a string, and this model is of sequences of "
                "words: set tokenizer to the function that splits strings"
            )
        return _word_list(document, number)

    def _checked(self, batch: list[Any], first: int) -> Iterator[NDArray[np.int32]]:
        arrays = [token_array(d, n, strings=False) for n, d in enumerate(batch, first)]
        check_ids(
            arrays,
            self.oov,
            f"with a vocabulary of {self.size}, ids run from 0 to {self.oov}, which "
            f"stands for all tokens out of vocabulary ({self.pad} is padding)",
            first,
        )
        return (ids.astype(np.int32, copy=False) for ids in arrays)

    def _tokenized(self, texts: list[str]) -> Iterator[NDArray[np.int32]]:
        # The fast form leaves out offsets, which nothing here needs.
        encode = self.tokenizer.encode_batch_fast
        for encoding in encode(texts, add_special_tokens=False):
            ids = np.array(encoding.ids, dtype=np.int32)
            if self.unknown is not None:
                is_oov = ids == self.unknown
                ids -= ids > self.unknown
                ids[is_oov] = self.oov
            yield ids


def tokenizers_library() -> Any:
    """The tokenizers library; ImportError says how to install it."""
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            "documents that are strings need the tokenizers library: "
            "pip install 'explicit_softmax[lm]', or give token ids"
        ) from error
    return tokenizers


def check_strings(documents: list[Any], first: int = 0) -> None:
    """TypeError if a document is no string, ValueError if it is no Unicode text.

    `first` is the number of the first document.
    """
    for number, text in enumerate(documents, first):
        if not isinstance(text, str):
            raise TypeError(
                f"document {number} is not a string but {type(text).__name__}: "
                "documents are all strings, or all sequences of token ids"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"document {number} is not valid Unicode: {error}. Decode or encode it "
                "with errors='replace'."
            ) from None


def _checked_strings(documents: Iterable[Any], tell: Listener) -> Iterator[str]:
    for number, document in enumerate(documents):
        check_strings([document], number)
        tell(1)
        yield document


def _word_list(document: Any, number: int) -> Iterable[str]:
    """The document, which must be a sequence of words; else an error names it."""
    if is_empty(document):
        return []
    if _is_word_list(document) and PAD_STRING not in document:
        words: Iterable[str] = document
        return words
    array = token_array(document, number)
    if array.dtype.kind != "U":
        raise TypeError(f"document {number} must hold words, not token ids")
    return list(array)


def _is_word_list(document: Any) -> bool:
    is_sequence = isinstance(document, list | tuple | np.ndarray)
    if not is_sequence or getattr(document, "ndim", 1) != 1:
        return False
    return all(isinstance(word, str) for word in document)


def is_empty(document: Any) -> bool:
    """Whether a document holds nothing."""
    size = getattr(document, "size", None)  # arrays of no dimension have no length
    if size is None:
        size = len(document) if isinstance(document, Sized) else 1
    return bool(size == 0)


def has_words(document: Any) -> bool:
    """Whether a document that is not empty is a sequence of words."""
    if not isinstance(document, Iterable) or getattr(document, "ndim", 1) == 0:
        return False
    return isinstance(next(iter(document)), str)


def _batches(documents: Iterable[Any]) -> Iterator[list[Any]]:
    """Documents in lists, not too many nor too large."""
    batch: list[Any] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document) if isinstance(document, str) else 0
        if characters >= _BATCH_CHARACTERS or len(batch) == _BATCH_DOCUMENTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def word_tokenizer(
    words: Iterable[str], unknown: str, *, are_split: bool = False
) -> Any:
    """Tokenizer that gives words the ids from 0, and then the unknown one.

    It takes words if `are_split`, and else what has white space between them.
    """
    library = tokenizers_library()
    ids = {word: number for number, word in enumerate([*words, unknown])}
    tokenizer = library.Tokenizer(library.models.WordLevel(ids, unk_token=unknown))
    if not are_split:
        tokenizer.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    return tokenizer
