"""What the ledger tells of single people, and that feedback is written down whole and once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.ledger import Firing, Ledger, open_ledger, opted_out, plan, suppressed
from campaigns.ledger.people import (
    AT_ONCE,
    Recipient,
    Refusal,
    Taken,
    known_events,
    recipients,
    refusals,
    suppressions_of,
    take_in,
)

NOW = datetime(2026, 12, 11, 17, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = open_ledger(ledger_url, NOW)
    rows = [(f"m{k}", f"c{k}", f"p{k}", "email", "toko.example", 0, 10**15, "[]", "[]") for k in range(AT_ONCE + 5)]
    plan(opened, Firing("panen", "20261211t170000z", "run"), [], lambda _: [rows], NOW)
    yield opened
    opened.close()


def test_messages_are_found_in_any_number_and_strangers_are_not(ledger):
    wanted = [f"m{k}" for k in range(AT_ONCE + 5)]
    found = recipients(ledger, [*wanted, "entah"])
    assert sorted(found) == sorted(wanted)
    assert found["m7"] == Recipient("c7", "email", "panen", NOW)
    assert recipients(ledger, []) == {}


def test_what_comes_back_is_written_once(ledger):
    taken = Taken(
        [Refusal("c1", "email", NOW, "complaint"), Refusal("c2", "all", NOW, "csv")],
        [("hash", "email", "hard bounce", NOW)],
        [("e1", "bounce", "m1", NOW), ("e2", "complaint", None, NOW)],
    )
    assert take_in(ledger, taken) == {"refusals": 2, "suppressions": 1, "events": 2}
    assert take_in(ledger, taken) == {"refusals": 0, "suppressions": 0, "events": 0}
    assert opted_out(ledger, "push") == {"c2"}
    assert suppressed(ledger, ["hash"], "email") == {"hash": "hard bounce"}
    assert known_events(ledger, ["e1", "e2", "e3"]) == {"e1", "e2"}


def test_the_first_refusal_and_the_first_suppression_stay(ledger):
    take_in(ledger, Taken([Refusal("c1", "email", NOW, "link")], [("hash", "email", "complaint", NOW)]))
    take_in(ledger, Taken([Refusal("c1", "email", LATER, "csv")], [("hash", "email", "hard bounce", LATER)]))
    assert refusals(ledger, "c1") == [Refusal("c1", "email", NOW, "link")]
    (only,) = suppressions_of(ledger, ["hash", "other"])
    assert (only["reason"], only["at"]) == ("complaint", NOW)


def test_of_two_that_come_together_the_first_stays(ledger):
    both = [Refusal("c1", "email", NOW, "link"), Refusal("c1", "email", LATER, "csv")]
    assert take_in(ledger, Taken(both))["refusals"] == 1
    assert refusals(ledger, "c1") == both[:1]


def test_all_refusals_come_in_order_of_customer(ledger):
    take_in(ledger, Taken([Refusal(name, "push", NOW, "link") for name in ("c9", "c3", "c5")]))
    assert [one.customer_id for one in refusals(ledger)] == ["c3", "c5", "c9"]
    assert refusals(ledger, "c4") == []
