"""A message may cost more for one customer than for another: the optimisation and its bound know it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from campaigns.allocation import REDEEMED, Candidates, Limits, Offers, Part, at_prices, first_come, solve, solve_night
from recsys.tables import InputError

CHANNELS = 2


def problem(n: int, seed: int, *, capacity: float = np.inf, positions: int = 1) -> tuple[Candidates, Offers, Limits]:
    """n customers, six offers, any of which they may get; each customer is tired by some amount on each channel."""
    random, m = np.random.default_rng(seed), 6
    candidates = Candidates(
        indptr=np.arange(n + 1, dtype=np.int64) * m,
        offer=np.tile(np.arange(m, dtype=np.uint16), n),
        p0=random.uniform(0.01, 0.4, n * m).astype(np.float32),
        channel_ok=random.random((n, CHANNELS)) < 0.8,
        keys=random.integers(0, 2**63, n).astype(np.uint64),
        message_cost=np.floor(random.exponential(3000, (n, CHANNELS))),
    )
    offers = Offers(
        margin=random.uniform(20_000, 90_000, m),
        benefit=random.uniform(1000, 9000, m),
        uplift=random.uniform(0.1, 0.8, m),
        shares=np.column_stack([np.full(m, 0.6), np.full(m, 0.4)]),
        retailer_share=np.full(m, 0.6),
        group=np.arange(m, dtype=np.int32),
        priority=np.zeros(m, np.int32),
        quota=np.full(m, n / 12),
        quota_kind=np.full(m, REDEEMED, np.uint8),
    )
    limits = Limits(
        budgets=np.array([200.0 * n, 150.0 * n]),
        capacity=np.full(CHANNELS, capacity),
        positions=np.full(CHANNELS, positions, np.int64),
        message_cost=np.array([400.0, 100.0]),
        response=np.array([1.0, 0.7]),
    )
    return candidates, offers, limits


def own_costs(found, candidates: Candidates) -> float:
    first = found.chosen.position == 1
    return math.fsum(candidates.message_cost[found.chosen.customer[first], found.chosen.channel[first]])


@pytest.mark.parametrize(("n", "positions"), [(40, 1), (40, 2), (3000, 1), (3000, 2)])
def test_the_value_has_each_customers_cost_taken_off_and_the_bound_holds(n: int, positions: int) -> None:
    candidates, offers, limits = problem(n, 1, capacity=n / 4, positions=positions)
    found = solve(candidates, offers, limits, seed=1)
    first = found.chosen.position == 1
    messages = np.bincount(found.chosen.channel[first], minlength=CHANNELS)
    expected = found.chosen.value.sum() - (limits.message_cost * messages).sum() - own_costs(found, candidates)
    assert found.value == pytest.approx(expected)
    assert own_costs(found, candidates) > 0
    assert found.certificate.worst_violation == 0
    assert found.value <= found.certificate.bound
    assert found.certificate.gap < (0.02 if n < 100 else 0.002)


def test_the_same_cost_for_everybody_is_the_channels_own() -> None:
    candidates, offers, limits = problem(2000, 2, capacity=400)
    everybody = replace(candidates, message_cost=np.tile([1500.0, 700.0], (2000, 1)))
    mine = solve(everybody, offers, limits, seed=1)
    theirs = solve(
        replace(candidates, message_cost=None),
        offers,
        replace(limits, message_cost=limits.message_cost + np.array([1500, 700])),
        seed=1,
    )
    assert np.array_equal(mine.chosen.pair, theirs.chosen.pair)
    assert np.array_equal(mine.chosen.channel, theirs.chosen.channel)
    assert mine.value == pytest.approx(theirs.value)
    assert mine.certificate.bound == pytest.approx(theirs.certificate.bound, rel=1e-6)


@pytest.mark.parametrize("positions", [1, 2, 4])
def test_the_tired_are_left_in_peace_and_of_alike_customers_they_come_last(positions: int) -> None:
    candidates, offers, limits = problem(400, 3, capacity=100, positions=positions)
    alike = replace(
        candidates,
        p0=np.tile(candidates.p0[:6], 400),
        channel_ok=np.tile([True, False], (400, 1)),
        message_cost=np.column_stack([np.arange(400) * 10.0, np.zeros(400)]),
    )
    open_wide = replace(offers, quota=np.full(6, np.inf))
    found = solve(alike, open_wide, replace(limits, budgets=np.full(2, np.inf)), seed=1)
    served = set(found.chosen.customer.tolist())
    assert len(served) == 100
    assert len(served & set(range(100))) >= 98  # the bound allows for a few
    nobody = replace(alike, message_cost=np.full((400, 2), 1e9))
    assert len(solve(nobody, open_wide, limits, seed=1).chosen) == 0
    assert len(first_come(nobody, open_wide, limits).chosen) == 0
    assert len(at_prices(nobody, open_wide, limits, found.prices)) == 0


def test_a_night_takes_each_campaigns_costs_of_the_person() -> None:
    candidates, offers, limits = problem(300, 4, capacity=80)
    person = np.arange(300, dtype=np.int64)
    dear = replace(candidates, message_cost=np.full((300, CHANNELS), 1e9))
    parts = [Part(dear, offers, limits, person), Part(candidates, offers, limits, person)]
    parts.append(Part(replace(candidates, message_cost=None), offers, limits, person))
    night = solve_night(parts, np.ones(300, np.int64), seed=1)
    none, tired, fresh = night.parts
    assert len(none.chosen) == 0
    assert min(len(tired.chosen), len(fresh.chosen)) > 0
    assert night.certificate.value == pytest.approx(tired.value + fresh.value)
    assert night.certificate.value <= night.certificate.bound


@pytest.mark.parametrize("wrong", [np.zeros((5, 2)), np.full((6, 2), -1.0), np.full((6, 2), np.nan), np.zeros((6, 1))])
def test_costs_that_cannot_be_are_refused(wrong: np.ndarray) -> None:
    candidates, offers, limits = problem(6, 5)
    with pytest.raises(InputError, match=r"candidates\.message_cost"):
        solve(replace(candidates, message_cost=wrong), offers, limits, seed=1)
