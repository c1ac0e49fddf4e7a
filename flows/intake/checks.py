"""The rules that a row must meet, and the reason under which it goes to quarantine when it does not.

The order is fixed, and the first rule that fails names the reason: the line as a whole, what is missing, its date, its
kind and amounts, what cannot be parsed, then ids that nobody knows. Two lines with one key and different content come
last.
"""

from __future__ import annotations  # see flows/ingest.py

from dataclasses import dataclass
from datetime import datetime

import duckdb

from campaigns.tables import CODE
from flows.intake.csv_lines import DETAIL, FAULT, LINE
from flows.intake.mapping import Mapped, Scalar, as_column, duck_type, like, read_expression
from flows.intake.sources import FILE, Staged, literal, quoted
from flows.settings import Source
from flows.workspace import TABLES
from recsys.tables import PURCHASE_KINDS, RESTRICTIONS, InputError, Table

FAULTS = ("malformed_line", "broken_utf8")  # found while reading, see flows/csv_lines.py
CONFLICT = "conflicting_line"  # the key of an earlier row of the same ingest, with other content
LEFT_OUT = "left_out"  # does not meet the source's `where`; no fault

# reason, column, what its value must not be
OF_TABLE: dict[str, tuple[tuple[str, str, str], ...]] = {
    "purchases": (
        ("unknown_kind", "kind", f"not in {PURCHASE_KINDS}"),
        ("non_positive_quantity", "quantity", "<= 0"),
        ("negative_amount", "amount", "< 0"),
        ("negative_discount", "discount", "< 0"),
    ),
    "items": (
        ("negative_price", "price", "< 0"),
        ("margin_rate_beyond_0_to_1", "margin_rate", "not between 0 and 1"),
        ("negative_stock", "stock", "< 0"),
        ("unknown_restriction", "restriction", f"not in {RESTRICTIONS}"),
    ),
    "customers": (("unknown_timezone", "timezone", "not in (select name from pg_timezone_names())"),),
    "codes": (("unreadable_code", "code", f"not similar to {literal(CODE.strip('^$'))}"),),
    "price_history": (("negative_price", "price", "< 0"),),
}
# column → others that will do in its place
INSTEAD: dict[str, dict[str, tuple[str, ...]]] = {
    "silences": {"customer_id": ("city",)},
    "feedback": {"message_id": ("campaign_id", "customer_id")},
}
REFERENCES = {"item_id": "items", "customer_id": "customers"}
DERIVED_ID = "line_id"  # made from a line's content where the source has none
CONTENT = ("order_id", "customer_id", "item_id", "occurred_at", "kind", "quantity", "amount")


@dataclass(frozen=True)
class Rule:
    """condition: SQL that is true of a row that fails. column: the one to blame, None = the whole line."""

    reason: str
    condition: str
    column: str | None = None


def rules(table: Table, clock: datetime, known: frozenset[str] = frozenset(TABLES)) -> list[Rule]:
    """A table's rules in their order, over the columns that judge_rows makes.

    clock: a row dated later is refused. known: tables whose rows are known, so that references to them are checked.
    """
    found = [Rule(fault, f"{FAULT} = {literal(fault)}") for fault in FAULTS]
    found += [
        Rule(f"missing_{name}", f"{_value(name)} is null and not {_unparsable(name)}", name) for name in table.required
    ]
    for name, others in INSTEAD.get(table.name, {}).items():
        absent = " or ".join(f"{_value(other)} is null" for other in others)
        found.append(Rule(f"missing_{name}", f"{_value(name)} is null and ({absent})", name))
    if table.instant:
        instant = table.instant
        found.append(Rule("unparsable_date", _unparsable(instant), instant))
        found.append(Rule("future_date", f"{_value(instant)} > timestamptz {literal(clock.isoformat())}", instant))
    for reason, name, wrong in OF_TABLE.get(table.name, ()):
        found.append(Rule(reason, f"{_value(name)} {wrong}", name))
    found += [
        Rule(f"unparsable_{name}", _unparsable(name), name) for name in table.schema.names if name != table.instant
    ]
    for name, other in REFERENCES.items():
        if name in table.schema.names and other != table.name and other in known:
            stranger = f"{_value(name)} not in (select {name} from known_{other})"
            found.append(Rule(f"unknown_{other[:-1]}", f"{_value(name)} is not null and {stranger}", name))
    return found


def all_reasons(clock: datetime) -> list[str]:
    """Every reason there is, over all tables."""
    return sorted({rule.reason for table in TABLES.values() for rule in rules(table, clock)} | {CONFLICT})


def _given(name: str) -> str:
    return quoted(f"_given_{name}")


def _value(name: str) -> str:
    return quoted(f"_value_{name}")


def _unparsable(name: str) -> str:
    return quoted(f"_unparsable_{name}")


