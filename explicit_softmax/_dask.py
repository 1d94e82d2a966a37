"""Dask collections in, an ordinary model and lazy predictions out.

Blocks of rows are counted where they lie by `partial_fit`, and counts are added up by
`merge`: counts move between workers, and rows do not. Dask is imported only where a
collection of Dask was passed.
"""

from __future__ import annotations

import math
import pickle
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from itertools import count
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._sklearn import FitReport
from explicit_softmax.text.features import checked_texts
from explicit_softmax.text.language import scores_and_perplexities
from explicit_softmax.text.ngram_parts import (
    joined_parts,
    level_sizes,
    part_edges,
    part_of,
)
from explicit_softmax.text.ngrams import NgramCounts
from explicit_softmax.text.tokens import Documents, has_words, is_empty, text_splitter

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Estimator = TypeVar("Estimator", bound=BaseEstimator)
Delayed: TypeAlias = Any  # Dask may not be there
# Delayed rows, and their labels and weights or None.
Block: TypeAlias = tuple[Delayed, Any, Any]

# One task counts at most so many successive blocks and adds them up, and each thread of
# a cluster gets at least so many tasks: see `_in_runs`.
_MOST_BLOCKS = 16
_LEAST_RUNS = 8

# N-grams are divided into so many parts, each of which is added up alone: a merge, and
# the client, hold a few of these beside the counts. Blocks of which there are more are
# added up in runs before, or there would be too many tasks. Parts are about equal in
# the largest of some runs.
_N_PARTS = 32
_EDGE_RUNS = 4

_NO_ROW = "there is no row in any block of the collection"


def is_collection(X: Any) -> bool:
    """Whether this is a collection of Dask, or a list of delayed blocks."""
    first = X[0] if isinstance(X, list | tuple) and X else X
    return type(first).__module__.partition(".")[0] == "dask"


