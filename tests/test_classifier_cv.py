"""ExplicitSoftmaxClassifierCV: leave-one-out and folds, against refits and searches."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    Refinement,
)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    y = rng.choice(4, size=240, p=[0.4, 0.3, 0.2, 0.1])
    rates = rng.gamma(0.5, size=(4, 12)) * rng.gamma(2.0, size=(4, 1))
    return rng.poisson(rates[y]).astype(float), y


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))  # the writers come in turn
    X, y = X[order], y[order]
    return X[:1200], y[:1200], X[1200:], y[1200:]


def given(**parameters):
    return ExplicitSoftmaxClassifierCV(
        **{
            "translation": "column",
            "inverse_temperature": 0.6,
            "norm_exponents": [0.0, 0.5],
            "smoothing_strengths": [0.1, 1.0],
            "priming_numbers": [1.0, 5.0, 40.0],
            **parameters,
        }
    )


def grid_search(clf, **search):
    return GridSearchCV(
        ExplicitSoftmaxClassifier(
            translation=clf.translation,
            inverse_temperature=clf.inverse_temperature,
            smoothing=clf.smoothing,
        ),
        {
            "norm_exponent": clf.norm_exponents,
            "smoothing_strength": clf.smoothing_strengths,
            "priming_number": clf.priming_numbers,
        },
        error_score="raise",
        **{"scoring": "neg_log_loss", "cv": 3, **search},
    )


def test_no_arguments_are_needed(digits):
    X, y, X_test, y_test = digits
    chosen = ExplicitSoftmaxClassifierCV().fit(X, y)
    plain = ExplicitSoftmaxClassifier().fit(X, y)
    bayes = MultinomialNB().fit(X, y)
    losses = [log_loss(y_test, m.predict_proba(X_test)) for m in (chosen, plain, bayes)]
    assert losses[0] < losses[1] + 0.01 < 0.3 * losses[2]
    assert not hasattr(chosen, "partial_fit")


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
def test_leave_one_out_is_that_of_refits(counts, smoothing, as_rows):
    X, y = (values[:40] for values in counts)
    # On rows of equal norm the numbers held fixed while a row is out move least; what
    # moves all the same is of the order of one over the number of rows.
    clf = given(smoothing=smoothing, store_cv_results=True).fit(as_rows(X), y)
    results = clf.cv_results_
    assert results["row_log_likelihood"].shape == (12, len(results["row_index"]))
    for candidate in (0, 5, 11):
        model = ExplicitSoftmaxClassifier(
            inverse_temperature=0.6,
            smoothing=smoothing,
            translation="column",
            **results["params"][candidate],
        )
        refits = []
        for row in results["row_index"]:
            rest = np.arange(len(y)) != row
            if not (y[rest] == y[row]).any():
                continue
            refit = clone(model).fit(X[rest], y[rest])
            own = refit.classes_ == y[row]
            refits.append(refit.predict_log_proba(X[row : row + 1])[0, own][0])
        np.testing.assert_allclose(
            np.mean(refits),
            results["row_log_likelihood"][candidate].mean(),
            atol=0.1,
        )
    np.testing.assert_allclose(
        results["mean_test_score"],
        results["row_log_likelihood"].mean(axis=1),
        rtol=1e-5,
    )


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_folds_give_the_scores_of_grid_search(counts, as_rows, scoring):
    X, y = counts
    clf = given(cv=3, scoring=scoring, store_cv_results=True).fit(as_rows(X), y)
    search = grid_search(clf, scoring=scoring).fit(as_rows(X), y)
    theirs = [str(sorted(params.items())) for params in search.cv_results_["params"]]
    order = [
        theirs.index(str(sorted(params.items())))
        for params in clf.cv_results_["params"]
    ]
    for key in ("mean_test_score", "std_test_score", "split0_test_score"):
        np.testing.assert_allclose(
            clf.cv_results_[key], search.cv_results_[key][order], atol=1e-10
        )
    assert clf.priming_number_ == search.best_params_["priming_number"]
    assert clf.best_score_ == pytest.approx(search.best_score_, abs=1e-10)
    np.testing.assert_allclose(
        clf.predict_proba(X), search.predict_proba(X), atol=1e-10
    )


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_folds_weigh_counts_and_scores(counts, scoring):
    X, y = counts
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    folds = KFold(3, shuffle=True, random_state=0)
    clf = given(cv=folds, scoring=scoring).fit(X, y, sample_weight=weight)
    for candidate in (0, 7):
        model = ExplicitSoftmaxClassifier(
            inverse_temperature=0.6,
            translation="column",
            **clf.cv_results_["params"][candidate],
        )
        scores = []
        for train, test in folds.split(X):
            model.fit(X[train], y[train], sample_weight=weight[train])
            if scoring == "accuracy":
                scores.append(model.score(X[test], y[test], weight[test]))
            else:
                proba = model.predict_proba(X[test])
                scores.append(-log_loss(y[test], proba, sample_weight=weight[test]))
        assert clf.cv_results_["mean_test_score"][candidate] == pytest.approx(
            np.mean(scores), abs=1e-10
        )


def test_folds_with_chosen_temperatures(counts):
    X, y = counts
    clf = given(cv=4, inverse_temperature="auto", norm_exponents=[0.0]).fit(X, y)
    search = grid_search(clf, cv=4).fit(X, y)
    best = {name: getattr(clf, name + "_") for name in search.best_params_}
    assert best == search.best_params_
    assert clf.best_score_ == pytest.approx(search.best_score_, abs=1e-7)


def test_priming_number_in_a_pipeline(digits):
    X, y, _, _ = digits
    X, y = X[:300], y[:300]
    numbers = [2.0, 20.0, 200.0]
    search = GridSearchCV(
        make_pipeline(
            FunctionTransformer(np.sqrt),
            ExplicitSoftmaxClassifier(
                inverse_temperature=0.3,
                smoothing_strength=0.1,
                norm_exponent=0.0,
                translation="column",
            ),
        ),
        {"explicitsoftmaxclassifier__priming_number": numbers},
        scoring="neg_log_loss",
        cv=3,
    ).fit(X, y)
    clf = given(
        cv=3,
        inverse_temperature=0.3,
        priming_numbers=numbers,
        norm_exponents=[0.0],
        smoothing_strengths=[0.1],
    )
    model = make_pipeline(FunctionTransformer(np.sqrt), clf).fit(X, y)
    assert model[-1] is clf
    np.testing.assert_allclose(
        clf.cv_results_["mean_test_score"],
        search.cv_results_["mean_test_score"],
        atol=1e-10,
    )
    (best,) = search.best_params_.values()
    assert clf.priming_number_ == best


def test_accuracy_by_leave_one_out(counts):
    X, y = counts
    clf = given(scoring="accuracy").fit(X, y)
    assert 0.5 < clf.best_score_ <= 1.0
    assert clf.best_score_ == clf.cv_results_["mean_test_score"].max()
    assert clf.cv_results_["rank_test_score"].min() == 1


def test_dense_equals_sparse_and_threads_change_nothing(counts):
    X, y = counts
    clf = ExplicitSoftmaxClassifierCV(n_blocks=2)
    dense = clone(clf).fit(X, y)
    sparse = clone(clf).set_params(n_jobs=2).fit(sp.csr_array(X), y)
    assert dense.norm_exponent_ == sparse.norm_exponent_
    assert dense.smoothing_strength_ == sparse.smoothing_strength_
    np.testing.assert_allclose(
        dense.predict_proba(X), sparse.predict_proba(X), atol=1e-5
    )


def test_chosen_numbers_reproduce_the_model(counts):
    X, y = counts
    clf = given(inverse_temperature="auto").fit(X, y)
    same = ExplicitSoftmaxClassifier(
        priming_number=clf.priming_number_,
        smoothing_strength=clf.smoothing_strength_,
        norm_exponent=clf.norm_exponent_,
        translation="column",
    ).fit(X, y)
    assert same.norm_weight_ == clf.norm_weight_
    np.testing.assert_allclose(same.coef_, clf.coef_, atol=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_warm_start_refines_the_chosen_solution(digits):
    X, y, X_test, y_test = digits
    chosen = ExplicitSoftmaxClassifierCV().fit(X, y)
    refined = clone(chosen).set_params(
        warm_start=True, refinement=Refinement(random_state=0)
    )
    refined.fit(X, y)
    losses = [log_loss(y_test, m.predict_proba(X_test)) for m in (chosen, refined)]
    assert losses[1] < losses[0]
    assert refined.n_iter_ == len(refined.loss_curve_)
    assert refined.norm_exponent_ == chosen.norm_exponent_


def test_weights_of_zero_are_rows_left_out(counts):
    X, y = counts
    weight = np.arange(len(y)) % 3 != 0
    clf = given(inverse_temperature="auto")
    weighted = clone(clf).fit(X, y, sample_weight=weight.astype(float))
    without = clone(clf).fit(X[weight], y[weight])
    assert weighted.best_score_ == pytest.approx(without.best_score_, abs=1e-9)
    np.testing.assert_allclose(
        weighted.predict_proba(X), without.predict_proba(X), atol=1e-6
    )


def test_fold_of_rows_of_zero_weight_is_left_out(counts):
    X, y = counts
    weight = (np.arange(len(y)) >= 80).astype(float)
    clf = given(cv=KFold(3), store_cv_results=True).fit(X, y, sample_weight=weight)
    assert np.isnan(clf.cv_results_["split0_test_score"]).all()
    assert np.isfinite(clf.best_score_)


def test_fold_that_lacks_a_class(counts):
    X, y = counts
    lacking = np.flatnonzero(y != 3), np.flatnonzero(y == 3)
    clf = given(cv=[lacking], translation="intercept", store_cv_results=True).fit(X, y)
    # The class is improbable there, and its probability is not zero.
    scores = clf.cv_results_["split0_test_score"]
    assert np.isfinite(scores).all()
    assert (scores < np.log(0.25)).all()


def test_groups_reach_the_splitter(counts):
    X, y = counts
    groups = np.arange(len(y)) % 5
    clf = given(cv=GroupKFold(5), store_cv_results=True)
    plain = clone(clf).fit(X, y, groups=groups)
    with sklearn.config_context(enable_metadata_routing=True):
        splitter = GroupKFold(5).set_split_request(groups=True)
        routed = clone(clf).set_params(cv=splitter).fit(X, y, groups=groups)
    expected = given(
        cv=[
            (np.flatnonzero(groups != g), np.flatnonzero(groups == g)) for g in range(5)
        ]
    ).fit(X, y)
    for found in (plain, routed):
        assert found.best_score_ == pytest.approx(expected.best_score_, abs=1e-10)
    with pytest.raises(ValueError, match="only groups can be passed"):
        clone(clf).fit(X, y, group=groups)
    with pytest.raises(ValueError, match="only groups can be passed"):
        clone(clf).set_params(cv=None).fit(X, y, groups=groups)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"priming_numbers": []}, "priming_numbers is empty"),
        ({"smoothing_strengths": ()}, "smoothing_strengths is empty"),
        ({"norm_exponents": np.zeros(0)}, "norm_exponents is empty"),
        ({"priming_numbers": [0.0]}, "priming_numbers must be positive"),
        ({"priming_numbers": ["norm"]}, "priming_numbers must be positive"),
        ({"smoothing_strengths": [0.1, -1.0]}, "smoothing_strengths must be positive"),
        ({"norm_exponents": [np.nan]}, "norm_exponents must be >= 0"),
        ({"norm_exponents": [[0.5]]}, "one-dimensional"),
        ({"cv": 1}, "cv"),
        ({"scoring": "log"}, "scoring"),
    ],
)
def test_bad_grids_are_named(counts, parameters, message):
    X, y = counts
    clf = ExplicitSoftmaxClassifierCV(**parameters)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


def test_rows_of_zeros_only(counts):
    _, y = counts
    clf = ExplicitSoftmaxClassifierCV().fit(np.zeros((len(y), 2)), y)
    np.testing.assert_allclose(
        clf.predict_proba(np.zeros((1, 2)))[0], np.bincount(y) / len(y)
    )
