"""Language models in files: arrays in an .npz archive, all else in one JSON text."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from explicit_softmax._token_ids import TokenIds
from explicit_softmax.core.cooccurrence import CooccurrenceCounts
from explicit_softmax.core.decoder import Decoder
from explicit_softmax.core.retained import RetainedRows

_FORMAT = "explicit_softmax language model"
_VERSION = 1


def write_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model; the file at `path` is replaced when all is written."""
    counts, retained = model._counts, model._retained
    arrays = {
        **_sparse_arrays("counts", counts.cooccurrence),
        "class_count": counts.class_count,
        **_sparse_arrays("retained", retained.rows),
        "retained_codes": retained.codes,
        "retained_weights": retained.weights,
    }
    if model._refined is not None:
        arrays["refined_weights"] = model._refined.weights
        arrays["refined_intercept"] = model._refined.intercept
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
        "n_iter": model.n_iter_,
        "loss_curve": getattr(model, "loss_curve_", None),
        "validation_scores": getattr(model, "validation_scores_", None),
    }
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_model(model: Any, path: str | os.PathLike[str]) -> None:
    """Make an unfitted model the one in a file; ValueError says what is wrong."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile) or "header" not in archive:
                raise ValueError("it holds something else")
            header = json.loads(archive["header"].tobytes().decode())
            if not isinstance(header, dict) or header.get("format") != _FORMAT:
                raise ValueError("it holds something else")
            if header["version"] > _VERSION:
                raise ValueError(
                    f"it was written by a later release (version {header['version']})"
                )
            fitted = _fitted_attributes(header, archive)
            params = header["params"]
            model.set_params(**params)
    except FileNotFoundError:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            f"{os.fspath(path)!r} is not a complete language model of "
            f"explicit_softmax: {error}"
        ) from error
    vars(model).update(fitted)


def _fitted_attributes(header: dict[str, Any], archive: Any) -> dict[str, Any]:
    tokenizer = None
    if header["tokenizer"] is not None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(header["tokenizer"])
    counts = CooccurrenceCounts(
        _sparse("counts", archive), archive["class_count"], header["n_nonzero"]
    )
    size = header["vocabulary_size"]
    if counts.n_classes != size - 1 or counts.class_count.size != size - 1:
        raise ValueError("its counts do not fit its vocabulary")
    fitted: dict[str, Any] = {
        "_ids": TokenIds(size, tokenizer),
        "_counted": header["counted"],
        "_counts": counts,
        "_retained": RetainedRows(
            _sparse("retained", archive),
            archive["retained_codes"],
            archive["retained_weights"],
        ),
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
    """Parameters as JSON has them; the tokenizer is part of the vocabulary."""
    params = model.get_params(deep=False)
    params["tokenizer"] = None
    for name, value in params.items():
        if isinstance(value, np.ndarray | np.generic):
            params[name] = value.tolist()
        elif name == "random_state" and not isinstance(value, int):
            params[name] = None
    return dict(params)


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
