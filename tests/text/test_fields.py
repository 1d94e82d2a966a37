"""Fields of lines as arrays, beside what Python makes of them one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from explicit_softmax.text import fields
from explicit_softmax.text.fields import Fields, WordTable, read_numbers, split_fields
from tests.strategies import properties

WORDS = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.binary(max_size=20).map(lambda end: b"w" * 250 + end),
)


def fields_of(words):
    sizes = np.array([len(word) for word in words], dtype=np.intp)
    return Fields(b"".join(words), np.cumsum(sizes) - sizes, sizes)


@properties
@given(st.lists(st.text("ab.é \t\r\v\f\x00\x1c\xa0", max_size=8), min_size=1))
def test_lines_are_split_at_white_space_as_bytes_are(lines):
    text = "".join(f"{line}\n" for line in lines).encode()
    found, n_fields = split_fields(text)
    rows = [line.encode().split() for line in lines]
    assert n_fields.tolist() == [len(row) for row in rows]
    parts = [found.bytes_of(place) for place in range(found.starts.size)]
    assert parts == [field for row in rows for field in row]


def as_float(text):
    try:
        return float(text), False
    except ValueError:
        return 0.0, True


@properties
@given(
    st.lists(
        st.one_of(
            st.floats().map(str),
            st.floats(-100, 100).map(lambda value: f"{value:.7f}"),
            st.floats(-100, 100).map(lambda value: f"{value:.8g}"),
            st.text("0123456789.-+e_x", min_size=1),
        ),
        min_size=1,
    )
)
def test_numbers_are_those_of_float_to_the_last_bit(texts):
    values, wrong = read_numbers(fields_of([text.encode() for text in texts]))
    expected, refused = zip(*map(as_float, texts), strict=True)
    assert_array_equal(wrong, refused)
    assert_array_equal(values[~wrong], np.array(expected)[~wrong])
    assert_array_equal(np.signbit(values)[~wrong], np.signbit(expected)[~wrong])


@properties
@given(
    st.lists(WORDS, min_size=1, max_size=50, unique=True),
    st.lists(st.tuples(st.integers(0, 99), WORDS), max_size=50),
)
def test_words_are_found_as_by_a_dictionary(words, others):
    # Some are words, with the zeros that fill them up, or without their last byte.
    wanted = [words[i] if i < len(words) else new for i, new in others]
    wanted += [word + b"\0" for word in words] + [word[:-1] for word in words]
    ids = {word: number // 2 for number, word in enumerate(words)}
    found = WordTable(ids).find(fields_of(wanted))
    assert found.tolist() == [ids.get(word, -1) for word in wanted]


def test_long_words_take_few_steps():
    words = fields_of([b"w", b"w" * 10**5])
    assert sum(1 for _ in words.steps()) <= 33


def test_another_factor_is_taken_where_words_have_one_hash(monkeypatch):
    words = {b"%d" % number: number for number in range(500)}
    hashes, first = WordTable._hashes, fields._FACTOR

    def alike(table, some):
        return hashes(table, some) * np.uint64(int(table._factor) != first)

    monkeypatch.setattr(WordTable, "_hashes", alike)
    found = WordTable(words).find(fields_of([*words, b"x", b"500"]))
    assert found.tolist() == [*range(500), -1, -1]


def test_words_with_the_hash_of_another_are_unknown(monkeypatch):
    monkeypatch.setattr(
        WordTable, "_hashes", lambda table, some: some.sizes.astype(np.uint64) << 60
    )
    found = WordTable({b"a": 0, b"bb": 1}).find(
        fields_of([b"c", b"bb", b"a", b"bc", b"ddd"])
    )
    assert found.tolist() == [-1, 1, 0, -1, -1]
