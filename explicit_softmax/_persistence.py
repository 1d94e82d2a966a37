"""Fitted estimators as plain values and arrays: for files, pickles, and skops.

What an estimator has is taken apart into numbers, strings, lists, dictionaries, and
arrays, and put together again from these. Whatever a file says, only the types below
are made, and every array is checked before anything else sees it.
"""

from __future__ import annotations

import os
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._model_file import complaint_about, read_file, write_file
from explicit_softmax._refinement import Refinement
from explicit_softmax.calibration.layers import ExplicitNetwork
from explicit_softmax.calibration.model import (
    Choice,
    ExplicitModel,
    Refined,
    Settings,
)
from explicit_softmax.calibration.sample import Limit, RowSample
from explicit_softmax.solution.counts import CooccurrenceCounts, row_norms, row_scale
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.smoothing import Smoothing
from explicit_softmax.solution.theorem import Calibration
from explicit_softmax.text.kneser_ney import KneserNey
from explicit_softmax.text.language import WindowEncoder
from explicit_softmax.text.mixture import DocumentSample, start_weights
from explicit_softmax.text.ngram_model import NgramModel
from explicit_softmax.text.ngrams import NgramCounts
from explicit_softmax.text.skips import skip_distances
from explicit_softmax.text.tokens import TokenIds, tokenizers_library

# What a file may make an instance of.
_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Calibration,
        Choice,
        CooccurrenceCounts,
        Decoder,
        DocumentSample,
        ExplicitModel,
        ExplicitNetwork,
        KneserNey,
        Limit,
        NgramCounts,
        NgramModel,
        Refined,
        Refinement,
        RowSample,
        Settings,
        TokenIds,
        WindowEncoder,
    )
}

# Key of a dictionary that stands for something else.
_KIND = "kind"


