"""FCM's HTTP v1 interface and Google's token endpoint on real sockets, with keep-alive, faults by script, and a log.

A message that it takes over is on its list, and in its log file, before the reply leaves.
"""

import json
import os
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROJECT = "toko-contoh"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


@dataclass(frozen=True)
class Reply:
    """What it answers. how: reply, or close | hang instead of it, or `cut`, a reply that ends in its middle.

    taken: whether the message arrives at the device, whatever is answered.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    how: str = "reply"
    taken: bool | None = None


TAKEN = Reply()


def failed(status: int, word: str, code: str = "", field_name: str = "", **headers: str) -> Reply:
    """An error as FCM words it: the status's word, FCM's own code, and the field that is at fault."""
    details: list[dict[str, Any]] = []
    if code:
        details.append({"@type": FCM_ERROR, "errorCode": code})
    if field_name:
        details.append({"@type": BAD_REQUEST, "fieldViolations": [{"field": field_name, "description": "Invalid"}]})
    error = {"code": status, "message": "no", "status": word, "details": details}
    return Reply(status, {"error": error}, {name.replace("_", "-"): text for name, text in headers.items()})


# (the device's token, how many messages to it came before) → what to answer
Script = Callable[[str, int], Reply]


@dataclass(frozen=True)
class Accepted:
    """A push that reached its device. told: whether its sender was told so. data: what the app gets."""

    message_id: str
    token: str
    told: bool


class FakeFcm:
    """Listens while it is used as a context manager. message_id is taken from the push's data."""

    def __init__(
        self,
        script: Script = lambda token, visit: TAKEN,
        *,
        bearer: str | None = None,
        token_replies: tuple[Reply, ...] = (),
        log: Path | None = None,
    ) -> None:
        self.script, self.bearer, self.token_replies = script, bearer, list(token_replies)
        self.accepted: list[Accepted] = []
        self.messages: list[dict[str, Any]] = []
        self.connections = self.tokens_given = 0
        self._visits: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.open: set[int] = set()
        self.idle = threading.Condition(self._lock)
        self._log = None if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._http = _Server(self)
        self.port = int(self._http.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, message: dict[str, Any]) -> Reply:
        token = str(message.get("token", ""))
        with self._lock:
            visit = self._visits[token]
            self._visits[token] += 1
            self.messages.append(message)
        reply = self.script(token, visit)
        taken = reply.taken if reply.taken is not None else reply.status == 200 and reply.how == "reply"
        if taken:
            message_id = str((message.get("data") or {}).get("message_id", ""))
            accepted = Accepted(message_id, token, told=reply.how == "reply" and reply.status == 200)
            with self._lock:
                self.accepted.append(accepted)
            if self._log is not None:
                os.write(self._log, (json.dumps(asdict(accepted)) + "\n").encode())
        if reply.status == 200 and reply.body is None:
            return Reply(200, {"name": f"projects/{PROJECT}/messages/{visit}"}, reply.headers, reply.how)
        return reply

    def token_reply(self) -> Reply:
        with self._lock:
            self.tokens_given += 1
            if self.token_replies:
                return self.token_replies.pop(0)
        return Reply(body={"access_token": f"{self.bearer}", "expires_in": 3600, "token_type": "Bearer"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fcm: FakeFcm) -> None:
        self.fcm = fcm
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.fcm.idle:
            self.fcm.connections += 1
            self.fcm.open.add(id(request))
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self.fcm.idle:
            self.fcm.open.discard(id(request))
            self.fcm.idle.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True

    @property
    def fcm(self) -> FakeFcm:
        assert isinstance(self.server, _Server)
        return self.server.fcm

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/token":
            self.give(self.fcm.token_reply())
        elif self.fcm.bearer is not None and self.headers.get("Authorization") != f"Bearer {self.fcm.bearer}":
            self.give(failed(401, "UNAUTHENTICATED"))
        elif self.path != f"/v1/projects/{PROJECT}/messages:send":
            self.give(failed(404, "NOT_FOUND"))
        else:
            self.give(self.fcm.answer(json.loads(body)["message"]))

    def give(self, reply: Reply) -> None:
        if reply.how == "hang":
            with suppress(OSError):
                self.connection.recv(1)  # until the other side gives up
        if reply.how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if reply.how in ("hang", "close", "reset"):
            self.close_connection = True
            return
        text = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if reply.how == "cut":
            self.wfile.write(text[: len(text) // 2])
            self.close_connection = True
        else:
            self.wfile.write(text)

    def log_message(self, *_: Any) -> None: ...
