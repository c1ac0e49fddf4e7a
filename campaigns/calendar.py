"""Occasions become dates, and dates become the instants at which a campaign fires.

Facts: Nyepi comes from the `holidays` package, the feasts of Islam from hijri.py. Nothing here reads a clock or the
machine's time zone.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from heapq import merge
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from campaigns.hijri import FEASTS, Moon, public_holidays
from campaigns.schedule import Estimate, Schedule
from campaigns.tables import CampaignError
from recsys.tables import InputError

_NAME = "%Y%m%dt%H%M%Sz"
NYEPI = "Hari Suci Nyepi"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NO_MOON = Moon()


@dataclass(frozen=True, order=True)
class Occurrence:
    """One firing of a campaign. Both instants are in UTC.

    estimated: the date is a computation that the government has not yet confirmed; waiting: so nothing is sent yet.
    phase: of the schedule, "" where it has none. day: of sending, on the clock of those written to first.
    occasion_day: the occasion's own, as Lebaran's. feast: of a phase that counts from another occasion, the day of the
    schedule's own that comes at or after the sending, where the moon decides it; else None.
    """

    send_at: datetime
    decide_at: datetime
    estimated: bool = False
    waiting: bool = False
    phase: str = ""
    day: date = date.min
    occasion_day: date = date.min
    feast: date | None = None

    @property
    def name(self) -> str:
        return occurrence_name(self.send_at)


@dataclass(frozen=True)
class _Part:
    """One stream of dates: an occasion and a shift from it."""

    occasion: str
    days: int
    time: time
    estimate: Estimate
    lead_days: int
    phase: str = ""


def occurrences(
    schedule: Schedule, after: datetime, count: int, *, moon: Moon = NO_MOON, known_at: datetime | None = None
) -> list[Occurrence]:
    """The next `count` occurrences that are sent at or after an instant, in order; fewer where there are no more.

    moon: the workspace's announcements. known_at: what is announced later is not known; by default `after`.
    Raises InputError if `after` bears no time zone, CampaignError if the occasion's date is not known so far ahead.
    """
    return list(islice(_coming(schedule, in_utc(after), moon, in_utc(known_at or after)), count))


def occurrences_between(
    schedule: Schedule, start: datetime, end: datetime, *, moon: Moon = NO_MOON
) -> list[Occurrence]:
    """Those sent in [start, end), in order, as known at start. Raises as occurrences does."""
    last = in_utc(end)
    coming = _coming(schedule, in_utc(start), moon, in_utc(start))
    return list(takewhile(lambda occurrence: occurrence.send_at < last, coming))


def _coming(schedule: Schedule, start: datetime, moon: Moon, known_at: datetime) -> Iterator[Occurrence]:
    streams = [_from(schedule, part, start, moon, known_at) for part in _parts(schedule)]
    return (occurrence for occurrence in _each_once(merge(*streams)) if occurrence.send_at >= start)


def due_occurrence(schedule: Schedule, as_of: datetime, *, moon: Moon = NO_MOON) -> Occurrence:
    """The occurrence to decide as of an instant: the next that is sent at or after it, never one before it.

    Raises CampaignError if there is none any more, or if it waits for the government's announcement.
    """
    coming = occurrences(schedule, as_of, 1, moon=moon)
    if not coming:
        raise CampaignError(f"schedule.date: {schedule.date} is past; nothing is due any more")
    (due,) = coming
    if due.waiting:
        occasion = (schedule.phase(due.phase).occasion if due.phase else None) or schedule.occasion
        raise CampaignError(
            f"schedule.estimate: {occasion} of {due.occasion_day.year} waits for the government's announcement "
            f"(the estimate is {due.occasion_day}); record it with: larisma campaign announce {occasion} DATE"
        )
    return due


def occurrence_name(instant: datetime) -> str:
    """20171211t170000z, for 12 December 2017, 00.00 WIB. Raises InputError for an instant without a time zone."""
    return in_utc(instant).strftime(_NAME)


def occurrence_instant(name: str) -> datetime:
    """The instant in UTC of an occurrence's name. Raises InputError if it is not such a name."""
    try:
        instant = datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        instant = None
    if instant is None or occurrence_name(instant) != name:
        raise InputError(f"occurrence {name!r}: expected a name such as 20171211t170000z")
    return instant


def in_utc(instant: datetime) -> datetime:
    """Raises InputError for an instant without a time zone."""
    if instant.tzinfo is None:
        raise InputError(f"instant {instant}: expected a time zone, such as {instant.isoformat()}+07:00")
    return instant.astimezone(UTC)


