"""What a fitted language model can tell: likelihoods, probabilities, and text."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._language_base import BaseLanguageModel, listed
from explicit_softmax.text.language import token_log_likelihood
from explicit_softmax.text.model_file import read_model, write_model
from explicit_softmax.text.windows import one_hot_windows


class LanguageModelScoring(BaseLanguageModel):
    """Methods of a language model that do not change it."""

    def evaluate(self, documents: Iterable[Any]) -> dict[str, float]:
        """All that can be said of the likelihood of documents, in one pass.

        Scores are computed some windows at a time.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            Documents as in `fit`.

        Returns
        -------
        report : dict
            With the keys ``n_tokens``; ``n_oov``, tokens out of vocabulary; ``n_new``,
            tokens in the vocabulary that `fit` never saw; ``score``, the mean
            log-likelihood in nats per token; ``perplexity``, ``exp(-score)``; and, for
            strings, ``n_bytes`` (UTF-8) and ``bits_per_byte``. Every token is scored
            but the padding; tokens out of vocabulary are scored as what they are, one
            token that stands for all of them, so that a likelihood with many of them is
            too good.

        Raises
        ------
        TypeError, ValueError
            As in `fit`.
        """
        check_is_fitted(self)
        texts = listed(documents)
        rows = self._windows(self._ids.encode(texts))
        targets = rows.stream.targets
        total = sum(
            float(part.sum())
            for part in token_log_likelihood(self._decoder, rows, targets)
        )
        n_oov = int((targets == self._ids.oov).sum())
        n_unseen = int((self._counts.class_count[targets] == 0).sum())
        if self._counts.class_count[self._ids.oov] == 0:
            n_unseen -= n_oov
        report = {
            "n_tokens": targets.size,
            "n_oov": n_oov,
            "n_new": n_unseen,
            "score": total / targets.size,
            "perplexity": _exp(-total / targets.size),
        }
        if self._ids.tokenizer is not None:
            report["n_bytes"] = sum(len(text.encode()) for text in texts)
            report["bits_per_byte"] = -total / math.log(2) / report["n_bytes"]
        return report

    def score(self, documents: Iterable[Any], y: Any = None) -> float:
        """Mean log-likelihood in nats per token; higher is better.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            Documents as in `fit`.
        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        return self.evaluate(documents)["score"]

    def perplexity(self, documents: Iterable[Any]) -> float:
        """Perplexity, ``exp(-score)``: lower is better.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            Documents as in `fit`.

        Returns
        -------
        perplexity : float
        """
        return self.evaluate(documents)["perplexity"]

    def bits_per_byte(self, documents: Iterable[str]) -> float:
        """Negative log-likelihood in bits per byte of UTF-8.

        Unlike perplexity it compares models of different vocabularies.

        Parameters
        ----------
        documents : iterable of str
            Documents as in `fit`.

        Returns
        -------
        bits : float

        Raises
        ------
        ValueError
            If the model is of token ids, which have no bytes.
        """
        check_is_fitted(self)
        self._check_of_strings("bits_per_byte")
        return self.evaluate(documents)["bits_per_byte"]

    def log_proba(self, document: str | Sequence[int]) -> NDArray[np.float64]:
        """Log-probability of each token of one document, given those before it.

        Parameters
        ----------
        document : str or sequence of int
            One document; may be empty.

        Returns
        -------
        log_proba : ndarray of shape (n_tokens,)
            In nats. Their sum is the log-likelihood of the document, which tells the
            better of a minimal pair of sentences.

        Examples
        --------
        >>> from explicit_softmax import ExplicitLanguageModel
        >>> model = ExplicitLanguageModel(context_size=1, vocabulary_size=4)
        >>> model = model.fit([[0, 1, 0, 1, 0, 1]] * 50)
        >>> bool(model.log_proba([0, 1, 0]).sum() > model.log_proba([0, 0, 1]).sum())
        True
        """
        check_is_fitted(self)
        ids = self._ids.encode([document])
        if not ids[0].size:
            return np.zeros(0)
        rows = self._windows(ids)
        parts = token_log_likelihood(self._decoder, rows, rows.stream.targets)
        return np.concatenate(list(parts))

    def predict_proba(self, prefixes: Iterable[Any]) -> NDArray[np.float32]:
        """Probabilities of the token after each prefix.

        Parameters
        ----------
        prefixes : iterable of str, or of sequences of int
            Beginnings of documents; the empty one asks for the first token.

        Returns
        -------
        probabilities : ndarray of shape (n_prefixes, vocabulary_size_ - 1)
            Column i is the id i; padding has no column.
        """
        check_is_fitted(self)
        encoded = self._ids.encode(listed(prefixes))
        return np.asarray(softmax(self._next_scores(encoded), axis=1))

    def generate(
        self,
        prompt: str | Sequence[int] = "",
        n_tokens: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        random_state: Any = None,
    ) -> str | NDArray[np.int32]:
        """Draw a continuation, token by token.

        Parameters
        ----------
        prompt : str or sequence of int, default=""
            What stands before it; empty for the beginning of a document.
        n_tokens : int, default=50
            Number of tokens to draw.
        temperature : float, default=1.0
            Scores are divided by it; 0 takes the most probable token.
        top_k : int, default=None
            Draw from the most probable tokens only; from all by default.
        random_state : int, RandomState instance, or None, default=None
            Source of randomness.

        Returns
        -------
        continuation : str or ndarray of int
            Without the prompt; a string if the model is of strings. Never a token that
            is out of vocabulary.

        Raises
        ------
        ValueError
            If a number is out of range.
        """
        check_is_fitted(self)
        _check_at_least("n_tokens", n_tokens, 0)
        if top_k is not None:
            _check_at_least("top_k", top_k, 1)
        _check_temperature(temperature)
        rng = check_random_state(random_state)
        if isinstance(prompt, str) and not prompt:
            ids = np.zeros(0, dtype=np.int32)
        else:
            ids = self._ids.encode([prompt])[0]
        drawn = np.empty(n_tokens, dtype=np.int32)
        history = ids[-self._counted["context_size"] :]
        for place in range(n_tokens):
            scores = self._next_scores([history])[0].astype(np.float64)
            scores[self._ids.oov] = -np.inf
            drawn[place] = _draw(scores, temperature, top_k, rng)
            history = np.append(history, drawn[place])[-self._counted["context_size"] :]
        return drawn if self._ids.tokenizer is None else self._ids.decode(drawn)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file, without pickle.

        The file is an .npz archive of arrays and one JSON text, whatever its name. It
        takes the place of one that was there only when it is complete.

        Parameters
        ----------
        path : str or path-like
            Where to write.

        See Also
        --------
        ExplicitLanguageModel.load : Reads it.
        """
        check_is_fitted(self)
        write_model(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read. Nothing in it is executed.

        Returns
        -------
        model : ExplicitLanguageModel
            With the same parameters, counts, and probabilities. A `random_state` that
            is no integer comes back as None.

        Raises
        ------
        ValueError
            If the file is truncated or damaged, or no such model.
        """
        model = cls()
        read_model(model, path)
        return model

    def _next_scores(self, prefixes: list[NDArray[np.int32]]) -> NDArray[np.float32]:
        size = self._counted["context_size"]
        windows = np.full((len(prefixes), size), self._ids.pad, dtype=np.int32)
        for window, prefix in zip(windows, prefixes, strict=True):
            nearest = prefix[::-1][:size]
            window[: nearest.size] = nearest
        rows = one_hot_windows(
            windows, self._ids.size, self._counted["aggregation"], np.float32
        )
        return np.asarray(self._decoder.scores(rows))

    def _check_of_strings(self, method: str) -> None:
        if self._ids.tokenizer is None:
            raise ValueError(
                f"{method} needs a model of strings, and this one was fitted on token "
                "ids"
            )


def _draw(
    scores: NDArray[np.float64], temperature: float, top_k: int | None, rng: Any
) -> int:
    if temperature == 0:
        return int(scores.argmax())
    if top_k is not None:
        # Of equal ones the first, as argmax has it.
        scores[np.argsort(-scores, kind="stable")[top_k:]] = -np.inf
    # Differences first: the highest stays zero whatever the temperature.
    with np.errstate(over="ignore"):
        scores = (scores - scores.max()) / temperature
    return int(rng.choice(scores.size, p=softmax(scores)))


def _exp(value: float) -> float:
    """Exponential; infinity where it is too large."""
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def _check_at_least(name: str, value: Any, least: int) -> None:
    if not isinstance(value, Integral) or value < least:
        raise ValueError(
            f"{name} must be an integer of at least {least}, not {value!r}"
        )


def _check_temperature(value: Any) -> None:
    if not (isinstance(value, Real) and 0 <= float(value) < math.inf):
        raise ValueError(
            f"temperature must be a non-negative and finite number, not {value!r}"
        )
