"""Recommendations name real reasons, never what may not be offered, and never somebody who is unknown."""

import shutil
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.champion import load_champion
from flows.recommend import customer_ids, publish_recommendations, recommend_items, score_customers
from flows.workspace import folder_digest, read_table
from recsys.tables import RECOMMENDATIONS, InputError

JAKARTA = ZoneInfo("Asia/Jakarta")
INTIMATE = "i00002"
NEWCOMER = "c000149"  # in customers, without a purchase


def best(shop, customer, n=10, *, discover=False, language="id"):
    return recommend_items(shop.workspace, shop.settings, customer, n, discover=discover, language=language)


def everybodys(shop):
    return read_table(shop.workspace, "purchases", as_of=shop.as_of).to_pylist()


def bought(shop, customer):
    return [line for line in everybodys(shop) if line["customer_id"] == customer]


def test_items_come_best_first_and_no_item_twice(shop):
    found = best(shop, "c000009", 40)
    assert [row["position"] for row in found] == list(range(1, len(found) + 1))
    scores = [row["score"] for row in found]
    assert scores == sorted(scores, reverse=True)
    assert len({row["item_id"] for row in found}) == len(found)


def test_a_repeat_says_how_often_it_is_bought_and_when_it_was_last(shop):
    lines = bought(shop, "c000009")
    regular = 0
    for row in best(shop, "c000009", 40, language="en"):
        own = [line for line in lines if line["item_id"] == row["item_id"]]
        orders = {line["order_id"]: line["occurred_at"] for line in own}
        if not orders or row["item_id"] == INTIMATE:
            continue
        first, last = min(orders.values()), max(orders.values())
        if len(orders) < 3:
            times = "once, on" if len(orders) == 1 else f"{len(orders)} times, last on"
            local = last.astimezone(JAKARTA)
            assert row["reason"] == f"you bought this {times} {local.day} {local:%B %Y}"
            continue
        every, since = round((last - first) / timedelta(days=1) / (len(orders) - 1)), (shop.as_of - last).days
        when = {0: "today", 1: "yesterday"}.get(since, f"{since} days ago")
        assert row["reason"] == f"you buy this about every {every} days, last {when}"
        regular += 1
    assert regular


def test_reasons_are_in_the_language_asked_for(shop):
    assert any(row["reason"].startswith("Anda membelinya kira-kira setiap ") for row in best(shop, "c000009"))
    words = ("you bought this ", "you buy this about every ", "because you bought ", "many other customers buy this")
    assert all(row["reason"].startswith(words) for row in best(shop, "c000009", 40, language="en"))


def test_the_past_purchases_behind_a_score_are_named_with_what_they_add_most_first(shop):
    model = load_champion(shop.workspace).serving.model
    past = {line["item_id"] for line in bought(shop, "c000009")}
    rows = best(shop, "c000009", 40)
    assert any(row["because"] for row in rows)
    for row in rows:
        shares = [driver["contribution"] for driver in row["because"]]
        assert shares == sorted(shares, reverse=True)
        assert all(share > 0 for share in shares)
        assert {driver["item_id"] for driver in row["because"]} <= past - {INTIMATE}
        if row["reason"].startswith("karena Anda membeli "):
            assert row["reason"] == f"karena Anda membeli {row['because'][0]['title']}"
    assert model.shape


def test_a_discovery_is_never_something_bought_before(shop):
    found = best(shop, "c000009", 40, discover=True)
    assert found
    assert {line["item_id"] for line in bought(shop, "c000009")}.isdisjoint(row["item_id"] for row in found)


def test_a_discovery_of_one_s_own_taste_names_the_purchase_that_speaks_for_it(shop):
    """Customer k has a taste for the items k mod 4, and most have bought nearly all of them."""
    known = {}
    for line in everybodys(shop):
        known.setdefault(int(line["customer_id"][1:]), set()).add(line["item_id"])
    own = {
        k: {f"i{item:05d}" for item in range(40) if item % 4 == k % 4} - {"i00003", "i00004", "i00005"} for k in known
    }
    curious = [f"c{k:06d}" for k in sorted(known) if own[k] - known[k]][:12]
    found = [row["reason"] for customer in curious for row in best(shop, customer, 3, discover=True)]
    assert any(reason.startswith("karena Anda membeli Barang") for reason in found)


