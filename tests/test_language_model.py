"""ExplicitLanguageModel: counts, likelihoods, text, files, and refinement."""

import inspect
import pickle
import re
from contextlib import contextmanager
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from explicit_softmax import (
    ContextWindowTransformer,
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    Refinement,
    context_windows,
)
from explicit_softmax._refinement import split_validation
from explicit_softmax.calibration import model as calibration_model
from explicit_softmax.calibration.sample import BUDGETS, Budget
from tests.strategies import properties
from tests.test_warm_start import HAS_CALLBACKS, Recorder
from tests.text.test_tokens import E_ACUTE, I_DIAERESIS, TEXTS, words

by_aggregation = pytest.mark.parametrize("aggregation", ["sum", "cat"])
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SIZE = 8  # ids: 0 to 5, then 6, out-of-vocabulary, and 7, padding


def corpus(n_documents=20, seed=0):
    """Documents in which a token often follows from the two before it."""
    rng = np.random.default_rng(seed)
    documents = [[int(rng.integers(7)), 0] for _ in range(n_documents)]
    for tokens in documents:
        for _ in range(rng.integers(30)):
            likely = (tokens[-1] + tokens[-2] + 1) % 7
            tokens.append(likely if rng.random() < 0.7 else int(rng.integers(7)))
    return documents


DOCUMENTS = corpus()
HELD_OUT = corpus(8, seed=5)


def make(**parameters):
    options = {
        "context_size": 2,
        "aggregation": "cat",
        "vocabulary_size": SIZE,
        "smoothing_strength": 0.3,  # the search takes most of the time of a fit
    }
    return ExplicitLanguageModel(**{**options, **parameters})


def of_text(**parameters):
    return make(**{"vocabulary_size": 60, **parameters})


def refined(**parameters):
    """A model to be refined; parameters of its refinement."""
    options = {"batch_size": 32, "max_iter": 6, "random_state": 0, **parameters}
    return make(warm_start=True, refinement=Refinement(**options))


@pytest.fixture(scope="module")
def model():
    return make().fit(DOCUMENTS)


@pytest.fixture(scope="module")
def text_model():
    return of_text().fit(TEXTS)


def assert_same_model(first, second):
    """Equal counts, windows kept, choices, and probabilities, to the last bit."""
    for part in ("counts.cooccurrence", "sample.X"):
        for name in ("data", "indices", "indptr"):
            stored = attrgetter(f"_model.{part}.{name}")
            assert_array_equal(stored(first), stored(second))
    names = ["class_count_", "inverse_temperature_", "smoothing_strength_", "n_iter_"]
    names += ["leave_one_out_log_loss_", "loss_curve_", "validation_scores_"]
    for name in names:
        assert_array_equal(getattr(first, name, ()), getattr(second, name, ()))
    assert first._model.counts.n_nonzero == second._model.counts.n_nonzero
    prefixes = [[], [0, 1]] if first.tokenizer_ is None else ["", "the cat"]
    assert_array_equal(first.predict_proba(prefixes), second.predict_proba(prefixes))


@contextmanager
def unchanged(*models):
    before = [vars(model).copy() for model in models]
    yield
    for model, state in zip(models, before, strict=True):
        assert vars(model).keys() == state.keys()
        assert all(value is state[name] for name, value in vars(model).items())


def reloaded(model, folder):
    model.save(folder / "model")
    return ExplicitLanguageModel.load(folder / "model")


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@by_aggregation
def test_probabilities_are_those_of_the_pipeline(aggregation, smoothing):
    how = {"aggregation": aggregation, "smoothing": smoothing}
    model = make(**how, smoothing_strength="auto").fit(DOCUMENTS)
    X, y = context_windows(DOCUMENTS, 2)
    pipeline = make_pipeline(
        # The last id is out of this vocabulary, as it is out of the model's.
        ContextWindowTransformer(aggregation=aggregation, categories=range(SIZE - 2)),
        ExplicitSoftmaxClassifier(
            n_blocks=2 if aggregation == "cat" else 1,
            smoothing=smoothing,
            smoothing_strength=model.smoothing_strength_,
            inverse_temperature=model.inverse_temperature_,
            norm_exponent=0.0,
            translation="column",
        ),
    ).fit(X, y)
    prefixes = [[], [3], [1, 2], [6, 6, 5], [4, 0, 1]]
    windows = [[-1, -1], [3, -1], [2, 1], [5, 6], [1, 0]]
    proba = model.predict_proba(prefixes)
    assert proba.dtype == np.float32
    assert_allclose(proba, pipeline.predict_proba(windows), rtol=2e-6)
    own = pipeline.predict_log_proba(X)[np.arange(len(y)), y]
    assert model.score(DOCUMENTS) == pytest.approx(own.mean(), rel=1e-6)


