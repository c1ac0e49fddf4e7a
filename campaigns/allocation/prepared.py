"""A problem checked and laid out as the kernels want it."""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import kernels
from campaigns.allocation.problem import (
    MOST_MONEY,
    SENT,
    UNREACHABLE,
    Bools,
    Candidates,
    Floats,
    GroupLimit,
    Ints,
    Limits,
    Offers,
    Prices,
    check,
)
from campaigns.value import pair_value
from recsys.tables import InputError

STRONGEST = 1024.0  # what meeting a minimum by one may be worth, in margins
BLOCK = 100_000  # pairs; below this a thread costs more than it saves
SHARES = 4  # of the work, for each thread


@dataclass(frozen=True)
class Prepared:
    """A problem as the kernels want it. redemption_unit and value_unit are powers of two: see kernels."""

    candidates: Candidates
    offers: Offers
    limits: Limits
    growth: Floats  # p1 / p0 [m × channels]
    funder: Ints  # [m × most funders of an offer]; padded with funder 0 at no cost
    cost: Floats  # per redemption, beside funder
    rank: Ints  # of offers equally good the lower goes first [m]
    grouped: bool  # whether any group has more than one offer
    longest: int  # pairs of a customer at most
    redemption_unit: float
    value_unit: float
    limit: Floats  # quotas, budgets, capacities, whole where only whole numbers can be used [limits]
    scale: Floats  # what one of each limit may be worth, roughly [limits]
    highest: Floats  # at this price nobody uses the limit [limits]
    threads: int
    further: "Further"
    segment: NDArray[np.int32]  # of each customer: those of one segment are in the same groups [n]
    person: NDArray[np.int32]  # of each row [n]
    people: tuple[Ints, Ints]  # the first row of each and one past the last, and the most messages of each
    widest: int  # rows of a person at most
    closed: Bools  # offers of which a limit of 0 lets nobody of a segment have any [segments × m]

    @property
    def row(self) -> tuple[Any, ...]:
        candidates = self.candidates
        return (
            _as_compiled(candidates.indptr, np.int64),
            _as_compiled(candidates.offer, candidates.offer.dtype),
            _as_compiled(candidates.p0, np.float32),
            _as_compiled(candidates.channel_ok, np.bool_),
            self.segment,
            self.person,
            _as_compiled(self.extra, np.float64),
        )

    @property
    def extra(self) -> Floats:
        """What messages to each customer cost beyond the channels' cost; without rows where that is nothing."""
        costs = self.candidates.message_cost
        return np.zeros((0, len(self.limits.capacity))) if costs is None else costs

    @property
    def counting(self) -> tuple[Any, ...]:
        further = self.further
        rows = further.start, further.limit, further.weight, further.sent, further.sign
        return _as_compiled(self.offers.quota_kind, np.uint8), self.funder, self.redemption_unit, rows

    @property
    def sign(self) -> Floats:
        """1 for what limits from above, −1 for a minimum [limits]."""
        return np.concatenate([np.ones(len(self.limit) - len(self.further.sign)), self.further.sign])

    @property
    def asked(self) -> bool:
        """Whether there are guaranteed minimums."""
        return bool((self.further.sign < 0).any())

    def rules(self, prices: Prices) -> tuple[Any, ...]:
        offers = self.offers
        toll, positions = self.limits.message_cost + prices.channel, _as_compiled(self.limits.positions, np.int64)
        fallback = np.broadcast_to(np.asarray(offers.fallback, np.int64), len(toll)).copy()
        return toll, positions, self.rank, _as_compiled(offers.group, np.int32), self.grouped, fallback

    def prices(self, vector: Floats) -> Prices:
        m, funders = len(self.offers), len(self.limits.budgets)
        quota, budget, channel, further = np.split(vector, [m, m + funders, m + funders + len(self.limits.capacity)])
        return Prices(quota, budget, channel, further)

    def vector(self, prices: Prices) -> Floats:
        """The prices in a row; further ones may be left out and are then 0."""
        further = prices.further if len(prices.further) else np.zeros(len(self.further.sign))
        return np.concatenate([prices.quota, prices.budget, prices.channel, further])

    def terms(self, prices: Prices) -> Floats:
        """What a pair's reduced value needs of its offer at these prices: see kernels."""
        offers, further, (m, width) = self.offers, self.further, self.funder.shape
        terms = np.empty((further.segments, m, kernels.HEAD + 2 * width + self.growth.shape[1]))
        signed = further.sign * (prices.further if len(prices.further) else np.zeros(len(further.sign)))
        kernels.terms_at(
            terms,
            (
                _as_compiled(offers.margin, np.float64),
                _as_compiled(offers.benefit * offers.retailer_share, np.float64),
                offers.quota_kind == SENT,
                self.funder,
                self.cost,
            ),
            (_as_compiled(prices.quota, np.float64), _as_compiled(prices.budget, np.float64)),
            (further.start, further.limit, further.weight, further.sent, signed),
            self.growth,
        )
        return terms

    def upper(self, terms: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """What no pair of an offer can be worth more than, at the prices of these terms: see kernels."""
        shape, channels = terms.shape[:2], self.growth.shape[1]
        upper = np.empty(shape, np.float32), np.empty((*shape, channels), np.float32), np.empty(shape, np.float32)
        kernels.most_worth(terms, channels, *upper)
        upper[0][self.closed] = np.inf  # no price is high enough where hardly anything is redeemed
        return upper

    def at(self, prices: Prices) -> tuple[Floats, tuple[Any, ...], tuple[Any, ...]]:
        """(terms, upper, rules) at these prices: what the kernels need besides the pairs."""
        terms = self.terms(prices)
        return terms, self.upper(terms), self.rules(prices)

    def scratch(self) -> tuple[Any, ...]:
        """Room for a thread's work: on the pairs of a customer, on their messages by channel, on those of a person."""
        channels, wide = len(self.limits.positions), max(kernels.FEW, int(self.limits.positions.max(initial=1)))
        pairs, rows = self.longest + 1, self.widest
        return (
            (np.empty(pairs), np.empty(pairs, np.int64), np.empty(pairs, np.int64)),
            (np.empty((channels, wide), np.int64), np.empty((channels, wide))),
            (
                np.empty(rows),
                np.empty(rows, np.int64),
                np.empty(rows, np.int64),
                np.empty((rows, wide), np.int64),
                np.empty((rows, wide)),
            ),
        )

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of people with about equally many pairs, a few for each thread: one that is held up holds up less."""
        parts = max(1, min(SHARES * self.threads if self.threads > 1 else 1, self.candidates.pairs // BLOCK))
        pairs = self.candidates.indptr[self.people[0]]
        cuts = np.searchsorted(pairs, np.linspace(0, self.candidates.pairs, parts + 1)[1:-1])
        return list(pairwise([0, *(int(cut) for cut in cuts), len(pairs) - 1]))

    def each_block(self, work: Callable[[int, int], Any]) -> list[Any]:
        blocks = self.blocks()
        if len(blocks) == 1:
            return [work(*blocks[0])]
        with ThreadPoolExecutor(min(self.threads, len(blocks))) as pool:
            return list(pool.map(lambda block: work(*block), blocks))


@dataclass(frozen=True)
class Further:
    """Group limits, spread over the segments of customers and the offers that they count. Weights are at most 1."""

    amount: Floats  # in units of the largest weight [limits]
    unit: Floats  # the largest weight of each [limits]
    sign: Ints  # 1, or −1 for a minimum [limits]
    sent: Bools  # [limits]
    segments: int
    start: Ints  # where the entries of a segment and offer start [segments × (m + 1)]
    place: Ints  # segment·m + offer of each entry, rising
    limit: Ints  # of each entry
    weight: Floats  # of each entry


def prepare(
    candidates: Candidates,
    offers: Offers,
    limits: Limits,
    threads: int | None = None,
    further: Sequence[GroupLimit] = (),
) -> Prepared:
    """Raises InputError for arrays that do not fit together or hold what cannot be."""
    check(candidates, offers, limits, further)
    n, m = candidates.customers, len(offers)
    growth = np.maximum(0.0, 1.0 + offers.uplift[:, None] * limits.response[None, :])
    per_redemption = offers.benefit[:, None] * offers.shares
    funder, cost = _payers(per_redemption)
    rank = np.empty(m, dtype=np.int64)
    keys = np.arange(m) if offers.keys is None else offers.keys
    rank[np.lexsort((keys, -offers.priority.astype(np.int64)))] = np.arange(m)
    redemption_unit = 2.0 ** min(40, 60 - math.ceil(math.log2(n + 1)))
    count, chances = np.zeros(m, dtype=np.int64), np.zeros(m, dtype=np.int64)
    pairs = (_as_compiled(candidates.offer, candidates.offer.dtype), _as_compiled(candidates.p0, np.float32))
    wrong = kernels.survey(
        _as_compiled(candidates.indptr, np.int64), *pairs, redemption_unit, count, chances, np.full(m, -1)
    )
    if wrong >= 0:
        raise InputError(
            f"candidates: pair {wrong} (offer {candidates.offer[wrong]}, p0 {candidates.p0[wrong]}): expected an offer "
            f"from 0 to {m - 1}, once per customer, and a p0 from 0 to 1"
        )
    most = (
        max(float(np.abs(offers.margin).max(initial=0)), 2.0**-900) * max(1, n) * int(limits.positions.max(initial=1))
    )
    mean_p0 = chances / redemption_unit / np.maximum(count, 1)
    quota = np.where(offers.quota_kind == SENT, np.floor(offers.quota), offers.quota)
    quota[quota >= count] = np.inf  # nobody can exceed it
    segment, segments = _segments(candidates, further)
    spread = _spread(further, segments, m)
    minimums = np.bincount(spread.place, spread.sign[spread.limit] < 0, minlength=1).max(initial=0)
    typical = _typical_prices(offers, limits, growth, per_redemption, count, mean_p0)
    mean_p1 = np.minimum(1.0, mean_p0 * growth.max(axis=1, initial=0))
    each = np.array([_typical_of_group(limit, offers, mean_p1) for limit in further])
    typical, added = np.concatenate([typical, each]), 0.0
    if minimums:  # what a minimum adds to a pair's worth, others may have to take off again
        added = STRONGEST * _largest_amount(offers, limits)
        most += added * minimums * max(1, n) * int(limits.positions.max(initial=1))
    highest = _highest_prices(offers, limits, per_redemption, further, added)
    whole = np.floor(limits.budgets), np.floor(limits.capacity)
    person, first, messages = _people(candidates, limits)
    return Prepared(
        candidates,
        offers,
        limits,
        growth,
        funder,
        cost,
        rank,
        len(np.unique(offers.group)) < m,
        int(np.diff(candidates.indptr).max(initial=0)),
        redemption_unit,
        2.0 ** (math.ceil(math.log2(most)) - 60),
        np.concatenate([*(_reachable(limit) for limit in (quota, *whole)), spread.amount]),
        typical,
        highest,
        threads or len(os.sched_getaffinity(0)),
        spread,
        segment,
        person,
        (first, messages),
        int(np.diff(first).max(initial=0)),
        _closed(quota, whole[0], per_redemption, spread),
    )


def _closed(quota: Floats, budgets: Floats, per_redemption: Floats, spread: Further) -> Bools:
    """Where a limit of 0 counts an offer: [segments × m]."""
    closed = np.tile((quota == 0) | (per_redemption[:, budgets == 0] > 0).any(axis=1), (spread.segments, 1))
    never = (spread.amount == 0) & (spread.sign > 0)
    closed.flat[spread.place[never[spread.limit]]] = True
    return closed


def _segments(candidates: Candidates, further: Sequence[GroupLimit]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each customer's segment, and the groups of each segment; groups that no limit names make no difference."""
    n, named = candidates.customers, sorted({limit.group for limit in further if limit.group >= 0})
    if candidates.groups is None or not named or n == 0:
        return np.zeros(n, np.int32), np.full((1, 1), -1, np.int32)
    groups = np.where(np.isin(candidates.groups, named), candidates.groups, -1).astype(np.int32)
    found, segment = np.unique(groups, axis=0, return_inverse=True)
    return segment.reshape(-1).astype(np.int32), found


def _spread(further: Sequence[GroupLimit], segments: NDArray[np.int32], m: int) -> Further:
    unit = np.array([1.0 if limit.weight is None else limit.weight.max(initial=0) for limit in further], np.float64)
    unit[unit == 0] = 1.0
    amount = _reachable(np.array([_in_whole_messages(limit) for limit in further], np.float64))
    places, rows, weights = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for r, limit in enumerate(further):
        everybody = limit.group < 0
        where = np.flatnonzero((segments == limit.group).any(axis=1) | everybody)
        places.append((where[:, None] * m + np.asarray(limit.offers, np.int64)[None, :]).reshape(-1))
        rows.append(np.full(len(places[-1]), r))
        weights.append(np.tile(_relative_weight(limit), len(where)))
    place, limit_of, weighted = np.concatenate(places), np.concatenate(rows), np.concatenate(weights)
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(len(segments) * m + 1)) if m else np.zeros(1, np.int64)
    start = ends[np.arange(len(segments))[:, None] * m + np.arange(m + 1)]
    return Further(
        amount / unit,
        unit,
        np.array([-1 if limit.at_least else 1 for limit in further], np.int64),
        np.array([limit.kind == SENT for limit in further], np.bool_),
        len(segments),
        np.ascontiguousarray(start, np.int64),
        place[order],
        limit_of[order],
        weighted[order],
    )


