"""Classifiers of scikit-learn beside the package, and what each of them minimises.

A peer that cannot be made is "not available"; one whose solver gives up is "not
converged", which `harness.timing.timed` finds out. F_di are the summed features of
class i, and S_i their sums over features.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB


@dataclass(frozen=True)
class Peer:
    """How a peer is made, and its objective; `make` is None for a `reason`."""

    make: Callable[[], Any] | None
    minimises: str
    reason: str = ""


_NAIVE_BAYES = (
    "in closed form, minus the joint log-likelihood sum_m [log P(y_m) + sum_d x_md "
    "log P(d | y_m)], P(d | i) = (F_di + alpha) / (S_i + n_features alpha), {}, in "
    "units of the features; nothing in MultinomialNB chooses alpha"
)


def _temperature() -> Peer:
    minimises = (
        "for each of 5 folds, fits MultinomialNB(alpha=0.1) on the other four and "
        "minimises the mean log-loss of the fold over one temperature; probabilities "
        "are the means of those of the five pairs"
    )
    if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8):
        return Peer(None, minimises, "not available before scikit-learn 1.8")
    return Peer(
        lambda: CalibratedClassifierCV(MultinomialNB(alpha=0.1), method="temperature"),
        minimises,
    )


MULTINOMIAL_NB = "MultinomialNB"
LOGISTIC_REGRESSION = "LogisticRegression"

PEERS: dict[str, Peer] = {
    MULTINOMIAL_NB: Peer(MultinomialNB, _NAIVE_BAYES.format("alpha = 1")),
    "MultinomialNB, alpha=0.1": Peer(
        lambda: MultinomialNB(alpha=0.1), _NAIVE_BAYES.format("alpha = 0.1")
    ),
    "MultinomialNB, alpha=0.01": Peer(
        lambda: MultinomialNB(alpha=0.01), _NAIVE_BAYES.format("alpha = 0.01")
    ),
    "MultinomialNB, alpha=0.1, temperature": _temperature(),
    "ComplementNB": Peer(
        ComplementNB,
        "as MultinomialNB in closed form, with the counts of all other classes: a row "
        "scores -sum_d x_d log P(d | not i), without a class prior; alpha = 1, "
        "norm=False; probabilities are the softmax of the scores",
    ),
    "RidgeClassifier": Peer(
        RidgeClassifier,
        "in closed form, the squared errors of targets of -1 and 1 summed over rows "
        "and classes, plus ||W||^2; intercepts are not penalised, and there are no "
        "probabilities",
    ),
    "SGDClassifier": Peer(
        lambda: SGDClassifier(loss="log_loss", random_state=0),
        "for each class, the mean binary log-loss plus 1e-4 / 2 ||w||^2, one row at a "
        "time, for 1,000 epochs or until five bring less than 1e-3; probabilities are "
        "those of the binary models divided by their sum, not a softmax",
    ),
    LOGISTIC_REGRESSION: Peer(
        lambda: LogisticRegression(solver="lbfgs", C=1.0, max_iter=100),
        "by L-BFGS, the log-loss summed over rows plus 1/2 ||W||^2, intercepts not "
        "penalised, features neither centred nor scaled, until the gradient is below "
        "1e-4 or for 100 iterations",
    ),
}


def some(*names: str) -> dict[str, Peer]:
    """Peers by name, in this order."""
    return {name: PEERS[name] for name in names}


def makers(peers: Mapping[str, Peer]) -> dict[str, Callable[[], Any]]:
    """How the available ones are made."""
    return {name: peer.make for name, peer in peers.items() if peer.make is not None}
