"""Windows of the K tokens before each target, and their co-occurrences.

Every token is a target once. Its window holds the tokens before it, the nearest first,
and padding where the document has none; no window reaches into another document.

Documents are held in one array, each behind K pads: column k of all windows is this
array moved by k + 1 places. Co-occurrences of positions and targets are counted from
such views, without windows or one-hot features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from explicit_softmax.calibration.sample import mixed_bits
from explicit_softmax.solution.counts import (
    CooccurrenceCounts,
    IntArray,
    index_type,
)
from explicit_softmax.solution.progress import listener
from explicit_softmax.text.tokens import PAD_ID, PAD_STRING, token_arrays

Aggregation: TypeAlias = Literal["sum", "cat"]

# Pairs of a token and a target are counted in an array of all pairs, the fastest way,
# if it has at most this many cells (512 MiB), also for each token; sorted otherwise.
_MOST_CELLS = 2**26
_CELLS_PER_TOKEN = 16

# Tokens whose pairs are formed at a time, and whose keys are: the latter fit in cache.
_CHUNK_TOKENS = 2**22
_CHUNK_KEYS = 2**16

# Documents that are joined at a time.
_JOINED_DOCUMENTS = 2**12

# Base of the polynomial of a prefix: odd, and so invertible modulo 2**64.
_BASE = 0x9E3779B97F4A7C15


@dataclass(frozen=True, eq=False)
class TokenStream:
    """Documents one after the other, each behind `context_size` pads.

    Parameters
    ----------
    tokens : ndarray of shape (n_documents * context_size + n_targets,)
        Ids or strings.
    stops : ndarray of int64, shape (n_documents,)
        Cumulated lengths of the documents, none of which is empty.
    context_size : int
        K.
    pad : int or str
        Padding before the first token of a document.
    """

    tokens: NDArray[Any]
    stops: NDArray[np.int64]
    context_size: int
    pad: Any

    @classmethod
    def from_documents(
        cls, documents: Iterable[Any], context_size: Any, pad: Any = None
    ) -> TokenStream:
        """Read documents once; `pad` is by default that of `context_windows`."""
        if not isinstance(context_size, Integral) or context_size < 1:
            raise ValueError(
                f"context_size must be an integer of at least 1, not {context_size!r}"
            )
        arrays = token_arrays(documents)
        if pad is None:
            pad = PAD_STRING if arrays[0].dtype.kind == "U" else PAD_ID
        return cls.from_arrays(arrays, int(context_size), pad)

    @classmethod
    def from_arrays(
        cls, arrays: list[NDArray[Any]], context_size: int, pad: Any
    ) -> TokenStream:
        """Join checked arrays of one kind, none of them empty."""
        dtype = np.result_type(*{array.dtype for array in arrays})
        if dtype.kind != "U":
            # A type of the ids and of the pad: signed, since pads may be negative.
            dtype = np.result_type(dtype, np.int8, np.min_scalar_type(pad))
            # NumPy promotes unsigned 64 bits and signed ones to floating point.
            dtype = dtype if dtype.kind == "i" else np.dtype(np.int64)
        padding = np.full(context_size, pad, dtype=dtype)
        parts = [part for array in arrays for part in (padding, array)]
        tokens = np.concatenate(parts, dtype=dtype, casting="unsafe")
        stops = np.cumsum([array.size for array in arrays], dtype=np.int64)
        return cls(tokens, stops, context_size, pad)

    @classmethod
    def from_ids(
        cls, arrays: Iterable[NDArray[np.int32]], context_size: int, pad: int
    ) -> TokenStream:
        """Join ids of documents as they come; empty ones are left out."""
        padding = np.full(context_size, pad, dtype=np.int32)
        chunks, lengths = [], [np.zeros(0, dtype=np.int64)]
        rest = iter(arrays)
        # Arrays of single documents would take more memory than their ids.
        while batch := list(islice(rest, _JOINED_DOCUMENTS)):
            filled = [array for array in batch if array.size]
            parts = [part for array in filled for part in (padding, array)]
            chunks.append(np.concatenate([padding[:0], *parts]))
            lengths.append(np.array([array.size for array in filled], dtype=np.int64))
        stops = np.cumsum(np.concatenate(lengths))
        tokens = np.concatenate([padding[:0], *chunks])
        return cls(tokens, stops, context_size, pad)

    @property
    def n_targets(self) -> int:
        """Number of tokens, each of which is a target."""
        return int(self.stops[-1]) if self.stops.size else 0

    @property
    def targets(self) -> NDArray[Any]:
        """All tokens without padding, shape (n_targets,)."""
        tokens = self.tokens[self.context_size :]
        return tokens if len(self.stops) == 1 else tokens[tokens != self.pad]

    @property
    def targets_with_ends(self) -> NDArray[Any]:
        """All tokens, and a pad for the end of each document."""
        return np.insert(self.targets, self.stops, self.pad)

    def windows(self, members: IntArray | slice = slice(None)) -> NDArray[Any]:
        """Tokens before targets (n_members, context_size), the nearest first.

        All windows of a single document are a view.
        """
        size = self.context_size
        every = isinstance(members, slice) and members == slice(None)
        if every and len(self.stops) == 1:
            views = np.lib.stride_tricks.sliding_window_view(self.tokens[:-1], size)
            return views[:, ::-1]
        if isinstance(members, slice):
            members = np.arange(*members.indices(self.n_targets))
        document = np.searchsorted(self.stops, members, side="right")
        positions = members + (document + 1) * size
        windows = np.empty((positions.size, size), dtype=self.tokens.dtype)
        for k in range(size):
            positions -= 1
            windows[:, k] = self.tokens[positions]
        return windows


def context_windows(
    documents: Iterable[Any], context_size: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Windows of the tokens before each token, and the tokens themselves.

    Parameters
    ----------
    documents : iterable of sequences of int or of str
        Documents as sequences (lists, arrays) of token ids, non-negative, or of tokens;
        all of the same kind. May be an iterator; it is read once.
    context_size : int
        K, the number of tokens in a window.

    Returns
    -------
    X : ndarray of shape (n_targets, context_size)
        Tokens before each target, the nearest in the first column. Where a document has
        none, -1 for ids and the empty string for strings. A read-only view of the
        padded document if there is just one.
    y : ndarray of shape (n_targets,)
        The targets: every token of every document, in order.

    Raises
    ------
    TypeError
        If a document is no sequence of ids or strings, or some are of ids and some of
        strings.
    ValueError
        If `context_size` is less than 1, if an id is negative, if a token is empty or
        ends with a null character, or if there is no token at all.

    See Also
    --------
    ContextWindowTransformer : Makes features of the windows.

    Examples
    --------
    >>> from explicit_softmax import context_windows
    >>> X, y = context_windows([["a", "rose", "is"], ["a", "rose"]], context_size=2)
    >>> X
    array([['', ''],
           ['a', ''],
           ['rose', 'a'],
           ['', ''],
           ['a', '']], dtype='<U4')
    >>> y
    array(['a', 'rose', 'is', 'a', 'rose'], dtype='<U4')
    """
    stream = TokenStream.from_documents(documents, context_size)
    return stream.windows(), stream.targets


