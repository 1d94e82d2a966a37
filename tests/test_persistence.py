"""Saved, pickled, and crafted models."""

import copy
import pickle
import warnings
from functools import cache
from itertools import permutations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError

from explicit_softmax import (
    ContextWindowTransformer,
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    ExplicitTextClassifier,
    PositiveFeatures,
    Refinement,
    skops_trusted_types,
)
from explicit_softmax._model_file import read_file, write_file
from tests.strategies import properties

X = np.random.RandomState(0).poisson(0.8, (40, 6)).astype(float)
CODES = np.arange(40) % 3
X[np.arange(40), CODES] += 2  # so that features say something about classes
Y = np.array(["a", "b", "c"])[CODES]
SPARSE = sp.csr_array(X)
DOCUMENTS = [[0, 1, 2, 0, 1, 2], [2, 1, 0, 3]] * 3
STEPS = Refinement(max_iter=2, early_stopping=True, random_state=0)


C = ExplicitSoftmaxClassifier
LM = ExplicitLanguageModel
REFINED = {"warm_start": True, "refinement": STEPS}
MAKE = {
    "dense": lambda: C().fit(X, Y),
    "sparse": lambda: C(smoothing="noise", n_blocks=2).fit(SPARSE, Y),
    "stream": lambda: C(n_blocks=[2, 4]).partial_fit(
        sp.csr_matrix(X), CODES, classes=range(4)
    ),
    "single": lambda: C().fit(X.astype(np.float32), Y == "a"),
    "given": lambda: C(
        inverse_temperature=np.array([0.5, 0.7]),
        smoothing_strength=np.float32(0.5),
        translation="column",
        n_blocks=2,
    ).fit(X, Y.astype(object)),
    "refined": lambda: C(**REFINED).fit(X, Y),
    "cv": lambda: ExplicitSoftmaxClassifierCV(store_cv_results=True).fit(X, Y),
    "network": lambda: ExplicitSoftmaxNetworkClassifier(
        hidden_targets=2, random_state=0, **REFINED
    ).fit(X, Y),
    "cat": lambda: LM(context_size=2, vocabulary_size=6, aggregation="cat").fit(
        DOCUMENTS
    ),
    "sum": lambda: LM(
        context_size=2, vocabulary_size=None, aggregation="sum", **REFINED
    ).fit(DOCUMENTS),
    "ngram": lambda: LM(
        context_size=2, vocabulary_size=6, aggregation="ngram", predict_end=True
    ).fit(DOCUMENTS),
    "mixture": lambda: LM(
        context_size=2, vocabulary_size=6, aggregation="ngram", mixture=True
    ).fit(DOCUMENTS),
    "skip": lambda: LM(context_size=3, vocabulary_size=6, mixture="skip").fit(
        DOCUMENTS
    ),
    "text": lambda: LM(context_size=1, vocabulary_size=20).fit(["a rose"]),
}
NGRAMS = {"ngram", "mixture", "skip", "text"}


