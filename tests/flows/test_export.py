"""A run is handed over as a file, once: rechecked, approved where it counts, and never half."""

import csv
import json
from datetime import timedelta

import pytest

from campaigns import failpoints
from campaigns.ledger import opt_out
from campaigns.ledger.history import sent_to
from campaigns.optout import verify
from flows import cli
from flows.approving.approvals import approve
from flows.campaign_files import find_campaign
from flows.delivering.delivery import deliver_campaign
from flows.delivering.ledgers import open_for
from flows.export import export_campaign
from flows.keys import workspace_keys
from flows.workspace import checksum, read_json, read_table
from recsys.tables import InputError


def export(shop, out, form="csv", live=False, now=None):
    at = now or shop.as_of
    return export_campaign(shop.workspace, shop.settings, "panen", form, out, live=live, clock=lambda: at)


def approved(shop):
    approve(shop.workspace, shop.settings, find_campaign(shop.workspace, "panen"), "Ibu Ratna", shop.as_of)
    return shop


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def states(shop, live=True):
    ledger = open_for(shop.workspace, shop.settings, live, shop.as_of)
    try:
        return {
            row["message_id"]: (entry["state"], entry["provider_id"])
            for row in shop.rows("messages")
            for entry in sent_to(ledger, row["customer_id"])
        }
    finally:
        ledger.close()


@pytest.fixture
def shop_out(copied, tmp_path):
    return copied, tmp_path / "out"


def test_a_rehearsal_writes_one_row_for_each_message_with_its_fields(shop_out):
    shop, out = shop_out
    result = export(shop, out)
    people = {row["customer_id"]: row for row in read_table(shop.workspace, "customers").to_pylist()}
    messages = {row["message_id"]: row for row in shop.rows("messages")}
    rows = rows_of(out / "messages.csv")
    assert len(rows) == result["rows"] == len(messages) - sum(n for _, _, n in result["left_out"])
    keys = workspace_keys(shop.workspace, shop.settings)
    for row in rows:
        message, person = messages[row["message_id"]], people[row["customer_id"]]
        assert (row["language"], row["channel"]) == (message["language"], message["channel"])
        assert verify(row["unsubscribe_url"].rpartition("/")[2], keys.signing) == row["message_id"]
        given = shop.rows("decisions", customer_id=row["customer_id"])
        assert row["offer_1_id"] == given[0]["offer_id"]
        assert row["offer_1_title"]
        assert row["offer_1_terms"]
        assert row["offer_1_until"] > row["send_after"]
        if row["channel"] == "email":
            assert row["address"] == person["email"]
            assert row["unsubscribe_url"] in row["body_html"]
            assert row["unsubscribe_url"] in row["body_text"]
        else:
            assert json.loads(row["address"]) == person["push_tokens"]
            assert json.loads(row["payload"])
    (file,) = read_json(out / "manifest.json")["files"]
    assert (file["rows"], file["sha256"]) == (len(rows), checksum(out / "messages.csv"))
    assert states(shop) == {}, "a rehearsal does not count"


def test_live_it_needs_an_approval_and_leaves_nothing_without(shop_out):
    shop, out = shop_out
    with pytest.raises(InputError, match="nobody has approved it"):
        export(shop, out, live=True)
    assert not list(out.iterdir())


def test_what_was_exported_is_sent_and_is_not_sent_again(shop_out):
    shop, out = shop_out
    result = export(approved(shop), out, live=True)
    found = states(shop)
    sent = {name for name, (state, provider) in found.items() if (state, provider) == ("sent", "export")}
    assert sent == {row["message_id"] for row in rows_of(out / "messages.csv")}
    assert len(sent) == result["rows"] > 20
    with pytest.raises(InputError, match="is finished, so nothing is handed over"):
        export(shop, out.with_name("lagi"), live=True)
    assert states(shop) == found


