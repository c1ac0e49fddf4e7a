"""The campaigns of a workspace: found by id, listed with their next dates, checked with every fault at once."""

from datetime import UTC, datetime

import pytest

from campaigns.tables import CampaignError
from flows.campaign_files import check_campaigns, find_campaign, list_campaigns, load_campaigns
from flows.workspace import folder_digest

AFTER = datetime(2017, 12, 5, tzinfo=UTC)


def second(shop, name="akhir-pekan", **changes):
    """A second campaign, as the first with some text replaced."""
    text = (shop.workspace.campaigns / "panen.yaml").read_text(encoding="utf-8").replace("id: panen", f"id: {name}")
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    shop.write_campaign(text, name)


def test_campaigns_are_loaded_in_order_of_id_and_what_is_no_yaml_is_not_looked_at(copied):
    second(copied)
    (copied.workspace.campaigns / "catatan.txt").write_text("not a campaign")
    assert [campaign.id for campaign in load_campaigns(copied.workspace)] == ["akhir-pekan", "panen"]


@pytest.mark.parametrize(
    ("name", "hint"), [("panem", r"did you mean panen\?"), ("xyz", "it has: panen"), ("../larisma", "it has: panen")]
)
def test_an_unknown_id_is_answered_with_what_there_is(shop, name, hint):
    with pytest.raises(CampaignError, match=hint):
        find_campaign(shop.workspace, name)


def test_the_faults_of_all_files_come_together(copied):
    second(copied, "a", one=("window_days: 20", "window_days: 0"))
    second(copied, "b", one=("uplift: 0.4", "uplift: viel"))
    with pytest.raises(CampaignError) as error:
        load_campaigns(copied.workspace)
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["a.yaml", "b.yaml"]


def test_a_list_has_the_next_date_in_the_campaign_s_own_zone_and_all_budgets_together(copied):
    second(copied, one=('time: "09:00"}', 'time: "09:00", timezone: Asia/Jayapura, lead_days: 2}'))
    rows = list_campaigns(copied.workspace, AFTER)
    assert rows == [
        {
            "id": "akhir-pekan",
            "name": "Pesta Panen",
            "occurrence": "20171208t000000z",
            "send_at": "2017-12-08T09:00+09:00",
            "decide_at": "2017-12-06T09:00+09:00",
            "estimated": False,
            "offers": 4,
            "budget": 162000,
        },
        {
            "id": "panen",
            "name": "Pesta Panen",
            "occurrence": "20171208t020000z",
            "send_at": "2017-12-08T09:00+07:00",
            "decide_at": "2017-12-08T09:00+07:00",
            "estimated": False,
            "offers": 4,
            "budget": 162000,
        },
    ]


def test_a_check_tells_the_audience_and_changes_nothing(copied):
    before = folder_digest(copied.workspace.root)
    (row,) = check_campaigns(copied.workspace, copied.settings, "panen", AFTER)
    assert row["campaign"] == "panen"
    (_, total), *steps = row["funnel"]
    assert total == 147
    assert sum(people for _, people in steps) == total
    assert folder_digest(copied.workspace.root) == before


def test_a_check_names_every_fault_against_the_data_with_its_file(copied):
    second(
        copied,
        scope=('["Dapur > Teh"]', '["Dapur > Tehh"]'),
        rule=("tier = 'gold'", "tier = 'emas'"),
        words=("Pilihan pekan ini.", "Untuk {{ customer.shoe_size }}."),
    )
    with pytest.raises(CampaignError) as error:
        check_campaigns(copied.workspace, copied.settings, None, AFTER)
    lines = str(error.value).splitlines()
    assert all(line.startswith("akhir-pekan.yaml: ") for line in lines)
    for said in ("no item has the category 'Dapur > Tehh'", "offers[sabun].eligibility: none of the", "shoe_size"):
        assert any(said in line for line in lines), said


def test_an_audience_that_holds_nobody_is_a_fault(copied):
    copied.edit_campaign("tier is not null", "tier = 'emas'")
    with pytest.raises(CampaignError, match=r"panen.yaml: audience: none of 147 customers"):
        check_campaigns(copied.workspace, copied.settings, None, AFTER)


def test_a_workspace_without_campaigns_is_told_how_to_get_one(copied):
    (copied.workspace.campaigns / "panen.yaml").unlink()
    assert list_campaigns(copied.workspace, AFTER) == []
    with pytest.raises(CampaignError, match=r"campaigns: no campaigns; copy one here"):
        check_campaigns(copied.workspace, copied.settings, None, AFTER)
