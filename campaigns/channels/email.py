"""Mail over SMTP (RFC 5321): what each reply, and each silence, says about whether a message was taken over.

Until the final dot nothing was taken over, whatever happens. A reply to the dot decides; without one nobody knows.
"""

import re
import select
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from socket import socket
from typing import Any, Literal, cast

from campaigns.channels.mail import is_address
from campaigns.channels.parcel import Answer, Leaving, Parcel
from campaigns.failpoints import failpoint
from campaigns.ledger.schema import BOUNCED, FAILED, PENDING, SENT, UNKNOWN

MOST_PER_CONNECTION = 100  # some servers refuse more
_ENHANCED = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")  # RFC 3463
_NOBODY = re.compile(r"5\.1\.(0|1|2|3|6|10)|5\.2\.1|5\.4\.1")  # there is no such mailbox (any more)
_LINE = re.compile(rb"(?P<code>[2-5]\d\d)(?:(?P<more>[ -])(?P<words>.*?))?\r?\n", re.DOTALL)
_LINE_OF_DOT = re.compile(rb"(?m)^\.")
GO_ON, CLOSING = 354, 421
LONGEST_LINE, MOST_LINES = 4_096, 100  # of a reply


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
        self._used = 0

    def send(self, parcel: Parcel, leaving: Leaving) -> Answer | None:
        if not isinstance(parcel.content, bytes):
            raise TypeError(f"message {parcel.message_id}: a mail's content is bytes")
        (address,) = parcel.recipients
        if not is_address(address):
            return Answer(FAILED, "its customer's e-mail is not one address")
        try:
            smtp = self._ready()
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            self._drop()
            return _no_connection(error)
        self._used += 1
        try:
            return self._hand_over(smtp, parcel.content, address, leaving)
        except _BrokenOff as gone:
            self._drop()
            return Answer(PENDING, "the connection broke off before it was taken over", gone.detail)
        except BaseException:  # of `leaving`: the ledger is away, and this conversation half done
            self._drop()
            raise

    def close(self) -> None:
        if self._smtp is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._smtp.quit()
        self._drop()

    def _hand_over(self, smtp: smtplib.SMTP, content: bytes, address: str, leaving: Leaving) -> Answer | None:
        failpoint("email.before_mail")
        steps = {"sender": f"MAIL FROM:<{self.server.sender}>", "recipient": f"RCPT TO:<{address}>", "data": "DATA"}
        ahead = smtp.has_extn("pipelining")  # RFC 2920: then they are said at once, and answered one after the other
        if ahead:
            _say(smtp, *steps.values())
        for step, command in steps.items():
            if not ahead:
                _say(smtp, command)
            code, said = _reply(smtp)
            failpoint(f"email.{step}")
            if code // 100 != 2 and not (step == "data" and code == GO_ON):
                later = list(steps)[list(steps).index(step) + 1 :] if ahead else []
                return self._refused(smtp, code, said, step, later)
        if code != GO_ON:
            raise _BrokenOff(str(code))
        if not leaving():
            self._drop()  # only its end would take back what DATA has begun
            return None
        failpoint("email.before_content")
        try:
            smtp.send(_dotted(content))
        except (OSError, smtplib.SMTPException) as error:  # then the end of it has not left this machine
            raise _BrokenOff(_said(error)) from error
        failpoint("email.dot")
        try:
            code, said = _reply(smtp)
        except _BrokenOff as gone:
            self._drop()
            return Answer(UNKNOWN, "no answer that can be read after the end of the message", gone.detail)
        failpoint("email.answer")
        if code // 100 != 2:
            return self._refused(smtp, code, said, "message", [])
        return Answer(SENT, detail=str(code))

    def _refused(self, smtp: smtplib.SMTP, code: int, said: str, step: str, later: list[str]) -> Answer:
        """The answer to a reply of 4xx or 5xx; to anything else the connection has lost its meaning.

        later: the steps that were said already and whose replies are still to come.
        """
        if code == CLOSING or code // 100 not in (4, 5):
            self._drop()
            if code != CLOSING and step == "message":
                return Answer(UNKNOWN, "no answer that can be read after the end of the message", str(code))
            return Answer(PENDING, f"refused for now ({step})", str(code))
        if step != "message":
            self._reset(smtp, later)
        found = _ENHANCED.search(said)
        detail = f"{code} {found.group(1)}" if found else str(code)
        if code // 100 == 4:
            return Answer(PENDING, f"refused for now ({step})", detail)
        nobody = _NOBODY.fullmatch(found.group(1)) if found else step == "recipient" and code in (550, 551, 553)
        if nobody:
            return Answer(BOUNCED, "no such mailbox", detail, gone=("recipient",))
        return Answer(FAILED, f"refused ({step})", detail)

    def _ready(self) -> smtplib.SMTP:
        if self._smtp is not None and self._used >= MOST_PER_CONNECTION:
            self.close()
        if self._smtp is not None and _spoke(self._smtp):
            self._drop()
        if self._smtp is None:
            failpoint("email.connect")
            self._smtp = self._connected()
            self._used = 0
            failpoint("email.connected")
        return self._smtp

    def _connected(self) -> smtplib.SMTP:
        server = self.server
        smtp: smtplib.SMTP
        if server.security != "none" and self.context is None:
            self.context = ssl.create_default_context()  # reads a few hundred certificates
        if server.security == "tls":
            smtp = smtplib.SMTP_SSL(
                server.host, server.port, server.hello, timeout=server.timeout, context=self.context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, server.hello, timeout=server.timeout)
        try:
            _greet(smtp)
            if server.security == "starttls":
                smtp.starttls(context=self.context)
                _greet(smtp)
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _reset(self, smtp: smtplib.SMTP, later: list[str]) -> None:
        """Takes back what was begun, so that the connection can be used for the next message."""
        try:
            begun = GO_ON in [_reply(smtp)[0] for _ in later]
            if not begun:
                _say(smtp, "RSET")
            code = 0 if begun else _reply(smtp)[0]
        except _BrokenOff:
            code = 0
        if code // 100 != 2:
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
        self._smtp = None


