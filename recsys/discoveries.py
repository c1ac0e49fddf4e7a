"""How likely a customer is to buy what they never bought: taste times fashion, weighed by what followed before.

log odds = what the item is like of late + how much the customer tries + Σ weight · log(taste by one measure).
The measures of taste are collaborative filtering, similar items, and what the customer buys of the item's category.
They multiply, as an item must be liked and in demand at once, so that a popular item nobody like them buys ranks low.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.cells import Cells
from recsys.logistic import Logistic, fit_logistic
from recsys.ranking import rank

Floats = NDArray[np.float32]
Rows = NDArray[np.integer]

# What taste is drawn in by, so that none is a small number and not none at all.
LEAST_FACTOR = np.float32(0.005)
LEAST_SIMILAR = np.float32(0.01)
LEAST_GROUP = np.float32(0.1)
GROUP_PRIOR = 10.0  # confidence: a customer's share of a category is drawn to everybody's as if they had so much more
# Weights that stand until purchases speak against them: of taste by factors, similar items and each level of category,
# and of what items are like (see item_features): first buyers of the last half, whole and two windows.
TASTE_PRIOR, GROUP_WEIGHT = (0.7, 0.3), 0.1
ITEM_PRIOR = np.array([0.0, 0.0, 0.3, 0.4, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
CANDIDATES = 200  # of each customer, to learn from
CURSE = 1000.0  # first purchases: learned from so few, odds are halved, as the best of many guesses are lucky ones
CUSTOMERS = 2500  # to learn from, at most
BLOCK_CELLS = 1 << 22  # cells worked out at a time


@dataclass(frozen=True, eq=False)
class Taste:
    """Customers by items, each measure of taste from arrays that stay small.

    customer_factors, item_factors: float32, of collaborative filtering. history: CSR float32 [customers × items], the
    confidence of what was bought. similar: CSR float32 [items × items], from the bought to the similar. groups: int32
    [levels × items], the item's category on each level.
    """

    customer_factors: Floats
    item_factors: Floats
    history: csr_matrix
    similar: csr_matrix
    groups: NDArray[np.int32]

    @property
    def measures(self) -> int:
        return 2 + len(self.groups)

    @cached_property
    def least(self) -> Floats:
        """What each measure is drawn in by, float32 [measures]."""
        return np.array([LEAST_FACTOR, LEAST_SIMILAR, *[LEAST_GROUP] * len(self.groups)], np.float32)

    @cached_property
    def floor(self) -> Floats:
        """The logarithm of each measure where there is no taste, float32 [measures]."""
        return np.log(np.array([LEAST_FACTOR, LEAST_SIMILAR, *[1 + LEAST_GROUP] * len(self.groups)], np.float32))

    @cached_property
    def _bought(self) -> csr_matrix:
        ones = np.ones(self.history.nnz, np.float32)
        return csr_matrix((ones, self.history.indices, self.history.indptr), shape=self.history.shape)

    @cached_property
    def nearest(self) -> csr_matrix:
        """The other way round, from an item to those that it is similar to, of which few are picked fast."""
        return self.similar.T.tocsr()

    @cached_property
    def _levels(self) -> list[tuple[csr_matrix, Floats]]:
        """Items by groups of each level, and each group's share of all confidence."""
        out = []
        for numbers in self.groups:
            cells = (np.arange(len(numbers)), numbers)
            members = csr_matrix((np.ones(len(numbers), np.float32), cells))
            total = np.asarray(self.history.sum(axis=0), np.float64).ravel() @ members
            out.append((members, (total / max(total.sum(), 1e-12)).astype(np.float32)))
        return out

    @cached_property
    def usual(self) -> Floats:
        """Each group's share of all confidence, float32 [levels × groups]; 0 where a level has fewer groups."""
        out = np.zeros((len(self.groups), int(self.groups.max(initial=-1)) + 1), np.float32)
        for level, (_, share) in enumerate(self._levels):
            out[level, : len(share)] = share
        return out

    def logs(self, rows: Rows, columns: Rows | slice) -> list[Floats]:
        """The logarithm of each measure, [rows × columns] each. columns: item rows, or slice(None) for all."""
        factor = self.customer_factors[rows] @ self.item_factors[columns].T
        near = self.similar if isinstance(columns, slice) else self.nearest[columns].T
        similar = (self._bought[rows] @ near).toarray()
        out = [np.maximum(factor, 0, out=factor), similar]
        history = self.history[rows]
        weight = np.asarray(history.sum(axis=1), np.float32)
        for numbers, (members, share) in zip(self.groups, self._levels, strict=True):
            own = (history @ members).toarray() + np.float32(GROUP_PRIOR) * share
            own /= (weight + np.float32(GROUP_PRIOR)) * np.maximum(share, np.float32(1e-9))
            out.append(own[:, numbers[columns]])
        for part, least in zip(out, self.least, strict=True):
            part += least
            np.log(part, out=part)
        return out

    def shares(self, past: Rows, weight: Floats, items: Rows, factor_shares: Floats) -> list[Floats]:
        """What each past purchase adds to each measure before its logarithm, [past × items] each, at least 0."""
        out = [np.maximum(factor_shares, 0), self.nearest[items][:, past].toarray().T]
        out += [weight[:, None] * (numbers[past][:, None] == numbers[items]) for numbers in self.groups]
        return out


@dataclass(frozen=True, eq=False)
class Discoveries:
    """log odds [customers × items] = item [items] + customer [customers] + Σ weights · taste's logs.

    typical: the median of what is known customers' own, for a customer without history.
    """

    item: Floats
    customer: Floats
    weights: Floats
    typical: float


