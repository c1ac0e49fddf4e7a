"""What the threads of one delivery share: whether it still goes on, and why not."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Lock
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from campaigns.ledger import Ledger, LedgerError, change, counts, state_of
from campaigns.ledger.history import complaints
from campaigns.ledger.schema import RUNNING, SENT, STOPPED
from flows.delivering.breaker import too_many_complaints
from flows.delivering.timing import Timer

log = logging.getLogger("larisma")
LOOK = timedelta(seconds=2)  # so soon a pause from another terminal is heeded
COUNT = timedelta(seconds=10)  # so soon complaints are
WAITS = (1, 2, 4, 8, 15, 30, 60)  # seconds, for a ledger that does not answer
LOST = ("disk i/o error", "malformed")  # then what is on the disk is in doubt, and trying again makes it worse

T = TypeVar("T")


@dataclass(eq=False)
class Job:
    """asked: whether this process was asked to end. failure: of a thread, which ends the others."""

    ledger: Ledger
    campaign_id: str
    occurrence: str
    asked: Callable[[], bool]
    messages: int
    live: bool = True
    failure: BaseException | None = None
    done: int = 0
    _halted: Event = field(default_factory=Event)
    _looked: datetime | None = None
    _counted: datetime | None = None
    _lock: Lock = field(default_factory=Lock)

    def goes_on(self, now: datetime, *, at_once: bool = False) -> bool:
        """Whether more is to be sent. The ledger is asked every few seconds, or at once."""
        if self._halted.is_set() or self.asked():
            return False
        with self._lock:
            due = at_once or self._looked is None or abs(now - self._looked) >= LOOK
            count = self.live and due and (self._counted is None or abs(now - self._counted) >= COUNT)
            self._looked = now if due else self._looked
            self._counted = now if count else self._counted
        if due and state_of(self.ledger, self.campaign_id, self.occurrence) != RUNNING:
            self._halted.set()
        if count:
            self._count(now)
        return not self._halted.is_set()

    def stop(self, reason: str, now: datetime) -> None:
        """By itself: nothing more is claimed, by anybody, until somebody has looked."""
        log.warning("%s stops: %s", self.campaign_id, reason)
        try:
            change(self.ledger, self.campaign_id, self.occurrence, STOPPED, now, reason)
        except LedgerError:
            log.info("%s was paused or ended meanwhile", self.campaign_id)
        self._halted.set()

    def fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._halted.set()

    def told(self, more: int) -> None:
        """Progress: how many messages are done with."""
        with self._lock:
            before, self.done = self.done, self.done + more
            step = max(50, self.messages // 200)
            if before // step != self.done // step or self.done == self.messages:
                log.info("%s of %s messages", self.done, self.messages)

    def _count(self, now: datetime) -> None:
        found = complaints(self.ledger, self.campaign_id, self.occurrence)
        if found:
            states = counts(self.ledger, self.campaign_id, self.occurrence)
            sent = sum(n for (_, state), n in states.items() if state == SENT)
            if why := too_many_complaints(found, sent):
                self.stop(why, now)


def patiently(action: Callable[[], T], timer: Timer) -> T:
    """What the action gives; where the ledger does not answer, it is asked again for about two minutes.

    Each action is one transaction that may be done twice. Raises LedgerError after that, or at once where the disk
    cannot be trusted any more.
    """
    for wait in WAITS:
        try:
            return action()
        except DBAPIError as error:
            _judge(error)
            log.warning("the ledger does not answer (%s); trying again", type(error.orig).__name__)
            end = timer.now() + timedelta(seconds=wait)
            while timer.now() < end:
                timer.until(end)
    try:
        return action()
    except DBAPIError as error:
        _judge(error)
        raise LedgerError(
            f"the ledger does not answer: {type(error.orig).__name__}; start again when it does"
        ) from error


def _judge(error: DBAPIError) -> None:
    if not isinstance(error, OperationalError | InterfaceError):
        raise error
    if any(word in str(error.orig).lower() for word in LOST):
        raise LedgerError(
            "the ledger's disk is failing; nothing more is sent. Look after it before going on"
        ) from error
