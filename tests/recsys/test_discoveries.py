"""The probability that a customer buys what they never bought."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recsys.cells import Cells, bought_after, days_before
from recsys.discoveries import CURSE, Taste, customer_features, fit_discoveries, item_features


def cells_from(customer, item, age, shape):
    by = np.lexsort((-age, item, customer))
    customer, item, age = customer[by], item[by], age[by]
    return Cells(shape, customer, item, age, customer, age, float(age.max(initial=0.0)))


@pytest.fixture(scope="module")
def world():
    """Two groups of customers, each of whom tries items of their own group; of late mostly the newer half of them."""
    random = np.random.default_rng(2)
    customers, items = 300, 60
    lines = 12_000
    customer, age = random.integers(0, customers, lines), random.uniform(0, 200, lines)
    new = (age < 90) & (random.random(lines) < 0.8)
    item = 2 * np.where(new, random.integers(15, 30, lines), random.integers(0, 15, lines)) + customer % 2
    kept = random.random(lines) < 0.25  # so that most is never bought
    return cells_from(customer[kept], item[kept], age[kept], (customers, items))


def taste_of(cells, groups=None):
    """Factors that tell the two groups apart, and nothing else."""
    customer = np.eye(2, dtype=np.float32)[np.arange(cells.shape[0]) % 2]
    item = np.eye(2, dtype=np.float32)[np.arange(cells.shape[1]) % 2]
    history = cells.matrix(np.ones(len(cells.start), np.float32))
    groups = np.zeros((0, cells.shape[1]), np.int32) if groups is None else groups
    return Taste(customer, item, history, csr_matrix((cells.shape[1],) * 2, dtype=np.float32), groups)


def odds(found, taste):
    rows = np.arange(len(found.customer))
    logs = taste.logs(rows, slice(None))
    return found.item + found.customer[:, None] + sum(w * part for w, part in zip(found.weights, logs, strict=True))


def test_taste_and_what_is_bought_of_late_both_count_and_the_sum_is_right(world):
    then = days_before(world, 28)
    found = fit_discoveries(world, taste_of(world), then, taste_of(then), bought_after(world, 28, 28), 28.0, seed=1)
    chance = 1 / (1 + np.exp(-odds(found, taste_of(world))))
    alike = np.arange(300)[:, None] % 2 == np.arange(60) % 2
    late = np.arange(60) >= 30
    assert chance[alike].mean() > 5 * chance[~alike].mean()
    assert chance[:, late].mean() > 1.5 * chance[:, ~late].mean()
    before = 1 / (1 + np.exp(-odds(found, taste_of(then))))  # close to what it learned from
    new = then.number_of.toarray() == 0
    bought = bought_after(world, 28, 28).toarray() > 0
    learned = (bought & new).sum()
    assert before[new].sum() == pytest.approx(learned * learned / (learned + CURSE), rel=0.35)


def test_chosen_columns_have_the_logs_that_they_have_among_all(world):
    taste = taste_of(world, np.array([np.arange(60) // 10], np.int32))
    rows, columns = np.array([3, 0]), np.array([50, 2, 7])
    for whole, some in zip(taste.logs(rows, slice(None)), taste.logs(rows, columns), strict=True):
        np.testing.assert_allclose(whole[:, columns], some, rtol=1e-5)


def test_an_item_of_a_category_that_the_customer_buys_more_than_others_do_is_above_one(world):
    groups = np.array([np.arange(60) % 2], np.int32)
    own = taste_of(world, groups).logs(np.array([0]), slice(None))[2][0]
    assert (own[::2] > 0).all()
    assert (own[1::2] < 0).all()


def test_features_are_finite_for_customers_and_items_that_nobody_knows():
    cells = cells_from(np.array([1]), np.array([1]), np.array([3.0]), (3, 3))
    assert np.isfinite(item_features(cells, 28.0)).all()
    assert np.isfinite(customer_features(cells, 28.0)).all()
