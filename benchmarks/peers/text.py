"""Classifiers of raw strings beside the package, each on its best usual features.

Every peer is fitted on strings, and its vectorising is part of its time. One that
cannot be imported is not available. Settings are those that texts on these tools
recommend; nothing is chosen by the test rows.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

_TF_IDF: dict[str, Any] = {"sublinear_tf": True, "min_df": 2}


def _pairs() -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), **_TF_IDF)


def _all_kinds() -> Any:
    chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **_TF_IDF)
    return make_union(_pairs(), chars)


class LogCountRatio(TransformerMixin, BaseEstimator):
    """Features times the log-ratio of their smoothed shares in two classes.

    With a linear model behind it, the NB-SVM of Wang and Manning (2012).
    """

    def fit(self, X: Any, y: NDArray[Any]) -> Self:
        inside = y == y.max()
        shares = [1.0 + X[rows].sum(axis=0) for rows in (inside, ~inside)]
        self.ratio_ = np.ravel(np.subtract(*[np.log(p / p.sum()) for p in shares]))
        return self

    def transform(self, X: Any) -> Any:
        return X @ sp.diags_array(self.ratio_)


class FastText:
    """fastText (``pip install fasttext-numpy2-wheel``), bigrams, rate 0.5.

    Rows are shuffled, as its manual asks: on files sorted by class it fails.
    """

    def __init__(self, epoch: int = 25) -> None:
        import fasttext

        self.library, self.epoch = fasttext, epoch

    def fit(self, texts: list[str], y: NDArray[Any]) -> Self:
        self.classes_, codes = np.unique(y, return_inverse=True)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "train.txt"
            order = np.random.default_rng(0).permutation(len(texts))
            path.write_text(
                "".join(f"__label__{codes[i]} {_line(texts[i])}\n" for i in order)
            )
            self.model = self.library.train_supervised(
                str(path), epoch=self.epoch, lr=0.5, wordNgrams=2, thread=1, verbose=0
            )
        return self

    def predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        out = np.full((len(texts), len(self.classes_)), 1e-12)
        for row, text in zip(out, texts, strict=True):
            labels, found = self.model.predict(_line(text), k=-1)
            codes = [int(label.removeprefix("__label__")) for label in labels]
            row[codes] = np.maximum(found, 1e-12)
        return out / out.sum(axis=1, keepdims=True)


class VowpalWabbit:
    """Vowpal Wabbit, one against all by logistic loss, bigrams, ten passes."""

    def __init__(self) -> None:
        import vowpalwabbit

        self.library = vowpalwabbit

    def fit(self, texts: list[str], y: NDArray[Any]) -> Self:
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.model = self.library.Workspace(
            f"--oaa {len(self.classes_)} --loss_function logistic --probabilities "
            "--ngram 2 -b 22 --quiet"
        )
        order = np.random.default_rng(0).permutation(len(texts))
        for _ in range(10):
            for i in order:
                self.model.learn(f"{codes[i] + 1} | {_words(texts[i])}")
        return self

    def predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        found = [self.model.predict(f"| {_words(text)}") for text in texts]
        out = np.maximum(np.array(found, dtype=float), 1e-12)
        return out / out.sum(axis=1, keepdims=True)


class River:
    """River's multinomial naive Bayes, one text at a time, alpha = 0.1."""

    def __init__(self) -> None:
        from river import feature_extraction, naive_bayes

        self.model = feature_extraction.BagOfWords() | naive_bayes.MultinomialNB(0.1)

    def fit(self, texts: list[str], y: NDArray[Any]) -> Self:
        self.classes_ = np.unique(y)
        for text, label in zip(texts, y.tolist(), strict=True):
            self.model.learn_one(text, label)
        return self

    def predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        found = [self.model.predict_proba_one(text) for text in texts]
        rows = [[p.get(c, 0.0) for c in self.classes_.tolist()] for p in found]
        out = np.maximum(np.array(rows), 1e-12)
        return out / out.sum(axis=1, keepdims=True)


def _line(text: str) -> str:
    return " ".join(text.lower().split())


def _words(text: str) -> str:
    analyzer = CountVectorizer(token_pattern=r"(?u)\b\w+\b").build_analyzer()
    return " ".join(analyzer(text))


TEXT_PEERS: dict[str, Callable[[], Any]] = {
    "LinearSVC, words+bigrams+chars": lambda: make_pipeline(_all_kinds(), LinearSVC()),
    "LinearSVC, calibrated, words+bigrams+chars": lambda: make_pipeline(
        _all_kinds(), CalibratedClassifierCV(LinearSVC(), cv=5)
    ),
    "LinearSVC, calibrated, words+bigrams": lambda: make_pipeline(
        _pairs(), CalibratedClassifierCV(LinearSVC(), cv=5)
    ),
    "ridge, words+bigrams": lambda: make_pipeline(_pairs(), RidgeClassifier()),
    "LogisticRegression, tuned, words": lambda: make_pipeline(
        TfidfVectorizer(**_TF_IDF), LogisticRegressionCV(Cs=[1, 10, 100], cv=3)
    ),
    "SGD, words+bigrams": lambda: make_pipeline(
        _pairs(), SGDClassifier(loss="log_loss", alpha=1e-5, random_state=0)
    ),
    "ComplementNB, words+bigrams": lambda: make_pipeline(
        CountVectorizer(binary=True, ngram_range=(1, 2)), ComplementNB()
    ),
    "MultinomialNB, words": lambda: make_pipeline(
        CountVectorizer(), MultinomialNB(alpha=0.1)
    ),
    "NB-SVM, words+bigrams": lambda: make_pipeline(
        CountVectorizer(binary=True, ngram_range=(1, 2)),
        OneVsRestClassifier(
            make_pipeline(LogCountRatio(), LogisticRegression(solver="liblinear"))
        ),
    ),
    "fastText, words+bigrams": FastText,
    "Vowpal Wabbit, words+bigrams": VowpalWabbit,
    "river, words": River,
}
