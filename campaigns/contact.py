"""How often, when, and when not a person may be written to: the contact policy, over all campaigns and accounts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import AfterValidator, ConfigDict, Field
from scipy.sparse import csr_matrix

from campaigns.fields import Part
from campaigns.hours import Window, joined, next_free
from campaigns.tables import CHANNELS

if TYPE_CHECKING:  # the settings are read without it
    import duckdb

SPANS = {"day": 1, "week": 7, "month": 30}  # local days in a row
AHEAD = timedelta(days=max(SPANS.values()))  # contacts further from a message than this do not count
LONGEST_WAIT = 3  # days for which windows are looked at

Most = Annotated[int, Field(ge=0, le=1000)] | None
Days = Annotated[int, Field(ge=0, le=366)]


def _clock(text: str) -> str:
    try:
        time.fromisoformat(text)
    except ValueError as error:
        raise ValueError('expected a time of day, as "21:00"') from error
    return text


Clock = Annotated[str, AfterValidator(_clock)]


class Caps(Part):
    """The most messages to a person in a local day, in any 7, and in any 30 days in a row; null is no such cap."""

    day: Most = None
    week: Most = None
    month: Most = None


class Quiet(Part):
    """Hours of the local day in which nothing is sent, except to who agreed to it (a consent of purpose `night`); none
    if both are the same."""

    model_config = ConfigDict(populate_by_name=True)

    begin: Clock = Field("21:00", alias="from")
    end: Clock = Field("07:00", alias="to")
    then: Literal["queue", "discard"] = "queue"
    """queue: it goes at their end; discard: it does not go on this channel."""


class ChannelPolicy(Part):
    most: Caps = Caps()
    quiet: Quiet | None = None
    fatigue: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Rupiah that each message of the last 30 days which was not opened adds to the cost of the next."""


class PushPolicy(ChannelPolicy):
    quiet: Quiet | None = Quiet()


class Above(Part):
    """Campaigns that may exceed the caps."""

    purposes: tuple[str, ...] = ("service",)
    campaigns: tuple[str, ...] = ()
    more: Annotated[int, Field(ge=0, le=100)] = 1
    """By so many messages, in each span of days."""


class ContactPolicy(Part):
    """[contact] of larisma.toml."""

    most: Caps = Caps(day=2, week=5, month=15)
    """Over all channels, campaigns and accounts of a person."""
    email: ChannelPolicy = ChannelPolicy()
    push: PushPolicy = PushPolicy()
    above: Above = Above()
    complaint_days: Days = 7
    """Nobody is written to while a complaint is open, nor so many days after it is closed."""
    late_delivery_days: Days = 3
    """The same for a late delivery."""
    bought_days: Days = 0
    """Nobody gets an offer on items of which they bought one in so many days; offers on everything are not meant."""
    adult_age: Annotated[int, Field(ge=0, le=30)] = 18
    """Who is younger is written to only with a parent's consent. UU 27/2022 art. 25 with UU 35/2014 art. 1."""


# --- when ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slot:
    """When a message that is due at an instant may go to a place: at_once for who agreed to be written to at night,
    otherwise for all others; None: not at all. UTC."""

    at_once: datetime
    otherwise: datetime | None


def slot(quiet: Quiet | None, zone: str, due: datetime, blocked: Sequence[Window] = ()) -> Slot:
    """blocked: windows that hold for everybody, such as hours of prayer and Nyepi; they are waited for."""
    free = next_free(due, joined(blocked))
    if quiet is None or quiet.begin == quiet.end:
        return Slot(free, free)
    nights = _quiet_windows(quiet, zone, due)
    if quiet.then == "queue":
        return Slot(free, next_free(due, joined([*blocked, *nights])))
    return Slot(free, free if next_free(free, nights) == free else None)


def _quiet_windows(quiet: Quiet, zone: str, due: datetime) -> list[Window]:
    begin, end, place = time.fromisoformat(quiet.begin), time.fromisoformat(quiet.end), ZoneInfo(zone)
    today = due.astimezone(place).date()
    days = [today + timedelta(days=n) for n in range(-1, LONGEST_WAIT + 1)]
    over_midnight = timedelta(days=int(end <= begin))

    def instant(day: date, clock: time) -> datetime:
        return datetime.combine(day, clock, place).astimezone(UTC)

    return joined((instant(day, begin), instant(day + over_midnight, end)) for day in days)


