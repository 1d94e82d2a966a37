"""An interrupt at any line of a public method leaves the old model or the new one."""

import pickle
import sys
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from explicit_softmax import (
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    PositiveFeatures,
    Refinement,
)

RNG = np.random.default_rng(0)
Y = np.arange(30) % 3
X = RNG.poisson(1.0 + Y[:, None] * np.arange(4)).astype(float)
QUICK = {"warm_start": True, "refinement": Refinement(tol=10.0, n_iter_no_change=1)}
DOCUMENTS = [[0, 1, 2, 3, 1], [1, 2, 3], [0, 1, 2]]


class InterruptAt:
    """Raises KeyboardInterrupt at the n-th line of this package that is run."""

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, arg):
        if not frame.f_globals.get("__name__", "").startswith("explicit_softmax"):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self

    def run(self, function):
        """Whether the function was interrupted."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            function()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def state(estimator):
    """Fitted attributes by name, and the model's counts, sample, and predictions."""
    attributes = {k: v for k, v in vars(estimator).items() if k.endswith("_")}
    model = vars(estimator).get("_model")
    if model is None:
        return pickle.dumps(attributes)
    counts = [pickle.dumps(vars(estimator).get(n)) for n in ("_encoder",)]
    for part in ("counts", "sample", "refined", "choices", "settings", "prior"):
        if (value := getattr(model, part, None)) is not None:
            fields = {
                k: getattr(value, k) for k in getattr(value, "__match_args__", ())
            }
            counts.append(pickle.dumps(fields or value))
    return pickle.dumps((attributes, counts))


def classifier(**parameters):
    return ExplicitSoftmaxClassifier(**parameters).fit(X[:20], Y[:20])


def language_model():
    return ExplicitLanguageModel(context_size=2, vocabulary_size=6).fit(DOCUMENTS[:2])


OTHER, OTHER_LANGUAGE = classifier(), language_model()

CALLS = {
    "fit": (classifier, lambda m: m.fit(X, Y)),
    "fit sparse": (classifier, lambda m: m.fit(sp.csr_array(X), Y)),
    "fit refined": (lambda: classifier().set_params(**QUICK), lambda m: m.fit(X, Y)),
    "partial_fit": (classifier, lambda m: m.partial_fit(X[20:], Y[20:])),
    "first partial_fit": (
        ExplicitSoftmaxClassifier,
        lambda m: m.partial_fit(X, Y, classes=[0, 1, 2]),
    ),
    "merge": (classifier, lambda m: m.merge(OTHER, OTHER)),
    "forget": (classifier, lambda m: m.forget(X[:3], Y[:3])),
    "densify": (classifier, lambda m: m.densify()),
    "predict": (lambda: classifier().partial_fit(X, Y), lambda m: m.predict(X)),
    "fit cv": (
        lambda: ExplicitSoftmaxClassifierCV(smoothing_strengths=[0.1]).fit(
            X[:20], Y[:20]
        ),
        lambda m: m.fit(X, Y),
    ),
    "fit network": (
        lambda: ExplicitSoftmaxNetworkClassifier(random_state=0).fit(X[:20], Y[:20]),
        lambda m: m.fit(X, Y),
    ),
    "fit features": (lambda: PositiveFeatures().fit(X[:20]), lambda m: m.fit(X)),
    "fit language": (language_model, lambda m: m.fit(DOCUMENTS)),
    "partial_fit language": (language_model, lambda m: m.partial_fit(DOCUMENTS[2:])),
    "merge language": (language_model, lambda m: m.merge(OTHER_LANGUAGE)),
    "forget language": (language_model, lambda m: m.forget(DOCUMENTS[:1])),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")
@pytest.mark.parametrize("name", CALLS)
def test_interrupts_leave_the_old_model_or_the_new_one(name):
    make, call = CALLS[name]
    old = pickle.dumps(make())
    new = pickle.loads(old)
    call(new)
    # The attributes, counts, and sample before the call, or after it.
    allowed = {state(pickle.loads(old)), state(new)}
    n_lines = 1
    while True:
        estimator = pickle.loads(old)
        if not InterruptAt(n_lines).run(partial(call, estimator)):
            break
        assert state(estimator) in allowed, n_lines
        # Every line of what is short, and some of the thousands of a fit.
        n_lines += 1 + (n_lines // 10 if name.startswith("fit") else n_lines // 800)
    assert n_lines > 5
