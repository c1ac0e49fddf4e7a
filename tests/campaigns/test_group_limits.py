from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from campaigns.allocation import (
    REDEEMED,
    SENT,
    Candidates,
    GroupLimit,
    Limits,
    MinimumsError,
    Offers,
    at_prices,
    solve,
)
from campaigns.value import funder_costs, pair_value, purchase_probability
from recsys.tables import InputError

quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def an_instance(seed, customers=30, m=4, *, minimums=True):
    """A random problem without exclusion groups, with customers in groups 0–2 and 10–11: (its arrays, group limits)."""
    rng = np.random.default_rng(seed)
    has = rng.random((customers, m)) < 0.8
    offer = np.broadcast_to(np.arange(m), has.shape)[has].astype(np.uint16)
    groups = np.column_stack([rng.integers(0, 3, customers), rng.integers(9, 12, customers)]).astype(np.int32)
    groups[groups == 9] = -1
    candidates = Candidates(
        np.concatenate([[0], has.sum(axis=1).cumsum()]).astype(np.int64),
        offer,
        rng.beta(1, 5, size=len(offer)).astype(np.float32),
        rng.random((customers, 2)) < [0.9, 0.6],
        rng.permutation(customers).astype(np.uint64),
        groups=groups,
    )
    own = rng.choice([0, 0.5], size=m)
    offers = Offers(
        margin=rng.uniform(5_000, 90_000, m),
        benefit=rng.uniform(2_000, 40_000, m),
        uplift=rng.choice([0.1, 0.5, 2.0], size=m),
        shares=np.column_stack([own, 1 - own]),
        retailer_share=own,
        group=np.arange(m, dtype=np.int32),
        priority=np.zeros(m, np.int32),
        quota=rng.choice([customers / 4, np.inf], size=m),
        quota_kind=rng.integers(0, 2, m).astype(np.uint8),
    )
    limits = Limits(
        budgets=rng.choice([20_000.0, 90_000.0, np.inf], size=2) * customers / 30,
        capacity=np.floor(rng.choice([0.3, 0.6], size=2) * customers),
        positions=np.array([2, 1]),
        message_cost=np.array([50.0, 10.0]),
        response=np.array([1.0, 0.6]),
    )
    further = [
        GroupLimit(
            np.flatnonzero(rng.random(m) < 0.6),
            float(rng.choice([0, 2.5, customers / 8])),
            int(rng.choice([REDEEMED, SENT])),
            group,
        )
        for group in (-1, 0, 1, 10)
    ]
    weighted = np.arange(m)
    further.append(GroupLimit(weighted, 20_000.0, REDEEMED, 11, weight=rng.uniform(1, 9_000, m)))
    for group in (-1, 2) if minimums else ():
        kind = int(rng.choice([REDEEMED, SENT]))
        amount = float(rng.choice([0, 1, 3]) * (0.2 if kind == REDEEMED else 1))
        further.append(GroupLimit(rng.choice(m, 2, replace=False), amount, kind, group, at_least=True))
    return (candidates, offers, limits), further


def used_by(candidates, customer, offer, p1, limit):
    each = np.ones(len(limit.offers)) if limit.weight is None else limit.weight
    weight = dict(zip(limit.offers.tolist(), each.tolist(), strict=True))
    counted = [
        weight.get(int(j), 0.0) * (1.0 if limit.kind == SENT else p)
        for i, j, p in zip(customer, offer, p1, strict=True)
        if limit.group < 0 or limit.group in candidates.groups[i]
    ]
    return sum(counted)


