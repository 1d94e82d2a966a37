"""MultinomialNB: multinomial naive Bayes, in closed form.

Maximises the joint likelihood sum_m [log P(y_m) + sum_d x_md log P(d | y_m)] with
P(d | i) = (F_di + alpha) / (S_i + n_features alpha), where F are the summed features of
a class and S their sums over features. alpha = 1 is in units of the features, so that
the model depends on their scale.
"""

from sklearn.naive_bayes import MultinomialNB

NAME = "MultinomialNB"


def make() -> MultinomialNB:
    return MultinomialNB()
