"""PositiveFeatures: properties of both methods, and messages for bad input."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris, make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer
from sklearn.utils import get_tags

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    PositiveFeatures,
)
from tests.strategies import properties

METHODS = ["bins", "split"]
ROWS = np.array([[-1.0, 0.0, 2.0], [0.0, 2.0, 2.0], [3.0, 4.0, 2.0]])


@st.composite
def features(draw, max_rows=12, max_features=4):
    """Rows of either sign, of many scales, with ties, zeros, and constant columns."""
    shape = (draw(st.integers(1, max_rows)), draw(st.integers(1, max_features)))
    values = st.one_of(
        st.integers(-3, 3).map(float),
        st.floats(-1e6, 1e6),
        st.sampled_from([1e-300, -1e-300, 5e-324, 1.0 + 2**-52, 1e300, -1e300]),
    )
    return draw(hnp.arrays(np.float64, shape, elements=values))


@properties
@given(features(), st.sampled_from(METHODS), st.booleans())
def test_features_are_non_negative_and_finite(X, method, scale):
    transformer = PositiveFeatures(method=method, n_bins=4, scale=scale)
    positive = transformer.fit_transform(X)
    assert positive.min() >= 0
    assert np.isfinite(positive).all()
    if method == "split":  # the parts subtract back, but for underflow
        above, below = np.split(positive, 2, axis=1)
        assert not (above * below).any()
        error = np.abs((above - below) * transformer.scale_ - X)
        assert (error <= 1e-15 * np.abs(X) + 5e-324 * transformer.scale_).all()
    names = transformer.get_feature_names_out()
    assert len(set(names)) == len(names) == positive.shape[1]


@properties
@given(features(), features(), st.integers(2, 6))
def test_bins_of_each_feature_sum_to_one(X, others, n_bins):
    transformer = PositiveFeatures(n_bins=n_bins).fit(X)
    n_features = X.shape[1]
    unseen = np.resize(others, (len(others), n_features))
    for rows in (X, unseen, np.full((1, n_features), 1e308)):
        positive = transformer.transform(rows)
        assert positive.min() >= 0
        starts = np.cumsum([0, *transformer.n_bins_[:-1]])
        sums = np.add.reduceat(positive, starts, axis=1)
        assert_allclose(sums, 1.0, rtol=1e-15)
        assert_allclose(positive.sum(axis=1), n_features, rtol=1e-14)
        assert (np.count_nonzero(positive, axis=1) <= 2 * n_features).all()
        # Knots times bins are the value, clipped to the fitted range.
        for feature, knots in enumerate(transformer.knots_):
            bins = positive[:, starts[feature] :][:, : len(knots)]
            expected = rows[:, feature].clip(X[:, feature].min(), X[:, feature].max())
            largest = np.abs(knots).max()
            assert_allclose(bins @ knots, expected, rtol=0, atol=1e-14 * largest)
    n_knots = [len(knots) for knots in transformer.knots_]
    assert_array_equal(transformer.n_bins_, n_knots)
    assert (transformer.n_bins_ <= n_bins).all()


@properties
@given(features(), st.booleans(), st.sampled_from([sp.csr_array, sp.csc_matrix]))
def test_sparse_rows_stay_sparse(X, scale, make):
    split = PositiveFeatures(method="split", scale=scale)
    expected = split.fit_transform(X)
    assert isinstance(expected, np.ndarray)
    found = split.fit_transform(make(X))
    assert found.format == "csr"
    assert found.nnz == np.count_nonzero(expected)
    assert_array_equal(found.toarray(), expected)


def test_scale_makes_split_independent_of_units():
    X = np.random.default_rng(0).normal(size=(20, 3))
    units = np.array([2.0**-40, 1.0, 2.0**70])
    split = PositiveFeatures(method="split")
    expected = split.fit_transform(X)
    assert expected.max() == 1.0
    assert_array_equal(split.fit_transform(X * units), expected)


def test_bins_are_the_splines_of_degree_one():
    rng = np.random.default_rng(1)
    X, unseen = rng.normal(size=(50, 3)), 2 * rng.normal(size=(50, 3))
    spline = SplineTransformer(
        n_knots=5, degree=1, knots="quantile", extrapolation="constant"
    ).fit(X)
    bins = PositiveFeatures(n_bins=5).fit(X)
    for rows in (X, unseen):
        assert_allclose(bins.transform(rows), spline.transform(rows), atol=1e-13)


def test_split_by_hand():
    split = PositiveFeatures(method="split").fit(ROWS)
    assert_array_equal(split.scale_, [3, 4, 2])
    assert_array_equal(split.transform([[-6.0, 1.0, 0.0]]), [[0, 0.25, 0, 2, 0, 0]])
    split.set_params(scale=False).fit(ROWS)
    assert_array_equal(split.transform(ROWS[:1]), [[0, 0, 2, 1, 0, 0]])


def test_quantiles_that_coincide_are_one_knot():
    X = np.array([[0.0, 5.0]] * 8 + [[1.0, 5.0], [2.0, 5.0]])
    transformer = PositiveFeatures(n_bins=4).fit(X)
    assert_array_equal(transformer.knots_[0], [0.0, 2.0])
    assert_array_equal(transformer.knots_[1], [5.0])
    assert_array_equal(transformer.n_bins_, [2, 1])
    assert_array_equal(transformer.transform([[1.0, 7.0]]), [[0.5, 0.5, 1.0]])


@pytest.mark.parametrize("method", METHODS)
def test_float32_stays_float32_and_tags(method):
    X = np.random.default_rng(3).normal(size=(30, 3)).astype(np.float32)
    transformer = PositiveFeatures(method=method)
    tags = get_tags(transformer).input_tags
    assert (tags.sparse, tags.positive_only) == (method == "split", False)
    found = transformer.fit_transform(X)
    assert found.dtype == np.float32
    expected = clone(transformer).fit_transform(X.astype(np.float64))
    assert_allclose(found, expected, atol=1e-6)


NAMES = {
    "bins": ["a[0]", "a[1]", "a[2]", "b[0]", "b[1]", "b[2]", "c[0]"],
    "split": ["a+", "b+", "c+", "a-", "b-", "c-"],
}


@pytest.mark.parametrize("method", METHODS)
def test_names_and_pandas(method):
    frame = pd.DataFrame(ROWS, columns=list("abc"))
    transformer = PositiveFeatures(method=method, n_bins=3)
    found = transformer.set_output(transform="pandas").fit_transform(frame)
    assert list(found.columns) == NAMES[method]
    unnamed = PositiveFeatures(method=method, n_bins=3).fit(ROWS)
    assert_array_equal(unnamed.transform(ROWS), found.to_numpy())
    assert unnamed.get_feature_names_out()[0].startswith("x0")
    assert list(unnamed.get_feature_names_out(list("abc"))) == NAMES[method]
    with pytest.raises(ValueError, match="input_features"):
        transformer.get_feature_names_out(["d", "e", "f"])


def test_another_method_takes_effect_when_fitted():
    transformer = PositiveFeatures(method="split").fit(ROWS)
    expected = transformer.transform(ROWS)
    transformer.set_params(method="bins")
    assert_array_equal(transformer.transform(ROWS), expected)
    assert len(transformer.fit(ROWS).knots_) == 3
    assert not hasattr(transformer, "scale_")
    transformer.set_params(method="split").fit(ROWS)
    assert_array_equal(transformer.transform(ROWS), expected)
    assert not hasattr(transformer, "n_bins_")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_bad_values_name_the_row_and_change_nothing(method, value):
    transformer = PositiveFeatures(method=method).fit(ROWS)
    expected = transformer.transform(ROWS)
    bad = np.c_[ROWS, ROWS]
    bad[2, 1] = value
    message = ("NaN" if np.isnan(value) else "infinity") + ": row 2"
    for X in [bad, sp.csr_array(bad)] if method == "split" else [bad]:
        with pytest.raises(ValueError, match=message):
            transformer.fit(X)
    assert transformer.n_features_in_ == 3
    assert_array_equal(transformer.transform(ROWS), expected)
    with pytest.raises(ValueError, match=message):
        transformer.transform(bad[:, :3])


@pytest.mark.parametrize(
    ("name", "value"),
    [("method", "clip"), ("n_bins", 1), ("n_bins", 2.5), ("scale", "max")],
)
def test_bad_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        PositiveFeatures(**{name: value}).fit(ROWS)


def test_bins_refuse_sparse_rows():
    bins = PositiveFeatures()
    for call in (bins.fit, bins.fit(ROWS).transform):
        with pytest.raises(TypeError, match='use method="split", or pass X'):
            call(sp.csr_array(ROWS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_overflow(dtype):
    with pytest.raises(ValueError, match="range of feature 1 overflows float64"):
        PositiveFeatures().fit([[0.0, -1e308], [1.0, 1e308]])
    split = PositiveFeatures(method="split").fit(np.array([[1e-30], [2e-30]]))
    huge = np.array([[np.finfo(dtype).max]], dtype=dtype)
    with pytest.raises(ValueError, match="clip the rows"):
        split.transform(huge)


def test_grid_search_over_methods_and_folds_of_unseen_values():
    X, y = make_classification(200, 6, n_informative=4, class_sep=2.0, random_state=0)
    model = make_pipeline(PositiveFeatures(), ExplicitSoftmaxClassifier())
    grid = {"positivefeatures__method": METHODS, "positivefeatures__n_bins": [2, 10]}
    how = {"scoring": "neg_log_loss", "error_score": "raise", "cv": 3}
    search = GridSearchCV(model, grid, **how).fit(X, y)
    losses = -search.cv_results_["mean_test_score"]
    # Guessing between two balanced classes costs log 2.
    assert (losses < np.log(2)).all()
    assert search.score(X, y) > -np.log(2)


def test_temperature_for_the_bins_of_each_feature():
    X, y = load_iris(return_X_y=True)
    transformer = PositiveFeatures(n_bins=4).fit(X[::2])
    clf = ExplicitSoftmaxClassifierCV(
        inverse_temperature="auto", n_blocks=transformer.n_bins_
    )
    clf.fit(transformer.transform(X[::2]), y[::2])
    assert clf.inverse_temperature_.shape == (4,)
    assert clf.score(transformer.transform(X[1::2]), y[1::2]) > 0.85
