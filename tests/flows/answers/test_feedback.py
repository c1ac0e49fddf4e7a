"""Feedback taken in: who is named is suppressed or opted out, once; what is not understood is told and harms nobody."""

import gzip
import json
import os
import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from campaigns.ledger import Firing, address_hash, open_ledger, plan, suppressed
from campaigns.ledger.people import refusals
from campaigns.tables import CUSTOMERS
from flows import cli
from flows.answers import feedback
from flows.answers.feedback import OTHERS_MESSAGE, take_feedback
from flows.answers.returned import LARGEST, MOST_REFUSED
from flows.keys import workspace_keys
from flows.settings import load_settings
from flows.workspace import Workspace, publish_catalog, read_table, write_parquet
from recsys.tables import InputError

NOW = datetime(2026, 12, 13, tzinfo=UTC)
SENT = datetime(2026, 12, 11, 17, tzinfo=UTC)
NAMES = ("budi", "ann", "sari")
ID = {name: (name.encode().hex() * 8)[:32] for name in NAMES}


def mail_of(name):
    return f"{name}@pelanggan.example"


def bounce(name="budi", status="5.1.1", address=None, message=None):
    return (
        "From: MAILER-DAEMON@mx.example\nDate: Sat, 12 Dec 2026 00:06:00 +0700\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
        f"Final-Recipient: rfc822; {address or mail_of(name)}\nAction: failed\nStatus: {status}\n\n"
        f"--b\nContent-Type: message/rfc822\n\nMessage-ID: <{message or ID[name]}@toko.example>\n\nHalo\n--b--\n"
    )


def complaint(name="ann", recipient=""):
    return (
        "From: fbl@mx.example\nDate: Sat, 12 Dec 2026 00:06:00 +0700\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n"
        f"Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n{recipient}\n"
        f"--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <{ID[name]}@toko.example>\n\n--b--\n"
    )


class Shop:
    def __init__(self, root):
        self.place, self.inbox = Workspace(root / "toko"), root / "inbox"
        self.inbox.mkdir()
        self.place.root.mkdir()
        self.place.settings_file.write_text('timezone = "Asia/Jakarta"\n')
        people = [{"customer_id": name, "name": name.title(), "email": mail_of(name).upper()} for name in NAMES]
        table = pa.Table.from_pylist(people, schema=CUSTOMERS.schema)
        write_parquet(self.place.tables / "customers/all.parquet", table)
        files = [{"part": "all", "path": "customers/all.parquet", "rows": 3, "sha256": "x"}]
        publish_catalog(self.place, {"customers": {"rows": 3, "files": files}})
        self.settings = load_settings(self.place)
        self.keys = workspace_keys(self.place, self.settings)
        self.ledger = open_ledger(str(self.place.root / "ledger.db"), SENT)
        rows = [(ID[name], name, name, "email", "pelanggan.example", 0, 10**15, "[]", "[]") for name in NAMES]
        plan(self.ledger, Firing("panen", "20261211t170000z", "run"), [], lambda _: [rows], SENT)

    def put(self, name, content):
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def take(self, path=None, kind="auto"):
        return take_feedback(self.place, self.settings, self.ledger, self.keys, path or self.inbox, kind, NOW)

    @property
    def rows(self):
        found = read_table(self.place, "feedback").to_pylist()
        return {(row["message_id"], row["customer_id"], row["event"]) for row in found}

    @property
    def hushed(self):
        hashes = {address_hash(mail_of(name), self.keys.addresses): name for name in NAMES}
        return {hashes[one]: why for one, why in suppressed(self.ledger, hashes, "email").items()}

    @property
    def refused(self):
        return {(one.customer_id, one.channel, one.source) for one in refusals(self.ledger)}


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path)
    yield made
    made.ledger.close()


def test_a_hard_bounce_suppresses_its_address_and_is_in_the_table(shop):
    shop.put("satu.eml", bounce())
    result = shop.take()
    assert (result["events"], result["suppressed"], result["rows"]) == ({"bounced": 1}, 1, 1)
    assert shop.hushed == {"budi": "hard bounce"}
    assert shop.rows == {(ID["budi"], None, "bounced")}
    (row,) = read_table(shop.place, "feedback").to_pylist()
    assert row["at"] == datetime(2026, 12, 11, 17, 6, tzinfo=UTC)
    assert shop.refused == set()


