"""ARPA files: what is read and written, beside the real KenLM."""

import gzip
import os
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from explicit_softmax import ExplicitLanguageModel
from explicit_softmax.text import arpa
from explicit_softmax.text.tokens import TokenIds, word_tokenizer
from tests.strategies import properties
from tests.text.test_kneser_ney import corpus


@pytest.mark.parametrize("context_size", [1, 2, 4])
@pytest.mark.parametrize("suffix", ["arpa", "arpa.gz"])
@pytest.mark.parametrize("ends", [True, False])
def test_kenlm_gives_the_same_probabilities(tmp_path, context_size, suffix, ends):
    kenlm = pytest.importorskip("kenlm", reason="it is compiled, and an extra")
    documents = corpus()
    model = ExplicitLanguageModel(
        context_size=context_size, aggregation="ngram", predict_end=ends
    ).fit(documents)
    path = tmp_path / f"model.{suffix}"
    model.to_arpa(path)
    other = kenlm.Model(str(path))
    oov = model._encoder.ids.oov
    new = [*corpus(seed=1), [oov, 0, oov, 1]]
    for document, logs in zip(new, model.log_proba(new), strict=True):
        text = " ".join("?" if t == oov else str(t) for t in document)
        found = [p for p, _, _ in other.full_scores(text, bos=True, eos=ends)]
        assert_allclose(found, logs / np.log(10), atol=1e-4)
    same = ExplicitLanguageModel.from_arpa(path)
    texts = [" ".join("?" if t == oov else str(t) for t in d) for d in new]
    for logs, text in zip(model.log_proba(new), texts, strict=True):
        assert_allclose(same.log_proba(text), logs, atol=1e-6)


SMALL = """\\data\\
ngram 1=5
ngram 2=4
ngram 3=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.4\ta\t-0.2
-0.6\tb

\\2-grams:
-0.3\t<s> a\t-0.1
-0.2\ta b\t0.1
-0.9 b a
-0.1\tb </s>

\\3-grams:
-0.15\t<s> a b
-0.05\ta b </s>

\\end\\
"""


