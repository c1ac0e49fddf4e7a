"""The Recommender protocol, and the one form all our models share: M = personal + weight · U · Vᵀ + popularity.

Because M is linear, a scope's score is M·S for a 0/1 matrix S [items × scopes], and no row of M need ever be whole.
Collaborative filtering is alternating least squares (Hu, Koren and Volinsky 2008) as implicit computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

Rows = NDArray[np.integer]
Floats = NDArray[np.float32]

# A little popularity in every personal score: it orders what the history says nothing about, hardly overrules what it
# says, and gives customers without history the popular items.
POPULARITY_SHARE = np.float32(0.03)


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
        """(past item rows, their share [past × items] of this customer's scores of the items)."""

    def explain(self, row: int, item: int) -> list[tuple[int, float]]:
        """(past item row, contribution to the score), largest first; empty where the score is popularity alone."""

    def arrays(self) -> dict[str, NDArray]:
        """All that `from_arrays` needs to restore the model, without pickle."""


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

    def contributions(self, row: int, items: Rows) -> tuple[Rows, Floats]:
        if row < 0:
            return np.zeros(0, np.int32), np.zeros((0, len(items)), np.float32)
        span = slice(self.indptr[row], self.indptr[row + 1])
        past = self.indices[span]
        share = np.zeros((len(past), len(items)), np.float32)
        if len(self.personal):
            share += self.personal[span, None] * (past[:, None] == items)
        if len(self.confidence):
            share += self.factor_weight * self._factor_shares(past, self.confidence[span], items)
        return past, share

    def explain(self, row: int, item: int) -> list[tuple[int, float]]:
        past, share = self.contributions(row, np.array([item]))
        order = np.lexsort((past, -share[:, 0]))
        return [(int(past[k]), float(share[k, 0])) for k in order if share[k, 0] > 0]

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

    def _of(self, rows: Rows) -> tuple[csr_matrix | None, Floats]:
        """Personal weights (None where unused) and weighted factors of the rows, all zero for row -1."""
        known = np.asarray(rows) >= 0
        rows = np.where(known, rows, 0)
        factors = self.customer_factors[rows] * np.where(known, self.factor_weight, 0).astype(np.float32)[:, None]
        if not len(self.personal):
            return None, factors
        history = self._history[rows]
        return (history if known.all() else history.multiply(known[:, None]).tocsr()), factors

    def _factor_shares(self, past: Rows, confidence: Floats, items: Rows) -> Floats:
        """Shares [past × items] of u·y = Σ c_k y_k (YᵀCY + λI)⁻¹ y: section 5 of Hu, Koren and Volinsky."""
        Y = self.item_factors[past]
        A = self._gram + (Y.T * (confidence - 1)) @ Y
        return confidence[:, None] * (Y @ cho_solve(cho_factor(A), self.item_factors[items].T))


def from_arrays(name: str, arrays: Mapping[str, NDArray]) -> LinearModel:
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
    iterations: int = 15,
    seed: int = 0,
    threads: int = 0,
) -> LinearModel:
    """Collaborative filtering alone, on confidences alpha · log(1 + weight). matrix: InteractionMatrix.matrix.

    The regularization is shrinkage × the geometric mean of items per customer and customers per item, so that one
    setting serves a small shop and a large one. Bitwise reproducible for a seed, whatever the threads (0: all cores).
    Raises ModelError if the matrix cannot be fitted, or the factors are not finite.
    """
    matrix = checked(matrix)
    per_customer, per_item = matrix.getnnz(axis=1), matrix.getnnz(axis=0)
    regularization = shrinkage * float(np.sqrt(per_customer[per_customer > 0].mean() * per_item[per_item > 0].mean()))
    confidence = csr_matrix((np.float32(alpha) * np.log1p(matrix.data), matrix.indices, matrix.indptr), matrix.shape)
    als = AlternatingLeastSquares(
        factors=min(factors, *matrix.shape),
        alpha=1.0,  # already in the confidence
        regularization=regularization,
        iterations=iterations,
        num_threads=threads,
        random_state=seed,
    )
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
        try:
            als.fit(confidence, show_progress=False)
        except ModelFitError as error:
            raise ModelError(f"collaborative filtering did not converge: {error}") from error
        # One exact half-step, so that the contributions of past purchases add up to the score.
        customer_factors = als.recalculate_user(np.arange(matrix.shape[0]), confidence)
    if not (np.isfinite(customer_factors).all() and np.isfinite(als.item_factors).all()):
        raise ModelError("collaborative filtering gave factors that are not finite; the last good model stays")
    return LinearModel(
        name="als",
        indptr=matrix.indptr,
        indices=matrix.indices,
        personal=np.zeros(0, np.float32),
        confidence=confidence.data,
        customer_factors=customer_factors,
        item_factors=als.item_factors,
        popularity=POPULARITY_SHARE * popularity(matrix),
        regularization=regularization,
    )


def fit_blend(
    matrix: csr_matrix, *, factor_weight: float = 1.0, factors: int = 64, seed: int = 0, threads: int = 0
) -> LinearModel:
    """Personal frequency plus factor_weight × collaborative filtering. Raises ModelError.

    Both are on the scale of orders: the matrix counts them, decayed, and the factors estimate 0 to about 1 for whether
    there will be one. On the Complete Journey year NDCG@10 peaks, flatly, at weights of 1 to 2.
    """
    als = fit_als(matrix, factors=factors, seed=seed, threads=threads)
    return replace(als, name="blend", personal=checked(matrix).data, factor_weight=factor_weight)


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
