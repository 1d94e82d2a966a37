"""ExplicitSoftmaxNetworkClassifier: softmax layers solved one after the other."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from explicit_softmax._base import (
    CONSTRAINTS,
    ExplicitSoftmaxBase,
    FromModel,
    checked_scores,
)
from explicit_softmax._refinement import Refinement, of_positive_weight
from explicit_softmax._sklearn import (
    FitReport,
    Interval,
    _fit_context,
    single_thread,
)
from explicit_softmax.calibration.layers import ExplicitNetwork, solve_layers
from explicit_softmax.calibration.model import given_temperatures
from explicit_softmax.calibration.sample import Limit, RowSample
from explicit_softmax.solution.counts import raise_bad_value
from explicit_softmax.solution.loss import softmax_in_place
from explicit_softmax.solution.progress import listener
from explicit_softmax.solution.smoothing import Smoothing

# Rows of a class that centres of clusters are drawn from; more for very many clusters.
_CLUSTERED_ROWS = 4000
_ROWS_PER_CLUSTER = 10


class ExplicitSoftmaxNetworkClassifier(ExplicitSoftmaxBase):
    """Layers of softmax, each written down from co-occurrence counts.

    The first layer is the explicit solution of `ExplicitSoftmaxClassifier`. Its softmax
    outputs are positive and sum to one: they are rows of norm K = 1 for the next layer,
    which is solved in the same way, and so on (section 3.3 of [1]_), in forward passes
    over the data. The inverse temperature of each layer is chosen before the next is
    solved. ``warm_start=True`` then trains all layers jointly by back-propagation.

    With ``hidden_targets="classes"`` all layers predict the classes, as in the paper.
    With an integer, hidden layers predict that many clusters within each class, which
    makes the model clearly non-linear.

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
        Factor of the evidence of the inputs, for all layers or each. "auto" minimises
        the exact leave-one-out log-loss of each layer over at most 4,096 rows, fewer if
        these would store more than 2**20 features or 2**21 scores.
    smoothing : {"prior", "uniform", "noise"} or None, default="prior"
        As in `ExplicitSoftmaxClassifier`; "noise" is for the first layer, and later
        ones then have "prior".
    smoothing_strength : "auto" or float, default="auto"
        Strength of "prior" and "uniform" in units of the mean non-zero feature and, in
        later layers, of the mean input weighted by itself. "auto" is chosen for each
        layer by its leave-one-out log-loss.
    norm_exponent : float, default=0.5
        Rows are divided by ``norm ** norm_exponent`` before they are counted and
        scored: 0 is the paper. Inputs of later layers have norm 1.
    class_weight : dict, "balanced", or None, default=None
        As in `ExplicitSoftmaxClassifier`.
    clip : bool, default=False
        As in `ExplicitSoftmaxClassifier`.
    warm_start : bool, default=False
        Whether `fit` trains all layers jointly, from the explicit solution on; see
        `ExplicitSoftmaxClassifier` on the name.
    refinement : Refinement, default=None
        Solver, steps, and stopping rules of the joint training; ``Refinement()`` by
        default. Without effect if `warm_start` is False.
    random_state : int, RandomState instance, or None, default=None
        Clusters of the rows. With ``hidden_targets="classes"`` nothing is random in the
        explicit solution.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of each layer. Those of the first are for rows divided by ``norm **
        norm_exponent``.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Of each layer; zeros unless trained jointly.
    hidden_classes_ : ndarray of shape (n_hidden,)
        The class label within which each output of a hidden layer stands for a cluster;
        `classes_` where hidden layers predict the classes.
    inverse_temperature_ : ndarray of shape (n_layers,)
        Inverse temperature of each layer of the explicit solution.
    smoothing_strength_ : ndarray of shape (n_layers,)
        Strength of the smoothing of each layer.
    priming_number_ : float
        Priming number K of the first layer, the mean norm of its rows; that of later
        layers is 1.
    classes_, loss_curve_, n_iter_, validation_scores_, n_features_in_, \
