"""Planted worlds with known answers, for tests and benchmarks."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.tables import PURCHASES, conform


@dataclass(frozen=True, eq=False)
class World:
    """purchases: as ingested; taste groups of customers and items, by row number in the order of their ids."""

    purchases: pa.Table
    customer_group: NDArray[np.int64]
    item_group: NDArray[np.int64]


def taste_groups(
    seed: int,
    *,
    customers: int = 120,
    items: int = 60,
    groups: int = 4,
    orders: int = 12,
    lines: int = 3,
    loyalty: float = 0.95,
    start: datetime = datetime(2017, 1, 1, tzinfo=UTC),
    days: int = 300,
) -> World:
    """Customers of group g order items of group g, and with probability 1 - loyalty any item.

    Each customer places `orders` orders of `lines` lines at random instants over `days` days. A recommender that works
    ranks the items of a customer's own group above all others, also those the customer never bought.
    """
    random = np.random.default_rng(seed)
    customer_group, item_group = np.arange(customers) % groups, np.arange(items) % groups
    order = np.repeat(np.arange(customers * orders), lines)
    customer = order // orders
    own = customer_group[customer] + groups * random.integers(0, items // groups, len(order))
    item = np.where(random.random(len(order)) < loyalty, own, random.integers(0, items, len(order)))
    seconds = random.integers(0, days * 86_400, customers * orders)[order]
    quantity = random.integers(1, 4, len(order))
    table = pa.table(
        {
            "line_id": [f"l{k:08d}" for k in range(len(order))],
            "order_id": [f"o{k:07d}" for k in order],
            "customer_id": [f"c{k:06d}" for k in customer],
            "item_id": [f"i{k:05d}" for k in item],
            "occurred_at": [start + timedelta(seconds=int(s)) for s in seconds],
            "kind": ["purchase"] * len(order),
            "quantity": quantity,
            "amount": quantity * (10_000 + 1_000 * item),
        }
    )
    return World(conform(table, PURCHASES), customer_group, item_group)
