import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.newcomers import LEAST_CUSTOMERS, Kinds, divided, everybody_alike, fit_leanings

PEOPLE, ITEMS = 1500, 60


def world(seed, group, lift):
    """Who bought what; group g buys the items i with i % 4 == g so many times as likely."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.02, 0.2, ITEMS) * np.where(np.arange(ITEMS) % 4 == group[:, None], lift, 1)
    busy = rng.gamma(4, 0.25, PEOPLE)[:, None]
    return csr_matrix(rng.random((PEOPLE, ITEMS)) < np.minimum(chance * busy, 1))


def alone(matrix, group, groups):
    return fit_leanings(matrix, group, groups, everybody_alike(*matrix.shape))


def test_what_a_group_buys_more_of_has_the_higher_ratio():
    group = np.arange(PEOPLE) % 3
    leanings = alone(world(1, group, 2.5), group, 3)
    assert leanings.tell
    for number in range(3):
        ratio, own = leanings.ratio(number), np.arange(ITEMS) % 4 == number
        assert ratio[own].min() > 1.1
        assert ratio[own].mean() > 1.8 * ratio[~own].mean()


@pytest.mark.parametrize("seed", range(5))
def test_where_groups_do_not_differ_ratios_hardly_leave_one(seed):
    group = np.random.default_rng(seed).integers(0, 12, PEOPLE)
    leanings = alone(world(seed, np.zeros(PEOPLE, int), 1.0), group, 12)
    spread = max(np.abs(leanings.ratio(number) - 1).max() for number in range(12))
    assert spread < 0.2


def test_a_ratio_of_few_buyers_is_drawn_further_to_one_than_the_same_of_many():
    rng = np.random.default_rng(2)
    group = (np.arange(PEOPLE) < 500).astype(int)
    dense = np.zeros((PEOPLE, 4), bool)
    dense[:300, 0], dense[500:650, 0] = True, True
    dense[:6, 1], dense[500:503, 1] = True, True
    dense[:, 2:] = rng.random((PEOPLE, 2)) < 0.5
    many, few = alone(csr_matrix(dense), group, 2).ratio(1)[:2]
    assert many > few > 1


def test_a_group_busier_than_others_alone_leans_to_nothing():
    rng = np.random.default_rng(3)
    group = np.arange(PEOPLE) % 2
    matrix = csr_matrix(rng.random((PEOPLE, ITEMS)) < np.where(group == 1, 0.2, 0.1)[:, None])
    assert np.abs(alone(matrix, group, 2).ratio(1) - 1).max() < 0.1


def test_an_attribute_that_another_explains_adds_nothing():
    rng = np.random.default_rng(4)
    tier = np.arange(PEOPLE) % 3
    city = np.where(rng.random(PEOPLE) < 0.9, tier, rng.integers(0, 3, PEOPLE))  # cities go with tiers
    matrix = world(5, tier, 3.0)
    first = alone(matrix, tier, 3)
    kinds = divided(everybody_alike(*matrix.shape), tier, first)
    own = np.arange(ITEMS) % 4 == 0
    assert alone(matrix, city, 3).ratio(0)[own].mean() > 1.5
    assert fit_leanings(matrix, city, 3, kinds).ratio(0)[own].mean() < 1.1


def test_groups_too_small_or_not_known_say_nothing():
    group = np.full(PEOPLE, -1)
    group[: LEAST_CUSTOMERS - 1], group[100:800] = 0, 1
    leanings = alone(world(6, np.maximum(group, 0), 3.0), group, 2)
    assert not leanings.known(0)
    assert not leanings.known(-1)
    assert (leanings.ratio(0) == 1).all()
    assert (leanings.ratio(-1) == 1).all()


@pytest.mark.parametrize("matrix", [csr_matrix((0, 5)), csr_matrix((5, 5)), csr_matrix((5, 0))])
def test_nothing_bought_leans_to_nothing(matrix):
    leanings = alone(matrix, np.zeros(matrix.shape[0], int), 1)
    assert not leanings.tell
    assert leanings.ratio(0).tolist() == [1] * matrix.shape[1]


def test_without_an_attribute_that_tells_kinds_stay_one():
    kinds = divided(
        Kinds(np.zeros(4, np.int64), np.ones((1, 2))), np.full(4, -1), alone(csr_matrix((4, 2)), np.full(4, -1), 0)
    )
    assert kinds.ratios.tolist() == [[1, 1]]
