"""Who may be addressed out of a million made-up customers: rows a second, the most memory taken, a funnel that adds up.

    python tests/benchmarks/audience.py [--customers 1000000] [--memory 512MB]

Nine in ten persons have one account; everybody has a word about consent on each channel, five messages of the weeks
before, and eight order lines; one in fifty has a case. The facts lie in Parquet files and are read as they stream by.
"""

import argparse
import json
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds

from campaigns.audience import select_audience
from campaigns.contact import ContactPolicy
from campaigns.control import Controls
from campaigns.segments import segment_table
from campaigns.spec import Campaign
from campaigns.tables import CONSENTS, CONTACTS, CUSTOMERS, RESPONSES, SERVICE_CASES, SILENCES
from recsys.tables import ITEMS, PURCHASES, Table

AS_OF = datetime(2017, 12, 5, tzinfo=UTC)
SEND_AT = datetime(2017, 12, 11, 17, tzinfo=UTC)
AUDIENCE = "province <> 'Bali' AND (orders >= 1 OR tier = 'gold') AND NOT price_sensitivity > 0.9"
ZONES = "['Asia/Jakarta', 'Asia/Makassar', 'Asia/Jayapura']"
NAME = "'c' || lpad(CAST({} AS VARCHAR), 9, '0')"
AT = "timestamptz '2017-12-05 00:00:00+00' - to_seconds(CAST(hash({seed}, i, k) % {seconds} AS BIGINT))"

# Each table by its columns, of customer i and its k-th row.
MADE: dict[Table, tuple[int, str]] = {
    CUSTOMERS: (
        1,
        f"""{NAME.format("i")} AS customer_id, CASE WHEN i % 20 = 1 THEN {NAME.format("i - 1")} END AS person_id,
        CASE WHEN i % 50 > 0 THEN 'u' || i || '@pelanggan.example' END AS email,
        CASE WHEN i % 3 > 0 THEN ['token-' || i] END AS push_tokens, {ZONES}[1 + i % 3] AS timezone,
        ['Bandung', 'Makassar', 'Jayapura', 'Denpasar'][1 + i % 4] AS city,
        ['Jawa Barat', 'Sulawesi Selatan', 'Papua', 'Bali'][1 + i % 4] AS province,
        DATE '1950-01-01' + CAST(hash(9, i) % 22000 AS INTEGER) AS birth_date, ['gold', 'silver'][1 + i % 7] AS tier,
        timestamptz '2016-01-01 00:00:00+00' AS joined_at, CAST(hash(8, i) % 9000 AS BIGINT) AS points""",
    ),
    CONSENTS: (
        2,
        f"""{NAME.format("i")} AS customer_id, ['email', 'push'][1 + k] AS channel, 'promotion' AS purpose,
        hash(7, i, k) % 10 > 0 AS granted, {AT.format(seed=6, seconds=20_000_000)} AS changed_at""",
    ),
    SERVICE_CASES: (
        1,
        f"""{NAME.format("i * 50")} AS customer_id, ['complaint', 'late_delivery', 'return'][1 + i % 3] AS kind,
        {AT.format(seed=5, seconds=5_000_000)} AS opened_at,
        CASE WHEN i % 2 = 0 THEN timestamptz '2017-12-02 00:00:00+00' END AS closed_at""",
    ),
    SILENCES: (
        1,
        f"""{NAME.format("i * 1000")} AS customer_id, 'bereavement' AS reason,
        timestamptz '2018-01-01 00:00:00+00' AS until""",
    ),
    CONTACTS: (
        5,
        f"""{NAME.format("i")} AS customer_id, 'lama' || k AS campaign_id, ['email', 'push'][1 + i % 2] AS channel,
        {AT.format(seed=4, seconds=2_600_000)} AS sent_at,
        CASE WHEN hash(3, i, k) % 4 = 0 THEN timestamptz '2017-12-04 00:00:00+00' END AS opened_at""",
    ),
    RESPONSES: (
        1,
        f"""{NAME.format("i * 100")} AS customer_id, 'email' AS channel, 'bounced' AS event,
        {AT.format(seed=2, seconds=5_000_000)} AS "at" """,
    ),
    PURCHASES: (
        8,
        f"""'l' || i || '-' || k AS line_id, 'o' || i || '-' || (k // 2) AS order_id, {NAME.format("i")} AS customer_id,
        'i' || hash(1, i, k) % 5000 AS item_id, {AT.format(seed=0, seconds=40_000_000)} AS occurred_at,
        CASE WHEN hash(11, i, k) % 30 = 0 THEN 'return' ELSE 'purchase' END AS kind, CAST(1 AS BIGINT) AS quantity,
        CAST(5000 + hash(12, i, k) % 200000 AS BIGINT) AS amount,
        CAST(hash(13, i, k) % 3 * 500 AS BIGINT) AS discount""",
    ),
    ITEMS: (1, "'i' || i AS item_id, 'Bagian ' || i % 12 || ' > Rak ' || i % 90 AS category"),
}
SHARES = {SERVICE_CASES: 50, SILENCES: 1000, RESPONSES: 100}  # one in so many


