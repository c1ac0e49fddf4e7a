# mypy: allow-untyped-defs
"""The loops over pairs, compiled. Each works on a range of customers, holds no state, and lets go of the GIL.

Whatever is summed over customers is summed in whole numbers (rupiah, messages, and redemptions and rupiah of the dual
in units of a power of two), so that no order of rows and no number of threads can change a result.

terms [m × width] holds what a pair's reduced value needs of its offer at given prices:
  0 margin · 1 benefit·retailer_share + price per redemption · 2 price per message · 3–4, 5–6 … of each funder of the
  offer (two at least): its cost per redemption, the price of its budget · last, one per channel: growth (p1 / p0).
upper (reach [m], gain [m × channels], fee [m]), float32: a pair with a p0 below reach is worth nothing on any channel,
and no pair that is worth something is worth more than p0·gain − fee: see Prepared.upper.
`row` is (indptr, offer, p0, allowed), `rules` (toll, positions, rank, group, grouped, fallback), `counting`
(quota_kind, funder, redemption_unit), `left` (quota, budget, capacity), `made` (channel, chosen): see Prepared.
All kernels stay in this one file: numba's cache notices changes of a kernel's own file only.
"""

from typing import Any

import numpy as np
from numba import njit

FEW = 3  # positions of a message, for the fast way
NEARLY = 0.96  # how near a pair's worth is to its upper bound, nearly always
HEAD = 3  # terms before those of the funders


def compiled(function: Any) -> Any:
    return njit(function, nogil=True, cache=True, error_model="numpy")


def inlined(function: Any) -> Any:
    """For what is called for each pair: passing an array to a function costs more than what the function does."""
    return njit(function, nogil=True, inline="always", error_model="numpy")


@inlined
def raised(p0, growth):
    """p1, as value.purchase_probability."""
    return min(1.0, p0 * growth)


@inlined
def growth_at(terms, channels, c):
    return np.uint64(terms.shape[1] - channels + c)


@inlined
def worth_of(j, p0, p1, terms):
    """A pair's value less what it uses at the limits' prices. At prices of 0 it is value.pair_value, bit for bit."""
    return (
        (p1 - p0) * terms[j, 0]
        - p1 * terms[j, 1]
        - terms[j, 2]
        - terms[j, 4] * np.ceil(p1 * terms[j, 3])
        - terms[j, 6] * np.ceil(p1 * terms[j, 5])
    )


@inlined
def further_funders(j, p1, terms, channels):
    """What worth_of leaves out where an offer has more than two funders."""
    paid = 0.0
    for k in range(HEAD + 4, terms.shape[1] - channels, 2):
        paid += terms[j, k + 1] * np.ceil(p1 * terms[j, k])
    return paid


@inlined
def within_reach(low, high, offer, p0, reach, near):
    """The pairs low … high whose p0 is high enough to be worth anything: most are not. Returns how many are."""
    count = 0
    for e in range(low, high):  # no branches: every pair comes by here
        near[count] = e
        count += p0[e] >= reach[np.uint64(offer[e])]
    return count


@inlined
def worth_having(c, count, near, offer, p0, terms, channels, worths, spots):
    """Those of the first `count` pairs of near that are worth more than 0 on channel c: their worths and spots.

    Returns how many.
    """
    growth = growth_at(terms, channels, c)
    many_funders = terms.shape[1] - channels > HEAD + 4
    kept = 0
    for t in range(count):
        e = near[t]
        j, chance = np.uint64(offer[e]), np.float64(p0[e])
        p1 = raised(chance, terms[j, growth])
        worth = worth_of(j, chance, p1, terms)
        if many_funders:
            worth -= further_funders(j, p1, terms, channels)
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


@compiled
def strike_group(count, j, offer, worths, spots, group):
    """Takes all of offer j's group out of those left. Returns how many are left."""
    kept = 0
    for t in range(count):
        worths[kept], spots[kept] = worths[t], spots[t]
        kept += group[offer[spots[t]]] != group[j]
    return kept


@compiled
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
    indptr, offer, p0, allowed = row
    toll, positions, rank, group, grouped, fallback = rules
    channels = len(toll)
    best_total, best_channel, best_count, regret = 0.0, -1, 0, 0.0
    nearby = within_reach(indptr[i], indptr[i + 1], offer, p0, upper[0], near)
    for c in range(channels):
        if not allowed[i, c]:
            continue
        left = worth_having(c, nearby, near, offer, p0, terms, channels, worths, spots)
        alone, alone_worth = -1, 0.0
        if fallback >= 0:
            t = find(left, fallback, offer, spots)
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
        total = together - toll[c]
        if count > 0 and total > best_total:
            regret = min(swap, total - best_total)
            best_total, best_channel, best_count = total, c, count
        elif count > 0:
            regret = min(regret, best_total - total)
    return best_channel, best_count, best_total, regret


