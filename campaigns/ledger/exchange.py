"""A claimed message gets other offers than were planned: what they use is reserved in the place of what was."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import and_, or_, select, update

from campaigns.failpoints import failpoint
from campaigns.ledger.claims import Claim
from campaigns.ledger.planning import Key
from campaigns.ledger.schema import ACCOUNTS, CLAIMED, MESSAGES
from campaigns.ledger.store import Ledger, milliseconds


def exchange(ledger: Ledger, claimed: Claim, offers: Sequence[str], uses: Mapping[int, int], now: datetime) -> bool:
    """Gives a message other offers, which use so much of accounts; all of it or, where one has no room, nothing.

    False too if the message is no longer this sender's, or has been marked.
    """
    with ledger.writing() as connection:
        mine = and_(
            MESSAGES.c.message_id == claimed.message_id,
            MESSAGES.c.fence == claimed.fence,
            MESSAGES.c.state == CLAIMED,
        )
        before = connection.execute(select(MESSAGES.c.uses).where(mine).with_for_update()).scalar()
        if before is None:
            return False
        more: Counter[int] = Counter(uses)
        more.subtract(dict(json.loads(before)))
        changes = {account: more[account] for account in sorted(more) if more[account]}
        of_these = ACCOUNTS.c.id.in_(list(changes))
        query = select(ACCOUNTS).where(of_these).order_by(ACCOUNTS.c.id).with_for_update()
        for row in connection.execute(query).all():
            if changes[row.id] > 0 and row.ceiling is not None and row.used + changes[row.id] > row.ceiling:
                return False
        failpoint("exchange.room")
        for account, change in changes.items():
            fits = or_(ACCOUNTS.c.ceiling.is_(None), ACCOUNTS.c.used + change <= ACCOUNTS.c.ceiling)
            room = [fits] if change > 0 else []
            reserve = update(ACCOUNTS).where(ACCOUNTS.c.id == account, *room).values(used=ACCOUNTS.c.used + change)
            if connection.execute(reserve).rowcount != 1:
                raise RuntimeError(f"account {account} has no room for what was to be reserved")
            failpoint("exchange.account")
        written = json.dumps([[account, use] for account, use in sorted(uses.items()) if use])
        values = {"offers": json.dumps(list(offers)), "uses": written, "changed_at": milliseconds(now)}
        connection.execute(update(MESSAGES).where(mine).values(values))
        failpoint("exchange.message")
    return True


def account_ids(ledger: Ledger, campaign_id: str, occurrence: str, night: str = "") -> dict[Key, int]:
    """(kind, name) → id of an occurrence's accounts, and of those of the night that it shares."""
    own = and_(ACCOUNTS.c.campaign_id == campaign_id, ACCOUNTS.c.occurrence == occurrence)
    shared = and_(ACCOUNTS.c.campaign_id == "", ACCOUNTS.c.occurrence == night)
    query = select(ACCOUNTS.c.kind, ACCOUNTS.c.name, ACCOUNTS.c.id).where(or_(own, shared) if night else own)
    with ledger.reading() as connection:
        return {(row.kind, row.name): row.id for row in connection.execute(query)}
