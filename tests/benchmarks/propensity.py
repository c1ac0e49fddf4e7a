"""Chances of purchase: how good on a window that was never seen, and how fast.

    python tests/benchmarks/propensity.py quality WORKSPACE [LEAD WINDOW [CUTS]]
    python tests/benchmarks/propensity.py speed [CUSTOMERS …]

Quality, on the tables of any workspace: the model is learned and calibrated on what was known before a cut, and judged
by the window after it, on scopes that were not learned from, beside logistic regression on the same features (as
scikit-learn fits it) and decayed frequency, which an isotonic fit on the newest window makes into chances. Groups are
thirds of the scopes by their buyers before the cut; deciles are of the prediction. Of each is told what was predicted
over what was observed, how many bought, and the interval of the ratio (95%): customers are drawn, not pairs, as one who
comes buys of many scopes; where under 400 bought, the binomial interval is taken if it is wider. A ratio is marked with
! where it differs from 1 by over a tenth beyond that. The level of a window is nobody's to know: it is told how far it
was from what was expected (one shift of all log odds), and the shape is what is left of the ratios after that shift.
Speed: customers × 50 offers through the real code, on made-up orders.
"""

import resource
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.optimize import brentq
from scipy.sparse import csr_matrix
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler

from flows.workspace import open_workspace, read_table
from recsys.foresight import ratio
from recsys.history import History, earlier, history
from recsys.past_windows import crossed, overlapping, past_windows, sampled
from recsys.propensity import PAIRS, fit_propensity, pair_chances
from recsys.scope_features import FEATURES, all_pairs, scope_facts
from recsys.scope_sample import buyers_of, sample_scopes

SEED, JUDGED = 1, 400_000
OFFERS, BLOCK = 50, 20_000


def quality(root: str, lead: int = 0, window: int = 28, cuts: int = 4) -> None:
    workspace = open_workspace(Path(root))
    purchases, items = read_table(workspace, "purchases"), read_table(workspace, "items")
    newest = pc.max(purchases["occurred_at"]).as_py()
    whole = history(purchases, newest + timedelta(seconds=1), items["item_id"].combine_chunks())
    print(f"{root}: {len(whole.customers):,} customers, {whole.days:.0f} days, lead {lead}, window {window}")
    for cut in range(cuts):
        after = earlier(whole, cut * window)  # as known at the end of the window judged by
        known = earlier(after, lead + window)
        found = past_windows(known.days, lead, window)
        if found is None or not found.training:
            break
        judge(after, known, items, lead, window)


