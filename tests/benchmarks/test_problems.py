"""Every problem runs at toy size, so that none rots; nothing here asserts a time."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks.data.images import load_images
from benchmarks.harness.options import parse
from benchmarks.harness.timing import in_own_process
from benchmarks.problems import images, language, layers, many_classes, positive, text
from benchmarks.problems.priming import Linear, left_out, smoothing_for
from benchmarks.run import PROBLEMS, main
from explicit_softmax import (
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    Refinement,
)
from tests.benchmarks.conftest import ROOT

PNG = b"\x89PNG"


def by_model(records):
    found = {record["model"]: record for record in records}
    assert len(found) == len(records)
    return found


def test_images(run, tmp_path):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figure.png"
    records, printed = run("images", "--rows=200", f"--figure={figure}")
    records = by_model(records)
    wanted = {*images.MODELS, *images._PEERS, *images.BY_THE_PAPER}
    assert wanted <= set(records)
    without = {name for name in wanted if records[name]["test_log_loss"] is None}
    assert without == {"RidgeClassifier"}
    tempered, theorem = records[images.TEMPERED], records[images.THEOREM]
    assert tempered["test_log_loss"] < theorem["test_log_loss"]
    warm, cold = (records[f"{start} start, max_iter=1"] for start in ("warm", "cold"))
    assert warm["train_log_loss"] < cold["train_log_loss"]
    assert "warm start, adagrad, to LogReg loss" in records
    curve = records["from default, adagrad"]
    assert curve["train_log_loss"] == curve["train_log_loss_curve"][-1]
    assert len(curve["seconds_curve"]) == len(curve["test_accuracy_curve"]) == 5
    assert figure.read_bytes().startswith(PNG)
    assert "data: digits" in printed
    assert "first 200 rows only" in printed
    # Accuracies on other images are not those of the paper.
    assert "82.86" not in printed
    assert all("squared errors" not in line for line in printed.splitlines())
    assert "squared errors" in records["RidgeClassifier"]["minimises"]


def test_cold_starts_have_the_rows_of_the_default():
    default = ExplicitSoftmaxClassifier()
    assert images.ColdStart().norm_exponent == default.norm_exponent
    start = images.make_start("zeros, default", np.ones((4, 3)), np.arange(4) % 2)
    assert start.norm_exponent == default.norm_exponent


def test_curve_from_the_default_is_the_warm_start():
    data = load_images("digits")
    start = images.make_start(images.DEFAULT, *data[:2])
    rng = np.random.RandomState(0)
    curve = images.follow(start, *data[:2], max_iter=3, rng=rng)
    refinement = Refinement(max_iter=3, random_state=0)
    model = ExplicitSoftmaxClassifier(warm_start=True, refinement=refinement)
    with pytest.warns(match="max_iter=3"):
        model.fit(*data[:2])
    found = images.Softmax(curve.decoders, model.classes_).predict_log_proba(data[2])
    assert_allclose(found, model.predict_log_proba(data[2]), atol=1e-4)


def test_no_figure_without_matplotlib(run, monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.harness.figures.matplotlib_is_there", lambda: False)
    figure = tmp_path / "figure.png"
    _, printed = run("priming", "--rows=100", "--numbers=2", f"--figure={figure}")
    assert "no figure is drawn" in printed
    assert not figure.exists()


def test_text(run):
    records, printed = run("text")
    records = by_model(records)
    assert set(records) == {*text.MODELS, *text.PEERS}
    missing = {name for name, peer in text.PEERS.items() if peer.make is None}
    for name in set(records) - missing:
        assert records[name]["test_log_loss"] > 0, name
        assert 0 <= records[name]["test_calibration_error"] <= 1
    assert "data: topics (pydoc of Python" in printed
    assert "norm_exponent=" in printed


def test_text_goes_on_without_a_peer_that_refuses(run, data_root):
    (data_root / "plants").mkdir()
    for part, rows in (("train", 6), ("test", 2)):
        lines = ["fruit\tapple pear\n", "tree\toak birch\n", "fruit\tplum\n"] * 2
        (data_root / "plants" / f"{part}.tsv").write_text("".join(lines[:rows]))
    argv = ["text", "--fast", "--threads=1", "--dataset=plants"]
    records = {record.model: record for record in main(argv)}
    # Two rows of "tree" are too few for five folds.
    refused = [name for name, r in records.items() if r.note.startswith("n/a: ")]
    assert refused == ["MultinomialNB, alpha=0.1, temperature"]


def test_positive(run, monkeypatch):
    load = positive.load
    monkeypatch.setattr(positive, "load", lambda *size: list(load(*size))[::4])
    records, printed = run("positive", "--rows=60")
    sets = {record["data"] for record in records}
    assert sets == {"iris", "covtype-like"}
    models = {*positive.MODELS, "bins, n_bins=4"}
    found = {(record["data"], record["model"]) for record in records}
    assert found == {(data, model) for data in sets for model in models}
    assert all(0 < record["test_accuracy"] <= 1 for record in records)
    assert all(f"data: {name}, " in printed for name in sets)


def test_data_of_positive_are_those_of_its_text():
    data = {name: (X, y) for name, X, y in positive.load(None)}
    assert set(data) == {"iris", "wine", "breast cancer", "digits", "covtype-like"}
    X, y = data["covtype-like"]
    assert X.shape == (5000, 54)
    assert X.min() < 0
    assert np.bincount(y).min() >= 5


def test_many_classes(run, in_this_process):
    records, printed = run("many_classes")
    assert [record["model"] for record in records] == list(many_classes.MODELS)
    assert all(record["n_classes_seen"] == 6 for record in records)
    assert "x: ratio to MultinomialNB" in printed


@pytest.mark.parametrize("argv", [["--no-peer"], ["--classes=10000000"]])
def test_many_classes_says_why_the_peer_is_left_out(argv):
    fast, options = (
        parse("many_classes", "", many_classes.OPTIONS, given)
        for given in (["--fast"], argv)
    )
    assert many_classes.reason_without_peer(fast) == ""
    if hasattr(many_classes.os, "sysconf"):
        reason = many_classes.reason_without_peer(options)
        assert ("GiB" if "classes" in argv[0] else "--no-peer") in reason


def test_jobs_have_processes_of_their_own(tmp_path):
    many_classes.make(str(tmp_path), [40, 20, 3, 5])
    name = "explicit, all given"
    found = in_own_process(many_classes.fit, name=name, folder=str(tmp_path))
    assert found["n_classes_seen"] == 3
    nobody = SimpleNamespace(__module__="no_such_module", __name__="job")
    with pytest.raises(SystemExit, match="ended with code 1"):
        in_own_process(nobody)


def test_counting(run, in_this_process):
    records, printed = run("counting", "--tokens", "500", "1000")
    assert [record["kind"] for record in records] == ["fit"] * 4 + ["stream"]
    assert [record["n_tokens"] for record in records] == [500, 500, 1000, 1000, 3000]
    assert records[-1]["n_pairs"] > 0
    assert "tokens/s" in printed


def test_priming(run, tmp_path):
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figure.png"
    records, printed = run("priming", f"--figure={figure}")
    *methods, scan = records
    for method in methods[:2]:
        assert method["best_priming_number"] in range(1, 11)
    assert methods[2]["note"] == "scaled from 8 candidates"
    # Both leave one row out after the other; all rows are in the sample here.
    first, second = (method["best_log_loss"] for method in methods[:2])
    assert first == pytest.approx(second, rel=1e-6)
    assert len(scan["test accuracy"]) == 10
    assert figure.read_bytes().startswith(PNG)
    for line in ("mean norm", "best K by test accuracy", "smoothing=None"):
        assert line in printed


@pytest.mark.parametrize("smoothing", [None, "prior"])
def test_scores_of_priming_numbers_are_those_of_the_package(smoothing):
    X, y = load_images("digits").first(300)[:2]
    model = ExplicitSoftmaxClassifier(
        inverse_temperature=1.0,
        smoothing=smoothing,
        smoothing_strength=0.1,
        norm_exponent=0.0,
        translation="column",
    )

    def log_proba(K, rows=slice(None), at=X):
        fitted = model.set_params(priming_number=float(K)).fit(X[rows], y[rows])
        return fitted.predict_log_proba(at)

    X = X.astype(np.float64)
    linear = Linear.through(lambda K: log_proba(K, at=X), y)
    losses, accuracies = linear.curves(np.array([5, 40]))
    for loss, accuracy, K in zip(losses, accuracies, (5, 40), strict=True):
        found = log_proba(K, at=X)
        assert loss == pytest.approx(-found[np.arange(300), y].mean())
        assert accuracy == (found.argmax(axis=1) == y).mean()
    scores = left_out(X, y, smoothing)
    others = np.arange(300) != 7
    wanted = log_proba(5, others, X[7:8])[0]
    found = scores.constant[7] + scores.slope[7] / 5
    # The priors differ by what a row weighs in all.
    assert_allclose(found - found[0], wanted - wanted[0], rtol=2e-3, atol=0.1)


def test_priming_smooths_only_where_it_must():
    X, codes = np.ones((12, 2)), np.repeat([0, 1], 6)
    assert smoothing_for(X, codes) is None
    assert smoothing_for(X, np.repeat([0, 1], [11, 1])) == "prior"
    X[0, 0] = 0
    assert smoothing_for(X, codes) == "prior"


def test_layers(run):
    records, printed = run("layers")
    records = by_model(records)
    names = ["classes", "4 clusters"]
    assert set(records) == {
        layers.ONE_LAYER,
        *(f"{kind}, {name}" for kind in ("explicit", "warm") for name in names),
        "cold, classes",
        layers.WARM_PLAIN,
        layers.COLD_PLAIN,
        "MLPClassifier, 10 units",
        "MLPClassifier, 40 units",
    }
    assert records["explicit, 4 clusters"]["hidden"] == 40
    accuracies = {name: record["test_accuracy"] for name, record in records.items()}
    assert accuracies["explicit, 4 clusters"] > accuracies[layers.ONE_LAYER]
    assert accuracies["warm, classes"] > accuracies["cold, classes"]
    assert len(records["warm, classes"]["test_accuracy_curve"]) == 3
    assert printed.count("after epoch 2") == 2
    assert "75.64" not in printed


def test_language(run, tmp_path):
    pytest.importorskip("tokenizers")
    pytest.importorskip("matplotlib")
    figure = tmp_path / "figure.png"
    argv = ["--tokens=600", "--no-peers", f"--figure={figure}"]
    records, printed = run("language", *argv)
    assert len(records) == 15
    dev = {
        (record["model"], record["context_size"]): record["dev_perplexity"]
        for record in records
        if record["aggregation"] == "cat"
    }
    assert dev[language.LEAVE_ONE_OUT, 2] < dev[language.THEOREM, 2]
    curve = next(r for r in records if r["model"] == language.COLD)
    assert curve["tokens_curve"] == [50 * i for i in range(11)]
    assert curve["paper_train"] == 51.4
    assert figure.read_bytes().startswith(PNG)
    assert "data: topics (pydoc of Python" in printed


def toy_corpus(vocabulary_size=12):
    """Documents of ids in which the next but one token tells the next."""
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 3, size=(52, 60))
    ids = (np.cumsum(steps, axis=1) % (vocabulary_size - 2)).astype(np.int32)
    train, dev = list(ids[:40]), list(ids[40:])
    return language.TokenCorpus(train, dev, vocabulary_size, 2000, "toy")


def test_refinement_of_windows_is_that_of_the_language_model():
    corpus = toy_corpus()
    parameters = {"context_size": 2, "vocabulary_size": corpus.vocabulary_size}
    model = ExplicitLanguageModel(**parameters)
    start = language.Start.fitted("", model, corpus.train)
    train, dev = (
        language.windows(documents, 2, corpus.vocabulary_size)
        for documents in (corpus.train, corpus.dev)
    )
    curve = language.follow_windows(start, train, dev, 5000)
    refinement = Refinement(
        samples_per_iter=500, max_iter=10, random_state=language.SEED
    )
    model.set_params(warm_start=True, refinement=refinement).fit(corpus.train)
    wanted = model.perplexity(corpus.dev)
    assert curve.values["perplexity"][-1] == pytest.approx(wanted, rel=1e-5)
    assert len(curve.values["tokens"]) == 11


def test_peers_of_language_models():
    corpus = toy_corpus()
    records = {r.model: r for r in language.run_peers(corpus, corpus.dev, 2)}
    perplexities = {name: r["dev_perplexity"] for name, r in records.items()}
    bigram, unigram = "bigram, maximum likelihood", "unigram, maximum likelihood"
    assert perplexities["explicit, Cat by leave-one-out"] < perplexities[unigram]
    assert perplexities[bigram] < perplexities[unigram] < 12
    for name, record in records.items():
        if perplexities[name] is None:  # it does not come with the package
            assert "knlm" in name
            assert record.note.startswith("not available")


@pytest.mark.parametrize("name", ["unigram", "bigram"])
def test_peers_are_normalised(name):
    make = language.PEERS[f"{name}, maximum likelihood"]
    model = make(context_size=1, vocabulary_size=7)
    model.fit([np.array([0, 1, 2, 0, 1, 1, 3]), np.array([2, 0], dtype=np.int32)])
    after_zero = [
        model.log_proba(np.array([0, token], dtype=np.int32))[1] for token in range(6)
    ]
    assert np.exp(after_zero).sum() == pytest.approx(1.0)


def test_rare_tokens_become_one():
    train = [np.array([0, 0, 1], dtype=np.int32), np.array([2, 2, 3], dtype=np.int32)]
    dev = [np.array([0, 1, 4], dtype=np.int32)]
    train, dev = language.with_oov(train, dev, 5)
    assert [ids.tolist() for ids in train] == [[0, 0, 5], [2, 2, 5]]
    assert dev[0].tolist() == [0, 5, 5]


def test_command_line_from_the_root_of_a_checkout():
    command = [sys.executable, "benchmarks/run.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in PROBLEMS)
    done = subprocess.run(
        [*command, "no_such"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no problem 'no_such'" in done.stderr


@pytest.mark.parametrize("problem", PROBLEMS)
def test_help_and_numbers_of_options(problem, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([problem, "--help"])
    printed = capsys.readouterr().out
    assert all(option in printed for option in ("--fast", "--threads", "--json"))
    with pytest.raises(SystemExit, match="2"):
        main([problem, "--threads=0"])
    assert "--threads: must be at least 1" in capsys.readouterr().err
