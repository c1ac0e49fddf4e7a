"""The strongest directions of a matrix of purchases, against its whole singular value decomposition."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.sketch import directions


@pytest.fixture(scope="module")
def confidence():
    """Four tastes of ten items each, of which one is far more common than the next."""
    rng = np.random.default_rng(1)
    taste = rng.choice(4, 400, p=[0.5, 0.3, 0.15, 0.05])
    bought = (np.arange(40) % 4 == taste[:, None]) & (rng.random((400, 40)) < 0.8)
    return csr_matrix(bought * rng.uniform(1, 9, bought.shape), dtype=np.float32)


def test_directions_are_those_of_the_largest_singular_values(confidence):
    found = directions(confidence, 4, 1)
    share = confidence.toarray() / (1 + confidence.toarray())
    values, vectors = np.linalg.svd(share)[1:]
    np.testing.assert_allclose((found**2).sum(axis=0), values[:4], rtol=0.02)
    cosines = np.abs((found / np.linalg.norm(found, axis=0)).T @ vectors[:4].T)
    np.testing.assert_allclose(cosines, np.eye(4), atol=0.1)


def test_threads_change_no_bit_and_a_seed_gives_the_same(confidence):
    np.testing.assert_array_equal(directions(confidence, 4, 1, threads=2), directions(confidence, 4, 1, threads=1))


def test_there_are_no_more_directions_than_items_and_of_nothing_they_are_0():
    one = csr_matrix(np.ones((3, 2), np.float32))
    assert np.isfinite(directions(one, 2, 1)).all()
    assert not directions(csr_matrix((5, 3), dtype=np.float32), 2, 1).any()
