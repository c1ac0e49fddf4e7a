"""Who gets which offer: a night's campaigns solved as one problem, and each campaign's part of the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from campaigns.allocation import (
    Candidates,
    Certificate,
    Chosen,
    GroupLimit,
    Limits,
    MinimumsError,
    Offers,
    Prices,
    Solution,
    at_prices,
)
from flows.deciding.caution import Solved, cautiously
from flows.deciding.first_come import first_come_together
from flows.deciding.limits import Row
from flows.deciding.minimums import in_words
from flows.deciding.plan import Arm, Plan
from flows.deciding.problem import View, columns_of, night_rows, part_for, view_of, with_groups
from flows.deciding.starting import Start, starting_prices
from flows.deciding.taken import Left
from flows.settings import Night

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was chosen for one arm, controls' choices being ghosts.

    chosen.costs: of the campaign's own funders. by_price: bool [pairs], what the prices alone would have chosen,
    whatever is left of the limits: alike in both arms. rival: [people], for who gets no message because of another one,
    the number of the campaign that it is of; else −1.
    """

    arm: Arm
    candidates: Candidates  # with the groups of all limits
    chosen: Chosen
    by_price: NDArray[np.bool_]
    rival: NDArray[np.int64]

    @property
    def people(self) -> pa.Table:
        return self.arm.people

    @property
    def may_get(self) -> NDArray[np.bool_]:
        return self.arm.may_get

    @property
    def propensity(self) -> NDArray[np.float32]:
        return self.arm.propensity


@dataclass(frozen=True, eq=False)
class Choice:
    """All that was worked out for a run.

    offers, limits, solution: with the limits as they were planned; the campaign's funders, then the night's.
    further: its limits on groups, then the night's.
    worth_sending: bool, of the treatment arm's people: if there were no limits, a message to them would earn something.
    first_come: rupiah, what serving people in order of their ids until limits are reached would be worth.
    """

    plan: Plan
    offers: Offers
    limits: Limits
    further: tuple[GroupLimit, ...]
    solution: Solution
    treatment: Outcome
    control: Outcome
    worth_sending: NDArray[np.bool_]
    first_come: float

    @property
    def funders(self) -> tuple[str, ...]:
        return self.plan.funders


@dataclass(frozen=True, eq=False)
class Together:
    """What holds for a night as a whole.

    funds: the funders that have a budget for the night, beside them what was left of it for these campaigns, what they
    use and its price. limits, used_limits, limit_prices: the same of the limits that larisma.toml states. started: the
    runs whose prices were started from.
    """

    campaigns: tuple[str, ...]
    certificate: Certificate
    first_come: float
    funds: tuple[str, ...]
    budgets: Floats
    used_budgets: Floats
    budget_prices: Floats
    limits: tuple[Row, ...]
    used_limits: Floats
    limit_prices: Floats
    started: tuple[Start, ...]
    left: Left


def choose(
    plans: Sequence[Plan], left: Left, night: Night, seed: int, starts: Sequence[Start | None]
) -> tuple[list[Choice], Together]:
    """The decisions of all plans that together earn most, within what is left.

    starts: of each plan the prices to start from. Raises MinimumsError, naming the limits, for minimums that cannot all
    be met.
    """
    funds = tuple(sorted(night.budgets))
    budgets = np.array([max(0, night.budgets[funder] - left.budgets[funder]) for funder in funds], np.float64)
    firsts = np.cumsum([0, *(len(plan.offers) for plan in plans)])
    shared, numbers = night_rows(plans, night, left, firsts)
    columns = np.cumsum([0, *(len(plan.funders) for plan in plans)])
    own = [slice(*columns[k : k + 2]) for k in range(len(plans))]
    parts = [
        part_for(plan, own[k], funds, budgets, plans, left.treatment[k], numbers[k][0]) for k, plan in enumerate(plans)
    ]
    warm = starting_prices(starts, plans, funds, shared)
    try:
        solved = cautiously(plans, parts, shared, own, left.messages, seed, warm)
    except MinimumsError as error:
        raise MinimumsError(in_words(error, plans, shared), error.share) from error
    views = [view_of(k, plans, solved, own, funds, firsts) for k in range(len(plans))]
    arms = [
        (solved.parts[k].candidates, with_groups(plan.control.candidates, numbers[k][1]))
        for k, plan in enumerate(plans)
    ]
    free = first_come_together(
        [view[:2] for view in views],
        [pairs for pairs, _ in arms],
        left.treatment,
        left.messages,
        [view[2] for view in views],
        len(funds),
        len(shared),
    )
    choices = [chosen_for(k, plans, views[k], arms[k], solved, left, free[k]) for k in range(len(plans))]
    own_total, rows_total = columns[-1], sum(len(plan.rows) for plan in plans)
    found = solved.night
    used = np.sum([part.used.budgets for part in found.parts], axis=0)[own_total:].astype(np.float64)
    used_limits = np.sum([used_of_rows(choice)[len(choice.plan.rows) :] for choice in choices], axis=0)
    return choices, Together(
        tuple(plan.campaign.id for plan in plans),
        found.certificate,
        float(sum(free)),
        funds,
        budgets,
        used,
        found.prices.budget[own_total:],
        tuple(shared),
        used_limits,
        found.prices.further[rows_total:],
        tuple(start for start in starts if start) if found.warm else (),
        left,
    )


