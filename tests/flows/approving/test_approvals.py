"""An approval is of one meaning of a campaign: whatever changes it, in its file or around it, voids it."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from campaigns.approval import PARTS
from flows.approving.approvals import (
    approval_file,
    approval_of,
    approve,
    meaning,
    require_approval,
    waits_to_be_sent,
    withdraw_approval,
)
from flows.approving.records import add_entry, read_history
from flows.approving.review import standings
from flows.campaign_files import find_campaign
from flows.settings import load_settings
from flows.workspace import open_workspace, write_json
from recsys.tables import InputError

AT = datetime(2017, 12, 1, 3, tzinfo=UTC)
TOML = """\
shop = "Toko Uji"
[contact.most]
day = 2
[night.budgets]
sari-murni = 50000
[[night.limits]]
id = "kopi-provinsi"
offers = ["kopi"]
for_each = "province"
quota = { sent = 5 }
"""
CAMPAIGN = """\
id: panen
name: Pesta Panen
schedule: {occasion: always, weekday: friday, time: "09:00"}
window_days: 20
audience: "tier is not null"
channels:
  email: {capacity: 45, placements: {hero: 1}}
budgets: {retailer: 150000, sari-murni: 12000}
offers:
  - id: kopi
    benefit: {kind: percent_off, percent: 4, max_discount: 5000}
    scope: {everything: true}
    funders: {retailer: 0.5, sari-murni: 0.5}
    quota: {redeemed: 9}
    uplift: 0.5
    text:
      id: {title: Kopi hemat}
content:
  id: {subject: Kopi, heading: Halo, intro: Pilihan.}
