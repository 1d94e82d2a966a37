"""Modified Kneser-Ney against a dictionary, formula by formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.text import kneser_ney as kneser_ney_module
from explicit_softmax.text.kneser_ney import FALLBACK_DISCOUNTS, kneser_ney
from tests import oracles
from tests.strategies import properties
from tests.text.test_ngrams import N_IDS, counted, documents_of_ids


def corpus(n_documents=60, n_ids=N_IDS, seed=0):
    """Skewed documents, in which a token often follows from the two before it."""
    rng = np.random.default_rng(seed)
    documents = []
    for _ in range(n_documents):
        tokens = [int(rng.integers(n_ids - 1)), 0]
        for _ in range(rng.integers(12)):
            likely = (tokens[-1] * tokens[-2] + 1) % (n_ids - 1)
            other = int(rng.zipf(1.5)) % (n_ids - 1)
            tokens.append(likely if rng.random() < 0.5 else other)
        documents.append(tokens)
    return documents


def assert_oracle(documents, size, *, ends=True, n_ids=N_IDS, prefixes=None):
    model = kneser_ney(counted(documents, size, n_ids=n_ids, ends=ends))
    expected = oracles.kneser_ney(documents, size, n_ids, ends=ends)
    if prefixes is None:
        prefixes = [d[:n] for d in documents for n in range(len(d) + 1)]
        prefixes += [[0, 0, 0, 0, 0], [1], [n_ids - 2] * 9]
    windows = np.full((len(prefixes), size), n_ids - 1)
    for window, prefix in zip(windows, prefixes, strict=True):
        nearest = prefix[::-1][:size]
        window[: len(nearest)] = nearest
    columns = list(windows.T)
    proba, n_known = model.distributions(columns)
    assert_allclose(proba, [expected(prefix) for prefix in prefixes], rtol=1e-5)
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-6)
    for target in range(model.n_classes):
        targets = np.full(len(prefixes), target)
        found, known = model.probabilities(columns, targets)
        assert_allclose(found, proba[:, target], rtol=1e-12)
        assert_array_equal(known, n_known)
        assert (known <= size).all()
    return model


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_probabilities_are_those_of_the_formulas(size, ends):
    documents = corpus(n_ids=30)
    prefixes = [d[:n] for d in documents[:10] for n in range(len(d) + 1)]
    prefixes += [[0, 0, 0, 0, 0], [28] * 9]
    model = assert_oracle(documents, size, ends=ends, n_ids=30, prefixes=prefixes)
    assert not np.isin(model.discounts[1], FALLBACK_DISCOUNTS).any()


@pytest.mark.parametrize("chunk", [2, 2**18])
@settings(properties, max_examples=15)
@given(documents_of_ids, st.integers(1, 4), st.booleans())
def test_any_documents(chunk, documents, size, ends):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kneser_ney_module, "_CHUNK_NGRAMS", chunk)
        assert_oracle(documents, size, ends=ends)


def test_chunks_are_one_model(monkeypatch):
    """Equal in all bits, however many contexts are smoothed at a time."""
    counts = counted(corpus(n_ids=30), 4, n_ids=30)
    whole = kneser_ney(counts)
    monkeypatch.setattr(kneser_ney_module, "_CHUNK_NGRAMS", 50)
    parts = kneser_ney(counts)
    for name in ("keys", "proba", "backoff", "discounts"):
        for one, other in zip(getattr(whole, name), getattr(parts, name), strict=True):
            assert one.dtype == other.dtype
            assert_array_equal(one, other)


def test_discounts_that_have_no_closed_form_fall_back():
    model = assert_oracle([[0, 1, 2]], 2)
    assert_allclose(model.discounts, [FALLBACK_DISCOUNTS] * 3)


def test_a_million_words():
    """The model of few words, but for the share of a word that was never seen."""
    n_ids, rng = 1_000_002, np.random.default_rng(0)
    few = [np.array(document) for document in corpus(n_ids=30)]
    # 28 is for words that were never seen.
    few = [document[document < 28] for document in few]
    words = np.sort(rng.choice(n_ids - 2, 28, replace=False))
    many = [words[document] for document in few]
    models = [kneser_ney(counted(few, 4, n_ids=30))]
    models.append(kneser_ney(counted(many, 4, n_ids=n_ids)))
    assert_allclose(models[0].discounts, models[1].discounts)
    windows = np.stack([few[0][i : i + 4][::-1] for i in range(4)])
    targets = np.tile(np.append(np.arange(28), 29), len(windows))
    own = np.append(words, n_ids - 1)
    known = []
    for model, window, target, unseen in (
        (models[0], windows, targets, 28),
        (models[1], words[windows], np.tile(own, len(windows)), n_ids - 2),
    ):
        columns = list(np.repeat(window, 29, axis=0).T)
        seen = model.probabilities(columns, target)[0]
        never = model.probabilities(columns, np.full_like(target, unseen))[0]
        known.append(seen - never)
        proba = model.distributions(list(window.T))[0]
        assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)
        assert_allclose(proba[:, target[:29]].ravel(), seen, rtol=1e-12)
    assert_allclose(known[0], known[1], rtol=1e-4)
