"""Expressions of larisma.toml: what they may be, and what they give."""

import duckdb
import pyarrow as pa
import pytest

from flows.intake.mapping import as_column, read_expression
from flows.intake.sources import Staged
from recsys.tables import InputError

ROWS = pa.table(
    {
        "Invoice No": ["C1", "2", None],
        "qty": ["-3", "4", "banyak"],
        "price": [2.55, 1.0, None],
        "day": ["31/12/2016", "01/01/2017", "kemarin"],
    }
)


@pytest.fixture
def staged():
    with duckdb.connect() as database:
        database.register("rows", ROWS)
        kinds = {"Invoice No": "VARCHAR", "qty": "VARCHAR", "price": "DOUBLE", "day": "VARCHAR"}
        yield database, Staged("sources.purchases", "rows", kinds, 3, {})


def values(staged, text: str) -> list:
    database, source = staged
    scalar = read_expression(database, text, "sources.purchases.columns.x", source)
    return [row[0] for row in database.execute(f"select {scalar.sql} from rows").fetchall()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Invoice No", ["C1", "2", None]),
        ('"Invoice No"', ["C1", "2", None]),
        ("QTY", ["-3", "4", "banyak"]),
        ("'purchase'", ["purchase"] * 3),
        ("case when \"Invoice No\" like 'C%' then 'return' else 'purchase' end", ["return", "purchase", "purchase"]),
        ("round(price * abs(qty) * 20000)", [153000.0, 80000.0, None]),
        ("-qty", [3.0, -4.0, None]),
        ("qty > 0", [False, True, None]),
        ("cast(qty as bigint)", [-3, 4, None]),
        ("day not in ('kemarin', 'x')", [True, True, False]),
        ("strptime(day, '%d/%m/%Y')::date::varchar", ["2016-12-31", "2017-01-01", None]),
        ("regexp_matches(qty, '^[0-9]+$')", [False, True, False]),
        ("coalesce(nullif(trim(qty), '4'), '0')", ["-3", "0", "banyak"]),
        ("concat_ws('-', day, qty)", ["31/12/2016--3", "01/01/2017-4", "kemarin-banyak"]),
    ],
)
def test_an_expression_gives_one_value_for_each_row_and_null_where_it_fails(staged, text, expected):
    assert values(staged, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one SQL expression"),
        ("qty, price", "not a SQL expression"),
        ("qty; price", "expected one SQL expression"),
        ("qty as menge", "no column 'qty as menge'"),
        ("Invoice Number", "write a name with blanks as"),
        ("qyt", r"no column qyt in the source \(did you mean qty\?\); it has Invoice No, qty, price, day"),
        ("rows.qty", "no column rows.qty"),
        ("(select 1)", "one value for each row"),
        ("qty in (select 'x')", "one value for each row"),
        ("exists(select 1)", "one value for each row"),
        ("sum(price)", "one value for each row"),
        ("row_number() over ()", "one value for each row"),
        ("drop table rows", "one value for each row"),
        ("*", "one value for each row"),
        ("?", "one value for each row"),
        ("read_text('larisma.toml')", "read_text.. cannot be used"),
        ("read_csv('larisma.toml')", "cannot be used"),
        ("now()", "now.. cannot be used"),
        ("random()", "cannot be used"),
        ("current_setting('temp_directory')", "cannot be used"),
        ("no_such_function(qty)", "cannot be used"),
        ("day ~ 'x'", "use regexp_matches"),
        ("price + day::date", "larisma.toml: sources.purchases.columns.x: Binder Error"),
        ("case when", "not a SQL expression"),
    ],
)
def test_what_is_no_scalar_expression_is_refused_by_its_key(staged, text, message):
    with pytest.raises(InputError, match=message) as caught:
        values(staged, text)
    assert str(caught.value).startswith("larisma.toml: sources.purchases.columns.x: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("price", pa.field("occurred_at", pa.timestamp("us", "UTC")), "expected .*, got double"),
        ("true", pa.field("amount", pa.int64()), "expected a number, got boolean"),
        ("price", pa.field("granted", pa.bool_()), "expected true or false, got double"),
        ("encode(day)", pa.field("order_id", pa.string()), "expected text, got blob"),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused_as_a_whole(staged, text, field, message):
    database, source = staged
    scalar = read_expression(database, text, "key", source)
    with pytest.raises(InputError, match=message):
        as_column(scalar, field, "key", "given")
