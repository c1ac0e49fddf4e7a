"""What stops a delivery by itself: mails that nobody takes, people who complain, a channel that is broken."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock

from campaigns.ledger.schema import BOUNCED, SENT, UNKNOWN

WINDOW = 500  # the newest messages of a channel
BOUNCES = 0.05  # hard bounces above this share of them
LEAST = 100  # of fewer messages the share is taken as if they were so many
COMPLAINTS = 0.001  # of what was sent, or more; mail providers block a sender at 0.003
FEW_COMPLAINTS, FEW_SENT = 3, 1_000  # one complaint says something only of so many messages, or of so many complaints


@dataclass
class Breaker:
    """The newest outcomes of one channel, by all threads of a process. states: of those settled before it began, newest
    first."""

    channel: str
    states: Iterable[str] = ()
    _newest: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        for state in reversed(list(self.states)):
            self.saw(state)

    def saw(self, state: str) -> str | None:
        """Takes an outcome; why sending is to stop, if it is."""
        if state not in (SENT, BOUNCED, UNKNOWN):
            return None
        with self._lock:
            self._newest.append(state == BOUNCED)
            bounced, messages = sum(self._newest), len(self._newest)
        if bounced <= BOUNCES * max(messages, LEAST):
            return None
        return f"{bounced} of the last {messages} messages by {self.channel} bounced for good"


def too_many_complaints(complaints: int, sent: int) -> str | None:
    """Why sending is to stop, if it is. complaints, sent: of an occurrence so far."""
    enough = complaints >= FEW_COMPLAINTS or (complaints > 0 and sent >= FEW_SENT)
    if not enough or complaints < COMPLAINTS * sent:
        return None
    return f"{complaints} of {sent} messages were complained of"
