"""The certificate in plain words, and bars of limits on groups, guarantees and budgets that hold with a confidence."""

import copy
import json
from pathlib import Path

import pytest

from flows.reporting.bars import budget_bar, row_bar
from flows.reporting.certificate import certificate_words, night_words
from flows.reporting.report import write_report
from flows.reporting.words import load_words

SAMPLE = json.loads((Path(__file__).parent / "report_sample.json").read_text(encoding="utf-8"))["manifest"]
NIGHT = {
    "campaigns": ["harbolnas", "cashback"],
    "certificate": {"bound": 1010.0, "value": 1000.0, "gap": 0.0099, "left_on_the_table": 10.0},
    "first_come": {"value": 900.0, "lost": 100.0},
    "held": [{"campaign": "gajian", "occurrence": "20171211t170000z", "sha256": "0"}],
    "budgets": [{"funder": "sari-murni", "limit": 5000.0, "used": 5000.0, "price": 3.21, "own": 10}],
    "limits": [],
}


@pytest.fixture
def manifest():
    made = copy.deepcopy(SAMPLE)
    made["limits"] = [
        {"name": "jabar", "kind": "quota", "unit": "sent", "limit": 100.0, "used": 100.0, "price": 12.5},
        {"name": "ntt", "kind": "budget", "unit": "rupiah", "limit": 9e6, "used": 1e6, "price": 0.0},
        {"name": "janji", "kind": "minimum", "unit": "redeemed", "limit": 40.0, "used": 40.2, "price": 250.0},
    ]
    made["budgets"] = [{"funder": "merchant-a", "limit": 5_000_000, "used": 4_600_000, "price": 3.2}]
    made["channels"] = {"email": {"sent": 10, "capacity": 60_000, "price": 0.0, "message_cost": 0}}
    made["offers"] = made["offers"][:1]
    made["offers"][0] |= {
        "title": "Kopi",
        "titles": {"en": "Coffee", "id": "Kopi"},
        "quota": {"kind": "redeemed", "limit": 50_000, "used": 10_000.0, "price": 0.0},
    }
    made["certificate"]["left_on_the_table"] = 1_234_567.0
    made["first_come"] = {"value": 1.0, "lost": 2_000_000.0}
    made["night"] = NIGHT
    return made


def test_what_one_more_is_worth_and_what_is_not_needed_is_said_in_both_languages(manifest):
    said = certificate_words(manifest)
    assert said["id"][:2] == [
        "Yang tertinggal di meja: paling banyak Rp1.234.567.",
        "Rp2.000.000 lebih banyak daripada cara siapa cepat dia dapat.",
    ]
    assert said["en"][0] == "Left on the table: at most Rp1,234,567."
    assert "Satu rupiah lagi dari anggaran merchant-a akan menghasilkan Rp3,2." in said["id"]
    assert "One more rupiah of the merchant-a budget would bring Rp3.2." in said["en"]
    assert "40.000 voucher “Kopi” tidak diperlukan." in said["id"]
    assert "40,000 vouchers of “Coffee” are not needed." in said["en"]
    assert "One more rupiah of what sari-murni spends in a night would bring Rp3.21." in said["en"]
    assert "One more message within “jabar” would bring Rp12.5." in said["en"]
    assert "Rp8,000,000 within “ntt” is not needed." in said["en"]
    assert "One less for the guaranteed “janji” would bring Rp250." in said["en"]


def test_the_dearest_limit_comes_first(manifest):
    binding = [said for said in certificate_words(manifest)["en"] if "would bring" in said]
    assert binding[0].startswith("One more rupiah of the merchant-a budget")  # 3.2 × 5 million


@pytest.mark.parametrize(
    ("row", "state", "said"),
    [
        (0, "binding", "One more message within “jabar” would bring Rp12.5."),
        (1, "slack", "Rp8,000,000 within “ntt” stays unused."),
        (2, "binding", "One less for the guaranteed “janji” would bring Rp250."),
    ],
)
def test_a_limit_on_a_group_has_its_bar(manifest, row, state, said):
    bar = row_bar(load_words("en"), manifest["limits"][row])
    assert (bar.state, str(bar.sentence)) == (state, said)


def test_a_guarantee_that_is_broken_stands_out_and_one_with_room_says_so(manifest):
    words, least = load_words("en"), manifest["limits"][2]
    assert row_bar(words, least | {"used": 30.0}).state == "over"
    met = row_bar(words, least | {"used": 45.0, "price": 0.0})
    assert (met.state, str(met.sentence)) == ("slack", "The guarantee is met, with 5 to spare.")


def test_a_budget_that_holds_with_a_confidence_says_what_it_was_planned_with():
    budget = {"funder": "a", "limit": 5_000_000, "used": 4_600_000, "price": 3.2, "planned": 4_600_000.0}
    bar = budget_bar(load_words("en"), budget | {"confidence": 0.9})
    assert bar.state == "binding"
    assert bar.share == pytest.approx(0.92)
    assert "Planned with Rp4,600,000, so that the real figure stays within Rp5,000,000 with a probability of 90%." in (
        str(bar.sentence)
    )


def test_the_report_shows_the_night_the_words_and_where_prices_came_from(tmp_path, manifest):
    manifest["certificate"]["words"] = certificate_words(manifest)
    manifest["campaign"]["id"] = "harbolnas"
    manifest["started_from"] = [{"campaign": "harbolnas", "occurrence": "20161211t170000z", "sha256": "0"}]
    html = write_report(tmp_path, manifest, [], language="en").read_text(encoding="utf-8")
    for said in (
        "In plain words",
        "Decided together with cashback, as one problem.",
        "What had been given before was held fixed: gajian.",
        "began at the shadow prices of a former run (20161211t170000z)",
        "What the night's campaigns share",
        "janji",
    ):
        assert said in html


def test_what_a_limit_leaves_in_many_groups_is_one_sentence(manifest):
    row = {"kind": "quota", "unit": "sent", "limit": 100.0, "price": 0.0}
    left = {"kota: Ambon": 90, "kota: Bandung": 5, "kota: Jayapura": 100, "pulau: Bali": 99}
    manifest["limits"] = [row | {"name": name, "used": float(used)} for name, used in left.items()]
    said = certificate_words(manifest)
    assert said["en"][-2] == "“kota” has room to spare in 2 groups, most in Bandung (95)."
    assert said["en"][-1] == "1 messages within “pulau: Bali” are not needed."
    assert said["id"][-2] == "“kota” masih longgar di 2 kelompok, paling longgar di Bandung (95)."


def test_firings_of_one_campaign_in_a_night_are_told_apart_by_their_time(manifest):
    runs = [manifest | {"occurrence": name} for name in ("20171211t170000z", "20171212t050000z")]
    other = manifest | {"campaign": manifest["campaign"] | {"id": "raya"}}
    shared = {"certificate": NIGHT["certificate"], "first_come": NIGHT["first_come"], "budgets": [], "limits": []}
    said = night_words(shared | {"timezone": "Asia/Jakarta"}, [*runs, other])
    named = {sentence.split(": ")[0] for sentence in said["id"]}
    name = manifest["campaign"]["id"]
    assert {f"{name} (12 Desember 2017, 00.00 WIB)", f"{name} (12 Desember 2017, 12.00 WIB)", "raya"} <= named
    assert any(sentence.startswith(f"{name} (12 December 2017, 12:00 WIB): ") for sentence in said["en"])
