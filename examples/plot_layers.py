"""
=========================
Layers without a gradient
=========================

Softmax outputs are positive and sum to one, so that they are what the theorem wants of
its features. A second layer can be written down on top of a first one. What should the
first one predict?
"""

# %%
# Clusters within the classes
# ---------------------------
#
# The paper lets the hidden layer predict the classes themselves. It then is as wide as
# there are classes, and a second layer has little to add. Clusters within each class
# make it wider, and the outputs still sum to one.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from explicit_softmax import (
    ClassTemplateDisplay,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxNetworkClassifier,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

# Given numbers of epochs, whether training is done or not.
warnings.filterwarnings("ignore", category=ConvergenceWarning)


def measure(model):
    """Error and log-loss of the test rows."""
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
    "one layer": (measure(ExplicitSoftmaxClassifier(norm_exponent=0.5)), "--"),
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
for k, error, loss in zip(clusters, *curves["forward passes only"].T, strict=True):
    print(f"{k:3} clusters: accuracy {1 - error:.3f}, log-loss {loss:.3f}")

for name, ((error, loss), _) in peers.items():
    print(f"{name}: accuracy {1 - error:.3f}, log-loss {loss:.3f}")

# %%
# Twenty clusters make as many hidden units as the network of scikit-learn has beside
# it, which is trained for 100 epochs. Another split of so few rows may order the best
# of these differently; on more data, trained networks are ahead.
#
# What the hidden layer looks for
# -------------------------------
#
# The weights of the first layer, for five clusters in each of three classes: ways to
# write a digit.
network = ExplicitSoftmaxNetworkClassifier(hidden_targets=5, random_state=0)
network.fit(X_train, y_train)
shown = np.isin(network.hidden_classes_, [1, 4, 7])
weights = network.coefs_[0] - network.coefs_[0].mean(axis=1, keepdims=True)
display = ClassTemplateDisplay(
    templates=weights.T[shown].reshape(-1, 8, 8),
    classes=network.hidden_classes_[shown],
    scale_name="Weight (centred)",
)
display.plot()
