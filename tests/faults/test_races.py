"""Several senders at once, a sender that was only asleep, refusals that come at the same moment, clocks that jump."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from amounts import many
from conftest import Ledgers
from kills import LATER, Bench, Kill, code_of, in_child, judged, killed, started, warmed
from ledger_checker import rows
from serving import serve
from world import LEASE, NOW, Clock, World, deliver, here

from campaigns import failpoints
from campaigns.ledger import Account, Firing, Outcome, change, claim, open_ledger, opt_out, plan, recover, settle
from campaigns.ledger.schema import BOUNCED, PENDING, RUNNING, SENT
from campaigns.ledger.store import milliseconds

FEW = ("ok", "ok", "dot.4xx", "ok", "ok", "ok")


@contextmanager
def bench_of(channel: str, ledgers: Ledgers, folder: Path) -> Iterator[Bench]:
    with serve("smtp" if channel == "email" else "fcm", folder / "log") as server:
        bench = Bench(channel, server, ledgers, folder)
        with warmed(bench):
            bench.server.taken()
            yield bench


def ended(pids: list[int]) -> None:
    assert [code_of(pid) for pid in pids] == [0] * len(pids)


# --- several senders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", range(many(1, 5)))
def test_two_to_eight_senders_of_one_occurrence_send_each_message_once(
    part: int, ledgers: Ledgers, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """Whoever finds nothing left leaps over the others' leases, and takes them for dead while they live."""
    wrong: list[str] = []
    trials = many(4, 100)
    with bench_of("email", ledgers, tmp_path) as bench:
        for number in range(trials):
            name = f"r-{part}-{number}"
            world = World(name, "email", bench.ledger(name), bench.server.address, only=FEW)
            senders = random.Random(name).randint(2, 8)
            ended([started(partial(deliver, world, Clock(), f"s{who}")) for who in range(senders)])
            deliver(world, Clock(NOW + LATER))
            wrong += judged(bench, world, 0).faults
    record_property("races of two to eight senders", trials)
    assert wrong == []


ASLEEP = (
    "mark.before", "mark.after", "sent.before", "sent.after", "settle.before", "settle.after", "renew.before",
    "renew.after", "sender.before", "sender.claimed", "sender.answered", "sender.settled", "sender.put_back",
    "email.before_mail", "email.sender", "email.recipient", "email.data", "email.before_content", "email.dot",
    "email.answer", "email.connected",
)  # fmt: skip


def test_a_sender_that_sleeps_past_its_lease_sends_nothing_again_when_it_wakes(
    ledgers: Ledgers, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    wrong: list[str] = []
    found: Counter[str] = Counter()
    with bench_of("email", ledgers, tmp_path) as bench:
        for name in ASLEEP[:: many(4, 1)]:
            for n in range(1, many(1, 8) + 1):
                world = bench.world(f"z-{name.replace('.', '-')}-{n}")
                left = [n]

                def sleep(left: list[int] = left) -> None:
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGSTOP)

                def work(world: World = world, name: str = name, sleep: Callable[[], None] = sleep) -> None:
                    failpoints.arm(name, sleep)
                    deliver(world, Clock())

                pid = started(work)
                _, status = os.waitpid(pid, os.WUNTRACED)
                if os.WIFSTOPPED(status):
                    found["asleep"] += 1
                    ended([started(partial(deliver, world, Clock(NOW + LATER), "b"))])
                    os.kill(pid, signal.SIGCONT)
                    ended([pid])
                deliver(world, Clock(NOW + 2 * LATER), "c")
                wrong += [f"{name} {n}: {fault}" for fault in judged(bench, world, 0).faults]
    record_property("senders stopped past their lease and woken", found["asleep"])
    assert found["asleep"] >= many(4, 60)
    assert wrong == []