def judge_rows(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    source: Source,
    staged: Staged,
    clock: datetime,
    known: frozenset[str],
) -> str:
    """SQL of a source's rows as ours: _file, _row, the table's columns, item_… columns, _reason and _problem.

    _reason is null for a row that meets every rule, and LEFT_OUT for one that does not meet `where`.
    Raises InputError if the source lacks a column, or the mapping is wrong.
    """
    columns = _map_columns(database, table, source, staged)
    derived = _map_item_columns(database, source, staged)
    given = [f"{column.given} as {_given(name)}" for name, column in {**columns, **derived}.items()]
    kept = "true"
    if source.where is not None:
        where = read_expression(database, source.where, f"{staged.key}.where", staged)
        if where.kind != "BOOLEAN":
            raise InputError(f"larisma.toml: {staged.key}.where: expected a condition, got {source.where!r}")
        kept = " or ".join(
            [f"coalesce({where.sql}, false)", *where.failed]
        )  # what cannot be judged stays, for the rules
    values, unparsable = [], []
    for field in table.schema:
        column = columns.get(field.name)
        nothing = "''" if field.name == DERIVED_ID else "null"
        values.append(f"{column.value if column else nothing} as {_value(field.name)}")
        unparsable.append(
            f"{f'coalesce({column.unparsable}, false)' if column else 'false'} as {_unparsable(field.name)}"
        )
    values += [f"{column.value} as {_value(name)}" for name, column in derived.items()]
    reasons, details = [], []
    for rule in rules(table, clock, known):
        reasons.append(f"when {rule.condition} then {literal(rule.reason)}")
        if rule.column in columns:
            shown = f"{literal(f'{rule.column}: ')} || {columns[rule.column].shown}"
            details.append(f"when {literal(rule.reason)} then {shown}")
    results = [f"{_value(field.name)}::{duck_type(field.type)} as {quoted(field.name)}" for field in table.schema]
    if table.name == "purchases" and DERIVED_ID not in columns:
        parts = [f"epoch_us({_value(n)})" if n == table.instant else _value(n) for n in CONTENT]
        content = f"concat_ws(chr(31), {', '.join(parts)})"
        results[table.schema.names.index(DERIVED_ID)] = f"left(sha256({content}), 32) as {DERIVED_ID}"
    results += [f"{_value(name)} as {quoted(name)}" for name in derived]
    return f"""
        with given as (select *, {", ".join(given)}, ({kept}) as _kept from {staged.relation}),
        typed as (select *, {", ".join(values)}, {", ".join(unparsable)} from given),
        judged as (
            select *, case when {FAULT} is null and not _kept then '{LEFT_OUT}' {" ".join(reasons)} end as _reason
            from typed
        )
        select {FILE}, {LINE}, {", ".join(results)}, _reason,
            case _reason {" ".join(details)} else {DETAIL} end as _problem
        from judged"""


def _map_columns(
    database: duckdb.DuckDBPyConnection, table: Table, source: Source, staged: Staged
) -> dict[str, Mapped]:
    for name in source.columns:
        if name not in table.schema.names:
            ours = table.schema.names
            raise InputError(
                f"larisma.toml: {staged.key}.columns.{name}: {table.name} has no such column{like(name, ours)}; "
                f"it has {', '.join(ours)}"
            )
    scalars, missing = {}, []
    by_name = {name.lower(): name for name in staged.columns}
    for field in table.schema:
        if field.name in source.columns:
            key = f"{staged.key}.columns.{field.name}"
            scalars[field.name] = read_expression(database, source.columns[field.name], key, staged)
        elif field.name in by_name:
            name = by_name[field.name]
            scalars[field.name] = Scalar(quoted(name), (), (name,), staged.columns[name])
        elif not field.nullable and (table.name, field.name) != ("purchases", DERIVED_ID):
            missing.append(field.name)
    if missing:
        raise InputError(
            f"{staged.key}: the source lacks {', '.join(missing)}; it has {', '.join(staged.columns)}; "
            f"say what stands for {'it' if len(missing) == 1 else 'them'} in [{staged.key}.columns] of larisma.toml"
        )
    used = {name for scalar in scalars.values() for name in scalar.uses}
    for file, absent in staged.lacking.items():
        if lost := sorted(used & absent):
            raise InputError(f"{staged.key}: {file} lacks {', '.join(lost)}, which other files of this source have")
    return {
        field.name: as_column(scalars[field.name], field, f"{staged.key}.columns.{field.name}", _given(field.name))
        for field in table.schema
        if field.name in scalars
    }


def _map_item_columns(database: duckdb.DuckDBPyConnection, source: Source, staged: Staged) -> dict[str, Mapped]:
    """Columns of items to derive from purchase lines, named item_…"""
    items = TABLES["items"].schema
    derived = {}
    for name, text in source.item_columns.items():
        key = f"{staged.key}.item_columns.{name}"
        if name not in items.names or name == "item_id":
            raise InputError(f"larisma.toml: {key}: items has no such column to derive{like(name, items.names)}")
        scalar = read_expression(database, text, key, staged)
        derived[f"item_{name}"] = as_column(scalar, items.field(name), key, _given(f"item_{name}"))
    return derived
