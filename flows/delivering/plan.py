"""A run's messages and what they use, as the ledger takes them in: once, whoever fires."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.dataset as ds

from campaigns.ledger import MILLIONTHS, Account, Firing, Ledger, plan
from campaigns.ledger.planning import Key, Row
from campaigns.ledger.store import milliseconds
from campaigns.predicates import open_sandbox
from flows.delivering.run import Run
from flows.delivering.waves import Instants, turns
from flows.settings import Settings
from flows.workspace import Workspace, table_files

OF_THE_NIGHT = " for the night"  # a funder's account that all campaigns of a night share
ROWS = 10_000  # in memory at a time


def put_in(
    ledger: Ledger,
    workspace: Workspace,
    settings: Settings,
    run: Run,
    *,
    approval: str | None,
    live: bool,
    now: datetime,
) -> bool:
    """Whether the run was new to the ledger. Raises LedgerError if its occurrence is there from another run."""
    unsure = settings.delivery.unsure_of.get(run.campaign_id, settings.delivery.unsure)
    unsure = unsure if live else "retry"  # a file is written anew, so a rehearsal that was killed ends whole
    firing = Firing(*run.firing, run.digest, unsure, live, approval)

    def rows(ids: Mapping[Key, int]) -> Iterator[Sequence[Row]]:
        return message_rows(workspace, run, due_at(run, settings, now), ids)

    return plan(ledger, firing, accounts(run.manifest, settings), rows, now)


def due_at(run: Run, settings: Settings, now: datetime) -> Instants:
    """When each message's turn is, see waves."""
    after = run.instants("send_after")
    start = max(milliseconds(now), int(after.min(initial=milliseconds(now))))
    return turns(after, run.blocks, start, waves_for(run, settings))


def waves_for(run: Run, settings: Settings) -> Any:
    return settings.delivery.waves_of.get(run.campaign_id, settings.delivery.waves)


# --- accounts --------------------------------------------------------------------------------------------------------


def night_of(manifest: Mapping[str, Any], settings: Settings) -> str:
    """The local day on which a run was decided; what it shares, it shares with all of that day."""
    decided = datetime.fromisoformat(manifest["decide_at"]).astimezone(UTC)
    return decided.astimezone(ZoneInfo(settings.timezone)).date().isoformat()


def accounts(manifest: Mapping[str, Any], settings: Settings) -> list[Account]:
    """What a run may spend: of each funder's budget, of what the night leaves them, and of each offer's quota."""
    found = [Account("budget", row["funder"], int(row["limit"])) for row in manifest["budgets"]]
    night = night_of(manifest, settings)
    for row in manifest["night"]["budgets"]:
        ceiling = settings.night.budgets.get(row["funder"], int(row["limit"]))
        found.append(Account("budget", row["funder"] + OF_THE_NIGHT, ceiling, night))
    limited = [(offer["offer_id"], offer["quota"]["limit"]) for offer in manifest["offers"] if offer["quota"]]
    return found + [Account("quota", offer, limit * MILLIONTHS) for offer, limit in limited]


def budget_accounts(ids: Mapping[Key, int]) -> list[tuple[str, int]]:
    """(funder, account): a funder may have two, of the campaign and of the night."""
    return [(name.removesuffix(OF_THE_NIGHT), number) for (kind, name), number in ids.items() if kind == "budget"]


Kind = Literal["redeemed", "sent"]


def chances(manifest: Mapping[str, Any]) -> dict[tuple[str, str], tuple[float, Kind | None]]:
    """(offer, channel) → by what a chance of purchase is multiplied to be one of redemption, and what the quota counts.

    Runs that do not say how many baskets reach the minimum spend count as if all did.
    """
    return {
        (offer["offer_id"], channel): (
            offer.get("reach", 1.0) * max(0.0, 1 + offer["uplift"] * about.get("response", 1.0)),
            offer["quota"] and offer["quota"]["kind"],
        )
        for offer in manifest["offers"]
        for channel, about in manifest["channels"].items()
    }


