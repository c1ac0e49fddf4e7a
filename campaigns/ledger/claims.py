"""How a message is sent at most once: claimed under a lease, marked before the first byte leaves, and settled.

claim    pending → claimed   one durable commit for a group; what is refused meanwhile is skipped, budgets are reserved
mark     claimed → writing   just before the first byte of a mail or push leaves; outlives a killed process
sent     writing → sent      at once, so that it outlives a killed process
settle   → bounced, pending … one durable commit for a group; whatever else is to be written down
recover  of a sender whose lease has run out: what it had marked may have left, so it becomes `unknown` and stays so
         (or is tried again, where the campaign says `retry`); what it had not marked goes back to pending

Each claim raises the message's fence. A sender that was presumed dead and comes back finds another fence, or another
state, and sends nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, or_, select, update

from campaigns.failpoints import failpoint
from campaigns.ledger.planning import inserted, occurrence_is, replaced
from campaigns.ledger.schema import (
    ACCOUNTS,
    CANCELLED,
    CLAIMED,
    EXPIRED,
    FINISHED,
    HELD,
    IS_HELD,
    IS_PENDING,
    MESSAGES,
    OCCURRENCES,
    OPT_OUTS,
    PAUSED_OFFERS,
    PENDING,
    RUNNING,
    SENT,
    SKIPPED,
    SUPPRESSIONS,
    TOKENS,
    UNKNOWN,
    WRITING,
)
from campaigns.ledger.store import Ledger, epoch, milliseconds

LONGEST_LEASE = timedelta(hours=1)
PAUSE = timedelta(minutes=1)  # until a message with a paused offer is looked at again
OPTED_OUT, LATE = "opted out", "past send_before"
DEAD = {"email": "hard bounce", "push": "dead token"}  # why nothing more is sent to an address


# Built once, for they are used for every group or every message.
_IDS = MESSAGES.c.message_id.in_(bindparam("ids", expanding=True))
_FIRING = and_(OCCURRENCES.c.campaign_id == bindparam("campaign"), OCCURRENCES.c.occurrence == bindparam("firing"))
_STATE_OF = select(OCCURRENCES.c.state).where(_FIRING)
_LINE = and_(
    MESSAGES.c.campaign_id == bindparam("campaign"),
    MESSAGES.c.occurrence == bindparam("firing"),
    MESSAGES.c.channel == bindparam("line"),
)
_WAITING = and_(_LINE, IS_PENDING)
_DUE = (
    select(MESSAGES)
    .where(_WAITING, MESSAGES.c.due_at <= bindparam("stamp"))
    .order_by(MESSAGES.c.due_at, MESSAGES.c.message_id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(MESSAGES)
    .where(_IDS)
    .values(
        state=CLAIMED,
        sender=bindparam("by"),
        fence=MESSAGES.c.fence + 1,
        attempts=MESSAGES.c.attempts + 1,
        epoch=bindparam("era"),
        lease_until=bindparam("until"),
        changed_at=bindparam("stamp"),
    )
)
_REFUSED = select(OPT_OUTS.c.customer_id).where(
    OPT_OUTS.c.customer_id.in_(bindparam("people", expanding=True)), OPT_OUTS.c.channel.in_((bindparam("line"), "all"))
)
_PAUSED = select(PAUSED_OFFERS.c.offer_id).where(PAUSED_OFFERS.c.campaign_id == bindparam("campaign"))
_ACCOUNTS = (
    select(ACCOUNTS)
    .where(ACCOUNTS.c.id.in_(bindparam("numbers", expanding=True)))
    .order_by(ACCOUNTS.c.id)
    .with_for_update()
)
_RESERVE = (
    update(ACCOUNTS)
    .where(
        ACCOUNTS.c.id == bindparam("number"),
        or_(ACCOUNTS.c.ceiling.is_(None), ACCOUNTS.c.used + bindparam("more") <= ACCOUNTS.c.ceiling),
    )
    .values(used=ACCOUNTS.c.used + bindparam("more"))
)
_NEXT_DUE = select(MESSAGES.c.due_at).where(_WAITING).order_by(MESSAGES.c.due_at).limit(1)
_NEXT_END = select(MESSAGES.c.lease_until).where(_LINE, IS_HELD).order_by(MESSAGES.c.lease_until).limit(1)
_OWN = and_(MESSAGES.c.message_id == bindparam("own_id"), MESSAGES.c.fence == bindparam("own_fence"))
_SAID_NO = exists().where(
    OPT_OUTS.c.customer_id == MESSAGES.c.customer_id,
    or_(OPT_OUTS.c.channel == MESSAGES.c.channel, OPT_OUTS.c.channel == "all"),
)
# Without the time, which an index holds, it costs half.
_MARK = update(MESSAGES).where(_OWN, MESSAGES.c.state == CLAIMED).values(state=WRITING)
_MARK_UNLESS_REFUSED = _MARK.where(~_SAID_NO)
_SENT = (
    update(MESSAGES)
    .where(_OWN, or_(*(MESSAGES.c.state == state for state in (*HELD, UNKNOWN))))
    .values(
        state=SENT, reason=None, detail=bindparam("said"), provider_id=bindparam("name"), changed_at=bindparam("stamp")
    )
)
_STILL_HELD = or_(*(MESSAGES.c.state == state for state in HELD))
_RENEW = update(MESSAGES).where(_OWN, _STILL_HELD).values(lease_until=bindparam("until"))


@dataclass(frozen=True)
class Claim:
    """A message that is this sender's to send until the lease ends. fence: to be shown with whatever is done to it."""

    message_id: str
    customer_id: str
    person_id: str
    channel: str
    domain: str
    offers: tuple[str, ...]
    send_before: int
    attempts: int
    fence: int


