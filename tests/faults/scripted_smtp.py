"""An SMTP server on real sockets that goes wrong where a script says so, and writes down what it took over.

What it has taken over is on its list, and in its log file, before the reply leaves: the truth that a sender's own
account is held against.
"""

import json
import os
import random
import socket
import ssl
import struct
import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

STAGES = ("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "body", "dot", "rset", "quit")
KINDS = ("4xx", "5xx", "421", "close", "hang", "garbage", "slow")
LONGEST_WAIT = 30.0  # seconds that a hanging connection waits for the other side to give up

# (stage, how many times it was reached before, recipient if known) → kind of fault, or None
Script = Callable[[str, int, str], str | None]


@dataclass(frozen=True)
class Accepted:
    """A mail that was taken over. told: whether its sender was told so."""

    message_id: str
    recipient: str
    connection: int
    told: bool


class ScriptedSmtp:
    """Listens while it is used as a context manager; a thread for each connection."""

    def __init__(
        self,
        script: Script = lambda stage, visit, recipient: None,
        *,
        seed: int = 0,
        tls: ssl.SSLContext | None = None,
        users: dict[str, str] | None = None,
        extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME"),
        receive_buffer: int | None = None,
        log: Path | None = None,
        tls_first: bool = False,
        careless: bool = False,  # takes DATA without a recipient
    ) -> None:
        self.script, self.seed, self.tls, self.users, self.extensions = script, seed, tls, users, extensions
        self.tls_first, self.careless = tls_first, careless
        self.accepted: list[Accepted] = []
        self.mails: list[bytes] = []
        self.connections = 0
        self.visits: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        if receive_buffer:
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port: int = self._listening.getsockname()[1]
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._stopped = threading.Event()
        self.open: set[socket.socket] = set()
        self.idle = threading.Condition(self._lock)
        self.keep_mails = log is None

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # ends the thread that accepts
        self._listening.close()
        with self._lock:
            for one in self.open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def fault(self, stage: str, recipient: str = "") -> str | None:
        with self._lock:
            visit = self.visits[stage]
            self.visits[stage] += 1
        return self.script(stage, visit, recipient)

    def take(self, accepted: Accepted, mail: bytes) -> None:
        with self._lock:
            self.accepted.append(accepted)
            if self.keep_mails:
                self.mails.append(mail)
        if self._log is not None:  # one write of an appending file: whole, even if many write
            os.write(self._log, (json.dumps(asdict(accepted)) + "\n").encode())

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(LONGEST_WAIT)
            with self._lock:
                self.connections += 1
                self.open.add(connection)
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        talk = _Talk(self, connection, number)
        with suppress(OSError, ValueError, _Gone):
            talk.run()
        with self.idle:
            self.open.discard(talk.socket)
            self.idle.notify_all()
        with suppress(OSError):
            talk.socket.close()


class _Gone(Exception):  # noqa: N818
    """The connection is over."""


class _Talk:
    """One connection's conversation."""

    def __init__(self, server: ScriptedSmtp, connection: socket.socket, number: int) -> None:
        self.server, self.socket, self.number = server, connection, number
        self.file = connection.makefile("rb")
        self.dice = random.Random(f"{server.seed} {number}")
        self.recipient = ""

    def run(self) -> None:
        if self.server.tls_first:
            self.encrypt()
        self.step("greeting", "220 toko.example ESMTP")
        while line := self.file.readline():
            words = line.decode("latin-1").split(None, 1)
            verb, rest = (words[0].upper() if words else "", words[1].strip() if len(words) > 1 else "")
            if verb in ("EHLO", "HELO"):
                self.ehlo()
            elif verb == "STARTTLS":
                self.starttls()
            elif verb == "AUTH":
                self.auth(rest)
            elif verb == "MAIL":
                self.recipient = ""
                self.step("mail", "250 2.1.0 sender ok")
            elif verb == "RCPT":
                self.recipient = rest[rest.find("<") + 1 : rest.rfind(">")]
                if not self.step("rcpt", "250 2.1.5 recipient ok"):
                    self.recipient = ""
            elif verb == "DATA":
                if not self.recipient and not self.server.careless:
                    self.reply("503 5.5.1 no recipient")
                elif self.step("data", "354 go on"):
                    self.body()
            elif verb == "RSET":
                self.recipient = ""
                self.step("rset", "250 2.0.0 forgotten")
            elif verb == "QUIT":
                self.step("quit", "221 2.0.0 bye")
                return
            else:
                self.reply("502 5.5.2 what?")

    def ehlo(self) -> None:
        offers = ["toko.example", *self.server.extensions]
        if self.server.tls is not None and not isinstance(self.socket, ssl.SSLSocket):
            offers.append("STARTTLS")
        if self.server.users is not None:
            offers.append("AUTH PLAIN")
        lines = [f"250{'-' if offer is not offers[-1] else ' '}{offer}" for offer in offers]
        self.step("ehlo", "\r\n".join(lines))

    def starttls(self) -> None:
        if self.server.tls is None:
            self.reply("502 5.5.1 not here")
        elif self.step("starttls", "220 2.0.0 go on"):
            self.encrypt()

    def encrypt(self) -> None:
        assert self.server.tls is not None
        with self.server.idle:
            self.server.open.discard(self.socket)
        self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
        self.file = self.socket.makefile("rb")
        with self.server.idle:
            self.server.open.add(self.socket)

    def auth(self, said: str) -> None:
        _, name, secret = b64decode(said.removeprefix("PLAIN").strip() or self.asked()).split(b"\0")
        if (self.server.users or {}).get(name.decode()) == secret.decode():
            self.step("auth", "235 2.7.0 welcome")
        else:
            self.reply("535 5.7.8 no")

    def asked(self) -> bytes:
        self.reply("334 ")
        return self.file.readline()

    def body(self) -> None:
        fault = self.server.fault("body", self.recipient)
        lines: list[bytes] = []
        if fault not in (None, "slow"):
            if self.dice.random() < 0.5:
                self.line()
            self.play(fault, "body")  # 421, close and hang end it here
        while (line := self.line()) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
            if fault == "slow":
                threading.Event().wait(0.001)
        if fault not in (None, "slow"):
            return
        self.end(b"".join(lines))

    def line(self) -> bytes:
        line = self.file.readline()
        if not line:
            raise _Gone
        return line

    def end(self, mail: bytes) -> None:
        fault = self.server.fault("dot", self.recipient)
        at = mail.lower().find(b"message-id: <") + len(b"message-id: <")
        message_id = mail[at : mail.find(b">", at)].decode("latin-1")
        # What gets no reply that can be read was taken over, or not: the other side cannot know.
        silent = fault in ("close", "hang", "garbage") and self.dice.random() < 0.5
        if fault in (None, "slow") or silent:
            self.server.take(Accepted(message_id, self.recipient, self.number, told=not silent), mail)
        self.recipient = ""
        if fault is None:
            self.reply("250 2.0.0 taken")
        elif fault == "slow":
            self.slowly(b"250 2.0.0 taken\r\n")
        else:
            self.play(fault, "dot")

    # --- replies and faults ------------------------------------------------------------------------------------------

    def step(self, stage: str, reply: str) -> bool:
        """Replies, or does what the script says instead; whether it replied."""
        fault = self.server.fault(stage, self.recipient)
        if fault is None:
            self.reply(reply)
            return True
        if fault == "slow":
            self.slowly(reply.encode() + b"\r\n")
            return True
        self.play(fault, stage)
        return False

    def play(self, fault: str, stage: str) -> None:
        if fault == "4xx":
            code = self.dice.choice(["450 4.2.0", "451 4.3.0", "452 4.2.2", "450", "451 4.7.1", "432"])
            self.reply(f"{code} later")
        elif fault == "5xx":
            codes = ["550 5.7.1", "552 5.3.4", "554", "571 5.7.1", "501 5.5.4"]
            self.reply(f"{self.dice.choice(codes)} {stage} refused")
        elif fault == "nobody":
            self.reply("550 5.1.1 no such user")
        elif fault.startswith("say "):
            self.reply(fault.removeprefix("say "))
        elif fault == "close after":
            self.reply("220 go on")
            raise _Gone
        elif fault == "421":
            self.reply("421 4.3.2 closing")
            raise _Gone
        elif fault == "close":
            self.close()
        elif fault == "stall":  # reads nothing more
            self.server._stopped.wait(LONGEST_WAIT)
            raise _Gone
        elif fault == "hang":
            with suppress(OSError):
                while self.socket.recv(65536):  # until the other side gives up
                    pass
            raise _Gone
        elif fault == "garbage":
            self.socket.sendall(self.dice.choice(GARBAGE))
        else:
            raise AssertionError(f"no such fault: {fault}")

    def close(self) -> None:
        how = self.dice.randrange(3)
        if how == 0:
            self.socket.sendall(b"25")  # in the middle of a reply
        elif how == 1:  # a reset instead of an end
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise _Gone

    def reply(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\r\n")

    def slowly(self, reply: bytes) -> None:
        for k in range(len(reply)):
            self.socket.sendall(reply[k : k + 1])
            threading.Event().wait(0.0005)


GARBAGE = (
    b"HTTP/1.1 200 OK\r\n",
    b"\xff\xfe\x00\x01\r\n",
    b"ok\r\n",
    b"\r\n",
    b"2\r\n",
    b"x" * 20_000 + b"\r\n",
    b"999 what\r\n",
    b"123-a\r\n123 b\r\n",
    b"-1 no\r\n",
    b"2_0 no\r\n",
    "٢٥٠ diterima\r\n".encode(),
)
