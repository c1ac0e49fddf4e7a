"""Mail over SMTP (RFC 5321): what each reply, and each silence, says about whether a message was taken over.

Until the final dot nothing was taken over, whatever happens. A reply to the dot decides; without one nobody knows.
"""

import re
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from campaigns.channels.parcel import Answer, Leaving, Parcel
from campaigns.failpoints import failpoint
from campaigns.ledger.schema import BOUNCED, FAILED, PENDING, SENT, UNKNOWN

MOST_PER_CONNECTION = 100  # some servers refuse more
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")  # RFC 3463
_NOBODY = re.compile(r"5\.1\.(0|1|2|3|6|10)|5\.2\.1|5\.4\.1")  # there is no such mailbox (any more)
_LEAST = 100  # of a reply's code; smtplib says -1 where it cannot read one


@dataclass(frozen=True)
class Server:
    """An SMTP server. security: starttls, tls from the first byte, or none (on the same machine)."""

    host: str
    port: int = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""
    sender: str = ""
    hello: str | None = None
    timeout: float = 60.0

    def __repr__(self) -> str:
        return f"Server({self.host}:{self.port}, {self.security})"


class _BrokenOff(Exception):  # noqa: N818
    """The connection is of no more use. detail: what was heard or not heard."""

    def __init__(self, detail: str) -> None:
        self.detail = detail


class Email:
    """One connection to an SMTP server, opened when it is needed and used again until it is not fit any more."""

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        self.server, self.context = server, context
        self._smtp: smtplib.SMTP | None = None
        self._sent = 0

    def send(self, parcel: Parcel, leaving: Leaving) -> Answer | None:
        if not isinstance(parcel.content, bytes):
            raise TypeError(f"message {parcel.message_id}: a mail's content is bytes")
        (address,) = parcel.recipients
        try:
            smtp = self._ready()
        except smtplib.SMTPAuthenticationError as error:
            self._drop()
            return Answer(PENDING, "refused at the door", str(error.smtp_code), broken="user and password are refused")
        except smtplib.SMTPNotSupportedError as error:
            self._drop()
            return Answer(PENDING, "refused at the door", broken=f"the server does not offer what is asked: {error}")
        except ssl.SSLError as error:
            self._drop()
            return Answer(PENDING, "no secure connection", broken=f"no secure connection: {error.reason}")
        except (OSError, smtplib.SMTPException, _BrokenOff) as error:
            self._drop()
            return Answer(PENDING, "no connection", _said(error))
        try:
            return self._hand_over(smtp, parcel.content, address, leaving)
        except _BrokenOff as gone:
            self._drop()
            return Answer(PENDING, "the connection broke off before it was taken over", gone.detail)

    def close(self) -> None:
        if self._smtp is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._smtp.quit()
        self._drop()

    def _hand_over(self, smtp: smtplib.SMTP, content: bytes, address: str, leaving: Leaving) -> Answer | None:
        failpoint("email.before_mail")
        for command, step in (
            (f"MAIL FROM:<{self.server.sender}>", "sender"),
            (f"RCPT TO:<{address}>", "recipient"),
        ):
            code, said = _ask(smtp, command)
            failpoint(f"email.{step}")
            if code // 100 != 2:
                return self._refused(smtp, code, said, step)
        if not leaving():
            self._reset(smtp)
            return None
        failpoint("email.before_data")
        code, said = _ask(smtp, "DATA")
        failpoint("email.data")
        if code != 354:
            return self._refused(smtp, code, said, "data")
        try:
            smtp.send(_dotted(content))
        except (OSError, smtplib.SMTPException) as error:  # then the end of it has not left this machine
            raise _BrokenOff(_said(error)) from error
        failpoint("email.dot")
        try:
            code, said = _reply(smtp)
        except _BrokenOff as gone:
            self._drop()
            return Answer(UNKNOWN, "no answer after the end of the message", gone.detail)
        failpoint("email.answer")
        if code // 100 != 2:
            return self._refused(smtp, code, said, "message")
        self._sent += 1
        return Answer(SENT, detail=str(code))

    def _refused(self, smtp: smtplib.SMTP, code: int, said: str, step: str) -> Answer:
        """The answer to a reply of 4xx or 5xx; to anything else the connection has lost its meaning."""
        if code == 421 or code // 100 not in (4, 5):
            self._drop()
            if code != 421 and step == "message":
                return Answer(UNKNOWN, "no answer that can be read after the end of the message", str(code))
            return Answer(PENDING, f"refused for now ({step})", str(code))
        self._reset(smtp)
        found = _ENHANCED.search(said)
        detail = f"{code} {found.group(1)}" if found else str(code)
        if code // 100 == 4:
            return Answer(PENDING, f"refused for now ({step})", detail)
        nobody = _NOBODY.search(detail) if found else step == "recipient" and code in (550, 551, 553)
        if nobody:
            return Answer(BOUNCED, "no such mailbox", detail, gone=("recipient",))
        return Answer(FAILED, f"refused ({step})", detail)

    def _ready(self) -> smtplib.SMTP:
        if self._smtp is not None and self._sent >= MOST_PER_CONNECTION:
            self.close()
        if self._smtp is None:
            failpoint("email.connect")
            self._smtp = self._connected()
            self._sent = 0
            failpoint("email.connected")
        return self._smtp

    def _connected(self) -> smtplib.SMTP:
        server, context = self.server, self.context or ssl.create_default_context()
        smtp: smtplib.SMTP
        if server.security == "tls":
            smtp = smtplib.SMTP_SSL(server.host, server.port, server.hello, timeout=server.timeout, context=context)
        else:
            smtp = smtplib.SMTP(server.host, server.port, server.hello, timeout=server.timeout)
        try:
            smtp.ehlo_or_helo_if_needed()
            if server.security == "starttls":
                smtp.starttls(context=context)
                smtp.ehlo_or_helo_if_needed()
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _reset(self, smtp: smtplib.SMTP) -> None:
        """Takes back what was begun, so that the connection can be used for the next message."""
        try:
            code, _ = _ask(smtp, "RSET")
        except _BrokenOff:
            code = 0
        if code // 100 != 2:
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def _ask(smtp: smtplib.SMTP, command: str) -> tuple[int, str]:
    try:
        smtp.putcmd(command)
    except (OSError, smtplib.SMTPException) as error:
        raise _BrokenOff(_said(error)) from error
    return _reply(smtp)


def _reply(smtp: smtplib.SMTP) -> tuple[int, str]:
    """Code and words of the next reply. Raises _BrokenOff if none comes, or none that is one."""
    try:
        code, said = smtp.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise _BrokenOff(_said(error)) from error
    if code < _LEAST:
        raise _BrokenOff("a reply without a code")
    return code, said.decode("utf-8", "replace")


def _dotted(content: bytes) -> bytes:
    """With lines that begin with a dot given another (RFC 5321, 4.5.2), and the dot that ends it."""
    stuffed = re.sub(rb"(?m)^\.", b"..", content)
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


def _said(error: Exception) -> str:
    """What went wrong, without the other side's words, which may hold an address."""
    if isinstance(error, smtplib.SMTPResponseException):
        return str(error.smtp_code)
    return type(error).__name__
