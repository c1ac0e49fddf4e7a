"""The fast way to a blend's best items finds what all of its scores say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

from recsys.blend import Blend
from recsys.scoring import best_items, best_of_all

CUSTOMERS, ITEMS = 70, 50


def blend(seed: int, levels: int = 2, weight: float = 0.7, alike: bool = False) -> Blend:
    """Of random parts; customers 0 and 1 bought nothing. alike: items are the same two by two."""
    random = np.random.default_rng(seed)
    bought = random_array((CUSTOMERS, ITEMS), density=0.15, rng=random, dtype=np.float32).toarray()
    bought[:2] = 0
    history = csr_matrix(bought)
    similar = csr_matrix(random_array((ITEMS, ITEMS), density=0.1, rng=random, dtype=np.float32))
    same = np.arange(ITEMS) // 2 * 2 if alike else np.arange(ITEMS)
    if alike:
        similar = csr_matrix(similar[:, same])
    return Blend(
        name="blend",
        indptr=history.indptr,
        indices=history.indices,
        repeat=random.uniform(0.001, 0.9, history.nnz).astype(np.float32),
        confidence=history.data,
        customer_factors=random.normal(0, 0.3, (CUSTOMERS, 8)).astype(np.float32),
        item_factors=random.normal(0, 0.3, (ITEMS, 8)).astype(np.float32)[same],
        similar_indptr=similar.indptr,
        similar_indices=similar.indices,
        similar_data=similar.data,
        groups=random.integers(0, 7, (levels, ITEMS)).astype(np.int32)[:, same],
        item_odds=random.normal(-3, 1, ITEMS).astype(np.float32)[same],
        customer_odds=random.normal(0, 1, CUSTOMERS).astype(np.float32),
        weights=np.array([weight, 0.3, 0.1, 0.1][: 2 + levels], np.float32),
        popularity=random.uniform(0, 0.1, ITEMS).astype(np.float32),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    levels=st.integers(0, 2),
    weight=st.sampled_from([0.1, 0.3, 0.7]),
    n=st.sampled_from([1, 5, ITEMS + 3]),
    some=st.booleans(),
    excluded=st.booleans(),
)
def test_the_best_items_are_those_of_all_scores(
    seed: int, levels: int, weight: float, n: int, some: bool, excluded: bool
) -> None:
    model, random = blend(seed, levels, weight), np.random.default_rng(seed)
    rows = np.append(random.permutation(CUSTOMERS), -1)
    columns = np.flatnonzero(random.random(ITEMS) < 0.5) if some else None
    without = csr_matrix((random.random((CUSTOMERS, ITEMS)) < 0.3).astype(np.float32)) if excluded else None
    items, scores = best_items(model, rows, n, columns, without=without)
    expected, highest = best_of_all(model, rows, n, columns, without)
    np.testing.assert_allclose(scores, highest, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(items >= 0, expected >= 0)
    everything = np.concatenate([model.scores(rows), np.full((len(rows), 1), -np.inf, np.float32)], axis=1)
    np.testing.assert_allclose(np.take_along_axis(everything, items, axis=1), scores, rtol=1e-5, atol=1e-7)
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in items)
    assert columns is None or np.isin(items[items >= 0], columns).all()


def test_equal_scores_come_in_the_order_of_item_numbers() -> None:
    model = replace(blend(3, alike=True), repeat=np.full_like(blend(3).repeat, 0.5))
    rows = np.arange(CUSTOMERS)
    items, scores = best_items(model, rows, ITEMS)
    equal = scores[:, 1:] == scores[:, :-1]
    assert equal.sum() > CUSTOMERS
    assert (np.diff(items, axis=1)[equal] > 0).all()


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_what_is_certain_to_be_bought_again_comes_first_and_what_never_is_last(chance: float) -> None:
    model = replace(blend(5), repeat=np.full_like(blend(5).repeat, chance))
    rows = np.arange(2, CUSTOMERS)
    items, scores = best_items(model, rows, ITEMS)
    bought = np.diff(model.indptr)[rows]
    place = 0 if chance else -1
    assert (scores[bought > 0, place] == chance).all()
    assert (items >= 0).all()


def test_neither_company_nor_threads_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = blend(7), np.arange(CUSTOMERS)
    together = best_items(model, rows, 6)
    alone = [best_items(model, rows[k : k + 1], 6) for k in rows]
    monkeypatch.setattr("recsys.blend_top.TASK", 32)
    in_parts = best_items(model, rows, 6)
    for k in (0, 1):
        np.testing.assert_array_equal(together[k], np.concatenate([part[k] for part in alone]))
        np.testing.assert_array_equal(together[k], in_parts[k])
