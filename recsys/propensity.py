"""P(a customer buys within a scope in the window, without being addressed), learned from past windows and calibrated.

A logistic regression on the logarithms of the features is where the trees (LightGBM) start from: it gives the smooth
part, they give what bends. An isotonic fit mends what the trees, stopped early, leave of the rare, by what fits on half
of the customers say of the other half; it is of all windows together, as one alone differs from the next by more than
what there is to mend. Then all log odds are put to the level of the season. Nothing is known of a scope but its
features, so one that never was on offer is no exception.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import lightgbm
import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.sparse import csr_matrix
from scipy.special import expit, logit

from recsys.history import History, earlier
from recsys.past_windows import Examples, overlapping, past_windows, sampled
from recsys.scope_features import FEATURES, ScopeFacts, pair_features
from recsys.season import seasonal_change

Floats = NDArray[np.float64]
# [items × scopes] of 0/1, or what draws them by what was known before a window. Where how much they are bought decides
# which are drawn, it has to be by then: of those drawn later too many are such as have grown in the window.
Scopes: TypeAlias = csr_matrix | Callable[[History], csr_matrix]

PAIRS = 160_000  # learned from
PER_CUSTOMER = 100  # at most so many of them for each customer there is: more say little that is new
LOGISTIC_PAIRS = 60_000  # enough for the few weights of the logistic regression
LEAST_BUYERS = 200  # pairs with a purchase, in the windows learned from and in the one calibrated on
BLOCK_PAIRS = 1 << 17  # scored at a time
TREES = {
    "objective": "binary",
    "learning_rate": 0.06,
    "num_leaves": 15,
    "min_data_in_leaf": 200,
    "lambda_l2": 10.0,
    "feature_fraction": 0.7,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # on a busy machine more of them wait for each other
    "verbose": -1,
}
ROUNDS = 100
BIN_BUYERS, MOST_BINS = 25.0, 100  # buyers expected in the lowest bin of the calibration
DOUBT = 2.0  # buyers: a bin is drawn to what was expected in it as if it held so many more
# Where a year ago is not known: how much more was bought in the newest window than in all, half of it likely to last.
LASTING = 0.5


@dataclass(frozen=True, eq=False)
class Propensity:
    """middle, low, high, mean, spread, weights: float64, of the logistic regression, see _regressors.
    knots, log_odds: float64, of the calibration, rising. trees: LightGBM's own text.
    about: what it was learned from, plain JSON values."""

    lead_days: int
    window_days: int
    middle: Floats
    low: Floats
    high: Floats
    mean: Floats
    spread: Floats
    weights: Floats
    intercept: float
    trees: str
    knots: Floats
    log_odds: Floats
    about: dict[str, Any]

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.trees)

    def scores(self, features: NDArray[np.float32]) -> Floats:
        """Log odds before calibration [pairs]."""
        return self.smooth(features) + self._booster.predict(features, raw_score=True)

    def smooth(self, features: NDArray[np.float32]) -> Floats:
        """Of the logistic regression alone: intercept + _regressors · weights, which never stand in memory."""
        slope, many = self.weights / self.spread, len(self.middle)
        without = slope[:many] * self.middle + slope[many:]
        start = self.intercept - float(self.mean @ slope)
        return _sum_of_logs(features, slope[:many].copy(), without, self.low, self.high, start)

    def chances(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """The calibrated chance of each pair, over 0 and under 1; a higher score never has a lower chance."""
        z = self.scores(features)
        beyond = z - np.clip(z, self.knots[0], self.knots[-1])
        return expit(np.interp(z, self.knots, self.log_odds) + beyond).astype(np.float32)


def fit_propensity(known: History, scopes: Scopes, lead_days: int, window_days: int, seed: int) -> Propensity | None:
    """Learned from what was bought in these scopes; None where windows or buyers are too few.

    Bitwise reproducible for the same arguments.
    """
    found = fit_with_rehearsal(known, scopes, lead_days, window_days, seed)
    return found and found[0]


def fit_with_rehearsal(
    known: History, scopes: Scopes, lead_days: int, window_days: int, seed: int
) -> tuple[Propensity, Propensity] | None:
    """(as fit_propensity, the same without the newest window, by which it may be judged)."""
    windows = past_windows(known.days, lead_days, window_days)
    if windows is None or not windows.training:
        return None
    days = overlapping(known.days, lead_days, window_days)
    pairs = min(PAIRS, PER_CUSTOMER * len(known.customers)) // len(days)
    drawn = [scopes(earlier(known, then)) if callable(scopes) else scopes for then in days]
    parts = [
        sampled(known, some, then, lead_days, window_days, pairs, seed + k)
        for k, (some, then) in enumerate(zip(drawn, days, strict=True))
    ]
    past = [k for k, then in enumerate(days) if then >= windows.training[0]]
    learned, newest = _together([parts[k] for k in past]), parts[0]
    if min(learned.bought.sum(), newest.bought.sum()) < LEAST_BUYERS:
        return None
    everything = _together(parts)
    span = (lead_days, window_days)
    about = {
        "windows": len(days),
        "scopes": drawn[0].shape[1],
        "pairs": len(everything.bought),
        "buyers": int(everything.bought.sum()),
        "newest_pairs": len(newest.bought),
        "newest_buyers": int(newest.bought.sum()),
    }
    rehearsal, model = _learned(learned, *span, seed), _learned(everything, *span, seed)
    level = seasonal_change(known, days, *span)
    about["level"] = "newest window" if level is None else "a year ago"
    if level is None:
        level = LASTING * _shift(model.scores(newest.features), newest)
    then = seasonal_change(known, [days[k] for k in past], *span, now=days[0]) or 0.0
    return (
        _calibrated(model, everything, level, about, seed),
        _calibrated(rehearsal, learned, then, about, seed),
    )


def _together(parts: Sequence[Examples]) -> Examples:
    return Examples(*(np.concatenate([getattr(p, name) for p in parts]) for name in Examples.__dataclass_fields__))


def _learned(examples: Examples, lead_days: int, window_days: int, seed: int) -> Propensity:
    """Not calibrated yet."""
    smooth = _logistic(examples)
    *standard, weights, intercept = smooth
    start = intercept + _regressors(examples.features, *standard) @ weights
    data = lightgbm.Dataset(
        examples.features, examples.bought, weight=examples.weight, init_score=start, feature_name=list(FEATURES)
    )
    trees = lightgbm.train({**TREES, "seed": seed}, data, ROUNDS).model_to_string()
    nothing = np.zeros(1)
    return Propensity(lead_days, window_days, *smooth, trees, nothing, nothing, {})


def pair_chances(
    model: Propensity,
    known: History,
    rows: NDArray[np.int64],
    start: NDArray[np.int64],
    scope: NDArray[np.int32],
    scopes: csr_matrix,
    facts: ScopeFacts,
) -> NDArray[np.float32]:
    """The chance of each pair, float32 [pairs], worked out in blocks; pairs as in pair_features."""
    out = np.empty(len(scope), np.float32)
    low = 0
    while low < len(rows):
        high = max(low + 1, int(np.searchsorted(start, start[low] + BLOCK_PAIRS, side="right")) - 1)
        span = slice(start[low], start[high])
        found = pair_features(known, rows[low:high], start[low : high + 1] - start[low], scope[span], scopes, facts)
        out[span] = model.chances(found)
        low = high
    return out


# --- the smooth part -------------------------------------------------------------------------------------------------


def _regressors(
    features: NDArray[np.float32], middle: Floats, low: Floats, high: Floats, mean: Floats, spread: Floats
) -> Floats:
    """Logarithms, the middle where there is no value, and beside them a 1 where there is none; standardised.

    Further beyond what was learned from than it varies, nothing is known: such logarithms count as low or high. (Of
    fuel, sold for Rp36 a piece among goods of 10,000, the chance was a fiftieth of what it was.)
    """
    logs = np.sign(features) * np.log1p(np.abs(features))
    missing = ~np.isfinite(logs)
    filled = np.where(missing, middle, np.clip(logs, low, high))
    return (np.hstack([filled, missing]) - mean) / spread


@njit(cache=True, nogil=True)
def _sum_of_logs(features, slope, without, low, high, start):  # type: ignore[no-untyped-def]  # numba's types
    out = np.full(len(features), start)
    for n in range(len(features)):
        for k in range(len(slope)):
            value = features[n, k]
            if np.isfinite(value):
                log = np.log1p(value) if value >= 0 else -np.log1p(-value)
                out[n] += slope[k] * min(max(log, low[k]), high[k])
            else:
                out[n] += without[k]
    return out


def _logistic(learned: Examples) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, float]:
    """(middle, low, high, mean, spread, weights, intercept), by Newton's method with a little ridge."""
    some = slice(None, None, -(-len(learned.bought) // LOGISTIC_PAIRS))
    features, bought, weight = learned.features[some], learned.bought[some], learned.weight[some]
    logs = np.sign(features) * np.log1p(np.abs(features))
    logs[~np.isfinite(logs)] = np.nan
    counted = np.isfinite(logs).any(axis=0)
    middle, low, high = np.zeros((3, logs.shape[1]))
    middle[counted] = np.nanmedian(logs[:, counted], axis=0)
    low[counted], high[counted] = np.nanmin(logs[:, counted], axis=0), np.nanmax(logs[:, counted], axis=0)
    nothing, one = np.zeros(2 * len(middle)), np.ones(2 * len(middle))
    x = _regressors(features, middle, low, high, nothing, one)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread[spread < 1e-6] = 1.0
    low, high = low - spread[: len(middle)], high + spread[: len(middle)]
    x = np.column_stack([np.ones(len(x)), (x - mean) / spread])
    y = bought.astype(np.float64)
    ridge = np.diag(np.append(0.0, np.ones(x.shape[1] - 1)))
    found = np.zeros(x.shape[1])
    found[0] = logit((weight @ y + 0.5) / (weight.sum() + 1))
    for _ in range(12):
        p = expit(x @ found)
        slope = x.T @ (weight * (y - p)) - ridge @ found
        step = np.linalg.solve((x.T * (weight * np.maximum(p * (1 - p), 1e-6))) @ x + ridge, slope)
        found += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-6:
            break
    return middle, low, high, mean, spread, found[1:], float(found[0])


# --- calibration -----------------------------------------------------------------------------------------------------


def _calibrated(model: Propensity, examples: Examples, level: float, about: dict[str, Any], seed: int) -> Propensity:
    """The model made to say what is true of customers that it has not learned from, and then put to a level."""
    scores = np.empty(len(examples.bought))
    half = (np.random.default_rng(seed).permutation(int(examples.row.max()) + 1) % 2 == 0)[examples.row]
    for learned, other in ((half, ~half), (~half, half)):
        scores[other] = _learned(_of(examples, learned), model.lead_days, model.window_days, seed).scores(
            examples.features[other]
        )
    knots, log_odds = _calibration(scores, examples)
    return replace(model, knots=knots, log_odds=log_odds + level, about=about)


def _of(examples: Examples, picked: NDArray[np.bool_]) -> Examples:
    return Examples(*(getattr(examples, name)[picked] for name in Examples.__dataclass_fields__))


def _calibration(scores: Floats, examples: Examples) -> tuple[Floats, Floats]:
    """(knots, log odds): usual scores of bins by rising score, and what they should have been, at the scores' level.

    A bin has the ratio of buyers to expected ones, both with DOUBT added, then the nearest sequence that never falls.
    Between knots it runs straight, beyond them at slope 1.
    """
    y, weight = examples.bought.astype(np.float64), examples.weight
    shift = _shift(scores, examples)
    p = expit(scores + shift)
    by = np.argsort(scores, kind="stable")
    expected = np.cumsum((weight * p)[by])
    bins = int(np.clip(np.sqrt(expected[-1] / BIN_BUYERS), 1, MOST_BINS))  # narrow where buyers are rare
    number = np.minimum((np.sqrt(expected / expected[-1]) * bins).astype(int), bins - 1)
    sums = [np.bincount(number, (weight * part)[by], minlength=bins) for part in (p, y, np.ones(len(y)))]
    likely, buyers, people = (part[sums[2] > 0] for part in sums)
    usual = likely / people  # and not the bin's mean score, which in the lowest bin is far below
    rate = np.clip(usual * (buyers + DOUBT) / (likely + DOUBT), 1e-9, 1 - 1e-9)
    odds = isotonic_regression(logit(rate), weights=likely).x
    return logit(usual) - shift, odds - shift


def _shift(scores: Floats, examples: Examples) -> float:
    """What, added to the log odds, makes the expected buyers those there were."""
    y, weight = examples.bought.astype(np.float64), examples.weight
    shift = 0.0
    for _ in range(50):
        p = expit(scores + shift)
        shift += float(np.clip((weight @ (y - p)) / (weight @ (p * (1 - p))), -1, 1))
    return shift
