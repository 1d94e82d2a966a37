"""Converters to ONNX, by which skl2onnx knows the estimators of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._classifier import ExplicitSoftmaxClassifier
from explicit_softmax._classifier_cv import ExplicitSoftmaxClassifierCV
from explicit_softmax._network import ExplicitSoftmaxNetworkClassifier
from explicit_softmax._positive_features import PositiveFeatures
from explicit_softmax.solution.counts import SCALE_BITS
from explicit_softmax.solution.decoder import Decoder

# Protocol buffers, of which an ONNX file is one, end at 2 GiB.
_MOST_BYTES = 2**31 - 2**20

# Numbers of types in ONNX.
_ONNX_TYPES = {"float32": 1, "float64": 11}


def register_onnx_converters() -> None:
    """Make skl2onnx know the estimators of this package.

    To be called once before ``skl2onnx.to_onnx`` is given an
    `ExplicitSoftmaxClassifier`, `ExplicitSoftmaxClassifierCV`,
    `ExplicitSoftmaxNetworkClassifier`, or `PositiveFeatures`, alone or as a step of a
    pipeline: skl2onnx looks for no converters of other packages by itself.

    Raises
    ------
    ImportError
        If skl2onnx is missing: ``pip install 'explicit_softmax[onnx]'``.

    Notes
    -----
    Weights become dense, ``n_features * n_classes`` numbers, which must take less than
    2 GiB. They have the type of the input: float32, or float64 for a
    ``DoubleTensorType``. Labels are strings or integers. An ONNX model cannot refuse
    rows: those with negative features or NaN, for which `predict_proba` raises, get
    numbers without meaning. The options ``zipmap``, ``nocl``, ``raw_scores`` (of
    `decision_function`), and ``output_class_labels`` of skl2onnx are those of other
    classifiers.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifier, register_onnx_converters
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifier().fit(X, y)
    >>> register_onnx_converters()
    >>> example = X[:1].astype(np.float32)
    >>> model = skl2onnx.to_onnx(clf, example, options={"zipmap": False})
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    try:
        import skl2onnx
        from skl2onnx.common.shape_calculator import (
            calculate_linear_classifier_output_shapes,
        )
    except ImportError as error:
        raise ImportError(
            "conversion to ONNX needs skl2onnx: pip install 'explicit_softmax[onnx]'"
        ) from error
    for kind in (
        ExplicitSoftmaxClassifier,
        ExplicitSoftmaxClassifierCV,
        ExplicitSoftmaxNetworkClassifier,
    ):
        skl2onnx.update_registered_converter(
            kind,
            kind.__name__,
            calculate_linear_classifier_output_shapes,
            _convert,
            options={
                "zipmap": [True, False, "columns"],
                "nocl": [True, False],
                "output_class_labels": [True, False],
                "raw_scores": [True, False],
            },
        )
    skl2onnx.update_registered_converter(
        PositiveFeatures,
        PositiveFeatures.__name__,
        _set_shape_of_positive,
        _convert_positive,
    )


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of a fitted classifier to an ONNX graph."""
    from skl2onnx.algebra import onnx_ops as onnx
    from skl2onnx.common.utils_classifier import get_label_classes

    clf, features = operator.raw_operator, operator.inputs[0]
    check_is_fitted(clf)
    opset = {"op_version": container.target_opset}
    dtype = _float_type(features)
    decoders = clf._model.decoders
    _check_size(decoders, dtype)

    outputs = onnx.OnnxCast(features, to=_ONNX_TYPES[dtype.name], **opset)
    if clf.clip:
        outputs = onnx.OnnxRelu(outputs, **opset)
    for number, decoder in enumerate(decoders):
        if number:
            outputs = onnx.OnnxSoftmax(outputs, axis=1, **opset)
        outputs = _scores(outputs, decoder, dtype, opset)
    named = {"output_names": operator.outputs[1:2], **opset}
    if not container.get_options(clf, {"raw_scores": False})["raw_scores"]:
        result = onnx.OnnxSoftmax(outputs, axis=1, **named)
    elif len(clf.classes_) == 2:
        odds = np.array([[1, -1], [-1, 1]], dtype=dtype)  # of either class
        result = onnx.OnnxMatMul(outputs, odds, **named)
    else:
        result = onnx.OnnxLogSoftmax(outputs, axis=1, **named)
    result.add_to(scope, container)

    classes = get_label_classes(scope, clf)
    is_text = isinstance(classes.tolist()[0], str)
    classes = classes.astype(str if is_text else np.int64)
    best = onnx.OnnxArgMax(outputs, axis=1, keepdims=0, **opset)
    labels = onnx.OnnxGather(
        classes, best, axis=0, output_names=operator.outputs[:1], **opset
    )
    labels.add_to(scope, container)


def _scores(
    rows: Any, decoder: Decoder, dtype: np.dtype[Any], opset: dict[str, int]
) -> Any:
    """Nodes that give what `decoder.scores` gives for the rows of another node."""
    from skl2onnx.algebra import onnx_ops as onnx

    def constant(values: Any, dtype: Any = dtype) -> Any:
        return np.asarray(values, dtype=dtype)

    scores = onnx.OnnxMatMul(rows, constant(decoder.dense_weights()), **opset)
    if not decoder.norm_exponent and decoder.zero_row_scores is None:
        return onnx.OnnxAdd(scores, constant(decoder.intercept[None]), **opset)
    # Norms and factors in double precision, as in `row_scale`.
    double = onnx.OnnxCast(rows, to=_ONNX_TYPES["float64"], **opset)
    norms = onnx.OnnxReduceSumApi11(double, axes=[1], keepdims=1, **opset)
    is_empty = onnx.OnnxEqual(norms, constant([0.0], float), **opset)
    if decoder.norm_exponent:
        filled = onnx.OnnxWhere(is_empty, constant([1.0], float), norms, **opset)
        exponent = constant([-decoder.norm_exponent], float)
        scale = onnx.OnnxPow(filled, exponent, **opset)
        # Dekker's way to round to fewer bits: c x - (c x - x) has lost the low ones.
        n_lost = np.finfo(float).nmant + 1 - SCALE_BITS
        large = onnx.OnnxMul(scale, constant([2.0**n_lost + 1.0], float), **opset)
        low = onnx.OnnxSub(large, scale, **opset)
        rounded = onnx.OnnxSub(large, low, **opset)
        factors = onnx.OnnxCast(rounded, to=_ONNX_TYPES[dtype.name], **opset)
        scores = onnx.OnnxMul(scores, factors, **opset)
    scores = onnx.OnnxAdd(scores, constant(decoder.intercept[None]), **opset)
    if decoder.zero_row_scores is None:
        return scores
    empty = constant(decoder.zero_row_scores[None])
    return onnx.OnnxWhere(is_empty, empty, scores, **opset)


def _check_size(decoders: tuple[Decoder, ...], dtype: Any) -> None:
    """ValueError if dense weights are more than an ONNX file can hold."""
    n_values = sum(np.prod(decoder.weights.shape, dtype=int) for decoder in decoders)
    n_bytes = int(n_values) * np.dtype(dtype).itemsize
    if n_bytes > _MOST_BYTES:
        raise ValueError(
            f"the dense weights of this model take {n_bytes / 2**30:.1f} GiB, and an "
            "ONNX file can hold 2: leave out features or classes"
        )


def _float_type(features: Any) -> np.dtype[Any]:
    """Type in which the features of an operator are worked with."""
    from skl2onnx.common.data_types import DoubleTensorType

    # Integers and booleans become float32.
    is_double = isinstance(features.type, DoubleTensorType)
    return np.dtype(np.float64 if is_double else np.float32)


def _set_shape_of_positive(operator: Any) -> None:
    """Declare the output of PositiveFeatures."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    features = operator.inputs[0]
    is_double = _float_type(features) == np.float64
    kind = DoubleTensorType if is_double else FloatTensorType
    n_outputs = len(operator.raw_operator.get_feature_names_out())
    operator.outputs[0].type = kind([features.get_first_dimension(), n_outputs])