@dataclass(frozen=True)
class Device:
    """What became of a push on one device. token_hash: see address_hash."""

    token_hash: str
    state: str
    detail: str | None = None
    provider_id: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a claimed message: SENT, BOUNCED, UNKNOWN, SKIPPED, FAILED, or PENDING to try again at due_at.

    devices: of a push. dead: hashes of the address or tokens that exist no more; nothing is sent there again. untried:
    put back without a try, so that its claim does not count as one.
    """

    message_id: str
    fence: int
    state: str
    reason: str | None = None
    detail: str | None = None
    provider_id: str | None = None
    due_at: datetime | None = None
    devices: tuple[Device, ...] = ()
    dead: tuple[str, ...] = ()
    untried: bool = False


def claim(
    ledger: Ledger,
    campaign_id: str,
    occurrence: str,
    channel: str,
    sender: str,
    most: int,
    now: datetime,
    lease: timedelta,
) -> list[Claim]:
    """At most so many messages that are due, in order of their turn; none unless the occurrence is running.

    On the way those past their deadline expire, those of people who opted out are skipped, and so are those that an
    account has no room for.
    """
    stamp = milliseconds(now)
    firing = {"campaign": campaign_id, "firing": occurrence}
    line = {**firing, "line": channel}
    with ledger.writing() as connection:
        if connection.execute(_STATE_OF, firing).scalar() != RUNNING:
            return []
        failpoint("claim.running")
        rows = connection.execute(_DUE, {**line, "stamp": stamp, "most": most}).all()
        if any(row.send_before <= stamp for row in rows):
            # Two that wait for each other's late ones would wait for ever, so those that another holds are left to it.
            late = select(MESSAGES.c.message_id).where(_WAITING, MESSAGES.c.send_before <= stamp)
            expired = update(MESSAGES).where(MESSAGES.c.message_id.in_(late.with_for_update(skip_locked=True)))
            connection.execute(expired.values(state=EXPIRED, reason=LATE, changed_at=stamp), line)
            failpoint("claim.expired")
            rows = connection.execute(_DUE, {**line, "stamp": stamp, "most": most}).all()
        if not rows:
            return []
        rows = _without_opted_out(connection, rows, channel, stamp)
        rows = _without_paused(connection, rows, campaign_id, stamp)
        failpoint("claim.refused")
        rows = _with_room(connection, rows, stamp)
        failpoint("claim.reserved")
        until = milliseconds(now + min(lease, LONGEST_LEASE))
        values = {"by": sender, "era": epoch(connection), "until": until, "stamp": stamp}
        connection.execute(_TAKE, {"ids": [row.message_id for row in rows], **values})
        failpoint("claim.taken")
    return [
        Claim(
            row.message_id,
            row.customer_id,
            row.person_id,
            row.channel,
            row.domain,
            tuple(json.loads(row.offers)),
            row.send_before,
            row.attempts + 1,
            row.fence + 1,
        )
        for row in rows
    ]


def mark(ledger: Ledger, claimed: Claim, *, anew: bool = True) -> bool:
    """Says that from here on the message may have left. False if it is no longer this sender's, or if its customer has
    opted out since it was claimed: send nothing then.

    anew=False: who has opted out is not asked anew, for messages that were put into one file when they were claimed.
    """
    failpoint("mark.before")
    changed = ledger.quickly(
        _MARK_UNLESS_REFUSED if anew else _MARK, {"own_id": claimed.message_id, "own_fence": claimed.fence}
    )
    failpoint("mark.after")
    return changed == 1


def sent(ledger: Ledger, claimed: Claim, now: datetime, detail: str | None, provider_id: str | None = None) -> bool:
    """Says that a message was taken over; outlives this process, so that after a kill only those are unknown that were
    on the way. After a power cut it may be one of them. False if it was no longer this sender's to say."""
    failpoint("sent.before")
    own = {"own_id": claimed.message_id, "own_fence": claimed.fence, "stamp": milliseconds(now)}
    changed = ledger.quickly(_SENT, {**own, "said": detail, "name": provider_id})
    failpoint("sent.after")
    return changed == 1


