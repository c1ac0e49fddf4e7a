import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.calendar import (
    due_occurrence,
    occurrence_instant,
    occurrence_name,
    occurrences,
    payday,
)
from campaigns.hijri import Announcement, Moon
from campaigns.hours import next_free
from campaigns.schedule import Schedule
from campaigns.silence import blocked_around
from campaigns.tables import CampaignError
from recsys.tables import InputError

WIB = ZoneInfo("Asia/Jakarta")


def schedule(**parts: object) -> Schedule:
    return Schedule.model_validate(parts)


def local_dates(plan: Schedule, after: datetime, count: int) -> list[date]:
    zone = ZoneInfo(plan.timezone)
    return [occurrence.send_at.astimezone(zone).date() for occurrence in occurrences(plan, after, count)]


def test_lebaran_to_come_is_marked_as_estimated_and_what_is_announced_is_not() -> None:
    plan = schedule(occasion="lebaran")
    due = due_occurrence(plan, datetime(2028, 1, 1, tzinfo=UTC))
    assert (due.day, due.estimated) == (date(2028, 2, 27), True)
    due = due_occurrence(plan, datetime(2023, 4, 21, tzinfo=WIB))
    assert (due.day, due.estimated) == (date(2023, 4, 22), False)


def test_lebaran_beyond_what_is_known_is_an_error_that_names_the_year() -> None:
    with pytest.raises(CampaignError, match="lebaran: its date in 2077 is not known"):
        occurrences(schedule(occasion="lebaran"), datetime(2076, 1, 1, tzinfo=UTC), 9)


def test_who_waits_for_the_announcement_is_told_how_to_record_it() -> None:
    plan = schedule(occasion="lebaran", estimate="wait")
    before = datetime(2027, 3, 7, tzinfo=WIB)
    with pytest.raises(CampaignError, match=r"lebaran of 2027 waits .* larisma campaign announce lebaran DATE"):
        due_occurrence(plan, before)
    assert [(o.day.day, o.waiting) for o in occurrences(plan, before, 2)] == [(9, True), (10, True)]
    said = Announcement("lebaran", date(2027, 3, 10), "Kemenag", datetime(2027, 3, 8, 19, tzinfo=WIB))
    due = due_occurrence(plan, datetime(2027, 3, 8, 20, tzinfo=WIB), moon=Moon((said,)))
    assert (due.day, due.waiting) == (date(2027, 3, 10), False)


def test_who_holds_both_dates_has_one_left_when_it_is_announced() -> None:
    plan, said = schedule(occasion="lebaran", estimate="both"), datetime(2023, 4, 20, 19, 30, tzinfo=WIB)
    held = occurrences(plan, datetime(2023, 4, 1, tzinfo=WIB), 2)
    assert [(o.day.day, o.estimated) for o in held] == [(21, True), (22, True)]
    assert [o.day for o in occurrences(plan, said + timedelta(minutes=1), 1)] == [date(2023, 4, 22)]


def test_phases_come_in_order_of_time_each_with_its_own_days_and_hours() -> None:
    plan = schedule(
        occasion="lebaran",
        time="09:00",
        phases=[
            {"id": "thr", "days": -7},
            {"id": "sahur", "occasion": "ramadan", "days": [0, 7], "time": "03:00"},
            {"id": "arus-balik", "days": 5, "lead_days": 2},
        ],
    )
    found = occurrences(plan, datetime(2026, 2, 1, tzinfo=WIB), 5, known_at=datetime(2026, 6, 1, tzinfo=WIB))
    assert [(o.phase, f"{o.send_at.astimezone(WIB):%m-%d %H:%M}") for o in found[:4]] == [
        ("sahur", "02-19 03:00"),
        ("sahur", "02-26 03:00"),
        ("thr", "03-14 09:00"),
        ("arus-balik", "03-26 09:00"),
    ]
    assert [o.occasion_day for o in found[1:3]] == [date(2026, 2, 19), date(2026, 3, 21)]
    assert [(o.send_at - o.decide_at).days for o in found[2:4]] == [0, 2]


