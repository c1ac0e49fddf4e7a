"""Who may be addressed by a campaign as of an instant, who is kept out to measure it, why the others are left out."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from campaigns.contact import (
    Blocked,
    ContactPolicy,
    full_room,
    make_rooms,
    may_exceed,
    nothing_blocked,
    slot_table,
)
from campaigns.control import BUCKETS, Controls, campaign_salt, global_salt
from campaigns.predicates import PEOPLE, check_predicate, open_sandbox
from campaigns.spec import Campaign
from campaigns.tables import (
    CHANNELS,
    CONSENTS,
    CONTACTS,
    CUSTOMERS,
    NIGHT,
    PARENT,
    RESPONSES,
    SEGMENTS,
    SERVICE_CASES,
    SILENCES,
    CampaignError,
)
from recsys.tables import InputError, Table, conform

# Why a customer is left out; the first that holds counts.
REASONS = (
    "test account",
    "outside the audience",
    "silence",
    "open complaint",
    "late delivery",
    "no consent",
    "no parent's consent",
    "no address",
    "hard bounce",
    "quiet hours",
    "frequency cap",
    "other account",
)

NO_CONTROLS, STANDARD = Controls(), ContactPolicy()
Rows: TypeAlias = pa.Table | ds.Dataset  # a dataset is read as it streams by


@dataclass(frozen=True)
class Audience:
    """
    people: in order of customer_id, one account of each person who may be addressed. Controls are among them; they
        are decided for like the others and then not sent anything.
        customer_id, person_id; arm (treatment | control); bucket (0–9999, of the campaign); email, push (bool): the
        campaign's channels by which they may be reached; email_at, push_at: when a message may go there; messages: how
        many they may get that day before the contact policy's caps are reached; email_fatigue, push_fatigue: rupiah
        that unopened messages add to the cost of one more.
    left_out: customer_id, reason (one of REASONS). Sorted by customer_id.
    funnel: ("customers", all), then those left out by reason, ("control group", n), ("treatment", n);
        the first is the sum of the others.
    """

    people: pa.Table
    left_out: pa.Table
    funnel: list[tuple[str, int]]


def select_audience(
    campaign: Campaign,
    customers: Rows,
    consents: Rows,
    service_cases: Rows,
    silences: Rows,
    *,
    as_of: datetime,
    control_salt: str,
    assume_consent: Collection[str] = (),
    controls: Controls = NO_CONTROLS,
    policy: ContactPolicy = STANDARD,
    send_at: datetime | None = None,
    birthday_ahead: int = 0,
    blocked: Blocked = nothing_blocked,
    segments: Rows | None = None,
    contacts: Rows | None = None,
    ghosts: Rows | None = None,
    responses: Rows | None = None,
    memory: str | None = None,
) -> Audience:
    """Everyone known as of an instant, parted into people who may be addressed and people who may not, in the tables'
    contracts (campaigns.tables); facts of as_of or later are not seen, but for contacts that are planned.

    assume_consent: channels on which no word about consent is a yes. send_at: the occurrence's; as_of if None.
    birthday_ahead: days from sending to the birthday that a campaign of occasion birthday is for, on the customer's own
    day of sending. blocked: windows of a place in which nothing is sent. segments: of the customers; needed where a
    predicate speaks of them. ghosts: contacts that controls would have had. responses: what recipients did. memory: see
    open_sandbox.
    Raises InputError for a customer who is there twice, CampaignError if the audience's predicate fails on the data.
    """
    send_at = send_at or as_of
    with open_sandbox(campaign.schedule.timezone, memory=memory) as connection:
        _register_people(connection, customers, segments, as_of)
        connection.register("consents", rows_of(consents, CONSENTS))
        connection.register("service_cases", rows_of(service_cases, SERVICE_CASES))
        connection.register("silences", rows_of(silences, SILENCES))
        connection.register("contacts", rows_of(contacts, CONTACTS))
        connection.register("ghosts", rows_of(ghosts, CONTACTS))
        connection.register("responses", rows_of(responses, RESPONSES))
        connection.register("test_accounts", pa.table({"customer_id": pa.array(controls.test_accounts, pa.string())}))
        _make_places(connection, campaign, policy, send_at, blocked)
        _make_wanted(connection, campaign, birthday_ahead)
        connection.execute(
            _PEOPLE,
            {
                "as_of": as_of,
                "send_at": send_at,
                "purpose": campaign.purpose,
                "email_used": "email" in campaign.channels,
                "push_used": "push" in campaign.channels,
                "email_assumed": "email" in assume_consent,
                "push_assumed": "push" in assume_consent,
                "adult_age": policy.adult_age,
                "complaint_days": policy.complaint_days,
                "late_days": policy.late_delivery_days,
            },
        )
        more = may_exceed(policy, campaign.id, campaign.purpose)
        make_rooms(connection, policy, due=send_at, as_of=as_of, more=more)
        everywhere = 0 if campaign.purpose in controls.exempt else controls.global_share
        caps = [policy.most, policy.email.most, policy.push.most]
        total, mails, pushes = (full_room(one, more) for one in caps)
        judged: pa.Table = connection.sql(
            _JUDGED,
            params={
                "salt": campaign_salt(control_salt, campaign.id),
                "share": round(campaign.control.share * BUCKETS),
                "global_salt": global_salt(control_salt, controls.season),
                "global_share": round(everywhere * BUCKETS),
                "room": total,
                "email_room": min(total, mails),
                "push_room": min(total, pushes),
                "email_fatigue": policy.email.fatigue,
                "push_fatigue": policy.push.fatigue,
            },
        ).to_arrow_table()
    addressable = pc.is_null(judged["reason"])
    people = judged.filter(addressable).drop_columns("reason")
    left_out = judged.filter(pc.invert(addressable)).select(["customer_id", "reason"])
    return Audience(people, left_out, _funnel(people, left_out))


def eligible(
    campaign: Campaign,
    customers: Rows,
    customer_ids: pa.Array | pa.ChunkedArray,
    *,
    as_of: datetime,
    send_at: datetime | None = None,
    segments: Rows | None = None,
) -> NDArray[np.bool_]:
    """Who may get which offer: bool [customer_ids × campaign.offers], by the offers' own predicates.

    Raises InputError for an id that is not among the customers known as of, CampaignError as select_audience does.
    """
    predicates = [offer.eligibility for offer in campaign.offers]
    return meeting(campaign, customers, customer_ids, predicates, as_of=as_of, send_at=send_at, segments=segments)


def meeting(
    campaign: Campaign,
    customers: Rows,
    customer_ids: pa.Array | pa.ChunkedArray,
    predicates: Sequence[str | None],
    *,
    as_of: datetime,
    send_at: datetime | None = None,
    segments: Rows | None = None,
) -> NDArray[np.bool_]:
    """Of whom each predicate is true: bool [customer_ids × predicates]; otherwise as eligible."""
    known, held = _held(campaign, customers, predicates, as_of, send_at, segments)
    rows = pc.index_in(pa.chunked_array(customer_ids), value_set=known)
    if rows.null_count:
        raise InputError(f"{rows.null_count} of {len(rows)} customers are not known as of {as_of}")
    return held[rows.to_numpy()]


def check_audience(
    campaign: Campaign,
    customers: Rows,
    *,
    as_of: datetime,
    send_at: datetime | None = None,
    segments: Rows | None = None,
) -> list[str]:
    """A line for the audience if it holds none of the customers, and for each offer that nobody in it may get."""
    predicates = [campaign.audience, *(offer.eligibility for offer in campaign.offers)]
    known, held = _held(campaign, customers, predicates, as_of, send_at, segments)
    wanted, may = held[:, 0], held[held[:, 0], 1:]
    if not wanted.any():
        return [f"audience: none of {len(known)} customers, {campaign.audience!r}; loosen the predicate"]
    return [
        f"offers[{offer.id}].eligibility: none of the {wanted.sum()} customers in the audience, {offer.eligibility!r}; "
        "loosen the predicate"
        for number, offer in enumerate(campaign.offers)
        if not may[:, number].any()
    ]


# --- customers -------------------------------------------------------------------------------------------------------


def rows_of(rows: Rows | None, contract: Table) -> Rows:
    if rows is None:
        return contract.schema.empty_table()
    return conform(rows, contract) if isinstance(rows, pa.Table) else rows


def _register_people(
    connection: duckdb.DuckDBPyConnection, customers: Rows, segments: Rows | None, as_of: datetime
) -> None:
    """Makes the view known: customers who joined before as_of, or at a time that is not known, with their segments."""
    if as_of.tzinfo is None:
        raise InputError(f"as-of instant {as_of}: expected a time zone, such as {as_of.isoformat()}+07:00")
    connection.register("customers", rows_of(customers, CUSTOMERS))
    connection.register("segments", rows_of(segments, SEGMENTS))
    connection.execute(
        f"""CREATE TEMP VIEW known AS
        SELECT customers.*, segments.* EXCLUDE (customer_id),
            coalesce(nullif(trim(timezone), ''), 'Asia/Jakarta') AS zone
        FROM customers LEFT JOIN segments ON customers.customer_id = segments.customer_id
        WHERE joined_at IS NULL OR joined_at < TIMESTAMPTZ '{as_of.isoformat()}'"""
    )
    rows, ids = connection.execute("SELECT count(*), count(DISTINCT customer_id) FROM known").fetchall()[0]
    if rows > ids:
        raise InputError(f"customers: {rows - ids} rows repeat a customer_id; keep one row for each customer")


def _make_places(
    connection: duckdb.DuckDBPyConnection,
    campaign: Campaign,
    policy: ContactPolicy,
    send_at: datetime,
    blocked: Blocked = nothing_blocked,
) -> None:
    """places: for each province and zone of customers the local day of sending, and the slots of each channel."""
    places = connection.sql("SELECT DISTINCT province, zone FROM known ORDER BY ALL").to_arrow_table()
    parts = []
    for zone in places["zone"].unique().to_pylist() or ["UTC"]:  # without customers: an empty table of that shape
        try:
            due = _due(campaign, zone, send_at)
            today = due.astimezone(ZoneInfo(zone)).date()
        except (KeyError, ValueError, OSError) as error:
            raise InputError(f"customers.timezone: expected IANA zones such as Asia/Jakarta, got {zone!r}") from error
        here = slot_table(places.filter(pc.equal(places["zone"], zone)), policy, due, blocked)
        parts.append(here.append_column("today", pa.array([today] * len(here), pa.date32())))
    connection.register("places", pa.concat_tables(parts))


def _due(campaign: Campaign, zone: str, send_at: datetime) -> datetime:
    """When the occurrence is due in a zone: at one instant everywhere, or at the same time of each zone's own clock."""
    if not campaign.schedule.local:
        return send_at
    return send_at.astimezone(ZoneInfo(campaign.schedule.zone)).replace(tzinfo=ZoneInfo(zone))