class Persistent:
    """Saves and loads a fitted estimator, and pickles it as plain arrays."""

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        compress: bool = False,
        keep_rows: bool = True,
    ) -> None:
        """Write the fitted model to a file, without pickle.

        The file is one of safetensors, whatever its name: arrays, and a record in JSON.
        An existing file is replaced only when the new one is complete.

        Parameters
        ----------
        path : str or path-like
            Where to write.
        compress : bool, default=False
            Whether to compress the arrays. `load` cannot map these into memory.
        keep_rows : bool, default=True
            Whether to write the sampled training rows, by which leave-one-out chooses,
            too. They are rows of the training data as they were given. Without them the
            model predicts the same, but takes no more rows and gives none back if
            something of it was chosen by them.

        Warns
        -----
        UserWarning
            If a parameter is an object that such a file cannot hold, as a splitter, a
            clusterer, or a function: the model that is loaded has its default.
        """
        check_is_fitted(self)
        arrays: dict[str, NDArray[Any]] = {}
        lost: list[str] = []
        record = self._as_record(arrays, lost, keep_rows)
        if lost:
            warnings.warn(
                f"files of models cannot hold the parameters {lost}: they will have "
                "their defaults when the model is loaded",
                stacklevel=2,
            )
        write_file(path, record, arrays, compress=compress)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read. Nothing in it is executed, and all of it is checked.
        mmap : bool, default=False
            Whether arrays stay in the file, which must not change while the model is
            used, and are read when they are needed. Processes share them. Damage of
            such arrays may not be noticed.

        Returns
        -------
        model : estimator
            With the same parameters, counts, and probabilities.

        Raises
        ------
        ValueError
            If the file is truncated or damaged, or holds no such model.
        """
        record, arrays = read_file(path, mmap=mmap)
        with complaint_about(path):
            return cls._from_record(record, arrays)

    def _as_record(
        self, arrays: dict[str, NDArray[Any]], lost: list[str], keep_rows: bool
    ) -> dict[str, Any]:
        """The fitted estimator as JSON has it; arrays and lost parameters are added."""
        params = _plain_params(self, "", arrays, lost)
        fitted = {
            name: _plain(_stored(value, keep_rows), name.strip("_"), arrays)
            for name, value in vars(self).items()
            if _is_fitted_attribute(name)
        }
        return {"class": type(self).__name__, "params": params, "fitted": fitted}

    @classmethod
    def _from_record(
        cls, record: dict[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Self:
        if record["class"] != cls.__name__:
            raise ValueError(f"it holds another class: {record['class']!s:.50}")
        params, fitted = (
            {name: _made(node, arrays) for name, node in record[part].items()}
            for part in ("params", "fitted")
        )
        model = cls(**params)
        model._validate_params()  # type: ignore[attr-defined]
        for name, value in fitted.items():
            if not _is_fitted_attribute(name) or hasattr(cls, name):
                raise ValueError(f"{name!r:.50} is no attribute of a fitted model")
            setattr(model, name, value)
        model._check_consistent()
        return model

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {name: _state(value) for name, value in state.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(  # type: ignore[misc]
            {
                name: _made(value["record"], value["arrays"])
                if isinstance(value, dict) and value.get(_KIND) == "state"
                else value
                for name, value in state.items()
            }
        )

    def _check_consistent(self) -> None:
        """ValueError unless the fitted attributes fit together."""

    def _has_columns(self) -> bool:
        """Whether there is a number of features, and a name for each if any."""
        number, names = (
            vars(self).get(name) for name in ("n_features_in_", "feature_names_in_")
        )
        named = names is None or (
            isinstance(names, np.ndarray) and names.shape == (number,)
        )
        return type(number) is int and number >= 1 and named


def _is_fitted_attribute(name: str) -> bool:
    public = name.endswith("_") and not name.startswith("_")
    return public or name in ("_model", "_encoder")


def _stored(value: Any, keep_rows: bool) -> Any:
    """A fitted attribute as it is saved."""
    if not isinstance(value, ExplicitModel | NgramModel):
        return value
    return value.stored() if keep_rows else value.without_sample()


def _state(value: Any) -> Any:
    """An attribute for pickles and skops: types of this package become plain."""
    if type(value) not in _TYPES.values() or isinstance(value, BaseEstimator):
        return value
    arrays: dict[str, NDArray[Any]] = {}
    record = _plain(_stored(value, True), "", arrays)
    return {_KIND: "state", "record": record, "arrays": arrays}


def _plain(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """A value as JSON has it; its arrays are put into `arrays`."""

    def inner(part: Any, key: Any) -> Any:
        return _plain(part, f"{name}.{key}", arrays)

    kind = type(value).__name__
    if isinstance(value, np.generic):
        return {_KIND: "scalar", "dtype": value.dtype.str, "value": value.item()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        parts = [inner(part, i) for i, part in enumerate(value)]
        return parts if isinstance(value, list) else {_KIND: "tuple", "items": parts}
    if isinstance(value, dict):
        parts = [inner(list(part), key) for key, part in enumerate(value.items())]
        return {_KIND: "dict", "items": parts}
    if isinstance(value, np.dtype | type) and np.dtype(value).kind == "f":
        return {_KIND: "dtype", "name": np.dtype(value).str}
    if sp.issparse(value):
        rows = sp.csr_array(value)
        if not rows.has_canonical_format:
            rows = rows.copy()
            rows.sum_duplicates()
        names = ("data", "indices", "indptr")
        node = {_KIND: "csr", "width": rows.shape[1]}
        return node | {part: inner(getattr(rows, part), part) for part in names}
    if isinstance(value, np.ndarray):
        return _plain_array(value, name, arrays)
    if _TYPES.get(kind) is type(value):
        own = {name: inner(getattr(value, name), name) for name in _fields(value)}
        return {_KIND: kind, "fields": own}
    if hasattr(value, "to_str"):
        return {_KIND: "tokenizer", "json": value.to_str()}
    raise TypeError(f"{name} is of a type that files of models cannot hold: {kind}")


def _fields(value: Any) -> list[str]:
    return [field.name for field in fields(value)]


def _plain_params(
    estimator: BaseEstimator,
    prefix: str,
    arrays: dict[str, NDArray[Any]],
    lost: list[str],
) -> dict[str, Any]:
    """Parameters that JSON and arrays can hold; the names of others go to `lost`."""
    params = {}
    for name, value in estimator.get_params(deep=False).items():
        full = prefix + name
        if isinstance(value, Refinement):
            inner = _plain_params(value, f"{full}__", arrays, lost)
            params[name] = {_KIND: "Refinement", "fields": inner}
            continue
        try:
            params[name] = _plain(value, full, arrays)
        except TypeError:
            lost.append(full)
    return params


def _plain_array(
    value: NDArray[Any], name: str, arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    if value.dtype.kind == "O":
        if value.ndim != 1:
            raise TypeError(f"{name} is an array of objects, which cannot be saved")
        parts = [_plain(part, f"{name}.{i}", arrays) for i, part in enumerate(value)]
        return {_KIND: "objects", "items": parts}
    # Products may differ in the last bit for another order in memory.
    order = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    array = np.ascontiguousarray(value.T if order == "F" else value)
    array = array.reshape(value.T.shape if order == "F" else value.shape)
    node: dict[str, Any] = {
        _KIND: "array",
        "name": name,
        "order": order,
        "strings": None,
    }
    if value.dtype.kind in "US":
        code = np.uint32 if value.dtype.kind == "U" else np.uint8
        array = array.astype(array.dtype.newbyteorder("="))
        array = array.reshape(-1, 1).view(code)
        node["strings"] = value.dtype.kind
        if value.ndim != 1:
            raise TypeError(f"{name} is an array of strings of several dimensions")
    elif value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
        raise TypeError(f"{name} is an array of {value.dtype}, which cannot be saved")
    for other, stored in arrays.items():
        if _is_same(array, stored):  # once in the file is enough
            return node | {"name": other}
    arrays[name] = array
    return node


def _is_same(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether both are the same memory, seen in the same way."""
    parts = ("data", "shape", "typestr", "strides")
    one, other = first.__array_interface__, second.__array_interface__
    return first.size > 0 and all(one[part] == other[part] for part in parts)


