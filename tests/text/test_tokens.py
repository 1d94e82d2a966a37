"""ExplicitLanguageModel: text, its byte-pair encoding, and what it generates."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from tokenizers import models, pre_tokenizers

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.text.tokens import TokenIds
from tests.strategies import properties
from tests.test_language_model import (
    DOCUMENTS,
    assert_same_counts,
    assert_same_state,
    make,
)

E_ACUTE = "\N{LATIN SMALL LETTER E WITH ACUTE}"
I_DIAERESIS = "\N{LATIN SMALL LETTER I WITH DIAERESIS}"
TEXTS = [
    "the cat sat on the mat",
    "the dog sat on the log",
    "a cat and a dog",
    "",
    f"na{I_DIAERESIS}ve caf{E_ACUTE}",
] * 4


def of_text(**parameters):
    return make(**{"vocabulary_size": 60, **parameters})


def words(*known, unknown="[?]"):
    """Tokenizer of given words."""
    vocabulary = {unknown: 1, **{word: 2 * (n > 0) + n for n, word in enumerate(known)}}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="module")
def id_model():
    return make().fit(DOCUMENTS)


@pytest.fixture(scope="module")
def text_model():
    return of_text().fit(TEXTS)


def test_encoding_is_learned_and_undone(text_model):
    ids = text_model._ids
    assert text_model.vocabulary_size_ <= 60
    assert text_model.n_oov_ == 0
    for text, codes in zip(TEXTS, ids.encode(TEXTS), strict=True):
        assert ids.decode(codes) == text
    assert text_model.n_tokens_ == sum(map(len, ids.encode(TEXTS)))
    # Far more merges than the letters, and yet not all that are possible.
    assert len(ids.encode(["the cat"])[0]) < 4


@pytest.mark.parametrize("size", [3, 8, 19, 20, 40])
def test_small_vocabularies_keep_their_size(size):
    model = of_text(vocabulary_size=size).fit(TEXTS)
    assert model.vocabulary_size_ <= size
    assert np.isfinite(model.perplexity(TEXTS))
    assert (model.n_oov_ > 0) == (size < 20)
    assert isinstance(model.generate("the", 4, random_state=0), str)


def test_likelihood_by_token_and_by_byte(text_model):
    report = text_model.evaluate(TEXTS)
    assert report["n_bytes"] == sum(len(text.encode()) for text in TEXTS)
    assert report["n_bytes"] > sum(map(len, TEXTS))
    nats = -report["score"] * report["n_tokens"]
    assert report["bits_per_byte"] == pytest.approx(
        nats / np.log(2) / report["n_bytes"]
    )
    assert text_model.bits_per_byte(TEXTS) == report["bits_per_byte"]
    whole = sum(text_model.log_proba(text).sum() for text in TEXTS)
    assert whole == pytest.approx(-nats, rel=1e-9)
    pair = [text_model.log_proba(text).sum() for text in ("the cat sat", "the cat mat")]
    assert pair[0] > pair[1]


def test_letters_that_fit_never_saw_are_reported(text_model):
    unseen = "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 3
    report = text_model.evaluate([unseen, ""])
    assert report["n_oov"] == report["n_tokens"] > 0
    assert report["n_new"] == 0
    assert report["n_bytes"] == 9
    assert 1 < report["perplexity"] < np.inf
    assert text_model.generate(unseen, 3, temperature=0) == text_model.generate(
        unseen, 3, top_k=1
    )


@properties
@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_any_text_is_scored(text_model, texts):
    if not any(texts):
        with pytest.raises(ValueError, match="hold no token"):
            text_model.score(texts)
        return
    report = text_model.evaluate(texts)
    assert np.isfinite(report["perplexity"])
    assert report["n_oov"] + report["n_new"] <= report["n_tokens"]


def test_split_characters_are_replaced_not_raised():
    both = [E_ACUTE + I_DIAERESIS]
    model = of_text(vocabulary_size=5).fit(both * 9)  # three bytes, no merge
    first = model.generate("", 1, temperature=0)
    assert first == "\N{REPLACEMENT CHARACTER}"
    assert model.generate("", 4, temperature=0) == both[0]


def test_generated_text(text_model):
    drawn = text_model.generate("the", 12, random_state=0)
    assert drawn == text_model.generate("the", 12, random_state=0)
    assert not drawn.startswith("the")
    assert len(text_model._ids.encode(["the" + drawn])[0]) >= 12
    assert text_model.generate(n_tokens=0) == ""
    greedy = text_model.generate("the", 5, temperature=0)
    assert greedy == text_model.generate("the", 5, top_k=1, random_state=0)
    proba = text_model.predict_proba(["the", ""])
    best = proba[0, :-1].argmax()
    assert greedy.startswith(text_model._ids.decode(np.array([best])))
    with pytest.raises(TypeError, match="not a string but list"):
        text_model.generate([1, 2])


def test_oov_is_never_drawn_and_pads_have_no_text():
    model = of_text(tokenizer=words("a"), context_size=1).fit(["? ? ? ? a"] * 9)
    assert model.n_oov_ == 36
    assert model.predict_proba(["?"])[0].argmax() == model.vocabulary_size_ - 2
    assert model.generate("?", 5, random_state=0) == "a a a a a"
    assert model._ids.decode(np.array([0, 1, 2])) == "a"


def test_ids_of_unknown_tokens_and_gaps_are_moved():
    tokenizer = words("a", "b", "c")  # a: 0, unknown: 1, b: 3, c: 4; 2 is no token
    model = of_text(tokenizer=tokenizer).fit(["a b c b a", "c ? a", "b c"])
    ids = model._ids
    assert (ids.size, ids.oov, ids.pad) == (6, 4, 5)
    assert_array_equal(ids.encode(["a b c ?"])[0], [0, 2, 3, 4])
    assert ids.decode(np.array([0, 2, 3, 4, 5])) == "a b c"
    assert_array_equal(model.class_count_, [3, 0, 3, 3, 1])
    assert model.n_oov_ == 1


def test_tokenizer_without_unknown_token():
    tokenizer = tokenizers.Tokenizer(
        models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    )
    model = of_text(tokenizer=tokenizer).fit(["abba", "ab"])
    assert model.vocabulary_size_ == 5
    assert_array_equal(model.class_count_, [1, 1, 2, 0])
    assert model.evaluate(["abx"])["n_oov"] == 0  # left out by the tokenizer
    assert model.tokenizer_ is tokenizer


@pytest.mark.parametrize("unknown", ["fits", None])
def test_unigram_tokenizers(unknown):
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.5)]
    tokenizer = tokenizers.Tokenizer(
        models.Unigram(pieces, 0 if unknown else None, byte_fallback=False)
    )
    model = of_text(tokenizer=tokenizer).fit(["abab", "ba"])
    assert model.n_tokens_ == 6
    if unknown:
        assert model.evaluate(["ax"])["n_oov"] == 1
        assert "<unk>" not in model.generate("a", 20, random_state=0)


def test_tokenizers_that_change_documents_are_refused(text_model):
    for switch in ("padding", "truncation"):
        tokenizer = words("a", "b")
        if switch == "padding":
            tokenizer.enable_padding(pad_id=0, pad_token="a")
        else:
            tokenizer.enable_truncation(2)
        with pytest.raises(ValueError, match=rf"{switch} switched on.*no_{switch}\(\)"):
            of_text(tokenizer=tokenizer).fit(["a b"])
    with pytest.raises(TypeError, match="tokenizer must be a tokenizers"):
        of_text(tokenizer="gpt2").fit(TEXTS)


def test_streams_and_shards_share_a_tokenizer(text_model):
    tokenizer = text_model.tokenizer_
    whole = of_text(tokenizer=tokenizer).fit(TEXTS)
    assert_same_counts(whole, text_model)
    chained = of_text(tokenizer=tokenizer).partial_fit(TEXTS[:9]).partial_fit(TEXTS[9:])
    shards = [of_text(tokenizer=tokenizer).fit(part) for part in (TEXTS[:9], TEXTS[9:])]
    # A copy of the tokenizer is as good.
    shards[1] = pickle.loads(pickle.dumps(shards[1]))
    assert shards[1].tokenizer_ is not tokenizer
    assert_same_counts(shards[0].merge(shards[1]), whole)
    assert_same_counts(chained, whole)
    assert_same_counts(clone(whole).fit(TEXTS), whole)
    learned = of_text().partial_fit(TEXTS)
    before = vars(learned).copy()
    for other in (of_text().fit(["quite another text"]), make().fit(DOCUMENTS)):
        with pytest.raises(ValueError, match=r"different vocabularies.*same tokenizer"):
            learned.merge(other)
        assert_same_state(learned, before)


@pytest.mark.parametrize(
    "container",
    [
        iter,
        tuple,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        pd.Series,
        lambda texts: pd.Series(texts, dtype=object),
    ],
)
def test_texts_in_any_container(text_model, container):
    assert_same_counts(of_text().fit(container(TEXTS)), text_model)
    assert text_model.score(container(TEXTS)) == text_model.score(TEXTS)


BAD = {
    "ids": ([[0, 1]], TypeError, "document 0 is not a string but list"),
    "mixed": (["a", [1]], TypeError, "document 1 is not a string but list"),
    "missing": (["a", None], TypeError, "document 1 is not a string but NoneType"),
    "bytes": (["a", b"a"], TypeError, "document 1 is not a string but bytes"),
    "one string": ("a text", TypeError, "not a single string"),
    "empty": (["", ""], ValueError, "hold no token"),
    "surrogate": (["a", "\ud800"], ValueError, "document 1 is no Unicode text"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("method", ["partial_fit", "evaluate"])
def test_bad_texts_are_one_clear_error(method, case):
    texts, kind, message = BAD[case]
    model = of_text().fit(TEXTS)
    before = vars(model).copy()
    with pytest.raises(kind, match=message):
        getattr(model, method)(texts)
    assert_same_state(model, before)


def test_size_of_a_vocabulary_of_strings_is_needed():
    with pytest.raises(ValueError, match=r"vocabulary_size=None is for .* ids"):
        of_text(vocabulary_size=None).fit(TEXTS)


def test_strings_need_the_library_and_ids_do_not(monkeypatch, tmp_path, text_model):
    text_model.save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    message = r"need the tokenizers library: pip install 'explicit_softmax\[lm\]'"
    with pytest.raises(ImportError, match=message):
        of_text().fit(TEXTS)
    with pytest.raises(ImportError, match=message):
        ExplicitLanguageModel.load(tmp_path / "model")
    assert make().fit(DOCUMENTS).tokenizer_ is None


def test_many_texts_are_encoded_in_batches(monkeypatch, text_model):
    expected = text_model._ids.encode(TEXTS)
    for name, value in (("_BATCH_DOCUMENTS", 3), ("_BATCH_CHARACTERS", 30)):
        monkeypatch.setattr(sys.modules[TokenIds.__module__], name, value)
        batched = text_model._ids.encode(TEXTS)
        assert len(batched) == len(expected)
        for first, second in zip(batched, expected, strict=True):
            assert_array_equal(first, second)


class TestGenerate:
    def test_seed_and_length(self, id_model):
        first, again, other = (
            id_model.generate([0], 40, random_state=seed) for seed in (0, 0, 1)
        )
        assert_array_equal(first, again)
        assert (first != other).any()
        assert first.dtype == np.int32
        assert len(first) == 40
        assert id_model.generate([0], 0).shape == (0,)

    def test_temperature_zero_is_greedy_and_so_is_one_candidate(self, id_model):
        greedy = id_model.generate([0, 3], 12, temperature=0)
        history = [0, 3]
        for token in greedy:
            assert token == id_model.predict_proba([history])[0, :-1].argmax()
            history.append(int(token))
        for how in ({"top_k": 1}, {"temperature": 1e-320}, {"top_k": np.int64(1)}):
            drawn = id_model.generate([0, 3], 12, random_state=0, **how)
            assert_array_equal(drawn, greedy)

    def test_candidates_are_no_more_than_asked_for_where_many_are_equal(self):
        even = make(inverse_temperature=0.0).fit([[0, 1, 2, 3, 4, 5]])
        drawn = even.generate([], 200, top_k=2, random_state=0)
        assert set(drawn.tolist()) == {0, 1}
        assert set(even.generate([], 5, top_k=1, random_state=0).tolist()) == {0}

    def test_only_the_last_tokens_of_the_prompt_count(self, id_model):
        long = id_model.generate([*DOCUMENTS[0], 1, 2], 9, random_state=0)
        assert_array_equal(long, id_model.generate([1, 2], 9, random_state=0))
        for empty in ("", [], np.zeros(0, dtype=int)):
            assert_array_equal(
                id_model.generate(empty, 9, random_state=0),
                id_model.generate(n_tokens=9, random_state=0),
            )

    def test_never_out_of_vocabulary_and_as_often_as_probable(self):
        model = make(context_size=1).fit([[6] * 9 + [0], [6, 1, 1]])
        drawn = [model.generate([], 1, random_state=seed)[0] for seed in range(400)]
        assert max(drawn) < 6
        expected = model.predict_proba([[]])[0, :6]
        observed = np.bincount(drawn, minlength=6) / 400
        assert_allclose(observed, expected / expected.sum(), atol=0.08)

    @pytest.mark.parametrize(
        "how",
        [{"n_tokens": -1}, {"n_tokens": 2.5}, {"temperature": -1}, {"top_k": 0}]
        + [{"temperature": value} for value in (np.nan, np.inf, "1")],
    )
    def test_bad_numbers_are_named(self, id_model, how):
        (name,) = how
        with pytest.raises(ValueError, match=f"^{name} must be"):
            id_model.generate([0], **how)

    def test_prompts_are_checked(self, id_model):
        with pytest.raises(ValueError, match="token id 9"):
            id_model.generate([9])
        with pytest.raises(TypeError, match="is a string"):
            id_model.generate("a")
        with pytest.raises(ValueError, match="bits_per_byte needs a model of strings"):
            id_model.bits_per_byte(DOCUMENTS)
