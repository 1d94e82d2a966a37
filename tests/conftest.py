"""Fixtures that several test modules share."""

import importlib
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """No threads of BLAS and OpenMP: to wake them costs more than these problems."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def script(monkeypatch):
    """Import a module as it is when a script in benchmarks/ runs."""
    if not BENCHMARKS.is_dir():
        pytest.skip("the benchmarks are part of the checkout only")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module
    # Their names are short enough for another module to have them.
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
