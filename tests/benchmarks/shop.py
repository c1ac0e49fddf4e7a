"""Purchases of a large shop, made from planted tastes; what the benchmarks of recsys stand on."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.tables import PURCHASES, conform

START, DAYS = datetime(2017, 1, 1, tzinfo=UTC), 365
DAY = 86_400_000_000  # microseconds
GROUPS, OWN = 200, 4  # of items, and of those that each customer buys from


def purchases(lines: int, customers: int, items: int, seed: int = 1, returns: float = 0.02) -> pa.Table:
    """PURCHASES: a customer's lines come mostly from a few groups of items, the popular ones of each more often.

    Orders of about three lines; some customers order a hundred times as often as others. A share are returns of lines
    bought before.
    """
    random = np.random.default_rng(seed)
    activity = random.lognormal(0, 1, customers)
    orders = lines // 3
    buyer = np.sort(random.choice(customers, orders, p=activity / activity.sum()))
    day = random.integers(0, DAYS * 86_400, orders) * 1_000_000
    order = np.sort(random.integers(0, orders, lines))
    who = buyer[order]

    tastes = random.integers(0, GROUPS, (customers, OWN))
    taste = np.minimum(random.geometric(0.45, lines) - 1, OWN - 1)
    group = np.where(random.random(lines) < 0.85, tastes[who, taste], random.integers(0, GROUPS, lines))
    size = items // GROUPS
    within = np.minimum((size * random.random(lines) ** 2.5).astype(np.int64), size - 1)
    item = within * GROUPS + group

    returned = np.flatnonzero(random.random(lines) < returns)
    at = day[order]
    quantity = random.integers(1, 4, lines)
    amount = quantity * (10_000 + 100 * (item % 1000))
    number = pa.array(np.arange(lines + len(returned)))
    both = np.concatenate([np.arange(lines), returned])
    kind = pa.DictionaryArray.from_arrays(np.repeat([0, 1], [lines, len(returned)]), ["purchase", "return"])
    names = pa.concat_arrays([pa.nulls(lines, pa.int64()), pa.array(returned)])
    table = pa.table(
        {
            "line_id": _ids("l", number),
            "order_id": _ids("o", order[both]),
            "customer_id": _ids("c", who[both]),
            "item_id": _ids("i", item[both]),
            "occurred_at": pa.array(at[both] + np.repeat([0, DAY], [lines, len(returned)]) + _micros(START)).cast(
                pa.timestamp("us", "UTC")
            ),
            "kind": kind.cast(pa.string()),
            "quantity": quantity[both],
            "amount": amount[both],
            "returned_line_id": _ids("l", names),
        }
    )
    return conform(table, PURCHASES)


def scopes(items: int, count: int, seed: int = 1) -> NDArray[np.bool_]:
    """bool [items × scopes]: half are categories, which split the items; a third brands, which split them too; the
    others lists of any items."""
    random = np.random.default_rng(seed)
    inside = np.zeros((items, count), bool)
    categories, brands = count // 2, count // 3
    inside[np.arange(items), random.integers(0, categories, items)] = True
    inside[np.arange(items), categories + random.integers(0, brands, items)] = True
    for scope in range(categories + brands, count):
        inside[random.choice(items, 150, replace=False), scope] = True
    return inside


def _ids(letter: str, number: Any) -> pa.Array:
    padded = pc.utf8_lpad(pc.cast(pa.array(number), pa.string()), 8, "0")
    return pc.binary_join_element_wise(letter, padded, "")


def _micros(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000
