"""Contexts that leave a token out against counts and smoothing in dictionaries."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.text import kneser_ney as kneser_ney_module
from explicit_softmax.text.kneser_ney import FALLBACK_DISCOUNTS
from explicit_softmax.text.skips import skip_counts, skip_distances, skip_models
from tests.strategies import merged, partitions, properties
from tests.text.test_kneser_ney import corpus
from tests.text.test_mixture import assert_scores_are_probabilities
from tests.text.test_ngrams import (
    N_IDS,
    as_counter,
    assert_equal,
    assert_sound,
    counted,
    documents_of_ids,
)

PAD = N_IDS - 1


def slow_windows(documents, distances):
    """Targets behind tokens at distances, the nearest first."""
    windows = Counter()
    for document in documents:
        tokens = [PAD] * 5 + [*document, PAD]
        for at in range(5, len(tokens)):
            windows[
                (*(tokens[at - distance] for distance in distances), tokens[at])
            ] += 1
    return windows


def slow_smoothing(windows, least):
    """Function of a context: probabilities of all targets after it."""
    size = len(next(iter(windows))) - 1
    raw = [Counter() for _ in range(size + 1)]
    for (*context, target), count in windows.items():
        for n in range(size + 1):
            raw[n][*context[:n], target] += count
    adjusted = [defaultdict(Counter) for _ in range(size + 1)]
    for n, level in enumerate(raw):
        for (*context, target), count in level.items():
            whole = n == size or PAD in context[-1:]
            if not whole:
                count = sum(
                    longer[:n] == (*context,) and longer[-1] == target
                    for longer in raw[n + 1]
                )
            adjusted[n][*context][target] = count

    def after(context, proba):
        level = adjusted[len(context)]
        counts = [
            count
            for known, own in level.items()
            if PAD not in known[:-1][-1:]
            for count in own.values()
        ]
        n = [counts.count(k) for k in range(5)]
        found = FALLBACK_DISCOUNTS
        if all(n[1:]):
            share = n[1] / (n[1] + 2 * n[2])
            closed = [k - (k + 1) * share * n[k + 1] / n[k] for k in (1, 2, 3)]
            if all(0 <= d <= k for k, d in enumerate(closed, 1)):
                found = closed
        if context not in level:
            return proba
        own, taken = np.zeros((2, N_IDS))
        for target, count in level[context].items():
            own[target] = taken[target] = count
            is_kept = raw[len(context)][*context, target] >= least[len(context)]
            if is_kept and PAD not in context[:-1][-1:]:
                taken[target] = found[min(count, 3) - 1]
        return (own - taken + taken.sum() * proba) / own.sum()

    def probabilities(context):
        proba = np.full(N_IDS, 1 / N_IDS)
        for n in range(size + 1):
            proba = after((*context[:n],), proba)
        return proba

    return probabilities


@settings(properties, max_examples=15)
@given(documents_of_ids, st.sampled_from([(1, 3), (1, 2, 4), (1, 3, 4)]))
def test_counts_are_of_windows_without_tokens(documents, distances):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kneser_ney_module, "_CHUNK_NGRAMS", 3)
        found = skip_counts(counted(documents, 4), distances)
    assert_sound(found)
    # As `as_counter` has them: the nearest last.
    expected = {
        (*context[::-1], target): count
        for (*context, target), count in slow_windows(documents, distances).items()
    }
    assert as_counter(found) == expected


@pytest.mark.parametrize("min_counts", [None, (1, 1, 1, 3, 3)])
@pytest.mark.parametrize("documents", [corpus(12), corpus(60, seed=1)])
def test_smoothing_is_kneser_ney(documents, min_counts):
    models = skip_models(counted(documents, 4), min_counts)
    assert len(models) == len(skip_distances(4)) == 2
    rng = np.random.default_rng(0)
    for model, distances in zip(models, skip_distances(4), strict=True):
        windows = slow_windows(documents, distances)
        expected = slow_smoothing(windows, [1, 1, 2, 3 if min_counts else 2])
        contexts = [window[:-1] for window in list(windows)[:60]]
        contexts += [*rng.integers(0, N_IDS, (20, 3)).tolist()]
        columns = list(np.array(contexts).T)
        proba = model.distributions(columns)[0]
        assert_allclose(proba, [expected(context) for context in contexts], rtol=1e-5)
        for target in range(N_IDS):
            found = model.probabilities(columns, np.full(len(contexts), target))[0]
            assert_allclose(found, proba[:, target], rtol=1e-12)


@settings(properties, max_examples=8)
@given(documents_of_ids, st.data())
def test_counts_are_additive(documents, data):
    parts = [p for p in data.draw(partitions(len(documents))) if p.size]
    shards = [counted([documents[i] for i in part], 4) for part in parts]
    whole = merged(data, shards)
    for distances in skip_distances(4):
        expected = skip_counts(counted(documents, 4), distances)
        assert_equal(skip_counts(whole, distances), expected)
        own = merged(data, [skip_counts(shard, distances) for shard in shards])
        assert_equal(own, expected)


def test_where_windows_reach():
    assert not skip_distances(1)
    assert not skip_distances(2)
    assert skip_distances(3) == [(1, 3)]
    assert skip_distances(7) == skip_distances(4)


def noisy_sums(n_documents, seed=0):
    """Documents whose tokens are mostly told by the last and the third last."""
    rng = np.random.default_rng(seed)
    documents = rng.integers(0, 11, (n_documents, 60))
    for at in range(3, 60):
        told = (documents[:, at - 1] + 2 * documents[:, at - 3]) % 11
        is_told = rng.random(n_documents) < 0.7
        documents[is_told, at] = told[is_told]
    return documents.tolist()


def make(mixture="skip", **parameters):
    return ExplicitLanguageModel(
        vocabulary_size=13, predict_end=True, mixture=mixture, **parameters
    )


@pytest.fixture(scope="module")
def model():
    return make().fit(noisy_sums(60))


def test_skip_contexts_are_mixed(model, tmp_path):
    documents = noisy_sums(20, seed=1)
    plain = make(mixture=True).fit(noisy_sums(60))
    assert model.mixture_weights_.shape == (5, 25, 6)
    assert model.perplexity(documents) < 0.9 * plain.perplexity(documents)
    assert_scores_are_probabilities(model, documents[0], 12)
    with pytest.raises(ValueError, match="different mixture"):
        model.merge(plain)
    for made in (model, plain):
        made.to_arpa(tmp_path / f"{made.mixture}.arpa")
    texts = [(tmp_path / f"{name}.arpa").read_bytes() for name in ("skip", True)]
    assert texts[0] == texts[1]


@settings(properties, max_examples=3)
@given(data=st.data())
def test_they_are_additive(model, data):
    documents = noisy_sums(60)
    parts = [p for p in data.draw(partitions(len(documents))) if p.size]
    models = [make().fit([documents[i] for i in part]) for part in parts]
    own = models[0].merge(*models[1:])
    own.partial_fit([[0, 1], [5]]).forget([[5], [0, 1]])
    assert_array_equal(own.mixture_weights_, model.mixture_weights_)
    assert_array_equal(own.predict_proba(documents), model.predict_proba(documents))


def test_pruned_models_keep_them(model, tmp_path):
    documents = noisy_sums(60)
    pruned = make(min_count=[1, 1, 2]).fit(documents)
    pruned.save(tmp_path / "it")
    loaded = ExplicitLanguageModel.load(tmp_path / "it")
    proba = loaded.predict_proba(documents)
    assert_array_equal(proba, pruned.predict_proba(documents))
    assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-5)
    # Their own n-grams of three and more tokens are pruned by as much anyway.
    skips = pruned._model.solution.skips
    for one, other in zip(skips, model._model.solution.skips, strict=True):
        assert_array_equal(one.keys[-1], other.keys[-1])


def test_short_contexts_leave_nothing_out():
    with pytest.raises(ValueError, match=r"context_size of at least 3, not 2"):
        make(context_size=2).fit([[0, 1, 2]])
    one = make(context_size=3).fit([[0, 1, 2]])
    assert one.mixture_weights_.shape == (4, 25, 5)
    assert_allclose(one.mixture_weights_.sum(axis=2), 1.0)
