"""Repeats and discoveries ranked apart, and merged by the one thing that both are: a probability of purchase.

The score of an item that a customer bought before is P(bought again in the window), learned as recsys.repeats does; of
one never bought P(bought for the first time), as recsys.discoveries does. Both learn only from windows that had
passed; the parts are then put to what is known now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.blend_top import LEAST_WEIGHT, Odds, best_of_odds
from recsys.cells import Cells, bought_after, days_before
from recsys.discoveries import GROUP_PRIOR, Discoveries, Taste, fit_discoveries
from recsys.drivers import Parts, drivers
from recsys.interactions import InteractionMatrix
from recsys.models import Floats, LinearModel, ModelError, Recommender, Rows, factor_shares, fit_als, similar_items
from recsys.neighbours import largest
from recsys.repeats import repeat_probabilities, windows_behind
from recsys.scoring import best_of_all
from recsys.topk import Top

BLOCK_CELLS = 1 << 22  # scores worked out at a time where they are only summed
LEAST = np.float32(1e-6)


@dataclass(frozen=True, eq=False)
class Blend:
    """P(customer buys item within the window).

    indptr, indices: CSR structure of the customers × items that were bought, and beside indices, float32: repeat, the
    probability that it is bought again; confidence, the weights that the factors were fitted with.
    customer_factors, item_factors, regularization: collaborative filtering, see LinearModel.
    similar_indptr, similar_indices, similar_data: CSR [items × items]. groups: int32 [levels × items].
    item_odds, customer_odds, weights, typical: see Discoveries. popularity: float32 [items], P of whoever is not known.
    """

    name: str
    indptr: NDArray
    indices: NDArray
    repeat: Floats
    confidence: Floats
    customer_factors: Floats
    item_factors: Floats
    similar_indptr: NDArray
    similar_indices: NDArray
    similar_data: Floats
    groups: NDArray[np.int32]
    item_odds: Floats
    customer_odds: Floats
    weights: Floats
    popularity: Floats
    regularization: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, len(self.popularity)

    def scores(self, rows: Rows, columns: Rows | None = None) -> Floats:
        rows = np.asarray(rows)
        out = np.empty((len(rows), self.shape[1] if columns is None else len(columns)), np.float32)
        chosen: Rows | slice = slice(None) if columns is None else np.asarray(columns)
        known = (rows >= 0) & (self._orders[np.maximum(rows, 0)] > 0)
        out[~known] = self.popularity[chosen]
        if known.any():
            out[known] = self._known(rows[known], chosen)
        return out

    def top(self, rows: Rows, n: int, columns: Rows | None = None, *, without: csr_matrix | None = None) -> Top:
        """As recsys.scoring.best_items, without working out all scores."""
        rows = np.asarray(rows)
        if self.weights[0] < LEAST_WEIGHT:
            return best_of_all(self, rows, n, columns, without)
        offered = np.ones(self.shape[1], bool)
        if columns is not None:
            offered[:] = False
            offered[columns] = True
        known = (rows >= 0) & (self._orders[np.maximum(rows, 0)] > 0)
        items, scores = np.empty((len(rows), n), np.int32), np.empty((len(rows), n), np.float32)
        items[~known], scores[~known] = best_of_all(self, rows[~known], n, columns, without)
        odds = Odds(self._taste, self.item_odds, self.customer_odds, self.weights, self.repeat)
        items[known], scores[known] = best_of_odds(odds, rows[known], n, offered, without)
        return items, scores

    def scope_scores(self, rows: Rows, scopes: csr_matrix) -> Floats:
        used = np.flatnonzero(np.diff(scopes.tocsr().indptr))
        inside = scopes.tocsr()[used].astype(np.float32)
        block = max(1, BLOCK_CELLS // max(1, len(used)))
        parts = [self.scores(rows[k : k + block], used) @ inside for k in range(0, len(rows), block)]
        return np.concatenate(parts) if parts else np.zeros((0, scopes.shape[1]), np.float32)

    def contributions(self, row: int, items: Rows) -> tuple[Rows, Floats]:
        """An item bought before stands by its own purchases. For another, what it has beyond a customer of no taste is
        divided: among the measures of taste by what each adds, within each among the past purchases by theirs."""
        if row < 0:
            return np.zeros(0, np.int32), np.zeros((0, len(items)), np.float32)
        span = slice(self.indptr[row], self.indptr[row + 1])
        past, weight, items = self.indices[span], self.confidence[span], np.asarray(items)
        if not len(past):
            return past, np.zeros((0, len(items)), np.float32)
        own = (past[:, None] == items) * self.repeat[span, None]
        factors = factor_shares(self.item_factors, self._gram, past, weight, items)
        parts = self._taste.shares(past, weight, items, factors)
        logs = np.concatenate(self._taste.logs(np.array([row]), items))
        lifts = np.maximum(self.weights[:, None] * (logs - self._taste.floor[:, None]), 0)
        base = self.item_odds[items] + self.customer_odds[row]
        lift = _probability(base + self.weights @ logs) - _probability(base + self.weights @ self._taste.floor)
        scale = np.maximum(lift, 0) / np.maximum(lifts.sum(axis=0), LEAST)
        taste = sum(
            part / np.maximum(part.sum(axis=0), LEAST) * (of * scale) for part, of in zip(parts, lifts, strict=True)
        )
        return past, np.where(np.isin(items, past), own, taste).astype(np.float32)

    def drivers(self, rows: Rows, at: Rows, items: Rows, speak_of: NDArray[np.bool_]) -> NDArray[np.int32]:
        near = self._taste.nearest
        parts = Parts(
            self.item_factors,
            self._gram,
            self.confidence,
            near.indptr,
            near.indices,
            near.data,
            customer_factors=self.customer_factors,
            groups=self.groups,
            usual=self._taste.usual,
            prior=GROUP_PRIOR,
            least=self._taste.least,
            floor=self._taste.floor,
            slope=self.weights,
        )
        return drivers(parts, self.indptr, self.indices, rows, at, items, speak_of)

    def explain(self, row: int, item: int) -> list[tuple[int, float]]:
        return largest(*self.contributions(row, np.array([item])))

    def arrays(self) -> dict[str, NDArray]:
        return {field: np.asarray(getattr(self, field)) for field in self.__dataclass_fields__ if field != "name"}

    @cached_property
    def _orders(self) -> NDArray:
        return np.diff(self.indptr)

    @cached_property
    def _gram(self) -> Floats:
        Y = self.item_factors
        return Y.T @ Y + np.float32(self.regularization) * np.eye(Y.shape[1], dtype=np.float32)

    @cached_property
    def _taste(self) -> Taste:
        items = len(self.popularity)
        history = csr_matrix((self.confidence, self.indices, self.indptr), shape=self.shape)
        similar = csr_matrix((self.similar_data, self.similar_indices, self.similar_indptr), shape=(items, items))
        return Taste(self.customer_factors, self.item_factors, history, similar, self.groups)

    def _known(self, rows: Rows, columns: Rows | slice) -> Floats:
        logs = self._taste.logs(rows, columns)
        out = logs[0]
        out *= self.weights[0]
        for weight, part in zip(self.weights[1:], logs[1:], strict=True):
            part *= weight
            out += part
        out += self.item_odds[columns]
        out += self.customer_odds[rows, None]
        out = _probability(out)
        own = csr_matrix((self.repeat, self.indices, self.indptr), shape=self.shape)[rows]
        at = np.repeat(np.arange(len(rows)), np.diff(own.indptr))
        if isinstance(columns, slice):
            out[at, own.indices] = own.data
        else:
            order = np.argsort(columns, kind="stable")
            place = np.searchsorted(columns, own.indices, sorter=order)
            place = np.where(place < len(columns), place, 0)
            found = columns[order[place]] == own.indices if len(columns) else np.zeros(len(place), bool)
            out[at[found], order[place[found]]] = own.data[found]
        return out


def fit_blend(
    cells: Cells,
    matrix: csr_matrix,
    *,
    window_days: float,
    half_life_days: float = 91.0,
    min_item_buyers: int = 1,
    groups: NDArray[np.int32] | None = None,
    als: LinearModel | None = None,
    als_before: tuple[Floats, Floats] | None = None,
    factors: int = 64,
    seed: int = 0,
    threads: int = 0,
) -> Blend:
    """The blend of what is known now. Raises ModelError if there is nothing to learn from.

    cells, matrix: of the same purchases, in one numbering. window_days: how far ahead it looks. groups: see
    `category_groups`; None: no item has a category. als: fitted on the matrix; als_before: (customer factors, item
    factors) in the same numbering, fitted as of window_days ago; both are fitted here where they are not given.
    """
    if not len(cells.start):
        raise ModelError(
            f"there is nothing to learn from: {cells.shape[0]} customers, {cells.shape[1]} items, no purchase"
        )
    if groups is None:
        groups = np.zeros((0, cells.shape[1]), np.int32)
    als = als or fit_als(matrix, factors=factors, seed=seed, threads=threads)
    end, width = windows_behind(cells.days, window_days, 1)[0]
    then = days_before(cells, end, min_item_buyers)
    if not len(then.start):  # too short a history to learn from: what was bought so far stands for what will be
        then = cells
    before = csr_matrix(then.matrix(then.decayed(half_life_days).astype(np.float32)))
    if als_before is None or end != window_days:
        earlier = fit_als(before, factors=factors, seed=seed, threads=threads)
        als_before = earlier.customer_factors, earlier.item_factors
    similar = similar_items(before, threads=threads)
    taste_then = Taste(*als_before, _confidence(before), similar, groups)
    similar = similar_items(matrix, threads=threads)
    history = csr_matrix((als.confidence, als.indices, als.indptr), shape=cells.shape)
    taste = Taste(als.customer_factors, als.item_factors, history, similar, groups)
    bought = bought_after(cells, end, width)
    found: Discoveries = fit_discoveries(cells, taste, then, taste_then, bought, window_days, seed)
    repeat = repeat_probabilities(
        cells,
        window_days,
        [row.astype(np.int64) for row in groups],
        min_item_buyers=min_item_buyers,
        seed=seed,
        threads=threads,
    )
    own = cells.matrix(repeat)
    if not (np.array_equal(own.indptr, als.indptr) and np.array_equal(own.indices, als.indices)):
        raise ModelError("the orders and the matrix are not of the same purchases")
    return Blend(
        name="blend",
        indptr=als.indptr,
        indices=als.indices,
        repeat=own.data,
        confidence=als.confidence,
        customer_factors=als.customer_factors,
        item_factors=als.item_factors,
        similar_indptr=similar.indptr,
        similar_indices=similar.indices,
        similar_data=similar.data,
        groups=groups,
        item_odds=found.item,
        customer_odds=found.customer,
        weights=found.weights,
        popularity=recent_popularity(cells, window_days),
        regularization=als.regularization,
    )


def recent_popularity(cells: Cells, window_days: float) -> Floats:
    """The share of the customers who ordered in the last window that then bought each item, float32 [items]; a little
    of the share of all who ever did orders the rest."""
    active = len(np.unique(cells.order_customer[cells.order_age < window_days]))
    late = np.bincount(cells.item, cells.last_age < window_days, cells.shape[1])
    return (late / (active + 1) + 0.001 * cells.buyers / (cells.shape[0] + 1)).astype(np.float32)


def category_groups(categories: Sequence[str | None]) -> NDArray[np.int32]:
    """int32 [levels × items]: the number of each item's whole category path, and of the path without its last step.

    Items without a category are a group of their own. A level on which all are alike is left out.

    >>> category_groups(["Food > Tea", "Food > Rice", "Toys", None]).tolist()
    [[1, 0, 3, 2], [2, 2, 1, 0]]
    """
    levels = [_whole, _parent]
    numbers = [np.unique([level(path or "") for path in categories], return_inverse=True)[1] for level in levels]
    kept = [row.astype(np.int32) for row in numbers if len(np.unique(row)) > 1]
    return np.array(kept, np.int32).reshape(len(kept), len(categories))


def aligned(model: Recommender, own: InteractionMatrix, matrix: InteractionMatrix) -> tuple[Floats, Floats]:
    """The factors of a model fitted on another matrix, in the rows and columns of this one; 0 where it knows none."""
    factors = model.arrays()
    row, column = own.customer_rows(matrix.customers), own.item_rows(matrix.items)
    customers = np.where((row >= 0)[:, None], factors["customer_factors"][row], 0).astype(np.float32)
    return customers, np.where((column >= 0)[:, None], factors["item_factors"][column], 0).astype(np.float32)


def blend_model(name: str, arrays: Mapping[str, NDArray]) -> Blend:
    """The model that gave these arrays."""
    parts: dict[str, Any] = {key: float(part) if key == "regularization" else part for key, part in arrays.items()}
    return Blend(name=name, **parts)


def _confidence(matrix: csr_matrix) -> csr_matrix:
    return csr_matrix((np.float32(5) * np.log1p(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _probability(odds: Floats) -> Floats:
    """1 / (1 + e^−odds), in place."""
    np.negative(odds, out=odds)
    np.exp(np.minimum(odds, np.float32(80), out=odds), out=odds)
    odds += 1
    return np.reciprocal(odds, out=odds)


def _whole(path: str) -> str:
    return path


def _parent(path: str) -> str:
    return " > ".join(path.split(" > ")[:2]) if path.count(" > ") > 1 else path.split(" > ")[0]
