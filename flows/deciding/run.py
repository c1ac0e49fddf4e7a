"""What a run says: its decisions, its manifest, and in hindsight what was bought."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.audience import Audience
from campaigns.calendar import Occurrence
from campaigns.firing import occurrence_facts
from campaigns.measurement import hindsight
from campaigns.spec import PLACEMENTS, Campaign, ChannelName
from campaigns.tables import CHANNELS, COST, DECISIONS
from campaigns.value import written_value
from flows.approving.approvals import meaning
from flows.champion import Champion
from flows.deciding.choice import Choice, Outcome, Together
from flows.deciding.facts import (
    budget_facts,
    certificate_facts,
    channel_facts,
    limit_facts,
    night_facts,
    offer_facts,
)
from flows.deciding.picks import pick_items, read_newcomers
from flows.deciding.plan import Known
from flows.newcomers import Newcomers
from flows.settings import Settings
from flows.workspace import Workspace, checksum, write_text
from recsys.interactions import net_purchases

SAMPLES = 3  # of each channel and language
# Why people of the audience are not addressed.
CONTROL, NOT_ELIGIBLE = "control group", "no eligible offer"
NOTHING, LIMITED = "no offer worth sending", "limits reached"
NOT_AGREED = "funder has not agreed"


def decisions_table(
    campaign: Campaign, occurrence: Occurrence, champion: Champion, known: Known, choice: Choice, as_of: datetime
) -> pa.Table:
    """One row for each offer in each message, ghosts of the controls among them, in order of customer and position."""
    arms, newcomers = (choice.treatment, choice.control), read_newcomers(champion, known)
    parts = [_arm_decisions(campaign, occurrence, champion, newcomers, known, choice, arm, as_of) for arm in arms]
    return pa.concat_tables(parts).sort_by([("customer_id", "ascending")])  # stable: positions stay in order


def _arm_decisions(
    campaign: Campaign,
    occurrence: Occurrence,
    champion: Champion,
    newcomers: Newcomers,
    known: Known,
    choice: Choice,
    arm: Outcome,
    as_of: datetime,
) -> pa.Table:
    chosen = arm.chosen
    people = arm.people.take(chosen.customer)
    ids = people["customer_id"].combine_chunks()
    items, why = pick_items(campaign, champion, newcomers, known, ids, chosen.offer, chosen.channel, as_of)
    places: dict[str, list[tuple[str, int]]] = {channel: _places(campaign, channel) for channel in campaign.channels}
    placed = [places[CHANNELS[c]][p - 1] for c, p in zip(chosen.channel, chosen.position, strict=True)]
    constant = {"campaign_id": campaign.id, "occurrence": occurrence.name}
    columns = {name: pa.array([value] * len(chosen), pa.string()) for name, value in constant.items()} | {
        "customer_id": people["customer_id"],
        "arm": people["arm"],
        "bucket": people["bucket"],
        "channel": pa.array([CHANNELS[c] for c in chosen.channel], pa.string()),
        "placement": pa.array([placement for placement, _ in placed], pa.string()),
        "position": pa.array([position for _, position in placed], pa.int32()),
        "offer_id": pa.array([campaign.offers[j].id for j in chosen.offer], pa.string()),
        "item_ids": pa.array(items, pa.list_(pa.string())),
        "propensity": pa.array(arm.propensity[chosen.customer, chosen.offer].astype(np.float64)),
        "value": pa.array(written_value(chosen.value)),
        "costs": pa.array([_costs(choice.funders, row) for row in chosen.costs], pa.list_(COST)),
        "reason": pa.array(why, pa.string()),
        "code": pa.nulls(len(chosen), pa.string()),
    }
    return pa.table([columns[name] for name in DECISIONS.schema.names], schema=DECISIONS.schema)


def _places(campaign: Campaign, channel: ChannelName) -> list[tuple[str, int]]:
    """(placement, position in it) of a message's offers, best offer first."""
    placements = campaign.channels[channel].placements
    ordered = sorted(placements, key=PLACEMENTS[channel].index)
    return [(name, position) for name in ordered for position in range(1, placements[name] + 1)]


