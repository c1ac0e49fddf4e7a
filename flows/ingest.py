"""Ingest: the sources of larisma.toml → checked tables, published all together or not at all.

For each table and source: rows read = left out + accepted + duplicate + quarantined, exactly.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import SecretStr

from flows.accounting import COUNTS, accounting_markdown, balance, stop_if_too_many
from flows.checks import CONFLICT, LEFT_OUT, all_reasons, judge_rows
from flows.csv_lines import LINE
from flows.database import DatabaseUnreachable, run_query
from flows.derived_items import derive_items
from flows.mapping import duck_type, like
from flows.quarantine import write_quarantine
from flows.settings import Settings, Source, load_settings
from flows.sources import FILE, Staged, first_line, literal, quoted, stage_files, stage_query
from flows.upsert import compare_with_stored, split_repeats, write_parts, write_sorted
from flows.workspace import (
    TABLES,
    Workspace,
    move_in,
    open_workspace,
    publish_catalog,
    read_catalog,
    read_ingests,
    taking_in,
)
from recsys.tables import InputError, Table

log = logging.getLogger("larisma")
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


def stage_database(
    database: duckdb.DuckDBPyConnection, source: Source, url: SecretStr | None, key: str, relation: str
) -> Staged:
    """Runs a source's query. Raises InputError, or DatabaseUnreachable where trying again may help."""
    given = source.url or url
    if given is None:
        raise InputError(
            f"larisma.toml: {key}: a query needs the database's URL: set {key}.url or LARISMA_DATABASE_URL"
        )
    with run_query(given.get_secret_value(), str(source.query), key) as reader:
        return stage_query(database, reader.schema, reader, key, relation)


def ingest_tables(
    workspace: Workspace,
    settings: Settings,
    clock: datetime,
    on_progress: Callable[[str], None] | None = None,
    *,
    stage_database: Callable[..., Staged] = stage_database,
) -> dict[str, Any]:
    """Takes in every source of larisma.toml, and returns what became of its rows.

    clock: rows dated later are refused. Returns table → {read, left_out, accepted, updated (of the accepted), duplicate,
    quarantined, reasons: {reason: rows}, rows (in the table now), sources: [the same counts of each source]}; a table derived
    from others has read 0 and derived true.
    Raises InputError, and leaves the workspace as it was, if a source cannot be read, the mapping is wrong, or one reason takes more
    than its share of the rows.
    """
    if clock.tzinfo is None:
        raise InputError(f"clock {clock}: expected a time zone, such as {clock.isoformat()}+07:00")
    if not settings.sources:
        raise InputError(f"{workspace.settings_file}: no sources; say where the purchases are in [sources.purchases]")
    reasons = all_reasons(clock)
    for name in settings.ingest.stop_share:
        if name != "default" and name not in reasons:
            raise InputError(f"larisma.toml: ingest.stop_share.{name}: no such reason{like(name, reasons)}")
    with taking_in(workspace) as aside, _engine(settings, aside) as database:
        batch = Batch(
            database, workspace, settings, clock.astimezone(UTC), aside, on_progress or log.info, stage_database,
            read_catalog(workspace), read_ingests(workspace),
        )  # fmt: skip
        summary = {}
        for name, table in TABLES.items():
            _view_stored(batch, table)
            if settings.sources.get(name):
                summary[name] = _take_in(batch, table)
            _learn_ids(batch, name)
        if items := _derive_items(batch):
            summary["items"] = items
        batch.tell("publishing")
        _publish(batch)
    return summary


@contextmanager
def _engine(settings: Settings, aside: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB on a file of its own, so that what exceeds memory_limit goes to disk."""
    config = {
        "memory_limit": settings.ingest.memory_limit,
        "threads": str(settings.ingest.threads),
        "temp_directory": str(aside / "spill"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(str(aside / "engine.duckdb"), config=config) as database:
        try:
            yield database
        except duckdb.OutOfMemoryException as error:
            limit = settings.ingest.memory_limit
            raise InputError(f"larisma.toml: ingest.memory_limit: {limit} is not enough for these sources") from error


def _view_stored(batch: Batch, table: Table) -> None:
    """stored_T: the table's rows as they are published now."""
    files = batch.catalog.get(table.name, {}).get("files", [])
    if files:
        _view_files(batch, f"stored_{table.name}", [batch.workspace.tables / file["path"] for file in files])
    else:
        batch.database.register(f"stored_{table.name}", table.schema.empty_table())


def _view_files(batch: Batch, view: str, paths: list[Path]) -> None:
    listed = ", ".join(literal(str(path)) for path in paths)
    batch.database.execute(f"create view {view} as from read_parquet([{listed}])")


def _learn_ids(batch: Batch, name: str) -> None:
    """known_T: the ids that rows of other tables may refer to; none where the table is derived, or has no rows and no source."""
    entry = batch.catalog.get(name)
    if name not in REFERRED or entry is None or (entry.get("derived") and not batch.settings.sources.get(name)):
        return
    key = TABLES[name].key[0]
    accepted = f"union select {key} from accepted_{name}" if batch.settings.sources.get(name) else ""
    batch.database.execute(f"create table known_{name} as select {key} from stored_{name} {accepted}")
    batch.known.add(name)


def _take_in(batch: Batch, table: Table) -> dict[str, Any]:
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
        query = f"select max({quoted(table.instant)})::timestamptz::varchar from read_parquet([{paths}])"
        newest = batch.database.execute(query).fetchall()[0][0]
    digest = hashlib.sha256("\n".join(file["sha256"] for file in files).encode()).hexdigest()
    rows = sum(file["rows"] for file in files)
    return {"rows": rows, "sha256": digest, "newest": newest, "files": files} | more


def _paths(batch: Batch, files: list[dict[str, Any]]) -> list[Path]:
    """Where files lie now: written aside in this ingest, or published by an earlier one."""
    aside = batch.aside / "tables"
    return [aside / f["path"] if (aside / f["path"]).exists() else batch.workspace.tables / f["path"] for f in files]


def _derive_items(batch: Batch) -> dict[str, Any] | None:
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


def _publish(batch: Batch) -> None:
    for folder, target in (("tables", batch.workspace.tables), ("quarantine", batch.workspace.quarantine)):
        for path in sorted((batch.aside / folder).rglob("*.parquet")):
            move_in(path, target / path.relative_to(batch.aside / folder))
    publish_catalog(batch.workspace, batch.catalog, batch.ingests)


# --- the flow --------------------------------------------------------------------------------------------------------


def _may_answer_later(_task: Any, _run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), DatabaseUnreachable)


read_database = task(
    name="read database",
    retries=3,
    retry_delay_seconds=[2, 10, 30],
    retry_condition_fn=_may_answer_later,
    cache_policy=NO_CACHE,
    persist_result=False,
)(stage_database)


@flow(name="ingest")
def ingest(workspace: str, clock: str | None = None) -> dict[str, Any]:
    """Takes in what is new from the sources of larisma.toml. clock: ISO 8601 with an offset; None = now."""
    place = open_workspace(Path(workspace))
    now = datetime.now(UTC) if clock is None else read_clock(clock)
    summary = ingest_tables(place, load_settings(place), now, stage_database=read_database)
    create_markdown_artifact(accounting_markdown(summary), key="ingest", description="What became of the rows")
    return summary


def read_clock(text: str) -> datetime:
    """Raises InputError for text that is not an instant with its offset."""
    try:
        clock = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"clock: expected an instant such as 2017-12-05T00:00:00+07:00, got {text!r}") from error
    return clock
