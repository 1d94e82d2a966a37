"""The explicit solution of windows, against formulas, refits, and grids."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.text import language as module
from explicit_softmax.text.language import (
    draw_windows,
    solve_windows,
    token_log_likelihood,
    window_limit,
)
from explicit_softmax.text.windows import (
    OneHotWindows,
    TokenStream,
    count_windows,
    one_hot_windows,
)
from explicit_softmax.training import minibatch
from explicit_softmax.training.problem import Problem
from explicit_softmax.training.refine import cold_start, refine
from tests import oracles
from tests.strategies import properties

AGGREGATIONS = ["sum", "cat"]
SIZE = 6  # ids: four tokens, out-of-vocabulary, padding


def corpus(n_tokens=5, length=60, seed=0):
    """Documents in which all of the ids occur."""
    rng = np.random.default_rng(seed)
    tokens = [0]
    for _ in range(length - n_tokens - 1):
        follow = [(tokens[-1] + 1) % n_tokens, rng.integers(n_tokens)]
        tokens.append(int(rng.choice(follow, p=[0.6, 0.4])))
    tokens = [*tokens, *range(n_tokens)]
    return [tokens[:20], tokens[20:21], tokens[21:]]


class Windows:
    """Windows of documents, counted, and as dense rows by the definition."""

    def __init__(self, documents, context_size, aggregation, size=SIZE):
        self.context_size = context_size
        stream = TokenStream.from_documents(documents, context_size, size - 1)
        self.X = OneHotWindows(stream, size, aggregation, np.float64)
        self.counts = count_windows(stream, size, aggregation)
        self.retained = draw_windows(self.X, 10**6)
        contexts, targets = oracles.windows(documents, context_size, size - 1)
        self.dense = oracles.window_features(contexts, size, aggregation)
        self.targets = np.array(targets)
        self.n_classes = size - 1
        self.n_blocks = context_size if aggregation == "cat" else 1
        self.blocks = feature_blocks(self.dense.shape[1], self.n_blocks)

    def solve(self, **how):
        return solve_windows(
            self.counts, self.retained, self.context_size, self.n_blocks, **how
        )

    def log_probabilities(self, decoder):
        return oracles.log_probabilities(decoder.scores(self.X[:]))

    def held_out_loss(self, beta, smoothing, strength=0.1):
        scores = oracles.leave_one_out_scores(
            self.dense,
            self.targets,
            self.n_classes,
            blocks=self.blocks,
            smoothing=smoothing,
            strength=strength,
            priming_number=self.context_size,
            beta=beta,
        )
        return oracles.mean_loss(scores, self.targets)


def assert_equal_probabilities(actual, expected):
    expected = oracles.log_probabilities(expected)
    assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("smoothing", [None, "uniform"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_beta_of_one_is_equation_3(aggregation, smoothing):
    # Every target after every token, and after padding, at both positions.
    documents = [list(document) for document in itertools.product((0, 1), repeat=4)]
    windows = Windows(documents, 2, aggregation, size=3)
    solution = windows.solve(smoothing=smoothing, strength=0.3, beta=np.ones(1))
    if aggregation == "cat":
        solution = windows.solve(smoothing=smoothing, strength=0.3, beta=np.ones(2))
    counts = oracles.cooccurrence(windows.dense, windows.targets, 2)
    if smoothing == "uniform":
        unit = counts.sum() / oracles.number_of_nonzeros(windows.dense)
        counts += 0.3 * unit
    scores = windows.dense @ oracles.theorem(counts, 2)
    assert_equal_probabilities(windows.log_probabilities(solution.decoder), scores)
    assert np.isnan(solution.calibration.log_loss)


@pytest.mark.parametrize("context_size", [1, 3])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_folded_noise_is_the_literal_dense_model(aggregation, context_size):
    windows = Windows(corpus(), context_size, aggregation)
    beta = np.ones(windows.n_blocks)
    decoder = windows.solve(smoothing="noise", beta=beta).decoder
    assert decoder.is_sparse
    fixed = oracles.fix(
        windows.dense, windows.targets, windows.n_classes, windows.blocks
    )
    embedded = windows.dense @ oracles.noise_matrix(fixed, windows.blocks)  # HE, Eq. 4
    counts = oracles.cooccurrence(embedded, windows.targets, windows.n_classes)
    assert counts.min() > 0
    scores = embedded @ oracles.theorem(counts, context_size)
    assert_equal_probabilities(windows.log_probabilities(decoder), scores)


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_betas_have_the_least_loss_of_refits(aggregation, smoothing):
    windows = Windows(corpus(), 2, aggregation)
    found = windows.solve(smoothing=smoothing, strength=0.4).calibration
    least = windows.held_out_loss(found.beta, smoothing, 0.4)
    assert found.log_loss == pytest.approx(least, rel=1e-9)
    axis = np.array([0.0, 0.3, 0.6, 1.0])
    grid = itertools.product(axis, repeat=windows.n_blocks)
    near = found.beta + 0.02 * np.eye(windows.n_blocks)
    for beta in [*map(np.array, grid), *near]:
        assert windows.held_out_loss(beta, smoothing, 0.4) >= least - 1e-6


@pytest.mark.parametrize("given_beta", [None, 0.4])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_strength_is_that_of_a_fine_grid(aggregation, given_beta):
    windows = Windows(corpus(length=200), 2, aggregation)
    beta = None if given_beta is None else np.full(windows.n_blocks, given_beta)
    chosen = windows.solve(beta=beta)

    def loss(strength):
        smoothed = smooth_counts(windows.counts, "prior", strength, windows.blocks)
        return module._calibrated(smoothed, windows.retained, 2.0, beta).log_loss

    losses = [loss(strength) for strength in np.geomspace(1e-3, 1e3, 19)]
    assert losses[0] > min(losses) < losses[-1]
    assert loss(chosen.strength) < min(losses) + 2e-3


def test_search_of_a_strength_ends_where_every_strength_serves():
    # One token that follows itself: the less smoothing, the better.
    windows = Windows([[0] * 9], 1, "cat", size=3)
    chosen = windows.solve()
    assert 0 < chosen.strength < 1e-5
    assert np.isfinite(chosen.decoder.scores(windows.X[:])).all()


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize(
    "documents",
    [
        [[0, 1, 2, 3] * 9] * 3,  # every target follows from its window
        [[0, 0, 0], [0]],  # all windows speak alike, but for rounding
        [[0]],
    ],
)
def test_betas_are_finite_where_any_would_do(documents, aggregation, smoothing):
    windows = Windows(documents, 2, aggregation)
    solution = windows.solve(smoothing=smoothing)
    assert solution.calibration.beta.max() < 1e4
    # What never happened is improbable, not impossible.
    contexts = np.array([[0, 0], [3, 1], [5, 5], [4, 4]])
    every = one_hot_windows(contexts, SIZE, aggregation, np.float64)
    assert oracles.log_probabilities(solution.decoder.scores(every)).min() > -300


def test_windows_are_drawn_with_their_targets():
    windows = Windows(corpus(), 2, "cat")
    few, again = (draw_windows(windows.X, 10) for _ in range(2))
    assert_array_equal(few.X.toarray(), again.X.toarray())
    pairs = np.column_stack([windows.dense, windows.targets]).tolist()
    drawn = np.column_stack([few.X.toarray(), few.y]).tolist()
    assert len(drawn) == 10
    assert all(pair in pairs for pair in drawn)
    assert_array_equal(windows.retained.X.toarray(), windows.dense)
    assert_array_equal(windows.retained.y, windows.targets)
    assert few.X.dtype == few.weights.dtype == np.float64


def test_window_limit_bounds_rows_and_scores():
    assert window_limit(3, 1) == 2048
    assert window_limit(4097, 4) * 4097 * 4 <= 2**24
    assert window_limit(10**6, 8) == 256


@pytest.mark.parametrize("smoothing", ["prior", "noise"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_likelihoods_do_not_depend_on_chunks(monkeypatch, aggregation, smoothing):
    windows = Windows(corpus(), 3, aggregation)
    decoder = windows.solve(smoothing=smoothing).decoder
    expected = windows.log_probabilities(decoder)
    expected = expected[np.arange(len(expected)), windows.targets]

    def likelihoods():
        return list(token_log_likelihood(decoder, windows.X, windows.targets))

    (whole,) = likelihoods()
    assert_allclose(whole, expected, rtol=1e-10)
    monkeypatch.setattr(module, "_CHUNK_VALUES", 7 * windows.n_classes)
    monkeypatch.setattr(module, "_MANY_WINDOWS", 10)  # dense weights
    parts = likelihoods()
    assert max(map(len, parts)) == 7
    assert_allclose(np.concatenate(parts), expected, rtol=1e-10)


@settings(properties, max_examples=15)
@given(
    st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=4),
    st.integers(1, 3),
    st.sampled_from(AGGREGATIONS),
    st.sampled_from(["prior", "uniform", "noise"]),
)
def test_any_documents_have_finite_probabilities(
    documents, context_size, aggregation, smoothing
):
    windows = Windows([[3], *documents], context_size, aggregation)
    solution = windows.solve(smoothing=smoothing)
    assert np.isfinite(windows.log_probabilities(solution.decoder)).all()
    loss = windows.held_out_loss(
        solution.calibration.beta, smoothing, solution.strength
    )
    assert solution.calibration.log_loss == pytest.approx(loss, rel=1e-8, abs=1e-8)


def test_search_uses_some_windows_only_where_they_are_many(monkeypatch):
    windows = Windows(corpus(length=200), 2, "cat")
    monkeypatch.setattr(module, "_SEARCH_SCORES", 500)
    sizes = []
    calibrated = module._calibrated

    def spy(smoothed, retained, *rest):
        sizes.append(len(retained.y))
        return calibrated(smoothed, retained, *rest)

    monkeypatch.setattr(module, "_calibrated", spy)
    windows.solve()
    assert set(sizes[:-1]) == {50}
    assert sizes[-1] == len(windows.targets) == 200


class TestRefinement:
    """Lazy rows, and epochs of some rows."""

    @pytest.mark.parametrize("how", [{}, {"alpha": 0.1}, {"epoch_size": 25}])
    @pytest.mark.parametrize("solver", ["adagrad", "sgd"])
    @pytest.mark.parametrize("aggregation", AGGREGATIONS)
    def test_lazy_rows_are_refined_like_a_matrix(self, aggregation, solver, how):
        windows = Windows(corpus(), 2, aggregation)
        start = cold_start(windows.dense.shape[1], windows.n_classes, "random")
        results = []
        for rows in (windows.X, sp.csr_array(windows.dense)):
            validation = (rows, windows.targets, None)
            result = refine(
                *start,
                rows,
                windows.targets,
                solver=solver,
                batch_size=8,
                max_iter=5,
                validation=validation,
                rng=np.random.default_rng(0),
                **how,
            )
            results.append(result)
        lazy, stored = results
        assert_allclose(lazy.weights, stored.weights, rtol=1e-12)
        assert_allclose(lazy.intercept, stored.intercept, rtol=1e-12)
        assert_allclose(lazy.loss_curve, stored.loss_curve, rtol=1e-12)
        assert_allclose(lazy.validation_curve, stored.validation_curve, rtol=1e-12)

    @pytest.mark.parametrize("shuffle", [True, False])
    @pytest.mark.parametrize("size", [1, 3, 4, 7, 10, 11, None])
    def test_epochs_take_turns_until_all_rows_were_seen(self, size, shuffle):
        n_rows = 10
        rng = np.random.default_rng(0)
        none = np.zeros((n_rows, 0))
        problem = Problem(none, none, None, 0.0, none, None, 1.0, 1.0, rng)
        epochs = list(itertools.islice(minibatch._epochs(problem, size, shuffle), 30))
        assert {len(epoch) for epoch in epochs} == {min(size or n_rows, n_rows)}
        visited = np.concatenate(epochs)
        visited = visited[: visited.size - visited.size % n_rows].reshape(-1, n_rows)
        assert_array_equal(np.sort(visited, axis=1), [np.arange(n_rows)] * len(visited))
        assert shuffle == (visited != np.arange(n_rows)).any()