@pytest.mark.parametrize("most_windows", [2048, 9])
@by_aggregation
def test_any_order_stream_or_tree_of_merges_is_one_fit(
    aggregation, most_windows, monkeypatch
):
    few = Budget(most_windows, 2**62, 2**24, least_rows=1)
    monkeypatch.setitem(BUDGETS, "windows", few)
    document = st.lists(st.integers(0, SIZE - 2), max_size=5)
    shard = st.lists(document, min_size=1, max_size=3).filter(any)

    @settings(properties, max_examples=12)
    @given(st.lists(shard, min_size=2, max_size=3), st.randoms(use_true_random=False))
    def check(shards, random):
        documents = [document for shard in shards for document in shard]
        random.shuffle(documents)
        whole = make(aggregation=aggregation).fit(documents)
        assert len(whole._model.sample.y) <= most_windows
        chained = make(aggregation=aggregation)
        for shard in shards:
            assert chained.partial_fit(shard) is chained
        first, *others = [make(aggregation=aggregation).fit(part) for part in shards]
        with unchanged(*others):
            assert first.merge(*others) is first.merge() is first
        assert_same_model(chained, whole)
        assert_same_model(first, whole)

    check()


def test_likelihoods_agree(model):
    held_out = [*corpus(5, seed=9), [], [0]]
    report = model.evaluate(iter(held_out))
    assert report["score"] == model.score(held_out)
    assert report["perplexity"] == model.perplexity(held_out)
    assert report["perplexity"] == np.exp(-report["score"])
    assert report["n_tokens"] == sum(map(len, held_out))
    assert {"n_bytes", "bits_per_byte"}.isdisjoint(report)
    logs = [model.log_proba(document) for document in held_out]
    assert [len(log) for log in logs] == [len(document) for document in held_out]
    assert np.concatenate(logs).mean() == pytest.approx(report["score"], rel=1e-9)
    document = held_out[0]
    prefixes = [document[:n] for n in range(len(document))]
    expected = model.predict_proba(prefixes)[np.arange(len(document)), document]
    assert_allclose(np.exp(logs[0]), expected, rtol=1e-5)


def test_vocabulary_of_the_largest_id():
    model = make(vocabulary_size=None).fit([[0, 4], [2]]).partial_fit([[5]])
    assert (model.vocabulary_size_, model.n_oov_) == (7, 1)
    with pytest.raises(ValueError, match="document 1 has the token id 6"):
        model.partial_fit([[0], [6]])


def test_tokens_that_fit_never_saw_are_reported(model):
    assert model.evaluate([[0, 1, 2]])["n_new"] == 0
    known = make().fit([[0, 1, 0, 1, 1, 0]] * 5)
    report = known.evaluate([[2, 3, 6, 6], [4]])
    assert (report["n_tokens"], report["n_oov"], report["n_new"]) == (5, 2, 3)
    assert 1 < report["perplexity"] < np.inf
    seen = make().fit([[0, 6, 6]])
    assert (known.n_oov_, seen.n_oov_) == (0, 2)
    report = seen.evaluate([[6, 1]])
    assert (report["n_oov"], report["n_new"]) == (1, 1)


def test_a_likelihood_too_small_for_its_perplexity_is_no_error():
    model = make(inverse_temperature=5000.0, smoothing_strength=1e-3)
    model.fit([[0, 1, 0, 1, 0, 1]] * 9)
    assert model.perplexity([[0, 0, 0, 0]]) == np.inf
    assert np.isfinite(model.score([[0, 0, 0, 0]]))


