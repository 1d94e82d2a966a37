"""Softmax classifiers written down from co-occurrence counts."""

from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV

__all__ = [
    "ExplicitSoftmaxClassifier",
    "ExplicitSoftmaxClassifierCV",
    "__version__",
]

__version__ = "0.1.0.dev0"
