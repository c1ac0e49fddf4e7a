"""Top items per customer, and per customer and scope, in blocks so that memory does not grow with the customers.

Higher scores come first; equal scores in the order of item ids.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.interactions import InteractionMatrix
from recsys.models import Recommender, Rows
from recsys.ranking import rank
from recsys.tables import RECOMMENDATIONS
from recsys.topk import Top, in_threads

BLOCK = 1 << 14  # customers whose results are made into rows at a time
MANY_PAIRS = 1 / 3  # of all that there could be: from there on, it is faster to rank every scope for everybody
BLOCK_CELLS = 1 << 22  # scores held at a time, where all are worked out: 16 MB


def recommend(
    model: Recommender,
    matrix: InteractionMatrix,
    rows: Rows,
    n: int,
    *,
    customer_ids: pa.Array | None = None,
    keep: NDArray[np.bool_] | None = None,
    exclude_bought: bool = False,
    speak_of: NDArray[np.bool_] | None = None,
) -> pa.Table:
    """The n best items of each row as a RECOMMENDATIONS table; fewer where fewer are left.

    rows: row numbers of matrix and model; -1 is a customer without history, who gets the popular items, and whose id
    then comes from customer_ids, beside rows. keep: bool [items], the items that may be recommended.
    reason: "repeat" (bought before), "because:ITEM_ID" (the past purchase that adds most to the score) or "popular";
    speak_of: bool [items], the purchases that a reason may speak of (None: all).
    """
    rows = np.asarray(rows)
    if customer_ids is None:
        if (rows < 0).any():
            raise ValueError("rows of customers without history (-1) need customer_ids")
        customer_ids = matrix.customers.take(pa.array(rows))
    columns = None if keep is None else np.flatnonzero(keep)
    bought = matrix.matrix if exclude_bought else None
    blocks = [RECOMMENDATIONS.schema.empty_table()]
    for start in range(0, len(rows), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(rows)))
        best, score = best_items(model, rows[block], n, columns, without=bought)
        at, place = np.nonzero(best >= 0)
        item = best[at, place]
        blocks.append(
            pa.table(
                [
                    customer_ids.take(pa.array(block[at])),
                    pa.array(place + 1, pa.int32()),
                    matrix.items.take(pa.array(item)),
                    pa.array(score[at, place]),
                    pa.array(reasons(model, matrix, rows[block], at, item, speak_of), pa.string()),
                ],
                schema=RECOMMENDATIONS.schema,
            )
        )
    return pa.concat_tables(blocks)


def best_items(
    model: Recommender, rows: Rows, n: int, columns: Rows | None = None, *, without: csr_matrix | None = None
) -> Top:
    """(item rows int32, scores float32), both [rows × n], best first; -1 and -inf where fewer are left.

    columns: the items to choose from, rising (None: all). without: CSR [customers × items], whose cells are left out,
    whatever their weight. A model that has `top` knows a faster way than to work out all its scores.
    """
    top = getattr(model, "top", None)
    return top(rows, n, columns, without=without) if top is not None else best_of_all(model, rows, n, columns, without)


def best_of_all(
    model: Recommender, rows: Rows, n: int, columns: Rows | None = None, without: csr_matrix | None = None
) -> Top:
    """As best_items, from all scores."""
    rows = np.asarray(rows)
    chosen = np.arange(model.shape[1]) if columns is None else np.asarray(columns)
    items, scores = np.full((len(rows), n), -1, np.int32), np.full((len(rows), n), -np.inf, np.float32)

    def task(block: Rows) -> None:
        found = model.scores(rows[block], columns)
        if without is not None:
            found[_membership(without, rows[block], chosen)] = -np.inf
        best = rank(found, n)
        at, place = np.nonzero(best >= 0)
        items[block[at], place] = chosen[best[at, place]]
        scores[block[at], place] = found[at, best[at, place]]

    in_threads(task, list(_blocks(len(rows), len(chosen))))
    return items, scores


def top_items_for_pairs(
    model: Recommender, rows: Rows, scope_index: Rows, scopes: csr_matrix, n: int
) -> NDArray[np.int32]:
    """The n best item rows [pairs × n] of each (row, scope) pair; -1 where the scope has no more items.

    scopes: [items × scopes] of 0/1. Only the scores of a scope's own items are computed.
    """
    rows, scope_index = np.asarray(rows), np.asarray(scope_index)
    out = np.full((len(rows), n), -1, np.int32)
    used, column = np.unique(scope_index, return_inverse=True)
    people, who = np.unique(rows, return_inverse=True)
    by_scope = scopes.tocsc()[:, used]
    in_all = getattr(model, "top_in_scopes", None)
    if in_all is not None and len(rows) >= MANY_PAIRS * len(people) * len(used):
        order = np.argsort(who, kind="stable")
        for block in _blocks(len(people), n * len(used)):
            pairs = order[slice(*np.searchsorted(who[order], [block[0], block[-1] + 1]))]
            out[pairs] = in_all(people[block], by_scope, n)[0][who[pairs] - block[0], column[pairs]]
        return out
    for scope in range(len(used)):
        span = slice(by_scope.indptr[scope], by_scope.indptr[scope + 1])
        columns = np.sort(by_scope.indices[span][by_scope.data[span] != 0])
        pairs = np.flatnonzero(column == scope)
        out[pairs] = best_items(model, rows[pairs], n, columns)[0]
    return out


def _membership(matrix: csr_matrix, rows: Rows, columns: Rows) -> NDArray[np.bool_]:
    """Whether each row has a cell in each column, whatever its weight."""
    place = np.full(matrix.shape[1], -1)
    place[columns] = np.arange(len(columns))
    own = matrix[np.maximum(rows, 0)]
    at, column = np.repeat(np.arange(len(rows)), np.diff(own.indptr)), place[own.indices]
    inside = (column >= 0) & (rows[at] >= 0)
    out = np.zeros((len(rows), len(columns)), bool)
    out[at[inside], column[inside]] = True
    return out


def reasons(
    model: Recommender,
    matrix: InteractionMatrix,
    rows: Rows,
    at: Rows,
    items: Rows,
    speak_of: NDArray[np.bool_] | None = None,
) -> list[str]:
    """One reason per (rows[at], item); at is in rising order. speak_of: as for recommend."""
    if speak_of is None:
        speak_of = np.ones(model.shape[1], bool)
    driver = model.drivers(rows, at, items, speak_of)
    names = matrix.items.take(pa.array(np.maximum(driver, 0)))
    because = pc.binary_join_element_wise("because", names, ":")
    plain = pa.array(np.where(driver == items, "repeat", "popular"))
    return pc.if_else(pa.array((driver >= 0) & (driver != items)), because, plain).to_pylist()


def _blocks(rows: int, columns: int) -> Iterator[Rows]:
    size = max(1, BLOCK_CELLS // max(columns, 1))
    for start in range(0, rows, size):
        yield np.arange(start, min(start + size, rows))
