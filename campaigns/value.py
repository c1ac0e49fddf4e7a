"""Where probability becomes money: what an offer costs, what it earns, and who pays. Plain arrays, numpy only.

Units: money is rupiah; probabilities and shares are 0–1; an uplift is relative (0.3 is +30%).
For a customer, an offer j and a channel c, with p0 the chance of a purchase within the scope when nothing is sent:

    p1  = min(1, p0·(1 + uplift_j·response_c))             the chance when the offer is sent
    v   = (p1 − p0)·margin_j − p1·benefit_j·retailer_share_j   what sending it earns the retailer
    w_f = p1·benefit_j·share_jf                            what funder f is expected to pay

margin_j and benefit_j are expectations per purchase over the past baskets within the offer's scope. The benefit is
paid for all p1 who buy, since those who would have bought anyway redeem it too; the margin is earned only on p1 − p0.
Expectations are float64; what is written for funders is int64 rupiah, rounded up per decision, so that a sum of written
costs is never below what is expected to be spent.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def benefit_of_baskets(benefit: Any, baskets: ArrayLike, min_spend: float = 0) -> Floats:
    """What a redemption costs its funders for each basket, in rupiah; 0 where the basket is below min_spend.

    benefit: a campaign file's benefit (or anything with the same fields), by its `kind`:
    percent_off, cashback {percent, max_discount}: that percentage of the basket, at most max_discount (None: no cap);
    amount_off {amount}: the amount, at most the basket; free_shipping {amount}: the amount;
    points_multiplier {factor, point_rate, breakage}: the additional points, basket·point_rate·(factor − 1), less those
    that are never spent; installment_0 {fee_percent}: what the bank charges, as a percentage of the basket.

    baskets: [b], rupiah within the offer's scope. Raises ValueError for a kind that is not known.
    """
    basket = np.asarray(baskets, dtype=np.float64)
    match benefit.kind:
        case "percent_off" | "cashback":
            cap = np.inf if benefit.max_discount is None else benefit.max_discount
            cost = np.minimum(basket * (benefit.percent / 100), cap)
        case "amount_off":
            cost = np.minimum(basket, benefit.amount)
        case "free_shipping":
            cost = np.full(basket.shape, float(benefit.amount))
        case "points_multiplier":
            cost = basket * (benefit.point_rate * (benefit.factor - 1) * (1 - benefit.breakage))
        case "installment_0":
            cost = basket * (benefit.fee_percent / 100)
        case _:
            raise ValueError(f"benefit.kind: no such kind of benefit: {benefit.kind!r}")
    return np.where(basket >= min_spend, cost, 0.0)


def expected_benefit(benefit: Any, baskets: ArrayLike, min_spend: float = 0) -> float:
    """The mean of benefit_of_baskets over past baskets, in rupiah per purchase; 0 where there are none."""
    cost = benefit_of_baskets(benefit, baskets, min_spend)
    return float(cost.mean()) if cost.size else 0.0


def expected_margin(baskets: ArrayLike, margin_rate: ArrayLike) -> float:
    """The mean of basket × margin rate over past baskets, in rupiah per purchase; 0 where there are none.

    margin_rate: 0–1, one for all or one per basket. An offer on whose scope nobody ever spent is then worth nothing.
    """
    margin = np.asarray(baskets, dtype=np.float64) * np.asarray(margin_rate, dtype=np.float64)
    return float(margin.mean()) if margin.size else 0.0


def economics(
    benefits: Sequence[Any],
    baskets: Sequence[ArrayLike],
    margin_rates: Sequence[ArrayLike],
    min_spends: Sequence[float],
) -> tuple[Floats, Floats]:
    """(margin [m], benefit [m]) per purchase in rupiah: one benefit, past baskets, margin rates, minimum per offer."""
    margin = [expected_margin(basket, rate) for basket, rate in zip(baskets, margin_rates, strict=True)]
    parts = zip(benefits, baskets, min_spends, strict=True)
    benefit = [expected_benefit(kind, basket, least) for kind, basket, least in parts]
    return np.array(margin, dtype=np.float64), np.array(benefit, dtype=np.float64)


def purchase_probability(p0: ArrayLike, uplift: ArrayLike, response: ArrayLike = 1.0) -> Floats:
    """p1: the chance of a purchase within the scope when the offer is sent. Shapes broadcast."""
    growth = np.maximum(0.0, 1.0 + np.asarray(uplift, dtype=np.float64) * np.asarray(response, dtype=np.float64))
    return np.minimum(1.0, np.asarray(p0, dtype=np.float64) * growth)


def pair_value(
    p0: ArrayLike, p1: ArrayLike, margin: ArrayLike, benefit: ArrayLike, retailer_share: ArrayLike
) -> Floats:
    """v: what sending an offer is expected to earn the retailer, in rupiah (may be negative). Shapes broadcast."""
    before, after = np.asarray(p0, dtype=np.float64), np.asarray(p1, dtype=np.float64)
    own = np.asarray(benefit, dtype=np.float64) * np.asarray(retailer_share, dtype=np.float64)
    return (after - before) * np.asarray(margin, dtype=np.float64) - after * own


def funder_costs(p1: ArrayLike, benefit: ArrayLike, shares: ArrayLike) -> NDArray[np.int64]:
    """w: what each funder is expected to pay, int64 rupiah rounded up. [d], [d], [d × funders] → [d × funders]."""
    per_purchase = np.asarray(benefit, dtype=np.float64)[..., None] * np.asarray(shares, dtype=np.float64)
    return np.ceil(np.asarray(p1, dtype=np.float64)[..., None] * per_purchase).astype(np.int64)


def written_value(value: ArrayLike) -> NDArray[np.int64]:
    """A value as it is written in a decision: the nearest whole rupiah."""
    return np.rint(np.asarray(value, dtype=np.float64)).astype(np.int64)


def cautious_limit(limit: float, confidence: float, *, spread: float, forecast_error: float = 0.0) -> float:
    """The expected use to plan with, so that a limit holds with a confidence when use is uncertain.

    The S that solves S + z·√(spread·S + forecast_error²·S²) = limit, z the normal quantile of `confidence` (0.5–1; at
    0.5 it is the limit itself). limit: rupiah of a budget, or redemptions of a quota; inf stays inf.
    spread: variance per unit expected, Σ d²·p·(1 − p) / Σ d·p over decisions, see spread_of. forecast_error: the
    campaign's, relative: what all decisions may be wrong by together. Raises ValueError for what is out of range.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence: expected at least 0.5 and less than 1, got {confidence}")
    if not (limit >= 0 and 0 <= spread < math.inf and 0 <= forecast_error < math.inf):
        raise ValueError(f"expected amounts of 0 or more, got {limit}, {spread}, {forecast_error}")
    z2 = NormalDist().inv_cdf(confidence) ** 2
    if limit == 0 or math.isinf(limit) or z2 == 0:
        return limit
    # The lower root of (1 − z²τ²)·s² − (2 + z²·spread / limit)·s + 1 = 0 with s = S / limit, so written that nothing
    # cancels.
    middle = 2 + z2 * spread / limit
    root = math.sqrt(max(0.0, middle**2 - 4 * (1 - z2 * forecast_error**2)))
    return limit * min(1.0, 2 / (middle + root))


def spread_of(p1: ArrayLike, paid: ArrayLike = 1.0) -> float:
    """Σ d²·p·(1 − p) / Σ d·p: the variance that comes with each rupiah (or redemption) expected; 0 for none.

    paid: rupiah per redemption of each decision; 1 for redemptions. Shapes broadcast.
    """
    chance, cost = np.broadcast_arrays(np.asarray(p1, dtype=np.float64), np.asarray(paid, dtype=np.float64))
    expected = float((cost * chance).sum())
    return float((cost**2 * chance * (1 - chance)).sum()) / expected if expected > 0 else 0.0
