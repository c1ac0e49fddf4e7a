"""The servers that go wrong, in a process of their own, so that who is killed is only ever the sender.

Faults stand in the recipients: `rcpt.4xx.7@…` is refused for now the first time, a token `ok.7` is fine. What a server
took over stands in its log, a JSON object a line.
"""

import json
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fake_fcm import TAKEN, FakeFcm, Reply, failed
from scripted_smtp import ScriptedSmtp

ALWAYS = ("nobody",)  # kinds that do not pass


def mail_fault(stage: str, visit: int, recipient: str, seen: set[tuple[str, str]] = set()) -> str | None:  # noqa: B006
    where, _, rest = recipient.partition("@")[0].partition(".")
    kind = rest.partition(".")[0]
    if where != stage or ((stage, recipient) in seen and kind not in ALWAYS):
        return None
    seen.add((stage, recipient))
    return kind


PUSHES = {
    "unregistered": failed(404, "NOT_FOUND", "UNREGISTERED"),
    "quota": failed(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", Retry_After="30"),
    "unavailable": failed(503, "UNAVAILABLE", "UNAVAILABLE"),
    "taken": Reply(how="close", taken=True),
    "lost": Reply(how="close", taken=False),
}


def push_fault(token: str, visit: int) -> Reply:
    kind = token.partition(".")[0]
    if kind in PUSHES and (visit == 0 or kind == "unregistered"):
        return PUSHES[kind]
    return TAKEN


@dataclass
class Served:
    """A server that runs. address: its port, or its URL."""

    process: subprocess.Popen[str]
    address: str
    log: Path
    _read: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait(10)
        self.process.stdout.close()  # type: ignore[union-attr]

    def taken(self) -> list[dict[str, Any]]:
        """What was taken over since it was last asked, with all that a killed sender had written."""
        self.process.stdin.write("settled\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        assert self.process.stdout.readline() == "settled\n"  # type: ignore[union-attr]
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        return [json.loads(line) for line in text.splitlines()]


def serve(kind: str, log: Path) -> Served:
    """kind: smtp, fcm, or sink, an SMTP server that only counts."""
    log.touch()
    process = subprocess.Popen(
        [sys.executable, __file__, kind, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    address = process.stdout.readline().strip()  # type: ignore[union-attr]
    return Served(process, address, log)


def probe(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as one:
        if isinstance(server, FakeFcm):
            one.sendall(b"POST /token HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        one.recv(1)


def main(kind: str, log: Path) -> None:
    server: Any
    if kind == "fcm":
        server = FakeFcm(push_fault, log=log)
    elif kind == "smtp":
        server = ScriptedSmtp(mail_fault, log=log)
    else:
        server = ScriptedSmtp()
        server.keep_mails = False
    with server:
        print(server.url if kind == "fcm" else server.port, flush=True)
        for _ in sys.stdin:
            probe(server)  # those who came before it have been let in as well
            with server.idle:
                server.idle.wait_for(lambda: not server.open)
            print("settled", flush=True)


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    main(sys.argv[1], Path(sys.argv[2]))
