"""Files of n-gram models in the ARPA format, as KenLM and others read them.

An interpolated model is a back-off model whose probabilities of the n-grams in the file
are the interpolated ones and whose back-off weights are gamma of their contexts.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from os import PathLike, fsdecode
from typing import IO, Any, cast
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from explicit_softmax.solution.counts import IntArray
from explicit_softmax.text.fields import Fields, WordTable, read_numbers, split_fields
from explicit_softmax.text.kneser_ney import Floats, KneserNey, beyond_the_beginning
from explicit_softmax.text.ngrams import Keys, find, first_places, members, split_keys

# Called with the number of n-grams that are done, and that of all.
Progress = Callable[[int, int], Any]

# Lines written at a time, which stay in cache, contexts whose weights are found, and
# bytes read at a time.
_WRITTEN_LINES = 2**13
_CHUNK_CONTEXTS = 2**20
_BLOCK_BYTES = 2**21
_LONGEST_LINE = 2**20  # bytes

_GZIP_LEVEL = 6

# Log10 of what never happens, as other programs write it, and of unknown words where a
# file has none, as KenLM has it.
_NEVER = -99.0
_NO_UNKNOWN = -100.0

# The least log10 that a float32 holds in full, and that a float64 does.
_LEAST_FLOAT32 = -37.0
_LEAST_FLOAT64 = -300.0

# 0000 to 9999.
_FOUR_DIGITS = np.array([f"{number:04d}" for number in range(10**4)], dtype="S4")
_FOUR_DIGITS = _FOUR_DIGITS.view(np.uint8).reshape(-1, 4)

_UNKNOWN, _START, _END = b"<unk>", b"<s>", b"</s>"
_UPPER_UNKNOWN = b"<UNK>"  # KenLM takes it for the other, and we do
_SPECIAL = {_UNKNOWN, _UPPER_UNKNOWN, _START, _END}


def escaped(tokens: Sequence[str]) -> list[str]:
    """Tokens as words: white space and control characters as in URLs (``%20``).

    So is what would be taken for one of these, and what is a special word. Words, which
    have no white space, stay as they are.
    """
    unsafe = re.compile(r"[\s\x00-\x1f\x7f]")
    special = {word.decode() for word in _SPECIAL}
    if not special & {*tokens} and not any(map(unsafe.search, tokens)):
        return [*tokens]
    unsafe = re.compile(rf"{unsafe.pattern}|%(?=[0-9A-Fa-f]{{2}})")
    return [
        quote(token, "")
        if token in special
        else unsafe.sub(lambda found: quote(found[0], ""), token)
        for token in tokens
    ]


def write_arpa(
    file: IO[bytes],
    model: KneserNey,
    words: Sequence[str],
    progress: Progress | None = None,
    *,
    compress: bool = False,
) -> None:
    """Write smoothed n-grams.

    `words` are those of the ids 0 to V - 3, after which come ``<unk>`` and the
    boundary: ``<s>`` in contexts, ``</s>`` as a target.
    """
    if compress:
        # Without the name and the time, equal models make equal files.
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            write_arpa(cast(IO[bytes], packed), model, words, progress)
        return
    safe = [word.encode() for word in escaped(words)]
    before = _table([*safe, _UNKNOWN, _START], b" ")
    beyond = [
        beyond_the_beginning(model.contexts, size, model.n_ids)
        for size in range(1, model.context_size + 1)
    ]
    sizes = [model.n_ids + 1, *map(_n_written, model.keys, beyond, repeat(model.n_ids))]
    header = [f"ngram {order}={size}\n" for order, size in enumerate(sizes, 1)]
    file.write("".join(["\\data\\\n", *header, "\n\\1-grams:\n"]).encode())
    file.write(_unigrams(model, _table([*safe, _UNKNOWN, _END, _START], b"\t")))
    n_done = sizes[0]
    backoff = _backoff_of_ngrams(model, beyond)
    for size, keys in enumerate(model.keys, 1):
        gammas = next(backoff, None)
        after = _table([*safe, _UNKNOWN, _END], b"\n" if gammas is None else b"\t")
        file.write(f"\n\\{size + 1}-grams:\n".encode())
        for start in range(0, keys.size, _WRITTEN_LINES):
            some = np.arange(start, min(start + _WRITTEN_LINES, keys.size))
            context, target = split_keys(keys[some], model.n_ids)
            usual = ~beyond[size - 1][context]
            some, context, target = some[usual], context[usual], target[usual]
            columns = [_decimals(_log10(model.proba[size][some], 1.0), b"\t")]
            for contexts in reversed(model.contexts[:size]):
                context, farthest = split_keys(contexts[context], model.n_ids)
                columns.append(before[farthest])
            columns.append(after[target])
            if gammas is not None:
                columns.append(_decimals(_log10(gammas[some]), b"\n"))
            file.write(_lines(columns))
            n_done += some.size
            if progress is not None:
                progress(n_done, sum(sizes))
    file.write(b"\n\\end\\\n")


def _n_written(keys: Keys, beyond: NDArray[np.bool_], n_ids: int) -> int:
    """How many n-grams have contexts that files have."""
    _, sizes = members(keys, np.flatnonzero(beyond), n_ids)
    return keys.size - int(sizes.sum())


def _table(words: Sequence[bytes], end: bytes) -> NDArray[Any]:
    table = np.empty(len(words), dtype=object)
    table[:] = [word + end for word in words]
    return table


def _unigrams(model: KneserNey, words: NDArray[Any]) -> bytes:
    logs = np.full(model.n_ids + 1, _NEVER)
    logs[: model.n_classes] = _log10(model.proba[0], 1.0)
    logs[-1] = _NEVER
    gammas = np.zeros(model.n_ids + 1)
    tokens = model.contexts[0].copy()
    tokens[tokens == model.n_ids - 1] = model.n_ids  # the boundary as <s>
    gammas[tokens] = _log10(model.backoff[0])
    return _lines([_decimals(logs, b"\t"), words, _decimals(gammas, b"\n")])


def _backoff_of_ngrams(
    model: KneserNey, beyond: Sequence[NDArray[np.bool_]]
) -> Iterator[Floats]:
    """Gamma of n-grams of 2 to K tokens as contexts; 1 where they are none.

    Contexts `beyond` the beginning have the weight one, and are not written.
    """
    n_ids = model.n_ids
    # Of contexts: the number of the one without its nearest token, and this.
    without = np.zeros(model.contexts[0].size, dtype=np.int64)
    nearest = model.contexts[0].astype(np.min_scalar_type(n_ids))
    for level in range(1, model.context_size):
        contexts, own = model.contexts[level], model.backoff[level]
        gammas = np.ones(model.keys[level - 1].size, dtype=own.dtype)
        rests = []
        for start in range(0, contexts.size, _CHUNK_CONTEXTS):
            some = slice(start, start + _CHUNK_CONTEXTS)
            shorter, farthest = split_keys(contexts[some], n_ids)
            rest = without[shorter] * n_ids + farthest
            rest = _find_runs(model.contexts[level - 1], rest)
            usual = np.flatnonzero(~beyond[level][some] & (rest >= 0))
            keys = rest[usual] * n_ids + nearest[shorter[usual]]
            places = _find_runs(model.keys[level - 1], keys)
            gammas[places] = own[some][usual]
            if level < model.context_size - 1:
                rests.append((rest, nearest[shorter]))
        yield gammas
        if rests:
            without, nearest = map(np.concatenate, zip(*rests, strict=True))


def _find_runs(keys: Keys, wanted: Keys) -> NDArray[np.intp]:
    """As `find`, for wanted keys that are runs in order, which are merged."""
    order = np.argsort(wanted, kind="stable")
    places = np.empty_like(order)
    places[order] = find(keys, wanted[order], in_order=True)
    return places


def _log10(values: Floats, most: float | None = None) -> NDArray[np.float64]:
    return np.log10(np.clip(values.astype(np.float64), 10**_LEAST_FLOAT64, most))


def _lines(columns: Sequence[NDArray[Any]]) -> bytes:
    parts = np.empty((columns[0].size, len(columns)), dtype=object)
    for number, column in enumerate(columns):
        parts[:, number] = column
    return b"".join(parts.ravel().tolist())


def _decimals(values: NDArray[np.float64], end: bytes) -> NDArray[np.bytes_]:
    """Numbers as text of the same length, to seven digits or six behind the point."""
    size = np.minimum(np.abs(values), 99.999999)
    is_long = size > 9.99999994
    number = np.rint(size * np.where(is_long, 1e6, 1e7)).astype(np.uint32)
    halves = _FOUR_DIGITS[number // 10**4], _FOUR_DIGITS[number % 10**4]
    digits = np.concatenate(halves, axis=1)
    text = np.empty((values.size, 11), dtype=np.uint8)
    text[:, 0] = np.where(values > 0, ord("0"), ord("-"))
    text[:, 1] = digits[:, 0]
    text[:, 2] = ord(".")
    text[:, 3:10] = digits[:, 1:]
    text[is_long, 2] = digits[is_long, 1]
    text[is_long, 3] = ord(".")
    text[:, 10] = ord(end)
    return text.view("S11")[:, 0]


@dataclass(frozen=True, eq=False)
class _Level:
    """n-grams of a file of one order, as predictions and as contexts.

    `keys` are those of a context of one token less, which is before the last, and the
    target, `contexts` of one that is behind the farthest, and that. `numbers` has the
    place in `contexts` of each of `keys`, -1 for those that end documents.
    """

    keys: Keys
    proba: Floats
    contexts: Keys
    backoff: Floats
    numbers: NDArray[np.int64]


def read_arpa(
    path: str | PathLike[str], progress: Progress | None = None
) -> tuple[KneserNey, list[str]]:
    """Read n-grams, and the words of the ids 0 to V - 3.

    Files with any back-off weights and probabilities can be read: they are not checked
    to sum to one. ValueError that names the line if it is no complete ARPA file.
    """
    opened: Any = gzip.open if fsdecode(path).endswith(".gz") else open
    with opened(path, "rb") as file:
        try:
            return _read(_Lines(file), progress)
        except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{fsdecode(path)!r} is no complete ARPA file: {error}"
            ) from error


class _Lines:
    """Lines of a file, taken some at a time, and how many were taken."""

    def __init__(self, file: IO[bytes]) -> None:
        self.number = 0
        self._blocks = _whole_lines(file)
        self._block, self._place = b"", 0

    def take(self, most: int) -> bytes:
        """Some lines, with their ends; none where the file ends."""
        if self._place == len(self._block):
            self._block, self._place = next(self._blocks, b""), 0
        start, stop = self._place, len(self._block)
        n_lines = self._block.count(b"\n", start)
        if n_lines > most:
            n_lines = most
            if most > 1:
                codes = np.frombuffer(self._block, np.uint8, offset=start)
                ends = np.flatnonzero(codes == ord("\n"))
                stop = start + int(ends[most - 1]) + 1
            else:
                stop = self._block.index(b"\n", start) + 1
        self.number += n_lines
        self._place = stop
        return self._block[start:stop]

    def next_text(self) -> bytes:
        """The next line that is not blank."""
        while line := self.take(1):
            if text := line.strip():
                return text
        raise ValueError(f"it ends after line {self.number}, before \\end\\")

    def error(self, message: str, number: int | None = None) -> ValueError:
        return ValueError(f"line {number or self.number}: {message}")


def _whole_lines(file: IO[bytes]) -> Iterator[bytes]:
    """Blocks of lines that end in a line feed, which the last one may lack."""
    number, rest = 1, b""
    while block := file.read(_BLOCK_BYTES):
        text, start = rest + block, 0
        # Where lines end in so many bytes, none of these is longer.
        while len(text) - start > _LONGEST_LINE:
            end = text.rfind(b"\n", start, start + _LONGEST_LINE + 1)
            if end < 0:
                number += text.count(b"\n", 0, start)
                raise ValueError(
                    f"line {number} is longer than {_LONGEST_LINE:,} bytes"
                )
            start = end + 1
        whole, end_of_line, rest = text.rpartition(b"\n")
        if end_of_line:
            yield whole + end_of_line
            number += whole.count(b"\n") + 1
    if rest:
        yield rest + b"\n"


def _read(lines: _Lines, progress: Progress | None) -> tuple[KneserNey, list[str]]:
    sizes, title = _read_header(lines)
    n_done, levels = 0, []
    for order, size in enumerate(sizes, 1):
        if title != b"\\%d-grams:" % order:
            raise lines.error(f"\\{order}-grams: comes here, not {_shown(title)}")

        def advance(n_lines: int) -> None:
            nonlocal n_done
            n_done += n_lines
            if progress is not None:
                progress(n_done, sum(sizes))

        section = _read_section(lines, order, size, order == len(sizes), advance)
        if order == 1:
            ids, alone, backoff = _read_unigrams(lines, section)
            n_ids, table = ids[_START] + 1, WordTable(ids)
            numbers = np.arange(n_ids, dtype=np.int64)
            keys = numbers[: alone.size]
            levels.append(_Level(keys, alone, numbers, backoff, numbers))
        else:
            levels.append(_read_level(lines, section, order, table, levels))
        title = lines.next_text()
        if not title.startswith(b"\\"):
            raise lines.error(f"more than the {size} {order}-grams of the header")
    if title != b"\\end\\":
        raise lines.error(f"\\end\\ comes here, not {_shown(title)}")
    return KneserNey(
        n_ids,
        levels[0].proba.size,
        tuple(level.contexts for level in levels[:-1]),
        tuple(level.keys for level in levels[1:]),
        tuple(level.proba for level in levels),
        tuple(level.backoff for level in levels[:-1]),
    ), [word.decode() for word in list(ids)[: n_ids - 2]]


def _shown(text: bytes) -> str:
    return repr(text[:50].decode(errors="replace"))


def _read_header(lines: _Lines) -> tuple[list[int], bytes]:
    """Numbers of n-grams by order, and the title of the first section."""
    if (title := lines.next_text()) != b"\\data\\":
        raise lines.error(f"ARPA files begin with \\data\\, not {_shown(title)}")
    sizes: list[int] = []
    pattern = rb"ngram\s+(\d{1,3})\s*=\s*(\d{1,18})"
    while found := re.fullmatch(pattern, title := lines.next_text()):
        sizes.append(int(found[2]))
        if int(found[1]) != len(sizes):
            raise lines.error(f"the number of {len(sizes)}-grams comes here")
    if len(sizes) < 2:
        raise lines.error("it needs n-grams of one token and of two at least")
    return sizes, title


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Lines of a section: log10 of probabilities and of weights, and words.

    Words are those of a column after those of another. `first` is the number of the
    first line.
    """

    first: int
    words: Fields
    logs: NDArray[np.float64]
    gammas: NDArray[np.float64]


