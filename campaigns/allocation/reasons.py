"""Why a customer did not get an offer: one reason for each losing pair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.prepared import Prepared, prepare
from campaigns.allocation.problem import Candidates, Chosen, Floats, GroupLimit, Ints, Limits, Offers, Prices, Used
from campaigns.allocation.usage import Use, worth_and_use

BLOCK = 200_000  # pairs at a time


class Reason(IntEnum):
    """What `detail` is: for BEATEN the offer that took the place; for QUOTA the offer, for BUDGET the funder, for
    CHANNEL the channel, for GROUP the group limit, for MINIMUM the minimum; for MESSAGES the rival; for the others −1.
    """

    CHOSEN = 0
    NOT_ADDRESSED = 1  # the customer may not be written to on any channel
    NOT_WORTH_SENDING = 2  # it would earn nothing, or less than the message costs
    BEATEN = 3
    QUOTA = 4  # at the price of its quota it earns less than it takes from others, or the quota is used up
    BUDGET = 5
    CHANNEL = 6
    GROUP = 7  # a group limit
    MINIMUM = 8  # it earns more than the offer that took the place, which a guaranteed minimum asks for
    MESSAGES = 9  # the customer gets no more messages this night: another campaign's took the place


@dataclass(frozen=True)
class Reasons:
    """reason: int8 [pairs], see Reason. detail: int32 [pairs], −1 for none. price: float64 [pairs], what the limit
    takes off the pair's value, in rupiah, or for MINIMUM adds to the winner's; 0 where the reason is no limit, or one
    that is used up but has no price."""

    reason: NDArray[np.int8]
    detail: NDArray[np.int32]
    price: Floats


def losing_reasons(
    candidates: Candidates,
    offers: Offers,
    limits: Limits,
    chosen: Chosen,
    prices: Prices,
    used: Used | None = None,
    *,
    further: Sequence[GroupLimit] = (),
    rival: Ints | None = None,
) -> Reasons:
    """One reason for each pair. used: what all decisions use; None for ghost decisions, which no limit stops.

    further: the group limits, beside prices.further and used.further; of a night, the shared ones too. rival: int64
    [n], for customers who get all the messages that they may from others, a number of what took the place; else −1.
    """
    problem = prepare(candidates, offers, limits, further=further)
    found = Reasons(
        np.full(candidates.pairs, -1, np.int8), np.full(candidates.pairs, -1, np.int32), np.zeros(candidates.pairs)
    )
    won = _winners(problem, chosen, prices)
    rival = np.full(candidates.customers, -1, np.int64) if rival is None else rival
    for rows in _blocks(candidates):
        _explain(rows, problem, prices, used, won, rival, found)
    found.reason[chosen.pair], found.detail[chosen.pair], found.price[chosen.pair] = Reason.CHOSEN, -1, 0.0
    return found


@dataclass(frozen=True)
class Winners:
    """What was chosen; −1 for none."""

    channel: Ints  # of each row's message
    last: Ints  # the decision in the last place of each row's message
    group: Ints  # of each offer
    code: Ints  # row and group of each decision, rising; then the decision
    by_code: Ints
    offer: Ints  # of each decision; and its worth at the prices
    worth: Floats
    asked: Ints  # the minimum that adds most to it, and what all add
    added: Floats

    def in_group(self, row: Ints, offer: Ints) -> Ints:
        """The decision that took the place of this offer's group in the row's message; −1 for none."""
        wanted = row * (len(self.group) + 1) + self.group[offer]
        at = np.minimum(np.searchsorted(self.code, wanted), max(0, len(self.code) - 1))
        if not len(self.code):
            return np.full(len(row), -1)
        return np.where(self.code[at] == wanted, self.by_code[at], -1)


def _winners(problem: Prepared, chosen: Chosen, prices: Prices) -> Winners:
    n, offers = problem.candidates.customers, problem.offers
    channel, last = np.full(n, -1, np.int64), np.full(n, -1, np.int64)
    channel[chosen.customer] = chosen.channel
    last[chosen.customer] = np.arange(len(chosen))  # sorted by position: the last one stays
    group = np.unique(offers.group, return_inverse=True)[1].reshape(-1)
    code = chosen.customer * (len(offers) + 1) + group[chosen.offer]
    by_code = np.argsort(code, kind="stable")
    value, use = worth_and_use(problem, chosen.pair, chosen.customer, chosen.channel)
    price = problem.sign * problem.vector(prices)
    pays = np.where(problem.sign < 0, -price, 0.0)  # a minimum for what serves it
    asked, _ = _dearest(use, pays, len(chosen))
    asked -= (asked >= 0) * (len(problem.limit) - len(problem.further.sign))
    worth, added = value - use.weighed(price, len(chosen)), use.weighed(pays, len(chosen))
    return Winners(channel, last, group, code[by_code], by_code, chosen.offer, worth, asked, added)


def _blocks(candidates: Candidates) -> Iterator[slice]:
    start, n = 0, candidates.customers
    while start < n:
        stop = int(np.searchsorted(candidates.indptr, candidates.indptr[start] + BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield slice(start, stop)
        start = stop


def _explain(
    rows: slice, problem: Prepared, prices: Prices, used: Used | None, won: Winners, rival: Ints, found: Reasons
) -> None:
    candidates, limits = problem.candidates, problem.limits
    pair = np.arange(candidates.indptr[rows.start], candidates.indptr[rows.stop])
    row = np.repeat(np.arange(rows.start, rows.stop), np.diff(candidates.indptr[rows.start : rows.stop + 1]))
    offer, open_to = candidates.offer[pair].astype(np.int64), candidates.channel_ok[row]
    price, size = problem.sign * problem.vector(prices), len(pair)

    # The channel to look at: that of the customer's message, or else the one where the offer is worth most.
    look, most = np.zeros(size, np.int64), np.full(size, -np.inf)
    for c in range(len(limits.capacity)):
        value, use = worth_and_use(problem, pair, row, np.full(size, c))
        worth = np.where(open_to[:, c], value - use.weighed(price, size), -np.inf)
        look, most = np.where(worth > most, c, look), np.maximum(worth, most)
    has = won.channel[row] >= 0
    look = np.where(has, won.channel[row], look)
    value, use = worth_and_use(problem, pair, row, look)
    worth = value - use.weighed(price, size)

    dearest, dearest_price = _dearest(use, np.maximum(price, 0.0), size)
    short, full = np.full(size, -1), np.zeros(len(limits.capacity), np.bool_)
    if used is not None:
        short = _used_up(problem, use, used, size)
        full = used.capacity + 1 > limits.capacity
    in_group, last = won.in_group(row, offer), won.last[row]
    winner = np.where(in_group >= 0, in_group, last)
    by_minimum = _of(won.asked, winner) >= 0
    by_minimum &= worth > _of(won.worth, winner, -np.inf) - _of(won.added, winner, 0.0)
    toll, channel_price = limits.message_cost[look] + candidates.costs(row, look), prices.channel[look]
    plain = np.where(
        dearest_price > 0, value, worth
    )  # what is not worth its message but for a limit's price, the limit stops
    kind, detail = _named(problem, dearest)
    short_kind, short_detail = _named(problem, short)
    none = np.full(size, -1)

    # The first condition that holds names the reason.
    cases: list[tuple[Any, Any, Any, Any]] = [
        (~open_to.any(axis=1), Reason.NOT_ADDRESSED, none, None),
        (value <= 0, Reason.NOT_WORTH_SENDING, none, None),
        ((worth <= 0) & (dearest_price > 0), kind, detail, dearest_price),
        (has & by_minimum, Reason.MINIMUM, _of(won.asked, winner), _of(won.added, winner, 0.0)),
        (in_group >= 0, Reason.BEATEN, _of(won.offer, in_group), None),
        ((rival[row] >= 0) & ~has & (worth > toll + channel_price), Reason.MESSAGES, rival[row], None),
        (short >= 0, short_kind, short_detail, np.where(short == dearest, dearest_price, 0.0)),
        (has, Reason.BEATEN, _of(won.offer, last), None),
        ((plain <= toll) & (channel_price == 0) & ~full[look], Reason.NOT_WORTH_SENDING, none, None),
        ((dearest_price > channel_price) & ~full[look], kind, detail, dearest_price),
        (np.ones(size, np.bool_), Reason.CHANNEL, look, channel_price),
    ]
    open_yet = np.ones(size, np.bool_)
    for holds, reason, details, prices_ in cases:
        here = open_yet & holds
        found.reason[pair[here]] = np.broadcast_to(reason, size)[here]
        found.detail[pair[here]] = details[here]
        if prices_ is not None:
            found.price[pair[here]] = prices_[here]
        open_yet &= ~holds


def _of(values: NDArray[Any], decision: Ints, otherwise: float = -1) -> NDArray[Any]:
    """The values of these decisions; `otherwise` for −1."""
    return np.where(decision >= 0, np.append(values, otherwise)[decision], otherwise)


def _dearest(use: Use, price: Floats, cells: int) -> tuple[Ints, Floats]:
    """(the limit that costs each cell most at these prices, what it costs); −1 and 0 for none."""
    cost = price[use.limit] * use.amount
    order = np.lexsort((-use.limit, cost, use.cell))
    order = order[cost[order] > 0]
    limit, most = np.full(cells, -1), np.zeros(cells)
    limit[use.cell[order]], most[use.cell[order]] = use.limit[order], cost[order]
    return limit, most


def _used_up(problem: Prepared, use: Use, used: Used, cells: int) -> Ints:
    """The first limit of which too little is left for each cell; −1 for none."""
    amount = np.concatenate([used.quota, used.budgets, used.capacity, used.further / problem.further.unit])
    exceeds = (problem.sign[use.limit] > 0) & (amount[use.limit] + use.amount > problem.limit[use.limit])
    over = np.flatnonzero(exceeds & (use.amount > 0))
    over = over[np.argsort(-use.limit[over], kind="stable")]
    limit = np.full(cells, -1)
    limit[use.cell[over]] = use.limit[over]
    return limit


def _named(problem: Prepared, limit: Ints) -> tuple[Ints, Ints]:
    """(which kind of reason each limit is, its number among those of its kind)"""
    offers, budgets, channels = len(problem.offers), len(problem.limits.budgets), len(problem.limits.capacity)
    first = np.array([0, offers, offers + budgets, offers + budgets + channels])
    kinds = np.array([Reason.QUOTA, Reason.BUDGET, Reason.CHANNEL, Reason.GROUP])
    of = np.searchsorted(first, np.maximum(limit, 0), side="right") - 1
    return kinds[of], limit - first[of]
