"""A person in all other files of a workspace: exports, rehearsals, previews, lists of what was refused, logs.

Rows of a table lose what is personal and keep their place; a file that is one message of theirs is deleted.
"""

import csv
import io
import json
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.forgetting.person import Person
from flows.forgetting.published import in_hand
from flows.forgetting.rows import IDS, PERSONAL, holds, rewrite_parquet
from flows.intake.sources import find_files
from flows.settings import Settings
from flows.workspace import Workspace, checksum, read_json, write_json
from recsys.tables import InputError

# What is not swept: who forgets does it itself (tables, published folders, ledgers), or it is the retailer's own.
OWN = (
    "larisma.toml",
    "campaigns",
    "keys.json",
    "forgotten.json",
    "controls.json",
    "exports.json",
    "approvals",
    "agreements",
)
DONE = ("tables", "runs", "models", "recommendations", ".ingest")
TOMBSTONE = "[forgotten]"
ASIDE = re.compile(r"\..+\.\d+")  # a file that is being written
LONGEST_CELL = 50_000_000  # characters; a whole mail may stand in one


def sweep(place: Workspace, settings: Settings, person: Person) -> list[str]:
    """Cleans every other file; the paths, within the workspace, of those that were changed or deleted."""
    changed = []
    for path in sorted(_files(place, settings)):
        if ASIDE.fullmatch(path.name):  # of a process that was killed, or that is at work just now
            if not in_hand(path.name):
                path.unlink()
            continue
        before = checksum(path) if path.suffix in (".csv", ".tsv", ".jsonl", ".parquet") else ""
        if _clean(path, person):
            changed.append(shown_path(place, path, person))
            if before and path.exists():
                _follow(path, before)
    return changed


def still_in(place: Workspace, settings: Settings, person: Person) -> list[str]:
    """The sources, which are the retailer's own, that still hold the person's id or an address."""
    found = set()
    for path in _sources(place, settings):
        if holds(path, person) if path.suffix in (".parquet", ".pq") else _found(path, person):
            found.add(str(path.relative_to(place.root)) if path.is_relative_to(place.root) else str(path))
    return sorted(found)


def shown_path(place: Workspace, path: Path, person: Person) -> str:
    """A path within the workspace; a name that is the person's is not repeated."""
    shown = path.relative_to(place.root) if path.is_relative_to(place.root) else path
    return str(shown.parent / "…") if person.in_name(path.name) else str(shown)


def _files(place: Workspace, settings: Settings) -> Iterator[Path]:
    sources = {path.resolve() for path in _sources(place, settings)}
    skipped = {place.root / name for name in (*OWN, *DONE)}
    for folder, folders, names in (step for top in (place.root, *_exports(place)) for step in os.walk(top)):
        here = Path(folder)
        folders[:] = [name for name in folders if here / name not in skipped]
        for name in names:
            path = here / name
            named = path.suffix == ".parquet" and path.is_relative_to(place.quarantine)  # by tables/manifest.json
            if path in skipped or named or path.is_symlink() or not path.is_file() or path.resolve() in sources:
                continue
            yield path


def _exports(place: Workspace) -> list[Path]:
    """Folders outside of the workspace that messages were exported to."""
    known = place.root / "exports.json"
    folders = [Path(one) for one in read_json(known)["folders"]] if known.exists() else []
    return [one for one in folders if one.is_dir() and not one.is_relative_to(place.root.resolve())]


def _sources(place: Workspace, settings: Settings) -> Iterator[Path]:
    for name, sources in settings.sources.items():
        for source in sources:
            if source.path is not None:
                try:
                    yield from find_files(source, place.root, f"sources.{name}")
                except InputError:
                    continue


