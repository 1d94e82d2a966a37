"""The explicit solution of windows, against formulas, refits, and grids."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration.calibrate import calibrate
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.calibration.model import Settings
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.text import language as module
from explicit_softmax.text.language import (
    WindowEncoder,
    count_documents,
    token_log_likelihood,
)
from explicit_softmax.text.tokens import TokenIds
from explicit_softmax.text.windows import one_hot_windows
from explicit_softmax.training.refine import refine
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
    """Windows of documents, lazy rows and dense ones by the definition."""

    def __init__(self, documents, context_size, aggregation, size=SIZE):
        self.encoder = WindowEncoder(TokenIds(size), context_size, aggregation)
        self.X = self.encoder.windows(documents)
        contexts, targets = oracles.windows(documents, context_size, size - 1)
        self.dense = oracles.window_features(contexts, size, aggregation)
        self.targets = np.array(targets)
        self.n_classes = size - 1
        self.context_size = context_size
        self.blocks = feature_blocks(self.dense.shape[1], self.encoder.n_blocks)

    def model(self, smoothing="prior", strength="auto", beta="auto"):
        norm = float(self.context_size)
        how = Settings(
            priming_number=norm,
            inverse_temperature=beta,
            smoothing=smoothing,
            smoothing_strength=strength,
            norm_exponent=0.0,
            translation="column",
            n_blocks=self.encoder.n_blocks,
            row_norm=norm,
        )
        return count_documents(self.X, how, np.float64)

    def log_probabilities(self, model):
        return oracles.log_probabilities(model.decoders[0].scores(self.X[:]))

    def held_out_loss(self, beta, smoothing, strength):
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
    model = windows.model(smoothing, 0.3, beta=1.0)
    counts = oracles.cooccurrence(windows.dense, windows.targets, 2)
    if smoothing == "uniform":
        unit = counts.sum() / oracles.number_of_nonzeros(windows.dense)
        counts += 0.3 * unit
    scores = windows.dense @ oracles.theorem(counts, 2)
    assert_equal_probabilities(windows.log_probabilities(model), scores)
    assert np.isnan(model.solution.choice.log_loss)


@pytest.mark.parametrize("context_size", [1, 3])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_folded_noise_is_the_literal_dense_model(aggregation, context_size):
    windows = Windows(corpus(), context_size, aggregation)
    fixed = oracles.fix(
        windows.dense, windows.targets, windows.n_classes, windows.blocks
    )
    embedded = windows.dense @ oracles.noise_matrix(fixed, windows.blocks)  # HE, Eq. 4
    counts = oracles.cooccurrence(embedded, windows.targets, windows.n_classes)
    assert counts.min() > 0
    scores = embedded @ oracles.theorem(counts, context_size)
    model = windows.model("noise", beta=1.0)
    assert_equal_probabilities(windows.log_probabilities(model), scores)
    sparse = model.with_layout("sparse")
    assert sparse.decoders[0].is_sparse
    assert_equal_probabilities(windows.log_probabilities(sparse), scores)


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_betas_have_the_least_loss_of_refits(aggregation, smoothing):
    windows = Windows(corpus(), 2, aggregation)
    choice = windows.model(smoothing, 0.4).solution.choice
    beta = choice.calibration.beta
    least = windows.held_out_loss(beta, smoothing, 0.4)
    assert choice.log_loss == pytest.approx(least, rel=1e-9)
    axis = np.array([0.0, 0.3, 0.6, 1.0])
    grid = itertools.product(axis, repeat=len(beta))
    near = beta + 0.02 * np.eye(len(beta))
    for other in [*map(np.array, grid), *near]:
        assert windows.held_out_loss(other, smoothing, 0.4) >= least - 1e-6


@pytest.mark.parametrize("beta", ["auto", 0.4])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_strength_is_that_of_a_fine_grid(aggregation, beta):
    windows = Windows(corpus(length=200), 2, aggregation)
    model = windows.model(beta=beta)
    chosen = model.solution.choice
    if beta == 0.4:
        assert_array_equal(chosen.calibration.beta, [0.4] * len(windows.blocks))
        beta = chosen.calibration.beta

    def loss(strength):
        smoothed = smooth_counts(model.counts, "prior", strength, windows.blocks)
        held_out = leave_one_out(
            smoothed, model.sample.X, model.sample.y, sample_weight=model.sample.weights
        )
        given_beta = None if isinstance(beta, str) else beta
        return calibrate(held_out, 2.0, beta=given_beta, norm_weight=1.0)[1]

    losses = [loss(strength) for strength in np.geomspace(1e-3, 1e3, 19)]
    assert losses[0] > min(losses) < losses[-1]
    assert loss(chosen.smoothing_strength) < min(losses) + 2e-3


def test_search_of_a_strength_ends_where_every_strength_serves():
    # One token that follows itself: the less smoothing, the better.
    windows = Windows([[0] * 9], 1, "cat", size=3)
    model = windows.model()
    assert 0 < model.solution.choice.smoothing_strength < 1e-5
    assert np.isfinite(windows.log_probabilities(model)).all()


@pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize(
    "documents",
    [
        [[0, 1, 2, 3] * 9] * 3,  # every target follows from its window
        [[0, 0, 0], [0]],  # all windows have the same likelihoods, up to rounding
        [[0]],
    ],
)
def test_betas_are_finite_where_any_would_do(documents, aggregation, smoothing):
    windows = Windows(documents, 2, aggregation)
    model = windows.model(smoothing)
    assert model.solution.choice.calibration.beta.max() < 1e4
    # What never happened is improbable, not impossible.
    contexts = np.array([[0, 0], [3, 1], [5, 5], [4, 4]])
    every = one_hot_windows(contexts, SIZE, aggregation, np.float64)
    scores = model.decoders[0].scores(every)
    assert oracles.log_probabilities(scores).min() > -300


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
    model = windows.model(smoothing)
    assert np.isfinite(windows.log_probabilities(model)).all()
    choice = model.solution.choice
    loss = windows.held_out_loss(
        choice.calibration.beta, smoothing, choice.smoothing_strength
    )
    assert choice.log_loss == pytest.approx(loss, rel=1e-8, abs=1e-8)


def test_sampled_windows_are_those_with_the_smallest_keys():
    documents = [*corpus(length=200), [0, 1, 2], [0, 1, 2], [0, 1, 3]]
    windows = Windows(documents, 2, "cat")
    sample = windows.model().sample
    # All windows are in it, those of equal beginnings of documents once.
    assert sample.weights.sum() == len(windows.targets) == len(sample.y) + 4 + 4 + 3
    rows = np.column_stack([sample.X.toarray(), sample.y])
    every = np.column_stack([windows.dense, windows.targets])
    repeated = np.repeat(rows, sample.weights.astype(int), axis=0)
    assert sorted(repeated.tolist()) == sorted(every.tolist())


@pytest.mark.parametrize(
    ("n_classes", "context_size", "n_rows"),
    [(4, 1, 2048), (4097, 4, 2**24 // (4 * 4097)), (10**6, 8, 256)],
)
def test_sample_bounds_rows_and_scores(n_classes, context_size, n_rows):
    windows = Windows([[0]], context_size, "cat")
    limit = windows.model().settings.sample_limit(context_size * 6, n_classes)
    assert limit.n_rows == n_rows


@pytest.mark.parametrize("smoothing", ["prior", "noise"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_likelihoods_do_not_depend_on_chunks(monkeypatch, aggregation, smoothing):
    windows = Windows(corpus(), 3, aggregation)
    model = windows.model(smoothing).with_layout("sparse")
    expected = windows.log_probabilities(model)
    expected = expected[np.arange(len(expected)), windows.targets]

    def likelihoods():
        decoder = model.decoders[0]
        return list(token_log_likelihood(decoder, windows.X, windows.targets))

    (whole,) = likelihoods()
    assert_allclose(whole, expected, rtol=1e-10)
    monkeypatch.setattr(module, "_CHUNK_VALUES", 7 * windows.n_classes)
    monkeypatch.setattr(module, "_MANY_WINDOWS", 10)  # dense weights
    parts = likelihoods()
    assert max(map(len, parts)) == 7
    assert_allclose(np.concatenate(parts), expected, rtol=1e-10)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_windows_at_the_ends_of_prefixes(aggregation):
    document = corpus()[0]
    windows = Windows([document], 3, aggregation)
    prefixes = [np.array(document[:end], dtype=np.int32) for end in range(20)]
    rows = windows.encoder.next_rows(prefixes)
    assert rows.dtype == np.float32
    assert_array_equal(rows.toarray(), windows.dense)


@pytest.mark.parametrize("how", [{}, {"alpha": 0.1}, {"samples_per_iter": 25}])
@pytest.mark.parametrize("solver", ["adagrad", "sgd"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_lazy_rows_are_refined_like_a_matrix(aggregation, solver, how):
    windows = Windows(corpus(), 2, aggregation)
    shape = windows.dense.shape[1], windows.n_classes
    start = 0.01 * np.random.default_rng(0).standard_normal(shape)
    lazy, stored = (
        refine(
            [start],
            [np.zeros(windows.n_classes)],
            rows,
            windows.targets,
            solver=solver,
            batch_size=8,
            max_iter=5,
            validation=(rows, windows.targets, None),
            rng=np.random.default_rng(0),
            **how,
        )
        for rows in (windows.X, sp.csr_array(windows.dense, dtype=np.float32))
    )
    assert_allclose(lazy.weights[0], stored.weights[0], rtol=1e-6)
    assert_allclose(lazy.intercepts[0], stored.intercepts[0], rtol=1e-6)
    assert_allclose(lazy.loss_curve, stored.loss_curve, rtol=1e-6)
    assert_allclose(lazy.validation_curve, stored.validation_curve, rtol=1e-6)
