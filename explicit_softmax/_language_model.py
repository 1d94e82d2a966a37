"""ExplicitLanguageModel: next-token probabilities from counts."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._base import CONSTRAINTS, FromModel
from explicit_softmax._dask import (
    evaluate_blocks,
    fit_blocks,
    is_collection,
    lazy_on_blocks,
    partial_fit_blocks,
)
from explicit_softmax._refinement import (
    Refinement,
    checked_refinement,
    refine_model,
    split_validation,
)
from explicit_softmax._sklearn import (
    CallbackSupportMixin,
    DocumentationLinkMixin,
    FitReport,
    Interval,
    StrOptions,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.calibration.model import Choice, ExplicitModel, Settings
from explicit_softmax.calibration.sample import RowSample
from explicit_softmax.solution.counts import CooccurrenceCounts
from explicit_softmax.solution.decoder import Decoder
from explicit_softmax.solution.theorem import Calibration
from explicit_softmax.text.language import (
    WindowEncoder,
    count_documents,
    token_log_likelihood,
)
from explicit_softmax.text.model_file import complaint_about, read_arrays, write_arrays
from explicit_softmax.text.tokens import TokenIds, document_list
from explicit_softmax.text.windows import Aggregation
from explicit_softmax.training.problem import Refined


class ExplicitLanguageModel(
    CallbackSupportMixin, DocumentationLinkMixin, BaseEstimator
):
    """Feed-forward language model whose weights are computed from counts.

    Each token is predicted from the `context_size` tokens before it by softmax
    regression on their one-hot vectors, which are concatenated (Cat) or added (Sum).
    The weights are the explicit solution of [1]_: logarithms of the counts of each pair
    of a context token and a target, which take one pass over the tokens. The inverse
    temperatures, one for each position, act as a fixed attention over positions; they
    and the smoothing strength minimise the exact leave-one-out log-loss of a sample of
    windows. The model of the paper is ``smoothing="noise", inverse_temperature=1.0``.
    Counts are additive: `partial_fit` streams documents, and `merge` joins models.

    Parameters
    ----------
    context_size : int, default=4
        K, the number of tokens in a window.
    aggregation : {"cat", "sum"}, default="cat"
        Whether weights depend on the position of a token in the window ("cat") or not
        ("sum").
    tokenizer : tokenizers.Tokenizer, default=None
        Trained tokenizer for documents that are strings. By default, byte-pair encoding
        is learned from the documents of the first fit; this needs the extra ``lm``.
        Ignored for documents of token ids.
    vocabulary_size : int or None, default=4098
        Number of token ids V. The last id, V - 1, is padding, and the one before it,
        V - 2, stands for all tokens out of vocabulary. For strings, byte-pair encoding
        learns at most V - 2 tokens; a `tokenizer` has its own number. None, for
        documents of ids only, is the largest id of the first fit plus three.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `ExplicitSoftmaxClassifier`.
    smoothing_strength : "auto" or float, default="auto"
        Strength of "prior" and "uniform" smoothing; "auto" minimises the leave-one-out
        log-loss.
    inverse_temperature : "auto", float, or array-like of shape (n_blocks,), \