def read(tmp_path, text, name="model.arpa"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ExplicitLanguageModel.from_arpa(path)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_scores_follow_the_file(tmp_path, newline):
    model = read(tmp_path, SMALL.replace("\n", newline))
    assert model.context_size == 2
    assert model.vocabulary_size_ == 4
    assert not hasattr(model, "class_count_")
    expected = {
        "a b": [-0.3, -0.15, -0.05],
        "a a x": [-0.3, -0.1 - 0.2 - 0.4, -0.2 - 1.0, -0.7],
        "b a b": [-0.5 - 0.6, -0.9, -0.2, -0.05],
        "b b": [-0.5 - 0.6, -0.6, -0.1],
    }
    for text, logs in expected.items():
        assert_allclose(model.log_proba(text) / np.log(10), logs, atol=1e-6)
    assert model.evaluate(["a a x"])["n_oov"] == 1


def test_files_without_ends_or_unknown_words(tmp_path):
    text = SMALL.replace("-1.0\t<unk>\n", "").replace("-0.7\t</s>\n", "")
    text = text.replace("-0.1\tb </s>\n", "").replace("-0.05\ta b </s>\n", "")
    text = text.replace("1=5", "1=3").replace("2=4", "2=3").replace("3=2", "3=1")
    model = read(tmp_path, text)
    assert not model.predict_end
    never = SMALL.replace("-0.7\t</s>", "-99\t</s>").replace("-1.0\t<unk>\n", "")
    same = read(tmp_path, never.replace("1=5", "1=4"))
    assert_array_equal(same.log_proba("a b x"), model.log_proba("a b x"))
    logs = model.log_proba("a b x") / np.log(10)
    assert_allclose(logs, [-0.3, -0.15, 0.1 - 100], atol=1e-6)


@pytest.mark.parametrize(
    "lines",
    [
        "-1.5\t<UNK>\t-0.25",
        "-0.5\t<unk>\t0.1\n-1.5\t<UNK>\t-0.25",
        "-0.5\t<UNK>\t0.1\n-1.5\t<unk>\t-0.25",
    ],
)
def test_unknown_words_in_upper_case_are_as_for_kenlm(tmp_path, lines):
    kenlm = pytest.importorskip("kenlm", reason="it is compiled, and an extra")
    text = SMALL.replace("-1.0\t<unk>", lines)
    text = text.replace("1=5", f"1={5 + lines.count(chr(10))}")
    if "<UNK>" in lines.split("\n")[-1]:
        text = text.replace("-0.9 b a", "-0.9 b a\n-0.8 b <UNK>").replace("2=4", "2=5")
    model, other = read(tmp_path, text), kenlm.Model(str(tmp_path / "model.arpa"))
    assert "<UNK>" not in model.tokenizer_.get_vocab()
    for document in ("a x b", "a b <UNK> b", "b x a b", "<unk> a"):
        found = [proba for proba, _, _ in other.full_scores(document)]
        assert_allclose(model.log_proba(document) / np.log(10), found, atol=1e-6)


def test_what_nobody_can_ask_for_is_left_out(tmp_path):
    more = "-0.1\t<s> <s>\t-0.7\n-0.2\t</s> a\n-0.3\ta b\t"
    text = SMALL.replace("-0.2\ta b\t", more).replace("2=4", "2=6")
    model = read(tmp_path, text)
    assert [keys.size for keys in model._model.kneser_ney.keys] == [4, 2]
    assert_allclose(model.log_proba("a b").sum() / np.log(10), -0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "ngram", "line 1: ARPA files begin"),
        ("ngram 2=4\n", "", "line 3: the number of 2-grams"),
        ("ngram 2=4\nngram 3=2\n", "", "line 4: it needs"),
        ("2=4", "2=3", "line 17: more than the 3 2-grams"),
        ("2=4", "2=5", "line 18: 4 2-grams, and 5"),
        ("3=2", "3=3", "line 22: 2 3-grams, and 3"),
        ("\\2-grams:", "\\3-grams:", "line 13: \\\\2-grams: comes here"),
        ("\\end\\", "\\4-grams:", "line 23: \\\\end\\\\ comes here"),
        ("\\end\\\n", "", "it ends after line 22, before"),
        ("-0.4\ta", "0.4\ta", "line 10: a log-probability .* not '0.4'"),
        ("-0.4\ta", "nan\ta", "line 10: a log-probability .* 'nan'"),
        ("-0.2\ta b", "-inf\ta b", "line 15: a log-probability .* '-inf'"),
        ("-0.2\ta b\t0.1", "-0.2\ta b\tx", "line 15: a back-off weight .* 'x'"),
        ("-0.2\ta b\t0.1", "-0.2\ta\t0.1 -1 -1", "line 15: 2-grams have 3 fields"),
        ("<s> a b", "<s> a b\t-0.1", "line 20: 3-grams have 4 fields, and not 5"),
        ("b </s>", "b c", "line 17: a word of the 2-gram is no 1-gram"),
        ("<s> a b", "b b b", "line 20: the context of the 3-gram"),
        ("a b </s>", "a b b", "line 21: the 3-gram without its first word"),
        ("b a", "a b", "line 16: a 2-gram again"),
        ("-0.6\tb", "-0.6\ta", "line 11: 'a' again"),
        ("-0.6\tb", b"-0.6\tb\xff", "line 11: .* is not in UTF-8"),
        ("-0.6\tb", "-0.6\t" + "b" * 10**7, "line 11 is longer than"),
    ],
)
def test_bad_files_are_one_error(tmp_path, old, new, message):
    assert SMALL.encode().count(old.encode()) >= 1
    as_bytes = new if isinstance(new, bytes) else new.encode()
    with pytest.raises(ValueError, match=f"is no complete ARPA file: ({message})"):
        read(tmp_path, SMALL.encode().replace(old.encode(), as_bytes, 1))


@pytest.mark.parametrize("block", [7, 30, 64, 1000])
def test_longest_lines_do_not_depend_on_where_blocks_end(tmp_path, monkeypatch, block):
    monkeypatch.setattr(arpa, "_BLOCK_BYTES", block)
    monkeypatch.setattr(arpa, "_LONGEST_LINE", 50)
    for size in (44, 45, 100):
        text = SMALL.replace("-0.4\ta\t-0.2", f"-1\t{'w' * size}\t-1\n-0.4\ta\t-0.2")
        text = text.replace("1=5", "1=6")
        if size == 44:  # and with the two numbers, 50
            assert read(tmp_path, text).tokenizer_.token_to_id("w" * size) == 0
        else:
            with pytest.raises(ValueError, match="line 10 is longer than 50 bytes"):
                read(tmp_path, text)