def next_windows(
    prefixes: Sequence[NDArray[np.int32]], context_size: int, pad: int
) -> NDArray[np.int32]:
    """Windows at the ends of prefixes, as in `context_windows`."""
    windows = np.full((len(prefixes), context_size), pad, dtype=np.int32)
    for window, prefix in zip(windows, prefixes, strict=True):
        nearest = prefix[::-1][:context_size]
        window[: nearest.size] = nearest
    return windows


@dataclass(frozen=True, eq=False)
class OneHotWindows:
    """Features of windows, formed for the rows asked for only, in place of a matrix.

    Parameters
    ----------
    stream : TokenStream
        Ids from 0 to ``n_tokens - 1``, the pad among them.
    n_tokens : int
        Number of ids.
    aggregation : {"sum", "cat"}
        One-hot vectors of a window added (Sum), or one after the other (Cat).
    dtype : dtype, default=float32
    """

    stream: TokenStream
    n_tokens: int
    aggregation: Aggregation
    dtype: Any = np.float32

    @property
    def shape(self) -> tuple[int, int]:
        """(n_targets, n_features)."""
        n_blocks = self.stream.context_size if self.aggregation == "cat" else 1
        return self.stream.n_targets, n_blocks * self.n_tokens

    def __getitem__(self, members: IntArray | slice) -> sp.csr_array:
        windows = self.stream.windows(members)
        return one_hot_windows(windows, self.n_tokens, self.aggregation, self.dtype)


