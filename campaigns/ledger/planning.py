"""An occurrence and its messages are put into the ledger once; whoever fires later finds them there."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, and_, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from campaigns.failpoints import failpoint
from campaigns.ledger.schema import (
    ACCOUNTS,
    CANCELLED,
    FINISHED,
    IS_HELD,
    IS_PENDING,
    MESSAGES,
    OCCURRENCES,
    PAUSED,
    PENDING,
    PLANNED,
    RUNNING,
    SKIPPED,
    STOPPED,
)
from campaigns.ledger.store import Ledger, LedgerError, milliseconds

MILLIONTHS = 1_000_000  # a quota of redemptions is kept in millionths, because what a message uses of it is a chance
COLUMNS = (
    "message_id",
    "customer_id",
    "person_id",
    "channel",
    "domain",
    "due_at",
    "send_before",
    "offers",
    "uses",
)  # of a message that is put in, in this order; see schema.MESSAGES
Row = tuple[str, str, str, str, str, int, int, str, str]
Key = tuple[str, str]  # an account's kind and name


@dataclass(frozen=True)
class Firing:
    """One scheduled firing of one campaign, as the ledger keeps it. run: SHA-256 of the manifest it was decided in.

    unsure: what becomes of a message of which nobody knows whether it left: `hold` never sends it again, `retry` does.
    """

    campaign_id: str
    occurrence: str
    run: str
    unsure: Literal["hold", "retry"] = "hold"
    live: bool = False
    approval: str | None = None


@dataclass(frozen=True)
class Account:
    """What may not be overdrawn. ceiling: rupiah of a budget, millionths of a quota's uses; None is no ceiling.

    night: the name of the night that shares it; empty for one of this occurrence alone.
    """

    kind: Literal["budget", "quota"]
    name: str
    ceiling: int | None
    night: str = ""


def plan(
    ledger: Ledger,
    firing: Firing,
    accounts: Sequence[Account],
    messages: Callable[[Mapping[Key, int]], Iterable[Sequence[Row]]],
    now: datetime,
) -> bool:
    """Puts an occurrence in with all its messages, or nothing of it; False if it is there already.

    messages: from the accounts' ids to blocks of rows in the order of COLUMNS; called only for a new occurrence.
    Raises LedgerError if it was put in from another run: what people got may no longer be decided anew.
    """
    stamp = milliseconds(now)
    with ledger.writing() as connection:
        row = {
            "campaign_id": firing.campaign_id,
            "occurrence": firing.occurrence,
            "state": PLANNED,
            "unsure": firing.unsure,
            "run": firing.run,
            "approval": firing.approval,
            "live": firing.live,
            "created_at": stamp,
            "changed_at": stamp,
        }
        if not inserted(connection, OCCURRENCES, [row]):
            known = connection.execute(select(OCCURRENCES.c.run, OCCURRENCES.c.live).where(this(firing))).one()
            if known.run != firing.run or known.live != firing.live:
                raise LedgerError(
                    f"{firing.campaign_id} {firing.occurrence} is in the ledger already, "
                    + ("from another run" if known.run != firing.run else "as a rehearsal" if firing.live else "live")
                    + "; what was planned stays as it is: cancel it, or wait for the next occurrence"
                )
            return False
        failpoint("plan.occurrence")
        ids = _accounts(connection, firing, accounts)
        failpoint("plan.accounts")
        for block in messages(ids):
            _put_in(connection, firing, block, stamp)
            failpoint("plan.messages")
    failpoint("plan.done")
    return True


def inserted(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts the rows whose keys are not there yet; how many these were."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    total = 0
    for row in rows:
        new = dialect.insert(table).values(**row).on_conflict_do_nothing().returning(*table.primary_key)
        total += len(connection.execute(new).all())
    return total


def replaced(connection: Connection, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows; those whose keys are there already become as they say."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for row in rows:
        new = dialect.insert(table).values(**row)
        others = {name: value for name, value in row.items() if name not in table.primary_key.columns}
        connection.execute(new.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=others))


def this(firing: Firing) -> Any:
    return occurrence_is(OCCURRENCES, firing.campaign_id, firing.occurrence)


def occurrence_is(table: Any, campaign_id: str, occurrence: str) -> Any:
    return and_(table.c.campaign_id == campaign_id, table.c.occurrence == occurrence)


def _accounts(connection: Connection, firing: Firing, accounts: Sequence[Account]) -> dict[Key, int]:
    """(kind, name) → id. A night's account is there once, with the ceiling of who came first."""
    ids: dict[Key, int] = {}
    for account in sorted(accounts, key=lambda one: (one.night, one.kind, one.name)):  # as everybody who waits for some
        campaign_id, occurrence = ("", account.night) if account.night else (firing.campaign_id, firing.occurrence)
        key = {"campaign_id": campaign_id, "occurrence": occurrence, "kind": account.kind, "name": account.name}
        inserted(connection, ACCOUNTS, [{**key, "ceiling": account.ceiling, "used": 0}])
        mine = and_(*(ACCOUNTS.c[name] == value for name, value in key.items()))
        ids[account.kind, account.name] = connection.execute(select(ACCOUNTS.c.id).where(mine)).scalar_one()
    return ids


