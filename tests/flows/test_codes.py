"""Voucher codes through ingest, decide, messages and the export."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.tables import CODES, CampaignError
from flows.campaign_files import find_campaign
from flows.cli import run
from flows.codes import export_codes, plain
from flows.settings import load_settings

KOPI = 'scope: {categories: ["Dapur > Kopi"]}'


@pytest.fixture
def coded(copied):
    """A shop with so many codes in a pool; its offer of coffee gives them, that of tea a shared one."""

    def made(count: int, pool: str = "ngopi"):
        rows = [{"code": f"NGOPI-{k:04}", "pool": pool, "valid_until": None} for k in range(count)]
        pq.write_table(pa.Table.from_pylist(rows, schema=CODES.schema), copied.source("codes"))
        settings = copied.workspace.settings_file
        settings.write_text(
            settings.read_text(encoding="utf-8") + '\n[[sources.codes]]\npath = "sources/codes.parquet"\n', "utf-8"
        )
        copied.edit_campaign("  - id: kopi\n", "  - id: kopi\n    code: {pool: ngopi}\n")
        copied.edit_campaign("  - id: teh\n", "  - id: teh\n    code: {shared: TEHHEMAT}\n")
        shop = type(copied)(copied.workspace, load_settings(copied.workspace), copied.as_of, copied.clock)
        shop.ingest()
        return shop

    return made


def test_each_customer_gets_a_code_of_their_own_in_decision_and_message(coded):
    decided = coded(500).decide()
    kopi = decided.rows("decisions", offer_id="kopi", arm="treatment")
    assert kopi
    codes = {row["customer_id"]: row["code"] for row in kopi}
    assert len(set(codes.values())) == len(codes) == len(kopi)
    assert all(code.startswith("NGOPI-") for code in codes.values())
    assert {row["code"] for row in decided.rows("decisions", offer_id="teh", arm="treatment")} <= {"TEHHEMAT"}
    assert {row["code"] for row in decided.rows("decisions", arm="control")} <= {None}
    for row in decided.rows("messages"):
        others = set(codes.values()) - {codes.get(row["customer_id"])}
        said = row["body_text"] + (row["payload"] or "")
        assert codes.get(row["customer_id"], "") in said
        assert not any(other in said for other in others)


def test_no_more_messages_carry_the_offer_than_there_are_codes(coded):
    few = coded(3).decide()
    assert len(few.rows("decisions", offer_id="kopi", arm="treatment")) == 3


def test_an_empty_pool_is_said_before_anything_is_decided(coded):
    with pytest.raises(CampaignError, match=r"panen\.yaml: code pool 'ngopi' has no code left"):
        coded(3, pool="another").decide()


def test_deciding_again_gives_the_same_codes_and_another_run_none_of_them(coded):
    shop = coded(500)
    first = shop.decide()
    given = {row["customer_id"]: row["code"] for row in first.rows("decisions", offer_id="kopi", arm="treatment")}
    again = {
        row["customer_id"]: row["code"] for row in shop.decide().rows("decisions", offer_id="kopi", arm="treatment")
    }
    assert again == given
    shop.write_campaign(
        (shop.workspace.campaigns / "panen.yaml").read_text(encoding="utf-8").replace("id: panen", "id: lain", 1),
        "lain",
    )
    other = shop.decide("lain")
    run_of = shop.workspace.run("lain", other.manifest["occurrence"])
    theirs = pq.read_table(run_of / "decisions.parquet").to_pylist()
    assert not {row["code"] for row in theirs if row["offer_id"] == "kopi"} & set(given.values())


def test_the_export_has_each_code_with_its_customer_terms_and_validity(coded, tmp_path, capsys):
    decided = coded(500).decide()
    out = tmp_path / "codes.csv"
    found = find_campaign(decided.workspace, "panen")
    rows = export_codes(decided.workspace, found, decided.manifest["occurrence"], out)
    with out.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == rows > 0
    given = {(row["code"], row["customer_id"], row["offer_id"]) for row in decided.rows("decisions") if row["code"]}
    assert {(row["code"], row["customer_id"], row["offer_id"]) for row in written} == given
    assert all(row["valid_from"] < row["valid_until"] and row["benefit"] for row in written)
    assert run(["campaign", "codes", "panen", "--out", str(out), "-w", str(decided.workspace.root)]) == 0
    assert f"wrote {out}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("text", ["=1+1", "+62", "-1", "@a", "\tx", "\rx"])
def test_no_cell_of_an_export_is_a_formula(text):
    assert plain(text) == f"'{text}"
    assert plain("aman") == "aman"
    assert plain(-5) == -5


def test_codes_that_cannot_be_typed_and_repeated_ones_are_put_aside(coded):
    shop = coded(100)
    shop.append(
        "codes", [{"code": code, "pool": "ngopi", "valid_until": None} for code in ("=1+1", "A B", "NGOPI-0000")]
    )
    counted = shop.ingest()["codes"]
    assert counted["reasons"] == {"unreadable_code": 2}