def test_what_may_not_be_offered_or_is_sold_out_is_never_recommended(shop):
    customers = [f"c{k:06d}" for k in range(0, 140, 7)]
    found = {row["item_id"] for customer in customers for row in best(shop, customer, 40)}
    assert len(found) == 37
    assert found.isdisjoint({"i00003", "i00004", "i00005"})  # formula, and two without stock


def test_an_intimate_purchase_is_never_spoken_of(shop):
    """i00002, whose title is Barang 2: neither as the reason for another item nor as bought before itself."""
    buyers = sorted({line["customer_id"] for line in everybodys(shop) if line["item_id"] == INTIMATE})
    own = 0
    for customer in buyers[:20]:
        for row in best(shop, customer, 40):
            assert not row["reason"].endswith("membeli Barang 2")
            assert INTIMATE not in {driver["item_id"] for driver in row["because"]}
            if row["item_id"] == INTIMATE:
                own += 1
                assert "Anda beli" not in row["reason"]
                assert "Anda membelinya" not in row["reason"]
    assert own


def test_a_customer_without_history_gets_a_full_list_of_what_many_buy(shop):
    found = best(shop, NEWCOMER, language="en")
    assert len(found) == 10
    assert all(row["reason"].startswith(("popular with ", "many other customers")) for row in found)
    assert not any(row["because"] for row in found)


def test_a_newcomer_gets_what_their_own_tier_buys_and_is_told_so(copied):
    """Gold members of this shop buy other things than the rest: its coffee is theirs."""
    people = pq.read_table(copied.source("customers"))
    tier = ["gold" if k % 4 == 0 else "bronze" for k in range(len(people))]
    tier[149], tier[148] = "gold", "bronze"
    columns = people.column_names
    people = people.set_column(columns.index("tier"), "tier", pa.array(tier, pa.string()))
    pq.write_table(people, copied.source("customers"))
    lines = pq.read_table(copied.source("purchases")).to_pylist()
    taste = {f"c{k:06d}": k % 4 == 0 for k in range(150)}
    coffee = {f"i{k:05d}" for k in range(0, 40, 4)}
    lines = [line for line in lines if (line["item_id"] in coffee) == taste[line["customer_id"]]]
    lines = [line for line in lines if line["customer_id"] not in ("c000148", "c000149")]
    schema = pq.read_schema(copied.source("purchases"))
    pq.write_table(pa.Table.from_pylist(lines, schema=schema), copied.source("purchases"))
    shutil.rmtree(copied.workspace.tables)
    shutil.rmtree(copied.workspace.models)
    copied.ingest()
    copied.train()
    gold, bronze = best(copied, "c000149", 5, language="en"), best(copied, "c000148", 5, language="en")
    assert {row["item_id"] for row in gold} <= coffee
    assert {row["item_id"] for row in bronze}.isdisjoint(coffee)
    assert {row["reason"].split(" in ")[0].split(" aged ")[0] for row in gold} == {"popular with gold members"}


def test_an_unknown_customer_is_wrong_input_with_an_example_of_an_id(shop):
    with pytest.raises(
        InputError, match=r"^customer: 'nobody': no purchases and no row in customers; .* like c000000$"
    ):
        best(shop, "nobody")


def test_recommending_changes_nothing(shop):
    before = folder_digest(shop.workspace.root)
    best(shop, "c000009")
    assert folder_digest(shop.workspace.root) == before


# --- lists -----------------------------------------------------------------------------------------------------------