def _birthday(base: str, leap_day: str | None) -> str:
    """SQL of the first birthday on or after a date; of 29 February in other years it is 28 February or 1 March."""

    def in_years(years: str) -> str:
        shifted = f"CAST(birth_date + to_years(CAST({years} AS INTEGER)) AS DATE)"  # 29 February becomes 28
        if leap_day != "march":
            return shifted
        return f"({shifted} + CAST(day(birth_date) > day({shifted}) AS INTEGER))"

    years = f"(year({base}) - year(birth_date))"
    return f"CASE WHEN {in_years(years)} >= {base} THEN {in_years(years)} ELSE {in_years(f'{years} + 1')} END"


def _seen(leap_day: str | None) -> str:
    """SQL of what predicates speak of."""
    return f"""SELECT known.*, places.* EXCLUDE (province, zone),
        date_sub('year', birth_date, today) AS age,
        date_diff('day', today, {_birthday("today", leap_day)}) AS birthday_in,
        date_diff('day', today, points_expire_on) AS points_expire_in
    FROM known JOIN places ON known.zone = places.zone AND known.province IS NOT DISTINCT FROM places.province"""


def _make_wanted(connection: duckdb.DuckDBPyConnection, campaign: Campaign, birthday_ahead: int) -> None:
    """seen: all customers with what is needed of them further on; wanted: in the audience."""
    wanted = "true"
    if campaign.audience:
        wanted = f"({check_predicate(campaign.audience, PEOPLE.names)}) IS TRUE"
    if campaign.schedule.occasion == "birthday":
        day = f"(today + {birthday_ahead})"
        wanted += f" AND coalesce({_birthday(day, campaign.schedule.leap_day)} = {day}, false)"
    slots = ", ".join(f"{channel}{when}" for channel in CHANNELS for when in _WHEN)
    with _faults_named(campaign, [campaign.audience]):
        connection.execute(
            rf"""CREATE TEMP TABLE seen AS
            WITH people AS ({_seen(campaign.schedule.leap_day)})
            SELECT customer_id, coalesce(person_id, customer_id) AS person_id, {wanted} AS wanted, zone, age,
                lower(trim(city)) AS city,
                coalesce(regexp_full_match(email, '[^@\s\pC]+@[^@\s\pC]+'), false) AS has_email,
                coalesce(len(list_filter(push_tokens, lambda token: token <> '')) > 0, false) AS has_push,
                {slots}
            FROM people"""
        )


