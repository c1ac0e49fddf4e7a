"""How fast: so many in a span of time, all together and for each domain, evenly spread."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock


@dataclass
class Pace:
    """Turns at an even distance, for all threads. per_minute: None is no limit; domains: domain → per minute."""

    per_minute: float | None = None
    domains: Mapping[str, float] = field(default_factory=dict)
    _next: dict[str, datetime] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def turn(self, domain: str, now: datetime) -> timedelta:
        """Takes the next turn; how long to wait for it."""
        limits = {"": self.per_minute, domain: self.domains.get(domain)} if domain else {"": self.per_minute}
        with self._lock:
            at = max([now, *(self._next.get(name, now) for name, limit in limits.items() if limit)])
            for name, limit in limits.items():
                if limit:
                    self._next[name] = at + timedelta(minutes=1) / limit
        return at - now

    def hold(self, span: timedelta, now: datetime) -> None:
        """The other side asks for a pause: nobody gets a turn before its end."""
        with self._lock:
            self._next[""] = max(self._next.get("", now), now + span)
