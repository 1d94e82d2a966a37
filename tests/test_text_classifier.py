"""What a user of ExplicitTextClassifier relies on."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitTextClassifier,
    _text_classifier,
)

WORDS = {
    "sea": ["ship", "wave", "salt", "harbour", "tide"],
    "wood": ["tree", "leaf", "moss", "root", "bark"],
    "city": ["street", "tram", "tower", "crowd", "light"],
}
COMMON = ["the", "a", "of", "and", "in"]


def make_texts(n, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(WORDS), n)
    texts = []
    for label in labels:
        words = [*rng.choice(WORDS[label], 3), *rng.choice(COMMON, 4)]
        # A word of another class now and then.
        words += list(rng.choice(WORDS[rng.choice(list(WORDS))], 2))
        texts.append(" ".join(rng.permutation(words)))
    return texts, labels


TEXTS, LABELS = make_texts(150)
TEST, TEST_LABELS = make_texts(100, seed=1)


@pytest.fixture(scope="module")
def fitted():
    return ExplicitTextClassifier().fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def hashed():
    return ExplicitTextClassifier(hashing=256).fit(TEXTS, LABELS)


def test_needs_no_arguments(fitted):
    assert fitted.score(TEST, TEST_LABELS) > 0.85
    proba = fitted.predict_proba(TEST)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(np.log(proba), fitted.predict_log_proba(TEST))
    np.testing.assert_array_equal(
        fitted.predict(TEST), fitted.classes_[fitted.decision_function(TEST).argmax(1)]
    )
    assert fitted.classes_.tolist() == sorted(WORDS)
    assert fitted.features_.split("+")[0] == "words"


def test_is_the_classifier_on_the_features_of_the_vectorizers():
    clf = ExplicitTextClassifier(features="words+chars", min_df=2).fit(TEXTS, LABELS)
    union = FeatureUnion(
        [
            ("words", CountVectorizer(token_pattern=r"\b\w+\b", min_df=2)),
            (
                "chars",
                CountVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2),
            ),
        ]
    )
    rows = union.fit_transform(TEXTS).astype(float).log1p()
    sizes = [len(vectorizer.vocabulary_) for _, vectorizer in union.transformer_list]
    peer = clone(clf.classifier_).set_params(n_blocks=sizes).fit(rows, LABELS)
    np.testing.assert_allclose(
        clf.predict_proba(TEST),
        peer.predict_proba(union.transform(TEST).astype(float).log1p()),
    )
    assert clf.classifier_.n_blocks == sizes
    names = clf.get_feature_names_out()
    assert names.tolist() == union.get_feature_names_out().tolist()


def test_leave_one_out_chooses_the_features():
    # What a pair of words is in matters here, and the words alone say nothing.
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    pairs = np.array([["ab cd", "ef gh"], ["cd ab", "gh ef"]])
    texts = [pairs[label, rng.integers(2)] for label in labels]
    assert ExplicitTextClassifier().fit(texts, labels).features_ == "words+bigrams"
    # And nothing matters here.
    texts, labels = list(pairs.ravel()) * 50, np.repeat([0, 1], 100)
    with pytest.warns(UserWarning, match="no evidence in the features of 200 rows"):
        assert ExplicitTextClassifier().fit(texts, labels).features_ == "words"
    # Whatever the order of the texts.
    texts, labels = make_texts(100)
    assert (
        ExplicitTextClassifier().fit(texts[::-1], labels[::-1]).features_
        == ExplicitTextClassifier().fit(texts, labels).features_
    )


# Of words that stand in one text each.
@pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")
def test_larger_sets_of_features_must_be_worth_their_price(monkeypatch):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=100)
    ends = np.array(["ing", "ism"])[labels]
    texts = [f"x{stem}{end}" for stem, end in zip(range(100), ends, strict=True)]
    clf = ExplicitTextClassifier().fit(texts, labels)
    assert clf.features_ == "words+bigrams+chars"
    monkeypatch.setattr(_text_classifier, "_LEAST_GAIN", 0.1)
    assert ExplicitTextClassifier().fit(texts, labels).features_ == "words"


def test_least_frequency_is_a_share_of_the_sample(monkeypatch):
    monkeypatch.setattr(_text_classifier, "_MOST_TEXTS", 30)
    texts = [f"{text} once again" for text in TEXTS]
    clf = ExplicitTextClassifier(min_df=40).fit(texts, LABELS)
    assert "words__once" in clf.get_feature_names_out()
    with pytest.raises(ValueError, match="the texts have no features"):
        ExplicitTextClassifier(min_df=151).fit(texts, LABELS)


@pytest.mark.parametrize(
    "kind", [tuple, np.array, pd.Series, iter, lambda x: (text for text in x)]
)
def test_kinds_of_texts(fitted, kind):
    clf = clone(fitted).set_params(features=fitted.features_)
    clf.fit(kind(TEXTS), kind(list(LABELS)))
    np.testing.assert_array_equal(
        clf.predict_proba(kind(TEST)), fitted.predict_proba(TEST)
    )


def test_weights_are_copies():
    weights = np.arange(150) % 3
    weighted = ExplicitTextClassifier(features="words").fit(TEXTS, LABELS, weights)
    copies = ExplicitTextClassifier(features="words").fit(
        np.repeat(TEXTS, weights), np.repeat(LABELS, weights)
    )
    np.testing.assert_allclose(
        weighted.predict_proba(TEST), copies.predict_proba(TEST), rtol=1e-8
    )


def test_texts_without_known_features_have_the_class_frequencies(fitted):
    expected = np.bincount(fitted.classes_.searchsorted(LABELS)) / len(LABELS)
    np.testing.assert_allclose(fitted.predict_proba(["", "?!"]), [expected, expected])


def test_stream_shards_and_forgetting_equal_one_fit():
    clf = ExplicitTextClassifier(features="words+bigrams", hashing=256)
    whole = clone(clf).fit(TEXTS, LABELS)
    expected = whole.predict_proba(TEST)
    parts = [slice(0, 50), slice(50, 100), slice(100, 150)]
    stream, shards = clone(clf), [clone(clf) for _ in parts]
    for part, shard in zip(parts, shards, strict=True):
        stream.partial_fit(TEXTS[part], LABELS[part], classes=sorted(WORDS))
        shard.partial_fit(TEXTS[part], LABELS[part], classes=sorted(WORDS))
    merged = shards[0].merge(*shards[1:])
    more = clone(clf).fit(TEXTS + TEST, np.append(LABELS, TEST_LABELS))
    for model in (stream, merged, more.forget(TEST, TEST_LABELS)):
        np.testing.assert_allclose(model.predict_proba(TEST), expected, rtol=1e-7)


def test_streams_need_hashing(fitted, hashed):
    for method in ("partial_fit", "merge", "forget"):
        assert hasattr(hashed, method)
        assert not hasattr(fitted, method)
    with pytest.raises(AttributeError, match="has no attribute 'partial_fit'") as error:
        fitted.partial_fit(TEXTS, LABELS)
    assert "hashing=True" in str(error.value.__cause__)
    clf = ExplicitTextClassifier(hashing=64, classifier=ExplicitSoftmaxClassifierCV())
    with pytest.raises(ValueError, match="cannot read streams"):
        clf.partial_fit(TEXTS, LABELS, classes=sorted(WORDS))


def test_stream_of_all_kinds_by_default():
    clf = ExplicitTextClassifier(hashing=64)
    clf.partial_fit(TEXTS[:2], LABELS[:2], classes=sorted(WORDS))
    assert clf.features_ == "words+bigrams+chars"


def test_models_of_other_features_are_not_merged():
    clf = ExplicitTextClassifier(features="words", hashing=64)
    first = clone(clf).partial_fit(TEXTS, LABELS, classes=sorted(WORDS))
    before = first.predict_proba(TEST)
    for params in ({"features": "chars"}, {"hashing": 32}, {"log_counts": False}):
        other = clone(clf).set_params(**params)
        other.partial_fit(TEXTS, LABELS, classes=sorted(WORDS))
        with pytest.raises(ValueError, match="different features cannot be merged"):
            first.merge(other)
    np.testing.assert_array_equal(first.predict_proba(TEST), before)


@pytest.mark.parametrize("name", ["fitted", "hashed"])
def test_explain_adds_up_to_the_log_odds(request, name):
    clf = request.getfixturevalue(name)
    text = TEST[0] + " the the unknown"
    table = pd.DataFrame(clf.explain(text, top=10_000, classes=["sea", "wood"]))
    by_class = table.groupby("class")
    sums = by_class["evidence"].sum()
    intercept = dict(zip(clf.classes_, clf.classifier_.intercept_, strict=True))
    log_odds = sums["sea"] + intercept["sea"] - sums["wood"] - intercept["wood"]
    log_proba = dict(zip(clf.classes_, clf.predict_log_proba([text])[0], strict=True))
    assert log_odds == pytest.approx(log_proba["sea"] - log_proba["wood"])
    assert np.log(by_class["probability"].first()["sea"]) == pytest.approx(
        log_proba["sea"]
    )
    assert "the" in table["feature"].str.split("|").explode().tolist()
    assert not table["feature"].str.contains("unknown").any() or name == "hashed"


def test_explain_names_what_speaks_for_the_class(fitted):
    table = fitted.explain("ship and harbour", top=2)
    assert table["class"][:2] == ["sea", "sea"]
    assert len(table["class"]) == 4
    assert table["evidence"][0] >= table["evidence"][1] > 0
    assert fitted.explain("", top=2)["class"] == []
    one = fitted.explain("ship", classes="sea")
    assert one == fitted.explain("ship", classes=["sea"])
    for top, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match=r"^top "):
            fitted.explain("ship", top=top)
    with pytest.raises(ValueError, match="labels that are unknown"):
        fitted.explain("ship", classes=["moon"])
    with pytest.raises(TypeError, match="explain takes one string, not list"):
        fitted.explain(["ship"])


def test_vectorizers_of_the_user():
    stop = CountVectorizer(stop_words=COMMON)
    clf = ExplicitTextClassifier(
        features=[("stop", stop), ("tf", TfidfVectorizer())], log_counts=False
    ).fit(TEXTS, LABELS)
    assert clf.features_ == "stop+tf"
    assert clf.set_params(log_counts=True).fit(TEXTS, LABELS).score(TEST, TEST_LABELS)
    assert "stop__the" not in clf.get_feature_names_out()
    assert not hasattr(stop, "vocabulary_")
    assert clf.score(TEST, TEST_LABELS) > 0.85


def test_clone_pickle_and_grid_search(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(TEST), fitted.predict_proba(TEST))
    search = GridSearchCV(
        ExplicitTextClassifier(classifier=ExplicitSoftmaxClassifier()),
        {"features": ["words", "chars"], "classifier__norm_exponent": [0.0, 0.5]},
        cv=2,
        scoring="neg_log_loss",
        error_score="raise",
    ).fit(TEXTS, LABELS)
    assert len(search.cv_results_["params"]) == 4
    assert search.predict(TEST).shape == (100,)


def test_tags():
    tags = get_tags(ExplicitTextClassifier())
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.estimator_type == "classifier"


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ("one text", ["a"], "X is one string"),
        (["a", None], [0, 1], "row 1 is None"),
        (["a", "b"], [0], "inconsistent numbers of samples"),
        (["a", "b"], None, "needs y"),
        (["a", "b"], [0.5, 1.5], "Unknown label type"),
        (["", "  "], [0, 1], "the texts have no features"),
        ([], [], "X holds no text"),
    ],
)
def test_bad_input_leaves_a_model_as_it_was(fitted, X, y, message):
    before = fitted.predict_proba(TEST)
    with pytest.raises(ValueError, match=message):
        fitted.fit(X, y)
    np.testing.assert_array_equal(fitted.predict_proba(TEST), before)


def test_failed_batch_leaves_a_stream_as_it_was(hashed):
    before = hashed.predict_proba(TEST)
    with pytest.raises(ValueError, match="labels that are not in classes"):
        hashed.partial_fit(["ship"], ["moon"])
    np.testing.assert_array_equal(hashed.predict_proba(TEST), before)


@pytest.mark.parametrize(
    "params",
    [
        {"features": 3},
        {"min_df": 0},
        {"hashing": 1},
        {"log_counts": "yes"},
        {"classifier": FunctionTransformer()},
    ],
)
def test_bad_parameters(params):
    (name,) = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter"):
        ExplicitTextClassifier(**params).fit(TEXTS, LABELS)


@pytest.mark.parametrize("name", ["fitted", "hashed"])
def test_texts_of_nothing(request, name):
    clf = request.getfixturevalue(name)
    for text in ("", " "):
        assert clf.explain(text)["feature"] == []
        assert clf.predict([text]).shape == (1,)
    for call in (clf.predict, lambda X: clone(clf).fit(X, [])):
        with pytest.raises(ValueError, match="X holds no text: if it is an iterator"):
            call(iter([]))


@pytest.mark.parametrize(
    "features",
    [
        [],
        ["words"],
        [("w",)],
        [("w", 3)],
        [CountVectorizer()],
        [("w", CountVectorizer()), ("w", CountVectorizer())],
    ],
)
def test_features_that_are_no_vectorizers(features):
    with pytest.raises(ValueError, match="features must be a string, or a list of p"):
        ExplicitTextClassifier(features=features).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    "changed", [{"features": "words"}, {"hashing": 64}, {"log_counts": False}]
)
def test_features_cannot_change_within_a_stream(changed):
    clf = ExplicitTextClassifier(features="words+bigrams", hashing=32)
    clf.fit(TEXTS, LABELS).partial_fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEST)
    with pytest.raises(ValueError, match="features, hashing, or log_counts are not"):
        clf.set_params(**changed).partial_fit(TEXTS, LABELS)
    np.testing.assert_array_equal(clf.predict_proba(TEST), expected)


class _Splitter:
    def split(self, text):
        return text.split()


def test_given_vectorizers_are_counted_on():
    # Clones of these are not equal.
    split = HashingVectorizer(
        n_features=64,
        alternate_sign=False,
        tokenizer=_Splitter().split,
        token_pattern=None,
    )
    words = CountVectorizer(vocabulary=np.array(WORDS["sea"]))
    given = [("split", split), ("words", words)]
    clf = ExplicitTextClassifier(features=given, hashing=True)
    clf.partial_fit(TEXTS[:75], LABELS[:75], classes=list(WORDS))
    clf = pickle.loads(pickle.dumps(clf)).partial_fit(TEXTS[75:], LABELS[75:])
    whole = clone(clf).fit(TEXTS, LABELS)
    np.testing.assert_allclose(clf.predict_proba(TEST), whole.predict_proba(TEST))
    with pytest.raises(ValueError, match="features, hashing, or log_counts are not"):
        clf.set_params(features=given[:1]).partial_fit(TEXTS, LABELS)


def test_features_that_were_chosen_are_counted_on(hashed):
    assert hashed.features == "auto"
    more = pickle.loads(pickle.dumps(hashed)).partial_fit(TEST, TEST_LABELS)
    assert more.features_ == hashed.features_
    with pytest.raises(TypeError, match="merge takes fitted ExplicitTextClassifier"):
        more.merge(more.classifier_)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_texts_and_labels_are_named(missing):
    clf = ExplicitTextClassifier(features="words")
    with pytest.raises(ValueError, match=r"X must hold strings, and row 1 .*missing"):
        clf.fit(["a", missing], ["x", "y"])
    with pytest.raises(TypeError, match="y mixes labels of different kinds: row 0 has"):
        clf.fit(["a", "b", "c"], np.array(["x", missing, "y"], dtype=object))


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy before 2")
def test_strings_of_numpy():
    kind = np.dtypes.StringDType()
    clf = ExplicitTextClassifier(features="words")
    clf.fit(np.array(TEXTS, dtype=kind), LABELS.astype(kind))
    expected = clone(clf).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(clf.predict(TEST), expected.predict(TEST))


@pytest.mark.parametrize("name", ["fitted", "hashed"])
def test_save_and_load(request, tmp_path, name):
    clf = request.getfixturevalue(name)
    path = tmp_path / "model"
    clf.save(path)
    again = ExplicitTextClassifier.load(path)
    np.testing.assert_array_equal(again.predict_proba(TEST), clf.predict_proba(TEST))
    assert again.get_params() == clf.get_params()
    assert again.features_ == clf.features_
    assert again.explain(TEST[0]) == clf.explain(TEST[0])
    if name == "hashed":
        expected = clone(clf).fit(TEXTS + TEST, np.append(LABELS, TEST_LABELS))
        again.partial_fit(TEST, TEST_LABELS)
        if again.features_ == expected.features_:
            np.testing.assert_allclose(
                again.predict_proba(TEST), expected.predict_proba(TEST), rtol=1e-6
            )
    with pytest.raises(ValueError, match="it holds another class"):
        ExplicitSoftmaxClassifier.load(path)


def test_what_cannot_be_saved(fitted, tmp_path):
    clf = ExplicitTextClassifier(features=[("mine", CountVectorizer())])
    with pytest.raises(ValueError, match="cannot be saved without pickle"):
        clf.fit(TEXTS, LABELS).save(tmp_path / "model")
    clf = ExplicitTextClassifier(
        features="words", classifier=ExplicitSoftmaxClassifier()
    )
    with pytest.warns(UserWarning, match="not the parameters .'classifier'"):
        clf.fit(TEXTS, LABELS).save(tmp_path / "model")
    again = ExplicitTextClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(TEST), clf.predict_proba(TEST))


def test_damaged_files_are_named(fitted, tmp_path):
    path = tmp_path / "model"
    fitted.save(path)
    whole = path.read_bytes()
    at = whole.index(b"ship")
    for part in (whole[:-9], whole[:at] + b"sh\np" + whole[at + 4 :]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match="model"):
            ExplicitTextClassifier.load(path)
