"""The time of a delivery: the clock's; in a rehearsal the time that it would be, which nobody has to wait for."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

LONGEST = timedelta(seconds=5)  # after a wait of this length somebody looks whether sending still goes on


class Timer(Protocol):
    def now(self) -> datetime: ...

    def until(self, instant: datetime) -> None:
        """Waits for an instant, or returns before it so that one may look around."""


class RealTime:
    """wait: is given seconds, and may return early, such as when the process is asked to end."""

    def __init__(self, clock: Callable[[], datetime], wait: Callable[[float], object]) -> None:
        self._clock, self._wait = clock, wait

    def now(self) -> datetime:
        return self._clock()

    def until(self, instant: datetime) -> None:
        left = min(LONGEST, instant - self._clock())
        if left > timedelta():
            self._wait(left.total_seconds())


class RehearsedTime:
    """Begins at an instant, stands still while there is work, and leaps over every wait. For one thread."""

    def __init__(self, begins: datetime) -> None:
        self._now = begins

    def now(self) -> datetime:
        return self._now

    def until(self, instant: datetime) -> None:
        self._now = max(self._now, instant)
