"""MultinomialNB at alpha = 0.01: `multinomial_nb` with a hundredth of the smoothing.

Good values of alpha differ by data set, and nothing in MultinomialNB chooses one.
"""

from sklearn.naive_bayes import MultinomialNB

NAME = "MultinomialNB, alpha=0.01"


def make() -> MultinomialNB:
    return MultinomialNB(alpha=0.01)
