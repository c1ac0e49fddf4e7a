"""An agent sees what somebody was sent, why and on what terms, what became of it, and what they refused."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from campaigns.ledger import Firing, Outcome, address_hash, change, claim, mark, open_ledger, opt_out, plan, settle
from campaigns.ledger import suppress as suppress_hash
from campaigns.ledger.planning import RUNNING
from campaigns.ledger.schema import SENT
from flows import cli
from flows.history import customer_history
from flows.keys import workspace_keys
from flows.workspace import read_table
from recsys.tables import InputError


@pytest.fixture
def delivered(copied):
    """The first two mails of the run in the ledger, the first of them sent an hour late."""
    mails = copied.rows("messages", channel="email")[:2]
    at = mails[0]["send_after"]
    ledger = open_ledger(str(copied.workspace.root / "ledger.db"), at)
    due, until = int(at.timestamp() * 1000), int((at + timedelta(days=1)).timestamp() * 1000)
    rows = []
    for mail in mails:
        offers = sorted({row["offer_id"] for row in copied.rows("decisions", customer_id=mail["customer_id"])})
        name = mail["customer_id"]
        rows.append((mail["message_id"], name, name, "email", "x.example", due, until, json.dumps(offers), "[]"))
    firing = Firing("panen", copied.manifest["occurrence"], "run")
    plan(ledger, firing, [], lambda _: [rows], at)
    change(ledger, "panen", firing.occurrence, RUNNING, at)
    later = at + timedelta(hours=1)
    for one in claim(ledger, "panen", firing.occurrence, "email", "s", 9, later, timedelta(minutes=5)):
        if one.message_id == mails[0]["message_id"]:
            mark(ledger, one)
            settle(ledger, [Outcome(one.message_id, one.fence, SENT, detail="250")], later)
    yield replace(copied), ledger, mails
    ledger.close()


def told(shop, ledger, customer, language="id"):
    keys = workspace_keys(shop.workspace, shop.settings)
    return customer_history(shop.workspace, shop.settings, ledger, keys, customer, language)


def test_a_message_is_told_with_its_state_its_time_its_terms_and_why(delivered):
    shop, ledger, (first, _) = delivered
    history = told(shop, ledger, first["customer_id"])
    (message,) = history["messages"]
    assert (message["state"], message["state_words"]) == ("sent", "terkirim")
    assert message["at"] == (first["send_after"] + timedelta(hours=1)).isoformat()
    assert message["text"] == first["body_text"]
    given = shop.rows("decisions", customer_id=first["customer_id"])
    assert [offer["offer_id"] for offer in message["offers"]] == [row["offer_id"] for row in given]
    for offer, row in zip(message["offers"], given, strict=True):
        assert offer["funders"] == {cost["funder"]: cost["amount"] for cost in row["costs"]}
        assert offer["terms"]
        assert offer["until"] > message["at"]
        assert offer["why"]
    assert "menerima 1 pesan dari 1" in history["text"]


def test_it_speaks_english_where_asked_and_nothing_else(delivered):
    shop, ledger, (first, _) = delivered
    assert "was sent 1 messages" in told(shop, ledger, first["customer_id"], "en")["text"]
    with pytest.raises(InputError, match="expected id or en"):
        told(shop, ledger, first["customer_id"], "xx")


def test_what_was_decided_and_not_delivered_is_told_as_such(delivered):
    shop, ledger, _ = delivered
    push = shop.rows("messages", channel="push")[0]
    (message,) = told(shop, ledger, push["customer_id"])["messages"]
    assert (message["state"], message["at"]) == ("decided", push["send_after"].isoformat())
    assert told(shop, None, push["customer_id"])["messages"] == [message]


def test_refusals_and_suppressed_addresses_are_told_without_the_address(delivered):
    shop, ledger, (first, _) = delivered
    name, at = first["customer_id"], first["send_after"]
    (person,) = [row for row in read_table(shop.workspace, "customers").to_pylist() if row["customer_id"] == name]
    key = workspace_keys(shop.workspace, shop.settings).addresses
    opt_out(ledger, name, "all", "link", at)
    suppress_hash(ledger, [address_hash(person["email"], key)], "email", "hard bounce", at)
    history = told(shop, ledger, name)
    assert [(one["channel"], one["source"]) for one in history["refusals"]] == [("all", "link")]
    assert [(one["channel"], one["reason"]) for one in history["suppressions"]] == [("email", "hard bounce")]
    assert "Tidak mau lagi dikirimi promo lewat semua saluran" in history["text"]
    assert person["email"] not in json.dumps(history)


def test_an_offer_that_took_another_s_place_is_told(delivered):
    shop, ledger, (_, second) = delivered
    from sqlalchemy import update

    from campaigns.ledger.schema import MESSAGES

    with ledger.writing() as connection:
        mine = MESSAGES.c.message_id == second["message_id"]
        connection.execute(update(MESSAGES).where(mine).values(offers='["lain"]'))
    (message,) = told(shop, ledger, second["customer_id"])["messages"]
    assert (message["changed"], [offer["offer_id"] for offer in message["offers"]]) == (True, ["lain"])


def test_terms_of_a_campaign_that_was_changed_since_are_left_to_the_text(delivered):
    shop, ledger, (first, _) = delivered
    shop.edit_campaign("percent: 4", "percent: 5")
    (message,) = told(shop, ledger, first["customer_id"])["messages"]
    assert {offer["terms"] for offer in message["offers"]} == {None}
    assert all(offer["title"] for offer in message["offers"])


def test_a_stranger_is_said_to_be_one(delivered):
    shop, ledger, _ = delivered
    with pytest.raises(InputError, match="nothing is known of them"):
        told(shop, ledger, "entah")


def test_from_the_command_line(delivered, capsys):
    shop, ledger, (first, _) = delivered
    ledger.close()
    assert cli.run(["history", first["customer_id"], "--workspace", str(shop.workspace.root)]) == 0
    assert "terkirim" in capsys.readouterr().out
    command = ["history", first["customer_id"], "--workspace", str(shop.workspace.root), "--json", "--language", "en"]
    assert cli.run(command) == 0
    assert json.loads(capsys.readouterr().out)["messages"][0]["state_words"] == "sent"
