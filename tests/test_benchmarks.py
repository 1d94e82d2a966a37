"""Every benchmark runs at toy size, so that none rots; nothing here asserts a time."""

import contextlib
import gzip
import io
import json
import math
import struct
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest


def idx_bytes(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path, monkeypatch):
    """Four IDX files in a data root, two of them compressed, and what is in them."""
    monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))
    folder = tmp_path / "squares"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n_rows in (("train", 60), ("t10k", 20)):
        labels = np.arange(n_rows) % 3
        images = rng.integers(256, size=(n_rows, 4, 5))
        images[np.arange(n_rows), labels] = 255
        arrays[f"{part}-images-idx3-ubyte"] = images
        arrays[f"{part}-labels-idx1-ubyte"] = labels
    for name, array in arrays.items():
        content = idx_bytes(array)
        if name.startswith("train"):
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder, arrays


def check_records(path, optional=()):
    records = json.loads(path.read_text())
    assert len({record["model"] for record in records}) == len(records)
    for record in records:
        for key, value in record.items():
            if key == "model" or (value is None and key in optional):
                continue
            assert math.isfinite(value), (record["model"], key)
    return {record["model"]: record for record in records}


MNIST_KEYS = {
    "model",
    "fit_seconds",
    "train_log_loss",
    "test_log_loss",
    "test_accuracy",
}


def test_mnist_benchmark_at_toy_size(script, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    mnist = script("mnist")
    argv = ["--dataset", "digits", "--fast", "--repeats", "1", "--threads", "1"]
    records_file, figure = tmp_path / "records.json", tmp_path / "figure.png"
    mnist.main([*argv, "--json", str(records_file), "--figure", str(figure)])
    records = check_records(records_file, {"train_log_loss", "test_log_loss"})
    stopped = {"epochs", "stopped"}
    assert all(
        set(record) == MNIST_KEYS | (stopped if "start" in name else set())
        for name, record in records.items()
    )
    without = {name for name, r in records.items() if r["test_log_loss"] is None}
    assert without == {"RidgeClassifier"}
    assert {*mnist.EXPLICIT, "warm start, theorem", "refined, lbfgs"} <= set(records)
    peers = script("peers").collect()
    assert {peer.name for peer in peers} <= set(records)
    default = records[mnist.DEFAULT]
    assert default["test_log_loss"] < records[mnist.THEOREM]["test_log_loss"]
    assert figure.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "data: digits" in printed
    for line in ("mean norm", "time to reach", "predict_proba", "255 X"):
        assert line in printed
    # Accuracies on other images are not those of the paper.
    assert "82.86" not in printed


def test_mnist_benchmark_says_so_without_matplotlib(
    script, idx_folder, monkeypatch, capsys, tmp_path
):
    mnist = script("mnist")
    monkeypatch.setattr(mnist, "matplotlib_is_there", lambda: False)
    figure = tmp_path / "figure.png"
    argv = ["--dataset", "squares", "--fast", "--repeats", "1", "--threads", "1"]
    mnist.main([*argv, "--figure", str(figure)])
    assert "no figure is drawn" in capsys.readouterr().out
    assert not figure.exists()


def test_many_classes_benchmark_at_toy_size(script, tmp_path, capsys, monkeypatch):
    many_classes, zipf = script("many_classes"), script("zipf")

    def run_here(path, *options):
        target = zipf if path.name == "zipf.py" else many_classes
        with contextlib.redirect_stdout(io.StringIO()) as out:
            target.main(list(options))
        return out.getvalue()

    monkeypatch.setattr(many_classes, "_run", run_here)
    path = tmp_path / "records.json"
    sizes = ["--rows=300", "--features=80", "--classes=6", "--tokens=12"]
    many_classes.main([*sizes, "--repeats=1", f"--json={path}"])
    memory = {"peak_mib", "fit_mib"} if many_classes.resource is None else set()
    records = check_records(path, memory)
    names = [many_classes.DEFAULT, many_classes.FIXED, many_classes.PEER]
    assert list(records) == names
    for record in records.values():
        assert set(record) == {"model", *many_classes.FIELDS}
    assert "fit and peak / MultinomialNB" in capsys.readouterr().out


def test_many_classes_measures_in_a_process_of_its_own(script, tmp_path):
    many_classes, zipf = script("many_classes"), script("zipf")
    path = str(tmp_path / "corpus.npz")
    zipf.save(zipf.make_corpus(300, 80, 6, 12, n_test=50), path)
    options = ("--fit", many_classes.FIXED, "--corpus", path)
    out = many_classes._run(Path(many_classes.__file__), *options)
    assert set(many_classes.FIELDS) < set(json.loads(out.splitlines()[-1]))
    with pytest.raises(SystemExit, match="ended with code 1"):
        many_classes._run(Path(many_classes.__file__), "--fit", "no such model")


def test_many_classes_says_why_the_peer_is_left_out(script):
    many_classes = script("many_classes")
    parse, reason = many_classes._parse, many_classes._reason_without_peer
    assert reason(parse(["--no-peer"])) == "--no-peer"
    assert reason(parse(["--rows=10", "--features=10", "--classes=2"])) == ""
    if hasattr(many_classes.os, "sysconf"):
        assert "GiB" in reason(parse(["--classes=10000000"]))


def test_corpus_follows_its_parameters(script, tmp_path):
    zipf = script("zipf")
    corpus = zipf.make_corpus(200, 70, 5, 9, n_test=30)
    assert corpus.X_train.shape == (200, 70)
    assert corpus.X_test.shape == (30, 70)
    assert (corpus.X_train.sum(axis=1) == 9).all()
    assert set(corpus.y_train) == set(range(5))
    path = str(tmp_path / "corpus.npz")
    zipf.save(corpus, path)
    loaded = zipf.load(path)
    assert (loaded.X_train != corpus.X_train).nnz == 0
    assert (loaded.X_test != corpus.X_test).nnz == 0
    np.testing.assert_array_equal(loaded.y_test, corpus.y_test)


def test_idx_files_round_trip(script, idx_folder):
    _, arrays = idx_folder
    images = script("datasets").load_images("squares")
    for part, X, y in (
        ("train", images.X_train, images.y_train),
        ("t10k", images.X_test, images.y_test),
    ):
        pixels = arrays[f"{part}-images-idx3-ubyte"].reshape(len(y), 20)
        assert X.dtype == np.float32
        np.testing.assert_array_equal(X * 256 - 1, pixels)
        np.testing.assert_array_equal(y, arrays[f"{part}-labels-idx1-ubyte"])
    assert "squares" in images.note


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "truncated"),
        (lambda content: content[:7], "truncated"),
        (lambda content: content[:2], "not an IDX file"),
        (lambda content: content + b"\0", "too long"),
        (lambda content: b"\0\0\x0d" + content[3:], "not an IDX file"),
        (lambda content: content[:3] + b"\x01" + content[4:], "not an IDX file"),
    ],
    ids=["data", "header", "magic", "longer", "floats", "one dimension"],
)
def test_damaged_idx_files_are_refused(script, tmp_path, damage, message, compressed):
    content = damage(idx_bytes(np.ones((2, 3, 4))))
    path = tmp_path / ("images.gz" if compressed else "images")
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(ValueError, match=message) as caught:
        script("datasets").read_idx(path, 3)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("cut", [slice(0, -9), slice(2, None)])