def _costs(funders: Sequence[str], amounts: Sequence[int]) -> list[dict[str, Any]]:
    return [{"funder": name, "amount": int(amount)} for name, amount in zip(funders, amounts, strict=True) if amount]


def left_out_table(audience: Audience, choice: Choice) -> pa.Table:
    """customer_id and reason of everybody who is not addressed: the funnel's steps one by one, in order of customer."""
    groups = {CONTROL: choice.control.people["customer_id"], **unaddressed(choice)}
    parts = [audience.left_out]
    for reason, people in groups.items():
        parts.append(pa.table({"customer_id": people, "reason": pa.array([reason] * len(people), pa.string())}))
    return pa.concat_tables(parts).sort_by("customer_id")


def unaddressed(choice: Choice) -> dict[str, pa.ChunkedArray]:
    """Reason → ids of the people of the treatment arm who get no message: who may get no offer; who may not yet, as its
    funder has not agreed; to whom none is worth sending; and to whom some would be, were it not for a limit."""
    arm, worth = choice.treatment, choice.worth_sending
    ids = arm.people["customer_id"]
    idle = np.ones(len(ids), np.bool_)
    idle[arm.chosen.customer] = False
    may = arm.may_get.any(axis=1)
    waits = arm.arm.waits
    groups = {
        NOT_ELIGIBLE: idle & ~may & ~waits,
        NOT_AGREED: idle & waits,
        NOTHING: idle & may & ~worth,
        LIMITED: idle & may & worth,
    }
    return {reason: ids.filter(pa.array(people)) for reason, people in groups.items()}


# --- the manifest ----------------------------------------------------------------------------------------------------


def run_manifest(
    workspace: Workspace,
    settings: Settings,
    campaign: Campaign,
    occurrence: Occurrence,
    champion: Champion,
    known: Known,
    audience: Audience,
    choice: Choice,
    together: Together,
    decisions: pa.Table,
    as_of: datetime,
) -> dict[str, Any]:
    """All that the report draws on and that says how to make the run again; plain JSON, no clock of its own."""
    solution, chosen = choice.solution, choice.treatment.chosen
    addressed = len(np.unique(chosen.customer))
    idle = unaddressed(choice)
    *left_out, _ = audience.funnel  # the last entry is the treatment arm, which is parted further
    return run_facts(workspace, settings, campaign, occurrence, as_of, choice.plan.stated) | {
        "propensity": choice.plan.learned,
        "agreements": choice.plan.agreed.agreed,
        "model": {"id": champion.id, "name": champion.name, **champion.manifest["metrics"]},
        "code": version("larisma"),
        "inputs": known.inputs,
        "funnel": [
            *([reason, people] for reason, people in left_out),
            *([reason, len(people)] for reason, people in idle.items() if len(people)),
            ["addressed", addressed],
        ],
        "channels": channel_facts(choice),
        "offers": [offer_facts(choice, j, settings.shop) for j in range(len(campaign.offers))],
        "budgets": [budget_facts(choice, f) for f in range(len(choice.funders))],
        "limits": limit_facts(choice),
        "night": night_facts(choice, together),
        "started_from": [start.said for start in together.started],
        "certificate": certificate_facts(solution.certificate),
        "first_come": {"value": choice.first_come, "lost": solution.value - choice.first_come},
        "counts": {"decisions": decisions.num_rows, "controls": choice.control.people.num_rows},
        "hindsight": None,
    }


