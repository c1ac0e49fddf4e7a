"""A campaign's YAML file as frozen, typed values, and every fault of such a file at once in a marketer's words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from campaigns.faults import Place, faults, near
from campaigns.fields import (
    Count,
    Days,
    Language,
    Part,
    Predicate,
    Province,
    Rupiah,
    RupiahOrNothing,
    Slug,
    Template,
    Words,
    expect,
    in_indonesian,
)
from campaigns.limits import Confidence, Error, Limit, contradictions
from campaigns.marked_yaml import MarkedYaml, read_yaml
from campaigns.offer import (
    AmountOff,
    Benefit,
    Cashback,
    FreeShipping,
    Installment0,
    Minimum,
    Offer,
    OfferText,
    PercentOff,
    PointsMultiplier,
    Quota,
    Scope,
)
from campaigns.schedule import Schedule
from campaigns.tables import CampaignError

__all__ = [
    "AmountOff",
    "Benefit",
    "Campaign",
    "CampaignError",
    "Cashback",
    "Channel",
    "Content",
    "Control",
    "FreeShipping",
    "Installment0",
    "Limit",
    "Minimum",
    "Offer",
    "OfferText",
    "PercentOff",
    "PointsMultiplier",
    "Quota",
    "Reading",
    "Schedule",
    "Scope",
    "json_schema",
    "load_campaign",
    "read_campaign",
]

ChannelName = Literal["email", "push"]
PLACEMENTS: Mapping[str, tuple[str, ...]] = {"email": ("hero", "grid"), "push": ("push",)}
NEEDED_WORDS: Mapping[str, tuple[str, ...]] = {
    "email": ("subject", "heading", "intro"),
    "push": ("push_title", "push_body"),
}


class Control(Part):
    """The part of the audience that is not sent anything, so that the campaign's effect can be measured."""

    share: Annotated[
        float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False), expect("a share from 0 to less than 1")
    ] = 0.10
    """Of the audience, chosen by a hash of each customer's id."""


class Channel(Part):
    capacity: Count
    """The most messages that an occurrence may send on this channel."""
    message_cost: RupiahOrNothing = 0
    """The cost of one message in rupiah."""
    placements: Annotated[Mapping[str, Count], Field(min_length=1)]
    """Places for offers → how many each holds. Of an email hero and grid; of a push one push."""
    response: Annotated[
        float, Field(strict=True, gt=0, le=10, allow_inf_nan=False), expect("a factor above 0, to 10")
    ] = 1.0
    """Multiplies the offers' uplift on this channel."""

    @property
    def positions(self) -> int:
        """How many offers a message holds."""
        return sum(self.placements.values())


class Wording(Part):
    subject: Template = ""
    """Of a mail."""
    preheader: Template = ""
    """What mail programs show after the subject."""
    heading: Template = ""
    """In large type above a mail's offers."""
    intro: Template = ""
    """A sentence or two under the heading."""
    push_title: Template = ""
    """A push's first line."""
    push_body: Template = ""
    """What follows; the offer's terms are added to it."""


class Content(Wording):
    """The words around the offers in one language; small templates."""

    phases: Mapping[Slug, Wording] = {}
    """Phase → words that it has in place of these."""


class LastOrder(Part):
    """Until when a courier takes orders that arrive before the occasion."""

    days: Annotated[int, Field(strict=True, ge=0, le=60), expect("a number of days before the occasion, 0 to 60")]
    """So many days before the occasion is the last."""
    provinces: Mapping[
        Province,
        Annotated[int, Field(strict=True, ge=0, le=60), expect("a number of days before the occasion, 0 to 60")],
    ] = {}
    """Province → its own number of days, as Papua: 14."""


