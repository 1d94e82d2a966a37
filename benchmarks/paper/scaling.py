"""Fig. 1, left: class mass against power means of co-occurrences, for tokens at K = 1.

With F_di the number of times that token i follows token d, the row of a window has the
geometric mean F_di of the co-occurrences of its only feature. In our reading of the
figure, the point of token i is the K-power mean of these over the windows before it,

    x_i = sum_d F_di ** 2 / S_i,    y_i = S_i = sum_d F_di.

The slope of the least-squares line through the logarithms is 1 where the class mass is
proportional to that mean.

The same counts bound Table 1 at K = 1: no probabilities that depend on the token before
alone have a lower perplexity on these tokens than the relative frequencies F_di / F_d.
"""

from pathlib import Path

import numpy as np
import scipy.special
from numpy.typing import NDArray

from benchmarks.data.corpora import TokenCorpus
from benchmarks.harness import figures
from benchmarks.harness.records import Record
from explicit_softmax import ExplicitLanguageModel


def text_scaling(corpus: TokenCorpus) -> Record:
    """Points of all tokens that follow another, and the line through them."""
    model = ExplicitLanguageModel(
        context_size=1, aggregation="cat", vocabulary_size=corpus.vocabulary_size
    ).fit(corpus.train)
    return scaling(f"{corpus.name}, K = 1", model._model.counts.dense())


def scaling(name: str, counts: NDArray[np.float64]) -> Record:
    """Points of the columns of co-occurrences of one-hot rows."""
    mass = counts.sum(axis=0)
    counts, mass = counts[:, mass > 0], mass[mass > 0]
    means = (counts**2).sum(axis=0) / mass
    slope, middle = np.polyfit(np.log(means), np.log(mass), 1)
    values = {"power_means": means.tolist(), "class_mass": mass.tolist()}
    values |= {"bound": maximum_likelihood_perplexity(counts)}
    return Record(name, values | {"slope": float(slope), "intercept": float(middle)})


def maximum_likelihood_perplexity(counts: NDArray[np.float64]) -> float:
    """Perplexity of targets (columns) by their relative frequencies in each context."""
    nats = scipy.special.entr(counts).sum() - scipy.special.entr(counts.sum(1)).sum()
    return float(np.exp(nats / counts.sum()))


def draw_scaling(path: Path, record: Record) -> None:
    figure, axes = figures.new_figure(1, 1, (5.0, 4.2))
    panel, means = axes[0, 0], np.array(record["power_means"])
    panel.scatter(means, record["class_mass"], s=6, color=figures.BLUE)
    ends = np.array([means.min(), means.max()])
    line = np.exp(record["intercept"]) * ends ** record["slope"]
    label = f"least squares, slope {record['slope']:.2f}"
    panel.plot(ends, line, "--", color=figures.GREY, label=label)
    panel.set(xscale="log", yscale="log", title="A point is a token, K = 1")
    panel.set(xlabel="power mean of co-occurrences", ylabel="class mass")
    panel.legend()
    figures.save(figure, path)
