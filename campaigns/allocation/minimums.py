"""Guaranteed minimums that cannot be met are named before anything is decided.

The largest share of all minimums that can be met at once is a linear programme of its own, and its dual is the same one
without value: whatever the prices, no more than (what the limits are worth + what the customers' best messages earn at
what meeting the minimums pays) / (what the minimums are worth) can be met. The lowest such share is looked for by
lowering the minimums to it until it falls no further (Dinkelbach, 1967).
"""

from dataclasses import replace

import numpy as np

from campaigns.allocation.dual import search
from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import Floats, Ints, MinimumsError
from campaigns.allocation.programme import Programme
from campaigns.allocation.programme import largest_share as programmed_share

ROUNDS, PASSES = 6, 100
STEPS = (0.3, 0.03)


def refuse_the_impossible(problem: Prepared, programme: Programme | None = None) -> None:
    """Raises MinimumsError for minimums that no decisions can meet, with the largest share of each that may be met.

    programme: the problem written out, where it is small: then the share is exact, but for whole messages.
    """
    minimums = np.flatnonzero(problem.further.sign < 0)
    if not len(minimums):
        return

    def share(of: Ints) -> float:
        limit = _with_only(problem, of)
        if programme is not None:
            return programmed_share(replace(programme, limit=limit))
        return largest_share(replace(problem, limit=limit))

    together = share(minimums)
    if together < 1 - 1e-6:
        alone = {int(r): share(minimums[k : k + 1]) for k, r in enumerate(minimums)}
        names = [f"group limit {r} by itself at most {each:.1%}" for r, each in alone.items() if each < 1 - 1e-6]
        why = "; ".join(names) or "each could be met by itself"
        raise MinimumsError(
            f"minimums: at most {together:.1%} of each can be met at once ({why}); lower them", together
        )


def largest_share(problem: Prepared) -> float:
    """No decisions can meet more than this share of each minimum at once; 1 where nothing says that they cannot."""
    problem = _without_value(problem)
    minimum = np.isfinite(problem.limit) & (problem.sign < 0)
    whole, share, start = problem.limit, 1.0, None
    for _ in range(ROUNDS):
        problem = replace(problem, limit=np.where(minimum, share * whole, whole))
        found = search(problem, PASSES, start, STEPS)
        asked = float(found.vector[minimum] @ whole[minimum])
        if found.bound >= 0 or asked <= 0:
            break
        # found.bound = what is there to give − share·asked
        start, lower = found.vector, max(0.0, found.bound / asked + share)
        if lower > share * (1 - 1e-6):
            break
        share = lower
        if share == 0:
            break
    return share


def _without_value(problem: Prepared) -> Prepared:
    nothing = np.zeros(len(problem.offers))
    return replace(
        problem,
        candidates=replace(problem.candidates, message_cost=None),
        offers=replace(problem.offers, margin=nothing, retailer_share=nothing),
        limits=replace(problem.limits, message_cost=np.zeros_like(problem.limits.message_cost)),
    )


def _with_only(problem: Prepared, rows: Ints) -> Floats:
    """The limits, without all minimums but those of `rows`."""
    limit, first = problem.limit.copy(), len(problem.limit) - len(problem.further.sign)
    limit[np.setdiff1d(np.flatnonzero(problem.sign < 0), first + rows)] = 0.0
    return limit
