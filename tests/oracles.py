"""Slow, obvious reference implementations, written from the formulas alone."""

import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import scipy.special
from numpy.testing import assert_allclose


def one_hot(codes, n_classes):
    """Y of Eq. 2, (n_rows, n_classes)."""
    targets = np.zeros((len(codes), n_classes))
    for row, code in enumerate(codes):
        targets[row, code] = 1.0
    return targets


def scaled_rows(rows, norm_exponent):
    """Rows times ``norm ** -norm_exponent`` in 16 bits; rows of zeros stay."""
    scaled = np.array(rows, dtype=np.float64)
    for row in range(len(scaled)):
        norm = math.fsum(scaled[row])
        if norm > 0:
            mantissa, exponent = math.frexp(norm**-norm_exponent)
            scaled[row] *= math.ldexp(round(mantissa * 2**16), exponent - 16)
    return scaled


def cooccurrence(rows, codes, n_classes, sample_weight=None, norm_exponent=0.0):
    """F = H'Y with weighted rows, one addition at a time."""
    scaled = scaled_rows(rows, norm_exponent)
    counts = np.zeros((scaled.shape[1], n_classes))
    for row, code in enumerate(codes):
        weight = 1.0 if sample_weight is None else float(sample_weight[row])
        counts[:, code] += weight * scaled[row]
    return counts


def class_counts(codes, n_classes, sample_weight=None):
    counts = np.zeros(n_classes)
    for row, code in enumerate(codes):
        counts[code] += 1.0 if sample_weight is None else float(sample_weight[row])
    return counts


def number_of_nonzeros(rows, sample_weight=None):
    total = 0.0
    for row, values in enumerate(np.asarray(rows)):
        weight = 1.0 if sample_weight is None else float(sample_weight[row])
        total += weight * sum(1 for value in values if value != 0)
    return total


def theorem(counts, priming_number):
    """U = log F - (K - 1)/K log S (Eq. 3), less the mean over the classes."""
    mass = counts.sum(axis=0)
    U = np.log(counts) - (priming_number - 1) / priming_number * np.log(mass)
    return centred(U)


def centred(scores):
    """Scores less their mean over the classes, which no probability depends on."""
    return scores - np.mean(scores, axis=-1, keepdims=True)


def fix(rows, codes, n_classes, blocks, sample_weight=None, norm_exponent=0.0):
    """What all rows decide, and what stays as it is while one row is left out.

    `unit` is the mean non-zero feature, `share` the v of "prior" at strength 1 over
    the mass of a class,
    `kept` and `noise` the q and p of Eq. 4, `least_count` and `total_count` what turns
    class counts to frequencies.
    """
    counts = cooccurrence(rows, codes, n_classes, sample_weight, norm_exponent)
    classes = class_counts(codes, n_classes, sample_weight)
    n_nonzero = number_of_nonzeros(rows, sample_weight)
    unit = counts.sum() / n_nonzero if n_nonzero else 1.0
    # A class without mass has the marginal of one mean non-zero feature.
    marginal = np.array([max(mass, unit) for mass in counts.sum(axis=0)])
    kept, noise = np.zeros(len(counts)), np.zeros(len(counts))
    for block in blocks:
        mass = counts[block].sum(axis=1)
        size, total = len(mass), mass.sum()
        # f of Eq. 4: the mass over the mean norm of the block.
        mean_norm = total / classes.sum()
        for d in range(size):
            frequency = mass[d] / mean_norm if total else 0.0
            share = mass[d] / total if total else 1.0 / size
            kept[block.start + d] = frequency / (frequency + 1.0)
            spread = (1.0 - share) / (size - 1) if size > 1 else 1.0
            # A feature with all mass has p = 0; no logarithm may be infinite.
            noise[block.start + d] = max(spread, 1e-12 / size)
    least = min((count for count in classes if count > 0), default=1.0)
    return SimpleNamespace(
        unit=unit,
        share=n_classes * unit / marginal.sum(),
        kept=kept,
        noise=noise,
        least_count=least,
        total_count=sum(count if count > 0 else 0.5 * least for count in classes),
    )


def noise_matrix(fixed, blocks):
    """E = diag(q) + (1 - q)p' for each block, zero between blocks (Eq. 4)."""
    matrix = np.zeros((len(fixed.kept), len(fixed.kept)))
    for block in blocks:
        kept, noise = fixed.kept[block], fixed.noise[block]
        matrix[block, block] = np.diag(kept) + np.outer(1.0 - kept, noise)
    return matrix


