"""How fast purchases become the matrix: python tests/benchmarks/speed.py matrix"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from shop import purchases
from stopwatch import medians, row

from recsys.interactions import build_matrix

LINES, CUSTOMERS, ITEMS = 10_000_000, 200_000, 10_000
AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
COLUMNS = ["order_id", "customer_id", "item_id", "occurred_at", "kind"]
NETTING = ["line_id", "quantity", "returned_line_id"]
GROUPED = """
    select customer_id, item_id, sum(pow(2, -age / 91)) as weight from (
        select customer_id, item_id, order_id, epoch(timestamptz '2018-01-01 00:00Z' - max(occurred_at)) / 86400 as age
        from lines where kind = 'purchase' group by all
    ) group by all"""


def rows(scale: float = 1.0) -> list[tuple[str, ...]]:
    lines = int(LINES * scale)
    found = []
    for returns, what, columns in ((0.0, "no returns", COLUMNS), (0.02, "2% returned, netted", COLUMNS + NETTING)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "purchases.parquet"
            pq.write_table(purchases(lines, int(CUSTOMERS * scale), ITEMS, returns=returns), path, compression="zstd")

            def ours(path: Path = path) -> None:
                build_matrix(pq.read_table(path, columns=COLUMNS + NETTING), AS_OF)

            def duck(path: Path = path, columns: list[str] = columns) -> None:
                lines = pq.read_table(path, columns=columns)  # noqa: F841, the query names it
                duckdb.sql(GROUPED).to_arrow_table()

            took = medians({"ours": ours, "duckdb": duck})
        ratio = took["ours"] / took["duckdb"]
        found.append(
            row(
                f"matrix from {lines:,} lines, {what}",
                f"{took['ours']:.1f} s",
                "pyarrow and DuckDB's grouping, nothing netted",
                f"{took['duckdb']:.1f} s",
                ratio,
                "≤ 1.5 ×",
                ratio <= 1.5,
            )
        )
    return found
