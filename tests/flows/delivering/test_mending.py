"""Messages of which something does not hold any more: without it, or with the fallback offer, or not at all."""

from typing import Any

import pytest

from campaigns.ledger import pause_offer
from campaigns.ledger.history import balances
from campaigns.ledger.schema import FINISHED
from flows.approving.approvals import approve
from flows.campaign_files import find_campaign

FALLBACK = "content:\n  id: &words"


@pytest.fixture
def falling_back(going: Any) -> Any:
    """The same, with free delivery as the fallback offer."""
    going.shop.edit_campaign(FALLBACK, f"fallback: semua\n{FALLBACK}")
    approve(going.workspace, going.shop.settings, find_campaign(going.workspace, "panen"), "Sari", going.shop.as_of)
    going.shop = going.shop.decide()
    return going


def shown(going: Any, most: int = 1) -> dict[str, dict[str, Any]]:
    """Item → row of ITEMS, of what the first offer of some mail shows."""
    from flows.workspace import read_table

    items = {row["item_id"]: row for row in read_table(going.workspace, "items").to_pylist()}
    found: dict[str, dict[str, Any]] = {}
    for row in going.shop.rows("decisions", arm="treatment", channel="email", placement="hero"):
        if len(found) < most:
            found |= {item: items[item] for item in row["item_ids"][:1]}
    return found


def source_row(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    kept = ("item_id", "title", "category", "brand", "price", "margin_rate", "stock", "restriction")
    return {**{name: row[name] for name in kept}, **changes}


def texts(going: Any) -> list[str]:
    from email import message_from_bytes

    found = []
    for parcel in going.by.taken:
        if isinstance(parcel.content, bytes):
            parts = message_from_bytes(parcel.content).walk()
            found += [
                part.get_payload(decode=True).decode() for part in parts if part.get_content_type() == "text/plain"
            ]
    return found


def adds_up(going: Any) -> bool:
    ledger = going.ledger()
    found = balances(ledger)
    ledger.close()
    return all(one.drift == 0 and one.used <= one.ceiling for one in found)


@pytest.mark.parametrize(("change", "reason"), [({"stock": 0}, "item sold out"), ({"price": 99_000}, "another price")])
def test_an_item_that_does_not_hold_any_more_is_shown_to_nobody(
    going: Any, change: dict[str, Any], reason: str
) -> None:
    (item,) = shown(going).values()
    going.ingest("items", [source_row(item, **change)])
    result = going.deliver()
    assert result["state"] == FINISHED
    assert going.by.taken
    line = f"- {item['title']} "
    assert not any(line in text for text in texts(going))
    skipped = sum(n for state, why, n in result["reasons"] if state == "skipped" and reason in why)
    sent = sum(states.get("sent", 0) for states in result["channels"].values())
    assert sent + skipped == len(going.run.messages)
    assert adds_up(going)


def test_who_is_left_without_an_offer_gets_the_fallback_and_it_is_paid_for(falling_back: Any) -> None:
    going = falling_back
    items = shown(going, 40)
    going.ingest("items", [source_row(item, stock=0) for item in items.values()])
    result = going.deliver()
    ledger = going.ledger()
    from sqlalchemy import select

    from campaigns.ledger.schema import MESSAGES

    with ledger.reading() as connection:
        offers = {row.message_id: row.offers for row in connection.execute(select(MESSAGES)).all()}
    ledger.close()
    assert result["state"] == FINISHED
    assert '["semua"]' in {offers[name] for name in going.by.names}
    assert adds_up(going)
    assert any("Gratis ongkir" in text for text in texts(going))


def test_a_rehearsal_leaves_out_an_offer_that_is_paused_live(going: Any) -> None:
    ledger = going.ledger()
    pause_offer(ledger, "panen", "kopi", going.clock.at)
    ledger.close()
    result = going.rehearse()
    assert result["state"] == FINISHED
    skipped = [n for state, why, n in result["reasons"] if (state, why) == ("skipped", "offer paused")]
    only = [
        row["customer_id"]
        for row in going.shop.rows("decisions", arm="treatment", offer_id="kopi")
        if len(going.shop.rows("decisions", arm="treatment", customer_id=row["customer_id"])) == 1
    ]
    assert sum(skipped) == len(only)
    folder = going.workspace.rehearsal(*going.run.firing)
    written = b"".join(path.read_bytes() for path in folder.rglob("*.eml"))
    assert b"utm_content=3Dkopi" not in written
    assert b"utm_content=kopi" not in written


def test_what_cannot_be_rendered_as_it_was_decided_is_skipped(going: Any) -> None:
    (item,) = shown(going).values()
    going.ingest("items", [source_row(item, stock=0)])
    going.shop.edit_campaign("name: Pesta Panen", "name: Pesta Panen Raya")
    result = going.rehearse()
    assert ["skipped", "item sold out"] in [row[:2] for row in result["reasons"]]
