"""Who is kept out so that effects can be measured, and how small an effect they let us see.

Two groups by two salts: the global one stays out of every campaign for a season, a campaign's own out of that campaign.
A person is in a group by a hash of who they are, so that nothing needs to be stored to know it again.
"""

import hashlib
import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Annotated, Self

from pydantic import Field, model_validator

from campaigns.fields import Part

BUCKETS = 10_000


class Controls(Part):
    """[control] of larisma.toml."""

    global_share: Annotated[float, Field(ge=0, le=0.15)] = 0.0
    """Of all people, kept out of every campaign for a season: 0 for nobody, or 0.01 to 0.15."""
    season: Annotated[str, Field(pattern=r"^[a-z0-9-]{0,64}$")] = ""
    """Names the season, as 2026-h1; a new name draws the group anew."""
    exempt: tuple[str, ...] = ("service",)
    """Purposes of campaigns that go to the global group too."""
    test_accounts: tuple[str, ...] = ()
    """Customers who are nobody: the shop's own accounts, in no audience and no control group."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if 0 < self.global_share < 0.01:
            raise ValueError(f"global_share: expected 0, or 0.01 to 0.15, got {self.global_share}")
        return self


def campaign_salt(salt: str, campaign_id: str) -> str:
    return f"{salt}\n{campaign_id}\n"


def global_salt(salt: str, season: str) -> str:
    return f"{salt}\nseason {season}\n"  # a campaign's id holds no space


def in_group(person_ids: Iterable[str | None], salt: str, share: float) -> list[bool]:
    """Who is, or was, in the control group of a salt (campaign_salt, global_salt) and a share: the lowest buckets."""
    return [bucket(person_id or "", salt) < round(share * BUCKETS) for person_id in person_ids]


def bucket(person_id: str, salt: str) -> int:
    """0–9999: the first 60 bits of the SHA-256 of the salt and the person."""
    return int(hashlib.sha256(f"{salt}{person_id}".encode()).hexdigest()[:15], 16) % BUCKETS


def smallest_lift(
    treated: int, controls: int, rate: float, *, power: float = 0.8, significance: float = 0.05
) -> float | None:
    """The smallest rise of a rate that a comparison of two groups sees with a given power, as a difference: 0.02 is two
    points. None if there is none below 1 − rate.

    rate: 0–1, of the controls. significance: of a two-sided test of two proportions with the normal approximation,
    pooled under the null hypothesis (Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 4.14).
    """
    if not (0 <= rate < 1 and min(treated, controls) >= 0):
        raise ValueError(f"expected a rate from 0 to less than 1 and numbers of people, got {rate}")
    if not (treated and controls):
        return None
    normal = NormalDist()
    critical, wanted = normal.inv_cdf(1 - significance / 2), normal.inv_cdf(power)

    def seen(lift: float) -> bool:
        raised = rate + lift
        pooled = (controls * rate + treated * raised) / (controls + treated)
        null = math.sqrt(pooled * (1 - pooled) * (1 / controls + 1 / treated))
        real = math.sqrt(rate * (1 - rate) / controls + raised * (1 - raised) / treated)
        return lift >= critical * null + wanted * real

    low, high = 0.0, 1 - rate
    if not seen(high):
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high
