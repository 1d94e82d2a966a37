"""scikit-learn's own checks on every estimator."""

import pytest
import sklearn
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.fixes import parse_version

from explicit_softmax import (
    ContextWindowTransformer,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    PositiveFeatures,
)

# Check name -> reason why it cannot pass.
EXPECTED_FAILURES = {
    "check_sparsify_coefficients": (
        "fits negative features whatever the positive_only tag says, and expects coef_ "
        "to become sparse; here the model does, and coef_ stays readable as an array"
    ),
    "check_decision_proba_consistency": (
        "fits negative features whatever the positive_only tag says"
    ),
}

REFINED_FAILURES = {
    "check_fit_score_takes_y": (
        "calls partial_fit after fit, which a refined model refuses: it no longer "
        "follows from its counts"
    ),
}


# A handful of iterations, as the checks set, ends before convergence and says so.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        ExplicitSoftmaxClassifier(),
        ExplicitSoftmaxClassifier(translation="exact"),
        ExplicitSoftmaxClassifier(smoothing="noise", norm_exponent=0.5),
        ExplicitSoftmaxClassifier(warm_start=True, solver="lbfgs", max_iter=5),
        ExplicitSoftmaxClassifierCV(),
        ExplicitSoftmaxClassifierCV(cv=2, translation="column"),
    ],
    expected_failed_checks=lambda estimator: (
        EXPECTED_FAILURES | (REFINED_FAILURES if estimator.warm_start else {})
    ),
)
def test_estimator_checks(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [
        PositiveFeatures(),
        PositiveFeatures(method="bins", n_bins=2, sparse_output=True),
        PositiveFeatures(method="split"),
        PositiveFeatures(method="shift"),
    ]
)
def test_transformer_checks(estimator, check):
    check(estimator)


WINDOW_FAILURES = {
    "check_fit_non_negative": (
        "tries -1, the one negative number that is no error: it stands for padding"
    ),
}
if parse_version(sklearn.__version__) < parse_version("1.8"):
    WINDOW_FAILURES["check_positive_only_tag_during_fit"] = (
        "subtracts a float in place from the integers that it makes for categorical "
        "input, an error of its own in scikit-learn 1.7"
    )


@parametrize_with_checks(
    [
        ContextWindowTransformer(),
        ContextWindowTransformer(aggregation="sum", sparse_output=False),
        ContextWindowTransformer(max_categories=2, handle_unknown="error"),
        ContextWindowTransformer(context_size=1, noise=True, sparse_output=False),
    ],
    expected_failed_checks=lambda estimator: WINDOW_FAILURES,
)
def test_window_checks(estimator, check):
    check(estimator)


NETWORK_FAILURES = {
    "check_decision_proba_consistency": EXPECTED_FAILURES[
        "check_decision_proba_consistency"
    ],
}

CLUSTERED_FAILURES = {
    f"check_sample_weight_equivalence_on_{layout}_data": (
        "k-means draws its first centres among the rows, which repeated rows change"
    )
    for layout in ("dense", "sparse")
}

COLD_FAILURES = dict.fromkeys(
    [
        "check_n_features_in",
        "check_n_features_in_after_fitting",
        "check_fit_idempotent",
        "check_fit_check_is_fitted",
    ],
    "sets warm_start=False, with which random weights would stay untrained",
)


def network_failures(network):
    failures = dict(NETWORK_FAILURES)
    if network.hidden_targets != "classes":
        failures |= CLUSTERED_FAILURES
    if network.init == "random":
        failures |= COLD_FAILURES
    return failures


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        ExplicitSoftmaxNetworkClassifier(),
        ExplicitSoftmaxNetworkClassifier(n_layers=3, hidden_targets=2),
        ExplicitSoftmaxNetworkClassifier(warm_start=True, max_iter=5),
        ExplicitSoftmaxNetworkClassifier(
            warm_start=True, init="random", solver="lbfgs", max_iter=5
        ),
    ],
    expected_failed_checks=network_failures,
)
def test_network_checks(estimator, check):
    check(estimator)
