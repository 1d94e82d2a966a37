"""
=================================
Digits, with and without training
=================================

The weights of a softmax classifier are written down from counts, tempered, and then
used as the start of a log-loss minimisation.
"""

# %%
# Three explicit solutions
# ------------------------
#
# ``inverse_temperature=1`` without smoothing is the theorem of Williams & Zhao. It
# needs co-occurrences that are all positive; some corners of these images are always
# blank, so that one is added to every pixel here. The default model smooths and tempers
# by itself, and the last one chooses everything by exact leave-one-out.
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

from explicit_softmax import (
    ClassTemplateDisplay,
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    LossCurveDisplay,
)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X + 1.0, y, random_state=0)

models = {
    "theorem": ExplicitSoftmaxClassifier(inverse_temperature=1.0, smoothing=None),
    "tempered": ExplicitSoftmaxClassifier(),
    "all chosen": ExplicitSoftmaxClassifierCV(),
}
for name, model in models.items():
    model.fit(X_train, y_train)
    probabilities = model.predict_proba(X_test)
    print(
        f"{name:10}  inverse temperature {model.inverse_temperature_:.3f}"
        f"  accuracy {accuracy_score(y_test, model.predict(X_test)):.3f}"
        f"  log-loss {log_loss(y_test, probabilities):.3f}"
    )

# %%
# The labels are nearly the same and the probabilities are not: neighbouring pixels
# repeat each other's evidence, and the theorem counts it each time.
#
# What the weights look like
# --------------------------
#
# Each row of ``coef_`` is an image of tempered logarithms of co-occurrences. What all
# classes have in common is taken off before it is drawn.
ClassTemplateDisplay.from_estimator(models["tempered"], image_shape=(8, 8))

# %%
# As the start of a training
# --------------------------
#
# ``warm_start=True`` goes on from the explicit solution by minimising the log-loss. An
# inverse temperature of zero leaves nothing but class frequencies, which makes a cold
# start. All get 40 epochs, whether they are done or not.
warnings.filterwarnings("ignore", category=ConvergenceWarning)
starts = {"cold": 0.0, "theorem": 1.0, "tempered": "auto"}
refined = {
    name: ExplicitSoftmaxClassifier(
        inverse_temperature=beta, warm_start=True, max_iter=40, tol=0, random_state=0
    )
    for name, beta in starts.items()
}
for name, model in refined.items():
    model.fit(X_train, y_train)
    print(f"from {name:9} test accuracy {model.score(X_test, y_test):.3f}")

LossCurveDisplay.from_estimators(refined, loss_name="Training log-loss (nats)")

# %%
# The tempered solution is ahead from the first epoch. The bare theorem begins *behind*
# the cold start: it is too sure of its mistakes. The problem is convex, so that a start
# decides how soon a loss is reached, and not which loss can be reached.