def listed(path, text="customer_id\nc000009\nc000001\nc000149\nc000009\n"):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_is_scored_once_each_alike_to_csv_and_parquet(shop, tmp_path):
    customers = listed(tmp_path / "list.csv")
    counts = [score_customers(shop.workspace, customers, tmp_path / f"out.{kind}", 5) for kind in ("csv", "parquet")]
    assert counts == [{"rows": 15, "customers": 3, "without_history": 1}] * 2
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.equals(RECOMMENDATIONS.schema)
    assert table["customer_id"].to_pylist() == ["c000001"] * 5 + ["c000009"] * 5 + ["c000149"] * 5
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(RECOMMENDATIONS.schema.names)
    assert [line.split(",")[:3] for line in lines[1:]] == [
        [row["customer_id"], str(row["position"]), row["item_id"]] for row in table.to_pylist()
    ]
    alone = best(shop, "c000009", 5)
    assert [row["item_id"] for row in table.to_pylist()[5:10]] == [row["item_id"] for row in alone]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "out.csv", "out.parquet"]


def test_ids_of_a_list_are_text_also_where_they_look_like_numbers(tmp_path):
    listed(tmp_path / "a.csv", "nama;customer_id\nSiti;007\nBudi;\nAni;12\n")
    assert customer_ids(tmp_path / "a.csv").to_pylist() == ["007", "12"]
    pq.write_table(pa.table({"customer_id": [12, 7, 12, None]}), tmp_path / "a.parquet")
    assert customer_ids(tmp_path / "a.parquet").to_pylist() == ["12", "7"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\nc000001\n", "with a column customer_id"),
        ("", "customer_id"),
        ("customer_id\n", "there is no customer in it"),
        ("customer_id\nc000001\nx1\nx2\n", "customer: 2 of 3 are unknown, the first is 'x1'"),
    ],
)
def test_a_bad_list_is_one_clear_line_and_writes_nothing(shop, tmp_path, text, message):
    with pytest.raises(InputError) as error:
        score_customers(shop.workspace, listed(tmp_path / "list.csv", text), tmp_path / "out.csv", 5)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]


@pytest.mark.parametrize(
    ("customers", "out", "message"),
    [
        ("missing.csv", "out.csv", r"--customers .*missing.csv: no such file"),
        ("list.csv", "out.xlsx", r"--out .*out.xlsx: expected a name that ends in .csv or .parquet"),
        ("list.csv", "nowhere/out.csv", r"--out .*out.csv: there is no folder .*nowhere"),
        ("list.parquet", "out.csv", r"--customers .*list.parquet: "),
    ],
)
def test_a_wrong_path_is_named_with_its_option(shop, tmp_path, customers, out, message):
    listed(tmp_path / "list.csv")
    listed(tmp_path / "list.parquet", "not a Parquet file")
    with pytest.raises(InputError, match=message):
        score_customers(shop.workspace, tmp_path / customers, tmp_path / out, 5)


def test_the_history_told_is_what_the_model_knew(copied):
    """A purchase that came after the model was trained is not counted into its reasons."""
    row = bought(copied, "c000009")[0]
    later = [{**row, "line_id": f"n{k}", "order_id": f"n{k}"} for k in range(9)]
    copied.append("purchases", [{**line, "occurred_at": datetime(2017, 12, 6, tzinfo=UTC)} for line in later])
    before = best(copied, "c000009", 40)
    copied.ingest()
    assert best(copied, "c000009", 40) == before


def test_everybody_the_model_knows_gets_the_items_they_would_get_alone(copied):
    champion = load_champion(copied.workspace)
    manifest = publish_recommendations(copied.workspace, champion, 5)
    folder = copied.workspace.recommendations(champion.id)
    table = pq.read_table(folder / "recommendations.parquet")
    assert table.schema.equals(RECOMMENDATIONS.schema)
    assert manifest["counts"] == {
        "recommendations": table.num_rows,
        "customers": 150,  # among them those who have not bought yet
    }
    assert set(table["customer_id"].to_pylist()) == {f"c{k:06d}" for k in range(150)}
    customer = table["customer_id"][0].as_py()
    mine = [row["item_id"] for row in table.to_pylist() if row["customer_id"] == customer]
    alone = recommend_items(copied.workspace, copied.settings, customer, 5, discover=False, language="id")
    assert mine == [row["item_id"] for row in alone]
    before = folder_digest(folder)
    publish_recommendations(copied.workspace, champion, 5)
    assert folder_digest(folder) == before
