"""ExplicitLanguageModel: its refinement, and scikit-learn's conventions."""

import inspect
import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks

from explicit_softmax import ExplicitLanguageModel
from tests.test_language_model import (
    DOCUMENTS,
    assert_same_state,
    corpus,
    make,
)
from tests.test_warm_start import HAS_CALLBACKS, Recorder

HELD_OUT = corpus(8, seed=5)


def refined(**parameters):
    options = {"warm_start": True, "batch_size": 32, "max_iter": 6, "random_state": 0}
    return make(**{**options, **parameters})


@pytest.mark.parametrize("solver", ["adagrad", "sgd"])
@pytest.mark.parametrize("aggregation", ["sum", "cat"])
def test_refinement_lowers_the_training_loss(aggregation, solver):
    explicit = make(aggregation=aggregation).fit(DOCUMENTS)
    step = {"sgd": 1.0, "adagrad": 0.05}[solver]
    model = refined(
        aggregation=aggregation, solver=solver, learning_rate_init=step, max_iter=20
    ).fit(DOCUMENTS)
    assert model.score(DOCUMENTS) > explicit.score(DOCUMENTS) + 0.02
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.n_iter_ == len(model.loss_curve_) == 20
    assert model.validation_scores_ is None
    # The numbers that were written down stay readable.
    assert_array_equal(model.inverse_temperature_, explicit.inverse_temperature_)
    assert model.smoothing_strength_ == explicit.smoothing_strength_
    assert not hasattr(explicit, "loss_curve_")


def test_held_out_documents_keep_the_best():
    model = refined(max_iter=60, learning_rate_init=0.5, n_iter_no_change=3)
    model.fit(DOCUMENTS, documents_val=iter(HELD_OUT))
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 60
    best = int(np.argmax(scores))
    assert best == len(scores) - 4  # three without gain after it
    assert model.score(HELD_OUT) == pytest.approx(scores[best], rel=1e-6)
    assert scores[-1] < scores[best]


def test_cold_start_knows_nothing_at_first():
    losses = {
        init: refined(init=init, max_iter=1).fit(DOCUMENTS).loss_curve_[0]
        for init in ("random", "explicit")
    }
    assert losses["explicit"] < losses["random"] < np.log(7) + 0.1
    with pytest.raises(ValueError, match=r"init='random'.*warm_start=True"):
        make(init="random").fit(DOCUMENTS)


def test_penalty_pulls_to_the_start():
    start = make().fit(DOCUMENTS)._decoder.dense_weights()
    moved = [
        np.abs(refined(alpha=alpha).fit(DOCUMENTS)._decoder.weights - start).mean()
        for alpha in (0.0, 1.0, 30.0)
    ]
    assert moved[2] < 0.5 * moved[1] < 0.5 * moved[0]


def test_seed_decides_the_order():
    runs = [
        refined(random_state=seed, max_iter=2).fit(DOCUMENTS).predict_proba([[0]])
        for seed in (0, 0, 1)
    ]
    assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    cold = [
        refined(init="random", shuffle=False, max_iter=1, random_state=seed)
        .fit(DOCUMENTS)
        .predict_proba([[0]])
        for seed in (0, 1)
    ]
    assert (cold[0] != cold[1]).any()


