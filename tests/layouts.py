"""The same rows in every layout that the package takes."""

import numpy as np
import scipy.sparse as sp


def unsorted_with_zeros(rows):
    """CSR with int64 indices in falling order, zeros stored."""
    n_rows, n_features = rows.shape
    matrix = sp.csr_array(
        (
            rows[:, ::-1].ravel(),
            np.tile(np.arange(n_features, dtype=np.int64)[::-1], n_rows),
            np.arange(0, n_rows * n_features + 1, n_features, dtype=np.int64),
        ),
        shape=rows.shape,
    )
    assert matrix.nnz == rows.size
    return matrix


def wide_indices(rows):
    """CSR with int64 indices."""
    matrix = sp.csr_array(rows)
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


LAYOUTS = {
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "csr": sp.csr_array,
    "csr_matrix": sp.csr_matrix,
    "int64_indices": wide_indices,
    "unsorted_with_zeros": unsorted_with_zeros,
}
