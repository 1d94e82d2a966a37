"""Language models in files: arrays in an .npz archive, all else in one JSON text."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from explicit_softmax.calibration.sample import RetainedRows
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.text.tokens import TokenIds, tokenizers_library

_FORMAT = "explicit_softmax language model"
_VERSION = 1


def write_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model; the file at `path` is replaced when all is written."""
    counts, retained = model._counts, model._retained
    arrays = {
        **_sparse_arrays("counts", counts.cooccurrence),
        "class_count": counts.class_count,
        **_sparse_arrays("retained", retained.X),
        "retained_codes": retained.y,
        "retained_weights": retained.weights,
    }
    if model._refined is not None:
        arrays["refined_weights"] = model._refined.weights
        arrays["refined_intercept"] = model._refined.intercept
    solution = model._solution
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "params": _plain_params(model),
        "counted": model._counted,
        "vocabulary_size": model._ids.size,
        "tokenizer": None
        if model._ids.tokenizer is None
        else model._ids.tokenizer.to_str(),
        "n_nonzero": counts.n_nonzero,
        # What was chosen takes longer to choose again than all else takes to read.
        "chosen": None
        if solution is None
        else {
            "smoothing": solution.smoothing,
            "strength": solution.strength,
            "beta": solution.calibration.beta.tolist(),
            "log_loss": solution.calibration.log_loss,
        },
        "n_iter": model.n_iter_,
        "loss_curve": getattr(model, "loss_curve_", None),
        "validation_scores": getattr(model, "validation_scores_", None),
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    target = Path(os.path.realpath(os.fsdecode(path)))  # a link is to stay one
    # Not of tempfile, whose files nobody else may read.
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            np.savez(file, **arrays)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Make an unfitted model the one in a file; ValueError says what is wrong."""
    name = os.fsdecode(path)
    try:
        # np.load leaves files open that it cannot read.
        with open(name, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds something else")
            with archive:
                _restore(model, archive)
    except (FileNotFoundError, ImportError, PermissionError):
        raise
    # Archives, JSON, and tokenizers can be damaged in more ways than have a type.
    except Exception as error:
        raise ValueError(
            f"{name!r} is not a complete language model of explicit_softmax: "
            f"{str(error) or type(error).__name__}"
        ) from error


def _restore(model: Any, archive: Any) -> None:
    if "header" not in archive:
        raise ValueError("it holds something else")
    header = json.loads(archive["header"].tobytes().decode())
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError("it holds something else")
    if header["version"] > _VERSION:
        raise ValueError(
            f"it was written by a later release (version {header['version']})"
        )
    fitted, params = _fitted_attributes(header, archive), header["params"]
    if params["tokenizer"] is not None:
        same = params["tokenizer"] == header["tokenizer"]
        params["tokenizer"] = (
            fitted["_ids"].tokenizer if same else _tokenizer(params["tokenizer"])
        )
    model.set_params(**params)
    vars(model).update(fitted)
    chosen = header["chosen"]
    if chosen is not None:
        beta = np.array(chosen["beta"], dtype=float)
        solution = model._solve(chosen["smoothing"], chosen["strength"], beta)
        found = replace(solution.calibration, log_loss=chosen["log_loss"])
        model._solution = replace(solution, calibration=found)


def _fitted_attributes(header: dict[str, Any], archive: Any) -> dict[str, Any]:
    size, counted = header["vocabulary_size"], header["counted"]
    ids = TokenIds(size)
    if header["tokenizer"] is not None:
        ids = TokenIds.of(_tokenizer(header["tokenizer"]))
    counts = CooccurrenceCounts(
        _sparse("counts", archive), archive["class_count"], header["n_nonzero"]
    )
    retained = RetainedRows(
        _sparse("retained", archive),
        archive["retained_codes"],
        archive["retained_weights"],
    )
    n_blocks = counted["context_size"] if counted["aggregation"] == "cat" else 1
    shape, n_rows = (n_blocks * size, size - 1), retained.X.shape[0]
    agree = (
        ids.size == size,
        counts.cooccurrence.shape == shape,
        counts.class_count.shape == shape[1:],
        retained.X.shape[1] == shape[0],
        retained.y.shape == retained.weights.shape == (n_rows,),
        0 <= retained.y.min(initial=0) <= retained.y.max(initial=0) < size - 1,
        "refined_weights" not in archive or archive["refined_weights"].shape == shape,
    )
    if not all(agree):
        raise ValueError("its parts do not fit together")
    fitted: dict[str, Any] = {
        "_ids": ids,
        "_counted": counted,
        "_counts": counts,
        "_retained": retained,
        "_solution": None,
        "_refined": None,
        "n_iter_": header["n_iter"],
    }
    if "refined_weights" in archive:
        fitted["_refined"] = Decoder.from_dense(
            archive["refined_weights"], archive["refined_intercept"]
        )
        fitted["loss_curve_"] = header["loss_curve"]
        fitted["validation_scores_"] = header["validation_scores"]
    return fitted


def _plain_params(model: Any) -> dict[str, Any]:
    """Parameters as JSON has them."""
    params = dict(model.get_params(deep=False))
    for name, value in params.items():
        if name == "tokenizer":
            params[name] = None if value is None else value.to_str()
        elif name == "random_state":
            params[name] = int(value) if isinstance(value, Integral) else None
        elif value is not None and not isinstance(value, str):
            params[name] = np.asarray(value).tolist()
    return params


def _tokenizer(text: str) -> Any:
    return tokenizers_library().Tokenizer.from_str(text)


def _sparse_arrays(name: str, matrix: sp.csr_array) -> dict[str, Any]:
    return {
        f"{name}_data": matrix.data,
        f"{name}_indices": matrix.indices,
        f"{name}_indptr": matrix.indptr,
        f"{name}_shape": np.array(matrix.shape),
    }


def _sparse(name: str, archive: Any) -> sp.csr_array:
    matrix = sp.csr_array(
        tuple(archive[f"{name}_{part}"] for part in ("data", "indices", "indptr")),
        shape=tuple(archive[f"{name}_shape"].tolist()),
    )
    matrix.check_format(full_check=True)  # indices out of range would read anything
    return matrix
