"""ExplicitSoftmaxNetworkClassifier: softmax layers solved one after the other."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets

from explicit_softmax._base import SHARED_CONSTRAINTS
from explicit_softmax._hidden_targets import hidden_codes
from explicit_softmax._network_fit import (
    check_features,
    check_parameters,
    forget_optional_attributes,
    solve_network,
    train_network,
)
from explicit_softmax._predictions import ScoringClassifier
from explicit_softmax._refinement import split_validation
from explicit_softmax._sklearn import (
    FitReport,
    Interval,
    StrOptions,
    _fit_context,
    restored_on_error,
)
from explicit_softmax.calibration.layers import network_scores, softmax_in_place
from explicit_softmax.solution.counts import raise_bad_value
from explicit_softmax.solution.decoder import Decoder


class ExplicitSoftmaxNetworkClassifier(ScoringClassifier):
    """Layers of softmax, each written down from co-occurrence counts.

    The first layer is the explicit solution of `ExplicitSoftmaxClassifier`. Its softmax
    outputs are positive and sum to one, so that they are rows of norm K = 1 for the
    next layer, which is solved in the same way, and so on (section 3.3 of [1]_). This
    takes forward passes over the data, and no gradient. The inverse temperature of each
    layer is chosen before the next is solved.

    With ``hidden_targets="classes"`` all layers predict the classes, as in the paper.
    With an integer the hidden layers predict so many clusters within each class, which
    makes them wider than the number of classes and the model non-linear in earnest.

    With ``warm_start=True`` back-propagation then trains all layers jointly.

    Parameters
    ----------
    n_layers : int, default=2
        Number of layers; 1 is `ExplicitSoftmaxClassifier`.
    hidden_targets : "classes", int, or clusterer, default="classes"
        What hidden layers predict: the classes; so many clusters of the rows of each
        class, fewer where a class has fewer rows, found on square roots of the features
        by :class:`~sklearn.cluster.MiniBatchKMeans` among at most 4,000 rows of the
        class drawn at random (10 for each cluster if that is more); or the clusters
        that clones of an object with `fit_predict` find among all rows of each class. 1
        is the same as "classes".
    inverse_temperature : "auto", float, or array-like of shape (n_layers,), \
