"""Leave-one-out scores against refits without each row."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax.calibration import leave_one_out as module
from explicit_softmax.calibration.leave_one_out import leave_one_out
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.smoothing import feature_blocks, smooth_counts
from explicit_softmax.solution.theorem import solve
from tests import layouts, oracles, strategies

LAYOUTS = [np.asarray, sp.csr_array]
SMOOTHINGS = ["uniform", "prior", "noise", None]


def random_rows(n_rows=25, n_features=6, n_classes=3, *, positive=False, seed=0):
    """Rows of which one is all zeros and one is the only one of its class."""
    rng = np.random.default_rng(seed)
    rows = rng.poisson(0.8, (n_rows, n_features)).astype(float)
    rows *= rng.uniform(0.5, 2.0, (n_rows, 1))
    codes = rng.integers(0, n_classes, n_rows)
    if positive:
        return rows + 0.5, codes, n_classes
    rows[4] = 0
    rows[9, :] = [0, 0, 1.5, 0, 2, 1]
    codes[9] = n_classes
    return rows, codes, n_classes + 2  # one class alone, one never seen


def held_out_of(
    rows,
    codes,
    n_classes,
    smoothing,
    blocks,
    *,
    weight=None,
    norm_exponent=0.0,
    layout="auto",
    of=slice(None),
):
    counts = CooccurrenceCounts.from_rows(
        rows, codes, n_classes, sample_weight=weight, norm_exponent=norm_exponent
    )
    evidence = solve(smooth_counts(counts, smoothing, 0.2, blocks), layout)
    return leave_one_out(
        evidence,
        rows[of],
        codes[of],
        sample_weight=None if weight is None else weight[of],
        norm_exponent=norm_exponent,
    )


def assert_equal_scores(actual, expected):
    assert np.isfinite(actual).all()
    assert_allclose(
        oracles.log_probabilities(actual),
        oracles.log_probabilities(expected),
        rtol=1e-10,
        atol=1e-10,
    )


@pytest.mark.parametrize("norm_exponent", [0.0, 0.5])
@pytest.mark.parametrize("weights", ["none", "integer", "any"])
@pytest.mark.parametrize("sizes", [[6], [2, 3, 1]])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_scores_equal_those_of_refits(smoothing, sizes, weights, norm_exponent):
    rows, codes, n_classes = random_rows(positive=smoothing is None)
    rng = np.random.default_rng(1)
    weight = {
        "none": None,
        "integer": rng.integers(1, 4, len(rows)).astype(float),
        "any": rng.uniform(0.1, 2.5, len(rows)),
    }[weights]
    blocks = feature_blocks(6, sizes)
    beta = np.linspace(0.4, 1.1, len(sizes))
    how = {"beta": beta, "priming_number": 2.5, "norm_weight": 0.3}
    for translation in ("column", "intercept"):
        expected = oracles.leave_one_out_scores(
            rows,
            codes,
            n_classes,
            blocks=blocks,
            smoothing=smoothing,
            strength=0.2,
            sample_weight=weight,
            norm_exponent=norm_exponent,
            translation=translation,
            **how,
        )
        for make in LAYOUTS:
            for layout in ("dense", "sparse"):
                held_out = held_out_of(
                    make(rows),
                    codes,
                    n_classes,
                    smoothing,
                    blocks,
                    weight=weight,
                    norm_exponent=norm_exponent,
                    layout=layout,
                )
                scores = held_out.scores(translation=translation, **how)
                assert_equal_scores(scores, expected)


@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
@strategies.properties
@given(data=st.data(), sparse=st.booleans())
def test_scores_equal_those_of_refits_for_any_counts(smoothing, data, sparse):
    rows, codes, n_classes = data.draw(strategies.labelled_counts(max_rows=7))
    blocks = feature_blocks(
        rows.shape[1], data.draw(strategies.block_sizes(rows.shape[1]))
    )
    weight = data.draw(strategies.weights(len(rows)))
    how = {"beta": 0.7, "priming_number": 2.0}
    held_out = held_out_of(
        sp.csr_array(rows) if sparse else rows,
        codes,
        n_classes,
        smoothing,
        blocks,
        weight=weight,
    )
    filled = rows.sum(axis=1) > 0
    assert held_out.evidence.shape == (len(blocks), filled.sum(), n_classes)
    if filled.any():
        expected = oracles.leave_one_out_scores(
            rows,
            codes,
            n_classes,
            blocks=blocks,
            smoothing=smoothing,
            strength=0.2,
            sample_weight=weight,
            **how,
        )
        assert_equal_scores(held_out.scores(**how), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_zeros_are_left_out(layout):
    rows, codes, n_classes = random_rows()
    weight = np.arange(1.0, len(rows) + 1)
    blocks = feature_blocks(6, 2)
    held_out = held_out_of(
        layout(rows), codes, n_classes, "prior", blocks, weight=weight
    )
    kept = np.arange(len(rows)) != 4
    assert_array_equal(held_out.y, codes[kept])
    assert_array_equal(held_out.weights, weight[kept])
    assert_allclose(held_out.norms, rows[kept].sum(axis=1))
    assert_allclose(
        held_out.mean_norm, (rows.sum(axis=1) * weight).sum() / weight[kept].sum()
    )


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_every_layout_gives_the_same_scores(layout, smoothing):
    rows, codes, n_classes = random_rows(positive=smoothing is None)
    blocks = feature_blocks(6, 2)
    expected = held_out_of(rows, codes, n_classes, smoothing, blocks)
    actual = held_out_of(
        layouts.LAYOUTS[layout](rows), codes, n_classes, smoothing, blocks
    )
    for name in ("evidence", "log_count", "log_norm", "norms", "weights"):
        assert_allclose(
            getattr(actual, name), getattr(expected, name), rtol=1e-11, atol=1e-11
        )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
def test_scores_of_some_rows_are_those_among_all(smoothing, layout):
    rows, codes, n_classes = random_rows()
    blocks = feature_blocks(6, 2)
    some = np.array([20, 3, 9, 4])
    everything = held_out_of(layout(rows), codes, n_classes, smoothing, blocks)
    part = held_out_of(layout(rows), codes, n_classes, smoothing, blocks, of=some)
    # Row 4 is empty, so that later rows move up by one.
    assert_allclose(part.evidence, everything.evidence[:, [19, 3, 8]], rtol=1e-12)
    assert_allclose(part.log_count, everything.log_count[[19, 3, 8]], rtol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
def test_rows_without_a_feature_in_a_block(smoothing, layout):
    rows = np.array([[1.0, 2.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 3.0, 1.0]])
    codes = np.array([0, 1, 1])
    blocks = feature_blocks(4, 2)
    expected = oracles.leave_one_out_scores(
        rows,
        codes,
        2,
        blocks=blocks,
        smoothing=smoothing,
        strength=0.2,
        beta=1.0,
        priming_number=2.0,
    )
    for of in (slice(None), slice(0, 2)):
        part = held_out_of(layout(rows), codes, 2, smoothing, blocks, of=of)
        assert_equal_scores(part.scores(1.0, 2.0), expected[of])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
def test_one_row_per_class(smoothing, layout):
    rows, codes = np.diag([3.0, 1.0, 2.0]) + 0.0, np.arange(3)
    held_out = held_out_of(layout(rows), codes, 3, smoothing, (slice(0, 3),))
    expected = oracles.leave_one_out_scores(
        rows,
        codes,
        3,
        blocks=(slice(0, 3),),
        smoothing=smoothing,
        strength=0.2,
        beta=0.5,
        priming_number=2.0,
    )
    assert_equal_scores(held_out.scores(0.5, 2.0), expected)
    # Half of the smallest count stands in for the class whose row is out.
    assert_allclose(np.diag(held_out.log_count), np.log(0.5 / 3))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_smoothing_a_vanishing_cooccurrence_raises(layout):
    rows = np.array([[1.0, 2.0], [1.0, 1.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="need smoothing"):
        held_out_of(layout(rows), np.array([0, 1, 1]), 2, None, (slice(0, 2),))
    held_out_of(
        layout(np.vstack((rows, rows[:1]))),
        np.array([0, 1, 1, 0]),
        2,
        None,
        (slice(0, 2),),
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_residues_of_rounding_count_as_vanished(layout):
    # Scale and weight multiply in another order while counting: a remainder of 1e-17
    # instead of zero would have a finite logarithm.
    rng = np.random.default_rng(0)
    for _ in range(20):
        rows = rng.uniform(0.1, 1.0, (3, 5))
        weight = rng.uniform(0.1, 1.0, 3)
        codes = np.array([0, 1, 1])
        with pytest.raises(ValueError, match="need smoothing"):
            held_out_of(
                layout(rows),
                codes,
                2,
                None,
                (slice(0, 5),),
                weight=weight,
                norm_exponent=0.5,
            )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_last_row_left_of_a_class_is_all_of_it(layout):
    # 0.1 + 0.2 - 0.1 is not 0.2, and yet the class vanishes with its row.
    rows, codes = layout(np.ones((3, 2))), np.array([0, 0, 1])
    weight = np.array([0.1, 0.2, 1.0])
    whole, first = (
        CooccurrenceCounts.from_rows(rows[n], codes[n], 2, sample_weight=weight[n])
        for n in (slice(0, 3), slice(0, 1))
    )
    counts = whole - first
    assert counts.class_count[0] != 0.2
    evidence = solve(smooth_counts(counts, "prior"))
    held_out = leave_one_out(evidence, rows[1:], codes[1:], sample_weight=weight[1:])
    assert_allclose(np.diag(held_out.log_count), np.log(0.1 / 1.2))


@pytest.mark.parametrize("smoothing", ["uniform", "noise"])
def test_any_chunks_give_the_same_scores(monkeypatch, smoothing):
    rows, codes, n_classes = random_rows()
    blocks = feature_blocks(6, 2)
    for layout in LAYOUTS:
        whole = held_out_of(layout(rows), codes, n_classes, smoothing, blocks)
        monkeypatch.setattr(module, "_CHUNK_VALUES", 7)
        parts = held_out_of(layout(rows), codes, n_classes, smoothing, blocks)
        monkeypatch.undo()
        assert_allclose(parts.evidence, whole.evidence, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("smoothing", ["prior", "noise"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_of_any_type(layout, smoothing, dtype):
    rng = np.random.default_rng(0)
    rows, codes = rng.poisson(0.8, (20, 6)), rng.integers(0, 3, 20)
    double = layout(rows.astype(float))
    counts = CooccurrenceCounts.from_rows(double, codes, 3)
    evidence = solve(smooth_counts(counts, smoothing, blocks=feature_blocks(6, 2)))
    expected = leave_one_out(evidence, double, codes).scores(1.0, 2.0)
    actual = leave_one_out(evidence, layout(rows.astype(dtype)), codes)
    assert_allclose(actual.scores(1.0, 2.0), expected, rtol=1e-12)


@pytest.mark.parametrize("smoothing", ["uniform", "prior", "noise"])
def test_a_weight_of_two_equals_the_row_twice(smoothing):
    rows, codes, n_classes = random_rows()
    blocks = feature_blocks(6, 2)
    weight = np.random.default_rng(0).integers(1, 4, len(rows))
    rows_again = np.repeat(np.arange(len(rows)), weight)
    weighted = held_out_of(
        rows, codes, n_classes, smoothing, blocks, weight=weight.astype(float)
    )
    repeated = held_out_of(
        rows[rows_again], codes[rows_again], n_classes, smoothing, blocks
    )
    again = np.repeat(np.arange(len(weighted.y)), weighted.weights.astype(int))
    assert_allclose(
        weighted.scores(0.5, 2.0)[again], repeated.scores(0.5, 2.0), rtol=1e-11
    )
    assert_allclose(weighted.mean_norm, repeated.mean_norm)
