"""The expected calibration error by hand, and what it refuses."""

import numpy as np
import pytest

from explicit_softmax import expected_calibration_error


def test_by_hand():
    # Two rows of one bin, one of them right: |0.75 - 0.5|; a sure and right row: 0.
    y_prob = [[0.75, 0.25], [0.75, 0.25], [1.0, 0.0]]
    found = expected_calibration_error([0, 1, 0], y_prob)
    assert found == pytest.approx(2 / 3 * 0.25)
    assert expected_calibration_error(["a", "b", "a"], y_prob) == found
    assert expected_calibration_error([0, 1, 0], [0.25, 0.25, 0.0]) == found
    # A weight of 2 is the row twice, and one of zero none.
    weighted = expected_calibration_error([0, 1, 0], y_prob, sample_weight=[1, 2, 0])
    assert weighted == pytest.approx(0.75 - 1 / 3)


def test_bins_are_open_below():
    # 0.5 and 0.6 are in the first and the second of two bins.
    y_prob = [[0.5, 0.3, 0.2], [0.2, 0.6, 0.2]]
    found = expected_calibration_error([1, 1], y_prob, n_bins=2, labels=[0, 1, 2])
    assert found == pytest.approx((0.5 + 0.4) / 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_bins": 0}, "n_bins must be an integer of at least 1"),
        ({"labels": [0, 1, 2]}, "y_prob has 2 columns, and there are 3 labels"),
        ({"y_prob": [[1.5, -0.5], [0.5, 0.5]]}, "y_prob must be probabilities"),
        ({"y_prob": [[np.nan, 1.0], [0.5, 0.5]]}, "y_prob contains NaN"),
        ({"sample_weight": [1.0]}, "sample_weight"),
    ],
)
def test_bad_arguments(arguments, message):
    good = {"y_true": [0, 1], "y_prob": [[0.5, 0.5], [0.5, 0.5]]}
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(**good | arguments)
