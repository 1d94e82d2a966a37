"""What the displays compute, store, and draw, and how they refuse bad input."""

import sys
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

from explicit_softmax import (
    ClassTemplateDisplay,
    CooccurrenceScalingDisplay,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    LossCurveDisplay,
    PrimingNumberDisplay,
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
    X, y = load_digits(return_X_y=True)
    # Of different sizes, so that the priming number matters.
    kept = np.random.default_rng(0).random(len(y)) < 1 / (1 + y)
    return X[kept], y[kept]


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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            name: ExplicitSoftmaxClassifier(
                inverse_temperature=beta,
                warm_start=True,
                early_stopping=True,
                max_iter=5,
                random_state=0,
            ).fit(*digits)
            for name, beta in [("cold", 0.0), ("warm", "auto")]
        }


def legend_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def draw(display):
    """Draw for good: labels and layouts are made only then."""
    display.figure_.canvas.draw()


# --- PrimingNumberDisplay -------------------------------------------------------------


def test_priming_numbers_of_the_best_other_parameters(classifier_cv):
    display = PrimingNumberDisplay.from_estimator(classifier_cv)
    results = classifier_cv.cv_results_
    at_best = (results["param_norm_exponent"] == classifier_cv.norm_exponent_) & (
        results["param_smoothing_strength"] == classifier_cv.smoothing_strength_
    )
    expected = {
        display.mean_norm if number == "mean_norm" else number: score
        for number, score in zip(
            results["param_priming_number"][at_best],
            results["mean_test_score"][at_best],
            strict=True,
        )
    }
    assert len(expected) == 3
    counts = classifier_cv.feature_count_.sum() / classifier_cv.class_count_.sum()
    assert display.mean_norm == pytest.approx(counts, rel=1e-12)
    assert display.priming_numbers.tolist() == sorted(expected)
    assert display.scores.tolist() == [expected[k] for k in sorted(expected)]
    assert max(display.scores) == classifier_cv.best_score_
    np.testing.assert_array_equal(display.line_.get_xdata(), display.priming_numbers)
    np.testing.assert_array_equal(display.line_.get_ydata(), display.scores)
    assert display.mean_norm_line_.get_xdata()[0] == display.mean_norm
    assert legend_of(display) == [f"mean norm, K = {display.mean_norm:.4g}"]
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "Negative log loss"
    draw(display)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_priming_numbers_of_a_grid_search(digits, in_pipeline):
    model, prefix = ExplicitSoftmaxClassifier(), ""
    if in_pipeline:
        model = make_pipeline(FunctionTransformer(), model)
        prefix = "explicitsoftmaxclassifier__"
    name = prefix + "priming_number"
    grid = {name: [300, "mean_norm", 310], prefix + "norm_exponent": [0.0, 0.5]}
    search = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss").fit(*digits)
    display = PrimingNumberDisplay.from_estimator(search, negate_score=True)
    X, _ = digits
    exponent = search.best_params_[prefix + "norm_exponent"]
    assert display.mean_norm == pytest.approx((X.sum(axis=1) ** (1 - exponent)).mean())
    assert len(display.priming_numbers) == 3
    assert display.scores.max() == search.best_score_
    np.testing.assert_array_equal(display.line_.get_ydata(), -display.scores)
    assert display.ax_.get_ylabel() == "Log loss"


def test_a_search_of_numbers_alone_needs_no_model(digits):
    grid = {"priming_number": [300, 310, 320]}
    search = GridSearchCV(ExplicitSoftmaxClassifier(), grid, refit=False, cv=2)
    display = PrimingNumberDisplay.from_estimator(search.fit(*digits))
    assert display.mean_norm is None
    assert display.mean_norm_line_ is None
    assert display.ax_.get_xscale() == "linear"
    assert display.ax_.get_legend() is None
    assert display.ax_.get_ylabel() == "Score"


def test_a_search_by_several_metrics_shows_the_one_it_refits_by(digits):
    grid = [{"priming_number": [300, 600]}, {"smoothing_strength": [1e4]}]
    search = GridSearchCV(
        ExplicitSoftmaxClassifier(),
        grid,
        cv=2,
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
    ).fit(*digits)
    assert "priming_number" in search.best_params_
    display = PrimingNumberDisplay.from_estimator(search)
    scores = search.cv_results_["mean_test_neg_log_loss"][:2]
    np.testing.assert_array_equal(display.scores, scores)
    search.set_params(refit=False).fit(*digits)
    with pytest.raises(ValueError, match="refit="):
        PrimingNumberDisplay.from_estimator(search)


