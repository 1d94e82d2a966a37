"""scikit-learn's own checks on every estimator."""

import numpy as np
import pytest
import sklearn
from sklearn.datasets import make_blobs
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from explicit_softmax import (
    ContextWindowTransformer,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    PositiveFeatures,
    Refinement,
)

# Check name -> reason why it cannot pass. No classifier of scikit-learn has both the
# positive_only tag and decision_function or class_weight, and these two checks do not
# look at the tag, which others take to mean that `fit` refuses negative features.
# To offer decision_function only once there is a fit would pass the first, and harm:
# CalibratedClassifierCV(ensemble=False) asks for it before the fit, and again after it,
# and would map log-odds by what it learned of probabilities (on digits, by isotonic
# regression, accuracy falls from 0.90 to 0.08). See docs/questions.rst.
NEGATIVE_FEATURES = dict.fromkeys(
    ("check_decision_proba_consistency", "check_class_weight_classifiers"),
    "fits negative features whatever the positive_only tag says",
)

WINDOW_FAILURES = {
    "check_fit_non_negative": (
        "tries -1, the one negative number that is no error: it stands for padding"
    )
}
if parse_version(sklearn.__version__) < parse_version("1.8"):
    WINDOW_FAILURES["check_positive_only_tag_during_fit"] = (
        "subtracts a float in place from the integers that it makes for categorical "
        "input, an error of its own in scikit-learn 1.7"
    )


# A handful of iterations ends before convergence, and random rows tell nothing about
# their classes: both are said.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")
@parametrize_with_checks(
    [
        ExplicitSoftmaxClassifier(),
        ExplicitSoftmaxClassifier(clip=True),
        ExplicitSoftmaxClassifier(
            clip=True,
            smoothing="noise",
            translation="column",
            warm_start=True,
            # Rows set aside are not the same where rows are repeated.
            refinement=Refinement(solver="lbfgs", max_iter=5, alpha=0.0),
        ),
        ExplicitSoftmaxClassifierCV(clip=True),
        ExplicitSoftmaxClassifierCV(clip=True, cv=2, smoothing_strengths=(0.1,)),
        ExplicitSoftmaxNetworkClassifier(clip=True),
        ExplicitSoftmaxNetworkClassifier(
            clip=True,
            hidden_targets=2,
            warm_start=True,
            refinement=Refinement(solver="lbfgs", max_iter=1),
        ),
    ],
    expected_failed_checks=lambda clf: {} if clf.clip else NEGATIVE_FEATURES,
)
def test_classifier_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", NEGATIVE_FEATURES)
@pytest.mark.parametrize(
    "kind",
    [
        ExplicitSoftmaxClassifier,
        ExplicitSoftmaxClassifierCV,
        ExplicitSoftmaxNetworkClassifier,
    ],
)
def test_expected_failures_pass_without_negative_features(monkeypatch, kind, name):
    def positive_blobs(*args, **kwargs):
        X, y = make_blobs(*args, **kwargs)
        return np.hstack([X - X.min(axis=0), X.max(axis=0) - X]), y

    check = getattr(estimator_checks, name)
    with pytest.raises(ValueError, match="Negative values in data"):
        check(kind.__name__, kind())
    monkeypatch.setattr(estimator_checks, "make_blobs", positive_blobs)
    check(kind.__name__, kind())


@parametrize_with_checks(
    [
        PositiveFeatures(),
        PositiveFeatures(method="split"),
        ContextWindowTransformer(),
        ContextWindowTransformer(max_categories=2, sparse_output=False),
    ],
    expected_failed_checks=lambda estimator: (
        WINDOW_FAILURES if isinstance(estimator, ContextWindowTransformer) else {}
    ),
)
def test_transformer_checks(estimator, check):
    check(estimator)
