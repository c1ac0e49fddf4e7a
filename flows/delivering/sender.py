"""The loop of one connection: claim a group, get it ready, hand it over one by one, write down what became of it.

recover → claim → recheck → mark → send → sent or settled → … until nothing waits, or sending is to end
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from campaigns.channels.pace import Pace
from campaigns.channels.parcel import Answer, Channel
from campaigns.failpoints import failpoint
from campaigns.ledger import (
    Claim,
    Device,
    LedgerError,
    Outcome,
    address_hash,
    claim,
    mark,
    next_turn,
    recover,
    renew,
    sent,
    settle,
)
from campaigns.ledger.schema import BOUNCED, EXPIRED, PENDING, SENT
from campaigns.ledger.store import instant_of, milliseconds
from flows.delivering.breaker import Breaker
from flows.delivering.desk import Desk, Ready, prepared
from flows.delivering.job import Job, patiently
from flows.delivering.retries import LATE, again
from flows.delivering.timing import Timer

GROUP = 50  # messages of a claim, at most
LEASE = timedelta(seconds=60)  # after a kill the next sender takes over so soon
AHEAD = timedelta(seconds=10)  # a claim is of what a slow pace lets go in this time
TROUBLE = 3  # messages in a row that did not get through; then the channel waits
OF_ONE = "45"  # replies to one recipient or message: 450, 451, 452
HOLDS = tuple(timedelta(seconds=n) for n in (5, 15, 60, 300))


@dataclass(eq=False)
class Line:
    """What the connections of one channel share. trouble: of which there were so many groups in a row."""

    name: str
    desk: Desk
    pace: Pace
    breaker: Breaker
    tries: int
    connections: int
    trouble: int = 0

    @property
    def group(self) -> int:
        if not self.pace.per_minute:
            return GROUP
        share = self.pace.per_minute * AHEAD / timedelta(minutes=1) / self.connections
        return max(1, min(GROUP, int(share)))


def send_line(job: Job, line: Line, opened: Callable[[], Channel], timer: Timer, sender: str) -> None:
    """Sends until nothing of a channel waits or is held, or until sending is to end. Raises LedgerError."""
    channel, last = opened(), None
    here = (job.ledger, job.campaign_id, job.occurrence)
    try:
        patiently(lambda: recover(*here, timer.now()), timer)
        while _goes_on(job, timer):
            claims = patiently(lambda: claim(*here, line.name, sender, line.group, timer.now(), LEASE), timer)
            if claims:
                failpoint("sender.claimed")
                _send_group(job, line, channel, claims, timer)
                continue
            if not _goes_on(job, timer, at_once=True):
                return
            turn = patiently(lambda: next_turn(*here, line.name), timer)
            if turn is None:
                return
            if instant_of(turn) > timer.now():
                timer.until(instant_of(turn))  # or a few seconds, to see what others have settled or put back
                continue
            patiently(lambda: recover(*here, timer.now()), timer)
            if turn == last:  # another sender is at it just now
                timer.until(timer.now() + timedelta(seconds=1))
            last = turn
    finally:
        channel.close()


def _send_group(job: Job, line: Line, channel: Channel, claims: Sequence[Claim], timer: Timer) -> None:
    renewed = timer.now()
    ready, outcomes = patiently(lambda: prepared(line.desk, claims, timer.now()), timer)
    if outcomes:
        _settle(job, outcomes, timer)
    refused = 0
    for place, one in enumerate(ready):
        at = timer.now() + line.pace.turn(one.claim.domain, timer.now())
        while timer.now() < at and _goes_on(job, timer):
            timer.until(min(at, timer.now() + LEASE / 3))
            renewed = _renewed(job, ready[place:], renewed, timer)
        if not _goes_on(job, timer):
            return _put_back(job, ready[place:], timer.now(), timer)
        if refused >= TROUBLE:
            until = _hold(line, timer.now())
            return _put_back(job, ready[place:], until, timer)
        renewed = _renewed(job, ready[place:], renewed, timer)
        answer = _handed_over(job, line, channel, one, timer)
        refused = refused + 1 if answer is not None and _of_channel(answer) else 0
    if ready and not refused:
        line.trouble = 0


def _goes_on(job: Job, timer: Timer, *, at_once: bool = False) -> bool:
    return patiently(lambda: job.goes_on(timer.now(), at_once=at_once), timer)


def _of_channel(answer: Answer) -> bool:
    """Whether it says that the channel does not get anything through just now, and not this message alone."""
    return answer.state == PENDING and not (answer.detail or "").startswith(OF_ONE)


def _handed_over(job: Job, line: Line, channel: Channel, one: Ready, timer: Timer) -> Answer | None:
    if one.claim.send_before <= milliseconds(timer.now()):
        _settle(job, [Outcome(one.claim.message_id, one.claim.fence, EXPIRED, LATE)], timer)
        return None
    failpoint("sender.before")
    left: list[datetime] = []
    answer = channel.send(one.parcel, lambda: _leaves(job, one.claim, timer, left))
    failpoint("sender.answered")
    if answer is None:
        if job.failure is None:  # the next claim tells why it may not leave; where it is another's, nothing changes
            _put_back(job, [one], timer.now(), timer)
        return None
    now = timer.now()
    if answer.state == SENT and not answer.parts:
        patiently(lambda: sent(job.ledger, one.claim, left[-1], answer.detail, answer.provider_id), timer)
        job.told(1)
    else:
        _settle(job, [outcome_of(line, one, answer, now)], timer, left[-1] if answer.state == SENT else None)
    if answer.retry_after:
        line.pace.hold(answer.retry_after, now)
    if why := answer.broken or line.breaker.saw(answer.state):
        patiently(lambda: job.stop(why, now), timer)
    return answer


def outcome_of(line: Line, one: Ready, answer: Answer, now: datetime) -> Outcome:
    """What the ledger keeps of an answer: of a push's devices too, and of addresses that exist no more."""
    key = line.desk.rules.address_key
    gone = answer.gone
    if line.name == "email":
        gone = one.parcel.recipients if answer.state == BOUNCED else ()
    devices = tuple(
        Device(address_hash(token, key), part.state, part.detail, part.provider_id)
        for token, part in answer.parts.items()
    )
    dead = tuple(address_hash(address, key) for address in gone)
    told = (answer.reason, answer.detail, answer.provider_id)
    kept = Outcome(one.claim.message_id, one.claim.fence, answer.state, *told)
    if answer.broken:  # it waits until the channel is mended
        kept = replace(kept, due_at=now, untried=True)
    elif _of_channel(answer):  # not the message's fault, so it does not count as a try
        kept = replace(again(one.claim, answer, line.tries + one.claim.attempts, now), untried=True)
    elif answer.state == PENDING:
        kept = again(one.claim, answer, line.tries, now)
    return replace(kept, devices=devices, dead=dead)


