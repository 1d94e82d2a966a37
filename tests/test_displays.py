"""Displays: data computed, curves drawn, and messages for bad input."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitTextClassifier,
    LossCurveDisplay,
    PrimingNumberDisplay,
    Refinement,
    ReliabilityDisplay,
    TopFeaturesDisplay,
    expected_calibration_error,
)

NUMBERS = [500.0, "mean_norm", 50.0]


@pytest.fixture(autouse=True)
def _figures():
    backend = mpl.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(n_class=5, return_X_y=True)
    # The priming number matters only if classes differ in size, and only under
    # translation="column".
    kept = np.random.default_rng(0).random(len(y)) < 1 / (1 + y)
    return X[kept][:300], y[kept][:300]


@pytest.fixture(scope="module")
def classifier(digits):
    return ExplicitSoftmaxClassifier().fit(*digits)


@pytest.fixture(scope="module")
def classifier_cv(digits):
    return ExplicitSoftmaxClassifierCV(
        priming_numbers=NUMBERS,
        norm_exponents=[0.0, 0.5],
        smoothing_strengths=[0.1, 1.0],
        translation="column",
    ).fit(*digits)


@pytest.fixture(scope="module")
def runs(digits):
    refinement = Refinement(early_stopping=True, max_iter=5, random_state=0)
    how = {"warm_start": True, "refinement": refinement}
    starts = {"cold": 0.0, "warm": "auto"}
    with pytest.warns(ConvergenceWarning):
        return {
            name: ExplicitSoftmaxClassifier(inverse_temperature=b, **how).fit(*digits)
            for name, b in starts.items()
        }


def legend_of(display):
    display.figure_.canvas.draw()  # labels and layout are computed only then
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_priming_numbers_of_the_best_other_parameters(classifier_cv):
    display = PrimingNumberDisplay.from_estimator(classifier_cv)
    results = classifier_cv.cv_results_
    at_best = (results["param_norm_exponent"] == classifier_cv.norm_exponent_) & (
        results["param_smoothing_strength"] == classifier_cv.smoothing_strength_
    )
    tried = results["param_priming_number"][at_best]
    numbers = [display.mean_norm if k == "mean_norm" else k for k in tried]
    expected = dict(zip(numbers, results["mean_test_score"][at_best], strict=True))
    assert len(expected) == 3
    counts = classifier_cv.feature_count_.sum() / classifier_cv.class_count_.sum()
    assert display.mean_norm == pytest.approx(counts, rel=1e-12)
    assert display.priming_numbers.tolist() == sorted(expected)
    assert display.scores.tolist() == [expected[k] for k in sorted(expected)]
    assert max(display.scores) == classifier_cv.best_score_
    assert_array_equal(display.line_.get_xdata(), display.priming_numbers)
    assert_array_equal(display.line_.get_ydata(), display.scores)
    assert display.mean_norm_line_.get_xdata()[0] == display.mean_norm
    assert legend_of(display) == [f"mean norm, K = {display.mean_norm:.4g}"]
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "Negative log loss"


def test_priming_numbers_of_a_pipeline_by_another_scoring(digits):
    grid = {"priming_numbers": [300, "mean_norm", 310], "norm_exponents": [0.5]}
    search = ExplicitSoftmaxClassifierCV(**grid, translation="column", cv=2)
    search.set_params(scoring="neg_brier_score")
    pipeline = make_pipeline(FunctionTransformer(), search).fit(*digits)
    display = PrimingNumberDisplay.from_estimator(pipeline, negate_score=True)
    assert display.mean_norm == pytest.approx(np.sqrt(digits[0].sum(axis=1)).mean())
    assert display.scores.max() == search.best_score_
    assert_array_equal(display.line_.get_ydata(), -display.scores)
    assert display.ax_.get_ylabel() == "Brier score"


def test_priming_numbers_as_they_are_given():
    _, ax = plt.subplots()
    given = {"priming_numbers": [3, 1, 2], "scores": [0.3, 0.1, 0.2]}
    display = PrimingNumberDisplay(**given, score_name="Accuracy")
    assert display.plot(ax, line_kw={"c": "red", "ms": 3}) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.line_.get_color() == "red"
    assert display.line_.get_markersize() == 3
    assert_array_equal(display.scores, [0.1, 0.2, 0.3])
    assert ax.get_ylabel() == "Accuracy"
    assert ax.get_xscale() == "linear"
    assert display.mean_norm_line_ is None
    assert ax.get_legend() is None


@pytest.mark.parametrize(
    ("numbers", "scores", "mean_norm", "message"),
    [
        ([], [], None, "priming_numbers must be one-dim"),
        ([0.0], [1], None, "priming_numbers must be positive"),
        (["mean_norm"], [1], None, "priming_numbers must be"),
        ([1, 2], [1], None, "scores has 1 entries"),
        ([1], [[1]], None, "scores must be one-dim"),
        ([1], [1], 0.0, "mean_norm must"),
    ],
)
def test_bad_priming_numbers(numbers, scores, mean_norm, message):
    with pytest.raises(ValueError, match=message):
        PrimingNumberDisplay(
            priming_numbers=numbers, scores=scores, mean_norm=mean_norm
        )


def test_searches_that_show_no_priming_number(digits, classifier):
    X, y = digits
    show = PrimingNumberDisplay.from_estimator
    with pytest.raises(NotFittedError):
        show(ExplicitSoftmaxClassifierCV())
    other = GridSearchCV(MultinomialNB(), {"alpha": [1.0, 2.0]}, cv=2).fit(X, y)
    for search in (classifier, other):
        with pytest.raises(ValueError, match="must be an ExplicitSoftmaxClassifierCV"):
            show(search)
    one = ExplicitSoftmaxClassifierCV(norm_exponents=[0.0]).fit(X, y)
    with pytest.raises(ValueError, match="estimator has tried 1 priming numbers"):
        show(one)


@pytest.mark.parametrize("validation", [False, True])
def test_losses_of_estimators(runs, validation):
    plain = [3.0, 2.0, 1.0]
    shown = {**runs, "plain": plain}
    display = LossCurveDisplay.from_estimators(shown, validation=validation)
    for line, (name, run) in zip(display.lines_[:2], runs.items(), strict=True):
        losses = run.loss_curve_
        if validation:
            losses = [-score for score in run.validation_scores_]
        assert display.curves[name] == losses
        assert_array_equal(line.get_ydata(), losses)
        assert_array_equal(line.get_xdata(), range(1, len(losses) + 1))
    assert display.curves["plain"] == plain
    assert legend_of(display) == ["cold", "warm", "plain"]
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    name = "Validation" if validation else "Training"
    assert display.ax_.get_ylabel() == f"{name} log-loss (nats)"


def test_losses_as_they_are_given():
    _, ax = plt.subplots()
    display = LossCurveDisplay(curves={"one": [2.0], "two": np.array([2, 1])})
    assert display.plot(ax, xscale="linear", line_kw={"lw": 3}) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert [line.get_linewidth() for line in display.lines_] == [3, 3]
    assert ax.get_ylabel() == "Log-loss (nats)"
    assert legend_of(display) == ["one", "two"]


def test_runs_without_losses(digits, classifier):
    show = LossCurveDisplay.from_estimators
    with pytest.raises(NotFittedError):
        show({"run": ExplicitSoftmaxClassifier(warm_start=True)})
    for bad in (classifier, {}, [classifier]):
        with pytest.raises(ValueError, match="estimators must be a dict"):
            show(bad)
    messages = ".*warm_start=True", " must be one-dim", " must be numbers"
    for bad, message in zip((classifier, [], "losses"), messages, strict=True):
        with pytest.raises(ValueError, match=rf"estimators\['run'\]{message}"):
            show({"run": bad})
    with pytest.raises(ValueError, match="curves must be a dict"):
        LossCurveDisplay(curves=[1.0, 2.0])
    model = ExplicitSoftmaxClassifier(warm_start=True, refinement=Refinement(tol=1.0))
    pipeline = make_pipeline(FunctionTransformer(), model).fit(*digits)
    assert show({"run": pipeline}).curves["run"] == model.loss_curve_
    with pytest.raises(ValueError, match=r"estimators\['run'\].*early_stopping=True"):
        show({"run": pipeline}, validation=True)
    # Curves that are empty, or of accuracies.
    run = ExplicitSoftmaxClassifier()
    vars(run).update(vars(classifier))
    run.loss_curve_ = []
    with pytest.raises(ValueError, match="empty loss_curve_"):
        show({"run": run})
    run.loss_curve_, run.validation_scores_ = [1.0], [0.9]
    with pytest.raises(ValueError, match="needs log-likelihoods"):
        show({"run": run}, validation=True)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, classifier_cv):
    display = PrimingNumberDisplay(priming_numbers=[1, 2], scores=[1, 2])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name, call, *arguments in (
        ("PrimingNumberDisplay.plot", display.plot),
        (".from_estimator", PrimingNumberDisplay.from_estimator, classifier_cv),
        (".from_estimators", LossCurveDisplay.from_estimators, {"run": [1.0]}),
    ):
        with pytest.raises(ImportError, match=f"{name} requires matplotlib"):
            call(*arguments)


def test_reliability_is_what_is_drawn(digits, classifier):
    X, y = digits
    first = ReliabilityDisplay.from_estimator(classifier, X, y, n_bins=10)
    prob = classifier.predict_proba(X)
    assert first.error == expected_calibration_error(y, prob, n_bins=10)
    assert_array_equal(first.line_.get_xdata(), first.confidence)
    assert_array_equal(first.line_.get_ydata(), first.accuracy)
    assert first.share.sum() == pytest.approx(1)
    assert f"ECE = {first.error:.3f}" in first.line_.get_label()
    assert first.line_.get_label().startswith("ExplicitSoftmaxClassifier")
    second = ReliabilityDisplay.from_predictions(y, prob, ax=first.ax_, name="again")
    assert second.ax_ is first.ax_
    assert [bar.get_height() for bar in second.bars_] == second.share.tolist()


def test_reliability_of_two_classes_is_that_of_scikit_learn():
    prob = np.random.default_rng(0).random(500)
    y = (np.random.default_rng(1).random(500) < prob**2).astype(int)
    sure = prob > 0.5  # where the most probable class is the second
    ours = ReliabilityDisplay.from_predictions(
        y[sure], prob[sure], n_bins=10, labels=[0, 1]
    )
    peer = CalibrationDisplay.from_predictions(y[sure], prob[sure], n_bins=10)
    assert_allclose(ours.confidence, peer.prob_pred)
    assert_allclose(ours.accuracy, peer.prob_true)


def drawn(display):
    """Names and evidence of each panel, from the top."""
    return [
        [
            (tick.get_text(), bar.get_width())
            for tick, bar in zip(ax.get_yticklabels(), bars, strict=True)
        ][::-1]
        for ax, bars in zip(display.axes_, display.bars_, strict=True)
    ]


def test_top_features_are_those_of_feature_evidence(digits, classifier):
    names = [f"pixel {i}" for i in range(64)]
    display = TopFeaturesDisplay.from_estimator(
        classifier, classes=[3, 0], top=4, feature_names=names
    )
    found = classifier.feature_evidence(4, names)
    assert [ax.get_title() for ax in display.axes_] == ["3", "0"]
    for label, panel in zip([3, 0], drawn(display), strict=True):
        assert panel == sorted(found[label], key=lambda pair: -pair[1])
    assert len(TopFeaturesDisplay.from_estimator(classifier, top=1).axes_) == 5


def test_top_features_of_a_pipeline_have_the_names_of_its_steps():
    texts = ["sun sea", "sea sand", "snow ice", "ice hail"]
    pipeline = make_pipeline(
        CountVectorizer(), ExplicitSoftmaxClassifier(inverse_temperature=1.0)
    ).fit(texts, [0, 0, 1, 1])
    display = TopFeaturesDisplay.from_estimator(pipeline, classes=[1], top=2)
    ((first, _), _) = drawn(display)[0]
    assert first == "ice"
    again = display.plot(display.axes_[0], bar_kw={"color": "black"})
    assert again.bars_[0][0].get_facecolor() == (0, 0, 0, 1)


def test_an_explanation_is_drawn_as_it_is():
    texts = ["cats purr", "cats sleep", "dogs bark", "dogs run"]
    clf = ExplicitTextClassifier(features="words+chars", min_df=1)
    clf = clf.fit(texts, ["cat", "cat", "dog", "dog"])
    table = clf.explain("cats bark", top=6)
    display = TopFeaturesDisplay.from_explanation(table)
    values = [value for panel in drawn(display) for _, value in panel]
    assert values == table["evidence"]
    names = [name for panel in drawn(display) for name, _ in panel]
    for name, kind, feature in zip(names, table["kind"], table["feature"], strict=True):
        assert name == (feature if kind == "words" else f"{feature} ({kind})")
    assert display.axes_[0].get_title().startswith(table["class"][0])


def test_top_features_that_cannot_be_drawn(digits, classifier):
    with pytest.raises(TypeError, match="MultinomialNB has no feature_evidence"):
        TopFeaturesDisplay.from_estimator(MultinomialNB().fit(*digits))
    with pytest.raises(ValueError, match=r"labels that are unknown: \[9\]"):
        TopFeaturesDisplay.from_estimator(classifier, classes=[0, 9])
    with pytest.raises(ValueError, match=r"it lacks \['probability'"):
        TopFeaturesDisplay.from_explanation({"class": ["cat"]})
    with pytest.raises(ValueError, match="evidence must be a dict"):
        TopFeaturesDisplay(evidence={})
    ax = plt.subplots()[1]
    with pytest.raises(ValueError, match="axes are 1 for 2 classes"):
        TopFeaturesDisplay(evidence={0: [("a", 1.0)], 1: [("b", 1.0)]}).plot(ax)
