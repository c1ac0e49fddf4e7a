"""The signed part of an unsubscribe link: it names a message, can be neither guessed nor altered, and tells nothing.

A token is `message_id.key_id.mac`, the mac HMAC-SHA-256 under the key of that id, in base64url. The newest key signs
and every known key verifies, so links in mails that were sent before a rotation go on working.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence

Signing = Sequence[tuple[str, bytes]]  # (key id, secret), newest first

SHORTEST_SECRET = 32  # bytes
KEY_ID = re.compile(r"[a-z0-9]{1,16}", re.ASCII)
_TOKEN = re.compile(r"([A-Za-z0-9_-]{1,64})\.([a-z0-9]{1,16})\.([A-Za-z0-9_-]{43})", re.ASCII)
_PURPOSE = b"larisma opt-out 1"


def token(message_id: str, signing: Signing) -> str:
    """Signs with the newest key. The same message and key give the same token, so a link may be made again."""
    key_id, secret = signing[0]
    return f"{message_id}.{key_id}.{_mac(message_id, key_id, secret)}"


def verify(text: str, signing: Signing) -> str | None:
    """The message a token was made for; None for whatever else it may be, of which nothing more is told."""
    parts = _TOKEN.fullmatch(text)
    if parts is None:
        return None
    message_id, key_id, mac = parts.groups()
    found = None
    for known, secret in signing:  # all of them: how long it takes says nothing of which keys there are
        # Text is compared, not bytes: base64 has several spellings of the same bytes.
        if hmac.compare_digest(_mac(message_id, known, secret), mac) and known == key_id:
            found = message_id
    return found


def signed_url(optout_url: str, message_id: str, signing: Signing) -> str:
    """What stands in a mail when it leaves, and in its List-Unsubscribe header."""
    return f"{optout_url}/{token(message_id, signing)}"


def unsigned_url(optout_url: str, message_id: str) -> str:
    """What stands in a mail as a run rendered it, in the place of the signed one."""
    return f"{optout_url}/{message_id}"


def _mac(message_id: str, key_id: str, secret: bytes) -> str:
    said = b"\0".join((_PURPOSE, key_id.encode(), message_id.encode()))
    return urlsafe_b64encode(hmac.new(secret, said, hashlib.sha256).digest()).decode().rstrip("=")
