"""Feedback: what came back → rows of the feedback table, suppressed addresses and opt-outs; the same twice is once.

The table is published first, then a chunk is written into the ledger in one transaction, its events among it. So after
a kill the next run does the same again, and what was done stays as it was.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from campaigns.feedback.event import BOUNCED, COMPLAINED, SOFT, UNSUBSCRIBED, Returned
from campaigns.ledger import Ledger, address_hash
from campaigns.ledger.history import sent_to
from campaigns.ledger.people import Recipient, Refusal, Taken, known_events, recipients, take_in
from campaigns.tables import FEEDBACK
from flows.answers.returned import Kind, Refused, find_files, read_file
from flows.keys import Keys
from flows.settings import Settings
from flows.table_rows import add_rows
from flows.workspace import Workspace, read_table, write_text

CHUNK = 50_000  # events that are taken in together
REASONS = {BOUNCED: "hard bounce", COMPLAINED: "complaint"}  # of a suppression
OTHERS_MESSAGE = "the message is another customer's than the address"
MOST_LISTED = 10_000  # lines of the list of what was not understood

log = logging.getLogger("larisma")


@dataclass
class Counts:
    """files; events: kind → new ones; known: taken in before; unmatched: of no message and no customer of ours."""

    files: int = 0
    events: Counter[str] = field(default_factory=Counter)
    known: int = 0
    left_out: int = 0
    unmatched: int = 0
    rows: int = 0
    suppressed: int = 0
    opted_out: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)

    def told(self) -> dict[str, Any]:
        return {**vars(self), "events": dict(sorted(self.events.items())), "quarantined": dict(self.quarantined)}


@dataclass(frozen=True)
class People:
    """The customers a chunk speaks of. mails: customer → address, in small letters; owners: address → customers."""

    mails: dict[str, str]
    owners: dict[str, list[str]]


def take_feedback(
    place: Workspace, settings: Settings, ledger: Ledger, keys: Keys, path: Path, kind: Kind, now: datetime
) -> dict[str, Any]:
    """Takes in a file, or all files of a folder; returns the counts, and where the list of what was refused stands.

    Raises InputError if there is no such file or folder.
    """
    counts, refused, zone = Counts(), [], ZoneInfo(settings.timezone)
    files = find_files(path)

    def events() -> Iterator[Returned]:
        for file in files:
            counts.files += 1
            for piece in read_file(file, kind, zone):
                if isinstance(piece, Returned):
                    yield piece
                elif piece is None:
                    counts.left_out += 1
                else:
                    refused.append(piece)

    coming = events()
    while chunk := list(islice(coming, CHUNK)):
        log.info("taking in %d events", len(chunk))
        refused += _take_chunk(place, ledger, keys, chunk, now, counts)
    counts.quarantined = Counter(one.reason for one in refused)
    return {**counts.told(), "quarantine": _list_refused(place, refused) if refused else None}


def _take_chunk(
    place: Workspace, ledger: Ledger, keys: Keys, chunk: Sequence[Returned], now: datetime, counts: Counts
) -> list[Refused]:
    by_id = {event.digest(keys.addresses): event for event in chunk}
    known = known_events(ledger, by_id)
    counts.known += len(chunk) - len(by_id) + len(known)
    fresh = {name: event for name, event in by_id.items() if name not in known}
    about = recipients(ledger, (one for event in fresh.values() for one in event.message_ids))
    people = _people(place, fresh.values(), about)
    rows: list[dict[str, Any]] = []
    refusals: list[Refusal] = []
    hushed: list[tuple[str, str, str, datetime]] = []
    heard: list[tuple[str, str, str | None, datetime]] = []
    refused: list[Refused] = []
    for name, event in sorted(fresh.items()):
        message_id = next((one for one in event.message_ids if one in about), None)
        whose = about[message_id] if message_id else None
        if whose and _contradicts(event, whose, people):
            refused.append(Refused("", 0, OTHERS_MESSAGE, name))
            continue
        at = min(event.at or (whose.at if whose else now), now)
        customers = [whose.customer_id] if whose else _owners(event, people)
        counts.events[event.kind] += 1
        counts.unmatched += not customers
        heard.append((name, event.kind, message_id, at))
        rows += _rows(ledger, event, message_id, customers, at)
        channel = whose.channel if whose else "email"
        if event.kind in (UNSUBSCRIBED, COMPLAINED):
            source = "complaint" if event.kind == COMPLAINED else "feedback"
            refusals += [Refusal(customer, channel, at, source) for customer in customers]
        if event.kind in REASONS and channel == "email":
            addresses = event.addresses or tuple(people.mails[one] for one in customers if one in people.mails)
            hushed += [(address_hash(one, keys.addresses), "email", REASONS[event.kind], at) for one in addresses]
    counts.rows += add_rows(place, FEEDBACK, rows) if rows else 0
    written = take_in(ledger, Taken(refusals, hushed, heard))
    counts.suppressed += written["suppressions"]
    counts.opted_out += written["refusals"]
    return refused


def _contradicts(event: Returned, whose: Recipient, people: People) -> bool:
    """A report may name any message and any address; one that puts together what is not together is not believed."""
    if not event.addresses or people.mails.get(whose.customer_id) in event.addresses:
        return False
    return any(people.owners.get(one) for one in event.addresses)


def _owners(event: Returned, people: People) -> list[str]:
    if event.customer_id is not None and event.customer_id in people.mails:
        return [event.customer_id]
    return sorted({owner for one in event.addresses for owner in people.owners.get(one, ())})


def _rows(
    ledger: Ledger, event: Returned, message_id: str | None, customers: Sequence[str], at: datetime
) -> list[dict[str, Any]]:
    """Rows of FEEDBACK: by the message, or by the customer's latest message before, or by customer and campaign."""
    if event.kind == SOFT:
        return []
    if message_id:
        return [{"message_id": message_id, "event": event.kind, "at": at}]
    rows: list[dict[str, Any]] = []
    for customer in customers:
        if event.campaign_id:
            rows.append({"campaign_id": event.campaign_id, "customer_id": customer, "event": event.kind, "at": at})
            continue
        sent = (row for row in sent_to(ledger, customer) if row["channel"] == "email" and row["changed_at"] <= at)
        latest = next(sent, None)
        rows += [{"message_id": latest["message_id"], "event": event.kind, "at": at}] if latest else []
    return rows


