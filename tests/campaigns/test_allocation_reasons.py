"""Every offer that lost has one reason, and the reason holds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.allocation import (
    SENT,
    Candidates,
    GroupLimit,
    Limits,
    Offers,
    Prices,
    Reason,
    at_prices,
    losing_reasons,
    solve,
)
from recsys.tables import InputError


def a_problem(p0, margin, **limits):
    """Customers × offers on one channel, each offer in a group of its own, paid for by the retailer."""
    p0 = np.array(p0, np.float32)
    n, m = p0.shape
    return (
        Candidates(
            np.arange(0, n * m + 1, m, dtype=np.int64),
            np.tile(np.arange(m), n).astype(np.uint16),
            p0.reshape(-1),
            np.ones((n, 1), bool),
            np.arange(n, dtype=np.uint64),
            groups=np.zeros((n, 1), np.int32),
        ),
        Offers(
            np.array(margin, float),
            np.full(m, 1_000.0),
            np.ones(m),
            np.ones((m, 1)),
            np.zeros(m),
            np.arange(m, dtype=np.int32),
            np.zeros(m, np.int32),
            np.array(limits.get("quota", [np.inf] * m), float),
            np.full(m, SENT, np.uint8),
        ),
        Limits(
            np.array([limits.get("budget", np.inf)]),
            np.array([limits.get("capacity", np.inf)]),
            np.array([limits.get("positions", 1)]),
            np.array([limits.get("cost", 0.0)]),
            np.array([1.0]),
        ),
    )


def reasons_of(problem, further=(), **options):
    found = solve(*problem, seed=1, further=further)
    told = losing_reasons(*problem, found.chosen, found.prices, found.used, further=further, **options)
    return [Reason(code).name for code in told.reason], told.detail.tolist(), told.price.tolist(), found


def test_a_quota_that_is_used_up_is_named_with_its_price():
    names, detail, price, _ = reasons_of(a_problem([[0.3], [0.1], [0.2]], [50_000], quota=[1]))
    assert names == ["CHOSEN", "QUOTA", "QUOTA"]
    assert detail == [-1, 0, 0]
    assert 10_000 <= price[1] <= 15_000


def test_what_would_earn_less_than_nothing_or_than_its_message_costs_is_not_worth_sending():
    names, *_ = reasons_of(a_problem([[0.3], [0.1]], [0.0]))
    assert names == ["NOT_WORTH_SENDING"] * 2
    names, *_ = reasons_of(a_problem([[0.3], [0.1]], [10_000], cost=2_000.0))
    assert names == ["CHOSEN", "NOT_WORTH_SENDING"]


def test_the_offer_that_took_the_place_is_named():
    names, detail, _, _ = reasons_of(a_problem([[0.3, 0.2, 0.1]], [50_000, 50_000, 50_000], positions=2))
    assert names == ["CHOSEN", "CHOSEN", "BEATEN"]
    assert detail[2] == 1


def test_a_budget_and_the_room_of_a_channel_are_named_with_their_prices():
    names, detail, price, found = reasons_of(a_problem([[0.3], [0.1]], [50_000], budget=700))
    assert (names, detail[1]) == (["CHOSEN", "BUDGET"], 0)
    names, detail, price, found = reasons_of(a_problem([[0.3], [0.1]], [50_000], capacity=1))
    assert (names, detail[1]) == (["CHOSEN", "CHANNEL"], 0)
    assert price[1] == found.prices.channel[0] > 0


def test_what_is_not_worth_its_message_at_a_limits_price_is_stopped_by_the_limit_in_both_arms():
    problem = a_problem([[0.3], [0.28], [0.07]], [50_000], cost=3_000.0)
    prices = Prices(np.array([13_000.0]), np.zeros(1), np.zeros(1))
    nobody = at_prices(*problem, prices)
    assert len(nobody) == 0
    told = losing_reasons(*problem, nobody, prices)
    assert [Reason(code).name for code in told.reason] == ["QUOTA", "QUOTA", "QUOTA"]
    assert told.price.tolist() == [13_000.0] * 3


def test_a_limit_of_a_group_is_named_by_its_number():
    further = [GroupLimit(np.array([0]), 5.0), GroupLimit(np.array([0]), 1.0, group=0)]
    names, detail, price, _ = reasons_of(a_problem([[0.3], [0.1]], [50_000]), further)
    assert names == ["CHOSEN", "GROUP"]
    assert detail[1] == 1
    assert price[1] > 0


def test_an_offer_that_gave_way_to_a_guaranteed_minimum_is_told_so():
    further = [GroupLimit(np.array([1]), 1.0, at_least=True)]
    names, detail, price, found = reasons_of(a_problem([[0.3, 0.3], [0.1, 0.2]], [50_000, 1_000]), further)
    assert found.chosen.offer.tolist() == [0, 1]
    assert names[2:] == ["MINIMUM", "CHOSEN"]
    assert detail[2] == 0
    assert price[2] > 0


def test_a_customer_who_gets_no_more_messages_this_night_is_told_what_took_the_last():
    problem = a_problem([[0.3], [0.1]], [50_000])
    free = Prices(np.zeros(1), np.zeros(1), np.zeros(1))
    chosen = at_prices(*problem, free)
    chosen = replace(chosen, **{name: getattr(chosen, name)[:1] for name in vars(chosen)})
    told = losing_reasons(*problem, chosen, free, rival=np.array([-1, 7]))
    assert told.reason.tolist() == [Reason.CHOSEN, Reason.MESSAGES]
    assert told.detail[1] == 7


def test_whoever_has_no_address_is_told_so_first():
    candidates, offers, limits = a_problem([[0.3]], [0.0])
    problem = replace(candidates, channel_ok=np.zeros((1, 1), bool)), offers, limits
    assert reasons_of(problem)[0] == ["NOT_ADDRESSED"]


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_every_pair_has_one_reason_that_holds(seed, coarse):
    rng = np.random.default_rng(seed)
    n, m = 8, 5
    p0 = rng.choice([0.1, 0.5], (n, m)) if coarse else rng.beta(1, 5, (n, m))
    problem = a_problem(
        p0,
        rng.choice([0, 20_000, 50_000], m) if coarse else rng.uniform(-5_000, 50_000, m),
        quota=rng.choice([1, 3, np.inf], m),
        budget=float(rng.choice([0, 500, 2_000, np.inf])),
        capacity=float(rng.choice([0, 4, np.inf])),
        positions=int(rng.integers(1, 3)),
        cost=float(rng.choice([0, 500])),
    )
    further = [GroupLimit(rng.choice(m, 2, replace=False), float(rng.integers(0, 4)), int(rng.integers(0, 2)))]
    further += [GroupLimit(rng.choice(m, 2, replace=False), 1.0, SENT, at_least=True)] * int(rng.integers(0, 2))
    candidates, offers, limits = problem
    try:
        found = solve(*problem, seed=1, further=further)
    except InputError:
        return
    told = losing_reasons(*problem, found.chosen, found.prices, found.used, further=further)
    assert np.flatnonzero(told.reason == Reason.CHOSEN).tolist() == sorted(found.chosen.pair.tolist())
    got = set(zip(found.chosen.customer.tolist(), found.chosen.offer.tolist(), strict=True))
    for e, (code, detail, price) in enumerate(zip(told.reason.tolist(), told.detail.tolist(), told.price, strict=True)):
        i, j, reason = e // m, int(candidates.offer[e]), Reason(code)
        assert price >= 0
        match reason:
            case Reason.BEATEN:
                assert (i, detail) in got
            case Reason.QUOTA:
                assert detail == j
                assert np.isfinite(offers.quota[j])
            case Reason.BUDGET:
                assert offers.shares[j, detail] > 0
                assert np.isfinite(limits.budgets[detail])
            case Reason.GROUP:
                assert j in further[detail].offers
                assert not further[detail].at_least
            case Reason.MINIMUM:
                assert further[detail].at_least
                assert j not in further[detail].offers or price > 0
                assert i in found.chosen.customer
            case Reason.CHANNEL:
                assert i not in found.chosen.customer
            case _:
                assert detail == -1


def test_reasons_in_blocks_are_those_of_the_whole(monkeypatch):
    rng = np.random.default_rng(3)
    problem = a_problem(rng.beta(1, 5, (40, 4)), [50_000, 20_000, 40_000, 9_000], quota=[3, 5, np.inf, 2], capacity=20)
    names, detail, price, _ = reasons_of(problem)
    monkeypatch.setattr("campaigns.allocation.reasons.BLOCK", 7)
    assert reasons_of(problem)[:3] == (names, detail, pytest.approx(price))
