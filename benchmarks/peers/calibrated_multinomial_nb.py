"""MultinomialNB(alpha=0.1) with one temperature, chosen by 5-fold cross-validation.

For each fold, fits MultinomialNB on the other four and minimises the mean log-loss of
the fold over the temperature that divides its log-probabilities. The probabilities are
the means of those of the five pairs. There is no predict_log_proba: the log-loss is of
the logarithms of predict_proba.
"""

import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.naive_bayes import MultinomialNB

NAME = "MultinomialNB, alpha=0.1, temperature"

if tuple(int(part) for part in sklearn.__version__.split(".")[:2]) < (1, 8):
    raise ImportError('method="temperature" needs scikit-learn 1.8 or newer')


def make() -> CalibratedClassifierCV:
    return CalibratedClassifierCV(MultinomialNB(alpha=0.1), method="temperature")
