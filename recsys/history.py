"""Who ordered what when, as arrays to walk through: by customer, then by time, up to any instant that is asked for."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.interactions import DAY, net_purchases
from recsys.tables import INSTANT


@dataclass(frozen=True, eq=False)
class History:
    """Orders before an instant.

    customers, items: ids; customers sorted, items as they were given.
    first, last: int64 [customers]; a customer's orders are first to last − 1, the oldest first.
    age: float64 [orders], days before the instant; 0 or less are orders that come after it.
    line: int64 [orders + 1], where an order's lines begin. item: int32 [lines], no item twice in an order.
    paid: float32 [lines], rupiah a piece. days: age of the oldest order.
    """

    customers: pa.StringArray
    items: pa.StringArray
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    age: NDArray[np.float64]
    line: NDArray[np.int64]
    item: NDArray[np.int32]
    paid: NDArray[np.float32]
    days: float

    def rows(self, ids: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Row number of each customer id, -1 for one without orders."""
        return pc.fill_null(pc.index_in(ids, value_set=self.customers), -1).to_numpy().astype(np.int64)

    @property
    def known(self) -> NDArray[np.int64]:
        """The rows of customers with orders before the instant."""
        return np.flatnonzero(self.last > self.first)


def history(purchases: pa.Table, instant: datetime, items: pa.Array) -> History:
    """Orders before an instant, returns before it netted. Lines of items that are not given are left out."""
    net = net_purchases(purchases, instant)
    item = pc.index_in(net["item_id"], value_set=items)
    net = net.filter(item.is_valid())
    column = item.drop_null().to_numpy().astype(np.int32)
    customers = pc.unique(net["customer_id"]).sort()
    customer = pc.index_in(net["customer_id"], value_set=customers).to_numpy()
    at = net["occurred_at"].cast(INSTANT).cast(pa.int64()).to_numpy()
    encoded = net["order_id"].combine_chunks().dictionary_encode()
    named = np.empty(len(encoded.dictionary), np.int64)
    named[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(named))
    both = named[encoded.indices.to_numpy()] * max(len(customers), 1) + customer
    _, number, order = np.unique(
        both, return_index=True, return_inverse=True
    )  # by order_id, whatever order rows are in
    when = np.full(len(number), np.iinfo(np.int64).min)
    np.maximum.at(when, order, at)  # an order is as old as its last line
    whose = customer[number]
    by = np.lexsort((when, whose))
    place = np.empty(len(by), np.int64)
    place[by] = np.arange(len(by))

    order = place[order]
    amount, quantity = (net[name].to_numpy().astype(np.float64) for name in ("amount", "quantity"))
    shape = (len(by), len(items))
    spent, pieces = (csr_matrix((values, (order, column)), shape=shape) for values in (amount, quantity))
    age = (pa.scalar(instant, INSTANT).value - when[by]) / DAY
    last = np.cumsum(np.bincount(whose, minlength=len(customers)))
    return History(
        customers,
        items,
        np.concatenate([[0], last[:-1]]).astype(np.int64) if len(last) else last,
        last,
        age,
        pieces.indptr.astype(np.int64),
        pieces.indices,
        (spent.data / pieces.data).astype(np.float32),
        float(age.max(initial=0.0)),
    )


def earlier(known: History, days: float) -> History:
    """What was known so many days before. Of what was returned since, it knows already that it will be."""
    count = np.concatenate([[0], np.cumsum(known.age > days)])
    last = known.first + count[known.last] - count[known.first]
    return replace(known, last=last, age=known.age - days, days=max(0.0, known.days - days))


def bought_between(known: History, scopes: csr_matrix, start: float, end: float) -> csr_matrix:
    """CSR [customers × scopes], positive where something in the scope was bought from `start` to `end` days before.

    scopes: [items × scopes] of 0/1. The start counts, the end does not.
    """
    picked = (known.age <= start) & (known.age > end)
    whose = np.repeat(np.arange(len(known.customers)), np.diff(np.append(known.first, len(known.age))))
    line = np.repeat(picked, np.diff(known.line))
    cells = (np.repeat(whose, np.diff(known.line))[line], known.item[line])
    shape = (len(known.customers), len(known.items))
    return csr_matrix((np.ones(len(cells[0]), np.float32), cells), shape=shape) @ scopes


def owned(known: History, rows: NDArray[np.int64]) -> csr_matrix:
    """float32 0/1 [rows × items]: what each has ever bought."""
    many = known.last[rows] - known.first[rows]
    order = _spans(known.first[rows], many)
    lines = known.line[order + 1] - known.line[order]
    item = known.item[_spans(known.line[order], lines)]
    row = np.repeat(np.repeat(np.arange(len(rows)), many), lines)
    out = csr_matrix((np.ones(len(item), np.float32), (row, item)), shape=(len(rows), len(known.items)))
    out.sum_duplicates()
    out.data[:] = 1
    return out


def _spans(start: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers from each start, so many of them, one span after the other."""
    skipped = np.repeat(start - np.concatenate([[0], np.cumsum(length)[:-1]]), length) if len(start) else start
    return skipped + np.arange(len(skipped))