def _no_connection(error: Exception) -> Answer:
    """What a connection that does not come about means: later again, unless only somebody's hand can mend it."""
    later = Answer(PENDING, "no connection", _said(error))
    if isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code // 100 == 5:
        return replace(later, broken="user and password are refused")
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return replace(later, broken=f"the server does not offer what is asked: {error}")
    if isinstance(error, UnicodeError):
        return replace(later, broken="host, user and password can hold only ASCII characters")
    if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return replace(later, broken=f"no secure connection: {error.reason}")
    return later


def _greet(smtp: smtplib.SMTP) -> None:
    code, said = smtp.ehlo()
    if code // 100 == 5:  # an old server; one that is only busy may not pass for it
        code, said = smtp.helo()
    if code // 100 != 2:
        raise smtplib.SMTPHeloError(code, said)


def _spoke(smtp: smtplib.SMTP) -> bool:
    """Whether a server has said something unasked, such as that it closes a connection that is idle."""
    looking, connection = select.poll(), cast(socket, smtp.sock)
    looking.register(connection, select.POLLIN)
    return bool(looking.poll(0))


def _say(smtp: smtplib.SMTP, *commands: str) -> None:
    try:
        smtp.send("".join(f"{command}\r\n" for command in commands))
    except (OSError, smtplib.SMTPException) as error:
        raise _BrokenOff(_said(error)) from error


def _reply(smtp: smtplib.SMTP) -> tuple[int, str]:
    """Code and words of the next reply. Raises _BrokenOff if none comes, or none that is one (RFC 5321, 4.2)."""
    said: list[str] = []
    replies: Any = smtp.file or cast(socket, smtp.sock).makefile("rb")
    smtp.file = replies
    for _ in range(MOST_LINES):
        try:
            line = replies.readline(LONGEST_LINE)
        except OSError as error:
            raise _BrokenOff(_said(error)) from error
        if not line:
            raise _BrokenOff("closed")
        found = _LINE.fullmatch(line)
        if found is None:
            raise _BrokenOff("a reply that cannot be read")
        said.append(found["words"].decode("utf-8", "replace"))
        if found["more"] != b"-":
            return int(found["code"]), " ".join(said)
    raise _BrokenOff("a reply without an end")


def _dotted(content: bytes) -> bytes:
    """With lines that begin with a dot given another (RFC 5321, 4.5.2), and the dot that ends it."""
    if content.startswith(b".") or b"\n." in content:  # base64 has none
        content = _LINE_OF_DOT.sub(b"..", content)
    return content + (b".\r\n" if content.endswith(b"\r\n") else b"\r\n.\r\n")


def _said(error: Exception) -> str:
    """What went wrong, without the other side's words, which may hold an address."""
    if isinstance(error, smtplib.SMTPResponseException):
        return str(error.smtp_code)
    return type(error).__name__
