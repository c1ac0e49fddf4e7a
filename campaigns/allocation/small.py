"""What small problems get beside: the lowest bound itself, and whole decisions at their best.

Large ones have less need of it: the more customers there are, the less any one of them is to the whole.
"""

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.dual import Bound, evaluate
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import Ints
from campaigns.allocation.programme import Programme, relaxed, whole, written_out

MOST_FOR_PRICES, MOST_FOR_DECISIONS = 6_000, 1_500  # pairs on channels
NODES, MOST_NODES = 30, 5_000  # of the search for whole decisions; and where none are known yet
CERTAIN = 1e-7  # how near a bound is to the optimum of the relaxation, to be called the same


def written_if_small(problem: Prepared) -> Programme | None:
    candidates = problem.candidates
    pairs = int(candidates.channel_ok.sum(axis=1) @ np.diff(candidates.indptr))
    return written_out(problem) if pairs <= MOST_FOR_PRICES else None


def lowest_bound(problem: Prepared, programme: Programme) -> tuple[Bound, bool] | None:
    """The bound at the prices of the relaxation, and whether there is no lower one; None where HiGHS finds none."""
    found = relaxed(programme)
    if found is None:
        return None
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