@pytest.mark.parametrize("name", ["m.arpa", "m.arpa.gz"])
def test_paths_of_bytes(tmp_path, name):
    model = ExplicitLanguageModel(context_size=1).fit(corpus())
    path = os.fsencode(tmp_path / name)
    model.to_arpa(path)
    assert ExplicitLanguageModel.from_arpa(path).context_size == 1


@pytest.mark.parametrize("compress", [True, False])
def test_truncated_files_are_errors(tmp_path, compress):
    whole = gzip.compress(SMALL.encode()) if compress else SMALL.rstrip("\n").encode()
    for size in range(0, len(whole), 3):
        with pytest.raises(ValueError, match="is no complete ARPA file"):
            read(tmp_path, whole[:size], "m.arpa" + ".gz" * compress)
    read(tmp_path, whole, "m.arpa" + ".gz" * compress)


def test_models_of_files_predict_and_are_saved_but_do_not_count(tmp_path):
    model = read(tmp_path, SMALL)
    model.save(tmp_path / "model")
    same = ExplicitLanguageModel.load(tmp_path / "model", mmap=True)
    assert_array_equal(same.predict_proba(["a", ""]), model.predict_proba(["a", ""]))
    assert_allclose(model.predict_proba(["b a", ""]).shape, (2, 4))
    assert model.generate("a", 3, temperature=0) == "b"
    for name, argument in [
        ("partial_fit", ["a"]),
        ("forget", ["a"]),
        ("merge", model),
    ]:
        with pytest.raises(ValueError, match=f"{name} needs counts, .* ARPA"):
            getattr(model, name)(argument)


def test_what_is_written_is_read_as_it_was(tmp_path):
    texts = ["a rose is 100% a %20 rose", "is a\u00a0tulip <s> a \t rose"] * 3
    tokenizer = word_tokenizer(["a", "rose", "is", "100%", "%20", "<s>", "\t "], "no")
    model = ExplicitLanguageModel(tokenizer=tokenizer, context_size=2).fit(texts)
    seen = []
    path = tmp_path / "model.arpa.gz"
    path.write_bytes(b"old")
    path.chmod(0o640)
    model.to_arpa(path, progress=lambda *numbers: seen.append(numbers))
    assert path.stat().st_mode & 0o777 == 0o640
    assert seen[-1][0] == seen[-1][1] > 0
    read_model = ExplicitLanguageModel.from_arpa(
        path, progress=lambda *numbers: seen.append(numbers)
    )
    assert seen[-1][0] == seen[-1][1] == seen[0][1]
    safe = ["a rose is 100% a %2520 rose", "is a tulip %3Cs%3E a rose", "%09%20 a"]
    assert_allclose(
        read_model.score_samples(safe[:2]), model.score_samples(texts[:2]), atol=1e-6
    )
    assert safe[2].split()[0] in read_model.tokenizer_.get_vocab()
    again = tmp_path / "again.arpa.gz"
    read_model.to_arpa(again)
    other = ExplicitLanguageModel.from_arpa(again)
    assert_allclose(other.score_samples(safe[:1]), read_model.score_samples(safe[:1]))


# The empty token, and what stands for it, are among these.
AWKWARD = ["", "%0", "%%0", "%1", "%20", "%3Cs%3E", "<s>", "</s>", "<unk>", "<UNK>"]
PIECES = ["", "%", "%2", "0", "a", " ", "\t", "\n", "\0", "\x85", "\u3000", "é"]


