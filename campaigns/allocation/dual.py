"""The bound: shadow prices for the limits, and what they say the best decisions can be worth at most.

For any prices ≥ 0, what the limits are worth at these prices plus what each customer's best message earns beyond them
is an upper bound of what any decisions within the limits can earn. The lowest such bound is looked for by projected
Adam on its subgradient, limit − use, in units in which each limit is 1 and each price is of the size of a first guess.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from campaigns.allocation import kernels
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import SENT, Floats, Ints

STEPS = (0.3, 0.1, 0.03)  # the first of each round, in units of a price's typical size
LAST_STEP = 1e-5
MEMORY, LONG_MEMORY = 0.8, 0.9  # of Adam; short ones, since the steps shrink fast
STEEPEST = 3.0  # a limit exceeded fourfold pulls no harder than that
ROUNDING = 2.0**-48  # a bound on the relative error of a pair's reduced value, with room to spare


@dataclass(frozen=True)
class Evaluation:
    """The dual at some prices: its bound, and what each limit would be used if all customers got their best message."""

    bound: float
    use: Floats  # [limits]


def evaluate(problem: Prepared, vector: Floats) -> Evaluation:
    """One pass over all pairs, at prices ≥ 0 of [quotas, budgets, channels, group limits]."""
    prices = problem.prices(vector)
    further, (terms, upper, rules) = problem.further, problem.at(prices)
    m, funders, channels = len(prices.quota), len(prices.budget), len(prices.channel)

    def block(low: int, high: int) -> tuple[int, tuple[Ints, ...]]:
        sizes = (further.segments, m), (further.segments, m), max(1, funders), channels
        uses = tuple(np.zeros(size, dtype=np.int64) for size in sizes)
        earned = kernels.dual_block(
            low,
            high,
            problem.people,
            problem.row,
            terms,
            upper,
            rules,
            problem.redemption_unit,
            problem.value_unit,
            (problem.funder, uses),
            problem.scratch(),
        )
        return int(earned), uses

    parts = problem.each_block(block)
    earned = sum(part[0] for part in parts) * problem.value_unit
    redeemed, sent, budgets, capacity = (np.sum([part[1][k] for part in parts], axis=0) for k in range(4))
    redeemed = redeemed / problem.redemption_unit
    quota = np.where(problem.offers.quota_kind == SENT, sent.sum(axis=0), redeemed.sum(axis=0))
    each = further.weight * np.where(
        further.sent[further.limit], sent.flat[further.place], redeemed.flat[further.place]
    )
    grouped = np.bincount(further.limit, each, minlength=len(prices.further))
    use = np.concatenate([quota, budgets[:funders], capacity, grouped]).astype(np.float64)
    counted = np.isfinite(problem.limit) & (vector > 0)
    worth = math.fsum((problem.sign * vector)[counted] * problem.limit[counted])
    toll = problem.limits.message_cost + problem.extra.max(axis=0, initial=0.0)
    moved = float((vector * use).sum() + (toll * capacity).sum())
    moved += math.fsum(vector[counted] * problem.limit[counted])
    return Evaluation(earned + worth + ROUNDING * (earned + moved), use)


@dataclass(frozen=True)
class Bound:
    bound: float
    vector: Floats  # the prices that give it
    passes: int
    blend: tuple[tuple[Floats, float], ...] = ()  # (prices, share of the customers) that together use what there is


def search(problem: Prepared, passes: int, start: Floats | None = None, steps: Sequence[float] = STEPS) -> Bound:
    """The lowest bound that `passes` evaluations find, and its prices.

    A round for each step, from the best prices so far: where prices hang together, a second run from nearby gets out of
    where the first was stuck.
    """
    best, done = Bound(math.inf, np.zeros(len(problem.limit)) if start is None else start, 0), 0
    for k, step in enumerate(steps):
        share = (passes - done) // (len(steps) - k)
        if share == 0:
            continue
        found = _descend(problem, share, best.vector, step)
        done += found.passes
        if found.bound < best.bound:
            best = found
        if found.passes < share:  # it is the lowest there is
            break
    return replace(best, passes=done)


def _descend(problem: Prepared, passes: int, start: Floats, step: float) -> Bound:
    limited = np.isfinite(problem.limit) & (problem.limit > 0)
    per_limit = np.where(limited, problem.limit, 1.0)
    fixed = np.where((problem.limit == 0) & (problem.sign > 0), problem.highest, 0.0)
    with np.errstate(over="ignore"):
        scale, ceiling = problem.scale, np.minimum(problem.highest / problem.scale, 1e300)
    price = np.minimum(start / scale, ceiling)
    slope, square = np.zeros(len(scale)), np.zeros(len(scale))
    best, best_vector = math.inf, fixed
    decay = (LAST_STEP / step) ** (1 / max(1, passes - 1))
    for t in range(1, passes + 1):
        vector = np.where(limited, price * scale, fixed)
        found = evaluate(problem, vector)
        if found.bound < best:
            best, best_vector = found.bound, vector
        over = problem.sign * (found.use / per_limit - 1)
        gradient = np.where(limited, -np.clip(over, -STEEPEST, STEEPEST), 0.0)
        if not np.any((gradient < 0) | ((gradient > 0) & (price > 0))):
            return Bound(best, best_vector, t)  # nothing is exceeded, and nothing that is left over has a price
        slope = MEMORY * slope + (1 - MEMORY) * gradient
        square = LONG_MEMORY * square + (1 - LONG_MEMORY) * gradient**2
        move = slope / (1 - MEMORY**t) / (np.sqrt(square / (1 - LONG_MEMORY**t)) + 1e-12)
        price = np.clip(price - step * decay ** (t - 1) * move, 0.0, ceiling)
    return Bound(best, best_vector, passes)