@pytest.mark.parametrize("method", ["fit", "partial_fit", "evaluate"])
def test_bad_documents_are_one_clear_error(method):
    model = make().fit(DOCUMENTS)
    cases = {"hold no token": [[], []], "document 1 has the token id 7": [[0], [1, 7]]}
    for message, documents in cases.items():
        with unchanged(model), pytest.raises(ValueError, match=message):
            getattr(model, method)(documents)


BAD = {"context_size": 0, "vocabulary_size": 2, "smoothing_strength": np.nan}
BAD |= {"aggregation": "mean", "inverse_temperature": [1.0] * 3, "refinement": "sgd"}


@pytest.mark.parametrize(("name", "value"), BAD.items())
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_parameters_are_named(method, name, value):
    model = make(**{name: value})
    with unchanged(model), pytest.raises(ValueError, match=name):
        getattr(model, method)(DOCUMENTS)


def test_parameters_are_checked_before_each_call():
    model = make().fit(DOCUMENTS).set_params(context_size="2")
    with unchanged(model), pytest.raises(ValueError, match="'context_size' parameter"):
        model.partial_fit(DOCUMENTS)


def test_models_that_cannot_be_merged():
    model = make().partial_fit(DOCUMENTS)
    cases = [
        (make(vocabulary_size=9), "8 token ids and 9 token ids"),
        (make(context_size=3), "different context_size.* 2 and 3"),
        (make(aggregation="sum"), "different aggregation"),
        (make(inverse_temperature=1.0), "different inverse_temperature"),
        (refined(max_iter=1), "was refined"),
    ]
    for other, message in cases:
        other.fit(DOCUMENTS)
        with unchanged(model), pytest.raises(ValueError, match=message):
            model.merge(make().fit(DOCUMENTS), other)
    with pytest.raises(TypeError, match="not ContextWindowTransformer"):
        model.merge(ContextWindowTransformer())
    with pytest.raises(NotFittedError):
        model.merge(make())


def test_parameters_cannot_change_within_a_stream():
    changes = {"context_size": 3, "aggregation": "sum", "smoothing_strength": 0.5}
    for name, value in changes.items():
        model = make().partial_fit(DOCUMENTS)
        message = f"{name}={value!r} differs from {getattr(model, name)!r}"
        model.set_params(**{name: value})
        with unchanged(model), pytest.raises(ValueError, match=message):
            model.partial_fit(DOCUMENTS)


class TestText:
    def test_likelihood_by_token_and_by_byte(self, text_model):
        report = text_model.evaluate(TEXTS)
        assert report["n_bytes"] == sum(len(text.encode()) for text in TEXTS)
        nats = -report["score"] * report["n_tokens"]
        bits = nats / np.log(2) / report["n_bytes"]
        assert report["bits_per_byte"] == pytest.approx(bits)
        assert text_model.bits_per_byte(TEXTS) == report["bits_per_byte"]
        whole = sum(text_model.log_proba(text).sum() for text in TEXTS)
        assert whole == pytest.approx(-nats, rel=1e-9)

    def test_letters_that_fit_never_saw_are_reported(self, text_model):
        unseen = "\N{CJK UNIFIED IDEOGRAPH-65E5}" * 3
        report = text_model.evaluate([unseen, ""])
        assert report["n_oov"] == report["n_tokens"] > 0
        assert (report["n_new"], report["n_bytes"]) == (0, 9)
        with pytest.raises(ValueError, match="hold no token"):
            text_model.score([""])

    @settings(properties, max_examples=20)
    @given(st.lists(st.text(max_size=8), min_size=1, max_size=4).filter(any))
    def test_any_text_is_scored(self, text_model, texts):
        report = text_model.evaluate(texts)
        assert np.isfinite(report["perplexity"])
        assert report["n_oov"] + report["n_new"] <= report["n_tokens"]

    def test_split_characters_are_replaced_not_raised(self):
        both = [E_ACUTE + I_DIAERESIS]
        model = of_text(vocabulary_size=5).fit(both * 9)  # three bytes, no merge
        first = model.generate("", 1, temperature=0)
        assert first == "\N{REPLACEMENT CHARACTER}"
        assert model.generate("", 4, temperature=0) == both[0]

    def test_generated_text(self, text_model):
        assert not text_model.generate("the", random_state=0).startswith("the")
        assert text_model.generate(n_tokens=0) == ""
        greedy = text_model.generate("the", 5, temperature=0)
        best = text_model.predict_proba(["the", ""])[0, :-1].argmax()
        assert greedy.startswith(text_model._encoder.ids.decode(np.array([best])))
        with pytest.raises(TypeError, match="not a string but list"):
            text_model.generate([1, 2])

    def test_shards_share_a_tokenizer(self, text_model):
        tokenizer = text_model.tokenizer_
        whole = of_text(tokenizer=tokenizer).fit(TEXTS)
        assert whole.tokenizer_ is tokenizer
        assert_same_model(whole, text_model)
        shards = [clone(whole).fit(part) for part in (TEXTS[:9], TEXTS[9:])]
        assert shards[1].tokenizer_ is not tokenizer  # but equal to it
        assert_same_model(shards[0].merge(shards[1]), whole)
        learned = of_text().partial_fit(TEXTS)
        for other in (of_text().fit(["quite another text"]), make().fit(DOCUMENTS)):
            message = r"different vocab.*same tokenizer"
            with unchanged(learned), pytest.raises(ValueError, match=message):
                learned.merge(other)


