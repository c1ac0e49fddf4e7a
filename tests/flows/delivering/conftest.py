"""A small shop whose campaign is approved, on the day of sending, with a channel that writes down what it is handed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.calendar import occurrence_instant
from campaigns.channels.parcel import Answer, Leaving, Parcel
from campaigns.failpoints import disarm
from campaigns.ledger import Ledger
from campaigns.ledger.schema import SENT
from flows.approving.approvals import approve
from flows.campaign_files import find_campaign
from flows.delivering import sending
from flows.delivering.delivery import deliver_campaign
from flows.delivering.ledgers import open_for
from flows.delivering.run import Run, find_run
from flows.delivering.settings import EmailServer, PushService
from flows.ingest import ingest_tables
from flows.settings import Settings
from flows.workspace import Workspace

Answers = Callable[[Parcel], Answer]
LIVE = {
    "email": EmailServer(host="localhost", security="none", sender="promo@toko.example", connections=1),
    "push": PushService(service_account="{}", connections=1),
}


class Clock:
    """Stands still but for waits, each of which takes at least so many seconds."""

    def __init__(self, now: datetime) -> None:
        self.at = now
        self.least = 0.0

    def now(self) -> datetime:
        return self.at

    def wait(self, seconds: float) -> None:
        self.at += timedelta(seconds=max(seconds, self.least))


@dataclass
class Recorder:
    """Takes everything over, unless answers says otherwise; calls before each with how many it was handed earlier."""

    answers: Answers = lambda _: Answer(SENT, detail="250")
    before: Callable[[int], object] = lambda _: None
    taken: list[Parcel] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=count)  # each number once, whichever thread asks
    _lock: Lock = field(default_factory=Lock)

    def send(self, parcel: Parcel, leaving: Leaving) -> Answer | None:
        self.before(next(self._turns))
        answer = self.answers(parcel)
        if not leaving():
            return None
        if answer.state == SENT:
            with self._lock:
                self.taken.append(parcel)
        return answer

    def close(self) -> None: ...

    @property
    def names(self) -> list[str]:
        return [parcel.message_id for parcel in self.taken]


@dataclass
class Going:
    """The shop on the day of sending. by: what is handed over live."""

    shop: Any
    settings: Settings
    clock: Clock
    by: Recorder

    @property
    def workspace(self) -> Workspace:
        return self.shop.workspace

    @property
    def run(self) -> Run:
        return find_run(self.workspace, "panen")

    @property
    def due(self) -> datetime:
        return occurrence_instant(self.run.occurrence)

    def deliver(self, *, live: bool = True, **more: Any) -> dict[str, Any]:
        given = {"clock": self.clock.now, "wait": self.clock.wait, **more}
        return deliver_campaign(self.workspace, self.settings, "panen", live=live, **given)

    def rehearse(self, **more: Any) -> dict[str, Any]:
        return self.deliver(live=False, **more)

    def ledger(self, *, live: bool = True) -> Ledger:
        return open_for(self.workspace, self.settings, live, self.clock.at)

    def set(self, **more: Any) -> None:
        self.settings = self.settings.model_copy(update=more)

    def ingest(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Adds rows to a table; those of a key that is there replace it."""
        path = self.shop.source(name)
        old = pq.read_table(path)
        key = old.schema.names[0]
        new = pa.Table.from_pylist(rows, schema=old.schema)
        changed = set(new[key].to_pylist()) if name in ("items", "customers") else set()
        kept = [row for row in old.to_pylist() if row[key] not in changed]
        pq.write_table(pa.concat_tables([pa.Table.from_pylist(kept, schema=old.schema), new]), path)
        ingest_tables(self.workspace, self.shop.settings, self.shop.clock)

    def message(self, channel: str = "email") -> dict[str, Any]:
        """One of the run's messages."""
        return self.shop.rows("messages", channel=channel)[0]


@pytest.fixture
def going(copied: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    approve(copied.workspace, copied.settings, find_campaign(copied.workspace, "panen"), "Sari", copied.as_of)
    settings = copied.settings.model_copy(update=LIVE)
    due = occurrence_instant(copied.manifest["occurrence"])
    made = Going(replace(copied, settings=settings), settings, Clock(due), Recorder())
    monkeypatch.setattr(sending, "connections", lambda *_: ((lambda: made.by), 1))
    yield made
    disarm()
