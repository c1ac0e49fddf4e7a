"""Limits on groups, as a campaign file (or larisma.toml, for a whole night) states them: offers × customers → at most,
or at least, so much."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from campaigns.faults import Place, near
from campaigns.fields import Part, Predicate, Rupiah, Slug, Words, expect
from campaigns.offer import Minimum, Offer, Quota

Column = Literal["city", "province", "tier", "language", "timezone", "salutation"]
Confidence = Annotated[
    float, Field(strict=True, ge=0.5, lt=1, allow_inf_nan=False), expect("a probability from 0.5 to less than 1")
]
Error = Annotated[
    float, Field(strict=True, ge=0, le=1, allow_inf_nan=False), expect("a relative error from 0 to 1 (0.1 is ±10%)")
]


class Limit(Part):
    """At most, or at least, so much of some offers for some customers: one of quota, minimum and budget."""

    id: Slug
    """A name of its own: reports and reasons call the limit by it."""
    offers: tuple[Slug, ...] = ()
    """Ids of offers; without offers and merchants: all of them."""
    merchants: tuple[Words, ...] = ()
    """Every offer whose scope names the merchant, or which it co-funds."""
    where: Predicate | None = None
    """SQL predicate over the customers' columns: whose messages count; null is everybody's."""
    for_each: Column | None = None
    """A column of the customers: a limit of its own for each of its values; null is one limit for all together."""
    quota: Quota | None = None
    """The most redemptions or messages."""
    minimum: Minimum | None = None
    """The least redemptions or messages; a guarantee."""
    budget: Rupiah | None = None
    """The most that all funders together spend on these, in rupiah."""

    @model_validator(mode="after")
    def _one(self) -> "Limit":
        given = [name for name in ("quota", "minimum", "budget") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PydanticCustomError(
                "limit",
                "expected one of quota, minimum and budget, got {given}",
                {"given": " and ".join(given) or "none of them"},
            )
        return self

    @property
    def amount(self) -> int:
        return self.budget or (self.quota or self.minimum or Quota(sent=1)).limit

    @property
    def unit(self) -> Literal["redeemed", "sent", "rupiah"]:
        """What is counted."""
        return "rupiah" if self.budget else (self.quota or self.minimum or Quota(sent=1)).kind

    def covers(self, offer: Offer) -> bool:
        """Whether the offer counts towards this limit."""
        if not (self.offers or self.merchants):
            return True
        whose = {*offer.scope.merchants, *offer.funders}
        return offer.id in self.offers or not whose.isdisjoint(self.merchants)


def contradictions(raw: Any, offers: Sequence[Mapping[Any, Any]]) -> Iterator[tuple[Place, str]]:
    """What is wrong between a campaign file's limits and its offers; raw: as the file has them."""
    named = [str(offer.get("id")) for offer in offers]
    first: dict[object, int] = {}
    for number, limit in enumerate(raw if isinstance(raw, list) else []):
        if not isinstance(limit, Mapping):
            continue
        name = limit.get("id")
        if isinstance(name, str) and first.setdefault(name, number) != number:
            yield ("limits", number, "id"), f"another limit is named {name!r} already; give each its own id"
        listed = limit.get("offers")
        for place, offer in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(offer, str) and offer not in named:
                yield ("limits", number, "offers", place), f"no offer is named {offer!r}{near(offer, named)}"
    for number, one in enumerate(offers):
        quota, minimum = one.get("quota"), one.get("minimum")
        if isinstance(quota, Mapping) and isinstance(minimum, Mapping):
            for kind in ("redeemed", "sent"):
                most, least = quota.get(kind), minimum.get(kind)
                if isinstance(most, int) and isinstance(least, int) and least > most:
                    yield ("offers", number, "minimum", kind), f"is above the offer's quota of {most}; lower it"
