"""Limits on what is uncertain are planned below what they are, so that they hold with the confidence asked for.

What is really redeemed and spent varies around what is expected. How much depends on what is chosen, so limits are
lowered by what the last solution says and solved again, until what is chosen holds; nothing is done where 0.5 is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import REDEEMED, Chosen, GroupLimit, Night, Part, Prices, solve_night
from campaigns.value import cautious_limit, spread_of
from flows.deciding.limits import Row
from flows.deciding.plan import Plan

ROUNDS = 4  # then the widest spread that there can be is taken

Floats = NDArray[np.float64]
Key = tuple[str, int, int]  # budget, column; quota, part, offer; own, part, row; shared, row


@dataclass(frozen=True)
class Uncertain:
    """A limit in rupiah or redemptions that is to hold with a confidence."""

    key: Key
    limit: float
    confidence: float
    error: float  # of the campaign's chances together, relative


@dataclass(frozen=True, eq=False)
class Solved:
    """The night, its parts and shared limits as they were planned with; night.warm is of the first solution."""

    night: Night
    parts: list[Part]
    shared: list[GroupLimit]


def uncertain_limits(
    plans: Sequence[Plan], parts: Sequence[Part], shared: Sequence[Row], own: Sequence[slice]
) -> list[Uncertain]:
    """own: each plan's columns of the budgets; the columns after them are the night's."""
    found = []
    errors = [plan.campaign.forecast_error for plan in plans]
    for k, (plan, part) in enumerate(zip(plans, parts, strict=True)):
        money, uses = plan.campaign.budget_confidence, plan.campaign.quota_confidence
        budgets = part.limits.budgets
        found += [Uncertain(("budget", c, 0), budgets[c], money, errors[k]) for c in range(own[k].start, own[k].stop)]
        quotas = np.flatnonzero((part.offers.quota_kind == REDEEMED) & np.isfinite(part.offers.quota))
        found += [Uncertain(("quota", k, j), part.offers.quota[j], uses, errors[k]) for j in quotas.tolist()]
        found += [
            Uncertain(("own", k, r), row.amount, money if row.kind == "budget" else uses, errors[k])
            for r, row in enumerate(plan.rows)
            if is_uncertain(row)
        ]
    money = max(plan.campaign.budget_confidence for plan in plans)
    uses = max(plan.campaign.quota_confidence for plan in plans)
    budgets = parts[0].limits.budgets
    found += [Uncertain(("budget", c, 0), budgets[c], money, max(errors)) for c in range(own[-1].stop, len(budgets))]
    found += [
        Uncertain(("shared", 0, r), row.limit.amount, money if row.kind == "budget" else uses, max(errors))
        for r, row in enumerate(shared)
        if is_uncertain(row)
    ]
    return [one for one in found if one.confidence > 0.5 and np.isfinite(one.limit)]


def is_uncertain(row: Row) -> bool:
    return row.kind != "minimum" and row.unit != "sent"


def cautiously(
    plans: Sequence[Plan],
    parts: list[Part],
    shared: Sequence[Row],
    own: Sequence[slice],
    messages: NDArray[np.int64],
    seed: int,
    warm: Prices | None,
) -> Solved:
    """The night solved within limits that hold with the confidences that the campaigns ask for."""
    wanted = uncertain_limits(plans, parts, shared, own)
    spread: dict[Key, float] = {}
    rows = [row.limit for row in shared]
    starts = np.cumsum([0, *(len(part.offers) for part in parts)])
    found = Solved(solve_night(parts, messages, seed=seed, shared=rows, warm=warm), parts, rows)
    for last in [False] * (ROUNDS - 1) + [True]:
        uses = {one.key: use_of(one.key, found, starts) for one in wanted}
        if all(holds(one, *uses[one.key]) for one in wanted):
            break
        for one in wanted:
            p1, paid, most = uses[one.key]
            spread[one.key] = most if last else max(spread.get(one.key, 0.0), spread_of(p1, paid))
        planned = {
            one.key: cautious_limit(one.limit, one.confidence, spread=spread[one.key], forecast_error=one.error)
            for one in wanted
        }
        tight, tight_rows = with_limits(parts, rows, planned)
        again = solve_night(tight, messages, seed=seed, shared=tight_rows, warm=found.night.prices)
        found = Solved(replace(again, warm=found.night.warm), tight, tight_rows)
    return found


def use_of(key: Key, found: Solved, starts: NDArray[np.int64]) -> tuple[Floats, Floats, float]:
    """Of the decisions that use a limit: p1, and what a redemption uses of it; and the most that any redemption may."""
    kind, k, r = key
    p1, paid, most = [np.zeros(0)], [np.zeros(0)], 0.0
    for number, (part, solution) in enumerate(zip(found.parts, found.night.parts, strict=True)):
        chosen, offers = solution.chosen, part.offers
        each = np.zeros(len(offers))
        inside = np.ones(len(chosen), np.bool_)
        if kind == "budget":
            each = offers.benefit * offers.shares[:, k]
        elif kind == "quota" and number == k:
            each[r] = 1.0
        elif kind == "shared" or (kind == "own" and number == k):
            limit = found.shared[r] if kind == "shared" else part.further[r]
            start = starts[number] if kind == "shared" else 0
            mine = (limit.offers >= start) & (limit.offers < start + len(offers))
            each[limit.offers[mine] - start] = 1.0 if limit.weight is None else limit.weight[mine]
            inside = in_group(part.candidates.groups, chosen, limit.group)
        cost = np.where(inside, each[chosen.offer], 0.0)
        p1.append(chosen.p1[cost > 0])
        paid.append(cost[cost > 0])
        most = max(most, float(each.max(initial=0.0)))
    return np.concatenate(p1), np.concatenate(paid), most


def in_group(groups: Any, chosen: Chosen, group: int) -> NDArray[np.bool_]:
    if group < 0:
        return np.ones(len(chosen), np.bool_)
    return (groups[chosen.customer] == group).any(axis=1)


def holds(one: Uncertain, p1: Floats, paid: Floats, _most: float) -> bool:
    return certain_use(p1, paid, one.confidence, one.error) <= one.limit * (1 + 1e-9)


def certain_use(p1: Floats, paid: Floats, confidence: float, error: float) -> float:
    """What is used at most, with this confidence."""
    expected, variance = float((p1 * paid).sum()), float((paid**2 * p1 * (1 - p1)).sum())
    return expected + NormalDist().inv_cdf(confidence) * float(np.sqrt(variance + (error * expected) ** 2))


def with_limits(
    parts: Sequence[Part], shared: Sequence[GroupLimit], planned: dict[Key, float]
) -> tuple[list[Part], list[GroupLimit]]:
    """The parts with the planned amounts in place of what the limits are."""
    budgets = np.array([planned.get(("budget", c, 0), b) for c, b in enumerate(parts[0].limits.budgets)])
    made = []
    for k, part in enumerate(parts):
        quota = np.array([planned.get(("quota", k, j), q) for j, q in enumerate(part.offers.quota)])
        further = [replace(row, amount=planned.get(("own", k, r), row.amount)) for r, row in enumerate(part.further)]
        offers, limits = replace(part.offers, quota=quota), replace(part.limits, budgets=budgets)
        made.append(replace(part, offers=offers, limits=limits, further=further))
    return made, [replace(row, amount=planned.get(("shared", 0, r), row.amount)) for r, row in enumerate(shared)]
