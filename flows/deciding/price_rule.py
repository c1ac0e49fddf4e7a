"""What the shadow prices alone would choose, in both arms alike: controls' ghosts, and what they are compared with."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import SENT, Candidates, Chosen, GroupLimit, Limits, Offers, Prices, at_prices


@dataclass(frozen=True, eq=False)
class Rule:
    """One arm of one campaign. wanted: bool [people], who would get a message if there were no other campaign.
    beyond: [people], what that message is worth beyond all prices. person: their numbers in the night."""

    chosen: Chosen
    wanted: NDArray[np.bool_]
    beyond: NDArray[np.float64]
    person: NDArray[np.int64]


def price_rule(
    pairs: Candidates,
    offers: Offers,
    limits: Limits,
    further: Sequence[GroupLimit],
    prices: Prices,
    person: NDArray[np.int64],
) -> Rule:
    chosen = at_prices(pairs, offers, limits, prices, further)
    wanted = np.zeros(pairs.customers, np.bool_)
    wanted[chosen.customer] = True
    return Rule(chosen, wanted, beyond_prices(pairs, chosen, offers, limits, further, prices), person)


def beyond_prices(
    pairs: Candidates, chosen: Chosen, offers: Offers, limits: Limits, further: Sequence[GroupLimit], prices: Prices
) -> NDArray[np.float64]:
    """What each customer's message is worth beyond the prices of all that it uses, and its own cost; 0 for none."""
    used = np.where(offers.quota_kind[chosen.offer] == SENT, 1.0, chosen.p1)
    left = chosen.value - prices.quota[chosen.offer] * used - chosen.costs @ prices.budget
    for row, price in zip(further, prices.further, strict=True):
        each = np.zeros(len(offers))
        each[row.offers] = 1.0 if row.weight is None else row.weight
        inside = np.ones(len(chosen), np.bool_)
        if row.group >= 0 and pairs.groups is not None:
            inside = (pairs.groups[chosen.customer] == row.group).any(axis=1)
        amount = each[chosen.offer] * (1.0 if row.kind == SENT else chosen.p1)
        left -= np.where(inside, (-price if row.at_least else price) * amount, 0.0)
    worth = np.bincount(chosen.customer, left, minlength=pairs.customers)
    channel = np.zeros(pairs.customers, np.int64)
    channel[chosen.customer] = chosen.channel
    sent = np.zeros(pairs.customers, np.bool_)
    sent[chosen.customer] = True
    cost = limits.message_cost[channel] + pairs.costs(np.arange(pairs.customers), channel)
    return np.where(sent, worth - cost - prices.channel[channel], 0.0)


def places_taken(rules: Sequence[Rule], messages: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Of each rule, bool [people]: whose message is among the best that the person may get; of equal ones the first."""
    sizes = np.cumsum([0, *(len(rule.person) for rule in rules)])
    person = np.concatenate([rule.person for rule in rules])
    wanted = np.concatenate([rule.wanted for rule in rules])
    beyond = np.concatenate([rule.beyond for rule in rules])
    order = np.lexsort((np.arange(len(person)), -beyond, ~wanted, person))
    first = np.searchsorted(person[order], person[order])
    rank = np.empty(len(person), np.int64)
    rank[order] = np.arange(len(person)) - first
    kept = wanted & (rank < messages[person])
    return [kept[low:high] for low, high in pairwise(sizes)]
