"""SQL predicates that a campaign file may state: a small allow-list, parsed, checked, and printed anew before it runs.

What is run is never the text of the file but what sqlglot prints of the tree that was checked, in a DuckDB connection
that can reach neither files nor the network.
"""

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import duckdb
import pyarrow as pa
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from campaigns.faults import near
from campaigns.tables import CUSTOMERS, SEGMENTS, CampaignError

ON_THE_DAY = (  # of the customer's own local day of sending
    pa.field("age", pa.int64()),  # in whole years
    pa.field("birthday_in", pa.int64()),  # days to the next birthday; 0 is today; of 29 February 28 in common years
    pa.field("points_expire_in", pa.int64()),  # days; below 0: they have lapsed
)
# What predicates speak of.
PEOPLE = pa.schema(
    [*CUSTOMERS.schema, *ON_THE_DAY, *(field for field in SEGMENTS.schema if field.name != "customer_id")]
)

FUNCTIONS: dict[type[exp.Expression], str] = {
    exp.Abs: "abs",
    exp.Coalesce: "coalesce",
    exp.Contains: "contains",
    exp.Day: "day",
    exp.Length: "length",
    exp.Lower: "lower",
    exp.Month: "month",
    exp.StartsWith: "starts_with",
    exp.Upper: "upper",
    exp.Year: "year",
}

_TREE: tuple[type[exp.Expression], ...] = (
    *(exp.And, exp.Or, exp.Not, exp.Paren),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In, exp.Is),
    *(exp.Like, exp.ILike, exp.Escape),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg),
    *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null),
    *FUNCTIONS,
)

_TOKENS = frozenset(
    {
        *(TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER),
        *(TokenType.L_PAREN, TokenType.R_PAREN, TokenType.COMMA),
        *(TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.IN, TokenType.BETWEEN),
        *(TokenType.IS, TokenType.NULL, TokenType.TRUE, TokenType.FALSE),
        *(TokenType.DATE, TokenType.ALIAS),  # date '2017-12-12' is printed as CAST('2017-12-12' AS DATE)
        *(TokenType.LIKE, TokenType.ILIKE, TokenType.ESCAPE),
        *(TokenType.EQ, TokenType.NEQ, TokenType.GT, TokenType.GTE, TokenType.LT, TokenType.LTE),
        *(TokenType.PLUS, TokenType.DASH, TokenType.STAR, TokenType.SLASH, TokenType.MOD),
    }
)

_LONGEST = 4000  # characters
_DEEPEST = 50  # parentheses
_WILDCARDS = 5  # in a pattern of like; a match may take as long as the text to their power


def check_predicate(sql: str, columns: Iterable[str]) -> str:
    """The predicate as it will be run: columns, text, numbers, `date '2017-12-12'`, comparisons, and, or, not, in,
    between, is null, like, arithmetic, and FUNCTIONS.

    Raises CampaignError with the position in the text (from 1) of what is not among these.
    """
    known = {name.lower() for name in columns}
    if len(sql) > _LONGEST:
        raise CampaignError(f"a predicate of {len(sql)} characters; expected {_LONGEST} at most")
    try:
        _check_characters(sql)
        _check_tokens(sql, sqlglot.tokenize(sql, read="duckdb"))
        tree = sqlglot.parse_one(sql, read="duckdb")
        for node in list(tree.walk()):
            _check_node(sql, node, known)
        return tree.sql(dialect="duckdb", comments=False)
    except SqlglotError as error:
        raise CampaignError(_unparsable(sql, error)) from error
    except RecursionError as error:
        raise CampaignError("a predicate nested too deeply") from error


def columns_of(sql: str) -> frozenset[str]:
    """The columns that a checked predicate speaks of, in small letters."""
    return frozenset(column.name.lower() for column in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Column))


