"""A rendered mail as the bytes of a whole message: RFC 5322, text and HTML, with the one-click headers of RFC 8058."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from hashlib import sha256

from campaigns.words import one_line
from recsys.tables import InputError

# One address in ASCII, without comments, quotes and routes: what mail providers give to their users.
ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+"
)
LONGEST_ADDRESS = 254  # RFC 5321, with the errata
LONGEST_LOCAL_PART = 64
LONGEST_NAME = 100  # characters of a name beside an address
# Headers are folded where they are made: the policy's own folding encodes a long URL, which no mail program then finds.
_POLICY = SMTP.clone(refold_source="none")


@dataclass(frozen=True)
class Envelope:
    """What is the same for all mails of a campaign. list_id: a name such as panen.toko.example."""

    sender: str
    sender_name: str
    list_id: str
    reply_to: str = ""


def is_address(text: str | None) -> bool:
    """Whether a text is one address that a mail can be sent to."""
    if not text or len(text) > LONGEST_ADDRESS or not ADDRESS.fullmatch(text):
        return False
    return len(text.partition("@")[0]) <= LONGEST_LOCAL_PART


def domain_of(address: str) -> str:
    return address.rpartition("@")[2].lower()


def mail_bytes(
    envelope: Envelope,
    message_id: str,
    address: str,
    name: str | None,
    subject: str,
    html: str,
    text: str,
    unsubscribe_url: str,
    at: datetime,
) -> bytes:
    """A message with line ends of CR LF, lines of at most 998 characters, and one recipient.

    Raises InputError, without the address, if that is not one address.
    """
    if not is_address(address):
        raise InputError(f"message {message_id}: its customer's e-mail is not one address")
    # Base64 holds no such line, so that the boundary needs no chance.
    mail = MIMEMultipart("alternative", boundary=f"=_{sha256(message_id.encode()).hexdigest()[:32]}")
    mail["From"] = _mailbox("From", envelope.sender_name, envelope.sender)
    mail["To"] = _mailbox("To", name or "", address)
    mail["Subject"] = Header(one_line(subject), "utf-8", header_name="Subject").encode()
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{message_id}@{domain_of(envelope.sender)}>"
    mail["List-Id"] = f"<{envelope.list_id}>"
    if unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if envelope.reply_to:
        mail["Reply-To"] = envelope.reply_to
    mail.attach(MIMEText(text, "plain", "utf-8"))
    mail.attach(MIMEText(html, "html", "utf-8"))
    return mail.as_bytes(policy=_POLICY)


def _mailbox(header: str, name: str, address: str) -> str:
    """A name and an address; a name that is not plain ASCII, or looks like an encoded word, becomes encoded words."""
    name = one_line(name)[:LONGEST_NAME].strip()
    if name.isascii() and "=?" not in name:
        return formataddr((name, address))
    return f"{Header(name, 'utf-8', header_name=header).encode()}\n <{address}>"
