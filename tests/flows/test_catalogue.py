"""A restricted item that the catalogue does not call so, hidden where it could slip through to a customer."""

from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from campaigns.policy.restrictions import SHIPPED
from campaigns.tables import CampaignError
from flows.catalogue import read_items, workspace_policy
from flows.champion import load_champion
from flows.recommend import publish_recommendations, ranked, recommend_items


@pytest.fixture
def favourite(shop) -> str:
    """The item that stands in most decisions."""
    return Counter(item for row in shop.rows("decisions") for item in row["item_ids"]).most_common(1)[0][0]


def retitled(shop, item: str, title: str):
    """The same shop, whose catalogue calls an item so and says nothing of a restriction."""
    source = pq.read_table(shop.source("items")).to_pylist()
    rows = [{**row, "title": title, "restriction": None} if row["item_id"] == item else row for row in source]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(shop.source("items"))), shop.source("items"))
    shop.ingest()
    return shop.decide()


def shown(shop) -> set[str]:
    return {item for row in shop.rows("decisions") for item in row["item_ids"]}


@pytest.mark.parametrize("title", ["Susu Formula Bayi", "Rokok Kretek", "Bir Hitam", "Antibiotik, resep dokter"])
def test_a_barred_item_that_the_catalogue_does_not_call_so_reaches_nobody(copied, favourite, title):
    decided = retitled(copied, favourite, title)
    assert favourite not in shown(decided)
    for row in decided.rows("messages"):
        for part in ("subject", "body_html", "body_text", "payload"):
            assert title not in (row[part] or "")
    champion, items = load_champion(decided.workspace), read_items(decided.workspace)
    everybody = ranked(champion, items, champion.serving.matrix.customers, 40)
    assert favourite not in set(everybody["item_id"].to_pylist())
    publish_recommendations(decided.workspace, champion, 40)
    written = pq.read_table(decided.workspace.recommendations(champion.id) / "recommendations.parquet")
    assert favourite not in set(written["item_id"].to_pylist())


def test_a_barred_item_named_by_an_offer_s_own_list_or_its_fallback_stays_out(copied, favourite):
    copied.edit_campaign('categories: ["Dapur > Teh"]', f"items: [{favourite}, i00001]")
    copied.edit_campaign("content:\n", "fallback: teh\ncontent:\n")
    assert favourite not in shown(retitled(copied, favourite, "Rokok Kretek"))


def test_an_intimate_item_is_in_no_push_and_in_no_reason(copied, favourite):
    decided = retitled(copied, favourite, "Kondom isi 12")
    by_channel = {channel: decided.rows("decisions", channel=channel) for channel in ("email", "push")}
    assert by_channel["push"]
    assert favourite not in {item for row in by_channel["push"] for item in row["item_ids"]}
    assert favourite in {item for row in by_channel["email"] for item in row["item_ids"]}
    for row in decided.rows("messages"):
        assert "Kondom" not in row["subject"]
        assert "membeli Kondom" not in (row["body_html"] or "")
        assert row["channel"] != "push" or "Kondom" not in row["body_text"] + row["payload"]
    items = {row["item_id"]: row for row in read_items(decided.workspace).to_pylist()}
    assert items[favourite]["restriction"] == "intimate"
    champion = load_champion(decided.workspace)
    for customer in champion.serving.matrix.customers.to_pylist()[:20]:
        told = recommend_items(decided.workspace, decided.settings, customer, 10, discover=False, language="id")
        assert not any("membeli Kondom" in row["reason"] for row in told)


def test_what_is_not_halal_is_in_no_campaign_of_lebaran(copied, favourite):
    usual = retitled(copied, favourite, "Bacon asap")
    assert favourite in shown(usual)
    copied.edit_campaign("occasion: always, weekday: friday", "occasion: lebaran")
    assert favourite not in shown(copied.decide())


def test_a_text_that_names_what_may_not_be_promoted_is_refused_before_anything_is_decided(copied):
    copied.edit_campaign("title: Teh hemat", "title: Rokok hemat")
    with pytest.raises(CampaignError, match=r"panen\.yaml.*names 'rokok'"):
        copied.decide()


def test_the_workspace_s_own_policy_is_gone_by_and_named_in_the_manifest(copied, favourite):
    own = copied.workspace.root / "policy" / "id.yaml"
    own.parent.mkdir()
    text = SHIPPED.read_text(encoding="utf-8")
    version = workspace_policy(copied.workspace).version
    assert retitled(copied, favourite, "Kopi Robusta").manifest["policy"] == version
    own.write_text(text.replace("[rokok,", "[robusta, rokok,").replace(version, "toko-2"), encoding="utf-8")
    decided = replace(copied).decide()
    assert decided.manifest["policy"] == "toko-2"
    assert favourite not in shown(decided)
