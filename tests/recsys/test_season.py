"""The level of a season, from a shop that orders twice as much in one month of each year."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from recsys.history import earlier, history
from recsys.season import BELIEVED, YEAR, seasonal_change
from recsys.tables import PURCHASES, conform

NOW = datetime(2017, 12, 5, tzinfo=UTC)
WINDOWS = [28.0, 42.0, 56.0]


def shop(days, busy):
    """120 orders a day, twice as many where busy(days before now)."""
    rng = np.random.default_rng(1)
    age = np.concatenate([day + rng.random(240 if busy(day) else 120) for day in range(days)])
    count = len(age)
    table = {
        "line_id": [f"l{k}" for k in range(count)],
        "order_id": [f"o{k}" for k in range(count)],
        "customer_id": [f"c{k % 100:03d}" for k in range(count)],
        "item_id": ["i"] * count,
        "occurred_at": [NOW - timedelta(days=float(each)) for each in age],
        "kind": ["purchase"] * count,
        "quantity": np.ones(count, np.int64),
        "amount": np.full(count, 10_000),
    }
    return history(conform(pa.table(table), PURCHASES), NOW, pa.array(["i"]))


@pytest.fixture(scope="module")
def known():
    """The month that begins now was busy a year ago."""
    return shop(600, lambda day: YEAR - 28 <= day < YEAR)


def test_a_month_that_was_busy_a_year_ago_is_expected_to_be_so_again(known):
    assert seasonal_change(known, WINDOWS, 0, 28) == pytest.approx(BELIEVED * np.log(2), abs=0.05)


def test_a_month_like_others_changes_nothing(known):
    assert seasonal_change(known, [70.0, 84.0], 0, 28, now=28) == pytest.approx(0, abs=0.05)


def test_a_window_that_begins_later_is_a_later_season(known):
    found = seasonal_change(known, [100.0, 114.0], 14, 28)
    assert found == pytest.approx(BELIEVED * np.log(1.5), abs=0.06)  # half of it is in the busy month


def test_without_a_year_or_with_few_orders_nothing_is_said(known):
    assert seasonal_change(shop(430, lambda day: False), WINDOWS, 0, 28) is None
    assert seasonal_change(known, WINDOWS, 0, 1) is None
    assert seasonal_change(earlier(known, 300), WINDOWS, 0, 28) is None


def test_what_comes_after_the_instant_counts_for_nothing(known):
    then = earlier(known, 14)
    assert seasonal_change(then, WINDOWS, 0, 28) == seasonal_change(known, [d + 14 for d in WINDOWS], 0, 28, now=14)
