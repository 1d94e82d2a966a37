"""Fig. 1, left: class mass against power means of co-occurrences.

With F_di the co-occurrence of feature d and class i, unsmoothed, a row h of class i has
the geometric mean g_h = exp(h.log F_i / |h|) of the co-occurrences of its features. In
our reading of the figure, the point of class i is

- x_i = (mean over the rows of class i of g_h ** K) ** (1/K), and
- y_i = S_i = sum_d F_di.

The slope of the least-squares line through the logarithms is 1 where the class mass is
proportional to that mean. The paper's classes are tokens, at K = 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import logsumexp

from benchmarks.data.corpora import TokenCorpus, windows
from benchmarks.data.images import Images
from benchmarks.harness import figures
from benchmarks.harness.records import Record
from explicit_softmax.solution.counts import CooccurrenceCounts, row_norms, values_at

# Windows that the means are taken over, at most.
_WINDOWS = 500_000


def image_scaling(images: Images) -> Record:
    """Points of the classes of images."""
    classes, y = np.unique(images.y_train, return_inverse=True)
    norm = float(images.X_train.sum(axis=1, dtype=np.float64).mean())
    return scaling(images.title, sp.csr_array(images.X_train), y, len(classes), norm)


def text_scaling(corpus: TokenCorpus) -> Record:
    """Points of the tokens of a corpus that follow another, K = 1."""
    rows = windows(corpus.train, 1, corpus.vocabulary_size)
    part = slice(0, min(_WINDOWS, rows.shape[0]))
    y = rows.stream.targets[part]
    n_classes = corpus.vocabulary_size - 1
    return scaling(f"{corpus.name}, K = 1", sp.csr_array(rows[part]), y, n_classes, 1.0)


def scaling(
    model: str, X: sp.csr_array, y: NDArray[Any], n_classes: int, priming_number: float
) -> Record:
    """Power means and class masses of the classes that rows have, and the slope."""
    counts = CooccurrenceCounts.from_rows(X, y, n_classes)
    means = power_means(counts, X, y, priming_number)
    seen = means > 0
    means, mass = means[seen], counts.class_mass[seen]
    slope, middle = np.polyfit(np.log(means), np.log(mass), 1)
    values = {"power_means": means.tolist(), "class_mass": mass.tolist()}
    values |= {"slope": float(slope), "intercept": float(middle)}
    return Record(model, values, kind="scaling")


def power_means(
    counts: CooccurrenceCounts, X: sp.csr_array, y: NDArray[Any], priming_number: float
) -> NDArray[np.float64]:
    """x of each class; 0 where no row has the class and a feature."""
    norms = row_norms(X)
    filled = np.flatnonzero(norms > 0)
    X, y, norms = X[filled], y[filled], norms[filled]
    row = np.repeat(np.arange(len(y)), np.diff(X.indptr))
    counted = values_at(counts.cooccurrence, X.indices, y[row])
    sums = np.bincount(row, weights=X.data * np.log(counted), minlength=len(y))
    powers = priming_number * sums / norms
    means = np.zeros(counts.n_classes)
    for label in np.unique(y):
        own = powers[y == label]
        means[label] = np.exp((logsumexp(own) - np.log(len(own))) / priming_number)
    return means


def draw_scaling(path: Path, records: list[Record]) -> None:
    """A panel for each data set."""
    figure, axes = figures.new_figure(1, len(records), (5.0 * len(records), 4.2))
    for panel, record in zip(axes[0], records, strict=True):
        means = np.array(record["power_means"])
        size = 24 if len(means) < 30 else 6
        panel.scatter(means, record["class_mass"], s=size, color=figures.BLUE)
        ends = np.array([means.min(), means.max()])
        line = np.exp(record["intercept"]) * ends ** record["slope"]
        label = f"least squares, slope {record['slope']:.2f}"
        panel.plot(ends, line, "--", color=figures.GREY, label=label)
        panel.set(xscale="log", yscale="log", title=record.model, ylabel="class mass")
        panel.set_xlabel("K-power mean of geometric means of co-occurrences")
        panel.legend()
    figures.save(figure, path)