def one_hot_windows(
    windows: IntArray, n_tokens: int, aggregation: Aggregation, dtype: Any
) -> sp.csr_array:
    """Features of windows (n_rows, context_size) of ids, as in `OneHotWindows`.

    The rows have no duplicates, and their indices are in order.
    """
    n_rows, size = windows.shape
    n_features = n_tokens * (size if aggregation == "cat" else 1)
    index = index_type(max(windows.size, n_features))
    features: IntArray = windows.astype(index, order="C")
    if aggregation == "cat":
        features += np.arange(0, n_features, n_tokens, dtype=index)
    starts = np.arange(0, windows.size + 1, size, dtype=index)
    rows = sp.csr_array(
        (np.ones(windows.size, dtype=dtype), features.ravel(), starts),
        shape=(n_rows, n_features),
    )
    if aggregation == "cat":
        rows.has_canonical_format = True  # by construction: no pass to find it out
    else:
        rows.sum_duplicates()
    return rows


def count_windows(
    stream: TokenStream, n_tokens: int, aggregation: Aggregation
) -> CooccurrenceCounts:
    """Co-occurrences of the features of `OneHotWindows` and the targets, in one pass.

    The pad must be the last id, ``n_tokens - 1``, which is no class. Counts are sparse
    and the same as those of `CooccurrenceCounts.from_rows`.
    """
    size = stream.context_size
    targets = stream.tokens[size:]
    # Keys of a call to bincount, which fills an array of all cells; fresh memory for
    # each position would take time.
    step = min(targets.size, max(_CHUNK_TOKENS, n_tokens * n_tokens))
    buffer = np.empty(step, dtype=np.int64)
    parts, tell = [], listener()
    for k in range(1, size + 1):
        tokens = stream.tokens[size - k : -k]
        parts.append(_count_pairs(tokens, targets, n_tokens, buffer))
        tell(stream.tokens.size)
    if aggregation == "cat":
        cooccurrence = sp.csr_array(sp.vstack(parts, format="csr"))
        n_nonzero = float(size * stream.n_targets)
    else:
        cooccurrence = sum(parts[1:], start=parts[0])
        n_nonzero = float(_count_distinct(stream))
    # Every target has one token right before it, or a pad.
    first = parts[0]
    class_count = np.bincount(first.indices, first.data, n_tokens - 1).astype(float)
    return CooccurrenceCounts(cooccurrence, class_count, n_nonzero)


