"""Documents, their token ids, and byte-pair encoding."""

import gzip
import pickle
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import tokenizers
from numpy.testing import assert_array_equal
from tokenizers import models, pre_tokenizers

from explicit_softmax.text import tokens as module
from explicit_softmax.text.tokens import (
    Documents,
    TokenIds,
    as_documents,
    document_list,
    repeatable,
    text_splitter,
    token_arrays,
)

E_ACUTE = "\N{LATIN SMALL LETTER E WITH ACUTE}"
I_DIAERESIS = "\N{LATIN SMALL LETTER I WITH DIAERESIS}"
TEXTS = [
    "the cat sat on the mat",
    "the dog sat on the log",
    "a cat and a dog",
    "",
    f"na{I_DIAERESIS}ve caf{E_ACUTE}",
] * 4


def words(*known, unknown="[?]"):
    """Tokenizer of given words: the first has id 0, unknown 1, the others from 3 on."""
    vocabulary = {unknown: 1, **{word: 2 * (n > 0) + n for n, word in enumerate(known)}}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="module")
def learned():
    return TokenIds.trained(TEXTS, 60)


def test_encoding_is_learned_and_undone(learned):
    assert learned.size <= 60
    for text, ids in zip(TEXTS, learned.encode(TEXTS), strict=True):
        assert ids.dtype == np.int32
        assert ids.max(initial=0) < learned.oov
        assert learned.decode(ids) == text
    # Far more merges than the letters, and yet not all that are possible.
    assert len(learned.encode(["the cat"])[0]) < 4


@pytest.mark.parametrize("size", [3, 8, 19, 20, 40])
def test_small_vocabularies_keep_their_size(size):
    ids = TokenIds.trained(TEXTS, size)
    assert ids.size <= size
    out_of_vocabulary = np.concatenate(ids.encode(TEXTS)) == ids.oov
    assert out_of_vocabulary.any() == (size < 20)  # bytes alone are 17


def test_ids_of_unknown_tokens_and_gaps_are_moved():
    # a: 0, unknown: 1, b: 3, c: 4; 2 is no token
    ids = TokenIds.of(words("a", "b", "c"))
    assert (ids.size, ids.oov, ids.pad) == (6, 4, 5)
    assert_array_equal(ids.encode(["a b c ?"])[0], [0, 2, 3, 4])
    # Padding and tokens out of vocabulary have no text.
    assert ids.decode(np.array([0, 2, 3, 4, 5])) == "a b c"


def test_tokenizer_without_unknown_token():
    model = models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    ids = TokenIds.of(tokenizers.Tokenizer(model))
    assert ids.size == 5
    # The tokenizer leaves out what it does not know.
    assert_array_equal(np.concatenate(ids.encode(["abba", "abx"])), [2, 1, 0, 2])


@pytest.mark.parametrize("unknown", [0, None])
def test_unigram_tokenizers(unknown):
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.5)]
    model = models.Unigram(pieces, unknown, byte_fallback=False)
    ids = TokenIds.of(tokenizers.Tokenizer(model))
    assert ids.size == (5 if unknown is None else 4)
    assert len(ids.encode(["abab"])[0]) == 4
    assert unknown is None or ids.encode(["ax"])[0].tolist() == [0, ids.oov]


def test_tokenizers_that_change_documents_are_refused():
    padded, truncated = words("a", "b"), words("a", "b")
    padded.enable_padding(pad_id=0, pad_token="a")
    truncated.enable_truncation(2)
    for switch, tokenizer in ("padding", padded), ("truncation", truncated):
        with pytest.raises(ValueError, match=rf"{switch} switched on.*no_{switch}\(\)"):
            TokenIds.of(tokenizer)
    with pytest.raises(TypeError, match="tokenizer must be a tokenizers"):
        TokenIds.of("gpt2")


def test_equal_vocabularies(learned):
    copied = TokenIds.of(pickle.loads(pickle.dumps(learned.tokenizer)))
    assert copied.tokenizer is not learned.tokenizer
    assert copied.equals(learned)
    assert TokenIds.from_text(learned.tokenizer.to_str()).equals(learned)
    assert TokenIds(8).equals(TokenIds(8))
    for other in (TokenIds(learned.size), TokenIds.trained(["of another text"], 60)):
        assert not learned.equals(other)
        assert not other.equals(learned)
    assert str(TokenIds(8)) == "8 token ids"
    assert str(learned) == f"{learned.size} tokens of strings"


