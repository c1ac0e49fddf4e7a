"""The coupon campaigns of the Complete Journey year, as past offers, redemptions and vouchers used, in our columns.

Real: which coupons each of 27 campaigns had, for which products, and which household redeemed which on what day. Days
are those of the store; a redemption is put at noon, as its hour is not known.
"""

from pathlib import Path

import duckdb
import pyarrow as pa

from campaigns.tables import EVENTS, FEEDBACK, PAST_OFFERS
from flows.workspace import write_parquet
from recsys.tables import conform

VIEWS = ("campaign_descriptions", "coupons", "coupon_redemptions")
CAMPAIGN_ID = "'coupons-' || lpad(campaign_id::varchar, 2, '0')"
ZONE = "Asia/Jakarta"

PAST_OFFERS_SQL = f"""
    select distinct {CAMPAIGN_ID} as campaign_id, coupon_upc::varchar as offer_id, product_id::varchar as item_id,
        timezone('{ZONE}', start_date) as starts_at, timezone('{ZONE}', end_date + interval 1 day) as ends_at
    from coupons join campaign_descriptions using (campaign_id)
    order by campaign_id, offer_id, item_id"""

FEEDBACK_SQL = f"""
    select distinct {CAMPAIGN_ID} as campaign_id, household_id::varchar as customer_id, coupon_upc::varchar as offer_id,
        'redeemed' as event, timezone('{ZONE}', redemption_date + interval 12 hour) as "at"
    from coupon_redemptions
    order by campaign_id, customer_id, offer_id, "at" """

EVENTS_SQL = f"""
    select distinct household_id::varchar as customer_id, product_id::varchar as item_id, 'voucher' as kind,
        timezone('{ZONE}', {{local_time}}) as "at"
    from transactions join products using (product_id)
    where coupon_disc > 0 and quantity > 0
    order by customer_id, item_id, "at" """


def read_campaigns(database: duckdb.DuckDBPyConnection, folder: Path, *, local_time: str) -> dict[str, pa.Table]:
    """past_offers, feedback and events by name; `transactions` and `products` are views of the database already.

    folder: of the Complete Journey Parquet files. local_time: SQL of when a line of `transactions` was bought.
    """
    for name in VIEWS:
        database.read_parquet(str(folder / f"{name}.parquet")).create_view(name)
    queries = (
        (PAST_OFFERS, PAST_OFFERS_SQL),
        (FEEDBACK, FEEDBACK_SQL),
        (EVENTS, EVENTS_SQL.format(local_time=local_time)),
    )
    return {table.name: conform(database.sql(query).to_arrow_table(), table) for table, query in queries}


def write_campaigns(database: duckdb.DuckDBPyConnection, folder: Path, target: Path, *, local_time: str) -> None:
    for name, table in read_campaigns(database, folder, local_time=local_time).items():
        write_parquet(target / f"{name}.parquet", table)
