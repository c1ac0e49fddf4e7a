"""The ledger's promises, on SQLite and on a real PostgreSQL."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from campaigns.failpoints import arm, disarm
from campaigns.ledger import (
    Account,
    Claim,
    Device,
    Firing,
    Ledger,
    LedgerError,
    Outcome,
    address_hash,
    change,
    claim,
    counts,
    finish,
    mark,
    next_turn,
    open_ledger,
    opt_in,
    opt_out,
    opted_out,
    pause_offer,
    paused_offers,
    plan,
    recover,
    renew,
    resume_offer,
    sent,
    settle,
    state_of,
    suppress,
    suppressed,
    take_event,
)
from campaigns.ledger.exchange import account_ids, exchange
from campaigns.ledger.history import (
    balances,
    complaints,
    contacts,
    devices,
    held_elsewhere,
    latest,
    occurrences,
    reasons,
    sent_to,
    unsure,
)
from campaigns.ledger.rehearsals import discard
from campaigns.ledger.schema import (
    BOUNCED,
    CANCELLED,
    FINISHED,
    MESSAGES,
    PAUSED,
    PENDING,
    PLANNED,
    RUNNING,
    SENT,
    STOPPED,
    UNKNOWN,
)
from campaigns.ledger.store import MIGRATIONS, milliseconds, told
from recsys.tables import InputError

NOW = datetime(2026, 12, 11, 17, tzinfo=UTC)
LEASE = timedelta(seconds=60)
PANEN = ("panen", "20261211t170000z")
FIRING = Firing(*PANEN, run="run-1")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    opened = open_ledger(ledger_url, NOW)
    yield opened
    disarm()
    opened.close()


def put_in(
    ledger: Ledger,
    people: int = 5,
    *,
    firing: Firing = FIRING,
    budget: int | None = None,
    use: int = 1000,
    due: datetime = NOW,
    before: timedelta = timedelta(hours=24),
    start: bool = True,
    channel: str = "email",
    night: str = "",
) -> bool:
    """An occurrence with a message for each of so many people, that uses a budget."""

    def rows(ids: Any) -> Iterator[list[Any]]:
        uses = json.dumps([[ids["budget", "retailer"], use]])
        deadline = milliseconds(due + before)
        yield [
            (
                f"{firing.campaign_id}-{firing.occurrence}-{k:04}",
                f"c{k:04}",
                f"p{k:04}",
                channel,
                "pelanggan.example",
                milliseconds(due),
                deadline,
                json.dumps(["kopi" if k % 2 else "teh"]),
                uses,
            )
            for k in range(people)
        ]

    new = plan(ledger, firing, [Account("budget", "retailer", budget, night)], rows, NOW)
    if start:
        change(ledger, firing.campaign_id, firing.occurrence, RUNNING, NOW)
    return new


def take(ledger: Ledger, most: int = 50, now: datetime = NOW, sender: str = "a", channel: str = "email") -> list[Claim]:
    return claim(ledger, *PANEN, channel, sender, most, now, LEASE)


def outcome(claimed: Claim, state: str = SENT, **more: Any) -> Outcome:
    return Outcome(claimed.message_id, claimed.fence, state, **more)


def states(ledger: Ledger) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, state), count in counts(ledger, *PANEN).items():
        found[state] = found.get(state, 0) + count
    return found


def adds_up(ledger: Ledger) -> bool:
    return all(one.drift == 0 and (one.ceiling is None or one.used <= one.ceiling) for one in balances(ledger))


# --- planning --------------------------------------------------------------------------------------------------------


def test_an_occurrence_that_fires_again_is_not_planned_again(ledger: Ledger) -> None:
    assert put_in(ledger)
    assert [put_in(ledger, start=False) for _ in range(8)] == [False] * 8
    assert states(ledger) == {PENDING: 5}


def test_eight_that_plan_at_once_plan_once(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        planned = list(pool.map(lambda _: put_in(ledger, 50, start=False), range(8)))
    assert planned.count(True) == 1
    assert states(ledger) == {PENDING: 50}


def test_what_was_planned_from_one_run_is_not_replaced_by_another(ledger: Ledger) -> None:
    put_in(ledger)
    with pytest.raises(LedgerError, match="another run"):
        put_in(ledger, firing=Firing(*PANEN, run="run-2"))
    with pytest.raises(LedgerError, match="rehearsal"):
        put_in(ledger, firing=Firing(*PANEN, run="run-1", live=True))


def test_a_plan_that_breaks_off_leaves_nothing(ledger: Ledger) -> None:
    def break_off() -> None:
        raise OSError("the disk is full")

    for place in ("plan.occurrence", "plan.accounts", "plan.messages", "ledger.commit"):
        arm(place, break_off)
        with pytest.raises(OSError, match="disk"):
            put_in(ledger)
        disarm()
        assert state_of(ledger, *PANEN) is None
    assert put_in(ledger)
    assert states(ledger) == {PENDING: 5}


def test_a_customer_has_one_message_of_an_occurrence_and_channel(ledger: Ledger) -> None:
    twice = [("m1", "c1", "p1", "email", "x", 0, 1, "[]", "[]"), ("m2", "c1", "p1", "email", "x", 0, 1, "[]", "[]")]
    with pytest.raises(Exception, match=r"(?i)unique"):
        plan(ledger, FIRING, [], lambda _: [twice], NOW)
    assert state_of(ledger, *PANEN) is None


def test_occurrences_of_one_night_share_its_accounts(ledger: Ledger) -> None:
    put_in(ledger, 3, budget=4000, night="2026-12-11")
    other = Firing("gajian", PANEN[1], run="run-9")
    put_in(ledger, 3, firing=other, budget=4000, night="2026-12-11")
    assert len(take(ledger)) == 3
    assert len(claim(ledger, *("gajian", PANEN[1]), "email", "a", 50, NOW, LEASE)) == 1
    (shared,) = balances(ledger)
    assert (shared.used, shared.ceiling, shared.drift) == (4000, 4000, 0)


# --- whether it goes on ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [PLANNED, PAUSED, STOPPED, CANCELLED])
def test_nothing_is_claimed_unless_the_occurrence_runs(ledger: Ledger, state: str) -> None:
    put_in(ledger, start=state not in (PLANNED,))
    if state != PLANNED:
        change(ledger, *PANEN, state, NOW, "somebody said so")
    assert take(ledger) == []
    if state in (PLANNED, PAUSED, STOPPED):
        change(ledger, *PANEN, RUNNING, NOW)
        assert len(take(ledger)) == 5


def test_cancelling_skips_what_waits_and_leaves_what_is_being_sent(ledger: Ledger) -> None:
    put_in(ledger)
    (one, *_) = take(ledger, 1)
    change(ledger, *PANEN, CANCELLED, NOW)
    assert states(ledger) == {"claimed": 1, "skipped": 4}
    assert mark(ledger, one)
    assert settle(ledger, [outcome(one)], NOW) == 1
    with pytest.raises(LedgerError, match="cancelled, which cannot become running"):
        change(ledger, *PANEN, RUNNING, NOW)


def test_an_occurrence_is_finished_when_nothing_waits_or_is_held(ledger: Ledger) -> None:
    put_in(ledger, 2)
    claims = take(ledger, 1)
    assert not finish(ledger, *PANEN, NOW)
    settle(ledger, [outcome(one) for one in claims], NOW)
    assert not finish(ledger, *PANEN, NOW)
    settle(ledger, [outcome(one) for one in take(ledger)], NOW)
    assert finish(ledger, *PANEN, NOW)
    assert finish(ledger, *PANEN, NOW)
    assert state_of(ledger, *PANEN) == FINISHED


def test_an_occurrence_that_is_not_there_cannot_be_changed(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="not in the ledger"):
        change(ledger, *PANEN, RUNNING, NOW)


# --- claims ----------------------------------------------------------------------------------------------------------


def test_a_message_is_claimed_by_one_sender_in_the_order_of_its_turn(ledger: Ledger) -> None:
    put_in(ledger)
    first, second = take(ledger, 3, sender="a"), take(ledger, 3, sender="b")
    assert [one.customer_id for one in first + second] == [f"c{k:04}" for k in range(5)]
    assert take(ledger, sender="c") == []


def test_eight_senders_at_once_claim_each_message_once(ledger: Ledger) -> None:
    put_in(ledger, 200)

    def work(sender: int) -> list[str]:
        mine: list[str] = []
        while claims := take(ledger, 7, sender=str(sender)):
            mine += [one.message_id for one in claims if mark(ledger, one)]
            settle(ledger, [outcome(one) for one in claims], NOW)
        return mine

    with ThreadPoolExecutor(8) as pool:
        sent = [message for mine in pool.map(work, range(8)) for message in mine]
    assert len(sent) == len(set(sent)) == 200
    assert states(ledger) == {SENT: 200}
    assert adds_up(ledger)


def test_nothing_is_claimed_before_its_turn_or_after_its_deadline(ledger: Ledger) -> None:
    put_in(ledger, due=NOW + timedelta(hours=1), before=timedelta(hours=2))
    assert take(ledger) == []
    assert next_turn(ledger, *PANEN, "email") == milliseconds(NOW + timedelta(hours=1))
    assert len(take(ledger, 1, NOW + timedelta(hours=1))) == 1
    assert take(ledger, 5, NOW + timedelta(hours=3)) == []
    assert states(ledger) == {"claimed": 1, "expired": 4}
    assert reasons(ledger, *PANEN) == {("expired", "past send_before"): 4}


def test_whoever_opted_out_before_the_claim_is_skipped(ledger: Ledger) -> None:
    put_in(ledger)
    assert opt_out(ledger, "c0001", "email", "one click", NOW)
    assert not opt_out(ledger, "c0001", "email", "one click", NOW)
    opt_out(ledger, "c0002", "all", "call centre", NOW)
    opt_out(ledger, "c0003", "push", "one click", NOW)
    assert [one.customer_id for one in take(ledger)] == ["c0000", "c0003", "c0004"]
    assert opted_out(ledger, "email") == {"c0001", "c0002"}
    assert opt_in(ledger, "c0001", "email")
    assert opted_out(ledger, "email") == {"c0002"}
    assert states(ledger) == {"claimed": 3, "skipped": 2}


def test_a_paused_offer_waits_and_goes_on(ledger: Ledger) -> None:
    put_in(ledger)
    assert pause_offer(ledger, "panen", "teh", NOW, "out of stock")
    assert not pause_offer(ledger, "panen", "teh", NOW)
    assert paused_offers(ledger, "panen") == {"teh": NOW}
    assert {one.offers for one in take(ledger)} == {("kopi",)}
    later = NOW + timedelta(minutes=2)
    assert take(ledger, now=later) == []
    assert resume_offer(ledger, "panen", "teh")
    assert {one.offers for one in take(ledger, now=later + timedelta(minutes=2))} == {("teh",)}


# --- budgets ---------------------------------------------------------------------------------------------------------


def test_a_budget_is_never_overdrawn_and_who_finds_none_left_is_skipped_with_its_name(ledger: Ledger) -> None:
    put_in(ledger, budget=3500)
    assert len(take(ledger)) == 3
    assert reasons(ledger, *PANEN) == {("skipped", "budget of retailer is used up"): 2}
    assert adds_up(ledger)


@pytest.mark.parametrize("state", [BOUNCED, "failed", "skipped"])
def test_what_was_not_sent_gives_its_budget_back(ledger: Ledger, state: str) -> None:
    put_in(ledger, budget=100_000)
    settle(ledger, [outcome(one, state) for one in take(ledger)], NOW)
    assert balances(ledger)[0].used == 0
    assert adds_up(ledger)


@pytest.mark.parametrize("state", [SENT, UNKNOWN])
def test_what_was_sent_or_may_have_been_stays_spent(ledger: Ledger, state: str) -> None:
    put_in(ledger, budget=100_000)
    settle(ledger, [outcome(one, state) for one in take(ledger)], NOW)
    assert balances(ledger)[0].used == 5000
    assert adds_up(ledger)


def test_many_senders_on_one_budget_spend_it_to_the_rupiah(ledger: Ledger) -> None:
    put_in(ledger, 100, budget=40_500)
    with ThreadPoolExecutor(8) as pool:
        claimed = [one for group in pool.map(lambda k: take(ledger, 20, sender=str(k)), range(16)) for one in group]
    assert len(claimed) == 40
    assert balances(ledger)[0].used == 40_000
    assert adds_up(ledger)


def test_a_message_to_be_tried_again_gives_its_budget_back_until_then(ledger: Ledger) -> None:
    put_in(ledger, 1, budget=1000)
    (one,) = take(ledger)
    settle(ledger, [outcome(one, PENDING, detail="451", due_at=NOW + timedelta(minutes=5))], NOW)
    assert balances(ledger)[0].used == 0
    assert take(ledger, now=NOW + timedelta(minutes=4)) == []
    (again,) = take(ledger, now=NOW + timedelta(minutes=5))
    assert (again.attempts, again.fence) == (2, 2)
    assert balances(ledger)[0].used == 1000


def test_what_was_put_back_without_a_try_was_not_tried(ledger: Ledger) -> None:
    put_in(ledger, 2)
    one, other = take(ledger)
    settle(ledger, [outcome(one, PENDING, due_at=NOW, untried=True), outcome(other, PENDING, due_at=NOW)], NOW)
    assert [(again.attempts, again.fence) for again in take(ledger)] == [(1, 2), (2, 2)]


def test_who_opts_out_between_claim_and_mark_is_not_written_to(ledger: Ledger) -> None:
    put_in(ledger, 4)
    claims = take(ledger)
    for one, channel in zip(claims, ("email", "all", "push"), strict=False):
        opt_out(ledger, one.customer_id, channel, "link", NOW)
    assert [mark(ledger, one) for one in claims] == [False, False, True, True]
    settle(ledger, [outcome(one, PENDING, due_at=NOW, untried=True) for one in claims[:2]], NOW)
    assert take(ledger) == []
    assert states(ledger) == {"skipped": 2, "writing": 2}


def test_what_stands_in_a_file_already_is_marked_all_the_same(ledger: Ledger) -> None:
    put_in(ledger, 1)
    (one,) = take(ledger)
    opt_out(ledger, one.customer_id, "all", "link", NOW)
    assert mark(ledger, one, anew=False)


def test_senders_that_are_killed_use_up_no_tries(ledger: Ledger) -> None:
    put_in(ledger, 2, firing=replace(FIRING, unsure="retry"))
    for k in range(1, 5):
        now = NOW + timedelta(minutes=2 * k)
        one, other = sorted(take(ledger, now=now), key=lambda one: one.message_id)
        assert (one.attempts, other.attempts) == (1, k)
        assert mark(ledger, other)
        recover(ledger, *PANEN, now + LEASE)


# --- devices and addresses -------------------------------------------------------------------------------------------


def test_a_push_keeps_what_became_of_each_device_and_a_dead_token_is_not_used_again(ledger: Ledger) -> None:
    put_in(ledger, 2, channel="push")
    one, other = take(ledger, channel="push")
    parts = (Device("aa", SENT, "200", "name"), Device("bb", BOUNCED, "404 UNREGISTERED"))
    assert settle(ledger, [outcome(one, devices=parts, dead=("bb",)), outcome(other)], NOW) == 2
    assert devices(ledger, one.message_id) == [("aa", SENT, "200"), ("bb", BOUNCED, "404 UNREGISTERED")]
    assert devices(ledger, other.message_id) == []
    assert suppressed(ledger, ["aa", "bb"], "push") == {"bb": "dead token"}
    assert suppressed(ledger, ["aa", "bb"], "email") == {}


def test_a_device_that_is_tried_again_keeps_its_last_outcome(ledger: Ledger) -> None:
    put_in(ledger, 1, channel="push")
    for state, expected in ((PENDING, 1), (SENT, 1)):
        (one,) = take(ledger, channel="push")
        assert settle(ledger, [outcome(one, state, devices=(Device("aa", state),))], NOW) == expected
    assert devices(ledger, one.message_id) == [("aa", SENT, None)]


def test_an_address_that_bounced_is_suppressed_with_its_message_and_never_by_a_stale_sender(ledger: Ledger) -> None:
    put_in(ledger, 2)
    one, other = take(ledger)
    recover(ledger, *PANEN, NOW + LEASE)
    assert settle(ledger, [outcome(one, BOUNCED, dead=("cc",)), outcome(other, BOUNCED, dead=("dd",))], NOW) == 0
    assert suppressed(ledger, ["cc", "dd"], "email") == {}
    one, other = take(ledger, now=NOW + LEASE)
    settle(ledger, [outcome(one, BOUNCED, dead=("cc",)), outcome(other, BOUNCED, dead=("cc",))], NOW)
    assert suppressed(ledger, ["cc", "dd"], "email") == {"cc": "hard bounce"}


# --- crashes ---------------------------------------------------------------------------------------------------------


def test_what_was_claimed_and_not_marked_is_sent_by_the_next_one(ledger: Ledger) -> None:
    put_in(ledger)
    take(ledger)
    assert recover(ledger, *PANEN, NOW + LEASE / 2) == {PENDING: 0, UNKNOWN: 0}
    assert recover(ledger, *PANEN, NOW + LEASE) == {PENDING: 5, UNKNOWN: 0}
    assert balances(ledger)[0].used == 0
    assert len(take(ledger, now=NOW + LEASE, sender="b")) == 5
    assert adds_up(ledger)


def test_what_was_marked_is_unknown_for_ever_and_listed(ledger: Ledger) -> None:
    put_in(ledger)
    claims = take(ledger)
    mark(ledger, claims[0])
    assert recover(ledger, *PANEN, NOW + LEASE) == {PENDING: 4, UNKNOWN: 1}
    assert unsure(ledger, *PANEN) == [(claims[0].message_id, claims[0].customer_id)]
    assert claims[0].message_id not in [one.message_id for one in take(ledger, now=NOW + LEASE)]
    assert adds_up(ledger)


def test_a_campaign_that_says_retry_sends_it_again(ledger: Ledger) -> None:
    put_in(ledger, firing=Firing(*PANEN, run="run-1", unsure="retry"))
    claims = take(ledger)
    mark(ledger, claims[0])
    assert recover(ledger, *PANEN, NOW + LEASE) == {PENDING: 5, UNKNOWN: 0}
    assert len(take(ledger, now=NOW + LEASE)) == 5
    assert adds_up(ledger)


def test_after_a_power_cut_what_was_claimed_may_have_left_too(ledger: Ledger) -> None:
    put_in(ledger)
    take(ledger)
    with ledger.writing() as connection:
        connection.execute(update(MESSAGES).values(epoch="before the power cut"))
    assert recover(ledger, *PANEN, NOW + LEASE) == {PENDING: 0, UNKNOWN: 5}
    assert adds_up(ledger)


def test_a_sender_that_was_presumed_dead_sends_nothing_and_says_nothing(ledger: Ledger) -> None:
    put_in(ledger)
    stale = take(ledger, sender="stopped")
    recover(ledger, *PANEN, NOW + LEASE)
    assert not any(mark(ledger, one) for one in stale)
    assert settle(ledger, [outcome(one) for one in stale], NOW + LEASE) == 0
    fresh = take(ledger, now=NOW + LEASE, sender="b")
    assert not any(mark(ledger, one) for one in stale)
    assert settle(ledger, [outcome(one, BOUNCED) for one in stale], NOW + LEASE) == 0
    assert all(mark(ledger, one) for one in fresh)
    assert states(ledger) == {"writing": 5}


def test_a_sender_that_comes_back_with_an_answer_settles_what_was_unknown(ledger: Ledger) -> None:
    put_in(ledger, 2)
    first, second = take(ledger)
    mark(ledger, first)
    mark(ledger, second)
    recover(ledger, *PANEN, NOW + LEASE)
    assert settle(ledger, [outcome(first), outcome(second, BOUNCED)], NOW + LEASE) == 2
    assert states(ledger) == {SENT: 1, BOUNCED: 1}
    assert adds_up(ledger)


def test_a_slow_sender_renews_its_lease(ledger: Ledger) -> None:
    put_in(ledger)
    claims = take(ledger)
    renew(ledger, claims, NOW + LEASE / 2, LEASE)
    assert recover(ledger, *PANEN, NOW + LEASE) == {PENDING: 0, UNKNOWN: 0}
    assert next_turn(ledger, *PANEN, "email") == milliseconds(NOW + LEASE * 1.5)


def test_a_message_is_marked_once(ledger: Ledger) -> None:
    put_in(ledger, 1)
    (one,) = take(ledger)
    assert mark(ledger, one)
    assert not mark(ledger, one)


def test_what_was_taken_over_is_known_at_once_and_settles_what_was_unknown(ledger: Ledger) -> None:
    put_in(ledger, 3)
    first, second, third = take(ledger)
    for one in (first, second):
        mark(ledger, one)
    assert sent(ledger, first, NOW, "250", "name")
    recover(ledger, *PANEN, NOW + LEASE)
    assert states(ledger) == {SENT: 1, UNKNOWN: 1, PENDING: 1}
    assert sent(ledger, second, NOW + LEASE, "250")
    assert not sent(ledger, third, NOW + LEASE, "250")
    assert not sent(ledger, first, NOW + LEASE, "250")
    assert states(ledger) == {SENT: 2, PENDING: 1}
    assert adds_up(ledger)


def test_a_lease_that_a_wrong_clock_gave_runs_out(ledger: Ledger) -> None:
    put_in(ledger, before=timedelta(days=30))
    claims = take(ledger, now=NOW + timedelta(days=7))
    mark(ledger, claims[0])
    assert recover(ledger, *PANEN, NOW) == {PENDING: 4, UNKNOWN: 1}


def test_what_comes_back_to_a_cancelled_occurrence_is_skipped(ledger: Ledger) -> None:
    put_in(ledger)
    claims = take(ledger, 4)
    change(ledger, *PANEN, CANCELLED, NOW)
    settle(ledger, [outcome(claims[0], PENDING, due_at=NOW), outcome(claims[1], PENDING, due_at=NOW)], NOW)
    mark(ledger, claims[2])
    assert recover(ledger, *PANEN, NOW + LEASE) == {PENDING: 0, UNKNOWN: 1}
    assert states(ledger) == {"skipped": 4, UNKNOWN: 1}
    assert set(reasons(ledger, *PANEN)) >= {("skipped", "cancelled")}
    assert adds_up(ledger)


def test_an_occurrence_that_had_finished_goes_on_for_a_message_that_was_not_taken_after_all(ledger: Ledger) -> None:
    put_in(ledger, 1)
    (one,) = take(ledger)
    mark(ledger, one)
    recover(ledger, *PANEN, NOW + LEASE)
    assert finish(ledger, *PANEN, NOW + LEASE)
    assert settle(ledger, [outcome(one, PENDING, detail="451", due_at=NOW)], NOW + LEASE) == 1
    assert state_of(ledger, *PANEN) == RUNNING
    assert len(take(ledger, now=NOW + LEASE)) == 1
    assert adds_up(ledger)


def test_senders_of_what_is_late_do_not_wait_for_each_other(ledger: Ledger) -> None:
    """Each has claimed other messages when it finds that all are late."""
    put_in(ledger, 40, before=timedelta(hours=1))
    meeting = Barrier(2 if ledger.postgresql else 1)
    arm("claim.running", lambda: meeting.wait(30))
    with ThreadPoolExecutor(2) as pool:
        late = NOW + timedelta(hours=2)
        assert list(pool.map(lambda k: take(ledger, 20, late, str(k)), range(2))) == [[], []]
    disarm()
    take(ledger, now=late)
    assert states(ledger) == {"expired": 40}


# --- other offers ----------------------------------------------------------------------------------------------------


def test_other_offers_take_the_place_of_what_was_planned_where_there_is_room(ledger: Ledger) -> None:
    put_in(ledger, 2, budget=4000)
    first, second = take(ledger)
    ids = account_ids(ledger, *PANEN)
    retailer = ids["budget", "retailer"]
    assert exchange(ledger, first, ["sabun"], {retailer: 3000}, NOW)
    assert not exchange(ledger, second, ["sabun"], {retailer: 1001}, NOW)
    assert exchange(ledger, second, ["sabun"], {retailer: 1000}, NOW)
    assert exchange(ledger, first, ["gratis"], {}, NOW)
    assert balances(ledger)[0].used == 1000
    assert sent_to(ledger, first.customer_id)[0]["offers"] == ["gratis"]
    mark(ledger, first)
    assert not exchange(ledger, first, ["kopi"], {retailer: 1}, NOW)
    assert adds_up(ledger)


def test_accounts_of_a_night_are_found_beside_an_occurrence_s_own(ledger: Ledger) -> None:
    put_in(ledger, 1, night="2026-12-11")
    assert account_ids(ledger, *PANEN) == {}
    assert set(account_ids(ledger, *PANEN, "2026-12-11")) == {("budget", "retailer")}


def test_an_account_that_cannot_be_reserved_from_stops_the_claim(tmp_path: Path) -> None:
    """The condition stands in the UPDATE itself, whatever was read before."""
    ledger = open_ledger(str(tmp_path / "l.db"), NOW)
    put_in(ledger, 2, budget=9000)
    (one, *_) = take(ledger, 1)
    with ledger.writing() as connection:
        connection.execute(text("create trigger t before update on accounts begin select raise(ignore); end"))
    with pytest.raises(RuntimeError, match="has no room"):
        take(ledger)
    with pytest.raises(RuntimeError, match="has no room"):
        exchange(ledger, one, [], {account_ids(ledger, *PANEN)["budget", "retailer"]: 5000}, NOW)
    assert states(ledger) == {"claimed": 1, PENDING: 1}
    ledger.close()


# --- rehearsals ------------------------------------------------------------------------------------------------------


def test_a_rehearsal_begins_anew_and_what_is_live_does_not(ledger: Ledger) -> None:
    live = Firing("gajian", PANEN[1], run="run-1", live=True)
    put_in(ledger, 2, firing=live, night="2026-12-11")
    put_in(ledger, 3, night="2026-12-11")
    settle(ledger, [outcome(one, devices=(Device("hash", SENT),)) for one in take(ledger)], NOW)
    assert balances(ledger)[0].used == 3000
    assert discard(ledger, *PANEN)
    assert not discard(ledger, *PANEN)
    assert balances(ledger)[0].used == 0
    assert state_of(ledger, *PANEN) is None
    with pytest.raises(LedgerError, match="only a rehearsal is begun anew"):
        discard(ledger, "gajian", PANEN[1])
    assert put_in(ledger, 3)


# --- what it tells ---------------------------------------------------------------------------------------------------


def test_a_customer_s_history_and_contacts_say_what_left(ledger: Ledger) -> None:
    put_in(ledger, 3)
    first, second, third = take(ledger)
    done = [outcome(first, detail="250"), outcome(second, BOUNCED, reason="no such mailbox"), outcome(third, "failed")]
    settle(ledger, done, NOW + timedelta(minutes=1))
    (told_of,) = sent_to(ledger, "c0001")
    assert (told_of["state"], told_of["offers"], told_of["reason"]) == (BOUNCED, ["kopi"], "no such mailbox")
    gone = contacts(ledger, NOW, NOW + timedelta(hours=1))
    assert [row.customer_id for row in gone] == ["c0000", "c0001"]
    assert [row.customer_id for row in contacts(ledger, NOW, NOW + timedelta(hours=1), ["p0001"])] == ["c0001"]
    assert contacts(ledger, NOW + timedelta(hours=1), NOW + timedelta(hours=2)) == []
    assert sorted(latest(ledger, *PANEN, "email", 500)) == [BOUNCED, SENT]
    assert [row["state"] for row in occurrences(ledger)] == [RUNNING]


def test_what_became_of_each_device_is_kept_and_dead_ones_get_nothing_more(ledger: Ledger) -> None:
    put_in(ledger, 2, channel="push")
    first, second = take(ledger, channel="push")
    before = [Device("a" * 64, "pending"), Device("b" * 64, BOUNCED, "404 UNREGISTERED")]
    settle(ledger, [outcome(first, PENDING, due_at=NOW, devices=tuple(before), dead=("b" * 64,))], NOW)
    (again,) = take(ledger, channel="push")
    settle(ledger, [outcome(again, devices=(Device("a" * 64, SENT, "200", "name"),)), outcome(second)], NOW)
    assert devices(ledger, first.message_id) == [("a" * 64, SENT, "200"), ("b" * 64, BOUNCED, "404 UNREGISTERED")]
    assert suppressed(ledger, ["a" * 64, "b" * 64], "push") == {"b" * 64: "dead token"}


def test_who_is_being_written_to_by_another_occurrence_and_who_complained_is_known(ledger: Ledger) -> None:
    put_in(ledger, 3)
    (one,) = take(ledger, 1)
    other = ("gajian", PANEN[1])
    assert held_elsewhere(ledger, *other, ["p0000", "p0001"]) == [("p0000", "email")]
    assert held_elsewhere(ledger, *PANEN, ["p0000", "p0001"]) == []
    assert complaints(ledger, *PANEN) == 0
    take_event(ledger, "e1", "complained", one.message_id, NOW)
    take_event(ledger, "e2", "complained", one.message_id, NOW)
    assert complaints(ledger, *PANEN) == 1


def test_suppressed_addresses_are_kept_as_keyed_hashes(ledger: Ledger) -> None:
    key, other = b"k" * 32, b"o" * 32
    name = address_hash(" Siti@Pelanggan.example ", key)
    assert name == address_hash("siti@pelanggan.example", key) != address_hash("siti@pelanggan.example", other)
    assert suppress(ledger, [name], "email", "hard bounce", NOW) == 1
    assert suppress(ledger, [name], "email", "complaint", NOW) == 0
    assert suppressed(ledger, [name, "another"], "email") == {name: "hard bounce"}
    assert suppressed(ledger, [name], "push") == {}


def test_an_event_of_feedback_is_taken_once(ledger: Ledger) -> None:
    assert take_event(ledger, "e1", "bounced", "m1", NOW)
    assert not take_event(ledger, "e1", "bounced", "m1", NOW)


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_ledger_is_opened_again_and_again_without_change(ledger: Ledger) -> None:
    put_in(ledger)
    url = ledger.writes.url
    again = open_ledger(url.render_as_string(hide_password=False) if ledger.postgresql else str(url.database), NOW)
    assert states(again) == {PENDING: 5}
    again.close()


def test_a_ledger_of_a_later_version_is_refused(tmp_path: Path) -> None:
    opened = open_ledger(str(tmp_path / "l.db"), NOW)
    with opened.writing() as connection:
        connection.execute(text(f"insert into ledger_versions values ({len(MIGRATIONS) + 1}, 0)"))
    opened.close()
    with pytest.raises(LedgerError, match="update larisma"):
        open_ledger(str(tmp_path / "l.db"), NOW)


def test_every_commit_of_the_ledger_is_on_the_disk_and_a_mark_need_not_be(ledger: Ledger) -> None:
    query = text("show synchronous_commit" if ledger.postgresql else "pragma synchronous")
    with ledger.writing() as connection:
        assert connection.execute(query).scalar() == ("on" if ledger.postgresql else 2)
    with ledger.marks.connect() as connection:
        assert connection.execute(query).scalar() == ("off" if ledger.postgresql else 1)


def test_a_mark_that_finds_the_database_away_says_so_and_the_next_one_connects_anew(ledger: Ledger) -> None:
    put_in(ledger, 2)
    first, second = take(ledger)
    assert mark(ledger, first)
    query = text("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
    if ledger.postgresql:
        with ledger.writing() as connection:
            connection.execute(query)
    else:
        with ledger.writing() as connection:
            connection.execute(text("alter table messages rename to elsewhere"))
    with pytest.raises(OperationalError) as caught:
        mark(ledger, second)
    assert second.message_id not in str(caught.value)
    if not ledger.postgresql:
        with ledger.writing() as connection:
            connection.execute(text("alter table elsewhere rename to messages"))
    assert mark(ledger, second)


def test_a_mark_that_cannot_connect_says_so_too(tmp_path: Path) -> None:
    ledger = open_ledger(str(tmp_path / "here" / "l.db"), NOW)
    put_in(ledger, 1)
    (one,) = take(ledger)
    ledger.close()
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(OperationalError):
        mark(ledger, one)
    (tmp_path / "there").rename(tmp_path / "here")
    assert mark(ledger, one)
    ledger.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql+asyncpg://x/y", "://"])
def test_a_url_that_is_none_of_ours_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="ledger: expected a path"):
        open_ledger(url, NOW)


def test_a_database_that_is_away_is_said_without_its_password() -> None:
    url = "postgresql://larisma:rahasia@127.0.0.1:1/ledger"
    with pytest.raises(LedgerError) as caught:
        open_ledger(url, NOW)
    assert "rahasia" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert told(url) == "postgresql://larisma:***@127.0.0.1:1/ledger"
