"""Mixtures of scopes to learn from."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.scope_sample import as_scopes, sample_scopes
from recsys.tables import ITEMS, conform

BUYERS = np.random.default_rng(1).integers(0, 300, 200)


def goods(**columns):
    return conform(pa.table({"item_id": [f"i{k:03d}" for k in range(200)], **columns}), ITEMS)


CATEGORIES = [f"Rumah > {'AB'[k % 2]} > {k % 10}" if k % 7 else None for k in range(200)]
KINDS = {
    "with categories": {"category": CATEGORIES},
    "with brands": {"brand": [f"m{k % 12}" for k in range(200)]},
    "with ids alone": {},
}


@pytest.mark.parametrize("columns", KINDS.values(), ids=KINDS)
def test_scopes_differ_and_hold_what_is_bought_whatever_is_known_of_items(columns):
    found = sample_scopes(goods(**columns), BUYERS, 80, 1)
    sets = {tuple(np.flatnonzero(column)) for column in found.toarray().T}
    assert len(sets) == found.shape[1] >= 40
    assert max(map(len, sets)) == 200  # everything
    assert (found.T @ BUYERS > 0).all()
    assert set(found.data) == {1}


def test_categories_are_met_at_every_level_and_in_unions():
    sets = {tuple(np.flatnonzero(c)) for c in sample_scopes(goods(category=CATEGORIES), BUYERS, 120, 1).toarray().T}
    for level in ("Rumah", "Rumah > A", "Rumah > B > 3"):
        members = tuple(k for k, path in enumerate(CATEGORIES) if path and (path + " >").startswith(level + " >"))
        assert members in sets


def test_the_same_seed_gives_the_same_scopes_and_another_others():
    one, again, other = (sample_scopes(goods(category=CATEGORIES), BUYERS, 60, seed) for seed in (1, 1, 2))
    assert (one != again).nnz == 0
    assert one.shape != other.shape or (one != other).nnz > 0


def test_where_nothing_was_ever_bought_everything_is_the_only_scope():
    assert sample_scopes(goods(), np.zeros(200, int), 50, 1).shape == (200, 1)


def test_scopes_from_their_items():
    assert as_scopes([np.array([0, 2]), np.array([], int)], 3).toarray().tolist() == [[1, 0], [0, 0], [1, 0]]
