"""A small occurrence with every kind of recipient, sent by a delivery's own loop, channels and ledger.

All that stands around them in a delivery is left out, so that a sender lives a tenth of a second.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from campaigns.channels.email import Email, Server
from campaigns.channels.pace import Pace
from campaigns.channels.parcel import Channel, Parcel
from campaigns.channels.push import Push
from campaigns.ledger import (
    Account,
    Claim,
    Firing,
    Ledger,
    LedgerError,
    Outcome,
    address_hash,
    change,
    finish,
    open_ledger,
    opt_out,
    plan,
    renew,
    state_of,
    suppress,
)
from campaigns.ledger.exchange import account_ids, exchange
from campaigns.ledger.rehearsals import discard
from campaigns.ledger.schema import FINISHED, PLANNED, RUNNING
from campaigns.ledger.store import milliseconds
from flows.delivering import sender
from flows.delivering.breaker import Breaker
from flows.delivering.desk import Ready
from flows.delivering.job import Job, patiently
from flows.delivering.sender import Line, send_line

NOW = datetime(2026, 12, 11, 17, tzinfo=UTC)
LEASE = timedelta(seconds=60)
DAY = timedelta(days=1)
KEY = b"k" * 32
# What stands in the recipients, see serving. Three that are refused for now come one after the other.
# fmt: off
MAILS = (
    "ok", "ok", "rcpt.nobody", "ok", "rcpt.4xx", "dot.4xx", "data.421", "ok", "dot.close", "no", "late", "body.421",
    "data.close", "ok",
)
PUSHES = (
    "ok", "ok", "unregistered", "ok", "quota", "unavailable", "quota", "ok", "taken", "no", "late", "lost", "ok", "ok",
)
# fmt: on
DOUBTFUL = {"email": ("dot.close", "body.421"), "push": ("taken", "lost")}
REFUSED = {"email": ("rcpt.nobody",), "push": ("unregistered",)}
PRICE = 1_000


@dataclass(frozen=True)
class World:
    """One campaign of its own in a ledger. servers: port of the SMTP server or URL of FCM."""

    campaign: str
    channel: str
    url: str
    server: str
    unsure: str = "hold"
    ceiling: int = 100 * PRICE
    only: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        return self.only or MAILS if self.channel == "email" else PUSHES

    def message(self, number: int) -> str:
        return f"{self.campaign}-{number:02}"

    def customer(self, number: int) -> str:
        return f"c-{self.campaign}-{number:02}"

    def recipient(self, number: int) -> str:
        name = f"{self.kinds[number]}.{self.campaign}.{number}"
        return f"{name}@pelanggan.example" if self.channel == "email" else name

    def of_kinds(self, kinds: tuple[str, ...]) -> list[int]:
        return [number for number, kind in enumerate(self.kinds) if kind in kinds]

    @property
    def planned(self) -> dict[str, str]:
        return {self.message(number): self.customer(number) for number in range(len(self.kinds))}


class Clock:
    """Time passes only where somebody waits."""

    def __init__(self, start: datetime = NOW) -> None:
        self.at = start

    def now(self) -> datetime:
        return self.at

    def until(self, instant: datetime) -> None:
        self.at = max(self.at, instant)


def rows(world: World, ids: Mapping[Any, int], now: datetime) -> Iterator[list[Any]]:
    uses = json.dumps([[ids["budget", "retailer"], PRICE], [ids["quota", "kopi"], 250_000]])
    deadline = milliseconds(now + DAY)
    stamp, over = milliseconds(now), milliseconds(now - DAY)
    for half in (0, 1):
        yield [
            (
                world.message(number),
                world.customer(number),
                f"p-{world.campaign}-{number}",
                world.channel,
                "pelanggan.example" if world.channel == "email" else "",
                stamp,
                over if kind == "late" else deadline,
                '["kopi"]',
                uses,
            )
            for number, kind in enumerate(world.kinds)
            if number % 2 == half
        ]


def connection(world: World, clock: Clock) -> Channel:
    if world.channel == "email":
        return Email(Server("127.0.0.1", int(world.server), "none", sender="promo@toko.example", hello="toko.example"))
    return Push("toko-contoh", lambda renew: "t", clock.now, base_url=world.server)


def parcel(world: World, message_id: str) -> Parcel:
    number = int(message_id[-2:])
    if world.channel == "email":
        text = f"Message-ID: <{message_id}@toko.example>\r\nSubject: Panen\r\n\r\nHalo {number}\r\n.\r\n"
        return Parcel(message_id, (world.recipient(number),), text.encode())
    message = {"notification": {"title": "Panen", "body": "Halo"}, "data": {"message_id": message_id}}
    return Parcel(message_id, (world.recipient(number),), {"message": message})


def begin(world: World, ledger: Ledger, now: datetime) -> None:
    """Everything that comes before the first message; each step may have been done already."""
    accounts = [Account("budget", "retailer", world.ceiling), Account("quota", "kopi", 100_000_000)]
    rehearsal = f"rehearsal-{os.getpid()}"
    firing = Firing(world.campaign, rehearsal, "run", live=False)
    plan(ledger, firing, accounts[:1], lambda ids: [], now)
    discard(ledger, world.campaign, rehearsal)
    firing = Firing(world.campaign, "20261211t170000z", "run", world.unsure, live=True)  # type: ignore[arg-type]
    for number in world.of_kinds(("no",)):
        opt_out(ledger, world.customer(number), world.channel, "link", now)
        suppress(ledger, [address_hash(world.recipient(number), KEY)], world.channel, "complaint", now)
    plan(ledger, firing, accounts, lambda ids: rows(world, ids, now), now)
    if state_of(ledger, *here(world)) == PLANNED:
        try:
            change(ledger, *here(world), RUNNING, now)
        except LedgerError:  # another sender started it just now, and has even finished
            assert state_of(ledger, *here(world)) == FINISHED


def here(world: World) -> tuple[str, str]:
    return world.campaign, "20261211t170000z"


def deliver(world: World, clock: Clock, name: str = "a") -> None:
    """The loop of a delivery's connection, until nothing waits or is held; whatever ended the one before it."""
    ledger = open_ledger(world.url, clock.now())
    begin(world, ledger, clock.now())
    job = Job(ledger, *here(world), lambda: False, len(world.kinds))
    desk: Any = SimpleNamespace(rules=SimpleNamespace(address_key=KEY), world=world, ledger=ledger, clock=clock)
    line = Line(world.channel, desk, Pace(), Breaker(world.channel), tries=20, connections=1)
    with patch.multiple(sender, prepared=prepared, GROUP=4):
        send_line(job, line, lambda: connection(world, clock), clock, name)
    if job.failure is not None:
        raise job.failure
    finish(ledger, *here(world), clock.now())
    ledger.close()


def prepared(desk: Any, claims: Sequence[Claim], now: datetime) -> tuple[list[Ready], list[Outcome]]:
    """In the place of the desk, which needs a whole workspace."""
    patiently(lambda: renew(desk.ledger, claims, now, LEASE), desk.clock)
    for own in claims:
        if int(own.message_id[-2:]) == 1:  # another offer, which uses more
            patiently(lambda own=own: exchanged(desk, own, now), desk.clock)  # type: ignore[misc]
    return [Ready(own, parcel(desk.world, own.message_id)) for own in claims], []


def exchanged(desk: Any, own: Claim, now: datetime) -> None:
    ids = account_ids(desk.ledger, *here(desk.world))
    uses = {ids["budget", "retailer"]: 2 * PRICE, ids["quota", "kopi"]: 250_000}
    exchange(desk.ledger, own, ["teh"], uses, now)


def without_a_desk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sender, "prepared", prepared)
    patch.setattr(sender, "GROUP", 4)
