"""An offer as a campaign file states it: benefit, scope, terms, funders, quota and words."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from campaigns.fields import (
    Count,
    Days,
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
from campaigns.tables import CODE

RETAILER = "retailer"  # the funder that is the shop itself


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
    """Ids of items."""
    brands: tuple[Words, ...] = ()
    """Brands, as the items have them."""
    merchants: tuple[Words, ...] = ()
    """Ids of merchants."""
    green: Annotated[bool, Field(strict=True)] = False
    """true: the items that are marked green."""
    everything: Annotated[bool, Field(strict=True)] = False
    """true: all that the shop sells."""

    @model_validator(mode="after")
    def _something(self) -> "Scope":
        listed = bool(self.categories or self.items or self.brands or self.merchants or self.green)
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


class Code(Part):
    """The voucher code that a customer enters at the checkout: one `shared` by all, or one of a `pool` each."""

    shared: Annotated[str, Field(pattern=CODE), expect("letters, digits, dots, - and _, at most 64")] | None = None
    """A code for everybody."""
    pool: Slug | None = None
    """Single-use codes out of the codes table's pool of this name; there are no more messages than codes."""

    @model_validator(mode="after")
    def _one(self) -> "Code":
        if (self.shared is None) == (self.pool is None):
            raise PydanticCustomError("code", "expected either shared or pool, exactly one of the two")
        return self


class Validity(Part):
    """How long an offer holds, from the sending of its message: `hours` or `days`, not both."""

    hours: Annotated[int, Field(strict=True, ge=1, le=72), expect("a number of hours, 1 to 72")] | None = None
    """To the minute, as the two hours of a flash sale."""
    days: Days | None = None
    """To the end of the last of so many days, the day of sending among them."""

    @model_validator(mode="after")
    def _one(self) -> "Validity":
        if (self.hours is None) == (self.days is None):
            raise PydanticCustomError("validity", "expected either hours or days, exactly one of the two")
        return self


class Creative(Part):
    """An offer's words in one place of a message."""

    title: Annotated[Template, Field(min_length=1)]
    """The line that says what it is."""
    body: Template = ""
    """A sentence that makes one want it."""


class OfferText(Creative):
    """An offer's words in one language; small templates."""

    hero: Creative | None = None
    """In place of these, as the first offer of a mail."""
    grid: Creative | None = None
    """In place of these, further down in a mail."""
    push: Creative | None = None
    """In place of these, in a push."""


def _adds_up(funders: Mapping[str, float]) -> Mapping[str, float]:
    if abs(sum(funders.values()) - 1) > 1e-9:
        total = f"{sum(funders.values()):.6g}"
        raise PydanticCustomError("shares", "the shares add up to {total}, expected 1", {"total": total})
    return funders


class Offer(Part):
    """A benefit on a scope, with its terms, who pays for it, how often it may be used, and its words."""

    id: Slug
    """A name of its own within the campaign."""
    benefit: Benefit
    """What is given; `kind` says which."""
    scope: Scope
    """The items that it applies to."""
    min_spend: RupiahOrNothing = 0
    """The basket within the scope from which the benefit is given, in rupiah."""
    funders: Annotated[Mapping[Slug, Share], AfterValidator(_adds_up)] = {"retailer": 1.0}
    """Who pays for the benefit: funder → share; the shares add up to 1. `retailer` is the shop itself."""
    quota: Quota | None = None
    """null is no quota."""
    code: Code | None = None
    """What the customer enters at the checkout; null is nothing."""
    minimum: Minimum | None = None
    """The least redemptions or messages, guaranteed; null is none."""
    uplift: Annotated[
        float,
        Field(strict=True, ge=0, le=10, allow_inf_nan=False),
        expect("a relative uplift from 0 to 10 (0.3 is +30%)"),
    ]
    """By how much the offer raises the chance of a purchase, relatively: 0.3 is +30%. Assumed until it is measured."""
    per_unit: (
        Annotated[float, Field(strict=True, gt=0, le=1000, allow_inf_nan=False), expect("a factor above 0")] | None
    ) = None
    """At most so many messages for each unit in stock of the scope's items, as after a restock; with no stock, none."""
    per_customer: Count | None = None
    """How often one customer may use it; the terms say so and the checkout holds it. null is no such limit."""
    combinable: Annotated[bool, Field(strict=True)] | None = None
    """Whether it may be used together with other offers on one order; the terms say so. null says nothing."""
    payment_methods: tuple[Words, ...] = ()
    """It holds with these alone, as QRIS or a bank's card; the terms say so. [] is any."""
    delivery: tuple[Slug, ...] = ()
    """How it reaches the customer: couriers that last_order names, or `digital` or `pickup`, which no last order ends.
    [] is any courier."""
    valid: Validity | None = None
    """How long it holds; null is to the end of window_days."""
    phases: tuple[Slug, ...] = ()
    """The schedule's phases that it belongs to; [] is all of them."""
    group: Slug | None = None
    """At most one offer of a group goes into a message; null is a group of its own."""
    priority: Annotated[int, Field(strict=True), expect("a whole number")] = 0
    """Breaks ties between offers of equal value; higher wins."""
    eligibility: Predicate | None = None
    """SQL predicate over the customers' columns: who of the audience may get it; null is everyone."""
    text: Annotated[Mapping[Language, OfferText], AfterValidator(in_indonesian)]
    """Language → words; `id` is always there and is what speakers of a language that is not here read."""
