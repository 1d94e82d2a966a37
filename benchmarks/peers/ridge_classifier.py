"""RidgeClassifier: least squares on targets of -1 and 1, in closed form.

Minimises the sum over rows and classes of the squared error plus alpha ||W||^2 with
alpha = 1; intercepts are not penalised. It has no probabilities, hence no log-loss.
"""

from sklearn.linear_model import RidgeClassifier

NAME = "RidgeClassifier"


def make() -> RidgeClassifier:
    return RidgeClassifier()
