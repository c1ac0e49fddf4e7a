"""What is known of customers and scopes, worked out by hand and in any blocks."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.history import earlier, history
from recsys.scope_features import FEATURES, all_pairs, pair_features, scope_facts
from recsys.scope_sample import as_scopes
from recsys.synthetic import taste_groups
from recsys.tables import PURCHASES, conform

NOW = datetime(2017, 12, 5, tzinfo=UTC)
ITEMS = pa.array(["kopi", "teh", "gula"])
LINES = [  # order, customer, item, days ago
    ("o1", "a", "kopi", 40),
    ("o1", "a", "gula", 40),
    ("o2", "a", "kopi", 12),
    ("o2", "a", "teh", 12),
    ("o3", "b", "gula", 6),
]


def purchases(rows):
    columns = dict(zip(("order_id", "customer_id", "item_id", "occurred_at"), zip(*rows, strict=True), strict=True))
    columns["occurred_at"] = [NOW - timedelta(days=days) for days in columns["occurred_at"]]
    more = {"kind": ["purchase"] * len(rows), "quantity": [1] * len(rows), "amount": [10_000] * len(rows)}
    table = {"line_id": [f"l{k}" for k in range(len(rows))], **columns, **more}
    return conform(pa.table({name: pa.array(list(column)) for name, column in table.items()}), PURCHASES)


def every(known, scopes, window=28.0):
    rows = known.known
    facts = scope_facts(known, scopes, window, 1)
    found = pair_features(known, rows, *all_pairs(len(rows), scopes.shape[1]), scopes, facts)
    return found.reshape(len(rows), scopes.shape[1], len(FEATURES))


def of(found, customer, scope):
    return dict(zip(FEATURES, found[customer, scope].astype(float), strict=True))


@pytest.fixture(scope="module")
def drinks():
    """Scope 0: coffee and tea; scope 1: sugar; scope 2: nothing."""
    known = history(purchases(LINES), NOW, ITEMS)
    return every(known, as_scopes([np.array([0, 1]), np.array([2]), np.array([], int)], 3))


def test_an_order_counts_once_in_a_scope_and_ages_are_of_its_last_and_first(drinks):
    found = of(drinks, 0, 0)
    assert (found["orders"], found["items"], found["age"], found["gap"]) == (2, 2, 12, 28)
    assert found["overdue"] == pytest.approx(12 / 28)
    assert found["share"] == 1
    decayed = 2 ** (-40 / 14) + 2 ** (-12 / 14)
    assert found["rate_14"] == pytest.approx(decayed * 28 * np.log(2) / 14 / (1 - 2 ** (-40 / 14)), rel=1e-5)


def test_two_orders_of_one_hour_are_no_rhythm_to_be_overdue_by():
    lines = [("o1", "a", "kopi", 30.0), ("o2", "a", "kopi", 30.0 - 1 / 24)]
    found = of(every(history(purchases(lines), NOW, ITEMS), as_scopes([np.array([0])], 3)), 0, 0)
    assert found["gap"] == pytest.approx(1 / 24, rel=1e-3)
    for name in ("overdue", "overdue_scope", "all_overdue"):
        assert found[name] == pytest.approx(30 - 1 / 24), name


def test_where_nothing_was_bought_rates_are_zero_and_ages_unknown(drinks):
    found = of(drinks, 1, 0)
    assert (found["orders"], found["rate_14"], found["rate_182"], found["items"]) == (0, 0, 0, 0)
    assert np.isnan([found["age"], found["gap"], found["overdue"]]).all()


def test_a_customer_s_own_features_are_alike_in_every_scope(drinks):
    own = slice(FEATURES.index("all_orders"), FEATURES.index("price") + 1)
    np.testing.assert_array_equal(drinks[:, 0, own], drinks[:, 2, own])
    found = of(drinks, 0, 2)
    assert (found["all_orders"], found["tenure"], found["breadth"], found["basket"]) == (2, 40, 3, 2)


def test_a_scope_s_own_features_are_alike_for_every_customer(drinks):
    own = slice(FEATURES.index("buyers"), None)
    np.testing.assert_array_equal(drinks[0, :, own], drinks[1, :, own])
    assert of(drinks, 0, 1)["buyers"] == pytest.approx(np.log(2.5 / 3))
    assert of(drinks, 0, 1)["again"] == pytest.approx(0.5 / 3)
    assert of(drinks, 0, 0)["scope_gap"] == 28
    assert of(drinks, 0, 1)["scope_items"] == pytest.approx(np.log(2))
    assert np.isfinite(of(drinks, 0, 2)["buyers"])


def test_affinity_is_higher_for_those_whose_things_the_scope_s_buyers_have_too():
    """Those who have sugar buy coffee, those who have tea do not."""
    rows = [(f"s{k}", f"s{k}", "gula", 30) for k in range(40)] + [(f"t{k}", f"t{k}", "teh", 30) for k in range(40)]
    rows += [(f"k{k}", f"s{k}", "kopi", 20) for k in range(30)]
    known = history(purchases(rows), NOW, ITEMS)
    found = every(known, as_scopes([np.array([0])], 3))[:, 0, FEATURES.index("affinity")]
    names = known.customers.to_pylist()
    assert found[names.index("s39")] > 0 > found[names.index("t39")]


@pytest.fixture(scope="module")
def world():
    bought = taste_groups(3, customers=60, items=20, orders=8, start=NOW - timedelta(days=200), days=200).purchases
    items = pa.array(sorted(set(bought["item_id"].to_pylist())))
    rng = np.random.default_rng(1)
    return bought, items, csr_matrix((rng.random((len(items), 9)) < 0.3).astype(np.float32))


@given(st.integers(0, 2**32 - 1))
def test_a_pair_s_features_do_not_depend_on_which_others_are_asked_for(world, seed):
    bought, items, scopes = world
    known = history(bought, NOW, items)
    whole = every(known, scopes)
    wanted = np.random.default_rng(seed).random(whole.shape[:2]) < 0.2
    at, scope = np.nonzero(wanted)
    start = np.searchsorted(at, np.arange(len(known.known) + 1)).astype(np.int64)
    some = pair_features(known, known.known, start, scope.astype(np.int32), scopes, scope_facts(known, scopes, 28.0, 1))
    np.testing.assert_array_equal(some, whole[wanted])


@pytest.mark.parametrize("days", [30.0, 90.0])
def test_what_came_later_changes_no_feature(world, days):
    bought, items, scopes = world
    instant = NOW - timedelta(days=days)
    looked_back = every(earlier(history(bought, NOW, items), days), scopes)
    known_then = every(history(bought, instant, items), scopes)
    np.testing.assert_allclose(looked_back, known_then, rtol=2e-5, atol=1e-5)


def test_a_scope_never_offered_before_has_the_features_of_one_with_the_same_items(world):
    bought, items, scopes = world
    known = history(bought, NOW, items)
    twice = csr_matrix(np.hstack([scopes.toarray(), scopes.toarray()[:, :1]]))
    found = every(known, twice)
    np.testing.assert_array_equal(found[:, 0], found[:, -1])


def test_of_nobody_nothing_is_known():
    none = history(purchases(LINES)[:0], NOW, ITEMS)
    with pytest.raises(ValueError, match="nobody has bought anything"):
        scope_facts(none, as_scopes([np.array([0])], 3), 28.0, 1)
