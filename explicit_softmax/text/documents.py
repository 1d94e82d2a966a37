"""Documents, whatever form they come in, to arrays of tokens of one kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What stands before the first token of a document, for ids and for strings.
PAD_ID = -1
PAD_STRING = ""

NO_TOKEN = (
    "documents hold no token. If they came from a generator, it may have been read to "
    "its end before: make a new one, or pass a list."
)


def token_arrays(documents: Iterable[Any]) -> list[NDArray[Any]]:
    """Documents as arrays of one kind; at least one has a token."""
    if isinstance(documents, str | bytes):
        raise TypeError(
            "documents must be a list of documents, not a single string: put it in a "
            "list, and split it into tokens"
        )
    arrays: list[NDArray[Any]] = []
    kinds: dict[str, int] = {}
    for number, document in enumerate(documents):
        array = _token_array(document, number)
        if array.size:
            kinds.setdefault("strings" if array.dtype.kind == "U" else "ids", number)
            arrays.append(array)
    if len(kinds) > 1:
        raise TypeError(
            f"documents mix token ids (document {kinds['ids']}) and strings (document "
            f"{kinds['strings']}): all tokens must be of one kind"
        )
    if not arrays:
        raise ValueError(NO_TOKEN)
    return arrays


def _token_array(document: Any, number: int) -> NDArray[Any]:
    if isinstance(document, str | bytes):
        raise TypeError(
            f"document {number} is a string: split it into tokens first, or give their "
            "ids"
        )
    try:
        array = np.asarray(document)
    except ValueError:
        raise TypeError(
            f"document {number} must be a sequence of token ids or strings, and some "
            "of its tokens are sequences themselves"
        ) from None
    if array.ndim != 1:
        raise TypeError(
            f"document {number} must be a sequence of token ids or strings, not "
            f"{type(document).__name__} of {array.ndim} dimensions; documents are a "
            "list of such sequences"
        )
    if array.dtype.kind == "O" and all(isinstance(token, str) for token in array):
        array = array.astype(str)
    if not array.size:
        return array
    if array.dtype.kind == "U":
        # NumPy makes strings of numbers that stand among strings.
        listed = () if isinstance(document, np.ndarray) else document
        if not all(isinstance(token, str) for token in listed):
            raise TypeError(f"document {number} mixes token ids and strings")
        if (array == PAD_STRING).any():
            raise ValueError(
                f"document {number} has an empty token; the empty string stands for "
                "padding"
            )
        return array
    if array.dtype.kind not in "iu":
        raise TypeError(
            f"document {number} must hold integers or strings, not {array.dtype}"
        )
    if array.max() >= 2**63:
        raise ValueError(f"document {number} has the token id {array.max()}, too large")
    if array.dtype.kind == "i" and array.min() < 0:
        raise ValueError(
            f"document {number} has the token id {array.min()}; ids must be "
            "non-negative"
        )
    return array
