"""
=================================
Digits, with and without training
=================================

The weights of a softmax classifier are computed from counts, tempered, and then used as
the starting point of a log-loss minimisation.
"""

# %%
# Three explicit solutions
# ------------------------
#
# The first model is the theorem of Williams and Zhao as printed. It needs positive
# co-occurrences, and some corners of these images are always blank, so one is added to
# every pixel here. The default model smooths the counts and fits an inverse temperature
# and intercepts by exact leave-one-out; the last model also chooses the norm exponent
# and the smoothing strength that way.
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    LossCurveDisplay,
    Refinement,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X + 1.0, y, random_state=0)

as_printed = {
    "inverse_temperature": 1.0,
    "smoothing": None,
    "norm_exponent": 0.0,
    "translation": "column",
}
models = {
    "theorem": ExplicitSoftmaxClassifier(**as_printed),
    "default": ExplicitSoftmaxClassifier(),
    "CV": ExplicitSoftmaxClassifierCV(),
}
for name, model in models.items():
    model.fit(X_train, y_train)
    probabilities = model.predict_proba(X_test)
    print(
        f"{name:8}  accuracy {accuracy_score(y_test, model.predict(X_test)):.3f}"
        f"  log-loss {log_loss(y_test, probabilities):.3f}"
    )

# %%
# The predicted labels are much the same, but the probabilities are not: neighbouring
# pixels repeat each other's evidence, and the theorem counts it every time.
#
# What the weights look like
# --------------------------
#
# Each row of ``coef_`` is an image of tempered logarithms of co-occurrences, centred
# over the classes. A few pixels are rarely inked and have much larger weights than the
# others: the colours cover 98 % of the weights.
weights = models["default"].coef_.reshape(10, 8, 8)
limit = np.quantile(np.abs(weights), 0.98)
figure, axes = plt.subplots(2, 5, figsize=(8, 3.4), layout="constrained")
for ax, label, template in zip(axes.flat, range(10), weights, strict=True):
    image = ax.imshow(template, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(title=label, xticks=[], yticks=[])
figure.colorbar(image, ax=axes, label="Weight", extend="both")
figure.suptitle("Weights of each digit")

# %%
# Using it as a starting point
# ----------------------------
#
# With ``warm_start=True`` the explicit solution is refined by minimising the log-loss.
# An inverse temperature of zero leaves nothing but class frequencies, which makes a
# cold start. All models are trained for 40 epochs, whether or not they have converged.
warnings.filterwarnings("ignore", category=ConvergenceWarning)
starts = {"cold": {"inverse_temperature": 0.0}, "theorem": as_printed, "default": {}}
refined = {
    name: ExplicitSoftmaxClassifier(
        warm_start=True,
        refinement=Refinement(max_iter=40, tol=0, random_state=0),
        **parameters,
    )
    for name, parameters in starts.items()
}
for name, model in refined.items():
    model.fit(X_train, y_train)
    print(f"from {name:8} test accuracy {model.score(X_test, y_test):.3f}")

display = LossCurveDisplay.from_estimators(refined)
display.ax_.set_title("Training from three starts")
# sphinx_gallery_thumbnail_number = 2

# %%
# The default solution leads from the first epoch on. The bare theorem starts *behind*
# the cold start, because it is too confident where it is wrong. The problem is convex:
# the start decides how soon a loss is reached, not which loss can be reached.
