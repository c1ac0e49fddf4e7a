"""All campaigns of a night as one problem: they share customers, whose patience is limited, and funders.

Each campaign brings its own offers, candidates, channels and places in a message. A person whom several campaigns may
address has a row in each, and gets at most as many messages as the contact policy leaves, those that are worth most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from campaigns.allocation.problem import (
    Candidates,
    Certificate,
    Chosen,
    GroupLimit,
    Ints,
    Limits,
    Offers,
    Prices,
    Solution,
    Used,
)
from campaigns.allocation.recovery import worth
from campaigns.allocation.solve import solve
from recsys.tables import InputError


@dataclass(frozen=True)
class Part:
    """One campaign of the night.

    limits.budgets are the night's, the same in each part, and shares have a column for each. person: int64 [n], who the
    candidates' rows are, in the numbers of the night; each at most once. further: its own, of its own offers.
    """

    candidates: Candidates
    offers: Offers
    limits: Limits
    person: Ints
    further: Sequence[GroupLimit] = ()


@dataclass(frozen=True)
class Night:
    """A solution for each part, in its own rows, offers and channels, and the certificate of them all.

    A part's value is what its decisions are worth; its use of budgets is its own. The certificate and the prices of the
    budgets are the night's.
    """

    parts: tuple[Solution, ...]
    certificate: Certificate
    prices: Prices  # of the joined problem, to start from next time
    warm: bool = False  # whether the prices to start from led here


def solve_night(
    parts: Sequence[Part],
    messages: Ints,
    *,
    seed: int,
    passes: int | None = None,
    warm: Prices | None = None,
    threads: int | None = None,
    shared: Sequence[GroupLimit] = (),
) -> Night:
    """The decisions of all campaigns that together earn most.

    messages: int64 [people], the most that each may get this night. shared: group limits over offers of several
    campaigns, numbered as if all parts' offers stood in a row. Otherwise as solve.
    """
    candidates, offers, limits, further, order = _joined(parts, messages)
    found = solve(
        candidates,
        offers,
        limits,
        seed=seed,
        passes=passes,
        warm=warm,
        threads=threads,
        further=[*further, *shared],
    )
    return Night(tuple(_divided(parts, candidates, found, order)), found.certificate, found.prices, found.warm)


def _joined(parts: Sequence[Part], messages: Ints) -> tuple[Candidates, Offers, Limits, list[GroupLimit], Ints]:
    """One problem: the parts' offers and channels in a row, the rows of candidates by person, then by part.

    Also returns which row, of the parts' rows one after the other, each row was.
    """
    _check(parts, messages)
    sizes = [len(part.offers) for part in parts]
    before = np.cumsum([0, *sizes])
    person = np.concatenate([part.person for part in parts]).astype(np.int64)
    order = np.argsort(person, kind="stable")
    lengths = np.concatenate([np.diff(part.candidates.indptr) for part in parts])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    indptr = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)
    pairs = np.repeat(starts[order] - indptr[:-1], lengths[order]) + np.arange(indptr[-1])
    kind = np.uint16 if before[-1] <= 1 << 16 else np.uint32
    starting = list(zip(parts, before[:-1].tolist(), strict=True))
    offer = np.concatenate([(part.candidates.offer.astype(np.int64) + start).astype(kind) for part, start in starting])
    width = max((part.candidates.groups.shape[1] for part in parts if part.candidates.groups is not None), default=0)
    tired = any(part.candidates.message_cost is not None for part in parts)
    candidates = Candidates(
        indptr,
        offer[pairs],
        np.concatenate([part.candidates.p0 for part in parts])[pairs],
        _blocks([part.candidates.channel_ok for part in parts])[order],
        np.concatenate([part.candidates.keys for part in parts])[order],
        sum(part.candidates.pruned for part in parts),
        np.concatenate([_as_wide(part.candidates, width) for part in parts])[order] if width else None,
        person[order],
        _blocks([_costs(part.candidates) for part in parts])[order] if tired else None,
    )

    def all_of(name: str) -> np.ndarray:
        return np.concatenate([getattr(part.offers, name) for part in parts])

    fallback = [
        np.where(own >= 0, own + start, -1)
        for part, start in starting
        for own in [np.broadcast_to(np.asarray(part.offers.fallback), len(part.limits.capacity))]
    ]
    offers = Offers(
        margin=all_of("margin"),
        benefit=all_of("benefit"),
        uplift=all_of("uplift"),
        shares=all_of("shares"),
        retailer_share=all_of("retailer_share"),
        group=_own_groups(parts),
        priority=all_of("priority"),
        quota=all_of("quota"),
        quota_kind=all_of("quota_kind"),
        fallback=np.concatenate(fallback).astype(np.int64),
        keys=_keys(parts, before),
    )
    limits = Limits(
        budgets=parts[0].limits.budgets,
        capacity=np.concatenate([part.limits.capacity for part in parts]),
        positions=np.concatenate([part.limits.positions for part in parts]),
        message_cost=np.concatenate([part.limits.message_cost for part in parts]),
        response=np.concatenate([part.limits.response for part in parts]),
        messages=messages,
    )
    further = [
        replace(limit, offers=np.asarray(limit.offers) + start) for part, start in starting for limit in part.further
    ]
    return candidates, offers, limits, further, order


def _check(parts: Sequence[Part], messages: Ints) -> None:
    if not parts:
        raise InputError("a night without campaigns: nothing is to be decided")
    for k, part in enumerate(parts):
        if not np.array_equal(part.limits.budgets, parts[0].limits.budgets):
            raise InputError(f"night: the budgets of campaign {k} are not those of campaign 0, but the night's are")
        if part.person.shape != (part.candidates.customers,):
            raise InputError(f"night: campaign {k}: expected a person for each of its rows")
        if len(np.unique(part.person)) < len(part.person):
            raise InputError(f"night: campaign {k}: a person is there twice")
        if len(part.person) and not 0 <= part.person.min() <= part.person.max() < len(messages):
            raise InputError(f"night: campaign {k}: a person without a number of messages")


def _blocks(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Each part's columns beside the others', False or 0 elsewhere."""
    widths = np.cumsum([0, *(array.shape[1] for array in arrays)])
    whole = np.zeros((sum(len(array) for array in arrays), widths[-1]), dtype=arrays[0].dtype)
    row = 0
    for array, left in zip(arrays, widths, strict=False):
        whole[row : row + len(array), left : left + array.shape[1]] = array
        row += len(array)
    return whole