def test_priming_numbers_as_they_are_given():
    _, ax = plt.subplots()
    display = PrimingNumberDisplay(
        priming_numbers=[3, 1, 2], scores=[0.3, 0.1, 0.2], score_name="Accuracy"
    )
    assert display.plot(ax, line_kw={"c": "red", "ms": 3}) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.line_.get_color() == "red"
    assert display.line_.get_markersize() == 3
    np.testing.assert_array_equal(display.scores, [0.1, 0.2, 0.3])
    assert ax.get_ylabel() == "Accuracy"
    display.plot(ax, score_name="Other")
    assert ax.get_ylabel() == "Other"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"priming_numbers": [], "scores": []}, "priming_numbers must be one-dim"),
        ({"priming_numbers": [0.0], "scores": [1]}, "priming_numbers must be positive"),
        ({"priming_numbers": ["mean_norm"], "scores": [1]}, "priming_numbers must be"),
        ({"priming_numbers": [1, 2], "scores": [1]}, "scores has 1 entries"),
        ({"priming_numbers": [1], "scores": [[1]]}, "scores must be one-dim"),
        ({"priming_numbers": [1], "scores": [1], "mean_norm": 0.0}, "mean_norm must"),
    ],
)
def test_bad_priming_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        PrimingNumberDisplay(**arguments)


def test_searches_that_show_no_priming_number(digits, classifier):
    X, y = digits
    show = PrimingNumberDisplay.from_estimator
    with pytest.raises(NotFittedError):
        show(ExplicitSoftmaxClassifierCV())
    with pytest.raises(ValueError, match=r"estimator must have searched .*cv_results_"):
        show(classifier)
    other = GridSearchCV(MultinomialNB(), {"alpha": [1.0, 2.0]}, cv=2).fit(X, y)
    with pytest.raises(ValueError, match="one parameter whose name ends in priming"):
        show(other)
    one = ExplicitSoftmaxClassifierCV(norm_exponents=[0.0]).fit(X, y)
    with pytest.raises(ValueError, match="estimator has tried 1 priming numbers"):
        show(one)
    grid = {"priming_number": [10, "mean_norm"]}
    search = GridSearchCV(ExplicitSoftmaxClassifier(), grid, refit=False, cv=2)
    with pytest.raises(ValueError, match="refit=True"):
        show(search.fit(X, y))


# --- LossCurveDisplay -----------------------------------------------------------------


@pytest.mark.parametrize("validation", [False, True])
def test_losses_of_estimators(runs, validation):
    plain = [3.0, 2.0, 1.0]
    display = LossCurveDisplay.from_estimators(
        {**runs, "plain": plain}, validation=validation
    )
    for line, (name, run) in zip(display.lines_[:2], runs.items(), strict=True):
        losses = run.loss_curve_
        if validation:
            losses = [-score for score in run.validation_scores_]
        assert display.curves[name] == losses
        np.testing.assert_array_equal(line.get_ydata(), losses)
        np.testing.assert_array_equal(line.get_xdata(), range(1, len(losses) + 1))
    assert display.curves["plain"] == plain
    assert legend_of(display) == ["cold", "warm", "plain"]
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    name = "Validation" if validation else "Training"
    assert display.ax_.get_ylabel() == f"{name} log-loss (nats)"
    draw(display)


def test_losses_as_they_are_given():
    _, ax = plt.subplots()
    display = LossCurveDisplay(curves={"one": [2.0], "two": np.array([2, 1])})
    assert display.plot(ax, xscale="linear", line_kw={"lw": 3}) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert [line.get_linewidth() for line in display.lines_] == [3, 3]
    assert ax.get_ylabel() == "Log-loss (nats)"
    draw(display)


def test_losses_of_a_pipeline(digits):
    model = ExplicitSoftmaxClassifier(warm_start=True, tol=1.0, n_iter_no_change=1)
    pipeline = make_pipeline(FunctionTransformer(), model).fit(*digits)
    display = LossCurveDisplay.from_estimators({"run": pipeline})
    assert display.curves["run"] == pipeline[-1].loss_curve_


