"""Language models beside the package, and how each of them estimates.

A peer is made from a context size K and a vocabulary size V. It is fitted on documents
of token ids up to V - 2, and `log_proba` gives the log-probabilities in nats of all
tokens of a document.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from explicit_softmax import ExplicitLanguageModel

Documents = list[NDArray[np.int32]]


class Unigram:
    """Maximum likelihood without context, with one more of each: (n_i + 1) / (n + V).

    The bare estimate n_i / n gives no probability to tokens that were never seen.
    """

    def __init__(self, context_size: int, vocabulary_size: int) -> None:
        self.context_size, self.n_classes = 0, vocabulary_size - 1
        self.note = "one more of each token"

    def fit(self, documents: Documents) -> Self:
        counts = np.bincount(np.concatenate(documents), minlength=self.n_classes) + 1.0
        self.probabilities = counts / counts.sum()
        return self

    def log_proba(self, document: NDArray[np.int32]) -> NDArray[Any]:
        return np.log(self.probabilities)[document]


class Bigram:
    """Maximum likelihood given the token before, interpolated with the unigram.

    P(i | d) = w n_di / n_d + (1 - w) P(i), P as in `Unigram`: the bare estimate gives
    no probability to a pair that was never seen. w maximises the leave-one-out
    likelihood of the training pairs, by expectation maximisation.
    """

    _STEPS = 100

    def __init__(self, context_size: int, vocabulary_size: int) -> None:
        self.context_size, self.size, self.note = 1, vocabulary_size, ""

    def fit(self, documents: Documents) -> Self:
        pairs, counts = np.unique(self._pairs(documents), return_counts=True)
        before, token = np.divmod(pairs, self.size)
        of_context = np.bincount(before, weights=counts, minlength=self.size)
        of_token = np.bincount(token, weights=counts, minlength=self.size - 1)
        self.pairs, self.given = pairs, counts / of_context[before]
        total = of_token.sum() + of_token.size
        self.alone = (of_token + 1) / total
        held_out = (counts - 1) / np.maximum(of_context[before] - 1, 1)
        alone = of_token[token] / (total - 1)
        weight = 0.5
        for _ in range(self._STEPS):
            share = weight * held_out / (weight * held_out + (1 - weight) * alone)
            weight = float(np.average(share, weights=counts))
        self.weight = weight
        self.note = f"{weight:.2f} of it and the rest of the unigram"
        return self

    def log_proba(self, document: NDArray[np.int32]) -> NDArray[Any]:
        pairs = self._pairs([document])
        place = np.searchsorted(self.pairs, pairs).clip(max=self.pairs.size - 1)
        given = np.where(self.pairs[place] == pairs, self.given[place], 0.0)
        alone = self.alone[pairs % self.size]
        return np.log(self.weight * given + (1 - self.weight) * alone)

    def _pairs(self, documents: Documents) -> NDArray[np.int64]:
        """Pairs of tokens as numbers, with the padding before the first."""
        pad = [self.size - 1]
        before = [np.concatenate((pad, ids[:-1]))[: ids.size] for ids in documents]
        return np.concatenate(before) * self.size + np.concatenate(documents)


class Lmplz:
    """KenLM's ``lmplz``, text in and ARPA file out, if it is on the PATH.

    The file is read by `ExplicitLanguageModel.from_arpa`, which scores as KenLM does.
    `seconds` are those of lmplz on all processors, `peak_gb` its memory.
    """

    _MEMORY = "1G"  # of its sorts

    def __init__(self, context_size: int, vocabulary_size: int) -> None:
        self.context_size = context_size
        self.program = shutil.which("lmplz")

    def fit(self, documents: Documents) -> Self:
        with tempfile.TemporaryDirectory() as folder:
            text, arpa = Path(folder, "text"), Path(folder, "model.arpa")
            with text.open("w") as file:
                file.writelines(as_text(ids) + "\n" for ids in documents)
            order = self.context_size + 1
            command = f"{self.program} -o {order} -S {self._MEMORY} --discount_fallback"
            with text.open() as source, arpa.open("w") as out:
                process = subprocess.Popen(
                    [*command.split(), "-T", folder],
                    stdin=source,
                    stdout=out,
                    stderr=subprocess.DEVNULL,
                )
                self.peak_gb, ended = 0.0, 0
                while not ended:
                    self.peak_gb = max(self.peak_gb, _peak_gb(process.pid))
                    time.sleep(0.02)
                    ended, status, used = os.wait4(process.pid, os.WNOHANG)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError(f"lmplz failed with {process.returncode}")
            self.seconds = used.ru_utime + used.ru_stime
            self.note = f"{command.rpartition('/')[2]}; peak {self.peak_gb:.1f} GiB"
            self.model = ExplicitLanguageModel.from_arpa(arpa)
        return self

    def evaluate(self, documents: Documents) -> dict[str, float]:
        return self.model.evaluate([as_text(ids) for ids in documents])


def _peak_gb(pid: int) -> float:
    """Most memory of a running process so far, in GiB; on Linux only.

    What the system counts for children begins with that of the program that made them.
    """
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            return int(found[1]) / 2**20
    return 0.0


def as_text(ids: NDArray[np.int32]) -> str:
    """Ids as words."""
    return " ".join(map(str, ids.tolist()))


# Figures of KenLM's lmplz where it is not on the PATH.
KENLM = """KenLM (lmplz, Kneser-Ney, scored by its Python module) on the same tokens of
babylm_like, 2026-11-28, not of this run: orders 2, 3, 4, 5 (K = 1, 2, 3, 4): perplexity
78.55, 44.35, 40.37, 39.74; with ends of documents counted 79.01, 44.66, 40.67, 40.03"""

PEERS: dict[str, Callable[[int, int], Any]] = {
    "unigram, maximum likelihood": Unigram,
    "bigram, maximum likelihood": Bigram,
}


def peers() -> dict[str, Callable[[int, int], Any]]:
    """Peers, with lmplz if it is there."""
    return PEERS | ({"KenLM": Lmplz} if shutil.which("lmplz") else {})
