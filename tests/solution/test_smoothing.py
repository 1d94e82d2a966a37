"""Every smoothing against its dense form."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import (
    feature_blocks,
    log_class_frequency,
    smooth_counts,
)
from explicit_softmax.solution.theorem import Calibration, explicit_decoder
from tests import oracles, strategies

SMOOTHINGS = ["uniform", "prior", "noise"]


def dense_form(smoothed):
    """diag(a) C + u v', from the record."""
    counts = smoothed.counts.dense() * smoothed.scale[:, None]
    for b, block in enumerate(smoothed.blocks):
        counts[block] += np.outer(smoothed.offset[block], smoothed.class_offset[:, b])
    return counts


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@strategies.properties
@given(data=st.data(), sparse=st.booleans(), weighted=st.booleans())
def test_smoothed_counts_equal_their_dense_form(smoothing, data, sparse, weighted):
    X, y, n_classes = data.draw(strategies.labelled_counts())
    blocks = feature_blocks(X.shape[1], data.draw(strategies.block_sizes(X.shape[1])))
    weight = data.draw(strategies.weights(len(X))) if weighted else None
    counts = CooccurrenceCounts.from_rows(
        sp.csr_array(X) if sparse else X, y, n_classes, sample_weight=weight
    )
    smoothed = smooth_counts(counts, smoothing, 0.3, blocks)
    fixed = oracles.fix(X, y, n_classes, blocks, weight)
    raw = oracles.cooccurrence(X, y, n_classes, weight)
    expected = oracles.smoothed(raw, blocks, smoothing, 0.3, fixed)
    if smoothing == "noise":
        # Rows keep their norm on their way through the noise.
        through = X @ oracles.noise_matrix(fixed, blocks)
        assert_allclose(through.sum(axis=1), X.sum(axis=1), atol=1e-9)
    # A feature that holds all mass of its block has p = 0, which 1e-12 stands in for.
    actual = dense_form(smoothed)
    assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)
    masses = np.stack([expected[block].sum(axis=0) for block in blocks], axis=1)
    assert_allclose(smoothed.block_mass, masses, rtol=1e-10)
    assert_allclose(smoothed.class_mass, expected.sum(axis=0), rtol=1e-10)
    assert (actual[counts.dense() > 0] > 0).all()
    assert (smoothed.class_offset > 0).all()
    log_mass = smoothed.log_count + smoothed.log_norm
    assert_allclose(log_mass, np.log(expected.sum(axis=0)), atol=1e-9)


@pytest.mark.parametrize("layout", [np.asarray, sp.csr_array])
def test_without_smoothing_counts_stay_and_zeros_raise(layout):
    positive = np.array([[1.0, 2.0], [3.0, 1.0]])
    counts = CooccurrenceCounts.from_rows(layout(positive), np.array([0, 1]), 2)
    smoothed = smooth_counts(counts, None)
    assert_array_equal(dense_form(smoothed), positive.T)
    assert_array_equal(smoothed.class_mass, [3.0, 4.0])
    holes = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    counts = CooccurrenceCounts.from_rows(layout(holes), np.array([0, 1, 1]), 2)
    stored = sp.csr_array((np.ones(4), ([0, 0, 1, 1], [0, 1, 0, 1])), shape=(2, 2))
    stored.data[1] = 0.0
    for bad in (counts, CooccurrenceCounts(stored, np.ones(2), 3.0)):
        with pytest.raises(ValueError, match="1 of 4 are zero"):
            smooth_counts(bad, None)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("n_blocks", [1, 2])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("unseen", ["one class", "all classes", "all mass"])
def test_classes_without_mass_have_finite_scores(smoothing, n_blocks, layout, unseen):
    X = np.array([[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 1.0, 0.0]])
    y = np.array([0, 1])
    if unseen == "all classes":
        X, y = X[:0], y[:0]
    elif unseen == "all mass":
        X = 0 * X
    counts = CooccurrenceCounts.from_rows(sp.csr_array(X), y, 4)
    smoothed = smooth_counts(counts, smoothing, 0.1, feature_blocks(4, n_blocks))
    theorem = Calibration(np.ones(n_blocks), 2.0)
    decoder = explicit_decoder(smoothed, theorem, layout=layout)
    scores = decoder.scores(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]))
    assert np.isfinite(scores).all()
    probabilities = np.exp(oracles.log_probabilities(scores))
    # The two classes that nothing is known of cannot be told apart.
    assert_allclose(probabilities[:, 2], probabilities[:, 3], rtol=1e-12)
    assert (probabilities > 0).all()


def test_unknown_smoothing_and_strengths_that_add_nothing():
    counts = CooccurrenceCounts.from_rows(np.ones((1, 1)), np.array([0]), 1)
    with pytest.raises(ValueError, match="not 'laplace'"):
        smooth_counts(counts, "laplace")
    for strength in (0.0, -1.0):
        with pytest.raises(ValueError, match="strength must be positive"):
            smooth_counts(counts, "prior", strength)


def test_class_frequencies_by_hand():
    assert_allclose(log_class_frequency(np.array([1.0, 3.0])), np.log([0.25, 0.75]))
    # Half of the smallest stands in for zero, in the sum as well.
    assert_allclose(
        np.exp(log_class_frequency(np.array([2.0, 0, 5]))), [0.25, 1 / 8, 0.625]
    )
    assert_allclose(np.exp(log_class_frequency(np.zeros(4))), 0.25)
    reference = np.array([2.0, 6.0])
    left = log_class_frequency(np.array([0.0, 5.0]), like=reference)
    assert_allclose(np.exp(left), [1 / 8, 5 / 8])


def test_feature_blocks_by_number_and_by_sizes():
    assert feature_blocks(6, 2) == (slice(0, 3), slice(3, 6))
    assert feature_blocks(6, [1, 5]) == (slice(0, 1), slice(1, 6))
    assert feature_blocks(3, np.array([1, 2])) == (slice(0, 1), slice(1, 3))
    with pytest.raises(ValueError, match="does not divide the 6 features"):
        feature_blocks(6, 4)
    for sizes in ([2, 3], [6, 0], []):
        with pytest.raises(ValueError, match=r"positive sizes that sum to .*, 6"):
            feature_blocks(6, sizes)
