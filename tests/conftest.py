"""Fixtures that several test modules share."""

import pytest
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """No threads of BLAS and OpenMP: to wake them costs more than these problems."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def digits():
    """Rows and labels to fit, rows and labels to test."""
    X, y = load_digits(return_X_y=True)
    return X[:1200], y[:1200], X[1200:], y[1200:]
