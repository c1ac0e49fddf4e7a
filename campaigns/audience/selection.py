"""Who may be addressed by a campaign as of an instant, who is kept out to measure it, why the others are left out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaigns.audience.people import STANDARD, Rows, held_by, make_places, make_wanted, register_people, rows_of
from campaigns.audience.steps import JUDGED, PEOPLE_STEPS, REASONS
from campaigns.contact import Blocked, ContactPolicy, full_room, make_rooms, may_exceed, nothing_blocked
from campaigns.control import BUCKETS, Controls, campaign_salt, global_salt
from campaigns.predicates import open_sandbox
from campaigns.spec import Campaign
from campaigns.tables import CONSENTS, CONTACTS, RESPONSES, SERVICE_CASES, SILENCES
from recsys.tables import InputError

NO_CONTROLS = Controls()


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
        register_people(connection, customers, segments, as_of)
        connection.register("consents", rows_of(consents, CONSENTS))
        connection.register("service_cases", rows_of(service_cases, SERVICE_CASES))
        connection.register("silences", rows_of(silences, SILENCES))
        connection.register("contacts", rows_of(contacts, CONTACTS))
        connection.register("ghosts", rows_of(ghosts, CONTACTS))
        connection.register("responses", rows_of(responses, RESPONSES))
        connection.register("test_accounts", pa.table({"customer_id": pa.array(controls.test_accounts, pa.string())}))
        make_places(connection, campaign, policy, send_at, blocked)
        make_wanted(connection, campaign, birthday_ahead)
        connection.execute(
            PEOPLE_STEPS,
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
            JUDGED,
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
    known, held = held_by(campaign, customers, predicates, as_of, send_at, segments)
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
    known, held = held_by(campaign, customers, predicates, as_of, send_at, segments)
    wanted, may = held[:, 0], held[held[:, 0], 1:]
    if not wanted.any():
        return [f"audience: none of {len(known)} customers, {campaign.audience!r}; loosen the predicate"]
    return [
        f"offers[{offer.id}].eligibility: none of the {wanted.sum()} customers in the audience, {offer.eligibility!r}; "
        "loosen the predicate"
        for number, offer in enumerate(campaign.offers)
        if not may[:, number].any()
    ]


def _funnel(people: pa.Table, left_out: pa.Table) -> list[tuple[str, int]]:
    by_reason = {entry["values"]: entry["counts"] for entry in pc.value_counts(left_out["reason"]).to_pylist()}
    controls = pc.sum(pc.equal(people["arm"], "control")).as_py() or 0
    return [
        ("customers", people.num_rows + left_out.num_rows),
        *((reason, by_reason[reason]) for reason in REASONS if reason in by_reason),
        ("control group", controls),
        ("treatment", people.num_rows - controls),
    ]
