"""The arrays that the allocation takes and gives. Rows are numbers, never ids; money is rupiah."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.tables import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REDEEMED, SENT = 0, 1  # kinds of quota: a message uses up p1 redemptions, or one
MOST_MONEY = 1e15  # rupiah; a margin or benefit beyond this is a mistake, and float64 would lose its last rupiah


@dataclass(frozen=True)
class Candidates:
    """Who may get what: a row per customer, its pairs at indptr[i]:indptr[i + 1].

    indptr: int64 [n + 1]. offer: uint16 or uint32 [pairs], each at most once per row, in any order.
    p0: float32 [pairs], the chance of a purchase in the offer's scope when nothing is sent.
    channel_ok: bool [n × channels], where the customer may be addressed. keys: uint64 [n], a stable hash of the
    customer's id: it breaks ties, so that decisions do not depend on the order of rows.
    pruned: pairs that were left out before, on which the bound says nothing; it is passed on to the certificate.
    """

    indptr: Ints
    offer: NDArray[np.unsignedinteger]
    p0: NDArray[np.float32]
    channel_ok: Bools
    keys: NDArray[np.uint64]
    pruned: int = 0

    @property
    def customers(self) -> int:
        return len(self.indptr) - 1

    @property
    def pairs(self) -> int:
        return len(self.offer)


@dataclass(frozen=True)
class Offers:
    """Offers in the order of their ids, with what they are worth per purchase (see campaigns.value).

    margin, benefit: float64 [m], rupiah. uplift: float64 [m], relative, ≥ −1. shares: float64 [m × funders], of the
    benefit; retailer_share: float64 [m]. group: int32 [m]; a message holds at most one offer of a group.
    priority: int32 [m]; of equally good offers the higher wins, then the earlier. quota: float64 [m], inf for none;
    quota_kind: uint8 [m], REDEEMED or SENT. fallback: the offer that is shown alone or not at all, within all limits;
    −1 for none.
    """

    margin: Floats
    benefit: Floats
    uplift: Floats
    shares: Floats
    retailer_share: Floats
    group: NDArray[np.int32]
    priority: NDArray[np.int32]
    quota: Floats
    quota_kind: NDArray[np.uint8]
    fallback: int = -1

    def __len__(self) -> int:
        return len(self.margin)


@dataclass(frozen=True)
class Limits:
    """budgets: float64 [funders], rupiah, inf for none. Per channel: capacity in messages (inf for none), positions
    (offers that a message holds), message_cost in rupiah, response (multiplies the offers' uplift)."""

    budgets: Floats
    capacity: Floats
    positions: NDArray[np.int64]
    message_cost: Floats
    response: Floats


@dataclass(frozen=True)
class Prices:
    """Shadow prices, all ≥ 0: what one more would earn. quota: [m], rupiah per redemption or message; budget:
    [funders], rupiah per rupiah; channel: [channels], rupiah per message."""

    quota: Floats
    budget: Floats
    channel: Floats


@dataclass(frozen=True)
class Chosen:
    """Decisions sorted by customer row and position; a message is the rows of one customer.

    customer, channel, position (from 1), offer, pair (into Candidates.offer): int64 [d].
    p1, value (rupiah, without the message's cost): float64 [d]. costs: int64 [d × funders], rounded up.
    """

    customer: Ints
    channel: Ints
    position: Ints
    offer: Ints
    pair: Ints
    p1: Floats
    value: Floats
    costs: Ints

    def __len__(self) -> int:
        return len(self.customer)


@dataclass(frozen=True)
class Used:
    """What decisions use of each limit: quota [m] (redemptions or messages), budgets int64 [funders], capacity int64
    [channels]. Redemptions are counted upwards to a tiny fraction, so that they never exceed a quota."""

    quota: Floats
    budgets: Ints
    capacity: Ints


@dataclass(frozen=True)
class Certificate:
    """How far from the best the decisions are at most.

    bound: no decisions over these pairs within these limits are worth more (weak duality). value: what the decisions
    are worth. gap: (bound − value) / bound. worst_violation: the most by which a limit is exceeded, relative to it; 0.
    pairs: considered; pruned: left out before, about which the bound says nothing. passes: evaluations of the dual.
    """

    bound: float
    value: float
    gap: float
    worst_violation: float
    pairs: int
    pruned: int
    passes: int

    @property
    def left_on_the_table(self) -> float:
        """At most so many rupiah could be gained by better decisions."""
        return max(0.0, self.bound - self.value)


@dataclass(frozen=True)
class Solution:
    chosen: Chosen
    value: float  # rupiah, with the cost of messages taken off
    used: Used
    prices: Prices
    certificate: Certificate


def check(candidates: Candidates, offers: Offers, limits: Limits) -> None:
    """Raises InputError for arrays that do not fit together or hold what the allocation cannot take.

    Pairs (offer numbers, p0, repeated offers) are checked by prepare, which reads them anyway.
    """
    n, m = candidates.customers, len(offers)
    funders, channels = len(limits.budgets), len(limits.capacity)
    indptr = candidates.indptr
    _require(n >= 0 and indptr[0] == 0 and indptr[-1] == candidates.pairs, "candidates.indptr: does not span the pairs")
    _require(bool((np.diff(indptr) >= 0).all()), "candidates.indptr: falls")
    _require(candidates.offer.dtype in (np.uint16, np.uint32), "candidates.offer: expected uint16 or uint32")
    shapes = {
        "candidates.p0": (candidates.p0, (candidates.pairs,)),
        "candidates.channel_ok": (candidates.channel_ok, (n, channels)),
        "candidates.keys": (candidates.keys, (n,)),
        "offers.shares": (offers.shares, (m, funders)),
        **{
            f"offers.{name}": (getattr(offers, name), (m,))
            for name in ("benefit", "uplift", "retailer_share", "group", "priority", "quota", "quota_kind")
        },
        **{
            f"limits.{name}": (getattr(limits, name), (channels,)) for name in ("positions", "message_cost", "response")
        },
    }
    for name, (array, shape) in shapes.items():
        _require(array.shape == shape, f"{name}: expected shape {shape}, got {array.shape}")
    for name in ("margin", "benefit", "uplift", "shares", "retailer_share"):
        array = getattr(offers, name)
        _require(bool(np.isfinite(array).all()), f"offers.{name}: expected finite numbers")
        least = {"margin": -MOST_MONEY, "uplift": -1}.get(name, 0)
        _require(bool(((array >= least) & (array <= MOST_MONEY)).all()), f"offers.{name}: a number is out of range")
    for name, array in (
        ("offers.quota", offers.quota),
        ("limits.budgets", limits.budgets),
        ("limits.capacity", limits.capacity),
    ):
        _require(bool((array >= 0).all()), f"{name}: expected amounts of 0 or more")
    for name, array in (("limits.message_cost", limits.message_cost), ("limits.response", limits.response)):
        _require(bool((np.isfinite(array) & (array >= 0)).all()), f"{name}: expected finite numbers of 0 or more")
    _require(channels >= 1, "limits.capacity: there is no channel")
    _require(bool((limits.positions >= 1).all()), "limits.positions: a message holds at least one offer")
    _require(-1 <= offers.fallback < m, f"offers.fallback: there is no offer {offers.fallback}")
    # Sums over all customers are kept in int64 and have to fit.
    most = max(
        1.0,
        n * float(limits.positions.max(initial=1)) * float((offers.benefit[:, None] * offers.shares).max(initial=0)),
    )
    _require(
        most < 2.0**61,
        f"offers.benefit: {offers.benefit.max(initial=0):.3g} rupiah for {n} customers is beyond counting",
    )


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)
