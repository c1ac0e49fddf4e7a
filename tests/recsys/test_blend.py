"""The blend: repeats and discoveries on one scale, and where each comes from."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys.baselines import fit_frequency, fit_popularity
from recsys.blend import aligned, category_groups, fit_blend, recent_popularity
from recsys.cells import cells_of
from recsys.evaluation import evaluate, hold_out
from recsys.history import history
from recsys.interactions import build_matrix
from recsys.models import ModelError, fit_als
from recsys.synthetic import taste_groups

NOW = datetime(2017, 10, 1, tzinfo=UTC)
WORLD = taste_groups(11, customers=240, items=240, days=360, orders=25)


def known(instant):
    matrix = build_matrix(WORLD.purchases, instant)
    return matrix, cells_of(history(WORLD.purchases, instant, matrix.items), matrix)


@pytest.fixture(scope="module")
def fitted():
    matrix, cells = known(NOW)
    return matrix, cells, fit_blend(cells, matrix.matrix, window_days=28.0, seed=1, threads=1)


def test_scores_are_probabilities_whose_sums_are_near_what_is_then_bought_and_doubtful_where_little_was_learned(fitted):
    matrix, _, blend = fitted
    held_out = hold_out(matrix, WORLD.purchases, NOW, NOW + timedelta(days=28))
    rows = np.arange(len(matrix.customers))
    scores, before = blend.scores(rows), matrix.matrix.toarray() != 0
    assert ((scores > 0) & (scores < 1)).all()
    assert scores[before].sum() == pytest.approx(held_out.bought["repeats"].sum(), rel=0.25)
    found = scores[~before].sum() / held_out.bought["discoveries"].sum()
    assert 0.2 < found < 1.1  # the fewer there were to learn from, the lower


def test_it_is_ahead_of_either_baseline_on_discoveries(fitted):
    matrix, _, blend = fitted
    models = (fit_popularity(matrix.matrix), fit_frequency(matrix.matrix), blend)
    held_out = hold_out(matrix, WORLD.purchases, NOW, NOW + timedelta(days=28))
    result = evaluate({model.name: model.scores for model in models}, held_out, seed=1, baselines=("popularity",))
    ahead = [
        row
        for row in result["differences"]
        if (row["model"], row["slice"], row["metric"]) == ("blend", "discoveries", "ndcg@10")
    ]
    assert {row["against"] for row in ahead} >= {"popularity"}
    assert all(row["low"] > 0 for row in ahead)


def test_nothing_from_after_the_instant_is_in_it(fitted):
    matrix, _, blend = fitted
    at = WORLD.purchases["occurred_at"]
    past = WORLD.purchases.filter(pc.less(at, pa.scalar(NOW, at.type)))
    again = fit_blend(
        cells_of(history(past, NOW, matrix.items), matrix), matrix.matrix, window_days=28.0, seed=1, threads=1
    )
    assert all(again.arrays()[name].tobytes() == part.tobytes() for name, part in blend.arrays().items())


def test_an_item_bought_before_is_explained_by_itself_and_another_by_what_is_like_it(fitted):
    matrix, _, blend = fitted
    own, other = int(matrix.matrix[3].indices[0]), 0
    assert blend.explain(3, own) == [(own, pytest.approx(float(blend.scores(np.array([3]))[0, own])))]
    new = np.setdiff1d(np.arange(240), matrix.matrix[3].indices)
    other = int(new[WORLD.item_group[new] == WORLD.customer_group[3]][0])
    past = [item for item, _ in blend.explain(3, other)][:3]
    assert past
    assert all(WORLD.item_group[item] == WORLD.customer_group[3] for item in past)


def test_factors_fitted_elsewhere_take_their_place_by_id():
    matrix, _ = known(NOW)
    earlier, _ = known(NOW - timedelta(days=250))
    als = fit_als(earlier.matrix, factors=4)
    customers, items = aligned(als, earlier, matrix)
    assert customers.shape == (len(matrix.customers), 4)
    row = int(matrix.customer_rows(earlier.customers)[7])
    np.testing.assert_array_equal(customers[row], als.customer_factors[7])
    missing = earlier.customer_rows(matrix.customers) < 0
    assert (customers[missing] == 0).all()
    assert items.shape == (len(matrix.items), 4)


def test_purchases_that_are_not_the_matrix_s_are_refused(fitted):
    matrix, cells, _ = fitted
    fewer = matrix.matrix.copy()
    fewer.data[:50] = 0
    fewer.eliminate_zeros()
    with pytest.raises(ModelError, match="not of the same purchases"):
        fit_blend(cells, fewer, window_days=28.0, threads=1)


def test_categories_are_numbered_by_path_and_by_what_they_belong_to():
    numbers = category_groups(["A > B > C", "A > B > D", "A > E > F", "G"])
    assert len(numbers) == 2
    assert len(set(numbers[0].tolist())) == 4
    assert numbers[1][0] == numbers[1][1] != numbers[1][2]
    assert category_groups([None, None]).shape == (0, 2)


def test_popularity_of_late_counts_customers_of_the_last_window(fitted):
    _, cells, blend = fitted
    late = recent_popularity(cells, 28.0)
    assert blend.popularity.tobytes() == late.tobytes()
    assert 0 < late.max() < 1
    assert late.min() > 0
