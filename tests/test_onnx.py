"""Models in ONNX: onnxruntime gives the probabilities of the estimator."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import make_pipeline

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    ExplicitSoftmaxNetworkClassifier,
    PositiveFeatures,
    Refinement,
    register_onnx_converters,
)

C = ExplicitSoftmaxClassifier
STEPS = {"warm_start": True, "refinement": Refinement(max_iter=2, random_state=0)}
MODELS = {
    "default": C(),
    "theorem": C(norm_exponent=0.0, translation="column"),
    "blocks": C(norm_exponent=1.0, n_blocks=8, translation="intercept"),
    "noise": C(smoothing="noise", inverse_temperature="frequency"),
    "prior": C(fit_prior=False, clip=True),
    "refined": C(**STEPS),
    "cv": ExplicitSoftmaxClassifierCV(),
    "network": ExplicitSoftmaxNetworkClassifier(
        n_layers=3, hidden_targets=2, random_state=0
    ),
    "trained": ExplicitSoftmaxNetworkClassifier(**STEPS),
}


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'explicit_softmax\[onnx\]'"):
        register_onnx_converters()


@pytest.fixture(scope="module")
def outputs():
    """A function that gives the outputs of a model in ONNX for some rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Both are installed by .ci/run, for a step of its own.
        skl2onnx = pytest.importorskip("skl2onnx")
        onnxruntime = pytest.importorskip("onnxruntime")
    register_onnx_converters()

    def run(model, X, options=None, **conversion):
        options = {"zipmap": False} if options is None else options
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = skl2onnx.to_onnx(
                model, X[:1], options={id(model): options}, **conversion
            )
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return session.run(None, {session.get_inputs()[0].name: X})

    return run


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_same_probabilities(outputs, digits, name):
    X, y, rows, _ = digits
    model = MODELS[name].fit(X[:300], y[:300])
    rows = np.vstack([rows[:100], np.zeros(64), 1e-3 * rows[:1], rows[:1] + 0.3])
    if model.clip:
        rows[0, :8] = -1
    expected = model.predict_proba(rows)
    labels, proba = outputs(model, rows.astype(np.float32))
    assert proba.dtype == np.float32
    assert_allclose(proba, expected, atol=1e-5)
    assert_array_equal(labels, model.predict(rows))
    _, proba = outputs(model, rows)
    assert_allclose(proba, expected, atol=1e-12)


@pytest.mark.parametrize(
    "transformer",
    [
        PositiveFeatures(n_bins=4),
        PositiveFeatures(method="split"),
        PositiveFeatures(method="split", scale=False),
    ],
)
def test_pipelines_that_make_features_positive(outputs, transformer):
    rng = np.random.RandomState(0)
    X = rng.normal(size=(90, 4)) * [1, 1e-3, 1e3, 0]  # the last has one bin
    X[:, 1] += 1e3
    X[::2, 2] = X[0, 2]  # quantiles that coincide
    y = (X[:, 0] + rng.normal(size=90) > 0).astype(int)
    rows = np.vstack([X, 3 * X[:20], X.min(axis=0), np.zeros(4)])
    (positive,) = outputs(transformer.fit(X), rows, {})
    assert_allclose(positive, transformer.transform(rows), rtol=1e-12, atol=1e-12)
    clf = ExplicitSoftmaxClassifier(inverse_temperature=0.5)
    model = make_pipeline(transformer, clf).fit(X, y)
    labels, proba = outputs(model, rows)
    assert_allclose(proba, model.predict_proba(rows), atol=1e-12)
    assert_array_equal(labels, model.predict(rows))
    rows = rows.astype(np.float32)
    _, proba = outputs(model, rows)
    assert_allclose(proba, model.predict_proba(rows.astype(float)), atol=1e-5)


@pytest.mark.parametrize("layout", ["dense", "sparse"])
@pytest.mark.parametrize(
    "vectorizer",
    # Lower case would need a locale of the system.
    [
        CountVectorizer(lowercase=False, ngram_range=(1, 2)),
        TfidfVectorizer(lowercase=False),
    ],
)
def test_pipelines_that_start_with_text(outputs, vectorizer, layout):
    rng = np.random.RandomState(0)
    words = np.array(["red", "green", "blue", "dog", "cat", "bird", "one", "two"])
    texts = [" ".join(rng.choice(words, rng.randint(1, 9))) for _ in range(80)]
    y = np.array(["colour" if text < "d" else "animal" for text in texts])
    model = make_pipeline(vectorizer, ExplicitSoftmaxClassifier()).fit(texts, y)
    clf = model[-1]
    clf._model = replace(clf._model, layout=layout)
    assert clf._model.decoders[0].is_sparse == (layout == "sparse")
    texts = [*texts, "none of them"]
    labels, proba = outputs(model, np.array(texts)[:, None])
    assert_allclose(proba, model.predict_proba(texts), atol=1e-5)
    assert_array_equal(labels, model.predict(texts))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([-5, 7], [-5, 7]),
        ([False, True], [0, 1]),
        ([1.0, 3.0], [1, 3]),
        (["é", "longer"], ["longer", "é"]),
        (np.array(["no", "yes"], dtype=object), ["no", "yes"]),
    ],
)
def test_labels(outputs, kinds, expected):
    X = np.array([[3, 1, 0], [0, 1, 3], [2, 1, 0], [0, 0, 1]], dtype=np.float32)
    model = ExplicitSoftmaxClassifier(inverse_temperature=1.0)
    y = np.asarray(kinds)[[0, 1, 0, 1]]
    model.fit(X, y)
    labels, _ = outputs(model, X)
    codes = np.searchsorted(model.classes_, y)
    assert_array_equal(labels, np.array(expected)[codes])
    _, proba = outputs(model, X, {"zipmap": True})
    assert sorted(proba[0]) == sorted(expected)
    labels, _ = outputs(model, X, {"zipmap": False, "nocl": True})
    assert_array_equal(labels, codes)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_and_what_is_calibrated_by_them(outputs, digits, n_classes):
    X, y, rows, _ = digits
    X, y = X[y < n_classes], y[y < n_classes]
    model = ExplicitSoftmaxClassifier().fit(X, y)
    _, scores = outputs(model, rows, {"zipmap": False, "raw_scores": True})
    expected = model.decision_function(rows)
    if n_classes == 2:
        expected = np.stack([-expected, expected], axis=1)
    assert_allclose(scores, expected, atol=1e-9)
    calibrated = CalibratedClassifierCV(ExplicitSoftmaxClassifier(), cv=2).fit(X, y)
    _, proba = outputs(calibrated, rows)
    assert_allclose(proba, calibrated.predict_proba(rows), atol=1e-9)


def test_models_beyond_the_size_of_a_file(outputs, monkeypatch):
    monkeypatch.setattr("explicit_softmax._onnx._MOST_BYTES", 23)
    X = np.array([[3, 1], [0, 1], [2, 2]], dtype=np.float32)
    model = ExplicitSoftmaxClassifier(inverse_temperature=1.0).fit(X, [0, 1, 2])
    with pytest.raises(ValueError, match="an ONNX file can hold 2"):
        outputs(model, X)
