"""
==================================
Streaming, forgetting, and merging
==================================

The solution follows from counts, and counts can be added, merged, and subtracted.
"""

# %%
# Forgetting bad batches
# ----------------------
#
# Digits arrive in batches of 40. One annotator, whose labels are off by one, delivers
# four batches in a row. The mistake is discovered ten batches later, and those rows are
# forgotten.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from explicit_softmax import ExplicitSoftmaxClassifier

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, random_state=0)
batches = [slice(start, start + 40) for start in range(0, 1200, 40)]
bad = range(8, 12)
discovered = 21

labels = y.copy()
for number in bad:
    labels[batches[number]] = (labels[batches[number]] + 1) % 10

# Sums of integers are exact. Without the norm exponent, so is everything below.
model = ExplicitSoftmaxClassifier(norm_exponent=0.0)
careful = ExplicitSoftmaxClassifier(norm_exponent=0.0)
losses, reference = [], []
for number, batch in enumerate(batches):
    model.partial_fit(X[batch], labels[batch], classes=range(10))
    if number not in bad:
        careful.partial_fit(X[batch], y[batch], classes=range(10))
    if number == discovered:
        for wrong in bad:
            model.forget(X[batches[wrong]], labels[batches[wrong]])
    losses.append(log_loss(y_test, model.predict_proba(X_test)))
    reference.append(log_loss(y_test, careful.predict_proba(X_test)))

figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
rows = 40 * np.arange(1, len(batches) + 1)
ax.axvspan(40 * bad.start, 40 * bad.stop, color="0.9", label="wrong labels")
ax.axvline(40 * (discovered + 1), color="0.4", linestyle="--", label="forgotten")
ax.plot(rows, reference, color="C1", linewidth=3, alpha=0.5, label="never saw them")
ax.plot(rows, losses, color="C0", label="the stream")
ax.set(xlabel="Rows streamed", ylabel="Test log-loss (nats)", ylim=(0.3, 1.1))
ax.set_title("Wrong labels arrive, and are forgotten")
ax.legend(loc="upper right")

# %%
# ``forget`` changes the model in place. Afterwards the two models are the same, to the
# last bit.
print((model.coef_ == careful.coef_).all())

# %%
# Merging shards
# --------------
#
# Counts of shards can be summed in any order. Each process needs only its own rows, and
# the result is the model of all rows. ``merge`` adds the other models to the first, in
# place.
first, *others = [
    ExplicitSoftmaxClassifier(norm_exponent=0.0).partial_fit(
        X[start::4], y[start::4], classes=range(10)
    )
    for start in range(4)
]
first.merge(*others)
whole = ExplicitSoftmaxClassifier(norm_exponent=0.0).fit(X, y)
print((first.coef_ == whole.coef_).all())
