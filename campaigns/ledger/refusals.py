"""Who said no, and which addresses answer no more; each holds from the moment it is written, before the next claim."""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import and_, delete, select

from campaigns.failpoints import failpoint
from campaigns.ledger.planning import inserted
from campaigns.ledger.schema import EVENTS, OPT_OUTS, PAUSED_OFFERS, SUPPRESSIONS
from campaigns.ledger.store import Ledger, instant_of, milliseconds

ALL = "all"  # channels


def opt_out(ledger: Ledger, customer_id: str, channel: str, source: str, now: datetime) -> bool:
    """No more messages to a customer on a channel (or ALL); False if they had said so before."""
    failpoint("opt_out.before")
    with ledger.writing() as connection:
        row = {"customer_id": customer_id, "channel": channel, "at": milliseconds(now), "source": source}
        new = inserted(connection, OPT_OUTS, [row])
    failpoint("opt_out.after")
    return bool(new)


def opt_in(ledger: Ledger, customer_id: str, channel: str) -> bool:
    """Takes an opt-out back, which only the customer's own word may do."""
    with ledger.writing() as connection:
        mine = and_(OPT_OUTS.c.customer_id == customer_id, OPT_OUTS.c.channel == channel)
        return connection.execute(delete(OPT_OUTS).where(mine)).rowcount > 0


def opted_out(ledger: Ledger, channel: str) -> set[str]:
    """Ids of all customers who are not to be written to on a channel."""
    with ledger.reading() as connection:
        query = select(OPT_OUTS.c.customer_id).where(OPT_OUTS.c.channel.in_((channel, ALL)))
        return set(connection.execute(query).scalars())


def address_hash(address: str, key: bytes) -> str:
    """A keyed hash of an address or a token, in small letters: it can be compared, and not be read back."""
    return hmac.new(key, address.strip().lower().encode(), hashlib.sha256).hexdigest()


def suppress(ledger: Ledger, hashes: Iterable[str], channel: str, reason: str, now: datetime) -> int:
    """Nothing more to these addresses; how many were not suppressed before."""
    failpoint("suppress.before")
    with ledger.writing() as connection:
        rows = [
            {"address_hash": one, "channel": channel, "reason": reason, "at": milliseconds(now)}
            for one in sorted(hashes)
        ]
        new = inserted(connection, SUPPRESSIONS, rows)
    failpoint("suppress.after")
    return new


def suppressed(ledger: Ledger, hashes: Iterable[str], channel: str) -> dict[str, str]:
    """Hash → reason, of those that are suppressed."""
    query = select(SUPPRESSIONS.c.address_hash, SUPPRESSIONS.c.reason).where(
        SUPPRESSIONS.c.address_hash.in_(list(hashes)), SUPPRESSIONS.c.channel == channel
    )
    with ledger.reading() as connection:
        return {row.address_hash: row.reason for row in connection.execute(query)}


def take_event(ledger: Ledger, event_id: str, kind: str, message_id: str | None, at: datetime) -> bool:
    """Writes an event of feedback down; False if it was taken in before."""
    row = {"event_id": event_id, "kind": kind, "message_id": message_id, "at": milliseconds(at)}
    with ledger.writing() as connection:
        return bool(inserted(connection, EVENTS, [row]))


def pause_offer(ledger: Ledger, campaign_id: str, offer_id: str, now: datetime, reason: str = "") -> bool:
    """Holds back every message with an offer until it goes on; False if it was paused before."""
    row = {"campaign_id": campaign_id, "offer_id": offer_id, "since": milliseconds(now), "reason": reason or None}
    with ledger.writing() as connection:
        return bool(inserted(connection, PAUSED_OFFERS, [row]))


def resume_offer(ledger: Ledger, campaign_id: str, offer_id: str) -> bool:
    with ledger.writing() as connection:
        mine = and_(PAUSED_OFFERS.c.campaign_id == campaign_id, PAUSED_OFFERS.c.offer_id == offer_id)
        return connection.execute(delete(PAUSED_OFFERS).where(mine)).rowcount > 0


def paused_offers(ledger: Ledger, campaign_id: str) -> dict[str, datetime]:
    with ledger.reading() as connection:
        query = select(PAUSED_OFFERS.c.offer_id, PAUSED_OFFERS.c.since).where(
            PAUSED_OFFERS.c.campaign_id == campaign_id
        )
        return {offer: instant_of(since) for offer, since in connection.execute(query)}
