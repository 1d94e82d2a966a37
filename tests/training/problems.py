"""Small problems, layers to start from, and losses by hand."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from explicit_softmax.training.problem import InputScale, Problem
from tests import oracles


class Windows:
    """Rows that are made when they are asked for, as those of a language model."""

    def __init__(self, X):
        self.X = sp.csr_array(X)
        self.shape, self.dtype = self.X.shape, self.X.dtype

    def __getitem__(self, members):
        return self.X[members]

    def astype(self, dtype):
        return Windows(self.X.astype(dtype))


STORED = [np.asarray, sp.csr_array]
LAYOUTS = [*STORED, Windows]
SOLVERS = ["adagrad", "sgd", "lbfgs"]
STOCHASTIC = ["adagrad", "sgd"]
ONE, TWO, THREE = (5, 3), (5, 4, 3), (5, 4, 4, 3)
SIZES = [ONE, TWO]
# Solver, layout, and depth: each pair of them is in one case or more. L-BFGS takes no
# windows, and goes other ways for dense rows and for one layer.
CASES = [
    ("adagrad", np.asarray, ONE),
    ("adagrad", sp.csr_array, TWO),
    ("adagrad", Windows, ONE),
    ("sgd", np.asarray, TWO),
    ("sgd", sp.csr_array, ONE),
    ("sgd", Windows, TWO),
    ("lbfgs", np.asarray, ONE),
    ("lbfgs", np.asarray, TWO),
    ("lbfgs", sp.csr_array, ONE),
]
each_case = pytest.mark.parametrize(("solver", "layout", "sizes"), CASES)


def noisy_topics(n_rows=90, n_features=5, n_classes=3, seed=0):
    """Rows that no decoder separates: the minimum of the log-loss is attained."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n_rows)
    means = rng.gamma(1.0, 1.0, (n_classes, n_features))
    X = rng.poisson(means[y]).astype(float)
    y[::5] = rng.integers(0, n_classes, len(y[::5]))
    return X, y


def zeros(sizes=ONE):
    shapes = list(itertools.pairwise(sizes))
    return [np.zeros(shape) for shape in shapes], [np.zeros(n) for n in sizes[1:]]


def random_start(sizes=ONE, seed=1):
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) for shape in itertools.pairwise(sizes)]
    return weights, [rng.normal(size=size) for size in sizes[1:]]


def random_weight(y, seed=2):
    return np.random.default_rng(seed).uniform(0.1, 3, len(y))


def problem_of(X, y, start, *, weight=None, mean=None):
    weights, intercepts = map(tuple, start)
    scales = (InputScale(mean), *[InputScale()] * (len(weights) - 1))
    rng = np.random.default_rng(0)
    return Problem(X, y, weight, 0.0, weights, intercepts, scales, rng)


def forward(weights, intercepts, X):
    """Probabilities by the definition of the layers."""
    outputs = np.asarray(X)
    for weight, intercept in zip(weights, intercepts, strict=True):
        outputs = np.exp(oracles.log_probabilities(outputs @ weight + intercept))
    return outputs


def probabilities(result, X):
    return forward(result.weights, result.intercepts, X)


def mean_loss(weights, intercepts, X, y, weight=None):
    scores = np.log(forward(weights, intercepts, X))
    return oracles.mean_loss(scores, y, weight)


def slopes(start, X, y, weight=None):
    """Gradient of the mean loss by finite differences, in the shapes of the start."""
    step = 1e-6
    weights, intercepts = ([array.copy() for array in arrays] for arrays in start)
    found = []
    for array in (*weights, *intercepts):
        slope = np.empty_like(array)
        for place in np.ndindex(array.shape):
            value, ends = array[place], []
            for array[place] in (value + step, value - step):
                ends.append(mean_loss(weights, intercepts, X, y, weight))
            array[place] = value
            slope[place] = (ends[0] - ends[1]) / (2 * step)
        found.append(slope)
    return found[: len(weights)], found[len(weights) :]
