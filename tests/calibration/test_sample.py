"""The sample of the counted rows is a function of the set of these rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax.calibration import sample as module
from explicit_softmax.calibration.sample import (
    BUDGETS,
    NO_ROWS,
    Budget,
    Limit,
    RowSample,
    mixed_bits,
    row_keys,
)
from explicit_softmax.solution import counts
from tests import layouts, strategies

LAYOUTS = [np.asarray, sp.csr_array]
EVERYTHING = Limit(1000)


def dense(X):
    return X.toarray() if sp.issparse(X) else X


def sample_of(X, y, weight=None, limit=EVERYTHING):
    return RowSample.from_rows(X, y, weight, limit)


def content(sample):
    """Each row with its class, and its weight."""
    rows = zip(map(tuple, dense(sample.X)), sample.y.tolist(), strict=True)
    return dict(zip(rows, sample.weights.tolist(), strict=True))


def sums(X, y, weight):
    """The same of rows that were counted, by addition alone."""
    total = {}
    for row, label, value in zip(map(tuple, X), y.tolist(), weight, strict=True):
        total[row, label] = total.get((row, label), 0.0) + value
    return {row: value for row, value in total.items() if value}


def assert_same_bits(first, second):
    for name in ("y", "weights", "keys", "threshold"):
        assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.X.dtype == second.X.dtype
    assert_array_equal(dense(first.X), dense(second.X))


@pytest.fixture
def colliding(monkeypatch):
    """One key for all rows of a class: the second projection alone tells them apart."""
    monkeypatch.setattr(module, "row_keys", lambda _, y: mixed_bits(y.astype("u8")))


def limits():
    by_rows = st.integers(1, 8).map(Limit)
    by_values = st.builds(Limit, st.integers(2, 8), st.integers(0, 20), st.just(1))
    return st.one_of(by_rows, by_values, st.just(EVERYTHING))


def check_any_tree(data):
    X, y, _ = data.draw(strategies.labelled_counts(max_rows=14, max_features=3))
    X = X.astype(data.draw(st.sampled_from([np.float32, np.float64])))
    weight = data.draw(strategies.integer_weights(len(X)))
    weight[data.draw(st.integers(0, len(X))) :][:2] = 0.0  # rows that do not count
    limit = data.draw(limits())
    makes = st.sampled_from(LAYOUTS)
    if limit.n_values < 100:  # dense rows store more
        makes = st.just(data.draw(makes))
    make = data.draw(makes)
    whole = sample_of(make(X), y, weight, limit)
    parts = [
        sample_of(data.draw(makes)(X[part]), y[part], weight[part], limit)
        for part in data.draw(strategies.partitions(len(y)))
    ]
    assert_same_bits(strategies.merged(data, parts), whole)
    # Equal rows stand once with all of their weight; others may not be in the sample.
    found, everything = content(whole), sums(X, y, weight)
    assert len(found) == len(whole.y) <= limit.n_rows
    assert found.items() <= everything.items()
    if limit == EVERYTHING:
        assert found == everything
    assert (whole.keys[1:] >= whole.keys[:-1]).all()
    assert (whole.keys <= whole.threshold).all()
    assert_same_bits(whole.head(limit), whole)
    assert_same_bits(sample_of(make(X), y, weight).head(limit), whole)


@strategies.properties
@given(data=st.data())
def test_any_order_chunks_and_tree_of_merges_give_the_same_bits(data):
    check_any_tree(data)


@pytest.mark.usefixtures("colliding")
@strategies.properties
@given(data=st.data())
def test_rows_that_share_a_key_are_told_apart(data):
    check_any_tree(data)


@pytest.mark.parametrize("n_features", [1, 30, 784, 8193, 20_000])
def test_keys_do_not_depend_on_the_rows_beside_them(monkeypatch, n_features):
    rng = np.random.default_rng(0)
    X, y = rng.random((9, n_features)), rng.integers(0, 3, 9)
    for make in (*LAYOUTS, np.asfortranarray, lambda X: X.astype(np.float32)):
        keys = row_keys(make(X), y)
        assert len(set(keys)) == 9
        single = [row_keys(make(X)[[i]], y[[i]])[0] for i in range(9)]
        assert_array_equal(keys, single)
        monkeypatch.setattr(counts, "_BLOCK_VALUES", 4 * n_features)
        assert_array_equal(row_keys(make(X), y), keys)
        monkeypatch.undo()
        assert (row_keys(make(X), (y + 1) % 3) != keys).all()


def test_float32_and_float64_find_the_same_rows():
    rng = np.random.default_rng(0)
    X, y = rng.random((30, 5), dtype=np.float32), np.arange(30) % 2
    for layout in LAYOUTS:
        double, single = (sample_of(layout(X.astype(t)), y) for t in ("f8", "f4"))
        assert_array_equal(double.keys, single.keys)
        assert_array_equal((double + single).weights, 2.0)
        assert len((double - single).y) == len((single - double).y) == 0


@strategies.properties
@given(data=st.data(), layout=st.sampled_from(LAYOUTS), other=st.sampled_from(LAYOUTS))
def test_forgetting_takes_weights_out(data, layout, other):
    X, y, _ = data.draw(strategies.labelled_counts(max_rows=14, max_features=3))
    weight = data.draw(strategies.integer_weights(len(X)))
    limit = data.draw(limits())
    cut = data.draw(st.integers(0, len(X)))
    whole = sample_of(layout(X), y, weight, limit)
    taken = sample_of(other(X[:cut]), y[:cut], weight[:cut])
    left = sample_of(layout(X[cut:]), y[cut:], weight[cut:])
    rest = whole - taken
    if limit == EVERYTHING:
        assert_same_bits(rest, left)
    # What is left of the sample is complete up to its threshold.
    assert content(rest).items() <= content(left).items()
    known = {key for key in left.keys.tolist() if key <= whole.threshold}
    assert set(rest.keys.tolist()) == known
    # Rows that are counted from now on are added up to there.
    assert_same_bits(rest + taken, whole)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_another_class_or_value_stay_and_rounding_leaves_nothing(layout):
    X, y = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([0, 1])
    kept = sample_of(layout(X), y, np.array([0.3, 1.0]))
    for other in (sample_of(layout(X), 1 - y), sample_of(layout(2 * X), y)):
        assert content(kept - other) == content(kept)
    part = sample_of(layout(X[:1]), y[:1], np.array([0.1]))
    rest = kept - part - part - part  # 0.3 - 0.1 - 0.1 - 0.1 is not zero
    assert content(rest) == {((3.0, 0.0), 1): 1.0}


def test_limits_and_budgets():
    stored = np.array([3, 1, 4, 1, 5])
    assert Limit(2).n_rows_in(stored) == 2
    assert Limit(9).n_rows_in(stored) == 5
    assert [Limit(9, n).n_rows_in(stored) for n in (2, 3, 8, 9)] == [0, 1, 3, 4]
    assert Limit(9, 2, least_rows=2).n_rows_in(stored) == 2
    assert Limit(9, 100, 2).n_rows_of_width(20.0) == 6
    budget = Budget(n_rows=1000, n_values=50, n_scores=6000, least_rows=300)
    assert budget.limit(2) == Limit(1000, 50, 300)
    assert budget.limit(10) == Limit(600, 50, 300)
    assert budget.limit(10**6) == Limit(300, 50, 300)
    assert all(b.least_rows <= b.n_rows for b in BUDGETS.values())
    X, y = np.random.default_rng(0).random((100, 3)), np.arange(100)
    assert len(sample_of(X, y, limit=Limit(50, 60)).y) == 20
    assert len(sample_of(X, y, limit=Limit(50, 60, least_rows=30)).y) == 30
    nothing = sample_of(X, y, limit=NO_ROWS)
    assert len((nothing + nothing).y) == len((nothing - nothing).y) == 0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_distinct", [3, 100])
def test_members_are_places_of_the_sampled_rows(layout, n_distinct):
    # Many equal rows: the first guess of how many rows are needed is too low.
    rng = np.random.default_rng(0)
    X = rng.poisson(2.0, (n_distinct, 4))[rng.integers(0, n_distinct, 2000)]
    X, y = layout(X.astype(float)), rng.integers(0, 2, 2000)
    sample = sample_of(X, y, limit=Limit(40))
    assert len(sample.y) == min(40, len(content(sample_of(X, y))))
    assert_array_equal(dense(X[sample.members]), dense(sample.X))
    assert_array_equal(y[sample.members], sample.y)
    assert content(sample).items() <= sums(dense(X), y, np.ones(2000)).items()
    few = sample.part(np.array([2, 0]))
    assert_array_equal(few.members, sample.members[[2, 0]])
    # The rows of smallest hash are a fair sample of the classes.
    large = rng.random((5000, 2))
    fair = sample_of(layout(large), np.arange(5000) % 2, limit=Limit(1000))
    assert 0.45 < fair.y.mean() < 0.55
    assert 0.45 < dense(fair.X).mean() < 0.55


def test_mixed_layouts_of_any_values_keep_the_weights_right():
    X, y = np.random.default_rng(0).random((30, 5)), np.arange(30) % 2
    for first, other in (LAYOUTS, LAYOUTS[::-1]):
        both = sample_of(first(X), y) + sample_of(other(X[:10]), y[:10])
        assert content(both) == sums(X, y, np.repeat([2.0, 1.0], [10, 20]))
        rest = both - sample_of(other(X), y)
        assert content(rest) == sums(X[:10], y[:10], np.ones(10))


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_every_layout_has_the_same_sample(layout):
    X, y = np.random.default_rng(0).poisson(1.0, (30, 5)) * 1.0, np.arange(30) % 3
    assert_same_bits(sample_of(layouts.LAYOUTS[layout](X), y), sample_of(X, y))
