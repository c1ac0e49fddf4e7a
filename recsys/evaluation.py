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
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys import metrics
from recsys.interactions import InteractionMatrix, net_purchases
from recsys.models import Floats, Recommender, Rows
from recsys.ranking import rank
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
    metric: str = "ndcg@10",
    contenders: Sequence[str] | None = None,
    baselines: Sequence[str] = (),
    measures: Sequence[str] = METRICS,
) -> dict[str, Any]:
    """How well each model, fitted before the cut, ranks what was then bought, and which is best.

    scorers: by the name to report, such as a model's `scores`; in rows and columns of the held-out matrix.
    metric: the winner has the highest mean of it in slice `all`; of equals, the one named first. Only contenders (null:
    all) can win. baselines: the names of models that all others are compared with, as the winner is with every one.
    measures: name@k, with the names of recsys.metrics; metric is taken too.

    Returns {"cut", "until", "items", "customers", "newcomers", "metric", "best", "rows": [{"model", "slice", "metric",
    "mean", "low", "high", "customers"}], "differences": [the same and "against": the model minus that one, customer by
    customer]}, plain JSON values. The intervals are 95%; a slice in which nobody has anything relevant has no rows.
    Raises InputError if a measure is unknown.
    """
    kinds = {measure: split_metric(measure) for measure in dict.fromkeys([*measures, metric])}
    longest = max(k for _, k in kinds.values())
    ranked = {name: rank_slices(scorer, held_out, longest) for name, scorer in scorers.items()}
    values: dict[str, dict[Key, NDArray[np.float64]]] = {part: {} for part in SLICES}
    rows = []
    for part, bought in held_out.bought.items():
        judged = np.flatnonzero(np.diff(bought.indptr))
        if len(judged):
            lists = {name: ranked[name][part][judged] for name in scorers}
            values[part] = _per_customer(lists, bought[judged], held_out.matrix, kinds)
            figures = _figures(values[part], seed) | _coverages(lists, held_out.matrix, kinds)
            order = [(name, measure) for name in scorers for measure in kinds]
            rows += [_row(*key, part, figures[key], len(judged)) for key in order]
    winner = best(rows, contenders or list(scorers), metric)
    pairs = [(winner, other) for other in scorers if other != winner]
    pairs += [(name, base) for name in scorers for base in baselines if name not in (winner, base)]
    differences = []
    for part, found in values.items():
        measured = dict.fromkeys(measure for _, measure in found)
        apart = {(*pair, m): found[pair[0], m] - found[pair[1], m] for pair in pairs for m in measured}
        for (name, against, measure), figure in _figures(apart, seed).items():
            row = _row(name, measure, part, figure, len(apart[name, against, measure]))
            differences.append(row | {"against": against})
    return {
        "cut": held_out.cut.isoformat(),
        "until": held_out.until.isoformat(),
        "items": len(held_out.matrix.items),
        "customers": len(held_out.rows),
        "newcomers": held_out.newcomers,
        "metric": metric,
        "best": winner,
        "rows": rows,
        "differences": differences,
    }


def mean_of(rows: Sequence[Mapping[str, Any]], model: str, metric: str, part: str = "all") -> float:
    """One figure of an evaluation's rows. Raises KeyError if it was not taken."""
    for row in rows:
        if (row["model"], row["metric"], row["slice"]) == (model, metric, part):
            return row["mean"]
    raise KeyError((model, metric, part))


def best(rows: Sequence[Mapping[str, Any]], models: Sequence[str], metric: str) -> str:
    """The model with the highest mean in slice `all`; of equals, the one named first."""
    return max(models, key=lambda model: mean_of(rows, model, metric))


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


Key = tuple[str, str]  # model, measure
Named = TypeVar("Named")
Figures = tuple[float, float, float]  # mean, low, high


def _per_customer(
    lists: Mapping[str, NDArray[np.int32]],
    bought: csr_matrix,
    matrix: InteractionMatrix,
    kinds: Mapping[str, tuple[str, int]],
) -> dict[Key, NDArray[np.float64]]:
    buyers = np.bincount(matrix.matrix.indices, minlength=len(matrix.items))
    values = {}
    for name, ranked in lists.items():
        for measure, (kind, k) in kinds.items():
            if kind == "novelty":
                values[name, measure] = metrics.novelty(ranked, buyers, len(matrix.customers), k)
            elif kind in PER_CUSTOMER:
                values[name, measure] = PER_CUSTOMER[kind](ranked, bought, k)
    return values


def _coverages(
    lists: Mapping[str, NDArray[np.int32]], matrix: InteractionMatrix, kinds: Mapping[str, tuple[str, int]]
) -> dict[Key, Figures]:
    found = {}
    for name, ranked in lists.items():
        for measure in (measure for measure, (kind, _) in kinds.items() if kind == "coverage"):
            share, error = metrics.coverage(ranked, len(matrix.items), kinds[measure][1])
            found[name, measure] = share, max(share - 1.96 * error, 0.0), min(share + 1.96 * error, 1.0)
    return found


def _figures(values: Mapping[Named, NDArray[np.float64]], seed: int) -> dict[Named, Figures]:
    """Mean and bootstrap interval of each column of values."""
    if not values:
        return {}
    table = np.column_stack(list(values.values()))
    low, high = metrics.interval(table, seed)
    return dict(zip(values, zip(table.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True), strict=True))


def _row(model: str, measure: str, part: str, figures: Figures, customers: int) -> dict[str, Any]:
    mean, low, high = figures
    row = {"model": model, "slice": part, "metric": measure, "mean": mean, "low": low, "high": high}
    return {**row, "customers": customers}
