"""The explicit solution of windows, against formulas and refits."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration.model import Settings
from explicit_softmax.solution.smoothing import feature_blocks
from explicit_softmax.text import language as module
from explicit_softmax.text.language import (
    WindowEncoder,
    count_documents,
    token_log_likelihood,
)
from explicit_softmax.text.tokens import TokenIds
from explicit_softmax.text.windows import one_hot_windows
from tests import oracles
from tests.strategies import properties

SIZE = 6  # ids: four tokens, out-of-vocabulary, padding
by_aggregation = pytest.mark.parametrize("aggregation", ["sum", "cat"])
by_smoothing = pytest.mark.parametrize("smoothing", ["prior", "uniform", "noise"])


def corpus(length=55):
    """Documents in which all of the ids occur."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, size=length).tolist()
    for place in np.flatnonzero(rng.random(length - 1) < 0.6):
        tokens[place + 1] = (tokens[place] + 1) % 5
    return [tokens[:20], tokens[20:21], [*tokens[21:], *range(5)]]


class Windows:
    """Windows of documents, lazy rows and dense ones by the definition."""

    def __init__(self, documents, context_size, aggregation):
        self.encoder = WindowEncoder(TokenIds(SIZE), context_size, aggregation)
        self.X = self.encoder.windows(documents)
        contexts, targets = oracles.windows(documents, context_size, SIZE - 1)
        self.dense = oracles.window_features(contexts, SIZE, aggregation)
        self.targets = np.array(targets)
        self.norm = float(context_size)
        self.blocks = feature_blocks(self.dense.shape[1], self.encoder.n_blocks)

    def model(self, smoothing="prior", strength="auto", beta="auto"):
        numbers = self.norm, beta, smoothing, strength, 0.0
        how = Settings(*numbers, "column", self.encoder.n_blocks, row_norm=self.norm)
        return count_documents(self.X, how, np.float64)

    def log_probabilities(self, model):
        return oracles.log_probabilities(model.decoders[0].scores(self.X[:]))

    def held_out_loss(self, **how):
        scores = oracles.leave_one_out_scores(
            self.dense,
            self.targets,
            SIZE - 1,
            blocks=self.blocks,
            priming_number=self.norm,
            **how,
        )
        return oracles.mean_loss(scores, self.targets)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize("smoothing", [None, "uniform", "noise"])
@pytest.mark.parametrize("context_size", [1, 2])
@by_aggregation
def test_beta_of_one_is_the_literal_theorem(
    aggregation, context_size, smoothing, layout
):
    # Every target after every token, and after padding, at all positions.
    every = itertools.product(range(5), repeat=context_size + 1)
    windows = Windows([*every, *corpus()], context_size, aggregation)
    rows, targets, blocks = windows.dense, windows.targets, windows.blocks
    if smoothing == "noise":  # HE, Eq. 4
        fixed = oracles.fix(rows, targets, SIZE - 1, blocks)
        rows = rows @ oracles.noise_matrix(fixed, blocks)
    counts = oracles.cooccurrence(rows, targets, SIZE - 1)
    if smoothing == "uniform":
        counts += 0.3 * counts.sum() / oracles.number_of_nonzeros(rows)
    scores = rows @ oracles.theorem(counts, context_size)
    model = windows.model(smoothing, 0.3, beta=1.0).with_layout(layout)
    assert model.decoders[0].is_sparse == (layout == "sparse")
    expected = oracles.log_probabilities(scores)
    assert_allclose(windows.log_probabilities(model), expected, rtol=1e-10, atol=1e-10)
    assert np.isnan(model.solution.choice.log_loss)