def _convert_positive(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of fitted PositiveFeatures to an ONNX graph."""
    from skl2onnx.algebra import onnx_ops as onnx

    transformer, features = operator.raw_operator, operator.inputs[0]
    opset = {"op_version": container.target_opset}
    rows = onnx.OnnxCast(features, to=_ONNX_TYPES["float64"], **opset)
    if hasattr(transformer, "knots_"):
        feature, knot, rise, fall = _hat_functions(transformer.knots_)
        distance = onnx.OnnxSub(
            onnx.OnnxGather(rows, feature, axis=1, **opset), knot, **opset
        )
        below = onnx.OnnxMul(distance, rise, **opset)
        above = onnx.OnnxMul(distance, -fall, **opset)
        hats = onnx.OnnxAdd(onnx.OnnxMin(below, above, **opset), np.ones(1), **opset)
        positive = onnx.OnnxRelu(hats, **opset)
    else:
        scaled = onnx.OnnxDiv(rows, transformer.scale_[None], **opset)
        parts = scaled, onnx.OnnxNeg(scaled, **opset)
        positive = onnx.OnnxRelu(onnx.OnnxConcat(*parts, axis=1, **opset), **opset)
    to = _ONNX_TYPES[_float_type(features).name]
    result = onnx.OnnxCast(positive, to=to, output_names=operator.outputs[:1], **opset)
    result.add_to(scope, container)


def _hat_functions(all_knots: list[NDArray[np.float64]]) -> tuple[NDArray[Any], ...]:
    """Feature, knot, and slopes below and above the knot of each bin."""
    feature = np.repeat(np.arange(len(all_knots)), [len(knots) for knots in all_knots])
    slopes = [1.0 / np.diff(knots) for knots in all_knots]
    rise = np.concatenate([np.append(0.0, slope) for slope in slopes])
    fall = np.concatenate([np.append(slope, 0.0) for slope in slopes])
    return feature, np.concatenate(all_knots), rise, fall
