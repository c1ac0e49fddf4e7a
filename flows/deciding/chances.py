"""How likely each person is to buy within each offer's scope: one history, one model per window, for a whole night."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.stats import rankdata

from campaigns.scope import scope_matrix
from campaigns.spec import Campaign
from recsys.decile_rates import DecileRates, fit_decile_rates
from recsys.history import History, history
from recsys.past_windows import LEAST_HISTORY, Examples, crossed, past_windows
from recsys.propensity import BLOCK_PAIRS, Propensity, fit_with_rehearsal, pair_chances
from recsys.scope_features import FEATURES, ScopeFacts, all_pairs, pair_features, scope_facts
from recsys.scope_sample import buyers_of, sample_scopes
from recsys.tables import InputError

SCOPES = 160  # that a model is learned on
CHECK_PAIRS = 100_000  # of the newest window, by which a model is checked and drawn
SOME_CUSTOMERS = 2_000  # who stand for all where a mean over customers is asked for
BINS = 10

ORDERS, RATE_42, RATE_182, AFFINITY = (FEATURES.index(name) for name in ("orders", "rate_42", "rate_182", "affinity"))


@dataclass(frozen=True, eq=False)
class Past:
    """What a night's campaigns have in common. purchases: net of returns as of the decision."""

    purchases: pa.Table
    items: pa.Table
    as_of: datetime
    seed: int
    models: dict[tuple[int, int], tuple[Propensity, Propensity] | None] = field(default_factory=dict)

    @cached_property
    def history(self) -> History:
        return history(self.purchases, self.as_of, self.items["item_id"].combine_chunks())

    def mixture(self, then: History) -> csr_matrix:
        """Scopes to learn from, of a window before which so much was known."""
        return sample_scopes(self.items, buyers_of(then), SCOPES, self.seed)

    def model(self, lead_days: int, window_days: int) -> tuple[Propensity, Propensity] | None:
        """With its rehearsal; learned the first time it is asked for."""
        key = (lead_days, window_days)
        if key not in self.models:
            self.models[key] = fit_with_rehearsal(self.history, self.mixture, *key, self.seed)
        return self.models[key]


@dataclass(frozen=True, eq=False)
class Chances:
    """model: what serves. base: float64 [offers], share of buyers in scope in the newest window that is wholly known.
    scopes: 0/1 [items × offers]. about: for the manifest, plain JSON values, see `checked`."""

    past: Past
    model: Propensity | DecileRates
    scopes: csr_matrix
    facts: ScopeFacts
    base: NDArray[np.float64]
    about: dict[str, Any]


def offer_chances(past: Past, campaign: Campaign, items: pa.Table) -> Chances:
    """items: as the campaign sees them, in any order. Raises InputError if purchases do not reach back far enough."""
    offers, lead_days, window_days = campaign.offers, campaign.schedule.lead_days, campaign.window_days
    known, scopes = past.history, scope_matrix(offers, items, past.items["item_id"])
    windows = past_windows(known.days, lead_days, window_days)
    if windows is None:
        days = lead_days + window_days
        raise InputError(
            f"{campaign.id}: lead_days and window_days are {days} days together, and purchases are known for "
            f"{known.days:.0f} days; chances need {days + LEAST_HISTORY:.0f} days, so shorten the window"
        )
    span = (lead_days, window_days)
    newest = crossed(known, scopes, windows.calibration, *span, CHECK_PAIRS, past.seed)
    fitted, rehearsal = past.model(*span) or (None, None)
    model, about = checked(fitted, newest, len(offers), past.seed, rehearsal)
    customers = len(newest.bought) // len(offers)
    base = (newest.bought.reshape(customers, -1).sum(axis=0) + 0.5) / (customers + 1)
    return Chances(past, model, scopes, scope_facts(known, scopes, window_days, past.seed), base, about)


def checked(
    model: Propensity | None, newest: Examples, offers: int, seed: int, rehearsal: Propensity | None = None
) -> tuple[Propensity | DecileRates, dict[str, Any]]:
    """The model, or rates by decile of a plain score if there is none or it does no better; and how good it was.

    newest: of every customer with every offer. Rates are judged on the half of the customers that they were not taken
    from, by log loss; the model by its rehearsal, which has not seen that window (None: by itself).
    Returns {"kind": "trees" or "deciles", "log_loss": of each that could be had, "auc", "reliability": [{"predicted",
    "observed", "pairs", "buyers"} by decile of the prediction], "learned_from"}.
    """
    bought = newest.bought.reshape(-1, offers)
    scores, before = plain(newest.features, offers)
    half = np.random.default_rng(seed).permutation(len(bought)) % 2 == 0
    p: dict[str, NDArray[np.floating]] = {"deciles": np.empty(bought.shape)}
    for taken, judged in ((half, ~half), (~half, half)):
        if taken.any() and judged.any():
            rates = fit_decile_rates(scores[taken], before[taken], bought[taken])
            p["deciles"][judged] = rates.apply(scores[judged], before[judged])
        else:
            p["deciles"][judged] = bought.mean()
    if model is not None:
        p["trees"] = (rehearsal or model).chances(newest.features).reshape(bought.shape)
    losses = {name: log_loss(bought, chance) for name, chance in sorted(p.items())}
    kind = min(sorted(losses, reverse=True), key=losses.__getitem__)
    about = {
        "kind": kind,
        "log_loss": losses,
        "auc": auc(bought, p[kind]),
        "reliability": reliability(bought, p[kind]),
        "learned_from": None if model is None else model.about,
    }
    if kind == "trees" and model is not None:
        return model, about
    return fit_decile_rates(scores, before, bought), about


