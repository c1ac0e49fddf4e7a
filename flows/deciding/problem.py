"""A night's campaigns as one problem for the allocation, and one campaign's view of its answer."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import Candidates, GroupLimit, Limits, Offers, Part, Prices
from flows.deciding.caution import Solved
from flows.deciding.limits import NIGHT, Row, Side, group_rows, part_of
from flows.deciding.plan import Plan
from flows.deciding.taken import Left
from flows.settings import Night

Floats = NDArray[np.float64]
View = tuple[Offers, Limits, list[GroupLimit], Prices]  # a campaign's; the night's budgets and limits after its own


def night_rows(
    plans: Sequence[Plan], night: Night, left: Left, firsts: NDArray[np.int64]
) -> tuple[list[Row], list[tuple[NDArray[np.int32], NDArray[np.int32]]]]:
    """The night's limits less what other runs use of them, and their groups of each plan's arms."""
    sides = [Side(plan.campaign, int(first), plan.offers.benefit) for plan, first in zip(plans, firsts, strict=False)]
    both = [
        [np.concatenate(pair) for pair in zip(plan.treatment.night_groups, plan.control.night_groups, strict=True)]
        for plan in plans
    ]
    rows, numbers = group_rows(night.limits, sides, both, NIGHT)
    rows = [replace(row, limit=replace(row.limit, amount=max(0.0, row.amount - left.limits[row.name]))) for row in rows]
    arms = [(plan.treatment.people.num_rows, plan.control.people.num_rows) for plan in plans]
    if not night.limits:
        return rows, [(np.zeros((a, 0), np.int32), np.zeros((b, 0), np.int32)) for a, b in arms]
    return rows, [(of[:a], of[a:]) for of, (a, _) in zip(numbers, arms, strict=True)]


def with_groups(pairs: Candidates, numbers: NDArray[np.int32]) -> Candidates:
    if not numbers.shape[1]:
        return pairs
    groups = numbers if pairs.groups is None else np.hstack([pairs.groups, numbers])
    return replace(pairs, groups=np.ascontiguousarray(groups))


def part_for(
    plan: Plan,
    own: slice,
    funds: Sequence[str],
    budgets: Floats,
    plans: Sequence[Plan],
    person: NDArray[np.int64],
    numbers: NDArray[np.int32],
) -> Part:
    """A plan in the columns of the night: every campaign's funders, then those that have a budget for the night."""
    stated = np.concatenate([*(each.limits.budgets for each in plans), budgets])
    shares = np.zeros((len(plan.offers), len(stated)))
    shares[:, own] = plan.offers.shares
    for f, funder in enumerate(funds):
        if funder in plan.funders:
            shares[:, len(stated) - len(funds) + f] = plan.offers.shares[:, plan.funders.index(funder)]
    return Part(
        with_groups(plan.treatment.candidates, numbers),
        replace(plan.offers, shares=shares),
        replace(plan.limits, budgets=stated),
        person,
        [row.limit for row in plan.rows],
    )


def view_of(
    k: int, plans: Sequence[Plan], solved: Solved, own: Sequence[slice], funds: Sequence[str], firsts: NDArray[np.int64]
) -> View:
    part, found = solved.parts[k], solved.night
    mine = columns_of(own[k], part, len(funds))
    prices, night_prices = found.parts[k].prices, found.prices.further[sum(len(plan.rows) for plan in plans) :]
    further = [*part.further, *(part_of(row, int(firsts[k]), int(firsts[k + 1])) for row in solved.shared)]
    return (
        replace(part.offers, shares=part.offers.shares[:, mine]),
        replace(part.limits, budgets=part.limits.budgets[mine]),
        further,
        Prices(prices.quota, prices.budget[mine], prices.channel, np.concatenate([prices.further, night_prices])),
    )


def columns_of(own: slice, part: Part, shared: int) -> NDArray[np.int64]:
    """The columns of a campaign's own funders, then those of the night's."""
    columns = np.arange(len(part.limits.budgets))
    return np.concatenate([columns[own], columns[len(columns) - shared :]])
