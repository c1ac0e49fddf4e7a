"""What is known of a customer and a set of items (a scope), in numbers that a propensity can be learned from.

A scope is a column of a 0/1 matrix [items × scopes]; as no feature names it, one never seen before has them all. Only
the pairs asked for are worked out.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.history import History, owned

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

HALF_LIVES = (14.0, 42.0, 182.0)  # days
TELLING_ITEMS = 4_000  # the most bought, whose buyers tell who else may buy in a scope
LEAST_GAP = 1.0  # days: two orders of one hour are no rhythm by which somebody could be overdue
SHRINK = 20.0  # buyers: what so few say counts half
MOST_CUSTOMERS = 20_000  # that the facts of a scope are taken from

OF_PAIR = (
    "orders", "rate_14", "rate_42", "rate_182", "age", "gap", "overdue", "overdue_scope", "share", "items", "affinity",
    "price_ratio",
)  # fmt: skip
OF_CUSTOMER = (
    "all_orders", "all_rate_14", "all_rate_42", "all_rate_182", "all_age", "all_gap", "all_overdue", "tenure",
    "breadth", "basket", "price",
)  # fmt: skip
OF_SCOPE = ("buyers", "recent_buyers", "trend", "again", "scope_gap", "scope_items", "scope_price")
FEATURES = OF_PAIR + OF_CUSTOMER + OF_SCOPE
SCOPE_GAP, SCOPE_PRICE = 4, 6


@dataclass(frozen=True, eq=False)
class ScopeFacts:
    """What a History says of scopes, whoever the customer.

    columns: float32 [scopes × 7], as OF_SCOPE. telling: int32 [items], row of `affinity`, -1 of an item without.
    affinity: float32 [telling items × scopes], by how much the scope's share of buyers is higher among an item's buyers
    than among all; 0 where the item is in the scope. log_price: float32 [items], of rupiah a piece.
    """

    columns: Floats
    telling: NDArray[np.int32]
    affinity: Floats
    log_price: Floats


def scope_facts(known: History, scopes: csr_matrix, window_days: float, seed: int) -> ScopeFacts:
    """scopes: [items × scopes] of 0/1. Of many customers a sample is asked. Raises ValueError where there are none."""
    rows = known.known
    if not len(rows):
        raise ValueError("nobody has bought anything by then, so nothing is known of any scope")
    if len(rows) > MOST_CUSTOMERS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_CUSTOMERS, replace=False))
    people, count = len(rows), scopes.shape[1]
    own_items, log_price = owned(known, rows), _log_price(known)
    buyers_of = np.bincount(own_items.indices, minlength=len(known.items))
    chosen = np.sort(np.argsort(-buyers_of, kind="stable")[:TELLING_ITEMS])
    told = own_items[:, chosen]
    telling = np.full(len(known.items), -1, np.int32)
    telling[chosen] = np.arange(len(chosen))

    blank = ScopeFacts(np.zeros((count, len(OF_SCOPE)), np.float32), telling, np.zeros((0, 0), np.float32), log_price)
    buyers, recent, again, spans, steps = np.zeros((5, count))
    both = np.zeros((len(chosen), count), np.float32)
    for start in range(0, people, 1000):
        block = np.arange(start, min(start + 1000, people))
        ptr, scope = all_pairs(len(block), count)
        raw = _walked(known, rows[block], ptr, scope, scopes, blank)[0].reshape(len(block), count, -1)
        orders, age, oldest = raw[:, :, 0], raw[:, :, 4], raw[:, :, 5]
        bought = orders > 0
        buyers += bought.sum(axis=0)
        recent += (bought & (age <= window_days)).sum(axis=0)
        again += (orders > 1).sum(axis=0)
        spans += np.where(orders > 1, oldest - age, 0).sum(axis=0)
        steps += np.maximum(orders - 1, 0).sum(axis=0)
        both += told[block].T @ bought.astype(np.float32)
    share, lately = (buyers + 0.5) / (people + 1), (recent + 0.5) / (people + 1)
    lift = (both + SHRINK * share) / (buyers_of[chosen, None] + SHRINK) - share
    lift[scopes[chosen].toarray() > 0] = 0
    weight = buyers_of.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = [
            np.log(share),
            np.log(lately),
            np.log(lately / share),
            (again + 0.5) / (buyers + 1),
            np.where(steps > 0, spans / np.maximum(steps, 1), np.nan),
            np.log1p(np.ravel(scopes.sum(axis=0))),
            (scopes.T @ (weight * log_price)) / (scopes.T @ weight),
        ]
    return ScopeFacts(np.column_stack(columns).astype(np.float32), telling, lift.astype(np.float32), log_price)


def all_pairs(rows: int, scopes: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(start of each row's pairs [rows + 1], scope of each pair): every row with every scope."""
    return np.arange(0, rows * scopes + 1, max(scopes, 1)), np.tile(np.arange(scopes, dtype=np.int32), rows)


