"""What small problems get beside: the lowest bound itself, and whole decisions at their best.

Large ones have less need of it: the more customers there are, the less any one of them is to the whole.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.cuts import MOST_LIMITS
from campaigns.allocation.dual import Bound, evaluate
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import Bools, Floats, Ints
from campaigns.allocation.programme import Programme, relaxed, whole, written_out
from campaigns.allocation.usage import worth_and_use

MOST_FOR_PRICES, MOST_FOR_DECISIONS, MOST_NARROWED = 10_000, 1_500, 4_000  # pairs on channels
NODES, MOST_NODES = 30, 5_000  # of the search for whole decisions; and where none are known yet
FIRST, FIRST_OF_MANY, ROUNDS = 40, 20, 30
MOST_OF_MANY = 20_000  # pairs on channels, where limits are too many for cutting planes
CERTAIN = 1e-7  # how near a bound is to the optimum of the relaxation, to be called the same


@dataclass(frozen=True)
class Exact:
    """A problem written out. bound: at the prices of its relaxation, None for none found; certain: there is no lower
    one. taken: the pairs of which the relaxation takes something [pairs]."""

    programme: Programme
    bound: Bound | None
    certain: bool
    taken: Bools


def exactly(problem: Prepared) -> Exact | None:
    """None where it is too large.

    Where few customers have very many offers, only the best of each at the prices so far are written out, and more as
    long as they lower the bound.
    """
    candidates = problem.candidates
    pairs = int(candidates.channel_ok.sum(axis=1) @ np.diff(candidates.indptr))
    if pairs <= MOST_FOR_PRICES:
        return lowest_bound(problem, written_out(problem))
    first = _first_written_out(problem)
    if first == 0 or problem.asked:
        return None
    wanted = first_of_each(problem, np.zeros(len(problem.limit)), first)
    for _ in range(ROUNDS):
        found = lowest_bound(problem, written_out(problem, wanted))
        if found.certain or found.bound is None:
            break
        more = wanted | first_of_each(problem, found.bound.vector, first)
        if (more == wanted).all():
            break
        wanted = more
    return found


def _first_written_out(problem: Prepared) -> int:
    """How many pairs of each customer on each channel are written out first; 0 where even these are too many."""
    rows, places = problem.candidates.channel_ok.size, int(problem.limits.positions.max())
    many = np.isfinite(problem.limit).sum() > MOST_LIMITS
    for first, most in ((FIRST, MOST_FOR_PRICES), (FIRST_OF_MANY, MOST_OF_MANY if many else 0)):
        if rows * (first + places) <= most:
            return first + places
    return 0


def first_of_each(problem: Prepared, vector: Floats, first: int) -> Bools:
    """The pairs that are worth most at these prices, so many of each customer on each channel."""
    candidates, price = problem.candidates, problem.sign * vector
    row = np.repeat(np.arange(candidates.customers), np.diff(candidates.indptr))
    wanted, closed = np.zeros(candidates.pairs, np.bool_), problem.closed[problem.segment[row], candidates.offer]
    for c in range(len(problem.limits.capacity)):
        value, use = worth_and_use(problem, np.arange(candidates.pairs), row, np.full(candidates.pairs, c))
        worth = np.where((value > 0) & ~closed, value - use.weighed(price, candidates.pairs), -np.inf)
        order = np.lexsort((candidates.offer, -worth, row))
        wanted[order[np.arange(len(order)) - candidates.indptr[row] < first]] = True
    return wanted


def lowest_bound(problem: Prepared, programme: Programme) -> Exact:
    taken = np.zeros(problem.candidates.pairs, np.bool_)
    found = relaxed(programme)
    if found is None:
        return Exact(programme, None, False, taken)
    optimum, prices, amount = found
    closed = (problem.limit == 0) & (problem.sign > 0)  # nothing of it was written out
    vector = np.where(closed, problem.highest, np.minimum(prices, problem.highest))
    bound = Bound(evaluate(problem, vector).bound, vector, 1)
    taken[programme.pair[(amount > 1e-9) & (programme.pair >= 0)]] = True
    return Exact(programme, bound, bound.bound - optimum <= CERTAIN * abs(optimum), taken)


def narrowed(problem: Prepared, exact: Exact, chosen: Ints) -> Programme | None:
    """The programme to search for whole decisions; of a larger problem, that of the pairs which the relaxation takes
    and those chosen so far. None where even that is too large."""
    if len(exact.programme.pair) <= MOST_FOR_DECISIONS:
        return exact.programme
    wanted = exact.taken.copy()
    wanted[chosen] = True
    fewer = written_out(problem, wanted)
    return fewer if len(fewer.pair) <= MOST_NARROWED else None


def best_decisions(
    problem: Prepared, programme: Programme, nodes: int = NODES, *, tighter: bool = False
) -> tuple[tuple[NDArray[np.int8], Ints] | None, bool]:
    """(channel and pairs of each customer, None for none found; whether it is proven that none are better).

    To HiGHS a limit is not exceeded by a millionth; with `tighter` it is not exceeded at all.
    """
    columns, proven = whole(programme, nodes, tighter=tighter)
    if columns is None:
        return None, proven
    n, most = problem.candidates.customers, int(problem.limits.positions.max(initial=1))
    channel, chosen = np.full(n, -1, np.int8), np.full((n, most), -1, np.int64)
    taken = np.flatnonzero(columns & (programme.pair >= 0))
    taken = taken[np.argsort(programme.row[taken], kind="stable")]
    row = programme.row[taken]
    channel[row] = programme.channel[taken]
    chosen[row, np.arange(len(row)) - np.searchsorted(row, row)] = programme.pair[taken]
    return (channel, chosen), proven