@by_smoothing
@by_aggregation
def test_betas_have_the_least_loss_of_refits(aggregation, smoothing):
    windows = Windows(corpus(length=35), 2, aggregation)
    how = {"smoothing": smoothing, "strength": 0.4}
    beta = windows.model(**how).solution.choice.calibration.beta
    least = windows.held_out_loss(beta=beta, **how)
    grid = itertools.product([0.0, 0.3, 0.6, 1.0], repeat=len(beta))
    for other in [*grid, *(beta + 0.02 * np.eye(len(beta)))]:
        assert windows.held_out_loss(beta=other, **how) >= least - 1e-6


documents_of_ids = st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=4)


@by_smoothing
@by_aggregation
@settings(properties, max_examples=8)
@given(documents=documents_of_ids.filter(any), context_size=st.integers(1, 3))
@example(documents=[[0, 1, 2, 3] * 9] * 3, context_size=2)  # targets follow for sure
@example(documents=[[0, 0, 0], [0]], context_size=2)  # likelihoods are all the same
@example(documents=[[0] * 9], context_size=1)  # the less smoothing, the better
@example(documents=[[0]], context_size=2)
def test_any_documents_have_finite_betas_and_probabilities(
    documents, context_size, aggregation, smoothing
):
    windows = Windows(documents, context_size, aggregation)
    model = windows.model(smoothing)
    choice = model.solution.choice
    beta, strength = choice.calibration.beta, choice.smoothing_strength
    assert beta.max() < 1e4
    assert strength > 0
    loss = windows.held_out_loss(beta=beta, smoothing=smoothing, strength=strength)
    assert choice.log_loss == pytest.approx(loss, rel=1e-8, abs=1e-8)
    # Tokens that never occurred are improbable, not impossible.
    contexts = np.random.default_rng(0).integers(0, SIZE, (6, context_size))
    rows = one_hot_windows(contexts, SIZE, aggregation, np.float64)
    scores = model.decoders[0].scores(rows)
    assert oracles.log_probabilities(scores).min() > -300


def test_windows_at_equal_beginnings_of_documents_are_sampled_once():
    documents = [*corpus(length=200), [0, 1, 2], [0, 1, 2], [0, 1, 3]]
    windows = Windows(documents, 2, "cat")
    model = windows.model()
    sample = model.sample
    beginnings = {tuple(d[:stop]) for d in documents for stop in range(1, len(d) + 1)}
    assert len(sample.y) == len(beginnings) < len(windows.targets)
    rows = np.column_stack([sample.X.toarray(), sample.y])
    every = np.column_stack([windows.dense, windows.targets])
    repeated = np.repeat(rows, sample.weights.astype(int), axis=0)
    assert sorted(repeated.tolist()) == sorted(every.tolist())
    assert model.settings.sample_limit(16, 4097).n_rows == 2**24 // (2 * 4097)


@pytest.mark.parametrize("smoothing", ["prior", "noise"])
@by_aggregation
def test_likelihoods_do_not_depend_on_chunks(monkeypatch, aggregation, smoothing):
    windows = Windows(corpus(), 3, aggregation)
    model = windows.model(smoothing).with_layout("sparse")
    expected = windows.log_probabilities(model)
    expected = expected[np.arange(len(expected)), windows.targets]

    how = model.decoders[0], windows.X, windows.targets
    (whole,) = token_log_likelihood(*how)
    assert_allclose(whole, expected, rtol=1e-10)
    monkeypatch.setattr(module, "_CHUNK_VALUES", 7 * (SIZE - 1))
    monkeypatch.setattr(module, "_MANY_WINDOWS", 10)  # dense weights
    parts = list(token_log_likelihood(*how))
    assert max(map(len, parts)) == 7
    assert_allclose(np.concatenate(parts), expected, rtol=1e-10)


@by_aggregation
def test_windows_at_the_ends_of_prefixes(aggregation):
    document = corpus()[0]
    windows = Windows([document], 3, aggregation)
    prefixes = [np.array(document[:end], dtype=np.int32) for end in range(20)]
    rows = windows.encoder.next_rows(prefixes)
    assert rows.dtype == np.float32
    assert_array_equal(rows.toarray(), windows.dense)
