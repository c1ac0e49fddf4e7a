"""Ramadan, Idul Fitri and Idul Adha in Indonesia: computed, until the government has announced them.

The government fixes the first of a month on the evening of the 29th before it (sidang isbat). A conversion of the
calendar is a day early in three of the seven years from 2020 on, so its dates are estimates and are marked so
everywhere. What was announced since 2017 ships with the package (announced.csv); a workspace adds its own rows.
"""

import csv
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib.resources import files
from io import StringIO
from typing import Literal, get_args

import holidays
from hijridate import Gregorian, Hijri

from campaigns.tables import CampaignError

Feast = Literal["ramadan", "lebaran", "idul_adha"]
FEASTS: tuple[str, ...] = get_args(Feast)
COLUMNS = ("occasion", "date", "source", "decided_at")
LAST_HIJRI_YEAR = 2074  # Gregorian; the conversion ends soon after
_MONTH_DAY = {"ramadan": (9, 1), "lebaran": (10, 1), "idul_adha": (12, 10)}
_HOLIDAY = {"lebaran": "Hari Raya Idul Fitri", "idul_adha": "Hari Raya Idul Adha"}
_ESTIMATED = "(perkiraan)"
_DECREE = (10, 1)  # month and day of the year before, when the decree on public holidays is out


@dataclass(frozen=True, order=True)
class Announcement:
    """The government's word on a feast: its first day. decided_at: an aware instant; unknown before it."""

    occasion: str
    day: date
    source: str
    decided_at: datetime


@dataclass(frozen=True, order=True)
class FeastDay:
    """estimated: not announced yet. other: the day that an estimated one may turn out to be instead."""

    day: date
    estimated: bool
    source: str
    other: date | None = None


@dataclass(frozen=True)
class Moon:
    """What is known, or supposed, of the Hijri calendar.

    announced: in any order; of two on one feast the one decided later counts. shifts: feast → days by which estimates
    are moved, to see what would change.
    """

    announced: tuple[Announcement, ...] = ()
    shifts: tuple[tuple[str, int], ...] = ()

    def feasts(self, occasion: str, year: int, known_at: datetime) -> list[FeastDay]:
        """The feast's first days within a Gregorian year (two in some), as known at an instant, in order.

        Raises CampaignError for a year that the conversion does not reach.
        """
        try:
            middle = Gregorian(year, 7, 1).to_hijri().year
            found = [self._feast(occasion, hijri, known_at) for hijri in range(middle - 1, middle + 2)]
        except (OverflowError, ValueError) as error:
            raise CampaignError(f"occasion {occasion}: its date in {year} is not known so far ahead") from error
        return sorted(feast for feast in found if feast.day.year == year)

    def _feast(self, occasion: str, hijri: int, known_at: datetime) -> FeastDay:
        said = [
            (one.decided_at, one)
            for one in (*shipped(), *self.announced)
            if one.occasion == occasion and one.decided_at < known_at and _hijri_year(one.day) == hijri
        ]
        if said:
            word = max(said)[1]
            return FeastDay(word.day, False, word.source)
        converted, day = estimates(occasion, hijri, known_at.date())
        shift = timedelta(days=dict(self.shifts).get(occasion, 0))
        other = converted if converted != day else day + timedelta(days=1)
        return FeastDay(day + shift, True, "estimate", other + shift)


def estimates(occasion: str, hijri: int, known_on: date) -> tuple[date, date]:
    """(by the conversion, the better one) of a feast of a Hijri year.

    The better is the decree on public holidays, from October of the year before, or what the `holidays` package
    estimates for Indonesia. Ramadan, which is no holiday, begins at most 30 days before Idul Fitri.
    """
    converted = _converted(occasion, hijri)
    if occasion == "ramadan":
        _, feast = estimates("lebaran", hijri, known_on)
        return converted, max(converted, feast - timedelta(days=30))
    for year in {converted.year, (converted + timedelta(days=2)).year}:
        for day, estimated in public_holidays(_HOLIDAY[occasion], year):
            decreed = known_on >= date(day.year - 1, *_DECREE)
            if abs(day - converted) <= timedelta(days=2) and (estimated or decreed):
                return converted, day
    return converted, converted


@cache
def public_holidays(name: str, year: int) -> tuple[tuple[date, bool], ...]:
    """The days of a year that the `holidays` package calls by a name, each with whether it says that it estimates."""
    known = holidays.country_holidays("ID", years=year, language="id", categories=("public",))
    return tuple(
        (day, _ESTIMATED in entry) for day in sorted(known) for entry in known.get_list(day) if entry.startswith(name)
    )


@cache
def shipped() -> tuple[Announcement, ...]:
    """The announcements since 2017."""
    return read_announcements((files("campaigns") / "announced.csv").read_text(encoding="utf-8"), "announced.csv")


def read_announcements(text: str, name: str) -> tuple[Announcement, ...]:
    """Reads CSV with the columns occasion, date, source, decided_at (ISO 8601 with an offset).

    Raises CampaignError with a line for each row that is none: "calendar.csv:3: …".
    """
    rows = csv.DictReader(StringIO(text))
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise CampaignError(
            f"{name}:1: expected the columns {','.join(COLUMNS)}, got {','.join(rows.fieldnames or ())}"
        )
    found, faults = [], []
    for row in rows:
        announcement = _announcement(row)
        if isinstance(announcement, str):
            faults.append(f"{name}:{rows.line_num}: {announcement}")
        else:
            found.append(announcement)
    if faults:
        raise CampaignError("\n".join(faults))
    return tuple(found)


def _announcement(row: dict[str, str | None]) -> Announcement | str:
    """The row as a value, or what is wrong with it."""
    occasion, source = row["occasion"] or "", row["source"] or ""
    if occasion not in FEASTS:
        return f"occasion: expected one of {', '.join(FEASTS)}, got {occasion!r}"
    try:
        day = date.fromisoformat(row["date"] or "")
    except ValueError:
        return f"date: expected a date that exists, as 2027-03-10, got {row['date']!r}"
    try:
        decided_at = datetime.fromisoformat(row["decided_at"] or "")
    except ValueError:
        decided_at = None
    if decided_at is None or decided_at.tzinfo is None:
        return f"decided_at: expected an instant, as 2027-03-08T19:30+07:00, got {row['decided_at']!r}"
    if not source.strip():
        return "source: is missing; say whose decision it is"
    converted = _converted(occasion, _hijri_year(day))
    if abs(day - converted) > timedelta(days=3):
        return f"date: {day} is not near {occasion}, which is around {converted}"
    return Announcement(occasion, day, source, decided_at.astimezone(UTC))


def _converted(occasion: str, hijri: int) -> date:
    return date.fromisoformat(Hijri(hijri, *_MONTH_DAY[occasion]).to_gregorian().isoformat())


def _hijri_year(day: date) -> int:
    """The Hijri year of a feast's first day, also where it is announced a day before the conversion's."""
    later = day + timedelta(days=5)
    return Gregorian(later.year, later.month, later.day).to_hijri().year
