"""Who may be addressed by a campaign as of an instant, who is kept out to measure it, why the others are left out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaigns.predicates import PEOPLE, check_predicate, open_sandbox
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS, CONSENTS, CUSTOMERS, SERVICE_CASES, SILENCES, CampaignError
from recsys.tables import InputError, conform

BUCKETS = 10_000

# Why a customer is left out; the first that holds counts.
REASONS = ("outside the audience", "silence", "open complaint", "late delivery", "no consent", "no address")


@dataclass(frozen=True)
class Audience:
    """
    people: customer_id, arm (treatment | control), bucket (0–9999, of the campaign), email (bool), push (bool): the
        campaign's channels by which they may be reached. Sorted by customer_id. Controls are among them; they
        are decided for like the others and then not sent anything.
    left_out: customer_id, reason (one of REASONS). Sorted by customer_id.
    funnel: ("customers", all), then those left out by reason, ("control group", n), ("treatment", n);
        the first is the sum of the others.
    """

    people: pa.Table
    left_out: pa.Table
    funnel: list[tuple[str, int]]


def select_audience(
    campaign: Campaign,
    customers: pa.Table,
    consents: pa.Table,
    service_cases: pa.Table,
    silences: pa.Table,
    *,
    as_of: datetime,
    control_salt: str,
    assume_consent: Collection[str] = (),
    global_control_share: float = 0.0,
) -> Audience:
    """Everyone known as of an instant, parted into people who may be addressed and people who may not, in the tables'
    contracts (campaigns.tables); facts of as_of or later are not seen.

    assume_consent: channels on which no word about consent is a yes.
    global_control_share: 0–1, kept out of all campaigns by a salt of its own.
    Raises InputError for a customer who is there twice, CampaignError if the audience's predicate fails on the data.
    """
    known = _known(customers, as_of)
    wanted = _held(known, [campaign.audience], campaign, as_of)[:, 0]
    with open_sandbox(campaign.schedule.timezone) as connection:
        connection.register("customers", known.append_column("wanted", pa.array(wanted)))
        connection.register("consents", conform(consents, CONSENTS))
        connection.register("service_cases", conform(service_cases, SERVICE_CASES))
        connection.register("silences", conform(silences, SILENCES))
        judged: pa.Table = connection.sql(
            _JUDGED,
            params={
                "as_of": as_of,
                "emailed": "email" in campaign.channels,
                "pushed": "push" in campaign.channels,
                "email_assumed": "email" in assume_consent,
                "push_assumed": "push" in assume_consent,
                "salt": f"{control_salt}\n{campaign.id}\n",
                "share": round(campaign.control.share * BUCKETS),
                "global_salt": f"{control_salt}\n",
                "global_share": round(global_control_share * BUCKETS),
            },
        ).to_arrow_table()
    addressable = pc.is_null(judged["reason"])
    people = judged.filter(addressable).select(["customer_id", "arm", "bucket", *CHANNELS])
    left_out = judged.filter(pc.invert(addressable)).select(["customer_id", "reason"])
    return Audience(people, left_out, _funnel(people, left_out))


def eligible(
    campaign: Campaign, customers: pa.Table, customer_ids: pa.Array | pa.ChunkedArray, *, as_of: datetime
) -> NDArray[np.bool_]:
    """Who may get which offer: bool [customer_ids × campaign.offers], by the offers' own predicates.

    Raises InputError for an id that is not among the customers known as of, CampaignError as select_audience does.
    """
    return meeting(campaign, customers, customer_ids, [offer.eligibility for offer in campaign.offers], as_of=as_of)


def meeting(
    campaign: Campaign,
    customers: pa.Table,
    customer_ids: pa.Array | pa.ChunkedArray,
    predicates: Sequence[str | None],
    *,
    as_of: datetime,
) -> NDArray[np.bool_]:
    """Of whom each predicate is true: bool [customer_ids × predicates]; otherwise as eligible."""
    known = _known(customers, as_of)
    rows = pc.index_in(pa.chunked_array(customer_ids), value_set=known["customer_id"].combine_chunks())
    if rows.null_count:
        raise InputError(f"{rows.null_count} of {len(rows)} customers are not known as of {as_of}")
    return _held(known, predicates, campaign, as_of)[rows.to_numpy()]


def check_audience(campaign: Campaign, customers: pa.Table, *, as_of: datetime) -> list[str]:
    """A line for the audience if it holds none of the customers, and for each offer that nobody in it may get."""
    known = _known(customers, as_of)
    wanted = _held(known, [campaign.audience], campaign, as_of)[:, 0]
    if not wanted.any():
        return [f"audience: none of {known.num_rows} customers, {campaign.audience!r}; loosen the predicate"]
    may = _held(known, [offer.eligibility for offer in campaign.offers], campaign, as_of)[wanted]
    return [
        f"offers[{offer.id}].eligibility: none of the {wanted.sum()} customers in the audience, {offer.eligibility!r}; "
        "loosen the predicate"
        for number, offer in enumerate(campaign.offers)
        if not may[:, number].any()
    ]


_JUDGED = r"""
WITH said AS (  -- of words at the same instant, the no counts
    SELECT customer_id, channel, arg_max(granted, {'at': changed_at, 'no': NOT granted}) AS granted
    FROM consents
    WHERE purpose = 'promotion' AND changed_at < $as_of
    GROUP BY ALL
),
cases AS (
    SELECT customer_id, bool_or(kind = 'complaint') AS complaint, bool_or(kind = 'late_delivery') AS late
    FROM service_cases
    WHERE opened_at < $as_of AND (closed_at IS NULL OR closed_at >= $as_of)
    GROUP BY ALL
),
facts AS (
    SELECT
        customer_id,
        wanted,
        customer_id IN (SELECT customer_id FROM silences WHERE until > $as_of AND customer_id IS NOT NULL)
            OR coalesce(lower(trim(city)) IN (
                SELECT lower(trim(city)) FROM silences WHERE until > $as_of AND city IS NOT NULL), false) AS silenced,
        coalesce(complaint, false) AS complaint,
        coalesce(late, false) AS late,
        $emailed AND coalesce(email_said.granted, $email_assumed) AS email_consent,
        $pushed AND coalesce(push_said.granted, $push_assumed) AS push_consent,
        coalesce(regexp_full_match(email, '[^@\s\pC]+@[^@\s\pC]+'), false) AS has_email,
        coalesce(len(list_filter(push_tokens, lambda token: token <> '')) > 0, false) AS has_push,
        CAST('0x' || left(sha256($salt || customer_id), 15) AS BIGINT) % 10000 AS bucket,
        CAST('0x' || left(sha256($global_salt || customer_id), 15) AS BIGINT) % 10000 AS global_bucket
    FROM customers
    LEFT JOIN (FROM said WHERE channel = 'email') AS email_said USING (customer_id)
    LEFT JOIN (FROM said WHERE channel = 'push') AS push_said USING (customer_id)
    LEFT JOIN cases USING (customer_id)
)
SELECT
    customer_id,
    CASE WHEN NOT wanted THEN 'outside the audience'
         WHEN silenced THEN 'silence'
         WHEN complaint THEN 'open complaint'
         WHEN late THEN 'late delivery'
         WHEN NOT (email_consent OR push_consent) THEN 'no consent'
         WHEN NOT ((email_consent AND has_email) OR (push_consent AND has_push)) THEN 'no address'
    END AS reason,
    CASE WHEN bucket < $share OR global_bucket < $global_share THEN 'control' ELSE 'treatment' END AS arm,
    CAST(bucket AS INTEGER) AS bucket,
    email_consent AND has_email AS email,
    push_consent AND has_push AS push
