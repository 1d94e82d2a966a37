"""The types that skops has to trust in models of this package."""

from __future__ import annotations

from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV
from explicit_softmax._context import ContextWindowTransformer
from explicit_softmax._language_model import ExplicitLanguageModel
from explicit_softmax._network import ExplicitSoftmaxNetworkClassifier
from explicit_softmax._positive_features import PositiveFeatures
from explicit_softmax._refinement import Refinement
from explicit_softmax._text_classifier import ExplicitTextClassifier
from explicit_softmax.text.features import TextFeatures


def skops_trusted_types() -> list[str]:
    """Types to trust in models of this package that skops, or mlflow with it, saved.

    They are the estimators, and what `ExplicitTextClassifier` has of vectorisers: all
    else that a fitted one has is plain values, arrays, and estimators of scikit-learn,
    which skops trusts. The values and arrays are checked when they are loaded.

    Returns
    -------
    names : list of str
        For ``skops.io.load(path, trusted=...)`` and the parameter `skops_trusted_types`
        of ``mlflow.sklearn.save_model``. Both need it, as for any estimator that is not
        on the list of types that skops has.

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
        ExplicitTextClassifier,
        ExplicitLanguageModel,
        ContextWindowTransformer,
        PositiveFeatures,
        Refinement,
        TextFeatures,
    )
    return [f"{kind.__module__}.{kind.__name__}" for kind in types]
