"""How far fits and long predictions tell callbacks of scikit-learn that they are."""

import threading
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline

from explicit_softmax import (
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    ExplicitTextClassifier,
    Refinement,
    _base,
    _sklearn,
    _text_classifier,
)
from explicit_softmax._sklearn import CallbackSupportMixin, FitReport
from explicit_softmax.solution.progress import listener, listening
from explicit_softmax.text import features, ngram_model, tokens
from tests.test_warm_start import HAS_CALLBACKS

if HAS_CALLBACKS:
    from sklearn.callback import ScoringMonitor

pytestmark = [
    pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn < 1.9 has no callbacks"),
    pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence"),
]
RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = RNG.poisson(0.03 + 0.1 * (Y[:, None] == np.arange(90) % 3)).astype(float)
TEXTS = [
    " ".join(np.repeat(list("abcdefghij"), row)) for row in X[:, :10].astype(int) + 1
]


class Fractions:
    """A callback that computes how much is done as the progress bar does."""

    max_propagation_depth = None

    def setup(self, estimator, context):
        self.tasks, self.told, self.names = {}, [], []

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        path = self.path(context)
        self.tasks[path] = [context.max_subtasks, False]
        if context.task_name not in ("step", *self.names[-1:]):
            self.names.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        self.tasks[self.path(context)][1] = True
        self.told.append(self.progress((0,)))

    def path(self, context):
        above = () if context.parent is None else self.path(context.parent)
        return (*above, context.task_id)

    def progress(self, path):
        total, is_done = self.tasks[path]
        if is_done or not total:
            return float(is_done)
        parts = [p for p in self.tasks if p[:-1] == path]
        return sum(self.progress(part) for part in parts) / total


def fractions(estimator, *data, method="fit", **how):
    recorder = Fractions()
    getattr(estimator.set_callbacks(recorder), method)(*data, **how)
    assert recorder.told == sorted(recorder.told)
    assert recorder.told[-1] == 1
    return recorder


def largest_step(recorder):
    return np.diff(recorder.told, prepend=0).max()


@pytest.mark.parametrize(
    ("estimator", "largest", "stages"),
    [
        (
            ExplicitSoftmaxClassifier(inverse_temperature="frequency"),
            0.5,
            ["count", "leave-one-out"],
        ),
        (
            ExplicitSoftmaxClassifierCV(smoothing_strengths=[0.1, 1]),
            0.5,
            ["search", "solve"],
        ),
        (
            ExplicitSoftmaxClassifierCV(cv=2, smoothing_strengths=[0.1]),
            0.5,
            ["search", "solve"],
        ),
        (
            ExplicitSoftmaxNetworkClassifier(hidden_targets=2, random_state=0),
            0.26,
            ["hidden-targets", "layers"],
        ),
    ],
)
def test_fits_do_not_stand(estimator, largest, stages):
    recorder = fractions(estimator, X, Y)
    assert recorder.names == ["fit", *stages]
    assert largest_step(recorder) <= largest
    assert len(recorder.told) > 7


def test_a_batch_of_a_stream_is_told():
    batch = X, Y, [0, 1, 2]
    recorder = fractions(ExplicitSoftmaxClassifier(), *batch, method="partial_fit")
    assert recorder.names == ["partial_fit"]
    assert recorder.told == [1]


def test_trials_of_penalties_are_told():
    refinement = Refinement(max_iter=3, random_state=0, tol=0.0)
    clf = ExplicitSoftmaxClassifier(warm_start=True, refinement=refinement)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        recorder = fractions(clf, X, Y)
    assert recorder.names[:4] == ["fit", "count", "leave-one-out", "choose-penalty"]
    trials = recorder.tasks[0, 2]
    steps = [path for path in recorder.tasks if path[:2] == (0, 2) and len(path) == 3]
    assert trials == [9, True]  # three penalties, three iterations each
    assert 3 <= len(steps) <= 9


