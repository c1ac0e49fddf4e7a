"""When nothing of an occurrence is sent to a place: the days of Ramadan and Nyepi put to hours.py."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from campaigns.calendar import NO_MOON, NYEPI, Occurrence
from campaigns.hijri import LAST_HIJRI_YEAR, Moon, public_holidays
from campaigns.hours import Window, blocked_windows, joined
from campaigns.schedule import Schedule


def ramadan_days(first: date, last: date, moon: Moon, known_at: datetime) -> frozenset[date]:
    """The days of fasting among those from first to last; where it is not announced yet, every day that may be one."""
    found: set[date] = set()
    if first.year > LAST_HIJRI_YEAR:
        return frozenset()
    for year in range(first.year - 1, last.year + 1):
        for start in moon.feasts("ramadan", year, known_at):
            begins = min(start.day, start.other or start.day)
            feast = next(
                feast
                for near in (begins.year, begins.year + 1)
                for feast in moon.feasts("lebaran", near, known_at)
                if feast.day > begins
            )
            ends = max(feast.day, feast.other or feast.day)
            found.update(begins + timedelta(days=n) for n in range((ends - begins).days))
    return frozenset(day for day in found if first <= day <= last)


def silent_days(first: date, last: date) -> list[date]:
    """The days of Nyepi from first to last."""
    return [
        day
        for year in range(first.year, last.year + 1)
        for day, _ in public_holidays(NYEPI, year)
        if first <= day <= last
    ]


def blocked_around(
    schedule: Schedule, occurrence: Occurrence, *, moon: Moon = NO_MOON, known_at: datetime
) -> Callable[[str | None, str], list[Window]]:
    """(province, zone) → the windows in which nothing of an occurrence is sent there, on the days about its sending.

    Nyepi on Bali; hours of prayer, unless the schedule says avoid_prayer: false; and where it is local, the time until
    the customers' own clock shows the hour of sending.
    """
    first, last = occurrence.day - timedelta(days=1), occurrence.day + timedelta(days=3)
    ramadan, nights = ramadan_days(first, last, moon, known_at), silent_days(first, last)

    @cache
    def blocked(province: str | None, zone: str) -> list[Window]:
        found = blocked_windows(
            province, zone, first, last, ramadan=ramadan, nyepi=nights, prayer=schedule.avoid_prayer
        )
        until = local_instant(schedule, occurrence, zone)
        return joined([*found, (occurrence.send_at, until)]) if until > occurrence.send_at else found

    return blocked


def local_instant(schedule: Schedule, occurrence: Occurrence, zone: str) -> datetime:
    """When an occurrence is sent to customers of a zone: at once, or at that hour of their own day; UTC."""
    if not schedule.local:
        return occurrence.send_at
    hour = occurrence.send_at.astimezone(ZoneInfo(schedule.zone)).time()
    return max(occurrence.send_at, datetime.combine(occurrence.day, hour, ZoneInfo(zone)).astimezone(UTC))
