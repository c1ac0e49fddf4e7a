"""One table's way from its sources to files that wait aside: staged, judged, compared, counted, written."""

from __future__ import annotations  # see flows/ingest.py

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
from pydantic import SecretStr

from flows.intake.accounting import COUNTS, balance, stop_if_too_many
from flows.intake.checks import LEFT_OUT, judge_rows
from flows.intake.csv_lines import LINE
from flows.intake.database import run_query
from flows.intake.derived_items import derive_items
from flows.intake.forgotten import Forgotten, leave_out_forgotten
from flows.intake.mapping import duck_type
from flows.intake.quarantine import write_quarantine
from flows.intake.sources import FILE, Staged, first_line, literal, quoted, stage_files, stage_query
from flows.intake.upsert import compare_with_stored, split_repeats, write_parts, write_sorted
from flows.settings import Settings, Source
from flows.workspace import TABLES, Workspace, files_digest
from recsys.tables import InputError, Table

FILLED = ("purchases", "items", "customers")  # files of these without a single row are a failed export
REFERRED = ("items", "customers")  # tables whose ids the rows of others must have


@dataclass
class Batch:
    """One ingest under way: the engine, the clock, and what is going to be published."""

    database: duckdb.DuckDBPyConnection
    workspace: Workspace
    settings: Settings
    clock: datetime
    aside: Path
    tell: Callable[[str], None]
    stage_database: Callable[..., Staged]
    catalog: dict[str, Any]
    ingests: dict[str, Any]
    known: set[str] = field(default_factory=set)
    forgotten: Forgotten = field(default_factory=Forgotten)


def stage_database(
    database: duckdb.DuckDBPyConnection, source: Source, url: SecretStr | None, key: str, relation: str
) -> Staged:
    """Runs a source's query. Raises InputError, or DatabaseUnreachableError where trying again may help."""
    given = source.url or url
    if given is None:
        raise InputError(
            f"larisma.toml: {key}: a query needs the database's URL: set {key}.url or LARISMA_DATABASE_URL"
        )
    with run_query(given.get_secret_value(), str(source.query), key) as reader:
        return stage_query(database, reader.schema, reader, key, relation)


def view_stored(batch: Batch, table: Table) -> None:
    """stored_T: the table's rows as they are published now."""
    files = batch.catalog.get(table.name, {}).get("files", [])
    if files:
        _view_files(batch, f"stored_{table.name}", [batch.workspace.tables / file["path"] for file in files])
    else:
        batch.database.register(f"stored_{table.name}", table.schema.empty_table())


def _view_files(batch: Batch, view: str, paths: list[Path]) -> None:
    listed = ", ".join(literal(str(path)) for path in paths)
    batch.database.execute(f"create view {view} as from read_parquet([{listed}])")


def learn_ids(batch: Batch, name: str) -> None:
    """known_T: the ids that rows of other tables may refer to; not made where the table is derived, or has no rows."""
    entry = batch.catalog.get(name)
    if name not in REFERRED or entry is None or (entry.get("derived") and not batch.settings.sources.get(name)):
        return
    key = TABLES[name].key[0]
    accepted = f"union select {key} from accepted_{name}" if batch.settings.sources.get(name) else ""
    batch.database.execute(f"create table known_{name} as select {key} from stored_{name} {accepted}")
    batch.known.add(name)


def take_in(batch: Batch, table: Table) -> dict[str, Any]:
    """Reads, judges and compares one table's sources; writes its changed parts and its quarantine aside."""
    name, database = table.name, batch.database
    sources = batch.settings.sources[name]
    extra = sorted({f"item_{column}" for source in sources for column in source.item_columns})
    items = TABLES["items"].schema
    columns = [f"{quoted(f.name)} {duck_type(f.type)}" for f in table.schema]
    columns += [
        f"{quoted(column)} {duck_type(items.field(column[5:]).type)}" for column in extra if column[5:] in items.names
    ]
    database.execute(
        f"create table judged_{name} ({', '.join(columns)}, {FILE} varchar, {LINE} bigint, _reason varchar, "
        "_problem varchar, _source integer)"
    )
    staged = [_judge(batch, table, source, number) for number, source in enumerate(sources, start=1)]
    batch.tell(f"{name}: comparing with what is stored")
    split_repeats(database, table)
    compare_with_stored(database, table)
    counts = _count(batch, table, staged)
    stop_if_too_many(name, counts, batch.settings)
    batch.tell(f"{name}: writing {counts['accepted']:,} rows")
    old = batch.catalog.get(name, {"files": []})
    files = write_parts(database, table, old["files"], batch.aside / "tables")
    if files != old["files"] or name not in batch.catalog or old.get("derived"):
        batch.catalog[name] = _entry(batch, table, files)
    counts["rows"] = batch.catalog[name]["rows"]
    file = write_quarantine(database, table, staged, batch.aside / "quarantine")
    del counts["examples"]
    batch.ingests[name] = {"clock": batch.clock.isoformat(), "file": file} | {
        k: counts[k] for k in (*COUNTS, "reasons")
    }
    return counts


