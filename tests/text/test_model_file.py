"""ExplicitLanguageModel: files that it writes and reads."""

import io
import json
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.text import model_file as module
from tests.strategies import properties
from tests.test_language_model import DOCUMENTS, assert_same_counts, corpus, make

TEXTS = ["the cat sat on the mat", "the dog sat on the log", "", "a cat"] * 3


def assert_same_model(first, second):
    assert_same_counts(first, second)
    names = ["inverse_temperature_", "smoothing_strength_", "leave_one_out_log_loss_"]
    names += ["vocabulary_size_", "n_oov_", "n_iter_", "loss_curve_"]
    for name in [*names, "validation_scores_"]:
        assert_array_equal(getattr(first, name, ()), getattr(second, name, ()))
    prefixes = [[], [0, 1]] if first.tokenizer_ is None else ["", "the cat"]
    assert_array_equal(first.predict_proba(prefixes), second.predict_proba(prefixes))


def reloaded(model, path):
    model.save(path)
    return ExplicitLanguageModel.load(path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small model and its file."""
    path = tmp_path_factory.mktemp("models") / "model.npz"
    model = make(vocabulary_size=4, context_size=1).fit([[0, 1, 0]])
    model.save(path)
    return model, path.read_bytes()


@pytest.mark.parametrize("as_path", [str, Path, os.fsencode])
@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("documents", [DOCUMENTS, TEXTS])
def test_round_trip(tmp_path, documents, refined, as_path):
    model = make(vocabulary_size=60, random_state=3)
    if refined:
        model.set_params(warm_start=True, max_iter=2)
    model.fit(documents, documents_val=documents[:3])
    before = vars(model).copy()
    # No suffix is added to the name.
    back = reloaded(model, as_path(str(tmp_path / "model.bin")))
    assert os.listdir(tmp_path) == ["model.bin"]
    assert vars(model) == before
    assert type(back) is ExplicitLanguageModel
    assert back.get_params() == model.get_params()
    assert_same_model(back, model)
    if refined:
        with pytest.raises(ValueError, match="was refined"):
            back.partial_fit(documents)
    else:
        assert_same_model(back.partial_fit(documents), model.partial_fit(documents))


def test_parameters_come_back(tmp_path):
    given_parameters = {
        "context_size": np.int64(2),
        "vocabulary_size": None,
        "smoothing": None,
        "smoothing_strength": np.float32(0.5),
        "inverse_temperature": np.array([0.5, 1.0]),
        "warm_start": np.bool_(True),
        "tokens_per_iter": None,
        "random_state": np.random.RandomState(0),
    }
    model = make(**given_parameters)
    model.set_params(smoothing="uniform").partial_fit(DOCUMENTS)
    parameters = reloaded(model, tmp_path / "model").get_params()
    assert parameters == {
        **model.get_params(),
        "inverse_temperature": [0.5, 1.0],
        "random_state": None,
    }
    for value in ([np.float32(0.5), 1], (0.5, 1.0)):
        model.set_params(inverse_temperature=value)
        parameters = reloaded(model, tmp_path / "model").get_params()
        assert parameters["inverse_temperature"] == [0.5, 1.0]


def test_tokenizer_comes_back_as_parameter(tmp_path):
    learned = make(vocabulary_size=60).fit(TEXTS)
    assert reloaded(learned, tmp_path / "model").tokenizer is None
    given_one = make(tokenizer=learned.tokenizer_).fit(TEXTS)
    back = reloaded(given_one, tmp_path / "model")
    assert back.tokenizer is back.tokenizer_
    assert_same_model(back.fit(TEXTS), given_one)
    assert_same_model(back.merge(learned), given_one.merge(learned))
    other = make(vocabulary_size=40).fit(TEXTS).tokenizer_
    back = reloaded(given_one.set_params(tokenizer=other), tmp_path / "model")
    assert back.tokenizer.to_str() == other.to_str()
    assert back.vocabulary_size_ == learned.vocabulary_size_


def test_what_was_chosen_is_not_chosen_again(tmp_path, monkeypatch):
    model = make(smoothing_strength="auto").fit(DOCUMENTS)
    model.set_params(smoothing="noise", inverse_temperature=2.0)  # of the next fit
    expected = model.predict_proba([[0]]), model.leave_one_out_log_loss_
    model.save(tmp_path / "model")
    monkeypatch.setattr("explicit_softmax.text.language.leave_one_out", None)
    back = ExplicitLanguageModel.load(tmp_path / "model")
    assert_array_equal(back.predict_proba([[0]]), expected[0])
    assert back.leave_one_out_log_loss_ == expected[1]
    assert back.smoothing == "noise"


def test_a_truncated_file_is_an_error_that_says_so(tmp_path, saved):
    path = tmp_path / "model.npz"
    content = saved[1]
    step = max(1, len(content) // 150)
    for length in [0, 1, 2, 3, 4, 5, *range(6, len(content), step), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"model\.npz'.* is not a complete"):
            ExplicitLanguageModel.load(path)


@contextmanager
def damage_told():
    try:
        yield
    except ValueError as error:
        if "is not a complete language model" not in str(error):
            raise


def test_a_damaged_file_is_an_error_or_harmless(tmp_path, saved):
    model, content = saved
    path = tmp_path / "model.npz"

    @properties
    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def check(place, change):
        damaged = bytearray(content)
        damaged[place] ^= change
        path.write_bytes(damaged)
        with damage_told():
            # A time, or an attribute of the archive.
            assert_same_model(ExplicitLanguageModel.load(path), model)

    check()


def rewritten(content, path, **changes):
    """The file with some arrays, or some entries of the header, replaced."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    for name, value in changes.items():
        if name in arrays:
            arrays[name] = value
        else:
            assert name in header
            header[name] = value
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "another"}, "holds something else"),
        ({"version": 99}, r"written by a later release \(version 99\)"),
        ({"params": {}}, "tokenizer"),
        ({"params": {"tokenizer": None, "color": 1}}, "color"),
        ({"vocabulary_size": 5}, "parts do not fit together"),
        ({"counted": {"context_size": 2, "aggregation": "cat"}}, "do not fit"),
        ({"class_count": np.ones(2)}, "do not fit together"),
        ({"retained_codes": np.array([0, 1, 3])}, "do not fit together"),
        ({"retained_codes": np.array([0, 1, -1])}, "do not fit together"),
        ({"retained_weights": np.ones(2)}, "do not fit together"),
        ({"counts_indices": np.full(3, 99, np.int32)}, "not a complete"),
        ({"counts_data": np.ones(3, dtype=object)}, "allow_pickle=False"),
        ({"tokenizer": "{}"}, "not a complete"),
    ],
)
def test_a_forged_file_is_refused(tmp_path, saved, changes, message):
    path = tmp_path / "model.npz"
    rewritten(saved[1], path)
    assert_same_model(ExplicitLanguageModel.load(path), saved[0])
    rewritten(saved[1], path, **changes)
    with pytest.raises(ValueError, match=message):
        ExplicitLanguageModel.load(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "file"

    def refused(match="is not a complete language model"):
        with pytest.raises(ValueError, match=match):
            ExplicitLanguageModel.load(path)

    path.write_text("some text")
    refused()
    np.savez(tmp_path / "file.npz", a=1)
    (tmp_path / "file.npz").rename(path)
    refused("it holds something else")
    with open(path, "wb") as file:
        np.save(file, np.arange(3))
    refused("it holds something else")
    with open(path, "wb") as file:
        np.savez(file, header=np.array([{}], dtype=object))
    refused("allow_pickle=False")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header", "no array")
    refused()
    path.unlink()
    path.mkdir()
    refused()
    path.rmdir()
    with pytest.raises(FileNotFoundError):
        ExplicitLanguageModel.load(path)
    with pytest.raises(TypeError, match="NoneType"):
        ExplicitLanguageModel.load(None)


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model"
    model = make().fit(DOCUMENTS)
    model.save(path)
    content = path.read_bytes()
    other = make().fit(corpus(seed=1))

    def full(file, **arrays):
        file.write(b"begun")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(module.np, "savez", full)
        with pytest.raises(OSError, match="no space left"):
            other.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(ExplicitLanguageModel, "get_params", lambda *_, **__: {"a": {1}})
        with pytest.raises(TypeError, match="not JSON serializable"):
            other.save(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["model"]
    other.save(path)
    assert_same_model(ExplicitLanguageModel.load(path), other)


def test_files_are_readable_like_others_and_links_stay_links(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    (tmp_path / "models").mkdir()
    target, link = tmp_path / "models" / "model", tmp_path / "link"
    link.symlink_to(target)
    make().fit(DOCUMENTS).save(link)
    assert link.is_symlink()
    assert target.stat().st_mode == plain.stat().st_mode
    assert ExplicitLanguageModel.load(link).n_tokens_ == sum(map(len, DOCUMENTS))
