"""Every problem runs at toy size, so that none rots; nothing here asserts a time."""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from benchmarks.data.images import load_images
from benchmarks.harness.options import parse
from benchmarks.harness.timing import in_own_process
from benchmarks.peers.language import KENLM, PEERS, peers
from benchmarks.problems import (
    images,
    language,
    layers,
    many_classes,
    positive,
    raw_text,
    text,
)
from benchmarks.problems.priming import Linear, left_out, smoothing_for
from benchmarks.run import PROBLEMS, main
from explicit_softmax import (
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    Refinement,
)
from tests.benchmarks.conftest import ROOT


def by_model(records):
    found = {record["model"]: record for record in records}
    assert len(found) == len(records)
    return found


def test_images(run, figure):
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
    assert "data: digits" in printed
    assert "first 200 rows only" in printed
    # Accuracies on other images are not those of the paper.
    assert "82.86" not in printed
    assert all("squared errors" not in line for line in printed.splitlines())
    assert "squared errors" in records["RidgeClassifier"]["minimises"]


def test_curve_from_the_default_is_the_warm_start():
    data = load_images("digits")
    start = images.make_start(images.DEFAULT, *data[:2])
    rng = np.random.RandomState(0)
    curve = images.follow(start, *data[:2], max_iter=3, rng=rng)
    refinement = Refinement(max_iter=3, margins=False, random_state=0)
    model = ExplicitSoftmaxClassifier(warm_start=True, refinement=refinement)
    with pytest.warns(match="max_iter=3"):
        model.fit(*data[:2])
    found = images.Softmax(curve.decoders, model.classes_).predict_log_proba(data[2])
    assert_allclose(found, model.predict_log_proba(data[2]), atol=1e-4)
    # Cold starts have the rows of the default.
    assert images.ColdStart().norm_exponent == model.norm_exponent
    start = images.make_start("zeros, default", np.ones((4, 3)), np.arange(4) % 2)
    assert start.norm_exponent == model.norm_exponent


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


def test_text_of_other_features_and_some_models(run):
    records, printed = run("text", "--features=words+bigrams", "--models=CV$|fold")
    names = {"explicit, CV", "explicit, CV by 5 folds"}
    assert {r["model"] for r in records} == names
    assert "(binary counts of words+bigrams)" in printed
    with pytest.raises(SystemExit):
        run("text", "--features=letters")


def test_text_goes_on_without_a_peer_that_refuses(run, data_root):
    lines = ["fruit\tapple pear\n", "tree\toak birch\n", "fruit\tplum\n"] * 2
    (data_root / "plants").mkdir()
    (data_root / "plants" / "train.tsv").write_text("".join(lines))
    (data_root / "plants" / "test.tsv").write_text("".join(lines[:2]))
    argv = ["text", "--fast", "--threads=1", "--dataset=plants"]
    records = {record.model: record for record in main(argv)}
    # Two rows of "tree" are too few for five folds.
    refused = [name for name, r in records.items() if r.note.startswith("n/a: ")]
    assert refused == [
        "explicit, CV by 5 folds",
        "MultinomialNB, alpha=0.1, temperature",
    ]


@pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")
def test_positive(run, monkeypatch):
    data = list(positive.load(None))
    names = [name for name, _, _ in data]
    assert names == ["iris", "wine", "breast cancer", "digits", "covtype-like"]
    _, X, y = data[-1]
    assert X.shape == (5000, 54)
    assert X.min() < 0
    assert np.bincount(y).min() >= 5
    load = positive.load
    monkeypatch.setattr(positive, "load", lambda *size: list(load(*size))[::4])
    records, printed = run("positive", "--rows=60")
    sets = {record["data"] for record in records}
    assert sets == {"iris", "covtype-like"}
    models = {*positive.MODELS, "bins, n_bins=4"}
    found = {(record["data"], record["model"]) for record in records}
    assert found == set(itertools.product(sets, models))
    assert all(0 < record["test_accuracy"] <= 1 for record in records)
    assert all(f"data: {name}, " in printed for name in sets)


def test_many_classes(run, in_this_process):
    records, printed = run("many_classes")
    assert [record["model"] for record in records] == list(many_classes.MODELS)
    assert all(record["n_classes_seen"] == 6 for record in records)
    assert "x: ratio to MultinomialNB" in printed


