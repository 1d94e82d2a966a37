"""Collections of Dask give the model of one local fit, to the last bit."""

import pickle
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer

from explicit_softmax import (
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    ExplicitTextClassifier,
    _dask,
)
from explicit_softmax.calibration.sample import BUDGETS, Budget
from tests import strategies
from tests.text.test_ngrams import assert_equal

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
db = pytest.importorskip("dask.bag")

N_CLASSES = 3
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@pytest.fixture(autouse=True)
def one_thread_of_dask(monkeypatch):
    monkeypatch.setattr(_dask, "_N_PARTS", 5)  # few tasks
    with dask.config.set(scheduler="sync"):
        yield


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = rng.integers(N_CLASSES, size=400)
    X = rng.poisson(rng.gamma(0.5, size=(N_CLASSES, 20))[y]).astype(float)
    return X, np.array(["ham", "jam", "marmalade"])[y]


@pytest.fixture(scope="module")
def documents():
    rng = np.random.default_rng(1)
    return [rng.integers(30, size=n).tolist() for n in rng.integers(0, 60, size=40)]


def in_chunks(X, size, layout=np.asarray):
    collection = da.from_array(X, chunks=(size, *X.shape[1:]))
    return collection if layout is np.asarray else collection.map_blocks(layout)


def delayed_blocks(values, stops):
    return [dask.delayed(part) for part in np.split(values, stops)]


def assert_same_model(found, expected, X):
    np.testing.assert_array_equal(found.classes_, expected.classes_)
    assert found.classes_.dtype == expected.classes_.dtype
    np.testing.assert_array_equal(found.predict_proba(X), expected.predict_proba(X))
    assert found.inverse_temperature_ == expected.inverse_temperature_
    assert found.smoothing_strength_ == expected.smoothing_strength_


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array, sp.csr_matrix])
@pytest.mark.parametrize("size", [400, 57, 9])
def test_fit_of_an_array(rows, layout, size):
    X, y = rows
    expected = ExplicitSoftmaxClassifier().fit(layout(X), y)
    clf = ExplicitSoftmaxClassifier()
    # Labels may be divided otherwise.
    assert clf.fit(in_chunks(X, size, layout), da.from_array(y, chunks=90)) is clf
    assert_same_model(clf, expected, X)
    assert clf.n_features_in_ == 20
    # An ordinary model: it streams on, and no trace of Dask is in it.
    assert b"dask" not in pickle.dumps(clf)
    clf.partial_fit(X[:50], y[:50])
    np.testing.assert_array_equal(clf.class_count_.sum(), 450)


@pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")
@settings(strategies.properties, max_examples=25)
@given(st.data())
def test_any_blocks_with_weights_in_any_order(data):
    X, y, _ = data.draw(strategies.labelled_counts(max_classes=N_CLASSES))
    weight = data.draw(strategies.integer_weights(len(y))) - 1
    weight[0] += not weight.any()
    stops = sorted(data.draw(st.lists(st.integers(0, len(y)), max_size=30)))
    order = data.draw(st.permutations(range(len(y))))
    columns = [delayed_blocks(values[order], stops) for values in (X, y, weight)]
    clf = ExplicitSoftmaxClassifier().fit(*columns)
    expected = ExplicitSoftmaxClassifier().fit(X, y, weight)
    np.testing.assert_array_equal(clf.feature_count_, expected.feature_count_)
    assert_same_model(clf, expected, X)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_predictions_are_lazy(rows, layout, dtype, n_classes):
    X, y = rows
    X = X.astype(dtype)
    few = y != "marmalade" if n_classes == 2 else slice(None)
    clf = ExplicitSoftmaxClassifier().fit(X[few], y[few])
    chunks = in_chunks(X, 150, layout)
    for name in METHODS:
        lazy = getattr(clf, name)(chunks)
        expected = getattr(clf, name)(layout(X))
        assert isinstance(lazy, da.Array)
        assert lazy.chunks[0] == (150, 150, 100)
        assert lazy.shape == expected.shape
        assert lazy.dtype == expected.dtype == lazy.compute().dtype
        assert type(lazy._meta) is np.ndarray
        np.testing.assert_allclose(lazy, expected) if name != "predict" else (
            np.testing.assert_array_equal(lazy, expected)
        )
    # Of the model at the time of the call.
    lazy, before = clf.predict_proba(chunks), clf.predict_proba(X)
    clf.partial_fit(X[:30], y[few][:30])
    np.testing.assert_allclose(lazy, before, rtol=1e-5)


