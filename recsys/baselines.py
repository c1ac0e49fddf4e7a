"""What a model must beat: popularity, and each customer's own decayed frequency."""

from scipy.sparse import csr_matrix

from recsys.models import LinearModel


def fit_popularity(matrix: csr_matrix) -> LinearModel:
    """Each item's share of customers who bought it, the same for everyone."""
    raise NotImplementedError


def fit_frequency(matrix: csr_matrix) -> LinearModel:
    """The interaction matrix itself: how often, decayed by how long ago."""
    raise NotImplementedError
