"""The rows that were refused, each with its reason and as it stood in its source: one Parquet file for each table."""

from __future__ import annotations  # see flows/ingest.py

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from flows.intake.checks import CONFLICT, LEFT_OUT
from flows.intake.csv_lines import LINE, TEXT
from flows.intake.sources import FILE, Staged, literal, quoted
from flows.intake.upsert import write_sorted
from recsys.tables import Table

QUARANTINE = pa.schema(
    [
        ("source", pa.int32()),  # of the table's sources in larisma.toml, from 1
        ("file", pa.string()),  # `query` for a row from a database
        ("row", pa.int64()),  # CSV: the line where it starts, the header's being 1; else the row, from 1
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("raw", pa.string()),  # JSON of the source's columns, or {"line": …} as it stands
    ]
)


def write_quarantine(
    database: duckdb.DuckDBPyConnection, table: Table, staged: Sequence[Staged], folder: Path
) -> dict[str, Any] | None:
    """Writes folder/TABLE/TABLE-CHECKSUM.parquet; returns its path in the folder, rows and sha256; None if all is
    well."""
    name = table.name
    keys = " || ', ' || ".join(f"coalesce({quoted(column)}::varchar, '–')" for column in table.key)
    same_row = f"j._source = v._source and j.{FILE} = v.{FILE} and j.{LINE} = v.{LINE}"
    database.execute(
        f"""create table refused_{name} as
        select _source, {FILE}, {LINE}, _reason, _problem from judged_{name} where _reason <> '{LEFT_OUT}'
        union all select j._source, j.{FILE}, j.{LINE}, '{CONFLICT}', {literal(", ".join(table.key) + ": ")} || {keys}
        from judged_{name} as j join verdict_{name} as v on {same_row} where v._verdict = '{CONFLICT}'"""
    )
    if not database.execute(f"select count(*) from refused_{name}").fetchall()[0][0]:
        return None
    parts = []
    for number, source in enumerate(staged, start=1):
        fields = ", ".join(f"{literal(column)}, s.{quoted(column)}" for column in source.columns)
        raw = f"if(s.{TEXT} is null, json_object({fields}), json_object('line', s.{TEXT}))"
        parts.append(
            f"""select {number} as source, s.{FILE} as file, s.{LINE} as row, r._reason as reason, r._problem as detail,
                {raw}::varchar as raw
            from {source.relation} as s join refused_{name} as r on s.{FILE} = r.{FILE} and s.{LINE} = r.{LINE}
            where r._source = {number}"""
        )
    query = f"select *, '{name}' as _part from ({' union all '.join(parts)}) order by source, file, row"
    (file,) = write_sorted(database, query, QUARANTINE, folder / name)
    return {"path": f"{name}/{file['path']}", "rows": file["rows"], "sha256": file["sha256"]}
