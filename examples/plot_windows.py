"""
============================
How much is each word worth?
============================

The next word of a text from the words before it: a window of one-hot words, the
theorem, and one inverse temperature for each position.
"""

# %%
# Words of Python's help
# ----------------------
#
# The 500 most frequent words are kept, and all others become one. A quarter of the
# documents, drawn with a fixed seed, is for testing, on every fifth word.
import re
from collections import Counter
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from explicit_softmax import (
    ContextWindowTransformer,
    CooccurrenceScalingDisplay,
    ExplicitSoftmaxClassifier,
    context_windows,
)

documents = [
    re.findall(r"\w+|[^\w\s]", text.lower()) for _, text in sorted(topics.items())
]
train, test = train_test_split(documents, test_size=0.25, random_state=0)
times = Counter(word for document in train for word in document)
frequent = {word for word, _ in times.most_common(500)}
train, test = (
    [[word if word in frequent else "<rare>" for word in document] for document in part]
    for part in (train, test)
)
X_train, y_train = context_windows(train, 8)
X_test, y_test = (part[::5] for part in context_windows(test, 8))
print(len(y_train), "+", len(y_test), "words; a window, nearest first, and its target:")
print(X_train[8], y_train[8])

# %%
# Perplexity by size of the window
# --------------------------------
#
# "sum" adds the one-hot vectors of a window, and "cat" sets them side by side. The
# theorem multiplies what all positions say. One inverse temperature for each, by exact
# leave-one-out, is the second pair of curves.
#
# Perplexity is exp of the log-loss in nats per word.
sizes = [1, 2, 4, 8]


def model(size, aggregation, inverse_temperature):
    """Windows of a size, and what follows them."""
    return make_pipeline(
        ContextWindowTransformer(context_size=size, aggregation=aggregation),
        ExplicitSoftmaxClassifier(
            inverse_temperature=inverse_temperature,
            n_blocks=size if aggregation == "cat" else 1,
        ),
    ).fit(X_train, y_train)


def perplexity(fitted):
    """Of the test words."""
    columns = np.searchsorted(fitted.classes_, y_test)
    log_likelihood = fitted.predict_log_proba(X_test)[np.arange(len(y_test)), columns]
    return np.exp(-log_likelihood.mean())


figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for beta, style, name in ((1.0, "--", "theorem"), ("auto", "-", "leave-one-out")):
    for color, aggregation in enumerate(("sum", "cat")):
        models = [model(size, aggregation, beta) for size in sizes]
        values = [perplexity(fitted) for fitted in models]
        print(f"{aggregation}, {name:13}", *[f"{value:8.1f}" for value in values])
        label = f"{aggregation}, {name}"
        ax.plot(sizes, values, style, color=f"C{color}", marker="o", label=label)
ax.set(xscale="log", yscale="log", xlabel="Window (words)", ylabel="Test perplexity")
ax.set_xticks(sizes, sizes)
ax.set_yticks([20, 50, 100], ["20", "50", "100"])
ax.minorticks_off()
ax.legend()

# %%
# The theorem gains from a second word and then loses by every other one. "cat" with a
# temperature for each position gains from every further word. "sum" cannot: it has one
# temperature for words near and far, and does not know which is which.
#
# An attention to positions
# -------------------------
#
# The inverse temperatures of "cat" are the weights of the positions. The nearest word
# weighs about as much as in the theorem, the others half or less.
betas = models[-1][-1].inverse_temperature_
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.bar(range(1, 9), betas)
ax.set(xlabel="Words back", ylabel="Inverse temperature")

# %%
# The scaling behind the theorem
# ------------------------------
#
# The left of Fig. 1 in the paper: the number of occurrences of a word against a mean of
# its co-occurrences, here for windows of two words.
windows = make_pipeline(
    ContextWindowTransformer(context_size=2, aggregation="sum"),
    ExplicitSoftmaxClassifier(inverse_temperature=1.0),
).fit(X_train, y_train)
display = CooccurrenceScalingDisplay.from_estimator(windows, X_train, y_train)
print(f"slope {display.slope_:.2f}")