class TestGenerate:
    def test_seed_and_length(self, model):
        first = model.generate([0], 40, random_state=0)
        assert_array_equal(first, model.generate([0], 40, random_state=0))
        assert (first != model.generate([0], 40, random_state=1)).any()
        assert first.dtype == np.int32
        assert len(first) == 40
        assert model.generate([0], 0).shape == (0,)

    def test_temperature_zero_is_greedy_and_so_is_one_candidate(self, model):
        greedy = model.generate([0, 3], 12, temperature=0)
        history = [0, 3]
        for token in greedy:
            assert token == model.predict_proba([history])[0, :-1].argmax()
            history.append(int(token))
        for how in ({"top_k": 1}, {"temperature": 1e-320}, {"top_k": np.int64(1)}):
            drawn = model.generate([0, 3], 12, random_state=0, **how)
            assert_array_equal(drawn, greedy)

    def test_candidates_are_no_more_than_asked_for_if_many_are_equal(self):
        even = make(inverse_temperature=0.0).fit([[0, 1, 2, 3, 4, 5]])
        drawn = even.generate([], 200, top_k=2, random_state=0)
        assert set(drawn.tolist()) == {0, 1}

    def test_only_the_last_tokens_of_the_prompt_count(self, model):
        long = model.generate([*DOCUMENTS[0], 1, 2], 9, random_state=0)
        assert_array_equal(long, model.generate([1, 2], 9, random_state=0))
        expected = model.generate(n_tokens=9, random_state=0)
        for empty in ("", [], np.zeros(0, dtype=int)):
            assert_array_equal(model.generate(empty, 9, random_state=0), expected)

    def test_never_out_of_vocabulary_and_as_often_as_probable(self):
        model = make(context_size=1).fit([[6] * 9 + [0], [6, 1, 1]])
        drawn = [model.generate([], 1, random_state=seed)[0] for seed in range(400)]
        assert max(drawn) < 6
        expected = model.predict_proba([[]])[0, :6]
        observed = np.bincount(drawn, minlength=6) / 400
        assert_allclose(observed, expected / expected.sum(), atol=0.08)
        model = of_text(tokenizer=words("a"), context_size=1).fit(["? ? ? ? a"] * 9)
        assert model.n_oov_ == 36
        assert model.generate("?", 5, random_state=0) == "a a a a a"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("n_tokens", -1), ("n_tokens", 2.5), ("n_tokens", True), ("top_k", 0)]
        + [("top_p", value) for value in (0, 1.5, "0.5", None, np.ones(2))]
        + [("temperature", value) for value in (-1, np.nan, np.inf, "1")],
    )
    def test_bad_numbers_are_named(self, model, name, value):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            model.generate([0], **{name: value})


