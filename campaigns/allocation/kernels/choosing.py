# mypy: allow-untyped-defs
"""The best message for a customer at the limits' prices."""

import numpy as np

from campaigns.allocation.kernels.compiling import compiled, inlined
from campaigns.allocation.kernels.worth import HEAD, further_funders, growth_at, raised, toll_of, worth_of

FEW = 3  # positions of a message, for the fast way
PLACES = np.int32(255)  # of a bound's last bits, which number the customer's pairs
UNSURE = -2
MOST = np.float32(2.0**127)  # of a bound that has a key; more is not told apart


@inlined
def within_reach(s, low, high, offer, p0, reach, near):
    """The pairs low … high whose p0 is high enough to be worth anything: most are not. Returns how many are."""
    count, one = np.uint64(0), np.uint64(1)
    for e in range(np.uint64(low), np.uint64(high)):  # no branches: every pair comes by here
        near[count] = e
        count += one if p0[e] >= reach[s, np.uint64(offer[e])] else np.uint64(0)
    return np.int64(count)


@inlined
def worth_having(s, c, count, near, offer, p0, terms, channels, worths, spots):
    """Those of the first `count` pairs of near that are worth more than 0 on channel c: their worths and spots.

    Returns how many.
    """
    growth = growth_at(terms, channels, c)
    many_funders = terms.shape[2] - channels > HEAD + 4
    kept = 0
    for t in range(count):
        e = near[t]
        j, chance = np.uint64(offer[e]), np.float64(p0[e])
        p1 = raised(chance, terms[s, j, growth])
        worth = worth_of(s, j, chance, p1, terms)
        if many_funders:
            worth -= further_funders(s, j, p1, terms, channels)
        worths[kept] = worth
        spots[kept] = e
        kept += worth > 0.0
    return kept


@inlined
def draw(count, offer, worths, spots, rank):
    """Of those left the one that is worth most, of equals the one whose offer ranks first; −1 where none is left."""
    at, most, tied = -1, 0.0, False
    for t in range(count):
        worth = worths[t]
        more = worth > most
        tied = (tied and not more) or worth == most
        at = t if more else at
        most = worth if more else most
    if tied:
        for t in range(count):
            if worths[t] == most and rank[offer[spots[t]]] < rank[offer[spots[at]]]:
                at = t
    return at


@inlined
def strike(count, t, worths, spots):
    """Takes the one at t out of those left. Returns how many are left, in another order."""
    worths[t], spots[t] = worths[count - 1], spots[count - 1]
    return count - 1


@inlined
def strike_group(count, j, offer, worths, spots, group):
    """Takes all of offer j's group out of those left. Returns how many are left."""
    kept = 0
    for t in range(count):
        worths[kept], spots[kept] = worths[t], spots[t]
        kept += group[offer[spots[t]]] != group[j]
    return kept


@inlined
def find(count, wanted, offer, spots):
    """Where among those left the offer is; −1 if it is not."""
    for t in range(count):
        if offer[spots[t]] == wanted:
            return t
    return -1


@compiled
def best_message(i, row, terms, upper, rules, near, worths, spots, drawn):
    """The best message for customer i at the prices: channel (−1: none), number of offers, what it is worth, regret.

    drawn [channels × most positions] is filled with its pairs. Regret: by how much the next best falls short, which is
    a message with another last offer, the best one on another channel, or none.
    """
    indptr, offer, p0, allowed, segment, _, extra = row
    s = np.uint64(segment[i])
    toll, positions, rank, group, grouped, fallback = rules
    channels = len(toll)
    best_total, best_channel, best_count, regret = 0.0, -1, 0, 0.0
    nearby = within_reach(s, indptr[i], indptr[i + 1], offer, p0, upper[0], near)
    for c in range(channels):
        if not allowed[i, c]:
            continue
        left = worth_having(s, c, nearby, near, offer, p0, terms, channels, worths, spots)
        alone, alone_worth = -1, 0.0
        if fallback[c] >= 0:
            t = find(left, fallback[c], offer, spots)
            if t >= 0:
                alone, alone_worth = spots[t], worths[t]
                left = strike(left, t, worths, spots)
        together, count, swap = 0.0, 0, np.inf
        while count < positions[c]:
            t = draw(left, offer, worths, spots, rank)
            if t < 0:
                break
            e, swap = spots[t], worths[t]
            together += swap
            drawn[c, count] = e
            count += 1
            left = strike(left, t, worths, spots)
            if grouped:
                left = strike_group(left, offer[e], offer, worths, spots, group)
        if alone_worth > together:
            swap = min(alone_worth - together, alone_worth)
            together, count = alone_worth, 1
            drawn[c, 0] = alone
        elif count == positions[c] and left > 0:
            swap -= worths[draw(left, offer, worths, spots, rank)]
        total = together - toll_of(i, c, toll, extra)
        if count > 0 and total > best_total:
            regret = min(swap, total - best_total)
            best_total, best_channel, best_count = total, c, count
        elif count > 0:
            regret = min(regret, best_total - total)
    return best_channel, best_count, best_total, regret


