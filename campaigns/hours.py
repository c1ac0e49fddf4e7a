"""Hours in which nothing is sent to a place: Friday noon, maghrib to tarawih in Ramadan, and Nyepi on Bali.

Pure functions of place and day; silence.py knows the days. Contact policy joins these windows with its quiet hours.
The sun is where NOAA's low-precision solar equations put it, to about a minute in Indonesia.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from campaigns.places import WITA, Province, place_of

Window = tuple[datetime, datetime]  # from, until (not included), UTC

BEFORE_PRAYER = timedelta(minutes=15)  # people are on their way
FRIDAY_PRAYER = timedelta(minutes=75)  # from noon, sermon and all
MAGHRIB_TO_TARAWIH = timedelta(minutes=150)  # breaking the fast, isya 70 minutes after sunset, tarawih
_HORIZON = 90.833  # degrees from the zenith at which the sun's upper edge is gone
_NYEPI_ENDS = time(6)  # of the day after


def friday_prayer(place: Province, day: date) -> Window | None:
    """From a little before the sun's noon; None on other days."""
    if day.weekday() != 4:
        return None
    noon, _ = sun(place, day)
    return noon - BEFORE_PRAYER, noon + FRIDAY_PRAYER


def ramadan_evening(place: Province, day: date) -> Window:
    """From a little before sunset, when the fast is broken, until tarawih is over."""
    _, sunset = sun(place, day)
    return sunset - BEFORE_PRAYER, sunset + MAGHRIB_TO_TARAWIH


def nyepi_silence(place: Province, day: date) -> Window | None:
    """From midnight of Nyepi until six in the morning after, on Bali's clock; None elsewhere."""
    if place.name != "Bali":
        return None
    zone = ZoneInfo(WITA)
    end = datetime.combine(day + timedelta(days=1), _NYEPI_ENDS, zone)
    return datetime.combine(day, time(), zone).astimezone(UTC), end.astimezone(UTC)


def blocked_windows(
    province: str | None,
    zone: str,
    first: date,
    last: date,
    *,
    ramadan: Collection[date] = (),
    nyepi: Iterable[date] = (),
    prayer: bool = True,
) -> list[Window]:
    """The windows that begin on a local day from first to last, both included, in order, none touching another.

    province, zone: of the customer, as in their row; a province that is not known is taken as its zone's.
    ramadan: the days of fasting; nyepi: the days of silence (see silence.py).
    prayer: False leaves only Nyepi, for campaigns that mean to be read at those hours.
    """
    place = place_of(province, zone)
    found = [window for day in nyepi if first <= day <= last and (window := nyepi_silence(place, day))]
    if prayer:
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            friday = friday_prayer(place, day)
            found += [friday] if friday else []
            found += [ramadan_evening(place, day)] if day in ramadan else []
    return joined(found)


def joined(windows: Iterable[Window]) -> list[Window]:
    """The same time as windows in order, none touching another."""
    found: list[Window] = []
    for start, end in sorted(windows):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def next_free(instant: datetime, windows: Sequence[Window]) -> datetime:
    """The instant itself, or the end of the window that it falls in. windows: as joined gives them."""
    return next((end for start, end in windows if start <= instant < end), instant)


@lru_cache(maxsize=4096)
def sun(place: Province, day: date) -> tuple[datetime, datetime]:
    """(noon, sunset) of a local day, UTC, to the minute."""
    turn = 2 * math.pi / 365 * (day.timetuple().tm_yday - 0.5)  # of the year, at midday
    equation = 229.18 * (  # minutes that a sundial is ahead of the clock
        0.000075
        + 0.001868 * math.cos(turn)
        - 0.032077 * math.sin(turn)
        - 0.014615 * math.cos(2 * turn)
        - 0.040849 * math.sin(2 * turn)
    )
    declination = (
        0.006918
        - 0.399912 * math.cos(turn)
        + 0.070257 * math.sin(turn)
        - 0.006758 * math.cos(2 * turn)
        + 0.000907 * math.sin(2 * turn)
        - 0.002697 * math.cos(3 * turn)
        + 0.00148 * math.sin(3 * turn)
    )
    latitude = math.radians(place.latitude)
    angle = math.acos(
        math.cos(math.radians(_HORIZON)) / (math.cos(latitude) * math.cos(declination))
        - math.tan(latitude) * math.tan(declination)
    )
    midnight = datetime.combine(day, time(), UTC)
    noon = 720 - 4 * place.longitude - equation
    return tuple(midnight + timedelta(minutes=round(m)) for m in (noon, noon + 4 * math.degrees(angle)))  # type: ignore[return-value]
