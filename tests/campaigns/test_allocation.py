from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from campaigns.allocation import (
    REDEEMED,
    SENT,
    Candidates,
    GroupLimit,
    Limits,
    Offers,
    Prices,
    at_prices,
    first_come,
    solve,
)
from campaigns.allocation.dual import evaluate, search
from campaigns.allocation.prepared import prepare
from campaigns.value import funder_costs, pair_value, purchase_probability
from recsys.tables import InputError

quick = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def an_instance(seed, customers=16, offers=5, funders=2, *, coarse=False, fallback=False):
    """A random problem. coarse: few different numbers, so that ties abound."""
    rng = np.random.default_rng(seed)
    has = rng.random((customers, offers)) < 0.7
    offer = np.broadcast_to(np.arange(offers), has.shape)[has].astype(np.uint16)
    p0 = rng.choice([0, 0.1, 0.5, 1], size=len(offer)) if coarse else rng.beta(1, 9, size=len(offer))
    shares = np.zeros((offers, funders))
    own = rng.choice([0, 0.5, 1], size=offers)
    if funders:
        shares[:, 0] = own
        shares[np.arange(offers), rng.integers(0, funders, offers)] += 1 - own
    money = (lambda: np.full(offers, 20_000.0)) if coarse else (lambda: rng.uniform(5_000, 90_000, offers))
    kind = rng.integers(0, 2, offers).astype(np.uint8)
    return (
        Candidates(
            np.concatenate([[0], has.sum(axis=1).cumsum()]).astype(np.int64),
            offer,
            p0.astype(np.float32),
            rng.random((customers, 2)) < [0.8, 0.6],
            rng.permutation(customers).astype(np.uint64),
        ),
        Offers(
            margin=money(),
            benefit=money() * 0.4,
            uplift=rng.choice([0.0, 0.5, 2.0], size=offers),
            shares=shares,
            retailer_share=own,
            group=rng.integers(0, offers, offers).astype(np.int32),
            priority=rng.integers(0, 2, offers).astype(np.int32),
            quota=rng.choice([0, 2.5, customers / 4, np.inf], size=offers, p=[0.1, 0.3, 0.4, 0.2]),
            quota_kind=kind,
            fallback=int(rng.integers(0, offers)) if fallback else -1,
        ),
        Limits(
            budgets=rng.choice([0, 9_000.5, 60_000, np.inf], size=funders, p=[0.1, 0.4, 0.4, 0.1]),
            capacity=rng.choice([0, customers // 4, customers // 2], size=2, p=[0.1, 0.5, 0.4]),
            positions=np.array([2, 1]),
            message_cost=rng.choice([0.0, 50.0], size=2),
            response=np.array([1.0, 0.6]),
        ),
    )


def used_by(chosen, offers, limits):
    """Quotas, budgets and capacities used, added up from the decisions alone."""
    amount = np.where(offers.quota_kind[chosen.offer] == SENT, 1.0, chosen.p1)
    quota = np.bincount(chosen.offer, weights=amount, minlength=len(offers))
    first = chosen.position == 1
    return quota, chosen.costs.sum(axis=0), np.bincount(chosen.channel[first], minlength=len(limits.capacity))


def the_linear_program(candidates, offers, limits):
    """The optimum of the relaxation, by HiGHS: a variable for each message (z) and each offer; a fallback is both."""
    gain, rows, bounds = [], [], []
    columns = []  # (customer, channel, offer or "z", p1)
    for i in range(candidates.customers):
        for c in np.flatnonzero(candidates.channel_ok[i]):
            columns.append((i, c, "z", 0.0))
            gain.append(-limits.message_cost[c])
            for e in range(candidates.indptr[i], candidates.indptr[i + 1]):
                j, p0 = int(candidates.offer[e]), float(candidates.p0[e])
                p1 = float(purchase_probability(p0, offers.uplift[j], limits.response[c]))
                columns.append((i, c, j, p1))
                worth = pair_value(p0, p1, offers.margin[j], offers.benefit[j], offers.retailer_share[j])
                gain.append(float(worth) - (limits.message_cost[c] if j == offers.fallback else 0))
    if not columns:
        return 0.0

    def add(coefficient, limit):
        if np.isfinite(limit):
            rows.append([coefficient(*column) for column in columns])
            bounds.append(limit)

    def message(j):
        return j in ("z", offers.fallback)

    for i in range(candidates.customers):
        add(lambda a, c, j, p, i=i: float(a == i and message(j)), 1)
        for c in range(2):
            plain = [j for a, b, j, _ in columns if (a, b) == (i, c) and not message(j)]
            for subset, most in [(plain, limits.positions[c]), *(([j], 1) for j in plain)] + [
                ([j for j in plain if offers.group[j] == g], 1) for g in np.unique(offers.group)
            ]:
                add(lambda a, b, j, p, i=i, c=c, s=subset, k=most: (a, b) == (i, c) and (j in s) - k * (j == "z"), 0)
    for c in range(2):
        add(lambda a, b, j, p, c=c: float(b == c and message(j)), np.floor(limits.capacity[c]))
    for j in range(len(offers)):
        sent = offers.quota_kind[j] == SENT
        add(
            lambda a, b, k, p, j=j, s=sent: (k == j) * (1.0 if s else p),
            np.floor(offers.quota[j]) if sent else offers.quota[j],
        )
    for f in range(len(limits.budgets)):
        add(
            lambda a, b, j, p, f=f: 0.0 if j == "z" else np.ceil(p * (offers.benefit[j] * offers.shares[j, f])),
            np.floor(limits.budgets[f]),
        )
    found = linprog(
        -np.array(gain), np.array(rows, dtype=float), np.array(bounds, dtype=float), bounds=(0, 1), method="highs"
    )
    assert found.success
    return -found.fun


def the_optimum(candidates, offers, limits):
    """The best value of whole decisions, by trying all of them."""
    options = []
    for i in range(candidates.customers):
        mine = [(0.0, np.zeros(len(offers)), np.zeros(len(limits.budgets)), np.zeros(2))]
        for c in np.flatnonzero(candidates.channel_ok[i]):
            pairs = range(candidates.indptr[i], candidates.indptr[i + 1])
            for size in range(1, limits.positions[c] + 1):
                for message in combinations(pairs, size):
                    j = candidates.offer[list(message)].astype(int)
                    if len(set(offers.group[j])) < size or (size > 1 and offers.fallback in j):
                        continue
                    p0 = candidates.p0[list(message)].astype(float)
                    p1 = purchase_probability(p0, offers.uplift[j], limits.response[c])
                    worth = pair_value(p0, p1, offers.margin[j], offers.benefit[j], offers.retailer_share[j]).sum()
                    quota = np.bincount(j, np.where(offers.quota_kind[j] == SENT, 1.0, p1), minlength=len(offers))
                    cost = funder_costs(p1, offers.benefit[j], offers.shares[j]).sum(axis=0)
                    mine.append((worth - limits.message_cost[c], quota, cost, np.eye(2)[c]))
        options.append(mine)
    best = 0.0
    for choice in product(*options):
        worth, quota, cost, messages = (sum(part) for part in zip(*choice, strict=True))
        if (quota <= offers.quota).all() and (cost <= limits.budgets).all() and (messages <= limits.capacity).all():
            best = max(best, worth)
    return best


@quick
@given(seeds, st.booleans(), st.booleans(), st.integers(0, 3))
def test_no_limit_is_ever_broken_and_the_value_never_exceeds_the_bound(seed, coarse, fallback, funders):
    candidates, offers, limits = an_instance(seed, customers=20, funders=funders, coarse=coarse, fallback=fallback)
    found = solve(candidates, offers, limits, seed=seed, passes=40)
    for solution in (found, first_come(candidates, offers, limits)):
        chosen = solution.chosen
        quota, budgets, capacity = used_by(chosen, offers, limits)
        assert (quota <= offers.quota).all()
        assert (budgets <= limits.budgets).all()
        assert (capacity <= limits.capacity).all()
        assert solution.used.quota == pytest.approx(quota, rel=1e-6)
        assert solution.used.budgets.tolist() == budgets.tolist()
        assert solution.used.capacity.tolist() == capacity.tolist()
        assert solution.certificate.worst_violation == 0
        assert solution.certificate.value <= found.certificate.bound

        assert candidates.channel_ok[chosen.customer, chosen.channel].all()
        assert (chosen.position <= limits.positions[chosen.channel]).all()
        messages = {}
        for i, c, j in zip(chosen.customer, chosen.channel, chosen.offer, strict=True):
            messages.setdefault(int(i), []).append((int(c), int(j)))
        for message in messages.values():
            assert len({c for c, _ in message}) == 1
            assert len({offers.group[j] for _, j in message}) == len(message)
            assert len(message) == 1 or offers.fallback not in {j for _, j in message}


@quick
@given(seeds, st.booleans(), st.booleans(), st.integers(1, 3))
def test_rows_in_another_order_and_more_threads_change_no_decision(seed, coarse, fallback, threads):
    candidates, offers, limits = an_instance(seed, customers=12, coarse=coarse, fallback=fallback)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(candidates.customers)
    slices = [rng.permutation(np.arange(candidates.indptr[i], candidates.indptr[i + 1])) for i in rows]
    pairs = np.concatenate(slices)
    shuffled = Candidates(
        np.concatenate([[0], np.cumsum([len(one) for one in slices])]).astype(np.int64),
        candidates.offer[pairs],
        candidates.p0[pairs],
        candidates.channel_ok[rows],
        candidates.keys[rows],
    )
    one = solve(candidates, offers, limits, seed=1, passes=30, threads=1)
    other = solve(shuffled, offers, limits, seed=1, passes=30, threads=threads)

    def decisions(solution, keys):
        chosen = solution.chosen
        columns = (keys[chosen.customer], chosen.channel, chosen.position, chosen.offer, chosen.p1, chosen.value)
        return sorted(zip(*(column.tolist() for column in columns), strict=True))

    assert decisions(one, candidates.keys) == decisions(other, shuffled.keys)
    assert one.certificate == other.certificate


@quick
@given(seeds, st.booleans(), st.booleans())
def test_offers_in_another_order_change_no_decision(seed, coarse, fallback):
    candidates, offers, limits = an_instance(seed, customers=12, coarse=coarse, fallback=fallback)
    offers = replace(offers, keys=np.arange(len(offers)) * 10)
    order = np.random.default_rng(seed).permutation(len(offers))
    place = np.argsort(order)
    columns = {name: value[order] for name, value in vars(offers).items() if name != "fallback"}
    shuffled = Offers(**columns, fallback=int(place[offers.fallback]) if offers.fallback >= 0 else -1)
    pairs = replace(candidates, offer=place.astype(np.uint16)[candidates.offer])
    group = np.arange(0, len(offers), 2)
    one = solve(candidates, offers, limits, seed=1, further=[GroupLimit(group, 3)])
    other = solve(pairs, shuffled, limits, seed=1, further=[GroupLimit(place[group], 3)])
    assert other.chosen.customer.tolist() == one.chosen.customer.tolist()
    assert other.chosen.channel.tolist() == one.chosen.channel.tolist()
    assert order[other.chosen.offer].tolist() == one.chosen.offer.tolist()
    assert other.used.quota.tolist() == one.used.quota[order].tolist()
    assert other.certificate == one.certificate
    ghosts = at_prices(candidates, offers, limits, one.prices), at_prices(pairs, shuffled, limits, other.prices)
    assert order[ghosts[1].offer].tolist() == ghosts[0].offer.tolist()


def test_threads_over_many_pairs_change_nothing():
    candidates, offers, limits = an_instance(5, customers=30_000, offers=6)
    one, two = (solve(candidates, offers, limits, seed=1, passes=5, threads=threads) for threads in (1, 3))
    assert one.certificate == two.certificate
    assert one.chosen.pair.tolist() == two.chosen.pair.tolist()


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans(), st.booleans())
@example(147571, False, False)
def test_the_bound_is_the_optimum_of_the_relaxation(seed, coarse, fallback):
    candidates, offers, limits = an_instance(seed, customers=12, offers=4, coarse=coarse, fallback=fallback)
    found = solve(candidates, offers, limits, seed=1)
    optimum = the_linear_program(candidates, offers, limits)
    assert found.certificate.bound == pytest.approx(optimum, rel=1e-6, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seeds, st.booleans(), st.booleans())
def test_few_customers_get_the_best_of_all_decisions(seed, coarse, fallback):
    candidates, offers, limits = an_instance(seed, customers=4, offers=3, coarse=coarse, fallback=fallback)
    found = solve(candidates, offers, limits, seed=1).certificate
    optimum = the_optimum(candidates, offers, limits)
    assert optimum * (1 - 1e-4) <= found.value <= optimum + 1e-6
    assert optimum <= found.bound + 1e-6


@quick
@given(seeds, st.booleans(), st.booleans())
def test_any_prices_give_a_true_bound(seed, coarse, fallback):
    candidates, offers, limits = an_instance(seed, customers=12, offers=4, coarse=coarse, fallback=fallback)
    problem = prepare(candidates, offers, limits)
    rng = np.random.default_rng(seed)
    optimum = the_linear_program(candidates, offers, limits)
    for vector in (problem.highest * rng.random(len(problem.limit)), 0 * problem.highest):
        assert evaluate(problem, vector).bound >= optimum * (1 - 1e-9)
    for passes in (1, 10, 100):
        assert search(problem, passes).bound >= optimum * (1 - 1e-9)


@quick
@given(seeds, st.data())
def test_the_bound_never_falls_when_a_limit_grows(seed, data):
    candidates, offers, limits = an_instance(seed, customers=12)
    name = data.draw(st.sampled_from(["quota", "budgets", "capacity"]))
    grown = replace(offers, quota=offers.quota * 1.5 + 1), limits
    if name != "quota":
        grown = offers, replace(limits, **{name: getattr(limits, name) * 1.5 + 1})
    before, after = (solve(candidates, *problem, seed=1).certificate for problem in ((offers, limits), grown))
    assert after.bound >= before.bound * (1 - 1e-9)


@quick
@given(seeds, st.booleans())
def test_without_limits_everyone_gets_their_best_message_and_the_gap_is_nothing(seed, coarse):
    candidates, offers, limits = an_instance(seed, coarse=coarse)
    offers = replace(offers, quota=np.full(len(offers), np.inf))
    limits = replace(limits, budgets=np.full(2, np.inf), capacity=np.full(2, np.inf))
    found = solve(candidates, offers, limits, seed=1)
    assert found.certificate.passes == 1
    assert found.certificate.gap < 1e-9
    free = Prices(np.zeros(len(offers)), np.zeros(2), np.zeros(2))
    assert at_prices(candidates, offers, limits, free).pair.tolist() == found.chosen.pair.tolist()
    assert first_come(candidates, offers, limits).value == pytest.approx(found.value)


def plain(
    customers, p0, *, quota=np.inf, kind=REDEEMED, budget=np.inf, capacity=np.inf, margin=50_000.0, benefit=10_000.0
):
    """One offer for all, paid for by another, on one channel."""
    return (
        Candidates(
            np.arange(customers + 1, dtype=np.int64),
            np.zeros(customers, np.uint16),
            np.broadcast_to(np.float32(p0), customers).copy(),
            np.ones((customers, 1), bool),
            np.arange(customers, dtype=np.uint64),
        ),
        Offers(
            *(np.array([amount]) for amount in (margin, benefit, 1.0)),
            np.array([[1.0]]),
            np.array([0.0]),
            np.zeros(1, np.int32),
            np.zeros(1, np.int32),
            np.array([float(quota)]),
            np.array([kind], np.uint8),
        ),
        Limits(np.array([float(budget)]), np.array([float(capacity)]), np.array([1]), np.array([0.0]), np.array([1.0])),
    )


@pytest.mark.parametrize(
    ("limits", "messages"),
    [
        ({"budget": 0}, 0),
        ({"quota": 0}, 0),
        ({"quota": 0, "kind": SENT}, 0),
        ({"capacity": 0}, 0),
        ({"quota": 7, "kind": SENT}, 7),
        ({"quota": 7.9, "kind": SENT}, 7),
        ({"quota": 7}, 17),  # p1 is 0.4
        ({"budget": 20_000}, 4),  # 4,001 each, since a float32 of 0.2 is a little more
        ({"capacity": 3}, 3),
        ({}, 20),
        ({"budget": 0, "benefit": 0.0}, 20),
        ({"margin": 0.0}, 0),
    ],
)
def test_a_single_limit_gives_just_what_it_holds_even_where_all_are_tied(limits, messages):
    found = solve(*plain(20, 0.2, **limits), seed=3)
    assert len(found.chosen) == messages
    assert found.certificate.worst_violation == 0


def test_tied_customers_leave_no_more_of_a_quota_than_one_message_would_use():
    found = solve(*plain(5_000, 0.2, quota=400), seed=1)
    assert found.certificate.left_on_the_table <= found.chosen.value[0] * 1.001


def test_which_of_equal_customers_wins_depends_on_the_seed_alone():
    problem = plain(200, 0.2, quota=50, kind=SENT)
    one, same, other = (solve(*problem, seed=seed).chosen.customer.tolist() for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one != list(range(50))


def test_probabilities_of_nothing_and_of_certainty_earn_nothing():
    found = solve(*plain(2, [0.0, 1.0], budget=10_000), seed=1)
    assert len(found.chosen) == 0
    assert found.certificate.bound == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("pairs", [0, 1])
def test_nobody_or_one_customer_is_a_problem_too(pairs):
    found = solve(*plain(pairs, 0.3, budget=100_000), seed=1)
    assert len(found.chosen) == pairs
    assert found.certificate.gap == pytest.approx(0, abs=1e-9)


def test_a_customer_without_candidates_gets_nothing():
    candidates, offers, limits = plain(3, 0.3)
    candidates = replace(
        candidates, indptr=np.array([0, 1, 1, 2]), offer=np.zeros(2, np.uint16), p0=np.full(2, 0.3, np.float32)
    )
    assert solve(candidates, offers, limits, seed=1).chosen.customer.tolist() == [0, 2]


def test_equal_offers_go_by_priority_then_by_their_order():
    candidates, offers, limits = plain(1, 0.3)
    candidates = replace(
        candidates, indptr=np.array([0, 3]), offer=np.array([2, 1, 0], np.uint16), p0=np.full(3, 0.3, np.float32)
    )
    fields = ("margin", "benefit", "uplift", "shares", "retailer_share", "group", "quota", "quota_kind")
    offers = replace(offers, **{name: np.repeat(getattr(offers, name), 3, axis=0) for name in fields})
    for priority, winner in [([0, 0, 0], 0), ([0, 1, 1], 1), ([0, 0, 5], 2)]:
        ranked = replace(offers, priority=np.array(priority, np.int32))
        assert solve(candidates, ranked, limits, seed=1).chosen.offer.tolist() == [winner]


def test_prices_say_what_one_more_would_earn():
    found = solve(*plain(100, np.linspace(0.01, 0.3, 100), quota=10, kind=SENT), seed=1)
    p0 = np.sort(np.linspace(0.01, 0.3, 100))[::-1]
    assert found.chosen.customer.tolist() == list(range(90, 100))
    assert p0[10] * 50_000 * 0.99 <= found.prices.quota[0] <= p0[9] * 50_000 * 1.01
    assert found.prices.budget[0] == 0


def test_starting_from_yesterdays_prices_needs_few_passes():
    candidates, offers, limits = an_instance(11, customers=2_000)
    cold = solve(candidates, offers, limits, seed=1)
    warm = solve(candidates, offers, limits, seed=1, passes=20, warm=cold.prices)
    assert warm.warm
    assert warm.certificate.bound <= cold.certificate.bound * (1 + 1e-6)


def test_prices_of_another_world_lead_nowhere_and_it_is_solved_afresh():
    candidates, offers, limits = an_instance(11, customers=1_000, offers=130)
    offers, limits = replace(offers, quota=np.full(130, 4.5)), replace(limits, positions=np.array([1, 1]))
    cold = solve(candidates, offers, limits, seed=1)
    assert not cold.warm
    absurd = Prices(np.full(130, 1e12), np.full(2, 1e12), np.full(2, 1e12))
    found = solve(candidates, offers, limits, seed=1, warm=absurd)
    assert not found.warm
    assert (found.value, found.certificate.bound) == (cold.value, cold.certificate.bound)


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (Prices(np.zeros(2), np.zeros(1), np.zeros(1)), "quota: expected 1 prices"),
        (Prices(np.zeros(1), np.array([-1.0]), np.zeros(1)), "budget: expected finite prices of 0 or more"),
        (Prices(np.zeros(1), np.zeros(1), np.array([np.nan])), "channel: expected finite prices of 0 or more"),
        (Prices(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(3)), "further: expected 0 prices"),
    ],
)
def test_prices_that_cannot_be_are_named(prices, message):
    with pytest.raises(InputError, match=f"warm.{message}"):
        solve(*plain(3, 0.2), seed=1, warm=prices)
    with pytest.raises(InputError, match=f"prices.{message}".replace("0 prices", "1 prices")):
        at_prices(*plain(3, 0.2), prices, [GroupLimit(np.zeros(1, int), 1)])


