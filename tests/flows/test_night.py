"""The campaigns of a night are decided as one problem: people, budgets and limits are shared, and each has its run."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date

import pyarrow.parquet as pq
import pytest

import flows.night
from campaigns.allocation import MinimumsError
from campaigns.tables import CampaignError
from flows.asked import check_limits
from flows.campaign_files import load_campaigns
from flows.decide import decide_campaign, decide_night
from flows.deciding.due import due_on
from flows.explain import explain_decision
from flows.night import decide_tonight
from flows.settings import load_settings
from flows.workspace import RunError, Workspace, folder_digest, read_json

FRIDAY = date(2017, 12, 8)
SHARED = """
[contact.most]
day = 1
[night.budgets]
sari-murni = 14000
[[night.limits]]
id = "teh-malam"
offers = ["teh"]
for_each = "city"
quota = { sent = 6 }
"""
RAYA = (
    ("id: panen", "id: raya"),
    ("name: Pesta Panen", "name: Raya"),
    ('time: "09:00"', 'time: "17:00"'),
    ("retailer: 150000", "retailer: 90000"),
)


def with_raya(shop, root):
    """The shop with a second campaign on the same Friday, and what the two share."""
    shutil.copytree(shop.workspace.root, root, symlinks=True)
    shutil.rmtree(root / "runs")
    workspace = Workspace(root)
    text = (workspace.campaigns / "panen.yaml").read_text(encoding="utf-8")
    for old, new in RAYA:
        assert old in text
        text = text.replace(old, new)
    (workspace.campaigns / "raya.yaml").write_text(text, encoding="utf-8")
    with (root / "larisma.toml").open("a", encoding="utf-8") as settings:
        settings.write(SHARED)
    return replace(shop, workspace=workspace, settings=load_settings(workspace), manifest=None)


def decided(shop):
    due = due_on(load_campaigns(shop.workspace), shop.settings, FRIDAY, shop.as_of)
    return decide_night(shop.workspace, shop.settings, FRIDAY, due, shop.as_of)


@pytest.fixture(scope="module")
def night(shop, tmp_path_factory):
    """(the shop, the night's manifest); to be read only."""
    made = with_raya(shop, tmp_path_factory.mktemp("night") / "shop")
    return made, decided(made)


@pytest.fixture
def changed(night, tmp_path):
    """The same night's shop, to be changed."""
    root = tmp_path / "shop"
    shutil.copytree(night[0].workspace.root, root, symlinks=True)
    return replace(night[0], workspace=Workspace(root))


def rows(shop, campaign, table):
    (path,) = shop.workspace.root.glob(f"runs/{campaign}/*/{table}.parquet")
    return pq.read_table(path).to_pylist()


def run_manifest(shop, campaign):
    (path,) = shop.workspace.root.glob(f"runs/{campaign}/*/manifest.json")
    return read_json(path)


def test_every_campaign_that_is_due_has_its_run_and_the_night_its_manifest(night):
    shop, manifest = night
    assert [row["campaign"] for row in manifest["campaigns"]] == ["panen", "raya"]
    assert manifest == read_json(shop.workspace.night(FRIDAY) / "manifest.json")
    for row in manifest["campaigns"]:
        run = shop.workspace.run(row["campaign"], row["occurrence"])
        assert (run / "report.html").stat().st_size > 0
        assert row["messages"] == len(rows(shop, row["campaign"], "messages")) > 0
        assert run_manifest(shop, row["campaign"])["night"]["campaigns"] == ["panen", "raya"]


def test_nobody_gets_more_messages_in_a_night_than_the_contact_policy_leaves(night):
    shop, _ = night
    written = Counter(row["customer_id"] for name in ("panen", "raya") for row in rows(shop, name, "messages"))
    assert max(written.values()) == 1


def test_a_budget_of_the_night_holds_for_all_campaigns_together(night):
    shop, manifest = night
    spent = Counter()
    for name in ("panen", "raya"):
        for row in rows(shop, name, "decisions"):
            if row["arm"] == "treatment":
                spent.update({cost["funder"]: cost["amount"] for cost in row["costs"]})
    (budget,) = manifest["budgets"]
    assert budget["used"] == spent["sari-murni"] <= budget["limit"] == 14_000
    assert spent["sari-murni"] > 12_000  # and it binds: alone each could spend 12.000


def test_a_limit_of_the_night_holds_in_each_city_for_all_campaigns_together(night):
    shop, manifest = night
    cities = {row["customer_id"]: row["city"] for row in pq.read_table(shop.source("customers")).to_pylist()}
    given = Counter(
        cities[row["customer_id"]]
        for name in ("panen", "raya")
        for row in rows(shop, name, "decisions")
        if row["offer_id"] == "teh" and row["arm"] == "treatment"
    )
    assert {row["name"] for row in manifest["limits"]} == {"teh-malam: Bandung", "teh-malam: Makassar"}
    for row in manifest["limits"]:
        assert row["used"] == given[row["name"].removeprefix("teh-malam: ")] <= 6


def test_the_nights_certificate_is_of_the_runs_together_and_each_runs_own_is_no_weaker(night):
    shop, manifest = night
    certificate, runs = manifest["certificate"], [run_manifest(shop, name) for name in ("panen", "raya")]
    assert certificate["value"] == pytest.approx(sum(run["certificate"]["value"] for run in runs))
    assert certificate["worst_violation"] == 0
    assert certificate["value"] <= certificate["bound"] * (1 + 1e-9)
    assert manifest["first_come"]["value"] == pytest.approx(sum(run["first_come"]["value"] for run in runs))
    for run in runs:
        left = run["certificate"]["bound"] - run["certificate"]["value"]
        assert left == pytest.approx(certificate["left_on_the_table"], abs=1e-3)
    assert certificate["words"]["id"][0].startswith("Yang tertinggal di meja: paling banyak Rp")
    assert any(said.startswith("panen: ") for said in certificate["words"]["en"])


def test_who_is_written_to_by_the_other_campaign_is_told_so_in_both_languages(night):
    shop, _ = night
    stopped = [row for row in rows(shop, "panen", "considered") if row["reason"] == "message of raya"]
    assert stopped
    customer = stopped[0]["customer_id"]
    for language, said in (("id", "Pesan dari kampanye raya"), ("en", "A message of campaign raya")):
        found = explain_decision(shop.workspace, shop.settings, "panen", customer, language)
        assert any(row["reason"].startswith(said) for row in found["offers"])


def test_an_offer_that_the_customer_may_not_get_is_explained_by_its_rule(night):
    shop, _ = night
    silver = {row["customer_id"] for row in rows(shop, "panen", "considered") if row["offer_id"] != "sabun"}
    silver -= {row["customer_id"] for row in rows(shop, "panen", "considered") if row["offer_id"] == "sabun"}
    for language, said in (("id", "tidak memenuhi syarat: tier = 'gold'"), ("en", "not eligible: tier = 'gold'")):
        found = explain_decision(shop.workspace, shop.settings, "panen", min(silver), language)
        assert [row["reason"] for row in found["offers"] if row["offer_id"] == "sabun"] == [said]
        assert len(found["offers"]) == 4  # every offer has one reason


def test_controls_get_ghosts_at_the_nights_prices_and_use_up_nothing(night):
    shop, _ = night
    for name in ("panen", "raya"):
        ghosts = {row["customer_id"] for row in rows(shop, name, "decisions") if row["arm"] == "control"}
        assert ghosts
        assert ghosts.isdisjoint(row["customer_id"] for row in rows(shop, name, "messages"))


def test_what_the_prices_alone_would_choose_is_kept_for_both_arms(night):
    shop, _ = night
    considered = rows(shop, "panen", "considered")
    ghosts = [row for row in considered if row["arm"] == "control"]
    assert all(row["by_price"] == (row["reason"] == "chosen") for row in ghosts)
    assert any(row["by_price"] for row in considered if row["arm"] == "treatment")


def test_deciding_the_night_again_gives_the_same_bytes(changed):
    before = folder_digest(changed.workspace.root / "runs")
    decided(changed)
    assert folder_digest(changed.workspace.root / "runs") == before


def test_a_campaign_decided_by_itself_holds_the_others_runs_fixed(changed):
    before = {row["customer_id"] for row in rows(changed, "panen", "messages")}
    manifest = decide_campaign(changed.workspace, changed.settings, "raya", changed.as_of)
    assert [run["campaign"] for run in manifest["night"]["held"]] == ["panen"]
    assert before.isdisjoint(row["customer_id"] for row in rows(changed, "raya", "messages"))
    (budget,) = manifest["night"]["budgets"]
    panen = run_manifest(changed, "panen")
    taken = next(entry["used"] for entry in panen["budgets"] if entry["funder"] == "sari-murni")
    assert budget["limit"] == 14_000 - taken
    assert budget["used"] <= budget["limit"]


def test_where_nothing_is_due_nothing_is_written(changed):
    manifest = decide_night(changed.workspace, changed.settings, date(2017, 12, 9), [], changed.as_of)
    assert manifest["campaigns"] == []
    assert not changed.workspace.night(date(2017, 12, 9)).exists()


# --- yesterday's prices ----------------------------------------------------------------------------------------------


def test_a_run_starts_from_the_prices_of_the_one_before_and_says_so(changed):
    first = run_manifest(changed, "panen")
    assert first["started_from"] == []
    prices = changed.workspace.run("panen", first["occurrence"]) / "prices.json"
    assert set(json.loads(prices.read_text())["quota"]) == {"kopi", "teh", "sabun", "semua"}
    later = replace(changed, as_of=changed.as_of.replace(day=9))
    manifest = decide_campaign(later.workspace, later.settings, "panen", later.as_of)
    assert manifest["occurrence"] > first["occurrence"]
    assert [start["occurrence"] for start in manifest["started_from"]] in ([], [first["occurrence"]])
    again = decide_campaign(later.workspace, later.settings, "panen", later.as_of)
    assert again == manifest


# --- what cannot be had ----------------------------------------------------------------------------------------------


def test_a_minimum_beyond_what_is_eligible_is_named_with_the_share_that_can_be_met(changed):
    changed.edit_campaign("eligibility: \"tier = 'gold'\"", "eligibility: \"tier = 'gold'\"\n    minimum: {sent: 5000}")
    with pytest.raises(MinimumsError) as error:
        changed.decide()
    first, last = str(error.value).splitlines()
    assert first.startswith("panen.yaml: minimum of sabun: a minimum of 5000 messages with its offers, but ")
    assert "'panen: minimum of sabun' by itself at most" in last
    assert 0 < error.value.share < 0.1
    with pytest.raises(CampaignError, match=r"panen\.yaml: minimum of sabun: a minimum of 5000"):
        check_limits(changed.workspace, changed.settings, None, changed.as_of)


def test_a_minimum_against_a_budget_is_named_with_what_it_costs(changed):
    changed.edit_campaign("    quota: {redeemed: 9}\n", "    minimum: {redeemed: 2}\n")
    changed.edit_campaign("sari-murni: 12000", "sari-murni: 1000")
    with pytest.raises(MinimumsError, match=r"minimum of kopi: a minimum of 2 redemptions costs sari-murni Rp.* its "):
        changed.decide()


def test_in_the_nightly_run_a_wrong_file_and_an_impossible_minimum_keep_out_their_own_campaigns_alone(changed):
    shutil.rmtree(changed.workspace.root / "runs")
    raya = (changed.workspace.campaigns / "raya.yaml").read_text(encoding="utf-8")
    changed.write_campaign(raya.replace("id: raya", "id: rusak").replace("window_days: 20", "window_days: -1"), "rusak")
    changed.edit_campaign("eligibility: \"tier = 'gold'\"", "eligibility: \"tier = 'gold'\"\n    minimum: {sent: 5000}")
    coded = raya.replace("id: raya", "id: lama").replace("  - id: kopi\n", "  - id: kopi\n    code: {pool: kosong}\n")
    changed.write_campaign(coded, "lama")
    failed: list[Exception] = []
    as_of = changed.as_of.replace(day=7, hour=18, minute=30)  # half past one on Friday in Jakarta
    nights = decide_tonight(changed.workspace, changed.settings, as_of, failed)
    assert [row["campaign"] for one in nights for row in one["campaigns"]] == ["raya"]
    said = "\n".join(map(str, failed))
    assert all(
        name in said for name in ("rusak.yaml", "lama.yaml: code pool 'kosong' has no code left", "minimum of sabun")
    )


def test_a_model_that_is_refused_lets_the_last_good_one_decide_and_fails_the_run_at_its_end(changed, monkeypatch):
    shutil.rmtree(changed.workspace.root / "runs")

    def refused(*_):
        raise RunError("the new model is worse than what serves")

    monkeypatch.setattr(flows.night, "ingest", lambda *_: {})
    monkeypatch.setattr(flows.night, "train", refused)
    monkeypatch.setattr(flows.night, "shown", lambda _, night: night)
    with pytest.raises(RunError, match="worse than what serves"):
        flows.night.night.fn(str(changed.workspace.root), "2017-12-07T18:30:00+00:00")
    assert read_json(changed.workspace.night(FRIDAY) / "manifest.json")["as_of"] == "2017-12-07T18:30:00+00:00"
    assert len(list(changed.workspace.root.glob("runs/*/*/report.html"))) == 2