def _read_section(
    lines: _Lines,
    order: int,
    size: int,
    is_highest: bool,
    advance: Callable[[int], None],
) -> Iterator[_Chunk]:
    n_read = 0
    while n_read < size:
        first = lines.number + 1
        text = lines.take(size - n_read)
        if not text:
            raise ValueError(
                f"it ends after line {lines.number}, with {n_read} of {size} "
                f"{order}-grams"
            )
        fields, n_fields = split_fields(text)
        # A weight that is not there is one.
        has_weight = n_fields == order + 2
        right = (n_fields == order + 1) | (has_weight & (not is_highest))
        for place in np.flatnonzero(~right)[:1].tolist():
            row = text.split(b"\n", place + 1)[place].split()
            if not row or row[0].startswith(b"\\"):
                raise lines.error(
                    f"{n_read + place} {order}-grams, and {size} in the header",
                    first + place,
                )
            raise lines.error(
                f"{order}-grams have {order + 1} fields"
                + f", or {order + 2} with a back-off weight" * (not is_highest)
                + f", and not {len(row)}",
                first + place,
            )
        starts = np.cumsum(n_fields) - n_fields
        logs = _numbers(lines, fields[starts], first, "log-probability", most=0.0)
        gammas = np.zeros(0)
        if not is_highest:
            gammas = np.zeros(n_fields.size)
            weighted = np.flatnonzero(has_weight)
            gammas[weighted] = _numbers(
                lines,
                fields[starts[weighted] + order + 1],
                first + weighted,
                "back-off weight",
            )
        words = fields[(starts + np.arange(1, order + 1)[:, None]).ravel()]
        yield _Chunk(first, words, logs, gammas)
        n_read += n_fields.size
        advance(n_fields.size)


