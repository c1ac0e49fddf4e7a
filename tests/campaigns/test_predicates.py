from datetime import date

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.predicates import PEOPLE, bind_predicate, check_predicate, columns_of, open_sandbox
from campaigns.tables import CampaignError

COLUMNS = PEOPLE.names


@pytest.mark.parametrize(
    "sql",
    [
        "tier is not null",
        "tier in ('gold', 'silver') and not points between 10 and 20",
        "city like 'Jakarta%' or province ilike '%barat'",
        "coalesce(points, 0) + 1 > 2 * -3.5",
        "birth_date < date '2000-01-31'",
        "month(birth_date) = 2 and day(birth_date) = 29",
        "age >= 18",
        "length(push_tokens) > 0",
        "starts_with(lower(city), 'den')",
        "recency_quintile = 5 and monetary_quintile >= 4 and orders between 2 and 10",
        "lifetime_value > 500000 and price_sensitivity < 0.3 and journey in ('promotion', 'insight')",
        "birthday_in between 0 and 7 and points_expiring > 100 and points_expire_in < 14",
        "favourite_category like 'Dapur >%' and city = 'Ma’rang'",
        "\"tier\" = 'gold'",
        "true",
    ],
)
def test_takes_conditions_over_columns(sql: str) -> None:
    bind_predicate(check_predicate(sql, COLUMNS), PEOPLE)


HOSTILE = [
    ("", "expected a predicate"),
    ("tier = 'a'; drop table customers", "position 11: ';'"),
    ("tier = 'a' -- and consent", "a comment near position 11"),
    ("tier = 'a' /* and */ or true", "a comment near position 11"),
    ("tier in (select tier from customers)", "position 10: 'select'"),
    ("exists(select 1)", "position 1: 'exists'"),
    ("(select count(*) from read_csv('/etc/passwd')) > 0", "position 2: 'select'"),
    ("read_text('/etc/passwd') like 'root%'", "position 1: the function 'read_text'"),
    ("points > 1 and glob('/*') = ''", "position 16: 'glob'"),
    ("getenv('HOME') = 'x'", "position 1: the function 'getenv'"),
    ("tier = 'a' union select 1", "position 12: 'union'"),
    ("1) from customers; --", "position 4: 'from'"),
    ("true) or (true", "position 5: not a predicate"),
    ("true limit 1", "position 6: 'limit'"),
    ("customers.tier = 'gold'", "position 10: '.'"),
    ("information_schema.tables is null", "position 19: '.'"),
    ("count(*) > 1", "position 1: the function 'count'"),
    ("sum(points) > 1", "position 1: the function 'sum'"),
    ("row_number() over () < 10", "position 14: 'over'"),
    ("cast(points as blob) is null", "position 16: 'blob'"),
    ("cast('x' as blob) is null", "position 13: 'blob'"),
    ("cast(points as date) is null", "position 6: the function 'cast'"),
    ("cast(tier as birth_date) is null", "position 6: "),
    ("points as x", "position 1: 'points as x'"),
    ("points::regclass is null", "position 7: '::'"),
    ("$1 = tier", "position 1: '$'"),
    ("tier = ?", "position 8: '?'"),
    (":name = tier", "position 1: ':'"),
    ("*", "position 1: '*'"),
    ("columns(*) is null", "position 1: the function 'columns'"),
    ("case when true then true end", "position 1: 'case'"),
    ("random() < 0.5", "position 1: the function 'rand'"),
    ("birth_date < current_date", "position 14: 'current_date'"),
    ("now() > joined_at", "position 1: the function"),
    ("current_user = 'x'", "position 1: 'current_user'"),
    ("current_setting('access_mode') = 'x'", "position 1: the function 'current_setting'"),
    ("set_config('a', 'b')", "position 1: the function 'set_config'"),
    ("attach 'x.db'", "position 1: 'attach'"),
    ("copy customers to 'x'", "position 1: 'copy'"),
    ("install httpfs", "position 1: 'install'"),
    ("pragma database_list", "position 1: 'pragma'"),
    ("repeat('a', 1000000000) = tier", "position 1: the function 'repeat'"),
    ("list_filter(push_tokens, x -> x = 'a') is null", "position 28: '->'"),
    ("[1, 2] is null", "position 1: '['"),
    ("{'a': tier} is null", "position 1: '{'"),
    ("regexp_matches(tier, '(a+)+$')", "position 1: the function"),
    ("e'\\x41' = tier", "position 1: "),
    ("$$a$$ = tier", "position 1: "),
    ("rowid = 1", "position 1: no column 'rowid'"),
    ("password = 'x'", "position 1: no column 'password'"),
    ("tier = 'a", "a quote that is not closed"),
    ("tier =", "position 6: not a predicate: something is missing"),
    ("tier is not null and\n  (points > 1", "position 34: not a predicate"),
    ("(" * 1500 + "true" + ")" * 1500, "position 51: nested too deeply"),
    ("not " * 900 + "true", "nested too deeply"),
    ("- " * 1900 + "1 > 0", "nested too deeply"),
    ("tier = ‘gold’", "position 8: '‘' (U+2018)"),
    ("tier ＝ 'gold'", "position 6: '＝' (U+FF1D)"),
    ("tier = 'gold' or tru\u0435", "position 21: 'е' (U+0435)"),  # a Cyrillic e
    ("ti\u200ber = 'gold'", "position 3: '\\u200b' (U+200B)"),
    ("tier = 'gold'\u202e", "position 14: '\\u202e' (U+202E)"),
    ("tier\u00a0= 'gold'", "position 5: '\\xa0' (U+00A0)"),
    ("tier = 'gold'\0", "position 14: the invisible character U+0000"),
    ("\"tіer\" = 'gold'", "position 1: no column 'tіer'; did you mean 'tier'?"),  # a Ukrainian i
    ("points / 0 > 1", "position 10: a division by zero"),
    ("points % (0) = 1", "position 11: a division by zero"),
    ("points / 0.0 > 1", "position 10: a division by zero"),
    ("tier like '%a%a%a%a%a%b'", "position 11: a pattern with more than 5 times %"),
    ("tier ilike city", "position 12: a pattern that is not text in quotes"),
    ("tier similar to '(a|a)*b'", "position 6: 'similar to'"),
    ("tier ~ '(a+)+$'", "position 6: '~'"),
    ("tier glob '*a*a*'", "position 6: 'glob'"),
    ("tier = any(['a'])", "position 8: 'any'"),
    ("points ** 99 > 1", "position 8: '**'"),
    ("points << 60 > 1", "position 1: 'points << 60 > 1'"),
    ("tier || city = 'a'", "position 6: '||'"),
    ("with x as (select 1) select 1", "position 1: 'with'"),
    ("from customers", "position 1: 'from'"),
    ("unnest(push_tokens) = 'a'", "position 1: 'unnest'"),
    ("getvariable('x') = 1", "position 1: the function 'getvariable'"),
    ("try(1 / points)", "position 1: the function 'try'"),
    ("N'a' = tier", "position 1: "),
    ("tier = 'a' or " * 1000 + "true", "expected 4000 at most"),
]


