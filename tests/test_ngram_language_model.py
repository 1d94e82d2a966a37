"""ExplicitLanguageModel of n-grams: additivity, ends of documents, and likelihoods."""

import gzip
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax._model_file import read_file
from explicit_softmax.text import language, ngram_model
from explicit_softmax.text.tokens import TokenIds
from tests import oracles
from tests.strategies import partitions, properties
from tests.test_language_model import DOCUMENTS, HELD_OUT, SIZE, unchanged
from tests.text.test_ngrams import assert_equal
from tests.text.test_tokens import TEXTS

documents_of_ids = st.lists(
    st.lists(st.integers(0, SIZE - 2), min_size=1, max_size=6), min_size=2, max_size=6
)


def make(**parameters):
    options = {"context_size": 2, "aggregation": "ngram", "vocabulary_size": SIZE}
    return ExplicitLanguageModel(**{**options, **parameters})


@pytest.fixture(scope="module")
def model():
    return make(predict_end=True).fit(DOCUMENTS)


@pytest.fixture(scope="module")
def text_model():
    return make(vocabulary_size=60).fit(TEXTS)


def assert_same_model(first, second):
    assert_equal(first._model.counts, second._model.counts)
    prefixes = [[], [0, 1], [5] * 9]
    assert_array_equal(first.predict_proba(prefixes), second.predict_proba(prefixes))


@pytest.mark.parametrize("predict_end", [True, False])
def test_probabilities_are_kneser_neys(predict_end):
    model = make(context_size=3, predict_end=predict_end).fit(DOCUMENTS)
    expected = oracles.kneser_ney(DOCUMENTS, 3, SIZE, ends=predict_end)
    prefixes = [[], [1], [3, 4], *HELD_OUT]
    proba = model.predict_proba(prefixes)
    assert proba.dtype == np.float32
    assert_allclose(proba, [expected(prefix) for prefix in prefixes], rtol=1e-5)
    document = HELD_OUT[0]
    logs = model.log_proba(document)
    found = [expected(document[:n])[token] for n, token in enumerate(document)]
    if predict_end:
        found.append(expected(document)[-1])
    assert_allclose(logs, np.log(found), rtol=1e-5)


@settings(properties, max_examples=15)
@given(st.data(), documents_of_ids, documents_of_ids)
def test_streams_merges_and_forgetting_are_one_fit(data, documents, others):
    whole = make(predict_end=True).fit(documents)
    parts = [part for part in data.draw(partitions(len(documents))) if part.size]
    shards = [[documents[i] for i in part] for part in parts]
    chained = make(predict_end=True)
    for shard in shards:
        assert chained.partial_fit(shard) is chained
    assert_same_model(chained, whole)
    models = [make(predict_end=True).fit(shard) for shard in shards]
    assert_same_model(models[0].merge(*models[1:]), whole)
    assert chained.partial_fit(others).forget(others) is chained
    assert_same_model(chained, whole)


@pytest.mark.parametrize("aggregation", ["ngram", "cat", "sum"])
def test_forgetting_leaves_the_others(aggregation):
    model = make(aggregation=aggregation).fit([*DOCUMENTS, *HELD_OUT])
    model.set_params(smoothing_strength=7.0)  # for the next fit
    assert model.forget(HELD_OUT) is model
    rest = make(aggregation=aggregation).fit(DOCUMENTS)
    assert_array_equal(model.class_count_, rest.class_count_)
    assert_allclose(model.predict_proba(DOCUMENTS), rest.predict_proba(DOCUMENTS))
    with unchanged(model), pytest.raises(ValueError):
        model.forget([[5] * 99])
    with unchanged(model), pytest.raises(ValueError, match="would leave no document"):
        model.forget(DOCUMENTS)


def test_likelihoods_with_and_without_ends(model):
    documents = [*HELD_OUT, [], [0]]
    report = model.evaluate(documents)
    logs = model.log_proba(documents)
    assert [len(log) for log in logs] == [len(d) + (len(d) > 0) for d in documents]
    assert_array_equal(model.score_samples(documents), [log.sum() for log in logs])
    assert_array_equal(logs[0], model.log_proba(documents[0]))
    assert_array_equal(model.log_proba(np.array(documents[0])), logs[0])
    tokens = np.concatenate([log[:-1] for log in logs])
    assert report["n_tokens"] == tokens.size
    assert report["score"] == pytest.approx(tokens.mean())
    assert report["perplexity"] == pytest.approx(np.exp(-tokens.mean()))
    mean = np.concatenate(logs).mean()
    assert report["score_with_ends"] == pytest.approx(mean)
    assert report["perplexity_with_ends"] == pytest.approx(np.exp(-mean))
    assert "score_with_ends" not in make().fit(DOCUMENTS).evaluate(documents)
    assert model.log_proba([]).shape == (0,)
    assert [log.size for log in model.log_proba([[], []])] == [0, 0]


