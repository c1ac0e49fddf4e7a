"""What is new among judged rows, and the Parquet files that a table then consists of.

A row whose key is new, or whose content differs from what is stored, is accepted; the rest is duplicate. Only the parts
(months of purchases; other tables are one part) in which something changed are written anew, sorted by key, so the same rows give
the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from flows.checks import CONFLICT
from flows.csv_lines import LINE
from flows.sources import FILE, literal, quoted
from flows.workspace import checksum
from recsys.tables import Table

ROW_GROUP = 1 << 17
PLACE = ("_source", FILE, LINE)  # names one row that came in
# Of two rows with one key the first that came is kept; of two consents given at one instant, the refusal.
PREFERRED = {"consents": "granted"}


def split_repeats(database: duckdb.DuckDBPyConnection, table: Table) -> None:
    """judged_T → verdict_T (place and _verdict of repeats) and first_T (rows to compare with what is stored).

    Of the rows with one key the first is kept; others with the same content are `duplicate`, the rest CONFLICT.
    """
    name, columns = table.name, _names(table.schema.names)
    order = ", ".join([*([PREFERRED[name]] if name in PREFERRED else []), *PLACE])
    content = f"row({columns})"
    repeated = f"(select {_names(table.key)} from judged_{name} where _reason is null group by all having count(*) > 1)"
    database.execute(
        f"""create table verdict_{name} as
        with placed as (
            select {_names(PLACE)}, row_number() over one_key as _place,
                first_value({content}) over one_key is not distinct from {content} as _same
            from judged_{name} as j
            where _reason is null and exists (from {repeated} as r where {_equal("j", "r", table.key)})
            window one_key as (partition by {_names(table.key)} order by {order})
        )
        select {_names(PLACE)}, if(_same, 'duplicate', '{CONFLICT}') as _verdict from placed where _place > 1"""
    )
    database.execute(
        f"""create table first_{name} as select {_names(PLACE)}, {columns} from judged_{name} as j
        where _reason is null and not exists (from verdict_{name} as v where {_equal("j", "v", PLACE)})"""
    )


def compare_with_stored(database: duckdb.DuckDBPyConnection, table: Table) -> None:
    """first_T and stored_T → accepted_T (with _state new | updated and the _part that a replaced row was in); the
    others are added to verdict_T as duplicate."""
    name = table.name
    database.execute(
        f"""create table compared_{name} as
        select f.*, {part(table, "s")} as _was_in, case
            when s._stored is null then 'new' when {_equal("f", "s", table.schema.names)} then 'same' else 'updated' end as _state
        from first_{name} as f left join (select *, true as _stored from stored_{name}) as s on {_equal("f", "s", table.key)}"""
    )
    database.execute(
        f"insert into verdict_{name} select {_names(PLACE)}, 'duplicate' from compared_{name} where _state = 'same'"
    )
    database.execute(f"create table accepted_{name} as from compared_{name} where _state <> 'same'")
    database.execute(f"drop table compared_{name}")
    database.execute(f"drop table first_{name}")


def part(table: Table, relation: str) -> str:
    """SQL of the part in which a row is stored."""
    return f"strftime({relation}.occurred_at, '%Y-%m')" if table.name == "purchases" else "'all'"


def write_parts(
    database: duckdb.DuckDBPyConnection, table: Table, files: Sequence[dict[str, Any]], stored: Path, aside: Path
) -> list[dict[str, Any]]:
    """Writes the parts that accepted_T changes into `aside`; returns the table's files from now on, in order of their parts.

    files: what the catalog says of the table's files now, lying in `stored`.
    """
    name, keys = table.name, _names(table.key)
    changed = database.execute(
        f"""select {part(table, "a")} from accepted_{name} as a
        union select _was_in from accepted_{name} where _state = 'updated'"""
    ).fetchall()
    kept = {file["part"]: file for file in files}
    for (one,) in sorted(changed):
        rows = f"select {_names(table.schema.names)} from accepted_{name} as a where {part(table, 'a')} = {literal(one)}"
        if one in kept:
            rows += f""" union all select {_names(table.schema.names)}
                from read_parquet({literal(str(stored / kept.pop(one)["path"]))}) as s
                where not exists (from accepted_{name} as a where a._state = 'updated' and {_equal("a", "s", table.key)})"""
        written = write_sorted(database, f"from ({rows}) order by {keys}", table.schema, aside / name, one)
        if written["rows"]:
            kept[one] = {**written, "path": f"{name}/{written['path']}"}
    return [kept[one] for one in sorted(kept)]


def write_sorted(
    database: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema, folder: Path, name: str
) -> dict[str, Any]:
    """Streams a query's rows into folder/NAME-CHECKSUM.parquet, in row groups of one size.

    Returns part, path (in the folder), rows and sha256.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name}.parquet"
    rows, waiting, held = 0, [], 0
    reader = database.execute(query).to_arrow_reader(ROW_GROUP)
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in reader:
            waiting.append(batch)
            held += batch.num_rows
            rows += batch.num_rows
            if held >= ROW_GROUP:
                table = pa.Table.from_batches(waiting).cast(schema)
                writer.write_table(table.slice(0, ROW_GROUP))
                waiting, held = table.slice(ROW_GROUP).to_batches(), held - ROW_GROUP
        if held:
            writer.write_table(pa.Table.from_batches(waiting).cast(schema))
    digest = checksum(path)
    target = path.rename(folder / f"{name}-{digest[:16]}.parquet")
    return {"part": name, "path": target.name, "rows": rows, "sha256": digest}


def _names(columns: Sequence[str]) -> str:
    return ", ".join(quoted(column) for column in columns)


def _equal(left: str, right: str, columns: Sequence[str]) -> str:
    return " and ".join(f"{left}.{quoted(c)} is not distinct from {right}.{quoted(c)}" for c in columns)
