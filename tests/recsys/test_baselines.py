import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.baselines import fit_frequency, fit_popularity

MATRIX = csr_matrix(np.array([[3.0, 0.5, 0, 0], [0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0]], dtype=np.float32))


def test_popularity_is_the_share_of_customers_who_bought_the_same_for_everyone():
    scores = fit_popularity(MATRIX).scores(np.array([0, 3, -1]))
    assert scores.tolist() == [[0.25, 0.75, 0.25, 0]] * 3


def test_popularity_has_nothing_to_explain():
    assert fit_popularity(MATRIX).explain(0, 0) == []


def test_frequency_ranks_own_orders_first_and_the_rest_by_popularity():
    scores = fit_frequency(MATRIX).scores(np.array([0, 2]))
    assert np.argsort(-scores[0], kind="stable").tolist() == [0, 1, 2, 3]
    assert np.argsort(-scores[1], kind="stable").tolist() == [1, 2, 0, 3]


def test_frequency_is_explained_by_the_purchases_of_the_item_itself():
    model = fit_frequency(MATRIX)
    assert model.explain(0, 0) == [(0, pytest.approx(3.0))]
    assert model.explain(1, 0) == []
