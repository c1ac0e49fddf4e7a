# mypy: allow-untyped-defs
"""The loops over pairs, compiled. Each works on a range of customers, holds no state, and lets go of the GIL.

Whatever is summed over customers is summed in whole numbers (rupiah, messages, and redemptions and rupiah of the dual
in units of a power of two), so that no order of rows and no number of threads can change a result.

terms [segments × m × width] holds what a pair's reduced value needs of its offer at given prices, in each segment of
the customers (those who are in the same groups):
  0 margin · 1 benefit·retailer_share + price per redemption · 2 price per message · 3–4, 5–6 … of each funder of the
  offer (two at least): its cost per redemption, the price of its budget · last, one per channel: growth (p1 / p0).
upper (reach, gain [… × channels], fee), float32 [segments × m]: a pair with a p0 below reach is worth nothing on any
channel, and no pair that is worth something is worth more than p0·gain − fee: see Prepared.upper.
`row` is (indptr, offer, p0, allowed, segment, person), `rules` (toll, positions, rank, group, grouped, fallback by
channel), `counting` (quota_kind, funder, unit, further limits by segment and offer), `left` (quota, budget, capacity,
further, patience: messages of each person), `made` (channel, chosen): see Prepared.
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
    return np.uint64(terms.shape[2] - channels + c)


@inlined
def worth_of(s, j, p0, p1, terms):
    """A pair's value less what it uses at the limits' prices. At prices of 0 it is value.pair_value, bit for bit."""
    return (
        (p1 - p0) * terms[s, j, 0]
        - p1 * terms[s, j, 1]
        - terms[s, j, 2]
        - terms[s, j, 4] * np.ceil(p1 * terms[s, j, 3])
        - terms[s, j, 6] * np.ceil(p1 * terms[s, j, 5])
    )


@inlined
def further_funders(s, j, p1, terms, channels):
    """What worth_of leaves out where an offer has more than two funders."""
    paid = 0.0
    for k in range(HEAD + 4, terms.shape[2] - channels, 2):
        paid += terms[s, j, k + 1] * np.ceil(p1 * terms[s, j, k])
    return paid


@inlined
def within_reach(s, low, high, offer, p0, reach, near):
    """The pairs low … high whose p0 is high enough to be worth anything: most are not. Returns how many are."""
    count = 0
    for e in range(low, high):  # no branches: every pair comes by here
        near[count] = e
        count += p0[e] >= reach[s, np.uint64(offer[e])]
    return count


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
    indptr, offer, p0, allowed, segment, _ = row
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
    indptr, offer, p0, allowed, segment, _ = row
    s = np.uint64(segment[i])
    toll, positions, rank, _, _, _ = rules
    reach, gain, fee = upper
    channels = len(toll)
    many_funders = terms.shape[2] - channels > HEAD + 4
    best_total, best_channel, best_count = 0.0, -1, 0
    nearby = within_reach(s, indptr[i], indptr[i + 1], offer, p0, reach, near)
    for c in range(channels):
        if not allowed[i, c]:
            continue
        nothing = np.float32(0.0)
        first, second, third = nothing, nothing, nothing
        for t in range(nearby):
            e = np.uint64(near[t])
            j = np.uint64(offer[e])
            bound = p0[e] * gain[s, j, c] - fee[s, j]
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
                p1 = raised(chance, terms[s, j, growth])
                worth = worth_of(s, j, chance, p1, terms)
                if many_funders:
                    worth -= further_funders(s, j, p1, terms, channels)
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


@compiled
def dual_block(low, high, widest, longest, people, row, terms, upper, rules, unit, value_unit, uses):
    """Σ φ over people low … high in units of value_unit, rounded up; adds what their best messages use.

    people: (first row of each, most messages of each). uses: redemptions and messages of each offer in each segment
    [segments × m, in 1 / unit and in ones], budgets, capacity.
    """
    funder, (redeemed, sent, budgets, capacity) = uses[0], uses[1]
    first, patience = people
    positions = rules[1]
    channels = len(positions)
    worths, spots, near = np.empty(longest + 1), np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    bounds = np.empty(longest + 1, np.float32)
    drawn = np.empty((channels, positions.max()), np.int64)
    kept = np.empty((widest, positions.max()), np.int64)
    totals, on, counts = np.empty(widest), np.empty(widest, np.int64), np.empty(widest, np.int64)
    scale = 1.0 / value_unit
    summed, simple = np.int64(0), rules[5].max() < 0 and not rules[4] and positions.max() <= FEW
    for u in range(low, high):
        rows = first[u + 1] - first[u]
        for r in range(rows):
            i = first[u] + r
            if simple:
                c, count, total = best_of_many(i, row, terms, upper, rules, near, worths, bounds, drawn)
            else:
                c, count, total, _ = best_message(i, row, terms, upper, rules, near, worths, spots, drawn)
            totals[r], on[r], counts[r] = total if c >= 0 else 0.0, c, count
            for t in range(count):
                kept[r, t] = drawn[c, t]
        if rows > patience[u]:
            pick(rows, patience[u], totals)
        for r in range(rows):
            if totals[r] <= 0.0:
                continue
            c, s = on[r], np.uint64(row[4][first[u] + r])
            summed += np.int64(np.ceil(totals[r] * scale))
            capacity[c] += 1
            for t in range(counts[r]):
                e = kept[r, t]
                j = np.uint64(row[1][e])
                p1 = raised(np.float64(row[2][e]), terms[s, j, growth_at(terms, channels, c)])
                redeemed[s, j] += np.int64(np.ceil(p1 * unit))
                sent[s, j] += 1
                for k in range(funder.shape[1]):
                    budgets[funder[j, k]] += np.int64(np.ceil(p1 * terms[s, j, HEAD + 2 * k]))
    return summed


@compiled
def choose_block(low, high, widest, longest, people, row, terms, upper, rules, best, regret, channel, chosen):
    """Per row at the prices, with no limit: the best message, what it is worth (0 for none), and its regret.

    People with more rows than they may get messages keep their best.
    """
    first, patience = people
    positions = rules[1]
    worths, spots, near = np.empty(longest + 1), np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    drawn = np.empty((len(positions), positions.max()), np.int64)
    for u in range(low, high):
        for i in range(first[u], first[u + 1]):
            c, count, best[i], regret[i] = best_message(i, row, terms, upper, rules, near, worths, spots, drawn)
            channel[i] = c
            for t in range(count):
                chosen[i, t] = drawn[c, t]
        rows = first[u + 1] - first[u]
        if rows > patience[u]:
            pick(rows, patience[u], best[first[u] : first[u + 1]])
            for i in range(first[u], first[u + 1]):
                if best[i] <= 0.0:
                    channel[i] = -1
                    chosen[i] = -1


@compiled
def needed(p1, weight, sent, unit):
    """What one decision uses of a limit, in whole numbers, rounded up."""
    return np.int64(np.ceil(weight * unit if sent else p1 * weight * unit))


@compiled
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


@compiled
def strike_unfit(s, count, growth, offer, p0, terms, counting, left, worths, spots):
    """Takes out of those left all that the remaining limits do not allow. Returns how many are left."""
    kept = 0
    for t in range(count):
        worths[kept], spots[kept] = worths[t], spots[t]
        j = np.intp(offer[spots[t]])
        p1 = raised(np.float64(p0[spots[t]]), terms[s, j, growth])
        kept += left_for(s, j, p1, terms, counting, left)
    return kept


@compiled
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


@compiled
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


@compiled
def serve(i, row, terms, upper, rules, counting, left, made, near, worths, spots, drawn):
    """Give customer i the best message that what is left allows, and take it from there. Returns what it is worth.

    made: channel [n] (−1: no message), chosen [n × most positions] (pairs, −1: free). A customer who has a message
    keeps it and gets its free positions filled; but a fallback stays alone.
    """
    indptr, offer, p0, allowed, segment, person = row
    s = np.uint64(segment[i])
    toll, positions, rank, group, grouped, fallback = rules
    _, _, capacity, _, patience = left
    channel, chosen = made
    channels = len(toll)
    start, stop, fixed = 0, channels, 0
    if channel[i] < 0 and patience[person[i]] < 1:
        return 0.0
    if channel[i] >= 0:
        start, stop = channel[i], channel[i] + 1
        if offer[chosen[i, 0]] == fallback[start]:
            return 0.0
        while fixed < positions[start] and chosen[i, fixed] >= 0:
            fixed += 1
    best_total, best_channel, best_count = 0.0, -1, 0
    nearby = within_reach(s, indptr[i], indptr[i + 1], offer, p0, upper[0], near)
    for c in range(start, stop):
        if fixed == positions[c] or (fixed == 0 and (not allowed[i, c] or capacity[c] < 1)):
            continue
        growth = growth_at(terms, channels, c)
        remaining = worth_having(s, c, nearby, near, offer, p0, terms, channels, worths, spots)
        alone, alone_worth = -1, 0.0
        if fallback[c] >= 0:
            t = find(remaining, fallback[c], offer, spots)
            if t >= 0:
                p1 = raised(np.float64(p0[spots[t]]), terms[s, fallback[c], growth])
                if fixed == 0 and left_for(s, fallback[c], p1, terms, counting, left):
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
            p1 = raised(np.float64(p0[e]), terms[s, j, growth])
            if not left_for(s, j, p1, terms, counting, left):
                remaining = strike_unfit(s, remaining, growth, offer, p0, terms, counting, left, worths, spots)
                continue
            take(s, j, p1, 1, terms, counting, left)
            together += worth
            drawn[c, count] = e
            count += 1
            remaining = strike(remaining, t, worths, spots)
            if grouped:
                remaining = strike_group(remaining, j, offer, worths, spots, group)
        for t in range(count):
            j = np.intp(offer[drawn[c, t]])
            take(s, j, raised(np.float64(p0[drawn[c, t]]), terms[s, j, growth]), -1, terms, counting, left)
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
    c, s = channel[i], np.uint64(row[4][i])
    if c < 0:
        return 0.0
    total, channels = 0.0, len(rules[0])
    for t in range(chosen.shape[1]):
        e = chosen[i, t]
        if e >= 0:
            j, chance = np.uint64(row[1][e]), np.float64(row[2][e])
            p1 = raised(chance, terms[s, j, growth_at(terms, channels, c)])
            total += worth_of(s, j, chance, p1, terms) - further_funders(s, j, p1, terms, channels)
    return total - rules[0][c]


@compiled
def exchange(order, longest, row, terms, upper, rules, counting, left, made, wanted):
    """Take each customer's message back and serve them again with what is left; keep the better of the two.

    Returns how many messages became better. Nothing ever becomes worse, at the prices of terms, and no minimum ever
    lacks more than before. It ends as soon as the minimums `wanted` are met, if there are any.
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
        s = np.uint64(row[4][i])
        short = lacking(s, before, row[1], counting, left[3])
        take_message(i, -1, row, terms, counting, left, made)
        channel[i] = -1
        chosen[i] = -1
        new = serve(i, row, terms, upper, rules, counting, left, made, near, worths, spots, drawn)
        more = new > old + 1e-9 * abs(old)  # more than rounding
        if more and lacking(s, before, row[1], counting, left[3]) <= short:
            better += 1
            short = np.int64(len(wanted))
            for r in wanted:
                short -= left[3][r] >= 0
            if len(wanted) > 0 and short == 0:
                break
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