@cache
def fitted(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MAKE[name]()


def probabilities(model):
    if not hasattr(model, "classes_"):
        return model.predict_proba(["a"] if model.tokenizer_ else [[0, 1], [2]])
    return model.predict_proba(X[:, : model.n_features_in_])


def assert_same(model, other):
    assert_array_equal(probabilities(other), probabilities(model))
    assert repr(other) == repr(model)
    for name in vars(model):
        if name.endswith("_") and name != "cv_results_":
            assert_array_equal(getattr(other, name), getattr(model, name))


@pytest.fixture(params=MAKE)
def model(request):
    return fitted(request.param)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("keep_rows", [True, False])
def test_a_saved_model_is_the_same(tmp_path, model, compress, mmap, keep_rows):
    model.save(tmp_path / "it", compress=compress, keep_rows=keep_rows)
    assert_same(model, type(model).load(tmp_path / "it", mmap=mmap))


def test_a_pickled_model_is_the_same_and_plain(model):
    assert_same(model, pickle.loads(pickle.dumps(model)))
    assert_same(model, copy.deepcopy(model))
    for value in (
        model.__getstate__()["_model"],
        fitted("cat").__getstate__()["_encoder"],
    ):
        assert type(value) is dict


def test_skops_trusts_the_published_types(model):
    skops_io = pytest.importorskip("skops.io")
    content = skops_io.dumps(model)
    trusted = skops_trusted_types()
    assert set(skops_io.get_untrusted_types(data=content)) <= set(trusted)
    assert_same(model, skops_io.loads(content, trusted=trusted))


def test_skops_trusts_the_types_of_text():
    skops_io = pytest.importorskip("skops.io")
    texts, labels = ["red dog", "blue dog", "a cat", "two cats"] * 4, list("ddcc") * 4
    model = ExplicitTextClassifier()
    content = skops_io.dumps(model.fit(texts, labels))
    assert set(skops_io.get_untrusted_types(data=content)) <= set(skops_trusted_types())
    back = skops_io.loads(content, trusted=skops_trusted_types())
    assert_array_equal(back.predict_proba(texts), model.predict_proba(texts))


def test_what_was_not_chosen_yet_is_chosen_after_loading(tmp_path):
    stream = C().partial_fit(X[:30], Y[:30], classes=["a", *"bc"])
    stream.save(tmp_path / "it")
    back = ExplicitSoftmaxClassifier.load(tmp_path / "it")
    assert "solution" not in vars(back._model)
    assert_same(stream.partial_fit(X[30:], Y[30:]), back.partial_fit(X[30:], Y[30:]))


def test_results_of_a_search_come_back(tmp_path):
    fitted("cv").save(tmp_path / "it")
    back = ExplicitSoftmaxClassifierCV.load(tmp_path / "it").cv_results_
    expected = fitted("cv").cv_results_
    assert back.keys() == expected.keys()
    for name, values in expected.items():
        assert_array_equal(back[name], values)
        assert getattr(back[name], "dtype", None) == getattr(values, "dtype", None)


def test_without_rows_nothing_is_counted(tmp_path):
    fitted("dense").save(tmp_path / "it", keep_rows=False)
    _, arrays = read_file(tmp_path / "it")
    assert arrays["model.sample.X"].shape == (0, 6)
    back = ExplicitSoftmaxClassifier.load(tmp_path / "it")
    for method in ("partial_fit", "forget"):
        with pytest.raises(ValueError, match=r"without them: save it with keep_rows=T"):
            getattr(back, method)(X, Y)
    with pytest.raises(ValueError, match="merge chooses again by sampled rows"):
        back.merge(fitted("dense"))
    # Where nothing is chosen, nothing is missing.
    fitted("given").save(tmp_path / "it", keep_rows=False)
    given_all = ExplicitSoftmaxClassifier.load(tmp_path / "it").partial_fit(X, Y)
    assert given_all.class_count_.sum() == 80


@pytest.mark.parametrize("labels", [[1, 5], [1.0, 2.0], [False, True], ["é", "longer"]])
def test_labels_of_any_kind(tmp_path, labels):
    model = ExplicitSoftmaxClassifier().fit(X, np.array(labels)[CODES % 2])
    model.save(tmp_path / "it")
    back = ExplicitSoftmaxClassifier.load(tmp_path / "it")
    assert_same(model, back)
    assert back.classes_.dtype == model.classes_.dtype


def test_names_of_features_come_back(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    ExplicitSoftmaxClassifier().fit(frame, Y).save(tmp_path / "it")
    back = ExplicitSoftmaxClassifier.load(tmp_path / "it")
    assert back.feature_names_in_.tolist() == list("abcdef")
    back.predict(frame)


def test_parameters_that_no_file_holds_become_defaults(tmp_path):
    clusters = KMeans(2, n_init=1, random_state=0)
    model = ExplicitSoftmaxNetworkClassifier(hidden_targets=clusters).fit(X, Y)
    with pytest.warns(UserWarning, match=r"hold the parameters \['hidden_targets'\]"):
        model.save(tmp_path / "it")
    back = ExplicitSoftmaxNetworkClassifier.load(tmp_path / "it")
    assert back.hidden_targets == "classes"
    assert_array_equal(probabilities(back), probabilities(model))


def test_only_fitted_models_and_their_own_files(tmp_path):
    with pytest.raises(NotFittedError):
        ExplicitSoftmaxClassifier().save(tmp_path / "it")
    fitted("cv").save(tmp_path / "it")
    with pytest.raises(ValueError, match="another class: ExplicitSoftmaxClassifierCV"):
        ExplicitSoftmaxClassifier.load(tmp_path / "it")


WINDOWS = np.array([["a", "b"], ["", "a"], ["c", "b"]], dtype=object)
TRANSFORMERS = {
    "bins": (PositiveFeatures(n_bins=3), X - 1),
    "split": (PositiveFeatures(method="split"), sp.csr_array(X - 1)),
    "strings": (ContextWindowTransformer(max_categories=2), WINDOWS),
    "ids": (ContextWindowTransformer(aggregation="sum", sparse_output=False), X),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_come_back(tmp_path, name):
    transformer, rows = TRANSFORMERS[name]
    expected = transformer.fit_transform(rows)
    transformer.save(tmp_path / "it", compress=True)
    back = type(transformer).load(tmp_path / "it")
    found = back.transform(rows)
    if sp.issparse(expected):
        expected, found = expected.toarray(), found.toarray()
    assert_array_equal(found, expected)
    assert back.get_feature_names_out().tolist() == (
        transformer.get_feature_names_out().tolist()
    )


def leaves(node, path=()):
    """Places of all parts of a record."""
    if path:
        yield path
    if isinstance(node, dict | list):
        parts = node.items() if isinstance(node, dict) else enumerate(node)
        for key, part in parts:
            yield from leaves(part, (*path, key))


def at(record, path):
    for key in path:
        record = record[key]
    return record


ODD = [None, True, -1, 0, 1, 2.5, 10**9, 2**63, 1e308, np.nan, "", "auto", "x", [], {}]
NUMBERS = [-1, 0, 1, 7, 10**8, 2**31 - 1, 2**62, np.nan, np.inf, 1e308, 1e-320]


def crafted(draw, record, arrays):
    """A record and arrays with some parts changed."""
    record, arrays = copy.deepcopy(record), dict(arrays)
    for _ in range(draw(st.integers(1, 3))):
        if not arrays or draw(st.booleans()):
            path = draw(st.sampled_from(list(leaves(record))))
            holder, key = at(record, path[:-1]), path[-1]
            how = draw(st.sampled_from(["odd", "drop", "swap"]))
            if how == "odd":
                holder[key] = draw(st.sampled_from(ODD))
            elif how == "drop":
                del holder[key]
            else:
                other = draw(st.sampled_from(list(leaves(record))))
                holder[key] = copy.deepcopy(at(record, other))
            continue
        which = draw(st.sampled_from(sorted(arrays)))
        array = arrays[which]
        how = draw(st.sampled_from(["value", "length", "dtype", "shape", "drop"]))
        if how == "value" and array.size:
            place = draw(st.integers(0, array.size - 1))
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = np.array(draw(st.sampled_from(NUMBERS))).astype(array.dtype)
            array = array.copy()
            stop = draw(st.sampled_from([place + 1, array.size]))
            array.reshape(-1)[place:stop] = value
        elif how == "length":
            array = array[: draw(st.integers(0, len(array)))]
        elif how == "dtype":
            dtype = draw(st.sampled_from(["i4", "i8", "f4", "u1", "?"]))
            with np.errstate(all="ignore"):
                array = array.astype(dtype)
        elif how == "shape":
            array = array.reshape(draw(st.sampled_from([(-1,), (-1, 1), (1, -1)])))
        elif how == "drop":
            del arrays[which]
            continue
        arrays[which] = np.ascontiguousarray(array)
    return record, arrays


def check_model(folder, name):
    """A model of a crafted file has probabilities; ValueError if it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = probabilities(type(fitted(name)).load(folder / "crafted"))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    # Probabilities of n-grams are taken as they are in a file, as in ARPA.
    if name not in NGRAMS:
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-4)


def check_transformer(folder, name):
    """The same of a transformer; TypeError for rows of another kind."""
    transformer, rows = TRANSFORMERS[name]
    found = type(transformer).load(folder / "crafted").transform(rows)
    found = found.toarray() if sp.issparse(found) else found
    assert np.isfinite(found).all()
    assert (found >= 0).all()


def fuzz(folder, saved, check_loaded, refusals, n_examples, number=0):
    """Check what crafted files are loaded as; some of them must be refused."""
    contents, refused = {}, 0
    for name, estimator in saved.items():
        estimator.save(folder / "it")
        contents[name] = read_file(folder / "it")

    @seed(number)
    @settings(
        properties,
        max_examples=n_examples,
        derandomize=False,  # another seed makes other files
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data):
        nonlocal refused
        name = data.draw(st.sampled_from(list(contents)))
        # To replace a file waits for the disk.
        (folder / "crafted").unlink(missing_ok=True)
        write_file(folder / "crafted", *crafted(data.draw, *contents[name]))
        try:
            check_loaded(folder, name)
        except refusals:
            refused += 1

    check()
    assert refused > n_examples / 4


def fuzz_models(folder, n_examples, number=0):
    saved = {name: fitted(name) for name in MAKE}
    fuzz(folder, saved, check_model, ValueError, n_examples, number)


def fuzz_transformers(folder, n_examples):
    saved = {name: made.fit(rows) for name, (made, rows) in TRANSFORMERS.items()}
    fuzz(folder, saved, check_transformer, (ValueError, TypeError), n_examples)


@pytest.mark.parametrize("name", ["mixture", "skip"])
def test_a_mixture_without_its_documents_is_not_merged(tmp_path, name):
    whole = fitted(name)
    whole.save(tmp_path / "it", keep_rows=False)
    for one, other in permutations([whole, LM.load(tmp_path / "it")]):
        with pytest.raises(ValueError, match="merge chooses weights"):
            copy.deepcopy(one).merge(other)


def test_an_exponent_that_the_stored_rows_cannot_have_is_refused(tmp_path):
    fitted("stream").save(tmp_path / "it")
    record, arrays = read_file(tmp_path / "it")
    paths = [path for path in leaves(record) if path[-1] == "norm_exponent"]
    for path in paths:
        at(record, path[:-1])[path[-1]] = 10**9
    assert paths
    write_file(tmp_path / "it", record, arrays)
    with pytest.raises(ValueError, match="do not fit"):
        C.load(tmp_path / "it")


@pytest.mark.parametrize("fuzz_all", [fuzz_models, fuzz_transformers])
def test_crafted_files_are_refused_or_harmless(tmp_path, fuzz_all):
    fuzz_all(tmp_path, 60)


@pytest.mark.slow
def test_many_crafted_files_of_transformers(tmp_path):
    fuzz_transformers(tmp_path, 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])  # 10,000 files, on two processors
def test_many_crafted_files_are_refused_or_harmless(tmp_path, half):
    fuzz_models(tmp_path, 5_000, half)
