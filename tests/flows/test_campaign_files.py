"""The campaigns of a workspace: found by id, listed with their next dates, checked with every fault at once."""

from datetime import UTC, datetime

import pytest

from campaigns.tables import CampaignError
from flows.announcements import announce
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
            "phase": None,
            "occurrence": "20171208t000000z",
            "send_at": "2017-12-08T09:00+09:00",
            "decide_at": "2017-12-06T09:00+09:00",
            "estimated": False,
            "waiting": False,
            "offers": 4,
            "budget": 162000,
        },
        {
            "id": "panen",
            "name": "Pesta Panen",
            "phase": None,
            "occurrence": "20171208t020000z",
            "send_at": "2017-12-08T09:00+07:00",
            "decide_at": "2017-12-08T09:00+07:00",
            "estimated": False,
            "waiting": False,
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
    assert [line.split(": ")[0] for line in lines] == [f"akhir-pekan.yaml:{number}" for number in (24, 51, 51, 35)]
    for line, said in zip(
        lines,
        (
            "offers[teh].scope.categories[0]: no item has the category 'Dapur > Tehh'; did you mean 'Dapur > Teh' or",
            "content.en.intro: unknown field customer.shoe_size; there are customer.called,",
            "content.id.intro: unknown field customer.shoe_size",
            "offers[sabun].eligibility: none of the 120 customers in the audience, \"tier = 'emas'\"; loosen",
        ),
        strict=True,
    ):
        assert said in line


def test_a_fault_of_shape_hides_none_of_the_words_and_scopes(copied):
    second(
        copied,
        shape=("uplift: 0.4", "uplift: viel"),
        scope=('["Dapur > Teh"]', '["Minuman"]'),
        words=("title: Poin sabun", 'title: "{{ offer.benefitt }}"'),
    )
    with pytest.raises(CampaignError) as error:
        check_campaigns(copied.workspace, copied.settings, "akhir-pekan", AFTER)
    lines = str(error.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "offers[teh].scope.categories[0]",
        "offers[sabun].uplift",
        "offers[sabun].text.id.title",
    ]
    assert "the largest of 7 are 'Dapur'," in lines[0]


def test_announcements_are_the_workspaces_own_and_override_the_estimate(copied):
    copied.edit_campaign('occasion: always, weekday: friday, time: "09:00"', 'occasion: lebaran, time: "09:00"')
    before, after = datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 3, 9, tzinfo=UTC)
    (row,) = list_campaigns(copied.workspace, before)
    assert (row["send_at"][:10], row["estimated"]) == ("2027-03-10", True)
    path = announce(copied.workspace, "lebaran", "2027-03-11", "Kemenag", datetime(2027, 3, 8, tzinfo=UTC))
    assert path.read_text().splitlines()[1:] == ["lebaran,2027-03-11,Kemenag,2027-03-08T00:00:00+00:00"]
    assert list_campaigns(copied.workspace, before) == [row]
    (row,) = list_campaigns(copied.workspace, after)
    assert (row["send_at"][:10], row["estimated"]) == ("2027-03-11", False)


def test_what_is_no_announcement_is_not_written(copied):
    with pytest.raises(CampaignError, match=r"calendar.csv:2: date: expected a date that exists"):
        announce(copied.workspace, "lebaran", "2027-02-30", "Kemenag", datetime(2027, 3, 8, tzinfo=UTC))
    assert not (copied.workspace.root / "calendar.csv").exists()


def test_an_audience_that_holds_nobody_is_a_fault(copied):
    copied.edit_campaign("tier is not null", "tier = 'emas'")
    with pytest.raises(CampaignError, match=r"panen.yaml:5: audience: none of 147 customers"):
        check_campaigns(copied.workspace, copied.settings, None, AFTER)


def test_a_workspace_without_campaigns_is_told_how_to_get_one(copied):
    (copied.workspace.campaigns / "panen.yaml").unlink()
    assert list_campaigns(copied.workspace, AFTER) == []
    with pytest.raises(CampaignError, match=r"campaigns: no campaigns; make one with: larisma campaign new"):
        check_campaigns(copied.workspace, copied.settings, None, AFTER)
