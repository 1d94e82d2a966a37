"""Loaders of data: formats, damaged files, and what stands in for what is missing."""

import gzip
import json
import struct
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from benchmarks.data import corpora, images, texts
from benchmarks.data.synthetic import make_bags

LOADERS = {
    images.load_images: ("mnist", "digits", "images.fetch_openml"),
    texts.load_texts: ("newsgroups20", "topics", "texts.fetch_20newsgroups"),
    corpora.load_corpus: ("babylm_like", "topics", None),
}


@pytest.fixture(params=LOADERS, ids=lambda load: load.__name__)
def loader(request, monkeypatch, no_data):
    """A loader without data and without a network, its preferred set and stand-in."""

    def fail(*args, **kwargs):
        raise URLError("no network")

    preferred, stand_in, fetcher = LOADERS[request.param]
    if fetcher:
        monkeypatch.setattr(f"benchmarks.data.{fetcher}", fail)
    return request.param, preferred, stand_in


def test_stand_ins_say_so(loader, capsys):
    load, preferred, stand_in = loader
    found = load()
    told = getattr(found, "note", "") or found.name
    assert told.startswith(stand_in)
    assert f"{preferred} was not available" in told
    assert f"Using {stand_in} instead" in capsys.readouterr().err
    again = load(stand_in)
    assert "not available" not in (getattr(again, "note", "") or again.name)
    assert_array_equal(found[0], again[0])


def test_sets_by_name_are_never_replaced(loader, monkeypatch, tmp_path):
    load, preferred, _ = loader
    for name in (preferred, "circles"):
        with pytest.raises(FileNotFoundError, match=f"no data set '{name}'"):
            load(name)
        monkeypatch.setenv("EXPLICIT_SOFTMAX_DATA", str(tmp_path))


def write(path, content):
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def idx_bytes(array):
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


CONTENT = idx_bytes(np.ones((2, 3, 4)))


@pytest.fixture
def squares(data_root):
    """Four IDX files, two of them compressed, and what is in them."""
    folder = data_root / "squares"
    folder.mkdir()
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n_rows in (("train", 60), ("t10k", 20)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(256, size=(n_rows, 4, 5))
        arrays[f"{part}-labels-idx1-ubyte"] = np.arange(n_rows) % 3
    for name, array in arrays.items():
        suffix = ".gz" if name.startswith("train") else ""
        write(folder / (name + suffix), idx_bytes(array))
    return folder, arrays


def test_idx_files_round_trip(squares):
    _, arrays = squares
    found = images.load_images("squares")
    for part, X, y in (("train", *found[:2]), ("t10k", *found[2:4])):
        pixels = arrays[f"{part}-images-idx3-ubyte"].reshape(len(y), 20)
        assert X.dtype == np.float32
        assert_array_equal(X * 256 - 1, pixels)
        assert_array_equal(y, arrays[f"{part}-labels-idx1-ubyte"])
    assert found.title == "squares (IDX files)"
    assert not found.is_mnist
    assert len(found.first(7).X_test) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1], "truncated"),
        (CONTENT[:7], "truncated"),
        (CONTENT + b"\0", "too long"),
        (b"\0\0\x0d" + CONTENT[3:], "not an IDX file"),  # floats
        (CONTENT[:3] + b"\x01" + CONTENT[4:], "not an IDX file"),  # one dimension
    ],
)
def test_damaged_idx_files_are_refused(tmp_path, content, message):
    path = tmp_path / "images.gz"
    write(path, content)
    with pytest.raises(ValueError, match=message) as caught:
        images.read_idx(path, 3)
    assert path.name in str(caught.value)


def test_images_and_labels_must_be_as_many(squares):
    folder, _ = squares
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(19)))
    with pytest.raises(ValueError, match="20 test images, 19 labels"):
        images.load_images("squares")
    labels.unlink()
    with pytest.raises(FileNotFoundError, match="none of t10k-labels-idx1-ubyte, "):
        images.load_images("squares")


def test_digits_are_positive_and_topics_are_split_by_class():
    digits = images.load_images("digits")
    assert digits.X_train.min() == np.float32(1 / 17)
    assert digits.X_train.max() == 1
    topics = texts.load_texts("topics")
    assert not set(topics.train) & set(topics.test)
    assert set(topics.y_train) == set(topics.y_test)


def test_mnist_of_openml_is_split_where_it_always_is(no_data, monkeypatch):
    pixels, labels = np.full((60_010, 2), 255), np.array(["7"] * 60_010)
    fetch = "benchmarks.data.images.fetch_openml"
    monkeypatch.setattr(fetch, lambda *args, **kwargs: (pixels, labels))
    found = images.load_images()
    assert found.X_train.shape == (60_000, 2)
    assert found.X_test.shape == (10, 2)
    assert found.y_test[0] == 7
    assert found.is_mnist


TRAIN = [("fruit", "apple pear"), ("tree", "oak\tbirch"), ("fruit", "café, plum")] * 4
TEST = [("tree", "oak and pear"), ("fruit", "plum")]


def jsonl(rows):
    rows = (json.dumps({"text": text, "label": label}) for label, text in rows)
    return "\n".join(rows) + "\n\n"


def tsv(rows):
    return "".join(f"{label}\t{text}\n" for label, text in rows)


@pytest.fixture
def plants(data_root):
    (data_root / "plants").mkdir()
    return data_root / "plants"


