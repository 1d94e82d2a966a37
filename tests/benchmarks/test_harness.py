"""Scores, records, tables, and timing of the benchmarks."""

import json
import math
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from benchmarks.harness.models import evaluate, fitted_records
from benchmarks.harness.options import Name, Number, Switch, parse
from benchmarks.harness.records import Record, named, ratio, show, table, write_json
from benchmarks.harness.timing import QUICK_SECONDS, time_in_turn, timed
from benchmarks.peers.classifiers import Peer


def test_solver_that_gives_up_is_not_converged():
    def give_up():
        warnings.warn("no more iterations", ConvergenceWarning, stacklevel=1)
        return "result"

    timing = timed(give_up)
    assert not timing.converged
    assert timing.result == "result"
    assert timed(lambda: None).converged
    with pytest.warns(UserWarning, match="something else"):
        timed(lambda: warnings.warn("something else", UserWarning, stacklevel=1))


def test_models_take_turns():
    calls = []

    def refuse():
        raise ValueError("zero counts")

    runs = {name: lambda name=name: calls.append(name) for name in "ab"}
    timings = time_in_turn(runs | {"c": refuse}, repeats=2)
    # A warm-up of both, and three times as many runs of what is quick.
    assert calls == ["a", "b"] * 7
    assert len(timings["a"].seconds) == 6
    assert timings["a"].median < QUICK_SECONDS
    assert timings["c"].refused == "zero counts"


class Sure:
    classes_ = np.array([3, 5])

    def predict_proba(self, X):
        return np.tile(np.float32([1.0, 0.0]), (len(X), 1))


class Silent:
    def predict(self, X):
        return np.full(len(X), 3)


def test_log_loss_is_not_clipped():
    X, y = np.ones((2, 1), np.float32), np.array([3, 5])
    found = evaluate(Sure(), X, y)
    assert found["log_loss"] == math.inf
    assert found["accuracy"] == 0.5
    assert found["calibration_error"] == 0.5
    assert evaluate(Sure(), X, y, chunk_rows=1) == found
    found = evaluate(Silent(), X, y)
    assert found["log_loss"] is found["calibration_error"] is None
    assert found["accuracy"] == 0.5


def test_peers_that_are_not_available_have_a_record():
    peers = {"none": Peer(None, "nothing", "not available"), "sure": Peer(Sure, "-")}
    timings = {"sure": timed(Sure)}
    found = fitted_records(timings, (np.ones((1, 1)), np.array([3])), peers=peers)
    assert named(found, "none").note == "n/a: not available"
    assert named(found, "sure")["minimises"] == "-"
    assert named(found, "sure")["test_log_loss"] == 0


def test_records_and_their_table(tmp_path):
    records = [
        Record("a", {"s": 0.01234, "share": 0.5, "curve": [1.0, math.nan]}, "a note"),
        Record("b", {"s": math.inf}),
    ]
    path = tmp_path / "records.json"
    write_json(path, records)
    first, second = json.loads(path.read_text())
    assert first["curve"] == [1.0, None]
    assert second["s"] is None
    assert ratio(records[1], records[0], "share") is None
    assert ratio(records[0], records[0], "s") == 1
    lines = table(records, [("s", "s", "sig"), ("%", "share", ".1%")]).splitlines()
    assert lines[0].split() == ["model", "s", "%"]
    assert lines[2].split() == ["a", "0.0123", "50.0%", "a", "note"]
    assert lines[3].split() == ["b", "inf", "-"]


def test_significant_digits():
    values = None, 0.0, 1234.5, 0.00123456
    assert [show(value) for value in values] == ["-", "0", "1,234", "0.00123"]


def test_fast_changes_defaults_only(capsys):
    options = {
        "rows": Number(100, "rows", fast=10),
        "sizes": Number([1, 2], "sizes", several=True),
        "data": Name("data", fast="digits"),
        "no_peer": Switch("no peer"),
    }
    found = vars(parse("a problem", "", options, []))
    assert [found[name] for name in options] == [100, [1, 2], None, False]
    argv = ["--fast", "--sizes", "3", "--no-peer"]
    found = vars(parse("a problem", "", options, argv))
    assert [found[name] for name in options] == [10, [3], "digits", True]
    assert parse("a problem", "", options, ["--fast", "--rows=7"]).rows == 7
    for bad in ("--rows=0", "--sizes=0", "--rows=x"):
        with pytest.raises(SystemExit):
            parse("a problem", "", options, [bad])
    assert "must be at least 1" in capsys.readouterr().err
