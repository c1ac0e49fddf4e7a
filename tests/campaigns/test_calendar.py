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
    lebaran,
    occurrence_instant,
    occurrence_name,
    occurrences,
    payday,
)
from campaigns.spec import Schedule
from campaigns.tables import CampaignError
from recsys.tables import InputError

WIB = ZoneInfo("Asia/Jakarta")


def schedule(**parts: object) -> Schedule:
    return Schedule.model_validate(parts)


def local_dates(plan: Schedule, after: datetime, count: int) -> list[date]:
    zone = ZoneInfo(plan.timezone)
    return [occurrence.send_at.astimezone(zone).date() for occurrence in occurrences(plan, after, count)]


@pytest.mark.parametrize(
    "day",
    [date(2017, 6, 25), date(2020, 5, 24), date(2021, 5, 13), date(2022, 5, 2), date(2023, 4, 22), date(2024, 4, 10),
     date(2025, 3, 31), date(2026, 3, 21)],
)  # fmt: skip
def test_lebaran_is_the_day_that_the_government_fixed(day: date) -> None:
    assert lebaran(day.year) == ((day, False),)


def test_lebaran_to_come_is_marked_as_estimated() -> None:
    assert lebaran(2028) == ((date(2028, 2, 27), True),)
    assert due_occurrence(schedule(occasion="lebaran"), datetime(2028, 1, 1, tzinfo=UTC)).estimated


def test_a_year_may_have_two_lebarans() -> None:
    assert [day for day, _ in lebaran(2033)] == [date(2033, 1, 3), date(2033, 12, 23)]


def test_lebaran_beyond_what_is_known_is_an_error_that_names_the_year() -> None:
    with pytest.raises(CampaignError, match="Idul Fitri in 2101 is not known"):
        occurrences(schedule(occasion="lebaran"), datetime(2100, 1, 1, tzinfo=UTC), 2)


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
    feasts = [day for year in range(2019, 2027) for day, _ in lebaran(year)]
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
    st.sampled_from(["harbolnas", "double_day", "lebaran", "payday", "always"]),
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
