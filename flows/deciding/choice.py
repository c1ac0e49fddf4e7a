"""Who gets which offer: from people, offers and propensities to the allocation's answer, in row numbers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from campaigns.allocation import Candidates, Chosen, Limits, Offers, Prices, Solution, at_prices, first_come, solve
from campaigns.audience import Audience, eligible
from campaigns.scope import scope_matrix
from campaigns.spec import Campaign
from campaigns.tables import CHANNELS
from flows.champion import Champion
from flows.deciding.worth import BASKET_DAYS, fit_rates, limit_arrays, offer_arrays, past_baskets, propensities
from flows.settings import Settings


@dataclass(frozen=True, eq=False)
class Known:
    """What was known as of the decision. purchases: net of returns.

    inputs: table → {"rows", "sha256"} of what was read, before returns were taken off; for the manifest.
    """

    customers: pa.Table
    items: pa.Table
    purchases: pa.Table
    consents: pa.Table
    service_cases: pa.Table
    silences: pa.Table
    inputs: dict[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm of the audience: its people, what they may get, and what was chosen; controls' choices are ghosts.

    may_get: bool [people × offers]. propensity: [people × offers], of a purchase in scope; the candidates' p0 is that
    of one that reaches the offer's minimum spend.
    """

    people: pa.Table
    may_get: NDArray[np.bool_]
    propensity: NDArray[np.float32]
    candidates: Candidates
    chosen: Chosen


@dataclass(frozen=True, eq=False)
class Choice:
    """All that was worked out for a run.

    scopes: 0/1 [items × offers], rows as in the items table. base_rates: [offers], the share of buyers in scope.
    worth_sending: bool, of the treatment arm's people: if there were no limits, a message to them would earn something.
    first_come: rupiah, what serving people in order of their ids until limits are reached would be worth.
    """

    offers: Offers
    limits: Limits
    funders: tuple[str, ...]
    scopes: csr_matrix
    base_rates: NDArray[np.float64]
    margin_known: NDArray[np.float64]
    treatment: Arm
    control: Arm
    worth_sending: NDArray[np.bool_]
    solution: Solution
    first_come: float


def choose(
    campaign: Campaign, known: Known, audience: Audience, champion: Champion, as_of: datetime, settings: Settings
) -> Choice:
    """Solves the allocation for the treatment arm, and takes at its prices what the controls would have been given."""
    items, seed = known.items, settings.train.seed
    scopes = scope_matrix(campaign.offers, items, items["item_id"])
    rates = fit_rates(champion, known.purchases, items, campaign)
    since = as_of - timedelta(days=BASKET_DAYS)
    spend, margin = past_baskets(known.purchases, items, scopes, since, settings.margin_rate)
    funders = tuple(sorted(campaign.budgets))
    offers, reach = offer_arrays(campaign, spend, margin, funders)
    limits = limit_arrays(campaign, CHANNELS, funders)

    people = audience.people
    may_get = eligible(campaign, known.customers, people["customer_id"], as_of=as_of)
    propensity = propensities(champion, rates, items, campaign.offers, people["customer_id"].combine_chunks())

    def arm(name: str) -> tuple[pa.Table, NDArray[np.bool_], NDArray[np.float32], Candidates]:
        rows = np.flatnonzero(pc.equal(people["arm"], name).to_numpy())
        p0 = propensity[rows] * reach.astype(np.float32)
        pairs = candidates(people.take(rows), may_get[rows], p0, seed)
        return people.take(rows), may_get[rows], propensity[rows], pairs

    treated, controls = arm("treatment"), arm("control")
    solution = solve(treated[-1], offers, limits, seed=seed)
    return Choice(
        offers,
        limits,
        funders,
        scopes,
        rates.base,
        share_with_margin(items, scopes),
        Arm(*treated, solution.chosen),
        Arm(*controls, at_prices(controls[-1], offers, limits, solution.prices)),
        worth_sending(treated[-1], offers, limits),
        solution,
        first_come(treated[-1], offers, limits).value,
    )


def worth_sending(pairs: Candidates, offers: Offers, limits: Limits) -> NDArray[np.bool_]:
    """Whom some message would earn something if nothing were scarce."""
    free = Prices(np.zeros(len(offers)), np.zeros(len(limits.budgets)), np.zeros(len(limits.capacity)))
    found = np.zeros(pairs.customers, np.bool_)
    found[at_prices(pairs, offers, limits, free).customer] = True
    return found


def share_with_margin(items: pa.Table, scopes: csr_matrix) -> NDArray[np.float64]:
    """How many of each scope's items state a margin, 0–1 [offers]; of the others settings.margin_rate is assumed."""
    stated = items["margin_rate"].is_valid().to_numpy().astype(np.float64)
    return (scopes.T @ stated) / np.maximum(1, np.asarray(scopes.sum(axis=0)).ravel())


def candidates(people: pa.Table, may_get: NDArray[np.bool_], p0: NDArray[np.float32], seed: int) -> Candidates:
    """The pairs that are allowed, a row per person in the order of the table."""
    person, offer = np.nonzero(may_get)
    return Candidates(
        indptr=np.concatenate([[0], np.cumsum(may_get.sum(axis=1))]).astype(np.int64),
        offer=offer.astype(np.uint16 if may_get.shape[1] <= 1 << 16 else np.uint32),
        p0=np.ascontiguousarray(p0[person, offer]),
        channel_ok=np.column_stack([people[channel].to_numpy() for channel in CHANNELS]),
        keys=pd.util.hash_array(people["customer_id"].to_numpy(), hash_key=f"{seed:016d}"),
    )