def _numbers(
    lines: _Lines,
    fields: Fields,
    numbers: IntArray | int,
    name: str,
    most: float = 300.0,
) -> NDArray[np.float64]:
    """Numbers of a column; ValueError that names the first line that has none.

    `numbers` are those of the lines, or that of the first.
    """
    values, wrong = read_numbers(fields)
    wrong |= ~(np.isfinite(values) & (values <= most))
    for place in np.flatnonzero(wrong)[:1].tolist():
        limit = " and at most 0" * (most == 0)
        number = numbers + place if isinstance(numbers, int) else numbers[place]
        raise lines.error(
            f"a {name} in log10 is a finite number{limit}, not "
            f"{_shown(fields.bytes_of(place))}",
            int(number),
        )
    return values


def _read_unigrams(
    lines: _Lines, section: Iterator[_Chunk]
) -> tuple[dict[bytes, int], Floats, Floats]:
    """Ids of words, ``<unk>``, ``<s>``, and ``</s>``, probabilities, and weights.

    The last two have the ids V - 1 and V; there is no probability of the end of
    documents where it is not predicted. Of two unknown words the last one counts.
    """
    ids: dict[bytes, int] = {}
    special: dict[bytes, tuple[float, float]] = {}
    logs, gammas = [], []
    for chunk in section:
        is_word = np.ones(chunk.logs.size, dtype=bool)
        for place in range(chunk.logs.size):
            word = chunk.words.bytes_of(place)
            if word in ids or word in special:
                raise lines.error(f"{_shown(word)} again", chunk.first + place)
            if word in _SPECIAL:
                special[word] = chunk.logs[place], chunk.gammas[place]
                is_word[place] = False
            else:
                ids[word] = len(ids)
                _check_text(lines, word, chunk.first + place)
        logs.append(chunk.logs[is_word])
        gammas.append(chunk.gammas[is_word])
    if not ids:
        raise lines.error("1-grams hold no word")
    ids |= {_UNKNOWN: len(ids), _START: len(ids) + 1}
    unknown = _NO_UNKNOWN, 0.0
    for word in special:
        if word in (_UNKNOWN, _UPPER_UNKNOWN):
            unknown = special[word]
    after = [unknown[0]]
    if _END in special:
        ids[_END] = len(ids)
        # Where it never happens, ends of documents are not predicted.
        after += [special[_END][0]] * bool(special[_END][0] > _NEVER)
    if _UPPER_UNKNOWN in special:
        ids[_UPPER_UNKNOWN] = ids[_UNKNOWN]
    before = [unknown[1], special.get(_START, (0.0, 0.0))[1]]
    alone = _powers(np.concatenate([*logs, after]))
    return ids, alone, _powers(np.concatenate([*gammas, before]))


