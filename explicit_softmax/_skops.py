"""The types that skops has to trust in models of this package."""

from __future__ import annotations

from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV
from explicit_softmax._context import ContextWindowTransformer
from explicit_softmax._language_model import ExplicitLanguageModel
from explicit_softmax._network import ExplicitSoftmaxNetworkClassifier
from explicit_softmax._positive_features import PositiveFeatures
from explicit_softmax._refinement import Refinement


def skops_trusted_types() -> list[str]:
    """Types to trust in models of this package that skops, or mlflow with it, saved.

    They are the estimators alone: all that a fitted one has is plain values and arrays,
    which are checked when they are loaded. `ExplicitTextClassifier` is not among them;
    it has a `save` of its own.

    Returns
    -------
    names : list of str
        For ``skops.io.load(path, trusted=...)`` and the parameter `skops_trusted_types`
        of ``mlflow.sklearn.save_model``.

    Examples
    --------
    >>> from explicit_softmax import skops_trusted_types
    >>> skops_trusted_types()[0]
    'explicit_softmax._classifier.ExplicitSoftmaxClassifier'
    """
    types = (
        ExplicitSoftmaxClassifier,
        ExplicitSoftmaxClassifierCV,
        ExplicitSoftmaxNetworkClassifier,
        ExplicitLanguageModel,
        ContextWindowTransformer,
        PositiveFeatures,
        Refinement,
    )
    return [f"{kind.__module__}.{kind.__name__}" for kind in types]