def the_linear_program(candidates, offers, limits, further):
    """The optimum of the relaxation, by HiGHS; None where the minimums cannot be met."""
    columns, gain = [], []
    for i in range(candidates.customers):
        for c in np.flatnonzero(candidates.channel_ok[i]):
            columns.append((i, c, -1, 0.0))
            gain.append(-limits.message_cost[c])
            for e in range(candidates.indptr[i], candidates.indptr[i + 1]):
                j, p0 = int(candidates.offer[e]), float(candidates.p0[e])
                p1 = float(purchase_probability(p0, offers.uplift[j], limits.response[c]))
                columns.append((i, c, j, p1))
                gain.append(float(pair_value(p0, p1, offers.margin[j], offers.benefit[j], offers.retailer_share[j])))
    i, c, j, p = (np.array(column) for column in zip(*columns, strict=True))
    z = j < 0
    rows, right = [], []

    def add(row, limit):
        if np.isfinite(limit):
            rows.append(row)
            right.append(limit)

    for customer in range(candidates.customers):
        add((i == customer) & z, 1)
        for channel in range(2):
            here = (i == customer) & (c == channel)
            add(np.where(here, np.where(z, -limits.positions[channel], 1), 0), 0)
            for offer in range(len(offers)):
                add(np.where(here, np.where(z, -1, j == offer), 0), 0)
    for channel in range(2):
        add(z & (c == channel), limits.capacity[channel])
    for offer in range(len(offers)):
        sent = offers.quota_kind[offer] == SENT
        quota = np.floor(offers.quota[offer]) if sent else offers.quota[offer]
        add((j == offer) * (1.0 if sent else p), quota)
    for f in range(2):
        add(np.where(z, 0, np.ceil(p * (offers.benefit * offers.shares[:, f])[j])), limits.budgets[f])
    for limit in further:
        row = [0.0 if k < 0 else used_by(candidates, [a], [k], [q], limit) for a, k, q in zip(i, j, p, strict=True)]
        sign = -1 if limit.at_least else 1
        whole = limit.kind == SENT and limit.weight is None
        add(sign * np.array(row), np.floor(sign * limit.amount) if whole else sign * limit.amount)
    found = linprog(-np.array(gain), np.array(rows, float), np.array(right, float), bounds=(0, 1), method="highs")
    assert found.status in (0, 2)
    return None if found.status == 2 else -found.fun


def the_optimum(candidates, offers, limits, further):
    """The best value of whole decisions, by trying all of them, None where none meets the minimums; and the largest
    share of all minimums that some meet at once."""
    options = []
    for i in range(candidates.customers):
        mine = [(0.0, np.zeros(len(offers)), np.zeros(2), np.zeros(2), np.zeros(len(further)))]
        for c in np.flatnonzero(candidates.channel_ok[i]):
            for size in range(1, limits.positions[c] + 1):
                for message in combinations(range(candidates.indptr[i], candidates.indptr[i + 1]), size):
                    j = candidates.offer[list(message)].astype(int)
                    p0 = candidates.p0[list(message)].astype(float)
                    p1 = purchase_probability(p0, offers.uplift[j], limits.response[c])
                    worth = pair_value(p0, p1, offers.margin[j], offers.benefit[j], offers.retailer_share[j]).sum()
                    quota = np.bincount(j, np.where(offers.quota_kind[j] == SENT, 1.0, p1), minlength=len(offers))
                    cost = funder_costs(p1, offers.benefit[j], offers.shares[j]).sum(axis=0)
                    more = np.array([used_by(candidates, [i] * size, j, p1, limit) for limit in further])
                    mine.append((worth - limits.message_cost[c], quota, cost, np.eye(2)[c], more))
        options.append(mine)
    best, share = None, 0.0
    sign = np.array([-1 if limit.at_least else 1 for limit in further])
    amount = np.array([limit.amount for limit in further])
    for choice in product(*options):
        worth, quota, cost, messages, more = (sum(part) for part in zip(*choice, strict=True))
        within = (
            (quota <= offers.quota).all() and (cost <= limits.budgets).all() and (messages <= limits.capacity).all()
        )
        if not within or (sign * (more - amount) > 0)[sign > 0].any():
            continue
        met = np.where(amount > 0, more / np.maximum(amount, 1e-300), 1.0)[sign < 0].min(initial=1.0)
        share = max(share, float(met))
        if met == 1 and (best is None or worth > best):
            best = worth
    return best, share


