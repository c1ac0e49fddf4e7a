"""Files of what came back: mails (one to a file, an mbox, a maildir) and lists of events, read one piece at a time.

No file, whatever is in it, ends the reading of the others: what cannot be understood is told with its reason.
"""

import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal
from zoneinfo import ZoneInfo

from campaigns.feedback.event import Returned, UnreadableError
from campaigns.feedback.listed import columns_of, read_events
from campaigns.feedback.mime import MOST_BYTES
from campaigns.feedback.reports import read_report
from recsys.tables import InputError

Kind = Literal["auto", "bounce", "complaint", "csv"]
KINDS = ("auto", "bounce", "complaint", "csv")

LARGEST = 256_000_000  # bytes of a file; a list of some million events
HEAD = 16_384
COMPRESSED = (b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"Rar!", b"7z\xbc\xaf")
MOST_REFUSED = 1_000  # of one file; then the rest of it is left
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,99}:")
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Refused:
    """What could not be understood. file: its name; part: of an mbox the mail, of a list the line, from 1; else 0.

    digest: SHA-256 of its bytes, by which it can be found again; nothing of what it says is kept.
    """

    file: str
    part: int
    reason: str
    digest: str


Piece = Returned | Refused | None  # None: an event of no use here


def find_files(path: Path) -> list[Path]:
    """A file, or the files of a folder and those below it, in order; hidden ones and links are left out.

    Raises InputError if there is nothing there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder; expected mails, an mbox, a maildir, or a CSV of events")
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "tmp")  # of a maildir
        found += [Path(folder) / name for name in names if not name.startswith(".")]
    return sorted(file for file in found if stat.S_ISREG(file.lstat().st_mode))


def read_file(path: Path, kind: Kind, zone: ZoneInfo) -> Iterator[Piece]:
    """What a file tells, and what of it is not understood; never raises for what is in it."""
    try:
        yield from _limited(path, _pieces(path, kind, zone))
    except (OSError, EOFError) as error:
        yield Refused(shown_name(path), 0, f"not readable: {type(error).__name__}", "")
    except UnreadableError as error:
        yield Refused(shown_name(path), 0, str(error), _file_digest(path))
    except Exception as error:  # of hostile input anything may come; the others must still be read
        yield Refused(shown_name(path), 0, f"not understood: {type(error).__name__}", _file_digest(path))


def shown_name(path: Path) -> str:
    """A file's name; one that holds an address is not repeated."""
    return path.name if "@" not in path.name and path.name.isprintable() else f"…{path.suffix[:10]}"


def _limited(path: Path, pieces: Iterator[Piece]) -> Iterator[Piece]:
    refused = 0
    for piece in pieces:
        yield piece
        refused += isinstance(piece, Refused)
        if refused >= MOST_REFUSED:
            yield Refused(shown_name(path), 0, f"more than {MOST_REFUSED:,} faults, so the rest was left", "")
            return


def _pieces(path: Path, kind: Kind, zone: ZoneInfo) -> Iterator[Piece]:
    if path.stat().st_size > LARGEST:
        raise UnreadableError(f"larger than {LARGEST:,} bytes")
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(0)
        form = _form(head)
        if (form == "csv") != (kind == "csv") and kind != "auto":
            raise UnreadableError(f"not a {kind if kind != 'csv' else 'list of events'}")
        wanted = kind if kind in ("bounce", "complaint") else None
        if form == "csv":
            yield from _listed(path, file, head, zone)
        elif form == "mbox":
            yield from _mbox(path, file, wanted)
        else:
            yield from read_report(file.read(MOST_BYTES + 1), wanted)


def _form(head: bytes) -> str:
    """csv, mbox or mail, by how a file begins. Raises UnreadableError for what is none of them."""
    if not head.strip():
        raise UnreadableError("empty")
    if head.startswith(COMPRESSED):
        raise UnreadableError("compressed; unpack it first")
    text = head.decode(_encoding(head), "replace").removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if columns_of(text.splitlines()[0] if text.strip() else ""):
        return "csv"
    if head.startswith(b"From "):
        return "mbox"
    if _HEADER.match(head.lstrip(b"\r\n")):
        return "mail"
    raise UnreadableError("neither a mail nor a list of events")


def _encoding(head: bytes) -> str:
    return "utf-16" if head.startswith(UTF16) else "utf-8-sig"


def _listed(path: Path, file: IO[bytes], head: bytes, zone: ZoneInfo) -> Iterator[Piece]:
    lines = io.TextIOWrapper(file, encoding=_encoding(head), errors="replace", newline="")
    for number, line, told in read_events(lines, zone):
        digest = hashlib.sha256(line.encode("utf-8", "replace")).hexdigest() if isinstance(told, str) else ""
        yield Refused(shown_name(path), number, told, digest) if isinstance(told, str) else told


def _mbox(path: Path, file: IO[bytes], wanted: str | None) -> Iterator[Piece]:
    for number, raw in enumerate(_mails(file), start=1):
        try:
            yield from read_report(raw, wanted)
        except UnreadableError as error:
            yield Refused(shown_name(path), number, str(error), hashlib.sha256(raw).hexdigest())
        except Exception as error:
            reason = f"not understood: {type(error).__name__}"
            yield Refused(shown_name(path), number, reason, hashlib.sha256(raw).hexdigest())


def _mails(file: IO[bytes]) -> Iterator[bytes]:
    """The mails of an mbox; of one that is too large, as much as shows that it is."""
    lines: list[bytes] = []
    size, blank = 0, True
    while line := file.readline(MOST_BYTES):
        if blank and line.startswith(b"From "):
            if lines:
                yield b"".join(lines)
            lines, size = [], 0
        elif size <= MOST_BYTES:
            lines.append(line[1:] if line.startswith(b">From ") else line)
            size += len(line)
        blank = not line.strip()
    if lines:
        yield b"".join(lines)


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MOST_BYTES)).hexdigest()
    except OSError:
        return ""
