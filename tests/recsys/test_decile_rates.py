import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import decile_rates
from recsys.decile_rates import fit_decile_rates


@st.composite
def histories(draw):
    """Scores with zeros, ties and negatives, and what was bought."""
    customers, scopes = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.choice([0.0, -0.5, 1.0, 2.0, 2.5], size=(customers, scopes)) * rng.integers(0, 9, (customers, scopes))
    before = rng.random((customers, scopes)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return scores, before, rng.random((customers, scopes)) < draw(st.sampled_from([0.0, 0.02, 0.4, 1.0]))


def one_group(scores, bought):
    """Rates where nobody had bought in the scope before, and p0 of scores by them."""
    rates = fit_decile_rates(scores, np.zeros_like(bought), bought)
    return lambda these: rates.apply(these, np.zeros(these.shape, bool))


def test_docstring_examples_hold():
    assert doctest.testmod(decile_rates).failed == 0


@given(histories(), st.integers(0, 1000), st.booleans())
def test_a_higher_score_never_has_a_lower_propensity(history, seed, buyers):
    rates = fit_decile_rates(*history)
    scopes = history[0].shape[1]
    scores = np.sort(np.random.default_rng(seed).normal(3, 8, size=(100, scopes)), axis=0)
    assert (np.diff(rates.apply(scores, np.full(scores.shape, buyers)), axis=0) >= 0).all()


@given(histories())
def test_propensities_are_probabilities_and_never_quite_zero_or_one(history):
    scores, before, _ = history
    p0 = fit_decile_rates(*history).apply(scores, before)
    assert ((p0 > 0) & (p0 < 1)).all()


@given(histories())
def test_expected_buyers_are_near_the_buyers_there_were(history):
    scores, before, bought = history
    expected = fit_decile_rates(*history).apply(scores, before).sum(axis=0, dtype=float)
    slack = decile_rates.PRIOR * 2 * (decile_rates.BINS + 1) + 1  # what smoothing can move between bins, in customers
    assert (np.abs(expected - bought.sum(axis=0)) <= slack).all()


def test_a_scope_that_nobody_bought_has_a_small_propensity():
    p0 = one_group(np.random.default_rng(1).random((2000, 1)), np.zeros((2000, 1), bool))
    assert ((p0(np.array([[0.0], [0.5], [1.0]])) > 0) & (p0(np.array([[0.0], [0.5], [1.0]])) < 0.001)).all()


def test_a_scope_that_everybody_bought_is_nearly_certain():
    p0 = one_group(np.random.default_rng(1).random((2000, 1)), np.ones((2000, 1), bool))
    assert p0(np.array([[0.5]]))[0, 0] > 0.99


def test_rates_find_the_planted_probabilities_of_both_groups():
    rng = np.random.default_rng(3)
    before, scores = rng.random((40_000, 1)) < 0.4, rng.random((40_000, 1))
    chance = np.where(before, 0.1 + 0.5 * scores, 0.02 + 0.1 * scores)
    rates = fit_decile_rates(scores, before, rng.random((40_000, 1)) < chance)
    asked = np.array([[0.05], [0.95], [0.05], [0.95]])
    p0 = rates.apply(asked, np.array([[False], [False], [True], [True]]))
    np.testing.assert_allclose(p0[:, 0], [0.025, 0.115, 0.125, 0.575], atol=0.03)


def test_buyers_of_a_scope_are_not_mixed_with_newcomers_of_the_same_score():
    scores, before = np.ones((1000, 1)), np.array([[False]] * 900 + [[True]] * 100)
    rates = fit_decile_rates(scores, before, bought=before)
    new, again = rates.apply(np.ones((2, 1)), np.array([[False], [True]]))[:, 0]
    assert new < 0.01
    assert again > 0.8


def test_a_group_that_nobody_was_in_has_the_base_rate():
    bought = np.random.default_rng(0).random((500, 1)) < 0.2
    rates = fit_decile_rates(np.random.default_rng(1).random((500, 1)), np.zeros((500, 1), bool), bought)
    assert rates.apply(np.array([[0.5]]), np.array([[True]]))[0, 0] == np.float32(rates.base[0])


def test_a_score_between_two_deciles_has_a_rate_between_theirs_and_one_beyond_has_the_outermost():
    scores = np.repeat(np.arange(1.0, 11.0), 100)[:, None]
    p0 = one_group(scores, np.tile(np.arange(100), 10)[:, None] < scores * 5)
    low, middle, high = p0(np.array([[5.0], [5.5], [6.0]]))[:, 0]
    assert middle == pytest.approx((low + high) / 2)
    assert p0(np.array([[1e9]])) == p0(np.array([[10.0]]))
    assert p0(np.array([[-1e9]])) == p0(np.array([[1.0]]))


def test_within_a_decile_the_order_of_the_scores_is_kept():
    rng = np.random.default_rng(2)
    scores = np.sort(rng.lognormal(size=(5000, 1)), axis=0)
    p0 = one_group(scores, rng.random((5000, 1)) < scores / (1 + scores))(scores)[:, 0]
    assert len(np.unique(p0)) > 4500


def test_expected_buyers_are_the_buyers_there_were_though_rates_bend():
    rng = np.random.default_rng(2)
    scores = rng.lognormal(size=(20_000, 1))
    bought = rng.random((20_000, 1)) < scores / (5 + scores)
    assert one_group(scores, bought)(scores).sum() == pytest.approx(bought.sum(), rel=0.04)


def test_where_all_have_one_score_all_have_one_rate():
    bought = np.arange(200)[:, None] < 50
    p0 = one_group(np.full((200, 1), 0.3), bought)(np.array([[-1.0], [0.3], [7.0]]))[:, 0]
    np.testing.assert_allclose(p0, 0.25, atol=0.001)


def test_scopes_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    scores, before, bought = rng.random((300, 2)), rng.random((300, 2)) < 0.5, rng.random((300, 2)) < [0.1, 0.7]
    together = fit_decile_rates(scores, before, bought).apply(scores, before)
    alone = fit_decile_rates(scores[:, 1:], before[:, 1:], bought[:, 1:]).apply(scores[:, 1:], before[:, 1:])
    np.testing.assert_array_equal(together[:, 1:], alone)


def test_nobody_to_learn_from_is_an_error():
    none = np.zeros((0, 2), bool)
    with pytest.raises(ValueError, match="no customers"):
        fit_decile_rates(np.zeros((0, 2)), none, none)


def test_scores_that_are_not_finite_are_an_error():
    with pytest.raises(ValueError, match="not finite"):
        fit_decile_rates(np.array([[np.nan]]), np.array([[True]]), np.array([[True]]))
