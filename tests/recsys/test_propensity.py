"""Chances of purchase learned from past windows: in planted worlds where the chance is known."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from recsys import propensity
from recsys.history import earlier, history
from recsys.past_windows import crossed
from recsys.propensity import fit_propensity, pair_chances
from recsys.scope_features import FEATURES, all_pairs, scope_facts
from recsys.scope_sample import as_scopes
from recsys.tables import ITEMS, PURCHASES, conform

NOW = datetime(2017, 12, 5, tzinfo=UTC)
WINDOW = 20
CUSTOMERS, GOODS, DAYS = 900, 60, 220


@pytest.fixture(scope="module")
def world():
    """Everybody buys each good at a rate of their own, so that all that counts is how often they did."""
    rng = np.random.default_rng(1)
    rate = rng.gamma(0.4, 0.006, (CUSTOMERS, GOODS)) * rng.gamma(1.0, 1.0, GOODS)
    customer, item = np.nonzero(rng.random((CUSTOMERS, GOODS)) < 2)
    count = rng.poisson(rate[customer, item] * DAYS)
    customer, item = np.repeat(customer, count), np.repeat(item, count)
    age = rng.uniform(0, DAYS, len(customer))
    table = {
        "line_id": [f"l{k}" for k in range(len(age))],
        "order_id": [f"o{k}" for k in range(len(age))],
        "customer_id": [f"c{k:04d}" for k in customer],
        "item_id": [f"i{k:02d}" for k in item],
        "occurred_at": [NOW - timedelta(days=float(days)) for days in age],
        "kind": ["purchase"] * len(age),
        "quantity": np.ones(len(age), np.int64),
        "amount": np.full(len(age), 10_000),
    }
    goods = conform(pa.table({"item_id": [f"i{k:02d}" for k in range(GOODS)]}), ITEMS)
    return history(conform(pa.table(table), PURCHASES), NOW, goods["item_id"].combine_chunks()), goods


@pytest.fixture(scope="module")
def scopes():
    """(to learn from, of other goods): what is judged was in no scope that was learned from."""
    rng = np.random.default_rng(1)
    held = np.arange(GOODS) % 3 == 0
    learned = [rng.choice(np.flatnonzero(~held), 1 + k % 4, replace=False) for k in range(60)]
    others = [rng.choice(np.flatnonzero(held), 1 + k % 4, replace=False) for k in range(12)]
    return as_scopes(learned, GOODS), as_scopes(others, GOODS)


@pytest.fixture(scope="module")
def model(world, scopes):
    """Fitted on what was known a window ago."""
    return fit_propensity(earlier(world[0], WINDOW), scopes[0], 0, WINDOW, 1)


@pytest.fixture(scope="module")
def third(world, scopes):
    """The window that the model has not seen, of scopes that it has not seen."""
    return crossed(world[0], scopes[1], WINDOW, 0, WINDOW, 10**6, 1)


def test_on_an_unseen_window_and_unseen_scopes_as_many_buy_as_was_said(model, third):
    p = model.chances(third.features)
    assert p.sum() == pytest.approx(third.bought.sum(), rel=0.1)
    high = np.argsort(p)[-len(p) // 5 :]
    assert p[high].sum() == pytest.approx(third.bought[high].sum(), rel=0.12)


@pytest.mark.parametrize("name", FEATURES)
def test_far_beyond_what_was_learned_from_a_feature_says_nothing_more(model, third, name):
    def with_value(value):
        features = third.features.copy()
        features[:, FEATURES.index(name)] = value
        return model.chances(features)

    assert (with_value(1e9) == with_value(1e12)).all()
    assert (with_value(-1e9) == with_value(-1e12)).all()


def test_it_ranks_better_than_the_decayed_frequency_does(model, third):
    p = model.chances(third.features)
    rate = third.features[:, FEATURES.index("rate_42")]
    assert roc_auc_score(third.bought, p) > roc_auc_score(third.bought, rate) + 0.02


def test_chances_are_over_0_and_under_1(model, third):
    p = model.chances(third.features)
    assert p.dtype == np.float32
    assert ((p > 0) & (p < 1)).all()


def test_a_higher_score_has_a_higher_chance(model, third):
    by = np.argsort(model.scores(third.features), kind="stable")
    assert (np.diff(model.chances(third.features)[by]) >= -1e-7).all()
    assert len(np.unique(model.chances(third.features))) > len(by) / 4


def parts_of(model):
    return {part.name: getattr(model, part.name) for part in fields(model)}


def test_the_same_arguments_give_the_same_model(world, scopes, model):
    again = fit_propensity(earlier(world[0], WINDOW), scopes[0], 0, WINDOW, 1)
    np.testing.assert_equal(parts_of(again), parts_of(model))


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_blocks_change_nothing(world, scopes, model, block, monkeypatch):
    known, some = world[0], scopes[1]
    rows = known.known[:70]
    facts = scope_facts(known, some, WINDOW, 1)
    whole = pair_chances(model, known, rows, *all_pairs(70, 12), some, facts)
    monkeypatch.setattr(propensity, "BLOCK_PAIRS", block)
    np.testing.assert_array_equal(pair_chances(model, known, rows, *all_pairs(70, 12), some, facts), whole)


def test_rows_without_pairs_are_passed_over(world, scopes, model):
    known, some = world[0], scopes[1]
    facts = scope_facts(known, some, WINDOW, 1)
    rows, scope = known.known[:3], np.array([4, 4], np.int32)
    found = pair_chances(model, known, rows, np.array([0, 1, 1, 2]), scope, some, facts)
    whole = pair_chances(model, known, rows, *all_pairs(3, 12), some, facts).reshape(3, 12)
    np.testing.assert_array_equal(found, whole[[0, 2], 4])


def test_with_too_few_windows_or_buyers_there_is_no_model(world, scopes):
    known = world[0]
    assert fit_propensity(earlier(known, DAYS - 60), scopes[0], 0, WINDOW, 1) is None  # no window but the newest
    nothing = csr_matrix((GOODS, 3), dtype=np.float32)
    assert fit_propensity(known, nothing, 0, WINDOW, 1) is None


def test_a_level_that_has_changed_is_no_matter_of_the_curve():
    """Where all log odds in the newest window were 1 higher than the scores, the curve leaves them where they are."""
    rng = np.random.default_rng(1)
    z = rng.normal(-2, 1, 40_000)
    bought = rng.random(len(z)) < 1 / (1 + np.exp(-z - 1))
    knots, odds = propensity._calibration(z, examples(bought))
    inner = slice(5, -5)
    np.testing.assert_allclose(odds[inner] - knots[inner], 0, atol=0.2)
    assert propensity._shift(z, examples(bought)) == pytest.approx(1, abs=0.05)


def test_a_curve_that_is_wrong_is_corrected_by_many_buyers():
    """Where log odds were said to be twice as far from their middle as they are."""
    z = np.random.default_rng(1).normal(-1, 1.5, 100_000)
    bought = np.random.default_rng(2).random(len(z)) < 1 / (1 + np.exp(1 - (z + 1) / 2))
    knots, odds = propensity._calibration(z, examples(bought))
    slope = np.polyfit(knots[3:-3], odds[3:-3], 1)[0]
    assert slope == pytest.approx(0.5, abs=0.1)


def test_the_rehearsal_has_not_seen_the_newest_window(world, scopes):
    """Whatever was bought in it, the rehearsal says the same; the model that serves does not."""
    known, fits = world[0], []
    for share in (1.0, 0.5):
        kept = (known.age > WINDOW) | (np.random.default_rng(1).random(len(known.age)) < share)
        whose = np.repeat(np.arange(len(known.customers)), known.last - known.first)
        last = np.cumsum(np.bincount(whose[kept], minlength=len(known.customers)))
        first = np.append(0, last[:-1])
        lines = np.repeat(kept, np.diff(known.line))
        line = np.append(0, np.cumsum(np.diff(known.line)[kept]))
        fewer = replace(
            known,
            first=first,
            last=last,
            age=known.age[kept],
            line=line,
            item=known.item[lines],
            paid=known.paid[lines],
        )
        fits.append(propensity.fit_with_rehearsal(fewer, scopes[0], 0, WINDOW, 1))
    assert fits[0][1].trees == fits[1][1].trees
    assert fits[0][0].trees != fits[1][0].trees


def examples(bought):
    none = np.zeros(len(bought), int)
    return propensity.Examples(np.zeros((len(bought), 1), np.float32), bought, np.ones(len(bought)), none, none)


@given(st.integers(0, 2**32 - 1))
def test_a_calibration_never_falls(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(300, 900))
    z = rng.normal(-2, 2, count)
    bought = rng.random(count) < 0.02 + 0.5 * (rng.random() < 0.7) / (1 + np.exp(-z * rng.normal()))
    if bought.any():
        knots, odds = propensity._calibration(z, examples(bought))
        assert (np.diff(knots) > 0).all()
        assert (np.diff(odds) >= 0).all()


def test_scopes_are_drawn_by_what_was_known_before_each_window(world, scopes):
    seen = []

    def drawn(then):
        seen.append(then.days)
        return scopes[0]

    known = earlier(world[0], WINDOW)
    model = fit_propensity(known, drawn, 0, WINDOW, 1)
    np.testing.assert_equal(parts_of(model), parts_of(fit_propensity(known, scopes[0], 0, WINDOW, 1)))
    assert seen == [known.days - days for days in propensity.overlapping(known.days, 0, WINDOW)]
