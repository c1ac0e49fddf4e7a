"""Every offer that somebody was allowed: what it was worth for them, and whether it was chosen or why it lost."""

from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaigns.allocation import Candidates, Limits, Offers, Reason, losing_reasons
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS
from campaigns.value import pair_value, purchase_probability, written_value
from flows.deciding.choice import Arm, Choice

CHOSEN = "chosen"
BEATEN = "beaten by "

CONSIDERED = pa.schema(
    [
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("offer_id", pa.string(), nullable=False),
        pa.field("propensity", pa.float32(), nullable=False),
        pa.field("value", pa.int64(), nullable=False),  # rupiah, on the better of the customer's channels
        pa.field("reason", pa.string(), nullable=False),  # CHOSEN, BEATEN + offer, or a limit or rule by name
        pa.field("price", pa.int64(), nullable=False),  # rupiah that a limit's shadow price takes off the value
    ]
)


def considered_table(campaign: Campaign, choice: Choice) -> pa.Table:
    """A row for each allowed pair of both arms, in order of customer and offer."""
    parts = [_arm_considered(campaign, choice, arm) for arm in (choice.treatment, choice.control)]
    return pa.concat_tables(parts).sort_by([("customer_id", "ascending"), ("offer_id", "ascending")])


def _arm_considered(campaign: Campaign, choice: Choice, arm: Arm) -> pa.Table:
    pairs, solution = arm.candidates, choice.solution
    used = solution.used if arm is choice.treatment else None
    found = losing_reasons(pairs, choice.offers, choice.limits, arm.chosen, solution.prices, used)
    person = np.repeat(np.arange(pairs.customers), np.diff(pairs.indptr))
    people = arm.people.take(person)
    names = {
        (code, detail): reason_name(campaign, choice, Reason(code), detail)
        for code, detail in set(zip(found.reason.tolist(), found.detail.tolist(), strict=True))
    }
    offer_ids = np.array([offer.id for offer in campaign.offers], object)
    columns = [
        people["customer_id"],
        people["arm"],
        pa.array(offer_ids[pairs.offer], pa.string()),
        pa.array(arm.propensity[person, pairs.offer]),
        pa.array(written_value(best_value(pairs, choice.offers, choice.limits))),
        pa.array([names[key] for key in zip(found.reason.tolist(), found.detail.tolist(), strict=True)], pa.string()),
        pa.array(written_value(found.price)),
    ]
    return pa.table(columns, schema=CONSIDERED)


def reason_name(campaign: Campaign, choice: Choice, reason: Reason, detail: int) -> str:
    match reason:
        case Reason.CHOSEN:
            return CHOSEN
        case Reason.BEATEN:
            return BEATEN + campaign.offers[detail].id
        case Reason.QUOTA:
            return f"quota of {campaign.offers[detail].id}"
        case Reason.BUDGET:
            return f"budget of {choice.funders[detail]}"
        case Reason.CHANNEL:
            return f"capacity of {CHANNELS[detail]}"
        case Reason.NOT_ADDRESSED:
            return "no address"
        case Reason.NOT_WORTH_SENDING:
            return "not worth sending"


def best_value(pairs: Candidates, offers: Offers, limits: Limits) -> NDArray[np.float64]:
    """What each pair is worth on the better of the channels that the customer may be written to on; rupiah [pairs]."""
    customer = np.repeat(np.arange(pairs.customers), np.diff(pairs.indptr))
    response = np.where(pairs.channel_ok, limits.response, 0.0).max(axis=1)[customer]
    p1 = purchase_probability(pairs.p0, offers.uplift[pairs.offer], response)
    money = (column[pairs.offer] for column in (offers.margin, offers.benefit, offers.retailer_share))
    return pair_value(pairs.p0, p1, *money)


def losing_counts(considered: pa.Table) -> dict[str, int]:
    """Reason → pairs of the treatment arm that lost for it; those beaten by any offer are one reason."""
    rows = considered.select(["arm", "reason"]).to_pydict()
    counts: Counter[str] = Counter()
    for arm, reason in zip(rows["arm"], rows["reason"], strict=True):
        if arm == "treatment" and reason != CHOSEN:
            counts["beaten by a better offer" if reason.startswith(BEATEN) else reason] += 1
    return dict(sorted(counts.items()))
