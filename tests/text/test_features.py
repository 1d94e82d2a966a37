"""Texts into counts, and files of labelled texts."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer

from explicit_softmax.text.features import (
    checked_texts,
    fit_features,
    make_vectorizers,
    read_labeled_text,
)
from tests.strategies import properties

TEXTS = ["a cat sat", "the cat sat sat", "a dog", ""]


def test_blocks_are_those_of_one_vectorizer_each():
    found, rows = fit_features(TEXTS, make_vectorizers("words+bigrams", 1, None), True)
    pattern = r"\b\w+\b"
    words = CountVectorizer(token_pattern=pattern).fit(TEXTS)
    pairs = CountVectorizer(token_pattern=r"\S+", ngram_range=(2, 2))
    # The beginning and the end of a text of words are neighbours as words are.
    whole = [f"^ {text} $" if text else "" for text in TEXTS]
    expected = [words.transform(TEXTS).toarray(), pairs.fit_transform(whole).toarray()]
    expected = np.hstack(expected)
    np.testing.assert_allclose(rows.toarray(), np.log(1 + expected))
    assert found.sizes == (len(words.vocabulary_), len(pairs.vocabulary_))
    np.testing.assert_array_equal(found.transform(TEXTS).toarray(), rows.toarray())


WORDS = [
    "naïve",
    "İstanbul",
    "ΟΔΟΣ",
    "a",
    "\x1c",
    "\u2003",
    "  ",
    "no-one",
    "--",
    "\n",
    "Cat",
]


@pytest.mark.parametrize("kind", ["words", "bigrams", "chars"])
@pytest.mark.parametrize(
    "given_number", [{"max_df": 1}, {"min_df": 1.0}, {"vocabulary": np.array(["a"])}]
)
def test_given_vectorizers_are_not_taken_for_ours(kind, given_number):
    texts = ["a b a", "a b c", "a b d"]
    ((_, ours),) = make_vectorizers(kind, 1, None)
    vectorizer = ours.set_params(**given_number)
    expected = clone(vectorizer)
    try:
        expected = expected.fit_transform(texts).toarray()
    except ValueError:  # no feature is left
        with pytest.raises(ValueError, match="no features"):
            fit_features(texts, [("given", vectorizer)], False)
        return
    _, rows = fit_features(texts, [("given", vectorizer)], False)
    np.testing.assert_array_equal(rows.toarray(), expected)


@properties
@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1))
@pytest.mark.parametrize("n_hashed", [None, 16])
def test_characters_are_those_of_the_vectorizer(n_hashed, texts):
    texts = [*texts, "Cat"]
    found, rows = fit_features(texts, make_vectorizers("chars", 1, n_hashed), False)
    ((_, expected),) = make_vectorizers("chars", 1, n_hashed)
    np.testing.assert_array_equal(
        rows.toarray(), expected.fit_transform(texts).toarray()
    )
    assert rows.has_canonical_format
    assert rows.indices.dtype == rows.indptr.dtype == np.int32
    for others in (["", "new Cat"], [" "]):
        np.testing.assert_array_equal(
            found.transform(others).toarray(), expected.transform(others).toarray()
        )
    if n_hashed is None:
        assert found.union.transformer_list[0][1].vocabulary_ == expected.vocabulary_


@properties
@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)),
    st.sampled_from([1, 2, 5, 0.4]),
)
@pytest.mark.parametrize("kind", ["words", "bigrams", "bigrams+words"])
def test_words_are_those_of_the_vectorizer(kind, texts, min_df):
    vectorizers = make_vectorizers(kind, min_df, None)
    expected, blocks = [], []
    for _, vectorizer in make_vectorizers(kind, min_df, None):
        with suppress(ValueError):  # no feature is left
            blocks.append(vectorizer.fit_transform(texts).toarray())
            expected.append(vectorizer.vocabulary_)
    if not blocks:
        with pytest.raises(ValueError, match="have no features"):
            fit_features(texts, vectorizers, False)
        return
    found, rows = fit_features(texts, vectorizers, False)
    fitted = [vectorizer for _, vectorizer in found.union.transformer_list]
    assert [vectorizer.vocabulary_ for vectorizer in fitted] == expected
    np.testing.assert_array_equal(rows.toarray(), np.hstack(blocks))
    assert rows.has_canonical_format
    assert rows.indices.dtype == rows.indptr.dtype == np.int32
    others = ["new Cat", *texts]
    again = [vectorizer.transform(others).toarray() for vectorizer in fitted]
    np.testing.assert_array_equal(found.transform(others).toarray(), np.hstack(again))


def test_vectorizers_of_other_parameters_count_as_they_do():
    ((_, ours),) = make_vectorizers("words", 1, None)
    for params in ({"binary": True}, {"lowercase": False}, {"stop_words": ["x"]}):
        vectorizer = clone(ours).set_params(**params)
        expected = clone(vectorizer).fit_transform(["X X x y"]).toarray()
        _, rows = fit_features(["X X x y"], [("words", vectorizer)], False)
        np.testing.assert_array_equal(rows.toarray(), expected)
    with pytest.raises(ValueError, match="'min_df' parameter"):
        fit_features(TEXTS, [("words", clone(ours).set_params(min_df=-1))], False)


def test_kinds_without_any_feature_are_left_out():
    texts = ["x y", "y x"]
    found, rows = fit_features(texts, make_vectorizers("bigrams+words", 2, None), 0)
    assert [name for name, _ in found.union.transformer_list] == ["words"]
    np.testing.assert_array_equal(rows.toarray(), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"have no features \(bigrams\)"):
        fit_features(texts, make_vectorizers("bigrams", 2, None), True)
    with pytest.raises(ValueError, match=r"have no features \(bigrams\)"):
        fit_features(["", "?!"], make_vectorizers("bigrams", 1, None), True)
    with pytest.raises(ValueError, match=r"have no features \(words, chars\)"):
        fit_features(texts, make_vectorizers("words+chars", 3, None), True)
    contrary = CountVectorizer(min_df=2, max_df=1)
    with pytest.raises(ValueError, match="max_df corresponds to"):
        fit_features(TEXTS, [("contrary", contrary)], True)


@pytest.mark.parametrize("n_hashed", [None, 64, 2])
def test_names_of_the_features_of_a_text(n_hashed):
    vectorizers = make_vectorizers("words+bigrams+chars", 1, n_hashed)
    found, rows = fit_features(TEXTS, vectorizers, True)
    named = found.names_of(TEXTS[1], rows[[1]].indices)
    terms = {
        (kind, term)
        for kind, vectorizer in vectorizers
        for term in vectorizer.build_analyzer()(TEXTS[1])
    }
    assert {(kind, t) for kind, joined in named for t in joined.split("|")} == terms
    assert len(named) == len(set(named))


def test_hashed_features_stay_in_their_block():
    _, rows = fit_features(TEXTS, make_vectorizers("words+bigrams", 1, 16), False)
    n_words = [3, 4, 2, 0]
    assert rows.shape == (4, 32)
    np.testing.assert_array_equal(rows[:, :16].sum(axis=1), n_words)
    np.testing.assert_array_equal(rows[:, 16:].sum(axis=1), [4, 5, 3, 0])


@pytest.mark.parametrize("features", ["", "word", "words+words", "words,chars"])
def test_unknown_kinds(features):
    with pytest.raises(ValueError, match="features must be 'auto' or some of words"):
        make_vectorizers(features, 1, None)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "X is one string: pass a list"),
        (["a", None], "row 1 is None of type NoneType .missing"),
        (["a", "b", float("nan")], "row 2 is nan of type float .missing"),
        (np.array(["a", 3], dtype=object), "row 1 is 3 of type int$"),
        (np.array([["a"], ["b"]]), "one-dimensional.*of shape .2, 1."),
        ([b"bytes"], "row 0 is b'bytes' of type bytes"),
    ],
)
def test_what_is_no_list_of_texts(texts, message):
    with pytest.raises(ValueError, match=message):
        checked_texts(texts)


def test_texts_of_a_number():
    with pytest.raises(TypeError, match="must be a list of strings, not int"):
        checked_texts(3)


def test_files_of_fasttext(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("__label__a  one two\n\nthree __label__b\n__label__a\n", "utf-8")
    texts, labels = read_labeled_text(path)
    assert texts == ["one two", "three", ""]
    assert labels.tolist() == ["a", "b", "a"]
    path.write_text("#x one\n", "utf-8")
    assert read_labeled_text(path, prefix="#")[1].tolist() == ["x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__label__a one\ntwo\n", "line 2: there must be one label .* not 0: 'two'"),
        ("__label__a __label__b one\n", "line 1: .* not 2"),
        ("__label__ one\n", "line 1: there must be one label"),
        ("\n", "has no labelled line"),
        ("__label__a one\n__label__a \udcff\n", "train.txt cannot be decoded"),
    ],
)
def test_bad_files_of_fasttext(tmp_path, text, message):
    path = tmp_path / "train.txt"
    path.write_text(text, "utf-8", errors="surrogateescape")
    with pytest.raises(ValueError, match=message):
        read_labeled_text(path)
    for prefix in ("", None):
        with pytest.raises(ValueError, match="prefix must be a string that is not"):
            read_labeled_text(path, prefix=prefix)
