"""One thing that came back: what happened, to which message or address, and when."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from campaigns.channels.mail import is_address

# SOFT: not delivered for a passing reason, or for one that is not the address's. The others are FEEDBACK's events.
DELIVERED, OPENED, CLICKED = "delivered", "opened", "clicked"
BOUNCED, SOFT, COMPLAINED, UNSUBSCRIBED = "bounced", "soft bounce", "complained", "unsubscribed"
KINDS = (DELIVERED, OPENED, CLICKED, BOUNCED, SOFT, COMPLAINED, UNSUBSCRIBED)

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_MESSAGE_ID = re.compile(r"<?\s*([A-Za-z0-9_-]{1,64})@[^\s<>@]{1,255}\s*>?", re.ASCII)
_LINK = re.compile(r"/([A-Za-z0-9_-]{1,64})\.[a-z0-9]{1,16}\.[A-Za-z0-9_-]{43}>", re.ASCII)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b", re.ASCII)
# 5.x.x that says nothing against the address: the sender or the message is refused, not the mailbox.
_NOT_THE_ADDRESS = re.compile(r"5\.(7|6)\.\d+|5\.3\.4|5\.2\.3", re.ASCII)


class UnreadableError(ValueError):
    """Something that is not understood, or exceeds a limit. The message is a reason, without anything personal."""


@dataclass(frozen=True, repr=False)
class Returned:
    """addresses: those it names, for a moment only: they are looked up and hashed, never written. at: None, not told.

    detail: an enhanced status code, or nothing. message_ids: what it may be about, the likeliest first.
    """

    kind: str
    message_ids: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    at: datetime | None = None
    detail: str = ""
    customer_id: str | None = None
    campaign_id: str | None = None

    def digest(self, key: bytes) -> str:
        """The same event, read from another copy or a second time, has the same name, which tells no address."""
        when = self.at.isoformat() if self.at else ""
        said = (self.kind, *self.message_ids, "", *self.addresses, "", when, self.detail)
        whose = (self.customer_id or "", self.campaign_id or "")
        return hmac.new(key, "\0".join((*said, *whose)).encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def message_ids(header: str) -> tuple[str, ...]:
    """Our names of messages in a header such as Message-ID or References."""
    return tuple(dict.fromkeys(found.group(1) for found in _MESSAGE_ID.finditer(header[:4_000])))


def linked_messages(header: str) -> tuple[str, ...]:
    """Our names of messages in the unsubscribe links of a List-Unsubscribe header."""
    return tuple(dict.fromkeys(found.group(1) for found in _LINK.finditer(header[:4_000])))


def address(text: str | None) -> tuple[str, ...]:
    """The one address of `rfc822; budi@toko.example` or `<budi@toko.example>`, in small letters; none if it is none."""
    if not text or len(text) > 1_000:
        return ()
    plain = text.rpartition(";")[2].strip().strip("<>").strip().lower()
    return (plain,) if is_address(plain) else ()


def bounce_kind(action: str, status: str, diagnostic: str) -> tuple[str | None, str]:
    """(kind, status code) of a delivery status; the kind is None of what tells nothing.

    Hard is a permanent failure that is the address's own: 5.x.x, but not a refusal of the sender or of the message.
    """
    found = _STATUS.search(status[:200]) or _STATUS.search(diagnostic[:2_000])
    code = found.group(0) if found else ""
    action = action.strip().lower()
    if action == "delivered":
        return DELIVERED, code
    if action == "delayed":
        return SOFT, code
    if action not in ("failed", ""):
        return None, code
    hard = code.startswith("5.") and not _NOT_THE_ADDRESS.fullmatch(code)
    return (BOUNCED if hard else SOFT if code else None), code


def mail_date(*texts: str | None) -> datetime | None:
    """The first of these dates that is one, as RFC 5322 writes them."""
    for text in texts:
        if not text or len(text) > 200:
            continue
        try:
            at = parsedate_to_datetime(text)
            at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
        if at >= EARLIEST:
            return at
    return None
