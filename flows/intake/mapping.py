"""The column mapping of larisma.toml: expressions over a source's columns → SQL that gives our columns in their types.

An expression is the retailer's own, yet it must be one scalar expression: no subqueries, no aggregates, no functions
that read files or change from run to run. It cannot fail on a row: what does not fit is null, and `unparsable` tells it
from what is missing.
"""

from __future__ import annotations  # see flows/ingest.py

import difflib
import json
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from flows.intake.sources import Staged, first_line, quoted
from recsys.tables import InputError

MONEY_COLUMNS = ("amount", "discount", "price")  # rounded to whole rupiah, halves away from zero
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
FRACTIONS = ("FLOAT", "DOUBLE")
DATE_FORMATS = ["%Y%m%d", "%Y%m%dT%H%M%S", "%Y-%m-%d %H", "%Y.%m.%d", "%Y.%m.%d %H:%M:%S"]  # beside ISO 8601
ZONED_FORMATS = ["%Y-%m-%d %H:%M:%S %z", "%Y%m%dT%H%M%S%z"]
EARLIEST = "1900-01-01"  # an earlier instant is a placeholder, not a date

ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Abs, exp.Round, exp.Floor, exp.Ceil)
COMPARISON = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In)
FORBIDDEN = (
    *(exp.Query, exp.DDL, exp.DML, exp.Command, exp.Table, exp.Window, exp.AggFunc),
    *(exp.Star, exp.Columns, exp.Alias, exp.Placeholder, exp.Parameter, exp.Lambda),
)


@dataclass(frozen=True)
class Scalar:
    """A checked expression as SQL that is null where it fails.

    failed: SQL conditions; one that is true says that something in it was there, but not of the type it is used as.
    uses: columns of the source. kind: the DuckDB type.
    """

    sql: str
    failed: tuple[str, ...]
    uses: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class Mapped:
    """One of our columns, in two steps of SQL.

    given: what the source says, over its columns; it is then known by the name that as_column was told.
    value: that in our type, or null. unparsable: the condition that there was something, but it does not fit.
    shown: what there was, as text.
    """

    given: str
    value: str
    unparsable: str
    shown: str


def like(name: str, names: list[str]) -> str:
    """A hint at the name that was probably meant."""
    near = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def read_expression(database: duckdb.DuckDBPyConnection, text: str, key: str, staged: Staged) -> Scalar:
    """Checks one expression of larisma.toml against a source. Raises InputError naming its key."""
    by_name = {name.lower(): name for name in staged.columns}
    if text.lower() in by_name:  # a column's bare name, also one with blanks
        name = by_name[text.lower()]
        return Scalar(quoted(name), (), (name,), staged.columns[name])
    tree = _parse(text, key)
    uses = []
    for column in tree.find_all(exp.Column):
        if column.table or column.name.lower() not in by_name:
            found = ", ".join(staged.columns)
            raise InputError(
                f"larisma.toml: {key}: no column {column.sql('duckdb')} in the source"
                f"{like(column.name, list(staged.columns))}; it has {found}"
            )
        column.set("this", exp.to_identifier(by_name[column.name.lower()], quoted=True))
        uses.append(column.name)
    failed: list[str] = []
    root = exp.Paren(this=tree)
    for node in reversed(list(tree.walk())):  # children before their parents
        if isinstance(node, (*ARITHMETIC, *COMPARISON)):
            _read_as_numbers(database, node, staged, failed)
        elif type(node) is exp.Cast:
            cast = exp.TryCast(this=node.this.copy(), to=node.args["to"].copy())
            failed.append(f"({node.this.sql('duckdb')} is not null and {cast.sql('duckdb')} is null)")
            node.replace(cast)
    sql = f"try({root.sql('duckdb')})"
    _check_functions(database, sql, key)
    return Scalar(sql, tuple(failed), tuple(uses), _kind(database, sql, key, staged))


