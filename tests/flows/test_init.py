"""A shop's own file becomes a workspace that works: its columns guessed, its dates and amounts read as written."""

import csv
import json
import tomllib
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.tables import CampaignError
from flows.campaign_files import check_campaigns
from flows.decide import decide_campaign
from flows.ingest import ingest_tables
from flows.init import init_workspace
from flows.settings import load_settings
from flows.train import train_models
from flows.workspace import open_workspace, read_table
from recsys.tables import InputError

HEADER = ("no_pesanan", "tanggal", "id_pelanggan", "sku", "nama_produk", "qty", "total", "email", "nama")
ROW = ("A1", "2017-11-30 10:15:00", "7", "K1", "Kopi", "2", "25000", "siti@pelanggan.example", "Siti")
AS_OF = datetime(2017, 12, 5, tzinfo=UTC)


def write_csv(path, rows, header=HEADER, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return path


def made(root, **sources):
    """larisma.toml of a new workspace, as read back."""
    init_workspace(root, {"purchases": None, "customers": None, **sources})
    return tomllib.loads((root / "larisma.toml").read_text(encoding="utf-8"))


def one_line(tmp_path, **changes):
    """What ingest makes of one line, with some of its values changed: the purchases row."""
    row = [changes.get(name, value) for name, value in zip(HEADER, ROW, strict=True)]
    made(tmp_path / "toko", purchases=write_csv(tmp_path / "penjualan.csv", [row]))
    workspace = open_workspace(tmp_path / "toko")
    ingest_tables(workspace, load_settings(workspace), AS_OF)
    return read_table(workspace, "purchases").to_pylist()[0]


# --- guessing --------------------------------------------------------------------------------------------------------


def test_the_columns_of_an_indonesian_export_are_guessed(tmp_path):
    path = write_csv(tmp_path / "penjualan.csv", [ROW])
    sources = made(tmp_path / "toko", purchases=path)["sources"]
    assert sources["purchases"] == {
        "path": str(path),
        "columns": {
            "order_id": "no_pesanan",
            "customer_id": "id_pelanggan",
            "item_id": "sku",
            "occurred_at": "tanggal",
            "kind": "'purchase'",
            "quantity": "qty",
            "amount": "total",
        },
        "item_columns": {"title": "nama_produk"},
    }
    assert sources["customers"] == {
        "path": str(path),
        "columns": {"customer_id": "id_pelanggan", "name": "nama"},  # email bears our name
    }


def test_guessing_sees_through_case_blanks_and_semicolons(tmp_path):
    header = ("No. Pesanan", "Tanggal", "ID Pelanggan", "SKU", "Nama Produk", "Jumlah", "Total Harga")
    path = write_csv(tmp_path / "penjualan.csv", [ROW[:7]], header, delimiter=";")
    workspace = tmp_path / "toko"
    columns = made(workspace, purchases=path)["sources"]["purchases"]["columns"]
    assert columns["order_id"] == '"No. Pesanan"'
    assert (columns["quantity"], columns["amount"]) == ("Jumlah", '"Total Harga"')
    place = open_workspace(workspace)
    assert ingest_tables(place, load_settings(place), AS_OF)["purchases"]["accepted"] == 1


@pytest.mark.parametrize("name", ["date", "Timestamp", "order date"])
def test_columns_named_like_words_of_sql_are_mapped_too(tmp_path, name):
    row = ("A1", "05/11/2017", "7", "K1", "Rp 25.000", "2")
    path = write_csv(tmp_path / "penjualan.csv", [row], ("invoice", name, "customer", "sku", "total", "qty"))
    made(tmp_path / "toko", purchases=path)
    workspace = open_workspace(tmp_path / "toko")
    ingest_tables(workspace, load_settings(workspace), AS_OF)
    (line,) = read_table(workspace, "purchases").to_pylist()
    assert (line["occurred_at"], line["amount"]) == (datetime(2017, 11, 4, 17, tzinfo=UTC), 25_000)


def test_a_column_that_cannot_be_guessed_is_left_to_fill_in_with_what_the_file_has(tmp_path):
    path = write_csv(tmp_path / "penjualan.csv", [("A1", "x")], ("no_pesanan", "entah"))
    made(tmp_path / "toko", purchases=path)
    text = (tmp_path / "toko" / "larisma.toml").read_text(encoding="utf-8")
    assert "# item_id = '…'  # needed; the file has no_pesanan, entah" in text


def test_a_file_without_addresses_makes_no_customers(tmp_path):
    path = write_csv(tmp_path / "penjualan.csv", [ROW[:7]], HEADER[:7])
    assert set(made(tmp_path / "toko", purchases=path)["sources"]) == {"purchases"}


def test_customers_of_their_own_file_are_mapped_and_parquet_is_read_as_well(tmp_path):
    people = tmp_path / "pelanggan.parquet"
    pq.write_table(pa.table({"ID Pelanggan": ["7"], "Nama": ["Siti"], "Kota": ["Bandung"], "Poin": [3]}), people)
    path = write_csv(tmp_path / "penjualan.csv", [ROW])
    sources = made(tmp_path / "toko", purchases=path, customers=people)["sources"]
    assert sources["customers"]["columns"] == {"customer_id": '"ID Pelanggan"', "name": "Nama", "city": "Kota"}


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2017-11-30 10:15:00", "2017-11-30T03:15:00"),
        ("30/11/2017", "2017-11-29T17:00:00"),
        ("05/11/2017 10:15", "2017-11-05T03:15:00"),  # the fifth of November
        ("30-11-2017 10:15:30", "2017-11-30T03:15:30"),
        ("11/30/2017", "2017-11-29T17:00:00"),
        ("1512011700000", "2017-11-30T03:15:00"),
        ("1512011700", "2017-11-30T03:15:00"),
    ],
)
def test_dates_are_read_as_the_file_writes_them(tmp_path, written, moment):
    assert one_line(tmp_path, tanggal=written)["occurred_at"].replace(tzinfo=None).isoformat() == moment


