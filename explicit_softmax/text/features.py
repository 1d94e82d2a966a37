"""Documents as strings -> counts of words, word bigrams, and character n-grams.

Each kind of feature is a block of columns, made by a vectoriser of scikit-learn of its
own, so that a model can give it an inverse temperature of its own.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import FeatureUnion

from explicit_softmax.solution.counts import index_type
from explicit_softmax.solution.progress import listener

# Single letters and digits are words too: "I", "a", "7".
KINDS: dict[str, dict[str, Any]] = {
    "words": {"token_pattern": r"(?u)\b\w+\b"},
    # An empty word begins and ends a text of words: " first", "last ".
    "bigrams": {
        "token_pattern": r"(?u)\A(?=\W*\w)|\b\w+\b|\Z",
        "ngram_range": (2, 2),
    },
    "chars": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Fitted vectorisers, and the counts that they make of documents.

    Parameters
    ----------
    union : FeatureUnion
        Fitted vectorisers by name.
    sizes : tuple of int
        Number of columns of each.
    log_counts : bool
        Whether a count n is log(1 + n).
    """

    union: FeatureUnion
    sizes: tuple[int, ...]
    log_counts: bool

    @property
    def found_sizes(self) -> tuple[int, ...]:
        """Number of columns that each vectoriser makes."""
        return tuple(
            vectorizer.n_features
            if isinstance(vectorizer, HashingVectorizer)
            else len(vectorizer.vocabulary_)
            for _, vectorizer in self.union.transformer_list
        )

    def transform(self, texts: Sequence[str]) -> sp.csr_array:
        """Features of documents, CSR of shape (n_texts, n_features)."""
        counts = [
            _counted(vectorizer.transform, texts)
            for _, vectorizer in self.union.transformer_list
        ]
        return self._weighted(sp.hstack(counts, "csr"))

    def names_of(self, text: str, columns: NDArray[np.intp]) -> list[tuple[str, str]]:
        """Kind and n-gram of columns that are not zero for a document.

        N-grams of the same hashed column are joined by a bar.
        """
        names: dict[int, tuple[str, str]] = {}
        start = 0
        for (kind, vectorizer), size in zip(
            self.union.transformer_list, self.sizes, strict=True
        ):
            terms = sorted(set(vectorizer.build_analyzer()(text)))
            if not terms:  # hashing refuses an empty list
                places: Any = []
            elif isinstance(vectorizer, HashingVectorizer):
                hasher = FeatureHasher(size, input_type="string", alternate_sign=False)
                places = hasher.transform([term] for term in terms).indices
            else:
                places = [vectorizer.vocabulary_.get(term, -1) for term in terms]
            for term, place in zip(terms, places, strict=True):
                if place >= 0:
                    _, before = names.get(start + place, (kind, ""))
                    names[start + place] = kind, f"{before}|{term}" if before else term
            start += size
        return [names[column] for column in columns.tolist()]

    def _weighted(self, counts: Any) -> sp.csr_array:
        rows = sp.csr_array(counts)
        if rows.dtype.kind != "f":  # CountVectorizer counts in integers by default
            rows = rows.astype(np.float64)
        if self.log_counts:
            np.log1p(rows.data, out=rows.data)
        return rows


def fit_features(
    texts: Sequence[str],
    vectorizers: Sequence[tuple[str, Any]],
    log_counts: bool,
) -> tuple[TextFeatures, sp.csr_array]:
    """Fit vectorisers; the features of the documents too.

    The `listener` hears of each document twice: when a vectoriser has read it, and when
    it has sorted its n-grams, which can take as long.

    A vectoriser that finds nothing, such as bigrams of one text each where `min_df` is
    two, is left out.

    Raises
    ------
    ValueError
        If none of them finds anything.
    """
    found = []
    read = None
    for name, vectorizer in vectorizers:
        counts = None
        if isinstance(vectorizer, CountVectorizer) and (
            _is_of(vectorizer, "words") or _is_of(vectorizer, "bigrams")
        ):
            if read is None:
                read = _ReadWords.of(texts)
            else:
                listener()(len(texts))
            counts = read.counts(vectorizer)
        try:
            if counts is None:
                counts = _counted(vectorizer.fit_transform, texts)
            found.append((name, vectorizer, counts))
        except ValueError as error:
            # CountVectorizer has no type of its own for an empty vocabulary, and speaks
            # of max_df where min_df is larger than the number of texts.
            causes = ["empty vocabulary", "After pruning"]
            if getattr(vectorizer, "min_df", 0) > len(texts):
                causes.append("max_df corresponds to <")
            if not str(error).startswith(tuple(causes)):
                raise
        listener()(len(texts))
    if not found:
        kinds = ", ".join(name for name, _ in vectorizers)
        raise ValueError(
            f"the texts have no features ({kinds}): all are empty, or min_df is larger "
            "than the number of texts that share an n-gram"
        )
    union = FeatureUnion([(name, vectorizer) for name, vectorizer, _ in found])
    sizes = tuple(int(counts.shape[1]) for _, _, counts in found)
    features = TextFeatures(union, sizes, log_counts)
    return features, features._weighted(sp.hstack([c for _, _, c in found], "csr"))