"""


class Place:
    """A workspace with one campaign, approved."""

    def __init__(self, root):
        (root / "campaigns").mkdir(parents=True)
        (root / "larisma.toml").write_text(TOML, encoding="utf-8")
        (root / "campaigns" / "panen.yaml").write_text(CAMPAIGN, encoding="utf-8")
        self.workspace = open_workspace(root)

    @property
    def settings(self):
        return load_settings(self.workspace)

    @property
    def campaign(self):
        return find_campaign(self.workspace, "panen")

    @property
    def approval(self):
        return approval_of(self.workspace, self.settings, self.campaign)

    def approve(self, by="Rina", at=AT):
        return approve(self.workspace, self.settings, self.campaign, by, at)

    def decided(self):
        """The manifest of a run as of now, as far as an approval looks at it."""
        now = meaning(self.settings, self.campaign)
        manifest = {"campaign": {"id": "panen", "fingerprint": now.whole}, "occurrence": "20171208t020000z"}
        write_json(self.workspace.run("panen", manifest["occurrence"]) / "campaign.json", {"values": now.values})
        return manifest

    def require(self, manifest):
        return require_approval(self.workspace, self.settings, manifest)

    def edit(self, name, old, new):
        path = self.workspace.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path / "toko")
    made.approve()
    return made


def test_a_campaign_that_nobody_approved_is_not_delivered(tmp_path):
    place = Place(tmp_path / "toko")
    assert place.approval.state == "never"
    with pytest.raises(InputError, match="nobody has approved it"):
        place.require(place.decided())


def test_a_run_of_what_was_approved_is_delivered_under_its_hash(place):
    assert place.require(place.decided()) == place.approval.last["hash"] == place.approval.now.whole


CHANGES = {
    "audience": ("campaigns/panen.yaml", "tier is not null", "tier = 'gold'", "audience: was"),
    "offers": ("campaigns/panen.yaml", "percent: 4,", "percent: 40,", "offers[kopi].benefit.percent: was 4.0, is 40.0"),
    "quota": ("campaigns/panen.yaml", "redeemed: 9", "redeemed: 90", "offers[kopi].quota.redeemed: was 9, is 90"),
    "capacity": ("campaigns/panen.yaml", "capacity: 45", "capacity: 46", "channels.email.capacity: was 45, is 46"),
    "share": (
        "campaigns/panen.yaml",
        "{retailer: 0.5, sari-murni: 0.5}",
        "{retailer: 1.0}",
        "funders.retailer: was 0.5",
    ),
    "budget": ("campaigns/panen.yaml", "150000", "1500000", "budgets.retailer: was 150000, is 1500000"),
    "content": ("campaigns/panen.yaml", "Kopi hemat", "Kopi murah", 'title: was "Kopi hemat", is "Kopi murah"'),
    "schedule": ("campaigns/panen.yaml", "friday", "monday", 'schedule.weekday: was "friday", is "monday"'),
    "contact": ("larisma.toml", "day = 2", "day = 3", "contact.most.day: was 2, is 3"),
    "night budget": ("larisma.toml", "50000", "60000", "night.budgets.sari-murni: was 50000, is 60000"),
    "night limit": ("larisma.toml", "sent = 5", "sent = 6", "night.limits[kopi-provinsi].quota.sent: was 5, is 6"),
    "sender": ("larisma.toml", "Toko Uji", "Toko Lain", 'shop: was "Toko Uji", is "Toko Lain"'),
    "consent": ("larisma.toml", "[contact.most]", '[consent]\nassume = ["email"]\n[contact.most]', "consent.assume"),
    "global control": (
        "larisma.toml",
        "[contact.most]",
        "[control]\nglobal_share = 0.1\n[contact.most]",
        "global_share",
    ),
}


@pytest.mark.parametrize(("name", "old", "new", "said"), CHANGES.values(), ids=CHANGES)
def test_each_kind_of_change_voids_the_approval_and_is_shown(place, name, old, new, said):
    before = place.decided()
    place.edit(name, old, new)
    assert place.approval.state == "changed"
    for manifest in (before, place.decided()):
        with pytest.raises(InputError, match=r"approved by Rina at 2017-12-01T03:00:00.*has changed since") as refused:
            place.require(manifest)
        assert said in str(refused.value)
    place.approve("Budi", AT + timedelta(days=1))
    assert place.require(place.decided()) == place.approval.now.whole


@pytest.mark.parametrize("what", ["words", "templates"])
def test_the_programs_own_words_and_templates_count_as_content(place, monkeypatch, what):
    if what == "words":
        monkeypatch.setattr("flows.approving.approvals.load_words", lambda language: {"greeting": "Hai!"})
    else:
        monkeypatch.setattr("flows.approving.approvals.template_digests", lambda: {"email.mjml": "0"})
    found = place.approval
    assert found.state == "changed"
    assert [part for part in PARTS if found.now.parts[part] != found.last["parts"][part]] == ["content"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("campaigns/panen.yaml", "id: panen\n", "# for the harvest\nid: panen\n"),
        ("campaigns/panen.yaml", "window_days: 20", "window_days: 0x14"),
        ("campaigns/panen.yaml", "percent: 4, max_discount: 5000", "max_discount: 5000, percent: 4"),
        ("campaigns/panen.yaml", "name: Pesta Panen", "name: Pesta Panen\nfallback:\ncontrol: {share: 0.1}"),
        ("larisma.toml", "shop =", "# the shop\nshop ="),
        ("larisma.toml", "[contact.most]", "[train]\nseed = 2\n[contact.most]"),
    ],
    ids=["comment", "notation", "order", "defaults", "comment of settings", "other settings"],
)
def test_rewriting_a_file_voids_nothing(place, name, old, new):
    place.edit(name, old, new)
    assert place.approval.state == "approved"


def test_a_run_decided_from_something_else_is_refused_with_the_difference(place):
    place.edit("campaigns/panen.yaml", "capacity: 45", "capacity: 44")
    earlier = place.decided()
    place.edit("campaigns/panen.yaml", "capacity: 44", "capacity: 45")
    with pytest.raises(InputError, match=r"(?s)decided from something else.*capacity: was 45, is 44"):
        place.require(earlier)


def test_a_run_that_says_nothing_of_what_it_was_decided_from_is_refused(place):
    manifest = place.decided()
    del manifest["campaign"]["fingerprint"]
    shutil.rmtree(place.workspace.root / "runs")
    with pytest.raises(InputError, match="decided from something else"):
        place.require(manifest)


def test_a_withdrawn_approval_is_none_until_it_is_given_again(place):
    withdraw_approval(place.workspace, "panen", "Sari", AT + timedelta(hours=1))
    assert place.approval.state == "withdrawn"
    with pytest.raises(InputError, match="withdrawn by Sari"):
        place.require(place.decided())
    with pytest.raises(InputError, match="nothing to withdraw"):
        withdraw_approval(place.workspace, "panen", "Sari", AT)
    place.approve()
    assert place.approval.state == "approved"


def test_a_run_waits_to_be_sent_that_is_to_come_and_was_decided_from_what_is_approved(place):
    approved = place.approval.now.whole
    assert not waits_to_be_sent(place.workspace, "panen", approved, AT)
    manifest = place.decided()
    write_json(place.workspace.run("panen", manifest["occurrence"]) / "manifest.json", manifest)
    assert waits_to_be_sent(place.workspace, "panen", approved, AT)
    assert not waits_to_be_sent(place.workspace, "panen", approved, AT + timedelta(days=8))
    assert not waits_to_be_sent(place.workspace, "panen", "0" * 64, AT)


def test_the_history_keeps_who_what_and_when(place):
    place.edit("campaigns/panen.yaml", "capacity: 45", "capacity: 44")
    place.approve("Budi", AT + timedelta(days=1))
    withdraw_approval(place.workspace, "panen", "Sari", AT + timedelta(days=2))
    history = read_history(approval_file(place.workspace, "panen"))
    assert [(entry["event"], entry["by"], entry["at"][:10]) for entry in history] == [
        ("approved", "Rina", "2017-12-01"),
        ("approved", "Budi", "2017-12-02"),
        ("withdrawn", "Sari", "2017-12-03"),
    ]
    assert [entry["values"]["limits"]["channels.email.capacity"] for entry in history[:2]] == [45, 44]


@pytest.mark.parametrize("by", ["", "  \n", "x" * 201])
def test_an_approval_bears_a_name(place, by):
    with pytest.raises(InputError, match="--by: expected the name"):
        place.approve(by)


def test_a_name_is_kept_on_one_line(place):
    assert place.approve("Rina\u2028Wati\n")["by"] == "Rina Wati"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entries: entries[0].update(by="Mallory"),
        lambda entries: entries[0].update(hash="0" * 64),
        lambda entries: entries.pop(0),
        lambda entries: entries.reverse(),
        lambda entries: entries[-1].update(by="Mallory"),
        lambda entries: entries.pop(),
    ],
    ids=[
        "another name",
        "another hash",
        "the first taken out",
        "another order",
        "the last's name",
        "the last taken out",
    ],
)
def test_a_history_that_was_edited_is_refused(place, spoil):
    place.approve("Budi")
    path = approval_file(place.workspace, "panen")
    content = json.loads(path.read_text(encoding="utf-8"))
    spoil(content["history"])
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="restore it from a backup"):
        place.require(place.decided())
    with pytest.raises(InputError, match="restore it from a backup"):
        place.approve()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"history": {}}', '{"history": {}, "seal": ""}', '{"history": [3], "seal": ""}']
)
def test_what_is_no_history_is_refused(place, text):
    approval_file(place.workspace, "panen").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="restore it from a backup"):
        assert place.approval.state != "approved"


def test_an_entry_that_cannot_be_written_leaves_the_history_as_it_was(place, monkeypatch):
    path = approval_file(place.workspace, "panen")
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        add_entry(path, {"event": "approved"}, "Budi", AT)
    assert path.read_bytes() == before


def test_every_campaign_of_a_workspace_says_how_it_stands(place):
    for name, text in (("lain", CAMPAIGN.replace("id: panen", "id: lain")), ("rusak", "id: rusak\n")):
        (place.workspace.campaigns / f"{name}.yaml").write_text(text, encoding="utf-8")
    rows = {row["campaign"]: row["state"] for row in standings(place.workspace, place.settings)}
    assert rows == {"lain": "never", "panen": "approved", "rusak": "faulty"}