def _made(node: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """What `_plain` made plain; ValueError if it is nothing that can be."""
    if isinstance(node, list):
        return [_made(part, arrays) for part in node]
    if not isinstance(node, dict):
        return node
    kind = node[_KIND]
    if kind in _TYPES:
        own = {name: _made(part, arrays) for name, part in node["fields"].items()}
        made = _TYPES[kind](**own)
        if isinstance(made, BaseEstimator):
            made._validate_params()
        else:
            _check(made)
        return made
    if kind == "tuple":
        return tuple(_made(part, arrays) for part in node["items"])
    if kind == "dict":
        return dict(_made(part, arrays) for part in node["items"])
    if kind == "objects":
        parts = [_made(part, arrays) for part in node["items"]]
        array = np.empty(len(parts), dtype=object)
        array[:] = parts
        return array
    if kind == "scalar":
        dtype = np.dtype(node["dtype"])
        if dtype.kind not in "biufU" or dtype.itemsize > 2**10:
            raise ValueError("a number of it is of no known type")
        return dtype.type(node["value"])
    if kind == "dtype":
        dtype = np.dtype(node["name"])
        if dtype not in (np.float32, np.float64):
            raise ValueError("its numbers are of no known type")
        return dtype
    if kind == "tokenizer":
        return tokenizers_library().Tokenizer.from_str(node["json"])
    if kind == "csr":
        data, indices, indptr = (
            _made(node[part], arrays) for part in ("data", "indices", "indptr")
        )
        return _csr(data, indices, indptr, node["width"])
    if kind != "array":
        raise ValueError("a part of it is of no known kind")
    array = arrays[node["name"]]
    if node["strings"] is not None:
        return _strings(array, node["strings"])
    return array.T if node["order"] == "F" else array


def _strings(codes: NDArray[Any], kind: str) -> NDArray[Any]:
    """Strings of the same length from their characters (n_strings, length)."""
    wanted = {"U": np.uint32, "S": np.uint8}[kind]
    if codes.ndim != 2 or codes.dtype != wanted or codes.max(initial=0) > 0x10FFFF:
        raise ValueError("an array of strings has characters that are none")
    if not codes.shape[1]:
        return np.zeros(len(codes), dtype=f"{kind}1")
    return np.ascontiguousarray(codes).view(f"{kind}{codes.shape[1]}")[:, 0]


def _csr(data: Any, indices: Any, indptr: Any, width: Any) -> sp.csr_array:
    """A sparse array; ValueError unless it is one in canonical format.

    SciPy trusts what it is given, and would read and write any memory.
    """
    for part, kinds in ((data, "f"), (indices, "i"), (indptr, "i")):
        if not isinstance(part, np.ndarray) or part.ndim != 1:
            raise ValueError("a sparse array of it has a part that is none")
        if part.dtype.kind not in kinds or part.dtype.itemsize < 4:
            raise ValueError("a sparse array of it has a part of the wrong type")
    right = type(width) is int and 0 <= width < 2**62 and indptr.size >= 1
    right = right and indptr[0] == 0 and bool((indptr[1:] >= indptr[:-1]).all())
    right = right and indptr[-1] == indices.size == data.size
    if right and indices.size:
        right = indices.min() >= 0 and indices.max() < width
        falls = np.flatnonzero(indices[1:] <= indices[:-1]) + 1
        # Only the first column of a row may be left of the one before it.
        right = right and np.isin(falls, indptr).all()
    if not right:
        raise ValueError("a sparse array of it has indices that are out of order")
    array = sp.csr_array((data, indices, indptr), shape=(len(indptr) - 1, width))
    array.has_canonical_format = True
    return array


def _check(made: Any) -> None:
    """ValueError unless the fields have their types, and fit together."""
    for name, hint in get_type_hints(type(made)).items():
        if not _is_of(getattr(made, name), hint):
            raise ValueError(f"its {name} is of the wrong type")
    if not _CHECKS.get(type(made), lambda made: True)(made):
        raise ValueError(f"its {type(made).__name__} has parts that do not fit")


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that an annotation says, as far as it says it."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_is_of(value, part) for part in args)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin is np.ndarray:
        wanted = get_args(args[1])[0]
        wanted = get_origin(wanted) or wanted
        return isinstance(value, np.ndarray) and (
            wanted is Any or bool(np.issubdtype(value.dtype, wanted))
        )
    if origin in (list, tuple):
        return isinstance(value, origin) and all(_is_of(v, args[0]) for v in value)
    if hint is float:
        return isinstance(value, float) or type(value) is int
    if hint is int:
        return type(value) is int
    return isinstance(value, hint)


# Numbers that a model chooses are smaller, and float32 holds products of larger ones
# no more.
_MOST = 1e30


# Probabilities in float32 may be a little above one.
_MOST_PROBABILITY = 1 + 1e-6


def _numbers(
    *values: Any, least: float = -np.inf, above: float = -np.inf, most: float = np.inf
) -> bool:
    """Whether all are real numbers, or arrays of them, finite and in a range."""
    for value in values:
        array = np.asarray(value.data if sp.issparse(value) else value)
        if array.dtype.kind not in "iuf":
            return False
        # The extremes are NaN if a number is, and NaN compares as false.
        ends = np.array([array.min(), array.max()] if array.size else [], float)
        inside = np.isfinite(ends) & (ends >= least) & (ends > above) & (ends <= most)
        if not inside.all():
            return False
    return True


def _counts_fit(counts: CooccurrenceCounts) -> bool:
    shape = counts.cooccurrence.shape
    if len(shape) != 2 or counts.class_count.shape != shape[1:]:
        return False
    if counts.cooccurrence.dtype != np.float64:
        return False
    numbers = (
        *(counts.cooccurrence, counts.class_count, counts.n_nonzero),
        *(counts.past_mass, counts.past_count),
    )
    if not _numbers(*numbers, least=0):
        return False
    frequency = counts.document_frequency
    if frequency is not None and not (
        frequency.shape == shape[:1] and _numbers(frequency, least=0)
    ):
        return False
    # Each row has each feature at most once, and a class that was never counted none.
    most = shape[0] * counts.class_count.sum() * (1 + 1e-6)
    seen = counts.class_count[counts.class_mass > 0] > 0
    return bool(counts.n_nonzero <= most and seen.all())


def _sample_fits(sample: RowSample) -> bool:
    shape = sample.y.shape
    return (
        len(shape) == 1
        and sample.X.ndim == 2
        and shape == sample.X.shape[:1] == sample.weights.shape == sample.keys.shape
        and sample.X.dtype.kind == "f"
        and sample.y.dtype.kind == "i"
        and isinstance(sample.threshold, np.uint64)
        and _numbers(sample.X, least=0)
        and _numbers(sample.weights, above=0)
        and bool((sample.keys[1:] >= sample.keys[:-1]).all())
    )


def _settings_fit(settings: Settings) -> bool:
    words = {"auto", "mean_norm"}
    given = [
        value
        for value in (settings.priming_number, settings.smoothing_strength)
        if not (isinstance(value, str) and value in words)
    ]
    given += [] if settings.row_norm is None else [settings.row_norm]
    return (
        _is_of(settings.smoothing, Smoothing)
        and settings.translation in ("column", "intercept", "exact")
        and not any(np.ndim(value) for value in (*given, settings.norm_exponent))
        and _numbers(*given, above=0)
        and _numbers(settings.norm_exponent, least=0)
    )


def _calibration_fits(calibration: Calibration) -> bool:
    shifts = calibration.intercept_shift, calibration.column_shift
    return (
        calibration.beta.ndim == 1
        and _numbers(calibration.beta, least=0, most=_MOST)
        and _numbers(calibration.priming_number, above=0)
        and _numbers(calibration.norm_weight, least=0, most=1)
        and _numbers(*shifts, least=-_MOST, most=_MOST)
    )


def _decoder_fits(decoder: Decoder) -> bool:
    weights, n_classes = decoder.weights, decoder.intercept.shape
    zero = decoder.zero_row_scores
    zero = decoder.intercept if zero is None else zero
    parts = weights, decoder.left, decoder.right, decoder.intercept, zero
    return (
        {part.dtype.kind for part in parts} == {"f"}
        and weights.ndim == decoder.left.ndim == decoder.right.ndim == 2
        and weights.shape == (decoder.left.shape[0], decoder.right.shape[0])
        and decoder.left.shape[1] == decoder.right.shape[1]
        and n_classes == zero.shape == weights.shape[1:]
        and _numbers(*parts)
        and _numbers(decoder.norm_exponent, least=0)
    )


def _layers_fit(decoders: tuple[Decoder, ...], shape: tuple[int, ...]) -> bool:
    """Whether decoders follow each other, from the features to the classes."""
    shapes = [decoder.weights.shape for decoder in decoders]
    widths = [shape[0], *(width for _, width in shapes)]
    return widths[:-1] == [width for width, _ in shapes] and widths[-1] == shape[1]


def _was_counted(model: ExplicitModel) -> bool:
    """Whether sampled rows can be among those counted."""
    sample, counts = model.sample, model.counts
    y, n_classes = sample.y, counts.n_classes
    if sample.X.shape[1] != counts.n_features:
        return False
    if not (y.min(initial=0) >= 0 and y.max(initial=0) < n_classes):
        return False
    norms = row_norms(sample.X)
    scale = row_scale(norms, model.settings.norm_exponent)
    if not (scale.all() and np.isfinite(scale).all()):
        return False
    # Rows that were forgotten in other parts than they were counted may still be there.
    return bool(counts.class_mass.any() or not norms.any())


def _model_fits(model: ExplicitModel) -> bool:
    shape = n_features, n_classes = model.counts.cooccurrence.shape
    n_blocks = len(model.settings.blocks(n_features))
    model.settings.given_numbers(n_blocks)
    right = n_blocks > 0 and isinstance(model.dtype, np.dtype)
    right = right and _was_counted(model)
    if model.choice is not None:
        calibration = model.choice.calibration
        shifts = calibration.intercept_shift, calibration.column_shift
        right = right and len(calibration.beta) in (n_blocks, n_features)
        right = right and _numbers(model.choice.smoothing_strength, above=0, most=_MOST)
        right = right and all(np.shape(s) in ((), (n_classes,)) for s in shifts)
    if model.prior is not None:
        right = right and model.prior.shape == (n_classes,)
        right = right and _numbers(model.prior, above=0)
    if model.refined is not None:
        right = right and _layers_fit(model.refined.decoders, shape)
    return bool(right)


def _network_fits(network: ExplicitNetwork) -> bool:
    shapes = [layer.counts.cooccurrence.shape for layer in network.layers]
    right = bool(shapes) and all(
        first[1] == second[0] for first, second in pairwise(shapes)
    )
    if right and network.refined is not None:
        ends = shapes[0][0], shapes[-1][1]
        right = _layers_fit(network.refined.decoders, ends)
    return right


def _ngrams_fit(ngrams: NgramCounts) -> bool:
    """Whether keys rise, and lead from each context to the one without its farthest."""
    n_ids = ngrams.n_ids
    if not 2 <= n_ids < 2**31 or not ngrams.contexts:
        return False
    n_shorter = int(ngrams.contexts[0].size > 0)  # the context of no token
    for keys in (*ngrams.contexts, ngrams.keys):
        if keys.ndim != 1:
            return False
        # Every context is there for the longer ones, or windows, that begin with it.
        shorter = keys // n_ids
        steps = np.diff(shorter, prepend=-1, append=n_shorter)
        if steps.max() > 1 or steps[-1] != 1 or not _rise(keys, n_shorter * n_ids):
            return False
        n_shorter = keys.size
    counts = ngrams.counts
    n_targets = n_ids - (not ngrams.has_ends)
    return (
        counts.shape == ngrams.keys.shape
        and bool((ngrams.keys % n_ids < n_targets).all())
        and counts.dtype.kind == "u"
        and bool((counts > 0).all())
    )


def _rise(keys: NDArray[Any], stop: int) -> bool:
    """Whether keys rise, from 0 to below `stop`."""
    if keys.ndim != 1 or not keys.size:
        return keys.ndim == 1
    return bool(keys[0] >= 0 and keys[-1] < stop and (keys[1:] > keys[:-1]).all())


def _are_between(values: NDArray[Any], size: int, most: float) -> bool:
    """Whether there are `size` numbers from 0 to `most`."""
    return values.shape == (size,) and _numbers(values, least=0, most=most)


def _kneser_ney_fits(model: KneserNey) -> bool:
    """Whether contexts and n-grams lead to shorter ones that are there."""
    n_ids, n_classes, size = model.n_ids, model.n_classes, model.context_size
    lengths = len(model.keys), len(model.proba) - 1, len(model.backoff)
    right = 2 <= n_ids < 2**31 and n_classes in (n_ids - 1, n_ids) and size > 0
    if not right or lengths != (size, size, size):
        return False
    if model.discounts is not None and model.discounts.shape != (size + 1, 3):
        return False
    n_shorter = 1
    right = _are_between(model.proba[0], n_classes, _MOST_PROBABILITY)
    for contexts, keys, proba, backoff in zip(
        model.contexts, model.keys, model.proba[1:], model.backoff, strict=True
    ):
        right = right and _rise(contexts, n_shorter * n_ids)
        n_shorter = contexts.size
        right = right and _rise(keys, n_shorter * n_ids)
        if right and n_classes < n_ids:
            right = bool((keys % n_ids < n_classes).all())
        right = right and _are_between(proba, keys.size, _MOST_PROBABILITY)
        right = right and _are_between(backoff, n_shorter, np.finfo(float).max)
    return right


def _documents_fit(sample: DocumentSample) -> bool:
    tokens, stops, keys = sample.tokens, sample.stops, sample.keys
    right = stops.shape == keys.shape == (stops.size,) and tokens.shape == (
        int(stops[-1]) if stops.size else 0,
    )
    rises = bool((np.diff(stops, prepend=0) > 0).all())
    return right and rises and bool((keys[1:] >= keys[:-1]).all())


def _skips_fit(model: NgramModel) -> bool:
    """Whether contexts that leave tokens out are those of a mixture."""
    if not model.has_skips:
        return not model.skips
    n_ids, size, has_ends = model.shape
    wanted = [(n_ids, len(distances), has_ends) for distances in skip_distances(size)]
    found = [replace(model, counts=None, smoothed=skip).shape for skip in model.skips]
    made_again = model.counts is not None and not found
    is_mixture = model.sample is not None or model.weights is not None
    return is_mixture and bool(wanted) and (made_again or found == wanted)


def _ngram_model_fits(model: NgramModel) -> bool:
    if model.counts is None:
        right = model.smoothed is not None and model.sample is None
    else:
        right = model.smoothed is None or (
            replace(model, counts=None).shape == model.shape
        )
    if not (right and _skips_fit(model)):
        return False
    highest = model.shape[0] - 2
    if model.token_counts is not None:
        right = model.token_counts.shape == (highest + 1,)
        right = right and _numbers(model.token_counts, least=0)
    if model.sample is not None:
        right = right and _numbers(model.sample.tokens, above=-1, most=highest)
    if model.weights is not None:
        start = start_weights(model.shape[1], model.n_skips)
        right = right and model.weights.shape == start.shape
        right = right and _numbers(model.weights, above=0, most=1)
        right = right and bool(np.allclose(model.weights.sum(axis=-1), 1))
    return right


# What has to hold of the fields of a type besides their own types.
_CHECKS: dict[type, Callable[[Any], bool]] = {
    Calibration: _calibration_fits,
    CooccurrenceCounts: _counts_fit,
    Decoder: _decoder_fits,
    DocumentSample: _documents_fit,
    ExplicitModel: _model_fits,
    ExplicitNetwork: _network_fits,
    KneserNey: _kneser_ney_fits,
    NgramCounts: _ngrams_fit,
    NgramModel: _ngram_model_fits,
    Refined: lambda refined: bool(refined.decoders) and refined.n_iter >= 1,
    RowSample: _sample_fits,
    Settings: _settings_fit,
    TokenIds: lambda ids: (
        3 <= ids.size < 2**31
        and (ids.tokenizer is None or hasattr(ids.tokenizer, "encode_batch"))
    ),
    WindowEncoder: lambda encoder: encoder.context_size >= 1,
}
