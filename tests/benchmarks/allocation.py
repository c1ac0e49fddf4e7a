"""How near to the best, how fast, and what simpler rules lose: python tests/benchmarks/allocation.py [CUSTOMERS …]

Everything that is compared runs on the same problem in the same run, and the figures to look at are ratios. Without
sizes the whole table is printed; ten million customers need 8 GiB and about ten minutes.
"""

import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from allocation_worlds import PER_CUSTOMER, a_night, a_shop, the_next_day, the_ranking
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from campaigns.allocation import SENT, Candidates, Limits, Offers, first_come, solve, solve_night
from campaigns.allocation.dual import evaluate, search
from campaigns.allocation.kernels import choose_block, walk
from campaigns.allocation.prepared import prepare
from campaigns.allocation.recovery import Counters, alone_best, decisions, no_prices, worth

SIZES = 2_000, 100_000, 1_000_000, 10_000_000
HIGHS_UP_TO, ONE_SOLUTION_FROM = 5_000, 5_000_000
PASSES, FEW_PASSES, NEXT_DAY_PASSES = 100, 60, 12


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
    k = limits.positions[np.arange(z) % channels]
    quota = np.where(np.isfinite(offers.quota), offers.quota, 1e12)
    add(np.r_[each, each], np.r_[each, message], np.r_[np.ones(x), -np.ones(x)], np.zeros(x))  # an offer has a message
    add(np.r_[message - x, np.arange(z)], np.r_[each, messages], np.r_[np.ones(x), -k], np.zeros(z))  # with k places
    add(np.arange(z) // channels, messages, 1.0, np.ones(n))  # on one channel
    add(np.arange(z) % channels, messages, 1.0, limits.capacity)
    add(j, each, np.where(offers.quota_kind[j] == SENT, 1.0, p1), quota)
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
    filled = np.empty(n), np.empty(n), np.empty(n, np.int8), np.empty((n, most), np.int64)
    known = problem.people, problem.row, terms, everything, rules, *filled
    problem.each_block(lambda low, high: choose_block(low, high, *known, problem.scratch()))


def in_numpy(problem: Any, vector: Any) -> None:
    """The same pass as arrays: the reduced values of a thousand customers at a time, then the largest of each."""
    candidates, offers, limits = problem.candidates, problem.offers, problem.limits
    prices = problem.prices(vector)
    sent = offers.quota_kind == SENT
    per = candidates.pairs // candidates.customers
    paid = (offers.benefit[:, None] * offers.shares) @ prices.budget + offers.benefit * offers.retailer_share
    for low in range(0, candidates.customers, 1_000):
        pairs = slice(low * per, min(low + 1_000, candidates.customers) * per)
        j, p0 = candidates.offer[pairs].reshape(-1, per), candidates.p0[pairs].reshape(-1, per).astype(np.float64)
        for c, k in enumerate(limits.positions):
            p1 = np.minimum(1.0, p0 * problem.growth[j, c])
            worth = (p1 - p0) * offers.margin[j] - p1 * paid[j] - np.where(sent[j], 1.0, p1) * prices.quota[j]
            np.partition(worth, per - k, axis=1)[:, per - k :].clip(0).sum(axis=1)


def timed(work: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    found = work(*args, **options)
    return found, time.perf_counter() - start


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * 4096


def watched(work: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, float, int]:
    """(what it returns, seconds, bytes held at most while it ran)"""
    most, done = [resident()], threading.Event()

    def look() -> None:
        while not done.wait(0.02):
            most.append(max(most.pop(), resident()))

    watcher = threading.Thread(target=look)
    watcher.start()
    found, seconds = timed(work, *args, **options)
    done.set()
    watcher.join()
    return found, seconds, most[0]


def line(what: str, measured: str, target: str = "") -> None:
    print(f"  {what:<58} {measured:>22}   {target}", flush=True)


def report(customers: int) -> float:
    """Prints a size's part of the table; returns the seconds of FEW_PASSES passes and the decisions."""
    print(f"\n{customers:,} customers, {customers * PER_CUSTOMER:,} pairs", flush=True)
    problem = a_shop(customers)
    candidates = problem[0]
    own = sum(array.nbytes for array in vars(candidates).values() if isinstance(array, np.ndarray))
    before, large = resident(), customers >= ONE_SOLUTION_FROM
    passes = None if customers < 40_000 else FEW_PASSES if large else PASSES
    found, seconds, most = watched(solve, *problem, seed=1, passes=passes)
    certificate = found.certificate
    target = {1_000_000: "≤ 1e-4 in ≤ 100 passes", 10_000_000: "≤ 1e-3 in ≤ 60 passes"}.get(customers, "")
    line("gap, in so many passes", f"{certificate.gap:.1e} in {certificate.passes}", target)
    line("worst violation", f"{certificate.worst_violation:g}", "0")
    line("seconds, with the decisions", f"{seconds:.1f}")
    line("memory, in sizes of the candidates", f"{(most - before + own) / own:.2f}", "≤ 2" if customers == 1e6 else "")
    line("memory in all", f"{most / 2**30:.2f} GiB", "≤ 8 GiB" if large else "")
    prepared = prepare(*problem)
    vector = prepared.vector(found.prices)
    once = min(timed(evaluate, prepared, vector)[1] for _ in range(3 if large else 8))
    line("a pass, G pairs/s", f"{certificate.pairs / once / 1e9:.2f}", "≥ 0.4" if customers == 1e6 else "")
    line("a plain compiled loop takes, times a pass", f"{timed(by_plain_loop, prepared, vector)[1] / once:.1f}")
    if not large:
        line("the same in numpy takes, times a pass", f"{timed(in_numpy, prepared, vector)[1] / once:.0f}")
    losses = {
        "first come, first served": first_come(*problem).value,
        "greedy by value": by_value(*problem),
        "each customer's likeliest offers, with counters": first_come(*the_ranking(problem)).value,
    }
    for rule, value in losses.items():
        line(f"{rule} loses", f"{1 - value / certificate.value:.1%}")
    few = seconds if passes == FEW_PASSES else timed(solve, *problem, seed=1, passes=FEW_PASSES)[1]
    if large:
        return few
    again, warm = timed(solve, *the_next_day(problem), seed=1, passes=NEXT_DAY_PASSES, warm=found.prices)
    line("the next day: gap", f"{again.certificate.gap:.1e}", "≤ 1e-4" if customers == 1e6 else "")
    line("the next day: share of the time", f"{warm / seconds:.0%}", "≤ 25%" if customers == 1e6 else "")
    if customers <= HIGHS_UP_TO:
        against_highs(problem, prepared, certificate)
    del problem, candidates, prepared, again
    night, longer = timed(solve_night, *a_night(customers), seed=1)
    line("a night of three campaigns: gap", f"{night.certificate.gap:.1e}", "≤ 3e-4" if customers == 1e6 else "")
    line("a night of three campaigns: worst violation", f"{night.certificate.worst_violation:g}", "0")
    line("a night of three campaigns: times one", f"{longer / seconds:.1f}", "≤ 4" if customers == 1e6 else "")
    return few


def against_highs(problem: Any, prepared: Any, certificate: Any) -> None:
    optimum, highs = timed(by_highs, *problem)
    line("bound / optimum of HiGHS − 1", f"{certificate.bound / optimum - 1:.1e}", "≤ 1e-6")
    line("value / optimum of HiGHS", f"{certificate.value / optimum:.2%}", "≥ 99%")
    for passes in (50, 100, 150, 200, 300):
        bound, ours = timed(search, prepared, passes)
        if bound.bound / optimum - 1 <= 1e-4:
            line("bound within 1e-4, times faster than HiGHS", f"{highs / ours:.0f}", "≥ 10")
            return
    line("bound within 1e-4, times faster than HiGHS", "not reached", "≥ 10")


if __name__ == "__main__":
    solve(*a_shop(200), seed=1)  # compiles
    solve(*a_shop(1_000), seed=1, passes=5)
    sizes = [int(argument) for argument in sys.argv[1:]] or SIZES
    seconds = {size: report(size) for size in sizes}
    growing = [size for size in sizes if size >= 100_000]
    if len(growing) > 1:
        low, high = min(growing), max(growing)
        exponent = math.log(seconds[high] / seconds[low]) / math.log(high / low)
        print(f"\nseconds grow from {low:,} to {high:,} customers with exponent {exponent:.2f}   (≤ 1.05)")
