"""One cut in time: models see what was bought before it, and are judged by what was bought in the window after it.

Every item of the matrix is a candidate; nothing is sampled. Each customer with history who bought in the window counts
once in each slice that holds something relevant for them:
- all: every item is a candidate, everything bought in the window is relevant;
- repeats: only what the customer had bought before the cut is a candidate, and is relevant if bought again;
- discoveries: only what the customer had never bought is a candidate, and is relevant if bought.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys import metrics
from recsys.interactions import InteractionMatrix, net_purchases
from recsys.models import Floats, Recommender, Rows
from recsys.tables import INSTANT, InputError

SLICES = ("all", "repeats", "discoveries")
METRICS = ("ndcg@10", "recall@10", "hit_rate@10", "mrr@10", "coverage@10", "novelty@10")
PER_CUSTOMER = {"ndcg": metrics.ndcg, "recall": metrics.recall, "hit_rate": metrics.hit_rate, "mrr": metrics.mrr}
BLOCK_CELLS = 4_000_000  # scores held at a time

Scorer = Callable[[Rows], Floats]  # rows of the matrix → scores [rows × items]; -inf: not to be recommended


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What was bought in [cut, until) by whom the matrix, which is as of the cut, knows.

    rows: the matrix rows of the customers judged, ascending. bought: for each slice, CSR [rows × items] of 0/1.
    newcomers: customers who bought in the window without history, and so are not judged.
    """

    matrix: InteractionMatrix
    cut: datetime
    until: datetime
    rows: NDArray[np.intp]
    bought: dict[str, csr_matrix]
    newcomers: int


def hold_out(
    matrix: InteractionMatrix,
    purchases: pa.Table,
    cut: datetime,
    until: datetime,
    *,
    seed: int = 0,
    most_customers: int = 50_000,
) -> HeldOut:
    """The test of one cut, returns before `until` netted; of more than most_customers, a sample by seed.

    Raises InputError if nobody with history bought a known item in the window.
    """
    window = purchases_between(purchases, cut, until)
    bought = bought_matrix(window, matrix.customers, matrix.items)
    rows = np.flatnonzero(np.diff(bought.indptr))
    if not len(rows):
        raise InputError(
            f"purchases: none from {cut.isoformat()} to {until.isoformat()} by a customer known before, so no model "
            "can be judged; choose an as-of instant that the purchases reach, or a longer train.window_days"
        )
    if len(rows) > most_customers:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most_customers, replace=False))
    bought, known = bought[rows], matrix.matrix[rows] != 0
    again = bought.multiply(known).tocsr()
    first = (bought - again).tocsr()
    first.eliminate_zeros()
    who = window["customer_id"].unique()
    newcomers = len(who) - int(np.count_nonzero(matrix.customer_rows(who) >= 0))
    return HeldOut(matrix, cut, until, rows, dict(zip(SLICES, (bought, again, first), strict=True)), newcomers)


def evaluate(
    scorers: Mapping[str, Scorer],
    held_out: HeldOut,
    *,
    seed: int,
    minus: str | None = None,
    measures: Sequence[str] = METRICS,
) -> dict[str, Any]:
    """How well each model, fitted before the cut, ranks what was then bought.

    scorers: by the name to report, such as a model's `scores`; in rows and columns of the held-out matrix.
    minus: the model that each other one is compared to, customer by customer, in "differences".
    measures: name@k, with the names of recsys.metrics.

    Returns {"cut", "until", "items", "customers", "newcomers", "rows": [{"model", "slice", "metric", "mean", "low",
    "high", "customers"}], "differences": [the same and "minus"]}, plain JSON values. The intervals are 95%; a slice in
    which nobody has anything relevant has no rows. Raises InputError if a measure is unknown.
    """
    kinds = {measure: split_metric(measure) for measure in measures}
    matrix, longest = held_out.matrix, max(k for _, k in kinds.values())
    buyers = np.bincount(matrix.matrix.indices, minlength=len(matrix.items))
    ranked = {name: rank_slices(scorer, held_out, longest) for name, scorer in scorers.items()}
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for part, bought in held_out.bought.items():
        judged = np.flatnonzero(np.diff(bought.indptr))
        if not len(judged):
            continue
        values, figures = {}, {}
        for name in scorers:
            lists = ranked[name][part][judged]
            for measure, (kind, k) in kinds.items():
                if kind == "coverage":
                    share, error = metrics.coverage(lists, len(matrix.items), k)
                    figures[name, measure] = share, max(share - 1.96 * error, 0.0), min(share + 1.96 * error, 1.0)
                elif kind == "novelty":
                    values[name, measure] = metrics.novelty(lists, buyers, len(matrix.customers), k)
                else:
                    values[name, measure] = PER_CUSTOMER[kind](lists, bought[judged], k)
        figures |= _figures(values, seed)
        rows += [_row(name, part, measure, figures, len(judged)) for name in scorers for measure in measures]
        apart = {(n, m): value - values[minus, m] for (n, m), value in values.items() if minus not in (None, n)}
        figures = _figures(apart, seed)
        differences += [_row(name, part, measure, figures, len(judged), minus=minus) for name, measure in apart]
    return {
        "cut": held_out.cut.isoformat(),
        "until": held_out.until.isoformat(),
        "items": len(matrix.items),
        "customers": len(held_out.rows),
        "newcomers": held_out.newcomers,
        "rows": rows,
        "differences": differences,
    }