@properties
@given(
    st.lists(
        st.one_of(
            st.sampled_from(AWKWARD),
            st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
        ),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_different_tokens_are_different_words(tokens):
    words = arpa.escaped(TokenIds.of(word_tokenizer(tokens, "no")).words())
    assert len({*words}) == len(words)
    assert all(word.split() == [word] for word in words)
    assert not {*words} & {"<s>", "</s>", "<unk>", "<UNK>"}
    # What is escaped can be undone; the empty token has another name.
    pairs = [(word, t) for word, t in zip(words, tokens, strict=True) if t]
    assert all(word == t for word, t in pairs) or all(
        unquote(word) == t for word, t in pairs
    )


def test_awkward_tokens_are_written_and_read(tmp_path):
    tokens = list(dict.fromkeys([*AWKWARD, *PIECES]))
    tokenizer = word_tokenizer(tokens, "no", are_split=True)
    model = ExplicitLanguageModel(tokenizer=tokenizer, context_size=1)
    model.fit([tokens[1:], tokens[:0:-1]])
    model.to_arpa(tmp_path / "model.arpa")
    other = ExplicitLanguageModel.from_arpa(tmp_path / "model.arpa")
    words = arpa.escaped(model._encoder.ids.words())
    for numbers in ([1, 2, 3], [5, 6, 7, 8], [*range(9, len(tokens))]):
        logs = model.log_proba([[tokens[n] for n in numbers]])[0]
        same = other.log_proba([" ".join(words[n] for n in numbers)])[0]
        assert_allclose(same[: logs.size], logs, atol=1e-6)


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\x1c", "\x1f", "\x85"])
def test_words_with_other_white_space_are_scored_in_sequences(tmp_path, space):
    word = f"b{space}b"
    text = SMALL.replace(" b", f" {word}").replace("\tb", f"\t{word}")
    model = read(tmp_path, text)
    (logs,) = model.log_proba([["a", word]])
    assert_allclose(logs / np.log(10), [-0.3, -0.15, -0.05], atol=1e-6)
    assert model.evaluate([f"a {word}"])["n_oov"] == 2


def test_files_do_not_depend_on_what_is_done_at_a_time(tmp_path, monkeypatch):
    model = ExplicitLanguageModel(aggregation="ngram", predict_end=True).fit(corpus())
    model.to_arpa(tmp_path / "whole.arpa")
    whole = ExplicitLanguageModel.from_arpa(tmp_path / "whole.arpa")
    for name, size in [
        ("WRITTEN_LINES", 30),
        ("CHUNK_CONTEXTS", 50),
        ("BLOCK_BYTES", 500),
    ]:
        monkeypatch.setattr(arpa, f"_{name}", size)
    model.to_arpa(tmp_path / "parts.arpa")
    text = (tmp_path / "parts.arpa").read_bytes()
    assert text == (tmp_path / "whole.arpa").read_bytes()
    # Lines may have any order.
    title = b"\n\\5-grams:\n"
    before, _, lines = text.partition(title)
    lines, _, after = lines.partition(b"\n\n")
    mixed = np.random.default_rng(0).permutation(lines.split(b"\n")).tolist()
    text = before + title + b"\n".join(mixed) + b"\n\n" + after
    parts = read(tmp_path, text, "mixed.arpa")
    new = [" ".join(map(str, document)) for document in corpus(seed=1)]
    pairs = zip(parts.log_proba(new), whole.log_proba(new), strict=True)
    for own, other in pairs:
        assert_array_equal(own, other)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.arpa"
    path.write_bytes(b"old")
    model = read(tmp_path, SMALL, "small.arpa")

    def fail(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.to_arpa(path, progress=fail)
    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.arpa", "small.arpa"]


# The texts, and what lmplz -o 3 --discount_fallback --prune 0 1 2 makes of them.
TEXTS = ["c a c c a a", "a a a a", "a a c a a b b", "b c a a", "a a a a b a b"]
PRUNED = r"""\data\
ngram 1=6
ngram 2=7
ngram 3=4

\1-grams:
-1.0725507	<unk>	0
0	<s>	-0.10534318
-0.7917241	</s>	0
-0.55764085	c	-0.23312978
-0.55764085	a	-0.26884535
-0.69897	b	-0.10534318

\2-grams:
-0.83960783	a </s>	0
-0.4658086	b </s>	0
-0.5470981	a c	0
-0.36385047	<s> a	-0.30103
-0.23861489	c a	-0.20412
-0.5470981	a a	-0.22184873
-0.6156328	a b	0

\3-grams:
-0.62560964	a a </s>
-0.19255702	<s> a a
-0.25780144	c a a
-0.37650603	a a a

\end\
"""


def test_files_of_lmplz_and_pruned_models_are_as_here(tmp_path):
    model = ExplicitLanguageModel(
        context_size=2,
        tokenizer="whitespace",
        vocabulary_size=None,
        min_count=[1, 2, 3],
    ).fit(TEXTS)
    other = read(tmp_path, PRUNED)
    sizes = [keys.size for keys in other._model.kneser_ney.keys]
    assert sizes == [7, 4]
    new = [*TEXTS, "b b c", "c d a", "d"]
    logs = model.log_proba(new), other.log_proba(new)
    assert_allclose(*map(np.concatenate, logs), atol=1e-5)
    model.to_arpa(tmp_path / "own.arpa")
    assert "ngram 2=7\nngram 3=4\n" in (tmp_path / "own.arpa").read_text()
    proba = model.predict_proba(["a b", "c c", "d", ""])
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
