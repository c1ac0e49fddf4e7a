"""What offers use of each limit but the channels', which count messages."""

from dataclasses import dataclass

import numpy as np

from campaigns.allocation.prepared import Prepared
from campaigns.allocation.problem import SENT, Floats, Ints
from campaigns.value import pair_value, purchase_probability


@dataclass(frozen=True)
class Use:
    """Entries, each an amount of a limit that a cell uses; a cell is a pair on a channel."""

    limit: Ints
    cell: Ints
    amount: Floats

    def weighed(self, by: Floats, cells: int) -> Floats:
        """Σ amount × what one of the limit weighs [cells]."""
        return np.bincount(self.cell, weights=by[self.limit] * self.amount, minlength=cells).astype(np.float64)


def worth_and_use(problem: Prepared, pair: Ints, row: Ints, channel: Ints) -> tuple[Floats, Use]:
    """(value in rupiah, use) of cells: pairs of customers on channels."""
    offers, limits, further = problem.offers, problem.limits, problem.further
    offer, cell = problem.candidates.offer[pair].astype(np.int64), np.arange(len(pair))
    p0 = problem.candidates.p0[pair].astype(np.float64)
    p1 = purchase_probability(p0, offers.uplift[offer], limits.response[channel])
    value = pair_value(p0, p1, offers.margin[offer], offers.benefit[offer], offers.retailer_share[offer])
    start, end = (further.start[problem.segment[row], offer + k] for k in (0, 1))
    own = np.repeat(cell, end - start)
    entry = np.arange(len(own)) + np.repeat(end - np.cumsum(end - start), end - start)
    first, limit = len(problem.limit) - len(further.sign), further.limit[entry]
    parts = [
        (offer, cell, np.where(offers.quota_kind[offer] == SENT, 1.0, p1)),
        (first + limit, own, further.weight[entry] * np.where(further.sent[limit], 1.0, p1[own])),
    ]
    for k in range(problem.funder.shape[1] if len(limits.budgets) else 0):
        paid = np.ceil(p1 * problem.cost[offer, k])
        pays = np.flatnonzero(paid)
        parts.append((len(offers) + problem.funder[offer[pays], k], pays, paid[pays]))
    return value, Use(*(np.concatenate(part) for part in zip(*parts, strict=True)))
