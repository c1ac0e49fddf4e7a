"""How much more is ordered at this time of the year, by what was ordered a year ago."""

from collections.abc import Sequence

import numpy as np

from recsys.history import History

YEAR = 364.0  # days: whole weeks, so that weekends meet weekends
BEFORE = 84.0  # days before a window that its orders are held against
LEAST_ORDERS = 300  # in a window, and before it; fewer say little
# How much of a year ago is believed: over 9 to 16 windows of 20 and 28 days of Online Retail, the level was missed by
# .08 to .10 where it was .20 to .25 without, least at .7. Feasts of the moon come 11 days earlier each year.
BELIEVED = 0.7


def seasonal_change(
    known: History, days: Sequence[float], lead_days: float, window_days: float, now: float = 0.0
) -> float | None:
    """By how much log odds of purchase are likely to be higher in the window that is looked on to `now` (days ago) than
    in those looked on to so many days ago; None where not half of them are known a year earlier.

    What is compared is growth: orders a day in a window against those of the 12 weeks before it was looked on to.
    """
    age = np.sort(known.age[known.age > 0])

    def growth(then: float) -> float:
        if then + BEFORE > known.days:
            return np.nan
        ends = [then + BEFORE, then, then - lead_days, then - lead_days - window_days]
        up_to = np.searchsorted(age, ends, side="right")
        before, within = up_to[0] - up_to[1], up_to[2] - up_to[3]
        if min(before, within) < LEAST_ORDERS:
            return np.nan
        return float(np.log(within / window_days * BEFORE / before))

    usual = np.array([growth(YEAR + then) for then in days])
    change = growth(YEAR + now) - usual[np.isfinite(usual)].sum() / max(1, np.isfinite(usual).sum())
    if not np.isfinite(change) or 2 * np.isfinite(usual).sum() < len(usual):
        return None
    return BELIEVED * float(np.clip(change, -1, 1))