def _parts(schedule: Schedule) -> list[_Part]:
    clock = time.fromisoformat(schedule.time)
    if not schedule.phases:
        return [_Part(schedule.occasion, schedule.days, clock, schedule.estimate, schedule.lead_days)]
    return [
        _Part(
            phase.occasion or schedule.occasion,
            days,
            time.fromisoformat(phase.time) if phase.time else clock,
            phase.estimate or schedule.estimate,
            schedule.lead_days if phase.lead_days is None else phase.lead_days,
            phase.id,
        )
        for phase in schedule.phases
        for days in phase.days
    ]


def _from(schedule: Schedule, part: _Part, start: datetime, moon: Moon, known_at: datetime) -> Iterator[Occurrence]:
    """In order, from some occurrence before start; without end, as long as dates are known."""
    zone, shift = ZoneInfo(schedule.zone), timedelta(days=part.days)
    first = start.astimezone(zone).date() - shift - timedelta(days=1)
    for year in _years(schedule, part, first):
        for day, estimated in _dates(schedule, part, year, moon, known_at):
            if day < first:
                continue
            send = day + shift
            decide = send - timedelta(days=part.lead_days)
            yield Occurrence(
                datetime.combine(send, part.time, zone).astimezone(UTC),
                datetime.combine(decide, part.time, zone).astimezone(UTC),
                estimated,
                estimated and part.estimate == "wait",
                part.phase,
                send,
                day,
                _feast(schedule, part, send, moon, known_at),
            )


def _feast(schedule: Schedule, part: _Part, send: date, moon: Moon, known_at: datetime) -> date | None:
    if part.occasion == schedule.occasion or schedule.occasion not in FEASTS:
        return None
    coming = (f.day for year in (send.year, send.year + 1) for f in moon.feasts(schedule.occasion, year, known_at))
    return next((day for day in coming if day >= send), None)


def _each_once(coming: Iterator[Occurrence]) -> Iterator[Occurrence]:
    """Of phases that meet at one instant the first in order of name, so that an instant names one occurrence."""
    last = None
    for occurrence in coming:
        if occurrence.send_at != last:
            last = occurrence.send_at
            yield occurrence


def _years(schedule: Schedule, part: _Part, first: date) -> range:
    if part.occasion == "date":
        assert schedule.date is not None  # noqa: S101 - the schedule's own check
        return range(schedule.date.year, schedule.date.year + 1)
    return range(first.year, date.max.year)


def _dates(schedule: Schedule, part: _Part, year: int, moon: Moon, known_at: datetime) -> list[tuple[date, bool]]:
    """The occasion's dates in a year, in order, each with whether it is estimated."""
    match part.occasion:
        case feast if feast in FEASTS:
            return feast_dates(feast, year, moon, known_at, both=part.estimate != "go")
        case "nyepi":
            days = nyepi(year)
        case "harbolnas":
            days = [date(year, 12, 12)]
        case "double_day":
            days = [date(year, month, month) for month in range(1, 13) if schedule.month in (None, month)]
        case "payday":
            days = [payday(year, month, schedule.day or 25) for month in range(1, 13)]
        case "date":
            days = [schedule.date] if schedule.date else []
        case _:  # always, and what concerns some people each day
            days = [date(year, 1, 1) + timedelta(days=n) for n in range(365 + calendar.isleap(year))]
            days = [day for day in days if schedule.weekday in (None, _WEEKDAYS[day.weekday()])]
    return [(day, False) for day in days]


def feast_dates(
    occasion: str, year: int, moon: Moon, known_at: datetime, *, both: bool = False
) -> list[tuple[date, bool]]:
    """A feast's first days in a year, in order, each with whether it is estimated; both: also the other day that an
    estimated one may turn out to be."""
    found = []
    for feast in moon.feasts(occasion, year, known_at):
        found.append((feast.day, feast.estimated))
        if both and feast.other:
            found.append((feast.other, True))
    return sorted(found)


def payday(year: int, month: int, day: int) -> date:
    """The day of a month, or its last day if it is shorter; of a weekend, the Friday before."""
    paid = date(year, month, min(day, calendar.monthrange(year, month)[1]))
    return paid - timedelta(days=max(0, paid.weekday() - calendar.FRIDAY))


def nyepi(year: int) -> list[date]:
    """The day of silence on Bali. Raises CampaignError for a year of which the `holidays` package knows none."""
    found = [day for day, _ in public_holidays(NYEPI, year)]
    if not found:
        raise CampaignError(f"occasion nyepi: its date in {year} is not known to the holidays package")
    return found
