"""All decisions of an occurrence at once, with the certificate that says how far from the best they are at most."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from campaigns.allocation import kernels
from campaigns.allocation.cuts import ROUNDS, sharpened
from campaigns.allocation.dual import Bound, search
from campaigns.allocation.minimums import refuse_the_impossible
from campaigns.allocation.offer_order import as_they_came, sorted_offers, sorted_prices
from campaigns.allocation.prepared import Prepared, prepare
from campaigns.allocation.problem import (
    Candidates,
    Certificate,
    Chosen,
    GroupLimit,
    Ints,
    Limits,
    MinimumsError,
    Offers,
    Prices,
    Solution,
    Used,
    check,
    check_prices,
    gap_of,
)
from campaigns.allocation.recovery import Counters, alone_best, decisions, mixed, no_prices, recover, used, worth
from campaigns.allocation.small import Exact, exactly

PASSES = 600
POLISH = 100  # passes, from prices that are nearly right
WIDE = 1e-3  # a gap beyond this is looked at again
POLISH_STEPS = (0.03,)
WARM_STEP = 2.5e-5  # for each pass: the fewer there are, the nearer to the old prices they are best spent
LEAST_SAMPLE, MOST_SAMPLE = 20_000, 100_000  # customers whose prices are looked for first, where there are many more


def solve(
    candidates: Candidates,
    offers: Offers,
    limits: Limits,
    *,
    seed: int,
    passes: int | None = None,
    warm: Prices | None = None,
    threads: int | None = None,
    further: Sequence[GroupLimit] = (),
) -> Solution:
    """The decisions that earn most within all limits, nearly; the certificate says how nearly.

    passes: evaluations of the dual over all customers; by default 600, or 100 where there are prices to start from: of
    a sample, where customers are many, or warm, such as yesterday's. A small problem needs but one. Where warm prices
    do not lead near the best, it is solved afresh too, and the better counts.
    threads: by default one for each processor.
    The same problem and seed give the same decisions, whatever the order of rows and the number of threads.
    further: limits on groups of offers and customers, and guaranteed minimums.
    Raises InputError for arrays that do not fit together or hold what cannot be, MinimumsError for minimums that cannot
    all be met.
    """
    if warm is not None:
        check_prices("warm", warm, offers, limits, further)
    if offers.keys is not None and (np.diff(offers.keys) < 0).any():
        check(candidates, offers, limits, further)
        order = np.argsort(offers.keys)
        pairs, sorted_, groups = sorted_offers(candidates, offers, further, order)
        start = None if warm is None else sorted_prices(warm, order)
        options: Any = {"seed": seed, "passes": passes, "warm": start, "threads": threads, "further": groups}
        return as_they_came(solve(pairs, sorted_, limits, **options), order)
    problem = prepare(candidates, offers, limits, threads, further)
    exact = exactly(problem)
    refuse_the_impossible(problem, None if exact is None else exact.programme)
    if warm is None:
        return _solved(problem, exact, seed, passes)
    led: Solution | None = None
    with suppress(MinimumsError):  # other prices may meet them
        led = replace(_solved(problem, exact, seed, passes, warm), warm=True)
        if led.certificate.gap <= WIDE or (exact is not None and exact.certain):
            return led
    return _better(_solved(problem, exact, seed, passes), led)


def _solved(
    problem: Prepared, exact: Exact | None, seed: int, passes: int | None, warm: Prices | None = None
) -> Solution:
    candidates, bound, certain = problem.candidates, None, False
    if exact is not None:
        bound, certain = exact.bound, exact.certain
    if bound is None or not certain:
        searched = _searched(problem, seed, passes, warm)
        bound = searched if bound is None or searched.bound < bound.bound else bound
    chosen, amount = recover(problem, problem.prices(bound.vector), seed, exact, bound.bound)
    if not certain and bound.bound - amount > WIDE * abs(bound.bound):
        bound = sharpened(problem, bound, min(passes or ROUNDS, ROUNDS))
        with suppress(MinimumsError):  # what was found before meets them
            again = recover(problem, problem.prices(bound.vector), seed, exact, bound.bound, bound.blend)
            chosen, amount = max((chosen, amount), again, key=lambda each: each[1])
    use = used(problem, chosen)
    certificate = Certificate(
        bound=bound.bound,
        value=amount,
        gap=gap_of(bound.bound, amount),
        worst_violation=_violation(problem, use),
        pairs=candidates.pairs,
        pruned=candidates.pruned,
        passes=bound.passes,
    )
    return Solution(chosen, amount, use, problem.prices(bound.vector), certificate)


def _better(one: Solution, other: Solution | None) -> Solution:
    """The decisions that are worth more, under the lower of the two bounds."""
    if other is None:
        return one
    best, lower = max(one, other, key=lambda each: each.value), min(one, other, key=lambda each: each.certificate.bound)
    bound, passes = lower.certificate.bound, one.certificate.passes + other.certificate.passes
    certificate = replace(best.certificate, bound=bound, gap=gap_of(bound, best.value), passes=passes)
    return replace(best, certificate=certificate, prices=lower.prices)


def first_come(candidates: Candidates, offers: Offers, limits: Limits, further: Sequence[GroupLimit] = ()) -> Solution:
    """What a suite with counters does: each customer, in the order of rows, gets the message that is worth most of
    those still affordable. Its bound is the one without any limit. It knows nothing of minimums."""
    further = [limit for limit in further if not limit.at_least]
    problem = prepare(candidates, offers, limits, further=further)
    counters, free = Counters(problem), no_prices(problem)
    counters.run(kernels.walk, np.arange(candidates.customers), free)
    chosen = decisions(problem, counters.made)
    amount = worth(chosen, limits, candidates)
    use = used(problem, chosen)
    bound = search(problem, 1).bound
    certificate = Certificate(
        bound, amount, gap_of(bound, amount), _violation(problem, use), candidates.pairs, candidates.pruned, passes=1
    )
    return Solution(chosen, amount, use, free, certificate)


def at_prices(
    candidates: Candidates, offers: Offers, limits: Limits, prices: Prices, further: Sequence[GroupLimit] = ()
) -> Chosen:
    """What the prices alone would choose for each customer; nothing is used up. For ghost decisions of controls."""
    check_prices("prices", prices if further else replace(prices, further=np.zeros(0)), offers, limits, further)
    problem = prepare(candidates, offers, limits, further=further)
    problem = replace(problem, closed=np.zeros_like(problem.closed))
    _, _, made = alone_best(problem, prices)
    return decisions(problem, made)


def _searched(problem: Prepared, seed: int, passes: int | None, warm: Prices | None) -> Bound:
    if warm is not None:
        most = passes or POLISH
        return search(problem, most, problem.vector(warm), (WARM_STEP * most,))
    first = problem.people[0]
    people = len(first) - 1
    size = min(max(people // 10, LEAST_SAMPLE), MOST_SAMPLE)
    if people <= 2 * size:
        return search(problem, passes or PASSES)
    sample = np.sort(np.argpartition(mixed(problem.candidates.keys[first[:-1]], seed), size)[:size])
    guess = search(_part(problem, sample), PASSES // 2)
    return search(problem, passes or POLISH, guess.vector, POLISH_STEPS)


def _part(problem: Prepared, sample: Ints) -> Prepared:
    """The problem of some people only, with their share of every limit."""
    whole, (first, patience) = problem.candidates, problem.people
    rows, first = _slices(first, sample)
    pairs, indptr = _slices(whole.indptr, rows)
    part = Candidates(
        indptr,
        whole.offer[pairs],
        whole.p0[pairs],
        whole.channel_ok[rows],
        whole.keys[rows],
        message_cost=None if whole.message_cost is None else whole.message_cost[rows],
    )
    return replace(
        problem,
        candidates=part,
        limit=problem.limit * (len(sample) / len(patience)),
        segment=problem.segment[rows],
        person=np.repeat(np.arange(len(sample), dtype=np.int32), np.diff(first)),
        people=(first, patience[sample]),
    )


def _slices(start: Ints, which: Ints) -> tuple[Ints, Ints]:
    """(the numbers within some of the slices that `start` cuts, where each of these slices starts among them)"""
    length = np.diff(start)[which]
    ends = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    return np.repeat(start[which] - ends[:-1], length) + np.arange(ends[-1]), ends


def _violation(problem: Prepared, use: Used) -> float:
    """The most by which a limit is exceeded, relative to it (or in its own units, below one)."""
    amount = np.concatenate([use.quota, use.budgets, use.capacity, use.further / problem.further.unit])
    limited = np.isfinite(problem.limit)
    over = (problem.sign * (amount - problem.limit))[limited] / np.maximum(problem.limit[limited], 1.0)
    return float(np.maximum(over, 0.0).max(initial=0.0))
