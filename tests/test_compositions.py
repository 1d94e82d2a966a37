"""What can be built from MultinomialNB can be built from our classifier.

Each composition takes an unfitted classifier and gives a score, accuracy where nothing
else is said, which must not be much below that of naive Bayes.
"""

import copy
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context, inspection, model_selection, preprocessing
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import NMF
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    chi2,
)
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    DetCurveDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    get_scorer,
)
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
)
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.semi_supervised import SelfTrainingClassifier

from explicit_softmax import ExplicitSoftmaxClassifier

X, Y = (values[:400] for values in load_digits(return_X_y=True))
TRAIN, TEST = slice(0, 300), slice(300, 400)
TWO = (Y >= 5).astype(int)
BOTH = np.c_[Y % 2, TWO]
WORDS = ["cheap pills now", "meeting at noon", "pills cheap buy", "noon lunch meeting"]
TEXTS, SPAM = WORDS * 10, [1, 0, 1, 0] * 10
FRAME = pd.DataFrame(X, columns=[f"p{i}" for i in range(64)])
WINE, CULTIVAR = load_wine(return_X_y=True)


def fitted(clf, rows=X, labels=Y):
    """Accuracy on other rows."""
    return clf.fit(rows[TRAIN], labels[TRAIN]).score(rows[TEST], labels[TEST])


def framed(clf, frame, labels=Y):
    return clf.fit(frame[TRAIN], labels[TRAIN]).score(frame[TEST], labels[TEST])


def on_text(vectorizer):
    return lambda clf: (
        make_pipeline(vectorizer, clf).fit(TEXTS, SPAM).score(TEXTS, SPAM)
    )


def searched(search, **how):
    def score(clf):
        grid = {"fit_prior": [True, False]}
        return search(clf, grid, cv=3, **how).fit(X, Y).best_score_

    return score


def calibrated(method):
    return lambda clf: fitted(CalibratedClassifierCV(clf, method=method, cv=3))


def layout(make, rows=X):
    def score(clf):
        train, test = make(rows[TRAIN]), make(rows[TEST])
        return clf.fit(train, Y[TRAIN]).score(test, Y[TEST])

    return score


def scored(name, labels=TWO):
    def score(clf):
        clf.fit(X[TRAIN], labels[TRAIN])
        return get_scorer(name)(clf, X[TEST], labels[TEST])

    return score


def displayed(display, labels=TWO):
    def score(clf):
        display.from_estimator(clf.fit(X[TRAIN], labels[TRAIN]), X[TEST], labels[TEST])
        return clf.score(X[TEST], labels[TEST])

    return score


def streamed(clf):
    for part in np.array_split(np.arange(300), 5):
        clf.partial_fit(X[part], Y[part], classes=range(10))
    return clf.score(X[TEST], Y[TEST])


def multi_output_stream(clf):
    both = MultiOutputClassifier(clf)
    for part in np.array_split(np.arange(300), 3):
        both.partial_fit(X[part], BOTH[part], classes=[[0, 1], [0, 1]])
    return both.score(X[TEST], BOTH[TEST])


def learning_curve(clf, incremental=False):
    how = {"exploit_incremental_learning": incremental, "train_sizes": [0.3, 1.0]}
    return model_selection.learning_curve(clf, X, Y, cv=3, **how)[2][-1].mean()


def validation_curve(clf):
    how = {"param_name": "fit_prior", "param_range": [True, False], "cv": 3}
    return model_selection.validation_curve(clf, X, Y, **how)[1].mean()


def permutation_test(clf):
    how = {"cv": 3, "n_permutations": 3, "random_state": 0}
    return model_selection.permutation_test_score(clf, X, Y, **how)[0]


def importance(clf):
    clf.fit(X[TRAIN], Y[TRAIN])
    how = {"n_repeats": 1, "random_state": 0}
    found = inspection.permutation_importance(clf, X[TEST], Y[TEST], **how)
    assert np.isfinite(found.importances_mean).all()
    return clf.score(X[TEST], Y[TEST])


def partial_dependence(clf):
    clf.fit(X[TRAIN], TWO[TRAIN])
    found = inspection.partial_dependence(clf, X[TEST], [20], grid_resolution=5)
    assert np.isfinite(found["average"]).all()
    return clf.score(X[TEST], TWO[TEST])


def boundary(clf):
    clf = make_pipeline(preprocessing.MinMaxScaler(), clf)
    clf.fit(WINE[:, :2], CULTIVAR)
    # The grid reaches beyond the rows, where scaled features are negative.
    inspection.DecisionBoundaryDisplay.from_estimator(
        clf, WINE[:, :2], response_method="predict", grid_resolution=10
    )
    return clf.score(WINE[:, :2], CULTIVAR)


def scaled_folds(clf):
    clf = make_pipeline(preprocessing.MinMaxScaler(), clf)
    return model_selection.cross_validate(clf, WINE, CULTIVAR)["test_score"].mean()