default="auto"
        beta, what the evidence of the inputs is multiplied by, for all layers or each.
        "auto" minimises the exact leave-one-out log-loss of each layer on at most 4,096
        rows, fewer where they would hold more than 8 MiB (their scores: 16 MiB), always
        the same ones.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `ExplicitSoftmaxClassifier`; "noise" is for the first layer, and later
        ones then have "prior".
    smoothing_strength : float, default=0.1
        Strength of "prior" and "uniform" in units of the mean non-zero feature, and, in
        later layers, of the mean input weighted by itself.
    norm_exponent : float, default=0.5
        Rows are divided by ``norm ** norm_exponent`` before they are counted and
        scored: 0 is the paper. Inputs of later layers have norm 1.
    warm_start : bool, default=False
        Whether `fit` trains all layers jointly, from the explicit solution. Elsewhere
        in scikit-learn the name means to start from the previous call to `fit`; here
        nothing is taken over from earlier calls.
    init : {"explicit", "random"}, default="explicit"
        Where joint training starts: from the explicit solution, or from normal weights
        that give the scores of each layer about unit variance, the cold start that the
        paper compares with. The latter needs ``warm_start=True``; its hidden layers are
        as wide as those of the explicit solution, and free to predict anything.
    solver : {"adagrad", "lbfgs"}, default="adagrad"
        Joint training: mini-batch Adagrad, whose result after each epoch is the mean of
        the weights over it, or L-BFGS on all rows.
    learning_rate_init : float, default=0.01
        Step of Adagrad, for each layer in units of one over the root mean square of its
        inputs (centred features where dense, non-zero ones where sparse). Hidden layers
        of softmax need smaller steps than a single layer.
    batch_size : int, default=256
        Rows of a mini-batch.
    max_iter : int, default=20
        Largest number of epochs, or of iterations of L-BFGS.
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2 * ||W - W_start||**2`` on the mean
        log-loss, over the weights of all layers: it shrinks towards the start.
    tol : float, default=1e-4
        Training stops when the loss has not improved by `tol` nats for
        `n_iter_no_change` epochs; for L-BFGS, when no entry of the gradient exceeds it.
    early_stopping : bool, default=False
        Whether to set rows aside, from the explicit solution also, stop when their
        log-loss no longer improves, and keep the weights that did best on them. Of no
        effect without `warm_start`.
    validation_fraction : float, default=0.1
        Share of the rows set aside by `early_stopping`.
    n_iter_no_change : int, default=5
        Epochs or iterations without improvement before training stops.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    random_state : int, RandomState instance, or None, default=None
        Clusters, random starts, order of rows, and choice of the validation rows. With
        ``hidden_targets="classes"`` the explicit solution does not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of each layer. Those of the first are for rows divided by ``norm **
        norm_exponent``.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Of each layer; zeros unless trained jointly.
    hidden_classes_ : ndarray of shape (n_hidden,)
        The class label within which each output of a hidden layer stands for a cluster;
        `classes_` where hidden layers predict the classes.
    inverse_temperature_ : ndarray of shape (n_layers,)
        beta of each layer of the explicit solution; not with ``init="random"``.
    priming_number_ : float
        K of the first layer, the mean norm of its rows; that of later layers is 1. Not
        with ``init="random"``.
    loss_curve_ : list of float
        Objective in nats by epoch or iteration; only after joint training.
    n_iter_ : int
        Epochs or iterations of joint training; 1 without it.
    validation_scores_ : list of float or None
        Mean log-likelihood of the validation rows by epoch or iteration; None without
        `early_stopping`; only after joint training.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in `fit`, where all are strings.

    See Also
    --------
    ExplicitSoftmaxClassifier : One layer, with more choices, streaming, and forgetting.
    sklearn.neural_network.MLPClassifier : Hidden layers trained by gradients only, and
        more accurate after some epochs.

    Notes
    -----
    Outputs of hidden layers for training rows are surer than those for new rows. The
    temperatures are chosen on a sample of rows that passes through every layer by its
    leave-one-out scores; the counts of later layers hold the outputs as they are. That
    a row belongs to its cluster is not undone: with few rows for each cluster the
    classifier is somewhat over-confident.

    There is no `partial_fit`: when the first layer changes, so do the inputs of the
    second, and what was counted of them cannot be corrected.

    References
    ----------
    .. [1] J. R. Williams and H. Zhao, "Reducing the Need for Backpropagation and
       Discovering Better Optima With Explicit Optimizations of Neural Networks",
       arXiv:2311.07498, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from explicit_softmax import ExplicitSoftmaxNetworkClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ExplicitSoftmaxNetworkClassifier(hidden_targets=10, random_state=0)
    >>> clf = clf.fit(X[:1000], y[:1000])
    >>> clf.score(X[1000:], y[1000:]) > 0.9
    True
    >>> [coef.shape for coef in clf.coefs_]
    [(64, 100), (100, 10)]
    """

    _parameter_constraints: dict[str, list[Any]] = {
        **{
            name: SHARED_CONSTRAINTS[name]
            for name in (
                "inverse_temperature",
                "smoothing",
                "warm_start",
                "learning_rate_init",
                "batch_size",
                "max_iter",
                "alpha",
                "tol",
                "early_stopping",
                "validation_fraction",
                "n_iter_no_change",
                "shuffle",
                "random_state",
            )
        },
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "smoothing_strength": [Interval(Real, 0, None, closed="neither")],
        "norm_exponent": [Interval(Real, 0, None, closed="left")],
        "init": [StrOptions({"explicit", "random"})],
        "solver": [StrOptions({"adagrad", "lbfgs"})],
    }

    _decoders: tuple[Decoder, ...]

    def __init__(
        self,
        *,
        n_layers: int = 2,
        hidden_targets: Any = "classes",
        inverse_temperature: float | ArrayLike | str = "auto",
        smoothing: str | None = "prior",
        smoothing_strength: float = 0.1,
        norm_exponent: float = 0.5,
        warm_start: bool = False,
        init: str = "explicit",
        solver: str = "adagrad",
        learning_rate_init: float = 0.01,
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
        self.n_layers = n_layers
        self.hidden_targets = hidden_targets
        self.inverse_temperature = inverse_temperature
        self.smoothing = smoothing
        self.smoothing_strength = smoothing_strength
        self.norm_exponent = norm_exponent
        self.warm_start = warm_start
        self.init = init
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

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Solve the layers one after the other; train them jointly if `warm_start`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.
        y : array-like of shape (n_samples,)
            Class labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. With ``hidden_targets="classes"`` and without joint
            training an integer weight equals so many copies of the row, as far as all
            rows take part in the choice of temperatures. Clusterers other than the
            built-in one do not see weights.

        Returns
        -------
        self : ExplicitSoftmaxNetworkClassifier

        Raises
        ------
        ValueError
            If a feature is negative or not finite, if all weights are zero, or if
            ``init="random"`` without ``warm_start=True``. An estimator that was fitted
            before stays as it was.
        """
        iterations = self.max_iter if self.warm_start else 0
        report = FitReport(self, X, y, sample_weight, iterations)
        with restored_on_error(self):
            self._fit(X, y, sample_weight, report)
        report.end()
        return self

    @property
    def partial_fit(self) -> NoReturn:
        """Not there: accessing it says why."""
        # An AttributeError, so that hasattr answers no.
        raise AttributeError(
            f"{type(self).__name__} has no partial_fit: its later layers are solved on "
            "the outputs of earlier ones, which change with every batch. Call fit with "
            "all rows, or stream into ExplicitSoftmaxClassifier."
        )

    def hidden_outputs(self, X: Any) -> NDArray[Any]:
        """Outputs of the last hidden layer.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Non-negative features.

        Returns
        -------
        outputs : ndarray of shape (n_samples, n_hidden)
            Positive, with rows that sum to one: after an explicit fit, probabilities of
            the clusters, of the classes `hidden_classes_`.

        Raises
        ------
        ValueError
            If there is one layer only.
        """
        rows = self._check_rows(X)
        if len(self._decoders) == 1:
            raise ValueError("hidden_outputs needs n_layers=2 or more")
        with np.errstate(invalid="ignore", over="ignore"):
            outputs = softmax_in_place(network_scores(self._typed(rows)[:-1], rows))
        if not np.isfinite(outputs).all():
            raise_bad_value(rows, 0)
        return outputs

    @property
    def coefs_(self) -> list[NDArray[Any]]:
        self._require("coefs_")
        return [decoder.dense_weights() for decoder in self._decoders]

    @property
    def intercepts_(self) -> list[NDArray[Any]]:
        self._require("intercepts_")
        return [decoder.intercept for decoder in self._decoders]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_decoders")

    def _require(self, name: str) -> None:
        # An AttributeError, so that hasattr works on an unfitted estimator.
        if not hasattr(self, "_decoders"):
            raise AttributeError(
                f"{type(self).__name__} has no {name} before it is fitted"
            )

    def _raw_scores(self, rows: Any) -> NDArray[Any]:
        return network_scores(self._typed(rows), rows)

    def _typed(self, rows: Any) -> tuple[Decoder, ...]:
        """Decoders in the type of the rows."""
        return tuple(decoder.astype(rows.dtype) for decoder in self._decoders)

    def _fit(self, X: Any, y: Any, sample_weight: Any, report: FitReport) -> None:
        betas = check_parameters(self)
        rows, labels, weights = self._check_rows_and_labels(
            X, y, sample_weight, reset=True
        )
        check_classification_targets(labels)
        check_features(rows)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        n_classes = len(self.classes_)
        validation = None
        if self.warm_start and self.early_stopping:
            (rows, codes, weights), validation = split_validation(
                self, rows, codes, weights
            )
        if weights is not None and not weights.all():
            positive = np.flatnonzero(weights)
            rows, codes, weights = rows[positive], codes[positive], weights[positive]
        rng = check_random_state(self.random_state)
        depth = self.n_layers - 1
        hidden, owners = codes, np.arange(n_classes)
        if depth:
            hidden, owners = hidden_codes(
                self.hidden_targets, rows, codes, n_classes, weights, rng
            )
        self.hidden_classes_ = self.classes_[owners]
        sizes = [len(owners)] * depth + [n_classes]
        forget_optional_attributes(self)
        self.n_iter_ = 1
        if self.init == "explicit":
            targets = [hidden] * depth + [codes]
            layers = solve_network(self, rows, targets, sizes, weights, betas)
            self._decoders = tuple(layer.decoder for layer in layers)
            self.inverse_temperature_ = np.array(
                [layer.calibration.beta[0] for layer in layers]
            )
            self.priming_number_ = layers[0].priming_number
        if self.warm_start:
            train_network(self, rows, codes, weights, validation, sizes, rng, report)