def test_probabilities_of_documents_sum_to_one():
    """Those of at most n tokens, and of all beginnings of more."""
    model = make(vocabulary_size=4, predict_end=True).fit([[0, 1], [1, 1, 0], [2]])
    level = [[]]
    total = float(model.predict_proba([[]])[0, -1])  # of the empty document
    for _ in range(3):
        level = [[*document, token] for document in level for token in range(3)]
        total += np.exp(model.score_samples(level)).sum()
    total += sum(
        np.exp(log[:-1].sum()) * -np.expm1(log[-1]) for log in model.log_proba(level)
    )
    assert total == pytest.approx(1.0, abs=1e-6)


def test_strings_have_ends_and_ids_where_asked(text_model):
    assert text_model.predict_proba(["the"]).shape == (1, text_model.vocabulary_size_)
    assert "perplexity_with_ends" in text_model.evaluate(TEXTS)
    without = make(vocabulary_size=60, predict_end=False).fit(TEXTS)
    assert without.predict_proba(["the"]).shape == (1, without.vocabulary_size_ - 1)
    logs = text_model.log_proba(TEXTS)
    assert isinstance(logs, list)
    assert_array_equal(logs[3], text_model.log_proba(TEXTS[3]))
    assert text_model.generate("", 10_000, random_state=0) != ""  # and it ends


@pytest.mark.parametrize("aggregation", ["cat", "sum"])
def test_ends_are_of_ngrams_only(aggregation):
    model = make(aggregation=aggregation, predict_end=True)
    with unchanged(model), pytest.raises(ValueError, match="predict_end=True needs"):
        model.fit(DOCUMENTS)


def test_models_that_do_not_go_together(model):
    other = make(predict_end=False).fit(DOCUMENTS)
    with unchanged(model), pytest.raises(ValueError, match="different predict_end"):
        model.merge(other)
    with pytest.raises(ValueError, match="warm_start=True refines models of windows"):
        make(warm_start=True).fit(DOCUMENTS)


@pytest.mark.parametrize("mmap", [True, False])
def test_what_was_smoothed_is_saved_once_and_not_made_again(
    tmp_path, monkeypatch, model, mmap
):
    path = tmp_path / "model"
    model.save(path)
    monkeypatch.setattr(ngram_model, "kneser_ney", None)
    same = ExplicitLanguageModel.load(path, mmap=mmap)
    assert_array_equal(same.predict_proba(HELD_OUT), model.predict_proba(HELD_OUT))
    monkeypatch.undo()
    assert_same_model(same.merge(model), make(predict_end=True).fit(DOCUMENTS * 2))
    _, arrays = read_file(path)
    counts = model._model.counts
    n_equal = [np.array_equal(counts.keys, array) for array in arrays.values()]
    assert sum(n_equal) == 1


class TestPruning:
    @pytest.mark.parametrize("min_count", [2, [1, 1, 2], (1, 1, 2, 3), [1, 3]])
    @pytest.mark.parametrize("mixture", [True, False])
    def test_what_was_counted_often_is_kept(self, min_count, mixture):
        model = make(context_size=3, predict_end=True, min_count=min_count)
        model.set_params(mixture=mixture).fit(DOCUMENTS)
        whole = make(context_size=3, predict_end=True).fit(DOCUMENTS)
        least = model._min_counts()
        kept, every = model._model.kneser_ney, whole._model.kneser_ney
        pad = SIZE - 1
        for size in range(1, 4):
            counts = Counter(
                tuple([*[pad] * size, *document, pad][n : n + size + 1])
                for document in DOCUMENTS
                for n in range(len(document) + 1)
            )
            often = {g for g, count in counts.items() if count >= least[size]}
            assert {*ngrams(kept, size)} == often
            assert {*ngrams(every, size)} == {*counts}
        assert_array_equal(model.class_count_, whole.class_count_)
        prefixes = [[], [0, 1], [5] * 9, *HELD_OUT]
        assert_allclose(model.predict_proba(prefixes).sum(axis=1), 1, rtol=1e-5)

    def test_nothing_is_counted_after_that(self, tmp_path):
        model = make(min_count=2).fit(DOCUMENTS)
        with unchanged(model), pytest.raises(ValueError, match="pruned by min_count"):
            model.forget(DOCUMENTS[:1])
        with unchanged(model), pytest.raises(ValueError, match="pruned by min_count"):
            model.merge(make().fit(DOCUMENTS))
        with unchanged(model), pytest.raises(ValueError, match="min_count=2 prunes"):
            model.partial_fit(DOCUMENTS)
        model.save(tmp_path / "model")
        same = ExplicitLanguageModel.load(tmp_path / "model")
        assert_array_equal(same.class_count_, model.class_count_)
        assert same.evaluate(HELD_OUT) == model.evaluate(HELD_OUT)

    @pytest.mark.parametrize(
        "min_count",
        [[2], [1, 3, 2], [], [1, 1, 1, 1], [1, 0.5], ["1"], [0, 1], {1: 2}, {1, 2}],
    )
    def test_numbers_that_make_no_sense(self, min_count):
        with pytest.raises(
            ValueError, match="min_count must be an integer, or at most"
        ):
            make(min_count=min_count).fit(DOCUMENTS)

    def test_only_of_ngrams(self):
        with pytest.raises(ValueError, match="min_count needs aggregation='ngram'"):
            make(aggregation="cat", min_count=2).fit(DOCUMENTS)


