"""An offer with a share of a funder that has not agreed is given to nobody, and everything says why."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from flows.approving.agreements import agree, agreement_of, waiting_offers, withdraw_agreement
from flows.approving.approvals import approve, meaning, require_approval, run_meaning
from flows.approving.review import warnings
from flows.approving.terms import write_terms
from flows.campaign_files import find_campaign
from flows.catalogue import read_items
from flows.demo.run import funders_agree
from flows.explain import explain_decision
from flows.forecast import forecast_campaign
from flows.settings import load_settings
from recsys.tables import InputError

AT = datetime(2017, 12, 1, tzinfo=UTC)


@pytest.fixture
def asking(copied):
    """The shop, whose offers wait for those who co-fund them: `kopi` for sari-murni."""
    path = copied.workspace.settings_file
    path.write_text(path.read_text(encoding="utf-8").replace('"assumed"', '"required"'), encoding="utf-8")
    return replace(copied, settings=load_settings(copied.workspace))


def campaign(shop):
    return find_campaign(shop.workspace, "panen")


def waiting(shop):
    return waiting_offers(shop.workspace, shop.settings, campaign(shop), read_items(shop.workspace))


def standing(shop):
    return agreement_of(shop.workspace, shop.settings, campaign(shop), "sari-murni", read_items(shop.workspace))


def agreed(shop, by="Dewi"):
    return agree(shop.workspace, shop.settings, campaign(shop), "sari-murni", by, AT)


def test_an_offer_waits_for_its_funder_and_is_given_to_nobody(asking):
    decided = asking.decide()
    kopi, *others = decided.manifest["offers"]
    assert (kopi["offer_id"], kopi["waits_for"], kopi["decisions"]) == ("kopi", ["sari-murni"], 0)
    assert all(offer["waits_for"] == [] for offer in others)
    assert sum(offer["decisions"] for offer in others) > 0
    assert decided.rows("decisions", offer_id="kopi") == decided.rows("considered", offer_id="kopi") == []
    (sari,) = [budget for budget in decided.manifest["budgets"] if budget["funder"] == "sari-murni"]
    assert sari["used"] == 0


def test_with_the_agreement_it_is_decided_as_where_agreements_are_assumed(asking, shop):
    entry = agreed(asking)
    assert waiting(asking) == {}
    found = asking.decide()
    assert found.manifest["agreements"] == {"sari-murni": entry["hash"]}
    usual = shop.rows("decisions")
    assert found.rows("decisions") == usual
    assert [row for row in usual if row["offer_id"] == "kopi"]


def test_who_could_get_only_such_an_offer_is_counted_under_that_reason(asking):
    asking.edit_campaign("    uplift: 0.5\n    group: minuman\n    text: &kopi", "    uplift: 0.5\n    text: &kopi")
    asking.edit_campaign(
        'scope: {categories: ["Dapur > Teh"]}',
        'scope: {categories: ["Dapur > Teh"]}\n    eligibility: "tier = \'gold\'"',
    )
    asking.edit_campaign("min_spend: 30000", "eligibility: \"tier = 'gold'\"\n    min_spend: 30000")
    decided = asking.decide()
    funnel = dict(decided.manifest["funnel"])
    assert funnel["funder has not agreed"] == len(decided.rows("left_out", reason="funder has not agreed")) > 0
    total, *rest = decided.manifest["funnel"]
    assert total[1] == sum(people for _, people in rest)
    page = (decided.run / "report.html").read_text(encoding="utf-8")
    assert "menunggu sari-murni" in page
    assert "Penawarannya menunggu persetujuan pendana" in page
    somebody = decided.rows("left_out", reason="funder has not agreed")[0]["customer_id"]
    said = explain_decision(decided.workspace, decided.settings, "panen", somebody, "en")
    assert {"kopi": "waits for the agreement of sari-murni"}.items() <= {
        row["offer_id"]: row["reason"] for row in said["offers"]
    }.items()


def test_a_campaign_of_which_no_offer_is_agreed_is_refused_by_the_funders_name(asking):
    asking.edit_campaign("    quota: {sent: 20}\n", "    quota: {sent: 20}\n    funders: {sari-murni: 1.0}\n")
    asking.edit_campaign(
        "    benefit: {kind: points_multiplier, factor: 3}\n",
        "    benefit: {kind: points_multiplier, factor: 3}\n    funders: {sari-murni: 1.0}\n",
    )
    asking.edit_campaign("    min_spend: 30000\n", "    min_spend: 30000\n    funders: {sari-murni: 1.0}\n")
    with pytest.raises(InputError, match="no offer is left: its terms wait for sari-murni to agree"):
        asking.decide()


def test_a_guarantee_and_a_fallback_wait_with_their_offer(asking):
    asking.edit_campaign("    quota: {redeemed: 9}\n", "    quota: {redeemed: 9}\n    minimum: {sent: 5}\n")
    asking.edit_campaign("offers:\n", "fallback: kopi\noffers:\n")
    decided = asking.decide()
    assert decided.manifest["offers"][0]["decisions"] == 0
    assert [limit for limit in decided.manifest["limits"] if limit["kind"] == "minimum"] == []


def test_a_forecast_is_as_if_all_had_agreed_and_says_so(asking):
    found = forecast_campaign(asking.workspace, asking.settings, "panen", asking.as_of, "id")
    assert found["as_if_agreed"] == {"kopi": ["sari-murni"]}
    assert found["offers"][0]["decisions"] > 0
    page = (asking.workspace.root / "forecasts" / "panen" / f"{found['occurrence']}.html").read_text(encoding="utf-8")
    assert "seolah-olah semua pendana setuju; yang belum: kopi (sari-murni)" in page


def reprice(shop, item_id, price):
    table = pq.read_table(shop.source("items"))
    prices = [
        price if name == item_id else old
        for name, old in zip(*table.select(["item_id", "price"]).to_pydict().values(), strict=True)
    ]
    pq.write_table(
        table.set_column(table.column_names.index("price"), "price", [prices]).cast(table.schema), shop.source("items")
    )
    shop.ingest()


def test_a_price_that_changes_what_the_funder_pays_voids_its_agreement(asking):
    agreed(asking)
    item = next(path for path in standing(asking).terms.values["items"] if ".items." in path).rpartition(".")[2]
    reprice(asking, item, 20_000)
    found = standing(asking)
    assert found.state == "changed"
    assert [change.path for change in found.changes] == [f"offers[kopi].items.{item}"]
    assert waiting(asking) == {"kopi": ("sari-murni",)}
    assert "agreed to other terms (1 changes" in warnings(asking.workspace, asking.settings, campaign(asking))[0]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{retailer: 0.5, sari-murni: 0.5}", "{retailer: 0.4, sari-murni: 0.6}"),
        ("sari-murni: 12000", "sari-murni: 13000"),
        ("percent: 4,", "percent: 5,"),
        ('"Dapur > Kopi"]', '"Dapur > Kopi", "Dapur > Teh"]'),
        ("weekday: friday", "weekday: monday"),
        ("redeemed: 9", "redeemed: 10"),
    ],
    ids=["share", "cap", "benefit", "items", "dates", "quota"],
)
def test_a_change_of_its_part_voids_a_funders_agreement(asking, old, new):
    agreed(asking)
    asking.edit_campaign(old, new)
    assert standing(asking).state == "changed"
    assert waiting(asking) == {"kopi": ("sari-murni",)}


def test_in_the_demo_every_funder_agrees(asking):
    assert waiting(asking)
    funders_agree(asking.workspace, AT)
    assert waiting(asking) == {}
    assert standing(asking).last["by"] == "sari-murni (demo)"


def test_what_is_not_its_part_leaves_the_agreement(asking):
    agreed(asking)
    asking.edit_campaign("Kopi hemat", "Kopi murah")
    asking.edit_campaign("retailer: 150000", "retailer: 160000")
    assert waiting(asking) == {}


def test_an_agreement_can_be_taken_back(asking):
    agreed(asking)
    withdraw_agreement(asking.workspace, "panen", "sari-murni", "Dewi", AT + timedelta(days=1))
    assert standing(asking).state == "withdrawn"
    assert waiting(asking) == {"kopi": ("sari-murni",)}
    with pytest.raises(InputError, match="nothing to withdraw"):
        withdraw_agreement(asking.workspace, "panen", "sari-murni", "Dewi", AT)


@pytest.mark.parametrize(
    ("funder", "said"),
    [("retailer", "is the shop itself"), ("sari-murn", "pays for no offer of it; did you mean 'sari-murni'")],
)
def test_who_does_not_co_fund_a_campaign_has_nothing_to_agree_to(copied, funder, said):
    with pytest.raises(InputError, match=said):
        agree(copied.workspace, copied.settings, campaign(copied), funder, "Dewi", AT)


def test_where_agreements_are_assumed_nothing_waits_and_nothing_is_said(copied):
    assert waiting(copied) == {}
    assert warnings(copied.workspace, copied.settings, campaign(copied)) == []


@pytest.mark.parametrize("language", ["id", "en"])
def test_the_terms_are_a_page_and_a_list_of_items(copied, tmp_path, language):
    digest, (page, listed) = write_terms(
        copied.workspace, copied.settings, campaign(copied), "sari-murni", tmp_path, copied.as_of, language
    )
    html = (tmp_path / "panen-sari-murni.html").read_text(encoding="utf-8")
    assert page.endswith("panen-sari-murni.html")
    assert digest == standing(copied).terms.hash
    said = [digest, "Rp12.000", "50%", "Rp2.500", "Dapur &gt; Kopi", "Toko Uji"]
    said += (
        ["Jumat, 8 Desember 2017, 09.00", "27 Desember 2017"]
        if language == "id"
        else ["Friday, 8 December 2017, 09:00"]
    )
    assert [part for part in said if part not in html.replace("\u00a0", " ")] == []
    assert "{" not in html.partition("</style>")[2]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "panen-sari-murni.csv").read_text(encoding="utf-8"))))
    assert listed.endswith(".csv")
    assert {row["offer_id"] for row in rows} == {"kopi"}
    assert {row["category"] for row in rows} == {"Dapur > Kopi"}
    first = rows[0]
    assert int(first["benefit_of_one"]) == round(0.04 * int(first["price"]))
    assert int(first["share_of_one"]) == round(0.02 * int(first["price"]))


def test_the_same_terms_are_the_same_bytes(copied, tmp_path):
    for folder in ("a", "b"):
        write_terms(
            copied.workspace, copied.settings, campaign(copied), "sari-murni", tmp_path / folder, copied.as_of, "id"
        )
    for ending in ("html", "csv"):
        assert (tmp_path / "a" / f"panen-sari-murni.{ending}").read_bytes() == (
            tmp_path / "b" / f"panen-sari-murni.{ending}"
        ).read_bytes()


def test_a_run_is_not_delivered_once_a_funder_of_its_offers_does_not_agree_any_more(asking):
    agreed(asking)
    decided = asking.decide()
    place, found = asking.workspace, campaign(asking)
    approve(place, asking.settings, found, "Rina", AT)
    assert require_approval(place, asking.settings, decided.manifest) == decided.manifest["campaign"]["fingerprint"]
    withdraw_agreement(place, "panen", "sari-murni", "Dewi", AT + timedelta(days=1))
    with pytest.raises(InputError, match="it gives kopi, to which sari-murni does not agree any more"):
        require_approval(place, asking.settings, decided.manifest)
    again = asking.decide()
    assert require_approval(place, asking.settings, again.manifest)


def test_a_run_says_what_it_was_decided_from(shop):
    now = meaning(shop.settings, campaign(shop))
    assert shop.manifest["campaign"]["fingerprint"] == now.whole
    assert run_meaning(shop.workspace, shop.manifest) == now.values
