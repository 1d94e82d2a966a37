"""Array code of the explicit softmax solution: NumPy and SciPy, no scikit-learn.

Conventions of every module below this package:

=================  =================================================  ==========
name               meaning and shape                                  in the paper
=================  =================================================  ==========
X                  non-negative features (n_rows, n_features),        H
                   C-contiguous ndarray or ``scipy.sparse`` CSR
y                  integer class of each row (n_rows,)                Y (one-hot)
cooccurrence       (n_features, n_classes) float64, ndarray or CSR    F = H'Y
class_mass         column sums of the co-occurrences (n_classes,)     S
priming_number     norm of a row, the mean norm where rows differ     K
beta               inverse temperature, one per block of features     none
weights            decoder (n_features, n_classes)                    U
=================  =================================================  ==========

Rows count as they are divided by ``norm ** norm_exponent``. Scores are natural-log
odds up to a constant per row; losses are in nats.
"""