def routed(clf):
    with config_context(enable_metadata_routing=True):
        clf.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        weight = np.linspace(0.5, 1.5, 400)
        return model_selection.cross_val_score(
            clf, X, Y, cv=3, params={"sample_weight": weight}
        ).mean()


def tuned_threshold(clf):
    return fitted(model_selection.TunedThresholdClassifierCV(clf, cv=3), labels=TWO)


def self_training(clf):
    labels = np.where(np.arange(300) % 3, Y[TRAIN], -1)
    return SelfTrainingClassifier(clf).fit(X[TRAIN], labels).score(X[TEST], Y[TEST])


def cached(clf, tmp_path):
    fit = joblib.Memory(tmp_path, verbose=0).cache(lambda m: m.fit(X[TRAIN], Y[TRAIN]))
    return fit(clf).score(X[TEST], Y[TEST])


def predicted(method):
    def score(clf):
        found = model_selection.cross_val_predict(clf, X, Y, cv=3, method=method)
        labels = found if method == "predict" else found.argmax(axis=1)
        return (labels == Y).mean()

    return score


def copied(copy_of):
    def score(clf):
        return copy_of(clf.fit(X[TRAIN], Y[TRAIN])).score(X[TEST], Y[TEST])

    return score


def nullable(frame):
    return frame.astype("Int64")


def bins():
    return preprocessing.KBinsDiscretizer(
        4, strategy="uniform", quantile_method="averaged_inverted_cdf"
    )


