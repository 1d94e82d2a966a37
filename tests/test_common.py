"""scikit-learn's own checks on every estimator."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from explicit_softmax import ExplicitSoftmaxClassifier

# Check name -> reason why it cannot pass.
EXPECTED_FAILURES: dict[str, str] = {}


@parametrize_with_checks(
    [
        ExplicitSoftmaxClassifier(),
        ExplicitSoftmaxClassifier(translation="exact"),
        ExplicitSoftmaxClassifier(smoothing="noise", norm_exponent=0.5),
        ExplicitSoftmaxClassifier(warm_start=True, solver="lbfgs", max_iter=5),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_estimator_checks(estimator, check):
    check(estimator)
