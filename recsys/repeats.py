"""How likely a customer is to buy again what they bought before: learned from earlier windows of the same length.

What counts is how often and how lately (decayed at several speeds), where the customer stands against their own rhythm
and the item's, how the item fares of late, how busy the customer is, and what else they buy of its category.
"""

from collections.abc import Sequence

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from recsys.cells import Cells, bought_after, days_before
from recsys.logistic import fit_logistic

Floats = NDArray[np.float32]

HALF_LIVES = (14.0, 45.0, 91.0, 182.0)  # days
WINDOWS = 6  # earlier windows to learn from, at most
ROWS = 600_000  # cells to learn from, at most
LEAST_AGAIN = 500  # cells bought again below which trees would only learn by heart
SHRINK = 10.0  # cells: a rate is drawn to that of all as if it held so many more of them
ROUNDS = 150
WORTH_THREADS = 100_000  # cells; with fewer, threads wait for each other longer than they work
TREES = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "feature_fraction": 0.3,
    "max_bin": 127,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
}


def repeat_probabilities(
    cells: Cells,
    window_days: float,
    groups: Sequence[NDArray[np.int64]],
    *,
    min_item_buyers: int = 1,
    seed: int = 0,
    threads: int = 0,
) -> Floats:
    """P(bought again within the window), float32 [cells], from what followed in up to six windows before.

    groups: for each level of categories, every item's number [items]. Where few cells were ever bought again, a
    regression on decayed orders alone takes the place of the trees.
    """
    random = np.random.default_rng(seed)
    spans = windows_behind(cells.days, window_days, WINDOWS)
    seen, again = [], []
    for end, width in spans:
        then = days_before(cells, end, min_item_buyers)
        if not len(then.start):
            continue
        happened = own(then, bought_after(cells, end, width))
        picked = np.arange(len(happened))
        if len(picked) > ROWS // len(spans):
            picked = np.sort(random.choice(picked, ROWS // len(spans), replace=False))
        seen.append(cell_features(then, window_days, groups, picked))
        again.append(happened[picked])
    now = cell_features(cells, window_days, groups)
    if not seen:
        return np.full(len(now), 0.5, np.float32) * now[:, 0] / (1 + now[:, 0])
    rows, happened = np.concatenate(seen), np.concatenate(again)
    if happened.sum() < LEAST_AGAIN:
        count = len(HALF_LIVES)
        prior, positive = np.full(count, 0.25), np.ones(count, bool)
        found = fit_logistic(np.log(rows[:, :count] + 0.05), happened, prior=prior, nonnegative=positive)
        odds = found.intercept + np.log(now[:, :count] + 0.05) @ found.weights
        return (1 / (1 + np.exp(-odds))).astype(np.float32)
    threads = threads if len(rows) >= WORTH_THREADS else 1
    settings = {**TREES, "min_data_in_leaf": min(200, max(20, len(rows) // 100)), "seed": seed, "num_threads": threads}
    trees = lgb.train(settings, lgb.Dataset(rows, happened), ROUNDS)
    return np.asarray(trees.predict(now, num_threads=threads)).astype(np.float32)


def windows_behind(days: float, window_days: float, most: int) -> list[tuple[float, float]]:
    """(begins so many days ago, days wide) of the windows to learn from, the latest first.

    Each leaves at least a window of history before itself; where days is too short, it is half of what is known.

    >>> windows_behind(100, 28, 6), windows_behind(30, 28, 6)
    ([(28, 28), (56, 28)], [(15.0, 15.0)])
    """
    found = [(window_days * k, window_days) for k in range(1, most + 1) if window_days * (k + 1) <= days]
    return found or [(days / 2, days / 2)]


def own(cells: Cells, bought: NDArray) -> NDArray[np.bool_]:
    """Which of the cells are among what was bought, CSR [customers × items]; bool [cells]."""
    found = cells.number_of.multiply(bought != 0).tocsr()
    out = np.zeros(len(cells.start), bool)
    out[np.asarray(found.data, np.int64) - 1] = True
    return out


def cell_features(
    cells: Cells, window_days: float, groups: Sequence[NDArray[np.int64]], picked: NDArray[np.int64] | None = None
) -> Floats:
    """float32 [cells × features], or of the picked cells alone; the first four are the decayed orders. NaN: not known,
    as the gap of one order."""
    customers, items = cells.shape
    u, i, w = cells.customer, cells.item, float(window_days)
    first, last, orders = cells.first_age, cells.last_age, cells.orders
    decayed = [cells.decayed(half_life) for half_life in HALF_LIVES]
    span = first - last
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(orders > 1, span / (orders - 1), np.nan)
        due = last / np.where(gap > 0, gap, np.nan)
    recent = [cells.summed(cells.line_age < width) for width in (w, 3.25 * w)]

    def of_customer(values: NDArray | None, who: NDArray = u) -> NDArray:
        return np.bincount(who, values, customers)

    def of_item(values: NDArray | None, which: NDArray = i) -> NDArray:
        return np.bincount(which, values, items)

    # Customers: how busy they are, and since when and how broadly they have been buying.
    order_u, order_age = cells.order_customer, cells.order_age
    all_orders = of_customer(None, order_u)
    busy = [of_customer(np.exp2(-order_age / half_life), order_u) for half_life in (28.0, 91.0)]
    oldest, newest = np.zeros(customers), np.full(customers, np.inf)
    np.maximum.at(oldest, order_u, order_age)
    np.minimum.at(newest, order_u, order_age)
    by = np.lexsort((order_age, order_u))  # a customer's orders, the latest first
    begins = np.searchsorted(order_u[by], np.arange(customers))
    key = order_u[by] * 1e6 + order_age[by]
    since = np.searchsorted(key, u * 1e6 + last * (1 - 1e-12), side="left") - begins[u]  # orders without it since
    breadth = of_customer(None)
    repeated = of_customer(orders > 1) / np.maximum(breadth, 1)

    # Items: how many buy them, how often again, and how that has been of late.
    buyers, lines = of_item(None), of_item(None, cells.line_item)
    thousand = 1000 / max(customers, 1)
    late = [of_item(cells.line_age < width, cells.line_item) for width in (w / 4, w / 2, w, 3.25 * w)]
    item_newest = np.full(items, np.inf)
    np.minimum.at(item_newest, i, last)
    old = first > w
    back = old & (last < w)
    rate = back.sum() / max(old.sum(), 1)
    item_back = (of_item(back) + SHRINK * rate) / (of_item(old) + SHRINK)
    customer_back = (of_customer(back) + SHRINK * rate) / (of_customer(old) + SHRINK)
    item_gap = _mean_of(gap, i, items)
    many = np.maximum(buyers, 1)

    columns = [
        *decayed, orders, last, span, gap, due, *recent, last / np.maximum(item_gap[i], 1.0), item_gap[i], since,
        orders / np.maximum(all_orders[u], 1), decayed[2] / np.maximum(busy[1][u], 1e-6),
        all_orders[u], oldest[u], newest[u], busy[0][u], busy[1][u], breadth[u], repeated[u], customer_back[u],
        buyers[i] * thousand, ((of_item(orders > 1) + 1) / (buyers + 4))[i], (lines / many)[i],
        *(count[i] * thousand for count in late), (late[2] / (late[3] + 1))[i], item_newest[i], item_back[i],
    ]  # fmt: skip
    for numbers in groups:
        pair = u * (int(numbers.max(initial=0)) + 1) + numbers[i]
        _, place = np.unique(pair, return_inverse=True)
        together, latest = np.bincount(place, decayed[1]), np.full(place.max(initial=0) + 1, np.inf)
        np.minimum.at(latest, place, last)
        columns += [together[place], decayed[1] / np.maximum(together[place], 1e-6), latest[place]]
    rows = np.arange(len(u)) if picked is None else picked
    out = np.empty((len(rows), len(columns)), np.float32)
    for k, column in enumerate(columns):  # not stacked first, which would hold all of them twice more
        out[:, k] = column if picked is None else column[rows]
    return out


def _mean_of(values: NDArray, of: NDArray[np.int64], count: int) -> NDArray:
    """The mean of the values known of each, their overall mean where none is."""
    known = ~np.isnan(values)
    number = np.bincount(of[known], minlength=count)
    total = np.bincount(of[known], values[known], count)
    overall = total.sum() / max(number.sum(), 1)
    return (total + overall) / (number + 1)
