"""Item neighbours: what is bought by the same customers as what a customer bought."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.drivers import Parts, drivers

Rows = NDArray[np.integer]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NeighbourModel:
    """scores = history · similar + popularity.

    indptr, indices, history: CSR [customers × items], the weight of each purchase. similar_indptr, similar_indices,
    similar_data: CSR [items × items], what a purchase of one says for another. popularity: float32 [items].
    """

    name: str
    indptr: NDArray
    indices: NDArray
    history: Floats
    similar_indptr: NDArray
    similar_indices: NDArray
    similar_data: Floats
    popularity: Floats

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.indptr) - 1, len(self.popularity)

    def scores(self, rows: Rows, columns: Rows | None = None) -> Floats:
        similar = self._similar if columns is None else self._similar[:, columns]
        chosen = slice(None) if columns is None else columns
        return np.asarray((self._of(rows) @ similar).toarray() + self.popularity[chosen], np.float32)

    def scope_scores(self, rows: Rows, scopes: csr_matrix) -> Floats:
        scopes = scopes.astype(np.float32)
        return np.asarray(
            (self._of(rows) @ (self._similar @ scopes)).toarray() + scopes.T @ self.popularity, np.float32
        )

    def contributions(self, row: int, items: Rows) -> tuple[Rows, Floats]:
        if row < 0:
            return np.zeros(0, np.int32), np.zeros((0, len(items)), np.float32)
        span = slice(self.indptr[row], self.indptr[row + 1])
        past = self.indices[span]
        return past, self.history[span, None] * self._similar[past][:, items].toarray()

    def drivers(self, rows: Rows, at: Rows, items: Rows, speak_of: NDArray[np.bool_]) -> NDArray[np.int32]:
        near = self._nearest
        parts = Parts(near_indptr=near.indptr, near_indices=near.indices, near_data=near.data, weight=self.history)
        return drivers(parts, self.indptr, self.indices, rows, at, items, speak_of)

    def explain(self, row: int, item: int) -> list[tuple[int, float]]:
        return largest(*self.contributions(row, np.array([item])))

    def arrays(self) -> dict[str, NDArray]:
        return {field: np.asarray(getattr(self, field)) for field in self.__dataclass_fields__ if field != "name"}

    @cached_property
    def _similar(self) -> csr_matrix:
        items = len(self.popularity)
        return csr_matrix((self.similar_data, self.similar_indices, self.similar_indptr), shape=(items, items))

    @cached_property
    def _nearest(self) -> csr_matrix:
        """The other way round, from an item to those that it is similar to."""
        return self._similar.T.tocsr()

    @cached_property
    def _history(self) -> csr_matrix:
        return csr_matrix((self.history, self.indices, self.indptr), shape=self.shape)

    def _of(self, rows: Rows) -> csr_matrix:
        known = np.asarray(rows) >= 0
        history = self._history[np.where(known, rows, 0)]
        return history if known.all() else history.multiply(known[:, None]).tocsr()


def largest(past: Rows, share: Floats) -> list[tuple[int, float]]:
    """(past item row, contribution) of the first item, largest first, those above 0."""
    order = np.lexsort((past, -share[:, 0]))
    return [(int(past[k]), float(share[k, 0])) for k in order if share[k, 0] > 0]
