"""Instances that break what was made for usual ones. No warning may escape either."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.allocation import (
    REDEEMED,
    SENT,
    Candidates,
    GroupLimit,
    Limits,
    MinimumsError,
    Offers,
    first_come,
    solve,
)
from campaigns.allocation.kernels.choosing import MOST, PLACES, at_most, highest
from campaigns.allocation.problem import gap_of
from recsys.tables import InputError

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # what other tests left to collect
]
seeds = st.integers(0, 2**32 - 1)


def a_problem(rng, customers, offers, *, funders=2, per=None, tied=False):
    """Each customer has `per` of the offers (all, by default). tied: few different numbers."""
    per = per or offers
    offer = np.argsort(rng.random((customers, offers)), axis=1)[:, :per].reshape(-1)
    p0 = rng.choice([0.1, 0.3], customers * per) if tied else rng.beta(1, 9, customers * per)
    own = rng.choice([0, 0.5, 1], offers)
    shares = np.zeros((offers, funders))
    shares[np.arange(offers), rng.integers(0, funders, offers)] = 1 - own
    money = [np.full(offers, 20_000.0)] * 2 if tied else [rng.uniform(5_000, 90_000, offers) for _ in range(2)]
    return (
        Candidates(
            np.arange(0, customers * per + 1, per, dtype=np.int64),
            offer.astype(np.uint16 if offers <= 1 << 16 else np.uint32),
            p0.astype(np.float32),
            np.ones((customers, 2), bool),
            rng.permutation(customers).astype(np.uint64),
        ),
        Offers(
            margin=money[0],
            benefit=money[1] * 0.4,
            uplift=np.ones(offers),
            shares=shares,
            retailer_share=own,
            group=rng.integers(0, max(1, offers // 2), offers).astype(np.int32),
            priority=np.zeros(offers, np.int32),
            quota=rng.choice([1.0, customers / 3, np.inf], offers),
            quota_kind=rng.integers(0, 2, offers).astype(np.uint8),
        ),
        Limits(
            np.full(funders, 3_000.0 * customers),
            np.array([customers // 2, customers // 3]),
            np.array([2, 1]),
            np.array([50.0, 10.0]),
            np.array([1.0, 0.6]),
        ),
    )


def within_all_limits(found, offers, limits, further=()):
    chosen = found.chosen
    amount = np.where(offers.quota_kind[chosen.offer] == SENT, 1.0, chosen.p1)
    assert (np.bincount(chosen.offer, amount, len(offers)) <= offers.quota).all()
    assert (chosen.costs.sum(axis=0) <= limits.budgets).all()
    sends = chosen.channel[chosen.position == 1]
    assert (np.bincount(sends, minlength=len(limits.capacity)) <= limits.capacity).all()
    for limit, used in zip(further, found.used.further, strict=True):
        assert used >= limit.amount * (1 - 1e-9) if limit.at_least else used <= limit.amount
    certificate = found.certificate
    assert certificate.worst_violation == 0
    assert certificate.value <= certificate.bound * (1 + 1e-12) + 1e-9
    assert np.isfinite(certificate.bound)


def extreme(rng, size, *more):
    return rng.choice([0.0, 1e-300, 1e-9, 1.0, 1e9, *more], size=size)


@settings(max_examples=60)
@given(seeds)
def test_numbers_of_any_size_break_nothing(seed):
    rng = np.random.default_rng(seed)
    candidates, offers, limits = a_problem(rng, int(rng.choice([1, 2, 8])), m := int(rng.choice([1, 4])))
    offers = replace(
        offers,
        margin=extreme(rng, m, -1e9, 1e15),
        benefit=extreme(rng, m, 1e15),
        uplift=extreme(rng, m, -1.0, 1e15),
        quota=extreme(rng, m, 1e300, np.inf),
    )
    limits = replace(
        limits,
        budgets=extreme(rng, 2, 1e18, 1e300, np.inf),
        message_cost=extreme(rng, 2, 1e300),
        response=extreme(rng, 2, 1e15),
        capacity=extreme(rng, 2, np.inf),
    )
    further = [
        GroupLimit(
            rng.choice(m, 1 + m // 2, replace=False),
            float(extreme(rng, 1, 3.0, 1e18)[0]),
            int(rng.choice([REDEEMED, SENT])),
            weight=rng.choice([1e-9, 1.0, 1e15], 1 + m // 2),
            at_least=bool(rng.random() < 0.3),
        )
        for _ in range(int(rng.integers(0, 4)))
    ]
    try:
        found = solve(candidates, offers, limits, seed=1, passes=50, further=further)
    except MinimumsError:
        return
    within_all_limits(found, offers, limits, further)


@settings(max_examples=25)
@given(seeds, st.sampled_from(["budgets", "quotas", "capacity", "costs", "benefits", "values", "everything"]))
def test_nothing_at_all_of_something_is_a_problem_too(seed, nothing):
    rng = np.random.default_rng(seed)
    candidates, offers, limits = a_problem(rng, 12, 4)
    m = len(offers)
    if nothing in ("budgets", "everything"):
        limits = replace(limits, budgets=np.zeros(2))
    if nothing in ("quotas", "everything"):
        offers = replace(offers, quota=np.zeros(m))
    if nothing in ("capacity", "everything"):
        limits = replace(limits, capacity=np.zeros(2))
    if nothing == "costs":
        limits = replace(limits, message_cost=np.zeros(2))
    if nothing == "benefits":
        offers = replace(offers, benefit=np.zeros(m))
    if nothing == "values":
        offers = replace(offers, margin=-offers.margin)
    found = solve(candidates, offers, limits, seed=1)
    within_all_limits(found, offers, limits)
    if nothing in ("quotas", "capacity", "values", "everything"):
        assert len(found.chosen) == 0
        assert found.certificate.bound == pytest.approx(0, abs=1e-6)
    elif nothing in ("costs", "benefits"):
        assert found.value > 0


def test_where_all_are_alike_limits_are_used_to_the_last():
    candidates, offers, limits = a_problem(np.random.default_rng(1), 3_000, 4, tied=True)
    free = replace(limits, budgets=np.full(2, np.inf), capacity=np.array([700, 200]))
    offers = replace(offers, quota=np.full(4, 300.0), quota_kind=np.full(4, SENT, np.uint8))
    candidates = replace(candidates, p0=np.full(candidates.pairs, 0.2, np.float32))
    offers = replace(offers, group=np.arange(4, dtype=np.int32), retailer_share=np.zeros(4))
    found = solve(candidates, offers, free, seed=1, passes=200)
    within_all_limits(found, offers, free)
    assert found.used.quota.tolist() == [300, 300, 300, 300]
    assert found.certificate.gap < 1e-3


@settings(max_examples=10)
@given(seeds, st.booleans())
def test_whoever_comes_first_gains_nothing_by_it(seed, tied):
    """The order that is worst for those who serve in order: the customers who lose least by waiting come first."""
    rng = np.random.default_rng(seed)
    candidates, offers, limits = a_problem(rng, 30, 3, tied=tied)
    found = solve(candidates, offers, limits, seed=1)
    rows = np.argsort(candidates.p0.reshape(30, 3).max(axis=1))
    worst = replace(
        candidates,
        offer=candidates.offer.reshape(30, 3)[rows].reshape(-1),
        p0=candidates.p0.reshape(30, 3)[rows].reshape(-1),
        keys=candidates.keys[rows],
    )
    again = solve(worst, offers, limits, seed=1)
    assert sorted(candidates.keys[found.chosen.customer]) == sorted(worst.keys[again.chosen.customer])
    assert again.certificate == found.certificate
    assert first_come(worst, offers, limits).value <= found.value * (1 + 1e-9)


def test_a_hundred_thousand_offers_for_few_customers():
    rng = np.random.default_rng(2)
    candidates, offers, limits = a_problem(rng, 4, 100_000, per=20_000)
    assert candidates.offer.dtype == np.uint32
    limits = replace(limits, capacity=np.array([2, 2]))
    found = solve(candidates, offers, limits, seed=1, passes=60)
    within_all_limits(found, offers, limits)
    assert found.certificate.gap < 0.05


def test_more_offers_than_customers_can_use_have_the_relaxations_bound():
    candidates, offers, limits = a_problem(np.random.default_rng(5), 150, 20_000, per=300)
    offers = replace(offers, quota=np.random.default_rng(6).choice([0.5, 1.0, 2.0], 20_000))
    found = solve(candidates, offers, limits, seed=1)
    within_all_limits(found, offers, limits)
    assert found.certificate.passes == 1
    assert found.certificate.gap < 0.05


def test_one_offer_for_everybody_goes_to_those_who_gain_most():
    candidates, offers, limits = a_problem(np.random.default_rng(3), 1_000, 1, funders=1)
    offers = replace(offers, quota=np.array([50.0]), quota_kind=np.array([SENT], np.uint8))
    limits = replace(limits, budgets=np.array([np.inf]), response=np.ones(2), message_cost=np.zeros(2))
    offers = replace(offers, retailer_share=np.zeros(1))
    found = solve(candidates, offers, limits, seed=1)
    assert sorted(found.chosen.customer.tolist()) == sorted(np.argsort(-candidates.p0)[:50].tolist())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["p0", "margin", "benefit", "uplift", "shares", "retailer_share", "cost", "response"])
def test_numbers_that_are_none_are_refused_by_name(where, bad):
    candidates, offers, limits = a_problem(np.random.default_rng(4), 3, 2)
    if where == "p0":
        problem = replace(candidates, p0=np.full(6, bad, np.float32)), offers, limits
    elif where in ("cost", "response"):
        name = {"cost": "message_cost"}.get(where, where)
        problem = candidates, offers, replace(limits, **{name: np.full(2, bad)})
    else:
        problem = candidates, replace(offers, **{where: np.full(getattr(offers, where).shape, bad)}), limits
    with pytest.raises(InputError, match=where):
        solve(*problem, seed=1)


def for_all(customers, p0, quota, kind):
    """One offer and one channel for all; nothing is earned by it, and nothing is paid for it."""
    nothing, one = np.zeros(1), np.ones(1)
    return (
        Candidates(
            np.arange(customers + 1),
            np.zeros(customers, np.uint16),
            np.full(customers, p0, np.float32),
            np.ones((customers, 1), bool),
            np.arange(customers, dtype=np.uint64),
        ),
        Offers(
            *(nothing, nothing, one, np.zeros((1, 0)), one, np.zeros(1, np.int32), np.zeros(1, np.int32)),
            *(np.array([quota]), np.array([kind], np.uint8)),
        ),
        Limits(np.zeros(0), np.array([np.inf]), np.ones(1, int), np.array([50.0]), one),
    )


def test_a_minimum_of_what_earns_nothing_costs_its_messages_and_the_bound_knows():
    found = solve(*for_all(30, 0.2, np.inf, SENT), seed=1, further=[GroupLimit(np.zeros(1, int), 3, at_least=True)])
    assert found.value == -150
    assert found.certificate.bound == pytest.approx(-150)
    assert found.certificate.gap == pytest.approx(0)


@pytest.mark.parametrize("customers", [6, 3_000])
def test_what_a_limit_of_0_counts_is_given_to_nobody_however_little_it_would_use(customers):
    candidates, offers, limits = for_all(customers, 1e-40, 0.0, REDEEMED)
    offers = replace(offers, margin=np.array([1e15]), uplift=np.array([1e15]))
    limits = replace(limits, message_cost=np.zeros(1))
    found = solve(candidates, offers, limits, seed=1)
    assert (len(found.chosen), found.certificate.bound) == (0, 0)
    group = GroupLimit(np.zeros(1, int), 0.0, REDEEMED, weight=np.array([1e-9]))
    found = solve(candidates, replace(offers, quota=np.array([np.inf])), limits, seed=1, further=[group])
    assert (len(found.chosen), found.certificate.bound) == (0, 0)
    with pytest.raises(MinimumsError) as refused:
        solve(candidates, offers, limits, seed=1, further=[GroupLimit(np.zeros(1, int), 1, at_least=True)])
    assert refused.value.share == 0


def test_a_minimum_far_beyond_what_is_there_is_refused_with_a_share_of_nothing():
    minimum = GroupLimit(np.zeros(1, int), 3, REDEEMED, at_least=True)
    with pytest.raises(MinimumsError) as refused:
        solve(*for_all(5, 1e-40, np.inf, SENT), seed=1, further=[minimum])
    assert refused.value.share == pytest.approx(0, abs=1e-9)


def test_a_loss_under_a_bound_of_nothing_is_no_gap_of_nothing():
    assert gap_of(0.0, -5.0) == 1
    assert gap_of(0.0, 0.0) == 0


def test_customers_of_a_few_kinds_are_served_nearly_as_well_as_the_bound_says():
    """At any prices all of a kind want the same: only a mix of prices serves them best."""
    rng = np.random.default_rng(7)
    candidates, offers, limits = a_problem(rng, 2_000, 10)
    kind = rng.integers(0, 3, 2_000)
    candidates = replace(
        candidates,
        offer=np.tile(np.arange(10, dtype=np.uint16), 2_000),
        p0=np.repeat(np.array([0.05, 0.2, 0.4], np.float32)[kind], 10),
        groups=kind.astype(np.int32)[:, None],
    )
    offers = replace(
        offers,
        margin=np.full(10, 50_000.0),
        benefit=np.full(10, 5_000.0),
        group=np.arange(10, dtype=np.int32),
        quota=np.full(10, 30.0),
        quota_kind=np.full(10, REDEEMED, np.uint8),
    )
    limits = replace(limits, budgets=np.array([90_000.0, 200_000.0]), capacity=np.array([300, 200]))
    further = [GroupLimit(np.arange(5), 20, SENT, 1), GroupLimit(np.arange(3, 8), 9, REDEEMED, 2)]
    found = solve(candidates, offers, limits, seed=1, further=further)
    within_all_limits(found, offers, limits, further)
    assert found.certificate.gap < 0.025


def test_pairs_that_might_be_worth_more_than_numbers_go_are_among_the_highest() -> None:
    offer, p0 = np.arange(5, dtype=np.uint16), np.array([0.9, 0.1, 0.9, 0.5, 0.9], np.float32)
    gain, fee = np.full((1, 5, 1), 3e38, np.float32), np.array([[-3e38, 3e38, -np.inf, 3e38, -3e38]], np.float32)
    keys = highest(np.uint64(0), 0, 5, np.arange(5), offer, p0, gain, fee)
    assert all(np.isfinite(keys))
    assert sorted(key.view(np.int32) & PLACES for key in np.array(keys[:3], np.float32)) == [0, 2, 4]
    assert all(at_most(np.float32(key)) >= MOST for key in keys[:3])