def test_runs_without_losses(digits, classifier):
    show = LossCurveDisplay.from_estimators
    with pytest.raises(NotFittedError):
        show({"run": ExplicitSoftmaxClassifier(warm_start=True)})
    with pytest.raises(ValueError, match=r"estimators\['run'\].*warm_start=True"):
        show({"run": classifier})
    for bad in (classifier, {}, [classifier]):
        with pytest.raises(ValueError, match="estimators must be a dict"):
            show(bad)
    with pytest.raises(ValueError, match=r"estimators\['run'\] must be one-dim"):
        show({"run": []})
    with pytest.raises(ValueError, match=r"estimators\['run'\] must be numbers"):
        show({"run": "losses"})
    with pytest.raises(ValueError, match="curves must be a dict"):
        LossCurveDisplay(curves=[1.0, 2.0])
    refined = ExplicitSoftmaxClassifier(warm_start=True, tol=1.0).fit(*digits)
    with pytest.raises(ValueError, match=r"estimators\['run'\].*early_stopping=True"):
        show({"run": refined}, validation=True)


def test_runs_whose_curves_are_empty_or_accuracies(classifier):
    run = ExplicitSoftmaxClassifier()
    vars(run).update(vars(classifier))
    run.loss_curve_ = []
    with pytest.raises(ValueError, match="empty loss_curve_"):
        LossCurveDisplay.from_estimators({"run": run})
    run.loss_curve_, run.validation_scores_ = [1.0], [0.9]
    with pytest.raises(ValueError, match="needs log-likelihoods"):
        LossCurveDisplay.from_estimators({"run": run}, validation=True)


# --- CooccurrenceScalingDisplay -------------------------------------------------------


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("priming_number", [2.0, "mean_norm"])
def test_power_means_by_their_definition(digits, priming_number, as_rows):
    X, y = digits
    clf = ExplicitSoftmaxClassifier(priming_number=priming_number)
    clf.fit(as_rows(X), y)
    display = CooccurrenceScalingDisplay.from_estimator(clf, as_rows(X), y)
    K = clf.priming_number_
    F = np.stack([X[y == label].sum(axis=0) for label in range(10)])
    means = []
    for label in range(10):
        rows = X[y == label]
        geometric = [
            np.exp((row[row > 0] @ np.log(F[label][row > 0])) / row.sum())
            for row in rows
        ]
        highest = max(geometric)  # its K-th power would overflow
        means.append(highest * np.mean((np.array(geometric) / highest) ** K) ** (1 / K))
    np.testing.assert_allclose(display.power_means, means, rtol=1e-9)
    np.testing.assert_allclose(display.class_mass, F.sum(axis=1), rtol=1e-9)
    slope = np.polyfit(np.log(means), np.log(F.sum(axis=1)), 1)[0]
    assert display.slope_ == pytest.approx(slope, rel=1e-6)
    assert legend_of(display) == [f"least squares, slope {slope:.2f}"]
    ends = display.line_.get_xydata()
    rise = np.diff(np.log(ends), axis=0)[0]
    assert rise[1] / rise[0] == pytest.approx(slope, rel=1e-6)
    assert [text.get_text() for text in display.texts_] == [*"0123456789"]
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    draw(display)


def test_a_class_whose_features_are_uniform_has_the_mass_of_all_of_them():
    X = np.repeat([[2.0] * 8, [6.0] * 8], [3, 5], axis=0)
    y = [0] * 3 + [1] * 5
    clf = ExplicitSoftmaxClassifier(smoothing="uniform").fit(X, y)
    display = CooccurrenceScalingDisplay.from_estimator(clf, X, y)
    np.testing.assert_allclose(display.power_means, [6.0, 30.0])
    np.testing.assert_allclose(display.class_mass, [48.0, 240.0])
    assert display.slope_ == pytest.approx(1.0)


def test_classes_that_were_not_seen_are_left_out(digits):
    X, y = digits
    clf = ExplicitSoftmaxClassifier().partial_fit(X, y, classes=range(12))
    display = CooccurrenceScalingDisplay.from_estimator(clf, X, y)
    assert display.classes.tolist() == list(range(10))


