"""Counts, solution, and refinement of a language model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._sklearn import DocumentationLinkMixin
from explicit_softmax._refinement import record_refinement
from explicit_softmax._sklearn import CallbackSupportMixin, FitReport
from explicit_softmax.calibration.model import given_temperatures
from explicit_softmax.calibration.sample import RetainedRows
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.text.documents import NO_TOKEN
from explicit_softmax.text.language import (
    WindowSolution,
    draw_windows,
    solve_windows,
    window_limit,
)
from explicit_softmax.text.tokens import TokenIds
from explicit_softmax.text.windows import OneHotWindows, TokenStream, count_windows
from explicit_softmax.training.refine import cold_start, refine

# Parameters that the solution depends on, beside those that the counts do.
_SOLVED = ("smoothing", "smoothing_strength", "inverse_temperature")


class BaseLanguageModel(CallbackSupportMixin, DocumentationLinkMixin, BaseEstimator):
    """A language model that is solved when its decoder is first read."""

    # Documents are the data of these methods, no metadata to be routed to them.
    __metadata_request__fit = {"documents": UNUSED}
    __metadata_request__partial_fit = {"documents": UNUSED}
    __metadata_request__predict_proba = {"prefixes": UNUSED}
    __metadata_request__score = {"documents": UNUSED}

    _ids: TokenIds
    _counted: dict[str, Any]
    _counts: CooccurrenceCounts
    _retained: RetainedRows
    _solution: WindowSolution | None
    _refined: Decoder | None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_counts")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = False
        return tags

    @property
    def vocabulary_size_(self) -> int:
        self._require("vocabulary_size_")
        return self._ids.size

    @property
    def tokenizer_(self) -> Any:
        self._require("tokenizer_")
        return self._ids.tokenizer

    @property
    def n_tokens_(self) -> int:
        self._require("n_tokens_")
        return int(self._counts.class_count.sum())

    @property
    def n_oov_(self) -> int:
        self._require("n_oov_")
        return int(self._counts.class_count[self._ids.oov])

    @property
    def class_count_(self) -> NDArray[np.float64]:
        self._require("class_count_")
        return self._counts.class_count

    @property
    def inverse_temperature_(self) -> NDArray[np.float64]:
        return self._solved("inverse_temperature_").calibration.beta

    @property
    def smoothing_strength_(self) -> float:
        return self._solved("smoothing_strength_").strength

    @property
    def leave_one_out_log_loss_(self) -> float:
        return self._solved("leave_one_out_log_loss_").calibration.log_loss

    def _require(self, attribute: str) -> None:
        """AttributeError, not NotFittedError, so that hasattr is false before fit."""
        if not hasattr(self, "_counts"):
            raise AttributeError(
                f"this {type(self).__name__} is not fitted yet and has no {attribute}"
            )

    @property
    def _n_blocks(self) -> int:
        cat = self._counted["aggregation"] == "cat"
        return int(self._counted["context_size"]) if cat else 1

    def _settle(self, documents: list[Any]) -> TokenIds:
        """Vocabulary of the first documents."""
        if not isinstance(documents[0], str):
            if self.vocabulary_size is not None:
                return TokenIds(int(self.vocabulary_size))
            any_ids = TokenIds(np.iinfo(np.int32).max).encode(documents)
            return TokenIds(max(int(ids.max(initial=0)) for ids in any_ids) + 3)
        if self.tokenizer is not None:
            return TokenIds.of(self.tokenizer)
        if self.vocabulary_size is None:
            raise ValueError(
                "vocabulary_size=None is for documents of token ids: give the number "
                "of tokens that byte-pair encoding may learn, or a tokenizer"
            )
        return TokenIds.trained(documents, int(self.vocabulary_size))

    def _windows(self, ids: list[NDArray[np.int32]]) -> OneHotWindows:
        """Windows of encoded documents; ValueError if there is no token."""
        arrays = [document for document in ids if document.size]
        if not arrays:
            raise ValueError(NO_TOKEN)
        stream = TokenStream.from_arrays(
            arrays, self._counted["context_size"], self._ids.pad
        )
        return OneHotWindows(stream, self._ids.size, self._counted["aggregation"])

    def _count(self, rows: OneHotWindows) -> tuple[CooccurrenceCounts, RetainedRows]:
        counts = count_windows(rows.stream, rows.n_tokens, rows.aggregation)
        limit = window_limit(counts.n_classes, self._n_blocks)
        return counts, draw_windows(rows, limit)

    def _start(self, documents: list[Any]) -> OneHotWindows:
        """Count first documents."""
        self._ids = self._settle(documents)
        self._counted = {
            "context_size": int(self.context_size),
            "aggregation": str(self.aggregation),
        }
        rows = self._windows(self._ids.encode(documents))
        self._replace_counts(*self._count(rows))
        self.n_iter_ = 1
        return rows

    def _replace_counts(
        self, counts: CooccurrenceCounts, retained: RetainedRows
    ) -> None:
        self._counts, self._retained = counts, retained
        self._solution = self._refined = None
        for name in ("loss_curve_", "validation_scores_"):
            self.__dict__.pop(name, None)

    def _solved(self, attribute: str = "solution") -> WindowSolution:
        self._require(attribute)
        if self._solution is None:
            strength = self.smoothing_strength
            self._solution = self._solve(
                self.smoothing,
                None if isinstance(strength, str) else float(strength),
                self._given_betas(),
            )
        return self._solution

    def _solve(
        self,
        smoothing: Any,
        strength: float | None,
        beta: NDArray[np.float64] | None,
    ) -> WindowSolution:
        return solve_windows(
            self._counts,
            self._retained,
            self._counted["context_size"],
            self._n_blocks,
            smoothing=smoothing,
            strength=strength,
            beta=beta,
            dtype=np.float32,
        )

    @property
    def _decoder(self) -> Decoder:
        return self._solved().decoder if self._refined is None else self._refined

    def _given_betas(self) -> NDArray[np.float64] | None:
        return given_temperatures(self.inverse_temperature, self._n_blocks, "blocks")

    def _refine(
        self,
        rows: OneHotWindows,
        documents_val: Iterable[Any] | None,
        report: FitReport,
    ) -> None:
        """Replace the decoder by its refinement."""
        rng = check_random_state(self.random_state)
        validation = None
        if documents_val is not None:
            held_out = self._windows(self._ids.encode(listed(documents_val)))
            validation = (held_out, held_out.stream.targets, None)
        if self.init == "random":
            n_classes = self._counts.n_classes
            weights, intercept = cold_start(
                rows.shape[1], n_classes, "random", rng=rng, dtype=np.float32
            )
        else:
            start = self._solved().decoder.densify()
            weights, intercept = start.weights, start.intercept

        def fitted_attributes(weights: Any, intercept: Any) -> dict[str, Any]:
            return {"_refined": Decoder.from_dense(weights, intercept)}

        result = refine(
            weights,
            intercept,
            rows,
            rows.stream.targets,
            solver=self.solver,
            learning_rate=self.learning_rate_init,
            batch_size=self.batch_size,
            max_iter=self.max_iter,
            alpha=self.alpha,
            tol=0.0,
            # Losses of iterations over different tokens say nothing about convergence.
            n_iter_no_change=self.max_iter + 1
            if validation is None
            else self.n_iter_no_change,
            validation=validation,
            shuffle=self.shuffle,
            epoch_size=self.tokens_per_iter,
            rng=rng,
            callback=report.follow("iteration", self.max_iter, fitted_attributes),
        )
        self.__dict__.update(fitted_attributes(result.weights, result.intercept))
        record_refinement(self, result, validation)

    def _check_counts_only(self, method: str) -> None:
        if self._refined is not None:
            raise ValueError(
                f"{method} changes counts, and this model was refined: it no longer "
                "follows from its counts. Fit again with warm_start=False."
            )

    def _check_counted_alike(self) -> None:
        for name, value in self._counted.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} differs from {value!r}, with "
                    "which this model was counted so far: call fit to start again"
                )

    def _check_mergeable(self, other: Any) -> None:
        if not isinstance(other, type(self)):
            raise TypeError(
                f"merge takes fitted {type(self).__name__} models, not "
                f"{type(other).__name__}"
            )
        check_is_fitted(other)
        other._check_counts_only("merge")
        if not self._ids.equals(other._ids):
            raise ValueError(
                "models with different vocabularies cannot be merged: they have "
                f"{self._ids} and {other._ids}. Give all of them the same tokenizer, "
                "or the same vocabulary_size for documents of token ids."
            )
        mine = {**self._counted, **{name: getattr(self, name) for name in _SOLVED}}
        theirs = {**other._counted, **{name: getattr(other, name) for name in _SOLVED}}
        for name, value in mine.items():
            if not np.array_equal(value, theirs[name]):
                raise ValueError(
                    f"models with different {name} cannot be merged: {value!r} and "
                    f"{theirs[name]!r}"
                )


def listed(documents: Iterable[Any]) -> list[Any]:
    """Documents as a list; ValueError if there are none."""
    if isinstance(documents, str | bytes):
        raise TypeError(
            "documents must be a list of documents, not a single string: put it in a "
            "list"
        )
    # Iterating over a mapping or a table would give its keys or the names of columns.
    keyed = isinstance(documents, Mapping) or hasattr(documents, "columns")
    if keyed or not isinstance(documents, Iterable):
        hint = ": give its values, or one of its columns" * keyed
        raise TypeError(
            "documents must be an iterable of documents, not "
            f"{type(documents).__name__}{hint}"
        )
    documents = list(documents)
    if not documents:
        raise ValueError(NO_TOKEN)
    return documents
