"""How much a night saves that starts from the factors of the night before, or from a sketch of all purchases:
python tests/benchmarks/speed.py training"""

from datetime import UTC, datetime, timedelta

import numpy as np
from implicit.cpu import _als
from scipy.sparse import csr_matrix
from shop import purchases
from stopwatch import medians, row

from recsys.evaluation import evaluate, hold_out
from recsys.interactions import build_matrix
from recsys.models import LinearModel, fit_als

LINES, CUSTOMERS, ITEMS = 5_000_000, 100_000, 10_000
TODAY, UNTIL = datetime(2017, 12, 1, tzinfo=UTC), datetime(2017, 12, 29, tzinfo=UTC)


def loss(model: LinearModel) -> float:
    """What alternating least squares makes small, as implicit counts it."""
    cells = csr_matrix((model.confidence, model.indices, model.indptr), model.shape)
    return _als.calculate_loss(cells, model.customer_factors, model.item_factors, model.regularization, num_threads=0)


def rows(scale: float = 1.0) -> list[tuple[str, ...]]:
    lines = purchases(int(LINES * scale), int(CUSTOMERS * scale), ITEMS)
    before, now = build_matrix(lines, TODAY - timedelta(days=1)), build_matrix(lines, TODAY)
    yesterday = fit_als(before.matrix)
    row_of, column_of = before.customer_rows(now.customers), before.item_rows(now.items)
    start = (
        np.where((row_of >= 0)[:, None], yesterday.customer_factors[row_of], 0).astype(np.float32),
        np.where((column_of >= 0)[:, None], yesterday.item_factors[column_of], 0).astype(np.float32),
    )
    sample = now.matrix.shape[0] // 10
    fits = {"cold": {}, "warm": {"start": start}, "sketched": {"sample": sample}}
    models: dict[str, LinearModel] = {}

    def fit(name: str) -> None:
        models[name] = fit_als(now.matrix, **fits[name])

    took = medians({name: lambda name=name: fit(name) for name in fits})
    held_out = hold_out(now, lines, TODAY, UNTIL, seed=1, most_customers=20_000)
    judged = evaluate({name: model.scores for name, model in models.items()}, held_out, seed=1, measures=["ndcg@10"])
    quality = {(r["model"], r["slice"]): r["mean"] for r in judged["rows"]}
    above = loss(models["warm"]) / loss(models["cold"]) - 1
    kept = {part: quality["sketched", part] / quality["cold", part] for part in ("all", "discoveries")}
    size = f"{now.matrix.shape[0]:,} customers, {now.matrix.nnz:,} cells"
    cold = f"{took['cold']:.1f} s"
    warm, sketched = took["warm"] / took["cold"], took["sketched"] / took["cold"]
    return [
        row(
            f"ALS from yesterday's factors, {size}",
            f"{took['warm']:.1f} s, loss {above:+.3%}",
            "cold fit",
            cold,
            warm,
            "≤ 0.2 ×, loss ≤ +0.1%",
            warm <= 0.2 and above <= 0.001,
        ),
        row(
            "ALS from a sketch of all purchases, two iterations",
            f"{took['sketched']:.1f} s, NDCG@10 {kept['all']:.1%}, of discoveries {kept['discoveries']:.1%}",
            "cold fit",
            f"{cold}, NDCG@10 {quality['cold', 'all']:.4f}, of discoveries {quality['cold', 'discoveries']:.4f}",
            sketched,
            "≤ 0.25 ×, NDCG@10 ≥ 99%",
            sketched <= 0.25 and kept["all"] >= 0.99,
        ),
    ]