@pytest.mark.parametrize(("kind", "form"), [("jsonl", jsonl), ("tsv", tsv)])
def test_text_files_round_trip(plants, kind, form):
    write(plants / f"train.{kind}", form(TRAIN))
    write(plants / f"test.{kind}.gz", form(TEST))
    found = texts.load_texts("plants")
    assert found.train == [text for _, text in TRAIN]
    assert found.y_train.tolist() == [label for label, _ in TRAIN]
    assert found.test == [text for _, text in TEST]
    assert found.note == "plants, 12 + 2 rows, 2 classes"
    assert len(found.first(1, 3, 1).train) == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "fruit\tpear\nplum\n", "line 2: there is no label"),
        ("a.tsv", "\tpear\n", "line 1: there is no label"),
        ("a.jsonl", '{"text": "pear"}\n', "line 1: there is no field 'label'"),
        ("a.jsonl", '{"label": "fruit"}\n', "line 1: there is no field 'text'"),
        ("a.jsonl", '{"label": 1, "text": 2}\n', "'text' is not a string"),
        ("a.jsonl.gz", '\n["fruit", "pear"]\n', "line 2: not a JSON object"),
        ("a.jsonl", '{"label": \n', "line 1: Expecting value"),
        ("a.tsv.gz", "\n", "has no rows"),
        ("a.tsv.gz", "fruit\tcafé\n".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_bad_rows_are_refused(tmp_path, name, content, message):
    write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as caught:
        texts.read_rows(tmp_path / name)
    assert name in str(caught.value)
    content = gzip.compress((tmp_path / name).read_bytes())
    for damaged in (content[:-9], content[2:]):
        (tmp_path / "b.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"b\.gz.* truncated or damaged"):
            texts.read_rows(tmp_path / "b.gz")


def test_text_folders_must_be_whole(plants):
    write(plants / "train.tsv", tsv(TRAIN))
    with pytest.raises(FileNotFoundError, match=r"none of test\.jsonl, "):
        texts.load_texts("plants")
    write(plants / "test.tsv", tsv([("herb", "sage")]))
    with pytest.raises(ValueError, match="no training row has the label 'herb'"):
        texts.load_texts("plants")


def test_fetched_newsgroups_have_names_of_groups(no_data, monkeypatch):
    def fetch(subset):
        found = SimpleNamespace(target_names=("rec.autos", "sci.med"), target=[0, 1])
        found.data = [f"{subset} car", f"{subset} doctor"]
        return found

    monkeypatch.setattr("benchmarks.data.texts.fetch_20newsgroups", fetch)
    found = texts.load_texts()
    assert found.test == ["test car", "test doctor"]
    assert found.y_train.tolist() == ["rec.autos", "sci.med"]
    assert "fetched by scikit-learn" in found.note


@pytest.fixture
def flowers(data_root):
    path = data_root / "flowers"
    train = "a rose is\na rose\n\nis a tulip\na rose?\n"
    for part, text in (("train", train), ("dev", "is a rose\n \na tulip\n")):
        (path / part).mkdir(parents=True)
        write(path / part / "a.txt.gz", text)
    return path


def test_documents_are_blocks_of_lines(flowers):
    corpus = corpora.load_corpus("flowers")
    assert corpus.train == ["a rose is\na rose", "is a tulip\na rose?"]
    assert corpus.dev == ["is a rose", "a tulip"]
    assert corpus.name == "flowers"
    write(flowers / "dev" / "a.txt.gz", " \n\n")
    with pytest.raises(ValueError, match="dev hold no text"):
        corpora.load_corpus("flowers")
    (flowers / "dev" / "a.txt.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"dev has no files \*\.txt\.gz"):
        corpora.load_corpus("flowers")


def test_topics_of_testing_have_no_paragraph_of_training():
    corpus = corpora.load_corpus("topics")
    train, dev = (
        {part for text in texts for part in corpora.blocks(text)}
        for texts in (corpus.train, corpus.dev)
    )
    assert dev
    assert not train & dev


def test_encoding_ends_at_the_limit():
    pytest.importorskip("tokenizers")
    corpus = corpora.load_corpus("topics")
    some, again = (corpora.encode(corpus, 400, 5000) for _ in range(2))
    assert corpora.n_tokens(some.train) == 5000
    assert len(some.dev) == len(corpus.dev)
    assert some.vocabulary_size <= 400
    assert some.dev_bytes == sum(len(text.encode()) for text in corpus.dev)
    assert "5,000 + " in some.note
    for one, other in zip(some.train, again.train, strict=True):
        assert_array_equal(one, other)


def test_samples_are_pieces_of_the_documents(monkeypatch):
    monkeypatch.setattr(corpora, "PIECE_TOKENS", 2)
    documents = [np.arange(5), np.arange(5, 7), np.arange(7, 7)]
    cut = corpora.sample(documents, 100)
    assert sorted(ids.tolist() for ids in cut) == [[0, 1], [2, 3], [4], [5, 6]]
    # No piece is cut, and none is taken that is not needed.
    some = corpora.sample(documents, 3)
    assert [ids.tolist() for ids in some] == [ids.tolist() for ids in cut[: len(some)]]
    assert sum(ids.size for ids in some) >= 3 > sum(ids.size for ids in some[:-1])
    found = [ids.tolist() for ids in corpora.first_tokens(documents, 6)]
    assert found == [[0, 1, 2, 3, 4], [5]]
    assert corpora.first_tokens(documents, 7) is documents
    assert corpora.first_tokens(documents, None) is documents


def test_bags_follow_their_parameters():
    bags = make_bags(200, 70, 5, 9, n_test=30)
    assert (bags.X_train.shape, bags.X_test.shape) == ((200, 70), (30, 70))
    assert (bags.X_train.sum(axis=1) == 9).all()
    assert set(bags.y_train) == set(range(5))
