"""What a model must beat: popularity, and each customer's own decayed frequency."""

import numpy as np
from scipy.sparse import csr_matrix

from recsys.models import POPULARITY_SHARE, LinearModel, checked, popularity


def fit_popularity(matrix: csr_matrix) -> LinearModel:
    """The share of customers who bought each item, the same scores for everyone. Raises ModelError."""
    matrix = checked(matrix)
    customers, items = matrix.shape
    return LinearModel(
        name="popularity",
        indptr=np.zeros(customers + 1, np.int32),
        indices=np.zeros(0, np.int32),
        personal=np.zeros(0, np.float32),
        confidence=np.zeros(0, np.float32),
        customer_factors=np.zeros((customers, 0), np.float32),
        item_factors=np.zeros((items, 0), np.float32),
        popularity=popularity(matrix),
    )


def fit_frequency(matrix: csr_matrix) -> LinearModel:
    """The matrix itself: each customer's own orders of an item, decayed by their age. Raises ModelError."""
    matrix = checked(matrix)
    customers, items = matrix.shape
    return LinearModel(
        name="frequency",
        indptr=matrix.indptr,
        indices=matrix.indices,
        personal=matrix.data,
        confidence=np.zeros(0, np.float32),
        customer_factors=np.zeros((customers, 0), np.float32),
        item_factors=np.zeros((items, 0), np.float32),
        popularity=POPULARITY_SHARE * popularity(matrix),
    )
