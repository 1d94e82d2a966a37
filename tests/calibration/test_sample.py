"""Rows that are kept beside the counts follow them."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from explicit_softmax.calibration import sample as module
from explicit_softmax.calibration.sample import RetainedRows, row_limit

LAYOUTS = [np.asarray, sp.csr_array]


def dense(rows):
    return rows.toarray() if sp.issparse(rows) else rows


def numbered(first, n_rows, layout=np.asarray):
    """Rows, codes, and weights that tell their place."""
    numbers = np.arange(first, first + n_rows, dtype=float)
    rows = np.stack((numbers + 1, 0 * numbers, numbers % 3), axis=1)
    return layout(rows), numbers.astype(int), numbers + 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_draw_keeps_all_rows_up_to_the_limit(layout):
    rows, codes, weights = numbered(0, 10, layout)
    kept = RetainedRows.draw(rows, codes, weights, 10)
    assert_array_equal(dense(kept.X), dense(rows))
    assert_array_equal(kept.y, codes)
    assert_array_equal(kept.weights, weights)
    assert_array_equal(RetainedRows.draw(rows, codes, None, 10).weights, 1.0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_draw_takes_the_same_rows_of_positive_weight_within_the_limit(layout):
    rows, codes, weights = numbered(0, 50, layout)
    weights[::2] = 0
    kept = RetainedRows.draw(rows, codes, weights, 7)
    assert_array_equal(kept.y, np.unique(kept.y))
    assert len(kept.y) == 7
    assert (kept.y % 2 == 1).all()
    assert_array_equal(dense(kept.X), dense(rows)[kept.y])
    assert_array_equal(kept.weights, weights[kept.y])
    assert_array_equal(RetainedRows.draw(rows, codes, weights, 7).y, kept.y)
    # Not simply the first: rows often come in order.
    assert kept.y.max() > 13


@pytest.mark.parametrize("later_layout", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("limit", [2, 4, 6, 9, 20])
def test_followed_by_keeps_the_last_rows(limit, layout, later_layout):
    first = RetainedRows(*numbered(0, 5, layout))
    later = RetainedRows(*numbered(5, 4, later_layout))
    both = first.followed_by(later, limit)
    rows, codes, weights = numbered(0, 9)
    assert_array_equal(both.y, codes[-limit:])
    assert_array_equal(both.weights, weights[-limit:])
    assert_array_equal(dense(both.X), rows[-limit:])
    assert sp.issparse(both.X) == (
        layout is sp.csr_array or later_layout is sp.csr_array
    )


def rows_to_take():
    rows = np.array(
        [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [1.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
    )
    return rows, np.array([0, 1, 0, 1])


@pytest.mark.parametrize("taken_layout", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_takes_out_rows_that_are_equal_whatever_their_layout(
    layout, taken_layout
):
    rows, codes = rows_to_take()
    kept = RetainedRows(layout(rows), codes, np.ones(4))
    rest = kept.without(taken_layout(rows[[0, 3]]), codes[[0, 3]], None)
    assert_array_equal(rest.y, [1, 0])
    assert_array_equal(dense(rest.X), rows[[1, 2]])
    assert_array_equal(rest.weights, [1.0, 1.0])
    # One of two equal rows was left; the second time it goes, the third time none.
    last = rest.without(taken_layout(rows[[2, 2]]), np.array([0, 0]), None)
    assert_array_equal(last.y, [1])


def test_without_ignores_stored_zeros_and_the_order_of_indices():
    rows, codes = rows_to_take()
    kept = RetainedRows(sp.csr_array(rows), codes, np.ones(4))
    taken = sp.csr_array(
        (np.array([2.0, 0.0, 1.0]), np.array([2, 1, 0]), np.array([0, 3])), shape=(1, 3)
    )
    assert_array_equal(kept.without(taken, np.array([0]), None).y, [1, 0, 1])
    assert_array_equal(taken.indices, [2, 1, 0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_leaves_rows_of_another_class_or_value(layout):
    rows, codes = rows_to_take()
    kept = RetainedRows(layout(rows), codes, np.ones(4))
    other_class = kept.without(layout(rows[:1]), np.array([1]), None)
    other_value = kept.without(layout(2 * rows[:1]), np.array([0]), None)
    for rest in (other_class, other_value):
        assert_array_equal(rest.y, codes)
        assert_array_equal(rest.weights, np.ones(4))


@pytest.mark.parametrize(
    ("taken", "left"),
    [(1.0, [2.0, 0.5, 1.0]), (3.0, [0.5, 1.0]), (3.25, [0.5, 0.75]), (9.0, [0.5])],
)
def test_without_goes_by_weights(taken, left):
    rows = np.array([[1.0, 2.0], [3.0, 0.0], [1.0, 2.0]])
    kept = RetainedRows(rows, np.zeros(3, int), np.array([3.0, 0.5, 1.0]))
    rest = kept.without(rows[:1], np.zeros(1, int), np.array([taken]))
    assert_array_equal(rest.weights, left)
    assert_array_equal(kept.weights, [3.0, 0.5, 1.0])


def test_without_leaves_no_residue_of_rounding():
    rows = np.ones((1, 2))
    kept = RetainedRows(rows, np.zeros(1, int), np.array([0.3]))
    for _ in range(3):
        kept = kept.without(rows, np.zeros(1, int), np.array([0.1]))
    assert len(kept.y) == 0
    assert kept.X.shape == (0, 2)


def test_row_limit_by_rows_values_and_scores():
    rows = np.ones((5, 10))
    assert row_limit(rows, 2, 1) == module.MOST_ROWS
    assert row_limit(rows, 2, 1, most_values=10_000) == 1000
    assert row_limit(rows, 4, 2, most_scores=8_000) == 1000
    assert row_limit(np.ones((1, 1024)), 2, 1) == module.MOST_VALUES // 1024
    assert row_limit(sp.csr_array(np.eye(1024)), 2, 1) == module.MOST_ROWS
    assert row_limit(rows, 2048, 2) == module.MOST_SCORES // 4096
    assert row_limit(rows, 10**6, 1) == module.LEAST_ROWS
    assert row_limit(np.ones((0, 10)), 2, 1) == module.MOST_ROWS
    assert row_limit(sp.csr_array((0, 10)), 2, 1) == module.MOST_ROWS