def renew(ledger: Ledger, claims: Sequence[Claim], now: datetime, lease: timedelta) -> None:
    """Gives more time to a slow sender that is still at work; what is no longer its own stays as it is."""
    failpoint("renew.before")
    until = milliseconds(now + min(lease, LONGEST_LEASE))
    for one in claims:
        ledger.quickly(_RENEW, {"own_id": one.message_id, "own_fence": one.fence, "until": until})
    failpoint("renew.after")


def settle(ledger: Ledger, outcomes: Iterable[Outcome], now: datetime) -> int:
    """Writes down what became of messages, durably; returns how many were still this sender's to say it of.

    What was not sent gives back what it had reserved. What is to be tried again in an occurrence that was cancelled
    meanwhile is skipped; one that had finished, with this message unknown, goes on.
    """
    stamp = milliseconds(now)
    by_id = {outcome.message_id: outcome for outcome in outcomes}
    failpoint("settle.before")
    with ledger.writing() as connection:
        again = [one.message_id for one in by_id.values() if one.state == PENDING]
        over = _over(connection, again, stamp) if again else set()
        by_id.update({one: replace(by_id[one], state=SKIPPED, reason="cancelled") for one in over})
        query = select(MESSAGES.c.message_id, MESSAGES.c.fence, MESSAGES.c.state, MESSAGES.c.uses)
        query = (
            query.add_columns(MESSAGES.c.channel)
            .where(MESSAGES.c.message_id.in_(sorted(by_id)))
            .order_by(MESSAGES.c.message_id)
        )
        rows = connection.execute(query.with_for_update()).all()
        mine = [row for row in rows if row.fence == by_id[row.message_id].fence and row.state in (*HELD, UNKNOWN)]
        freed: Counter[int] = Counter()
        alike: dict[Outcome, list[Any]] = {}
        for row in mine:
            outcome = by_id[row.message_id]
            alike.setdefault(replace(outcome, message_id="", fence=0, devices=(), dead=()), []).append(row)
            if outcome.state not in (SENT, UNKNOWN):
                freed.update(dict(json.loads(row.uses)))
        for outcome, group in alike.items():
            values = {name: getattr(outcome, name) for name in ("state", "reason", "detail", "provider_id")}
            turn = {} if outcome.due_at is None else {"due_at": milliseconds(outcome.due_at)}
            tries = {"attempts": MESSAGES.c.attempts - 1} if outcome.untried else {}
            _change(connection, group, {**values, **turn, **tries, "changed_at": stamp})
            failpoint("settle.some")
        _of_devices(connection, [(row.channel, by_id[row.message_id]) for row in mine], stamp)
        _release(connection, freed)
        failpoint("settle.released")
    failpoint("settle.after")
    return len(mine)


