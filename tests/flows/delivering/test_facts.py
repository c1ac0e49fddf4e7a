"""What is known of recipients and items: read anew when the tables have changed, and of a person as a whole."""

from datetime import timedelta
from typing import Any

import pytest

from campaigns.tables import NIGHT
from flows.campaign_files import find_campaign
from flows.delivering.facts import OLDEST, Facts, Watch, read_facts, why_unfit
from flows.workspace import read_table


def facts(going: Any) -> Facts:
    campaign = find_campaign(going.workspace, "panen")
    return read_facts(going.workspace, going.settings, campaign, going.run, going.clock.at)


def test_nobody_known_is_nobody_found(going: Any) -> None:
    assert facts(going).rows(["nobody"]) == {}


def test_facts_are_read_again_when_the_tables_changed_and_from_time_to_time(going: Any) -> None:
    read: list[Any] = []
    watch = Watch(going.workspace, lambda now: read.append(now) or facts(going))
    now = going.clock.at
    assert watch.facts(now) is watch.facts(now + OLDEST / 2)
    going.ingest("consents", [])
    watch.facts(now + OLDEST / 2)
    assert len(read) == 2
    watch.facts(now + 2 * OLDEST)
    assert len(read) == 3


def test_a_consent_that_was_taken_back_a_complaint_and_a_silence_are_seen(going: Any) -> None:
    at = going.clock.at - timedelta(hours=1)
    first, second, third = (row["customer_id"] for row in going.shop.rows("messages", channel="email")[:3])
    before = facts(going).refused["email"]
    assert not {first, second, third} & set(before)
    word = {"channel": "email", "purpose": "promotion", "granted": False, "changed_at": at, "source": "app"}
    going.ingest("consents", [{"customer_id": first, **word}])
    going.ingest("service_cases", [{"customer_id": second, "kind": "complaint", "opened_at": at, "closed_at": None}])
    going.ingest(
        "silences", [{"customer_id": third, "city": None, "reason": "bereavement", "until": at + timedelta(days=9)}]
    )
    found = facts(going).refused["email"]
    assert {name: found[name] for name in (first, second, third)} == {
        first: "no consent",
        second: "open complaint",
        third: "silence",
    }


def test_what_is_open_on_another_account_of_the_person_counts(going: Any) -> None:
    one = going.message("email")["customer_id"]
    rows = {row["customer_id"]: row for row in read_table(going.workspace, "customers").to_pylist()}
    source = {row["customer_id"]: row for row in _source(going)}
    recipients = set(going.run.messages["customer_id"].to_pylist())
    other = next(name for name, row in rows.items() if name not in recipients and row["joined_at"] < going.clock.at)
    going.ingest("customers", [{**source[one], "person_id": "p"}, {**source[other], "person_id": "p"}])
    at = going.clock.at - timedelta(hours=1)
    going.ingest("service_cases", [{"customer_id": other, "kind": "complaint", "opened_at": at, "closed_at": None}])
    assert facts(going).refused["email"][one] == "open complaint"


def test_who_agreed_to_the_night_is_known_by_channel(going: Any) -> None:
    one = going.message("push")["customer_id"]
    at = going.clock.at - timedelta(hours=2)
    word = {"customer_id": one, "channel": "push", "purpose": NIGHT, "granted": True, "changed_at": at, "source": "app"}
    going.ingest("consents", [word])
    assert facts(going).night == {"email": frozenset(), "push": frozenset({one})}
    going.ingest("consents", [{**word, "granted": False, "changed_at": at + timedelta(hours=1)}])
    assert facts(going).night["push"] == frozenset()


def _source(going: Any) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    table = pq.read_table(going.shop.source("customers"))
    if "person_id" not in table.schema.names:
        pytest.skip("the shop's customers have no person")
    return table.to_pylist()


@pytest.mark.parametrize(
    ("item", "told", "why"),
    [
        (None, 1_000, "item not sold any more"),
        ({"stock": 0, "price": 1_000}, 1_000, "item sold out"),
        ({"stock": None, "price": 1_001}, 1_000, "item at another price"),
        ({"stock": 5, "price": 1_000}, 1_000, ""),
        ({"stock": None, "price": 1_000}, None, ""),
    ],
)
def test_an_item_is_shown_while_it_is_sold_at_the_price_that_was_told(item, told, why):
    assert why_unfit(item, told) == why
