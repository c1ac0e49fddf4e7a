"""What one funder of a campaign agrees to: its share of each offer, its caps, the items with their prices, the days.

Held by hash and by value like an approval, so that it can be shown what has changed since the funder agreed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaigns.approval import Difference, Plain, Values, differences, digest, flat, named
from campaigns.offer import RETAILER, Offer
from campaigns.scope import scope_matrix
from campaigns.spec import Campaign
from campaigns.value import benefit_of_baskets

PARTS = ("share", "cap", "benefit", "quota", "items", "code", "dates")
# Key of an offer → the part of the terms that it belongs to; what is not here is none of a funder's business.
PART_OF = {
    "funders": "share",
    "benefit": "benefit",
    "min_spend": "benefit",
    "per_customer": "benefit",
    "combinable": "benefit",
    "payment_methods": "benefit",
    "delivery": "benefit",
    "quota": "quota",
    "minimum": "quota",
    "per_unit": "quota",
    "scope": "items",
    "code": "code",
    "valid": "dates",
    "phases": "dates",
}
NO_PRICE = "no price"


@dataclass(frozen=True)
class Terms:
    """values: part → path → value. covered: offer id → numbers of its items' rows, all it would apply to now."""

    campaign: str
    funder: str
    values: Values
    covered: Mapping[str, NDArray[np.int64]]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the campaign, the funder and all values, in hexadecimal."""
        return digest({"campaign": self.campaign, "funder": self.funder, "values": self.values})


def co_funded(campaign: Campaign) -> dict[str, tuple[str, ...]]:
    """Offer id → the funders, other than the retailer, that pay a share of it; offers that have such alone."""
    found = {offer.id: tuple(sorted(who_pays(offer) - {RETAILER})) for offer in campaign.offers}
    return {offer_id: funders for offer_id, funders in found.items() if funders}


def who_pays(offer: Offer) -> set[str]:
    return {funder for funder, share in offer.funders.items() if share > 0}


def co_funders(campaign: Campaign) -> tuple[str, ...]:
    """The funders, other than the retailer, that pay a share of any offer."""
    return tuple(sorted({funder for funders in co_funded(campaign).values() for funder in funders}))


def funder_terms(
    campaign: Campaign, funder: str, items: pa.Table, *, night_budget: int | None = None, price_tolerance: float = 0.0
) -> Terms:
    """campaign: as its file states it. items: judged, as the campaign may use them.

    night_budget: the most that the funder spends in all campaigns of a night. price_tolerance: by which share prices
    may move without a new agreement. An offer on everything that the shop sells lists no items and holds no prices.
    """
    offers = [offer for offer in campaign.offers if funder in who_pays(offer)]
    values: dict[str, dict[str, Plain]] = {part: {} for part in PARTS}
    values["cap"].update(flat("budget", campaign.budgets.get(funder)))
    values["cap"].update(flat("night_budget", night_budget))
    values["items"]["price_tolerance"] = price_tolerance
    scopes, prices = scope_matrix(offers, items, items["item_id"]).tocsc(), items["price"]
    covered: dict[str, NDArray[np.int64]] = {}
    for j, offer in enumerate(offers):
        path = f"offers[{offer.id}]"
        stated = offer.model_dump(mode="json", include=set(PART_OF))
        stated["funders"] = {funder: offer.funders[funder]}
        for key, value in stated.items():
            values[PART_OF[key]].update(flat(f"{path}.{key}", value))
        covered[offer.id] = np.sort(scopes.indices[scopes.indptr[j] : scopes.indptr[j + 1]]).astype(np.int64)
        if not offer.scope.everything:
            inside = covered[offer.id]
            costs = unit_costs(offer, funder, prices.take(pa.array(inside)))
            ids = items["item_id"].take(pa.array(inside)).to_pylist()
            listed = zip(ids, costs, strict=True)
            values["items"].update({f"{path}.items.{named(item)}": cost for item, cost in listed})
    values["quota"].update(flat("limits", _limits(campaign, offers)))
    values["dates"].update(flat("schedule", _dates(campaign, offers)))
    values["dates"]["window_days"] = campaign.window_days
    return Terms(campaign.id, funder, {part: dict(sorted(found.items())) for part, found in values.items()}, covered)


def unit_costs(offer: Offer, funder: str, prices: pa.ChunkedArray) -> list[int | str]:
    """What one unit of each item costs the funder when it is redeemed, in whole rupiah: all that a price does to it.

    prices: rupiah, null where there is none; such an item has NO_PRICE.
    """
    known = prices.is_valid().to_numpy()
    paid = benefit_of_baskets(offer.benefit, prices.fill_null(0).to_numpy()) * offer.funders[funder]
    whole = np.rint(paid).astype(np.int64).tolist()
    return [cost if priced else NO_PRICE for cost, priced in zip(whole, known.tolist(), strict=True)]


def changes_that_void(before: Values, after: Values) -> list[Difference]:
    """What changed since a funder agreed; prices that moved by no more than the tolerance agreed to are no change."""
    tolerance = before.get("items", {}).get("price_tolerance", 0.0)
    assert isinstance(tolerance, int | float)  # noqa: S101 - so written
    return [change for change in differences(before, after, PARTS) if not _within(change, tolerance)]


def _within(change: Difference, tolerance: float) -> bool:
    if ".items." not in change.path or not isinstance(change.was, int) or not isinstance(change.now, int):
        return False
    return abs(change.now - change.was) <= tolerance * change.was


def _limits(campaign: Campaign, offers: Sequence[Offer]) -> list[dict[str, Any]]:
    """The limits on groups that name these offers, or a merchant of theirs."""
    return [
        limit.model_dump(mode="json")
        for limit in campaign.limits
        if (limit.offers or limit.merchants) and any(map(limit.covers, offers))
    ]


def _dates(campaign: Campaign, offers: Sequence[Offer]) -> dict[str, Any]:
    """The schedule as far as these offers are sent by it; how long before it is decided is the shop's own affair."""
    schedule = campaign.schedule.model_dump(
        mode="json", exclude={"lead_days": True, "phases": {"__all__": {"lead_days"}}}
    )
    used = {phase for offer in offers for phase in (offer.phases or campaign.phases)}
    return {**schedule, "phases": [phase for phase in schedule["phases"] if phase["id"] in used]}
