"""ExplicitLanguageModel: next-token probabilities written down from counts."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any, Self

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from explicit_softmax._language_base import listed
from explicit_softmax._language_scoring import LanguageModelScoring
from explicit_softmax._sklearn import (
    FitReport,
    Interval,
    StrOptions,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.calibration.sample import RetainedRows
from explicit_softmax.text.language import window_limit


class ExplicitLanguageModel(LanguageModelScoring):
    """Feed-forward language model whose weights are written down from counts.

    Each token is predicted from the `context_size` tokens before it, by softmax
    regression on their one-hot vectors, added (Sum) or one after the other (Cat), with
    the explicit solution of [1]_: logarithms of the counts of each pair of a context
    token and a target. One pass over the tokens counts them. The inverse temperatures,
    one for each position, which weigh the positions like a fixed attention, and the
    smoothing strength minimise the exact leave-one-out log-loss of some windows. The
    model of the paper is ``smoothing="noise", inverse_temperature=1.0``.

    Counts are additive: `partial_fit` streams documents, and `merge` adds other models.
    With ``warm_start=True`` the solution is the start of a log-loss refinement.

    Parameters
    ----------
    context_size : int, default=4
        K, the number of tokens in a window.
    aggregation : {"cat", "sum"}, default="cat"
        Whether weights know the position of a token (Cat), or not (Sum).
    tokenizer : tokenizers.Tokenizer, default=None
        Trained tokenizer for documents that are strings. By default byte-pair encoding
        is learned from the documents of the first fit, which takes the extra ``lm``.
        Not used for documents of token ids.
    vocabulary_size : int or None, default=4098
        Number of token ids V: those of tokens, then one for what is out of vocabulary
        (V - 2), then one for padding (V - 1). For strings, what byte-pair encoding may
        learn, V - 2 tokens at most; with a `tokenizer`, that decides. None is the
        largest id of the first fit and three more, for documents of ids only.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `ExplicitSoftmaxClassifier`.
    smoothing_strength : "auto" or float, default="auto"
        Strength of "prior" and "uniform"; "auto" has the least leave-one-out log-loss.
    inverse_temperature : "auto", float, or array-like of shape (n_blocks,), \
