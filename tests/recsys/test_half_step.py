from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

from recsys.half_step import customer_factors
from recsys.interactions import build_matrix
from recsys.models import fit_als
from recsys.synthetic import taste_groups


def confidences(seed, customers, items, density=0.1):
    cells = csr_matrix(random_array((customers, items), density=density, rng=seed, format="csr", dtype=np.float32))
    cells.data *= 9  # below 1 as well: such a purchase says less than none
    return cells


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(1, 150), st.integers(1, 80), st.integers(1, 20))
def test_each_customer_has_the_solution_of_their_own_normal_equations(seed, customers, items, f):
    cells = confidences(seed, customers, items)
    Y = np.random.default_rng(seed).standard_normal((items, f)).astype(np.float32)
    found = customer_factors(cells, Y, 2.5)
    for row in range(customers):
        c = cells[[row]].toarray()[0].astype(float)
        A = Y.T @ Y + 2.5 * np.eye(f) + (Y.T * np.where(c > 0, c - 1, 0)) @ Y
        np.testing.assert_allclose(found[row], np.linalg.solve(A, Y.T @ c), rtol=2e-3, atol=2e-3)


def test_a_customer_without_purchases_has_factors_of_zero():
    cells = csr_matrix((np.array([1.0], np.float32), ([1], [0])), shape=(3, 2))
    assert (customer_factors(cells, np.ones((2, 4), np.float32), 1.0)[[0, 2]] == 0).all()


def test_neither_threads_nor_company_change_a_bit():
    cells, Y = confidences(3, 9000, 40), np.random.default_rng(3).standard_normal((40, 8)).astype(np.float32)
    all_of_them = customer_factors(cells, Y, 1.0, threads=1)
    np.testing.assert_array_equal(all_of_them, customer_factors(cells, Y, 1.0, threads=3))
    np.testing.assert_array_equal(all_of_them[5000:5001], customer_factors(cells[5000:5001], Y, 1.0))


@pytest.fixture(scope="module")
def nights():
    """The matrix of one night and of the next, of the same customers and items."""
    lines = taste_groups(5, customers=300).purchases
    return [build_matrix(lines, datetime(2017, 9, day, tzinfo=UTC)).matrix for day in (1, 2)]


def loss(model):
    """Σ c (p − u·y)² + λ (Σ|u|² + Σ|y|²), which alternating least squares makes small."""
    U, Y = model.customer_factors.astype(float), model.item_factors.astype(float)
    cells = csr_matrix((model.confidence, model.indices, model.indptr), model.shape).toarray()
    squares = np.where(cells > 0, cells * (1 - U @ Y.T) ** 2, (U @ Y.T) ** 2)
    return squares.sum() + model.regularization * ((U**2).sum() + (Y**2).sum())


def test_from_the_factors_of_the_night_before_a_fit_is_as_good_as_from_scratch(nights):
    before, now = nights
    yesterday, cold = fit_als(before, factors=8), fit_als(now, factors=8)
    start = yesterday.customer_factors, yesterday.item_factors
    warm = fit_als(now, factors=8, start=start)
    assert loss(warm) <= 1.001 * loss(cold)
    again = fit_als(now, factors=8, start=start)
    np.testing.assert_array_equal(warm.item_factors, again.item_factors)  # what it started from is as it was


def test_customers_and_items_that_were_not_known_before_get_factors_too(nights):
    cold = fit_als(nights[1], factors=8)
    start = cold.customer_factors.copy(), cold.item_factors.copy()
    start[0][:9], start[1][:5] = 0, 0
    warm = fit_als(nights[1], factors=8, start=start)
    assert (np.abs(warm.customer_factors[:9]).sum(axis=1) > 0).all()
    assert (np.abs(warm.item_factors[:5]).sum(axis=1) > 0).all()


def test_from_a_sketch_of_all_purchases_two_iterations_find_everybodys_taste(nights):
    sketched = fit_als(nights[1], factors=8, sample=75, seed=3)
    assert sketched.customer_factors.shape == (300, 8)
    own = np.arange(300)[:, None] % 4 == np.arange(60) % 4
    scores = sketched.scores(np.arange(300))
    right = [scores[k, own[k]].mean() > scores[k, ~own[k]].max() for k in range(300)]
    assert np.mean(right) > 0.95
    again = fit_als(nights[1], factors=8, sample=75, seed=3, threads=1)
    np.testing.assert_array_equal(sketched.customer_factors, again.customer_factors)