def test_texts_are_told_one_by_one_and_the_classifier_too():
    recorder = fractions(ExplicitTextClassifier(), TEXTS, Y)
    assert recorder.names[:2] == ["fit", "choose-features"]
    # The classifier tells of the last part itself, under the name of its method.
    assert recorder.names[2:] == ["count-features", "fit", "search", "solve"]
    assert largest_step(recorder) < 0.3
    hashing = ExplicitTextClassifier(hashing=256)
    for _ in range(2):
        recorder = fractions(hashing, TEXTS, Y, [0, 1, 2], method="partial_fit")
        assert recorder.names == ["partial_fit", "count-features", "partial_fit"]
        assert largest_step(recorder) <= 0.5
    assert not hasattr(hashing.classifier_, "_skl_callbacks")


def test_a_vectorizer_that_sorts_its_ngrams_is_told_when_it_is_done():
    told = []
    with listening(told.append):
        features.fit_features(TEXTS, features.make_vectorizers("words", 1, None), False)
    assert told == [1] * 60 + [60]


def test_pipelines_hand_their_callbacks_on():
    pipeline = make_pipeline("passthrough", ExplicitTextClassifier(features="words"))
    assert "count-features" in fractions(pipeline, TEXTS, Y).names


@pytest.mark.parametrize("tokenizer", [None, "whitespace", str.split])
@pytest.mark.parametrize("aggregation", ["ngram", "sum"])
def test_documents_are_told_as_they_are_read(tokenizer, aggregation, tmp_path):
    def model():
        return ExplicitLanguageModel(
            aggregation=aggregation, tokenizer=tokenizer, vocabulary_size=30
        )

    path = tmp_path / "texts"
    path.write_text("\n".join(TEXTS))
    for documents in (TEXTS, iter(TEXTS), path):
        recorder = fractions(model(), documents)
        assert recorder.names == ["fit", "learn-tokens", "encode", "count", "solve"]
        assert largest_step(recorder) <= 0.25
    streamed = model()
    recorder = fractions(streamed, TEXTS, method="partial_fit")
    assert recorder.names == ["partial_fit", "learn-tokens", "encode", "count"]
    recorder = fractions(streamed, iter(TEXTS), method="partial_fit")
    assert recorder.names == ["partial_fit", "encode", "count"]
    assert streamed.n_tokens_ > model().fit(TEXTS).n_tokens_


class Waits(CallbackSupportMixin, BaseEstimator):
    """Stands for an estimator that is being fitted."""


def report_of(n_stages):
    estimator = Waits().set_callbacks(recorder := Fractions())
    return FitReport(estimator, None, None, None, n_stages), recorder


@pytest.mark.parametrize(
    ("n_steps", "n_told"), [(0, 0), (7, 7), (1000, 100), (None, 0)]
)
def test_a_hundredth_of_the_steps_is_told(n_steps, n_told):
    report, recorder = report_of(1)
    with report.stage("work", n_steps) as step:
        for _ in range(2000):  # more than was announced
            step(1)
        assert len(recorder.told) == n_told
    report.end()
    assert len(recorder.told) == n_told + 2