def make(folder: Path, customers: int) -> dict[str, ds.Dataset]:
    made = {}
    with duckdb.connect(config={"memory_limit": "1GB"}) as database:
        for table, (each, columns) in MADE.items():
            rows = 5000 if table is ITEMS else customers // SHARES.get(table, 1)
            path = folder / f"{table.name}.parquet"
            query = f"SELECT {columns} FROM range({rows}) a(i), range({each}) b(k)"
            database.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
            made[table.name] = ds.dataset(str(path), schema=table.schema)
    return made


def campaign() -> Campaign:
    channel = {"capacity": 10, "placements": {"push": 1}}
    return Campaign.model_validate(
        {
            "id": "harbolnas",
            "name": "Harbolnas",
            "schedule": {"occasion": "harbolnas"},
            "window_days": 20,
            "audience": AUDIENCE,
            "channels": {"email": channel, "push": channel},
            "budgets": {"retailer": 1},
            "offers": [
                {
                    "id": "kopi",
                    "benefit": {"kind": "amount_off", "amount": 1000},
                    "scope": {"everything": True},
                    "uplift": 0.1,
                    "text": {"id": {"title": "Kopi"}},
                }
            ],
            "content": {"id": {}},
        }
    )


def measure(customers: int, memory: str) -> dict[str, Any]:
    policy = ContactPolicy.model_validate({"most": {"day": 1, "week": 2, "month": 5}, "email": {"fatigue": 100}})
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder), customers)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, busy = time.perf_counter(), time.process_time()
        segments = segment_table(
            made["customers"], made["purchases"], made["items"], as_of=AS_OF, responses=made["responses"], memory=memory
        )
        segmented = time.perf_counter()
        audience = select_audience(
            campaign(), made["customers"], made["consents"], made["service_cases"], made["silences"],
            as_of=AS_OF, send_at=SEND_AT, control_salt="salt", controls=Controls(global_share=0.05), policy=policy,
            segments=segments, contacts=made["contacts"], responses=made["responses"], memory=memory,
        )  # fmt: skip
        end, cpu = time.perf_counter(), time.process_time() - busy
    (_, total), *steps = audience.funnel
    people = audience.people
    assert total == customers == sum(count for _, count in steps)
    assert len(people["person_id"].unique()) == people.num_rows
    return {
        "customers": customers,
        "segments_s": round(segmented - start, 1),
        "audience_s": round(end - segmented, 1),
        "cpu_s": round(cpu, 1),
        "customers_per_s": round(customers / (end - start)),
        "memory_limit": memory,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "peak_mb_before": round(before / 1024),
        "funnel": audience.funnel,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--memory", default="512MB")
    given = parser.parse_args()
    print(json.dumps(measure(given.customers, given.memory), indent=2))