def test_many_texts_are_encoded_in_batches(monkeypatch, learned):
    expected = [ids.tolist() for ids in learned.encode(TEXTS)]
    for name, value in (("_BATCH_DOCUMENTS", 3), ("_BATCH_CHARACTERS", 30)):
        monkeypatch.setattr(module, name, value)
        assert [ids.tolist() for ids in learned.encode(TEXTS)] == expected


def test_vocabulary_of_documents(learned):
    tokenizer = learned.tokenizer
    assert TokenIds.for_documents(TEXTS, None, 60).equals(learned)
    assert TokenIds.for_documents(TEXTS, tokenizer, None).tokenizer is tokenizer
    assert TokenIds.for_documents([[0, 1]], tokenizer, 9).equals(TokenIds(9))
    assert TokenIds.for_documents([[0, 4], [], [2]], None, None).size == 7
    with pytest.raises(ValueError, match=r"vocabulary_size=None is for .* ids"):
        TokenIds.for_documents(TEXTS, None, None)


def test_strings_need_the_library(monkeypatch, learned):
    text = learned.tokenizer.to_str()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    message = r"need the tokenizers library: pip install 'explicit_softmax\[lm\]'"
    with pytest.raises(ImportError, match=message):
        TokenIds.trained(TEXTS, 60)
    with pytest.raises(ImportError, match=message):
        TokenIds.from_text(text)
    assert TokenIds.for_documents([[0, 1]], None, 9).equals(TokenIds(9))


@pytest.mark.parametrize(
    "container", [iter, tuple, pd.Series, partial(np.fromiter, dtype=object)]
)
@pytest.mark.parametrize("documents", [TEXTS, [[0, 3], [], [2]]])
def test_documents_in_any_container(documents, container):
    assert document_list(container(documents)) == documents


@pytest.mark.parametrize(
    "as_ids",
    [
        lambda ids: np.array(ids, dtype=np.uint16),
        lambda ids: np.frombuffer(np.array(ids).tobytes(), int),  # read-only
        lambda ids: pd.Series(ids, dtype="int8"),
        tuple,
    ],
)
def test_ids_in_any_container(as_ids):
    documents = [[0, 3, 5], [2]]
    found = TokenIds(8).encode([as_ids(ids) for ids in documents])
    assert [ids.tolist() for ids in found] == documents
    assert {ids.dtype for ids in found} == {np.dtype(np.int32)}