def _costs(candidates: Candidates) -> np.ndarray:
    costs = candidates.message_cost
    return np.zeros(candidates.channel_ok.shape) if costs is None else costs.astype(np.float64)


def _as_wide(candidates: Candidates, width: int) -> np.ndarray:
    groups = np.full((candidates.customers, width), -1, dtype=np.int32)
    if candidates.groups is not None:
        groups[:, : candidates.groups.shape[1]] = candidates.groups
    return groups


def _own_groups(parts: Sequence[Part]) -> np.ndarray:
    """Exclusion groups hold within a message only; in the parts they get different numbers."""
    numbers, start = [], 0
    for part in parts:
        _, number = np.unique(part.offers.group, return_inverse=True)
        numbers.append(number.reshape(-1) + start)
        start += int(number.max(initial=-1)) + 1
    return np.concatenate(numbers).astype(np.int32)


def _keys(parts: Sequence[Part], before: np.ndarray) -> Ints | None:
    """The order of the parts, and in each of its offers' keys."""
    if all(part.offers.keys is None for part in parts):
        return None
    ranks = [
        np.arange(len(part.offers)) if part.offers.keys is None else np.argsort(np.argsort(part.offers.keys))
        for part in parts
    ]
    return np.concatenate([rank + start for rank, start in zip(ranks, before[:-1].tolist(), strict=True)])


def _divided(parts: Sequence[Part], candidates: Candidates, found: Solution, order: Ints) -> list[Solution]:
    """Each part's own decisions, uses and prices."""
    sizes = [(p.candidates.customers, p.candidates.pairs, len(p.offers), len(p.limits.capacity)) for p in parts]
    row, pair, offer, channel = np.cumsum([(0, 0, 0, 0), *sizes], axis=0).T
    further = np.cumsum([0, *(len(part.further) for part in parts)])
    chosen = found.chosen
    was = order[chosen.customer]  # among the parts' rows one after the other
    lengths = np.concatenate([np.diff(part.candidates.indptr) for part in parts])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    was_pair = chosen.pair - candidates.indptr[chosen.customer] + starts[was]
    solutions = []
    for k, part in enumerate(parts):
        own = np.flatnonzero((was >= row[k]) & (was < row[k + 1]))
        own = own[np.lexsort((chosen.position[own], was[own]))]
        decisions = Chosen(
            was[own] - row[k],
            chosen.channel[own] - channel[k],
            chosen.position[own],
            chosen.offer[own] - offer[k],
            was_pair[own] - pair[k],
            chosen.p1[own],
            chosen.value[own],
            chosen.costs[own],
        )
        mine, sends, rows = slice(*offer[k : k + 2]), slice(*channel[k : k + 2]), slice(*further[k : k + 2])
        used = Used(
            found.used.quota[mine], decisions.costs.sum(axis=0), found.used.capacity[sends], found.used.further[rows]
        )
        prices = Prices(
            found.prices.quota[mine], found.prices.budget, found.prices.channel[sends], found.prices.further[rows]
        )
        solutions.append(
            Solution(decisions, worth(decisions, part.limits, part.candidates), used, prices, found.certificate)
        )
    return solutions
