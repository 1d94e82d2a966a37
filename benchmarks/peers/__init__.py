"""Peers: estimators of scikit-learn that the benchmarks run beside the package.

Each module here has a NAME and a function `make`, and writes down in its docstring what
its estimator minimises. A peer that cannot be imported is "not available"; one that is
fitted and whose solver gives up is "not converged", which `timing.timed_fit` records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

MODULES = (
    "multinomial_nb",
    "complement_nb",
    "ridge_classifier",
    "sgd_classifier",
    "logistic_regression",
)


@dataclass(frozen=True)
class Peer:
    """A peer by name; `make` is None where it is not available, for `reason`."""

    name: str
    make: Callable[[], Any] | None
    reason: str = ""


def collect(modules: tuple[str, ...] = MODULES) -> list[Peer]:
    """All peers, those that are not available included."""
    peers = []
    for module in modules:
        try:
            found = import_module(f"{__name__}.{module}")
        except ImportError as error:
            peers.append(Peer(module, None, f"not available: {error}"))
        else:
            peers.append(Peer(found.NAME, found.make))
    return peers
