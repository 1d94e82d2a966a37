"""An interrupt at any line of a public method leaves the old model or the new one.

``python -m tests.test_interrupts`` interrupts every line that is run, of every method.
The test interrupts each line once: of what adds and subtracts counts all lines, and
else those of the estimators, since array code has no fitted attributes to leave half
changed.
"""

import dataclasses
import pickle
import sys
import tempfile
import time
import warnings
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from explicit_softmax import (
    ContextWindowTransformer,
    ExplicitLanguageModel,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    ExplicitTextClassifier,
    PositiveFeatures,
    Refinement,
    context_windows,
)

RNG = np.random.default_rng(0)
Y = np.arange(12) % 3
X = RNG.poisson(1.0 + 5 * (Y[:, None] == np.arange(3))).astype(float)
GIVEN = {"smoothing_strength": 0.1}  # its search takes most of the lines
QUICK = {
    "warm_start": True,
    "refinement": Refinement(tol=10.0, n_iter_no_change=1, random_state=0),
}
DOCUMENTS = [[0, 1, 2, 3, 1], [1, 2, 3], [0, 1, 2]]
TEXTS = ["a rose", "no rose", "a tulip", "no tulip", "a weed", "no weed"]
WINDOWS, TARGETS = context_windows(DOCUMENTS, 2)
FOLDER = Path(tempfile.mkdtemp())


class Lines:
    """Runs a function, and sees the lines of this package that it comes to.

    Raises KeyboardInterrupt at line number `stop`, counted from 0.
    """

    def __init__(self, stop=None):
        self.stop, self.places = stop, []

    def __call__(self, frame, event, arg):
        if not frame.f_globals.get("__name__", "").startswith("explicit_softmax"):
            return None
        if event == "line":
            self.places.append((frame.f_code.co_filename, frame.f_lineno))
            if len(self.places) - 1 == self.stop:
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