BAD_CONTAINERS = [
    (iter(()), ValueError, "hold no token. If they came from a generator.*or pass a"),
    ("abc", TypeError, "not a single string: put it in a list"),
    (None, TypeError, "iterable of documents, not NoneType"),
    ({"a": [0]}, TypeError, "not dict: give its values"),
    (pd.DataFrame({0: [1]}), TypeError, "not DataFrame: .*one of its columns"),
]
NO_SEQUENCES = [
    ([0, 1], TypeError, "document 0 must be a seq.*not int of 0 dim.*; documents are"),
    ([[[1, 2]]], TypeError, "document 0 must be a sequence.*not list of 2 dimensions"),
    ([[1], [2, [3]]], TypeError, "document 1 .* tokens are sequences themselves"),
    ([[1], b"bytes"], TypeError, "document 1 is a string"),
    ([[1], [0.5]], TypeError, "document 1 must hold token ids.*, not float64$"),
    ([[True]], TypeError, "document 0 must hold token ids.*, not bool$"),
    ([[1], [0, None]], TypeError, "document 1 must hold token ids.*, not object$"),
]
BAD = {
    document_list: BAD_CONTAINERS,
    token_arrays: [
        *BAD_CONTAINERS,
        *NO_SEQUENCES,
        (["a rose"], TypeError, "document 0 is a string: split it into tokens"),
        ([[1], ["a", 2]], TypeError, "document 1 mixes token ids and strings"),
        ([[], [1], ["a"]], TypeError, r"ids \(document 1\) and strings \(document 2\)"),
        ([["a", ""]], ValueError, "document 0 has an empty token.*stands for padding"),
        ([["a", "a\0"]], ValueError, "document 0 has a token that ends with a null"),
        ([[], [0, -2]], ValueError, "document 1 has the token id -2, which is out of"),
        ([[2**63]], ValueError, r"document 0 has the token id 9223.* to 2\*\*63 - 1"),
        ([[], ()], ValueError, "documents hold no token"),
    ],
    TokenIds(8).encode: [
        *NO_SEQUENCES,
        ([["a", "b"]], TypeError, "hold token ids, not <U1; join tokens .* to a text"),
        ([["a", 1]], TypeError, "document 0 must hold token ids"),
        ([[0], "a"], TypeError, "document 1 is a string: documents are all strings"),
        (
            [*[[0]] * 2000, [3, -1]],
            ValueError,
            "document 2000 has the token id -1, .* from 0 to 6, .*7 is padding",
        ),
        ([[0], [1, 7]], ValueError, "document 1 has the token id 7, which is out of"),
        ([np.array([2**63], "u8")], ValueError, "the token id 9223372036854775808"),
    ],
    TokenIds.of(words("a")).encode: [
        ([[0, 1]], TypeError, "document 0 is not a string but list"),
        (["a", None], TypeError, "document 1 is not a string but NoneType"),
        (["a", b"a"], TypeError, "document 1 is not a string but bytes"),
        (["a", "\ud800"], ValueError, "document 1 is not valid Unicode"),
    ],
    lambda documents: [
        *TokenIds.for_documents(documents, None, 9).encoded(documents)
    ]: [
        ([None], TypeError, "document 0 must be a sequence of token ids, not NoneType"),
        ([np.array(3)], TypeError, "document 0 must be a sequence .* 0 dimensions"),
        ([np.array("a")], TypeError, "document 0 must be a sequence .* 0 dimensions"),
        ([["a"], ["b", "\ud800"]], ValueError, "document 1 is not valid Unicode"),
    ],
}


@pytest.mark.parametrize(
    ("read", "documents", "error", "message"),
    [(read, *row) for read, rows in BAD.items() for row in rows],
)
def test_bad_documents(read, documents, error, message):
    with pytest.raises(error, match=message):
        read(documents)


def test_fast_tokenizers_of_transformers_are_unwrapped():
    class Fast:
        """Wraps a tokenizer under the name that transformers uses."""

        backend_tokenizer = TokenIds.trained(["a rose is a rose"], 20).tokenizer

    ids = TokenIds.of(Fast())
    assert ids.tokenizer is Fast.backend_tokenizer
    assert ids.equals(TokenIds.of(Fast.backend_tokenizer))


SENTENCES = ["b a b", "", "c b a", "d\tb \u00a0 rare"]


def test_words_are_ranked_by_frequency():
    ids = TokenIds.of_words(SENTENCES, None, 1, are_split=False)
    assert ids.words() == ["b", "a", "c", "d", "rare"]
    assert (ids.size, ids.takes_words) == (7, False)
    encoded = ids.encode([*SENTENCES, "b <oov> new"])
    assert [each.tolist() for each in encoded][2:] == [[2, 0, 1], [3, 0, 4], [0, 5, 5]]
    assert {each.dtype for each in encoded} == {np.dtype(np.int32)}
    assert ids.decode(np.array([0, 5, 6, 1])) == "b a"
    again = TokenIds.from_text(ids.tokenizer.to_str())
    assert again.equals(ids)
    assert [each.tolist() for each in again.encode(SENTENCES)] == [
        each.tolist() for each in encoded[:4]
    ]


@pytest.mark.parametrize(
    ("size", "min_frequency", "known"),
    [(None, 2, ["b", "a"]), (4, 1, ["b", "a"]), (3, 2, ["b"]), (9, 5, [])],
)
def test_vocabulary_of_words_is_cut(size, min_frequency, known):
    ids = TokenIds.for_documents(SENTENCES, "whitespace", size, min_frequency)
    assert (ids.words(), ids.size) == (known, len(known) + 2)
    n_known = sum(word in known for text in SENTENCES for word in text.split())
    assert sum((each < ids.oov).sum() for each in ids.encode(SENTENCES)) == n_known


