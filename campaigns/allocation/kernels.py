# mypy: allow-untyped-defs
"""The loops over pairs, compiled. Each works on a range of customers, holds no state, and lets go of the GIL.

Whatever is summed over customers is summed in whole numbers (rupiah, messages, and redemptions and rupiah of the dual
in units of a power of two), so that no order of rows and no number of threads can change a result.

terms [m × width] holds what a pair's reduced value needs of its offer at given prices:
  0 margin · 1 benefit·retailer_share + price per redemption · 2 price per message · 3–4, 5–6 … of each funder of the
  offer (two at least): its cost per redemption, the price of its budget · last, one per channel: growth (p1 / p0).
`row` is (indptr, offer, p0, allowed), `rules` (toll, positions, rank, group, grouped, fallback), `counting`
(quota_kind, funder, redemption_unit), `left` (quota, budget, capacity), `made` (channel, chosen): see Prepared.
All kernels stay in this one file: numba's cache notices changes of a kernel's own file only.
"""

from typing import Any

import numpy as np
from numba import njit

HEAD = 3  # terms before those of the funders
GONE = -1.0  # in place of what a pair is worth: no longer to be had


def compiled(function: Any) -> Any:
    return njit(function, nogil=True, cache=True, error_model="numpy")


@compiled
def raised(p0, growth):
    """p1, as value.purchase_probability."""
    return min(1.0, p0 * growth)


@compiled
def growth_at(terms, channels, c):
    return np.uint64(terms.shape[1] - channels + c)


@compiled
def worths_on(c, offer, p0, terms, channels, worths):
    """What each pair of a customer is worth on channel c: its value less what it uses at the prices of the limits.

    At prices of 0 this is value.pair_value, bit for bit.
    """
    growth = growth_at(terms, channels, c)
    for s in range(len(offer)):
        j, chance = np.uint64(offer[s]), np.float64(p0[s])
        p1 = raised(chance, terms[j, growth])
        worths[s] = (
            (p1 - chance) * terms[j, 0]
            - p1 * terms[j, 1]
            - terms[j, 2]
            - terms[j, 4] * np.ceil(p1 * terms[j, 3])
            - terms[j, 6] * np.ceil(p1 * terms[j, 5])
        )
    for k in range(HEAD + 4, terms.shape[1] - channels, 2):  # offers with more than two funders are rare
        for s in range(len(offer)):
            j = np.uint64(offer[s])
            worths[s] -= terms[j, k + 1] * np.ceil(raised(np.float64(p0[s]), terms[j, growth]) * terms[j, k])


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def highest(worths, count):
    most = 0.0
    for s in range(count):
        most = max(most, worths[s])
    return most


@compiled
def draw(offer, worths, rank):
    """The pair that is worth most, above 0; of equals the one whose offer ranks first. −1 where there is none."""
    most = highest(worths, len(offer))
    at = -1
    if most > 0.0:
        for s in range(len(offer)):
            if worths[s] == most and (at < 0 or rank[offer[s]] < rank[offer[at]]):
                at = s
    return at


@compiled
def strike(at, offer, worths, group, grouped):
    """The pair is taken: neither it nor another of its offer's group is to be had again."""
    worths[at] = GONE
    if grouped:
        for s in range(len(offer)):
            if group[offer[s]] == group[offer[at]]:
                worths[s] = GONE


@compiled
def set_aside(offer, worths, fallback):
    """Takes the fallback out of the running; returns its pair, −1 where it is worth nothing."""
    if fallback >= 0:
        for s in range(len(offer)):
            if offer[s] == fallback:
                worth = worths[s]
                worths[s] = GONE
                return (s, worth) if worth > 0.0 else (-1, 0.0)
    return -1, 0.0


@compiled
def best_message(i, row, terms, rules, worths, drawn):
    """The best message for customer i at the prices: channel (−1: none), number of offers, what it is worth, regret.

    drawn [channels × most positions] is filled with its pairs. Regret: by how much the next best falls short, which is
    a message with another last offer, the best one on another channel, or none.
    """
    indptr, offer, p0, allowed = row
    toll, positions, rank, group, grouped, fallback = rules
    channels = len(toll)
    offer, p0, first = offer[indptr[i] : indptr[i + 1]], p0[indptr[i] : indptr[i + 1]], indptr[i]
    best_total, best_channel, best_count, regret = 0.0, -1, 0, 0.0
    for c in range(channels):
        if not allowed[i, c]:
            continue
        worths_on(c, offer, p0, terms, channels, worths)
        alone, alone_worth = set_aside(offer, worths, fallback)
        together, count, swap = 0.0, 0, np.inf
        while count < positions[c]:
            at = draw(offer, worths, rank)
            if at < 0:
                break
            swap = worths[at]
            together += swap
            drawn[c, count] = first + at
            strike(at, offer, worths, group, grouped)
            count += 1
        if alone_worth > together:
            swap = min(alone_worth - together, alone_worth)
            together, count = alone_worth, 1
            drawn[c, 0] = first + alone
        elif count == positions[c]:
            swap -= highest(worths, len(offer))
        total = together - toll[c]
        if count > 0 and total > best_total:
            regret = min(swap, total - best_total)
            best_total, best_channel, best_count = total, c, count
        elif count > 0:
            regret = min(regret, best_total - total)
    return best_channel, best_count, best_total, regret


