"""Scores of rows, from any layout of weights and rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.solution import decoder as module
from explicit_softmax.solution.decoder import Decoder
from tests import oracles

LAYOUTS = [np.asarray, sp.csr_array]


def random_decoder(rank=2, *, norm_exponent=0.0, zero_row_scores=True, seed=0):
    rng = np.random.default_rng(seed)
    weights = sp.random_array((8, 5), density=0.4, format="csr", random_state=rng)
    return Decoder(
        weights,
        rng.normal(size=(8, rank)),
        rng.normal(size=(5, rank)),
        rng.normal(size=5),
        rng.normal(size=5) if zero_row_scores else None,
        norm_exponent,
    )


def random_rows(seed=1, n_rows=30):
    X = np.random.default_rng(seed).poisson(0.7, (n_rows, 8)).astype(float)
    X[[2, 7]] = 0
    return X


def scores_by_hand(decoder, X):
    weights = decoder.weights.toarray() + decoder.left @ decoder.right.T
    scaled = oracles.scaled_rows(X, decoder.norm_exponent)
    scores = scaled @ weights + decoder.intercept
    if decoder.zero_row_scores is not None:
        scores[X.sum(axis=1) == 0] = decoder.zero_row_scores
    return scores


@pytest.mark.parametrize("zero_row_scores", [True, False])
@pytest.mark.parametrize(("rank", "exponent"), [(0, 0.0), (1, 0.5), (3, 1.0)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_scores_equal_the_definition(layout, rank, exponent, zero_row_scores):
    how = {"norm_exponent": exponent, "zero_row_scores": zero_row_scores}
    decoder = random_decoder(rank, **how)
    X = random_rows()
    expected = scores_by_hand(decoder, X)
    assert_allclose(decoder.scores(layout(X)), expected, atol=1e-12)
    dense = decoder.densify()
    assert not dense.is_sparse
    assert dense.left.shape[1] == dense.right.shape[1] == 0
    assert_allclose(dense.scores(layout(X)), expected, atol=1e-12)
    assert_allclose(dense.weights, decoder.dense_weights(), rtol=0)


@pytest.mark.parametrize("dense_weights", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_zeros_alone_have_their_own_scores(layout, dense_weights):
    # Row 1 reaches no weight of class 0: it looks like a row of zeros there.
    weights, nothing = np.array([[0.0, 2.0], [1.0, 3.0]]), np.zeros((2, 0))
    prior, intercept = np.array([-1.0, -2.0]), np.array([0.5, 0.25])
    weights = weights if dense_weights else sp.csr_array(weights)
    decoder = Decoder(weights, nothing, nothing, intercept, prior)
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert_array_equal(decoder.scores(layout(X)), [prior, [0.5, 2.25], [1.5, 3.25]])
    stored = sp.csr_array((np.zeros(1), ([0], [1])), shape=(1, 2))
    assert_array_equal(decoder.scores(stored), [prior])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("make", [Decoder.densify, lambda decoder: decoder])
def test_astype_changes_every_part_and_the_scores(make, layout):
    decoder = make(random_decoder(norm_exponent=0.5))
    single = decoder.astype(np.float32)
    for part in ("weights", "left", "right", "intercept", "zero_row_scores"):
        assert getattr(single, part).dtype == np.float32
    X = layout(random_rows())
    scores = single.scores(X.astype(np.float32))
    assert scores.dtype == np.float32
    assert_allclose(scores, decoder.scores(X), rtol=1e-4, atol=1e-5)
    assert decoder.weights.dtype == np.float64
    assert single.scores(X).dtype == np.float64
    plain = random_decoder(zero_row_scores=False).astype(np.float32)
    assert plain.zero_row_scores is None
    for dtype in (bool, np.uint8, np.int64):
        X = (random_rows() > 0).astype(dtype)
        expected = decoder.scores(X.astype(float))
        assert_allclose(decoder.scores(layout(X)), expected, atol=1e-12)


@pytest.mark.parametrize("work_values", [1, 40, 2**22])
@pytest.mark.parametrize("step", [0, 10**9], ids=["accumulate", "make-dense"])
def test_both_products_of_sparse_matrices_in_any_chunks(monkeypatch, step, work_values):
    monkeypatch.setattr(module, "_SPARSE_STEP", step)
    monkeypatch.setattr(module, "_WORK_VALUES", work_values)
    made_dense = []
    original = sp.csr_array.toarray

    def toarray(matrix, *args, **kwargs):
        made_dense.append(matrix.shape[0])
        return original(matrix, *args, **kwargs)

    X, weights = random_rows(), random_decoder().weights
    expected = X @ weights.toarray()
    wide = sp.csr_array(X)
    wide.indices, wide.indptr = wide.indices.astype("i8"), wide.indptr.astype("i8")
    monkeypatch.setattr(sp.csr_array, "toarray", toarray)
    product = module._sparse_product(wide, weights)
    assert_allclose(product, expected, atol=1e-13)
    n_chunks = -(-30 // max(1, work_values // 5))
    assert len(made_dense) == n_chunks
    if n_chunks == 1:
        # The touched weights, eight features, or the product of all thirty rows.
        assert made_dense == [8 if step else 30]


def test_sparse_products_without_rows_or_features():
    decoder = random_decoder()
    assert decoder.scores(sp.csr_array((0, 8))).shape == (0, 5)
    empty = decoder.scores(sp.csr_array((3, 8)))
    assert_array_equal(empty, np.tile(decoder.zero_row_scores, (3, 1)))
