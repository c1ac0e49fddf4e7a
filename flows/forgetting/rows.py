"""A person's rows in Parquet files: their id becomes the pseudonym, what is personal is taken out, the rest stays.

Every row stays at its place, in its row group, so that counts, sums and blocks are what they were.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.forgetting.person import Person

IDS = ("customer_id", "person_id")
# Text that is somebody's own: what is left of it in a tombstone.
PERSONAL = ("name", "salutation", "email", "address", "recipient", "push_tokens", "subject", "body_html", "body_text",
            "payload", "text", "html", "city", "province", "birth_date", "unsubscribe_url")  # fmt: skip
RAW = "raw"  # a row of a source as it stood, in quarantine
LEAST = 4
BULKY = ("subject", "body_html", "body_text", "payload")  # of one customer only, so they are not searched for others


def rewrite_parquet(path: Path, person: Person, target: Path | None = None) -> bool:
    """Rewrites a file in place (or into target) if it holds anything of a person; whether it did."""
    if not holds(path, person):
        return False
    about = pq.ParquetFile(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}") if target is None else target
    with pq.ParquetWriter(aside, about.schema_arrow, compression="zstd", write_page_checksum=True) as writer:
        for number in range(about.num_row_groups):
            writer.write_table(without(about.read_row_group(number), person))
    if target is None:
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    return True


def without(table: pa.Table, person: Person) -> pa.Table:
    """The table with the person's rows as tombstones, and with their addresses taken out of all others."""
    own = own_rows(table, person)
    for place, field in enumerate(table.schema):
        column = table[field.name]
        if field.name in IDS:
            column = pc.if_else(_is(column, person.customer_id), pa.scalar(person.pseudonym, field.type), column)
        elif field.name in PERSONAL:
            column = pc.if_else(own, _nothing(field), column)
        if _texts(field) and field.name not in BULKY and field.name not in IDS:
            said = _mentions(column, person, field.name == RAW)
            for name in person.names:  # theirs in their own rows; elsewhere others may be called so
                said = pc.or_(
                    said, pc.and_(own, pc.fill_null(pc.match_substring(column, name, ignore_case=True), False))
                )
            column = pc.if_else(said, _nothing(field), column)
        elif _text_lists(field) and field.name not in PERSONAL:
            mentioned = _lists_mention(column, person)
            column = pc.if_else(mentioned, _nothing(field), column)
        table = table.set_column(place, field, column.cast(field.type))
    return table


def holds(path: Path, person: Person) -> bool:
    """Whether a file has a row of the person, or mentions an address of theirs; read one row group at a time."""
    about = pq.ParquetFile(path)
    schema = about.schema_arrow
    light = [field.name for field in schema if (_texts(field) or _text_lists(field)) and field.name not in BULKY]
    if not any(name in schema.names for name in IDS):
        light += [name for name in BULKY if name in schema.names]
    for number in range(about.num_row_groups if light else 0):
        table = about.read_row_group(number, columns=light)
        if pc.any(own_rows(table, person)).as_py():
            return True
        for field in table.schema:
            if field.name in IDS:
                found = _is(table[field.name], person.customer_id)
            else:
                column = table[field.name]
                texts = _texts(field)
                found = _mentions(column, person, field.name == RAW) if texts else _lists_mention(column, person)
            if pc.any(found).as_py():
                return True
    return False


def own_rows(table: pa.Table, person: Person) -> pa.ChunkedArray:
    """Which rows are the person's, by customer_id; none of a table that has no such column."""
    if "customer_id" in table.column_names:
        return _is(table["customer_id"], person.customer_id)
    return pa.chunked_array([pa.array([False] * table.num_rows, pa.bool_())])


def _is(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(column, pa.scalar(value, column.type)), False)


def _mentions(column: pa.ChunkedArray, person: Person, raw: bool = False) -> pa.ChunkedArray:
    found = pa.chunked_array([pa.array([False] * len(column), pa.bool_())])
    for needle in (*person.needles, *(_quoted(person) if raw else ())):
        one = pc.fill_null(pc.match_substring(column, needle, ignore_case=True), False)
        found = pc.or_(found, one)
    return found


def _quoted(person: Person) -> Sequence[str]:
    """Their id as a value of JSON, as quarantine keeps rows; one as short as a quantity finds others' rows too."""
    return (f'"{person.customer_id}"',) if len(person.customer_id) >= LEAST else ()


def _lists_mention(column: pa.ChunkedArray, person: Person) -> pa.ChunkedArray:
    secret = {one.lower() for one in person.needles}
    return pa.chunked_array(
        [
            pa.array([bool(row) and any(one and one.lower() in secret for one in row) for row in chunk.to_pylist()])
            if len(chunk)
            else pa.array([], pa.bool_())
            for chunk in column.chunks
        ],
        pa.bool_(),
    )


def _texts(field: pa.Field) -> bool:
    return pa.types.is_string(field.type) or pa.types.is_large_string(field.type)


def _text_lists(field: pa.Field) -> bool:
    return pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type)


def _nothing(field: pa.Field) -> pa.Scalar:
    """Null, or where a column may not be null an empty text."""
    if field.nullable or not _texts(field):
        return pa.scalar(None, field.type)
    return pa.scalar("", field.type)
