"""Where tables, models and runs live, and how they are published: whole or not at all.

Two ways of publishing, both ended by one atomic rename:
- tables and quarantine: immutable Parquet files plus `tables/manifest.json`, which names the files that count;
  replacing it publishes all of one ingest together.
- folders (a model, a run): written aside under `.versions/`, then a symbolic link is swung over to them.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from operator import and_
from pathlib import Path
from threading import get_ident
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from campaigns import tables as campaign_tables
from recsys import tables as recsys_tables
from recsys.tables import InputError, Table


class RunError(RuntimeError):
    """A run could not do its work, though what it was given is well formed; nothing was published."""


TABLES: dict[str, Table] = {
    contract.name: contract
    for contract in (
        recsys_tables.ITEMS,
        campaign_tables.CATEGORY_NAMES,
        campaign_tables.CUSTOMERS,
        recsys_tables.PURCHASES,
        campaign_tables.CONSENTS,
        campaign_tables.SERVICE_CASES,
        campaign_tables.SILENCES,
        campaign_tables.PAST_OFFERS,
        campaign_tables.FEEDBACK,
        campaign_tables.CONTACTS,
        campaign_tables.CODES,
        campaign_tables.EVENTS,
        campaign_tables.PRICE_HISTORY,
    )
}


@dataclass(frozen=True)
class Workspace:
    """One retailer's folder. Holds paths only; what is in them is read anew each time."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "larisma.toml"

    @property
    def campaigns(self) -> Path:
        return self.root / "campaigns"

    @property
    def tables(self) -> Path:
        return self.root / "tables"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def champion(self) -> Path:
        """A link to the model that serves."""
        return self.models / "champion"

    def recommendations(self, model_id: str) -> Path:
        return self.root / "recommendations" / model_id

    def run(self, campaign_id: str, occurrence: str) -> Path:
        return self.root / "runs" / campaign_id / occurrence

    def manifests(self, campaign_id: str = "*") -> list[Path]:
        """Of every run of a campaign, or of all, in order of campaign and occurrence."""
        return sorted(self.root.glob(f"runs/{campaign_id}/*/manifest.json"))

    @property
    def rehearsals(self) -> Path:
        return self.root / "rehearsals"

    def rehearsal(self, campaign_id: str, occurrence: str) -> Path:
        """What a delivery would have sent, as files."""
        return self.rehearsals / campaign_id / occurrence

    def delivery(self, campaign_id: str, occurrence: str) -> Path:
        """What is written of a delivery that is sent."""
        return self.root / "deliveries" / campaign_id / occurrence

    def night(self, day: date) -> Path:
        """What was decided together on a day."""
        return self.root / "nights" / day.isoformat()


def open_workspace(root: Path) -> Workspace:
    """Raises InputError if there is no workspace at root."""
    workspace = Workspace(root)
    if not workspace.settings_file.is_file():
        raise InputError(
            f"{root}: no workspace here (larisma.toml is missing); make one with: larisma init --workspace {root}"
        )
    return workspace


# --- files -----------------------------------------------------------------------------------------------------------


def checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table_digest(table: pa.Table) -> str:
    """SHA-256 of a table's rows in their order, however they were laid out in files."""
    digest = hashlib.sha256()
    for batch in table.combine_chunks().to_batches(max_chunksize=1 << 16):
        digest.update(batch.serialize())
    return digest.hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one step, durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}")
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def write_parquet(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def write_parquet_blocks(path: Path, schema: pa.Schema, blocks: Iterable[pa.Table]) -> int:
    """Writes a table block by block, so that it need not fit in memory; returns its rows."""
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for block in blocks:
            writer.write_table(block)
            rows += block.num_rows
    return rows


# --- tables ----------------------------------------------------------------------------------------------------------


def read_catalog(workspace: Workspace) -> dict[str, Any]:
    """What `tables/manifest.json` says of each table: rows, sha256 over its files, newest (the latest instant, or
    null), derived (true if made from purchases), and files: path within tables/, part, rows and sha256 of each."""
    return _read_manifest(workspace).get("tables", {})


def read_ingests(workspace: Workspace) -> dict[str, Any]:
    """What `tables/manifest.json` says of each table's last ingest: clock, the accounting, and its quarantine file."""
    return _read_manifest(workspace).get("ingests", {})


def _read_manifest(workspace: Workspace) -> dict[str, Any]:
    manifest = workspace.tables / "manifest.json"
    return read_json(manifest) if manifest.exists() else {}


def table_files(workspace: Workspace, name: str) -> list[Path]:
    """The Parquet files that make up a table now, in order; none if it was never ingested."""
    entry = read_catalog(workspace).get(name)
    return [workspace.tables / file["path"] for file in entry["files"]] if entry else []


def read_table(
    workspace: Workspace,
    name: str,
    *,
    as_of: datetime | None = None,
    columns: Iterable[str] | None = None,
    where: pc.Expression | None = None,
) -> pa.Table:
    """A table's rows known before as_of (all if None) that meet `where`, sorted by key; one never ingested is empty.

    Raises InputError if as_of bears no time zone.
    """
    contract = TABLES[name]
    wanted = list(columns) if columns else contract.schema.names
    needed = list(dict.fromkeys([*wanted, *contract.key]))
    conditions = [condition for condition in (known_before(contract, as_of), where) if condition is not None]
    condition = reduce(and_, conditions) if conditions else None
    table = None
    while table is None:
        files = table_files(workspace, name)
        if not files:
            return contract.schema.empty_table().select(wanted)
        try:
            dataset = ds.dataset([str(file) for file in files], schema=contract.schema)
            table = dataset.to_table(columns=needed, filter=condition)
        except FileNotFoundError:
            if files == table_files(workspace, name):  # else an ingest has just published others: read those
                raise
    return table.sort_by([(column, "ascending") for column in contract.key]).select(wanted)


def known_before(contract: Table, as_of: datetime | None) -> pc.Expression | None:
    """The filter that hides what was not yet known as of an instant."""
    if as_of is None or contract.instant is None:
        return None
    if as_of.tzinfo is None:
        raise InputError(f"as-of instant {as_of}: expected a time zone, such as {as_of.isoformat()}+07:00")
    column = pc.field(contract.instant)
    return column.is_null() | (column < pa.scalar(as_of, recsys_tables.INSTANT))


def files_digest(files: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 over the checksums of a table's files, as its entry in the catalog has it."""
    return hashlib.sha256("\n".join(file["sha256"] for file in files).encode()).hexdigest()


def publish_catalog(workspace: Workspace, catalog: Mapping[str, Any], ingests: Mapping[str, Any] | None = None) -> None:
    """Makes the files that catalog and ingests name the tables and the quarantine, in one step; then removes those that
    nothing names any more. ingests: as read_ingests gives it, None = as it is."""
    ingests = read_ingests(workspace) if ingests is None else ingests
    write_json(workspace.tables / "manifest.json", {"tables": catalog, "ingests": ingests})
    kept = {workspace.tables / file["path"] for entry in catalog.values() for file in entry["files"]}
    kept |= {workspace.quarantine / entry["file"]["path"] for entry in ingests.values() if entry["file"]}
    for folder in (workspace.tables, workspace.quarantine):
        for path in folder.rglob("*.parquet"):
            if path not in kept:
                path.unlink()


@contextmanager
def taking_in(workspace: Workspace) -> Iterator[Path]:
    """A folder inside the workspace to work in, gone at the end; nobody else takes in anything meanwhile.

    Raises InputError if another process is in such a block. The lock is the system's, so it ends with its process.
    """
    place = os.open(workspace.root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{workspace.root}: another ingest is running here; wait for its end") from error
        aside = workspace.root / ".ingest"
        shutil.rmtree(aside, ignore_errors=True)  # of one that was killed
        aside.mkdir()
        try:
            yield aside
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    finally:
        os.close(place)


def move_in(written: Path, target: Path) -> None:
    """Moves a finished file to its place, durably."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with written.open("rb") as file:
        os.fsync(file.fileno())
    written.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- folders ---------------------------------------------------------------------------------------------------------


@contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """A folder to write into; when the block ends well, target becomes (a link to) it, in one step.

    A reader of target sees the old folder or the new one, never a mixture; when the block raises, target is as it was.
    """
    versions = target.parent / ".versions"
    versions.mkdir(parents=True, exist_ok=True)
    aside = versions / f".{target.name}.{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        version = versions / f"{target.name}-{folder_digest(aside)[:16]}"
        if version.exists():
            shutil.rmtree(aside)
        else:
            aside.rename(version)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    point(target, version)
    for stale in versions.glob(f"{target.name}-{'?' * 16}"):
        if stale != version:
            shutil.rmtree(stale)


def withdraw(target: Path) -> None:
    """Takes back what was published: first nobody finds it any more, then its files go. Not there: nothing to do."""
    _clear(target)
    for version in (target.parent / ".versions").glob(f"{target.name}-{'?' * 16}"):
        shutil.rmtree(version)


def point(link: Path, folder: Path) -> None:
    """Swings a symbolic link over to a folder in one step.

    A folder that stands in the link's place, as in a workspace that was copied with its links followed, goes first.
    """
    aside = link.with_name(f".{link.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    aside.symlink_to(os.path.relpath(folder, link.parent))
    if not link.is_symlink():
        _clear(link)
    aside.replace(link)


def _clear(path: Path) -> None:
    """Takes away a link, a file or a folder; a folder at once, whatever then becomes of its files."""
    if path.is_dir() and not path.is_symlink():
        gone = path.with_name(f".{path.name}.{os.getpid()}.gone")
        path.rename(gone)
        shutil.rmtree(gone)
    else:
        path.unlink(missing_ok=True)


def folder_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{checksum(path)}\n".encode())
    return digest.hexdigest()
