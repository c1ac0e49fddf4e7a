"""What the ledger knows of single people: whose a message is, what they refused, and what came back from them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, and_, func, select
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.ledger.planning import occurrence_is
from campaigns.ledger.schema import EVENTS, MESSAGES, OPT_OUTS, PENDING, SUPPRESSIONS
from campaigns.ledger.store import Ledger, instant_of, milliseconds

AT_ONCE = 900  # values in one query


@dataclass(frozen=True)
class Recipient:
    """Whose a message is. at: when its state last changed, such as when it was sent."""

    customer_id: str
    channel: str
    campaign_id: str
    at: datetime


@dataclass(frozen=True)
class Refusal:
    """A customer's no. channel: email, push or all. source: how it came, such as link or complaint."""

    customer_id: str
    channel: str
    at: datetime
    source: str


@dataclass(frozen=True)
class Taken:
    """What is written down of feedback, in one transaction. suppressions: (hash of an address, channel, reason, at);
    events: (id, kind, message or None, at)."""

    refusals: Sequence[Refusal] = ()
    suppressions: Sequence[tuple[str, str, str, datetime]] = ()
    events: Sequence[tuple[str, str, str | None, datetime]] = ()


def recipients(ledger: Ledger, message_ids: Iterable[str]) -> dict[str, Recipient]:
    """Message → recipient, of those that are in the ledger."""
    names = ("message_id", "customer_id", "channel", "campaign_id", "changed_at")
    query = select(*(MESSAGES.c[name] for name in names))
    found: dict[str, Recipient] = {}
    with ledger.reading() as connection:
        for some in _portions(message_ids):
            for row in connection.execute(query.where(MESSAGES.c.message_id.in_(some))):
                at = instant_of(row.changed_at)
                found[row.message_id] = Recipient(row.customer_id, row.channel, row.campaign_id, at)
    return found


def offers_of(ledger: Ledger, message_ids: Iterable[str]) -> dict[str, list[str]]:
    """Message → ids of the offers it has now, which may be others than were planned."""
    found: dict[str, list[str]] = {}
    with ledger.reading() as connection:
        for some in _portions(message_ids):
            query = select(MESSAGES.c.message_id, MESSAGES.c.offers).where(MESSAGES.c.message_id.in_(some))
            found.update((row.message_id, json.loads(row.offers)) for row in connection.execute(query))
    return found


def next_due(ledger: Ledger, campaign_id: str, occurrence: str, channel: str) -> datetime | None:
    """When the next waiting message of an occurrence is due; None if none waits."""
    here = and_(occurrence_is(MESSAGES, campaign_id, occurrence), MESSAGES.c.channel == channel)
    query = select(func.min(MESSAGES.c.due_at)).where(here, MESSAGES.c.state == PENDING)
    with ledger.reading() as connection:
        due = connection.execute(query).scalar()
    return None if due is None else instant_of(due)


def refusals(ledger: Ledger, customer_id: str | None = None) -> list[Refusal]:
    """Every opt-out, or one customer's, in order."""
    query = select(OPT_OUTS).order_by(OPT_OUTS.c.customer_id, OPT_OUTS.c.channel)
    if customer_id is not None:
        query = query.where(OPT_OUTS.c.customer_id == customer_id)
    with ledger.reading() as connection:
        return [
            Refusal(row.customer_id, row.channel, instant_of(row.at), row.source) for row in connection.execute(query)
        ]


def suppressions_of(ledger: Ledger, hashes: Iterable[str]) -> list[dict[str, Any]]:
    """address_hash, channel, reason and at of each suppression of these addresses, in order."""
    found: list[Mapping[str, Any]] = []
    with ledger.reading() as connection:
        for some in _portions(hashes):
            query = select(SUPPRESSIONS).where(SUPPRESSIONS.c.address_hash.in_(some))
            found += [dict(row) for row in connection.execute(query).mappings()]
    ordered = sorted(found, key=lambda row: (row["channel"], row["address_hash"]))
    return [{**row, "at": instant_of(row["at"])} for row in ordered]


def known_events(ledger: Ledger, event_ids: Iterable[str]) -> set[str]:
    """Those that were taken in before."""
    found: set[str] = set()
    with ledger.reading() as connection:
        for some in _portions(event_ids):
            found.update(connection.execute(select(EVENTS.c.event_id).where(EVENTS.c.event_id.in_(some))).scalars())
    return found


def take_in(ledger: Ledger, taken: Taken) -> dict[str, int]:
    """Writes it down, all or nothing; how many of each kind are new. What is known already stays as it is."""
    said = [
        {"customer_id": one.customer_id, "channel": one.channel, "at": milliseconds(one.at), "source": one.source}
        for one in taken.refusals
    ]
    hushed = [
        {"address_hash": one, "channel": channel, "reason": reason, "at": milliseconds(at)}
        for one, channel, reason, at in taken.suppressions
    ]
    heard = [
        {"event_id": one, "kind": kind, "message_id": message_id, "at": milliseconds(at)}
        for one, kind, message_id, at in taken.events
    ]
    with ledger.writing() as connection:
        return {
            "refusals": _added(connection, OPT_OUTS, said),
            "suppressions": _added(connection, SUPPRESSIONS, hushed),
            "events": _added(connection, EVENTS, heard),
        }


def _added(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts the rows whose keys are not there yet; how many these were. Many at once, unlike planning.inserted."""
    keys = list(table.primary_key)
    coming = {tuple(row[key.name] for key in keys): row for row in reversed(rows)}  # of two alike the first stays
    for some in _portions(str(key[0]) for key in coming):
        for row in connection.execute(select(*keys).where(keys[0].in_(some))):
            coming.pop(tuple(row), None)
    if coming:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(coming.values()))
    return len(coming)


def _portions(values: Iterable[str]) -> Iterator[list[str]]:
    coming = iter(sorted(set(values)))
    while some := list(islice(coming, AT_ONCE)):
        yield some