def _counted(count: Any, texts: Sequence[str]) -> Any:
    """What `fit_transform` or `transform` of a vectoriser makes of documents.

    Character n-grams end where words do: those of a document are the sum of those of
    its words, and each word is read once, however often it occurs.
    """
    told = _Told(texts)
    if not _is_of(count.__self__, "chars", min_df=1):
        return count(told)
    places = {"": 0}  # which has no n-grams: hashing refuses an empty list
    columns: list[int] = []
    ends = [0]
    for text in told:
        for word in text.lower().split():
            columns.append(places.setdefault(word, len(places)))
        ends.append(len(columns))
    shape = len(texts), len(places)
    narrow = index_type(len(columns))
    entries = np.ones(len(columns)), np.array(columns, narrow), np.array(ends, narrow)
    words = sp.csr_array(entries, shape=shape)
    words.sum_duplicates()
    rows = words @ count(places)
    rows.sort_indices()
    return rows


def _is_of(vectorizer: Any, kind: str, min_df: Any = None) -> bool:
    """Whether a vectoriser is that of a kind, with any `min_df` by default."""
    n_hashed = getattr(vectorizer, "n_features", None)
    min_df = getattr(vectorizer, "min_df", None) if min_df is None else min_df
    ((_, ours),) = make_vectorizers(kind, min_df, n_hashed)
    if type(vectorizer) is not type(ours):
        return False
    given = vectorizer.get_params()
    # A frequency of 1 is one document, and of 1.0 all of them.
    return all(
        type(given[name]) is type(value) and given[name] == value
        for name, value in ours.get_params().items()
    )