def test_a_soft_bounce_is_counted_and_nothing_else(shop):
    shop.put("satu.eml", bounce(status="4.2.2"))
    assert shop.take()["events"] == {"soft bounce": 1}
    assert (shop.hushed, shop.rows, shop.refused) == ({}, set(), set())


def test_a_complaint_suppresses_and_opts_out(shop):
    shop.put("satu.eml", complaint())
    assert shop.take()["opted_out"] == 1
    assert shop.hushed == {"ann": "complaint"}
    assert shop.refused == {("ann", "email", "complaint")}
    assert shop.rows == {(ID["ann"], None, "complained")}


def test_the_same_again_in_any_shape_changes_nothing(shop):
    shop.put("satu.eml", bounce())
    shop.put("dua.eml", complaint())
    shop.put("kotak.mbox", f"From a Sat\n{bounce()}\nFrom b Sat\n{complaint()}\n")
    first = shop.take()
    files = sorted(path.name for path in shop.place.tables.rglob("*"))
    again = shop.take()
    assert first["events"] == {"bounced": 1, "complained": 1}
    assert (first["known"], again["known"], again["events"]) == (2, 4, {})
    assert (again["rows"], again["suppressed"], again["opted_out"]) == (0, 0, 0)
    assert sorted(path.name for path in shop.place.tables.rglob("*")) == files


@pytest.mark.parametrize("step", ["add_rows", "take_in"])
def test_what_was_broken_off_is_completed_by_the_next_time(shop, monkeypatch, step):
    shop.put("satu.eml", bounce())
    shop.put("dua.eml", complaint())

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(feedback, step, killed)
        with pytest.raises(KeyboardInterrupt):
            shop.take()
    assert (shop.hushed, shop.refused) == ({}, set())
    shop.take()
    assert shop.hushed == {"budi": "hard bounce", "ann": "complaint"}
    assert len(shop.rows) == read_table(shop.place, "feedback").num_rows == 2


def test_an_unknown_message_falls_back_to_the_address(shop):
    shop.put("satu.eml", bounce("sari", message="f" * 32))
    assert shop.take()["unmatched"] == 0
    assert shop.hushed == {"sari": "hard bounce"}
    assert shop.rows == {(ID["sari"], None, "bounced")}, "by the latest message to this customer"


def test_an_address_of_nobody_is_suppressed_and_no_customer_is_touched(shop):
    shop.put("satu.eml", bounce(address="entah@lain.example", message="f" * 32))
    result = shop.take()
    assert (result["unmatched"], result["suppressed"], result["rows"]) == (1, 1, 0)
    assert (shop.hushed, shop.rows) == ({}, set())


def test_a_report_that_puts_a_message_and_somebody_elses_address_together_is_not_believed(shop):
    shop.put("satu.eml", bounce("budi", address=mail_of("ann")))
    shop.put("dua.eml", complaint("budi", f"Original-Rcpt-To: {mail_of('ann')}\n"))
    assert shop.take()["quarantined"] == {OTHERS_MESSAGE: 2}
    assert (shop.hushed, shop.refused, shop.rows) == ({}, set(), set())


def test_an_address_that_changed_since_is_the_one_that_was_named(shop):
    shop.put("satu.eml", bounce("budi", address="budi.lama@pelanggan.example"))
    shop.take()
    assert shop.hushed == {}
    old = address_hash("budi.lama@pelanggan.example", shop.keys.addresses)
    assert suppressed(shop.ledger, [old], "email") == {old: "hard bounce"}
    assert shop.rows == {(ID["budi"], None, "bounced")}


def test_a_list_of_events_is_taken_in_line_by_line(shop):
    at = "2026-12-12T08:00:00"
    shop.put("ekspor.csv", "event,message_id,email,customer_id,campaign_id,timestamp\n"
        f"delivered,{ID['ann']},,,,{at}\nopen,{ID['ann']},,,,{at}\nclick,,{mail_of('ann')},,,{at}\n"
        f"unsubscribe,,{mail_of('budi')},,,{at}\nspamreport,,,sari,panen,{at}\nprocessed,{ID['ann']},,,,{at}\n"
        f"meledak,{ID['ann']},,,,{at}\nopen,{ID['ann']},,,,besok\n"
        f"bounce,,{mail_of('ann')},,,2999-01-01T00:00:00\n")  # fmt: skip
    result = shop.take()
    assert result["events"] == {
        "bounced": 1, "clicked": 1, "complained": 1, "delivered": 1, "opened": 1, "unsubscribed": 1
    }  # fmt: skip
    assert (result["left_out"], sum(result["quarantined"].values())) == (1, 2)
    assert shop.refused == {("budi", "email", "feedback"), ("sari", "email", "complaint")}
    assert shop.hushed == {"ann": "hard bounce", "sari": "complaint"}
    assert shop.rows >= {(ID["ann"], None, "clicked"), (None, "sari", "complained"), (ID["budi"], None, "unsubscribed")}
    times = read_table(shop.place, "feedback")["at"].to_pylist()
    assert max(times) == NOW, "nothing is dated in the future"
    assert min(times) == datetime(2026, 12, 12, 1, tzinfo=UTC), "instants without a zone are the shop's"