@pytest.mark.skipif(not hasattr(many_classes.os, "sysconf"), reason="size not known")
def test_many_classes_says_why_the_peer_is_left_out():
    def reason(argument):
        options = parse("many_classes", "", many_classes.OPTIONS, [argument])
        return many_classes.reason_without_peer(options)

    assert reason("--fast") == ""
    assert "--no-peer" in reason("--no-peer")
    assert "GiB" in reason("--classes=10000000")


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
    kinds = [record["kind"] for record in records]
    assert kinds == ["fit"] * 6 + ["stream", "growth"]
    sizes = [record["n_tokens"] for record in records]
    assert sizes == [500] * 3 + [1000] * 3 + [3000, 1000]
    assert records[-2]["n_pairs"] > 0
    assert 0 < records[-1]["n_ngrams"] <= 1000 + 1
    assert "tokens/s" in printed


def test_priming(run, figure):
    records, printed = run("priming", f"--figure={figure}")
    *methods, scan = records
    for method in methods[:2]:
        assert method["best_priming_number"] in range(1, 11)
    assert methods[2]["note"] == "scaled from 8 candidates"
    # Both leave one row out after the other; all rows are in the sample here.
    first, second = (method["best_log_loss"] for method in methods[:2])
    assert first == pytest.approx(second, rel=1e-6)
    assert len(scan["test accuracy"]) == 10
    for line in ("mean norm", "best K by test accuracy", "smoothing=None"):
        assert line in printed


@pytest.mark.parametrize("smoothing", [None, "prior"])
def test_scores_of_priming_numbers_are_those_of_the_package(smoothing):
    X, y = load_images("digits").first(300)[:2]
    how = {"smoothing": smoothing, "smoothing_strength": 0.1, "norm_exponent": 0.0}
    how |= {"inverse_temperature": 1.0, "translation": "column"}
    model = ExplicitSoftmaxClassifier(**how)

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
    names = {f"{how}, classes" for how in ("explicit", "warm", "cold")}
    names |= {f"{how}, 4 clusters" for how in ("explicit", "warm")}
    names |= {layers.ONE_LAYER, layers.WARM_PLAIN, layers.COLD_PLAIN}
    assert set(records) == names | {f"MLPClassifier, {n} units" for n in (10, 40)}
    assert records["explicit, 4 clusters"]["hidden"] == 40
    accuracies = {name: record["test_accuracy"] for name, record in records.items()}
    assert accuracies["explicit, 4 clusters"] > accuracies[layers.ONE_LAYER]
    assert accuracies["warm, classes"] > accuracies["cold, classes"]
    assert len(records["warm, classes"]["test_accuracy_curve"]) == 3
    assert printed.count("after epoch 2") == 2
    assert "75.64" not in printed


def test_language(run, figure):
    pytest.importorskip("tokenizers")
    argv = ["--tokens=600", "--epoch=1", "--no-peers", f"--figure={figure}"]
    records, printed = run("language", *argv)
    assert len(records) == 17
    whole = [r for r in records if r["model"].endswith(language.WHOLE_EPOCH)]
    assert [(r["epochs"], r["context_size"], r["paper"]) for r in whole] == [
        (1.0, 1, "-c"),
        (1.0, 1, "-w"),
    ]
    of_cat = [record for record in records if record["aggregation"] == "cat"]
    dev = {(r["model"], r["context_size"]): r["dev_perplexity"] for r in of_cat}
    assert dev[language.LEAVE_ONE_OUT, 2] < dev[language.THEOREM, 2]
    curve = next(r for r in records if r["model"] == language.COLD)
    assert curve["tokens_curve"] == [50 * i for i in range(11)]
    assert curve["paper_train"] == 51.4
    assert "data: topics (pydoc of Python" in printed


def toy_corpus():
    """Documents of ids in which the next but one token tells the next."""
    steps = np.random.default_rng(0).integers(1, 3, size=(52, 60))
    ids = (np.cumsum(steps, axis=1) % 10).astype(np.int32)
    return language.TokenCorpus(list(ids[:40]), list(ids[40:]), 12, 2000, "toy")