def test_search(rows, monkeypatch):
    X, y = rows
    grid = {"smoothing_strengths": (0.1, 0.3), "norm_exponents": (0.0, 0.5)}
    clf = ExplicitSoftmaxClassifierCV(**grid, class_weight={"ham": 2.0})
    chunks = in_chunks(X, 90), in_chunks(y, 90)
    found = clone(clf).fit(*chunks)
    # All rows are in the sample; what "feature" needs, collections cannot give.
    clf.set_params(inverse_temperature="frequency")
    assert_same_model(found, clf.fit(X, y), X)
    assert found.norm_exponent_ == clf.norm_exponent_
    assert found.best_score_ == pytest.approx(clf.best_score_)
    assert not hasattr(found, "norm_exponent")
    monkeypatch.setitem(BUDGETS, "intercepts", Budget(50, 2**20, 2**20, least_rows=20))
    few = clone(clf).fit(*chunks)
    assert few.best_score_ != found.best_score_
    np.testing.assert_array_equal(few.class_count_, found.class_count_)
    with pytest.raises(ValueError, match="warm_start=False"):
        clone(clf).set_params(warm_start=True).fit(*chunks)
    with pytest.raises(ValueError, match=r"does not take .'groups'"):
        clf.fit(*chunks, groups=y)


def test_score(rows):
    X, y = rows
    clf = ExplicitSoftmaxClassifier().fit(X, y)
    chunks = in_chunks(X, 150), in_chunks(y, 150)
    assert clf.score(*chunks) == clf.score(X, y)
    weight = np.random.default_rng(0).integers(3, size=len(y))
    assert clf.score(*chunks, weight) == pytest.approx(clf.score(X, y, weight))


def test_stream_of_collections(rows):
    X, y = rows
    clf = ExplicitSoftmaxClassifier()
    for part in (slice(100), slice(100, 400)):
        chunks = in_chunks(X[part], 40), in_chunks(y[part], 40)
        clf.partial_fit(*chunks, classes=np.unique(y))
    assert_same_model(clf, ExplicitSoftmaxClassifier().fit(X, y), X)


def test_blocks_without_rows(rows):
    X, y = rows
    chunks, labels = in_chunks(X, 100), in_chunks(y, 100)
    kept = chunks[:, 0] == 0
    clf = ExplicitSoftmaxClassifier().fit(chunks[kept], labels[kept])
    some = X[:, 0] == 0
    assert_same_model(clf, ExplicitSoftmaxClassifier().fit(X[some], y[some]), X)
    none = chunks[chunks[:, 0] < 0]
    assert clf.predict_proba(none).compute().shape == (0, N_CLASSES)
    with pytest.raises(ValueError, match="no row in any block"):
        clf.score(none, labels[chunks[:, 0] < 0])


@pytest.mark.slow  # pyarrow and pandas
def test_data_frames(rows):
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    X, y = rows
    X = pd.DataFrame(X, columns=[f"word {i}" for i in range(20)])
    frame = dd.from_pandas(X, npartitions=7)
    labels = dd.from_pandas(pd.Series(y, dtype=object), npartitions=7)
    clf = ExplicitSoftmaxClassifier().fit(frame, labels)
    expected = ExplicitSoftmaxClassifier().fit(X, y.astype(object))
    np.testing.assert_array_equal(clf.coef_, expected.coef_)
    assert clf.feature_names_in_.tolist() == X.columns.tolist()
    lazy = clf.predict_proba(frame)
    assert lazy.shape[1:] == (N_CLASSES,)
    np.testing.assert_allclose(lazy, expected.predict_proba(X))
    assert clf.score(frame, labels) == expected.score(X, y)
    clf.fit(in_chunks(X.to_numpy(), 100), in_chunks(y, 100))
    assert not hasattr(clf, "feature_names_in_")


@pytest.mark.parametrize(
    "estimator", [ExplicitSoftmaxClassifier, ExplicitSoftmaxClassifierCV]
)
def test_balanced_classes(rows, estimator):
    X, y = rows[0][:150], rows[1][:150]
    weight = np.random.default_rng(1).integers(3, size=150)
    blocks = [delayed_blocks(values, [40, 90]) for values in (X, y, weight)]
    clf = estimator(class_weight="balanced")
    if estimator is ExplicitSoftmaxClassifierCV:
        clf.set_params(inverse_temperature="frequency")
    found, expected = clone(clf).fit(*blocks), clf.fit(X, y, weight)
    proba = expected.predict_proba(X)
    np.testing.assert_allclose(found.class_count_, weight.sum() / N_CLASSES)
    np.testing.assert_allclose(found.predict_proba(X), proba, rtol=1e-5)
    assert found.class_weight == "balanced"
    if estimator is ExplicitSoftmaxClassifier:
        for add in (found.partial_fit, clone(found).partial_fit):
            with pytest.raises(ValueError, match="give class_weight as a dict"):
                add(X, y, classes=np.unique(y))