@pytest.mark.parametrize(
    ("written", "rupiah"),
    [
        ("25000", 25000),
        ("25000.50", 25001),
        ("25.5", 26),
        ("25.000", 25000),
        ("Rp 1.250.000", 1250000),
        ("Rp1.250.000,00", 1250000),
        ("4,96", 5),
        ("1.018,50", 1019),
        ("$1,250.50", 1251),
    ],
)
def test_amounts_are_read_as_the_file_writes_them(tmp_path, written, rupiah):
    assert one_line(tmp_path, total=written)["amount"] == rupiah


def test_days_and_months_are_told_apart_by_the_whole_file(tmp_path):
    rows = [("11/1/2000", "7", "K1", "2", "100")] * 2000 + [("11/13/2000", "7", "K1", "2", "100")]
    path = write_csv(tmp_path / "l.csv", rows, ("TRANSACTION_DT", "CUSTOMER_ID", "PRODUCT_ID", "Qty", "Total"))
    columns = made(tmp_path / "toko", purchases=path)["sources"]["purchases"]["columns"]
    assert columns["occurred_at"] == "strptime(TRANSACTION_DT, '%m/%d/%Y')"


def test_what_a_file_lacks_is_made_from_what_it_has(tmp_path):
    header = ("t_dat", "customer_id", "article_id", "price")
    path = write_csv(
        tmp_path / "l.csv", [("2020-01-27", "7", "0108", "1.50"), ("2020-01-27", "7", "0109", "2")], header
    )
    columns = made(tmp_path / "toko", purchases=path)["sources"]["purchases"]["columns"]
    assert (columns["quantity"], columns["amount"]) == ("1", "price")
    workspace = open_workspace(tmp_path / "toko")
    ingest_tables(workspace, load_settings(workspace), AS_OF.replace(year=2021))
    lines = read_table(workspace, "purchases").to_pylist()
    assert sorted((line["item_id"], line["quantity"]) for line in lines) == [("0108", 1), ("0109", 1)]
    assert len({line["order_id"] for line in lines}) == 1


@pytest.mark.parametrize(
    ("coding", "named"), [("latin-1", "windows-1252"), ("utf-16", "utf-16"), ("utf-8-sig", None), ("utf-8", None)]
)
def test_the_encoding_of_a_file_is_found_out(tmp_path, coding, named):
    path = tmp_path / "l.csv"
    path.write_text('"Nota";"Date";"Customer";"SKU";"Qty";"Total";"Title"\n'
                    '"A1";"15.02.2011 09:31";"7";"K1";"2";"4,96";"Größe"\n', encoding=coding)  # fmt: skip
    source = made(tmp_path / "toko", purchases=path)["sources"]["purchases"]
    assert source.get("encoding") == named
    workspace = open_workspace(tmp_path / "toko")
    ingest_tables(workspace, load_settings(workspace), AS_OF)
    assert read_table(workspace, "items").to_pylist()[0]["title"] == "Größe"


@pytest.mark.parametrize("name", ["Toko Bu \"Siti\" 'Jaya'", "toko\\baru", "ToKo_12"])
def test_any_folder_s_name_makes_a_workspace_that_loads(tmp_path, name):
    root = tmp_path / name
    path = write_csv(tmp_path / "pen'ju\"alan.csv", [ROW])
    assert made(root, purchases=path)["shop"] == name
    settings = load_settings(open_workspace(root))
    assert settings.sources["purchases"][0].path == str(path)
    assert settings.shop_url.removeprefix("https://").replace("-", "").replace(".", "").isalnum()


