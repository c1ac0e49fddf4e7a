"""How fast: so many in a span of time, all together and for each domain, evenly spread."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

JUMP = timedelta(seconds=1)  # back by more than this, a clock was set


@dataclass
class Pace:
    """Turns at an even distance, for all threads. per_minute: None is no limit; domains: domain → per minute."""

    per_minute: float | None = None
    domains: Mapping[str, float] = field(default_factory=dict)
    _next: dict[str, datetime] = field(default_factory=dict)
    _held: datetime | None = None
    _seen: datetime | None = None
    _lock: Lock = field(default_factory=Lock)

    def turn(self, domain: str, now: datetime) -> timedelta:
        """Takes the next turn; how long to wait for it."""
        limits = {"": self.per_minute, domain: self.domains.get(domain)} if domain else {"": self.per_minute}
        limited = {name: limit for name, limit in limits.items() if limit}
        with self._lock:
            self._look(now)
            at = max([now, self._held or now, *(self._next.get(name, now) for name in limited)])
            for name, limit in limited.items():
                self._next[name] = at + timedelta(minutes=1) / limit
        return at - now

    def hold(self, span: timedelta, now: datetime) -> None:
        """The other side asks for a pause: nobody gets a turn before its end."""
        with self._lock:
            self._look(now)
            self._held = max(self._held or now, now + span)

    def _look(self, now: datetime) -> None:
        """A clock that was set back takes what was promised with it, or nobody would get a turn for that long."""
        back = (self._seen or now) - now
        if back > JUMP:
            self._next = {name: at - back for name, at in self._next.items()}
            self._held = self._held and self._held - back
        self._seen = now
