"""The past purchase that made a score, of many customers at once, as their contributions say one by one."""

from datetime import UTC, datetime

import numpy as np
import pytest

from recsys.baselines import fit_frequency, fit_popularity
from recsys.blend import fit_blend
from recsys.cells import cells_of
from recsys.history import history
from recsys.interactions import build_matrix
from recsys.models import fit_als, fit_bpr, fit_hybrid, fit_neighbours
from recsys.synthetic import taste_groups

NOW = datetime(2017, 10, 1, tzinfo=UTC)
WORLD = taste_groups(7, customers=150, items=120, days=250, orders=12)
MATRIX = build_matrix(WORLD.purchases, NOW)
GROUPS = np.stack([np.arange(120) % 7, np.arange(120) % 3]).astype(np.int32)


def blend():
    cells = cells_of(history(WORLD.purchases, NOW, MATRIX.items), MATRIX)
    groups = GROUPS[:, : len(MATRIX.items)]
    return fit_blend(cells, MATRIX.matrix, window_days=28.0, groups=groups, factors=16, seed=1, threads=1)


FITS = {
    "popularity": lambda: fit_popularity(MATRIX.matrix),
    "frequency": lambda: fit_frequency(MATRIX.matrix),
    "cosine": lambda: fit_neighbours(MATRIX.matrix, "cosine"),
    "bpr": lambda: fit_bpr(MATRIX.matrix, factors=8, samples=10_000),
    "als": lambda: fit_als(MATRIX.matrix, factors=16),
    "hybrid": lambda: fit_hybrid(fit_als(MATRIX.matrix, factors=16), MATRIX.matrix),
    "blend": blend,
}


@pytest.fixture(scope="module", params=FITS)
def model(request):
    return FITS[request.param]()


@pytest.mark.parametrize("spoken", [1.0, 0.5, 0.0])
def test_the_driver_is_the_purchase_with_the_largest_contribution(model, spoken):
    random = np.random.default_rng(3)
    speak_of = random.random(model.shape[1]) < spoken
    rows = np.array([5, -1, 0, 149, 77, 31])
    at = np.sort(random.integers(0, len(rows), 200))
    items = random.integers(0, model.shape[1], 200)
    found = model.drivers(rows, at, items, speak_of)
    for pair, item in enumerate(items):
        past, share = model.contributions(int(rows[at[pair]]), items[[pair]])
        past, share = past[speak_of[past]], share[speak_of[past], 0]
        if item in past:
            assert found[pair] == item
        elif not len(past) or share.max() <= 0:
            assert found[pair] == -1
        else:
            assert share[past == found[pair]] == pytest.approx(share.max(), rel=1e-3)


def test_threads_and_what_else_is_asked_change_no_driver(model):
    rows, all_items = np.arange(150), np.ones(model.shape[1], bool)
    at, items = np.divmod(np.arange(150 * model.shape[1]), model.shape[1])
    whole = model.drivers(rows, at, items, all_items)
    few = model.drivers(rows, at[::7], items[::7], all_items)
    assert (few == whole[::7]).mean() > 0.999  # rounding may part two that add the same


def test_nobody_asked_gives_nothing(model):
    nothing = np.zeros(0, np.int64)
    assert model.drivers(nothing, nothing, nothing, np.ones(model.shape[1], bool)).shape == (0,)