@dataclass(frozen=True, eq=False)
class _ReadWords:
    """Words of documents, read once for all that is counted of them.

    Parameters
    ----------
    words : list of str
        Different words in their order.
    places : ndarray of int, shape (n_read,)
        Which of them follow each other in all documents.
    ends : ndarray of int, shape (n_texts + 1,)
        Where documents begin and end among `places`.
    """

    words: list[str]
    places: NDArray[Any]
    ends: NDArray[Any]

    @classmethod
    def of(cls, texts: Sequence[str]) -> _ReadWords:
        """As CountVectorizer reads the kinds "words" and "bigrams".

        No word has white space: each string between is searched for words once.
        """
        strings: defaultdict[str, int] = defaultdict()
        strings.default_factory = strings.__len__
        read, ends = array("i"), [0]
        for text in _Told(texts):
            read.extend(map(strings.__getitem__, text.lower().split()))
            ends.append(len(read))
        find = re.compile(KINDS["words"]["token_pattern"]).findall
        found = [find(string) for string in strings]
        n_found = np.array([len(part) for part in found], dtype=np.intp)
        words = sorted(set(chain.from_iterable(found)))
        place = {word: i for i, word in enumerate(words)}
        parts = [place[word] for part in found for word in part]
        numbers = np.frombuffer(read, dtype=np.intc)
        narrow = index_type(n_found[numbers].sum())
        rows = np.concatenate(([0], np.cumsum(n_found))).astype(narrow)
        places = np.array(parts, dtype=narrow)
        # Words of a string as a row, that of a string that was read as a copy of it.
        by_string = sp.csr_array((places, places, rows), shape=(len(found), len(words)))
        by_read = by_string[numbers]
        return cls(words, by_read.data, by_read.indptr[ends])

    def counts(self, vectorizer: CountVectorizer) -> sp.csr_array | None:
        """Fit a vectoriser of words or bigrams; what `fit_transform` would return.

        In integers. None, and nothing is fitted, where that would raise an error.
        """
        vectorizer._validate_params()  # as fit_transform does
        n_texts, is_pairs = len(self.ends) - 1, vectorizer.ngram_range == (2, 2)
        read = self._with_ends() if is_pairs else self
        columns, first, last = read._columns(is_pairs)
        columns.sum_duplicates()
        least = vectorizer.min_df
        least = least if isinstance(least, Integral) else least * n_texts
        kept = np.flatnonzero(np.diff(columns.indptr) >= least)
        if not kept.size:
            return None
        if kept.size < columns.shape[1]:
            first, last, columns = first[kept], last[kept], columns[:, kept]
        words = np.array(read.words, dtype=object)
        terms = words[last]
        if is_pairs:
            terms = (words + " ")[first] + terms
        places = range(len(terms))
        vectorizer.vocabulary_ = dict(zip(terms.tolist(), places, strict=True))
        vectorizer.fixed_vocabulary_ = False
        return sp.csr_array(columns)

    def _with_ends(self) -> _ReadWords:
        """With an empty word before and after the words of each document."""
        starts, stops = self.ends[:-1], self.ends[1:]
        has_words = stops > starts
        at = np.concatenate((starts[has_words], stops[has_words]))
        ends = self.ends + 2 * np.concatenate(([0], np.cumsum(has_words)))
        ends = ends.astype(index_type(ends[-1]))
        return _ReadWords(["", *self.words], np.insert(self.places + 1, at, 0), ends)

    def _columns(
        self, is_pairs: bool
    ) -> tuple[sp.csc_array, NDArray[Any], NDArray[Any]]:
        """Texts that have each word or pair, and places of its first and last word.

        Texts are those of (n_texts, n_found), once for each time. Transposing is a
        counting sort that leaves equal ones in their order: first by the last words,
        then by the first. A blank comes before letters, and so pairs are in the order
        of their words.
        """
        last, ends = self.places, self.ends
        n_texts, n_words = len(ends) - 1, len(self.words)
        first = last
        if is_pairs:
            has_words = np.diff(ends) > 0
            follows = np.ones(len(last), dtype=bool)
            follows[ends[:-1][has_words]] = False
            first, last = last[:-1][follows[1:]], last[follows]
            skipped = np.concatenate(([0], np.cumsum(has_words)))
            ends = ends - skipped.astype(ends.dtype)
        by_last = sp.csr_array((first, last, ends), shape=(n_texts, n_words)).tocsc()
        texts, indptr = by_last.indices, by_last.indptr
        first = last = np.arange(n_words)
        if is_pairs:
            by_last = sp.csr_array((texts, by_last.data, indptr), shape=(n_words,) * 2)
            by_first = by_last.tocsc()
            texts, last = by_first.data, by_first.indices
            first = np.repeat(np.arange(n_words), np.diff(by_first.indptr))
            is_new = np.ones(len(texts), dtype=bool)
            is_new[1:] = (first[1:] != first[:-1]) | (last[1:] != last[:-1])
            starts = np.flatnonzero(is_new)
            first, last = first[starts], last[starts]
            indptr = np.append(starts, len(texts)).astype(indptr.dtype)
        parts = np.ones(len(texts), dtype=np.int32), texts, indptr
        return sp.csc_array(parts, shape=(n_texts, len(first))), first, last


@dataclass(frozen=True)
class _Told:
    """Documents that may be read several times; each reading tells where it is."""

    texts: Sequence[str]

    def __iter__(self) -> Iterator[str]:
        tell = listener()
        for text in self.texts:
            tell(1)
            yield text


def make_vectorizers(
    features: str, min_df: Any, n_hashed: int | None
) -> list[tuple[str, Any]]:
    """Vectorisers of the kinds in a string such as "words+chars".

    Raises
    ------
    ValueError
        If a kind is unknown or occurs twice.
    """
    kinds = features.split("+")
    if not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"features must be 'auto' or some of {', '.join(KINDS)} joined by '+', or "
            f"a list of vectorizers, not {features!r}"
        )
    if n_hashed is None:
        return [
            (kind, CountVectorizer(min_df=min_df, dtype=np.float64, **KINDS[kind]))
            for kind in kinds
        ]
    common: dict[str, Any] = {"alternate_sign": False, "norm": None}
    return [
        (kind, HashingVectorizer(n_features=n_hashed, **common, **KINDS[kind]))
        for kind in kinds
    ]