def propensities(
    chances: Chances, people: pa.Array | pa.ChunkedArray, may_get: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """p0 [people × offers]; of pairs that may not be, where that is given, 0. Who never bought has the mean chance of
    those who never bought in the scope."""
    past, count = chances.past, chances.scopes.shape[1]
    rows = past.history.rows(people)
    out = np.zeros((len(rows), count), np.float32)
    wanted = np.ones(out.shape, np.bool_) if may_get is None else may_get
    known = np.flatnonzero((rows >= 0) & wanted.any(axis=1))
    for start in range(0, len(known), max(1, BLOCK_PAIRS // count)):
        block = known[start : start + max(1, BLOCK_PAIRS // count)]
        at, scope = np.nonzero(wanted[block])
        out[block[at], scope] = _chances(chances, rows[block], at, scope.astype(np.int32))
    new = rows < 0
    if new.any():
        out[new] = np.where(wanted[new], newcomers(chances), 0)
    return out


def newcomers(chances: Chances) -> NDArray[np.float32]:
    """[offers]: the mean chance of customers who never bought in the scope, or where all have, the lowest."""
    past, count = chances.past, chances.scopes.shape[1]
    known = past.history.known
    some = np.sort(np.random.default_rng(past.seed).permutation(known)[:SOME_CUSTOMERS])
    start, scope = all_pairs(len(some), count)
    found = pair_features(past.history, some, start, scope, chances.scopes, chances.facts)
    p = _of_features(chances, found, count).reshape(-1, count)
    without = found[:, ORDERS].reshape(-1, count) == 0
    mean = (p * without).sum(axis=0) / np.maximum(without.sum(axis=0), 1)
    return np.where(without.any(axis=0), mean, p.min(axis=0)).astype(np.float32)


def plain(features: NDArray[np.float32], offers: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(a score, whether bought before), both [customers × offers], for rates by decile."""
    score = features[:, RATE_42] + features[:, RATE_182] + features[:, AFFINITY]
    return score.reshape(-1, offers), (features[:, ORDERS] > 0).reshape(-1, offers)


def _chances(
    chances: Chances, rows: NDArray[np.int64], at: NDArray[np.integer], scope: NDArray[np.int32]
) -> NDArray[np.float32]:
    known, scopes, facts = chances.past.history, chances.scopes, chances.facts
    if isinstance(chances.model, Propensity):
        start = np.searchsorted(at, np.arange(len(rows) + 1)).astype(np.int64)
        return pair_chances(chances.model, known, rows, start, scope, scopes, facts)
    every = pair_features(known, rows, *all_pairs(len(rows), scopes.shape[1]), scopes, facts)
    return _of_features(chances, every, scopes.shape[1]).reshape(len(rows), -1)[at, scope]


def _of_features(chances: Chances, features: NDArray[np.float32], offers: int) -> NDArray[np.float32]:
    """Of every customer with every offer."""
    if isinstance(chances.model, Propensity):
        return chances.model.chances(features)
    return chances.model.apply(*plain(features, offers)).ravel()


# --- how good --------------------------------------------------------------------------------------------------------


def log_loss(bought: NDArray[np.bool_], p: NDArray[np.floating]) -> float:
    p = np.clip(p.astype(np.float64), 1e-9, 1 - 1e-9)
    return float(-np.where(bought, np.log(p), np.log1p(-p)).mean())


def auc(bought: NDArray[np.bool_], p: NDArray[np.floating]) -> float | None:
    """The chance that a pair with a purchase has a higher p than one without; None where either is missing."""
    buyers, others = int(bought.sum()), int((~bought).sum())
    if not buyers or not others:
        return None
    return float((rankdata(p.ravel())[bought.ravel()].sum() - buyers * (buyers + 1) / 2) / buyers / others)


def reliability(bought: NDArray[np.bool_], p: NDArray[np.floating]) -> list[dict[str, Any]]:
    """What was predicted and what came, by decile of the prediction."""
    y, chance = bought.ravel(), p.ravel().astype(np.float64)
    parts = [part for part in np.array_split(np.argsort(chance, kind="stable"), BINS) if len(part)]
    return [
        {
            "predicted": float(chance[part].mean()),
            "observed": float(y[part].mean()),
            "pairs": len(part),
            "buyers": int(y[part].sum()),
        }
        for part in parts
    ]
