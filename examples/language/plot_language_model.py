"""
============================
A language model from counts
============================

From texts to probabilities of the next token: byte-pair encoding, one pass of counting,
and Kneser-Ney smoothed n-grams or the explicit solution for windows.
"""

# %%
# Training is counting
# --------------------
#
# The texts are Python's own help. The documents are divided at random, with a fixed
# seed, into three parts: one to train on, one to validate the refinement on, and one to
# test on. The tokens are learned from the training documents.
import warnings
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from explicit_softmax import ExplicitLanguageModel, LossCurveDisplay, Refinement

documents = [text for _, text in sorted(topics.items())]
train, test = train_test_split(documents, test_size=0.25, random_state=0)
train, validation = train_test_split(train, test_size=0.1, random_state=0)
model = ExplicitLanguageModel(context_size=4, vocabulary_size=600).fit(train)
print(f"{model.n_tokens_} tokens counted")
print(f"test perplexity {model.perplexity(test):.1f} per token")
print(f"test bits per byte {model.bits_per_byte(test):.2f}")

# %%
# How far back?
# -------------
#
# n-grams, for which the explicit solution is exact, beside features of single tokens at
# their positions (Cat): the theorem with the paper's noise model (inverse temperature
# one), and inverse temperatures and smoothing fitted by exact leave-one-out.
sizes = [1, 2, 4]
settings = {
    "theorem": {
        "aggregation": "cat",
        "smoothing": "noise",
        "inverse_temperature": 1.0,
    },
    "leave-one-out": {"aggregation": "cat"},
}
figure, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
for name, parameters in {"n-grams": {"aggregation": "ngram"}, **settings}.items():
    models = [
        ExplicitLanguageModel(
            context_size=size,
            vocabulary_size=600,
            tokenizer=model.tokenizer_,
            **parameters,
        ).fit(train)
        for size in sizes
    ]
    bits = [model.bits_per_byte(test) for model in models]
    ax.plot(sizes, bits, "o-", label=name)
    print(f"{name:14}", *[f"{value:.2f}" for value in bits])
ax.set(xlabel="Window (tokens)", ylabel="Test bits per byte", ylim=(0, None))
ax.set_xticks(sizes)
ax.set_title("Bits per byte by window size")
ax.legend()

# %%
# The theorem takes every token of the window at its word, and gets worse with each. The
# fitted inverse temperatures say what a position is worth beside the others.
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
ax.bar(range(1, 5), models[-1].inverse_temperature_)
ax.set_xticks(range(1, 5))
ax.set(xlabel="Tokens back", ylabel="Inverse temperature")
ax.set_title("What each position is worth")

# %%
# Text and likelihoods
# --------------------
#
# The model continues a prompt, and it tells which of two orders of the same words is
# more likely, by the sum of log-probabilities in nats.
prompt = "The following statement"
print(prompt + model.generate(prompt, 40, temperature=0.8, top_k=10, random_state=0))
for text in ("It is an error if", "It error an is if"):
    print(f"{model.log_proba(text).sum():8.2f}  {text}")

# %%
# Refined
# -------
#
# The explicit solution as the starting point of a log-loss minimisation, beside a cold
# start from the token frequencies (an inverse temperature of zero). All see the same
# number of tokens, and the weights that score best on the validation documents are
# kept.
warnings.filterwarnings("ignore", category=ConvergenceWarning)
starts = {"cold": {"aggregation": "cat", "inverse_temperature": 0.0}, **settings}
runs = {}
for name, parameters in starts.items():
    runs[name] = ExplicitLanguageModel(
        context_size=4,
        vocabulary_size=600,
        tokenizer=model.tokenizer_,
        warm_start=True,
        refinement=Refinement(max_iter=3, samples_per_iter=25_000, random_state=0),
        **parameters,
    ).fit(train, documents_val=validation)
    print(f"from {name:14} test bits per byte {runs[name].bits_per_byte(test):.2f}")
display = LossCurveDisplay.from_estimators(runs, validation=True, xscale="linear")
display.ax_.set(xlabel="Tokens / 25,000", title="Refinement from three starts")

# %%
# The curves are of the validation documents. On the training documents the theorem
# would look best, because it has counted them; on others it is far too confident, and
# the cold start overtakes it within 25,000 tokens. After 75,000 tokens neither is near
# the leave-one-out solution before any refinement.
