"""Softmax classifiers written down from co-occurrence counts."""

from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV
from explicit_softmax._displays_losses import LossCurveDisplay
from explicit_softmax._displays_priming import PrimingNumberDisplay
from explicit_softmax._displays_scaling import CooccurrenceScalingDisplay
from explicit_softmax._displays_templates import ClassTemplateDisplay

__all__ = [
    "ClassTemplateDisplay",
    "CooccurrenceScalingDisplay",
    "ExplicitSoftmaxClassifier",
    "ExplicitSoftmaxClassifierCV",
    "LossCurveDisplay",
    "PrimingNumberDisplay",
    "__version__",
]

__version__ = "0.1.0.dev0"
