"""How good chances of purchase were on a window that was never seen, beside logistic regression and decayed frequency.

All is learned from what was known before the cut and judged by what was bought after it, of customers crossed with
scopes that were not learned from. The regression has the features of the chances; it and the frequency are made into
chances by an isotonic fit on the newest window before the cut, as they would be in use.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.sparse import csr_matrix
from scipy.stats import beta, rankdata

from recsys.history import History, earlier
from recsys.metrics import interval
from recsys.past_windows import Examples, crossed, sampled
from recsys.propensity import PAIRS, Propensity, fit_propensity
from recsys.scope_features import FEATURES
from recsys.scope_sample import buyers_of, sample_scopes

Floats = NDArray[np.float64]

LEARNED, JUDGED = 160, 300  # scopes
PAIRS_JUDGED = 1_000_000
FEW = 400  # buyers, below which an interval is as wide as the binomial one at least
GROUPS = ("rare", "middling", "common")  # thirds of the scopes by their buyers before the cut
BINS = 10
LEAST = 1e-9  # a chance is never nearer to 0 or 1
BASELINES = ("logistic", "frequency")
RATIO = ("ratio", "low", "high")


def judge_chances(after: History, items: pa.Table, window_days: int, seed: int) -> dict[str, Any] | None:
    """None where what was known before the last window says too little to learn from.

    after: as known at the end of the window that is judged by. items: a row for each of its items.
    Returns plain JSON values, shares as fractions: {"pairs", "buyers", "customers", "scopes", "learned_from",
    "rows": [{"model": chances, logistic or frequency, "auc": null without buyers, "log_loss",
        "predicted_over_observed"}],
    "differences": of log loss, in the form of recsys.evaluation, below 0 where the chances are better,
    "deciles" of the prediction and "groups" of scopes: [{"group", "predicted", "observed", "pairs", "buyers",
        "ratio" of predicted to observed, "low", "high": its 95% interval; null for without end}]}.
    """
    known = earlier(after, window_days)
    buyers = buyers_of(known)
    if not buyers.any():
        return None

    def scopes(then: History) -> csr_matrix:
        return sample_scopes(items, buyers_of(then), LEARNED, seed)

    others = sample_scopes(items, buyers, JUDGED, seed + JUDGED)
    model = fit_propensity(known, scopes, 0, window_days, seed)
    if model is None:
        return None
    window = (0, window_days)
    judged = crossed(after, others, float(window_days), *window, PAIRS_JUDGED, seed)
    before = scopes(earlier(known, window_days))
    newest = sampled(known, before, float(window_days), *window, PAIRS // 2, seed + LEARNED)
    chances = {"chances": model.chances(judged.features).astype(np.float64)}
    for name in BASELINES:
        chances[name] = _made_chances(newest, _score(name, model, newest), _score(name, model, judged))
    losses = {name: _losses(judged.bought, p) for name, p in chances.items()}
    each = [(losses["chances"] - losses[base]).reshape(-1, others.shape[1]).mean(axis=1) for base in BASELINES]
    low, high = interval(np.column_stack(each), seed)
    came = int(judged.bought.sum())
    share = np.bincount(judged.scope, judged.features[:, FEATURES.index("orders")] > 0, others.shape[1])
    third = np.searchsorted(np.quantile(share, [1 / 3, 2 / 3]), share)[judged.scope]
    ours = chances["chances"]

    def shares(group: str, part: NDArray[np.integer]) -> dict[str, Any]:
        return {"group": group, **_shares(ours[part], judged.bought[part], judged.row[part])}

    return {
        "pairs": len(judged.bought),
        "buyers": came,
        "customers": len(each[0]),
        "scopes": others.shape[1],
        "learned_from": model.about,
        "rows": [
            {
                "model": name,
                "auc": auc(judged.bought, p),
                "log_loss": float(losses[name].mean()),
                "predicted_over_observed": float(p.sum() / came) if came else None,
            }
            for name, p in chances.items()
        ],
        "differences": [
            {
                "model": "chances",
                "against": base,
                "metric": "log_loss",
                "mean": float(each[k].mean()),
                "low": float(low[k]),
                "high": float(high[k]),
                "customers": len(each[k]),
            }
            for k, base in enumerate(BASELINES)
        ],
        "deciles": [
            shares(str(k + 1), part) for k, part in enumerate(np.array_split(np.argsort(ours, kind="stable"), BINS))
        ],
        "groups": [shares(name, np.flatnonzero(third == k)) for k, name in enumerate(GROUPS)],
    }


def auc(bought: NDArray[np.bool_], p: NDArray[np.floating]) -> float | None:
    """The chance that a pair with a purchase has a higher p than one without; None where either is missing."""
    buyers, others = int(bought.sum()), int((~bought).sum())
    if not buyers or not others:
        return None
    return float((rankdata(p.ravel())[bought.ravel()].sum() - buyers * (buyers + 1) / 2) / buyers / others)


def _score(name: str, model: Propensity, examples: Examples) -> Floats:
    if name == "logistic":  # which the trees of the model start from
        return model.smooth(examples.features)
    return examples.features[:, FEATURES.index("rate_42")].astype(np.float64)


def _made_chances(newest: Examples, scores: Floats, judged: Floats) -> Floats:
    """Isotonic least squares of what was bought on the scores, straight between them, read off at the scores judged."""
    at, number = np.unique(scores, return_inverse=True)
    people = np.bincount(number, newest.weight)
    rate = np.bincount(number, newest.weight * newest.bought) / people
    return np.interp(judged, at, isotonic_regression(rate, weights=people).x)


def _losses(bought: NDArray[np.bool_], p: Floats) -> Floats:
    p = np.clip(p, LEAST, 1 - LEAST)
    return -np.where(bought, np.log(p), np.log1p(-p))


def ratio(p: Floats, bought: NDArray[np.bool_], customer: NDArray[np.integer]) -> tuple[float, float, float]:
    """(predicted over observed, its 95% interval), over customers, as one who comes buys of many scopes.

    The interval is that of a ratio of sums over customers, on its logarithm (the delta method); of few buyers the exact
    binomial one (Clopper and Pearson) where that is wider. Without buyers the ratio and the upper end are infinite.
    """
    said, came = (np.bincount(customer, part) for part in (p, bought))
    expected, buyers, pairs = float(said.sum()), int(came.sum()), len(p)
    if not buyers:
        return np.inf, expected / pairs / float(beta.ppf(0.975, 1, pairs)) if pairs else 0.0, np.inf
    found = expected / buyers
    spread = np.exp(1.96 * np.sqrt(np.square(said - found * came).sum()) / expected)
    low, high = found / spread, found * spread
    if buyers < FEW:
        most, least = beta.ppf([0.975, 0.025], [buyers + 1, buyers], [pairs - buyers, pairs - buyers + 1])
        low, high = min(low, expected / pairs / most), max(high, expected / pairs / least)
    return found, float(low), float(high)


def _shares(p: Floats, bought: NDArray[np.bool_], customer: NDArray[np.integer]) -> dict[str, Any]:
    pairs, buyers = len(p), int(bought.sum())
    known = {name: x if np.isfinite(x) else None for name, x in zip(RATIO, ratio(p, bought, customer), strict=True)}
    shares = {"predicted": float(p.sum() / max(pairs, 1)), "observed": buyers / max(pairs, 1)}
    return {**shares, "pairs": pairs, "buyers": buyers, **known}
