# mypy: allow-untyped-defs
"""Passes over all customers: the dual and what it uses, the best messages, and a look at the pairs themselves."""

import numpy as np

from campaigns.allocation.kernels.choosing import FEW, PLACES, UNSURE, best_message, best_of_many, pick
from campaigns.allocation.kernels.compiling import compiled
from campaigns.allocation.kernels.worth import HEAD, growth_at, raised


@compiled
def dual_block(low, high, people, row, terms, upper, rules, unit, value_unit, uses, scratch):
    """Σ φ over people low … high in units of value_unit, rounded up; adds what their best messages use.

    people: (first row of each, most messages of each). uses: redemptions and messages of each offer in each segment
    [segments × m, in 1 / unit and in ones], budgets, capacity.
    """
    funder, (redeemed, sent, budgets, capacity) = uses[0], uses[1]
    first, patience = people
    _, offer, p0, _, segment, _, _ = row
    _, positions, _, _, grouped, fallback = rules
    channels = len(positions)
    (worths, spots, near), (drawn, chances), (totals, on, counts, kept, likely) = scratch
    wide = kept.shape[1]
    scale = 1.0 / value_unit
    simple = not grouped and len(near) <= PLACES + 1
    for c in range(channels):
        simple &= positions[c] <= FEW and fallback[c] < 0
    summed = np.int64(0)
    for u in range(low, high):
        rows = first[u + 1] - first[u]
        for r in range(rows):
            i = first[u] + r
            c = UNSURE
            if simple:
                c, count, best = best_of_many(i, row, terms, upper, rules, near, drawn, chances)
            if c == UNSURE:
                c, count, best, _ = best_message(i, row, terms, upper, rules, near, worths, spots, drawn)
                for t in range(count):
                    e = drawn[c, t]
                    growth = terms[np.uint64(segment[i]), np.uint64(offer[e]), growth_at(terms, channels, c)]
                    chances[c, t] = raised(np.float64(p0[e]), growth)
            totals[r], on[r], counts[r] = best, c, count
            for t in range(wide):
                kept[r, t], likely[r, t] = drawn[c, t], chances[c, t]
        if rows > patience[u]:
            pick(rows, patience[u], totals)
        for r in range(rows):
            if totals[r] <= 0.0:
                continue
            c, s = on[r], np.uint64(segment[first[u] + r])
            summed += np.int64(np.ceil(totals[r] * scale))
            capacity[c] += 1
            for t in range(counts[r]):
                j, p1 = np.uint64(offer[kept[r, t]]), likely[r, t]
                redeemed[s, j] += np.int64(np.ceil(p1 * unit))
                sent[s, j] += 1
                for k in range(funder.shape[1]):
                    budgets[funder[j, k]] += np.int64(np.ceil(p1 * terms[s, j, HEAD + 2 * k]))
    return summed


@compiled
def choose_block(low, high, people, row, terms, upper, rules, best, regret, channel, chosen, scratch):
    """Per row at the prices, with no limit: the best message, what it is worth (0 for none), and its regret.

    People with more rows than they may get messages keep their best.
    """
    first, patience = people
    (worths, spots, near), (drawn, _), _ = scratch
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
                    for t in range(chosen.shape[1]):
                        chosen[i, t] = -1


@compiled
def survey(indptr, offer, p0, unit, count, chances, seen):
    """Counts pairs and sums p0 (in units of 1 / unit) per offer; returns the first pair that is wrong, or −1.

    Wrong: an offer that does not exist, or twice in a row; a p0 outside 0–1.
    """
    for i in range(len(indptr) - 1):
        for e in range(indptr[i], indptr[i + 1]):
            j = np.intp(offer[e])
            if j >= len(count) or not (p0[e] >= 0.0 and p0[e] <= 1.0) or seen[j] == i:
                return e
            seen[j] = i
            count[j] += 1
            chances[j] += np.int64(np.float64(p0[e]) * unit)
    return np.int64(-1)
