"""Occasions become dates, and dates become the instants at which a campaign fires.

Facts: public holidays of Indonesia come from the `holidays` package, which follows the government's decrees and says
"(perkiraan)" where there is none yet. Nothing here reads a clock or the machine's time zone.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import holidays

from campaigns.schedule import Schedule
from campaigns.tables import CampaignError
from recsys.tables import InputError

_NAME = "%Y%m%dt%H%M%Sz"
_IDUL_FITRI = "Hari Raya Idul Fitri"
_ESTIMATED = "(perkiraan)"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, order=True)
class Occurrence:
    """One firing of a campaign. Both instants are in UTC.

    estimated: the date is a computation that the government has not yet confirmed.
    """

    send_at: datetime
    decide_at: datetime
    estimated: bool = False

    @property
    def name(self) -> str:
        return occurrence_name(self.send_at)


def occurrences(schedule: Schedule, after: datetime, count: int) -> list[Occurrence]:
    """The next `count` occurrences that are sent at or after an instant, in order.

    Raises InputError if `after` bears no time zone, CampaignError if the occasion's date is not known so far ahead.
    """
    start = _in_utc(after)
    coming = (occurrence for occurrence in _from(schedule, start) if occurrence.send_at >= start)
    return list(islice(coming, count))


def due_occurrence(schedule: Schedule, as_of: datetime) -> Occurrence:
    """The occurrence to decide as of an instant: the next that is sent at or after it, never one before it."""
    return occurrences(schedule, as_of, 1)[0]


def occurrence_name(instant: datetime) -> str:
    """20171211t170000z, for 12 December 2017, 00.00 WIB. Raises InputError for an instant without a time zone."""
    return _in_utc(instant).strftime(_NAME)


def occurrence_instant(name: str) -> datetime:
    """The instant in UTC of an occurrence's name. Raises InputError if it is not such a name."""
    try:
        instant = datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        instant = None
    if instant is None or occurrence_name(instant) != name:
        raise InputError(f"occurrence {name!r}: expected a name such as 20171211t170000z")
    return instant


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise InputError(f"instant {instant}: expected a time zone, such as {instant.isoformat()}+07:00")
    return instant.astimezone(UTC)


def _from(schedule: Schedule, start: datetime) -> Iterator[Occurrence]:
    """In order, from some occurrence before start; without end, as long as dates are known."""
    zone, clock, shift = ZoneInfo(schedule.timezone), time.fromisoformat(schedule.time), timedelta(days=schedule.days)
    first = start.astimezone(zone).date() - shift - timedelta(days=1)
    for year in range(first.year, date.max.year):
        for day, estimated in _dates(schedule, year):
            if day < first:
                continue
            send = day + shift
            decide = send - timedelta(days=schedule.lead_days)
            yield Occurrence(
                datetime.combine(send, clock, zone).astimezone(UTC),
                datetime.combine(decide, clock, zone).astimezone(UTC),
                estimated,
            )


def _dates(schedule: Schedule, year: int) -> list[tuple[date, bool]]:
    """The occasion's dates in a year, in order, each with whether it is estimated."""
    match schedule.occasion:
        case "lebaran":
            return list(lebaran(year))
        case "harbolnas":
            days = [date(year, 12, 12)]
        case "double_day":
            days = [date(year, month, month) for month in range(1, 13) if schedule.month in (None, month)]
        case "payday":
            days = [payday(year, month, schedule.day or 25) for month in range(1, 13)]
        case "always":
            days = [date(year, 1, 1) + timedelta(days=n) for n in range(365 + calendar.isleap(year))]
            days = [day for day in days if schedule.weekday in (None, _WEEKDAYS[day.weekday()])]
    return [(day, False) for day in days]


def payday(year: int, month: int, day: int) -> date:
    """The day of a month, or its last day if it is shorter; of a weekend, the Friday before."""
    paid = date(year, month, min(day, calendar.monthrange(year, month)[1]))
    return paid - timedelta(days=max(0, paid.weekday() - calendar.FRIDAY))


@cache
def lebaran(year: int) -> tuple[tuple[date, bool], ...]:
    """The first days of Idul Fitri in Indonesia in a year (two in 2033), each with whether it is estimated.

    Raises CampaignError for a year of which the `holidays` package knows none.
    """
    known = holidays.country_holidays("ID", years=year, language="id", categories=("public",))
    found = sorted(
        (day, _ESTIMATED in name) for day in known for name in known.get_list(day) if name.startswith(_IDUL_FITRI)
    )
    if not found:
        raise CampaignError(f"occasion lebaran: the date of Idul Fitri in {year} is not known to the holidays package")
    return tuple(found)
