"""Orders by customer and time, as of any earlier day."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from recsys.history import bought_between, earlier, history, owned
from recsys.synthetic import taste_groups
from recsys.tables import PURCHASES, conform

NOW = datetime(2017, 12, 5, tzinfo=UTC)
ITEMS = pa.array(["kopi", "teh", "gula"])
LINES = [  # order, customer, item, days ago, pieces, rupiah, kind
    ("o2", "b", "teh", 10.0, 2, 20_000, "purchase"),
    ("o1", "a", "kopi", 40.0, 1, 15_000, "purchase"),
    ("o1", "a", "kopi", 39.9, 1, 13_000, "purchase"),
    ("o1", "a", "gula", 40.0, 1, 9_000, "purchase"),
    ("o3", "a", "teh", 5.0, 1, 11_000, "purchase"),
    ("o4", "a", "garam", 3.0, 1, 1_000, "purchase"),
    ("o5", "c", "gula", 8.0, 1, 9_000, "purchase"),
    ("o5", "c", "gula", 2.0, 1, 9_000, "return"),
]


def purchases(rows):
    names = ("order_id", "customer_id", "item_id", "occurred_at", "quantity", "amount", "kind")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns["occurred_at"] = [NOW - timedelta(days=days) for days in columns["occurred_at"]]
    return conform(pa.table({"line_id": [f"l{k}" for k in range(len(rows))], **columns}), PURCHASES)


@pytest.fixture(scope="module")
def known():
    return history(purchases(LINES), NOW, ITEMS)


def test_orders_stand_by_customer_the_oldest_first_with_each_item_once(known):
    assert known.customers.to_pylist() == ["a", "b"]  # what c bought was taken back, and nobody gave us garam
    assert [known.first.tolist(), known.last.tolist()] == [[0, 2], [2, 3]]
    assert known.age.tolist() == pytest.approx([39.9, 5, 10])
    items = [known.item[known.line[k] : known.line[k + 1]].tolist() for k in range(3)]
    assert items == [[0, 2], [1], [1]]
    assert known.paid.tolist() == [14_000, 9_000, 11_000, 10_000]
    assert known.days == pytest.approx(39.9)
    assert known.rows(pa.array(["b", "z", "a"])).tolist() == [1, -1, 0]


def test_what_was_known_earlier_is_what_had_been_bought_by_then(known):
    then = earlier(known, 7)
    assert then.known.tolist() == [0, 1]
    assert (then.last - then.first).tolist() == [1, 1]
    assert owned(then, then.known).toarray().tolist() == [[1, 0, 1], [0, 1, 0]]
    assert earlier(known, 20).known.tolist() == [0]
    assert earlier(known, 50).known.tolist() == []


def test_a_window_begins_with_its_start_and_ends_before_its_end(known):
    scopes = csr_matrix(np.array([[1, 0], [0, 1], [0, 0]], np.float32))

    def found(start, end):
        return (bought_between(known, scopes, start, end).toarray() > 0).tolist()

    assert found(10, 5) == [[False, False], [False, True]]
    assert found(9.99, 0) == [[False, True], [False, False]]
    assert found(100, 0) == [[True, True], [False, True]]


def test_the_order_of_rows_changes_nothing():
    world = taste_groups(3, customers=40, items=15, orders=6, start=NOW - timedelta(days=90), days=80).purchases
    items = pa.array(sorted(set(world["item_id"].to_pylist())))
    turned = world.take(np.random.default_rng(1).permutation(world.num_rows))
    one, other = history(world, NOW, items), history(turned, NOW, items)
    for name in ("first", "last", "age", "line", "item", "paid"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_nobody_bought_anything_is_an_empty_history():
    none = history(purchases(LINES)[:0], NOW, ITEMS)
    assert (len(none.customers), len(none.known), none.days) == (0, 0, 0)
