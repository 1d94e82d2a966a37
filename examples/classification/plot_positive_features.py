"""
=================
Negative features
=================

The explicit solution takes logarithms of sums of features, which must not be negative.
PositiveFeatures replaces each feature by several non-negative ones.
"""

# %%
# Soft bins
# ---------
#
# Quantiles of the feature are the knots. A value between two knots is shared by their
# bins, and the bins of a feature always sum to one: every row has the same norm, as the
# theorem assumes.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from explicit_softmax import ExplicitSoftmaxClassifierCV, PositiveFeatures

alcohol = StandardScaler().fit_transform(load_wine().data[:, :1])
bins = PositiveFeatures(n_bins=5).fit(alcohol)
grid = np.linspace(alcohol.min(), alcohol.max(), 200)[:, None]

figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.plot(grid, bins.transform(grid), label=list(bins.get_feature_names_out()))
ax.plot(alcohol, np.full_like(alcohol, -0.06), "|", color="0.4", label="wines")
ax.set(xlabel="Alcohol (standardised)", ylabel="Feature")
ax.set_title("One feature as five soft bins")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))

# %%
# Two methods, and two other models
# ---------------------------------
#
# Log-loss by cross-validation in three folds. All models see standardised features.
data = {
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "breast cancer": load_breast_cancer(return_X_y=True),
}
models = {
    "bins": make_pipeline(PositiveFeatures(), ExplicitSoftmaxClassifierCV()),
    "split": make_pipeline(PositiveFeatures("split"), ExplicitSoftmaxClassifierCV()),
    "GaussianNB": GaussianNB(),
    "LogisticRegression": LogisticRegression(),
}

figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True, layout="constrained")
for ax, (name, (X, y)) in zip(axes, data.items(), strict=True):
    losses = []
    print(name)
    for label, model in models.items():
        whole = make_pipeline(StandardScaler(), model)
        scores = cross_val_score(whole, X, y, cv=3, scoring="neg_log_loss")
        losses.append(-scores.mean())
        print(f"    {label:18}  {losses[-1]:.3f}")
    bars = ax.barh(list(models), losses, color=["C0", "C0", "0.65", "0.65"])
    ax.bar_label(bars, fmt="%.2f", padding=3)
    ax.set(title=name, xlabel="Log-loss (nats)", xlim=(0, 1.2 * max(losses)))
ax.invert_yaxis()

# %%
# Soft bins have the lowest log-loss on iris and wine, and ``LogisticRegression`` on the
# breast cancer data, whose features are strongly correlated.
