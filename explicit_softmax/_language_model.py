"""ExplicitLanguageModel: next-token probabilities from counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from numbers import Integral, Real
from os import PathLike, fsdecode
from typing import Any, BinaryIO, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
from explicit_softmax._model_file import replace_file
from explicit_softmax._persistence import Persistent
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
    long_task,
    restored_on_error,
)
from explicit_softmax.calibration.model import ExplicitModel, Settings
from explicit_softmax.text.arpa import Progress, read_arpa, write_arpa
from explicit_softmax.text.language import (
    WindowEncoder,
    WindowPredictor,
    count_documents,
    scores_and_perplexities,
)
from explicit_softmax.text.ngram_model import NgramModel, NgramSolution
from explicit_softmax.text.skips import skip_distances
from explicit_softmax.text.tokens import (
    NO_TOKEN,
    Documents,
    TokenIds,
    as_documents,
    document_list,
    n_documents,
    repeatable,
    text_splitter,
    word_tokenizer,
)
from explicit_softmax.text.windows import Aggregation, TokenStream


class ExplicitLanguageModel(
    Persistent, CallbackSupportMixin, DocumentationLinkMixin, BaseEstimator
):
    """Language model whose probabilities are computed from counts, in one pass.

    With ``aggregation="ngram"`` the whole context is one feature of a softmax, for
    which the explicit solution of [1]_ is exact: relative frequencies of n-grams,
    smoothed by modified Kneser-Ney [2]_. With "cat" and "sum" it is the feed-forward
    model of [1]_: softmax regression on the one-hot vectors of the `context_size`
    tokens before each token, concatenated (Cat) or added (Sum). Its inverse
    temperatures, one for each position, act as a fixed attention over positions; they
    and the smoothing strength minimise the exact leave-one-out log-loss of a sample of
    windows. The model of the paper is ``aggregation="cat", smoothing="noise",
    inverse_temperature=1.0``. Counts are additive: `partial_fit` streams documents,
    `merge` joins models, and `forget` takes documents out again.

    Parameters
    ----------
    context_size : int, default=4
        K, the number of tokens before the one predicted; n-grams have K + 1.
    aggregation : {"ngram", "cat", "sum"}, default="ngram"
        What the features of a window are: all its tokens as one ("ngram"), each token
        at its position ("cat"), or each token wherever it stands ("sum").
    predict_end : "auto" or bool, default="auto"
        Whether the end of a document is predicted as a token is, so that probabilities
        of documents sum to one, and `generate` can stop. Its id is that of the padding,
        V - 1. "auto" is to predict it for documents that are strings. Only of "ngram".
    mixture : bool or "skip", default=False
        Whether n-grams are mixed with what the document has said so far: its tokens,
        those that followed the last one, and those that followed the last two, less for
        what is far away. This lowers perplexities of long documents. Weights maximise
        the likelihood of documents that are left out of the counts for this, of about
        131,072 tokens or an eighth of all, whichever is less: the last one is whole.
        "skip" adds n-grams of two contexts that leave a token out, the third and the
        second before the target, for 1 % less perplexity at almost three times the
        time of `fit`; it needs a `context_size` of at least 3, where there is the
        second of them alone. Only of "ngram".
    min_count : int or sequence of int, default=1
        How often n-grams of two and more tokens must be counted to be kept, or numbers
        for n-grams of one token, of two, and so on, the last of them for all longer
        ones; they must not fall, and the first is 1. The others are smoothed as if they
        were there, as by KenLM's ``--prune``, whose numbers are less by one. What is
        pruned cannot be counted on: the model has no more counts, and `partial_fit`,
        `merge`, and `forget` are errors. Only of "ngram".
    tokenizer : tokenizers.Tokenizer, callable, "whitespace", or None, default=None
        What makes tokens of documents that are strings: a trained tokenizer of
        tokenizers; a fast one of transformers; a function from str to a list of str or
        of int; or "whitespace", for the words of ``str.split``. By default, byte-pair
        encoding is learned. What is learned, words too, comes from the documents of the
        first fit, and all but functions to ids needs the extra ``lm``. Ignored for
        documents of token ids.
    min_frequency : int, default=1
        Words that are rarer in the documents of the first fit are out of vocabulary;
        byte-pair encoding merges no rarer pair. Without effect on ids, and where
        `tokenizer` has its vocabulary.
    vocabulary_size : int or None, default=4098
        Number of token ids V. The last id, V - 1, is padding, and the one before it,
        V - 2, stands for all tokens out of vocabulary. For strings, byte-pair encoding
        learns at most V - 2 tokens, and of words the V - 2 most frequent are kept; a
        trained `tokenizer` has its own number. None is that of all words, or the
        largest id of the first fit plus three.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `ExplicitSoftmaxClassifier`. This and the next four are of "cat" and
        "sum" only.
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
        V. Classes, and columns of probabilities, are the ids 0 to V - 2, and V - 1 if
        ends of documents are predicted.
    tokenizer_ : tokenizers.Tokenizer or None
        Turns strings into ids, or words where a function makes these; None for a model
        of ids.
    n_tokens_ : int
        Number of tokens counted.
    n_oov_ : int
        Number of these tokens that are out of vocabulary.
    discounts_ : ndarray of shape (K + 1, 3)
        What Kneser-Ney smoothing takes from counts of one, two, and more, for contexts
        of 0 to K tokens; only of "ngram".
    mixture_weights_ : ndarray of shape (K + 1, 25, 4 or more) or None
        Weights of n-grams, of those of skip contexts if any, and of the three models of
        the document, by how many of the K tokens are a context that was counted, and in
        25 classes by what the document has said before; only of "ngram", None without
        `mixture`.
    inverse_temperature_ : ndarray of shape (n_blocks,)
        beta of each position; this and the next two only of "cat" and "sum".
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

    Documents are read one after the other. A path, or paths among them, are files in
    UTF-8, compressed if their names end in ``.gz``, each line of which is a document.
    `fit` reads documents twice if a vocabulary is learned, and puts those of an
    iterator into a temporary file for this. Wherever documents are given, they may also
    be sequences of words, which makes a model of words.

    `save` cannot hold a function: after `load`, give it again by
    ``set_params(tokenizer=...)``, or give sequences of words or of ids.

    `fit`, `partial_fit`, and whatever scores documents take a Bag of Dask as well,
    whose documents are counted where they lie, and `predict_proba` of one is lazy. The
    vocabulary must be given: `tokenizer`, or `vocabulary_size` for documents of ids.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.
    .. [2] S. F. Chen and J. Goodman, "An Empirical Study of Smoothing Techniques for
       Language Modeling", TR-10-98, Harvard University, 1998.

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
        "aggregation": [StrOptions({"ngram", "sum", "cat"})],
        "predict_end": [StrOptions({"auto"}), "boolean"],
        "mixture": ["boolean", StrOptions({"skip"})],
        "min_count": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "tokenizer": "no_validation",  # type: ignore[dict-item]
        "min_frequency": [Interval(Integral, 1, None, closed="left")],
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
    _model: Any  # ExplicitModel or NgramModel

    def __init__(
        self,
        *,
        context_size: int = 4,
        aggregation: Literal["ngram"] | Aggregation = "ngram",
        predict_end: bool | str = "auto",
        mixture: bool | str = False,
        min_count: int | Sequence[int] = 1,
        tokenizer: Any = None,
        min_frequency: int = 1,
        vocabulary_size: int | None = 4098,
        smoothing: str | None = "prior",
        smoothing_strength: float | str = "auto",
        inverse_temperature: float | ArrayLike | str = "auto",
        warm_start: bool = False,
        refinement: Refinement | None = None,
    ) -> None:
        self.context_size = context_size
        self.aggregation = aggregation
        self.predict_end = predict_end
        self.mixture = mixture
        self.min_count = min_count
        self.tokenizer = tokenizer
        self.min_frequency = min_frequency
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
        """Count the windows of documents, and solve the model.

        Parameters
        ----------
        documents : iterable of str, of sequences of int or of str, or a path
            Texts, documents of token ids or of words, or files of texts, a line each
            (see Notes). Empty ones are skipped.
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
            If documents are neither strings nor sequences of ids or words, or not all
            of a kind, or if a function of `tokenizer` returns anything else.
        ValueError
            If there is no token, as in an iterator that was read to its end before, if
            an id is out of range, or a file not in UTF-8. A model that was fitted
            before stays as it was.
        OSError
            If a file cannot be read.
        """
        if is_collection(documents):
            return fit_blocks(self, documents)
        refinement = checked_refinement(self.refinement)
        max_iter = refinement.max_iter if self.warm_start else 0
        with restored_on_error(self), repeatable(as_documents(documents)) as documents:
            # Callbacks get documents as targets too: they score only if there are some.
            report = FitReport(self, documents, documents, None, 4 + max_iter)
            n_read = n_documents(documents) if report.is_heard else 0
            with report.stage("learn-tokens", n_read):
                self._encoder = self._new_encoder(documents)
            if self.warm_start and self.aggregation == "ngram":
                raise ValueError(
                    "warm_start=True refines models of windows: it needs "
                    "aggregation='cat' or 'sum'"
                )
            if self.warm_start and refinement.early_stopping and documents_val is None:
                documents, documents_val = _set_aside(documents, refinement)
            with report.stage("encode", n_read):
                stream = self._encoder.stream(self._split(documents))
            n_levels = self._encoder.context_size
            with report.stage("count", stream.tokens.size * n_levels):
                model = self._counted(self._encoder, stream)
            if isinstance(model, NgramModel):
                del stream  # many tokens, and only windows are refined
            with report.stage("solve", self._n_steps(n_levels)):
                _ = model.solution
                if isinstance(model, NgramModel) and model.min_counts is not None:
                    model = model.without_counts()
            if self.warm_start and not isinstance(model, NgramModel):
                model = self._refined(model, refinement, stream, documents_val, report)
            self._model = model
            report.end()
        return self

    def _refined(
        self,
        model: ExplicitModel,
        refinement: Refinement,
        stream: TokenStream,
        documents_val: Iterable[Any] | None,
        report: FitReport,
    ) -> ExplicitModel:
        rows = self._encoder.rows(stream)
        validation = None
        if documents_val is not None:
            held_out = self._encoder.windows(self._split(as_documents(documents_val)))
            validation = held_out, held_out.stream.targets, None
        targets = rows.stream.targets
        return refine_model(refinement, model, rows, targets, None, validation, report)

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
            As in `fit`, and if the model was refined or pruned, or parameters changed
            since the first call.
        """
        if is_collection(documents):
            return partial_fit_blocks(self, documents)
        # Before a later call, the decorator checks nothing.
        self._validate_params()
        if self._min_counts() is not None:
            raise ValueError(
                f"min_count={self.min_count!r} prunes n-grams, and none can be counted "
                "after that: give all documents to one fit"
            )
        earlier = vars(self).get("_model")
        if earlier is not None:
            earlier.check_additive("partial_fit")
            changed = (
                "{name}={1} differs from {0}, with which this model was counted: call "
                "fit to start again"
            )
            encoder = self._new_encoder((), self._encoder)
            self._encoder.check_equal(encoder, changed)
            earlier.check_settings(self._settings(encoder), changed)
        documents = as_documents(documents)
        first = nullcontext(documents) if earlier is not None else repeatable(documents)
        with first as documents:
            report = FitReport(self, documents, documents, None, 3, "partial_fit")
            n_read = n_documents(documents) if report.is_heard else 0
            if earlier is None:
                with report.stage("learn-tokens", n_read):
                    encoder = self._new_encoder(documents)
            with report.stage("encode", n_read):
                stream = encoder.stream(self._split(documents))
        with report.stage("count", stream.tokens.size * encoder.context_size):
            model = self._counted(encoder, stream)
            model = model if earlier is None else earlier + model
        with restored_on_error(self):
            # The model last: it is what makes an estimator fitted.
            self._encoder = encoder
            self._model = model
            report.end()
        return self

    def forget(self, documents: Iterable[Any]) -> Self:
        """Take documents out of the counts again, in place.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            Documents that were counted.

        Returns
        -------
        self : ExplicitLanguageModel
            The model of the other documents. With "cat" and "sum", the sample of
            windows that chooses inverse temperatures is not filled up again.

        Raises
        ------
        TypeError, ValueError
            As in `fit`, and if the model was refined or pruned, if these documents were
            not counted, or if no others are left.
        """
        check_is_fitted(self)
        self._model.check_additive("forget")
        stream = self._encoder.stream(self._split(as_documents(documents)))
        counted = self._counted(self._encoder, stream, self._model.settings)
        model = self._model - counted
        if not model.class_count.any():
            raise ValueError("forget would leave no document")
        self._model = model
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
            If vocabularies or parameters differ, or if a model was refined or pruned.
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
            likelihood with many such tokens is too high. Ends of documents are not
            among these tokens. Where they are predicted, ``score_with_ends`` and
            ``perplexity_with_ends`` are those of tokens and ends.

        Raises
        ------
        TypeError, ValueError
            As in `fit`.
        """
        check_is_fitted(self)
        if is_collection(documents):
            return evaluate_blocks(self, documents)
        documents, n_bytes, are_strings = as_documents(documents), 0, True

        def counted() -> Iterator[Any]:
            nonlocal n_bytes, are_strings
            for document in Documents(documents):
                if isinstance(document, str):
                    n_bytes += len(document.encode(errors="surrogatepass"))
                else:
                    are_strings = False
                yield document

        ids, predictor = self._encoder.ids, self._predictor
        # All words of an ARPA file were, where there are no counts.
        class_count = getattr(self, "class_count_", np.ones(ids.pad))
        never_counted = np.append(class_count == 0, False)
        n_tokens = n_oov = n_new = n_ends = 0
        total = of_ends = 0.0
        with long_task(self, "evaluate", lambda: n_documents(documents)):
            for stream, _ in self._encoder.chunks(self._split(counted())):
                if not stream.n_targets:
                    continue
                targets = self._encoder.targets(stream)
                logs = np.concatenate(list(predictor.log_likelihood(stream)))
                is_end, is_oov = targets == ids.pad, targets == ids.oov
                of_ends += float(logs[is_end].sum())
                total += float(logs[~is_end].sum())
                n_tokens += stream.n_targets
                n_ends += int(is_end.sum())
                n_oov += int(is_oov.sum())
                n_new += int((never_counted[targets] & ~is_oov).sum())
        if not n_tokens:
            raise ValueError(NO_TOKEN)
        report: dict[str, float] = {
            "n_tokens": n_tokens,
            "n_oov": n_oov,
            "n_new": n_new,
        }
        scores = {"": total / n_tokens}
        if self._encoder.has_ends:
            scores["_with_ends"] = (total + of_ends) / (n_tokens + n_ends)
        report |= scores_and_perplexities(scores)
        if n_bytes and are_strings:
            report["n_bytes"] = n_bytes
            report["bits_per_byte"] = -total / math.log(2) / n_bytes
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
            If documents are token ids or words, which have no bytes.
        """
        report = self.evaluate(documents)
        if "bits_per_byte" not in report:
            raise ValueError(
                "bits_per_byte needs documents that are strings: token ids, and words "
                "without what was between them, have no bytes"
            )
        return report["bits_per_byte"]

    def log_proba(self, documents: Any) -> Any:
        """Log-probability of each token of documents, given those before it.

        Parameters
        ----------
        documents : str, sequence of int, or iterable of such documents
            One document, or many in one call, which is faster. They may be empty.

        Returns
        -------
        log_proba : ndarray of shape (n_tokens,), or list of them
            In nats; where ends are predicted, the last number is that of the end of the
            document, except for empty documents, which have no numbers. The sum is the
            log-likelihood of the document; of a minimal pair of sentences, the one with
            the higher sum is preferred.
        """
        check_is_fitted(self)
        # Where no function splits strings, several words are a document.
        of_words = self._encoder.ids.takes_words and not text_splitter(self.tokenizer)
        is_one = _is_document(documents, of_words)
        found = self._log_proba([documents] if is_one else documents, "log_proba")
        return found[0] if is_one else found

    def _log_proba(
        self, documents: Any, method: str, value: Callable[[Any], Any] = np.asarray
    ) -> list[Any]:
        """A value of the log-probabilities of each document."""
        check_is_fitted(self)
        predictor, found = self._predictor, list[Any]()
        documents = as_documents(documents)
        with long_task(self, method, lambda: n_documents(documents)):
            for stream, lengths in self._encoder.chunks(self._split(documents)):
                logs = np.zeros(0)
                if stream.n_targets:
                    logs = np.concatenate(list(predictor.log_likelihood(stream)))
                lengths += self._encoder.has_ends & (lengths > 0)
                found += map(value, np.split(logs, np.cumsum(lengths)[:-1]))
        if not found:
            raise ValueError(NO_TOKEN)
        return found

    def score_samples(self, documents: Iterable[Any]) -> NDArray[np.float64]:
        """Log-likelihood of each document, as to rank candidates.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            As in `fit`; empty ones have a log-likelihood of zero.

        Returns
        -------
        log_likelihood : ndarray of shape (n_documents,)
            Sums of `log_proba`, in nats.
        """
        return np.array(self._log_proba(documents, "score_samples", np.sum))

    @lazy_on_blocks
    def predict_proba(self, prefixes: Iterable[Any]) -> NDArray[np.float32]:
        """Probabilities of the token that follows each prefix.

        Parameters
        ----------
        prefixes : iterable of str, or of sequences of int
            Beginnings of documents; an empty one asks for the first token.

        Returns
        -------
        probabilities : ndarray of shape (n_prefixes, n_classes)
            Column i is the probability of id i. Padding has no column, but if ends of
            documents are predicted, the last column is theirs.
        """
        check_is_fitted(self)
        documents = document_list(prefixes)
        with long_task(self, "predict_proba", lambda: 2 * len(documents)):
            encoded = self._encoder.ids.encode(self._split(documents))
            proba = self._predictor.next_proba(encoded)
        return proba.astype(np.float32, copy=False)

    def generate(
        self,
        prompt: str | Sequence[int] = "",
        n_tokens: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        random_state: Any = None,
    ) -> str | NDArray[np.int32]:
        """Draw a continuation, token by token.

        Parameters
        ----------
        prompt : str or sequence of int, default=""
            Beginning of the document, which is continued; may be empty.
        n_tokens : int, default=50
            Number of tokens to draw, at most: less if the end of the document is drawn.
        temperature : float, default=1.0
            Divides the scores; 0 takes the most probable token.
        top_k : int, default=None
            Draw from this many most probable tokens only; from all by default.
        top_p : float, default=1.0
            Draw from the fewest most probable tokens that have this probability
            together (nucleus sampling), after `temperature` and `top_k`.
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
        _check_number("top_p", top_p, Real, 0)
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {top_p!r}")
        rng = check_random_state(random_state)
        ids, predictor = self._encoder.ids, self._predictor
        history = np.zeros(0, dtype=np.int32)
        if not isinstance(prompt, str) or prompt:
            history = ids.encode(self._split([prompt]))[0]
        n_known = history.size
        history = np.append(history, np.zeros(n_tokens, dtype=np.int32))
        with long_task(self, "generate", lambda: n_tokens):
            for place in range(n_known, history.size):
                proba = predictor.next_proba([history[:place]])[0].astype(np.float64)
                proba[ids.oov] = 0.0
                token = _draw(proba, float(temperature), top_k, float(top_p), rng)
                if token == ids.pad:
                    history = history[:place]
                    break
                history[place] = token
        drawn = history[n_known:]
        return drawn if ids.tokenizer is None else ids.decode(drawn)

    def to_arpa(
        self, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> None:
        """Write the n-grams to a file that KenLM reads, without the mixture.

        Words are the tokens of `tokenizer_`, or else the ids in decimals. White space
        and control characters in tokens are written as in URLs (``%20``). ``<unk>`` is
        out of vocabulary.

        Parameters
        ----------
        path : str or path-like
            File to write; compressed if its name ends in ``.gz``. An existing file is
            replaced only when the new one is complete.
        progress : callable, default=None
            Called with the number of n-grams written so far, and that of all.

        Raises
        ------
        ValueError
            If the model is not of n-grams.

        See Also
        --------
        from_arpa : Read such a file.
        """
        check_is_fitted(self)
        if not isinstance(self._model, NgramModel):
            raise ValueError(
                'to_arpa writes n-grams: fit a model with aggregation="ngram"'
            )
        model, words = self._model.kneser_ney, self._encoder.ids.words()
        is_gzip = fsdecode(path).endswith(".gz")

        def write(file: BinaryIO) -> None:
            write_arpa(file, model, words, progress, compress=is_gzip)

        replace_file(path, write)

    @classmethod
    def from_arpa(
        cls, path: str | PathLike[str], *, progress: Progress | None = None
    ) -> Self:
        """Read n-grams from an ARPA file, as KenLM's ``lmplz`` and others write it.

        The model scores as KenLM does, but for words of the file that hold other white
        space than that of ASCII, which strings are divided at: give documents as
        sequences of words for these. It has no counts: it cannot be continued, merged,
        or made to forget. This needs the extra ``lm``.

        Parameters
        ----------
        path : str or path-like
            File to read; compressed if its name ends in ``.gz``.
        progress : callable, default=None
            Called with the number of n-grams read so far, and that of all.

        Returns
        -------
        model : ExplicitLanguageModel
            Model of texts, whose tokens are what white space separates. ``<unk>`` and
            ``<UNK>`` are out of vocabulary, as for KenLM; ends of documents are
            predicted if the file has ``</s>``.

        Raises
        ------
        ValueError
            If the file is not a complete ARPA file; the message names the line. Each
            n-gram needs its context, and itself without its first word, among the
            shorter ones. Back-off weights that are not there are one.

        See Also
        --------
        to_arpa : Write such a file.

        Examples
        --------
        >>> import os, tempfile
        >>> from explicit_softmax import ExplicitLanguageModel
        >>> model = ExplicitLanguageModel(context_size=1, vocabulary_size=5)
        >>> model = model.fit([[0, 1, 2, 0, 1, 2], [1, 2, 0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.arpa.gz")
        ...     model.to_arpa(path)
        ...     other = ExplicitLanguageModel.from_arpa(path)
        >>> bool(abs(other.score(["1 2 0"]) - model.score([[1, 2, 0]])) < 1e-6)
        True
        """
        smoothed, words = read_arpa(path, progress)
        ids = TokenIds.of(word_tokenizer(words, "<unk>"))
        model = NgramModel(None, smoothed=smoothed)
        _, size, has_ends = model.shape
        made = cls(
            context_size=size,
            predict_end=has_ends,
            tokenizer=ids.tokenizer,
            vocabulary_size=None,
        )
        made._encoder = WindowEncoder(ids, size, "ngram", has_ends)
        made._model = model
        return made

    @property
    def tokenizer_(self) -> Any:
        check_is_fitted(self)
        return self._encoder.ids.tokenizer

    @property
    def vocabulary_size_(self) -> int:
        check_is_fitted(self)
        return self._encoder.ids.size

    class_count_ = FromModel("class_count")
    n_tokens_ = FromModel(lambda model: int(model.class_count.sum()))
    n_oov_ = FromModel(lambda model: int(model.class_count[-1]))
    discounts_ = FromModel("kneser_ney.discounts")
    mixture_weights_ = FromModel("solution.weights")
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

    def _check_consistent(self) -> None:
        encoder = self._encoder
        if isinstance(self._model, NgramModel) != (encoder.aggregation == "ngram"):
            raise ValueError("its counts are not those of its aggregation")
        if encoder.aggregation == "ngram":
            shape = (encoder.ids.size, encoder.context_size, encoder.has_ends)
            if shape != self._model.shape:
                raise ValueError("its n-grams are not those of its parameters")
            return
        counts, size = self._model.counts, encoder.ids.size
        mass = encoder.context_size * counts.class_count
        fits = self._model.shape == (encoder.n_blocks * size, size - 1)
        # Every token was counted with each token of its window.
        if not (fits and np.array_equal(counts.class_mass, mass)):
            raise ValueError("its windows are not those of its counts")

    def _split(self, documents: Iterable[Any]) -> Documents:
        """Documents as the encoder takes them."""
        return Documents(documents, text_splitter(self.tokenizer))

    def _new_encoder(
        self, documents: Iterable[Any], earlier: WindowEncoder | None = None
    ) -> WindowEncoder:
        """Encoder of documents, with the vocabulary of an earlier one if given."""
        self._min_counts()
        if earlier is None:
            size = None if self.vocabulary_size is None else int(self.vocabulary_size)
            ids = TokenIds.for_documents(
                self._split(documents), self.tokenizer, size, int(self.min_frequency)
            )
        else:
            ids = earlier.ids
        has_ends = self.predict_end
        if has_ends and self.aggregation != "ngram":
            if not isinstance(has_ends, str):
                raise ValueError("predict_end=True needs aggregation='ngram'")
            has_ends = False
        elif isinstance(has_ends, str) and earlier is not None:
            has_ends = earlier.has_ends
        elif isinstance(has_ends, str):
            first = islice(Documents(documents), 1)
            has_ends = ids.tokenizer is not None or isinstance(next(first), str)
        size = int(self.context_size)
        return WindowEncoder(ids, size, self.aggregation, bool(has_ends))

    def _counted(
        self, encoder: WindowEncoder, stream: TokenStream, all_of: Any = None
    ) -> Any:
        """Model of documents; with all of them in its sample if settings are given."""
        settings = self._settings(encoder) if all_of is None else all_of
        if encoder.aggregation == "ngram":
            return NgramModel.from_stream(
                stream,
                encoder.ids.size,
                encoder.has_ends,
                mixture=settings,
                sample_all=all_of is not None,
                min_counts=self._min_counts(),
            )
        rows = encoder.rows(stream)
        return count_documents(rows, settings, sample_all=all_of is not None)

    def _min_counts(self) -> tuple[int, ...] | None:
        """Least counts of n-grams of 1 to K + 1 tokens; None if all are kept."""
        given: Any = self.min_count
        size = int(self.context_size)
        counts: list[Any] = [1, given]
        if not isinstance(given, Integral):
            counts = [*given] if isinstance(given, Sequence | np.ndarray) else []
        are_counts = 0 < len(counts) <= size + 1 and all(
            isinstance(count, Integral) for count in counts
        )
        if not are_counts or counts[0] != 1 or sorted(counts) != counts:
            raise ValueError(
                "min_count must be an integer, or at most context_size + 1 = "
                f"{size + 1} integers that begin with 1 and do not fall, not {given!r}"
            )
        counts += counts[-1:] * (size + 1 - len(counts))
        if counts[-1] == 1:
            return None
        if self.aggregation != "ngram":
            raise ValueError("min_count needs aggregation='ngram'")
        return tuple(map(int, counts))

    @property
    def _predictor(self) -> NgramSolution | WindowPredictor:
        if isinstance(self._model, NgramModel):
            return self._model.solution
        return WindowPredictor(self._encoder, self._model.decoders[0])

    def _n_steps(self, context_size: int) -> int:
        """Steps of the solution: levels of contexts are smoothed twice for mixtures."""
        n_levels = context_size
        if self.mixture == "skip":
            n_levels += sum(map(len, skip_distances(context_size)))
        return 2 * n_levels * (1 + bool(self.mixture))

    def _settings(self, encoder: WindowEncoder) -> Any:
        """Settings of the model; of n-grams, whether they are mixed."""
        if encoder.aggregation == "ngram":
            if self.mixture != "skip":
                return bool(self.mixture)
            if not skip_distances(encoder.context_size):
                raise ValueError(
                    "mixture='skip' leaves tokens out of contexts: it needs a "
                    f"context_size of at least 3, not {encoder.context_size}"
                )
            return self.mixture
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
    documents: Iterable[Any], refinement: Refinement
) -> tuple[list[Any], list[Any]]:
    """Documents to count and refine on, and a share of them to stop by."""
    documents = list(Documents(documents))
    if len(documents) < 2:
        raise ValueError(
            "early_stopping=True sets documents aside and needs at least two: give "
            "documents_val, or split the document"
        )
    numbers = np.arange(len(documents))
    parts = split_validation(refinement, numbers, np.zeros_like(numbers), None)
    train, held_out = (part[0] for part in parts if part is not None)
    return [documents[i] for i in np.sort(train)], [documents[i] for i in held_out]


