"""A rehearsal is begun anew: what it had written down is taken out of its ledger."""

import json
from collections import Counter

from sqlalchemy import and_, delete, select, update

from campaigns.failpoints import failpoint
from campaigns.ledger.planning import occurrence_is
from campaigns.ledger.schema import ACCOUNTS, MESSAGES, OCCURRENCES, SPENT, TOKENS
from campaigns.ledger.store import Ledger, LedgerError


def discard(ledger: Ledger, campaign_id: str, occurrence: str) -> bool:
    """Takes a rehearsed occurrence out, with what it used of a night; False if it is not there.

    Raises LedgerError for one that is live: what was sent stays written down.
    """
    with ledger.writing() as connection:
        here = occurrence_is(OCCURRENCES, campaign_id, occurrence)
        live = connection.execute(select(OCCURRENCES.c.live).where(here).with_for_update()).scalar()
        if live is None:
            return False
        if live:
            raise LedgerError(f"{campaign_id} {occurrence}: was sent, or is being sent; only a rehearsal is begun anew")
        mine = occurrence_is(MESSAGES, campaign_id, occurrence)
        used: Counter[int] = Counter()
        for uses in connection.execute(select(MESSAGES.c.uses).where(mine, MESSAGES.c.state.in_(SPENT))).scalars():
            used.update(dict(json.loads(uses)))
        for account, use in sorted(used.items()):
            back = update(ACCOUNTS).where(ACCOUNTS.c.id == account).values(used=ACCOUNTS.c.used - use)
            connection.execute(back)
        failpoint("discard.released")
        of_these = TOKENS.c.message_id.in_(select(MESSAGES.c.message_id).where(mine))
        connection.execute(delete(TOKENS).where(of_these))
        connection.execute(delete(MESSAGES).where(mine))
        own = and_(ACCOUNTS.c.campaign_id == campaign_id, ACCOUNTS.c.occurrence == occurrence)
        connection.execute(delete(ACCOUNTS).where(own))
        connection.execute(delete(OCCURRENCES).where(here))
        failpoint("discard.deleted")
    return True
