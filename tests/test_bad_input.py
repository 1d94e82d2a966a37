"""One clear error each, and the state of the estimator untouched by it."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from explicit_softmax import ExplicitSoftmaxClassifier, Refinement

X = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [1.0, 1.0, 1.0], [4.0, 0.0, 0.0]])
Y = np.array(["a", "b", "b", "a"])
# So few rows may have no evidence for a temperature of their own.
GIVEN = partial(ExplicitSoftmaxClassifier, inverse_temperature=1.0)
NAMED = pd.DataFrame(X, columns=list("abc"))


def fitted(**parameters):
    return ExplicitSoftmaxClassifier(**parameters).fit(X, Y)


def assert_fails_without_effect(clf, error, message, method, *arguments):
    """The call raises, and the model stays as it was."""
    attributes, proba = list(vars(clf)), clf.predict_proba(X)
    with pytest.raises(error, match=message):
        getattr(clf, method)(*arguments)
    assert list(vars(clf)) == attributes
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    assert clf.n_features_in_ == 3
    np.testing.assert_array_equal(clf.classes_, ["a", "b"])


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, r"Negative values in data: row 2 contains -1.* with PositiveFeatures"),
        (np.nan, "NaN: row 2"),
        (np.inf, "infinity: row 2"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "forget", "predict_proba"])
def test_bad_features_name_the_row(method, value, message, dtype, as_rows):
    bad = X.astype(dtype)
    bad[2, 1] = value
    arguments = (as_rows(bad),) if method == "predict_proba" else (as_rows(bad), Y)
    assert_fails_without_effect(fitted(), ValueError, message, method, *arguments)


UNKNOWN = ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("fit", (X, Y, np.zeros(4)), "[Ss]ample.weight"),
        ("fit", (X, Y, [1, -1, 1, 1]), "[Nn]egative"),
        ("fit", (X, Y, np.full(4, 5e307)), "sample_weight are so large"),
        ("partial_fit", (X, Y, None, np.ones(3)), "sample_weight"),
        ("partial_fit", (X, UNKNOWN), r"y contains labels .* not in classes: \['c'\]"),
        ("forget", (X, UNKNOWN), r"not in classes: \['c'\]"),
        ("partial_fit", (X, Y, ["a", "b", "c"]), "not the same as on the last call"),
        ("forget", (X[:1], ["b"]), "more of feature 0 is taken out of class 1"),
        ("forget", (np.zeros((3, 3)), ["a"] * 3), "more rows .* of class 0 .*: 3 of 2"),
        ("fit", (np.c_[X, -X], Y), "Negative values"),
        ("partial_fit", (np.c_[X, X], Y), "6 features"),
        ("fit", (X, [0.1, 0.2, 0.3, 0.4]), "Unknown label type"),
        ("fit", (X[:0], Y[:0]), "0 sample"),
        ("fit", (X[:, :0], Y), "0 feature"),
        ("fit", (np.full((4, 3), 1e308), ["a"] * 4), "overflow"),
    ],
)
def test_failed_call_leaves_the_model_as_it_was(method, arguments, message):
    assert_fails_without_effect(fitted(), ValueError, message, method, *arguments)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "forget"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b", None, "a"], "row 0 has 'a', row 2 has None"),
        (["a", 1, "a", "b"], "row 0 has 'a', row 1 has 1"),
    ],
)
def test_labels_of_several_kinds(method, labels, message):
    labels = np.array(labels, dtype=object)
    assert_fails_without_effect(fitted(), TypeError, message, method, X, labels)


PARAMETERS = [
    ({"priming_number": 0.0}, "priming_number"),
    ({"priming_number": -1}, "priming_number"),
    ({"priming_number": "norm"}, "priming_number"),
    ({"inverse_temperature": -0.5}, "inverse_temperature"),
    ({"inverse_temperature": [0.5, 0.5]}, "inverse_temperature"),
    ({"inverse_temperature": [np.nan]}, "inverse_temperature"),
    ({"smoothing": "laplace"}, "smoothing"),
    ({"smoothing": None}, "smoothing=None needs every co-occurrence to be positive"),
    ({"smoothing_strength": 0.0}, "smoothing_strength"),
    ({"norm_exponent": -1.0}, "norm_exponent"),
    ({"translation": "row"}, "translation"),
    ({"n_blocks": pd.Series([1, 1])}, r"n_blocks=\[1, 1\]"),
    ({"n_blocks": np.array(2)}, "n_blocks=2 does not divide the 3 features"),
    ({"n_blocks": 2}, "n_blocks=2 does not divide the 3 features"),
    ({"n_blocks": [1, 1]}, r"n_blocks=\[1, 1\]"),
    ({"n_blocks": 0}, "n_blocks"),
    ({"n_blocks": [1.9, 2.9]}, "n_blocks must be a positive integer"),
    ({"n_blocks": ["1", "2"]}, "n_blocks must be a positive integer"),
    ({"n_blocks": [True] * 3}, "n_blocks must be a positive integer"),
    ({"inverse_temperature": ["1"]}, "inverse_temperature must have numbers"),
    ({"smoothing_strength": "best"}, "smoothing_strength"),
    ({"refinement": Refinement(solver="adam")}, "solver"),
    # Extreme numbers are at fault, and not the features.
    ({"priming_number": 1e-310, "translation": "column"}, "priming_number=1e-310"),
    ({"norm_exponent": 1000}, "norm_exponent=1000"),
    ({"inverse_temperature": 1e308}, r"inverse_temperature=1e\+308"),
    ({"smoothing_strength": 1e308}, r"smoothing_strength=1e\+308"),
    ({"class_prior": [1.0]}, "one number for each of the 2 classes"),
    ({"class_prior": [1, 0]}, "class_prior must be positive"),
    ({"class_weight": {9: 1.0}}, "class_weight has .'9'., and y no such class"),
    ({"class_weight": {"a": -1.0}}, "class_weight must be non-negative"),
]


@pytest.mark.parametrize(("parameters", "message"), PARAMETERS)
def test_bad_parameters_are_named(parameters, message):
    clf = ExplicitSoftmaxClassifier(**parameters)
    with pytest.raises(ValueError, match=message):
        clf.fit(X * 5, Y)
    assert not hasattr(clf, "classes_")


def test_leave_one_out_without_smoothing_says_what_to_do():
    # Every co-occurrence is positive, but not without the first row.
    rows = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="leave-one-out scores need smoothing"):
        ExplicitSoftmaxClassifier(smoothing=None).fit(rows, [0, 1, 1])


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (GIVEN().fit(X, ["a", "c"] * 2), ValueError, "classes"),
        (GIVEN().fit(X[:, :2], Y), ValueError, "features"),
        (GIVEN().fit(NAMED, Y), ValueError, "feature_names_in_"),
        (fitted(smoothing_strength=1.0), ValueError, "different smoothing_strength"),
        (fitted(inverse_temperature=1.0), ValueError, "different inverse_temperature"),
        (fitted(n_blocks=[1, 2]), ValueError, "different n_blocks"),
        (ExplicitSoftmaxClassifier(), ValueError, "not fitted"),
        ("model", TypeError, "merge takes fitted ExplicitSoftmaxClassifier"),
    ],
)
def test_merge_of_what_does_not_fit(other, error, message):
    assert_fails_without_effect(fitted(), error, message, "merge", fitted(), other)


def test_merge_with_other_feature_names():
    first, other = (
        ExplicitSoftmaxClassifier().fit(pd.DataFrame(X, columns=list(names)), Y)
        for names in ("abc", "abd")
    )
    with pytest.raises(ValueError, match="feature_names_in_"):
        first.merge(other)


def test_what_has_no_logistic_regression():
    with pytest.raises(ValueError, match="norm_exponent=0"):
        fitted().to_logistic_regression()
    clf = ExplicitSoftmaxClassifier(norm_exponent=0.0).fit(X, ["a"] * 4)
    with pytest.raises(ValueError, match="two or more classes"):
        clf.to_logistic_regression()
