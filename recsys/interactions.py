"""From purchases to the interaction matrix: returns netted, orders counted and decayed, ids in sorted order.

Everything is array arithmetic over sorted lines. Ids are strings outside and row numbers inside.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.tables import INSTANT, InputError

DAY = 86_400_000_000  # microseconds

LINE = ("line_id", "occurred_at", "kind", "quantity", "returned_line_id")

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class InteractionMatrix:
    """matrix: CSR float32 [customers × items]; customers, items: their ids, sorted."""

    matrix: csr_matrix
    customers: pa.StringArray
    items: pa.StringArray

    def customer_rows(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
        """Row number of each customer id, -1 for an id without history."""
        return _positions(ids, self.customers)

    def item_rows(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
        """Column number of each item id, -1 for an id that is in no column."""
        return _positions(ids, self.items)


def build_matrix(
    purchases: pa.Table,
    as_of: datetime,
    *,
    half_life_days: float | None = 91.0,
    min_item_buyers: int = 1,
    cap: float = 100.0,
) -> InteractionMatrix:
    """Orders per customer and item as of an instant, returns netted.

    An order counts 1 for each of its items however many pieces, halved for every half_life_days of its age (None:
    never), and a cell is at most cap. Items with fewer than min_item_buyers customers are left out; customers who keep
    a purchase but none of these items keep an empty row.
    """
    ids = ("customer_id", "item_id", "order_id")
    with ThreadPoolExecutor(len(ids)) as pool:  # Arrow takes one thread per column
        (customers, customer), (items, item), (orders, order) = pool.map(_codes, (purchases[name] for name in ids))
    rows, _ = _remaining(purchases, as_of, customer, item)
    customers, customer = _in_order(customers, customer[rows])
    items, item = _in_order(items, item[rows])
    at, order = _instants(purchases["occurred_at"])[rows], order[rows]

    pair = customer.astype(np.int64) * max(len(items), 1) + item
    if len(customers) * len(items) * len(orders) < 2**63:
        line = pair * max(len(orders), 1) + order
        by = np.argsort(line)
        fresh = _starts(line[by])
    else:
        by = np.lexsort((order, pair))
        fresh = _starts(pair[by]) | _starts(order[by])
    pair, first = pair[by][fresh], np.flatnonzero(fresh)  # one line per order, the last
    at = np.maximum.reduceat(at[by], first) if len(first) else at
    age = (pa.scalar(as_of, INSTANT).value - at) / DAY
    weight = np.ones(len(pair)) if half_life_days is None else np.exp2(-age / half_life_days)

    starts = np.flatnonzero(_starts(pair))
    cell = np.minimum(np.add.reduceat(weight, starts), cap) if len(starts) else weight
    row, column = np.divmod(pair[starts], max(len(items), 1))
    known = np.bincount(column, minlength=len(items)) >= min_item_buyers
    kept, renumbered = known[column], np.cumsum(known) - 1
    indptr = np.append(0, np.cumsum(np.bincount(row[kept], minlength=len(customers))))
    width = np.int32 if len(column) < 2**31 else np.int64
    cells = (cell[kept].astype(np.float32), renumbered[column[kept]].astype(width), indptr.astype(width))
    matrix = csr_matrix(cells, shape=(len(customers), int(known.sum())))
    return InteractionMatrix(matrix, customers, items.filter(pa.array(known)))


def net_purchases(purchases: pa.Table, as_of: datetime) -> pa.Table:
    """The purchases before as_of, in their order, less what was returned or cancelled before as_of.

    A return takes back the line it names if that is an earlier purchase of the same customer and item, else the latest
    earlier purchases of that customer and item. Of a part return, quantity, amount and discount shrink in proportion,
    in whole rupiah. What is returned beyond what was bought cancels nothing.
    """
    codes = [_codes(purchases[name])[1] for name in ("customer_id", "item_id")]
    kept, left = _remaining(purchases, as_of, *codes)
    net = purchases if len(kept) == purchases.num_rows else purchases.take(kept)
    quantity, remains = net["quantity"], pa.array(left)
    if quantity.equals(pa.chunked_array([remains])):
        return net
    for name in ("amount", "discount"):
        whole = net[name]
        part = pc.divide(pc.add(pc.multiply(whole, remains), pc.divide(quantity, 2)), quantity)
        net = _with(net, name, pc.if_else(pc.less(remains, quantity), part, whole))
    return _with(net, "quantity", pa.chunked_array([remains]))


def _remaining(purchases: pa.Table, as_of: datetime, customer: Codes, item: Codes) -> tuple[Ints, Ints]:
    """Rows of the purchases of which something is left as of an instant, rising, and the quantity that is left."""
    if as_of.tzinfo is None:
        raise ValueError(f"as_of must carry a time zone, got {as_of}")
    before = _instants(purchases["occurred_at"]) < pa.scalar(as_of, INSTANT).value
    bought = _array(pc.equal(purchases["kind"], "purchase"))
    left = _array(purchases["quantity"]).copy()
    returned = np.flatnonzero(before & ~bought)
    if len(returned):
        width = int(item.max()) + 1
        pairs = customer[returned].astype(np.int64) * width + item[returned]
        # Few customers return, so few lines are compared in full.
        flagged = np.zeros(int(customer.max()) + 1, bool), np.zeros(width, bool)
        flagged[0][customer[returned]] = flagged[1][item[returned]] = True
        touched = np.flatnonzero(before & flagged[0][customer] & flagged[1][item])
        pair = customer[touched].astype(np.int64) * width + item[touched]
        touched, pair = touched[among := np.isin(pair, pairs)], pair[among]
        left[touched] = _left(purchases.select(LINE).take(touched), pair)
    rows = np.flatnonzero(before & bought & (left > 0))
    return rows, left[rows]


def _left(lines: pa.Table, group: Ints) -> Ints:
    """Quantity left of each purchase after all returns; for the returns themselves 0. group: customer and item."""
    bought = _array(pc.equal(lines["kind"], "purchase"))
    quantity = _array(lines["quantity"]).copy()
    line = _in_order(*_codes(lines["line_id"]))[1]
    by = np.lexsort((line, ~bought, _instants(lines["occurred_at"]), group))  # at one instant, purchases come first
    place = np.empty_like(by)
    place[by] = np.arange(len(by))

    # Named lines first: what a return names is known, what it does not name is a guess.
    found = pc.index_in(lines["returned_line_id"], lines["line_id"].filter(bought).combine_chunks(), skip_nulls=True)
    at = np.append(np.flatnonzero(bought), -1)[_array(pc.fill_null(found, -1))]
    named = ~bought & (at >= 0) & (group[at] == group) & (place[at] < place)
    np.subtract.at(quantity, at[named], quantity[named])
    quantity = np.where(named, 0, np.maximum(quantity, 0))

    # Then last in, first out: a purchase is put on its group's stack, a return takes from the top. What is left of a
    # purchase is how far the lowest later height of the stack stays above the height it was put on.
    step = np.where(bought, quantity, -quantity)[by]
    first = np.append(True, np.diff(group[by]) != 0)
    g = np.cumsum(first) - 1
    span = 1 + np.add.reduceat(np.abs(step), np.flatnonzero(first)).max()  # groups this far apart cannot mix
    if float(span) * len(step) > 2**62:
        raise InputError(f"purchases.quantity: one customer bought {span} pieces of one item; check the quantities")
    level = np.cumsum(step)
    level -= (level - step)[first][g]
    height = level - (np.minimum.accumulate(np.minimum(level, 0) - g * span) + g * span)
    lowest = np.minimum.accumulate((height + g * span)[::-1])[::-1] - g * span
    out = np.empty_like(step)
    out[by] = np.clip(lowest - (height - step), 0, np.maximum(step, 0))
    return out


def _codes(ids: pa.ChunkedArray) -> tuple[pa.StringArray, Codes]:
    """The distinct ids, in the order in which they come, and each id's number among them."""
    if not len(ids):
        return pa.array([], ids.type), np.zeros(0, np.int32)
    whole = pa.table([ids], names=["id"]).combine_chunks()["id"]  # many dictionaries cost far more to unify
    encoded = whole.dictionary_encode().unify_dictionaries()
    codes = [chunk.indices.to_numpy() for chunk in encoded.chunks]
    return encoded.chunk(0).dictionary, codes[0] if len(codes) == 1 else np.concatenate(codes)


def _in_order(names: pa.StringArray, codes: Codes) -> tuple[pa.StringArray, Codes]:
    """The ids that are used, sorted, and the codes as numbers among them."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(names)))
    names = names.take(pa.array(used))
    order = pc.sort_indices(names).to_numpy()
    rank = np.empty(int(used.max(initial=-1)) + 1, np.int32)
    rank[used[order]] = np.arange(len(order), dtype=np.int32)
    return names.take(order), rank[codes]


def _starts(sorted_values: NDArray) -> NDArray[np.bool_]:
    """Where a run of equal values begins."""
    return np.append(True, sorted_values[1:] != sorted_values[:-1])[: len(sorted_values)]


def _positions(ids: pa.Array | pa.ChunkedArray, known: pa.Array) -> NDArray[np.int32]:
    return _array(pc.fill_null(pc.index_in(ids, value_set=known), -1))


def _instants(column: pa.ChunkedArray) -> Ints:
    """Microseconds since 1970."""
    return _array(column.cast(INSTANT).cast(pa.int64()))


def _array(column: pa.Array | pa.ChunkedArray) -> NDArray:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.to_numpy(zero_copy_only=False)


def _with(table: pa.Table, name: str, column: pa.ChunkedArray) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), column)