def test_text_classifier():
    rng = np.random.default_rng(0)
    labels = rng.choice(["ham", "spam", "marmalade"], size=40).tolist()
    texts = [" ".join(rng.choice(list("abcd" + label), size=9)) for label in labels]
    texts[3] = ""
    clf = ExplicitTextClassifier(features="words+bigrams", hashing=64, log_counts=False)
    bag = db.from_sequence(zip(texts, labels, strict=True), npartitions=6)
    X, y = bag.pluck(0), bag.pluck(1)
    expected = clone(clf).fit(texts, labels)
    proba = expected.predict_proba(texts)
    streamed = clone(clf).partial_fit(texts[:9], labels[:9], np.unique(labels))
    rest = db.from_sequence(texts[9:], 5), db.from_sequence(labels[9:], 5)
    for found in (clone(clf).fit(X, y), streamed.partial_fit(*rest)):
        np.testing.assert_array_equal(found.predict_proba(texts), proba)
        lazy = found.predict_proba(X)
        assert isinstance(lazy, da.Array)
        np.testing.assert_allclose(lazy.compute(), proba)
        assert found.predict(X).compute().tolist() == found.predict(texts).tolist()
        assert found.score(X, y) == expected.score(texts, labels)
    before = dict(vars(streamed))
    bad = [dask.delayed(["a"]), dask.delayed(["a", None])]
    with pytest.raises(ValueError, match=r"block 1 of .*row 1 is None"):
        streamed.fit(bad, [dask.delayed(["ham"]), dask.delayed(["ham", "jam"])])
    with pytest.raises(ValueError, match="y is in memory, and how many"):
        streamed.fit(X, labels)
    assert vars(streamed) == before
    vocabulary = ("words", CountVectorizer())
    for params in ({"hashing": False}, {"features": [vocabulary]}):
        with pytest.raises(ValueError, match=r"hashing=True"):
            clone(clf).set_params(**params).fit(X, y)
    searched = ExplicitSoftmaxClassifierCV(smoothing_strengths=(0.1, 0.3))
    clf.set_params(classifier=searched)
    assert clf.fit(X, y).score(X, y) > 0.5
    with pytest.raises(ValueError, match="cannot read streams"):
        clone(clf).partial_fit(X, y, np.unique(labels))


def test_language_model_of_a_bag(documents):
    expected = ExplicitLanguageModel(vocabulary_size=32).fit(documents)
    bag = db.from_sequence([[], *documents], npartitions=7)
    model = ExplicitLanguageModel(vocabulary_size=32).fit(bag)
    lazy = model.predict_proba(bag)
    assert lazy.dtype == np.float32
    proba = expected.predict_proba([[], *documents])
    np.testing.assert_array_equal(lazy.compute(), proba)
    assert model.evaluate(bag) == pytest.approx(expected.evaluate(documents))
    assert model.perplexity(bag) == pytest.approx(expected.perplexity(documents))
    streamed = ExplicitLanguageModel(vocabulary_size=32).partial_fit(documents[:9])
    # An iterator in each block.
    streamed.partial_fit(db.from_sequence(documents[9:], npartitions=4).map(list))
    np.testing.assert_array_equal(streamed.predict_proba([[], *documents]), proba)


@pytest.mark.parametrize("mixture", [False, True])
@pytest.mark.parametrize("n_blocks", [1, 5, 20])
def test_ngrams_are_added_up_in_parts(documents, mixture, n_blocks):
    blank = ExplicitLanguageModel(vocabulary_size=32, mixture=mixture)
    expected = clone(blank).fit(documents)
    # Some blocks have no document, the first ones among them.
    parts = [[]] * 5 + [documents[at::n_blocks] for at in range(n_blocks)]
    model = clone(blank).fit([dask.delayed(part) for part in parts])
    assert_equal(model._model.counts, expected._model.counts)
    np.testing.assert_array_equal(model.mixture_weights_, expected.mixture_weights_)
    proba = expected.predict_proba(documents)
    np.testing.assert_array_equal(model.predict_proba(documents), proba)


def test_language_model_stays_as_it_was(documents):
    model = ExplicitLanguageModel(vocabulary_size=32).fit(documents)
    before = dict(vars(model))
    for blocks, match in [
        ([documents[:2], [[1], [40]], documents], r"block 1 of .*40"),
        ([[[]], []], "no row in any block"),
    ]:
        with pytest.raises(ValueError, match=match):
            model.fit([dask.delayed(block) for block in blocks])
    assert vars(model) == before


