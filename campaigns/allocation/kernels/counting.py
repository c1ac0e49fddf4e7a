# mypy: allow-untyped-defs
"""What is left of the limits, in whole numbers."""

import numpy as np

from campaigns.allocation.kernels.compiling import compiled, inlined
from campaigns.allocation.kernels.worth import HEAD, growth_at, raised


@inlined
def needed(p1, weight, sent, unit):
    """What one decision uses of a limit, in whole numbers, rounded up."""
    return np.int64(np.ceil(weight * unit if sent else p1 * weight * unit))


@inlined
def left_for(s, j, p1, terms, counting, left):
    """Whether what is left of all limits allows one more of offer j."""
    quota_kind, funder, unit, (start, limit, weight, sent, sign) = counting
    quota, budget, _, further, _ = left
    if needed(p1, 1.0, quota_kind[j], unit) > quota[j]:
        return False
    for k in range(funder.shape[1]):
        cost = np.int64(np.ceil(p1 * terms[s, j, HEAD + 2 * k]))
        if cost > 0 and cost > budget[funder[j, k]]:
            return False
    for k in range(start[s, j], start[s, j + 1]):
        r = limit[k]
        if sign[r] > 0 and needed(p1, weight[k], sent[r], unit) > further[r]:
            return False
    return True


@inlined
def strike_unfit(s, count, growth, offer, p0, terms, counting, left, worths, spots):
    """Takes out of those left all that the remaining limits do not allow. Returns how many are left."""
    kept = 0
    for t in range(count):
        worths[kept], spots[kept] = worths[t], spots[t]
        j = np.intp(offer[spots[t]])
        p1 = raised(np.float64(p0[spots[t]]), terms[s, j, growth])
        kept += left_for(s, j, p1, terms, counting, left)
    return kept


@inlined
def take(s, j, p1, sign, terms, counting, left):
    """Take one of offer j from what remains, or give it back (sign −1). What a minimum still lacks grows less."""
    quota_kind, funder, unit, (start, limit, weight, sent, at_most) = counting
    quota, budget, _, further, _ = left
    quota[j] -= sign * needed(p1, 1.0, quota_kind[j], unit)
    for k in range(funder.shape[1]):
        budget[funder[j, k]] -= sign * np.int64(np.ceil(p1 * terms[s, j, HEAD + 2 * k]))
    for k in range(start[s, j], start[s, j + 1]):
        r = limit[k]
        if at_most[r] > 0:
            further[r] -= sign * needed(p1, weight[k], sent[r], unit)
        else:
            further[r] += sign * np.int64(weight[k] * unit if sent[r] else p1 * weight[k] * unit)


@compiled
def lacking(s, pairs, offer, counting, further):
    """What the minimums to which these pairs count still lack, in all."""
    start, limit, _, _, sign = counting[3]
    short = np.int64(0)
    for e in pairs:
        if e >= 0:
            j = np.intp(offer[e])
            for k in range(start[s, j], start[s, j + 1]):
                if sign[limit[k]] < 0:
                    short += max(np.int64(0), -further[limit[k]])
    return short


@inlined
def take_message(i, sign, row, terms, counting, left, made):
    """Take all that customer i's message uses from what remains, or give it back (sign −1)."""
    _, _, capacity, _, patience = left
    channel, chosen = made
    c, s = channel[i], np.uint64(row[4][i])
    if c < 0:
        return
    capacity[c] -= sign
    patience[row[5][i]] -= sign
    for t in range(chosen.shape[1]):
        e = chosen[i, t]
        if e >= 0:
            j = np.intp(row[1][e])
            p1 = raised(np.float64(row[2][e]), terms[s, j, growth_at(terms, len(capacity), c)])
            take(s, j, p1, sign, terms, counting, left)


@compiled
def take_all(row, terms, counting, left, made):
    """Take what all messages use from what remains, even where that is less."""
    for i in range(len(made[0])):
        take_message(i, 1, row, terms, counting, left, made)
