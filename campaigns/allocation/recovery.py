"""Decisions that obey every limit, from prices.

Each customer in turn gets the best message, at the prices, that what is left allows: counters in whole numbers go down
and nothing is given that they do not hold. Those who would lose most by their second best come first, so that it is the
indifferent who miss the last vouchers. Then what is left is given away at its own value.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import kernels
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import SENT, Chosen, Floats, Ints, Limits, Prices, Used
from campaigns.value import funder_costs, pair_value, purchase_probability

UNLIMITED = np.int64(2**61)  # what is left of a limit that there is not
SMALL = 2_000_000  # pairs; up to here there is time to try several orders, and each customer again
SHUFFLES = 3
ROUNDS = 20


Made = tuple[NDArray[np.int8], Ints]


class Counters:
    """What is left of every limit, and the decisions taken so far. The kernels change these arrays in place."""

    def __init__(self, problem: Prepared) -> None:
        m, funders = len(problem.offers), len(problem.limits.budgets)
        quota, budget, capacity = np.split(problem.limit, [m, m + funders])
        self.problem = problem
        self.left = (
            _whole(quota, problem.redemption_unit),
            _whole(budget) if funders else np.full(1, UNLIMITED),
            _whole(capacity),
        )
        self.made = nothing_made(problem)

    def run(self, kernel: Callable[..., int], order: Ints, prices: Prices) -> int:
        problem = self.problem
        terms, rules = problem.terms(prices), problem.rules(prices)
        return kernel(
            order,
            problem.longest,
            problem.row,
            terms,
            problem.upper(terms),
            rules,
            problem.counting,
            self.left,
            self.made,
        )


def nothing_made(problem: Prepared) -> Made:
    """No decisions yet: a channel per customer (−1: no message) and its pairs (−1: a free position)."""
    n, most = problem.candidates.customers, int(problem.limits.positions.max(initial=1))
    return np.full(n, -1, dtype=np.int8), np.full((n, most), -1, dtype=np.int64)


def _whole(limit: Floats, unit: float = 1.0) -> Ints:
    return np.floor(np.minimum(limit, float(UNLIMITED) / unit) * unit).astype(np.int64)


def recover(problem: Prepared, prices: Prices, seed: int) -> Chosen:
    """Decisions near the best at these prices, within all limits; where there is time, the best of several orders."""
    best, regret, _ = alone_best(problem, prices)
    keys, small = problem.candidates.keys, problem.candidates.pairs <= SMALL
    orders = [in_order(-regret, keys, seed)]
    if small:
        orders += [in_order(-best, keys, seed), *(in_order(0 * best, keys, seed + k) for k in range(SHUFFLES))]
    tries = [_served(problem, order, best, prices, exchanged=small) for order in orders]
    return max(tries, key=lambda chosen: worth(chosen, problem.limits))


def _served(problem: Prepared, order: Ints, best: Floats, prices: Prices, *, exchanged: bool) -> Chosen:
    counters, free = Counters(problem), no_prices(problem)
    counters.run(kernels.walk, order[best[order] > 0], prices)
    counters.run(kernels.walk, order, free)
    for _ in range(ROUNDS if exchanged else 0):
        if not counters.run(kernels.exchange, order, free):
            break
    return decisions(problem, counters.made)


def alone_best(problem: Prepared, prices: Prices) -> tuple[Floats, Floats, Made]:
    """Per customer, as if alone: what the best message at the prices is worth, its regret, and the message."""
    best, regret = np.empty(problem.candidates.customers), np.empty(problem.candidates.customers)
    made = nothing_made(problem)
    terms, rules = problem.terms(prices), problem.rules(prices)
    upper = problem.upper(terms)
    problem.each_block(
        lambda low, high: kernels.choose_block(
            low, high, problem.longest, problem.row, terms, upper, rules, best, regret, *made
        )
    )
    return best, regret, made


def decisions(problem: Prepared, made: Made) -> Chosen:
    """What was made as a table of decisions.

    Positions go by what an offer is worth, then by priority, then by offer.
    """
    candidates, offers = problem.candidates, problem.offers
    channel, chosen = made
    row, at = np.nonzero((chosen >= 0) & (channel[:, None] >= 0))
    pair = chosen[row, at]
    offer, on = candidates.offer[pair].astype(np.int64), channel[row].astype(np.int64)
    p0 = candidates.p0[pair].astype(np.float64)
    p1 = purchase_probability(p0, offers.uplift[offer], problem.limits.response[on])
    value = pair_value(p0, p1, offers.margin[offer], offers.benefit[offer], offers.retailer_share[offer])
    order = np.lexsort((problem.rank[offer], -value, row))
    row, on, offer, pair = row[order], on[order], offer[order], pair[order]
    p1, value = p1[order], value[order]
    first = np.searchsorted(row, row)
    costs = funder_costs(p1, offers.benefit[offer], offers.shares[offer])
    return Chosen(row, on, np.arange(len(row)) - first + 1, offer, pair, p1, value, costs)


def used(problem: Prepared, chosen: Chosen) -> Used:
    """What decisions use of each limit, counted from the decisions."""
    sent = problem.offers.quota_kind[chosen.offer] == SENT
    redeemed = np.ceil(chosen.p1 * problem.redemption_unit).astype(np.int64)
    quota = np.zeros(len(problem.offers), dtype=np.int64)
    np.add.at(quota, chosen.offer, np.where(sent, np.int64(problem.redemption_unit), redeemed))
    messages = np.bincount(chosen.channel[chosen.position == 1], minlength=len(problem.limits.capacity))
    return Used(quota / problem.redemption_unit, chosen.costs.sum(axis=0), messages.astype(np.int64))


def worth(chosen: Chosen, limits: Limits) -> float:
    """Decisions in rupiah, with the cost of their messages taken off."""
    messages = np.bincount(chosen.channel[chosen.position == 1], minlength=len(limits.capacity))
    return math.fsum([*chosen.value.tolist(), *(-limits.message_cost * messages).tolist()])


def no_prices(problem: Prepared) -> Prices:
    offers, limits = problem.offers, problem.limits
    return Prices(np.zeros(len(offers)), np.zeros(len(limits.budgets)), np.zeros(len(limits.capacity)))


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
