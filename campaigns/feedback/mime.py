"""A mail taken apart in linear time and within limits, whoever wrote it: headers, and the parts of a multipart.

Python's own parser follows any nesting and takes time that grows with the square of some headers, so here it sees
single short Content-Type headers only.
"""

import binascii
import quopri
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message

from campaigns.feedback.event import UnreadableError

MOST_BYTES = 5_000_000  # of a mail
MOST_HEADER_BYTES = 256_000  # of a mail's or a part's headers together
MOST_HEADERS = 1_000
LONGEST_TYPE = 2_000
MOST_PARTS = 100
DEEPEST = 2  # parts of parts; what is nested deeper is not looked into
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_NAME = re.compile(rb"[!-9;-~]{1,100}")

Headers = Mapping[str, Sequence[str]]  # name in small letters → values, unfolded


@dataclass(frozen=True, repr=False)
class Part:
    """kind: of its content, such as text/plain. parts: of a multipart; body: of anything else, as it was sent."""

    headers: Headers
    kind: str
    report: str = ""  # of a multipart/report: delivery-status, feedback-report …
    body: bytes = b""
    parts: tuple["Part", ...] = field(default=())

    def header(self, name: str) -> str:
        """The first value of a header, or nothing."""
        return next(iter(self.headers.get(name, ())), "")

    def content(self) -> bytes:
        """The body without its transfer encoding; what is wrong with that is left out."""
        coding = self.header("content-transfer-encoding").strip().lower()
        if coding == "base64":
            try:
                return b64decode(self.body)
            except binascii.Error:
                return b""
        return quopri.decodestring(self.body) if coding == "quoted-printable" else self.body


def read_mail(raw: bytes) -> Part:
    """Raises UnreadableError for what is too large, or no mail."""
    if len(raw) > MOST_BYTES:
        raise UnreadableError(f"larger than {MOST_BYTES:,} bytes")
    mail = _part(raw, 0)
    if not mail.headers:
        raise UnreadableError("not a mail")
    return mail


def read_headers(block: bytes) -> dict[str, list[str]]:
    """The headers at the beginning of a block. Raises UnreadableError if there are too many."""
    end = _HEADER_END.search(block)
    head = block[: end.start()] if end else block
    if len(head) > MOST_HEADER_BYTES:
        raise UnreadableError(f"headers larger than {MOST_HEADER_BYTES:,} bytes")
    found: list[tuple[str, list[bytes]]] = []
    for line in head.splitlines():
        if line[:1] in (b" ", b"\t"):
            if found:
                found[-1][1].append(line.strip())
            continue
        before, colon, after = line.partition(b":")
        if colon and _NAME.fullmatch(before):
            found.append((before.decode("ascii").lower(), [after.strip()]))
    if len(found) > MOST_HEADERS:
        raise UnreadableError(f"more than {MOST_HEADERS:,} headers")
    headers: dict[str, list[str]] = {}
    for name, lines in found:
        headers.setdefault(name, []).append(b" ".join(lines).decode("utf-8", "replace"))
    return headers


def field_blocks(content: bytes) -> list[dict[str, list[str]]]:
    """The groups of fields of a delivery status, which blank lines part. Raises UnreadableError for too many."""
    blocks = [block for block in re.split(rb"(?:\r?\n[ \t]*){2,}", content, maxsplit=MOST_PARTS + 1) if block.strip()]
    if len(blocks) > MOST_PARTS:
        raise UnreadableError(f"more than {MOST_PARTS} recipients")
    return [read_headers(block) for block in blocks]


def _part(raw: bytes, depth: int) -> Part:
    if raw.startswith((b"\n", b"\r\n")):
        headers: dict[str, list[str]] = {}
        body = raw.lstrip(b"\r\n")
    else:
        headers = read_headers(raw)
        end = _HEADER_END.search(raw)
        body = raw[end.end() :] if end else b""
    kind, boundary, report = _content_type(headers)
    if depth >= DEEPEST or not (kind.startswith("multipart/") and boundary):
        return Part(headers, kind, body=body)
    bounds = list(_bounds(body, boundary))
    parts = [_part(body[start:end], depth + 1) for start, end in bounds]
    return Part(headers, kind, report, parts=tuple(parts))


def _content_type(headers: Mapping[str, Sequence[str]]) -> tuple[str, bytes, str]:
    """Kind, boundary and report-type; text/plain where it is not told."""
    value = next(iter(headers.get("content-type", ())), "")
    if not value or len(value) > LONGEST_TYPE:
        return "text/plain", b"", ""
    message = Message()
    try:
        message["Content-Type"] = value
        kind, boundary, report = message.get_content_type(), message.get_boundary(), message.get_param("report-type")
    except (ValueError, TypeError, IndexError, LookupError) as error:
        raise UnreadableError("a Content-Type that is none") from error
    return kind, (boundary or "").encode("utf-8", "replace"), report.lower() if isinstance(report, str) else ""


def _bounds(body: bytes, boundary: bytes) -> list[tuple[int, int]]:
    """Where the parts of a multipart begin and end."""
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\r?\Z)", re.MULTILINE)
    found: list[tuple[int, int]] = []
    start = None
    for seen in line.finditer(body):
        if start is not None:
            found.append((start, seen.start()))
        start = None if seen.group(1) else seen.end()
        if len(found) > MOST_PARTS:
            raise UnreadableError(f"more than {MOST_PARTS} parts")
        if seen.group(1):
            break
    if start is not None:
        found.append((start, len(body)))
    return found
