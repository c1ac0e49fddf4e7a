"""What a country's rules keep out of promotions, each with its source: id.yaml, which a workspace may change."""

from campaigns.policy.claims import check_claims, reference_prices, with_references
from campaigns.policy.restrictions import (
    Place,
    Policy,
    judged,
    keep_ramadan,
    kept_from,
    load_policy,
    named_restrictions,
)

__all__ = [
    "Place",
    "Policy",
    "check_claims",
    "judged",
    "keep_ramadan",
    "kept_from",
    "load_policy",
    "named_restrictions",
    "reference_prices",
    "with_references",
]