class TestFiles:
    @pytest.mark.parametrize("start", [make(), refined(max_iter=2)])
    @pytest.mark.parametrize("documents", [DOCUMENTS, TEXTS])
    def test_round_trip(self, tmp_path, documents, start):
        model = clone(start).set_params(vocabulary_size=60)
        model.fit(documents, documents_val=documents[:3])
        with unchanged(model):
            back = reloaded(model, tmp_path)
        assert repr(back) == repr(model)
        assert_same_model(back, model)
        assert_same_model(pickle.loads(pickle.dumps(model)), model)
        if model.warm_start:
            with unchanged(back), pytest.raises(ValueError, match=r"refined.*=False"):
                back.partial_fit(documents)
        else:
            assert_same_model(back.partial_fit(documents), model.partial_fit(documents))

    def test_parameters_come_back(self, tmp_path):
        model = make(
            context_size=np.int64(2),
            vocabulary_size=None,
            smoothing_strength=np.float32(0.5),
            inverse_temperature=np.array([0.5, 1.0]),
            warm_start=np.bool_(True),
            refinement=Refinement(random_state=np.random.RandomState(0), alpha=1),
        ).partial_fit(DOCUMENTS)
        with pytest.warns(UserWarning, match=r"\['refinement__random_state'\]"):
            back, expected = reloaded(model, tmp_path).get_params(), model.get_params()
        assert type(back.pop("refinement")) is type(expected.pop("refinement"))
        assert_array_equal(back.pop("inverse_temperature"), [0.5, 1.0])
        del expected["inverse_temperature"]
        assert back == {**expected, "refinement__random_state": None}

    def test_tokenizer_comes_back_as_parameter(self, tmp_path, text_model):
        assert reloaded(text_model, tmp_path).tokenizer is None
        given_one = of_text(tokenizer=text_model.tokenizer_).fit(TEXTS)
        back = reloaded(given_one, tmp_path)
        assert back.tokenizer.to_str() == back.tokenizer_.to_str()
        assert_same_model(back.merge(text_model), given_one.merge(text_model))
        other = of_text(vocabulary_size=40).fit(TEXTS).tokenizer_
        back = reloaded(given_one.set_params(tokenizer=other), tmp_path)
        assert back.tokenizer.to_str() == other.to_str()
        assert back.vocabulary_size_ == text_model.vocabulary_size_

    @pytest.mark.parametrize("solved", [True, False])
    def test_what_was_chosen_is_not_chosen_again(self, tmp_path, monkeypatch, solved):
        model = make(smoothing_strength="auto").partial_fit(DOCUMENTS)
        expected = model.score(DOCUMENTS) if solved else None
        model.set_params(smoothing="noise")  # for the next fit
        back = reloaded(model, tmp_path)
        assert back.smoothing == "noise"
        if solved:
            monkeypatch.setattr(calibration_model, "leave_one_out", None)
        assert back.score(DOCUMENTS) == (expected or model.score(DOCUMENTS))
        assert back.leave_one_out_log_loss_ == model.leave_one_out_log_loss_


class TestRefinement:
    @pytest.mark.parametrize("solver", ["sgd", "adagrad"])
    def test_refinement_lowers_the_training_loss(self, solver):
        explicit = make().fit(DOCUMENTS)
        model = refined(solver=solver, max_iter=20).fit(DOCUMENTS)
        assert model.score(DOCUMENTS) > explicit.score(DOCUMENTS) + 0.02
        assert model.n_iter_ == len(model.loss_curve_) <= 20
        assert model.validation_scores_ is None
        # What was chosen for the solution can still be read.
        assert_array_equal(model.inverse_temperature_, explicit.inverse_temperature_)
        assert_same_model(model.set_params(warm_start=False).fit(DOCUMENTS), explicit)

    @pytest.mark.parametrize("are_given", [True, False])
    def test_validation_documents_keep_the_best(self, are_given):
        how = {"max_iter": 20, "learning_rate_init": 0.5, "validation_fraction": 0.25}
        model = refined(early_stopping=True, **how)
        if are_given:
            train, held_out = DOCUMENTS, HELD_OUT
            model.fit(train, documents_val=iter(held_out))
        else:
            split = split_validation(
                model.refinement, np.arange(20), np.zeros(20, int), None
            )
            train, held_out = ([DOCUMENTS[i] for i in part[0]] for part in split)
            model.fit(iter(DOCUMENTS))
        scores = model.validation_scores_
        assert model.score(held_out) == pytest.approx(max(scores), rel=1e-6)
        assert scores[-1] < max(scores)
        assert_array_equal(model.class_count_, make().fit(train).class_count_)
        with pytest.raises(ValueError, match=r"at least two: give documents_val"):
            refined(early_stopping=True).fit(DOCUMENTS[:1])

    @pytest.mark.parametrize("earlier", [True, False])
    def test_failed_refinement_leaves_the_model_as_it_was(self, earlier):
        model = refined(learning_rate_init=1e308)
        if earlier:  # a stream, whatever warm_start says
            assert not hasattr(model.partial_fit(DOCUMENTS), "loss_curve_")
        with pytest.warns(ConvergenceWarning, match="explicit solution is kept"):
            model.fit(DOCUMENTS)
        assert not hasattr(model, "loss_curve_")
        assert model.score(DOCUMENTS) == make().fit(DOCUMENTS).score(DOCUMENTS)
        model.refinement.learning_rate_init = 0.1
        for bad, message in ([[9]], "token id 9"), (iter(()), "read to its end"):
            with unchanged(model), pytest.raises(ValueError, match=message):
                model.fit(DOCUMENTS, documents_val=bad)


