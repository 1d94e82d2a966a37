"""Files of n-gram models in the ARPA format, as KenLM and others read them.

An interpolated model is a back-off model whose probabilities of the n-grams in the file
are the interpolated ones and whose back-off weights are gamma of their contexts.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.text.kneser_ney import Floats, KneserNey, beyond_the_beginning
from explicit_softmax.text.ngrams import Keys, find, split_keys

_CHUNK_LINES = 2**18

# Log10 of what never happens, as other programs write it.
_NEVER = -99.0


def escaped(token: str) -> str:
    """Token without space, control characters, ``<``, ``>``, and ``%``: as in URLs."""
    return re.sub(r"[\s\x00-\x1f\x7f%<>]", lambda found: quote(found[0], ""), token)


def write_arpa(
    path: str | PathLike[str], model: KneserNey, words: Sequence[str]
) -> None:
    """Write smoothed n-grams; compressed if the name ends in ``.gz``.

    `words` are those of the ids 0 to V - 3, after which come ``<unk>`` and the
    boundary: ``<s>`` in contexts, ``</s>`` as a target.
    """
    safe = [escaped(word) for word in words]
    before = np.array([*safe, "<unk>", "<s>"], dtype=object)
    after = np.array([*safe, "<unk>", "</s>"], dtype=object)
    kept = [
        np.flatnonzero(
            ~beyond_the_beginning(model.contexts, size, model.n_ids)[
                split_keys(keys, model.n_ids)[0]
            ]
        )
        for size, keys in enumerate(model.keys, 1)
    ]
    opened: Any = gzip.open if fspath(path).endswith(".gz") else open
    with opened(path, "wt", encoding="utf-8", newline="\n") as file:
        file.write("\\data\\\n")
        for order, n_ngrams in enumerate([model.n_ids + 1, *map(len, kept)], 1):
            file.write(f"ngram {order}={n_ngrams}\n")
        file.write("\n\\1-grams:\n")
        file.writelines(_unigrams(model, after))
        weights = _backoff_of_ngrams(model)
        phrases = np.array([""], dtype=object)
        for size, (keys, places) in enumerate(zip(model.keys, kept, strict=True), 1):
            shorter, farthest = split_keys(model.contexts[size - 1], model.n_ids)
            phrases = before[farthest] + " " + phrases[shorter]
            file.write(f"\n\\{size + 1}-grams:\n")
            for start in range(0, places.size, _CHUNK_LINES):
                some = places[start : start + _CHUNK_LINES]
                context, target = split_keys(keys[some], model.n_ids)
                texts = phrases[context] + after[target]
                logs = _log10(model.proba[size][some])
                gammas = weights[size - 1][some] if size <= len(weights) else None
                file.write(_lines(logs, texts, gammas))
        file.write("\n\\end\\\n")


def _unigrams(model: KneserNey, words: NDArray[Any]) -> Iterator[str]:
    logs = np.full(model.n_ids + 1, _NEVER)
    logs[: model.n_classes] = _log10(model.proba[0])
    logs[-1] = _NEVER
    gammas = np.zeros(model.n_ids + 1)
    tokens = model.contexts[0].copy()
    tokens[tokens == model.n_ids - 1] = model.n_ids  # the boundary as <s>
    gammas[tokens] = _log10(model.backoff[0])
    yield _lines(logs, np.append(words, "<s>"), gammas)


def _backoff_of_ngrams(model: KneserNey) -> list[NDArray[np.float64]]:
    """Log10 of gamma of n-grams of 2 to K tokens as contexts; 0 where they are none."""
    found = []
    without_nearest = np.zeros(model.contexts[0].size, dtype=np.int64)
    nearest: Keys = model.contexts[0]
    for size in range(2, model.context_size + 1):
        shorter, farthest = split_keys(model.contexts[size - 1], model.n_ids)
        without_nearest = find(
            model.contexts[size - 2], without_nearest[shorter] * model.n_ids + farthest
        )
        nearest = nearest[shorter]
        # Contexts beyond the beginning have the weight one, and are not written.
        usual = ~beyond_the_beginning(model.contexts, size, model.n_ids)
        usual &= without_nearest >= 0
        keys = without_nearest * model.n_ids + nearest
        places = find(model.keys[size - 2], keys[usual])
        weights = np.zeros(model.keys[size - 2].size)
        weights[places] = _log10(model.backoff[size - 1][usual])
        found.append(weights)
    return found


def _log10(values: Floats) -> NDArray[np.float64]:
    return np.log10(np.clip(values.astype(np.float64), 1e-37, 1.0))


def _lines(
    logs: NDArray[np.float64], texts: NDArray[Any], gammas: NDArray[np.float64] | None
) -> str:
    if gammas is None:
        rows = zip(logs.tolist(), texts.tolist(), strict=True)
        return "".join(["%.7g\t%s\n" % row for row in rows])  # noqa: UP031
    full = zip(logs.tolist(), texts.tolist(), gammas.tolist(), strict=True)
    return "".join(["%.7g\t%s\t%.7g\n" % row for row in full])  # noqa: UP031
