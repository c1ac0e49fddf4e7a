"""An offer as a campaign file states it: benefit, scope, terms, funders, quota and words."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from campaigns.fields import (
    Count,
    Language,
    Part,
    Percent,
    Predicate,
    Rupiah,
    RupiahOrNothing,
    Share,
    Slug,
    Template,
    Words,
    expect,
    in_indonesian,
)


class PercentOff(Part):
    kind: Literal["percent_off"]
    percent: Percent
    """Of the basket within the offer's scope."""
    max_discount: Rupiah | None = None
    """The most that is taken off, in rupiah; null is no such limit."""


class AmountOff(Part):
    kind: Literal["amount_off"]
    amount: Rupiah
    """Taken off the basket, in rupiah; never more than the basket."""


class Cashback(Part):
    kind: Literal["cashback"]
    percent: Percent
    """Of the basket within the offer's scope, paid back after the purchase."""
    max_discount: Rupiah | None = None
    """The most that is paid back, in rupiah; null is no such limit."""


class FreeShipping(Part):
    kind: Literal["free_shipping"]
    amount: Rupiah
    """The shipping that is borne for an order, at most, in rupiah."""


class PointsMultiplier(Part):
    kind: Literal["points_multiplier"]
    factor: Annotated[float, Field(strict=True, gt=1, le=100, allow_inf_nan=False), expect("a factor above 1, to 100")]
    """2 is double points."""
    point_rate: Share = 0.01
    """What the ordinary points of a purchase are worth, as a share of the basket."""
    breakage: Share = 0.0
    """The share of points that are never spent."""


class Installment0(Part):
    kind: Literal["installment_0"]
    months: Annotated[int, Field(strict=True, ge=2, le=60), expect("a number of months, 2 to 60")]
    """Instalments without interest over so many months."""
    fee_percent: Percent
    """What the bank charges for it, in percent of the basket."""


Benefit = Annotated[
    PercentOff | AmountOff | Cashback | FreeShipping | PointsMultiplier | Installment0, Field(discriminator="kind")
]


class Scope(Part):
    """The items an offer applies to: all that any of the lists names, or everything. Restricted items never belong."""

    categories: tuple[Words, ...] = ()
    """Paths such as "Grocery > Coffee"; a path covers all below it."""
    items: tuple[Words, ...] = ()
    brands: tuple[Words, ...] = ()
    merchants: tuple[Words, ...] = ()
    everything: Annotated[bool, Field(strict=True)] = False

    @model_validator(mode="after")
    def _something(self) -> "Scope":
        listed = bool(self.categories or self.items or self.brands or self.merchants)
        if listed == self.everything:
            raise PydanticCustomError(
                "scope",
                "everything: true stands beside lists; keep one of the two"
                if listed
                else "names no item; give categories, items, brands or merchants, or everything: true",
            )
        return self


class Quota(Part):
    """How often an offer may be used: `redeemed` (the customers' meaning of kuota) or `sent`, not both."""

    redeemed: Count | None = None
    """So many redemptions in expectation."""
    sent: Count | None = None
    """So many messages that carry the offer."""

    @model_validator(mode="after")
    def _one(self) -> "Quota":
        if (self.redeemed is None) == (self.sent is None):
            raise PydanticCustomError("quota", "expected either redeemed or sent, exactly one of the two")
        return self

    @property
    def kind(self) -> Literal["redeemed", "sent"]:
        return "sent" if self.redeemed is None else "redeemed"

    @property
    def limit(self) -> int:
        return self.redeemed or self.sent or 0


class Minimum(Quota):
    """How often an offer is given at least, guaranteed to whoever pays for it: `redeemed` or `sent`, not both."""


class OfferText(Part):
    """An offer's words in one language; small templates."""

    title: Annotated[Template, Field(min_length=1)]
    body: Template = ""


def _adds_up(funders: Mapping[str, float]) -> Mapping[str, float]:
    if abs(sum(funders.values()) - 1) > 1e-9:
        total = f"{sum(funders.values()):.6g}"
        raise PydanticCustomError("shares", "the shares add up to {total}, expected 1", {"total": total})
    return funders


class Offer(Part):
    """A benefit on a scope, with its terms, who pays for it, how often it may be used, and its words."""

    id: Slug
    benefit: Benefit
    scope: Scope
    min_spend: RupiahOrNothing = 0
    """The basket within the scope from which the benefit is given, in rupiah."""
    funders: Annotated[Mapping[Slug, Share], AfterValidator(_adds_up)] = {"retailer": 1.0}
    """Who pays for the benefit: funder → share; the shares add up to 1. `retailer` is the shop itself."""
    quota: Quota | None = None
    """null is no quota."""
    minimum: Minimum | None = None
    """The least redemptions or messages, guaranteed; null is none."""
    uplift: Annotated[
        float,
        Field(strict=True, ge=0, le=10, allow_inf_nan=False),
        expect("a relative uplift from 0 to 10 (0.3 is +30%)"),
    ]
    """By how much the offer raises the chance of a purchase, relatively: 0.3 is +30%. Assumed until it is measured."""
    group: Slug | None = None
    """At most one offer of a group goes into a message; null is a group of its own."""
    priority: Annotated[int, Field(strict=True), expect("a whole number")] = 0
    """Breaks ties between offers of equal value; higher wins."""
    eligibility: Predicate | None = None
    """SQL predicate over the customers' columns: who of the audience may get it; null is everyone."""
    text: Annotated[Mapping[Language, OfferText], AfterValidator(in_indonesian)]
    """Language → words; `id` is always there and is what speakers of a language that is not here read."""