FROM facts
ORDER BY customer_id
"""


def _known(customers: pa.Table, as_of: datetime) -> pa.Table:
    """Customers who joined before as_of, or at a time that is not known."""
    if as_of.tzinfo is None:
        raise InputError(f"as-of instant {as_of}: expected a time zone, such as {as_of.isoformat()}+07:00")
    table = conform(customers, CUSTOMERS)
    joined = table["joined_at"]
    known = table.filter(pc.or_kleene(pc.is_null(joined), pc.less(joined, pa.scalar(as_of, joined.type))))
    twice = known.num_rows - pc.count_distinct(known["customer_id"]).as_py()
    if twice:
        raise InputError(f"customers: {twice} rows repeat a customer_id; keep one row for each customer")
    return known


def _held(
    customers: pa.Table, predicates: Sequence[str | None], campaign: Campaign, as_of: datetime
) -> NDArray[np.bool_]:
    """Where predicates are true (not null): bool [customers × predicates]; null as a predicate is true of everyone."""
    held = np.ones((customers.num_rows, len(predicates)), dtype=np.bool_)
    stated = {number: check_predicate(text, PEOPLE.names) for number, text in enumerate(predicates) if text}
    if not stated:
        return held
    today = as_of.astimezone(ZoneInfo(campaign.schedule.timezone)).date()
    numbered = customers.append_column("row", pa.array(np.arange(customers.num_rows)))
    with open_sandbox(campaign.schedule.timezone) as connection:
        connection.register("customers", numbered)
        columns = ", ".join(f"({sql}) IS TRUE" for sql in stated.values())
        try:
            found: pa.Table = connection.sql(
                "WITH people AS (SELECT *, date_sub('year', birth_date, CAST($today AS DATE)) AS age FROM customers) "
                f"SELECT row, {columns} FROM people ORDER BY row",
                params={"today": today},
            ).to_arrow_table()
        except duckdb.Error as error:  # its words may hold values of customers
            raise CampaignError(
                f"{campaign.id}: a predicate fails on the customers ({type(error).__name__}): "
                f"{'; '.join(stated.values())}"
            ) from None
    for number, column in zip(stated, found.columns[1:], strict=True):
        held[:, number] = column.to_numpy()
    return held


def _funnel(people: pa.Table, left_out: pa.Table) -> list[tuple[str, int]]:
    by_reason = {entry["values"]: entry["counts"] for entry in pc.value_counts(left_out["reason"]).to_pylist()}
    controls = pc.sum(pc.equal(people["arm"], "control")).as_py() or 0
    return [
        ("customers", people.num_rows + left_out.num_rows),
        *((reason, by_reason[reason]) for reason in REASONS if reason in by_reason),
        ("control group", controls),
        ("treatment", people.num_rows - controls),
    ]
