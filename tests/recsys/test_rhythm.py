from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from recsys.rhythm import rhythm
from recsys.tables import PURCHASES, conform

AS_OF = datetime(2026, 6, 1, tzinfo=UTC)


def lines(*rows):
    """(customer, item, order, days before AS_OF, kind)"""
    return conform(
        pa.table(
            {
                "line_id": [f"l{k}" for k in range(len(rows))],
                "order_id": [row[2] for row in rows],
                "customer_id": [row[0] for row in rows],
                "item_id": [row[1] for row in rows],
                "occurred_at": pa.array([AS_OF - timedelta(days=row[3]) for row in rows], pa.timestamp("us", tz="UTC")),
                "kind": [row[4] if len(row) > 4 else "purchase" for row in rows],
                "quantity": [1] * len(rows),
                "amount": [1000] * len(rows),
            }
        ),
        PURCHASES,
    )


def of(table, *pairs):
    return rhythm(table, AS_OF, pa.array([c for c, _ in pairs]), pa.array([i for _, i in pairs]))


def test_the_mean_gap_and_the_days_since_the_last_order():
    found = of(lines(("a", "x", "1", 70), ("a", "x", "2", 50), ("a", "x", "3", 22)), ("a", "x"))
    assert (found.orders.tolist(), found.every.tolist(), found.since.tolist()) == ([3], [24.0], [22.0])


def test_two_orders_are_no_rhythm_and_none_is_nothing():
    found = of(lines(("a", "x", "1", 70), ("a", "x", "2", 50), ("b", "y", "3", 1)), ("a", "x"), ("a", "y"), ("c", "x"))
    assert found.orders.tolist() == [2, 0, 0]
    assert np.isnan(found.every).all()
    assert found.since[0] == 50
    assert np.isnan(found.since[1:]).all()


def test_several_lines_of_one_order_are_one_and_returns_are_none():
    rows = [("a", "x", str(k), 60 - 10 * k) for k in range(4)] + [("a", "x", "0", 60), ("a", "x", "9", 5, "return")]
    found = of(lines(*rows), ("a", "x"))
    assert found.orders.tolist() == [3]  # the latest was given back
    assert (found.every.tolist(), found.since.tolist()) == ([10.0], [40.0])


def test_what_comes_at_or_after_the_instant_is_not_known():
    found = of(lines(*[("a", "x", str(k), 20 - 10 * k) for k in range(5)]), ("a", "x"))
    assert found.orders.tolist() == [2]


def test_orders_at_one_instant_are_no_rhythm():
    assert np.isnan(of(lines(*[("a", "x", str(k), 5) for k in range(3)]), ("a", "x")).every).all()


def test_pairs_may_repeat_and_be_none():
    table = lines(*[("a", "x", str(k), 30 - 10 * k) for k in range(3)])
    assert of(table, ("a", "x"), ("a", "x")).every.tolist() == [10.0, 10.0]
    nobody = pa.array([], pa.string())
    assert len(rhythm(table, AS_OF, nobody, nobody).orders) == 0
