"""How regularly customers buy an item: the plain reason for recommending it again."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.interactions import DAY, net_purchases
from recsys.tables import INSTANT

LEAST_ORDERS = 3  # of which two gaps can be seen; one gap is no rhythm


@dataclass(frozen=True, eq=False)
class Rhythm:
    """Of each pair of a customer and an item, beside each other.

    orders: int64, how many held the item. every: float64, mean days from order to order; NaN for fewer than
    LEAST_ORDERS, or if all came at one instant. since: float64, days since the last; NaN where there is none.
    """

    orders: NDArray[np.int64]
    every: NDArray[np.float64]
    since: NDArray[np.float64]


def rhythm(purchases: pa.Table, as_of: datetime, customers: pa.Array, items: pa.Array) -> Rhythm:
    """The rhythm of each (customer, item) pair as of an instant, returns netted; two arrays of ids of one length."""
    pairs = pa.table({"customer_id": customers, "item_id": items})
    of_pairs = [pc.is_in(purchases[name], value_set=pairs[name].combine_chunks()) for name in pairs.column_names]
    net = net_purchases(purchases.filter(pc.and_(*of_pairs)), as_of)
    at = net.select(["customer_id", "item_id", "order_id"]).append_column("at", net["occurred_at"].cast(INSTANT))
    orders = at.group_by(["customer_id", "item_id", "order_id"]).aggregate([("at", "max")])
    found = orders.group_by(["customer_id", "item_id"]).aggregate([("at_max", "count"), ("at_max", "min_max")])
    place = pc.index_in(_names(pairs), value_set=_names(found).combine_chunks())
    known = place.is_valid().to_numpy()
    row = pc.fill_null(place, 0).to_numpy()[known]
    ends = found["at_max_min_max"].combine_chunks()
    first, last = (ends.field(name).cast(pa.int64()).to_numpy()[row] for name in ("min", "max"))
    count = found["at_max_count"].to_numpy()[row]
    whole = Rhythm(np.zeros(len(known), np.int64), np.full(len(known), np.nan), np.full(len(known), np.nan))
    whole.orders[known] = count
    whole.since[known] = (pa.scalar(as_of, INSTANT).value - last) / DAY
    regular = (count >= LEAST_ORDERS) & (last > first)
    whole.every[known] = np.where(regular, (last - first) / DAY / np.maximum(count - 1, 1), np.nan)
    return whole


def _names(pairs: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(pairs["customer_id"], pairs["item_id"], "\0")
