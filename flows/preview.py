"""A run's messages as they would go: one customer's as files, or those of people who differ most on one page.

What is written is what would be handed to the channels, with its unsubscribe link signed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from flows.deciding.run import file_name
from flows.delivering.parcels import as_sent
from flows.explain import last_run, rows_of
from flows.keys import workspace_keys
from flows.reporting.preview import Shown, preview_page
from flows.settings import Settings
from flows.workspace import Workspace, read_json, read_table, write_text
from recsys.tables import InputError

MOST_SAMPLES = 200
TRAITS = {"language": 8.0, "channel": 4.0, "tier": 4.0, "salutation": 2.0, "zone": 2.0, "offers": 2.0, "offer": 1.0}
EXTREMES = {  # why somebody is picked → the order that they come first in
    "longest_name": "name_length desc",
    "no_name": "name_length",
    "dearest": "spend desc",
    "cheapest": "spend",
    "newest": "joined_at desc nulls last",
    "most_offers": "offers desc, items desc",
    "most_items": "items desc",
    "longest_mail": "size desc",
}
_FACTS = """
    select customer_id, m.channel, m.language, coalesce(tier, '') as tier, joined_at, coalesce(timezone, '') as zone,
        coalesce(salutation, '') as salutation, length(coalesce(name, '')) as name_length,
        coalesce(offers, 0) as offers, coalesce(offer, '') as offer, coalesce(items, 0) as items,
        coalesce(spend, 0) as spend, length(body_text) as size
    from messages m left join customers using (customer_id)
    left join (
        select customer_id, count(*) filter (offer_id <> '') as offers, sum(len(item_ids)) as items,
            arg_min(offer_id, position) as offer, sum(list_sum([cost.amount for cost in costs])) as spend
        from decisions where arm = 'treatment' group by customer_id
    ) using (customer_id)"""


@dataclass(frozen=True)
class Pick:
    """why: names of EXTREMES, and trait=value of what nobody picked before has."""

    customer_id: str
    why: tuple[str, ...]


def preview_messages(workspace: Workspace, settings: Settings, campaign_id: str, customer: str, out: Path) -> list[str]:
    """Writes the customer's messages as they would go: mail as .html and .txt, push as .json; returns the paths.

    Raises InputError if nothing is sent to the customer.
    """
    run = last_run(workspace, campaign_id)
    messages = rows_of(run / "messages.parquet", customer)
    if not messages:
        raise InputError(
            f"customer {customer!r}: {campaign_id} sends them nothing; "
            f"larisma explain {campaign_id} {customer} --workspace {workspace.root} says why"
        )
    keys = workspace_keys(workspace, settings)
    return [
        str(path)
        for message in messages
        for path in write_message(as_sent(message, keys, settings.optout_url), campaign_id, out)
    ]


def preview_samples(
    workspace: Workspace, settings: Settings, campaign_id: str, count: int, out: Path, language: str
) -> dict[str, Any]:
    """Writes the messages of up to `count` people who differ most, and CAMPAIGN-samples.html that shows them all.

    Returns {"people": [{"customer_id", "why"}], "wrote": paths, the page first}. The same run gives the same people.
    Raises InputError if the run sends nothing.
    """
    if not 1 <= count <= MOST_SAMPLES:
        raise InputError(f"--sample: expected 1 to {MOST_SAMPLES} people, got {count}")
    run = last_run(workspace, campaign_id)
    manifest = read_json(run / "manifest.json")
    customers = read_table(workspace, "customers", as_of=datetime.fromisoformat(manifest["as_of"]))
    picks = differing(
        pq.read_table(run / "messages.parquet"), pq.read_table(run / "decisions.parquet"), customers, count
    )
    if not picks:
        raise InputError(f"campaign {campaign_id}: its run {manifest['occurrence']} sends nothing to anybody")
    keys, shown, wrote = workspace_keys(workspace, settings), list[Shown](), list[Path]()
    for pick in picks:
        for row in rows_of(run / "messages.parquet", pick.customer_id):
            message = as_sent(row, keys, settings.optout_url)
            paths = write_message(message, campaign_id, out)
            shown.append(Shown(message, pick.why, [path.name for path in paths]))
            wrote += paths
    page = out / f"{campaign_id}-samples.html"
    write_text(page, preview_page(manifest, shown, shop=settings.shop, language=language, timezone=settings.timezone))
    people = [{"customer_id": pick.customer_id, "why": list(pick.why)} for pick in picks]
    return {"people": people, "wrote": [str(path) for path in (page, *wrote)]}


def write_message(message: Mapping[str, Any], campaign_id: str, out: Path) -> list[Path]:
    name = f"{campaign_id}-{file_name(message['customer_id'])}-{message['channel']}"
    files = {".html": message["body_html"], ".txt": message["body_text"], ".json": message["payload"]}
    wrote = []
    for ending, content in files.items():
        if content:
            write_text(out / f"{name}{ending}", content)
            wrote.append(out / f"{name}{ending}")
    return wrote


def differing(messages: pa.Table, decisions: pa.Table, customers: pa.Table, count: int) -> list[Pick]:
    """Up to `count` people written to, who differ most: first one for each of EXTREMES, then, one after the other,
    whoever has most of what nobody picked so far has (TRAITS). Equals are picked by id."""
    traits = ", ".join(TRAITS)
    with duckdb.connect(config={"threads": 1}) as database:
        for name, table in (("messages", messages), ("decisions", decisions), ("customers", customers)):
            database.register(name, table)
        database.execute(f"create table facts as {_FACTS}")
        extremes = {
            why: database.sql(f"select customer_id from facts order by {order}, customer_id limit 1").fetchall()
            for why, order in EXTREMES.items()
        }
        kinds = _rows(database, f"select min(customer_id) as customer_id, {traits} from facts group by {traits}")
        few = _rows(database, f"select customer_id, {traits} from facts order by customer_id limit {count}")
        picked: dict[str, list[str]] = {}
        for why, found in extremes.items():
            for (who,) in found:
                if who in picked or len(picked) < count:
                    picked.setdefault(who, []).append(why)
        listed = ", ".join("'" + who.replace("'", "''") + "'" for who in picked) or "null"
        first = _rows(database, f"select customer_id, {traits} from facts where customer_id in ({listed})")
    seen = Counter(trait for row in first for trait in _traits(row))
    waiting = [row for row in kinds if row["customer_id"] not in picked]
    while waiting and len(picked) < count:
        best = max(waiting, key=lambda row: sum(TRAITS[one[0]] / (1 + 9 * seen[one]) for one in _traits(row)))
        waiting.remove(best)
        picked[best["customer_id"]] = [f"{name}={value}" for name, value in _traits(best) if not seen[name, value]]
        seen.update(_traits(best))
    for row in few:
        if len(picked) < count:
            picked.setdefault(row["customer_id"], [])
    return [Pick(who, tuple(why)) for who, why in picked.items()]


def _rows(database: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = database.sql(f"select * from ({query}) order by customer_id").to_arrow_table()
    return found.to_pylist()


def _traits(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, row[name]) for name in TRAITS]
