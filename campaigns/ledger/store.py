"""Where the ledger is kept: a SQLite file by default, PostgreSQL by URL; opened, and brought up to date."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, Update, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from campaigns.failpoints import failpoint
from campaigns.ledger.schema import LEDGER, VERSIONS
from campaigns.tables import LedgerError
from recsys.tables import InputError

BUSY_SECONDS = 60
READING = "reading"  # option of a connection that will not write
HIDDEN: dict[str, Any] = {"hide_parameters": True}  # no customer in an error
_STARTED = "select pg_postmaster_start_time()::text || coalesce(stats_reset::text, '') from pg_stat_bgwriter"
# Each brings the tables from the version before to its own; the first makes them. A ledger is never taken back.
MIGRATIONS: tuple[Callable[[Connection], None], ...] = (LEDGER.create_all,)


@dataclass(frozen=True)
class Ledger:
    """writes: every commit is on the disk before it returns. marks: a commit outlives the process, not a power cut.

    turn: of the threads that write; SQLite lets one write at a time, and whom it refuses sleeps. spare: connections for
    marks.
    """

    writes: Engine
    marks: Engine
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)
    spare: list[Any] = field(default_factory=list)

    @property
    def postgresql(self) -> bool:
        return self.writes.dialect.name == "postgresql"

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that excludes other writers of the same rows; durable once the block has ended."""
        with self.turn, self.writes.begin() as connection:
            yield connection
            failpoint("ledger.commit")
        failpoint("ledger.committed")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A look at one moment; other writers go on."""
        with self.writes.connect().execution_options(**{READING: True}) as connection:
            yield connection

    def quickly(self, statement: Update, values: Mapping[str, Any]) -> int:
        """Changes rows in a transaction that is quick to commit: it outlives this process, but not a power cut.

        Returns how many rows. This is done for each message, so it goes past what SQLAlchemy does for a statement.
        """
        sql, constant = _compiled(statement, self.marks.dialect)
        driver = self.marks.dialect.loaded_dbapi
        with self.turn:
            connection: Any = None
            try:
                connection = self.spare.pop() if self.spare else self.marks.raw_connection()
                changed = connection.dbapi_connection.execute(sql, {**constant, **values}).rowcount
            except driver.Error as error:
                for one in (connection, *self.spare) if connection else ():
                    one.invalidate()
                self.spare.clear()  # they lead to the same server
                raise DBAPIError.instance(sql, None, error, driver.Error, hide_parameters=True) from error
            self.spare.append(connection)
            return changed

    def close(self) -> None:
        for one in self.spare:
            one.close()
        self.spare.clear()
        self.writes.dispose()
        self.marks.dispose()


@lru_cache
def _compiled(statement: Update, dialect: Dialect) -> tuple[str, Mapping[str, Any]]:
    """Its SQL with named parameters, and the values of those that it brings along."""
    compiled = statement.compile(dialect=dialect)
    return str(compiled), compiled.params


def open_ledger(url: str, now: datetime) -> Ledger:
    """url: a path of a SQLite file, or postgresql://…; its tables are made, or brought to this version.

    Raises LedgerError if the ledger is of a later version or cannot be reached, InputError if the URL is none.
    """
    ledger = _sqlite(Path(url)) if "://" not in url else _postgresql(url)
    try:
        _migrate(ledger, now)
    except OperationalError as error:
        raise LedgerError(f"{told(url)}: the ledger cannot be reached: {type(error.orig).__name__}") from error
    return ledger


def told(url: str) -> str:
    """A ledger's URL as it may be shown: without a password."""
    return url if "://" not in url else make_url(url).render_as_string(hide_password=True)


def milliseconds(instant: datetime) -> int:
    """An aware instant as the ledger keeps it."""
    return round(instant.timestamp() * 1000)


def instant_of(stored: int) -> datetime:
    return datetime.fromtimestamp(stored / 1000, UTC)


def epoch(connection: Connection) -> str:
    """Changes when commits that were not yet on the disk may have been lost: with the machine, or with PostgreSQL."""
    if connection.dialect.name == "postgresql":
        # One of its processes that dies takes the latest commits of all with it; it then begins its statistics anew.
        return connection.execute(text(_STARTED)).scalar_one()
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _sqlite(path: Path) -> Ledger:
    path.parent.mkdir(parents=True, exist_ok=True)

    def engine(synchronous: str) -> Engine:
        made = create_engine(
            f"sqlite:///{path}",
            connect_args={"timeout": BUSY_SECONDS, "isolation_level": None},
            paramstyle="named",
            **HIDDEN,
        )

        @event.listens_for(made, "connect")
        def _connected(connection: Any, _record: Any) -> None:
            for pragma in ("journal_mode = wal", f"synchronous = {synchronous}", "foreign_keys = on"):
                connection.execute(f"pragma {pragma}")

        @event.listens_for(made, "begin")
        def _begun(connection: Connection) -> None:
            # Two that read first and then want to write would wait for each other.
            connection.exec_driver_sql(
                "begin" if connection.get_execution_options().get(READING) else "begin immediate"
            )

        return made

    return Ledger(engine("full"), engine("normal"), RLock())


def _postgresql(url: str) -> Ledger:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InputError("ledger: expected a path, or postgresql://user@host/database") from error
    if not re.fullmatch(r"postgresql(\+psycopg)?", parsed.drivername):
        raise InputError(f"ledger: expected a path or a postgresql:// URL, got {parsed.drivername}://…")
    parsed = parsed.set(drivername="postgresql+psycopg")

    def engine(synchronous: str, **more: Any) -> Engine:
        options = f"-c synchronous_commit={synchronous} -c lock_timeout={BUSY_SECONDS}s -c timezone=UTC"
        return create_engine(parsed, connect_args={"options": options}, **more, **HIDDEN)

    return Ledger(engine("on", pool_pre_ping=True), engine("off", isolation_level="AUTOCOMMIT"))


def _migrate(ledger: Ledger, now: datetime) -> None:
    with ledger.writing() as connection:
        if ledger.postgresql:
            connection.execute(text("select pg_advisory_xact_lock(7223462)"))  # one at a time
        fresh = not inspect(connection).has_table(VERSIONS.name)
        have = (
            0 if fresh else connection.execute(select(VERSIONS.c.version).order_by(VERSIONS.c.version.desc())).scalar()
        )
        have = have or 0
        if have > len(MIGRATIONS):
            raise LedgerError(f"the ledger is of version {have}, this program knows {len(MIGRATIONS)}; update larisma")
        _run(connection, MIGRATIONS[have:], have, now)


def _run(connection: Connection, steps: Sequence[Callable[[Connection], None]], have: int, now: datetime) -> None:
    for number, step in enumerate(steps, have + 1):
        step(connection)
        failpoint("ledger.migrated")
        connection.execute(insert(VERSIONS).values(version=number, at=milliseconds(now)))
