"""Items made from purchase lines, where a retailer has no table of items."""

from __future__ import annotations  # see flows/ingest.py

import duckdb

from flows.intake.mapping import duck_type
from flows.intake.sources import quoted
from recsys.tables import ITEMS


def derive_items(database: duckdb.DuckDBPyConnection, lines: str | None, mapped: set[str]) -> str:
    """SQL of the items that appear in `purchases_now`, in the contract's columns.

    lines: the relation of this ingest's good purchase lines, with columns item_…; None if there were none. mapped:
    columns of items that those have. Each is the most frequent value of the lines (of equals the smallest); an item
    without one in this ingest keeps what `stored_items` says. A price that is not mapped is the median price of one
    piece, over all purchases.
    """
    database.execute(
        """create table item_prices as
        with pieces as (
            select item_id, amount / quantity as price,
                row_number() over (partition by item_id order by amount / quantity) as place,
                count(*) over (partition by item_id) as pieces
            from purchases_now where kind = 'purchase'
        )
        select item_id, round(round(avg(price), 6))::bigint as price
        from pieces where place in ((pieces + 1) // 2, (pieces + 2) // 2) group by item_id"""
    )
    columns, joins = [], []
    for field in ITEMS.schema:
        name = quoted(field.name)
        stored = f"o.{name}"
        if field.name == "item_id":
            columns.append("i.item_id")
        elif lines and field.name in mapped:
            value = quoted(f"item_{field.name}")
            relation = quoted(f"frequent_{field.name}")
            database.execute(
                f"""create table {relation} as
                with counted as (
                    select item_id, {value} as value, count(*) as lines from {lines}
                    where {value} is not null group by all
                )
                select item_id, value from counted
                qualify row_number() over (partition by item_id order by lines desc, value) = 1"""
            )
            joins.append(f"left join {relation} using (item_id)")
            columns.append(f"coalesce({relation}.value, {stored})::{duck_type(field.type)} as {name}")
        elif field.name == "price":
            columns.append("p.price")
        else:
            columns.append(stored)
    return f"""select {", ".join(columns)}, 'all' as _part
        from (select distinct item_id from purchases_now) as i
        left join stored_items as o using (item_id) left join item_prices as p using (item_id) {" ".join(joins)}
        order by item_id"""
