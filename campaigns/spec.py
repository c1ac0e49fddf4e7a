"""A campaign's YAML file as frozen, typed values, and every fault of such a file at once in a marketer's words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError

from campaigns.contradictions import PLACEMENTS, contradictions
from campaigns.faults import Place, faults
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
from campaigns.limits import Confidence, Error, Limit
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
    "PLACEMENTS",
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
    reviewed_by: Words | None = None
    """Who has read the campaign's texts of this language as a speaker of it; in Javanese (jv …) and Sundanese (su …)
    `check` warns where nobody has."""


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
    found += contradictions(marked.value, path.stem)
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
