"""What is left of a night for the campaigns that are decided now: messages to people, funders' budgets, limits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from campaigns.contact import night_allowance
from flows.deciding.held import Held, spent, used_of_limits
from flows.deciding.plan import Plan

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Left:
    """treatment, control: of each plan, the person of each of its arm's rows. messages: [people], the most that each
    may still get. budgets, limits: what other runs of the night use, by funder and by the limit's name."""

    treatment: list[Ints]
    control: list[Ints]
    messages: Ints
    budgets: Counter[str]
    limits: Counter[str]
    held: tuple[Held, ...]


def what_is_left(plans: Sequence[Plan], held: Sequence[Held]) -> Left:
    """What the contact policy leaves has been counted with each plan's audience, the other runs' messages among it."""
    people = [plan.audience.people for plan in plans]
    _, persons, messages = night_allowance(people)
    arms = [pc.equal(table["arm"], "treatment").to_numpy() for table in people]
    return Left(
        [own[treated] for own, treated in zip(persons, arms, strict=True)],
        [own[~treated] for own, treated in zip(persons, arms, strict=True)],
        messages,
        spent(held),
        used_of_limits(held),
        tuple(held),
    )
