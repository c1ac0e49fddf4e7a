"""Customers as of an instant, what predicates may ask of them, and of whom predicates are true."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from campaigns.contact import Blocked, ContactPolicy, nothing_blocked, slot_table
from campaigns.predicates import PEOPLE, check_predicate, open_sandbox
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS, CUSTOMERS, SEGMENTS, CampaignError
from recsys.tables import InputError, Table, conform

STANDARD = ContactPolicy()
Rows: TypeAlias = pa.Table | ds.Dataset  # a dataset is read as it streams by


def rows_of(rows: Rows | None, contract: Table) -> Rows:
    if rows is None:
        return contract.schema.empty_table()
    return conform(rows, contract) if isinstance(rows, pa.Table) else rows


def register_people(
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


def make_places(
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


def make_wanted(connection: duckdb.DuckDBPyConnection, campaign: Campaign, birthday_ahead: int) -> None:
    """seen: all customers with what is needed of them further on; wanted: in the audience."""
    wanted = "true"
    if campaign.audience:
        wanted = f"({check_predicate(campaign.audience, PEOPLE.names)}) IS TRUE"
    if campaign.schedule.occasion == "birthday":
        day = f"(today + {birthday_ahead})"
        wanted += f" AND coalesce({_birthday(day, campaign.schedule.leap_day)} = {day}, false)"
    slots = ", ".join(f"{channel}{when}" for channel in CHANNELS for when in _WHEN)
    with faults_named(campaign, [campaign.audience]):
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


def held_by(
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
        register_people(connection, customers, segments, as_of)
        make_places(connection, campaign, STANDARD, send_at or as_of)
        columns = "".join(f", ({sql}) IS TRUE" for sql in stated.values())
        query = (
            f"WITH people AS ({_seen(campaign.schedule.leap_day)}) SELECT customer_id{columns} FROM people ORDER BY 1"
        )
        with faults_named(campaign, list(stated.values())):
            found: pa.Table = connection.sql(query).to_arrow_table()
    held = np.ones((found.num_rows, len(predicates)), dtype=np.bool_)
    for number, column in zip(stated, found.columns[1:], strict=True):
        held[:, number] = column.to_numpy()
    return found["customer_id"].combine_chunks(), held


@contextmanager
def faults_named(campaign: Campaign, predicates: Sequence[str | None]) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:  # its words may hold values of customers
        stated = "; ".join(text for text in predicates if text)
        raise CampaignError(
            f"{campaign.id}: a predicate fails on the customers ({type(error).__name__}): {stated}"
        ) from None
