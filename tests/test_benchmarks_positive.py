"""The benchmark of features with negative values at toy size."""

import json
import math

import numpy as np
import pytest
from sklearn.datasets import load_iris

RECORD = {
    "data",
    "model",
    "fit_seconds",
    "log_loss",
    "log_loss_sd",
    "accuracy",
    "accuracy_sd",
    "converged",
}


def test_positive_features_benchmark_at_toy_size(script, tmp_path, capsys):
    benchmark = script("positive_features")
    path = tmp_path / "records.json"
    records = benchmark.main(["--fast", "--json", str(path)])
    assert json.loads(path.read_text()) == records
    assert all(set(record) == RECORD for record in records)
    sets = {"iris", "wine", "breast cancer", "digits", "covtype-like"}
    found = [(record["data"], record["model"]) for record in records]
    assert len(set(found)) == len(found)
    assert set(found) == {(d, m) for d in sets for m in benchmark.FAST_MODELS}
    for record in records:
        assert math.isfinite(record["log_loss"])
        assert record["log_loss"] > 0
        assert 0 < record["accuracy"] <= 1
    printed = capsys.readouterr().out
    assert "--fast" in printed
    assert all(f"{name}: " in printed for name in sets)
    by_model = dict(line.split()[:2] for line in printed.splitlines()[-5:])
    assert by_model[benchmark.REFERENCE] == "1.000"


def test_every_model_can_be_evaluated(script):
    benchmark = script("positive_features")
    X, y = load_iris(return_X_y=True)
    iris = benchmark.Data("iris", X, y)
    folds = benchmark.StratifiedKFold(2, shuffle=True, random_state=0)
    with benchmark.threadpool_limits(1):
        for name in set(benchmark.MODELS) - set(benchmark.FAST_MODELS):
            record = benchmark._evaluate(iris, name, folds)
            assert record["accuracy"] > 0.7
            assert record["model"] == name


def test_summary_by_hand(script):
    summary = script("positive_features")._summary
    losses = {"LogisticRegression": (1.0, 2.0), "bins": (2.0, 9.0)}
    records = [
        {"model": name, "log_loss": loss}
        for name, pair in losses.items()
        for loss in pair
    ]
    # The geometric mean of 2 / 1 and 9 / 2.
    assert summary(records).splitlines()[-1].split() == ["bins", "3.000"]


def test_data_are_those_of_the_text(script):
    data = {rows.name: rows for rows in script("positive_features")._load(None)}
    covtype = data["covtype-like"]
    assert covtype.X.shape == (5000, 54)
    assert covtype.X.min() < 0
    assert np.bincount(covtype.y).min() >= 5
    assert covtype.note == "5000 rows, 54 features, 7 classes"


def test_no_threads(script, capsys):
    with pytest.raises(SystemExit):
        script("positive_features").main(["--threads", "0"])
    assert "--threads must be at least 1" in capsys.readouterr().err
