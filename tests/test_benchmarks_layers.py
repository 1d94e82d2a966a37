"""The benchmark of layers runs at toy size; nothing here asserts a time."""

import json

import numpy as np
import pytest

KEYS = {
    "model",
    "n_hidden",
    "fit_seconds",
    "test_log_loss",
    "test_accuracy",
    "seconds",
    "test_log_losses",
    "test_accuracies",
}


def test_layers_benchmark_at_toy_size(script, tmp_path, capsys):
    layers = script("layers")
    path = tmp_path / "records.json"
    argv = ["--dataset=digits", "--fast", "--threads=1", "--clusters", "1", "4"]
    layers.main([*argv, f"--json={path}"])
    printed = capsys.readouterr().out
    records = {r["model"]: r for r in json.loads(path.read_text())}
    assert set(records) == {
        "one layer",
        "explicit, K=1",
        "explicit, K=4",
        "warm, K=1",
        "cold, K=1",
        "warm, K=1, plain",
        "cold, K=1, plain",
        "MLPClassifier, 10 units",
        "MLPClassifier, 40 units",
    }
    for record in records.values():
        assert set(record) == KEYS
        curves = [record[key] for key in KEYS if isinstance(record[key], list)]
        assert {len(curve) for curve in curves} == (
            {2} if record["model"].startswith(("warm", "cold", "MLP")) else {1}
        )
        assert np.isfinite(curves).all()
        assert record["test_accuracies"][-1] == record["test_accuracy"]
        assert record["model"] in printed
    assert records["explicit, K=4"]["n_hidden"] == 40
    accuracies = {name: record["test_accuracy"] for name, record in records.items()}
    assert accuracies["explicit, K=4"] > accuracies["one layer"]
    assert accuracies["warm, K=1"] > accuracies["cold, K=1"]
    assert "data: digits" in printed
    # Accuracies on other images are not those of the paper.
    assert "75.64" not in printed
    assert "75.64" in layers.layers_table(list(records.values()), is_mnist=True)


def test_joint_training_of_the_benchmark_is_that_of_the_estimator(script):
    from explicit_softmax import ExplicitSoftmaxNetworkClassifier

    images = script("datasets").load_images("digits")
    parameters = {"hidden_targets": 3, "random_state": 0}
    explicit = ExplicitSoftmaxNetworkClassifier(**parameters)
    explicit.fit(images.X_train, images.y_train)
    curve = script("layer_curves")._follow(explicit, images, 3)
    joint = ExplicitSoftmaxNetworkClassifier(**parameters, warm_start=True, max_iter=3)
    with pytest.warns(match="max_iter=3"):
        joint.fit(images.X_train, images.y_train)
    score = joint.score(images.X_test, images.y_test)
    assert abs(curve.accuracies[-1] - score) < 0.01


def test_seconds_to_accuracy(script):
    seconds_to_accuracy = script("layers").seconds_to_accuracy
    record = {"seconds": [1.0, 2.0, 3.0], "test_accuracies": [0.5, 0.9, 0.8]}
    assert seconds_to_accuracy(record, 0.7) == 2.0
    assert seconds_to_accuracy(record, 0.95) is None


def test_other_features(script):
    layers = script("layers")
    images = script("datasets").load_images("digits")
    assert layers.other_features(images, "pixels") is images
    inverted = layers.other_features(images, "inverted")
    np.testing.assert_allclose(inverted.X_train + images.X_train, 18 / 17, rtol=1e-6)
    edges = layers.other_features(images, "edges")
    assert edges.X_test.shape == images.X_test.shape
    assert edges.X_test.dtype == np.float32
    assert edges.X_test.min() >= np.float32(1 / 17)
    first = images.X_train[0].reshape(8, 8)
    slope = np.hypot((first[3, 3] - first[1, 3]) / 2, (first[2, 4] - first[2, 2]) / 2)
    np.testing.assert_allclose(edges.X_train[0, 19], slope + 1 / 17, rtol=1e-5)


@pytest.mark.parametrize("option", ["--clusters=0", "--threads=0", "--mlp-epochs=0"])
def test_numbers_must_be_positive(script, option, capsys):
    with pytest.raises(SystemExit):
        script("layers").main([option])
    assert "must be at least 1" in capsys.readouterr().err
