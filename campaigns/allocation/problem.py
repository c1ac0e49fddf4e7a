"""The arrays that the allocation takes and gives. Rows are numbers, never ids; money is rupiah."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys.tables import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

REDEEMED, SENT = 0, 1  # kinds of quota: a message uses up p1 redemptions, or one
UNREACHABLE = 1e18  # an amount beyond this is no limit at all
LIGHTEST, HEAVIEST = 1e-9, 1e15  # what one redemption or message may count in a group limit
MOST_MONEY = 1e15  # rupiah; a margin or benefit beyond this is a mistake, and float64 would lose its last rupiah


@dataclass(frozen=True)
class Candidates:
    """Who may get what: a row per customer, its pairs at indptr[i]:indptr[i + 1].

    indptr: int64 [n + 1]. offer: uint16 or uint32 [pairs], each at most once per row, in any order.
    p0: float32 [pairs], the chance of a purchase in the offer's scope when nothing is sent.
    channel_ok: bool [n × channels], where the customer may be addressed. keys: uint64 [n], a stable hash of the
    customer's id: it breaks ties, so that decisions do not depend on the order of rows.
    pruned: pairs that were left out before, on which the bound says nothing; it is passed on to the certificate.
    groups: int32 [n × divisions], the groups that each customer is in (a province, a merchant's city), −1 for none; a
    number means one group, whatever the division. person: int64 [n], rising, where one person has several rows (one for
    each campaign of a night); None: each row is a person. message_cost: float64 [n × channels], rupiah that a message
    to the customer costs beyond Limits.message_cost; None for nothing.
    """

    indptr: Ints
    offer: NDArray[np.unsignedinteger]
    p0: NDArray[np.float32]
    channel_ok: Bools
    keys: NDArray[np.uint64]
    pruned: int = 0
    groups: NDArray[np.int32] | None = None
    person: Ints | None = None
    message_cost: Floats | None = None

    @property
    def customers(self) -> int:
        return len(self.indptr) - 1

    @property
    def pairs(self) -> int:
        return len(self.offer)

    def costs(self, customer: Ints, channel: Ints) -> Floats:
        """message_cost of some customers on some channels."""
        return np.zeros(len(customer)) if self.message_cost is None else self.message_cost[customer, channel]


@dataclass(frozen=True)
class Offers:
    """Offers with what they are worth per purchase (see campaigns.value); in the order of their ids unless keys say it.

    margin, benefit: float64 [m], rupiah. uplift: float64 [m], relative, ≥ −1. shares: float64 [m × funders], of the
    benefit; retailer_share: float64 [m]. group: int32 [m]; a message holds at most one offer of a group.
    priority: int32 [m]; of equally good offers the higher wins, then the earlier. quota: float64 [m], inf for none, 0:
    nobody gets the offer, as with any limit of 0 that counts it;
    quota_kind: uint8 [m], REDEEMED or SENT. fallback: the offer that is shown alone or not at all, within all limits;
    −1 for none; or one for each channel. keys: int64 [m], rising with the ids.
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
    fallback: int | Ints = -1
    keys: Ints | None = None

    def __len__(self) -> int:
        return len(self.margin)


@dataclass(frozen=True)
class Limits:
    """budgets: float64 [funders], rupiah, inf for none. Per channel: capacity in messages (inf for none), positions
    (offers that a message holds), message_cost in rupiah, response (multiplies the offers' uplift). messages: int64
    [people], the most that each may get; None for no more than one for each row."""

    budgets: Floats
    capacity: Floats
    positions: NDArray[np.int64]
    message_cost: Floats
    response: Floats
    messages: Ints | None = None


@dataclass(frozen=True)
class GroupLimit:
    """At most, or at least, so many redemptions or messages of some offers for a group of customers.

    offers: int64. amount: ≥ 0. kind: REDEEMED or SENT. group: as in Candidates.groups, −1 for everybody.
    weight: float64, beside offers, 1e-9–1e15: what one redemption or message counts (rupiah, points); None for 1 each.
    at_least: a guaranteed minimum.
    """

    offers: Ints
    amount: float
    kind: int = SENT
    group: int = -1
    weight: Floats | None = None
    at_least: bool = False


class MinimumsError(InputError):
    """Minimums that cannot all be met. share: of each of them can be met at once, at most."""

    def __init__(self, message: str, share: float) -> None:
        super().__init__(message)
        self.share = share


def no_amounts() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True)
class Prices:
    """Shadow prices, all ≥ 0: what one more would earn. quota: [m], rupiah per redemption or message; budget:
    [funders], rupiah per rupiah; channel: [channels], rupiah per message; further: [group limits], rupiah per unit, for
    a minimum what one less would earn."""

    quota: Floats
    budget: Floats
    channel: Floats
    further: Floats = field(default_factory=no_amounts)


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
    further: Floats = field(default_factory=no_amounts)  # [group limits]