def window_keys(
    stream: TokenStream, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Numbers of the targets with the `limit` smallest distinct keys, and their keys.

    The key of a window is a hash of its document up to and including the target. It
    depends neither on other documents nor on their order; windows with equal keys are
    equal and have equal targets, except for collisions of 64 bits.

    Notes
    -----
    The key is the polynomial ``sum_j (token_j + 1) B**j`` of this part of the document,
    modulo 2**64, with its bits mixed. Polynomials are sums that run over the stream,
    less the sum before the document.
    """
    starts = np.arange(1, len(stream.stops) + 1) * stream.context_size
    starts[1:] += stream.stops[:-1]
    powers = np.full(min(_CHUNK_KEYS, stream.tokens.size), _BASE, dtype=np.uint64)
    powers[0] = 1
    np.multiply.accumulate(powers, out=powers)
    # Start of the document that goes on in the next chunk, and its polynomial so far.
    start, value = 0, np.zeros(1, dtype=np.uint64)
    kept_keys = np.zeros(0, dtype=np.uint64)
    kept_places = np.zeros(0, dtype=np.int64)
    bound = np.uint64(2**64 - 1)
    for first in range(0, stream.tokens.size, _CHUNK_KEYS):
        tokens = stream.tokens[first : first + _CHUNK_KEYS]
        here = starts[slice(*np.searchsorted(starts, (first, first + tokens.size)))]
        here = here - first
        lengths = np.diff(here, prepend=0, append=tokens.size)
        exponents = np.arange(tokens.size) - np.repeat(np.append(0, here), lengths)
        terms = np.add(tokens, 1, dtype=np.uint64, casting="unsafe")
        terms *= powers[exponents]
        terms[: lengths[0]] *= np.uint64(pow(_BASE, first - start, 2**64))
        sums = np.concatenate([value, terms]).cumsum(dtype=np.uint64)
        before = np.append(np.uint64(0), sums[here])
        keys = mixed_bits(sums[1:] - np.repeat(before, lengths))
        value = sums[-1:] - before[-1:]
        start = first + int(here[-1]) if here.size else start
        places = np.flatnonzero((keys <= bound) & (tokens != stream.pad))
        kept_keys = np.concatenate([kept_keys, keys[places]])
        kept_places = np.concatenate([kept_places, places + first])
        distinct = np.unique(kept_keys)
        if distinct.size > limit:
            bound = distinct[limit - 1]
            within = kept_keys <= bound
            kept_keys, kept_places = kept_keys[within], kept_places[within]
    document = np.searchsorted(starts, kept_places, side="right")
    return kept_places - document * stream.context_size, kept_keys


def _count_pairs(
    contexts: IntArray, targets: IntArray, n_tokens: int, buffer: NDArray[np.int64]
) -> sp.csr_array:
    """Counts of pairs (n_tokens, n_tokens - 1), those with a pad as target left out."""
    cells = n_tokens * n_tokens
    if cells <= min(_MOST_CELLS, _CELLS_PER_TOKEN * targets.size):
        return _from_cells(_count_cells(contexts, targets, n_tokens, buffer), n_tokens)
    counts = sp.csr_array((n_tokens, n_tokens - 1))
    for start in range(0, targets.size, _CHUNK_TOKENS):
        part = slice(start, start + _CHUNK_TOKENS)
        real = targets[part] != n_tokens - 1
        pairs = contexts[part][real], targets[part][real]
        ones = np.ones(len(pairs[0]))
        counts = counts + sp.coo_array((ones, pairs), shape=counts.shape).tocsr()
    return counts


def _count_cells(
    contexts: IntArray, targets: IntArray, n_tokens: int, buffer: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Counts of all pairs as one array, by context and then target."""
    total: NDArray[np.int64] | None = None
    for start in range(0, targets.size, buffer.size):
        part = slice(start, start + buffer.size)
        keys = buffer[: len(targets[part])]
        # NumPy < 2 would compute in the narrower type of the ids, and overflow.
        np.multiply(contexts[part], n_tokens, out=keys, dtype=np.int64)
        keys += targets[part]
        cells = np.bincount(keys, minlength=n_tokens * n_tokens)
        total = cells if total is None else np.add(total, cells, out=total)
    assert total is not None
    return total


def _from_cells(cells: NDArray[np.int64], n_tokens: int) -> sp.csr_array:
    cells.reshape(n_tokens, n_tokens)[:, -1] = 0
    filled = np.flatnonzero(cells != 0)  # much faster than of the counts
    first = np.searchsorted(filled, np.arange(n_tokens + 1) * n_tokens)
    row_start = np.repeat(np.arange(n_tokens) * n_tokens, np.diff(first))
    return sp.csr_array(
        (
            cells[filled].astype(np.float64),
            (filled - row_start).astype(np.int32),
            first.astype(np.int32),
        ),
        shape=(n_tokens, n_tokens - 1),
    )


def _count_distinct(stream: TokenStream) -> int:
    """Sum over the windows of the number of different tokens in each."""
    size, tokens = stream.context_size, stream.tokens
    end = tokens.size
    real = tokens[size:] != stream.pad
    total = int(real.sum())
    for k in range(2, size + 1):
        new = real.copy()
        for earlier in range(1, k):
            new &= tokens[size - k : end - k] != tokens[size - earlier : end - earlier]
        total += int(new.sum())
    return total
