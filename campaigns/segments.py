"""What a customer's past says of them, as columns for predicates: how lately, often and much they buy, where they are
on their journey, what they like, and how much they wait for discounts.

Everything is worked out by DuckDB from facts before an instant, and may go to disk where memory is short.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from campaigns.audience import Rows, rows_of
from campaigns.predicates import columns_of, open_sandbox
from campaigns.spec import Campaign
from campaigns.tables import CUSTOMERS, EVENTS, RESPONSES, SEGMENTS, SERVICE_CASES
from recsys.tables import ITEMS, PURCHASES

YEAR = 365  # days that orders, spend and tastes are taken from
# Days for which a step of the journey lasts.
RETURNING, DELIVERING, IN_THE_CART, REPLYING = 14, 3, 7, 14

# What a column comes from: tables and columns that must not be empty; one of several will do.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "age": ("customers.birth_date",),
    "birthday_in": ("customers.birth_date",),
    "points_expire_in": ("customers.points_expire_on",),
    **dict.fromkeys(SEGMENTS.schema.names[1:], ("purchases.amount",)),
    "journey": ("purchases.amount", "events.kind"),
    "favourite_category": ("items.category",),
    "price_sensitivity": ("purchases.discount",),
}


def columns_used(campaign: Campaign) -> frozenset[str]:
    """The columns that the campaign's predicates speak of."""
    stated = [campaign.audience, *(offer.eligibility for offer in campaign.offers)]
    stated += [limit.where for limit in campaign.limits]
    return frozenset().union(*(columns_of(text) for text in stated if text))


def needs_segments(columns: Iterable[str]) -> bool:
    return not set(SEGMENTS.schema.names[1:]).isdisjoint(columns)


def check_columns(campaign: Campaign, filled: Mapping[str, bool]) -> list[str]:
    """A line for each column that predicates speak of and that no data stand behind.

    filled: "customers.tier" → whether any row has a value there; see needed_data for the names.
    """
    faults = []
    for column in sorted(columns_used(campaign)):
        sources = sources_of(column)
        if not any(filled[source] for source in sources):
            wanted = " or ".join(sources)
            tables = " or ".join(f"[sources.{source.partition('.')[0]}]" for source in sources)
            faults.append(
                f"{column}: no data stand behind it: {wanted} has no value; map it in {tables} of larisma.toml"
            )
    return faults


def sources_of(column: str) -> tuple[str, ...]:
    """Where a column of predicates comes from: "customers.tier"."""
    return NEEDS.get(column, (f"customers.{column}",))


def segment_table(
    customers: Rows,
    purchases: Rows,
    items: Rows,
    *,
    as_of: datetime,
    timezone: str = "Asia/Jakarta",
    service_cases: Rows | None = None,
    events: Rows | None = None,
    responses: Rows | None = None,
    lifetime: pa.Table | None = None,
    memory: str | None = None,
) -> pa.Table:
    """SEGMENTS: a row for each customer, in order of customer_id, from facts before as_of.

    purchases: net of returns or not; what is returned takes off from spend. timezone: in which days are counted.
    lifetime: customer_id, lifetime_value in rupiah; None: not known. memory: see open_sandbox.
    """
    if lifetime is None:
        lifetime = _LIFETIME.empty_table()
    with open_sandbox(timezone, memory=memory) as connection:
        given: dict[str, Any] = {
            "customers": rows_of(customers, CUSTOMERS),
            "purchases": rows_of(purchases, PURCHASES),
            "items": rows_of(items, ITEMS),
            "service_cases": rows_of(service_cases, SERVICE_CASES),
            "events": rows_of(events, EVENTS),
            "responses": rows_of(responses, RESPONSES),
            "lifetime": lifetime.select(_LIFETIME.names).cast(_LIFETIME),
        }
        for name, rows in given.items():
            connection.register(name, rows)
        found: pa.Table = connection.sql(_SEGMENTS, params={"as_of": as_of}).to_arrow_table()
    return found.cast(SEGMENTS.schema)


_LIFETIME = pa.schema([pa.field("customer_id", pa.string()), pa.field("lifetime_value", pa.int64())])


def _quintile(order: str) -> str:
    """1–5; equals are in the same one."""
    return f"least(5, 1 + floor(5 * percent_rank() OVER (ORDER BY {order})))"


