"""What a new model must pass before it serves, each check by its name. Where one fails, the last good model goes on.

In their order: what a matrix can hold, what is left of what served (catalogue, customers, purchases by their ids), what
a model can hold, and whether it foresees what was bought after its cut.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow.compute as pc

from flows.champion import Champion
from flows.workspace import RunError
from recsys.artifact import not_finite
from recsys.evaluation import mean_of
from recsys.interactions import InteractionMatrix
from recsys.models import Recommender

MOST_ORDERS = 100.0  # of one item by one customer, at which the matrix caps its cells
MOST = 1e8  # far more than any number of a model
LEAST_KEPT = 0.6  # of what served: less cannot be one night's change
LEAST_METRIC = 0.5  # of what the model that serves reached on its own window


class RefusedModel(RunError):  # noqa: N818
    """A model failed a check, which the message names; the one that serves goes on serving."""

    def __init__(self, check: str, found: str) -> None:
        self.check = check
        super().__init__(f"new model refused, {check}: {found}; the last good model goes on serving")


def check_matrix(matrix: InteractionMatrix) -> None:
    """Cells are counts of orders, and ids stand once each, in order. Raises RefusedModel."""
    cells = matrix.matrix.data
    bad = cells[~((cells >= 0) & (cells <= MOST_ORDERS))]  # NaN is neither
    if len(bad):
        raise RefusedModel(
            "a weight that orders cannot have", f"{len(bad)} of {len(cells)} cells, the first is {bad[0]:g}"
        )
    for what, ids in (("customers", matrix.customers), ("items", matrix.items)):
        if len(ids) > 1 and not pc.all(pc.less(ids[:-1], ids[1:])).as_py():
            raise RefusedModel("ids out of order", f"the {what} of the matrix are not sorted, or stand there twice")


def check_against_serving(matrix: InteractionMatrix, serving: Champion | None) -> None:
    """The new matrix still holds what the serving model's held, under the same ids. Raises RefusedModel.

    Purchases only ever come in, and some are returned; so of a night's items, customers and purchases nearly all are
    there the night after. Of ids that were shuffled all are there, but with other people's purchases, or other items'.
    """
    if serving is None:
        return
    served = serving.serving.matrix
    items, customers = matrix.item_rows(served.items), matrix.customer_rows(served.customers)
    for check, what, rows in (
        ("half of the catalogue is gone", "items", items),
        ("half of the customers are gone", "customers", customers),
    ):
        kept = int(np.count_nonzero(rows >= 0))
        if kept < LEAST_KEPT * len(rows):
            raise RefusedModel(check, f"{kept} are left of the {len(rows)} {what} of the model that serves")
    before = served.matrix.tocoo()
    row, column = customers[before.row], items[before.col]
    known = (row >= 0) & (column >= 0)
    width = max(len(matrix.items), 1)
    now = np.repeat(np.arange(len(matrix.customers)), np.diff(matrix.matrix.indptr)) * width + matrix.matrix.indices
    kept = int(np.isin(row[known].astype(np.int64) * width + column[known], now).sum())
    if kept < LEAST_KEPT * np.count_nonzero(known):
        raise RefusedModel(
            "purchases stand under other ids",
            f"{kept} are left of {np.count_nonzero(known)} that {serving.id} knows of the same customers and items; if "
            "the shop has given new ids, train in a workspace of their own",
        )


def check_model(model: Recommender) -> None:
    """Its numbers are finite and of a size that models have. Raises RefusedModel."""
    bad = not_finite(model)
    if bad:
        raise RefusedModel("numbers that are not finite", f"{', '.join(bad)} of {model.name} hold NaN or infinity")
    huge = sorted(
        name
        for name, part in model.arrays().items()
        if part.dtype.kind == "f" and part.size and np.abs(part).max() > MOST
    )
    if huge:
        raise RefusedModel("numbers beyond any score", f"{', '.join(huge)} of {model.name} go beyond {MOST:g}")


def check_evaluation(
    evaluation: Mapping[str, Any], compared: str, serving: Champion | None, metric: str, tolerance: float
) -> None:
    """The winner foresees what was bought after the cut, about as well as what serves. Raises RefusedModel.

    compared: the name under which the model that serves was judged on the same window.
    """
    if serving is None:
        return
    rows = evaluation["rows"]
    now, before = mean_of(rows, evaluation["best"], metric), mean_of(rows, compared, metric)
    if now < before * (1 - tolerance):
        raise RefusedModel(
            "worse than what serves",
            f"{metric} {now:.4f}, against {before:.4f} of {serving.id} on the same window; train.tolerance is "
            f"{tolerance:.0%}",
        )
    once = serving.manifest["metrics"].get(metric, 0.0)
    most = next(r["high"] for r in rows if (r["model"], r["slice"], r["metric"]) == (evaluation["best"], "all", metric))
    if most < min(LEAST_METRIC, 1 - tolerance) * once:
        raise RefusedModel(
            "history no longer tells what is bought",
            f"{metric} is {now:.4f}, at most {most:.4f}, where {serving.id} had {once:.4f} on its own window; the ids "
            "of the latest purchases may be wrong",
        )