def _judge(batch: Batch, table: Table, source: Source, number: int) -> Staged:
    """Stages one source and adds its rows, judged, to judged_T."""
    name, database = table.name, batch.database
    key = f"sources.{name}" + (f".{number}" if len(batch.settings.sources[name]) > 1 else "")
    relation = f"source_{name}_{number}"
    batch.tell(f"{name}: reading {source.path or 'the database'}")
    try:
        if source.query is not None:
            staged = batch.stage_database(database, source, batch.settings.database_url, key, relation)
        else:
            staged = stage_files(database, source, batch.workspace.root, key, relation)
            if staged.rows == 0 and name in FILLED:
                raise InputError(f"{key}: no rows in {source.path}; if that is right, leave the source out")
        database.execute(f"set TimeZone = {literal(source.timezone)}")
        judged = judge_rows(database, table, source, staged, batch.clock, frozenset(batch.known))
        batch.tell(f"{name}: checking {staged.rows:,} rows")
        database.execute(f"insert into judged_{name} by name select *, {number} as _source from ({judged})")
        leave_out_forgotten(batch.database, table, staged, number, batch.forgotten)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise InputError(f"{key}: not readable: {first_line(error)}") from error
    finally:
        database.execute("set TimeZone = 'UTC'")
    return staged


def _count(batch: Batch, table: Table, staged: list[Staged]) -> dict[str, Any]:
    """What became of the rows, of each source and in all. Raises RuntimeError if a row is not counted exactly once."""
    name = table.name
    fates = batch.database.execute(
        f"""select _source, fate, count(*), arg_min({FILE} || ' row ' || {LINE}, ({FILE}, {LINE})) from (
            select _source, {FILE}, {LINE}, _reason as fate from judged_{name} where _reason is not null
            union all select _source, {FILE}, {LINE}, _verdict from verdict_{name}
            union all select _source, {FILE}, {LINE}, _state from accepted_{name}
        ) group by all order by 3 desc, 2"""
    ).fetchall()
    total: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"reasons": {}, "examples": {}, "sources": []}
    for number, source in enumerate(staged, start=1):
        found = {fate: rows for one, fate, rows, _ in fates if one == number}
        counts: dict[str, Any] = {
            "key": source.key,
            "read": source.rows,
            "left_out": found.pop(LEFT_OUT, 0),
            "accepted": found.pop("new", 0) + found.get("updated", 0),
            "updated": found.pop("updated", 0),
            "duplicate": found.pop("duplicate", 0),
            "quarantined": sum(found.values()),
            "reasons": found,
        }
        balance(source.key, counts)
        total["sources"].append(counts)
        for count in COUNTS:
            total[count] += counts[count]
        for reason, rows in found.items():
            total["reasons"][reason] = total["reasons"].get(reason, 0) + rows
    total["examples"] = {fate: example for _, fate, _, example in reversed(fates)}
    balance(name, total)
    return total


def _entry(batch: Batch, table: Table, files: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """What the catalog says of a table that consists of these files."""
    newest = None
    if table.instant and files:
        paths = ", ".join(literal(str(path)) for path in _paths(batch, files))
        query = f"select strftime(max({quoted(table.instant)}), '%Y-%m-%dT%H:%M:%S+00:00') from read_parquet([{paths}])"
        newest = batch.database.execute(query).fetchall()[0][0]
    rows = sum(file["rows"] for file in files)
    return {"rows": rows, "sha256": files_digest(files), "newest": newest, "files": files} | more


def _paths(batch: Batch, files: list[dict[str, Any]]) -> list[Path]:
    """Where files lie now: written aside in this ingest, or published by an earlier one."""
    aside = batch.aside / "tables"
    return [aside / f["path"] if (aside / f["path"]).exists() else batch.workspace.tables / f["path"] for f in files]


def derive_missing_items(batch: Batch) -> dict[str, Any] | None:
    """Items of the purchases, where there is no table of items; None if there is one, or there are no purchases."""
    entry, purchases = batch.catalog.get("items"), batch.catalog.get("purchases")
    if (
        batch.settings.sources.get("items")
        or (entry and not entry.get("derived"))
        or not (purchases and purchases["files"])
    ):
        return None
    batch.tell("items: deriving them from purchases")
    _view_files(batch, "purchases_now", _paths(batch, purchases["files"]))
    sources = batch.settings.sources.get("purchases", ())
    mapped = {column for source in sources for column in source.item_columns}
    lines = "(from judged_purchases where _reason is null)" if sources else None
    query = derive_items(batch.database, lines, mapped)
    table = TABLES["items"]
    (file,) = write_sorted(batch.database, query, table.schema, batch.aside / "tables" / "items")
    file["path"] = f"items/{file['path']}"
    if not entry or entry["files"] != [file]:
        batch.catalog["items"] = _entry(batch, table, [file], derived=True)
    batch.ingests["items"] = {"clock": batch.clock.isoformat(), "file": None, "reasons": {}} | dict.fromkeys(COUNTS, 0)
    return dict.fromkeys(COUNTS, 0) | {"reasons": {}, "rows": file["rows"], "derived": True, "sources": []}
