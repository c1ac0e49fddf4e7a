from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from recsys import scoring
from recsys.baselines import fit_frequency, fit_popularity
from recsys.interactions import InteractionMatrix, build_matrix
from recsys.models import fit_als, fit_hybrid, fit_neighbours
from recsys.scoring import recommend, top_items_for_pairs
from recsys.synthetic import taste_groups
from recsys.tables import RECOMMENDATIONS


def hybrid(matrix):
    return fit_hybrid(fit_als(matrix), matrix)


def cosine(matrix):
    return fit_neighbours(matrix, "cosine")


FITS = [fit_popularity, fit_frequency, fit_als, hybrid, cosine]  # the last works out all its scores


@pytest.fixture(scope="module")
def matrix():
    return build_matrix(taste_groups(seed=2).purchases, datetime(2018, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module", params=FITS, ids=lambda fit: fit.__name__)
def model(request, matrix):
    return request.param(matrix.matrix)


def rows_of(table, matrix):
    """Recommended item rows per customer id, in order of position."""
    out = {}
    for row in table.sort_by([("customer_id", "ascending"), ("position", "ascending")]).to_pylist():
        out.setdefault(row["customer_id"], []).append(matrix.items.to_pylist().index(row["item_id"]))
    return out


def test_recommendations_are_the_highest_scores_in_order(model, matrix):
    table = recommend(model, matrix, np.array([3, 0]), 5)
    assert table.schema == RECOMMENDATIONS.schema
    assert table["customer_id"].to_pylist() == [matrix.customers[3].as_py()] * 5 + [matrix.customers[0].as_py()] * 5
    assert table["position"].to_pylist() == [1, 2, 3, 4, 5] * 2
    for row in (3, 0):
        best = np.argsort(-model.scores(np.array([row]))[0], kind="stable")[:5]
        assert rows_of(table, matrix)[matrix.customers[row].as_py()] == best.tolist()


def test_what_was_bought_never_comes_back_where_it_is_excluded_and_lists_are_not_padded(model, matrix):
    items = len(matrix.items)
    table = recommend(model, matrix, np.arange(20), items, exclude_bought=True)
    got = rows_of(table, matrix)
    for row in range(20):
        unbought = set(range(items)) - set(matrix.matrix[row].indices.tolist())
        assert sorted(got[matrix.customers[row].as_py()]) == sorted(unbought)


def test_a_bought_item_of_weight_zero_is_still_excluded():
    stored = csr_matrix((np.array([0, 1], np.float32), ([0, 1], [0, 1])), shape=(2, 2))
    matrix = InteractionMatrix(stored, pa.array(["a", "b"]), pa.array(["x", "y"]))
    table = recommend(fit_popularity(stored), matrix, np.array([0]), 2, exclude_bought=True)
    assert table["item_id"].to_pylist() == ["y"]


def test_more_than_the_catalogue_gives_the_catalogue_once(model, matrix):
    table = recommend(model, matrix, np.array([1]), 10_000)
    assert sorted(table["item_id"].to_pylist()) == matrix.items.to_pylist()


def test_only_kept_items_are_recommended(model, matrix):
    keep = np.zeros(len(matrix.items), bool)
    keep[[4, 7, 50]] = True
    table = recommend(model, matrix, np.arange(9), 10, keep=keep)
    assert all(sorted(items) == [4, 7, 50] for items in rows_of(table, matrix).values())
    assert recommend(model, matrix, np.arange(9), 10, keep=np.zeros_like(keep)).num_rows == 0


def test_equal_scores_come_in_the_order_of_item_ids():
    flat = csr_matrix(np.ones((3, 6), np.float32))
    matrix = InteractionMatrix(flat, pa.array(list("abc")), pa.array(list("uvwxyz")))
    assert recommend(fit_popularity(flat), matrix, np.array([1]), 3)["item_id"].to_pylist() == ["u", "v", "w"]


def test_the_size_of_blocks_changes_no_recommendation(model, matrix, monkeypatch):
    whole = recommend(model, matrix, np.arange(30), 5)
    monkeypatch.setattr(scoring, "BLOCK_CELLS", 1)
    monkeypatch.setattr(scoring, "BLOCK", 7)
    parts = recommend(model, matrix, np.arange(30), 5)
    assert parts.drop("score").equals(whole.drop("score"))
    np.testing.assert_allclose(parts["score"].to_numpy(), whole["score"].to_numpy(), rtol=1e-5)


def test_a_customer_without_history_gets_popular_items_and_the_reason_says_so(model, matrix):
    table = recommend(model, matrix, np.array([0, -1]), 4, customer_ids=pa.array(["c000000", "new"]))
    new = table.filter(pa.compute.equal(table["customer_id"], "new"))
    popular = np.argsort(-matrix.matrix.getnnz(axis=0), kind="stable")[:4]
    assert rows_of(new, matrix)["new"] == popular.tolist()
    assert new["reason"].to_pylist() == ["popular"] * 4


def test_a_customer_without_history_needs_an_id(model, matrix):
    with pytest.raises(ValueError, match="customer_ids"):
        recommend(model, matrix, np.array([-1]), 4)


def test_no_customers_give_an_empty_table(model, matrix):
    assert recommend(model, matrix, np.array([], int), 4).equals(RECOMMENDATIONS.schema.empty_table())


def test_reasons_name_repeats_and_past_purchases(matrix):
    model = hybrid(matrix.matrix)
    ids = matrix.items.to_pylist()
    for row in recommend(model, matrix, np.arange(10), len(ids)).to_pylist():
        bought = {ids[k] for k in matrix.matrix[matrix.customers.to_pylist().index(row["customer_id"])].indices}
        word, _, item = row["reason"].partition(":")
        assert (word == "repeat") == (row["item_id"] in bought)
        assert (word == "because") == (item in bought)


def test_popularity_gives_no_other_reason_than_popular(matrix):
    table = recommend(fit_popularity(matrix.matrix), matrix, np.arange(10), 5)
    assert set(table["reason"].to_pylist()) == {"popular"}


def test_top_items_of_a_pair_are_the_best_of_its_scope(model, matrix):
    items = len(matrix.items)
    scopes = csr_matrix(np.random.default_rng(3).random((items, 4)) < [0.3, 0.5, 0, 0.02])
    rows, scope = np.array([5, 5, -1, 0, 9, 0]), np.array([1, 0, 1, 2, 3, 1])
    top = top_items_for_pairs(model, rows, scope, scopes, 3)
    assert top.dtype == np.int32
    for pair in range(len(rows)):
        inside = np.flatnonzero(scopes[:, [scope[pair]]].toarray())
        best = inside[np.argsort(-model.scores(rows[[pair]], inside)[0], kind="stable")][:3]
        assert top[pair].tolist() == best.tolist() + [-1] * (3 - len(best))


def test_an_explicit_zero_is_outside_the_scope(model, matrix):
    scopes = csr_matrix((np.array([0.0, 1.0]), ([2, 6], [0, 0])), shape=(len(matrix.items), 1))
    assert top_items_for_pairs(model, np.array([0]), np.array([0]), scopes, 2).tolist() == [[6, -1]]


def test_asking_for_every_pair_gives_what_asking_for_one_does(model, matrix):
    scopes = csr_matrix(np.random.default_rng(4).random((len(matrix.items), 3)) < 0.2)
    rows, scope = np.repeat([8, -1, 2], 3), np.tile(np.arange(3), 3)
    every = top_items_for_pairs(model, rows, scope, scopes, 2)
    for pair in range(9):
        assert every[pair].tolist() == top_items_for_pairs(model, rows[[pair]], scope[[pair]], scopes, 2)[0].tolist()


def test_few_of_many_pairs_give_what_all_do(model, matrix):
    scopes = csr_matrix(np.random.default_rng(5).random((len(matrix.items), 9)) < 0.3)
    rows, scope = np.repeat(np.arange(9), 9), np.tile(np.arange(9), 9)
    every = top_items_for_pairs(model, rows, scope, scopes, 3).reshape(9, 9, 3)
    some = np.arange(9)
    np.testing.assert_array_equal(top_items_for_pairs(model, some, some, scopes, 3), every[some, some])
