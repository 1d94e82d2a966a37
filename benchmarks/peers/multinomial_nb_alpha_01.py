"""MultinomialNB at alpha = 0.1: `multinomial_nb` with a tenth of the smoothing.

Good values of alpha differ by data set, and nothing in MultinomialNB chooses one.
"""

from sklearn.naive_bayes import MultinomialNB

NAME = "MultinomialNB, alpha=0.1"


def make() -> MultinomialNB:
    return MultinomialNB(alpha=0.1)
