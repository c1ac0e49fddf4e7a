"""A campaign as it is on the day of one firing: the phase's offers and words, what the stock and the couriers still
allow. What decides then reads one plain campaign."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from campaigns.calendar import Occurrence
from campaigns.offer import Offer, Quota
from campaigns.scope import scope_matrix
from campaigns.spec import Campaign, Content, LastOrder, Wording

AT_ONCE = ("digital", "pickup")  # deliveries that no courier's last order ends


def campaign_at(campaign: Campaign, occurrence: Occurrence, items: pa.Table | None = None) -> Campaign:
    """The campaign of one occurrence.

    items: the table of items, by whose stock offers with per_unit get their quota; None leaves these as they are.
    Offers that the day does not allow are left out, so there may be none.
    """
    campaign = in_phase(campaign, occurrence.phase)
    offers = list(campaign.offers)
    if campaign.last_order and (days := (feast_after(campaign, occurrence) - occurrence.day).days) >= 0:
        offers = [until_last_order(offer, campaign.last_order, days) for offer in offers]
        offers = [offer for offer in offers if offer.eligibility != NOBODY]
    if items is not None:
        offers = [offer for offer in (within_stock(offer, items) for offer in offers) if offer]
    kept = {offer.id for offer in offers}
    funders = {funder for offer in offers for funder in offer.funders}
    return campaign.model_copy(
        update={
            "offers": tuple(offers),
            "limits": tuple(limit for limit in campaign.limits if any(map(limit.covers, offers))),
            "fallback": campaign.fallback if campaign.fallback in kept else None,
            "budgets": {funder: limit for funder, limit in campaign.budgets.items() if funder in funders},
        }
    )


NOBODY = "FALSE"


def both(one: str | None, other: str | None) -> str | None:
    """The predicate that holds where both do; null holds everywhere."""
    return f"({one}) AND ({other})" if one and other else one or other


def in_phase(campaign: Campaign, phase: str) -> Campaign:
    """The campaign with the offers, words and window of a phase, and none of the others; "" is as it stands.

    Raises KeyError for no phase.
    """
    if not phase:
        return campaign
    offers = tuple(offer for offer in campaign.offers if not offer.phases or phase in offer.phases)
    content = {language: _worded(words, phase) for language, words in campaign.content.items()}
    own = campaign.schedule.phase(phase)
    lead = campaign.schedule.lead_days if own.lead_days is None else own.lead_days
    more = {
        "window_days": own.window_days or campaign.window_days,
        "schedule": campaign.schedule.model_copy(update={"lead_days": lead, "phases": ()}),
    }
    return campaign.model_copy(update={"offers": offers, "content": content, **more})


def greets(campaign: Campaign, occurrence: Occurrence) -> bool:
    """Whether its file states no offers for this firing, so that everybody in the audience is greeted."""
    return not in_phase(campaign, occurrence.phase).offers


def _worded(content: Content, phase: str) -> Content:
    """The words of a phase, and the campaign's where it has none of its own."""
    own: Wording | None = content.phases.get(phase)
    said = {key: value for key, value in own if value} if own else {}
    return content.model_copy(update={**said, "phases": {}})


# --- deliveries ------------------------------------------------------------------------------------------------------


def feast_after(campaign: Campaign, occurrence: Occurrence) -> date:
    """The day before which orders have to arrive: the schedule's occasion, where the phase counts from another."""
    return occurrence.feast or occurrence.occasion_day


def until_last_order(offer: Offer, couriers: Mapping[str, LastOrder], days: int) -> Offer:
    """The offer for those provinces that one of its couriers still reaches, so many days before the feast."""
    if any(way in AT_ONCE for way in offer.delivery):
        return offer
    ways = [couriers[name] for name in (offer.delivery or couriers)]
    reached = [courier_reaches(courier, days) for courier in ways]
    if None in reached:  # one of them still goes everywhere
        return offer
    found = " OR ".join(f"({predicate})" for predicate in dict.fromkeys(reached) if predicate != NOBODY)
    return offer.model_copy(update={"eligibility": both(offer.eligibility, found) if found else NOBODY})


def courier_reaches(courier: LastOrder, days: int) -> str | None:
    """Whom a courier still reaches so many days before the feast, as a predicate; null is everybody."""
    own = courier.provinces
    late = sorted(name for name, least in own.items() if days < least)
    early = sorted(name for name, least in own.items() if days >= least)
    if days >= courier.days:
        return f"province IS NULL OR NOT province IN ({_quoted(late)})" if late else None
    return f"province IN ({_quoted(early)})" if early else NOBODY


def _quoted(names: list[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)


# --- stock -----------------------------------------------------------------------------------------------------------


def within_stock(offer: Offer, items: pa.Table) -> Offer | None:
    """An offer with per_unit gets a quota of messages from the stock in its scope; None where there is no stock.

    Items of unlimited stock (null) leave the offer as it is.
    """
    if offer.per_unit is None:
        return offer
    inside = scope_matrix([offer], items, items["item_id"]).toarray().ravel() > 0
    stock = items["stock"].filter(pa.array(inside))
    if stock.null_count:
        return offer
    most = int((pc.sum(stock).as_py() or 0) * offer.per_unit)
    limit = min(most, offer.quota.limit) if offer.quota else most
    return offer.model_copy(update={"quota": Quota(sent=limit)}) if limit else None


# --- validity --------------------------------------------------------------------------------------------------------


def offer_ends(campaign: Campaign, sent_at: datetime) -> dict[str, datetime]:
    """Offer id → the instant at which it ends, for messages sent at an instant; "" → the end of the window."""
    zone = ZoneInfo(campaign.schedule.timezone)
    ends = {"": _midnight_after(sent_at, campaign.window_days, zone)}
    for offer in campaign.offers:
        valid = offer.valid
        if valid is None:
            ends[offer.id] = ends[""]
        elif valid.hours:
            ends[offer.id] = sent_at + timedelta(hours=valid.hours)
        else:
            ends[offer.id] = _midnight_after(sent_at, valid.days or 1, zone)
    return ends


def _midnight_after(instant: datetime, days: int, zone: ZoneInfo) -> datetime:
    return datetime.combine(instant.astimezone(zone).date() + timedelta(days=days), time(), zone)


def occurrence_facts(occurrence: Occurrence) -> dict[str, Any]:
    """What a manifest says of an occurrence."""
    return {
        "occurrence": occurrence.name,
        "phase": occurrence.phase or None,
        "day": occurrence.day.isoformat(),
        "occasion_day": occurrence.occasion_day.isoformat(),
        "estimated": occurrence.estimated,
    }
