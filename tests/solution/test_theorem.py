"""The explicit solution against the theorem, naive Bayes, and the literal model."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.naive_bayes import MultinomialNB

from explicit_softmax.solution import theorem as module
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import Calibration, explicit_decoder
from tests import oracles

LAYOUTS = [np.asarray, sp.csr_array]
SMOOTHINGS = ["uniform", "prior", "noise", None]


def random_rows(n_rows=40, n_features=6, n_classes=4, *, positive=False, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.8, (n_rows, n_features)).astype(float)
    y = rng.integers(0, n_classes, n_rows)
    y[:n_classes] = range(n_classes)
    return X + positive, y, n_classes


def rows_of_equal_norm(norm=7, n_rows=60, n_features=5, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.multinomial(norm, np.ones(n_features) / n_features, n_rows)
    return X.astype(float), rng.integers(0, n_classes, n_rows), n_classes


def test_beta_of_one_is_the_theorem_and_beta_over_k_a_scaled_logarithm():
    X, y, n_classes = random_rows(positive=True)
    smoothed = smooth_counts(CooccurrenceCounts.from_rows(X, y, n_classes), None)
    counts = oracles.cooccurrence(X, y, n_classes)
    for K in (1.0, 3.5, X.sum() / len(X)):
        decoder = explicit_decoder(smoothed, Calibration(np.ones(1), K))
        assert_allclose(decoder.weights, oracles.theorem(counts, K), atol=1e-13)
        assert_array_equal(decoder.intercept, 0)
    decoder = explicit_decoder(smoothed, Calibration(np.array([0.25]), 4.0))
    expected = oracles.centred(0.25 * np.log(counts))
    assert_allclose(decoder.weights, expected, atol=1e-13)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decoders_are_centred_over_the_classes(dtype, layout):
    X, y, n_classes = random_rows()
    counts = CooccurrenceCounts.from_rows(sp.csr_array(X), y, n_classes)
    shift = 1e4 + np.arange(n_classes)
    calibration = Calibration(np.ones(1), 2.0, "intercept", 1.0, shift, shift)
    how = {"layout": layout, "dtype": dtype}
    decoder = explicit_decoder(smooth_counts(counts), calibration, **how)
    tol = 1e-5 if dtype == np.float32 else 1e-11
    assert_allclose(decoder.intercept.mean(), 0, atol=tol)
    assert_allclose(decoder.right.sum(axis=0), 0, atol=tol)
    if layout == "dense":
        assert_allclose(decoder.weights.mean(axis=1), 0, atol=tol)
    plain = explicit_decoder(smooth_counts(counts), Calibration(np.ones(1), 2.0))
    assert np.ptp(plain.weights, axis=1).max() < 10 < shift[0]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("strength", [None, 0.3])
@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("translation", ["column", "intercept"])
def test_rows_of_equal_norm_give_multinomial_naive_bayes(
    translation, layout, strength, weighted
):
    X, y, n_classes = rows_of_equal_norm()
    weight = np.random.default_rng(1).uniform(0.5, 2, len(X)) if weighted else None
    counts = CooccurrenceCounts.from_rows(X, y, n_classes, sample_weight=weight)
    if strength is None:
        assert (counts.dense() > 0).all()
        smoothed, alpha, norm_weight = smooth_counts(counts, None), 1e-300, 1.0
    else:
        # Smoothing leaves no mean norms: naive Bayes has the prior alone, gamma = 0.
        smoothed, norm_weight = smooth_counts(counts, "uniform", strength), 0.0
        alpha = strength * counts.mean_nonzero
    calibration = Calibration(np.ones(1), 7.0, translation, norm_weight)
    decoder = explicit_decoder(smoothed, calibration, layout=layout)
    bayes = MultinomialNB(alpha=alpha, force_alpha=True)
    expected = bayes.fit(X, y, sample_weight=weight).predict_log_proba(X)
    oracles.assert_same_probabilities(decoder.scores(X), expected, 1e-12)


@pytest.mark.parametrize(
    ("sizes", "norm_exponent", "weighted"),
    [([6], 0.0, False), ([2, 4], 0.5, True), ([1, 3, 2], 1.0, True)],
)
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_scores_equal_the_literal_model(smoothing, sizes, norm_exponent, weighted):
    X, y, n_classes = random_rows(positive=smoothing is None)
    X[5] = 0
    n_classes += smoothing is not None  # one class without a row
    weight = np.random.default_rng(1).uniform(0.3, 3, len(X)) if weighted else None
    blocks = feature_blocks(6, sizes)
    beta, shift = np.linspace(0.3, 1.2, len(sizes)), np.arange(n_classes) / 10
    plain = Calibration(beta, 3.0, "column", norm_weight=0.4)
    shifted = Calibration(beta, 3.0, "intercept", 0.4, shift, shift[::-1])
    how = {"sample_weight": weight, "norm_exponent": norm_exponent}
    model = {"blocks": blocks, "smoothing": smoothing, "strength": 0.2, **how}
    for calibration in (plain, shifted):
        expected = oracles.score_rows(X, y, n_classes, **model, **vars(calibration))
        for layout, make in zip(("dense", "sparse"), LAYOUTS, strict=True):
            counts = CooccurrenceCounts.from_rows(make(X), y, n_classes, **how)
            smoothed = smooth_counts(counts, smoothing, 0.2, blocks)
            form = {"layout": layout, "norm_exponent": norm_exponent}
            decoder = explicit_decoder(smoothed, calibration, **form)
            for queries in LAYOUTS:
                scores = decoder.scores(queries(X))
                oracles.assert_same_probabilities(scores, expected)
            raw = oracles.cooccurrence(X, y, n_classes, weight, norm_exponent)
            assert_allclose(counts.dense(), raw, rtol=1e-13)  # as they were


def test_translations_agree_where_every_row_has_norm_k():
    X, y, n_classes = rows_of_equal_norm()
    smoothed = smooth_counts(CooccurrenceCounts.from_rows(X, y, n_classes))
    column, intercept = (
        explicit_decoder(smoothed, Calibration(np.array([0.4]), 7.0, translation, 0.5))
        for translation in ("column", "intercept")
    )
    oracles.assert_same_probabilities(column.scores(X), intercept.scores(X), 1e-12)


def test_the_automatic_layout_is_sparse_where_it_saves_memory(monkeypatch):
    X, y, n_classes = random_rows(8, n_features=40)
    sparse = CooccurrenceCounts.from_rows(sp.csr_array(X), y, n_classes)
    dense = CooccurrenceCounts.from_rows(X, y, n_classes)

    def is_sparse(counts):
        theorem = Calibration(np.ones(1), 1.0)
        return explicit_decoder(smooth_counts(counts), theorem).is_sparse

    assert not is_sparse(sparse)  # few
    monkeypatch.setattr(module, "_ALWAYS_DENSE", 10)
    monkeypatch.setattr(module, "_DENSE_SHARE", 0.9)
    assert is_sparse(sparse)
    assert not is_sparse(dense)
    monkeypatch.setattr(module, "_DENSE_SHARE", 0.01)
    assert not is_sparse(sparse)  # mostly non-zero
