"""The months ahead of a workspace: what is sent, what meets on the same people, what a moved feast would move."""

import json
import os
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from flows.cli import run
from flows.planning import plan_ahead, read_shifts
from flows.reporting.calendar import calendar_page
from recsys.tables import InputError

WIB = ZoneInfo("Asia/Jakarta")
START = datetime(2018, 5, 1, tzinfo=WIB)


@pytest.fixture(scope="module")
def planned(tmp_path_factory, shop):
    """The shop with a weekly campaign, one for Lebaran in phases, and one for a few."""
    from dataclasses import replace
    from shutil import copytree

    from flows.workspace import Workspace

    root = tmp_path_factory.mktemp("planned") / "shop"
    copytree(shop.workspace.root, root, symlinks=True)
    place = replace(shop, workspace=Workspace(root))
    panen = (root / "campaigns" / "panen.yaml").read_text(encoding="utf-8")
    schedule = '{occasion: always, weekday: friday, time: "09:00"}'
    phases = '{occasion: lebaran, time: "10:00", phases: [{id: thr, days: -7, window_days: 3}, {id: raya}]}'
    lebaran = panen.replace("id: panen", "id: lebaran").replace(schedule, phases)
    place.write_campaign(lebaran, "lebaran")
    emas = lebaran.replace("id: lebaran", "id: emas").replace("tier is not null", "tier = 'gold'")
    place.write_campaign(emas.replace(phases, '{occasion: date, date: 2018-06-09, time: "08:00"}'), "emas")
    return place


@pytest.fixture(scope="module")
def plan(planned):
    return plan_ahead(planned.workspace, planned.settings, START, 61, {"lebaran": 1})


def test_what_is_sent_comes_in_order_with_its_phase_and_whether_it_is_sure(plan):
    lebaran = [row for row in plan["firings"] if row["campaign"] == "lebaran"]
    assert [(row["phase"], row["send_at"], row["until"], row["estimated"]) for row in lebaran] == [
        ("thr", "2018-06-08T10:00+07:00", "2018-06-11T00:00+07:00", True),
        ("raya", "2018-06-15T10:00+07:00", "2018-07-05T00:00+07:00", True),
    ]
    sent = [row["send_at"] for row in plan["firings"]]
    assert sent == sorted(sent)
    assert sum(row["campaign"] == "panen" for row in plan["firings"]) == 9


def test_campaigns_that_meet_are_told_with_the_share_of_people_in_both(plan):
    found = {tuple(row["campaigns"]): row for row in plan["overlaps"]}
    assert set(found) == {("emas", "lebaran"), ("emas", "panen"), ("lebaran", "panen")}
    assert found["lebaran", "panen"]["share"] == 1.0
    gold = found["emas", "lebaran"]
    assert (gold["times"], gold["first"]) == (2, "2018-06-09T08:00+07:00")
    assert 0 < gold["people"] < found["lebaran", "panen"]["people"]


def test_a_feast_a_day_later_moves_what_counts_from_it_and_nothing_else(plan):
    assert plan["moved"] == [
        {"campaign": "lebaran", "phase": "thr", "from": "2018-06-08T10:00+07:00", "to": "2018-06-09T10:00+07:00"},
        {"campaign": "lebaran", "phase": "raya", "from": "2018-06-15T10:00+07:00", "to": "2018-06-16T10:00+07:00"},
    ]


def test_the_page_shows_every_firing_and_marks_what_is_estimated(plan):
    page = calendar_page(plan, "Toko & Co", "id")
    assert "Toko &amp; Co" in page
    assert page.count("<b>panen</b>") == 9
    assert page.count("(perkiraan)") == 2
    assert "Juni 2018" in page
    assert "June 2018" in calendar_page(plan, "Toko", "en")


@pytest.mark.parametrize("zone", ["UTC", "Asia/Jakarta", "America/New_York"])
def test_the_machines_zone_changes_no_byte(planned, plan, zone):
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        again = plan_ahead(planned.workspace, planned.settings, START, 61, {"lebaran": 1})
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()
    assert json.dumps(again) == json.dumps(plan)
    assert calendar_page(again, "Toko") == calendar_page(plan, "Toko")


def test_the_command_prints_it_and_writes_the_page(planned, capsys, tmp_path):
    page = tmp_path / "calendar.html"
    words = ["campaign", "calendar", "-w", str(planned.workspace.root), "--as-of", "2018-05-01", "--html", str(page)]
    assert run([*words, "--if", "lebaran=+1"]) == 0
    out = capsys.readouterr().out
    assert "What would move" in out
    assert "(estimated)" in out or "estimated" in out
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert run([*words, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"from", "until", "timezone", "firings", "overlaps", "moved"}


@pytest.mark.parametrize("text", ["harbolnas=+1", "lebaran", "lebaran=soon", "lebaran=+99", "=1"])
def test_a_supposition_that_is_none_is_refused(text):
    with pytest.raises(InputError, match=r"--if: expected a feast and days, as lebaran=\+1"):
        read_shifts([text])
    assert read_shifts(["lebaran=-1", "ramadan=+2"]) == {"lebaran": -1, "ramadan": 2}