def smoothed(counts, blocks, smoothing, strength, fixed):
    """F~ as one dense array of positive numbers."""
    if smoothing is None:
        return counts.copy()
    if smoothing == "uniform":
        return counts + strength * fixed.unit
    if smoothing == "prior":
        mass = np.maximum(counts.sum(axis=0), fixed.unit)
        return counts + strength * fixed.share * mass
    assert smoothing == "noise"
    through_noise = noise_matrix(fixed, blocks).T @ counts
    for block in blocks:
        for label in range(counts.shape[1]):
            if counts[block, label].sum() == 0:
                # Noise alone, of the mass of one mean non-zero feature.
                through_noise[block, label] = fixed.noise[block] * fixed.unit
    return through_noise


def log_frequencies(classes, fixed):
    """log n_i of the class prior, half of the least count standing in for zero."""
    filled = np.where(classes > 0, classes, 0.5 * fixed.least_count)
    return np.log(filled / fixed.total_count)


def score_row(
    row,
    smooth,
    blocks,
    classes,
    fixed,
    *,
    beta,
    priming_number,
    norm_weight=1.0,
    translation="column",
    intercept_shift=0.0,
    column_shift=0.0,
    norm_exponent=0.0,
    is_noise=False,
):
    """Scores of one row, term by term."""
    row = scaled_rows(row[None, :], norm_exponent)[0]
    log_count = log_frequencies(classes, fixed)
    norm = row.sum()
    if norm == 0:
        return log_count
    through = row @ noise_matrix(fixed, blocks) if is_noise else row
    log_norm = np.log(smooth.sum(axis=0)) - log_count
    scores = log_count + norm_weight * log_norm
    if translation == "column":
        scores = scores * norm / priming_number
    scores = scores + intercept_shift + norm * column_shift
    for value, block in zip(np.broadcast_to(beta, len(blocks)), blocks, strict=True):
        part = smooth[block]
        log_prob = np.log(part) - np.log(part.sum(axis=0))
        scores = scores + value * (through[block] @ log_prob)
    return scores


def score_rows(
    rows,
    codes,
    n_classes,
    *,
    blocks,
    smoothing,
    strength=0.1,
    sample_weight=None,
    norm_exponent=0.0,
    queries=None,
    fixed=None,
    **how,
):
    """Scores of `queries`, or of the rows themselves, by the solution of the rows."""
    counted = np.asarray(rows, dtype=np.float64), codes, n_classes
    if fixed is None:
        fixed = fix(*counted, blocks, sample_weight, norm_exponent)
    counts = cooccurrence(*counted, sample_weight, norm_exponent)
    classes = class_counts(codes, n_classes, sample_weight)
    smooth = smoothed(counts, blocks, smoothing, strength, fixed)
    how |= {"norm_exponent": norm_exponent, "is_noise": smoothing == "noise"}
    queries = counted[0] if queries is None else queries
    return np.array(
        [score_row(row, smooth, blocks, classes, fixed, **how) for row in queries]
    )


def leave_one_out_scores(
    rows, codes, n_classes, *, blocks, sample_weight=None, norm_exponent=0.0, **how
):
    """Scores of each row by counts refitted without one unit of its weight.

    Rows of zeros are left out of the result.
    """
    rows = np.asarray(rows, dtype=np.float64)
    weights = np.ones(len(rows)) if sample_weight is None else sample_weight
    how |= {"blocks": blocks, "norm_exponent": norm_exponent}
    how["fixed"] = fix(rows, codes, n_classes, blocks, weights, norm_exponent)
    scores = []
    for m in np.flatnonzero(rows.sum(axis=1)):
        left = np.array(weights, dtype=np.float64)
        left[m] -= min(left[m], 1.0)
        how |= {"sample_weight": left, "queries": rows[m : m + 1]}
        scores.extend(score_rows(rows, codes, n_classes, **how))
    return np.array(scores)


def assert_same_probabilities(actual, expected, tol=1e-10):
    """Scores up to a constant for each row."""
    assert np.isfinite(actual).all()
    first, second = map(log_probabilities, (actual, expected))
    assert_allclose(first, second, rtol=tol, atol=tol)


def log_probabilities(scores):
    return scipy.special.log_softmax(np.asarray(scores, dtype=np.float64), axis=1)


def mean_loss(scores, codes, sample_weight=None):
    """Weighted mean negative log-likelihood in nats."""
    weights = np.ones(len(codes)) if sample_weight is None else sample_weight
    logs = log_probabilities(scores)
    losses = [-logs[row, code] for row, code in enumerate(codes)]
    return float(np.dot(losses, weights) / np.sum(weights))


