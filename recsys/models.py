"""The Recommender protocol, and the form most models share: M = personal + weight · U · Vᵀ + popularity.

Because M is linear, a scope's score is M·S for a 0/1 matrix S [items × scopes], and no row of M need ever be whole.
Alternating least squares (Hu, Koren and Volinsky 2008), Bayesian personalized ranking (Rendle and others 2009) and the
similarity of items are computed by implicit.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender
from implicit.recommender_base import ModelFitError
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys import topk
from recsys.drivers import Parts, drivers
from recsys.half_step import customer_factors
from recsys.neighbours import NeighbourModel, largest
from recsys.sketch import directions

Rows = NDArray[np.integer]
Floats = NDArray[np.float32]

# A little popularity in every personal score: it orders what the history says nothing about, hardly overrules what it
# says, and gives customers without history the popular items.
POPULARITY_SHARE = np.float32(0.03)
# Of alternating least squares: from scratch, from a sketch of the purchases, and from the factors of before.
COLD_ITERATIONS, SKETCHED_ITERATIONS, WARM_ITERATIONS = 15, 2, 1


class ModelError(RuntimeError):
    """A model cannot be fitted on this matrix, or came out unusable."""


class Recommender(Protocol):
    """What evaluation, scoring and artifacts need to know of a model. Row -1 stands for a customer without history."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, int]:
        """(customers, items) it was fitted on."""

    def scores(self, rows: Rows, columns: Rows | None = None) -> Floats:
        """Scores [rows × items], or of the chosen item columns alone. Higher is better, also between customers."""

    def scope_scores(self, rows: Rows, scopes: csr_matrix) -> Floats:
        """Scores [rows × scopes]: the sum of the scores of a scope's items, given scopes [items × scopes] of 0/1."""

    def contributions(self, row: int, items: Rows) -> tuple[Rows, Floats]:
        """(past item rows, their share [past × items] of this customer's scores of the items).

        What is not of any past purchase, such as popularity, is in no share; all are 0 where a model cannot tell.
        """

    def drivers(self, rows: Rows, at: Rows, items: Rows, speak_of: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Of many contributions the largest alone: see recsys.drivers."""

    def explain(self, row: int, item: int) -> list[tuple[int, float]]:
        """(past item row, contribution to the score), largest first; empty where the score is popularity alone."""

    def arrays(self) -> dict[str, NDArray]:
        """All that recsys.artifact needs to restore the model, without pickle."""


@dataclass(frozen=True, eq=False)
class LinearModel:
    """scores = personal + factor_weight · customer_factors · item_factorsᵀ + popularity.

    indptr, indices: CSR structure of the customers × items that were bought.
    personal: float32, beside indices: the weight of a purchase in the customer's own score; of length 0 where unused.
    confidence: float32, beside indices: the weights the factors were fitted with; of length 0 where unused.
    customer_factors, item_factors: float32 [customers × f], [items × f]; f may be 0.
    popularity: float32 [items].
    """

    name: str
    indptr: NDArray
    indices: NDArray
    personal: Floats
    confidence: Floats
    customer_factors: Floats
    item_factors: Floats
    popularity: Floats
    factor_weight: float = 1.0
    regularization: float = 0.0  # λ of the factors, needed to explain them

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, len(self.popularity)

    def scores(self, rows: Rows, columns: Rows | None = None) -> Floats:
        history, factors = self._of(rows)
        chosen = slice(None) if columns is None else columns
        out = factors @ self.item_factors[chosen].T + self.popularity[chosen]
        if history is not None:
            out += (history if columns is None else history[:, columns]).toarray()
        return out

    def scope_scores(self, rows: Rows, scopes: csr_matrix) -> Floats:
        history, factors = self._of(rows)
        scopes = scopes.astype(np.float32)
        out = factors @ (scopes.T @ self.item_factors).T + scopes.T @ self.popularity
        if history is not None:
            out += (history @ scopes).toarray()
        return out

    def top(self, rows: Rows, n: int, columns: Rows | None = None, *, without: csr_matrix | None = None) -> topk.Top:
        """As recsys.scoring.best_items, without ever holding all scores."""
        rows, history, factors = self._parts(rows)
        exclude = without is not None
        cells = without if without is not None else history
        return topk.top(self._catalogue(columns), factors, n, history=cells, rows=rows, exclude=exclude)

    def top_in_scopes(self, rows: Rows, scopes: csr_matrix, n: int) -> topk.Top:
        """The n best items of every scope, given scopes [items × scopes] of 0/1: see recsys.topk.top_in_scopes."""
        rows, history, factors = self._parts(rows)
        used = np.flatnonzero(np.diff(scopes.tocsr().indptr))
        return topk.top_in_scopes(self._catalogue(used), factors, scopes, n, history=history, rows=rows)

    def contributions(self, row: int, items: Rows) -> tuple[Rows, Floats]:
        if row < 0:
            return np.zeros(0, np.int32), np.zeros((0, len(items)), np.float32)
        span = slice(self.indptr[row], self.indptr[row + 1])
        past = self.indices[span]
        share = np.zeros((len(past), len(items)), np.float32)
        if len(self.personal):
            share += self.personal[span, None] * (past[:, None] == items)
        if len(self.confidence):
            of_factors = factor_shares(self.item_factors, self._gram, past, self.confidence[span], items)
            share += self.factor_weight * of_factors
        return past, share

    def drivers(self, rows: Rows, at: Rows, items: Rows, speak_of: NDArray[np.bool_]) -> NDArray[np.int32]:
        parts = Parts(self.item_factors, self._gram, self.confidence) if len(self.confidence) else Parts()
        return drivers(parts, self.indptr, self.indices, rows, at, items, speak_of)

    def explain(self, row: int, item: int) -> list[tuple[int, float]]:
        return largest(*self.contributions(row, np.array([item])))

    def arrays(self) -> dict[str, NDArray]:
        return {field: np.asarray(getattr(self, field)) for field in self.__dataclass_fields__ if field != "name"}

    @cached_property
    def _history(self) -> csr_matrix:
        return csr_matrix((self.personal, self.indices, self.indptr), shape=self.shape)

    @cached_property
    def _gram(self) -> Floats:
        """YᵀY + λI."""
        Y = self.item_factors
        return Y.T @ Y + np.float32(self.regularization) * np.eye(Y.shape[1], dtype=np.float32)

    @cached_property
    def _reach(self) -> float:
        """A typical norm of the customers' weighted factors."""
        return abs(self.factor_weight) * float(np.sqrt(np.square(self.customer_factors).sum(axis=1).mean()))

    def _catalogue(self, columns: Rows | None) -> topk.Catalogue:
        return topk.arranged(self.item_factors, self.popularity, columns, reach=self._reach)

    def _parts(self, rows: Rows) -> tuple[Rows, csr_matrix, Floats]:
        """The rows, what is added to their scores, and their weighted factors."""
        rows = np.asarray(rows)
        weight = np.where(rows >= 0, self.factor_weight, 0).astype(np.float32)[:, None]
        factors = self.customer_factors[np.maximum(rows, 0)] * weight
        return rows, self._history if len(self.personal) else topk.NO_HISTORY, factors

    def _of(self, rows: Rows) -> tuple[csr_matrix | None, Floats]:
        """Personal weights (None where unused) and weighted factors of the rows, all zero for row -1."""
        known = np.asarray(rows) >= 0
        rows = np.where(known, rows, 0)
        factors = self.customer_factors[rows] * np.where(known, self.factor_weight, 0).astype(np.float32)[:, None]
        if not len(self.personal):
            return None, factors
        history = self._history[rows]
        return (history if known.all() else history.multiply(known[:, None]).tocsr()), factors


def factor_shares(item_factors: Floats, gram: Floats, past: Rows, confidence: Floats, items: Rows) -> Floats:
    """Shares [past × items] of u·y = Σ c_k y_k (YᵀCY + λI)⁻¹ y: section 5 of Hu, Koren and Volinsky.

    gram: YᵀY + λI. past, confidence: the item rows that the customer bought, and with which weights.
    """
    Y = item_factors[past]
    A = gram + (Y.T * (confidence - 1)) @ Y
    return confidence[:, None] * (Y @ cho_solve(cho_factor(A), item_factors[items].T))


def linear_model(name: str, arrays: Mapping[str, NDArray]) -> LinearModel:
    """The model that gave these arrays."""
    scalars = ("factor_weight", "regularization")
    parts: dict[str, Any] = {key: float(part) if key in scalars else part for key, part in arrays.items()}
    return LinearModel(name=name, **parts)


def fit_als(
    matrix: csr_matrix,
    *,
    factors: int = 64,
    alpha: float = 5.0,
    shrinkage: float = 0.4,
    iterations: int | None = None,
    start: tuple[Floats, Floats] | None = None,
    sample: int = 0,
    seed: int = 0,
    threads: int = 0,
) -> LinearModel:
    """Collaborative filtering alone, on confidences alpha · log(1 + weight). matrix: InteractionMatrix.matrix.

    The regularization is shrinkage × the geometric mean of items per customer and customers per item, so that one
    setting serves a small shop and a large one. Bitwise reproducible for a seed, whatever the threads (0: all cores).
    start: (customer factors, item factors) [customers × f], [items × f] to start from, such as those of the night
    before, 0 where there are none; one iteration then does what takes fifteen from scratch.
    sample: of more customers than so many (0: never), the factors take the short way: they begin with the directions
    in which a sketch of all purchases differs most, after which two iterations do. (Factors of a sample of customers
    know too little: of a tenth, they and two iterations over all ranked 2% worse, and took as long.)
    Raises ModelError if the matrix cannot be fitted, or the factors are not finite.
    """
    matrix = checked(matrix)
    confidence = csr_matrix((np.float32(alpha) * np.log1p(matrix.data), matrix.indices, matrix.indptr), matrix.shape)
    regularization = shrinkage * _typical_count(matrix)
    f = min(factors, *matrix.shape)
    rounds = iterations or (COLD_ITERATIONS if start is None else WARM_ITERATIONS)
    if start is None and 0 < sample < np.count_nonzero(np.diff(matrix.indptr)):
        start = np.zeros((matrix.shape[0], f), np.float32), directions(confidence, f, seed, threads=threads)
        rounds = iterations or SKETCHED_ITERATIONS
    als = AlternatingLeastSquares(
        factors=f,
        alpha=1.0,  # already in the confidence
        regularization=regularization,
        iterations=rounds,
        num_threads=threads,
        random_state=seed,
    )
    if start is not None:
        als.user_factors, als.item_factors = (part.copy() for part in start)
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
        try:
            als.fit(confidence, show_progress=False)
        except ModelFitError as error:
            raise ModelError(f"collaborative filtering did not converge: {error}") from error
        # One exact half-step, so that the contributions of past purchases add up to the score.
        of_customers = customer_factors(confidence, als.item_factors, regularization, threads=threads)
    if not (np.isfinite(of_customers).all() and np.isfinite(als.item_factors).all()):
        raise ModelError("collaborative filtering gave factors that are not finite; the last good model stays")
    return LinearModel(
        name="als",
        indptr=matrix.indptr,
        indices=matrix.indices,
        personal=np.zeros(0, np.float32),
        confidence=confidence.data,
        customer_factors=of_customers,
        item_factors=als.item_factors,
        popularity=POPULARITY_SHARE * popularity(matrix),
        regularization=regularization,
    )


def _typical_count(matrix: csr_matrix) -> float:
    """The geometric mean of the items per customer and the customers per item, of those that have any."""
    per_customer, per_item = matrix.getnnz(axis=1), matrix.getnnz(axis=0)
    return float(np.sqrt(per_customer[per_customer > 0].mean() * per_item[per_item > 0].mean()))


def fit_hybrid(als: LinearModel, matrix: csr_matrix, *, factor_weight: float = 1.0) -> LinearModel:
    """Personal frequency plus factor_weight × collaborative filtering, which was fitted on the same matrix.

    Both are on the scale of orders: the matrix counts them, decayed, and the factors estimate 0 to about 1 for whether
    there will be one. On the Complete Journey year NDCG@10 peaks, flatly, at weights of 1 to 2.
    """
    return replace(als, name="hybrid", personal=checked(matrix).data, factor_weight=factor_weight)


def fit_bpr(
    matrix: csr_matrix, *, factors: int = 64, samples: int = 10_000_000, learning_rate: float = 0.05, seed: int = 0
) -> LinearModel:
    """Collaborative filtering that learns which of two items a customer prefers, from who bought what at all.

    samples: how many such pairs it looks at, in 5 to 100 rounds over all purchases. One thread, as its updates are the
    same only in one order. It cannot say which purchase a score comes from.
    Raises ModelError if the matrix cannot be fitted, or the factors are not finite.
    """
    matrix = checked(matrix)
    bpr = BayesianPersonalizedRanking(
        factors=min(factors, *matrix.shape),
        learning_rate=learning_rate,
        regularization=0.01,
        iterations=int(np.clip(samples / max(matrix.nnz, 1), 5, 100)),
        num_threads=1,
        random_state=seed,
    )
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
        try:
            bpr.fit(matrix, show_progress=False)
        except ModelFitError as error:
            raise ModelError(f"personalized ranking did not converge: {error}") from error
    if not (np.isfinite(bpr.user_factors).all() and np.isfinite(bpr.item_factors).all()):
        raise ModelError("personalized ranking gave factors that are not finite; the last good model stays")
    bought = matrix.getnnz(axis=1) > 0
    return LinearModel(
        name="bpr",
        indptr=matrix.indptr,
        indices=matrix.indices,
        personal=np.zeros(0, np.float32),
        confidence=np.zeros(0, np.float32),
        customer_factors=bpr.user_factors * bought[:, None].astype(np.float32),
        item_factors=bpr.item_factors,
        popularity=POPULARITY_SHARE * popularity(matrix),
    )


def fit_neighbours(
    matrix: csr_matrix, kind: Literal["bm25", "cosine"], *, neighbours: int = 50, threads: int = 0
) -> NeighbourModel:
    """What is bought by the same customers as what a customer bought, of late above all. Raises ModelError."""
    matrix = checked(matrix)
    similar = similar_items(matrix, kind, neighbours=neighbours, threads=threads)
    return NeighbourModel(
        name=kind,
        indptr=matrix.indptr,
        indices=matrix.indices,
        history=np.log1p(matrix.data),
        similar_indptr=similar.indptr,
        similar_indices=similar.indices,
        similar_data=similar.data,
        popularity=POPULARITY_SHARE * popularity(matrix),
    )


def similar_items(
    matrix: csr_matrix, kind: Literal["bm25", "cosine"] = "bm25", *, neighbours: int = 50, threads: int = 0
) -> csr_matrix:
    """CSR float32 [items × items]: for each item, as a column, the items nearest to it, never itself.

    Weights are such that their mean is 1 / neighbours. Ties are broken as implicit does, the same way every time.
    """
    measure = (BM25Recommender if kind == "bm25" else CosineRecommender)(K=neighbours + 1, num_threads=threads)
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ParameterWarning)  # of a conversion that implicit itself makes necessary
        measure.fit(csr_matrix(matrix, dtype=np.float64), show_progress=False)
    nearest = measure.similarity.tocoo()
    other = (nearest.row != nearest.col) & (nearest.data > 0)
    cells = (nearest.data[other].astype(np.float32), (nearest.col[other], nearest.row[other]))
    similar = csr_matrix(cells, shape=nearest.shape)
    similar.sort_indices()
    if similar.nnz:
        similar.data /= similar.data.mean() * np.float32(neighbours)
    return similar


def checked(matrix: csr_matrix) -> csr_matrix:
    """The matrix as float32 CSR with sorted rows. Raises ModelError if it is empty, negative or not finite."""
    matrix = csr_matrix(matrix, dtype=np.float32)
    if not matrix.nnz:
        raise ModelError(
            f"there is nothing to learn from: {matrix.shape[0]} customers, {matrix.shape[1]} items, no purchase"
        )
    bad = np.flatnonzero(~((matrix.data >= 0) & np.isfinite(matrix.data)))
    if len(bad):
        raise ModelError(f"{len(bad)} weights are negative or not finite, the first is {matrix.data[bad[0]]}")
    if not matrix.has_sorted_indices:
        matrix = matrix.sorted_indices()
    return matrix


def popularity(matrix: csr_matrix) -> Floats:
    """Share of customers who bought each item."""
    return matrix.getnnz(axis=0).astype(np.float32) / np.float32(max(matrix.shape[0], 1))
