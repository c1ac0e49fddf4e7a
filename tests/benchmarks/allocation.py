"""How near to the best, how fast, and what simpler rules lose: python tests/benchmarks/allocation.py [CUSTOMERS …]

A world like a big shop's: 500 offers, 50 candidates per customer, 10 funders, both channels scarce, about half of the
offers with a quota. Everything that is compared runs on the same problem in the same run, and the figures to look at
are ratios. Up to 5,000 customers HiGHS solves the same linear programme beside it.
"""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from campaigns.allocation import SENT, Candidates, Limits, Offers, Part, Solution, first_come, solve, solve_night
from campaigns.allocation.dual import evaluate, search
from campaigns.allocation.kernels import choose_block, walk
from campaigns.allocation.prepared import prepare
from campaigns.allocation.recovery import Counters, alone_best, decisions, no_prices, worth

OFFERS, PER_CUSTOMER, FUNDERS = 500, 50, 10
HIGHS_UP_TO = 5_000
NEXT_DAY_PASSES = 30


def a_shop(customers: int, offers: int = OFFERS, per: int = PER_CUSTOMER, funders: int = FUNDERS, seed: int = 1) -> Any:
    """(Candidates, Offers, Limits) in rupiah; limits grow with the customers."""
    rng = np.random.default_rng(seed)
    popular = rng.gamma(2.0, 1.0, offers)
    offer = np.empty((customers, per), dtype=np.uint16)
    p0 = np.empty((customers, per), dtype=np.float32)
    for low in range(
        0, customers, 100_000
    ):  # in blocks, so that making the problem needs no more memory than the problem
        n = min(100_000, customers - low)
        steps = rng.integers(1, offers // per + 1, (n, per))
        offer[low : low + n] = np.sort((rng.integers(0, offers, (n, 1)) + steps.cumsum(axis=1)) % offers, axis=1)
        chance = 0.01 * rng.gamma(1.0, 1.0, (n, 1)) * popular[offer[low : low + n]] * rng.gamma(1.0, 1.0, (n, per))
        p0[low : low + n] = np.minimum(0.6, chance)
    offer, p0 = offer.reshape(-1), p0.reshape(-1)
    margin = rng.lognormal(10.5, 0.5, offers)
    benefit, own = (
        margin * rng.uniform(0.2, 0.8, offers),
        np.where(rng.random(offers) < 0.5, 0.0, rng.uniform(0, 0.5, offers)),
    )
    shares = np.zeros((offers, funders))
    shares[:, 0] = own
    shares[np.arange(offers), rng.integers(1, funders, offers)] = 1 - own
    pairs = np.bincount(offer, minlength=offers)
    chances = np.bincount(offer, weights=p0, minlength=offers)
    kind = rng.integers(0, 2, offers).astype(np.uint8)
    quota = 0.3 * rng.uniform(0.1, 1.0, offers) * np.where(kind == SENT, pairs, 1.5 * chances)
    has_quota = rng.random(offers) < 0.47
    return (
        Candidates(
            np.arange(0, len(offer) + 1, per, dtype=np.int64),
            offer,
            p0,
            rng.random((customers, 2)) < [0.8, 0.5],
            rng.integers(0, 2**63, customers).astype(np.uint64),
        ),
        Offers(
            margin,
            benefit,
            rng.uniform(0.2, 1.2, offers),
            shares,
            own,
            np.arange(offers, dtype=np.int32),
            np.zeros(offers, np.int32),
            np.where(has_quota, np.ceil(quota), np.inf),
            kind,
        ),
        Limits(
            np.floor(0.3 * rng.uniform(0.2, 0.8, funders) * ((1.3 * chances * benefit) @ shares)),
            np.floor(np.array([0.45, 0.15]) * customers),
            np.array([3, 1]),
            np.array([50.0, 10.0]),
            np.array([1.0, 0.6]),
        ),
    )


def by_highs(candidates: Candidates, offers: Offers, limits: Limits) -> float:
    """The optimum of the same linear programme: one variable per customer, channel and offer, one per message."""
    problem = prepare(candidates, offers, limits)
    n, channels = candidates.customers, len(limits.capacity)
    customer = np.repeat(np.arange(n), np.diff(candidates.indptr))
    cells = [(e, c) for c in range(channels) for e in np.flatnonzero(candidates.channel_ok[customer, c])]
    pair, channel = np.array(cells).T
    j, p0 = candidates.offer[pair].astype(int), candidates.p0[pair].astype(float)
    p1 = np.minimum(1.0, p0 * problem.growth[j, channel])
    value = (p1 - p0) * offers.margin[j] - p1 * (offers.benefit[j] * offers.retailer_share[j])
    x, z = len(pair), n * channels  # columns: pairs, then messages
    message = x + customer[pair] * channels + channel
    rows, columns, entries, right = [], [], [], []

    def add(row: Any, column: Any, entry: Any, limit: Any) -> None:
        rows.append(np.asarray(row) + sum(len(part) for part in right))
        columns.append(column)
        entries.append(np.broadcast_to(entry, len(rows[-1])).astype(float))
        right.append(np.atleast_1d(limit).astype(float))

    each, messages = np.arange(x), x + np.arange(z)
    add(
        np.r_[each, each], np.r_[each, message], np.r_[np.ones(x), -np.ones(x)], np.zeros(x)
    )  # an offer needs its message
    k = limits.positions[np.arange(z) % channels]
    add(
        np.r_[message - x, np.arange(z)], np.r_[each, messages], np.r_[np.ones(x), -k], np.zeros(z)
    )  # and one of its places
    add(np.arange(z) // channels, messages, 1.0, np.ones(n))  # one channel
    add(np.arange(z) % channels, messages, 1.0, limits.capacity)
    add(
        j,
        each,
        np.where(offers.quota_kind[j] == SENT, 1.0, p1),
        np.where(np.isfinite(offers.quota), offers.quota, 1e12),
    )
    for f in range(len(limits.budgets)):
        add(np.zeros(x, int), each, np.ceil(p1 * (offers.benefit * offers.shares[:, f])[j]), limits.budgets[f])
    shape = (sum(len(part) for part in right), x + z)
    matrix = csr_matrix((np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    gain = np.concatenate([value, -limits.message_cost[np.arange(z) % channels]])
    found = linprog(-gain, matrix, np.concatenate(right), bounds=(0, 1), method="highs")
    assert found.success, found.message
    return -float(found.fun)


def by_value(candidates: Candidates, offers: Offers, limits: Limits) -> float:
    """Greedy by value: the customers with the best message first."""
    problem = prepare(candidates, offers, limits)
    counters, free = Counters(problem), no_prices(problem)
    best, _, _ = alone_best(problem, free)
    counters.run(walk, np.argsort(-best, kind="stable"), free)
    return worth(decisions(problem, counters.made), limits)


def by_plain_loop(problem: Any, vector: Any) -> None:
    """The same pass with no upper bounds: every pair on every channel, then the best of them."""
    terms, rules = problem.terms(problem.prices(vector)), problem.rules(problem.prices(vector))
    _, gain, fee = problem.upper(terms)
    everything = np.zeros(gain.shape[:2], np.float32), gain, fee
    n, most = problem.candidates.customers, int(problem.limits.positions.max())
    made = np.empty(n, np.int8), np.empty((n, most), np.int64)
    each = np.empty(n), np.empty(n)
    problem.each_block(
        lambda low, high: choose_block(
            low,
            high,
            problem.widest,
            problem.longest,
            problem.people,
            problem.row,
            terms,
            everything,
            rules,
            *each,
            *made,
        )
    )


def the_next_day(problem: Any, seed: int = 2) -> Any:
    """The same problem with 2% of its pairs changed."""
    candidates, offers, limits = problem
    rng = np.random.default_rng(seed)
    changed = np.flatnonzero(rng.random(candidates.pairs) < 0.02)
    p0 = candidates.p0.copy()
    p0[changed] = np.minimum(0.6, p0[changed] * rng.uniform(0.5, 1.5, len(changed)).astype(np.float32))
    return replace(candidates, p0=p0), offers, limits


def a_night(customers: int) -> tuple[list[Part], Any]:
    """Three campaigns for the same people, who may get one or two messages, paid for by the same two funders."""
    shops = [a_shop(customers, funders=2, seed=seed) for seed in (1, 2, 3)]
    budgets = np.sum([limits.budgets for _, _, limits in shops], axis=0)
    keys = shops[0][0].keys
    parts = [
        Part(replace(candidates, keys=keys), offers, replace(limits, budgets=budgets), np.arange(customers))
        for candidates, offers, limits in shops
    ]
    return parts, np.random.default_rng(4).integers(1, 3, customers)


def timed(work: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    found = work(*args, **options)
    return found, time.perf_counter() - start


def report(customers: int) -> None:
    problem, _ = timed(a_shop, customers)
    found, seconds = timed(solve, *problem, seed=1)
    certificate = found.certificate
    print(f"\n{customers:,} customers, {certificate.pairs:,} pairs")
    print(f"  gap {certificate.gap:.2e}, worst violation {certificate.worst_violation}")
    print(f"  {certificate.passes} passes and the decisions: {seconds:.2f} s")
    prepared = prepare(*problem)
    vector = np.concatenate([found.prices.quota, found.prices.budget, found.prices.channel])
    passes = [timed(evaluate, prepared, vector)[1] for _ in range(5)]
    print(f"  a pass: {min(passes):.4f} s, {certificate.pairs / min(passes) / 1e9:.2f} G pairs/s")
    slow = timed(by_plain_loop, prepared, vector)[1]
    print(f"  a plain compiled loop that works out every pair, on as many threads: {slow / min(passes):.1f} × as long")
    print(
        f"  memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB with the problem itself"
    )
    coming: Solution = first_come(*problem)
    print(f"  lost by first come, first served: {1 - coming.value / certificate.value:.1%}")
    print(f"  lost by greedy by value:          {1 - by_value(*problem) / certificate.value:.1%}")
    again, warm = timed(solve, *the_next_day(problem), seed=1, passes=NEXT_DAY_PASSES, warm=found.prices)
    print(f"  the next day: gap {again.certificate.gap:.2e} in {warm / seconds:.0%} of the time")
    night, longer = timed(solve_night, *a_night(customers), seed=1)
    print(
        f"  a night of three campaigns: gap {night.certificate.gap:.2e}, worst violation "
        f"{night.certificate.worst_violation}, {longer / seconds:.1f} × as long"
    )
    if customers <= HIGHS_UP_TO:
        optimum, highs = timed(by_highs, *problem)
        print(f"  bound / optimum of HiGHS − 1: {certificate.bound / optimum - 1:.1e}")
        print(f"  value / optimum of HiGHS: {certificate.value / optimum:.4f}")
        for passes_ in (50, 100, 150, 200, 300):
            bound, ours = timed(lambda p=passes_: search(prepared, p))
            if bound.bound / optimum - 1 <= 1e-4:
                print(f"  bound within 1e-4: {ours:.2f} s; HiGHS {highs:.1f} s; {highs / ours:.0f} times faster")
                break


if __name__ == "__main__":
    solve(*a_shop(200), seed=1)  # compiles
    for size in [int(argument) for argument in sys.argv[1:]] or [2_000, 100_000]:
        report(size)