Blocked = Callable[[str | None, str], Sequence[Window]]  # (province, zone) → windows


def nothing_blocked(_province: str | None, _zone: str) -> Sequence[Window]:
    return ()


def slot_table(places: pa.Table, policy: ContactPolicy, due: datetime, blocked: Blocked) -> pa.Table:
    """The slots of places (province, zone) on each channel, and the local days they are on: for email and push
    …_at, …_day (for who agreed to the night), …_later, …_later_day (for all others)."""
    rows = []
    for place in places.to_pylist():
        province, zone = place["province"], place["zone"]
        windows, row = blocked(province, zone), {**place}
        for channel in CHANNELS:
            found = slot(getattr(policy, channel).quiet, zone, due, windows)
            for name, instant in ((channel, found.at_once), (f"{channel}_later", found.otherwise)):
                row[f"{name}_at"] = instant
                row[f"{name}_day"] = instant and instant.astimezone(ZoneInfo(zone)).date()
        rows.append(row)
    instants = [f"{channel}{when}" for channel in CHANNELS for when in ("", "_later")]
    fields = [pa.field("province", pa.string()), pa.field("zone", pa.string())]
    for name in instants:
        fields += [pa.field(f"{name}_at", pa.timestamp("us", "UTC")), pa.field(f"{name}_day", pa.date32())]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


# --- how often -------------------------------------------------------------------------------------------------------


def may_exceed(policy: ContactPolicy, campaign_id: str, purpose: str) -> int:
    """By how many messages a campaign may exceed the caps."""
    above = policy.above
    return above.more if campaign_id in above.campaigns or purpose in above.purposes else 0


def make_rooms(
    connection: "duckdb.DuckDBPyConnection", policy: ContactPolicy, *, due: datetime, as_of: datetime, more: int = 0
) -> None:
    """Makes the table rooms: customer_id, messages, email, push (how many more each may get on the day of sending, in
    all and on a channel), email_unopened, push_unopened; customers without contacts are not in it.

    From the tables people (customer_id, person_id, zone, email_day, push_day), contacts and ghosts (CONTACTS). A
    message on a day counts in every span of days with that day in it, also with messages that are planned for later.
    """
    connection.execute(
        _ROOMS.format(
            rooms=", ".join(
                f"{_room(policy_caps, kind, more)} AS {kind}_room"
                for kind, policy_caps in (
                    ("total", policy.most),
                    ("email", policy.email.most),
                    ("push", policy.push.most),
                )
            )
        ),
        {
            "first": due - AHEAD - timedelta(days=2),
            "last": due + AHEAD + timedelta(days=2 + LONGEST_WAIT),
            "as_of": as_of,
        },
    )


def full_room(caps: Caps, more: int = 0) -> int:
    """The room of somebody without contacts."""
    return min((cap + more for cap in (caps.day, caps.week, caps.month) if cap is not None), default=NO_CAP)


NO_CAP = 1_000_000


def _room(caps: Caps, kind: str, more: int) -> str:
    parts = [
        f"{cap + more} - coalesce(max({kind}_{span}) FILTER (away BETWEEN 0 AND {days - 1}), 0)"
        for span, days in SPANS.items()
        if (cap := getattr(caps, span)) is not None
    ]
    return f"greatest(0, least({', '.join([str(NO_CAP), *parts])}))"