default="auto"
        beta of each position, the nearest first, or one number for all; one for "sum".
        "auto" minimises the leave-one-out log-loss of at most 2,048 windows, fewer if
        they would have more than 2**24 scores. They are those with the smallest hash of
        the document up to the target, whatever the order of documents or calls.
    warm_start : bool, default=False
        Whether `fit` refines the explicit solution by minimising the log-loss.
    refinement : Refinement, default=None
        How to refine; ``Refinement()`` by default. Here ``batch_size="auto"`` is 1,024
        windows, ``samples_per_iter="auto"`` is 100,000 tokens, and the solver must be
        "adagrad" or "sgd". With ``early_stopping=True`` and no `documents_val`, a share
        ``validation_fraction`` of the documents is set aside, and not counted.

    Attributes
    ----------
    vocabulary_size_ : int
        V. Classes, and columns of probabilities, are the ids 0 to V - 2.
    tokenizer_ : tokenizers.Tokenizer or None
        Turns strings into ids; None for a model of ids.
    n_tokens_ : int
        Number of tokens counted.
    n_oov_ : int
        Number of these tokens that are out of vocabulary.
    inverse_temperature_ : ndarray of shape (n_blocks,)
        beta of each position.
    smoothing_strength_ : float
        Smoothing strength.
    leave_one_out_log_loss_ : float
        Log-loss of the windows by which these numbers were chosen, in nats per token;
        NaN if inverse temperatures were given.
    class_count_ : ndarray of shape (V - 1,)
        How often each token was counted.
    n_iter_ : int
        Number of iterations of the refinement; 1 without refinement.
    loss_curve_ : list of float
        Mean log-loss of the windows of each iteration; only after a refinement.
    validation_scores_ : list of float or None
        `score` of the validation documents after each iteration, None without such
        documents; only after a refinement.

    See Also
    --------
    context_windows : Windows and targets as arrays.
    ContextWindowTransformer : The same features for pipelines.

    Notes
    -----
    Likelihoods are per token. Perplexities of models with different vocabularies cannot
    be compared; bits per byte can. Weights are float32.

    `fit`, `partial_fit`, and whatever scores documents take a Bag of Dask as well,
    whose documents are counted where they lie, and `predict_proba` of one is lazy. The
    vocabulary must be given: `tokenizer`, or `vocabulary_size` for documents of ids.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    >>> from explicit_softmax import ExplicitLanguageModel
    >>> documents = [[0, 1, 2, 0, 1, 2, 0, 1], [1, 2, 0, 1, 2, 0], [2, 0, 1, 2]] * 20
    >>> model = ExplicitLanguageModel(context_size=2, vocabulary_size=5).fit(documents)
    >>> round(model.perplexity([[0, 1, 2, 0, 1, 2]]), 1)
    1.2
    >>> model.generate([0], n_tokens=5, temperature=0)
    array([1, 2, 0, 1, 2], dtype=int32)
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "context_size": [Interval(Integral, 1, None, closed="left")],
        "aggregation": [StrOptions({"sum", "cat"})],
        "tokenizer": "no_validation",  # type: ignore[dict-item]
        "vocabulary_size": [Interval(Integral, 3, None, closed="left"), None],
        "smoothing": CONSTRAINTS["smoothing"],
        "smoothing_strength": CONSTRAINTS["smoothing_strength"],
        "inverse_temperature": CONSTRAINTS["inverse_temperature"],
        "warm_start": CONSTRAINTS["warm_start"],
        "refinement": [Refinement, None],
    }

    # Documents are the data of these methods, not metadata to be routed to them.
    __metadata_request__fit = {"documents": UNUSED}
    __metadata_request__partial_fit = {"documents": UNUSED}
    __metadata_request__predict_proba = {"prefixes": UNUSED}
    __metadata_request__score = {"documents": UNUSED}

    _encoder: WindowEncoder
    _model: ExplicitModel

    def __init__(
        self,
        *,
        context_size: int = 4,
        aggregation: Aggregation = "cat",
        tokenizer: Any = None,
        vocabulary_size: int | None = 4098,
        smoothing: str | None = "prior",
        smoothing_strength: float | str = "auto",
        inverse_temperature: float | ArrayLike | str = "auto",
        warm_start: bool = False,
        refinement: Refinement | None = None,
    ) -> None:
        self.context_size = context_size
        self.aggregation = aggregation
        self.tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size
        self.smoothing = smoothing
        self.smoothing_strength = smoothing_strength
        self.inverse_temperature = inverse_temperature
        self.warm_start = warm_start
        self.refinement = refinement

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        documents: Iterable[Any],
        y: Any = None,
        *,
        documents_val: Iterable[Any] | None = None,
    ) -> Self:
        """Count the windows of documents and solve the model.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            Texts, or documents of token ids. Empty ones are skipped.
        y : None
            Ignored.
        documents_val : iterable, default=None
            Documents of the same kind that are scored after each iteration of a
            refinement: the weights that score best are kept, and the refinement stops
            when they no longer improve. Ignored without refinement.

        Returns
        -------
        self : ExplicitLanguageModel

        Raises
        ------
        TypeError
            If documents are neither strings nor sequences of ids, or of both kinds.
        ValueError
            If there is no token, as in an iterator that was read to its end before, or
            if an id is out of range. A model that was fitted before stays as it was.
        """
        if is_collection(documents):
            return fit_blocks(self, documents)
        documents = document_list(documents)
        refinement = checked_refinement(self.refinement)
        # Callbacks get the documents as targets too: they score only if there are some.
        max_iter = refinement.max_iter if self.warm_start else 0
        report = FitReport(self, documents, documents, None, max_iter)
        with restored_on_error(self):
            self._encoder = self._new_encoder(documents)
            if self.warm_start and refinement.early_stopping and documents_val is None:
                documents, documents_val = _set_aside(documents, refinement)
            rows = self._encoder.windows(documents)
            model = count_documents(rows, self._settings(self._encoder))
            _ = model.solution
            if self.warm_start:
                validation = None
                if documents_val is not None:
                    held_out = self._encoder.windows(document_list(documents_val))
                    validation = held_out, held_out.stream.targets, None
                targets = rows.stream.targets
                model = refine_model(
                    refinement, model, rows, targets, None, validation, report
                )
            self._model = model
        report.end()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, documents: Iterable[Any], y: Any = None) -> Self:
        """Count more documents; the solution is computed when it is first needed.

        Any sequence of calls gives the same model as one `fit` of all documents with
        the same vocabulary.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            As in `fit`. Byte-pair encoding is learned from those of the first call.
        y : None
            Ignored.

        Returns
        -------
        self : ExplicitLanguageModel

        Raises
        ------
        TypeError, ValueError
            As in `fit`, and if the model was refined, or parameters changed since the
            first call.
        """
        if is_collection(documents):
            return partial_fit_blocks(self, documents)
        documents = document_list(documents)
        earlier: ExplicitModel | None = vars(self).get("_model")
        if earlier is not None:
            earlier.check_additive("partial_fit")
        ids = None if earlier is None else self._encoder.ids
        encoder = self._new_encoder(documents, ids)
        settings = self._settings(encoder)
        if earlier is not None:
            changed = (
                "{name}={1} differs from {0}, with which this model was counted: call "
                "fit to start again"
            )
            self._encoder.check_equal(encoder, changed)
            earlier.check_settings(settings, changed)
        batch = count_documents(encoder.windows(documents), settings)
        self._model = batch if earlier is None else earlier + batch
        self._encoder = encoder
        return self

    def merge(self, *others: Self) -> Self:
        """Add the counts of other fitted models.

        The result is the model of all documents, whatever their order.

        Parameters
        ----------
        *others : ExplicitLanguageModel
            Models with the same vocabulary, windows, and smoothing; they are not
            changed. Models of strings have the same vocabulary if they were given the
            same `tokenizer`.

        Returns
        -------
        self : ExplicitLanguageModel

        Raises
        ------
        TypeError
            If one of them is another kind of estimator.
        ValueError
            If vocabularies or parameters differ, or if a model was refined.
        """
        check_is_fitted(self)
        model = self._model
        for other in others:
            if not isinstance(other, type(self)):
                raise TypeError(
                    f"merge takes fitted {type(self).__name__} models, not "
                    f"{type(other).__name__}"
                )
            check_is_fitted(other)
            self._encoder.check_equal(
                other._encoder,
                "models with different {name} cannot be merged: {} and {}",
            )
            model = model + other._model
        self._model = model
        return self

    def evaluate(self, documents: Iterable[Any]) -> dict[str, float]:
        """Likelihood statistics of documents.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            As in `fit`.

        Returns
        -------
        report : dict
            With the keys ``n_tokens``; ``n_oov``, the number of tokens out of
            vocabulary; ``n_new``, the number of tokens in the vocabulary that were
            never counted; ``score``, the mean log-likelihood in nats per token;
            ``perplexity``, ``exp(-score)``; and, for strings, ``n_bytes`` (UTF-8) and
            ``bits_per_byte``. Every token except padding is scored. A token out of
            vocabulary is scored as the one id that stands for all of them, so a
            likelihood with many such tokens is too high.

        Raises
        ------
        TypeError, ValueError
            As in `fit`.
        """
        check_is_fitted(self)
        if is_collection(documents):
            return evaluate_blocks(self, documents)
        documents = document_list(documents)
        rows = self._encoder.windows(documents)
        targets = rows.stream.targets
        parts = token_log_likelihood(self._model.decoders[0], rows, targets)
        total = sum(float(part.sum()) for part in parts)
        score = total / targets.size
        is_oov = targets == self._encoder.ids.oov
        never_counted = self.class_count_[targets] == 0
        with np.errstate(over="ignore"):  # a likelihood may be too small
            perplexity = float(np.exp(-score))
        report = {
            "n_tokens": targets.size,
            "n_oov": int(is_oov.sum()),
            "n_new": int((never_counted & ~is_oov).sum()),
            "score": score,
            "perplexity": perplexity,
        }
        if self.tokenizer_ is not None:
            report["n_bytes"] = sum(len(text.encode()) for text in documents)
            report["bits_per_byte"] = -total / math.log(2) / report["n_bytes"]
        return report

    def score(self, documents: Iterable[Any], y: Any = None) -> float:
        """Mean log-likelihood in nats per token; higher is better.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            As in `fit`.
        y : None
            Ignored.

        Returns
        -------
        score : float
        """
        return self.evaluate(documents)["score"]

    def perplexity(self, documents: Iterable[Any]) -> float:
        """Perplexity per token, ``exp(-score)``; lower is better.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            As in `fit`.

        Returns
        -------
        perplexity : float
        """
        return self.evaluate(documents)["perplexity"]

    def bits_per_byte(self, documents: Iterable[str]) -> float:
        """Negative log-likelihood in bits per byte of UTF-8; lower is better.

        Unlike perplexity, it compares models with different vocabularies.

        Parameters
        ----------
        documents : iterable of str
            As in `fit`.

        Returns
        -------
        bits : float

        Raises
        ------
        ValueError
            If the model was fitted on token ids, which have no bytes.
        """
        if self.tokenizer_ is None:
            raise ValueError(
                "bits_per_byte needs a model of strings, and this one was fitted on "
                "token ids"
            )
        return self.evaluate(documents)["bits_per_byte"]

    def log_proba(self, document: str | Sequence[int]) -> NDArray[np.float64]:
        """Log-probability of each token of one document, given those before it.

        Parameters
        ----------
        document : str or sequence of int
            One document; may be empty.

        Returns
        -------
        log_proba : ndarray of shape (n_tokens,)
            In nats. The sum is the log-likelihood of the document; of a minimal pair of
            sentences, the one with the higher sum is preferred.
        """
        check_is_fitted(self)
        if not self._encoder.ids.encode([document])[0].size:
            return np.zeros(0)
        rows = self._encoder.windows([document])
        decoder, targets = self._model.decoders[0], rows.stream.targets
        parts = token_log_likelihood(decoder, rows, targets)
        return np.concatenate(list(parts))

    @lazy_on_blocks
    def predict_proba(self, prefixes: Iterable[Any]) -> NDArray[np.float32]:
        """Probabilities of the token that follows each prefix.

        Parameters
        ----------
        prefixes : iterable of str, or of sequences of int
            Beginnings of documents; an empty one asks for the first token.

        Returns
        -------
        probabilities : ndarray of shape (n_prefixes, vocabulary_size_ - 1)
            Column i is the probability of id i; padding has no column.
        """
        check_is_fitted(self)
        encoded = self._encoder.ids.encode(document_list(prefixes))
        scores = self._model.decoders[0].scores(self._encoder.next_rows(encoded))
        return np.asarray(softmax(scores, axis=1))

    def generate(
        self,
        prompt: str | Sequence[int] = "",
        n_tokens: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        random_state: Any = None,
    ) -> str | NDArray[np.int32]:
        """Draw a continuation, token by token.

        Parameters
        ----------
        prompt : str or sequence of int, default=""
            Beginning of the document, which is continued; may be empty.
        n_tokens : int, default=50
            Number of tokens to draw.
        temperature : float, default=1.0
            Divides the scores; 0 takes the most probable token.
        top_k : int, default=None
            Draw from this many most probable tokens only; from all by default.
        random_state : int, RandomState instance, or None, default=None
            Source of randomness.

        Returns
        -------
        continuation : str or ndarray of int
            Without the prompt; a string if the model is of strings. Tokens out of
            vocabulary are never drawn.

        Raises
        ------
        ValueError
            If a number is out of range.
        """
        check_is_fitted(self)
        _check_number("n_tokens", n_tokens, Integral, 0)
        _check_number("top_k", 1 if top_k is None else top_k, Integral, 1)
        _check_number("temperature", temperature, Real, 0)
        rng = check_random_state(random_state)
        ids, size = self._encoder.ids, self._encoder.context_size
        decoder = self._model.decoders[0]
        history = np.zeros(0, dtype=np.int32)
        if not isinstance(prompt, str) or prompt:
            history = ids.encode([prompt])[0][-size:]
        drawn = np.empty(n_tokens, dtype=np.int32)
        for place in range(n_tokens):
            rows = self._encoder.next_rows([history])
            scores = decoder.scores(rows)[0].astype(np.float64)
            scores[ids.oov] = -np.inf
            drawn[place] = _draw(scores, float(temperature), top_k, rng)
            history = np.append(history, drawn[place])[-size:]
        return drawn if ids.tokenizer is None else ids.decode(drawn)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model to a file, without pickle.

        The file is an .npz archive of arrays and one JSON text, whatever its name. An
        existing file is replaced only when the new one is complete.

        Parameters
        ----------
        path : str or path-like
            Where to write.
        """
        check_is_fitted(self)
        encoder, model = self._encoder, self._model
        counts, sample, refined = model.counts, model.sample, model.refined
        names = ("smoothing", "smoothing_strength", "inverse_temperature")
        header: dict[str, Any] = {
            "params": _plain(self),
            "vocabulary_size": encoder.ids.size,
            "tokenizer": _plain(encoder.ids.tokenizer),
            "context_size": encoder.context_size,
            "aggregation": encoder.aggregation,
            "solved_with": {n: _plain(getattr(model.settings, n)) for n in names},
            "n_nonzero": counts.n_nonzero,
            "threshold": int(sample.threshold),
            "choice": None,
            "refined": None,
        }
        arrays = {
            "counts": counts.cooccurrence,
            "class_count": counts.class_count,
            "sample": sample.X,
            "sample_targets": sample.y,
            "sample_weights": sample.weights,
            "sample_keys": sample.keys,
        }
        # That of the solution if it was computed: choosing again would take longer than
        # reading all the rest.
        choice = vars(model).get("solution", model).choice
        if choice is not None:
            header["choice"] = {
                "beta": choice.calibration.beta.tolist(),
                "smoothing_strength": choice.smoothing_strength,
                "log_loss": choice.log_loss,
            }
        if refined is not None:
            arrays["refined_weights"] = refined.decoders[0].weights
            arrays["refined_intercept"] = refined.decoders[0].intercept
            names = ("loss_curve", "validation_scores", "n_iter")
            header["refined"] = {n: getattr(refined, n) for n in names}
        write_arrays(path, header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a model that `save` wrote.

        Parameters
        ----------
        path : str or path-like
            File to read. Nothing in it is executed.

        Returns
        -------
        model : ExplicitLanguageModel
            With the same parameters, counts, and probabilities. A `random_state` that
            is no integer becomes None.

        Raises
        ------
        ValueError
            If the file is truncated or damaged, or holds no such model.
        """
        header, arrays = read_arrays(path)
        with complaint_about(path):
            return cls._from_record(header, arrays)

    @classmethod
    def _from_record(cls, header: dict[str, Any], arrays: dict[str, Any]) -> Self:
        params, size = header["params"], header["vocabulary_size"]
        text, given = header["tokenizer"], params["tokenizer"]
        ids = TokenIds(size) if text is None else TokenIds.from_text(text)
        if given is not None:
            own = ids if given == text else TokenIds.from_text(given)
            params["tokenizer"] = own.tokenizer
        if params["refinement"] is not None:
            params["refinement"] = Refinement(**params["refinement"])
        estimator = cls(**params)
        encoder = WindowEncoder(ids, header["context_size"], header["aggregation"])
        # Parameters may have been changed since the model was counted.
        settings = cls(**{**params, **header["solved_with"]})._settings(encoder)
        shape = (encoder.n_blocks * size, size - 1)
        counts = CooccurrenceCounts(
            arrays["counts"], arrays["class_count"], header["n_nonzero"]
        )
        sample = RowSample(
            arrays["sample"],
            arrays["sample_targets"],
            arrays["sample_weights"],
            arrays["sample_keys"],
            np.uint64(header["threshold"]),
            settings.sample_limit(*shape),
        )
        n_sampled = sample.X.shape[0]
        agree = [
            ids.size == size,
            counts.cooccurrence.shape == shape,
            counts.class_count.shape == shape[1:],
            sample.X.shape[1] == shape[0],
            sample.y.shape == sample.weights.shape == sample.keys.shape == (n_sampled,),
            0 <= sample.y.min(initial=0) <= sample.y.max(initial=0) < size - 1,
        ]
        choice = refined = None
        if header["choice"] is not None:
            beta = np.array(header["choice"].pop("beta"), dtype=float)
            calibration = Calibration(beta, settings.priming_number)
            choice = Choice(calibration, **header["choice"])
            agree.append(beta.shape == (encoder.n_blocks,))
        if header["refined"] is not None:
            weights, intercept = arrays["refined_weights"], arrays["refined_intercept"]
            agree.append(weights.shape == shape and intercept.shape == shape[1:])
            decoder = Decoder.from_dense(weights, intercept)
            refined = Refined((decoder,), **header["refined"])
        if not all(agree):
            raise ValueError("its parts do not fit together")
        estimator._encoder = encoder
        estimator._model = ExplicitModel(
            counts, sample, settings, np.float32, choice=choice, refined=refined
        )
        return estimator

    @property
    def tokenizer_(self) -> Any:
        check_is_fitted(self)
        return self._encoder.ids.tokenizer

    vocabulary_size_ = FromModel(lambda model: model.counts.n_classes + 1)
    class_count_ = FromModel("counts.class_count")
    n_tokens_ = FromModel(lambda model: int(model.counts.class_count.sum()))
    n_oov_ = FromModel(lambda model: int(model.counts.class_count[-1]))
    inverse_temperature_ = FromModel("solution.choice.calibration.beta")
    smoothing_strength_ = FromModel("solution.choice.smoothing_strength")
    leave_one_out_log_loss_ = FromModel("solution.choice.log_loss")
    n_iter_ = FromModel("n_iter")
    loss_curve_ = FromModel("refined.loss_curve")
    validation_scores_ = FromModel("refined.validation_scores")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = False
        return tags

    def _new_encoder(
        self, documents: list[Any], ids: TokenIds | None = None
    ) -> WindowEncoder:
        if ids is None:
            size = None if self.vocabulary_size is None else int(self.vocabulary_size)
            ids = TokenIds.for_documents(documents, self.tokenizer, size)
        return WindowEncoder(ids, int(self.context_size), self.aggregation)

    def _settings(self, encoder: WindowEncoder) -> Settings:
        norm = float(encoder.context_size)
        return Settings(
            priming_number=norm,
            inverse_temperature=self.inverse_temperature,
            smoothing=self.smoothing,
            smoothing_strength=self.smoothing_strength,
            norm_exponent=0.0,
            translation="column",
            n_blocks=encoder.n_blocks,
            row_norm=norm,
        )


