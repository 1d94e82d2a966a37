"""Documents of a language model to token ids, and back: strings or ids as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Documents that are encoded at a time, and characters: encodings are much larger than
# the ids that are kept of them.
_BATCH_DOCUMENTS = 256
_BATCH_CHARACTERS = 2**22

# Documents of ids whose range is checked at a time.
_CHECKED_DOCUMENTS = 1024

_OOV = "<oov>"


@dataclass(frozen=True, eq=False)
class TokenIds:
    """Vocabulary of a language model.

    Ids run from 0 to ``size - 1``; the last but one is out-of-vocabulary, the last the
    padding. A tokenizer's own id of unknown tokens becomes the former.

    Parameters
    ----------
    size : int
        Number of ids.
    tokenizer : tokenizers.Tokenizer or None
        Turns strings into ids; None where documents are ids.
    unknown : int or None
        Its id of unknown tokens, if it has one.
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
        """Vocabulary of a trained tokenizer."""
        if not hasattr(tokenizer, "encode_batch"):
            raise TypeError(
                "tokenizer must be a tokenizers.Tokenizer, not "
                f"{type(tokenizer).__name__}; the fast tokenizers of other libraries "
                "wrap one"
            )
        for name in ("padding", "truncation"):
            if getattr(tokenizer, name) is not None:
                raise ValueError(
                    f"the tokenizer has {name} switched on, which changes documents: "
                    f"call its no_{name}() first"
                )
        # Ids may have gaps: their number would be too small.
        n_tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
        unknown = _unknown_id(tokenizer)
        return cls(n_tokens - (unknown is not None) + 2, tokenizer, unknown)

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

    def encode(self, documents: Iterable[Any]) -> list[NDArray[np.int32]]:
        """Ids of documents, empty ones included.

        Raises
        ------
        TypeError
            If documents are strings and the model is of ids, or the other way round.
        ValueError
            If an id is out of range.
        """
        if self.tokenizer is None:
            arrays = [_id_array(document, n) for n, document in enumerate(documents)]
            self._check_range(arrays)
            return [ids.astype(np.int32, copy=False) for ids in arrays]
        documents = list(documents)
        check_strings(documents)
        return [ids for batch in _batches(documents) for ids in self._tokenized(batch)]

    def equals(self, other: TokenIds) -> bool:
        """Whether the same strings or ids have the same meaning."""
        if self.size != other.size or (self.tokenizer is None) != (
            other.tokenizer is None
        ):
            return False
        if self.tokenizer is None or self.tokenizer is other.tokenizer:
            return True
        return bool(self.tokenizer.to_str() == other.tokenizer.to_str())

    def __str__(self) -> str:
        of = "token ids" if self.tokenizer is None else "tokens of strings"
        return f"{self.size} {of}"

    def decode(self, ids: NDArray[np.integer[Any]]) -> str:
        """Text of ids; those out of vocabulary and pads are left out."""
        ids = np.asarray(ids)[np.asarray(ids) < self.oov].astype(np.int64)
        if self.unknown is not None:
            ids = ids + (ids >= self.unknown)
        return str(self.tokenizer.decode(ids.tolist()))

    def _tokenized(self, texts: list[str]) -> Iterator[NDArray[np.int32]]:
        # The fast form leaves out offsets, which nothing here needs.
        encode = getattr(
            self.tokenizer, "encode_batch_fast", self.tokenizer.encode_batch
        )
        for encoding in encode(texts, add_special_tokens=False):
            ids = np.array(encoding.ids, dtype=np.int32)
            if self.unknown is not None:
                is_oov = ids == self.unknown
                ids -= ids > self.unknown
                ids[is_oov] = self.oov
            yield ids

    def _check_range(
        self, arrays: list[NDArray[np.integer[Any]]], first: int = 0
    ) -> None:
        """Many at a time: looking at each would take longer than counting."""
        step = _CHECKED_DOCUMENTS if len(arrays) > 1 else 1
        for start in range(0, len(arrays), step):
            part = arrays[start : start + step]
            ids = np.concatenate(part)
            if not ids.size or (ids.min() >= 0 and ids.max() <= self.oov):
                continue
            if len(part) > 1:
                for number, document in enumerate(part, first + start):
                    self._check_range([document], number)
            lowest, highest = ids.min(), ids.max()
            raise ValueError(
                f"document {first + start} has the token id "
                f"{lowest if lowest < 0 else highest}, which is out of range: with a "
                f"vocabulary of {self.size}, ids run from 0 to {self.oov}, the last of "
                f"which is out-of-vocabulary ({self.pad} is padding)"
            )


def _id_array(document: Any, number: int) -> NDArray[np.integer[Any]]:
    if isinstance(document, str):
        raise TypeError(
            f"document {number} is a string: documents are all strings, or all "
            "sequences of token ids"
        )
    try:
        ids = np.asarray(document)
    except ValueError:
        raise TypeError(
            f"document {number} must be a sequence of token ids, and some of its "
            "tokens are sequences themselves"
        ) from None
    if ids.ndim != 1:
        raise TypeError(
            f"document {number} must be a sequence of token ids, not "
            f"{type(document).__name__}; documents are a list of such sequences"
        )
    if not ids.size:
        return np.zeros(0, dtype=np.int32)
    if ids.dtype.kind not in "iu":
        strings = any(isinstance(token, str) for token in ids.tolist())
        hint = "; join tokens that are strings to a text" * strings
        raise TypeError(
            f"document {number} must be token ids (integers), not of type "
            f"{ids.dtype}{hint}"
        )
    return ids


def tokenizers_library() -> Any:
    """The tokenizers library; ImportError says how to get it."""
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
                f"document {number} is no Unicode text: {error}. Read it with "
                "errors='replace', or encode it with that."
            ) from None


def _unknown_id(tokenizer: Any) -> int | None:
    unknown: int | None = None
    token = getattr(tokenizer.model, "unk_token", None)
    if token is not None:
        unknown = tokenizer.token_to_id(token)
    elif type(tokenizer.model).__name__ == "Unigram":  # has an id, in its text only
        unknown = json.loads(tokenizer.to_str())["model"]["unk_id"]
    return unknown


def _batches(texts: list[str]) -> Iterator[list[str]]:
    start, characters = 0, 0
    for number, text in enumerate(texts, 1):
        characters += len(text)
        if characters >= _BATCH_CHARACTERS or number - start == _BATCH_DOCUMENTS:
            yield texts[start:number]
            start, characters = number, 0
    if start < len(texts):
        yield texts[start:]
