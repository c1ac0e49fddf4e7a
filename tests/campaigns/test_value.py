import math
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.value import (
    benefit_of_baskets,
    cautious_limit,
    economics,
    expected_benefit,
    expected_margin,
    funder_costs,
    pair_value,
    purchase_probability,
    spread_of,
    written_value,
)

BASKETS = np.array([40_000, 50_000, 300_000])


def benefit(kind, **fields):
    return SimpleNamespace(kind=kind, **fields)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (benefit("percent_off", percent=20, max_discount=30_000), [0, 10_000, 30_000]),
        (benefit("percent_off", percent=20, max_discount=None), [0, 10_000, 60_000]),
        (benefit("cashback", percent=10, max_discount=20_000), [0, 5_000, 20_000]),
        (benefit("amount_off", amount=15_000), [0, 15_000, 15_000]),
        (benefit("free_shipping", amount=12_000), [0, 12_000, 12_000]),
        (benefit("points_multiplier", factor=3.0, point_rate=0.01, breakage=0.25), [0, 750, 4_500]),
        (benefit("installment_0", months=6, fee_percent=4), [0, 2_000, 12_000]),
    ],
    ids=lambda value: value.kind if isinstance(value, SimpleNamespace) else "",
)
def test_a_benefit_costs_what_its_terms_say_and_nothing_below_the_minimum_spend(kind, expected):
    assert benefit_of_baskets(kind, BASKETS, 50_000) == pytest.approx(expected)


def test_an_amount_off_is_never_more_than_the_basket():
    assert benefit_of_baskets(benefit("amount_off", amount=15_000), [9_000]).tolist() == [9_000]


def test_an_unknown_benefit_is_named():
    with pytest.raises(ValueError, match="lottery"):
        benefit_of_baskets(benefit("lottery"), BASKETS)


def test_expectations_are_means_over_past_baskets_and_zero_where_there_are_none():
    ten_off = benefit("percent_off", percent=10, max_discount=None)
    assert expected_benefit(ten_off, BASKETS) == pytest.approx(13_000)
    assert expected_margin(BASKETS, 0.2) == pytest.approx(26_000)
    assert expected_benefit(ten_off, []) == 0
    assert expected_margin([], 0.2) == 0


def test_a_margin_rate_may_differ_by_basket():
    assert expected_margin([100, 300], [0.5, 0.1]) == pytest.approx(40)


def test_economics_gives_a_margin_and_a_benefit_per_offer():
    margin, cost = economics(
        [benefit("free_shipping", amount=10), benefit("amount_off", amount=5)], [[100, 300], []], [0.1, 0.1], [200, 0]
    )
    assert margin.tolist() == [20, 0]
    assert cost.tolist() == [5, 0]


def test_the_value_is_the_margin_gained_less_the_retailers_part_of_every_redemption():
    p1 = purchase_probability(0.1, 0.5, 0.6)
    assert p1 == pytest.approx(0.13)
    assert pair_value(0.1, p1, 50_000, 10_000, 0.5) == pytest.approx(0.03 * 50_000 - 0.13 * 10_000 * 0.5)


@given(st.floats(0, 1), st.floats(-1, 10), st.floats(0, 10))
def test_a_probability_stays_one(p0, uplift, response):
    assert 0 <= purchase_probability(p0, uplift, response) <= 1


@given(st.floats(0, 1), st.floats(0, 1e9), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_written_costs_are_whole_and_never_below_what_is_expected(p1, amount, shares):
    costs = funder_costs([p1], [amount], [shares])
    assert costs.dtype == np.int64
    expected = np.array([p1 * (amount * share) for share in shares])
    assert (costs[0] >= expected).all()
    assert (costs[0] <= expected + 1).all()


def test_a_value_is_written_as_the_nearest_rupiah():
    assert written_value([1.4, 1.6, -0.6]).tolist() == [1, 2, -1]


@given(
    st.floats(1, 1e12),
    st.floats(0.5, 0.9999),
    st.floats(0, 1e6),
    st.floats(0, 3),
)
def test_what_is_planned_plus_what_may_come_on_top_is_the_limit(limit, confidence, spread, error):
    planned = cautious_limit(limit, confidence, spread=spread, forecast_error=error)
    z = NormalDist().inv_cdf(confidence)
    assert 0 <= planned <= limit
    assert planned + z * math.sqrt(spread * planned + error**2 * planned**2) == pytest.approx(limit, rel=1e-6)


def test_a_limit_is_planned_in_full_where_nothing_is_uncertain():
    assert cautious_limit(5e7, 0.95, spread=0) == 5e7
    assert cautious_limit(5e7, 0.5, spread=1e5, forecast_error=0.3) == 5e7
    assert cautious_limit(0, 0.95, spread=1) == 0
    assert cautious_limit(math.inf, 0.95, spread=1) == math.inf


def test_a_planned_budget_is_overspent_as_rarely_as_the_confidence_says():
    rng = np.random.default_rng(1)
    p1, paid = rng.uniform(0.05, 0.4, 2_000), rng.uniform(5_000, 40_000, 2_000)
    spread, expected = spread_of(p1, paid), float((p1 * paid).sum())
    budget = expected + NormalDist().inv_cdf(0.9) * math.sqrt(spread * expected)
    assert cautious_limit(budget, 0.9, spread=spread) == pytest.approx(expected)
    spent = np.array([(paid * (rng.random(2_000) < p1)).sum() for _ in range(4_000)])
    assert (spent <= budget).mean() == pytest.approx(0.9, abs=0.02)


def test_no_decisions_have_no_spread_and_redemptions_less_than_one_each():
    assert spread_of([]) == 0
    assert spread_of([0.2, 0.2]) == pytest.approx(0.8)


@pytest.mark.parametrize(("confidence", "spread"), [(0.4, 1.0), (1.0, 1.0), (0.9, -1.0), (0.9, math.nan)])
def test_a_confidence_that_cannot_be_is_named(confidence, spread):
    with pytest.raises(ValueError, match="expected"):
        cautious_limit(1.0, confidence, spread=spread)