def _set_aside(
    documents: list[Any], refinement: Refinement
) -> tuple[list[Any], list[Any]]:
    """Documents to count and refine on, and a share of them to stop by."""
    if len(documents) < 2:
        raise ValueError(
            "early_stopping=True sets documents aside and needs at least two: give "
            "documents_val, or split the document"
        )
    numbers = np.arange(len(documents))
    parts = split_validation(refinement, numbers, numbers, None)
    train, held_out = (part[1] for part in parts if part is not None)
    return [documents[i] for i in np.sort(train)], [documents[i] for i in held_out]


def _draw(
    scores: NDArray[np.float64], temperature: float, top_k: int | None, rng: Any
) -> int:
    if temperature == 0:
        return int(scores.argmax())
    if top_k is not None:
        # The first of equal ones is kept, as by argmax.
        scores[np.argsort(-scores, kind="stable")[top_k:]] = -np.inf
    # Differences first: the highest stays zero whatever the temperature.
    with np.errstate(over="ignore"):
        scores = (scores - scores.max()) / temperature
    return int(rng.choice(scores.size, p=softmax(scores)))


def _check_number(name: str, value: Any, kind: Any, least: int) -> None:
    if not isinstance(value, kind) or not least <= value < math.inf:
        wanted = "an integer" if kind is Integral else "a finite number"
        raise ValueError(f"{name} must be {wanted} of at least {least}, not {value!r}")


def _plain(value: Any) -> Any:
    """A parameter, or the parameters of an estimator, as JSON has them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, BaseEstimator):
        return {name: _plain(v) for name, v in value.get_params(deep=False).items()}
    if isinstance(value, np.random.RandomState):
        return None
    if hasattr(value, "to_str"):  # a tokenizer
        return value.to_str()
    return np.asarray(value).tolist()