def ngrams(model, size):
    """n-grams with contexts of `size` tokens, as tuples of tokens."""
    context, target = np.divmod(model.keys[size - 1], model.n_ids)
    columns = [target]
    for contexts in model.contexts[size - 1 :: -1]:
        context, token = np.divmod(contexts[context], model.n_ids)
        columns.insert(0, token)
    *nearest_first, target = columns
    return list(zip(*nearest_first[::-1], target, strict=True))


class TestGenerate:
    def test_documents_end(self):
        model = make(predict_end=True).fit([[0, 1, 2]] * 50)
        assert_array_equal(model.generate([0], 9, temperature=0), [1, 2])
        lengths = [len(model.generate([], 99, random_state=s)) for s in range(20)]
        assert 1 < np.median(lengths) < 9

    def test_nucleus(self, model):
        proba = model.predict_proba([[0, 1]])[0].astype(float)
        proba[SIZE - 2] = 0.0
        order = np.argsort(-proba)
        sums = np.cumsum(proba[order]) / proba.sum()
        n_kept = 3
        top_p = float(sums[n_kept - 1] - 1e-6)
        drawn = [
            (*model.generate([0, 1], 1, top_p=top_p, random_state=s).tolist(), SIZE - 1)
            for s in range(200)
        ]
        # An end that is drawn leaves nothing but what stands for it.
        assert {tokens[0] for tokens in drawn} == set(order[:n_kept].tolist())
        greedy = model.generate([0], 9, temperature=0)
        for how in ({"top_p": 1e-9}, {"top_p": 0.9, "top_k": 1}):
            assert_array_equal(model.generate([0], 9, random_state=0, **how), greedy)
        for bad in (0, 1.5, np.nan):
            with pytest.raises(ValueError, match=r"^top_p must be"):
                model.generate([0], top_p=bad)

    def test_candidates_first_then_nucleus(self, model):
        """Of two tokens, the nucleus of half their mass is the better one."""
        drawn = model.generate([0, 1], 30, top_k=2, top_p=0.5, random_state=0)
        assert_array_equal(drawn, model.generate([0, 1], 30, temperature=0))


LINES = ["a rose is a rose", "", "a tulip is no rose", "is a rose no tulip"] * 3


def letters(text):
    return [ord(letter) % 32 for letter in text]


def split_words(text):
    return text.split()


