"""Fixtures that several test modules share."""

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """No threads of BLAS and OpenMP: to wake them costs more than these problems."""
    with threadpool_limits(1):
        yield
