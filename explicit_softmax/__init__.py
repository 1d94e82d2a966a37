"""Softmax classifiers written down from co-occurrence counts."""

from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV
from explicit_softmax._context import ContextWindowTransformer
from explicit_softmax._displays import (
    LossCurveDisplay,
    PrimingNumberDisplay,
    ReliabilityDisplay,
    TopFeaturesDisplay,
)
from explicit_softmax._language_model import ExplicitLanguageModel
from explicit_softmax._metrics import expected_calibration_error
from explicit_softmax._network import ExplicitSoftmaxNetworkClassifier
from explicit_softmax._onnx import register_onnx_converters
from explicit_softmax._positive_features import PositiveFeatures
from explicit_softmax._refinement import Refinement
from explicit_softmax._skops import skops_trusted_types
from explicit_softmax._text_classifier import ExplicitTextClassifier
from explicit_softmax.text.features import read_labeled_text
from explicit_softmax.text.windows import context_windows

__all__ = [
    "ContextWindowTransformer",
    "ExplicitLanguageModel",
    "ExplicitSoftmaxClassifier",
    "ExplicitSoftmaxClassifierCV",
    "ExplicitSoftmaxNetworkClassifier",
    "ExplicitTextClassifier",
    "LossCurveDisplay",
    "PositiveFeatures",
    "PrimingNumberDisplay",
    "Refinement",
    "ReliabilityDisplay",
    "TopFeaturesDisplay",
    "__version__",
    "context_windows",
    "expected_calibration_error",
    "read_labeled_text",
    "register_onnx_converters",
    "skops_trusted_types",
]

__version__ = "0.2.0"