def recover(ledger: Ledger, campaign_id: str, occurrence: str, now: datetime) -> dict[str, int]:
    """Takes over from senders whose lease has run out: how many messages are `pending` again, how many `unknown`.

    A lease that ends later than any that can be given now is of a clock that was wrong, and has run out too.
    """
    stamp = milliseconds(now)
    with ledger.writing() as connection:
        mine = occurrence_is(OCCURRENCES, campaign_id, occurrence)
        state = connection.execute(select(OCCURRENCES.c.state).where(mine).with_for_update()).scalar()
        held = and_(
            occurrence_is(MESSAGES, campaign_id, occurrence),
            IS_HELD,
            or_(MESSAGES.c.lease_until <= stamp, MESSAGES.c.lease_until > milliseconds(now + LONGEST_LEASE)),
        )
        query = select(MESSAGES).where(held).order_by(MESSAGES.c.message_id)
        rows = connection.execute(query.with_for_update()).all()
        failpoint("recover.found")
        if not rows:
            return {PENDING: 0, UNKNOWN: 0}
        unsure = connection.execute(select(OCCURRENCES.c.unsure).where(mine)).scalar_one()
        here = epoch(connection)
        # After a power cut marks may be lost, so what was claimed then may have left as well.
        doubtful = [row for row in rows if row.state == WRITING or row.epoch != here]
        again = rows if unsure == "retry" else [row for row in rows if row.state == CLAIMED and row.epoch == here]
        freed: Counter[int] = Counter()
        for row in again:
            freed.update(dict(json.loads(row.uses)))
        over = {"state": SKIPPED, "reason": "cancelled"} if state == CANCELLED else {"state": PENDING, "due_at": stamp}
        untried = {"attempts": MESSAGES.c.attempts - 1}  # or senders that are killed would use up a message's tries
        _change(connection, [row for row in again if row.state == CLAIMED], {**over, **untried, "changed_at": stamp})
        _change(connection, [row for row in again if row.state == WRITING], {**over, "changed_at": stamp})
        failpoint("recover.pending")
        lost = [] if unsure == "retry" else doubtful
        reason = "the sender ended between handing it over and hearing the answer"
        _change(connection, lost, {"state": UNKNOWN, "reason": reason, "changed_at": stamp})
        failpoint("recover.unknown")
        _release(connection, freed)
        failpoint("recover.released")
    return {PENDING: 0 if state == CANCELLED else len(again), UNKNOWN: len(lost)}


def next_turn(ledger: Ledger, campaign_id: str, occurrence: str, channel: str) -> int | None:
    """When the next message is due or the next lease ends, in milliseconds; None if nothing waits or is held."""
    line = {"campaign": campaign_id, "firing": occurrence, "line": channel}
    with ledger.reading() as connection:
        found = [connection.execute(query, line).scalar() for query in (_NEXT_DUE, _NEXT_END)]
    return min((at for at in found if at is not None), default=None)


def _without_opted_out(connection: Connection, rows: Sequence[Any], channel: str, stamp: int) -> list[Any]:
    people = sorted({row.customer_id for row in rows})
    gone = set(connection.execute(_REFUSED, {"people": people, "line": channel}).scalars())
    refused = [row for row in rows if row.customer_id in gone]
    _change(connection, refused, {"state": SKIPPED, "reason": OPTED_OUT, "changed_at": stamp})
    return [row for row in rows if row.customer_id not in gone]


def _without_paused(connection: Connection, rows: Sequence[Any], campaign_id: str, stamp: int) -> list[Any]:
    paused = set(connection.execute(_PAUSED, {"campaign": campaign_id}).scalars())
    if not paused:
        return list(rows)
    waiting = [row for row in rows if paused & set(json.loads(row.offers))]
    later = stamp + round(PAUSE.total_seconds() * 1000)
    _change(connection, waiting, {"due_at": later, "reason": "offer paused", "changed_at": stamp})
    held_back = {row.message_id for row in waiting}
    return [row for row in rows if row.message_id not in held_back]


