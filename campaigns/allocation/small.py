"""What small problems get beside: the lowest bound itself, and whole decisions at their best.

Large ones have less need of it: the more customers there are, the less any one of them is to the whole.
"""

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.dual import Bound, evaluate
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import Bools, Floats, Ints
from campaigns.allocation.programme import Programme, relaxed, whole, written_out
from campaigns.allocation.usage import worth_and_use

MOST_FOR_PRICES, MOST_FOR_DECISIONS = 6_000, 1_500  # pairs on channels
NODES, MOST_NODES = 30, 5_000  # of the search for whole decisions; and where none are known yet
FIRST, ROUNDS = 40, 30
CERTAIN = 1e-7  # how near a bound is to the optimum of the relaxation, to be called the same


def exactly(problem: Prepared) -> tuple[Programme | None, Bound | None, bool]:
    """(the problem written out, the bound at its prices, whether there is no lower bound); None where it is too large.

    Where few customers have very many offers, only the best of each at the prices so far are written out, and more as
    long as they lower the bound.
    """
    candidates = problem.candidates
    pairs = int(candidates.channel_ok.sum(axis=1) @ np.diff(candidates.indptr))
    if pairs <= MOST_FOR_PRICES:
        programme = written_out(problem)
        return programme, *lowest_bound(problem, programme)
    if candidates.customers * candidates.channel_ok.shape[1] * FIRST > MOST_FOR_PRICES or problem.asked:
        return None, None, False
    wanted = np.zeros(candidates.pairs, np.bool_)
    best: Bound | None = None
    vector = np.zeros(len(problem.limit))
    for _ in range(ROUNDS):
        before = int(wanted.sum())
        wanted |= first_of_each(problem, vector)
        programme = written_out(problem, wanted)
        found, certain = lowest_bound(problem, programme)
        if found is None or int(wanted.sum()) == before:
            break
        best = found if best is None or found.bound < best.bound else best
        if certain:
            break
        vector = found.vector
    return programme, best, certain


def first_of_each(problem: Prepared, vector: Floats) -> Bools:
    """The pairs that are worth most at these prices, FIRST of each customer on each channel."""
    candidates, price = problem.candidates, problem.sign * vector
    row = np.repeat(np.arange(candidates.customers), np.diff(candidates.indptr))
    wanted = np.zeros(candidates.pairs, np.bool_)
    for c in range(len(problem.limits.capacity)):
        value, use = worth_and_use(problem, np.arange(candidates.pairs), row, np.full(candidates.pairs, c))
        worth = np.where(value > 0, value - use.weighed(price, candidates.pairs), -np.inf)
        order = np.lexsort((candidates.offer, -worth, row))
        wanted[order[np.arange(len(order)) - candidates.indptr[row] < FIRST]] = True
    return wanted


def lowest_bound(problem: Prepared, programme: Programme) -> tuple[Bound | None, bool]:
    """The bound at the prices of the relaxation, and whether there is no lower one; None where HiGHS finds none."""
    found = relaxed(programme)
    if found is None:
        return None, False
    optimum, prices = found
    closed = (problem.limit == 0) & (problem.sign > 0)  # nothing of it was written out
    vector = np.where(closed, problem.highest, np.minimum(prices, problem.highest))
    bound = Bound(evaluate(problem, vector).bound, vector, 1)
    return bound, bound.bound - optimum <= CERTAIN * abs(optimum)


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
