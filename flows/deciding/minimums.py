"""Minimums that cannot be met, named before anything is decided."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import MinimumsError
from campaigns.words import rupiah
from flows.deciding.limits import Row
from flows.deciding.plan import Plan

NUMBERED = re.compile(r"group limits? (\d+(?:, \d+)*)")


def in_words(error: MinimumsError, plans: Sequence[Plan], shared: Sequence[Row]) -> str:
    """The error with its limits called by their names, and what is plain of each of them said."""
    names = [f"{plan.campaign.id}: {row.name}" for plan in plans for row in plan.rows]
    names += [f"night: {row.name}" for row in shared]

    def named(found: re.Match[str]) -> str:
        return ", ".join(f"{names[int(number)]!r}" for number in found[1].split(", "))

    plain = [fault for plan in plans for fault in plain_faults(plan)]
    return "\n".join([*plain, NUMBERED.sub(named, str(error))])


def plain_faults(plan: Plan) -> list[str]:
    """What no solver is needed for: a minimum above what its customers can be sent, and one that its funders cannot pay
    for."""
    pairs, faults = plan.treatment.candidates, []
    customer = np.repeat(np.arange(pairs.customers), np.diff(pairs.indptr))
    reachable = np.asarray(pairs.channel_ok.any(axis=1))
    response = np.where(pairs.channel_ok, plan.limits.response, 0.0).max(axis=1, initial=0.0)
    chance = np.minimum(1.0, pairs.p0 * (1 + plan.offers.uplift[pairs.offer] * response[customer]))
    for row in plan.rows:
        if row.kind != "minimum":
            continue
        inside = reachable[customer] & np.isin(pairs.offer, row.limit.offers)
        if row.limit.group >= 0 and pairs.groups is not None:
            inside &= np.any(pairs.groups[customer] == row.limit.group, axis=1)
        place = f"{plan.campaign.id}.yaml: {row.name}"
        places = int(plan.limits.positions.max())
        if row.unit == "sent":
            most, what = best_of_each(customer[inside], np.ones(int(inside.sum())), places), "messages with its offers"
            said = f"those who may get them can be sent {most:.0f} at most"
        else:
            most, what = best_of_each(customer[inside], chance[inside], places), "redemptions"
            said = f"all who may get its offers would redeem {most:.1f} in expectation"
        if most < row.amount:
            faults.append(f"{place}: a minimum of {row.amount:.0f} {what}, but {said}; lower it to {int(most)} or less")
        if row.unit == "redeemed":
            faults += [f"{place}: {fault}" for fault in unpaid(plan, row)]
    return faults


def best_of_each(customer: NDArray[np.int64], chance: NDArray[np.float64], places: int) -> float:
    """The sum of each customer's best, as many as a message has places."""
    order = np.lexsort((-chance, customer))
    rank = np.arange(len(order)) - np.searchsorted(customer[order], customer[order])
    return float(chance[order][rank < places].sum())


def unpaid(plan: Plan, row: Row) -> list[str]:
    """The funders whose budget the redemptions would exceed even if the cheapest offer had them all."""
    each = plan.offers.benefit[row.limit.offers, None] * plan.offers.shares[row.limit.offers]
    needed = row.amount * each.min(axis=0, initial=np.inf)
    return [
        f"a minimum of {row.amount:.0f} redemptions costs {funder} {rupiah(int(needed[f]))} at least, its budget is "
        f"{rupiah(plan.campaign.budgets[funder])}; lower the one or raise the other"
        for f, funder in enumerate(plan.funders)
        if needed[f] > plan.limits.budgets[f]
    ]