def test_damaged_compression_is_refused(script, tmp_path, cut):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.ones((2, 3, 4))))[cut])
    with pytest.raises(ValueError, match="truncated or damaged"):
        script("datasets").read_idx(path, 3)


def test_images_and_labels_must_be_as_many(script, idx_folder):
    folder, _ = idx_folder
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19)))
    with pytest.raises(ValueError, match="20 test images, 19 labels"):
        script("datasets").load_images("squares")


def test_missing_idx_file_is_named(script, idx_folder):
    folder, _ = idx_folder
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        script("datasets").load_images("squares")


@pytest.mark.parametrize("root", [True, False])
def test_unknown_data_set_is_an_error(script, tmp_path, monkeypatch, root):
    if root:
        monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))
    else:
        monkeypatch.delenv("EXPLICIT_SOFTMAX_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="circles"):
        script("datasets").load_images("circles")


@pytest.fixture
def no_network(script, monkeypatch):
    monkeypatch.delenv("EXPLICIT_SOFTMAX_DATA", raising=False)
    datasets = script("datasets")

    def fail(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(datasets, "fetch_openml", fail)
    return datasets


def test_digits_stand_in_for_mnist_and_say_so(no_network, capsys):
    images = no_network.load_images()
    assert images.note.startswith("digits")
    assert "MNIST was not to be had" in images.note
    assert "Using digits instead" in capsys.readouterr().err
    assert images.X_train.min() == np.float32(1 / 17)
    assert images.X_train.max() == 1


def test_mnist_by_name_is_never_replaced(no_network):
    with pytest.raises(FileNotFoundError, match="no network"):
        no_network.load_images("mnist")


def test_mnist_of_openml_is_split_where_it_always_is(no_network, monkeypatch):
    def fetch(*args, **kwargs):
        return np.full((60_010, 2), 255), np.array(["7"] * 60_010)

    monkeypatch.setattr(no_network, "fetch_openml", fetch)
    images = no_network.load_images()
    assert images.X_train.shape == (60_000, 2)
    assert images.X_test.shape == (10, 2)
    assert images.y_test[0] == 7


def test_peer_that_cannot_be_imported_is_not_available(script):
    peers = script("peers")
    [missing] = peers.collect(("no_such_module",))
    assert missing.make is None
    assert missing.reason.startswith("not available")


def test_solver_that_gives_up_is_not_converged(script):
    from sklearn.linear_model import LogisticRegression

    X, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])
    timed_fit = script("timing").timed_fit
    _, _, converged = timed_fit(lambda: LogisticRegression(max_iter=1).fit(X, y))
    assert not converged
    _, _, converged = timed_fit(lambda: LogisticRegression(max_iter=1000).fit(X, y))
    assert converged


def test_log_loss_is_not_clipped(script):
    class Sure:
        classes_ = np.array([3, 5])

        def predict_log_proba(self, X):
            with np.errstate(divide="ignore"):
                return np.log(np.tile([1.0, 0.0], (len(X), 1)))

        def predict(self, X):
            return np.full(len(X), 3)

    loss, accuracy = script("timing").evaluate(
        Sure(), np.ones((2, 1), np.float32), np.array([3, 5])
    )
    assert loss == math.inf
    assert accuracy == 0.5
