"""
=============================
Which priming number is best?
=============================

The theorem assumes that all rows have the same norm K, its *priming number*. For rows
of different norms the paper uses their mean norm instead. This page shows how much that
costs.
"""

# %%
# A scan by exact leave-one-out
# -----------------------------
#
# The digits are thinned out: 1/K is the weight of the class prior, so K matters only if
# the classes are unbalanced. One model is the theorem, with an inverse temperature of
# one; the other fits its inverse temperature anew for each K.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from explicit_softmax import ExplicitSoftmaxClassifierCV, PrimingNumberDisplay

X, y = load_digits(return_X_y=True)
share = np.array([1, 0.5, 0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.05])
kept = np.random.default_rng(0).random(len(y)) < share[y]
X, y = X[kept], y[kept]
print(np.bincount(y), "rows of each class; mean norm", X.sum(axis=1).mean().round(1))


def search(lowest, inverse_temperature):
    """Scan K from a lowest value up to 3,000."""
    return ExplicitSoftmaxClassifierCV(
        priming_numbers=["mean_norm", *np.geomspace(lowest, 3000, 20)],
        norm_exponents=[0.0],
        translation="column",
        inverse_temperature=inverse_temperature,
    ).fit(X, y)


searches = {"theorem": search(15, 1.0), "tempered": search(100, "auto")}
for name, found in searches.items():
    _, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    PrimingNumberDisplay.from_estimator(
        found, ax=ax, negate_score=True, score_name="Leave-one-out log-loss (nats)"
    )
    ax.set_title(f"Loss by priming number, {name}")
    loss = -found.best_score_
    print(f"{name}: best K {found.priming_number_:.0f}, log-loss {loss:.3f}")

# %%
# The evidence of the theorem is over-confident, and the class prior has to be
# over-weighted to have any influence: the best K is about a tenth of the mean norm, and
# the model is still poor. Once the evidence is tempered, the best K is of the order of
# the mean norm, and the curve is flat around it. This is why ``"mean_norm"`` is the
# default, and why the inverse temperature is fitted instead.