@compiled
def dual_block(low, high, longest, row, terms, rules, counting, value_unit, used_quota, used_budget, used_channel):
    """Σ φ over customers low … high in units of value_unit, rounded up; adds what their best messages use."""
    positions = rules[1]
    channels = len(positions)
    worths, drawn = np.empty(longest), np.empty((channels, positions.max()), np.int64)
    scale = 1.0 / value_unit
    summed = np.int64(0)
    for i in range(low, high):
        c, count, total, _ = best_message(i, row, terms, rules, worths, drawn)
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
def choose_block(low, high, longest, row, terms, rules, best, regret, channel, chosen):
    """Per customer at the prices, with no limit: the best message, what it is worth (0 for none), and its regret."""
    positions = rules[1]
    worths, drawn = np.empty(longest), np.empty((len(positions), positions.max()), np.int64)
    for i in range(low, high):
        c, count, best[i], regret[i] = best_message(i, row, terms, rules, worths, drawn)
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
def serve(i, row, terms, rules, counting, left, made, worths, drawn):
    """Give customer i the best message that what is left allows, and take it from there. Returns what it is worth.

    made: channel [n] (−1: no message), chosen [n × most positions] (pairs, −1: free). A customer who has a message
    keeps it and gets its free positions filled; but a fallback stays alone.
    """
    indptr, all_offers, all_p0, allowed = row
    toll, positions, rank, group, grouped, fallback = rules
    quota, budget, capacity = left
    channel, chosen = made
    channels, first = len(toll), indptr[i]
    offer, p0 = all_offers[first : indptr[i + 1]], all_p0[first : indptr[i + 1]]
    start, stop, fixed = 0, channels, 0
    if channel[i] >= 0:
        start, stop = channel[i], channel[i] + 1
        if all_offers[chosen[i, 0]] == fallback:
            return 0.0
        while fixed < positions[start] and chosen[i, fixed] >= 0:
            fixed += 1
    best_total, best_channel, best_count = 0.0, -1, 0
    for c in range(start, stop):
        if fixed == positions[c] or (fixed == 0 and (not allowed[i, c] or capacity[c] < 1)):
            continue
        growth = growth_at(terms, channels, c)
        worths_on(c, offer, p0, terms, channels, worths)
        alone, alone_worth = set_aside(offer, worths, fallback)
        if alone >= 0:
            p1 = raised(np.float64(p0[alone]), terms[fallback, growth])
            if fixed > 0 or not left_for(fallback, p1, terms, counting, quota, budget):
                alone_worth = 0.0
        for t in range(fixed):
            strike(chosen[i, t] - first, offer, worths, group, grouped)
        together, count = 0.0, 0
        while fixed + count < positions[c]:
            at = draw(offer, worths, rank)
            if at < 0:
                break
            j = np.intp(offer[at])
            p1 = raised(np.float64(p0[at]), terms[j, growth])
            if left_for(j, p1, terms, counting, quota, budget):
                take(j, p1, 1, terms, counting, quota, budget)
                together += worths[at]
                drawn[c, count] = first + at
                count += 1
                strike(at, offer, worths, group, grouped)
            else:
                worths[at] = GONE
        for t in range(count):
            j = np.intp(all_offers[drawn[c, t]])
            take(j, raised(np.float64(all_p0[drawn[c, t]]), terms[j, growth]), -1, terms, counting, quota, budget)
        if alone_worth > together:
            together, count, drawn[c, 0] = alone_worth, 1, first + alone
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
def walk(order, longest, row, terms, rules, counting, left, made):
    """Serve the customers of `order` one after the other. Returns how many got something."""
    positions = rules[1]
    worths, drawn = np.empty(longest), np.empty((len(positions), positions.max()), np.int64)
    served = 0
    for i in order:
        served += serve(i, row, terms, rules, counting, left, made, worths, drawn) > 0.0
    return served


@compiled
def message_worth(i, row, terms, rules, made):
    """What customer i's message is worth at the prices of terms; 0 for none."""
    channel, chosen = made
    c = channel[i]
    if c < 0:
        return 0.0
    total, one = 0.0, np.empty(1)
    for t in range(chosen.shape[1]):
        e = chosen[i, t]
        if e >= 0:
            worths_on(c, row[1][e : e + 1], row[2][e : e + 1], terms, len(rules[0]), one)
            total += one[0]
    return total - rules[0][c]


@compiled
def exchange(order, longest, row, terms, rules, counting, left, made):
    """Take each customer's message back and serve them again with what is left; keep the better of the two.

    Returns how many messages became better. Nothing ever becomes worse, at the prices of terms.
    """
    positions = rules[1]
    channel, chosen = made
    worths, drawn = np.empty(longest), np.empty((len(positions), positions.max()), np.int64)
    before = np.empty(chosen.shape[1], np.int64)
    better = 0
    for i in order:
        c, old = channel[i], message_worth(i, row, terms, rules, made)
        before[:] = chosen[i]
        take_message(i, -1, row, terms, counting, left, made)
        channel[i] = -1
        chosen[i] = -1
        new = serve(i, row, terms, rules, counting, left, made, worths, drawn)
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