def fit_discoveries(
    now: Cells, taste: Taste, then: Cells, taste_then: Taste, bought: csr_matrix, window_days: float, seed: int
) -> Discoveries:
    """Learned from what was known before an earlier window and `bought` in it, CSR [customers × items]; put to now."""
    measures = taste.measures
    features, happened = _examples(then, taste_then, bought, window_days, seed)
    item_now, customer_now = item_features(now, window_days), customer_features(now, window_days)
    prior = np.concatenate(
        [TASTE_PRIOR, np.full(measures - 2, GROUP_WEIGHT), ITEM_PRIOR, np.zeros(customer_now.shape[1])],
    )
    nonnegative = np.arange(len(prior)) < measures
    found: Logistic = fit_logistic(features, happened, prior=prior, nonnegative=nonnegative)
    weights, of_item, of_customer = np.split(found.weights, [measures, measures + item_now.shape[1]])
    customer = (customer_now @ of_customer).astype(np.float32)
    known = np.bincount(now.customer, minlength=now.shape[0]) > 0
    typical = float(np.median(customer[known])) if known.any() else 0.0
    doubt = np.log1p(CURSE / max(float(happened.sum()), 1.0))
    item = (item_now @ of_item + found.intercept - doubt).astype(np.float32)
    return Discoveries(item, np.where(known, customer, np.float32(typical)), weights.astype(np.float32), typical)


def item_features(cells: Cells, window_days: float) -> Floats:
    """float32 [items × 11]: logs of buyers, of first buyers of late (five spans) and of buyers of late (two), how long
    ago the item was first and last bought, and the share of buyers who bought again."""
    w, items, customers = float(window_days), cells.shape[1], max(cells.shape[0], 1)
    first, last, buyers = cells.first_age, cells.last_age, cells.buyers

    def spread(count: NDArray, of: NDArray | int) -> NDArray:
        return np.log((count + 0.02 * buyers + 0.02) / of)

    tried = []
    for span in (w / 4, w / 2, w, 2 * w, 3.25 * w):
        new = np.bincount(cells.item, first < span, items)
        tried.append(spread(new, (customers - buyers + new + 1) * span))  # of those who had not bought it until then
    bought = [spread(np.bincount(cells.item, last < span, items), customers) for span in (w / 2, w)]
    oldest, newest = np.zeros(items), np.full(items, np.inf)
    np.maximum.at(oldest, cells.item, first)
    np.minimum.at(newest, cells.item, last)
    again = np.log((np.bincount(cells.item, cells.orders > 1, items) + 1) / (buyers + 4))
    ages = [np.log(np.clip(oldest, 1, 365)), np.log(np.clip(newest, 0.5, 365))]
    return np.column_stack([np.log((buyers + 1) / customers), *tried, *bought, *ages, again]).astype(np.float32)


def customer_features(cells: Cells, window_days: float) -> Floats:
    """float32 [customers × 8]: logs of items tried (two spans, and ever), of orders (two spans), of the days since the
    last order, that squared, and since the first."""
    w, customers = float(window_days), cells.shape[0]
    first, u = cells.first_age, cells.customer
    tried = [np.log(np.bincount(u, first < span, customers) + 0.5) for span in (w, 3.25 * w)]
    ordered = [
        np.log(np.bincount(cells.order_customer, cells.order_age < span, customers) + 0.5) for span in (w, 3.25 * w)
    ]
    oldest, newest = np.zeros(customers), np.full(customers, np.inf)
    np.maximum.at(oldest, cells.order_customer, cells.order_age)
    np.minimum.at(newest, cells.order_customer, cells.order_age)
    quiet = np.log(np.clip(newest, 0.5, 365))
    breadth = np.log(np.bincount(u, minlength=customers) + 1)
    return np.column_stack([*tried, breadth, *ordered, quiet, quiet**2, np.log(np.clip(oldest, 1, 730))]).astype(
        np.float32
    )


def _examples(
    cells: Cells, taste: Taste, bought: csr_matrix, window_days: float, seed: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Features of the likeliest items never bought, of some customers, and whether they were then bought."""
    customers = np.flatnonzero(np.bincount(cells.customer, minlength=cells.shape[0]))
    if len(customers) > CUSTOMERS:
        customers = np.sort(np.random.default_rng(seed).choice(customers, CUSTOMERS, replace=False))
    of_item, of_customer = item_features(cells, window_days), customer_features(cells, window_days)
    demand = (np.exp(of_item[:, 3]) + np.exp(of_item[:, 4])).astype(np.float32)
    demand[cells.buyers == 0] = -np.inf  # not on sale yet
    known, features, happened = cells.number_of, [], []
    block = max(1, BLOCK_CELLS // cells.shape[1])
    for begin in range(0, len(customers), block):
        rows = customers[begin : begin + block]
        logs = taste.logs(rows, slice(None))
        likely = logs[0] + np.log(np.maximum(demand, np.float32(1e-30)))
        likely[:, demand < 0] = -np.inf
        likely[known[rows].nonzero()] = -np.inf
        best = rank(likely, CANDIDATES)
        at, place = np.nonzero(best >= 0)
        item = best[at, place]
        crossed = np.column_stack([part[at, item] for part in logs])
        features.append(np.column_stack([crossed, of_item[item], of_customer[rows[at]]]).astype(np.float32))
        happened.append(np.asarray(bought[rows].toarray()[at, item] > 0))
    width = taste.measures + of_item.shape[1] + of_customer.shape[1]
    empty = np.zeros((0, width), np.float32), np.zeros(0, bool)
    return (np.concatenate(features), np.concatenate(happened)) if features else empty
