"""Histories that are only ever added to, as who approved what and when: a JSON file each, written durably.

Each entry bears the hash of the one before it, and the file that of the last, so that what is changed or taken out by
hand is noticed.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from campaigns.approval import digest
from campaigns.words import one_line
from flows.workspace import write_json
from recsys.tables import InputError

Entry = dict[str, Any]
State = Literal["approved", "changed", "withdrawn", "never"]  # how what is now stands to the newest entry
LONGEST_NAME = 200


def read_history(path: Path) -> list[Entry]:
    """The entries, oldest first; none if there is no file. Raises InputError for one that somebody has edited."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = content["history"]
        intact = [*(entry["after"] for entry in entries), content["seal"]] == ["", *map(digest, entries)]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a history that Larisma wrote; restore it from a backup") from error
    if not (intact and entries):
        raise InputError(f"{path}: its entries do not follow each other, so it was edited; restore it from a backup")
    return entries


def add_entry(path: Path, entry: Mapping[str, Any], by: str, at: datetime) -> Entry:
    """Adds an entry with its author and instant, and returns it as it was written; the file is replaced in one step.

    Raises InputError for a name that is none, and as read_history.
    """
    name = checked_name(by)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        entries = read_history(path)
        written = {**entry, "by": name, "at": at.isoformat(), "after": digest(entries[-1]) if entries else ""}
        write_json(path, {"history": [*entries, written], "seal": digest(written)})
        for folder in (path.parent, path.parent.parent):  # the folder may be new
            _sync(folder)
    return written


def checked_name(by: str) -> str:
    """A person's name on one line. Raises InputError for an empty or endless one."""
    name = one_line(by)
    if not name or len(name) > LONGEST_NAME:
        raise InputError(f"--by: expected the name of who decides, of 1 to {LONGEST_NAME} characters")
    return name


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else adds to a history of the folder meanwhile. The lock is the system's, so it ends with its process."""
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _sync(folder: Path) -> None:
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