def test_iterations_of_some_tokens_add_up_to_one_of_all():
    n_tokens = sum(map(len, DOCUMENTS))
    size = -(-n_tokens // (3 * 32)) * 32  # whole batches, so that steps are the same
    options = {"shuffle": False, "max_iter": 3}
    parts = refined(**options, tokens_per_iter=size).fit(DOCUMENTS)
    assert len(parts.loss_curve_) == 3
    whole = refined(**options, tokens_per_iter=None).fit(DOCUMENTS)
    large = refined(**options, tokens_per_iter=10**9).fit(DOCUMENTS)
    assert_array_equal(whole.predict_proba([[0]]), large.predict_proba([[0]]))
    # The first iteration of all passes the same batches as the first three parts.
    assert np.mean(parts.loss_curve_[:3]) == pytest.approx(
        whole.loss_curve_[0], abs=0.05
    )
    assert whole.loss_curve_[2] < whole.loss_curve_[0]


@pytest.mark.parametrize("method", ["partial_fit", "merge"])
def test_counts_of_a_refined_model_are_left_alone(method):
    model = refined(max_iter=1).fit(DOCUMENTS)
    before = vars(model).copy()
    with pytest.raises(ValueError, match=r"was refined.*warm_start=False"):
        getattr(model, method)(
            make().fit(DOCUMENTS) if method == "merge" else DOCUMENTS
        )
    assert_same_state(model, before)
    model.set_params(warm_start=False).fit(DOCUMENTS)
    assert not hasattr(model, "loss_curve_")
    assert not hasattr(model, "validation_scores_")
    assert model.n_iter_ == 1
    assert model.score(DOCUMENTS) == make().fit(DOCUMENTS).score(DOCUMENTS)


def test_partial_fit_streams_whatever_warm_start_says():
    streamed = refined().partial_fit(DOCUMENTS)
    assert streamed.score(DOCUMENTS) == make().fit(DOCUMENTS).score(DOCUMENTS)


@pytest.mark.parametrize("earlier", [True, False])
def test_failed_refinement_leaves_the_model_as_it_was(earlier):
    model = make()
    if earlier:
        model.fit(DOCUMENTS)
    model.set_params(warm_start=True, learning_rate_init=1e308)
    before = vars(model).copy()
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        model.fit(DOCUMENTS)
    assert_same_state(model, before)
    model.set_params(learning_rate_init=0.1)
    before = vars(model).copy()
    for bad, message in ([[9]], "token id 9"), (iter(()), "read to its end"):
        with pytest.raises(ValueError, match=message):
            model.fit(DOCUMENTS, documents_val=bad)
        assert_same_state(model, before)


@pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks")
class TestCallbacks:
    def test_every_iteration_begins_and_ends(self):
        recorder = Recorder()
        # Of an iterator, too: callbacks score the documents again.
        model = refined(max_iter=4).set_callbacks(recorder).fit(iter(DOCUMENTS))
        assert recorder.begun == ["fit", *["iteration"] * 4]
        assert recorder.ended == [*["iteration"] * 4, "fit"]
        assert recorder.scores[-1] == model.score(DOCUMENTS)
        assert recorder.scores == sorted(recorder.scores)
        assert not recorder.is_set_up

    def test_a_callback_can_stop(self):
        recorder = Recorder(stop_at=2)
        model = refined().set_callbacks(recorder).fit(DOCUMENTS)
        assert model.n_iter_ == 2
        assert len(recorder.begun) == len(recorder.ended)

    def test_held_out_documents_stop_and_all_tasks_end(self):
        recorder = Recorder()
        model = refined(max_iter=60, learning_rate_init=0.5, n_iter_no_change=2)
        model.set_callbacks(recorder).fit(DOCUMENTS, documents_val=HELD_OUT)
        assert model.n_iter_ < 60
        assert len(recorder.begun) == len(recorder.ended)

    def test_explicit_fit_is_one_task_and_a_failed_one_tears_down(self):
        recorder = Recorder()
        model = make().set_callbacks(recorder).fit(DOCUMENTS)
        assert recorder.begun == recorder.ended == ["fit"]
        with pytest.raises(ValueError, match="token id 9"):
            model.fit([[9]])
        assert not recorder.is_set_up

    def test_progress_bar_shows_and_scoring_monitor_logs(self, capsys):
        from sklearn.callback import ProgressBar, ScoringMonitor

        monitor = ScoringMonitor(scoring={"score": lambda model, X, y: model.score(X)})
        model = refined(max_iter=3).set_callbacks(ProgressBar(), monitor)
        model.fit(DOCUMENTS)
        assert "ExplicitLanguageModel" in capsys.readouterr().out
        log = monitor.get_logs().data_as_pandas
        scores = log[log["task_name"] == "iteration"]["score"].tolist()
        assert len(scores) == 3
        assert scores[-1] == pytest.approx(model.score(DOCUMENTS))


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_mixin_order,
        estimator_checks.check_param_validation,
    ],
    ids=lambda check: check.__name__,
)
def test_checks_of_scikit_learn_that_need_no_matrix(check):
    check("ExplicitLanguageModel", ExplicitLanguageModel())


