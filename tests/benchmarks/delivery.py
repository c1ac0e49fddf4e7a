"""Mails a second through the ledger, against smtplib in a loop without one; how fast a million decisions are put in.

Both hand over the same prebuilt bytes to an SMTP server in a process of its own. Ours is the loop of a delivery's
connection, with claims, marks and outcomes on the disk; only what readies a message is left out.

    python tests/benchmarks/delivery.py [--messages 5000] [--decisions 1000000] [--repeats 5] [--url postgresql://…]
"""

import argparse
import json
import smtplib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))

from serving import serve
from stopwatch import medians, row, table

from campaigns.channels.email import Email, Server
from campaigns.channels.mail import Envelope, mail_bytes
from campaigns.channels.pace import Pace
from campaigns.channels.parcel import Parcel
from campaigns.ledger import Account, Claim, Firing, Outcome, change, counts, open_ledger, plan
from campaigns.ledger.schema import RUNNING, SENT
from campaigns.ledger.store import milliseconds
from flows.delivering import sender
from flows.delivering.breaker import Breaker
from flows.delivering.desk import Ready
from flows.delivering.job import Job
from flows.delivering.sender import Line, send_line
from flows.delivering.timing import RealTime

NOW = datetime.now(UTC)
SENDER, ENVELOPE = "promo@toko.example", Envelope("promo@toko.example", "Toko Contoh", "panen.toko.example")
BLOCK = 10_000


def name_of(number: int) -> str:
    return f"panen-{number:07}"


def address_of(number: int) -> str:
    return f"pelanggan{number}@pelanggan.example"


def mails(number: int) -> list[bytes]:
    html, text = "<p>Halo, panen raya minggu ini untuk Anda.</p>" * 250, "Halo, panen raya minggu ini.\n" * 40
    url = "https://toko.example/berhenti/"
    return [
        mail_bytes(ENVELOPE, name_of(k), address_of(k), "Siti", "Panen", html, text, f"{url}{name_of(k)}", NOW)
        for k in range(number)
    ]


def in_a_loop(port: int, contents: Sequence[bytes]) -> None:
    """What everybody writes first."""
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        for number, content in enumerate(contents):
            smtp.sendmail(SENDER, [address_of(number)], content)


def decisions(number: int, ids: Mapping[Any, int]) -> Iterator[list[Any]]:
    uses = json.dumps([[ids["budget", "retailer"], 1_000], [ids["quota", "kopi"], 250_000]])
    due, until = milliseconds(NOW), milliseconds(NOW + timedelta(days=1))
    for start in range(0, number, BLOCK):
        yield [
            (name_of(k), f"c{k}", f"p{k}", "email", "pelanggan.example", due, until, '["kopi"]', uses)
            for k in range(start, min(number, start + BLOCK))
        ]


ACCOUNTS = [Account("budget", "retailer", None), Account("quota", "kopi", 10**15)]
turns = iter(range(10**6))


def put_in(ledger: Any, number: int) -> tuple[str, str]:
    """Into the ledger, as a new occurrence."""
    here = ("panen", f"turn-{next(turns)}")

    def blocks(ids: Mapping[Any, int]) -> Iterator[list[Any]]:
        for block in decisions(number, ids):
            yield [(f"{here[1]}/{one[0]}", *one[1:]) for one in block]

    plan(ledger, Firing(*here, "run"), ACCOUNTS, blocks, NOW)
    change(ledger, *here, RUNNING, NOW)
    return here


def through_the_ledger(ledger: Any, here: tuple[str, str], port: int, contents: Sequence[bytes], number: int) -> None:
    def prepared(desk: Any, claims: Sequence[Claim], now: datetime) -> tuple[list[Ready], list[Outcome]]:
        numbers = [int(own.message_id[-7:]) for own in claims]
        return [
            Ready(own, Parcel(own.message_id, (address_of(k),), contents[k]))
            for own, k in zip(claims, numbers, strict=True)
        ], []

    sender.prepared = prepared
    job = Job(ledger, *here, lambda: False, len(contents))
    desk: Any = SimpleNamespace(rules=SimpleNamespace(address_key=b"k"))
    line = Line("email", desk, Pace(), Breaker("email"), 20, number)
    server = Server("127.0.0.1", port, "none", sender=SENDER, hello="toko.example")
    timer = RealTime(lambda: datetime.now(UTC), lambda seconds: None)
    threads = [Thread(target=send_line, args=(job, line, lambda: Email(server), timer, f"s{k}")) for k in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(ledger, *here) == {("email", SENT): len(contents)}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--messages", type=int, default=5_000)
    asked.add_argument("--decisions", type=int, default=1_000_000)
    asked.add_argument("--repeats", type=int, default=5)
    asked.add_argument("--url", default="")
    given = asked.parse_args()
    contents = mails(given.messages)
    with tempfile.TemporaryDirectory() as folder, serve("sink", Path(folder) / "log") as sink:
        ledger, port = open_ledger(given.url or str(Path(folder) / "ledger.db"), NOW), int(sink.address)
        every = [put_in(ledger, given.messages) for _ in range(2 * given.repeats)]
        ways = {
            "loop": lambda: in_a_loop(port, contents),
            "one": lambda: through_the_ledger(ledger, every.pop(), port, contents, 1),
            "four": lambda: through_the_ledger(ledger, every.pop(), port, contents, 4),
        }
        seconds = medians(ways, given.repeats)
        rate = {name: given.messages / spent for name, spent in seconds.items()}
        theirs = f"{rate['loop']:,.0f} /s"
        rows = [
            row(f"mails, {count} connection(s)", f"{rate[way]:,.0f} /s", "smtplib in a loop, one connection", theirs,
                rate[way] / rate["loop"], f">= {least}", rate[way] / rate["loop"] >= least)
            for way, count, least in (("one", 1, 0.6), ("four", 4, 1.0))
        ]  # fmt: skip
        if given.decisions:
            loading = medians({"load": lambda: put_in(ledger, given.decisions)}, 1)["load"]
            rows.append(
                row(f"{given.decisions:,} decisions into the ledger", f"{loading:.1f} s", "", "", loading, "seconds",
                    loading < 60)
            )  # fmt: skip
        ledger.close()
        print(f"mails of {len(contents[0]):,} bytes, medians of {given.repeats}")
        print(table(rows))


if __name__ == "__main__":
    main()