def descent(
    weights,
    intercept,
    rows,
    codes,
    *,
    step,
    batch_size,
    alpha=0.0,
    adaptive=True,
    first_square=0.0,
):
    """Parameters after each mini-batch of one epoch, rows in their order.

    Adagrad where `adaptive`, else gradient descent; `alpha` pulls to the start, and the
    squared gradients of the weights add up from `first_square`.
    """
    start = weights
    weights, intercept = weights.copy(), intercept.copy()
    weight_squares = np.full_like(weights, first_square)
    intercept_squares = 0.0 * intercept
    after = []
    for first in range(0, len(rows), batch_size):
        batch = rows[first : first + batch_size]
        targets = one_hot(codes[first : first + batch_size], len(intercept))
        wrong = np.exp(log_probabilities(batch @ weights + intercept)) - targets
        gradient, sums = batch.T @ wrong / len(batch), wrong.sum(axis=0) / len(batch)
        gradient += alpha * (weights - start)
        if adaptive:
            weight_squares += gradient**2
            intercept_squares += sums**2
            gradient = gradient / (np.sqrt(weight_squares) + 1e-10)
            sums = sums / (np.sqrt(intercept_squares) + 1e-10)
        weights -= step * gradient
        intercept -= step * sums
        after.append((weights.copy(), intercept.copy()))
    return after


def windows(documents, context_size, pad):
    """Windows, nearest token first, and targets, one token at a time."""
    contexts, targets = [], []
    for document in documents:
        for at, token in enumerate(document):
            places = range(at - 1, at - 1 - context_size, -1)
            before = [document[place] if place >= 0 else pad for place in places]
            contexts.append(before)
            targets.append(token)
    return contexts, targets


def window_features(contexts, n_tokens, aggregation):
    """One-hot features of windows of ids, dense."""
    size = len(contexts[0])
    rows = np.zeros((len(contexts), n_tokens * (size if aggregation == "cat" else 1)))
    for row, context in enumerate(contexts):
        for place, token in enumerate(context):
            shift = place * n_tokens if aggregation == "cat" else 0
            rows[row, shift + token] += 1
    return rows


def ngram_windows(documents, context_size, boundary, *, ends):
    """Counter of windows as tuples in the order of the text, the target last."""
    counts = Counter()
    for document in documents:
        tokens = [boundary] * context_size + list(document) + [boundary] * ends
        for at in range(context_size, len(tokens)):
            counts[tuple(tokens[at - context_size : at + 1])] += 1
    return counts


def kneser_ney(documents, context_size, n_ids, *, ends):
    """Function of a document so far: probabilities of all targets.

    Chen & Goodman 1998 in the form that KenLM gives it: documents begin with one
    boundary, n-grams that begin there have raw counts, all others below the highest
    order the number of tokens seen before them.
    """
    boundary, n_classes = n_ids - 1, n_ids - 1 + ends
    raw = [Counter() for _ in range(context_size + 3)]
    for document in documents:
        tokens = [boundary, *document] + [boundary] * ends
        for stop in range(2, len(tokens) + 1):
            for order in range(1, min(stop, context_size + 2) + 1):
                raw[order][tuple(tokens[stop - order : stop])] += 1
    adjusted = []
    for order in range(1, context_size + 2):
        before = Counter(longer[1:] for longer in raw[order + 1])
        level = {}
        for gram, count in raw[order].items():
            whole = order == context_size + 1 or (gram[0] == boundary and order > 1)
            level[gram] = count if whole else before[gram]
        adjusted.append(level)

    discounts = []
    for level in adjusted:
        n = [sum(count == k for count in level.values()) for k in range(5)]
        found = (0.5, 1.0, 1.5)
        if all(n[1:]):
            share = n[1] / (n[1] + 2 * n[2])
            closed = [k - (k + 1) * share * n[k + 1] / n[k] for k in (1, 2, 3)]
            if all(0 <= d <= k for k, d in enumerate(closed, 1)):
                found = closed
        discounts.append(found)

    def after(context, proba):
        level, found = adjusted[len(context)], discounts[len(context)]
        counts = [level.get((*context, t), 0) for t in range(n_classes)]
        if not sum(counts):
            return proba
        taken = [found[min(count, 3) - 1] if count else 0.0 for count in counts]
        return (np.array(counts) - taken + sum(taken) * proba) / sum(counts)

    def probabilities(prefix):
        history = [boundary, *prefix]
        proba = np.full(n_classes, 1 / n_classes)
        for size in range(min(context_size, len(history)) + 1):
            proba = after(tuple(history[len(history) - size :]), proba)
        return proba

    return probabilities
