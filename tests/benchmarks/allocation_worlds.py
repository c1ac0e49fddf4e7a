"""A world like a big shop's: 500 offers, 50 candidates per customer, 10 funders, both channels scarce, about half of
the offers with a quota. Made in blocks, so that making the problem needs no more memory than the problem."""

from dataclasses import replace
from typing import Any

import numpy as np

from campaigns.allocation import SENT, Candidates, Limits, Offers, Part

OFFERS, PER_CUSTOMER, FUNDERS = 500, 50, 10
BLOCK = 100_000  # customers


def a_shop(customers: int, offers: int = OFFERS, per: int = PER_CUSTOMER, funders: int = FUNDERS, seed: int = 1) -> Any:
    """(Candidates, Offers, Limits) in rupiah; limits grow with the customers."""
    rng = np.random.default_rng(seed)
    popular = rng.gamma(2.0, 1.0, offers)
    offer, p0 = np.empty((customers, per), np.uint16), np.empty((customers, per), np.float32)
    pairs, chances = np.zeros(offers), np.zeros(offers)
    for low in range(0, customers, BLOCK):
        n, block = min(BLOCK, customers - low), slice(low, min(low + BLOCK, customers))
        steps = rng.integers(1, offers // per + 1, (n, per))
        offer[block] = np.sort((rng.integers(0, offers, (n, 1)) + steps.cumsum(axis=1)) % offers, axis=1)
        chance = 0.01 * rng.gamma(1.0, 1.0, (n, 1)) * popular[offer[block]] * rng.gamma(1.0, 1.0, (n, per))
        p0[block] = np.minimum(0.6, chance)
        pairs += np.bincount(offer[block].reshape(-1), minlength=offers)
        chances += np.bincount(offer[block].reshape(-1), weights=p0[block].reshape(-1), minlength=offers)
    margin = rng.lognormal(10.5, 0.5, offers)
    benefit = margin * rng.uniform(0.2, 0.8, offers)
    own = np.where(rng.random(offers) < 0.5, 0.0, rng.uniform(0, 0.5, offers))
    shares = np.zeros((offers, funders))
    shares[:, 0] = own
    shares[np.arange(offers), rng.integers(1, funders, offers)] = 1 - own
    kind = rng.integers(0, 2, offers).astype(np.uint8)
    quota = np.ceil(0.3 * rng.uniform(0.1, 1.0, offers) * np.where(kind == SENT, pairs, 1.5 * chances))
    return (
        Candidates(
            np.arange(0, customers * per + 1, per, dtype=np.int64),
            offer.reshape(-1),
            p0.reshape(-1),
            rng.random((customers, 2)) < [0.8, 0.5],
            rng.integers(0, 2**63, customers).astype(np.uint64),
        ),
        Offers(
            margin,
            benefit,
            rng.uniform(0.2, 1.2, offers),
            shares,
            own,
            np.arange(offers, dtype=np.int32),
            np.zeros(offers, np.int32),
            np.where(rng.random(offers) < 0.47, quota, np.inf),
            kind,
        ),
        Limits(
            np.floor(0.3 * rng.uniform(0.2, 0.8, funders) * ((1.3 * chances * benefit) @ shares)),
            np.floor(np.array([0.45, 0.15]) * customers),
            np.array([3, 1]),
            np.array([50.0, 10.0]),
            np.array([1.0, 0.6]),
        ),
    )


def the_next_day(problem: Any, seed: int = 2) -> Any:
    """The same problem with 2% of its pairs changed."""
    candidates, offers, limits = problem
    rng = np.random.default_rng(seed)
    p0 = candidates.p0.copy()
    for low in range(0, len(p0), BLOCK * PER_CUSTOMER):
        block = p0[low : low + BLOCK * PER_CUSTOMER]
        changed = np.flatnonzero(rng.random(len(block), dtype=np.float32) < 0.02)
        block[changed] = np.minimum(0.6, block[changed] * rng.uniform(0.5, 1.5, len(changed)).astype(np.float32))
    return replace(candidates, p0=p0), offers, limits


def a_night(customers: int) -> tuple[list[Part], Any]:
    """Three campaigns for the same people, who may get one or two messages, paid for by the same two funders."""
    shops = [a_shop(customers, funders=2, seed=seed) for seed in (1, 2, 3)]
    budgets = np.sum([limits.budgets for _, _, limits in shops], axis=0)
    keys = shops[0][0].keys
    parts = [
        Part(replace(candidates, keys=keys), offers, replace(limits, budgets=budgets), np.arange(customers))
        for candidates, offers, limits in shops
    ]
    return parts, np.random.default_rng(4).integers(1, 3, customers)


def the_ranking(problem: Any) -> Any:
    """The same problem with each customer's three likeliest offers alone: what a recommender would hand to counters."""
    candidates, offers, limits = problem
    n, most = candidates.customers, int(limits.positions.max())
    first = np.empty((n, most), np.int64)
    for low in range(0, n, BLOCK):
        likely = candidates.p0.reshape(n, -1)[low : low + BLOCK]
        first[low : low + BLOCK] = np.argpartition(-likely, most, axis=1)[:, :most]
    pairs = (first + np.arange(n)[:, None] * (candidates.pairs // n)).reshape(-1)
    few = replace(
        candidates,
        indptr=np.arange(0, n * most + 1, most, dtype=np.int64),
        offer=candidates.offer[pairs],
        p0=candidates.p0[pairs],
    )
    return few, offers, limits
