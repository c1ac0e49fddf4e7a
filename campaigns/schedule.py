"""When a campaign fires, as its file states it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from campaigns.fields import Part, Zone, expect


class Schedule(Part):
    """When a campaign fires. calendar.py turns it into instants."""

    occasion: Literal["harbolnas", "double_day", "lebaran", "payday", "always"]
    """harbolnas: 12 December. double_day: 9.9, 10.10 … of `month`, of each month if none is given. lebaran: the first
    day of Idul Fitri in Indonesia. payday: the `day` of each month, on a weekend the Friday before. always: each day,
    or each `weekday`."""
    days: Annotated[int, Field(strict=True, ge=-180, le=180), expect("a number of days, -180 to 180")] = 0
    """Shift from the occasion in days; negative is before it."""
    time: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$"), expect('a time of day, as "07:30"')] = "00:00"
    """Local time of sending, HH:MM."""
    timezone: Zone = "Asia/Jakarta"
    """The IANA time zone of `time`."""
    lead_days: Annotated[int, Field(strict=True, ge=0, le=60), expect("a number of days, 0 to 60")] = 0
    """The campaign is decided so many days before it is sent."""
    month: Annotated[int, Field(strict=True, ge=1, le=12), expect("a month, 1 to 12")] | None = None
    """Of double_day only: 9 is 9.9."""
    day: Annotated[int, Field(strict=True, ge=1, le=31), expect("a day of the month, 1 to 31")] | None = None
    """Of payday only; 25 if not given. In a shorter month: its last day."""
    weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"] | None = None
    """Of always only: once a week on this day."""

    @model_validator(mode="after")
    def _belongs(self) -> "Schedule":
        for key, occasion in (("month", "double_day"), ("day", "payday"), ("weekday", "always")):
            if getattr(self, key) is not None and self.occasion != occasion:
                raise PydanticCustomError(
                    "belongs",
                    "{key} belongs to occasion {occasion}, not to {other}; remove it",
                    {"key": key, "occasion": occasion, "other": self.occasion},
                )
        return self