def test_one_instant_is_one_occurrence() -> None:
    plan = schedule(occasion="lebaran", phases=[{"id": "b", "days": [0, 0]}, {"id": "a"}])
    assert [o.phase for o in occurrences(plan, datetime(2026, 1, 1, tzinfo=WIB), 2)] == ["a", "a"]


def test_a_time_on_each_customers_own_clock_begins_in_papua() -> None:
    due = due_occurrence(schedule(occasion="birthday", time="00:00", local=True), datetime(2026, 3, 1, 1, tzinfo=WIB))
    assert (due.day, due.name) == (date(2026, 3, 2), "20260301t150000z")


def test_a_date_comes_once() -> None:
    plan = schedule(occasion="date", date="2026-12-24", days=-1)
    assert due_occurrence(plan, datetime(2026, 1, 1, tzinfo=WIB)).day == date(2026, 12, 23)
    with pytest.raises(CampaignError, match=r"schedule\.date: 2026-12-24 is past"):
        due_occurrence(plan, datetime(2026, 12, 24, tzinfo=WIB))


def test_what_is_sent_waits_for_the_hours_of_a_place() -> None:
    plan = schedule(occasion="ramadan", days=3, time="18:00")
    known = datetime(2026, 2, 18, tzinfo=WIB)
    due = due_occurrence(plan, known)
    blocked = blocked_around(plan, due, known_at=known)
    assert next_free(due.send_at, blocked("DKI Jakarta", "Asia/Jakarta")) > due.send_at + timedelta(hours=2)
    assert next_free(due.send_at, blocked("Papua", "Asia/Jayapura")) <= due.send_at + timedelta(minutes=30)
    free = schedule(occasion="ramadan", days=3, time="18:00", avoid_prayer=False)
    assert blocked_around(free, due, known_at=known)("DKI Jakarta", "Asia/Jakarta") == []


def test_a_local_hour_is_waited_for_in_each_zone() -> None:
    plan = schedule(occasion="date", date="2026-12-24", time="09:00", local=True)
    known = datetime(2026, 12, 1, tzinfo=WIB)
    due = due_occurrence(plan, known)
    blocked = blocked_around(plan, due, known_at=known)
    for zone in ("Asia/Jayapura", "Asia/Makassar", "Asia/Jakarta", "Europe/Amsterdam"):
        sent = next_free(due.send_at, blocked(None, zone)).astimezone(ZoneInfo(zone))
        assert (sent.date(), sent.hour) == (date(2026, 12, 24), 9)


def test_nothing_goes_to_bali_on_nyepi() -> None:
    plan = schedule(occasion="nyepi", time="10:00")
    known = datetime(2026, 3, 1, tzinfo=WIB)
    due = due_occurrence(plan, known)
    sent = next_free(due.send_at, blocked_around(plan, due, known_at=known)("Bali", "Asia/Makassar"))
    assert sent == datetime(2026, 3, 20, 6, tzinfo=ZoneInfo("Asia/Makassar"))


def test_harbolnas_is_12_december_at_midnight_in_jakarta_decided_a_week_before() -> None:
    due = due_occurrence(schedule(occasion="harbolnas", lead_days=7), datetime(2017, 12, 5, tzinfo=WIB))
    assert due.name == "20171211t170000z"
    assert due.send_at == datetime(2017, 12, 11, 17, tzinfo=UTC)
    assert due.decide_at == datetime(2017, 12, 4, 17, tzinfo=UTC)


def test_an_occurrence_is_due_until_its_instant_and_not_after() -> None:
    plan, instant = schedule(occasion="harbolnas"), datetime(2017, 12, 12, tzinfo=WIB)
    assert due_occurrence(plan, instant).send_at == instant
    assert due_occurrence(plan, instant + timedelta(microseconds=1)).send_at == datetime(2018, 12, 12, tzinfo=WIB)


def test_double_days_are_named_by_their_month() -> None:
    after = datetime(2017, 8, 20, tzinfo=WIB)
    assert local_dates(schedule(occasion="double_day", month=10), after, 2) == [date(2017, 10, 10), date(2018, 10, 10)]
    every = local_dates(schedule(occasion="double_day"), after, 5)
    assert every == [date(2017, 9, 9), date(2017, 10, 10), date(2017, 11, 11), date(2017, 12, 12), date(2018, 1, 1)]