def word_tokenizer():
    return TokenIds.of_words(LINES, None, 1, are_split=False).tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "size"),
    [
        (None, 40),
        ("whitespace", None),
        (split_words, None),
        (letters, 34),
        (letters, None),
        (word_tokenizer(), None),
    ],
)
class TestTokens:
    """Models of strings, whatever makes their tokens."""

    @pytest.fixture
    def model(self, tokenizer, size):
        return make(tokenizer=tokenizer, vocabulary_size=size).fit(LINES)

    def test_documents_come_in_any_way(self, model, tmp_path):
        plain, packed = tmp_path / "lines.txt", tmp_path / "lines.txt.gz"
        plain.write_text("\n".join(LINES))
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        for documents in (iter(LINES), plain, packed, [plain], iter([plain])):
            same = clone(model).fit(documents)
            assert_equal(same._model.counts, model._model.counts)
        assert model.n_tokens_ > 30
        for documents in (iter(LINES), packed):
            assert model.evaluate(documents) == model.evaluate(LINES)
        assert_array_equal(model.score_samples(plain), model.score_samples(LINES))

    def test_probabilities_sum_to_one_with_the_end(self, model):
        assert model._encoder.has_ends
        report = model.evaluate(LINES)
        assert report["n_bytes"] == sum(len(line) for line in LINES)
        logs = model.score_samples(LINES).sum()
        n_ends = sum(bool(line) for line in LINES)
        total = report["score_with_ends"] * (report["n_tokens"] + n_ends)
        assert_allclose(total, logs)
        proba = model.predict_proba(["", "a rose"])
        assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        assert len(model.generate("a rose", 5, random_state=0)) > 0

    def test_streams_and_forgetting_keep_the_vocabulary(self, model, tokenizer):
        streamed = clone(model).partial_fit(iter(LINES)).partial_fit(iter(LINES[:4]))
        assert_equal(
            streamed.forget(iter(LINES[:4]))._model.counts, model._model.counts
        )
        if tokenizer is not letters and model.tokenizer_ is not None:
            parts = [LINES[::2], LINES[1::2]]
            if tokenizer is split_words:
                parts = [[line.split() for line in part] for part in parts]
            shared = model.tokenizer_
            one, two = (make(tokenizer=shared).fit(part) for part in parts)
            assert_equal(one.merge(two)._model.counts, model._model.counts)
            with pytest.raises(ValueError, match="different vocabularies"):
                one.merge(make(tokenizer="whitespace", vocabulary_size=4).fit(LINES))

    def test_files_and_pickles(self, model, tokenizer, tmp_path):
        expected = model.log_proba("no rose")
        assert_array_equal(
            pickle.loads(pickle.dumps(model)).log_proba("no rose"), expected
        )
        if not callable(tokenizer):
            model.save(tmp_path / "model")
            loaded = ExplicitLanguageModel.load(tmp_path / "model")
        else:
            with pytest.warns(UserWarning, match=r"parameters \['tokenizer'\]"):
                model.save(tmp_path / "model")
            loaded = ExplicitLanguageModel.load(tmp_path / "model")
            assert_array_equal(loaded.log_proba(tokenizer("no rose")), expected)
            with pytest.raises(TypeError, match="document 0 is a string"):
                loaded.log_proba("no rose")
            loaded.set_params(tokenizer=tokenizer)
        assert_array_equal(loaded.log_proba("no rose"), expected)

    def test_bad_documents_leave_the_model_as_it_was(self, model, tmp_path):
        (tmp_path / "bad").write_bytes(b"a rose\n\xff\n")
        for documents, error in (
            (tmp_path / "none", FileNotFoundError),
            (tmp_path / "bad", ValueError),
            (["a rose", None], TypeError),
            (["", ""], ValueError),
        ):
            for method in ("fit", "partial_fit", "forget", "evaluate"):
                with unchanged(model), pytest.raises(error):
                    getattr(model, method)(documents)


def test_scores_do_not_depend_on_what_is_read_at_a_time(monkeypatch, text_model):
    whole = text_model.evaluate(TEXTS), text_model.score_samples(TEXTS)
    monkeypatch.setattr(language, "_CHUNK_TOKENS", 4)
    report = text_model.evaluate(iter(TEXTS))
    assert report == pytest.approx(whole[0], rel=1e-12)
    assert_allclose(text_model.score_samples(iter(TEXTS)), whole[1])
    for empty in ([], iter(())):
        with pytest.raises(ValueError, match="hold no token"):
            text_model.score_samples(empty)


def test_words_have_no_bytes():
    model = make(vocabulary_size=None).fit([["a", "rose"], ["a"]])
    assert model.vocabulary_size_ == 4
    assert model.score_samples([["a"], []])[1] == 0
    with pytest.raises(ValueError, match="bits_per_byte needs documents that are str"):
        model.bits_per_byte([["a"]])


@pytest.mark.parametrize("tokenizer", ["whitespace", str.split])
def test_words_may_stand_beside_strings_but_still_have_no_bytes(tokenizer):
    model = make(tokenizer=tokenizer, vocabulary_size=None).fit(["a rose", "a"])
    mixed = ["a rose", ["a", "rose"]]
    one, other = model.score_samples(mixed)
    assert one == other
    assert "n_bytes" in model.evaluate(mixed[:1])
    assert "n_bytes" not in model.evaluate(mixed)
    with pytest.raises(ValueError, match="bits_per_byte needs documents that are str"):
        model.bits_per_byte(mixed)


@pytest.mark.slow
def test_tokenizers_of_transformers():
    # In no extra, being large: what stands in for it is tested everywhere.
    transformers = pytest.importorskip("transformers")
    own = make(vocabulary_size=40).fit(LINES)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=own.tokenizer_)
    # All but its vocabulary, which is that of the documents, is the same.
    model = make(tokenizer=fast.tokenize, vocabulary_size=None).fit(LINES)
    assert_array_equal(
        np.sort(model.class_count_[:-1]),
        np.sort(own.class_count_[own.class_count_ > 0]),
    )
    assert model.log_proba("no rose").size == own.log_proba("no rose").size
    assert_equal(make(tokenizer=fast).fit(LINES)._model.counts, own._model.counts)