@compiled
def best_of_many(i, row, terms, upper, rules, near, worths, bounds, drawn):
    """As best_message, but at most FEW positions, no groups, no fallback, no regret: (channel, count, worth).

    Upper bounds come first: most messages are seen not to be worth sending, and most pairs not to be among the best,
    before it is worked out what they are worth.
    """
    indptr, offer, p0, allowed = row
    toll, positions, rank, _, _, _ = rules
    reach, gain, fee = upper
    channels = len(toll)
    many_funders = terms.shape[1] - channels > HEAD + 4
    best_total, best_channel, best_count = 0.0, -1, 0
    nearby = within_reach(indptr[i], indptr[i + 1], offer, p0, reach, near)
    for c in range(channels):
        if not allowed[i, c]:
            continue
        nothing = np.float32(0.0)
        first, second, third = nothing, nothing, nothing
        for t in range(nearby):
            e = np.uint64(near[t])
            j = np.uint64(offer[e])
            bound = p0[e] * gain[j, c] - fee[j]
            bounds[t] = bound
            lower = bound if bound < second else second  # a builtin min or max would also look for NaN
            third = lower if lower > third else third
            lower = bound if bound < first else first
            second = lower if lower > second else second
            first = bound if bound > first else first
        full = positions[c]
        last = first if full == 1 else second if full == 2 else third
        most = np.float64(first) + np.float64(second) * (full > 1) + np.float64(third) * (full > 2)
        if most - toll[c] <= best_total:
            continue
        growth, count, least = growth_at(terms, channels, c), 0, np.float32(NEARLY * last)
        while True:
            count = 0
            for t in range(nearby):
                if bounds[t] < least:
                    continue
                e = np.uint64(near[t])
                j, chance = np.uint64(offer[e]), np.float64(p0[e])
                p1 = raised(chance, terms[j, growth])
                worth = worth_of(j, chance, p1, terms)
                if many_funders:
                    worth -= further_funders(j, p1, terms, channels)
                at = count
                while at > 0 and (
                    worths[at - 1] < worth or (worths[at - 1] == worth and rank[j] < rank[offer[drawn[c, at - 1]]])
                ):
                    if at < full:
                        worths[at], drawn[c, at] = worths[at - 1], drawn[c, at - 1]
                    at -= 1
                if worth > 0.0 and at < full:
                    worths[at], drawn[c, at] = worth, e
                    count = min(count + 1, full)
            if least <= 0.0 or (count == full and worths[full - 1] >= least):
                break
            least = np.float32(0.0)  # the upper bounds were too far above: all of them, then
        together = 0.0
        for t in range(count):
            together += worths[t]
        if count > 0 and together - toll[c] > best_total:
            best_total, best_channel, best_count = together - toll[c], c, count
    return best_channel, best_count, best_total


@compiled
def dual_block(
    low, high, longest, row, terms, upper, rules, counting, value_unit, used_quota, used_budget, used_channel
):
    """Σ φ over customers low … high in units of value_unit, rounded up; adds what their best messages use."""
    positions = rules[1]
    channels = len(positions)
    worths, spots, near = np.empty(longest + 1), np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    drawn = np.empty((channels, positions.max()), np.int64)
    scale = 1.0 / value_unit
    bounds = np.empty(longest + 1, np.float32)
    summed, simple = np.int64(0), rules[5] < 0 and not rules[4] and positions.max() <= FEW
    for i in range(low, high):
        if simple:
            c, count, total = best_of_many(i, row, terms, upper, rules, near, worths, bounds, drawn)
        else:
            c, count, total, _ = best_message(i, row, terms, upper, rules, near, worths, spots, drawn)
        if c < 0:
            continue
        summed += np.int64(np.ceil(total * scale))
        used_channel[c] += 1
        for t in range(count):
            e = drawn[c, t]
            j = np.intp(row[1][e])
            p1 = raised(np.float64(row[2][e]), terms[j, growth_at(terms, channels, c)])
            take(j, p1, -1, terms, counting, used_quota, used_budget)
    return summed