@pytest.mark.parametrize(
    ("month", "day", "paid"),
    [
        (12, 25, 25),
        (11, 25, 24),
        (6, 25, 23),
        (4, 31, 28),
        (2, 31, 28),
    ],  # 2017-11-25 a Saturday, 06-25 and 04-30 Sundays
)
def test_payday_on_a_weekend_is_the_friday_before(month: int, day: int, paid: int) -> None:
    assert payday(2017, month, day) == date(2017, month, paid)


def test_payday_is_the_25th_where_no_day_is_given() -> None:
    days = local_dates(schedule(occasion="payday", time="09:00"), datetime(2017, 12, 5, tzinfo=WIB), 3)
    assert days == [date(2017, 12, 25), date(2018, 1, 25), date(2018, 2, 23)]


def test_always_is_daily_or_weekly() -> None:
    after = datetime(2017, 12, 30, 10, tzinfo=WIB)
    daily = local_dates(schedule(occasion="always", time="09:00"), after, 3)
    assert daily == [date(2017, 12, 31), date(2018, 1, 1), date(2018, 1, 2)]
    weekly = local_dates(schedule(occasion="always", weekday="friday"), after, 2)
    assert weekly == [date(2018, 1, 5), date(2018, 1, 12)]


@pytest.mark.parametrize("shift", [-180, -7, 0, 5, 180])
def test_a_shift_moves_the_day_and_leaps_no_year(shift: int) -> None:
    plan = schedule(occasion="lebaran", days=shift)
    after = datetime(2019, 12, 1, tzinfo=WIB)
    feasts = [feast.day for year in range(2019, 2027) for feast in Moon().feasts("lebaran", year, after)]
    coming = [day + timedelta(days=shift) for day in feasts if day + timedelta(days=shift) >= after.date()]
    assert local_dates(plan, after, 4) == coming[:4]


def test_local_time_is_that_of_the_schedules_zone() -> None:
    plan = schedule(occasion="harbolnas", time="20:00", timezone="Asia/Jayapura")
    assert due_occurrence(plan, datetime(2017, 1, 1, tzinfo=UTC)).name == "20171212t110000z"


@pytest.fixture(params=["UTC", "Asia/Jakarta", "America/New_York"])
def _machine_zone(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("_machine_zone")
def test_the_machines_zone_changes_nothing() -> None:
    names = [entry.name for entry in occurrences(schedule(occasion="payday"), datetime(2026, 2, 1, tzinfo=UTC), 3)]
    assert names == ["20260224t170000z", "20260324t170000z", "20260423t170000z"]


@given(st.datetimes(datetime(1000, 1, 2), datetime(9998, 1, 1)))  # noqa: DTZ001
def test_a_name_gives_its_instant_back(moment: datetime) -> None:
    instant = moment.replace(microsecond=0, tzinfo=WIB).astimezone(UTC)
    assert occurrence_instant(occurrence_name(instant)) == instant


@pytest.mark.parametrize("name", ["", "20171211", "20171211t170000", "20171311t170000z", "2017121t170000z", "../x"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="expected a name such as 20171211t170000z"):
        occurrence_instant(name)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="expected a time zone"):
        occurrences(schedule(occasion="always"), datetime(2017, 1, 1), 1)  # noqa: DTZ001


@settings(deadline=None)
@given(
    st.sampled_from(["harbolnas", "double_day", "ramadan", "lebaran", "idul_adha", "payday", "birthday", "always"]),
    st.integers(-180, 180),
    st.datetimes(datetime(2015, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001
)
def test_occurrences_come_in_order_and_never_before(occasion: str, days: int, moment: datetime) -> None:
    after = moment.replace(tzinfo=UTC)
    found = occurrences(schedule(occasion=occasion, days=days), after, 4)
    sends = [occurrence.send_at for occurrence in found]
    assert len(set(sends)) == 4
    assert sends == sorted(sends)
    assert after <= sends[0] <= after + timedelta(days=386)