def _leaves(job: Job, claimed: Claim, timer: Timer, left: list[datetime]) -> bool:
    """Whether it may leave, and if so when: the same instant is held against its time and written down as sent.

    Where the ledger does not answer, it may not: it goes back when its lease ends.
    """

    def attempt() -> bool:
        now = timer.now()  # the other side, or the ledger, may have taken its time
        if claimed.send_before <= milliseconds(now) or not mark(job.ledger, claimed):
            return False
        left.append(now)
        return True

    try:
        return patiently(attempt, timer)
    except LedgerError as error:
        job.fail(error)
        return False


def _renewed(job: Job, left: Sequence[Ready], renewed: datetime, timer: Timer) -> datetime:
    """When the leases were last renewed, which is done in good time before they end."""
    now = timer.now()
    if abs(now - renewed) < LEASE / 3:
        return renewed
    patiently(lambda: renew(job.ledger, [one.claim for one in left], now, LEASE), timer)
    return now


def _put_back(job: Job, left: Sequence[Ready], due_at: datetime, timer: Timer) -> None:
    """What is in hand and has not left is anybody's again."""
    outcomes = [Outcome(one.claim.message_id, one.claim.fence, PENDING, due_at=due_at, untried=True) for one in left]
    failpoint("sender.put_back")
    _settle(job, outcomes, timer)


def _hold(line: Line, now: datetime) -> datetime:
    """The channel waits, longer each time nothing gets through; until when."""
    span = HOLDS[min(line.trouble, len(HOLDS) - 1)]
    line.trouble += 1
    line.pace.hold(span, now)
    return now + span


def _settle(job: Job, outcomes: Sequence[Outcome], timer: Timer, at: datetime | None = None) -> None:
    patiently(lambda: settle(job.ledger, outcomes, at or timer.now()), timer)
    failpoint("sender.settled")
    job.told(sum(one.state != PENDING for one in outcomes))
