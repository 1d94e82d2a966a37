"""SGDClassifier(loss="log_loss"): one binary logistic regression per class.

For each class, minimises the mean over rows of the binary log-loss plus alpha/2 ||w||^2
with alpha = 1e-4, one row at a time, with steps 1/(alpha (t + t0)), up to 1,000 epochs
or until the loss has not improved by 1e-3 for five of them. The probabilities are those
of the binary models, divided by their sum: not the softmax of the scores.
"""

from sklearn.linear_model import SGDClassifier

NAME = "SGDClassifier"


def make() -> SGDClassifier:
    return SGDClassifier(loss="log_loss", random_state=0)
