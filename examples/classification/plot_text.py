"""
==========================================
Text classification with many small topics
==========================================

Paragraphs of Python's own help texts, assigned to their topics.
"""

# %%
# The task
# --------
#
# The task is to assign each paragraph of the help to its topic. Paragraphs that occur
# in several topics are left out, and so are topics with fewer than 20 paragraphs.
import re
import time
from collections import Counter
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import ComplementNB, MultinomialNB

from explicit_softmax import (
    ExplicitSoftmaxClassifier,
    ExplicitSoftmaxClassifierCV,
    TopFeaturesDisplay,
)

paragraphs = {
    topic: [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    for topic, text in sorted(topics.items())
}
times = Counter(part for parts in paragraphs.values() for part in parts)
texts, labels = [], []
for topic, parts in paragraphs.items():
    kept = [part for part in parts if times[part] == 1 and len(part.split()) >= 5]
    if len(kept) >= 20:
        texts += kept
        labels += [topic] * len(kept)
train, test, y_train, y_test = train_test_split(
    texts, labels, test_size=0.25, random_state=0, stratify=labels
)
words = CountVectorizer(binary=True)
X_train, X_test = words.fit_transform(train), words.transform(test)
print(f"{len(train)} + {len(test)} paragraphs, {len(set(labels))} topics, ", end="")
print(f"{X_train.shape[1]} words")

# %%
# The models
# ----------
#
# All models have their defaults; ``MultinomialNB`` is also shown with a smoothing that
# suits this data better. Times are from a single run.
models = {
    "ExplicitSoftmaxClassifier": ExplicitSoftmaxClassifier(),
    "ExplicitSoftmaxClassifierCV": ExplicitSoftmaxClassifierCV(),
    "MultinomialNB": MultinomialNB(),
    "MultinomialNB, alpha=0.1": MultinomialNB(alpha=0.1),
    "ComplementNB": ComplementNB(),
    "LogisticRegression": LogisticRegression(),
}
results = {}
for name, model in models.items():
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    loss = log_loss(y_test, model.predict_proba(X_test), labels=model.classes_)
    accuracy = model.score(X_test, y_test)
    results[name] = loss, accuracy
    print(f"{name:28} {seconds:6.2f} s  log-loss {loss:.3f}  accuracy {accuracy:.3f}")

names = list(results)[::-1]
colors = ["C0" if name.startswith("Explicit") else "0.65" for name in names]
losses = [results[name][0] for name in names]
figure, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
bars = ax.barh(names, losses, color=colors)
accuracies = [f"{loss:.2f} ({accuracy:.0%})" for loss, accuracy in results.values()]
ax.bar_label(bars, accuracies[::-1], padding=3)
ax.set_xlabel("Test log-loss in nats (test accuracy)")
ax.set_xlim(right=1.4 * max(losses))
figure.suptitle("Paragraphs of the help, 14 topics")

# %%
# The explicit models have the lowest log-loss: their probabilities can be used. In
# accuracy ``ComplementNB`` is level with the better one.
#
# Words that indicate a topic
# ---------------------------
#
# Evidence has a mean of zero over the topics: the words with the largest evidence for a
# topic distinguish it. (`~explicit_softmax.TopFeaturesDisplay.from_explanation` draws
# the same for what a text classifier says of one text.)
chosen = models["ExplicitSoftmaxClassifierCV"]
TopFeaturesDisplay.from_estimator(
    chosen,
    classes=chosen.classes_[::5][:4],
    top=8,
    feature_names=words.get_feature_names_out(),
)