@quick
@given(seeds)
def test_no_group_limit_is_broken_and_minimums_are_met_or_refused(seed):
    problem, further = an_instance(seed, customers=20)
    try:
        found = solve(*problem, seed=seed, passes=60, further=further)
    except MinimumsError:
        return
    chosen, candidates = found.chosen, problem[0]
    assert found.certificate.worst_violation == 0
    assert found.value <= found.certificate.bound
    for limit, told in zip(further, found.used.further, strict=True):
        used = used_by(candidates, chosen.customer, chosen.offer, chosen.p1, limit)
        assert told == pytest.approx(used, rel=1e-6, abs=1e-6)
        assert used >= limit.amount - 1e-9 if limit.at_least else used <= limit.amount + 1e-9
    assert (chosen.costs.sum(axis=0) <= problem[2].budgets).all()


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_the_bound_is_the_optimum_of_the_relaxation_with_every_kind_of_limit(seed):
    problem, further = an_instance(seed, customers=12)
    optimum = the_linear_program(*problem, further)
    try:
        found = solve(*problem, seed=1, further=further)
    except MinimumsError:
        return
    assert optimum is not None
    assert found.certificate.bound == pytest.approx(optimum, rel=1e-6, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_minimums_are_met_at_the_best_value_or_refused_with_the_share_that_can_be_met(seed):
    problem, further = an_instance(seed, customers=3, m=3)
    optimum, share = the_optimum(*problem, further)
    if optimum is None:
        with pytest.raises(MinimumsError) as refused:
            solve(*problem, seed=1, further=further)
        assert refused.value.share >= share - 1e-6
        assert "whole messages" not in str(refused.value) or refused.value.share == pytest.approx(share, abs=1e-6)
        return
    found = solve(*problem, seed=1, further=further).certificate
    assert found.value == pytest.approx(optimum, rel=1e-4, abs=1e-6)
    assert optimum <= found.bound + 1e-6


@pytest.mark.parametrize(("seed", "customers", "m"), [(253, 4, 2), (80, 6, 3)])
def test_minimums_that_no_order_of_customers_meets_are_met_where_whole_decisions_can(seed, customers, m):
    problem, further = an_instance(seed, customers=customers, m=m)
    chosen = solve(*problem, seed=1, further=further).chosen
    for limit in further:
        if limit.at_least:
            assert used_by(problem[0], chosen.customer, chosen.offer, chosen.p1, limit) >= limit.amount


@pytest.mark.parametrize("customers", [8, 2_000])
def test_a_budget_of_a_group_weighs_cheap_offers_as_little_as_they_cost(customers):
    """One offer costs a hundredth of the other. Where the budget is scarce, its price has to reach the cheap one."""
    candidates, offers, limits = one_offer(customers, np.linspace(0.2, 0.4, customers))
    both = replace(
        candidates,
        indptr=np.arange(0, 2 * customers + 1, 2),
        offer=np.tile(np.array([0, 1], np.uint16), customers),
        p0=np.repeat(candidates.p0, 2),
    )
    names = ("margin", "benefit", "uplift", "shares", "retailer_share", "group", "priority", "quota", "quota_kind")
    offers = replace(offers, **{name: np.repeat(getattr(offers, name), 2, axis=0) for name in names})
    offers = replace(offers, margin=np.array([50_000.0, 50_000.0]), benefit=np.zeros(2))
    budget = GroupLimit(np.array([0, 1]), 150.0, SENT, weight=np.array([10_000.0, 100.0]))
    found = solve(both, offers, limits, seed=1, further=[budget])
    assert len(found.chosen) == 1
    assert found.chosen.offer.tolist() == [1]
    assert found.certificate.bound == pytest.approx(1.5 * found.value, rel=0.05)


@quick
@given(seeds)
def test_rows_in_another_order_and_more_threads_change_no_decision(seed):
    (candidates, offers, limits), further = an_instance(seed, customers=15, minimums=False)
    rows = np.random.default_rng(seed).permutation(candidates.customers)
    pairs = [np.arange(candidates.indptr[i], candidates.indptr[i + 1]) for i in rows]
    shuffled = Candidates(
        np.concatenate([[0], np.cumsum([len(one) for one in pairs])]).astype(np.int64),
        candidates.offer[np.concatenate(pairs)],
        candidates.p0[np.concatenate(pairs)],
        candidates.channel_ok[rows],
        candidates.keys[rows],
        groups=candidates.groups[rows],
    )
    one = solve(candidates, offers, limits, seed=1, passes=30, further=further, threads=1)
    other = solve(shuffled, offers, limits, seed=1, passes=30, further=further, threads=2)
    found = [
        sorted(zip(keys[s.chosen.customer].tolist(), s.chosen.channel.tolist(), s.chosen.offer.tolist(), strict=True))
        for s, keys in ((one, candidates.keys), (other, shuffled.keys))
    ]
    assert found[0] == found[1]
    assert one.certificate == other.certificate


def one_offer(customers, p0=0.2, **limits):
    """An offer for all that earns less than nothing."""
    return (
        Candidates(
            np.arange(customers + 1, dtype=np.int64),
            np.zeros(customers, np.uint16),
            np.broadcast_to(np.float32(p0), customers).copy(),
            np.ones((customers, 1), bool),
            np.arange(customers, dtype=np.uint64),
            groups=(np.arange(customers) % 4).astype(np.int32)[:, None],
        ),
        Offers(
            *(np.array([amount]) for amount in (1_000.0, 5_000.0, 1.0)),
            np.array([[1.0]]),
            np.array([1.0]),
            np.zeros(1, np.int32),
            np.zeros(1, np.int32),
            np.array([limits.get("quota", np.inf)]),
            np.array([SENT], np.uint8),
        ),
        Limits(
            np.array([limits.get("budget", np.inf)]),
            np.array([limits.get("capacity", np.inf)]),
            np.array([1]),
            np.array([0.0]),
            np.array([1.0]),
        ),
    )


OFFER = np.array([0])


def test_a_minimum_is_met_at_the_least_loss():
    problem = one_offer(100, np.linspace(0.01, 0.5, 100))
    found = solve(*problem, seed=1, further=[GroupLimit(OFFER, 7, at_least=True)])
    assert found.chosen.customer.tolist() == list(range(7))
    assert found.value < 0
    assert found.value <= found.certificate.bound <= found.value * 0.98
    assert found.prices.further[0] > 0


@pytest.mark.parametrize(
    ("minimum", "limits", "share"),
    [
        (GroupLimit(OFFER, 200, at_least=True), {}, 0.5),
        (GroupLimit(OFFER, 50, group=1, at_least=True), {}, 0.5),
        (GroupLimit(OFFER, 50, group=7, at_least=True), {}, 0.0),
        (GroupLimit(OFFER, 80, REDEEMED, at_least=True), {}, 0.5),
        (GroupLimit(OFFER, 50, at_least=True), {"budget": 50_000}, 0.5),
        (GroupLimit(OFFER, 50, at_least=True), {"capacity": 25}, 0.5),
        (GroupLimit(OFFER, 50, at_least=True), {"quota": 25.0}, 0.5),
        (GroupLimit(OFFER, 50, at_least=True), {"quota": 0.0}, 0.0),
    ],
)
def test_a_minimum_beyond_what_is_there_is_refused_with_the_share_that_can_be_met(minimum, limits, share):
    with pytest.raises(MinimumsError, match="at once") as refused:
        solve(*one_offer(100, **limits), seed=1, further=[minimum])
    assert refused.value.share == pytest.approx(share, abs=0.01)


def test_minimums_that_exclude_each_other_are_refused_together():
    minimums = [GroupLimit(OFFER, 20, group=g, at_least=True) for g in (0, 1)]
    with pytest.raises(MinimumsError, match="each could be met by itself") as refused:
        solve(*one_offer(100, capacity=30), seed=1, further=minimums)
    assert refused.value.share == pytest.approx(0.75, abs=0.01)


def test_the_least_possible_minimum_is_met_to_the_last_customer():
    found = solve(*one_offer(100), seed=1, further=[GroupLimit(OFFER, 100, at_least=True)])
    assert len(found.chosen) == 100


def test_a_limit_of_a_group_stops_only_that_group_and_a_limit_of_0_everybody_in_it():
    candidates, offers, limits = one_offer(100)
    offers = replace(offers, margin=np.array([50_000.0]))
    further = [GroupLimit(OFFER, 3, group=0), GroupLimit(OFFER, 0, group=1)]
    found = solve(candidates, offers, limits, seed=1, further=further)
    assert np.bincount(found.chosen.customer % 4).tolist() == [3, 0, 25, 25]
    assert found.used.further.tolist() == [3, 0]
    ghosts = at_prices(candidates, offers, limits, found.prices, further)
    assert not (ghosts.customer % 4 == 1).any()


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (GroupLimit(np.array([1]), 1), "an offer that there is not"),
        (GroupLimit(np.array([0, 0]), 1), "an offer twice"),
        (GroupLimit(OFFER, -1), "0 or more"),
        (GroupLimit(OFFER, float("nan")), "0 or more"),
        (GroupLimit(OFFER, np.inf, at_least=True), "finite minimum"),
        (GroupLimit(OFFER, 1, weight=np.array([0.0])), "a weight from"),
    ],
)
def test_group_limits_that_cannot_be_are_named(limit, message):
    with pytest.raises(InputError, match=message):
        solve(*one_offer(3), seed=1, further=[limit])
