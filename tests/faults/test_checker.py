"""The checker finds each kind of fault that it is there to find; a delivery that kept its promises has none."""

from pathlib import Path
from typing import Any

import pytest
from ledger_checker import check
from sqlalchemy import text
from world import NOW, PRICE, Clock, World, begin, deliver

from campaigns.ledger import open_ledger

OK = ("ok", "ok", "ok")
BROKEN = {
    "update messages set state = 'pending' where message_id like '%00'": "which is no end",
    "update messages set state = 'unknown', reason = 'x'": "3 unknown where 0 may be",
    "update messages set state = 'unknown'": "without saying why",
    "update messages set state = 'skipped'": "for no reason",
    "update messages set state = 'failed'": "for no reason",
    "update messages set state = 'bounced'": "refused nothing",
    "update messages set send_before = 0": "after its time",
    "delete from messages where message_id like '%00'": "missing from the ledger",
    f"update accounts set used = used + {PRICE} where kind = 'budget'": "says",
    "update accounts set ceiling = 1 where kind = 'budget'": "overdrawn",
}


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[World, list[tuple[str, str]]]:
    """A delivery to a channel that takes everything, and what that took."""
    world = World("w", "email", str(tmp_path / "l.db"), "", only=OK)
    taken: list[tuple[str, str]] = []

    class Taking:
        def send(self, parcel: Any, leaving: Any) -> Any:
            from campaigns.channels.parcel import Answer

            assert leaving()
            taken.append((parcel.message_id, parcel.recipients[0]))
            return Answer("sent")

        def close(self) -> None: ...

    monkeypatch.setattr("world.connection", lambda *_: Taking())
    deliver(world, Clock())
    return world, taken


def faults(world: World, taken: list[tuple[str, str]], **more: Any) -> str:
    return " | ".join(check(world.url, world.campaign, taken, planned=world.planned, **more).faults)


def test_a_delivery_as_it_should_be_has_no_fault(done: tuple[World, list[tuple[str, str]]]) -> None:
    assert faults(*done) == ""


@pytest.mark.parametrize("change", sorted(BROKEN))
def test_a_ledger_that_says_something_else_is_found(done: tuple[World, list[tuple[str, str]]], change: str) -> None:
    world, taken = done
    ledger = open_ledger(world.url, NOW)
    with ledger.writing() as connection:
        connection.execute(text(change))
    ledger.close()
    assert BROKEN[change] in faults(world, taken)


def test_a_server_that_says_something_else_is_found(done: tuple[World, list[tuple[str, str]]]) -> None:
    world, taken = done
    assert "1 copies too many" in faults(world, [*taken, taken[0]])
    assert faults(world, [*taken, taken[0]], most_twice=1) == ""
    assert "no server has it" in faults(world, taken[1:])
    assert "nobody planned" in faults(world, [*taken, ("other", "x")])
    assert "had said no" in faults(world, taken, said_no=[world.customer(0)])
    assert "after its time" in faults(world, taken, late=[world.message(0)])


def test_what_was_only_begun_is_found(tmp_path: Path) -> None:
    world = World("w", "email", str(tmp_path / "l.db"), "", only=OK)
    ledger = open_ledger(world.url, NOW)
    begin(world, ledger, NOW)
    ledger.close()
    assert faults(world, []).count("which is no end") == 3
