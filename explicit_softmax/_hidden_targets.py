"""What hidden layers predict: the classes, or clusters within each of them."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning

from explicit_softmax._sklearn import single_thread

# Rows of a class that centres of clusters are drawn from; more for very many clusters.
_CLUSTERED_ROWS = 4000
_ROWS_PER_CLUSTER = 10


def check_hidden_targets(hidden_targets: Any) -> None:
    """ValueError unless "classes", a positive integer, or an object to cluster with."""
    if isinstance(hidden_targets, str):
        valid = hidden_targets == "classes"
    elif isinstance(hidden_targets, bool):
        valid = False
    elif isinstance(hidden_targets, Integral):
        valid = int(hidden_targets) >= 1
    else:
        is_class = isinstance(hidden_targets, type)
        valid = hasattr(hidden_targets, "fit_predict") and not is_class
    if valid:
        return
    raise ValueError(
        "hidden_targets must be 'classes', a positive integer (clusters in each "
        "class), or a clusterer (an object with fit_predict), not "
        f"{hidden_targets!r}"
    )


def hidden_codes(
    hidden_targets: Any,
    rows: Any,
    codes: NDArray[np.intp],
    n_classes: int,
    sample_weight: NDArray[np.float64] | None,
    rng: Any,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Target of each row, and the class of each target.

    Parameters
    ----------
    hidden_targets : "classes", int, or clusterer
        As in `ExplicitSoftmaxNetworkClassifier`.
    rows : ndarray or scipy.sparse CSR of shape (n_rows, n_features)
        Finite features of positive weight.
    codes : ndarray of int, shape (n_rows,)
        Class of each row.
    n_classes : int
        Number of classes.
    sample_weight : ndarray of shape (n_rows,) or None
        Positive weights.
    rng : numpy.random.RandomState
        Draws the rows that are clustered, and seeds their clustering.

    Returns
    -------
    targets : ndarray of int, shape (n_rows,)
        Targets are in the order of their classes; each has a row, but for "classes".
    owners : ndarray of int, shape (n_targets,)
        Class of each target.
    """
    # One cluster is the class, and needs no look at the rows.
    one = isinstance(hidden_targets, Integral) and hidden_targets == 1
    if one or isinstance(hidden_targets, str):
        return codes, np.arange(n_classes)
    targets = np.empty(len(codes), dtype=np.intp)
    owners: list[int] = []
    for label in range(n_classes):
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
        # Clusters without rows leave no gaps.
        present, places = np.unique(found, return_inverse=True)
        targets[members] = len(owners) + places
        owners.extend([label] * len(present))
    return targets, np.array(owners, dtype=np.intp)


def _clusters(
    rows: Any, n_clusters: int, weight: NDArray[np.float64] | None, rng: Any
) -> NDArray[np.intp]:
    """Clusters of the rows of one class, their centres found on some of them."""
    # Square roots of counts have about the same variance, whatever their means.
    rows = np.sqrt(rows)
    limit = max(_CLUSTERED_ROWS, _ROWS_PER_CLUSTER * n_clusters)
    sample, sample_weight = rows, weight
    if rows.shape[0] > limit:
        drawn = np.sort(rng.permutation(rows.shape[0])[:limit])
        sample = rows[drawn]
        sample_weight = None if weight is None else weight[drawn]
    means = MiniBatchKMeans(
        n_clusters=min(n_clusters, sample.shape[0]),
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
        means.fit(sample, sample_weight=sample_weight)
    return np.asarray(means.predict(rows))


def _int32_indices(rows: Any) -> Any:
    """Sparse rows in the only type of index that scikit-learn's clusterers take."""
    if not sp.issparse(rows) or rows.indices.dtype == np.int32:
        return rows
    indices, indptr = rows.indices.astype(np.int32), rows.indptr.astype(np.int32)
    return type(rows)((rows.data, indices, indptr), shape=rows.shape)
