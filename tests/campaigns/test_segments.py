"""What a customer's past says of them, as of an instant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from campaigns.predicates import PEOPLE
from campaigns.segments import NEEDS, check_columns, columns_used, needs_segments, segment_table, sources_of
from campaigns.spec import Campaign
from campaigns.tables import CUSTOMERS, EVENTS, JOURNEY, RESPONSES, SEGMENTS, SERVICE_CASES
from recsys.tables import ITEMS, PURCHASES, Table

AS_OF = datetime(2017, 12, 4, 17, tzinfo=UTC)  # 5 December, 00.00 WIB
DAY = timedelta(days=1)


def rows(contract: Table, *entries: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(contract.schema.names) | entry for entry in entries], contract.schema)


def line(who: str, days: float, amount: int = 1000, **parts: Any) -> dict[str, Any]:
    """A purchase so many days before as_of; each an order of its own."""
    name = f"{who}{days}{amount}{parts}"
    base = {"line_id": name, "order_id": name, "customer_id": who, "item_id": "kopi", "kind": "purchase", "quantity": 1}
    return {**base, "occurred_at": AS_OF - days * DAY, "amount": amount, **parts}


def segments(*lines: dict[str, Any], customers: str = "abc", items: list[dict[str, Any]] | None = None,
             **more: Any) -> dict[str, dict[str, Any]]:  # fmt: skip
    for name, contract in (("service_cases", SERVICE_CASES), ("events", EVENTS), ("responses", RESPONSES)):
        if name in more:
            more[name] = rows(contract, *more[name])
    table = segment_table(
        rows(CUSTOMERS, *({"customer_id": name} for name in customers)),
        rows(PURCHASES, *lines),
        rows(ITEMS, *(items or [])),
        as_of=AS_OF,
        **more,
    )
    assert table.schema == SEGMENTS.schema
    return {row["customer_id"]: row for row in table.to_pylist()}


def column(name: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {who: row[name] for who, row in found.items()}


def test_recency_is_in_local_days_and_what_comes_later_is_not_seen() -> None:
    found = segments(line("a", 1 / 86400), line("a", 40), line("b", 1), line("c", -1), customers="abcd")
    assert column("recency_days", found) == {"a": 1, "b": 1, "c": None, "d": None}  # a second before midnight is a day


def test_orders_and_spend_are_of_a_year_less_what_was_returned() -> None:
    found = segments(
        line("a", 10, 5000), line("a", 20, 3000, order_id="o"), line("a", 20, 500, order_id="o", line_id="x"),
        line("a", 366, 9000), line("a", 5, 1000, kind="return"), line("b", 3, 700, kind="cancellation"),
    )  # fmt: skip
    assert column("orders", found) == {"a": 2, "b": 0, "c": 0}
    assert column("spend", found) == {"a": 7500, "b": 0, "c": 0}


def test_quintiles_part_the_buyers_of_a_year_and_equals_share_one() -> None:
    names = "abcdefghij"
    found = segments(*(line(name, 100 - n, 1000 * (n + 1)) for n, name in enumerate(names)), line("z", 400),
                     customers=names + "z")  # fmt: skip
    assert list(column("recency_quintile", found).values()) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, None]
    assert list(column("monetary_quintile", found).values()) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, None]
    assert set(column("frequency_quintile", found).values()) == {1, None}  # one order each


@pytest.mark.parametrize(
    ("stage", "facts"),
    [
        ("insight", {}),
        ("insight", {"lines": [line("a", 30)]}),
        ("promotion", {"responses": [("clicked", 13)]}),
        ("insight", {"responses": [("clicked", 15), ("delivered", 1)]}),
        ("transaction", {"events": [("cart", 6)], "responses": [("opened", 1)]}),
        ("insight", {"events": [("cart", 6), ("view", 1)], "lines": [line("a", 5)]}),  # it was bought
        ("delivery", {"lines": [line("a", 2)], "events": [("cart", 1)]}),
        ("support", {"cases": [("complaint", 4, None)], "lines": [line("a", 2)]}),
        ("support", {"cases": [("late_delivery", 4, -1)]}),  # closed only later
        ("insight", {"cases": [("complaint", 4, 1)]}),
        ("return", {"cases": [("return", 4, None), ("complaint", 4, None)]}),
        ("return", {"lines": [line("a", 20), line("a", 13, kind="return")]}),
    ],
)
def test_the_journey_is_at_the_furthest_stage_that_still_lasts(stage: str, facts: dict[str, Any]) -> None:
    assert stage in JOURNEY
    cases = [
        {"customer_id": "a", "kind": kind, "opened_at": AS_OF - opened * DAY,
         "closed_at": None if closed is None else AS_OF - closed * DAY}
        for kind, opened, closed in facts.get("cases", [])
    ]  # fmt: skip
    events = [{"customer_id": "a", "item_id": "kopi", "kind": kind, "at": AS_OF - days * DAY}
              for kind, days in facts.get("events", [])]  # fmt: skip
    responses = [{"customer_id": "a", "event": event, "at": AS_OF - days * DAY}
                 for event, days in facts.get("responses", [])]  # fmt: skip
    found = segments(*facts.get("lines", []), service_cases=cases, events=events, responses=responses)
    assert found["a"]["journey"] == stage
    assert found["b"]["journey"] == "insight"


def test_the_favourite_category_is_where_most_was_spent_and_of_equals_the_first_name() -> None:
    items = [{"item_id": name, "category": category}
             for name, category in (("kopi", "Dapur > Kopi"), ("teh", "Dapur > Teh"), ("x", None))]  # fmt: skip
    found = segments(
        line("a", 5, 100), line("a", 6, 90, item_id="teh"), line("a", 7, 90, item_id="teh"),
        line("a", 8, 999, item_id="x"),
        line("b", 5, 100), line("b", 6, 100, item_id="teh"), items=items,
    )  # fmt: skip
    assert column("favourite_category", found) == {"a": "Dapur > Teh", "b": "Dapur > Kopi", "c": None}


def test_price_sensitivity_is_the_share_of_spend_that_was_discounted_where_discounts_are_known() -> None:
    found = segments(
        line("a", 5, 300, discount=50), line("a", 6, 100, discount=0), line("a", 7, 999),
        line("b", 5, 100, discount=0), line("c", 5, 100),
    )  # fmt: skip
    assert column("price_sensitivity", found) == {"a": 0.75, "b": 0.0, "c": None}


def test_a_lifetime_value_is_taken_as_it_is_given() -> None:
    lifetime = pa.table({"customer_id": ["b"], "lifetime_value": [125_000]})
    assert column("lifetime_value", segments(lifetime=lifetime)) == {"a": None, "b": 125_000, "c": None}


def test_files_give_the_same_as_tables_and_any_order_of_rows(tmp_path) -> None:
    lines = [line(name, days, 100 * days, discount=days % 2) for name in "abc" for days in (1, 30, 200)]
    expected = segments(*lines)
    assert segments(*reversed(lines), customers="cba", memory="64MB") == expected
    tables = {
        CUSTOMERS: rows(CUSTOMERS, *({"customer_id": name} for name in "abc")),
        PURCHASES: rows(PURCHASES, *lines),
        ITEMS: rows(ITEMS),
    }
    for contract, table in tables.items():
        pq.write_table(table, tmp_path / f"{contract.name}.parquet")
    read = [ds.dataset(tmp_path / f"{contract.name}.parquet", schema=contract.schema) for contract in tables]
    assert segment_table(*read, as_of=AS_OF).to_pylist() == list(expected.values())


# --- columns of predicates -------------------------------------------------------------------------------------------


def make_campaign(audience: str | None, eligibility: str | None = None) -> Campaign:
    offer = {
        "id": "kopi",
        "benefit": {"kind": "amount_off", "amount": 1000},
        "scope": {"everything": True},
        "uplift": 0.1,
        "eligibility": eligibility,
        "text": {"id": {"title": "Kopi"}},
    }
    return Campaign.model_validate(
        {
            "id": "harbolnas",
            "name": "Harbolnas",
            "schedule": {"occasion": "harbolnas"},
            "window_days": 20,
            "audience": audience,
            "channels": {"push": {"capacity": 10, "placements": {"push": 1}}},
            "budgets": {"retailer": 1000},
            "offers": [offer],
            "content": {"id": {}},
        }
    )


def test_the_columns_that_a_campaign_uses_are_those_of_all_its_predicates() -> None:
    campaign = make_campaign("monetary_quintile = 5 and tier = 'gold'", "Birthday_In between 0 and 7")
    assert columns_used(campaign) == {"monetary_quintile", "tier", "birthday_in"}
    assert needs_segments(columns_used(campaign))
    assert not needs_segments(columns_used(make_campaign("tier = 'gold'")))


def test_every_column_of_predicates_says_what_data_it_needs() -> None:
    known = {
        f"{contract.name}.{name}"
        for contract in (CUSTOMERS, PURCHASES, ITEMS, EVENTS, SERVICE_CASES)
        for name in contract.schema.names
    }
    assert {source for name in PEOPLE.names for source in sources_of(name)} <= known
    assert set(NEEDS) <= set(PEOPLE.names)


def test_a_column_without_data_is_named_with_the_remedy() -> None:
    campaign = make_campaign("price_sensitivity > 0.5 and tier = 'gold' and journey = 'support'")
    filled = {"purchases.discount": False, "customers.tier": True, "purchases.amount": True, "events.kind": False}
    assert check_columns(campaign, filled) == [
        "price_sensitivity: no data stand behind it: purchases.discount has no value; map it in [sources.purchases] of "
        "larisma.toml"
    ]
