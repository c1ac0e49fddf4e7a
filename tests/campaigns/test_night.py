from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.allocation import SENT, Candidates, GroupLimit, Limits, Offers, Part, solve, solve_night
from recsys.tables import InputError

quick = settings(max_examples=15, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def a_part(rng, people, budgets, *, share=0.7, m=3):
    """A campaign for some of the people, with two channels; customers' groups are their persons' last digits."""
    person = np.flatnonzero(rng.random(people) < share)
    n = len(person)
    has = rng.random((n, m)) < 0.8
    offer = np.broadcast_to(np.arange(m), has.shape)[has].astype(np.uint16)
    own = rng.choice([0, 0.5, 1], size=m)
    return Part(
        Candidates(
            np.concatenate([[0], has.sum(axis=1).cumsum()]).astype(np.int64),
            offer,
            rng.beta(1, 5, size=len(offer)).astype(np.float32),
            rng.random((n, 2)) < [0.9, 0.5],
            person.astype(np.uint64),
            groups=(person % 10).astype(np.int32)[:, None],
        ),
        Offers(
            margin=rng.uniform(5_000, 90_000, m),
            benefit=rng.uniform(1_000, 20_000, m),
            uplift=rng.choice([0.3, 1.0, 2.0], size=m),
            shares=np.column_stack([own, 1 - own]),
            retailer_share=own,
            group=rng.integers(0, m, m).astype(np.int32),
            priority=np.zeros(m, np.int32),
            quota=rng.choice([people / 6, np.inf], size=m),
            quota_kind=rng.integers(0, 2, m).astype(np.uint8),
            fallback=int(rng.integers(-1, m)),
        ),
        Limits(
            budgets,
            np.floor(rng.choice([0.2, 0.5], size=2) * people),
            np.array([2, 1]),
            np.array([50.0, 10.0]),
            np.array([1.0, 0.6]),
        ),
        person,
    )


def a_night(seed, people=20, campaigns=3):
    rng = np.random.default_rng(seed)
    budgets = rng.choice([20_000.0, 60_000.0, np.inf], size=2) * people / 30
    return [a_part(rng, people, budgets) for _ in range(campaigns)], rng.integers(0, 3, people)


@quick
@given(seeds)
def test_people_get_no_more_messages_than_they_may_and_campaigns_share_what_they_share(seed):
    parts, messages = a_night(seed)
    group = GroupLimit(np.array([0, 3, 6]), 4, SENT)  # the first offer of each campaign
    night = solve_night(parts, messages, seed=1, passes=60, shared=[group])
    sent, firsts, spent = np.zeros(len(messages)), 0, 0
    for part, found in zip(parts, night.parts, strict=True):
        chosen, candidates = found.chosen, part.candidates
        np.add.at(sent, part.person[np.unique(chosen.customer)], 1)
        firsts, spent = firsts + (chosen.offer == 0).sum(), spent + chosen.costs.sum(axis=0)
        assert (candidates.offer[chosen.pair] == chosen.offer).all()
        assert (candidates.indptr[chosen.customer] <= chosen.pair).all()
        assert (chosen.pair < candidates.indptr[chosen.customer + 1]).all()
        assert candidates.channel_ok[chosen.customer, chosen.channel].all()
        assert (found.used.quota <= part.offers.quota).all()
        assert (found.used.capacity <= part.limits.capacity).all()
        amount = np.where(part.offers.quota_kind[chosen.offer] == SENT, 1.0, chosen.p1)
        assert found.used.quota == pytest.approx(np.bincount(chosen.offer, amount, 3), rel=1e-6)
    assert (sent <= messages).all()
    assert firsts <= 4
    assert (spent <= parts[0].limits.budgets).all()
    assert night.certificate.worst_violation == 0
    assert night.certificate.value == pytest.approx(sum(found.value for found in night.parts))
    assert night.certificate.value <= night.certificate.bound


@quick
@given(seeds)
def test_a_night_of_one_campaign_is_that_campaign(seed):
    (part,), _ = a_night(seed, campaigns=1)
    night = solve_night([part], np.ones(20, np.int64), seed=1, passes=40)
    alone = solve(part.candidates, part.offers, part.limits, seed=1, passes=40)
    assert night.parts[0].chosen.pair.tolist() == alone.chosen.pair.tolist()
    assert night.certificate.bound == pytest.approx(alone.certificate.bound, rel=1e-12)


@quick
@given(seeds)
def test_where_nothing_but_people_is_scarce_each_gets_the_messages_worth_most(seed):
    parts, messages = a_night(seed)
    free = [
        replace(
            part,
            offers=replace(part.offers, quota=np.full(3, np.inf)),
            limits=replace(part.limits, budgets=np.full(2, np.inf), capacity=np.full(2, np.inf)),
        )
        for part in parts
    ]
    night = solve_night(free, messages, seed=1)
    assert night.certificate.gap < 1e-9
    worth = np.zeros((len(free), len(messages)))
    for k, part in enumerate(free):
        chosen = solve(part.candidates, part.offers, part.limits, seed=1).chosen
        np.add.at(worth[k], part.person[chosen.customer], chosen.value)
        first = chosen.position == 1
        np.subtract.at(worth[k], part.person[chosen.customer[first]], part.limits.message_cost[chosen.channel[first]])
    ranked = np.sort(worth, axis=0)[::-1]
    best = sum(ranked[:most, i].sum() for i, most in enumerate(messages))
    assert night.certificate.value == pytest.approx(best)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_best_of_all_nights_lies_between_value_and_bound(seed):
    parts, messages = a_night(seed, people=3, campaigns=2)
    night = solve_night(parts, messages, seed=1, passes=100).certificate
    options = []  # of each row: (worth, budgets, quotas, capacity, message)
    for k, part in enumerate(parts):
        for i in range(part.candidates.customers):
            mine = [(0.0, np.zeros(2), np.zeros(6), np.zeros(4), np.zeros(3))]
            for c in np.flatnonzero(part.candidates.channel_ok[i]):
                for e in range(part.candidates.indptr[i], part.candidates.indptr[i + 1]):
                    only = replace(
                        part.candidates,
                        indptr=np.array([0, 1]),
                        offer=part.candidates.offer[e : e + 1],
                        p0=part.candidates.p0[e : e + 1],
                        channel_ok=np.eye(2, dtype=bool)[c][None, :],
                        keys=part.candidates.keys[:1],
                        groups=None,
                    )
                    found = solve(only, *_free(part), seed=1)
                    if len(found.chosen):
                        quota, send = np.zeros(6), np.zeros(4)
                        quota[3 * k : 3 * k + 3], send[2 * k : 2 * k + 2] = found.used.quota, found.used.capacity
                        person = np.eye(3)[part.person[i]]
                        mine.append((found.value, found.used.budgets, quota, send, person))
            options.append(mine)
    quota = np.concatenate([part.offers.quota for part in parts])
    capacity = np.concatenate([part.limits.capacity for part in parts])
    best = 0.0
    for choice in product(*options):
        worth, spent, used, sends, got = (sum(part) for part in zip(*choice, strict=True))
        fits = (spent <= parts[0].limits.budgets).all() and (used <= quota + 1e-9).all()
        if fits and (sends <= capacity).all() and (got <= messages).all():
            best = max(best, worth)  # one offer per message: no more than the best, which may have two
    assert best <= night.bound + 1e-6


def _free(part):
    free = replace(part.limits, budgets=np.full(2, np.inf), capacity=np.full(2, np.inf))
    return replace(part.offers, quota=np.full(3, np.inf)), free


def test_a_night_that_does_not_fit_together_is_named():
    parts, messages = a_night(1)
    with pytest.raises(InputError, match="without campaigns"):
        solve_night([], messages, seed=1)
    other = replace(parts[1], limits=replace(parts[1].limits, budgets=np.array([1.0, 2.0])))
    with pytest.raises(InputError, match="budgets of campaign 1"):
        solve_night([parts[0], other], messages, seed=1)
    with pytest.raises(InputError, match="twice"):
        solve_night([replace(parts[0], person=0 * parts[0].person)], messages, seed=1)
    with pytest.raises(InputError, match="without a number of messages"):
        solve_night(parts, messages[:1], seed=1)


@pytest.mark.parametrize("people", [3, 600])
def test_a_place_that_one_campaign_would_waste_goes_to_another(people):
    """Each may get one message. The first campaign's voucher is worth more to everybody, but there are only a few."""
    person = np.arange(people)

    def part(margin, quota):
        candidates = Candidates(
            np.arange(people + 1, dtype=np.int64),
            np.zeros(people, np.uint16),
            np.linspace(0.1, 0.2, people).astype(np.float32),
            np.ones((people, 1), bool),
            person.astype(np.uint64),
        )
        offers = Offers(
            np.array([margin]),
            *(np.ones(1), np.ones(1), np.ones((1, 1)), np.zeros(1)),
            *(np.zeros(1, np.int32), np.zeros(1, np.int32), np.array([quota]), np.array([SENT], np.uint8)),
        )
        limits = Limits(np.array([np.inf]), np.array([np.inf]), np.array([1]), np.array([0.0]), np.array([1.0]))
        return Part(candidates, offers, limits, person)

    first, second = solve_night([part(90_000.0, 2.0), part(10_000.0, np.inf)], np.ones(people, int), seed=1).parts
    assert first.chosen.customer.tolist() == [people - 2, people - 1]
    assert second.chosen.customer.tolist() == list(range(people - 2))
