"""Why a customer did not get an offer: one reason for each losing pair."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.problem import SENT, Candidates, Chosen, Floats, Ints, Limits, Offers, Prices, Used
from campaigns.value import funder_costs, pair_value, purchase_probability

BLOCK = 200_000  # pairs at a time


class Reason(IntEnum):
    """What `detail` is: for BEATEN the offer that took the place, for QUOTA the offer, for BUDGET the funder, for
    CHANNEL the channel; none for the others."""

    CHOSEN = 0
    NOT_ADDRESSED = 1  # the customer may not be written to on any channel
    NOT_WORTH_SENDING = 2  # it would earn nothing, or less than the message costs
    BEATEN = 3
    QUOTA = 4  # at the price of its quota it earns less than it takes from others, or the quota is used up
    BUDGET = 5
    CHANNEL = 6


@dataclass(frozen=True)
class Reasons:
    """reason: int8 [pairs], see Reason. detail: int32 [pairs], −1 for none. price: float64 [pairs], what the limit
    takes off the pair's value, in rupiah; 0 where the reason is no limit, or one that is used up but has no price."""

    reason: NDArray[np.int8]
    detail: NDArray[np.int32]
    price: Floats


def losing_reasons(
    candidates: Candidates, offers: Offers, limits: Limits, chosen: Chosen, prices: Prices, used: Used | None = None
) -> Reasons:
    """One reason for each pair. used: what all decisions use; None for ghost decisions, which no limit stops."""
    n = candidates.customers
    reasons = Reasons(
        np.full(candidates.pairs, -1, np.int8), np.full(candidates.pairs, -1, np.int32), np.zeros(candidates.pairs)
    )
    channel = np.full(n, -1, dtype=np.int64)
    channel[chosen.customer] = chosen.channel
    last = np.full(n, -1, dtype=np.int64)  # the offer in a message's last place
    last[chosen.customer] = chosen.offer  # sorted by position: the last one stays
    places = zip(chosen.customer.tolist(), offers.group[chosen.offer].tolist(), strict=True)
    taken = dict(zip(places, chosen.offer.tolist(), strict=True))
    for rows in _blocks(candidates):
        _explain(rows, candidates, offers, limits, prices, used, channel, last, taken, reasons)
    reasons.reason[chosen.pair] = Reason.CHOSEN
    reasons.detail[chosen.pair] = -1
    reasons.price[chosen.pair] = 0.0
    return reasons


def _blocks(candidates: Candidates) -> Iterator[slice]:
    start, n = 0, candidates.customers
    while start < n:
        stop = int(np.searchsorted(candidates.indptr, candidates.indptr[start] + BLOCK, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield slice(start, stop)
        start = stop


def _explain(
    rows: slice,
    candidates: Candidates,
    offers: Offers,
    limits: Limits,
    prices: Prices,
    used: Used | None,
    channel: Ints,
    last: Ints,
    taken: dict[tuple[int, int], int],
    reasons: Reasons,
) -> None:
    pairs = slice(int(candidates.indptr[rows.start]), int(candidates.indptr[rows.stop]))
    customer = np.repeat(np.arange(rows.start, rows.stop), np.diff(candidates.indptr[rows.start : rows.stop + 1]))
    offer = candidates.offer[pairs].astype(np.int64)
    p0 = candidates.p0[pairs].astype(np.float64)[:, None]
    # What follows is [pairs × channels], costs [pairs × channels × funders].
    p1 = purchase_probability(p0, offers.uplift[offer][:, None], limits.response[None, :])
    money = (column[offer][:, None] for column in (offers.margin, offers.benefit, offers.retailer_share))
    value = pair_value(p0, p1, *money)
    costs = funder_costs(p1, offers.benefit[offer][:, None], offers.shares[offer][:, None, :])
    amount = np.where((offers.quota_kind[offer] == SENT)[:, None], 1.0, p1)
    quota_price = prices.quota[offer][:, None] * amount
    budget_price = prices.budget * costs
    worth = value - quota_price - budget_price.sum(axis=2)

    # The channel to look at: that of the customer's message, or else the one where the offer is worth most.
    has = channel[customer] >= 0
    open_to = candidates.channel_ok[customer]
    look = np.where(has, channel[customer], np.argmax(np.where(open_to, worth, -np.inf), axis=1))
    each = np.arange(len(offer))
    value, worth, quota_price = value[each, look], worth[each, look], quota_price[each, look]
    budget_price, costs, amount = budget_price[each, look], costs[each, look], amount[each, look]
    dearest = budget_price.argmax(axis=1) if budget_price.shape[1] else np.zeros(len(offer), dtype=np.int64)
    dearest_price = budget_price.max(axis=1, initial=0.0)

    short = np.zeros(len(offer), dtype=bool)
    lacking = np.zeros(costs.shape, dtype=bool)
    full = np.zeros(len(limits.capacity), dtype=bool)
    if used is not None:
        short = used.quota[offer] + amount > offers.quota[offer]
        lacking = (costs > 0) & (used.budgets + costs > limits.budgets)
        full = used.capacity + 1 > limits.capacity
    rival = np.array(
        [taken.get(pair, -1) for pair in zip(customer.tolist(), offers.group[offer].tolist(), strict=True)],
        dtype=np.int64,
    )
    toll = limits.message_cost[look]

    # The first condition that holds names the reason.
    cases = [
        (~open_to.any(axis=1), Reason.NOT_ADDRESSED, None, None),
        (value <= 0, Reason.NOT_WORTH_SENDING, None, None),
        ((worth <= 0) & (quota_price >= dearest_price) & (quota_price > 0), Reason.QUOTA, offer, quota_price),
        ((worth <= 0) & (dearest_price > 0), Reason.BUDGET, dearest, dearest_price),
        (rival >= 0, Reason.BEATEN, rival, None),
        (short, Reason.QUOTA, offer, quota_price),
        (lacking.any(axis=1), Reason.BUDGET, lacking.argmax(axis=1) if lacking.shape[1] else offer, None),
        (has, Reason.BEATEN, last[customer], None),
        ((worth <= toll) & (prices.channel[look] == 0) & ~full[look], Reason.NOT_WORTH_SENDING, None, None),
        (np.ones(len(offer), dtype=bool), Reason.CHANNEL, look, prices.channel[look]),
    ]
    open_yet = np.ones(len(offer), dtype=bool)
    for holds, reason, detail, price in cases:
        here = open_yet & holds
        reasons.reason[pairs][here] = reason
        if detail is not None:
            reasons.detail[pairs][here] = detail[here]
        if price is not None:
            reasons.price[pairs][here] = price[here]
        open_yet &= ~holds