def open_sandbox(timezone: str = "Asia/Jakarta", *, memory: str | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that reaches no file, no network and no extension, and whose settings cannot be changed.

    timezone: IANA; in which instants are compared with dates. memory: the most that it may take, as "1GB"; what does
    not fit goes to files in the system's folder for such. A division by zero gives null.
    """
    config: dict[str, Any] = {"enable_external_access": False, "autoload_known_extensions": False}
    if memory:
        config |= {"memory_limit": memory, "temp_directory": tempfile.gettempdir()}
    connection = duckdb.connect(config=config)
    connection.execute("SET TimeZone = $zone", {"zone": timezone})
    connection.execute("SET ieee_floating_point_ops = false; SET error_on_division_by_zero = false")
    connection.execute("SET lock_configuration = true")
    return connection


@lru_cache(1024)
def bind_predicate(sql: str, schema: pa.Schema) -> None:
    """Raises CampaignError if a checked predicate does not fit the columns' types, or is no condition."""
    row = pa.table([pa.array([_sample(field.type)], field.type) for field in schema], schema=schema)
    with open_sandbox() as connection:
        connection.register("people", row)
        try:
            result = connection.sql(f"SELECT ({sql}) AS held FROM people")
            kind, _ = str(result.types[0]), result.fetchall()
        except duckdb.Error as error:
            raise CampaignError(f"does not fit the columns: {_first_line(error)}") from error
    if kind not in ("BOOLEAN", '"NULL"'):
        raise CampaignError(f"expected a condition, such as points > 100, got a value of type {kind}")


def _sample(kind: pa.DataType) -> Any:
    if pa.types.is_list(kind):
        return [_sample(kind.value_type)]
    return "a" if pa.types.is_string(kind) else datetime(2000, 1, 1, tzinfo=UTC) if pa.types.is_temporal(kind) else 1


def _check_characters(sql: str) -> None:
    """Outside of quotes, letters that only look like SQL's own are a trick or a slip."""
    quote = ""
    for place, letter in enumerate(sql):
        if letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
        elif not quote and not letter.isascii():
            raise _refusal(place, f"{letter!r} (U+{ord(letter):04X})", "outside of quotes write plain letters")
        elif not quote and not letter.isprintable() and letter not in "\n\r\t":
            raise _refusal(place, f"the invisible character U+{ord(letter):04X}")


def _check_tokens(sql: str, tokens: list[Token]) -> None:
    if not tokens:
        raise CampaignError("expected a predicate, got nothing")
    depth = 0
    for token in tokens:
        depth += (token.token_type == TokenType.L_PAREN) - (token.token_type == TokenType.R_PAREN)
        if depth > _DEEPEST:
            raise CampaignError(f"position {token.start + 1}: nested too deeply; {_DEEPEST} parentheses are the most")
        if token.comments:
            raise CampaignError(f"a comment near position {token.end + 2} is not allowed in a predicate")
        if token.token_type not in _TOKENS and not _is_function(sql, token):
            raise _refusal(token.start, repr(sql[token.start : token.end + 1]))


def _is_function(sql: str, token: Token) -> bool:
    """Names of functions may be keywords of SQL."""
    return sql[token.start : token.end + 1].lower() in FUNCTIONS.values()


def _check_node(sql: str, node: exp.Expr, known: set[str]) -> None:
    if isinstance(node, exp.Column):
        name = node.name
        if node.table or not isinstance(node.this, exp.Identifier):
            raise _refusal(_start(node), f"{node.sql()!r}", "name the column alone")
        if name.lower() not in known:
            guess = near(name.lower(), sorted(known)) or f"; columns are {', '.join(sorted(known))}"
            raise CampaignError(f"position {_start(node) + 1}: no column {name!r}{guess}")
    elif _is_date(node) or (isinstance(node, exp.DataType) and _is_date(node.parent)):
        return
    elif isinstance(node, exp.Func) and not isinstance(node, exp.And | exp.Or) and type(node) not in FUNCTIONS:
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name().lower()
        remedy = f"functions are {', '.join(sorted(FUNCTIONS.values()))}"
        raise _refusal(_start(node), f"the function {name!r}", remedy)
    elif type(node) not in _TREE:
        raise _refusal(_start(node), repr(sql[_start(node) :][:20]))
    elif isinstance(node, exp.Div | exp.Mod):
        if isinstance(node.expression.unnest(), exp.Literal) and not float(node.expression.unnest().name or 0):
            raise CampaignError(f"position {_start(node.expression) + 1}: a division by zero")
    elif isinstance(node, exp.Like | exp.ILike):
        pattern = node.expression
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise _refusal(_start(pattern), "a pattern that is not text in quotes")
        if pattern.name.count("%") > _WILDCARDS:
            raise _refusal(_start(pattern), f"a pattern with more than {_WILDCARDS} times %")


def _start(node: exp.Expr) -> int:
    """Where in the text, from 0, the first part of a node stands that sqlglot knows the place of."""
    return min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=0)


def _is_date(node: Any) -> bool:
    """date '2017-12-12', which sqlglot reads as a cast."""
    return (
        type(node) is exp.Cast
        and isinstance(node.this, exp.Literal)
        and node.this.is_string
        and node.to.this == exp.DataType.Type.DATE
    )


def _refusal(start: int, what: str, remedy: str = "") -> CampaignError:
    words = f"position {start + 1}: {what} is not allowed in a predicate"
    return CampaignError(f"{words}; {remedy}" if remedy else words)


def _unparsable(sql: str, error: SqlglotError) -> str:
    for entry in getattr(error, "errors", ()):
        if entry.get("line"):
            before = sum(len(line) for line in sql.splitlines(keepends=True)[: entry["line"] - 1])
            words = "something is missing" if "Required" in entry["description"] else entry["description"].rstrip(".")
            return f"position {before + entry['col']}: not a predicate: {words}"
    return "not a predicate: a quote that is not closed, or a character that SQL does not know"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