_WHEN = ("_at", "_day", "_later_at", "_later_day")


def _held(
    campaign: Campaign,
    customers: Rows,
    predicates: Sequence[str | None],
    as_of: datetime,
    send_at: datetime | None,
    segments: Rows | None,
) -> tuple[pa.Array, NDArray[np.bool_]]:
    """The known customers in order, and of whom predicates are true (not null): bool [customers × predicates]; null as
    a predicate is true of everyone."""
    stated = {number: check_predicate(text, PEOPLE.names) for number, text in enumerate(predicates) if text}
    with open_sandbox(campaign.schedule.timezone) as connection:
        _register_people(connection, customers, segments, as_of)
        _make_places(connection, campaign, STANDARD, send_at or as_of)
        columns = "".join(f", ({sql}) IS TRUE" for sql in stated.values())
        query = (
            f"WITH people AS ({_seen(campaign.schedule.leap_day)}) SELECT customer_id{columns} FROM people ORDER BY 1"
        )
        with _faults_named(campaign, list(stated.values())):
            found: pa.Table = connection.sql(query).to_arrow_table()
    held = np.ones((found.num_rows, len(predicates)), dtype=np.bool_)
    for number, column in zip(stated, found.columns[1:], strict=True):
        held[:, number] = column.to_numpy()
    return found["customer_id"].combine_chunks(), held