def test_without_files_there_is_a_workspace_to_fill_in_with_a_campaign(tmp_path):
    wrote = init_workspace(tmp_path / "toko", {"purchases": None, "customers": None})
    assert wrote == [str(tmp_path / "toko" / "larisma.toml"), str(tmp_path / "toko" / "campaigns" / "gajian.yaml")]
    assert load_settings(open_workspace(tmp_path / "toko")).consent.assume == ()


def test_a_workspace_that_is_there_is_left_alone(tmp_path):
    made(tmp_path / "toko")
    (tmp_path / "toko" / "larisma.toml").write_text("# mine")
    with pytest.raises(InputError, match=r"larisma.toml: there is a workspace here already"):
        made(tmp_path / "toko")
    assert (tmp_path / "toko" / "larisma.toml").read_text() == "# mine"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "missing.csv: no such file"),
        ("broken.parquet", b"PAR1 not really", "broken.parquet: not readable as parquet"),
        ("empty.csv", b"", "empty.csv"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_line_and_nothing_is_made(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        made(tmp_path / "toko", purchases=tmp_path / name)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "toko").exists()


# --- the small shop --------------------------------------------------------------------------------------------------


def orders():
    """500 customers' orders over a year, each of one to three of 60 goods, with a taste for one shelf of six."""
    random = np.random.default_rng(3)
    rows = []
    for number in range(5_000):
        customer = int(random.integers(500))
        moment = AS_OF - timedelta(minutes=int(random.integers(60, 365 * 1440)))
        for _ in range(int(random.integers(1, 4))):
            shelf = customer % 6 if random.random() < 0.8 else int(random.integers(6))
            item = shelf * 10 + int(random.integers(10))
            quantity = int(random.integers(1, 4))
            total = f"{quantity * (20_000 + 2_000 * item):,}".replace(",", ".")
            who = (f"p{customer}@pelanggan.example", f"Pelanggan {customer}")
            day = f"{moment:%d/%m/%Y %H:%M}"
            rows.append((f"N{number}", day, customer, f"S{item}", f"Barang {item}", quantity, f"Rp {total}", *who))
    return rows


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """init, ingest, train: as a shop with one file does it."""
    folder = tmp_path_factory.mktemp("small")
    init_workspace(folder / "toko", {"purchases": write_csv(folder / "penjualan.csv", orders()), "customers": None})
    workspace = open_workspace(folder / "toko")
    settings = load_settings(workspace)
    counts = ingest_tables(workspace, settings, AS_OF)
    train_models(workspace, settings, AS_OF)
    return workspace, settings, counts


def test_one_file_gives_purchases_items_and_customers(small):
    workspace, _, counts = small
    assert counts["purchases"]["quarantined"] == 0
    assert counts["customers"]["rows"] == 500
    assert counts["items"]["rows"] == 60
    assert read_table(workspace, "items")["title"].to_pylist()[0] == "Barang 0"


def test_the_first_campaign_has_no_fault_but_that_nobody_has_consented_yet(small, monkeypatch):
    workspace, settings, _ = small
    with pytest.raises(
        CampaignError, match=r"^gajian.yaml:\d+: nobody can be written to: 500 no consent; .*consent.assume"
    ):
        check_campaigns(workspace, settings, None, AS_OF)
    monkeypatch.setenv("LARISMA_CONSENT__ASSUME", json.dumps(["email"]))
    ((checked),) = check_campaigns(workspace, load_settings(workspace), None, AS_OF)
    assert checked["campaign"] == "gajian"


def test_nobody_is_written_to_until_the_shop_says_that_it_holds_their_consent(small):
    workspace, settings, _ = small
    manifest = decide_campaign(workspace, settings, "gajian", AS_OF)
    assert dict(manifest["funnel"]) == {
        **dict.fromkeys(dict(manifest["funnel"]), 0),
        "customers": 500,
        "no consent": 500,
    }
    assert manifest["counts"]["messages"] == 0


def test_with_consent_the_first_campaign_reaches_likely_buyers_at_a_profit(small, monkeypatch):
    workspace, _, _ = small
    monkeypatch.setenv("LARISMA_CONSENT__ASSUME", json.dumps(["email"]))
    manifest = decide_campaign(workspace, load_settings(workspace), "gajian", AS_OF)
    funnel = dict(manifest["funnel"])
    assert funnel["addressed"] > 200
    assert 20 < funnel["control group"] < 80
    assert manifest["certificate"]["value"] > 100 * funnel["addressed"]
    assert manifest["certificate"]["gap"] < 0.02
    assert manifest["counts"]["messages"] == funnel["addressed"]
    budget = manifest["budgets"][0]
    assert 0 < budget["used"] <= budget["limit"]
