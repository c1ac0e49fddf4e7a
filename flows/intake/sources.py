"""The rows of one source, in DuckDB: CSV and Parquet files, or a PostgreSQL query; nothing is judged here."""

from __future__ import annotations  # see flows/ingest.py

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from flows.intake.csv_lines import DETAIL, FAULT, LINE, TEXT, open_csv
from flows.settings import Source
from recsys.tables import InputError

FILE = "_file"  # the name of the file a row is from
OWN = (FILE, LINE, FAULT, DETAIL, TEXT)  # columns that we add to a source's own
QUERY = "query"  # what stands for the file of a row from a database

ENDINGS = {"csv": "csv", "tsv": "csv", "txt": "csv", "parquet": "parquet", "pq": "parquet"}
COMPRESSED = (".gz", ".zst", ".bz2")


@dataclass(frozen=True)
class Staged:
    """A source as a DuckDB relation.

    key: where larisma.toml speaks of it. relation: its name; it has the source's columns and those of OWN.
    columns: the source's own, name → DuckDB type. rows: how many, counted while reading and not by the relation.
    lacking: file → columns that other files of the source have and it has not.
    """

    key: str
    relation: str
    columns: dict[str, str]
    rows: int
    lacking: dict[str, set[str]]


def quoted(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def find_files(source: Source, root: Path, key: str) -> list[Path]:
    """The files that a source's path means, in order of their names.

    Raises InputError if there are none, or they are not all CSV or all Parquet.
    """
    path = root / str(source.path)
    if path.is_dir():
        inside = (file for file in path.rglob("*") if file.is_file())
        files = [file for file in inside if _is_shown(file.relative_to(path)) and (source.format or _format(file))]
        missing = f"{key}.path: no CSV or Parquet files in the folder {source.path}"
    elif path.exists():
        files, missing = [path], ""
    elif glob.has_magic(str(source.path)):
        files = [Path(found) for found in glob.glob(str(path), recursive=True) if Path(found).is_file()]
        missing = f"{key}.path: no file matches {source.path}"
    else:
        files, missing = [], f"{key}.path: no such file or folder: {source.path} (looked in {root})"
    if not files:
        raise InputError(missing)
    return sorted(files)


def _is_shown(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def _format(path: Path) -> str | None:
    name = path.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return ENDINGS.get(name.rpartition(".")[2])


def stage_files(database: duckdb.DuckDBPyConnection, source: Source, root: Path, key: str, relation: str) -> Staged:
    """Makes the relation from CSV or Parquet files. Raises InputError if one of them cannot be read."""
    files = find_files(source, root, key)
    names = {file: str(file).removeprefix(f"{root}/") for file in files}
    formats = {source.format or _format(file) for file in files}
    if None in formats:
        odd = next(names[file] for file in files if not _format(file))
        raise InputError(f'{key}: {odd}: say what it is by format = "csv" or format = "parquet"')
    if len(formats) > 1:
        raise InputError(f"{key}.path: CSV and Parquet files together in {source.path}; make them two sources")
    stage = _stage_csv if formats == {"csv"} else _stage_parquet
    return stage(database, source, root, names, key, relation)


def _stage_csv(
    database: duckdb.DuckDBPyConnection, source: Source, root: Path, names: dict[Path, str], key: str, relation: str
) -> Staged:
    opened = {file: open_csv(file, f"{key}: {name}", source.encoding, source.delimiter) for file, name in names.items()}
    columns = list({column.lower(): column for file in opened.values() for column in file.columns}.values())
    own = [f"{FILE} varchar", f"{LINE} bigint", f"{FAULT} varchar", f"{DETAIL} varchar", f"{TEXT} varchar"]
    database.execute(f"create table {relation} ({', '.join([*(f'{quoted(c)} varchar' for c in columns), *own])})")
    rows, lacking = 0, {}
    for file, content in opened.items():
        present = {column.lower(): column for column in content.columns}
        absent = {column for column in columns if column.lower() not in present}
        if absent:
            lacking[names[file]] = absent
        values = [f"nullif({quoted(present[c.lower()])}, '')" if c.lower() in present else "null" for c in columns]
        values += [literal(names[file]), LINE, FAULT, DETAIL, TEXT]
        for batch in content.batches():
            rows += batch.num_rows
            _insert(database, relation, ", ".join(values), batch)
    return Staged(key, relation, dict.fromkeys(columns, "VARCHAR"), rows, lacking)


def _insert(database: duckdb.DuckDBPyConnection, relation: str, values: str, batch: pa.Table) -> None:
    database.register("arriving", batch)
    database.execute(f"insert into {relation} select {values} from arriving")
    database.unregister("arriving")


def _stage_parquet(
    database: duckdb.DuckDBPyConnection, source: Source, root: Path, names: dict[Path, str], key: str, relation: str
) -> Staged:
    schemas, rows = {}, 0
    for file, name in names.items():
        if file.stat().st_size == 0:
            raise InputError(f"{key}: {name}: the file is empty")
        try:
            with pq.ParquetFile(file) as content:
                schemas[name] = {column.lower() for column in content.schema_arrow.names}
                rows += content.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{key}: {name}: not a whole Parquet file (truncated, or another format): {first_line(error)}"
            ) from error
    paths = ", ".join(literal(str(file)) for file in names)
    prefix = literal(f"{root}/")
    database.execute(
        f"""create view {relation} as select * exclude (_path, file_row_number),
            case when starts_with(_path, {prefix}) then substr(_path, length({prefix}) + 1) else _path end as {FILE},
            file_row_number + 1 as {LINE}, null::varchar as {FAULT}, null::varchar as {DETAIL}, null::varchar as {TEXT}
        from read_parquet([{paths}], union_by_name = true, filename = '_path', file_row_number = true)"""
    )
    columns = describe(database, relation)
    in_paths = set(re.findall(r"/([^/=]+)=[^/]*", "".join(map(str, names))))  # Hive partitions: …/month=2017-12/…
    lacking = {
        name: {column for column in columns if column.lower() not in schema and column not in in_paths}
        for name, schema in schemas.items()
    }
    return Staged(key, relation, columns, rows, {name: absent for name, absent in lacking.items() if absent})


def stage_query(
    database: duckdb.DuckDBPyConnection, schema: pa.Schema, batches: Iterable[pa.RecordBatch], key: str, relation: str
) -> Staged:
    """Makes the relation from the batches that a database answers with."""
    values = [*map(quoted, schema.names), f"{literal(QUERY)} as {FILE}", LINE]
    values += [f"null::varchar as {column}" for column in (FAULT, DETAIL, TEXT)]
    database.register("arriving", schema.empty_table().append_column(LINE, pa.array([], pa.int64())))
    database.execute(f"create table {relation} as select {', '.join(values)} from arriving")
    rows = 0
    for batch in batches:
        numbers = pa.array(range(rows + 1, rows + batch.num_rows + 1), pa.int64())
        _insert(
            database, relation, ", ".join(values), pa.Table.from_batches([batch], schema).append_column(LINE, numbers)
        )
        rows += batch.num_rows
    return Staged(key, relation, describe(database, relation), rows, {})


def describe(database: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """A relation's columns and their types, without those of OWN."""
    rows = database.execute(f"describe {relation}").fetchall()
    return {name: kind for name, kind, *_ in rows if name not in OWN}


def first_line(error: BaseException) -> str:
    """What an error says, without the details below."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
