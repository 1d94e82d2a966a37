"""The example that is a program of its own."""

import importlib.util
from pathlib import Path

import pytest

from explicit_softmax import ExplicitLanguageModel

PATH = Path(__file__).resolve().parent.parent / "examples" / "train_on_text_files.py"

pytestmark = pytest.mark.skipif(
    not PATH.is_file(), reason="the examples are part of the checkout only"
)


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("train_on_text_files", PATH)
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