def lazy_on_blocks(
    method: Callable[Arguments, Result],
) -> Callable[Arguments, Result]:
    """Make a method that predicts rows return a lazy array for a collection."""

    @wraps(method)
    def predict(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        values = [*args, *kwargs.values()]
        if len(values) == 2 and is_collection(values[1]):
            return _lazy_prediction(method.__name__, *values)  # type: ignore[no-any-return]
        return method(*args, **kwargs)

    return predict


def fit_blocks(
    estimator: Estimator, X: Any, y: Any = None, sample_weight: Any = None
) -> Estimator:
    """Fit an estimator that has `partial_fit` and `merge` to a collection.

    Classes are found in a first pass over `y`, and their weights, if these are to be
    balanced, in a second. The estimator stays as it was if anything fails.
    """
    if estimator.warm_start:
        raise ValueError(
            "warm_start=True refines on rows in memory, and these are a collection of "
            "Dask. Fit with warm_start=False, which counts them where they lie, or "
            "compute as many rows as fit into memory and pass these."
        )
    blocks = _blocks(X, y, sample_weight)
    report = FitReport(estimator, X, y, sample_weight, len(blocks))
    keywords = {} if y is None else {"classes": _distinct_labels(blocks)}
    blank = clone(estimator)
    is_balanced = isinstance(estimator.get_params().get("class_weight"), str)
    if is_balanced:
        factors = _balancing_factors(blocks, keywords["classes"])
        blank.set_params(class_weight=factors)
    counted = _counted(blank, blocks, keywords, report)
    if keywords:
        counted.classes_ = keywords["classes"]  # in the type that they have in `y`
    if is_balanced:  # as of a local fit, which cannot be continued
        counted._model = replace(counted._model, settings=estimator._settings())
    _ = counted._model.solution
    take_over(estimator, counted)
    report.end()
    return estimator


def partial_fit_blocks(
    estimator: Estimator,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    **keywords: Any,
) -> Estimator:
    """Add the rows of a collection to the counts of an estimator."""
    counted = _counted(estimator, _blocks(X, y, sample_weight), keywords)
    if estimator.__sklearn_is_fitted__():
        estimator.merge(counted)
    else:
        take_over(estimator, counted)
    return estimator


def score_blocks(
    estimator: BaseEstimator, X: Any, y: Any, sample_weight: Any = None
) -> float:
    """Mean accuracy of a classifier on a collection."""
    parts = _on_each("score", _hits, _blocks(X, y, sample_weight), estimator)
    right, total = _computed(_added_up("sum", np.add, parts))
    return float(right / total)


def evaluate_blocks(estimator: BaseEstimator, documents: Any) -> dict[str, float]:
    """What `evaluate` of a language model says of a collection of documents."""
    parts = _on_each("evaluate", _likelihood, _blocks(documents), estimator)
    sums = _computed(_added_up("sum", _added_values, parts))
    n_targets = {"": sums["n_tokens"], "_with_ends": sums.pop("n_with_ends")}
    scores = {
        suffix: sums[f"score{suffix}"] / number
        for suffix, number in n_targets.items()
        if f"score{suffix}" in sums
    }
    report: dict[str, float] = sums | scores_and_perplexities(scores)
    if "n_bytes" in sums:
        report["bits_per_byte"] = -sums["score"] / math.log(2) / sums["n_bytes"]
    return report


def transformed_blocks(transformer: Any, X: Any) -> list[Delayed]:
    """Delayed rows that the method `transform` makes of each block of texts."""
    none = transformer.transform([""])[:0]
    return _on_each("features", _transformed, _blocks(X), transformer, nothing=none)


def refuse_collection(X: Any) -> None:
    """TypeError if this is a collection of Dask."""
    if is_collection(X):
        raise TypeError(
            "rows in memory are needed here, and these are a collection of Dask: "
            "compute as many as fit into memory and pass these"
        )


# On the side of the client ------------------------------------------------------------


def _blocks(X: Any, y: Any = None, sample_weight: Any = None) -> list[Block]:
    """Blocks of rows with their labels and weights; ValueError if they do not fit."""
    rows, sizes = _delayed(X, "X"), _sizes(X)
    columns: list[Any] = []
    for name, values in (("y", y), ("sample_weight", sample_weight)):
        if values is None:
            column: Any = [None] * len(rows)
        elif is_collection(values):
            if hasattr(values, "rechunk") and sum(sizes) == sum(_sizes(values)):
                values = values.rechunk({0: sizes})  # NaN is not equal to NaN
            column = _delayed(values, name)
        elif math.isnan(sum(sizes)):
            raise ValueError(
                f"{name} is in memory, and how many rows the blocks of X have is not "
                f"known: pass {name} as a collection of the same blocks, or call "
                "X.compute_chunk_sizes() if X is an array"
            )
        else:
            stops = np.cumsum(sizes).astype(int)
            if len(values) != stops[-1]:
                raise ValueError(
                    f"X and {name} differ in length: {stops[-1]} and {len(values)}"
                )
            column = np.split(np.asarray(values), stops[:-1])
        if len(column) != len(rows):
            raise ValueError(
                f"X has {len(rows)} blocks of rows and {name} has {len(column)}: "
                "divide them alike"
            )
        columns.append(column)
    return list(zip(rows, *columns, strict=True))


def _delayed(X: Any, name: str) -> list[Delayed]:
    if isinstance(X, list | tuple):
        return list(X)
    if getattr(X, "ndim", 1) == 2 and hasattr(X, "numblocks") and X.numblocks[1] > 1:
        raise ValueError(
            f"{name} is chunked along features, {X.numblocks[1]} chunks of columns, "
            f"and a block must have whole rows: pass {name}.rechunk({{1: -1}})"
        )
    if hasattr(X, "numblocks") and _lies_on_workers(X):
        # Its optimised graph would not say where the blocks are.
        return X.to_delayed(optimize_graph=False).ravel().tolist()  # type: ignore[no-any-return]
    blocks = X.to_delayed()
    return blocks.ravel().tolist() if isinstance(blocks, np.ndarray) else list(blocks)


def _lies_on_workers(X: Any) -> bool:
    distributed = sys.modules.get("distributed")  # without it there are no workers
    return distributed is not None and bool(distributed.futures_of(X))


def _sizes(X: Any) -> tuple[float, ...]:
    """Numbers of rows of the blocks, NaN where they are not known."""
    chunks = getattr(X, "chunks", None)
    return chunks[0] if chunks else (math.nan,)


def _distinct_labels(blocks: list[Block]) -> NDArray[Any]:
    labels = [(label, None, None) for _, label, _ in blocks]
    parts = _on_each("classes", _distinct, labels)
    return np.asarray(_computed(_added_up("union", np.union1d, parts)))


def _balancing_factors(blocks: list[Block], classes: NDArray[Any]) -> dict[Any, float]:
    """Weights of classes that give all of them the same sum."""
    labels = [(label, None, weight) for _, label, weight in blocks]
    parts = _on_each("balance", _class_mass, labels, None, classes)
    mass = _computed(_added_up("sum", np.add, parts))
    factors = mass.sum() / (len(classes) * np.where(mass > 0, mass, 1.0))
    return dict(zip(classes.tolist(), factors.tolist(), strict=True))


def _counted(
    estimator: BaseEstimator,
    blocks: list[Block],
    keywords: dict[str, Any],
    report: FitReport | None = None,
) -> BaseEstimator:
    """A new estimator with the counts of all blocks."""
    parts = _on_each("count", _count, blocks, clone(estimator), keywords)
    if getattr(estimator, "aggregation", None) == "ngram":
        return _joined(_persisted(_added_up_in_parts(parts), parts, report))
    if report is None or not report.is_heard:
        parts = _in_runs(parts)
    return _computed(_added_up("merge", _merged, parts), parts, report)


def _added_up_in_parts(counted: list[Delayed]) -> list[Delayed]:
    """Delayed sums of parts of the n-grams of all blocks.

    The first is an estimator, with all that is not n-grams, and the others are counts.
    """
    from dask import delayed

    length = min(max(len(counted) // _N_PARTS, 1), _MOST_BLOCKS)
    runs = [
        _added_up("merge", _merged, counted[at : at + length])
        for at in range(0, len(counted), length)
    ]
    token, call = uuid.uuid4().hex, delayed(_part, traverse=False)
    edges = delayed(_edges, traverse=False)(
        _N_PARTS, *runs[:_EDGE_RUNS], dask_key_name=f"edges-{token}"
    )
    sums = []
    for number in range(_N_PARTS):
        parts = [
            call(run, edges, number, dask_key_name=f"part-{token}-{at}-{number}")
            for at, run in enumerate(runs)
        ]
        sums.append(_added_up("merge", _added if number else _merged, parts))
    return sums


def _joined(parts: list[Delayed]) -> BaseEstimator:
    """An estimator with the n-grams of all parts, which come here one by one.

    Each is freed where it was when it is here; all are, if anything fails.
    """
    import dask

    try:
        shapes = dask.compute(*map(dask.delayed(_shape, traverse=False), parts))
        counted = parts[0].compute()
        if counted is None:
            raise ValueError(_NO_ROW)
        counted = _copied(counted)
        n_ids, _, has_ends = counted._model.shape
        counted._model = replace(counted._model, counts=None)
        part_sizes, count_types = zip(*shapes, strict=True)
        total = joined_parts(
            (_counts(parts.pop(0).compute()) for _ in shapes),
            np.array(part_sizes),
            np.result_type(*count_types),
            n_ids,
            has_ends,
        )
    finally:
        _release(parts)
    counted._model = replace(counted._model, counts=total)
    return counted


def _on_each(
    name: str,
    function: Callable[..., Any],
    blocks: list[Block],
    estimator: BaseEstimator | None = None,
    *arguments: Any,
    nothing: Any = None,
) -> list[Delayed]:
    """Delayed calls for all blocks, which Dask's dashboard shows under `name`."""
    from dask import delayed

    token = uuid.uuid4().hex
    # A copy: a lazy prediction is that of the model at the time of the call.
    if estimator is not None:
        estimator = _copied(estimator)
        vars(estimator).pop("_skl_callbacks", None)  # they stay in this process
    # Each worker receives it once, which it would with every task otherwise.
    model = delayed(estimator, name=f"model-{token}", traverse=False)
    call = delayed(_on_block, traverse=False)
    return [
        call(
            function,
            (at, nothing),
            *block,
            model,
            *arguments,
            dask_key_name=f"{name}-{token}-{at}",
        )
        for at, block in enumerate(blocks)
    ]


def _added_up(
    name: str, add: Callable[[Any, Any], Any], parts: list[Delayed]
) -> Delayed:
    """Delayed sum of parts, in an order that depends on their number alone.

    Sums of halves are added, so that large sums are added only a few times.
    """
    from dask import delayed

    token, call, numbers = uuid.uuid4().hex, delayed(_sum, traverse=False), count()

    def added(parts: list[Delayed]) -> Delayed:
        if len(parts) == 1:
            return parts[0]
        one, other = map(added, _halves(parts))
        return call(add, one, other, dask_key_name=f"{name}-{token}-{next(numbers)}")

    return added(parts)


def _halves(parts: list[Delayed]) -> tuple[list[Delayed], list[Delayed]]:
    middle = len(parts) // 2
    return parts[:middle], parts[middle:]


def _in_runs(counted: list[Delayed]) -> list[Delayed]:
    """Delayed counts of runs of blocks, each of which is one task of a cluster.

    Such a task makes its blocks as well, one after the other: neither rows nor the
    counts of a block are moved, and the scheduler has little to do. Blocks stay as they
    are where that is in vain or would do harm: without a cluster, if they lie on the
    workers, if other blocks need the same tasks, or if tasks are annotated.
    """
    from dask import delayed, get
    from dask.base import get_scheduler
    from dask.optimization import cull

    client = getattr(get_scheduler(collections=counted), "__self__", None)
    if client is None:
        return counted
    from distributed import futures_of

    n_least, runs = _LEAST_RUNS * sum(client.nthreads().values()), [counted]
    while len(runs[0]) > 1 and (len(runs) < n_least or len(runs[-1]) > _MOST_BLOCKS):
        runs = [half for run in runs for half in _halves(run)]
    sums = [_added_up("merge", _merged, run) for run in runs]
    layers = _added_up("merge", _merged, sums).dask
    graph = dict(layers)
    tasks = [cull(graph, [total.key])[0] for total in sums]
    # All share the blank model, and texts what makes their features.
    own = [{key for key in part if not str(key).startswith("model-")} for part in tasks]
    if (
        sum(map(len, own)) > len(set().union(*own))
        or any(layer.annotations for layer in layers.layers.values())
        or futures_of(counted)
    ):
        return counted
    token = uuid.uuid4().hex
    return [
        delayed(partial(get, part, total.key), traverse=False)(
            dask_key_name=f"count-{token}-{at}"
        )
        for at, (part, total) in enumerate(zip(tasks, sums, strict=True))
    ]


def _computed(
    total: Delayed, parts: list[Delayed] | None = None, report: FitReport | None = None
) -> Any:
    """The sum of parts; callbacks of scikit-learn hear of each that is finished."""
    if report is None or not hasattr(report.estimator, "_skl_callbacks"):
        value = total.compute()
    else:
        value = _persisted([total], parts or [], report)[0].compute()
    if value is None:
        raise ValueError(_NO_ROW)
    return value


def _persisted(
    sums: list[Delayed], parts: list[Delayed], report: FitReport | None
) -> list[Delayed]:
    """Sums that stay where they are computed; callbacks hear of each part."""
    import dask
    from dask.base import get_scheduler
    from dask.callbacks import Callback

    if report is None or not hasattr(report.estimator, "_skl_callbacks"):
        return list(dask.persist(*sums))

    def finished(*event: Any) -> None:
        if event[0] in keys:
            report.begin_iteration("block")
            report.end_iteration(None)

    keys = {part.key for part in parts}
    client = getattr(get_scheduler(collections=sums), "__self__", None)
    if client is None:  # a scheduler of this process
        with Callback(posttask=finished):
            return list(dask.persist(*sums))
    from distributed import as_completed, futures_of

    # These depend on the parts and weigh nothing; the parts themselves are to be freed.
    call = dask.delayed(_key, traverse=False)
    marks = [
        call(part.key, part, dask_key_name=f"finished-{part.key}") for part in parts
    ]
    kept = list(dask.persist(*sums, *marks))
    marks = kept[len(sums) :]
    del kept[len(sums) :]
    for mark in as_completed(futures_of(marks)):
        if mark.status == "finished":
            finished(mark.result())
    return kept


def _release(kept: list[Delayed]) -> None:
    """Let workers drop what they keep, even if an error still refers to it."""
    for value in kept:
        for future in dict(value.dask).values():
            if hasattr(future, "release"):
                future.release()
    kept.clear()


def take_over(estimator: BaseEstimator, counted: BaseEstimator) -> None:
    """Give an estimator the fitted attributes of another."""
    parameters = counted.get_params(deep=False)
    fitted = {n: v for n, v in vars(counted).items() if n not in parameters}
    if "feature_names_in_" not in fitted:
        vars(estimator).pop("feature_names_in_", None)
    vars(estimator).update(fitted)


def _lazy_prediction(name: str, estimator: BaseEstimator, X: Any) -> Any:
    """An array of Dask with what the method of this name gives for each block."""
    import dask.array as da

    check_is_fitted(estimator)
    like = getattr(estimator, name)(_row_like(estimator, X))[:0]
    sizes, blocks = _sizes(X), _blocks(X)
    parts = _on_each(name, _prediction, blocks, estimator, name, nothing=like)
    if len(sizes) != len(parts):
        sizes = (math.nan,) * len(parts)
    return da.concatenate(
        [
            da.from_delayed(part, (size, *like.shape[1:]), meta=like)
            for part, size in zip(parts, sizes, strict=True)
        ]
    )


def _row_like(estimator: BaseEstimator, X: Any) -> Any:
    """A row, or document, such as those of a collection."""
    if hasattr(X, "_meta_nonempty"):
        return X._meta_nonempty.abs()
    if hasattr(estimator, "n_features_in_"):
        width = X.shape[1] if hasattr(X, "shape") else estimator.n_features_in_
        return np.zeros((1, width), dtype=getattr(X, "dtype", np.float64))
    return [[]] if getattr(estimator, "tokenizer_", "") is None else [""]


# On the side of the workers -----------------------------------------------------------


def _on_block(
    function: Callable[..., Any],
    place: tuple[int, Any],
    rows: Any,
    labels: Any,
    weights: Any,
    *arguments: Any,
) -> Any:
    """What a function of rows, labels, and weights gives.

    `place` is the number of the block, which errors name, and what to return if there
    is no row.
    """
    number, nothing = place
    rows, labels = _in_memory(rows), _in_memory(labels)
    n_rows = len(rows) if isinstance(rows, list) else rows.shape[0]
    if n_rows == 0 or (weights is not None and not np.any(weights)):
        return nothing
    try:
        return function(rows, labels, weights, *arguments)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"block {number} of the collection: {error}") from error


def _in_memory(values: Any) -> Any:
    """Blocks of a Bag may be iterators."""
    return values if values is None or hasattr(values, "shape") else list(values)


def _sum(add: Callable[[Any, Any], Any], one: Any, other: Any) -> Any:
    """Sum of what blocks gave, None from blocks without rows."""
    if one is None or other is None:
        return other if one is None else one
    return add(one, other)


def _key(key: str, part: Any) -> str:
    return key


def _distinct(labels: Any, *_: Any) -> NDArray[Any]:
    return np.unique(np.asarray(labels))


def _class_mass(
    labels: Any, _: None, weights: Any, model: None, classes: NDArray[Any]
) -> NDArray[np.float64]:
    codes = np.searchsorted(classes, np.asarray(labels))
    return np.bincount(codes, weights, len(classes)).astype(np.float64)


def _count(
    rows: Any,
    labels: Any,
    weights: Any,
    blank: BaseEstimator,
    keywords: dict[str, Any],
) -> BaseEstimator | None:
    """An estimator with the counts of a block."""
    if labels is None:
        rows = [document for document in rows if len(document)]
        if not rows:
            return None
        _check_vocabulary(blank, rows[0])
    if weights is not None:
        keywords = {**keywords, "sample_weight": weights}
    return _sized(_copied(blank).partial_fit(rows, labels, **keywords))


def _check_vocabulary(blank: BaseEstimator, document: Any) -> None:
    """ValueError if each block would have a vocabulary of its own."""
    split = text_splitter(blank.tokenizer)
    tokens = next(iter(Documents([document], split)))
    is_text = isinstance(tokens, str) or (not is_empty(tokens) and has_words(tokens))
    if is_text and (blank.tokenizer in (None, "whitespace") or split is not None):
        raise ValueError(
            "a vocabulary of strings is learned from documents in memory: fit to some "
            "of them, and pass the tokenizer_ of this model as tokenizer"
        )
    if not is_text and blank.vocabulary_size is None:
        raise ValueError("pass the number of token ids as vocabulary_size")


def _copied(estimator: Estimator) -> Estimator:
    """A shallow copy; that of the module copy is a pickle, which is checked."""
    other = object.__new__(type(estimator))
    vars(other).update(vars(estimator))
    return other


def _merged(one: BaseEstimator, other: BaseEstimator) -> BaseEstimator:
    return _sized(_copied(one).merge(other))


def _edges(n_parts: int, *runs: BaseEstimator | None) -> NDArray[np.int64]:
    """Where parts of n-grams end, by the largest of some runs of blocks."""
    counts = [run._model.counts for run in runs if run is not None]
    largest = max(counts, key=lambda one: one.keys.size, default=None)
    return part_edges(largest, n_parts)


def _part(run: BaseEstimator | None, edges: NDArray[np.int64], number: int) -> Any:
    """A part of the n-grams of a run of blocks; the first is an estimator."""
    if run is None:
        return None
    first, stop = edges[number : number + 2].tolist()
    counts = part_of(run._model.counts, first, stop)
    if number:
        return _sized(counts)
    found = _copied(run)
    found._model = replace(run._model, counts=counts)
    return _sized(found)


def _added(one: NgramCounts, other: NgramCounts) -> Any:
    return _sized(one + other)


def _counts(part: Any) -> NgramCounts:
    counts: NgramCounts = part._model.counts if hasattr(part, "_model") else part
    return counts


def _shape(part: Any) -> tuple[NDArray[np.int64], np.dtype[Any]] | None:
    """How long the arrays of a part are, and the type of its numbers of windows."""
    if part is None:
        return None
    counts = _counts(part)
    return level_sizes(counts), counts.counts.dtype


def _sized(counted: Any) -> Any:
    """The same, of which Dask knows how many bytes it would have to move or spill."""
    from dask.sizeof import sizeof

    sizeof.register(type(counted), _n_bytes)
    return counted


def _n_bytes(counted: Any) -> int:
    buffers: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(counted, protocol=5, buffer_callback=buffers.append)
    return len(rest) + sum(buffer.raw().nbytes for buffer in buffers)


def _prediction(
    rows: Any,
    labels: None,
    weights: None,
    estimator: BaseEstimator,
    name: str,
) -> NDArray[Any]:
    return np.asarray(getattr(estimator, name)(rows))


def _transformed(rows: Any, labels: None, weights: None, transformer: Any) -> Any:
    return transformer.transform(checked_texts(rows))


def _hits(
    rows: Any, labels: Any, weights: Any, estimator: BaseEstimator
) -> NDArray[np.float64]:
    """Weight of the rows that are predicted right, and of all."""
    right = estimator.predict(rows) == np.asarray(labels)
    weights = np.ones(len(right)) if weights is None else np.asarray(weights)
    return np.array([right @ weights, weights.sum()])


def _likelihood(
    documents: Any, labels: None, weights: None, model: BaseEstimator
) -> dict[str, float] | None:
    """The numbers of `evaluate` that are sums over documents."""
    documents = [document for document in documents if len(document)]
    if not documents:
        return None
    report = dict(model.evaluate(documents))
    sums = {name: report[name] for name in report if name.startswith("n_")}
    sums["n_with_ends"] = report["n_tokens"] + len(documents)
    sums["score"] = report["score"] * report["n_tokens"]
    if "score_with_ends" in report:
        sums["score_with_ends"] = report["score_with_ends"] * sums["n_with_ends"]
    return sums


def _added_values(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    # Documents that are no strings have no bytes.
    return {name: one[name] + other[name] for name in one if name in other}