def test_ghost_decisions_follow_the_prices_and_use_up_nothing():
    candidates, offers, limits = plain(100, np.linspace(0.01, 0.3, 100), quota=10, kind=SENT)
    found = solve(candidates, offers, limits, seed=1)
    ghosts = at_prices(replace(candidates, p0=np.full(100, 0.29, np.float32)), offers, limits, found.prices)
    assert len(ghosts) == 100


def test_first_come_serves_those_who_come_first():
    problem = plain(100, np.linspace(0.01, 0.3, 100), quota=10, kind=SENT)
    assert first_come(*problem).chosen.customer.tolist() == list(range(10))
    assert first_come(*problem).value < solve(*problem, seed=1).value


@quick
@given(seeds)
def test_the_compiled_loops_value_pairs_to_the_bit_as_the_formulas_do(seed):
    candidates, offers, limits = an_instance(seed)
    free = Prices(np.zeros(len(offers)), np.zeros(2), np.zeros(2))
    alone = replace(limits, positions=np.array([1, 1]), message_cost=np.zeros(2))
    chosen = at_prices(candidates, offers, alone, free)
    best = {}
    for i in range(candidates.customers):
        for e in range(candidates.indptr[i], candidates.indptr[i + 1]):
            for c in np.flatnonzero(candidates.channel_ok[i]):
                j, p0 = candidates.offer[e], float(candidates.p0[e])
                p1 = purchase_probability(p0, offers.uplift[j], limits.response[c])
                worth = float(pair_value(p0, p1, offers.margin[j], offers.benefit[j], offers.retailer_share[j]))
                best[i] = max(best.get(i, 0.0), worth)
    assert dict(zip(chosen.customer.tolist(), chosen.value.tolist(), strict=True)) == {
        i: worth for i, worth in best.items() if worth > 0
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, o, m: (replace(c, p0=np.full(3, np.nan, np.float32)), o, m), "p0 nan"),
        (lambda c, o, m: (replace(c, offer=np.full(3, 9, np.uint16)), o, m), "offer 9"),
        (lambda c, o, m: (replace(c, indptr=np.array([0, 1, 3, 3])), o, m), "once per customer"),
        (lambda c, o, m: (replace(c, offer=c.offer.astype(np.int64)), o, m), "candidates.offer"),
        (lambda c, o, m: (replace(c, indptr=np.array([0, 3, 2, 3])), o, m), "candidates.indptr: falls"),
        (lambda c, o, m: (replace(c, keys=c.keys[:1]), o, m), "candidates.keys: expected shape"),
        (lambda c, o, m: (c, replace(o, margin=np.array([np.inf])), m), "offers.margin"),
        (lambda c, o, m: (c, replace(o, quota=np.array([-1.0])), m), "offers.quota"),
        (lambda c, o, m: (c, replace(o, fallback=1), m), "offers.fallback"),
        (lambda c, o, m: (c, o, replace(m, budgets=np.array([np.nan]))), "limits.budgets"),
        (lambda c, o, m: (c, o, replace(m, positions=np.array([0]))), "limits.positions"),
    ],
)
def test_arrays_that_cannot_be_are_named(change, message):
    with pytest.raises(InputError, match=message):
        solve(*change(*plain(3, 0.2)), seed=1)


@quick
@given(seeds, st.booleans(), st.integers(0, 3))
def test_upper_bounds_spare_work_and_change_nothing(seed, coarse, funders):
    candidates, offers, limits = an_instance(seed, customers=30, offers=12, funders=funders, coarse=coarse)
    rng = np.random.default_rng(seed)
    offers = replace(offers, group=np.arange(12, dtype=np.int32), benefit=offers.benefit * rng.choice([0, 1e-4, 1], 12))
    offers = replace(offers, margin=offers.margin * rng.choice([-1, 1e-4, 1], 12))
    limits = replace(limits, positions=rng.integers(1, 4, 2))
    problem = prepare(candidates, offers, limits)
    problem = replace(problem, closed=np.zeros_like(problem.closed))  # at_prices goes by prices alone, too
    vector = rng.choice([0, 0.01, 0.2], size=len(problem.limit)) * np.minimum(problem.highest, 1e9)
    prices = problem.prices(vector)
    quota, budgets, capacity = used_by(at_prices(candidates, offers, limits, prices), offers, limits)
    found = evaluate(problem, vector)
    assert found.use[:12] == pytest.approx(quota, rel=1e-9)
    assert found.use[12:].tolist() == [*budgets, *capacity]