@compiled
def choose_block(low, high, longest, row, terms, upper, rules, best, regret, channel, chosen):
    """Per customer at the prices, with no limit: the best message, what it is worth (0 for none), and its regret."""
    positions = rules[1]
    worths, spots, near = np.empty(longest + 1), np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    drawn = np.empty((len(positions), positions.max()), np.int64)
    for i in range(low, high):
        c, count, best[i], regret[i] = best_message(i, row, terms, upper, rules, near, worths, spots, drawn)
        channel[i] = c
        for t in range(count):
            chosen[i, t] = drawn[c, t]


@compiled
def left_for(j, p1, terms, counting, quota, budget):
    """Whether the remaining quota and budgets allow one more of offer j."""
    quota_kind, funder, redemption_unit = counting
    need = np.int64(redemption_unit) if quota_kind[j] else np.int64(np.ceil(p1 * redemption_unit))
    if need > quota[j]:
        return False
    for k in range(funder.shape[1]):
        cost = np.int64(np.ceil(p1 * terms[j, HEAD + 2 * k]))
        if cost > 0 and cost > budget[funder[j, k]]:
            return False
    return True


@compiled
def strike_unfit(count, growth, offer, p0, terms, counting, quota, budget, worths, spots):
    """Takes out of those left all that the remaining quotas and budgets do not allow. Returns how many are left."""
    kept = 0
    for t in range(count):
        worths[kept], spots[kept] = worths[t], spots[t]
        j = np.intp(offer[spots[t]])
        p1 = raised(np.float64(p0[spots[t]]), terms[j, growth])
        kept += left_for(j, p1, terms, counting, quota, budget)
    return kept


@compiled
def take(j, p1, sign, terms, counting, quota, budget):
    """Take one of offer j from what remains, or give it back (sign −1)."""
    quota_kind, funder, redemption_unit = counting
    quota[j] -= sign * (np.int64(redemption_unit) if quota_kind[j] else np.int64(np.ceil(p1 * redemption_unit)))
    for k in range(funder.shape[1]):
        budget[funder[j, k]] -= sign * np.int64(np.ceil(p1 * terms[j, HEAD + 2 * k]))


@compiled
def take_message(i, sign, row, terms, counting, left, made):
    """Take all that customer i's message uses from what remains, or give it back (sign −1)."""
    quota, budget, capacity = left
    channel, chosen = made
    c = channel[i]
    if c < 0:
        return
    capacity[c] -= sign
    for t in range(chosen.shape[1]):
        e = chosen[i, t]
        if e >= 0:
            j = np.intp(row[1][e])
            p1 = raised(np.float64(row[2][e]), terms[j, growth_at(terms, len(capacity), c)])
            take(j, p1, sign, terms, counting, quota, budget)


@compiled
def serve(i, row, terms, upper, rules, counting, left, made, near, worths, spots, drawn):
    """Give customer i the best message that what is left allows, and take it from there. Returns what it is worth.

    made: channel [n] (−1: no message), chosen [n × most positions] (pairs, −1: free). A customer who has a message
    keeps it and gets its free positions filled; but a fallback stays alone.
    """
    indptr, offer, p0, allowed = row
    toll, positions, rank, group, grouped, fallback = rules
    quota, budget, capacity = left
    channel, chosen = made
    channels = len(toll)
    start, stop, fixed = 0, channels, 0
    if channel[i] >= 0:
        start, stop = channel[i], channel[i] + 1
        if offer[chosen[i, 0]] == fallback:
            return 0.0
        while fixed < positions[start] and chosen[i, fixed] >= 0:
            fixed += 1
    best_total, best_channel, best_count = 0.0, -1, 0
    nearby = within_reach(indptr[i], indptr[i + 1], offer, p0, upper[0], near)
    for c in range(start, stop):
        if fixed == positions[c] or (fixed == 0 and (not allowed[i, c] or capacity[c] < 1)):
            continue
        growth = growth_at(terms, channels, c)
        remaining = worth_having(c, nearby, near, offer, p0, terms, channels, worths, spots)
        alone, alone_worth = -1, 0.0
        if fallback >= 0:
            t = find(remaining, fallback, offer, spots)
            if t >= 0:
                p1 = raised(np.float64(p0[spots[t]]), terms[fallback, growth])
                if fixed == 0 and left_for(fallback, p1, terms, counting, quota, budget):
                    alone, alone_worth = spots[t], worths[t]
                remaining = strike(remaining, t, worths, spots)
        for t in range(fixed):
            remaining = strike_group(remaining, offer[chosen[i, t]], offer, worths, spots, group)
        together, count = 0.0, 0
        while fixed + count < positions[c]:
            t = draw(remaining, offer, worths, spots, rank)
            if t < 0:
                break
            e, worth = spots[t], worths[t]
            j = np.intp(offer[e])
            p1 = raised(np.float64(p0[e]), terms[j, growth])
            if not left_for(j, p1, terms, counting, quota, budget):
                remaining = strike_unfit(remaining, growth, offer, p0, terms, counting, quota, budget, worths, spots)
                continue
            take(j, p1, 1, terms, counting, quota, budget)
            together += worth
            drawn[c, count] = e
            count += 1
            remaining = strike(remaining, t, worths, spots)
            if grouped:
                remaining = strike_group(remaining, j, offer, worths, spots, group)
        for t in range(count):
            j = np.intp(offer[drawn[c, t]])
            take(j, raised(np.float64(p0[drawn[c, t]]), terms[j, growth]), -1, terms, counting, quota, budget)
        if alone_worth > together:
            together, count, drawn[c, 0] = alone_worth, 1, alone
        total = together if fixed else together - toll[c]
        if count > 0 and total > best_total:
            best_total, best_channel, best_count = total, c, count
    if best_channel >= 0:
        if fixed:
            take_message(i, -1, row, terms, counting, left, made)
        channel[i] = best_channel
        for t in range(best_count):
            chosen[i, fixed + t] = drawn[best_channel, t]
        take_message(i, 1, row, terms, counting, left, made)
    return best_total