def mean_of(evaluation: Mapping[str, Any], model: str, metric: str, part: str = "all") -> float:
    """One figure of an evaluation. Raises KeyError if it was not taken."""
    for row in evaluation["rows"]:
        if (row["model"], row["metric"], row["slice"]) == (model, metric, part):
            return row["mean"]
    raise KeyError((model, metric, part))


def best(evaluation: Mapping[str, Any], models: Sequence[str], metric: str) -> str:
    """The model with the highest mean in slice `all`; of equals, the one named first."""
    return max(models, key=lambda model: mean_of(evaluation, model, metric))


def purchases_between(purchases: pa.Table, start: datetime, until: datetime) -> pa.Table:
    """The purchases in [start, until) that had not been taken back before `until`."""
    net = net_purchases(purchases, until)
    return net.filter(pc.greater_equal(net["occurred_at"], pa.scalar(start, INSTANT)))


def bought_matrix(purchases: pa.Table, customers: pa.StringArray, items: pa.StringArray) -> csr_matrix:
    """CSR float32 [customers × items], 1 where a purchase stands; lines of other customers and items are left out."""
    row = pc.index_in(purchases["customer_id"], value_set=customers)
    column = pc.index_in(purchases["item_id"], value_set=items)
    known = pc.and_(row.is_valid(), column.is_valid())
    cells = (row.filter(known).to_numpy(), column.filter(known).to_numpy())
    counted = csr_matrix((np.ones(len(cells[0]), np.float32), cells), shape=(len(customers), len(items)))
    counted.data[:] = 1
    return counted


def rank_slices(scorer: Scorer, held_out: HeldOut, k: int) -> dict[str, NDArray[np.int32]]:
    """For each slice, the k best candidates of each judged customer, int32 [rows × k]; -1 where there are no more."""
    lists: dict[str, list[NDArray[np.int32]]] = {part: [] for part in SLICES}
    block = max(1, BLOCK_CELLS // max(1, len(held_out.matrix.items)))
    for start in range(0, len(held_out.rows), block):
        rows = held_out.rows[start : start + block]
        scores = scorer(rows)
        known = held_out.matrix.matrix[rows].toarray() != 0
        lists["all"].append(rank(scores, k))
        lists["repeats"].append(rank(np.where(known, scores, -np.inf), k))
        lists["discoveries"].append(rank(np.where(known, -np.inf, scores), k))
    return {part: np.concatenate(blocks) for part, blocks in lists.items()}


def rank(scores: NDArray[np.floating], k: int) -> NDArray[np.int32]:
    """The k best columns of each row, best first, equals by column; -1 where fewer have a score above -inf.

    >>> rank(np.array([[0.5, 2.0, 2.0, -np.inf]]), 4).tolist()
    [[1, 2, 0, -1]]
    """
    top = np.full((len(scores), k), -1, np.int32)
    if scores.shape[1] > k:
        least = np.partition(scores, -k, axis=1)[:, -k, None]
        row, column = np.nonzero((scores >= least) & (scores > -np.inf))
    else:
        row, column = np.nonzero(scores > -np.inf)
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < k
    top[row[kept], place[kept]] = column[kept]
    return top


def translated(model: Recommender, own: InteractionMatrix, matrix: InteractionMatrix) -> Scorer:
    """A model fitted on another matrix, scoring in rows and columns of this one: as it would do if it still served.

    A customer it does not know has no history for it; an item it does not know it does not recommend.
    """
    row_of, column_of = own.customer_rows(matrix.customers), own.item_rows(matrix.items)
    known = np.flatnonzero(column_of >= 0)

    def scorer(rows: Rows) -> Floats:
        out = np.full((len(rows), len(matrix.items)), -np.inf, np.float32)
        out[:, known] = model.scores(row_of[rows], column_of[known])
        return out

    return scorer


def split_metric(metric: str) -> tuple[str, int]:
    """'ndcg@10' → ('ndcg', 10). Raises InputError."""
    kind, _, k = metric.partition("@")
    if kind not in (*PER_CUSTOMER, "coverage", "novelty") or not k.isdecimal() or not 0 < int(k) <= 1000:
        raise InputError(f"metric: expected a name and a length such as {', '.join(METRICS)}, got {metric!r}")
    return kind, int(k)


Key = tuple[str, str]  # model, metric


def _figures(values: Mapping[Key, NDArray[np.float64]], seed: int) -> dict[Key, tuple[float, float, float]]:
    """Mean, low and high of each column of values."""
    if not values:
        return {}
    table = np.column_stack(list(values.values()))
    low, high = metrics.interval(table, seed)
    return dict(zip(values, zip(table.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True), strict=True))


def _row(
    name: str, part: str, measure: str, figures: Mapping[Key, tuple[float, float, float]], customers: int, **more: Any
) -> dict[str, Any]:
    mean, low, high = figures[name, measure]
    found = {"model": name, "slice": part, "metric": measure, "mean": mean, "low": low, "high": high}
    return {**found, "customers": customers, **more}