STAGES = ["learn-tokens", "encode", "count", "solve"]


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
def test_callbacks_score_the_documents_after_each_iteration():
    recorder = Recorder()
    model = refined(max_iter=4).set_callbacks(recorder).fit(iter(DOCUMENTS))
    begun, ended = (
        [name for name in names if name != "step"]
        for names in (recorder.begun, recorder.ended)
    )
    assert begun == ["fit", *STAGES, *["epoch"] * 4]
    assert ended == [*STAGES, *["epoch"] * 4, "fit"]
    assert recorder.scores[-1] == model.score(DOCUMENTS)


API_CHECKS = """
    parameters_default_constructible no_attributes_set_in_init get_params_invariance
    do_not_raise_errors_in_init_or_set_params set_params estimator_cloneable
    estimator_repr valid_tag_types mixin_order param_validation
"""


@pytest.mark.parametrize("check", API_CHECKS.split())
def test_checks_of_scikit_learn_that_need_no_matrix(check):
    estimator = ExplicitLanguageModel()
    getattr(estimator_checks, f"check_{check}")("ExplicitLanguageModel", estimator)


def test_docstring_names_parameters_and_attributes():
    model = refined(max_iter=1).fit(DOCUMENTS)
    of_ngrams = make(aggregation="ngram").fit(DOCUMENTS)
    public = {
        name
        for fitted in (model, of_ngrams)
        for name in dir(fitted)
        if name.endswith("_") and name[0] != "_"
    }
    docstring = inspect.getdoc(ExplicitLanguageModel)
    documented = re.findall(r"^(\w+) :", docstring, re.MULTILINE)
    parameters = list(inspect.signature(ExplicitLanguageModel).parameters)
    assert documented[: len(parameters)] == parameters
    assert {name for name in documented if name.endswith("_")} == public
    assert all(hasattr(model, name) or hasattr(of_ngrams, name) for name in public)
    assert not any(hasattr(make(), name) for name in public)


NEED_FIT = "evaluate bits_per_byte log_proba predict_proba generate save merge"


@pytest.mark.parametrize("method", NEED_FIT.split())
def test_unfitted_models_say_so(method):
    with pytest.raises(NotFittedError):
        getattr(make(), method)("unused")


def test_documents_are_no_metadata():
    with config_context(enable_metadata_routing=True):
        assert make().get_metadata_routing().fit.requests == {"documents_val": None}
        assert not make().get_metadata_routing().score.requests
        model = refined(max_iter=1).set_fit_request(documents_val=True)
        search = GridSearchCV(model, {"refinement__alpha": [0.0, 1.0]}, cv=2)
        search.fit(DOCUMENTS, documents_val=HELD_OUT)
    assert len(search.best_estimator_.validation_scores_) == 1


def test_an_extreme_temperature_is_blamed():
    with pytest.raises(ValueError, match=r"inverse_temperature=1e\+300"):
        make(inverse_temperature=1e300).fit(DOCUMENTS)