def test_scaling_of_a_search_and_of_a_pipeline(digits, classifier_cv):
    display = CooccurrenceScalingDisplay.from_estimator(classifier_cv, *digits)
    assert len(display.class_mass) == 10
    pipeline = make_pipeline(MinMaxScaler(), ExplicitSoftmaxClassifier()).fit(*digits)
    display = CooccurrenceScalingDisplay.from_estimator(
        pipeline, *digits, label_classes=False
    )
    assert display.texts_ == []
    assert display.class_mass.sum() < digits[0].sum()


def test_points_as_they_are_given():
    _, ax = plt.subplots()
    display = CooccurrenceScalingDisplay(power_means=[2, 2], class_mass=[3, 4])
    assert display.plot(ax, scatter_kw={"s": 5, "c": "red"}) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert np.isnan(display.slope_)
    assert display.line_ is None
    assert display.scatter_.get_sizes() == [5]
    np.testing.assert_array_equal(display.scatter_.get_offsets(), [[2, 3], [2, 4]])
    draw(display)


def test_bad_points(digits):
    with pytest.raises(NotFittedError):
        CooccurrenceScalingDisplay.from_estimator(ExplicitSoftmaxClassifier(), *digits)
    with pytest.raises(ValueError, match=r"estimator must be .*MultinomialNB"):
        CooccurrenceScalingDisplay.from_estimator(MultinomialNB().fit(*digits), *digits)
    zeros, labels = np.zeros((4, 2)), [0, 1, 0, 1]
    empty = ExplicitSoftmaxClassifier().fit(zeros, labels)
    with pytest.raises(ValueError, match="estimator was fitted on rows without"):
        CooccurrenceScalingDisplay.from_estimator(empty, zeros, labels)
    with pytest.raises(ValueError, match="power_means must be positive"):
        CooccurrenceScalingDisplay(power_means=[0, 1], class_mass=[1, 2])
    with pytest.raises(ValueError, match="class_mass has 1 entries"):
        CooccurrenceScalingDisplay(power_means=[1, 2], class_mass=[1])
    with pytest.raises(ValueError, match="classes has 1 entries"):
        CooccurrenceScalingDisplay(power_means=[1, 2], class_mass=[1, 2], classes=["a"])


# --- ClassTemplateDisplay -------------------------------------------------------------


@pytest.mark.parametrize("centre", [False, True])
def test_templates_are_rows_of_weights(classifier, centre):
    display = ClassTemplateDisplay.from_estimator(
        classifier, image_shape=(4, 16), centre=centre
    )
    weights = classifier.coef_
    if centre:
        weights = weights - weights.mean(axis=0)
    np.testing.assert_array_equal(display.templates, weights.reshape(10, 4, 16))
    assert [panel.get_title() for panel in display.axes_] == [*"0123456789"]
    limits = {image.get_clim() for image in display.images_}
    assert len(limits) == 1
    ((low, high),) = limits
    assert low == -high < 0
    assert np.mean(np.abs(display.templates) > high) < 0.022
    for image, template in zip(display.images_, display.templates, strict=True):
        np.testing.assert_array_equal(image.get_array(), template)
    assert display.colorbar_.ax.get_ylabel().startswith("Weight")
    draw(display)


def test_templates_of_chosen_classes(classifier):
    chosen = {"image_shape": (8, 8), "classes": [7, 2]}
    display = ClassTemplateDisplay.from_estimator(classifier, **chosen)
    assert [panel.get_title() for panel in display.axes_] == ["7", "2"]
    everything = ClassTemplateDisplay.from_estimator(classifier, image_shape=(8, 8))
    # The mean is over all classes, not over those drawn.
    np.testing.assert_array_equal(display.templates, everything.templates[[7, 2]])
    single = ClassTemplateDisplay.from_estimator(
        classifier, image_shape=(8, 8), classes=3, ax=plt.subplots()[1]
    )
    assert len(single.images_) == 1


def test_templates_of_other_estimators_and_of_string_labels(digits):
    X, y = digits
    kept = y < 3
    X, labels = X[kept], np.array(["zero", "one", "two"])[y[kept]]
    clf = make_pipeline(MinMaxScaler(), LogisticRegression(tol=0.1)).fit(X, labels)
    display = ClassTemplateDisplay.from_estimator(
        clf, image_shape=(8, 8), classes=["two", "zero"]
    )
    assert display.classes.tolist() == ["two", "zero"]
    assert display.axes_[0].get_title() == "two"


