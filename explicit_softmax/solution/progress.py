"""How far long work has come, told to whoever listens to it.

Array code calls what `listener` gives after each part of a long piece of work; an
estimator that is being fitted listens, and passes it on to callbacks of scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Listener: TypeAlias = Callable[[int], None]

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


def listener() -> Listener:
    """What to call with the number of steps that are done since the last call."""
    return _LISTENER.get() or _nobody


@contextmanager
def listening(told: Listener | None) -> Iterator[None]:
    """Let `told` be called in this thread; None is nobody."""
    token = _LISTENER.set(told)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def _nobody(n_steps: int) -> None:
    pass
