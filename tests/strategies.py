"""Hypothesis strategies for small counts, and the settings that they run with."""

import numpy as np
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# Derandomised: a run that fails, fails again. No search for what else fails.
properties = settings(
    derandomize=True,
    deadline=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)


def count_matrices(n_rows, n_features, largest=5):
    """Integer counts in float64, many of them zero."""
    elements = st.one_of(st.just(0), st.integers(0, largest)).map(float)
    return hnp.arrays(np.float64, (n_rows, n_features), elements=elements)


def codes(n_rows, n_classes):
    return hnp.arrays(np.intp, n_rows, elements=st.integers(0, n_classes - 1))


def integer_weights(n_rows, largest=4):
    return hnp.arrays(np.float64, n_rows, elements=st.integers(1, largest).map(float))


def weights(n_rows):
    """Positive weights below and above 1, integers among them."""
    values = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.75])
    return hnp.arrays(np.float64, n_rows, elements=values)


@st.composite
def labelled_counts(draw, max_rows=12, max_features=6, max_classes=4):
    """Rows, codes, and the number of classes, of which some may have no row."""
    n_rows = draw(st.integers(1, max_rows))
    n_features = draw(st.integers(1, max_features))
    n_classes = draw(st.integers(1, max_classes))
    rows = draw(count_matrices(n_rows, n_features))
    return rows, draw(codes(n_rows, n_classes)), n_classes


@st.composite
def partitions(draw, n_rows):
    """Row numbers in any order, cut into chunks of any size, empty ones included."""
    order = np.array(draw(st.permutations(range(n_rows))), dtype=np.intp)
    cuts = draw(st.lists(st.integers(0, n_rows), max_size=4))
    return np.split(order, sorted(cuts))


@st.composite
def block_sizes(draw, n_features):
    """Positive sizes that sum to `n_features`."""
    cuts = draw(st.sets(st.integers(1, max(n_features - 1, 1)), max_size=3))
    stops = sorted(cut for cut in cuts if cut < n_features)
    return [int(size) for size in np.diff([0, *stops, n_features])]


def merged(data, parts):
    """Sum of the parts by a tree of any shape."""
    while len(parts) > 1:
        left = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        right = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        parts.append(left + right)
    return parts[0]
