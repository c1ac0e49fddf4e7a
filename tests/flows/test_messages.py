"""Messages say what was decided, to whom it was decided for, in their language, and bear a name of their own."""

import json
from collections import Counter
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.calendar import occurrence_instant
from campaigns.message import Sender
from campaigns.spec import load_campaign
from campaigns.tables import MESSAGES
from flows.deciding.messages import because, message_id, render_messages
from flows.workspace import read_table


def messages_of(shop, decisions):
    at = occurrence_instant(shop.manifest["occurrence"])
    known = {name: read_table(shop.workspace, name) for name in ("customers", "items")}
    campaign = load_campaign(shop.workspace.campaigns / "panen.yaml")
    return list(
        render_messages(
            campaign,
            decisions,
            **known,
            sender=Sender("Toko", "https://toko.example"),
            optout_url="https://toko.example/berhenti",
            send_at=at,
            until=at,
        )
    )


def decisions_of(shop):
    return pq.read_table(shop.run / "decisions.parquet")


def test_the_table_keeps_its_contract_in_order_of_customer(shop):
    table = pq.read_table(shop.run / "messages.parquet")
    assert table.schema.equals(MESSAGES.schema)
    customers = table["customer_id"].to_pylist()
    assert customers == sorted(set(customers))


def test_each_is_in_the_customer_s_language_and_speaks_of_the_offers_decided(shop):
    people = {row["customer_id"]: row for row in read_table(shop.workspace, "customers").to_pylist()}
    titles = {"kopi": ("Kopi hemat", "Coffee for less"), "teh": ("Teh hemat", "Tea for less")}
    titles |= {"sabun": ("Poin sabun", "Points on soap"), "semua": ("Gratis ongkir", "Free delivery")}
    languages = Counter()
    for message in shop.rows("messages"):
        given = shop.rows("decisions", customer_id=message["customer_id"])
        language = people[message["customer_id"]]["language"]
        languages[language] += 1
        assert message["language"] == language
        assert message["channel"] == given[0]["channel"]
        for row in given:
            assert (
                titles[row["offer_id"]][language == "en"]
                in message["body_html" if given[0]["channel"] == "email" else "payload"]
            )
    assert min(languages["id"], languages["en"]) > 0


def test_mail_has_html_and_text_and_a_push_its_payload(shop):
    for message in shop.rows("messages"):
        assert message["subject"]
        assert message["body_text"]
        if message["channel"] == "email":
            assert message["payload"] is None
            assert "</html>" in message["body_html"]
        else:
            assert message["body_html"] is None
            assert json.loads(message["payload"])


def test_an_unsubscribe_link_ends_in_the_message_s_id_which_is_signed_when_it_leaves(shop):
    mails = shop.rows("messages", channel="email")
    assert mails
    for message in mails:
        link = f"{shop.settings.optout_url}/{message['message_id']}"
        assert f'href="{link}"' in message["body_html"]
        assert link in message["body_text"].split()


def test_nobody_s_mail_holds_somebody_else_s_name(shop):
    people = {row["customer_id"]: row for row in read_table(shop.workspace, "customers").to_pylist()}
    names = {row["name"] for row in people.values() if row["name"]}
    for message in shop.rows("messages", channel="email"):
        words = message["body_text"].replace("\N{NO-BREAK SPACE}", " ")
        own = people[message["customer_id"]]["name"]
        others = {name for name in names if f"{name}!" in words or f"{name}," in words or f"{name}." in words}
        assert others <= {own}


def test_a_message_is_sent_at_the_occurrence_or_within_a_day_or_not_at_all(shop):
    at = occurrence_instant(shop.manifest["occurrence"])
    assert {(row["send_after"], row["send_before"]) for row in shop.rows("messages")} == {
        (at, at + timedelta(hours=24))
    }


def test_ids_are_unique_and_follow_from_campaign_occurrence_customer_and_channel(shop):
    messages = shop.rows("messages")
    assert len({row["message_id"] for row in messages}) == len(messages)
    assert {row["message_id"] for row in messages} == {
        message_id(row) for row in shop.rows("decisions", arm="treatment")
    }
    first = messages[0]
    for key in ("campaign_id", "occurrence", "customer_id", "channel"):
        assert message_id({**first, key: f"{first[key]}x"}) != message_id(first)


def test_ids_with_a_moved_boundary_differ():
    row = {"campaign_id": "a", "occurrence": "b", "customer_id": "cd", "channel": "e"}
    assert message_id(row) != message_id({**row, "customer_id": "c", "channel": "de"})


def test_ghosts_of_the_control_group_are_not_rendered(shop):
    decisions = decisions_of(shop)
    ghosts = decisions.filter(pa.compute.equal(decisions["arm"], "control"))
    assert ghosts.num_rows > 0
    assert messages_of(shop, ghosts) == []


def test_blocks_change_nothing(shop, monkeypatch):
    decisions = decisions_of(shop)
    whole = pa.concat_tables(messages_of(shop, decisions))
    monkeypatch.setattr("flows.deciding.messages.BLOCK", 7)
    parts = messages_of(shop, decisions)
    assert [part.num_rows for part in parts[:-1]] == [7] * (len(parts) - 1)
    assert pa.concat_tables(parts).equals(whole)


def test_how_decisions_lie_in_chunks_changes_nothing(shop):
    decisions = decisions_of(shop)
    cut = pa.concat_tables([decisions.slice(start, 3) for start in range(0, decisions.num_rows, 3)])
    assert pa.concat_tables(messages_of(shop, cut)).equals(pa.concat_tables(messages_of(shop, decisions)))


@pytest.mark.parametrize(
    ("reason", "items", "past"),
    [
        ("repeat", ["a", "b"], ["a"]),
        ("repeat:24:22", ["a", "b"], ["a"]),
        ("because:x:y", ["a"], ["x:y"]),
        ("popular", ["a"], []),
        ("popular:tier=gold", ["a"], []),
        ("repeat", [], []),
    ],
)
def test_what_was_bought_before_is_the_item_itself_or_the_one_the_reason_names(reason, items, past):
    assert because({"reason": reason, "item_ids": items}) == past
