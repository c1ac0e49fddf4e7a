"""The disk is full, the database away or crashed: whoever sends waits or ends, and nothing is lost or sent twice."""

import os
import random
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event

import psycopg
import pytest
from amounts import many
from kills import LATER, Bench, Kill, in_child, judged, killed, warmed
from serving import serve
from sqlalchemy.exc import OperationalError
from world import LEASE, NOW, Clock, World, begin, deliver, here

from campaigns import failpoints
from campaigns.ledger import LedgerError, claim, open_ledger, recover
from campaigns.ledger.store import epoch

POINTS = (
    "mark.before", "mark.after", "sent.before", "settle.before", "claim.taken", "sender.claimed", "email.dot",
    "ledger.commit", "renew.before",
)  # fmt: skip


def test_a_full_disk_loses_and_doubles_nothing(tmp_path: Path, record_property: Callable[..., None]) -> None:
    """No file may grow past a size that is reached at another place each time."""
    wrong: list[str] = []
    ended_early = 0
    trials = many(6, 150)
    with serve("smtp", tmp_path / "log") as server:
        bench = Bench("email", server, lambda name: str(tmp_path / f"{name}.db"), tmp_path)
        with warmed(bench):
            bench.server.taken()
            for number in range(trials):
                world, size = bench.world(f"d-{number}"), random.Random(number).randint(110_000, 400_000)

                def work(world: World = world, size: int = size) -> None:
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
                    deliver(world, Clock())

                ended_early += in_child(work) != 0
                deliver(world, Clock(NOW + LATER))
                wrong += [f"{number} {size}: {fault}" for fault in judged(bench, world, 1).faults]
    record_property("disks that filled up", ended_early)
    assert ended_early > trials / 3
    assert wrong == []


class Breakable:
    """A database of one's own on a server that others use as well."""

    def __init__(self, server: str) -> None:
        self.server, self.url = server, server.replace("/postgres?", "/breakable?")
        self.admin = psycopg.connect(server, autocommit=True)
        self.admin.execute("drop database if exists breakable with (force)")
        self.admin.execute("create database breakable strategy file_copy")

    @classmethod
    def again(cls, one: "Breakable") -> "Breakable":
        """The same, with a new connection in the place of the one that was killed."""
        made = cls.__new__(cls)
        made.server, made.url, made.admin = one.server, one.url, psycopg.connect(one.server, autocommit=True)
        return made

    def stop(self) -> None:
        """Everybody is thrown out, and nobody let in."""
        self.admin.execute("alter database breakable allow_connections false")
        self.admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'breakable'")

    def start(self) -> None:
        self.admin.execute("alter database breakable allow_connections true")

    def crash(self) -> None:
        """A process of the server is killed, whereupon it ends all others and begins again from what is on the disk."""
        os.kill(self.admin.info.backend_pid, signal.SIGKILL)

    def mended(self, before: str) -> None:
        for _ in range(1_000):
            with suppress(OperationalError, LedgerError):
                if self.epoch() != before:
                    return
            Event().wait(0.03)
        raise AssertionError("the server does not come back")

    def epoch(self) -> str:
        ledger = open_ledger(self.url, NOW)
        try:
            with ledger.reading() as connection:
                return epoch(connection)
        finally:
            ledger.close()


@pytest.fixture
def own_server(postgresql: str) -> Breakable:
    return Breakable(postgresql)


class Returning(Clock):
    """After it has waited for a minute the database is there again."""

    def __init__(self, start: datetime, server: Breakable) -> None:
        super().__init__(start)
        self.server = server
        self.gone: datetime | None = None

    def leave(self) -> None:
        self.server.stop()
        self.gone = self.at

    def until(self, instant: datetime) -> None:
        super().until(instant)
        if self.gone and (self.at - self.gone).total_seconds() >= 60:
            self.server.start()


def deliver_without_a_database(world: World, clock: Returning) -> None:
    """A delivery in which the database leaves at a failpoint that is armed, and one after it."""
    try:
        deliver(world, clock)
    finally:
        failpoints.disarm()
        clock.server.start()
    assert clock.gone is not None
    deliver(world, Clock(clock.now() + LATER))


