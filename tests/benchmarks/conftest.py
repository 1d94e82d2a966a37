"""Benchmarks at toy size, in this process."""

import json
import math
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# They are part of the checkout only.
collect_ignore_glob = [] if (ROOT / "benchmarks").is_dir() else ["test_*.py"]


@pytest.fixture
def no_data(monkeypatch):
    """No folder of data."""
    monkeypatch.delenv("EXPLICIT_SOFTMAX_DATA", raising=False)


@pytest.fixture
def data_root(tmp_path, monkeypatch):
    """A folder of data without any."""
    monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def run(tmp_path, no_data, capsys):
    """Run a problem; its records, as the JSON file has them, and what it prints."""
    from benchmarks.run import main

    def run_problem(problem, *argv):
        path = tmp_path / "records.json"
        returned = main([problem, "--fast", "--threads=1", f"--json={path}", *argv])
        records = json.loads(path.read_text())
        assert len(records) == len(returned)
        for record in records:
            for name, value in record.items():
                if isinstance(value, float):
                    assert math.isfinite(value), (record["model"], name)
        return records, capsys.readouterr().out

    return run_problem


@pytest.fixture
def figure(tmp_path):
    """A path at which there is a figure after the test."""
    pytest.importorskip("matplotlib")
    yield tmp_path / "figure.png"
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def in_this_process(monkeypatch):
    """Jobs that have a process of their own run here, through JSON all the same."""
    from benchmarks.problems import counting, many_classes

    def run_here(job, **arguments):
        return json.loads(json.dumps(job(**json.loads(json.dumps(arguments)))))

    for module in (counting, many_classes):
        monkeypatch.setattr(module, "in_own_process", run_here)