def run_facts(
    workspace: Workspace,
    settings: Settings,
    campaign: Campaign,
    occurrence: Occurrence,
    as_of: datetime,
    stated: Campaign,
) -> dict[str, Any]:
    """What any run says of its campaign, its occurrence and the settings it was made with.

    stated: the campaign as its file states it; campaign.fingerprint is what has to be approved for the run to be sent.
    """
    return {
        "campaign": {
            "id": campaign.id,
            "name": campaign.name,
            "version": checksum(workspace.campaigns / f"{campaign.id}.yaml"),
            "fingerprint": meaning(settings, stated).whole,
        },
        "shop": settings.shop,
        "timezone": campaign.schedule.timezone,
        **occurrence_facts(occurrence),
        "as_of": as_of.isoformat(),
        "window_days": campaign.window_days,
        "decide_at": occurrence.decide_at.isoformat(),
        "margin_rate": settings.margin_rate,
        "seed": settings.train.seed,
        "control": {
            "share": campaign.control.share,
            "global_share": settings.control.global_share,
            "season": settings.control.season,
        },
    }


# --- afterwards ------------------------------------------------------------------------------------------------------


def look_back(
    campaign: Campaign,
    known: Known,
    choice: Choice,
    decisions: pa.Table,
    purchases: pa.Table,
    send_at: datetime,
    seed: int,
) -> dict[str, Any]:
    """What was bought in the window after sending, from purchases that reach beyond the decision; `short_days` says how
    many whole days of the window they do not reach."""
    end = send_at + timedelta(days=campaign.window_days)
    spent = known.purchases.group_by("customer_id").aggregate([("amount", "sum")])
    people = choice.treatment.people.select(["customer_id"]).join(spent, "customer_id")
    people = people.rename_columns(["customer_id", "spend"]).sort_by("customer_id")
    people = people.set_column(1, "spend", people["spend"].fill_null(0))
    newest = pc.max(purchases["occurred_at"]).as_py() or send_at
    found = hindsight(
        decisions,
        net_purchases(purchases, end),
        choice.plan.scopes,
        known.items["item_id"],
        [offer.id for offer in campaign.offers],
        people,
        as_of=send_at,
        days=campaign.window_days,
        seed=seed,
        eligible=choice.treatment.may_get,
    )
    return {**found, "short_days": max(0, (end - newest).days)}


SHOWN = pa.schema([pa.field("item_id", pa.string(), nullable=False), pa.field("price", pa.int64())])


def shown_items(decisions: pa.Table, items: pa.Table) -> pa.Table:
    """The items that messages show, at the prices that they tell: a delivery looks whether these still hold."""
    ids = decisions.filter(pc.equal(decisions["arm"], "treatment"))["item_ids"].combine_chunks().flatten().unique()
    return items.filter(pc.is_in(items["item_id"], ids)).select(SHOWN.names).cast(SHOWN).sort_by("item_id")


def file_checksums(folder: Path) -> dict[str, str]:
    """File → SHA-256, of a run's tables; the manifest holds them, and nothing is delivered that differs."""
    return {path.name: checksum(path) for path in sorted(folder.glob("*.parquet"))}


def sample_messages(folder: Path) -> pa.Table:
    """A few of the run's messages, of each channel and language; its mails are also written to mails/, to be opened."""
    path = folder / "messages.parquet"
    light = pq.read_table(path, columns=["message_id", "channel", "language"])
    chosen: list[str] = []
    for group in light.group_by(["channel", "language"]).aggregate([("message_id", "list")]).to_pylist():
        chosen += sorted(group["message_id_list"])[:SAMPLES]
    table = pq.read_table(path, filters=[("message_id", "in", chosen)]) if chosen else pq.read_table(path)
    for row in table.to_pylist():
        if row["body_html"]:
            write_text(folder / "mails" / f"{row['language']}-{file_name(row['customer_id'])}.html", row["body_html"])
    return table


def file_name(customer_id: str) -> str:
    """An id as a part of a file's name; ids are the retailer's own and may hold anything, slashes among it."""
    return quote(customer_id, safe=" @")