COMPOSITIONS = {
    "pipeline": lambda clf: fitted(make_pipeline(clf)),
    "chi2": lambda clf: fitted(make_pipeline(SelectKBest(chi2, k=30), clf)),
    "column transformer": lambda clf: framed(
        make_pipeline(
            make_column_transformer(("passthrough", [f"p{i}" for i in range(50)])), clf
        ),
        FRAME,
    ),
    "one-hot column": lambda clf: framed(
        make_pipeline(
            ColumnTransformer(
                [("k", preprocessing.OneHotEncoder(), ["k"])], remainder="passthrough"
            ),
            clf,
        ),
        FRAME.assign(k=Y % 2),
    ),
    "feature union": lambda clf: fitted(
        make_pipeline(make_union("passthrough", SelectKBest(chi2, k=9)), clf)
    ),
    "bins": lambda clf: fitted(make_pipeline(bins(), clf)),
    "spline": lambda clf: fitted(
        make_pipeline(preprocessing.SplineTransformer(3, degree=1), clf)
    ),
    "polynomial": lambda clf: fitted(
        make_pipeline(preprocessing.PolynomialFeatures(2), clf)
    ),
    "binarizer": lambda clf: fitted(make_pipeline(preprocessing.Binarizer(), clf)),
    "normalizer": lambda clf: fitted(
        make_pipeline(preprocessing.Normalizer(norm="l1"), clf)
    ),
    "max abs": lambda clf: fitted(make_pipeline(preprocessing.MaxAbsScaler(), clf)),
    "quantiles": lambda clf: fitted(
        make_pipeline(preprocessing.QuantileTransformer(n_quantiles=50), clf)
    ),
    "target encoder": lambda clf: fitted(
        make_pipeline(preprocessing.TargetEncoder(), clf)
    ),
    "nmf": lambda clf: fitted(
        make_pipeline(NMF(8, random_state=0, max_iter=500, tol=1e-2), clf)
    ),
    "scaled folds": scaled_folds,
    "decision boundary": boundary,
    "counts of words": on_text(CountVectorizer()),
    "tf-idf": on_text(TfidfVectorizer(sublinear_tf=True)),
    "hashed words": on_text(HashingVectorizer(alternate_sign=False, n_features=64)),
    "dicts": lambda clf: (
        make_pipeline(DictVectorizer(), clf)
        .fit([{"a": 1}, {"b": 2}] * 9, [0, 1] * 9)
        .score([{"a": 1}], [0])
    ),
    "hashed dicts": lambda clf: (
        make_pipeline(FeatureHasher(8, alternate_sign=False), clf)
        .fit([{"a": 1}, {"b": 2}] * 9, [0, 1] * 9)
        .score([{"a": 1}], [0])
    ),
    "grid search": searched(model_selection.GridSearchCV),
    "randomized search": searched(
        model_selection.RandomizedSearchCV, n_iter=2, random_state=0
    ),
    "halving search": searched(model_selection.HalvingGridSearchCV, random_state=0),
    "cross_val_score": lambda clf: model_selection.cross_val_score(clf, X, Y).mean(),
    "cross_val_predict": predicted("predict"),
    "cross_val_predict proba": predicted("predict_proba"),
    "cross_val_predict log_proba": predicted("predict_log_proba"),
    "learning curve": learning_curve,
    "incremental learning curve": lambda clf: learning_curve(clf, True),
    "validation curve": validation_curve,
    "permutation test": permutation_test,
    "one vs rest": lambda clf: fitted(OneVsRestClassifier(clf)),
    "one vs one": lambda clf: fitted(OneVsOneClassifier(clf)),
    "output codes": lambda clf: fitted(OutputCodeClassifier(clf, random_state=0)),
    "chain": lambda clf: fitted(ClassifierChain(clf), labels=BOTH),
    "multi-output": lambda clf: fitted(MultiOutputClassifier(clf), labels=BOTH),
    "multi-output stream": multi_output_stream,
    "stacking": lambda clf: fitted(StackingClassifier([("a", clf)], clone(clf), cv=3)),
    "stacking passthrough": lambda clf: fitted(
        StackingClassifier([("a", clf)], clone(clf), cv=3, passthrough=True)
    ),
    "voting": lambda clf: fitted(VotingClassifier([("a", clf), ("b", clone(clf))])),
    "soft voting": lambda clf: fitted(
        VotingClassifier([("a", clf), ("b", clone(clf))], voting="soft")
    ),
    "bagging": lambda clf: fitted(BaggingClassifier(clf, 3, random_state=0)),
    "bagging features": lambda clf: fitted(
        BaggingClassifier(clf, 5, max_features=0.5, random_state=0)
    ),
    "boosting": lambda clf: fitted(AdaBoostClassifier(clf, n_estimators=3)),
    "self-training": self_training,
    "sigmoid": calibrated("sigmoid"),
    "isotonic": calibrated("isotonic"),
    # Chooses what it calibrates before the fit, and again when it predicts.
    "isotonic of one model": lambda clf: fitted(
        CalibratedClassifierCV(clf, method="isotonic", cv=3, ensemble=False)
    ),
    "frozen": lambda clf: fitted(
        CalibratedClassifierCV(FrozenEstimator(clf.fit(X[TRAIN], Y[TRAIN])))
    ),
    "tuned threshold": tuned_threshold,
    "fixed threshold": lambda clf: fitted(
        model_selection.FixedThresholdClassifier(clf, threshold=0.5), labels=TWO
    ),
    "rfe": lambda clf: fitted(make_pipeline(RFE(clf, step=20), clone(clf))),
    "select from model": lambda clf: fitted(
        make_pipeline(SelectFromModel(clf), clone(clf))
    ),
    "sequential selection": lambda clf: fitted(
        make_pipeline(
            SelectKBest(chi2, k=6),
            SequentialFeatureSelector(clf, n_features_to_select=3, cv=2),
            clone(clf),
        )
    ),
    "permutation importance": importance,
    "partial dependence": partial_dependence,
    "routing": routed,
    "stream": streamed,
    "average precision": scored("average_precision", Y),
    "average precision of two": scored("average_precision"),
    "roc auc": scored("roc_auc_ovr", Y),
    "balanced accuracy": scored("balanced_accuracy", Y),
    "roc display": displayed(RocCurveDisplay),
    "precision display": displayed(PrecisionRecallDisplay),
    "det display": displayed(DetCurveDisplay),
    "confusion display": displayed(ConfusionMatrixDisplay, Y),
    "calibration display": displayed(CalibrationDisplay),
    "frame": lambda clf: framed(clf, FRAME),
    "nullable frame": lambda clf: framed(clf, nullable(FRAME)),
    "sparse frame": lambda clf: framed(clf, FRAME.astype(pd.SparseDtype(float, 0))),
    "categorical labels": lambda clf: framed(
        clf, FRAME, pd.Series(Y, dtype="category")
    ),
    "text labels": lambda clf: fitted(clf, labels=Y.astype(str)),
    "lists": layout(lambda rows: rows.tolist()),
    "uint8": layout(lambda rows: rows.astype(np.uint8)),
    "bool": layout(lambda rows: rows > 4),
    "float16": layout(lambda rows: rows.astype(np.float16)),
    "float32": layout(lambda rows: rows.astype(np.float32)),
    "fortran": layout(np.asfortranarray),
    **{
        f"{name} {kind}": layout(getattr(sp, f"{name}_{kind}"))
        for name in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
        for kind in ("matrix", "array")
    },
    "pickle": copied(lambda clf: pickle.loads(pickle.dumps(clf))),
    "deep copy": copied(copy.deepcopy),
    "set_output": lambda clf: framed(
        make_pipeline(preprocessing.MaxAbsScaler(), clf).set_output(transform="pandas"),
        FRAME,
    ),
}


@pytest.mark.filterwarnings("ignore:leave-one-out finds no evidence")
@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.filterwarnings("ignore:Feature [0-9]+ is constant")
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_composition(name):
    compose = COMPOSITIONS[name]
    bayes = compose(MultinomialNB()) if name not in CANNOT else 0.9
    # Only rows behind a scaler are negative, and only there does clip matter.
    clip = name in ("scaled folds", "decision boundary")
    assert compose(ExplicitSoftmaxClassifier(clip=clip)) > bayes - 0.1


def test_memory(tmp_path):
    assert cached(ExplicitSoftmaxClassifier(), tmp_path) > 0.8


# MultinomialNB has no coef_.
CANNOT = ("rfe", "select from model")
