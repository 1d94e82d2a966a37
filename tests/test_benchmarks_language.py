"""The benchmarks of language models at toy size, and the loader of corpora."""

import gzip
import importlib
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest

from explicit_softmax import ExplicitLanguageModel

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "benchmarks"

pytestmark = pytest.mark.skipif(
    not HERE.is_dir(), reason="the benchmarks are part of the checkout only"
)

TRAIN = "a rose is\na rose\n\nis a tulip\na rose?\n"
DEV = "is a rose\n \na tulip\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A corpus in a data root."""
    monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))
    path = tmp_path / "flowers"
    for part, text in (("train", TRAIN), ("dev", DEV)):
        (path / part).mkdir(parents=True)
        (path / part / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    return path


def toy_corpus(script, n_train=40, n_dev=12, vocabulary_size=12):
    """Documents of ids in which the next but one token tells the next."""
    rng = np.random.default_rng(0)

    def documents(number):
        found = []
        for _ in range(number):
            ids = np.cumsum(rng.integers(1, 3, size=60)) % (vocabulary_size - 2)
            found.append(ids.astype(np.int32))
        return found

    return script("corpora").TokenCorpus(
        documents(n_train),
        documents(n_dev),
        vocabulary_size,
        180 * n_dev,
        "toy",
        {},
    )


def test_documents_are_blocks_of_lines(script, folder):
    corpus = script("corpora").load_corpus("flowers")
    assert corpus.train == ["a rose is\na rose", "is a tulip\na rose?"]
    assert corpus.dev == ["is a rose", "a tulip"]
    assert corpus.name == "flowers"


def test_broken_corpora_are_refused(script, folder):
    load_corpus = script("corpora").load_corpus
    path = folder / "dev" / "a.txt.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"a.txt.gz is truncated or damaged"):
        load_corpus("flowers")
    path.write_bytes(gzip.compress("rosé".encode("latin-1")))
    with pytest.raises(ValueError, match=r"a.txt.gz is not UTF-8"):
        load_corpus("flowers")
    path.write_bytes(gzip.compress(b" \n\n"))
    with pytest.raises(ValueError, match="dev hold no text"):
        load_corpus("flowers")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"dev has no files \*\.txt\.gz"):
        load_corpus("flowers")


