"""A new campaign file: a preset with one's own wishes, comments and all, that has no fault."""

from importlib.resources import files

import pytest

from campaigns.checking import check_file
from campaigns.spec import load_campaign
from campaigns.tables import CampaignError
from flows.cli import run
from flows.new_campaign import Wishes, campaign_text, preset_text, presets, write_campaign
from flows.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "larisma.toml").write_text('shop = "Toko"\n')
    return Workspace(tmp_path)


def test_each_preset_says_in_a_sentence_what_it_is_for():
    assert len(presets()) == sum(entry.name.endswith(".yaml") for entry in (files("campaigns") / "presets").iterdir())
    assert all(20 < len(what) < 350 for what in presets().values())


@pytest.mark.parametrize("preset", presets())
def test_a_campaign_made_from_a_preset_has_no_fault_and_is_the_preset_but_for_its_id(workspace, preset):
    path = write_campaign(workspace, f"{preset}-2027", preset, Wishes())
    assert check_file(path)[1] == []
    made, taken = load_campaign(path), load_campaign(path.with_stem(preset), preset_text(preset))
    assert made.id == f"{preset}-2027"
    assert made.model_copy(update={"id": preset}) == taken
    comments = [line for line in preset_text(preset).splitlines() if line.startswith("#")]
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")] == comments


def test_wishes_stand_in_the_file(workspace):
    wishes = Wishes("Lebaran 2027", "tier = 'gold'", 5_000_000, 90, "09:30", window_days=10)
    campaign = load_campaign(write_campaign(workspace, "lebaran-2027", "lebaran", wishes))
    assert (campaign.name, campaign.audience, campaign.budgets["retailer"]) == (
        "Lebaran 2027",
        "tier = 'gold'",
        5_000_000,
    )
    assert {channel.capacity for channel in campaign.channels.values()} == {90}
    assert (campaign.schedule.time, campaign.window_days) == ("09:30", 10)
    assert load_campaign(write_campaign(workspace, "sebelas", "double-day", Wishes(month=11))).schedule.month == 11


@pytest.mark.parametrize(
    ("campaign", "preset", "wishes", "fault"),
    [
        ("a", "harbolnass", Wishes(), r"--from: no such preset: 'harbolnass'; did you mean 'harbolnas'\?; there are"),
        ("Lebaran!", "lebaran", Wishes(), r"Lebaran!\.yaml:6: id: expected small letters"),
        ("a", "gajian", Wishes(audience="tir = 1"), r"a.yaml:\d+: audience: position 1: no column 'tir'"),
        ("a", "gajian", Wishes(month=9), r"month belongs to occasion double_day"),
        ("a", "gajian", Wishes(budget=-5), r"budgets.retailer: expected a positive amount in rupiah"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(workspace, campaign, preset, wishes, fault):
    with pytest.raises(CampaignError, match=fault):
        write_campaign(workspace, campaign, preset, wishes)
    assert not workspace.campaigns.exists()


def test_a_campaign_that_is_there_is_not_written_over(workspace):
    path = write_campaign(workspace, "gajian", "gajian", Wishes())
    path.write_text("mine")
    with pytest.raises(CampaignError, match="there is such a campaign already"):
        write_campaign(workspace, "gajian", "gajian", Wishes())
    assert path.read_text() == "mine"


def test_a_text_that_is_not_wished_otherwise_stays_as_it_is():
    before, after = preset_text("gajian"), campaign_text("gajian", "gajian", Wishes())
    assert [line.split("#")[0].rstrip() for line in after.splitlines()] == [
        line.split("#")[0].rstrip() for line in before.splitlines()
    ]


def test_the_commands_write_a_campaign_its_schema_and_an_announcement(workspace, capsys):
    root = str(workspace.root)
    assert run(["campaign", "new", "harbolnas", "-w", root]) == 0
    assert run(["campaign", "new", "lebaran-2027", "--from", "lebaran", "--budget", "9000000", "-w", root]) == 0
    assert "larisma campaign check lebaran-2027" in capsys.readouterr().out
    assert run(["campaign", "schema", "-w", root]) == 0
    assert (workspace.root / "campaign.schema.json").exists()
    announce = ["campaign", "announce", "lebaran", "2027-03-10", "--decided", "2027-03-08T19:30+07:00", "-w", root]
    assert run(announce) == 0
    assert "lebaran,2027-03-10,Sidang isbat" in (workspace.root / "calendar.csv").read_text()
    assert run(["campaign", "new", "-w", root]) == 2
    assert "--from: name a preset:\n  akses-awal: " in capsys.readouterr().err


def test_on_a_terminal_it_asks_for_what_is_not_given(workspace, capsys, monkeypatch):
    answers = iter(["gajian", "gajian-juni", "Gajian Juni", "Rp1.500.000"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    assert run(["campaign", "new", "-w", str(workspace.root)]) == 0
    campaign = load_campaign(workspace.campaigns / "gajian-juni.yaml")
    assert (campaign.name, campaign.budgets["retailer"]) == ("Gajian Juni", 1_500_000)
    assert "gratis-ongkir: " in capsys.readouterr().out