def _clean(path: Path, person: Person) -> bool:
    ending = path.suffix.lower()
    if ending == ".parquet":
        return rewrite_parquet(path, person)
    if _is_database(path):
        return False
    if ending in (".csv", ".tsv"):
        return _clean_csv(path, person)
    if ending == ".jsonl":
        return _clean_lines(path, person, _json_line)
    if person.in_name(path.name) or (ending != ".log" and _found(path, person)):
        path.unlink()
        return True
    return ending == ".log" and _clean_lines(path, person, lambda line, _: TOMBSTONE if _said(line, person) else line)


def _found(path: Path, person: Person) -> bool:
    if person.pattern is None or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return person.pattern.search(content) is not None


def _said(line: str, person: Person) -> bool:
    return person.pattern is not None and person.pattern.search(line.encode("utf-8", "replace")) is not None


def _named(text: str, person: Person) -> bool:
    """Whether a text of their own row says their name."""
    return any(name.lower() in text.lower() for name in person.names)


def _clean_csv(path: Path, person: Person) -> bool:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        text = file.read()
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    finally:
        csv.field_size_limit(before)
    header = [name.strip().lower() for name in rows[0]] if rows else []
    ids = [place for place, name in enumerate(header) if name in IDS]
    changed = False
    for row in rows[1:]:
        own = any(place < len(row) and _bare(row[place]) == person.customer_id for place in ids)
        if not own and not _said("\n".join(row), person):
            continue
        changed, odd = True, len(row) != len(header)  # cells of an odd row may stand under any name
        for place, cell in enumerate(row):
            name = "" if odd or place >= len(header) else header[place]
            if _bare(cell) == person.customer_id and (place in ids or odd):
                row[place] = person.pseudonym
            elif cell in person.messages or cell == person.pseudonym:
                continue
            elif odd or name in PERSONAL or _said(cell, person) or (own and _named(cell, person)):
                row[place] = ""
    if not changed:
        return False
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n" if "\r\n" in text else "\n").writerows(rows)
    if out.getvalue() == text:  # the names of their messages stay
        return False
    _write(path, out.getvalue())
    return True


def _bare(cell: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from reading a formula."""
    return cell[1:] if re.match(r"'[=+\-@\t\r\0]", cell) else cell


def _clean_lines(path: Path, person: Person, cleaned: Any) -> bool:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    after = [cleaned(line, person) for line in lines]
    if after == lines:
        return False
    _write(path, "\n".join(after) + "\n")
    return True


def _write(path: Path, text: str) -> None:
    """Replaces a file in one step; bytes of it that are no text stay what they were."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _json_line(line: str, person: Person) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        return TOMBSTONE if _said(line, person) else line
    if not isinstance(row, dict):
        return json.dumps(TOMBSTONE) if _said(line, person) else line
    own = any(row.get(name) == person.customer_id for name in IDS)
    if not own and not _said(line, person):
        return line
    return json.dumps({name: _json_value(name, value, person) for name, value in row.items()}, ensure_ascii=False)


def _json_value(name: str, value: Any, person: Person) -> Any:
    if name in IDS and value == person.customer_id:
        return person.pseudonym
    if isinstance(value, str) and value in person.messages:
        return value
    said = json.dumps(value, ensure_ascii=False)
    return None if name in PERSONAL or _said(said, person) or _named(said, person) else value


def _follow(path: Path, before: str) -> None:
    """Where a manifest beside a file states its checksum, it states the new one, and the old one as what it was."""
    manifest = path.with_name("manifest.json")
    if not manifest.is_file():
        return
    content = read_json(manifest)
    for file in content.get("files", []) if isinstance(content.get("files"), list) else []:
        if file.get("path") == path.name and file.get("sha256") == before:
            after = checksum(path)
            content.setdefault("forgotten", []).append({"path": path.name, "was": before, "is": after})
            file["sha256"] = after
            file["bytes"] = path.stat().st_size
            write_json(manifest, content)


def _is_database(path: Path) -> bool:
    """A ledger, its log and its index: these are cleaned by the ledger itself."""
    if re.search(r"\.db(-wal|-shm|-journal)?$", path.name):
        return True
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"
