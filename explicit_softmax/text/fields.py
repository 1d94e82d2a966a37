"""Fields of lines of bytes, split and read as arrays: no object for each of them.

Fields are what white space of ASCII parts, as with ``bytes.split``. Those of a text are
told by where they start and by their sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from explicit_softmax.solution.counts import IntArray

# Words are compared so many bytes at a time, and what they have beyond so many at once;
# a mask for each number of the former.
_STEP = 8
_LONGEST_STEPPED = 32 * _STEP
_MASKS = np.array([2 ** (8 * size) - 1 for size in range(_STEP + 1)], dtype="<u8")

# Decimals of so many characters at most are computed, their digits being exact.
_LONGEST_DECIMAL = 17
_MOST_DIGITS = 15
_POWERS = 10.0 ** np.arange(_MOST_DIGITS + 1)

# Of hashes: odd, so that distinct words of as many bytes, up to eight, have distinct
# ones. Words have so many places each, among which few share one.
_FACTOR = 0x9E3779B97F4A7C15
_SPARSITY = 4


@dataclass(frozen=True, eq=False)
class Fields:
    """Some fields of a text.

    Parameters
    ----------
    text : bytes
    starts, sizes : ndarray of int, of the same shape
        Where fields start in `text`, and their bytes.
    """

    text: bytes
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]

    def __getitem__(self, which: IntArray | slice) -> Fields:
        return Fields(self.text, self.starts[which], self.sizes[which])

    def bytes_of(self, place: int) -> bytes:
        """What a field is."""
        start = self.starts[place]
        return self.text[start : start + self.sizes[place]]

    def steps(self) -> Iterator[tuple[NDArray[np.intp], NDArray[Any]]]:
        """The next bytes of fields that have more, as numbers, and their places.

        The last ones of long fields are bytes themselves: few fields are long.
        """
        codes = np.frombuffer(self.text + bytes(_STEP), np.uint8)
        rows = sliding_window_view(codes, _STEP)
        places = np.arange(self.sizes.size)
        for done in count(0, _STEP):
            if done:
                places = places[self.sizes[places] > done]
            if not places.size:
                return
            if done == _LONGEST_STEPPED:
                rest = np.empty(places.size, dtype=object)
                rest[:] = [self.bytes_of(place)[done:] for place in places.tolist()]
                yield places, rest
                return
            found = rows[self.starts[places] + done].view("<u8")[:, 0]
            found &= _MASKS[np.minimum(self.sizes[places] - done, _STEP)]
            yield places, found


def split_fields(text: bytes) -> tuple[Fields, NDArray[np.intp]]:
    """All fields of lines that end in a line feed, and how many each line has."""
    codes = np.frombuffer(text, np.uint8)
    is_space = np.ones(codes.size + 1, dtype=bool)
    np.less(codes - np.uint8(9), 5, out=is_space[1:])  # \t \n \v \f \r
    is_space[1:] |= codes == ord(" ")
    edges = np.flatnonzero(is_space[1:] != is_space[:-1])
    starts = edges[::2]
    lines = np.searchsorted(starts, np.flatnonzero(codes == ord("\n")))
    return Fields(text, starts, edges[1::2] - starts), np.diff(lines, prepend=0)


def read_numbers(fields: Fields) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers as `float` reads them, and which fields are none."""
    size = int(fields.sizes.max(initial=1))
    width = np.arange(min(size, _LONGEST_DECIMAL))[:, None]
    codes = np.frombuffer(fields.text, np.uint8)
    cells = codes[np.minimum(fields.starts + width, codes.size - 1)]
    cells[width >= fields.sizes] = ord(" ")
    is_point, is_minus = cells == ord("."), cells[0] == ord("-")
    digits = cells - np.uint8(ord("0"))
    is_digit = digits < 10
    n_digits, n_points = is_digit.sum(axis=0), is_point.sum(axis=0)
    usual = (n_digits > 0) & (n_digits <= _MOST_DIGITS) & (n_points <= 1)
    usual &= n_digits + n_points + is_minus == fields.sizes
    number = np.zeros(fields.sizes.size, dtype=np.int64)
    n_behind = np.zeros(fields.sizes.size, dtype=np.int64)
    is_behind = np.zeros(fields.sizes.size, dtype=bool)
    for own, one, point in zip(digits, is_digit, is_point, strict=True):
        is_behind |= point
        number = np.where(one, 10 * number + own, number)
        n_behind += one & is_behind
    # One rounding of exact numbers: to the last bit what `float` gives.
    values = number / _POWERS[np.minimum(n_behind, _MOST_DIGITS)]
    np.negative(values, out=values, where=is_minus)
    wrong = np.zeros(values.size, dtype=bool)
    for place in np.flatnonzero(~usual).tolist():
        try:
            values[place] = float(fields.bytes_of(place))
        except ValueError:
            wrong[place] = True
    return values, wrong


class WordTable:
    """Numbers of words, found for many fields at a time.

    Words are found by a hash of 64 bits, whose first bits tell where to look, and then
    compared in full.
    """

    def __init__(self, numbers: Mapping[bytes, int]) -> None:
        sizes = np.array([*map(len, numbers)], dtype=np.intp)
        words = Fields(b"".join(numbers), np.cumsum(sizes) - sizes, sizes)
        for self._factor in (np.uint64(seed) for seed in count(_FACTOR, 2)):
            hashes = self._hashes(words)
            order = np.argsort(hashes)
            self._sorted = hashes[order]
            if (self._sorted[1:] != self._sorted[:-1]).all():
                break
        self._words = words[order]
        self._numbers = np.array([*numbers.values()], dtype=np.intp)[order]
        n_bits = (_SPARSITY * order.size).bit_length()
        self._shift = np.uint64(64 - n_bits)
        firsts = np.arange(2**n_bits, dtype=np.uint64) << self._shift
        self._first = np.searchsorted(self._sorted, firsts)
        np.minimum(self._first, order.size - 1, out=self._first)

    def find(self, fields: Fields) -> NDArray[np.intp]:
        """Numbers of the words that fields are, -1 for those that are none."""
        wanted = self._hashes(fields)
        places = self._first[wanted >> self._shift]
        before = np.flatnonzero(self._sorted[places] < wanted)
        while before.size:
            places[before] += 1
            before = before[places[before] < self._sorted.size]
            before = before[self._sorted[places[before]] < wanted[before]]
        np.minimum(places, self._sorted.size - 1, out=places)
        wrong = self._words.sizes[places] != fields.sizes
        alike = np.flatnonzero(~wrong)
        both = self._words[places[alike]].steps(), fields[alike].steps()
        for (own, some), (_, other) in zip(*both, strict=True):
            wrong[alike[own]] |= some != other
        found: NDArray[np.intp] = self._numbers[places]
        found[wrong] = -1
        return found

    def _hashes(self, fields: Fields) -> NDArray[np.uint64]:
        found = fields.sizes.astype(np.uint64)
        for places, some in fields.steps():
            if some.dtype == object:
                some = np.array([*map(hash, some)]).view(np.uint64)
            some ^= found[places]
            some *= self._factor
            some ^= some >> np.uint64(32)
            some *= self._factor
            found[places] = some
        return found
