"""One contract for every model, then what is particular to each kind."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix

from recsys.artifact import from_arrays
from recsys.baselines import fit_frequency, fit_popularity
from recsys.blend import fit_blend
from recsys.cells import Cells
from recsys.interactions import InteractionMatrix, build_matrix
from recsys.models import ModelError, checked, fit_als, fit_bpr, fit_hybrid, fit_neighbours
from recsys.scoring import recommend
from recsys.synthetic import taste_groups


def cells_like(matrix):
    """Orders that a matrix could have been counted from: each cell is bought so many times, over 300 days."""
    matrix = csr_matrix(matrix, dtype=np.float32)
    matrix.sort_indices()
    random = np.random.default_rng(5)
    times = np.maximum(1, np.round(np.nan_to_num(matrix.data, nan=1, posinf=1))).astype(np.int64)
    customer = np.repeat(np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), times)
    item = np.repeat(matrix.indices.astype(np.int64), times)
    age = random.uniform(0.1, 300, len(item))
    by = np.lexsort((-age, item, customer))
    customer, item, age = customer[by], item[by], age[by]
    return Cells(matrix.shape, customer, item, age, customer, age, float(age.max(initial=0.0)))


FITS = {
    "popularity": fit_popularity,
    "frequency": fit_frequency,
    "cosine": lambda matrix: fit_neighbours(matrix, "cosine"),
    "bm25": lambda matrix: fit_neighbours(matrix, "bm25"),
    "bpr": fit_bpr,
    "als": fit_als,
    "hybrid": lambda matrix: fit_hybrid(fit_als(matrix), matrix),
    "blend": lambda matrix: fit_blend(cells_like(matrix), checked(matrix), window_days=28.0),
}
FACTORED = ["als", "hybrid", "blend"]
PERSONAL = ["cosine", "bm25", "bpr", *FACTORED]  # what tells one customer's taste from another's
ADDITIVE = ["popularity", "frequency", "cosine", "bm25", "als", "hybrid"]  # scores are sums over past purchases


@pytest.fixture(scope="module")
def world():
    return taste_groups(seed=1)


@pytest.fixture(scope="module")
def known(world):
    return build_matrix(world.purchases, datetime(2018, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def matrix(known):
    return known.matrix


@pytest.fixture(scope="module")
def fitted(matrix):
    return {name: fit(matrix) for name, fit in FITS.items()}


@pytest.fixture(params=FITS)
def model(request, fitted):
    return fitted[request.param]


def test_a_model_bears_the_name_of_its_kind(fitted):
    assert [model.name for model in fitted.values()] == list(FITS)


def test_scores_are_finite_float32_of_every_row_and_item(model, matrix):
    scores = model.scores(np.arange(7))
    assert model.shape == matrix.shape
    assert scores.shape == (7, matrix.shape[1])
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_chosen_columns_score_as_they_do_among_all(model):
    rows = np.array([5, 0, -1, 5])
    for columns in (np.array([9, 2, 30]), np.array([], np.int64), np.arange(model.shape[1])[::-1]):
        np.testing.assert_allclose(model.scores(rows, columns), model.scores(rows)[:, columns], rtol=1e-4)


def test_a_scope_scores_the_sum_of_its_items(model, matrix):
    scopes = csr_matrix(np.random.default_rng(0).random((matrix.shape[1], 5)) < 0.2)  # bool, as a rule would give it
    rows = np.array([3, -1, 8])
    expected = model.scores(rows) @ scopes.toarray().astype(np.float32)
    assert model.scope_scores(rows, scopes).dtype == np.float32
    np.testing.assert_allclose(model.scope_scores(rows, scopes), expected, rtol=1e-4)


def test_an_empty_scope_scores_zero(model, matrix):
    assert (model.scope_scores(np.arange(3), csr_matrix((matrix.shape[1], 2), dtype=np.float32)) == 0).all()


def test_a_customer_without_history_ranks_by_popularity(model):
    scores = model.scores(np.array([-1]))[0]
    np.testing.assert_array_equal(scores, model.popularity)
    assert len(np.unique(scores)) > 5
    assert model.explain(-1, int(scores.argmax())) == []


def test_an_explanation_names_past_purchases_largest_first(model, matrix):
    for item in (int(matrix[4].indices[0]), int(np.setdiff1d(np.arange(matrix.shape[1]), matrix[4].indices)[0])):
        reasons = model.explain(4, item)
        assert {past for past, _ in reasons} <= set(matrix[4].indices.tolist())
        assert [value for _, value in reasons] == sorted((value for _, value in reasons), reverse=True)
        assert all(value > 0 for _, value in reasons)


def test_what_past_purchases_add_is_no_more_than_the_score(model):
    if model.name == "bpr":
        pytest.skip("it cannot tell, and says so")
    items = np.arange(model.shape[1])
    past, share = model.contributions(17, items)
    assert share.shape == (len(past), len(items))
    assert (share.sum(axis=0) <= model.scores(np.array([17]))[0] + 1e-4).all()


@pytest.mark.parametrize("name", ADDITIVE)
def test_contributions_and_popularity_add_up_to_the_score(fitted, name):
    model = fitted[name]
    items = np.arange(model.shape[1])
    for row in (0, 17, -1):
        _, share = model.contributions(row, items)
        np.testing.assert_allclose(share.sum(axis=0) + model.popularity, model.scores(np.array([row]))[0], atol=1e-4)


def test_a_model_comes_back_from_its_arrays_without_pickle(model, tmp_path):
    np.savez(tmp_path / "model.npz", **model.arrays())
    with np.load(tmp_path / "model.npz", allow_pickle=False) as stored:
        again = from_arrays(model.name, dict(stored))
    rows = np.array([-1, 0, 3])
    assert again.name == model.name
    assert again.scores(rows).tobytes() == model.scores(rows).tobytes()
    assert again.explain(3, 5) == model.explain(3, 5)


@pytest.mark.parametrize("name", FITS)
def test_the_same_seed_gives_the_same_bytes(fitted, name, matrix):
    for one, other in zip(fitted[name].arrays().values(), FITS[name](matrix).arrays().values(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_number_of_threads_changes_no_byte(matrix):
    for one, two in (
        (fit_als(matrix, threads=1), fit_als(matrix, threads=2)),
        (fit_neighbours(matrix, "bm25", threads=1), fit_neighbours(matrix, "bm25", threads=2)),
        tuple(fit_blend(cells_like(matrix), matrix, window_days=28.0, threads=threads) for threads in (1, 2)),
    ):
        for name, part in one.arrays().items():
            assert part.tobytes() == two.arrays()[name].tobytes(), (one.name, name)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("weight", [np.nan, np.inf, -1e9])
def test_a_weight_that_is_negative_or_not_finite_is_refused(name, matrix, weight):
    broken = matrix.copy()
    broken.data[3] = weight
    with pytest.raises(ModelError, match="1 weights are negative or not finite"):
        FITS[name](broken)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("shape", [(0, 0), (3, 0), (0, 3), (2, 3)])
def test_a_matrix_without_purchases_is_refused(name, shape):
    with pytest.raises(ModelError, match="nothing to learn"):
        FITS[name](csr_matrix(shape, dtype=np.float32))


@pytest.mark.parametrize("name", FITS)
def test_empty_customers_and_items_are_no_trouble_in_any_sparse_format(name):
    model = FITS[name](csr_array(np.array([[1, 0, 0], [0, 0, 0], [2, 1, 0]], dtype=np.float64)))
    scores = model.scores(np.arange(3))
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores[1], model.scores(np.array([-1]))[0])


def test_bought_items_are_left_out_by_membership_and_ids_go_in_and_come_out(model, known):
    everybody = np.arange(len(known.customers))
    found = recommend(model, known, everybody, len(known.items) + 10, exclude_bought=True)  # more than there are
    rows = known.customer_rows(found["customer_id"])
    columns = known.item_rows(found["item_id"])
    assert (rows >= 0).all()
    assert (columns >= 0).all()
    shown = csr_matrix((np.ones(len(rows)), (rows, columns)), shape=known.matrix.shape)
    assert shown.multiply(known.matrix != 0).nnz == 0
    assert shown.nnz == len(rows) == known.matrix.shape[0] * known.matrix.shape[1] - known.matrix.nnz
    assert shown.max() == 1


def test_renaming_ids_that_keep_their_order_changes_nothing_else(model, known):
    renamed = InteractionMatrix(
        known.matrix,
        pa.array([f"x{name.as_py()}" for name in known.customers]),
        pa.array([f"y{name.as_py()}" for name in known.items]),
    )
    one, other = (recommend(model, which, np.arange(5), 4) for which in (known, renamed))
    assert [f"y{name}" for name in one["item_id"].to_pylist()] == other["item_id"].to_pylist()
    assert one["score"].to_pylist() == other["score"].to_pylist()


@pytest.mark.parametrize("name", PERSONAL)
def test_the_planted_taste_is_found_in_items_never_bought(fitted, name, world, matrix):
    scores = fitted[name].scores(np.arange(matrix.shape[0]))
    scores[matrix.nonzero()] = np.nan
    own = world.customer_group[:, None] == world.item_group
    inside, outside = np.where(own, scores, np.nan), np.where(own, np.nan, scores)
    some = ~np.isnan(inside).all(axis=1)
    assert some.sum() > 40
    assert (np.nanmean(inside[some], axis=1) > np.nanmean(outside[some], axis=1)).mean() > 0.9


@pytest.mark.parametrize("name", ["frequency", "hybrid"])
def test_what_a_customer_orders_often_ranks_first(fitted, name, matrix):
    rows = np.arange(matrix.shape[0])
    favourites = np.array([matrix[row].indices[matrix[row].data.argmax()] for row in rows])
    scores = fitted[name].scores(rows)
    assert np.mean((scores > scores[rows, favourites][:, None]).sum(axis=1) < 3) > 0.9


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**31))
def test_contributions_add_up_on_any_small_matrix(customers, items, seed):
    random = np.random.default_rng(seed)
    dense = random.integers(0, 4, (customers, items)).astype(np.float32)
    dense[0, 0] = 1
    model = fit_hybrid(fit_als(csr_matrix(dense), seed=seed), csr_matrix(dense))
    for row in range(customers):
        _, share = model.contributions(row, np.arange(items))
        total = share.sum(axis=0) + model.popularity
        np.testing.assert_allclose(total, model.scores(np.array([row]))[0], atol=1e-3)
