"""Explicit solutions of windows, and refinements from warm and cold starts.

A refinement is that of ``ExplicitLanguageModel(warm_start=True)`` with its defaults,
step by step, so that it can be scored after each iteration without a choice being made
by that score: the weights at the end are those of the last iteration.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from corpora import (
    PIECE_TOKENS,
    Documents,
    TokenCorpus,
    first_tokens,
    n_tokens,
    pieces,
)
from numpy.typing import NDArray
from timing import Stopwatch

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.text.language import token_log_likelihood
from explicit_softmax.training.refine import cold_start, refine

# Refinement is scored after each of so many iterations of as many tokens.
ITERATIONS = 10
SEED = 0

COLD = "cold start"
THEOREM = "theorem"
LEAVE_ONE_OUT = "leave-one-out"
EXPLICIT: dict[str, dict[str, Any]] = {
    THEOREM: {"smoothing": "noise", "inverse_temperature": 1.0},
    LEAVE_ONE_OUT: {},
}


@dataclass(frozen=True)
class Samples:
    """What models are scored on: of training, of dev, and of dev for curves.

    Pieces of documents, each scored as a document; curves have none of those of `dev`.
    """

    train: Documents
    dev: Documents
    curve: Documents

    @classmethod
    def draw(
        cls, corpus: TokenCorpus, n_train: int, n_dev: int, n_curve: int
    ) -> Samples:
        """At random, always the same, and of about so many tokens.

        At most three quarters of the dev tokens are for `dev`.
        """
        dev = pieces(corpus.dev)
        if len(dev) < 2:
            raise ValueError(f"{corpus.name} has too few dev tokens for two samples")
        ends = np.cumsum([ids.size for ids in dev])
        enough = int(np.searchsorted(ends, min(n_dev, 3 * ends[-1] // 4))) + 1
        enough = min(enough, len(dev) - 1)
        return cls(
            first_tokens(pieces(corpus.train), n_train),
            dev[:enough],
            first_tokens(dev[enough:], n_curve),
        )

    @property
    def note(self) -> str:
        """Their sizes in words."""
        return (
            f"train perplexity on {n_tokens(self.train):,} training tokens, dev "
            f"perplexity on {n_tokens(self.dev):,} dev tokens, curves on "
            f"{n_tokens(self.curve):,} others of dev; all of pieces of at most "
            f"{PIECE_TOKENS:,} tokens, drawn at random once"
        )


@dataclass
class Curve:
    """Dev perplexity of a refinement by tokens; entry 0 of the lists is its start.

    `seconds` are those of the refinement, without the start and without the scores.
    """

    aggregation: str
    context_size: int
    start: str
    tokens: list[int] = field(default_factory=list)
    perplexity: list[float] = field(default_factory=list)
    seconds: float = 0.0


def perplexity(model: Any, decoder: Decoder, documents: Documents) -> float:
    """Perplexity of documents of ids by a decoder of the windows of a fitted model."""
    rows = model._windows(documents)
    targets = rows.stream.targets
    parts = token_log_likelihood(decoder, rows, targets)
    return math.exp(-sum(float(part.sum()) for part in parts) / targets.size)


def fit_explicit(
    corpus: TokenCorpus, aggregation: str, context_size: int, start: str
) -> tuple[ExplicitLanguageModel, float]:
    """An explicit model of the training documents, and its seconds."""
    model = ExplicitLanguageModel(
        context_size=context_size,
        aggregation=aggregation,
        vocabulary_size=corpus.vocabulary_size,
        random_state=SEED,
        **EXPLICIT[start],
    )
    begin = time.perf_counter()
    model.fit(corpus.train)
    return model, time.perf_counter() - begin


def follow(
    model: ExplicitLanguageModel,
    start: str,
    corpus: TokenCorpus,
    samples: Samples,
    n_refined: int,
    announce: Callable[[str], None] = lambda text: None,
) -> tuple[Decoder, Curve]:
    """Refine a fitted model, or small random weights in its place.

    Parameters
    ----------
    model : ExplicitLanguageModel
        Fitted; not changed.
    start : str
        COLD for random weights.
    corpus : TokenCorpus
    samples : Samples
    n_refined : int
        Tokens to visit.
    announce : callable
        Told of each iteration.

    Returns
    -------
    decoder : Decoder
        After the last iteration.
    curve : Curve
        `seconds` are those of the refinement alone, without the scores.
    """
    curve = Curve(model.aggregation, model.context_size, start)
    rows = model._windows(corpus.train)
    targets = rows.stream.targets
    n_refined = min(n_refined, ITERATIONS * len(targets))
    tokens_per_iter = max(1, n_refined // ITERATIONS)
    rng = np.random.RandomState(SEED)
    watch = Stopwatch()
    if start == COLD:
        weights, intercept = cold_start(
            rows.shape[1],
            corpus.vocabulary_size - 1,
            "random",
            rng=rng,
            dtype=np.float32,
        )
    else:
        decoder = model._decoder.densify()
        weights, intercept = decoder.weights, decoder.intercept

    def score(iteration: int, weights: NDArray[Any], intercept: NDArray[Any]) -> bool:
        watch.pause()
        decoder = Decoder.from_dense(weights, intercept)
        curve.tokens.append(iteration * tokens_per_iter)
        curve.perplexity.append(perplexity(model, decoder, samples.curve))
        announce(f"{iteration}/{ITERATIONS}")
        watch.resume()
        return False

    score(0, weights, intercept)
    settings = {"learning_rate": model.learning_rate_init, "solver": model.solver}
    result = refine(
        weights,
        intercept,
        rows,
        targets,
        batch_size=model.batch_size,
        max_iter=ITERATIONS,
        tol=0.0,
        n_iter_no_change=ITERATIONS + 1,
        epoch_size=tokens_per_iter,
        rng=rng,
        callback=score,
        **settings,
    )
    curve.seconds = watch.pause()
    return Decoder.from_dense(result.weights, result.intercept), curve
