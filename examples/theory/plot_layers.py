"""
=========================
Layers without a gradient
=========================

Softmax outputs are positive and sum to one, which is what the theorem assumes of its
features. A second layer can therefore be computed on top of a first one. What should
the first layer predict?
"""

# %%
# Clusters within the classes
# ---------------------------
#
# In the paper the hidden layer predicts the classes themselves. It then has one unit
# for each class, and a second layer has little to add. Clusters within each class make
# it wider, and its outputs still sum to one.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxNetworkClassifier,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

# Training has a fixed number of epochs, whether or not it has converged.
warnings.filterwarnings("ignore", category=ConvergenceWarning)


def measure(model):
    """Error and log-loss on the test rows."""
    model.fit(X_train, y_train)
    loss = log_loss(y_test, model.predict_proba(X_test))
    return 1 - model.score(X_test, y_test), loss


clusters = [1, 2, 5, 10, 20]
curves = {}
for name, warm_start in (("forward passes only", False), ("trained jointly", True)):
    curves[name] = np.array(
        [
            measure(
                ExplicitSoftmaxNetworkClassifier(
                    hidden_targets=k, warm_start=warm_start, random_state=0
                )
            )
            for k in clusters
        ]
    )
peers = {
    "one layer": (measure(ExplicitSoftmaxClassifier()), "--"),
    "MLPClassifier((200,))": (
        measure(MLPClassifier((200,), random_state=0, max_iter=100)),
        ":",
    ),
}

labels = ("Test error", "Test log-loss (nats)")
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for column, (ax, label) in enumerate(zip(axes, labels, strict=True)):
    for name, (values, style) in peers.items():
        ax.axhline(values[column], color="0.4", linestyle=style, label=name)
    for name, values in curves.items():
        ax.plot(clusters, values[:, column], "o-", label=name)
    ax.set(xscale="log", xlabel="Clusters in each class", ylabel=label, ylim=(0, None))
    ax.set_xticks(clusters, clusters)
    ax.minorticks_off()
axes[1].legend(loc=(0.42, 0.5))
figure.suptitle("Two layers by the clusters that the hidden one predicts")
for k, error, loss in zip(clusters, *curves["forward passes only"].T, strict=True):
    print(f"{k:3} clusters: accuracy {1 - error:.3f}, log-loss {loss:.3f}")

for name, ((error, loss), _) in peers.items():
    print(f"{name}: accuracy {1 - error:.3f}, log-loss {loss:.3f}")

# %%
# With twenty clusters in each class the hidden layer has 200 units, like the
# ``MLPClassifier``, which was trained for 100 epochs. Joint training helps narrow
# networks; with ten clusters or more it overfits these few rows, and the forward passes
# alone are better. The ranking of the best models may change with another split of this
# small data set; on larger data, trained networks win.
#
# What the hidden layer detects
# -----------------------------
#
# The weights of the first layer, for five clusters in each of three classes: different
# ways to write a digit.
network = ExplicitSoftmaxNetworkClassifier(hidden_targets=5, random_state=0)
network.fit(X_train, y_train)
weights = network.coefs_[0].T - network.coefs_[0].mean(axis=1)
limit = np.quantile(np.abs(weights), 0.98)
figure, axes = plt.subplots(3, 5, figsize=(7, 4.4), layout="constrained")
for row, label in zip(axes, [1, 4, 7], strict=True):
    units = weights[network.hidden_classes_ == label].reshape(-1, 8, 8)
    for ax, template in zip(row, units, strict=True):
        image = ax.imshow(template, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(title=label, xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="Weight (centred)", extend="both")
figure.suptitle("Weights of hidden units")
# sphinx_gallery_thumbnail_number = 2