def _with_room(connection: Connection, rows: Sequence[Any], stamp: int) -> list[Any]:
    """Reserves what each message uses, in their order, and skips those that an account has no room for."""
    wanted: list[tuple[Any, dict[int, int]]] = [(row, dict(json.loads(row.uses))) for row in rows]
    numbers = sorted({account for _, uses in wanted for account in uses})
    if not numbers:
        return list(rows)
    accounts = connection.execute(_ACCOUNTS, {"numbers": numbers}).all()
    room = {account.id: account.ceiling - account.used for account in accounts if account.ceiling is not None}
    names = {account.id: f"{account.kind} of {account.name} is used up" for account in accounts}
    taken: Counter[int] = Counter()
    kept: list[Any] = []
    refused: dict[str, list[Any]] = {}
    for row, uses in wanted:
        full = next((account for account, use in uses.items() if account in room and use > room[account]), None)
        if full is not None:
            refused.setdefault(names[full], []).append(row)
            continue
        kept.append(row)
        taken.update(uses)
        for account, use in uses.items():
            if account in room:
                room[account] -= use
    for account, use in sorted(taken.items()):
        if connection.execute(_RESERVE, {"number": account, "more": use}).rowcount != 1:
            raise RuntimeError(f"account {account} has no room for what was to be reserved")
        failpoint("claim.account")
    for reason, without in refused.items():
        _change(connection, without, {"state": SKIPPED, "reason": reason, "changed_at": stamp})
    return kept


def _over(connection: Connection, message_ids: Sequence[str], stamp: int) -> set[str]:
    """Those of the messages whose occurrence was cancelled. A finished occurrence runs again, for the others' sake."""
    ids = MESSAGES.c.message_id.in_(sorted(message_ids))
    query = select(MESSAGES.c.message_id, MESSAGES.c.campaign_id, MESSAGES.c.occurrence).where(ids)
    rows = connection.execute(query).all()
    cancelled = set()
    for campaign_id, occurrence in sorted({(row.campaign_id, row.occurrence) for row in rows}):
        mine = occurrence_is(OCCURRENCES, campaign_id, occurrence)
        state = connection.execute(select(OCCURRENCES.c.state).where(mine).with_for_update()).scalar_one()
        if state == CANCELLED:
            cancelled.add((campaign_id, occurrence))
        if state == FINISHED:
            connection.execute(update(OCCURRENCES).where(mine).values(state=RUNNING, changed_at=stamp))
    return {row.message_id for row in rows if (row.campaign_id, row.occurrence) in cancelled}


def _of_devices(connection: Connection, settled: Sequence[tuple[str, Outcome]], stamp: int) -> None:
    devices = [
        {
            "message_id": outcome.message_id,
            "token_hash": device.token_hash,
            "state": device.state,
            "detail": device.detail,
            "provider_id": device.provider_id,
        }
        for _, outcome in settled
        for device in outcome.devices
    ]
    replaced(connection, TOKENS, devices)
    dead = {(one, channel) for channel, outcome in settled for one in outcome.dead}
    rows = [
        {"address_hash": one, "channel": channel, "reason": DEAD[channel], "at": stamp} for one, channel in sorted(dead)
    ]
    inserted(connection, SUPPRESSIONS, rows)
    failpoint("settle.dead")


def _release(connection: Connection, freed: Counter[int]) -> None:
    for account, use in sorted(freed.items()):
        back = update(ACCOUNTS).where(ACCOUNTS.c.id == account).values(used=ACCOUNTS.c.used - use)
        connection.execute(back)


def _change(connection: Connection, rows: Sequence[Any], values: dict[str, Any]) -> None:
    if rows:
        mine = MESSAGES.c.message_id.in_(bindparam("ids", expanding=True))
        connection.execute(update(MESSAGES).where(mine).values(values), {"ids": [row.message_id for row in rows]})
