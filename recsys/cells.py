"""What a shop knows of each pair of customer and item that was ever bought, as of now or of any number of days ago.

A cell is one such pair; its orders lie side by side, so that all facts are sums over sorted arrays. Days ago are the
way to learn without looking ahead: what is known of a cell then, and whether it was bought in the days after.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.history import History
from recsys.interactions import InteractionMatrix

Ints = NDArray[np.int64]
Days = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cells:
    """Orders by customer, item and age, the oldest first, in the numbering of an interaction matrix.

    shape: (customers, items). line_customer, line_item: int64 [lines], no line twice in an order. line_age: float64
    [lines], days before the instant, above 0. order_customer, order_age: the same of orders [orders].
    days: age of the oldest line.
    """

    shape: tuple[int, int]
    line_customer: Ints
    line_item: Ints
    line_age: Days
    order_customer: Ints
    order_age: Days
    days: float

    @cached_property
    def start(self) -> Ints:
        """Where each cell's lines begin, int64 [cells]."""
        new = (np.diff(self.line_customer) != 0) | (np.diff(self.line_item) != 0)
        return np.flatnonzero(np.append(True, new)[: len(self.line_age)])

    @cached_property
    def customer(self) -> Ints:
        return self.line_customer[self.start]

    @cached_property
    def item(self) -> Ints:
        return self.line_item[self.start]

    @cached_property
    def orders(self) -> Ints:
        """How many orders hold each cell's item, int64 [cells]."""
        return np.diff(np.append(self.start, len(self.line_age)))

    @property
    def first_age(self) -> Days:
        return self.line_age[self.start]

    @property
    def last_age(self) -> Days:
        return self.line_age[self.start + self.orders - 1]

    @cached_property
    def buyers(self) -> Ints:
        """Customers who ever bought each item, int64 [items]."""
        return np.bincount(self.item, minlength=self.shape[1])

    @cached_property
    def number_of(self) -> csr_matrix:
        """CSR int64 [customers × items]: 1 + the number of the cell."""
        return self.matrix(np.arange(1, len(self.start) + 1))

    def matrix(self, values: NDArray) -> csr_matrix:
        """CSR [customers × items] of one value per cell."""
        indptr = np.searchsorted(self.customer, np.arange(self.shape[0] + 1))
        return csr_matrix((values, self.item, indptr), shape=self.shape)

    def summed(self, of_lines: NDArray) -> NDArray:
        """The sum over each cell's lines."""
        return np.add.reduceat(of_lines, self.start) if len(self.start) else np.zeros(0)

    def decayed(self, half_life_days: float) -> Days:
        """Orders of each cell, halved for every half-life of their age."""
        return self.summed(np.exp2(-self.line_age / half_life_days))


def cells_of(known: History, matrix: InteractionMatrix) -> Cells:
    """known: the orders of the matrix's items before its instant."""
    row = pc.index_in(known.customers, value_set=matrix.customers).to_numpy().astype(np.int64)
    whose = row[np.repeat(np.arange(len(known.customers)), known.last - known.first)]
    lines = np.diff(known.line)
    customer, age = np.repeat(whose, lines), np.repeat(known.age, lines)
    item = known.item.astype(np.int64)
    by = np.lexsort((-age, item, customer))
    return Cells(matrix.matrix.shape, customer[by], item[by], age[by], whose, known.age, known.days)


def days_before(cells: Cells, days: float, min_item_buyers: int = 1) -> Cells:
    """What was known so many days before, of the items that had so many buyers by then.

    Of what was returned since, it knows already that it will be.
    """
    line, order = cells.line_age > days, cells.order_age > days
    then = Cells(
        cells.shape,
        cells.line_customer[line],
        cells.line_item[line],
        cells.line_age[line] - days,
        cells.order_customer[order],
        cells.order_age[order] - days,
        max(0.0, cells.days - days),
    )
    few = then.buyers < min_item_buyers
    if not few[then.item].any():
        return then
    kept = ~few[then.line_item]
    return replace(
        then,
        line_customer=then.line_customer[kept],
        line_item=then.line_item[kept],
        line_age=then.line_age[kept],
    )


def bought_after(cells: Cells, days: float, width: float) -> csr_matrix:
    """CSR float32 [customers × items], 1 where there is an order of the `width` days that began `days` ago."""
    inside = (cells.line_age <= days) & (cells.line_age > days - width)
    pairs = (cells.line_customer[inside], cells.line_item[inside])
    found = csr_matrix((np.ones(len(pairs[0]), np.float32), pairs), shape=cells.shape)
    found.data[:] = 1
    return found