@contextmanager
def _faults_named(campaign: Campaign, predicates: Sequence[str | None]) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:  # its words may hold values of customers
        stated = "; ".join(text for text in predicates if text)
        raise CampaignError(
            f"{campaign.id}: a predicate fails on the customers ({type(error).__name__}): {stated}"
        ) from None


# --- the steps -------------------------------------------------------------------------------------------------------

# people: each step's channels are those of the step before that pass it, so a reason is the first step without any.
_PEOPLE = f"""
CREATE TEMP TABLE people AS
WITH words AS (
    SELECT customer_id, channel, purpose, granted, changed_at FROM consents
    WHERE changed_at < $as_of AND purpose IN ($purpose, '{NIGHT}', '{PARENT}')
    UNION ALL
    SELECT customer_id, unnest(CASE WHEN channel IS NULL THEN {list(CHANNELS)} ELSE [channel] END), $purpose, false,
        responses."at"
    FROM responses WHERE event IN ('unsubscribed', 'complained') AND responses."at" < $as_of AND $purpose <> 'service'
),
said AS (  -- of words at the same instant, the no counts
    SELECT customer_id, channel, purpose, arg_max(granted, {{'at': changed_at, 'no': NOT granted}}) AS granted
    FROM words GROUP BY ALL
),
agreed AS (
    SELECT customer_id,
        {
    ", ".join(
        f"bool_or(granted) FILTER (channel = '{channel}' AND purpose = {purpose}) AS {channel}_{name}"
        for channel in CHANNELS
        for name, purpose in (("said", "$purpose"), ("night", f"'{NIGHT}'"), ("parent", f"'{PARENT}'"))
    )
}
    FROM said GROUP BY ALL
),
persons AS (SELECT customer_id, person_id FROM seen),
cases AS (
    SELECT person_id, bool_or(kind = 'complaint') AS complaint, bool_or(kind = 'late_delivery') AS late
    FROM service_cases JOIN persons USING (customer_id)
    WHERE opened_at < $as_of AND (closed_at IS NULL OR closed_at >= $as_of
        OR closed_at + to_days(CASE kind WHEN 'complaint' THEN $complaint_days WHEN 'late_delivery' THEN $late_days
            ELSE 0 END) > $send_at)
    GROUP BY ALL
),
hushed AS (SELECT DISTINCT person_id FROM silences JOIN persons USING (customer_id) WHERE until > $send_at),
hushed_cities AS (SELECT DISTINCT lower(trim(city)) AS city FROM silences WHERE until > $send_at AND city IS NOT NULL),
bounced AS (  -- an address that took a message since is another
    SELECT customer_id, coalesce(channel, 'email') AS channel
    FROM responses WHERE responses."at" < $as_of AND event IN ('bounced', 'delivered', 'opened', 'clicked')
    GROUP BY ALL HAVING arg_max(event = 'bounced', {{'at': responses."at", 'bounced': event = 'bounced'}})
),
facts AS (
    SELECT seen.* EXCLUDE (city),
        hushed.person_id IS NOT NULL OR hushed_cities.city IS NOT NULL AS silenced,
        coalesce(complaint, false) AS complaint,
        coalesce(late, false) AS late,
        coalesce(age < $adult_age, false) AS child,
        {
    ", ".join(
        f"${channel}_used AND coalesce({channel}_said, ${channel}_assumed) AS {channel}_1, "
        f"coalesce({channel}_night, false) AS {channel}_night, coalesce({channel}_parent, false) AS {channel}_parent,"
        f"customer_id IN (SELECT customer_id FROM bounced WHERE channel = '{channel}') AS {channel}_bounced"
        for channel in CHANNELS
    )
}
    FROM seen
    LEFT JOIN hushed USING (person_id)
    LEFT JOIN hushed_cities ON seen.city = hushed_cities.city
    LEFT JOIN cases USING (person_id)
    LEFT JOIN agreed USING (customer_id)
)
SELECT customer_id, person_id, wanted, zone, silenced, complaint, late,
    {
    ", ".join(
        f"{channel}_1, {channel}_1 AND (NOT child OR {channel}_parent) AS {channel}_2, "
        f"{channel}_2 AND has_{channel} AS {channel}_3, {channel}_3 AND NOT {channel}_bounced AS {channel}_4, "
        f"{channel}_4 AND ({channel}_night OR {channel}_later_at IS NOT NULL) AS {channel}_5, "
        f"CASE WHEN {channel}_night THEN {channel}_at ELSE {channel}_later_at END AS {channel}_at, "
        f"CASE WHEN {channel}_night THEN {channel}_day ELSE {channel}_later_day END AS {channel}_day"
        for channel in CHANNELS
    )
}
FROM facts
"""

