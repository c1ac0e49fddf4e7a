# mypy: allow-untyped-defs
"""Messages given one after the other, as long as the limits last; and taken back for better ones."""

import numpy as np

from campaigns.allocation.kernels.choosing import draw, find, strike, strike_group, within_reach, worth_having
from campaigns.allocation.kernels.compiling import compiled
from campaigns.allocation.kernels.counting import lacking, left_for, strike_unfit, take, take_message
from campaigns.allocation.kernels.worth import further_funders, growth_at, raised, toll_of, worth_of


@compiled
def serve(i, row, terms, upper, rules, counting, left, made, near, worths, spots, drawn):
    """Give customer i the best message that what is left allows, and take it from there. Returns what it is worth.

    made: channel [n] (−1: no message), chosen [n × most positions] (pairs, −1: free). A customer who has a message
    keeps it and gets its free positions filled; but a fallback stays alone.
    """
    indptr, offer, p0, allowed, segment, person, extra = row
    s = np.uint64(segment[i])
    toll, positions, rank, group, grouped, fallback = rules
    _, _, capacity, _, patience = left
    channel, chosen = made
    channels = len(toll)
    start, stop, fixed = 0, channels, 0
    if channel[i] < 0:  # nothing of a customer is looked at in vain: their pairs are far apart in memory
        able = False
        for c in range(channels):
            able |= allowed[i, c] and capacity[c] >= 1
        if not able or patience[person[i]] < 1:
            return 0.0
    if channel[i] >= 0:
        start, stop = channel[i], channel[i] + 1
        if offer[chosen[i, 0]] == fallback[start]:
            return 0.0
        while fixed < positions[start] and chosen[i, fixed] >= 0:
            fixed += 1
        if fixed == positions[start]:
            return 0.0
    best_total, best_channel, best_count = 0.0, -1, 0
    nearby = within_reach(s, indptr[i], indptr[i + 1], offer, p0, upper[0], near)
    for c in range(start, stop):
        if fixed == 0 and (not allowed[i, c] or capacity[c] < 1):
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
        total = together if fixed else together - toll_of(i, c, toll, extra)
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
def could_get(low, high, row, terms, upper, rules, counting, left, made, hopeful, scratch):
    """Says of the customers low … high whether serve might give them anything: never no where it would.

    A message could be worth as much as the best of the pairs that what is left allows one by one, groups forgotten.
    """
    indptr, offer, p0, allowed, segment, person, extra = row
    toll, positions, _, _, _, _ = rules
    _, _, capacity, _, patience = left
    channel, chosen = made
    (worths, spots, near), (_, most), _ = scratch
    most = most[0]  # of a message's places, the least first
    for i in range(low, high):
        s, hopeful[i] = np.uint64(segment[i]), False
        kept = channel[i] >= 0
        if chosen[i, positions[channel[i]] - 1] >= 0 if kept else patience[person[i]] < 1:
            continue
        nearby = within_reach(s, indptr[i], indptr[i + 1], offer, p0, upper[0], near)
        for c in range(len(toll)):
            if c != channel[i] if kept else (not allowed[i, c] or capacity[c] < 1):
                continue
            growth = growth_at(terms, len(toll), c)
            left_over, places = 0.0 if kept else -toll_of(i, c, toll, extra), 1 if kept else positions[c]
            for t in range(places):
                most[t] = 0.0
            for t in range(worth_having(s, c, nearby, near, offer, p0, terms, len(toll), worths, spots)):
                j = np.intp(offer[spots[t]])
                p1 = raised(np.float64(p0[spots[t]]), terms[s, j, growth])
                if worths[t] > most[0] and left_for(s, j, p1, terms, counting, left):
                    left_over += worths[t] - most[0]
                    at = 1
                    while at < places and most[at] < worths[t]:
                        most[at - 1] = most[at]
                        at += 1
                    most[at - 1] = worths[t]
            hopeful[i] |= left_over > (0.0 if kept else -1e-9 * toll[c])  # more than rounding


@compiled
def walk(order, row, terms, upper, rules, counting, left, made, scratch):
    """Serve the customers of `order` one after the other. Returns how many got something."""
    (worths, spots, near), (drawn, _), _ = scratch
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
    return total - toll_of(i, c, rules[0], row[6])


@compiled
def least_of_person(i, row, terms, rules, made):
    """Of the rows of customer i's person the one whose message is worth least; −1 where none has a message."""
    person, channel = row[5], made[0]
    least, at = np.inf, -1
    low = high = i
    while low > 0 and person[low - 1] == person[i]:
        low -= 1
    while high + 1 < len(person) and person[high + 1] == person[i]:
        high += 1
    for r in range(low, high + 1):
        if channel[r] >= 0:
            worth = message_worth(r, row, terms, rules, made)
            if worth < least:
                least, at = worth, r
    return at


@compiled
def exchange(order, row, terms, upper, rules, counting, left, made, scratch, wanted):
    """Take each customer's message back and serve them again with what is left; keep the better of the two.

    A row whose person gets no more messages tries for the place of the one that is worth least. Returns how many
    messages became better. Nothing ever becomes worse, at the prices of terms, and no minimum ever lacks more than
    before. It ends as soon as the minimums `wanted` are met, if there are any.
    """
    channel, chosen = made
    (worths, spots, near), (drawn, _), (_, _, _, kept, _) = scratch
    before = kept[0, : chosen.shape[1]]
    better = 0
    for i in order:
        at = i
        if channel[i] < 0 and left[4][row[5][i]] < 1:
            at = least_of_person(i, row, terms, rules, made)
            if at < 0:
                continue
        c, old = channel[at], message_worth(at, row, terms, rules, made)
        for t in range(len(before)):
            before[t] = chosen[at, t]
        s = np.uint64(row[4][at])
        short = lacking(s, before, row[1], counting, left[3])
        take_message(at, -1, row, terms, counting, left, made)
        channel[at] = -1
        for t in range(len(before)):
            chosen[at, t] = -1
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
        channel[i] = -1
        for t in range(len(before)):
            chosen[i, t] = -1
        channel[at] = c
        for t in range(len(before)):
            chosen[at, t] = before[t]
        take_message(at, 1, row, terms, counting, left, made)
    return better
