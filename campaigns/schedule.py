"""When a campaign fires, as its file states it."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from campaigns.fields import Days, Part, Slug, Zone, expect
from campaigns.places import WIT

Occasion = Literal[
    "harbolnas",
    "double_day",
    "ramadan",
    "lebaran",
    "idul_adha",
    "nyepi",
    "payday",
    "birthday",
    "winback",
    "restock",
    "always",
    "date",
]
Estimate = Literal["wait", "both", "go"]
OWN_KEYS = {  # key → the occasions that it belongs to
    "month": ("double_day",),
    "day": ("payday",),
    "weekday": ("always", "winback"),
    "date": ("date",),
    "leap_day": ("birthday",),
}

Shift = Annotated[int, Field(strict=True, ge=-180, le=180), expect("a number of days, -180 to 180")]
Time = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$"), expect('a time of day, as "07:30"')]
Lead = Annotated[int, Field(strict=True, ge=0, le=60), expect("a number of days, 0 to 60")]
Day = Annotated[dt.date, expect("a date that exists, as 2026-12-12")]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class Phase(Part):
    """A part of a longer season, with days and hours of its own; offers and words may belong to some phases only."""

    id: Slug
    """A name of its own: offers and words call the phase by it."""
    occasion: Occasion | None = None
    """Counts from this occasion instead of the schedule's."""
    days: Annotated[
        tuple[Shift, ...], BeforeValidator(_listed, json_schema_input_type=int | tuple[int, ...]), Field(min_length=1)
    ] = (0,)
    """Shift from the occasion in days, or a list of shifts: it is sent on each of them."""
    time: Time | None = None
    """Local time of sending, HH:MM; the schedule's if not given."""
    estimate: Estimate | None = None
    """As the schedule's, for this phase."""
    window_days: Days | None = None
    """As the campaign's, for this phase."""
    lead_days: Lead | None = None
    """As the schedule's, for this phase."""


class Schedule(Part):
    """When a campaign fires: an occasion, and a time of day counted from it."""

    occasion: Occasion
    """harbolnas: 12 December. double_day: 9.9, 10.10 … of `month`, of each month if none is given. ramadan: the first
    day of fasting. lebaran: the first day of Idul Fitri in Indonesia. idul_adha, nyepi: that day. payday: the `day` of
    each month, on a weekend the Friday before. birthday: each day, to those whose birthday it is. winback, restock:
    each day, to those whom the audience or the stock concerns. always: each day, or each `weekday`. date: once, on
    `date`."""
    days: Shift = 0
    """Shift from the occasion in days; negative is before it."""
    time: Time = "00:00"
    """Local time of sending, HH:MM."""
    timezone: Zone = "Asia/Jakarta"
    """The IANA time zone of `time`."""
    local: Annotated[bool, Field(strict=True)] = False
    """true: `time` is on each customer's own clock, so those in Papua get it two hours before those in Jakarta."""
    lead_days: Lead = 0
    """The campaign is decided so many days before it is sent."""
    estimate: Estimate = "go"
    """Of occasions that the moon decides, while the government has not announced the date. go: by the estimate. wait:
    nothing is sent until it is announced. both: both days that it may be are kept; the announcement leaves one."""
    avoid_prayer: Annotated[bool, Field(strict=True)] = True
    """Nothing is sent at Friday noon, nor from maghrib until after tarawih in Ramadan; it waits. Nyepi is always kept
    on Bali."""
    phases: tuple[Phase, ...] = ()
    """Parts of a season, each with days and hours of its own, in place of the one firing."""
    month: Annotated[int, Field(strict=True, ge=1, le=12), expect("a month, 1 to 12")] | None = None
    """Of double_day only: 9 is 9.9."""
    day: Annotated[int, Field(strict=True, ge=1, le=31), expect("a day of the month, 1 to 31")] | None = None
    """Of payday only; 25 if not given. In a shorter month: its last day."""
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] | None = None
    """Of always and winback only: once a week on this day."""
    date: Day | None = None
    """Of date only: the day, as 2026-12-12."""
    leap_day: Literal["february", "march"] | None = None
    """Of birthday only: who was born on 29 February has their day on 28 February (if not given) or on 1 March in other
    years."""

    @model_validator(mode="after")
    def _belongs(self) -> "Schedule":
        for fault, values in _faults(self):
            raise PydanticCustomError("belongs", fault, values)
        return self

    @property
    def zone(self) -> str:
        """The zone in which an occurrence's instant is counted: that of the first customers to be written to."""
        return WIT if self.local else self.timezone

    @property
    def least_lead(self) -> int:
        """The days between decision and sending of the phase that is decided last."""
        leads = [self.lead_days if phase.lead_days is None else phase.lead_days for phase in self.phases]
        return min(leads, default=self.lead_days)

    def phase(self, name: str) -> Phase:
        """Raises KeyError for a phase that the schedule does not have."""
        return {phase.id: phase for phase in self.phases}[name]


def _faults(schedule: Schedule) -> Iterator[tuple[Any, dict[str, Any]]]:
    for key, occasions in OWN_KEYS.items():
        if getattr(schedule, key) is not None and schedule.occasion not in occasions:
            yield (
                "{key} belongs to occasion {occasion}, not to {other}; remove it",
                {"key": key, "occasion": " or ".join(occasions), "other": schedule.occasion},
            )
    if schedule.occasion == "date" and schedule.date is None:
        yield "occasion date needs its day; add date: 2026-12-12", {}
    if schedule.local and schedule.timezone != "Asia/Jakarta":
        yield "timezone stands beside local: true, which takes each customer's own; keep one of the two", {}
    names = [phase.id for phase in schedule.phases]
    for name in names:
        if names.count(name) > 1:
            yield "two phases are named {name}; give each its own id", {"name": repr(name)}
    for phase in schedule.phases:
        for key, occasions in OWN_KEYS.items():
            if phase.occasion in occasions and getattr(schedule, key) is None and key == "date":
                yield "phase {name}: occasion date needs schedule.date", {"name": repr(phase.id)}
