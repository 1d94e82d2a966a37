"""Softmax classifiers written down from co-occurrence counts."""

from explicit_softmax._classifier import ExplicitSoftmaxClassifier

__all__ = ["ExplicitSoftmaxClassifier", "__version__"]

__version__ = "0.1.0.dev0"