def test_a_clock_that_jumps_neither_doubles_nor_loses_nor_sends_late(
    ledgers: Ledgers, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """By up to two days on and back, in two senders after each other, one of whom is killed."""

    class Jumping(Clock):
        def __init__(self, start: datetime, seed: str) -> None:
            super().__init__(start)
            self.dice, self.off = random.Random(seed), timedelta()

        def now(self) -> datetime:
            if self.dice.random() < 0.03:
                self.off = timedelta(seconds=self.dice.choice([-1, 1]) * 10 ** self.dice.uniform(0, 5.2))
            return self.at + self.off

    wrong: list[str] = []
    trials = many(3, 150)
    with bench_of("email", ledgers, tmp_path) as bench:
        for number in range(trials):
            world, dice = bench.world(f"j-{number}"), random.Random(number)
            kill = Kill(dice.choice(["mark.after", "email.dot", "sent.before", "ledger.commit"]), dice.randint(2, 9))
            done = killed(bench.sender, world, Jumping(NOW, f"a{number}"), kill)
            assert in_child(partial(deliver, world, Jumping(NOW + LATER, f"b{number}"))) == 0
            deliver(world, Clock(NOW + 3 * timedelta(days=1)))
            facts = judged(bench, world, done, complete=False)
            wrong += [f"{number} {kill}: {fault}" for fault in facts.faults]
    record_property("clocks that jumped", trials)
    assert wrong == []


def test_after_an_outage_of_minutes_or_days_nothing_leaves_past_its_time(
    ledgers: Ledgers, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    wrong: list[str] = []
    trials = many(3, 200)
    with bench_of("email", ledgers, tmp_path) as bench:
        for number in range(trials):
            world, dice = bench.world(f"o-{number}"), random.Random(number)
            kill = Kill(dice.choice(["mark.before", "email.dot", "settle.before", "claim.taken"]), dice.randint(1, 3))
            done = killed(bench.sender, world, Clock(), kill)
            outage = timedelta(seconds=60 * 72 ** (2 * dice.random()))
            deliver(world, Clock(NOW + max(outage, LEASE)))
            facts = judged(bench, world, done, complete=outage < timedelta(hours=20))
            wrong += [f"{number} {kill} {outage}: {fault}" for fault in facts.faults]
    record_property("outages of minutes to days", trials)
    assert wrong == []


# --- the ledger alone ------------------------------------------------------------------------------------------------


def planned(url: str, campaign: str, people: int, ceiling: int | None) -> None:
    ledger = open_ledger(url, NOW)

    def blocks(ids: Any) -> Iterator[list[Any]]:
        uses, until = json.dumps([[ids["budget", "retailer"], 1000]]), milliseconds(NOW + timedelta(days=1))
        for k in range(people):
            name = f"{campaign}-{k:05}"
            row = (name, f"c-{name}", f"p-{name}", "email", "x.example", milliseconds(NOW), until, "[]", uses)
            yield [row]

    plan(ledger, Firing(campaign, here_of(campaign)[1], "run"), [Account("budget", "retailer", ceiling)], blocks, NOW)
    change(ledger, *here_of(campaign), RUNNING, NOW)
    ledger.close()


def here_of(campaign: str) -> tuple[str, str]:
    return here(World(campaign, "email", "", ""))


def test_a_hundred_workers_on_one_budget_spend_it_to_the_rupiah_though_some_are_killed(
    ledgers: Ledgers, record_property: Callable[..., None]
) -> None:
    workers, trials = many(16, 100), many(1, 10)
    kills = 0
    for number in range(trials):
        campaign = f"b-{number}"
        url = ledgers(campaign)
        planned(url, campaign, 2 * workers, ceiling=workers * 1000)

        def work(who: int, url: str = url, campaign: str = campaign) -> None:
            dice = random.Random(f"{campaign} {who}")
            if dice.random() < 0.4:
                places = ["claim.account", "claim.reserved", "claim.taken", "ledger.commit", "settle.released"]
                failpoints.arm(dice.choice(places), lambda: os.kill(os.getpid(), signal.SIGKILL))
            ledger = open_ledger(url, NOW)
            for turn in range(3):
                claims = claim(ledger, *here_of(campaign), "email", f"w{who}", dice.randint(1, 4), NOW, LEASE)
                states = [dice.choice([SENT, SENT, BOUNCED, PENDING]) for _ in claims]
                pairs = zip(claims, states, strict=True)
                later = NOW + timedelta(minutes=turn)
                settle(ledger, [Outcome(own.message_id, own.fence, state, due_at=later) for own, state in pairs], NOW)

        codes = [code_of(pid) for pid in [started(partial(work, who)) for who in range(workers)]]
        assert set(codes) <= {0, -signal.SIGKILL}
        kills += codes.count(-signal.SIGKILL)
        for after in (timedelta(), 2 * LEASE):
            if after:
                ledger = open_ledger(url, NOW)
                recover(ledger, *here_of(campaign), NOW + after)
                ledger.close()
            (account,) = rows(url, f"select * from accounts where campaign_id = '{campaign}'")
            spent = rows(
                url,
                f"select count(*) as n from messages where campaign_id = '{campaign}' "
                "and state in ('claimed', 'writing', 'sent', 'unknown')",
            )
            assert account["used"] == spent[0]["n"] * 1000 <= account["ceiling"]
    record_property("workers on one budget", workers * trials)
    record_property("of them killed", kills)
    assert kills > 0


def test_nobody_who_opted_out_before_a_claim_began_is_claimed(
    ledgers: Ledgers, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """Both walk the same list, from the first refusal on; the clock is the machine's, which both processes share."""
    people, campaign = many(150, 10_000), "n"
    refused_one, refusing = os.pipe()
    url, said, took = ledgers(campaign), tmp_path / "said", tmp_path / "took"
    planned(url, campaign, people, None)

    def refuse() -> None:
        ledger = open_ledger(url, NOW)
        with said.open("w") as log:
            for k in range(0, people, 2):
                opt_out(ledger, f"c-{campaign}-{k:05}", "email", "link", NOW)
                log.write(f"c-{campaign}-{k:05} {time.monotonic_ns()}\n")
                os.write(refusing, b".")

    def take() -> None:
        ledger, dice = open_ledger(url, NOW), random.Random(3)
        os.close(refusing)
        assert os.read(refused_one, 1), "nobody was refused"
        with took.open("w") as log:
            left = True
            while left:
                start = time.monotonic_ns()
                claims = claim(ledger, *here_of(campaign), "email", "s", dice.randint(1, 3), NOW, LEASE)
                log.writelines(f"{own.customer_id} {start}\n" for own in claims)
                waiting = f"select 1 as n from messages where campaign_id = '{campaign}' and state = 'pending' limit 1"
                left = bool(claims) or bool(rows_quickly(ledger, waiting))

    ended([started(refuse), started(take)])
    os.close(refused_one)
    os.close(refusing)
    no = {line.split()[0]: int(line.split()[1]) for line in said.read_text().splitlines()}
    claims = {line.split()[0]: int(line.split()[1]) for line in took.read_text().splitlines()}
    before = [who for who, start in claims.items() if who in no and no[who] < start]
    record_property("opt-outs that raced a claim", len(no))
    assert before == []
    assert 0 < len(claims) < people


def rows_quickly(ledger: Any, query: str) -> list[Any]:
    from sqlalchemy import text

    with ledger.reading() as connection:
        return list(connection.execute(text(query)).all())
