"""A forgotten customer's rows stay under a pseudonym, on both databases, and no byte of the id in a SQLite file."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from campaigns.ledger import Firing, Ledger, LedgerError, change, claim, open_ledger, opt_out, plan, suppressed
from campaigns.ledger.erasure import compact, follow_runs, message_ids, pseudonymise
from campaigns.ledger.history import occurrences, sent_to
from campaigns.ledger.people import next_due, offers_of, refusals
from campaigns.ledger.planning import RUNNING

NOW = datetime(2026, 12, 11, 17, tzinfo=UTC)
PANEN = ("panen", "20261211t170000z")
CANARY, PSEUDONYM = "kenari-tunggal", "forgotten-1"
HASHES = {"email": ["hash-1"], "push": ["hash-2", "hash-3"]}


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = open_ledger(ledger_url, NOW)
    fill(opened)
    yield opened
    opened.close()


def fill(ledger: Ledger) -> None:
    until = int((NOW + timedelta(days=1)).timestamp() * 1000)
    rows = [
        ("m1", CANARY, CANARY, "email", f"{CANARY}.example", 0, until, '["kopi"]', "[]"),
        ("m2", "ann", "ann", "email", "x.example", 5_000, until, '["teh"]', "[]"),
        ("m3", "akun-dua", CANARY, "push", "", 0, until, "[]", "[]"),
    ]
    plan(ledger, Firing(*PANEN, "run-1"), [], lambda _: [rows], NOW)
    opt_out(ledger, CANARY, "push", "link", NOW)
    change(ledger, *PANEN, RUNNING, NOW)


def test_rows_stay_under_the_pseudonym_and_nothing_is_sent_to_it(ledger: Ledger) -> None:
    assert message_ids(ledger, CANARY) == ["m1"]
    assert pseudonymise(ledger, CANARY, PSEUDONYM, HASHES, NOW) == 1
    assert message_ids(ledger, CANARY) == []
    (row,) = sent_to(ledger, PSEUDONYM)
    assert (row["message_id"], row["person_id"], row["domain"]) == ("m1", PSEUDONYM, "")
    assert sent_to(ledger, "akun-dua")[0]["person_id"] == PSEUDONYM
    assert [(one.channel, one.source) for one in refusals(ledger, PSEUDONYM)] == [
        ("all", "forgotten"), ("push", "link")
    ]  # fmt: skip
    assert refusals(ledger, CANARY) == []
    assert suppressed(ledger, ["hash-2"], "push") == {"hash-2": "forgotten"}
    claims = claim(ledger, *PANEN, "email", "s", 9, NOW + timedelta(hours=1), timedelta(minutes=1))
    assert [one.message_id for one in claims] == ["m2"]


def test_done_again_it_changes_nothing(ledger: Ledger) -> None:
    pseudonymise(ledger, CANARY, PSEUDONYM, HASHES, NOW)
    before = sent_to(ledger, PSEUDONYM), refusals(ledger)
    assert pseudonymise(ledger, CANARY, PSEUDONYM, HASHES, NOW + timedelta(days=1)) == 0
    assert (sent_to(ledger, PSEUDONYM), refusals(ledger)) == before


def test_an_occurrence_follows_its_run(ledger: Ledger) -> None:
    follow_runs(ledger, {"run-1": "run-2", "entah": "run-3"})
    assert [row["run"] for row in occurrences(ledger)] == ["run-2"]


def test_what_is_waiting_and_offered_is_told(ledger: Ledger) -> None:
    assert offers_of(ledger, ["m1", "m3", "entah"]) == {"m1": ["kopi"], "m3": []}
    due = next_due(ledger, *PANEN, "push")
    assert due == datetime(1970, 1, 1, tzinfo=UTC)
    assert next_due(ledger, *PANEN, "sms") is None


def test_a_compacted_ledger_can_be_used_on(ledger: Ledger) -> None:
    pseudonymise(ledger, CANARY, PSEUDONYM, HASHES, NOW)
    compact(ledger)
    assert message_ids(ledger, PSEUDONYM) == ["m1"]


def test_no_byte_of_the_id_is_left_in_the_files(tmp_path: Path) -> None:
    def files() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))

    ledger = open_ledger(str(tmp_path / "ledger.db"), NOW)
    fill(ledger)
    assert CANARY.encode() in files()
    pseudonymise(ledger, CANARY, PSEUDONYM, HASHES, NOW)
    compact(ledger)
    assert CANARY.encode() not in files()
    ledger.close()
    assert CANARY.encode() not in files()


@pytest.mark.parametrize("statement", ["begin", "begin immediate"])
def test_a_reader_or_writer_that_is_at_work_is_told_of(tmp_path: Path, statement: str) -> None:
    ledger = open_ledger(str(tmp_path / "ledger.db"), NOW)
    fill(ledger)
    pseudonymise(ledger, CANARY, PSEUDONYM, HASHES, NOW)
    with ledger.writes.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.execute("pragma busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute(statement)
    other.execute("select count(*) from messages").fetchall()
    with pytest.raises(LedgerError, match="do it again"):
        compact(ledger)
    other.close()
    compact(ledger)
    ledger.close()
