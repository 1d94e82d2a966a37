"""Time and memory of counting windows, solving, streaming, and scoring.

    python benchmarks/counting.py [--tokens 1000000 4000000 16000000]
                                  [--stream 10000000 100000000] [--batch 2000000]
                                  [--score 1000000] [--context 4] [--vocabulary 4098]
                                  [--dataset NAME] [--repeats 3] [--json FILE]

Fits of `ExplicitLanguageModel` on token ids, from ids to decoder, with betas and
strength given, and with all chosen by leave-one-out, beside what no such fit can do
without: one bare `np.bincount` for each of the K positions, of keys that are ready.
Ids are random and follow Zipf's law; with --dataset, those of a corpus (see `corpora`),
as many as it has. Streams by `partial_fit` are always random. Scoring is the perplexity
of some of these tokens by a model of them that was saved.

Everything has a process of its own. Peak memory is that of the whole process, imports
and ids included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from many_classes import _run, peak_memory

_DOCUMENT_TOKENS = 3000
_GIVEN = {"inverse_temperature": 0.5, "smoothing_strength": 0.1}
_TARGET_RATIO = 3.0


def main(argv: list[str] | None = None) -> None:
    arguments = _parse(argv)
    if arguments.job:
        job = json.loads(arguments.job)
        print(json.dumps(_JOBS[job.pop("kind")](**job)))
        return
    records = measure(
        arguments.tokens,
        arguments.stream,
        arguments.score,
        batch=arguments.batch,
        context_size=arguments.context,
        vocabulary_size=arguments.vocabulary,
        dataset=arguments.dataset,
        repeats=arguments.repeats,
    )
    report(records)
    if arguments.json:
        from report import write_json

        write_json(arguments.json, records)


def measure(
    tokens: list[int],
    streams: list[int],
    scored: int,
    *,
    batch: int = 2_000_000,
    context_size: int = 4,
    vocabulary_size: int = 4098,
    dataset: str | None = None,
    repeats: int = 3,
) -> list[dict[str, Any]]:
    """Run all processes.

    Parameters
    ----------
    tokens : list of int
        Sizes of corpora that are fitted at once.
    streams : list of int
        Sizes of streams.
    scored : int
        Tokens to score; 0 for none.
    batch : int
        Tokens of a call of `partial_fit`.
    context_size, vocabulary_size : int
        K and V.
    dataset : str, default=None
        Corpus for `tokens` and `scored`.
    repeats : int
        Runs of each fit, in turn.

    Returns
    -------
    records : list of dict
        With the key "kind": "fit", "stream", or "score".
    """
    shape = {"context_size": context_size, "vocabulary_size": vocabulary_size}
    records = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "ids.npy")
        sizes = sorted(set(tokens))
        if sizes:
            made = _child("make", path=path, size=sizes[-1], dataset=dataset, **shape)
            sizes = sorted({min(size, made["n_tokens"]) for size in sizes})
        for size in sizes:
            found = _child("time", path=path, size=size, repeats=repeats, **shape)
            for kind in ("given", "auto"):
                peak = _child("peak", path=path, size=size, chosen=kind, **shape)
                found[f"{kind}_peak_mib"] = peak["peak_mib"]
            records.append({"kind": "fit", "n_tokens": size, **found})
        for size in streams:
            found = _child("stream", size=size, batch=batch, **shape)
            records.append({"kind": "stream", "n_tokens": size, **found})
        if scored:
            model = str(Path(folder) / "model.npz")
            _child("save", path=path, model=model, size=sizes[-1], **shape)
            found = _child("score", path=path, model=model, size=scored)
            records.append({"kind": "score", **found})
    return records


def report(records: list[dict[str, Any]]) -> None:
    """Print tables, and how the figures compare."""
    from report import number, significant, table

    fits = [record for record in records if record["kind"] == "fit"]
    if fits:
        header = ["tokens", "bincounts s", "given s", "x", "auto s", "x"]
        header += ["tokens/s given", "auto", "peak MiB given", "auto", ""]
        rows = [
            [
                f"{fit['n_tokens']:,}",
                significant(fit["bincount_seconds"]),
                significant(fit["given_seconds"]),
                significant(fit["given_seconds"] / fit["bincount_seconds"]),
                significant(fit["auto_seconds"]),
                significant(fit["auto_seconds"] / fit["bincount_seconds"]),
                f"{fit['n_tokens'] / fit['given_seconds']:,.0f}",
                f"{fit['n_tokens'] / fit['auto_seconds']:,.0f}",
                number(fit["given_peak_mib"], 0),
                number(fit["auto_peak_mib"], 0),
                "",
            ]
            for fit in fits
        ]
        print(table(header, rows))
        ratio = fits[-1]["given_seconds"] / fits[-1]["bincount_seconds"]
        print(
            f"ids to decoder on {fits[-1]['n_tokens']:,} tokens, betas given: "
            f"{significant(ratio)} x the bare bincounts (at most {_TARGET_RATIO:g} "
            "wanted)"
        )
    streams = [record for record in records if record["kind"] == "stream"]
    if streams:
        print()
        header = ["streamed", "pairs", "partial_fit s", "tokens/s", "solve s"]
        header += ["peak MiB counting", "and solving", ""]
        rows = [
            [
                f"{one['n_tokens']:,}",
                f"{one['n_pairs']:,}",
                significant(one["count_seconds"]),
                f"{one['n_tokens'] / one['count_seconds']:,.0f}",
                significant(one["solve_seconds"]),
                number(one["count_peak_mib"], 0),
                number(one["peak_mib"], 0),
                "",
            ]
            for one in streams
        ]
        print(table(header, rows))
        first, last = streams[0], streams[-1]
        if first is not last and first["peak_mib"]:
            ratios = [
                significant(last[key] / first[key])
                for key in ("count_peak_mib", "peak_mib", "n_pairs")
            ]
            print(
                f"{last['n_tokens']:,} / {first['n_tokens']:,} tokens: peak memory "
                f"counting {ratios[0]}, and solving {ratios[1]}; different pairs of a "
                f"token and a position, which are what is kept, {ratios[2]}"
            )
    for one in records:
        if one["kind"] == "score":
            print(
                f"\nperplexity of {one['n_tokens']:,} tokens: "
                f"{one['perplexity']:.1f} in {significant(one['score_seconds'])} s, "
                f"loading {significant(one['load_seconds'])} s; peak "
                f"{number(one['peak_mib'], 0)} MiB"
            )


def zipf_ids(rng: Any, size: int, n_ids: int) -> Any:
    """Random ids; id i has a probability in proportion to 1 / (i + 1)."""
    import numpy as np

    edges = np.cumsum(1.0 / np.arange(1, n_ids + 1))
    drawn = np.searchsorted(edges, rng.random(size) * edges[-1], side="right")
    return drawn.clip(max=n_ids - 1).astype(np.int32)


def _make(
    path: str, size: int, dataset: str | None, context_size: int, vocabulary_size: int
) -> dict[str, Any]:
    """Write ids to a file, one document after the other."""
    import numpy as np

    if dataset is None:
        ids = zipf_ids(np.random.default_rng(0), size, vocabulary_size - 2)
        ends = np.arange(0, size, _DOCUMENT_TOKENS)[1:]
    else:
        from corpora import encode, load_corpus

        documents = encode(load_corpus(dataset), vocabulary_size).train
        ids = np.concatenate(documents)
        ends = np.cumsum([document.size for document in documents])[:-1]
    np.savez(path + ".npz", ids=ids, ends=ends)
    return {"n_tokens": ids.size}


def _documents(path: str, size: int) -> list[Any]:
    """Documents of the first tokens."""
    import numpy as np

    with np.load(path + ".npz") as stored:
        ids, ends = stored["ids"][:size], stored["ends"]
    return np.split(ids, ends[ends < ids.size])


def _model(chosen: str, context_size: int, vocabulary_size: int) -> Any:
    from explicit_softmax import ExplicitLanguageModel

    return ExplicitLanguageModel(
        context_size=context_size,
        vocabulary_size=vocabulary_size,
        **(_GIVEN if chosen == "given" else {}),
    )


def _time(
    path: str, size: int, repeats: int, context_size: int, vocabulary_size: int
) -> dict[str, Any]:
    import numpy as np

    from explicit_softmax.text.windows import TokenStream

    documents = _documents(path, size)
    stream = TokenStream.from_documents(documents, context_size, vocabulary_size - 1)
    tokens = stream.tokens.astype(np.int64)
    targets = tokens[context_size:]
    keys = [
        tokens[context_size - k : -k] * vocabulary_size + targets
        for k in range(1, context_size + 1)
    ]
    cells = vocabulary_size**2

    def bincounts() -> None:
        for one in keys:
            np.bincount(one, minlength=cells)

    shape = (context_size, vocabulary_size)
    runs = {
        "bincount": bincounts,
        "given": lambda: _model("given", *shape).fit(documents),
        "auto": lambda: _model("auto", *shape).fit(documents),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {f"{name}_seconds": median(found) for name, found in seconds.items()}


def _peak(
    path: str, size: int, chosen: str, context_size: int, vocabulary_size: int
) -> dict[str, Any]:
    _model(chosen, context_size, vocabulary_size).fit(_documents(path, size))
    return {"peak_mib": peak_memory()}


def _stream(
    size: int, batch: int, context_size: int, vocabulary_size: int
) -> dict[str, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    model = _model("auto", context_size, vocabulary_size)
    count_seconds = 0.0
    for first in range(0, size, batch):
        ids = zipf_ids(rng, min(batch, size - first), vocabulary_size - 2)
        documents = np.split(ids, range(_DOCUMENT_TOKENS, ids.size, _DOCUMENT_TOKENS))
        start = time.perf_counter()
        model.partial_fit(documents)
        count_seconds += time.perf_counter() - start
    count_peak = peak_memory()
    start = time.perf_counter()
    _ = model.inverse_temperature_
    return {
        "n_pairs": model._counts.cooccurrence.nnz,
        "count_seconds": count_seconds,
        "count_peak_mib": count_peak,
        "solve_seconds": time.perf_counter() - start,
        "peak_mib": peak_memory(),
    }


def _save(
    path: str, model: str, size: int, context_size: int, vocabulary_size: int
) -> dict[str, Any]:
    _model("auto", context_size, vocabulary_size).fit(_documents(path, size)).save(
        model
    )
    return {}


def _score(path: str, model: str, size: int) -> dict[str, Any]:
    from explicit_softmax import ExplicitLanguageModel

    documents = _documents(path, size)
    start = time.perf_counter()
    loaded = ExplicitLanguageModel.load(model)
    load_seconds = time.perf_counter() - start
    start = time.perf_counter()
    found = loaded.evaluate(documents)
    return {
        "n_tokens": found["n_tokens"],
        "perplexity": found["perplexity"],
        "load_seconds": load_seconds,
        "score_seconds": time.perf_counter() - start,
        "peak_mib": peak_memory(),
    }


_JOBS = {
    "make": _make,
    "time": _time,
    "peak": _peak,
    "stream": _stream,
    "save": _save,
    "score": _score,
}


def _child(kind: str, **job: Any) -> dict[str, Any]:
    """What a job gives in a process of its own."""
    out = _run(Path(__file__).resolve(), "--job", json.dumps({"kind": kind, **job}))
    return json.loads(out.splitlines()[-1])


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time and memory of counting, streaming, and scoring windows."
    )
    several: dict[str, Any] = {"type": int, "nargs": "*"}
    sizes = [1_000_000, 4_000_000, 16_000_000]
    parser.add_argument("--tokens", default=sizes, help="sizes of corpora", **several)
    streams = [10_000_000, 100_000_000]
    parser.add_argument("--stream", default=streams, help="sizes of streams", **several)
    for name, default, told in [
        ("batch", 2_000_000, "tokens of a call of partial_fit"),
        ("score", 1_000_000, "tokens to score, or 0"),
        ("context", 4, "K"),
        ("vocabulary", 4098, "number of token ids"),
        ("repeats", 3, "runs of each fit"),
    ]:
        parser.add_argument(f"--{name}", type=int, default=default, help=told)
    parser.add_argument("--dataset", help="corpus in place of random ids")
    parser.add_argument("--json", type=Path, help="file for the records")
    # How this script calls itself.
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    for name in ("batch", "context", "repeats"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if min([*arguments.tokens, *arguments.stream], default=1) < 1:
        parser.error("--tokens and --stream must be positive")
    if arguments.score < 0 or (arguments.score and not arguments.tokens):
        parser.error("--score must not be negative, and needs --tokens for a model")
    if arguments.vocabulary < 3:
        parser.error("--vocabulary must be at least 3")
    return arguments


if __name__ == "__main__":
    main()