def joined_vocabulary(vectorizer: CountVectorizer) -> NDArray[np.uint8]:
    """N-grams in the order of their columns as one text in UTF-8, a line for each."""
    terms = vectorizer.get_feature_names_out().tolist()
    text = "\n".join(terms).encode(errors="surrogatepass")
    return np.frombuffer(text, dtype=np.uint8)


def set_vocabulary(vectorizer: CountVectorizer, joined: NDArray[np.uint8]) -> None:
    """Fit a vectoriser to what `joined_vocabulary` made."""
    terms = joined.tobytes().decode(errors="surrogatepass").split("\n")
    vectorizer.vocabulary_ = {term: column for column, term in enumerate(terms)}
    vectorizer.fixed_vocabulary_ = False


def checked_texts(X: Any) -> list[str]:
    """Documents as a list; ValueError or TypeError names what is none.

    Parameters
    ----------
    X : iterable of str
        List, array, Series, or iterator.
    """
    if isinstance(X, str | bytes):
        raise ValueError("X is one string: pass a list of strings, even of one text")
    if sp.issparse(X) or getattr(X, "ndim", 1) != 1:
        raise ValueError(
            "X must be one-dimensional, a list, array, or Series of strings, not an "
            f"array of shape {X.shape}: pass the column that holds the texts"
        )
    if not isinstance(X, Iterable):
        raise TypeError(f"X must be a list of strings, not {type(X).__name__}")
    texts = list(X)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            is_nan = isinstance(text, float) and text != text
            missing = is_nan or type(text).__name__ in ("NoneType", "NAType")
            advice = " (missing: drop it, or pass '')" if missing else ""
            raise ValueError(
                f"X must hold strings, and row {i} is {text!r} of type "
                f"{type(text).__name__}{advice}"
            )
    return texts


def read_labeled_text(
    path: Any, *, prefix: str = "__label__", encoding: str = "utf-8"
) -> tuple[list[str], NDArray[np.str_]]:
    r"""Read texts and labels in fastText's format.

    Each line is ``__label__name text``. Blank lines are skipped.

    Parameters
    ----------
    path : str or path-like
        File to read.
    prefix : str, default="__label__"
        What labels begin with.
    encoding : str, default="utf-8"
        Encoding of the file.

    Returns
    -------
    texts : list of str
        Lines without label.
    labels : ndarray of str
        Labels without prefix.

    Raises
    ------
    ValueError
        If a line has no label or more than one, or if there is none at all; the line is
        named. If the file is not in `encoding`.

    See Also
    --------
    ExplicitTextClassifier : Takes what is returned here.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from explicit_softmax import read_labeled_text
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "train.txt"
    ...     _ = path.write_text("__label__rain wet again\n__label__sun dry at last\n")
    ...     texts, labels = read_labeled_text(path)
    >>> texts
    ['wet again', 'dry at last']
    >>> labels.tolist()
    ['rain', 'sun']
    """
    if not (isinstance(prefix, str) and prefix):
        raise ValueError(f"prefix must be a string that is not empty, not {prefix!r}")
    texts, labels = [], []
    with open(path, encoding=encoding) as file:
        for number, line in enumerate(_decoded(file, path), start=1):
            words = line.split()
            if not words:
                continue
            found = [word for word in words if word.startswith(prefix)]
            if len(found) != 1 or found[0] == prefix:
                raise ValueError(
                    f"{path}, line {number}: there must be one label that begins with "
                    f"{prefix!r}, not {len(found)}: {line.strip()[:60]!r}"
                )
            labels.append(found[0].removeprefix(prefix))
            texts.append(" ".join(word for word in words if word != found[0]))
    if not texts:
        raise ValueError(f"{path} has no labelled line")
    return texts, np.array(labels)


def _decoded(file: Iterable[str], path: Any) -> Iterator[str]:
    """Lines of a file; ValueError if they are in another encoding."""
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} cannot be decoded: {error}") from None
