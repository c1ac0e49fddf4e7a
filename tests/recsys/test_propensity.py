import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import propensity
from recsys.propensity import fit_decile_rates


@st.composite
def histories(draw):
    """Scores with zeros, ties and negatives, and what was bought."""
    customers, scopes = draw(st.integers(1, 60)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = rng.choice([0.0, -0.5, 1.0, 2.0, 2.5], size=(customers, scopes)) * rng.integers(0, 9, (customers, scopes))
    return scores, rng.random((customers, scopes)) < draw(st.sampled_from([0.0, 0.02, 0.4, 1.0]))


def test_docstring_examples_hold():
    assert doctest.testmod(propensity).failed == 0


@given(histories(), st.integers(0, 1000))
def test_a_higher_score_never_has_a_lower_propensity(history, seed):
    rates = fit_decile_rates(*history)
    scopes = history[0].shape[1]
    scores = np.sort(np.random.default_rng(seed).normal(3, 8, size=(100, scopes)), axis=0)
    assert (np.diff(rates.apply(scores), axis=0) >= 0).all()


@given(histories())
def test_propensities_are_probabilities_and_never_quite_zero_or_one(history):
    p0 = fit_decile_rates(*history).apply(history[0])
    assert ((p0 > 0) & (p0 < 1)).all()


@given(histories())
def test_expected_buyers_are_near_the_buyers_there_were(history):
    scores, bought = history
    rates = fit_decile_rates(scores, bought)
    expected = rates.apply(scores).sum(axis=0, dtype=float)
    slack = propensity.PRIOR * (propensity.BINS + 1) + 1  # what smoothing can move between bins, in customers
    assert (np.abs(expected - bought.sum(axis=0)) <= slack).all()


def test_a_scope_that_nobody_bought_has_a_small_propensity():
    rates = fit_decile_rates(np.random.default_rng(1).random((2000, 1)), np.zeros((2000, 1), bool))
    p0 = rates.apply(np.array([[0.0], [0.5], [1.0]]))
    assert ((p0 > 0) & (p0 < 0.001)).all()


def test_a_scope_that_everybody_bought_is_nearly_certain():
    rates = fit_decile_rates(np.random.default_rng(1).random((2000, 1)), np.ones((2000, 1), bool))
    assert rates.apply(np.array([[0.5]]))[0, 0] > 0.99


def test_rates_find_the_planted_probabilities():
    rng = np.random.default_rng(3)
    scores = np.where(rng.random((40_000, 1)) < 0.6, 0.0, rng.random((40_000, 1)))
    bought = rng.random((40_000, 1)) < np.where(scores > 0, 0.1 + 0.5 * scores, 0.01)
    p0 = fit_decile_rates(scores, bought).apply(np.array([[0.0], [0.05], [0.55], [0.95]]))
    np.testing.assert_allclose(p0[:, 0], [0.01, 0.125, 0.375, 0.575], atol=0.03)


def test_customers_without_a_score_are_not_mixed_with_those_that_have_one():
    scores = np.array([[0.0]] * 900 + [[1.0]] * 100)
    bought = scores > 0
    low, high = fit_decile_rates(scores, bought).apply(np.array([[0.0], [1.0]]))[:, 0]
    assert low < 0.01
    assert high > 0.8


def test_a_score_between_and_beyond_those_seen_gets_the_rate_of_its_decile():
    scores = np.repeat(np.arange(1.0, 11.0), 100)[:, None]
    bought = np.random.default_rng(0).random((1000, 1)) < scores / 20
    rates = fit_decile_rates(scores, bought)
    assert rates.apply(np.array([[5.5]])) == rates.apply(np.array([[6.0]]))
    assert rates.apply(np.array([[1e9]])) == rates.apply(np.array([[10.0]]))


def test_when_scores_were_all_positive_no_score_has_the_lowest_rate():
    scores = np.linspace(0.1, 1, 500)[:, None]
    rates = fit_decile_rates(scores, scores > 0.5)
    assert rates.apply(np.array([[0.0]])) == rates.apply(np.array([[0.1]]))


def test_scopes_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    scores, bought = rng.random((300, 2)), rng.random((300, 2)) < [0.1, 0.7]
    together = fit_decile_rates(scores, bought).apply(scores)
    alone = fit_decile_rates(scores[:, 1:], bought[:, 1:]).apply(scores[:, 1:])
    np.testing.assert_array_equal(together[:, 1:], alone)


def test_nobody_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="no customers"):
        fit_decile_rates(np.zeros((0, 2)), np.zeros((0, 2), bool))


def test_scores_that_are_not_finite_are_an_error():
    with pytest.raises(ValueError, match="not finite"):
        fit_decile_rates(np.array([[np.nan]]), np.array([[True]]))