_JUDGED = """
WITH roomy AS (
    SELECT people.*,
        email_5 AND coalesce(rooms.email, $email_room) > 0 AS email_6,
        push_5 AND coalesce(rooms.push, $push_room) > 0 AS push_6,
        coalesce(rooms.messages, $room) AS messages,
        least(CASE WHEN email_6 THEN coalesce(rooms.email, $email_room) END,
              CASE WHEN push_6 THEN coalesce(rooms.push, $push_room) END) AS on_channels,
        coalesce(email_unopened, 0) * $email_fatigue AS email_fatigue,
        coalesce(push_unopened, 0) * $push_fatigue AS push_fatigue
    FROM people LEFT JOIN rooms USING (customer_id)
),
judged AS (
    SELECT *,
        CASE WHEN customer_id IN (SELECT customer_id FROM test_accounts) THEN 'test account'
             WHEN NOT wanted THEN 'outside the audience'
             WHEN silenced THEN 'silence'
             WHEN complaint THEN 'open complaint'
             WHEN late THEN 'late delivery'
             WHEN NOT (email_1 OR push_1) THEN 'no consent'
             WHEN NOT (email_2 OR push_2) THEN 'no parent''s consent'
             WHEN NOT (email_3 OR push_3) THEN 'no address'
             WHEN NOT (email_4 OR push_4) THEN 'hard bounce'
             WHEN NOT (email_5 OR push_5) THEN 'quiet hours'
             WHEN NOT (email_6 OR push_6) THEN 'frequency cap'
        END AS reason
    FROM roomy
),
ranked AS (  -- the account that can be reached on most channels speaks for the person
    SELECT *, row_number() OVER (
        PARTITION BY person_id, reason IS NULL
        ORDER BY CAST(email_6 AS INTEGER) + CAST(push_6 AS INTEGER) DESC, customer_id) AS account
    FROM judged
),
drawn AS (
    SELECT *,
        CAST(CAST('0x' || left(sha256($salt || person_id), 15) AS BIGINT) % 10000 AS INTEGER) AS bucket,
        CAST('0x' || left(sha256($global_salt || person_id), 15) AS BIGINT) % 10000 AS global_bucket
    FROM ranked
)
SELECT
    customer_id,
    person_id,
    CASE WHEN reason IS NULL AND account > 1 THEN 'other account' ELSE reason END AS reason,
    CASE WHEN bucket < $share OR global_bucket < $global_share THEN 'control' ELSE 'treatment' END AS arm,
    bucket,
    email_6 AS email,
    push_6 AS push,
    CASE WHEN email_6 THEN email_at END AS email_at,
    CASE WHEN push_6 THEN push_at END AS push_at,
    CAST(least(messages, on_channels) AS INTEGER) AS messages,
    CAST(email_fatigue AS BIGINT) AS email_fatigue,
    CAST(push_fatigue AS BIGINT) AS push_fatigue
FROM drawn
ORDER BY customer_id
"""


def _funnel(people: pa.Table, left_out: pa.Table) -> list[tuple[str, int]]:
    by_reason = {entry["values"]: entry["counts"] for entry in pc.value_counts(left_out["reason"]).to_pylist()}
    controls = pc.sum(pc.equal(people["arm"], "control")).as_py() or 0
    return [
        ("customers", people.num_rows + left_out.num_rows),
        *((reason, by_reason[reason]) for reason in REASONS if reason in by_reason),
        ("control group", controls),
        ("treatment", people.num_rows - controls),
    ]
