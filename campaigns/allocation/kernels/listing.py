# mypy: allow-untyped-defs
"""What was made, as a table of decisions."""

import numpy as np

from campaigns.allocation.kernels.compiling import compiled
from campaigns.allocation.kernels.worth import raised


@compiled
def list_made(low, high, d, row, growth, money, rank, made, table, p1, value, costs):
    """Fills the decisions of customers low … high, from place d on.

    table: customer, channel, position, offer, pair [5 × decisions]; p1, value [decisions]; costs [decisions × funders].
    money: (margin, what a redemption costs the retailer, what it costs each funder [m × funders]). Positions go by what
    an offer is worth, then by rank. p1, value and costs are those of campaigns.value, bit for bit.
    """
    offer, p0 = row[1], row[2]
    margin, own, per_redemption = money
    channel, chosen = made
    for i in range(low, high):
        c, first = channel[i], d
        if c < 0:
            continue
        for t in range(chosen.shape[1]):
            e = chosen[i, t]
            if e < 0:
                continue
            j, chance = np.intp(offer[e]), np.float64(p0[e])
            after = raised(chance, growth[j, c])
            worth = (after - chance) * margin[j] - after * own[j]
            at = d
            while at > first and (
                value[at - 1] < worth or (value[at - 1] == worth and rank[table[3, at - 1]] > rank[j])
            ):
                p1[at], value[at], table[3, at], table[4, at] = (
                    p1[at - 1],
                    value[at - 1],
                    table[3, at - 1],
                    table[4, at - 1],
                )
                at -= 1
            p1[at], value[at], table[3, at], table[4, at] = after, worth, j, e
            d += 1
        for at in range(first, d):
            table[0, at], table[1, at], table[2, at] = i, c, at - first + 1
            for f in range(costs.shape[1]):
                each = per_redemption[table[3, at], f]
                costs[at, f] = np.int64(np.ceil(p1[at] * each)) if each > 0.0 else np.int64(0)
