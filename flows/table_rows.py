"""A stored table changed otherwise than by an ingest: rows added that mail systems sent back, or rows rewritten."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flows.intake.sources import literal, quoted
from flows.intake.upsert import part, write_sorted
from flows.workspace import Workspace, files_digest, move_in, publish_catalog, read_catalog, table_files, taking_in
from recsys.tables import Table


def add_rows(place: Workspace, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Adds the rows whose keys are new, and returns how many; those that are known stay as they are.

    Raises InputError while an ingest is running.
    """
    listed = [{name: row.get(name) for name in table.schema.names} for row in rows]
    given = pa.Table.from_pylist(listed, schema=table.schema)
    keys = ", ".join(map(quoted, table.key))
    same = " and ".join(f"s.{quoted(key)} is not distinct from g.{quoted(key)}" for key in table.key)
    columns = ", ".join(map(quoted, table.schema.names))
    with taking_in(place) as aside, stored_rows(place, table) as database:
        database.register("given", given)
        database.execute(
            f"""create table fresh as select {columns} from given as g
            where not exists (from stored as s where {same})
            qualify row_number() over (partition by {keys}) = 1"""
        )
        ((fresh,),) = database.execute("select count(*) from fresh").fetchall()
        if fresh:
            query = f"select {columns} from (select {columns} from stored union all select {columns} from fresh)"
            put_rows(place, table, database, query, aside)
    return fresh


@contextmanager
def stored_rows(place: Workspace, table: Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine in which `stored` is the table as it is published."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": "1",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(":memory:", config=config) as database:
        database.execute("set TimeZone = 'UTC'")
        database.execute("set enable_progress_bar = false")
        files = table_files(place, table.name)
        if files:
            listed = ", ".join(literal(str(path)) for path in files)
            database.execute(f"create view stored as from read_parquet([{listed}])")
        else:
            database.register("stored", table.schema.empty_table())
        yield database


def put_rows(
    place: Workspace, table: Table, database: duckdb.DuckDBPyConnection, query: str, aside: Path
) -> dict[str, Any]:
    """Makes a query's rows the table, in one step; returns its entry in the catalog. To be called while taking in."""
    name, columns = table.name, ", ".join(map(quoted, table.schema.names))
    keys = ", ".join(map(quoted, table.key))
    ordered = f"select {columns}, {part(table, 'r')} as _part from ({query}) as r order by _part, {keys}"
    files = write_sorted(database, ordered, table.schema, aside / "tables" / name)
    for file in files:
        move_in(aside / "tables" / name / file["path"], place.tables / name / file["path"])
        file["path"] = f"{name}/{file['path']}"
    newest = None
    if table.instant and files:
        paths = ", ".join(literal(str(place.tables / file["path"])) for file in files)
        latest = (
            f"select strftime(max({quoted(table.instant)}), '%Y-%m-%dT%H:%M:%S+00:00') from read_parquet([{paths}])"
        )
        ((newest,),) = database.execute(latest).fetchall()
    catalog = read_catalog(place)
    entry = {"rows": sum(file["rows"] for file in files), "sha256": files_digest(files), "newest": newest}
    catalog[name] = {**catalog.get(name, {}), **entry, "files": files}
    publish_catalog(place, catalog)
    return catalog[name]
