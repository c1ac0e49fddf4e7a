"""Decisions that obey every limit, from prices.

Each customer in turn gets the best message, at the prices, that what is left allows: counters in whole numbers go down
and nothing is given that they do not hold. Those who would lose most by their second best come first, so that it is the
indifferent who miss the last vouchers. Then what is left is given away at its own value.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import kernels
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import SENT, Candidates, Chosen, Floats, Ints, Limits, MinimumsError, Prices, Used
from campaigns.allocation.programme import Programme, largest_share
from campaigns.allocation.small import MOST_NODES, NODES, Exact, best_decisions, narrowed

UNLIMITED = np.int64(2**61)  # what is left of a limit that there is not
SMALL = 2_000_000  # pairs; up to here there is time to try several orders, and each customer again
SHUFFLES = 3
ROUNDS, FEW_ROUNDS = 20, 3
STRENGTHS = 4.0, 64.0, 1024.0  # what is paid for minimums, in typical prices
LADDER, SHORT_LADDER = (1 - 1e-9, 0.999, 0.99, 0.97, 0.9, 0.75, 0.5, 0.0), (0.99, 0.9, 0.0)
NEARLY = 1e-9
SLICES, FEW = 20, 1e-3  # of those who wait, of whom hardly anybody is served
AT_ONCE = 100_000  # decisions as Python's numbers
LEAST_STRENGTH, MOST_STRENGTH = 0.01, 1e5


Made = tuple[NDArray[np.int8], Ints]
Blend = tuple[tuple[Floats, float], ...]


class Counters:
    """What is left of every limit, and the decisions taken so far. The kernels change these arrays in place."""

    def __init__(self, problem: Prepared) -> None:
        m, funders = len(problem.offers), len(problem.limits.budgets)
        channels, unit = len(problem.limits.capacity), problem.redemption_unit
        quota, budget, capacity, further = np.split(problem.limit, [m, m + funders, m + funders + channels])
        minimum = problem.further.sign < 0  # what is lacking counts down to 0 from below
        lacking = np.minimum(np.ceil(np.where(minimum, further, 0.0) * unit), float(UNLIMITED)).astype(np.int64)
        self.problem = problem
        self.left = (
            _whole(quota, unit),
            _whole(budget) if funders else np.full(1, UNLIMITED),
            _whole(capacity),
            np.where(minimum, -lacking, _whole(further, unit)),
            problem.people[1].copy(),
        )
        self.made = nothing_made(problem)

    def lacking(self) -> Floats:
        """The part of each minimum that is not met, 0–1; 0 for what limits from above."""
        amount = np.maximum(self.problem.limit[len(self.problem.limit) - len(self.left[3]) :], 1e-300)
        short = np.where(self.problem.further.sign < 0, np.maximum(-self.left[3], 0), 0)
        return np.minimum(1.0, short / self.problem.redemption_unit / amount)

    def take(self, made: Made) -> None:
        """Takes what these decisions use from what is left of the limits, even where that is less."""
        self.made = made
        problem = self.problem
        kernels.take_all(problem.row, problem.terms(no_prices(problem)), problem.counting, self.left, made)

    def broken(self) -> bool:
        """Whether more is used of a limit than there was."""
        *above, further, patience = self.left
        most = further[self.problem.further.sign > 0]
        return any(bool((left < 0).any()) for left in (*above, most, patience))

    def hopeful(self, order: Ints, prices: Prices) -> Ints:
        """Those of an order whom walk might give something at the prices. It goes by rows and on all threads, where a
        walk goes from one place to another on one, so it is worth its while where most get nothing."""
        problem, found = self.problem, np.empty(self.problem.candidates.customers, np.bool_)
        first, known = problem.people[0], (problem.row, *problem.at(prices), problem.counting)

        def look(low: int, high: int) -> None:
            kernels.could_get(first[low], first[high], *known, self.left, self.made, found, problem.scratch())

        problem.each_block(look)
        return order[found[order]]

    def run(self, kernel: Callable[..., int], order: Ints, prices: Prices, *more: Ints) -> int:
        problem = self.problem
        known = problem.row, *problem.at(prices), problem.counting
        return kernel(order, *known, self.left, self.made, problem.scratch(), *more)


def nothing_made(problem: Prepared) -> Made:
    """No decisions yet: a channel per customer (−1: no message) and its pairs (−1: a free position)."""
    n, most = problem.candidates.customers, int(problem.limits.positions.max(initial=1))
    return np.full(n, -1, dtype=np.int8), np.full((n, most), -1, dtype=np.int64)


def _whole(limit: Floats, unit: float = 1.0) -> Ints:
    return np.floor(np.minimum(limit, float(UNLIMITED) / unit) * unit).astype(np.int64)


def recover(
    problem: Prepared, prices: Prices, seed: int, exact: Exact | None = None, bound: float = math.inf, blend: Blend = ()
) -> tuple[Chosen, float]:
    """Decisions near the best at these prices, within all limits, and their worth; where there is time, the best of
    several orders.

    exact: the problem written out, where it is small: whole decisions are then searched for, unless the bound is
    reached without. blend: see dual.Bound. Raises MinimumsError where nothing meets the minimums.
    """
    chosen: Chosen | None = None
    reached = -math.inf
    for counters in _tries(problem, prices, seed, blend):
        if not counters.lacking().any():
            found = decisions(problem, counters.made)
            amount = worth(found, problem.limits, problem.candidates)
            if chosen is None or amount > reached:
                chosen, reached = found, amount
    if exact is not None and reached < bound - NEARLY * abs(bound):
        programme = narrowed(problem, exact, np.zeros(0, np.int64) if chosen is None else chosen.pair)
        searched, proven = _searched(problem, programme, MOST_NODES if chosen is None else NODES)
        gained = -math.inf if searched is None else worth(searched, problem.limits, problem.candidates)
        if searched is not None and (chosen is None or gained > reached + NEARLY * abs(reached)):
            chosen, reached = searched, gained
        if chosen is None and proven and programme is exact.programme:
            raise _refused(exact.programme)
    if chosen is None:
        raise _unmet(problem, min(_tries(problem, prices, seed), key=lambda tried: float(tried.lacking().max())))
    return chosen, reached


def _tries(problem: Prepared, prices: Prices, seed: int, blend: Blend = ()) -> Iterator[Counters]:
    """Decisions by one order after the other, by several where the problem is small."""
    best, regret = alone_best(problem, prices)[:2]
    keys, small = problem.candidates.keys, problem.candidates.pairs <= SMALL
    orders = [in_order(-regret, keys, seed)]
    if small:
        orders += [in_order(-best, keys, seed), *(in_order(0 * best, keys, seed + k) for k in range(SHUFFLES))]
    for order in orders:
        yield _served(problem, order, best, prices, seed)
    if problem.asked:
        for strength in STRENGTHS:
            yield _obliged(problem, prices, seed, strength)
    if blend:
        yield _blended(problem, in_order(0 * best, keys, seed), best, prices, seed, blend)


def _searched(problem: Prepared, programme: Programme | None, nodes: int) -> tuple[Chosen | None, bool]:
    """The best whole decisions, if any are found; and whether it is proven that there are none better."""
    if programme is None:
        return None, False
    for tighter in (False, True):
        made, proven = best_decisions(problem, programme, nodes, tighter=tighter)
        if made is None:
            return None, proven and not tighter
        counters = Counters(problem)
        counters.take(made)
        if not counters.broken() and not counters.lacking().any():
            return decisions(problem, made), proven
    return None, False


def _refused(programme: Programme) -> MinimumsError:
    share = largest_share(programme, MOST_NODES)
    return MinimumsError(
        f"minimums: at most {share:.1%} of each can be met at once by whole messages; lower them", share
    )


def _served(problem: Prepared, order: Ints, best: Floats, prices: Prices, seed: int) -> Counters:
    counters = Counters(problem)
    counters.run(kernels.walk, order[best[order] > 0], prices)
    return _filled(counters, order, best, prices, seed)


def _blended(problem: Prepared, order: Ints, best: Floats, prices: Prices, seed: int, blend: Blend) -> Counters:
    """A share of the customers, drawn by their keys, is served at each of the prices."""
    counters = Counters(problem)
    drawn = mixed(problem.candidates.keys, seed) / 2.0**64
    ends = np.cumsum([share for _, share in blend])
    group = np.minimum(np.searchsorted(ends / ends[-1], drawn, side="right"), len(blend) - 1)
    for t, (vector, _) in enumerate(blend):
        counters.run(kernels.walk, order[group[order] == t], problem.prices(vector))
    return _filled(counters, order, best, prices, seed)


def _filled(counters: Counters, order: Ints, best: Floats, prices: Prices, seed: int) -> Counters:
    """Minimums first, then what is left goes to those who nearly were worth it, then messages are exchanged."""
    problem, free = counters.problem, no_prices(counters.problem)
    small = problem.candidates.pairs <= SMALL
    _meet(counters, prices, best, seed)
    for share in LADDER if small else SHORT_LADDER:  # those who nearly were worth it at the prices go first
        nearer = lowered(prices, share)
        waiting = counters.hopeful(order, nearer)
        size = max(1, len(order) if small else len(order) // SLICES)
        for low in range(0, len(waiting), size):
            if counters.run(kernels.walk, waiting[low : low + size], nearer) < FEW * size:
                break  # what is left over fits hardly anybody, and those who come later even less
    again = order if small or problem.asked else order[(best[order] > 0) & (counters.made[0][order] < 0)]
    for _ in range(ROUNDS if small else FEW_ROUNDS):
        if not counters.run(kernels.exchange, again, free, np.zeros(0, np.int64)):
            break
    return counters


def _obliged(problem: Prepared, prices: Prices, seed: int, strength: float) -> Counters:
    """The minimums first: at prices that make whatever serves them worth most, those who serve them best go first."""
    boosted = _stronger(problem, prices, strength)
    best = alone_best(problem, boosted)[0]
    order = in_order(-best, problem.candidates.keys, seed)
    return _served(problem, order, best, boosted, seed)


def _meet(counters: Counters, prices: Prices, best: Floats, seed: int) -> None:
    """Pays more for what a minimum still lacks, until all are met or nothing helps. Those who lose least go first.

    best: what the customers' messages are worth at the prices.
    """
    strength, problem = LEAST_STRENGTH, counters.problem
    while counters.lacking().any() and strength < MOST_STRENGTH:
        wanted = np.flatnonzero(counters.lacking())
        paid = _stronger(problem, prices, strength, counters.lacking() > 0)
        gained = alone_best(problem, paid)[0] - best
        counters.run(kernels.exchange, in_order(-gained, problem.candidates.keys, seed), paid, wanted)
        strength *= 4


def _stronger(problem: Prepared, prices: Prices, strength: float, rows: NDArray[np.bool_] | None = None) -> Prices:
    """The prices, with those of minimums (of `rows`) raised."""
    at = len(problem.limit) - len(problem.further.sign)
    raised = prices.further + strength * problem.scale[at:]
    minimum = problem.further.sign < 0
    return replace(prices, further=np.where(minimum if rows is None else minimum & rows, raised, prices.further))


def lowered(prices: Prices, share: float) -> Prices:
    return Prices(share * prices.quota, share * prices.budget, share * prices.channel, share * prices.further)


def _unmet(problem: Prepared, counters: Counters) -> MinimumsError:
    share = float(1 - counters.lacking().max())
    rows = ", ".join(str(r) for r in np.flatnonzero(counters.lacking()))
    return MinimumsError(
        f"minimums: no decisions were found that meet group limits {rows} within all others; the best found give "
        f"{share:.1%} of each; lower them or raise what limits them",
        share,
    )


def alone_best(problem: Prepared, prices: Prices) -> tuple[Floats, Floats, Made]:
    """Per customer, as if alone: what the best message at the prices is worth, its regret, and the message."""
    best, regret = np.empty(problem.candidates.customers), np.empty(problem.candidates.customers)
    made = nothing_made(problem)
    known = problem.people, problem.row, *problem.at(prices), best, regret, *made
    problem.each_block(lambda low, high: kernels.choose_block(low, high, *known, problem.scratch()))
    return best, regret, made


def decisions(problem: Prepared, made: Made) -> Chosen:
    """What was made as a table of decisions.

    Positions go by what an offer is worth, then by priority, then by offer.
    """
    offers, (channel, chosen) = problem.offers, made
    before = np.concatenate([[0], ((chosen >= 0) & (channel[:, None] >= 0)).sum(axis=1).cumsum()])
    size, first = int(before[-1]), problem.people[0]
    money = offers.margin, offers.benefit * offers.retailer_share, offers.benefit[:, None] * offers.shares
    amounts = tuple(np.ascontiguousarray(amount, np.float64) for amount in money)
    table, p1, value = np.empty((5, size), np.int64), np.empty(size), np.empty(size)
    costs = np.empty((size, offers.shares.shape[1]), np.int64)
    known, into = (problem.row, problem.growth, amounts, problem.rank, made), (table, p1, value, costs)
    problem.each_block(lambda low, high: kernels.list_made(first[low], first[high], before[first[low]], *known, *into))
    customer, on, position, offer, pair = table
    return Chosen(customer, on, position, offer, pair, p1, value, costs)


def used(problem: Prepared, chosen: Chosen) -> Used:
    """What decisions use of each limit, counted from the decisions."""
    sent = problem.offers.quota_kind[chosen.offer] == SENT
    redeemed = np.ceil(chosen.p1 * problem.redemption_unit).astype(np.int64)
    quota = np.zeros(len(problem.offers), dtype=np.int64)
    np.add.at(quota, chosen.offer, np.where(sent, np.int64(problem.redemption_unit), redeemed))
    messages = np.bincount(chosen.channel[chosen.position == 1], minlength=len(problem.limits.capacity))
    grouped = _used_of_groups(problem, chosen)
    return Used(quota / problem.redemption_unit, chosen.costs.sum(axis=0), messages.astype(np.int64), grouped)


def _used_of_groups(problem: Prepared, chosen: Chosen) -> Floats:
    """What decisions use of each group limit: rounded up where it limits from above, down for a minimum."""
    further, unit = problem.further, problem.redemption_unit
    if len(further.unit) == 0:
        return np.zeros(0)
    segment = problem.segment[chosen.customer]
    first, end = further.start[segment, chosen.offer], further.start[segment, chosen.offer + 1]
    decision = np.repeat(np.arange(len(chosen)), end - first)
    entry = np.arange(len(decision)) + np.repeat(first - np.cumsum(end - first) + (end - first), end - first)
    limit = further.limit[entry]
    amount = np.where(further.sent[limit], 1.0, chosen.p1[decision]) * further.weight[entry] * unit
    total = np.zeros(len(further.unit), dtype=np.int64)
    np.add.at(total, limit, np.where(further.sign[limit] < 0, np.floor(amount), np.ceil(amount)).astype(np.int64))
    return total / unit * further.unit


def worth(chosen: Chosen, limits: Limits, candidates: Candidates | None = None) -> float:
    """Decisions in rupiah, with the cost of their messages taken off; candidates: whose own costs count too."""
    first = chosen.position == 1
    messages = np.bincount(chosen.channel[first], minlength=len(limits.capacity))
    own: list[float] = []
    if candidates is not None and candidates.message_cost is not None:
        own = candidates.message_cost[chosen.customer[first], chosen.channel[first]].tolist()
    value = chain.from_iterable(chosen.value[low : low + AT_ONCE].tolist() for low in range(0, len(chosen), AT_ONCE))
    return math.fsum(chain(value, (-limits.message_cost * messages).tolist(), (-cost for cost in own)))


def no_prices(problem: Prepared) -> Prices:
    offers, limits = problem.offers, problem.limits
    sizes = len(offers), len(limits.budgets), len(limits.capacity), len(problem.further.sign)
    quota, budget, channel, further = (np.zeros(size) for size in sizes)
    return Prices(quota, budget, channel, further)


def in_order(first: Floats, keys: NDArray[np.uint64], seed: int) -> Ints:
    """Rows by `first`, then by a hash of the customer's key and the seed: no order of rows can favour anyone."""
    return np.lexsort((mixed(keys, seed), first)).astype(np.int64)


def mixed(keys: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A hash of key and seed (the finaliser of splitmix64)."""
    golden = 0x9E3779B97F4A7C15
    x = keys.astype(np.uint64) ^ np.uint64((seed * golden + golden) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