def documented(owner, section):
    """Names in a section of a numpydoc docstring."""
    text = inspect.getdoc(owner)
    found = re.search(
        rf"^{section}\n-+\n(.*?)(?=\n\n\w[\w ]*\n--|\Z)", text, re.S | re.M
    )
    names = re.findall(r"^(\*?\w+) :", found[1], re.M) if found else []
    return [name.lstrip("*") for name in names]


def test_docstrings_name_parameters_and_attributes():
    parameters = list(inspect.signature(ExplicitLanguageModel).parameters)
    assert documented(ExplicitLanguageModel, "Parameters") == parameters
    methods = inspect.getmembers(ExplicitLanguageModel, inspect.isfunction)
    checked = [name for name, _ in methods if not name.startswith("_")]
    inherited = {"get_params", "set_params", "get_metadata_routing", "set_callbacks"}
    for name in set(checked) - inherited - {"set_fit_request"}:
        method = getattr(ExplicitLanguageModel, name)
        names = [n for n in inspect.signature(method).parameters if n != "self"]
        assert documented(method, "Parameters") == names, name
    attributes = documented(ExplicitLanguageModel, "Attributes")
    model = refined(max_iter=1)
    assert not any(hasattr(model, name) for name in attributes)
    model.fit(DOCUMENTS)
    assert all(hasattr(model, name) for name in attributes)
    fitted = {name for name in vars(model) if name.endswith("_")}
    assert fitted <= set(attributes)


def test_unfitted_models_say_so():
    model = make()
    calls = [
        lambda: model.evaluate(DOCUMENTS),
        lambda: model.log_proba([0]),
        lambda: model.predict_proba([[0]]),
        lambda: model.generate([0]),
        lambda: model.save("unused"),
        lambda: model.merge(),
        lambda: model.bits_per_byte(["a"]),
    ]
    for call in calls:
        with pytest.raises(NotFittedError):
            call()


def test_clones_pickles_and_searches():
    model = refined(max_iter=1, inverse_temperature=np.array([1.0, 0.5]))
    model.fit(DOCUMENTS)
    copy = pickle.loads(pickle.dumps(model))
    assert_array_equal(copy.predict_proba([[0]]), model.predict_proba([[0]]))
    fresh = clone(model)
    assert not hasattr(fresh, "n_tokens_")
    assert_array_equal(fresh.inverse_temperature, [1.0, 0.5])
    search = GridSearchCV(make(), {"context_size": np.arange(1, 4)}, cv=3)
    search.fit(DOCUMENTS)
    assert search.best_params_["context_size"] == 2
    assert_allclose(
        search.cv_results_["mean_test_score"][1],
        cross_val_score(make(), DOCUMENTS, cv=3).mean(),
    )


def test_documents_are_no_metadata():
    with config_context(enable_metadata_routing=True):
        assert make().get_metadata_routing().fit.requests == {"documents_val": None}
        assert not make().get_metadata_routing().score.requests
        search = GridSearchCV(
            refined(max_iter=1).set_fit_request(documents_val=True),
            {"context_size": [1, 2]},
            cv=2,
        )
        search.fit(DOCUMENTS, documents_val=HELD_OUT)
    assert len(search.best_estimator_.validation_scores_) == 1
