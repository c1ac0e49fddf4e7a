"""The whole of a delivery is killed where its parts meet; the next one makes good, and nobody gets anything twice."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from amounts import many
from kills import code_of, names_in_source, started, unhit
from ledger_checker import check, rows
from serving import serve

from campaigns import failpoints
from campaigns.channels.email import Email, Server
from campaigns.channels.push import Push
from campaigns.ledger.schema import SENT, UNKNOWN
from flows.delivering import sending

LATER = timedelta(minutes=2)


def test_a_delivery_that_is_killed_anywhere_goes_on_where_it_was(
    going: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[..., None]
) -> None:
    ledger = going.workspace.root / "ledger.db"
    planned = {row["message_id"]: row["customer_id"] for row in going.run.messages.to_pylist()}
    campaign, seen = going.run.campaign_id, tmp_path / "seen"

    def deliver(arm: Callable[[], None] = lambda: None) -> int:
        def work() -> None:
            arm()
            going.deliver()

        return code_of(started(work))

    def watch() -> None:
        class Seen(dict[str, Callable[[], None]]):
            def __contains__(self, name: object) -> bool:
                with seen.open("a") as log:
                    log.write(f"{name}\n")
                return False

        monkeypatch.setattr(failpoints, "_armed", Seen())

    with serve("smtp", tmp_path / "mails") as mails, serve("fcm", tmp_path / "pushes") as pushes:
        server = Server("127.0.0.1", int(mails.address), "none", sender="promo@toko.example", hello="toko.example")

        def connections(place: Any, settings: Any, channel: str, clock: Any) -> tuple[Callable[[], Any], int]:
            if channel == "email":
                return (lambda: Email(server)), 1
            return (lambda: Push("toko-contoh", lambda renew: "t", clock, base_url=pushes.address)), 1

        monkeypatch.setattr(sending, "connections", connections)

        def taken() -> list[tuple[str, str]]:
            by_mail = [(one["message_id"].partition("@")[0], one["recipient"]) for one in mails.taken()]
            return by_mail + [(f"push to {one['token']}", one["token"]) for one in pushes.taken()]

        assert deliver(watch) == 0
        usual = taken()
        reached = Counter(seen.read_text().split())
        names = names_in_source("flows/delivering/desk.py", "flows/delivering/sender.py", "flows/delivering/sending.py")
        names |= {"deliver.planned", "deliver.started", "mark.after", "email.dot", "push.write", "sent.before"}
        wrong: list[str] = []
        kills = 0
        places = sorted(names - unhit(names, set(reached)))
        for turn in range(many(1, 6)):
            for place in places[turn % many(3, 1) :: many(3, 1)]:
                for path in going.workspace.root.glob("ledger.db*"):
                    path.unlink()
                left = [random.Random(f"{place} {turn}").randint(1, reached[place])]

                def arm(place: str = place, left: list[int] = left) -> None:
                    def kill() -> None:
                        left[0] -= 1
                        if left[0] == 0:
                            os.kill(os.getpid(), signal.SIGKILL)

                    failpoints.arm(place, kill)

                begun = going.clock.at
                code = deliver(arm)
                kills += code == -signal.SIGKILL
                going.clock.at = begun + LATER
                assert deliver() == 0
                going.clock.at = begun
                arrived = taken()
                by_mail = [one for one in arrived if not one[0].startswith("push")]
                facts = check(str(ledger), campaign, by_mail, planned=planned, most_unknown=2, complete=False)
                states = {row["message_id"]: row["state"] for row in rows(str(ledger), "select * from messages")}
                doubtful = sum(state == UNKNOWN for state in states.values())
                wrong += [f"{place}: {fault}" for fault in facts.faults if "no server has it" not in fault]
                if len(set(arrived)) != len(arrived):
                    wrong.append(f"{place}: {len(arrived) - len(set(arrived))} twice")
                missing = len(set(usual) - set(arrived))
                if missing > doubtful:
                    wrong.append(f"{place}: {missing} got nothing, {doubtful} are doubtful")
                if sum(state == SENT for state in states.values()) + doubtful < len(set(usual)):
                    wrong.append(f"{place}: {Counter(states.values())}")
    record_property("whole deliveries killed", kills)
    assert wrong == []
    assert len(usual) > 20
    assert kills >= len(places) / 3 - 1
