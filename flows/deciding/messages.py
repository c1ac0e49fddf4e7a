"""From decisions to rendered messages: one row of MESSAGES for each customer that is written to."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby, islice
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from campaigns.audience import Audience
from campaigns.content import Content
from campaigns.message import Sender, message_context
from campaigns.optout import unsigned_url
from campaigns.reasons import read_reason
from campaigns.rendering import compile_content, render_email, render_push
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS, MESSAGES
from campaigns.words import zone_of

SEND_WITHIN = timedelta(hours=24)  # after the occurrence; a message that is later than this is not sent any more
BLOCK = 2_000  # messages in memory at a time

Row = Mapping[str, Any]


def render_messages(
    campaign: Campaign,
    decisions: pa.Table,
    customers: pa.Table,
    items: pa.Table,
    *,
    sender: Sender,
    optout_url: str,
    send_at: datetime,
    until: datetime | Mapping[str, datetime],
    times: Mapping[tuple[str, str], datetime] | None = None,
    names: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    content: Content | None = None,
) -> Iterator[pa.Table]:
    """Messages for the decisions of the treatment arm, in order of customer, a block of them at a time.

    until: when the offers end, or each of them. times: (customer, channel) → when the message may go; send_at for those
    that are not in it. A message is not sent any more once one of its offers is over. optout_url: where unsubscribe
    links lead; here they end in the message's id, which is signed when the message leaves (campaigns.optout).
    names: language → category path → its name. content: the campaign's, where it was compiled before.
    """
    ends = until if isinstance(until, Mapping) else {"": until}
    schedule = campaign.schedule
    content = content or compile_content(campaign, names)
    addressed = customers.filter(pc.is_in(customers["customer_id"], decisions["customer_id"].combine_chunks()))
    shown = items.filter(pc.is_in(items["item_id"], needed_items(decisions)))
    people = {row["customer_id"]: row for row in addressed.to_pylist()}
    goods = {row["item_id"]: row for row in shown.to_pylist()}

    def message(customer_id: str, group: list[Row]) -> Row:
        first = group[0]
        named = message_id(first)
        goes_at = (times or {}).get((customer_id, first["channel"])) or send_at
        offering = [row for row in group if row["offer_id"]]
        over = min((ends.get(row["offer_id"]) or ends[""] for row in offering), default=goes_at + SEND_WITHIN)
        person = people[customer_id]
        context = message_context(
            content,
            person,
            [{**row, "because": because(row)} for row in offering],
            goods,
            sender=sender,
            sent_at=goes_at,
            until=ends,
            starts_at=goes_at if schedule.local else send_at,
            home=zone_of(person.get("timezone")) if schedule.local else schedule.timezone,
            unsubscribe_url=unsigned_url(optout_url, named),
            channel=first["channel"],
        )
        return {
            "message_id": named,
            "campaign_id": campaign.id,
            "occurrence": first["occurrence"],
            "customer_id": customer_id,
            "channel": first["channel"],
            "language": context["language"],
            **rendered(content, first["channel"], context),
            "send_after": goes_at,
            "send_before": max(goes_at, min(goes_at + SEND_WITHIN, over)),
        }

    coming = sent(decisions)
    while block := [message(*one) for one in islice(coming, BLOCK)]:
        yield pa.Table.from_pylist(block, schema=MESSAGES.schema)


def sending_times(audience: Audience) -> dict[tuple[str, str], datetime]:
    """(customer, channel) → when a message may go there, as contact policy and the hours of the place allow."""
    people = audience.people
    ids = people["customer_id"].to_pylist()
    found: dict[tuple[str, str], datetime] = {}
    for channel in CHANNELS:
        if f"{channel}_at" in people.column_names:
            times = people[f"{channel}_at"].to_pylist()
            found.update(((name, channel), at) for name, at in zip(ids, times, strict=True) if at)
    return found


def because(decision: Row) -> list[str]:
    """The item bought before that speaks for a decision: the one recommended again, or the one its reason names."""
    reason = read_reason(decision["reason"])
    if reason.kind == "repeat":
        return decision["item_ids"][:1]
    return [reason.item_id] if reason.item_id else []


def needed_items(decisions: pa.Table) -> pa.Array:
    bought = [item for row in decisions.select(["reason", "item_ids"]).to_pylist() for item in because(row)]
    offered = decisions["item_ids"].combine_chunks().flatten()
    return pa.concat_arrays([offered, pa.array(bought, pa.string())]).unique()


def sent(decisions: pa.Table) -> Iterator[tuple[str, list[Row]]]:
    """Each addressed customer with the offers of their message, in the order of decisions; ghosts are left out."""
    rows = (row for batch in decisions.to_batches() for row in batch.to_pylist() if row["arm"] == "treatment")
    for customer_id, group in groupby(rows, key=lambda row: row["customer_id"]):
        yield customer_id, list(group)


def rendered(content: Content, channel: str, context: dict[str, Any]) -> dict[str, str | None]:
    if channel == "push":
        push = render_push(content, context)
        return {"subject": push.title, "body_html": None, "body_text": push.body, "payload": push.payload}
    mail = render_email(content, context)
    return {"subject": mail.subject, "body_html": mail.html, "body_text": mail.text, "payload": None}


def message_id(decision: Row) -> str:
    """The same for the same campaign, occurrence, customer and channel: a message is named before it is written."""
    name = "\0".join(decision[key] for key in ("campaign_id", "occurrence", "customer_id", "channel"))
    return hashlib.sha256(name.encode()).hexdigest()[:32]
