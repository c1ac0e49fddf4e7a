"""A mixture of scopes such as offers have, drawn from what is known of the items, for a propensity to learn from.

What tonight's offers cover is the marketers' choice, so a model has to have seen all kinds: categories at every level,
brands, merchants, single items, and unions of these.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.history import History, owned
from recsys.tables import ITEMS, conform

LEAST_BUYERS = 10  # of a scope's items together

Members = NDArray[np.int64]


def sample_scopes(items: pa.Table, buyers: NDArray[np.integer], count: int, seed: int) -> csr_matrix:
    """float32 [items × scopes] of 0/1: everything, and others, no two alike, about `count` in all.

    items: a table with a row for each row of the result. buyers: of each item. Rare and common scopes are drawn alike,
    each kind as often as another. The same arguments give the same scopes.
    """
    rng = np.random.default_rng(seed)
    table = conform(items, ITEMS)
    kinds = [
        _below(table["category"].to_pylist()),
        *(_alike(table[name].to_pylist()) for name in ("brand", "merchant_id")),
    ]
    kinds.append([np.array([item]) for item in np.flatnonzero(buyers)])
    pools = [pool for pool in (_Pool(members, buyers) for members in kinds) if len(pool.members) > 1]
    drawn = [np.arange(items.num_rows)]
    while pools and len(drawn) < count:
        for pool in pools:
            drawn.append(pool.draw(rng))
            parts = 1 + rng.geometric(0.4)
            drawn.append(np.unique(np.concatenate([pool.draw(rng) for _ in range(parts * pool.in_union)])))
    return as_scopes(list({members.tobytes(): members for members in drawn}.values()), items.num_rows)


def buyers_of(known: History) -> NDArray[np.int64]:
    """How many customers ever bought each item, int64 [items]."""
    return np.bincount(owned(known, known.known).indices, minlength=len(known.items))


def as_scopes(members: Sequence[Members], items: int) -> csr_matrix:
    """float32 [items × scopes] of 0/1 from the items of each scope."""
    rows = np.concatenate([np.zeros(0, np.int64), *members])
    columns = np.repeat(np.arange(len(members)), [len(some) for some in members])
    return csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(items, len(members)))


class _Pool:
    """Scopes of one kind, drawn first by how much they are bought, in powers of two, then evenly."""

    def __init__(self, members: list[Members], buyers: NDArray[np.integer]) -> None:
        bought = np.array([buyers[some].sum() for some in members], np.int64)
        kept = np.flatnonzero(bought >= min(LEAST_BUYERS, bought.max(initial=0) // 4 + 1))
        self.members = [members[k] for k in kept]
        size = np.log2(bought[kept]).astype(int) if len(kept) else np.zeros(0, int)
        self._by_size = [np.flatnonzero(size == each) for each in np.unique(size)]
        self.in_union = 8 if len(self.members) and max(map(len, self.members)) == 1 else 1

    def draw(self, rng: np.random.Generator) -> Members:
        among = self._by_size[rng.integers(len(self._by_size))]
        return self.members[among[rng.integers(len(among))]]


def _below(paths: list[str | None]) -> list[Members]:
    """The items of each category, at every level."""
    found: dict[tuple[str, ...], list[int]] = {}
    for item, path in enumerate(paths):
        parts = tuple(part.strip() for part in path.split(">")) if path else ()
        for depth in range(1, len(parts) + 1):
            found.setdefault(parts[:depth], []).append(item)
    return [np.array(found[key]) for key in sorted(found)]


def _alike(values: list[str | None]) -> list[Members]:
    found: dict[str, list[int]] = {}
    for item, value in enumerate(values):
        if value is not None:
            found.setdefault(value, []).append(item)
    return [np.array(found[key]) for key in sorted(found)]
