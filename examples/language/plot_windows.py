"""
=================================
Context windows and their weights
=================================

Predicting the next word of a text from the words before it: windows of one-hot words,
the theorem, and one inverse temperature for each position.
"""

# %%
# Words of Python's help
# ----------------------
#
# The 500 most frequent words are kept, and all others are replaced by one. A quarter of
# the documents, drawn with a fixed seed, is for testing, on every fifth word.
import re
from collections import Counter
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from explicit_softmax import (
    ContextWindowTransformer,
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
# Perplexity by window size
# -------------------------
#
# "sum" adds the one-hot vectors of a window, and "cat" concatenates them. The theorem
# multiplies what all positions say. The second pair of curves has an inverse
# temperature for each position (a single one for "sum"), fitted by exact leave-one-out.
# Apart from this the models are the same: windows have equal norms and need no norm
# exponent, and the class prior is in the columns of weights, as in the paper.
#
# Perplexity is exp of the log-loss in nats per word.
sizes = [1, 2, 4, 8]


def model(size, aggregation, inverse_temperature):
    """Windows of one size, and a classifier of the next word."""
    return make_pipeline(
        ContextWindowTransformer(context_size=size, aggregation=aggregation),
        ExplicitSoftmaxClassifier(
            inverse_temperature=inverse_temperature,
            norm_exponent=0.0,
            translation="column",
            n_blocks=size if aggregation == "cat" else 1,
        ),
    ).fit(X_train, y_train)


def perplexity(fitted):
    """Perplexity of the test words."""
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
ax.set_yticks([20, 30, 40, 50], ["20", "30", "40", "50"])
ax.minorticks_off()
ax.set_title("Perplexity by window size")
ax.legend()

# %%
# The theorem improves with a second word and gets worse with each further one. With an
# inverse temperature for each position, "cat" improves with every further word. "sum"
# cannot: it has one inverse temperature for near and far words and does not know which
# is which.
#
# Weights of the positions
# ------------------------
#
# The inverse temperatures of "cat" act like fixed attention weights over positions. The
# nearest words weigh most, though less than in the theorem. Beyond the third word the
# weights are small, and another sample of rows would order them differently.
betas = models[-1][-1].inverse_temperature_
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.bar(range(1, 9), betas)
ax.set(xlabel="Words back", ylabel="Inverse temperature")
ax.set_title("What each position is worth")

# %%
# The scaling behind the theorem
# ------------------------------
#
# The left of Fig. 1 in the paper, for windows of one word: the number of occurrences of
# each word against the mean of its co-occurrences with the words before it.
counts = model(1, "cat", 1.0)[-1].feature_count_.toarray()
occurrences = counts.sum(axis=1)
mean_cooccurrence = (counts**2).sum(axis=1) / occurrences
slope, intercept = np.polyfit(np.log(mean_cooccurrence), np.log(occurrences), 1)
figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.loglog(mean_cooccurrence, occurrences, ".", alpha=0.5)
ends = np.array([mean_cooccurrence.min(), mean_cooccurrence.max()])
ax.loglog(ends, np.exp(intercept) * ends**slope, "--", label=f"slope {slope:.2f}")
ax.set(xlabel="Mean co-occurrence", ylabel="Occurrences of the word")
ax.set_title("A point is a word")
ax.legend()
