"""The explicit solution against the theorem, naive Bayes, and the literal model."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.naive_bayes import MultinomialNB

from explicit_softmax.solution import theorem as module
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import explicit_decoder, solve
from tests import oracles

LAYOUTS = [np.asarray, sp.csr_array]
SMOOTHINGS = ["uniform", "prior", "noise", None]


def random_rows(n_rows=40, n_features=6, n_classes=4, *, positive=False, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.poisson(0.8, (n_rows, n_features)).astype(float)
    codes = rng.integers(0, n_classes, n_rows)
    codes[:n_classes] = range(n_classes)
    return rows + positive, codes, n_classes


def rows_of_equal_norm(norm=7, n_rows=60, n_features=5, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.multinomial(norm, np.ones(n_features) / n_features, n_rows)
    return rows.astype(float), rng.integers(0, n_classes, n_rows), n_classes


def test_defaults_are_the_theorem():
    rows, codes, n_classes = random_rows(positive=True)
    counts = CooccurrenceCounts.from_rows(rows, codes, n_classes)
    dense = oracles.cooccurrence(rows, codes, n_classes)
    decoder = explicit_decoder(counts)
    mean_norm = rows.sum() / len(rows)
    assert_allclose(decoder.weights, oracles.theorem(dense, mean_norm), rtol=1e-12)
    assert_array_equal(decoder.intercept, 0)
    for K in (1.0, 3.5):
        weights = explicit_decoder(counts, priming_number=K).weights
        assert_allclose(weights, oracles.theorem(dense, K), rtol=1e-12)


def test_with_beta_over_k_the_solution_is_a_scaled_logarithm():
    rows, codes, n_classes = random_rows(positive=True)
    counts = CooccurrenceCounts.from_rows(rows, codes, n_classes)
    weights = explicit_decoder(counts, priming_number=4.0, beta=0.25).weights
    assert_allclose(weights, 0.25 * np.log(counts.dense()), atol=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_equal_norm_give_multinomial_naive_bayes(layout, weighted):
    rows, codes, n_classes = rows_of_equal_norm()
    weight = np.random.default_rng(1).uniform(0.5, 2, len(rows)) if weighted else None
    counts = CooccurrenceCounts.from_rows(
        layout(rows), codes, n_classes, sample_weight=weight
    )
    assert (counts.dense() > 0).all()
    decoder = explicit_decoder(counts, priming_number=7)
    bayes = MultinomialNB(alpha=1e-300, force_alpha=True)
    bayes.fit(rows, codes, sample_weight=weight)
    assert_allclose(
        oracles.log_probabilities(decoder.scores(layout(rows))),
        bayes.predict_log_proba(rows),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("translation", ["column", "intercept"])
def test_uniform_smoothing_is_that_of_multinomial_naive_bayes(translation, sparse):
    # Smoothing leaves no mean norms: naive Bayes has the prior alone, gamma = 0.
    rows, codes, n_classes = rows_of_equal_norm(norm=4, n_features=9)
    counts = CooccurrenceCounts.from_rows(rows, codes, n_classes)
    strength = 0.3
    smoothed = smooth_counts(counts, "uniform", strength)
    decoder = solve(smoothed, "sparse" if sparse else "dense").decoder(
        1.0, 4.0, translation=translation, norm_weight=0.0
    )
    bayes = MultinomialNB(alpha=strength * counts.mean_nonzero).fit(rows, codes)
    assert_allclose(
        oracles.log_probabilities(decoder.scores(rows)),
        bayes.predict_log_proba(rows),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("norm_exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("translation", ["column", "intercept"])
@pytest.mark.parametrize("sizes", [[6], [2, 4], [1, 3, 2]])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_scores_equal_the_literal_model(
    layout, smoothing, sizes, translation, norm_exponent, weighted
):
    rows, codes, n_classes = random_rows(positive=smoothing is None)
    rows[5] = 0
    n_classes += smoothing is not None  # one class without a row
    weight = np.random.default_rng(1).uniform(0.3, 3, len(rows)) if weighted else None
    blocks = feature_blocks(6, sizes)
    beta = np.linspace(0.3, 1.2, len(sizes))
    expected = oracles.score_rows(
        rows,
        codes,
        n_classes,
        blocks=blocks,
        smoothing=smoothing,
        strength=0.2,
        sample_weight=weight,
        norm_exponent=norm_exponent,
        beta=beta,
        priming_number=3.0,
        norm_weight=0.4,
        translation=translation,
    )
    counts = CooccurrenceCounts.from_rows(
        rows if layout == "dense" else sp.csr_array(rows),
        codes,
        n_classes,
        sample_weight=weight,
        norm_exponent=norm_exponent,
    )
    decoder = solve(smooth_counts(counts, smoothing, 0.2, blocks), layout).decoder(
        beta,
        3.0,
        translation=translation,
        norm_weight=0.4,
        norm_exponent=norm_exponent,
    )
    for queries in (rows, sp.csr_array(rows)):
        assert_allclose(
            oracles.log_probabilities(decoder.scores(queries)),
            oracles.log_probabilities(expected),
            rtol=1e-10,
            atol=1e-10,
        )


@pytest.mark.parametrize("layout", ["dense", "sparse"])
def test_beta_of_a_block_scales_its_evidence_alone(layout):
    rows, codes, n_classes = random_rows()
    counts = CooccurrenceCounts.from_rows(sp.csr_array(rows), codes, n_classes)
    blocks = feature_blocks(6, [2, 4])
    evidence = solve(smooth_counts(counts, "noise", blocks=blocks), layout)
    parts = [
        part.scores(rows[:, block])
        for part, block in zip(evidence.decoders, blocks, strict=True)
    ]
    zero = evidence.decoder([0.0, 0.0], 3.0).scores(rows)
    only_second = evidence.decoder([0.0, 0.7], 3.0).scores(rows)
    both = evidence.decoder([0.2, 0.7], 3.0).scores(rows)
    filled = rows.sum(axis=1) > 0
    assert_allclose((only_second - zero)[filled], 0.7 * parts[1][filled], atol=1e-12)
    assert_allclose((both - only_second)[filled], 0.2 * parts[0][filled], atol=1e-12)
    for same in (0.5, [0.5], [0.5, 0.5]):
        assert_array_equal(
            evidence.decoder(same, 3.0).dense_weights(),
            evidence.decoder(0.5, 3.0).dense_weights(),
        )


def test_decoders_do_not_change_the_evidence_they_are_made_of():
    rows, codes, n_classes = random_rows()
    counts = CooccurrenceCounts.from_rows(sp.csr_array(rows), codes, n_classes)
    for layout in ("dense", "sparse"):
        evidence = solve(smooth_counts(counts, "noise"), layout)
        first = evidence.decoder(0.5, 3.0).dense_weights()
        evidence.decoder(2.0, 1.0, intercept_shift=np.ones(n_classes))
        assert_array_equal(evidence.decoder(0.5, 3.0).dense_weights(), first)
        before = oracles.cooccurrence(rows, codes, n_classes)
        assert_array_equal(counts.dense(), before)


def test_intercept_shift_adds_to_either_translation():
    rows, codes, n_classes = random_rows()
    rows += 1  # the scores of a row of zeros are not shifted
    counts = CooccurrenceCounts.from_rows(rows, codes, n_classes)
    evidence = solve(smooth_counts(counts, "prior"))
    shift = np.arange(n_classes) * 0.5
    for translation in ("column", "intercept"):
        plain = evidence.decoder(0.5, 3.0, translation=translation)
        moved = evidence.decoder(
            0.5, 3.0, translation=translation, intercept_shift=shift
        )
        assert_allclose(
            moved.scores(rows) - plain.scores(rows),
            np.tile(shift, (len(rows), 1)),
            atol=1e-13,
        )


def test_translations_agree_where_every_row_has_norm_k():
    rows, codes, n_classes = rows_of_equal_norm()
    counts = CooccurrenceCounts.from_rows(rows, codes, n_classes)
    evidence = solve(smooth_counts(counts, "prior"))
    column, intercept = (
        evidence.decoder(0.4, 7.0, translation=translation, norm_weight=0.5)
        for translation in ("column", "intercept")
    )
    assert_allclose(
        oracles.log_probabilities(column.scores(rows)),
        oracles.log_probabilities(intercept.scores(rows)),
        rtol=1e-12,
        atol=1e-12,
    )


@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
def test_the_unit_of_the_features_does_not_matter(smoothing):
    rows, codes, n_classes = random_rows()
    scores = []
    for unit in (1.0, 255.0):
        counts = CooccurrenceCounts.from_rows(unit * rows, codes, n_classes)
        decoder = explicit_decoder(counts, smoothing=smoothing, beta=0.6 / unit)
        scores.append(oracles.log_probabilities(decoder.scores(unit * rows)))
    assert_allclose(scores[1], scores[0], rtol=1e-11, atol=1e-11)


def test_the_automatic_layout_is_sparse_where_it_saves_memory(monkeypatch):
    rows, codes, n_classes = random_rows(8, n_features=40)
    sparse = CooccurrenceCounts.from_rows(sp.csr_array(rows), codes, n_classes)
    dense = CooccurrenceCounts.from_rows(rows, codes, n_classes)

    def is_sparse(counts):
        return explicit_decoder(counts, smoothing="prior").is_sparse

    assert not is_sparse(sparse)  # few
    monkeypatch.setattr(module, "_SMALL", 10)
    monkeypatch.setattr(module, "_DENSE_SHARE", 0.9)
    assert is_sparse(sparse)
    assert not is_sparse(dense)
    monkeypatch.setattr(module, "_DENSE_SHARE", 0.01)
    assert not is_sparse(sparse)  # mostly non-zero
