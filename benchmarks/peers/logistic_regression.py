"""LogisticRegression: softmax regression by L-BFGS.

Minimises the sum over rows of the log-loss in nats plus 1/(2 C) ||W||^2, with C = 1;
per row the penalty is 1/(2 C n_samples) ||W||^2. Intercepts are not penalised. Features
are neither centred nor scaled. It stops at a gradient of 1e-4 or after 100 iterations.
"""

from sklearn.linear_model import LogisticRegression

NAME = "LogisticRegression"


def make() -> LogisticRegression:
    return LogisticRegression(solver="lbfgs", C=1.0, max_iter=100)
