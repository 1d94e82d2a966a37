"""Counts: one pass, any layout, any order, and back again."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.solution import counts as module
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    counted_rows,
    row_blocks,
    row_norms,
    row_scale,
    scaled_rows,
    values_at,
    values_of_entries,
)
from tests import oracles, strategies
from tests.layouts import LAYOUTS

from_rows = CooccurrenceCounts.from_rows


def assert_same_bits(first, second):
    assert_array_equal(first.dense(), second.dense())
    assert_array_equal(first.class_count, second.class_count)
    assert first.n_nonzero == second.n_nonzero


def random_rows(n_rows=40, n_features=7, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.poisson(0.7, (n_rows, n_features)).astype(float)
    return X, rng.integers(0, n_classes, n_rows), n_classes


@pytest.mark.parametrize(("weighted", "norm_exponent"), [(False, 0.0), (True, 0.5)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_equal_the_sums_of_the_definition(layout, weighted, norm_exponent):
    X, y, n_classes = random_rows()
    X[3] = 0
    weight = np.random.default_rng(1).uniform(0.1, 3, len(X)) if weighted else None
    how = {"sample_weight": weight, "norm_exponent": norm_exponent}
    counts = from_rows(LAYOUTS[layout](X), y, n_classes, **how)
    expected = oracles.cooccurrence(X, y, n_classes, weight, norm_exponent)
    assert_allclose(counts.dense(), expected, rtol=1e-13)
    class_count = oracles.class_counts(y, n_classes, weight)
    assert_allclose(counts.class_count, class_count, rtol=1e-13)
    n_nonzero = oracles.number_of_nonzeros(X, weight)
    assert_allclose(counts.n_nonzero, n_nonzero, rtol=1e-13)
    assert_allclose(counts.mean_nonzero, expected.sum() / n_nonzero, rtol=1e-13)
    assert_allclose(counts.class_mass, expected.sum(axis=0), rtol=1e-13)
    block = slice(2, 5)
    assert_allclose(counts.block_mass(block), expected[block].sum(axis=0), rtol=1e-13)
    assert_allclose(counts.mean_norm, expected.sum() / counts.class_count.sum())
    assert counts.is_sparse == sp.issparse(LAYOUTS[layout](X))
    if counts.is_sparse:
        assert counts.cooccurrence.nnz == np.count_nonzero(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_counts_of_all_exponents_are_those_of_single_ones(weighted):
    X, y, n_classes = random_rows()
    X[3] = 0
    rows = sp.csr_array(X)
    rows.data[5] = 0.0  # stored
    weight = np.random.default_rng(1).integers(0, 3, len(X)) if weighted else None
    count = counted_rows(rows, y, n_classes, weight, 0.25)
    for exponent in (0.25, 0.0, 0.7):
        how = {"sample_weight": weight, "norm_exponent": exponent}
        expected = from_rows(rows, y, n_classes, **how)
        assert_same_bits(count(exponent), expected)
        assert count(exponent).cooccurrence.nnz == expected.cooccurrence.nnz
    empty = counted_rows(sp.csr_array((2, 3)), np.array([0, 1]), 2)
    assert empty(0.5).dense().tolist() == [[0.0] * 2] * 3
    huge = counted_rows(sp.csr_array([[1e-200, 0.0], [0.0, 1.0]]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="norm_exponent=2 takes the rows out of"):
        huge(2.0)


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "i8", "f2", "f4", "f8"])
def test_every_real_type(dtype):
    X = np.array([[1, 0], [1, 1], [0, 1]], dtype=dtype)
    # SciPy has no float16.
    for layout in (np.asarray, sp.csr_array)[: 1 if dtype == "f2" else 2]:
        counts = from_rows(layout(X), np.array([0, 1, 1]), 2)
        assert_array_equal(counts.dense(), [[1, 1], [0, 2]])
        assert counts.cooccurrence.dtype == np.float64
        # Sums do not wrap around.
        many = from_rows(layout(np.full((300, 2), 255, dtype)), np.zeros(300, int), 1)
        assert_array_equal(many.dense(), 300 if dtype == "?" else 76_500)


@pytest.mark.parametrize(
    ("dtype", "weighted", "norm_exponent"),
    [(np.float32, False, 0.5), (np.float32, True, 0.0), (np.float64, True, 0.5)],
)
@pytest.mark.parametrize("n_classes", [40, 900])
def test_many_classes_are_gathered(n_classes, dtype, weighted, norm_exponent):
    # Rows of two columns stand in few blocks, of which each has all classes.
    rng = np.random.default_rng(0)
    X = rng.poisson(0.7, (1500, 2)).astype(dtype)
    y = rng.integers(0, n_classes - 5, 1500)  # the last classes have no row
    weight = rng.integers(0, 4, 1500).astype(float) if weighted else None
    options = {"sample_weight": weight, "norm_exponent": norm_exponent}
    counts = from_rows(X, y, n_classes, **options)
    expected = oracles.cooccurrence(X, y, n_classes, weight, norm_exponent)
    assert_allclose(counts.dense(), expected, rtol=1e-6 if norm_exponent else 0)
    n_nonzero = oracles.number_of_nonzeros(X, weight)
    assert_allclose(counts.n_nonzero, n_nonzero, rtol=1e-13)
    spoilt = X.copy()
    spoilt[1234, 1] = -1
    with pytest.raises(ValueError, match="row 1234 contains -1"):
        from_rows(spoilt, y, n_classes, **options)


@strategies.properties
@given(data=st.data(), single=st.booleans())
def test_any_chunks_and_tree_of_sums_give_the_same_bits(data, single):
    # At any norm exponent: rows are scaled by factors of 16 bits.
    norm_exponent = data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    X, y, n_classes = data.draw(strategies.labelled_counts())
    X = X.astype(np.float32) if single else X
    weight = data.draw(st.none() | strategies.integer_weights(len(X)))

    def count(members, layout, weight=weight):
        return from_rows(
            layout(X[members]),
            y[members],
            n_classes,
            sample_weight=None if weight is None else weight[members],
            norm_exponent=norm_exponent,
        )

    layouts = st.sampled_from([np.asarray, sp.csr_array])
    chunks = data.draw(strategies.partitions(len(y)))
    parts = [count(chunk, data.draw(layouts)) for chunk in chunks]
    all_sparse = all(part.is_sparse for part in parts)
    total = strategies.merged(data, parts)
    assert total.is_sparse == all_sparse
    # A weight of two is the row twice.
    again = np.repeat(np.arange(len(y)), 1 if weight is None else weight.astype(int))
    assert_same_bits(total, count(again, np.asarray, None))


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows_across_internal_blocks_give_the_same_bits(dtype, norm_exponent):
    rng, n_rows = np.random.default_rng(0), 5000
    assert len(list(row_blocks(n_rows, 300, module._BLOCK_VALUES))) > 3
    X = rng.integers(0, 256, (n_rows, 300)).astype(dtype)
    y = rng.integers(0, 3, n_rows)

    def count(part, layout=np.asarray):
        return from_rows(layout(X[part]), y[part], 3, norm_exponent=norm_exponent)

    whole = count(slice(None))
    if norm_exponent == 0:
        exact = [X[y == c].sum(axis=0, dtype=np.int64) for c in range(3)]
        assert_array_equal(whole.cooccurrence, np.stack(exact, axis=1))
    assert_same_bits(count(rng.permutation(n_rows)), whole)
    assert_same_bits(count(slice(None), sp.csr_array), whole)
    parts = [count(slice(i, None, 7)) for i in range(7)]
    assert_same_bits(sum(parts[1:], parts[0]), whole)


@pytest.mark.parametrize("norm_exponent", [0.0, 0.3, 1.0, 2.0])
def test_scales_have_16_bits_and_rows_of_zeros_stay(norm_exponent):
    X = np.random.default_rng(0).random((50, 4)) * np.logspace(-9, 9, 50)[:, None]
    X[7] = 0
    scale = row_scale(row_norms(X), norm_exponent)
    assert scale[7] == 1.0
    bits = np.frexp(scale)[0] * 2**16
    assert_array_equal(bits, np.rint(bits))
    norms = np.delete(X, 7, axis=0).sum(axis=1)
    # To the nearest: half a unit of the last of 16 bits, at most 2**-16 of the value.
    assert_allclose(np.delete(scale, 7), norms**-norm_exponent, rtol=2.0**-16)
    for layout in (np.asarray, sp.csr_array):
        assert_array_equal(row_scale(row_norms(layout(X)), norm_exponent), scale)
        scaled = scaled_rows(layout(X.astype(np.float32)), norm_exponent)
        assert scaled.dtype == np.float32
        expected = oracles.scaled_rows(X.astype(np.float32), norm_exponent)
        scaled = scaled.toarray() if sp.issparse(scaled) else scaled
        assert_allclose(scaled, expected, rtol=2e-5)


@pytest.mark.parametrize("layout", ["dense", "csr", "csr_matrix"])
def test_norms_of_float32_rows_are_float64(layout):
    X = np.full((2, 4), 3e38, dtype=np.float32)
    norms = row_norms(LAYOUTS[layout](X))
    assert_allclose(row_scale(norms, 0.5), 1.2e39**-0.5, rtol=1e-5)
    X = np.array([[2**24, 1, 1]], dtype=np.float32)
    assert_array_equal(row_norms(LAYOUTS[layout](X)), [2**24 + 2])


@pytest.mark.parametrize("n_stored", [0, 3, 500])
def test_values_of_sparse_tables_are_looked_up_at_once(monkeypatch, n_stored):
    monkeypatch.setattr(module, "_FEW_CELLS", 0)
    monkeypatch.setattr(module, "_LOOK_UPS", math.inf)
    n_times = []
    monkeypatch.setattr(
        module, "values_at", lambda *at: n_times.append(1) or values_at(*at)
    )
    rng = np.random.default_rng(0)
    at = np.sort(rng.choice(1600, n_stored, replace=False))
    rows = np.zeros(1600)
    rows[at] = 1.0
    rows, y = sp.csr_array(rows.reshape(200, 8)), rng.integers(0, 3, 200)
    table = rng.poisson(0.5, (8, 3)) * 1.0
    found = values_of_entries(sp.csr_array(table), rows, y)
    assert_array_equal(found, table[at % 8, y[at // 8]])
    assert n_times == [1]


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_values_at_pairs_and_counts_of_no_rows(layout):
    counts = LAYOUTS[layout](np.array([[1.0, 0.0], [0.0, 3.0], [4.0, 5.0]]))
    found = values_at(counts, np.array([2, 0, 1, 2]), np.array([1, 1, 1, 0]))
    assert_array_equal(found, [5.0, 0.0, 3.0, 4.0])
    nothing = np.zeros(0, dtype=int)
    assert values_at(counts, nothing, nothing).shape == (0,)
    no_rows = from_rows(counts[:0], nothing, 3)
    assert_array_equal(no_rows.dense(), np.zeros((2, 3)))
    assert (no_rows.mean_norm, no_rows.mean_nonzero) == (0.0, 1.0)


def test_float32_sums_beyond_their_precision_or_range_are_exact():
    # Odd sums above 2**24 have no float32; a block of these rows sums to some 2**33.
    rng = np.random.default_rng(0)
    X = rng.integers(2**22, 2**24, (4000, 65)).astype(np.float32)
    y = rng.integers(0, 2, len(X))
    exact = np.stack([X[y == c].sum(axis=0, dtype=np.int64) for c in range(2)])
    assert (exact % 2 == 1).any()
    assert_array_equal(from_rows(X, y, 2).cooccurrence, exact.T)
    X = np.full((3, 1), 3e38, dtype=np.float32)
    counts = from_rows(X, np.zeros(3, int), 1)
    assert_allclose(counts.cooccurrence, 3 * X[:1].astype(float))


@pytest.mark.parametrize("unit", [1.0, 1 / 256, 1 / 255, 16.0])
def test_float32_pixels_are_summed_exactly(unit):
    rng = np.random.default_rng(0)
    X = (rng.integers(0, 256, (4000, 65)) * unit).astype(np.float32)
    y = rng.integers(0, 2, len(X))
    exact = [[math.fsum(column) for column in X[y == c].T] for c in range(2)]
    # Fractions of 255 have sums in float64, which round.
    rtol = 1e-13 if unit == 1 / 255 else 0
    assert_allclose(from_rows(X, y, 2).cooccurrence.T, exact, rtol=rtol)


def test_indices_of_sparse_counts_stay_narrow():
    X, y = sp.csr_array(np.eye(7)), np.arange(7) % 3
    counts = CooccurrenceCounts.from_rows(X, y, 3)
    total = (counts + counts).cooccurrence
    for part in (counts.cooccurrence, total):
        assert part.indices.dtype == part.indptr.dtype == np.int32


@strategies.properties
@given(data=st.data(), first_sparse=st.booleans(), second_sparse=st.booleans())
def test_subtraction_undoes_addition_to_the_bit(data, first_sparse, second_sparse):
    X, y, n_classes = data.draw(strategies.labelled_counts())
    cut = data.draw(st.integers(0, len(y)))
    first, second = (
        from_rows(sp.csr_array(X[part]) if sparse else X[part], y[part], n_classes)
        for part, sparse in (
            (slice(cut), first_sparse),
            (slice(cut, None), second_sparse),
        )
    )
    rest = (first + second) - second
    assert_same_bits(rest, first)
    if first_sparse and second_sparse:
        assert rest.cooccurrence.nnz == np.count_nonzero(first.dense())


def test_taking_out_all_rows_of_any_value_leaves_exactly_nothing():
    rng = np.random.default_rng(0)
    X, y = rng.random((50, 4)), rng.integers(0, 3, 50)
    weight = rng.random(50)
    for layout in (np.asarray, sp.csr_array):
        whole = from_rows(layout(X), y, 3, sample_weight=weight)
        for part in np.array_split(rng.permutation(50), 5):
            taken = from_rows(layout(X[part]), y[part], 3, sample_weight=weight[part])
            whole = whole - taken
        assert_array_equal(whole.dense(), 0.0)
        assert_array_equal(whole.class_count, 0.0)


@pytest.mark.parametrize("second", ["dense", "csr"])
@pytest.mark.parametrize("first", ["dense", "csr"])
def test_taking_out_more_than_was_counted_names_class_and_feature(first, second):
    X = np.array([[2.0, 1.0, 3.0], [1.0, 4.0, 1.0], [1.0, 1.0, 0.0]])
    counts = from_rows(LAYOUTS[first](X), np.array([0, 1, 1]), 2)
    never = LAYOUTS[second](np.array([[0.0, 0.0, 2.0]]))
    with pytest.raises(ValueError, match="feature 2 is taken out of class 1"):
        counts - from_rows(never, np.array([1]), 2)
    twice = LAYOUTS[second](np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="out of class 0 than were counted: 2 of 1"):
        counts - from_rows(twice, np.array([0, 0]), 2)


@pytest.mark.parametrize(("dtype", "exponent"), [("float32", 0.5), ("float64", 0.0)])
@pytest.mark.parametrize("layout", ["dense", "csr", "unsorted_with_zeros"])
@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN: row 2997"), (np.inf, "infinity: row 2997"), (-1, "row 2997 con")],
)
def test_values_not_to_be_counted_name_their_row(
    value, message, layout, dtype, exponent
):
    # Wide enough that row 2997 stands in a later block.
    X, y = np.zeros((3000, 200), dtype=dtype), np.zeros(3000, int)
    X[:, 0] = 1
    X[2997, 150] = value
    with pytest.raises(ValueError, match=message):
        from_rows(LAYOUTS[layout](X), y, 2, norm_exponent=exponent)


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_other_input_that_cannot_be_counted(layout):
    make = LAYOUTS[layout]
    with pytest.raises(ValueError, match="overflow"):
        from_rows(make(np.full((2, 1), 1e308)), np.zeros(2, int), 1)
    # A weight of zero does not hide infinity.
    X, weight = np.array([[1.0], [np.inf]]), np.array([1.0, 0.0])
    with pytest.raises(ValueError, match="infinity: row 1"):
        from_rows(make(X), np.zeros(2, int), 1, sample_weight=weight)
    with pytest.raises(ValueError, match="differ in length: 2 and 3"):
        from_rows(make(np.ones((2, 2))), np.zeros(3, int), 1)
    narrow = from_rows(make(np.ones((1, 2))), np.array([0]), 2)
    wide = from_rows(make(np.ones((1, 3))), np.array([0]), 2)
    for combine in (narrow.__add__, narrow.__sub__):
        with pytest.raises(ValueError, match="different shape"):
            combine(wide)
