"""Documents as arrays of tokens, and the token ids of a language model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
_BATCH_DOCUMENTS = 256
_BATCH_CHARACTERS = 2**22

# Documents checked together: a check of each would take longer than to count it.
_CHECKED_DOCUMENTS = 1024


def as_documents(documents: Iterable[Any]) -> Iterable[Any]:
    """`documents` itself; TypeError unless it is an iterable of documents."""
    kind, hint = type(documents).__name__, ""
    if isinstance(documents, str | bytes):
        kind, hint = "a single string", ": put it in a list"
    elif isinstance(documents, Mapping) or hasattr(documents, "columns"):
        # Iteration would give the keys, or the names of the columns.
        hint = ": give its values, or one of its columns"
    elif isinstance(documents, Iterable):
        return documents
    raise TypeError(f"documents must be an iterable of documents, not {kind}{hint}")


def document_list(documents: Iterable[Any]) -> list[Any]:
    """Documents as a list; ValueError if there are none."""
    documents = list(as_documents(documents))
    if not documents:
        raise ValueError(NO_TOKEN)
    return documents


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

    TypeError if it is no such sequence, ValueError for an empty string.
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
    array = array.astype(str, copy=False)
    if (array == PAD_STRING).any():
        raise ValueError(
            f"document {number} has an empty token; the empty string stands for padding"
        )
    return array


def check_ids(arrays: list[NDArray[Any]], highest: int, explanation: str) -> None:
    """ValueError that names a document with an id below 0 or beyond `highest`."""
    for start in range(0, len(arrays), _CHECKED_DOCUMENTS):
        part = arrays[start : start + _CHECKED_DOCUMENTS]
        ids = np.concatenate(part)
        if not ids.size or (ids.min() >= 0 and ids.max() <= highest):
            continue
        for number, array in enumerate(part, start):
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
        Turns strings into ids; None if documents are ids.
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
                "tokenizer must be a tokenizers.Tokenizer "
                f"or a fast one of transformers, not {type(tokenizer).__name__}"
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
    def trained(cls, documents: list[str], size: int) -> TokenIds:
        """Byte-pair encoding of at most `size` ids, learned from strings."""
        library = tokenizers_library()
        check_strings(documents)
        tokenizer = library.Tokenizer(library.models.BPE(unk_token=_OOV))
        tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(
            add_prefix_space=False
        )
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=size - 1,
            # Bytes alone may be more than a small vocabulary holds.
            limit_alphabet=size - 2,
            special_tokens=[_OOV],
            show_progress=False,
        )
        tokenizer.train_from_iterator(documents, trainer)
        return cls.of(tokenizer)

    @classmethod
    def for_documents(
        cls, documents: list[Any], tokenizer: Any, size: int | None
    ) -> TokenIds:
        """Vocabulary of at most `size` ids; for None, of the largest id plus three."""
        if not isinstance(documents[0], str):
            if size is not None:
                return cls(size)
            arrays = cls(np.iinfo(np.int32).max).encode(documents)
            return cls(max(int(ids.max(initial=0)) for ids in arrays) + 3)
        if tokenizer is not None:
            return cls.of(tokenizer)
        if size is None:
            raise ValueError(
                "vocabulary_size=None is for documents of token ids: give the number "
                "of ids that byte-pair encoding may learn, or a tokenizer"
            )
        return cls.trained(documents, size)

    def encode(self, documents: Iterable[Any]) -> list[NDArray[np.int32]]:
        """Ids of documents, empty ones included.

        TypeError if a document is not of the kind of the vocabulary, ValueError if an
        id is out of range.
        """
        documents = list(documents)
        if self.tokenizer is not None:
            check_strings(documents)
            return list(self._tokenized(documents))
        arrays = [token_array(d, n, strings=False) for n, d in enumerate(documents)]
        check_ids(
            arrays,
            self.oov,
            f"with a vocabulary of {self.size}, ids run from 0 to {self.oov}, which "
            f"stands for all tokens out of vocabulary ({self.pad} is padding)",
        )
        return [ids.astype(np.int32, copy=False) for ids in arrays]

    def decode(self, ids: NDArray[np.integer[Any]]) -> str:
        """Text of ids; padding and tokens out of vocabulary are left out."""
        ids = ids[ids < self.oov]
        if self.unknown is not None:
            ids = ids + (ids >= self.unknown)
        return str(self.tokenizer.decode(ids.tolist()))

    def words(self) -> list[str]:
        """Tokens of the ids below `oov`; ids themselves where there are none."""
        if self.tokenizer is None:
            return [str(number) for number in range(self.oov)]
        ids = [n for n in range(self.oov + 1) if n != self.unknown][: self.oov]
        tokens = [self.tokenizer.id_to_token(n) for n in ids]
        return [token or f"%{n}" for n, token in zip(ids, tokens, strict=True)]

    def equals(self, other: TokenIds) -> bool:
        """Whether the same strings or ids have the same meaning."""
        if self.tokenizer is None or other.tokenizer is None:
            return self.size == other.size and self.tokenizer is other.tokenizer
        return bool(self.tokenizer.to_str() == other.tokenizer.to_str())

    def __str__(self) -> str:
        of = "token ids" if self.tokenizer is None else "tokens of strings"
        return f"{self.size} {of}"

    def _tokenized(self, texts: list[str]) -> Iterator[NDArray[np.int32]]:
        # The fast form leaves out offsets, which nothing here needs.
        encode = self.tokenizer.encode_batch_fast
        for batch in _batches(texts):
            for encoding in encode(batch, add_special_tokens=False):
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


def check_strings(documents: list[Any]) -> None:
    """TypeError if a document is no string, ValueError if it is no Unicode text."""
    for number, text in enumerate(documents):
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


def _batches(texts: list[str]) -> Iterator[list[str]]:
    start, characters = 0, 0
    for number, text in enumerate(texts, 1):
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or number - start == _BATCH_DOCUMENTS:
            yield texts[start:number]
            start, characters = number, 0
    if start < len(texts):
        yield texts[start:]


def word_tokenizer(words: Iterable[str], unknown: str) -> Any:
    """Tokenizer of words between white space, with the ids from 0, then the unknown."""
    library = tokenizers_library()
    ids = {word: number for number, word in enumerate([*words, unknown])}
    tokenizer = library.Tokenizer(library.models.WordLevel(ids, unk_token=unknown))
    tokenizer.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    return tokenizer
