"""ComplementNB: naive Bayes with the counts of all other classes, in closed form.

A row x scores -sum_d x_d log P(d | not i) with P(d | not i) = (F_d - F_di + alpha) /
(sum_d (F_d - F_di) + n_features alpha), where F_di are the summed features of class i
and F_d those of all classes; there is no class prior, and norm=False leaves the weights
as they are. alpha = 1 is in units of the features. Its probabilities are the softmax of
the scores.
"""

from sklearn.naive_bayes import ComplementNB

NAME = "ComplementNB"


def make() -> ComplementNB:
    return ComplementNB()
