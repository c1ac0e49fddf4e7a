"""What is known of pairs of customer and item, as of now and as of any number of days ago."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys.cells import bought_after, cells_of, days_before
from recsys.history import history
from recsys.interactions import build_matrix
from recsys.synthetic import taste_groups

NOW = datetime(2017, 10, 1, tzinfo=UTC)
PURCHASES = taste_groups(3, customers=40, items=20, days=250).purchases


def cells_at(instant, purchases=PURCHASES, least=1):
    matrix = build_matrix(purchases, instant, min_item_buyers=least)
    return cells_of(history(purchases, instant, matrix.items), matrix), matrix


@pytest.fixture(scope="module")
def cells():
    return cells_at(NOW)[0]


def test_cells_are_those_of_the_matrix_and_decay_as_it_does():
    cells, matrix = cells_at(NOW)
    decayed = cells.matrix(cells.decayed(91.0))
    np.testing.assert_array_equal(decayed.indptr, matrix.matrix.indptr)
    np.testing.assert_array_equal(decayed.indices, matrix.matrix.indices)
    np.testing.assert_allclose(decayed.data, matrix.matrix.data, rtol=1e-5)


def test_ages_run_from_the_first_order_to_the_last(cells):
    assert (cells.first_age >= cells.last_age).all()
    assert (cells.last_age > 0).all()
    assert cells.orders.sum() == len(cells.line_age)
    assert cells.days == pytest.approx(cells.order_age.max())


def test_what_was_known_days_ago_is_what_a_history_of_that_day_knows(cells):
    then = days_before(cells, 60)
    known, matrix = cells_at(NOW - timedelta(days=60))
    assert len(then.start) == len(known.start)
    np.testing.assert_allclose(np.sort(then.line_age), np.sort(known.line_age), atol=1e-6)
    assert matrix.matrix.nnz == len(then.start)


def test_items_with_too_few_buyers_by_then_are_not_known_then(cells):
    then = days_before(cells, 200, min_item_buyers=9)
    assert 0 < len(np.unique(then.item)) < len(np.unique(days_before(cells, 200).item))
    assert np.bincount(then.item, minlength=20)[np.unique(then.item)].min() >= 9


def test_what_was_bought_after_is_what_lies_between_the_two_days(cells):
    start, end = NOW - timedelta(days=60), NOW - timedelta(days=32)
    at = PURCHASES["occurred_at"]
    between = PURCHASES.filter(
        pc.and_(pc.greater_equal(at, pa.scalar(start, at.type)), pc.less(at, pa.scalar(end, at.type)))
    )
    pairs = set(zip(between["customer_id"].to_pylist(), between["item_id"].to_pylist(), strict=True))
    assert bought_after(cells, 60, 28).nnz == len(pairs) > 20


def test_nothing_known_is_no_trouble():
    cells = cells_at(NOW)[0]
    then = days_before(cells, 10_000)
    assert len(then.start) == len(then.decayed(91.0)) == 0
    assert bought_after(then, 28, 28).nnz == 0