@pytest.mark.skipif(os.name == "nt", reason="lmplz is run as on Unix")
def test_lmplz_is_a_peer_where_it_is_there(tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    corpus = toy_corpus()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "KenLM" not in peers()
    arpa, program = tmp_path / "arpa", tmp_path / "lmplz"
    model = ExplicitLanguageModel(context_size=2, vocabulary_size=12, predict_end=True)
    model.fit(corpus.train).to_arpa(arpa)
    program.write_text(f"#!/bin/sh\n/bin/cat > {tmp_path}/text; /bin/cat {arpa}\n")
    program.chmod(0o755)
    records = language.run_peers(corpus, corpus.dev, 2)
    found = {record.model: record.values for record in records}
    of_kenlm, of_ngrams = found["KenLM"], found[language.NGRAMS]
    for name in ("dev_perplexity", "with_ends"):
        assert_allclose(of_kenlm[name], of_ngrams[name], rtol=1e-6)
    text = (tmp_path / "text").read_text().splitlines()
    assert text == [" ".join(map(str, ids)) for ids in corpus.train]
    records[0].values |= {"data": "toy", "n_train": 9, "n_dev": 9}
    printed = language.report(records, SimpleNamespace(dev=1))
    assert "KenLM" in printed
    assert KENLM not in printed
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(RuntimeError, match="lmplz failed with 3"):
        language.run_peers(corpus, corpus.dev, 2)


def test_refinement_of_windows_is_that_of_the_language_model():
    corpus = toy_corpus()
    parameters = {"context_size": 2, "vocabulary_size": corpus.vocabulary_size}
    parameters["aggregation"] = "cat"
    model = ExplicitLanguageModel(**parameters)
    start = language.Start.fitted("", model, corpus.train)
    train, dev = (
        language.windows(documents, 2, corpus.vocabulary_size)
        for documents in (corpus.train, corpus.dev)
    )
    curve = language.follow_windows(start, train, dev, 5000)
    how = {"samples_per_iter": 500, "max_iter": 10, "random_state": language.SEED}
    model.set_params(warm_start=True, refinement=Refinement(**how)).fit(corpus.train)
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
    assert perplexities["explicit, n-grams"] < perplexities[unigram]
    assert perplexities["explicit, n-grams and document"] < perplexities[unigram]
    assert records["explicit, n-grams"]["with_ends"] > 1


@pytest.mark.parametrize("name", ["unigram", "bigram"])
def test_peers_are_normalised(name):
    make = PEERS[f"{name}, maximum likelihood"]
    model = make(context_size=1, vocabulary_size=7)
    model.fit([np.array([0, 1, 2, 0, 1, 1, 3]), np.array([2, 0], dtype=np.int32)])
    pairs = np.int32([[0, token] for token in range(6)])
    after_zero = [model.log_proba(pair)[1] for pair in pairs]
    assert np.exp(after_zero).sum() == pytest.approx(1.0)


def test_rare_tokens_become_one():
    rows = np.int32([[0, 0, 1], [2, 2, 3], [0, 1, 4]])
    train, dev = language.with_oov(list(rows[:2]), list(rows[2:]), 5)
    assert [ids.tolist() for ids in train] == [[0, 0, 5], [2, 2, 5]]
    assert dev[0].tolist() == [0, 5, 5]


def test_command_line_from_the_root_of_a_checkout(capsys):
    main([])
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in PROBLEMS)
    command = [sys.executable, "benchmarks/run.py"]
    how = {"cwd": ROOT, "capture_output": True, "text": True}
    done = subprocess.run([*command, "no_such"], **how)
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


@pytest.mark.slow  # starts processes of Dask
def test_scale_out(run):
    pytest.importorskip("distributed")
    records, printed = run("scale_out")
    *fits, language = records
    loss = {record["test_log_loss"] for record in fits}
    assert len(fits) == 3
    assert len(loss) == 1
    assert "Dask, 2 processes" in printed
    assert language["n_tokens"] == 6000
    assert "all, x counts" in printed


def test_raw_text(run, tmp_path):
    figure = tmp_path / "figure.png"
    records, printed = run("raw_text", "--ours", f"--figure={figure}")
    assert figure.stat().st_size > 0
    records = by_model(records)
    assert set(records) == set(raw_text.OURS)
    assert all(record["test_accuracy"] > 0.5 for record in records.values())
    assert "data: topics" in printed


def test_text_growth(run):
    records, printed = run("text_growth", "--models=explicit")
    assert [record["n_rows"] for record in records] == [100, 100, 200, 200]
    assert all(record["microseconds_per_row"] > 0 for record in records)
    assert "us a text" in printed


@pytest.mark.parametrize("name", raw_text.TEXT_PEERS)
def test_peers_on_raw_text(name):
    found = raw_text.run(name, "topics", 3)
    if found["note"].startswith("n/a"):
        pytest.skip(found["note"])
    assert found["values"]["test_accuracy"] > 0.5
