"""When a message is tried again, and when the ledger is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError

from campaigns.channels.parcel import Answer
from campaigns.ledger import Claim, LedgerError
from campaigns.ledger.schema import EXPIRED, FAILED, PENDING
from campaigns.ledger.store import milliseconds
from flows.delivering.job import WAITS, patiently
from flows.delivering.retries import again, spread, wait_before
from flows.delivering.timing import LONGEST, RealTime, RehearsedTime

NOW = datetime(2026, 12, 11, 3, tzinfo=UTC)
LATER = Answer(PENDING, "refused for now", "451")


def claimed(attempts: int = 1, hours: float = 20) -> Claim:
    return Claim("m1", "c1", "p1", "email", "x.example", (), milliseconds(NOW + timedelta(hours=hours)), attempts, 1)


@given(st.integers(1, 60), st.integers(0, 90_000))
def test_a_wait_grows_to_an_hour_and_is_never_shorter_than_was_asked_for(attempts, asked):
    span = wait_before(claimed(attempts), timedelta(seconds=asked))
    assert span >= timedelta(seconds=asked)
    assert timedelta(seconds=30) <= span <= max(timedelta(minutes=90), timedelta(seconds=asked))


@given(st.text(), st.integers(1, 100))
def test_waits_are_spread_by_half_either_way_and_always_alike(name, attempts):
    assert 0.5 <= spread(name, attempts) < 1.5
    assert spread(name, attempts) == spread(name, attempts)


def test_a_message_is_tried_again_within_its_time_and_so_often():
    assert again(claimed(), LATER, 20, NOW).state == PENDING
    assert again(claimed(hours=0.005), LATER, 20, NOW).state == EXPIRED
    gone = again(claimed(20), LATER, 20, NOW)
    assert (gone.state, gone.reason, gone.detail) == (FAILED, "given up: refused for now", "451")


def fails(times: int, error: Exception):
    left = [error] * times

    def action() -> str:
        if left:
            raise left.pop()
        return "done"

    return action


AWAY = OperationalError("select 1", {}, Exception("server closed the connection"))


def test_a_ledger_that_is_away_for_a_minute_is_waited_for():
    timer = RehearsedTime(NOW)
    assert patiently(fails(5, AWAY), timer) == "done"
    assert timer.now() - NOW >= timedelta(seconds=30)


def test_a_ledger_that_stays_away_ends_it_with_a_line_that_says_so():
    with pytest.raises(LedgerError, match="does not answer"):
        patiently(fails(len(WAITS) + 1, AWAY), RehearsedTime(NOW))


def test_a_disk_that_fails_is_not_tried_again():
    timer = RehearsedTime(NOW)
    with pytest.raises(LedgerError, match="disk is failing"):
        patiently(fails(1, OperationalError("insert", {}, Exception("disk I/O error"))), timer)
    assert timer.now() == NOW


def test_what_is_wrong_with_the_program_is_not_waited_for():
    with pytest.raises(IntegrityError):
        patiently(fails(1, IntegrityError("insert", {}, Exception("UNIQUE constraint failed"))), RehearsedTime(NOW))


def test_real_time_is_waited_for_in_short_spans_and_never_backwards():
    waited: list[float] = []
    timer = RealTime(lambda: NOW, waited.append)
    timer.until(NOW + timedelta(hours=1))
    timer.until(NOW + timedelta(seconds=1))
    timer.until(NOW - timedelta(hours=1))
    assert waited == [LONGEST.total_seconds(), 1.0]
