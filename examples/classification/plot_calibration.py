"""
========================
Calibrated probabilities
========================

Naive Bayes ranks classes well but is far too confident. The explicit solution has one
additional number, an inverse temperature fitted by exact leave-one-out, which makes the
probabilities usable.
"""

# %%
# Even and odd digits
# -------------------
#
# scikit-learn's reliability diagrams work with the classifiers of this package without
# any adapter. Half of the rows are for testing.
import matplotlib.pyplot as plt
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_digits
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import MultinomialNB

from explicit_softmax import ExplicitSoftmaxClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y % 2 == 0, test_size=0.5, random_state=0
)
models = {
    "MultinomialNB": MultinomialNB(),
    "calibrated by folds": CalibratedClassifierCV(MultinomialNB()),
    "explicit softmax": ExplicitSoftmaxClassifier(),
}

_, reliability = plt.subplots(figsize=(5.5, 4), layout="constrained")
_, histograms = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for number, (name, model) in enumerate(models.items()):
    probability = model.fit(X_train, y_train).predict_proba(X_test)[:, 1]
    print(
        f"{name:20} log-loss {log_loss(y_test, probability):.3f}"
        f"  Brier score {brier_score_loss(y_test, probability):.3f}"
        f"  accuracy {model.score(X_test, y_test):.3f}"
    )
    CalibrationDisplay.from_predictions(
        y_test, probability, n_bins=5, name=name, ax=reliability, color=f"C{number}"
    )
    ax = histograms[number]
    ax.hist(probability, bins=20, range=(0, 1), color=f"C{number}")
    ax.set(title=name, xlabel="Probability of even", ylabel="Test rows")
reliability.set(xlabel="Predicted probability of even", ylabel="Share of even digits")
reliability.set_title("Reliability of three classifiers of digits")

# %%
# ``MultinomialNB`` gives nearly all rows a probability close to zero or one, and about
# one in six of them is wrong; its points in the middle stand for a handful of rows.
# ``CalibratedClassifierCV`` moves them to about 0.2 and 0.9, which is calibrated, but
# still two values for nearly all rows. The explicit solution spreads its probabilities
# over the whole range, and needs no folds.
