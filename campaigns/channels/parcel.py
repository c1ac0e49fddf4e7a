"""What is handed to a channel, and what comes back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

Leaving = Callable[[], bool]


@dataclass(frozen=True)
class Parcel:
    """One message as it leaves. recipients: an address, or a push's tokens. content: an RFC 5322 message, or an FCM
    message without its token."""

    message_id: str
    recipients: tuple[str, ...]
    content: bytes | Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What became of a parcel; the states are those of campaigns.ledger.schema.

    SENT: taken over. BOUNCED: this recipient does not exist (any more). FAILED: refused for good for another reason.
    PENDING: refused for now, and certainly not taken. UNKNOWN: nobody knows. gone: the recipients that exist no more.
    broken: the channel itself cannot go on, such as with a password that is refused; what is wrong with it.
    """

    state: str
    reason: str | None = None
    detail: str | None = None
    provider_id: str | None = None
    retry_after: timedelta | None = None
    gone: tuple[str, ...] = ()
    broken: str | None = None
    parts: Mapping[str, "Answer"] = field(default_factory=dict)  # recipient → its own answer, where there are several


class Channel(Protocol):
    """One connection, used by one thread at a time."""

    def send(self, parcel: Parcel, leaving: Leaving) -> Answer | None:
        """Hands a parcel over. `leaving` is called just before the step after which it may arrive; where it returns
        False the parcel may not leave any more, nothing is sent, and the answer is None."""

    def close(self) -> None: ...