@pytest.mark.server
@pytest.mark.xdist_group("pg")
@pytest.mark.parametrize("name", POINTS[:: many(4, 1)])
def test_a_database_that_is_away_for_a_minute_is_waited_for(
    name: str, own_server: Breakable, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    wrong: list[str] = []
    with serve("smtp", tmp_path / "log") as server:
        bench = Bench("email", server, lambda name: own_server.url, tmp_path)
        for n in range(1, many(1, 4) + 1):
            world, clock, left = bench.world(f"a-{n}"), Returning(NOW, own_server), [n]

            def leave(clock: Returning = clock, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] == 0:
                    clock.leave()

            def begun(name: str = name, leave: Callable[[], None] = leave) -> None:
                failpoints.arm(name, leave)

            failpoints.arm("sender.claimed", begun)
            deliver_without_a_database(world, clock)
            wrong += [f"{name} {n}: {fault}" for fault in judged(bench, world, 1).faults]
    record_property("minutes without a database", many(1, 4))
    assert wrong == []


@pytest.mark.server
@pytest.mark.xdist_group("pg")
def test_a_database_that_leaves_while_a_dead_sender_s_messages_are_taken_over_is_waited_for(
    own_server: Breakable, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    with serve("smtp", tmp_path / "log") as server:
        bench = Bench("email", server, lambda name: own_server.url, tmp_path)
        world, clock = bench.world("a-dead"), Returning(NOW + LATER, own_server)
        assert killed(deliver, world, Clock(), Kill("mark.after", 2))
        failpoints.arm("recover.released", lambda: clock.gone is None and clock.leave())
        deliver_without_a_database(world, clock)
        faults = judged(bench, world, 2).faults
    record_property("minutes without a database", 1)
    assert faults == ()


@pytest.mark.server
@pytest.mark.xdist_group("pg")
def test_after_postgresql_crashed_what_was_claimed_before_is_doubtful(
    own_server: Breakable, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """A mark need not be on the disk: with a server process all unwritten ones go, and then the sender."""
    wrong: list[str] = []
    trials = many(2, 20)
    with serve("smtp", tmp_path / "log") as server:
        bench = Bench("email", server, lambda name: own_server.url, tmp_path)
        deliver(bench.world("warm"), Clock())
        bench.server.taken()
        for number in range(trials):
            world, left = bench.world(f"c-{number}"), [number % 4 + 1]

            def crash(left: list[int] = left, own: Breakable = own_server) -> None:
                left[0] -= 1
                if left[0] == 0:
                    own.crash()
                    os.kill(os.getpid(), signal.SIGKILL)

            def work(world: World = world, crash: Callable[[], None] = crash) -> None:
                failpoints.arm("email.answer", crash)
                deliver(world, Clock())

            before = own_server.epoch()
            assert in_child(work) == -signal.SIGKILL
            own_server.mended(before)
            own_server = Breakable.again(own_server)
            deliver(world, Clock(NOW + LATER))
            # all that one claim had taken is doubtful then
            wrong += [f"{number}: {fault}" for fault in judged(bench, world, 4).faults]
    record_property("crashes of PostgreSQL", trials)
    assert wrong == []


@pytest.mark.server
@pytest.mark.xdist_group("pg")
def test_a_mark_that_went_with_a_crash_leaves_all_that_was_claimed_doubtful(own_server: Breakable) -> None:
    world = World("lost", "email", own_server.url, "0", only=("ok", "ok"))
    ledger = open_ledger(world.url, NOW)
    begin(world, ledger, NOW)
    assert len(claim(ledger, *here(world), "email", "a", 2, NOW, LEASE)) == 2
    ledger.close()
    before = own_server.epoch()
    own_server.crash()
    own_server.mended(before)
    ledger = open_ledger(world.url, NOW)
    assert recover(ledger, *here(world), NOW + LATER) == {"pending": 0, "unknown": 2}
    ledger.close()