def test_templates_on_panels_that_are_given():
    figure, axes = plt.subplots(1, 3)
    display = ClassTemplateDisplay(templates=np.zeros((3, 2, 2)), classes=["a", 1, 2.5])
    norm = mpl.colors.SymLogNorm(0.1, vmin=-1, vmax=1)
    assert display.plot(axes, im_kw={"norm": norm, "cmap": "PuOr"}) is display
    assert display.axes_.tolist() == axes.tolist()
    assert display.figure_ is figure
    assert display.images_[0].norm is norm
    assert display.images_[0].get_cmap().name == "PuOr"
    with pytest.raises(ValueError, match="ax has 2 entries, and templates has 3"):
        display.plot(axes[:2])
    display.plot()
    assert display.images_[0].get_clim() == (-1, 1)
    assert len(display.figure_.axes) == 4
    draw(display)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"image_shape=\(28, 28\) has 784 pixels, .* 64 features"),
        ({"image_shape": 8}, "image_shape must be two positive integers"),
        ({"image_shape": (8.0, 8.0)}, "image_shape must be two positive integers"),
        ({"image_shape": (-8, -8)}, "image_shape must be two positive integers"),
        ({"image_shape": (8, 8), "classes": [1, 11]}, r"classes must .*\[11\]"),
        ({"image_shape": (8, 8), "classes": []}, "classes is empty"),
        ({"image_shape": (8, 8), "ax": []}, "ax has 0 entries"),
    ],
)
def test_bad_template_arguments(classifier, arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassTemplateDisplay.from_estimator(classifier, **arguments)


def test_estimators_without_templates(digits):
    X, y = digits
    with pytest.raises(NotFittedError):
        ClassTemplateDisplay.from_estimator(ExplicitSoftmaxClassifier())
    with pytest.raises(ValueError, match="MultinomialNB coef_ is missing"):
        ClassTemplateDisplay.from_estimator(MultinomialNB().fit(X, y))
    binary = LogisticRegression(tol=0.1).fit(X / 16, y > 4)
    with pytest.raises(ValueError, match=r"coef_ is of shape \(1, 64\)"):
        ClassTemplateDisplay.from_estimator(binary)
    for bad in (np.zeros((2, 4)), np.zeros((0, 2, 2))):
        with pytest.raises(ValueError, match="templates must have the shape"):
            ClassTemplateDisplay(templates=bad, classes=[0, 1])
    with pytest.raises(ValueError, match="templates must be finite"):
        ClassTemplateDisplay(templates=np.full((1, 2, 2), np.nan), classes=[0])
    with pytest.raises(ValueError, match="classes has 1 entries"):
        ClassTemplateDisplay(templates=np.zeros((2, 2, 2)), classes=[0])


# --- All of them ----------------------------------------------------------------------


def test_without_matplotlib_the_error_says_what_to_install(
    monkeypatch, classifier, classifier_cv, digits
):
    display = PrimingNumberDisplay(priming_numbers=[1, 2], scores=[1, 2])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    calls = {
        "PrimingNumberDisplay.plot": display.plot,
        "PrimingNumberDisplay.from_estimator": lambda: (
            PrimingNumberDisplay.from_estimator(classifier_cv)
        ),
        "LossCurveDisplay.from_estimators": lambda: LossCurveDisplay.from_estimators(
            {"run": [1.0]}
        ),
        "CooccurrenceScalingDisplay.from_estimator": lambda: (
            CooccurrenceScalingDisplay.from_estimator(classifier, *digits)
        ),
        "ClassTemplateDisplay.from_estimator": lambda: (
            ClassTemplateDisplay.from_estimator(classifier, image_shape=(8, 8))
        ),
    }
    for name, call in calls.items():
        with pytest.raises(ImportError, match=f"{name} requires matplotlib"):
            call()


def test_calibration_is_drawn_by_scikit_learn(digits):
    X, y = digits
    labels = np.where(y < 2, "low", "high")
    clf = ExplicitSoftmaxClassifier().fit(X, labels)
    display = CalibrationDisplay.from_estimator(clf, X, labels, n_bins=5)
    np.testing.assert_array_equal(display.y_prob, clf.predict_proba(X)[:, 1])
    assert display.estimator_name == "ExplicitSoftmaxClassifier"
    assert np.isfinite(display.prob_true).all()
