"""Nights are local dates: what is due on one, what a missed one has left, and what would be past by the next run."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from campaigns.spec import load_campaign
from flows.deciding.due import due_on, due_tonight
from flows.settings import Settings
from flows.workspace import Workspace

FILE = """
id: {id}
name: Uji
schedule: {schedule}
window_days: 14
channels: {{email: {{capacity: 10, placements: {{hero: 1}}}}}}
budgets: {{retailer: 1000}}
offers:
  - id: kopi
    benefit: {{kind: amount_off, amount: 100}}
    scope: {{everything: true}}
    uplift: 0.1
    text: {{id: {{title: Kopi}}}}
content: {{id: {{subject: a, heading: b, intro: c}}}}
"""
SETTINGS = Settings()
DAY = date(2017, 12, 5)  # a Tuesday
NIGHTLY = datetime(2017, 12, 4, 18, 30, tzinfo=UTC)  # half past one of that day in Jakarta


def campaign(name: str, schedule: str):
    return load_campaign(Path(f"{name}.yaml"), FILE.format(id=name, schedule=schedule))


HARBOLNAS = campaign("harbolnas", "{occasion: harbolnas, lead_days: 7}")
MORNING = campaign("pagi", '{occasion: always, time: "09:00"}')
MIDNIGHT = campaign("malam", "{occasion: always}")
FRIDAY = campaign("jumat", '{occasion: always, weekday: friday, time: "09:00"}')
PAPUA = campaign("papua", '{occasion: always, time: "01:00", timezone: Asia/Jayapura}')  # 23.00 of the day before


def names(due):
    return [(made.id, occurrence.name) for made, occurrence in due]


def test_what_is_to_be_decided_on_a_date_is_due_whenever_it_is_sent():
    found = due_on([HARBOLNAS, MORNING, FRIDAY], SETTINGS, DAY, datetime(2017, 12, 4, 17, tzinfo=UTC))
    assert names(found) == [("harbolnas", "20171211t170000z"), ("pagi", "20171205t020000z")]


def test_all_windows_of_a_day_are_due_together():
    phases = '[{id: siang, time: "12:00"}, {id: malam, time: "20:00"}]'
    flash = campaign("kilat", f"{{occasion: double_day, lead_days: 7, phases: {phases}}}")
    found = due_on([flash], SETTINGS, DAY, NIGHTLY)
    assert names(found) == [("kilat", "20171212t050000z"), ("kilat", "20171212t130000z")]


def test_a_date_is_the_workspaces_not_the_campaigns():
    assert names(due_on([PAPUA], SETTINGS, DAY, NIGHTLY)) == [("papua", "20171205t160000z")]


def test_what_is_past_is_not_due_any_more():
    assert due_on([MORNING], SETTINGS, DAY, datetime(2017, 12, 5, 3, tzinfo=UTC)) == []
    assert due_on([HARBOLNAS], SETTINGS, date(2017, 12, 6), NIGHTLY) == []


def test_the_night_decides_today_and_what_tomorrow_would_be_too_late_for(tmp_path):
    nights = due_tonight(Workspace(tmp_path), [MIDNIGHT, MORNING], SETTINGS, NIGHTLY)
    assert [(day, names(due)) for day, due in nights] == [
        (DAY, [("pagi", "20171205t020000z")]),
        (date(2017, 12, 6), [("malam", "20171205t170000z")]),
    ]


def test_a_night_that_was_missed_is_made_up_for_while_there_is_time_unless_it_was_decided(tmp_path):
    workspace, late = Workspace(tmp_path), datetime(2017, 12, 7, 18, 30, tzinfo=UTC)
    ((day, due),) = due_tonight(workspace, [HARBOLNAS], SETTINGS, late)
    assert (day, names(due)) == (DAY, [("harbolnas", "20171211t170000z")])
    workspace.run("harbolnas", "20171211t170000z").mkdir(parents=True)
    assert due_tonight(workspace, [HARBOLNAS], SETTINGS, late) == []


@pytest.mark.parametrize("schedule", ["{occasion: lebaran, days: -3}", "{occasion: harbolnas}"])
def test_a_yearly_occasion_is_looked_for_no_further_than_need_be(tmp_path, schedule):
    assert due_tonight(Workspace(tmp_path), [campaign("tahunan", schedule)], SETTINGS, NIGHTLY) == []
