"""Offers in another order, and back: solving in the order of their keys, no order that they come in can matter."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from campaigns.allocation.problem import Candidates, GroupLimit, Ints, Offers, Prices, Solution


def sorted_offers(
    candidates: Candidates, offers: Offers, further: Sequence[GroupLimit], order: Ints
) -> tuple[Candidates, Offers, list[GroupLimit]]:
    """The problem with its offers in this order."""
    place = np.empty(len(order), candidates.offer.dtype)
    place[order] = np.arange(len(order))
    columns = {name: value[order] for name, value in vars(offers).items() if name != "fallback"}
    fallback = np.atleast_1d(np.asarray(offers.fallback, np.int64))
    there = np.where(fallback >= 0, place[fallback].astype(np.int64), -1)
    return (
        replace(candidates, offer=place[candidates.offer]),
        Offers(**columns, fallback=there if np.ndim(offers.fallback) else int(there[0])),
        [replace(limit, offers=place[np.asarray(limit.offers, np.int64)].astype(np.int64)) for limit in further],
    )


def sorted_prices(prices: Prices, order: Ints) -> Prices:
    return replace(prices, quota=prices.quota[order])


def as_they_came(solution: Solution, order: Ints) -> Solution:
    """A solution of the sorted problem, in the numbers of the one that it was made from."""
    place = np.argsort(order)
    return replace(
        solution,
        chosen=replace(solution.chosen, offer=order[solution.chosen.offer]),
        used=replace(solution.used, quota=solution.used.quota[place]),
        prices=sorted_prices(solution.prices, place),
    )
