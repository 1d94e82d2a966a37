"""ExplicitSoftmaxClassifierCV: leave-one-out and folds, against refits and searches."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_equal
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import get_scorer, log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold
from sklearn.naive_bayes import MultinomialNB

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
)
from explicit_softmax._classifier_cv import _ranks
from tests.test_warm_start import HAS_CALLBACKS, warm


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    y = rng.choice(4, size=240, p=[0.4, 0.3, 0.2, 0.1])
    rates = rng.gamma(0.5, size=(4, 12)) * rng.gamma(2.0, size=(4, 1))
    return rng.poisson(rates[y]).astype(float), y


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


def one(clf, **parameters):
    """The classifier of one candidate."""
    return ExplicitSoftmaxClassifier(
        translation=clf.translation,
        inverse_temperature=clf.inverse_temperature,
        smoothing=clf.smoothing,
        **parameters,
    )


def test_no_arguments_are_needed(digits):
    X, y, X_test, y_test = digits
    chosen = ExplicitSoftmaxClassifierCV().fit(X, y)
    plain = ExplicitSoftmaxClassifier().fit(X, y)
    bayes = MultinomialNB().fit(X, y)
    losses = [log_loss(y_test, m.predict_proba(X_test)) for m in (chosen, plain, bayes)]
    assert losses[0] < losses[1] + 0.01 < 0.3 * losses[2]
    assert not hasattr(chosen, "partial_fit")


def test_log_likelihoods_of_rows_have_the_mean_that_is_the_score(counts):
    X, y = counts
    results = given(store_cv_results=True).fit(X, y).cv_results_
    logs, rows = results["row_log_likelihood"], results["row_index"]
    # Equal rows of a class are one.
    same = (X[rows, None] == X).all(axis=2) & (y[rows, None] == y)
    assert same.sum() == len(y)
    found = np.average(logs, axis=1, weights=same.sum(axis=1))
    np.testing.assert_allclose(results["mean_test_score"], found, rtol=1e-5)


@pytest.mark.parametrize("cv", [None, 3])
def test_the_first_of_candidates_that_differ_by_rounding_is_best(cv):
    # Rows of one norm: their counts differ by a factor from exponent to exponent.
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = np.eye(7)[(2 * y + rng.integers(0, 3, 90)) % 7] * 3.0
    exponents, strengths = [0.3, 0.9, 0.6, 0.0], [0.1, 1.0]
    clf = ExplicitSoftmaxClassifierCV(
        norm_exponents=exponents, smoothing_strengths=strengths, cv=cv
    ).fit(X, y)
    scores = clf.cv_results_["mean_test_score"].reshape(4, 2)
    assert len(np.unique(scores)) > 2  # told apart by rounding
    np.testing.assert_allclose(scores, scores[:1].repeat(4, axis=0), rtol=1e-9)
    best = scores[0].argmax()
    assert clf.norm_exponent_ == 0.3
    assert clf.smoothing_strength_ == strengths[best]
    assert clf.best_score_ == scores[0, best]
    ranks = clf.cv_results_["rank_test_score"].reshape(4, 2)
    assert_equal(ranks[:, best], 1)
    assert_equal(ranks[:, 1 - best], 5)


def test_ranks_are_those_of_scores_where_these_differ():
    scores = [0.5, np.nan, 0.9, 0.9 * (1 + 1e-12), 0.5 * (1 + 1e-8), -np.inf, 0.0]
    assert_equal(_ranks(np.array(scores)), [4, 7, 1, 1, 3, 6, 5])
    assert_equal(_ranks(np.full(3, np.nan)), 1)


@pytest.mark.parametrize("as_rows", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(
    ("how", "atol"),
    [
        ({}, 1e-10),
        ({"scoring": "accuracy"}, 1e-10),
        ({"inverse_temperature": "auto", "norm_exponents": [0.0]}, 1e-7),
        # The search starts intercepts from those of the strength before.
        (
            {
                "translation": "exact",
                "inverse_temperature": "auto",
                "priming_numbers": [5.0],
            },
            1e-5,
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:priming_numbers have no effect")
def test_folds_give_the_scores_of_grid_search(counts, as_rows, how, atol):
    X, y = counts
    clf = given(cv=3, store_cv_results=True, **how).fit(as_rows(X), y)
    grid = {
        "norm_exponent": clf.norm_exponents,
        "smoothing_strength": clf.smoothing_strengths,
        "priming_number": clf.priming_numbers,
    }
    search = GridSearchCV(one(clf), grid, scoring=clf.scoring, cv=3).fit(as_rows(X), y)
    results, expected = clf.cv_results_, search.cv_results_
    order = [expected["params"].index(params) for params in results["params"]]
    for key in ("mean_test_score", "std_test_score", "split0_test_score"):
        np.testing.assert_allclose(results[key], expected[key][order], atol=atol)
    best = {name: getattr(clf, name + "_") for name in search.best_params_}
    assert best == search.best_params_
    assert clf.best_score_ == pytest.approx(search.best_score_, abs=atol)
    np.testing.assert_allclose(clf.predict_proba(X), search.predict_proba(X), atol=atol)


@pytest.mark.parametrize("scoring", ["neg_log_loss", "accuracy"])
def test_folds_weigh_counts_and_scores(counts, scoring):
    X, y = counts
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    folds = KFold(3, shuffle=True, random_state=0)
    clf = given(cv=folds, scoring=scoring).fit(X, y, sample_weight=weight)
    for candidate in (0, 7):
        model = one(clf, **clf.cv_results_["params"][candidate])
        scores = []
        for train, test in folds.split(X):
            model.fit(X[train], y[train], sample_weight=weight[train])
            scores.append(
                get_scorer(scoring)(model, X[test], y[test], sample_weight=weight[test])
            )
        found = clf.cv_results_["mean_test_score"][candidate]
        assert found == pytest.approx(np.mean(scores), abs=1e-10)


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
    refined = warm(chosen).fit(X, y)
    losses = [log_loss(y_test, m.predict_proba(X_test)) for m in (chosen, refined)]
    assert losses[1] < losses[0]
    assert refined.n_iter_ == len(refined.loss_curve_)
    assert refined.norm_exponent_ == chosen.norm_exponent_


def test_fold_of_rows_of_zero_weight_is_left_out(counts):
    X, y = counts
    weight = (np.arange(len(y)) >= 80).astype(float)
    clf = given(cv=KFold(3), store_cv_results=True).fit(X, y, sample_weight=weight)
    assert np.isnan(clf.cv_results_["split0_test_score"]).all()
    assert np.isfinite(clf.best_score_)


def test_fold_that_lacks_a_class(counts):
    X, y = counts
    lacking = np.flatnonzero(y != 3), np.flatnonzero(y == 3)
    clf = given(cv=[lacking], translation="intercept", store_cv_results=True)
    clf.set_params(priming_numbers=["mean_norm"]).fit(X, y)
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


def agreement(labels, predictions):
    return float((labels == predictions).mean())


def score_of(estimator, X, y):
    assert X.shape == (len(y), 12)
    return estimator.score(X, y)


SCORERS = {
    "accuracy": "accuracy",
    "function": score_of,
    "metric without weights": make_scorer(agreement),
    "roc_auc_ovo": "roc_auc_ovo",
    "adjusted_rand_score": "adjusted_rand_score",
    "mutual_info_score": "mutual_info_score",
}


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("scoring", SCORERS.values(), ids=SCORERS)
def test_scorers_that_take_no_weights(counts, scoring, cv):
    X, y = counts
    clf = given(scoring=scoring, cv=cv).fit(X, y)
    assert 0.2 < clf.best_score_ < 1.5
    assert clf.best_score_ == clf.cv_results_["mean_test_score"].max()
    assert clf.cv_results_["rank_test_score"].min() == 1
    if scoring != "roc_auc_ovo":  # which scikit-learn refuses to weigh
        weighted = clone(clf).fit(X, y, sample_weight=np.full(len(y), 2.0))
        assert 0.2 < weighted.best_score_ < 1.5


def test_scorers_see_equal_rows_as_often_as_they_are_there(counts):
    X, y = counts
    repeated, labels = np.repeat(X, 3, axis=0), np.repeat(y, 3)
    scores = {}
    for name, scoring in [("weighted", "accuracy"), ("not", make_scorer(agreement))]:
        scores[name] = given(scoring=scoring).fit(repeated, labels).cv_results_
    np.testing.assert_allclose(
        scores["weighted"]["mean_test_score"], scores["not"]["mean_test_score"]
    )


@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("requested", [True, False])
def test_scorers_get_the_weights_that_they_ask_for(counts, cv, requested):
    X, y = counts
    seen = []

    def metric(labels, predictions, sample_weight=None):
        seen.append(sample_weight)
        return 0.0

    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(metric).set_score_request(sample_weight=requested)
        given(scoring=scorer, cv=cv).fit(X, y, sample_weight=weight)
        if HAS_CALLBACKS:  # scikit-learn < 1.9 passes it on without asking
            unset = given(scoring=make_scorer(metric), cv=cv)
            with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
                unset.fit(X, y, sample_weight=weight)
        # The log-loss of the default is weighted without asking.
        given(cv=cv).fit(X, y, sample_weight=weight)
    assert {found is not None for found in seen} == {requested}
    if requested and cv:  # leave-one-out sums the weights of equal rows
        assert set(np.concatenate(seen)) == set(weight)


def test_metadata_reach_the_rows_of_the_scorer(counts):
    X, y = counts

    def metric(labels, predictions, costs):
        assert_equal(costs, labels * 10)
        return 0.0

    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(metric).set_score_request(costs=True)
        for cv in (None, 3):
            given(scoring=scorer, cv=cv).fit(X, y, costs=y * 10)


def test_useless_priming_numbers_are_said_to_be_so(counts):
    clf = ExplicitSoftmaxClassifierCV(priming_numbers=[1.0, 50.0])
    with pytest.warns(UserWarning, match="priming_numbers have no effect") as caught:
        clf.fit(*counts)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([], "cv has no folds"),
        ([(range(240), [])], "fold 0 of cv has no rows to score"),
        ([([0], [1]), ([], [1])], "fold 1 of cv has no rows to fit"),
    ],
)
def test_folds_without_rows_are_named(counts, cv, message):
    with pytest.raises(ValueError, match=message):
        given(cv=cv).fit(*counts)