@inlined
def highest(s, c, count, near, offer, p0, gain, fee):
    """Of the first `count` pairs of near the four that can be worth most on channel c, falling: their keys.

    A key is the upper bound with the pair's place in near for its last bits; 0 where there are fewer above 0.
    """
    nothing = np.float32(0.0)
    first, second, third, fourth = nothing, nothing, nothing, nothing
    for t in range(count):
        e = near[t]
        j = np.uint64(offer[e])
        bound = p0[e] * gain[s, j, c] - fee[s, j]
        bound = bound if bound < MOST else MOST  # with other last bits, infinity is no number
        key = np.int32((np.float32(bound).view(np.int32) & ~PLACES) | t).view(np.float32)
        lower = key if key < third else third  # a builtin min or max would also look for NaN
        fourth = lower if lower > fourth else fourth
        lower = key if key < second else second
        third = lower if lower > third else third
        lower = key if key < first else first
        second = lower if lower > second else second
        first = key if key > first else first
    return first, second, third, fourth


@inlined
def at_most(key):
    """The upper bound of a key, or a little more."""
    return np.int32(np.float32(key).view(np.int32) | PLACES).view(np.float32) if key > 0.0 else np.float32(0.0)


@inlined
def best_of_many(i, row, terms, upper, rules, near, drawn, chances):
    """As best_message, but at most FEW positions, no groups, no fallback, no regret: (channel, count, worth).

    Upper bounds come first: most messages are seen not to be worth sending, and all but a few pairs not to be among
    the best, before it is worked out what they are worth. drawn and chances [channels × FEW] are filled with the pairs
    and their p1. UNSURE for the channel: the bounds are too near to each other to tell.
    """
    indptr, offer, p0, allowed, segment, _, extra = row
    toll, positions, _, _, _, _ = rules
    reach, gain, fee = upper
    s, channels = np.uint64(segment[i]), len(toll)
    many_funders = terms.shape[2] - channels > HEAD + 4
    best_total, best_channel, best_count = 0.0, -1, 0
    nearby = within_reach(s, indptr[i], indptr[i + 1], offer, p0, reach, near)
    for c in range(channels):
        if not allowed[i, c]:
            continue
        keys, full = highest(s, c, nearby, near, offer, p0, gain, fee), positions[c]
        most, cost = np.float64(at_most(keys[0])), toll_of(i, c, toll, extra)
        for t in range(1, full):
            most += np.float64(at_most(keys[t]))
        if most - cost <= best_total or most <= 0.0:
            continue
        if most >= MOST:
            return UNSURE, 0, 0.0
        growth, count, together, least = growth_at(terms, channels, c), 0, 0.0, np.inf
        for t in range(full):  # no branches: where there is no such pair, the first is looked at in vain
            e = near[np.float32(keys[t]).view(np.int32) & PLACES]
            j, chance = np.uint64(offer[e]), np.float64(p0[e])
            p1 = raised(chance, terms[s, j, growth])
            worth = worth_of(s, j, chance, p1, terms)
            if many_funders:
                worth -= further_funders(s, j, p1, terms, channels)
            there = keys[t] > 0.0
            least = min(least, worth if there else np.inf)
            together += worth if there else 0.0
            drawn[c, t], chances[c, t] = e, p1
            count += there
        if least <= np.float64(at_most(keys[full])):
            return UNSURE, 0, 0.0
        if count > 0 and together - cost > best_total:
            best_total, best_channel, best_count = together - cost, c, count
    return best_channel, best_count, best_total


@inlined
def pick(rows, most, totals):
    """Of a person's rows (their best messages' worths in totals) the `most` best; the others' totals become 0."""
    sent = 0
    for r in range(rows):
        sent += totals[r] > 0.0
    while sent > most:
        least = -1
        for r in range(rows):
            if totals[r] > 0.0 and (least < 0 or totals[r] <= totals[least]):
                least = r
        totals[least] = 0.0
        sent -= 1