def _check_text(lines: _Lines, word: bytes, number: int) -> None:
    try:
        word.decode()
    except UnicodeDecodeError as error:
        raise lines.error(f"{_shown(word)} is not in UTF-8", number) from error


def _powers(logs: NDArray[np.float64]) -> Floats:
    """10 to the logs, in float32 if these hold all of them."""
    is_single = not logs.size or logs.min() > _LEAST_FLOAT32
    values = 10.0 ** np.maximum(logs, _LEAST_FLOAT64)
    return values.astype(np.float32 if is_single else np.float64)


def _read_level(
    lines: _Lines,
    section: Iterator[_Chunk],
    order: int,
    table: WordTable,
    levels: Sequence[_Level],
) -> _Level:
    """n-grams of an order of at least two, in the terms of those below."""
    first = lines.number + 1
    nothing, no_value = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    columns: list[list[Any]] = [[nothing], [nothing], [no_value], [no_value]]
    for chunk in section:
        keys, contexts = _places(lines, chunk, order, table, levels)
        # Those of the highest order, without weights, are no contexts.
        contexts = contexts[: chunk.gammas.size].copy()
        found = keys, contexts, _powers(chunk.logs), _powers(chunk.gammas)
        for column, values in zip(columns, found, strict=True):
            column.append(values)
    # One after the other: what each was made of is gone before the next is.
    backoff, proba, contexts, keys = (
        np.concatenate(columns.pop()) for _ in range(len(columns))
    )
    order_of_keys = np.argsort(keys, kind="stable")
    keys = keys[order_of_keys]
    for place in np.flatnonzero((keys[1:] == keys[:-1]) & (keys[1:] >= 0))[:1]:
        again = int(order_of_keys[place + 1])
        raise lines.error(f"a {order}-gram again", first + again)
    # What nobody can ask for has the key -1.
    n_left_out = int(np.searchsorted(keys, 0))
    order_of_keys = order_of_keys[n_left_out:]
    keys = keys[n_left_out:]
    proba = proba[order_of_keys]
    if not contexts.size:
        return _Level(keys, proba, nothing, no_value, nothing)
    contexts = contexts[order_of_keys]
    order_of_contexts = np.argsort(contexts)
    order_of_contexts = order_of_contexts[int((contexts < 0).sum()) :]
    numbers = np.full(keys.size, -1, dtype=np.int64)
    numbers[order_of_contexts] = np.arange(order_of_contexts.size)
    backoff = backoff[order_of_keys][order_of_contexts]
    return _Level(keys, proba, contexts[order_of_contexts], backoff, numbers)