@pytest.mark.parametrize(("sql", "words"), HOSTILE, ids=range(len(HOSTILE)))
def test_refuses_anything_else_by_its_position(sql: str, words: str) -> None:
    with pytest.raises(CampaignError) as raised:
        check_predicate(sql, COLUMNS)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("sql", ["points + 1", "'gold'", "tier = 3", "points = 'abc'", "date '2017-13-01' < birth_date",
                                 "birth_date = 'yesterday'", "month(points) = 1", "points like '1%'"])  # fmt: skip
def test_refuses_what_does_not_fit_the_columns_types(sql: str) -> None:
    checked = check_predicate(sql, COLUMNS)
    with pytest.raises(CampaignError, match=r"does not fit the columns|expected a condition"):
        bind_predicate(checked, PEOPLE)


def test_at_least_forty_hostile_predicates_are_tried() -> None:
    assert len({sql for sql, _ in HOSTILE}) == len(HOSTILE) >= 80


@pytest.mark.parametrize(
    "sql", ["points / orders > 1", "points % orders = 1", "points / (1 - 1) > 1", "points / -0 > 1"]
)
def test_a_division_by_a_zero_in_the_data_is_null(sql: str) -> None:
    checked = check_predicate(sql, COLUMNS)
    with open_sandbox() as connection:
        connection.register("people", pa.table({"points": [7], "orders": [0]}))
        assert connection.sql(f"SELECT {checked} FROM people").fetchall() == [(None,)]


def test_a_long_pattern_on_a_long_text_is_no_bomb() -> None:
    checked = check_predicate("name like '%a%a%a%a%b'", COLUMNS)
    with open_sandbox() as connection:
        connection.register("people", pa.table({"name": ["a" * 2000] * 1000}))
        assert connection.sql(f"SELECT count(*) FROM people WHERE {checked}").fetchall() == [(0,)]


def test_the_columns_of_a_predicate_are_named_in_small_letters() -> None:
    assert columns_of(check_predicate("TIER = 'gold' and \"Points\" > 1 or tier is null", COLUMNS)) == {
        "tier",
        "points",
    }


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30), min_size=1))
def test_text_in_quotes_stays_text(values: list[str]) -> None:
    quoted = [value.replace("'", "''") for value in values]
    conditions = ", ".join(check_predicate(f"tier = '{value}'", COLUMNS) for value in quoted)
    with open_sandbox() as connection:
        for value in values:
            connection.register("people", pa.table({"tier": [value]}))
            expected = tuple(value == other for other in values)
            assert connection.sql(f"SELECT {conditions} FROM people").fetchall() == [expected]


PARTS = ["tier", "points", "(", ")", "'a'", "-", "=", "<", ",", "and", "not", "in", "date '2000-01-01'", "1"]


@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_what_is_accepted_is_accepted_again_as_printed(parts: list[str]) -> None:
    sql = " ".join(parts)
    try:
        checked = check_predicate(sql, COLUMNS)
    except CampaignError:
        return
    assert check_predicate(checked, COLUMNS) == checked


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM read_csv('/etc/hostname')", "ATTACH 'x.db'", "SET enable_external_access = true",
            "SET TimeZone = 'UTC'", "INSTALL httpfs"],
)  # fmt: skip
def test_the_sandbox_reaches_nothing_and_stays_locked(sql: str) -> None:
    with open_sandbox() as connection, pytest.raises(duckdb.Error):
        connection.execute(sql)


def test_instants_are_compared_with_dates_in_the_sandbox_zone() -> None:
    day = check_predicate("day(joined_at) = 12", COLUMNS)
    for zone, held in (("Asia/Jakarta", True), ("UTC", False)):
        with open_sandbox(zone) as connection:
            row = connection.sql(f"SELECT {day} FROM (SELECT TIMESTAMPTZ '2017-12-11 17:00:00+00' AS joined_at)")
            assert row.fetchall() == [(held,)]


def test_a_condition_on_a_date_is_kept_as_written() -> None:
    checked = check_predicate("birth_date = date '2000-02-29'", COLUMNS)
    with open_sandbox() as connection:
        connection.register("people", pa.table({"birth_date": [date(2000, 2, 29), None]}))
        assert connection.sql(f"SELECT {checked} FROM people").fetchall() == [(True,), (None,)]
