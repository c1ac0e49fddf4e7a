"""A person is forgotten: their rows go on under a pseudonym, so that all sums stay, and no byte of the old id does."""

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.exc import OperationalError

from campaigns.ledger.planning import inserted
from campaigns.ledger.refusals import ALL
from campaigns.ledger.schema import MESSAGES, OCCURRENCES, OPT_OUTS, SUPPRESSIONS, TOKENS
from campaigns.ledger.store import Ledger, LedgerError, milliseconds

FORGOTTEN = "forgotten"  # source of an opt-out, reason of a suppression
IN_USE = "the ledger is in use, so what was deleted may still be in its files; do it again"


def message_ids(ledger: Ledger, customer_id: str) -> list[str]:
    """Of every message to a customer, in order."""
    query = select(MESSAGES.c.message_id).where(MESSAGES.c.customer_id == customer_id).order_by(MESSAGES.c.message_id)
    with ledger.reading() as connection:
        return list(connection.execute(query).scalars())


def pseudonymise(
    ledger: Ledger, customer_id: str, pseudonym: str, hashes: Mapping[str, Iterable[str]], now: datetime
) -> int:
    """Gives a customer's rows another name, of which nothing is sent to; how many messages these are.

    hashes: channel → keyed hashes of the addresses that nothing may ever be sent to. All of it or nothing; done again
    it changes nothing.
    """
    at = milliseconds(now)
    with ledger.writing() as connection:
        refused = {"customer_id": pseudonym, "channel": ALL, "at": at, "source": FORGOTTEN}
        inserted(connection, OPT_OUTS, [refused])
        own = OPT_OUTS.c.customer_id == customer_id
        kept = [{**row, "customer_id": pseudonym} for row in connection.execute(select(OPT_OUTS).where(own)).mappings()]
        inserted(connection, OPT_OUTS, kept)
        connection.execute(delete(OPT_OUTS).where(own))
        hushed = [
            {"address_hash": one, "channel": channel, "reason": FORGOTTEN, "at": at}
            for channel, listed in hashes.items()
            for one in sorted(listed)
        ]
        inserted(connection, SUPPRESSIONS, hushed)
        mine = MESSAGES.c.customer_id == customer_id
        connection.execute(delete(TOKENS).where(TOKENS.c.message_id.in_(select(MESSAGES.c.message_id).where(mine))))
        renamed = update(MESSAGES).where(mine).values(customer_id=pseudonym, domain="", provider_id=None)
        changed = connection.execute(renamed).rowcount
        person = update(MESSAGES).where(MESSAGES.c.person_id == customer_id).values(person_id=pseudonym)
        connection.execute(person)
    return changed


def follow_runs(ledger: Ledger, renamed: Mapping[str, str]) -> None:
    """Occurrences go on from runs whose manifests were rewritten. renamed: SHA-256 of a manifest before → after."""
    with ledger.writing() as connection:
        for before, after in renamed.items():
            connection.execute(update(OCCURRENCES).where(OCCURRENCES.c.run == before).values(run=after))


def compact(ledger: Ledger) -> None:
    """Leaves no byte of what was deleted in the tables, nor in SQLite's log. Raises LedgerError if it is in use."""
    try:
        with ledger.writes.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            busy = _vacuum_tables(connection) if ledger.postgresql else _vacuum_file(connection)
    except (OperationalError, sqlite3.OperationalError) as error:
        raise LedgerError(f"{IN_USE} ({type(error).__name__})") from None
    if busy:
        raise LedgerError(IN_USE)


def _vacuum_tables(connection: Connection) -> bool:
    for table in (MESSAGES, OPT_OUTS, TOKENS):
        connection.execute(text(f"vacuum full {table.name}"))
    return False


def _vacuum_file(connection: Connection) -> bool:
    """Whether somebody still reads what was deleted. Not through SQLAlchemy, which would begin a transaction."""
    raw: Any = connection.connection.driver_connection
    raw.execute("pragma secure_delete = on")
    raw.execute("vacuum")
    ((busy, *_),) = raw.execute("pragma wal_checkpoint(truncate)").fetchall()
    return bool(busy)