feature_names_in_
        As in `ExplicitSoftmaxClassifier`.

    See Also
    --------
    ExplicitSoftmaxClassifier : One layer, with more choices, streaming, and forgetting.
    sklearn.neural_network.MLPClassifier : Hidden layers trained by gradients only, and
        more accurate after some epochs.

    Notes
    -----
    Hidden layers are more confident for training rows than for new rows. Inverse
    temperatures are therefore chosen on a sample of rows that passes through every
    layer by its leave-one-out scores; the counts of later layers hold the
    outputs as they are. That a row belongs to its cluster is not undone: with few rows
    for each cluster the classifier is somewhat over-confident.

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
            name: constraint
            for name, constraint in CONSTRAINTS.items()
            if name not in ("translation", "n_blocks")
        },
        "n_layers": [Interval(Integral, 1, None, closed="left")],
        "hidden_targets": "no_validation",  # type: ignore[dict-item]
        "random_state": ["random_state"],
    }

    _model: ExplicitNetwork

    def __init__(
        self,
        *,
        n_layers: int = 2,
        hidden_targets: Any = "classes",
        inverse_temperature: float | ArrayLike | str = "auto",
        smoothing: Smoothing = "prior",
        smoothing_strength: float | str = "auto",
        norm_exponent: float = 0.5,
        class_weight: Any = None,
        clip: bool = False,
        warm_start: bool = False,
        refinement: Refinement | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_layers = n_layers
        self.hidden_targets = hidden_targets
        self.inverse_temperature = inverse_temperature
        self.smoothing = smoothing
        self.smoothing_strength = smoothing_strength
        self.norm_exponent = norm_exponent
        self.class_weight = class_weight
        self.clip = clip
        self.warm_start = warm_start
        self.refinement = refinement
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
            training an integer weight equals so many copies of the row. Clusterers
            other than the built-in one do not see weights.

        Returns
        -------
        self : ExplicitSoftmaxNetworkClassifier

        Raises
        ------
        ValueError
            If a feature is negative or not finite, or if all weights are zero. An
            estimator that was fitted before stays as it was.
        """
        _check_hidden_targets(self.hidden_targets)
        betas = given_temperatures(self.inverse_temperature, self.n_layers, "layers")

        def solve(
            rows: Any, codes: Any, weights: Any, report: FitReport
        ) -> ExplicitNetwork:
            _check_countable(rows)
            rows, codes, weights = of_positive_weight(rows, codes, weights)
            n_classes, n_hidden_layers = len(self.classes_), self.n_layers - 1
            hidden, hidden_owner = codes, np.arange(n_classes)
            if n_hidden_layers:
                rng = check_random_state(self.random_state)
                with report.stage("hidden-targets", n_classes):
                    hidden, hidden_owner = _hidden_codes(
                        self.hidden_targets, rows, codes, n_classes, weights, rng
                    )
            self.hidden_classes_ = self.classes_[hidden_owner]
            strength = self.smoothing_strength
            with report.stage("layers", self.n_layers):
                return solve_layers(
                    rows,
                    [hidden] * n_hidden_layers + [codes],
                    [len(hidden_owner)] * n_hidden_layers + [n_classes],
                    sample_weight=weights,
                    betas=None if betas is None else betas.tolist(),
                    smoothing=self.smoothing,
                    strength=None if isinstance(strength, str) else float(strength),
                    norm_exponent=self.norm_exponent,
                )

        return self._fit(X, y, sample_weight, solve)

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
        rows = self._check_features(X)
        decoders = self._decoders(rows.dtype)
        if len(decoders) == 1:
            raise ValueError("hidden_outputs needs n_layers=2 or more")
        return softmax_in_place(checked_scores(decoders[:-1], rows))

    coefs_ = FromModel(
        lambda model: [layer.dense_weights() for layer in model.decoders]
    )
    intercepts_ = FromModel(lambda model: [layer.intercept for layer in model.decoders])
    inverse_temperature_ = FromModel(
        lambda model: np.array([c.calibration.beta[0] for c in model.choices])
    )
    smoothing_strength_ = FromModel(
        lambda model: np.array([c.smoothing_strength for c in model.choices])
    )
    priming_number_ = FromModel(
        lambda model: model.choices[0].calibration.priming_number
    )
    n_iter_ = FromModel("n_iter")
    loss_curve_ = FromModel("refined.loss_curve")
    validation_scores_ = FromModel("refined.validation_scores")


def _check_countable(rows: Any) -> None:
    """ValueError that names the first row with a feature that cannot be counted.

    Clusterers see the features before they are counted, and their message would not.
    """
    values = rows.data if sp.issparse(rows) else rows
    if not (values.min(initial=0.0) >= 0 and np.isfinite(values.max(initial=0.0))):
        raise_bad_value(rows, 0)


def _check_hidden_targets(hidden_targets: Any) -> None:
    """ValueError unless "classes", a positive integer, or an object to cluster with."""
    if isinstance(hidden_targets, str):
        valid = hidden_targets == "classes"
    elif isinstance(hidden_targets, Integral):
        valid = int(hidden_targets) >= 1 and not isinstance(hidden_targets, bool)
    else:
        is_class = isinstance(hidden_targets, type)
        valid = hasattr(hidden_targets, "fit_predict") and not is_class
    if not valid:
        raise ValueError(
            "hidden_targets must be 'classes', a positive integer (clusters in each "
            "class), or a clusterer (an object with fit_predict), not "
            f"{hidden_targets!r}"
        )


def _hidden_codes(
    hidden_targets: Any,
    rows: Any,
    codes: NDArray[np.intp],
    n_classes: int,
    sample_weight: NDArray[np.float64] | None,
    rng: Any,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Target of each row, and the class of each target, in the order of classes."""
    if isinstance(hidden_targets, str | Integral) and hidden_targets in ("classes", 1):
        return codes, np.arange(n_classes)
    targets = np.empty(len(codes), dtype=np.intp)
    class_of_target: list[int] = []
    tell = listener()
    for label in range(n_classes):
        tell(1)
        members = np.flatnonzero(codes == label)
        if not members.size:
            continue
        weight = None if sample_weight is None else sample_weight[members]
        part = _int32_indices(rows[members])
        if isinstance(hidden_targets, Integral):
            found = _clusters(part, int(hidden_targets), weight, rng)
        else:
            found = np.asarray(clone(hidden_targets).fit_predict(part))
            if found.shape != (members.size,):
                raise ValueError(
                    f"hidden_targets: fit_predict of {hidden_targets!r} must give one "
                    f"label for each of {members.size} rows, and gave an array of "
                    f"shape {found.shape}"
                )
        present, places = np.unique(found, return_inverse=True)
        targets[members] = len(class_of_target) + places
        class_of_target.extend([label] * len(present))
    return targets, np.array(class_of_target, dtype=np.intp)


def _clusters(
    rows: Any, n_clusters: int, weight: NDArray[np.float64] | None, rng: Any
) -> NDArray[np.intp]:
    """Clusters of the rows of one class, their centres found on some of them."""
    # Equal rows are one row of more weight, and the order is that of hashes, so that
    # weights are copies and the order of the rows does not matter.
    limit = Limit(max(_CLUSTERED_ROWS, _ROWS_PER_CLUSTER * n_clusters))
    same_class = np.zeros(rows.shape[0], dtype=np.intp)
    drawn = RowSample.from_rows(rows, same_class, weight, limit)
    # Square roots of counts have about the same variance, whatever their means.
    sample = _int32_indices(np.sqrt(drawn.X))
    means = MiniBatchKMeans(
        n_clusters=min(n_clusters, len(drawn.y)),
        # Rows drawn at random are centres as good as those of k-means++, in a fraction
        # of its time.
        init="random",
        n_init=1,
        batch_size=256,
        max_no_improvement=30,
        random_state=rng.randint(np.iinfo(np.int32).max),
    )
    # Threads would wait for each other at every small batch, and for other processes.
    with warnings.catch_warnings(), single_thread():
        # Equal rows make fewer clusters, which is as it should be.
        warnings.simplefilter("ignore", ConvergenceWarning)
        means.fit(sample, sample_weight=drawn.weights)
    return np.asarray(means.predict(np.sqrt(rows)))


def _int32_indices(rows: Any) -> Any:
    """Sparse rows in the only type of index that scikit-learn's clusterers take."""
    if not sp.issparse(rows) or rows.indices.dtype == np.int32:
        return rows
    indices, indptr = rows.indices.astype(np.int32), rows.indptr.astype(np.int32)
    return type(rows)((rows.data, indices, indptr), shape=rows.shape)