def _people(place: Workspace, events: Iterable[Returned], about: dict[str, Recipient]) -> People:
    wanted = list(events)
    names = {one.customer_id for one in about.values()} | {event.customer_id for event in wanted if event.customer_id}
    addresses = {one for event in wanted for one in event.addresses}
    if not (names or addresses):
        return People({}, {})
    table = read_table(place, "customers", columns=["customer_id", "email"])
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(table["email"]))
    table = table.set_column(1, "email", lower)
    mine = pc.is_in(table["customer_id"], pa.array(sorted(names), pa.string()))
    named = pc.is_in(lower, pa.array(sorted(addresses), pa.string()))
    found = table.filter(pc.or_(mine, pc.fill_null(named, False))).to_pylist()
    owners: dict[str, list[str]] = {}
    for row in found:
        if row["email"]:
            owners.setdefault(row["email"], []).append(row["customer_id"])
    return People({row["customer_id"]: row["email"] or "" for row in found}, owners)


def _list_refused(place: Workspace, refused: Sequence[Refused]) -> str:
    """Adds to quarantine/returned.jsonl what is new; each line says where, why, and by which digest to find it."""
    path = place.quarantine / "returned.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines += [json.dumps(vars(one), ensure_ascii=False, sort_keys=True) for one in refused]
    write_text(path, "\n".join(list(dict.fromkeys(lines))[-MOST_LISTED:]) + "\n")
    return str(path.relative_to(place.root))
