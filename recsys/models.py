"""The Recommender protocol, and the one form all our models share: M = personal + weight · U · Vᵀ + popularity.

Because M is linear, a scope's score is M·S for a 0/1 matrix S [items × scopes], and no row of M need ever be whole.
Collaborative filtering is alternating least squares (Hu, Koren and Volinsky 2008) as implicit computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

Rows = NDArray[np.integer]
Floats = NDArray[np.float32]

# A little popularity in every personal score: it orders what the history says nothing about, and can hardly overrule it.
POPULARITY_SHARE = 1e-3


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
        """Scores [rows × items], or of the chosen item columns alone; higher is better, comparable between customers."""

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
    regularization: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, len(self.popularity)

    def scores(self, rows: Rows, columns: Rows | None = None) -> Floats:
        history, factors = self._of(rows)
        chosen = slice(None) if columns is None else columns
        out = (self.factor_weight * factors) @ self.item_factors[chosen].T + self.popularity[chosen]
        if len(self.personal):
            out += (history if columns is None else history[:, columns]).toarray()
        return out

    def scope_scores(self, rows: Rows, scopes: csr_matrix) -> Floats:
        history, factors = self._of(rows)
        out = (self.factor_weight * factors) @ (scopes.T @ self.item_factors).T + scopes.T @ self.popularity
        if len(self.personal):
            out += (history @ scopes).toarray()
        return out.astype(np.float32, copy=False)

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

    def _of(self, rows: Rows) -> tuple[csr_matrix, Floats]:
        """Personal weights and factors of the rows, all zero for row -1."""
        raise NotImplementedError

    def _factor_shares(self, past: Rows, confidence: Floats, items: Rows) -> Floats:
        """Y_past (YᵀCY + λI)⁻¹ Y_itemsᵀ · confidence: section 5 of Hu, Koren and Volinsky."""
        raise NotImplementedError


def from_arrays(name: str, arrays: Mapping[str, NDArray]) -> LinearModel:
    """The model that gave these arrays."""
    scalars = ("factor_weight", "regularization")
    return LinearModel(name, **{key: float(a) if key in scalars else a for key, a in arrays.items()})


def fit_als(
    matrix: csr_matrix,
    *,
    factors: int = 64,
    alpha: float = 10.0,
    regularization: float = 40.0,
    iterations: int = 15,
    seed: int = 0,
    threads: int = 0,
) -> LinearModel:
    """Collaborative filtering alone. matrix: InteractionMatrix.matrix. Raises ModelError."""
    raise NotImplementedError


def fit_blend(matrix: csr_matrix, *, factor_weight: float = 0.3, seed: int = 0, threads: int = 0) -> LinearModel:
    """Personal frequency plus factor_weight × collaborative filtering. Raises ModelError."""
    raise NotImplementedError
