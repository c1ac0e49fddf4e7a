from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import holidays
import pytest

from campaigns.calendar import nyepi
from campaigns.hijri import FEASTS, Announcement, Moon, read_announcements, shipped
from campaigns.silence import ramadan_days
from campaigns.tables import CampaignError

LATER = datetime(2035, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 1, 12, tzinfo=ZoneInfo("Asia/Jakarta"))

# As published: by the government until 2026 (sidang isbat), from 2027 on by the almanacs, where a day may still move.
PUBLISHED = {
    "lebaran": ["2020-05-24", "2021-05-13", "2022-05-02", "2023-04-22", "2024-04-10", "2025-03-31", "2026-03-21",
                "2027-03-10", "2028-02-27", "2029-02-15", "2030-02-04"],
    "ramadan": ["2020-04-24", "2021-04-13", "2022-04-03", "2023-03-23", "2024-03-12", "2025-03-01", "2026-02-19",
                "2027-02-08", "2028-01-28", "2029-01-16", "2030-01-05"],
    "idul_adha": ["2020-07-31", "2021-07-20", "2022-07-10", "2023-06-29", "2024-06-17", "2025-06-06", "2026-05-27",
                  "2027-05-17", "2028-05-05", "2029-04-25", "2030-04-14"],
    "nyepi": ["2020-03-25", "2021-03-14", "2022-03-03", "2023-03-22", "2024-03-11", "2025-03-29", "2026-03-19",
              "2027-03-08", "2028-03-26", "2029-03-15", "2030-03-05"],
}  # fmt: skip


@pytest.mark.parametrize(("occasion", "day"), [(name, day) for name in FEASTS for day in PUBLISHED[name]])
def test_a_feast_falls_on_its_published_day(occasion: str, day: str) -> None:
    published = date.fromisoformat(day)
    first = Moon().feasts(occasion, published.year, LATER)[0]
    assert first.day == published
    assert first.estimated == (published.year > 2026)


@pytest.mark.parametrize("day", PUBLISHED["nyepi"])
def test_nyepi_falls_on_its_published_day(day: str) -> None:
    assert nyepi(int(day[:4])) == [date.fromisoformat(day)]


@pytest.mark.parametrize("year", range(2020, 2027))
@pytest.mark.parametrize(
    ("occasion", "name"), [("lebaran", "Hari Raya Idul Fitri"), ("idul_adha", "Hari Raya Idul Adha")]
)
def test_what_ships_agrees_with_the_holidays_package(occasion: str, name: str, year: int) -> None:
    known = holidays.country_holidays("ID", years=year, language="id")
    assert Moon().feasts(occasion, year, LATER)[0].day in known.get_named(name, lookup="exact")


@pytest.mark.parametrize(
    ("at", "day", "estimated"),
    [
        (datetime(2022, 6, 1, tzinfo=UTC), date(2023, 4, 21), True),  # the conversion, a day early
        (datetime(2022, 11, 1, tzinfo=UTC), date(2023, 4, 22), True),  # the decree on public holidays is out
        (datetime(2023, 4, 20, 12, 29, tzinfo=UTC), date(2023, 4, 22), True),
        (datetime(2023, 4, 20, 12, 31, tzinfo=UTC), date(2023, 4, 22), False),  # the evening of 29 Ramadan
    ],
)
def test_a_decision_is_not_known_before_it_is_made(at: datetime, day: date, estimated: bool) -> None:
    (feast,) = Moon().feasts("lebaran", 2023, at)
    assert (feast.day, feast.estimated) == (day, estimated)


