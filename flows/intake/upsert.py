"""What is new among judged rows, and the Parquet files that a table then consists of.

A row whose key is new, or whose content differs from what is stored, is accepted; the rest is duplicate. Only the parts
(months of purchases; other tables are one part) in which something changed are written anew, sorted by key, so the same
rows give the same bytes.
"""

from __future__ import annotations  # see flows/ingest.py

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.intake.checks import CONFLICT
from flows.intake.csv_lines import LINE
from flows.intake.sources import FILE, quoted
from flows.workspace import checksum
from recsys.tables import Table

ROW_GROUP = 1 << 17
PLACE = ("_source", FILE, LINE)  # names one row that came in
# Of two rows with one key the first that came is kept; of two consents given at one instant, the refusal.
PREFERRED = {"consents": "granted"}


def split_repeats(database: duckdb.DuckDBPyConnection, table: Table) -> None:
    """judged_T → verdict_T: place and _verdict of the rows whose key came before in this ingest.

    Of the rows with one key the first is kept; others with the same content are `duplicate`, the rest CONFLICT.
    """
    name, columns = table.name, _names(table.schema.names)
    order = ", ".join([*([PREFERRED[name]] if name in PREFERRED else []), *PLACE])
    content = f"row({columns})"
    repeated = f"select {_names(table.key)} from judged_{name} where _reason is null group by all having count(*) > 1"
    database.execute(
        f"""create table verdict_{name} as
        with placed as (
            select {_names(PLACE)}, row_number() over one_key as _place,
                first_value({content}) over one_key is not distinct from {content} as _same
            from judged_{name} as j
            where _reason is null and exists (from ({repeated}) as r where {_equal("j", "r", table.key)})
            window one_key as (partition by {_names(table.key)} order by {order})
        )
        select {_names(PLACE)}, if(_same, 'duplicate', '{CONFLICT}') as _verdict from placed where _place > 1"""
    )


def compare_with_stored(database: duckdb.DuckDBPyConnection, table: Table) -> None:
    """judged_T, verdict_T and stored_T → accepted_T, with _part (where the row goes), _was_in (where the row lies that
    it replaces) and _state (new | updated); rows that are stored just so are added to verdict_T as duplicate."""
    name = table.name
    same = _equal("j", "s", table.schema.names)
    database.execute(
        f"""create table compared_{name} as
        select {_names(PLACE)}, {", ".join(f"j.{quoted(column)}" for column in table.schema.names)},
            {part(table, "j")} as _part, {part(table, "s")} as _was_in,
            case when s._stored is null then 'new' when {same} then 'same' else 'updated' end as _state
        from judged_{name} as j
        left join (select *, true as _stored from stored_{name}) as s on {_equal("j", "s", table.key)}
        where j._reason is null and not exists (from verdict_{name} as v where {_equal("j", "v", PLACE)})"""
    )
    database.execute(
        f"insert into verdict_{name} select {_names(PLACE)}, 'duplicate' from compared_{name} where _state = 'same'"
    )
    database.execute(f"create view accepted_{name} as from compared_{name} where _state <> 'same'")


def part(table: Table, relation: str) -> str:
    """SQL of the part in which a row is stored."""
    return f"strftime({relation}.occurred_at, '%Y-%m')" if table.name == "purchases" else "'all'"


def write_parts(
    database: duckdb.DuckDBPyConnection, table: Table, files: Sequence[dict[str, Any]], aside: Path
) -> list[dict[str, Any]]:
    """Writes the parts that accepted_T changes into aside/T; returns the table's files from now on, in order of parts.

    files: what the catalog says of the table's files now.
    """
    name, columns = table.name, _names(table.schema.names)
    changed = f"""(select _part from accepted_{name}
        union select _was_in from accepted_{name} where _state = 'updated')"""
    gone = {one for (one,) in database.execute(f"from {changed}").fetchall()}
    query = f"""select {columns}, _part from (
            select {columns}, _part from accepted_{name}
            union all select {columns}, {part(table, "s")} from stored_{name} as s
            where {part(table, "s")} in {changed} and not exists (
                from accepted_{name} as a where a._state = 'updated' and {_equal("a", "s", table.key)})
        ) order by _part, {_names(table.key)}"""
    written = write_sorted(database, query, table.schema, aside / name) if gone else []
    kept = [file for file in files if file["part"] not in gone]
    fresh = [{**file, "path": f"{name}/{file['path']}"} for file in written]
    return sorted([*kept, *fresh], key=lambda file: file["part"])


def write_sorted(
    database: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema, folder: Path
) -> list[dict[str, Any]]:
    """Streams rows that come in order of their _part into folder/PART-CHECKSUM.parquet, in row groups of one size.

    Returns part, path (in the folder), rows and sha256 of each file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    batches = database.sql(query).to_arrow_reader(ROW_GROUP)
    files = []
    for one, group in groupby(_runs(batches), key=itemgetter(0)):
        path, waiting = folder / f".{one}.parquet", schema.empty_table()
        rows = 0
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            for _, run in group:
                waiting = pa.concat_tables([waiting, run.cast(schema)])
                rows += run.num_rows
                while waiting.num_rows >= ROW_GROUP:
                    writer.write_table(waiting.slice(0, ROW_GROUP))
                    waiting = waiting.slice(ROW_GROUP)
            if waiting.num_rows:
                writer.write_table(waiting)
        digest = checksum(path)
        target = path.rename(folder / f"{one}-{digest[:16]}.parquet")
        files.append({"part": one, "path": target.name, "rows": rows, "sha256": digest})
    return files


def _runs(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
    """Each stretch of rows with the same _part, without that column."""
    for batch in batches:
        ends = pc.run_end_encode(batch.column("_part"))
        start = 0
        for end, one in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
            yield one, pa.Table.from_batches([batch.slice(start, end - start)]).drop_columns(["_part"])
            start = end


def _names(columns: Sequence[str]) -> str:
    return ", ".join(quoted(column) for column in columns)


def _equal(left: str, right: str, columns: Sequence[str]) -> str:
    return " and ".join(f"{left}.{quoted(c)} is not distinct from {right}.{quoted(c)}" for c in columns)