def test_who_said_no_since_is_left_out_and_counted(shop_out):
    shop, out = shop_out
    gone = shop.rows("messages", channel="email")[0]["customer_id"]
    ledger = open_for(shop.workspace, shop.settings, True, shop.as_of)
    opt_out(ledger, gone, "all", "link", shop.as_of)
    ledger.close()
    result = export(approved(shop), out, live=True)
    assert gone not in {row["customer_id"] for row in rows_of(out / "messages.csv")}
    assert ["skipped", "opted out", 1] in result["left_out"]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_other_formats_hold_the_same_messages(shop_out, form):
    shop, out = shop_out
    export(shop, out)
    again = export(shop, out.with_name(form), form)
    assert again["rows"] == len(rows_of(out / "messages.csv"))
    assert (out.with_name(form) / f"messages.{form}").stat().st_size > 1_000


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("step", "handed_over"), [("written", False), ("marked", False), ("published", True)])
def test_killed_it_has_handed_over_all_or_nothing(shop_out, step, handed_over):
    shop, out = shop_out
    approved(shop)

    def kill():
        raise Killed

    failpoints.arm(f"export.{step}", kill)
    try:
        with pytest.raises(Killed):
            export(shop, out, live=True)
    finally:
        failpoints.disarm()
    assert (out / "manifest.json").exists() == handed_over
    later = shop.as_of + timedelta(minutes=30)
    if step == "written":
        assert export(shop, out, live=True, now=later)["rows"] > 20
        assert {state for state, _ in states(shop).values()} >= {"sent"}
    else:  # nobody can say whether the service has got it: told, and never sent again by itself
        export(shop, out.with_name("lagi"), live=True, now=later)
        assert rows_of(out.with_name("lagi") / "messages.csv") == []
        assert "unknown" in {state for state, _ in states(shop).values()}
        assert "sent" not in {state for state, _ in states(shop).values()}


def test_messages_in_the_hands_of_another_sender_are_waited_for(shop_out):
    shop, out = shop_out
    approved(shop)

    def kill():
        raise Killed

    failpoints.arm("export.written", kill)
    try:
        with pytest.raises(Killed):
            export(shop, out, live=True)
    finally:
        failpoints.disarm()
    with pytest.raises(RuntimeError, match="in the hands of another sender"):
        export(shop, out, live=True, now=shop.as_of + timedelta(minutes=1))
    assert not list(out.iterdir())


def test_a_rehearsed_delivery_and_a_rehearsed_export_do_not_hinder_each_other(shop_out):
    shop, out = shop_out
    first = export(shop, out)["rows"]
    deliver_campaign(
        shop.workspace, shop.settings, "panen", live=False, clock=lambda: shop.as_of, wait=lambda _: None, fresh=True
    )
    assert export(shop, out.with_name("lagi"))["rows"] == first


def test_what_is_late_is_not_handed_over(shop_out):
    shop, out = shop_out
    with pytest.raises(InputError, match="its time is over"):
        export(approved(shop), out, live=True, now=shop.as_of + timedelta(days=40))
    assert states(shop) == {}


def test_an_export_is_not_written_over(shop_out):
    shop, out = shop_out
    export(shop, out)
    before = checksum(out / "messages.csv")
    with pytest.raises(InputError, match="there is an export already"):
        export(shop, out)
    assert checksum(out / "messages.csv") == before


def test_from_the_command_line(shop_out, capsys):
    shop, out = shop_out
    command = ["export", "panen", "--out", str(out), "--rehearsal", "--workspace", str(shop.workspace.root), "--json"]
    assert cli.run([*command, "--format", "xls"]) == 2
    assert "--format: expected one of csv, jsonl, parquet" in capsys.readouterr().err
    assert cli.run(command) == 0
    assert json.loads(capsys.readouterr().out)["rows"] > 20
    assert read_json(shop.workspace.root / "exports.json") == {"folders": [str(out)]}
