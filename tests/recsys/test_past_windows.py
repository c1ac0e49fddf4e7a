"""Which past windows there is room for, and what they are examples of."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.history import bought_between, history
from recsys.past_windows import LEAST_HISTORY, MOST_WINDOWS, crossed, past_windows, sampled
from recsys.scope_features import FEATURES
from recsys.synthetic import taste_groups

NOW = datetime(2017, 12, 5, tzinfo=UTC)


@given(st.floats(0, 2000), st.integers(0, 60), st.integers(1, 120))
def test_windows_do_not_overlap_and_each_has_some_history(days, lead, window):
    found = past_windows(days, lead, window)
    if found is None:
        assert days < lead + window + LEAST_HISTORY
        return
    assert found.calibration == lead + window
    instants = [found.calibration, *found.training]
    assert all(later + window <= before for later, before in pairwise(instants))
    assert all(days - instant >= LEAST_HISTORY for instant in instants)
    assert len(found.training) <= MOST_WINDOWS


@pytest.fixture(scope="module")
def known():
    world = taste_groups(3, customers=300, items=30, orders=10, start=NOW - timedelta(days=300), days=300)
    return history(world.purchases, NOW, pa.array(sorted(set(world.purchases["item_id"].to_pylist()))))


@pytest.fixture(scope="module")
def scopes(known):
    return csr_matrix((np.random.default_rng(1).random((len(known.items), 12)) < 0.1).astype(np.float32))


def test_what_was_bought_is_that_of_the_window_alone(known, scopes):
    found = crossed(known, scopes, 40, 10, 20, 10**6, 1)
    really = bought_between(known, scopes, 30, 10).toarray() > 0
    np.testing.assert_array_equal(found.bought, really[found.row, found.scope])
    assert set(found.weight) == {1}


def test_what_was_known_is_from_before_the_window_and_its_lead(known, scopes):
    found = crossed(known, scopes, 40, 10, 20, 10**6, 1)
    before = bought_between(known, scopes, np.inf, 40).toarray() > 0
    np.testing.assert_array_equal(found.features[:, FEATURES.index("orders")] > 0, before[found.row, found.scope])


def test_a_sample_stands_for_all_pairs_there_are(known, scopes):
    every = crossed(known, scopes, 40, 10, 20, 10**6, 1)
    some = sampled(known, scopes, 40, 10, 20, 900, 1)
    assert len(some.bought) < len(every.bought) / 2
    assert some.weight.sum() == pytest.approx(len(every.bought), rel=0.1)
    assert some.weight @ some.bought == pytest.approx(every.bought.sum(), rel=0.15)
    assert some.bought.mean() > 2 * every.bought.mean()


def test_the_same_seed_gives_the_same_examples(known, scopes):
    one, again = (sampled(known, scopes, 40, 10, 20, 900, 1) for _ in range(2))
    np.testing.assert_array_equal(one.features, again.features)
    assert len(sampled(known, scopes, 40, 10, 20, 900, 2).bought) != 0