default="auto"
        beta of each position, the nearest first, or one for all; with Sum, one. "auto"
        has the least leave-one-out log-loss on at most 2,048 windows, fewer where their
        scores would be more than 2**24. They are drawn with a fixed seed and kept with
        the model; after `partial_fit` they are those of the latest documents.
    warm_start : bool, default=False
        Whether `fit` hands the solution to a log-loss refinement.
    init : {"explicit", "random"}, default="explicit"
        Where the refinement starts: at the explicit solution, or, as a cold start to
        compare with, at small random weights.
    solver : {"adagrad", "sgd"}, default="adagrad"
        Mini-batch Adagrad or gradient descent on the weights of the tokens of a batch.
    learning_rate_init : float, default=0.05
        Step.
    batch_size : int, default=1024
        Windows of a mini-batch.
    max_iter : int, default=10
        Number of iterations of the refinement.
    tokens_per_iter : int or None, default=200_000
        Tokens of an iteration, after which callbacks and `documents_val` are heard; all
        tokens if None. The default refines on two million tokens.
    alpha : float, default=0.0
        Strength of the penalty ``alpha / 2 * ||W - W_start||**2``.
    n_iter_no_change : int, default=5
        Iterations without gain on `documents_val` after which to stop.
    shuffle : bool, default=True
        Whether windows are visited in random order.
    random_state : int, RandomState instance, or None, default=None
        Order of the windows, and random weights. The explicit solution does not depend
        on it.

    Attributes
    ----------
    vocabulary_size_ : int
        V. Classes, and columns of probabilities, are the ids 0 to V - 2.
    tokenizer_ : tokenizers.Tokenizer or None
        What turns strings into ids; None for a model of ids.
    n_tokens_ : int
        Tokens counted.
    n_oov_ : int
        How many of them are out of vocabulary.
    inverse_temperature_ : ndarray of shape (n_blocks,)
        beta.
    smoothing_strength_ : float
        Strength.
    leave_one_out_log_loss_ : float
        Log-loss of the windows that chose these, in nats per token; NaN if betas are
        given.
    class_count_ : ndarray of shape (V - 1,)
        How often each token was counted.
    n_iter_ : int
        Iterations of the refinement; 1, the pass that counts, without it.
    loss_curve_ : list of float
        Mean log-loss of the windows of each iteration; only after a refinement.
    validation_scores_ : list of float or None
        `score` on `documents_val` after each iteration; only after a refinement.

    See Also
    --------
    context_windows : Windows and targets as arrays.
    ContextWindowTransformer : The same features for pipelines.

    Notes
    -----
    Likelihoods are those of tokens: perplexities of models with different vocabularies
    do not compare, bits per byte do. Weights are float32.

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
        "smoothing": [StrOptions({"uniform", "prior", "noise"}), None],
        "smoothing_strength": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "inverse_temperature": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
            "array-like",
        ],
        "warm_start": ["boolean"],
        "init": [StrOptions({"explicit", "random"})],
        "solver": [StrOptions({"adagrad", "sgd"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tokens_per_iter": [Interval(Integral, 1, None, closed="left"), None],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        context_size: int = 4,
        aggregation: str = "cat",
        tokenizer: Any = None,
        vocabulary_size: int | None = 4098,
        smoothing: str | None = "prior",
        smoothing_strength: float | str = "auto",
        inverse_temperature: float | ArrayLike | str = "auto",
        warm_start: bool = False,
        init: str = "explicit",
        solver: str = "adagrad",
        learning_rate_init: float = 0.05,
        batch_size: int = 1024,
        max_iter: int = 10,
        tokens_per_iter: int | None = 200_000,
        alpha: float = 0.0,
        n_iter_no_change: int = 5,
        shuffle: bool = True,
        random_state: Any = None,
    ) -> None:
        self.context_size = context_size
        self.aggregation = aggregation
        self.tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size
        self.smoothing = smoothing
        self.smoothing_strength = smoothing_strength
        self.inverse_temperature = inverse_temperature
        self.warm_start = warm_start
        self.init = init
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tokens_per_iter = tokens_per_iter
        self.alpha = alpha
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        documents: Iterable[Any],
        y: Any = None,
        *,
        documents_val: Iterable[Any] | None = None,
    ) -> Self:
        """Count the windows of documents and write down the solution.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            Texts, or documents of token ids. Empty ones are passed over.
        y : None
            Ignored.
        documents_val : iterable, default=None
            Documents of the same kind, scored after each iteration of a refinement: the
            weights that do best on them are kept.

        Returns
        -------
        self : ExplicitLanguageModel

        Raises
        ------
        TypeError
            If documents are neither strings nor sequences of ids, or both.
        ValueError
            If there is no token (an iterator may have been read to its end before), or
            an id is out of range. A model that was fitted before stays as it was.
        """
        if self.init == "random" and not self.warm_start:
            raise ValueError(
                "init='random' is the start of a refinement: it needs warm_start=True"
            )
        documents = listed(documents)
        # Their tokens are the targets too: monitors score only where there are some.
        report = FitReport(
            self, documents, documents, None, self.max_iter if self.warm_start else 0
        )
        with restored_on_error(self):
            rows = self._start(documents)
            self._solved()
            if self.warm_start:
                self._refine(rows, documents_val, report)
        report.end()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, documents: Iterable[Any], y: Any = None) -> Self:
        """Count more documents.

        Parameters
        ----------
        documents : iterable of str, or of sequences of int
            As in `fit`. The first call settles the vocabulary: byte-pair encoding is
            learned from its documents.
        y : None
            Ignored.

        Returns
        -------
        self : ExplicitLanguageModel

        Raises
        ------
        ValueError
            As in `fit`; also if the model was refined, or if `context_size` or
            `aggregation` were changed since the first call.
        """
        with restored_on_error(self):
            if not hasattr(self, "_counts"):
                self._start(listed(documents))
                self._given_betas()  # raises now, not when it is first used
                return self
            self._check_counts_only("partial_fit")
            self._check_counted_alike()
            rows = self._windows(self._ids.encode(listed(documents)))
            counts, retained = self._count(rows)
            limit = window_limit(counts.n_classes, self._n_blocks)
            self._replace_counts(
                self._counts + counts, self._retained.followed_by(retained, limit)
            )
        return self

    def merge(self, *others: Self) -> Self:
        """Add the counts of other fitted models.

        Parameters
        ----------
        *others : ExplicitLanguageModel
            Models of the same vocabulary, windows, and smoothing. They are not changed.
            Models of strings share a vocabulary if they were given the same
            `tokenizer`.

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
        self._check_counts_only("merge")
        counts, parts = self._counts, [self._retained]
        for other in others:
            self._check_mergeable(other)
            counts = counts + other._counts
            parts.append(other._retained)
        if others:
            pooled = parts[0]
            for part in parts[1:]:
                total = len(pooled.y) + len(part.y)
                pooled = pooled.followed_by(part, total)
            limit = window_limit(counts.n_classes, self._n_blocks)
            self._replace_counts(
                counts,
                RetainedRows.draw(pooled.X, pooled.y, pooled.weights, limit),
            )
        return self
