"""Models of documents against loops over them, and samples of documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.text import mixture, ngram_model
from explicit_softmax.text.mixture import (
    DECAY,
    DocumentModels,
    DocumentSample,
    document_models,
    mixed_distribution,
    start_weights,
)
from explicit_softmax.text.windows import TokenStream
from tests.strategies import merged, partitions, properties
from tests.text.test_kneser_ney import corpus

N_IDS = 5
token_documents = st.lists(
    st.lists(st.integers(0, N_IDS - 2), min_size=1, max_size=12),
    min_size=2,
    max_size=6,
)


def slow_models(history):
    """Decayed frequencies, one token at a time; None where nothing was seen."""
    models = []
    for n_last in range(3):
        counts = np.zeros(N_IDS)
        last = history[len(history) - n_last :]
        for at in range(n_last, len(history)):
            if history[at - n_last : at] == last:
                counts[history[at]] += DECAY ** (len(history) - 1 - at)
        models.append(counts / counts.sum() if counts.any() else None)
    return models


@settings(properties, max_examples=25)
@given(token_documents)
def test_models_are_decayed_frequencies(documents):
    targets = np.concatenate([[*document, N_IDS - 1] for document in documents])
    sizes = np.array([len(document) + 1 for document in documents])
    found = document_models(targets, sizes, N_IDS)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(5), (3, 25))
    of_ngrams = np.linspace(0.1, [0.2, 0.15], targets.size)
    known = rng.integers(0, 3, targets.size)
    mixed = found.mixed(of_ngrams, known, weights)
    row = 0
    for document in documents:
        for n in range(len(document) + 1):
            target = targets[row]
            for given_by, expected in zip(
                found.proba[row], slow_models(document[:n]), strict=True
            ):
                wanted = np.nan if expected is None else expected[target]
                assert given_by == pytest.approx(wanted, nan_ok=True)
            even = np.tile(of_ngrams[row][:, None], N_IDS)
            history = np.array(document[:n], dtype=np.int32)
            own = weights[known[row]]
            after = mixed_distribution(even, history, own)
            assert after[target] == pytest.approx(mixed[row])
            whole = mixed_distribution(np.full((2, N_IDS), 1 / N_IDS), history, own)
            assert whole.sum() == pytest.approx(1.0)
            row += 1


def test_weights_are_of_the_largest_likelihood():
    rng = np.random.default_rng(0)
    proba = rng.random((4000, 3))
    of_ngrams = rng.random((4000, 1)) * 0.2
    models = DocumentModels(proba, np.tile(np.repeat([3, 7], 1000), 2))
    known = np.repeat([0, 2], 2000).astype(np.int8)
    best = models.best_weights(of_ngrams, known, 2)
    assert_allclose(best.sum(axis=2), 1.0)
    # No windows of this class, and none with as many known tokens.
    assert_allclose(best[0, 0], start_weights(2)[0, 0])
    assert_allclose(best[1], start_weights(2)[1])
    for n_known in (0, 2):
        for number in (3, 7):
            own = (known == n_known) & (models.classes == number)
            parts = models.with_ngrams(of_ngrams)[own]
            loss = np.log(parts @ best[n_known, number]).sum()
            for row in rng.dirichlet(np.ones(4), 50):
                assert np.log(parts @ row).sum() < loss


def sampled(documents, **how):
    arrays = [np.array(document, dtype=np.int32) for document in documents]
    return DocumentSample.from_stream(
        TokenStream.from_arrays(arrays, 2, N_IDS - 1), **how
    )


def assert_equal(first, second):
    assert first.threshold == second.threshold
    for name in ("tokens", "stops", "keys"):
        assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("limit", [1, 9, 100])
@settings(properties, max_examples=20)
@given(st.data())
def test_samples_depend_on_the_set_of_documents_alone(limit, data):
    documents = data.draw(token_documents)
    others = data.draw(token_documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture, "_KEPT_TOKENS", limit)
        patch.setattr(DocumentSample._head, "__defaults__", (limit,))
        whole = sampled(documents)
        assert whole.tokens.size <= limit + 12 * len(documents)
        parts = [p for p in data.draw(partitions(len(documents))) if p.size]
        shards = [sampled([documents[i] for i in part]) for part in parts]
        assert_equal(merged(data, shards), whole)
        left = sampled([*documents, *others]) - sampled(others, complete=True)
        n_left = left.stops.size
        assert_array_equal(left.keys, whole.keys[:n_left])
        if limit == 100:
            assert_equal(left, whole)


DOCUMENTS = corpus(120, n_ids=8)


def make(**parameters):
    return ExplicitLanguageModel(
        context_size=2,
        aggregation="ngram",
        vocabulary_size=8,
        predict_end=True,
        mixture=True,
        **parameters,
    )


def assert_scores_are_probabilities(model, document, end):
    """Those of all targets sum to one, and scores of a document are among them."""
    proba = model.predict_proba([document[:n] for n in range(len(document) + 1)])
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-6)
    expected = proba[np.arange(len(document) + 1), [*document, end]]
    assert_allclose(np.exp(model.log_proba(document)), expected, rtol=1e-5)


def test_mixed_language_models():
    repeated = [document * 3 for document in DOCUMENTS]
    model = make().fit(repeated[20:])
    plain = make().set_params(mixture=False).fit(repeated[20:])
    assert plain.mixture_weights_ is None
    assert model.mixture_weights_.shape == (3, 25, 4)
    assert model.perplexity(repeated[:20]) < 0.9 * plain.perplexity(repeated[:20])
    assert_scores_are_probabilities(model, repeated[0], 7)
    with pytest.raises(ValueError, match="different mixture"):
        model.merge(plain)
    with pytest.raises(ValueError, match="mixture=False differs from True"):
        model.set_params(mixture=False).partial_fit(repeated)


def test_any_chunks_of_documents_score_the_same(monkeypatch):
    model = make().fit(DOCUMENTS)
    expected = model.score_samples(DOCUMENTS)
    monkeypatch.setattr(ngram_model, "_CHUNK_TARGETS", 11)
    assert_allclose(model.score_samples(DOCUMENTS), expected, rtol=1e-12)


@settings(properties, max_examples=5)
@given(st.data())
def test_mixtures_are_additive(data):
    whole = make().fit(DOCUMENTS)
    parts = [p for p in data.draw(partitions(len(DOCUMENTS))) if p.size]
    models = [make().fit([DOCUMENTS[i] for i in part]) for part in parts]
    model = models[0].merge(*models[1:])
    assert_array_equal(model.mixture_weights_, whole.mixture_weights_)
    model.partial_fit([[0, 1], [5]]).forget([[5], [0, 1]])
    assert_array_equal(model.mixture_weights_, whole.mixture_weights_)
    proba = model.predict_proba(DOCUMENTS)
    assert_array_equal(proba, whole.predict_proba(DOCUMENTS))


def test_one_document_has_the_weights_to_start_from():
    model = make().fit([[0, 1, 2, 0, 1]])
    assert_array_equal(model.mixture_weights_, start_weights(2))


def test_contexts_longer_than_128_tokens():
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 3, 200) for _ in range(10)]
    model = ExplicitLanguageModel(context_size=130, vocabulary_size=5, mixture=True)
    assert model.fit(documents).perplexity(documents) < 3