@pytest.mark.parametrize("root", [True, False])
def test_unknown_corpus_is_an_error(script, tmp_path, monkeypatch, root):
    if root:
        monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))
    else:
        monkeypatch.delenv("EXPLICIT_SOFTMAX_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="no corpus 'herbs'"):
        script("corpora").load_corpus("herbs")


def test_topics_stand_in_and_say_so(script, monkeypatch, capsys):
    monkeypatch.delenv("EXPLICIT_SOFTMAX_DATA", raising=False)
    corpora = script("corpora")
    corpus = corpora.load_corpus()
    assert "babylm_like was not to be had" in corpus.name
    assert "Using topics of pydoc instead" in capsys.readouterr().err
    paragraphs = {part for text in corpus.train for part in corpora._blocks(text)}
    held_out = {part for text in corpus.dev for part in corpora._blocks(text)}
    assert held_out
    assert not paragraphs & held_out
    assert corpora.load_corpus("topics").train == corpus.train


def test_encoding_ends_at_the_limit(script):
    pytest.importorskip("tokenizers")
    corpora = script("corpora")
    corpus = corpora.load_corpus("topics")
    some = corpora.encode(corpus, 400, 5000)
    assert corpora.n_tokens(some.train) == 5000
    assert len(some.dev) == len(corpus.dev)
    assert some.vocabulary_size <= 400
    assert some.dev_bytes == sum(len(text.encode()) for text in corpus.dev)
    assert "5,000 + " in some.note
    again = corpora.encode(corpus, 400, 5000)
    np.testing.assert_array_equal(
        np.concatenate(some.train), np.concatenate(again.train)
    )


def test_samples_have_no_piece_in_common(script):
    curves = script("language_curves")
    corpus = toy_corpus(script)
    samples = curves.Samples.draw(corpus, 100, 300, 100)
    places = [
        {ids.__array_interface__["data"][0] for ids in part}
        for part in (samples.dev, samples.curve)
    ]
    assert not places[0] & places[1]
    assert sum(ids.size for ids in samples.train) == 100
    assert 300 <= sum(ids.size for ids in samples.dev) <= 360
    few = toy_corpus(script, n_dev=1)
    with pytest.raises(ValueError, match="too few dev tokens"):
        curves.Samples.draw(few, 100, 300, 100)


def test_pieces_are_all_of_the_documents(script):
    corpora = script("corpora")
    documents = [np.arange(5), np.arange(5, 7), np.arange(7, 7)]
    cut = corpora.pieces(documents, 2)
    assert sorted(ids.tolist() for ids in cut) == [[0, 1], [2, 3], [4], [5, 6]]
    found = [ids.tolist() for ids in corpora.first_tokens(documents, 6)]
    assert found == [[0, 1, 2, 3, 4], [5]]
    assert corpora.first_tokens(documents, 7) is documents
    assert corpora.first_tokens(documents, None) is documents


def test_refinement_is_that_of_the_estimator(script):
    curves = script("language_curves")
    corpus = toy_corpus(script)
    samples = curves.Samples.draw(corpus, 100, 300, 100)
    model, _ = curves.fit_explicit(corpus, "cat", 2, curves.LEAVE_ONE_OUT)
    for start, options in (
        (curves.LEAVE_ONE_OUT, {}),
        (curves.COLD, {"init": "random"}),
    ):
        decoder, curve = curves.follow(model, start, corpus, samples, 5000)
        refined = ExplicitLanguageModel(
            context_size=2,
            vocabulary_size=corpus.vocabulary_size,
            warm_start=True,
            tokens_per_iter=500,
            max_iter=10,
            random_state=curves.SEED,
            **options,
        ).fit(corpus.train)
        wanted = refined.perplexity(samples.curve)
        assert curve.perplexity[-1] == pytest.approx(wanted, rel=1e-5)
        found = curves.perplexity(model, decoder, samples.curve)
        assert found == pytest.approx(wanted, rel=1e-5)
        assert curve.tokens == [500 * iteration for iteration in range(11)]


RECORD = {
    "model",
    "aggregation",
    "context_size",
    "train_perplexity",
    "dev_perplexity",
    "dev_bits_per_byte",
    "seconds",
    "inverse_temperature",
    "smoothing_strength",
}


def test_language_benchmark_at_toy_size(script, tmp_path, capsys):
    pytest.importorskip("tokenizers")
    pytest.importorskip("matplotlib")
    path, figure = tmp_path / "records.json", tmp_path / "figure.png"
    argv = ["--dataset", "topics", "--context", "1", "2", "--tokens", "6000"]
    argv += ["--vocabulary", "300", "--refine", "500", "--no-peers", "--threads", "1"]
    script("language_model").main([*argv, "--json", str(path), "--figure", str(figure)])
    everything = json.loads(path.read_text())
    records = [record for record in everything if "model" in record]
    curves = [record for record in everything if "tokens" in record]
    assert len(records) == 15
    assert len(curves) == 9
    for record in records:
        assert set(record) == RECORD
        assert 1 < record["train_perplexity"] < math.inf
        assert 1 < record["dev_perplexity"] < math.inf
    of_cat = {
        (record["model"], record["context_size"]): record["dev_perplexity"]
        for record in records
        if record["aggregation"] == "cat"
    }
    assert of_cat["leave-one-out", 2] < of_cat["theorem", 2]
    assert figure.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "corpus: topics (pydoc of Python" in printed
    assert "theorem / leave-one-out" in printed


def test_peers_beside_the_model(script):
    corpus = toy_corpus(script)
    samples = script("language_curves").Samples.draw(corpus, 100, 300, 100)
    peers = script("language_peers")
    records = peers.run_peers(corpus, samples, 2, limit=1000)
    assert len(records) == len(peers.PEERS)
    by_name = {record.peer: record for record in records}
    for record in records:
        if record.n_train is None:
            # Neither comes with the package.
            assert record.peer in {"knlm_kneser_ney", "nltk_kneser_ney"}
            assert record.note.startswith("not available")
            continue
        assert record.n_train == 1000
        assert 1 < record.perplexity < 12
        assert 1 < record.explicit_perplexity < 12
    unigram = by_name["unigram, maximum likelihood"]
    bigram = by_name["bigram, maximum likelihood"]
    assert bigram.perplexity < unigram.perplexity
    assert "MultinomialNB on windows" in "\n".join(peers.peer_lines(records))


@pytest.mark.parametrize("name", ["unigram", "bigram", "window_multinomial_nb"])
def test_peers_are_normalised(script, name):
    make = script(f"peers.{name}").make
    model = make(1, 7)
    model.fit([np.array([0, 1, 2, 0, 1, 1, 3]), np.array([2, 0], dtype=np.int32)])
    after_zero = [
        model.log_proba([np.array([0, token], dtype=np.int32)])[1] for token in range(6)
    ]
    assert np.exp(after_zero).sum() == pytest.approx(1.0)


def test_rare_tokens_become_one(script):
    peers = script("language_peers")
    train = [np.array([0, 0, 1], dtype=np.int32), np.array([2, 2, 3], dtype=np.int32)]
    dev = [np.array([0, 1, 4], dtype=np.int32)]
    train, dev = peers._with_oov(train, dev, 5)
    assert [ids.tolist() for ids in train] == [[0, 0, 5], [2, 2, 5]]
    assert dev[0].tolist() == [0, 5, 5]


def test_counting_benchmark_at_toy_size(script, capsys, monkeypatch):
    counting = script("counting")

    def in_this_process(kind, **job):
        return json.loads(json.dumps(counting._JOBS[kind](**job)))

    monkeypatch.setattr(counting, "_child", in_this_process)
    records = counting.measure(
        [500, 2000],
        [1000, 3000],
        800,
        batch=1000,
        context_size=2,
        vocabulary_size=20,
        repeats=1,
    )
    assert [record["kind"] for record in records] == 2 * ["fit"] + 2 * ["stream"] + [
        "score"
    ]
    assert [record["n_tokens"] for record in records] == [500, 2000, 1000, 3000, 800]
    assert 1 < records[-1]["perplexity"] < 20
    counting.report(records)
    assert "ids to decoder on 2,000 tokens" in capsys.readouterr().out


def test_counting_benchmark_in_its_own_processes(script, tmp_path):
    path = tmp_path / "records.json"
    argv = ["--tokens", "--stream", "300", "--score", "0", "--vocabulary", "20"]
    script("counting").main([*argv, "--json", str(path)])
    (record,) = json.loads(path.read_text())
    assert record["n_tokens"] == 300


@pytest.fixture
def example():
    path = ROOT / "examples" / "train_on_text_files.py"
    spec = importlib.util.spec_from_file_location("train_on_text_files", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_trains_and_writes(example, tmp_path, capsys):
    pytest.importorskip("tokenizers")
    (tmp_path / "more").mkdir()
    for number in range(12):
        text = f"The rose number {number} is a rose, and a rose is a rose.\n" * 5
        (tmp_path / "more" / f"{number}.txt").write_text(text)
    saved = tmp_path / "model.npz"
    argv = [str(tmp_path), "--context-size", "2", "--vocabulary", "300"]
    example.main([*argv, "--prompt", "The rose", "--save", str(saved)])
    printed = capsys.readouterr().out
    assert "11 files, " in printed
    assert "1 held-out files, " in printed
    assert "bits per byte" in printed
    assert "\nThe rose" in printed
    assert ExplicitLanguageModel.load(saved).context_size == 2


def test_example_needs_files(example, tmp_path):
    with pytest.raises(SystemExit, match="is not a folder"):
        example.main([str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="0 files"):
        example.main([str(tmp_path)])
    (tmp_path / "a.txt").write_bytes(b"ros\xe9")
    with pytest.raises(SystemExit, match="not UTF-8"):
        example.main([str(tmp_path)])
