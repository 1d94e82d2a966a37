"""ExplicitSoftmaxClassifier: softmax classification written down from counts."""

from __future__ import annotations

from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import check_classification_targets

from explicit_softmax._base import SHARED_CONSTRAINTS
from explicit_softmax._counting import CountingClassifier
from explicit_softmax._refinement import refine_solution, split_validation
from explicit_softmax._sklearn import (
    FitReport,
    Interval,
    StrOptions,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.calibration.model import Setting, count_and_keep


class ExplicitSoftmaxClassifier(CountingClassifier):
    """Softmax classifier whose weights are written down from co-occurrence counts.

    One pass over non-negative features (counts, frequencies, pixels) gives the
    co-occurrences F of features and classes and, without iteration, the weights
    U = log F - (K - 1)/K log S of [1]_, where S are the column sums of F and K is the
    norm of a row. The theorem as printed is ``inverse_temperature=1.0,
    smoothing=None``; by default the co-occurrences are smoothed, and one number, the
    inverse temperature, repairs the over-confidence of the theorem. It minimises the
    exact leave-one-out log-loss.

    The counts are additive: `partial_fit` streams them, `merge` adds those of other
    models, and `forget` takes rows out again. All of these give the same model as one
    `fit`, to the last bit where features and weights are integers and the inverse
    temperature is given. With ``warm_start=True`` the solution is the start of a
    log-loss refinement.

    Parameters
    ----------
    priming_number : "mean_norm" or float, default="mean_norm"
        K, the norm of a row (after `norm_exponent`); the mean over rows by default. It
        matters through the weight of the class prior, ``|h|/K`` for a row h.
    inverse_temperature : "auto", float, or array-like of shape (n_blocks,), \
default="auto"
        beta, what the evidence of the features is multiplied by, for all blocks or one
        by one. "auto" is the non-negative minimiser of the exact leave-one-out log-loss
        over at most 4,096 rows, or fewer so that they hold at most 2**20 stored
        features and 2**20 scores (classes times blocks), but no fewer than 256;
        ``translation="exact"`` uses up to four times as many features. The rows are
        drawn with a fixed seed and kept with the model, in which they may take up to
        8 MiB (32 MiB); after `partial_fit` they are those of the latest batches.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        What is added to the co-occurrences. "prior" adds `smoothing_strength` times the
        number of classes times the marginal of the class, "uniform" adds
        `smoothing_strength` (Lidstone), "noise" is the noise model of Eq. 4 in [1]_ for
        one-hot features, and None adds nothing and raises where a co-occurrence is
        zero.
    smoothing_strength : float, default=0.1
        Strength of "prior" and "uniform" in units of the mean non-zero feature, so that
        the unit of the features does not matter.
    norm_exponent : float, default=0.0
        Rows are divided by ``norm ** norm_exponent`` before they are counted and
        scored: 0 is the paper, 1 gives all rows the same norm, and 0.5 is often better
        for documents of different lengths.
    norm_weight : "auto" or float, default="auto"
        gamma, between 0 and 1: the weight of the mean norms K_i of the rows of the
        classes, which the class mass S_i = n_i K_i mixes with the class counts n_i. 1
        is the paper; 0 leaves the class counts alone as prior. "auto" is chosen
        together with the inverse temperature if that is "auto", is 1 if a number is
        given for that, and 0 under ``translation="exact"``. Of no effect where all rows
        have the same norm.
    translation : {"column", "intercept", "exact"}, default="column"
        Where the class prior stands: in the weights (Eq. 3), in intercepts, or in
        translations of the columns of weights and intercepts that minimise the
        leave-one-out log-loss together with the inverse temperature (Eq. 12). "exact"
        is better where classes are unbalanced. With more than 1,000 classes it fits the
        exponent of the class frequencies only.
    n_blocks : int or array-like of int, default=1
        Number of contiguous blocks of features of equal size, such as the positions of
        a window, or their sizes, such as those of the parts of a FeatureUnion. Each
        block has its own column sums and inverse temperature.
    warm_start : bool, default=False
        Whether `fit` hands the explicit solution to a log-loss refinement as its start.
        Elsewhere in scikit-learn the name means to start from the previous call to
        `fit`; here nothing is taken over from earlier calls.
    solver : {"adagrad", "sgd", "lbfgs"}, default="adagrad"
        Refinement: mini-batch Adagrad (as in [1]_) or gradient descent, whose result
        after each epoch is the mean of the weights over it, or L-BFGS on all rows,
        preconditioned where the features are dense and at most 2,048.
    learning_rate_init : float, default=0.05
        Step of Adagrad in units of one over the root mean square of a feature (centred
        where dense, non-zero where sparse), and of gradient descent in units of one
        over the mean square norm of a row; steps of 1 to 3 suit the latter.
    batch_size : int, default=256
        Rows of a mini-batch.
    max_iter : int, default=20
        Largest number of epochs, or of iterations of L-BFGS.
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2 * ||W - W_explicit||**2`` on the mean
        log-loss: it shrinks towards the explicit solution.
    tol : float, default=1e-4
        The refinement stops when the loss has not improved by `tol` nats for
        `n_iter_no_change` epochs; for L-BFGS, when no entry of the gradient exceeds it.
    early_stopping : bool, default=False
        Whether to set rows aside, from the counts also, stop when their log-loss no
        longer improves, and keep the weights that did best on them.
    validation_fraction : float, default=0.1
        Share of the rows set aside by `early_stopping`.
    n_iter_no_change : int, default=5
        Epochs or iterations without improvement before the refinement stops.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    random_state : int, RandomState instance, or None, default=None
        Order of rows and choice of the validation rows. The explicit solution does not
        depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    coef_ : ndarray of shape (n_classes, n_features)
        U', the decoder, two rows also for two classes. Made dense when read if the
        model is sparse. With ``smoothing="noise"`` it includes the embedding and is
        given up to a constant per feature, which no probability depends on.
    intercept_ : ndarray of shape (n_classes,)
        Zeros under ``translation="column"`` unless refined.
    class_count_ : ndarray of shape (n_classes,)
        Summed weights of the rows of each class.
    feature_count_ : ndarray or csr_array of shape (n_classes, n_features)
        F', the co-occurrences, as dense or sparse as the rows that were counted.
    priming_number_ : float
        K.
    inverse_temperature_ : float or ndarray of shape (n_blocks,)
        beta; a float for one block.
    norm_weight_ : float
        gamma.
    loss_curve_ : list of float
        Objective in nats by epoch or iteration; only after a refinement.
    n_iter_ : int
        Epochs or iterations of the refinement; 1, the pass that counts, without it.
    validation_scores_ : list of float or None
        Mean log-likelihood of the validation rows by epoch or iteration; None without
        `early_stopping`; only after a refinement.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, where all are strings.

    See Also
    --------
    sklearn.naive_bayes.MultinomialNB : The same solution where all rows have one norm,
        ``priming_number`` is that norm, and ``inverse_temperature=1``.
    sklearn.linear_model.LogisticRegression : The same model trained by iteration.

    Notes
    -----
    The weights are U = beta log F - beta log S + 1/K (log n + gamma log K_i), with
    S_i = n_i K_i. With gamma = 1, or where all rows have the same norm, this is
    U = beta log F - (beta - 1/K) log S, and beta = 1 is the theorem.

    A row without any feature gets the class frequencies as probabilities, unless the
    model is refined: then the intercepts decide. A class that was declared but not seen
    has a small finite probability.

    Predictions that return less than scores (`predict`, `score`) hold them in chunks.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxClassifier().fit(X[:1000], y[:1000])
    >>> round(clf.score(X[1000:], y[1000:]), 3)
    0.872
    >>> streamed = ExplicitSoftmaxClassifier()
    >>> for start in range(0, 1000, 100):
    ...     batch = slice(start, start + 100)
    ...     streamed = streamed.partial_fit(X[batch], y[batch], classes=range(10))
    >>> bool((streamed.feature_count_ == clf.feature_count_).all())
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **SHARED_CONSTRAINTS,
        "priming_number": [
            StrOptions({"mean_norm"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "smoothing_strength": [Interval(Real, 0, None, closed="neither")],
        "norm_exponent": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        priming_number: float | str = "mean_norm",
        inverse_temperature: float | ArrayLike | str = "auto",
        smoothing: str | None = "prior",
        smoothing_strength: float = 0.1,
        norm_exponent: float = 0.0,
        norm_weight: float | str = "auto",
        translation: str = "column",
        n_blocks: Any = 1,
        warm_start: bool = False,
        solver: str = "adagrad",
        learning_rate_init: float = 0.05,
        batch_size: int = 256,
        max_iter: int = 20,
        alpha: float = 0.0,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        shuffle: bool = True,
        random_state: Any = None,
    ) -> None:
        self.priming_number = priming_number
        self.inverse_temperature = inverse_temperature
        self.smoothing = smoothing
        self.smoothing_strength = smoothing_strength
        self.norm_exponent = norm_exponent
        self.norm_weight = norm_weight
        self.translation = translation
        self.n_blocks = n_blocks
        self.warm_start = warm_start
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.alpha = alpha
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Count the rows and write down the solution; refine it if `warm_start`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. An integer weight equals so many copies of the row.

        Returns
        -------
        self : ExplicitSoftmaxClassifier

        Raises
        ------
        ValueError
            If a feature is negative or not finite, if all weights are zero, or if a
            co-occurrence is zero under ``smoothing=None``. An estimator that was
            fitted before stays as it was.
        """
        report = FitReport(
            self, X, y, sample_weight, self.max_iter if self.warm_start else 0
        )
        with restored_on_error(self):
            rows, labels, weights = self._check_rows_and_labels(
                X, y, sample_weight, reset=True
            )
            check_classification_targets(labels)
            self.classes_, codes = np.unique(labels, return_inverse=True)
            validation = None
            if self.warm_start and self.early_stopping:
                (rows, codes, weights), validation = split_validation(
                    self, rows, codes, weights
                )
            self._counts, self._retained = count_and_keep(
                self._setting(), rows, codes, len(self.classes_), weights
            )
            self._dtype = rows.dtype
            self._forget_refinement()
            self._layout = "auto"
            self._solution = None
            self._solved()
            self.n_iter_ = 1
            if self.warm_start:
                refine_solution(self, rows, codes, weights, validation, report)
        report.end()
        return self

    def _setting(self) -> Setting:
        return Setting(
            self.priming_number,
            self.inverse_temperature,
            self.smoothing,
            self.smoothing_strength,
            self.norm_exponent,
            self.norm_weight,
            self.translation,
            self.n_blocks,
        )
