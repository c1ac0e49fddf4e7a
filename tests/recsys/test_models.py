"""One contract for every model, then what is particular to collaborative filtering."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix

from recsys.baselines import fit_frequency, fit_popularity
from recsys.interactions import build_matrix
from recsys.models import ModelError, fit_als, fit_blend, from_arrays
from recsys.synthetic import taste_groups

FITS = [fit_popularity, fit_frequency, fit_als, fit_blend]


@pytest.fixture(scope="module")
def world():
    return taste_groups(seed=1)


@pytest.fixture(scope="module")
def matrix(world):
    return build_matrix(world.purchases, datetime(2018, 1, 1, tzinfo=UTC)).matrix


@pytest.fixture(scope="module", params=FITS, ids=lambda fit: fit.__name__)
def model(request, matrix):
    return request.param(matrix)


def test_scores_are_finite_float32_of_every_row_and_item(model, matrix):
    scores = model.scores(np.arange(7))
    assert model.shape == matrix.shape
    assert scores.shape == (7, matrix.shape[1])
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_chosen_columns_score_as_they_do_among_all(model):
    rows, columns = np.array([5, 0, 5]), np.array([9, 2, 30])
    np.testing.assert_allclose(model.scores(rows, columns), model.scores(rows)[:, columns], rtol=1e-5)


def test_a_scope_scores_the_sum_of_its_items(model, matrix):
    scopes = csr_matrix(np.random.default_rng(0).random((matrix.shape[1], 5)) < 0.2)  # bool, as a rule would give it
    rows = np.array([3, -1, 8])
    expected = model.scores(rows) @ scopes.toarray().astype(np.float32)
    assert model.scope_scores(rows, scopes).dtype == np.float32
    np.testing.assert_allclose(model.scope_scores(rows, scopes), expected, rtol=1e-4)


def test_an_empty_scope_scores_zero(model, matrix):
    assert (model.scope_scores(np.arange(3), csr_matrix((matrix.shape[1], 2), dtype=np.float32)) == 0).all()


def test_a_customer_without_history_ranks_by_popularity(model, matrix):
    by_buyers = np.argsort(-matrix.getnnz(axis=0), kind="stable")
    np.testing.assert_array_equal(np.argsort(-model.scores(np.array([-1]))[0], kind="stable"), by_buyers)
    assert model.explain(-1, int(by_buyers[0])) == []


def test_contributions_and_popularity_add_up_to_the_score(model):
    items = np.arange(model.shape[1])
    for row in (0, 17, -1):
        past, share = model.contributions(row, items)
        assert share.shape == (len(past), len(items))
        total = share.sum(axis=0) + model.popularity
        np.testing.assert_allclose(total, model.scores(np.array([row]))[0], atol=1e-4)


def test_an_explanation_names_past_purchases_largest_first(model, matrix):
    reasons = model.explain(4, int(matrix[4].indices[0]))
    assert {item for item, _ in reasons} <= set(matrix[4].indices.tolist())
    assert [value for _, value in reasons] == sorted((value for _, value in reasons), reverse=True)
    assert all(value > 0 for _, value in reasons)


def test_a_model_comes_back_from_its_arrays_without_pickle(model, tmp_path):
    np.savez(tmp_path / "model.npz", **model.arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        again = from_arrays(model.name, dict(stored))
    rows = np.array([-1, 0, 3])
    assert again.name == model.name
    assert again.scores(rows).tobytes() == model.scores(rows).tobytes()
    assert again.explain(3, 5) == model.explain(3, 5)


@pytest.mark.parametrize("fit", FITS)
def test_the_same_seed_gives_the_same_bytes(fit, matrix):
    for one, other in zip(fit(matrix).arrays().values(), fit(matrix).arrays().values(), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("fit", [fit_als, fit_blend])
def test_the_number_of_threads_changes_no_byte(fit, matrix):
    one, two = fit(matrix, threads=1), fit(matrix, threads=2)
    assert one.item_factors.tobytes() == two.item_factors.tobytes()
    assert one.customer_factors.tobytes() == two.customer_factors.tobytes()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("weight", [np.nan, np.inf, -1e9])
def test_a_weight_that_is_negative_or_not_finite_is_refused(fit, matrix, weight):
    broken = matrix.copy()
    broken.data[3] = weight
    with pytest.raises(ModelError, match="1 weights are negative or not finite"):
        fit(broken)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3), (2, 3)])
def test_a_matrix_without_purchases_is_refused(fit, shape):
    with pytest.raises(ModelError, match="nothing to learn"):
        fit(csr_matrix(shape, dtype=np.float32))


@pytest.mark.parametrize("fit", FITS)
def test_empty_customers_and_items_are_no_trouble_in_any_sparse_format(fit):
    model = fit(csr_array(np.array([[1, 0, 0], [0, 0, 0], [2, 1, 0]], dtype=np.float64)))
    scores = model.scores(np.arange(3))
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores[1], model.scores(np.array([-1]))[0])


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**31))
def test_contributions_add_up_on_any_small_matrix(customers, items, seed):
    random = np.random.default_rng(seed)
    dense = random.integers(0, 4, (customers, items)).astype(np.float32)
    dense[0, 0] = 1
    model = fit_blend(csr_matrix(dense), seed=seed)
    for row in range(customers):
        _, share = model.contributions(row, np.arange(items))
        total = share.sum(axis=0) + model.popularity
        np.testing.assert_allclose(total, model.scores(np.array([row]))[0], atol=1e-3)


@pytest.mark.parametrize("fit", [fit_als, fit_blend])
def test_collaborative_filtering_finds_the_planted_taste_in_items_never_bought(fit, world, matrix):
    scores = fit(matrix).scores(np.arange(matrix.shape[0]))
    scores[matrix.nonzero()] = np.nan
    own = world.customer_group[:, None] == world.item_group
    inside, outside = np.where(own, scores, np.nan), np.where(own, np.nan, scores)
    some = ~np.isnan(inside).all(axis=1)
    assert some.sum() > 40
    assert (np.nanmean(inside[some], axis=1) > np.nanmax(outside[some], axis=1)).mean() > 0.9


def test_the_blend_ranks_what_a_customer_orders_often_first(matrix):
    blend = fit_blend(matrix)
    favourites = np.array([matrix[row].indices[matrix[row].data.argmax()] for row in range(matrix.shape[0])])
    rank = (
        blend.scores(np.arange(len(favourites)))
        > blend.scores(np.arange(len(favourites)))[np.arange(len(favourites)), favourites][:, None]
    ).sum(axis=1)
    assert np.mean(rank < 3) > 0.9