def state(value):
    """All that an object is made of but what it can compute again, to compare."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    if sp.issparse(value):
        return state([value.shape, value.data, value.indices, value.indptr])
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return state({name: getattr(value, name) for name in names})
    if isinstance(value, dict):
        return {name: state(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [state(part) for part in value]
    if hasattr(value, "to_str"):
        return value.to_str()
    if (
        hasattr(value, "__dict__")
        and not isinstance(value, type)
        and not callable(value)
    ):
        return type(value), state(vars(value))
    return value


def files():
    return {path.name: path.read_bytes() for path in FOLDER.iterdir()}


def classifier(**parameters):
    return ExplicitSoftmaxClassifier(**GIVEN, **parameters).fit(X[:9], Y[:9])


def unsolved(**parameters):
    return classifier(**parameters).partial_fit(X[9:], Y[9:])


def search(**parameters):
    how = {"smoothing_strengths": [0.1], "norm_exponents": [0.5], **parameters}
    clf = ExplicitSoftmaxClassifierCV(translation="column", **how)
    return clf.fit(X[:9], Y[:9])


def network(**parameters):
    how = {"hidden_targets": 2, "random_state": 0, **GIVEN, **parameters}
    return ExplicitSoftmaxNetworkClassifier(**how).fit(X[:9], Y[:9])


def language_model(**parameters):
    how = {"context_size": 2, "vocabulary_size": 6, **parameters}
    return ExplicitLanguageModel(**how).fit(DOCUMENTS[:2])


def mixture():
    return language_model(mixture=True)


def skips():
    return language_model(context_size=3, mixture="skip")


def windows(**parameters):
    return language_model(aggregation="cat", **GIVEN, **parameters)


def words():
    return language_model(tokenizer="whitespace").fit(TEXTS[:4])


def texts(**parameters):
    clf = ExplicitSoftmaxClassifier(**GIVEN, inverse_temperature=1.0)
    how = {"classifier": clf, "features": "words", **parameters}
    return ExplicitTextClassifier(**how).fit(TEXTS[:4], Y[:4])


def hashed():
    return texts(hashing=16)


@cache
def other(make):
    return make()


def merge(make):
    return lambda m: m.merge(other(make), other(make))


FITS = {
    "classifier": (classifier, lambda m: m.fit(X, Y)),
    "sparse": (classifier, lambda m: m.fit(sp.csr_array(X), Y)),
    "weighted": (classifier, lambda m: m.fit(X, Y, np.arange(12.0))),
    "refined": (lambda: classifier().set_params(**QUICK), lambda m: m.fit(X, Y)),
    "frequency": (
        partial(classifier, inverse_temperature="frequency"),
        lambda m: m.fit(sp.csr_array(X), Y),
    ),
    "search": (search, lambda m: m.fit(X, Y)),
    "search by folds": (partial(search, cv=2), lambda m: m.fit(X, Y)),
    "network": (network, lambda m: m.fit(X, Y)),
    "refined network": (lambda: network().set_params(**QUICK), lambda m: m.fit(X, Y)),
    "features": (lambda: PositiveFeatures().fit(X[:9]), lambda m: m.fit(X)),
    "windows of tokens": (
        lambda: ContextWindowTransformer().fit(WINDOWS[:6]),
        lambda m: m.fit(WINDOWS),
    ),
    "texts": (texts, lambda m: m.fit(TEXTS, Y[:6])),
    "texts, features chosen": (
        lambda: texts(features="auto"),
        lambda m: m.fit(TEXTS, Y[:6]),
    ),
    "language model": (language_model, lambda m: m.fit(iter(DOCUMENTS))),
    "mixture": (mixture, lambda m: m.fit(DOCUMENTS)),
    "skips": (skips, lambda m: m.fit(DOCUMENTS)),
    "words": (words, lambda m: m.fit(TEXTS)),
    "byte pairs": (lambda: ExplicitLanguageModel(), lambda m: m.fit(TEXTS)),
    "windows": (windows, lambda m: m.fit(DOCUMENTS)),
    "refined windows": (
        lambda: windows().set_params(**QUICK),
        lambda m: m.fit(DOCUMENTS),
    ),
}
COUNTS = {
    "partial_fit": (classifier, lambda m: m.partial_fit(X[9:], Y[9:])),
    "first partial_fit": (
        ExplicitSoftmaxClassifier,
        lambda m: m.partial_fit(X, Y, classes=[0, 1, 2]),
    ),
    "merge": (classifier, merge(classifier)),
    "forget": (classifier, lambda m: m.forget(X[:3], Y[:3])),
    "densify": (lambda: classifier().fit(sp.csr_array(X), Y), lambda m: m.densify()),
    "partial_fit of texts": (hashed, lambda m: m.partial_fit(TEXTS[4:], Y[4:6])),
    "first partial_fit of texts": (
        lambda: ExplicitTextClassifier(hashing=16, features="words"),
        lambda m: m.partial_fit(TEXTS, Y[:6], classes=[0, 1, 2]),
    ),
    "merge texts": (hashed, merge(hashed)),
    "forget texts": (hashed, lambda m: m.forget(TEXTS[:1], Y[:1])),
    **{
        f"{method} of {make.__name__}": (make, call)
        for make in (language_model, mixture, skips, windows)
        for method, call in {
            "partial_fit": lambda m: m.partial_fit(DOCUMENTS[2:]),
            "merge": merge(make),
            "forget": lambda m: m.forget(DOCUMENTS[:1]),
        }.items()
    },
    "first partial_fit of documents": (
        partial(ExplicitLanguageModel, vocabulary_size=None),
        lambda m: m.partial_fit(iter(DOCUMENTS)),
    ),
    "first partial_fit of words": (
        partial(ExplicitLanguageModel, tokenizer="whitespace"),
        lambda m: m.partial_fit(iter(TEXTS)),
    ),
}
READS = {
    **{
        f"{method} of {make.__name__}": (make, lambda m, of=method: getattr(m, of)(X))
        for make in (unsolved, search, network)
        for method in (
            "predict",
            "predict_proba",
            "predict_log_proba",
            "decision_function",
        )
    },
    "score": (unsolved, lambda m: m.score(X, Y)),
    "coef_": (unsolved, lambda m: (m.coef_, m.intercept_)),
    "feature_evidence": (unsolved, lambda m: m.feature_evidence(2)),
    "to_logistic_regression": (
        partial(unsolved, norm_exponent=0.0),
        lambda m: m.to_logistic_regression(),
    ),
    "hidden_outputs": (network, lambda m: m.hidden_outputs(X)),
    "transform": (lambda: PositiveFeatures().fit(X[:9]), lambda m: m.transform(X)),
    "transform windows": (
        lambda: ContextWindowTransformer().fit(WINDOWS[:6]),
        lambda m: m.transform(WINDOWS),
    ),
    "predict texts": (texts, lambda m: m.predict_proba(TEXTS)),
    "explain": (texts, lambda m: m.explain("a rose")),
    **{
        f"{method} of {make.__name__}": (
            make,
            lambda m, of=method: getattr(m, of)(DOCUMENTS),
        )
        for make in (language_model, mixture, windows)
        for method in (
            "evaluate",
            "score",
            "perplexity",
            "log_proba",
            "score_samples",
            "predict_proba",
        )
    },
    "bits_per_byte": (words, lambda m: m.bits_per_byte(TEXTS)),
    "evaluate skips": (skips, lambda m: m.evaluate(DOCUMENTS)),
    "generate": (mixture, lambda m: m.generate([0], 3, top_k=2, random_state=0)),
    **{
        f"save {make.__name__}": (make, lambda m: m.save(FOLDER / "model"))
        for make in (unsolved, network, texts, mixture, skips, windows)
    },
    "to_arpa": (language_model, lambda m: m.to_arpa(FOLDER / "arpa.gz")),
}
CALLS = FITS | COUNTS | READS
# Those that take a quarter of the time, and are fits within fits: not in the test.
LONGEST = ("texts, features chosen", "refined network")


def interrupted(name, *, every):
    """Number of interrupts of a call, and the lines after which neither state was left.

    At all lines that are run if `every`, else as said above.
    """
    make, call = CALLS[name]
    old = pickle.dumps(make())
    for path in FOLDER.iterdir():
        path.unlink()
    (FOLDER / "model").write_bytes(b"before")
    (FOLDER / "arpa.gz").write_bytes(b"before")
    before = files()
    # Not the first call, which may import and compile.
    call(pickle.loads(old))
    new, seen = pickle.loads(old), Lines()
    seen.run(partial(call, new))
    allowed = [state(pickle.loads(old)), state(new)]
    written = [before, files()]
    numbers = range(len(seen.places))
    if not every:
        first = {place: n for n, place in reversed([*enumerate(seen.places)])}
        numbers = sorted(
            n
            for (path, _), n in first.items()
            if name in COUNTS or Path(path).name.startswith("_")
        )
    wrong = []
    for number in numbers:
        estimator = pickle.loads(old)
        for path, content in before.items():
            (FOLDER / path).write_bytes(content)
        lines = Lines(number)
        if not lines.run(partial(call, estimator)):
            break
        if state(estimator) not in allowed or files() not in written:
            wrong.append(lines.places[-1])
    return len(numbers), wrong


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in CALLS if name not in LONGEST])
def test_interrupts_leave_the_old_model_or_the_new_one(name):
    n_interrupts, wrong = interrupted(name, every=False)
    assert n_interrupts > 5
    assert wrong == []


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    total, n_wrong = 0, 0
    for name in CALLS if len(sys.argv) < 2 else sys.argv[1:]:
        start = time.process_time()
        # Of its 15,000 lines almost all are those of fits that are there already.
        every = name != "texts, features chosen"
        n_interrupts, wrong = interrupted(name, every=every)
        total, n_wrong = total + n_interrupts, n_wrong + len(wrong)
        seconds = time.process_time() - start
        print(f"{name:40} {n_interrupts:7} {seconds:7.1f} s {wrong[:3]}", flush=True)
    print(f"{total} interrupts, {n_wrong} leave neither the old state nor the new one")
