"""Where unsubscribe links lead: GET shows a page and changes nothing, only POST acts (RFC 8058).

Mail scanners follow links and some run scripts, so nothing but a POST with the body of a mail program's one-click
button, or of the page's own form, is taken as the customer's word. It is in the ledger, durably, before the answer
leaves, so it holds for the next claim. No cookies, no redirects; the log says neither whose nor which link it was.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from campaigns.ledger import Ledger, opt_out
from campaigns.ledger.people import recipients
from campaigns.ledger.refusals import ALL
from campaigns.optout import verify
from flows.answers.optout_page import HEADERS, Page, page, page_language
from flows.keys import workspace_keys
from flows.settings import Settings
from flows.workspace import TABLES, Workspace, table_files

MOST_BYTES = 4_096  # of a body; one-click takes 26
MOST_SECONDS = 10  # for a body to come
LONGEST_PATH = 1_000
METHODS = ("GET", "HEAD", "POST")
# As RFC 8058 allows it, in a body of multipart/form-data.
_ONE_CLICK_PART = re.compile(rb'name="?List-Unsubscribe"?\r?\n(?:[^\r\n]+\r?\n)*\r?\nOne-Click\s', re.IGNORECASE)

log = logging.getLogger("larisma.optout")


@dataclass(frozen=True)
class Asked:
    """Whose link it is. language: id or en."""

    customer_id: str
    channel: str
    language: str


def optout_app(place: Workspace, settings: Settings, ledger: Ledger, clock: Callable[[], datetime]) -> ASGIApp:
    """The ASGI application. It answers any path that ends in a token, so a proxy may leave the path as it is or not."""

    def find(path: str) -> Asked | None:
        message_id = verify(path.rpartition("/")[2], workspace_keys(place, settings).signing)  # rotated keys count
        return whose(place, ledger, message_id) if message_id else None

    async def answer(request: Request) -> tuple[int, str, Page, Asked | None]:
        """Status, what the log says, the page, and whose it is."""
        if request.method not in METHODS:
            return 405, "method", "unclear", None
        path = request.url.path
        asked = await run_in_threadpool(find, path) if len(path) <= LONGEST_PATH else None
        if asked is None:
            return 404, "unknown", "unknown", None
        if request.method != "POST":
            return 200, "page", "ask", asked
        body = await limited_body(request)
        if body is None:
            return 413, "too large", "unclear", None
        choice = chosen(request.headers.get("content-type", ""), body)
        if choice is None:
            return 400, "no choice", "unclear", asked
        channel = ALL if choice == ALL else asked.channel
        await run_in_threadpool(opt_out, ledger, asked.customer_id, channel, "link", clock())
        return 200, choice, "all" if choice == ALL else "done", asked

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        more: dict[str, str] = {}
        try:
            status, said, kind, asked = await answer(request)
        except ClientDisconnect:
            return
        except TimeoutError:
            status, said, kind, asked = 408, "too slow", "unclear", None
        except SQLAlchemyError as error:
            status, said, kind, asked = 503, type(error).__name__, "later", None
            more = {"Retry-After": "60"}
        if status in (405, 408, 413):
            more = {"Allow": ", ".join(METHODS), "Connection": "close"}
        log.info("%s %d %s", request.method if request.method in METHODS else "other", status, said)
        language = asked.language if asked else page_language(None)
        body = page(kind, settings.shop, language, asked.channel if asked else "email").encode()
        headers = {**HEADERS, **more, "Content-Language": language, "Content-Length": str(len(body))}
        content = b"" if request.method == "HEAD" else body
        await Response(content, status, headers, media_type="text/html")(scope, receive, send)

    return app


def server_of(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A small server for it; a proxy with TLS stands before it."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,  # it would hold tokens
            server_header=False,
            proxy_headers=False,
            limit_concurrency=200,
            timeout_keep_alive=5,
            h11_max_incomplete_event_size=16_384,
        )
    )


def whose(place: Workspace, ledger: Ledger, message_id: str) -> Asked | None:
    """By the ledger; where that does not know the message, such as one of a preview, by the runs."""
    found = recipients(ledger, [message_id]).get(message_id)
    if found:
        return Asked(found.customer_id, found.channel, _language(place, found.customer_id))
    for path in sorted(place.root.glob("runs/*/*/messages.parquet"), reverse=True):
        wanted = [("message_id", "=", message_id)]
        table: pa.Table = pq.read_table(path, columns=["customer_id", "channel", "language"], filters=wanted)
        for row in table.to_pylist():
            return Asked(row["customer_id"], row["channel"], page_language(row["language"]))
    return None


def chosen(kind: str, body: bytes) -> str | None:
    """What a body asks for: one-click, channel or all; None for anything else."""
    if kind.partition(";")[0].strip().lower() == "multipart/form-data":
        return "one-click" if _ONE_CLICK_PART.search(body + b"\n") else None
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError:
        return None
    if fields.get("List-Unsubscribe") == ["One-Click"]:
        return "one-click"
    stop = fields.get("stop", [""])
    return stop[0] if stop in (["channel"], [ALL]) else None


async def limited_body(request: Request) -> bytes | None:
    """None if it is too large. Raises TimeoutError if it does not come."""
    async with asyncio.timeout(MOST_SECONDS):
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return None
    return body


def _language(place: Workspace, customer_id: str) -> str:
    files = table_files(place, "customers")
    if not files:
        return page_language(None)
    known = ds.dataset([str(file) for file in files], schema=TABLES["customers"].schema)
    try:
        rows = known.to_table(columns=["language"], filter=ds.field("customer_id") == customer_id)
    except FileNotFoundError:  # an ingest has just published others
        return page_language(None)
    return page_language(rows["language"][0].as_py() if rows.num_rows else None)
