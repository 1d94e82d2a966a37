"""One clear error each, and the state of the estimator untouched by it."""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from explicit_softmax import ExplicitSoftmaxClassifier, Refinement

X = np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 1.0], [1.0, 1.0, 1.0], [4.0, 0.0, 0.0]])
Y = np.array(["a", "b", "b", "a"])


def spoilt(value, row=2):
    bad = X.copy()
    bad[row, 1] = value
    return bad


def fitted(**parameters):
    return ExplicitSoftmaxClassifier(**parameters).fit(X, Y)


def snapshot(clf):
    state = copy.deepcopy(vars(clf))
    return state, clf.predict_proba(X)


def assert_unchanged(clf, before):
    state, proba = before
    assert vars(clf).keys() == state.keys()
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    assert clf.n_features_in_ == 3
    np.testing.assert_array_equal(clf.classes_, ["a", "b"])


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1.0, "Negative values in data: row 2 contains -1"),
        (np.nan, "NaN: row 2"),
        (np.inf, "infinity: row 2"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "forget", "predict_proba"])
def test_bad_features_name_the_row(method, value, message, dtype, as_rows):
    clf = fitted()
    before = snapshot(clf)
    bad = as_rows(spoilt(value).astype(dtype))
    arguments = (bad,) if method == "predict_proba" else (bad, Y)
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(*arguments)
    assert_unchanged(clf, before)


CALLS = {
    "weights of zero": (
        lambda clf: clf.fit(X, Y, sample_weight=np.zeros(4)),
        "[Ss]ample.weight",
    ),
    "negative weight": (
        lambda clf: clf.fit(X, Y, sample_weight=[1, -1, 1, 1]),
        "[Nn]egative",
    ),
    "weights of another length": (
        lambda clf: clf.partial_fit(X, Y, sample_weight=np.ones(3)),
        "sample_weight",
    ),
    "unknown label in partial_fit": (
        lambda clf: clf.partial_fit(X, ["a", "b", "c", "a"]),
        r"y contains labels that are not in classes: \['c'\]",
    ),
    "unknown label in forget": (
        lambda clf: clf.forget(X, ["a", "b", "c", "a"]),
        r"not in classes: \['c'\]",
    ),
    "other classes in partial_fit": (
        lambda clf: clf.partial_fit(X, Y, classes=["a", "b", "c"]),
        "not the same as on the last call",
    ),
    "rows that were not counted": (
        lambda clf: clf.forget(X[:1], ["b"]),
        "more of feature 0 is taken out of class 1",
    ),
    "more rows than were counted": (
        lambda clf: clf.forget(np.zeros((3, 3)), ["a"] * 3),
        "more rows are taken out of class 0 than were counted: 3 of 2",
    ),
    "more features in fit": (
        lambda clf: clf.fit(np.c_[X, -X], Y),
        "Negative values",
    ),
    "more features in partial_fit": (
        lambda clf: clf.partial_fit(np.c_[X, X], Y),
        "6 features",
    ),
    "regression target": (
        lambda clf: clf.fit(X, [0.1, 0.2, 0.3, 0.4]),
        "Unknown label type",
    ),
    "no rows": (lambda clf: clf.fit(X[:0], Y[:0]), "0 sample"),
    "no features": (lambda clf: clf.fit(X[:, :0], Y), "0 feature"),
    "sums that overflow": (
        lambda clf: clf.fit(np.full((4, 3), 1e308), ["a"] * 4),
        "overflow",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_failed_call_leaves_the_model_as_it_was(name):
    call, message = CALLS[name]
    clf = fitted()
    before = snapshot(clf)
    with pytest.raises(ValueError, match=message):
        call(clf)
    assert_unchanged(clf, before)


def test_first_partial_fit_needs_classes():
    clf = ExplicitSoftmaxClassifier()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clf.partial_fit(X, Y)
    assert not hasattr(clf, "n_features_in_")


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
    ({"n_blocks": 2}, "n_blocks=2 does not divide the 3 features"),
    ({"n_blocks": [1, 1]}, r"n_blocks=\[1, 1\]"),
    ({"n_blocks": 0}, "n_blocks"),
    ({"smoothing_strength": "best"}, "smoothing_strength"),
    ({"refinement": Refinement(solver="adam")}, "solver"),
    ({"refinement": Refinement(max_iter=0)}, "max_iter"),
    ({"refinement": Refinement(batch_size=0)}, "batch_size"),
]


@pytest.mark.parametrize(("parameters", "message"), PARAMETERS)
def test_bad_parameters_are_named(parameters, message):
    clf = ExplicitSoftmaxClassifier(**parameters)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


def test_leave_one_out_without_smoothing_says_what_to_do():
    # Every co-occurrence is positive, but not without the first row.
    rows = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="leave-one-out scores need smoothing"):
        ExplicitSoftmaxClassifier(smoothing=None).fit(rows, [0, 1, 1])


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (ExplicitSoftmaxClassifier().fit(X, ["a", "c"] * 2), ValueError, "classes"),
        (ExplicitSoftmaxClassifier().fit(X[:, :2], Y), ValueError, "features"),
        (fitted(smoothing_strength=1.0), ValueError, "different smoothing_strength"),
        (fitted(inverse_temperature=1.0), ValueError, "different inverse_temperature"),
        (fitted(n_blocks=[1, 2]), ValueError, "different n_blocks"),
        (ExplicitSoftmaxClassifier(), ValueError, "not fitted"),
        ("model", TypeError, "merge takes fitted ExplicitSoftmaxClassifier"),
    ],
)
def test_merge_of_what_does_not_fit(other, error, message):
    clf = fitted()
    before = snapshot(clf)
    with pytest.raises(error, match=message):
        clf.merge(fitted(), other)
    assert_unchanged(clf, before)


def test_merge_with_other_feature_names():
    first = ExplicitSoftmaxClassifier().fit(pd.DataFrame(X, columns=list("abc")), Y)
    with pytest.raises(ValueError, match="feature names"):
        first.merge(
            ExplicitSoftmaxClassifier().fit(pd.DataFrame(X, columns=list("abd")), Y)
        )


def test_norm_exponent_has_no_logistic_regression():
    with pytest.raises(ValueError, match="norm_exponent=0"):
        fitted().to_logistic_regression()