_SEGMENTS = f"""
WITH lines AS (
    SELECT customer_id, order_id, item_id, occurred_at, kind = 'purchase' AS bought,
        CASE WHEN kind = 'purchase' THEN amount ELSE -amount END AS amount,
        CASE WHEN kind = 'purchase' THEN discount ELSE -discount END AS discount,
        occurred_at >= $as_of - INTERVAL {YEAR} DAY AS recent
    FROM purchases WHERE occurred_at < $as_of
),
totals AS (
    SELECT customer_id,
        max(occurred_at) FILTER (bought) AS last_at,
        max(occurred_at) FILTER (NOT bought) AS returned_at,
        count(DISTINCT order_id) FILTER (bought AND recent) AS orders,
        greatest(0, coalesce(sum(amount) FILTER (recent), 0)) AS spend,
        sum(amount) FILTER (recent AND discount > 0 AND bought) AS discounted,
        sum(amount) FILTER (recent AND discount IS NOT NULL AND bought) AS known
    FROM lines GROUP BY ALL
),
ranked AS (
    SELECT customer_id, {_quintile("last_at")} AS r, {_quintile("orders")} AS f, {_quintile("spend")} AS m
    FROM totals WHERE orders > 0
),
tastes AS (  -- of equal spend the first name counts
    SELECT customer_id, arg_max(category, {{'spend': spend, 'first': -place}}) AS category
    FROM (
        SELECT customer_id, category, sum(amount) AS spend,
            row_number() OVER (PARTITION BY customer_id ORDER BY category) AS place
        FROM lines JOIN items USING (item_id)
        WHERE recent AND category IS NOT NULL
        GROUP BY customer_id, category
    ) GROUP BY ALL
),
cases AS (
    SELECT customer_id, bool_or(kind = 'return') AS in_return,
        bool_or(kind IN ('complaint', 'late_delivery')) AS waiting
    FROM service_cases WHERE opened_at < $as_of AND (closed_at IS NULL OR closed_at >= $as_of) GROUP BY ALL
),
carts AS (
    SELECT customer_id, max(events."at") AS last_at
    FROM events WHERE kind = 'cart' AND events."at" < $as_of GROUP BY ALL
),
replies AS (
    SELECT customer_id, max(responses."at") AS last_at
    FROM responses WHERE event IN ('opened', 'clicked', 'redeemed') AND responses."at" < $as_of GROUP BY ALL
)
SELECT
    customers.customer_id,
    date_diff('day', CAST(totals.last_at AS DATE), CAST($as_of AS DATE)) AS recency_days,
    coalesce(totals.orders, 0) AS orders,
    CAST(coalesce(totals.spend, 0) AS BIGINT) AS spend,
    CAST(r AS BIGINT) AS recency_quintile,
    CAST(f AS BIGINT) AS frequency_quintile,
    CAST(m AS BIGINT) AS monetary_quintile,
    lifetime.lifetime_value,
    CASE WHEN in_return OR returned_at >= $as_of - INTERVAL {RETURNING} DAY THEN 'return'
         WHEN waiting THEN 'support'
         WHEN totals.last_at >= $as_of - INTERVAL {DELIVERING} DAY THEN 'delivery'
         WHEN carts.last_at >= $as_of - INTERVAL {IN_THE_CART} DAY
             AND carts.last_at > coalesce(totals.last_at, '-infinity') THEN 'transaction'
         WHEN replies.last_at >= $as_of - INTERVAL {REPLYING} DAY THEN 'promotion'
         ELSE 'insight' END AS journey,
    tastes.category AS favourite_category,
    CAST(coalesce(discounted, 0) AS DOUBLE) / known AS price_sensitivity
FROM customers
LEFT JOIN totals ON customers.customer_id = totals.customer_id
LEFT JOIN ranked ON customers.customer_id = ranked.customer_id
LEFT JOIN tastes ON customers.customer_id = tastes.customer_id
LEFT JOIN cases ON customers.customer_id = cases.customer_id
LEFT JOIN carts ON customers.customer_id = carts.customer_id
LEFT JOIN replies ON customers.customer_id = replies.customer_id
LEFT JOIN lifetime ON customers.customer_id = lifetime.customer_id
WHERE customers.joined_at IS NULL OR customers.joined_at < $as_of
ORDER BY customers.customer_id
"""