def _places(
    lines: _Lines,
    chunk: _Chunk,
    order: int,
    table: WordTable,
    levels: Sequence[_Level],
) -> tuple[Keys, Keys]:
    """Keys of n-grams after their contexts, and as contexts.

    They are -1 where nobody can ask for them: documents start before their first token,
    and end after their last one, which is never context.
    """
    n_ids, n_rows = levels[0].contexts.size, chunk.logs.size
    start, end = n_ids - 1, n_ids

    def complain(rows: NDArray[np.intp], message: str) -> None:
        for row in rows[:1]:
            raise lines.error(message, chunk.first + int(row))

    columns = table.find(chunk.words).reshape(order, n_rows)
    unknown = np.flatnonzero((columns < 0).any(axis=0))
    complain(unknown, f"a word of the {order}-gram is no 1-gram")
    is_start, is_end = (columns[1:] == start).any(axis=0), columns == end
    is_end[-1] &= levels[0].keys.size < n_ids
    usable = np.flatnonzero(~(is_start | is_end.any(axis=0)))
    *before, context, target = columns[:, usable]
    for level, column in zip(levels[1:], reversed(before), strict=True):
        context = _find_repeated(level.contexts, context * n_ids + column)
    complain(usable[context < 0], f"the context of the {order}-gram is no n-gram")
    is_end = target == end
    target = np.where(is_end, n_ids - 1, target)
    below, place = levels[-1], target
    if order > 2:
        wanted = below.contexts[context] // n_ids * n_ids + target
        place = _find_repeated(below.keys, wanted)
    complain(
        usable[(place < 0) | (place >= below.keys.size)],
        f"the {order}-gram without its first word is no n-gram",
    )
    keys, contexts = np.full(n_rows, -1), np.full(n_rows, -1)
    keys[usable] = context * n_ids + target
    contexts[usable] = np.where(
        is_end, -1, below.numbers[place] * n_ids + columns[0, usable]
    )
    return keys, contexts


def _find_repeated(keys: Keys, wanted: Keys) -> NDArray[np.intp]:
    """As `find`, for wanted keys of which many are as the one before.

    In files that are in order, n-grams share contexts with their neighbours.
    """
    firsts = first_places(wanted)
    distinct = wanted[firsts]
    in_order = bool((distinct[1:] > distinct[:-1]).all())
    found = find(keys, distinct, in_order=in_order)
    return np.repeat(found, np.diff(firsts, append=wanted.size))