def test_steps_are_told_by_threads_and_by_what_is_called():
    report, recorder = report_of(2)
    with report.stage("work", 40) as step:
        threads = [threading.Thread(target=step, args=(5,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(recorder.told) == 20
        with listening(None):
            listener()(5)
        listener()(5)
        assert len(recorder.told) == 25
    listener()(5)  # nobody listens
    assert len(recorder.told) == 26


def test_nobody_listens_after_an_error():
    report, recorder = report_of(1)
    with pytest.raises(RuntimeError), report.stage("work", 3) as step:
        raise RuntimeError
    step(1)
    assert recorder.told == []
    before = listener()
    before(1)
    with listening(lambda n: None):
        assert listener() is not before
    assert listener() is before


@pytest.fixture
def no_patience(monkeypatch):
    """Predictions of any length are told."""
    monkeypatch.setattr(_sklearn, "_PATIENCE", 0.0)


PREDICTIONS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", [*PREDICTIONS, "score"])
def test_predictions_of_texts_are_told(method, no_patience, monkeypatch):
    clf = ExplicitTextClassifier(features="words").fit(TEXTS, Y)
    data = (TEXTS, Y) if method == "score" else (TEXTS,)
    expected = getattr(clf, method)(*data)
    monkeypatch.setattr(_text_classifier, "_PREDICTED_TEXTS", 7)
    recorder = fractions(clf, *data, method=method)
    assert recorder.names == ["predict" if method == "score" else method]
    assert largest_step(recorder) <= 0.05
    assert np.array_equal(getattr(clf, method)(*data), expected)


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("evaluate", (TEXTS,)),
        ("perplexity", (TEXTS,)),
        ("log_proba", (TEXTS,)),
        ("score_samples", (TEXTS,)),
        ("predict_proba", (TEXTS,)),
        ("generate", ("a", 40)),
    ],
)
def test_scores_of_documents_are_told(method, asked, no_patience, monkeypatch):
    monkeypatch.setattr(tokens, "_BATCH_DOCUMENTS", 5)
    monkeypatch.setattr(ngram_model, "_CHUNK_VALUES", 99)
    model = ExplicitLanguageModel(tokenizer="whitespace", predict_end=False).fit(TEXTS)
    how = {"random_state": 0} if method == "generate" else {}
    expected = getattr(model, method)(*asked, **how)
    recorder = fractions(model, *asked, method=method, **how)
    assert recorder.names == ["evaluate" if method == "perplexity" else method]
    assert largest_step(recorder) <= 0.1
    model.set_callbacks()
    np.testing.assert_equal(getattr(model, method)(*asked, **how), expected)


def test_documents_of_an_iterator_and_of_a_file_are_told(no_patience, tmp_path):
    model = ExplicitLanguageModel(tokenizer="whitespace").fit(TEXTS)
    path = tmp_path / "texts"
    path.write_text("\n".join(TEXTS))
    for documents in (iter(TEXTS), path):
        assert fractions(model, documents, method="evaluate").names == ["evaluate"]


def test_rows_are_told_as_they_are_predicted(no_patience, monkeypatch):
    monkeypatch.setattr(_base, "_CHUNK_VALUES", 30)
    clf = ExplicitSoftmaxClassifier().fit(X, Y)
    recorder = fractions(clf, X, Y, method="score")
    assert recorder.names == ["predict"]
    assert len(recorder.told) == 60 + 2
    # Contexts, which callbacks of several threads would mix up, stay off the estimator.
    assert not {name for name in vars(clf) if "callback_fit" in name}


def test_short_predictions_and_those_within_a_fit_tell_nothing(monkeypatch):
    clf = ExplicitSoftmaxClassifier().set_callbacks(recorder := Fractions())
    clf.fit(X, Y)
    of_fit = list(recorder.names)
    clf.predict(X)
    assert recorder.names == of_fit
    monkeypatch.setattr(_sklearn, "_PATIENCE", 0.0)
    monitor = ScoringMonitor(scoring="accuracy")
    clf.set_callbacks(recorder, monitor).fit(X, Y)
    assert recorder.names == of_fit
    assert len(monitor.get_logs().data) == 1  # the fit
    clf.predict(X)  # no step of a fit, to be scored
    assert recorder.names == ["predict"]
    assert len(monitor.get_logs("all")) == 1


def test_errors_in_predictions_tear_callbacks_down(no_patience):
    torn = []

    class Torn(Fractions):
        def teardown(self, estimator, context):
            torn.append(context.task_name)

    model = ExplicitLanguageModel(tokenizer="whitespace").fit(TEXTS)
    documents = [*TEXTS * 40, 3]
    before = listener()
    with pytest.raises(TypeError, match="document 2400"):
        model.set_callbacks(Torn()).evaluate(documents)
    assert torn == ["evaluate"]
    assert listener() is before
