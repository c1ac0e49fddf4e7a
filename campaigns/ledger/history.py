"""What the ledger can tell: who was sent what, how far an occurrence is, and whether its sums still add up."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, not_, select

from campaigns.ledger.planning import occurrence_is
from campaigns.ledger.schema import ACCOUNTS, BOUNCED, EVENTS, HELD, MESSAGES, OCCURRENCES, SENT, SPENT, TOKENS, UNKNOWN
from campaigns.ledger.store import Ledger, instant_of, milliseconds

COMPLAINTS = ("complaint", "complained")  # kinds of events


@dataclass(frozen=True)
class Balance:
    """An account, and what the messages that use it add up to: equal, or something is wrong."""

    campaign_id: str
    occurrence: str
    kind: str
    name: str
    ceiling: int | None
    used: int
    added_up: int

    @property
    def drift(self) -> int:
        return self.used - self.added_up


def balances(ledger: Ledger) -> list[Balance]:
    """Every account beside the sum of its messages' uses. Reads all messages that were spent on."""
    total: Counter[int] = Counter()
    with ledger.reading() as connection:
        for uses in connection.execute(select(MESSAGES.c.uses).where(MESSAGES.c.state.in_(SPENT))).scalars():
            total.update(dict(json.loads(uses)))
        rows = connection.execute(select(ACCOUNTS).order_by(ACCOUNTS.c.id)).all()
    return [
        Balance(row.campaign_id, row.occurrence, row.kind, row.name, row.ceiling, row.used, total[row.id])
        for row in rows
    ]


def sent_to(ledger: Ledger, customer_id: str) -> list[dict[str, Any]]:
    """Every message to one customer, newest first."""
    query = select(MESSAGES).where(MESSAGES.c.customer_id == customer_id).order_by(MESSAGES.c.changed_at.desc())
    with ledger.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return [{**row, "offers": json.loads(row["offers"]), "changed_at": instant_of(row["changed_at"])} for row in rows]


def contacts(ledger: Ledger, since: datetime, before: datetime, persons: Iterable[str] | None = None) -> list[Any]:
    """(customer_id, person_id, campaign_id, occurrence, channel, at in milliseconds) of what left, or may have left."""
    gone = and_(
        MESSAGES.c.state.in_((SENT, UNKNOWN, BOUNCED)),
        MESSAGES.c.changed_at >= milliseconds(since),
        MESSAGES.c.changed_at < milliseconds(before),
    )
    if persons is not None:
        gone = and_(gone, MESSAGES.c.person_id.in_(list(persons)))
    columns = ("customer_id", "person_id", "campaign_id", "occurrence", "channel", "changed_at")
    query = select(*(MESSAGES.c[name] for name in columns)).where(gone).order_by(MESSAGES.c.changed_at)
    with ledger.reading() as connection:
        return list(connection.execute(query).all())


def held_elsewhere(ledger: Ledger, campaign_id: str, occurrence: str, persons: Iterable[str]) -> list[tuple[str, str]]:
    """(person_id, channel) of messages of other occurrences that are being sent right now to some persons."""
    query = select(MESSAGES.c.person_id, MESSAGES.c.channel).where(
        MESSAGES.c.person_id.in_(list(persons)),
        MESSAGES.c.state.in_(HELD),
        not_(occurrence_is(MESSAGES, campaign_id, occurrence)),
    )
    with ledger.reading() as connection:
        return [(person, channel) for person, channel in connection.execute(query)]


def complaints(ledger: Ledger, campaign_id: str, occurrence: str) -> int:
    """How many of an occurrence's messages were complained of, as far as feedback was taken in."""
    query = (
        select(func.count(EVENTS.c.message_id.distinct()))
        .join(MESSAGES, MESSAGES.c.message_id == EVENTS.c.message_id)
        .where(EVENTS.c.kind.in_(COMPLAINTS), occurrence_is(MESSAGES, campaign_id, occurrence))
    )
    with ledger.reading() as connection:
        return connection.execute(query).scalar_one()


def unsure(ledger: Ledger, campaign_id: str, occurrence: str) -> list[tuple[str, str]]:
    """(message_id, customer_id) of the messages of which nobody knows whether they left."""
    mine = and_(occurrence_is(MESSAGES, campaign_id, occurrence), MESSAGES.c.state == UNKNOWN)
    query = select(MESSAGES.c.message_id, MESSAGES.c.customer_id).where(mine).order_by(MESSAGES.c.message_id)
    with ledger.reading() as connection:
        return [(message, customer) for message, customer in connection.execute(query)]


def devices(ledger: Ledger, message_id: str) -> list[tuple[str, str, str | None]]:
    """(token_hash, state, detail) of each device that a push was sent to."""
    query = select(TOKENS.c.token_hash, TOKENS.c.state, TOKENS.c.detail).where(TOKENS.c.message_id == message_id)
    with ledger.reading() as connection:
        return [(one, state, detail) for one, state, detail in connection.execute(query.order_by(TOKENS.c.token_hash))]


def latest(ledger: Ledger, campaign_id: str, occurrence: str, channel: str, most: int) -> list[str]:
    """The states of the newest settled messages of a channel, for a breaker to look at."""
    mine = and_(
        occurrence_is(MESSAGES, campaign_id, occurrence),
        MESSAGES.c.channel == channel,
        MESSAGES.c.state.in_((SENT, BOUNCED, UNKNOWN)),
    )
    query = (
        select(MESSAGES.c.state).where(mine).order_by(MESSAGES.c.changed_at.desc(), MESSAGES.c.message_id).limit(most)
    )
    with ledger.reading() as connection:
        return list(connection.execute(query).scalars())


def reasons(ledger: Ledger, campaign_id: str, occurrence: str) -> dict[tuple[str, str], int]:
    """(state, reason) → messages, of those that were not simply sent."""
    mine = and_(occurrence_is(MESSAGES, campaign_id, occurrence), MESSAGES.c.reason.is_not(None))
    query = select(MESSAGES.c.state, MESSAGES.c.reason, func.count()).where(mine)
    with ledger.reading() as connection:
        found = connection.execute(query.group_by(MESSAGES.c.state, MESSAGES.c.reason))
        return {(state, reason): count for state, reason, count in found}


def occurrences(ledger: Ledger) -> list[dict[str, Any]]:
    """Every occurrence in the ledger, newest first."""
    with ledger.reading() as connection:
        rows = connection.execute(select(OCCURRENCES).order_by(OCCURRENCES.c.created_at.desc())).mappings().all()
    return [{**row, "created_at": instant_of(row["created_at"])} for row in rows]