def test_a_workspaces_announcement_overrides_the_estimate_and_the_latest_counts() -> None:
    words = tuple(
        Announcement("lebaran", date(2027, 3, day), "Kemenag", datetime(2027, 3, 8, hour, tzinfo=UTC))
        for day, hour in ((9, 12), (10, 14))
    )
    moon = Moon(words)
    assert moon.feasts("lebaran", 2027, datetime(2027, 3, 8, 13, tzinfo=UTC))[0].day == date(2027, 3, 9)
    feast = moon.feasts("lebaran", 2027, datetime(2027, 3, 8, 15, tzinfo=UTC))[0]
    assert (feast.day, feast.estimated, feast.source) == (date(2027, 3, 10), False, "Kemenag")


def test_an_estimate_names_the_other_day_that_it_may_be() -> None:
    assert Moon().feasts("lebaran", 2027, NOON)[0].other == date(2027, 3, 9)
    assert Moon().feasts("ramadan", 2027, NOON)[0].other == date(2027, 2, 9)


def test_a_shift_moves_estimates_and_not_what_is_announced() -> None:
    moon = Moon(shifts=(("lebaran", 1),))
    assert moon.feasts("lebaran", 2027, NOON)[0].day == date(2027, 3, 11)
    assert moon.feasts("lebaran", 2026, NOON)[0].day == date(2026, 3, 21)


def test_a_year_may_have_two_lebarans() -> None:
    assert [feast.day for feast in Moon().feasts("lebaran", 2033, NOON)] == [date(2033, 1, 3), date(2033, 12, 23)]


def test_a_year_beyond_what_is_known_is_named() -> None:
    with pytest.raises(CampaignError, match="occasion lebaran: its date in 2101 is not known"):
        Moon().feasts("lebaran", 2101, NOON)


@pytest.mark.parametrize("year", range(2017, 2040))
def test_ramadan_has_29_or_30_days(year: int) -> None:
    start = Moon().feasts("ramadan", year, LATER)[0].day
    end = next(f.day for y in (year, year + 1) for f in Moon().feasts("lebaran", y, LATER) if f.day > start)
    assert end - start in (timedelta(days=29), timedelta(days=30))


def test_every_day_that_may_be_one_of_fasting_is_one_until_it_is_announced() -> None:
    days = ramadan_days(date(2027, 1, 1), date(2027, 12, 31), Moon(), NOON)
    assert (min(days), max(days)) == (date(2027, 2, 8), date(2027, 3, 9))
    known = ramadan_days(date(2026, 1, 1), date(2026, 12, 31), Moon(), NOON)
    assert (min(known), max(known), len(known)) == (date(2026, 2, 19), date(2026, 3, 20), 30)


def test_what_ships_was_decided_before_the_day() -> None:
    assert len(shipped()) == 30
    for one in shipped():
        assert timedelta(0) < datetime.combine(one.day, datetime.min.time(), UTC) - one.decided_at < timedelta(days=12)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("lebaram,2027-03-10,Kemenag,2027-03-08T19:00+07:00", "2: occasion: expected one of ramadan, lebaran"),
        ("lebaran,2027-02-30,Kemenag,2027-03-08T19:00+07:00", "2: date: expected a date that exists, as 2027-03-10"),
        ("lebaran,2027-05-10,Kemenag,2027-03-08T19:00+07:00", "2: date: 2027-05-10 is not near lebaran"),
        ("lebaran,2027-03-10,Kemenag,2027-03-08", "2: decided_at: expected an instant"),
        ("lebaran,2027-03-10,,2027-03-08T19:00+07:00", "2: source: is missing"),
        ("lebaran,2027-03-10", "2: decided_at: expected an instant"),
    ],
)
def test_a_row_that_is_no_announcement_is_named_by_its_line(row: str, fault: str) -> None:
    with pytest.raises(CampaignError) as raised:
        read_announcements(f"occasion,date,source,decided_at\n{row}\n", "calendar.csv")
    assert str(raised.value).startswith(f"calendar.csv:{fault}")


def test_other_columns_are_refused() -> None:
    with pytest.raises(CampaignError, match=r"calendar.csv:1: expected the columns occasion,date,source,decided_at"):
        read_announcements("feast,date\n", "calendar.csv")