_SUMS = ", ".join(f"sum({kind}) OVER {span} AS {kind}_{span}" for kind in ("total", "email", "push") for span in SPANS)
_SPANS = ", ".join(
    f"{span} AS (PARTITION BY person_id, line ORDER BY away RANGE BETWEEN {days - 1} PRECEDING AND CURRENT ROW)"
    for span, days in SPANS.items()
)
_ROOMS = f"""
CREATE OR REPLACE TEMP TABLE rooms AS
WITH days AS MATERIALIZED (
    SELECT person_id, CAST(timezone(zone, sent_at) AS DATE) AS day, channel, count(*) AS n
    FROM (
        SELECT customer_id, channel, sent_at FROM contacts
        UNION ALL SELECT customer_id, channel, sent_at FROM ghosts  -- so that controls' patience is taken up alike
    ) JOIN people USING (customer_id)
    WHERE sent_at BETWEEN $first AND $last
    GROUP BY ALL
),
lines AS (  -- the days on which a person may be written to now
    SELECT DISTINCT person_id, unnest([email_day, push_day]) AS line
    FROM people SEMI JOIN days USING (person_id)
),
near AS (
    SELECT person_id, line, date_diff('day', line, day) AS away, sum(n) AS total,
        sum(n) FILTER (channel = 'email') AS email, sum(n) FILTER (channel = 'push') AS push
    FROM lines JOIN days USING (person_id)
    WHERE abs(date_diff('day', line, day)) < {max(SPANS.values())}
    GROUP BY ALL
    UNION ALL SELECT person_id, line, 0, 0, 0, 0 FROM lines
),
summed AS (SELECT person_id, line, away, {_SUMS} FROM near WINDOW {_SPANS}),
left_over AS (SELECT person_id, line, {{rooms}} FROM summed GROUP BY ALL),
unopened AS (
    SELECT person_id, count(*) FILTER (channel = 'email') AS email, count(*) FILTER (channel = 'push') AS push
    FROM contacts JOIN people USING (customer_id)
    WHERE sent_at < $as_of AND sent_at >= $as_of - INTERVAL 30 DAY AND (opened_at IS NULL OR opened_at >= $as_of)
        AND channel IN (SELECT channel FROM contacts WHERE opened_at < $as_of)  -- else nobody counts what is opened
    GROUP BY ALL
)
SELECT
    customer_id,
    CAST(CASE WHEN least(mails.total_room, pushes.total_room) > 0 THEN least(mails.total_room, pushes.total_room)
        ELSE greatest(mails.total_room, pushes.total_room) END AS INTEGER) AS messages,
    CAST(least(mails.email_room, mails.total_room) AS INTEGER) AS email,
    CAST(least(pushes.push_room, pushes.total_room) AS INTEGER) AS push,
    coalesce(unopened.email, 0) AS email_unopened,
    coalesce(unopened.push, 0) AS push_unopened
FROM people
JOIN left_over AS mails ON people.person_id = mails.person_id AND people.email_day IS NOT DISTINCT FROM mails.line
JOIN left_over AS pushes ON people.person_id = pushes.person_id AND people.push_day IS NOT DISTINCT FROM pushes.line
LEFT JOIN unopened ON people.person_id = unopened.person_id
"""


def night_allowance(audiences: Sequence[pa.Table]) -> tuple[pa.Array, list[NDArray[np.int64]], NDArray[np.int64]]:
    """The people of a night's campaigns as the allocation takes them, from Audience.people of each.

    Returns the person_ids in order; for each campaign the person of each of its rows; and [persons] the most messages
    that each may get this night. That is the least of what the campaigns' days leave, and of what the channels leave
    on which the person may be written to: then no cap is exceeded, whichever of the messages are chosen.
    """
    ids = [table["person_id"].combine_chunks() for table in audiences]
    persons = pc.unique(pa.concat_arrays(ids)).sort() if ids else pa.array([], pa.string())
    rows = [pc.index_in(own, value_set=persons).to_numpy(zero_copy_only=False).astype(np.int64) for own in ids]
    messages = np.full(len(persons), NO_CAP, np.int64)
    for table, row in zip(audiences, rows, strict=True):
        np.minimum.at(messages, row, table["messages"].to_numpy())
    return persons, rows, messages


# --- what was bought -------------------------------------------------------------------------------------------------


def bought_lately(
    people: pa.Array | pa.ChunkedArray,
    purchases: pa.Table,
    scopes: csr_matrix,
    item_ids: pa.Array | pa.ChunkedArray,
    narrow: NDArray[np.bool_],
    *,
    since: datetime,
) -> NDArray[np.bool_]:
    """Who bought an item of which offer's scope at or after an instant: bool [people × offers].

    scopes: 0/1 [item_ids × offers]. narrow: [offers], those that are not for everything; of others nobody has.
    """
    column = purchases["occurred_at"]
    recent = purchases.filter(pc.greater_equal(column, pa.scalar(since, column.type)))
    person = pc.fill_null(pc.index_in(recent["customer_id"], value_set=_flat(people)), -1).to_numpy()
    item = pc.fill_null(pc.index_in(recent["item_id"], value_set=_flat(item_ids)), -1).to_numpy()
    known = (person >= 0) & (item >= 0)
    cells = (np.ones(int(known.sum()), np.float32), (person[known], item[known]))
    bought = csr_matrix(cells, shape=(len(people), len(item_ids))) @ scopes
    return (bought.toarray() > 0) & narrow


def _flat(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    return ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
