"""Counts: one pass, any layout, any order, and back again."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.solution import counts as module
from explicit_softmax.solution.counts import CooccurrenceCounts, row_blocks
from tests import oracles, strategies
from tests.layouts import LAYOUTS, unsorted_with_zeros

from_rows = CooccurrenceCounts.from_rows


def assert_same_bits(first, second):
    assert_array_equal(first.dense(), second.dense())
    assert_array_equal(first.class_count, second.class_count)
    assert first.n_nonzero == second.n_nonzero


def random_rows(n_rows=40, n_features=7, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.poisson(0.7, (n_rows, n_features)).astype(float)
    return rows, rng.integers(0, n_classes, n_rows), n_classes


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_equal_the_sums_of_the_definition(layout, weighted, norm_exponent):
    rows, codes, n_classes = random_rows()
    rows[3] = 0
    weight = np.random.default_rng(1).uniform(0.1, 3, len(rows)) if weighted else None
    counts = from_rows(
        LAYOUTS[layout](rows),
        codes,
        n_classes,
        sample_weight=weight,
        norm_exponent=norm_exponent,
    )
    expected = oracles.cooccurrence(rows, codes, n_classes, weight, norm_exponent)
    assert_allclose(counts.dense(), expected, rtol=1e-13)
    assert_allclose(
        counts.class_count, oracles.class_counts(codes, n_classes, weight), rtol=1e-13
    )
    n_nonzero = oracles.number_of_nonzeros(rows, weight)
    assert_allclose(counts.n_nonzero, n_nonzero, rtol=1e-13)
    assert_allclose(counts.mean_nonzero, expected.sum() / n_nonzero, rtol=1e-13)
    assert_allclose(counts.class_mass, expected.sum(axis=0), rtol=1e-13)
    block = slice(2, 5)
    assert_allclose(counts.block_mass(block), expected[block].sum(axis=0), rtol=1e-13)
    assert_allclose(counts.mean_norm, expected.sum() / counts.class_count.sum())
    assert counts.is_sparse == sp.issparse(LAYOUTS[layout](rows))


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64]
)
def test_every_real_type_of_dense_rows(dtype):
    rows = np.array([[1, 0], [1, 1], [0, 1]], dtype=dtype)
    counts = from_rows(rows, np.array([0, 1, 1]), 2)
    assert_array_equal(counts.cooccurrence, [[1, 1], [0, 2]])
    assert counts.cooccurrence.dtype == np.float64


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_every_real_type_of_sparse_rows(dtype):
    rows = sp.csr_array(np.array([[1, 0], [1, 1], [0, 1]], dtype=dtype))
    counts = from_rows(rows, np.array([0, 1, 1]), 2)
    assert_array_equal(counts.dense(), [[1, 1], [0, 2]])
    assert counts.cooccurrence.dtype == np.float64


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [40, 900])
def test_many_classes_are_gathered(n_classes, dtype, weighted, norm_exponent):
    # Rows of two columns stand in few blocks, of which each has all classes.
    rng = np.random.default_rng(0)
    rows = rng.poisson(0.7, (1500, 2)).astype(dtype)
    codes = rng.integers(0, n_classes - 5, 1500)  # the last classes have no row
    weight = rng.integers(0, 4, 1500).astype(float) if weighted else None
    options = {"sample_weight": weight, "norm_exponent": norm_exponent}
    counts = from_rows(rows, codes, n_classes, **options)
    expected = oracles.cooccurrence(rows, codes, n_classes, weight, norm_exponent)
    assert_allclose(counts.dense(), expected, rtol=1e-6 if norm_exponent else 0)
    n_nonzero = oracles.number_of_nonzeros(rows, weight)
    assert_allclose(counts.n_nonzero, n_nonzero, rtol=1e-13)
    spoilt = rows.copy()
    spoilt[1234, 1] = -1
    with pytest.raises(ValueError, match="row 1234 contains -1"):
        from_rows(spoilt, codes, n_classes, **options)


def test_sums_of_small_integers_do_not_wrap_around():
    rows = np.full((1000, 2), 255, dtype=np.uint8)
    for layout in (np.asarray, sp.csr_array):
        counts = from_rows(layout(rows), np.zeros(1000, int), 1)
        assert_array_equal(counts.dense(), [[255_000], [255_000]])


def test_sparse_counts_store_no_zeros():
    rows = unsorted_with_zeros(np.array([[0.0, 2.0], [0.0, 0.0]]))
    counts = from_rows(rows, np.array([0, 1]), 2)
    assert counts.cooccurrence.nnz == 1


@strategies.properties
@given(data=st.data(), sparse=st.booleans(), single=st.booleans())
def test_any_chunks_in_any_order_give_the_same_bits(data, sparse, single):
    rows, codes, n_classes = data.draw(strategies.labelled_counts())
    weight = data.draw(st.none() | strategies.integer_weights(len(rows)))
    rows = rows.astype(np.float32) if single else rows
    rows = sp.csr_array(rows) if sparse else rows

    def count(members):
        part = None if weight is None else weight[members]
        return from_rows(rows[members], codes[members], n_classes, sample_weight=part)

    whole = count(np.arange(len(codes)))
    chunks = data.draw(strategies.partitions(len(codes)))
    total = count(chunks[0])
    for chunk in chunks[1:]:
        total = total + count(chunk)
    assert_same_bits(total, whole)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_rows_across_internal_blocks_give_the_same_bits(dtype):
    rng = np.random.default_rng(0)
    n_rows, n_features, n_classes = 5000, 300, 3
    assert len(list(row_blocks(n_rows, n_features, module._BLOCK_VALUES))) > 3
    rows = rng.integers(0, 256, (n_rows, n_features)).astype(dtype)
    codes = rng.integers(0, n_classes, n_rows)
    whole = from_rows(rows, codes, n_classes)
    exact = np.stack([rows[codes == c].sum(axis=0, dtype=np.int64) for c in range(3)])
    assert_array_equal(whole.cooccurrence, exact.T)
    order = rng.permutation(n_rows)
    assert_same_bits(from_rows(rows[order], codes[order], n_classes), whole)
    parts = [from_rows(rows[i::7], codes[i::7], n_classes) for i in range(7)]
    assert_same_bits(sum(parts[1:], parts[0]), whole)


def test_float32_sums_beyond_their_precision_are_exact():
    # Odd sums above 2**24 have no float32; a block of these rows sums to some 2**33.
    rng = np.random.default_rng(0)
    rows = rng.integers(2**22, 2**24, (4000, 65)).astype(np.float32)
    codes = rng.integers(0, 2, len(rows))
    counts = from_rows(rows, codes, 2)
    exact = np.stack([rows[codes == c].sum(axis=0, dtype=np.int64) for c in range(2)])
    assert (exact % 2 == 1).any()
    assert_array_equal(counts.cooccurrence, exact.T)


def test_float32_sums_that_overflow_float32_are_finite():
    rows = np.full((3, 1), 3e38, dtype=np.float32)
    counts = from_rows(rows, np.zeros(3, int), 1)
    assert_allclose(counts.cooccurrence, 3 * rows[:1].astype(float))


@strategies.properties
@given(data=st.data(), layouts=st.tuples(*[st.booleans()] * 3))
def test_addition_is_associative_and_commutative_to_the_bit(data, layouts):
    n_features, n_classes = 4, 3
    records = []
    for sparse in layouts:
        n_rows = data.draw(st.integers(0, 5))
        rows = data.draw(strategies.count_matrices(n_rows, n_features))
        codes = data.draw(strategies.codes(n_rows, n_classes))
        rows = sp.csr_array(rows) if sparse else rows
        records.append(from_rows(rows, codes, n_classes))
    a, b, c = records
    assert_same_bits(a + b, b + a)
    assert_same_bits((a + b) + c, a + (b + c))
    assert (a + b).is_sparse == (a.is_sparse and b.is_sparse)


@strategies.properties
@given(data=st.data(), first_sparse=st.booleans(), second_sparse=st.booleans())
def test_subtraction_undoes_addition_to_the_bit(data, first_sparse, second_sparse):
    first_rows, first_codes, n_classes = data.draw(strategies.labelled_counts())
    n_rows = data.draw(st.integers(0, 6))
    rows = data.draw(strategies.count_matrices(n_rows, first_rows.shape[1]))
    codes = data.draw(strategies.codes(n_rows, n_classes))
    first_rows = sp.csr_array(first_rows) if first_sparse else first_rows
    first = from_rows(first_rows, first_codes, n_classes)
    second = from_rows(sp.csr_array(rows) if second_sparse else rows, codes, n_classes)
    rest = (first + second) - second
    assert_same_bits(rest, first)
    if first_sparse and second_sparse:
        assert rest.cooccurrence.nnz == np.count_nonzero(first.dense())


def test_taking_out_all_rows_of_any_value_leaves_exactly_nothing():
    rng = np.random.default_rng(0)
    rows, codes = rng.random((50, 4)), rng.integers(0, 3, 50)
    weight = rng.random(50)
    for layout in (np.asarray, sp.csr_array):
        whole = from_rows(layout(rows), codes, 3, sample_weight=weight)
        for part in np.array_split(rng.permutation(50), 5):
            taken = from_rows(
                layout(rows[part]), codes[part], 3, sample_weight=weight[part]
            )
            whole = whole - taken
        assert_array_equal(whole.dense(), 0.0)
        assert_array_equal(whole.class_count, 0.0)


@pytest.mark.parametrize("second", ["dense", "csr"])
@pytest.mark.parametrize("first", ["dense", "csr"])
def test_taking_out_more_than_was_counted_names_class_and_feature(first, second):
    rows = np.array([[2.0, 1.0, 3.0], [1.0, 4.0, 1.0], [1.0, 1.0, 0.0]])
    counts = from_rows(LAYOUTS[first](rows), np.array([0, 1, 1]), 2)
    never = LAYOUTS[second](np.array([[0.0, 0.0, 2.0]]))
    with pytest.raises(ValueError, match="feature 2 is taken out of class 1"):
        counts - from_rows(never, np.array([1]), 2)
    twice = LAYOUTS[second](np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="out of class 0 than were counted: 2 of 1"):
        counts - from_rows(twice, np.array([0, 0]), 2)


def test_counts_of_different_shape_do_not_combine():
    narrow = from_rows(np.ones((1, 2)), np.array([0]), 2)
    wide = from_rows(np.ones((1, 3)), np.array([0]), 2)
    for combine in (narrow.__add__, narrow.__sub__):
        with pytest.raises(ValueError, match="different shape"):
            combine(wide)


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("layout", ["dense", "csr", "unsorted_with_zeros"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN: row 2997"), (np.inf, "infinity: row 2997"), (-1, "row 2997 con")],
)
def test_values_that_cannot_be_counted_name_their_row(
    value, message, dtype, layout, norm_exponent
):
    # Wide enough that row 2997 stands in a later block.
    rows = np.zeros((3000, 200), dtype=dtype)
    rows[:, 0] = 1
    rows[2997, 150] = value
    with pytest.raises(ValueError, match=message):
        from_rows(
            LAYOUTS[layout](rows), np.zeros(3000, int), 2, norm_exponent=norm_exponent
        )


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_sums_beyond_float64_are_told_apart_from_bad_rows(layout):
    rows = LAYOUTS[layout](np.full((2, 1), 1e308))
    with pytest.raises(ValueError, match="overflow"):
        from_rows(rows, np.zeros(2, int), 1)


def test_infinity_in_a_row_of_no_weight_is_named_all_the_same():
    rows = np.array([[1.0], [np.inf]])
    for layout in (np.asarray, sp.csr_array):
        with pytest.raises(ValueError, match="infinity: row 1"):
            from_rows(
                layout(rows), np.zeros(2, int), 1, sample_weight=np.array([1.0, 0.0])
            )


def test_rows_and_codes_of_different_length():
    with pytest.raises(ValueError, match="differ in length: 2 and 3"):
        from_rows(np.ones((2, 2)), np.zeros(3, int), 1)


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_no_rows_count_nothing(layout):
    counts = from_rows(LAYOUTS[layout](np.zeros((0, 3))), np.zeros(0, int), 2)
    assert_array_equal(counts.dense(), np.zeros((3, 2)))
    assert counts.mean_norm == 0.0
    assert counts.mean_nonzero == 1.0


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_integer_weights_equal_repeated_rows_to_the_bit(layout):
    rows, codes, n_classes = random_rows()
    weight = np.random.default_rng(2).integers(0, 4, len(rows))
    weighted = from_rows(
        LAYOUTS[layout](rows), codes, n_classes, sample_weight=weight.astype(float)
    )
    repeated = np.repeat(np.arange(len(rows)), weight)
    plain = from_rows(LAYOUTS[layout](rows[repeated]), codes[repeated], n_classes)
    assert_same_bits(weighted, plain)