def test_min_frequency_of_byte_pairs():
    rare, all_pairs = (TokenIds.trained(TEXTS, 200, least) for least in (50, 1))
    assert rare.size < all_pairs.size


def test_the_fast_way_with_words_is_that_of_the_library():
    ids = TokenIds.of_words(SENTENCES, None, 1, are_split=False)
    fast = [each.tolist() for each in ids.encode([*SENTENCES, "e b"])]
    vars(ids)["_word_ids"] = None
    assert [each.tolist() for each in ids.encode([*SENTENCES, "e b"])] == fast


@pytest.mark.parametrize("container", [list, tuple, partial(np.array, dtype="U5")])
def test_documents_of_words(container):
    documents = [container(text.split()) for text in SENTENCES]
    ids = TokenIds.for_documents(documents, None, 6)
    assert ids.takes_words
    assert ids.words() == ["b", "a", "c", "d"]
    assert ids.encode(documents)[0].tolist() == [0, 1, 0]
    assert ids.encode([""])[0].size == 0
    for documents, error, message in (
        (["b a"], TypeError, "document 0 is a string, .*set tokenizer to the function"),
        ([["b"], [1]], TypeError, "document 1 must hold words, not token ids"),
        ([["b"], ["b", 1]], TypeError, "document 1 mixes token ids and strings"),
        ([["b", ""]], ValueError, "document 0 has an empty token"),
        ([["b"], None], TypeError, "document 1 must be a sequence"),
    ):
        for read in (ids.encode, lambda d: TokenIds.for_documents(d, str.split, 9)):
            if documents != ["b a"] or read == ids.encode:
                with pytest.raises(error, match=message):
                    read(documents)


def test_functions_split_strings():
    documents = Documents(["a b", [7, 8], ""], str.split)
    assert list(documents) == list(documents) == [["a", "b"], [7, 8], []]
    for wrong in (str.upper, iter, len, lambda text: {"input_ids": [1]}):
        with pytest.raises(TypeError, match="list of str or of int, and for docu"):
            list(Documents(["a b"], wrong))
    assert text_splitter(str.split) is str.split
    assert text_splitter(words("a")) is text_splitter("whitespace") is None


def test_tokenizers_that_are_none():
    for wrong in ("words", 3, object()):
        with pytest.raises(TypeError, match="a function, or 'whitespace', not"):
            TokenIds.for_documents(TEXTS, wrong, 9)
    for empty in ([], [[], ""], iter(())):
        with pytest.raises(ValueError, match="hold no token"):
            TokenIds.for_documents(empty, None, 9)


def test_lines_of_files_are_documents(tmp_path):
    lines = ["one  two", "", f"caf{E_ACUTE}\x85\u2028three", "last"]
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    plain.write_bytes("\r\n".join(lines).encode())
    with gzip.open(packed, "wt", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
    for path in plain, packed:
        documents = Documents(as_documents(path))
        assert list(documents) == list(documents) == lines
    assert list(Documents(["before", plain, packed])) == ["before", *lines, *lines]
    plain.write_bytes(b"good\n\xff\n")
    with pytest.raises(ValueError, match=r"a\.txt is not a text in UTF-8"):
        list(Documents([plain]))
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        list(Documents([tmp_path / "none.txt"]))


def test_iterators_are_kept(tmp_path):
    documents = ["a text", tmp_path / "path", np.array([1, 2])]
    with repeatable(documents) as same:
        assert same is documents
    with repeatable(iter(documents)) as kept:
        assert len(kept) == 3
        for _ in range(2):
            text, path, ids = kept
            assert [text, path, ids.tolist()] == [*documents[:2], [1, 2]]
    with pytest.raises(TypeError, match="document 1 must be a sequence"):
        repeatable(iter(["a", 3])).__enter__()


def test_documents_are_read_as_they_are_needed():
    read = []

    def source():
        for number in range(3 * module._BATCH_DOCUMENTS):
            read.append(number)
            yield [number % 3]

    first = next(TokenIds(5).encoded(source()))
    assert first.tolist() == [0]
    assert len(read) == module._BATCH_DOCUMENTS