def test_many_events_are_taken_in_portions(shop, monkeypatch):
    monkeypatch.setattr(feedback, "CHUNK", 3)
    lines = [f"open,{ID['ann']},{1_797_000_000 + k}" for k in range(10)]
    shop.put("ekspor.csv", "\n".join(["event,message_id,ts", *lines]))
    assert (shop.take()["rows"], read_table(shop.place, "feedback").num_rows) == (10, 10)


def test_whatever_else_lies_there_is_told_and_harms_nothing(shop, tmp_path):
    shop.put("satu.eml", bounce())
    shop.put("halaman.html", "<html>" + bounce("ann"))
    shop.put("kosong.eml", "")
    shop.put("arsip.csv.gz", gzip.compress(bounce("ann").encode()))
    shop.put("arsip.zip", b"PK\x03\x04" + b"x" * 99)
    shop.put("acak.bin", random.Random(3).randbytes(20_000))
    shop.put("balasan.eml", "From: budi@pelanggan.example\nSubject: Re: Promo\n\nTerima kasih\n")
    shop.put(f"{mail_of('ann')}.eml", "x" * 10)
    shop.put("besar.eml", "From: x\n\n" + "y" * 6_000_000)
    with (shop.inbox / "raksasa.csv").open("wb") as file:
        file.truncate(LARGEST + 1)
    shop.put("maildir/cur/1", complaint())
    shop.put("maildir/tmp/2", bounce("sari"))
    shop.put(".tersembunyi", bounce("sari"))
    os.mkfifo(shop.inbox / "pipa")
    outside = tmp_path / "di-luar.eml"
    outside.write_text(bounce("sari"))
    (shop.inbox / "tautan.eml").symlink_to(outside)
    result = shop.take()
    assert result["events"] == {"bounced": 1, "complained": 1}
    assert sum(result["quarantined"].values()) == 9
    assert "sari" not in shop.hushed
    listed = (shop.place.root / result["quarantine"]).read_text()
    assert "@" not in listed
    assert {json.loads(line)["reason"] for line in listed.splitlines()} == set(result["quarantined"])
    shop.take()
    assert (shop.place.root / result["quarantine"]).read_text() == listed


def test_a_file_of_nothing_but_faults_is_left_early(shop):
    shop.put("ekspor.csv", "event,email\n" + "meledak,x\n" * (MOST_REFUSED * 3))
    assert sum(shop.take()["quarantined"].values()) == MOST_REFUSED + 1


def test_only_what_was_asked_for_is_taken_in(shop):
    shop.put("satu.eml", bounce())
    shop.put("dua.eml", complaint())
    assert shop.take(kind="complaint")["events"] == {"complained": 1}
    assert shop.take(kind="csv")["events"] == {}
    assert shop.take(kind="bounce")["events"] == {"bounced": 1}


def test_a_place_where_nothing_is_is_said(shop):
    with pytest.raises(InputError, match="no such file or folder"):
        shop.take(shop.inbox / "entah")


def test_from_the_command_line(shop, capsys):
    shop.put("satu.eml", bounce())
    assert cli.run(["feedback", str(shop.inbox), "--workspace", str(shop.place.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["suppressed"] == 1
    assert cli.run(["feedback", str(shop.inbox), "--workspace", str(shop.place.root), "--kind", "surat"]) == 2
    assert "--kind: expected one of auto" in capsys.readouterr().err


def test_events_dated_before_they_can_be_are_of_now_or_of_their_message(shop):
    shop.put("satu.eml", bounce().replace("Sat, 12 Dec 2026", "Sat, 12 Dec 1969"))
    shop.take()
    assert read_table(shop.place, "feedback")["at"].to_pylist() == [SENT]
    assert SENT + timedelta(days=1) < NOW