def pair_features(
    known: History,
    rows: Rows,
    start: NDArray[np.int64],
    scope: NDArray[np.int32],
    scopes: csr_matrix,
    facts: ScopeFacts,
) -> Floats:
    """float32 [pairs × features], NaN where there is nothing to say.

    rows: of customers with orders. start: int64 [rows + 1], where a row's pairs begin; scope: int32 [pairs].
    """
    pair, own = _walked(known, rows, start, scope, scopes, facts)
    row = np.repeat(np.arange(len(rows)), np.diff(start))
    scale = _per_28_days(known.days)
    out = np.empty((len(scope), len(FEATURES)), np.float32)
    orders, age, oldest = pair[:, 0], pair[:, 4], pair[:, 5]
    with np.errstate(invalid="ignore", divide="ignore"):
        out[:, 0] = orders
        out[:, 1:4] = pair[:, 1:4] * scale
        out[:, 4] = age
        out[:, 5] = np.where(orders > 1, (oldest - age) / (orders - 1), np.nan)
        out[:, 6] = age / np.maximum(out[:, 5], LEAST_GAP)
        out[:, 7] = age / np.maximum(facts.columns[scope, SCOPE_GAP], LEAST_GAP)
        out[:, 9] = pair[:, 6]
        out[:, 10] = pair[:, 7] / np.sqrt(np.maximum(own[row, 6], 1))
        gap = np.where(own[:, 0] > 1, (own[:, 5] - own[:, 4]) / (own[:, 0] - 1), np.nan)
        columns = [own[:, 0], *(own[:, 1:4] * scale).T, own[:, 4], gap, own[:, 4] / np.maximum(gap, LEAST_GAP)]
        columns += [own[:, 5], own[:, 6], own[:, 7] / own[:, 0], own[:, 8] / own[:, 6]]
        out[:, 12:23] = np.column_stack(columns)[row]
        out[:, 8] = orders / out[:, 12]
        out[:, 23:] = facts.columns[scope]
        out[:, 11] = out[:, 23 + SCOPE_PRICE] - out[:, 22]
    return out


def _per_28_days(days: float) -> Floats:
    """Turns orders, halved every so many days, into orders per 28 days, for a history so long."""
    lives = np.array(HALF_LIVES)
    return (28 * math.log(2) / lives / -np.expm1(-math.log(2) * max(days, 1.0) / lives)).astype(np.float32)


def _log_price(known: History) -> Floats:
    """Of the mean that was paid a piece; of items that nobody had bought, or for nothing, of one rupiah."""
    line = np.repeat(known.age > 0, np.diff(known.line))
    count, paid = (np.bincount(known.item[line], w, minlength=len(known.items)) for w in (None, known.paid[line]))
    return np.log(np.maximum(paid / np.maximum(count, 1), 1)).astype(np.float32)


def _walked(
    known: History,
    rows: Rows,
    start: NDArray[np.int64],
    scope: NDArray[np.int32],
    scopes: csr_matrix,
    facts: ScopeFacts,
) -> tuple[Floats, Floats]:
    """Per pair: orders, decayed by each half-life, age of the last and of the first, distinct items, affinity.

    Per row: orders, decayed, ages of the last and of the first, distinct items, lines, log prices of the items.
    """
    pair = np.zeros((len(scope), 8), np.float32)
    own = np.zeros((len(rows), 9), np.float32)
    customers = (np.asarray(rows, np.int64), known.first, known.last, known.age, known.line, known.item)
    of_scopes = (scopes.indptr, scopes.indices, np.full(scopes.shape[1], -1, np.int32))
    lives = np.array(HALF_LIVES)
    of_items = (np.full(len(known.items), -1), facts.telling, facts.affinity, facts.log_price)
    _walk(*customers, *of_scopes, *of_items, start, scope, lives, pair, own)
    return pair, own


@njit(cache=True, nogil=True)
def _walk(  # type: ignore[no-untyped-def]  # numba's types
    rows, first, last, age, line, item, within, scope_of, place, met, telling, affinity, log_price,
    start, scope, lives, pair, own,
):  # fmt: skip
    seen = np.full(len(scope), -1, np.int64)  # the last order counted of a pair
    for r in range(len(rows)):
        low, high = start[r], start[r + 1]
        for k in range(low, high):
            place[scope[k]] = k
            pair[k, 4] = pair[k, 5] = np.nan
        for order in range(first[rows[r]], last[rows[r]]):
            days = age[order]
            decay = np.exp2(-days / lives)
            if own[r, 0] == 0:
                own[r, 5] = days
            own[r, 0] += 1
            own[r, 4] = days
            for h in range(3):
                own[r, 1 + h] += decay[h]
            for n in range(line[order], line[order + 1]):
                i = item[n]
                own[r, 7] += 1
                new = met[i] != r
                if new:
                    met[i] = r
                    own[r, 6] += 1
                    own[r, 8] += log_price[i]
                    if telling[i] >= 0 and len(affinity):
                        for k in range(low, high):
                            pair[k, 7] += affinity[telling[i], scope[k]]
                for j in range(within[i], within[i + 1]):
                    k = place[scope_of[j]]
                    if k < 0:
                        continue
                    if new:
                        pair[k, 6] += 1
                    if seen[k] != order:  # an order counts once, however many of its items are in the scope
                        seen[k] = order
                        if pair[k, 0] == 0:
                            pair[k, 5] = days
                        pair[k, 0] += 1
                        pair[k, 4] = days
                        for h in range(3):
                            pair[k, 1 + h] += decay[h]
        for k in range(low, high):
            place[scope[k]] = -1