@compiled
def walk(order, longest, row, terms, upper, rules, counting, left, made):
    """Serve the customers of `order` one after the other. Returns how many got something."""
    positions = rules[1]
    worths, spots, near = np.empty(longest + 1), np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    drawn = np.empty((len(positions), positions.max()), np.int64)
    served = 0
    for i in order:
        served += serve(i, row, terms, upper, rules, counting, left, made, near, worths, spots, drawn) > 0.0
    return served


@compiled
def message_worth(i, row, terms, rules, made):
    """What customer i's message is worth at the prices of terms; 0 for none."""
    channel, chosen = made
    c = channel[i]
    if c < 0:
        return 0.0
    total, channels = 0.0, len(rules[0])
    for t in range(chosen.shape[1]):
        e = chosen[i, t]
        if e >= 0:
            j, chance = np.uint64(row[1][e]), np.float64(row[2][e])
            p1 = raised(chance, terms[j, growth_at(terms, channels, c)])
            total += worth_of(j, chance, p1, terms) - further_funders(j, p1, terms, channels)
    return total - rules[0][c]


@compiled
def exchange(order, longest, row, terms, upper, rules, counting, left, made):
    """Take each customer's message back and serve them again with what is left; keep the better of the two.

    Returns how many messages became better. Nothing ever becomes worse, at the prices of terms.
    """
    positions = rules[1]
    channel, chosen = made
    worths, spots, near = np.empty(longest + 1), np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    drawn = np.empty((len(positions), positions.max()), np.int64)
    before = np.empty(chosen.shape[1], np.int64)
    better = 0
    for i in order:
        c, old = channel[i], message_worth(i, row, terms, rules, made)
        before[:] = chosen[i]
        take_message(i, -1, row, terms, counting, left, made)
        channel[i] = -1
        chosen[i] = -1
        new = serve(i, row, terms, upper, rules, counting, left, made, near, worths, spots, drawn)
        if new > old + 1e-9 * abs(old):  # more than rounding
            better += 1
            continue
        take_message(i, -1, row, terms, counting, left, made)
        channel[i] = c
        chosen[i] = before
        take_message(i, 1, row, terms, counting, left, made)
    return better


@compiled
def survey(indptr, offer, p0, offers, unit, count, chances):
    """Counts pairs and sums p0 (in units of 1 / unit) per offer; returns the first pair that is wrong, or −1.

    Wrong: an offer that does not exist, or twice in a row; a p0 outside 0–1.
    """
    seen = np.full(offers, -1, np.int64)
    for i in range(len(indptr) - 1):
        for e in range(indptr[i], indptr[i + 1]):
            j = np.intp(offer[e])
            if j >= offers or not (p0[e] >= 0.0 and p0[e] <= 1.0) or seen[j] == i:
                return e
            seen[j] = i
            count[j] += 1
            chances[j] += np.int64(np.float64(p0[e]) * unit)
    return np.int64(-1)