# --- rows ------------------------------------------------------------------------------------------------------------


def message_rows(workspace: Workspace, run: Run, due: Instants, ids: Mapping[Key, int]) -> Iterator[Sequence[Row]]:
    """The rows of all messages in the order of the file, in blocks.

    A chance is counted in whole millionths, rounded down, so that what was decided within a quota also fits it here.
    """
    budgets = budget_accounts(ids)
    factors = [
        (offer, channel, factor, quota == "sent", ids["quota", offer])
        for (offer, channel), (factor, quota) in chances(run.manifest).items()
        if quota
    ]
    with open_sandbox("UTC") as connection:
        light = run.messages.append_column("due_at", pa.array(due)).append_column("n", pa.array(range(len(due))))
        connection.register("messages", light)
        connection.register("decisions", ds.dataset(str(run.folder / "decisions.parquet")))
        connection.register("customers", _customers(workspace))
        connection.register("budgets", _table(budgets, {"funder": pa.string(), "id": pa.int64()}))
        kinds = {"offer_id": pa.string(), "channel": pa.string(), "factor": pa.float64(), "each": pa.bool_()}
        connection.register("quotas", _table(factors, {**kinds, "id": pa.int64()}))
        found = connection.execute(_ROWS, {"millionths": MILLIONTHS})
        while block := found.fetchmany(ROWS):
            yield block


def _customers(workspace: Workspace) -> ds.Dataset | pa.Table:
    """Addresses as they are now: of a mail the ledger keeps the domain."""
    schema = pa.schema([(name, pa.string()) for name in ("customer_id", "person_id", "email")])
    files = [str(path) for path in table_files(workspace, "customers")]
    return ds.dataset(files, schema=schema) if files else schema.empty_table()


def _table(rows: Sequence[tuple[Any, ...]], kinds: Mapping[str, pa.DataType]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    return pa.table({name: pa.array(column, kinds[name]) for name, column in zip(kinds, columns, strict=True)})


# Offers' and funders' ids are slugs, so that they may stand in JSON as they are.
_ROWS = """
WITH given AS (SELECT * FROM decisions WHERE arm = 'treatment' AND offer_id <> ''),
used AS (
    SELECT customer_id, channel, id, CAST(sum(cost.amount) AS BIGINT) AS amount
    FROM (SELECT customer_id, channel, unnest(costs) AS cost FROM given) JOIN budgets ON cost.funder = budgets.funder
    GROUP BY ALL
    UNION ALL
    SELECT customer_id, given.channel, id,
        CAST(sum(CASE WHEN each THEN $millionths ELSE floor(least(1.0, propensity * factor) * $millionths) END)
            AS BIGINT)
    FROM given JOIN quotas ON given.offer_id = quotas.offer_id AND given.channel = quotas.channel
    GROUP BY ALL
),
uses AS (
    SELECT customer_id, channel, '[' || string_agg('[' || id || ',' || amount || ']', ',' ORDER BY id) || ']' AS uses
    FROM used WHERE amount > 0 GROUP BY ALL
),
offers AS (
    SELECT customer_id, channel, '["' || string_agg(DISTINCT offer_id, '","' ORDER BY offer_id) || '"]' AS offers
    FROM given GROUP BY ALL
)
SELECT message_id, messages.customer_id, coalesce(nullif(person_id, ''), messages.customer_id), messages.channel,
    CASE WHEN messages.channel = 'email' THEN lower(regexp_extract(coalesce(email, ''), '[^@]*$')) ELSE '' END,
    due_at, epoch_ms(send_before), coalesce(offers, '[]'), coalesce(uses, '[]')
FROM messages
LEFT JOIN customers ON messages.customer_id = customers.customer_id
LEFT JOIN offers ON messages.customer_id = offers.customer_id AND messages.channel = offers.channel
LEFT JOIN uses ON messages.customer_id = uses.customer_id AND messages.channel = uses.channel
ORDER BY n
"""
