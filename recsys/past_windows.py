"""What was bought in windows that are past, with what was known before each of them: the examples to learn from.

The newest window that is wholly known is for calibration; those before it, one after the other, are learned from.
As messages go out lead_days after a decision, a window begins so many days after what is known of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.history import History, bought_between, earlier
from recsys.scope_features import ScopeFacts, pair_features, scope_facts

MOST_WINDOWS = 4  # to learn from
LEAST_HISTORY = 28.0  # days known before a window
MOST_CUSTOMERS = 20_000  # of a window


@dataclass(frozen=True)
class Windows:
    """How many days before now each window's looking-on instant lies: learned from, the newest first; calibrated on."""

    training: tuple[float, ...]
    calibration: float


@dataclass(frozen=True, eq=False)
class Examples:
    """Pairs of a customer and a scope.

    features: float32 [pairs × features]. bought: bool [pairs], whether in the window. weight: float64 [pairs], how many
    pairs one stands for. row: int64 [pairs], the customer's in the history. scope: int32 [pairs].
    """

    features: NDArray[np.float32]
    bought: NDArray[np.bool_]
    weight: NDArray[np.float64]
    row: NDArray[np.int64]
    scope: NDArray[np.int32]


def past_windows(days_known: float, lead_days: float, window_days: float) -> Windows | None:
    """The windows that a history so long has room for; None where there is not even one to calibrate on.

    Windows learned from do not overlap each other or the one calibrated on.
    """
    newest = float(lead_days + window_days)
    if days_known - newest < LEAST_HISTORY:
        return None
    before = [newest + k * window_days for k in range(1, MOST_WINDOWS + 1)]
    return Windows(tuple(days for days in before if days_known - days >= LEAST_HISTORY), newest)


def overlapping(days_known: float, lead_days: float, window_days: float) -> list[float]:
    """The same, from the newest to as far back, twice as close: how many days before now each looking-on instant lies.

    Windows that overlap say less than two, but more than one.
    """
    newest = float(lead_days + window_days)
    before = [newest + k * window_days / 2 for k in range(2 * MOST_WINDOWS + 1)]
    return [days for days in before if days_known - days >= LEAST_HISTORY]


def sampled(
    known: History, scopes: csr_matrix, days: float, lead_days: float, window_days: float, pairs: int, seed: int
) -> Examples:
    """About so many pairs of the window looked on to `days` before: most of those who bought, fewer of those who had
    bought before, fewest of the rest. scopes: [items × scopes] of 0/1."""
    rng = np.random.default_rng(seed)
    then = earlier(known, days)
    rows = some_rows(then.known, MOST_CUSTOMERS, rng)
    bought = bought_between(known, scopes, days - lead_days, days - lead_days - window_days)[rows].toarray() > 0
    before = bought_between(known, scopes, np.inf, days)[rows].toarray() > 0
    draw, weight = rng.random(bought.shape), np.zeros(bought.shape)
    for group, share in ((bought, 0.4), (~bought & before, 0.35), (~bought & ~before, 0.25)):
        rate = min(1.0, share * pairs / max(1, int(np.count_nonzero(group))))
        weight[group & (draw < rate)] = 1 / rate
    at, scope = np.nonzero(weight)
    facts = scope_facts(then, scopes, window_days, seed)
    found = features_of(then, rows, at, scope.astype(np.int32), scopes, facts)
    return Examples(found, bought[at, scope], weight[at, scope], rows[at], scope.astype(np.int32))


def crossed(
    known: History, scopes: csr_matrix, days: float, lead_days: float, window_days: float, pairs: int, seed: int
) -> Examples:
    """Every scope with as many customers as make so many pairs, in order of customer and scope."""
    then = earlier(known, days)
    count = scopes.shape[1]
    rows = some_rows(then.known, max(1, pairs // count), np.random.default_rng(seed))
    bought = bought_between(known, scopes, days - lead_days, days - lead_days - window_days)[rows].toarray() > 0
    at, scope = np.repeat(np.arange(len(rows)), count), np.tile(np.arange(count, dtype=np.int32), len(rows))
    facts = scope_facts(then, scopes, window_days, seed)
    found = features_of(then, rows, at, scope, scopes, facts)
    return Examples(found, bought.ravel(), np.ones(len(at)), rows[at], scope)


def features_of(
    known: History,
    rows: NDArray[np.int64],
    at: NDArray[np.integer],
    scope: NDArray[np.int32],
    scopes: csr_matrix,
    facts: ScopeFacts,
) -> NDArray[np.float32]:
    """float32 [pairs × features] of pairs in rising order of rows[at]."""
    start = np.searchsorted(at, np.arange(len(rows) + 1)).astype(np.int64)
    return pair_features(known, rows, start, scope, scopes, facts)


def some_rows(rows: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