def chosen_for(
    k: int,
    plans: Sequence[Plan],
    view: View,
    arms: tuple[Candidates, Candidates],
    solved: Solved,
    left: Left,
    free: float,
) -> Choice:
    """Controls get what the prices alone would choose, as if nobody else wrote to them; so do both arms in by_price."""
    plan, (offers, limits, further, prices) = plans[k], view
    found, funders = solved.night.parts[k], len(plan.funders)
    first = sum(len(each.funders) for each in plans[:k])
    own = slice(first, first + funders)
    mine = columns_of(own, solved.parts[k], offers.shares.shape[1] - funders)
    chosen = replace(found.chosen, costs=found.chosen.costs[:, own])
    used = replace(found.used, budgets=found.used.budgets[mine])
    night = solved.night.certificate
    solution = Solution(chosen, found.value, used, prices, share_of(night, found.value, arms[0]))
    priced, ghosts = (at_prices(pairs, offers, limits, prices, further) for pairs in arms)
    ghosts = replace(ghosts, costs=ghosts.costs[:, :funders])
    crowded_out = np.setdiff1d(priced.customer, chosen.customer)
    treated = Outcome(plan.treatment, arms[0], chosen, marked(arms[0], priced), rivals(k, solved, left, crowded_out))
    nobody = np.full(arms[1].customers, -1, np.int64)
    controls = Outcome(plan.control, arms[1], ghosts, marked(arms[1], ghosts), nobody)
    return Choice(
        plan,
        offers,
        limits,
        tuple(further),
        solution,
        treated,
        controls,
        worth_sending(arms[0], offers, limits),
        free,
    )


def share_of(night: Certificate, value: float, pairs: Candidates) -> Certificate:
    """One campaign's: with what the others of the night are given held fixed, it cannot earn more than this bound."""
    bound = value + (night.bound - night.value)
    return replace(
        night, bound=bound, value=value, gap=(bound - value) / abs(bound) if bound else 0.0,
        pairs=pairs.pairs, pruned=pairs.pruned,
    )  # fmt: skip


def marked(pairs: Candidates, chosen: Chosen) -> NDArray[np.bool_]:
    """Which pairs are chosen [pairs]."""
    found = np.zeros(pairs.pairs, np.bool_)
    found[chosen.pair] = True
    return found


def rivals(k: int, solved: Solved, left: Left, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For some rows, if the person gets all the messages that they may: the number of the last campaign that writes to
    them; −1 for all others [people]."""
    sent = np.zeros(len(left.messages), np.int64)
    writer = np.full(len(left.messages), -1, np.int64)
    for number, solution in enumerate(solved.night.parts):
        written = left.treatment[number][np.unique(solution.chosen.customer)]
        sent[written] += 1
        writer[written] = number
    found = np.full(len(left.treatment[k]), -1, np.int64)
    person = left.treatment[k][rows]
    found[rows] = np.where(sent[person] >= left.messages[person], writer[person], -1)
    return found


def worth_sending(pairs: Candidates, offers: Offers, limits: Limits) -> NDArray[np.bool_]:
    """Whom some message would earn something if nothing were scarce."""
    free = Prices(np.zeros(len(offers)), np.zeros(len(limits.budgets)), np.zeros(len(limits.capacity)))
    found = np.zeros(pairs.customers, np.bool_)
    found[at_prices(pairs, offers, limits, free).customer] = True
    return found


def used_of_rows(choice: Choice) -> Floats:
    """What a campaign's own decisions use of each of its limits on groups, and of the night's."""
    chosen, groups = choice.treatment.chosen, choice.treatment.candidates.groups
    used = np.zeros(len(choice.further))
    for r, row in enumerate(choice.further):
        each = np.zeros(len(choice.offers))
        each[row.offers] = 1.0 if row.weight is None else row.weight
        inside = True if row.group < 0 else (groups[chosen.customer] == row.group).any(axis=1)  # type: ignore[index]
        amount = each[chosen.offer] * (1.0 if row.kind else chosen.p1)
        used[r] = float(np.where(inside, amount, 0.0).sum())
    return used