def _in_whole_messages(limit: GroupLimit) -> float:
    if limit.kind != SENT or limit.weight is not None:
        return limit.amount
    return float(np.ceil(limit.amount) if limit.at_least else np.floor(limit.amount))


def _reachable(limit: Floats) -> Floats:
    return np.where(limit > UNREACHABLE, np.inf, limit)


def _people(candidates: Candidates, limits: Limits) -> tuple[NDArray[np.int32], Ints, Ints]:
    """(the person of each row, the first row of each person and one past the last, the most messages of each)"""
    n = candidates.customers
    if candidates.person is None:
        person, first = np.arange(n, dtype=np.int32), np.arange(n + 1, dtype=np.int64)
        known = first[:-1]
    else:
        known, inverse = np.unique(candidates.person, return_inverse=True)
        person = inverse.reshape(-1).astype(np.int32)
        first = np.searchsorted(person, np.arange(len(known) + 1)).astype(np.int64)
    most = np.diff(first) if limits.messages is None else np.asarray(limits.messages, np.int64)[known]
    return person, first, most


def _as_compiled(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """The array as the kernels were compiled for: contiguous, of one type, not to be written to."""
    view = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def _payers(per_redemption: Floats) -> tuple[Ints, Floats]:
    """Each offer's funders and what a redemption costs them, first; filled up with funders who pay nothing."""
    m, funders = per_redemption.shape
    width = max(2, int((per_redemption > 0).sum(axis=1).max(initial=0)))
    funder, cost = np.zeros((m, width), dtype=np.int64), np.zeros((m, width))
    if funders:
        kept = min(width, funders)
        funder[:, :kept] = np.argsort(per_redemption <= 0, axis=1, kind="stable")[:, :kept]
        cost[:, :kept] = np.take_along_axis(per_redemption, funder[:, :kept], axis=1)
    return funder, cost


def _typical_prices(
    offers: Offers, limits: Limits, growth: Floats, per_redemption: Floats, count: Ints, mean_p0: Floats
) -> Floats:
    """What one of each limit earns in an average pair; only the size matters, it is the unit of the first steps."""
    p1 = np.minimum(1.0, mean_p0[:, None] * growth)
    money = (column[:, None] for column in (offers.margin, offers.benefit, offers.retailer_share))
    value = np.maximum(0.0, pair_value(mean_p0[:, None], p1, *money))
    best = np.argmax(value, axis=1)[:, None]
    best_value, best_p1 = np.take_along_axis(value, best, axis=1)[:, 0], np.take_along_axis(p1, best, axis=1)[:, 0]
    quota = best_value / np.where(offers.quota_kind == SENT, 1.0, np.maximum(best_p1, 1e-12))
    paid = (count * best_p1)[:, None] * per_redemption
    budget = ((count * best_value)[:, None] * (paid > 0)).sum(axis=0) / np.maximum(paid.sum(axis=0), 1e-12)
    channel = (count[:, None] * value).sum(axis=0) / max(1, count.sum()) * limits.positions
    typical = np.concatenate([quota, budget, channel])
    return np.where(typical > 0, typical, 1.0)


def _typical_of_group(limit: GroupLimit, offers: Offers, mean_p1: Floats) -> float:
    """As _typical_prices, for a group limit in units of its largest weight; a minimum may well be met at a loss."""
    own, weight = np.asarray(limit.offers, np.int64), _relative_weight(limit)
    raised = np.abs(offers.uplift[own]) / (1.0 + np.abs(offers.uplift[own]))
    worth = np.abs(offers.margin[own]) * raised + offers.benefit[own] * offers.retailer_share[own]
    typical = float((worth * (mean_p1[own] if limit.kind == SENT else 1.0)).mean() / weight.mean()) if len(own) else 0.0
    return typical if typical > 0 else 1.0


def _relative_weight(limit: GroupLimit) -> Floats:
    return np.ones(len(limit.offers)) if limit.weight is None else limit.weight / limit.weight.max(initial=0)


def _highest_prices(
    offers: Offers, limits: Limits, per_redemption: Floats, further: Sequence[GroupLimit], added: float
) -> Floats:
    """No pair is worth more than its offer's margin and what minimums add, so nobody would pay more than this."""
    worth = np.abs(offers.margin) + added
    rate = np.where(per_redemption > 0, worth[:, None] / np.maximum(per_redemption, 1.0), 0.0).max(axis=0, initial=0.0)
    channel = worth.max(initial=added) * limits.positions
    of_groups = [
        added if limit.at_least else (worth[limit.offers] / _relative_weight(limit)).max(initial=0.0)
        for limit in further
    ]
    return np.concatenate([worth, rate, channel, of_groups]) * (1 + 1e-9)


def _largest_amount(offers: Offers, limits: Limits) -> float:
    """Of all amounts that a decision may earn or cost the retailer the largest, rupiah."""
    amounts = np.abs(offers.margin), offers.benefit * offers.retailer_share, limits.message_cost
    return float(min(MOST_MONEY, max(amount.max(initial=0.0) for amount in amounts)))
