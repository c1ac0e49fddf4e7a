# mypy: allow-untyped-defs
"""The best few items of each customer by a blend, without working out what most items score.

To the power of 1 / (weight of the factors), the odds of an item never bought are a product of what the item is like,
its factors' score, and a power of each other measure of taste (see recsys.discoveries). Products compare as odds do,
and need no logarithms. What was bought before comes first, so that most others are passed over at a glance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.discoveries import GROUP_PRIOR, Taste
from recsys.topk import Top, compiled, in_threads, inlined

Floats = NDArray[np.float32]

BLOCK = 32  # customers whose factors meet all items in one product, always so many, so that no bit depends on others
TASK = 1024
LEAST_WEIGHT = 0.25  # of the factors; with less, the powers go beyond what float32 holds
SURE = 1 - 2.0**-24  # the highest chance that has odds
BOUGHT, LEFT_OUT = 1, 2  # bits of an item's state


@dataclass(frozen=True, eq=False)
class Odds:
    """log odds [customers × items] = item + customer + Σ weights · taste's logs; own chances, beside the history's
    indices, of what was bought before. Factors must weigh at least LEAST_WEIGHT."""

    taste: Taste
    item: Floats
    customer: Floats
    weights: Floats
    own: Floats


def best_of_odds(
    odds: Odds,
    rows: NDArray[np.integer],
    n: int,
    offered: NDArray[np.bool_],
    without: csr_matrix | None,
    threads: int = 0,
) -> Top:
    """(items int32, chances float32), both [rows × n], best first; -1 and -inf where fewer are left.

    rows: customers with a history. offered: bool [items], those to choose from. without: CSR [customers × items],
    cells that are left out, whatever their weight. Equal chances come in the order of item numbers.
    """
    taste = odds.taste
    items, scores = np.full((len(rows), n), -1, np.int32), np.full((len(rows), n), -np.inf, np.float32)
    if not n or not len(rows):
        return items, scores
    power = np.float64(1) / odds.weights.astype(np.float64)[0]
    like = np.where(offered, np.exp(odds.item * power), -1).astype(np.float32)
    usual, levels = taste.usual, len(taste.groups)
    ratio = (usual / np.maximum(usual, np.float32(1e-9))).astype(np.float32)
    history, near = taste.history, taste.nearest
    most_similar = np.asarray(near.sum(axis=1)).ravel() + taste.least[1]
    reach = (like * most_similar ** (odds.weights[1] * power) * (1 + 1e-5)).astype(np.float32)  # and some rounding
    left_out = without if without is not None else csr_matrix(history.shape, dtype=np.float32)
    known = (
        (like, reach, odds.item, odds.customer, odds.weights.astype(np.float64), taste.least.astype(np.float64)),
        (history.indptr.astype(np.int64), history.indices, history.data, odds.own),
        (near.indptr.astype(np.int64), near.indices, near.data),
        (np.ascontiguousarray(taste.groups, np.int32), usual, ratio),
        (left_out.indptr.astype(np.int64), left_out.indices),
    )
    vectors = np.ascontiguousarray(taste.item_factors.T)

    def task(part: tuple[int, int]) -> None:
        block, product = np.zeros((BLOCK, len(vectors)), np.float32), np.empty((BLOCK, len(like)), np.float32)
        room = (
            np.zeros(len(like), np.int8),
            (np.zeros((levels, usual.shape[1])), np.empty((levels, usual.shape[1]), np.float32)),
            (np.empty(n + 1), np.empty(n + 1, np.int64)),
        )
        for low in range(*part, BLOCK):
            chosen = rows[low : min(low + BLOCK, part[1])]
            block[: len(chosen)] = taste.customer_factors[chosen]
            np.dot(block, vectors, out=product)
            _best_of_block(chosen, product, known, room, items[low : low + BLOCK], scores[low : low + BLOCK])

    in_threads(task, [(low, min(low + TASK, len(rows))) for low in range(0, len(rows), TASK)], threads)
    return items, scores


@inlined
def _share(own, usual, weight, least):
    """As Taste.logs, before the logarithm."""
    return (own + GROUP_PRIOR * usual) / ((weight + GROUP_PRIOR) * max(usual, np.float32(1e-9))) + least


@inlined
def _similar(i, state, near_start, near_item, near_weight):
    """How similar the item is to those bought."""
    out = np.float32(0.0)
    for s in range(near_start[i], near_start[i + 1]):
        out += near_weight[s] * (state[near_item[s]] & BOUGHT)
    return out


@inlined
def _enter(value, item, kept, n, worth, which):
    """Puts the item where it belongs among the n best, of equals in the order in which they come. Returns how many."""
    at = kept
    while at > 0 and worth[at - 1] < value:
        worth[at], which[at] = worth[at - 1], which[at - 1]
        at -= 1
    worth[at], which[at] = value, item
    return min(kept + 1, n)


@compiled
def _best_of_block(rows, product, known, room, items, scores):
    (
        (like, reach, item_odds, customer_odds, weights, least),
        (indptr, indices, confidence, own),
        near,
        groups,
        without,
    ) = known
    (near_start, near_item, near_weight), (without_start, without_item) = near, without
    state, (sums, powers), (worth, which) = room
    numbers, usual, ratio = groups
    n, size, levels = items.shape[1], len(like), len(numbers)
    power, of_similar = 1.0 / weights[0], weights[1] / weights[0]
    for c in range(len(rows)):
        u = rows[c]
        first, last, kept, weight = indptr[u], indptr[u + 1], 0, 0.0
        for e in range(first, last):
            p = indices[e]
            state[p], weight = BOUGHT, weight + confidence[e]
            for k in range(levels):
                sums[k, numbers[k, p]] += confidence[e]
        for e in range(without_start[u], without_start[u + 1]):
            state[without_item[e]] |= LEFT_OUT
        for e in range(first, last):
            p = indices[e]
            if state[p] == BOUGHT and like[p] >= 0.0:
                chance = min(np.float64(own[e]), SURE)
                odds = chance / (1 - chance) * np.exp(-np.float64(customer_odds[u]))
                kept = _enter(odds**power, p, kept, n, worth, which)
        for k in range(levels):
            power_of_group = weights[2 + k] / weights[0]
            usually = (GROUP_PRIOR / (weight + GROUP_PRIOR) + least[2 + k]) ** power_of_group
            for g in range(usual.shape[1]):
                if sums[k, g] > 0.0 or ratio[k, g] < 1.0:
                    powers[k, g] = _share(sums[k, g], usual[k, g], weight, least[2 + k]) ** power_of_group
                else:
                    powers[k, g] = usually
        highest = np.float32(1.0)
        for k in range(levels):
            highest *= powers[k].max()
        for i in range(size):  # most fall short whatever else speaks for them
            factor = max(product[c, i], np.float32(0.0)) + least[0]
            if (kept == n and reach[i] * factor * highest < worth[n - 1]) or like[i] < 0.0 or state[i]:
                continue
            grouped = 1.0
            for k in range(levels):
                grouped *= powers[k, numbers[k, i]]
            if kept < n or reach[i] * factor * grouped >= worth[n - 1]:
                similar = _similar(i, state, near_start, near_item, near_weight)
                value = like[i] * factor * grouped * (similar + least[1]) ** of_similar
                kept = _enter(value, i, kept, n, worth, which)
        for t in range(kept):
            i = which[t]
            if not state[i]:
                odds = (
                    item_odds[i]
                    + customer_odds[u]
                    + weights[0] * np.log(max(product[c, i], np.float32(0.0)) + least[0])
                )
                odds += weights[1] * np.log(_similar(i, state, near_start, near_item, near_weight) + least[1])
                for k in range(levels):
                    g = numbers[k, i]
                    odds += weights[2 + k] * np.log(_share(sums[k, g], usual[k, g], weight, least[2 + k]))
                worth[t] = np.float32(1.0 / (1.0 + np.exp(-odds)))
        for e in range(first, last):
            for t in range(kept):
                if which[t] == indices[e]:
                    worth[t] = own[e]
        for t in range(kept):  # what is equal as float32 goes by item
            at = t
            while at > 0 and (
                scores[c, at - 1] < worth[t] or (scores[c, at - 1] == worth[t] and items[c, at - 1] > which[t])
            ):
                scores[c, at], items[c, at] = scores[c, at - 1], items[c, at - 1]
                at -= 1
            scores[c, at], items[c, at] = worth[t], which[t]
        for e in range(without_start[u], without_start[u + 1]):
            state[without_item[e]] = 0
        for e in range(first, last):
            state[indices[e]] = 0
            for k in range(levels):
                sums[k, numbers[k, indices[e]]] = 0.0
