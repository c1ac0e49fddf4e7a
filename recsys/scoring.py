"""Top items per customer, and per customer and scope, in blocks so that memory does not grow with the customers."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.interactions import InteractionMatrix
from recsys.models import Recommender, Rows


def recommend(
    model: Recommender,
    matrix: InteractionMatrix,
    rows: Rows,
    n: int,
    *,
    customer_ids: pa.Array | None = None,
    keep: NDArray[np.bool_] | None = None,
    exclude_bought: bool = False,
) -> pa.Table:
    """The n best items of each row as a RECOMMENDATIONS table; fewer where fewer are left."""
    raise NotImplementedError


def top_items_for_pairs(
    model: Recommender, rows: Rows, scope_index: Rows, scopes: csr_matrix, n: int
) -> NDArray[np.int32]:
    """The n best item rows [pairs × n] of each (row, scope) pair; -1 where the scope has no more items."""
    raise NotImplementedError


def top_in_scopes(model: Recommender, rows: Rows, scopes: csr_matrix, n: int) -> NDArray[np.int32]:
    """The n best item rows [rows × scopes × n] in every scope; -1 where the scope has no more items."""
    raise NotImplementedError
