"""What is known now of a run's recipients, and of the items it shows: read anew whenever the tables have changed."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaigns.contact import AHEAD
from campaigns.message import MOST_PICKS
from campaigns.spec import Campaign
from campaigns.tables import CUSTOMERS
from flows.delivering.run import Run
from flows.delivering.standing import Reasons, night_readers, refused
from flows.settings import Settings
from flows.workspace import Workspace, read_table

GONE, SOLD_OUT, OTHER_PRICE = "item not sold any more", "item sold out", "item at another price"
OLDEST = timedelta(minutes=30)  # after so long facts are read again: some hold until an instant


@dataclass(frozen=True)
class Told:
    """A contact that the table of contacts holds."""

    channel: str
    campaign_id: str
    at: datetime


@dataclass(frozen=True, eq=False)
class Facts:
    """people: rows of CUSTOMERS of the run's recipients, row: customer → its number. refused: see standing.
    told: person → contacts of the last weeks. unfit: item → why it may not be shown any more. touched: recipients whose
    message shows such an item."""

    people: pa.Table
    row: Mapping[str, int]
    refused: Reasons
    night: Mapping[str, frozenset[str]]
    told: Mapping[str, list[Told]]
    unfit: Mapping[str, str]
    touched: frozenset[str]

    def rows(self, customers: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Customer → row; whoever is not known any more is not in it."""
        known = [name for name in customers if name in self.row]
        found = self.people.take(pa.array([self.row[name] for name in known], pa.int64())).to_pylist()
        return dict(zip(known, found, strict=True))


class Watch:
    """Facts that are never older than the tables. May be used by several threads."""

    def __init__(self, workspace: Workspace, read: Callable[[datetime], Facts]) -> None:
        self._place, self._read, self._lock = workspace.tables / "manifest.json", read, Lock()
        self._facts: Facts | None = None
        self._seen: tuple[int, ...] = ()
        self._at: datetime | None = None

    def facts(self, now: datetime) -> Facts:
        with self._lock:
            seen = self._signature()
            if self._facts is None or self._at is None or seen != self._seen or not self._at <= now < self._at + OLDEST:
                self._facts, self._seen, self._at = self._read(now), seen, now
            return self._facts

    def _signature(self) -> tuple[int, ...]:
        try:
            about = os.stat(self._place)
        except FileNotFoundError:
            return ()
        return about.st_mtime_ns, about.st_size, about.st_ino


def read_facts(workspace: Workspace, settings: Settings, campaign: Campaign, run: Run, now: datetime) -> Facts:
    ids = run.messages["customer_id"].combine_chunks().unique()
    people = read_table(workspace, CUSTOMERS.name, as_of=now, where=pc.field("customer_id").isin(ids))
    persons, others = same_persons(workspace, people, now)
    names = people["customer_id"].to_pylist()
    unfit = unfit_items(workspace, run)
    return Facts(
        people,
        {name: number for number, name in enumerate(names)},
        refused(workspace, settings, campaign, people, others, now),
        night_readers(workspace, people, now),
        contacts_told(workspace, persons, now),
        unfit,
        shown_to(run, unfit),
    )


def person_of(row: Mapping[str, Any]) -> str:
    return row["person_id"] or row["customer_id"]


def same_persons(workspace: Workspace, people: pa.Table, now: datetime) -> tuple[dict[str, str], dict[str, str]]:
    """Every account of the recipients' persons → the person; and of these the further ones → the recipient."""
    mine = {person_of(row): row["customer_id"] for row in people.select(["customer_id", "person_id"]).to_pylist()}
    persons = {customer: person for person, customer in mine.items()}
    others: dict[str, str] = {}
    named = pa.array(sorted(mine), pa.string())
    same = read_table(
        workspace,
        CUSTOMERS.name,
        as_of=now,
        columns=["customer_id", "person_id"],
        where=pc.field("person_id").isin(named) | pc.field("customer_id").isin(named),
    )
    for row in same.to_pylist():
        name, person = row["customer_id"], person_of(row)
        if person in mine and name != mine[person]:
            persons[name] = person
            others[name] = mine[person]
    return persons, others


def contacts_told(workspace: Workspace, persons: Mapping[str, str], now: datetime) -> dict[str, list[Told]]:
    late = pc.field("sent_at") >= pa.scalar(now - AHEAD - timedelta(days=2), pa.timestamp("us", "UTC"))
    found: dict[str, list[Told]] = {}
    for row in read_table(workspace, "contacts", as_of=now, where=late).to_pylist():
        if person := persons.get(row["customer_id"]):
            found.setdefault(person, []).append(Told(row["channel"], row["campaign_id"], row["sent_at"]))
    return found


# --- items -----------------------------------------------------------------------------------------------------------


def unfit_items(workspace: Workspace, run: Run) -> dict[str, str]:
    """The items that the run's messages show, and that are gone, sold out, or have another price than is told."""
    path = run.folder / "shown.parquet"
    if not path.is_file():  # a run of before prices were kept
        return {}
    told = {row["item_id"]: row["price"] for row in pq.read_table(path).to_pylist()}
    here = pc.field("item_id").isin(pa.array(list(told), pa.string()))
    items = read_table(workspace, "items", columns=["item_id", "price", "stock"], where=here)
    known = {row["item_id"]: row for row in items.to_pylist()}
    return {name: why for name, price in told.items() if (why := why_unfit(known.get(name), price))}


def why_unfit(item: Mapping[str, Any] | None, price: int | None) -> str:
    if item is None:
        return GONE
    if item["stock"] is not None and item["stock"] <= 0:
        return SOLD_OUT
    return OTHER_PRICE if price is not None and item["price"] != price else ""


def shown_to(run: Run, unfit: Mapping[str, str]) -> frozenset[str]:
    """Those whose message shows one of the items."""
    if not unfit:
        return frozenset()
    columns = ["customer_id", "placement", "item_ids"]
    sent = pq.read_table(run.folder / "decisions.parquet", columns=columns, filters=[("arm", "=", "treatment")])
    names = pa.array(list(unfit), pa.string())
    found: set[str] = set()
    for placement, most in MOST_PICKS.items():
        own = sent.filter(pc.equal(sent["placement"], placement))
        shown = pc.list_slice(own["item_ids"].combine_chunks(), 0, most)
        parents, items = pc.list_parent_indices(shown), pc.list_flatten(shown)
        rows = parents.filter(pc.is_in(items, value_set=names)).unique()
        found.update(own["customer_id"].take(rows).to_pylist())
    return frozenset(found)
