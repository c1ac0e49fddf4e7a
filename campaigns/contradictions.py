"""What is wrong between parts of a campaign file that may each be right: names that are not there, quotas that clash,
words that are missing. Reads plain values, and says nothing of parts that have the wrong shape."""

from collections.abc import Iterator, Mapping
from typing import Any

from campaigns import limits
from campaigns.faults import Place, near

PLACEMENTS: Mapping[str, tuple[str, ...]] = {"email": ("hero", "grid"), "push": ("push",)}
NEEDED_WORDS: Mapping[str, tuple[str, ...]] = {
    "email": ("subject", "heading", "intro"),
    "push": ("push_title", "push_body"),
}


def contradictions(raw: Mapping[str, Any], stem: str) -> Iterator[tuple[Place, str]]:
    """What is wrong between parts that may each be right; says nothing of parts that have the wrong shape."""
    if isinstance(raw.get("id"), str) and raw["id"] != stem:
        yield ("id",), f"expected {stem!r}, as the file is named, got {raw['id']!r}; rename one of the two"
    budgets, content = _mapping(raw.get("budgets")), _mapping(raw.get("content"))
    listed = raw.get("offers")
    offers = [_mapping(offer) for offer in listed] if isinstance(listed, list) else []
    if offers and "budgets" not in raw:
        yield ("budgets",), "is missing; say what each funder spends at most, as budgets: {retailer: 5000000}"
    first: dict[object, int] = {}
    for number, offer in enumerate(offers):
        name = offer.get("id")
        if isinstance(name, str) and first.setdefault(name, number) != number:
            yield ("offers", number, "id"), f"another offer is named {name!r} already; give each its own id"
        for funder in _mapping(offer.get("funders", {"retailer": 1})):
            if isinstance(raw.get("budgets"), Mapping) and funder not in budgets:
                guess = near(funder, map(str, budgets))
                place: Place = ("offers", number, "funders", funder) if "funders" in offer else ("offers", number)
                yield place, f"funder {funder!r} has no budget{guess or f'; add budgets.{funder}'}"
        for language in content:
            if _mapping(offer.get("text")) and language not in offer["text"]:
                yield (
                    ("offers", number, "text"),
                    f"content speaks {language!r}, the offer does not; add text.{language}",
                )
    yield from limits.contradictions(raw.get("limits"), offers)
    yield from _unknown_phases(raw, offers)
    yield from _unfit(raw, offers)
    fallback = raw.get("fallback")
    if isinstance(fallback, str) and fallback not in first:
        yield ("fallback",), f"no offer is named {fallback!r}{near(fallback, map(str, first))}"
    yield from _unsaid(_mapping(raw.get("channels")), content)


def _unknown_phases(raw: Mapping[str, Any], offers: list[Mapping[Any, Any]]) -> Iterator[tuple[Place, str]]:
    """Phases that are named and not there, and those in which nothing is offered."""
    listed = _mapping(raw.get("schedule")).get("phases")
    phases = [str(_mapping(phase).get("id")) for phase in listed] if isinstance(listed, list) else []
    named: list[tuple[Place, object]] = []
    for number, offer in enumerate(offers):
        own = offer.get("phases")
        if isinstance(own, list):
            named += [(("offers", number, "phases", place), phase) for place, phase in enumerate(own)]
    for language, words in _mapping(raw.get("content")).items():
        own = _mapping(_mapping(words).get("phases"))
        named += [(("content", language, "phases", phase), phase) for phase in own]
    for place, phase in named:
        if isinstance(phase, str) and phase not in phases:
            remedy = near(phase, phases) or (f"; it has {', '.join(phases)}" if phases else "; add schedule.phases")
            yield place, f"the schedule has no phase {phase!r}{remedy}"


def _unfit(raw: Mapping[str, Any], offers: list[Mapping[Any, Any]]) -> Iterator[tuple[Place, str]]:
    """Quotas that clash with what else is stated, and couriers that are named and not there."""
    channels = [_mapping(channel) for channel in _mapping(raw.get("channels")).values()]
    capacities = [channel.get("capacity") for channel in channels]
    most = sum(capacity for capacity in capacities if isinstance(capacity, int))
    couriers = [*map(str, _mapping(raw.get("last_order"))), "digital", "pickup"]
    for number, offer in enumerate(offers):
        place: Place = ("offers", number)
        quota = _mapping(offer.get("quota"))
        sent, redeemed, own = quota.get("sent"), quota.get("redeemed"), offer.get("per_customer")
        if isinstance(sent, int) and sent > most > 0:
            yield (*place, "quota", "sent"), f"{sent} is more than the channels can carry, {most}; lower it"
        if isinstance(redeemed, int) and isinstance(own, int) and own > redeemed > 0:
            yield (*place, "per_customer"), f"{own} is more than the whole quota, {redeemed}; lower it"
        if redeemed is not None and offer.get("per_unit") is not None:
            yield (*place, "per_unit"), "stands beside a quota of redemptions; keep one of the two"
        listed = offer.get("delivery")
        for entry, courier in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(courier, str) and courier not in couriers:
                guess = near(courier, couriers) or f"; expected {', '.join(couriers)}, or add last_order.{courier}"
                yield (*place, "delivery", entry), f"no courier is named {courier!r}{guess}"


def _unsaid(channels: Mapping[Any, Any], content: Mapping[Any, Any]) -> Iterator[tuple[Place, str]]:
    """Placements that a channel does not have, and words that a channel needs and content lacks."""
    for channel, known in PLACEMENTS.items():
        if channel not in channels:
            continue
        for placement, count in _mapping(_mapping(channels[channel]).get("placements")).items():
            place = ("channels", channel, "placements", placement)
            if placement not in known:
                yield place, f"{channel} has no such placement; expected {' or '.join(known)}"
            elif channel == "push" and isinstance(count, int) and count > 1:
                yield place, f"a push holds one offer, got {count}"
        for language, words in content.items():
            for key in NEEDED_WORDS[channel]:
                if isinstance(words, Mapping) and not words.get(key):
                    yield ("content", language, key), f"is missing; a campaign by {channel} needs it"


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
