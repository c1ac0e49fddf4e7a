"""A sender that is killed anywhere, at any time, loses nothing, doubles nothing, and hides nothing."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from amounts import FULL, many
from conftest import Ledgers
from kills import Bench, Kill, known_points, names_in_source, plans, trial, unhit, warmed
from serving import serve

PARTS = many(4, 12)


def fresh(kills: list[Kill]) -> str:
    return "new" if kills[0].name == "ledger.migrated" else "t"


@pytest.mark.parametrize("part", range(PARTS) if FULL else [0])
@pytest.mark.parametrize(("channel", "turn"), [("email", 0), ("push", 1)])
def test_a_sender_that_is_killed_at_any_failpoint_leaves_nothing_lost_doubled_or_unlisted(
    channel: str, turn: int, part: int, ledgers: Ledgers, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """In the sample each kind of ledger and channel has a quarter of the failpoints."""
    turn += 2 * ("postgresql" in ledgers("which"))
    with serve("smtp" if channel == "email" else "fcm", tmp_path / "log") as server:
        bench = Bench(channel, server, ledgers, tmp_path)
        found: Counter[str] = Counter()
        wrong: list[str] = []
        with warmed(bench):
            planned = plans(known_points(bench), many(1, 36), part if FULL else turn, PARTS)
            for number, (seed, kills) in enumerate(planned):
                facts, killed = trial(bench, f"{fresh(kills)}-{part}-{number}", kills)
                wrong += [f"{kills} seed {seed}: {fault}" for fault in facts.faults]
                found += Counter({"kills": killed, "lost": facts.lost, "duplicated": facts.duplicates})
                found += Counter({"rupiah of drift": facts.drift, "unknown and listed": facts.unknown})
    for name in ("kills", "lost", "duplicated", "rupiah of drift", "unknown and listed"):
        record_property(name, found[name])
    assert wrong == []
    assert found["kills"] >= 10


def test_every_failpoint_of_ledger_channels_and_loop_is_reached_by_a_delivery(tmp_path: Path) -> None:
    """And so is one that somebody is killed at."""
    names = names_in_source("campaigns", "flows/delivering/sender.py")
    names = {name for name in names if not name.startswith("sink.")}  # of rehearsals, which send nothing
    hit: set[str] = set()
    for channel, server in (("email", "smtp"), ("push", "fcm")):
        folder = tmp_path / channel
        folder.mkdir()
        with serve(server, folder / "log") as served:
            bench = Bench(channel, served, lambda name, folder=folder: str(folder / f"{name}.db"), folder)  # type: ignore[misc]
            hit |= set().union(*known_points(bench))
    assert len(names) >= 40
    assert unhit(names, hit) == set()


def test_a_campaign_that_tries_again_what_is_doubtful_loses_nothing_and_doubles_at_most_one_for_each_kill(
    tmp_path: Path, record_property: Callable[..., None]
) -> None:
    wrong: list[str] = []
    kills = 0
    with serve("smtp", tmp_path / "log") as server:
        bench = Bench("email", server, lambda name: str(tmp_path / f"{name}.db"), tmp_path, unsure="retry")
        with warmed(bench):
            bench.server.taken()
            for name in ("mark.after", "email.dot", "email.answer", "sent.before"):
                for n in range(1, many(2, 10) + 1):
                    facts, killed = trial(bench, f"{name.replace('.', '-')}-{n}", [Kill(name, n)])
                    wrong += [f"{name} {n}: {fault}" for fault in facts.faults]
                    kills += killed
    record_property("kills of senders that try again", kills)
    assert wrong == []
