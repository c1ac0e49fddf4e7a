"""Two real files by configuration alone, counted independently. Skipped where the files are not at hand."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from flows.ingest import ingest_tables
from flows.settings import load_settings
from flows.workspace import open_workspace, read_table
from recsys.interactions import build_matrix

PROJECT = Path(__file__).parents[2]
DATA = PROJECT.parent / "shared" / "data" / "online_retail"
EXAMPLE = PROJECT / "docs" / "examples" / "online_retail.toml"
SERVICES = {"POST", "D", "M", "DOT", "BANK CHARGES", "C2", "C3", "CRUK", "S", "B"}
SERVICES |= {"AMAZONFEE", "ADJUST", "ADJUST2", "PADS", "GIFT"}


pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="the Online Retail files are not beside the checkout"),
    pytest.mark.xdist_group("online retail"),
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("online_retail")
    shutil.copy(EXAMPLE, folder / "larisma.toml")
    for file in DATA.glob("*.parquet"):
        (folder / file.name).symlink_to(file)
    workspace = open_workspace(folder)
    return workspace, ingest_tables(workspace, load_settings(workspace), datetime(2018, 1, 1, tzinfo=UTC))


def test_online_retail_loads_by_configuration_alone_and_balances_to_the_row(loaded):
    workspace, summary = loaded
    counts = summary["purchases"]
    names = ["order", "item", "title", "quantity", "at", "price", "customer", "country"]
    second = pd.read_parquet(DATA / "online_retail_II_2009_2010.parquet").set_axis(names, axis=1)
    first = pd.read_parquet(DATA / "online_retail_2010_2011.parquet").set_axis(names, axis=1)
    lines = pd.concat([second[second["at"] < "2010-12-01 08:26"], first])
    lines["item"] = lines["item"].str.upper()
    lines = lines[~lines["item"].isin(SERVICES) & (lines["price"] != 0)]
    known = lines[lines["customer"].notna()]
    returned = known["order"].str.startswith("C")
    known = known.assign(quantity=known["quantity"].where(~returned, -known["quantity"]))
    unique = known.drop_duplicates(["order", "customer", "item", "at", "quantity", "price"])
    assert counts["read"] == len(second) + len(first)
    assert counts["left_out"] == counts["read"] - len(lines)
    assert counts["reasons"] == {"missing_customer_id": len(lines) - len(known)}
    assert (counts["accepted"], counts["duplicate"]) == (len(unique), len(known) - len(unique))
    purchases = read_table(workspace, "purchases", columns=["kind", "amount", "quantity"]).to_pandas()
    assert (purchases["kind"] == "return").sum() == unique["order"].str.startswith("C").sum()
    assert purchases["amount"].sum() == (unique["price"] * unique["quantity"] * 20000).round().astype("int64").sum()
    assert set(read_table(workspace, "items")["item_id"].to_pylist()) == set(unique["item"])


def test_a_cancelled_invoice_takes_its_purchase_out_of_the_matrix_from_that_minute_on(loaded):
    # Customer 12346 bought 74,215 jars at 10.01 on 18 January 2011, and sent them all back at 10.17.
    purchases = read_table(loaded[0], "purchases")

    def weight(hour, minute):
        found = build_matrix(purchases, datetime(2011, 1, 18, hour, minute, tzinfo=UTC), half_life_days=None)
        row, column = found.customer_rows(pa.array(["12346"]))[0], found.item_rows(pa.array(["23166"]))[0]
        return found.matrix[row, column] if row >= 0 and column >= 0 else 0.0

    assert [weight(10, 0), weight(10, 10), weight(10, 18)] == [0.0, 1.0, 0.0]
