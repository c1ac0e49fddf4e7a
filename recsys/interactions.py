"""From purchases to the interaction matrix: returns netted, orders counted and decayed, ids in sorted order."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class InteractionMatrix:
    """matrix: CSR float32 [customers × items]; customers, items: their ids, sorted."""

    matrix: csr_matrix
    customers: pa.StringArray
    items: pa.StringArray

    def customer_rows(self, ids: pa.Array) -> NDArray[np.int32]:
        """Row number of each customer id, -1 where it has none."""
        return _positions(ids, self.customers)

    def item_rows(self, ids: pa.Array) -> NDArray[np.int32]:
        """Column number of each item id, -1 where it has none."""
        return _positions(ids, self.items)


def _positions(ids: pa.Array, known: pa.Array) -> NDArray[np.int32]:
    return pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy(zero_copy_only=False)


def net_purchases(purchases: pa.Table, as_of: datetime) -> pa.Table:
    """The purchases before as_of that were not taken back before as_of; of part returns, what is left."""
    raise NotImplementedError


def build_matrix(
    purchases: pa.Table,
    as_of: datetime,
    *,
    half_life_days: float | None = 91.0,
    min_item_buyers: int = 1,
    cap: float = 100.0,
) -> InteractionMatrix:
    """Orders per customer and item, each halved every half_life_days before as_of (None: not), at most cap."""
    raise NotImplementedError
