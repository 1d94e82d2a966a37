"""Peers of the language models, each at the size that it can take."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from corpora import Documents, TokenCorpus, first_tokens, n_tokens
from language_curves import Samples
from peers import collect
from report import number, significant, table

from explicit_softmax import ExplicitLanguageModel

PEERS = (
    "unigram",
    "bigram",
    "knlm_kneser_ney",
    "nltk_kneser_ney",
    "window_multinomial_nb",
)


@dataclass
class PeerRecord:
    """A peer beside the explicit model on the same tokens; None if it was not run."""

    peer: str
    context_size: int
    n_train: int | None = None
    n_dev: int | None = None
    seconds: float | None = None
    perplexity: float | None = None
    explicit_seconds: float | None = None
    explicit_perplexity: float | None = None
    note: str = ""


def run_peers(
    corpus: TokenCorpus,
    samples: Samples,
    context_size: int,
    modules: tuple[str, ...] = PEERS,
    limit: int | None = None,
) -> list[PeerRecord]:
    """Fit and score peers, and the explicit model on the same tokens.

    Parameters
    ----------
    corpus : TokenCorpus
    samples : Samples
        `dev` is what all are scored on, or the first tokens of it.
    context_size : int
        Tokens before the target, for peers that take as many.
    modules : tuple of str
        Of `peers`.
    limit : int, default=None
        Most tokens to fit and to score, whatever a peer can take.
    """
    records = []
    explicit: dict[tuple[int, int], tuple[float, float]] = {}
    for peer in collect(modules):
        if peer.make is None:
            records.append(PeerRecord(peer.name, context_size, note=peer.reason))
            continue
        model = peer.make(context_size, corpus.vocabulary_size)
        bounds = [b for b in (model.most_tokens, limit) if b is not None]
        train = first_tokens(corpus.train, min(bounds, default=None))
        bounds = [b for b in (model.most_scored, limit) if b is not None]
        dev = first_tokens(samples.dev, min(bounds, default=None))
        train, dev = _with_oov(train, dev, corpus.vocabulary_size - 2)
        try:
            begin = time.perf_counter()
            model.fit(train)
            seconds = time.perf_counter() - begin
            log_proba = model.log_proba(dev)
        except (MemoryError, ValueError) as error:
            records.append(PeerRecord(peer.name, context_size, note=str(error)))
            continue
        sizes = n_tokens(train), n_tokens(dev)
        if sizes not in explicit:
            explicit[sizes] = _explicit(train, dev, context_size, corpus)
        records.append(
            PeerRecord(
                peer.name,
                model.context_size,
                *sizes,
                seconds,
                math.exp(-float(np.mean(log_proba))),
                *explicit[sizes],
                model.note,
            )
        )
    return records


def peer_lines(records: list[PeerRecord]) -> list[str]:
    """A table, or nothing without records."""
    if not records:
        return []
    header = ["peer", "K", "tokens", "scored", "fit s", "dev ppl"]
    header += ["explicit: fit s", "dev ppl", ""]
    rows = [
        [
            record.peer,
            str(record.context_size),
            _count(record.n_train),
            _count(record.n_dev),
            significant(record.seconds),
            number(record.perplexity, 1),
            significant(record.explicit_seconds),
            number(record.explicit_perplexity, 1),
            record.note,
        ]
        for record in records
    ]
    return [
        "",
        "peers, and the explicit model (Cat, by leave-one-out, not refined) on the "
        "same tokens; what these have at most once is out-of-vocabulary for both",
        table(header, rows),
    ]


def _explicit(
    train: Documents, dev: Documents, context_size: int, corpus: TokenCorpus
) -> tuple[float, float]:
    """Seconds of the fit, and dev perplexity."""
    begin = time.perf_counter()
    model = ExplicitLanguageModel(
        context_size=context_size, vocabulary_size=corpus.vocabulary_size
    ).fit(train)
    return time.perf_counter() - begin, model.perplexity(dev)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _with_oov(
    train: Documents, dev: Documents, oov: int
) -> tuple[Documents, Documents]:
    """Documents with one id for all tokens that training has once or not at all.

    Kneser-Ney smoothing gives no probability to what was never seen.
    """
    counts = np.bincount(np.concatenate(train), minlength=oov + 1)
    codes = np.where(counts > 1, np.arange(counts.size), oov).astype(np.int32)
    return [codes[ids] for ids in train], [codes[ids] for ids in dev]