def _put_in(connection: Connection, firing: Firing, rows: Sequence[Row], stamp: int) -> None:
    constant = (firing.campaign_id, firing.occurrence, PENDING, 0, 0, stamp)
    names = (*COLUMNS, "campaign_id", "occurrence", "state", "attempts", "fence", "changed_at")
    if connection.dialect.name == "postgresql":
        cursor = connection.connection.cursor()
        with cursor.copy(f"copy {MESSAGES.name} ({', '.join(names)}) from stdin") as copy:  # ten times an insert
            for row in rows:
                copy.write_row((*row, *constant))
        return
    marks = ", ".join("?" * len(names))
    statement = f"insert into {MESSAGES.name} ({', '.join(names)}) values ({marks})"
    connection.exec_driver_sql(statement, [(*row, *constant) for row in rows])


# --- who says whether it goes on -------------------------------------------------------------------------------------

# What it may be changed to, and from which states.
CHANGES: dict[str, tuple[str, ...]] = {
    RUNNING: (PLANNED, RUNNING, PAUSED, STOPPED),
    PAUSED: (PLANNED, RUNNING, PAUSED, STOPPED),
    STOPPED: (RUNNING,),
    CANCELLED: (PLANNED, RUNNING, PAUSED, STOPPED, CANCELLED),
    FINISHED: (RUNNING,),
}


def change(ledger: Ledger, campaign_id: str, occurrence: str, state: str, now: datetime, reason: str = "") -> str:
    """Starts, pauses, stops or cancels an occurrence; returns its state before. What is being sent is still sent.

    A cancelled one's waiting messages are skipped. Raises LedgerError for one that is not there or cannot become so.
    """
    stamp = milliseconds(now)
    with ledger.writing() as connection:
        mine = occurrence_is(OCCURRENCES, campaign_id, occurrence)
        query = select(OCCURRENCES.c.state).where(mine)
        before = connection.execute(query.with_for_update()).scalar()
        if before is None:
            raise LedgerError(f"{campaign_id} {occurrence}: not in the ledger")
        if before not in CHANGES[state]:
            raise LedgerError(f"{campaign_id} {occurrence}: is {before}, which cannot become {state}")
        values = {"state": state, "reason": reason or None, "changed_at": stamp}
        connection.execute(update(OCCURRENCES).where(mine).values(values))
        failpoint("change.state")
        if state == CANCELLED:
            waiting = and_(occurrence_is(MESSAGES, campaign_id, occurrence), IS_PENDING)
            skipped = {"state": SKIPPED, "reason": "cancelled", "changed_at": stamp}
            connection.execute(update(MESSAGES).where(waiting).values(skipped))
    return before


def finish(ledger: Ledger, campaign_id: str, occurrence: str, now: datetime) -> bool:
    """Marks a running occurrence finished if no message waits or is held; whether it is finished."""
    with ledger.writing() as connection:
        mine = occurrence_is(OCCURRENCES, campaign_id, occurrence)
        query = select(OCCURRENCES.c.state).where(mine)
        state = connection.execute(query.with_for_update()).scalar_one()
        here = select(MESSAGES.c.message_id).where(occurrence_is(MESSAGES, campaign_id, occurrence)).limit(1)
        if state != RUNNING or any(connection.execute(here.where(left)).first() for left in (IS_PENDING, IS_HELD)):
            return state == FINISHED
        values = {"state": FINISHED, "changed_at": milliseconds(now)}
        connection.execute(update(OCCURRENCES).where(mine).values(values))
        failpoint("finish.state")
    return True


def state_of(ledger: Ledger, campaign_id: str, occurrence: str) -> str | None:
    with ledger.reading() as connection:
        mine = occurrence_is(OCCURRENCES, campaign_id, occurrence)
        return connection.execute(select(OCCURRENCES.c.state).where(mine)).scalar()


def counts(ledger: Ledger, campaign_id: str, occurrence: str) -> dict[tuple[str, str], int]:
    """(channel, state) → messages."""
    query = (
        select(MESSAGES.c.channel, MESSAGES.c.state, func.count())
        .where(occurrence_is(MESSAGES, campaign_id, occurrence))
        .group_by(MESSAGES.c.channel, MESSAGES.c.state)
        .order_by(MESSAGES.c.channel, MESSAGES.c.state)
    )
    with ledger.reading() as connection:
        return {(channel, state): n for channel, state, n in connection.execute(query)}
