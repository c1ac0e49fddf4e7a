import numpy as np
import pytest

from recsys.logistic import fit_logistic


def world(seed=0, rows=20_000, weights=(1.5, -0.8), intercept=-2.0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, len(weights))) * [1.0, 10.0] + [3.0, 0.0]
    odds = intercept + x @ (np.array(weights) / [1.0, 10.0])
    return x, random.random(rows) < 1 / (1 + np.exp(-odds))


def fit(x, y, prior=(0.0, 0.0), nonnegative=(False, False), **more):
    return fit_logistic(x, y, prior=np.array(prior), nonnegative=np.array(nonnegative), **more)


def test_planted_weights_are_found_whatever_the_unit():
    found = fit(*world())
    assert found.weights == pytest.approx([1.5, -0.08], rel=0.1)
    assert found.intercept == pytest.approx(-2.0, abs=0.2)


def test_a_weight_with_a_known_sign_stays_at_nought_where_the_data_say_otherwise():
    assert fit(*world(), nonnegative=(False, True)).weights[1] == 0


def test_without_events_the_prior_stands_and_the_rate_is_small():
    x, _ = world(rows=500)
    found = fit(x, np.zeros(500, bool), prior=(0.7, 0.1))
    assert found.weights == pytest.approx([0.7, 0.1], abs=0.1)
    assert (found.intercept + x @ found.weights).mean() < -4


def test_no_rows_give_the_prior():
    found = fit(np.zeros((0, 2)), np.zeros(0, bool), prior=(0.7, 0.1))
    assert found.weights == pytest.approx([0.7, 0.1])
