"""The benchmarks of texts and of priming numbers at toy size, and their loaders."""

import gzip
import json
import math
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.naive_bayes import MultinomialNB

TRAIN = [("fruit", "apple pear"), ("tree", "oak\tbirch"), ("fruit", "café, plum")] * 4
TEST = [("tree", "oak and pear"), ("fruit", "plum")]


def jsonl(rows):
    return "".join(
        json.dumps({"id": i, "text": text, "label": label}, ensure_ascii=False) + "\n"
        for i, (label, text) in enumerate(rows)
    )


def tsv(rows):
    return "".join(f"{label}\t{text}\n" for label, text in rows)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in a data root."""
    monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))
    path = tmp_path / "plants"
    path.mkdir()
    return path


def write(path, content):
    data = content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


RECORD = {
    "model",
    "fit_seconds",
    "test_log_loss",
    "test_accuracy",
    "expected_calibration_error",
}


def test_text_benchmark_at_toy_size(script, tmp_path, capsys):
    text = script("text")
    path = tmp_path / "records.json"
    argv = ["--dataset", "topics", "--fast", "--threads", "1", "--json", str(path)]
    text.main(argv)
    records = json.loads(path.read_text())
    assert all(set(record) == RECORD for record in records)
    by_name = {record["model"]: record for record in records}
    assert len(by_name) == len(records)
    peers = script("peers").collect(text.PEERS)
    missing = {peer.name for peer in peers if peer.make is None}
    assert missing <= {"calibrated_multinomial_nb"}
    wanted = {*text.OURS, *(peer.name for peer in peers)} - missing
    assert set(by_name) == wanted
    for name in text.OURS:
        assert all(math.isfinite(by_name[name][key]) for key in RECORD - {"model"})
    printed = capsys.readouterr().out
    assert "data: topics (pydoc of Python" in printed
    assert "--fast" in printed
    assert "norm_exponent=" in printed
    assert "n/a" in printed or not missing


def test_text_benchmark_goes_on_without_a_peer_that_refuses(
    script, folder, capsys, monkeypatch
):
    text = script("text")
    write(folder / "train.tsv", tsv(TRAIN[:6]))
    write(folder / "test.tsv", tsv(TEST))
    monkeypatch.setattr(
        text, "PEERS", ("multinomial_nb", "calibrated_multinomial_nb", "no_such_peer")
    )
    text.main(["--dataset", "plants", "--fast", "--threads", "1"])
    printed = capsys.readouterr().out
    # Two rows of "tree" are too few for five folds.
    assert printed.count("n/a: ") == 2
    assert "n/a: not available: " in printed
    assert "data: plants, 6 + 2 rows, 2 classes" in printed


def test_calibration_error_by_hand(script):
    error = script("text").expected_calibration_error
    # Two rows of one bin, one of them right: |0.75 - 0.5|; a sure and right row: 0.
    proba = np.array([[0.75, 0.25], [0.25, 0.75], [1.0, 0.0]])
    with np.errstate(divide="ignore"):
        log_proba = np.log(proba)
    assert error(log_proba, np.array([0, 0, 0])) == pytest.approx(2 / 3 * 0.25)
    # Bins are open below: 0.5 and 0.6 are in the first and the second of two.
    log_proba = np.log([[0.5, 0.5], [0.6, 0.4]])
    assert error(log_proba, np.array([1, 0]), 2) == pytest.approx((0.5 + 0.4) / 2)


def test_log_probabilities_may_be_infinite(script):
    log_probabilities = script("text").log_probabilities

    class Sure:
        def predict_proba(self, X):
            return np.tile(np.float32([1, 0]), (len(X), 1))

    found = log_probabilities(Sure(), np.ones((2, 1)))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0.0, -np.inf]] * 2)
    X, y = np.eye(3), np.array([0, 1, 1])
    clf = MultinomialNB().fit(X, y)
    np.testing.assert_array_equal(log_probabilities(clf, X), clf.predict_log_proba(X))


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(("kind", "form"), [("jsonl", jsonl), ("tsv", tsv)])
def test_text_files_round_trip(script, folder, kind, form, suffix):
    write(folder / f"train.{kind}{suffix}", form(TRAIN))
    write(folder / f"test.{kind}{suffix}", form(TEST) + "\n")
    texts = script("texts").load_texts("plants")
    assert texts.train == [text for _, text in TRAIN]
    assert texts.y_train.tolist() == [label for label, _ in TRAIN]
    assert texts.test == [text for _, text in TEST]
    assert texts.y_test.tolist() == [label for label, _ in TEST]
    assert texts.note == "plants, 12 + 2 rows, 2 classes"


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "fruit\tpear\nplum\n", "line 2: there is no label"),
        ("a.tsv", "\tpear\n", "line 1: there is no label"),
        ("a.jsonl", '{"text": "pear"}\n', "line 1: there is no field 'label'"),
        ("a.jsonl", '{"label": "fruit"}\n', "line 1: there is no field 'text'"),
        ("a.jsonl", '{"label": 1, "text": 2}\n', "'text' is not a string"),
        ("a.jsonl", '\n["fruit", "pear"]\n', "line 2: not a JSON object"),
        ("a.jsonl", '{"label": \n', "line 1: Expecting value"),
        ("a.tsv", "\n", "has no rows"),
    ],
)
def test_bad_rows_are_refused(script, tmp_path, name, content, message, suffix):
    path = tmp_path / (name + suffix)
    write(path, content)
    with pytest.raises(ValueError, match=message) as caught:
        script("texts").read_rows(path)
    assert path.name in str(caught.value)


def test_damaged_text_files_are_refused(script, tmp_path):
    read_rows = script("texts").read_rows
    path = tmp_path / "train.tsv.gz"
    path.write_bytes(gzip.compress(b"fruit\tpear\n")[:-9])
    with pytest.raises(ValueError, match=r"train.tsv.gz is truncated or damaged"):
        read_rows(path)
    path = tmp_path / "train.tsv"
    path.write_bytes("fruit\tcafé\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"train.tsv is not UTF-8"):
        read_rows(path)


def test_label_of_test_rows_alone_is_an_error(script, folder):
    write(folder / "train.tsv", tsv(TRAIN))
    write(folder / "test.tsv", tsv([("herb", "sage")]))
    with pytest.raises(ValueError, match="no training row has the label 'herb'"):
        script("texts").load_texts("plants")


def test_missing_text_file_is_named(script, folder):
    write(folder / "train.tsv", tsv(TRAIN))
    with pytest.raises(FileNotFoundError, match=r"none of test\.jsonl, "):
        script("texts").load_texts("plants")


@pytest.mark.parametrize("root", [True, False])
def test_unknown_text_data_set_is_an_error(script, tmp_path, monkeypatch, root):
    if root:
        monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))
    else:
        monkeypatch.delenv("EXPLICIT_SOFTMAX_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no data set 'herbs'"):
        script("texts").load_texts("herbs")


@pytest.fixture
def no_network(script, monkeypatch):
    monkeypatch.delenv("EXPLICIT_SOFTMAX_DATA", raising=False)
    texts = script("texts")

    def fail(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(texts, "fetch_20newsgroups", fail)
    return texts


def test_topics_stand_in_for_newsgroups_and_say_so(no_network, capsys):
    texts = no_network.load_texts()
    assert texts.note.startswith("topics")
    assert "20 Newsgroups was not to be had" in texts.note
    assert "Using topics of pydoc instead" in capsys.readouterr().err
    assert not set(texts.train) & set(texts.test)
    assert set(texts.y_train) == set(texts.y_test)
    again = no_network.load_texts("topics")
    assert again.train == texts.train


def test_newsgroups_by_name_are_never_replaced(no_network):
    with pytest.raises(FileNotFoundError, match="no network"):
        no_network.load_texts("newsgroups20")


def test_fetched_newsgroups_have_names_of_groups(no_network, monkeypatch):
    class Found:
        target_names = ("rec.autos", "sci.med")

        def __init__(self, subset):
            self.data = [f"{subset} car", f"{subset} doctor"]
            self.target = np.array([0, 1])

    monkeypatch.setattr(no_network, "fetch_20newsgroups", Found)
    texts = no_network.load_texts()
    assert texts.test == ["test car", "test doctor"]
    assert texts.y_train.tolist() == ["rec.autos", "sci.med"]
    assert "fetched by scikit-learn" in texts.note


PRIMING = {
    "method",
    "candidates",
    "seconds",
    "seconds_per_candidate",
    "scaled",
    "best_priming_number",
}


def test_priming_benchmark_at_toy_size(script, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    priming = script("priming")
    path, figure = tmp_path / "records.json", tmp_path / "figure.png"
    argv = ["--dataset", "digits", "--fast", "--threads", "1"]
    priming.main([*argv, "--json", str(path), "--figure", str(figure)])
    records = json.loads(path.read_text())
    methods = [priming.LEAVE_ONE_OUT, priming.BY_SUBTRACTION, priming.REFERENCE]
    assert [record["method"] for record in records] == methods
    for record in records:
        assert set(record) == PRIMING
        assert record["candidates"] == 10
        assert not record["scaled"]
        assert record["best_priming_number"] in range(1, 11)
    assert figure.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    for line in ("mean norm", "best K by test accuracy", "then", "smoothing=None"):
        assert line in printed


def test_priming_benchmark_scales_what_takes_long(script):
    priming = script("priming")
    numbers = np.arange(1, 51)
    tried = []

    def fit(candidates):
        tried.append(len(candidates))
        return priming.Folds(1.0 / candidates)

    methods = (priming.LEAVE_ONE_OUT, priming.BY_SUBTRACTION, priming.REFERENCE)
    fits = dict.fromkeys(methods, fit)
    rows, found = priming.time_methods(fits, numbers, 2, whole_seconds=-1.0)
    assert tried == 2 * [50, 1, priming.SAMPLE, 1, priming.SAMPLE]
    assert [row.scaled for row in rows] == [False, True, True]
    assert [row.record()["best_priming_number"] for row in rows] == [50, None, None]
    assert {row.record()["candidates"] for row in rows} == {50}
    assert len(found.losses) == 50
    rows, _ = priming.time_methods(fits, numbers, 1)
    assert tried[-2:] == [50, 50]
    assert not any(row.scaled for row in rows)
    assert [row.best for row in rows] == [50, 50, 50]


@pytest.mark.parametrize("smoothing", [None, "prior"])
def test_curves_of_priming_numbers_are_those_of_the_package(script, smoothing):
    from sklearn.datasets import load_digits
    from sklearn.metrics import log_loss

    from explicit_softmax import ExplicitSoftmaxClassifier

    priming = script("priming")
    X, y = load_digits(return_X_y=True)
    X = (X + 1.0) / 17
    numbers = np.array([1, 5, 40])
    found = priming.leave_out(X[:300], y[:300], numbers, smoothing)
    losses, _ = priming.Scores.held_out(found.held_out).curves(numbers)
    # The package takes float32 exponentials.
    np.testing.assert_allclose(losses, found.losses, rtol=1e-6)
    test = priming.Scores.of_rows(found.evidence, X[300:500], y[300:500])
    losses, accuracies = test.curves(numbers)
    for j, number in enumerate(numbers):
        clf = ExplicitSoftmaxClassifier(
            priming_number=float(number), inverse_temperature=1.0, smoothing=smoothing
        ).fit(X[:300], y[:300])
        proba = clf.predict_proba(X[300:500])
        assert losses[j] == pytest.approx(log_loss(y[300:500], proba))
        assert accuracies[j] == clf.score(X[300:500], y[300:500])


def test_priming_smooths_only_where_it_must(script):
    smoothing = script("priming")._smoothing
    X, codes = np.ones((12, 2)), np.repeat([0, 1], 6)
    assert smoothing(X, codes) is None
    assert smoothing(X, np.repeat([0, 1], [11, 1])) == "prior"
    X[0, 0] = 0
    assert smoothing(X, codes) == "prior"
