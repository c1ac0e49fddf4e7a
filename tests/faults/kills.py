"""kill −9 at every failpoint of a delivery, and what the next one makes of it.

The sender is forked from a process that has loaded everything, so that a kill costs milliseconds.
"""

import os
import random
import re
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, NoReturn

from amounts import many
from ledger_checker import Facts, check
from serving import Served
from sqlalchemy import Engine
from world import DOUBTFUL, NOW, REFUSED, Clock, World, deliver

from campaigns import failpoints
from campaigns.ledger import store

ROOT = Path(__file__).parents[2]
LONGEST = many(120, 1_200)  # seconds of a sender; then something waits for ever
LATER = timedelta(minutes=10)  # the next one starts

Sender = Callable[[World, Clock], None]


@dataclass(frozen=True)
class Kill:
    """Of a sender when it reaches a failpoint for the n-th time, from 1."""

    name: str
    n: int


def names_in_source(*folders: str) -> set[str]:
    """The failpoints that stand in the source; braces stand for more than one."""
    found: set[str] = set()
    for folder in folders:
        for path in [ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"):
            found |= set(re.findall(r'failpoint\(f?"([^"]+)"\)', path.read_text(encoding="utf-8")))
    return found


def unhit(names: set[str], hit: set[str]) -> set[str]:
    patterns = {name: re.compile(re.sub(r"\\\{.*?\\\}", ".+", re.escape(name))) for name in names}
    return {name for name, pattern in patterns.items() if not any(pattern.fullmatch(one) for one in hit)}


@contextmanager
def warmed(bench: "Bench") -> Iterator[None]:
    """Runs a sender here, so that those that are forked find all loaded, and their SQL compiled."""
    plain, made = store.create_engine, []

    def remembered(*given: Any, **named: Any) -> Engine:
        made.append(plain(*given, **named))
        return made[-1]

    def begun(*given: Any, **named: Any) -> Engine:
        engine, known = plain(*given, **named), next(turns)
        engine.dialect, engine._compiled_cache = known.dialect, known._compiled_cache
        return engine

    try:
        store.create_engine = remembered
        bench.sender(bench.world("warm"), Clock())
        turns = cycle(made)
        store.create_engine = begun
        yield
    finally:
        store.create_engine = plain


# --- children --------------------------------------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Exit code of a forked process that does the work; negative: the signal that killed it."""
    sys.stdout.flush()
    sys.stderr.flush()
    return code_of(started(work))


def started(work: Callable[[], object]) -> int:
    """Process id of a fork that does the work."""
    pid = os.fork()
    if pid == 0:
        _work_and_leave(work)
    return pid


def code_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _work_and_leave(work: Callable[[], object]) -> NoReturn:
    signal.alarm(LONGEST)
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def killed(sender: Sender, world: World, clock: Clock, kill: Kill) -> bool:
    """Whether a sender reached the place, and died there."""
    left = [kill.n]

    def now_and_then() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        failpoints.arm(kill.name, now_and_then)
        sender(world, clock)

    code = in_child(work)
    if code not in (0, -signal.SIGKILL):
        raise AssertionError(f"{kill}: a sender ended with {code}")
    return code != 0


def reached(sender: Sender, world: World, clock: Clock, folder: Path) -> Counter[str]:
    """How often a sender that is left alone reaches each failpoint."""
    file = folder / "reached"

    class Seen(dict[str, Callable[[], None]]):
        def __contains__(self, name: object) -> bool:
            with file.open("a") as log:
                log.write(f"{name}\n")
            return False

    def work() -> None:
        failpoints._armed = Seen()
        sender(world, clock)

    file.write_text("")
    assert in_child(work) == 0
    return Counter(file.read_text().split())


# --- trials ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """Where the trials of one kind take place. ledger: from a trial's name to an URL of an empty ledger."""

    channel: str
    server: Served
    ledger: Callable[[str], str]
    folder: Path
    sender: Sender = deliver
    unsure: str = "hold"

    def world(self, name: str) -> World:
        return World(name, self.channel, self.ledger(name), self.server.address, self.unsure)


def known_points(bench: Bench) -> tuple[Counter[str], Counter[str]]:
    """How often each failpoint is reached by a first sender, and by one after another was killed at work."""
    first = reached(bench.sender, bench.world("new-first"), Clock(), bench.folder)
    world = bench.world("second")
    assert killed(bench.sender, world, Clock(), Kill("mark.after", 2))
    second = reached(bench.sender, world, Clock(NOW + LATER), bench.folder)
    bench.server.taken()
    return first, second


def plans(
    points: tuple[Counter[str], Counter[str]], seeds: int, part: int = 0, parts: int = 1
) -> Iterator[tuple[int, list[Kill]]]:
    """For each failpoint and seed, where a sender is killed; some that take over from it are killed as well.

    Every so many-th of them, where they are done in parts.
    """
    first, second = points
    for place, name in enumerate(sorted(first | second)):
        for seed in range(seeds):
            if (place + seed) % parts != part:
                continue
            dice = random.Random(f"{name} {seed}")
            kills = [Kill(name, dice.randint(1, first[name]))] if first[name] else [Kill("mark.after", 2)]
            if not first[name]:
                kills.append(Kill(name, dice.randint(1, second[name])))
            elif dice.random() < 0.25:
                again = dice.choice(sorted(second))
                kills.append(Kill(again, dice.randint(1, second[again])))
            yield seed, kills


def trial(bench: Bench, name: str, kills: Sequence[Kill]) -> tuple[Facts, int]:
    """What was found after a delivery whose senders were killed one after the other, and how many were."""
    world, clock, done = bench.world(name), Clock(), 0
    for kill in kills:
        done += killed(bench.sender, world, clock, kill)
        clock = Clock(clock.now() + LATER)
    if in_child(lambda: bench.sender(world, clock)) != 0:
        raise AssertionError(f"{name} {kills}: the next sender could not go on")
    return judged(bench, world, done), done


def judged(bench: Bench, world: World, kills: int, complete: bool = True) -> Facts:
    taken = [
        (str(one["message_id"]).partition("@")[0], str(one.get("recipient") or one.get("token")))
        for one in bench.server.taken()
    ]
    hold = world.unsure == "hold"
    doubtful = len(world.of_kinds(DOUBTFUL[world.channel]))
    return check(
        world.url,
        world.campaign,
        taken,
        planned=world.planned,
        said_no=[world.customer(number) for number in world.of_kinds(("no",))],
        refused=[world.message(number) for number in world.of_kinds(REFUSED[world.channel])],
        late=[world.message(number) for number in world.of_kinds(("late",))],
        most_unknown=doubtful + (kills if hold else 0),  # each sender had one connection
        most_twice=0 if hold else kills,
        complete=complete,
    )