class Campaign(Part):
    """An occasion, an audience, offers, limits, channels and words; load_campaign makes it and checks the whole."""

    id: Slug
    """The same as the file's name without .yaml."""
    name: Words
    """As reports and lists call it."""
    schedule: Schedule
    """When it is sent."""
    window_days: Days
    """So many days from the decision count as the offers' window of purchase; also the window of the propensity."""
    purpose: Literal["promotion", "greeting", "service"] = "promotion"
    """What customers have to have consented to, on each channel: promotion, greeting (a wish without an offer), service
    (what concerns their own order or account)."""
    audience: Predicate | None = None
    """SQL predicate over the customers' columns: who is addressed; null is everybody."""
    control: Control = Control()
    """Who is kept out, so that the effect can be measured."""
    channels: Annotated[Mapping[ChannelName, Channel], Field(min_length=1)]
    """email and push, or one of them; a person gets one message of an occurrence."""
    budgets: Mapping[Slug, Rupiah] = {}
    """Funder → the most that it spends on an occurrence, in rupiah."""
    budget_confidence: Confidence = 0.5
    """With this probability what is really spent stays within each budget; 0.5 holds for what is expected."""
    quota_confidence: Confidence = 0.5
    """With this probability the real redemptions stay within each quota of redemptions."""
    forecast_error: Error = 0.0
    """How wrong the campaign's chances may be together, relatively: 0.1 is ±10%. Counts where a confidence does."""
    limits: tuple[Limit, ...] = ()
    """Limits on groups of offers and customers, and guaranteed minimums."""
    last_order: Mapping[Slug, LastOrder] = {}
    """Courier → until when it delivers before the schedule's occasion. After that only offers by other couriers, and
    digital or pickup ones, go to a province."""
    offers: tuple[Offer, ...]
    """What may be given; [] is a plain greeting, which everybody in the audience gets while the channels have room."""
    fallback: Slug | None = None
    """The offer that is shown where no other is worth it; null is none."""
    content: Annotated[Mapping[Language, Content], AfterValidator(in_indonesian)]
    """Language → the words around the offers; `id` is always there."""

    def offer(self, offer_id: str) -> Offer:
        """Raises KeyError for an offer that the campaign does not have."""
        return {offer.id: offer for offer in self.offers}[offer_id]

    @property
    def phases(self) -> tuple[str, ...]:
        """Names of the schedule's phases; () where it has none."""
        return tuple(phase.id for phase in self.schedule.phases)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted(self.content))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a campaign file, for editors; every key is described."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Campaign.model_json_schema()}


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """A campaign file as it was read: the campaign, or None where it has faults; and these, a line for each.

    marked: its plain values and their lines; None if it is not YAML at all.
    """

    name: str
    campaign: Campaign | None
    faults: tuple[str, ...]
    marked: MarkedYaml | None = None

    def at(self, place: Place, words: str) -> str:
        """A fault as it is reported: `harbolnas.yaml:12: offers[kopi].quota: …`."""
        line, value = (self.marked.line(place), self.marked.value) if self.marked else (1, {})
        return f"{self.name}:{line}: {_dotted(place, value)}: {words}"


def load_campaign(path: Path, text: str | bytes | None = None) -> Campaign:
    """Reads a campaign file, or text as if it were in that file.

    Raises CampaignError with one line for every fault of the file: `harbolnas.yaml:12: budgets.retailer: expected …`.
    """
    reading = read_campaign(path, text)
    if reading.campaign is None:
        raise CampaignError("\n".join(reading.faults))
    return reading.campaign


def read_campaign(path: Path, text: str | bytes | None = None) -> Reading:
    """As load_campaign, but faults are told and not raised. Raises CampaignError if the file cannot be read at all."""
    try:
        content = path.read_bytes() if text is None else text
    except OSError as error:
        raise CampaignError(f"{path}: not readable: {error.strerror}") from error
    try:
        marked = read_yaml(content)
    except CampaignError as error:
        return Reading(path.name, None, (f"{path.name}:{error}",))
    read = Reading(path.name, None, (), marked)
    lines = [
        (line, f"{path.name}:{line}: {_dotted(place, marked.value)}: the key stands here a second time; keep one")
        for place, line in marked.repeated
    ]
    campaign, found = None, list[tuple[Place, str]]()
    try:
        campaign = Campaign.model_validate(marked.value)
    except ValidationError as error:
        found += faults(error, Campaign.model_json_schema())
    found += _contradictions(marked.value, path.stem)
    lines += [(marked.line(place), read.at(place, words)) for place, words in found]
    if lines:
        return replace(read, faults=tuple(line for _, line in sorted(lines)))
    return replace(read, campaign=campaign)


def _dotted(path: Place, value: Any) -> str:
    """offers[kopi-20].benefit.percent: entries of a list by their id, if they have one, else by number from 0."""
    words = ""
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int):
            name = value.get("id") if isinstance(value, Mapping) else None
            words += f"[{name if isinstance(name, str) else part}]"
        else:
            words += f".{part}" if words else str(part)
    return words


def _contradictions(raw: Mapping[str, Any], stem: str) -> Iterator[tuple[Place, str]]:
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
    yield from contradictions(raw.get("limits"), offers)
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
