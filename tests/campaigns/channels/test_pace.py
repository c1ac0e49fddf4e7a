"""Turns are evenly spread and never more than allowed, for all and for each domain."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from campaigns.channels.pace import Pace

NOW = datetime(2026, 12, 11, 17, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@given(
    st.integers(1, 600_000),
    st.dictionaries(st.sampled_from(["a.example", "b.example"]), st.integers(1, 6000)),
    st.lists(st.tuples(st.sampled_from(["", "a.example", "b.example"]), st.integers(0, 5000)), min_size=1, max_size=60),
)
def test_no_minute_has_more_turns_than_allowed(
    per_minute: int, domains: dict[str, float], asked: list[tuple[str, int]]
) -> None:
    pace, now = Pace(per_minute, domains), NOW
    turns: list[tuple[str, datetime]] = []
    for domain, later in asked:
        now += timedelta(milliseconds=later)
        wait = pace.turn(domain, now)
        assert wait >= timedelta(0)
        turns.append((domain, now + wait))
    for _, start in turns:
        within = [domain for domain, at in turns if start <= at < start + MINUTE - timedelta(milliseconds=1)]
        assert len(within) <= per_minute
        assert all(count <= domains.get(domain, len(turns)) for domain, count in Counter(within).items() if domain)


def test_many_threads_share_the_turns() -> None:
    pace = Pace(600)
    with ThreadPoolExecutor(8) as pool:
        waits = sorted(pool.map(lambda _: pace.turn("", NOW), range(600)))
    assert waits == [timedelta(milliseconds=100) * k for k in range(600)]


def test_a_domain_without_a_rate_of_its_own_waits_for_no_other() -> None:
    pace = Pace(None, {"slow.example": 1})
    assert [pace.turn("slow.example", NOW) for _ in range(3)] == [MINUTE * 0, MINUTE, MINUTE * 2]
    assert pace.turn("quick.example", NOW) == timedelta(0)


def test_a_pause_that_is_asked_for_holds_everybody_with_a_rate_and_without() -> None:
    for pace in (Pace(), Pace(6000), Pace(None, {"a.example": 60})):
        pace.hold(timedelta(seconds=30), NOW)
        pace.hold(timedelta(seconds=10), NOW)
        assert pace.turn("a.example", NOW) == timedelta(seconds=30)
        assert pace.turn("", NOW + timedelta(minutes=10)) == timedelta(0)


def test_a_clock_that_is_set_back_stops_nobody() -> None:
    pace = Pace(60)
    tomorrow = NOW + timedelta(days=1)
    assert [pace.turn("", tomorrow) for _ in range(2)] == [timedelta(0), timedelta(seconds=1)]
    assert pace.turn("", NOW) == timedelta(seconds=2)
    pace.hold(timedelta(seconds=9), NOW)
    assert pace.turn("", NOW - timedelta(days=1)) == timedelta(seconds=9)


def test_a_clock_that_is_set_on_gives_no_more_turns_than_before() -> None:
    pace = Pace(60)
    pace.turn("", NOW)
    tomorrow = NOW + timedelta(days=1)
    assert [pace.turn("", tomorrow) for _ in range(3)] == [timedelta(seconds=k) for k in range(3)]
