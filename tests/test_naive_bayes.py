"""What users of MultinomialNB rely on, in the setting that is naive Bayes.

`alpha` counts occurrences, and `smoothing_strength` mean non-zero features. Intercepts
of naive Bayes are those of the class frequencies alone, which `class_prior` says here:
under ``translation="intercept"`` the mean norms of the classes are part of them.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import MultinomialNB

from explicit_softmax import ExplicitSoftmaxClassifier
from tests import strategies

LAYOUTS = [np.asarray, sp.csr_array, sp.csc_matrix]
X6 = np.random.default_rng(0).integers(5, size=(6, 100)).astype(float)
Y6 = np.array([1, 1, 2, 2, 3, 3])


def naive_bayes(X, y, *, alpha=1.0, fit_prior=True, class_prior=None, weight=None):
    """An unfitted classifier whose solution from these rows is that of MultinomialNB.

    Its parameters follow from class masses, as those of a first pass over a stream do.
    """
    X = X.toarray() if sp.issparse(X) else np.asarray(X, dtype=float)
    classes, codes = np.unique(y, return_inverse=True)
    weight = np.ones(len(codes)) if weight is None else np.asarray(weight, dtype=float)
    rows = np.bincount(codes, weight)
    mass = np.bincount(codes, weight * X.sum(axis=1)) + alpha * X.shape[1]
    prior = rows if fit_prior else np.ones(len(classes))
    prior = prior if class_prior is None else np.asarray(class_prior)
    n_nonzero = weight @ (X > 0).sum(axis=1)
    return ExplicitSoftmaxClassifier(
        inverse_temperature=1.0,
        smoothing="uniform",
        smoothing_strength=alpha * n_nonzero / (weight @ X.sum(axis=1)),
        norm_exponent=0.0,
        translation="intercept",
        class_prior=prior * rows / mass,
    )


def with_feature_alphas(X, y, alpha, classes):
    """A classifier counted with `alpha`, a number for each feature, and its rows.

    The pseudo-counts are a row of each class, of next to no weight.
    """
    X, alpha, weight = np.asarray(X, dtype=float), np.asarray(alpha, dtype=float), 1e-9
    rows = np.array([np.sum(np.equal(y, label)) for label in classes])
    mass = [X[np.equal(y, label)].sum() + alpha.sum() for label in classes]
    clf = ExplicitSoftmaxClassifier(
        inverse_temperature=1.0,
        smoothing=None,
        norm_exponent=0.0,
        translation="intercept",
        class_prior=rows * rows / mass,
    )
    pseudo = np.tile(alpha / weight, (len(classes), 1))
    weights = np.full(len(classes), weight)
    clf.partial_fit(pseudo, classes, classes=classes, sample_weight=weights)
    return clf.partial_fit(X, y)


def assert_same(ours, bayes, X):
    assert_array_equal(ours.classes_, bayes.classes_)
    assert_allclose(ours.class_count_, bayes.class_count_)
    found = ours.feature_count_
    found = found.toarray() if sp.issparse(found) else found
    assert_allclose(found, bayes.feature_count_, atol=1e-12)
    assert_allclose(ours.predict_log_proba(X), bayes.predict_log_proba(X), atol=1e-9)
    assert_array_equal(ours.predict(X), bayes.predict(X))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"alpha": 0.3},
        {"alpha": 1e-10},
        {"fit_prior": False},
        {"class_prior": [0.2, 0.5, 0.3]},
        {"class_prior": [0.2, 0.5, 0.3], "fit_prior": False, "alpha": 2.0},
    ],
)
def test_same_probabilities_for_rows_of_any_norm(how, layout):
    X = layout(X6)
    bayes = MultinomialNB(**how).fit(X, Y6)
    assert_same(naive_bayes(X, Y6, **how).fit(X, Y6), bayes, X)


def test_log_probabilities_are_normalised_linear_scores():
    clf = naive_bayes(X6, Y6).fit(X6, Y6)
    joint = X6 @ clf.coef_.T + clf.intercept_
    assert_allclose(clf.predict_log_proba(X6), log_softmax(joint, axis=1), atol=1e-9)
    assert not clf.__sklearn_tags__().input_tags.categorical


def test_a_strength_of_next_to_nothing():
    X, y = np.array([[1, 0], [1, 1]]), [0, 1]
    for layout in LAYOUTS:
        clf = naive_bayes(X, y, alpha=1e-10).fit(layout(X), y)
        proba = clf.predict_proba(layout(X))
        assert_allclose(proba, [[2 / 3, 1 / 3], [0, 1]], atol=1e-9)


def test_a_strength_for_every_feature():
    X, y, classes = [[1, 0], [1, 1], [0, 3]], [0, 1, 1], [0, 1]
    for alpha in ([1.0, 2.0], [1e-9, 0.5]):
        ours = with_feature_alphas(X, y, alpha, classes)
        bayes = MultinomialNB(alpha=alpha).fit(X, y)
        assert_allclose(ours.predict_proba(X), bayes.predict_proba(X), atol=1e-8)
        evidence = np.diff(bayes.feature_log_prob_, axis=0)
        assert_allclose(np.diff(ours.coef_, axis=0), evidence, atol=1e-8)
    # The same errors for rows that are not as they should be.
    with pytest.raises(ValueError, match="Negative values in data: row 0 contains"):
        with_feature_alphas(X, y, [1.0, -0.1], classes)
    with pytest.raises(ValueError, match="2 features"):
        with_feature_alphas(X, y, [1.0, 2.0, 3.0], classes)
    clf = ExplicitSoftmaxClassifier(smoothing_strength=[1.0, 2.0])
    with pytest.raises(ValueError, match="'smoothing_strength' parameter of Exp"):
        clf.fit(X, y)


@strategies.properties
@given(strategies.labelled_counts(), st.floats(0.01, 3.0), st.booleans())
def test_same_probabilities_for_any_counts(data, alpha, fit_prior):
    X, y, _ = data
    if not X.any() or len(np.unique(y)) < 2:
        return
    filled = X[X.sum(axis=1) > 0]  # others get the class frequencies
    bayes = MultinomialNB(alpha=alpha, fit_prior=fit_prior).fit(X, y)
    ours = naive_bayes(X, y, alpha=alpha, fit_prior=fit_prior).fit(X, y)
    assert_allclose(
        ours.predict_log_proba(filled), bayes.predict_log_proba(filled), atol=1e-8
    )


def test_sample_weights_move_the_boundary():
    X, y = [[1, 2], [1, 2], [0, 1], [0, 1], [1, 0]], [0, 0, 1, 1, 2]
    weight = [1, 1, 1, 1, 4]
    bayes = MultinomialNB().fit(X, y, sample_weight=weight)
    ours = naive_bayes(X, y, weight=weight).fit(X, y, sample_weight=weight)
    assert_same(ours, bayes, X)
    assert ours.predict([[1, 0]]) == [2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_and_one_fit_are_the_same(layout):
    X = layout(X6)
    ours, bayes = naive_bayes(X, Y6), MultinomialNB()
    for at in ([0], [1, 2, 3], [4, 5]):
        ours.partial_fit(layout(X6[at]), Y6[at], classes=[1, 2, 3])
        bayes.partial_fit(layout(X6[at]), Y6[at], classes=[1, 2, 3])
    assert_same(ours, bayes, X)


def test_priors_that_change_between_batches_are_those_of_the_last():
    # As naive Bayes: the prior is no part of the counts.
    clf = naive_bayes(X6, Y6, class_prior=[0.2, 0.5, 0.3])
    clf.partial_fit(X6[:3], Y6[:3], classes=[1, 2, 3]).partial_fit(X6[3:], Y6[3:])
    bayes = MultinomialNB(class_prior=[0.2, 0.5, 0.3]).fit(X6, Y6)
    assert_same(clf, bayes, X6)


@pytest.mark.parametrize("fit_prior", [True, False])
@pytest.mark.parametrize("classes", [[0], [0, 1], [0, 1, 2]])
def test_a_batch_of_one_class(classes, fit_prior):
    X, y = [[1, 0, 0], [1, 1, 0]], [0, 0]
    clf = ExplicitSoftmaxClassifier(fit_prior=fit_prior)
    clf.partial_fit(X, y, classes=classes)
    proba = clf.predict_proba(X)
    assert proba.shape == (2, len(classes))
    assert_allclose(proba.sum(axis=1), 1.0)
    assert clf.coef_.shape == (len(classes), 3)
    assert clf.intercept_.shape == (len(classes),)
    assert (clf.predict(X) == 0).all()


@pytest.mark.parametrize("y", [[1, 1], [1, 1, 2]])
def test_one_fit_of_one_class_and_of_two(y):
    X = np.eye(3)[: len(y)]
    clf = ExplicitSoftmaxClassifier(inverse_temperature=1.0).fit(X, y)
    n_classes = len(set(y))
    for name in ("classes_", "class_count_", "coef_", "intercept_", "feature_count_"):
        assert len(getattr(clf, name)) == n_classes
    assert_array_equal(clf.predict(X[:1]), [1])


def test_a_class_that_is_declared_and_unseen():
    clf = ExplicitSoftmaxClassifier(
        inverse_temperature=1.0, smoothing="uniform", translation="intercept"
    )
    clf.partial_fit([[0, 1], [1, 0]], [0, 1], classes=[0, 1, 2])
    assert_array_equal(clf.predict([[0, 1], [1, 0]]), [0, 1])
    clf.partial_fit([[1, 1]], [2])
    assert_array_equal(clf.predict([[0, 1], [1, 0], [1, 1]]), [0, 1, 2])


@pytest.mark.parametrize("y", [[0, 1, 0], [0, 1, 2]])
def test_probabilities_of_two_and_more_classes(y):
    X = np.array([[0, 1], [1, 0], [2, 3]])
    clf = naive_bayes(X, y).fit(X, y)
    proba = clf.predict_proba(X)
    assert proba.shape == (3, len(set(y)))
    assert_allclose(proba.sum(axis=1), 1.0)
    assert_allclose(np.exp(clf.predict_log_proba(X)), proba)
    assert_array_equal(clf.classes_[proba.argmax(axis=1)], clf.predict(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"class_prior": [0.5, 0.5]}, "class_prior must have one number for each"),
        ({"class_prior": [0.5, 0.6, -0.1]}, "class_prior must be positive"),
        ({"smoothing_strength": 0.0}, "smoothing_strength"),
        ({"smoothing_strength": -1.0}, "smoothing_strength"),
        ({"fit_prior": 3}, "fit_prior"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_priors_and_strengths(method, parameters, message):
    clf = ExplicitSoftmaxClassifier(**parameters)
    classes = {"classes": [1, 2, 3]} if method == "partial_fit" else {}
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(X6, Y6, **classes)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_negative_features_and_missing_classes(method, layout):
    classes = {"classes": [1, 2, 3]} if method == "partial_fit" else {}
    with pytest.raises(ValueError, match="Negative values in data"):
        getattr(ExplicitSoftmaxClassifier(), method)(layout(-X6), Y6, **classes)
    clf = ExplicitSoftmaxClassifier()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clf.partial_fit(layout(X6), Y6)
    assert not hasattr(clf, "n_features_in_")
    clf.partial_fit(layout(X6), Y6, classes=[1, 2, 3])
    with pytest.raises(ValueError, match="is not the same as on the last call"):
        clf.partial_fit(layout(X6), Y6, classes=[1, 2, 4])


@pytest.mark.parametrize("labels", [range(10), (3, 8)])
def test_accuracy_on_digits(digits, labels):
    X, y, _, _ = digits
    X, y = X[np.isin(y, labels)], y[np.isin(y, labels)]
    ours = naive_bayes(X, y, alpha=10.0)
    # A prior of folds is that of all rows here, which changes next to nothing.
    scores = cross_val_score(ours, X, y, cv=5)
    expected = cross_val_score(MultinomialNB(alpha=10.0), X, y, cv=5)
    assert scores.mean() == pytest.approx(expected.mean(), abs=0.01)