def _parse(text: str, key: str) -> exp.Expr:
    try:
        trees = sqlglot.parse(text, dialect="duckdb")
        if any(token.text == "~" for token in sqlglot.tokenize(text, dialect="duckdb")):
            raise InputError(f"larisma.toml: {key}: use regexp_matches(text, pattern) for ~, in {text!r}")
    except SqlglotError as error:
        raise InputError(f"larisma.toml: {key}: not a SQL expression: {text!r}") from error
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        raise InputError(f"larisma.toml: {key}: expected one SQL expression, got {text!r}")
    if isinstance(tree, exp.Alias):
        hint = f"'\"{text}\"'"
        raise InputError(f"larisma.toml: {key}: no column {text!r} in the source; write a name with blanks as {hint}")
    if any(isinstance(node, FORBIDDEN) for node in tree.walk()):
        raise InputError(
            f"larisma.toml: {key}: expected one value for each row (no subquery, aggregate, window or statement), "
            f"got {text!r}"
        )
    return tree


def _read_as_numbers(database: duckdb.DuckDBPyConnection, node: exp.Expr, staged: Staged, failed: list[str]) -> None:
    """Text in a sum, or compared with a number, is read as a number; so CSV and Parquet behave alike."""
    operands = [part for part in node.iter_expressions() if isinstance(part, exp.Expr)]
    kinds = [_kind(database, part.sql("duckdb"), "", staged) for part in operands]
    numeric = [kind.startswith((*NUMBERS, *FRACTIONS, "DECIMAL")) for kind in kinds]
    others = all(is_number or kind == "VARCHAR" for is_number, kind in zip(numeric, kinds, strict=True))
    if not others or (isinstance(node, COMPARISON) and not any(numeric)):
        return
    for part, kind in zip(operands, kinds, strict=True):
        if kind == "VARCHAR":
            sql = f"try_cast({part.sql('duckdb')} as double)"
            failed.append(f"({part.sql('duckdb')} is not null and {sql} is null)")
            part.replace(exp.TryCast(this=part.copy(), to=exp.DataType.build("double")))


def _kind(database: duckdb.DuckDBPyConnection, sql: str, key: str, staged: Staged) -> str:
    try:
        return database.execute(f"describe select {sql} from {staged.relation}").fetchall()[0][1]
    except duckdb.Error as error:
        if not key:
            return ""
        raise InputError(f"larisma.toml: {key}: {first_line(error)}") from error


def _check_functions(database: duckdb.DuckDBPyConnection, sql: str, key: str) -> None:
    """Only functions of this row's values alone: the engine's own reading of the expression is checked, not ours."""
    parsed = json.loads(database.execute("select json_serialize_sql(?)", [f"select {sql}"]).fetchall()[0][0])
    if parsed["error"]:
        raise InputError(f"larisma.toml: {key}: {parsed['error_message']}")
    called = sorted(set(_names(parsed, "function_name")))
    known = database.execute(
        """select function_name from duckdb_functions() where list_contains(?, function_name)
        group by function_name
        having bool_and(function_type = 'macro' or (function_type = 'scalar' and stability = 'CONSISTENT'))""",
        [called],
    ).fetchall()
    for name in called:
        if (name,) not in known:
            raise InputError(
                f"larisma.toml: {key}: {name}() cannot be used here: "
                "only functions of a row's own values, the same in each run"
            )


def _names(tree: object, key: str) -> list[str]:
    if isinstance(tree, dict):
        here = [tree[key]] if tree.get(key) else []
        return here + [name for part in tree.values() for name in _names(part, key)]
    return [name for part in tree for name in _names(part, key)] if isinstance(tree, list) else []


def as_column(scalar: Scalar, field: pa.Field, key: str, name: str) -> Mapped:
    """An expression's value in a contract's type. Raises InputError if a value of its kind cannot be that."""
    given = f"nullif(trim({scalar.sql}), '')" if scalar.kind == "VARCHAR" else scalar.sql
    typed = _typed(name, scalar.kind, field)
    if typed is None:
        wanted = {"string": "text", "int64": "a number", "bool": "true or false"}.get(str(field.type), str(field.type))
        raise InputError(
            f"larisma.toml: {key}: expected {wanted}, got {scalar.kind.lower()}; convert it in the mapping"
        )
    spoilt = [
        f"({name} is not null and {typed} is null)",
        *(f"({name} is null and {failed})" for failed in scalar.failed),
    ]
    if not field.nullable and scalar.uses and not pa.types.is_string(field.type):
        filled = " and ".join(f"{quoted(column)} is not null" for column in dict.fromkeys(scalar.uses))
        spoilt.append(f"({name} is null and {filled})")
    shown = ", ".join([f"{name}::varchar", *(f"{quoted(column)}::varchar" for column in scalar.uses)])
    return Mapped(given, typed, " or ".join(spoilt), f"coalesce({shown}, 'nothing')")