def _is_document(documents: Any, of_words: bool) -> bool:
    """Whether it is one document: a string, or a sequence of numbers or of nothing.

    Or of words, if documents are of these.
    """
    if isinstance(documents, str):
        return True
    if not isinstance(documents, Sequence | np.ndarray):
        return False
    if not len(documents):
        return True
    is_token = of_words or not isinstance(documents[0], str)
    return np.ndim(documents[0]) == 0 and is_token


def _draw(
    proba: NDArray[np.float64],
    temperature: float,
    top_k: int | None,
    top_p: float,
    rng: Any,
) -> int:
    """A number, drawn in proportion to `proba`."""
    if temperature == 0:
        return int(proba.argmax())
    if temperature != 1:
        # Differences first: the highest is zero, whatever the temperature.
        with np.errstate(over="ignore", divide="ignore"):
            logs = np.log(proba)
            proba = np.exp((logs - logs.max()) / temperature)
    if top_k is not None or top_p < 1:
        # The first of equal ones is kept, as by argmax.
        least, total = 0.0, proba.sum()
        if top_k is not None and top_k < proba.size:
            least = np.partition(proba, -top_k)[-top_k]
        elif top_p < 1:
            # All below this have half of what is left out, together, or less.
            least = 0.5 * (1.0 - top_p) * total / proba.size
        best = np.flatnonzero(proba >= least)
        order = best[np.argsort(-proba[best], kind="stable")][:top_k]
        sums = np.cumsum(proba[order])
        if top_k is not None:
            total = sums[-1]
        kept = order[: int(np.searchsorted(sums, top_p * total)) + 1]
        candidates, proba = proba[kept], np.zeros_like(proba)
        proba[kept] = candidates
    sums = np.cumsum(proba)
    return int(np.searchsorted(sums, rng.random_sample() * sums[-1], side="right"))


def _check_number(name: str, value: Any, kind: Any, least: int) -> None:
    is_kind = isinstance(value, kind) and not isinstance(value, bool)
    if not is_kind or not least <= value < math.inf:
        wanted = "an integer" if kind is Integral else "a finite number"
        raise ValueError(f"{name} must be {wanted} of at least {least}, not {value!r}")
