"""A campaign without offers greets everybody in the audience while the channels have room; phases decide their own."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from shutil import copytree

import pyarrow.parquet as pq
import pytest

from campaigns.calendar import occurrences
from flows.campaign_files import find_campaign
from flows.decide import decide_together
from flows.workspace import Workspace, folder_digest
from recsys.tables import InputError

SALAM = """\
id: salam
name: Salam
schedule:
  occasion: date
  date: 2017-12-08
  phases:
    - {id: salam, time: "10:00"}
    - {id: penawaran, days: 1, time: "08:00"}
    - {id: habis, days: 2, time: "08:00"}
window_days: 7
control: {share: 0.1}
channels:
  email: {capacity: 40, message_cost: 50, placements: {hero: 1}}
  push: {capacity: 30, message_cost: 10, placements: {push: 1}}
budgets: {retailer: 100000}
offers:
  - id: kilat
    benefit: {kind: cashback, percent: 3}
    scope: {everything: true}
    valid: {hours: 2}
    uplift: 0.6
    phases: [penawaran]
    text: {id: {title: "Mulai pukul {{ starts }}"}, en: {title: "From {{ starts }}"}}
  - id: sisa
    benefit: {kind: cashback, percent: 3}
    scope: {items: [i00004]}
    per_unit: 2
    uplift: 0.6
    phases: [habis]
    text: {id: {title: Sisa}, en: {title: Left}}
content:
  id: &words
    subject: Selamat, {{ customer.called }}
    heading: "{{ customer.greeting }}"
    intro: Terima kasih.
    push_title: Selamat
    push_body: Terima kasih, {{ customer.called }}.
  en: *words
"""


@pytest.fixture(scope="module")
def salam(tmp_path_factory, shop):
    root = tmp_path_factory.mktemp("salam") / "shop"
    copytree(shop.workspace.root, root, symlinks=True)
    made = replace(shop, workspace=Workspace(root))
    made.write_campaign(SALAM, "salam")
    return made


def decide(shop, phase):
    """The manifest and folder of one phase's run."""
    campaign = find_campaign(shop.workspace, "salam")
    due = {o.phase: o for o in occurrences(campaign.schedule, shop.as_of, 3)}
    (manifest,) = decide_together(shop.workspace, shop.settings, [(campaign, due[phase])], shop.as_of)
    return manifest, shop.workspace.run("salam", manifest["occurrence"])


@pytest.fixture(scope="module")
def greeted(salam):
    return decide(salam, "salam")


def test_everybody_is_greeted_while_the_channels_have_room(greeted):
    manifest, folder = greeted
    messages = pq.read_table(folder / "messages.parquet").to_pylist()
    steps = dict(manifest["funnel"])
    assert steps["addressed"] == len(messages) == manifest["counts"]["messages"]
    assert {name: channel["sent"] for name, channel in manifest["channels"].items()} == {"email": 40, "push": 30}
    assert steps["limits reached"] > 0
    assert sum(people for step, people in manifest["funnel"] if step != "customers") == steps["customers"]


def test_a_greeting_costs_nothing_holds_no_offer_and_leaves_out_the_controls(greeted):
    manifest, folder = greeted
    decisions = pq.read_table(folder / "decisions.parquet").to_pylist()
    assert {(row["offer_id"], row["value"], len(row["costs"]), row["reason"]) for row in decisions} == {
        ("", 0, 0, "greeting")
    }
    assert {row["arm"] for row in decisions} == {"treatment", "control"}
    written = {row["customer_id"] for row in pq.read_table(folder / "messages.parquet").to_pylist()}
    assert written == {row["customer_id"] for row in decisions if row["arm"] == "treatment"}
    assert (manifest["offers"], manifest["budgets"], manifest["phase"]) == ([], [], "salam")


def test_its_words_stand_in_mail_and_push_and_its_report(greeted):
    _, folder = greeted
    for row in pq.read_table(folder / "messages.parquet").to_pylist():
        assert row["subject"].startswith("Selamat")
        assert "Terima kasih" in row["body_text"]
        if row["payload"]:
            assert "offer" not in json.loads(row["payload"])["message"]["data"]
    assert "Salam" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Jakarta", "America/New_York"])
def test_the_same_greeting_again_gives_the_same_bytes_whatever_the_machines_zone(salam, greeted, zone, monkeypatch):
    _, folder = greeted
    before = folder_digest(folder)
    with monkeypatch.context() as machine:
        machine.setenv("TZ", zone)
        time.tzset()
        again = folder_digest(decide(salam, "salam")[1])
    time.tzset()
    assert again == before


def test_a_phase_with_offers_is_decided_with_them_and_says_when_they_begin_and_end(salam):
    manifest, folder = decide(salam, "penawaran")
    assert [offer["offer_id"] for offer in manifest["offers"]] == ["kilat"]
    messages = pq.read_table(folder / "messages.parquet").to_pylist()
    assert messages
    send_at = datetime(2017, 12, 9, 1, tzinfo=UTC)
    assert {row["send_before"] for row in messages} == {send_at + timedelta(hours=2)}
    assert all(row["send_after"] >= send_at for row in messages)
    assert any("08.00 WIB" in row["body_text"] for row in messages)


def test_a_day_that_leaves_no_offer_is_told(salam):
    with pytest.raises(InputError, match="salam: no offer is left on 2017-12-10: no stock, or past the last order"):
        decide(salam, "habis")
