"""Every offer that somebody was allowed: what it was worth for them, and whether it was chosen or why it lost."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaigns.allocation import Candidates, Limits, Offers, Reason, losing_reasons
from campaigns.tables import CHANNELS
from campaigns.value import pair_value, purchase_probability, written_value
from flows.deciding.choice import Choice, Outcome, Together, used_of_rows

CHOSEN = "chosen"
BEATEN = "beaten by "
LIMIT, NIGHT_LIMIT, GUARANTEE, MESSAGE = "limit of ", "night limit of ", "guarantee of ", "message of "

CONSIDERED = pa.schema(
    [
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("offer_id", pa.string(), nullable=False),
        pa.field("propensity", pa.float32(), nullable=False),
        pa.field("value", pa.int64(), nullable=False),  # rupiah, on the better of the customer's channels
        pa.field("reason", pa.string(), nullable=False),  # CHOSEN, BEATEN + offer, or a limit or rule by name
        pa.field("price", pa.int64(), nullable=False),  # rupiah that a limit's shadow price takes off the value
        pa.field("by_price", pa.bool_(), nullable=False),  # whether the shadow prices alone would have chosen it
    ]
)


def considered_table(choice: Choice, together: Together) -> pa.Table:
    """A row for each allowed pair of both arms, in order of customer and offer."""
    parts = [_arm_considered(choice, together, arm) for arm in (choice.treatment, choice.control)]
    return pa.concat_tables(parts).sort_by([("customer_id", "ascending"), ("offer_id", "ascending")])


def _arm_considered(choice: Choice, together: Together, outcome: Outcome) -> pa.Table:
    pairs, solution = outcome.candidates, choice.solution
    own, rows = len(choice.funders), len(choice.plan.rows)
    used = None
    if outcome is choice.treatment:  # no limit stops a ghost
        budgets = np.concatenate([solution.used.budgets[:own], together.used_budgets])
        of_rows = np.concatenate([used_of_rows(choice)[:rows], together.used_limits])
        used = replace(solution.used, budgets=budgets, further=of_rows)
    found = losing_reasons(
        pairs,
        choice.offers,
        choice.limits,
        outcome.chosen,
        solution.prices,
        used,
        further=choice.further,
        rival=outcome.rival,
    )
    person = np.repeat(np.arange(pairs.customers), np.diff(pairs.indptr))
    people = outcome.people.take(person)
    columns = [
        people["customer_id"],
        people["arm"],
        pa.array(np.array([offer.id for offer in choice.plan.campaign.offers], object)[pairs.offer], pa.string()),
        pa.array(outcome.propensity[person, pairs.offer]),
        pa.array(written_value(best_value(pairs, choice.offers, choice.limits))),
        pa.array(reason_names(choice, together, found.reason, found.detail), pa.string()),
        pa.array(written_value(found.price)),
        pa.array(outcome.by_price),
    ]
    return pa.table(columns, schema=CONSIDERED)


def reason_names(
    choice: Choice, together: Together, reason: NDArray[np.int8], detail: NDArray[np.int32]
) -> NDArray[np.object_]:
    """Each pair's reason by name [pairs]."""
    keys = reason.astype(np.int64) * 2**32 + detail.astype(np.int64)
    known, first, number = np.unique(keys, return_index=True, return_inverse=True)
    named = [reason_name(choice, together, Reason(int(reason[k])), int(detail[k])) for k in first]
    return np.array(named, object)[number.reshape(-1)] if len(known) else np.array([], object)


def reason_name(choice: Choice, together: Together, reason: Reason, detail: int) -> str:
    offers = choice.plan.campaign.offers
    match reason:
        case Reason.CHOSEN:
            return CHOSEN
        case Reason.BEATEN:
            return BEATEN + offers[detail].id
        case Reason.QUOTA:
            return f"quota of {offers[detail].id}"
        case Reason.BUDGET:
            own = len(choice.funders)
            if detail < own:
                return f"budget of {choice.funders[detail]}"
            return f"night budget of {together.funds[detail - own]}"
        case Reason.CHANNEL:
            return f"capacity of {CHANNELS[detail]}"
        case Reason.GROUP | Reason.MINIMUM:
            own_rows = len(choice.plan.rows)
            if detail < own_rows:
                return (LIMIT if reason == Reason.GROUP else GUARANTEE) + choice.plan.rows[detail].name
            return (NIGHT_LIMIT if reason == Reason.GROUP else GUARANTEE) + together.limits[detail - own_rows].name
        case Reason.MESSAGES:
            return MESSAGE + together.campaigns[detail]
        case Reason.NOT_ADDRESSED:
            return "no address"
        case _:
            return "not worth sending"


def best_chance(pairs: Candidates, offers: Offers, limits: Limits) -> NDArray[np.float64]:
    """p1 on the better of the channels that the customer may be written to on [pairs]."""
    customer = np.repeat(np.arange(pairs.customers), np.diff(pairs.indptr))
    response = np.where(pairs.channel_ok, limits.response, 0.0).max(axis=1)[customer]
    return purchase_probability(pairs.p0, offers.uplift[pairs.offer], response)


def best_value(pairs: Candidates, offers: Offers, limits: Limits) -> NDArray[np.float64]:
    """What each pair is worth on the better of the channels that the customer may be written to on; rupiah [pairs]."""
    money = (column[pairs.offer] for column in (offers.margin, offers.benefit, offers.retailer_share))
    return pair_value(pairs.p0, best_chance(pairs, offers, limits), *money)


def losing_counts(considered: pa.Table) -> dict[str, int]:
    """Reason → pairs of the treatment arm that lost for it; those beaten by any offer are one reason."""
    rows = considered.select(["arm", "reason"]).to_pydict()
    counts: Counter[str] = Counter()
    for arm, reason in zip(rows["arm"], rows["reason"], strict=True):
        if arm == "treatment" and reason != CHOSEN:
            counts["beaten by a better offer" if reason.startswith(BEATEN) else reason] += 1
    return dict(sorted(counts.items()))
