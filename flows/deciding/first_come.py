"""What a suite with counters would earn: campaigns one after the other, and in each whoever comes first is served."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation import Candidates, GroupLimit, Limits, Offers, first_come


def first_come_together(
    views: Sequence[tuple[Offers, Limits]],
    candidates: Sequence[Candidates],
    people: Sequence[NDArray[np.int64]],
    messages: NDArray[np.int64],
    further: Sequence[Sequence[GroupLimit]],
    night_budgets: int,
    night_limits: int,
) -> list[float]:
    """The value of each campaign in rupiah, in order; what one takes of the night's limits the next does not have.

    The last night_budgets budgets and night_limits group limits of each are the night's.
    """
    room, values = messages.copy(), []
    spent, taken = np.zeros(night_budgets), np.zeros(night_limits)
    for (offers, limits), pairs, person, rows in zip(views, candidates, people, further, strict=True):
        own, of_rows = len(limits.budgets) - night_budgets, len(rows) - night_limits
        budgets = limits.budgets.copy()
        budgets[own:] = np.maximum(0, budgets[own:] - spent)
        left = [
            *rows[:of_rows],
            *(replace(row, amount=max(0.0, row.amount - t)) for row, t in zip(rows[of_rows:], taken, strict=True)),
        ]
        found = first_come(pairs, offers, replace(limits, budgets=budgets, messages=room[person]), left)
        values.append(found.value)
        room[person[np.unique(found.chosen.customer)]] -= 1
        spent += found.used.budgets[own:]
        most = [row for row in left if not row.at_least]
        used = dict(zip(map(id, most), found.used.further.tolist(), strict=True))
        taken += np.array([used.get(id(row), 0.0) for row in left[of_rows:]], np.float64)
    return values
