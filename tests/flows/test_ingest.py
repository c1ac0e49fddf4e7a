"""Rows to accepted, duplicate, left out or quarantined; what is published; what a second run changes."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.ingest import ingest_tables
from flows.intake.accounting import table_status
from flows.settings import load_settings
from flows.workspace import Workspace, folder_digest, open_workspace, read_catalog, read_ingests, read_table
from recsys.tables import InputError

CLOCK = datetime(2017, 12, 5, tzinfo=UTC)
HEADER = "line_id,order_id,customer_id,item_id,occurred_at,kind,quantity,amount\n"
DAYS = [f"2017-{n % 3 + 9:02}-{n % 28 + 1:02} 10:00" for n in range(100)]
GOOD = [f"l{n},o{n},c{n % 7},i{n % 5},{day},purchase,1,{n}000\n" for n, day in enumerate(DAYS)]
TOML = '[sources.purchases]\npath = "purchases.csv"\n'


def shop(root: Path, toml: str = TOML, **files: str) -> Workspace:
    root.mkdir(exist_ok=True)
    (root / "larisma.toml").write_text(toml)
    for name, text in files.items():
        (root / f"{name}.csv").write_text(text)
    return open_workspace(root)


def take_in(workspace: Workspace, clock: datetime = CLOCK) -> dict:
    return ingest_tables(workspace, load_settings(workspace), clock)


def refused(workspace: Workspace, table: str = "purchases") -> list[dict]:
    file = read_ingests(workspace)[table]["file"]
    return pq.read_table(workspace.quarantine / file["path"]).to_pylist() if file else []


# --- reasons ---------------------------------------------------------------------------------------------------------

BAD = {
    "x1,o1,c1,i1,2017-10-01\n": "malformed_line",
    "x1,o1,c1,i1,2017-10-01,purchase,1,1000,more\n": "malformed_line",
    'x1,o1,c1,i1,2017-10-01,purchase,1,"1000\n': "malformed_line",
    ",o1,c1,i1,2017-10-01,purchase,1,1000\n": "missing_line_id",
    "x1,,c1,i1,2017-10-01,purchase,1,1000\n": "missing_order_id",
    "x1,o1,  ,i1,2017-10-01,purchase,1,1000\n": "missing_customer_id",
    "x1,o1,c1,,2017-10-01,purchase,1,1000\n": "missing_item_id",
    "x1,o1,c1,i1,,purchase,1,1000\n": "missing_occurred_at",
    "x1,o1,c1,i1,2017-10-01,purchase,,1000\n": "missing_quantity",
    "x1,o1,c1,i1,31/12/2016,purchase,1,1000\n": "unparsable_date",
    "x1,o1,c1,i1,infinity,purchase,1,1000\n": "unparsable_date",
    "x1,o1,c1,i1,0001-01-01,purchase,1,1000\n": "unparsable_date",
    "x1,o1,c1,i1,2017-12-06,purchase,1,1000\n": "future_date",
    "x1,o1,c1,i1,2017-10-01,gift,1,1000\n": "unknown_kind",
    "x1,o1,c1,i1,2017-10-01,purchase,0,1000\n": "non_positive_quantity",
    "x1,o1,c1,i1,2017-10-01,return,-1,1000\n": "non_positive_quantity",
    "x1,o1,c1,i1,2017-10-01,purchase,1,-1\n": "negative_amount",
    "x1,o1,c1,i1,2017-10-01,purchase,1.5,1000\n": "unparsable_quantity",
    "x1,o1,c1,i1,2017-10-01,purchase,1,Rp1000\n": "unparsable_amount",
    "l1,o9,c9,i9,2017-10-01,purchase,9,9000\n": "conflicting_line",
    ",,,,31/12/2016,gift,0,-1\n": "missing_line_id",  # the first rule that fails wins
    "x1,o1,c1,i1,2017-12-06,gift,0,-1\n": "future_date",
}


@pytest.mark.parametrize(("line", "reason"), BAD.items())
def test_a_bad_line_goes_to_quarantine_with_its_reason_and_the_rest_is_accepted(tmp_path, line, reason):
    workspace = shop(tmp_path, purchases=HEADER + "".join(GOOD[:50]) + line + "".join(GOOD[50:]))
    counts = take_in(workspace)["purchases"]
    assert counts["reasons"] == {reason: 1}
    assert (counts["read"], counts["accepted"], counts["quarantined"], counts["rows"]) == (101, 100, 1, 100)
    (row,) = refused(workspace)
    assert (row["source"], row["file"], row["row"], row["reason"]) == (1, "purchases.csv", 52, reason)
    assert row["detail"]
    raw = json.loads(row["raw"])
    assert raw["line"] == line.rstrip("\n") if reason == "malformed_line" else "o9" in raw.values() or "1" in str(raw)


def test_broken_utf8_spoils_its_own_line_only(tmp_path):
    workspace = shop(tmp_path)
    data = "".join([HEADER, *GOOD]).encode() + b"x1,o1,caf\xe9,i1,2017-10-01,purchase,1,1000\n"
    (tmp_path / "purchases.csv").write_bytes(data)
    counts = take_in(workspace)["purchases"]
    assert counts["reasons"] == {"broken_utf8": 1}
    assert counts["accepted"] == 100
    assert json.loads(refused(workspace)[0]["raw"])["line"].startswith("x1,o1,caf\ufffd,i1")


def test_repeats_inside_the_files_are_duplicates_and_not_quarantined(tmp_path):
    workspace = shop(tmp_path, purchases=HEADER + "".join(GOOD) + GOOD[3] + GOOD[3])
    counts = take_in(workspace)["purchases"]
    assert (counts["accepted"], counts["duplicate"], counts["quarantined"]) == (100, 2, 0)


def test_lines_without_an_id_get_one_from_their_content(tmp_path):
    cut = [line.partition(",")[2] for line in [HEADER, *GOOD]]
    workspace = shop(tmp_path, purchases="".join([*cut, cut[5]]))
    counts = take_in(workspace)["purchases"]
    assert (counts["accepted"], counts["duplicate"]) == (100, 1)
    assert len(set(read_table(workspace, "purchases")["line_id"].to_pylist())) == 100


def test_the_refusal_is_kept_of_two_consents_given_at_one_instant(tmp_path):
    toml = '[ingest.stop_share]\nconflicting_line = 1\n[sources.consents]\npath = "consents.csv"\n'
    header = "customer_id,channel,purpose,granted,changed_at\n"
    lines = [f"c1,email,promotion,{granted},2017-01-01\n" for granted in ("ya", "tidak")]
    workspace = shop(tmp_path, toml, consents=header + "".join(lines))
    assert take_in(workspace)["consents"]["reasons"] == {"conflicting_line": 1}
    assert read_table(workspace, "consents")["granted"].to_pylist() == [False]


def test_items_and_customers_must_be_known_where_there_are_such_tables(tmp_path):
    toml = TOML + '[sources.items]\npath = "items.csv"\n[ingest.stop_share]\nunknown_item = 1\nunknown_customer = 1\n'
    workspace = shop(tmp_path, toml, purchases=HEADER + "".join(GOOD), items="item_id,title\ni1,a\ni2,b\ni3,c\ni4,d\n")
    summary = take_in(workspace)
    assert summary["purchases"]["reasons"] == {"unknown_item": 20}
    assert summary["items"]["rows"] == 4
    toml += '[sources.customers]\npath = "customers.csv"\n'
    customers = "customer_id,name\n" + "".join(f"c{n},Nama\n" for n in range(6))
    shop(tmp_path, toml, customers=customers)
    assert take_in(workspace)["purchases"]["reasons"]["unknown_customer"] == 11


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_row_is_counted_exactly_once_whatever_comes(tmp_path_factory, data):
    pool = [*GOOD[:8], *BAD, "\n", "l1,o1,c1,i1,2017-10-02 10:00,purchase,1,1000\n"]
    lines = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=40))
    lines = [line for line in lines if line.count('"') % 2 == 0]  # two open quotes may close each other
    workspace = shop(tmp_path_factory.mktemp("shop"), "ingest.stop_share.default = 1\n" + TOML)
    (workspace.root / "purchases.csv").write_text(HEADER + "".join([GOOD[0], *lines]))
    counts = take_in(workspace)["purchases"]
    read = 1 + sum(line != "\n" for line in lines)
    assert counts["read"] == read == counts["accepted"] + counts["duplicate"] + counts["quarantined"]
    assert counts["accepted"] == counts["rows"] == read_table(workspace, "purchases").num_rows
    assert sum(counts["reasons"].values()) == counts["quarantined"] == len(refused(workspace))
    assert Counter(row["reason"] for row in refused(workspace)) == counts["reasons"]


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2017-10-01", "2017-09-30T17:00"),
        ("2017-10-01 10:00", "2017-10-01T03:00"),
        ("2017-10-01T10:00:01.5", "2017-10-01T03:00:01.5"),
        ("2017/10/01 10:00", "2017-10-01T03:00"),
        ("2017-10-01T10:00:00Z", "2017-10-01T10:00"),
        ("2017-10-01 10:00:00+08:00", "2017-10-01T02:00"),
        ("2017-10-01 10:00:00 +0800", "2017-10-01T02:00"),
        ("20171001", "2017-09-30T17:00"),
        (" 2017-10-01 ", "2017-09-30T17:00"),
    ],
)
def test_dates_are_read_in_the_source_s_zone_unless_they_bear_one(tmp_path, text, instant):
    workspace = shop(tmp_path, purchases=f"{HEADER}l1,o1,c1,i1,{text},purchase,1,1000\n")
    take_in(workspace)
    assert read_table(workspace, "purchases")["occurred_at"].to_pylist() == [
        datetime.fromisoformat(instant).replace(tzinfo=UTC)
    ]


@pytest.mark.parametrize(
    ("price", "quantity", "rupiah"), [("2.55", 6, 306000), ("0.000125", 1, 3), ("1.005", 1, 20100), ("0.0000749", 1, 1)]
)
def test_decimal_money_becomes_whole_rupiah_halves_away_from_zero(tmp_path, price, quantity, rupiah):
    toml = TOML + '[sources.purchases.columns]\namount = "price * abs(quantity) * 20000"\n'
    lines = f"{HEADER.replace('amount', 'price')}l1,o1,c1,i1,2017-10-01,purchase,{quantity},{price}\n"
    workspace = shop(tmp_path, toml, purchases=lines)
    take_in(workspace)
    assert read_table(workspace, "purchases")["amount"].to_pylist() == [rupiah]


def test_text_that_is_no_number_inside_an_expression_is_unparsable_and_an_empty_one_missing(tmp_path):
    toml = "[ingest.stop_share]\ndefault = 1\n" + TOML + '[sources.purchases.columns]\namount = "price * 20000"\n'
    start = "l{},o1,c1,i1,2017-10-01,purchase,1,{}\n"
    lines = HEADER.replace("amount", "price") + start.format(1, "mahal") + start.format(2, "") + start.format(3, "1.5")
    counts = take_in(shop(tmp_path, toml, purchases=lines))["purchases"]
    assert counts["reasons"] == {"missing_amount": 1, "unparsable_amount": 1}
    assert counts["accepted"] == 1


def test_optional_columns_may_be_absent_or_empty_but_not_wrong(tmp_path):
    toml = '[ingest.stop_share]\ndefault = 1\n[sources.customers]\npath = "customers.csv"\n'
    lines = (
        "customer_id,birth_date,points,push_tokens,timezone\n"
        'c1,1990-02-03,5,a;b,Asia/Makassar\nc2,,,"[""x""]",\nc3,kemarin,,,\nc4,,,,Mars/Olympus\n'
    )
    workspace = shop(tmp_path, toml, customers=lines)
    assert take_in(workspace)["customers"]["reasons"] == {"unknown_timezone": 1, "unparsable_birth_date": 1}
    table = read_table(workspace, "customers")
    assert table["push_tokens"].to_pylist() == [["a", "b"], ["x"]]
    assert table["points"].to_pylist() == [5, None]


def test_ids_that_a_spreadsheet_made_decimal_are_whole_again(tmp_path):
    workspace = shop(tmp_path, '[sources.customers]\npath = "customers.parquet"\n')
    pq.write_table(pa.table({"customer_id": [17850.0, 13047.0]}), tmp_path / "customers.parquet")
    take_in(workspace)
    assert read_table(workspace, "customers")["customer_id"].to_pylist() == ["13047", "17850"]


# --- again, and later ------------------------------------------------------------------------------------------------


def test_the_same_file_twice_changes_nothing(tmp_path):
    bad = "x1,o1,,i1,2017-10-01,purchase,1,1000\n"
    workspace = shop(tmp_path, purchases=HEADER + "".join(GOOD) + bad + GOOD[1])
    take_in(workspace)
    digest, catalog = folder_digest(workspace.tables / "purchases"), read_catalog(workspace)
    items = folder_digest(workspace.tables / "items")
    counts = take_in(workspace, CLOCK.replace(hour=9))["purchases"]
    assert (counts["accepted"], counts["duplicate"], counts["quarantined"]) == (0, 101, 1)
    assert folder_digest(workspace.tables / "purchases") == digest
    assert folder_digest(workspace.tables / "items") == items
    assert read_catalog(workspace) == catalog


def test_only_the_months_that_changed_are_written_anew(tmp_path):
    workspace = shop(tmp_path, purchases=HEADER + "".join(GOOD))
    take_in(workspace)
    before = {file["part"]: file for file in read_catalog(workspace)["purchases"]["files"]}
    assert list(before) == ["2017-09", "2017-10", "2017-11"]
    late = "r1,o1,c1,i1,2017-11-20 10:00,return,1,1000\n"
    shop(tmp_path, purchases=HEADER + late)
    counts = take_in(workspace)["purchases"]
    after = {file["part"]: file for file in read_catalog(workspace)["purchases"]["files"]}
    assert (counts["accepted"], counts["updated"], counts["rows"]) == (1, 0, 101)
    assert after["2017-09"] == before["2017-09"]
    assert after["2017-10"] == before["2017-10"]
    assert after["2017-11"] != before["2017-11"]
    assert {path.name for path in (workspace.tables / "purchases").iterdir()} == {
        Path(file["path"]).name for file in after.values()
    }


def test_a_line_with_a_known_id_replaces_the_stored_one_even_in_another_month(tmp_path):
    workspace = shop(tmp_path, purchases=HEADER + "".join(GOOD))
    take_in(workspace)
    shop(tmp_path, purchases=HEADER + "l1,o1,c1,i1,2017-11-20 10:00,purchase,2,7000\n")
    counts = take_in(workspace)["purchases"]
    assert (counts["accepted"], counts["updated"], counts["rows"]) == (1, 1, 100)
    (line,) = [row for row in read_table(workspace, "purchases").to_pylist() if row["line_id"] == "l1"]
    assert (line["occurred_at"].month, line["quantity"], line["amount"]) == (11, 2, 7000)


def test_the_order_of_the_lines_does_not_change_the_tables_bytes(tmp_path):
    one = shop(tmp_path / "one", purchases=HEADER + "".join(GOOD))
    other = shop(tmp_path / "other", purchases=HEADER + "".join(reversed(GOOD)))
    take_in(one)
    take_in(other)
    assert folder_digest(one.tables) == folder_digest(other.tables)


def test_a_table_without_a_source_stays_as_it_is(tmp_path):
    workspace = shop(tmp_path, '[sources.customers]\npath = "customers.csv"\n', customers="customer_id\nc1\n")
    take_in(workspace)
    shop(tmp_path, purchases=HEADER + GOOD[1])
    assert list(take_in(workspace)) == ["purchases", "items"]
    assert read_table(workspace, "customers").num_rows == 1


# --- several sources -------------------------------------------------------------------------------------------------


def test_a_table_may_have_several_sources_each_with_its_own_mapping_and_accounting(tmp_path):
    toml = """
        [[sources.purchases]]
        path = "old.csv"
        where = "tgl < '2017-10'"
        columns = {line_id = "no", occurred_at = "tgl"}
        [[sources.purchases]]
        path = "purchases.csv"
    """
    old = HEADER.replace("line_id", "no").replace("occurred_at", "tgl") + "".join(GOOD[:60])
    workspace = shop(tmp_path, toml, old=old, purchases=HEADER + "".join(GOOD[50:]))
    counts = take_in(workspace)["purchases"]
    first, second = counts["sources"]
    assert (first["key"], first["read"], first["left_out"], first["accepted"]) == ("sources.purchases.1", 60, 40, 20)
    assert (second["read"], second["accepted"], second["duplicate"]) == (50, 47, 3)
    assert (counts["read"], counts["left_out"], counts["accepted"], counts["duplicate"]) == (110, 40, 67, 3)


def test_a_row_that_where_cannot_judge_is_left_to_the_rules(tmp_path):
    where = "where = \"cast(occurred_at as timestamp) >= timestamp '2017-10-01'\"\n"
    toml = "ingest.stop_share.default = 1\n" + TOML + where
    workspace = shop(tmp_path, toml, purchases=HEADER + GOOD[0] + GOOD[1] + "x,o1,c1,i1,kemarin,purchase,1,1\n")
    counts = take_in(workspace)["purchases"]
    assert (counts["left_out"], counts["accepted"], counts["reasons"]) == (1, 1, {"unparsable_date": 1})


# --- derived items ---------------------------------------------------------------------------------------------------


def test_items_are_derived_with_the_most_frequent_words_and_the_median_price(tmp_path):
    toml = TOML + '[sources.purchases.item_columns]\ntitle = "nama"\n'
    rows = [("i1", 1, 1000, "Kopi"), ("i1", 2, 6000, "Teh"), ("i1", 1, 2000, "Teh")]
    rows += [("i2", 1, 500, "B"), ("i2", 1, 500, "A")]
    lines = "".join(
        f"l{n},o{n},c1,{item},2017-10-01,purchase,{quantity},{amount},{name}\n"
        for n, (item, quantity, amount, name) in enumerate(rows)
    )
    workspace = shop(tmp_path, toml, purchases=HEADER.replace("amount", "amount,nama") + lines)
    assert take_in(workspace)["items"]["derived"] is True
    items = read_table(workspace, "items").select(["item_id", "title", "price"]).to_pylist()
    assert items == [{"item_id": "i1", "title": "Teh", "price": 2000}, {"item_id": "i2", "title": "A", "price": 500}]
    later = HEADER.replace("amount", "amount,nama") + "l9,o9,c1,i3,2017-11-01,purchase,1,900,Gula\n"
    shop(tmp_path, toml, purchases=later)
    take_in(workspace)
    assert read_table(workspace, "items")["title"].to_pylist() == ["Teh", "A", "Gula"]


# --- stopping --------------------------------------------------------------------------------------------------------


def test_too_many_rows_with_one_reason_stop_the_run_and_leave_the_workspace_as_it_was(tmp_path):
    workspace = shop(tmp_path, purchases=HEADER + "".join(GOOD))
    take_in(workspace)
    bad = "".join(f"x{n},o1,,i1,2017-10-01,purchase,1,1000\n" for n in range(6))
    shop(tmp_path, purchases=HEADER + "".join(GOOD) + bad)
    digest = folder_digest(tmp_path)
    message = r"^purchases: 6 of 106 rows \(5.7%\) are missing_customer_id.*purchases.csv row 102$"
    with pytest.raises(InputError, match=message):
        take_in(workspace)
    assert folder_digest(tmp_path) == digest
    shop(tmp_path, TOML + "[ingest.stop_share]\nmissing_customer_id = 0.3\n")
    assert take_in(workspace)["purchases"]["quarantined"] == 6


def test_a_fault_in_a_later_table_publishes_nothing_of_the_earlier_ones(tmp_path):
    workspace = shop(tmp_path, TOML + '[sources.consents]\npath = "nowhere.csv"\n', purchases=HEADER + "".join(GOOD))
    digest = folder_digest(tmp_path)
    with pytest.raises(InputError, match=r"sources\.consents\.path: no such file or folder: nowhere\.csv"):
        take_in(workspace)
    assert folder_digest(tmp_path) == digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["larisma.toml", "purchases.csv"]


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", "no sources"),
        (TOML + "[ingest.stop_share]\nmissing_custmer_id = 0.3\n", "did you mean missing_customer_id"),
    ],
)
def test_settings_that_say_nothing_to_do_or_name_no_reason_are_refused(tmp_path, toml, message):
    with pytest.raises(InputError, match=message):
        take_in(shop(tmp_path, toml, purchases=HEADER + GOOD[0]))


# --- status ----------------------------------------------------------------------------------------------------------


def test_status_tells_rows_age_last_ingest_and_quarantine_of_each_table(tmp_path):
    toml = TOML + "[ingest]\nmax_age_days = {purchases = 7}\n"
    lines = HEADER + "".join(GOOD) + "x1,o1,,i1,2017-10-01,purchase,1,1000\n"
    workspace = shop(tmp_path, toml, purchases=lines)
    config = load_settings(workspace)
    (purchases,) = table_status(workspace, config, CLOCK)
    assert (purchases["table"], purchases["rows"], purchases["stale"]) == ("purchases", 0, True)
    take_in(workspace)
    items, purchases = table_status(workspace, config, CLOCK)
    assert (items["table"], items["rows"], items["derived"], items["stale"]) == ("items", 5, True, False)
    assert (purchases["rows"], purchases["reasons"]) == (100, {"missing_customer_id": 1})
    assert purchases["newest"] == "2017-11-28T03:00:00+00:00"
    assert purchases["last_ingest"] == CLOCK.isoformat()
    assert (purchases["age_days"], purchases["stale"]) == (6.88, False)
    assert (workspace.root / purchases["quarantine"]).exists()
    assert table_status(workspace, config, CLOCK.replace(day=9))[1]["stale"] is True