def test_language_model_of_strings():
    pytest.importorskip("tokenizers")
    texts = ["a rose is a rose", "", "a hat is not a rose", "is it a hat?"] * 5
    expected = ExplicitLanguageModel(vocabulary_size=60).fit(texts)
    bag = db.from_sequence(texts, npartitions=6)
    with pytest.raises(ValueError, match="pass the tokenizer_ of this model"):
        ExplicitLanguageModel(vocabulary_size=60).fit(bag)
    model = ExplicitLanguageModel(tokenizer=expected.tokenizer_).fit(bag)
    assert model.evaluate(bag) == pytest.approx(expected.evaluate(texts))
    proba = expected.predict_proba(texts)
    np.testing.assert_allclose(model.predict_proba(bag).compute(), proba)
    with pytest.raises(ValueError, match="as vocabulary_size"):
        ExplicitLanguageModel(vocabulary_size=None).fit(db.from_sequence([[1, 2]]))


def test_errors_say_what_to_do_and_change_nothing(rows):
    X, y = rows
    chunks, labels = in_chunks(X, 30), in_chunks(y, 30)
    bad = X.copy()
    bad[7 * 30 + 4, 2] = -1
    unknown = chunks[chunks[:, 0] >= 0]
    clf = ExplicitSoftmaxClassifier().fit(X, y)
    before = dict(vars(clf))
    for X_bad, y_bad, match in [
        (in_chunks(bad, 30), labels, "block 7 of the collection: .*row 4 contains -1"),
        (chunks.rechunk((30, 10)), labels, r"X\.rechunk\(\{1: -1\}\)"),
        (chunks, y[:-1], "X and y differ in length: 400 and 399"),
        (unknown, y, r"X\.compute_chunk_sizes\(\)"),
        (unknown, da.from_array(y, chunks=100), "14 blocks of rows and y has 4"),
    ]:
        with pytest.raises(ValueError, match=match):
            clf.fit(X_bad, y_bad)
    with pytest.raises(ValueError, match="same as on the last call"):
        clf.partial_fit(chunks, labels, classes=["ham"])
    with pytest.raises(TypeError, match="compute as many"):
        clf.forget(chunks, labels)
    with pytest.raises(ValueError, match="21 features"):
        clf.predict(da.ones((4, 21)))
    assert vars(clf) == before
    clf.set_params(warm_start=True)
    with pytest.raises(ValueError, match="Fit with warm_start=False"):
        clf.fit(chunks, labels)
    with pytest.raises(TypeError, match="compute as many"):
        ExplicitSoftmaxNetworkClassifier().fit(chunks, labels)


def test_tasks_have_names_and_callbacks_hear_of_blocks(rows):
    if not hasattr(ExplicitSoftmaxClassifier, "set_callbacks"):
        pytest.skip("scikit-learn < 1.9")
    ended = []

    class Recorder:
        def setup(self, estimator, context):
            pass

        teardown = setup

        def on_fit_task_begin(self, estimator, context, **data):
            pass

        def on_fit_task_end(self, estimator, context, **data):
            ended.append(context.task_name)

    tasks = []
    clf = ExplicitSoftmaxClassifier().set_callbacks(Recorder())
    with dask.callbacks.Callback(pretask=lambda key, *_: tasks.append(str(key))):
        clf.fit(in_chunks(rows[0], 100), in_chunks(rows[1], 100))
    assert ended == ["block"] * 4 + ["fit"]
    named = [task.partition("-")[0] for task in tasks]
    for name, number in (("count", 4), ("merge", 3), ("classes", 4), ("union", 3)):
        assert named.count(name) == number


def test_dask_knows_how_large_counts_are(rows, documents):
    # Or it would neither spill them nor count them where moving is cheap.
    clf = ExplicitSoftmaxClassifier().fit(
        in_chunks(rows[0], 100), in_chunks(rows[1], 100)
    )
    counts = clf._model.counts.cooccurrence.nbytes + clf._model.sample.X.nbytes
    assert counts < dask.sizeof.sizeof(clf) < 3 * counts
    model = ExplicitLanguageModel(vocabulary_size=32)
    model.fit(db.from_sequence(documents, npartitions=3))
    counts = model._model.counts
    size = sum(v.nbytes for v in vars(counts).values() if isinstance(v, np.ndarray))
    assert size < dask.sizeof.sizeof(model)


def test_sums_are_taken_in_runs():
    # So that few of them are held at a time: see _MOST_BLOCKS.
    from explicit_softmax._dask import _added_up

    parts = [dask.delayed([number]) for number in range(100)]
    total = _added_up("sum", lambda one, other: one + other, parts)
    assert total.compute() == list(range(100))
    assert _added_up("sum", None, parts[:1]).compute() == [0]


def test_dask_is_imported_for_its_collections_only(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    X, y = rows
    clf = ExplicitSoftmaxClassifier().fit(X, y).partial_fit(X.tolist(), y.tolist())
    assert clf.score(X, y) > 0.5
