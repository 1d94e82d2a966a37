"""ExplicitLanguageModel on token ids: counts, likelihoods, text, and refinement."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from explicit_softmax import (
    ContextWindowTransformer,
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    context_windows,
)
from explicit_softmax import _language_base as base
from explicit_softmax import _language_model as module
from tests.strategies import properties

AGGREGATIONS = ["sum", "cat"]
SIZE = 8  # ids: 0 to 5, then 6, out-of-vocabulary, and 7, padding


def corpus(n_documents=20, seed=0, highest=6):
    """Documents in which a token often follows from the two before it."""
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(n_documents):
        tokens = [int(rng.integers(highest + 1)), 0]
        for _ in range(rng.integers(30)):
            likely = (tokens[-1] + tokens[-2] + 1) % (highest + 1)
            follow = [likely, int(rng.integers(highest + 1))]
            tokens.append(follow[int(rng.random() < 0.3)])
        documents.append(tokens)
    return documents


DOCUMENTS = corpus()


def make(**parameters):
    return ExplicitLanguageModel(
        **{
            "context_size": 2,
            "vocabulary_size": SIZE,
            "smoothing_strength": 0.3,  # the search takes most of the time of a fit
            **parameters,
        }
    )


@pytest.fixture(scope="module")
def model():
    return make().fit(DOCUMENTS)


def assert_same_counts(first, second):
    for name in ("data", "indices", "indptr"):
        assert_array_equal(
            getattr(first._counts.cooccurrence, name),
            getattr(second._counts.cooccurrence, name),
        )
    assert_array_equal(first.class_count_, second.class_count_)
    assert first._counts.n_nonzero == second._counts.n_nonzero
    assert first.n_tokens_ == second.n_tokens_


def assert_same_state(model, before):
    assert vars(model).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(model).items())


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_probabilities_are_those_of_the_pipeline(aggregation, smoothing):
    model = make(
        aggregation=aggregation, smoothing=smoothing, smoothing_strength="auto"
    ).fit(DOCUMENTS)
    X, y = context_windows(DOCUMENTS, 2)
    pipeline = make_pipeline(
        # The last id is out of this vocabulary, as it is out of the model's.
        ContextWindowTransformer(aggregation=aggregation, categories=range(SIZE - 2)),
        ExplicitSoftmaxClassifier(
            n_blocks=2 if aggregation == "cat" else 1,
            smoothing=smoothing,
            smoothing_strength=model.smoothing_strength_,
            inverse_temperature=model.inverse_temperature_,
        ),
    ).fit(X, y)
    prefixes = [[], [3], [1, 2], [6, 6, 5], [4, 0, 1]]
    windows = [[-1, -1], [3, -1], [2, 1], [5, 6], [1, 0]]
    expected = pipeline.predict_proba(windows)
    assert_allclose(model.predict_proba(prefixes), expected, rtol=2e-6)
    own = pipeline.predict_log_proba(X)[np.arange(len(y)), y]
    assert model.score(DOCUMENTS) == pytest.approx(own.mean(), rel=1e-6)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_shards_in_a_row_or_merged_are_one_fit(aggregation):
    document = st.lists(st.integers(0, SIZE - 2), min_size=1, max_size=5)
    shard = st.lists(st.one_of(document, st.just([])), max_size=3)
    shards = st.lists(st.tuples(document, shard), min_size=2, max_size=3)

    @settings(properties, max_examples=12)
    @given(shards)
    def check(shards):
        shards = [[first, *rest] for first, rest in shards]
        options = {"aggregation": aggregation}
        whole = make(**options).fit([d for shard in shards for d in shard])
        chained = make(**options)
        for shard in shards:
            assert chained.partial_fit(shard) is chained
        first, *others = [make(**options).partial_fit(shard) for shard in shards]
        assert first.merge(*others) is first
        for streamed in (chained, first):
            assert_same_counts(streamed, whole)
            # All windows were kept, in the same order.
            assert_array_equal(
                streamed.inverse_temperature_, whole.inverse_temperature_
            )
            assert_array_equal(
                streamed.predict_proba([[0]]), whole.predict_proba([[0]])
            )

    check()


def test_betas_of_streams_are_those_of_the_windows_that_are_kept(monkeypatch):
    for place in (base, module):
        monkeypatch.setattr(place, "window_limit", lambda n_classes, n_blocks: 30)
    shards = DOCUMENTS[:10], DOCUMENTS[10:]
    whole = make().fit(DOCUMENTS)
    first, second = (make().partial_fit(shard) for shard in shards)
    chained = make().partial_fit(shards[0]).partial_fit(shards[1])
    # After partial_fit they are the latest, after merge of both.
    latest = second._retained
    assert_array_equal(chained._retained.X.toarray(), latest.X.toarray())
    merged = first.merge(second)
    assert_same_counts(merged, whole)
    assert_same_counts(chained, whole)
    for model in (whole, chained, merged):
        assert len(model._retained.y) == 30
        assert np.isfinite(model.leave_one_out_log_loss_)
    assert not np.array_equal(chained.inverse_temperature_, whole.inverse_temperature_)
    again = make().partial_fit(shards[0]).partial_fit(shards[1])
    assert_array_equal(again.inverse_temperature_, chained.inverse_temperature_)


def test_merge_takes_any_number_and_leaves_the_others_alone(model):
    others = [make().fit(corpus(seed=seed)) for seed in (1, 2)]
    states = [vars(other).copy() for other in others]
    merged = make().fit(DOCUMENTS)
    assert merged.merge() is merged
    assert_same_counts(merged, model)
    merged.merge(*others)
    whole = make().fit(DOCUMENTS + corpus(seed=1) + corpus(seed=2))
    assert_same_counts(merged, whole)
    for other, state in zip(others, states, strict=True):
        assert_same_state(other, state)


def test_likelihoods_agree(model):
    held_out = corpus(5, seed=9)
    report = model.evaluate(iter(held_out))
    assert report["score"] == model.score(held_out)
    assert (
        report["perplexity"] == model.perplexity(held_out) == np.exp(-report["score"])
    )
    assert report["n_tokens"] == sum(map(len, held_out))
    assert {"n_bytes", "bits_per_byte"}.isdisjoint(report)
    logs = [model.log_proba(document) for document in held_out]
    assert [len(log) for log in logs] == [len(document) for document in held_out]
    assert np.concatenate(logs).mean() == pytest.approx(report["score"], rel=1e-9)
    document = held_out[0]
    prefixes = [document[:n] for n in range(len(document))]
    expected = model.predict_proba(prefixes)[np.arange(len(document)), document]
    assert_allclose(np.exp(logs[0]), expected, rtol=1e-5)
    assert model.log_proba([]).shape == (0,)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("smoothing", ["prior", "noise"])
def test_probabilities_sum_to_one_without_the_padding(aggregation, smoothing):
    model = make(aggregation=aggregation, smoothing=smoothing).fit(DOCUMENTS)
    proba = model.predict_proba([[], [0], [5, 5, 5], list(range(7))])
    assert proba.shape == (4, SIZE - 1)
    assert proba.dtype == np.float32
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    # No more than the last two count.
    assert_array_equal(model.predict_proba([[5, 6]])[0], proba[3])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_short_and_empty_documents(aggregation):
    model = make(context_size=5, aggregation=aggregation)
    model.fit([[0], [], [1, 2], np.zeros(0, dtype=np.int64), [0]])
    assert_array_equal(model.class_count_, [2, 1, 1, 0, 0, 0, 0])
    assert model.n_tokens_ == 4
    pads = model._counts.cooccurrence[[SIZE - 1]].sum()
    assert pads == (5 + 5 + 5 + 4 if aggregation == "sum" else 3)
    report = model.evaluate([[], [0], []])
    assert report["n_tokens"] == 1
    assert report["score"] == pytest.approx(model.log_proba([0])[0], rel=1e-6)
    assert model.evaluate([[0]])["perplexity"] < model.evaluate([[1]])["perplexity"]


def test_vocabulary_of_one_token():
    model = make(vocabulary_size=3).fit([[0, 0, 0], [0]])
    assert model.perplexity([[0, 0]]) < model.perplexity([[0, 1]]) < np.inf
    assert model.predict_proba([[]]).shape == (1, 2)
    assert_array_equal(model.generate([], 3, random_state=0), [0, 0, 0])
    assert np.isfinite(model.perplexity([[1, 1, 0]]))


def test_tokens_that_fit_never_saw_are_reported(model):
    assert model.evaluate([[0, 1, 2]])["n_new"] == 0
    known = make().fit([[0, 1, 0, 1, 1, 0]] * 5)
    report = known.evaluate([[2, 3, 6, 6], [4]])
    assert (report["n_tokens"], report["n_oov"], report["n_new"]) == (5, 2, 3)
    assert 1 < report["perplexity"] < np.inf
    assert known.n_oov_ == 0
    seen = make().fit([[0, 6, 6]])
    assert seen.n_oov_ == 2
    report = seen.evaluate([[6, 1]])
    assert (report["n_oov"], report["n_new"]) == (1, 1)


def test_a_likelihood_too_small_for_its_perplexity_is_no_error():
    model = make(inverse_temperature=5000.0, smoothing_strength=1e-3)
    model.fit([[0, 1, 0, 1, 0, 1]] * 9)
    assert model.perplexity([[0, 0, 0, 0]]) == np.inf
    assert np.isfinite(model.score([[0, 0, 0, 0]]))


def test_vocabulary_of_the_largest_id():
    model = make(vocabulary_size=None).fit([[0, 4], [2]])
    assert model.vocabulary_size_ == 7
    assert model.partial_fit([[5]]).n_oov_ == 1
    with pytest.raises(ValueError, match="document 1 has the token id 6"):
        model.partial_fit([[0], [6]])


CONTAINERS = {
    "iterator": iter,
    "tuple": tuple,
    "object array": lambda lists: np.array([*lists, None], dtype=object)[:-1],
    "series": pd.Series,
    "uint16": lambda lists: [np.array(ids, dtype=np.uint16) for ids in lists],
    "read-only int64": lambda lists: [np.frombuffer(np.array(ids)) for ids in lists],
    "series of ids": lambda lists: [pd.Series(ids, dtype="int8") for ids in lists],
}
CONTAINERS["read-only int64"] = lambda lists: [
    np.frombuffer(np.array(ids, dtype=np.int64).tobytes(), dtype=np.int64)
    for ids in lists
]


@pytest.mark.parametrize("container", CONTAINERS)
def test_documents_in_any_container(model, container):
    documents = CONTAINERS[container](DOCUMENTS)
    assert_same_counts(make().fit(documents), model)


def test_rows_of_an_array_are_documents():
    array = np.arange(12).reshape(4, 3) % 5
    assert_same_counts(make().fit(array), make().fit(array.tolist()))


BAD = {
    "exhausted": (lambda: iter(()), ValueError, "generator.*read to its end"),
    "no tokens": (lambda: [[], []], ValueError, "hold no token"),
    "one string": (lambda: "abc", TypeError, "not a single string"),
    "none": (lambda: None, TypeError, "iterable of documents, not NoneType"),
    "mapping": (lambda: {"a": [0]}, TypeError, "not dict: give its values"),
    "table": (lambda: pd.DataFrame({0: [1]}), TypeError, "one of its columns"),
    "one document": (lambda: [0, 1], TypeError, "document 0 .* not int; documents are"),
    "ragged": (lambda: [[0], [0, [1]]], TypeError, "document 1 .*are sequences"),
    "floats": (lambda: [[0], [0.5]], TypeError, "document 1 .*float64$"),
    "words": (lambda: [["a", "b"]], TypeError, "join tokens that are strings"),
    "mixed tokens": (lambda: [["a", 1]], TypeError, "document 0 must be token ids"),
    "mixed documents": (lambda: [[0], "a"], TypeError, "document 1 is a string"),
    "objects": (lambda: [[0, None]], TypeError, "document 0 .*object$"),
    "negative": (
        lambda: [*[[0]] * 2000, [3, -1]],
        ValueError,
        "document 2000 has the token id -1, .* from 0 to 6, .*7 is padding",
    ),
    "padding": (lambda: [[0], [1, 7]], ValueError, "document 1 has the token id 7"),
    "huge": (lambda: [np.array([2**63], "u8")], ValueError, "id 9223372036854775808"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "evaluate"])
def test_bad_documents_are_one_clear_error(method, case):
    documents, kind, message = BAD[case]
    model = make().fit(DOCUMENTS)
    before = vars(model).copy()
    with pytest.raises(kind, match=message):
        getattr(model, method)(documents())
    assert_same_state(model, before)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"context_size": 0}, "'context_size' parameter .* in the range"),
        ({"vocabulary_size": 2}, "'vocabulary_size' parameter"),
        ({"smoothing_strength": np.nan}, "'smoothing_strength' parameter"),
        ({"aggregation": "mean"}, "'aggregation' parameter"),
        ({"inverse_temperature": [1.0, 1.0, 1.0]}, "inverse_temperature.* 2 blocks"),
        ({"inverse_temperature": [1.0, -1.0]}, "inverse_temperature.*non-negative"),
        ({"inverse_temperature": np.inf}, "inverse_temperature"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_parameters_are_named(method, parameters, message):
    model = make(**parameters)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(DOCUMENTS)
    assert not hasattr(model, "n_tokens_")


def test_fits_that_cannot_go_together():
    model = make().partial_fit(DOCUMENTS)
    before = vars(model).copy()
    cases = [
        (make(vocabulary_size=9), "8 token ids and 9 token ids"),
        (make(context_size=3), "different context_size.* 2 and 3"),
        (make(aggregation="sum"), "different aggregation"),
        (make(smoothing="uniform"), "different smoothing "),
        (make(inverse_temperature=1.0), "different inverse_temperature"),
        (make(warm_start=True, max_iter=1), "was refined"),
    ]
    for other, message in cases:
        other.fit(DOCUMENTS)
        with pytest.raises(ValueError, match=message):
            model.merge(make().fit(DOCUMENTS), other)
        assert_same_state(model, before)
    with pytest.raises(TypeError, match="not ContextWindowTransformer"):
        model.merge(ContextWindowTransformer())
    with pytest.raises(NotFittedError):
        model.merge(make())
    with pytest.raises(ValueError, match="context_size=3 differs from 2"):
        model.set_params(context_size=3).partial_fit(DOCUMENTS)
    assert model.score(DOCUMENTS) < 0