def gap_of(bound: float, value: float) -> float:
    """(bound − value) / |bound|; where the bound is 0, all (1) is left on the table or nothing."""
    return (bound - value) / abs(bound) if bound else float(value < 0)


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
    warm: bool = False  # whether the prices to start from led here


def check(candidates: Candidates, offers: Offers, limits: Limits, further: Sequence[GroupLimit] = ()) -> None:
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
    _require(bool((limits.response <= MOST_MONEY).all()), "limits.response: a number is out of range")
    _require(channels >= 1, "limits.capacity: there is no channel")
    _require(bool((limits.positions >= 1).all()), "limits.positions: a message holds at least one offer")
    keys = offers.keys
    _require(keys is None or keys.shape == (m,), f"offers.keys: expected shape {(m,)}")
    _require(keys is None or len(np.unique(keys)) == m, "offers.keys: a key twice")
    fallback = np.atleast_1d(offers.fallback)
    _require(fallback.shape in ((1,), (channels,)), "offers.fallback: expected one, or one for each channel")
    _require(bool(((fallback >= -1) & (fallback < m)).all()), f"offers.fallback: there is no offer {offers.fallback}")
    _check_people(candidates, limits)
    for r, limit in enumerate(further):
        _check_group_limit(f"group limit {r}", limit, m)
    # Sums over all customers are kept in int64 and have to fit.
    most = max(
        1.0,
        n * float(limits.positions.max(initial=1)) * float((offers.benefit[:, None] * offers.shares).max(initial=0)),
    )
    _require(
        most < 2.0**61,
        f"offers.benefit: {offers.benefit.max(initial=0):.3g} rupiah for {n} customers is beyond counting",
    )


def check_prices(name: str, prices: Prices, offers: Offers, limits: Limits, further: Sequence[GroupLimit]) -> None:
    """Raises InputError for prices that are not those of these limits, or below 0; further ones may be left out."""
    sizes = {"quota": len(offers), "budget": len(limits.budgets), "channel": len(limits.capacity)}
    if len(prices.further):
        sizes["further"] = len(further)
    for kind, size in sizes.items():
        array = getattr(prices, kind)
        _require(array.shape == (size,), f"{name}.{kind}: expected {size} prices, got {array.shape}")
        _require(bool((np.isfinite(array) & (array >= 0)).all()), f"{name}.{kind}: expected finite prices of 0 or more")


def _check_people(candidates: Candidates, limits: Limits) -> None:
    n, person, groups = candidates.customers, candidates.person, candidates.groups
    _require(
        groups is None or (groups.ndim == 2 and len(groups) == n), "candidates.groups: expected a row per customer"
    )
    costs = candidates.message_cost
    if costs is not None:
        _require(costs.shape == candidates.channel_ok.shape, "candidates.message_cost: expected one for each channel")
        fine = np.isfinite(costs) & (costs >= 0) & (costs <= MOST_MONEY)
        _require(bool(fine.all()), "candidates.message_cost: expected finite numbers of 0 or more")
    people = n
    if person is not None:
        _require(person.shape == (n,) and bool((np.diff(person) >= 0).all()), "candidates.person: falls")
        people = int(person[-1]) + 1 if n else 0
    messages = limits.messages
    fits = messages is None or (len(messages) >= people and bool((messages >= 0).all()))
    _require(fits, "limits.messages: expected a number of 0 or more for each person")


def _check_group_limit(name: str, limit: GroupLimit, m: int) -> None:
    offers, weight = np.asarray(limit.offers), limit.weight
    _require(bool(((offers >= 0) & (offers < m)).all()), f"{name}: an offer that there is not")
    _require(len(np.unique(offers)) == len(offers), f"{name}: an offer twice")
    _require(limit.amount >= 0, f"{name}: expected an amount of 0 or more, got {limit.amount}")
    _require(not limit.at_least or limit.amount <= UNREACHABLE, f"{name}: expected a finite minimum")
    fits = weight is None or (
        weight.shape == offers.shape and bool(((weight >= LIGHTEST) & (weight <= HEAVIEST)).all())
    )
    _require(fits, f"{name}: expected a weight from {LIGHTEST:g} to {HEAVIEST:g} for each offer")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)
