"""Budgets and quotas of redemptions hold with the confidence asked for, as real redemptions would have it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from campaigns.allocation import REDEEMED, Candidates, GroupLimit, Limits, Offers, Part
from flows.deciding.caution import cautiously, certain_use
from flows.deciding.limits import Row

PEOPLE = 1_000  # more than small problems have, whose decisions are searched for at length


def a_part(budget=150_000.0, quota=np.inf):
    rng = np.random.default_rng(3)
    n, m = PEOPLE, 2
    return Part(
        Candidates(
            np.arange(0, n * m + 1, m).astype(np.int64),
            np.tile(np.arange(m, dtype=np.uint16), n),
            rng.uniform(0.02, 0.3, n * m).astype(np.float32),
            np.ones((n, 1), np.bool_),
            np.arange(n).astype(np.uint64),
        ),
        Offers(
            margin=np.array([30_000.0, 20_000.0]),
            benefit=np.array([3_000.0, 1_000.0]),
            uplift=np.array([0.5, 0.5]),
            shares=np.ones((m, 1)),
            retailer_share=np.ones(m),
            group=np.arange(m, dtype=np.int32),
            priority=np.zeros(m, np.int32),
            quota=np.array([quota, np.inf]),
            quota_kind=np.full(m, REDEEMED, np.uint8),
        ),
        Limits(np.array([budget]), np.array([np.inf]), np.array([1]), np.array([0.0]), np.array([1.0])),
        np.arange(n),
    )


def plan(money=0.5, uses=0.5, error=0.0, rows=()):
    campaign = SimpleNamespace(budget_confidence=money, quota_confidence=uses, forecast_error=error)
    return SimpleNamespace(campaign=campaign, rows=rows)


def solved(part, made, shared=()):
    return cautiously([made], [part], list(shared), [slice(0, 1)], np.ones(PEOPLE, np.int64), 1, None)


def spent_by_chance(part, chosen, draws=20_000):
    """What is really spent, drawn many times."""
    rng = np.random.default_rng(0)
    redeemed = rng.random((draws, len(chosen))) < chosen.p1
    return redeemed @ part.offers.benefit[chosen.offer]


def test_a_budget_in_expectation_is_planned_as_it_is():
    found = solved(a_part(), plan())
    assert found.parts[0].limits.budgets.tolist() == [150_000.0]
    assert found.night.parts[0].used.budgets[0] > 149_000


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_what_is_really_spent_stays_within_the_budget_as_often_as_asked(confidence):
    part = a_part()
    found = solved(part, plan(money=confidence))
    assert found.parts[0].limits.budgets[0] < 150_000
    within = (spent_by_chance(part, found.night.parts[0].chosen) <= 150_000).mean()
    assert within >= confidence - 0.01
    assert within < confidence + 0.04  # no more is left unspent than need be


def test_a_forecast_error_of_the_whole_campaign_takes_more_off():
    certain, doubtful = (
        solved(a_part(), plan(money=0.9, error=error)).parts[0].limits.budgets[0] for error in (0.0, 0.2)
    )
    assert doubtful < 0.9 * certain


def test_redemptions_stay_within_a_quota_as_often_as_asked():
    part = a_part(budget=np.inf, quota=40.0)
    found = solved(part, plan(uses=0.9))
    chosen = found.night.parts[0].chosen
    own = chosen.p1[chosen.offer == 0]
    redeemed = (np.random.default_rng(0).random((20_000, len(own))) < own).sum(axis=1)
    assert (redeemed <= 40).mean() >= 0.89
    assert found.parts[0].offers.quota[0] < 40


def test_limits_on_groups_are_planned_cautiously_too_and_minimums_are_not():
    limit = GroupLimit(np.array([0]), 10.0, REDEEMED)
    least = replace(limit, amount=5.0, at_least=True)
    rows = (Row("sepuluh", "quota", "redeemed", 10.0, limit), Row("lima", "minimum", "redeemed", 5.0, least))
    part = replace(a_part(budget=np.inf), further=[limit, least])
    found = solved(part, plan(uses=0.9, rows=rows))
    most, minimum = found.parts[0].further
    assert most.amount < 10
    assert minimum.amount == 5
    chosen = found.night.parts[0].chosen
    assert certain_use(chosen.p1[chosen.offer == 0], np.ones((chosen.offer == 0).sum()), 0.9, 0.0) <= 10 * (1 + 1e-9)


def test_the_same_problem_is_planned_the_same():
    first, second = (solved(a_part(), plan(money=0.9, error=0.1)) for _ in range(2))
    assert first.parts[0].limits.budgets.tolist() == second.parts[0].limits.budgets.tolist()
    assert first.night.parts[0].chosen.pair.tolist() == second.night.parts[0].chosen.pair.tolist()
