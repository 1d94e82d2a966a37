"""Features that speak most for each class: against dense weights, all of them."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    Refinement,
)
from explicit_softmax.solution import decoder as module

RNG = np.random.default_rng(0)
Y = RNG.integers(4, size=120)
X = RNG.poisson(RNG.gamma(0.3, size=(4, 30))[Y]).astype(float)
NAMES = [f"w{d}" for d in range(30)]
BETA = np.linspace(0.2, 0.9, 2)


def table(evidence, n_features=30):
    """What all features say, (n_features, n_classes), from all entries."""
    found = np.zeros((n_features, len(evidence)))
    for i, pairs in enumerate(evidence.values()):
        assert sorted(pairs, key=lambda pair: -abs(pair[1])) == pairs
        for name, value in pairs:
            found[int(str(name).lstrip("w")), i] = value
    return found


@pytest.mark.parametrize("values", [1, 2**22])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("translation", ["column", "exact"])
def test_all_features_say_beta_times_log_frequencies(
    monkeypatch, translation, layout, values
):
    monkeypatch.setattr(module, "_WORK_VALUES", values)  # one feature at a time, or all
    clf = ExplicitSoftmaxClassifier(
        inverse_temperature=BETA,
        n_blocks=2,
        smoothing="uniform",
        smoothing_strength=0.5,
        norm_exponent=0.0,
        translation=translation,
    ).fit(sp.csr_array(X), Y)
    clf._model = clf._model.with_layout(layout)
    assert clf._model.evidence.is_sparse == (layout == "sparse")
    # The unit of the smoothing is the mean non-zero feature.
    smooth = X.T @ np.eye(4)[Y] + 0.5 * X[X > 0].mean()
    parts = [
        beta * np.log(part / part.sum(axis=0))
        for beta, part in zip(BETA, (smooth[:15], smooth[15:]), strict=True)
    ]
    expected = np.vstack(parts)
    expected -= expected.mean(axis=1, keepdims=True)
    assert_allclose(table(clf.feature_evidence(99)), expected, atol=1e-12)
    size = np.sort(np.abs(expected), axis=0)[::-1]
    for i, pairs in clf.feature_evidence(7).items():
        assert_allclose([abs(value) for _, value in pairs], size[:7, i])


@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_temperatures_of_features_count(make):
    clf = ExplicitSoftmaxClassifier(
        inverse_temperature="feature", translation="intercept", norm_exponent=0.0
    ).fit(make(X), Y)
    assert np.shape(clf.inverse_temperature_) == (30,)
    # With the prior as intercept, and no column shift, the weights are the evidence.
    assert_allclose(table(clf.feature_evidence(30)), clf.coef_.T, atol=1e-10)


def test_refined_weights():
    clf = ExplicitSoftmaxClassifier(
        warm_start=True, refinement=Refinement(tol=0.1, random_state=0)
    ).fit(X, Y)
    assert clf.n_iter_ > 1
    assert_allclose(table(clf.feature_evidence(30)), clf.coef_.T, atol=1e-12)


def test_names_are_given_or_those_of_the_columns_or_numbers():
    labels = np.array(["a", "b", "c", "d"])[Y]
    clf = ExplicitSoftmaxClassifier().fit(X, labels)
    numbers = clf.feature_evidence(3)
    assert list(numbers) == ["a", "b", "c", "d"]
    named = {
        label: [(f"w{d}", value) for d, value in pairs]
        for label, pairs in numbers.items()
    }
    assert clf.feature_evidence(3, NAMES) == named
    clf.fit(pd.DataFrame(X, columns=NAMES), labels)
    assert clf.feature_evidence(3) == named


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "top must be a positive integer, not 0"),
        ((2.5,), "top must be a positive integer, not 2.5"),
        ((3, NAMES[:4]), r"each of the 30 features, not the shape \(4,\)"),
    ],
)
def test_bad_arguments(arguments, message):
    clf = ExplicitSoftmaxClassifier().fit(X, Y)
    with pytest.raises(ValueError, match=message):
        clf.feature_evidence(*arguments)