def judge(after: History, known: History, items: pa.Table, lead: int, window: int) -> None:
    def scopes(then: History) -> csr_matrix:
        return sample_scopes(items, buyers_of(then), 160, SEED)

    others = sample_scopes(items, buyers_of(known), 300, SEED + 98)
    start = time.perf_counter()
    model = fit_propensity(known, scopes, lead, window, SEED)
    seconds = time.perf_counter() - start
    if model is None:
        print("  too few buyers for a model")
        return
    third = crossed(after, others, lead + window, lead, window, JUDGED, SEED)
    instants = overlapping(known.days, lead, window)
    pairs = PAIRS // len(instants)
    drawn = [scopes(earlier(known, days)) for days in instants]
    parts = [
        sampled(known, some, days, lead, window, pairs, SEED + k)
        for k, (some, days) in enumerate(zip(drawn, instants, strict=True))
    ]
    second = sampled(known, drawn[0], instants[0], lead, window, PAIRS // 2, SEED + len(parts))
    features, bought, weight = (
        np.concatenate([getattr(p, n) for p in parts]) for n in ("features", "bought", "weight")
    )
    prepare = Prepared(features)
    logistic = LogisticRegression(max_iter=500).fit(prepare(features), bought, sample_weight=weight)
    rate = FEATURES.index("rate_42")

    def calibrated(of_second: np.ndarray, of_third: np.ndarray) -> np.ndarray:
        fit = IsotonicRegression(out_of_bounds="clip").fit(of_second, second.bought, sample_weight=second.weight)
        return fit.predict(of_third)

    linear = (logistic.predict_proba(prepare(part.features))[:, 1] for part in (second, third))
    p = {
        "this": model.chances(third.features).astype(np.float64),
        "logistic": calibrated(*linear),
        "frequency": calibrated(second.features[:, rate], third.features[:, rate]),
    }
    share = np.bincount(third.scope, third.features[:, 0] > 0)
    group = np.searchsorted(np.quantile(share, [1 / 3, 2 / 3]), share)[third.scope]
    print(f"  {third.bought.sum():,} of {len(third.bought):,} pairs bought; learned in {seconds:.1f} s")
    for name, chance in p.items():
        log_odds = logit(np.clip(chance, 1e-7, 1 - 1e-7))
        level = shift_to(log_odds, third.bought)
        parts_of = np.array_split(np.argsort(chance, kind="stable"), 10)
        where = [np.flatnonzero(group == k) for k in range(3)], parts_of
        print(
            f"  {name:9s} AUC {roc_auc_score(third.bought, chance):.4f}  log loss "
            f"{log_loss(third.bought, np.clip(chance, 1e-7, 1 - 1e-7)):.5f}  predicted/observed "
            f"{chance.sum() / third.bought.sum():.2f}, level missed by {-level:+.2f}"
        )
        for what, said in (("as said", chance), ("shape", expit(log_odds + level))):
            rare, deciles = (" ".join(told(said, third.bought, third.row, part) for part in parts) for parts in where)
            print(f"    {what:7s} rare to common {rare}; deciles {deciles}", flush=True)


def shift_to(log_odds: np.ndarray, bought: np.ndarray) -> float:
    """What, added to all log odds, makes as many buyers as there were."""
    return float(brentq(lambda shift: expit(log_odds + shift).sum() - bought.sum(), -10, 10))


def told(chance: np.ndarray, bought: np.ndarray, customer: np.ndarray, where: np.ndarray) -> str:
    """Predicted over observed(buyers: interval); ! where it is off by over a tenth."""
    found, low, high = ratio(chance[where], bought[where], customer[where])
    off = "!" if low > 1.1 or high < 0.9 else ""
    return f"{found:.2f}({bought[where].sum()}: {low:.2f}–{high:.2f}){off}"


class Prepared:
    """Features as a logistic regression needs them: logarithms, no gaps, one scale."""

    def __init__(self, features: np.ndarray) -> None:
        logs = self._logs(features)
        self.middle = np.nanmedian(logs, axis=0)
        self.scaler = StandardScaler().fit(self._filled(features))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return self.scaler.transform(self._filled(features))

    def _logs(self, features: np.ndarray) -> np.ndarray:
        logs = np.sign(features) * np.log1p(np.abs(features.astype(np.float64)))
        return np.where(np.isfinite(logs), logs, np.nan)

    def _filled(self, features: np.ndarray) -> np.ndarray:
        logs = self._logs(features)
        return np.hstack([np.where(np.isnan(logs), self.middle, logs), np.isnan(logs)])


# --- speed -----------------------------------------------------------------------------------------------------------


def made_up(customers: int, items: int = 10_000, seed: int = 1) -> History:
    """About 10 orders of 3 lines each, of items as unevenly popular as in shops."""
    rng = np.random.default_rng(seed)
    orders = rng.geometric(0.1, customers)
    last = np.cumsum(orders)
    lines = int(last[-1]) * 3
    item = np.minimum((items * rng.random(lines) ** 3).astype(np.int32), items - 1)
    whose = np.repeat(np.arange(customers), orders)
    age = rng.uniform(0.1, 400, last[-1])
    age = age[np.lexsort((-age, whose))]
    return History(
        pa.array([f"c{k:08d}" for k in range(customers)]),
        pa.array([f"i{k:06d}" for k in range(items)]),
        last - orders,
        last,
        age,
        np.arange(0, lines + 1, 3),
        item,
        np.full(lines, 20_000, np.float32),
        400.0,
    )


def speed(customers: int) -> None:
    known = made_up(customers)
    rng = np.random.default_rng(2)
    cells = (rng.random((len(known.items), OFFERS)) < rng.uniform(0.001, 0.05, OFFERS)).astype(np.float32)
    scopes = csr_matrix(cells)
    start = time.perf_counter()
    model: Any = fit_propensity(known, scopes, 7, 20, SEED)
    facts = scope_facts(known, scopes, 20, SEED)
    fitted, before = time.perf_counter() - start, peak()
    start, total = time.perf_counter(), 0.0
    for low in range(0, customers, BLOCK):
        rows = np.arange(low, min(low + BLOCK, customers))
        total += float(pair_chances(model, known, rows, *all_pairs(len(rows), OFFERS), scopes, facts).sum())
    seconds = time.perf_counter() - start
    pairs = customers * OFFERS
    print(
        f"{customers:>9,} customers × {OFFERS} offers: {pairs / seconds / 1e6:.2f} M pairs/s ({seconds:.0f} s), "
        f"learned in {fitted:.1f} s; scoring took {peak() - before:.0f} MB over the {before:.0f} MB before it; "
        f"{total / pairs:.4f} expected per pair"
    )


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["quality", root, *numbers]:
            quality(root, *map(int, numbers))
        case ["speed", *numbers]:
            for count in numbers or ["200000", "1000000"]:
                speed(int(count))
        case _:
            sys.exit(__doc__)