def _typed(value: str, kind: str, field: pa.Field) -> str | None:
    wanted = field.type
    if kind in ("BLOB", '"NULL"') or kind.startswith(("STRUCT", "MAP")):
        return f"null::{duck_type(wanted)}" if kind == '"NULL"' else None
    if pa.types.is_list(wanted):
        split = f"try(string_split({value}, ';'))"
        parsed = f"try_cast(try_cast({value} as json) as varchar[])"
        parsed = f"case when starts_with({value}, '[') then {parsed} else {split} end"
        return parsed if kind == "VARCHAR" else f"try_cast({value} as varchar[])" if kind.endswith("[]") else None
    if kind.endswith("[]"):
        return None
    if pa.types.is_string(wanted):
        if kind in FRACTIONS:  # 17850.0, as ids come out of a spreadsheet
            whole = f"{value} = trunc({value}) and abs({value}) < 1e15"
            shown = f"case when {whole} then {value}::bigint::varchar else {value}::varchar end"
            return f"case when isfinite({value}) then {shown} end"
        return f"{value}::varchar"
    if pa.types.is_integer(wanted) or pa.types.is_floating(wanted):
        return _number(value, kind, field)
    if pa.types.is_boolean(wanted):
        words = f"case lower({value}) when 'ya' then true when 'tidak' then false else try_cast({value} as boolean) end"
        if kind == "VARCHAR":
            return words
        return f"try_cast({value} as boolean)" if kind == "BOOLEAN" or kind in NUMBERS else None
    return _date(value, kind, wanted)


def _number(value: str, kind: str, field: pa.Field) -> str | None:
    if kind == "VARCHAR":
        number = f"try_cast({value} as decimal(38, 6))"
    elif kind in FRACTIONS:
        number = f"case when isfinite({value}) then {value}::double end"
    elif kind in NUMBERS or kind.startswith("DECIMAL"):
        number = value
    else:
        return None
    if pa.types.is_floating(field.type):
        return f"try_cast({number} as double)"
    if field.name in MONEY_COLUMNS:  # first to 6 digits: 1.005 * 100 is 100.49999999999999 in binary
        rounded = f"round(round({number}, 6))" if kind in FRACTIONS else f"round({number})"
        return f"try_cast({rounded} as bigint)"
    return f"case when {number} = trunc({number}) then try_cast({number} as {duck_type(field.type)}) end"


def _date(value: str, kind: str, wanted: pa.DataType) -> str | None:
    """Instants without a zone are in the session's TimeZone."""
    name = duck_type(wanted)
    if kind == "VARCHAR":
        other = f"try_strptime({value}, {DATE_FORMATS})::{name}"
        zoned = f"try_strptime({value}, {ZONED_FORMATS[0]!r}), try_strptime({value}, {ZONED_FORMATS[1]!r})"
        zoned = f", {zoned}" if name == "timestamptz" else ""
        parsed = f"case when {value} ~ '[0-9].*' then coalesce(try_cast({value} as {name}), {other}{zoned}) end"
    elif kind.startswith(("TIMESTAMP", "DATE")):
        parsed = f"try_cast({value} as {name})"
    else:
        return None
    earliest = f"date '{EARLIEST}'"
    return f"case when isfinite({parsed}) and {parsed} >= {earliest} then {parsed} end"


def duck_type(kind: pa.DataType) -> str:
    """An Arrow type as DuckDB calls it."""
    if pa.types.is_timestamp(kind):
        return "timestamptz"
    if pa.types.is_list(kind):
        return "varchar[]"
    names = {"string": "varchar", "int64": "bigint", "int32": "integer", "double": "double", "bool": "boolean"}
    return {**names, "date32[day]": "date"}[str(kind)]
