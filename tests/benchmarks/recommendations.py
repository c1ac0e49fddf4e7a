"""How well each kind of model foresees what is bought: Complete Journey, weeks to 49 to learn, from 50 on to judge.

    python tests/benchmarks/recommendations.py [--json] [MODEL …]

Products of at least 10 buyers, lines with a quantity, every product a candidate. Prints each model's metrics on all,
on repeats and on discoveries with 95% intervals, by how much it is ahead of popularity and of personal frequency,
customer by customer, and how long each took to fit. The blend learns from earlier windows alone, none later than
week 49.
"""

import json
import sys
import time
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from flows.demo.data import LOCAL_TIME, PURCHASES_SQL, complete_journey, read_items
from flows.recipes import BASELINES, FITS, Material
from flows.settings import Train
from flows.views import show_evaluation
from recsys.evaluation import evaluate, hold_out
from recsys.interactions import build_matrix
from recsys.tables import PURCHASES, conform

FIRST_WEEK_JUDGED = 50
SECOND = timedelta(seconds=1)


def world() -> tuple[pa.Table, pa.Table, datetime, datetime]:
    """(purchases, items, the instant that parts learning from judging, the end)."""
    folder = complete_journey()
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("set TimeZone = 'UTC'")
        database.execute(f"create view transactions as from '{folder}/transactions.parquet' where quantity > 0")
        database.execute(f"create view products as from '{folder}/products.parquet'")
        purchases = conform(database.sql(PURCHASES_SQL).to_arrow_table(), PURCHASES)
        at = f"timezone('Asia/Jakarta', {LOCAL_TIME})"
        learned, cut, end = database.execute(
            f"select max({at}) filter (week < $1), min({at}) filter (week >= $1), max({at}) from transactions",
            [FIRST_WEEK_JUDGED],
        ).fetchall()[0]
        assert learned < cut, "weeks overlap in time"
        return purchases, read_items(database), cut, end + SECOND


def main(as_json: bool, named: list[str]) -> None:
    purchases, items, cut, end = world()
    train = Train()
    matrix = build_matrix(purchases, cut, half_life_days=train.half_life_days, min_item_buyers=train.min_item_buyers)
    material = Material(matrix, purchases, items, cut, float(train.window_days), train)
    models, seconds = {}, {}
    for name in dict.fromkeys([*BASELINES, *(named or FITS)]):
        start = time.perf_counter()
        models[name] = FITS[name](material)
        seconds[name] = round(time.perf_counter() - start, 1)
    held_out = hold_out(matrix, purchases, cut, end, seed=train.seed)
    scorers = {name: model.scores for name, model in models.items()}
    result = evaluate(scorers, held_out, seed=train.seed, metric=train.metric, baselines=BASELINES)
    result["seconds"] = seconds
    if as_json:
        print(json.dumps(result, indent=2))
        return
    show_evaluation(result)
    print("seconds to fit:", ", ".join(f"{name} {taken}" for name, taken in seconds.items()))


if __name__ == "__main__":
    main("--json" in sys.argv, [name for name in sys.argv[1:] if name != "--json"])
